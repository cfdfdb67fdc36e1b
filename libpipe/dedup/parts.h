/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a job that dedup is spread over, and how they reach each other.
 * Tools make a part of each rank; tests make parts of threads, or one alone. All
 * functions below and all of struct pl_parts but poll are Collective. */
#ifndef PL_DEDUP_PARTS_H
#define PL_DEDUP_PARTS_H

#include "libpipe/base/buf.h"
#include "libpipe/base/err.h"

/* Memory that all parts of a node see. */
struct pl_share { void *data; uint64_t bytes; void *handle; };

struct pl_parts {
	uint32_t part, parts;
	const uint32_t *leaders; uint32_t nodes;   /* one part of each node; leader: that of this part's node */
	uint32_t leader;
	const char *scratch;                       /* directory for what memory does not hold; NULL = none */
	void *ctx;
	enum pl_status (*poll)(void *ctx, struct pl_err *err);
	/* All leave with the worst status. */
	enum pl_status (*agree)(void *ctx, enum pl_status mine, struct pl_err *err);
	/* to[p] goes to part p; from holds what came in the order of parts. */
	enum pl_status (*exchange)(void *ctx, const struct pl_buf *to, struct pl_buf *from, struct pl_err *err);
	void (*sum)(void *ctx, uint64_t *values, size_t n);
	/* Zeroed. what: for the message when it does not fit. held: bytes that this part has allocated beside. */
	enum pl_status (*share)(void *ctx, struct pl_share *s, uint64_t bytes, uint64_t held, const char *what, struct pl_err *err);
	/* What the parts of a node wrote before, all of them read after. */
	void (*settle)(void *ctx, struct pl_share *s);
	/* Works on a zeroed one. */
	void (*unshare)(void *ctx, struct pl_share *s);
	/* Would share() hold so many bytes in memory? The same for all. */
	bool (*fits)(void *ctx, uint64_t bytes, uint64_t held);
	/* Bytes that each part may still take; the same for all. */
	uint64_t (*room)(void *ctx, uint64_t held);
};

/* A job of one part: nothing of it is collective. poll may be NULL. */
void pl_parts_alone(struct pl_parts *p, enum pl_status (*poll)(void *ctx, struct pl_err *err), void *ctx);

/* The next record (of the size that goes with it) and the part it goes to; false at the end. */
typedef bool pl_parts_next(void *ctx, const void **record, uint32_t *to);
/* Bring records to parts, in batches: what comes to this one is appended to in. st: how this part fared so far. */
PL_MUST_CHECK enum pl_status pl_parts_deal(const struct pl_parts *p, enum pl_status st, size_t size, pl_parts_next *next, void *ctx,
    struct pl_buf *in, struct pl_err *err);
/* The same for whoever makes records by the batch and has no list of what comes. fill appends a batch to the buffers, one for each
 * part, and says whether there is more; take gets what came of a batch. */
struct pl_parts_stream {
	enum pl_status (*fill)(void *ctx, struct pl_buf *to, uint64_t *more, struct pl_err *err);
	enum pl_status (*take)(void *ctx, const struct pl_buf *from, struct pl_err *err);
	void *ctx;
	struct pl_buf *to, from;   /* zeroed at first; kept from one call to the next */
};
PL_MUST_CHECK enum pl_status pl_parts_stream(const struct pl_parts *p, enum pl_status st, struct pl_parts_stream *s, struct pl_err *err);
void pl_parts_stream_release(const struct pl_parts *p, struct pl_parts_stream *s);   /* works on a zeroed one */
/* Sort records over all parts: each ends up with a range of the order, the first part with the first. About twice the memory of
 * this part's records; parts end up about even. */
PL_MUST_CHECK enum pl_status pl_parts_sort(const struct pl_parts *p, struct pl_buf *records, size_t size,
    int (*compare)(const void *a, const void *b), struct pl_err *err);
/* Every part has written bytes offset..offset + len - 1 of the share of its node: bring them to all nodes. */
PL_MUST_CHECK enum pl_status pl_parts_spread(const struct pl_parts *p, struct pl_share *s, uint64_t offset, uint64_t len,
    struct pl_err *err);
/* Append all of mine (each part its own) to all, on every leader or, with everybody, on every part. Batches as above. */
PL_MUST_CHECK enum pl_status pl_parts_tell(const struct pl_parts *p, enum pl_status st, bool everybody, const void *mine, uint64_t len,
    size_t size, struct pl_buf *all, struct pl_err *err);

#endif
