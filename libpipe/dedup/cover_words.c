/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a block, of all hashes: what masks are laid on. */
#include "cover.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_X86 1
#include <immintrin.h>
#else
#define HAVE_X86 0
#endif

enum {
	LINE = 8,             /* words of a line of the cache: two hashes */
	AHEAD = 256           /* hashes that are fetched ahead of a pass over them */
};

static uint64_t parity(uint64_t x)
{
	return pl_cover_weight(x) & 1u;
}

uint64_t pl_cover_marks(const struct pl_cover *c, uint32_t block, uint64_t bits)
{
	const struct pl_cover_block *b = &c->block[block];
	const uint64_t *share = c->mask + b->first;
	uint64_t last = parity(bits & share[0]), marks = last ? b->turn : 0;

	for (unsigned k = 1; k + 1 < b->rank; k++) {
		uint64_t odd = parity(bits & share[k]);
		marks |= (odd ^ last) << (b->width + k - 1);
		last = odd;
	}
	return marks;
}

static void words_portable(const struct pl_cover *c, uint32_t block, const uint64_t (*hashes)[4], size_t n, uint64_t *words)
{
	const struct pl_cover_block *b = &c->block[block];
	struct pl_cover_place p = pl_cover_place(b);

	if (c->whole) {
		for (size_t i = 0; i < n; i++)
			words[i] = pl_cover_word(c, block, hashes[i]);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		pl_fetch_once(hashes + i + AHEAD);
		words[i] = pl_cover_bits_at(&p, hashes[i]);
		if (b->turn)
			words[i] |= pl_cover_marks(c, block, words[i]);
	}
}

#if HAVE_X86
#define AVX512 __attribute__((target("avx512f,avx512vpopcntdq")))

AVX512 static inline __m512i odd8(__m512i words, uint64_t mask)
{
	return _mm512_and_si512(_mm512_popcnt_epi64(_mm512_and_si512(words, _mm512_set1_epi64((long long)mask))), _mm512_set1_epi64(1));
}

/* pl_cover_marks of eight words. */
AVX512 static inline __m512i marked8(const struct pl_cover_block *b, const uint64_t *share, __m512i words)
{
	__m512i last = odd8(words, share[0]), out = _mm512_or_si512(words, _mm512_sll_epi64(last, _mm_cvtsi32_si128(b->width + b->rank - 2)));

	for (unsigned k = 1; k + 1 < b->rank; k++) {
		__m512i odd = odd8(words, share[k]);
		out = _mm512_or_si512(out, _mm512_sll_epi64(_mm512_xor_si512(odd, last), _mm_cvtsi32_si128((int)(b->width + k - 1))));
		last = odd;
	}
	return out;
}

/* The words `at` of four hashes, then their words `next`. */
AVX512 static inline __m512i pick4(const uint64_t (*hashes)[4], __m512i which)
{
	return _mm512_permutex2var_epi64(_mm512_loadu_si512((const void *)hashes[0]), which, _mm512_loadu_si512((const void *)hashes[2]));
}

AVX512 static void words_avx512(const struct pl_cover *c, uint32_t block, const uint64_t (*hashes)[4], size_t n, uint64_t *words)
{
	const struct pl_cover_block *b = &c->block[block];
	struct pl_cover_place p = pl_cover_place(b);
	const __m512i at = _mm512_set1_epi64(p.at), next = _mm512_set1_epi64(p.next), low = _mm512_set1_epi64((long long)p.low);
	const __m512i which = _mm512_add_epi64(_mm512_mask_blend_epi64(0xF0, at, next), _mm512_setr_epi64(0, 4, 8, 12, 0, 4, 8, 12));
	const __m128i down = _mm_cvtsi32_si128((int)p.by), up = _mm_cvtsi32_si128(64 - (int)p.by);   /* 64 leaves nothing */
	size_t i = 0;

	for (; !c->whole && i + LINE <= n; i += LINE) {
		__m512i x, y, bits;
		for (unsigned k = 0; k < LINE; k += 2)
			pl_fetch_once(hashes + i + k + AHEAD);
		x = pick4(hashes + i, which);
		y = pick4(hashes + i + 4, which);
		bits = _mm512_or_si512(_mm512_srl_epi64(_mm512_shuffle_i64x2(x, y, 0x44), down), _mm512_sll_epi64(_mm512_shuffle_i64x2(x, y, 0xEE), up));
		bits = _mm512_and_si512(bits, low);
		_mm512_storeu_si512((void *)(words + i), b->turn ? marked8(b, c->mask + b->first, bits) : bits);
	}
	words_portable(c, block, hashes + i, n - i, words + i);
}
#endif

pl_cover_words_fn *pl_cover_words(enum pl_cover_kernel kernel)
{
#if HAVE_X86
	__builtin_cpu_init();
	if (kernel == PL_COVER_AVX512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vpopcntdq"))
		return words_avx512;
#endif
	(void)kernel;
	return words_portable;
}
