/* SPDX-License-Identifier: Apache-2.0 */
/* An external sort by key hash. What is joined does not depend on who did which
 * file or part: rows carry their place, and the first one wins. */
#include "score_join.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* Rows of runs and parts: key, place in the file, values. */
enum { HEAD = 2 * sizeof(uint64_t), POLL_ROWS = 4096 };
#define RUN_PREFIX "scores-run."
#define PART_PREFIX "scores-part."

static uint64_t word(const void *row, size_t i)
{
	uint64_t x;

	memcpy(&x, (const uint8_t *)row + i * sizeof(x), sizeof(x));
	return x;
}

static enum pl_status poll_now(const struct pl_score_join *j, struct pl_err *err)
{
	return j->poll != NULL ? j->poll(j->poll_ctx, err) : PL_OK;
}

static size_t row_size(const struct pl_score_join *j)
{
	return HEAD + j->columns.n * sizeof(double);
}

static char *run_path(const struct pl_score_join *j, size_t file, uint64_t run)
{
	char name[80];

	snprintf(name, sizeof(name), RUN_PREFIX "%zu.%" PRIu64 ".npy", file, run);
	return pl_path_join(j->dir, name);
}

static char *part_path(const struct pl_score_join *j, unsigned part)
{
	char name[80];

	snprintf(name, sizeof(name), PART_PREFIX "%u.npy", part);
	return pl_path_join(j->dir, name);
}

/* Columns of a run or part: names are ours, since those of scores may be anything. */
static enum pl_status create(const struct pl_score_join *j, char *path, struct pl_npy_writer *w, struct pl_err *err)
{
	struct pl_npy_col cols[PL_SCORE_COLUMNS_MAX + 2] = {{"key", PL_NPY_U64, 1, 0}, {"place", PL_NPY_U64, 1, 8}};
	char names[PL_SCORE_COLUMNS_MAX][32];
	enum pl_status st;

	if (path == NULL)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < j->columns.n; i++) {
		snprintf(names[i], sizeof(names[i]), "value%zu", i);
		cols[i + 2] = (struct pl_npy_col){names[i], PL_NPY_F64, 1, (uint32_t)(HEAD + i * sizeof(double))};
	}
	st = pl_npy_create(w, path, cols, j->columns.n + 2, row_size(j), err);
	free(path);
	return st;
}

enum pl_status pl_score_columns_check(const struct pl_source *s, const struct pl_score_columns *c, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (c->n == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "which columns of the files of scores are wanted? Name them (score_columns; --score-column)");
	if (c->n > PL_SCORE_COLUMNS_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%zu score columns; at most %d are joined", c->n, PL_SCORE_COLUMNS_MAX);
	for (size_t i = 0; i < c->n && st == PL_OK; i++)
		st = pl_score_check(s, c->names, i, c->names[i], err);
	return st;
}

/* ---- clearing ---- */

static bool is_ours(const char *name, bool tables)
{
	size_t len = strlen(name);

	if (strncmp(name, RUN_PREFIX, strlen(RUN_PREFIX)) == 0 || strncmp(name, PART_PREFIX, strlen(PART_PREFIX)) == 0)
		return true;
	return tables && (strcmp(name, PL_SCORES_NAME) == 0 || (len > 11 && strcmp(name + len - 11, ".scores.npy") == 0));
}

enum pl_status pl_score_clear(const char *dir, bool tables, struct pl_err *err)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	enum pl_status st = PL_OK;

	if (d == NULL)
		return errno == ENOENT ? PL_OK : pl_fail_errno(err, PL_SEV_JOB, dir, "cannot list");
	while (st == PL_OK && (e = readdir(d)) != NULL)
		if (is_ours(e->d_name, tables) && unlinkat(dirfd(d), e->d_name, 0) != 0 && errno != ENOENT)
			st = pl_fail_errno(err, PL_SEV_JOB, dir, "cannot remove earlier scores");
	closedir(d);
	return st;
}

