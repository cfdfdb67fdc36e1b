/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the tables once: what is kept of every shard, by all ranks together. */
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"
#include "select_priv.h"

#define CACHE_BYTES ((size_t)64 << 20)   /* for all parts of a source together */

static uint64_t tokens_of(const struct pl_select *s, const struct pl_image_row *im)
{
	if (s->same || !s->counted)
		return s->each;
	return pl_image_tokens(&s->image, im->width, im->height);
}

struct pl_sample_cost pl_select_cost_of(const struct pl_select *s, const struct pl_rule_view *v, uint64_t row)
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

/* ---- one shard ---- */

/* Selections that are counted in one reading: all parts of a source, or one selection. Of a shard every rank must know its place, the
 * hash of its verdicts, and how many samples each of them keeps: 3 + n numbers. */
struct counted { struct pl_select **s; size_t n; const struct pl_resize *image; };
enum { PLACE, HASH, KEPT = 3 };

/* The selection that a row belongs to; NULL: none of these. */
static struct pl_select *owner_of(const struct counted *c, const struct pl_rule_view *v, size_t shard, uint64_t row)
{
	const struct pl_group_parts *p = c->s[0]->rule.parts;
	size_t part;

	if (!p)
		return c->s[0];
	if (v->group[row] >= p->groups->nof[shard])
		return NULL;
	part = p->part_of[p->groups->of[shard][v->group[row]]];
	if (c->n == 1)
		return part == c->s[0]->rule.part ? c->s[0] : NULL;
	return part < c->n ? c->s[part] : NULL;
}

/* A kept sample whose images' verdicts go into `verdicts`, for the digest. s: its selection, or NULL. */
static void count_images(
    struct pl_select *s, const struct pl_rule_view *v, uint64_t row, const struct pl_resize *image, uint8_t *verdicts)
{
	const struct pl_sample_row *p = pl_sample(&v->t, row);
	bool demoted = pl_rule_demotes(v, row);

	if (s)
		s->totals.demoted += demoted;
	for (uint64_t k = p->first_image; k < p->first_image + p->images; k++) {
		const struct pl_image_row *im = pl_image_at(&v->t, k);
		enum pl_reason why = pl_image_verdict(&v->t, k);
		*verdicts++ = (uint8_t)why;
		if (why != PL_REASON_KEEP || demoted || !s)
			continue;
		s->totals.images++;
		s->totals.image_bytes += im->length;
		s->totals.image_tokens += tokens_of(s, im);
		if (image)
			s->totals.output_bytes += image_output_bytes(im, image);
	}
}

static void count_dropped(struct pl_select *s, const struct pl_rule_view *v, uint64_t row, enum pl_reason why)
{
	s->dropped[(unsigned)why < PL_REASON_COUNT ? why : PL_REASON_FILTERED]++;
	s->totals.filtered += pl_rule_passes_filter(v, row);
	s->totals.deduped += pl_rule_passes_dedup(v, row);
}

static void count_kept(struct pl_select *s, const struct pl_sample_row *p, const struct pl_resize *image)
{
	s->totals.samples++;
	s->totals.filtered++;
	s->totals.deduped++;
	s->totals.text_tokens += p->text_tokens;
	s->totals.text_bytes += p->text_bytes;
	s->totals.output_bytes += image ? p->text_bytes : 0;
}

/* verdicts: room for one of every row and image. */
static void count_rows(const struct counted *c, const struct pl_rule_view *v, size_t shard, uint8_t *verdicts)
{
	for (uint64_t i = 0; i < v->t.samples.nrows; i++) {
		const struct pl_sample_row *p = pl_sample(&v->t, i);
		struct pl_select *s = owner_of(c, v, shard, i);
		enum pl_reason why = pl_rule_verdict(v, i);
		*verdicts++ = (uint8_t)why;
		if (s)
			s->totals.rows++;
		if (why != PL_REASON_KEEP && s)
			count_dropped(s, v, i, why);
		if (why != PL_REASON_KEEP)
			continue;
		if (s)
			count_kept(s, p, c->image);
		count_images(s, v, i, c->image, verdicts);
		verdicts += p->images;
	}
}

/* verdicts: zeroed, room for one of every row and image. */
static enum pl_status count_view(const struct counted *c, const struct pl_rule_view *v, size_t shard, uint8_t *verdicts, uint64_t *out,
    struct pl_err *err)
{
	struct pl_hasher *h = verdicts ? pl_hasher_new() : NULL;

	if (!h)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < c->n; i++)
		out[KEPT + i] = c->s[i]->totals.samples;
	count_rows(c, v, shard, verdicts);
	for (size_t i = 0; i < c->n; i++)
		out[KEPT + i] = c->s[i]->totals.samples - out[KEPT + i];
	if (v->group)
		pl_hasher_add(h, v->groups.rows, v->groups.nrows * v->groups.row_size);
	pl_hasher_add(h, verdicts, (size_t)(v->t.samples.nrows + v->t.images.nrows));
	pl_hasher_digest(h, out + HASH);
	pl_hasher_free(h);
	return PL_OK;
}

