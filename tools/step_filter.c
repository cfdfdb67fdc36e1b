/* SPDX-License-Identifier: Apache-2.0 */
/* Filter: SQL conditions over the tables of each shard -> verdict tables. */
#include "libpipe/base/hash.h"
#include "step_filter_rules.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

/* No shard's record has a dot in its name. */
#define RECORD "filter.step"

struct filter {
	const struct filter_step *step;
	struct pl_corpus *corpus;          /* the one under way */
	struct pl_sql *db;
	struct pl_sql_source samples, images;
	struct filter_rules rules;
	bool done;                         /* a content record says so */
	uint64_t scores[2];                /* which side files were joined */
};

static enum pl_status write_verdicts(const struct pl_corpus *c, size_t shard, const char *what, const struct pl_filter_row *rows,
    uint64_t n, struct pl_err *err)
{
	struct pl_npy_writer w = { 0 };
	char *path = pl_table_path(c, shard, what);
	enum pl_status st;

	if (path == NULL)
		return pl_fail_nomem(err);
	st = pl_npy_create(&w, path, pl_filter_cols, pl_filter_ncols, sizeof(struct pl_filter_row), err);
	if (st == PL_OK)
		st = pl_npy_append(&w, rows, n, err);
	if (st == PL_OK)
		st = pl_npy_commit(&w, err);
	pl_npy_abort(&w);
	free(path);
	return st;
}

/* Rule number of the filter over a relation's rows. Images that were dropped before are left alone; such a sample is not counted, but judged: a
 * recipe's missing_image can save it from what dropped it, and not from its filter. */
static enum pl_status apply_rule(struct filter *f, size_t number, const struct pl_tables *t, const struct pl_sql_source *source,
    uint8_t *keep, struct pl_filter_row *rows, struct pl_err *err)
{
	struct filter_rule *rule = &f->rules.rules[number];
	enum pl_status st = pl_sql_where(f->db, source, rule->where, keep, err);

	for (uint64_t i = 0; i < source->nrows && st == PL_OK; i++) {
		bool before = (rule->image ? pl_image_at(t, i)->status : pl_sample(t, i)->status) != PL_REASON_KEEP;
		if (before && rule->image)
			continue;
		rule->holds += !before && keep[i];
		if (rows[i].verdict != PL_REASON_KEEP)
			continue;
		rule->tested += !before;
		rule->dropped += !before && !keep[i];
		if (!keep[i])
			rows[i] = (struct pl_filter_row){ PL_REASON_FILTERED, (uint8_t)(number + 1) };
	}
	return st;
}

static enum pl_status judge(struct filter *f, const struct pl_tables *tables, size_t shard, bool images, struct pl_err *err)
{
	struct pl_sql_source *source = images ? &f->images : &f->samples;
	uint64_t n = images ? tables->images.nrows : tables->samples.nrows;
	struct pl_filter_row *rows;
	uint8_t *keep;
	enum pl_status st = PL_OK;

	if (!filter_rules_any(&f->rules, images))
		return PL_OK;
	rows = calloc(n + 1, sizeof(*rows));
	keep = calloc(n + 1, 1);
	if (rows == NULL || keep == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		pl_relation_bind(source, tables, shard);
	for (size_t i = 0; i < f->rules.n && st == PL_OK; i++)
		if (f->rules.rules[i].image == images)
			st = apply_rule(f, i, tables, source, keep, rows, err);
	if (st == PL_OK)
		st = write_verdicts(f->corpus, shard, images ? "filter-images" : "filter", rows, n, err);
	free(rows);
	free(keep);
	return st;
}

/* Images first: what becomes of a sample can depend on those that are left (images_kept). */
static enum pl_status judge_unit(struct filter *f, size_t shard, struct pl_err *err)
{
	struct pl_tables tables = { 0 };
	enum pl_status st = PL_OK;

	for (int images = 1; images >= 0 && st == PL_OK; images--) {
		st = pl_tables_open(&tables, f->corpus, shard, err);
		if (st == PL_OK)
			st = judge(f, &tables, shard, images, err);
		pl_tables_close(&tables);
	}
	return st;
}

static enum pl_status filter_unit(struct tool *t, void *ctx, uint64_t shard, const char *name, struct pl_err *err)
{
	struct filter *f = ctx;
	struct pl_tables tables = { 0 };
	enum pl_status st = PL_OK;

	(void)name;
	if (!f->done) {
		/* The relations must not see what an earlier filter or dedup said. */
		st = steps_remove_verdicts(f->corpus->dir, f->corpus->shards[shard].unit, STEPS_FILTER | STEPS_DEDUP | STEPS_CONCEPTS, err);
		if (st == PL_OK)
			st = judge_unit(f, shard, err);
	}
	if (st == PL_OK)
		st = pl_tables_open(&tables, f->corpus, shard, err);
	if (st != PL_OK)
		return st;
	/* Its own verdicts only: dedup's are counted by dedup. */
	pl_npy_close(&tables.dedup);
	pl_npy_close(&tables.dedup_images);
	pl_npy_close(&tables.concepts);
	steps_count_verdicts(&tables, &t->account);
	*(f->done ? &t->account.units_resumed : &t->account.units_done) += 1;
	pl_job_count(t->job, 0, tables.samples.nrows, 0);
	pl_tables_close(&tables);
	return PL_OK;
}

/* The rules and the corpus they were applied to. */
static enum pl_status digest_of(const struct filter *f, uint64_t digest[2], struct pl_err *err)
{
	struct pl_buf b;
	enum pl_status st;

