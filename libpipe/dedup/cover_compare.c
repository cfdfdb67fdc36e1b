/* SPDX-License-Identifier: Apache-2.0 */
/* Which entries of a bucket are near in the bits that they hold: nearly none, so
 * the fast part only tells that an entry has a near one somewhere (its flag), 64
 * columns in registers while rows go by; who it is is looked up for flags alone. */
#include "cover_group.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_X86 1
#include <immintrin.h>
#else
#define HAVE_X86 0
#endif

enum {
	BLOCK = PL_GROUP_BLOCK,
	ROW = 16,                    /* entries that one is compared with at once */
	SPAN = 16 * BLOCK,           /* entries whose flags are gathered before they are looked up */
	POLL_ROWS = 4 * SPAN,        /* 2^24 comparisons, in a bucket of as many */
	MUCH = ROW / 4               /* flags of a sample of a row, from which on a large bucket is dense */
};

static inline uint32_t bits_of(const uint64_t *entry)
{
	return (uint32_t)(*entry >> 32);
}

static inline unsigned lowest(uint64_t bits)
{
#if defined(__GNUC__) || defined(__clang__)
	return (unsigned)__builtin_ctzll(bits);
#else
	unsigned k = 0;

	while ((bits >> k & 1u) == 0)
		k++;
	return k;
#endif
}

