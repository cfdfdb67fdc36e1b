/* SPDX-License-Identifier: Apache-2.0 */
/* Scores: files of numbers beside the shards -> UNIT.scores.npy, joined by key.
 * Sort, merge, look up; then how much of either side found no partner. */
#include "libpipe/base/hash.h"
#include "libpipe/corpus/score_join.h"
#include "steps.h"

#include <stdlib.h>
#include <string.h>

#define RECORD "scores.step"

struct scores {
	const struct scores_step *step;
	struct pl_corpus corpus;
	struct pl_score_join join;
	struct pl_score_index index;
	uint64_t *runs;                /* of each file */
	unsigned parts;
	struct pl_score_counts files;  /* of all files */
	uint64_t repeated, matched, unmatched;
};

static enum pl_status sort_file(struct tool *t, void *ctx, uint64_t unit, const char *name, struct pl_err *err)
{
	struct scores *s = ctx;
	struct pl_score_counts c = { 0 };
	const char *path = s->step->files->items[unit];
	enum pl_status st = pl_score_sort(&s->join, path, unit, &s->runs[unit], &c, err);

	(void)name;
	s->files.rows += c.rows;
	s->files.bad_rows += c.bad_rows;
	s->files.bad_values += c.bad_values;
	if (st == PL_OK && c.bad_rows + c.bad_values > 0)
		pl_log(PL_LOG_WARNING, "'%s': %llu rows were passed over, %llu values are no numbers", path, (unsigned long long)c.bad_rows,
		    (unsigned long long)c.bad_values);
	pl_job_count(t->job, 0, c.rows, 0);
	return st;
}

static enum pl_status merge_part(struct tool *t, void *ctx, uint64_t unit, const char *name, struct pl_err *err)
{
	struct scores *s = ctx;

	(void)t;
	(void)name;
	return pl_score_merge(&s->join, s->runs, s->step->files->len, (unsigned)unit, s->parts, &s->repeated, err);
}

static enum pl_status join_shard(struct tool *t, void *ctx, uint64_t unit, const char *name, struct pl_err *err)
{
	struct scores *s = ctx;
	uint64_t n = s->corpus.shards[unit].samples;

	(void)name;
	t->account.samples_in += n;
	t->account.samples_out += n;
	t->account.units_done++;
	pl_job_count(t->job, 0, n, 0);
	return pl_score_look_up(&s->join, &s->index, &s->corpus, unit, &s->matched, err);
}

static enum pl_status count_unmatched(struct tool *t, void *ctx, uint64_t unit, const char *name, struct pl_err *err)
{
	struct scores *s = ctx;

	(void)t;
	(void)name;
	return pl_score_unmatched(&s->join, &s->index, (unsigned)unit, &s->corpus, &s->unmatched, err);
}

/* Every rank's counts of the files, and all runs. */
static void sum_files(struct tool *t, struct scores *s)
{
	uint64_t counts[3] = { s->files.rows, s->files.bad_rows, s->files.bad_values };

	pl_job_sum(t->job, s->runs, s->step->files->len);
	pl_job_sum(t->job, counts, 3);
	s->files = (struct pl_score_counts){ counts[0], counts[1], counts[2] };
	s->parts = pl_score_parts(s->files.rows);
}

static enum pl_status join(struct tool *t, struct scores *s, struct pl_err *err)
{
	uint64_t counts[3];
	enum pl_status st;

	tool_stage(t, "sort scores", s->step->files->len);
	if ((st = tool_for_files(t, s->step->files, sort_file, s, err)) != PL_OK)
		return st;
	sum_files(t, s);
	tool_stage(t, "merge scores", s->parts);
	if ((st = tool_for_units(t, s->parts, merge_part, s, err)) != PL_OK)
		return st;
	st = pl_score_index_open(&s->index, &s->join, s->parts, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		return st;
	tool_stage(t, "join scores", s->corpus.nshards);
	if ((st = steps_for_tables(t, &s->corpus, join_shard, s, err)) != PL_OK)
		return st;
	tool_stage(t, "count scores", s->parts);
	if ((st = tool_for_units(t, s->parts, count_unmatched, s, err)) != PL_OK)
		return st;
	counts[0] = s->repeated;
	counts[1] = s->matched;
	counts[2] = s->unmatched;
	pl_job_sum(t->job, counts, 3);
	s->repeated = counts[0];
	s->matched = counts[1];
	s->unmatched = counts[2];
	return PL_OK;
}

/* What was joined: the files, their columns, the corpus. */
static enum pl_status digest_of(const struct scores *s, uint64_t digest[2], struct pl_err *err)
{
	struct pl_buf b;
	enum pl_status st;

