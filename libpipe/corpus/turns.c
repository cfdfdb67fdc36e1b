/* SPDX-License-Identifier: Apache-2.0 */
/* Turns into segments: images are collected, matched with their markers, found
 * among the parts of the sample, and emitted where they stand. */
#include "turns.h"

#include <string.h>

/* Length of the image marker at s, 0 = none. */
static size_t marker_at(const char *s, size_t left)
{
	static const char *const markers[] = {"<image>", "<IMG_CONTEXT>"};

	for (size_t i = 0; i < PL_ARRAY_LEN(markers); i++) {
		size_t n = strlen(markers[i]);
		if (left >= n && memcmp(s, markers[i], n) == 0)
			return n;
	}
	return 0;
}

/* The first marker in s[len): its place (NULL = none) and length. */
static const char *find_marker(const char *s, size_t len, size_t *marker_len)
{
	const char *end = s + len;

	while (s < end && (s = memchr(s, '<', (size_t)(end - s))) != NULL) {
		*marker_len = marker_at(s, (size_t)(end - s));
		if (*marker_len > 0)
			return s;
		s++;
	}
	return NULL;
}

static size_t count_markers(const char *s, size_t len)
{
	const char *end = s + len, *m;
	size_t n = 0, marker_len;

	while ((m = find_marker(s, (size_t)(end - s), &marker_len)) != NULL) {
		n++;
		s = m + marker_len;
	}
	return n;
}

/* ---- turns ---- */

enum pl_status pl_turns_push(struct pl_turns *c, const struct pl_turn *t, struct pl_err *err)
{
	if (c->nturns == c->turn_cap) {
		size_t cap = c->turn_cap != 0 ? c->turn_cap * 2 : 8;
		void *p;
		enum pl_status st = pl_kind_alloc(c->b.d, cap * sizeof(*t), &p, err);
		if (st != PL_OK)
			return st;
		if (c->nturns > 0)
			memcpy(p, c->turns, c->nturns * sizeof(*t));
		c->turns = p;
		c->turn_cap = cap;
	}
	c->turns[c->nturns++] = *t;
	return PL_OK;
}

enum pl_status pl_turns_push_string(struct pl_turns *c, enum pl_role role, const json_t *text,
    struct pl_err *err)
{
	struct pl_turn t = {.role = role, .text = json_string_value(text),
	    .len = json_string_length(text)};

	return json_is_string(text) ? pl_turns_push(c, &t, err) : pl_kind_reject(c->b.d,
	    PL_REASON_BAD_DOCUMENT);
}

enum pl_status pl_turns_push_json(struct pl_turns *c, enum pl_role role, bool literal, const json_t *v,
    struct pl_err *err)
{
	struct pl_turn t = {.role = role, .literal = literal};
	struct pl_buf buf;
	enum pl_status st;
	void *copy;

	pl_buf_init(&buf, 0);
	st = pl_json_dump(v, false, &buf, err);
	if (st == PL_OK)
		st = pl_kind_alloc(c->b.d, buf.len + 1, &copy, err);
	if (st == PL_OK) {
		memcpy(copy, buf.data, buf.len);
		t.text = copy;
		t.len = buf.len;
		st = pl_turns_push(c, &t, err);
	}
	pl_buf_release(&buf);
	return st;
}

static bool find_role(const char *name, enum pl_role *role)
{
	static const struct { const char *name; enum pl_role role; } roles[] = {
		{"human", PL_ROLE_USER}, {"user", PL_ROLE_USER},
		{"gpt", PL_ROLE_ASSISTANT}, {"assistant", PL_ROLE_ASSISTANT},
		{"function_call", PL_ROLE_ASSISTANT},
		{"system", PL_ROLE_SYSTEM},
		{"tool", PL_ROLE_TOOL}, {"observation", PL_ROLE_TOOL}, {"function", PL_ROLE_TOOL},
		{"pretrain", PL_ROLE_NONE},
	};

	for (size_t i = 0; name != NULL && i < PL_ARRAY_LEN(roles); i++) {
		if (strcmp(name, roles[i].name) == 0) {
			*role = roles[i].role;
			return true;
		}
	}
	return false;
}