	pl_buf_init(&b, 0);
	st = pl_buf_addf(&b, err, "filter\n%016llx%016llx\n%016llx%016llx\n", (unsigned long long)f->corpus->digest[1],
	    (unsigned long long)f->corpus->digest[0], (unsigned long long)f->scores[1], (unsigned long long)f->scores[0]);
	if (st == PL_OK)
		st = filter_rules_describe(&f->rules, &b, err);
	if (st == PL_OK)
		pl_hash128(b.data, b.len, digest);
	pl_buf_release(&b);
	return st;
}

static enum pl_status open_sql(struct filter *f, struct pl_err *err)
{
	enum pl_status st = pl_sql_open(&f->db, err);

	if (st == PL_OK)
		st = pl_relation_samples(f->corpus, &f->samples, err);
	if (st == PL_OK)
		st = pl_relation_images(f->corpus, &f->images, err);
	if (st == PL_OK)
		st = pl_sql_add(f->db, &f->samples, err);
	if (st == PL_OK)
		st = pl_sql_add(f->db, &f->images, err);
	return st;
}

/* Do the images of any shard have a similarity of their own? The column is there either way. */
static enum pl_status find_similarity(struct tool *t, const struct pl_corpus *c, bool *found, struct pl_err *err)
{
	uint64_t mine = 0;
	enum pl_status st = PL_OK;

	for (size_t i = (size_t)pl_job_rank(t->job); i < c->nshards && st == PL_OK && mine == 0; i += (size_t)pl_job_size(t->job)) {
		struct pl_tables tables;
		st = pl_tables_open(&tables, c, i, err);
		for (uint64_t k = 0; st == PL_OK && k < tables.images.nrows && mine == 0; k++)
			mine = isnan((double)pl_image_at(&tables, k)->similarity) ? 0u : 1u;
		pl_tables_close(&tables);
	}
	st = pl_job_agree(t->job, st, err);
	*found = pl_job_max(t->job, mine) != 0;
	return st;
}

/* A wrong rule must cost nothing: each is tried on an empty relation before the old verdicts go. */
static enum pl_status check_rules(struct filter *f, const struct pl_record *record, struct pl_err *err)
{
	char *path = pl_path_join(f->corpus->dir, PL_FILTER_NAME);
	uint8_t none = 0;
	enum pl_status st = path != NULL ? PL_OK : pl_fail_nomem(err);

	f->samples.nrows = 0;
	f->images.nrows = 0;
	for (size_t i = 0; i < f->rules.n && st == PL_OK; i++)
		st = pl_sql_where(f->db, f->rules.rules[i].image ? &f->images : &f->samples, f->rules.rules[i].where, &none, err);
	if (st == PL_OK)
		st = pl_record_forget(record, err);
	/* Numbers in the tables to come are not those of the old names. */
	if (st == PL_OK && unlink(path) != 0 && errno != ENOENT)
		st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot remove the old rules");
	free(path);
	return st;
}

/* filter.json; and the record, which names every verdict table, so that one that is lost is made again. */
static enum pl_status write_record(const struct filter *f, const struct pl_record *record, const json_t *rules, struct pl_err *err)
{
	struct pl_names outputs;
	struct pl_buf text;
	char *path = pl_path_join(f->corpus->dir, PL_FILTER_NAME);
	enum pl_status st = path != NULL ? PL_OK : pl_fail_nomem(err);

	pl_names_init(&outputs);
	pl_buf_init(&text, 0);
	if (st == PL_OK && f->rules.n > 0) {
		st = pl_json_dump(rules, true, &text, err);
		if (st == PL_OK)
			st = pl_file_write(path, text.data, text.len, err);
		if (st == PL_OK)
			st = pl_names_add(&outputs, PL_FILTER_NAME, err);
	}
	if (st == PL_OK && filter_rules_any(&f->rules, false))
		st = steps_table_names(f->corpus, "filter", &outputs, err);
	if (st == PL_OK && filter_rules_any(&f->rules, true))
		st = steps_table_names(f->corpus, "filter-images", &outputs, err);
	if (st == PL_OK)
		st = pl_record_write(record, (const char *const *)outputs.items, outputs.len, NULL, err);
	pl_buf_release(&text);
	pl_names_release(&outputs);
	free(path);
	return st;
}

/* What the ranks counted, or what an earlier run did. */
static enum pl_status sum_counts(struct tool *t, struct filter *f, struct pl_err *err)
{
	uint64_t counts[3 * FILTER_RULES_MAX] = { 0 };

