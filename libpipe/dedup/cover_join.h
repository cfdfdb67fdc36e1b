/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan is made of, between its making (cover_join.c) and its units
 * (cover_unit.c). Internal to this room and its tests. */
#ifndef PL_DEDUP_COVER_JOIN_H
#define PL_DEDUP_COVER_JOIN_H

#include "cover.h"
#include "join_kernel.h"

enum {
	PL_PART_ENTRIES = 4096,      /* hashes of a part that grouping aims at: its tables stay near the core */
	PL_PART_BITS = 12,           /* log2 of parts of a range, at most */
	PL_RANGE_ENTRIES_LOG2 = 28,  /* hashes of a range, at most: parts of 64 Ki */
	PL_RANGE_BITS = 16,
	PL_CHUNK_BYTES = 4096,
	PL_FAMILY_MASKS = 4          /* masks of a family, at most */
};

/* How a plan is made; all 0 but the kernel is what pl_join_plan_new does. */
struct pl_join_how {
	enum pl_join_kernel kernel;
	uint32_t nblocks;            /* a cover of so many blocks, even where another or none is cheaper */
	uint64_t hot_size;           /* from how many hashes on a bucket is shared out; 0: 2^17 */
	uint32_t count_sample;       /* of how many hashes at most buckets are counted; 0: 2^20 */
};

/* A bucket so large that its pairs are shared out: hashes whose block is `word` under `mask`. */
struct pl_hot {
	uint32_t mask, shares;
	uint64_t word, size;         /* size is estimated from a sample */
};

/* Masks of one block that are joined together: their hashes are spread once, by bits that all of them hold. */
struct pl_family {
	uint32_t mask[PL_FAMILY_MASKS], n;
	uint64_t part;               /* the bits to spread by, as many as part_bits; 0: one mask, by a hash of its bits */
	uint64_t rest;               /* the other bits of any of them, 32 at most: what entries hold */
};

/* Scratch of one rank, reused from unit to unit. */
struct pl_scratch {
	/* The words of one block, or NULL where memory is short: then a strip at a time. */
	uint64_t *words; uint32_t words_block;
	/* Entries (fingerprint above index) of a range, by part, in chunks that hang together. */
	uint64_t *pool; uint32_t *next_chunk; uint32_t nchunks, used;
	uint64_t **at; uint32_t *head_chunk;      /* per part: where the next entry goes; its first chunk */
	uint64_t *line;              /* per part: the line that its next entries make */
	/* One part: entries, chains of entries whose fingerprints start alike. Grows with the largest part. */
	uint64_t *entry; uint32_t *next, *pending, *slot; uint8_t *done; uint32_t cap; uint32_t slots;
	struct pl_join_candidate *candidate[PL_FAMILY_MASKS]; uint32_t ncandidates[PL_FAMILY_MASKS];   /* of each mask of a family */
	struct pl_pair *pair;
	uint32_t *member; uint64_t nmember, cap_member;
	struct pl_join_block *block; struct pl_join_hit *hit;
};

struct pl_join_plan {
	struct pl_join join;
	struct pl_cover cover;
	double base;                 /* probability that one bit of two strangers agrees */
	struct pl_join_how how;
	pl_join_scan_fn *scan;
	pl_join_verify_fn *verify;
	pl_cover_keys_fn *keys;
	pl_cover_split_fn *split;
	uint32_t parts;              /* without a cover: parts of the exhaustive join */
	unsigned range_bits, part_bits;
	struct pl_hot *hot; size_t nhot;   /* by mask */
	struct pl_family *family; uint32_t nfamilies;
	uint64_t units, scratch_bytes;
	struct pl_scratch s;
};

/* What units do with buckets. */
struct pl_tally { double pairs; uint64_t largest; };   /* sum of s(s-1)/2, largest s, without hot buckets */

/* pl_join_plan_new in a chosen way. */
PL_MUST_CHECK enum pl_status pl_join_plan_with(struct pl_join_plan **p, const struct pl_join *j, const struct pl_join_how *how,
    uint64_t memory, struct pl_err *err);

/* What a bit is worth: the probability that those of two strangers agree, 0.5 to 0.9, from a sample of the permuted hashes. */
double pl_join_base(const struct pl_join *j);

/* cover_scratch.c */
enum {
	PL_JOIN_CANDIDATES = 4096,   /* their hashes stay near the core from the check of the distance to that of the mask */
	PL_JOIN_LINE = 8             /* entries of a cache line */
};
PL_MUST_CHECK enum pl_status pl_scratch_new(struct pl_join_plan *p, bool words, uint64_t chunks, struct pl_err *err);
void pl_scratch_free(struct pl_scratch *s);
/* Room for a part of n entries. */
PL_MUST_CHECK enum pl_status pl_scratch_fit(struct pl_scratch *s, uint32_t n, struct pl_err *err);

/* cover_family.c: once hot buckets are known and units fit the memory. */
PL_MUST_CHECK enum pl_status pl_join_families(struct pl_join_plan *p, struct pl_err *err);
/* Of x, the bits under mask, side by side. */
uint64_t pl_join_extract(uint64_t x, uint64_t mask);

/* cover_spread.c */
#define PL_NO_CHUNK UINT32_MAX
void pl_spread_begin(struct pl_join_plan *p);
/* Add n entries to their parts. False: the pool is used up. */
bool pl_spread(struct pl_join_plan *p, const uint64_t *entries, const uint16_t *part, size_t n);
void pl_spread_end(struct pl_join_plan *p);
uint32_t pl_part_length(const struct pl_scratch *s, uint32_t part);

/* cover_unit.c */
/* The pairs of one key range of a family. */
PL_MUST_CHECK enum pl_status pl_join_range(struct pl_join_plan *p, const struct pl_family *family, uint64_t range, struct pl_buf *out,
    struct pl_err *err);
/* One share of a hot bucket. */
PL_MUST_CHECK enum pl_status pl_join_hot(struct pl_join_plan *p, const struct pl_hot *hot, uint32_t share, struct pl_buf *out,
    struct pl_err *err);
/* Count the buckets of a mask instead of joining them; of more hashes than how.count_sample, those of a sample, scaled. */
PL_MUST_CHECK enum pl_status pl_join_count(struct pl_join_plan *p, uint32_t mask, struct pl_tally *tally, struct pl_err *err);
/* The block that a mask belongs to. */
uint32_t pl_join_block_of(const struct pl_join_plan *p, uint32_t mask);

static inline const uint64_t (*pl_join_hashes(const struct pl_join_plan *p))[4]
{
	return (const uint64_t (*)[4])p->join.hashes;
}

#endif
