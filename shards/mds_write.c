/* SPDX-License-Identifier: Apache-2.0 */
/* Writing MDS shards. The head of a shard counts and places its samples, so a
 * shard is put together in memory and written at its end. */
#include "mds.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "le.h"
#include "libpipe/base/file.h"
#include "libpipe/base/json.h"

/* Offsets are u32. */
#define SHARD_MAX ((uint64_t)UINT32_MAX)
/* Streaming's own default for zstd. */
enum { LEVEL = 3 };

struct shard_mds_writer {
	struct shard_mds_writer_options o;
	char *dir, *prefix;
	char *config;            /* JSON of the columns: in every shard */
	char *members;           /* the same, as the index has it, and what else is the same for all shards */
	uint64_t shards;         /* written */
	struct pl_buf data;      /* samples of the shard under way */
	uint32_t *ends;          /* of each, in data */
	uint64_t n, cap;
	struct pl_buf entries, names;
	uint64_t bytes;          /* of all files */
};

static json_t *columns_json(const struct shard_mds_writer_options *o)
{
	json_t *names = json_array(), *encodings = json_array(), *sizes = json_array();
	bool bad = names == NULL || encodings == NULL || sizes == NULL;

	for (size_t i = 0; i < o->ncolumns && !bad; i++)
		bad = json_array_append_new(names, json_string(o->columns[i].name)) != 0 ||
		    json_array_append_new(encodings, json_string(o->columns[i].encoding)) != 0 ||
		    json_array_append_new(sizes, o->columns[i].size != 0 ? json_integer(o->columns[i].size) : json_null()) != 0;
	if (bad) {
		json_decref(names);
		json_decref(encodings);
		json_decref(sizes);
		return NULL;
	}
	return json_pack("{s:o,s:o,s:o,s:o,s:s,s:[s],s:I,s:i}", "column_encodings", encodings, "column_names", names, "column_sizes", sizes,
	    "compression", o->zstd ? json_string("zstd") : json_null(), "format", "mds", "hashes", "xxh3_64", "size_limit",
	    (json_int_t)o->size_limit, "version", 2);
}

static enum pl_status make_config(struct shard_mds_writer *w, struct pl_err *err)
{
	json_t *config = columns_json(&w->o);
	struct pl_buf b;
	enum pl_status st;

	pl_buf_init(&b, 0);
	st = config != NULL ? pl_json_dump(config, false, &b, err) : pl_fail_nomem(err);
	json_decref(config);
	if (st == PL_OK) {
		w->config = pl_buf_detach(&b, NULL);
		/* without its closing brace: more members follow */
		w->members = strndup(w->config, strlen(w->config) - 1);
		if (w->members == NULL)
			st = pl_fail_nomem(err);
	}
	pl_buf_release(&b);
	return st;
}

enum pl_status shard_mds_writer_open(struct shard_mds_writer **out, const char *dir, const char *prefix,
    const struct shard_mds_writer_options *o, struct pl_err *err)
{
	struct shard_mds_writer *w = calloc(1, sizeof(*w));
	enum pl_status st;

	*out = NULL;
	if (w == NULL)
		return pl_fail_nomem(err);
	w->o = *o;
	w->dir = strdup(dir);
	w->prefix = strdup(prefix);
	pl_buf_init(&w->data, SHARD_MAX);
	pl_buf_init(&w->entries, 0);
	pl_buf_init(&w->names, 0);
	st = w->dir != NULL && w->prefix != NULL ? make_config(w, err) : pl_fail_nomem(err);
	if (st != PL_OK) {
		shard_mds_writer_free(w);
		return st;
	}
	*out = w;
	return PL_OK;
}

void shard_mds_writer_free(struct shard_mds_writer *w)
{
	if (w == NULL)
		return;
	pl_buf_release(&w->data);
	pl_buf_release(&w->entries);
	pl_buf_release(&w->names);
	free(w->dir);
	free(w->prefix);
	free(w->config);
	free(w->members);
	free(w->ends);
	free(w);
}

/* ---- a shard ---- */

