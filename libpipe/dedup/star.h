/* SPDX-License-Identifier: Apache-2.0 */
/* Who survives: greedy stars = the lexicographically first maximal independent
 * set of the pair graph in a total order. Every dropped item is within d of a
 * kept one, no two kept items are, and nothing chains. */
#ifndef PL_DEDUP_STAR_H
#define PL_DEDUP_STAR_H

#include "join.h"

#define PL_STAR_KEPT UINT32_MAX
/* Items 0..n-1 stand in priority order (0 first). pairs: any order, sorted in place. survivor[i] = PL_STAR_KEPT, or the nearest kept
 * neighbour of higher priority (ties: the first); distance[i] = its distance. */
PL_MUST_CHECK enum pl_status pl_star(uint32_t n, struct pl_pair *pairs, size_t npairs, uint32_t *survivor, uint16_t *distance, struct pl_err *err);

#endif
