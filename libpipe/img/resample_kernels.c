/* SPDX-License-Identifier: Apache-2.0 */
/* The resampler's inner loops in plain C, AVX2 and AVX-512. Two inputs and two
 * 16-bit weights go into one multiply-add; 32 bits hold every sum exactly, so
 * their order does not matter. */
#include "resample_kernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
	ROWS_HALF = 1 << (PL_RS_ONE_BITS - PL_RS_FRACTION - 1),
	ROWS_SHIFT = PL_RS_ONE_BITS - PL_RS_FRACTION,
	COLS_HALF = 1 << (PL_RS_ONE_BITS + PL_RS_FRACTION - 1),
	COLS_SHIFT = PL_RS_ONE_BITS + PL_RS_FRACTION,
	STRIP = PL_RS_STRIP
};

/* ---- plain ---- */

static void rows_scalar(const uint8_t *in, size_t stride, const int16_t *w, uint32_t count,
    int16_t *out, size_t n)
{
	enum { RUN = 32 };
	for (size_t i = 0; i < n; i += RUN) {
		const size_t run = n - i < RUN ? n - i : RUN;
		const uint8_t *row = in + i;
		int32_t sum[RUN];
		for (size_t j = 0; j < run; j++)
			sum[j] = ROWS_HALF;
		for (uint32_t k = 0; k < count; k++, row += stride)
			for (size_t j = 0; j < run; j++)
				sum[j] += row[j] * w[k];
		for (size_t j = 0; j < run; j++)
			out[i + j] = (int16_t)(sum[j] >> ROWS_SHIFT);
	}
}

static void columns_scalar(const int16_t *strip, uint32_t left, const struct pl_axis *a,
    uint32_t from, uint32_t n, uint8_t tile[][STRIP])
{
	for (uint32_t i = 0; i < n; i++) {
		const int16_t *in = strip + (size_t)(a->first[from + i] - left) * STRIP;
		const int16_t *w = a->weight + (size_t)(from + i) * a->taps;
		int32_t sum[STRIP];
		for (int r = 0; r < STRIP; r++)
			sum[r] = COLS_HALF;
		for (uint32_t k = 0; k < a->count[from + i]; k += 2, in += 2 * STRIP)
			for (int r = 0; r < STRIP; r++)
				sum[r] += in[2 * r] * w[k] + in[2 * r + 1] * w[k + 1];
		for (int r = 0; r < STRIP; r++) {
			int32_t v = sum[r] >> COLS_SHIFT;
			tile[r][i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
		}
	}
}

static void turn_scalar(const int16_t *rows, size_t stride, size_t columns, int16_t *strip)
{
	for (size_t c = 0; c < columns; c += 2)
		for (size_t r = 0; r < STRIP; r++, strip += 2)
			memcpy(strip, rows + r * stride + c, 2 * sizeof(*strip));
}

static const struct pl_rs_kernels scalar = { rows_scalar, turn_scalar, columns_scalar };

#if defined(__x86_64__)

static int32_t two_weights(const int16_t *w)
{
	int32_t both;
	memcpy(&both, w, sizeof(both));
	return both;
}

/* ---- AVX2 ---- */

#define AVX2 __attribute__((target("avx2")))

/* 32 samples. The last of an odd number of rows is read twice; its second weight is 0. */
AVX2 static void rows_block_avx2(
    const uint8_t *in, size_t stride, const int16_t *w, uint32_t count, int16_t *out)
{
	const __m256i zero = _mm256_setzero_si256(), half = _mm256_set1_epi32(ROWS_HALF);
	__m256i s0 = half, s1 = half, s2 = half, s3 = half;
	for (uint32_t k = 0; k < count; k += 2, in += 2 * stride) {
		const __m256i both = _mm256_set1_epi32(two_weights(w + k));
		__m256i a = _mm256_loadu_si256((const __m256i *)in);
		__m256i b =
		    _mm256_loadu_si256((const __m256i *)(k + 1 < count ? in + stride : in));
		__m256i lo = _mm256_unpacklo_epi8(a, b), hi = _mm256_unpackhi_epi8(a, b);
		s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(_mm256_unpacklo_epi8(lo, zero), both));
		s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(_mm256_unpackhi_epi8(lo, zero), both));
		s2 = _mm256_add_epi32(s2, _mm256_madd_epi16(_mm256_unpacklo_epi8(hi, zero), both));
		s3 = _mm256_add_epi32(s3, _mm256_madd_epi16(_mm256_unpackhi_epi8(hi, zero), both));
	}
	/* Each half of a register holds samples 16 apart. */
	__m256i x = _mm256_packs_epi32(
	    _mm256_srai_epi32(s0, ROWS_SHIFT), _mm256_srai_epi32(s1, ROWS_SHIFT));
	__m256i y = _mm256_packs_epi32(
	    _mm256_srai_epi32(s2, ROWS_SHIFT), _mm256_srai_epi32(s3, ROWS_SHIFT));
	_mm256_storeu_si256((__m256i *)out, _mm256_permute2x128_si256(x, y, 0x20));
	_mm256_storeu_si256((__m256i *)(out + 16), _mm256_permute2x128_si256(x, y, 0x31));
}

