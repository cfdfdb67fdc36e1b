/* SPDX-License-Identifier: Apache-2.0 */
/* Kept samples by number: counts per shard stay in memory, a shard's rows are
 * a bitmap with ranks, made when first asked for and forgotten when others
 * need the room. */
#include "select.h"

#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"

#define CACHE_BYTES ((size_t)64 << 20)   /* for all parts of a source together */
enum { RANK_ROWS = 512 };   /* one rank per so many rows */

struct shard_rows {
	uint64_t *bits;        /* NULL = not in the cache */
	uint32_t *ranks;       /* kept rows before each block of RANK_ROWS */
	uint64_t last_use;
};

struct pl_select {
	const struct pl_corpus *c;
	struct pl_select_rule rule;
	uint64_t *first;       /* nshards + 1: kept samples before each shard */
	struct shard_rows *rows;
	size_t cached, cache_max;   /* bytes */
	uint64_t clock;
	struct pl_select_totals totals;
	uint64_t digest[2];
	uint64_t dropped[PL_REASON_COUNT];
	struct pl_rule_view open;   /* of shard open_shard, for costs */
	size_t open_shard;     /* SIZE_MAX = none */
	struct pl_resize image;      /* how image tokens are counted */
	bool counted;                /* image is set */
	bool same; uint64_t each;    /* every image counts `each` */
};

/* ---- one shard's numbers ---- */

static uint64_t tokens_of(const struct pl_select *s, const struct pl_image_row *im)
{
	if (s->same || !s->counted)
		return s->each;
	return pl_image_tokens(&s->image, im->width, im->height);
}

static struct pl_sample_cost cost_of(const struct pl_select *s, const struct pl_rule_view *v, uint64_t row)
{
	const struct pl_sample_row *p = pl_sample(&v->t, row);
	struct pl_sample_cost c = {.text_tokens = p->text_tokens};

	if (pl_rule_demotes(v, row))
		return c;
	for (uint64_t k = p->first_image; k < p->first_image + p->images; k++) {
		if (pl_image_verdict(&v->t, k) != PL_REASON_KEEP)
			continue;
		c.images++;
		c.image_tokens += tokens_of(s, pl_image_at(&v->t, k));
	}
	return c;
}

static void count_images(
    struct pl_select *s, const struct pl_rule_view *v, uint64_t row, struct pl_hasher *h)
{
	const struct pl_sample_row *p = pl_sample(&v->t, row);
	bool demoted = pl_rule_demotes(v, row);

	s->totals.demoted += demoted;
	for (uint64_t k = p->first_image; k < p->first_image + p->images; k++) {
		enum pl_reason why = pl_image_verdict(&v->t, k);
		uint8_t byte = (uint8_t)why;
		pl_hasher_add(h, &byte, 1);
		if (why == PL_REASON_KEEP && !demoted) {
			s->totals.images++;
			s->totals.image_bytes += pl_image_at(&v->t, k)->length;
		}
	}
}

static uint64_t count_rows(struct pl_select *s, const struct pl_rule_view *v, struct pl_hasher *h)
{
	uint64_t kept = 0;

	for (uint64_t i = 0; i < v->t.samples.nrows; i++) {
		enum pl_reason why;
		uint8_t byte;
		if (!pl_rule_mine(v, i))
			continue;
		why = pl_rule_verdict(v, i);
		byte = (uint8_t)why;
		pl_hasher_add(h, &byte, 1);
		s->totals.rows++;
		if (why != PL_REASON_KEEP) {
			s->dropped[(unsigned)why < PL_REASON_COUNT ? why : PL_REASON_FILTERED]++;
			s->totals.filtered += pl_rule_passes_filter(v, i);
			s->totals.deduped += pl_rule_passes_dedup(v, i);
			continue;
		}
		kept++;
		s->totals.filtered++;
		s->totals.deduped++;
		s->totals.text_tokens += pl_sample(&v->t, i)->text_tokens;
		s->totals.text_bytes += pl_sample(&v->t, i)->text_bytes;
		count_images(s, v, i, h);
	}
	return kept;
}

