/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks, groups and keys; see order.h. */
#include "order.h"

#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"

/* What the keyed draws of one pass are for. ALL keeps its number: it is the order of a source whose samples are one block. */
enum { OF_ALL = 1, OF_BLOCK = 3, OF_GROUP, OF_ROUND, OF_TIES, OF_KEYS };

struct pl_order {
	uint64_t seed, stream, key;      /* stream: of the source's pass; key: of both */
	const uint64_t *first;
	uint64_t *begin;                 /* first sample of each block; nblocks + 1 */
	uint32_t nblocks, ngroups, groups;   /* groups: those drawn from, the first ones */
	uint32_t *members, *group_of;    /* blocks, group by group; and back */
	uint32_t *group_first;           /* place in members where each group begins; ngroups + 1 */
	uint64_t *before;                /* draws before each place in members, of the groups drawn from */
	uint64_t filled, all, smallest;  /* filled: shards that hold something */
	uint64_t draws, cut_key;         /* drawn are keys below cut_key, and those of cut_key in blocks below cut_block */
	uint32_t cut_block;
	bool everything;
	uint32_t mixed;                  /* group that mix belongs to; UINT32_MAX = none */
	struct pl_perm mix;
};

static uint64_t size_of(const struct pl_order *o, uint32_t b)
{
	return o->begin[b + 1] - o->begin[b];
}

/* ---- blocks ---- */

/* So large that shards of up to twice the mean stay whole. */
static uint64_t block_size(struct pl_order *o, size_t nshards, uint64_t fan_in)
{
	for (size_t i = 0; i < nshards; i++)
		o->filled += o->first[i + 1] > o->first[i];
	return fan_in == 0 || o->filled <= fan_in ? 0 : 2 * ((o->first[nshards] - 1) / o->filled + 1);
}

static uint64_t blocks_of(uint64_t samples, uint64_t size)
{
	return samples == 0 ? 0 : (samples - 1) / size + 1;
}

static enum pl_status cut_blocks(struct pl_order *o, size_t nshards, uint64_t fan_in, struct pl_err *err)
{
	uint64_t size = block_size(o, nshards, fan_in), n = size == 0;

	for (size_t i = 0; size > 0 && i < nshards; i++)
		n += blocks_of(o->first[i + 1] - o->first[i], size);
	if (n >= UINT32_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "more than 2^32 - 2 blocks of input shards: a larger fan_in makes fewer");
	o->begin = malloc((size_t)(n + 1) * sizeof(*o->begin));
	if (!o->begin)
		return pl_fail_nomem(err);
	for (size_t i = 0; size > 0 && i < nshards; i++) {
		uint64_t have = o->first[i + 1] - o->first[i], parts = blocks_of(have, size);
		for (uint64_t k = 0; k < parts; k++)
			o->begin[o->nblocks++] = o->first[i] + have / parts * k + have % parts * k / parts;
	}
	if (size == 0)
		o->begin[o->nblocks++] = 0;
	o->begin[o->nblocks] = o->first[nshards];
	return PL_OK;
}

/* ---- groups ---- */

struct card { uint64_t size, tie; uint32_t block; };

static int largest_first(const void *x, const void *y)
{
	const struct card *a = x, *b = y;

	if (a->size != b->size)
		return a->size > b->size ? -1 : 1;
	if (a->tie != b->tie)
		return a->tie < b->tie ? -1 : 1;
	return a->block < b->block ? -1 : a->block > b->block;
}

/* group_of: card x of a round goes to the group that the round's permutation says. */
static void deal(struct pl_order *o, struct card *cards)
{
	struct pl_perm round;

	for (uint32_t b = 0; b < o->nblocks; b++)
		cards[b] = (struct card){size_of(o, b), pl_draw64(o->key, b, OF_TIES), b};
	if (o->nblocks > 1)
		qsort(cards, o->nblocks, sizeof(*cards), largest_first);
	for (uint32_t i = 0; i < o->nblocks; i++) {
		if (i % o->ngroups == 0)
			pl_perm_init(&round, o->ngroups, o->seed, pl_draw64(o->stream, i / o->ngroups, OF_ROUND));
		o->group_of[cards[i].block] = (uint32_t)pl_perm_at(&round, i % o->ngroups);
	}
}

/* members and group_first from group_of; then what can be drawn. */
static void sort_members(struct pl_order *o)
{
	for (uint32_t b = 0; b < o->nblocks; b++)
		o->group_first[o->group_of[b] + 1]++;
	for (uint32_t g = 0; g < o->ngroups; g++)
		o->group_first[g + 1] += o->group_first[g];
	for (uint32_t b = 0; b < o->nblocks; b++)
		o->members[o->group_first[o->group_of[b]]++] = b;
	for (uint32_t g = o->ngroups; g > 0; g--)
		o->group_first[g] = o->group_first[g - 1];
	o->group_first[0] = 0;
	o->smallest = UINT64_MAX;
	for (uint32_t g = 0; g < o->ngroups; g++) {
		uint64_t sum = 0;
		for (uint32_t i = o->group_first[g]; i < o->group_first[g + 1]; i++)
			sum += size_of(o, o->members[i]);
		o->smallest = sum < o->smallest ? sum : o->smallest;
		o->all += g < o->groups ? sum : 0;
	}
}

