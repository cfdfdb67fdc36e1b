/* SPDX-License-Identifier: Apache-2.0 */
/* plait-sql: SQL over corpora. The tables of all shards appear as two relations,
 * samples and images, with the corpus and the shard of each row. */
#include "libpipe/base/sql.h"
#include "libpipe/corpus/corpus.h"
#include "serial.h"

static struct pl_common common;
static const char *query;
static bool header_off;

static const struct pl_opt options[] = {
	{ 'e', "query", PL_OPT_STR, &query, "SQL", "one SELECT over samples and images (required)", 0, 0, NULL },
	{ 0, "no-header", PL_OPT_FLAG, &header_off, NULL, "leave the line of column names out", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-sql",
	.summary = "SQL over corpora",
	.synopsis = "-e SQL CORPUS...",
	.description =
	    "Runs one SELECT over the tables of the corpora and prints tab-separated values. Relations: samples and images, with the columns of "
	    "plait filter, and verdict, corpus, unit (the shard's tables). Rows come in shard order; tables are mapped one shard at a time.",
	.examples = "plait sql corpora/cc3m -e \"select verdict, count(*), avg(text_words) from samples group by verdict\"",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE,
};

/* One relation over the shards of all corpora, one shard's tables mapped at a time. */
struct rows {
	struct pl_corpus *corpora; size_t n;
	bool images;
	uint64_t *first;                   /* first row of each shard, and the end */
	uint32_t *corpus_of, *shard_of;    /* of shard number i */
	size_t nshards, now;
	struct pl_sql_source inner;        /* of the corpus whose shard is mapped */
	struct pl_tables tables;
	struct pl_sql_col *cols;
	bool mapped, broken;
	struct pl_err err;
};

static void unmap(struct rows *r)
{
	if (!r->mapped)
		return;
	pl_tables_close(&r->tables);
	pl_relation_release(&r->inner);
	r->mapped = false;
}

static bool map_shard(struct rows *r, size_t i)
{
	const struct pl_corpus *c = &r->corpora[r->corpus_of[i]];

	if (r->mapped && r->now == i)
		return true;
	unmap(r);
	if (pl_tables_open(&r->tables, c, r->shard_of[i], &r->err) != PL_OK) {
		r->broken = true;
		return false;
	}
	if ((r->images ? pl_relation_images(c, &r->inner, &r->err) : pl_relation_samples(c, &r->inner, &r->err)) != PL_OK) {
		pl_tables_close(&r->tables);
		r->broken = true;
		return false;
	}
	pl_relation_bind(&r->inner, &r->tables, r->shard_of[i]);
	r->now = i;
	r->mapped = true;
	return true;
}

static size_t shard_of_row(const struct rows *r, uint64_t row)
{
	size_t low = 0, high = r->nshards;

	if (r->mapped && row >= r->first[r->now] && row < r->first[r->now + 1])
		return r->now;
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;
		if (r->first[mid] <= row)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static void cell(void *ctx, uint64_t row, size_t col, struct pl_sql_value *v)
{
	struct rows *r = ctx;
	size_t i = shard_of_row(r, row);
	const char *text;

	*v = (struct pl_sql_value){ .null = true };
	if (col < 2) {
		text = col == 0 ? r->corpora[r->corpus_of[i]].source.name : r->corpora[r->corpus_of[i]].shards[r->shard_of[i]].unit;
		*v = (struct pl_sql_value){ .type = PL_SQL_TEXT, .p = text, .len = strlen(text) };
		return;
	}
	if (map_shard(r, i))
		r->inner.cell(r->inner.ctx, row - r->first[i], col - 2, v);
}

/* Columns: corpus, unit, then those of the first corpus; the others must have the same. */
static enum pl_status make_columns(struct rows *r, struct pl_sql_source *src, struct pl_err *err)
{
	struct pl_sql_source other = { 0 };
	enum pl_status st = r->images ? pl_relation_images(&r->corpora[0], &r->inner, err) : pl_relation_samples(&r->corpora[0], &r->inner, err);

	if (st != PL_OK)
		return st;
	r->cols = calloc(r->inner.ncols + 2, sizeof(*r->cols));
	if (r->cols == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK) {
		r->cols[0] = (struct pl_sql_col){ "corpus", PL_SQL_TEXT };
		r->cols[1] = (struct pl_sql_col){ "unit", PL_SQL_TEXT };
		src->ncols = r->inner.ncols + 2;
	}
	for (size_t i = 0; i < r->inner.ncols && st == PL_OK; i++) {
		r->cols[i + 2] = r->inner.cols[i];
		r->cols[i + 2].name = strdup(r->inner.cols[i].name);
		if (r->cols[i + 2].name == NULL)
			st = pl_fail_nomem(err);
	}
	for (size_t i = 1; i < r->n && st == PL_OK; i++) {
		st = r->images ? pl_relation_images(&r->corpora[i], &other, err) : pl_relation_samples(&r->corpora[i], &other, err);
		if (st == PL_OK && other.ncols != r->inner.ncols)
			st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, r->corpora[i].dir, "was ingested with other metadata columns than '%s': query them one by one",
			    r->corpora[0].dir);
		pl_relation_release(&other);
	}
	pl_relation_release(&r->inner);
	src->cols = r->cols;
	return st;
}

static enum pl_status make_rows(struct rows *r, struct pl_sql_source *src, struct pl_err *err)
{
	uint64_t row = 0;
	size_t k = 0;

	for (size_t i = 0; i < r->n; i++)
		r->nshards += r->corpora[i].nshards;
	r->first = calloc(r->nshards + 1, sizeof(*r->first));
	r->corpus_of = calloc(r->nshards + 1, sizeof(*r->corpus_of));
	r->shard_of = calloc(r->nshards + 1, sizeof(*r->shard_of));
	if (r->first == NULL || r->corpus_of == NULL || r->shard_of == NULL)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < r->n; i++)
		for (size_t s = 0; s < r->corpora[i].nshards; s++, k++) {
			r->first[k] = row;
			r->corpus_of[k] = (uint32_t)i;
			r->shard_of[k] = (uint32_t)s;
			row += r->images ? r->corpora[i].shards[s].images : r->corpora[i].shards[s].samples;
		}
	r->first[k] = row;
	src->name = r->images ? "images" : "samples";
	src->nrows = row;
	src->ctx = r;
	src->cell = cell;
	return make_columns(r, src, err);
}

