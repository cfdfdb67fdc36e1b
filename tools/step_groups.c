/* SPDX-License-Identifier: Apache-2.0 */
/* Groups: the value of an SQL expression for each sample -> UNIT.groups.npy and
 * groups.json. Made from what ingest wrote alone, so that no verdict changes them. */
#include "libpipe/base/hash.h"
#include "libpipe/base/sql.h"
#include "libpipe/mix/groups.h"
#include "steps.h"

/* No shard's record has a dot in its name. */
#define RECORD "groups.step"

struct grouping {
	const struct groups_step *step;
	struct pl_corpus *corpus;
	struct pl_sql *db;
	struct pl_sql_source samples;
	json_t *mine;                      /* {"shard", "names"} of each shard this rank made */
};

struct column { struct pl_group_names names; struct pl_group_row *rows; };

static enum pl_status take_value(void *ctx, uint64_t row, const char *text, size_t len, struct pl_err *err)
{
	struct column *c = ctx;

	return pl_group_names_add(&c->names, text, len, &c->rows[row].group, err);
}

static enum pl_status write_table(const struct pl_corpus *c, size_t shard, const struct column *column, uint64_t n, struct pl_err *err)
{
	struct pl_npy_writer w = { 0 };
	char *path = pl_table_path(c, shard, "groups");
	enum pl_status st;

	if (path == NULL)
		return pl_fail_nomem(err);
	st = pl_npy_create(&w, path, pl_group_cols, pl_group_ncols, sizeof(struct pl_group_row), err);
	if (st == PL_OK)
		st = pl_npy_append(&w, column->rows, n, err);
	if (st == PL_OK)
		st = pl_npy_commit(&w, err);
	pl_npy_abort(&w);
	free(path);
	return st;
}

static enum pl_status keep_names(struct grouping *g, size_t shard, const struct pl_group_names *names, struct pl_err *err)
{
	json_t *list = json_array();
	bool ok = list != NULL;

	for (size_t i = 0; i < names->n && ok; i++)
		ok = json_array_append_new(list, json_string(names->items[i])) == 0;
	if (!ok) {
		json_decref(list);
		return pl_fail_nomem(err);
	}
	return json_array_append_new(g->mine, json_pack("{s:I,s:o}", "shard", (json_int_t)shard, "names", list)) == 0 ? PL_OK : pl_fail_nomem(err);
}

static enum pl_status group_unit(struct tool *t, void *ctx, uint64_t shard, const char *name, struct pl_err *err)
{
	struct grouping *g = ctx;
	struct column c = { { NULL, 0, NULL }, NULL };
	struct pl_tables tables = { 0 };
	enum pl_status st = pl_tables_open(&tables, g->corpus, shard, err);

	(void)name;
	if (st != PL_OK)
		return st;
	/* As for a filter's conditions: what the tools decided is not seen. */
	pl_npy_close(&tables.filter);
	pl_npy_close(&tables.filter_images);
	pl_npy_close(&tables.dedup);
	pl_npy_close(&tables.dedup_images);
	pl_npy_close(&tables.concepts);
	c.rows = calloc(tables.samples.nrows + 1, sizeof(*c.rows));
	if (c.rows == NULL)
		st = pl_fail_nomem(err);
	pl_relation_bind(&g->samples, &tables, shard);
	if (st == PL_OK)
		st = pl_sql_text(g->db, &g->samples, g->step->by, take_value, &c, err);
	if (st == PL_OK)
		st = write_table(g->corpus, shard, &c, tables.samples.nrows, err);
	if (st == PL_OK)
		st = keep_names(g, shard, &c.names, err);
	pl_job_count(t->job, 0, tables.samples.nrows, 0);
	pl_group_names_release(&c.names);
	free(c.rows);
	pl_tables_close(&tables);
	return st;
}

static enum pl_status digest_of(const struct grouping *g, uint64_t digest[2], struct pl_err *err)
{
	uint64_t scores[2];
	struct pl_buf b;
	enum pl_status st = steps_scores_digest(g->corpus, scores, err);

	pl_buf_init(&b, 0);
	if (st == PL_OK)
		st = pl_buf_addf(&b, err, "groups\n%016llx%016llx\n%016llx%016llx\n%s\n", (unsigned long long)g->corpus->digest[1],
		    (unsigned long long)g->corpus->digest[0], (unsigned long long)scores[1], (unsigned long long)scores[0], g->step->by);
	if (st == PL_OK)
		pl_hash128(b.data, b.len, digest);
	pl_buf_release(&b);
	return st;
}

