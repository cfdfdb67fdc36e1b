/* SPDX-License-Identifier: Apache-2.0 */
/* The passes over all hashes: the bit permutation, parity, and the keys under a
 * mask, in plain C and AVX-512. Both give the same bits. */
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

#if HAVE_X86
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
	__builtin_cpu_init();
	if (kernel == PL_COVER_AVX512)
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
		    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi");
#endif
	return kernel == PL_COVER_PORTABLE;
}

enum pl_cover_kernel pl_cover_kernel_best(void)
{
	return pl_cover_kernel_usable(PL_COVER_AVX512) ? PL_COVER_AVX512 : PL_COVER_PORTABLE;
}

pl_cover_keys_fn *pl_cover_keys(enum pl_cover_kernel kernel)
{
#if HAVE_X86
	if (kernel == PL_COVER_AVX512)
		return keys_avx512;
#endif
	return kernel == PL_COVER_PORTABLE ? keys_portable : NULL;
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
#endif
	(void)kernel;
	return permute_portable(permutation, hashes, n, err);
}
