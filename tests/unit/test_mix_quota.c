/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas: sums are exact, caps hold, strategies do what their definitions say,
 * and what is impossible is said in full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/mix/quota.h"

static struct pl_quota_source source(const char *name, double weight, uint64_t units)
{
	return (struct pl_quota_source){.name = name, .weight = weight, .samples = units, .units = units};
}

/* As a recipe with one max_epochs for all. */
static enum pl_status split(struct pl_quota_source *s, size_t n, enum pl_strategy strategy, uint64_t total, double cap,
    enum pl_unit unit, uint64_t *granted, struct pl_err *err)
{
	struct pl_quota_rule rule = {.strategy = strategy, .unit = unit, .alpha = 0.5, .what = "source"};

	for (size_t i = 0; i < n; i++)
		s[i].max_epochs = cap;
	return pl_quota_split(s, n, &rule, total, granted, err);
}

static enum pl_status weights(struct pl_quota_source *s, size_t n, uint64_t total, double cap, enum pl_unit unit, uint64_t *granted)
{
	return split(s, n, PL_STRATEGY_WEIGHTS, total, cap, unit, granted, NULL);
}

static void test_exact(void **state)
{
	struct pl_quota_source s[] = {
	    source("a", 0.6, 1000), source("b", 0.3, 1000), source("c", 0.1, 1000)};
	uint64_t granted = 0;

	(void)state;
	assert_int_equal(weights(s, 3, 1000, 0, PL_UNIT_SAMPLES, &granted), PL_OK);
	assert_int_equal(granted, 1000);
	assert_int_equal(s[0].target, 600);
	assert_int_equal(s[1].target, 300);
	assert_int_equal(s[2].target, 100);
	assert_true(s[0].epochs > 0.599 && s[0].epochs < 0.601);
	/* thirds: the remainder goes to the first of equals */
	for (size_t i = 0; i < 3; i++)
		s[i].weight = 1;
	assert_int_equal(weights(s, 3, 100, 0, PL_UNIT_SAMPLES, &granted), PL_OK);
	assert_int_equal(s[0].target, 34);
	assert_int_equal(s[1].target, 33);
	assert_int_equal(s[2].target, 33);
	/* weights whose sum is no double */
	for (size_t i = 0; i < 3; i++)
		s[i].weight = 1e308;
	assert_int_equal(weights(s, 3, 99, 0, PL_UNIT_SAMPLES, &granted), PL_OK);
	assert_int_equal(s[2].target, 33);
}

static void test_random_sums(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 2000; seed++) {
		struct pl_quota_source s[7];
		double sum = 0;
		uint64_t granted = 0,
		         total = 1 + pl_draw64(seed, 0, 0) % (seed % 2 ? 1000 : 4000000000000u),
		         given = 0;
		for (size_t i = 0; i < 7; i++) {
			s[i] = source("s", (double)(1 + pl_draw64(seed, i, 1) % 1000) / 7, 1u << 20);
			sum += s[i].weight;
		}
		assert_int_equal(weights(s, 7, total, 0, PL_UNIT_TOKENS, &granted), PL_OK);
		for (size_t i = 0; i < 7; i++) {
			double x = (double)total * s[i].weight / sum;
			assert_true((double)s[i].target > x - 1.01 && (double)s[i].target < x + 1.01);
			given += s[i].target;
		}
		assert_int_equal(given, total);
		assert_int_equal(granted, total);
	}
}

/* Largest remainder by its definition, in whole numbers: whole weights, totals small enough. */
static void test_largest_remainder(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 2000; seed++) {
		struct pl_quota_source s[6];
		uint64_t w[6], part[6], rest[6], sum = 0, given = 0, granted = 0, total = pl_draw64(seed, 0, 0) % 5000 + 1;
		for (size_t i = 0; i < 6; i++) {
			w[i] = 1 + pl_draw64(seed, i, 1) % 50;
			sum += w[i];
			s[i] = source("s", (double)w[i], 1u << 20);
		}
		for (size_t i = 0; i < 6; i++) {
			part[i] = total * w[i] / sum;
			rest[i] = total * w[i] % sum;
			given += part[i];
		}
		for (; given < total; given++) {
			size_t at = 0;
			for (size_t i = 1; i < 6; i++)
				at = rest[i] > rest[at] ? i : at;
			part[at]++;
			rest[at] = 0;
		}
		assert_int_equal(weights(s, 6, total, 0, PL_UNIT_IMAGES, &granted), PL_OK);
		for (size_t i = 0, ties = 0; i < 6; i++) {
			/* equal remainders may fall to another of the equals when weights are fractions of their sum */
			for (size_t k = 0; k < 6; k++)
				ties += k != i && total * w[i] % sum == total * w[k] % sum;
			if (ties == 0)
				assert_int_equal(s[i].target, part[i]);
		}
	}
}

