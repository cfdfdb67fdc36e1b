/* SPDX-License-Identifier: Apache-2.0 */
/* What a recipe says of a source's filter: presets by name, and files of scores. */
#include "recipe_schema.h"

#include "libpipe/corpus/score_join.h"

#include <string.h>

static enum pl_status check_scores(const struct pl_recipe *r, const struct pl_recipe_source *s, struct pl_err *err)
{
	const struct pl_source source = {.columns = s->columns.items, .ncolumns = s->columns.n};
	const struct pl_score_columns columns = {.names = s->score_columns.items, .n = s->score_columns.n};
	struct pl_err why = {0};

	if (s->scores.n == 0 && s->score_columns.n > 0)
		return pl_recipe_bad(r, s->score_columns_line, err, "source '%s' has 'score_columns', and no 'scores' to take them from", s->name);
	if (s->scores.n > 0 && pl_score_columns_check(&source, &columns, &why) != PL_OK)
		return pl_recipe_bad(r, s->score_columns_line ? s->score_columns_line : s->scores_line, err, "source '%s': %s", s->name, why.text);
	return PL_OK;
}

enum pl_status pl_recipe_check_filter(const struct pl_recipe *r, const struct pl_recipe_source *s, struct pl_err *err)
{
	struct pl_err why = {0};
	const struct pl_preset *preset;

	for (size_t i = 0; i < s->filter.n; i++) {
		if (pl_preset_find(s->filter.items[i], &preset, &why) != PL_OK)
			return pl_recipe_bad(r, s->filter_line, err, "source '%s': %s", s->name, why.text);
		for (size_t k = 0; k < i; k++)
			if (strcmp(s->filter.items[i], s->filter.items[k]) == 0)
				return pl_recipe_bad(r, s->filter_line, err, "source '%s' names filter '%s' twice", s->name, s->filter.items[i]);
	}
	return check_scores(r, s, err);
}
