/* SPDX-License-Identifier: Apache-2.0 */
/* What every level of the JPEG writer has in common: the DCT's constants, and
 * the Huffman coder that works without vectors. */
#ifndef PL_IMG_JPEG_FDCT_H
#define PL_IMG_JPEG_FDCT_H

#include <endian.h>
#include <string.h>

#include "jpeg_write.h"

/* Products of cosines and square roots in 13 bits behind the point, each rounded before they are
 * added, as all of libjpeg's versions have them. The first pass keeps 2 bits more. */
enum {
	PL_FD_BITS = 13,
	PL_FD_EXTRA = 2,
	PL_FD_2A = 4433,          /* 0.541196100 */
	PL_FD_2B = 4433 + 6270,   /* + 0.765366865 */
	PL_FD_6A = 4433 - 15137,  /* - 1.847759065 */
	PL_FD_Z = 9633,           /* 1.175875602 */
	PL_FD_Z3A = 9633 - 16069, /* - 1.961570560 */
	PL_FD_Z4B = 9633 - 3196,  /* - 0.390180644 */
	PL_FD_47 = -7373,         /* - 0.899976223 */
	PL_FD_56 = -20995,        /* - 2.562915447 */
	PL_FD_7A = 2446 - 7373,   /* 0.298631336 */
	PL_FD_5A = 16819 - 20995, /* 2.053119869 */
	PL_FD_3B = 25172 - 20995, /* 3.072711026 */
	PL_FD_1B = 12299 - 7373   /* 1.501321110 */
};

#define PL_JW_INLINE static inline __attribute__((always_inline))

/* length <= 56. Eight bytes are stored each time; those that are not yet full are stored again. */
PL_JW_INLINE void pl_jw_put(struct pl_jw_bits *b, uint64_t bits, uint32_t length)
{
	b->bits = b->bits << length | bits;
	b->fill += length;
	const uint64_t top = htobe64(b->bits << ((64 - b->fill) & 63));
	memcpy(b->at, &top, sizeof(top));
	b->at += b->fill >> 3;
	b->fill &= 7;
}

/* The n bits of a value's magnitude, and n; a negative one is coded as value - 1. */
PL_JW_INLINE uint32_t pl_jw_magnitude(int32_t value, uint32_t *n)
{
	const uint32_t sign = 0 - (uint32_t)(value < 0);
	const uint32_t m = ((uint32_t)value ^ sign) - sign;
	*n = 31 - (uint32_t)__builtin_clz(2 * m + 1);
	return ((uint32_t)value + sign) & ((UINT32_C(1) << *n) - 1);
}

/* Bits and their number; two of them go out at once. */
struct pl_jw_symbol {
	uint64_t bits;
	uint32_t length;
};

PL_JW_INLINE struct pl_jw_symbol pl_jw_symbol(
    const struct pl_jw_codes *t, uint32_t at, uint32_t bits)
{
	return (struct pl_jw_symbol){ t->both[at] >> 5 | bits, t->both[at] & 31 };
}

PL_JW_INLINE void pl_jw_put_two(
    struct pl_jw_bits *b, struct pl_jw_symbol first, struct pl_jw_symbol second)
{
	pl_jw_put(b, first.bits << second.length | second.bits, first.length + second.length);
}

/* The next of the coefficients in *set, at most 15 zeros behind the one at *last. */
PL_JW_INLINE struct pl_jw_symbol pl_jw_next(
    const int16_t c[64], uint64_t *set, uint32_t *last, const struct pl_jw_codes *t)
{
	const uint32_t k = (uint32_t)__builtin_ctzll(*set), run = k - *last - 1;
	uint32_t n;
	const uint32_t bits = pl_jw_magnitude(c[pl_jw_natural[k]], &n);
	*set &= *set - 1;
	*last = k;
	return pl_jw_symbol(t, n << 4 | run, bits);
}

/* A coefficient of 0 has to be coded wherever 16 lie in a row before one that is not: adds them. */
PL_JW_INLINE uint64_t pl_jw_add_zeros(uint64_t set)
{
	uint64_t near = set | 1; /* each bit and the 15 above it */
	near |= near << 1;
	near |= near << 2;
	near |= near << 4;
	near |= near << 8;
	for (uint64_t far = set & ~(near << 1) & ~UINT64_C(1); far; far &= far - 1) {
		const uint32_t k = (uint32_t)__builtin_ctzll(far);
		const uint64_t below = (set | 1) & ((UINT64_C(1) << k) - 1);
		for (uint32_t i = 79 - (uint32_t)__builtin_clzll(below); i < k; i += 16)
			set |= UINT64_C(1) << i;
	}
	return set;
}

PL_JW_INLINE void pl_jw_code_block(struct pl_jw_bits *b, const int16_t c[64], uint64_t set,
    int16_t *dc, const struct pl_jw_codes *t)
{
	const struct pl_jw_symbol end = pl_jw_symbol(t, 0, 0);
	uint32_t n, last = 0;
	const uint32_t bits = pl_jw_magnitude(c[0] - *dc, &n);
	struct pl_jw_symbol first = pl_jw_symbol(t, PL_JW_DC + n, bits);
	*dc = c[0];
	set = pl_jw_add_zeros(set) & ~UINT64_C(1);
	while (set) {
		pl_jw_put_two(b, first, pl_jw_next(c, &set, &last, t));
		if (!set) {
			if (last < 63)
				pl_jw_put(b, end.bits, end.length);
			return;
		}
		first = pl_jw_next(c, &set, &last, t);
	}
	if (last < 63)
		pl_jw_put_two(b, first, end);
	else
		pl_jw_put(b, first.bits, first.length);
}

/* Blocks in natural order. */
PL_JW_INLINE void pl_jw_code_run(struct pl_jw_bits *b, const struct pl_jw_run *r, int16_t dc[3],
    const struct pl_jw_codes codes[2])
{
	struct pl_jw_bits local = *b;
	for (size_t m = 0; m < r->mcus; m++) {
		for (size_t i = 0; i < 4; i++) {
			const size_t y = i / 2, x = 2 * m + i % 2;
			pl_jw_code_block(&local, r->luma[y][x], r->luma_set[y][x], dc, codes);
		}
		for (size_t i = 0; i < 2; i++)
			pl_jw_code_block(
			    &local, r->chroma[i][m], r->chroma_set[i][m], dc + 1 + i, codes + 1);
	}
	*b = local;
}

#endif
