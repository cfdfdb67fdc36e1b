/* SPDX-License-Identifier: Apache-2.0 */
/* First-fit decreasing (Johnson 1973): a tree over the bins holds the most room
 * below each node, so the first bin with room is found in logarithmic time. */
#include <stdlib.h>

#include "sequence.h"

struct item { uint64_t cost; uint32_t index; };

static int largest_first(const void *x, const void *y)
{
	const struct item *a = x, *b = y;

	if (a->cost != b->cost)
		return a->cost > b->cost ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

/* The first bin with room for cost <= budget; room[1] is the root, bins begin at room[leaves]. There is one: no more bins are used
 * than there are items. */
static uint32_t first_with_room(const uint64_t *room, uint32_t leaves, uint64_t cost)
{
	size_t node = 1;

	while (node < leaves)
		node = room[2 * node] >= cost ? 2 * node : 2 * node + 1;
	return (uint32_t)(node - leaves);
}

static void set_room(uint64_t *room, uint32_t leaves, uint32_t bin, uint64_t left)
{
	size_t node = (size_t)leaves + bin;

	room[node] = left;
	for (node /= 2; node > 0; node /= 2)
		room[node] = room[2 * node] > room[2 * node + 1] ? room[2 * node] : room[2 * node + 1];
}

/* Bins by their first item. */
static void number_bins(uint32_t *bins, uint32_t n, uint32_t *number, uint32_t *nbins)
{
	*nbins = 0;
	for (uint32_t i = 0; i < n; i++)
		number[i] = UINT32_MAX;
	for (uint32_t i = 0; i < n; i++) {
		if (number[bins[i]] == UINT32_MAX)
			number[bins[i]] = (*nbins)++;
		bins[i] = number[bins[i]];
	}
}

enum pl_status pl_first_fit(
    const uint64_t *costs, uint32_t n, uint64_t budget, uint32_t *bins, uint32_t *nbins, struct pl_err *err)
{
	struct item *items = calloc((size_t)n + 1, sizeof(*items));
	uint32_t *number = calloc((size_t)n + 1, sizeof(*number)), leaves = 1, own = n;
	uint64_t *room;
	enum pl_status st = PL_OK;

	while (leaves < n)
		leaves *= 2;
	room = calloc(2 * (size_t)leaves, sizeof(*room));
	if (items && number && room) {
		for (uint32_t i = 0; i < n; i++)
			items[i] = (struct item){costs[i], i};
		for (uint32_t i = 0; i < n; i++)
			room[leaves + i] = budget;
		for (size_t node = leaves - 1; node > 0; node--)
			room[node] = room[2 * node] > room[2 * node + 1] ? room[2 * node] : room[2 * node + 1];
		qsort(items, n, sizeof(*items), largest_first);
		for (uint32_t i = 0; i < n; i++) {
			uint32_t bin = items[i].cost > budget ? --own : first_with_room(room, leaves, items[i].cost);
			set_room(room, leaves, bin, items[i].cost > budget ? 0 : room[leaves + bin] - items[i].cost);
			bins[items[i].index] = bin;
		}
		number_bins(bins, n, number, nbins);
	} else {
		st = pl_fail_nomem(err);
	}
	free(items);
	free(number);
	free(room);
	return st;
}
