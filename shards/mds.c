/* SPDX-License-Identifier: Apache-2.0 */
/* Reading MDS shards: every number in one is a claim, held against what the
 * file's size allows before it is used. */
#include "mds.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "le.h"
#include "libpipe/base/json.h"

/* A configuration is some hundred bytes; this is room for SHARD_MDS_COLUMNS_MAX columns. */
#define CONFIG_MAX ((uint64_t)1 << 20)

static enum pl_status wrong(const struct shard_mds *m, const char *what, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, m->path, "is no MDS shard: %s", what);
}

/* u32 number k of the head. */
static enum pl_status read_u32(struct shard_mds *m, uint64_t k, uint32_t *v, struct pl_err *err)
{
	uint8_t b[4];
	enum pl_status st = shard_bytes_read(m->bytes, 4 * k, b, sizeof(b), err);

	if (st == PL_OK)
		*v = shard_le32(b);
	return st;
}

static enum pl_status take_column(struct shard_mds *m, const json_t *name, const json_t *encoding, const json_t *size, struct pl_err *err)
{
	const char *called = json_string_value(name), *how = json_string_value(encoding);
	json_int_t n = json_is_null(size) ? 0 : json_integer_value(size);
	struct shard_mds_column c;

	if (called == NULL || how == NULL || (!json_is_null(size) && (!json_is_integer(size) || n <= 0 || n > INT32_MAX)))
		return wrong(m, "a column has no proper name, encoding or size", err);
	for (size_t i = 0; i < m->ncolumns; i++)
		if (m->columns[i].name != NULL && strcmp(m->columns[i].name, called) == 0)
			return wrong(m, "two columns have one name", err);
	c = (struct shard_mds_column){strdup(called), strdup(how), (uint32_t)n};
	if (c.name == NULL || c.encoding == NULL) {
		free(c.name);
		free(c.encoding);
		return pl_fail_nomem(err);
	}
	m->columns[m->ncolumns++] = c;
	return PL_OK;
}

static enum pl_status take_config(struct shard_mds *m, const char *text, size_t len, struct pl_err *err)
{
	json_t *config = NULL;
	const json_t *names, *encodings, *sizes;
	size_t n;
	enum pl_status st = pl_json_parse(text, len, &config, NULL);

	if (st == PL_ERR_NOMEM)
		return pl_fail_nomem(err);
	names = json_object_get(config, "column_names");
	encodings = json_object_get(config, "column_encodings");
	sizes = json_object_get(config, "column_sizes");
	n = json_array_size(names);
	if (st != PL_OK || !json_is_array(names) || json_array_size(encodings) != n || json_array_size(sizes) != n)
		st = wrong(m, "its configuration does not name its columns", err);
	else if (n == 0 || n > SHARD_MDS_COLUMNS_MAX)
		st = wrong(m, "it has no columns, or more than 1024", err);
	else if ((m->columns = calloc(n, sizeof(*m->columns))) == NULL)
		st = pl_fail_nomem(err);
	for (size_t i = 0; i < n && st == PL_OK; i++)
		st = take_column(m, json_array_get(names, i), json_array_get(encodings, i), json_array_get(sizes, i), err);
	json_decref(config);
	return st;
}

static enum pl_status read_head(struct shard_mds *m, struct pl_err *err)
{
	uint64_t size = shard_bytes_size(m->bytes), at;
	uint32_t n = 0, first = 0, last = 0;
	char *text;
	enum pl_status st;

