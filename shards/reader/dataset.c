/* SPDX-License-Identifier: Apache-2.0 */
/* Which shards there are and which numbers their samples have. */
#include "dataset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dataset_impl.h"
#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "libpipe/base/json.h"
#include "opened.h"

#define DESCRIPTION "dataset.json"
#define DESCRIPTION_MAX ((size_t)256 << 20)
#define SAMPLES_MAX ((uint64_t)1 << 40)

struct entry {
	char *path;
	uint64_t first, samples, images, tokens, bytes;
	char digest[33];              /* of the file; "" when nobody says */
	struct shard_opened *kept;    /* had to be unpacked */
};

struct shard_dataset {
	struct entry *shards;
	size_t n;
	uint64_t count;
	char *json;
	size_t json_len;
	uint64_t digest[2];
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* First numbers, total, digest; last of all. */
static enum pl_status settle(struct shard_dataset *d, struct pl_err *err)
{
	struct pl_hasher *h = pl_hasher_new();
	if (!h)
		return pl_fail_nomem(err);
	for (size_t k = 0; k < d->n; k++) {
		struct entry *e = &d->shards[k];
		const char *name = base_name(e->path);
		const uint64_t counts[2] = { e->samples, e->bytes };
		e->first = d->count;
		d->count += e->samples;
		pl_hasher_add(h, name, strlen(name) + 1);
		for (unsigned i = 0; i < 16; i++) {
			uint8_t byte = (uint8_t)(counts[i / 8] >> (8 * (i % 8)));
			pl_hasher_add(h, &byte, 1);
		}
		pl_hasher_add(h, e->digest, strlen(e->digest) + 1);
	}
	pl_hasher_digest(h, d->digest);
	pl_hasher_free(h);
	if (d->count > SAMPLES_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "a data set of more than 2^40 samples");
	return PL_OK;
}

static struct shard_dataset *new_dataset(size_t n)
{
	struct shard_dataset *d = calloc(1, sizeof *d);
	if (!d)
		return NULL;
	d->shards = calloc(n ? n : 1, sizeof *d->shards);
	if (!d->shards) {
		free(d);
		return NULL;
	}
	d->n = n;
	return d;
}

void shard_dataset_close(struct shard_dataset *d)
{
	if (!d)
		return;
	for (size_t k = 0; k < d->n; k++) {
		shard_opened_free(d->shards[k].kept);
		free(d->shards[k].path);
	}
	free(d->shards);
	free(d->json);
	free(d);
}

/* ---- dataset.json ------------------------------------------------------------------------------ */

static bool whole_number(const json_t *o, const char *key, bool optional, uint64_t *v)
{
	const json_t *j = json_object_get(o, key);
	*v = 0;
	if (!j)
		return optional;
	if (!json_is_integer(j) || json_integer_value(j) < 0)
		return false;
	*v = (uint64_t)json_integer_value(j);
	return true;
}

/* A file name and nothing that leads out of the directory. */
static bool plain_name(const char *name)
{
	return name && *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool digest_valid(const char *s)
{
	return strlen(s) == 32 && strspn(s, "0123456789abcdef") == 32;
}

static enum pl_status parse_shard(struct entry *e, const json_t *o, const char *dir, size_t k, const char *file,
    struct pl_err *err)
{
	const char *name = pl_json_str(o, "name"), *digest = pl_json_str(o, "xxh3_128"), *why = NULL;
	if (!json_is_object(o) || !plain_name(name))
		why = "'name' is not a file name";
	else if (!whole_number(o, "samples", false, &e->samples) || e->samples > SAMPLES_MAX)
		why = "'samples' is not a number of samples";
	else if (!whole_number(o, "bytes", false, &e->bytes))
		why = "'bytes' is not a number of bytes";
	else if (!whole_number(o, "images", true, &e->images) || !whole_number(o, "tokens", true, &e->tokens))
		why = "'images' or 'tokens' is not a whole number";
	else if (digest && !digest_valid(digest))
		why = "'xxh3_128' is not 32 hex digits";
	if (why)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, file, "shard %zu of 'shards': %s", k, why);
	if (digest)
		memcpy(e->digest, digest, sizeof e->digest);
	e->path = pl_path_join(dir, name);
	return e->path ? PL_OK : pl_fail_nomem(err);
}

static enum pl_status parse_shards(struct shard_dataset **out, const json_t *root, const char *dir, const char *file,
    struct pl_err *err)
{
	const json_t *shards = json_object_get(root, "shards");
	uint64_t total = 0;
	if (!json_is_array(shards))
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, file, "has no array 'shards'");
	struct shard_dataset *d = new_dataset(json_array_size(shards));
	if (!d)
		return pl_fail_nomem(err);
	enum pl_status status = PL_OK;
	for (size_t k = 0; k < d->n && status == PL_OK; k++) {
		status = parse_shard(&d->shards[k], json_array_get(shards, k), dir, k, file, err);
		total += d->shards[k].samples;
		if (status == PL_OK && total > SAMPLES_MAX)
			status = pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, file, "more than 2^40 samples");
	}
	if (status == PL_OK)
		status = settle(d, err);
	if (status != PL_OK) {
		shard_dataset_close(d);
		return status;
	}
	*out = d;
	return PL_OK;
}

enum pl_status shard_dataset_parse(struct shard_dataset **d, const char *dir, const char *text, size_t len, struct pl_err *err)
{
	json_t *root;
	*d = NULL;
	enum pl_status status = pl_json_parse(text, len, &root, err);
	if (status != PL_OK)
		return status;
	status = parse_shards(d, root, dir, DESCRIPTION, err);
	json_decref(root);
	return status;
}

