/* SPDX-License-Identifier: Apache-2.0 */
/* Under which mask a pair is one: it meets under each on which it agrees, and
 * is taken under the lowest of the first block in which it is near. Copies agree
 * nearly everywhere, so this is asked four times for every pair that is found. */
#include "cover_join.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_X86 1
#include <immintrin.h>
#define INLINE __attribute__((always_inline))
#else
#define HAVE_X86 0
#define INLINE
#endif

bool pl_cover_lowest(const struct pl_cover *c, uint32_t block, uint32_t mask, const uint64_t x[4], const uint64_t y[4])
{
	const uint64_t d[4] = {x[0] ^ y[0], x[1] ^ y[1], x[2] ^ y[2], x[3] ^ y[3]};
	uint64_t differ;

	if (c->whole)
		return pl_cover_word(c, 0, x) == pl_cover_word(c, 0, y);
	for (uint32_t i = 0; i <= block; i++) {
		if ((pl_cover_weight(pl_cover_bits(c, i, d)) < c->block[i].rank) != (i == block))
			return false;
	}
	differ = pl_cover_bits(c, block, d);   /* what marks say follows from the lower masks */
	for (uint32_t m = c->block[block].first; m < mask; m++) {
		if ((differ & c->mask[m]) == 0)
			return false;
	}
	return (differ & c->mask[mask]) == 0;
}

/* Nothing here branches by what the hashes are: pairs come in no order that could be foreseen. */
INLINE static inline uint32_t keep(const struct pl_cover *c, uint32_t block, uint32_t mask, const uint64_t (*hashes)[4], struct pl_pair *pairs,
    uint32_t n)
{
	struct pl_cover_place places[PL_COVER_BLOCKS], here;
	const uint64_t *lower = c->mask + c->block[block].first;
	uint32_t nlower = mask - c->block[block].first, kept = 0;

	if (c->whole)
		return n;   /* the mask holds all bits */
	for (uint32_t k = 0; k < block; k++)
		places[k] = pl_cover_place(&c->block[k]);
	here = pl_cover_place(&c->block[block]);
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t *x = hashes[pairs[i].a], *y = hashes[pairs[i].b];
		const uint64_t d[4] = {x[0] ^ y[0], x[1] ^ y[1], x[2] ^ y[2], x[3] ^ y[3]};
		uint64_t differ = pl_cover_bits_at(&here, d);
		bool other = pl_cover_weight(differ) >= c->block[block].rank || (differ & c->mask[mask]) != 0;
		for (uint32_t k = 0; k < block; k++)
			other |= pl_cover_weight(pl_cover_bits_at(&places[k], d)) < c->block[k].rank;
		for (uint32_t k = 0; k < nlower; k++)
			other |= (differ & lower[k]) == 0;
		pairs[kept] = pairs[i];
		kept += !other;
	}
	return kept;
}

static uint32_t keep_portable(const struct pl_cover *c, uint32_t block, uint32_t mask, const uint64_t (*hashes)[4], struct pl_pair *pairs,
    uint32_t n)
{
	return keep(c, block, mask, hashes, pairs, n);
}

#if HAVE_X86
__attribute__((target("popcnt"))) static uint32_t keep_popcnt(const struct pl_cover *c, uint32_t block, uint32_t mask,
    const uint64_t (*hashes)[4], struct pl_pair *pairs, uint32_t n)
{
	return keep(c, block, mask, hashes, pairs, n);
}

#define AVX512 __attribute__((target("avx512f,avx512vpopcntdq")))

/* Up to eight places side by side. */
struct eight { __m512i at, next, by, back, low, rank; };

AVX512 static struct eight eight_places(const struct pl_cover_block *blocks, uint32_t n)
{
	uint64_t at[8] = {0}, next[8] = {0}, by[8] = {0}, back[8] = {0}, low[8] = {0}, rank[8] = {0};

	for (uint32_t k = 0; k < n && k < 8; k++) {
		struct pl_cover_place p = pl_cover_place(&blocks[k]);
		at[k] = p.at;
		next[k] = p.next;
		by[k] = p.by;
		back[k] = 64 - p.by;   /* 64 leaves nothing */
		low[k] = p.low;
		rank[k] = blocks[k].rank;
	}
	return (struct eight){_mm512_loadu_si512(at), _mm512_loadu_si512(next), _mm512_loadu_si512(by), _mm512_loadu_si512(back),
	    _mm512_loadu_si512(low), _mm512_loadu_si512(rank)};
}

/* Of keep: the same where the block is among the first eight. */
AVX512 static uint32_t keep_avx512(const struct pl_cover *c, uint32_t block, uint32_t mask, const uint64_t (*hashes)[4],
    struct pl_pair *pairs, uint32_t n)
{
	const uint64_t *lower = c->mask + c->block[block].first;
	uint32_t nlower = mask - c->block[block].first, kept = 0;
	struct eight e;

	if (c->whole || block >= 8)
		return keep_popcnt(c, block, mask, hashes, pairs, n);
	e = eight_places(c->block, block + 1);
	for (uint32_t i = 0; i < n; i++) {
		__m256i xy = _mm256_xor_si256(_mm256_loadu_si256((const void *)hashes[pairs[i].a]), _mm256_loadu_si256((const void *)hashes[pairs[i].b]));
		__m512i d = _mm512_castsi256_si512(xy);
		__m512i bits = _mm512_and_si512(e.low, _mm512_or_si512(_mm512_srlv_epi64(_mm512_permutexvar_epi64(e.at, d), e.by),
		    _mm512_sllv_epi64(_mm512_permutexvar_epi64(e.next, d), e.back)));
		unsigned near = _mm512_cmplt_epu64_mask(_mm512_popcnt_epi64(bits), e.rank);
		uint64_t all[8], differ;
		bool other;
		_mm512_storeu_si512(all, bits);
		differ = all[block];
		other = near != 1u << block || (differ & c->mask[mask]) != 0;
		for (uint32_t k = 0; k < nlower; k++)
			other |= (differ & lower[k]) == 0;
		pairs[kept] = pairs[i];
		kept += !other;
	}
	return kept;
}
#endif

pl_join_keep_fn *pl_join_keep(enum pl_join_kernel kernel)
{
#if HAVE_X86
	if (kernel == PL_JOIN_AVX512 && pl_join_scan(kernel))
		return keep_avx512;
	if (kernel != PL_JOIN_PORTABLE && pl_join_scan(kernel))
		return keep_popcnt;
#endif
	(void)kernel;
	return keep_portable;
}
