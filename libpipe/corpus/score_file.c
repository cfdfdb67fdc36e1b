/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files of scores. One row is in memory; a bad row costs itself, a
 * damaged file is an error, since half its scores would drop the other half's
 * samples without a word. */
#include "score_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "libpipe/base/buf.h"
#include "libpipe/base/hash.h"
#include "libpipe/base/json.h"
#include "libpipe/base/npy.h"
#include "records.h"
#include "shards/bytes.h"

enum { CHUNK = 256 << 10 };

struct pl_score_file {
	char *path;
	struct pl_score_columns columns;
	struct pl_score_counts counts;
	/* CSV, TSV */
	struct shard_stream *stream;
	char separator;
	uint8_t *chunk;
	size_t have, at;
	uint64_t line, row_line;      /* of the next byte; of the row under way */
	struct pl_buf row;            /* fields, each with its NUL */
	size_t *fields, nfields;      /* their places in row */
	size_t key_at, *value_at;     /* numbers of the wanted fields */
	/* JSON */
	struct pl_records *records;
	/* .npy */
	struct pl_npy table;
	uint64_t next;
	const struct pl_npy_col *key_col, **value_cols;
};

static bool ends_with(const char *s, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len > n && strncasecmp(s + len - n, end, n) == 0;
}

/* Length of path without the suffix of a compression. */
static size_t plain_length(const char *path)
{
	static const char *const packers[] = {".gz", ".zst", ".xz", ".bz2"};
	size_t len = strlen(path);

	for (size_t i = 0; i < PL_ARRAY_LEN(packers); i++)
		if (ends_with(path, len, packers[i]))
			return len - strlen(packers[i]);
	return len;
}

/* ---- CSV and TSV ---- */

static enum pl_status damaged(struct pl_score_file *f, enum pl_status status, const char *what, struct pl_err *err)
{
	pl_fail(err, status, PL_SEV_JOB, f->path, "%s", what);
	if (err != NULL)
		pl_err_at_line(err, f->path, (uint32_t)f->row_line);
	return status;
}

/* The next byte, -1 at the end. */
static enum pl_status next_byte(struct pl_score_file *f, int *c, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (f->at == f->have) {
		f->at = 0;
		st = shard_stream_read(f->stream, f->chunk, CHUNK, &f->have, err);
		if (st != PL_OK) {
			f->have = 0;
			return st;
		}
	}
	*c = f->at < f->have ? f->chunk[f->at++] : -1;
	f->line += *c == '\n';
	return PL_OK;
}

static enum pl_status begin_field(struct pl_score_file *f, struct pl_err *err)
{
	if (f->nfields == PL_SCORE_FIELDS_MAX)
		return damaged(f, PL_ERR_LIMIT, "a row of more than 4096 fields", err);
	f->fields[f->nfields++] = f->row.len;
	return PL_OK;
}

static enum pl_status add_byte(struct pl_score_file *f, int c, struct pl_err *err)
{
	char byte = (char)c;

	if (f->row.len >= PL_SCORE_ROW_MAX)
		return damaged(f, PL_ERR_LIMIT, "a row of more than 1 MiB (is a quote not closed?)", err);
	return pl_buf_add(&f->row, &byte, 1, err);
}

enum row_state { BEGIN, PLAIN, QUOTED, QUOTE, DONE };

/* A byte inside a quoted field, or right behind a quote in one. */
static enum pl_status feed_quoted(struct pl_score_file *f, int c, enum row_state *state, struct pl_err *err)
{
	if (*state == QUOTED && c == '"') {
		*state = QUOTE;
		return PL_OK;
	}
	*state = QUOTED;
	return add_byte(f, c, err);
}

/* A byte anywhere else; c < 0: the file ends, and with it the row. */
static enum pl_status feed(struct pl_score_file *f, int c, enum row_state *state, struct pl_err *err)
{
	enum pl_status st;

