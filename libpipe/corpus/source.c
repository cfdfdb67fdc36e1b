/* SPDX-License-Identifier: Apache-2.0 */
/* The settings a source is read with: checked, written as canonical JSON, and
 * read back. One fixed key order, so that equal settings are equal text. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "libpipe/base/hash.h"

static bool is_row_field(const char *name)
{
	size_t i;

	for (i = 0; i < pl_sample_ncols; i++)
		if (strcasecmp(name, pl_sample_cols[i].name) == 0)
			return true;
	return strcasecmp(name, "shard") == 0 || strcasecmp(name, "row") == 0 ||
	    strcasecmp(name, "verdict") == 0 || strcasecmp(name, "rule") == 0 || strcasecmp(name, "images_kept") == 0 ||
	    strcasecmp(name, "_rowid_") == 0;
}

/* The name becomes a field of a NumPy dtype and a column of SQL. */
static enum pl_status check_column(const char *name, struct pl_err *err)
{
	size_t i, len = strlen(name);

	if (len == 0 || len > 100)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "a metadata column's name has 1 to 100 bytes, and '%.100s' has %zu", name, len);
	for (i = 0; i < len; i++)
		if (name[i] < 0x20 || name[i] > 0x7e || strchr("'\"\\`", name[i]) != NULL)
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
			    "a metadata column's name is printable ASCII without quotes and backslashes, and "
			    "'%s' is not",
			    name);
	if (is_row_field(name))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "metadata column '%s' is the name of a column that every corpus has", name);
	return PL_OK;
}

enum pl_status pl_score_check(const struct pl_source *s, const char *const *others, size_t n, const char *name, struct pl_err *err)
{
	enum pl_status st = check_column(name, err);

	for (size_t i = 0; i < n && st == PL_OK; i++)
		if (strcasecmp(others[i], name) == 0)
			st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "score column '%s' is named twice", name);
	for (size_t i = 0; i < s->ncolumns && st == PL_OK; i++)
		if (strcasecmp(s->columns[i], name) == 0)
			st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "score column '%s' is a metadata column of the corpus already", name);
	return st;
}

enum pl_status pl_source_check(const struct pl_source *s, struct pl_err *err)
{
	enum pl_status st;
	size_t i, j;

	if (s->ncolumns > PL_COLUMNS_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "%zu metadata columns; at most %d are kept", s->ncolumns, PL_COLUMNS_MAX);
	for (i = 0; i < s->ncolumns; i++) {
		st = check_column(s->columns[i], err);
		if (st != PL_OK)
			return st;
		for (j = 0; j < i; j++)
			if (strcasecmp(s->columns[i], s->columns[j]) == 0)
				return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
				    "metadata column '%s' is named twice", s->columns[i]);
	}
	return PL_OK;
}

static json_t *str_or_null(const char *s)
{
	return s != NULL ? json_string(s) : json_null();
}

static json_t *limits_json(const struct pl_img_limits *l)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f}", "max_bytes", (json_int_t)l->max_bytes,
	    "max_pixels", (json_int_t)l->max_pixels, "max_side", (json_int_t)l->max_side,
	    "timeout_ms", (json_int_t)l->timeout_ms, "max_memory", (json_int_t)l->max_memory,
	    "max_missing", l->max_missing);
}