	pl_buf_init(&b, 0);
	st = pl_buf_addf(&b, err, "scores\n%016llx%016llx\n%s\n", (unsigned long long)s->corpus.digest[1], (unsigned long long)s->corpus.digest[0],
	    s->step->columns.key);
	for (size_t i = 0; i < s->step->columns.n && st == PL_OK; i++)
		st = pl_buf_addf(&b, err, "%s\n", s->step->columns.names[i]);
	for (size_t i = 0; i < s->step->files->len && st == PL_OK; i++)
		st = tool_describe_file(s->step->files->items[i], &b, err);
	if (st == PL_OK)
		pl_hash128(b.data, b.len, digest);
	pl_buf_release(&b);
	if (st != PL_OK && err != NULL)
		err->severity = PL_SEV_JOB;
	return st;
}

/* scores.json; it is the report's object, too. */
static enum pl_status note(const struct scores *s, const uint64_t digest[2], json_t **out, struct pl_err *err)
{
	json_t *columns = json_array();
	bool ok = columns != NULL;
	char hex[33];

	pl_hash128_hex(digest, hex);
	for (size_t i = 0; i < s->step->columns.n && ok; i++)
		ok = json_array_append_new(columns, json_string(s->step->columns.names[i])) == 0;
	*out = ok ? json_pack("{s:s, s:O, s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "corpus", s->corpus.source.name, "columns", columns,
	    "key", s->step->columns.key, "by", s->corpus.source.id_field, "files", (json_int_t)s->step->files->len, "rows", (json_int_t)s->files.rows,
	    "bad_rows", (json_int_t)s->files.bad_rows, "bad_values", (json_int_t)s->files.bad_values, "repeated_rows", (json_int_t)s->repeated,
	    "unmatched_rows", (json_int_t)s->unmatched, "matched_samples", (json_int_t)s->matched, "unmatched_samples",
	    (json_int_t)(s->corpus.samples - s->matched), "digest", hex) : NULL;
	json_decref(columns);
	return *out != NULL ? PL_OK : pl_fail_nomem(err);
}

static void tell(const struct scores *s)
{
	pl_log(PL_LOG_INFO, "'%s': %llu rows of scores, %llu keys came again (the first counts), %llu rows without a sample; %llu samples with scores, "
	    "%llu without", s->corpus.dir, (unsigned long long)s->files.rows, (unsigned long long)s->repeated, (unsigned long long)s->unmatched,
	    (unsigned long long)s->matched, (unsigned long long)(s->corpus.samples - s->matched));
	if (s->matched == 0)
		pl_log(PL_LOG_WARNING, "'%s': no sample has scores: is '%s' the samples' %s?", s->corpus.dir, s->step->columns.key,
		    s->corpus.source.id_field != NULL ? s->corpus.source.id_field : "key");
}

/* Rank 0: the note, last of all, and the record. */
static enum pl_status conclude(const struct scores *s, const struct pl_record *record, json_t *object, struct pl_err *err)
{
	char *path = pl_path_join(s->corpus.dir, PL_SCORES_NAME);
	struct pl_names outputs;
	struct pl_buf text;
	enum pl_status st = path != NULL ? PL_OK : pl_fail_nomem(err);

	pl_names_init(&outputs);
	pl_buf_init(&text, 0);
	if (st == PL_OK)
		st = pl_score_clear(s->corpus.dir, false, err);
	if (st == PL_OK)
		st = pl_json_dump(object, true, &text, err);
	if (st == PL_OK)
		st = pl_file_write(path, text.data, text.len, err);
	if (st == PL_OK)
		st = pl_names_add(&outputs, PL_SCORES_NAME, err);
	if (st == PL_OK)
		st = steps_table_names(&s->corpus, "scores", &outputs, err);
	if (st == PL_OK)
		st = pl_record_write(record, (const char *const *)outputs.items, outputs.len, NULL, err);
	pl_buf_release(&text);
	pl_names_release(&outputs);
	free(path);
	return st;
}

/* A join that was done is told of from its note. */
static enum pl_status tell_again(struct tool *t, struct scores *s, json_t **object, struct pl_err *err)
{
	char *path = pl_path_join(s->corpus.dir, PL_SCORES_NAME);
	enum pl_status st = path != NULL ? pl_json_load(path, (size_t)4 << 20, object, err) : pl_fail_nomem(err);

