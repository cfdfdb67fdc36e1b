/* SPDX-License-Identifier: Apache-2.0 */
/* The inverse DCT after Loeffler, Ligtenberg and Moschytz in 13-bit constants, to
 * 8x8, 4x4 and 2x2 samples. Where numbers of a hostile file do not fit, they
 * wrap and saturate where libjpeg-turbo's vector code does, in every version. */
#include "jpeg_idct.h"

#include <string.h>

/* ---- any processor ---- */

static int16_t wrap16(int v)
{
	return (int16_t)(uint16_t)(unsigned)v;
}

static int16_t pack16(int32_t v)
{
	return (int16_t)(v < INT16_MIN ? INT16_MIN : v > INT16_MAX ? INT16_MAX : v);
}

static uint8_t to_sample(int32_t v)
{
	return (uint8_t)((v < -128 ? -128 : v > 127 ? 127 : v) + 128);
}

/* Sums wrap. */
static int32_t sum(int32_t a, int32_t b)
{
	return (int32_t)((uint32_t)a + (uint32_t)b);
}

static int32_t difference(int32_t a, int32_t b)
{
	return (int32_t)((uint32_t)a - (uint32_t)b);
}

static int32_t rounded(int32_t v, int shift)
{
	return sum(v, 1 << (shift - 1)) >> shift;
}

/* Four products of 16 bits each. */
static int32_t odd(const int16_t in[8], int w1, int w3, int w5, int w7)
{
	return sum(in[1] * w1 + in[3] * w3, in[5] * w5 + in[7] * w7);
}

/* Eight numbers to eight; they fit in 32 bits whatever comes in. */
static void eight(const int16_t in[8], int shift, int32_t out[8])
{
	const int z3 = wrap16(in[7] + in[3]), z4 = wrap16(in[5] + in[1]);
	const int t0 = wrap16(in[0] + in[4]) * ONE, t1 = wrap16(in[0] - in[4]) * ONE;
	const int t2 = in[2] * W26_B - in[6] * W26_C, t3 = in[2] * W26_A + in[6] * W26_B;
	const int y3 = z3 * Z_A + z4 * Z_B, y4 = z3 * Z_B + z4 * Z_C;
	const int even[4] = { t0 + t3, t1 + t2, t1 - t2, t0 - t3 };
	const int sides[4] = { in[7] * W71_B + in[1] * W71_C + y4,
		in[5] * W53_B + in[3] * W53_C + y3, in[5] * W53_A + in[3] * W53_B + y4,
		in[7] * W71_A + in[1] * W71_B + y3 };
	for (int i = 0; i < 4; i++) {
		out[i] = rounded(even[i] + sides[i], shift);
		out[7 - i] = rounded(even[i] - sides[i], shift);
	}
}

/* Numbers 4 unused. */
static void four(const int16_t in[8], int shift, int32_t out[4])
{
	const int32_t t0 = in[0] * (2 * ONE), t2 = in[2] * H26_A + in[6] * H26_B;
	const int32_t a = sum(t0, t2), b = difference(t0, t2);
	const int32_t s = odd(in, H1_A, H3_A, H5_A, H7_A), t = odd(in, H1_B, H3_B, H5_B, H7_B);
	out[0] = rounded(sum(a, s), shift);
	out[1] = rounded(sum(b, t), shift);
	out[2] = rounded(difference(b, t), shift);
	out[3] = rounded(difference(a, s), shift);
}

/* Numbers 1, 3, 5, 7, and the first, which is not held to 16 bits. */
static void two(int32_t first, const int16_t in[8], int shift, int32_t out[2])
{
	const int32_t t0 = (int32_t)((uint32_t)first << (ONE_BITS + 2));
	const int32_t s = odd(in, Q1, Q3, Q5, Q7);
	out[0] = rounded(sum(t0, s), shift);
	out[1] = rounded(difference(t0, s), shift);
}

/* Column x of block b, dequantised. */
static void column(const struct pl_jb_group *g, unsigned b, unsigned x, int16_t in[8])
{
	for (unsigned y = 0; y < 8; y++)
		in[y] = wrap16(g->coef[y * PL_JB_ROW + 8 * b + x] * g->quant[8 * y + x]);
}

static bool in_range(const struct pl_jb_group *g)
{
	for (unsigned b = 0; b < g->n; b++)
		for (unsigned x = 0; x < 8; x++) {
			const int v = wrap16(g->coef[8 * b + x] * g->quant[x]);
			if (v > PL_JB_HIGHEST || v < -PL_JB_HIGHEST)
				return false;
		}
	return true;
}

