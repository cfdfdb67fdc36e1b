/* SPDX-License-Identifier: Apache-2.0 */
/* One unit of a cover join: the keys of all hashes under one mask are spread
 * over parts that fit a cache, each part is grouped by fingerprint, and what
 * meets is compared in full. A pair is emitted under the lowest mask on which it
 * agrees and under no other, so a fingerprint that collides does no harm. */
#include "cover_join.h"

#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
	STRIP = 2048,                   /* words from which keys are made at once */
	CHUNK = PL_CHUNK_BYTES / 8,     /* entries of a chunk */
	CANDIDATES = PL_JOIN_CANDIDATES,              /* their hashes stay near the core from the check of the distance to that of the mask */
	LINE = PL_JOIN_LINE,                       /* entries of a cache line */
	FAR_CHUNKS = 4096,              /* a pool of more chunks is beyond the caches: 16 MiB */
	LARGE = 32,                     /* a bucket with more hashes is compared in tiles */
	POLL_STRIPS = 256, POLL_PARTS = 64
};
#define NO_CHUNK UINT32_MAX

struct run {
	struct pl_join_plan *p;
	struct pl_buf *out;
	struct pl_tally *tally;         /* count only, when not NULL */
	struct pl_err *err;
	uint32_t mask, block;
	const struct pl_hot *hot; size_t nhot;   /* of this mask */
};

static enum pl_status add_member(struct pl_scratch *s, uint32_t index, struct pl_err *err)
{
	if (s->nmember == s->cap_member) {
		uint64_t cap = s->cap_member ? 2 * s->cap_member : 4096;
		uint32_t *m = realloc(s->member, (size_t)cap * sizeof(*m));
		if (!m)
			return pl_fail_nomem(err);
		s->member = m;
		s->cap_member = cap;
	}
	s->member[s->nmember++] = index;
	return PL_OK;
}

static enum pl_status poll(const struct run *r)
{
	const struct pl_join *j = &r->p->join;

	return j->poll ? j->poll(j->ctx, r->err) : PL_OK;
}

/* ---- pairs ---- */

/* Pairs within the distance: keep those whose lowest mask this is. */
static enum pl_status emit(struct run *r, struct pl_pair *pairs, uint32_t n)
{
	const struct pl_join *j = &r->p->join;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct pl_pair q = pairs[i];
		if (q.b >= j->fixed && pl_cover_lowest(&r->p->cover, r->block, r->mask, j->hashes[q.a], j->hashes[q.b]) &&
		    (!j->related || j->related(j->ctx, q.a, q.b)))
			pairs[kept++] = q;
	}
	return kept ? pl_buf_add(r->out, pairs, kept * sizeof(*pairs), r->err) : PL_OK;
}

static enum pl_status verify(struct run *r)
{
	struct pl_scratch *s = &r->p->s;
	uint32_t n;

	if (s->ncandidates == 0)
		return PL_OK;
	n = r->p->verify(pl_join_hashes(r->p), s->candidate, s->ncandidates, r->p->join.distance, s->pair);
	s->ncandidates = 0;
	return emit(r, s->pair, n);
}

/* Are all members in tile `from` fixed? Members stand in order, up or down. */
static bool tile_fixed(const struct run *r, uint64_t from)
{
	const struct pl_scratch *s = &r->p->s;
	uint64_t last = from + PL_JOIN_TILE < s->nmember ? from + PL_JOIN_TILE - 1 : s->nmember - 1;

	return s->member[from] < r->p->join.fixed && s->member[last] < r->p->join.fixed;
}

/* Rows left .. of the members against the loaded block of members right .. */
static enum pl_status join_tile(struct run *r, uint64_t left, uint64_t right)
{
	struct pl_scratch *s = &r->p->s;
	uint64_t end = left + PL_JOIN_TILE < s->nmember ? left + PL_JOIN_TILE : s->nmember;
	enum pl_status st = PL_OK;

