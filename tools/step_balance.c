/* SPDX-License-Identifier: Apache-2.0 */
/* Balance: quotas per source from the tables, and the plan that fixes them. Rank
 * 0 works alone: it reads verdict columns only. */
#include "libpipe/base/hash.h"
#include "pack.h"
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pack_inputs_close(struct pack_inputs *in)
{
	for (size_t i = 0; i < in->n && in->selects != NULL; i++)
		pl_select_free(in->selects[i]);
	free(in->selects);
	free(in->corpus_list);
	steps_close_corpora(in->corpora, in->n);
	memset(in, 0, sizeof(*in));
}

enum pl_status pack_inputs_open(struct pack_inputs *in, const char *const *dirs, size_t n, struct pl_err *err)
{
	enum pl_status st;

	memset(in, 0, sizeof(*in));
	if ((st = steps_open_corpora(dirs, n, &in->corpora, err)) != PL_OK)
		return st;
	in->n = n;
	in->selects = calloc(n + 1, sizeof(struct pl_select *));
	in->corpus_list = calloc(n + 1, sizeof(struct pl_corpus *));
	if (in->selects == NULL || in->corpus_list == NULL)
		st = pl_fail_nomem(err);
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		in->corpus_list[i] = &in->corpora[i];
		st = pl_select_new(&in->selects[i], &in->corpora[i], err);
	}
	if (st != PL_OK)
		pack_inputs_close(in);
	return st;
}

/* What is kept and what is not, for the account of this step. */
static void count(struct tool *t, const struct pack_inputs *in, const struct pl_plan *p)
{
	for (size_t i = 0; i < in->n; i++) {
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

static enum pl_status plan_alone(struct tool *t, const struct balance_step *s, struct pl_err *err)
{
	struct pack_inputs in;
	struct pl_plan plan = { 0 };
	struct pl_buf text;
	enum pl_status st = pack_inputs_open(&in, s->corpora, s->recipe->nsources, err);

	if (st != PL_OK)
		return st;
	pl_buf_init(&text, 0);
	st = pl_plan_make(&plan, s->recipe, in.selects, s->corpora, s->seed, err);
	if (st == PL_OK)
		st = pl_plan_text(&plan, &text, err);
	if (st == PL_OK && t->desc->common->quiet == 0)
		(void)fwrite(text.data, 1, text.len, stderr);
	if (st == PL_OK)
		count(t, &in, &plan);
	if (st == PL_OK && s->plan != NULL)
		st = pl_plan_save(&plan, s->plan, err);
	if (st == PL_OK && s->plan != NULL)
		st = tool_announce(t, s->plan, err);
	pl_plan_release(&plan);
	pl_buf_release(&text);
	pack_inputs_close(&in);
	return st;
}

enum pl_status step_balance(struct tool *t, const struct balance_step *s, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	tool_step_begin(t, "balance", 1);
	if (tool_is_root(t))
		st = plan_alone(t, s, err);
	st = pl_job_agree(t->job, st, err);
	return st == PL_OK ? tool_step_end(t, NULL, err) : st;
}
