/* SPDX-License-Identifier: Apache-2.0 */
/* One unit of a cover join: the keys of all hashes under one mask are spread
 * over parts that fit a cache, each part is grouped by fingerprint, and what
 * meets is compared in full. A pair is emitted under the lowest mask on which it
 * agrees and under no other, so a fingerprint that collides does no harm. */
#include "cover_join.h"

#include <stdlib.h>
#include <string.h>

enum {
	STRIP = 2048,                   /* words from which keys are made at once */
	CHUNK = PL_CHUNK_BYTES / 8,     /* entries of a chunk */
	CANDIDATES = PL_JOIN_CANDIDATES,              /* their hashes stay near the core from the check of the distance to that of the mask */
	FETCH_CHUNKS = 8,
	LARGE = 32,                     /* a bucket with more hashes is compared in tiles */
	CELLS = 8,                      /* 16-bit slots to an entry of a part */
	POLL_STRIPS = 256, POLL_PARTS = 64
};

struct run {
	struct pl_join_plan *p;
	struct pl_buf *out;
	struct pl_tally *tally;         /* count only, when not NULL */
	uint32_t n, fixed, step;        /* one hash out of every step; so many, and so many of them fixed */
	struct pl_err *err;
	const struct pl_family *family;
	uint32_t block;
	uint32_t mask, at;              /* the mask at hand; its place in the family */
	uint64_t same;                  /* the bits of entries that agree under it */
	const struct pl_hot *hot; size_t nhot;   /* of a family of one mask */
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

static void take_mask(struct run *r, uint32_t at)
{
	r->at = at;
	r->mask = r->family->mask[at];
	r->same = 0xFFFFFFFF00000000u;
	if (r->family->part != 0)
		r->same = pl_join_extract(r->p->cover.mask[r->mask], r->family->rest) << 32;
}

static enum pl_status verify(struct run *r)
{
	struct pl_scratch *s = &r->p->s;
	uint32_t n = s->ncandidates[r->at];

	if (n == 0)
		return PL_OK;
	n = r->p->verify(pl_join_hashes(r->p), s->candidate[r->at], n, r->p->join.distance, s->pair);
	s->ncandidates[r->at] = 0;
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

static uint64_t pairs_of(uint64_t n)
{
	return n > 0 ? n * (n - 1) / 2 : 0;
}

/* The chain behind entry i holds more than LARGE of its fingerprint. Entries are looked at from the last, so
 * this is the whole bucket. */
static enum pl_status large_bucket(struct run *r, uint32_t i)
{
	struct pl_scratch *s = &r->p->s;
	uint64_t entry = s->entry[i], fixed = 0, pairs;
	enum pl_status st = PL_OK;

	s->nmember = 0;
	for (uint32_t k = i + 1; k != 0 && st == PL_OK; k = s->next[k - 1]) {
		if (((s->entry[k - 1] ^ entry) & r->same) == 0) {
			s->done[k - 1] = 1;
			st = add_member(s, (uint32_t)s->entry[k - 1], r->err);
		}
	}
	if (st != PL_OK)
		return st;
	if (!r->tally)
		return join_members(r, 0, 1);
	for (uint64_t k = 0; k < s->nmember; k++)
		fixed += s->member[k] < r->fixed;
	pairs = pairs_of(s->nmember) - pairs_of(fixed);
	r->tally->pairs += (double)pairs;
	if (s->nmember > r->tally->largest)
		r->tally->largest = s->nmember;
	return PL_OK;
}

/* Candidates of entry i with the entries before it; *large: too many. */
static void small_bucket(struct run *r, uint32_t i, bool *large)
{
	struct pl_scratch *s = &r->p->s;
	struct pl_join_candidate *candidate = s->candidate[r->at];
	uint64_t entry = s->entry[i];
	uint32_t found = 0, at = s->ncandidates[r->at];

	if ((uint32_t)entry < r->fixed)
		return;   /* entries stand in the order of hashes, so those before it are fixed, too */
	for (uint32_t k = s->next[i]; k != 0; k = s->next[k - 1]) {
		if (((s->entry[k - 1] ^ entry) & r->same) != 0)
			continue;
		if (++found >= LARGE) {
			*large = true;
			return;
		}
		candidate[at++] = (struct pl_join_candidate){(uint32_t)s->entry[k - 1], (uint32_t)entry};
	}
	if (!r->tally) {
		s->ncandidates[r->at] = at;
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
		} else if (s->ncandidates[r->at] > CANDIDATES - LARGE) {
			st = verify(r);
		}
	}
	return st;
}

static void load_part(struct pl_scratch *s, uint32_t part, uint32_t n)
{
	uint64_t *to = s->entry;

	for (uint32_t c = s->head_chunk[part]; c != PL_NO_CHUNK; c = s->next_chunk[c]) {
		uint32_t count = n < CHUNK ? n : CHUNK;
		memcpy(to, s->pool + (size_t)c * CHUNK, count * sizeof(*to));
		to += count;
		n -= count;
	}
}

/* Bring the beginning of the next part near while this one is looked at. */
static void fetch_part(const struct pl_scratch *s, uint32_t part, unsigned part_bits)
{
	const uint64_t *e;

	if (part >> part_bits != 0 || s->head_chunk[part] == PL_NO_CHUNK)
		return;
	for (uint32_t c = s->head_chunk[part], i = 0; c != PL_NO_CHUNK && i < FETCH_CHUNKS; c = s->next_chunk[c], i++) {
		e = s->pool + (size_t)c * CHUNK;
		for (unsigned k = 0; k < CHUNK; k += PL_JOIN_LINE)
			__builtin_prefetch(e + k, 0, 2);
	}
}

/* log2 of the slots: `places` or more, at most `most`. */
static unsigned slot_bits(uint64_t places, uint64_t most)
{
	unsigned bits = 1;

	while ((uint64_t)1 << bits < places && (uint64_t)2 << bits <= most)
		bits++;
	return bits;
}

static inline uint64_t slot_of(uint64_t entry, uint64_t same, unsigned bits)
{
	return (entry & same) * PL_COVER_MULTIPLIER >> (64 - bits);
}

/* Chain up the entries of a part by slot; pending: those that find company there. Returns how many. 16 bits name an entry, so
 * that slots enough for nearly every entry to have one of its own lie in the nearest cache. */
static uint32_t chain_short(const struct run *r, uint32_t n)
{
	struct pl_scratch *s = &r->p->s;
	const uint64_t *entry = s->entry, same = r->same;
	uint16_t *slot = (uint16_t *)s->slot;
	uint32_t *next = s->next, *pending = s->pending, found = 0;
	unsigned bits = slot_bits(CELLS * (uint64_t)n, 2 * (uint64_t)s->slots);

	memset(slot, 0, sizeof(*slot) << bits);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = slot_of(entry[i], same, bits);
		uint32_t before = slot[at];
		slot[at] = (uint16_t)(i + 1);
		next[i] = before;
		pending[found] = i;
		found += before != 0;
	}
	return found;
}