	if (tile_fixed(r, left) && tile_fixed(r, right))
		return poll(r);
	for (uint64_t i = left; i < end && st == PL_OK; i++) {
		uint32_t from = left == right ? (uint32_t)(i - left) + 1 : 0, a = s->member[i];
		uint32_t n = r->p->scan(r->p->join.hashes[a], s->block, from, r->p->join.distance, s->hit);
		for (uint32_t k = 0; k < n; k++) {
			uint32_t b = s->member[right + s->hit[k].index];
			s->pair[k] = (struct pl_pair){a < b ? a : b, a < b ? b : a, s->hit[k].distance};
		}
		st = n ? emit(r, s->pair, n) : PL_OK;
	}
	return st == PL_OK ? poll(r) : st;
}

/* All pairs of the members, as the exhaustive join does it; tile t belongs to share t mod shares. */
static enum pl_status join_members(struct run *r, uint32_t share, uint32_t shares)
{
	struct pl_scratch *s = &r->p->s;
	uint64_t tile = 0;
	enum pl_status st = PL_OK;

	for (uint64_t right = 0; right < s->nmember && st == PL_OK; right += PL_JOIN_TILE) {
		uint64_t n = s->nmember - right < PL_JOIN_TILE ? s->nmember - right : PL_JOIN_TILE;
		s->block->n = (uint32_t)n;
		for (uint64_t i = 0; i < n; i++) {
			for (unsigned w = 0; w < 4; w++)
				s->block->word[w][i] = r->p->join.hashes[s->member[right + i]][w];
		}
		for (uint64_t left = 0; left <= right && st == PL_OK; left += PL_JOIN_TILE) {
			if (tile++ % shares == share)
				st = join_tile(r, left, right);
		}
	}
	return st;
}

/* ---- grouping a part ---- */

/* The chain behind entry i holds more than LARGE of its fingerprint. Entries are looked at from the last, so
 * this is the whole bucket. */
static enum pl_status large_bucket(struct run *r, uint32_t i)
{
	struct pl_scratch *s = &r->p->s;
	uint64_t print = s->entry[i] >> 32, fixed = 0;
	enum pl_status st = PL_OK;

	s->nmember = 0;
	for (uint32_t k = i + 1; k != 0 && st == PL_OK; k = s->next[k - 1]) {
		if (s->entry[k - 1] >> 32 == print) {
			s->done[k - 1] = 1;
			st = add_member(s, (uint32_t)s->entry[k - 1], r->err);
		}
	}
	if (st != PL_OK)
		return st;
	if (!r->tally)
		return join_members(r, 0, 1);
	for (uint64_t k = 0; k < s->nmember; k++)
		fixed += s->member[k] < r->p->join.fixed;
	r->tally->pairs += s->nmember * (s->nmember - 1) / 2 - (fixed > 0 ? fixed * (fixed - 1) / 2 : 0);
	if (s->nmember > r->tally->largest)
		r->tally->largest = s->nmember;
	return PL_OK;
}

/* Candidates of entry i with the entries before it; *large: too many. */
static void small_bucket(struct run *r, uint32_t i, bool *large)
{
	struct pl_scratch *s = &r->p->s;
	uint64_t print = s->entry[i] >> 32;
	uint32_t found = 0, at = s->ncandidates;

	if ((uint32_t)s->entry[i] < r->p->join.fixed)
		return;   /* entries stand in the order of hashes, so those before it are fixed, too */
	for (uint32_t k = s->next[i]; k != 0; k = s->next[k - 1]) {
		if (s->entry[k - 1] >> 32 != print)
			continue;
		if (++found >= LARGE) {
			*large = true;
			return;
		}
		s->candidate[at++] = (struct pl_join_candidate){(uint32_t)s->entry[k - 1], (uint32_t)s->entry[i]};
	}
	if (!r->tally) {
		s->ncandidates = at;
		return;
	}
	r->tally->pairs += found;
	if (found > 0 && found + 1 > r->tally->largest)
		r->tally->largest = found + 1;
}

/* Entries with company in their slot, last first. */
static enum pl_status walk_pending(struct run *r, uint32_t n, uint32_t entries)
{
	struct pl_scratch *s = &r->p->s;
	bool any_done = false;
	enum pl_status st = PL_OK;

	while (n-- > 0 && st == PL_OK) {
		uint32_t i = s->pending[n];
		bool large = false;
		if (any_done && s->done[i])
			continue;
		small_bucket(r, i, &large);
		if (large) {
			if (!any_done)
				memset(s->done, 0, entries);
			any_done = true;
			st = large_bucket(r, i);
		} else if (s->ncandidates > CANDIDATES - LARGE) {
			st = verify(r);
		}
	}
	return st;
}