bool pl_is_messages(const json_t *v)
{
	const json_t *first = json_array_get(v, 0);

	return (json_object_get(first, "role") != NULL && json_object_get(first, "content") != NULL) ||
	    (json_object_get(first, "from") != NULL && json_object_get(first, "value") != NULL);
}

enum pl_status pl_turns_push_message(struct pl_turns *c, const json_t *m, struct pl_err *err)
{
	const json_t *content = json_object_get(m, "content"), *calls = json_object_get(m,
	    "tool_calls");
	const char *name = pl_json_str(m, "role");
	struct pl_turn t = {0};

	if (name == NULL)
		name = pl_json_str(m, "from");
	if (content == NULL)
		content = json_object_get(m, "value");
	if (!find_role(name, &t.role))
		return pl_kind_reject(c->b.d, PL_REASON_BAD_DOCUMENT);
	if (json_array_size(calls) > 0) {
		enum pl_status st = PL_OK;
		if (json_is_string(content))
			st = pl_turns_push_string(c, t.role, content, err);
		return st == PL_OK ? pl_turns_push_json(c, t.role, false, calls, err) : st;
	}
	if (!json_is_array(content))
		return pl_turns_push_string(c, t.role, content, err);
	t.items = content;
	return pl_turns_push(c, &t, err);
}

enum pl_status pl_turns_push_messages(struct pl_turns *c, const json_t *messages, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < json_array_size(messages) && st == PL_OK; i++)
		st = pl_turns_push_message(c, json_array_get(messages, i), err);
	return st;
}

/* ---- images ---- */

enum pl_status pl_turns_add_image(struct pl_turns *c, const struct pl_doc_image *image, struct pl_err *err)
{
	if (c->nimages == c->image_cap) {
		size_t cap = c->image_cap != 0 ? c->image_cap * 2 : 8;
		void *p;
		enum pl_status st = pl_kind_alloc(c->b.d, cap * sizeof(*image), &p, err);
		if (st != PL_OK)
			return st;
		if (c->nimages > 0)
			memcpy(p, c->images, c->nimages * sizeof(*image));
		c->images = p;
		c->image_cap = cap;
	}
	c->images[c->nimages++] = *image;
	return PL_OK;
}

enum pl_status pl_turns_push_image(struct pl_turns *c, const char *name, size_t len, struct pl_err *err)
{
	struct pl_doc_image image = pl_kind_named_image(name);
	static const char data[] = "data:";
	const char *comma;
	enum pl_status st = PL_OK;

	if (len >= sizeof(data) - 1 && memcmp(name, data, sizeof(data) - 1) == 0) {
		image.name = "";
		comma = memchr(name, ',', len);
		image.where = PL_WHERE_EMBEDDED;
		image.status = PL_REASON_CORRUPT;
		if (comma != NULL)
			st = pl_kind_embed(c->b.d, comma + 1, len - (size_t)(comma + 1 - name),
			    &image, err);
	}
	return st == PL_OK ? pl_turns_add_image(c, &image, err) : st;
}

/* The string that names an image: itself, or a member of an object. NULL = none. */
static const json_t *image_source(const json_t *v)
{
	static const char *const members[] = {"url", "path", "image", "image_url"};
	const json_t *s = v;

	for (size_t i = 0; json_is_object(v) && i < PL_ARRAY_LEN(members) &&
	    !json_is_string(s); i++)
		s = json_object_get(v, members[i]);
	return json_is_string(s) && json_string_length(s) > 0 ? s : NULL;
}

enum pl_status pl_turns_push_named(struct pl_turns *c, const json_t *v, struct pl_err *err)
{
	const json_t *s;
	enum pl_status st = PL_OK;

	if (v == NULL || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0))
		return PL_OK;
	if (!json_is_array(v)) {
		s = image_source(v);
		return s != NULL ? pl_turns_push_image(c, json_string_value(s), json_string_length(s), err)
		    : pl_kind_reject(c->b.d, PL_REASON_BAD_DOCUMENT);
	}
	for (size_t i = 0; i < json_array_size(v) && st == PL_OK; i++) {
		s = image_source(json_array_get(v, i));
		if (s == NULL)
			return pl_kind_reject(c->b.d, PL_REASON_BAD_DOCUMENT);
		st = pl_turns_push_image(c, json_string_value(s), json_string_length(s), err);
	}
	return st;
}