static json_t *columns_json(const struct pl_source *s)
{
	json_t *a = json_array();
	size_t i;

	for (i = 0; a != NULL && i < s->ncolumns; i++) {
		if (json_array_append_new(a, json_string(s->columns[i])) != 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

/* NULL = no memory. */
static json_t *tokens_json(const struct pl_tokens_settings *t, bool with_paths)
{
	json_t *j = json_pack("{s:s}", "by", pl_tokens_by_names[t->by]);
	char hex[33];
	int bad = 0;

	if (j == NULL || t->by != PL_TOKENS_SENTENCEPIECE)
		return j;
	pl_hash128_hex(t->model_hash, hex);
	bad |= json_object_set_new(j, "xxh3", json_string(hex));
	if (with_paths && t->model != NULL)
		bad |= json_object_set_new(j, "model", json_string(t->model));
	if (bad == 0)
		return j;
	json_decref(j);
	return NULL;
}

enum pl_status pl_source_dump(
    const struct pl_source *s, bool with_paths, json_t **out, struct pl_err *err)
{
	const char *const texts[] = { s->name, s->read.caption_field, s->read.text_field,
		s->images, s->answers, s->id_field, s->tokens.model };
	json_t *j;
	size_t i;
	int bad = 0;

	for (i = 0; i < PL_ARRAY_LEN(texts); i++)
		if (texts[i] != NULL && !pl_utf8_valid(texts[i], strlen(texts[i]), NULL))
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
			    "'%.200s': names of sources, fields, images and models must be UTF-8",
			    texts[i]);
	j = json_object();
	if (j == NULL)
		return pl_fail_nomem(err);
	bad |= json_object_set_new(j, "name", str_or_null(s->name));
	bad |= json_object_set_new(j, "kind", json_string(pl_kind_names[s->read.kind]));
	bad |= json_object_set_new(j, "caption_field", str_or_null(s->read.caption_field));
	bad |= json_object_set_new(j, "text_field", str_or_null(s->read.text_field));
	bad |= json_object_set_new(j, "image_after_text", json_boolean(s->read.image_after_text));
	/* Written only where they are not the default. */
	if (s->read.captions_per_image != PL_CAPTIONS_EACH)
		bad |= json_object_set_new(j, "captions_per_image", json_string(pl_captions_names[s->read.captions_per_image]));
	if (s->read.shots != 0)
		bad |= json_object_set_new(j, "shots", json_integer((json_int_t)s->read.shots));
	if (s->tokens.by != PL_TOKENS_BYTES)
		bad |= json_object_set_new(j, "tokens", tokens_json(&s->tokens, with_paths));
	if (with_paths && s->answers != NULL)
		bad |= json_object_set_new(j, "answers", json_string(s->answers));
	if (with_paths)
		bad |= json_object_set_new(j, "images", str_or_null(s->images));
	bad |= json_object_set_new(j, "columns", columns_json(s));
	bad |= json_object_set_new(j, "hash", json_string(pl_hash_recipe_names[s->hash]));
	bad |= json_object_set_new(j, "limits", limits_json(&s->limits));
	bad |= json_object_set_new(j, "id", str_or_null(s->id_field));
	bad |= json_object_set_new(j, "script", str_or_null(s->script));
	bad |= json_object_set_new(j, "language", str_or_null(s->language));
	bad |= json_object_set_new(j, "tables", json_integer(PL_TABLES_VERSION));
	if (bad != 0) {
		json_decref(j);
		return pl_fail_nomem(err);
	}
	*out = j;
	return PL_OK;
}

enum pl_status pl_source_describe(const struct pl_source *s, struct pl_buf *out, struct pl_err *err)
{
	struct pl_source source = *s;
	json_t *j;
	enum pl_status st = pl_source_check(s, err);

	source.tokens.model = NULL;   /* the same model elsewhere makes the same tables */
	if (st == PL_OK)
		st = pl_source_dump(&source, true, &j, err);
	if (st != PL_OK)
		return st;
	st = pl_json_dump(j, false, out, err);
	json_decref(j);
	return st;
}

/* Index of word in a NULL-terminated list, -1 when it is not there. */
static int choice(const char *const *list, const char *word)
{
	int i;

	for (i = 0; word != NULL && list[i] != NULL; i++)
		if (strcmp(list[i], word) == 0)
			return i;
	return -1;
}

static enum pl_status damaged(const char *path, const char *what, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path,
	    "the manifest's source has no valid '%s'; ingest again", what);
}

static bool load_text(const json_t *j, const char *key, struct pl_arena *arena, const char **out)
{
	const json_t *v = json_object_get(j, key);

	*out = NULL;
	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
		return false;
	*out = pl_arena_strndup(arena, json_string_value(v), json_string_length(v));
	return *out != NULL;
}

static bool load_uint(const json_t *j, const char *key, uint64_t max, uint64_t *out)
{
	const json_t *v = json_object_get(j, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > max)
		return false;
	*out = (uint64_t)json_integer_value(v);
	return true;
}

static bool load_tokens(const json_t *j, struct pl_arena *arena, struct pl_tokens_settings *t)
{
	int by = choice(pl_tokens_by_names, pl_json_str(j, "by"));

	if (j == NULL)
		return true;   /* by bytes */
	if (by < 0 || !load_text(j, "model", arena, &t->model))
		return false;
	t->by = (enum pl_tokens_by)by;
	return t->by != PL_TOKENS_SENTENCEPIECE || pl_hash128_parse(pl_json_str(j, "xxh3"), t->model_hash);
}

static bool load_limits(const json_t *j, struct pl_img_limits *l)
{
	const json_t *missing = json_object_get(j, "max_missing");
	uint64_t side = 0, timeout = 0;

	if (!load_uint(j, "max_bytes", UINT64_MAX, &l->max_bytes) ||
	    !load_uint(j, "max_pixels", UINT64_MAX, &l->max_pixels) ||
	    !load_uint(j, "max_side", UINT32_MAX, &side) ||
	    !load_uint(j, "timeout_ms", UINT32_MAX, &timeout) ||
	    !load_uint(j, "max_memory", UINT64_MAX, &l->max_memory) || !json_is_number(missing))
		return false;
	l->max_side = (uint32_t)side;
	l->timeout_ms = (uint32_t)timeout;
	l->max_missing = json_number_value(missing);
	return true;
}

static enum pl_status load_columns(const json_t *a, const char *path, struct pl_arena *arena,
    struct pl_source *s, struct pl_err *err)
{
	const char **names;
	size_t i, n = json_array_size(a);

	if (!json_is_array(a) || n > PL_COLUMNS_MAX)
		return damaged(path, "columns", err);
	names = pl_arena_alloc(arena, (n + 1) * sizeof(*names));
	if (names == NULL)
		return pl_fail_nomem(err);
	for (i = 0; i < n; i++) {
		const json_t *v = json_array_get(a, i);

		if (!json_is_string(v))
			return damaged(path, "columns", err);
		names[i] = pl_arena_strndup(arena, json_string_value(v), json_string_length(v));
		if (names[i] == NULL)
			return pl_fail_nomem(err);
	}
	s->columns = names;
	s->ncolumns = n;
	return pl_source_check(s, err);
}

enum pl_status pl_source_load(const json_t *j, const char *path, struct pl_arena *arena,
    struct pl_source *s, struct pl_err *err)
{
	int kind = choice(pl_kind_names, pl_json_str(j, "kind"));
	int hash = choice(pl_hash_recipe_names, pl_json_str(j, "hash"));
	int captions = choice(pl_captions_names, pl_json_str(j, "captions_per_image"));
	uint64_t shots = 0, tables = 1; /* which did not say so */

	memset(s, 0, sizeof(*s));
	if (json_object_get(j, "tables") != NULL && !load_uint(j, "tables", UINT32_MAX, &tables))
		return damaged(path, "tables", err);
	if (tables != PL_TABLES_VERSION)
		return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, path,
		    "its tables are of version %llu, and this plait reads version %d; ingest again",
		    (unsigned long long)tables, PL_TABLES_VERSION);
	if (kind < 0)
		return damaged(path, "kind", err);
	if (hash < 0)
		return damaged(path, "hash", err);
	s->read.kind = (enum pl_kind)kind;
	s->hash = (enum pl_hash_recipe)hash;
	s->read.image_after_text = json_is_true(json_object_get(j, "image_after_text"));
	s->read.captions_per_image = captions > 0 ? captions : PL_CAPTIONS_EACH;
	if (json_object_get(j, "shots") != NULL && !load_uint(j, "shots", UINT32_MAX, &shots))
		return damaged(path, "shots", err);
	s->read.shots = (uint32_t)shots;
	if (!load_text(j, "answers", arena, &s->answers))
		return damaged(path, "answers", err);
	if (!load_text(j, "name", arena, &s->name))
		return damaged(path, "name", err);
	if (!load_text(j, "caption_field", arena, &s->read.caption_field))
		return damaged(path, "caption_field", err);
	if (!load_text(j, "text_field", arena, &s->read.text_field))
		return damaged(path, "text_field", err);
	if (!load_text(j, "images", arena, &s->images))
		return damaged(path, "images", err);
	if (!load_text(j, "id", arena, &s->id_field) || !load_text(j, "script", arena, &s->script) ||
	    !load_text(j, "language", arena, &s->language))
		return damaged(path, "id, script and language", err);
	if (!load_tokens(json_object_get(j, "tokens"), arena, &s->tokens))
		return damaged(path, "tokens", err);
	if (!load_limits(json_object_get(j, "limits"), &s->limits))
		return damaged(path, "limits", err);
	return load_columns(json_object_get(j, "columns"), path, arena, s, err);
}

enum pl_status pl_sample_schema(const struct pl_source *s, struct pl_npy_col **cols, size_t *ncols,
    size_t *row_size, struct pl_err *err)
{
	size_t i, n = pl_sample_ncols + s->ncolumns;
	struct pl_npy_col *c = calloc(n, sizeof(*c));

	if (c == NULL)
		return pl_fail_nomem(err);
	memcpy(c, pl_sample_cols, pl_sample_ncols * sizeof(*c));
	for (i = 0; i < s->ncolumns; i++) {
		c[pl_sample_ncols + i].name = s->columns[i];
		c[pl_sample_ncols + i].type = PL_NPY_F64;
		c[pl_sample_ncols + i].count = 1;
		c[pl_sample_ncols + i].offset = (uint32_t)(sizeof(struct pl_sample_row) +
		    i * sizeof(double));
	}
	*cols = c;
	*ncols = n;
	*row_size = sizeof(struct pl_sample_row) + s->ncolumns * sizeof(double);
	return PL_OK;
}
