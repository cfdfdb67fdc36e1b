/* SPDX-License-Identifier: Apache-2.0 */
/* A member is read twice: once to learn its place and size, and again alone. The
 * table of names has the decoded size, so the member's own length is found again
 * by looking for its end. */
#include "image_json.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base64.h"
#include "kinds.h"
#include "records.h"

/* Of a member: a GiB of base64 with its escapes. */
#define MEMBER_MAX ((uint64_t)2 << 30)
enum { SLACK = 4096 };

bool pl_image_json_name(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot != NULL && strcasecmp(dot, ".json") == 0;
}

/* The base64 text of {"ID": "..."}, behind "data:...,"; NULL = it is none. */
static const char *base64_of(json_t *v, const char **id, size_t *len)
{
	void *it = json_object_iter(v);
	const json_t *text = json_object_iter_value(it);
	const char *s = json_string_value(text), *comma;

	*len = json_string_length(text);
	if (json_object_size(v) != 1 || s == NULL)
		return NULL;
	*id = json_object_iter_key(it);
	if (*len >= 5 && memcmp(s, "data:", 5) == 0) {
		comma = memchr(s, ',', *len);
		if (comma == NULL)
			return NULL;
		*len -= (size_t)(comma + 1 - s);
		s = comma + 1;
	}
	return s;
}

/* Decode the member text[len]: *bytes is the caller's, NULL = no image. *v keeps *id alive. */
static enum pl_status decode(const char *text, size_t len, json_t **v, const char **id, uint8_t **bytes, size_t *n, struct pl_err *err)
{
	enum pl_reason why;
	enum pl_status st = pl_parse_record(text, len, v, &why, err);
	const char *base64;
	size_t base64_len;

	*bytes = NULL;
	if (st != PL_OK || *v == NULL || (base64 = base64_of(*v, id, &base64_len)) == NULL)
		return st;
	*bytes = malloc(pl_base64_bound(base64_len) + 1);
	if (*bytes == NULL)
		return pl_fail_nomem(err);
	if (!pl_base64_decode(base64, base64_len, *bytes, n) || *n == 0) {
		free(*bytes);
		*bytes = NULL;
	}
	return PL_OK;
}

enum pl_status pl_image_json_list(const char *path,
    enum pl_status (*add)(void *ctx, const char *id, uint64_t offset, uint64_t length, struct pl_err *err), void *ctx,
    struct pl_err *err)
{
	struct pl_records *r = NULL;
	struct pl_record_text text;
	enum pl_status st = pl_records_open_members(&r, path, MEMBER_MAX, err);

	if (st != PL_OK)
		return st;
	while ((st = pl_records_next(r, &text, err)) == PL_OK) {
		uint8_t *bytes = NULL;
		json_t *v = NULL;
		const char *id;
		size_t n;

		if (text.too_large)
			continue;
		st = decode(text.text, text.len, &v, &id, &bytes, &n, err);
		if (st == PL_OK && bytes != NULL)
			st = add(ctx, id, text.offset, n, err);
		free(bytes);
		json_decref(v);
		if (st != PL_OK)
			break;
	}
	pl_records_close(r);
	return st == PL_END ? PL_OK : st;
}

/* Behind the second string of "ID": "..."; 0 = it does not end within. */
static size_t end_of_member(const char *s, size_t len)
{
	unsigned quotes = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\\' && quotes % 2 == 1)
			i++;
		else if (s[i] == '"' && ++quotes == 4)
			return i + 1;
	}
	return 0;
}

static enum pl_status is_changed(uint64_t offset, struct pl_err *err)
{
	pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_ITEM, NULL, "the JSON of images has no such image there");
	if (err != NULL)
		pl_err_at_offset(err, offset);
	return PL_ERR_NOTFOUND;
}

/* The member's text, malloc'ed; *len 0 = none. Line breaks and escapes make it longer than base64 needs, by how much is not known. */
static enum pl_status read_member(struct shard_bytes *b, uint64_t offset, uint64_t length, char **text, size_t *len, struct pl_err *err)
{
	uint64_t size = shard_bytes_size(b), left = offset < size ? size - offset : 0, want = length / 3 * 4 + SLACK;
	enum pl_status st = PL_OK;

	*len = 0;
	for (*text = NULL; st == PL_OK && *len == 0; want *= 4) {
		size_t n = (size_t)(want < left ? want : left);
		free(*text);
		if ((*text = malloc(n + 1)) == NULL)
			return pl_fail_nomem(err);
		st = shard_bytes_read(b, offset, *text, n, err);
		if (st == PL_OK)
			*len = end_of_member(*text, n);
		if (n == left || want > MEMBER_MAX)
			break;
	}
	return st;
}

enum pl_status pl_image_json_read(struct shard_bytes *b, uint64_t offset, uint8_t *dst, uint64_t length, struct pl_err *err)
{
	uint8_t *bytes = NULL;
	char *text = NULL;
	json_t *v = NULL;
	const char *id;
	size_t len = 0, n = 0;
	enum pl_status st = read_member(b, offset, length, &text, &len, err);

	if (st == PL_OK && len > 0)
		st = decode(text, len, &v, &id, &bytes, &n, err);
	if (st == PL_OK && (bytes == NULL || n != length))
		st = is_changed(offset, err);
	if (st == PL_OK)
		memcpy(dst, bytes, n);
	free(bytes);
	free(text);
	json_decref(v);
	return st;
}
