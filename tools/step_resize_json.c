/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping the sizes in a sample's JSON true without touching another byte of
 * it: people compare these files. */
#include "step_resize.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The end of the string that begins at text[at] (a quote). The text is valid JSON. */
static size_t skip_string(const char *text, size_t len, size_t at)
{
	for (at++; at < len && text[at] != '"'; at++)
		at += text[at] == '\\';
	return at + 1;
}

static size_t skip_space(const char *text, size_t len, size_t at)
{
	while (at < len && isspace((unsigned char)text[at]))
		at++;
	return at;
}

/* Where the number of the top-level member `key` lies; false when there is none. */
static bool find_number(const char *text, size_t len, const char *key, size_t *from, size_t *to)
{
	size_t depth = 0, at = 0, key_len = strlen(key);

	while (at < len) {
		size_t end, value;
		if (text[at] != '"') {
			depth += text[at] == '{' || text[at] == '[';
			depth -= text[at] == '}' || text[at] == ']';
			at++;
			continue;
		}
		end = skip_string(text, len, at);
		value = skip_space(text, len, end);
		if (depth != 1 || value >= len || text[value] != ':' || end - at != key_len + 2 || memcmp(text + at + 1, key, key_len) != 0) {
			at = end;
			continue;
		}
		*from = *to = skip_space(text, len, value + 1);
		while (*to < len && strchr("+-.0123456789eE", text[*to]) != NULL && text[*to] != '\0')
			++*to;
		return *to > *from;
	}
	return false;
}

static enum pl_status set_number(struct pl_buf *text, const char *key, uint32_t number, struct pl_err *err)
{
	const char *old = (const char *)text->data;
	size_t from, to;
	struct pl_buf new;
	enum pl_status st;

	if (!find_number(old, text->len, key, &from, &to))
		return PL_OK;
	pl_buf_init(&new, 0);
	st = pl_buf_add(&new, old, from, err);
	if (st == PL_OK)
		st = pl_buf_addf(&new, err, "%u", number);
	if (st == PL_OK)
		st = pl_buf_add(&new, old + to, text->len - to, err);
	if (st != PL_OK) {
		pl_buf_release(&new);
		return st;
	}
	pl_buf_release(text);
	*text = new;
	return PL_OK;
}

enum pl_status resize_update_json(struct pl_buf *text, uint32_t width, uint32_t height, struct pl_err *err)
{
	json_t *j = NULL;
	bool both;
	enum pl_status st;

	st = pl_json_parse((const char *)text->data, text->len, &j, NULL);
	if (st != PL_OK)
		return st == PL_ERR_NOMEM ? pl_fail_nomem(err) : PL_OK;   /* what is no JSON is not for us to mend */
	both = json_object_get(j, "width") != NULL && json_object_get(j, "height") != NULL;
	json_decref(j);
	if (!both)
		return PL_OK;
	st = set_number(text, "width", width, err);
	return st == PL_OK ? set_number(text, "height", height, err) : st;
}
