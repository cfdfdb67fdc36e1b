/* SPDX-License-Identifier: Apache-2.0 */
/* The inverse DCT once for every width of vector: a lane of 128 bits has a row
 * of one block. Included by jpeg_idct.c for each width, with the names that
 * are undefined at the end; hence no guard. */

#define PAIR(a, b) V(set1_epi32)((int32_t)((uint32_t)(uint16_t)(b) << 16 | (uint16_t)(a)))
#define ZERO V(set1_epi32)(0)

/* gcc keeps an array in registers only when the loops over it are written out. */
#define EACH_OF_2(DO) DO(0) DO(1)
#define EACH_OF_4(DO) EACH_OF_2(DO) DO(2) DO(3)
#define EACH_OF_8(DO) EACH_OF_4(DO) DO(4) DO(5) DO(6) DO(7)

TARGET ALWAYS VEC NAME(rounded)(VEC v, int shift)
{
	return SRAI(V(add_epi32)(v, V(set1_epi32)(1 << (shift - 1))), shift);
}

/* a0 * x + b0 * y for every element of a, b = their interleaving's pairs. */
TARGET ALWAYS VEC NAME(madd2)(VEC p, VEC wp, VEC q, VEC wq)
{
	return V(add_epi32)(V(madd_epi16)(p, wp), V(madd_epi16)(q, wq));
}

/* Halves of the eight sums come in e[4], o[4]: r[i] = e + o, r[7 - i] = e - o, 16 bits. */
TARGET ALWAYS void NAME(butterflies)(
    VEC r[8], const VEC elo[4], const VEC ehi[4], const VEC olo[4], const VEC ohi[4], int shift)
{
#define BUTTERFLY(i)                                                             \
	r[i] = V(packs_epi32)(SRAI(V(add_epi32)(elo[i], olo[i]), shift),         \
	    SRAI(V(add_epi32)(ehi[i], ohi[i]), shift));                          \
	r[7 - (i)] = V(packs_epi32)(SRAI(V(sub_epi32)(elo[i], olo[i]), shift),   \
	    SRAI(V(sub_epi32)(ehi[i], ohi[i]), shift));
	EACH_OF_4(BUTTERFLY)
#undef BUTTERFLY
}

/* The even half of four of the eight columns; rounding goes in here. */
TARGET ALWAYS void NAME(even8)(VEC t0, VEC t1, VEC p26, int shift, VEC e[4])
{
	const VEC half = V(set1_epi32)(1 << (shift - 1));
	const VEC t3 = V(madd_epi16)(p26, PAIR(W26_A, W26_B));
	const VEC t2 = V(madd_epi16)(p26, PAIR(W26_B, -W26_C));
	t0 = V(add_epi32)(SRAI(t0, 16 - ONE_BITS), half);
	t1 = V(add_epi32)(SRAI(t1, 16 - ONE_BITS), half);
	e[0] = V(add_epi32)(t0, t3);
	e[1] = V(add_epi32)(t1, t2);
	e[2] = V(sub_epi32)(t1, t2);
	e[3] = V(sub_epi32)(t0, t3);
}

TARGET ALWAYS void NAME(odd8)(VEC p71, VEC p53, VEC z, VEC o[4])
{
	const VEC y3 = V(madd_epi16)(z, PAIR(Z_A, Z_B)), y4 = V(madd_epi16)(z, PAIR(Z_B, Z_C));
	o[0] = V(add_epi32)(V(madd_epi16)(p71, PAIR(W71_B, W71_C)), y4);
	o[1] = V(add_epi32)(V(madd_epi16)(p53, PAIR(W53_B, W53_C)), y3);
	o[2] = V(add_epi32)(V(madd_epi16)(p53, PAIR(W53_A, W53_B)), y4);
	o[3] = V(add_epi32)(V(madd_epi16)(p71, PAIR(W71_A, W71_B)), y3);
}