	if (size < 8)
		return wrong(m, "it is too short", err);
	if ((st = read_u32(m, 0, &n, err)) != PL_OK)
		return st;
	at = 4 * ((uint64_t)n + 2);   /* of the configuration */
	if (at > size)
		return wrong(m, "it counts more samples than its size allows", err);
	if ((st = read_u32(m, 1, &first, err)) != PL_OK || (st = read_u32(m, (uint64_t)n + 1, &last, err)) != PL_OK)
		return st;
	if (first < at || first > size || last < first)
		return wrong(m, "its offsets are out of order", err);
	if (last > size)
		return pl_fail(err, PL_ERR_TRUNCATED, PL_SEV_SHARD, m->path, "has %llu bytes of %u", (unsigned long long)size, last);
	if (first - at > CONFIG_MAX)
		return wrong(m, "its configuration is over 1 MiB", err);
	m->n = n;
	text = malloc((size_t)(first - at) + 1);
	if (text == NULL)
		return pl_fail_nomem(err);
	st = shard_bytes_read(m->bytes, at, text, (size_t)(first - at), err);
	if (st == PL_OK)
		st = take_config(m, text, (size_t)(first - at), err);
	free(text);
	return st;
}

enum pl_status shard_mds_open(struct shard_mds *m, struct shard_bytes *b, const char *path, struct pl_err *err)
{
	enum pl_status st;

	memset(m, 0, sizeof(*m));
	m->bytes = b;
	m->path = strdup(path);
	st = m->path != NULL ? read_head(m, err) : pl_fail_nomem(err);
	if (st != PL_OK)
		shard_mds_close(m);
	return st;
}

void shard_mds_close(struct shard_mds *m)
{
	for (size_t i = 0; i < m->ncolumns; i++) {
		free(m->columns[i].name);
		free(m->columns[i].encoding);
	}
	free(m->columns);
	free(m->path);
	memset(m, 0, sizeof(*m));
}

enum pl_status shard_mds_range(struct shard_mds *m, uint64_t i, uint64_t *offset, uint64_t *length, struct pl_err *err)
{
	uint8_t b[8];
	uint32_t from, to;
	enum pl_status st;

	*offset = *length = 0;
	if (i >= m->n)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, m->path, "has no sample %llu", (unsigned long long)i);
	st = shard_bytes_read(m->bytes, 4 * (i + 1), b, sizeof(b), err);
	if (st != PL_OK)
		return st;
	from = shard_le32(b);
	to = shard_le32(b + 4);
	if (from < 4 * (m->n + 2) || to < from || to > shard_bytes_size(m->bytes))
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, m->path, "the offsets of sample %llu are out of order", (unsigned long long)i);
	*offset = from;
	*length = to - from;
	return PL_OK;
}

bool shard_mds_split(const struct shard_mds *m, const uint8_t *data, size_t len, struct shard_mds_value *values)
{
	size_t heads = 0, at, k = 0;

	for (size_t i = 0; i < m->ncolumns; i++)
		heads += m->columns[i].size == 0;
	if (len / 4 < heads)
		return false;
	at = 4 * heads;
	for (size_t i = 0; i < m->ncolumns; i++) {
		size_t size = m->columns[i].size != 0 ? m->columns[i].size : shard_le32(data + 4 * k++);
		if (size > len - at)
			return false;
		values[i] = (struct shard_mds_value){data + at, size};
		at += size;
	}
	return at == len;
}

bool shard_mds_list(const struct shard_mds_value *v, bool bare, struct shard_mds_value *elements, size_t *n)
{
	size_t head = bare ? 4 : 8, count, at;   /* a list begins with four bytes kept for later versions */

	if (v->len < head)
		return false;
	count = shard_le32(v->data + head - 4);
	if (count > (v->len - head) / 4)
		return false;
	at = head + 4 * count;
	for (size_t i = 0; i < count; i++) {
		size_t size = shard_le32(v->data + head + 4 * i);
		if (size > v->len - at)
			return false;
		if (elements != NULL)
			elements[i] = (struct shard_mds_value){v->data + at, size};
		at += size;
	}
	*n = count;
	return at == v->len;
}

bool shard_mds_name(const char *path)
{
	static const char *const ends[] = {".mds", ".mds.zstd", ".mds.zst", ".mds.gz", ".mds.bz2"};
	size_t len = strlen(path);

	for (size_t i = 0; i < PL_ARRAY_LEN(ends); i++) {
		size_t n = strlen(ends[i]);
		if (len > n && strcmp(path + len - n, ends[i]) == 0)
			return true;
	}
	return false;
}
