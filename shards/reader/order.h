/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which an epoch visits the samples 0 .. n-1: a permutation that is computed, not stored, so that a
 * checkpoint is (seed, epoch, position). Pure functions; nothing is read.
 *
 * Samples are cut into blocks of `block` consecutive ones (the last may be short). A keyed permutation of (seed, epoch)
 * orders the blocks; each `window` x `lanes` of them that follow each other are a window, whose samples are mixed by another.
 * So a reader holds the frames of one window, and no sample strays further than the window is long.
 *
 * Lanes let many readers share a window: it is cut into `lanes` groups of `window` blocks, each mixed by itself, and positions
 * take from the groups in turn, `stride` at a time. With stride x lanes = the global batch, rank r of w needs the
 * frames of its own lanes only, where otherwise every rank uncompresses everything. One lane: plain mixing. */
#ifndef SHARD_READER_ORDER_H
#define SHARD_READER_ORDER_H

#include "libpipe/base/err.h"
#include "libpipe/base/perm.h"

struct shard_order {                /* filled in by shard_order_init; same values give the same order, for ever */
	uint64_t n;                     /* samples, >= 1 */
	uint64_t block;                 /* samples of a block; 0: as they lie (seed and epoch play no part) */
	uint64_t stride;                /* positions that go to one lane before the next has its turn; >= 1 */
	uint32_t window;                /* blocks that are mixed, >= 1 */
	uint32_t lanes;                 /* >= 1 */
	uint64_t seed, epoch;
	/* Worked out from the above. */
	uint64_t blocks, short_size, short_slot;    /* size of the last block, and its place among the permuted ones */
	struct pl_perm slots;
};

#define SHARD_ORDER_BLOCK_BYTES ((uint64_t)16 << 20)   /* tar bytes of a block where nothing else is asked for */
#define SHARD_ORDER_WINDOW 2u

/* Samples of a default block for a data set whose samples have so many tar bytes (shard_dataset_sample_bytes). */
uint64_t shard_order_block(uint64_t sample_bytes);
/* Take n, block, stride, window, lanes, seed and epoch from *o (0 counts as 1 for stride, window and lanes), work out the
 * rest. block becomes n at most, and with lanes a multiple of stride. PL_ERR_USAGE: n is 0 or above 2^40, window x lanes above 2^20. */
PL_MUST_CHECK enum pl_status shard_order_init(struct shard_order *o, struct pl_err *err);
/* Number of the sample at position < n, and back. O(1). */
uint64_t shard_order_at(const struct shard_order *o, uint64_t position);
uint64_t shard_order_position(const struct shard_order *o, uint64_t sample);
/* shard_order_at for count positions from `position` on, cheaper than one by one. */
void shard_order_range(const struct shard_order *o, uint64_t position, size_t count, uint64_t *samples);
/* The window of a position: its number, and the positions it begins at and ends before. As they lie: one window of all. */
struct shard_order_window { uint64_t number, begin, end; };
struct shard_order_window shard_order_window(const struct shard_order *o, uint64_t position);

#endif
