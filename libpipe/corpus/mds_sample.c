/* SPDX-License-Identifier: Apache-2.0 */
/* Columns into parts. What no part is made of becomes a member of the sample's
 * JSON, so that it can be a column of numbers, a caption or a conversation. */
#include "mds_sample.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.h"
#include "libpipe/base/json.h"

enum role { OTHER, KEY, IMAGE, IMAGES, IMAGES_BARE, TEXT, JSON, MEMBER };
/* PARTS_MAX: of a sample; MEMBERS_MAX: bytes that become JSON, of which a parsed value may take fifty times as many. */
enum { PARTS_MAX = 100000, KEY_MAX = 200, SUFFIX = 48, MEMBERS_MAX = 64 << 20 };

struct pl_mds {
	struct shard_mds shard;
	char *unit;
	enum role *roles;
	bool document;           /* a column is the whole JSON */
	bool picture, text;      /* the sample has one in a column of its own */
	struct shard_mds_value *values, *elements;
	size_t elements_cap;
	struct shard_part *parts;
	char (*suffixes)[SUFFIX];
	size_t nparts, cap;
	struct pl_buf json;
	char key[KEY_MAX + 64];
};

/* ---- what the columns are ---- */

static bool is_one_of(const char *s, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (strcmp(s, *list) == 0)
			return true;
	}
	return false;
}

static enum role role_of(const struct shard_mds_column *c)
{
	static const char *const images[] = {"jpeg", "png", NULL}, *const lists[] = {"list[jpeg]", "list[png]", NULL};
	static const char *const bare[] = {"jpeg_array", "jpegarray", NULL}, *const image_names[] = {"image", "img", NULL};
	static const char *const text_names[] = {"txt", "text", "caption", NULL}, *const json_names[] = {"json", "document", NULL};
	static const char *const members[] = {"str", "json", "int", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
	    "float32", "float64", "str_int", "str_float", "str_decimal", NULL};
	bool bytes = strcmp(c->encoding, "bytes") == 0, str = strcmp(c->encoding, "str") == 0;

	if (is_one_of(c->encoding, images))
		return IMAGE;
	if (is_one_of(c->encoding, lists))
		return IMAGES;
	if (is_one_of(c->encoding, bare))
		return IMAGES_BARE;
	if (bytes && (is_one_of(c->name, image_names) || shard_image_suffix(c->name)))
		return IMAGE;
	if ((bytes || str) && is_one_of(c->name, text_names))
		return TEXT;
	if ((bytes || str || strcmp(c->encoding, "json") == 0) && is_one_of(c->name, json_names))
		return JSON;
	return is_one_of(c->encoding, members) ? MEMBER : OTHER;
}

/* The first of these names that is a string is the key. */
static void find_key(struct pl_mds *m)
{
	static const char *const names[] = {"__key__", "key", "id", "uid"};

	for (size_t k = 0; k < PL_ARRAY_LEN(names); k++) {
		for (size_t i = 0; i < m->shard.ncolumns; i++) {
			if (m->roles[i] == MEMBER && strcmp(m->shard.columns[i].name, names[k]) == 0 &&
			    strcmp(m->shard.columns[i].encoding, "str") == 0) {
				m->roles[i] = KEY;
				return;
			}
		}
	}
}

enum pl_status pl_mds_open(struct pl_mds **out, struct shard_bytes *b, const char *path, const char *unit, struct pl_err *err)
{
	struct pl_mds *m = calloc(1, sizeof(*m));
	enum pl_status st;

	*out = NULL;
	if (m == NULL)
		return pl_fail_nomem(err);
	pl_buf_init(&m->json, (size_t)8 * MEMBERS_MAX);
	st = shard_mds_open(&m->shard, b, path, err);
	if (st == PL_OK) {
		m->unit = strdup(unit);
		m->roles = calloc(m->shard.ncolumns, sizeof(*m->roles));
		m->values = calloc(m->shard.ncolumns, sizeof(*m->values));
		if (m->unit == NULL || m->roles == NULL || m->values == NULL)
			st = pl_fail_nomem(err);
	}
	if (st != PL_OK) {
		pl_mds_close(m);
		return st;
	}
	for (size_t i = 0; i < m->shard.ncolumns; i++) {
		m->roles[i] = role_of(&m->shard.columns[i]);
		if (m->roles[i] == JSON && m->document)
			m->roles[i] = OTHER;
		m->document = m->document || m->roles[i] == JSON;
	}
	find_key(m);
	*out = m;
	return PL_OK;
}