/* ---- runs ---- */

static int by_key(const void *a, const void *b)
{
	for (size_t i = 0; i < 2; i++) {
		uint64_t x = word(a, i), y = word(b, i);
		if (x != y)
			return x < y ? -1 : 1;
	}
	return 0;
}

static enum pl_status write_run(const struct pl_score_join *j, uint8_t *rows, size_t n, size_t file, uint64_t run, struct pl_err *err)
{
	struct pl_npy_writer w = {0};
	enum pl_status st;

	qsort(rows, n, row_size(j), by_key);
	st = create(j, run_path(j, file, run), &w, err);
	if (st == PL_OK)
		st = pl_npy_append(&w, rows, n, err);
	if (st == PL_OK)
		st = pl_npy_commit(&w, err);
	pl_npy_abort(&w);
	return st;
}

enum pl_status pl_score_sort(const struct pl_score_join *j, const char *path, size_t file, uint64_t *runs, struct pl_score_counts *counts,
    struct pl_err *err)
{
	size_t size = row_size(j), n = 0, cap = (j->run_bytes != 0 ? j->run_bytes : PL_SCORE_RUN_BYTES) / size + 1;
	double values[PL_SCORE_COLUMNS_MAX];
	struct pl_score_file *f = NULL;
	uint8_t *rows = malloc(cap * size);
	enum pl_status st = rows != NULL ? pl_score_file_open(&f, path, &j->columns, err) : pl_fail_nomem(err);

	*runs = 0;
	for (uint64_t place = 0; st == PL_OK; place++) {
		uint64_t head[2] = {0, place};
		st = pl_score_file_next(f, &head[0], values, err);
		if (st == PL_OK) {
			memcpy(rows + n * size, head, HEAD);
			memcpy(rows + n * size + HEAD, values, size - HEAD);
			n++;
		}
		if ((st == PL_OK && n == cap) || (st == PL_END && n > 0)) {
			enum pl_status wrote = write_run(j, rows, n, file, *runs, err);
			++*runs;
			n = 0;
			st = wrote != PL_OK ? wrote : st;
		}
		if (st == PL_OK && place % POLL_ROWS == 0)
			st = poll_now(j, err);
	}
	if (f != NULL)
		*counts = *pl_score_file_counts(f);
	pl_score_file_close(f);
	free(rows);
	return st == PL_END ? PL_OK : st;
}

/* ---- parts ---- */

unsigned pl_score_parts(uint64_t rows)
{
	unsigned parts = 1;

	while (parts < PL_SCORE_PARTS_MAX && rows / parts > PL_SCORE_PART_ROWS)
		parts *= 2;
	return parts;
}

/* The high bits of the key say its part: parts are a power of two. */
static unsigned part_of(uint64_t key, unsigned parts)
{
	return (unsigned)((key >> 32) * parts >> 32);
}

