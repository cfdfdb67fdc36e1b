/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets of a part. They may hold strangers by the dozen, since comparing is
 * cheap (cover_compare.c), so masks may be light and few. */
#include "cover_group.h"

#include <string.h>

#include "cover.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_X86 1
#include <immintrin.h>
#else
#define HAVE_X86 0
#endif

enum {
	LOAD = 8,               /* entries of a bucket, at most and if they are even */
	LINE = 8,               /* entries of a line of the cache */
	AHEAD = 384,            /* entries that are fetched ahead of dealing them */
	ROOMY = 3 << 14,        /* up to so many entries buckets have room to spare, and none is counted before */
	SPARE = 12              /* places per entry that this takes, at most: see pl_group_stride, of two entries to a bucket */
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
	return (size_t)2 << bucket_bits(n);   /* and one more for the bit that turns */
}

size_t pl_group_places(uint32_t n)
{
	/* an overfull bucket writes over those behind it before it is found out: n more */
	return (size_t)(n < ROOMY ? n : ROOMY) * SPARE + n + PL_GROUP_BLOCK;
}

uint32_t pl_group_stride(uint32_t mean, uint32_t deviations)
{
	uint32_t root = 1;

	while (root * root < mean)
		root++;
	return ((mean + deviations * root + 2 * LINE) / LINE | 1u) * LINE;
}

/* The ways to deal differ in BUCKET: the bucket of an entry by its bits under `same`, one of 2^bits. */
/* NOLINTBEGIN(bugprone-macro-parentheses): target is an attribute */
#define DEAL(name, target, BUCKET) \
	/* With room to spare. False where a bucket is overfull. */ \
	target static bool name##_roomy(struct pl_buckets *b, uint32_t same, unsigned bits, const uint64_t *entries, uint32_t n) \
	{ \
		uint64_t *entry = b->entry; \
		uint32_t *end = b->end, stride = pl_group_stride(n >> bits, 4), over = 0; \
		for (uint32_t k = 0; k < 1u << bits; k++) \
			end[k] = k * stride; \
		uint32_t i = 0; \
		for (; i + LINE <= n; i += LINE) { \
			pl_fetch(entries + i + AHEAD); \
			_Pragma("GCC unroll 8") \
			for (uint32_t k = 0; k < LINE; k++) \
				entry[end[BUCKET(entries[i + k], same, bits)]++] = entries[i + k]; \
		} \
		for (; i < n; i++) \
			entry[end[BUCKET(entries[i], same, bits)]++] = entries[i]; \
		for (uint32_t k = 0; k < 1u << bits; k++) \
			over |= end[k] > (k + 1) * stride; \
		b->stride = stride; \
		return !over; \
	} \
	/* One close behind the other. */ \
	target static void name##_close(struct pl_buckets *b, uint32_t same, unsigned bits, const uint64_t *entries, uint32_t n) \
	{ \
		uint64_t *entry = b->entry; \
		uint32_t *end = b->end, at = 0; \
		memset(end, 0, sizeof(*end) << bits); \
		for (uint32_t i = 0; i < n; i++) \
			end[BUCKET(entries[i], same, bits)]++; \
		for (uint32_t k = 0; k < 1u << bits; k++) { \
			at += end[k]; \
			end[k] = at - end[k]; \
		} \
		for (uint32_t i = 0; i < n; i++) \
			entry[end[BUCKET(entries[i], same, bits)]++] = entries[i]; \
		b->stride = 0; \
	} \
	target static void name(struct pl_buckets *b, uint32_t same, unsigned bits, const uint64_t *entries, uint32_t n) \
	{ \
		b->n = 1u << bits; \
		if (n > ROOMY || !name##_roomy(b, same, bits, entries, n)) \
			name##_close(b, same, bits, entries, n); \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

#define HASHED(entry, same, bits) (((uint32_t)((entry) >> 32) & (same)) * 0x9E3779B1u >> (32 - (bits)))
DEAL(deal_hashed, , HASHED)
#if HAVE_X86
#define EXTRACTED(entry, same, bits) _pext_u64(entry, (uint64_t)(same) << 32)
DEAL(deal_extracted, __attribute__((target("bmi2"))), EXTRACTED)
#endif

void pl_group_deal(struct pl_buckets *b, uint32_t same, uint32_t turn, const uint64_t *entries, uint32_t n, bool extract)
{
	unsigned bits = bucket_bits(n), have = 0;

	for (uint32_t left = same; left != 0; left &= left - 1)
		have++;
#if HAVE_X86
	if (extract && have <= bits) {
		b->paired = turn != 0;
		deal_extracted(b, same | turn, have + b->paired, entries, n);   /* no two values in one bucket */
		return;
	}
#endif
	(void)extract;
	(void)turn;
	b->paired = false;
	deal_hashed(b, same, have < bits && have > 0 ? have : bits, entries, n);
}
