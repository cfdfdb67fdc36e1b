/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of shard names: braces, globs, standard input. */
#ifndef PL_BASE_NAMES_H
#define PL_BASE_NAMES_H

#include <stdio.h>
#include "err.h"

struct pl_names { char **items; size_t len, cap; };   /* owned strings */

void pl_names_init(struct pl_names *n);
void pl_names_release(struct pl_names *n);
PL_MUST_CHECK enum pl_status pl_names_add(struct pl_names *n, const char *name, struct pl_err *err);

/* Expand {a,b} and {00000..00331} (zero padding kept, nesting allowed, "{}" and
 * unbalanced braces literal), then glob * ? [..] against the file system
 * (sorted bytewise). A glob that matches nothing is PL_ERR_NOTFOUND. At most
 * 10,000,000 names (PL_ERR_LIMIT). */
PL_MUST_CHECK enum pl_status pl_names_expand(struct pl_names *n, const char *pattern, struct pl_err *err);

/* One name a line from f until end of file; empty lines skipped; no expansion. */
PL_MUST_CHECK enum pl_status pl_names_read(struct pl_names *n, FILE *f, struct pl_err *err);

/* Sort bytewise; the same name twice is PL_ERR_USAGE naming it. */
PL_MUST_CHECK enum pl_status pl_names_sort_unique(struct pl_names *n, struct pl_err *err);

/* "a/b/00017.tar.zst" -> "00017": base name up to its first dot, in malloc'ed storage (NULL = no memory). Of MDS shards,
 * "shard.00017.mds.zstd" -> "shard-00017". */
char *pl_name_stem(const char *path);

#endif
