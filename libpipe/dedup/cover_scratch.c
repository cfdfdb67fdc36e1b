/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a cover join beside its hashes: taken once by a rank and used
 * again from unit to unit; only what one part needs grows. */
#include "cover_join.h"

#include <stdlib.h>

#include <sys/mman.h>

enum { LINE_BYTES = 64 };
#define HUGE_PAGE ((size_t)2 << 20)

static void *big_alloc(size_t size)
{
	void *m = NULL;

	if (posix_memalign(&m, size >= HUGE_PAGE ? HUGE_PAGE : LINE_BYTES, size) != 0)
		return NULL;
#ifdef MADV_HUGEPAGE
	if (size >= HUGE_PAGE)
		(void)madvise(m, size, MADV_HUGEPAGE);   /* entries go to thousands of places at once */
#endif
	return m;
}

enum pl_status pl_scratch_new(struct pl_join_plan *p, uint32_t nwords, uint64_t entries, uint64_t places, struct pl_err *err)
{
	struct pl_scratch *s = &p->s;

	s->nwords = nwords;
	s->words_block = UINT32_MAX;
	s->entries = entries;
	s->places = places;
	if (nwords > 0)
		s->words = big_alloc((size_t)nwords * p->join.n * sizeof(*s->words));
	s->pool = big_alloc((size_t)places * sizeof(*s->pool));
	s->at = malloc(sizeof(*s->at) << p->part_bits);
	s->count = malloc(sizeof(*s->count) << p->part_bits);
	for (unsigned k = 0; k < PL_FAMILY_MASKS; k++)
		s->candidate[k] = malloc(PL_JOIN_CANDIDATES * sizeof(**s->candidate));
	s->pair = malloc(PL_JOIN_CANDIDATES * sizeof(*s->pair));
	s->block = calloc(1, sizeof(*s->block));
	s->hit = malloc(PL_JOIN_TILE * sizeof(*s->hit));
	if ((nwords > 0 && !s->words) || !s->pool || !s->at || !s->count || !s->pair || !s->block || !s->hit)
		return pl_fail_nomem(err);
	for (unsigned k = 0; k < PL_FAMILY_MASKS; k++) {
		if (!s->candidate[k])
			return pl_fail_nomem(err);
	}
	return PL_OK;
}

static void free_part(struct pl_scratch *s)
{
	free(s->buckets.entry);
	free(s->buckets.end);
	s->buckets = (struct pl_buckets){0};
	s->cap = 0;
}

void pl_scratch_free(struct pl_scratch *s)
{
	free_part(s);
	free(s->words);
	free(s->pool);
	free(s->at);
	free(s->count);
	for (unsigned k = 0; k < PL_FAMILY_MASKS; k++)
		free(s->candidate[k]);
	free(s->pair);
	free(s->cell);
	free(s->member);
	free(s->block);
	free(s->hit);
}

enum pl_status pl_scratch_fit(struct pl_scratch *s, uint32_t n, struct pl_err *err)
{
	struct pl_buckets *b = &s->buckets;
	uint32_t cap = 2 * PL_PART_ENTRIES;

	if (n <= s->cap)
		return PL_OK;
	while (cap < n && cap < 1u << 31)
		cap *= 2;
	if (cap < n)
		cap = n;
	free_part(s);
	b->entry = calloc(pl_group_places(cap), sizeof(*b->entry));   /* what lies behind a bucket is looked at */
	b->end = malloc(pl_group_buckets(cap) * sizeof(*b->end));
	if (!b->entry || !b->end) {
		free_part(s);
		return pl_fail_nomem(err);
	}
	s->cap = cap;
	return PL_OK;
}
