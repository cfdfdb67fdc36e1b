/* SPDX-License-Identifier: Apache-2.0 */
/* Hamming kernels: portable C, the popcnt instruction, and AVX-512 with
 * vector popcount. Two of the four words settle nearly every pair: at the
 * distances in use unrelated hashes differ in more bits than that already
 * within 128 bits. */
#include "join_kernel.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_X86 1
#include <immintrin.h>
#else
#define HAVE_X86 0
#endif

/* Bits set, without an instruction for it (Hacker's Delight, 5-1). */
static inline unsigned count_bits(uint64_t x)
{
	x -= (x >> 1) & 0x5555555555555555u;
	x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
	x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
	return (unsigned)((x * 0x0101010101010101u) >> 56);
}

static uint32_t scan_portable(const uint64_t h[4], const struct pl_join_block *b, uint32_t from,
    unsigned distance, struct pl_join_hit *hits)
{
	uint32_t found = 0;

	for (uint32_t i = from; i < b->n; i++) {
		unsigned d = count_bits(h[0] ^ b->word[0][i]) + count_bits(h[1] ^ b->word[1][i]);
		if (d > distance)
			continue;
		d += count_bits(h[2] ^ b->word[2][i]) + count_bits(h[3] ^ b->word[3][i]);
		if (d <= distance)
			hits[found++] = (struct pl_join_hit){(uint16_t)i, (uint16_t)d};
	}
	return found;
}

/* The verify loops differ in how two hashes are compared only. A macro, since gcc 12 takes a function that does
 * nothing but prefetch for one that does nothing. */
enum { AHEAD = 64 };
#if defined(__GNUC__) || defined(__clang__)
#define FETCH_AHEAD(hashes, c, i, n) \
	do { \
		uint32_t ahead_ = (i) + AHEAD < (n) ? (i) + AHEAD : (n) - 1; \
		__builtin_prefetch((hashes)[(c)[ahead_].a]); \
		__builtin_prefetch((hashes)[(c)[ahead_].b]); \
	} while (0)
#else
#define FETCH_AHEAD(hashes, c, i, n) ((void)0)
#endif

static uint32_t verify_portable(const uint64_t (*hashes)[4], const struct pl_join_candidate *c, uint32_t n,
    unsigned distance, struct pl_pair *pairs)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < n; i++) {
		const uint64_t *x = hashes[c[i].a], *y = hashes[c[i].b];
		unsigned d = count_bits(x[0] ^ y[0]) + count_bits(x[1] ^ y[1]) + count_bits(x[2] ^ y[2]) + count_bits(x[3] ^ y[3]);
		FETCH_AHEAD(hashes, c, i, n);
		pairs[found] = (struct pl_pair){c[i].a, c[i].b, d};
		found += d <= distance;
	}
	return found;
}

#if HAVE_X86
__attribute__((target("popcnt"))) static uint32_t verify_popcnt(const uint64_t (*hashes)[4],
    const struct pl_join_candidate *c, uint32_t n, unsigned distance, struct pl_pair *pairs)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < n; i++) {
		const uint64_t *x = hashes[c[i].a], *y = hashes[c[i].b];
		unsigned d = (unsigned)(__builtin_popcountll(x[0] ^ y[0]) + __builtin_popcountll(x[1] ^ y[1]) +
		    __builtin_popcountll(x[2] ^ y[2]) + __builtin_popcountll(x[3] ^ y[3]));
		FETCH_AHEAD(hashes, c, i, n);
		pairs[found] = (struct pl_pair){c[i].a, c[i].b, d};
		found += d <= distance;
	}
	return found;
}

