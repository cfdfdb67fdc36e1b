/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: the codec pool as its parent lives it beside workers that were
 * taken over. There are no workers here: the input is a list of what they may
 * do to the mapping (states, replies, any control word), of jobs, of deaths,
 * and of passing time. Results must stay in order and within their bounds. */
#include "fuzz.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "libpipe/img/pool_parent.h"

enum { WORKERS = 2, SLOTS = 4, AREA = 4096, STEPS = 512 };

struct ring {
	struct pl_pool *pool;
	int nursery;               /* the nursery's end of the control socket */
	uint64_t submitted, collected;
	uint32_t spawn[WORKERS];   /* 0 = dead */
	uint32_t next_spawn;
};

/* What remains of the input. */
struct input { const uint8_t *data; size_t left; };

static uint8_t byte_of(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->data++;
}

static uint64_t word_of(struct input *in)
{
	uint64_t w = 0;

	for (int i = 0; i < 8; i++)
		w = w << 8 | byte_of(in);
	return w;
}

static struct pl_pool *new_pool(int *nursery)
{
	struct pl_pool *p = calloc(1, sizeof(*p));
	struct pl_pool_shared *sh;
	int pair[2];

	FUZZ_CHECK(p != NULL);
	sh = &p->sh;
	p->entries = calloc(SLOTS, sizeof(*p->entries));
	p->seats = calloc(WORKERS, sizeof(*p->seats));
	FUZZ_CHECK(p->entries && p->seats && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	p->control_fd = pair[0];
	*nursery = pair[1];
	p->event_fd = eventfd(0, EFD_NONBLOCK);
	p->window = SLOTS - 1;
	p->last_tick = pl_pool_now();
	sh->nslots = SLOTS;
	sh->workers = WORKERS;
	sh->limits = pl_img_limits_default();
	sh->limits.max_bytes = AREA;
	sh->limits.timeout_ms = 2000;
	sh->areas = (sizeof(struct pl_pool_control) + SLOTS * sizeof(struct pl_pool_slot) + AREA - 1) / AREA * AREA;
	sh->in_cap = sh->out_cap = sh->out_offset = AREA;
	sh->stride = (size_t)2 * AREA;
	sh->size = sh->areas + SLOTS * sh->stride;
	sh->base = mmap(NULL, sh->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	FUZZ_CHECK(p->event_fd >= 0 && sh->base != MAP_FAILED);
	sh->control = (struct pl_pool_control *)(void *)sh->base;
	sh->slots = (struct pl_pool_slot *)(void *)(sh->base + sizeof(struct pl_pool_control));
	return p;
}

static void submit(struct ring *r, struct input *in)
{
	static const uint8_t data[AREA + 1];
	uint8_t what = byte_of(in);
	const struct pl_pool_job job = { .op = (enum pl_pool_op)(what % 3),
		.data = data,
		.len = what & 0x80 ? sizeof(data) : what & 0x40 ? 0 : 1u + what % 64u,
		.tag = r->submitted };
	struct pl_err err;

	if (!pl_pool_has_room(r->pool))
		return;
	if (pl_pool_submit(r->pool, &job, &err) == PL_OK)
		r->submitted++;
	else
		FUZZ_CHECK(r->pool->broken);
}

/* A worker's doing: any state word, or an honest-looking one. */
static void set_state(struct ring *r, struct input *in)
{
	uint8_t what = byte_of(in);
	struct pl_pool_slot *slot = &r->pool->sh.slots[what % SLOTS];
	uint64_t job = r->pool->head + what / 4 % 4;
	uint32_t owner = r->spawn[what / 16 % WORKERS];

	if (what & 0x80)
		atomic_store(&slot->state, word_of(in));
	else
		atomic_store(&r->pool->sh.slots[job % SLOTS].state,
		    pl_pool_state(owner, job, (enum pl_pool_phase)(byte_of(in) % 4)));
}

static void set_reply(struct ring *r, struct input *in)
{
	struct pl_pool_reply *reply = &r->pool->sh.slots[byte_of(in) % SLOTS].reply;
	size_t at = byte_of(in) * (size_t)4 % sizeof(*reply), n = byte_of(in) % 64;
	uint8_t *bytes = (uint8_t *)reply;

	for (size_t i = 0; i < n && at + i < sizeof(*reply); i++)
		bytes[at + i] = byte_of(in);
}

/* An honest answer to the oldest job, which the input may then spoil. */
static void answer(struct ring *r, struct input *in)
{
	uint64_t job = r->pool->head;
	struct pl_pool_slot *slot = &r->pool->sh.slots[job % SLOTS];
	uint8_t what = byte_of(in);

	slot->reply = (struct pl_pool_reply){ .len = what % 3 ? 0 : what,
		.has_info = 1,
		.format = PL_FORMAT_JPEG,
		.width = 1 + what,
		.height = 2,
		.in_format = PL_FORMAT_PNG,
		.in_width = 3,
		.in_height = 4,
		.orientation = 1 + what % 8 };
	atomic_store(&slot->state, pl_pool_state(r->spawn[0], job, PL_POOL_DONE));
}

/* The nursery tells of deaths and births; it is not hostile, only busy. */
static void tell(struct ring *r, struct input *in)
{
	uint8_t what = byte_of(in);
	uint32_t seat = what % WORKERS, successor = r->spawn[seat] ? 0 : r->next_spawn + 1;
	struct pl_pool_message m = { .event = PL_POOL_SPAWNED, .seat = seat, .pid = getpid() };

	if (what == 0xFF) {
		m.event = PL_POOL_BROKEN;
		m.fault = PL_POOL_FAULT_FORK;
		m.status = EAGAIN;
	} else if (r->spawn[seat]) {
		m.event = PL_POOL_DIED;
		m.spawn = r->spawn[seat];
		m.status = what & 0x40 ? PL_POOL_EXIT_NO_MEMORY << 8 : what & 0x20 ? PL_POOL_EXIT_RETIRED << 8 : 9;
	} else {
		m.spawn = successor;
	}
	if (send(r->nursery, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 || m.event == PL_POOL_BROKEN)
		return;   /* the socket is full until the parent listens */
	r->spawn[seat] = successor;
	if (successor)
		r->next_spawn = successor;
}

static void check_result(const struct ring *r, const struct pl_pool_result *res)
{
	const struct pl_pool *p = r->pool;
	const uint8_t *out = pl_pool_out(&p->sh, (size_t)(r->collected % SLOTS));

	FUZZ_CHECK(res->tag == r->collected && res->op <= PL_POOL_VERIFY);
	FUZZ_CHECK(res->reason < PL_REASON_COUNT && res->info.format < PL_FORMAT_COUNT && res->format < PL_FORMAT_COUNT);
	FUZZ_CHECK(res->info.orientation >= 1 && res->info.orientation <= 8 && res->pdq.quality <= 100);
	FUZZ_CHECK(res->len == 0 || (res->data == out && res->len <= p->sh.out_cap));
	FUZZ_CHECK(res->data == NULL || (res->reason == PL_REASON_KEEP && res->op == PL_POOL_TRANSFORM && !res->passthrough));
	FUZZ_CHECK(res->stats.mean >= 0 && res->stats.mean <= 255 && res->stats.entropy >= 0 && res->stats.entropy <= 8);
	FUZZ_CHECK(isfinite(res->stats.contrast) && isfinite(res->stats.edges) && isfinite(res->stats.blur));
	if (res->reason == PL_REASON_KEEP)
		FUZZ_CHECK(res->op == PL_POOL_VERIFY || (res->width > 0 && res->height > 0));
}

static void collect(struct ring *r)
{
	struct pl_pool_result res;
	struct pl_err err;
	bool ready;
	enum pl_status st = pl_pool_next(r->pool, 0, &ready, &res, &err);

	FUZZ_CHECK(st == PL_OK || st == PL_END || r->pool->broken);
	FUZZ_CHECK(st != PL_END || r->submitted == r->collected);
	if (st == PL_OK && ready) {
		check_result(r, &res);
		r->collected++;
	}
	FUZZ_CHECK(pl_pool_pending(r->pool) == r->submitted - r->collected);
}

static void scribble(struct ring *r, struct input *in)
{
	struct pl_pool_control *c = r->pool->sh.control;

	switch (byte_of(in) % 4) {
	case 0: atomic_store(&c->head, word_of(in)); break;
	case 1: atomic_store(&c->tail, word_of(in)); break;
	case 2: atomic_store(&c->waiting, word_of(in)); break;
	default: atomic_store(&c->bell, (uint32_t)word_of(in)); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct ring r = { .next_spawn = WORKERS, .spawn = { 1, 2 } };
	struct pl_pool_kill order;

	r.pool = new_pool(&r.nursery);
	for (uint32_t i = 0; i < WORKERS; i++)
		r.pool->seats[i] = (struct pl_pool_worker){ .spawn = r.spawn[i], .pid = getpid() };
	for (int step = 0; step < STEPS && in.left > 0 && !r.pool->broken; step++) {
		switch (byte_of(&in) % 8) {
		case 0: submit(&r, &in); break;
		case 1: set_state(&r, &in); break;
		case 2: set_reply(&r, &in); break;
		case 3: answer(&r, &in); break;
		case 4: tell(&r, &in); break;
		case 5: r.pool->last_tick -= (uint64_t)byte_of(&in) * 20000000u; break;   /* up to 5 s pass */
		case 6: scribble(&r, &in); break;
		default: collect(&r); break;
		}
		while (recv(r.nursery, &order, sizeof(order), MSG_DONTWAIT) > 0)
			continue;
	}
	close(r.nursery);
	pl_pool_free(r.pool);
	return 0;
}
