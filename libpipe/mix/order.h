/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which one pass draws a source's kept samples, computed on demand
 * and such that any stretch of it reads from few input shards.
 *
 * Each input shard is cut into blocks of equal size, one or more. The blocks are dealt into groups of at most fan_in / 2, in rounds
 * from the largest to the smallest with every round shuffled: so the groups hold the same number of samples but for one block's.
 * The pass goes from group to group; the draws of a group are one keyed permutation over its blocks. Where fan_in is 0, or no less
 * than the shards that hold something, all samples are one block.
 *
 * A pass that draws only some of its samples draws the same share of every block, to within one sample: those with the smallest
 * keys, where the keys of a block lie evenly over the 64-bit numbers in the block's own shuffled order. */
#ifndef PL_MIX_ORDER_H
#define PL_MIX_ORDER_H

#include "libpipe/base/err.h"
#include "libpipe/base/perm.h"

struct pl_order;
/* What decides an order besides the number of samples in each shard. groups: only so many of the pass's groups are drawn from (0: all). */
struct pl_order_way { uint64_t seed; const char *source; uint64_t pass, fan_in, groups; };
/* first: nshards + 1 prefix counts of kept samples, in the order of the units' names; borrowed. first[nshards] > 0. Nothing is
 * drawn before pl_order_draw. Memory and time: by the number of shards. */
PL_MUST_CHECK enum pl_status pl_order_new(struct pl_order **o, const uint64_t *first, size_t nshards, const struct pl_order_way *way,
    struct pl_err *err);
void pl_order_free(struct pl_order *o);   /* NULL works */

/* Samples of the groups drawn from: what can be drawn. */
uint64_t pl_order_all(const struct pl_order *o);
uint64_t pl_order_groups(const struct pl_order *o);
uint64_t pl_order_smallest(const struct pl_order *o);   /* samples of the group that has fewest */
/* Draw so many samples, at most all: those that come first by key, then by block. */
void pl_order_draw(struct pl_order *o, uint64_t draws);
uint64_t pl_order_draws(const struct pl_order *o);
/* Draw number i (< draws) -> kept sample. Not for two threads at once. */
uint64_t pl_order_at(struct pl_order *o, uint64_t i);
/* Draws [from, to) read no more input shards than this: the blocks of the groups they lie in. */
uint64_t pl_order_shards(const struct pl_order *o, uint64_t from, uint64_t to);

/* The place of a kept sample among those that could be drawn: by key, then by block. block PL_ORDER_NONE: its group is not drawn from. */
#define PL_ORDER_NONE UINT32_MAX
struct pl_order_place { uint64_t key; uint32_t block; };
/* Of n consecutive samples from j. */
void pl_order_places(const struct pl_order *o, uint64_t j, size_t n, struct pl_order_place *places);
/* Is any of the samples from to to - 1 in a group that is drawn from? */
bool pl_order_touches(const struct pl_order *o, uint64_t from, uint64_t to);
/* Is the sample at this place drawn? */
bool pl_order_drawn(const struct pl_order *o, const struct pl_order_place *place);
/* The other way round. A block's samples with keys from low to high, both included, are its ranks *from to *to - 1. */
uint64_t pl_order_nblocks(const struct pl_order *o);
void pl_order_ranks(const struct pl_order *o, uint32_t block, uint64_t low, uint64_t high, uint64_t *from, uint64_t *to);
/* The sample of a rank, and its place. */
uint64_t pl_order_ranked(const struct pl_order *o, uint32_t block, uint64_t rank, struct pl_order_place *place);

#endif
