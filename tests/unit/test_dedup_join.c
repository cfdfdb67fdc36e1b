/* SPDX-License-Identifier: Apache-2.0 */
/* The join against brute force: every pair, each once, from every kernel and
 * any number of parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/dedup/join_kernel.h"

enum { RANDOM = 2200, COPIES = 41, BASES = 8, N = RANDOM + COPIES * BASES };

static uint64_t (*make_hashes(void))[4]
{
	uint64_t (*h)[4] = calloc(N, sizeof(*h));

	assert_non_null(h);
	for (uint32_t i = 0; i < RANDOM; i++) {
		for (unsigned w = 0; w < 4; w++)
			h[i][w] = pl_draw64(5, i, w);
	}
	/* copies of the first hashes at distances 0..40, spread over all tiles */
	for (uint32_t b = 0; b < BASES; b++) {
		for (uint32_t d = 0; d < COPIES; d++) {
			uint64_t *c = h[RANDOM + d * BASES + b];
			memcpy(c, h[b * 270], sizeof(*h));
			for (uint32_t k = 0; k < d; k++) {
				uint32_t bit = (b * 31 + k * 67) % 256;   /* 67 is odd: different bits */
				c[bit / 64] ^= (uint64_t)1 << bit % 64;
			}
		}
	}
	return h;
}

static unsigned hamming(const uint64_t a[4], const uint64_t b[4])
{
	unsigned d = 0;

	for (unsigned w = 0; w < 4; w++) {
		for (uint64_t x = a[w] ^ b[w]; x; x &= x - 1)
			d++;
	}
	return d;
}

static int compare(const void *x, const void *y)
{
	return memcmp(x, y, sizeof(struct pl_pair));
}

static void brute_force(uint64_t (*h)[4], unsigned distance, struct pl_buf *out)
{
	for (uint32_t a = 0; a < N; a++) {
		for (uint32_t b = a + 1; b < N; b++) {
			struct pl_pair p = {a, b, hamming(h[a], h[b])};
			if (p.distance <= distance)
				assert_int_equal(pl_buf_add(out, &p, sizeof(p), NULL), PL_OK);
		}
	}
	qsort(out->data, out->len / sizeof(struct pl_pair), sizeof(struct pl_pair), compare);
}

static void join(
    uint64_t (*h)[4], unsigned distance, enum pl_join_kernel kernel, uint32_t parts, struct pl_buf *out)
{
	const struct pl_join j = {.hashes = h, .n = N, .distance = distance};

	for (uint32_t p = 0; p < parts; p++)
		assert_int_equal(pl_join_part_with(&j, kernel, p, parts, out, NULL), PL_OK);
	qsort(out->data, out->len / sizeof(struct pl_pair), sizeof(struct pl_pair), compare);
}

static void test_all_pairs(void **state)
{
	static const unsigned distances[] = {0, 1, 16, 31, 40};
	static const uint32_t parts[] = {1, 2, 5, 7, 64};
	uint64_t (*h)[4] = make_hashes();

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(distances); i++) {
		struct pl_buf want = {0};
		brute_force(h, distances[i], &want);
		/* copies at x and y bits differ in |x - y|: the planted pairs alone */
		assert_true(want.len / sizeof(struct pl_pair) >= (distances[i] + 1) * BASES);
		for (enum pl_join_kernel k = 0; k < PL_JOIN_KERNELS; k++) {
			struct pl_buf got = {0};
			if (!pl_join_scan(k)) {
				print_message("this processor has no kernel '%s'\n", pl_join_kernel_name(k));
				continue;
			}
			join(h, distances[i], k, parts[i], &got);
			assert_int_equal(got.len, want.len);
			assert_memory_equal(got.data, want.data, want.len);
			pl_buf_release(&got);
		}
		pl_buf_release(&want);
	}
	free(h);
}

/* Blocks that do not fill a tile or a vector, and everything within reach. */
static void test_small(void **state)
{
	uint64_t h[40][4];

	(void)state;
	for (uint32_t i = 0; i < 40; i++) {
		for (unsigned w = 0; w < 4; w++)
			h[i][w] = pl_draw64(9, i, w);
	}
	for (uint32_t n = 0; n <= 40; n++) {
		const struct pl_join j = {.hashes = h, .n = n, .distance = 256};
		for (enum pl_join_kernel k = 0; k < PL_JOIN_KERNELS; k++) {
			struct pl_buf got = {0};
			if (!pl_join_scan(k))
				continue;
			assert_int_equal(pl_join_part_with(&j, k, 0, 1, &got, NULL), PL_OK);
			assert_int_equal(got.len, (n ? n * (n - 1) / 2 : 0) * sizeof(struct pl_pair));
			pl_buf_release(&got);
		}
	}
}

static bool only_odd_sums(void *ctx, uint32_t a, uint32_t b)
{
	(void)ctx;
	return (a + b) % 2 == 1;
}

static void test_related(void **state)
{
	uint64_t h[6][4] = {{0}};
	const struct pl_join j = {
	    .hashes = h, .n = 6, .distance = 0, .related = only_odd_sums};
	struct pl_buf got = {0};

	(void)state;
	assert_int_equal(pl_join_part(&j, 0, 1, &got, NULL), PL_OK);
	assert_int_equal(got.len, 9 * sizeof(struct pl_pair));
	pl_buf_release(&got);
}

static enum pl_status stop(void *ctx, struct pl_err *err)
{
	++*(int *)ctx;
	return pl_fail(err, PL_ERR_STOPPED, PL_SEV_JOB, NULL, "stop");
}

static void test_poll_and_ceiling(void **state)
{
	uint64_t (*h)[4] = make_hashes();
	int calls = 0;
	struct pl_join j = {
	    .hashes = h, .n = N, .distance = 256, .poll = stop, .ctx = &calls};
	struct pl_buf got;

	(void)state;
	pl_buf_init(&got, 0);
	assert_int_equal(pl_join_part(&j, 0, 1, &got, NULL), PL_ERR_STOPPED);
	assert_int_equal(calls, 1);
	pl_buf_release(&got);
	pl_buf_init(&got, 100 * sizeof(struct pl_pair));
	j.poll = NULL;
	assert_int_equal(pl_join_part(&j, 0, 1, &got, NULL), PL_ERR_LIMIT);
	assert_int_equal(pl_join_part(&j, 3, 3, &got, NULL), PL_ERR_USAGE);
	pl_buf_release(&got);
	free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_pairs),
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_related),
		cmocka_unit_test(test_poll_and_ceiling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