static void test_cap(void **state)
{
	struct pl_quota_source s[] = {source("a", 0.5, 100), source("b", 0.5, 1000)};
	struct pl_quota_rule rule = {.strategy = PL_STRATEGY_WEIGHTS, .what = "source"};
	uint64_t granted = 0;

	(void)state;
	/* total 0: as much as the caps allow */
	assert_int_equal(weights(s, 2, 0, 4, PL_UNIT_SAMPLES, &granted), PL_OK);
	assert_int_equal(granted, 800);
	assert_int_equal(s[0].target, 400);
	assert_int_equal(s[1].target, 400);
	/* without a cap: one epoch of the tightest */
	assert_int_equal(weights(s, 2, 0, 0, PL_UNIT_SAMPLES, &granted), PL_OK);
	assert_int_equal(granted, 200);
	/* exactly the largest total is possible, one more is not */
	assert_int_equal(weights(s, 2, 800, 4, PL_UNIT_SAMPLES, &granted), PL_OK);
	assert_int_equal(weights(s, 2, 801, 4, PL_UNIT_SAMPLES, &granted), PL_ERR_USAGE);
	/* each its own */
	s[0].max_epochs = 5;
	s[1].max_epochs = 0.25;
	assert_int_equal(pl_quota_split(s, 2, &rule, 0, &granted, NULL), PL_OK);
	assert_int_equal(granted, 500);
	s[1].max_epochs = 0;
	assert_int_equal(pl_quota_split(s, 2, &rule, 1000, &granted, NULL), PL_OK);
	assert_int_equal(pl_quota_split(s, 2, &rule, 1001, &granted, NULL), PL_ERR_USAGE);
}

/* Whatever the weights, total 0 takes what fits, and no cap is passed. */
static void test_cap_random(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 2000; seed++) {
		struct pl_quota_source s[5];
		double cap = 0.25 + (double)(pl_draw64(seed, 9, 0) % 500) / 100;
		enum pl_strategy strategy = seed % 2 ? PL_STRATEGY_WEIGHTS : PL_STRATEGY_TEMPERATURE;
		uint64_t granted = 0, largest;
		for (size_t i = 0; i < 5; i++)
			s[i] = source("s", (double)(1 + pl_draw64(seed, i, 1) % 90), 10 + pl_draw64(seed, i, 2) % 5000);
		assert_int_equal(split(s, 5, strategy, 0, cap, PL_UNIT_IMAGES, &granted, NULL), PL_OK);
		for (size_t i = 0; i < 5; i++)
			assert_true((double)s[i].target <= (double)s[i].units * cap);
		largest = granted;
		assert_int_equal(split(s, 5, strategy, largest, cap, PL_UNIT_IMAGES, &granted, NULL), PL_OK);
		assert_int_equal(split(s, 5, strategy, largest + 1, cap, PL_UNIT_IMAGES, &granted, NULL), PL_ERR_USAGE);
	}
}

/* ---- temperature ---- */

static void test_power(void **state)
{
	(void)state;
	assert_true(pl_quota_power(0, 0.5) == 0 && pl_quota_power(0, 0) == 0);
	assert_true(pl_quota_power(7, 0) == 1 && pl_quota_power(7, 1) == 7);
	assert_true(pl_quota_power(144, 0.5) == 12 && pl_quota_power(81, 0.25) == 3);
	for (uint64_t seed = 0; seed < 20000; seed++) {
		double x = (double)(1 + pl_draw64(seed, 0, 0) % ((uint64_t)1 << (1 + seed % 53)));
		double alpha = (double)(pl_draw64(seed, 0, 1) >> 11) * 0x1p-53;
		long double want = powl(x, alpha);
		assert_true(fabsl(pl_quota_power(x, alpha) - want) <= want * 1e-14L);
	}
}

