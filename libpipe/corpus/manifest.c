/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.json: what a corpus was made from and how. Sorted and in fixed key
 * order, so that the same corpus has the same manifest. */
#include "manifest.h"

#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "libpipe/base/opt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_path(const void *a, const void *b)
{
	const struct pl_shard_facts *const *x = a, *const *y = b;

	return strcmp((*x)->path, (*y)->path);
}

static int by_unit(const void *a, const void *b)
{
	const struct pl_shard_facts *const *x = a, *const *y = b;

	return strcmp((*x)->unit, (*y)->unit);
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static enum pl_status pointers(const struct pl_shard_facts *shards, size_t n,
    const struct pl_shard_facts ***out, struct pl_err *err)
{
	const struct pl_shard_facts **p = calloc(n + 1, sizeof(*p));
	size_t i;

	if (p == NULL)
		return pl_fail_nomem(err);
	for (i = 0; i < n; i++)
		p[i] = &shards[i];
	*out = p;
	return PL_OK;
}

enum pl_status pl_corpus_digest(const struct pl_source *source, const struct pl_shard_facts *shards,
    size_t n, uint64_t digest[2], struct pl_err *err)
{
	const struct pl_shard_facts **p = NULL;
	struct pl_hasher *h = pl_hasher_new();
	struct pl_buf text;
	json_t *j = NULL;
	enum pl_status st;
	char hex[33];
	size_t i;

	pl_buf_init(&text, 0);
	if (h == NULL) {
		st = pl_fail_nomem(err);
		goto out;
	}
	st = pl_source_dump(source, false, &j, err);
	if (st == PL_OK)
		st = pl_json_dump(j, false, &text, err);
	if (st == PL_OK)
		st = pointers(shards, n, &p, err);
	if (st != PL_OK)
		goto out;
	pl_hasher_add(h, text.data, text.len);
	/* By unit: the order of paths depends on where the shards lie. */
	qsort(p, n, sizeof(struct pl_shard_facts *), by_unit);
	for (i = 0; i < n; i++) {
		pl_buf_clear(&text);
		pl_hash128_hex(p[i]->hash, hex);
		st = pl_buf_addf(&text, err, "\n%s %s %" PRIu64 " %" PRIu64 " %" PRIu64, p[i]->unit,
		    hex, p[i]->samples, p[i]->images, p[i]->kept);
		if (st != PL_OK)
			goto out;
		pl_hasher_add(h, text.data, text.len);
	}
	pl_hasher_digest(h, digest);
out:
	json_decref(j);
	free(p);
	pl_buf_release(&text);
	pl_hasher_free(h);
	return st;
}

/* Two shards of one stem would write the same tables. */
static enum pl_status check_units(const struct pl_shard_facts *shards, size_t n, struct pl_err *err)
{
	const struct pl_shard_facts **p = NULL;
	enum pl_status st = pointers(shards, n, &p, err);
	size_t i;

	if (st != PL_OK)
		return st;
	qsort(p, n, sizeof(struct pl_shard_facts *), by_unit);
	for (i = 1; i < n && st == PL_OK; i++)
		if (strcmp(p[i - 1]->unit, p[i]->unit) == 0)
			st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, p[i]->path,
			    "names the same tables (%s.*.npy) as '%s'; rename one, or make two corpora",
			    p[i]->unit, p[i - 1]->path);
	free(p);
	return st;
}

static enum pl_status add_shards(
    json_t *root, const struct pl_shard_facts *const *p, size_t n, struct pl_err *err)
{
	uint64_t samples = 0, images = 0, kept = 0;
	json_t *list = json_array(), *one;
	enum pl_status st;
	size_t i;
	int bad = 0;

	if (list == NULL)
		return pl_fail_nomem(err);
	for (i = 0; i < n; i++) {
		st = pl_shard_facts_dump(p[i], &one, err);
		if (st != PL_OK) {
			json_decref(list);
			return st;
		}
		bad |= json_array_append_new(list, one);
		samples += p[i]->samples;
		images += p[i]->images;
		kept += p[i]->kept;
	}
	bad |= json_object_set_new(root, "samples", json_integer((json_int_t)samples));
	bad |= json_object_set_new(root, "images", json_integer((json_int_t)images));
	bad |= json_object_set_new(root, "kept", json_integer((json_int_t)kept));
	bad |= json_object_set_new(root, "shards", list);
	return bad != 0 ? pl_fail_nomem(err) : PL_OK;
}

