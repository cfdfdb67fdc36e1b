/* SPDX-License-Identifier: Apache-2.0 */
/* The passes over all hashes: the bit permutation, parity, and the keys under a
 * mask, in plain C, AVX2 and AVX-512. All give the same bits. */
#include "cover.h"

#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_X86 1
#include <immintrin.h>
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")))
#else
#define HAVE_X86 0
#endif

enum {
	LINE = 8,      /* words of a line of the cache */
	AHEAD = 256    /* words that are fetched ahead of a pass over them */
};

/* ---- the permutation ---- */

/* Neighbouring bits of a perceptual hash are neighbouring frequencies and go together; shuffled, every block
 * gets its share of each region. The seed is for all time: it is in the order of units, not in any result. */
void pl_cover_permutation(unsigned bits, uint8_t permutation[256])
{
	for (unsigned i = 0; i < 256; i++)
		permutation[i] = (uint8_t)i;
	for (unsigned i = bits - 1; i > 0; i--) {
		unsigned k = (unsigned)(pl_draw64(0x636F766572u, bits, i) % (i + 1));
		uint8_t swap = permutation[i];
		permutation[i] = permutation[k];
		permutation[k] = swap;
	}
}

/* [byte of the hash][its value]: where those bits go. */
typedef uint64_t byte_table[32][256][4];

static void fill_table(byte_table *t, const uint8_t permutation[256])
{
	for (unsigned to = 0; to < 256; to++) {
		unsigned from = permutation[to];
		for (unsigned v = 0; v < 256; v++) {
			if (v >> from % 8 & 1u)
				(*t)[from / 8][v][to / 64] |= (uint64_t)1 << to % 64;
		}
	}
}

static enum pl_status permute_portable(const uint8_t permutation[256], uint64_t (*hashes)[4], uint64_t n, struct pl_err *err)
{
	byte_table *t = calloc(1, sizeof(*t));

	if (!t)
		return pl_fail_nomem(err);
	fill_table(t, permutation);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t out[4] = {0};
		for (unsigned b = 0; b < 32; b++) {
			const uint64_t *add = (*t)[b][hashes[i][b / 8] >> 8 * (b % 8) & 255u];
			for (unsigned w = 0; w < 4; w++)
				out[w] |= add[w];
		}
		memcpy(hashes[i], out, sizeof(out));
	}
	free(t);
	return PL_OK;
}

bool pl_cover_even(const uint64_t (*hashes)[4], uint64_t n)
{
	uint64_t odd = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t x = hashes[i][0] ^ hashes[i][1] ^ hashes[i][2] ^ hashes[i][3];
		x ^= x >> 32;
		x ^= x >> 16;
		x ^= x >> 8;
		x ^= x >> 4;
		x ^= x >> 2;
		odd |= (x ^ x >> 1) & 1u;
	}
	return odd == 0;
}

/* ---- keys ---- */

static size_t keys_portable(const uint64_t *words, size_t n, uint64_t mask, uint32_t first, unsigned bits, uint64_t range,
    uint64_t *keys)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t h = (words[i] & mask) * PL_COVER_MULTIPLIER;
		keys[found] = (h << bits & 0xFFFFFFFF00000000u) | (uint32_t)(first + (uint32_t)i);
		found += bits == 0 || h >> (64 - bits) == range;
	}
	return found;
}

/* [byte of a word][its value]: its bits under `rest` side by side above the low 32 bits, those under part below. */
typedef uint64_t split_table[8][256];

static void fill_split(split_table *t, uint64_t mask, unsigned to)
{
	for (unsigned from = 0; from < 64; from++) {
		if (!(mask >> from & 1u))
			continue;
		for (unsigned v = 0; v < 256; v++)
			(*t)[from / 8][v] |= (uint64_t)(v >> from % 8 & 1u) << to;
		to++;
	}
}

static inline uint64_t split(split_table *t, uint64_t word)
{
	uint64_t out = 0;

	for (unsigned b = 0; b < 8; b++)
		out |= (*t)[b][word >> 8 * b & 255u];
	return out;
}

static void count_portable(const uint64_t *words, size_t n, uint64_t part, uint32_t *count)
{
	split_table t = {{0}};

	fill_split(&t, part, 0);
	for (size_t i = 0; i < n; i++)
		count[split(&t, words[i])]++;
}

static void spread_portable(const uint64_t *words, size_t n, uint64_t part, uint64_t rest, uint32_t first, uint64_t **at)
{
	split_table t = {{0}};

	fill_split(&t, rest, 32);
	fill_split(&t, part, 0);
	for (size_t i = 0; i < n; i++) {
		uint64_t out = split(&t, words[i]);
		*at[(uint32_t)out]++ = (out & 0xFFFFFFFF00000000u) | (uint32_t)(first + (uint32_t)i);
	}
}