/* p is in proportion to weight x min(n, K)^alpha. */
static void test_temperature(void **state)
{
	static const double alphas[] = {0, 0.3, 0.5, 0.7, 1};

	(void)state;
	for (uint64_t seed = 0; seed < 1000; seed++) {
		struct pl_quota_source s[6];
		struct pl_quota_rule rule = {.strategy = PL_STRATEGY_TEMPERATURE, .unit = PL_UNIT_TOKENS, .alpha = alphas[seed % 5],
		    .max_examples = seed % 3 ? 0 : 5000, .what = "source"};
		long double p[6], sum = 0;
		uint64_t granted = 0, total = 1 + pl_draw64(seed, 0, 0) % 1000000000;
		for (size_t i = 0; i < 6; i++) {
			uint64_t n = pl_draw64(seed, i, 1) % (i == 0 ? 1 : 100000);
			s[i] = source("s", i == 1 ? 2 : 1, n);
			n = rule.max_examples && n > rule.max_examples ? rule.max_examples : n;
			p[i] = n ? (long double)s[i].weight * powl(n, rule.alpha) : 0;
			sum += p[i];
		}
		assert_int_equal(pl_quota_split(s, 6, &rule, total, &granted, NULL), PL_OK);
		assert_int_equal(granted, total);
		assert_int_equal(s[0].target, 0);
		for (size_t i = 0; i < 6; i++)
			assert_true(fabsl((long double)s[i].target - p[i] / sum * total) < 1.001L);
	}
}

/* ---- unimax ---- */

struct size { uint64_t n; size_t i; };

static int by_size(const void *x, const void *y)
{
	const struct size *a = x, *b = y;

	return (a->n > b->n) - (a->n < b->n);
}

/* The definition: ascending size; share = B_rem / (L - i); U_i = min(share, N c_i); B_rem -= U_i. In units of 1 / 5040, in which shares of
 * up to seven sources are whole. */
static void unimax(const uint64_t *c, size_t n, uint64_t epochs, uint64_t total, uint64_t *u)
{
	struct size order[7];
	uint64_t left = total * 5040;

	for (size_t i = 0; i < n; i++)
		order[i] = (struct size){c[i], i};
	qsort(order, n, sizeof(*order), by_size);
	for (size_t i = 0; i < n; i++) {
		uint64_t part = left / (n - i), most = order[i].n * epochs * 5040;
		u[order[i].i] = part < most ? part : most;
		left -= u[order[i].i];
	}
}

static void test_unimax(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 4000; seed++) {
		struct pl_quota_source s[7];
		size_t n = 1 + seed % 7;
		uint64_t c[7], u[7], most = 0, granted = 0, total, epochs = 1 + pl_draw64(seed, 8, 0) % 5;
		for (size_t i = 0; i < n; i++) {
			c[i] = 1 + pl_draw64(seed, i, 1) % (seed % 2 ? 20 : 100000);
			s[i] = source("s", 1, c[i]);
			most += c[i] * epochs;
		}
		total = 1 + pl_draw64(seed, 9, 0) % most;
		unimax(c, n, epochs, total, u);
		assert_int_equal(split(s, n, PL_STRATEGY_UNIMAX, total, (double)epochs, PL_UNIT_SAMPLES, &granted, NULL), PL_OK);
		assert_int_equal(granted, total);
		for (size_t i = 0; i < n; i++) {
			/* the share, or one of the whole numbers beside it */
			assert_true(s[i].target * 5040 < u[i] + 5040 && s[i].target * 5040 + 5040 > u[i]);
			assert_true(s[i].target <= c[i] * epochs);
		}
		assert_int_equal(split(s, n, PL_STRATEGY_UNIMAX, most, (double)epochs, PL_UNIT_SAMPLES, &granted, NULL), PL_OK);
		assert_int_equal(split(s, n, PL_STRATEGY_UNIMAX, 0, (double)epochs, PL_UNIT_SAMPLES, &granted, NULL), PL_OK);
		assert_int_equal(granted, most);
		assert_int_equal(split(s, n, PL_STRATEGY_UNIMAX, most + 1, (double)epochs, PL_UNIT_SAMPLES, &granted, NULL), PL_ERR_USAGE);
	}
}

/* ---- outside the shares ---- */

