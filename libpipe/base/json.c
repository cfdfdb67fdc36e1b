/* SPDX-License-Identifier: Apache-2.0 */
/* JSON on top of jansson: hostile-input ceilings before it parses, errors with
 * their place, and one canonical way to write a value. */
#include "json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

enum { PARSE_DEPTH = 64, DUMP_DEPTH = 128 };

/* jansson recurses, so depth is checked before it sees the text. False: *at is
 * the bracket that goes too deep. Text that is not JSON is left to jansson. */
static bool depth_ok(const char *text, size_t len, size_t *at)
{
	size_t depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > PARSE_DEPTH) {
				*at = i;
				return false;
			}
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
	}
	return true;
}

/* jansson quotes the text it stumbled over: no control bytes may reach a terminal. */
static void make_printable(char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f)
			*s = '?';
	}
}

/* Did an allocation of jansson's fail on this thread? Only known after pl_json_know_starvation. */
static _Thread_local bool starved;

static void *allocate(size_t size)
{
	void *p = malloc(size);

	starved = starved || p == NULL;
	return p;
}

void pl_json_know_starvation(void)
{
	json_set_alloc_funcs(allocate, free);
}

static enum pl_status parse(const char *text, size_t len, json_t **out, uint32_t *line,
    struct pl_err *err)
{
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY;
	size_t at = 0;
	json_error_t je;
	json_t *v;

	*line = 0;
	/* jansson counts bytes in an int */
	if (len > INT_MAX)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_ITEM, NULL,
		    "JSON text of %zu bytes is too long", len);
	if (!depth_ok(text, len, &at)) {
		pl_fail(err, PL_ERR_INVALID, PL_SEV_ITEM, NULL, "JSON nested deeper than %d levels",
		    (int)PARSE_DEPTH);
		pl_err_at_offset(err, at);
		return PL_ERR_INVALID;
	}
	starved = false;
	errno = 0;
	v = json_loadb(text, len, flags, &je);
	/* Integers past 64 bits, such as hashes in web metadata, become real numbers rather than costing the record. */
	if (!v && json_error_code(&je) == json_error_numeric_overflow)
		v = json_loadb(text, len, flags | JSON_DECODE_INT_AS_REAL, &je);
	/* Without memory jansson may say nothing, or drop a byte of a number or a name (2.14) and go on. */
	if (starved || errno == ENOMEM || (!v && json_error_code(&je) == json_error_out_of_memory)) {
		json_decref(v);
		return pl_fail_nomem(err);
	}
	if (!v) {
		make_printable(je.text);
		if (je.line > 0)
			*line = (uint32_t)je.line;
		pl_fail(err, PL_ERR_INVALID, PL_SEV_ITEM, NULL, "bad JSON: %s", je.text);
		if (je.position >= 0)
			pl_err_at_offset(err, (uint64_t)je.position);
		return PL_ERR_INVALID;
	}
	*out = v;
	return PL_OK;
}

enum pl_status pl_json_parse(const char *text, size_t len, json_t **out, struct pl_err *err)
{
	uint32_t line;

	return parse(text, len, out, &line, err);
}

enum pl_status pl_json_load(const char *path, size_t max, json_t **out, struct pl_err *err)
{
	char *text = NULL;
	size_t len = 0;
	uint32_t line;
	enum pl_status st = pl_file_read(path, max, &text, &len, err);

	if (st != PL_OK)
		return st;
	st = parse(text, len, out, &line, err);
	/* whoever loads a whole JSON file cannot do without it */
	if (st != PL_OK && err) {
		err->severity = PL_SEV_JOB;
		pl_err_at_line(err, path, line);
	}
	free(text);
	return st;
}

static enum pl_status dump_string(const json_t *v, struct pl_buf *out, struct pl_err *err)
{
	const char *s = json_string_value(v);
	size_t len = json_string_length(v), plain = 0;
	enum pl_status st = pl_buf_adds(out, "\"", err);

	for (size_t i = 0; i < len && st == PL_OK; i++) {
		static const char letters[] = "btn\0fr";   /* for bytes 8 to 13 */
		unsigned char c = (unsigned char)s[i];
		char esc[8] = {'\\', 0};
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		if (c == '"' || c == '\\')
			esc[1] = (char)c;
		else if (c >= 8 && c <= 13 && letters[c - 8])
			esc[1] = letters[c - 8];
		else
			snprintf(esc, sizeof(esc), "\\u%04x", (unsigned)c);
		st = pl_buf_add(out, s + plain, i - plain, err);
		if (st == PL_OK)
			st = pl_buf_adds(out, esc, err);
		plain = i + 1;
	}
	if (st == PL_OK)
		st = pl_buf_add(out, s + plain, len - plain, err);
	return st == PL_OK ? pl_buf_adds(out, "\"", err) : st;
}

/* The fewest digits that read back as the same double; always with a point or
 * an exponent so that it reads back as a real; a point in every locale. */
static enum pl_status dump_real(double x, struct pl_buf *out, struct pl_err *err)
{
	char text[64], clean[72];
	size_t n = 0;
	bool real = false;

	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, x);
		double back = strtod(text, NULL);
		if (memcmp(&back, &x, sizeof(x)) == 0)
			break;
	}
	for (const char *s = text; *s; s++) {
		if (strchr("0123456789+-e", *s)) {
			real = real || *s == 'e';
			clean[n++] = *s;
		} else if (n == 0 || clean[n - 1] != '.') {
			real = true;
			clean[n++] = '.';
		}
	}
	if (!real) {
		clean[n++] = '.';
		clean[n++] = '0';
	}
	return pl_buf_add(out, clean, n, err);
}

