/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas: sums are exact, caps hold, and what is impossible is said in full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/mix/quota.h"

static struct pl_quota_source source(const char *name, double weight, uint64_t units)
{
	return (struct pl_quota_source){.name = name, .weight = weight, .samples = units, .units = units};
}

static void test_exact(void **state)
{
	struct pl_quota_source s[] = {
	    source("a", 0.6, 1000), source("b", 0.3, 1000), source("c", 0.1, 1000)};
	uint64_t granted = 0;

	(void)state;
	assert_int_equal(pl_quota_split(s, 3, 1000, 0, PL_UNIT_SAMPLES, &granted, NULL), PL_OK);
	assert_int_equal(granted, 1000);
	assert_int_equal(s[0].target, 600);
	assert_int_equal(s[1].target, 300);
	assert_int_equal(s[2].target, 100);
	assert_true(s[0].epochs > 0.599 && s[0].epochs < 0.601);
	/* thirds: the remainder goes to the first of equals */
	for (size_t i = 0; i < 3; i++)
		s[i].weight = 1;
	assert_int_equal(pl_quota_split(s, 3, 100, 0, PL_UNIT_SAMPLES, &granted, NULL), PL_OK);
	assert_int_equal(s[0].target, 34);
	assert_int_equal(s[1].target, 33);
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
		assert_int_equal(pl_quota_split(s, 7, total, 0, PL_UNIT_TOKENS, &granted, NULL), PL_OK);
		for (size_t i = 0; i < 7; i++) {
			double x = (double)total * s[i].weight / sum;
			assert_true((double)s[i].target > x - 1.01 && (double)s[i].target < x + 1.01);
			given += s[i].target;
		}
		assert_int_equal(given, total);
		assert_int_equal(granted, total);
	}
}

static void test_cap(void **state)
{
	struct pl_quota_source s[] = {source("a", 0.5, 100), source("b", 0.5, 1000)};
	uint64_t granted = 0;

	(void)state;
	/* total 0: as much as the caps allow */
	assert_int_equal(pl_quota_split(s, 2, 0, 4, PL_UNIT_SAMPLES, &granted, NULL), PL_OK);
	assert_int_equal(granted, 800);
	assert_int_equal(s[0].target, 400);
	assert_int_equal(s[1].target, 400);
	/* without a cap: one epoch of the tightest */
	assert_int_equal(pl_quota_split(s, 2, 0, 0, PL_UNIT_SAMPLES, &granted, NULL), PL_OK);
	assert_int_equal(granted, 200);
	/* exactly the largest total is possible, one more is not */
	assert_int_equal(pl_quota_split(s, 2, 800, 4, PL_UNIT_SAMPLES, &granted, NULL), PL_OK);
	assert_int_equal(pl_quota_split(s, 2, 801, 4, PL_UNIT_SAMPLES, &granted, NULL), PL_ERR_USAGE);
}

/* Whatever the weights, total 0 takes what fits, and no cap is passed. */
static void test_cap_random(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 2000; seed++) {
		struct pl_quota_source s[5];
		double cap = 0.25 + (double)(pl_draw64(seed, 9, 0) % 500) / 100;
		uint64_t granted = 0, largest;
		for (size_t i = 0; i < 5; i++)
			s[i] = source("s", (double)(1 + pl_draw64(seed, i, 1) % 90), 10 + pl_draw64(seed, i, 2) % 5000);
		assert_int_equal(pl_quota_split(s, 5, 0, cap, PL_UNIT_IMAGES, &granted, NULL), PL_OK);
		for (size_t i = 0; i < 5; i++)
			assert_true((double)s[i].target <= (double)s[i].units * cap);
		largest = granted;
		assert_int_equal(pl_quota_split(s, 5, largest, cap, PL_UNIT_IMAGES, &granted, NULL), PL_OK);
		assert_int_equal(pl_quota_split(s, 5, largest + 1, cap, PL_UNIT_IMAGES, &granted, NULL),
		    PL_ERR_USAGE);
	}
}

static void test_all_once(void **state)
{
	struct pl_quota_source s[] = {source("a", 1, 100), source("b", 0, 70)};
	uint64_t granted = 0;

	(void)state;
	assert_int_equal(pl_quota_split(s, 2, 50, 0, PL_UNIT_SAMPLES, &granted, NULL), PL_OK);
	assert_int_equal(s[0].target, 50);
	assert_int_equal(s[1].target, 70);
	assert_int_equal(granted, 120);
	s[0].weight = 0;
	assert_int_equal(pl_quota_split(s, 2, 0, 0, PL_UNIT_SAMPLES, &granted, NULL), PL_OK);
	assert_int_equal(granted, 170);
}

static void expect(struct pl_quota_source *s, size_t n, uint64_t total, double cap, const char *text)
{
	struct pl_err err = {0};
	uint64_t granted = 0;

	assert_int_equal(pl_quota_split(s, n, total, cap, PL_UNIT_TOKENS, &granted, &err), PL_ERR_USAGE);
	assert_string_equal(err.text, text);
}

static void test_messages(void **state)
{
	struct pl_quota_source s[] = {source("web", 0.9, 100000), source("books", 0.1, 100)};
	struct pl_quota_source none[] = {source("web", 1, 10), source("gone", 1, 0)};
	struct pl_quota_source free_[] = {source("web", 0, 10)};
	struct pl_quota_source wrong[] = {source("web", -1, 10)};

	(void)state;
	expect(s, 2, 10000, 4,
	    "source 'books' is asked for 1000 tokens (10% of 10000), but has 100, which 4 epochs make 400: "
	    "the largest total possible is 4000; lower 'total' or the weight, or raise 'max_epochs'");
	expect(none, 2, 10, 4,
	    "source 'gone' is asked for a share of 50% but has no tokens left: take it out, or set its weight to 0");
	expect(none, 2, 0, 0,
	    "source 'gone' is asked for a share of 50% but has no tokens left: take it out, or set its weight to 0");
	expect(free_, 1, 10, 0, "a total of 10 tokens is asked for, but no source has a weight above 0");
	expect(wrong, 1, 10, 0, "the weight of source 'web' must be 0 or more");
	expect(s, 1, (uint64_t)1 << 60, 0, "a total of 1152921504606846976 tokens is more than 2^53");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_random_sums),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_cap_random),
		cmocka_unit_test(test_all_once),
		cmocka_unit_test(test_messages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
