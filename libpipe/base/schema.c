/* SPDX-License-Identifier: Apache-2.0 */
/* A table of fields turns a YAML map into a C struct. Each message says where,
 * what is wrong and what would be right. */
#include "yaml.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opt.h"

struct filler {
	const char *path;
	struct pl_arena *arena;
	struct pl_err *err;
};

/* One value on its way into a struct. */
struct slot {
	const struct pl_field *field;
	const struct pl_yaml *node;
	const char *where;   /* what the map is called, "" = the whole file */
	uint8_t *base;       /* the struct */
};

static enum pl_status bad(const struct filler *f, uint32_t line, const char *fmt, ...)
    PL_PRINTF(3, 4);

static enum pl_status bad(const struct filler *f, uint32_t line, const char *fmt, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pl_fail(f->err, PL_ERR_USAGE, PL_SEV_JOB, f->path, "%s", text);
	pl_err_at_line(f->err, f->path, line);
	return PL_ERR_USAGE;
}

static enum pl_status no_room(const struct filler *f)
{
	return pl_fail(f->err, PL_ERR_LIMIT, PL_SEV_JOB, f->path, "no memory left for its values");
}

/* " in sources[0]", or nothing for the whole file. */
static const char *in_where(const char *where, char text[80])
{
	text[0] = '\0';
	if (where && *where)
		snprintf(text, 80, " in %.70s", where);
	return text;
}

/* "'weight' in sources[0] must be a number, not 'heavy'" */
static enum pl_status wrong(const struct filler *f, const struct slot *s, const char *must)
{
	char in[80];

	in_where(s->where, in);
	if (s->node->type == PL_YAML_SCALAR)
		return bad(f, s->node->line, "'%s'%s must be %s, not %s'%.80s'", s->field->key, in,
		    must, s->node->quoted ? "the text " : "", s->node->text);
	return bad(f, s->node->line, "'%s'%s must be %s, not a %s", s->field->key, in, must,
	    s->node->type == PL_YAML_MAP ? "map" : "list");
}

static enum pl_status check_range(const struct filler *f, const struct slot *s, double x)
{
	const struct pl_field *d = s->field;
	const double open_ended = 1e300;
	bool low = d->min > -open_ended, high = d->max < open_ended;
	char must[80];

	if ((d->min == 0 && d->max == 0) || (x >= d->min && x <= d->max))
		return PL_OK;
	if (low && high)
		snprintf(must, sizeof(must), "between %.15g and %.15g", d->min, d->max);
	else if (low)
		snprintf(must, sizeof(must), "at least %.15g", d->min);
	else
		snprintf(must, sizeof(must), "at most %.15g", d->max);
	return wrong(f, s, must);
}

/* Whole text of digits, sign, point and exponent: no hexadecimal, no infinity, no blanks. */
static bool number_shape(const struct pl_yaml *node, const char *allowed)
{
	return node->type == PL_YAML_SCALAR && !node->quoted && *node->text &&
	    node->text[strspn(node->text, allowed)] == '\0';
}

static enum pl_status fill_int(const struct filler *f, const struct slot *s)
{
	char *end = NULL;
	enum pl_status st;
	int64_t v;

	if (!number_shape(s->node, "+-0123456789"))
		return wrong(f, s, "a whole number");
	errno = 0;
	v = strtoll(s->node->text, &end, 10);
	if (errno != 0 || *end || end == s->node->text)
		return wrong(f, s, "a whole number");
	st = check_range(f, s, (double)v);
	if (st == PL_OK)
		memcpy(s->base + s->field->offset, &v, sizeof(v));
	return st;
}

static enum pl_status fill_real_at(const struct filler *f, const struct slot *s, void *to)
{
	char *end = NULL;
	enum pl_status st;
	double v;

	if (!number_shape(s->node, "+-.eE0123456789"))
		return wrong(f, s, "a number");
	v = strtod(s->node->text, &end);
	if (*end || end == s->node->text || !isfinite(v))
		return wrong(f, s, "a number");
	st = check_range(f, s, v);
	if (st == PL_OK)
		memcpy(to, &v, sizeof(v));
	return st;
}

