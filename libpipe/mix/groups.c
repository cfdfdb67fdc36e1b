/* SPDX-License-Identifier: Apache-2.0 */
/* Names of groups: collected shard by shard, merged, read back. */
#include "groups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"

#define FORMAT "plait-groups"
enum { VERSION = 1, SLOTS = 4 * PL_GROUPS_MAX, MAX_BYTES = 1 << 30 };

const struct pl_npy_col pl_group_cols[] = {{"group", PL_NPY_U16, 1, 0}};
const size_t pl_group_ncols = PL_ARRAY_LEN(pl_group_cols);
_Static_assert(sizeof(struct pl_group_row) == 2, "group row is packed");

static enum pl_status too_many(struct pl_err *err)
{
	return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
	    "the expression of the groups has more than %d values: put them into buckets, as in \"CASE WHEN width < 256 THEN 'small' ELSE "
	    "'large' END\"",
	    (int)PL_GROUPS_MAX);
}

/* ---- one shard ---- */

enum pl_status pl_group_names_add(struct pl_group_names *g, const char *name, size_t len, uint16_t *group, struct pl_err *err)
{
	size_t bad = 0, at;

	if (name == NULL) {
		name = PL_GROUP_NULL;
		len = strlen(name);
	}
	if (g->slots == NULL) {
		g->slots = calloc(SLOTS, sizeof(*g->slots));
		g->items = calloc(PL_GROUPS_MAX, sizeof(*g->items));
		if (g->slots == NULL || g->items == NULL)
			return pl_fail_nomem(err);
	}
	for (at = pl_hash64(name, len) % SLOTS; g->slots[at] != 0; at = (at + 1) % SLOTS) {
		const char *known = g->items[g->slots[at] - 1];
		if (strlen(known) == len && memcmp(known, name, len) == 0) {
			*group = (uint16_t)(g->slots[at] - 1);
			return PL_OK;
		}
	}
	if (len > PL_GROUP_NAME_MAX || !pl_utf8_valid(name, len, &bad) || memchr(name, 0, len))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "a value of the groups' expression is no name: it must be UTF-8 of at most %d bytes", (int)PL_GROUP_NAME_MAX);
	if (g->n == PL_GROUPS_MAX)
		return too_many(err);
	g->items[g->n] = strndup(name, len);
	if (g->items[g->n] == NULL)
		return pl_fail_nomem(err);
	*group = (uint16_t)g->n;
	g->slots[at] = (uint16_t)++g->n;
	return PL_OK;
}

void pl_group_names_release(struct pl_group_names *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->items[i]);
	free(g->items);
	free(g->slots);
	memset(g, 0, sizeof(*g));
}

/* ---- all shards ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t find(char *const *names, size_t n, const char *name)
{
	char *const *at = n ? bsearch(&name, names, n, sizeof(*names), by_name) : NULL;

	return at ? (size_t)(at - names) : n;
}

/* All names of all shards, once each, sorted. */
static enum pl_status merge(const json_t *shards, struct pl_group_names *all, struct pl_err *err)
{
	const json_t *list, *name;
	size_t i, k;

	json_array_foreach((json_t *)(uintptr_t)shards, i, list)
		json_array_foreach((json_t *)(uintptr_t)list, k, name) {
			uint16_t unused;
			enum pl_status st = pl_group_names_add(all, json_string_value(name), json_string_length(name), &unused, err);
			if (st != PL_OK)
				return st;
		}
	if (all->n > 1)
		qsort(all->items, all->n, sizeof(*all->items), by_name);
	return PL_OK;
}

static json_t *numbers_of(const json_t *list, const struct pl_group_names *all)
{
	json_t *out = json_array();
	const json_t *name;
	size_t k;

	json_array_foreach((json_t *)(uintptr_t)list, k, name) {
		size_t at = find(all->items, all->n, json_string_value(name));
		if (json_array_append_new(out, json_integer((json_int_t)at)) != 0) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}

static json_t *dump(const char *by, const json_t *shards, const struct pl_group_names *all)
{
	json_t *names = json_array(), *numbers = json_array();
	const json_t *list;
	size_t i;
	bool ok = names != NULL && numbers != NULL;

	for (i = 0; i < all->n && ok; i++)
		ok = json_array_append_new(names, json_string(all->items[i])) == 0;
	json_array_foreach((json_t *)(uintptr_t)shards, i, list)
		ok = ok && json_array_append_new(numbers, numbers_of(list, all)) == 0;
	if (!ok) {
		json_decref(names);
		json_decref(numbers);
		return NULL;
	}
	return json_pack("{s:s,s:i,s:s,s:o,s:o}", "format", FORMAT, "version", VERSION, "by", by, "names", names, "shards", numbers);
}

enum pl_status pl_groups_save(const struct pl_corpus *c, const char *by, const json_t *shards, struct pl_err *err)
{
	struct pl_group_names all = {0};
	char *path = pl_path_join(c->dir, PL_GROUPS_JSON);
	enum pl_status st = path ? merge(shards, &all, err) : pl_fail_nomem(err);
	json_t *root;
	struct pl_buf out;

	pl_buf_init(&out, MAX_BYTES);
	errno = 0;   /* the library does not say why */
	root = st == PL_OK ? dump(by, shards, &all) : NULL;
	if (st == PL_OK && root == NULL)
		st = errno == ENOMEM ? pl_fail_nomem(err) : pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, c->dir,
		    "the groups cannot be written as JSON: an expression that is not UTF-8");
	if (st == PL_OK)
		st = pl_json_dump(root, false, &out, err);
	if (st == PL_OK)
		st = pl_buf_adds(&out, "\n", err);
	if (st == PL_OK)
		st = pl_file_write(path, out.data, out.len, err);
	pl_buf_release(&out);
	json_decref(root);
	pl_group_names_release(&all);
	free(path);
	return st;
}

