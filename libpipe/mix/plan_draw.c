/* SPDX-License-Identifier: Apache-2.0 */
/* How far into a pass the draws go. Keys are cut into buckets: a walk over the
 * tables weighs the buckets, then the rows of the one where the target is met
 * are looked at again. */
#include "plan_draw.h"

#include <stdlib.h>
#include <string.h>

struct candidate { struct pl_order_place place; struct pl_drawn holds; uint64_t j; };

struct walk {
	const struct pl_draw_rule *rule;
	const struct pl_order *order;
	struct pl_order_place places[PL_SELECT_BATCH];
	unsigned shift;                /* of keys, to their bucket */
	struct pl_drawn *buckets; size_t nbuckets;
	struct pl_drawn sum;           /* of the drawn ones, where their number is known */
};

static struct pl_drawn weigh(const struct pl_draw_rule *rule, const struct pl_sample_cost *cost)
{
	struct pl_drawn d = {.samples = 1, .images = cost->images, .tokens = cost->text_tokens + cost->image_tokens};

	d.units = rule->unit == PL_UNIT_SAMPLES ? 1 : rule->unit == PL_UNIT_IMAGES ? d.images : d.tokens;
	return d;
}

static void add(struct pl_drawn *sum, const struct pl_drawn *d)
{
	sum->units += d->units;
	sum->samples += d->samples;
	sum->images += d->images;
	sum->tokens += d->tokens;
}

static enum pl_status weigh_drawn(void *ctx, uint64_t j, const struct pl_sample_cost *costs, size_t n, struct pl_err *err)
{
	struct walk *w = ctx;

	(void)err;
	pl_order_places(w->order, j, n, w->places);
	for (size_t i = 0; i < n; i++) {
		if (pl_order_drawn(w->order, &w->places[i])) {
			struct pl_drawn d = weigh(w->rule, &costs[i]);
			add(&w->sum, &d);
		}
	}
	return PL_OK;
}

static enum pl_status weigh_buckets(void *ctx, uint64_t j, const struct pl_sample_cost *costs, size_t n, struct pl_err *err)
{
	struct walk *w = ctx;

	(void)err;
	pl_order_places(w->order, j, n, w->places);
	for (size_t i = 0; i < n; i++) {
		if (w->places[i].block != PL_ORDER_NONE) {
			struct pl_drawn d = weigh(w->rule, &costs[i]);
			add(&w->buckets[w->places[i].key >> w->shift], &d);
		}
	}
	return PL_OK;
}

static int by_number_of(const void *x, const void *y)
{
	const struct candidate *a = x, *b = y;

	return a->j < b->j ? -1 : a->j > b->j;
}

/* Append those of one block whose keys are in the bucket, found by their ranks: few rows are looked at. */
static enum pl_status look_into(struct pl_select *s, const struct walk *w, uint32_t block, uint64_t bucket, struct pl_buf *found, struct pl_err *err)
{
	size_t begin = found->len, n;
	uint64_t from, to, low = bucket << w->shift;
	struct candidate *c;
	enum pl_status st = PL_OK;

	pl_order_ranks(w->order, block, low, low + (UINT64_MAX >> (64 - w->shift)), &from, &to);
	for (uint64_t rank = from; rank < to && st == PL_OK; rank++) {
		struct candidate one;
		memset(&one, 0, sizeof(one));
		one.j = pl_order_ranked(w->order, block, rank, &one.place);
		st = pl_buf_add(found, &one, sizeof(one), err);
	}
	n = (found->len - begin) / sizeof(*c);
	if (st != PL_OK || n == 0)
		return st;
	c = (struct candidate *)(void *)(found->data + begin);
	qsort(c, n, sizeof(*c), by_number_of);
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		struct pl_sample_cost cost = {0};
		st = pl_select_cost(s, c[i].j, &cost, err);
		c[i].holds = weigh(w->rule, &cost);
	}
	return st;
}

static enum pl_status look_into_all(struct pl_select *s, const struct walk *w, uint64_t bucket, const struct pl_crew *crew, struct pl_buf *found,
    struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (uint64_t b = pl_crew_rank(crew); b < pl_order_nblocks(w->order) && st == PL_OK; b += pl_crew_size(crew)) {
		st = look_into(s, w, (uint32_t)b, bucket, found, err);
		if (st == PL_OK)
			st = pl_crew_poll(crew, err);
	}
	return pl_crew_agree(crew, st, err);
}

