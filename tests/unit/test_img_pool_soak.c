/* SPDX-License-Identifier: Apache-2.0 */
/* A long life of one codec pool with the real codecs: small pictures by the
 * ten thousand, a worker killed every hundred. Every other answer is right and
 * in its place; memory, descriptors and processes stay what they were.
 * 20,000 pictures; with PLAIT_LONG_TESTS=1 in the environment 100,000. */
#include "pool_fixture.h"

enum { KINDS = 24, WORKERS = 2, WINDOW = 16, KILL_EVERY = 100 };

/* A small picture, what a scan says of it, and what a transform makes of it. */
struct sample {
	uint8_t *bytes;
	size_t len;
	uint32_t width, height;
	uint8_t xxh3[16];
	struct pl_pdq pdq;
	struct pl_resized resized;
};

static struct pl_resize policy(void)
{
	return (struct pl_resize){ .policy = PL_POLICY_CENTER_CROP,
		.size = 24,
		.format = PL_FORMAT_JPEG,
		.encode = { .format = PL_FORMAT_JPEG, .quality = 85 } };
}

static void make_sample(struct sample *s, uint64_t kind)
{
	static const enum pl_format formats[] = { PL_FORMAT_JPEG, PL_FORMAT_PNG, PL_FORMAT_WEBP };
	const struct pl_img_limits limits = pl_img_limits_default();
	const struct pl_img_encode how = { .format = formats[kind % 3],
		.quality = kind % 3 == 1 ? 1 : 80 };
	const struct pl_resize resize = policy();
	struct pl_image image = { 0 };
	struct pl_img_info info;

	s->width = 20 + (uint32_t)(kind * 5 % 37);
	s->height = 20 + (uint32_t)(kind * 11 % 29);
	assert_int_equal(pl_image_init(&image, s->width, s->height, 3), PL_REASON_KEEP);
	for (size_t i = 0; i < (size_t)s->width * s->height * 3; i++)
		image.pixels[i] = (uint8_t)(i * (kind + 1) / 3 + pl_draw64(kind, i, 0) % 32);
	assert_int_equal(pl_img_encode(&image, &how, &s->bytes, &s->len), PL_REASON_KEEP);
	pl_image_release(&image);
	pl_hash128_bytes(s->bytes, s->len, s->xxh3);
	assert_int_equal(pl_img_probe(s->bytes, s->len, &limits, &info), PL_REASON_KEEP);
	assert_int_equal(
	    pl_img_hash(s->bytes, s->len, &info, &limits, PL_HASH_PDQ_AA, &s->pdq), PL_REASON_KEEP);
	assert_int_equal(
	    pl_img_transform(s->bytes, s->len, &limits, &resize, &s->resized), PL_REASON_KEEP);
	assert_false(s->resized.passthrough);
}

static enum pl_pool_op op_of(uint64_t n)
{
	return n % 3 ? PL_POOL_SCAN : PL_POOL_TRANSFORM;
}

static void check_result(const struct pl_pool_result *r, const struct sample *s, uint64_t n)
{
	assert_int_equal(r->tag, n);
	assert_int_equal(r->op, op_of(n));
	if (r->reason != PL_REASON_KEEP)
		fail_msg("picture %llu: %s", (unsigned long long)n, pl_reason_name(r->reason));
	assert_int_equal(r->info.width, s->width);
	assert_int_equal(r->info.height, s->height);
	if (r->op == PL_POOL_SCAN) {
		assert_memory_equal(r->xxh3, s->xxh3, sizeof(s->xxh3));
		assert_memory_equal(r->pdq.bits, s->pdq.bits, sizeof(s->pdq.bits));
		assert_int_equal(r->pdq.quality, s->pdq.quality);
	} else {
		assert_int_equal(r->len, s->resized.len);
		assert_memory_equal(r->data, s->resized.bytes, r->len);
	}
}

/* What the pool holds of the machine. */
struct holding { long parent_kib, nursery_kib, worker_kib; int parent_fds, nursery_fds, children, zombies; };

/* Children of a process, and how many of them are dead and not reaped. */
static void count_children(pid_t of, int *children, int *zombies)
{
	DIR *dir = opendir("/proc");

	*children = *zombies = 0;
	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		char path[300], text[256] = "", state = 0;
		const char *end;
		long parent = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		if (e->d_name[0] < '0' || e->d_name[0] > '9' || !(f = fopen(path, "r")))
			continue;
		end = fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;
		if (end && sscanf(end + 1, " %c %ld", &state, &parent) == 2 && parent == (long)of) {
			++*children;
			*zombies += state == 'Z';
		}
		fclose(f);
	}
	closedir(dir);
}

static struct holding hold(struct pl_pool *pool)
{
	pid_t nursery = pl_pool_worker_pid(pool, -1), worker;
	struct holding h = { 0 };