static void release_rows(struct rows *r, const struct pl_sql_source *src)
{
	unmap(r);
	for (size_t i = 2; i < src->ncols && r->cols != NULL; i++) {
		char *name;
		memcpy(&name, &r->cols[i].name, sizeof(name));
		free(name);
	}
	free(r->cols);
	free(r->first);
	free(r->corpus_of);
	free(r->shard_of);
}

static int print_header(void *ctx, sqlite3_stmt *st)
{
	(void)ctx;
	for (int i = 0; i < sqlite3_column_count(st) && !header_off; i++)
		printf("%s%s", i > 0 ? "\t" : "", sqlite3_column_name(st, i));
	return !header_off && putchar('\n') == EOF;
}

static int print_row(void *ctx, sqlite3_stmt *st)
{
	struct pl_err *err = ctx;

	for (int i = 0; i < sqlite3_column_count(st); i++) {
		const unsigned char *text = sqlite3_column_text(st, i);
		if ((i > 0 && serial_write("\t", 1, err) != PL_OK) ||
		    (text != NULL && serial_write_text((const char *)text, (size_t)sqlite3_column_bytes(st, i), err) != PL_OK))
			return 1;
	}
	return serial_write("\n", 1, err) != PL_OK;
}

static enum pl_status query_corpora(struct pl_corpus *corpora, size_t n, struct pl_err *err)
{
	struct rows rows[2] = { { .corpora = corpora, .n = n }, { .corpora = corpora, .n = n, .images = true } };
	struct pl_sql_source src[2] = { { 0 }, { 0 } };
	struct pl_sql *db = NULL;
	struct pl_err print = { 0 };
	enum pl_status st = pl_sql_open(&db, err);

	for (int i = 0; i < 2 && st == PL_OK; i++) {
		st = make_rows(&rows[i], &src[i], err);
		if (st == PL_OK)
			st = pl_sql_add(db, &src[i], err);
	}
	if (st == PL_OK)
		st = pl_sql_query(db, query, &print, print_header, print_row, err);
	pl_sql_close(db);
	for (int i = 0; i < 2; i++) {
		if (st == PL_OK && rows[i].broken) {
			*err = rows[i].err;
			st = err->status;
		}
		release_rows(&rows[i], &src[i]);
	}
	if (st == PL_OK && print.status != PL_OK) {
		*err = print;
		st = print.status;
	}
	return st;
}

static enum pl_status run(int argc, char **argv, struct pl_err *err)
{
	struct pl_corpus *corpora = calloc((size_t)argc + 1, sizeof(*corpora));
	size_t opened = 0;
	enum pl_status st = corpora == NULL ? pl_fail_nomem(err) : PL_OK;

	if (st == PL_OK && (argc == 0 || query == NULL))
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%s", query == NULL ? "-e SQL is missing" : "no CORPUS is given");
	while (st == PL_OK && opened < (size_t)argc) {
		st = pl_corpus_open(&corpora[opened], argv[opened], err);
		opened += st == PL_OK;
	}
	if (st == PL_OK)
		st = query_corpora(corpora, opened, err);
	for (size_t i = 0; i < opened; i++)
		pl_corpus_close(&corpora[i]);
	free(corpora);
	return st;
}

int main(int argc, char **argv)
{
	return serial_main(&tool, argc, argv, run);
}
