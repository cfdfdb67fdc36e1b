/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets of a part. An entry is compared with 16 others in a few instructions,
 * so buckets may hold strangers by the dozen, and masks may be light and few. */
#include "cover_group.h"

#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_X86 1
#include <immintrin.h>
#else
#define HAVE_X86 0
#endif

enum {
	LOAD = 8,      /* entries of a bucket, at most and if they are even */
	AT_ONCE = 4,   /* rows that are looked at with one branch */
	VECTORS = 3    /* places behind an entry, in rows of 16, that are looked at whatever its bucket, at most */
};

static unsigned bucket_bits(uint32_t n)
{
	unsigned bits = 1;

	while (bits < 31 && (uint64_t)LOAD << bits < n)
		bits++;
	return bits;
}

size_t pl_group_buckets(uint32_t n)
{
	return (size_t)1 << bucket_bits(n);
}

size_t pl_group_places(uint32_t n)
{
	return (size_t)n + PL_GROUP_LARGE + AT_ONCE;
}

/* So many vectors behind each entry that few buckets reach beyond. */
static void find_wide(struct pl_buckets *b, uint32_t buckets)
{
	uint32_t beyond, few = 1 + buckets / 16;

	b->vectors = 0;
	do {
		b->vectors++;
		beyond = 0;
		for (uint32_t k = 0; k < buckets; k++)
			beyond += b->end[k] > b->vectors * PL_GROUP_ROW + 1;
	} while (beyond > few && b->vectors < VECTORS);
	b->nwide = 0;
	for (uint32_t k = 0; b->nwide < beyond; k++) {
		b->wide[b->nwide] = k;
		b->nwide += b->end[k] > b->vectors * PL_GROUP_ROW + 1;
	}
}

static void sizes_to_ends(struct pl_buckets *b, uint32_t buckets)
{
	uint32_t at = 0;

	for (uint32_t k = 0; k < buckets; k++) {
		uint32_t size = b->end[k];
		b->end[k] = at;
		at += size;
	}
}

/* The ways to sort differ in BUCKET: the bucket of an entry by its bits under `same`, one of 2^bits. */
#define SORT(name, target, BUCKET) \
	target static void name(struct pl_buckets *b, uint32_t same, unsigned bits, const uint64_t *entries, uint32_t n) \
	{ \
		uint32_t *end = b->end, *rest = b->rest, *index = b->index; \
		memset(end, 0, sizeof(*end) << bits); \
		for (uint32_t i = 0; i < n; i++) \
			end[BUCKET((uint32_t)(entries[i] >> 32), same, bits)]++; \
		find_wide(b, 1u << bits); \
		sizes_to_ends(b, 1u << bits); \
		for (uint32_t i = 0; i < n; i++) { \
			uint32_t to = end[BUCKET((uint32_t)(entries[i] >> 32), same, bits)]++; \
			rest[to] = (uint32_t)(entries[i] >> 32); \
			index[to] = (uint32_t)entries[i]; \
		} \
		b->n = n; \
	}

#define HASHED(rest, same, bits) (((rest) & (same)) * 0x9E3779B1u >> (32 - (bits)))
SORT(sort_hashed, , HASHED)
#if HAVE_X86
#define EXTRACTED(rest, same, bits) _pext_u32(rest, same)
SORT(sort_extracted, __attribute__((target("bmi2"))), EXTRACTED)
#endif

void pl_group_sort(struct pl_buckets *b, uint32_t same, const uint64_t *entries, uint32_t n, bool extract)
{
	unsigned bits = bucket_bits(n), have = 0;

	for (uint32_t left = same; left != 0; left &= left - 1)
		have++;
#if HAVE_X86
	if (extract && have <= bits) {
		sort_extracted(b, same, have, entries, n);   /* no two values in one bucket */
		return;
	}
#endif
	(void)extract;
	sort_hashed(b, same, have < bits && have > 0 ? have : bits, entries, n);
}