static void rows_avx2(const uint8_t *in, size_t stride, const int16_t *w, uint32_t count,
    int16_t *out, size_t n)
{
	enum { RUN = 32 };
	size_t i = 0;
	if (n < RUN) {
		rows_scalar(in, stride, w, count, out, n);
		return;
	}
	for (; i + RUN <= n; i += RUN)
		rows_block_avx2(in + i, stride, w, count, out + i);
	if (i < n) /* the last run overlaps the one before */
		rows_block_avx2(in + n - RUN, stride, w, count, out + n - RUN);
}

/* Two by two of 4 x 4 pairs of samples. */
AVX2 static void turn_avx2(const int16_t *rows, size_t stride, size_t columns, int16_t *strip)
{
	for (size_t c = 0; c < columns; c += 16)
		for (size_t r = 0; r < STRIP; r += 4) {
			const int16_t *in = rows + r * stride + c;
			int16_t *out = strip + c * STRIP + 2 * r;
			__m256i a = _mm256_loadu_si256((const __m256i *)in);
			__m256i b = _mm256_loadu_si256((const __m256i *)(in + stride));
			__m256i d = _mm256_loadu_si256((const __m256i *)(in + 2 * stride));
			__m256i e = _mm256_loadu_si256((const __m256i *)(in + 3 * stride));
			__m256i ab = _mm256_unpacklo_epi32(a, b), de = _mm256_unpacklo_epi32(d, e);
			__m256i AB = _mm256_unpackhi_epi32(a, b), DE = _mm256_unpackhi_epi32(d, e);
			__m256i turned[4] = { _mm256_unpacklo_epi64(ab, de),
				_mm256_unpackhi_epi64(ab, de), _mm256_unpacklo_epi64(AB, DE),
				_mm256_unpackhi_epi64(AB, DE) };
			for (size_t p = 0; p < 4; p++) {
				_mm_storeu_si128((__m128i *)(out + 2 * p * STRIP),
				    _mm256_castsi256_si128(turned[p]));
				_mm_storeu_si128((__m128i *)(out + 2 * (p + 4) * STRIP),
				    _mm256_extracti128_si256(turned[p], 1));
			}
		}
}

/* 16 x 16 bytes: four rounds of interleaving the first half of the rows with the second. */
AVX2 static void turn_tile_avx2(uint8_t tile[][STRIP])
{
	__m128i a[STRIP], b[STRIP];
	for (int i = 0; i < STRIP; i++)
		a[i] = _mm_loadu_si128((const __m128i *)tile[i]);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < STRIP / 2; i++) {
			b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + STRIP / 2]);
			b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + STRIP / 2]);
		}
		memcpy(a, b, sizeof(a));
	}
	for (int i = 0; i < STRIP; i++)
		_mm_storeu_si128((__m128i *)tile[i], a[i]);
}

AVX2 static void columns_avx2(const int16_t *strip, uint32_t left, const struct pl_axis *a,
    uint32_t from, uint32_t n, uint8_t tile[][STRIP])
{
	const uint32_t taps = 2 * a->pairs;
	for (uint32_t i = 0; i < n; i++) {
		const int16_t *in = strip + (size_t)(a->first[from + i] - left) * STRIP;
		const int16_t *w = a->weight + (size_t)(from + i) * a->taps;
		__m256i s0 = _mm256_set1_epi32(COLS_HALF), s1 = s0;
		for (uint32_t k = 0; k < taps; k += 2, in += 2 * STRIP) {
			const __m256i both = _mm256_set1_epi32(two_weights(w + k));
			__m256i lo = _mm256_loadu_si256((const __m256i *)in);
			__m256i hi = _mm256_loadu_si256((const __m256i *)(in + STRIP));
			s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(lo, both));
			s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(hi, both));
		}
		__m256i v = _mm256_packs_epi32(
		    _mm256_srai_epi32(s0, COLS_SHIFT), _mm256_srai_epi32(s1, COLS_SHIFT));
		v = _mm256_permute4x64_epi64(v, 0xD8);
		_mm_storeu_si128((__m128i *)tile[i],
		    _mm_packus_epi16(
			_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
	}
	turn_tile_avx2(tile);
}