static enum pl_status fill_real(const struct filler *f, const struct slot *s)
{
	return fill_real_at(f, s, s->base + s->field->offset);
}

static enum pl_status fill_bool(const struct filler *f, const struct slot *s)
{
	const char *t = s->node->type == PL_YAML_SCALAR && !s->node->quoted ? s->node->text : "";
	bool v = strcmp(t, "true") == 0 || strcmp(t, "yes") == 0;

	if (!v && strcmp(t, "false") != 0 && strcmp(t, "no") != 0)
		return wrong(f, s, "true or false");
	memcpy(s->base + s->field->offset, &v, sizeof(v));
	return PL_OK;
}

/* What a count's suffix multiplies by, 0 = no such suffix. */
static uint64_t count_unit(const char *suffix)
{
	static const char letters[] = "KMGT";
	const char *at = *suffix ? strchr(letters, *suffix) : NULL;
	bool binary = at && strcmp(suffix + 1, "i") == 0;
	uint64_t unit = 1;

	if (!*suffix)
		return 1;
	if (!at || (suffix[1] && !binary))
		return 0;
	for (const char *p = letters; p <= at; p++)
		unit *= binary ? 1024 : 1000;
	return unit;
}

/* "1000000", "2G" = 2 x 10^9, "2Gi" = 2 x 2^30, "1.5M"; whole results only. */
static bool parse_count(const char *text, uint64_t *out)
{
	size_t whole = strspn(text, "0123456789"), digits = 0;
	const char *p = text + whole;
	uint64_t unit, part = 0, scale = 1, n = 0;

	if (whole == 0)
		return false;
	if (*p == '.') {
		digits = strspn(++p, "0123456789");
		if (digits == 0 || digits > 6)
			return false;
	}
	unit = count_unit(p + digits);
	for (size_t i = 0; i < whole; i++) {
		uint64_t d = (uint64_t)(text[i] - '0');
		if (n > (UINT64_MAX - d) / 10)
			return false;
		n = n * 10 + d;
	}
	for (size_t i = 0; i < digits; i++) {
		part = part * 10 + (uint64_t)(p[i] - '0');
		scale *= 10;
	}
	/* part < 10^6 and unit <= 2^40: no overflow */
	if (unit == 0 || n > UINT64_MAX / unit || part * unit % scale != 0)
		return false;
	part = part * unit / scale;
	if (n * unit > UINT64_MAX - part)
		return false;
	*out = n * unit + part;
	return true;
}

static enum pl_status fill_count(const struct filler *f, const struct slot *s)
{
	bool size = s->field->type == PL_FIELD_SIZE, good;
	const char *must = size ? "a size such as 256MiB" : "a count such as 1000000 or 2G";
	enum pl_status st;
	uint64_t v = 0;

	if (s->node->type != PL_YAML_SCALAR)
		return wrong(f, s, must);
	if (size)
		good = pl_parse_size(s->node->text, &v, NULL) == PL_OK;
	else
		good = parse_count(s->node->text, &v);
	if (!good)
		return wrong(f, s, must);
	st = check_range(f, s, (double)v);
	if (st == PL_OK)
		memcpy(s->base + s->field->offset, &v, sizeof(v));
	return st;
}

/* Add words[i] as "a, b, c" to text. */
static void list_words(const char *const *words, char *text, size_t size)
{
	size_t at = strlen(text);

	for (size_t i = 0; words[i] && at + 1 < size; i++) {
		int n = snprintf(text + at, size - at, "%s%s", i > 0 ? ", " : "", words[i]);
		at = n < 0 || (size_t)n >= size - at ? size : at + (size_t)n;
	}
}

static enum pl_status fill_choice(const struct filler *f, const struct slot *s)
{
	const char *near = NULL;
	char must[320] = "one of ", in[80];