static enum pl_status count_shard(const struct counted *c, size_t place, uint64_t *out, struct pl_err *err)
{
	const struct pl_select *s = c->s[0];
	size_t shard = s->shard_at[place];
	struct pl_select_rule once = s->rule;
	struct pl_rule_view v;
	uint8_t *verdicts;
	enum pl_status st;

	/* Most sources are never looked at again here. */
	once.views = NULL;
	st = pl_rule_open(&v, &once, s->c, shard, NULL, err);
	out[PLACE] = place;
	if (st != PL_OK)
		return st;
	verdicts = calloc(v.t.samples.nrows + v.t.images.nrows + 1, 1);
	if (v.t.samples.nrows > UINT32_MAX)
		st = pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, s->c->shards[shard].path, "more than 2^32 - 1 samples");
	else
		st = count_view(c, &v, shard, verdicts, out, err);
	free(verdicts);
	pl_rule_close(&v);
	return st;
}

/* ---- all shards ---- */

/* What all ranks counted becomes one and the same on every rank: selection number `which`, from `n` shards' numbers. */
static enum pl_status combine(const struct counted *c, size_t which, const uint64_t *all, size_t n, struct pl_err *err)
{
	struct pl_select *s = c->s[which];
	const struct pl_group_parts *p = s->rule.parts;
	uint64_t (*hashes)[2] = calloc(s->c->nshards + 3, sizeof(*hashes));

	if (!hashes)
		return pl_fail_nomem(err);
	memcpy(hashes[0], s->c->digest, sizeof(hashes[0]));
	if (p)   /* which rows are the part's */
		pl_hash128(p->part_of, p->groups->n * sizeof(*p->part_of), hashes[s->c->nshards + 1]);
	hashes[s->c->nshards + 2][0] = p ? 1 + s->rule.part : 0;
	for (size_t i = 0; i < n; i++, all += KEPT + c->n) {
		s->first[all[PLACE] + 1] = all[KEPT + which];
		memcpy(hashes[all[PLACE] + 1], all + HASH, sizeof(hashes[0]));
	}
	for (size_t i = 0; i < s->c->nshards; i++)
		s->first[i + 1] += s->first[i];
	s->totals.samples = s->first[s->c->nshards];
	pl_hash128(hashes, (s->c->nshards + 3) * sizeof(*hashes), s->digest);
	free(hashes);
	return PL_OK;
}

static enum pl_status count_all(const struct counted *c, const struct pl_crew *crew, struct pl_err *err)
{
	size_t nshards = c->s[0]->c->nshards, step = pl_crew_size(crew), n = 0, stride = KEPT + c->n;
	uint64_t *mine = calloc((nshards / step + 1) * stride, sizeof(*mine));
	struct pl_buf all;
	enum pl_status st = mine ? PL_OK : pl_fail_nomem(err);

	pl_buf_init(&all, SIZE_MAX);
	for (size_t i = pl_crew_rank(crew); st == PL_OK && i < nshards; i += step) {
		st = count_shard(c, i, mine + n++ * stride, err);
		if (st == PL_OK)
			st = pl_crew_poll(crew, err);
	}
	st = pl_crew_agree(crew, st, err);
	if (st == PL_OK)
		st = pl_crew_gather(crew, mine, n * stride * sizeof(*mine), &all, err);
	for (size_t i = 0; st == PL_OK && i < c->n; i++) {
		pl_crew_sum(crew, (uint64_t *)&c->s[i]->totals, sizeof(c->s[i]->totals) / sizeof(uint64_t));
		pl_crew_sum(crew, c->s[i]->dropped, PL_REASON_COUNT);
		st = combine(c, i, (const uint64_t *)(const void *)all.data, all.len / (stride * sizeof(*mine)), err);
	}
	pl_buf_release(&all);
	free(mine);
	return pl_crew_agree(crew, st, err);
}

struct named { const char *unit; uint32_t shard; };

static int by_unit(const void *x, const void *y)
{
	const struct named *a = x, *b = y;

	return strcmp(a->unit, b->unit);
}

static enum pl_status sort_shards(struct pl_select *s, struct pl_err *err)
{
	size_t n = s->c->nshards;
	struct named *list = calloc(n + 1, sizeof(*list));

	if (!list || !s->shard_at || n > UINT32_MAX) {
		free(list);
		return pl_fail_nomem(err);
	}
	for (size_t i = 0; i < n; i++)
		list[i] = (struct named){s->c->shards[i].unit, (uint32_t)i};
	qsort(list, n, sizeof(*list), by_unit);
	for (size_t i = 0; i < n; i++)
		s->shard_at[i] = list[i].shard;
	free(list);
	return PL_OK;
}

