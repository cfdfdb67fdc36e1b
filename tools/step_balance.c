/* SPDX-License-Identifier: Apache-2.0 */
/* Balance: quotas per source from the tables, and the plan that fixes them. All
 * ranks read, each its share of the shards; rank 0 writes. */
#include "pack.h"
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Rank 0 shows and writes what all ranks have made. */
static enum pl_status publish(struct tool *t, const struct balance_step *s, const struct pack_inputs *in, const struct pl_plan *plan,
    struct pl_buf *extra, struct pl_err *err)
{
	enum pl_status st;

	pl_progress_end(&t->progress);
	st = show(t, plan, extra, err);
	if (st == PL_OK)
		count(t, in, plan);
	if (st == PL_OK && s->plan != NULL)
		st = pl_plan_save(plan, s->plan, err);
	if (st == PL_OK && s->plan != NULL)
		st = tool_announce(t, s->plan, err);
	return st;
}

static enum pl_status make_plan(struct tool *t, const struct balance_step *s, struct pl_buf *extra, struct pl_err *err)
{
	struct pl_crew crew = pack_crew(t);
	struct pl_plan plan = { 0 };
	struct pack_inputs in;
	enum pl_status st = pack_inputs_open(t, &in, s->recipe, s->corpora, &s->recipe->image, err);

	if (st != PL_OK)
		return st;
	st = pl_plan_make(&plan, s->recipe, in.part_list, in.selects, s->corpora, s->seed, &crew, err);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK && tool_is_root(t))
		st = publish(t, s, &in, &plan, extra, err);
	pl_plan_release(&plan);
	pack_inputs_close(&in);
	return pl_job_agree(t->job, st, err);
}

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
	if (st == PL_OK)
		st = make_plan(t, s, &extra, err);
	if (st == PL_OK)
		st = tool_step_end(t, (const char *)extra.data, err);
	pl_buf_release(&extra);
	return st;
}
