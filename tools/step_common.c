/* SPDX-License-Identifier: Apache-2.0 */
/* Opening corpora and naming them: what several steps share. */
#include "libpipe/base/hash.h"
#include "libpipe/dist/split.h"
#include "steps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void steps_free_paths(char **paths)
{
	for (size_t i = 0; paths != NULL && paths[i] != NULL; i++)
		free(paths[i]);
	free(paths);
}

char **steps_corpus_dirs(const struct pl_recipe *r, const char *work)
{
	size_t n = r->nsources + r->dedup.against.n;
	char **dirs = calloc(n + 1, sizeof(*dirs));

	for (size_t i = 0; i < n && dirs != NULL; i++) {
		char name[32];
		if (i >= r->nsources)
			snprintf(name, sizeof(name), "against.%zu", i - r->nsources);
		dirs[i] = pl_path_join(work, i < r->nsources ? r->sources[i].name : name);
		if (dirs[i] == NULL) {
			steps_free_paths(dirs);
			return NULL;
		}
	}
	return dirs;
}

char *steps_plan_path(const char *work, size_t output)
{
	char name[48];

	if (output == 0)
		return pl_path_join(work, "plan.json");
	snprintf(name, sizeof(name), "plan-%zu.json", output);
	return pl_path_join(work, name);
}

char *steps_base_name(const char *path)
{
	size_t end = strlen(path), from;

	while (end > 1 && path[end - 1] == '/')
		end--;
	for (from = end; from > 0 && path[from - 1] != '/'; from--)
		;
	return strndup(path + from, end - from);
}

enum pl_status steps_open_corpora(const char *const *dirs, size_t n, struct pl_corpus **out, struct pl_err *err)
{
	struct pl_corpus *c = calloc(n + 1, sizeof(*c));
	enum pl_status st = c == NULL ? pl_fail_nomem(err) : PL_OK;
	size_t opened = 0;

	while (opened < n && st == PL_OK) {
		st = pl_corpus_open(&c[opened], dirs[opened], err);
		opened += st == PL_OK;
	}
	if (st == PL_OK)
		*out = c;
	else if (c != NULL)
		steps_close_corpora(c, opened);
	return st;
}

void steps_close_corpora(struct pl_corpus *corpora, size_t n)
{
	for (size_t i = 0; i < n && corpora != NULL; i++)
		pl_corpus_close(&corpora[i]);
	free(corpora);
}

enum pl_status steps_remove_verdicts(const char *dir, const char *unit, unsigned tables, struct pl_err *err)
{
	static const struct { unsigned bit; const char *what; } all[] = {
		{ STEPS_FILTER, "filter" }, { STEPS_FILTER, "filter-images" }, { STEPS_DEDUP, "dedup" }, { STEPS_DEDUP, "dedup-images" },
		{ STEPS_CONCEPTS, "concepts" }, { STEPS_CONCEPTS, "concept-matches" },
	};
	struct pl_buf path;
	enum pl_status st = PL_OK;

	pl_buf_init(&path, 0);
	for (size_t i = 0; i < PL_ARRAY_LEN(all) && st == PL_OK; i++) {
		if ((tables & all[i].bit) == 0)
			continue;
		pl_buf_clear(&path);
		st = pl_buf_addf(&path, err, "%s/%s.%s.npy", dir, unit, all[i].what);
		if (st == PL_OK && unlink((char *)path.data) != 0 && errno != ENOENT)
			st = pl_fail_errno(err, PL_SEV_JOB, (char *)path.data, "cannot remove old verdicts");
	}
	if (st == PL_OK && (tables & STEPS_DEDUP) != 0) {
		pl_buf_clear(&path);
		st = pl_buf_addf(&path, err, "%s/%s", dir, STEPS_CLUSTERS);
		if (st == PL_OK && unlink((char *)path.data) != 0 && errno != ENOENT)
			st = pl_fail_errno(err, PL_SEV_JOB, (char *)path.data, "cannot remove old clusters");
	}
	pl_buf_release(&path);
	return st;
}

enum pl_status steps_table_names(const struct pl_corpus *c, const char *what, struct pl_names *names, struct pl_err *err)
{
	struct pl_buf name;
	enum pl_status st = PL_OK;

	pl_buf_init(&name, 0);
	for (size_t i = 0; i < c->nshards && st == PL_OK; i++) {
		pl_buf_clear(&name);
		st = pl_buf_addf(&name, err, "%s.%s.npy", c->shards[i].unit, what);
		if (st == PL_OK)
			st = pl_names_add(names, (char *)name.data, err);
	}
	pl_buf_release(&name);
	return st;
}

void steps_count_verdicts(const struct pl_tables *t, struct pl_account *a)
{
	for (uint64_t i = 0; i < t->samples.nrows; i++) {
		enum pl_reason why = pl_sample_verdict(t, i);
		a->samples_in++;
		if (why == PL_REASON_KEEP)
			a->samples_out++;
		else
			a->samples_dropped[why]++;
	}
	for (uint64_t i = 0; i < t->images.nrows; i++) {
		enum pl_reason why = pl_image_verdict(t, i);
		a->images_in++;
		if (why == PL_REASON_KEEP)
			a->images_out++;
		else
			a->images_dropped[why]++;
	}
}

enum pl_status steps_scores_digest(const struct pl_corpus *c, uint64_t digest[2], struct pl_err *err)
{
	char *path = pl_path_join(c->dir, PL_SCORES_NAME), *text = NULL;
	size_t len = 0;
	enum pl_status st;

	digest[0] = digest[1] = 0;
	st = path != NULL ? pl_file_read(path, (size_t)4 << 20, &text, &len, err) : pl_fail_nomem(err);

	if (st == PL_OK)
		pl_hash128(text, len, digest);
	free(text);
	free(path);
	return st == PL_ERR_NOTFOUND ? PL_OK : st;
}

enum pl_status steps_open_tokens(struct tool *t, struct pl_tokens_settings *s, struct pl_token_counter **c, struct pl_err *err)
{
	enum pl_status st = pl_job_agree(t->job, pl_token_counter_new(c, s, err), err);
	uint64_t hash = pl_hash64(s->model_hash, sizeof(s->model_hash));

	if (st != PL_OK)
		return st;
	if (pl_job_max(t->job, hash) != hash || pl_job_max(t->job, ~hash) != ~hash)
		st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, s->model, "is not the same model on every node: put the same there");
	return pl_job_agree(t->job, st, err);
}

enum pl_status steps_for_tables(struct tool *t, const struct pl_corpus *c, tool_unit_fn *fn, void *ctx, struct pl_err *err)
{
	uint64_t *rows = calloc(c->nshards + 1, sizeof(*rows)), *order = NULL;
	struct tool_work w = { .n = c->nshards };
	enum pl_status st;

	for (size_t i = 0; i < c->nshards && rows != NULL; i++)
		rows[i] = c->shards[i].samples + c->shards[i].images;
	if (rows != NULL)
		order = pl_largest_first(rows, c->nshards);
	st = order == NULL ? pl_fail_nomem(err) : PL_OK;
	w.order = order;
	w.weight = rows;
	if ((st = pl_job_agree(t->job, st, err)) == PL_OK)
		st = tool_for_work(t, &w, fn, ctx, err);
	free(order);
	free(rows);
	return st;
}
