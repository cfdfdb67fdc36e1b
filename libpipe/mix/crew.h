/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks that read a corpus together, as far as this room needs to know them:
 * each takes every size-th shard, and sums meet. NULL stands for one process alone. */
#ifndef PL_MIX_CREW_H
#define PL_MIX_CREW_H

#include "libpipe/base/buf.h"
#include "libpipe/base/err.h"

struct pl_crew {
	void *ctx;
	size_t rank, size;
	enum pl_status (*poll)(void *ctx, struct pl_err *err);                         /* Local, often */
	enum pl_status (*agree)(void *ctx, enum pl_status mine, struct pl_err *err);   /* Collective: the worst status */
	void (*sum)(void *ctx, uint64_t *values, size_t n);                            /* Collective: element-wise, in place */
	/* Collective: all ranks' bytes on every rank, in the order of ranks, appended to all. */
	enum pl_status (*gather)(void *ctx, const void *mine, uint64_t len, struct pl_buf *all, struct pl_err *err);
};

static inline size_t pl_crew_rank(const struct pl_crew *c) { return c ? c->rank : 0; }
static inline size_t pl_crew_size(const struct pl_crew *c) { return c ? c->size : 1; }
PL_MUST_CHECK static inline enum pl_status pl_crew_poll(const struct pl_crew *c, struct pl_err *err) { return c ? c->poll(c->ctx, err) : PL_OK; }
/* Never PL_OK where mine is not. */
PL_MUST_CHECK static inline enum pl_status pl_crew_agree(const struct pl_crew *c, enum pl_status mine, struct pl_err *err)
{
	enum pl_status all = c ? c->agree(c->ctx, mine, err) : mine;

	return all == PL_OK ? mine : all;
}
static inline void pl_crew_sum(const struct pl_crew *c, uint64_t *values, size_t n)
{
	if (c)
		c->sum(c->ctx, values, n);
}
PL_MUST_CHECK static inline enum pl_status pl_crew_gather(const struct pl_crew *c, const void *mine, uint64_t len, struct pl_buf *all,
    struct pl_err *err)
{
	return c ? c->gather(c->ctx, mine, len, all, err) : pl_buf_add(all, mine, len, err);
}

#endif