static const struct pl_rs_kernels avx2 = { rows_avx2, turn_avx2, columns_avx2 };

/* ---- AVX-512 ---- */

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))

AVX512 static void rows_block_avx512(
    const uint8_t *in, size_t stride, const int16_t *w, uint32_t count, int16_t *out)
{
	const __m512i zero = _mm512_setzero_si512(), half = _mm512_set1_epi32(ROWS_HALF);
	__m512i s0 = half, s1 = half, s2 = half, s3 = half;
	for (uint32_t k = 0; k < count; k += 2, in += 2 * stride) {
		const __m512i both = _mm512_set1_epi32(two_weights(w + k));
		__m512i a = _mm512_loadu_si512(in);
		__m512i b = _mm512_loadu_si512(k + 1 < count ? in + stride : in);
		__m512i lo = _mm512_unpacklo_epi8(a, b), hi = _mm512_unpackhi_epi8(a, b);
		s0 = _mm512_add_epi32(s0, _mm512_madd_epi16(_mm512_unpacklo_epi8(lo, zero), both));
		s1 = _mm512_add_epi32(s1, _mm512_madd_epi16(_mm512_unpackhi_epi8(lo, zero), both));
		s2 = _mm512_add_epi32(s2, _mm512_madd_epi16(_mm512_unpacklo_epi8(hi, zero), both));
		s3 = _mm512_add_epi32(s3, _mm512_madd_epi16(_mm512_unpackhi_epi8(hi, zero), both));
	}
	/* Each quarter of a register holds samples 16 apart. */
	__m512i x = _mm512_packs_epi32(
	    _mm512_srai_epi32(s0, ROWS_SHIFT), _mm512_srai_epi32(s1, ROWS_SHIFT));
	__m512i y = _mm512_packs_epi32(
	    _mm512_srai_epi32(s2, ROWS_SHIFT), _mm512_srai_epi32(s3, ROWS_SHIFT));
	const __m512i front = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
	const __m512i back = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
	_mm512_storeu_si512(out, _mm512_permutex2var_epi64(x, front, y));
	_mm512_storeu_si512(out + 32, _mm512_permutex2var_epi64(x, back, y));
}

static void rows_avx512(const uint8_t *in, size_t stride, const int16_t *w, uint32_t count,
    int16_t *out, size_t n)
{
	enum { RUN = 64 };
	size_t i = 0;
	if (n < RUN) {
		rows_avx2(in, stride, w, count, out, n);
		return;
	}
	for (; i + RUN <= n; i += RUN)
		rows_block_avx512(in + i, stride, w, count, out + i);
	if (i < n)
		rows_block_avx512(in + n - RUN, stride, w, count, out + n - RUN);
}

/* 16 x 16 pairs of samples: fours within the quarters of a register, then the quarters. */
AVX512 static void turn_avx512(const int16_t *rows, size_t stride, size_t columns, int16_t *strip)
{
	for (size_t c = 0; c < columns; c += 32, strip += 32 * STRIP) {
		__m512i a[STRIP];
		for (size_t r = 0; r < STRIP; r += 4) {
			const int16_t *in = rows + r * stride + c;
			__m512i i0 = _mm512_loadu_si512(in), i1 = _mm512_loadu_si512(in + stride);
			__m512i i2 = _mm512_loadu_si512(in + 2 * stride);
			__m512i i3 = _mm512_loadu_si512(in + 3 * stride);
			__m512i l0 = _mm512_unpacklo_epi32(i0, i1), l1 = _mm512_unpacklo_epi32(i2, i3);
			__m512i h0 = _mm512_unpackhi_epi32(i0, i1), h1 = _mm512_unpackhi_epi32(i2, i3);
			a[r] = _mm512_unpacklo_epi64(l0, l1);
			a[r + 1] = _mm512_unpackhi_epi64(l0, l1);
			a[r + 2] = _mm512_unpacklo_epi64(h0, h1);
			a[r + 3] = _mm512_unpackhi_epi64(h0, h1);
		}
		/* Quarter q of a[4 g + i]: pair 4 q + i, rows 4 g and on. */
		for (size_t i = 0; i < 4; i++) {
			__m512i lo = _mm512_shuffle_i32x4(a[i], a[4 + i], 0x44);
			__m512i hi = _mm512_shuffle_i32x4(a[i], a[4 + i], 0xEE);
			__m512i lo2 = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0x44);
			__m512i hi2 = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0xEE);
			int16_t *out = strip + 2 * i * STRIP;
			_mm512_storeu_si512(out, _mm512_shuffle_i32x4(lo, lo2, 0x88));
			_mm512_storeu_si512(out + 8 * STRIP, _mm512_shuffle_i32x4(lo, lo2, 0xDD));
			_mm512_storeu_si512(out + 16 * STRIP, _mm512_shuffle_i32x4(hi, hi2, 0x88));
			_mm512_storeu_si512(out + 24 * STRIP, _mm512_shuffle_i32x4(hi, hi2, 0xDD));
		}
	}
}