	if (s->node->type == PL_YAML_SCALAR) {
		for (int v = 0; s->field->choices[v]; v++) {
			if (strcmp(s->field->choices[v], s->node->text) == 0) {
				memcpy(s->base + s->field->offset, &v, sizeof(v));
				return PL_OK;
			}
		}
	}
	list_words(s->field->choices, must, sizeof(must));
	if (s->node->type == PL_YAML_SCALAR)
		near = pl_did_you_mean(s->node->text, s->field->choices);
	if (!near)
		return wrong(f, s, must);
	return bad(f, s->node->line, "'%s'%s must be %s, not '%.80s'; did you mean '%s'?",
	    s->field->key, in_where(s->where, in), must, s->node->text, near);
}

static enum pl_status fill_str(const struct filler *f, const struct slot *s)
{
	if (s->node->type != PL_YAML_SCALAR)
		return wrong(f, s, "text");
	memcpy(s->base + s->field->offset, &s->node->text, sizeof(s->node->text));
	return PL_OK;
}

static enum pl_status fill_strlist(const struct filler *f, const struct slot *s)
{
	struct pl_field_strs v = {NULL, 1};
	bool list = s->node->type == PL_YAML_LIST;

	if (s->node->type == PL_YAML_MAP)
		return wrong(f, s, "text or a list of texts");
	if (list)
		v.n = s->node->n;
	v.items = pl_arena_alloc(f->arena, (v.n + 1) * sizeof(const char *));
	if (!v.items)
		return no_room(f);
	for (size_t i = 0; i < v.n; i++) {
		const struct pl_yaml *item = list ? s->node->items[i] : s->node;
		char in[80];
		if (item->type != PL_YAML_SCALAR)
			return bad(f, item->line, "'%s[%zu]'%s must be text, not a %s",
			    s->field->key, i, in_where(s->where, in),
			    item->type == PL_YAML_MAP ? "map" : "list");
		v.items[i] = item->text;
	}
	memcpy(s->base + s->field->offset, &v, sizeof(v));
	return PL_OK;
}

static enum pl_status fill_map(const struct filler *f, const struct pl_yaml *node,
    const struct pl_field *fields, const char *where, uint8_t *base);
static const char *sub_where(const struct filler *f, const struct slot *s, int64_t index);

static enum pl_status fill_reals(const struct filler *f, const struct slot *s)
{
	struct pl_field_reals v = {s->node->keys, NULL, s->node->n};
	const char *where = sub_where(f, s, -1);

	if (s->node->type != PL_YAML_MAP)
		return wrong(f, s, "a map from names to numbers");
	v.values = pl_arena_alloc(f->arena, (v.n + 1) * sizeof(*v.values));
	if (!v.values || !where)
		return no_room(f);
	for (size_t i = 0; i < v.n; i++) {
		struct pl_field d = *s->field;
		const struct slot item = {.field = &d, .node = s->node->items[i], .where = where};
		enum pl_status st;
		d.key = v.keys[i];
		st = fill_real_at(f, &item, &v.values[i]);
		if (st != PL_OK)
			return st;
	}
	memcpy(s->base + s->field->offset, &v, sizeof(v));
	return PL_OK;
}

/* "output" or "sources[0].image": what the map under this key is called; index < 0 = no list. */
static const char *sub_where(const struct filler *f, const struct slot *s, int64_t index)
{
	const char *outer = s->where ? s->where : "";
	const char *dot = *outer ? "." : "";

	if (index < 0)
		return pl_arena_printf(f->arena, "%s%s%s", outer, dot, s->field->key);
	return pl_arena_printf(
	    f->arena, "%s%s%s[%lld]", outer, dot, s->field->key, (long long)index);
}

static enum pl_status fill_list(const struct filler *f, const struct slot *s)
{
	struct pl_field_list v = {NULL, 0};
	size_t size = s->field->item_size;
	uint8_t *items;

	if (s->node->type != PL_YAML_LIST)
		return wrong(f, s, "a list");
	v.n = s->node->n;
	if (size == 0 || v.n > SIZE_MAX / 2 / size)
		return no_room(f);
	items = pl_arena_alloc(f->arena, v.n ? v.n * size : size);
	if (!items)
		return no_room(f);
	for (size_t i = 0; i < v.n; i++) {
		const char *where = sub_where(f, s, (int64_t)i);
		enum pl_status st;
		if (!where)
			return no_room(f);
		if (s->field->item_defaults)
			memcpy(items + i * size, s->field->item_defaults, size);
		st = fill_map(f, s->node->items[i], s->field->sub, where, items + i * size);
		if (st != PL_OK)
			return st;
	}
	v.items = items;
	memcpy(s->base + s->field->offset, &v, sizeof(v));
	return PL_OK;
}

