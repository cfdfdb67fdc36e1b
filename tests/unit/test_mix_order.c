/* SPDX-License-Identifier: Apache-2.0 */
/* The order of a pass: every sample once, few input shards in any stretch of it,
 * the same share of every shard where only a part is drawn. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/mix/order.h"

#define MOST_SHARDS 4000

struct world { size_t nshards; uint64_t first[MOST_SHARDS + 1]; };

enum shape { EVEN, UNEVEN, GIANT, HALF_EMPTY, POWERS, SHAPES };

static uint64_t size_in(enum shape shape, size_t shard, uint64_t mean)
{
	uint64_t draw = pl_draw64(9, shard, (uint64_t)shape);

	switch (shape) {
	case EVEN: return mean;
	case UNEVEN: return draw % (2 * mean + 1);
	case GIANT: return shard == 17 ? 200 * mean : 1 + draw % 3;
	case HALF_EMPTY: return draw % 2 ? 0 : mean + draw % 7;
	case POWERS: return (uint64_t)1 << draw % 12;
	case SHAPES: break;
	}
	return 0;
}

static struct world *make_world(enum shape shape, size_t nshards, uint64_t mean)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_true(nshards <= MOST_SHARDS);
	w->nshards = nshards;
	for (size_t i = 0; i < nshards; i++)
		w->first[i + 1] = w->first[i] + size_in(shape, i, mean);
	return w;
}

static uint64_t total(const struct world *w)
{
	return w->first[w->nshards];
}

static size_t shard_of(const struct world *w, uint64_t j)
{
	size_t lo = 0, hi = w->nshards;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		if (w->first[mid] <= j)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

static struct pl_order *order(const struct world *w, uint64_t seed, uint64_t pass, uint64_t fan_in, uint64_t groups)
{
	const struct pl_order_way way = {seed, "src", pass, fan_in, groups};
	struct pl_order *o = NULL;

	assert_int_equal(pl_order_new(&o, w->first, w->nshards, &way, NULL), PL_OK);
	return o;
}

/* All draws are different samples; places say the same of who is drawn. Fills seen. */
static void check_draws(struct pl_order *o, uint64_t n, uint64_t draws, uint8_t *seen)
{
	struct pl_order_place *places = calloc((size_t)n, sizeof(*places));

	assert_non_null(places);
	memset(seen, 0, (size_t)n);
	pl_order_draw(o, draws);
	assert_int_equal(pl_order_draws(o), draws);
	for (uint64_t i = 0; i < draws; i++) {
		uint64_t j = pl_order_at(o, i);
		assert_true(j < n);
		assert_int_equal(seen[j], 0);
		seen[j] = 1;
	}
	pl_order_places(o, 0, (size_t)(n / 3), places);
	pl_order_places(o, n / 3, (size_t)(n - n / 3), places + n / 3);
	for (uint64_t j = 0; j < n; j++)
		assert_int_equal(pl_order_drawn(o, &places[j]), seen[j]);
	free(places);
}

/* Ranks by key find the samples that places put there. */
static void check_ranks(const struct pl_order *o, uint64_t n)
{
	struct pl_order_place *places = calloc((size_t)n, sizeof(*places)), place;
	uint64_t found = 0;

	assert_non_null(places);
	pl_order_places(o, 0, (size_t)n, places);
	for (uint32_t b = 0; b < pl_order_nblocks(o); b++) {
		uint64_t last = 0;
		for (uint64_t part = 0; part < 16; part++) {
			uint64_t low = part << 60, high = low | (UINT64_MAX >> 4), from, to;
			pl_order_ranks(o, b, low, high, &from, &to);
			assert_true(from == last || from == to);
			last = to;
			for (uint64_t rank = from; rank < to; rank++, found++) {
				uint64_t j = pl_order_ranked(o, b, rank, &place);
				assert_true(place.key >= low && place.key <= high);
				assert_true(places[j].key == place.key && places[j].block == b);
			}
		}
	}
	assert_int_equal(found, pl_order_all(o));
	for (uint64_t from = 0; from < n; from += 17) {
		bool any = false;
		for (uint64_t j = from; j < n && j < from + 40; j++)
			any = any || places[j].block != PL_ORDER_NONE;
		assert_int_equal(pl_order_touches(o, from, from + 40 < n ? from + 40 : n), any);
	}
	assert_false(pl_order_touches(o, 3, 3));
	free(places);
}