static enum pl_status make_groups(struct pl_order *o, const struct pl_order_way *way, struct pl_err *err)
{
	uint64_t most = way->fan_in < 4 ? 1 : way->fan_in / 2;
	struct card *cards = malloc(o->nblocks * sizeof(*cards));
	enum pl_status st = PL_OK;

	o->ngroups = (uint32_t)((o->nblocks - 1) / most + 1);
	o->groups = way->groups > 0 && way->groups < o->ngroups ? (uint32_t)way->groups : o->ngroups;
	o->members = calloc(o->nblocks, sizeof(*o->members));
	o->group_of = calloc(o->nblocks, sizeof(*o->group_of));
	o->group_first = calloc((size_t)o->ngroups + 1, sizeof(*o->group_first));
	o->before = calloc((size_t)o->nblocks + 1, sizeof(*o->before));
	if (cards && o->members && o->group_of && o->group_first && o->before) {
		deal(o, cards);
		sort_members(o);
	} else {
		st = pl_fail_nomem(err);
	}
	free(cards);
	return st;
}

enum pl_status pl_order_new(struct pl_order **out, const uint64_t *first, size_t nshards,
    const struct pl_order_way *way, struct pl_err *err)
{
	struct pl_order *o = calloc(1, sizeof(*o));
	enum pl_status st;

	if (!o)
		return pl_fail_nomem(err);
	o->seed = way->seed;
	o->stream = pl_draw64(pl_hash64(way->source, strlen(way->source)), way->pass, OF_ALL);
	o->key = pl_draw64(way->seed, o->stream, 0);
	o->first = first;
	o->mixed = UINT32_MAX;
	st = cut_blocks(o, nshards, way->fan_in, err);
	if (st == PL_OK)
		st = make_groups(o, way, err);
	if (st != PL_OK) {
		pl_order_free(o);
		return st;
	}
	*out = o;
	return PL_OK;
}

void pl_order_free(struct pl_order *o)
{
	if (!o)
		return;
	free(o->begin);
	free(o->members);
	free(o->group_of);
	free(o->group_first);
	free(o->before);
	free(o);
}

uint64_t pl_order_all(const struct pl_order *o)
{
	return o->all;
}

uint64_t pl_order_groups(const struct pl_order *o)
{
	return o->ngroups;
}

uint64_t pl_order_smallest(const struct pl_order *o)
{
	return o->smallest;
}

uint64_t pl_order_draws(const struct pl_order *o)
{
	return o->draws;
}

/* ---- keys: rank r of a block has offset + r x step ---- */

static uint64_t step_of(const struct pl_order *o, uint32_t b)
{
	uint64_t size = size_of(o, b);

	return size < 2 ? UINT64_MAX : UINT64_MAX / size + (UINT64_MAX % size == size - 1);
}

static uint64_t offset_of(const struct pl_order *o, uint32_t b, uint64_t step)
{
	return pl_draw64(o->key, b, OF_KEYS) % step;
}

static uint64_t count_below(const struct pl_order *o, uint32_t b, uint64_t key)
{
	uint64_t size = size_of(o, b), step = step_of(o, b), offset = offset_of(o, b, step), n;

	if (key <= offset)
		return 0;
	n = (key - offset - 1) / step + 1;
	return n < size ? n : size;
}

static uint64_t count_up_to(const struct pl_order *o, uint32_t b, uint64_t key)
{
	return key < UINT64_MAX ? count_below(o, b, key + 1) : size_of(o, b);
}

static bool drawn_from(const struct pl_order *o, uint32_t b)
{
	return o->group_of[b] < o->groups;
}

static uint64_t all_below(const struct pl_order *o, uint64_t key)
{
	uint64_t sum = 0;

	for (uint32_t b = 0; b < o->nblocks; b++)
		sum += drawn_from(o, b) ? count_below(o, b, key) : 0;
	return sum;
}

/* The largest key with no more than `draws` samples below it, and how far through the blocks its own samples are drawn. */
static void find_cut(struct pl_order *o, uint64_t draws)
{
	uint64_t low = 0, high = UINT64_MAX, left;
	uint32_t b = 0;

	while (low < high) {
		uint64_t mid = high - (high - low) / 2;
		if (all_below(o, mid) <= draws)
			low = mid;
		else
			high = mid - 1;
	}
	left = draws - all_below(o, low);
	for (; left > 0 && b < o->nblocks; b++)
		left -= drawn_from(o, b) && count_up_to(o, b, low) > count_below(o, b, low);
	o->cut_key = low;
	o->cut_block = b;
}

static uint64_t draws_of(const struct pl_order *o, uint32_t b)
{
	if (o->everything)
		return size_of(o, b);
	return b < o->cut_block ? count_up_to(o, b, o->cut_key) : count_below(o, b, o->cut_key);
}

