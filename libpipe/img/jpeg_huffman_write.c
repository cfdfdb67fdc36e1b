/* SPDX-License-Identifier: Apache-2.0 */
/* Huffman tables for writing JPEG: the standard ones and those made to measure
 * (ITU T.81, annexes C and K), counting, byte stuffing. */
#include "jpeg_write.h"

#include <string.h>

#include "jpeg_fdct.h"

/* Tables K.3 and K.5, K.4 and K.6. */
const struct pl_jw_table pl_jw_standard[2][2] = {
	{ { { 0, 0, 1, 5, 1, 1, 1, 1, 1, 1 }, { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 } },
	    { { 0, 0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125 },
		{ 0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51,
		    0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1,
		    0xC1, 0x15, 0x52, 0xD1, 0xF0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0A, 0x16,
		    0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x34, 0x35, 0x36,
		    0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53,
		    0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
		    0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x83, 0x84, 0x85,
		    0x86, 0x87, 0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
		    0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4,
		    0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8,
		    0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2,
		    0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5,
		    0xF6, 0xF7, 0xF8, 0xF9, 0xFA } } },
	{ { { 0, 0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 } },
	    { { 0, 0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119 },
		{ 0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07,
		    0x61, 0x71, 0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xA1, 0xB1, 0xC1,
		    0x09, 0x23, 0x33, 0x52, 0xF0, 0x15, 0x62, 0x72, 0xD1, 0x0A, 0x16, 0x24, 0x34,
		    0xE1, 0x25, 0xF1, 0x17, 0x18, 0x19, 0x1A, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x35,
		    0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A,
		    0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67,
		    0x68, 0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x82, 0x83,
		    0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97,
		    0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2,
		    0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6,
		    0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA,
		    0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF2, 0xF3, 0xF4, 0xF5,
		    0xF6, 0xF7, 0xF8, 0xF9, 0xFA } } }
};

/* ---- codes from tables ---- */

/* DC and AC differ in what index a symbol has. */
static void add_codes(const struct pl_jw_table *t, bool dc, struct pl_jw_codes *out)
{
	uint32_t code = 0;
	const uint8_t *symbol = t->symbols;
	for (uint32_t length = 1; length <= 16; length++, code <<= 1)
		for (uint32_t i = 0; i < t->bits[length]; i++, code++, symbol++) {
			const uint32_t n = *symbol & 15u, run = *symbol >> 4;
			const uint32_t at = dc ? PL_JW_DC + n : n << 4 | run;
			out->code[at] = (uint16_t)code;
			out->length[at] = (uint8_t)(length + n);
			out->both[at] = (code << n) << 5 | (length + n);
		}
}

void pl_jw_make_codes(
    const struct pl_jw_table *dc, const struct pl_jw_table *ac, struct pl_jw_codes *out)
{
	memset(out, 0, sizeof(*out));
	add_codes(dc, true, out);
	add_codes(ac, false, out);
}

/* ---- tables from counts ---- */

enum { ALL = 257, LONGEST = ALL }; /* symbol 256 keeps the code of all ones from being used */

/* The rarest symbol but `not`, of several the last; ALL when there is none. */
static uint32_t rarest(const size_t count[ALL], uint32_t not)
{
	uint32_t found = ALL;
	for (uint32_t i = 0; i < ALL; i++)
		if (count[i] > 0 && i != not && (found == ALL || count[i] <= count[found]))
			found = i;
	return found;
}

/* Figure K.1: two trees at a time become one; `next` chains the symbols of a tree. */
static void code_lengths(size_t count[ALL], uint32_t length[ALL])
{
	uint32_t next[ALL];
	memset(length, 0, ALL * sizeof(*length));
	for (uint32_t i = 0; i < ALL; i++)
		next[i] = ALL;
	for (;;) {
		uint32_t a = rarest(count, ALL), b = rarest(count, a);
		if (b == ALL)
			return;
		count[a] += count[b];
		count[b] = 0;
		for (;; a = next[a]) {
			length[a]++;
			if (next[a] == ALL)
				break;
		}
		next[a] = b;
		for (; b != ALL; b = next[b])
			length[b]++;
	}
}