/* ---- reading ---- */

static bool load_names(struct pl_groups *g, const json_t *list)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n > PL_GROUPS_MAX)
		return false;
	g->names = calloc(n + 1, sizeof(*g->names));
	if (g->names == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		const char *name = json_string_value(json_array_get(list, i));
		if (name == NULL || (i > 0 && strcmp(g->names[i - 1], name) >= 0))
			return false;
		g->names[i] = strdup(name);
		if (g->names[i] == NULL)
			return false;
		g->n = i + 1;
	}
	return true;
}

static bool load_shard(struct pl_groups *g, size_t shard, const json_t *list)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n > PL_GROUPS_MAX)
		return false;
	g->of[shard] = calloc(n + 1, sizeof(**g->of));
	for (size_t i = 0; i < n && g->of[shard] != NULL; i++) {
		const json_t *v = json_array_get(list, i);
		if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) >= g->n)
			return false;
		g->of[shard][i] = (uint16_t)json_integer_value(v);
	}
	g->nof[shard] = (uint32_t)n;
	return g->of[shard] != NULL;
}

static bool load_root(struct pl_groups *g, const json_t *root, size_t nshards)
{
	const char *format = pl_json_str(root, "format");
	const json_t *shards = json_object_get(root, "shards");
	bool ok = format != NULL && strcmp(format, FORMAT) == 0 && pl_json_num(root, "version", 0) == VERSION &&
	          json_array_size(shards) == nshards && load_names(g, json_object_get(root, "names"));

	if (!ok)
		return false;
	g->of = calloc(nshards + 1, sizeof(*g->of));
	g->nof = calloc(nshards + 1, sizeof(*g->nof));
	g->nshards = nshards;
	for (size_t i = 0; i < nshards && ok; i++)
		ok = g->of != NULL && g->nof != NULL && load_shard(g, i, json_array_get(shards, i));
	return ok;
}

enum pl_status pl_groups_load(struct pl_groups *g, const struct pl_corpus *c, struct pl_err *err)
{
	char *path = pl_path_join(c->dir, PL_GROUPS_JSON);
	json_t *root = NULL;
	enum pl_status st;

	memset(g, 0, sizeof(*g));
	st = path ? pl_json_load(path, MAX_BYTES, &root, err) : pl_fail_nomem(err);
	if (st == PL_ERR_NOTFOUND)
		st = pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_JOB, c->dir, "the tables of its groups are not there: run balance again");
	if (st == PL_OK && !load_root(g, root, c->nshards))
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path, "no groups of this corpus: run balance again with --force");
	if (st != PL_OK)
		pl_groups_release(g);
	json_decref(root);
	free(path);
	return st;
}

void pl_groups_release(struct pl_groups *g)
{
	for (size_t i = 0; i < g->n; i++)
		free(g->names[i]);
	for (size_t i = 0; i < g->nshards && g->of != NULL; i++)
		free(g->of[i]);
	free(g->names);
	free(g->of);
	free(g->nof);
	memset(g, 0, sizeof(*g));
}

/* ---- parts ---- */

static size_t part_named(const struct pl_group_parts *p, const char *name)
{
	size_t i = 0;

	while (i < p->n && strcmp(p->names[i], name) != 0)
		i++;
	return i;
}

static bool add_part(struct pl_group_parts *p, const char *name)
{
	char *copy = strdup(name);

	if (copy != NULL)
		p->names[p->n++] = copy;
	return copy != NULL;
}

enum pl_status pl_group_parts_make(struct pl_group_parts *p, const struct pl_groups *g, const char *const *names, size_t n,
    struct pl_err *err)
{
	char **list = calloc((names ? n : g->n) + 2, sizeof(*list));
	uint16_t *part_of = calloc(g->n + 1, sizeof(*part_of));
	bool ok = true;

	*p = (struct pl_group_parts){.groups = g};
	if (!list || !part_of) {
		free(list);
		free(part_of);
		return pl_fail_nomem(err);
	}
	p->names = list;
	p->part_of = part_of;
	for (size_t i = 0; ok && i < (names ? n : g->n); i++)
		ok = add_part(p, names ? names[i] : g->names[i]);
	for (size_t i = 0; ok && i < g->n; i++) {
		size_t part = names ? part_named(p, g->names[i]) : i;
		if (part == p->n)
			part = part_named(p, PL_GROUP_OTHER);
		if (part == p->n)
			ok = add_part(p, PL_GROUP_OTHER);
		p->part_of[i] = (uint16_t)part;
	}
	if (ok)
		return PL_OK;
	pl_group_parts_release(p);
	return pl_fail_nomem(err);
}

void pl_group_parts_release(struct pl_group_parts *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->names[i]);
	free(p->names);
	free(p->part_of);
	memset(p, 0, sizeof(*p));
}