static uint32_t chain_long(const struct run *r, uint32_t n)
{
	struct pl_scratch *s = &r->p->s;
	unsigned bits = slot_bits(2 * (uint64_t)n, s->slots);
	uint32_t found = 0;

	memset(s->slot, 0, sizeof(*s->slot) << bits);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t at = slot_of(s->entry[i], r->same, bits);
		uint32_t before = s->slot[at];
		s->slot[at] = i + 1;
		s->next[i] = before;
		s->pending[found] = i;
		found += before != 0;
	}
	return found;
}

/* Most of the pending have a slot in common and no more. */
static uint32_t drop_strangers(const struct run *r, uint32_t n)
{
	struct pl_scratch *s = &r->p->s;
	uint32_t kept = 0;

	for (uint32_t k = 0; k < n; k++) {
		uint32_t i = s->pending[k], before = s->next[i] - 1;
		s->pending[kept] = i;
		kept += ((s->entry[i] ^ s->entry[before]) & r->same) == 0 || s->next[before] != 0;
	}
	return kept;
}

/* The pairs of a part under each mask of the family. */
static enum pl_status join_part(struct run *r, uint32_t part)
{
	struct pl_scratch *s = &r->p->s;
	uint32_t n = pl_part_length(s, part);
	enum pl_status st = pl_scratch_fit(s, n, r->err);

	if (st != PL_OK || n < 2 || !s->slot)
		return st;
	load_part(s, part, n);
	fetch_part(s, part + 1, r->p->part_bits);
	for (uint32_t k = 0; k < r->family->n && st == PL_OK; k++) {
		uint32_t pending;
		take_mask(r, k);
		pending = n < UINT16_MAX ? chain_short(r, n) : chain_long(r, n);
		st = walk_pending(r, drop_strangers(r, pending), n);
	}
	return st;
}

/* ---- spreading keys over parts ---- */

/* Hash i of a run: one out of every step, never at the same place, since the hashes may have a rhythm of their own. */
static size_t sampled(const struct run *r, uint32_t i)
{
	return r->step == 1 ? i : (size_t)i * r->step + (i * 0x9E3779B1u >> 16) % r->step;
}

