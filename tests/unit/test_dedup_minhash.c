/* SPDX-License-Identifier: Apache-2.0 */
/* MinHash: shingles against a plain oracle, signatures of every kernel against
 * a second implementation, true Jaccard, and how often bands meet against
 * theory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/dedup/minhash.h"
#include "libpipe/dedup/near_text.h"

enum { BANDS = 14, ROWS = 8, PERMS = BANDS * ROWS };

static void shingles(struct pl_shingles *s, const char *text, unsigned ngram)
{
	assert_int_equal(pl_shingles_make(s, text, strlen(text), ngram, NULL), PL_OK);
}

/* The tokens of text are exactly these (NULL-terminated), seen through shingles of one. */
static void check_tokens(const char *text, const char *const *tokens)
{
	struct pl_shingles s = {0};
	size_t n = 0;

	shingles(&s, text, 1);
	for (; tokens[n]; n++) {
		uint64_t token = pl_hash64(tokens[n], strlen(tokens[n]));
		assert_true(n < s.n);
		assert_true(s.hash[n] == pl_hash64(&token, sizeof(token)));
	}
	assert_int_equal(s.n, n);
	pl_shingles_release(&s);
}

static void test_tokens(void **state)
{
	(void)state;
	check_tokens("", (const char *const[]){NULL});
	check_tokens("one two, three", (const char *const[]){"one", "two,", "three", NULL});
	check_tokens("星期一 in 2024年", (const char *const[]){"星", "期", "一", "in", "2024", "年", NULL});
	check_tokens("ไทย한국어 日本", (const char *const[]){"ไ", "ท", "ย", "한국어", "日", "本", NULL});
	check_tokens("نص قصير 𠀀x", (const char *const[]){"نص", "قصير", "𠀀", "x", NULL});
	check_tokens("é à", (const char *const[]){"é", "à", NULL});
}

static void test_shingles(void **state)
{
	struct pl_shingles s = {0}, t = {0};
	uint64_t token[8];
	static const char *const words[] = {"a", "b", "c", "d", "e", "f", "a", "b"};

	(void)state;
	for (size_t i = 0; i < 8; i++)
		token[i] = pl_hash64(words[i], 1);
	shingles(&s, "a b c d e f a b", 5);
	assert_int_equal(s.n, 4);
	for (size_t i = 0; i < 4; i++)
		assert_true(s.hash[i] == pl_hash64(token + i, 5 * sizeof(*token)));
	/* fewer words than a shingle: one of all of them, and none like it */
	shingles(&s, "a b c", 5);
	assert_int_equal(s.n, 1);
	assert_true(s.hash[0] == pl_hash64(token, 3 * sizeof(*token)));
	shingles(&t, "a b c d", 5);
	assert_true(s.hash[0] != t.hash[0]);
	/* sorted, each once */
	shingles(&s, "a b a b a b a b a", 2);
	assert_int_equal(s.n, 8);
	pl_shingles_sort(&s);
	assert_int_equal(s.n, 2);
	assert_true(s.hash[0] < s.hash[1]);
	assert_int_equal(pl_shingles_make(&s, "a", 1, 0, NULL), PL_ERR_INVALID);
	assert_int_equal(pl_shingles_make(&s, "a", 1, 65, NULL), PL_ERR_INVALID);
	pl_shingles_release(&s);
	pl_shingles_release(&t);
}

/* A text past the ceiling is an error of its own, and the storage is fit for the next. */
static void test_too_long(void **state)
{
	size_t n = PL_SHINGLES_MAX + 1;
	struct pl_shingles s = {0};
	struct pl_err err;
	char *text = malloc(2 * n);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		memcpy(text + 2 * i, "x ", 2);
	assert_int_equal(pl_shingles_make(&s, text, 2 * n, 5, &err), PL_ERR_LIMIT);
	assert_int_equal(pl_shingles_make(&s, text, 2 * n - 2, 5, &err), PL_OK);
	assert_int_equal(s.n, PL_SHINGLES_MAX - 4);
	shingles(&s, "a b", 5);
	assert_int_equal(s.n, 1);
	free(text);
	pl_shingles_release(&s);
}

static void test_signature(void **state)
{
	enum { N = 1000 };
	static const size_t sizes[] = {1, 2, 7, 100, N};
	struct pl_minhash *m = NULL;
	uint64_t hash[N], keys[BANDS], again[BANDS];

	(void)state;
	assert_int_equal(pl_minhash_new(&m, BANDS, ROWS, NULL), PL_OK);
	for (size_t i = 0; i < N; i++)
		hash[i] = pl_draw64(7, 1, i);
	for (size_t z = 0; z < PL_ARRAY_LEN(sizes); z++) {
		uint32_t want[PERMS];
		for (size_t p = 0; p < PERMS; p++) {
			uint32_t a, b;
			pl_minhash_constants(m, p, &a, &b);
			assert_int_equal(a % 2, 1);
			want[p] = UINT32_MAX;
			for (size_t i = 0; i < sizes[z]; i++) {
				uint64_t v = ((uint64_t)a * (hash[i] >> 32) + b) % ((uint64_t)1 << 32);
				want[p] = v < want[p] ? (uint32_t)v : want[p];
			}
		}
		for (int k = 0; k < PL_MINHASH_KERNELS; k++) {
			const uint32_t *got;
			if (!pl_minhash_signature(m, (enum pl_minhash_kernel)k, hash, sizes[z], &got)) {
				assert_int_not_equal(k, PL_MINHASH_PORTABLE);
				continue;
			}
			assert_memory_equal(got, want, sizeof(want));
		}
		pl_minhash_keys(m, hash, sizes[z], keys);
		for (size_t i = 0; i < BANDS; i++)
			assert_true(keys[i] == pl_hash64(want + i * ROWS, ROWS * sizeof(*want)));
	}
	/* order and repetition do not matter */
	pl_minhash_keys(m, hash, 500, keys);
	for (size_t i = 0; i < 500; i++)
		hash[500 + i] = hash[499 - i];
	pl_minhash_keys(m, hash + 250, 750, again);
	assert_memory_equal(keys, again, sizeof(keys));
	pl_minhash_free(m);
}

