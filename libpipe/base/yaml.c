/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's events into a tree in an arena. What recipes have no use for is
 * refused: aliases (bombs), tags, keys that are no text, several documents. */
#include "yaml.h"

#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 32, MAX_BYTES = 4 << 20, MAX_KEYS = 1024 };

struct loader {
	yaml_parser_t parser;
	const char *path;
	const char *text;
	size_t len;
	struct pl_arena *arena;
	struct pl_err *err;
};

static enum pl_status bad(const struct loader *l, size_t line, const char *what)
{
	pl_fail(l->err, PL_ERR_USAGE, PL_SEV_JOB, l->path, "%s", what);
	pl_err_at_line(l->err, l->path, (uint32_t)line);
	return PL_ERR_USAGE;
}

static enum pl_status no_room(const struct loader *l)
{
	return pl_fail(l->err, PL_ERR_LIMIT, PL_SEV_JOB, l->path, "no memory left for its values");
}

/* What libyaml holds against the text. */
static enum pl_status parser_error(const struct loader *l)
{
	const yaml_parser_t *p = &l->parser;
	size_t line = p->problem_mark.line + 1;

	if (p->error == YAML_MEMORY_ERROR)
		return pl_fail_nomem(l->err);
	if (p->error == YAML_READER_ERROR) {
		/* bytes that are no characters: only their offset is known */
		line = 1;
		for (size_t i = 0; i < p->problem_offset && i < l->len; i++)
			line += l->text[i] == '\n';
	}
	pl_fail(l->err, PL_ERR_USAGE, PL_SEV_JOB, l->path, "not YAML: %s%s%s",
	    p->context ? p->context : "", p->context ? ": " : "",
	    p->problem ? p->problem : "unknown error");
	pl_err_at_line(l->err, l->path, (uint32_t)line);
	return PL_ERR_USAGE;
}

/* The next event, refused when it carries something a recipe may not have. */
static enum pl_status next_event(struct loader *l, yaml_event_t *ev)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;
	const char *what = NULL;
	size_t line;

	if (!yaml_parser_parse(&l->parser, ev))
		return parser_error(l);
	line = ev->start_mark.line + 1;
	if (ev->type == YAML_SCALAR_EVENT) {
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
		if (memchr(ev->data.scalar.value, 0, ev->data.scalar.length))
			what = "a zero byte has no place in a value";
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
	} else if (ev->type == YAML_ALIAS_EVENT) {
		anchor = ev->data.alias.anchor;
	}
	if (anchor)
		what = "anchors and aliases (& and *) are not allowed: write the value out";
	else if (tag)
		what = "tags (!) are not allowed";
	if (!what)
		return PL_OK;
	yaml_event_delete(ev);
	return bad(l, line, what);
}

/* Room for one more in the arrays of node; they double, so n is a power of two when full. */
static bool grow(struct loader *l, struct pl_yaml *node)
{
	size_t n = node->n, cap = n ? 2 * n : 8;
	struct pl_yaml **items;

	if (n != 0 && (n < 8 || (n & (n - 1)) != 0))
		return true;
	items = pl_arena_alloc(l->arena, cap * sizeof(struct pl_yaml *));
	if (!items)
		return false;
	if (n > 0)
		memcpy(items, node->items, n * sizeof(struct pl_yaml *));
	node->items = items;
	if (node->type == PL_YAML_MAP) {
		const char **keys = pl_arena_alloc(l->arena, cap * sizeof(const char *));
		uint32_t *lines = pl_arena_alloc(l->arena, cap * sizeof(uint32_t));
		if (!keys || !lines)
			return false;
		if (n > 0) {
			memcpy(keys, node->keys, n * sizeof(const char *));
			memcpy(lines, node->key_lines, n * sizeof(uint32_t));
		}
		node->keys = keys;
		node->key_lines = lines;
	}
	return true;
}

static enum pl_status load_node(struct loader *l, const yaml_event_t *ev, unsigned depth,
    struct pl_yaml **out);

static enum pl_status load_list(struct loader *l, struct pl_yaml *node, unsigned depth)
{
	for (;;) {
		yaml_event_t ev;
		enum pl_status st = next_event(l, &ev);
		if (st != PL_OK)
			return st;
		if (ev.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&ev);
			return PL_OK;
		}
		st = grow(l, node) ? load_node(l, &ev, depth, &node->items[node->n]) : no_room(l);
		yaml_event_delete(&ev);
		if (st != PL_OK)
			return st;
		node->n++;
	}
}

static enum pl_status load_key(struct loader *l, const yaml_event_t *ev, struct pl_yaml *node)
{
	size_t line = ev->start_mark.line + 1;
	const char *key;