	if (c == '\n' || c < 0) {
		if (*state == PLAIN && f->row.len > 0 && f->row.data[f->row.len - 1] == '\r')
			f->row.data[f->row.len - 1] = '\0';
		*state = DONE;
		return add_byte(f, '\0', err);
	}
	if (c == f->separator) {
		*state = BEGIN;
		st = add_byte(f, '\0', err);
		return st == PL_OK ? begin_field(f, err) : st;
	}
	if (*state == BEGIN && c == '"' && f->separator == ',') {
		*state = QUOTED;
		return PL_OK;
	}
	if (*state == QUOTE && c == '\r')
		return PL_OK;
	*state = PLAIN;
	return add_byte(f, c, err);
}

/* One row into f->fields; PL_END when there is none. Line ends inside quotes belong to the field. */
static enum pl_status read_row(struct pl_score_file *f, struct pl_err *err)
{
	enum row_state state = BEGIN;
	enum pl_status st;
	bool any = false;
	int c;

	pl_buf_clear(&f->row);
	f->nfields = 0;
	f->row_line = f->line;
	st = begin_field(f, err);
	while (st == PL_OK && state != DONE) {
		if ((st = next_byte(f, &c, err)) != PL_OK)
			return st;
		if (c < 0 && state == QUOTED)
			return damaged(f, PL_ERR_TRUNCATED, "the file ends inside a quoted field", err);
		if (c < 0 && !any)
			return PL_END;
		any = true;
		if (state == QUOTED || (state == QUOTE && c == '"'))
			st = feed_quoted(f, c, &state, err);
		else
			st = feed(f, c, &state, err);
	}
	return st;
}

static const char *field(const struct pl_score_file *f, size_t i)
{
	return (const char *)f->row.data + f->fields[i];
}

static enum pl_status no_column(const struct pl_score_file *f, const char *name, const char *list, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, f->path, "has no column '%.100s'%s%.600s", name, list[0] != '\0' ? "; it has " : "", list);
}

static enum pl_status find_field(struct pl_score_file *f, const char *name, size_t *at, struct pl_err *err)
{
	struct pl_buf list;
	enum pl_status st = PL_OK;

	for (*at = 0; *at < f->nfields; ++*at)
		if (strcmp(field(f, *at), name) == 0)
			return PL_OK;
	pl_buf_init(&list, 0);
	for (size_t i = 0; i < f->nfields && list.len < 600 && st == PL_OK; i++)
		st = pl_buf_addf(&list, err, "%s%.60s", i > 0 ? ", " : "", field(f, i));
	/* Foreign bytes on their way to a terminal. */
	for (size_t i = 0; i < list.len; i++)
		if (list.data[i] < ' ' || list.data[i] > '~')
			list.data[i] = '?';
	if (st == PL_OK)
		st = no_column(f, name, list.data != NULL ? (const char *)list.data : "", err);
	pl_buf_release(&list);
	return st;
}

/* The first bytes; a byte order mark is no part of the first name, and may come in pieces. */
static enum pl_status skip_mark(struct pl_score_file *f, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	size_t got = 1;

	while (f->have < 3 && got > 0 && st == PL_OK) {
		got = 0;
		st = shard_stream_read(f->stream, f->chunk + f->have, CHUNK - f->have, &got, err);
		f->have += st == PL_OK ? got : 0;
	}
	if (st == PL_OK && f->have >= 3 && memcmp(f->chunk, "\xEF\xBB\xBF", 3) == 0)
		f->at = 3;
	return st;
}

static enum pl_status open_rows(struct pl_score_file *f, char separator, struct pl_err *err)
{
	enum pl_status st;