/* Figure K.3: codes of more than 16 bits are taken back in pairs. One of a pair gets the prefix
 * that both had, the other goes below a shorter code, which is split in two. */
static void limit_lengths(uint32_t bits[LONGEST + 1])
{
	uint32_t i = LONGEST;
	for (; i > 16; i--)
		while (bits[i] > 0) {
			uint32_t j = i - 2;
			while (bits[j] == 0)
				j--;
			bits[i] -= 2;
			bits[i - 1]++;
			bits[j + 1] += 2;
			bits[j]--;
		}
	while (bits[i] == 0)
		i--;
	bits[i]--; /* symbol 256 */
}

static void make_table(size_t count[ALL], struct pl_jw_table *out)
{
	uint32_t length[ALL], bits[LONGEST + 1] = { 0 };
	uint8_t *symbol = out->symbols;
	memset(out, 0, sizeof(*out));
	count[ALL - 1] = 1;
	code_lengths(count, length);
	for (uint32_t i = 0; i < ALL; i++)
		bits[length[i]]++;
	bits[0] = 0;
	limit_lengths(bits);
	for (uint32_t i = 1; i <= 16; i++)
		out->bits[i] = (uint8_t)bits[i];
	for (uint32_t i = 1; i <= LONGEST; i++)
		for (uint32_t s = 0; s < ALL - 1; s++)
			if (length[s] == i)
				*symbol++ = (uint8_t)s;
}

void pl_jw_make_tables(
    const struct pl_jw_counts *counts, struct pl_jw_table *dc, struct pl_jw_table *ac)
{
	size_t count[ALL] = { 0 };
	for (uint32_t i = 0; i < PL_JW_SYMBOLS - PL_JW_DC; i++)
		count[i] = counts->n[PL_JW_DC + i];
	make_table(count, dc);
	memset(count, 0, sizeof(count));
	for (uint32_t i = 0; i < PL_JW_DC; i++)
		count[(i & 15) << 4 | i >> 4] = counts->n[i];
	make_table(count, ac);
}

/* ---- counting ---- */

static void count_block(const int16_t c[64], uint64_t set, const uint8_t order[64], int16_t *dc,
    struct pl_jw_counts *counts)
{
	uint32_t n, last = 0;
	(void)pl_jw_magnitude(c[0] - *dc, &n);
	*dc = c[0];
	counts->n[PL_JW_DC + n]++;
	for (set &= ~UINT64_C(1); set; set &= set - 1) {
		const uint32_t k = (uint32_t)__builtin_ctzll(set), run = k - last - 1;
		last = k;
		(void)pl_jw_magnitude(c[order[k]], &n);
		counts->n[15] += run >> 4;
		counts->n[n << 4 | (run & 15)]++;
	}
	counts->n[0] += last < 63;
}

void pl_jw_count(const struct pl_jw_run *r, const uint8_t order[64], int16_t dc[3],
    struct pl_jw_counts counts[2])
{
	for (size_t m = 0; m < r->mcus; m++) {
		for (size_t i = 0; i < 4; i++) {
			const size_t y = i / 2, x = 2 * m + i % 2;
			count_block(r->luma[y][x], r->luma_set[y][x], order, dc, counts);
		}
		for (size_t i = 0; i < 2; i++)
			count_block(r->chroma[i][m], r->chroma_set[i][m], order, dc + 1 + i,
			    counts + 1);
	}
}

/* ---- stuffing ---- */

uint8_t *pl_jw_stuff(uint8_t *dst, const uint8_t *src, size_t n)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	size_t i = 0;
	while (i + 8 <= n) {
		uint64_t v;
		memcpy(&v, src + i, sizeof(v));
		memcpy(dst, &v, sizeof(v));
		i += 8;
		if (!((~v - ones) & v & ones << 7)) { /* no byte of ~v is 0 */
			dst += 8;
			continue;
		}
		for (size_t k = i - 8; k < i; k++) {
			*dst++ = src[k];
			if (src[k] == 0xFF)
				*dst++ = 0;
		}
	}
	for (; i < n; i++) {
		*dst++ = src[i];
		if (src[i] == 0xFF)
			*dst++ = 0;
	}
	return dst;
}