static enum pl_status open_sql(struct grouping *g, struct pl_err *err)
{
	enum pl_status st = pl_sql_open(&g->db, err);

	if (st == PL_OK)
		st = pl_relation_samples(g->corpus, &g->samples, err);
	if (st == PL_OK)
		st = pl_sql_add(g->db, &g->samples, err);
	return st;
}

/* A wrong expression must cost nothing: it is tried on an empty relation before the old tables go. */
static enum pl_status check_expression(struct grouping *g, const struct pl_record *record, struct pl_err *err)
{
	enum pl_status st;

	g->samples.nrows = 0;
	st = pl_sql_text(g->db, &g->samples, g->step->by, take_value, NULL, err);
	return st == PL_OK ? pl_record_forget(record, err) : st;
}

/* Rank 0: the names of all shards in order, and the record. */
static enum pl_status write_names(struct grouping *g, const struct pl_record *record, json_t *all, struct pl_err *err)
{
	struct pl_names outputs;
	json_t *shards = json_array(), *one;
	size_t i;
	enum pl_status st = shards == NULL ? pl_fail_nomem(err) : PL_OK;

	pl_names_init(&outputs);
	for (i = 0; i < g->corpus->nshards && st == PL_OK; i++)
		if (json_array_append_new(shards, json_null()) != 0)
			st = pl_fail_nomem(err);
	json_array_foreach(all, i, one)
		if (st == PL_OK && json_array_set(shards, (size_t)pl_json_num(one, "shard", 0), json_object_get(one, "names")) != 0)
			st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = pl_groups_save(g->corpus, g->step->by, shards, err);
	if (st == PL_OK)
		st = steps_table_names(g->corpus, "groups", &outputs, err);
	if (st == PL_OK)
		st = pl_names_add(&outputs, PL_GROUPS_JSON, err);
	if (st == PL_OK)
		st = pl_record_write(record, (const char *const *)outputs.items, outputs.len, NULL, err);
	pl_names_release(&outputs);
	json_decref(shards);
	return st;
}

static enum pl_status make_groups(struct tool *t, struct grouping *g, const struct pl_record *record, struct pl_err *err)
{
	json_t *all = NULL;
	enum pl_status st = PL_OK;

	if (tool_is_root(t))
		st = check_expression(g, record, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		return st;
	tool_stage(t, "groups", g->corpus->nshards);
	if ((st = steps_for_tables(t, g->corpus, group_unit, g, err)) != PL_OK)
		return st;
	st = tool_gather_json(t, g->mine, &all, err);
	if (st == PL_OK && tool_is_root(t))
		st = write_names(g, record, all, err);
	json_decref(all);
	return pl_job_agree(t->job, st, err);
}

static enum pl_status group_corpus(struct tool *t, struct grouping *g, struct pl_err *err)
{
	struct pl_record record = { g->corpus->dir, RECORD, { 0, 0 } };
	bool done = false;
	enum pl_status st = tool_output_dir(t, g->corpus->dir, err);

	g->mine = json_array();
	if (st == PL_OK && g->mine == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = digest_of(g, record.digest, err);
	if (st == PL_OK && !t->desc->common->force)
		st = pl_record_check(&record, &done, NULL, err);
	if (st == PL_OK)
		st = open_sql(g, err);
	if ((st = pl_job_agree(t->job, st, err)) == PL_OK && pl_job_max(t->job, !done) != 0)
		st = make_groups(t, g, &record, err);
	json_decref(g->mine);
	pl_sql_close(g->db);
	pl_relation_release(&g->samples);
	return st;
}

enum pl_status step_groups(struct tool *t, const struct groups_step *s, struct pl_err *err)
{
	struct pl_corpus corpus = { 0 };
	struct grouping g = { s, &corpus, NULL, { 0 }, NULL };
	enum pl_status st = pl_job_agree(t->job, pl_corpus_open(&corpus, s->corpus, err), err);

	if (st != PL_OK)
		return st;
	st = group_corpus(t, &g, err);
	pl_corpus_close(&corpus);
	return st;
}
