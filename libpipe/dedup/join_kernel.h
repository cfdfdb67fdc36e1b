/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loop of the join: one hash against a block of hashes. Every kernel
 * finds the same pairs; the fastest that the processor has is taken. Internal
 * to this room and its tests. */
#ifndef PL_DEDUP_JOIN_KERNEL_H
#define PL_DEDUP_JOIN_KERNEL_H

#include "join.h"

enum { PL_JOIN_TILE = 1024 };   /* hashes on a side: 32 KiB, a first-level cache */

/* A block of hashes by words: word[w][i] is word w of hash i. Slots from n on hold garbage and are not
 * reported. */
struct pl_join_block {
	uint64_t word[4][PL_JOIN_TILE];
	uint32_t n;
};
struct pl_join_hit { uint16_t index, distance; };

enum pl_join_kernel { PL_JOIN_PORTABLE, PL_JOIN_POPCNT, PL_JOIN_AVX512, PL_JOIN_KERNELS };

/* Compare h with slots from..n-1 of b; hits has room for PL_JOIN_TILE. Returns the number of hits, in
 * slot order. */
typedef uint32_t pl_join_scan_fn(const uint64_t h[4], const struct pl_join_block *b, uint32_t from,
    unsigned distance, struct pl_join_hit *hits);

/* NULL where this processor or compiler lacks it. */
pl_join_scan_fn *pl_join_scan(enum pl_join_kernel kernel);

/* Two hashes to compare, a < b. */
struct pl_join_candidate { uint32_t a, b; };
/* Write the candidates within the distance to pairs (room for n) in their order; returns how many. The hashes
 * lie anywhere in memory, so they are fetched ahead. */
typedef uint32_t pl_join_verify_fn(const uint64_t (*hashes)[4], const struct pl_join_candidate *c, uint32_t n,
    unsigned distance, struct pl_pair *pairs);
/* NULL as above. */
pl_join_verify_fn *pl_join_verify(enum pl_join_kernel kernel);
/* The fastest of this processor. */
enum pl_join_kernel pl_join_best(void);
const char *pl_join_kernel_name(enum pl_join_kernel kernel);

/* pl_join_part with a chosen kernel. */
PL_MUST_CHECK enum pl_status pl_join_part_with(const struct pl_join *j, enum pl_join_kernel kernel,
    uint32_t part, uint32_t parts, struct pl_buf *out, struct pl_err *err);

#endif