static void test_repeat(void **state)
{
	struct pl_quota_source s[] = {source("a", 1, 100), source("b", 0, 70)};
	uint64_t granted = 0;

	(void)state;
	assert_int_equal(weights(s, 2, 50, 0, PL_UNIT_SAMPLES, &granted), PL_OK);
	assert_int_equal(s[0].target, 50);
	assert_int_equal(s[1].target, 70);
	assert_int_equal(granted, 120);
	s[1].repeat = 3;
	s[1].units = 4000;
	assert_int_equal(weights(s, 2, 50, 0, PL_UNIT_TOKENS, &granted), PL_OK);
	assert_int_equal(s[1].target, 210);
	assert_int_equal(s[1].unit, PL_UNIT_SAMPLES);
	assert_true(s[1].epochs == 3);
	s[1].repeat = 1.5;
	assert_int_equal(weights(s, 2, 50, 0, PL_UNIT_SAMPLES, &granted), PL_OK);
	assert_int_equal(s[1].target, 105);
	s[1].repeat = 0;
	s[0].weight = 0;
	assert_int_equal(weights(s, 2, 0, 0, PL_UNIT_SAMPLES, &granted), PL_OK);
	assert_int_equal(granted, 170);
}

/* ---- groups ---- */

static void test_groups(void **state)
{
	struct pl_quota_source g[] = {source("web/en", 0.7, 1000), source("web/zh", 0.3, 90), source("web/(other)", 0, 500)};
	struct pl_quota_source s[] = {source("web", 0.5, 1090), source("books", 0.5, 10000)};
	struct pl_quota_rule groups = {.strategy = PL_STRATEGY_WEIGHTS, .what = "group"},
	                     rule = {.strategy = PL_STRATEGY_WEIGHTS, .what = "source"};
	struct pl_err err = {0};
	uint64_t granted = 0;

	(void)state;
	g[2].left_out = true;
	s[0].groups = g;
	s[0].ngroups = 3;
	s[0].group_rule = &groups;
	assert_int_equal(pl_quota_split(s, 2, &rule, 400, &granted, NULL), PL_OK);
	assert_int_equal(s[0].target, 200);
	assert_int_equal(g[0].target, 140);
	assert_int_equal(g[1].target, 60);
	assert_int_equal(g[2].target, 0);
	/* the groups' shares bound the source: 90 x 2 / 0.3 = 600 */
	s[0].max_epochs = s[1].max_epochs = 2;
	assert_int_equal(pl_quota_split(s, 2, &rule, 0, &granted, NULL), PL_OK);
	assert_int_equal(granted, 1200);
	assert_int_equal(g[1].target, 180);
	assert_int_equal(pl_quota_split(s, 2, &rule, 1202, &granted, &err), PL_ERR_USAGE);
	assert_string_equal(err.text,
	    "source 'web' is asked for 601 samples (50% of 1202), but its groups in their shares and epochs give 600, 1 too few: the largest "
	    "total possible is 1200; lower 'total' or the weight, or raise 'max_epochs'");
	/* outside the shares: as much as the groups' shares and the passes give */
	s[0].weight = 0;
	s[0].repeat = 3;
	assert_int_equal(pl_quota_split(s, 2, &rule, 50, &granted, NULL), PL_OK);
	assert_int_equal(s[0].target, 900);
	assert_int_equal(g[0].target, 630);
	assert_int_equal(g[1].target, 270);
	assert_int_equal(s[1].target, 50);
	/* equal, and unimax */
	groups.strategy = PL_STRATEGY_EQUAL;
	g[0].weight = g[1].weight = 1;
	s[0].weight = 1;
	s[1].weight = 0;
	assert_int_equal(pl_quota_split(s, 2, &rule, 100, &granted, NULL), PL_OK);
	assert_int_equal(g[0].target, 50);
	groups.strategy = PL_STRATEGY_UNIMAX;
	s[0].max_epochs = 1;
	assert_int_equal(pl_quota_split(s, 2, &rule, 500, &granted, NULL), PL_OK);
	assert_int_equal(g[0].target, 410);
	assert_int_equal(g[1].target, 90);
	/* a group that is gone is named */
	groups.strategy = PL_STRATEGY_WEIGHTS;
	g[1].units = g[1].samples = 0;
	assert_int_equal(pl_quota_split(s, 2, &rule, 500, &granted, &err), PL_ERR_USAGE);
	assert_string_equal(err.text,
	    "group 'web/zh' is asked for a share of 50% but has no samples left: take it out, or set its weight to 0");
}

