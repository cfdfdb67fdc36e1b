/* SPDX-License-Identifier: Apache-2.0 */
/* What other steps left beside the tables: filter.json names the rules behind
 * the numbers in the verdict tables, scores.json the columns joined from side
 * files. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "libpipe/base/file.h"

enum { NOTES_MAX = 4 << 20 };

static enum pl_status add_name(char ***names, size_t *n, char *name, struct pl_err *err)
{
	char **more = name != NULL ? realloc(*names, (*n + 1) * sizeof(*more)) : NULL;

	if (more == NULL) {
		free(name);
		return pl_fail_nomem(err);
	}
	*names = more;
	more[(*n)++] = name;
	return PL_OK;
}

static char *rule_name(const json_t *rule)
{
	const char *preset = pl_json_str(rule, "preset"), *name = pl_json_str(rule, "rule");
	struct pl_buf b;

	pl_buf_init(&b, 0);
	if (pl_buf_addf(&b, NULL, "%s%s%s", preset != NULL ? preset : "", preset != NULL ? "/" : "", name != NULL ? name : "?") != PL_OK) {
		pl_buf_release(&b);
		return NULL;
	}
	return pl_buf_detach(&b, NULL);
}

/* The note, or NULL when it is not there. */
static enum pl_status load(const struct pl_corpus *c, const char *name, json_t **j, struct pl_err *err)
{
	char *path = pl_path_join(c->dir, name);
	enum pl_status st;

	*j = NULL;
	if (path == NULL)
		return pl_fail_nomem(err);
	st = pl_json_load(path, NOTES_MAX, j, err);
	free(path);
	return st == PL_ERR_NOTFOUND ? PL_OK : st;
}

/* The name becomes a column of SQL and of a dtype, as a metadata column's does. */
static enum pl_status load_scores(struct pl_corpus *c, struct pl_err *err)
{
	json_t *j;
	enum pl_status st = load(c, PL_SCORES_NAME, &j, err);
	const json_t *list = json_object_get(j, "columns");

	for (size_t i = 0; i < json_array_size(list) && st == PL_OK; i++) {
		const char *name = json_string_value(json_array_get(list, i));
		st = name == NULL || i >= PL_COLUMNS_MAX ?
		    pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, c->dir, PL_SCORES_NAME " is damaged; join the side files again") :
		    pl_score_check(&c->source, (const char *const *)c->scores, c->nscores, name, err);
		if (st == PL_OK)
			st = add_name(&c->scores, &c->nscores, strdup(name), err);
	}
	json_decref(j);
	return st;
}

enum pl_status pl_corpus_load_notes(struct pl_corpus *c, struct pl_err *err)
{
	json_t *j;
	const json_t *rules;
	enum pl_status st = load_scores(c, err);

	if (st != PL_OK)
		return st;
	st = load(c, PL_FILTER_NAME, &j, err);
	rules = json_object_get(j, "rules");
	for (size_t i = 0; i < json_array_size(rules) && i < UINT8_MAX && st == PL_OK; i++)
		st = add_name(&c->rules, &c->nrules, rule_name(json_array_get(rules, i)), err);
	json_decref(j);
	return st;
}

void pl_corpus_release_notes(struct pl_corpus *c)
{
	for (size_t i = 0; i < c->nscores; i++)
		free(c->scores[i]);
	for (size_t i = 0; i < c->nrules; i++)
		free(c->rules[i]);
	free(c->scores);
	free(c->rules);
}

bool pl_corpus_has_score(const struct pl_corpus *c, const char *name)
{
	for (size_t i = 0; i < c->source.ncolumns; i++)
		if (strcasecmp(c->source.columns[i], name) == 0)
			return true;
	for (size_t i = 0; i < c->nscores; i++)
		if (strcasecmp(c->scores[i], name) == 0)
			return true;
	return false;
}

const char *pl_filter_rule(const struct pl_corpus *c, const struct pl_npy *filter, uint64_t row)
{
	const struct pl_filter_row *r = filter->rows != NULL && row < filter->nrows ? pl_npy_row(filter, row) : NULL;

	return r != NULL && r->rule > 0 && r->rule <= c->nrules ? c->rules[r->rule - 1] : NULL;
}

enum pl_status pl_score_schema(char *const *names, size_t n, struct pl_npy_col **cols, struct pl_err *err)
{
	struct pl_npy_col *c = calloc(n + 1, sizeof(*c));

	if (c == NULL)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < n; i++)
		c[i] = (struct pl_npy_col){ names[i], PL_NPY_F64, 1, (uint32_t)(i * sizeof(double)) };
	*cols = c;
	return PL_OK;
}
