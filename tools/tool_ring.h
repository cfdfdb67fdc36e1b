/* SPDX-License-Identifier: Apache-2.0 */
/* Samples on their way through the codec pool: their images are submitted as
 * they are read, and they are finished in their order once all their images
 * are back. At most TOOL_RING_DEPTH samples are under way. */
#ifndef TOOLS_TOOL_RING_H
#define TOOLS_TOOL_RING_H

#include "tool.h"

#define TOOL_RING_DEPTH 32u

struct tool_ring {
	struct tool *tool;
	void *ctx;
	/* A finished image of sample number `sample` (its place in an array of the caller: sample % TOOL_RING_DEPTH). */
	enum pl_status (*take)(void *ctx, uint64_t sample, size_t image, const struct pl_pool_result *r, struct pl_err *err);
	/* All images of the oldest sample are back: write and release it. */
	enum pl_status (*finish)(void *ctx, uint64_t sample, struct pl_err *err);
	/* Release a sample that will not be written. */
	void (*drop)(void *ctx, uint64_t sample);
	uint64_t head, tail;                  /* samples head..tail-1 are under way */
	size_t waiting[TOOL_RING_DEPTH];      /* images each of them waits for */
};

/* Finish samples until another can be added, and give its number. */
PL_MUST_CHECK enum pl_status tool_ring_add(struct tool_ring *r, uint64_t *sample, struct pl_err *err);
/* Submit image number `image` of a sample under way; collects others while the pool is full. The job's tag is the ring's. */
PL_MUST_CHECK enum pl_status tool_ring_submit(struct tool_ring *r, uint64_t sample, size_t image, struct pl_pool_job *job, struct pl_err *err);
/* Finish all samples. */
PL_MUST_CHECK enum pl_status tool_ring_finish(struct tool_ring *r, struct pl_err *err);
/* Drop what is left after an error. st: that error; after a stop the pool is left as it is, since ending it is quicker than waiting for it. */
void tool_ring_release(struct tool_ring *r, enum pl_status st);

#endif
