/* SPDX-License-Identifier: Apache-2.0 */
/* What the files behind partition.h share. Internal to this room. */
#ifndef PL_DEDUP_PARTITION_STEP_H
#define PL_DEDUP_PARTITION_STEP_H

#include "cover_join.h"
#include "libpipe/base/hash.h"
#include "partition.h"

enum {
	PL_PARTITION_BINS = 1 << 20,                 /* of all groups of a step, at most */
	PL_GROUP_MASKS = 8
};

/* Masks of one block with bits in common: hashes that agree under any of them agree on those, so a hash is sent once for all. */
struct pl_group {
	uint32_t mask[PL_GROUP_MASKS], n, block;
	uint64_t part;                               /* the bits in common */
};

struct pl_partition {
	struct pl_partition_job job;
	struct pl_partition_how how;
	struct pl_join_plan local;                   /* joins what came; its cover is that of the whole */
	uint32_t capacity;                           /* records that may come at once */
	struct pl_group *group; uint32_t ngroups;
	uint32_t per_step;                           /* groups */
	unsigned bin_bits;                           /* keys of a group fall into bins; these are shared out */
	uint64_t batch;                              /* bytes that a part sends at once */
	/* What came: hashes, their numbers in the job, their classes; pairs among them, by place. */
	uint64_t (*hash)[4], *id;
	uint32_t *class;
	struct pl_buf pairs;
	struct pl_link *link;
	uint32_t base;                               /* pairs count from here */
	struct pl_parts_stream stream;
	struct pl_partition_stats stats;
};

/* A run of what came, fixed ones from the front, others from the back, until both meet. */
struct pl_segment { uint32_t start, front, back, end; };

/* On the wire: the hash, its number with 16 bits on top for the sender's use, and its class where there are several. */
static inline size_t pl_record_size(const struct pl_partition *p)
{
	return p->job.classes ? 48 : 40;
}
#define PL_RECORD_TAG 48

static inline uint32_t pl_partition_bin(const struct pl_partition *p, const struct pl_group *g, const uint64_t h[4])
{
	/* not the product that the local join spreads by: its parts would lie in a few bins */
	uint64_t key = pl_mix64(pl_cover_word(&p->local.cover, g->block, h) & g->part);

	return (uint32_t)(key >> 32 >> (32 - p->bin_bits));
}

/* Room in a batch: for this part in all, for each that it sends to; so no part gets more than a few batches at once. */
static inline uint64_t pl_partition_room(const struct pl_partition *p)
{
	return p->batch / pl_record_size(p) + 1;
}
static inline size_t pl_partition_room_each(const struct pl_partition *p)
{
	return (size_t)((4 * p->batch / p->job.parts->parts / pl_record_size(p) + 64) * pl_record_size(p));
}
PL_MUST_CHECK enum pl_status pl_partition_send(struct pl_partition *p, struct pl_buf *to, uint32_t i, uint64_t tag, struct pl_err *err);
/* Put what came into its segment: segment_of tells which, NULL = none of ours. */
typedef struct pl_segment *pl_segment_of(void *ctx, uint64_t tag, uint64_t id);
PL_MUST_CHECK enum pl_status pl_partition_receive(struct pl_partition *p, const struct pl_buf *from, pl_segment_of *segment_of, void *ctx,
    struct pl_err *err);
/* Pairs by place become pairs of the job. */
PL_MUST_CHECK enum pl_status pl_partition_flush(struct pl_partition *p, struct pl_err *err);
/* Flush, and look for a stop signal. */
PL_MUST_CHECK enum pl_status pl_partition_poll(void *ctx, struct pl_err *err);

/* partition_cover.c */
struct pl_partition_share {
	uint64_t total;                              /* hashes */
	uint64_t slots;                              /* that they are shared out to at once: parts, or more where memory is short */
	uint64_t hot_size;
	double base;                                 /* what a bit is worth: cover_join.h */
	uint32_t nodes;
};
/* The cover by what it costs to send keys around; no blocks: comparing everything is cheaper. c->seconds: of one core. */
PL_MUST_CHECK enum pl_status pl_partition_cover(struct pl_cover *c, unsigned distance, const struct pl_partition_share *s, struct pl_err *err);
/* Put masks together as long as enough bits are left in common to share hashes out evenly. groups: room for one a mask, or NULL.
 * Returns how many. */
uint32_t pl_partition_groups(const struct pl_cover *c, const struct pl_partition_share *s, struct pl_group *groups);
double pl_partition_chance(double base, uint64_t mask);   /* that two strangers agree under a mask */
double pl_partition_send_ns(uint32_t nodes);              /* of a record */

/* partition_step.c: join the groups listed; with tally, one for each, count instead, of this part: of many hashes by some of their
 * keys. *tiled: pairs of hot buckets, then counted only, of the whole job. */
PL_MUST_CHECK enum pl_status pl_partition_run(struct pl_partition *p, const struct pl_group *groups, uint32_t n, struct pl_tally *tally,
    double *tiled, struct pl_err *err);
/* partition_tiles.c: all pairs of the hashes in a bin of a group, NULL = of all hashes, in a grid of tiles that the parts share. size:
 * how many they are in the whole job. */
PL_MUST_CHECK enum pl_status pl_partition_tiles(struct pl_partition *p, const struct pl_group *group, uint32_t bin, uint64_t size,
    struct pl_err *err);

#endif