/* Number of samples, offsets, configuration. */
static enum pl_status put_head(const struct shard_mds_writer *w, struct pl_buf *out, struct pl_err *err)
{
	size_t config = strlen(w->config), head = 4 * ((size_t)w->n + 2) + config;
	uint8_t *p;
	enum pl_status st = pl_buf_reserve(out, head + w->data.len, err);

	if (st != PL_OK)
		return st;
	p = out->data;
	shard_put32(p, (uint32_t)w->n);
	shard_put32(p + 4, (uint32_t)head);
	for (uint64_t i = 0; i < w->n; i++)
		shard_put32(p + 8 + 4 * i, (uint32_t)head + w->ends[i]);
	memcpy(p + 4 * (w->n + 2), w->config, config);
	out->len = head;
	return PL_OK;
}

static enum pl_status compress(const struct pl_buf *raw, struct pl_buf *out, struct pl_err *err)
{
	size_t most = ZSTD_compressBound(raw->len), got;
	enum pl_status st = pl_buf_reserve(out, most, err);

	if (st != PL_OK)
		return st;
	got = ZSTD_compress(out->data, most, raw->data, raw->len, LEVEL);
	if (ZSTD_isError(got))
		return pl_fail(err, PL_ERR_NOMEM, PL_SEV_JOB, NULL, "zstd: %s", ZSTD_getErrorName(got));
	out->len = got;
	return PL_OK;
}

/* "name":{"basename":...,"bytes":...,"hashes":{...}} */
static enum pl_status put_file(struct shard_mds_writer *w, const char *name, const char *ending, const struct pl_buf *file, struct pl_err *err)
{
	XXH64_hash_t hash = XXH3_64bits(file->data, file->len);

	return pl_buf_addf(&w->entries, err, ",\"%s\":{\"basename\":\"%s-%02llu%s\",\"bytes\":%zu,\"hashes\":{\"xxh3_64\":\"%016llx\"}}", name,
	    w->prefix, (unsigned long long)w->shards, ending, file->len, (unsigned long long)hash);
}

static enum pl_status put_entry(struct shard_mds_writer *w, const struct pl_buf *raw, const struct pl_buf *zip, struct pl_err *err)
{
	enum pl_status st = pl_buf_addf(&w->entries, err, "%s%s", w->shards > 0 ? "," : "", w->members);

	if (st == PL_OK)
		st = put_file(w, "raw_data", ".mds", raw, err);
	if (st == PL_OK)
		st = pl_buf_addf(&w->entries, err, ",\"samples\":%llu", (unsigned long long)w->n);
	if (st == PL_OK)
		st = zip != NULL ? put_file(w, "zip_data", ".mds.zstd", zip, err) : pl_buf_adds(&w->entries, ",\"zip_data\":null", err);
	return st == PL_OK ? pl_buf_adds(&w->entries, "}", err) : st;
}

static enum pl_status write_file(struct shard_mds_writer *w, const char *ending, const struct pl_buf *file, struct pl_err *err)
{
	struct pl_buf path;
	size_t dir = strlen(w->dir) + 1;
	enum pl_status st;

	pl_buf_init(&path, 0);
	st = pl_buf_addf(&path, err, "%s/%s-%02llu%s", w->dir, w->prefix, (unsigned long long)w->shards, ending);
	if (st == PL_OK)
		st = pl_file_write((char *)path.data, file->data, file->len, err);
	if (st == PL_OK)
		st = pl_buf_addf(&w->names, err, "%s\n", (char *)path.data + dir);
	w->bytes += file->len;
	pl_buf_release(&path);
	return st;
}

static enum pl_status write_shard(struct shard_mds_writer *w, struct pl_err *err)
{
	struct pl_buf raw, zip;
	enum pl_status st;