void pl_mds_close(struct pl_mds *m)
{
	if (m == NULL)
		return;
	shard_mds_close(&m->shard);
	pl_buf_release(&m->json);
	free(m->unit);
	free(m->roles);
	free(m->values);
	free(m->elements);
	free(m->parts);
	free(m->suffixes);
	free(m);
}

uint64_t pl_mds_count(const struct pl_mds *m)
{
	return m->shard.n;
}

enum pl_status pl_mds_range(struct pl_mds *m, uint64_t i, uint64_t *offset, uint64_t *length, struct pl_err *err)
{
	return shard_mds_range(&m->shard, i, offset, length, err);
}

/* ---- parts ---- */

static enum pl_status grow(struct pl_mds *m, struct pl_err *err)
{
	size_t cap = m->cap != 0 ? 2 * m->cap : 16;
	struct shard_part *parts = realloc(m->parts, cap * sizeof(*parts));
	char (*suffixes)[SUFFIX];

	if (parts == NULL)
		return pl_fail_nomem(err);
	m->parts = parts;
	suffixes = realloc(m->suffixes, cap * sizeof(*suffixes));
	if (suffixes == NULL)
		return pl_fail_nomem(err);
	m->suffixes = suffixes;
	m->cap = cap;
	return PL_OK;
}

/* offset: of v in the shard. Names are put to the parts when all are there. */
static enum pl_status add_part(struct pl_mds *m, const char *suffix, const uint8_t *data, size_t len, uint64_t offset, struct pl_err *err)
{
	enum pl_status st = m->nparts < m->cap ? PL_OK : grow(m, err);

	if (st != PL_OK)
		return st;
	snprintf(m->suffixes[m->nparts], SUFFIX, "%s", suffix);
	m->parts[m->nparts++] = (struct shard_part){.data = data, .len = len, .offset = offset};
	return PL_OK;
}

/* A picture in a column of its own is the sample's, the next one is called after its column. */
static enum pl_status add_image(struct pl_mds *m, const struct shard_mds_column *c, const struct shard_mds_value *v, const char *named,
    uint64_t offset, struct pl_err *err)
{
	char suffix[SUFFIX];

	if (v->len == 0)
		return PL_OK;   /* how a fixed schema says that there is none */
	if (m->picture)
		snprintf(suffix, sizeof(suffix), "%.40s.jpg", c->name);
	else if (named != NULL)
		snprintf(suffix, sizeof(suffix), "%s", named);
	else if (strchr(c->name, '.') == NULL && shard_image_suffix(c->name))
		snprintf(suffix, sizeof(suffix), "%s", c->name);
	else
		snprintf(suffix, sizeof(suffix), "%s", strcmp(c->encoding, "png") == 0 ? "png" : "jpg");
	m->picture = true;
	return add_part(m, suffix, v->data, v->len, offset, err);
}

/* names: of the document's pictures in order, NULL = it is none of plait's. */
static enum pl_status add_images(struct pl_mds *m, const struct shard_mds_value *v, bool bare, const json_t *names, uint64_t offset,
    enum pl_reason *why, struct pl_err *err)
{
	size_t n = 0;
	enum pl_status st = PL_OK;

	if (v->len == 0)
		return PL_OK;
	if (!shard_mds_list(v, bare, NULL, &n)) {
		*why = PL_REASON_CORRUPT;
		return PL_OK;
	}
	if (n > PARTS_MAX - m->nparts) {
		*why = PL_REASON_TOO_LARGE;
		return PL_OK;
	}
	if (n > m->elements_cap) {
		struct shard_mds_value *e = realloc(m->elements, n * sizeof(*e));
		if (e == NULL)
			return pl_fail_nomem(err);
		m->elements = e;
		m->elements_cap = n;
	}
	(void)shard_mds_list(v, bare, m->elements, &n);
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		const char *named = json_string_value(json_array_get(names, i));
		char suffix[SUFFIX];
		snprintf(suffix, sizeof(suffix), "%zu.jpg", i);
		st = add_part(m, named != NULL ? named : suffix, m->elements[i].data, m->elements[i].len,
		    offset + (uint64_t)(m->elements[i].data - v->data), err);
	}
	return st;
}