static enum pl_status fill_field(const struct filler *f, const struct slot *s)
{
	const struct pl_yaml *n = s->node;
	const char *where;
	char in[80];

	/* "key:" with nothing behind it is more often forgotten than meant */
	if (n->type == PL_YAML_SCALAR && !n->quoted &&
	    (!*n->text || strcmp(n->text, "~") == 0 || strcmp(n->text, "null") == 0))
		return bad(
		    f, n->line, "'%s'%s has no value", s->field->key, in_where(s->where, in));
	switch (s->field->type) {
	case PL_FIELD_STR: return fill_str(f, s);
	case PL_FIELD_INT: return fill_int(f, s);
	case PL_FIELD_REAL: return fill_real(f, s);
	case PL_FIELD_BOOL: return fill_bool(f, s);
	case PL_FIELD_SIZE:
	case PL_FIELD_COUNT: return fill_count(f, s);
	case PL_FIELD_CHOICE: return fill_choice(f, s);
	case PL_FIELD_STRLIST: return fill_strlist(f, s);
	case PL_FIELD_LIST: return fill_list(f, s);
	case PL_FIELD_REALS: return fill_reals(f, s);
	case PL_FIELD_MAP: break;
	}
	where = sub_where(f, s, -1);
	if (!where)
		return no_room(f);
	return fill_map(f, n, s->field->sub, where, s->base + s->field->offset);
}

static enum pl_status unknown_key(const struct filler *f, const char *key, uint32_t line,
    const struct pl_field *fields, const char *where)
{
	size_t n = 0;
	const char **known, *near;
	char in[80], list[400] = "";

	while (fields[n].key)
		n++;
	known = pl_arena_alloc(f->arena, (n + 1) * sizeof(const char *));
	if (!known)
		return no_room(f);
	for (size_t i = 0; i < n; i++)
		known[i] = fields[i].key;
	in_where(where, in);
	near = pl_did_you_mean(key, known);
	if (near)
		return bad(f, line, "unknown key '%.80s'%s; did you mean '%s'?", key, in, near);
	list_words(known, list, sizeof(list));
	return bad(f, line, "unknown key '%.80s'%s; known keys: %s", key, in, list);
}

static enum pl_status fill_map(const struct filler *f, const struct pl_yaml *node,
    const struct pl_field *fields, const char *where, uint8_t *base)
{
	char in[80];

	if (node->type != PL_YAML_MAP)
		return bad(f, node->line, "%s must be a map of keys and values, not %s",
		    where && *where ? where : "the file",
		    node->type == PL_YAML_LIST ? "a list" : "a plain value");
	for (size_t i = 0; i < node->n; i++) {
		const struct pl_field *d = fields;
		struct slot s = {.node = node->items[i], .where = where, .base = base};
		enum pl_status st;
		while (d->key && strcmp(d->key, node->keys[i]) != 0)
			d++;
		if (!d->key)
			return unknown_key(f, node->keys[i], node->key_lines[i], fields, where);
		s.field = d;
		st = fill_field(f, &s);
		if (st != PL_OK)
			return st;
		if (d->line_offset)
			memcpy(base + d->line_offset, &node->key_lines[i], sizeof(uint32_t));
	}
	for (const struct pl_field *d = fields; d->key; d++) {
		if (d->required && !pl_yaml_get(node, d->key))
			return bad(
			    f, node->line, "missing key '%s'%s", d->key, in_where(where, in));
	}
	return PL_OK;
}

enum pl_status pl_yaml_fill(const char *path, const struct pl_yaml *node,
    const struct pl_field *fields, const char *where, void *dst, struct pl_arena *arena,
    struct pl_err *err)
{
	const struct filler f = {.path = path, .arena = arena, .err = err};

	return fill_map(&f, node, fields, where, dst);
}