static inline uint64_t first_bits(uint32_t n)
{
	return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

/* x came before y. A candidate, unless they disagree under the mask, are both fixed, or are found under a lower mask. */
static inline void add(struct pl_grouping *g, uint64_t x, uint64_t y)
{
	uint32_t differ = (uint32_t)((x ^ y) >> 32);
	bool not = (differ & g->same) != 0 || (differ & g->turn) != g->turn || (uint32_t)y < g->fixed;

	for (uint32_t i = 0; i < g->nlower; i++)
		not |= (differ & g->lower[i]) == 0;
	g->out[g->n] = (struct pl_join_candidate){(uint32_t)x, (uint32_t)y};
	g->n += !not;
}

/* The same whichever came before. */
static inline void add_any(struct pl_grouping *g, uint64_t x, uint64_t y)
{
	add(g, (uint32_t)x < (uint32_t)y ? x : y, (uint32_t)x < (uint32_t)y ? y : x);
}

/* Where bucket k begins. */
static inline uint32_t bucket(const struct pl_buckets *b, uint32_t k)
{
	return b->stride ? k * b->stride : k > 0 ? b->end[k - 1] : 0;
}

static inline void make_room(struct pl_grouping *g)
{
	if (g->n + BLOCK > g->room)
		g->full(g);
}

/* Every so many entries of a large bucket, or of two: are many of them near each other? */
static void take_sample(uint64_t *sample, const uint64_t *x, uint32_t nx, const uint64_t *y, uint32_t ny)
{
	for (uint32_t i = 0; i < ROW; i++) {
		uint64_t at = (uint64_t)i * ((uint64_t)nx + ny) / ROW;
		sample[i] = at < nx ? x[at] : y[at - nx];
	}
}

/* The kernels differ in
 * NEAR(e, n, rank): flags among n <= 64 entries; of each pair that differs in fewer than `rank` bits one at least is flagged;
 * CROSS(rows, n, e, m, rank): flags of the m <= 64 entries e, each that is near one of n rows;
 * HITS(e, w, rank): which of 16 entries are near w;
 * LIST(flags, first, to): first + k for every flag k goes to `to`, room for 64; returns how many.
 * What lies behind a bucket is looked at, too, and taken for nothing. */
/* NOLINTBEGIN(bugprone-macro-parentheses): target is an attribute */
#define COMPARE(name, target, NEAR, CROSS, HITS, LIST) \
	/* The pairs of flagged entries among n: a pair of two flagged ones is that of the lower. */ \
	target static void name##_block(struct pl_grouping *g, const uint64_t *e, uint32_t n, uint64_t flags) \
	{ \
		for (uint64_t f = flags; f != 0; f &= f - 1) { \
			unsigned i = lowest(f); \
			uint64_t hits = 0, before = ((uint64_t)1 << i) - 1; \
			for (uint32_t k = 0; k < n; k += ROW) \
				hits |= (uint64_t)HITS(e + k, bits_of(e + i), g->rank) << k; \
			hits &= first_bits(n) & ~((uint64_t)1 << i) & ~(flags & before); \
			make_room(g); \
			for (; hits != 0; hits &= hits - 1) { \
				unsigned k = lowest(hits); \
				add(g, e[k < i ? k : i], e[k < i ? i : k]); \
			} \
		} \
	} \
	/* The pairs of y with those of 64 entries that are allowed. */ \
	target static inline void name##_chunk(struct pl_grouping *g, const uint64_t *e, uint64_t allowed, uint64_t y) \
	{ \
		uint64_t hits = 0; \
		_Pragma("GCC unroll 4") \
		for (uint32_t k = 0; k < BLOCK; k += ROW) \
			hits |= (uint64_t)HITS(e + k, bits_of(&y), g->rank) << k; \
		make_room(g); \
		for (hits &= allowed; hits != 0; hits &= hits - 1) \
			add_any(g, e[lowest(hits)], y); \
	} \
	/* The pairs of y with n rows. */ \
	target static void name##_rows(struct pl_grouping *g, const uint64_t *rows, uint32_t n, uint64_t y) \
	{ \
		for (uint32_t k = 0; k < n; k += BLOCK) \
			name##_chunk(g, rows + k, first_bits(n - k), y); \
	} \
	/* Entries from .. end - 1 of a large bucket with each other and with those before. Who is flagged is listed first and looked up then: \
	 * branches that nothing foretells would cost more than both. */ \
	target static void name##_span(struct pl_grouping *g, const uint64_t *e, uint32_t from, uint32_t end) \
	{ \
		uint64_t flags[SPAN / BLOCK] = {0}; \
		uint32_t near[SPAN + BLOCK], far[SPAN + BLOCK], nnear = 0, nfar = 0; \
		for (uint32_t at = from; at < end; at += BLOCK) { \
			uint32_t size = end - at < BLOCK ? end - at : BLOCK; \
			uint64_t *f = &flags[(at - from) / BLOCK], before; \
			if ((uint32_t)e[at + size - 1] < g->fixed) \
				continue; \
			*f = NEAR(e + at, size, g->rank) & first_bits(size); \
			nnear += LIST(*f, at, near + nnear); \
			before = CROSS(e, at, e + at, size, g->rank) & first_bits(size); \
			if (before)   /* seldom */ \
				nfar += LIST(before, at, far + nfar); \
		} \
		for (uint32_t i = 0; i < nnear && g->st == PL_OK; i++) { \
			uint32_t k = near[i] % BLOCK, at = near[i] - k; \
			uint64_t bit = (uint64_t)1 << k, other = first_bits(end - at) & ~bit; \
			name##_chunk(g, e + at, other & ~(flags[(at - from) / BLOCK] & (bit - 1)), e[near[i]]); \
		} \
		for (uint32_t i = 0; i < nfar && g->st == PL_OK; i++) \
			name##_rows(g, e, far[i] - far[i] % BLOCK, e[far[i]]); \
	} \
	target static void name##_large(struct pl_grouping *g, const uint64_t *e, uint32_t n) \
	{ \
		uint64_t sample[2 * ROW] = {0};   /* a row is looked at behind each */ \
		take_sample(sample, e, n, e, 0); \
		if (count(NEAR(sample, ROW, g->rank)) >= MUCH) { \
			g->dense(g, e, n, e, 0); \
			return; \
		} \
		for (uint32_t from = 0; from < n && g->st == PL_OK; from += SPAN) { \
			name##_span(g, e, from, n - from < SPAN ? n : from + SPAN); \
			if (from % POLL_ROWS == POLL_ROWS - SPAN) \
				g->full(g); \
		} \
	} \
	/* Two buckets with each other. */ \
	target static void name##_pair(struct pl_grouping *g, const uint64_t *x, uint32_t nx, const uint64_t *y, uint32_t ny) \
	{ \
		if (nx == 0 || ny == 0 || ((uint32_t)x[nx - 1] < g->fixed && (uint32_t)y[ny - 1] < g->fixed)) \
			return; \
		if (nx + ny > BLOCK) { \
			uint64_t sample[2 * ROW] = {0};   /* a row is looked at behind each */ \
			take_sample(sample, x, nx, y, ny); \
			if (count(NEAR(sample, ROW, g->rank)) >= MUCH) { \
				g->dense(g, x, nx, y, ny); \
				return; \
			} \
		} \
		for (uint32_t from = 0; from < ny && g->st == PL_OK; from += BLOCK) { \
			uint32_t size = ny - from < BLOCK ? ny - from : BLOCK; \
			uint64_t flags = CROSS(x, nx, y + from, size, g->rank) & first_bits(size); \
			for (; flags != 0; flags &= flags - 1) \
				name##_rows(g, x, nx, y[from + lowest(flags)]); \
			if (from % POLL_ROWS == POLL_ROWS - BLOCK) \
				g->full(g); \
		} \
	} \
	target static void name##_bucket(struct pl_grouping *g, const uint64_t *e, uint32_t n) \
	{ \
		uint64_t flags; \
		if (n < 2 || (uint32_t)e[n - 1] < g->fixed) \
			return; \
		if (n > BLOCK) { \
			name##_large(g, e, n); \
			return; \
		} \
		flags = NEAR(e, n, g->rank) & first_bits(n); \
		if (flags) \
			name##_block(g, e, n, flags); \
	} \
	target static void name(struct pl_grouping *g) \
	{ \
		const struct pl_buckets *b = g->b; \
		uint32_t half = b->n / 2; \
		for (uint32_t k = 0; k < (b->paired ? half : b->n) && g->st == PL_OK; k++) { \
			uint32_t from = bucket(b, k), other = b->paired ? bucket(b, k + half) : 0; \
			if (b->paired) \
				name##_pair(g, b->entry + from, b->end[k] - from, b->entry + other, b->end[k + half] - other); \
			else \
				name##_bucket(g, b->entry + from, b->end[k] - from); \
		} \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

static inline unsigned count(uint64_t bits)
{
	unsigned n = 0;

	for (; bits; bits &= bits - 1)
		n++;
	return n;
}

/* ---- plain C ---- */

/* Clearing the lowest bit set rank - 1 times leaves nothing. */
static inline uint32_t hits_portable(const uint64_t *e, uint32_t w, unsigned rank)
{
	uint32_t differ[ROW], hits = 0;

	for (unsigned k = 0; k < ROW; k++)
		differ[k] = bits_of(e + k) ^ w;
	for (unsigned i = 1; i < rank; i++) {
		for (unsigned k = 0; k < ROW; k++)
			differ[k] &= differ[k] - 1;
	}
	for (unsigned k = 0; k < ROW; k++)
		hits |= (uint32_t)(differ[k] == 0) << k;
	return hits;
}

/* By HITS alone. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define SIMPLE(name, target, HITS) \
	target static uint64_t name##_near(const uint64_t *e, uint32_t n, unsigned rank) \
	{ \
		uint64_t flags = 0; \
		for (uint32_t i = 0; i + 1 < n; i++) { \
			uint32_t any = 0; \
			for (uint32_t k = i + 1; k < n; k += ROW) \
				any |= HITS(e + k, bits_of(e + i), rank) & (uint32_t)first_bits(n - k); \
			flags |= (uint64_t)(any != 0) << i; \
		} \
		return flags; \
	} \
	target static uint64_t name##_cross(const uint64_t *rows, uint32_t n, const uint64_t *e, uint32_t m, unsigned rank) \
	{ \
		uint64_t flags = 0; \
		for (uint32_t i = 0; i < n; i++) { \
			for (uint32_t k = 0; k < m; k += ROW) \
				flags |= (uint64_t)HITS(e + k, bits_of(rows + i), rank) << k; \
		} \
		return flags; \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

static inline uint32_t list_portable(uint64_t flags, uint32_t first, uint32_t *to)
{
	uint32_t n = 0;

	for (; flags != 0; flags &= flags - 1)
		to[n++] = first + lowest(flags);
	return n;
}

SIMPLE(portable, , hits_portable)
COMPARE(compare_portable, , portable_near, portable_cross, hits_portable, list_portable)

#if HAVE_X86
/* ---- AVX2 ---- */

#define AVX2 __attribute__((target("avx2")))

/* The upper halves of eight entries, in the order 0 1 4 5 2 3 6 7 of a pair of loads put right. */
AVX2 static inline __m256i eight(const uint64_t *e)
{
	__m256 a = _mm256_loadu_ps((const float *)(const void *)e), b = _mm256_loadu_ps((const float *)(const void *)(e + 4));

	return _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xDD)), 0xD8);
}

