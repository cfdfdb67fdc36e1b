/* SPDX-License-Identifier: Apache-2.0 */
/* Kept samples by number: counts per shard stay in memory, a shard's rows are
 * a bitmap with ranks, made when first asked for and forgotten when others
 * need the room. */
#include "select_priv.h"

#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"

enum { RANK_ROWS = 512 };   /* one rank per so many rows */

void pl_select_free(struct pl_select *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->rows && i < s->c->nshards; i++) {
		free(s->rows[i].bits);
		free(s->rows[i].ranks);
	}
	if (s->open_shard != SIZE_MAX)
		pl_rule_close(&s->open);
	pl_views_release(s->rule.views);
	pl_order_free(s->order);
	free(s->shard_at);
	free(s->rows);
	free(s->first);
	free(s);
}

struct pl_select_totals pl_select_totals(const struct pl_select *s)
{
	return s->totals;
}

void pl_select_digest(const struct pl_select *s, uint64_t digest[2])
{
	digest[0] = s->digest[0];
	digest[1] = s->digest[1];
}

/* ---- rows by number ---- */

static size_t bitmap_words(uint64_t rows)
{
	return (size_t)((rows + RANK_ROWS - 1) / RANK_ROWS * (RANK_ROWS / 64));
}

static size_t cache_cost(uint64_t rows)
{
	return bitmap_words(rows) * 8 + (bitmap_words(rows) / (RANK_ROWS / 64) + 1) * sizeof(uint32_t);
}

static void forget(struct pl_select *s, size_t place)
{
	struct pl_select_rows *r = &s->rows[place];

	free(r->bits);
	free(r->ranks);
	r->bits = NULL;
	r->ranks = NULL;
	s->cached -= cache_cost(s->c->shards[s->shard_at[place]].samples);
}

static void make_room(struct pl_select *s, size_t need)
{
	while (s->cached > 0 && s->cached + need > s->cache_max) {
		size_t oldest = SIZE_MAX;
		for (size_t i = 0; i < s->c->nshards; i++) {
			if (s->rows[i].bits && (oldest == SIZE_MAX || s->rows[i].last_use < s->rows[oldest].last_use))
				oldest = i;
		}
		forget(s, oldest);
	}
}

static unsigned bits_set(uint64_t x)
{
	unsigned n = 0;

	for (; x; x &= x - 1)
		n++;
	return n;
}

static enum pl_status load_rows(struct pl_select *s, size_t place, struct pl_err *err)
{
	struct pl_select_rows *r = &s->rows[place];
	size_t shard = s->shard_at[place];
	uint64_t nrows = s->c->shards[shard].samples;
	size_t words = bitmap_words(nrows), per_rank = RANK_ROWS / 64;
	uint32_t kept = 0;
	struct pl_rule_view v;
	enum pl_status st;

	make_room(s, cache_cost(nrows));
	st = pl_rule_open(&v, &s->rule, s->c, shard, NULL, err);   /* holds the samples table to nrows */
	if (st != PL_OK)
		return st;
	r->bits = calloc(words + 1, sizeof(*r->bits));
	r->ranks = calloc(words / per_rank + 1, sizeof(*r->ranks));
	if (!r->bits || !r->ranks) {
		free(r->bits);
		free(r->ranks);
		r->bits = NULL;
		r->ranks = NULL;
		pl_rule_close(&v);
		return pl_fail_nomem(err);
	}
	s->cached += cache_cost(nrows);
	for (uint64_t i = 0; i < nrows; i++) {
		if (pl_rule_mine(&v, i) && pl_rule_verdict(&v, i) == PL_REASON_KEEP)
			r->bits[i / 64] |= (uint64_t)1 << (i % 64);
	}
	pl_rule_close(&v);
	for (size_t w = 0; w < words; w++) {
		if (w % per_rank == 0)
			r->ranks[w / per_rank] = kept;
		kept += bits_set(r->bits[w]);
	}
	r->ranks[words / per_rank] = kept;
	if (kept != s->first[place + 1] - s->first[place]) {
		forget(s, place);
		return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, s->c->shards[shard].path,
		    "its verdicts changed while they were in use: start again");
	}
	return PL_OK;
}

/* Row of the kept sample number `want` of a shard; there are more than want. */
static uint64_t row_at(const struct pl_select_rows *r, size_t words, uint32_t want)
{
	size_t per_rank = RANK_ROWS / 64, lo = 0, hi = words / per_rank, w;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		if (r->ranks[mid] <= want)
			lo = mid;
		else
			hi = mid;
	}
	want -= r->ranks[lo];
	for (w = lo * per_rank; want >= bits_set(r->bits[w]); w++)
		want -= bits_set(r->bits[w]);
	uint64_t bits = r->bits[w];
	for (; want > 0; want--)
		bits &= bits - 1;
	return (uint64_t)w * 64 + bits_set((bits & (~bits + 1)) - 1);
}

enum pl_status pl_select_at(
    struct pl_select *s, uint64_t j, uint32_t *shard, uint64_t *row, struct pl_err *err)
{
	size_t lo = 0, hi = s->c->nshards;

	if (j >= s->totals.samples)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, s->c->dir, "sample %llu of %llu kept ones",
		    (unsigned long long)j, (unsigned long long)s->totals.samples);
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		if (s->first[mid] <= j)
			lo = mid;
		else
			hi = mid;
	}
	if (!s->rows[lo].bits) {
		enum pl_status st = load_rows(s, lo, err);
		if (st != PL_OK)
			return st;
	}
	s->rows[lo].last_use = ++s->clock;
	*shard = s->shard_at[lo];
	*row = row_at(&s->rows[lo], bitmap_words(s->c->shards[*shard].samples), (uint32_t)(j - s->first[lo]));
	return PL_OK;
}

enum pl_status pl_select_cost(struct pl_select *s, uint64_t j, struct pl_sample_cost *cost, struct pl_err *err)
{
	uint32_t shard = 0;
	uint64_t row = 0;
	enum pl_status st = pl_select_at(s, j, &shard, &row, err);

	if (st == PL_OK && s->open_shard != shard) {
		if (s->open_shard != SIZE_MAX)
			pl_rule_close(&s->open);
		s->open_shard = SIZE_MAX;
		st = pl_rule_open(&s->open, &s->rule, s->c, shard, NULL, err);
		if (st == PL_OK)
			s->open_shard = shard;
	}
	if (st != PL_OK)
		return st;
	*cost = pl_select_cost_of(s, &s->open, row);
	return PL_OK;
}

/* ---- orders ---- */

enum pl_status pl_select_order(
    struct pl_select *s, const struct pl_order_way *way, uint64_t draws, struct pl_order **order, struct pl_err *err)
{
	uint64_t what[6] = {way->seed, way->pass, way->fan_in, way->groups, draws, pl_hash64(way->source, strlen(way->source))}, key[2];
	enum pl_status st = PL_OK;

	pl_hash128(what, sizeof(what), key);
	if (!s->order || memcmp(key, s->order_key, sizeof(key)) != 0) {
		pl_order_free(s->order);
		s->order = NULL;
		st = pl_order_new(&s->order, s->first, s->c->nshards, way, err);
		if (st == PL_OK)
			pl_order_draw(s->order, draws);
		memcpy(s->order_key, key, sizeof(key));
	}
	*order = s->order;
	return st;
}