static enum pl_status add_stores(json_t *root, char *const *stores, size_t n, struct pl_err *err)
{
	const char **sorted = calloc(n + 1, sizeof(*sorted));
	json_t *list = json_array();
	size_t i;
	int bad = 0;

	if (sorted == NULL || list == NULL) {
		json_decref(list);
		free(sorted);
		return pl_fail_nomem(err);
	}
	for (i = 0; i < n; i++)
		sorted[i] = stores[i];
	/* Rows name stores by number, so the order given must be the sorted one already. */
	qsort(sorted, n, sizeof(*sorted), by_text);
	for (i = 0; i < n; i++) {
		if (strcmp(sorted[i], stores[i]) != 0) {
			json_decref(list);
			free(sorted);
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, stores[i],
			    "image tars are not sorted by name");
		}
		bad |= json_array_append_new(list, json_string(stores[i]));
	}
	free(sorted);
	bad |= json_object_set_new(root, "stores", list);
	return bad != 0 ? pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_JOB, NULL,
			      "an image tar's path is not UTF-8, or memory is out")
			: PL_OK;
}

static enum pl_status build(json_t *root, const struct pl_source *source,
    const struct pl_shard_facts *const *sorted, const struct pl_shard_facts *shards, size_t nshards,
    char *const *stores, size_t nstores, struct pl_err *err)
{
	uint64_t digest[2];
	char hex[33];
	json_t *j;
	enum pl_status st;

	if (json_object_set_new(root, "format", json_string(PL_MANIFEST_FORMAT)) != 0 ||
	    json_object_set_new(root, "version", json_integer(PL_MANIFEST_VERSION)) != 0 ||
	    json_object_set_new(root, "plait", json_string(PL_VERSION)) != 0)
		return pl_fail_nomem(err);
	st = pl_source_dump(source, true, &j, err);
	if (st == PL_OK && json_object_set_new(root, "source", j) != 0)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = pl_corpus_digest(source, shards, nshards, digest, err);
	if (st != PL_OK)
		return st;
	pl_hash128_hex(digest, hex);
	if (json_object_set_new(root, "digest", json_string(hex)) != 0)
		return pl_fail_nomem(err);
	st = add_stores(root, stores, nstores, err);
	return st == PL_OK ? add_shards(root, sorted, nshards, err) : st;
}

enum pl_status pl_corpus_write_manifest(const char *dir, const struct pl_source *source,
    const struct pl_shard_facts *shards, size_t nshards, char *const *stores, size_t nstores,
    struct pl_err *err)
{
	const struct pl_shard_facts **sorted = NULL;
	struct pl_buf text;
	char *path = NULL;
	json_t *root = json_object();
	enum pl_status st;

	pl_buf_init(&text, PL_MANIFEST_MAX);
	if (root == NULL) {
		st = pl_fail_nomem(err);
		goto out;
	}
	st = pl_source_check(source, err);
	if (st == PL_OK)
		st = check_units(shards, nshards, err);
	if (st == PL_OK)
		st = pointers(shards, nshards, &sorted, err);
	if (st != PL_OK)
		goto out;
	qsort(sorted, nshards, sizeof(struct pl_shard_facts *), by_path);
	st = build(root, source, sorted, shards, nshards, stores, nstores, err);
	if (st == PL_OK)
		st = pl_json_dump(root, true, &text, err);
	if (st == PL_OK)
		st = pl_buf_adds(&text, "\n", err);
	if (st != PL_OK)
		goto out;
	path = pl_path_join(dir, PL_MANIFEST_NAME);
	st = path != NULL ? pl_file_write(path, text.data, text.len, err) : pl_fail_nomem(err);
out:
	free(path);
	free(sorted);
	json_decref(root);
	pl_buf_release(&text);
	return st;
}
