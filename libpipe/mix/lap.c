/* SPDX-License-Identifier: Apache-2.0 */
/* The Hungarian method with potentials: rows are added one at a time, each by a
 * shortest augmenting path over reduced costs. */
#include "lap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct lap {
	size_t n, m;            /* n <= m */
	const float *const *rows;
	bool turned;            /* the n are columns of what was asked */
	double *u, *v, *low;    /* potentials; smallest reduced cost met for a column */
	uint32_t *match, *way;  /* 1-based; match[j]: row of column j, 0 = free */
	bool *used;
};

static double cost(const struct lap *l, size_t i, size_t j)
{
	return -(double)(l->turned ? l->rows[j][i] : l->rows[i][j]);
}

/* One step of the search from column j0: the cheapest column not used yet. */
static size_t next_column(struct lap *l, size_t j0)
{
	size_t i0 = l->match[j0], best = 0;
	double delta = INFINITY;

	l->used[j0] = true;
	for (size_t j = 1; j <= l->m; j++) {
		double reduced;
		if (l->used[j])
			continue;
		reduced = cost(l, i0 - 1, j - 1) - l->u[i0] - l->v[j];
		if (reduced < l->low[j]) {
			l->low[j] = reduced;
			l->way[j] = (uint32_t)j0;
		}
		if (l->low[j] < delta) {
			delta = l->low[j];
			best = j;
		}
	}
	for (size_t j = 0; j <= l->m; j++) {
		if (l->used[j]) {
			l->u[l->match[j]] += delta;
			l->v[j] -= delta;
		} else {
			l->low[j] -= delta;
		}
	}
	return best;
}

static void add_row(struct lap *l, size_t row)
{
	size_t j = 0;

	l->match[0] = (uint32_t)row;
	for (size_t k = 0; k <= l->m; k++) {
		l->low[k] = INFINITY;
		l->used[k] = false;
	}
	do {
		j = next_column(l, j);
	} while (l->match[j] != 0);
	while (j != 0) {
		size_t before = l->way[j];
		l->match[j] = l->match[before];
		j = before;
	}
}

static bool make(struct lap *l)
{
	size_t k = l->m + 1;

	l->u = calloc(l->n + 1, sizeof(*l->u));
	l->v = calloc(k, sizeof(*l->v));
	l->low = calloc(k, sizeof(*l->low));
	l->match = calloc(k, sizeof(*l->match));
	l->way = calloc(k, sizeof(*l->way));
	l->used = calloc(k, sizeof(*l->used));
	return l->u && l->v && l->low && l->match && l->way && l->used;
}

enum pl_status pl_lap(const float *const *rows, size_t nrows, size_t ncols, uint32_t *column, struct pl_err *err)
{
	struct lap l = {.rows = rows, .turned = nrows > ncols};
	enum pl_status st = PL_OK;

	l.n = l.turned ? ncols : nrows;
	l.m = l.turned ? nrows : ncols;
	for (size_t i = 0; i < nrows; i++)
		column[i] = PL_LAP_NONE;
	if (l.n == 0)
		return PL_OK;
	/* n <= m; the product of what passes the first two fits 64 bits */
	if (l.m > PL_LAP_WORK_MAX || l.n > 8192 || (uint64_t)l.n * l.n * l.m > PL_LAP_WORK_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_ITEM, NULL, "%zu images and %zu sentences are more than are assigned", nrows, ncols);
	if (make(&l)) {
		for (size_t i = 1; i <= l.n; i++)
			add_row(&l, i);
		for (size_t j = 1; j <= l.m; j++) {
			if (l.match[j] == 0)
				continue;
			if (l.turned)
				column[j - 1] = l.match[j] - 1;
			else
				column[l.match[j] - 1] = (uint32_t)(j - 1);
		}
	} else {
		st = pl_fail_nomem(err);
	}
	free(l.u);
	free(l.v);
	free(l.low);
	free(l.match);
	free(l.way);
	free(l.used);
	return st;
}
