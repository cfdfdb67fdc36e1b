/* SPDX-License-Identifier: Apache-2.0 */
/* What each entry of a plan is asked for: a source is one entry, or one for each
 * of its groups. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan_draw.h"

struct targets {
	const struct pl_recipe *r;
	const struct pl_group_parts *const *parts;   /* by source; NULL, or NULL for a source: no groups */
	struct pl_select *const *selects;            /* by entry */
	struct pl_quota_source *sources, *entries;
	struct pl_quota_rule rule, *group_rules;     /* group_rules: by source */
};

static const struct pl_group_parts *parts_of(const struct targets *t, size_t source)
{
	return t->parts ? t->parts[source] : NULL;
}

/* ---- entries of the plan ---- */

static uint64_t units_of(const struct pl_plan_source *s, enum pl_unit unit)
{
	if (unit == PL_UNIT_IMAGES)
		return s->available_images;
	return unit == PL_UNIT_TOKENS ? s->available_tokens : s->available;
}

static enum pl_status add_entry(struct pl_plan *p, const struct targets *t, size_t source, const char *group, const char *corpus,
    struct pl_err *err)
{
	size_t i = p->nsources++;
	const struct pl_select_totals got = pl_select_totals(t->selects[i]);
	struct pl_plan_source *s = &p->sources[i];
	const char *name = t->r->sources[source].name;
	size_t size = strlen(name) + (group ? strlen(group) : 0) + 2;

	s->name = calloc(size, 1);
	s->corpus = strdup(corpus);
	s->group = group ? strdup(group) : NULL;
	if (!s->name || !s->corpus || (group && !s->group))
		return pl_fail_nomem(err);
	snprintf(s->name, size, "%s%s%s", name, group ? "/" : "", group ? group : "");
	pl_select_digest(t->selects[i], s->digest);
	s->source = (uint32_t)source;
	s->rows = got.rows;
	s->filtered = got.filtered;
	s->deduped = got.deduped;
	s->demoted = got.demoted;
	s->available = got.samples;
	s->available_images = got.images;
	s->available_tokens = got.text_tokens + got.image_tokens;
	t->entries[i] = (struct pl_quota_source){
	    .name = s->name, .samples = s->available, .units = units_of(s, t->rule.unit)};
	return PL_OK;
}

static enum pl_status add_entries(struct pl_plan *p, const struct targets *t, const char *const *dirs, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < t->r->nsources && st == PL_OK; i++) {
		const struct pl_group_parts *g = parts_of(t, i);
		if (!g)
			st = add_entry(p, t, i, NULL, dirs[i], err);
		for (size_t k = 0; g && k < g->n && st == PL_OK; k++)
			st = add_entry(p, t, i, g->names[k], dirs[i], err);
	}
	return st;
}

/* ---- what the recipe says of them ---- */

static size_t weight_named(const struct pl_recipe_groups *g, const char *name)
{
	size_t i = 0;

	while (i < g->weights.n && strcmp(g->weights.keys[i], name) != 0)
		i++;
	return i;
}

/* Groups without a weight are left out, or keep the share that they have. */
static void weigh_other(const struct pl_recipe_groups *g, char *const *names, struct pl_quota_source *e, size_t n)
{
	struct pl_quota_source *other = NULL;
	uint64_t units = 0;
	double weights = 0;

	for (size_t i = 0; i < n; i++) {
		size_t k = weight_named(g, names[i]);
		if (k == g->weights.n) {
			other = &e[i];
			continue;
		}
		e[i].weight = g->weights.values[k];
		weights += e[i].weight;
		units += e[i].units;
	}
	if (!other)
		return;
	other->left_out = g->other == PL_OTHER_DROP || units == 0 || other->units == 0;
	other->weight = other->left_out ? 0 : weights * ((double)other->units / (double)units);
}

static void weigh_groups(const struct pl_recipe_groups *g, char *const *names, struct pl_quota_source *e, size_t n)
{
	if (g->strategy == PL_STRATEGY_WEIGHTS) {
		weigh_other(g, names, e, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		e[i].weight = 1;
		e[i].left_out = e[i].units == 0;
	}
}

/* The sources as quotas see them, with their entries as groups. */
static void take_source(struct targets *t, size_t i, size_t *at)
{
	const struct pl_recipe_source *r = &t->r->sources[i];
	const struct pl_group_parts *g = parts_of(t, i);
	struct pl_quota_source *s = &t->sources[i], *e = &t->entries[*at];

	*s = (struct pl_quota_source){.name = r->name, .weight = r->weight, .repeat = r->repeat, .max_epochs = r->max_epochs};
	*at += g ? g->n : 1;
	if (!g) {
		s->samples = e->samples;
		s->units = e->units;
		return;
	}
	weigh_groups(&r->groups, g->names, e, g->n);
	for (size_t k = 0; k < g->n; k++) {
		s->samples += e[k].left_out ? 0 : e[k].samples;
		s->units += e[k].left_out ? 0 : e[k].units;
	}
	t->group_rules[i] = (struct pl_quota_rule){.strategy = (enum pl_strategy)r->groups.strategy, .unit = t->rule.unit,
	    .alpha = r->groups.alpha, .max_examples = r->groups.max_examples, .what = "group"};
	s->groups = e;
	s->ngroups = g->n;
	s->group_rule = &t->group_rules[i];
}

static enum pl_status split(struct targets *t, struct pl_err *err)
{
	size_t at = 0;
	uint64_t granted = 0;
	enum pl_status st;

	for (size_t i = 0; i < t->r->nsources; i++)
		take_source(t, i, &at);
	st = pl_quota_split(t->sources, t->r->nsources, &t->rule, t->r->balance.total, &granted, err);
	if (st == PL_ERR_USAGE)
		pl_err_at_line(err, t->r->path, 0);
	at = 0;
	for (size_t i = 0; i < t->r->nsources; i++) {
		if (!t->sources[i].groups)
			t->entries[at] = t->sources[i];
		at += t->sources[i].groups ? t->sources[i].ngroups : 1;
	}
	return st;
}

enum pl_status pl_plan_targets(struct pl_plan *p, const struct pl_recipe *r, const struct pl_group_parts *const *parts,
    struct pl_select *const *selects, const char *const *dirs, struct pl_quota_source **entries, struct pl_err *err)
{
	struct targets t = {.r = r, .parts = parts, .selects = selects};
	size_t n = 0;
	enum pl_status st = PL_OK;

	t.rule = (struct pl_quota_rule){.strategy = (enum pl_strategy)r->balance.strategy, .unit = (enum pl_unit)r->balance.unit,
	    .alpha = r->balance.alpha, .max_examples = r->balance.max_examples, .what = "source"};
	for (size_t i = 0; i < r->nsources; i++)
		n += parts_of(&t, i) ? parts_of(&t, i)->n : 1;
	p->sources = calloc(n + 1, sizeof(*p->sources));
	t.entries = calloc(n + 1, sizeof(*t.entries));
	t.sources = calloc(r->nsources + 1, sizeof(*t.sources));
	t.group_rules = calloc(r->nsources + 1, sizeof(*t.group_rules));
	if (!p->sources || !t.entries || !t.sources || !t.group_rules)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = add_entries(p, &t, dirs, err);
	if (st == PL_OK)
		st = split(&t, err);
	for (size_t i = 0; i < p->nsources && st == PL_OK; i++)
		p->sources[i].weight = t.entries[i].weight;
	free(t.sources);
	free(t.group_rules);
	*entries = t.entries;
	return st;
}