TARGET ALWAYS void NAME(pass8)(VEC r[8], int shift)
{
	VEC elo[4], ehi[4], olo[4], ohi[4];
	const VEC s = V(add_epi16)(r[0], r[4]), d = V(sub_epi16)(r[0], r[4]);
	NAME(even8)
	(V(unpacklo_epi16)(ZERO, s), V(unpacklo_epi16)(ZERO, d), V(unpacklo_epi16)(r[2], r[6]),
	    shift, elo);
	NAME(even8)
	(V(unpackhi_epi16)(ZERO, s), V(unpackhi_epi16)(ZERO, d), V(unpackhi_epi16)(r[2], r[6]),
	    shift, ehi);
	const VEC z3 = V(add_epi16)(r[7], r[3]), z4 = V(add_epi16)(r[5], r[1]);
	NAME(odd8)
	(V(unpacklo_epi16)(r[7], r[1]), V(unpacklo_epi16)(r[5], r[3]), V(unpacklo_epi16)(z3, z4),
	    olo);
	NAME(odd8)
	(V(unpackhi_epi16)(r[7], r[1]), V(unpackhi_epi16)(r[5], r[3]), V(unpackhi_epi16)(z3, z4),
	    ohi);
	NAME(butterflies)(r, elo, ehi, olo, ohi, shift);
}

TARGET ALWAYS void NAME(transpose)(VEC r[8])
{
	VEC a[8], b[8];
#define WORDS(i)                                                  \
	a[2 * (i)] = V(unpacklo_epi16)(r[2 * (i)], r[2 * (i) + 1]); \
	a[2 * (i) + 1] = V(unpackhi_epi16)(r[2 * (i)], r[2 * (i) + 1]);
#define DOUBLES(i)                                                        \
	b[4 * (i)] = V(unpacklo_epi32)(a[4 * (i)], a[4 * (i) + 2]);         \
	b[4 * (i) + 1] = V(unpackhi_epi32)(a[4 * (i)], a[4 * (i) + 2]);     \
	b[4 * (i) + 2] = V(unpacklo_epi32)(a[4 * (i) + 1], a[4 * (i) + 3]); \
	b[4 * (i) + 3] = V(unpackhi_epi32)(a[4 * (i) + 1], a[4 * (i) + 3]);
#define QUADS(i)                                        \
	r[2 * (i)] = V(unpacklo_epi64)(b[i], b[4 + (i)]); \
	r[2 * (i) + 1] = V(unpackhi_epi64)(b[i], b[4 + (i)]);
	EACH_OF_4(WORDS)
	EACH_OF_2(DOUBLES)
	EACH_OF_4(QUADS)
#undef WORDS
#undef DOUBLES
#undef QUADS
}

/* Columns of 16 bits to rows of 8: out[i] has rows 2 * i and 2 * i + 1. */
TARGET ALWAYS void NAME(to_rows)(const VEC c[8], VEC out[4])
{
	const VEC p04 = V(packs_epi16)(c[0], c[4]), p15 = V(packs_epi16)(c[1], c[5]);
	const VEC p26 = V(packs_epi16)(c[2], c[6]), p37 = V(packs_epi16)(c[3], c[7]);
	const VEC e0 = V(unpacklo_epi8)(p04, p15), e1 = V(unpackhi_epi8)(p04, p15);
	const VEC e2 = V(unpacklo_epi8)(p26, p37), e3 = V(unpackhi_epi8)(p26, p37);
	const VEC f0 = V(unpacklo_epi16)(e0, e2), f1 = V(unpackhi_epi16)(e0, e2);
	const VEC f2 = V(unpacklo_epi16)(e1, e3), f3 = V(unpackhi_epi16)(e1, e3);
	const VEC centre = V(set1_epi8)((char)-128);
	out[0] = V(add_epi8)(V(unpacklo_epi32)(f0, f2), centre);
	out[1] = V(add_epi8)(V(unpackhi_epi32)(f0, f2), centre);
	out[2] = V(add_epi8)(V(unpacklo_epi32)(f1, f3), centre);
	out[3] = V(add_epi8)(V(unpackhi_epi32)(f1, f3), centre);
}

/* Rows of the blocks from `first`, dequantised; the coefficients are cleared. */
TARGET ALWAYS bool NAME(load)(struct pl_jb_group *g, unsigned first, VEC r[8])
{
	int16_t *p = g->coef + (size_t)8 * first;
#define LOAD_ROW(i)                                                                            \
	r[i] = V(mullo_epi16)(LOAD(p + (i) * PL_JB_ROW), ROW_OF_QUANT(g->quant + 8 * (i))); \
	STORE(p + (i) * PL_JB_ROW, ZERO);
	EACH_OF_8(LOAD_ROW)
#undef LOAD_ROW
	/* -32768 has no magnitude: its negative is taken with saturation. */
	const VEC magnitude = V(max_epi16)(r[0], V(subs_epi16)(ZERO, r[0]));
	return !BEYOND(magnitude, V(set1_epi16)(PL_JB_HIGHEST));
}

