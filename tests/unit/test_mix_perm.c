/* SPDX-License-Identifier: Apache-2.0 */
/* The permutation: a bijection at any size, with an inverse, without a
 * preference for positions, and the same for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/mix/perm.h"

static void check_bijection(uint64_t n, uint64_t seed)
{
	struct pl_perm p;
	uint8_t *seen = calloc((size_t)n, 1);

	assert_non_null(seen);
	pl_perm_init(&p, n, seed, 7);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t v = pl_perm_at(&p, i);
		assert_true(v < n);
		assert_int_equal(seen[v], 0);
		seen[v] = 1;
		assert_int_equal(pl_perm_inverse(&p, v), i);
	}
	free(seen);
}

static void test_bijection(void **state)
{
	static const uint64_t sizes[] = {
	    1, 2, 3, 4, 5, 63, 64, 65, 255, 256, 257, 1000, 4096, 65537, 1000000};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		check_bijection(sizes[i], 42 + i);
}

static void test_large(void **state)
{
	static const uint64_t sizes[] = {(uint64_t)1 << 40, ((uint64_t)1 << 62) + 1, UINT64_MAX};

	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		struct pl_perm p;
		pl_perm_init(&p, sizes[k], 1, 2);
		for (uint64_t i = 0; i < 1000; i++) {
			uint64_t v = pl_perm_at(&p, sizes[k] - 1 - i);
			assert_true(v < sizes[k]);
			assert_int_equal(pl_perm_inverse(&p, v), sizes[k] - 1 - i);
		}
	}
}

/* Where an item lands over many seeds: chi-square against the uniform distribution, far tail (p about
 * 1e-6). */
static void check_positions(uint64_t n, uint64_t seeds, double limit)
{
	double expected = (double)seeds / (double)n;

	for (uint64_t item = 0; item < n; item++) {
		uint64_t counts[64] = {0};
		double chi = 0;
		for (uint64_t seed = 0; seed < seeds; seed++) {
			struct pl_perm p;
			pl_perm_init(&p, n, seed, 3);
			counts[pl_perm_at(&p, item)]++;
		}
		for (uint64_t v = 0; v < n; v++)
			chi += ((double)counts[v] - expected) * ((double)counts[v] - expected) / expected;
		assert_true(chi < limit);
	}
}

static void test_positions(void **state)
{
	(void)state;
	check_positions(2, 20000, 26);
	check_positions(3, 20000, 30);
	check_positions(10, 20000, 50);
	check_positions(33, 20000, 96);
}

/* Neighbours do not stay neighbours, streams differ, and the order is what it has always been. */
static void test_order(void **state)
{
	struct pl_perm a, b;
	uint64_t steps = 0, same = 0;

	(void)state;
	pl_perm_init(&a, 100000, 42, 0);
	pl_perm_init(&b, 100000, 42, 1);
	for (uint64_t i = 0; i + 1 < 100000; i++) {
		steps += pl_perm_at(&a, i) + 1 == pl_perm_at(&a, i + 1);
		same += pl_perm_at(&a, i) == pl_perm_at(&b, i);
	}
	assert_true(steps < 12);
	assert_true(same < 12);
	pl_perm_init(&a, 1000, 42, 0);
	assert_int_equal(pl_perm_at(&a, 0), 244);
	assert_int_equal(pl_perm_at(&a, 1), 908);
	assert_int_equal(pl_perm_at(&a, 999), 565);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bijection),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_positions),
		cmocka_unit_test(test_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
