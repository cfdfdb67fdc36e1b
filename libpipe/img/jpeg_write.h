/* SPDX-License-Identifier: Apache-2.0 */
/* Baseline JPEG from 4:2:0 planes, the very bytes that libjpeg-turbo writes:
 * what the driver, the forward DCT and the Huffman coder share. */
#ifndef PL_IMG_JPEG_WRITE_H
#define PL_IMG_JPEG_WRITE_H

#include <stdalign.h>

#include "planes.h"

enum {
	PL_JW_LARGEST = 65500,                 /* a side; libjpeg's limit */
	PL_JW_MCUS = 16,                       /* worked on together: their coefficients stay in L1 */
	PL_JW_LUMA = 2 * PL_JW_MCUS,           /* luma blocks side by side */
	PL_JW_BLOCKS = 6 * PL_JW_MCUS,
	/* A coded block at its longest: codes have at most 16 bits, a DC difference of 8-bit samples
	 * has 11 and an AC coefficient 10; 16 + 11 + 63 * (16 + 10) bits. */
	PL_JW_BLOCK_BYTES = 209,
	PL_JW_RAW = PL_JW_BLOCKS * PL_JW_BLOCK_BYTES + 16, /* a run; bits are stored 8 bytes at a time */
	PL_JW_SYMBOLS = 192,
	PL_JW_DC = 176
};

/* ---- coefficients ---- */

/* Division by 8 q[k], rounded half away from 0, of every int16_t: for its magnitude m,
 * ((m + add) * multiply >> 16) * scale >> 16. In natural order. */
struct pl_jw_divisors {
	alignas(64) uint16_t add[64], multiply[64], scale[64];
};

/* Of a run of MCUs, the quantised coefficients and a mask of those that are not 0: bit k stands for
 * zigzag index k, bit 0 for nothing. */
struct pl_jw_run {
	alignas(64) int16_t luma[2][PL_JW_LUMA][64];
	int16_t chroma[2][PL_JW_MCUS][64];
	uint64_t luma_set[2][PL_JW_LUMA], chroma_set[2][PL_JW_MCUS];
	uint32_t mcus;
};

/* Where zigzag index k lies in a block of rows. */
extern const uint8_t pl_jw_natural[64];

/* q: in natural order, each >= 1. */
void pl_jw_divisors(const uint8_t q[64], struct pl_jw_divisors *out);

/* ---- codes ---- */

/* As DHT has it: bits[n] codes of n bits, their symbols by length. */
struct pl_jw_table {
	uint8_t bits[17], symbols[256];
};

/* By index: an AC coefficient of n bits behind `run` zeros has n << 4 | run, so 0 is the end of the
 * block and 15 a run of 16 zeros; a DC difference of n bits PL_JW_DC + n. Index 1 is empty.
 * length counts the n bits behind the code, too. */
struct pl_jw_codes {
	alignas(64) uint16_t code[PL_JW_SYMBOLS];
	alignas(64) uint8_t length[PL_JW_SYMBOLS];
	uint32_t both[PL_JW_SYMBOLS]; /* (code << n) << 5 | length */
};

/* How often each index of pl_jw_codes is used. */
struct pl_jw_counts {
	size_t n[PL_JW_SYMBOLS];
};

/* Annex K's, luma first; the DC table and the AC table of each. */
extern const struct pl_jw_table pl_jw_standard[2][2];

void pl_jw_make_codes(
    const struct pl_jw_table *dc, const struct pl_jw_table *ac, struct pl_jw_codes *out);
/* Annex K.2. A symbol needs no place among the codes that is not used. */
void pl_jw_make_tables(
    const struct pl_jw_counts *counts, struct pl_jw_table *dc, struct pl_jw_table *ac);

/* The coded bits before stuffing: whole bytes up to `at`, then `fill` < 8 bits, the last of bits. */
struct pl_jw_bits {
	uint8_t *at;
	uint64_t bits;
	uint32_t fill;
};

/* dc: the last DC of each component, kept from run to run. */
void pl_jw_count(const struct pl_jw_run *r, const uint8_t order[64], int16_t dc[3],
    struct pl_jw_counts counts[2]);
/* A 0 behind each FF: dst has room for 2 n + 8 bytes. Returns the end. */
uint8_t *pl_jw_stuff(uint8_t *dst, const uint8_t *src, size_t n);

/* ---- once per vector unit ---- */

struct pl_jw_kernels {
	/* n <= PL_JW_LUMA blocks side by side, whose samples row[y] points to. Writes up to the next
	 * multiple of 4 blocks; out is aligned to 64 bytes. */
	void (*blocks)(const uint8_t *const row[8], size_t n, const struct pl_jw_divisors *q,
	    int16_t (*out)[64], uint64_t *set);
	/* codes: luma, chroma. b->at has room for PL_JW_RAW. */
	void (*code)(struct pl_jw_bits *b, const struct pl_jw_run *r, int16_t dc[3],
	    const struct pl_jw_codes codes[2]);
	const uint8_t *order; /* zigzag index k lies at order[k] of a block; order[0] is 0 */
};

extern const struct pl_jw_kernels pl_jw_scalar;
#if defined(__x86_64__)
extern const struct pl_jw_kernels pl_jw_avx2, pl_jw_avx512;
bool pl_jw_has_avx2(void);
bool pl_jw_has_avx512(void);
#endif

#endif
