/* SPDX-License-Identifier: Apache-2.0 */
/* Who stays when concepts are balanced, in integers: p <= cap / count is
 * draw * count < cap * 2^64. */
#include "concept_rule.h"

#include <stdlib.h>

#include "libpipe/base/hash.h"

const char *const pl_concept_rule_names[] = {"metaclip", "llava", NULL};

uint64_t pl_concept_draw(uint64_t seed, uint64_t sample, uint64_t entry_hash)
{
	return pl_draw64(seed, sample, entry_hash);
}

/* The upper 64 bits of a product. */
static uint64_t high(uint64_t a, uint64_t b)
{
	uint64_t a0 = a & UINT32_MAX, a1 = a >> 32, b0 = b & UINT32_MAX, b1 = b >> 32;
	uint64_t middle = a1 * b0 + (a0 * b0 >> 32), low = (middle & UINT32_MAX) + a0 * b1;

	return a1 * b1 + (middle >> 32) + (low >> 32);
}

enum pl_reason pl_concept_verdict(const struct pl_concept_quota *q, uint64_t sample, const uint32_t *entries, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		uint32_t e = entries[i];
		uint64_t draw = pl_concept_draw(q->seed, sample, q->hashes[e]);
		if (q->rule == PL_CONCEPT_LLAVA && q->counts[e] < q->least)
			continue;
		any = true;
		if (q->rule == PL_CONCEPT_METACLIP ? high(draw, q->counts[e]) < q->cap
		                                   : q->counts[e] <= q->cap || draw <= q->limits[e])
			return PL_REASON_KEEP;
	}
	return any ? PL_REASON_CONCEPT_CAPPED : PL_REASON_NO_CONCEPT;
}

static int compare_draws(const void *x, const void *y)
{
	const struct pl_entry_draw *a = x, *b = y;

	if (a->entry != b->entry)
		return a->entry < b->entry ? -1 : 1;
	return (a->draw > b->draw) - (a->draw < b->draw);
}

size_t pl_concept_smallest(struct pl_entry_draw *d, size_t n, uint64_t cap)
{
	size_t kept = 0;
	uint64_t of_entry = 0;

	if (n > 1)
		qsort(d, n, sizeof(*d), compare_draws);
	for (size_t i = 0; i < n; i++) {
		of_entry = i > 0 && d[i].entry == d[i - 1].entry ? of_entry + 1 : 0;
		if (of_entry < cap)
			d[kept++] = d[i];
	}
	return kept;
}
