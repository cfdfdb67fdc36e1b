/* SPDX-License-Identifier: Apache-2.0 */
/* The permutation: a bijection at any size, with an inverse, without a
 * preference for positions, and the same for ever. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/perm.h"

/* Many inverses at once, in stretches of every length. */
static void check_inverses(const struct pl_perm *p)
{
	uint64_t v[300] = {0}, at[300];

	for (size_t n = 0, i = 0; n <= 300 && i + n <= p->n; i += n, n = n < 40 ? n + 1 : n + 37) {
		for (size_t k = 0; k < n; k++)
			v[k] = i + k;
		pl_perm_inverses(p, v, at, n);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(pl_perm_at(p, at[k]), v[k]);
	}
}

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
	check_inverses(&p);
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

enum { MILLION = 1000000 };

static uint32_t *million(uint64_t seed)
{
	uint32_t *v = malloc(MILLION * sizeof(*v));
	struct pl_perm p;

	assert_non_null(v);
	pl_perm_init(&p, MILLION, seed, 5);
	for (uint64_t i = 0; i < MILLION; i++)
		v[i] = (uint32_t)pl_perm_at(&p, i);
	return v;
}

/* Chi-square of a table of counts against equal ones, in standard deviations from its mean. */
static double deviation(const uint32_t *counts, size_t cells, double n, double freedom)
{
	double due = n / (double)cells, chi = 0;

	for (size_t i = 0; i < cells; i++)
		chi += ((double)counts[i] - due) * ((double)counts[i] - due) / due;
	return (chi - freedom) / sqrt(2 * freedom);
}

/* Where a stretch of positions lands, against all stretches: rows and columns of the table have fixed sums. And pairs at a lag. */
static void check_tables(const uint32_t *v)
{
	enum { CELLS = 100, WIDTH = MILLION / CELLS, COARSE = 50 };
	static const size_t lags[] = {1, 2, 3, 5, 64, 1000, 4096};
	static uint32_t counts[CELLS * CELLS];

	memset(counts, 0, sizeof(counts));
	for (size_t i = 0; i < MILLION; i++)
		counts[i / WIDTH * CELLS + v[i] / WIDTH]++;
	assert_true(fabs(deviation(counts, CELLS * CELLS, MILLION, (CELLS - 1.0) * (CELLS - 1))) < 5);
	for (size_t l = 0; l < sizeof(lags) / sizeof(lags[0]); l++) {
		memset(counts, 0, sizeof(counts));
		for (size_t i = 0; i + lags[l] < MILLION; i++)
			counts[v[i] / (MILLION / COARSE) * COARSE + v[i + lags[l]] / (MILLION / COARSE)]++;
		assert_true(fabs(deviation(counts, COARSE * COARSE, (double)(MILLION - lags[l]), (COARSE - 1.0) * (COARSE - 1))) < 5);
	}
	/* the low digits, position by value, as strides would show them */
	memset(counts, 0, sizeof(counts));
	for (size_t i = 0; i < MILLION; i++)
		counts[i % CELLS * CELLS + v[i] % CELLS]++;
	assert_true(fabs(deviation(counts, CELLS * CELLS, MILLION, (CELLS - 1.0) * (CELLS - 1))) < 5);
}

static double correlation(const uint32_t *v, size_t lag)
{
	double mean = (MILLION - 1) / 2.0, sum = 0, square = 0;

	for (size_t i = 0; i < MILLION; i++) {
		square += (v[i] - mean) * (v[i] - mean);
		if (i + lag < MILLION)
			sum += (v[i] - mean) * (v[i + lag] - mean);
	}
	return sum / square;
}

/* A million positions: no table of counts and no serial correlation is further out than chance has it (five sigma). */
static void test_million(void **state)
{
	static const size_t lags[] = {1, 2, 3, 4, 7, 10, 100, 1000, 1024, 4096, 65536};

	(void)state;
	for (uint64_t seed = 0; seed < 3; seed++) {
		uint32_t *v = million(seed);
		check_tables(v);
		for (size_t l = 0; l < sizeof(lags) / sizeof(lags[0]); l++)
			assert_true(fabs(correlation(v, lags[l])) < 5 / sqrt(MILLION));
		free(v);
	}
}

/* Seeds that differ in one bit give orders that agree in as many places as chance has it: one, Poisson. */
static void test_seeds(void **state)
{
	uint32_t *a = million(42);

	(void)state;
	for (unsigned bit = 0; bit < 64; bit += 9) {
		uint32_t *b = million(42 ^ (uint64_t)1 << bit);
		unsigned same = 0;
		double sum = 0, mean = (MILLION - 1) / 2.0;
		for (size_t i = 0; i < MILLION; i++) {
			same += a[i] == b[i];
			sum += (a[i] - mean) * (b[i] - mean);
		}
		assert_true(same < 10);
		assert_true(fabs(sum / ((double)MILLION * MILLION * MILLION / 12)) < 5 / sqrt(MILLION));
		free(b);
	}
	free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bijection),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_positions),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_million),
		cmocka_unit_test(test_seeds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