/* Targets of groups sum to their source's, whatever the strategies. */
static void test_groups_random(void **state)
{
	static const enum pl_strategy all[] = {PL_STRATEGY_WEIGHTS, PL_STRATEGY_TEMPERATURE, PL_STRATEGY_UNIMAX, PL_STRATEGY_EQUAL};

	(void)state;
	for (uint64_t seed = 0; seed < 2000; seed++) {
		struct pl_quota_source g[5], s[3] = {source("a", 0.1 + (double)(seed % 7), 0), source("b", 1, 30000), source("c", 1, 20000)};
		struct pl_quota_rule groups = {.strategy = all[seed % 4], .alpha = 0.3, .what = "group"},
		                     rule = {.strategy = all[seed / 4 % 3], .alpha = 0.7, .what = "source"};
		uint64_t granted = 0, sum = 0, most;
		for (size_t i = 0; i < 5; i++) {
			g[i] = source("a/x", (double)(1 + pl_draw64(seed, i, 0) % 100), 1 + pl_draw64(seed, i, 1) % 9000);
			s[0].units += g[i].units;
		}
		s[0].samples = s[0].units;
		s[0].groups = g;
		s[0].ngroups = 5;
		s[0].group_rule = &groups;
		for (size_t i = 0; i < 3; i++)
			s[i].max_epochs = 1 + (double)(pl_draw64(seed, i, 2) % 4);
		assert_int_equal(pl_quota_split(s, 3, &rule, 0, &granted, NULL), PL_OK);
		most = granted;
		for (uint64_t total = most; total > most / 3 && total > 0; total -= 1 + total / 5) {
			assert_int_equal(pl_quota_split(s, 3, &rule, total, &granted, NULL), PL_OK);
			assert_int_equal(granted, total);
			sum = 0;
			for (size_t i = 0; i < 5; i++) {
				assert_true((double)g[i].target <= (double)g[i].units * s[0].max_epochs);
				sum += g[i].target;
			}
			assert_int_equal(sum, s[0].target);
		}
		assert_int_equal(pl_quota_split(s, 3, &rule, most + 1, &granted, NULL), PL_ERR_USAGE);
	}
}

/* ---- messages ---- */

static void expect(struct pl_quota_source *s, size_t n, enum pl_strategy strategy, uint64_t total, double cap, const char *text)
{
	struct pl_err err = {0};
	uint64_t granted = 0;

	assert_int_equal(split(s, n, strategy, total, cap, PL_UNIT_TOKENS, &granted, &err), PL_ERR_USAGE);
	assert_string_equal(err.text, text);
}

static void test_messages(void **state)
{
	struct pl_quota_source s[] = {source("web", 0.9, 100000), source("books", 0.1, 100)};
	struct pl_quota_source none[] = {source("web", 1, 10), source("gone", 1, 0)};
	struct pl_quota_source free_[] = {source("web", 0, 10)};
	struct pl_quota_source wrong[] = {source("web", -1, 10)};

	(void)state;
	expect(s, 2, PL_STRATEGY_WEIGHTS, 10000, 4,
	    "source 'books' is asked for 1000 tokens (10% of 10000), but has 100, which 4 epochs make 400, 600 too few: "
	    "the largest total possible is 4000; lower 'total' or the weight, or raise 'max_epochs'");
	expect(none, 2, PL_STRATEGY_WEIGHTS, 10, 4,
	    "source 'gone' is asked for a share of 50% but has no tokens left: take it out, or set its weight to 0");
	expect(none, 2, PL_STRATEGY_WEIGHTS, 0, 0,
	    "source 'gone' is asked for a share of 50% but has no tokens left: take it out, or set its weight to 0");
	expect(free_, 1, PL_STRATEGY_WEIGHTS, 10, 0, "a total of 10 tokens is asked for, but no source has a weight above 0");
	expect(wrong, 1, PL_STRATEGY_WEIGHTS, 10, 0, "the weight of source 'web' must be 0 or more");
	expect(s, 1, PL_STRATEGY_WEIGHTS, (uint64_t)1 << 60, 0, "a total of 1152921504606846976 tokens is more than 2^53");
	expect(s, 2, PL_STRATEGY_UNIMAX, 500000, 4,
	    "a total of 500000 tokens is asked for, but the sources give 400400 within their epochs, 99600 too few: the largest total possible "
	    "is 400400; lower 'total' or raise 'max_epochs'");
	none[0].units = 0;
	expect(none, 2, PL_STRATEGY_TEMPERATURE, 10, 4,
	    "source 'web' is asked for a share of 0% but has no tokens left: take it out, or set its weight to 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_random_sums),
		cmocka_unit_test(test_largest_remainder),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_cap_random),
		cmocka_unit_test(test_power),
		cmocka_unit_test(test_temperature),
		cmocka_unit_test(test_unimax),
		cmocka_unit_test(test_repeat),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_groups_random),
		cmocka_unit_test(test_messages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