/* First row of a sorted table whose key is at least key. */
static uint64_t lower_bound(const struct pl_npy *t, uint64_t key)
{
	uint64_t lo = 0, hi = t->nrows;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		if (word(pl_npy_row(t, mid), 0) < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* A run under way; runs are numbered in the order of their rows, so that the number breaks ties. */
struct cursor { struct pl_npy table; uint64_t next; size_t number; };

static bool before(const struct cursor *a, const struct cursor *b)
{
	uint64_t x = word(pl_npy_row(&a->table, a->next), 0), y = word(pl_npy_row(&b->table, b->next), 0);

	return x != y ? x < y : a->number < b->number;
}

/* Let heap[i] sink to its place among n. */
static void sink(struct cursor **heap, size_t n, size_t i)
{
	for (;;) {
		size_t least = i;
		for (size_t k = 2 * i + 1; k <= 2 * i + 2 && k < n; k++)
			if (before(heap[k], heap[least]))
				least = k;
		if (least == i)
			return;
		struct cursor *c = heap[i];
		heap[i] = heap[least];
		heap[least] = c;
		i = least;
	}
}

static enum pl_status open_runs(const struct pl_score_join *j, const uint64_t *runs, size_t nfiles, struct cursor *all, uint64_t from,
    struct cursor **heap, size_t *n, struct pl_err *err)
{
	size_t k = 0;

	for (size_t file = 0; file < nfiles; file++)
		for (uint64_t run = 0; run < runs[file]; run++, k++) {
			char *path = run_path(j, file, run);
			enum pl_status st = path != NULL ? pl_npy_open(&all[k].table, path, err) : pl_fail_nomem(err);
			free(path);
			if (st != PL_OK)
				return st;
			if (all[k].table.row_size != row_size(j))
				return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, j->dir, "a sorted run of scores is of another job");
			all[k].number = k;
			all[k].next = lower_bound(&all[k].table, from);
			if (all[k].next < all[k].table.nrows)
				heap[(*n)++] = &all[k];
		}
	return PL_OK;
}

static enum pl_status merge(const struct pl_score_join *j, struct cursor **heap, size_t n, unsigned part, unsigned parts,
    struct pl_npy_writer *w, uint64_t *repeated, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	uint64_t last = 0, count = 0;

	for (size_t i = n; i-- > 0;)
		sink(heap, n, i);
	while (n > 0 && st == PL_OK) {
		struct cursor *c = heap[0];
		const void *row = pl_npy_row(&c->table, c->next);
		uint64_t key = word(row, 0);
		if (part_of(key, parts) != part)
			return PL_OK;
		if (count > 0 && key == last)
			++*repeated;
		else
			st = pl_npy_append(w, row, 1, err);
		last = key;
		if (++c->next == c->table.nrows)
			heap[0] = heap[--n];
		sink(heap, n, 0);
		if (st == PL_OK && ++count % POLL_ROWS == 0)
			st = poll_now(j, err);
	}
	return st;
}

enum pl_status pl_score_merge(const struct pl_score_join *j, const uint64_t *runs, size_t nfiles, unsigned part, unsigned parts,
    uint64_t *repeated, struct pl_err *err)
{
	struct pl_npy_writer w = {0};
	struct cursor *all, **heap;
	size_t total = 0, n = 0;
	enum pl_status st;

	for (size_t i = 0; i < nfiles; i++)
		total += runs[i];
	all = calloc(total + 1, sizeof(*all));
	heap = calloc(total + 1, sizeof(*heap));
	st = all != NULL && heap != NULL ? PL_OK : pl_fail_nomem(err);
	if (st == PL_OK)
		st = open_runs(j, runs, nfiles, all, UINT64_MAX / parts * part + part, heap, &n, err);
	if (st == PL_OK)
		st = create(j, part_path(j, part), &w, err);
	if (st == PL_OK)
		st = merge(j, heap, n, part, parts, &w, repeated, err);
	if (st == PL_OK)
		st = pl_npy_commit(&w, err);
	pl_npy_abort(&w);
	for (size_t i = 0; i < total && all != NULL; i++)
		pl_npy_close(&all[i].table);
	free(all);
	free(heap);
	return st;
}

/* ---- looking up ---- */

enum pl_status pl_score_index_open(struct pl_score_index *x, const struct pl_score_join *j, unsigned parts, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	memset(x, 0, sizeof(*x));
	x->columns = j->columns.n;
	for (; x->n < parts && st == PL_OK; x->n++) {
		char *path = part_path(j, x->n);
		st = path != NULL ? pl_npy_open(&x->parts[x->n], path, err) : pl_fail_nomem(err);
		if (st == PL_OK && x->parts[x->n].row_size != row_size(j))
			st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, path, "is of another job");
		free(path);
	}
	if (st != PL_OK)
		pl_score_index_close(x);
	return st;
}

void pl_score_index_close(struct pl_score_index *x)
{
	for (unsigned i = 0; i < x->n; i++)
		pl_npy_close(&x->parts[i]);
	memset(x, 0, sizeof(*x));
}