	f->separator = separator;
	f->line = 1;
	f->chunk = malloc(CHUNK);
	f->fields = calloc(PL_SCORE_FIELDS_MAX, sizeof(*f->fields));
	f->value_at = calloc(f->columns.n + 1, sizeof(*f->value_at));
	pl_buf_init(&f->row, PL_SCORE_ROW_MAX + 16);
	if (f->chunk == NULL || f->fields == NULL || f->value_at == NULL)
		return pl_fail_nomem(err);
	st = shard_stream_open(&f->stream, f->path, err);
	if (st == PL_OK)
		st = skip_mark(f, err);
	if (st == PL_OK)
		st = read_row(f, err);
	if (st == PL_END)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, f->path, "is empty: its first row must name the columns");
	if (st == PL_OK)
		st = find_field(f, f->columns.key, &f->key_at, err);
	for (size_t i = 0; i < f->columns.n && st == PL_OK; i++)
		st = find_field(f, f->columns.names[i], &f->value_at[i], err);
	return st;
}

/* ---- values ---- */

/* A number, wholly; nothing, or one of the words for nothing; else bad. */
static double number(struct pl_score_file *f, const char *s)
{
	static const char *const none[] = {"", "nan", "null", "none", "na", "n/a"};
	char *end;
	size_t len;
	double x;

	s += strspn(s, " ");
	for (len = strlen(s); len > 0 && s[len - 1] == ' ';)
		len--;
	for (size_t i = 0; i < PL_ARRAY_LEN(none); i++)
		if (strlen(none[i]) == len && strncasecmp(s, none[i], len) == 0)
			return (double)NAN;
	if (s[strspn(s, "0123456789+-.eE ")] == '\0') {
		x = strtod(s, &end);
		if (end != s && end[strspn(end, " ")] == '\0' && isfinite(x))
			return x;
	}
	f->counts.bad_values++;
	return (double)NAN;
}

static enum pl_status next_row(struct pl_score_file *f, uint64_t *key, double *values, struct pl_err *err)
{
	for (;;) {
		enum pl_status st = read_row(f, err);
		bool short_row = f->nfields <= f->key_at;

		if (st != PL_OK)
			return st;
		if (f->nfields == 1 && field(f, 0)[0] == '\0')
			continue;   /* a blank line */
		for (size_t i = 0; i < f->columns.n; i++)
			short_row |= f->nfields <= f->value_at[i];
		if (short_row || field(f, f->key_at)[0] == '\0') {
			f->counts.bad_rows++;
			continue;
		}
		*key = pl_hash64(field(f, f->key_at), strlen(field(f, f->key_at)));
		for (size_t i = 0; i < f->columns.n; i++)
			values[i] = number(f, field(f, f->value_at[i]));
		f->counts.rows++;
		return PL_OK;
	}
}

static bool json_key(const json_t *v, uint64_t *key)
{
	char text[32];

	if (json_is_string(v) && json_string_length(v) > 0) {
		*key = pl_hash64(json_string_value(v), json_string_length(v));
		return true;
	}
	if (!json_is_integer(v))
		return false;
	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	*key = pl_hash64(text, strlen(text));
	return true;
}

static double json_value(struct pl_score_file *f, const json_t *v)
{
	if (json_is_number(v))
		return json_number_value(v);
	if (json_is_string(v))
		return number(f, json_string_value(v));
	if (v != NULL && !json_is_null(v))
		f->counts.bad_values++;
	return (double)NAN;
}

static enum pl_status next_record(struct pl_score_file *f, uint64_t *key, double *values, struct pl_err *err)
{
	for (;;) {
		struct pl_record_text r;
		json_t *j = NULL;
		enum pl_status st = pl_records_next(f->records, &r, err);
		bool ok;

		if (st != PL_OK) {
			if (st != PL_END && err != NULL)
				err->severity = PL_SEV_JOB;
			return st;
		}
		if (!r.too_large && pl_json_parse(r.text, r.len, &j, NULL) == PL_ERR_NOMEM)
			return pl_fail_nomem(err);
		ok = json_is_object(j) && json_key(json_object_get(j, f->columns.key), key);
		for (size_t i = 0; i < f->columns.n && ok; i++)
			values[i] = json_value(f, json_object_get(j, f->columns.names[i]));
		json_decref(j);
		if (ok) {
			f->counts.rows++;
			return PL_OK;
		}
		f->counts.bad_rows++;
	}
}

