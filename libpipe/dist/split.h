/* SPDX-License-Identifier: Apache-2.0 */
/* Which units of work are too large to be one rank's, and into how large pieces
 * they are best cut. */
#ifndef PL_DIST_SPLIT_H
#define PL_DIST_SPLIT_H

#include "libpipe/base/err.h"

/* malloc'ed: 0..n-1, the largest first, equal ones in their order; NULL = no memory. */
uint64_t *pl_largest_first(const uint64_t *sizes, uint64_t n);

/* Pieces are no smaller than this, so that what a piece costs by itself does not count. */
#define PL_SPLIT_MIN ((uint64_t)4 << 20)

/* n units of the given sizes, taken largest first by whichever of `ranks` alike ranks is free: split[i] is set where unit i would end more than a
 * twentieth behind a fair share of all, and is worth cutting. Returns the size of the pieces: a power of two, about a thirtieth of a fair
 * share. piece: 0; else pieces have this size, and every unit of more than two of them is split. Nothing depends on anything else, so all
 * ranks find the same. PL_ERR_NOMEM is the only error. Cost: n (log n + log ranks). */
PL_MUST_CHECK enum pl_status pl_split_plan(const uint64_t *sizes, uint64_t n, int ranks, uint64_t piece, bool *split, uint64_t *step,
    struct pl_err *err);

#endif
