/* SPDX-License-Identifier: Apache-2.0 */
/* Union-find over the nodes that occur in pairs; roots are the smallest. */
#include "components.h"

#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 1 << 20 };   /* pairs */

struct forest { uint64_t *node, *parent; size_t n; };   /* node: sorted; parent: index, never larger than one's own */

static int compare_u64(const void *x, const void *y)
{
	const uint64_t *a = x, *b = y;

	return (*a > *b) - (*a < *b);
}

static void forest_free(struct forest *f)
{
	free(f->node);
	free(f->parent);
}

static enum pl_status forest_new(struct forest *f, const struct pl_link *pairs, size_t n, pl_poll *poll, void *ctx, struct pl_err *err)
{
	enum pl_status st;
	size_t unique = 0;

	*f = (struct forest){0};
	f->node = n < SIZE_MAX / 2 / sizeof(*f->node) - 1 ? calloc(2 * n + 1, sizeof(*f->node)) : NULL;
	if (!f->node)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < n; i++) {
		f->node[2 * i] = pairs[i].a;
		f->node[2 * i + 1] = pl_link_b(&pairs[i]);
	}
	st = pl_sort(f->node, 2 * n, sizeof(*f->node), compare_u64, poll, ctx, err);
	if (st != PL_OK) {
		forest_free(f);
		return st;
	}
	for (size_t i = 0; i < 2 * n; i++)
		if (i == 0 || f->node[i] != f->node[unique - 1])
			f->node[unique++] = f->node[i];
	f->n = unique;
	f->parent = calloc(unique + 1, sizeof(*f->parent));
	if (!f->parent) {
		forest_free(f);
		return pl_fail_nomem(err);
	}
	for (size_t i = 0; i < unique; i++)
		f->parent[i] = i;
	return PL_OK;
}

static uint64_t find_root(struct forest *f, uint64_t i)
{
	while (f->parent[i] != i) {
		f->parent[i] = f->parent[f->parent[i]];
		i = f->parent[i];
	}
	return i;
}

static uint64_t index_of(const struct forest *f, uint64_t node)
{
	const uint64_t *at = bsearch(&node, f->node, f->n, sizeof(node), compare_u64);

	return (uint64_t)(at - f->node);
}

/* Were they apart? */
static bool join(struct forest *f, const struct pl_link *p)
{
	uint64_t a = find_root(f, index_of(f, p->a)), b = find_root(f, index_of(f, pl_link_b(p)));

	if (a == b)
		return false;
	f->parent[a < b ? b : a] = a < b ? a : b;
	return true;
}

static enum pl_status thin(struct pl_link *pairs, size_t *n, pl_poll *poll, void *ctx, struct pl_err *err)
{
	struct forest f;
	size_t left = 0;
	enum pl_status st = forest_new(&f, pairs, *n, poll, ctx, err);

	if (st != PL_OK)
		return st;
	for (size_t i = 0; i < *n; i++)
		if (join(&f, &pairs[i]))
			pairs[left++] = pairs[i];
	*n = left;
	forest_free(&f);
	return poll ? poll(ctx, err) : PL_OK;
}

enum pl_status pl_components_thin(struct pl_link *pairs, size_t *n, pl_poll *poll, void *ctx, struct pl_err *err)
{
	size_t kept = 0, at = 0;
	enum pl_status st = PL_OK;

	while (at < *n && st == PL_OK) {
		size_t take = kept > AT_ONCE ? kept : AT_ONCE;
		take = take < *n - at ? take : *n - at;
		memmove(pairs + kept, pairs + at, take * sizeof(*pairs));
		at += take;
		kept += take;
		st = thin(pairs, &kept, poll, ctx, err);
	}
	*n = kept;
	return st;
}

enum pl_status pl_components_first(struct pl_link *pairs, size_t n, pl_poll *poll, void *ctx, struct pl_buf *out,
    struct pl_err *err)
{
	struct forest f;
	enum pl_status st = forest_new(&f, pairs, n, poll, ctx, err);

	if (st != PL_OK)
		return st;
	for (size_t i = 0; i < n; i++)
		(void)join(&f, &pairs[i]);
	for (size_t i = 0; i < f.n && st == PL_OK; i++) {
		uint64_t root = find_root(&f, i);
		struct pl_link p = pl_link(f.node[root], f.node[i], 0);
		if (root != i)
			st = pl_buf_add(out, &p, sizeof(p), err);
	}
	forest_free(&f);
	return st;
}