TARGET ALWAYS void NAME(put8)(uint8_t *dst, size_t stride, __m128i two_rows)
{
	_mm_storel_epi64((__m128i *)dst, two_rows);
	_mm_storeh_pi((__m64 *)(dst + stride), _mm_castsi128_ps(two_rows));
}

TARGET static bool NAME(by_1)(struct pl_jb_group *g)
{
	for (unsigned first = 0; first < g->n; first += LANES) {
		VEC r[8], rows[4];
		if (!NAME(load)(g, first, r))
			return false;
		NAME(pass8)(r, ONE_BITS - 2);
		NAME(transpose)(r);
		NAME(pass8)(r, ONE_BITS + 5);
		NAME(to_rows)(r, rows);
#define PUT(i)                                                                     \
	if (first + (i) < g->n) {                                                    \
		uint8_t *dst = g->dst[first + (i)];                                \
		NAME(put8)(dst, g->stride, LANE(rows[0], (i)));                      \
		NAME(put8)(dst + 2 * g->stride, g->stride, LANE(rows[1], (i)));      \
		NAME(put8)(dst + 4 * g->stride, g->stride, LANE(rows[2], (i)));      \
		NAME(put8)(dst + 6 * g->stride, g->stride, LANE(rows[3], (i)));      \
	}
		EACH_LANE(PUT)
#undef PUT
	}
	return true;
}

/* What follows the first sum of products of the pairs' odd rows. */
TARGET ALWAYS void NAME(half4)(
    VEC t0, VEC p13, VEC p57, VEC p26, int shift, VEC out[4])
{
	const VEC s = NAME(madd2)(p13, PAIR(H1_A, H3_A), p57, PAIR(H5_A, H7_A));
	const VEC t = NAME(madd2)(p13, PAIR(H1_B, H3_B), p57, PAIR(H5_B, H7_B));
	const VEC t2 = V(madd_epi16)(p26, PAIR(H26_A, H26_B));
	t0 = SRAI(t0, 16 - ONE_BITS - 1);
	const VEC a = V(add_epi32)(t0, t2), b = V(sub_epi32)(t0, t2);
	out[0] = NAME(rounded)(V(add_epi32)(a, s), shift);
	out[1] = NAME(rounded)(V(add_epi32)(b, t), shift);
	out[2] = NAME(rounded)(V(sub_epi32)(b, t), shift);
	out[3] = NAME(rounded)(V(sub_epi32)(a, s), shift);
}

/* The four blocks' rows of four samples, a block in a lane. */
TARGET ALWAYS VEC NAME(rows4)(const VEC r[8])
{
	VEC lo[4], hi[4], o[4];
	NAME(half4)
	(V(unpacklo_epi16)(ZERO, r[0]), V(unpacklo_epi16)(r[1], r[3]),
	    V(unpacklo_epi16)(r[5], r[7]), V(unpacklo_epi16)(r[2], r[6]), ONE_BITS - 1, lo);
	NAME(half4)
	(V(unpackhi_epi16)(ZERO, r[0]), V(unpackhi_epi16)(r[1], r[3]),
	    V(unpackhi_epi16)(r[5], r[7]), V(unpackhi_epi16)(r[2], r[6]), ONE_BITS - 1, hi);
#define PACK(i) o[i] = V(packs_epi32)(lo[i], hi[i]);
	EACH_OF_4(PACK)
#undef PACK
	/* Two columns in a register. */
	const VEC a = V(unpacklo_epi16)(o[0], o[1]), b = V(unpacklo_epi16)(o[2], o[3]);
	const VEC c = V(unpackhi_epi16)(o[0], o[1]), d = V(unpackhi_epi16)(o[2], o[3]);
	const VEC c01 = V(unpacklo_epi32)(a, b), c23 = V(unpackhi_epi32)(a, b);
	const VEC c45 = V(unpacklo_epi32)(c, d), c67 = V(unpackhi_epi32)(c, d);
	NAME(half4)
	(V(unpacklo_epi16)(ZERO, c01), V(unpackhi_epi16)(c01, c23), V(unpackhi_epi16)(c45, c67),
	    V(unpacklo_epi16)(c23, c67), ONE_BITS + 6, o);
	const VEC even = V(packs_epi32)(o[0], o[2]), other = V(packs_epi32)(o[1], o[3]);
	const VEC e = V(unpacklo_epi16)(even, other), f = V(unpackhi_epi16)(even, other);
	return V(add_epi8)(V(packs_epi16)(V(unpacklo_epi32)(e, f), V(unpackhi_epi32)(e, f)),
	    V(set1_epi8)((char)-128));
}

