/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a corpus and its tables. What is read here was written by plait, but
 * may have been cut, mixed up or made by hand: numbers that other rooms use as
 * indices are checked once, at open, so that they need not be checked later. */
#include "manifest.h"

#include "libpipe/base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *pl_unit_table_path(const char *dir, const char *unit, const char *what)
{
	size_t size = strlen(dir) + strlen(unit) + strlen(what) + sizeof("/..npy");
	char *path = malloc(size);

	if (path != NULL)
		snprintf(path, size, "%s/%s.%s.npy", dir, unit, what);
	return path;
}

char *pl_table_path(const struct pl_corpus *c, size_t shard, const char *what)
{
	return pl_unit_table_path(c->dir, c->shards[shard].unit, what);
}

static enum pl_status load_shards(
    struct pl_corpus *c, const json_t *list, const char *path, struct pl_err *err)
{
	size_t i, n = json_array_size(list);
	enum pl_status st;

	if (!json_is_array(list))
		return pl_fail(
		    err, PL_ERR_INVALID, PL_SEV_JOB, path, "no list 'shards'; ingest again");
	c->shards = calloc(n + 1, sizeof(*c->shards));
	if (c->shards == NULL)
		return pl_fail_nomem(err);
	for (i = 0; i < n; i++) {
		st = pl_shard_facts_load(json_array_get(list, i), &c->shards[i], err);
		if (st != PL_OK) {
			pl_err_at_line(err, path, 0);
			return st;
		}
		c->nshards = i + 1;
		if (i > 0 && strcmp(c->shards[i - 1].path, c->shards[i].path) >= 0)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path,
			    "shards are not sorted by path at '%s'; ingest again",
			    c->shards[i].path);
		c->samples += c->shards[i].samples;
		c->images += c->shards[i].images;
	}
	return PL_OK;
}

static enum pl_status load_stores(
    struct pl_corpus *c, const json_t *list, const char *path, struct pl_err *err)
{
	size_t i, n = json_array_size(list);

	c->stores = calloc(n + 1, sizeof(*c->stores));
	if (c->stores == NULL)
		return pl_fail_nomem(err);
	for (i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(list, i));

		if (s == NULL)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path,
			    "no valid 'stores'; ingest again");
		c->stores[i] = strdup(s);
		if (c->stores[i] == NULL)
			return pl_fail_nomem(err);
		c->nstores = i + 1;
	}
	return PL_OK;
}

static enum pl_status load_manifest(
    struct pl_corpus *c, const json_t *root, const char *path, struct pl_err *err)
{
	const char *format = pl_json_str(root, "format");
	const json_t *version = json_object_get(root, "version");
	struct pl_arena *arena = calloc(1, sizeof(*arena));
	enum pl_status st;

	if (arena == NULL)
		return pl_fail_nomem(err);
	pl_arena_init(arena, 0);
	c->owned = arena;
	if (format == NULL || strcmp(format, PL_MANIFEST_FORMAT) != 0)
		return pl_fail(
		    err, PL_ERR_INVALID, PL_SEV_JOB, path, "not the manifest of a plait corpus");
	if (!json_is_integer(version) || json_integer_value(version) != PL_MANIFEST_VERSION)
		return pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_JOB, path,
		    "a corpus of another version of plait (this one reads version %d); ingest again",
		    PL_MANIFEST_VERSION);
	st = pl_source_load(json_object_get(root, "source"), path, arena, &c->source, err);
	if (st == PL_OK)
		st = load_stores(c, json_object_get(root, "stores"), path, err);
	if (st == PL_OK)
		st = load_shards(c, json_object_get(root, "shards"), path, err);
	if (st == PL_OK)
		st = pl_corpus_digest(&c->source, c->shards, c->nshards, c->digest, err);
	return st;
}

enum pl_status pl_corpus_open(struct pl_corpus *c, const char *dir, struct pl_err *err)
{
	json_t *root = NULL;
	char *path;
	enum pl_status st;