/* ---- JSON ---- */

static json_t *number(const struct shard_mds_column *c, const struct shard_mds_value *v)
{
	bool real = strncmp(c->encoding, "float", 5) == 0, sign = strncmp(c->encoding, "int", 3) == 0;
	uint64_t bits = 0;
	float f;
	double x;

	if (v->len == 0 || v->len > 8)
		return NULL;
	for (size_t i = 0; i < v->len; i++)
		bits |= (uint64_t)v->data[i] << (8 * i);
	if (!real) {
		if (sign && v->len < 8 && v->data[v->len - 1] >= 0x80)
			bits |= UINT64_MAX << (8 * v->len);
		return !sign && bits > INT64_MAX ? NULL : json_integer((json_int_t)bits);
	}
	if (v->len == 4) {
		uint32_t half = (uint32_t)bits;
		memcpy(&f, &half, sizeof(f));
		x = (double)f;
	} else {
		memcpy(&x, &bits, sizeof(x));
	}
	return v->len == 4 || v->len == 8 ? isfinite(x) ? json_real(x) : NULL : NULL;
}

/* NULL: nothing that JSON can say. */
static json_t *member(const struct shard_mds_column *c, const struct shard_mds_value *v)
{
	const char *text = (const char *)v->data;
	json_t *j = NULL;
	enum pl_reason why;

	if (strcmp(c->encoding, "str") == 0 || strcmp(c->encoding, "bytes") == 0)
		return pl_utf8_valid(text, v->len, NULL) ? json_stringn(text, v->len) : NULL;
	if (strcmp(c->encoding, "json") == 0 || strncmp(c->encoding, "str_", 4) == 0)
		return pl_parse_record(text, v->len, &j, &why, NULL) == PL_OK ? j : NULL;
	return number(c, v);
}

/* The sample's JSON of its columns, as the part "json". */
static enum pl_status add_members(struct pl_mds *m, enum pl_reason *why, struct pl_err *err)
{
	size_t bytes = 0;
	json_t *o;
	enum pl_status st;

	for (size_t i = 0; i < m->shard.ncolumns; i++)
		bytes += m->roles[i] == MEMBER || m->roles[i] == TEXT ? m->values[i].len : 0;
	if (bytes > MEMBERS_MAX) {
		*why = PL_REASON_TOO_LARGE;
		return PL_OK;
	}
	o = json_object();
	st = o != NULL ? PL_OK : pl_fail_nomem(err);

	for (size_t i = 0; i < m->shard.ncolumns && st == PL_OK; i++) {
		json_t *v = m->roles[i] == MEMBER || m->roles[i] == TEXT || m->roles[i] == KEY ? member(&m->shard.columns[i], &m->values[i]) : NULL;
		if (v != NULL && json_object_set_new(o, m->shard.columns[i].name, v) != 0)
			st = pl_fail_nomem(err);
	}
	pl_buf_clear(&m->json);
	if (st == PL_OK && json_object_size(o) > 0) {
		st = pl_json_dump(o, false, &m->json, err);
		if (st == PL_OK)
			st = add_part(m, "json", m->json.data, m->json.len, 0, err);
	}
	json_decref(o);
	return st;
}

static bool add_name(json_t *names, const json_t *name)
{
	const char *s = json_string_value(name);

	if (s == NULL || strlen(s) >= SUFFIX)
		return name == NULL;
	return json_array_append_new(names, json_string(s)) == 0;
}

