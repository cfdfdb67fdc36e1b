/* SPDX-License-Identifier: Apache-2.0 */
/* Which shards are cut: the list is played through, and what would end late is
 * what is cut. Alone and under mpirun alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libpipe/dist/split.h"

#define MIB ((uint64_t)1 << 20)

static uint64_t split_count(const uint64_t *sizes, uint64_t n, int ranks, uint64_t piece, bool *split, uint64_t *step)
{
	struct pl_err err;
	uint64_t count = 0;

	assert_int_equal(pl_split_plan(sizes, n, ranks, piece, split, step, &err), PL_OK);
	for (uint64_t i = 0; i < n; i++)
		count += split[i];
	return count;
}

static void test_one_large(void **state)
{
	uint64_t sizes[101], step;
	bool split[101];

	(void)state;
	for (size_t i = 0; i < 101; i++)
		sizes[i] = i == 40 ? 10000 * MIB : 100 * MIB;
	/* A fair share of four is 5,000 MiB: the large one would end at twice that. */
	assert_int_equal(split_count(sizes, 101, 4, 0, split, &step), 1);
	assert_true(split[40]);
	assert_int_equal(step, 128 * MIB);
	/* With one rank nothing ends late. */
	assert_int_equal(split_count(sizes, 101, 1, 0, split, &step), 0);
	/* At 64 ranks a share is 312 MiB. Small ones are taken as they are. */
	assert_int_equal(split_count(sizes, 101, 64, 0, split, &step), 1);
	assert_int_equal(step, 8 * MIB);
	/* At a thousand, a rank has no more than a fifth of a small one. */
	assert_int_equal(split_count(sizes, 101, 1000, 0, split, &step), 101);
	assert_int_equal(step, PL_SPLIT_MIN);
}

static void test_equal(void **state)
{
	uint64_t sizes[1000], step;
	bool split[1000];

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		sizes[i] = 1000 * MIB;
	/* As many as fit the ranks, or so many that the rest does not count: nothing to cut. */
	assert_int_equal(split_count(sizes, 1000, 1000, 0, split, &step), 0);
	assert_int_equal(split_count(sizes, 1000, 125, 0, split, &step), 0);
	assert_int_equal(split_count(sizes, 1000, 7, 0, split, &step), 0);
	/* One rank would have two, the others one: the last is cut, and so are those that would end behind a twentieth. */
	assert_int_equal(split_count(sizes, 1000, 999, 0, split, &step), 1);
	assert_true(split[999]);
	assert_int_equal(split_count(sizes, 1000, 300, 0, split, &step), 100);
	/* Small files are never cut. */
	for (size_t i = 0; i < 1000; i++)
		sizes[i] = 2 * PL_SPLIT_MIN;
	assert_int_equal(split_count(sizes, 1000, 999, 0, split, &step), 0);
}

static void test_asked_for(void **state)
{
	static const uint64_t sizes[] = { 0, 100, 201, 202, 5000 };
	uint64_t step;
	bool split[5];

	(void)state;
	assert_int_equal(split_count(sizes, 5, 1, 100, split, &step), 2);
	assert_true(split[3] && split[4]);
	assert_int_equal(step, 100);
	assert_int_equal(split_count(sizes, 0, 4, 0, split, &step), 0);
}

/* What stays whole fits into a rank's share, whatever the sizes, and pieces are small against it. */
static void test_bound(void **state)
{
	uint64_t sizes[200], step, seed = 12345;
	bool split[200];

	(void)state;
	for (int round = 0; round < 300; round++) {
		int ranks = 2 + round % 61;
		double share = 0;
		for (size_t i = 0; i < 200; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			sizes[i] = ((seed >> 33) % 1000 + 1) * MIB << (seed >> 60);
			share += (double)sizes[i] / ranks;
		}
		assert_true(split_count(sizes, 200, ranks, 0, split, &step) <= 200);
		for (size_t i = 0; i < 200; i++)
			assert_true(split[i] || (double)sizes[i] <= share * 1.05 || sizes[i] <= 2 * step);
		assert_true(step == PL_SPLIT_MIN || (double)step <= share / 32);
	}
}

static void test_order(void **state)
{
	static const uint64_t sizes[] = { 3, 9, 3, 0, 10, 9 }, want[] = { 4, 1, 5, 0, 2, 3 };
	uint64_t *order = pl_largest_first(sizes, 6);

	(void)state;
	assert_non_null(order);
	assert_memory_equal(order, want, sizeof want);
	free(order);
	order = pl_largest_first(NULL, 0);
	assert_non_null(order);
	free(order);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_large),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_asked_for),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