static uint32_t part_length(const struct pl_scratch *s, uint32_t part)
{
	uint32_t n = 0;
	size_t last;

	if (s->head_chunk[part] == NO_CHUNK)
		return 0;
	for (uint32_t c = s->head_chunk[part]; s->next_chunk[c] != NO_CHUNK; c = s->next_chunk[c])
		n += CHUNK;
	last = (size_t)(s->at[part] - s->pool) % CHUNK;
	return n + (last ? (uint32_t)last : CHUNK);
}

/* Of a fingerprint's bits behind the part's, how many number `places` or more places, at most `most`. */
static unsigned place_bits(unsigned skip, uint64_t places, uint64_t most)
{
	unsigned bits = 1;

	while ((uint64_t)1 << bits < places && skip + bits < 31 && (uint64_t)2 << bits <= most)
		bits++;
	return bits;
}

/* Few entries of a part share their fingerprint with another: leave out those that do not for sure, by a byte for every
 * place, 8 to an entry. Returns how many stay. */
static uint32_t keep_company(const struct run *r, uint32_t part, uint32_t n)
{
	struct pl_scratch *s = &r->p->s;
	uint8_t *seen = (uint8_t *)s->slot;
	unsigned skip = r->p->part_bits, bits = place_bits(skip, 8 * (uint64_t)n, sizeof(*s->slot) * (uint64_t)s->slots);
	unsigned down = 64 - skip - bits;
	uint64_t mask = ((uint64_t)1 << bits) - 1;
	uint32_t left = n, kept = 0;

	memset(seen, 0, (size_t)1 << bits);
	for (uint32_t c = s->head_chunk[part]; c != NO_CHUNK; c = s->next_chunk[c]) {
		const uint64_t *e = s->pool + (size_t)c * CHUNK;
		uint32_t count = left < CHUNK ? left : CHUNK;
		const uint64_t *ahead = s->pool + (size_t)(s->next_chunk[c] != NO_CHUNK ? s->next_chunk[c] : c) * CHUNK;
		for (uint32_t k = 0; k < count; k++) {
			uint64_t at = e[k] >> down & mask;
			if (k % 8 == 0)
				__builtin_prefetch(ahead + k);
			seen[at] = (uint8_t)(seen[at] << 1 | 1);
		}
		left -= count;
	}
	left = n;
	for (uint32_t c = s->head_chunk[part]; c != NO_CHUNK; c = s->next_chunk[c]) {
		const uint64_t *e = s->pool + (size_t)c * CHUNK;
		uint32_t count = left < CHUNK ? left : CHUNK;
		for (uint32_t k = 0; k < count; k++) {
			s->entry[kept] = e[k];
			kept += seen[e[k] >> down & mask] > 1;
		}
		left -= count;
	}
	return kept;
}

/* Chain up the entries by the fingerprint bits behind the part's. */
static enum pl_status group_part(struct run *r, uint32_t part)
{
	struct pl_scratch *s = &r->p->s;
	uint32_t n = part_length(s, part), pending = 0;
	unsigned skip = r->p->part_bits, bits;
	enum pl_status st = pl_scratch_fit(s, n, r->err);

	if (st != PL_OK || n < 2 || !s->slot)
		return st;
	n = keep_company(r, part, n);
	bits = place_bits(skip, 2 * (uint64_t)n, s->slots);
	memset(s->slot, 0, sizeof(*s->slot) << bits);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = s->entry[i] >> (64 - skip - bits) & (((uint64_t)1 << bits) - 1);
		uint32_t before = s->slot[at];
		s->slot[at] = i + 1;
		s->next[i] = before;
		s->pending[pending] = i;
		pending += before != 0;
	}
	return walk_pending(r, pending, n);
}

/* ---- spreading keys over parts ---- */

static void clear_parts(struct pl_join_plan *p)
{
	struct pl_scratch *s = &p->s;

	s->used = 0;
	for (uint32_t i = 0; i < 1u << p->part_bits; i++) {
		s->at[i] = s->pool;   /* stands at a chunk's edge */
		s->head_chunk[i] = NO_CHUNK;
	}
}

