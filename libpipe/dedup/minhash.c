/* SPDX-License-Identifier: Apache-2.0 */
/* Shingles, signatures, band keys. The minima run over 16 permutations at a
 * time, held in registers; portable C, AVX2 and AVX-512 give the same. */
#include "minhash.h"

#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_X86 1
#include <immintrin.h>
#else
#define HAVE_X86 0
#endif

enum { LANES = 16, NGRAM_MAX = 64 };
#define SEED 0x6d696e68617368u   /* any number: the keys of one run are compared with each other only */

typedef void scan_fn(const uint64_t *hash, size_t n, const uint32_t *a, const uint32_t *b, uint32_t *min);

struct pl_minhash {
	unsigned bands, rows;
	size_t perms;             /* bands * rows, up to a multiple of LANES */
	scan_fn *scan;
	uint32_t *a, *b, *min;
};

/* ---- shingles ---- */

/* Code point at s[left), left > 0; *n: its bytes. Normalised text is UTF-8; anything else would be taken byte by byte. */
static uint32_t code_point(const unsigned char *s, size_t left, size_t *n)
{
	size_t len = s[0] < 0xC0 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
	uint32_t c = s[0] & (len == 1 ? 0xFFu : 0x7Fu >> len);

	if (len > left)
		len = 1;
	for (size_t i = 1; i < len; i++)
		c = c << 6 | (s[i] & 0x3Fu);
	*n = len;
	return c;
}

/* Is this code point of a script written without spaces between words? Blocks of Unicode 15, ascending. */
static bool is_unspaced(uint32_t c)
{
	static const struct { uint32_t first, last; } blocks[] = {
		{0x0E00, 0x109F},   /* Thai, Lao, Tibetan, Myanmar */
		{0x1780, 0x17FF},   /* Khmer */
		{0x1950, 0x19FF},   /* Tai Le, New Tai Lue, Khmer symbols */
		{0x1A20, 0x1AAF},   /* Tai Tham */
		{0x2E80, 0x2FDF},   /* Han radicals */
		{0x3000, 0x312F},   /* CJK punctuation, kana, Bopomofo */
		{0x3190, 0x31FF},   /* Kanbun, Bopomofo, strokes, kana */
		{0x3400, 0x4DBF}, {0x4E00, 0x9FFF},   /* Han */
		{0xA9E0, 0xA9FF}, {0xAA60, 0xAADF},   /* Myanmar, Tai Viet */
		{0xF900, 0xFAFF},     /* Han */
		{0x1AFF0, 0x1B16F},   /* kana */
		{0x20000, 0x3FFFF},   /* Han */
	};

	for (size_t i = 0; i < PL_ARRAY_LEN(blocks) && c >= blocks[i].first; i++) {
		if (c <= blocks[i].last)
			return true;
	}
	return false;
}

static enum pl_status grow(uint64_t **p, size_t *cap, size_t want, struct pl_err *err)
{
	size_t n = *cap ? *cap : 1024;
	uint64_t *q;

	if (want <= *cap)
		return PL_OK;
	while (n < want)
		n *= 2;
	q = realloc(*p, n * sizeof(*q));
	if (!q)
		return pl_fail_nomem(err);
	*p = q;
	*cap = n;
	return PL_OK;
}

static enum pl_status add_token(struct pl_shingles *s, const char *text, size_t len, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (len == 0)
		return PL_OK;
	if (s->ntokens >= PL_SHINGLES_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_ITEM, NULL, "the text has more than %zu words", PL_SHINGLES_MAX);
	if (s->ntokens == s->token_cap)
		st = grow(&s->token, &s->token_cap, s->ntokens + 1, err);
	if (st == PL_OK)
		s->token[s->ntokens++] = pl_hash64(text, len);
	return st;
}

static enum pl_status tokenise(struct pl_shingles *s, const char *text, size_t len, struct pl_err *err)
{
	size_t from = 0, n = 1;
	enum pl_status st = PL_OK;