#if HAVE_X86
__attribute__((target("bmi2"))) static void count_bmi2(const uint64_t *words, size_t n, uint64_t part, uint32_t *count)
{
	for (size_t i = 0; i < n; i++)
		count[_pext_u64(words[i], part)]++;
}

/* Every instruction counts. */
__attribute__((target("bmi2"))) static inline void spread_one(uint64_t word, uint64_t part, uint64_t rest, uint64_t index, uint64_t **at)
{
	uint64_t k = _pext_u64(word, part), *to = at[k];

	__builtin_prefetch(to + LINE, 1);
	*to = (_pext_u64(word, rest) << 32) + index;
	at[k] = to + 1;
}

__attribute__((target("bmi2"))) static void spread_bmi2(const uint64_t *words, size_t n, uint64_t part, uint64_t rest, uint32_t first,
    uint64_t **at)
{
	size_t i = 0;

	for (; i + LINE <= n; i += LINE) {
		pl_fetch(words + i + AHEAD);
#pragma GCC unroll 8
		for (unsigned k = 0; k < LINE; k++)
			spread_one(words[i + k], part, rest, first + i + k, at);
	}
	for (; i < n; i++)
		spread_one(words[i], part, rest, first + i, at);
}

/* The rows of byte_table, a register each. */
__attribute__((target("avx2"))) static enum pl_status permute_avx2(const uint8_t permutation[256], uint64_t (*hashes)[4], uint64_t n,
    struct pl_err *err)
{
	byte_table *t = calloc(1, sizeof(*t));

	if (!t)
		return pl_fail_nomem(err);
	fill_table(t, permutation);
	for (uint64_t i = 0; i < n; i++) {
		__m256i out = _mm256_setzero_si256();
		for (unsigned b = 0; b < 32; b++)
			out = _mm256_or_si256(out, _mm256_loadu_si256((const void *)(*t)[b][hashes[i][b / 8] >> 8 * (b % 8) & 255u]));
		_mm256_storeu_si256((void *)hashes[i], out);
	}
	free(t);
	return PL_OK;
}

/* The low 64 bits of a product, of three 32-bit ones. */
__attribute__((target("avx2"))) static inline __m256i multiply4(__m256i x, __m256i odd)
{
	__m256i cross = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(x, 32), odd), _mm256_mul_epu32(x, _mm256_srli_epi64(odd, 32)));

	return _mm256_add_epi64(_mm256_mul_epu32(x, odd), _mm256_slli_epi64(cross, 32));
}

__attribute__((target("avx2,popcnt"))) static size_t keys_avx2(const uint64_t *words, size_t n, uint64_t mask, uint32_t first,
    unsigned bits, uint64_t range, uint64_t *keys)
{
	const __m256i m = _mm256_set1_epi64x((long long)mask), odd = _mm256_set1_epi64x((long long)PL_COVER_MULTIPLIER);
	const __m256i high = _mm256_set1_epi64x((long long)0xFFFFFFFF00000000u), low = _mm256_set1_epi64x(0xFFFFFFFF);
	const __m256i want = _mm256_set1_epi64x((long long)range), step = _mm256_set1_epi64x(4);
	const __m128i left = _mm_cvtsi32_si128((int)bits), right = _mm_cvtsi32_si128(64 - (int)bits);
	__m256i index = _mm256_add_epi64(_mm256_set1_epi64x(first), _mm256_setr_epi64x(0, 1, 2, 3));
	size_t found = 0, i;

	for (i = 0; i + 4 <= n; i += 4) {
		__m256i h = multiply4(_mm256_and_si256(_mm256_loadu_si256((const void *)(words + i)), m), odd);
		__m256i key = _mm256_or_si256(_mm256_and_si256(_mm256_sll_epi64(h, left), high), _mm256_and_si256(index, low));
		uint64_t lanes[4];
		unsigned in = bits == 0 ? 15u
		                        : (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_srl_epi64(h, right), want)));
		index = _mm256_add_epi64(index, step);
		if (in == 15u) {
			_mm256_storeu_si256((void *)(keys + found), key);
			found += 4;
			continue;
		}
		_mm256_storeu_si256((void *)lanes, key);
		for (unsigned k = 0; k < 4; k++) {
			keys[found] = lanes[k];
			found += in >> k & 1u;
		}
	}
	return found + keys_portable(words + i, n - i, mask, first + (uint32_t)i, bits, range, keys + found);
}

