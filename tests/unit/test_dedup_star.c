/* SPDX-License-Identifier: Apache-2.0 */
/* Stars: no chaining, and on small graphs the same answer as trying all sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/dedup/star.h"

/* A is near B, B near C, A far from C: B goes, C stays. */
static void test_chain(void **state)
{
	struct pl_pair pairs[] = {{1, 2, 30}, {0, 1, 30}};
	uint32_t survivor[3];
	uint16_t distance[3];

	(void)state;
	assert_int_equal(pl_star(3, pairs, 2, survivor, distance, NULL), PL_OK);
	assert_int_equal(survivor[0], PL_STAR_KEPT);
	assert_int_equal(survivor[1], 0);
	assert_int_equal(distance[1], 30);
	assert_int_equal(survivor[2], PL_STAR_KEPT);
}

static void test_nearest(void **state)
{
	struct pl_pair pairs[] = {{0, 3, 9}, {1, 3, 4}, {2, 3, 4}, {0, 4, 2}, {3, 4, 1}};
	uint32_t survivor[5];
	uint16_t distance[5];

	(void)state;
	assert_int_equal(pl_star(5, pairs, 5, survivor, distance, NULL), PL_OK);
	assert_int_equal(survivor[3], 1);   /* nearest kept; of equals the first */
	assert_int_equal(distance[3], 4);
	assert_int_equal(survivor[4], 0);   /* 3 is nearer, but not kept */
}

enum { ITEMS = 9 };

/* The set of kept items whose sequence of (kept before dropped) comes first among all maximal
 * independent sets, by trying all. */
static unsigned first_set(const bool near[ITEMS][ITEMS])
{
	unsigned best = 0, best_key = 0;

	for (unsigned set = 0; set < 1u << ITEMS; set++) {
		unsigned key = 0;
		bool independent = true, maximal = true;
		for (unsigned i = 0; i < ITEMS; i++) {
			bool in = set >> i & 1u, blocked = false;
			for (unsigned k = 0; k < ITEMS; k++)
				blocked |= (set >> k & 1u) && near[i][k];
			independent &= !(in && blocked);
			maximal &= in || blocked;
			key |= (unsigned)in << (ITEMS - 1 - i);
		}
		if (independent && maximal && key > best_key) {
			best_key = key;
			best = set;
		}
	}
	return best;
}

static void test_enumeration(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		bool near[ITEMS][ITEMS] = {{false}};
		struct pl_pair pairs[ITEMS * ITEMS];
		uint32_t survivor[ITEMS];
		uint16_t distance[ITEMS];
		size_t n = 0;
		unsigned want;
		for (uint32_t a = 0; a < ITEMS; a++) {
			for (uint32_t b = a + 1; b < ITEMS; b++) {
				if (pl_draw64(seed, a, b) % 100 < 5 + seed % 60) {
					near[a][b] = near[b][a] = true;
					pairs[n++] = (struct pl_pair){a, b, (uint32_t)(pl_draw64(seed, b, a) % 32)};
				}
			}
		}
		want = first_set((const bool (*)[ITEMS])near);
		assert_int_equal(pl_star(ITEMS, pairs, n, survivor, distance, NULL), PL_OK);
		for (uint32_t i = 0; i < ITEMS; i++) {
			assert_int_equal(survivor[i] == PL_STAR_KEPT, want >> i & 1u);
			if (survivor[i] == PL_STAR_KEPT)
				continue;
			assert_true(survivor[i] < i && near[i][survivor[i]] && survivor[survivor[i]] == PL_STAR_KEPT);
		}
	}
}

static void test_bad_pairs(void **state)
{
	struct pl_pair outside = {0, 3, 1}, backward = {2, 1, 1};
	uint32_t survivor[3];
	uint16_t distance[3];

	(void)state;
	assert_int_equal(pl_star(3, &outside, 1, survivor, distance, NULL), PL_ERR_INVALID);
	assert_int_equal(pl_star(3, &backward, 1, survivor, distance, NULL), PL_ERR_INVALID);
	assert_int_equal(pl_star(0, NULL, 0, survivor, distance, NULL), PL_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_enumeration),
		cmocka_unit_test(test_bad_pairs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