AVX2 static inline uint32_t hits8(__m256i x, __m256i w, unsigned rank)
{
	const __m256i none = _mm256_setzero_si256(), less = _mm256_set1_epi32(-1);
	__m256i differ = _mm256_xor_si256(x, w);

	for (unsigned i = 1; i < rank; i++)
		differ = _mm256_and_si256(differ, _mm256_add_epi32(differ, less));
	return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(differ, none)));
}

AVX2 static inline uint32_t hits_avx2(const uint64_t *e, uint32_t w, unsigned rank)
{
	const __m256i all = _mm256_set1_epi32((int)w);

	return hits8(eight(e), all, rank) | hits8(eight(e + 8), all, rank) << 8;
}

SIMPLE(avx2, AVX2, hits_avx2)
COMPARE(compare_avx2, AVX2, avx2_near, avx2_cross, hits_avx2, list_portable)

/* ---- AVX-512 ---- */

#define AVX512 __attribute__((target("avx512f,avx512vpopcntdq,popcnt")))
#define AVX512_INLINE AVX512 __attribute__((always_inline))

/* The upper halves of 16 entries. */
AVX512_INLINE static inline __m512i sixteen(const uint64_t *e)
{
	const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);

	return _mm512_permutex2var_epi32(_mm512_loadu_si512((const void *)e), odd, _mm512_loadu_si512((const void *)(e + 8)));
}