	memset(c, 0, sizeof(*c));
	path = pl_path_join(dir, PL_MANIFEST_NAME);
	c->dir = strdup(dir);
	if (path == NULL || c->dir == NULL) {
		st = pl_fail_nomem(err);
		goto out;
	}
	st = pl_json_load(path, PL_MANIFEST_MAX, &root, err);
	if (st == PL_ERR_NOTFOUND) {
		st = pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_JOB, dir,
		    "no corpus here (no " PL_MANIFEST_NAME
		    "); make one with 'plait ingest SHARD... -o %s'",
		    dir);
		goto out;
	}
	if (st == PL_OK)
		st = load_manifest(c, root, path, err);
	if (st == PL_OK)
		st = pl_corpus_load_notes(c, err);
	if (st != PL_OK && err != NULL)
		err->severity = PL_SEV_JOB;
out:
	json_decref(root);
	free(path);
	if (st != PL_OK)
		pl_corpus_close(c);
	return st;
}

void pl_corpus_close(struct pl_corpus *c)
{
	size_t i;

	if (c == NULL)
		return;
	for (i = 0; i < c->nshards; i++)
		pl_shard_facts_release(&c->shards[i]);
	for (i = 0; i < c->nstores; i++)
		free(c->stores[i]);
	pl_corpus_release_notes(c);
	free(c->shards);
	free(c->stores);
	free(c->dir);
	if (c->owned != NULL) {
		pl_arena_release(c->owned);
		free(c->owned);
	}
	memset(c, 0, sizeof(*c));
}

/* Open DIR/UNIT.what.npy and hold it to its columns and number of rows. */
static enum pl_status open_table(struct pl_npy *t, const struct pl_corpus *c, size_t shard,
    const char *what, const struct pl_npy_col *cols, size_t ncols, uint64_t nrows,
    struct pl_err *err)
{
	char *path = pl_table_path(c, shard, what);
	enum pl_status st;

	if (path == NULL)
		return pl_fail_nomem(err);
	st = pl_npy_open(t, path, err);
	if (st == PL_OK)
		st = pl_npy_expect(t, path, cols, ncols, err);
	if (st == PL_OK && t->nrows != nrows)
		st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, path,
		    "%" PRIu64 " rows where %" PRIu64
		    " are due; the table belongs to another run: make it again",
		    t->nrows, nrows);
	free(path);
	return st;
}

/* A verdict table that is not there is no error: its tool has not run. */
static enum pl_status open_verdict(struct pl_npy *t, const struct pl_corpus *c, size_t shard,
    const char *what, const struct pl_npy_col *cols, size_t ncols, uint64_t nrows,
    struct pl_err *err)
{
	enum pl_status st = open_table(t, c, shard, what, cols, ncols, nrows, err);

	if (st == PL_ERR_NOTFOUND) {
		memset(t, 0, sizeof(*t));
		return PL_OK;
	}
	return st;
}

static enum pl_status bad_row(
    const struct pl_corpus *c, size_t shard, const char *what, uint64_t row, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, c->shards[shard].path,
	    "row %" PRIu64 " of its %s table is damaged; ingest again", row, what);
}

/* Samples cover the images in order, and every index and enum is within its range. */
static enum pl_status check_rows(
    const struct pl_tables *t, const struct pl_corpus *c, size_t shard, struct pl_err *err)
{
	uint64_t i, k, next = 0;

	for (i = 0; i < t->samples.nrows; i++) {
		const struct pl_sample_row *s = pl_sample(t, i);

		if (s->first_image != next || s->images > t->images.nrows - next ||
		    s->images_ok > s->images || s->kind >= PL_KIND_COUNT ||
		    s->status >= PL_REASON_COUNT)
			return bad_row(c, shard, "samples", i, err);
		for (k = next; k < next + s->images; k++) {
			const struct pl_image_row *im = pl_image_at(t, k);

			if (im->sample != i || im->position != k - next ||
			    im->where > PL_WHERE_NOWHERE || im->format >= PL_FORMAT_COUNT ||
			    im->status >= PL_REASON_COUNT ||
			    (im->where == PL_WHERE_STORE && im->store >= c->nstores))
				return bad_row(c, shard, "images", k, err);
		}
		next += s->images;
	}
	return next == t->images.nrows ? PL_OK : bad_row(c, shard, "images", next, err);
}