/* A new line and its indentation; nothing in the compact form. */
static enum pl_status dump_newline(
    bool indent, unsigned depth, struct pl_buf *out, struct pl_err *err)
{
	return indent ? pl_buf_addf(out, err, "\n%*s", (int)(2 * depth), "") : PL_OK;
}

static enum pl_status dump(const json_t *v, bool indent, unsigned depth, struct pl_buf *out,
    struct pl_err *err);

static enum pl_status dump_array(const json_t *v, bool indent, unsigned depth, struct pl_buf *out,
    struct pl_err *err)
{
	size_t n = json_array_size(v);
	enum pl_status st = pl_buf_adds(out, "[", err);

	for (size_t i = 0; i < n && st == PL_OK; i++) {
		if (i > 0)
			st = pl_buf_adds(out, ",", err);
		if (st == PL_OK)
			st = dump_newline(indent, depth + 1, out, err);
		if (st == PL_OK)
			st = dump(json_array_get(v, i), indent, depth + 1, out, err);
	}
	if (st == PL_OK && n > 0)
		st = dump_newline(indent, depth, out, err);
	return st == PL_OK ? pl_buf_adds(out, "]", err) : st;
}

static enum pl_status dump_object(json_t *v, bool indent, unsigned depth, struct pl_buf *out,
    struct pl_err *err)
{
	enum pl_status st = pl_buf_adds(out, "{", err);
	const char *sep = "";

	for (void *it = json_object_iter(v); it && st == PL_OK; it = json_object_iter_next(v, it)) {
		/* jansson keys cannot hold NUL: the parser refuses them */
		json_t *key = json_string(json_object_iter_key(it));
		if (!key)
			return pl_fail_nomem(err);
		st = pl_buf_adds(out, sep, err);
		sep = ",";
		if (st == PL_OK)
			st = dump_newline(indent, depth + 1, out, err);
		if (st == PL_OK)
			st = dump_string(key, out, err);
		json_decref(key);
		if (st == PL_OK)
			st = pl_buf_adds(out, indent ? ": " : ":", err);
		if (st == PL_OK)
			st = dump(json_object_iter_value(it), indent, depth + 1, out, err);
	}
	if (st == PL_OK && *sep)
		st = dump_newline(indent, depth, out, err);
	return st == PL_OK ? pl_buf_adds(out, "}", err) : st;
}

static enum pl_status dump(const json_t *v, bool indent, unsigned depth, struct pl_buf *out,
    struct pl_err *err)
{
	if (!v)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "no JSON value to write");
	if (depth > DUMP_DEPTH)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
		    "JSON value nested deeper than %d levels", (int)DUMP_DEPTH);
	switch (json_typeof(v)) {
	case JSON_OBJECT: {
		/* the iteration interface of jansson 2.14 takes no const object */
		union { const json_t *in; json_t *obj; } u = {.in = v};
		return dump_object(u.obj, indent, depth, out, err);
	}
	case JSON_ARRAY:
		return dump_array(v, indent, depth, out, err);
	case JSON_STRING:
		return dump_string(v, out, err);
	case JSON_INTEGER:
		return pl_buf_addf(out, err, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	case JSON_REAL:
		return dump_real(json_real_value(v), out, err);
	case JSON_TRUE:
		return pl_buf_adds(out, "true", err);
	case JSON_FALSE:
		return pl_buf_adds(out, "false", err);
	case JSON_NULL:
		break;
	}
	return pl_buf_adds(out, "null", err);
}

enum pl_status pl_json_dump(const json_t *v, bool indent, struct pl_buf *out, struct pl_err *err)
{
	return dump(v, indent, 0, out, err);
}

const char *pl_json_str(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

double pl_json_num(const json_t *obj, const char *key, double fallback)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_number(v) ? json_number_value(v) : fallback;
}

/* Bytes of the well-formed sequence at s[0..left), 0 = malformed (Unicode table 3-7). */
static size_t utf8_sequence(const unsigned char *s, size_t left)
{
	unsigned char lo = 0x80, hi = 0xBF;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xC2 && s[0] <= 0xDF)
		n = 2;
	else if (s[0] >= 0xE0 && s[0] <= 0xEF)
		n = 3;
	else if (s[0] >= 0xF0 && s[0] <= 0xF4)
		n = 4;
	else
		return 0;
	if (left < n)
		return 0;
	if (s[0] == 0xE0)
		lo = 0xA0;
	else if (s[0] == 0xED)
		hi = 0x9F;
	else if (s[0] == 0xF0)
		lo = 0x90;
	else if (s[0] == 0xF4)
		hi = 0x8F;
	if (s[1] < lo || s[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	}
	return n;
}

bool pl_utf8_valid(const char *s, size_t len, size_t *bad)
{
	const unsigned char *u = (const unsigned char *)s;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_sequence(u + i, len - i);
		if (n == 0) {
			if (bad)
				*bad = i;
			return false;
		}
		i += n;
	}
	return true;
}