static enum pl_status count_shard(
    struct pl_select *s, size_t shard, struct pl_hasher *h, struct pl_err *err)
{
	struct pl_rule_view v;
	bool none = false;
	enum pl_status st = pl_rule_open(&v, &s->rule, s->c, shard, &none, err);

	if (st != PL_OK)
		return st;
	s->first[shard + 1] = s->first[shard];
	if (none)
		return PL_OK;
	if (v.t.samples.nrows > UINT32_MAX) {
		st = pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, s->c->shards[shard].path,
		    "more than 2^32 - 1 samples");
	} else {
		/* the verdicts of a part alone do not tell which rows they are of */
		if (s->rule.parts)
			pl_hasher_add(h, v.groups.rows, v.groups.nrows * v.groups.row_size);
		s->first[shard + 1] += count_rows(s, &v, h);
	}
	pl_rule_close(&v);
	return st;
}

static enum pl_status count_all(struct pl_select *s, struct pl_err *err)
{
	struct pl_hasher *h = pl_hasher_new();
	enum pl_status st = PL_OK;

	if (!h)
		return pl_fail_nomem(err);
	pl_hasher_add(h, s->c->digest, sizeof(s->c->digest));
	if (s->rule.parts)
		pl_hasher_add(h, s->rule.parts->part_of, s->rule.parts->groups->n * sizeof(*s->rule.parts->part_of));
	for (size_t i = 0; st == PL_OK && i < s->c->nshards; i++)
		st = count_shard(s, i, h, err);
	s->totals.samples = s->first[s->c->nshards];
	pl_hasher_digest(h, s->digest);
	pl_hasher_free(h);
	return st;
}

enum pl_status pl_select_new(
    struct pl_select **out, const struct pl_corpus *c, const struct pl_select_rule *rule, struct pl_err *err)
{
	struct pl_select *s = calloc(1, sizeof(*s));
	enum pl_status st;

	if (!s)
		return pl_fail_nomem(err);
	s->c = c;
	s->rule = rule ? *rule : (struct pl_select_rule){0};
	s->cache_max = CACHE_BYTES / (s->rule.parts ? s->rule.parts->n : 1);
	s->open_shard = SIZE_MAX;
	s->first = calloc(c->nshards + 1, sizeof(*s->first));
	s->rows = calloc(c->nshards + 1, sizeof(*s->rows));
	st = s->first && s->rows ? count_all(s, err) : pl_fail_nomem(err);
	if (st != PL_OK) {
		pl_select_free(s);
		return st;
	}
	*out = s;
	return PL_OK;
}

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

static void forget(struct pl_select *s, size_t shard)
{
	struct shard_rows *r = &s->rows[shard];

	free(r->bits);
	free(r->ranks);
	r->bits = NULL;
	r->ranks = NULL;
	s->cached -= cache_cost(s->c->shards[shard].samples);
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

static enum pl_status load_rows(struct pl_select *s, size_t shard, struct pl_err *err)
{
	struct shard_rows *r = &s->rows[shard];
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
	if (kept != s->first[shard + 1] - s->first[shard]) {
		forget(s, shard);
		return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, s->c->shards[shard].path,
		    "its verdicts changed while they were in use: start again");
	}
	return PL_OK;
}

/* Row of the kept sample number `want` of a shard; there are more than want. */
static uint64_t row_at(const struct shard_rows *r, size_t words, uint32_t want)
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
	*shard = (uint32_t)lo;
	*row = row_at(&s->rows[lo], bitmap_words(s->c->shards[lo].samples), (uint32_t)(j - s->first[lo]));
	return PL_OK;
}

enum pl_status pl_select_cost(
    struct pl_select *s, uint64_t j, uint64_t *images, uint64_t *text_tokens, struct pl_err *err)
{
	uint32_t shard = 0;
	uint64_t row = 0;
	struct pl_sample_cost cost;
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
	cost = cost_of(s, &s->open, row);
	*images = cost.images;
	*text_tokens = cost.text_tokens;
	return PL_OK;
}

/* ---- over all ---- */