TARGET static bool NAME(by_2)(struct pl_jb_group *g)
{
	for (unsigned first = 0; first < g->n; first += LANES) {
		VEC r[8];
		if (!NAME(load)(g, first, r))
			return false;
		const VEC rows = NAME(rows4)(r);
#define PUT(i)                                                                           \
	if (first + (i) < g->n) {                                                          \
		uint32_t four[4];                                                        \
		_mm_storeu_si128((__m128i *)four, LANE(rows, (i)));                        \
		for (size_t y = 0; y < 4; y++)                                           \
			memcpy(g->dst[first + (i)] + y * g->stride, four + y, 4);          \
	}
		EACH_LANE(PUT)
#undef PUT
	}
	return true;
}

TARGET ALWAYS VEC NAME(rows2)(const VEC r[8])
{
	const VEC w13 = PAIR(Q1, Q3), w57 = PAIR(Q5, Q7);
	const VEC slo = NAME(madd2)(V(unpacklo_epi16)(r[1], r[3]), w13, V(unpacklo_epi16)(r[5], r[7]), w57);
	const VEC shi = NAME(madd2)(V(unpackhi_epi16)(r[1], r[3]), w13, V(unpackhi_epi16)(r[5], r[7]), w57);
	const VEC tlo = SRAI(V(unpacklo_epi16)(ZERO, r[0]), 16 - ONE_BITS - 2);
	const VEC thi = SRAI(V(unpackhi_epi16)(ZERO, r[0]), 16 - ONE_BITS - 2);
	const VEC alo = NAME(rounded)(V(add_epi32)(tlo, slo), ONE_BITS);
	const VEC ahi = NAME(rounded)(V(add_epi32)(thi, shi), ONE_BITS);
	const VEC blo = NAME(rounded)(V(sub_epi32)(tlo, slo), ONE_BITS);
	const VEC bhi = NAME(rounded)(V(sub_epi32)(thi, shi), ONE_BITS);
	/* The second pass: columns 1, 3, 5, 7 in the upper halves of pairs. */
	const VEC w = V(unpacklo_epi32)(V(unpacklo_epi32)(PAIR(0, Q1), PAIR(0, Q5)),
	    V(unpacklo_epi32)(PAIR(0, Q3), PAIR(0, Q7)));
	const VEC sa = V(madd_epi16)(V(packs_epi32)(alo, ahi), w);
	const VEC sb = V(madd_epi16)(V(packs_epi32)(blo, bhi), w);
	VEC s = V(add_epi32)(V(unpacklo_epi32)(sa, sb), V(unpackhi_epi32)(sa, sb));
	s = V(add_epi32)(s, V(shuffle_epi32)(s, 0x4E));
	const VEC t = V(slli_epi32)(V(unpacklo_epi32)(alo, blo), ONE_BITS + 2);
	VEC o = V(unpacklo_epi32)(V(add_epi32)(t, s), V(sub_epi32)(t, s));
	o = NAME(rounded)(o, ONE_BITS + 7);
	o = V(packs_epi32)(o, o);
	return V(add_epi8)(V(packs_epi16)(o, o), V(set1_epi8)((char)-128));
}

TARGET static bool NAME(by_4)(struct pl_jb_group *g)
{
	for (unsigned first = 0; first < g->n; first += LANES) {
		VEC r[8];
		if (!NAME(load)(g, first, r))
			return false;
		const VEC rows = NAME(rows2)(r);
#define PUT(i)                                                                           \
	if (first + (i) < g->n) {                                                          \
		const uint32_t four = (uint32_t)_mm_cvtsi128_si32(LANE(rows, (i)));        \
		memcpy(g->dst[first + (i)], &four, 2);                                     \
		memcpy(g->dst[first + (i)] + g->stride, (const uint8_t *)&four + 2, 2);    \
	}
		EACH_LANE(PUT)
#undef PUT
	}
	return true;
}

#undef PAIR
#undef EACH_OF_2
#undef EACH_OF_4
#undef EACH_OF_8
#undef ZERO
#undef TARGET
#undef NAME
#undef V
#undef VEC
#undef SRAI
#undef LOAD
#undef STORE
#undef ROW_OF_QUANT
#undef BEYOND
#undef LANE
#undef LANES
#undef EACH_LANE