enum item_type { ITEM_BAD, ITEM_TEXT, ITEM_IMAGE, ITEM_MARKER };

/* What a part of a message's content is; *v is its text or the image's name. An image part without
 * a name stands for
 * one of the images named elsewhere. */
static enum item_type item_of(const json_t *item, const json_t **v)
{
	static const char *const members[] = {"image_url", "image", "url", "path"};
	const char *type = pl_json_str(item, "type");

	*v = item;
	if (json_is_string(item))
		return ITEM_TEXT;
	if (type == NULL)
		return ITEM_BAD;
	if (strcmp(type, "text") == 0) {
		*v = json_object_get(item, "text");
		return json_is_string(*v) ? ITEM_TEXT : ITEM_BAD;
	}
	if (strcmp(type, "image") != 0 && strcmp(type, "image_url") != 0)
		return ITEM_BAD;
	for (size_t i = 0; i < PL_ARRAY_LEN(members); i++) {
		const json_t *named = json_object_get(item, members[i]);
		if (named == NULL || json_is_null(named))
			continue;
		*v = image_source(named);
		return *v != NULL ? ITEM_IMAGE : ITEM_BAD;
	}
	return ITEM_MARKER;
}

static enum pl_status collect_items(struct pl_turns *c, const json_t *items, bool literal, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	const json_t *v;

	for (size_t i = 0; i < json_array_size(items) && st == PL_OK; i++) {
		switch (item_of(json_array_get(items, i), &v)) {
		case ITEM_BAD:
			return pl_kind_reject(c->b.d, PL_REASON_BAD_DOCUMENT);
		case ITEM_TEXT:
			if (!literal)
				c->markers += count_markers(json_string_value(v), json_string_length(v));
			continue;
		case ITEM_IMAGE:
			if (literal)
				return pl_kind_reject(c->b.d, PL_REASON_BAD_DOCUMENT);
			st = pl_turns_push_image(c, json_string_value(v), json_string_length(v), err);
			break;
		case ITEM_MARKER:
			if (literal)
				return pl_kind_reject(c->b.d, PL_REASON_BAD_DOCUMENT);
			c->markers++;
			break;
		}
	}
	return st;
}

static enum pl_status collect(struct pl_turns *c, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	c->top = c->nimages;
	for (size_t i = 0; i < c->nturns && st == PL_OK; i++) {
		const struct pl_turn *t = &c->turns[i];
		if (t->items != NULL)
			st = collect_items(c, t->items, t->literal, err);
		else if (!t->literal)
			c->markers += count_markers(t->text, t->len);
	}
	/* images that open a turn are at home there */
	for (size_t i = 0; i < c->nturns; i++)
		c->top -= c->turns[i].opens <= c->top ? c->turns[i].opens : c->top;
	return st;
}

/* Images in a sample's parts: by name, or, when no name fits and the counts agree, by position. */
static enum pl_status locate(struct pl_turns *c, struct pl_err *err)
{
	const struct shard_sample *s = c->in->sample;
	struct pl_part_index index;
	size_t found = 0, parts = 0, k = 0;
	enum pl_status st;

	if (s == NULL || c->nimages == 0)
		return PL_OK;
	st = pl_part_index_make(&index, c->b.d, s, err);
	if (st != PL_OK)
		return st;
	for (size_t i = 0; i < c->nimages; i++) {
		struct pl_doc_image *image = &c->images[i];
		const struct shard_part *p = image->where == PL_WHERE_NOWHERE
		    ? pl_part_index_find(&index, image->name) : NULL;
		if (image->where != PL_WHERE_NOWHERE || p != NULL)
			found++;
		if (p != NULL)
			*image = pl_kind_part_image(image->name, p);
	}
	for (size_t i = 0; i < s->nparts; i++)
		parts += shard_image_suffix(s->parts[i].suffix);
	if (found > 0 || parts != c->nimages)
		return PL_OK;
	for (size_t i = 0; i < s->nparts; i++) {
		if (!shard_image_suffix(s->parts[i].suffix))
			continue;
		c->images[k] = pl_kind_part_image(c->images[k].name, &s->parts[i]);
		k++;
	}
	return PL_OK;
}

