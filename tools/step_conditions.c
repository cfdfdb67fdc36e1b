/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of a recipe, tried on relations without rows before any work: with the
 * columns that the tables will have once ingest and scores have written them. */
#include "libpipe/base/sql.h"
#include "step_filter_rules.h"

struct tables_to_come {
	struct pl_corpus corpus;
	struct pl_sql *db;
	struct pl_sql_source samples, images;
};

static enum pl_status prepare(struct tables_to_come *c, const struct pl_recipe *r, size_t i, struct pl_err *err)
{
	const struct pl_recipe_source *s = &r->sources[i];
	enum pl_status st;

	pl_recipe_corpus_source(r, i, &c->corpus.source);
	/* Whether languages are told is known when ingest starts: see step_ingest.c. */
	c->corpus.source.language = "any";
	c->corpus.dir = (char *)(uintptr_t)s->name;
	c->corpus.scores = (char **)(uintptr_t)s->score_columns.items;
	c->corpus.nscores = s->score_columns.n;
	st = pl_sql_open(&c->db, err);
	if (st == PL_OK)
		st = pl_relation_samples(&c->corpus, &c->samples, err);
	if (st == PL_OK)
		st = pl_relation_images(&c->corpus, &c->images, err);
	if (st == PL_OK)
		st = pl_sql_add(c->db, &c->samples, err);
	return st == PL_OK ? pl_sql_add(c->db, &c->images, err) : st;
}

/* Where a rule stands in the recipe, and what it is called there. */
static uint32_t place_of(const struct pl_recipe_source *s, const struct filter_rule *rule, const char **what)
{
	*what = rule->preset != NULL ? "filter" : rule->image ? "image_where" : "where";
	if (rule->preset != NULL)
		return s->filter_line;
	return rule->image ? s->image_where_line : s->where_line;
}

static enum pl_status refuse(const struct pl_recipe *r, const char *source, const char *what, uint32_t line, const struct pl_err *why,
    struct pl_err *err)
{
	enum pl_status st;

	if (why->status != PL_ERR_USAGE) {
		*err = *why;
		return why->status;
	}
	st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, r->path, "source '%.80s': %s: %s", source, what, why->text);
	pl_err_at_line(err, r->path, line);
	return st;
}

static enum pl_status try_filter(const struct tables_to_come *c, const struct pl_recipe *r, size_t i, struct pl_err *err)
{
	const struct pl_recipe_source *s = &r->sources[i];
	const struct filter_step step = { .where = s->where, .image_where = s->image_where, .presets = s->filter.items,
		.npresets = s->filter.n, .skip_missing = s->filter_missing == PL_SCORE_MISSING_SKIP };
	/* Samples may bring one for each image, whatever the recipe says. */
	const bool may_have_similarity = true;
	struct filter_rules rules;
	struct pl_err why = { 0 };
	uint8_t none = 0;
	const char *what = "filter";
	uint32_t line = s->filter_line;
	enum pl_status st = filter_rules_make(&rules, &step, &c->corpus, &c->samples, &c->images, may_have_similarity, &why);

	for (size_t k = 0; k < rules.n && st == PL_OK; k++) {
		line = place_of(s, &rules.rules[k], &what);
		st = pl_sql_where(c->db, rules.rules[k].image ? &c->images : &c->samples, rules.rules[k].where, &none, &why);
	}
	filter_rules_release(&rules);
	return st == PL_OK ? PL_OK : refuse(r, s->name, what, line, &why, err);
}

static enum pl_status no_row(void *ctx, uint64_t row, const char *text, size_t len, struct pl_err *err)
{
	(void)ctx;
	(void)row;
	(void)text;
	(void)len;
	(void)err;
	return PL_OK;
}

static enum pl_status try_source(const struct pl_recipe *r, size_t i, struct pl_err *err)
{
	const struct pl_recipe_source *s = &r->sources[i];
	struct tables_to_come c = { .db = NULL };
	struct pl_err why = { 0 };
	enum pl_status st = prepare(&c, r, i, err);

	if (st == PL_OK)
		st = try_filter(&c, r, i, err);
	if (st == PL_OK && s->groups.by != NULL && (st = pl_sql_text(c.db, &c.samples, s->groups.by, no_row, NULL, &why)) != PL_OK)
		st = refuse(r, s->name, "groups", s->groups.line, &why, err);
	pl_sql_close(c.db);
	pl_relation_release(&c.samples);
	pl_relation_release(&c.images);
	return st;
}

enum pl_status steps_check_conditions(const struct pl_recipe *r, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < r->nsources && st == PL_OK; i++)
		st = try_source(r, i, err);
	return st;
}
