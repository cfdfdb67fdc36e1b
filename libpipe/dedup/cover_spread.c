/* SPDX-License-Identifier: Apache-2.0 */
/* Spreading entries over the parts of a range: chunks of a pool, hung together
 * by part. */
#include "cover_join.h"

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
	CHUNK = PL_CHUNK_BYTES / 8,     /* entries of a chunk */
	LINE = PL_JOIN_LINE,            /* entries of a cache line */
	FAR_CHUNKS = 4096               /* a pool of more chunks is beyond the caches: 16 MiB */
};

void pl_spread_begin(struct pl_join_plan *p)
{
	struct pl_scratch *s = &p->s;

	s->used = 0;
	for (uint32_t i = 0; i < 1u << p->part_bits; i++) {
		s->at[i] = s->pool;   /* stands at a chunk's edge */
		s->head_chunk[i] = PL_NO_CHUNK;
	}
}

static uint64_t *new_chunk(struct pl_scratch *s, uint32_t part)
{
	uint32_t c = s->used++;

	s->next_chunk[c] = PL_NO_CHUNK;
	if (s->head_chunk[part] == PL_NO_CHUNK)
		s->head_chunk[part] = c;
	else
		s->next_chunk[(size_t)(s->at[part] - 1 - s->pool) / CHUNK] = c;
	return s->pool + (size_t)c * CHUNK;
}

static bool spread_near(struct pl_join_plan *p, const uint64_t *entries, const uint16_t *part, size_t n)
{
	struct pl_scratch *s = &p->s;
	uint64_t **at = s->at;

	for (size_t i = 0; i < n; i++) {
		uint64_t *to = at[part[i]];
		if (((uintptr_t)to & (PL_CHUNK_BYTES - 1)) == 0) {
			if (s->used == s->nchunks)
				return false;
			to = new_chunk(s, part[i]);
		}
		*to = entries[i];
		at[part[i]] = to + 1;
	}
	return true;
}

#ifdef __SSE2__
/* As spread_near, for a pool far beyond the caches: whole lines are made in `line` and written past the caches. */
static bool spread_far(struct pl_join_plan *p, const uint64_t *entries, const uint16_t *part, size_t n)
{
	struct pl_scratch *s = &p->s;
	uint64_t **at = s->at;

	for (size_t i = 0; i < n; i++) {
		uint64_t *to = at[part[i]], *line = s->line + (size_t)part[i] * LINE;
		size_t place = (uintptr_t)to / sizeof(*to) % LINE;
		if (((uintptr_t)to & (PL_CHUNK_BYTES - 1)) == 0) {
			if (s->used == s->nchunks)
				return false;
			to = new_chunk(s, part[i]);
		}
		line[place] = entries[i];
		at[part[i]] = to + 1;
		if (place == LINE - 1) {
			for (unsigned k = 0; k < LINE; k += 2)
				_mm_stream_si128((__m128i *)(void *)(to + 1 - LINE + k), _mm_load_si128((const __m128i *)(const void *)(line + k)));
		}
	}
	return true;
}

/* The lines begun. */
static void end_lines(struct pl_join_plan *p)
{
	struct pl_scratch *s = &p->s;

	for (size_t part = 0; part < (size_t)1 << p->part_bits; part++) {
		size_t place = (uintptr_t)s->at[part] / sizeof(uint64_t) % LINE;
		memcpy(s->at[part] - place, s->line + part * LINE, place * sizeof(uint64_t));
	}
	_mm_sfence();
}
#else
#define spread_far spread_near
static void end_lines(struct pl_join_plan *p)
{
	(void)p;
}
#endif

bool pl_spread(struct pl_join_plan *p, const uint64_t *entries, const uint16_t *part, size_t n)
{
	return p->s.nchunks > FAR_CHUNKS ? spread_far(p, entries, part, n) : spread_near(p, entries, part, n);
}

void pl_spread_end(struct pl_join_plan *p)
{
	if (p->s.nchunks > FAR_CHUNKS)
		end_lines(p);
}

uint32_t pl_part_length(const struct pl_scratch *s, uint32_t part)
{
	uint32_t n = 0;
	size_t last;

	if (s->head_chunk[part] == PL_NO_CHUNK)
		return 0;
	for (uint32_t c = s->head_chunk[part]; s->next_chunk[c] != PL_NO_CHUNK; c = s->next_chunk[c])
		n += CHUNK;
	last = (size_t)(s->at[part] - s->pool) % CHUNK;
	return n + (last ? (uint32_t)last : CHUNK);
}