	s->ntokens = 0;
	for (size_t i = 0; i < len && st == PL_OK; i += n) {
		unsigned char c = (unsigned char)text[i];
		n = 1;
		if (c < 0xE0 && c != ' ')
			continue;
		if (c != ' ' && !is_unspaced(code_point((const unsigned char *)text + i, len - i, &n)))
			continue;
		st = add_token(s, text + from, i - from, err);
		if (st == PL_OK && c != ' ')
			st = add_token(s, text + i, n, err);
		from = i + n;
	}
	return st == PL_OK && from < len ? add_token(s, text + from, len - from, err) : st;
}

enum pl_status pl_shingles_make(struct pl_shingles *s, const char *text, size_t len, unsigned ngram, struct pl_err *err)
{
	enum pl_status st;

	s->n = 0;
	if (ngram < 1 || ngram > NGRAM_MAX)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "shingles of %u words", ngram);
	st = tokenise(s, text, len, err);
	if (st != PL_OK || s->ntokens == 0)
		return st;
	st = grow(&s->hash, &s->cap, s->ntokens, err);
	if (st != PL_OK)
		return st;
	if (s->ntokens < ngram) {
		s->hash[s->n++] = pl_hash64(s->token, s->ntokens * sizeof(*s->token));
		return PL_OK;
	}
	for (size_t i = 0; i + ngram <= s->ntokens; i++)
		s->hash[s->n++] = pl_hash64(s->token + i, ngram * sizeof(*s->token));
	return PL_OK;
}

static int compare_hashes(const void *x, const void *y)
{
	const uint64_t *a = x, *b = y;

	return (*a > *b) - (*a < *b);
}

void pl_shingles_sort(struct pl_shingles *s)
{
	size_t n = 0;

	if (s->n > 1)
		qsort(s->hash, s->n, sizeof(*s->hash), compare_hashes);
	for (size_t i = 0; i < s->n; i++) {
		if (i == 0 || s->hash[i] != s->hash[n - 1])
			s->hash[n++] = s->hash[i];
	}
	s->n = n;
}

void pl_shingles_release(struct pl_shingles *s)
{
	free(s->hash);
	free(s->token);
	*s = (struct pl_shingles){0};
}

struct pl_overlap pl_overlap(const uint64_t *a, size_t na, const uint64_t *b, size_t nb)
{
	size_t i = 0, k = 0, common = 0;

	/* without branches: which side is behind cannot be foretold */
	while (i < na && k < nb) {
		uint64_t x = a[i], y = b[k];
		common += x == y;
		i += x <= y;
		k += y <= x;
	}
	return (struct pl_overlap){common, na + nb - common};
}

/* ---- minima ---- */

/* min[0..LANES): over all x of the hashes. */
static void scan_portable(const uint64_t *hash, size_t n, const uint32_t *a, const uint32_t *b, uint32_t *min)
{
	uint32_t least[LANES];

	memset(least, 0xFF, sizeof(least));
	for (size_t i = 0; i < n; i++) {
		uint32_t x = (uint32_t)(hash[i] >> 32);
		for (size_t k = 0; k < LANES; k++) {
			uint32_t v = a[k] * x + b[k];
			least[k] = v < least[k] ? v : least[k];
		}
	}
	memcpy(min, least, sizeof(least));
}

#if HAVE_X86
__attribute__((target("avx2"))) static void scan_avx2(
    const uint64_t *hash, size_t n, const uint32_t *a, const uint32_t *b, uint32_t *min)
{
	const __m256i a0 = _mm256_loadu_si256((const __m256i *)a), a1 = _mm256_loadu_si256((const __m256i *)(a + 8));
	const __m256i b0 = _mm256_loadu_si256((const __m256i *)b), b1 = _mm256_loadu_si256((const __m256i *)(b + 8));
	__m256i m0 = _mm256_set1_epi32(-1), m1 = m0;

	for (size_t i = 0; i < n; i++) {
		const __m256i x = _mm256_set1_epi32((int32_t)(uint32_t)(hash[i] >> 32));
		m0 = _mm256_min_epu32(m0, _mm256_add_epi32(_mm256_mullo_epi32(a0, x), b0));
		m1 = _mm256_min_epu32(m1, _mm256_add_epi32(_mm256_mullo_epi32(a1, x), b1));
	}
	_mm256_storeu_si256((__m256i *)min, m0);
	_mm256_storeu_si256((__m256i *)(min + 8), m1);
}