/* The words of hashes first .. first + n - 1 for this run's block. */
static const uint64_t *strip_words(struct run *r, uint32_t first, uint32_t n, uint64_t *room)
{
	struct pl_join_plan *p = r->p;

	if (p->s.words && p->s.words_block == r->block && r->step == 1)
		return p->s.words + first;
	if (p->s.words && r->step == 1)
		room = p->s.words + first;
	for (uint32_t i = 0; i < n; i++)
		room[i] = pl_cover_word(&p->cover, r->block, p->join.hashes[sampled(r, first + i)]);
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

/* The entries of hashes first .. first + n - 1 and their parts; returns how many. */
static size_t strip_entries(struct run *r, uint32_t first, uint32_t n, unsigned bits, uint64_t range, uint64_t *entries,
    uint16_t *part)
{
	const struct pl_join_plan *p = r->p;
	uint64_t room[STRIP];
	const uint64_t *words = strip_words(r, first, n, room);
	unsigned down = 64 - p->part_bits;
	size_t found;

	if (r->family->part != 0) {
		p->split(words, n, r->family->part, r->family->rest, first, entries, part);
		return n;
	}
	found = p->keys(words, n, p->cover.mask[r->mask], first, bits, range, entries);
	if (r->nhot > 0)
		found = drop_hot(r, words, first, entries, found);
	for (size_t i = 0; i < found; i++)
		part[i] = (uint16_t)(p->part_bits > 0 ? entries[i] >> down : 0);
	return found;
}

static enum pl_status spread_all(struct run *r, unsigned bits, uint64_t range, bool *full)
{
	struct pl_join_plan *p = r->p;
	uint64_t entries[STRIP + 8];
	uint16_t part[STRIP + 8];
	uint32_t strip = 0, n = r->n;

	pl_spread_begin(p);
	if (p->s.words_block != r->block && r->step == 1)
		p->s.words_block = UINT32_MAX;   /* its words are written over strip by strip */
	for (uint32_t first = 0; first < n; first += STRIP) {
		uint32_t run = n - first < STRIP ? n - first : STRIP;
		size_t found = strip_entries(r, first, run, bits, range, entries, part);
		if (!pl_spread(p, entries, part, found)) {
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
	if (r->step == 1)
		p->s.words_block = r->block;
	pl_spread_end(p);
	return PL_OK;
}

/* Hashes are not uniform: a range that overflows the pool is taken in two halves. A family's pool holds all hashes. */
static enum pl_status join_range(struct run *r, unsigned bits, uint64_t range)
{
	bool full = false;
	enum pl_status st;

	take_mask(r, 0);
	st = spread_all(r, bits, range, &full);
	if (st == PL_OK && full) {
		if (bits >= PL_RANGE_BITS + 8)
			return pl_fail(r->err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
			    "too many hashes are alike for %u MiB of scratch memory: give the join more, or leave flat images out",
			    (unsigned)(((uint64_t)r->p->s.nchunks * PL_CHUNK_BYTES) >> 20));
		st = join_range(r, bits + 1, 2 * range);
		return st == PL_OK ? join_range(r, bits + 1, 2 * range + 1) : st;
	}
	for (uint32_t part = 0; part < 1u << r->p->part_bits && st == PL_OK; part++) {
		st = join_part(r, part);
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

static struct run begin(struct pl_join_plan *p, const struct pl_family *family, struct pl_buf *out, struct pl_err *err)
{
	uint32_t mask = family->mask[0];
	struct run r = {.p = p, .out = out, .err = err, .family = family, .mask = mask, .block = pl_join_block_of(p, mask), .hot = p->hot,
	    .n = p->join.n, .fixed = p->join.fixed, .step = 1};

	while (r.hot && r.hot < p->hot + p->nhot && r.hot->mask < mask)
		r.hot++;
	while (r.hot && r.hot + r.nhot < p->hot + p->nhot && r.hot[r.nhot].mask == mask)
		r.nhot++;
	memset(p->s.ncandidates, 0, sizeof(p->s.ncandidates));
	return r;
}

enum pl_status pl_join_range(struct pl_join_plan *p, const struct pl_family *family, uint64_t range, struct pl_buf *out,
    struct pl_err *err)
{
	struct run r = begin(p, family, out, err);
	enum pl_status st = join_range(&r, p->range_bits, range);

	for (uint32_t k = 0; k < family->n && st == PL_OK; k++) {
		take_mask(&r, k);
		st = verify(&r);
	}
	return st;
}

enum pl_status pl_join_count(struct pl_join_plan *p, uint32_t mask, struct pl_tally *tally, struct pl_err *err)
{
	const struct pl_family alone = {.mask = {mask}, .n = 1};
	struct run r = begin(p, &alone, NULL, err);
	enum pl_status st = PL_OK;

	r.tally = tally;
	r.step = (uint32_t)(((uint64_t)p->join.n + p->how.count_sample - 1) / p->how.count_sample);
	r.step = r.step > 0 ? r.step : 1;
	r.n = p->join.n / r.step;
	r.fixed = (uint32_t)(((uint64_t)p->join.fixed + r.step - 1) / r.step);
	*tally = (struct pl_tally){0};
	for (uint64_t range = 0; range < (uint64_t)1 << p->range_bits && st == PL_OK; range++)
		st = join_range(&r, p->range_bits, range);
	tally->pairs *= (double)r.step * r.step;
	tally->largest *= r.step;
	return st;
}

enum pl_status pl_join_hot(struct pl_join_plan *p, const struct pl_hot *hot, uint32_t share, struct pl_buf *out,
    struct pl_err *err)
{
	const struct pl_family alone = {.mask = {hot->mask}, .n = 1};
	struct run r = begin(p, &alone, out, err);
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
