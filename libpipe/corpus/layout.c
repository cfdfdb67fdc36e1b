/* SPDX-License-Identifier: Apache-2.0 */
/* The members of the one object of a file, found by counting brackets: nothing
 * is parsed, and one chunk is in memory. */
#include "layout.h"

#include <stdlib.h>
#include <string.h>

#include "shards/bytes.h"

enum { CHUNK = 256 << 10, STRING_MAX = 64 };

enum scan_end { SCAN_ON, SCAN_PLAIN };
struct scan {
	struct pl_layout *out;
	uint64_t depth, offset;
	bool in_string, escaped, odd;   /* odd: the string has escapes or is too long to be kept */
	bool expect_key, expect_value;
	char text[STRING_MAX];          /* of a string at depth 1 */
	size_t len;
	char key[STRING_MAX];
};

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* It becomes part of file names. */
static bool is_plain(const char *text)
{
	return text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

static void end_string(struct scan *s)
{
	s->in_string = false;
	if (s->depth != 1)
		return;
	s->text[s->odd ? 0 : s->len] = '\0';
	if (s->expect_key)
		memcpy(s->key, s->text, sizeof(s->key));
	else if (strcmp(s->key, "data_subtype") == 0 && is_plain(s->text) && strlen(s->text) < sizeof(s->out->image_set))
		memcpy(s->out->image_set, s->text, strlen(s->text) + 1);
	s->expect_key = false;
}

static void string_byte(struct scan *s, uint8_t c)
{
	if (!s->escaped && c == '"') {
		end_string(s);
		return;
	}
	s->escaped = !s->escaped && c == '\\';
	if (s->depth != 1)
		return;
	if (s->escaped || s->len + 1 >= sizeof(s->text))
		s->odd = true;
	else
		s->text[s->len++] = (char)c;
}

/* The first byte of a member's value. */
static void note_member(struct scan *s, uint8_t c)
{
	struct pl_layout *l = s->out;
	struct pl_layout_member *m = &l->members[l->nmembers];
	size_t n = strlen(s->key);

	s->expect_value = false;
	if (n == 0 || n >= sizeof(m->name) || l->nmembers == PL_LAYOUT_MEMBERS || pl_layout_member(l, s->key) != NULL)
		return;
	memcpy(m->name, s->key, n + 1);
	m->first = (char)c;
	m->offset = s->offset;
	l->nmembers++;
}

static enum scan_end outside(struct scan *s, uint8_t c)
{
	if (is_space(c))
		return SCAN_ON;
	if (s->depth == 0 && (s->out->complete || c != '{'))
		return SCAN_PLAIN;   /* another value follows, or it is no object */
	if (s->expect_value)
		note_member(s, c);
	if (c == '"') {
		s->in_string = true;
		s->odd = false;
		s->len = 0;
	} else if (c == '{' || c == '[') {
		s->expect_key = s->depth++ == 0;
	} else if (c == '}' || c == ']') {
		s->out->complete = --s->depth == 0;
		s->expect_key = false;
	} else if (s->depth == 1) {
		s->expect_key = c == ',';
		s->expect_value = c == ':';
	}
	return SCAN_ON;
}

static enum scan_end feed(struct scan *s, const uint8_t *p, size_t n)
{
	enum scan_end end = SCAN_ON;

	for (size_t i = 0; i < n && end == SCAN_ON; i++, s->offset++) {
		if (s->in_string)
			string_byte(s, p[i]);
		else
			end = outside(s, p[i]);
	}
	return end;
}

const struct pl_layout_member *pl_layout_member(const struct pl_layout *l, const char *name)
{
	for (size_t i = 0; i < l->nmembers; i++) {
		if (strcmp(l->members[i].name, name) == 0)
			return &l->members[i];
	}
	return NULL;
}

static bool has(const struct pl_layout *l, const char *name, char first)
{
	const struct pl_layout_member *m = pl_layout_member(l, name);

	return m != NULL && m->first == first;
}

/* One record alone in its file is a record. */
static enum pl_layout_kind judge(const struct pl_layout *l)
{
	static const char *const records[] = {"conversations", "messages", "chosen", "text_list", "texts", "instruction", "text",
	    "caption"};

	for (size_t i = 0; i < PL_ARRAY_LEN(records); i++) {
		if (pl_layout_member(l, records[i]) != NULL)
			return PL_LAYOUT_PLAIN;
	}
	if (has(l, "data", '{'))
		return PL_LAYOUT_DATA;
	if (has(l, "questions", '['))
		return PL_LAYOUT_QUESTIONS;
	if (has(l, "annotations", '['))
		return has(l, "images", '[') ? PL_LAYOUT_COCO : PL_LAYOUT_ANSWERS;
	return PL_LAYOUT_PLAIN;
}

static enum pl_status scan_stream(struct shard_stream *in, struct scan *s, uint8_t *chunk, enum scan_end *end, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	size_t got = 1, from = 0;

	while (st == PL_OK && got > 0 && *end == SCAN_ON) {
		st = shard_stream_read(in, chunk, CHUNK, &got, err);
		from = st == PL_OK && s->offset == 0 && got >= 3 && memcmp(chunk, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
		s->offset += from;
		if (st == PL_OK)
			*end = feed(s, chunk + from, got - from);
	}
	return st;
}

enum pl_status pl_layout_read(const char *path, struct pl_layout *out, struct pl_err *err)
{
	struct scan s = {.out = out};
	struct shard_stream *in = NULL;
	enum scan_end end = SCAN_ON;
	uint8_t *chunk;
	enum pl_status st;

	memset(out, 0, sizeof(*out));
	st = shard_stream_open(&in, path, err);
	if (st != PL_OK)
		return st;
	chunk = malloc(CHUNK);
	st = chunk != NULL ? scan_stream(in, &s, chunk, &end, err) : pl_fail_nomem(err);
	if (st == PL_ERR_TRUNCATED || st == PL_ERR_INVALID) {
		out->complete = false;
		st = PL_OK;
	}
	out->kind = end == SCAN_PLAIN ? PL_LAYOUT_PLAIN : judge(out);
	free(chunk);
	shard_stream_close(in);
	return st;
}