__attribute__((target("popcnt"))) static uint32_t scan_popcnt(const uint64_t h[4],
    const struct pl_join_block *b, uint32_t from, unsigned distance, struct pl_join_hit *hits)
{
	uint32_t found = 0;

	for (uint32_t i = from; i < b->n; i++) {
		unsigned d = (unsigned)(__builtin_popcountll(h[0] ^ b->word[0][i]) +
		    __builtin_popcountll(h[1] ^ b->word[1][i]));
		if (d > distance)
			continue;
		d += (unsigned)(__builtin_popcountll(h[2] ^ b->word[2][i]) +
		    __builtin_popcountll(h[3] ^ b->word[3][i]));
		if (d <= distance)
			hits[found++] = (struct pl_join_hit){(uint16_t)i, (uint16_t)d};
	}
	return found;
}

/* Differing bits of word w in slots i..i+7. */
__attribute__((target("avx512f,avx512vpopcntdq"))) static inline __m512i differ8(__m512i h,
    const uint64_t *word)
{
	return _mm512_popcnt_epi64(_mm512_xor_si512(h, _mm512_loadu_si512((const void *)word)));
}

__attribute__((target("avx512f,avx512vpopcntdq"))) static uint32_t scan_avx512(const uint64_t h[4],
    const struct pl_join_block *b, uint32_t from, unsigned distance, struct pl_join_hit *hits)
{
	const __m512i limit = _mm512_set1_epi64((long long)distance);
	__m512i w[4];
	uint32_t found = 0;

	for (unsigned k = 0; k < 4; k++)
		w[k] = _mm512_set1_epi64((long long)h[k]);
	for (uint32_t i = from & ~7u; i < b->n; i += 8) {
		__m512i d = _mm512_add_epi64(differ8(w[0], &b->word[0][i]), differ8(w[1], &b->word[1][i]));
		uint64_t lanes[8];
		unsigned mask = _mm512_cmple_epu64_mask(d, limit);

		if (mask == 0)
			continue;
		d = _mm512_add_epi64(d, _mm512_add_epi64(differ8(w[2], &b->word[2][i]),
		    differ8(w[3], &b->word[3][i])));
		mask = _mm512_cmple_epu64_mask(d, limit);
		if (mask == 0)
			continue;
		_mm512_storeu_si512((void *)lanes, d);
		for (uint32_t k = 0; k < 8; k++) {
			if ((mask >> k & 1u) && i + k >= from && i + k < b->n)
				hits[found++] = (struct pl_join_hit){(uint16_t)(i + k), (uint16_t)lanes[k]};
		}
	}
	return found;
}
#endif

pl_join_scan_fn *pl_join_scan(enum pl_join_kernel kernel)
{
	if (kernel == PL_JOIN_PORTABLE)
		return scan_portable;
#if HAVE_X86
	__builtin_cpu_init();
	if (kernel == PL_JOIN_POPCNT && __builtin_cpu_supports("popcnt"))
		return scan_popcnt;
	if (kernel == PL_JOIN_AVX512 && __builtin_cpu_supports("avx512f") &&
	    __builtin_cpu_supports("avx512vpopcntdq"))
		return scan_avx512;
#endif
	return NULL;
}

/* One pair keeps a vector unit waiting for its memory, not for its arithmetic: popcnt serves AVX-512 too. */
pl_join_verify_fn *pl_join_verify(enum pl_join_kernel kernel)
{
	if (kernel == PL_JOIN_PORTABLE)
		return verify_portable;
#if HAVE_X86
	return pl_join_scan(kernel) ? verify_popcnt : NULL;
#else
	return NULL;
#endif
}

enum pl_join_kernel pl_join_best(void)
{
	if (pl_join_scan(PL_JOIN_AVX512))
		return PL_JOIN_AVX512;
	return pl_join_scan(PL_JOIN_POPCNT) ? PL_JOIN_POPCNT : PL_JOIN_PORTABLE;
}

const char *pl_join_kernel_name(enum pl_join_kernel kernel)
{
	switch (kernel) {
	case PL_JOIN_PORTABLE: return "portable";
	case PL_JOIN_POPCNT: return "popcnt";
	case PL_JOIN_AVX512: return "avx512";
	case PL_JOIN_KERNELS: break;
	}
	return "unknown";
}
