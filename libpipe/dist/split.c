/* SPDX-License-Identifier: Apache-2.0 */
/* The list of units is played through: the largest goes to the rank that is
 * free first. What ends late although it is begun as early as it can be is
 * what has to be cut. */
#include "split.h"

#include <stdlib.h>

struct unit { uint64_t size, index; };

static int by_size(const void *a, const void *b)
{
	const struct unit *x = a, *y = b;

	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static struct unit *sorted(const uint64_t *sizes, uint64_t n)
{
	struct unit *units = calloc((size_t)n + 1, sizeof(*units));

	for (uint64_t i = 0; i < n && units != NULL; i++)
		units[i] = (struct unit){ sizes[i], i };
	if (units != NULL)
		qsort(units, (size_t)n, sizeof(*units), by_size);
	return units;
}

uint64_t *pl_largest_first(const uint64_t *sizes, uint64_t n)
{
	struct unit *units = sorted(sizes, n);
	uint64_t *order = calloc((size_t)n + 1, sizeof(*order));

	for (uint64_t i = 0; i < n && units != NULL && order != NULL; i++)
		order[i] = units[i].index;
	if (units == NULL) {
		free(order);
		order = NULL;
	}
	free(units);
	return order;
}

/* Loads of the ranks as a heap, the smallest on top: it has grown. */
static void sift(double *load, int ranks)
{
	int at = 0;

	for (int child = 1; child < ranks; child = 2 * at + 1) {
		double moved = load[at];
		if (child + 1 < ranks && load[child + 1] < load[child])
			child++;
		if (load[child] >= moved)
			return;
		load[at] = load[child];
		load[child] = moved;
		at = child;
	}
}

static void play(const struct unit *units, uint64_t n, double *load, int ranks, double latest, uint64_t step, bool *split)
{
	for (uint64_t i = 0; i < n; i++) {
		const struct unit *u = &units[i];
		double end = load[0] + (double)u->size;
		split[u->index] = u->size > 2 * step && end > latest;
		if (split[u->index])
			continue;
		load[0] = end;
		sift(load, ranks);
	}
}

enum pl_status pl_split_plan(const uint64_t *sizes, uint64_t n, int ranks, uint64_t piece, bool *split, uint64_t *step, struct pl_err *err)
{
	struct unit *units = sorted(sizes, n);
	double *load = calloc((size_t)ranks, sizeof(*load)), share = 0;

	if (units == NULL || load == NULL) {
		free(units);
		free(load);
		return pl_fail_nomem(err);
	}
	for (uint64_t i = 0; i < n; i++) {
		share += (double)sizes[i] / ranks;
		split[i] = piece > 0 && sizes[i] / 2 > piece;
	}
	*step = piece;
	if (piece == 0) {
		*step = PL_SPLIT_MIN;
		while ((double)*step * 2 <= share / 32)
			*step *= 2;
		play(units, n, load, ranks, share * 1.05, *step, split);
	}
	free(units);
	free(load);
	return PL_OK;
}
