/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a cover join beside its hashes: taken once by a rank and used
 * again from unit to unit; only what one part needs grows. */
#include "cover_join.h"

#include <stdlib.h>

#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

static void *big_alloc(size_t size)
{
	void *m = NULL;

	if (posix_memalign(&m, size >= HUGE_PAGE ? HUGE_PAGE : PL_CHUNK_BYTES, size) != 0)
		return NULL;
#ifdef MADV_HUGEPAGE
	if (size >= HUGE_PAGE)
		(void)madvise(m, size, MADV_HUGEPAGE);   /* entries go to thousands of places at once */
#endif
	return m;
}

enum pl_status pl_scratch_new(struct pl_join_plan *p, bool words, uint64_t chunks, struct pl_err *err)
{
	struct pl_scratch *s = &p->s;
	size_t parts = (size_t)1 << p->part_bits;

	s->words_block = UINT32_MAX;
	s->nchunks = (uint32_t)chunks;
	if (words)
		s->words = big_alloc((size_t)p->join.n * sizeof(*s->words));
	s->pool = big_alloc((size_t)chunks * PL_CHUNK_BYTES);
	s->next_chunk = malloc((size_t)chunks * sizeof(*s->next_chunk));
	s->at = malloc(parts * sizeof(*s->at));
	s->head_chunk = malloc(parts * sizeof(*s->head_chunk));
	s->line = big_alloc(parts * PL_JOIN_LINE * sizeof(*s->line));
	for (unsigned k = 0; k < PL_FAMILY_MASKS; k++)
		s->candidate[k] = malloc(PL_JOIN_CANDIDATES * sizeof(**s->candidate));
	s->pair = malloc(PL_JOIN_CANDIDATES * sizeof(*s->pair));
	s->block = calloc(1, sizeof(*s->block));
	s->hit = malloc(PL_JOIN_TILE * sizeof(*s->hit));
	if ((words && !s->words) || !s->pool || !s->next_chunk || !s->at || !s->head_chunk || !s->line || !s->pair ||
	    !s->block || !s->hit)
		return pl_fail_nomem(err);
	for (unsigned k = 0; k < PL_FAMILY_MASKS; k++) {
		if (!s->candidate[k])
			return pl_fail_nomem(err);
	}
	return PL_OK;
}

static void free_part(struct pl_scratch *s)
{
	free(s->entry);
	free(s->next);
	free(s->pending);
	free(s->slot);
	free(s->done);
	s->entry = NULL;
	s->next = s->pending = s->slot = NULL;
	s->done = NULL;
	s->cap = s->slots = 0;
}

void pl_scratch_free(struct pl_scratch *s)
{
	free_part(s);
	free(s->words);
	free(s->pool);
	free(s->next_chunk);
	free(s->at);
	free(s->head_chunk);
	free(s->line);
	for (unsigned k = 0; k < PL_FAMILY_MASKS; k++)
		free(s->candidate[k]);
	free(s->pair);
	free(s->member);
	free(s->block);
	free(s->hit);
}

enum pl_status pl_scratch_fit(struct pl_scratch *s, uint32_t n, struct pl_err *err)
{
	uint32_t cap = 2 * PL_PART_ENTRIES;

	if (n <= s->cap)
		return PL_OK;
	while (cap < n && cap < 1u << 31)
		cap *= 2;
	if (cap < n)
		cap = n;
	free_part(s);
	s->slots = cap < 1u << 30 ? 2 * cap : 1u << 31;
	s->entry = calloc(cap, sizeof(*s->entry));
	s->next = malloc((size_t)cap * sizeof(*s->next));
	s->pending = malloc((size_t)cap * sizeof(*s->pending));
	s->slot = malloc((size_t)s->slots * sizeof(*s->slot));
	s->done = malloc(cap);
	if (!s->entry || !s->next || !s->pending || !s->slot || !s->done) {
		free_part(s);
		return pl_fail_nomem(err);
	}
	s->cap = cap;
	return PL_OK;
}