static inline uint32_t lowest(uint32_t bits)
{
#if HAVE_X86
	return (uint32_t)__builtin_ctz(bits);
#else
	uint32_t k = 0;

	while ((bits >> k & 1u) == 0)
		k++;
	return k;
#endif
}

/* Places first .. that differ from that of `row` in few bits: candidates, unless the pair is found under a lower mask of the block,
 * or disagrees under this one. */
static void take(struct pl_grouping *g, uint32_t row, uint32_t first, uint32_t hits)
{
	const struct pl_buckets *b = g->b;

	for (; hits != 0; hits &= hits - 1) {
		uint32_t k = first + lowest(hits), differ = b->rest[k] ^ b->rest[row], i = 0;
		if (k >= b->n || (differ & g->same) != 0 || b->index[k] < g->fixed)
			continue;   /* the lower index is fixed where the higher is */
		while (i < g->nlower && (differ & g->lower[i]) != 0)
			i++;
		if (i == g->nlower)
			g->out[g->n++] = (struct pl_join_candidate){b->index[row], b->index[k]};
	}
}

/* The kernels differ in ROWS: which of rows row .. row + 3 differ from one of those behind them (`vectors` of 16) in fewer than
 * `rank` bits, as bits. And in HITS: which of 16 words differ so from w? */
#define COMPARE(name, target, ROWS, HITS) \
	target static uint32_t name##_wide(struct pl_grouping *g, uint32_t row, uint32_t stop, uint32_t last) \
	{ \
		const uint32_t *rest = g->b->rest; \
		for (; row < stop && g->n <= g->room - PL_GROUP_LARGE; row++) { \
			uint32_t end = last != 0 ? last : row + 1 + g->b->vectors * PL_GROUP_ROW; \
			for (uint32_t k = row + 1; k < end; k += PL_GROUP_ROW) { \
				uint32_t hits = HITS(rest + k, rest[row], g->rank); \
				if (hits) \
					take(g, row, k, hits); \
			} \
		} \
		return row; \
	} \
	/* NOLINTNEXTLINE(bugprone-macro-parentheses): an attribute */ \
	target static uint32_t name##_narrow(struct pl_grouping *g, uint32_t row, uint32_t stop, uint32_t last) \
	{ \
		const uint32_t *rest = g->b->rest; \
		unsigned rank = g->rank, vectors = g->b->vectors; \
		while (row < stop) { \
			uint32_t end = row + AT_ONCE < stop ? row + AT_ONCE : stop; \
			for (uint32_t rows = ROWS(rest + row, rank, vectors); rows != 0; rows &= rows - 1) { \
				uint32_t hit = row + lowest(rows); \
				if (hit < end) \
					(void)name##_wide(g, hit, hit + 1, last); \
			} \
			row = end; \
			if (g->n > g->room - AT_ONCE * PL_GROUP_LARGE) \
				break; \
		} \
		return row; \
	}

/* Clearing the lowest bit set rank - 1 times leaves nothing. */
static inline uint32_t hits_portable(const uint32_t *rest, uint32_t w, unsigned rank)
{
	uint32_t differ[PL_GROUP_ROW], hits = 0;

	for (unsigned k = 0; k < PL_GROUP_ROW; k++)
		differ[k] = rest[k] ^ w;
	for (unsigned i = 1; i < rank; i++) {
		for (unsigned k = 0; k < PL_GROUP_ROW; k++)
			differ[k] &= differ[k] - 1;
	}
	for (unsigned k = 0; k < PL_GROUP_ROW; k++)
		hits |= (uint32_t)(differ[k] == 0) << k;
	return hits;
}

static inline uint32_t rows_portable(const uint32_t *rest, unsigned rank, unsigned vectors)
{
	uint32_t rows = 0;

	for (unsigned v = 0; v < vectors; v++) {
		for (unsigned k = 0; k < AT_ONCE; k++)
			rows |= (uint32_t)(hits_portable(rest + k + 1 + (size_t)v * PL_GROUP_ROW, rest[k], rank) != 0) << k;
	}
	return rows;
}

COMPARE(portable, , rows_portable, hits_portable)

