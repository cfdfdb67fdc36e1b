/* SPDX-License-Identifier: Apache-2.0 */
/* The JPEG writer's DCT for AVX2, two blocks at a time, and its Huffman coder
 * with the bit instructions of such processors. */
#include "jpeg_write.h"

#include "jpeg_fdct.h"

#if defined(__x86_64__)
#if defined(__clang__)
#include <cpuid.h>
#endif
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,bmi,bmi2,lzcnt")))
#define VEC __m256i
#define OP(name) _mm256_##name
#define XOR _mm256_xor_si256
#define LANES(p) _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(p)))
#include "jpeg_fdct_vector.h"

/* For each 16 places of the zigzag order and each 16 of the natural one, where in the latter the
 * former's coefficients lie: indices for pshufb. Made from pl_jw_natural; none lies in those left out. */
enum { NO = 0x80 };
struct quarter {
	uint8_t at[16];
};
static const alignas(16) struct quarter zigzag[4][4] = {
	{
	    { { 0, 1, 8, NO, 9, 2, 3, 10, NO, NO, NO, NO, NO, 11, 4, 5 } },
	    { { NO, NO, NO, 0, NO, NO, NO, NO, 1, 8, NO, 9, 2, NO, NO, NO } },
	    { { NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 0, NO, NO, NO, NO, NO } },
	    { { NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO } } },
	{
	    { { 12, NO, NO, NO, NO, NO, NO, NO, NO, NO, 13, 6, 7, 14, NO, NO } },
	    { { NO, 3, 10, NO, NO, NO, NO, NO, 11, 4, NO, NO, NO, NO, 5, 12 } },
	    { { NO, NO, NO, 1, 8, NO, 9, 2, NO, NO, NO, NO, NO, NO, NO, NO } },
	    { { NO, NO, NO, NO, NO, 0, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO } } },
	{
	    { { NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 15, NO, NO, NO, NO, NO } },
	    { { NO, NO, NO, NO, NO, NO, NO, NO, 13, 6, NO, 7, 14, NO, NO, NO } },
	    { { 3, 10, NO, NO, NO, NO, 11, 4, NO, NO, NO, NO, NO, 5, 12, NO } },
	    { { NO, NO, 1, 8, 9, 2, NO, NO, NO, NO, NO, NO, NO, NO, NO, 3 } } },
	{
	    { { NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO } },
	    { { NO, NO, NO, NO, NO, 15, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO } },
	    { { NO, NO, NO, 13, 6, NO, 7, 14, NO, NO, NO, NO, 15, NO, NO, NO } },
	    { { 10, 11, 4, NO, NO, NO, NO, NO, 5, 12, 13, 6, NO, 7, 14, 15 } } }
};

/* Bit k: zigzag index k, of the left block and of the right one. */
INSIDE void nonzero(const VEC d[8], uint64_t set[2])
{
	const VEC zero = _mm256_setzero_si256();
	VEC flat[4];
	uint32_t bits[4];
	/* 0xFF where a coefficient is 0 */
#define FLAT(i) flat[i] = _mm256_cmpeq_epi8(_mm256_packs_epi16(d[2 * (i)], d[2 * (i) + 1]), zero);
	EACH_OF_4(FLAT)
#define TAKE(to, from) _mm256_shuffle_epi8(flat[from], LANES(zigzag[to][from].at))
#define QUARTER(to) \
	bits[to] = ~(uint32_t)_mm256_movemask_epi8( \
	    _mm256_or_si256(_mm256_or_si256(TAKE(to, 0), TAKE(to, 1)), \
		_mm256_or_si256(TAKE(to, 2), TAKE(to, 3))));
	EACH_OF_4(QUARTER)
	set[0] = (bits[0] & 0xFFFF) | bits[1] << 16 |
	    (uint64_t)((bits[2] & 0xFFFF) | bits[3] << 16) << 32;
	set[1] = bits[0] >> 16 | (bits[1] & 0xFFFF0000) |
	    (uint64_t)(bits[2] >> 16 | (bits[3] & 0xFFFF0000)) << 32;
}

INSIDE VEC samples(const uint8_t *p, bool two)
{
	const __m128i *from = (const __m128i *)p;
	return _mm256_cvtepu8_epi16(two ? _mm_loadu_si128(from) : _mm_loadl_epi64(from));
}

TARGET static void blocks_avx2(const uint8_t *const row[8], size_t n,
    const struct pl_jw_divisors *q, int16_t (*out)[64], uint64_t *set)
{
	const VEC middle = _mm256_set1_epi16(128);
	for (size_t i = 0; i < n; i += 2) {
		VEC d[8];
#define LOAD(y) d[y] = _mm256_sub_epi16(samples(row[y] + 8 * i, i + 1 < n), middle);
		EACH_OF_8(LOAD)
		transform(d, q);
#define STORE(y) \
	_mm_store_si128((__m128i *)(out[i] + 8 * (y)), _mm256_castsi256_si128(d[y])); \
	_mm_store_si128((__m128i *)(out[i + 1] + 8 * (y)), _mm256_extracti128_si256(d[y], 1));
		EACH_OF_8(STORE)
		nonzero(d, set + i);
	}
}

TARGET static void code_avx2(struct pl_jw_bits *b, const struct pl_jw_run *r, int16_t dc[3],
    const struct pl_jw_codes codes[2])
{
	pl_jw_code_run(b, r, dc, codes);
}

const struct pl_jw_kernels pl_jw_avx2 = { blocks_avx2, code_avx2, pl_jw_natural };

/* clang 14 has no name for it, and to ask the processor takes 8 us on a virtual machine: asked
 * once. */
static bool has_lzcnt(void)
{
#if defined(__clang__)
	enum { NOT_ASKED, ABSENT, PRESENT };
	static _Atomic int known = NOT_ASKED;
	unsigned a, b, c, d;
	if (known == NOT_ASKED)
		known = __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT) ? PRESENT : ABSENT;
	return known == PRESENT;
#else
	return __builtin_cpu_supports("lzcnt");
#endif
}

bool pl_jw_has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
	    __builtin_cpu_supports("bmi2") && has_lzcnt();
}

#endif