AVX512_INLINE static inline __m512i less(__m512i so_far, __m512i x, __m512i y)
{
	return _mm512_min_epu32(so_far, _mm512_popcnt_epi32(_mm512_xor_si512(x, y)));
}

AVX512_INLINE static inline uint32_t hits_avx512(const uint64_t *e, uint32_t w, unsigned rank)
{
	__m512i differ = _mm512_xor_si512(sixteen(e), _mm512_set1_epi32((int)w));

	return _mm512_cmplt_epu32_mask(_mm512_popcnt_epi32(differ), _mm512_set1_epi32((int)rank));
}

/* The least that each place differs from another of its vector: who is half the vector away is met from both sides. */
AVX512_INLINE static inline __m512i least_within(__m512i c)
{
	__m512i a = _mm512_set1_epi32(32), b = a;

#define TURN(x, r) less(x, c, _mm512_alignr_epi32(c, c, r))
	a = TURN(a, 1);
	b = TURN(b, 2);
	a = TURN(a, 3);
	b = TURN(b, 4);
	a = TURN(a, 5);
	b = TURN(b, 6);
	a = TURN(a, 7);
	b = TURN(b, 8);
#undef TURN
	return _mm512_min_epu32(a, b);
}

AVX512_INLINE static inline uint64_t below(const __m512i *least, unsigned vectors, unsigned rank)
{
	uint64_t flags = 0;

#pragma GCC unroll 4
	for (unsigned v = 0; v < vectors; v++)
		flags |= (uint64_t)_mm512_cmplt_epu32_mask(least[v], _mm512_set1_epi32((int)rank)) << ROW * v;
	return flags;
}

