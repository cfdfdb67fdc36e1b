/* SPDX-License-Identifier: Apache-2.0 */
/* One unit of a cover join: all hashes are spread by bits that the masks of a
 * family hold over parts that fit a cache, each part is grouped under each mask,
 * and what is near in the bits at hand is compared in full. A pair is emitted
 * under one mask and no other (pl_cover_lowest), so what meets by chance does no
 * harm. */
#include "cover_join.h"

#include <stdlib.h>
#include <string.h>

enum { POLL_HASHES = 1 << 19, POLL_PARTS = 64, FETCH_ENTRIES = 256 };

struct run {
	struct pl_join_plan *p;
	struct pl_spread spread;
	struct pl_buf *out;
	struct pl_tally *tally;         /* count only, when not NULL */
	uint32_t fixed;                 /* so many of the hashes at hand are fixed */
	struct pl_err *err;
	uint32_t mask, at;              /* the mask at hand; its place in the family */
	uint32_t same;                  /* the bits of entries that agree under it */
	struct pl_grouping grouping[PL_FAMILY_MASKS];
};

/* Room for n members. */
static enum pl_status fit_members(struct pl_scratch *s, uint64_t n, struct pl_err *err)
{
	uint64_t cap = s->cap_member ? s->cap_member : 4096;
	uint32_t *m;

	if (n <= s->cap_member)
		return PL_OK;
	while (cap < n)
		cap *= 2;
	m = realloc(s->member, (size_t)cap * sizeof(*m));
	if (!m)
		return pl_fail_nomem(err);
	s->member = m;
	s->cap_member = cap;
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

	n = r->p->keep(&r->p->cover, r->spread.block, r->mask, pl_join_hashes(r->p), pairs, n);
	for (uint32_t i = 0; i < n; i++) {
		struct pl_pair q = pairs[i];
		if (q.b >= j->fixed && (!j->related || j->related(j->ctx, q.a, q.b)))
			pairs[kept++] = q;
	}
	return kept ? pl_buf_add(r->out, pairs, kept * sizeof(*pairs), r->err) : PL_OK;
}

static void take_mask(struct run *r, uint32_t at)
{
	r->at = at;
	r->mask = r->spread.family->mask[at];
	r->same = (uint32_t)pl_join_extract(r->p->cover.mask[r->mask], r->spread.family->rest);
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

static void look_at_candidates(struct pl_grouping *g)
{
	struct run *r = g->ctx;

	r->p->s.ncandidates[r->at] = g->n;
	g->n = 0;
	if (g->st == PL_OK)
		g->st = verify(r);
	if (g->st == PL_OK)
		g->st = poll(r);
}

/* Two lists of entries as members, in order. */
static void join_dense(struct pl_grouping *g, const uint64_t *x, uint32_t nx, const uint64_t *y, uint32_t ny)
{
	struct run *r = g->ctx;
	struct pl_scratch *s = &r->p->s;

	g->st = fit_members(s, (uint64_t)nx + ny, r->err);
	if (g->st != PL_OK)
		return;
	s->nmember = 0;
	for (uint32_t i = 0, k = 0; i < nx || k < ny;)
		s->member[s->nmember++] = k == ny || (i < nx && (uint32_t)x[i] < (uint32_t)y[k]) ? (uint32_t)x[i++] : (uint32_t)y[k++];
	g->st = join_members(r, 0, 1);
}

/* What entries tell of the masks below the one at hand spares a look at the hashes. */
static struct pl_grouping grouping(struct run *r)
{
	const struct pl_cover *cover = &r->p->cover;
	const struct pl_cover_block *b = &cover->block[r->spread.block];
	const struct pl_family *f = r->spread.family;
	struct pl_grouping g = {.b = &r->p->s.buckets, .same = r->same, .rank = b->rank, .fixed = r->fixed,
	    .out = r->p->s.candidate[r->at], .room = PL_JOIN_CANDIDATES, .full = look_at_candidates, .dense = join_dense, .ctx = r};

	g.turn = (uint32_t)pl_join_extract(pl_join_turn(b, r->mask), f->rest);
	g.rank += g.turn != 0;
	for (uint32_t m = b->first; m < r->mask && g.nlower < PL_GROUP_LOWER; m++) {
		if ((cover->mask[m] & ~(f->part | f->rest)) == 0)
			g.lower[g.nlower++] = (uint32_t)pl_join_extract(cover->mask[m], f->rest);
	}
	return g;
}

/* The pairs of a part under the mask at hand. */
static enum pl_status group_part(struct run *r, const uint64_t *entries, uint32_t n)
{
	struct pl_scratch *s = &r->p->s;
	struct pl_grouping *g = &r->grouping[r->at];

	pl_group_deal(&s->buckets, r->same, g->turn, entries, n, r->p->group.extract);
	g->n = s->ncandidates[r->at];
	r->p->group.compare(g);
	s->ncandidates[r->at] = g->n;
	return g->st;
}

/* How many of a part agree under the mask, and how many pairs of them are not fixed. */
static enum pl_status count_part(struct run *r, const uint64_t *entries, uint32_t n)
{
	struct pl_scratch *s = &r->p->s;
	uint32_t bits = 1;

	while (bits < 31 && (uint64_t)1 << bits < 2 * (uint64_t)n)
		bits++;
	if (s->ncells < 1u << bits) {
		free(s->cell);
		s->ncells = 0;
		s->cell = malloc(sizeof(*s->cell) << bits);
		if (!s->cell)
			return pl_fail_nomem(r->err);
		s->ncells = 1u << bits;
	}
	memset(s->cell, 0, sizeof(*s->cell) << bits);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t value = (uint32_t)(entries[i] >> 32) & r->same, at = value * 0x9E3779B1u >> (32 - bits);
		while (s->cell[at].count > 0 && s->cell[at].value != value)
			at = (at + 1) & ((1u << bits) - 1);
		if ((uint32_t)entries[i] >= r->fixed)
			r->tally->pairs += s->cell[at].count;   /* the fixed ones come first */
		s->cell[at].value = value;
		if (++s->cell[at].count > r->tally->largest)
			r->tally->largest = s->cell[at].count;
	}
	return PL_OK;
}