/* Rows of 16 bytes, one an output, become rows of 16 outputs. */
AVX512 static void turn_tile_avx512(uint8_t tile[][STRIP])
{
	const __m512i fours = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
	const __m512i bytes = _mm512_broadcast_i32x4(
	    _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
	__m512i a[4];
	for (int g = 0; g < 4; g++)
		a[g] = _mm512_shuffle_epi8(
		    _mm512_permutexvar_epi32(fours, _mm512_loadu_si512(tile[4 * g])), bytes);
	/* Word r of a[g]: row r of outputs 4 g and on. */
	__m512i l0 = _mm512_unpacklo_epi32(a[0], a[1]), l1 = _mm512_unpacklo_epi32(a[2], a[3]);
	__m512i h0 = _mm512_unpackhi_epi32(a[0], a[1]), h1 = _mm512_unpackhi_epi32(a[2], a[3]);
	/* Quarter q of each: row 4 q + its number. */
	__m512i r0 = _mm512_unpacklo_epi64(l0, l1), r1 = _mm512_unpackhi_epi64(l0, l1);
	__m512i r2 = _mm512_unpacklo_epi64(h0, h1), r3 = _mm512_unpackhi_epi64(h0, h1);
	__m512i e = _mm512_shuffle_i32x4(r0, r1, 0x44), f = _mm512_shuffle_i32x4(r2, r3, 0x44);
	__m512i g = _mm512_shuffle_i32x4(r0, r1, 0xEE), h = _mm512_shuffle_i32x4(r2, r3, 0xEE);
	_mm512_storeu_si512(tile[0], _mm512_shuffle_i32x4(e, f, 0x88));
	_mm512_storeu_si512(tile[4], _mm512_shuffle_i32x4(e, f, 0xDD));
	_mm512_storeu_si512(tile[8], _mm512_shuffle_i32x4(g, h, 0x88));
	_mm512_storeu_si512(tile[12], _mm512_shuffle_i32x4(g, h, 0xDD));
}

AVX512 static void columns_avx512(const int16_t *strip, uint32_t left, const struct pl_axis *a,
    uint32_t from, uint32_t n, uint8_t tile[][STRIP])
{
	const uint32_t taps = 2 * a->pairs;
	for (uint32_t i = 0; i < n; i++) {
		const int16_t *in = strip + (size_t)(a->first[from + i] - left) * STRIP;
		const int16_t *w = a->weight + (size_t)(from + i) * a->taps;
		__m512i sum = _mm512_set1_epi32(COLS_HALF);
		for (uint32_t k = 0; k < taps; k += 2, in += 2 * STRIP)
			sum = _mm512_add_epi32(sum,
			    _mm512_madd_epi16(_mm512_loadu_si512(in),
				_mm512_set1_epi32(two_weights(w + k))));
		sum = _mm512_max_epi32(_mm512_srai_epi32(sum, COLS_SHIFT), _mm512_setzero_si512());
		_mm_storeu_si128((__m128i *)tile[i], _mm512_cvtusepi32_epi8(sum));
	}
	turn_tile_avx512(tile);
}

static const struct pl_rs_kernels avx512 = { rows_avx512, turn_avx512, columns_avx512 };

#endif

/* ---- choice ---- */

static enum pl_simd forced = PL_SIMD_NONE;

bool pl_resample_force(enum pl_simd level)
{
	if (level > pl_simd_best())
		return false;
	forced = level;
	return true;
}

const struct pl_rs_kernels *pl_rs_kernels(void)
{
#if defined(__x86_64__)
	enum pl_simd level = forced == PL_SIMD_NONE ? pl_simd_best() : forced;
	if (level == PL_SIMD_AVX512)
		return &avx512;
	if (level == PL_SIMD_AVX2)
		return &avx2;
#endif
	return &scalar;
}