/* Flags among so many vectors. The rows of each go by those before it. */
AVX512_INLINE static inline uint64_t near_vectors(const uint64_t *e, uint32_t n, unsigned rank, unsigned vectors)
{
	__m512i c[BLOCK / ROW], least[BLOCK / ROW];

#pragma GCC unroll 4
	for (unsigned v = 0; v < vectors; v++) {
		c[v] = sixteen(e + (size_t)v * ROW);
		least[v] = least_within(c[v]);
	}
#pragma GCC unroll 4
	for (unsigned v = 1; v < vectors; v++) {
		uint32_t end = v + 1 < vectors ? (v + 1) * ROW : n;
		for (uint32_t i = v * ROW; i < end; i++) {
			__m512i w = _mm512_set1_epi32((int)bits_of(e + i));
#pragma GCC unroll 4
			for (unsigned u = 0; u < v; u++)
				least[u] = less(least[u], c[u], w);
		}
	}
	return below(least, vectors, rank);
}

AVX512 static inline uint64_t avx512_near(const uint64_t *e, uint32_t n, unsigned rank)
{
	switch ((n - 1) / ROW) {
	case 0: return near_vectors(e, n, rank, 1);
	case 1: return near_vectors(e, n, rank, 2);
	case 2: return near_vectors(e, n, rank, 3);
	default: return near_vectors(e, n, rank, 4);
	}
}

/* Flags of so many vectors. Up to three rows behind the last go by, too. */
AVX512_INLINE static inline uint64_t cross_vectors(const uint64_t *rows, uint32_t n, const uint64_t *e, unsigned rank, unsigned vectors)
{
	__m512i c[BLOCK / ROW], least[BLOCK / ROW];

#pragma GCC unroll 4
	for (unsigned v = 0; v < vectors; v++) {
		c[v] = sixteen(e + (size_t)v * ROW);
		least[v] = _mm512_set1_epi32(32);
	}
	for (uint32_t i = 0; i < n; i += 4) {
		__m512i w = _mm512_set1_epi32((int)bits_of(rows + i)), x = _mm512_set1_epi32((int)bits_of(rows + i + 1));
		__m512i y = _mm512_set1_epi32((int)bits_of(rows + i + 2)), z = _mm512_set1_epi32((int)bits_of(rows + i + 3));
#pragma GCC unroll 4
		for (unsigned v = 0; v < vectors; v++)
			least[v] = less(less(less(less(least[v], c[v], w), c[v], x), c[v], y), c[v], z);
	}
	return below(least, vectors, rank);
}

AVX512 static inline uint64_t avx512_cross(const uint64_t *rows, uint32_t n, const uint64_t *e, uint32_t m, unsigned rank)
{
	switch ((m - 1) / ROW) {
	case 0: return cross_vectors(rows, n, e, rank, 1);
	case 1: return cross_vectors(rows, n, e, rank, 2);
	case 2: return cross_vectors(rows, n, e, rank, 3);
	default: return cross_vectors(rows, n, e, rank, 4);
	}
}

/* Without a branch. */
AVX512 static inline uint32_t list_avx512(uint64_t flags, uint32_t first, uint32_t *to)
{
	__m512i at = _mm512_add_epi32(_mm512_set1_epi32((int)first), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
	uint32_t n = 0;

#pragma GCC unroll 4
	for (unsigned v = 0; v < BLOCK / ROW; v++) {
		__mmask16 here = (__mmask16)(flags >> ROW * v);
		_mm512_storeu_si512((void *)(to + n), _mm512_maskz_compress_epi32(here, at));
		n += (uint32_t)__builtin_popcount(here);
		at = _mm512_add_epi32(at, _mm512_set1_epi32(ROW));
	}
	return n;
}

COMPARE(compare_avx512, AVX512, avx512_near, avx512_cross, hits_avx512, list_avx512)
#endif

struct pl_group_kernel pl_group_kernel(enum pl_join_kernel kernel)
{
	const struct pl_group_kernel plain = {compare_portable, false};
#if HAVE_X86
	const struct pl_group_kernel two = {compare_avx2, true}, five = {compare_avx512, true};

	__builtin_cpu_init();
	if (kernel == PL_JOIN_AVX512 && pl_join_scan(kernel) && __builtin_cpu_supports("bmi2"))
		return five;
	if (kernel == PL_JOIN_POPCNT && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
		return two;
#endif
	(void)kernel;
	return plain;
}