/* The larger part of a pass holds the smaller, and every shard gives its share. */
static void check_parts(struct pl_order *o, const struct world *w, bool shares)
{
	uint64_t n = total(w), all = pl_order_all(o);
	uint8_t *seen = calloc((size_t)n, 1), *less = calloc((size_t)n, 1);

	assert_true(seen && less);
	for (uint64_t part = 0; part <= 8; part++) {
		uint64_t draws = part < 8 ? all * part / 8 : all;
		check_draws(o, n, draws, seen);
		for (uint64_t j = 0; j < n; j++)
			assert_true(seen[j] >= less[j]);
		for (size_t s = 0; shares && s < w->nshards; s++) {
			double have = (double)(w->first[s + 1] - w->first[s]), due = have * (double)draws / (double)n, got = 0;
			for (uint64_t j = w->first[s]; j < w->first[s + 1]; j++)
				got += seen[j];
			/* One per block, and a shard is cut into have / (2 x mean) blocks, rounded up. */
			assert_true(fabs(got - due) <= 2 + have * (double)w->nshards / (double)n);
		}
		memcpy(less, seen, (size_t)n);
	}
	free(seen);
	free(less);
}

static void test_every_sample_once(void **state)
{
	static const uint64_t fan_ins[] = {0, 2, 3, 8, 64, 1000};

	(void)state;
	for (int shape = 0; shape < SHAPES; shape++) {
		struct world *w = make_world((enum shape)shape, 150, 40);
		for (size_t f = 0; f < sizeof(fan_ins) / sizeof(fan_ins[0]); f++) {
			struct pl_order *o = order(w, 42, 1, fan_ins[f], 0);
			assert_int_equal(pl_order_all(o), total(w));
			check_parts(o, w, pl_order_groups(o) > 1);
			check_ranks(o, total(w));
			pl_order_free(o);
		}
		free(w);
	}
}

static void test_few_samples(void **state)
{
	(void)state;
	for (size_t shards = 1; shards < 12; shards++) {
		for (uint64_t size = 1; size < 4; size++) {
			struct world *w = make_world(EVEN, shards, size);
			struct pl_order *o = order(w, size, shards, 2, 0);
			check_parts(o, w, false);
			pl_order_free(o);
			free(w);
		}
	}
}

/* Some groups only: no sample of another, and the same groups however many draws. */
static void test_some_groups(void **state)
{
	struct world *w = make_world(UNEVEN, 300, 50);
	struct pl_order *o = order(w, 7, 0, 20, 5), *whole = order(w, 7, 0, 20, 0);

	(void)state;
	assert_int_equal(pl_order_groups(o), pl_order_groups(whole));
	assert_true(pl_order_all(o) < total(w) / 4 && pl_order_all(o) > total(w) / 12);
	check_parts(o, w, false);
	check_ranks(o, total(w));
	pl_order_free(o);
	pl_order_free(whole);
	free(w);
}

/* The distinct input shards of each stretch of `width` draws. */
static uint64_t widest(const struct world *w, struct pl_order *o, uint64_t width)
{
	uint64_t *last = calloc(w->nshards, sizeof(*last)), most = 0;

	assert_non_null(last);
	for (uint64_t from = 0, mark = 1; from < pl_order_draws(o); from += width, mark++) {
		uint64_t to = from + width < pl_order_draws(o) ? from + width : pl_order_draws(o), n = 0;
		for (uint64_t i = from; i < to; i++) {
			size_t s = shard_of(w, pl_order_at(o, i));
			n += last[s] != mark;
			last[s] = mark;
		}
		assert_true(n <= pl_order_shards(o, from, to));
		most = n > most ? n : most;
	}
	free(last);
	return most;
}

/* The bound as README.md has it: fan_in, where the smallest group gives as many draws as an output shard takes. */
static void test_fan_in(void **state)
{
	static const uint64_t fan_ins[] = {8, 20, 64};

	(void)state;
	for (int shape = 0; shape < SHAPES; shape++) {
		struct world *w = make_world((enum shape)shape, 1200, 60);
		for (size_t f = 0; f < sizeof(fan_ins) / sizeof(fan_ins[0]); f++) {
			struct pl_order *o = order(w, 3, 0, fan_ins[f], 0);
			uint64_t groups = pl_order_groups(o), smallest = pl_order_smallest(o);
			uint64_t largest_block = 2 * (total(w) / 600 + 1) < total(w) ? 2 * (total(w) / 600 + 1) : total(w);
			pl_order_draw(o, total(w));
			assert_true(groups > 1);
			assert_true(smallest + largest_block >= total(w) / groups);
			assert_true(widest(w, o, smallest) <= fan_ins[f]);
			assert_true(widest(w, o, smallest / 3 + 1) <= fan_ins[f]);
			/* a third of the pass: a third of each group's draws, less fan_in at worst */
			pl_order_draw(o, total(w) / 3);
			if (smallest / 3 > fan_ins[f])
				assert_true(widest(w, o, smallest / 3 - fan_ins[f]) <= fan_ins[f]);
			pl_order_free(o);
		}
		free(w);
	}
}

