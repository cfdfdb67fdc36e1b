/* SPDX-License-Identifier: Apache-2.0 */
/* YAML by libyaml into a tree that remembers lines, and a schema that turns
 * it into checked C values: unknown keys, wrong types and values out of range
 * are errors with file, line, what is wrong and what would be right. Anchors
 * and aliases are refused, depth <= 32, file <= 4 MiB. */
#ifndef PL_BASE_YAML_H
#define PL_BASE_YAML_H

#include "buf.h"
#include "err.h"

enum pl_yaml_type { PL_YAML_SCALAR, PL_YAML_MAP, PL_YAML_LIST };
struct pl_yaml {
	enum pl_yaml_type type;
	uint32_t line;               /* 1-based */
	const char *text;            /* scalar */
	bool quoted;                 /* scalar was quoted: a string whatever it looks like */
	const char **keys;           /* map: n keys */
	uint32_t *key_lines;
	struct pl_yaml **items;      /* map values or list items */
	size_t n;
};

/* Parse the text of path (name for messages) into nodes that live in arena. PL_ERR_USAGE with line. */
PL_MUST_CHECK enum pl_status pl_yaml_parse(const char *path, const char *text, size_t len, struct pl_arena *arena,
    struct pl_yaml **root, struct pl_err *err);
const struct pl_yaml *pl_yaml_get(const struct pl_yaml *map, const char *key);   /* NULL = absent */

enum pl_field_type {
	PL_FIELD_STR,     /* const char ** */
	PL_FIELD_INT,     /* int64_t * */
	PL_FIELD_REAL,    /* double * */
	PL_FIELD_BOOL,    /* bool * (true/false/yes/no) */
	PL_FIELD_SIZE,    /* uint64_t *, "256MiB" */
	PL_FIELD_COUNT,   /* uint64_t *, "2G", "1000000" */
	PL_FIELD_CHOICE,  /* int * */
	PL_FIELD_STRLIST, /* struct pl_field_strs *; a single scalar is a list of one */
	PL_FIELD_REALS,   /* struct pl_field_reals *: a map from names of any sort to numbers */
	PL_FIELD_MAP,     /* sub-struct at offset, filled by sub (offset 0: sub's offsets are the outer struct's) */
	PL_FIELD_LIST     /* struct pl_field_list *: list of maps, each item_size bytes, by sub-schema */
};
struct pl_field_strs { const char **items; size_t n; };
struct pl_field_list { void *items; size_t n; };
struct pl_field_reals { const char **keys; double *values; size_t n; };
struct pl_field {
	const char *key;
	enum pl_field_type type;
	size_t offset;                 /* into the struct being filled (for MAP: of the sub-struct) */
	bool required;
	double min, max;               /* both 0 = unchecked */
	const char *const *choices;
	const struct pl_field *sub;    /* MAP, LIST; ends with key == NULL */
	size_t item_size;              /* LIST */
	const void *item_defaults;     /* LIST: copied into each item before it is filled; NULL = zeroed */
	size_t line_offset;            /* if non-zero: the uint32_t there gets the key's line; 0 there = key absent */
};
/* Fill *dst from node by fields (end with key == NULL). What node does not name keeps what dst held:
 * the caller's defaults; each LIST item starts as a copy of item_defaults. where: what node is called in
 * messages ("sources[0]"), NULL or "" for the whole file. All storage in arena. PL_ERR_USAGE:
 * "'recipe.yaml':12: unknown key 'weigth' in sources[0]; did you mean 'weight'?". */
PL_MUST_CHECK enum pl_status pl_yaml_fill(const char *path, const struct pl_yaml *node, const struct pl_field *fields,
    const char *where, void *dst, struct pl_arena *arena, struct pl_err *err);

#endif