	pl_buf_init(&raw, (size_t)SHARD_MAX + 1);
	pl_buf_init(&zip, (size_t)SHARD_MAX + (SHARD_MAX >> 6));
	st = put_head(w, &raw, err);
	if (st == PL_OK)
		st = pl_buf_add(&raw, w->data.data, w->data.len, err);
	if (st == PL_OK && w->o.zstd)
		st = compress(&raw, &zip, err);
	if (st == PL_OK)
		st = put_entry(w, &raw, w->o.zstd ? &zip : NULL, err);
	if (st == PL_OK)
		st = write_file(w, w->o.zstd ? ".mds.zstd" : ".mds", w->o.zstd ? &zip : &raw, err);
	pl_buf_release(&raw);
	pl_buf_release(&zip);
	w->shards++;
	w->n = 0;
	pl_buf_clear(&w->data);
	return st;
}

/* ---- samples ---- */

static enum pl_status room_for_one(struct shard_mds_writer *w, struct pl_err *err)
{
	uint64_t cap = w->cap != 0 ? 2 * w->cap : 1024;
	uint32_t *ends;

	if (w->n < w->cap)
		return PL_OK;
	ends = realloc(w->ends, cap * sizeof(*ends));
	if (ends == NULL)
		return pl_fail_nomem(err);
	w->ends = ends;
	w->cap = cap;
	return PL_OK;
}

static uint64_t head_size(const struct shard_mds_writer *w, uint64_t samples)
{
	return 4 * (samples + 2) + strlen(w->config);
}

static enum pl_status put_sample(struct shard_mds_writer *w, const struct shard_mds_value *values, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < w->o.ncolumns && st == PL_OK; i++) {
		uint8_t size[4];
		if (w->o.columns[i].size != 0)
			continue;
		shard_put32(size, (uint32_t)values[i].len);
		st = pl_buf_add(&w->data, size, sizeof(size), err);
	}
	for (size_t i = 0; i < w->o.ncolumns && st == PL_OK; i++)
		st = pl_buf_add(&w->data, values[i].data, values[i].len, err);
	return st;
}

enum pl_status shard_mds_writer_add(struct shard_mds_writer *w, const struct shard_mds_value *values, struct pl_err *err)
{
	uint64_t size = 0;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < w->o.ncolumns; i++)
		size += values[i].len + (w->o.columns[i].size == 0 ? 4 : 0);
	if (head_size(w, 1) + size > SHARD_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_ITEM, NULL, "MDS holds no sample of 4 GiB");
	if (w->n > 0 && (head_size(w, w->n + 1) + w->data.len + size > w->o.size_limit || head_size(w, w->n + 1) + w->data.len + size > SHARD_MAX))
		st = write_shard(w, err);
	if (st == PL_OK)
		st = room_for_one(w, err);
	if (st == PL_OK)
		st = put_sample(w, values, err);
	if (st == PL_OK)
		w->ends[w->n++] = (uint32_t)w->data.len;
	return st;
}

enum pl_status shard_mds_writer_commit(struct shard_mds_writer *w, const char **entries, const char **names, uint64_t *bytes,
    struct pl_err *err)
{
	enum pl_status st = w->n > 0 ? write_shard(w, err) : PL_OK;

	*entries = w->entries.len > 0 ? (char *)w->entries.data : "";
	*names = w->names.len > 0 ? (char *)w->names.data : "";
	*bytes = w->bytes;
	return st;
}

enum pl_status shard_mds_put_list(struct pl_buf *out, const struct shard_mds_value *elements, size_t n, struct pl_err *err)
{
	uint8_t b[8] = {0};
	enum pl_status st;

	if (n > UINT32_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_ITEM, NULL, "MDS holds no list of so many elements");
	shard_put32(b + 4, (uint32_t)n);
	st = pl_buf_add(out, b, sizeof(b), err);
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		if (elements[i].len > UINT32_MAX)
			return pl_fail(err, PL_ERR_LIMIT, PL_SEV_ITEM, NULL, "MDS holds no value of 4 GiB");
		shard_put32(b, (uint32_t)elements[i].len);
		st = pl_buf_add(out, b, 4, err);
	}
	for (size_t i = 0; i < n && st == PL_OK; i++)
		st = pl_buf_add(out, elements[i].data, elements[i].len, err);
	return st;
}
