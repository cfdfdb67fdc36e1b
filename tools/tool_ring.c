/* SPDX-License-Identifier: Apache-2.0 */
/* Samples on their way through the codec pool; see tool_ring.h. */
#include "tool_ring.h"

static enum pl_status take(struct tool_ring *r, const struct pl_pool_result *result, struct pl_err *err)
{
	uint64_t sample = result->tag >> 32;

	r->waiting[sample % TOOL_RING_DEPTH]--;
	return r->take(r->ctx, sample, (size_t)(result->tag & UINT32_MAX), result, err);
}

/* Wait for the oldest image. */
static enum pl_status collect(struct tool_ring *r, struct pl_err *err)
{
	struct pl_pool_result result;
	bool ready = false;
	enum pl_status st = PL_OK;

	while (st == PL_OK && !ready) {
		st = pl_pool_next(r->tool->pool, 20, &ready, &result, err);
		if (st == PL_OK && ready)
			st = take(r, &result, err);
		if (st == PL_OK)
			st = tool_poll(r->tool, err);
	}
	return st;
}

static enum pl_status finish_oldest(struct tool_ring *r, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	while (st == PL_OK && r->waiting[r->head % TOOL_RING_DEPTH] > 0)
		st = collect(r, err);
	if (st == PL_OK)
		st = r->finish(r->ctx, r->head++, err);
	return st;
}

enum pl_status tool_ring_add(struct tool_ring *r, uint64_t *sample, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	while (st == PL_OK && r->tail - r->head == TOOL_RING_DEPTH)
		st = finish_oldest(r, err);
	if (st != PL_OK)
		return st;
	*sample = r->tail++;
	r->tool->watch.sample = *sample;
	r->waiting[*sample % TOOL_RING_DEPTH] = 0;
	return PL_OK;
}

enum pl_status tool_ring_submit(struct tool_ring *r, uint64_t sample, size_t image, struct pl_pool_job *job, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	while (st == PL_OK && !pl_pool_has_room(r->tool->pool))
		st = collect(r, err);
	if (st != PL_OK)
		return st;
	job->tag = sample << 32 | (uint64_t)image;
	st = pl_pool_submit(r->tool->pool, job, err);
	r->waiting[sample % TOOL_RING_DEPTH] += st == PL_OK;
	return st;
}

enum pl_status tool_ring_finish(struct tool_ring *r, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	while (st == PL_OK && r->head < r->tail)
		st = finish_oldest(r, err);
	return st;
}

void tool_ring_release(struct tool_ring *r, enum pl_status st)
{
	struct pl_pool_result result;
	bool ready;

	/* Images of a shard that failed must not come back as another's. Rank 0 goes on serving meanwhile. */
	while (st != PL_ERR_STOPPED && !pl_job_stopping(r->tool->job) && pl_pool_pending(r->tool->pool) > 0) {
		if (pl_pool_next(r->tool->pool, 20, &ready, &result, NULL) != PL_OK)
			break;
		(void)!tool_poll(r->tool, NULL);
	}
	for (; r->head < r->tail; r->head++)
		r->drop(r->ctx, r->head);
}
