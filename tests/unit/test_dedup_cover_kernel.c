/* SPDX-License-Identifier: Apache-2.0 */
/* The passes of the join over all hashes and over what it finds: every kernel
 * gives what the definition says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/dedup/cover_join.h"

static void flip(uint64_t h[4], unsigned bit)
{
	h[bit / 64] ^= (uint64_t)1 << bit % 64;
}

static void test_permute(void **state)
{
	enum { N = 300 };
	static uint64_t h[N][4], one[N][4], two[N][4];

	(void)state;
	for (unsigned bits = 64; bits <= 256; bits += 192) {
		uint8_t permutation[256];
		bool used[256] = {false};
		pl_cover_permutation(bits, permutation);
		for (unsigned i = 0; i < 256; i++) {
			assert_false(used[permutation[i]]);
			used[permutation[i]] = true;
			assert_true(i < bits || permutation[i] == i);
		}
		for (uint64_t i = 0; i < N; i++) {
			for (uint64_t w = 0; w < 4; w++)
				h[i][w] = w < bits / 64 ? pl_draw64(3, i, w) : 0;
		}
		memcpy(one, h, sizeof(h));
		assert_int_equal(pl_cover_permute(PL_COVER_PORTABLE, bits, one, N, NULL), PL_OK);
		for (uint64_t i = 0; i < N; i++) {
			for (unsigned k = 0; k < 256; k++)
				assert_int_equal(one[i][k / 64] >> k % 64 & 1, h[i][permutation[k] / 64] >> permutation[k] % 64 & 1);
		}
		for (enum pl_cover_kernel k = PL_COVER_AVX2; k < PL_COVER_KERNELS; k++) {
			if (!pl_cover_kernel_usable(k))
				continue;
			memcpy(two, h, sizeof(h));
			assert_int_equal(pl_cover_permute(k, bits, two, N, NULL), PL_OK);
			assert_memory_equal(one, two, sizeof(one));
		}
	}
}

static void test_even(void **state)
{
	uint64_t h[50][4] = {{0}};

	(void)state;
	assert_true(pl_cover_even((const uint64_t(*)[4])h, 50));
	for (unsigned i = 0; i < 50; i++) {
		flip(h[i], i * 5);
		assert_false(pl_cover_even((const uint64_t(*)[4])h, 50));
		flip(h[i], 255 - i);
		assert_true(pl_cover_even((const uint64_t(*)[4])h, 50));
	}
}

static void test_keys(void **state)
{
	enum { N = 1003 };
	static uint64_t words[N], one[N + 8], two[N + 8];

	(void)state;
	for (uint64_t i = 0; i < N; i++)
		words[i] = pl_draw64(4, i, 0);
	for (unsigned bits = 0; bits <= 6; bits += 3) {
		size_t all = 0;
		for (uint64_t range = 0; range < (uint64_t)1 << bits; range++) {
			size_t n = pl_cover_keys(PL_COVER_PORTABLE)(words, N, 0xFFFF0F0F0F0F00FFu, 77, bits, range, one);
			for (size_t i = 0; i < n; i++) {
				uint64_t h = (words[(uint32_t)one[i] - 77] & 0xFFFF0F0F0F0F00FFu) * PL_COVER_MULTIPLIER;
				assert_true(bits == 0 || h >> (64 - bits) == range);
				assert_int_equal(one[i] >> 32, (h << bits) >> 32);
			}
			all += n;
			for (enum pl_cover_kernel k = PL_COVER_AVX2; k < PL_COVER_KERNELS; k++) {
				if (!pl_cover_kernel_usable(k))
					continue;
				assert_int_equal(pl_cover_keys(k)(words, N, 0xFFFF0F0F0F0F00FFu, 77, bits, range, two), n);
				assert_memory_equal(one, two, n * sizeof(*one));
			}
		}
		assert_int_equal(all, N);
	}
}

static void test_spread(void **state)
{
	enum { N = 501 };
	const uint64_t part = 0x8000100020000401u, rest = 0x0FF0000F0F0F0070u & ~part;
	static uint64_t words[N], pool[N];

	(void)state;
	for (uint64_t i = 0; i < N; i++)
		words[i] = pl_draw64(5, i, 0);
	for (enum pl_cover_kernel k = 0; k < PL_COVER_KERNELS; k++) {
		uint32_t count[32] = {0}, sum = 0;
		uint64_t *at[32];
		if (!pl_cover_kernel_usable(k))
			continue;
		pl_cover_count(k)(words, N, part, count);
		for (uint32_t p = 0; p < 32; p++) {
			at[p] = pool + sum;
			sum += count[p];
		}
		assert_int_equal(sum, N);
		pl_cover_spread(k)(words, N, part, rest, 9, at);
		for (uint32_t p = 0; p < 32; p++) {
			const uint64_t *first = at[p] - count[p];
			for (const uint64_t *e = first; e < at[p]; e++) {
				uint32_t from = (uint32_t)*e - 9;
				assert_int_equal(pl_join_extract(words[from], part), p);
				assert_int_equal(*e >> 32, pl_join_extract(words[from], rest));
				assert_true(e == first || e[-1] << 32 < *e << 32);   /* in their order */
			}
		}
	}
	assert_int_equal(pl_join_extract(0xF0B1u, 0x80C1u), 0xDu);
}