static uint64_t *new_chunk(struct pl_scratch *s, uint32_t part)
{
	uint32_t c = s->used++;

	s->next_chunk[c] = NO_CHUNK;
	if (s->head_chunk[part] == NO_CHUNK)
		s->head_chunk[part] = c;
	else
		s->next_chunk[(size_t)(s->at[part] - 1 - s->pool) / CHUNK] = c;
	return s->pool + (size_t)c * CHUNK;
}

/* False: the pool is used up. */
static bool spread(struct pl_join_plan *p, const uint64_t *keys, size_t n)
{
	struct pl_scratch *s = &p->s;
	uint64_t **at = s->at;
	const unsigned bits = p->part_bits;

	for (size_t i = 0; i < n; i++) {
		uint64_t part = bits ? keys[i] >> (64 - bits) : 0;
		uint64_t *to = at[part];
		if (((uintptr_t)to & (PL_CHUNK_BYTES - 1)) == 0) {
			if (s->used == s->nchunks)
				return false;
			to = new_chunk(s, (uint32_t)part);
		}
		*to = keys[i];
		at[part] = to + 1;
	}
	return true;
}

#ifdef __SSE2__
/* As spread, for a pool far beyond the caches: whole lines are made in `line` and written past the caches. */
static bool spread_far(struct pl_join_plan *p, const uint64_t *keys, size_t n)
{
	struct pl_scratch *s = &p->s;
	uint64_t **at = s->at;
	const unsigned bits = p->part_bits;

	for (size_t i = 0; i < n; i++) {
		uint64_t part = bits ? keys[i] >> (64 - bits) : 0;
		uint64_t *to = at[part], *line = s->line + part * LINE;
		size_t place = (uintptr_t)to / sizeof(*to) % LINE;
		if (((uintptr_t)to & (PL_CHUNK_BYTES - 1)) == 0) {
			if (s->used == s->nchunks)
				return false;
			to = new_chunk(s, (uint32_t)part);
		}
		line[place] = keys[i];
		at[part] = to + 1;
		if (place == LINE - 1) {
			for (unsigned k = 0; k < LINE; k += 2)
				_mm_stream_si128((__m128i *)(void *)(to + 1 - LINE + k), _mm_load_si128((const __m128i *)(const void *)(line + k)));
		}
	}
	return true;
}

/* The lines begun. */
static void spread_end(struct pl_join_plan *p)
{
	struct pl_scratch *s = &p->s;

	for (size_t part = 0; part < (size_t)1 << p->part_bits; part++) {
		size_t place = (uintptr_t)s->at[part] / sizeof(uint64_t) % LINE;
		memcpy(s->at[part] - place, s->line + part * LINE, place * sizeof(uint64_t));
	}
	_mm_sfence();
}
#else
#define spread_far spread
static void spread_end(struct pl_join_plan *p)
{
	(void)p;
}
#endif

/* The words of hashes first .. first + n - 1 for this run's block. */
static const uint64_t *strip_words(struct run *r, uint32_t first, uint32_t n, uint64_t *room)
{
	struct pl_join_plan *p = r->p;

	if (p->s.words && p->s.words_block == r->block)
		return p->s.words + first;
	if (p->s.words)
		room = p->s.words + first;
	for (uint32_t i = 0; i < n; i++)
		room[i] = pl_cover_word(&p->cover, r->block, p->join.hashes[first + i]);
	return room;
}

/* Hot buckets have units of their own. */
static size_t drop_hot(const struct run *r, const uint64_t *words, uint32_t first, uint64_t *keys, size_t n)
{
	uint64_t mask = r->p->cover.mask[r->mask];
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t word = words[(uint32_t)keys[i] - first] & mask;
		bool hot = false;
		for (size_t h = 0; h < r->nhot; h++)
			hot = hot || word == r->hot[h].word;
		keys[kept] = keys[i];
		kept += !hot;
	}
	return kept;
}

static enum pl_status spread_all(struct run *r, unsigned bits, uint64_t range, bool *full)
{
	struct pl_join_plan *p = r->p;
	uint64_t room[STRIP], keys[STRIP + 8];
	uint32_t strip = 0, n = p->join.n;
	bool far = p->s.nchunks > FAR_CHUNKS;