	if (f->done)
		return f->rules.n > 0 ? filter_rules_load_counts(&f->rules, f->corpus->dir, err) : PL_OK;
	for (size_t i = 0; i < f->rules.n; i++) {
		counts[3 * i] = f->rules.rules[i].tested;
		counts[3 * i + 1] = f->rules.rules[i].dropped;
		counts[3 * i + 2] = f->rules.rules[i].holds;
	}
	pl_job_sum(t->job, counts, 3 * f->rules.n);
	for (size_t i = 0; i < f->rules.n; i++) {
		f->rules.rules[i].tested = counts[3 * i];
		f->rules.rules[i].dropped = counts[3 * i + 1];
		f->rules.rules[i].holds = counts[3 * i + 2];
	}
	return PL_OK;
}

/* Rank 0, when all shards are judged. */
static enum pl_status conclude(struct tool *t, struct filter *f, const struct pl_record *record, json_t *report, struct pl_err *err)
{
	json_t *rules = NULL;
	enum pl_status st = filter_rules_json(&f->rules, f->corpus, &rules, err);

	if (st == PL_OK && !f->done)
		st = write_record(f, record, rules, err);
	if (st == PL_OK && json_array_append(report, rules) != 0)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		filter_rules_tell(&f->rules, f->corpus->dir);
	json_decref(rules);
	return st == PL_OK ? tool_announce(t, f->corpus->dir, err) : st;
}

static enum pl_status prepare(struct tool *t, struct filter *f, struct pl_record *record, struct pl_err *err)
{
	bool similarity = false;
	enum pl_status st = tool_output_dir(t, f->corpus->dir, err);

	if (st == PL_OK)
		st = open_sql(f, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		return st;
	if (f->step->npresets > 0 && (st = find_similarity(t, f->corpus, &similarity, err)) != PL_OK)
		return st;
	st = filter_rules_make(&f->rules, f->step, f->corpus, &f->samples, &f->images, similarity, err);
	if (st == PL_OK)
		st = steps_scores_digest(f->corpus, f->scores, err);
	if (st == PL_OK)
		st = digest_of(f, record->digest, err);
	if (st == PL_OK && !t->desc->common->force)
		st = pl_record_check(record, &f->done, NULL, err);
	return pl_job_agree(t->job, st, err);
}

static enum pl_status filter_corpus(struct tool *t, struct filter *f, json_t *report, struct pl_err *err)
{
	struct pl_record record = { f->corpus->dir, RECORD, { 0, 0 } };
	enum pl_status st = prepare(t, f, &record, err);

	if (st != PL_OK)
		goto done;
	f->done = pl_job_max(t->job, !f->done) == 0;
	if (tool_is_root(t) && !f->done)
		st = check_rules(f, &record, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		goto done;
	if ((st = steps_for_tables(t, f->corpus, filter_unit, f, err)) != PL_OK)
		goto done;
	st = sum_counts(t, f, err);
	if (st == PL_OK && tool_is_root(t))
		st = conclude(t, f, &record, report, err);
	st = pl_job_agree(t->job, st, err);
done:
	pl_sql_close(f->db);
	pl_relation_release(&f->samples);
	pl_relation_release(&f->images);
	filter_rules_release(&f->rules);
	return st;
}

/* The end of the step, with the rules of every corpus in the report. */
static enum pl_status end_step(struct tool *t, const json_t *report, struct pl_err *err)
{
	struct pl_buf text, extra;
	enum pl_status st;

	pl_buf_init(&text, 0);
	pl_buf_init(&extra, 0);
	st = pl_json_dump(report, false, &text, err);
	if (st == PL_OK)
		st = pl_buf_addf(&extra, err, "\"filters\":%s", (const char *)text.data);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK)
		st = tool_step_end(t, (const char *)extra.data, err);
	pl_buf_release(&text);
	pl_buf_release(&extra);
	return st;
}

enum pl_status step_filter(struct tool *t, const struct filter_step *s, struct pl_err *err)
{
	struct pl_corpus *corpora = NULL;
	json_t *report = json_array();
	uint64_t shards = 0;
	enum pl_status st = report != NULL ? steps_open_corpora(s->corpora, s->n, &corpora, err) : pl_fail_nomem(err);

	st = pl_job_agree(t->job, st, err);
	for (size_t i = 0; i < s->n && st == PL_OK && corpora != NULL; i++)
		shards += corpora[i].nshards;
	tool_step_begin(t, "filter", shards);
	for (size_t i = 0; i < s->n && st == PL_OK && corpora != NULL; i++) {
		struct filter f = { .step = s, .corpus = &corpora[i] };
		st = filter_corpus(t, &f, report, err);
	}
	steps_close_corpora(corpora, s->n);
	if (st == PL_OK)
		st = end_step(t, report, err);
	json_decref(report);
	return st;
}