/* One byte gathered for each of 64 bits, and tested for its bit. */
TARGET static void permute_avx512(const uint8_t permutation[256], uint64_t (*hashes)[4], uint64_t n)
{
	__m512i byte[4], bit[4];

	for (unsigned w = 0; w < 4; w++) {
		uint8_t from[64], test[64];
		for (unsigned i = 0; i < 64; i++) {
			from[i] = permutation[w * 64 + i] / 8;
			test[i] = (uint8_t)(1u << permutation[w * 64 + i] % 8);
		}
		byte[w] = _mm512_loadu_si512((const void *)from);
		bit[w] = _mm512_loadu_si512((const void *)test);
	}
	for (uint64_t i = 0; i < n; i++) {
		__m512i h = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)hashes[i]));
		for (unsigned w = 0; w < 4; w++)
			hashes[i][w] = _mm512_test_epi8_mask(_mm512_permutexvar_epi8(byte[w], h), bit[w]);
	}
}

TARGET static size_t keys_avx512(const uint64_t *words, size_t n, uint64_t mask, uint32_t first, unsigned bits,
    uint64_t range, uint64_t *keys)
{
	const __m512i m = _mm512_set1_epi64((long long)mask), odd = _mm512_set1_epi64((long long)PL_COVER_MULTIPLIER);
	const __m512i high = _mm512_set1_epi64((long long)0xFFFFFFFF00000000u), want = _mm512_set1_epi64((long long)range);
	const __m512i low = _mm512_set1_epi64(0xFFFFFFFF), step = _mm512_set1_epi64(8);
	const __m128i left = _mm_cvtsi32_si128((int)bits), right = _mm_cvtsi32_si128(64 - (int)bits);
	__m512i index = _mm512_add_epi64(_mm512_set1_epi64(first), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
	size_t found = 0;

	for (size_t i = 0; i < n; i += 8) {
		__mmask8 lanes = (__mmask8)((1u << (n - i < 8 ? n - i : 8)) - 1);
		__m512i h = _mm512_mullo_epi64(_mm512_and_si512(_mm512_maskz_loadu_epi64(lanes, words + i), m), odd);
		__m512i key = _mm512_or_si512(_mm512_and_si512(_mm512_sll_epi64(h, left), high), _mm512_and_si512(index, low));
		if (bits > 0) {
			lanes = _mm512_mask_cmpeq_epi64_mask(lanes, _mm512_srl_epi64(h, right), want);
			key = _mm512_maskz_compress_epi64(lanes, key);
		}
		_mm512_storeu_si512((void *)(keys + found), key);
		found += (unsigned)__builtin_popcount(lanes);
		index = _mm512_add_epi64(index, step);
	}
	return found;
}
#endif

bool pl_cover_kernel_usable(enum pl_cover_kernel kernel)
{
#if HAVE_X86
	bool avx2;

	__builtin_cpu_init();
	avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
	if (kernel == PL_COVER_AVX2)
		return avx2;
	if (kernel == PL_COVER_AVX512)
		return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi");
#endif
	return kernel == PL_COVER_PORTABLE;
}

enum pl_cover_kernel pl_cover_kernel_best(void)
{
	if (pl_cover_kernel_usable(PL_COVER_AVX512))
		return PL_COVER_AVX512;
	return pl_cover_kernel_usable(PL_COVER_AVX2) ? PL_COVER_AVX2 : PL_COVER_PORTABLE;
}

pl_cover_keys_fn *pl_cover_keys(enum pl_cover_kernel kernel)
{
#if HAVE_X86
	if (kernel == PL_COVER_AVX512)
		return keys_avx512;
	if (kernel == PL_COVER_AVX2)
		return keys_avx2;
#endif
	return kernel == PL_COVER_PORTABLE ? keys_portable : NULL;
}

pl_cover_count_fn *pl_cover_count(enum pl_cover_kernel kernel)
{
#if HAVE_X86
	if (kernel == PL_COVER_AVX512 || kernel == PL_COVER_AVX2)
		return count_bmi2;
#endif
	return kernel == PL_COVER_PORTABLE ? count_portable : NULL;
}

pl_cover_spread_fn *pl_cover_spread(enum pl_cover_kernel kernel)
{
#if HAVE_X86
	if (kernel == PL_COVER_AVX512 || kernel == PL_COVER_AVX2)
		return spread_bmi2;
#endif
	return kernel == PL_COVER_PORTABLE ? spread_portable : NULL;
}

enum pl_status pl_cover_permute(enum pl_cover_kernel kernel, unsigned bits, uint64_t (*hashes)[4], uint64_t n,
    struct pl_err *err)
{
	uint8_t permutation[256];

	pl_cover_permutation(bits, permutation);
#if HAVE_X86
	if (kernel == PL_COVER_AVX512) {
		permute_avx512(permutation, hashes, n);
		return PL_OK;
	}
	if (kernel == PL_COVER_AVX2)
		return permute_avx2(permutation, hashes, n, err);
#endif
	(void)kernel;
	return permute_portable(permutation, hashes, n, err);
}