static enum pl_status walk_shard(
    struct pl_select *s, size_t shard, pl_select_each_fn *each, void *ctx, struct pl_err *err)
{
	struct pl_rule_view v;
	bool none = false;
	uint64_t j = s->first[shard];
	enum pl_status st = pl_rule_open(&v, &s->rule, s->c, shard, &none, err);

	if (st != PL_OK || none)
		return st;
	for (uint64_t i = 0; st == PL_OK && i < v.t.samples.nrows && j < s->first[shard + 1]; i++) {
		struct pl_sample_cost cost;
		if (!pl_rule_mine(&v, i) || pl_rule_verdict(&v, i) != PL_REASON_KEEP)
			continue;
		cost = cost_of(s, &v, i);
		st = each(ctx, j++, &cost, err);
	}
	pl_rule_close(&v);
	return st;
}

enum pl_status pl_select_walk(
    struct pl_select *s, pl_select_each_fn *each, void *ctx, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; st == PL_OK && i < s->c->nshards; i++)
		st = walk_shard(s, i, each, ctx, err);
	return st;
}

static enum pl_status add_tokens(void *ctx, uint64_t j, const struct pl_sample_cost *cost, struct pl_err *err)
{
	struct pl_select *s = ctx;

	(void)j;
	(void)err;
	s->totals.image_tokens += cost->image_tokens;
	return PL_OK;
}

enum pl_status pl_select_count_tokens(struct pl_select *s, const struct pl_resize *image, struct pl_err *err)
{
	s->image = *image;
	s->counted = true;
	s->each = 0;
	s->same = pl_image_tokens_same(image, &s->each);
	s->totals.image_tokens = s->totals.images * s->each;
	return s->same ? PL_OK : pl_select_walk(s, add_tokens, s, err);
}

/* Thousandths of a byte per pixel of a format at the usual qualities. */
static uint64_t rate_of(enum pl_format format)
{
	if (format == PL_FORMAT_WEBP)
		return 350;
	return format == PL_FORMAT_JPEG ? 600 : 2000;
}

static uint64_t image_output_bytes(const struct pl_image_row *im, const struct pl_resize *image)
{
	enum pl_format format =
	    image->format != PL_FORMAT_UNKNOWN ? image->format : (enum pl_format)im->format;
	uint64_t bytes, pixels;

	if (image->policy == PL_POLICY_NONE && image->format == PL_FORMAT_UNKNOWN)
		return im->length;
	pixels = pl_resize_pixels(image, im->width, im->height);
	bytes = pixels / 1000 * rate_of(format) + pixels % 1000 * rate_of(format) / 1000;
	return bytes < im->length || pl_policy_tiles(image->policy) ? bytes : im->length;
}

static uint64_t shard_output_bytes(const struct pl_rule_view *v, const struct pl_resize *image)
{
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < v->t.samples.nrows; i++) {
		const struct pl_sample_row *s = pl_sample(&v->t, i);
		if (!pl_rule_mine(v, i) || pl_rule_verdict(v, i) != PL_REASON_KEEP || pl_rule_demotes(v, i))
			continue;
		for (uint64_t k = s->first_image; k < s->first_image + s->images; k++)
			if (pl_image_verdict(&v->t, k) == PL_REASON_KEEP)
				bytes += image_output_bytes(pl_image_at(&v->t, k), image);
	}
	return bytes;
}

enum pl_status pl_select_output_bytes(
    const struct pl_select *s, const struct pl_resize *image, uint64_t *bytes, struct pl_err *err)
{
	*bytes = s->totals.text_bytes;
	for (size_t shard = 0; shard < s->c->nshards; shard++) {
		struct pl_rule_view v;
		bool none = false;
		enum pl_status st = pl_rule_open(&v, &s->rule, s->c, shard, &none, err);
		if (st != PL_OK)
			return st;
		if (none)
			continue;
		*bytes += shard_output_bytes(&v, image);
		pl_rule_close(&v);
	}
	return PL_OK;
}

void pl_select_account(const struct pl_select *s, struct pl_account *account)
{
	for (size_t r = 0; r < PL_REASON_COUNT; r++) {
		account->samples_in += s->dropped[r];
		account->samples_dropped[r] += s->dropped[r];
	}
}
