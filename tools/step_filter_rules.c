/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of a filter: made from presets and conditions, counted, told. */
#include "step_filter_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum pl_status add_rule(struct filter_rules *r, const struct pl_preset *preset, const char *name, bool image, char *where,
    struct pl_err *err)
{
	struct filter_rule *more;

	if (r->n == FILTER_RULES_MAX) {
		free(where);
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "more than %d rules in one filter", FILTER_RULES_MAX);
	}
	more = where != NULL ? realloc(r->rules, (r->n + 1) * sizeof(*more)) : NULL;
	if (more == NULL) {
		free(where);
		return pl_fail_nomem(err);
	}
	r->rules = more;
	more[r->n++] = (struct filter_rule){ .preset = preset, .name = name, .image = image, .where = where };
	return PL_OK;
}

static enum pl_status lacks_score(const struct pl_preset *p, const struct pl_rule *rule, const struct pl_corpus *c, struct pl_err *err)
{
	if (strcmp(rule->scores, "language") == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, c->dir,
		    "preset %s, rule %s: languages were not told when this corpus was made: install libexttextcat and its data and ingest again, "
		    "or leave such rules out (filter_missing: skip; --missing skip)",
		    p->name, rule->name);
	return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, c->dir,
	    "preset %s, rule %s needs a column with the %s, one of: %s. Take it from the samples' JSON (columns; plait ingest --column), join it "
	    "from a file of scores (scores, score_columns; --scores, --score-column), or leave such rules out (filter_missing: skip; --missing skip)",
	    p->name, rule->name, rule->what, rule->scores);
}

static enum pl_status add_preset(struct filter_rules *r, const struct pl_preset *p, bool skip, const struct pl_corpus *c,
    const struct pl_sql_source *samples, const struct pl_sql_source *images, bool similarity, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < p->nrules && st == PL_OK; i++) {
		const struct pl_rule *rule = &p->rules[i];
		char *where = NULL;
		void *more;

		st = pl_rule_where(rule, c, rule->image ? images : samples, similarity, &where, err);
		if (st == PL_OK && where != NULL)
			st = add_rule(r, p, rule->name, rule->image, where, err);
		else if (st == PL_OK && !skip)
			st = lacks_score(p, rule, c, err);
		else if (st == PL_OK) {
			if ((more = realloc(r->skipped, (r->nskipped + 1) * sizeof(*r->skipped))) == NULL)
				return pl_fail_nomem(err);
			r->skipped = more;
			r->skipped[r->nskipped].preset = p;
			r->skipped[r->nskipped++].rule = rule;
		}
	}
	return st;
}

static enum pl_status add_own(struct filter_rules *r, const char *name, bool image, const char *where, struct pl_err *err)
{
	return where != NULL ? add_rule(r, NULL, name, image, strdup(where), err) : PL_OK;
}

enum pl_status filter_rules_make(struct filter_rules *r, const struct filter_step *s, const struct pl_corpus *c,
    const struct pl_sql_source *samples, const struct pl_sql_source *images, bool similarity, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	memset(r, 0, sizeof(*r));
	for (size_t i = 0; i < s->npresets && st == PL_OK; i++) {
		const struct pl_preset *p = NULL;
		st = pl_preset_find(s->presets[i], &p, err);
		if (st == PL_OK)
			st = add_preset(r, p, s->skip_missing, c, samples, images, similarity, err);
	}
	if (st == PL_OK)
		st = add_own(r, "image_where", true, s->image_where, err);
	if (st == PL_OK)
		st = add_own(r, "where", false, s->where, err);
	return st;
}

void filter_rules_release(struct filter_rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->rules[i].where);
	free(r->rules);
	free(r->skipped);
	memset(r, 0, sizeof(*r));
}

bool filter_rules_any(const struct filter_rules *r, bool image)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->rules[i].image == image)
			return true;
	return false;
}

enum pl_status filter_rules_describe(const struct filter_rules *r, struct pl_buf *out, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < r->n && st == PL_OK; i++)
		st = pl_buf_addf(out, err, "%s/%s %d %s\n", r->rules[i].preset != NULL ? r->rules[i].preset->name : "", r->rules[i].name,
		    r->rules[i].image, r->rules[i].where);
	for (size_t i = 0; i < r->nskipped && st == PL_OK; i++)
		st = pl_buf_addf(out, err, "skipped %s/%s\n", r->skipped[i].preset->name, r->skipped[i].rule->name);
	return st;
}