static void test_unbounded(void **state)
{
	struct world *w = make_world(EVEN, 64, 20);
	struct pl_order *bounded = order(w, 3, 0, 64, 0), *free_ = order(w, 3, 0, 0, 0);
	struct pl_perm p;

	(void)state;
	pl_order_draw(bounded, total(w));
	pl_order_draw(free_, total(w));
	pl_perm_init(&p, total(w), 3, pl_draw64(pl_hash64("src", 3), 0, 1));
	for (uint64_t i = 0; i < total(w); i++) {
		assert_int_equal(pl_order_at(bounded, i), pl_perm_at(&p, i));
		assert_int_equal(pl_order_at(free_, i), pl_perm_at(&p, i));
	}
	assert_int_equal(pl_order_shards(bounded, 0, 5), 64);
	pl_order_free(bounded);
	pl_order_free(free_);
	free(w);
}

/* Neighbours come from different input shards as often as chance has it among a group's, and lags do not matter. */
static void test_neighbours(void **state)
{
	struct world *w = make_world(EVEN, 1000, 300);
	struct pl_order *o = order(w, 11, 0, 64, 0);
	static const uint64_t lags[] = {1, 2, 3, 7, 31};
	double blocks = 1000.0 / (double)pl_order_groups(o);
	uint64_t n = total(w), *shards = malloc((size_t)n * sizeof(*shards));

	(void)state;
	assert_non_null(shards);
	pl_order_draw(o, n);
	for (uint64_t i = 0; i < n; i++)
		shards[i] = shard_of(w, pl_order_at(o, i));
	for (size_t l = 0; l < sizeof(lags) / sizeof(lags[0]); l++) {
		double same = 0, due = (double)(n - lags[l]) * (300.0 - 1) / (blocks * 300.0 - 1), sigma = sqrt(due);
		for (uint64_t i = 0; i + lags[l] < n; i++)
			same += shards[i] == shards[i + lags[l]];
		assert_true(fabs(same - due) < 6 * sigma + 0.02 * due);
	}
	free(shards);
	pl_order_free(o);
	free(w);
}

/* Over many seeds, a sample is as likely at any position, and in a part of a pass, as any other. */
static void test_fair(void **state)
{
	enum { SEEDS = 8000, N = 48 };
	struct world *even = make_world(EVEN, 12, 4), *uneven = make_world(POWERS, 12, 1);
	uint64_t at[N][N] = {{0}}, n = total(uneven), draws = n / 3, *drawn = calloc((size_t)n, sizeof(*drawn));

	(void)state;
	assert_non_null(drawn);
	assert_int_equal(total(even), N);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct pl_order *o = order(even, seed, 0, 6, 0);
		pl_order_draw(o, N);
		for (uint64_t i = 0; i < N; i++)
			at[pl_order_at(o, i)][i]++;
		pl_order_free(o);
	}
	for (uint64_t j = 0; j < N; j++) {
		double chi = 0, due = (double)SEEDS / N;
		for (uint64_t i = 0; i < N; i++)
			chi += ((double)at[j][i] - due) * ((double)at[j][i] - due) / due;
		assert_true(chi < 47 + 6 * sqrt(2.0 * 47));
	}
	for (uint64_t seed = 0; seed < 2000; seed++) {
		struct pl_order *o = order(uneven, seed, 0, 6, 0);
		pl_order_draw(o, draws);
		for (uint64_t i = 0; i < draws; i++)
			drawn[pl_order_at(o, i)]++;
		pl_order_free(o);
	}
	for (uint64_t j = 0; j < n; j++) {
		double share = (double)draws / (double)n;
		assert_true(fabs((double)drawn[j] - 2000 * share) < 6 * sqrt(2000 * share * (1 - share)));
	}
	free(drawn);
	free(even);
	free(uneven);
}

/* Seeds and passes change the order; the same ones give what they have always given. */
static void test_keys(void **state)
{
	struct world *w = make_world(EVEN, 200, 30);
	struct pl_order *a = order(w, 1, 0, 16, 0), *seed = order(w, 2, 0, 16, 0), *pass = order(w, 1, 1, 16, 0);
	uint64_t same = 0;

	(void)state;
	pl_order_draw(a, total(w));
	pl_order_draw(seed, total(w));
	pl_order_draw(pass, total(w));
	for (uint64_t i = 0; i < total(w); i++)
		same += pl_order_at(a, i) == pl_order_at(seed, i) || pl_order_at(a, i) == pl_order_at(pass, i);
	assert_true(same < 20);
	assert_int_equal(pl_order_at(a, 0), 5147);
	assert_int_equal(pl_order_at(a, 1), 407);
	assert_int_equal(pl_order_at(a, 5999), 898);
	pl_order_free(a);
	pl_order_free(seed);
	pl_order_free(pass);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_sample_once),
		cmocka_unit_test(test_few_samples),
		cmocka_unit_test(test_some_groups),
		cmocka_unit_test(test_fan_in),
		cmocka_unit_test(test_unbounded),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_fair),
		cmocka_unit_test(test_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