static enum pl_status make(struct pl_select **out, const struct pl_corpus *c, const struct pl_select_rule *rule, size_t part,
    const struct pl_resize *image, struct pl_err *err)
{
	struct pl_select *s = calloc(1, sizeof(*s));

	*out = s;
	if (!s)
		return pl_fail_nomem(err);
	s->c = c;
	s->rule = rule ? *rule : (struct pl_select_rule){0};
	s->rule.part = part;
	if (s->rule.views)
		pl_views_hold(s->rule.views);
	s->cache_max = CACHE_BYTES / (s->rule.parts ? s->rule.parts->n : 1);
	s->open_shard = SIZE_MAX;
	s->shard_at = calloc(c->nshards + 1, sizeof(*s->shard_at));
	s->first = calloc(c->nshards + 1, sizeof(*s->first));
	s->rows = calloc(c->nshards + 1, sizeof(*s->rows));
	if (image) {
		s->image = *image;
		s->counted = true;
		s->same = pl_image_tokens_same(image, &s->each);
	}
	return s->first && s->rows ? sort_shards(s, err) : pl_fail_nomem(err);
}

static enum pl_status share_views(struct pl_select **s, size_t n, size_t nshards, struct pl_err *err)
{
	struct pl_views *views = NULL;
	enum pl_status st = pl_views_new(&views, nshards, PL_VIEWS_BYTES, err);

	for (size_t i = 0; i < n && st == PL_OK; i++) {
		s[i]->rule.views = views;
		pl_views_hold(views);
	}
	pl_views_release(views);
	return st;
}

/* Selections of parts first, first + 1, ... */
static enum pl_status make_all(struct pl_select **out, size_t n, size_t first, const struct pl_corpus *c, const struct pl_select_rule *rule,
    const struct pl_resize *image, const struct pl_crew *crew, struct pl_err *err)
{
	const struct counted all = {out, n, image};
	enum pl_status st = PL_OK;

	memset(out, 0, n * sizeof(struct pl_select *));
	for (size_t i = 0; i < n && st == PL_OK; i++)
		st = make(&out[i], c, rule, first + i, image, err);
	if (st == PL_OK && n > 1)
		st = share_views(out, n, c->nshards, err);
	st = pl_crew_agree(crew, st, err);
	if (st == PL_OK)
		st = count_all(&all, crew, err);
	for (size_t i = 0; i < n && st != PL_OK; i++) {
		pl_select_free(out[i]);
		out[i] = NULL;
	}
	return st;
}

enum pl_status pl_select_new(struct pl_select **out, const struct pl_corpus *c, const struct pl_select_rule *rule,
    const struct pl_resize *image, const struct pl_crew *crew, struct pl_err *err)
{
	return make_all(out, 1, rule ? rule->part : 0, c, rule, image, crew, err);
}

enum pl_status pl_select_new_parts(struct pl_select **out, const struct pl_corpus *c, const struct pl_select_rule *rule,
    const struct pl_resize *image, const struct pl_crew *crew, struct pl_err *err)
{
	return make_all(out, rule->parts->n, 0, c, rule, image, crew, err);
}

/* ---- walks ---- */

static enum pl_status walk_shard(
    struct pl_select *s, size_t place, pl_select_each_fn *each, void *ctx, struct pl_err *err)
{
	struct pl_sample_cost costs[PL_SELECT_BATCH];
	struct pl_rule_view v;
	bool none = false;
	uint64_t j = s->first[place];
	size_t n = 0;
	enum pl_status st = pl_rule_open(&v, &s->rule, s->c, s->shard_at[place], &none, err);

	if (st != PL_OK || none)
		return st;
	for (uint64_t i = 0; st == PL_OK && i < v.t.samples.nrows && j + n < s->first[place + 1]; i++) {
		if (!pl_rule_mine(&v, i) || pl_rule_verdict(&v, i) != PL_REASON_KEEP)
			continue;
		costs[n++] = pl_select_cost_of(s, &v, i);
		if (n == PL_SELECT_BATCH) {
			st = each(ctx, j, costs, n, err);
			j += n;
			n = 0;
		}
	}
	if (st == PL_OK && n > 0)
		st = each(ctx, j, costs, n, err);
	pl_rule_close(&v);
	return st;
}

enum pl_status pl_select_walk(struct pl_select *s, const struct pl_order *order, const struct pl_crew *crew, pl_select_each_fn *each,
    void *ctx, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = pl_crew_rank(crew); st == PL_OK && i < s->c->nshards; i += pl_crew_size(crew)) {
		if (!pl_order_touches(order, s->first[i], s->first[i + 1]))
			continue;
		st = walk_shard(s, i, each, ctx, err);
		if (st == PL_OK)
			st = pl_crew_poll(crew, err);
	}
	return pl_crew_agree(crew, st, err);
}

void pl_select_account(const struct pl_select *s, struct pl_account *account)
{
	for (size_t r = 0; r < PL_REASON_COUNT; r++) {
		account->samples_in += s->dropped[r];
		account->samples_dropped[r] += s->dropped[r];
	}
}
