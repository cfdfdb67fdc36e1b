/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that say how much is drawn: strategies, weights, epochs, groups. */
#include <stdio.h>

#include "recipe_schema.h"

#define BAL(member) offsetof(struct pl_recipe_balance, member)
#define GRP(member) offsetof(struct pl_recipe_groups, member)
#define LARGEST_COUNT 9007199254740992.0   /* 2^53 */

static const char *const other_names[] = {"drop", "keep", NULL};

const struct pl_field pl_recipe_balance_fields[] = {
	{.key = "strategy", .type = PL_FIELD_CHOICE, .offset = BAL(strategy), .choices = pl_strategy_names,
	    .line_offset = BAL(strategy_line)},
	{.key = "alpha", .type = PL_FIELD_REAL, .offset = BAL(alpha), .min = 0, .max = 1, .line_offset = BAL(alpha_line)},
	{.key = "max_examples", .type = PL_FIELD_COUNT, .offset = BAL(max_examples), .min = 1, .max = LARGEST_COUNT,
	    .line_offset = BAL(max_examples_line)},
	{.key = "unit", .type = PL_FIELD_CHOICE, .offset = BAL(unit), .choices = pl_unit_names},
	{.key = "total", .type = PL_FIELD_COUNT, .offset = BAL(total), .min = 0, .max = LARGEST_COUNT,
	    .line_offset = BAL(total_line)},
	{.key = "max_epochs", .type = PL_FIELD_REAL, .offset = BAL(max_epochs), .min = 0, .max = 1e6},
	{.key = "image_tokens", .type = PL_FIELD_INT, .offset = BAL(image_tokens), .min = 0, .max = 1e6},
	{.key = NULL}
};

const struct pl_field pl_recipe_groups_fields[] = {
	{.key = "by", .type = PL_FIELD_STR, .offset = GRP(by), .required = true, .line_offset = GRP(line)},
	{.key = "strategy", .type = PL_FIELD_CHOICE, .offset = GRP(strategy), .choices = pl_group_strategy_names},
	{.key = "alpha", .type = PL_FIELD_REAL, .offset = GRP(alpha), .min = 0, .max = 1, .line_offset = GRP(alpha_line)},
	{.key = "max_examples", .type = PL_FIELD_COUNT, .offset = GRP(max_examples), .min = 1, .max = LARGEST_COUNT,
	    .line_offset = GRP(max_examples_line)},
	{.key = "weights", .type = PL_FIELD_REALS, .offset = GRP(weights), .min = 0, .max = 1e12, .line_offset = GRP(weights_line)},
	{.key = "other", .type = PL_FIELD_CHOICE, .offset = GRP(other), .choices = other_names, .line_offset = GRP(other_line)},
	{.key = NULL}
};

/* What temperature alone knows. */
static enum pl_status check_temperature(const struct pl_recipe *r, bool temperature, double alpha, uint32_t line, uint32_t max_line,
    uint32_t where, const char *in, struct pl_err *err)
{
	if (temperature && alpha < 0)
		return pl_recipe_bad(r, where, err, "strategy temperature%s needs 'alpha', from 0 (equal shares) to 1 (as they are)", in);
	if (!temperature && (line || max_line))
		return pl_recipe_bad(r, line ? line : max_line, err, "'%s'%s does nothing without 'strategy: temperature'",
		    line ? "alpha" : "max_examples", in);
	return PL_OK;
}

static enum pl_status set_groups(const struct pl_recipe *r, struct pl_recipe_source *s, struct pl_err *err)
{
	struct pl_recipe_groups *g = &s->groups;
	char in[128];

	if (!g->by)
		return PL_OK;
	snprintf(in, sizeof(in), " in the groups of source '%.64s'", s->name);
	if (!*g->by)
		return pl_recipe_bad(r, g->line, err, "'by'%s is empty: give an SQL expression", in);
	if (g->strategy < 0)
		g->strategy = PL_STRATEGY_WEIGHTS;
	if (g->strategy == PL_STRATEGY_WEIGHTS && g->weights.n == 0)
		return pl_recipe_bad(r, g->line, err, "strategy weights%s needs 'weights', one for each group", in);
	if (g->strategy != PL_STRATEGY_WEIGHTS && (g->weights_line || g->other_line))
		return pl_recipe_bad(r, g->weights_line ? g->weights_line : g->other_line, err, "'%s'%s does nothing with strategy %s",
		    g->weights_line ? "weights" : "other", in, pl_group_strategy_names[g->strategy]);
	for (size_t i = 0; i < g->weights.n; i++)
		if (g->weights.values[i] <= 0)
			return pl_recipe_bad(r, g->weights_line, err,
			    "the weight of '%.80s'%s must be above 0: groups without a weight are left out anyway", g->weights.keys[i], in);
	return check_temperature(r, g->strategy == PL_STRATEGY_TEMPERATURE, g->alpha, g->alpha_line, g->max_examples_line, g->line, in, err);
}

