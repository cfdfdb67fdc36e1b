/* SPDX-License-Identifier: Apache-2.0 */
/* The corpora of a plan and what is kept of them, counted by all ranks together. */
#include "pack.h"
#include "steps.h"

#include <stdlib.h>
#include <string.h>

static enum pl_status crew_agree(void *ctx, enum pl_status mine, struct pl_err *err)
{
	return pl_job_agree(((struct tool *)ctx)->job, mine, err);
}

static void crew_sum(void *ctx, uint64_t *values, size_t n)
{
	pl_job_sum(((struct tool *)ctx)->job, values, n);
}

static enum pl_status crew_gather(void *ctx, const void *mine, uint64_t len, struct pl_buf *all, struct pl_err *err)
{
	return pl_job_gather(((struct tool *)ctx)->job, mine, len, all, NULL, err);
}

struct pl_crew pack_crew(struct tool *t)
{
	struct pl_crew c = { .ctx = t, .poll = tool_poll, .agree = crew_agree, .sum = crew_sum, .gather = crew_gather };

	c.rank = (size_t)pl_job_rank(t->job);
	c.size = (size_t)pl_job_size(t->job);
	return c;
}

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

/* Collective. */
static enum pl_status open_selects(struct pack_inputs *in, const struct pl_recipe *r, const struct pl_resize *image, const struct pl_crew *crew,
    struct pl_err *err)
{
	size_t at = 0;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < in->n; i++) {
		const struct pl_recipe_source *s = &r->sources[i];
		struct pl_select_rule rule = { in->part_list[i], 0, (enum pl_missing)s->missing_image, (enum pl_missing)s->missing_text, NULL };
		size_t n = rule.parts != NULL ? rule.parts->n : 1;
		for (size_t k = 0; k < n; k++)
			in->source_of[at + k] = (uint32_t)i;
		if (st == PL_OK && rule.parts != NULL)
			st = pl_select_new_parts(&in->selects[at], &in->corpora[i], &rule, image, crew, err);
		else if (st == PL_OK)
			st = pl_select_new(&in->selects[at], &in->corpora[i], &rule, image, crew, err);
		at += n;
	}
	return st;
}

/* Tokens of all corpora and of what is written are counted alike. Pack has read the model of the recipe, balance has not: to it the first
 * corpus' is the one. */
static enum pl_status check_tokens(const struct pack_inputs *in, const struct pl_recipe *r, struct pl_err *err)
{
	struct pl_tokens_settings want = r->tokenizer;

	if (in->n > 0 && want.model_hash[0] == 0 && want.model_hash[1] == 0)
		memcpy(want.model_hash, in->corpora[0].source.tokens.model_hash, sizeof(want.model_hash));
	for (size_t i = 0; i < in->n; i++) {
		const struct pl_tokens_settings *has = &in->corpora[i].source.tokens;
		if (!pl_tokens_same(&want, has))
			return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, in->corpora[i].dir,
			    "its tokens are counted by %s%s, those of the recipe by %s: ingest again, or give both the same 'tokenizer'",
			    pl_tokens_by_names[has->by], has->by == want.by && has->by == PL_TOKENS_SENTENCEPIECE ? " with another model" : "",
			    pl_tokens_by_names[want.by]);
	}
	return PL_OK;
}

/* All but the selections. Local. */
static enum pl_status open_alone(struct pack_inputs *in, const struct pl_recipe *r, const char *const *dirs, struct pl_err *err)
{
	size_t n = r->nsources;
	enum pl_status st = steps_open_corpora(dirs, n, &in->corpora, err);

	if (st != PL_OK)
		return st;
	in->n = n;
	if ((st = check_tokens(in, r, err)) != PL_OK)
		return st;
	in->corpus_list = calloc(n + 1, sizeof(struct pl_corpus *));
	in->groups = calloc(n + 1, sizeof(*in->groups));
	in->parts = calloc(n + 1, sizeof(*in->parts));
	in->part_list = calloc(n + 1, sizeof(const struct pl_group_parts *));
	if (in->corpus_list == NULL || in->groups == NULL || in->parts == NULL || in->part_list == NULL)
		return pl_fail_nomem(err);
	if ((st = open_groups(in, r, err)) != PL_OK)
		return st;
	in->selects = calloc(in->nentries + 1, sizeof(struct pl_select *));
	in->source_of = calloc(in->nentries + 1, sizeof(*in->source_of));
	return in->selects != NULL && in->source_of != NULL ? PL_OK : pl_fail_nomem(err);
}

enum pl_status pack_inputs_open(struct tool *t, struct pack_inputs *in, const struct pl_recipe *r, const char *const *dirs,
    const struct pl_resize *image, struct pl_err *err)
{
	struct pl_crew crew = pack_crew(t);
	enum pl_status st;

	memset(in, 0, sizeof(*in));
	st = pl_crew_agree(&crew, open_alone(in, r, dirs, err), err);
	if (st == PL_OK)
		st = open_selects(in, r, image, &crew, err);
	if (st != PL_OK)
		pack_inputs_close(in);
	return st;
}
