/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of a corpus' samples: the values of an SQL expression, as numbers in
 * UNIT.groups.npy, with the names beside them in groups.json. */
#ifndef PL_MIX_GROUPS_H
#define PL_MIX_GROUPS_H

#include "libpipe/base/json.h"
#include "libpipe/corpus/corpus.h"

#define PL_GROUPS_JSON "groups.json"
#define PL_GROUP_NULL "(null)"     /* the expression has no value */
#define PL_GROUP_OTHER "(other)"   /* all groups that a recipe does not name */
enum { PL_GROUPS_MAX = 4096, PL_GROUP_NAME_MAX = 128 };   /* groups of a corpus; bytes of a name */

/* UNIT.groups.npy: rows of samples. The number is of the shard's own list of names, in the order they first appear. */
struct pl_group_row { uint16_t group; };
extern const struct pl_npy_col pl_group_cols[];
extern const size_t pl_group_ncols;

/* The names that the rows of one shard have shown so far. Zeroed to begin with. */
struct pl_group_names { char **items; size_t n; uint16_t *slots; };
/* *group: the number of name[len], added if it is new. NULL is PL_GROUP_NULL. PL_ERR_USAGE: too many, too long, or no UTF-8. */
PL_MUST_CHECK enum pl_status pl_group_names_add(struct pl_group_names *g, const char *name, size_t len, uint16_t *group, struct pl_err *err);
void pl_group_names_release(struct pl_group_names *g);

/* Write groups.json. shards: for each shard of the corpus, in order, the array of its names. */
PL_MUST_CHECK enum pl_status pl_groups_save(const struct pl_corpus *c, const char *by, const json_t *shards, struct pl_err *err);

/* groups.json, read: all names, sorted by bytes, and for each shard what its numbers mean. */
struct pl_groups {
	char **names; size_t n;
	uint16_t **of; uint32_t *nof; size_t nshards;   /* of[shard][number in its table] = index into names; nof[shard] of them */
};
PL_MUST_CHECK enum pl_status pl_groups_load(struct pl_groups *g, const struct pl_corpus *c, struct pl_err *err);
void pl_groups_release(struct pl_groups *g);

/* The groups that a plan tells apart: parts[i] of n names; which part each group of the corpus belongs to. */
struct pl_group_parts {
	const struct pl_groups *groups;
	char **names; size_t n;
	uint16_t *part_of;         /* groups->n entries */
};
/* Parts of the names given, in their order; the other groups are one more, PL_GROUP_OTHER, if there are any and it is not among the names.
 * names NULL: each group is a part. */
PL_MUST_CHECK enum pl_status pl_group_parts_make(struct pl_group_parts *p, const struct pl_groups *g, const char *const *names, size_t n,
    struct pl_err *err);
void pl_group_parts_release(struct pl_group_parts *p);

#endif
