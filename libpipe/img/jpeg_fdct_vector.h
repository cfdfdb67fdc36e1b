/* SPDX-License-Identifier: Apache-2.0 */
/* The forward DCT and quantisation of as many blocks as a vector has 128-bit
 * lanes: row y of each block is a lane of vector y. Included once per vector
 * unit, with VEC (the type), OP(name) (the intrinsic), LANES(p) (8 uint16_t in
 * each lane), XOR and TARGET defined. */

#define PAIR(a, b) OP(set1_epi32)((int)((uint32_t)(b) << 16 | ((uint32_t)(a) & 0xFFFF)))
#define INSIDE static inline __attribute__((always_inline)) TARGET

/* gcc keeps an array in registers only when the loops over it are written out. */
#define EACH_OF_4(DO) DO(0) DO(1) DO(2) DO(3)
#define EACH_OF_8(DO) EACH_OF_4(DO) DO(4) DO(5) DO(6) DO(7)

INSIDE void transpose(VEC r[8])
{
	VEC a[8], b[8];
#define WORDS(i) \
	a[i] = OP(unpacklo_epi16)(r[2 * (i)], r[2 * (i) + 1]); \
	a[(i) + 4] = OP(unpackhi_epi16)(r[2 * (i)], r[2 * (i) + 1]);
#define DOUBLES(i) \
	b[2 * (i)] = OP(unpacklo_epi32)(a[2 * (i)], a[2 * (i) + 1]); \
	b[2 * (i) + 1] = OP(unpackhi_epi32)(a[2 * (i)], a[2 * (i) + 1]);
	EACH_OF_4(WORDS)
	EACH_OF_4(DOUBLES)
#undef WORDS
#undef DOUBLES
	/* b: columns 0 1, 2 3 of rows 0-3, then of rows 4-7; then columns 4 5, 6 7 likewise. */
#define QUADS(to, top, bottom) \
	r[to] = OP(unpacklo_epi64)(b[top], b[bottom]); \
	r[(to) + 1] = OP(unpackhi_epi64)(b[top], b[bottom]);
	QUADS(0, 0, 2)
	QUADS(2, 1, 3)
	QUADS(4, 4, 6)
	QUADS(6, 5, 7)
#undef QUADS
}

/* What a pass takes off its sums of products. */
enum { FIRST = PL_FD_BITS - PL_FD_EXTRA, SECOND = PL_FD_BITS + PL_FD_EXTRA };

INSIDE VEC product(VEC lo, VEC hi, VEC weights, VEC plus_lo, VEC plus_hi, bool first)
{
	lo = OP(add_epi32)(OP(madd_epi16)(lo, weights), plus_lo);
	hi = OP(add_epi32)(OP(madd_epi16)(hi, weights), plus_hi);
	return first ? OP(packs_epi32)(OP(srai_epi32)(lo, FIRST), OP(srai_epi32)(hi, FIRST))
		     : OP(packs_epi32)(OP(srai_epi32)(lo, SECOND), OP(srai_epi32)(hi, SECOND));
}

INSIDE VEC half_of(bool first)
{
	return OP(set1_epi32)(1 << ((first ? FIRST : SECOND) - 1));
}

/* The odd half; t4..t7 are 16-bit differences. No sum leaves 16 bits: samples have 8, a pass grows
 * them by a factor of 8 at most, and the first leaves 2 bits more. */