	free(path);
	if (tool_is_root(t)) {
		t->account.samples_in = t->account.samples_out = s->corpus.samples;
		t->account.units_resumed = s->corpus.nshards;
	}
	return st;
}

/* All that must hold before earlier scores go. */
static enum pl_status prepare(struct tool *t, struct scores *s, struct pl_record *record, bool *done, struct pl_err *err)
{
	struct pl_score_file *f = NULL;
	enum pl_status st = pl_score_columns_check(&s->corpus.source, &s->step->columns, err);

	*done = false;
	if (st == PL_OK)
		st = digest_of(s, record->digest, err);
	if (st == PL_OK && !t->desc->common->force)
		st = pl_record_check(record, done, NULL, err);
	for (size_t i = 0; tool_is_root(t) && !*done && i < s->step->files->len && st == PL_OK; i++) {
		st = pl_score_file_open(&f, s->step->files->items[i], &s->step->columns, err);
		if (st == PL_OK)
			pl_score_file_close(f);
	}
	if (st == PL_OK && (s->runs = calloc(s->step->files->len + 1, sizeof(*s->runs))) == NULL)
		st = pl_fail_nomem(err);
	st = pl_job_agree(t->job, st, err);
	*done = pl_job_max(t->job, !*done) == 0;
	return st;
}

/* Nothing to join: what an earlier run joined goes. */
static enum pl_status take_away(struct tool *t, const struct scores_step *step, struct pl_err *err)
{
	const struct pl_record record = { step->corpus, RECORD, { 0, 0 } };
	enum pl_status st = PL_OK;

	if (tool_is_root(t)) {
		st = pl_record_forget(&record, err);
		if (st == PL_OK)
			st = pl_score_clear(step->corpus, true, err);
	}
	return pl_job_agree(t->job, st, err);
}

static enum pl_status run_step(struct tool *t, struct scores *s, struct pl_err *err)
{
	struct pl_record record = { s->corpus.dir, RECORD, { 0, 0 } };
	struct pl_buf extra;
	json_t *object = NULL;
	bool done;
	enum pl_status st = prepare(t, s, &record, &done, err);

	pl_buf_init(&extra, 0);
	if (st == PL_OK && !done) {
		st = take_away(t, s->step, err);
		if (st == PL_OK)
			st = join(t, s, err);
		pl_score_index_close(&s->index);
		/* What was sorted is of no use to another run; it may be large. */
		if (st != PL_OK && tool_is_root(t))
			(void)!pl_score_clear(s->corpus.dir, true, NULL);
	}
	if (st == PL_OK)
		st = done ? tell_again(t, s, &object, err) : note(s, record.digest, &object, err);
	if (st == PL_OK && !done && tool_is_root(t)) {
		tell(s);
		st = conclude(s, &record, object, err);
	}
	if (st == PL_OK)
		st = pl_buf_adds(&extra, "\"scores\":", err);
	if (st == PL_OK)
		st = pl_json_dump(object, false, &extra, err);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK)
		st = tool_step_end(t, (const char *)extra.data, err);
	json_decref(object);
	pl_buf_release(&extra);
	return st;
}

enum pl_status step_scores(struct tool *t, const struct scores_step *step, struct pl_err *err)
{
	struct scores s = { .step = step, .join = { .dir = step->corpus, .columns = step->columns, .poll = tool_poll, .poll_ctx = t } };
	enum pl_status st;

	if (step->files == NULL || step->files->len == 0)
		return take_away(t, step, err);
	st = tool_output_dir(t, step->corpus, err);
	if (st != PL_OK)
		return st;
	if ((st = pl_job_agree(t->job, pl_corpus_open(&s.corpus, step->corpus, err), err)) != PL_OK)
		return st;
	tool_step_begin(t, "scores", step->files->len);
	st = run_step(t, &s, err);
	free(s.runs);
	pl_corpus_close(&s.corpus);
	return st;
}

enum pl_status steps_join_scores(struct tool *t, const char *corpus, const struct pl_strlist *files, const struct pl_strlist *columns,
    const char *key, struct pl_err *err)
{
	struct scores_step step = { .corpus = corpus, .columns = { key != NULL ? key : "key", columns->items, columns->len } };
	struct pl_names names;
	enum pl_status st;

	pl_names_init(&names);
	step.files = &names;
	if (files->len == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "columns of scores are named, and no file of scores");
	st = tool_expand(t, files->items, files->len, &names, err);
	if (st == PL_OK)
		st = step_scores(t, &step, err);
	pl_names_release(&names);
	return st;
}
