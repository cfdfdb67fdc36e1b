/* SPDX-License-Identifier: Apache-2.0 */
/* The JPEG writer for AVX-512 as of Ice Lake and Zen 4: the DCT of four blocks
 * at a time, and a Huffman coder that makes 32 symbols of a block at once. */
#include "jpeg_write.h"

#include "jpeg_fdct.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET \
	__attribute__(( \
	    target("avx512f,avx512bw,avx512vl,avx512cd,avx512vbmi,avx512vbmi2,bmi,bmi2,lzcnt,popcnt")))
#define VEC __m512i
#define OP(name) _mm512_##name
#define XOR _mm512_xor_si512
#define LANES(p) _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(p)))
#include "jpeg_fdct_vector.h"

/* ---- coefficients, stored in zigzag order ---- */

static const alignas(64) uint8_t in_order[64] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
	25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
	48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63
};
static const alignas(64) uint16_t zigzag[64] = { 0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11,
	4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50,
	43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47,
	55, 62, 63 };

/* top, bottom: rows 0-3 and 4-7 of a block. */
INSIDE void store_block(VEC top, VEC bottom, int16_t out[64], uint64_t *set)
{
	const VEC a = _mm512_permutex2var_epi16(top, _mm512_load_si512(zigzag), bottom);
	const VEC b = _mm512_permutex2var_epi16(top, _mm512_load_si512(zigzag + 32), bottom);
	_mm512_store_si512(out, a);
	_mm512_store_si512(out + 32, b);
	*set = _mm512_test_epi16_mask(a, a) | (uint64_t)_mm512_test_epi16_mask(b, b) << 32;
}

/* Lane i of four vectors becomes lane 0..3 of out[i]. */
INSIDE void gather_lanes(const VEC d[4], VEC out[4])
{
	const VEC a = _mm512_shuffle_i32x4(d[0], d[1], 0x44);
	const VEC b = _mm512_shuffle_i32x4(d[0], d[1], 0xEE);
	const VEC c = _mm512_shuffle_i32x4(d[2], d[3], 0x44);
	const VEC e = _mm512_shuffle_i32x4(d[2], d[3], 0xEE);
	out[0] = _mm512_shuffle_i32x4(a, c, 0x88);
	out[1] = _mm512_shuffle_i32x4(a, c, 0xDD);
	out[2] = _mm512_shuffle_i32x4(b, e, 0x88);
	out[3] = _mm512_shuffle_i32x4(b, e, 0xDD);
}

TARGET static void blocks_avx512(const uint8_t *const row[8], size_t n,
    const struct pl_jw_divisors *q, int16_t (*out)[64], uint64_t *set)
{
	const VEC middle = _mm512_set1_epi16(128);
	for (size_t i = 0; i < n; i += 4) {
		const __mmask32 there = n - i < 4 ? (UINT32_C(1) << 8 * (n - i)) - 1 : ~UINT32_C(0);
		VEC d[8], top[4], bottom[4];
#define LOAD(y) \
	d[y] = _mm512_sub_epi16( \
	    _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(there, row[y] + 8 * i)), middle);
		EACH_OF_8(LOAD)
		transform(d, q);
		gather_lanes(d, top);
		gather_lanes(d + 4, bottom);
#define STORE(k) store_block(top[k], bottom[k], out[i + (k)], set + i + (k));
		EACH_OF_4(STORE)
	}
}

/* ---- symbols ---- */

/* The items of a run, two in one, as bits and their number. A block's are: DC, what is not 0, and
 * the end of the block if something is missing behind; an odd number gets an empty one. Each block
 * is stored in whole vectors, of which the next covers what is too much. */
struct pieces {
	alignas(64) uint64_t bits[PL_JW_BLOCKS * 32];
	uint8_t length[PL_JW_BLOCKS * 32];
	size_t count;
};

/* Items in the order in which unpacking the halves of all lanes leaves them sorted, as bytes with
 * room between. */
static const alignas(64) uint8_t unpacked[64] = { 0, 0, 1, 0, 2, 0, 3, 0, 16, 0, 17, 0, 18, 0, 19, 0,
	4, 0, 5, 0, 6, 0, 7, 0, 20, 0, 21, 0, 22, 0, 23, 0, 8, 0, 9, 0, 10, 0, 11, 0, 24, 0, 25, 0, 26,
	0, 27, 0, 12, 0, 13, 0, 14, 0, 15, 0, 28, 0, 29, 0, 30, 0, 31, 0 };
/* One item back. */
static const alignas(64) uint8_t before[64] = { 0,
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
	25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
	48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62
};

static const __mmask64 EVEN = UINT64_C(0x5555555555555555);

/* Code, value and lengths of 16 items, 32 bits each, to 8 pieces. */
INSIDE void join(VEC item, VEC length, VEC spare, uint64_t bits[8], uint8_t lengths[8])
{
	const VEC low = _mm512_set1_epi64(0xFFFFFFFF);
	const VEC second = _mm512_srli_epi64(length, 32);
	item = _mm512_srlv_epi32(item, spare);
	_mm512_storeu_si512(bits,
	    _mm512_or_si512(_mm512_sllv_epi64(_mm512_and_si512(item, low), second),
		_mm512_srli_epi64(item, 32)));
	_mm_storel_epi64((__m128i *)lengths, _mm512_cvtepi64_epi8(_mm512_add_epi64(length, second)));
}

/* 16 less the number of bits of each magnitude. */
INSIDE VEC spare_bits(VEC magnitude)
{
	const VEC even = _mm512_and_si512(magnitude, _mm512_set1_epi32(0xFFFF));
	const VEC odd = _mm512_min_epu32(_mm512_lzcnt_epi32(magnitude), _mm512_set1_epi32(16));
	const VEC both = _mm512_add_epi32(_mm512_slli_epi32(odd, 16), _mm512_lzcnt_epi32(even));
	return _mm512_sub_epi32(both, _mm512_set1_epi32(16));
}