#if HAVE_X86
#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512vpopcntdq")))

AVX2 static inline uint32_t hits8(const uint32_t *rest, __m256i w, unsigned rank)
{
	const __m256i none = _mm256_setzero_si256(), less = _mm256_set1_epi32(-1);
	__m256i differ = _mm256_xor_si256(_mm256_loadu_si256((const void *)rest), w);

	for (unsigned i = 1; i < rank; i++)
		differ = _mm256_and_si256(differ, _mm256_add_epi32(differ, less));
	return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(differ, none)));
}

AVX2 static inline uint32_t hits_avx2(const uint32_t *rest, uint32_t w, unsigned rank)
{
	const __m256i all = _mm256_set1_epi32((int)w);

	return hits8(rest, all, rank) | hits8(rest + 8, all, rank) << 8;
}

AVX512 static inline uint32_t hits_avx512(const uint32_t *rest, uint32_t w, unsigned rank)
{
	__m512i differ = _mm512_xor_si512(_mm512_loadu_si512((const void *)rest), _mm512_set1_epi32((int)w));

	return _mm512_cmplt_epu32_mask(_mm512_popcnt_epi32(differ), _mm512_set1_epi32((int)rank));
}

AVX2 static inline uint32_t rows_avx2(const uint32_t *rest, unsigned rank, unsigned vectors)
{
	uint32_t rows = 0;

	for (unsigned v = 0; v < vectors; v++) {
		for (unsigned k = 0; k < AT_ONCE; k++)
			rows |= (uint32_t)(hits_avx2(rest + k + 1 + (size_t)v * PL_GROUP_ROW, rest[k], rank) != 0) << k;
	}
	return rows;
}

/* The least that word k differs from those behind it, by places of a vector. */
AVX512 static inline __m512i least(__m512i so_far, const uint32_t *word, unsigned v)
{
	__m512i differ = _mm512_xor_si512(_mm512_loadu_si512((const void *)(word + 1 + (size_t)v * PL_GROUP_ROW)), _mm512_set1_epi32((int)*word));

	return _mm512_min_epu32(so_far, _mm512_popcnt_epi32(differ));
}

AVX512 static inline uint32_t rows_avx512(const uint32_t *rest, unsigned rank, unsigned vectors)
{
	const __m512i limit = _mm512_set1_epi32((int)rank);
	__m512i a = _mm512_set1_epi32(32), b = a, c = a, d = a;

	for (unsigned v = 0; v < vectors; v++) {
		a = least(a, rest, v);
		b = least(b, rest + 1, v);
		c = least(c, rest + 2, v);
		d = least(d, rest + 3, v);
	}
	if (_mm512_cmplt_epu32_mask(_mm512_min_epu32(_mm512_min_epu32(a, b), _mm512_min_epu32(c, d)), limit) == 0)
		return 0;
	return (uint32_t)(_mm512_cmplt_epu32_mask(a, limit) != 0) | (uint32_t)(_mm512_cmplt_epu32_mask(b, limit) != 0) << 1 |
	    (uint32_t)(_mm512_cmplt_epu32_mask(c, limit) != 0) << 2 | (uint32_t)(_mm512_cmplt_epu32_mask(d, limit) != 0) << 3;
}

COMPARE(avx2, AVX2, rows_avx2, hits_avx2)
COMPARE(avx512, AVX512, rows_avx512, hits_avx512)
#endif

struct pl_group_kernel pl_group_kernel(enum pl_join_kernel kernel)
{
	const struct pl_group_kernel plain = {portable_narrow, portable_wide, false};
#if HAVE_X86
	const struct pl_group_kernel two = {avx2_narrow, avx2_wide, true}, five = {avx512_narrow, avx512_wide, true};

	__builtin_cpu_init();
	if (kernel == PL_JOIN_AVX512 && pl_join_scan(kernel) && __builtin_cpu_supports("bmi2"))
		return five;
	if (kernel == PL_JOIN_POPCNT && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
		return two;
#endif
	(void)kernel;
	return plain;
}
