/* SPDX-License-Identifier: Apache-2.0 */
/* Spreading the hashes of a range over parts, each in one piece: with room to
 * spare where parts are as even as chance makes them, or else counted first. So
 * nothing has to be looked at but where a part's next entry goes. */
#include "cover_join.h"

#include <string.h>

enum {
	NEAR_BITS = 10,                 /* log2 of parts whose ends stay near the core */
	NEAR_ENTRIES = 1 << 15,         /* of a part, for it to stay in the second-level cache while it is grouped */
	SHARES_BITS = 7,                /* the same for shares, which are dealt to few buckets: there the ends do best in the nearest cache */
	SHARES_ENTRIES = 5 << 13,
	STRIP = 2048,                   /* words from which entries are made at once */
	NEAR_HASHES = 512,              /* hashes that the nearest cache holds beside words */
	CHECK_STRIPS = 8,               /* after which parts with room to spare are looked at: they write over others until then */
	POLL_STRIPS = 256
};

unsigned pl_join_part_bits(enum pl_cover_kind kind, uint64_t entries)
{
	unsigned near = kind == PL_COVER_SHARES ? SHARES_BITS : NEAR_BITS, bits = 0;
	uint64_t large = kind == PL_COVER_SHARES ? SHARES_ENTRIES : NEAR_ENTRIES;

	while (bits < PL_PART_BITS && entries >> bits > (bits < near ? PL_PART_ENTRIES : large))
		bits++;
	return bits;
}

/* Hash i of a run: one out of every step, never at the same place, since the hashes may have a rhythm of their own. */
static size_t sampled(const struct pl_spread *w, uint32_t i)
{
	return w->step == 1 ? i : (size_t)i * w->step + (i * 0x9E3779B1u >> 16) % w->step;
}

/* The block from which on words are kept when w's are. */
static uint32_t first_kept(const struct pl_spread *w)
{
	return w->block - w->block % w->p->s.nwords;
}

/* The words that are kept, of hashes first .. first + n - 1: block by block while the hashes are in the nearest cache. */
static void keep_words(const struct pl_spread *w, uint32_t first, uint32_t n)
{
	const struct pl_join_plan *p = w->p;
	uint32_t from = first_kept(w);

	for (uint32_t i = 0; i < n; i += NEAR_HASHES) {
		uint32_t size = n - i < NEAR_HASHES ? n - i : NEAR_HASHES;
		size_t at = (size_t)first + i;
		for (uint32_t k = 0; k < p->s.nwords && from + k < p->cover.nblocks; k++)
			p->words(&p->cover, from + k, pl_join_hashes(p) + at, size, p->s.words + (size_t)k * p->join.n + at);
	}
}

/* The words of hashes first .. first + n - 1. */
static const uint64_t *strip_words(const struct pl_spread *w, uint32_t first, uint32_t n, uint64_t *room)
{
	struct pl_join_plan *p = w->p;

	if (w->step > 1) {
		for (uint32_t i = 0; i < n; i++)
			room[i] = pl_cover_word(&p->cover, w->block, p->join.hashes[sampled(w, first + i)]);
		return room;
	}
	if (p->s.nwords == 0) {
		p->words(&p->cover, w->block, pl_join_hashes(p) + first, n, room);
		return room;
	}
	if (p->s.words_block != first_kept(w))
		keep_words(w, first, n);
	return p->s.words + (size_t)(w->block % p->s.nwords) * p->join.n + first;
}

/* Hot buckets have units of their own. */
static size_t drop_hot(const struct pl_spread *w, const uint64_t *words, uint32_t first, uint64_t *keys, size_t n)
{
	uint64_t mask = w->p->cover.mask[w->family->mask[0]];
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t word = words[(uint32_t)keys[i] - first] & mask;
		bool hot = false;
		for (size_t h = 0; h < w->nhot; h++)
			hot = hot || word == w->hot[h].word;
		keys[kept] = keys[i];
		kept += !hot;
	}
	return kept;
}

/* By a hash of the mask's bits: those in the range go where at[] says, or are counted there. */
static void hashed_strip(const struct pl_spread *w, const uint64_t *words, uint32_t n, uint32_t first, bool count)
{
	const struct pl_join_plan *p = w->p;
	uint64_t keys[STRIP + 8], rest[STRIP];
	uint64_t *to = rest;
	size_t found = p->keys(words, n, p->cover.mask[w->family->mask[0]], first, w->bits, w->range, keys);

	if (w->nhot > 0)
		found = drop_hot(w, words, first, keys, found);
	if (!count)
		p->spread(words, n, 0, w->family->rest, first, &to);
	for (size_t i = 0; i < found; i++) {
		uint32_t part = p->part_bits > 0 ? (uint32_t)(keys[i] >> (64 - p->part_bits)) : 0;
		if (count)
			p->s.count[part]++;
		else
			*p->s.at[part]++ = rest[(uint32_t)keys[i] - first];
	}
}

