/* SPDX-License-Identifier: Apache-2.0 */
/* Rows under a rule. What filter and dedup said stands; only the loss of an
 * image or of the text is forgiven. */
#include "select_rule.h"

#include <stdlib.h>
#include <string.h>

const char *const pl_missing_image_names[] = {"drop", "keep", "text", NULL};
const char *const pl_missing_text_names[] = {"drop", "keep", NULL};

static enum pl_status open_groups(struct pl_rule_view *v, const struct pl_corpus *c, size_t shard, struct pl_err *err)
{
	char *path = pl_table_path(c, shard, "groups");
	enum pl_status st;

	if (path == NULL)
		return pl_fail_nomem(err);
	st = pl_npy_open(&v->groups, path, err);
	if (st == PL_OK)
		st = pl_npy_expect(&v->groups, path, pl_group_cols, pl_group_ncols, err);
	if (st == PL_OK && (v->groups.nrows != c->shards[shard].samples || v->groups.row_size != sizeof(struct pl_group_row)))
		st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, path, "belongs to another run: run balance again with --force");
	if (st == PL_OK)
		v->group = (const uint16_t *)(const void *)v->groups.rows;
	free(path);
	return st;
}

/* ---- tables that are kept open ---- */

struct kept { struct pl_tables t; struct pl_npy groups; bool there; };
struct pl_views { struct kept *shards; size_t nshards; uint64_t room; unsigned owners; };

enum pl_status pl_views_new(struct pl_views **out, size_t nshards, uint64_t bytes, struct pl_err *err)
{
	struct pl_views *views = calloc(1, sizeof(*views));

	if (views == NULL)
		return pl_fail_nomem(err);
	*views = (struct pl_views){.shards = calloc(nshards + 1, sizeof(*views->shards)), .nshards = nshards, .room = bytes, .owners = 1};
	if (views->shards == NULL) {
		free(views);
		return pl_fail_nomem(err);
	}
	*out = views;
	return PL_OK;
}

void pl_views_hold(struct pl_views *views)
{
	views->owners++;
}

void pl_views_release(struct pl_views *views)
{
	if (views == NULL || --views->owners > 0)
		return;
	for (size_t i = 0; i < views->nshards; i++) {
		if (views->shards[i].there) {
			pl_tables_close(&views->shards[i].t);
			pl_npy_close(&views->shards[i].groups);
		}
	}
	free(views->shards);
	free(views);
}

static bool borrow(struct pl_rule_view *v, size_t shard)
{
	const struct pl_views *views = v->rule.views;

	if (views == NULL || shard >= views->nshards || !views->shards[shard].there)
		return false;
	v->t = views->shards[shard].t;
	v->groups = views->shards[shard].groups;
	v->group = (const uint16_t *)(const void *)v->groups.rows;
	v->borrowed = true;
	return true;
}

/* What has just been opened stays open, where there is room. */
static void lend(struct pl_rule_view *v, size_t shard)
{
	struct pl_views *views = v->rule.views;
	uint64_t bytes = v->t.samples.nrows * v->t.samples.row_size + v->t.images.nrows * v->t.images.row_size;

	if (views == NULL || shard >= views->nshards || bytes > views->room)
		return;
	views->room -= bytes;
	views->shards[shard] = (struct kept){v->t, v->groups, true};
	v->borrowed = true;
}

/* ---- one shard ---- */

/* Which groups of the shard are in the part. *any: is one? */
static enum pl_status find_mine(struct pl_rule_view *v, const struct pl_group_parts *p, size_t shard, bool *any, struct pl_err *err)
{
	v->n = p->groups->nof[shard];
	v->mine = calloc((size_t)v->n + 1, sizeof(*v->mine));
	if (v->mine == NULL)
		return pl_fail_nomem(err);
	*any = false;
	for (uint32_t i = 0; i < v->n; i++) {
		v->mine[i] = p->part_of[p->groups->of[shard][i]] == v->rule.part;
		*any = *any || v->mine[i];
	}
	return PL_OK;
}

enum pl_status pl_rule_open(struct pl_rule_view *v, const struct pl_select_rule *rule, const struct pl_corpus *c, size_t shard,
    bool *none, struct pl_err *err)
{
	bool any = true;
	enum pl_status st = PL_OK;

	memset(v, 0, sizeof(*v));
	v->rule = *rule;
	if (none != NULL)
		*none = false;
	if (rule->parts != NULL)
		st = find_mine(v, rule->parts, shard, &any, err);
	if (st == PL_OK && !any && none != NULL) {
		*none = true;
		pl_rule_close(v);
		return PL_OK;
	}
	if (st == PL_OK && borrow(v, shard))
		return PL_OK;
	if (st == PL_OK && rule->parts != NULL)
		st = open_groups(v, c, shard, err);
	if (st == PL_OK)
		st = pl_tables_open(&v->t, c, shard, err);
	if (st == PL_OK)
		lend(v, shard);
	if (st != PL_OK)
		pl_rule_close(v);
	return st;
}

