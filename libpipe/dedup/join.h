/* SPDX-License-Identifier: Apache-2.0 */
/* All pairs of 256-bit (or 64-bit) hashes within Hamming distance d, with no
 * miss: by a cover (plans and units), or by comparing everything in tiles, which
 * is right for few hashes and what the cover is tested against. README.md has
 * the costs. */
#ifndef PL_DEDUP_JOIN_H
#define PL_DEDUP_JOIN_H

#include "libpipe/base/buf.h"
#include "libpipe/base/err.h"

struct pl_pair { uint32_t a, b; uint32_t distance; };   /* a < b: indices of hashes */

struct pl_join {
	uint64_t (*hashes)[4];         /* n x 256 bits; of 64-bit hashes the first word, the others 0 */
	uint32_t n;                    /* at most 2^32 - 2 */
	unsigned distance;             /* d, 0..256 */
	unsigned bits;                 /* 256 (also 0) or 64 */
	uint32_t fixed;                /* the first `fixed` hashes are not compared with each other: their pairs are not looked for */
	bool permuted;                 /* plans: another rank's plan has permuted these hashes, in shared memory */
	uint32_t workers;              /* plans: how many share the units: many get more and smaller ones; 0: one */
	double budget;                 /* plans: 0, or the most candidates that pl_join_plan_cost lets pass */
	/* NULL, or: may a and b be a pair at all? */
	bool (*related)(void *ctx, uint32_t a, uint32_t b);
	enum pl_status (*poll)(void *ctx, struct pl_err *err);   /* NULL, or called every few ms of work */
	void *ctx;
};
/* Compare everything: append part `part` of `parts` of the pairs (as struct pl_pair) to out. The union over parts is the whole
 * result, each pair once. Leaves the hashes alone. */
PL_MUST_CHECK enum pl_status pl_join_part(const struct pl_join *j, uint32_t part, uint32_t parts, struct pl_buf *out, struct pl_err *err);

struct pl_join_plan;   /* how a join is done: the cover, the permuted hashes, the units */
/* Plan a join. j is copied; its hashes are borrowed until pl_join_plan_free, and their bits are permuted IN PLACE (unless
 * `permuted`), which changes no distance. Ranks that share the hashes: one makes its plan first, then the others, with `permuted`.
 * memory: bytes this rank may use for scratch beside the hashes: units are split by ranges of key values until scratch fits;
 * PL_ERR_LIMIT when that would be too many. Some MiB are used whatever it says. */
PL_MUST_CHECK enum pl_status pl_join_plan_new(struct pl_join_plan **p, const struct pl_join *j, uint64_t memory, struct pl_err *err);
void pl_join_plan_free(struct pl_join_plan *p);
/* (masks, key range), then shares of hot buckets. The same for every rank given the same hashes, d, bits, workers, memory. Units of one
 * block are neighbours: a rank does best to take runs of them. */
uint64_t pl_join_plan_units(const struct pl_join_plan *p);
/* Append the unit's pairs to out; each pair of the whole join appears under exactly one unit, once. */
PL_MUST_CHECK enum pl_status pl_join_unit(struct pl_join_plan *p, uint64_t unit, struct pl_buf *out, struct pl_err *err);

struct pl_join_cost {
	uint64_t keys;             /* hashes x masks */
	double candidates;         /* pairs that agree under a mask: their entries will be looked at */
	double seconds;            /* of one core */
	double pairs;              /* that will be found, by those of a sample */
	uint64_t pairs_seen;       /* in the sample: below some hundred, pairs is a guess */
	uint64_t largest_bucket;   /* seen or estimated */
	uint64_t scratch;          /* bytes beside the hashes */
};
/* Predict the join: the sum of s(s-1)/2 over the buckets of the lightest and the heaviest mask of every block, scaled to all
 * masks; exact for these up to 2^20 hashes, of a sample of so many beyond. Takes some 0.1 s at any number. More candidates than the
 * join's budget: PL_ERR_LIMIT, with *c filled and err saying what to do. */
PL_MUST_CHECK enum pl_status pl_join_plan_cost(struct pl_join_plan *p, struct pl_join_cost *c, struct pl_err *err);

#endif