static bool add_object(json_t *list, const struct pl_preset *preset, json_t *object)
{
	if (object != NULL && preset != NULL && json_object_set_new(object, "preset", json_string(preset->name)) != 0) {
		json_decref(object);
		return false;
	}
	return json_array_append_new(list, object) == 0;
}

enum pl_status filter_rules_json(const struct filter_rules *r, const struct pl_corpus *c, json_t **out, struct pl_err *err)
{
	json_t *rules = json_array(), *skipped = json_array(), *unapplied = json_array();
	bool ok = rules != NULL && skipped != NULL && unapplied != NULL;
	const struct pl_preset *last = NULL;

	for (size_t i = 0; i < r->n && ok; i++) {
		const struct filter_rule *x = &r->rules[i];
		ok = add_object(rules, x->preset, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "rule", x->name, "on", x->image ? "images" : "samples",
		    "where", x->where, "tested", (json_int_t)x->tested, "dropped", (json_int_t)x->dropped, "holds", (json_int_t)x->holds));
		if (ok && x->preset != NULL && x->preset != last)
			ok = add_object(unapplied, x->preset, json_pack("{s:s}", "what", x->preset->not_applied));
		last = x->preset;
	}
	for (size_t i = 0; i < r->nskipped && ok; i++)
		ok = add_object(skipped, r->skipped[i].preset, json_pack("{s:s, s:s}", "rule", r->skipped[i].rule->name, "needs", r->skipped[i].rule->what));
	*out = ok ? json_pack("{s:s, s:O, s:O, s:O}", "corpus", c->source.name != NULL ? c->source.name : "", "rules", rules, "skipped", skipped,
	    "not_applied", unapplied) : NULL;
	json_decref(rules);
	json_decref(skipped);
	json_decref(unapplied);
	return *out != NULL ? PL_OK : pl_fail_nomem(err);
}

static uint64_t count_of(const json_t *rule, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(rule, key));

	return n > 0 ? (uint64_t)n : 0;
}

enum pl_status filter_rules_load_counts(struct filter_rules *r, const char *dir, struct pl_err *err)
{
	char *path = pl_path_join(dir, PL_FILTER_NAME);
	json_t *j = NULL;
	const json_t *list;
	enum pl_status st = path != NULL ? pl_json_load(path, (size_t)4 << 20, &j, err) : pl_fail_nomem(err);

	list = json_object_get(j, "rules");
	if (st == PL_OK && json_array_size(list) != r->n)
		st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, path, "is of another filter; run this one with --force");
	for (size_t i = 0; i < r->n && st == PL_OK; i++) {
		const json_t *rule = json_array_get(list, i);
		r->rules[i].tested = count_of(rule, "tested");
		r->rules[i].dropped = count_of(rule, "dropped");
		r->rules[i].holds = count_of(rule, "holds");
	}
	json_decref(j);
	free(path);
	return st;
}

void filter_rules_tell(const struct filter_rules *r, const char *corpus)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct filter_rule *x = &r->rules[i];
		pl_log(PL_LOG_INFO, "'%s': %s%s%s: %llu %s tested, %llu passed, %llu dropped: %s", corpus, x->preset != NULL ? x->preset->name : "",
		    x->preset != NULL ? "/" : "", x->name, (unsigned long long)x->tested, x->image ? "images" : "samples",
		    (unsigned long long)(x->tested - x->dropped), (unsigned long long)x->dropped, x->where);
	}
	for (size_t i = 0; i < r->nskipped; i++)
		pl_log(PL_LOG_WARNING, "'%s': %s/%s is skipped: the corpus has no %s", corpus, r->skipped[i].preset->name, r->skipped[i].rule->name,
		    r->skipped[i].rule->what);
	for (size_t i = 0; i < r->n; i++)
		if (r->rules[i].preset != NULL && (i == 0 || r->rules[i].preset != r->rules[i - 1].preset))
			pl_log(PL_LOG_INFO, "'%s': of %s is not applied: %s", corpus, r->rules[i].preset->name, r->rules[i].preset->not_applied);
}