	clear_parts(p);
	if (p->s.words_block != r->block)
		p->s.words_block = UINT32_MAX;   /* its words are written over strip by strip */
	for (uint32_t first = 0; first < n; first += STRIP) {
		uint32_t run = n - first < STRIP ? n - first : STRIP;
		const uint64_t *words = strip_words(r, first, run, room);
		size_t found = p->keys(words, run, p->cover.mask[r->mask], first, bits, range, keys);
		if (r->nhot > 0)
			found = drop_hot(r, words, first, keys, found);
		if (!(far ? spread_far(p, keys, found) : spread(p, keys, found))) {
			*full = true;
			return PL_OK;
		}
		if (++strip % POLL_STRIPS == 0) {
			enum pl_status st = poll(r);
			if (st != PL_OK)
				return st;
		}
		if (n - first <= STRIP)
			break;   /* first + STRIP may not fit in 32 bits */
	}
	p->s.words_block = r->block;
	if (far)
		spread_end(p);
	return PL_OK;
}

/* Hashes are not uniform: a range that overflows the pool is taken in two halves. */
static enum pl_status join_range(struct run *r, unsigned bits, uint64_t range)
{
	bool full = false;
	enum pl_status st = spread_all(r, bits, range, &full);

	if (st == PL_OK && full) {
		if (bits >= PL_RANGE_BITS + 8)
			return pl_fail(r->err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
			    "too many hashes are alike for %u MiB of scratch memory: give the join more, or leave flat images out",
			    (unsigned)(((uint64_t)r->p->s.nchunks * PL_CHUNK_BYTES) >> 20));
		st = join_range(r, bits + 1, 2 * range);
		return st == PL_OK ? join_range(r, bits + 1, 2 * range + 1) : st;
	}
	for (uint32_t part = 0; part < 1u << r->p->part_bits && st == PL_OK; part++) {
		st = group_part(r, part);
		if (st == PL_OK && part % POLL_PARTS == POLL_PARTS - 1)
			st = poll(r);
	}
	return st;
}

/* ---- units ---- */

uint32_t pl_join_block_of(const struct pl_join_plan *p, uint32_t mask)
{
	uint32_t block = 0;

	while (mask >= p->cover.block[block].first + p->cover.block[block].masks)
		block++;
	return block;
}

static struct run begin(struct pl_join_plan *p, uint32_t mask, struct pl_buf *out, struct pl_err *err)
{
	struct run r = {.p = p, .out = out, .err = err, .mask = mask, .block = pl_join_block_of(p, mask), .hot = p->hot};

	while (r.hot && r.hot < p->hot + p->nhot && r.hot->mask < mask)
		r.hot++;
	while (r.hot && r.hot + r.nhot < p->hot + p->nhot && r.hot[r.nhot].mask == mask)
		r.nhot++;
	p->s.ncandidates = 0;
	return r;
}

enum pl_status pl_join_range(struct pl_join_plan *p, uint32_t mask, uint64_t range, struct pl_buf *out, struct pl_err *err)
{
	struct run r = begin(p, mask, out, err);
	enum pl_status st = join_range(&r, p->range_bits, range);

	return st == PL_OK ? verify(&r) : st;
}

enum pl_status pl_join_count(struct pl_join_plan *p, uint32_t mask, struct pl_tally *tally, struct pl_err *err)
{
	struct run r = begin(p, mask, NULL, err);
	enum pl_status st = PL_OK;

	r.tally = tally;
	*tally = (struct pl_tally){0};
	for (uint64_t range = 0; range < (uint64_t)1 << p->range_bits && st == PL_OK; range++)
		st = join_range(&r, p->range_bits, range);
	return st;
}

enum pl_status pl_join_hot(struct pl_join_plan *p, const struct pl_hot *hot, uint32_t share, struct pl_buf *out,
    struct pl_err *err)
{
	struct run r = begin(p, hot->mask, out, err);
	uint64_t mask = p->cover.mask[hot->mask];
	enum pl_status st = PL_OK;

	p->s.nmember = 0;
	for (uint32_t i = 0; i < p->join.n && st == PL_OK; i++) {
		if ((pl_cover_word(&p->cover, r.block, p->join.hashes[i]) & mask) == hot->word)
			st = add_member(&p->s, i, err);
		if (st == PL_OK && i % (POLL_STRIPS * STRIP) == 0)
			st = poll(&r);
	}
	return st == PL_OK ? join_members(&r, share, hot->shares) : st;
}