/* The table of scores, if side files were joined. */
static enum pl_status open_scores(struct pl_npy *t, const struct pl_corpus *c, size_t shard, struct pl_err *err)
{
	struct pl_npy_col *cols = NULL;
	enum pl_status st;

	if (c->nscores == 0)
		return PL_OK;
	st = pl_score_schema(c->scores, c->nscores, &cols, err);
	if (st == PL_OK)
		st = open_table(t, c, shard, "scores", cols, c->nscores, c->shards[shard].samples, err);
	if (st == PL_OK && t->row_size != c->nscores * sizeof(double))
		st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, c->shards[shard].path,
		    "its scores table has columns that scores.json does not name; join the side files again");
	free(cols);
	return st;
}

enum pl_status pl_tables_open(
    struct pl_tables *t, const struct pl_corpus *c, size_t shard, struct pl_err *err)
{
	const struct pl_shard_facts *f = &c->shards[shard];
	struct pl_npy_col *cols = NULL;
	size_t ncols, row_size;
	enum pl_status st;

	memset(t, 0, sizeof(*t));
	st = pl_sample_schema(&c->source, &cols, &ncols, &row_size, err);
	if (st == PL_OK)
		st = open_table(&t->samples, c, shard, "samples", cols, ncols, f->samples, err);
	if (st == PL_OK && t->samples.row_size != row_size)
		st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, f->path,
		    "its samples table has columns the manifest does not name; ingest again");
	if (st == PL_OK)
		st = open_table(
		    &t->images, c, shard, "images", pl_image_cols, pl_image_ncols, f->images, err);
	if (st == PL_OK && t->images.row_size != sizeof(struct pl_image_row))
		st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, f->path,
		    "its images table is of another version; ingest again");
	if (st == PL_OK)
		st = check_rows(t, c, shard, err);
	if (st == PL_OK)
		st = open_scores(&t->scores, c, shard, err);
	if (st == PL_OK)
		st = open_verdict(&t->filter, c, shard, "filter", pl_filter_cols, pl_filter_ncols,
		    f->samples, err);
	if (st == PL_OK)
		st = open_verdict(&t->filter_images, c, shard, "filter-images", pl_filter_cols,
		    pl_filter_ncols, f->images, err);
	if (st == PL_OK)
		st = open_verdict(
		    &t->dedup, c, shard, "dedup", pl_dedup_cols, pl_dedup_ncols, f->samples, err);
	if (st == PL_OK)
		st = open_verdict(&t->dedup_images, c, shard, "dedup-images", pl_dedup_cols,
		    pl_dedup_ncols, f->images, err);
	if (st == PL_OK)
		st = open_verdict(
		    &t->concepts, c, shard, "concepts", pl_filter_cols, pl_filter_ncols, f->samples, err);
	free(cols);
	if (st != PL_OK) {
		pl_tables_close(t);
		/* A corpus without its tables cannot be worked on at all. */
		if (err != NULL)
			err->severity = PL_SEV_JOB;
	}
	return st;
}

void pl_tables_close(struct pl_tables *t)
{
	if (t == NULL)
		return;
	pl_npy_close(&t->samples);
	pl_npy_close(&t->images);
	pl_npy_close(&t->scores);
	pl_npy_close(&t->filter);
	pl_npy_close(&t->filter_images);
	pl_npy_close(&t->dedup);
	pl_npy_close(&t->dedup_images);
	pl_npy_close(&t->concepts);
	memset(t, 0, sizeof(*t));
}
