/* SPDX-License-Identifier: Apache-2.0 */
/* MinHash: texts per second of each part, and the recall of planted pairs by
 * their true Jaccard index against 1 - (1 - s^8)^14. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libpipe/base/hash.h"
#include "libpipe/dedup/minhash.h"
#include "libpipe/dedup/near_text.h"

enum { BANDS = 14, ROWS = 8, NGRAM = 5, WORDS = 400, TEXTS = 2000, LEVELS = 10 };

static double cpu(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

/* WORDS words, `edits` of them replaced in runs of one. */
static size_t write_text(char *out, size_t size, uint64_t seed, unsigned edits)
{
	size_t len = 0;
	uint64_t edited[WORDS / 64 + 1] = {0};

	for (unsigned e = 0; e < edits; e++) {
		uint64_t at = pl_draw64(seed, 3, e) % WORDS;
		edited[at / 64] |= (uint64_t)1 << (at % 64);
	}
	for (unsigned i = 0; i < WORDS && len + 16 < size; i++) {
		bool other = edited[i / 64] >> (i % 64) & 1;
		len += (size_t)snprintf(out + len, size - len, "w%05u ", (unsigned)(pl_draw64(seed, other ? 2 : 1, i) % 50000));
	}
	return len - 1;
}

static bool make(struct pl_shingles *s, uint64_t seed, unsigned edits)
{
	static char text[WORDS * 16];
	size_t len = write_text(text, sizeof(text), seed, edits);

	return pl_shingles_make(s, text, len, NGRAM, NULL) == PL_OK;
}

static void speed(struct pl_minhash *m)
{
	static const char *const names[] = {"portable", "AVX2", "AVX-512"};
	struct pl_shingles s = {0};
	const uint32_t *min;
	double t = cpu(), spent;

	for (uint64_t i = 0; i < TEXTS; i++)
		if (!make(&s, i, 0))
			return;
	spent = cpu() - t;
	printf("shingles of %d words (with making the text): %.0f texts/s\n", WORDS, TEXTS / spent);
	for (int k = 0; k < PL_MINHASH_KERNELS; k++) {
		t = cpu();
		for (int i = 0; i < TEXTS; i++)
			if (!pl_minhash_signature(m, (enum pl_minhash_kernel)k, s.hash, s.n, &min))
				break;
		printf("signature of %d minima, %s: %.0f texts/s\n", BANDS * ROWS, names[k], TEXTS / (cpu() - t));
	}
	t = cpu();
	for (uint64_t i = 0; i < TEXTS; i++) {
		for (size_t k = 0; k < s.n; k++)
			s.hash[k] = pl_mix64(s.hash[k]);
		pl_shingles_sort(&s);
	}
	printf("sorted set: %.0f texts/s\n", TEXTS / (cpu() - t));
	t = cpu();
	spent = 0;
	for (uint64_t i = 0; i < TEXTS; i++)
		spent += (double)pl_overlap(s.hash, s.n - i % 2, s.hash, s.n).common;
	printf("overlap: %.0f pairs/s (%.0f in common)\n", TEXTS / (cpu() - t), spent / TEXTS);
	pl_shingles_release(&s);
}

/* Pairs by true Jaccard index in steps of 0.05; found by a key, and expected by theory at each pair's own index. */
static void recall(struct pl_minhash *m)
{
	const struct pl_near_text_options o = {.bands = BANDS, .rows = ROWS};
	size_t pairs[LEVELS] = {0}, found[LEVELS] = {0};
	double expected[LEVELS] = {0};
	struct pl_shingles a = {0}, b = {0};

	for (uint64_t i = 0; i < 20 * TEXTS; i++) {
		uint64_t keys[BANDS], more[BANDS];
		struct pl_overlap v;
		double j;
		size_t level;
		bool met = false;

		if (!make(&a, 1000000 + i, 0) || !make(&b, 1000000 + i, 1 + (unsigned)(i % 30)))
			return;
		pl_minhash_keys(m, a.hash, a.n, keys);
		pl_minhash_keys(m, b.hash, b.n, more);
		for (int k = 0; k < BANDS; k++)
			met |= keys[k] == more[k];
		pl_shingles_sort(&a);
		pl_shingles_sort(&b);
		v = pl_overlap(a.hash, a.n, b.hash, b.n);
		j = (double)v.common / (double)v.all;
		if (j < 0.5 || j >= 1)
			continue;
		level = (size_t)((j - 0.5) * 20);
		pairs[level]++;
		found[level] += met;
		expected[level] += pl_near_text_chance(&o, j);
	}
	printf("\n| Jaccard | pairs | found | theory |\n|---|---|---|---|\n");
	for (int k = 0; k < LEVELS; k++)
		printf("| %.2f..%.2f | %zu | %.3f | %.3f |\n", 0.5 + k * 0.05, 0.55 + k * 0.05, pairs[k],
		    (double)found[k] / (double)pairs[k], expected[k] / (double)pairs[k]);
	pl_shingles_release(&a);
	pl_shingles_release(&b);
}

int main(void)
{
	struct pl_minhash *m = NULL;

	if (pl_minhash_new(&m, BANDS, ROWS, NULL) != PL_OK)
		return 1;
	speed(m);
	recall(m);
	pl_minhash_free(m);
	return 0;
}