static void test_overlap(void **state)
{
	uint64_t a[300], b[300];
	struct pl_overlap v;

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		size_t na = pl_draw64(seed, 0, 0) % 300, nb = pl_draw64(seed, 0, 1) % 300, common = 0;
		uint64_t x = 0, y = 0;
		for (size_t i = 0; i < na; i++)
			a[i] = x += 1 + pl_draw64(seed, 1, i) % 3;
		for (size_t i = 0; i < nb; i++)
			b[i] = y += 1 + pl_draw64(seed, 2, i) % 3;
		for (size_t i = 0; i < na; i++)
			for (size_t k = 0; k < nb; k++)
				common += a[i] == b[k];
		v = pl_overlap(a, na, b, nb);
		assert_int_equal(v.common, common);
		assert_int_equal(v.all, na + nb - common);
	}
}

static struct pl_near_text_options options(double jaccard)
{
	struct pl_near_text_options o = {.on = true};

	assert_int_equal(pl_near_text_set(&o, 5, BANDS, ROWS, jaccard, 1000, NULL), PL_OK);
	return o;
}

/* The threshold is exact: 4 of 5 are near at 0.8. */
static void test_verify(void **state)
{
	struct pl_near_text_options o = options(0.8);
	uint64_t a[10], b[10];
	uint32_t distance = 77;

	(void)state;
	for (uint64_t i = 0; i < 10; i++)
		a[i] = b[i] = i;
	assert_true(pl_near_text_verify(&o, a, 10, b, 10, &distance));
	assert_int_equal(distance, 0);
	assert_true(pl_near_text_verify(&o, a, 4, b, 5, &distance));
	assert_int_equal(distance, 200);
	assert_false(pl_near_text_verify(&o, a, 3, b, 4, &distance));
	b[9] = 99;
	assert_true(pl_near_text_verify(&o, a, 10, b, 10, &distance));   /* 9 of 11 */
	assert_int_equal(distance, 182);
	b[8] = 98;
	assert_false(pl_near_text_verify(&o, a, 10, b, 10, &distance));   /* 8 of 12 */
	assert_false(pl_near_text_verify(&o, a, 0, b, 0, &distance));
	o = options(1);
	assert_false(pl_near_text_verify(&o, a, 10, b, 10, &distance));
	assert_true(pl_near_text_verify(&o, a, 8, b, 8, &distance));
}

static void test_parameters(void **state)
{
	struct pl_near_text_options o;
	struct pl_err err;

	(void)state;
	assert_int_equal(pl_near_text_set(&o, 0, 14, 8, 0.8, 1, &err), PL_ERR_USAGE);
	assert_int_equal(pl_near_text_set(&o, 5, 65, 64, 0.8, 1, &err), PL_ERR_USAGE);
	assert_non_null(strstr(err.text, "4096"));
	assert_int_equal(pl_near_text_set(&o, 5, 14, 8, 0, 1, &err), PL_ERR_USAGE);
	assert_int_equal(pl_near_text_set(&o, 5, 14, 8, NAN, 1, &err), PL_ERR_USAGE);
	assert_non_null(strstr(err.text, "Jaccard"));
	o = options(0.8);
	assert_int_equal(o.jaccard, 800000);
	assert_true(fabs(pl_near_text_chance(&o, 0.8) - 0.924) < 0.001);   /* as published for these numbers */
}

/* Two sets of a Jaccard index of s share a key of 14 bands of 8 rows with probability 1 - (1 - s^8)^14: over 2,000 pairs of random
 * sets at each of three levels, within four standard deviations. */
static void test_theory(void **state)
{
	enum { PAIRS = 2000, ALL = 200 };
	static const size_t commons[] = {120, 140, 160};   /* of ALL */
	struct pl_near_text_options o = options(0.8);
	struct pl_minhash *m = NULL;

	(void)state;
	assert_int_equal(pl_minhash_new(&m, BANDS, ROWS, NULL), PL_OK);
	for (size_t c = 0; c < PL_ARRAY_LEN(commons); c++) {
		double p = pl_near_text_chance(&o, (double)commons[c] / ALL);
		size_t met = 0, half = (ALL - commons[c]) / 2;
		for (uint64_t pair = 0; pair < PAIRS; pair++) {
			uint64_t hash[ALL], other[ALL], keys[BANDS], more[BANDS];
			bool meet = false;
			for (size_t i = 0; i < ALL; i++)
				hash[i] = pl_draw64(pair, c, i);
			/* the second set: the common ones, and the rest that the first leaves out */
			memcpy(other, hash, commons[c] * sizeof(*hash));
			memcpy(other + commons[c], hash + commons[c] + half, half * sizeof(*hash));
			pl_minhash_keys(m, hash, commons[c] + half, keys);
			pl_minhash_keys(m, other, commons[c] + half, more);
			for (size_t i = 0; i < BANDS; i++)
				meet |= keys[i] == more[i];
			met += meet;
		}
		print_message("# Jaccard %.2f: %.3f met, theory %.3f\n", (double)commons[c] / ALL, (double)met / PAIRS, p);
		assert_true(fabs((double)met / PAIRS - p) < 4 * sqrt(p * (1 - p) / PAIRS));
	}
	pl_minhash_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_shingles),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_signature),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_theory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