static enum pl_status open_npy(struct pl_score_file *f, struct pl_err *err)
{
	enum pl_status st = pl_npy_open(&f->table, f->path, err);

	if (st != PL_OK)
		return st;
	f->value_cols = calloc(f->columns.n + 1, sizeof(*f->value_cols));
	if (f->value_cols == NULL)
		return pl_fail_nomem(err);
	f->key_col = pl_npy_col(&f->table, f->columns.key);
	if (f->key_col == NULL || f->key_col->type != PL_NPY_U64)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, f->path,
		    "has no column '%.100s' of type uint64 (the XXH3-64 of the key, as in the corpus' samples.npy)", f->columns.key);
	for (size_t i = 0; i < f->columns.n; i++) {
		f->value_cols[i] = pl_npy_col(&f->table, f->columns.names[i]);
		if (f->value_cols[i] == NULL || f->value_cols[i]->type == PL_NPY_BYTES)
			return no_column(f, f->columns.names[i], "", err);
	}
	return PL_OK;
}

static enum pl_status next_npy(struct pl_score_file *f, uint64_t *key, double *values)
{
	const uint8_t *row;

	if (f->next == f->table.nrows)
		return PL_END;
	row = pl_npy_row(&f->table, f->next++);
	memcpy(key, row + f->key_col->offset, sizeof(*key));
	for (size_t i = 0; i < f->columns.n; i++) {
		double x = pl_npy_real(f->value_cols[i], row);
		values[i] = isfinite(x) ? x : (double)NAN;
	}
	f->counts.rows++;
	return PL_OK;
}

enum pl_status pl_score_file_open(struct pl_score_file **out, const char *path, const struct pl_score_columns *c, struct pl_err *err)
{
	struct pl_score_file *f = calloc(1, sizeof(*f));
	size_t len = plain_length(path);
	enum pl_status st;

	if (f == NULL)
		return pl_fail_nomem(err);
	f->columns = *c;
	f->path = strdup(path);
	pl_buf_init(&f->row, 0);
	if (f->path == NULL)
		st = pl_fail_nomem(err);
	else if (ends_with(path, len, ".csv") || ends_with(path, len, ".tsv"))
		st = open_rows(f, ends_with(path, len, ".csv") ? ',' : '\t', err);
	else if (ends_with(path, len, ".jsonl") || ends_with(path, len, ".ndjson") || ends_with(path, len, ".json"))
		st = pl_records_open(&f->records, path, PL_SCORE_ROW_MAX, err);
	else if (ends_with(path, strlen(path), ".npy"))
		st = open_npy(f, err);
	else
		st = pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_JOB, path,
		    "no file of scores by its name (.csv, .tsv, .jsonl, .ndjson, .json, with or without .gz, .zst, .xz, .bz2; .npy)");
	if (st != PL_OK) {
		pl_score_file_close(f);
		if (err != NULL)
			err->severity = PL_SEV_JOB;
		return st;
	}
	*out = f;
	return PL_OK;
}

enum pl_status pl_score_file_next(struct pl_score_file *f, uint64_t *key, double *values, struct pl_err *err)
{
	enum pl_status st;

	if (f->stream != NULL)
		st = next_row(f, key, values, err);
	else
		st = f->records != NULL ? next_record(f, key, values, err) : next_npy(f, key, values);
	if (st != PL_OK && st != PL_END && err != NULL)
		err->severity = PL_SEV_JOB;
	return st;
}

const struct pl_score_counts *pl_score_file_counts(const struct pl_score_file *f)
{
	return &f->counts;
}

void pl_score_file_close(struct pl_score_file *f)
{
	if (f == NULL)
		return;
	shard_stream_close(f->stream);
	pl_records_close(f->records);
	pl_npy_close(&f->table);
	pl_buf_release(&f->row);
	free(f->chunk);
	free(f->fields);
	free(f->value_at);
	free(f->value_cols);
	free(f->path);
	free(f);
}
