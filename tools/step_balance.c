/* SPDX-License-Identifier: Apache-2.0 */
/* Balance: quotas per source from the tables, and the plan that fixes them. The
 * tables of groups are made by all ranks; then rank 0 works alone. */
#include "libpipe/base/hash.h"
#include "pack.h"
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pack_inputs_close(struct pack_inputs *in)
{
	for (size_t i = 0; i < in->nentries && in->selects != NULL; i++)
		pl_select_free(in->selects[i]);
	for (size_t i = 0; i < in->n; i++) {
		if (in->parts != NULL)
			pl_group_parts_release(&in->parts[i]);
		if (in->groups != NULL)
			pl_groups_release(&in->groups[i]);
	}
	free(in->selects);
	free(in->source_of);
	free(in->part_list);
	free(in->parts);
	free(in->groups);
	free(in->corpus_list);
	steps_close_corpora(in->corpora, in->n);
	memset(in, 0, sizeof(*in));
}

/* The parts of each source, and how many entries that makes. */
static enum pl_status open_groups(struct pack_inputs *in, const struct pl_recipe *r, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < in->n && st == PL_OK; i++) {
		const struct pl_recipe_groups *g = &r->sources[i].groups;
		in->corpus_list[i] = &in->corpora[i];
		if (g->by != NULL) {
			st = pl_groups_load(&in->groups[i], &in->corpora[i], err);
			if (st == PL_OK)
				st = pl_group_parts_make(&in->parts[i], &in->groups[i], g->weights.n > 0 ? g->weights.keys : NULL, g->weights.n, err);
			in->part_list[i] = &in->parts[i];
		}
		in->nentries += in->part_list[i] != NULL ? in->parts[i].n : 1;
	}
	return st;
}

static enum pl_status open_selects(struct pack_inputs *in, const struct pl_recipe *r, struct pl_err *err)
{
	size_t at = 0;
	enum pl_status st = PL_OK;

	in->selects = calloc(in->nentries + 1, sizeof(struct pl_select *));
	in->source_of = calloc(in->nentries + 1, sizeof(*in->source_of));
	if (in->selects == NULL || in->source_of == NULL)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < in->n; i++) {
		const struct pl_recipe_source *s = &r->sources[i];
		struct pl_select_rule rule = { in->part_list[i], 0, (enum pl_missing)s->missing_image, (enum pl_missing)s->missing_text };
		for (; rule.part < (rule.parts != NULL ? rule.parts->n : 1) && st == PL_OK; rule.part++) {
			in->source_of[at] = (uint32_t)i;
			st = pl_select_new(&in->selects[at++], &in->corpora[i], &rule, err);
		}
	}
	return st;
}

enum pl_status pack_inputs_open(struct pack_inputs *in, const struct pl_recipe *r, const char *const *dirs, struct pl_err *err)
{
	size_t n = r->nsources;
	enum pl_status st;

	memset(in, 0, sizeof(*in));
	if ((st = steps_open_corpora(dirs, n, &in->corpora, err)) != PL_OK)
		return st;
	in->n = n;
	in->corpus_list = calloc(n + 1, sizeof(struct pl_corpus *));
	in->groups = calloc(n + 1, sizeof(*in->groups));
	in->parts = calloc(n + 1, sizeof(*in->parts));
	in->part_list = calloc(n + 1, sizeof(const struct pl_group_parts *));
	if (in->corpus_list == NULL || in->groups == NULL || in->parts == NULL || in->part_list == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = open_groups(in, r, err);
	if (st == PL_OK)
		st = open_selects(in, r, err);
	if (st != PL_OK)
		pack_inputs_close(in);
	return st;
}

/* What is kept and what is not, for the account of this step. */
static void count(struct tool *t, const struct pack_inputs *in, const struct pl_plan *p)
{
	for (size_t i = 0; i < in->nentries; i++) {
		struct pl_account a = { 0 };
		uint64_t kept = pl_select_totals(in->selects[i]).samples;
		uint64_t left = kept > p->sources[i].quota ? kept - p->sources[i].quota : 0;
		pl_select_account(in->selects[i], &a);
		a.samples_in = kept;
		a.samples_out = kept - left;
		a.samples_dropped[PL_REASON_NOT_DRAWN] = left;
		for (int r = 0; r < PL_REASON_COUNT; r++)
			a.samples_in += r == PL_REASON_NOT_DRAWN ? 0 : a.samples_dropped[r];
		pl_account_add(&t->account, &a);
	}
}

/* The table for people, and the plan's member of --report. */
static enum pl_status show(struct tool *t, const struct pl_plan *plan, struct pl_buf *extra, struct pl_err *err)
{
	json_t *report = NULL;
	struct pl_buf text;
	enum pl_status st;

	pl_buf_init(&text, 0);
	st = pl_plan_text(plan, &text, err);
	if (st == PL_OK && t->desc->common->quiet == 0)
		(void)fwrite(text.data, 1, text.len, stderr);
	if (st == PL_OK)
		st = pl_plan_report(plan, &report, err);
	if (st == PL_OK)
		st = pl_buf_adds(extra, "\"plan\":", err);
	if (st == PL_OK)
		st = pl_json_dump(report, false, extra, err);
	json_decref(report);
	pl_buf_release(&text);
	return st;
}

static enum pl_status plan_alone(struct tool *t, const struct balance_step *s, struct pl_buf *extra, struct pl_err *err)
{
	struct pack_inputs in;
	struct pl_plan plan = { 0 };
	enum pl_status st = pack_inputs_open(&in, s->recipe, s->corpora, err);

	if (st != PL_OK)
		return st;
	st = pl_plan_make(&plan, s->recipe, in.part_list, in.selects, s->corpora, s->seed, err);
	if (st == PL_OK)
		st = show(t, &plan, extra, err);
	if (st == PL_OK)
		count(t, &in, &plan);
	if (st == PL_OK && s->plan != NULL)
		st = pl_plan_save(&plan, s->plan, err);
	if (st == PL_OK && s->plan != NULL)
		st = tool_announce(t, s->plan, err);
	pl_plan_release(&plan);
	pack_inputs_close(&in);
	return st;
}

/* Rank 0 makes the plan; the tables of groups are made by all. */
enum pl_status step_balance(struct tool *t, const struct balance_step *s, struct pl_err *err)
{
	struct pl_buf extra;
	enum pl_status st = PL_OK;

	pl_buf_init(&extra, 0);
	tool_step_begin(t, "balance", 1);
	for (size_t i = 0; i < s->recipe->nsources && st == PL_OK; i++) {
		struct groups_step groups = { s->corpora[i], s->recipe->sources[i].groups.by };
		if (groups.by != NULL)
			st = step_groups(t, &groups, err);
	}
	if (st == PL_OK) {
		if (tool_is_root(t))
			st = plan_alone(t, s, &extra, err);
		st = pl_job_agree(t->job, st, err);
	}
	if (st == PL_OK)
		st = tool_step_end(t, (const char *)extra.data, err);
	pl_buf_release(&extra);
	return st;
}