struct pass { bool count, roomy, over; };

/* Has a part outgrown its room? */
static bool overfull(const struct pl_join_plan *p)
{
	uint32_t parts = 1u << p->part_bits, over = 0;

	for (uint32_t part = 0; part < parts; part++)
		over |= p->s.at[part] > p->s.pool + (size_t)(part + 1) * p->s.stride;
	return over != 0;
}

static enum pl_status go_over(const struct pl_spread *w, struct pass *pass, struct pl_err *err)
{
	struct pl_join_plan *p = w->p;
	const struct pl_family *f = w->family;
	uint64_t room[STRIP];
	uint32_t strip = 0, n;
	enum pl_status st = PL_OK;

	for (uint32_t first = 0; first < w->n && st == PL_OK && !pass->over; first += n) {
		const uint64_t *words;
		n = w->n - first < STRIP ? w->n - first : STRIP;
		words = strip_words(w, first, n, room);
		strip++;
		if (f->hashed)
			hashed_strip(w, words, n, first, pass->count);
		else if (pass->count)
			p->count(words, n, f->part, p->s.count);
		else
			p->spread(words, n, f->part, f->rest, first, p->s.at);
		if (pass->roomy && (strip % CHECK_STRIPS == 0 || first + n == w->n))
			pass->over = overfull(p);
		if (strip % POLL_STRIPS == 0 && p->join.poll)
			st = p->join.poll(p->join.ctx, err);
	}
	if (st == PL_OK && !pass->over && w->step == 1 && p->s.nwords > 0)
		p->s.words_block = first_kept(w);
	return st;
}

/* Room for a part. In hashes with half of their bits set, so of PDQ, patterns of as many ones as zeros are more frequent by a 32nd. */
static uint32_t part_room(uint64_t n, unsigned part_bits)
{
	uint32_t mean = (uint32_t)(n >> part_bits);

	return pl_group_stride(mean + mean / 32, 6);
}

/* Room for parts that are as even as chance makes them; 0 where they are not, or where there is no room. */
static uint32_t stride_of(const struct pl_spread *w)
{
	const struct pl_join_plan *p = w->p;

	if (w->family->hashed || p->s.uneven || pl_spread_places(w->n, p->part_bits) > p->s.places)
		return 0;
	return part_room(w->n, p->part_bits);
}

uint64_t pl_spread_places(uint64_t n, unsigned part_bits)
{
	return ((uint64_t)part_room(n, part_bits) << part_bits) + CHECK_STRIPS * STRIP;
}

/* Into parts with room to spare, uncounted. */
static enum pl_status spread_roomy(const struct pl_spread *w, bool *over, struct pl_err *err)
{
	struct pl_scratch *s = &w->p->s;
	struct pass pass = {.roomy = true};
	enum pl_status st;

	for (uint32_t part = 0; part < 1u << w->p->part_bits; part++)
		s->at[part] = s->pool + (size_t)part * s->stride;
	st = go_over(w, &pass, err);
	*over = pass.over;
	return st;
}

enum pl_status pl_spread(const struct pl_spread *w, bool *full, struct pl_err *err)
{
	struct pl_scratch *s = &w->p->s;
	uint32_t parts = 1u << w->p->part_bits;
	struct pass count = {.count = true}, fill = {0};
	uint64_t sum = 0;
	enum pl_status st;

	*full = false;
	if (w->step == 1 && s->nwords > 0 && s->words_block != first_kept(w))
		s->words_block = UINT32_MAX;   /* its words are written over strip by strip */
	s->stride = stride_of(w);
	if (s->stride > 0) {
		st = spread_roomy(w, &s->uneven, err);
		if (st != PL_OK || !s->uneven)
			return st;
		s->stride = 0;
	}
	memset(s->count, 0, parts * sizeof(*s->count));
	st = go_over(w, &count, err);
	if (st != PL_OK)
		return st;
	for (uint32_t part = 0; part < parts; part++) {
		s->at[part] = s->pool + sum;
		sum += s->count[part];
	}
	*full = sum > s->entries;
	return *full ? PL_OK : go_over(w, &fill, err);
}