/* Words in one go are the words of each, and those of two hashes differ as the word of their difference. */
static void test_words(void **state)
{
	enum { N = 101 };
	static uint64_t h[N + 1][4], words[N];
	uint32_t marked = 0;

	(void)state;
	for (uint64_t i = 0; i < N; i++) {
		for (uint64_t w = 0; w < 4; w++)
			h[i][w] = pl_draw64(6, i, w);
	}
	for (uint32_t blocks = 1; blocks <= 20; blocks++) {
		for (enum pl_cover_kind kind = 0; kind < PL_COVER_KINDS; kind++) {
			struct pl_cover c;
			if (pl_cover_make(&c, kind, 256, 19, blocks, 0.5, NULL) != PL_OK)
				continue;
			for (uint32_t b = 0; b < c.nblocks; b++) {
				marked += c.block[b].turn != 0;
				for (uint32_t i = 0; i < N; i++) {
					uint64_t d[4], x = pl_cover_word(&c, b, h[i]), y = pl_cover_word(&c, b, h[0]);
					for (unsigned w = 0; w < 4; w++)
						d[w] = h[i][w] ^ h[0][w];
					assert_true(pl_cover_word(&c, b, d) == (x ^ y));
				}
				for (enum pl_cover_kernel k = 0; k < PL_COVER_KERNELS; k++) {
					if (!pl_cover_kernel_usable(k))
						continue;
					pl_cover_words(k)(&c, b, (const uint64_t(*)[4])h, N, words);
					for (uint32_t i = 0; i < N; i++)
						assert_true(words[i] == pl_cover_word(&c, b, h[i]));
				}
			}
			pl_cover_release(&c);
		}
	}
	assert_true(marked > 20);
}

/* Every kernel keeps the pairs that pl_cover_lowest takes, in their order. */
static void check_keep(const struct pl_cover *c, const uint64_t (*h)[4], uint32_t n)
{
	struct pl_pair want[64], pairs[64];

	for (uint32_t b = 0; b < c->nblocks; b++) {
		for (uint32_t m = c->block[b].first; m < c->block[b].first + c->block[b].masks; m++) {
			uint32_t nwant = 0;
			for (uint32_t i = 0; i + 1 < n; i++) {
				if (pl_cover_lowest(c, b, m, h[i], h[i + 1]))
					want[nwant++] = (struct pl_pair){i, i + 1, i % 7};
			}
			for (enum pl_join_kernel k = 0; k < PL_JOIN_KERNELS; k++) {
				for (uint32_t i = 0; i + 1 < n; i++)
					pairs[i] = (struct pl_pair){i, i + 1, i % 7};
				assert_int_equal(pl_join_keep(k)(c, b, m, h, pairs, n - 1), nwant);
				assert_memory_equal(pairs, want, nwant * sizeof(*want));
			}
		}
	}
}

static void test_keep(void **state)
{
	enum { N = 65 };
	static uint64_t h[N][4];

	(void)state;
	for (unsigned distance = 0; distance <= 40; distance += 5) {
		memset(h, 0, sizeof(h));
		for (uint32_t i = 1; i < N; i++) {   /* each as near the one before as pairs are that come so far */
			memcpy(h[i], h[i - 1], sizeof(h[i]));
			for (unsigned k = 0; k < distance && k < i; k++)
				flip(h[i], (unsigned)(pl_draw64(8, i, k) % 256));
		}
		for (uint32_t blocks = 1; blocks <= 20; blocks++) {
			for (enum pl_cover_kind kind = 0; kind < PL_COVER_KINDS; kind++) {
				struct pl_cover c;
				if (pl_cover_make(&c, kind, 256, distance, blocks, 0.5, NULL) != PL_OK)
					continue;
				check_keep(&c, (const uint64_t(*)[4])h, N);
				pl_cover_release(&c);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_permute),
		cmocka_unit_test(test_even),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_keep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
