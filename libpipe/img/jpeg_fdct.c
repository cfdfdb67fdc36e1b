/* SPDX-License-Identifier: Apache-2.0 */
/* The forward DCT of Loeffler, Ligtenberg and Moschytz in integers, and
 * quantisation by multiplication: plain code, which the vector units repeat. */
#include "jpeg_write.h"

#include "jpeg_fdct.h"

const uint8_t pl_jw_natural[64] = { 0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19,
	26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29,
	22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62,
	63 };

/* With d = 8 q, b = floor(log2 d) and r = 16 + b: multiplication by 2^r / d rounded down, of a
 * dividend taken one larger. Exact for all magnitudes of int16_t; the test tries every one. A power
 * of two is divided by shifts alone. */
void pl_jw_divisors(const uint8_t q[64], struct pl_jw_divisors *out)
{
	for (int k = 0; k < 64; k++) {
		const uint32_t d = 8u * q[k];
		uint32_t b = 3;
		while (d >> (b + 1))
			b++;
		const bool power = (d & (d - 1)) == 0; /* 2^16 does not fit: one shift less */
		b -= power;
		out->add[k] = (uint16_t)(d / 2 + !power);
		out->multiply[k] = (uint16_t)((UINT32_C(1) << (16 + b)) / d);
		out->scale[k] = (uint16_t)(UINT32_C(1) << (16 - b));
	}
}

/* One dimension: 8 values `step` apart. */
static void pass(int32_t *d, size_t step, bool first)
{
	const int shift = first ? PL_FD_BITS - PL_FD_EXTRA : PL_FD_BITS + PL_FD_EXTRA;
	const int32_t half = 1 << (shift - 1), few = 1 << (PL_FD_EXTRA - 1);
	const int32_t t0 = d[0] + d[7 * step], t7 = d[0] - d[7 * step];
	const int32_t t1 = d[step] + d[6 * step], t6 = d[step] - d[6 * step];
	const int32_t t2 = d[2 * step] + d[5 * step], t5 = d[2 * step] - d[5 * step];
	const int32_t t3 = d[3 * step] + d[4 * step], t4 = d[3 * step] - d[4 * step];
	const int32_t e0 = t0 + t3, e3 = t0 - t3, e1 = t1 + t2, e2 = t1 - t2;
	d[0] = first ? (e0 + e1) * (1 << PL_FD_EXTRA) : (e0 + e1 + few) >> PL_FD_EXTRA;
	d[4 * step] = first ? (e0 - e1) * (1 << PL_FD_EXTRA) : (e0 - e1 + few) >> PL_FD_EXTRA;
	d[2 * step] = (e2 * PL_FD_2A + e3 * PL_FD_2B + half) >> shift;
	d[6 * step] = (e2 * PL_FD_6A + e3 * PL_FD_2A + half) >> shift;
	const int32_t z3 = t4 + t6, z4 = t5 + t7;
	const int32_t y3 = z3 * PL_FD_Z3A + z4 * PL_FD_Z + half;
	const int32_t y4 = z3 * PL_FD_Z + z4 * PL_FD_Z4B + half;
	d[7 * step] = (t4 * PL_FD_7A + t7 * PL_FD_47 + y3) >> shift;
	d[5 * step] = (t5 * PL_FD_5A + t6 * PL_FD_56 + y4) >> shift;
	d[3 * step] = (t5 * PL_FD_56 + t6 * PL_FD_3B + y3) >> shift;
	d[step] = (t4 * PL_FD_47 + t7 * PL_FD_1B + y4) >> shift;
}

static int16_t quantise(int32_t c, const struct pl_jw_divisors *q, size_t k)
{
	const uint32_t m = (uint32_t)(c < 0 ? -c : c) + q->add[k];
	const int32_t v = (int32_t)((m * q->multiply[k] >> 16) * q->scale[k] >> 16);
	return (int16_t)(c < 0 ? -v : v);
}

static void blocks_scalar(const uint8_t *const row[8], size_t n, const struct pl_jw_divisors *q,
    int16_t (*out)[64], uint64_t *set)
{
	for (size_t i = 0; i < n; i++) {
		int32_t d[64];
		uint64_t mask = 0;
		for (size_t k = 0; k < 64; k++)
			d[k] = row[k / 8][8 * i + k % 8] - 128;
		for (size_t y = 0; y < 8; y++)
			pass(d + 8 * y, 1, true);
		for (size_t x = 0; x < 8; x++)
			pass(d + x, 8, false);
		for (size_t k = 0; k < 64; k++)
			out[i][k] = quantise(d[k], q, k);
		for (size_t k = 0; k < 64; k++)
			mask |= (uint64_t)(out[i][pl_jw_natural[k]] != 0) << k;
		set[i] = mask;
	}
}

static void code_scalar(struct pl_jw_bits *b, const struct pl_jw_run *r, int16_t dc[3],
    const struct pl_jw_codes codes[2])
{
	pl_jw_code_run(b, r, dc, codes);
}

const struct pl_jw_kernels pl_jw_scalar = { blocks_scalar, code_scalar, pl_jw_natural };
