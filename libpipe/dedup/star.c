/* SPDX-License-Identifier: Apache-2.0 */
/* Greedy stars: items are decided in priority order, and an item's fate hangs
 * only on kept items before it. */
#include "star.h"

#include <stdlib.h>

/* By the item to decide; then its neighbours nearest first. */
static int compare_pairs(const void *x, const void *y)
{
	const struct pl_pair *p = x, *q = y;

	if (p->b != q->b)
		return p->b < q->b ? -1 : 1;
	if (p->distance != q->distance)
		return p->distance < q->distance ? -1 : 1;
	return (p->a > q->a) - (p->a < q->a);
}

enum pl_status pl_star(uint32_t n, struct pl_pair *pairs, size_t npairs, uint32_t *survivor,
    uint16_t *distance, struct pl_err *err)
{
	for (size_t i = 0; i < npairs; i++) {
		if (pairs[i].a >= pairs[i].b || pairs[i].b >= n || pairs[i].distance > UINT16_MAX)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL,
			    "pair (%u, %u) at distance %u is none of %u items", (unsigned)pairs[i].a,
			    (unsigned)pairs[i].b, (unsigned)pairs[i].distance, (unsigned)n);
	}
	if (npairs > 1)
		qsort(pairs, npairs, sizeof(*pairs), compare_pairs);
	for (uint32_t i = 0; i < n; i++) {
		survivor[i] = PL_STAR_KEPT;
		distance[i] = 0;
	}
	/* Pairs stand by b, and a < b: when b is looked at, every a is decided. */
	for (size_t i = 0; i < npairs; i++) {
		const struct pl_pair *p = &pairs[i];
		if (survivor[p->b] == PL_STAR_KEPT && survivor[p->a] == PL_STAR_KEPT) {
			survivor[p->b] = p->a;
			distance[p->b] = (uint16_t)p->distance;
		}
	}
	return PL_OK;
}