static enum pl_status set_source(const struct pl_recipe *r, const struct pl_recipe_variant *v, struct pl_recipe_source *s, bool any,
    struct pl_err *err)
{
	enum pl_strategy strategy = (enum pl_strategy)v->balance.strategy;

	if (s->repeat_line && s->weight_line)
		return pl_recipe_bad(r, s->repeat_line, err,
		    "source '%s' has both 'weight' and 'repeat': it is drawn by its share or a number of times", s->name);
	if (s->repeat_line && s->max_epochs_line)
		return pl_recipe_bad(r, s->max_epochs_line, err, "'max_epochs' of source '%s' does nothing with 'repeat'", s->name);
	if (s->weight > 0 && (strategy == PL_STRATEGY_UNIMAX || strategy == PL_STRATEGY_ALL))
		return pl_recipe_bad(r, s->weight_line, err, "'weight' of source '%s' does nothing with strategy %s", s->name,
		    pl_strategy_names[strategy]);
	if (s->repeat_line || strategy == PL_STRATEGY_ALL)
		s->weight = 0;
	else if (s->weight < 0)
		s->weight = any ? 1 : 0;
	if (s->max_epochs < 0)
		s->max_epochs = v->balance.max_epochs;
	return set_groups(r, s, err);
}

/* Rules for what is missing that the output, or the source's kind, has no place for. */
enum pl_status pl_recipe_check_missing(const struct pl_recipe *r, const struct pl_recipe_source *s, struct pl_err *err)
{
	bool pairs = s->kind == PL_KIND_PAIRS, instruct = r->output.stage == PL_STAGE_INSTRUCT;

	if (s->missing_image != PL_MISSING_DROP && s->kind == PL_KIND_TEXT)
		return pl_recipe_bad(r, s->missing_image_line, err, "'missing_image' of source '%s' does nothing for kind text", s->name);
	if (s->missing_image == PL_MISSING_TEXT && r->output.template_ == PL_TEMPLATE_CONVERSATION)
		return pl_recipe_bad(r, s->missing_image_line, err,
		    "template conversation writes no text, as 'missing_image: text' of source '%s' asks: 'keep' keeps the conversation", s->name);
	if (s->missing_image == PL_MISSING_KEEP && pairs && instruct)
		return pl_recipe_bad(r, s->missing_image_line, err,
		    "stage instruct asks for the caption of a picture, so 'missing_image' of source '%s' cannot be 'keep': 'text' keeps the caption",
		    s->name);
	if (s->missing_text != PL_MISSING_DROP && (instruct || (!pairs && s->kind != PL_KIND_AUTO)))
		return pl_recipe_bad(r, s->missing_text_line, err, "'missing_text' of source '%s' does nothing %s", s->name,
		    instruct ? "at stage instruct, where the caption is the answer" : "but for pairs");
	return PL_OK;
}

/* Weights that were not given: equal shares; or, where no strategy, weight or total says otherwise, everything once. */
enum pl_status pl_recipe_set_balance(const struct pl_recipe *r, struct pl_recipe_variant *v, struct pl_err *err)
{
	const struct pl_recipe_balance *b = &v->balance;
	bool any = b->total > 0 || b->strategy == PL_STRATEGY_TEMPERATURE || b->strategy == PL_STRATEGY_UNIMAX;
	enum pl_status st = check_temperature(
	    r, b->strategy == PL_STRATEGY_TEMPERATURE, b->alpha, b->alpha_line, b->max_examples_line, b->strategy_line, " in balance", err);

	if (st == PL_OK && b->strategy == PL_STRATEGY_ALL && b->total > 0)
		return pl_recipe_bad(r, b->total_line, err, "'total' in balance does nothing with strategy all: every sample is drawn");
	for (size_t i = 0; i < v->nsources; i++)
		any = any || v->sources[i].weight >= 0;
	for (size_t i = 0; i < v->nsources && st == PL_OK; i++)
		st = set_source(r, v, &v->sources[i], any, err);
	return st;
}