void pl_order_draw(struct pl_order *o, uint64_t draws)
{
	uint64_t sum = 0;
	uint32_t end = o->group_first[o->groups];

	o->draws = draws < o->all ? draws : o->all;
	o->everything = o->draws == o->all;
	o->mixed = UINT32_MAX;
	if (!o->everything)
		find_cut(o, o->draws);
	for (uint32_t i = 0; i < end; i++) {
		o->before[i] = sum;
		sum += draws_of(o, o->members[i]);
	}
	o->before[end] = sum;
}

/* ---- draws ---- */

static uint32_t group_at(const struct pl_order *o, uint64_t i)
{
	uint32_t lo = 0, hi = o->groups;

	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (o->before[o->group_first[mid]] <= i)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

static void block_perm(const struct pl_order *o, uint32_t b, struct pl_perm *p)
{
	pl_perm_init(p, size_of(o, b), o->seed, o->nblocks == 1 ? o->stream : pl_draw64(o->stream, b, OF_BLOCK));
}

uint64_t pl_order_at(struct pl_order *o, uint64_t i)
{
	uint32_t g = group_at(o, i), lo = o->group_first[g], hi = o->group_first[g + 1];
	uint64_t from = o->before[lo];
	struct pl_perm p;

	if (hi - lo > 1 && o->mixed != g) {
		pl_perm_init(&o->mix, o->before[hi] - from, o->seed, pl_draw64(o->stream, g, OF_GROUP));
		o->mixed = g;
	}
	if (hi - lo > 1)
		i = from + pl_perm_at(&o->mix, i - from);
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (o->before[mid] <= i)
			lo = mid;
		else
			hi = mid;
	}
	block_perm(o, o->members[lo], &p);
	return o->begin[o->members[lo]] + pl_perm_at(&p, i - o->before[lo]);
}

uint64_t pl_order_shards(const struct pl_order *o, uint64_t from, uint64_t to)
{
	uint64_t n = 0;

	if (from >= to)
		return 0;
	if (o->nblocks == 1)
		return o->filled;
	for (uint32_t i = o->group_first[group_at(o, from)]; i < o->group_first[group_at(o, to - 1) + 1]; i++)
		n += o->before[i + 1] > o->before[i];
	return n;
}

/* ---- places ---- */

static uint32_t block_at(const struct pl_order *o, uint64_t j)
{
	uint32_t lo = 0, hi = o->nblocks;

	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (o->begin[mid] <= j)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

enum { BATCH = 256 };

/* At most BATCH samples of one block. */
static void places_of(const struct pl_order *o, uint32_t b, const struct pl_perm *p, uint64_t j, size_t n, struct pl_order_place *places)
{
	uint64_t step = step_of(o, b), offset = offset_of(o, b, step), in[BATCH] = {0}, ranks[BATCH];

	for (size_t i = 0; i < n; i++)
		in[i] = j - o->begin[b] + i;
	pl_perm_inverses(p, in, ranks, n);
	for (size_t i = 0; i < n; i++)
		places[i] = (struct pl_order_place){offset + ranks[i] * step, b};
}

void pl_order_places(const struct pl_order *o, uint64_t j, size_t n, struct pl_order_place *places)
{
	while (n > 0) {
		uint32_t b = block_at(o, j);
		size_t here = o->begin[b + 1] - j < n ? (size_t)(o->begin[b + 1] - j) : n;
		struct pl_perm p;

		if (drawn_from(o, b))
			block_perm(o, b, &p);
		for (size_t done = 0; done < here;) {
			size_t batch = here - done < BATCH ? here - done : BATCH;
			if (drawn_from(o, b))
				places_of(o, b, &p, j + done, batch, places + done);
			for (size_t i = 0; i < batch && !drawn_from(o, b); i++)
				places[done + i] = (struct pl_order_place){0, PL_ORDER_NONE};
			done += batch;
		}
		j += here;
		n -= here;
		places += here;
	}
}

uint64_t pl_order_nblocks(const struct pl_order *o)
{
	return o->nblocks;
}

void pl_order_ranks(const struct pl_order *o, uint32_t block, uint64_t low, uint64_t high, uint64_t *from, uint64_t *to)
{
	*from = *to = 0;
	if (!drawn_from(o, block))
		return;
	*from = count_below(o, block, low);
	*to = count_up_to(o, block, high);
}

uint64_t pl_order_ranked(const struct pl_order *o, uint32_t block, uint64_t rank, struct pl_order_place *place)
{
	uint64_t step = step_of(o, block);
	struct pl_perm p;

	block_perm(o, block, &p);
	*place = (struct pl_order_place){offset_of(o, block, step) + rank * step, block};
	return o->begin[block] + pl_perm_at(&p, rank);
}

bool pl_order_touches(const struct pl_order *o, uint64_t from, uint64_t to)
{
	for (uint32_t b = from < to ? block_at(o, from) : o->nblocks; b < o->nblocks && o->begin[b] < to; b++) {
		if (drawn_from(o, b))
			return true;
	}
	return false;
}

bool pl_order_drawn(const struct pl_order *o, const struct pl_order_place *place)
{
	if (place->block == PL_ORDER_NONE)
		return false;
	return o->everything || place->key < o->cut_key || (place->key == o->cut_key && place->block < o->cut_block);
}