/* Row of key in its part, UINT64_MAX when it is not there. Zero is no key: no id. */
static uint64_t find(const struct pl_npy *t, uint64_t key)
{
	uint64_t at = lower_bound(t, key);

	return key != 0 && at < t->nrows && word(pl_npy_row(t, at), 0) == key ? at : UINT64_MAX;
}

static uint64_t key_of(const struct pl_corpus *c, const struct pl_tables *t, uint64_t row)
{
	const struct pl_sample_row *s = pl_sample(t, row);

	return c->source.id_field != NULL ? s->id_hash : s->key;
}

/* The tables without earlier scores, whose columns may be others. */
static enum pl_status open_tables(struct pl_tables *t, const struct pl_corpus *c, size_t shard, struct pl_err *err)
{
	struct pl_corpus plain = *c;

	plain.nscores = 0;
	return pl_tables_open(t, &plain, shard, err);
}

enum pl_status pl_score_look_up(const struct pl_score_join *j, const struct pl_score_index *x, const struct pl_corpus *c, size_t shard,
    uint64_t *matched, struct pl_err *err)
{
	struct pl_npy_col cols[PL_SCORE_COLUMNS_MAX];
	double values[PL_SCORE_COLUMNS_MAX];
	struct pl_npy_writer w = {0};
	struct pl_tables t;
	char *path = pl_table_path(c, shard, "scores");
	enum pl_status st = path != NULL ? open_tables(&t, c, shard, err) : pl_fail_nomem(err);

	if (st != PL_OK) {
		free(path);
		return st;
	}
	for (size_t i = 0; i < x->columns; i++)
		cols[i] = (struct pl_npy_col){j->columns.names[i], PL_NPY_F64, 1, (uint32_t)(i * sizeof(double))};
	st = pl_npy_create(&w, path, cols, x->columns, x->columns * sizeof(double), err);
	for (uint64_t i = 0; i < t.samples.nrows && st == PL_OK; i++) {
		uint64_t key = key_of(c, &t, i);
		const struct pl_npy *part = &x->parts[part_of(key, x->n)];
		uint64_t at = find(part, key);
		if (at != UINT64_MAX)
			memcpy(values, (const uint8_t *)pl_npy_row(part, at) + HEAD, x->columns * sizeof(double));
		for (size_t k = 0; k < x->columns && at == UINT64_MAX; k++)
			values[k] = (double)NAN;
		*matched += at != UINT64_MAX;
		st = pl_npy_append(&w, values, 1, err);
		if (st == PL_OK && i % POLL_ROWS == 0)
			st = poll_now(j, err);
	}
	if (st == PL_OK)
		st = pl_npy_commit(&w, err);
	pl_npy_abort(&w);
	pl_tables_close(&t);
	free(path);
	return st;
}

enum pl_status pl_score_unmatched(const struct pl_score_join *j, const struct pl_score_index *x, unsigned part, const struct pl_corpus *c,
    uint64_t *unmatched, struct pl_err *err)
{
	const struct pl_npy *p = &x->parts[part];
	uint8_t *seen = calloc(p->nrows / 8 + 1, 1);
	uint64_t n = 0;
	enum pl_status st = seen != NULL ? PL_OK : pl_fail_nomem(err);

	for (size_t shard = 0; shard < c->nshards && st == PL_OK; shard++) {
		struct pl_tables t;
		st = open_tables(&t, c, shard, err);
		for (uint64_t i = 0; st == PL_OK && i < t.samples.nrows; i++) {
			uint64_t key = key_of(c, &t, i), at;
			if (part_of(key, x->n) != part || (at = find(p, key)) == UINT64_MAX)
				continue;
			n += !(seen[at / 8] >> (at % 8) & 1);
			seen[at / 8] |= (uint8_t)(1u << (at % 8));
		}
		if (st == PL_OK) {
			pl_tables_close(&t);
			st = poll_now(j, err);
		}
	}
	*unmatched += p->nrows - n;
	free(seen);
	return st;
}
