/* SPDX-License-Identifier: Apache-2.0 */
/* From the code lengths of a JPEG file to tables that give two coefficients at
 * once; and entropy-coded data without its stuffing. */
#include "jpeg_baseline.h"

#include <string.h>

/* Where values lie in an entry. As factors: clang 14's analyser takes 0 << 48 for undefined. */
#define FIRST_VALUE ((uint64_t)1 << 32)
#define SECOND_VALUE ((uint64_t)1 << 48)

/* One code; size: of the value behind it. */
struct code {
	uint32_t code;
	uint8_t length, run, size;
};

/* Canonical codes; false when they do not fit, or one is all ones, which libjpeg refuses, too. */
static bool assign(struct pl_jb_table *t, const struct pl_jb_spec *spec, struct code *codes)
{
	uint32_t code = 0, n = 0;
	for (uint32_t l = 1; l <= 16; l++, code <<= 1) {
		t->place[l] = (uint16_t)n;
		t->first[l] = code;
		for (uint32_t i = 0; i < spec->counts[l - 1]; i++, n++, code++)
			codes[n] = (struct code){ code, (uint8_t)l, spec->symbols[n] >> 4,
				spec->symbols[n] & 15 };
		if (spec->counts[l - 1] && code >= 1u << l)
			return false;
		t->limit[l] = code << (16 - l);
	}
	return true;
}

/* The value of the size-bit number m, as 16 bits of an entry. */
static uint64_t value_of(unsigned m, unsigned size)
{
	return (uint16_t)(m < 1u << (size - 1) ? m - (1u << size) + 1 : m);
}

static void fill(uint64_t *to, size_t n, uint64_t entry)
{
	for (size_t i = 0; i < n; i++)
		to[i] = entry;
}

/* Adds what follows the first symbol: rest[j] for the n values j of the bits behind it. */
static void fill_pairs(uint64_t *to, size_t n, uint64_t entry, const uint64_t *rest)
{
	for (size_t i = 0; i < n; i++)
		to[i] = entry + rest[i];
}

/* One symbol as the second of a pair: bits, advance, place behind the first, value. */
static uint64_t second(unsigned bits, unsigned advance, unsigned place, uint64_t value)
{
	return bits | (value ? PL_JB_SECOND : 0u) | (uint64_t)advance << 8 |
	    (uint64_t)place << 16 | value * SECOND_VALUE;
}

/* one[i]: the symbol that the `bits` bits i begin with, with its value; 0: none that fits. */
static void fill_single(
    uint64_t *one, unsigned bits, const struct code *codes, unsigned n)
{
	memset(one, 0, sizeof(*one) << bits);
	for (unsigned i = 0; i < n; i++) {
		const struct code *c = codes + i;
		const unsigned used = c->length + c->size;
		if (used > bits)
			continue;
		uint64_t *to = one + ((size_t)c->code << (bits - c->length));
		const size_t each = (size_t)1 << (bits - used);
		if (c->size == 0 && c->run == 0)
			fill(to, each, second(used, PL_JB_END, 0, 0));
		else if (c->size == 0 && c->run == 15)
			fill(to, each, second(used, 16, 16, 0));
		for (unsigned m = 0; c->size && m < 1u << c->size; m++)
			fill(to + m * each, each,
			    second(used, c->run + 1u, c->run + 1u, value_of(m, c->size)));
	}
}

/* A tree of tables: those for b bits begin at 1 << b. */
static void fill_rest(uint64_t *rest, unsigned bits, const uint64_t *one)
{
	rest[0] = 0;
	for (unsigned b = 0; b < bits; b++)
		for (size_t j = 0; j < (size_t)1 << b; j++) {
			const uint64_t e = one[j << (bits - b)];
			rest[((size_t)1 << b) + j] = (e & PL_JB_BITS) <= b ? e : 0;
		}
}

static void fill_pair_table(
    struct pl_jb_table *t, unsigned bits, const struct code *codes, unsigned n)
{
	uint64_t one[1 << PL_JB_PAIR_BITS], rest[1 << PL_JB_PAIR_BITS];
	fill_single(one, bits, codes, n);
	fill_rest(rest, bits, one);
	fill(t->pair, (size_t)1 << bits, (uint64_t)PL_JB_LONG << 8);
	for (unsigned i = 0; i < n; i++) {
		const struct code *c = codes + i;
		const unsigned used = c->length + c->size, run = c->run;
		const bool end = c->size == 0 && run == 0;
		/* A size of 0 with another run means nothing here: left to the slow way to refuse. */
		if (used > bits || (c->size == 0 && run != 0 && run != 15))
			continue;
		const size_t each = (size_t)1 << (bits - used);
		uint64_t *to = t->pair + ((size_t)c->code << (bits - c->length));
		const uint64_t head = used | (uint64_t)(run + 1) << 8 |
		    (uint64_t)run << 16 | (uint64_t)run << 24;
		if (end)
			fill(to, each, used | (uint64_t)PL_JB_END << 8);
		else if (c->size == 0)
			fill_pairs(to, each, head, rest + each);
		for (unsigned m = 0; c->size && m < 1u << c->size; m++)
			fill_pairs(to + m * each, each,
			    head | PL_JB_FIRST |
				value_of(m, c->size) * FIRST_VALUE,
			    rest + each);
	}
}

bool pl_jb_table_init(
    struct pl_jb_table *t, const struct pl_jb_spec *spec, unsigned bits, unsigned highest)
{
	struct code codes[256];
	t->bits = bits;
	if (!assign(t, spec, codes))
		return false;
	memcpy(t->symbols, spec->symbols, spec->n);
	memset(t->symbol, 0, sizeof(t->symbol));
	for (unsigned i = 0; i < spec->n; i++) {
		const struct code *c = codes + i;
		if (spec->symbols[i] > highest)
			return false;
		if (c->length > PL_JB_SYMBOL_BITS)
			continue;
		const unsigned each = 1u << (PL_JB_SYMBOL_BITS - c->length);
		for (unsigned j = 0; j < each; j++)
			t->symbol[c->code * each + j] =
			    (uint16_t)(c->length << 8 | spec->symbols[i]);
	}
	if (bits > 0)
		fill_pair_table(t, bits, codes, spec->n);
	return true;
}

uint8_t pl_jb_unstuff(const uint8_t **at, const uint8_t *end, uint8_t *to, size_t *n)
{
	const uint8_t *p = *at;
	uint8_t *out = to;
	for (;;) {
		const uint8_t *ff = memchr(p, 0xFF, (size_t)(end - p));
		if (!ff || end - ff < 2)
			return 0;
		const size_t run = (size_t)(ff - p) + 1;
		memcpy(out, p, run);
		out += run;
		p = ff + 2;
		if (ff[1] != 0) {
			*at = p;
			*n = (size_t)(out - to) - 1;
			return ff[1];
		}
	}
}
