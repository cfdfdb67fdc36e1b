/* SPDX-License-Identifier: Apache-2.0 */
/* The join of cover_join.h where no part holds all hashes: each keeps those of its
 * nodes, and mask by mask they meet at the part that owns their key. The pairs
 * are the same, each found once. README.md has the costs. */
#ifndef PL_DEDUP_PARTITION_H
#define PL_DEDUP_PARTITION_H

#include "join.h"
#include "link.h"
#include "parts.h"

struct pl_partition_job {
	const struct pl_parts *parts;
	const uint64_t (*hashes)[4];   /* of this part, permuted by pl_cover_permute */
	const uint32_t *classes;       /* NULL, or theirs */
	uint32_t n;
	uint64_t first;                /* number of its first hash in the whole job: parts stand in order */
	uint64_t total, fixed;         /* of the whole job; the first `fixed` are not compared with each other */
	unsigned distance;
	uint64_t memory;               /* bytes that this part may use beside its hashes; some MiB are used whatever it says */
	double budget;                 /* 0, or the most candidates that pl_partition_cost lets pass */
	bool (*related)(uint32_t class_a, uint32_t class_b);
	/* Pairs that this part has found. */
	enum pl_status (*found)(void *ctx, const struct pl_link *pairs, size_t n, struct pl_err *err);
	void *ctx;
};

/* How it is done; all 0 is as it does best. The same on all parts. */
struct pl_partition_how {
	uint32_t nblocks;              /* a cover of so many blocks, even where another or none is cheaper */
	uint64_t hot_size;             /* from how many hashes on a bucket is shared out; 0: 2^17 */
};

struct pl_partition_stats { uint64_t groups, passes, tiles, records; };   /* records: sent by this part, to itself, too */

struct pl_partition;
/* The job is copied, what it points to is borrowed. Collective, as all below but steps and stats. */
PL_MUST_CHECK enum pl_status pl_partition_new(struct pl_partition **p, const struct pl_partition_job *job,
    const struct pl_partition_how *how, struct pl_err *err);
void pl_partition_free(struct pl_partition *p);   /* NULL works */
/* The join is done in steps, one after the other, by all parts together. */
uint64_t pl_partition_steps(const struct pl_partition *p);
PL_MUST_CHECK enum pl_status pl_partition_step(struct pl_partition *p, uint64_t step, struct pl_err *err);
/* As pl_join_plan_cost; the numbers are the same on all parts. */
PL_MUST_CHECK enum pl_status pl_partition_cost(struct pl_partition *p, struct pl_join_cost *c, struct pl_err *err);
struct pl_partition_stats pl_partition_stats(const struct pl_partition *p);

#endif
