/* SPDX-License-Identifier: Apache-2.0 */
/* What baseline and progressive scans share: the reading of bits, codes and
 * values without a check, from data without stuffing that has SLACK zeros
 * behind it; and blocks of a DC alone. */
#ifndef PL_IMG_JPEG_ENTROPY_H
#define PL_IMG_JPEG_ENTROPY_H

#include <string.h>

#include "jpeg_baseline.h"

#define INLINE static inline __attribute__((always_inline))

enum {
	/* An MCU has at most 10 blocks of 64 codes and values of 31 bits; then a load. */
	SLACK = 10 * 64 * 4 + 16,
	SMALL = 6 * 1024, /* bytes of data for which the largest tables do not pay */
	SMALL_BITS = 9
};

/* `count` bits of data at the top of `word`; p is where the rest goes on. */
struct bits {
	uint64_t word;
	unsigned count;
	const uint8_t *p;
};

/* At least 56 bits. */
INLINE void refill(struct bits *b)
{
	uint64_t next;
	memcpy(&next, b->p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	next = __builtin_bswap64(next);
#endif
	b->word |= next >> b->count;
	b->p += (63 - b->count) >> 3;
	b->count |= 56;
}

INLINE void drop(struct bits *b, unsigned n)
{
	b->word <<= n;
	b->count -= n;
}

/* The next code's length << 8 | symbol, not yet dropped; 0: no code. */
INLINE unsigned next_symbol(const struct pl_jb_table *t, uint64_t word)
{
	const unsigned found = t->symbol[word >> (64 - PL_JB_SYMBOL_BITS)];
	if (found)
		return found;
	const uint32_t top = (uint32_t)(word >> 48);
	for (unsigned l = PL_JB_SYMBOL_BITS + 1; l <= 16; l++)
		if (top < t->limit[l])
			return l << 8 |
			    t->symbols[t->place[l] + (top >> (16 - l)) - t->first[l]];
	return 0;
}

/* The next `size` bits as a value. */
INLINE int take_value(struct bits *b, unsigned size)
{
	const unsigned v = (unsigned)((b->word >> 1) >> (63 - size)), half = (1u << size) >> 1;
	drop(b, size);
	return v < half ? (int)v - (int)((1u << size) - 1) : (int)v;
}

/* The difference to the DC before; 15 bits. */
INLINE bool read_dc(struct bits *b, const struct pl_jb_table *t, int32_t *difference)
{
	refill(b);
	const unsigned s = next_symbol(t, b->word);
	drop(b, s >> 8);
	*difference = take_value(b, s & 0xFF);
	return s != 0;
}

INLINE uint8_t flat_sample(int dc)
{
	const int v = ((dc + 4) >> 3) + 128;
	return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

INLINE void fill_block(uint8_t *dst, size_t stride, unsigned size, uint8_t sample)
{
	const uint64_t eight = 0x0101010101010101u * sample;
	for (unsigned y = 0; y < size; y++, dst += stride)
		if (size == 8)
			memcpy(dst, &eight, 8);
		else if (size == 4)
			memcpy(dst, &eight, 4);
		else if (size == 2)
			memcpy(dst, &eight, 2);
		else
			*dst = sample;
}

#endif