static bool scalar_by_1(struct pl_jb_group *g)
{
	if (!in_range(g))
		return false;
	for (unsigned b = 0; b < g->n; b++) {
		int16_t in[8], rows[8][8];
		int32_t out[8];
		for (unsigned x = 0; x < 8; x++) {
			column(g, b, x, in);
			eight(in, ONE_BITS - 2, out);
			for (unsigned y = 0; y < 8; y++)
				rows[y][x] = pack16(out[y]);
		}
		uint8_t *dst = g->dst[b];
		for (unsigned y = 0; y < 8; y++, dst += g->stride) {
			eight(rows[y], ONE_BITS + 5, out);
			for (unsigned x = 0; x < 8; x++)
				dst[x] = to_sample(out[x]);
		}
	}
	memset(g->coef, 0, sizeof(g->coef));
	return true;
}

static bool scalar_by_2(struct pl_jb_group *g)
{
	if (!in_range(g))
		return false;
	for (unsigned b = 0; b < g->n; b++) {
		int16_t in[8], rows[4][8];
		int32_t out[4];
		for (unsigned x = 0; x < 8; x++) {
			column(g, b, x, in);
			four(in, ONE_BITS - 1, out);
			for (unsigned y = 0; y < 4; y++)
				rows[y][x] = pack16(out[y]);
		}
		uint8_t *dst = g->dst[b];
		for (unsigned y = 0; y < 4; y++, dst += g->stride) {
			four(rows[y], ONE_BITS + 6, out);
			for (unsigned x = 0; x < 4; x++)
				dst[x] = to_sample(out[x]);
		}
	}
	memset(g->coef, 0, sizeof(g->coef));
	return true;
}

static bool scalar_by_4(struct pl_jb_group *g)
{
	if (!in_range(g))
		return false;
	for (unsigned b = 0; b < g->n; b++) {
		int16_t in[8], rows[2][8];
		int32_t out[2], first[2] = { 0, 0 };
		for (unsigned x = 0; x < 8; x++) {
			column(g, b, x, in);
			two(in[0], in, ONE_BITS, out);
			for (unsigned y = 0; y < 2; y++) {
				rows[y][x] = pack16(out[y]);
				first[y] = x == 0 ? out[y] : first[y];
			}
		}
		uint8_t *dst = g->dst[b];
		for (unsigned y = 0; y < 2; y++, dst += g->stride) {
			two(first[y], rows[y], ONE_BITS + 7, out);
			dst[0] = to_sample(out[0]);
			dst[1] = to_sample(out[1]);
		}
	}
	memset(g->coef, 0, sizeof(g->coef));
	return true;
}

static const struct pl_jb_kernels scalar = { scalar_by_1, scalar_by_2, scalar_by_4, pl_jb_rgb_plain, false };

#if defined(__x86_64__)
#include <immintrin.h>

/* Shifts become immediate operands. */
#define ALWAYS static inline __attribute__((always_inline))

/* ---- AVX2: two blocks in a register ---- */

#define TARGET __attribute__((target("avx2")))
#define NAME(x) avx2_##x
#define V(x) _mm256_##x
#define VEC __m256i
#define SRAI(v, n) _mm256_srai_epi32(v, n)
#define LOAD(p) _mm256_load_si256((const __m256i *)(p))
#define STORE(p, v) _mm256_store_si256((__m256i *)(p), v)
#define ROW_OF_QUANT(p) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(p)))
#define BEYOND(v, limit) (_mm256_movemask_epi8(_mm256_cmpgt_epi16(v, limit)) != 0)
#define LANE(v, i) _mm256_extracti128_si256(v, i)
#define LANES 2
#define EACH_LANE(do) do(0) do(1)
#include "jpeg_idct_vector.h"

static const struct pl_jb_kernels avx2 = { avx2_by_1, avx2_by_2, avx2_by_4, pl_jb_rgb_avx2, true };

/* ---- AVX-512: four ---- */

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl")))
#define NAME(x) avx512_##x
#define V(x) _mm512_##x
#define VEC __m512i
#define SRAI(v, n) _mm512_srai_epi32(v, (unsigned)(n))
#define LOAD(p) _mm512_load_si512(p)
#define STORE(p, v) _mm512_store_si512(p, v)
#define ROW_OF_QUANT(p) _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(p)))
#define BEYOND(v, limit) (_mm512_cmpgt_epi16_mask(v, limit) != 0)
#define LANE(v, i) _mm512_extracti32x4_epi32(v, i)
#define LANES 4
#define EACH_LANE(do) do(0) do(1) do(2) do(3)
#include "jpeg_idct_vector.h"

static const struct pl_jb_kernels avx512 = { avx512_by_1, avx512_by_2, avx512_by_4, pl_jb_rgb_avx2, true };

#endif

/* ---- choice ---- */

static enum pl_simd forced = PL_SIMD_NONE;

bool pl_jpeg_baseline_force(enum pl_simd level)
{
	if (level > pl_simd_best())
		return false;
	forced = level;
	return true;
}

const struct pl_jb_kernels *pl_jb_kernels(void)
{
#if defined(__x86_64__)
	const enum pl_simd level = forced == PL_SIMD_NONE ? pl_simd_best() : forced;
	if (level == PL_SIMD_AVX512)
		return &avx512;
	if (level == PL_SIMD_AVX2)
		return &avx2;
#endif
	return &scalar;
}