void pl_rule_close(struct pl_rule_view *v)
{
	if (!v->borrowed) {
		pl_tables_close(&v->t);
		pl_npy_close(&v->groups);
	}
	free(v->mine);
	memset(v, 0, sizeof(*v));
}

/* ---- what is gone ---- */

/* What filter, dedup and concepts say of the row, whatever its status is. */
static bool wanted(const struct pl_tables *t, uint64_t i)
{
	const struct pl_filter_row *f = t->filter.rows ? pl_npy_row(&t->filter, i) : NULL;
	const struct pl_dedup_row *d = t->dedup.rows ? pl_npy_row(&t->dedup, i) : NULL;
	const struct pl_filter_row *c = t->concepts.rows ? pl_npy_row(&t->concepts, i) : NULL;

	return (!c || c->verdict == PL_REASON_KEEP) && (!f || f->verdict == PL_REASON_KEEP) && (!d || d->verdict == PL_REASON_KEEP);
}

/* An image that is in an evaluation set says that its text may be, too. */
static bool in_evaluation(const struct pl_tables *t, const struct pl_sample_row *s)
{
	for (uint64_t k = s->first_image; k < s->first_image + s->images; k++)
		if (pl_image_verdict(t, k) == PL_REASON_EVALUATION)
			return true;
	return false;
}

static uint64_t images_left(const struct pl_tables *t, const struct pl_sample_row *s)
{
	uint64_t left = 0;

	for (uint64_t k = s->first_image; k < s->first_image + s->images; k++)
		left += pl_image_verdict(t, k) == PL_REASON_KEEP;
	return left;
}

/* Did ingest drop the sample for an image that is not there or cannot be read? Its text was read then. */
static bool lost_at_ingest(const struct pl_sample_row *s)
{
	if (s->status == PL_REASON_NO_IMAGE || s->status == PL_REASON_IMAGES_GONE)
		return true;
	return s->status != PL_REASON_KEEP && s->status != PL_REASON_NO_TEXT && s->images > 0 && s->images_ok < s->images &&
	       s->status <= PL_REASON_MISSING_IMAGE && s->segments > s->images;
}

/* Has the sample lost what its kind needs of images, and is it saved by the rule? */
static bool saved_image(const struct pl_rule_view *v, uint64_t i)
{
	const struct pl_sample_row *s = pl_sample(&v->t, i);

	if (v->rule.image == PL_MISSING_DROP || s->kind == PL_KIND_TEXT || s->text_bytes == 0 || !wanted(&v->t, i))
		return false;
	if (s->status != PL_REASON_KEEP)
		return lost_at_ingest(s) && !in_evaluation(&v->t, s);
	return s->images > 0 && images_left(&v->t, s) == 0 && !in_evaluation(&v->t, s);
}

/* A picture without a text; a conversation or a document without one is nothing. */
static bool saved_text(const struct pl_rule_view *v, uint64_t i)
{
	const struct pl_sample_row *s = pl_sample(&v->t, i);

	return v->rule.text == PL_MISSING_KEEP && s->kind == PL_KIND_PAIRS && s->status == PL_REASON_NO_TEXT && wanted(&v->t, i) &&
	       images_left(&v->t, s) > 0;
}

enum pl_reason pl_rule_verdict(const struct pl_rule_view *v, uint64_t i)
{
	enum pl_reason why = pl_sample_verdict(&v->t, i);

	if (why != PL_REASON_KEEP && (saved_image(v, i) || saved_text(v, i)))
		return PL_REASON_KEEP;
	return why;
}

bool pl_rule_passes_dedup(const struct pl_rule_view *v, uint64_t i)
{
	struct pl_rule_view before = *v;

	memset(&before.t.concepts, 0, sizeof(before.t.concepts));
	return pl_rule_verdict(&before, i) == PL_REASON_KEEP;
}

bool pl_rule_passes_filter(const struct pl_rule_view *v, uint64_t i)
{
	struct pl_rule_view before = *v;

	memset(&before.t.concepts, 0, sizeof(before.t.concepts));
	memset(&before.t.dedup, 0, sizeof(before.t.dedup));
	memset(&before.t.dedup_images, 0, sizeof(before.t.dedup_images));
	return pl_rule_verdict(&before, i) == PL_REASON_KEEP;
}

bool pl_rule_demotes(const struct pl_rule_view *v, uint64_t i)
{
	return v->rule.image == PL_MISSING_TEXT && saved_image(v, i);
}
