/* SPDX-License-Identifier: Apache-2.0 */
/* Threads as the parts of a job: every part is a node of its own, or two parts
 * are one. What a part does runs in its thread; the test joins them. */
#ifndef TESTS_THREAD_PARTS_H
#define TESTS_THREAD_PARTS_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/dedup/parts.h"

enum { TP_MAX = 8 };

struct tp_world {
	uint32_t n, per_node;
	pthread_barrier_t barrier;
	const struct pl_buf *to[TP_MAX];
	enum pl_status status[TP_MAX];
	uint64_t *values[TP_MAX];
	void *shared[TP_MAX];
	uint32_t leaders[TP_MAX], nodes;
	uint64_t room;
	const char *scratch;
	void (*work)(struct pl_parts *p, void *arg);
	void *arg;
};
struct tp_part { struct tp_world *w; uint32_t part; struct pl_parts parts; };

static inline void tp_wait(struct tp_part *p)
{
	pthread_barrier_wait(&p->w->barrier);
}

static inline enum pl_status tp_agree(void *ctx, enum pl_status mine, struct pl_err *err)
{
	struct tp_part *p = ctx;
	enum pl_status worst = PL_OK;

	(void)err;
	p->w->status[p->part] = mine;
	tp_wait(p);
	for (uint32_t i = 0; i < p->w->n; i++)
		worst = worst == PL_OK ? p->w->status[i] : worst;
	tp_wait(p);
	return worst;
}

static inline enum pl_status tp_exchange(void *ctx, const struct pl_buf *to, struct pl_buf *from, struct pl_err *err)
{
	struct tp_part *p = ctx;
	enum pl_status st = PL_OK;

	p->w->to[p->part] = to;
	tp_wait(p);
	pl_buf_clear(from);
	for (uint32_t i = 0; i < p->w->n && st == PL_OK; i++) {
		const struct pl_buf *b = &p->w->to[i][p->part];
		if (b->len > 0)
			st = pl_buf_add(from, b->data, b->len, err);
	}
	return tp_agree(ctx, st, err);
}

static inline void tp_sum(void *ctx, uint64_t *values, size_t n)
{
	struct tp_part *p = ctx;
	uint64_t *sums = calloc(n + 1, sizeof(*sums));

	p->w->values[p->part] = values;
	tp_wait(p);
	for (uint32_t i = 0; i < p->w->n; i++)
		for (size_t k = 0; k < n; k++)
			sums[k] += p->w->values[i][k];
	tp_wait(p);
	memcpy(values, sums, n * sizeof(*sums));
	free(sums);
}

static inline enum pl_status tp_share(void *ctx, struct pl_share *s, uint64_t bytes, uint64_t held, const char *what, struct pl_err *err)
{
	struct tp_part *p = ctx;

	(void)held, (void)what, (void)err;
	if (p->parts.leader == p->part)
		p->w->shared[p->part] = calloc((size_t)bytes + 1, 1);
	tp_wait(p);
	*s = (struct pl_share){p->w->shared[p->parts.leader], bytes, p->w->shared[p->parts.leader]};
	tp_wait(p);
	return PL_OK;
}

static inline void tp_settle(void *ctx, struct pl_share *s)
{
	(void)s;
	tp_wait(ctx);
}

static inline void tp_unshare(void *ctx, struct pl_share *s)
{
	struct tp_part *p = ctx;

	if (!s->handle)
		return;
	tp_wait(p);
	if (p->parts.leader == p->part)
		free(s->handle);
	*s = (struct pl_share){0};
}

static inline bool tp_fits(void *ctx, uint64_t bytes, uint64_t held)
{
	(void)held;
	return bytes <= ((struct tp_part *)ctx)->w->room;
}

static inline uint64_t tp_room(void *ctx, uint64_t held)
{
	(void)held;
	return ((struct tp_part *)ctx)->w->room;
}

static inline enum pl_status tp_poll(void *ctx, struct pl_err *err)
{
	(void)ctx, (void)err;
	return PL_OK;
}

static inline void *tp_main(void *arg)
{
	struct tp_part *p = arg;
	struct tp_world *w = p->w;

	p->parts = (struct pl_parts){.part = p->part, .parts = w->n, .leaders = w->leaders, .nodes = w->nodes,
	    .leader = p->part / w->per_node * w->per_node, .scratch = w->scratch, .ctx = p, .poll = tp_poll, .agree = tp_agree,
	    .exchange = tp_exchange, .sum = tp_sum, .share = tp_share, .settle = tp_settle, .unshare = tp_unshare, .fits = tp_fits, .room = tp_room};
	w->work(&p->parts, w->arg);
	return NULL;
}

/* Run work(parts, arg) in n threads, per_node of which share memory. */
static inline void tp_run(uint32_t n, uint32_t per_node, uint64_t room, const char *scratch, void (*work)(struct pl_parts *p, void *arg), void *arg)
{
	struct tp_world w = {.n = n, .per_node = per_node, .room = room, .scratch = scratch, .work = work, .arg = arg};
	struct tp_part parts[TP_MAX];
	pthread_t thread[TP_MAX];

	for (uint32_t i = 0; i < n; i += per_node)
		w.leaders[w.nodes++] = i;
	pthread_barrier_init(&w.barrier, NULL, n);
	for (uint32_t i = 0; i < n; i++) {
		parts[i] = (struct tp_part){.w = &w, .part = i};
		if (pthread_create(&thread[i], NULL, tp_main, &parts[i]) != 0)
			abort();
	}
	for (uint32_t i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&w.barrier);
}

#endif