/* ---- segments ---- */

static enum pl_status add_next_image(struct pl_turns *c, struct pl_kind_place at, struct pl_err *err)
{
	at.loss = false;
	return pl_kind_add_image(&c->b, at, &c->images[c->next++], err);
}

/* A text with its markers: "<image>\nWhat is this?" is an image and "What is this?". */
static enum pl_status add_marked_text(struct pl_turns *c, struct pl_kind_place at, const char *s,
    size_t len, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	size_t marker_len;
	const char *m;

	while (st == PL_OK && (m = find_marker(s, len, &marker_len)) != NULL) {
		size_t before = (size_t)(m - s), trimmed = before;
		pl_trim_back(s, &trimmed);
		st = pl_kind_add_text(&c->b, at, s, trimmed, err);
		if (st == PL_OK)
			st = add_next_image(c, at, err);
		s = m + marker_len;
		len -= before + marker_len;
		pl_trim_front(&s, &len);
	}
	return st == PL_OK ? pl_kind_add_text(&c->b, at, s, len, err) : st;
}

static enum pl_status add_items(struct pl_turns *c, struct pl_kind_place at, const json_t *items,
    bool literal, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	const json_t *v;

	for (size_t i = 0; i < json_array_size(items) && st == PL_OK; i++) {
		enum item_type type = item_of(json_array_get(items, i), &v);
		if (type == ITEM_TEXT && literal)
			st = pl_kind_add_text(&c->b, at, json_string_value(v), json_string_length(v), err);
		else if (type == ITEM_TEXT)
			st = add_marked_text(c, at, json_string_value(v), json_string_length(v),
			    err);
		else if (type == ITEM_MARKER || c->markers == 0)
			st = add_next_image(c, at, err);
	}
	return st;
}

/* The turn that images named outside the messages open when no marker says where: the first user
 * turn. */
static size_t opening_turn(const struct pl_turns *c)
{
	for (size_t i = 0; i < c->nturns; i++) {
		if (c->turns[i].role == PL_ROLE_USER)
			return i;
	}
	for (size_t i = 0; i < c->nturns; i++) {
		if (c->turns[i].role != PL_ROLE_SYSTEM)
			return i;
	}
	return 0;
}

static enum pl_status emit(struct pl_turns *c, struct pl_err *err)
{
	size_t opening = opening_turn(c), taken = 0;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < c->nturns && st == PL_OK; i++) {
		const struct pl_turn *t = &c->turns[i];
		struct pl_kind_place at = {.role = t->role, .turn = (uint32_t)i, .branch = t->branch,
			.loss = !t->mute && (t->role == PL_ROLE_ASSISTANT || t->role == PL_ROLE_NONE)};
		if (c->markers == 0 && i == opening) {
			for (c->next = 0; c->next < c->top && st == PL_OK;)
				st = add_next_image(c, at, err);
		}
		if (st != PL_OK)
			return st;
		if (c->markers == 0)
			c->next = c->top + taken;
		for (size_t k = 0; k < t->opens && st == PL_OK; k++)
			st = add_next_image(c, at, err);
		if (st != PL_OK)
			return st;
		if (t->items != NULL)
			st = add_items(c, at, t->items, t->literal, err);
		else if (t->literal)
			st = pl_kind_add_text(&c->b, at, t->text, t->len, err);
		else
			st = add_marked_text(c, at, t->text, t->len, err);
		if (c->markers == 0)
			taken = c->next - c->top;
	}
	return st;
}

enum pl_status pl_turns_finish(struct pl_turns *c, struct pl_err *err)
{
	struct pl_document *d = c->b.d;
	enum pl_status st = PL_OK;

	if (d->status == PL_REASON_KEEP)
		st = collect(c, err);
	if (st != PL_OK || d->status != PL_REASON_KEEP)
		return st;
	if (c->markers > 0 && c->markers != c->nimages)
		return pl_kind_reject(d, PL_REASON_MARKER_MISMATCH);
	st = locate(c, err);
	if (st == PL_OK)
		st = emit(c, err);
	if (st == PL_OK && d->status != PL_REASON_KEEP) {
		d->nsegments = 0;
		d->nimages = 0;
	}
	return st;
}