/* 32 values and the runs before them; dc: the first is a DC difference. */
INSIDE void make_items(VEC value, VEC run, __mmask32 dc, const struct pl_jw_codes *t,
    uint64_t bits[16], uint8_t lengths[16])
{
	const VEC zero = _mm512_setzero_si512();
	const VEC magnitude = _mm512_abs_epi16(value);
	const VEC spare = spare_bits(magnitude);
	const VEC n = _mm512_sub_epi16(_mm512_set1_epi16(16), spare);
	VEC at = _mm512_or_si512(_mm512_slli_epi16(n, 4), run);
	at = _mm512_mask_add_epi16(at, dc, n, _mm512_set1_epi16(PL_JW_DC));
	const __mmask32 second = _mm512_test_epi16_mask(at, _mm512_set1_epi16(64));
	const __mmask32 third = _mm512_test_epi16_mask(at, _mm512_set1_epi16(128));
	VEC code = _mm512_permutex2var_epi16(
	    _mm512_load_si512(t->code), at, _mm512_load_si512(t->code + 32));
	code = _mm512_mask_mov_epi16(code, second,
	    _mm512_permutex2var_epi16(
		_mm512_load_si512(t->code + 64), at, _mm512_load_si512(t->code + 96)));
	code = _mm512_mask_mov_epi16(code, third,
	    _mm512_permutex2var_epi16(
		_mm512_load_si512(t->code + 128), at, _mm512_load_si512(t->code + 160)));
	VEC length = _mm512_maskz_permutex2var_epi8(
	    EVEN, _mm512_load_si512(t->length), at, _mm512_load_si512(t->length + 64));
	length = _mm512_mask_permutexvar_epi8(length,
	    _mm512_test_epi8_mask(at, _mm512_set1_epi8((char)128)), at,
	    _mm512_load_si512(t->length + 128));
	/* The value's bits follow the code's at once, and the spare ones are shifted out behind. */
	const VEC tail = _mm512_sllv_epi16(
	    _mm512_xor_si512(magnitude, _mm512_srai_epi16(value, 15)), spare);
	join(_mm512_unpacklo_epi16(tail, code), _mm512_unpacklo_epi16(length, zero),
	    _mm512_unpacklo_epi16(spare, zero), bits, lengths);
	join(_mm512_unpackhi_epi16(tail, code), _mm512_unpackhi_epi16(length, zero),
	    _mm512_unpackhi_epi16(spare, zero), bits + 8, lengths + 8);
}

INSIDE void add_block(
    struct pieces *p, const int16_t c[64], uint64_t set, int16_t *dc, const struct pl_jw_codes *t)
{
	const VEC all = _mm512_load_si512(in_order), order = _mm512_load_si512(unpacked);
	const VEC back = _mm512_load_si512(before), none = _mm512_set1_epi8((char)0x80);
	const VEC a = _mm512_load_si512(c), b = _mm512_load_si512(c + 32);
	const VEC first = _mm512_mask_sub_epi16(a, 1, a, _mm512_set1_epi16(*dc));
	set = pl_jw_add_zeros(set) | 1;
	/* Behind the last item comes the end of the block, index 0, then index 1. */
	const uint32_t count = (uint32_t)_mm_popcnt_u64(set), end = (uint32_t)(~set >> 63);
	const __mmask64 items = _bzhi_u64(~UINT64_C(0), count) & ~UINT64_C(1);
	const __mmask64 rest = ~((uint64_t)end << (count & 63));
	const VEC at = _mm512_mask_compress_epi8(none, set, all);
	const VEC last = _mm512_add_epi8(_mm512_permutexvar_epi8(back, at), _mm512_set1_epi8(1));
	const VEC run = _mm512_mask_sub_epi8(_mm512_maskz_set1_epi8(rest, 1), items, at, last);
	*dc = c[0];
	for (uint32_t i = 0; i < count + end; i += 32) {
		const VEC shift = _mm512_add_epi8(order, _mm512_set1_epi8((char)i));
		const VEC where = _mm512_maskz_permutexvar_epi8(EVEN, shift, at);
		const __mmask32 value = _mm512_testn_epi16_mask(where, _mm512_set1_epi16(0x80));
		make_items(_mm512_maskz_permutex2var_epi16(value, first, where, b),
		    _mm512_maskz_permutexvar_epi8(EVEN, shift, run), i == 0, t,
		    p->bits + p->count + i / 2, p->length + p->count + i / 2);
	}
	p->count += (count + end + 1) / 2;
}

TARGET static void code_avx512(struct pl_jw_bits *b, const struct pl_jw_run *r, int16_t dc[3],
    const struct pl_jw_codes codes[2])
{
	struct pl_jw_bits local = *b;
	struct pieces p;
	p.count = 0;
	for (size_t m = 0; m < r->mcus; m++) {
		for (size_t i = 0; i < 4; i++) {
			const size_t y = i / 2, x = 2 * m + i % 2;
			add_block(&p, r->luma[y][x], r->luma_set[y][x], dc, codes);
		}
		for (size_t i = 0; i < 2; i++)
			add_block(
			    &p, r->chroma[i][m], r->chroma_set[i][m], dc + 1 + i, codes + 1);
	}
	for (size_t i = 0; i < p.count; i++)
		pl_jw_put(&local, p.bits[i], p.length[i]);
	*b = local;
}

const struct pl_jw_kernels pl_jw_avx512 = { blocks_avx512, code_avx512, in_order };

bool pl_jw_has_avx512(void)
{
	return pl_jw_has_avx2() && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd") &&
	    __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2");
}

#endif