	if (ev->type != YAML_SCALAR_EVENT)
		return bad(l, line, "a key must be plain text");
	if (node->n >= MAX_KEYS)
		return bad(l, line, "more than 1024 keys in one map");
	key = pl_arena_strndup(
	    l->arena, (const char *)ev->data.scalar.value, ev->data.scalar.length);
	if (!key || !grow(l, node))
		return no_room(l);
	for (size_t i = 0; i < node->n; i++) {
		if (strcmp(node->keys[i], key) == 0) {
			pl_fail(l->err, PL_ERR_USAGE, PL_SEV_JOB, l->path,
			    "key '%.80s' is there twice, first at line %u", key,
			    (unsigned)node->key_lines[i]);
			pl_err_at_line(l->err, l->path, (uint32_t)line);
			return PL_ERR_USAGE;
		}
	}
	node->keys[node->n] = key;
	node->key_lines[node->n] = (uint32_t)line;
	return PL_OK;
}

static enum pl_status load_map(struct loader *l, struct pl_yaml *node, unsigned depth)
{
	for (;;) {
		yaml_event_t ev;
		enum pl_status st = next_event(l, &ev);
		if (st != PL_OK)
			return st;
		if (ev.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&ev);
			return PL_OK;
		}
		st = load_key(l, &ev, node);
		yaml_event_delete(&ev);
		if (st == PL_OK)
			st = next_event(l, &ev);
		if (st != PL_OK)
			return st;
		st = load_node(l, &ev, depth, &node->items[node->n]);
		yaml_event_delete(&ev);
		if (st != PL_OK)
			return st;
		node->n++;
	}
}

static enum pl_status load_node(struct loader *l, const yaml_event_t *ev, unsigned depth,
    struct pl_yaml **out)
{
	size_t line = ev->start_mark.line + 1;
	struct pl_yaml *node = pl_arena_alloc(l->arena, sizeof(*node));

	if (!node)
		return no_room(l);
	node->line = (uint32_t)line;
	*out = node;
	if (ev->type == YAML_SCALAR_EVENT) {
		node->type = PL_YAML_SCALAR;
		node->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
		node->text = pl_arena_strndup(l->arena, (const char *)ev->data.scalar.value,
		    ev->data.scalar.length);
		return node->text ? PL_OK : no_room(l);
	}
	if (depth >= MAX_DEPTH)
		return bad(l, line, "nested deeper than 32 levels");
	if (ev->type == YAML_SEQUENCE_START_EVENT) {
		node->type = PL_YAML_LIST;
		return load_list(l, node, depth + 1);
	}
	if (ev->type == YAML_MAPPING_START_EVENT) {
		node->type = PL_YAML_MAP;
		return load_map(l, node, depth + 1);
	}
	return bad(l, line, "expected a value");
}

/* Take the event that must come next. */
static enum pl_status expect(struct loader *l, yaml_event_type_t type, const char *otherwise)
{
	yaml_event_t ev;
	enum pl_status st = next_event(l, &ev);

	if (st != PL_OK)
		return st;
	if (ev.type != type)
		st = bad(l, ev.start_mark.line + 1, otherwise);
	yaml_event_delete(&ev);
	return st;
}

static enum pl_status load(struct loader *l, struct pl_yaml **root)
{
	yaml_event_t ev;
	enum pl_status st = expect(l, YAML_STREAM_START_EVENT, "not YAML");

	if (st == PL_OK)
		st = expect(l, YAML_DOCUMENT_START_EVENT, "the file is empty");
	if (st == PL_OK)
		st = next_event(l, &ev);
	if (st != PL_OK)
		return st;
	st = load_node(l, &ev, 0, root);
	yaml_event_delete(&ev);
	if (st == PL_OK)
		st = expect(l, YAML_DOCUMENT_END_EVENT, "expected the end of the file");
	if (st == PL_OK)
		st = expect(l, YAML_STREAM_END_EVENT, "a second document ('---') in one file");
	return st;
}

enum pl_status pl_yaml_parse(const char *path, const char *text, size_t len, struct pl_arena *arena,
    struct pl_yaml **root, struct pl_err *err)
{
	struct loader l = {.path = path, .text = text, .len = len, .arena = arena, .err = err};
	struct pl_yaml *node = NULL;
	enum pl_status st;

	if (len > MAX_BYTES)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, path, "larger than 4 MiB");
	if (!yaml_parser_initialize(&l.parser))
		return pl_fail_nomem(err);
	yaml_parser_set_input_string(&l.parser, (const unsigned char *)text, len);
	st = load(&l, &node);
	yaml_parser_delete(&l.parser);
	if (st == PL_OK)
		*root = node;
	return st;
}

const struct pl_yaml *pl_yaml_get(const struct pl_yaml *map, const char *key)
{
	if (!map || map->type != PL_YAML_MAP)
		return NULL;
	for (size_t i = 0; i < map->n; i++) {
		if (strcmp(map->keys[i], key) == 0)
			return map->items[i];
	}
	return NULL;
}
