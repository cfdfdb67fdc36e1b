/* SPDX-License-Identifier: Apache-2.0 */
/* A row of Y, Cb, Cr to RGB, to the bit as libjpeg has it: products of 16
 * fraction bits, rounded by themselves but for green's two. */
#include "jpeg_baseline.h"

enum {
	HALF = 1 << 15,
	CR_R = 91881,  /* 1.40200 */
	CB_G = -22554, /* 0.34414 */
	CR_G = -46802, /* 0.71414 */
	CB_B = 116130  /* 1.77200 */
};

static uint8_t clip(int v)
{
	return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

void pl_jb_rgb_plain(
    const uint8_t *y, const uint8_t *cb, const uint8_t *cr, uint8_t *rgb, size_t n)
{
	for (size_t i = 0; i < n; i++, rgb += 3) {
		const int b = cb[i] - 128, r = cr[i] - 128;
		rgb[0] = clip(y[i] + ((CR_R * r + HALF) >> 16));
		rgb[1] = clip(y[i] + ((CB_G * b + CR_G * r + HALF) >> 16));
		rgb[2] = clip(y[i] + ((CB_B * b + HALF) >> 16));
	}
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

/* (x * weight + HALF) >> 16 */
AVX2 static inline __m256i times(__m256i x, int weight)
{
	const __m256i twice =
	    _mm256_mulhi_epi16(_mm256_slli_epi16(x, 1), _mm256_set1_epi16((short)weight));
	return _mm256_srai_epi16(_mm256_add_epi16(twice, _mm256_set1_epi16(1)), 1);
}

/* Green's two products; what 65536 times red's difference is too much is taken off again. */
AVX2 static inline __m256i green(__m256i b, __m256i r)
{
	const __m256i weights = _mm256_set1_epi32((int)((uint32_t)(CR_G + 65536) << 16 | (CB_G & 0xFFFF)));
	const __m256i half = _mm256_set1_epi32(HALF);
	const __m256i lo = _mm256_madd_epi16(_mm256_unpacklo_epi16(b, r), weights);
	const __m256i hi = _mm256_madd_epi16(_mm256_unpackhi_epi16(b, r), weights);
	return _mm256_sub_epi16(
	    _mm256_packs_epi32(_mm256_srai_epi32(_mm256_add_epi32(lo, half), 16),
		_mm256_srai_epi32(_mm256_add_epi32(hi, half), 16)),
	    r);
}

AVX2 static inline __m256i load(const uint8_t *p)
{
	return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
}

/* 16 words to bytes, with saturation. */
AVX2 static inline __m128i pack(__m256i v)
{
	return _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

/* Bytes `third` * 16 on of the 48 that three times 16 make. */
AVX2 static inline void put(uint8_t *rgb, int third, const __m128i in[3], const __m128i order[3])
{
	const __m128i v = _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(in[0], order[0]),
					   _mm_shuffle_epi8(in[1], order[1])),
	    _mm_shuffle_epi8(in[2], order[2]));
	_mm_storeu_si128((__m128i *)(rgb + 16 * third), v);
}

AVX2 void pl_jb_rgb_avx2(
    const uint8_t *y, const uint8_t *cb, const uint8_t *cr, uint8_t *rgb, size_t n)
{
	const __m256i middle = _mm256_set1_epi16(128);
	__m128i order[3][3];
	for (int third = 0; third < 3; third++)
		for (int c = 0; c < 3; c++) {
			uint8_t from[16];
			for (int i = 0; i < 16; i++)
				from[i] = (uint8_t)((16 * third + i) % 3 == c ? (16 * third + i) / 3 : 128);
			order[third][c] = _mm_loadu_si128((const __m128i *)from);
		}
	size_t i = 0;
	for (; i + 16 <= n; i += 16, rgb += 48) {
		const __m256i luma = load(y + i), b = _mm256_sub_epi16(load(cb + i), middle);
		const __m256i r = _mm256_sub_epi16(load(cr + i), middle);
		const __m256i red = _mm256_add_epi16(r, times(r, CR_R - 65536));
		const __m256i blue =
		    _mm256_add_epi16(_mm256_add_epi16(b, b), times(b, CB_B - 131072));
		const __m128i in[3] = { pack(_mm256_add_epi16(luma, red)),
			pack(_mm256_add_epi16(luma, green(b, r))),
			pack(_mm256_add_epi16(luma, blue)) };
		put(rgb, 0, in, order[0]);
		put(rgb, 1, in, order[1]);
		put(rgb, 2, in, order[2]);
	}
	pl_jb_rgb_plain(y + i, cb + i, cr + i, rgb, n - i);
}
#endif