INSIDE void odd_half(VEC d[8], VEC t4, VEC t5, VEC t6, VEC t7, bool first)
{
	const VEC half = half_of(first);
	const VEC z3 = OP(add_epi16)(t4, t6), z4 = OP(add_epi16)(t5, t7);
	const VEC z_lo = OP(unpacklo_epi16)(z3, z4), z_hi = OP(unpackhi_epi16)(z3, z4);
	const VEC w3 = PAIR(PL_FD_Z3A, PL_FD_Z), w4 = PAIR(PL_FD_Z, PL_FD_Z4B);
	const VEC y3_lo = OP(add_epi32)(OP(madd_epi16)(z_lo, w3), half);
	const VEC y3_hi = OP(add_epi32)(OP(madd_epi16)(z_hi, w3), half);
	const VEC y4_lo = OP(add_epi32)(OP(madd_epi16)(z_lo, w4), half);
	const VEC y4_hi = OP(add_epi32)(OP(madd_epi16)(z_hi, w4), half);
	const VEC a_lo = OP(unpacklo_epi16)(t4, t7), a_hi = OP(unpackhi_epi16)(t4, t7);
	const VEC b_lo = OP(unpacklo_epi16)(t5, t6), b_hi = OP(unpackhi_epi16)(t5, t6);
	d[7] = product(a_lo, a_hi, PAIR(PL_FD_7A, PL_FD_47), y3_lo, y3_hi, first);
	d[5] = product(b_lo, b_hi, PAIR(PL_FD_5A, PL_FD_56), y4_lo, y4_hi, first);
	d[3] = product(b_lo, b_hi, PAIR(PL_FD_56, PL_FD_3B), y3_lo, y3_hi, first);
	d[1] = product(a_lo, a_hi, PAIR(PL_FD_47, PL_FD_1B), y4_lo, y4_hi, first);
}

INSIDE void pass(VEC d[8], bool first)
{
	const VEC half = half_of(first);
	const VEC t0 = OP(add_epi16)(d[0], d[7]), t7 = OP(sub_epi16)(d[0], d[7]);
	const VEC t1 = OP(add_epi16)(d[1], d[6]), t6 = OP(sub_epi16)(d[1], d[6]);
	const VEC t2 = OP(add_epi16)(d[2], d[5]), t5 = OP(sub_epi16)(d[2], d[5]);
	const VEC t3 = OP(add_epi16)(d[3], d[4]), t4 = OP(sub_epi16)(d[3], d[4]);
	const VEC e0 = OP(add_epi16)(t0, t3), e3 = OP(sub_epi16)(t0, t3);
	const VEC e1 = OP(add_epi16)(t1, t2), e2 = OP(sub_epi16)(t1, t2);
	const VEC sum = OP(add_epi16)(e0, e1), difference = OP(sub_epi16)(e0, e1);
	const VEC lo = OP(unpacklo_epi16)(e2, e3), hi = OP(unpackhi_epi16)(e2, e3);
	const VEC round = OP(set1_epi16)(1 << (PL_FD_EXTRA - 1));
	if (first) {
		d[0] = OP(slli_epi16)(sum, PL_FD_EXTRA);
		d[4] = OP(slli_epi16)(difference, PL_FD_EXTRA);
	} else {
		d[0] = OP(srai_epi16)(OP(add_epi16)(sum, round), PL_FD_EXTRA);
		d[4] = OP(srai_epi16)(OP(add_epi16)(difference, round), PL_FD_EXTRA);
	}
	d[2] = product(lo, hi, PAIR(PL_FD_2A, PL_FD_2B), half, half, first);
	d[6] = product(lo, hi, PAIR(PL_FD_6A, PL_FD_2A), half, half, first);
	odd_half(d, t4, t5, t6, t7, first);
}

INSIDE VEC quantise(VEC c, const struct pl_jw_divisors *q, int k)
{
	const VEC sign = OP(srai_epi16)(c, 15);
	VEC m = OP(add_epi16)(OP(abs_epi16)(c), LANES(q->add + k));
	m = OP(mulhi_epu16)(OP(mulhi_epu16)(m, LANES(q->multiply + k)), LANES(q->scale + k));
	return OP(sub_epi16)(XOR(m, sign), sign);
}

/* d: samples less 128, then coefficients. */
INSIDE void transform(VEC d[8], const struct pl_jw_divisors *q)
{
	transpose(d);
	pass(d, true);
	transpose(d);
	pass(d, false);
#define QUANTISE(y) d[y] = quantise(d[y], q, 8 * (y));
	EACH_OF_8(QUANTISE)
#undef QUANTISE
}
