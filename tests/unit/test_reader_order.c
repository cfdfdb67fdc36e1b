/* SPDX-License-Identifier: Apache-2.0 */
/* The order of an epoch: a permutation at any size, with an inverse, within its window, and the same by ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shards/reader/order.h"

static struct shard_order order(uint64_t n, uint64_t block, uint32_t window, uint32_t lanes, uint64_t stride, uint64_t seed,
    uint64_t epoch)
{
	struct shard_order o = { .n = n, .block = block, .window = window, .lanes = lanes, .stride = stride, .seed = seed,
		.epoch = epoch };
	assert_int_equal(shard_order_init(&o, NULL), PL_OK);
	return o;
}

/* Every sample once, the inverse right, ranges equal to single steps, blocks of one window together. */
static void check(const struct shard_order *o)
{
	uint8_t *seen = calloc((size_t)o->n, 1);
	uint64_t *all = calloc((size_t)o->n, sizeof *all), end = 0, number = 0;
	assert_non_null(seen);
	assert_non_null(all);
	shard_order_range(o, 0, (size_t)o->n, all);
	for (uint64_t p = 0; p < o->n; p++) {
		uint64_t s = shard_order_at(o, p);
		assert_true(s < o->n);
		assert_int_equal(seen[s], 0);
		seen[s] = 1;
		assert_int_equal(all[p], s);
		assert_int_equal(shard_order_position(o, s), p);
		struct shard_order_window w = shard_order_window(o, p);
		assert_true(w.begin <= p && p < w.end && w.end <= o->n);
		if (p == end) {
			assert_int_equal(w.begin, p);
			assert_int_equal(w.number, number++);
			end = w.end;
		}
		assert_int_equal(w.end, end);
		/* A window has whole blocks: the block's first sample lies in the same one. */
		if (o->block) {
			uint64_t first = shard_order_position(o, s / o->block * o->block);
			assert_true(first >= w.begin && first < w.end);
		}
	}
	free(seen);
	free(all);
}

static void test_permutation(void **state)
{
	static const uint64_t sizes[] = { 1, 2, 3, 7, 16, 17, 100, 101, 1000, 1023, 4096 };
	static const uint64_t blocks[] = { 0, 1, 2, 3, 10, 64, 100, 5000 };
	static const uint32_t windows[] = { 1, 2, 3, 7, 1000 };
	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(sizes); i++)
		for (size_t b = 0; b < PL_ARRAY_LEN(blocks); b++)
			for (size_t w = 0; w < PL_ARRAY_LEN(windows); w++)
				for (uint64_t seed = 0; seed < 2; seed++) {
					struct shard_order o = order(sizes[i], blocks[b], windows[w], 1, 1, seed, seed + i);
					check(&o);
				}
}

static void test_lanes(void **state)
{
	static const uint64_t sizes[] = { 1, 5, 64, 997, 2048, 3001 };
	static const uint64_t blocks[] = { 1, 7, 16, 50 };
	static const uint32_t lanes[] = { 2, 3, 8 };
	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(sizes); i++)
		for (size_t b = 0; b < PL_ARRAY_LEN(blocks); b++)
			for (size_t l = 0; l < PL_ARRAY_LEN(lanes); l++)
				for (uint64_t stride = 1; stride < 9; stride += 3) {
					struct shard_order o = order(sizes[i], blocks[b], 2, lanes[l], stride, 5, i);
					check(&o);
				}
}

/* Without the short block's window and the last one, ranks that take their slices meet the blocks of their own lanes only. */
static void test_lanes_share_no_block(void **state)
{
	struct shard_order o = order(64 * 96 + 5, 64, 3, 4, 8, 1, 2);
	uint32_t window_of_owner[97];
	(void)state;
	memset(window_of_owner, 0xff, sizeof window_of_owner);
	for (uint64_t p = 0; p < o.n; p++) {
		struct shard_order_window w = shard_order_window(&o, p);
		if (w.end - w.begin != (uint64_t)3 * 4 * 64)
			continue;
		uint64_t block = shard_order_at(&o, p) / o.block;
		uint32_t lane = (uint32_t)((p - w.begin) / 8 % 4);
		if (window_of_owner[block] == UINT32_MAX)
			window_of_owner[block] = lane;
		assert_int_equal(window_of_owner[block], lane);
	}
}

static void test_epochs_differ(void **state)
{
	uint64_t same = 0;
	(void)state;
	struct shard_order a = order(10000, 100, 5, 1, 1, 1, 0), b = order(10000, 100, 5, 1, 1, 1, 1);
	struct shard_order c = order(10000, 100, 5, 1, 1, 2, 0);
	for (uint64_t p = 0; p < 10000; p++) {
		same += shard_order_at(&a, p) == shard_order_at(&b, p);
		same += shard_order_at(&a, p) == shard_order_at(&c, p);
		same += shard_order_at(&b, p) == shard_order_at(&c, p);
	}
	assert_true(same < 30);
}

/* Checkpoints outlive versions: these values are for ever. */
static void test_known_values(void **state)
{
	(void)state;
	struct shard_order o = order(1000003, 1600, 3, 1, 1, 42, 7), l = order(1000003, 1600, 3, 4, 8, 42, 7);
	static const uint64_t at[] = { 0, 1, 2, 500000, 1000002 };
	static const uint64_t plain[] = { 185360, 720803, 105457, 138373, 981609 };
	static const uint64_t laned[] = { 185360, 720803, 105457, 725688, 579578 };
	for (size_t i = 0; i < PL_ARRAY_LEN(at); i++) {
		assert_int_equal(shard_order_at(&o, at[i]), plain[i]);
		assert_int_equal(shard_order_at(&l, at[i]), laned[i]);
	}
}

static void test_refused(void **state)
{
	struct shard_order o = { .n = 0, .block = 1 };
	(void)state;
	assert_int_equal(shard_order_init(&o, NULL), PL_ERR_USAGE);
	o = (struct shard_order) { .n = ((uint64_t)1 << 40) + 1, .block = 1 };
	assert_int_equal(shard_order_init(&o, NULL), PL_ERR_USAGE);
	o = (struct shard_order) { .n = 5, .block = 1, .window = 1 << 19, .lanes = 4 };
	assert_int_equal(shard_order_init(&o, NULL), PL_ERR_USAGE);
	/* The largest there is. */
	o = (struct shard_order) { .n = (uint64_t)1 << 40, .block = UINT64_MAX, .window = 1 << 20, .seed = 1 };
	assert_int_equal(shard_order_init(&o, NULL), PL_OK);
	uint64_t s = shard_order_at(&o, o.n - 1);
	assert_true(s < o.n);
	assert_int_equal(shard_order_position(&o, s), o.n - 1);
	assert_int_equal(shard_order_block(0), SHARD_ORDER_BLOCK_BYTES);
	assert_int_equal(shard_order_block(UINT64_MAX), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_permutation),
		cmocka_unit_test(test_lanes),
		cmocka_unit_test(test_lanes_share_no_block),
		cmocka_unit_test(test_epochs_differ),
		cmocka_unit_test(test_known_values),
		cmocka_unit_test(test_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