/* The parts that a document of plait's names, in order; NULL: it is none, or names what cannot be a part. */
static json_t *part_names(const struct shard_mds_value *v)
{
	json_t *j = NULL, *names = json_array(), *segment, *tile;
	enum pl_reason why;
	bool fine = names != NULL && pl_parse_record((const char *)v->data, v->len, &j, &why, NULL) == PL_OK &&
	    json_is_array(json_object_get(j, "segments"));
	size_t i, k;

	json_array_foreach(json_object_get(j, "segments"), i, segment) {
		fine = fine && add_name(names, json_object_get(segment, "part"));
		json_array_foreach(json_object_get(segment, "tiles"), k, tile)
			fine = fine && add_name(names, tile);
	}
	json_decref(j);
	if (!fine) {
		json_decref(names);
		return NULL;
	}
	return names;
}

/* ---- samples ---- */

static bool usable_key(const struct shard_mds_value *v)
{
	if (v->len == 0 || v->len > KEY_MAX || !pl_utf8_valid((const char *)v->data, v->len, NULL))
		return false;
	for (size_t i = 0; i < v->len; i++)
		if (v->data[i] < 0x20 || v->data[i] == 0x7f)
			return false;
	return true;
}

static void set_key(struct pl_mds *m, uint64_t i, bool split)
{
	snprintf(m->key, sizeof(m->key), "%.*s-%09" PRIu64, KEY_MAX, m->unit, i);
	for (size_t k = 0; split && k < m->shard.ncolumns; k++) {
		const struct shard_mds_value *v = &m->values[k];
		if (m->roles[k] != KEY || !usable_key(v))
			continue;
		memcpy(m->key, v->data, v->len);
		m->key[v->len] = '\0';
	}
}

static const json_t *names_of(struct pl_mds *m, json_t **owned)
{
	*owned = NULL;
	for (size_t i = 0; i < m->shard.ncolumns; i++) {
		if (m->roles[i] == JSON)
			*owned = part_names(&m->values[i]);
	}
	return *owned;
}

/* data: of the sample, at offset in the shard. */
static enum pl_status add_column(struct pl_mds *m, size_t i, const json_t *names, const uint8_t *data, uint64_t offset, enum pl_reason *why,
    struct pl_err *err)
{
	const struct shard_mds_column *c = &m->shard.columns[i];
	const struct shard_mds_value *v = &m->values[i];
	const char *only = json_array_size(names) == 1 ? json_string_value(json_array_get(names, 0)) : NULL;
	uint64_t at = offset + (uint64_t)(v->data - data);

	switch (m->roles[i]) {
	case IMAGE: return add_image(m, c, v, only, at, err);
	case IMAGES: return add_images(m, v, false, names, at, why, err);
	case IMAGES_BARE: return add_images(m, v, true, names, at, why, err);
	case TEXT:
		if (m->text)
			break;
		m->text = true;
		return add_part(m, "txt", v->data, v->len, at, err);
	case JSON: return add_part(m, "json", v->data, v->len, at, err);
	case OTHER:
	case KEY:
	case MEMBER: break;
	}
	return PL_OK;
}

enum pl_status pl_mds_sample(struct pl_mds *m, uint64_t i, uint64_t offset, const uint8_t *data, size_t len, struct shard_sample *s,
    enum pl_reason *why, struct pl_err *err)
{
	bool split = data != NULL && shard_mds_split(&m->shard, data, len, m->values);
	json_t *owned = NULL;
	const json_t *names = split ? names_of(m, &owned) : NULL;
	enum pl_status st = PL_OK;

	*why = data == NULL ? PL_REASON_TOO_LARGE : split ? PL_REASON_KEEP : PL_REASON_CORRUPT;
	m->nparts = 0;
	m->picture = m->text = false;
	set_key(m, i, split);
	for (size_t k = 0; split && k < m->shard.ncolumns && st == PL_OK; k++)
		st = add_column(m, k, names, data, offset, why, err);
	if (st == PL_OK && split && !m->document)
		st = add_members(m, why, err);
	json_decref(owned);
	for (size_t k = 0; k < m->nparts; k++)
		m->parts[k].suffix = m->parts[k].name = m->suffixes[k];
	*s = (struct shard_sample){.key = m->key, .parts = m->parts, .nparts = m->nparts, .index = i, .offset = offset, .length = len};
	return st;
}