/* file: the dataset.json of dir. */
static enum pl_status open_description(struct shard_dataset **d, const char *dir, const char *file, struct pl_err *err)
{
	char *text;
	size_t len;
	enum pl_status status = pl_file_read(file, DESCRIPTION_MAX, &text, &len, err);
	if (status == PL_ERR_NOTFOUND)
		return pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_JOB, dir,
		    "has no " DESCRIPTION ": not a data set, or one that is not finished (its shards can be opened by name)");
	if (status != PL_OK)
		return status;
	status = shard_dataset_parse(d, dir, text, len, err);
	if (status != PL_OK) {
		free(text);
		if (err)
			(void)snprintf(err->path, sizeof err->path, "%s", file);
		return status;
	}
	(*d)->json = text;
	(*d)->json_len = len;
	return PL_OK;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static enum pl_status count_shard(struct entry *e, size_t k, const char *path, struct pl_err *err)
{
	struct stat st;
	struct shard_opened *o;
	e->path = strdup(path);
	if (!e->path)
		return pl_fail_nomem(err);
	if (stat(path, &st) != 0)
		return pl_fail_errno(err, PL_SEV_SHARD, path, "cannot open");
	enum pl_status status = shard_opened_new(&o, e->path, k, err);
	if (status != PL_OK)
		return status;
	e->samples = o->n;
	e->bytes = (uint64_t)st.st_size;
	if (o->spooled)
		e->kept = o;
	else
		shard_opened_free(o);
	return PL_OK;
}

enum pl_status shard_dataset_open_shards(struct shard_dataset **out, const char *const *paths, size_t n, struct pl_err *err)
{
	*out = NULL;
	struct shard_dataset *d = new_dataset(n);
	if (!d)
		return pl_fail_nomem(err);
	enum pl_status status = PL_OK;
	for (size_t k = 0; k < n && status == PL_OK; k++)
		status = count_shard(&d->shards[k], k, paths[k], err);
	if (status == PL_OK)
		status = settle(d, err);
	if (status != PL_OK) {
		shard_dataset_close(d);
		return status;
	}
	*out = d;
	return PL_OK;
}

static enum pl_status open_in(struct shard_dataset **d, const char *path, bool is_dir, struct pl_err *err)
{
	const char *name = base_name(path);
	char *dir = is_dir ? strdup(path) : name == path ? strdup(".") : strndup(path, (size_t)(name - path));
	char *file = is_dir ? pl_path_join(path, DESCRIPTION) : strdup(path);
	enum pl_status status = dir && file ? open_description(d, dir, file, err) : pl_fail_nomem(err);
	free(dir);
	free(file);
	return status;
}

enum pl_status shard_dataset_open(struct shard_dataset **d, const char *path, struct pl_err *err)
{
	struct stat st;
	*d = NULL;
	if (stat(path, &st) != 0)
		return pl_fail_errno(err, PL_SEV_JOB, path, "cannot open");
	if (S_ISDIR(st.st_mode) || strcmp(base_name(path), DESCRIPTION) == 0)
		return open_in(d, path, S_ISDIR(st.st_mode), err);
	return shard_dataset_open_shards(d, &path, 1, err);
}

/* ---- asking ------------------------------------------------------------------------------------ */

uint64_t shard_dataset_count(const struct shard_dataset *d)
{
	return d->count;
}

size_t shard_dataset_shards(const struct shard_dataset *d)
{
	return d->n;
}

struct shard_dataset_shard shard_dataset_shard(const struct shard_dataset *d, size_t k)
{
	const struct entry *e = &d->shards[k];
	return (struct shard_dataset_shard) { .path = e->path, .first = e->first, .samples = e->samples, .images = e->images,
		.tokens = e->tokens, .bytes = e->bytes };
}

size_t shard_dataset_locate(const struct shard_dataset *d, uint64_t i)
{
	/* The last shard that begins at or before i: empty ones share their successor's first number. */
	size_t low = 0, high = d->n;
	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;
		if (d->shards[mid].first <= i)
			low = mid;
		else
			high = mid;
	}
	return low;
}

void shard_dataset_digest(const struct shard_dataset *d, uint64_t hash[2])
{
	memcpy(hash, d->digest, sizeof d->digest);
}

const char *shard_dataset_json(const struct shard_dataset *d, size_t *len)
{
	*len = d->json_len;
	return d->json;
}

struct shard_opened *shard_dataset_kept(const struct shard_dataset *d, size_t k)
{
	return d->shards[k].kept;
}

enum pl_status shard_dataset_sample_bytes(const struct shard_dataset *d, uint64_t *bytes, struct pl_err *err)
{
	struct shard_set set;
	struct shard_opened *o;
	size_t k = 0;
	*bytes = 1;
	while (k < d->n && d->shards[k].samples == 0)
		k++;
	if (k == d->n)
		return PL_OK;
	enum pl_status status = shard_set_init(&set, d, 1, err);
	if (status == PL_OK) {
		o = shard_dataset_kept(d, k);
		if (!o)
			status = shard_set_open(&set, k, &o, err);
		if (status == PL_OK) {
			*bytes = o->pieces[o->npieces].offset / o->n;
			if (!shard_dataset_kept(d, k))
				shard_opened_free(o);
		}
	}
	shard_set_release(&set);
	return status;
}