/* Bring the beginning of the next part near while this one is looked at. */
static void fetch(const uint64_t *entries)
{
	for (unsigned k = 0; k < FETCH_ENTRIES; k += 8)
		pl_fetch(entries + k);
}

/* The pairs of a part under each mask of the family. */
static enum pl_status join_part(struct run *r, const uint64_t *entries, uint32_t n)
{
	enum pl_status st = PL_OK;

	if (n < 2)
		return PL_OK;
	if (r->tally)
		return count_part(r, entries, n);
	st = pl_scratch_fit(&r->p->s, n, r->err);
	for (uint32_t k = 0; k < r->spread.family->n && st == PL_OK; k++) {
		take_mask(r, k);
		st = group_part(r, entries, n);
	}
	return st;
}

/* Hashes are not uniform: a range that overflows the pool is taken in two halves. Without ranges the pool holds all hashes. */
static enum pl_status join_range(struct run *r, unsigned bits, uint64_t range)
{
	struct pl_scratch *s = &r->p->s;
	bool full = false;
	enum pl_status st;

	take_mask(r, 0);
	r->spread.bits = bits;
	r->spread.range = range;
	st = pl_spread(&r->spread, &full, r->err);
	if (st == PL_OK && full) {
		if (bits >= PL_RANGE_BITS + 8)
			return pl_fail(r->err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
			    "too many hashes are alike for %u MiB of scratch memory: give the join more, or leave flat images out",
			    (unsigned)((s->entries * sizeof(*s->pool)) >> 20));
		st = join_range(r, bits + 1, 2 * range);
		return st == PL_OK ? join_range(r, bits + 1, 2 * range + 1) : st;
	}
	for (uint32_t part = 0; part < 1u << r->p->part_bits && st == PL_OK; part++) {
		const uint64_t *from = s->stride ? s->pool + (size_t)part * s->stride : part > 0 ? s->at[part - 1] : s->pool;
		fetch(s->stride ? from + s->stride : s->at[part]);
		st = join_part(r, from, (uint32_t)(s->at[part] - from));
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
	struct run r = {.p = p, .out = out, .err = err, .mask = mask, .fixed = p->join.fixed,
	    .spread = {.p = p, .family = family, .block = pl_join_block_of(p, mask), .n = p->join.n, .step = 1, .hot = p->hot}};
	struct pl_spread *w = &r.spread;

	while (w->hot && w->hot < p->hot + p->nhot && w->hot->mask < mask)
		w->hot++;
	while (w->hot && w->hot + w->nhot < p->hot + p->nhot && w->hot[w->nhot].mask == mask)
		w->nhot++;
	memset(p->s.ncandidates, 0, sizeof(p->s.ncandidates));
	return r;
}

enum pl_status pl_join_range(struct pl_join_plan *p, const struct pl_family *family, uint64_t range, struct pl_buf *out,
    struct pl_err *err)
{
	struct run r = begin(p, family, out, err);
	enum pl_status st;

	for (uint32_t k = 0; k < family->n; k++) {
		take_mask(&r, k);
		r.grouping[k] = grouping(&r);
	}
	st = join_range(&r, p->range_bits, range);
	for (uint32_t k = 0; k < family->n && st == PL_OK; k++) {
		take_mask(&r, k);
		st = verify(&r);
	}
	return st;
}

enum pl_status pl_join_count(struct pl_join_plan *p, uint32_t mask, struct pl_tally *tally, struct pl_err *err)
{
	const struct pl_family alone = pl_join_alone(p, mask);
	struct run r = begin(p, &alone, NULL, err);
	uint32_t step;
	enum pl_status st = PL_OK;

	r.tally = tally;
	step = (uint32_t)(((uint64_t)p->join.n + p->how.count_sample - 1) / p->how.count_sample);
	step = step > 0 ? step : 1;
	r.spread.step = step;
	r.spread.n = p->join.n / step;
	r.fixed = (uint32_t)(((uint64_t)p->join.fixed + step - 1) / step);
	*tally = (struct pl_tally){0};
	for (uint64_t range = 0; range < (uint64_t)1 << p->range_bits && st == PL_OK; range++)
		st = join_range(&r, p->range_bits, range);
	tally->pairs *= (double)step * step;
	tally->largest *= step;
	return st;
}

enum pl_status pl_join_hot(struct pl_join_plan *p, const struct pl_hot *hot, uint32_t share, struct pl_buf *out,
    struct pl_err *err)
{
	const struct pl_family alone = pl_join_alone(p, hot->mask);
	struct run r = begin(p, &alone, out, err);
	uint64_t mask = p->cover.mask[hot->mask];
	enum pl_status st = PL_OK;

	p->s.nmember = 0;
	for (uint32_t i = 0; i < p->join.n && st == PL_OK; i++) {
		if ((pl_cover_word(&p->cover, r.spread.block, p->join.hashes[i]) & mask) == hot->word) {
			st = fit_members(&p->s, p->s.nmember + 1, err);
			if (st == PL_OK)
				p->s.member[p->s.nmember++] = i;
		}
		if (st == PL_OK && i % POLL_HASHES == 0)
			st = poll(&r);
	}
	return st == PL_OK ? join_members(&r, share, hot->shares) : st;
}
