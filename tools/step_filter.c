/* SPDX-License-Identifier: Apache-2.0 */
/* Filter: SQL conditions over the tables of each shard -> verdict tables. */
#include "libpipe/base/hash.h"
#include "libpipe/base/sql.h"
#include "steps.h"

#include <stdlib.h>

/* No shard's record has a dot in its name. */
#define RECORD "filter.step"

struct filter {
	const struct filter_step *step;
	struct pl_corpus *corpus;          /* the one under way */
	struct pl_sql *db;
	struct pl_sql_source samples, images;
	bool done;                         /* a content record says so */
};

/* One verdict a row. */
static enum pl_status write_verdicts(const struct pl_corpus *c, size_t shard, const char *what, const uint8_t *verdicts,
    uint64_t n, struct pl_err *err)
{
	struct pl_npy_writer w = { 0 };
	char *path = pl_table_path(c, shard, what);
	enum pl_status st;

	if (path == NULL)
		return pl_fail_nomem(err);
	st = pl_npy_create(&w, path, pl_filter_cols, pl_filter_ncols, sizeof(struct pl_filter_row), err);
	if (st == PL_OK)
		st = pl_npy_append(&w, verdicts, n, err);
	if (st == PL_OK)
		st = pl_npy_commit(&w, err);
	pl_npy_abort(&w);
	free(path);
	return st;
}

/* The condition's keep[] -> verdicts in place. Images that were dropped before are left alone; a sample can be saved from what dropped it
 * (a recipe's missing_image), but not from its condition. */
static void to_verdicts(const struct pl_tables *tables, bool images, uint8_t *keep, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		bool before = images && pl_image_at(tables, i)->status != PL_REASON_KEEP;
		keep[i] = before || keep[i] ? PL_REASON_KEEP : PL_REASON_FILTERED;
	}
}

static enum pl_status judge(struct filter *f, const struct pl_tables *tables, size_t shard, bool images, struct pl_err *err)
{
	const char *condition = images ? f->step->image_where : f->step->where;
	const char *what = images ? "filter-images" : "filter";
	struct pl_sql_source *source = images ? &f->images : &f->samples;
	uint64_t n = images ? tables->images.nrows : tables->samples.nrows;
	uint8_t *keep;
	enum pl_status st;

	if (condition == NULL)
		return PL_OK;
	keep = calloc(n + 1, 1);
	if (keep == NULL)
		return pl_fail_nomem(err);
	pl_relation_bind(source, tables, shard);
	st = pl_sql_where(f->db, source, condition, keep, err);
	if (st == PL_OK)
		to_verdicts(tables, images, keep, n);
	if (st == PL_OK)
		st = write_verdicts(f->corpus, shard, what, keep, n, err);
	free(keep);
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
			st = pl_tables_open(&tables, f->corpus, shard, err);
		/* Images first: what becomes of a sample can depend on them. */
		if (st == PL_OK)
			st = judge(f, &tables, shard, true, err);
		if (st == PL_OK)
			st = judge(f, &tables, shard, false, err);
		pl_tables_close(&tables);
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

/* The conditions and the corpus they were applied to. */
static enum pl_status digest_of(const struct filter *f, uint64_t digest[2], struct pl_err *err)
{
	struct pl_buf b;
	enum pl_status st;

	pl_buf_init(&b, 0);
	st = pl_buf_addf(&b, err, "filter\n%016llx%016llx\n%s\n%s\n", (unsigned long long)f->corpus->digest[1],
	    (unsigned long long)f->corpus->digest[0], f->step->where != NULL ? f->step->where : "",
	    f->step->image_where != NULL ? f->step->image_where : "");
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

/* A wrong condition must cost nothing: it is tried on an empty relation before the old verdicts go. */
static enum pl_status check_conditions(struct filter *f, const struct pl_record *record, struct pl_err *err)
{
	uint8_t none = 0;
	enum pl_status st = PL_OK;

	f->samples.nrows = 0;
	f->images.nrows = 0;
	if (f->step->where != NULL)
		st = pl_sql_where(f->db, &f->samples, f->step->where, &none, err);
	if (st == PL_OK && f->step->image_where != NULL)
		st = pl_sql_where(f->db, &f->images, f->step->image_where, &none, err);
	return st == PL_OK ? pl_record_forget(record, err) : st;
}

/* The record names every verdict table, so that one that is lost is made again. */
static enum pl_status write_record(const struct filter *f, const struct pl_record *record, struct pl_err *err)
{
	struct pl_names outputs;
	enum pl_status st = PL_OK;

	pl_names_init(&outputs);
	if (f->step->where != NULL)
		st = steps_table_names(f->corpus, "filter", &outputs, err);
	if (st == PL_OK && f->step->image_where != NULL)
		st = steps_table_names(f->corpus, "filter-images", &outputs, err);
	if (st == PL_OK)
		st = pl_record_write(record, (const char *const *)outputs.items, outputs.len, NULL, err);
	pl_names_release(&outputs);
	return st;
}

static enum pl_status filter_corpus(struct tool *t, struct filter *f, struct pl_err *err)
{
	struct pl_record record = { f->corpus->dir, RECORD, { 0, 0 } };
	enum pl_status st = tool_output_dir(t, f->corpus->dir, err);

	if (st == PL_OK)
		st = digest_of(f, record.digest, err);
	if (st == PL_OK && !t->desc->common->force)
		st = pl_record_check(&record, &f->done, NULL, err);
	if (st == PL_OK)
		st = open_sql(f, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		goto done;
	f->done = pl_job_max(t->job, !f->done) == 0;
	if (tool_is_root(t) && !f->done)
		st = check_conditions(f, &record, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		goto done;
	st = tool_for_units(t, f->corpus->nshards, filter_unit, f, err);
	if (st == PL_OK && tool_is_root(t) && !f->done)
		st = write_record(f, &record, err);
	if (st == PL_OK && tool_is_root(t))
		st = tool_announce(t, f->corpus->dir, err);
	st = pl_job_agree(t->job, st, err);
done:
	pl_sql_close(f->db);
	pl_relation_release(&f->samples);
	pl_relation_release(&f->images);
	return st;
}

enum pl_status step_filter(struct tool *t, const struct filter_step *s, struct pl_err *err)
{
	struct pl_corpus *corpora = NULL;
	uint64_t shards = 0;
	enum pl_status st = pl_job_agree(t->job, steps_open_corpora(s->corpora, s->n, &corpora, err), err);

	for (size_t i = 0; i < s->n && st == PL_OK; i++)
		shards += corpora[i].nshards;
	tool_step_begin(t, "filter", shards);
	for (size_t i = 0; i < s->n && st == PL_OK; i++) {
		struct filter f = { s, &corpora[i], NULL, { 0 }, { 0 }, false };
		st = filter_corpus(t, &f, err);
	}
	steps_close_corpora(corpora, s->n);
	return st == PL_OK ? tool_step_end(t, NULL, err) : st;
}