static int by_place(const void *x, const void *y)
{
	const struct candidate *a = x, *b = y;

	if (a->place.key != b->place.key)
		return a->place.key < b->place.key ? -1 : 1;
	return a->place.block < b->place.block ? -1 : a->place.block > b->place.block;
}

/* The rest of the target, from the bucket that meets it. */
static enum pl_status finish(struct pl_select *s, const struct walk *w, uint64_t bucket, const struct pl_crew *crew, struct pl_drawn *drawn,
    struct pl_err *err)
{
	struct pl_buf mine, all;
	struct candidate *c;
	enum pl_status st;

	pl_buf_init(&mine, SIZE_MAX);
	pl_buf_init(&all, SIZE_MAX);
	st = look_into_all(s, w, bucket, crew, &mine, err);
	if (st == PL_OK)
		st = pl_crew_gather(crew, mine.data, mine.len, &all, err);
	if (st == PL_OK && all.len > 0) {
		c = (struct candidate *)(void *)all.data;
		qsort(c, all.len / sizeof(*c), sizeof(*c), by_place);
		for (size_t i = 0; i < all.len / sizeof(*c) && drawn->units < w->rule->target; i++)
			add(drawn, &c[i].holds);
	}
	pl_buf_release(&mine);
	pl_buf_release(&all);
	return st;
}

static enum pl_status by_units(struct pl_select *s, struct walk *w, const struct pl_crew *crew, struct pl_drawn *drawn, struct pl_err *err)
{
	unsigned bits = 1;
	uint64_t bucket = 0;
	enum pl_status st;

	while (bits < 31 && pl_order_all(w->order) >> 2 * bits > 0)
		bits++;
	w->shift = 64 - bits;
	w->nbuckets = (size_t)1 << bits;
	w->buckets = calloc(w->nbuckets, sizeof(*w->buckets));
	st = pl_crew_agree(crew, w->buckets ? PL_OK : pl_fail_nomem(err), err);
	if (st == PL_OK)
		st = pl_select_walk(s, w->order, crew, weigh_buckets, w, err);
	if (st != PL_OK)
		return st;
	pl_crew_sum(crew, (uint64_t *)w->buckets, w->nbuckets * (sizeof(*w->buckets) / sizeof(uint64_t)));
	while (bucket < w->nbuckets && drawn->units + w->buckets[bucket].units < w->rule->target)
		add(drawn, &w->buckets[bucket++]);
	return bucket < w->nbuckets ? finish(s, w, bucket, crew, drawn, err) : PL_OK;
}

static enum pl_status by_number(
    struct pl_select *s, struct walk *w, const struct pl_crew *crew, struct pl_drawn *drawn, struct pl_err *err)
{
	enum pl_status st = pl_select_walk(s, w->order, crew, weigh_drawn, w, err);

	if (st != PL_OK)
		return st;
	*drawn = w->sum;
	pl_crew_sum(crew, (uint64_t *)drawn, sizeof(*drawn) / sizeof(uint64_t));
	return PL_OK;
}

enum pl_status pl_draw_until(struct pl_select *s, const struct pl_order_way *way, uint64_t *groups, const struct pl_draw_rule *rule,
    const struct pl_crew *crew, struct pl_drawn *drawn, struct pl_err *err)
{
	struct pl_order_way its = *way;
	struct walk *w = calloc(1, sizeof(*w));
	struct pl_order *order = NULL;
	uint64_t draws = rule->unit == PL_UNIT_SAMPLES ? rule->target : 0;
	enum pl_status st;

	its.groups = *groups;
	*drawn = (struct pl_drawn){0};
	st = pl_crew_agree(crew, w ? pl_select_order(s, &its, draws, &order, err) : pl_fail_nomem(err), err);
	if (st == PL_OK) {
		w->rule = rule;
		w->order = order;
		st = rule->unit == PL_UNIT_SAMPLES ? by_number(s, w, crew, drawn, err) : by_units(s, w, crew, drawn, err);
	}
	if (w)
		free(w->buckets);
	free(w);
	if (st == PL_OK && drawn->units < rule->target && *groups > 0) {
		*groups = 0;
		st = pl_draw_until(s, way, groups, rule, crew, drawn, err);
	}
	return st;
}