__attribute__((target("avx512f"))) static void scan_avx512(
    const uint64_t *hash, size_t n, const uint32_t *a, const uint32_t *b, uint32_t *min)
{
	const __m512i a0 = _mm512_loadu_si512((const void *)a), b0 = _mm512_loadu_si512((const void *)b);
	__m512i m0 = _mm512_set1_epi32(-1);

	for (size_t i = 0; i < n; i++) {
		const __m512i x = _mm512_set1_epi32((int32_t)(uint32_t)(hash[i] >> 32));
		m0 = _mm512_min_epu32(m0, _mm512_add_epi32(_mm512_mullo_epi32(a0, x), b0));
	}
	_mm512_storeu_si512((void *)min, m0);
}
#endif

static scan_fn *scan_of(enum pl_minhash_kernel kernel)
{
	if (kernel == PL_MINHASH_PORTABLE)
		return scan_portable;
#if HAVE_X86
	__builtin_cpu_init();
	if (kernel == PL_MINHASH_AVX2 && __builtin_cpu_supports("avx2"))
		return scan_avx2;
	if (kernel == PL_MINHASH_AVX512 && __builtin_cpu_supports("avx512f"))
		return scan_avx512;
#endif
	return NULL;
}

static scan_fn *best_scan(void)
{
	scan_fn *best = scan_of(PL_MINHASH_AVX512);

	if (!best)
		best = scan_of(PL_MINHASH_AVX2);
	return best ? best : scan_portable;
}

static void signature(struct pl_minhash *m, scan_fn *scan, const uint64_t *hash, size_t n)
{
	for (size_t i = 0; i < m->perms; i += LANES)
		scan(hash, n, m->a + i, m->b + i, m->min + i);
}

/* ---- keys ---- */

enum pl_status pl_minhash_new(struct pl_minhash **out, unsigned bands, unsigned rows, struct pl_err *err)
{
	struct pl_minhash *m = calloc(1, sizeof(*m));

	*out = NULL;
	if (!m)
		return pl_fail_nomem(err);
	m->bands = bands;
	m->rows = rows;
	m->perms = ((size_t)bands * rows + LANES - 1) / LANES * LANES;
	m->scan = best_scan();
	m->a = calloc(m->perms + 1, sizeof(*m->a));
	m->b = calloc(m->perms + 1, sizeof(*m->b));
	m->min = calloc(m->perms + 1, sizeof(*m->min));
	if (!m->a || !m->b || !m->min) {
		pl_minhash_free(m);
		return pl_fail_nomem(err);
	}
	for (size_t i = 0; i < m->perms; i++) {
		uint64_t draw = pl_draw64(SEED, 0, i);
		m->a[i] = (uint32_t)draw | 1;
		m->b[i] = (uint32_t)(draw >> 32);
	}
	*out = m;
	return PL_OK;
}

void pl_minhash_free(struct pl_minhash *m)
{
	if (!m)
		return;
	free(m->a);
	free(m->b);
	free(m->min);
	free(m);
}

void pl_minhash_keys(struct pl_minhash *m, const uint64_t *hash, size_t n, uint64_t *keys)
{
	signature(m, m->scan, hash, n);
	for (unsigned i = 0; i < m->bands; i++)
		keys[i] = pl_hash64(m->min + (size_t)i * m->rows, m->rows * sizeof(*m->min));
}

void pl_minhash_constants(const struct pl_minhash *m, size_t i, uint32_t *a, uint32_t *b)
{
	*a = m->a[i];
	*b = m->b[i];
}

bool pl_minhash_signature(
    struct pl_minhash *m, enum pl_minhash_kernel kernel, const uint64_t *hash, size_t n, const uint32_t **min)
{
	scan_fn *scan = scan_of(kernel);

	if (!scan)
		return false;
	signature(m, scan, hash, n);
	*min = m->min;
	return true;
}