	for (int ms = 0; ms < 5000; ms++) {   /* a worker killed just now is being replaced */
		count_children(nursery, &h.children, &h.zombies);
		if (h.children == WORKERS && h.zombies == 0 && pl_pool_worker_pid(pool, 0))
			break;
		sleep_ms(1);
	}
	worker = pl_pool_worker_pid(pool, 0);
	h.parent_kib = resident_kib(getpid());
	h.nursery_kib = resident_kib(nursery);
	h.worker_kib = resident_kib(worker);
	h.parent_fds = open_descriptors(getpid());
	h.nursery_fds = open_descriptors(nursery);
	return h;
}

static void check_held(const struct holding *then, const struct holding *now)
{
	assert_int_equal(now->parent_fds, then->parent_fds);
	assert_int_equal(now->nursery_fds, then->nursery_fds);
	assert_int_equal(now->children, WORKERS);
	assert_int_equal(now->zombies, 0);
	print_message("resident KiB then and now: parent %ld %ld, nursery %ld %ld, a worker %ld %ld\n",
	    then->parent_kib, now->parent_kib, then->nursery_kib, now->nursery_kib,
	    then->worker_kib, now->worker_kib);
	if (PL_POOL_SANITIZED)
		return;   /* freed memory is kept there to be watched */
	assert_true(now->parent_kib <= then->parent_kib + 1024);
	assert_true(now->nursery_kib <= then->nursery_kib + 1024);
	assert_true(now->worker_kib <= then->worker_kib + 4096);
}

struct tally { uint64_t done, kills, lost; pid_t victims[WORKERS]; };

/* Kill the worker of a seat; the last one killed there may not have its successor yet. */
static void kill_worker(struct pl_pool *pool, struct tally *t, int seat)
{
	pid_t pid = 0;

	for (int ms = 0; ms < 10000 && (pid == 0 || pid == t->victims[seat]); ms++) {
		if (ms > 0)
			sleep_ms(1);
		pid = pl_pool_worker_pid(pool, seat);
	}
	assert_true(pid > 0 && pid != t->victims[seat]);
	assert_int_equal(kill(pid, SIGKILL), 0);
	t->victims[seat] = pid;
	t->kills++;
}

static void collect_one(struct pl_pool *pool, const struct sample *samples, struct tally *t)
{
	struct pl_pool_result r = next(pool);

	if (r.reason == PL_REASON_CRASH && t->lost < t->kills) {
		assert_int_equal(r.tag, t->done);
		assert_true(t->done % KILL_EVERY >= KILL_EVERY - 1 - WINDOW);   /* under way when the kill came */
		assert_null(r.data);
		t->lost++;
	} else {
		check_result(&r, &samples[t->done % KINDS], t->done);
	}
	t->done++;
}

static void feed(struct pl_pool *pool, const struct sample *samples, uint64_t until, struct tally *t)
{
	for (uint64_t n = t->done; n < until; n++) {
		const struct sample *s = &samples[n % KINDS];
		const struct pl_pool_job job = { .op = op_of(n),
			.data = s->bytes, .len = s->len, .hash = PL_HASH_PDQ_AA, .resize = policy(), .tag = n };

		while (!pl_pool_has_room(pool))
			collect_one(pool, samples, t);
		assert_int_equal(pl_pool_submit(pool, &job, NULL), PL_OK);
		if (n % KILL_EVERY == KILL_EVERY - 1)
			kill_worker(pool, t, (int)(n / KILL_EVERY % WORKERS));
	}
	while (t->done < until)
		collect_one(pool, samples, t);
}

static void test_long_life(void **state)
{
	const char *longer = getenv("PLAIT_LONG_TESTS");
	const uint64_t total = longer && strcmp(longer, "1") == 0 ? 100000
	    : PL_POOL_SANITIZED					  ? 4000
								  : 20000;
	struct pl_pool_config config = {
		.workers = WORKERS, .window = WINDOW, .limits = pl_img_limits_default()
	};
	struct sample samples[KINDS] = { 0 };
	struct tally t = { 0 };
	struct holding then, now;
	struct pl_pool *pool;

	(void)state;
	for (uint64_t k = 0; k < KINDS; k++)
		make_sample(&samples[k], k);
	assert_int_equal(pl_pool_new(&pool, &config, NULL), PL_OK);
	feed(pool, samples, total / 5, &t);
	then = hold(pool);
	feed(pool, samples, total, &t);
	now = hold(pool);
	print_message("%llu pictures, %llu workers killed, %llu pictures lost with them\n",
	    (unsigned long long)total, (unsigned long long)t.kills, (unsigned long long)t.lost);
	check_held(&then, &now);
	assert_int_equal(t.kills, total / KILL_EVERY);
	/* The last one killed may have had no picture, so that nobody waited for it: asking for a worker takes news in. */
	for (int ms = 0; ms < 10000 && pl_pool_replaced(pool) < t.kills; ms++) {
		(void)pl_pool_worker_pid(pool, -1);
		(void)usleep(1000);
	}
	assert_int_equal(pl_pool_replaced(pool), t.kills);
	pl_pool_free(pool);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	for (size_t k = 0; k < KINDS; k++) {
		free(samples[k].bytes);
		free(samples[k].resized.bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long_life),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
