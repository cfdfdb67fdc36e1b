/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan is made of, between its making (cover_join.c) and its units
 * (cover_unit.c). Internal to this room and its tests. */
#ifndef PL_DEDUP_COVER_JOIN_H
#define PL_DEDUP_COVER_JOIN_H

#include "cover.h"
#include "cover_group.h"

enum {
	PL_PART_ENTRIES = 8192,      /* hashes of a part that grouping aims at: its buckets stay near the core */
	PL_PART_BITS = 12,           /* log2 of parts of a range, at most; see pl_join_part_bits */
	PL_RANGE_ENTRIES_LOG2 = 28,  /* hashes of a range, at most: parts of 64 Ki */
	PL_RANGE_BITS = 16,
	PL_FAMILY_MASKS = 4          /* masks of a family, at most */
};

/* How a plan is made; all 0 but the kernel is what pl_join_plan_new does. */
struct pl_join_how {
	enum pl_join_kernel kernel;
	uint32_t nblocks;            /* a cover of so many blocks, even where another or none is cheaper */
	enum pl_cover_kind kind;     /* and of this kind */
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
	bool hashed;                 /* one mask: spread by a hash of its bits */
	uint64_t part;               /* the bits to spread by, as many as part_bits, unless hashed */
	uint64_t rest;               /* other bits of the block, 32 at most, those of the masks first: what entries hold */
};

struct pl_cell { uint32_t value, count; };

/* Scratch of one rank, reused from unit to unit. */
struct pl_scratch {
	/* The words of `nwords` blocks from words_block on, which is a multiple of it, of a block all together: what reads the hashes reads them
	 * for all of these. 0 where memory is short: then a strip at a time. */
	uint64_t *words; uint32_t nwords, words_block;
	/* Entries (bits above index) of a range, `entries` at most, by part; at: where the next one of a part goes, and in the end where
	 * the part ends; stride: how far apart parts begin, or 0: where the one before ends; count: entries of a part. */
	uint64_t *pool, **at, entries, places;
	uint32_t stride, *count;
	bool uneven;                 /* a part outgrew its room once: they are counted from then on */
	/* One part. Grows with the largest part. */
	struct pl_buckets buckets; uint32_t cap;
	struct pl_cell *cell; uint32_t ncells;       /* of buckets that are counted only */
	struct pl_join_candidate *candidate[PL_FAMILY_MASKS]; uint32_t ncandidates[PL_FAMILY_MASKS];   /* of each mask of a family */
	struct pl_pair *pair;
	uint32_t *member; uint64_t nmember, cap_member;
	struct pl_join_block *block; struct pl_join_hit *hit;
};

/* Of n pairs within the distance keep those whose one mask this is (pl_cover_lowest), in their order; returns how many. */
typedef uint32_t pl_join_keep_fn(const struct pl_cover *c, uint32_t block, uint32_t mask, const uint64_t (*hashes)[4],
    struct pl_pair *pairs, uint32_t n);

struct pl_join_plan {
	struct pl_join join;
	struct pl_cover cover;
	double base;                 /* probability that one bit of two strangers agrees */
	struct pl_join_how how;
	/* By pl_join_kernels. */
	pl_join_scan_fn *scan;
	pl_join_verify_fn *verify;
	pl_join_keep_fn *keep;
	struct pl_group_kernel group;
	pl_cover_words_fn *words;
	pl_cover_keys_fn *keys;
	pl_cover_count_fn *count;
	pl_cover_spread_fn *spread;
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

/* The functions of p->how.kernel. */
void pl_join_kernels(struct pl_join_plan *p);

/* What a bit is worth: the probability that those of two strangers agree, 0.5 to 0.9, from a sample of the permuted hashes. */
double pl_join_base(const struct pl_join *j);

/* cover_scratch.c */
enum { PL_JOIN_CANDIDATES = 1024 };   /* their hashes stay near the core from the check of the distance to that of the mask */
/* Words of so many blocks; so many entries, and places for them, more where parts may have room to spare. */
PL_MUST_CHECK enum pl_status pl_scratch_new(struct pl_join_plan *p, uint32_t nwords, uint64_t entries, uint64_t places, struct pl_err *err);
void pl_scratch_free(struct pl_scratch *s);
/* Room for a part of n entries. */
PL_MUST_CHECK enum pl_status pl_scratch_fit(struct pl_scratch *s, uint32_t n, struct pl_err *err);

/* cover_family.c: once hot buckets are known and units fit the memory. */
PL_MUST_CHECK enum pl_status pl_join_families(struct pl_join_plan *p, struct pl_err *err);
/* A mask by itself. */
struct pl_family pl_join_alone(const struct pl_join_plan *p, uint32_t mask);
/* The bit in which a pair differs under this mask of the block, or 0. */
uint64_t pl_join_turn(const struct pl_cover_block *b, uint32_t mask);
/* Of x, the bits under mask, side by side. */
uint64_t pl_join_extract(uint64_t x, uint64_t mask);

/* cover_spread.c */
struct pl_spread {
	struct pl_join_plan *p;
	const struct pl_family *family;
	uint32_t block;
	uint32_t n, step;            /* one hash out of every step; so many */
	unsigned bits; uint64_t range;   /* of a hashed family: the range */
	const struct pl_hot *hot; size_t nhot;   /* and what it leaves out */
};
/* Places in the pool for n hashes in parts with room to spare. */
uint64_t pl_spread_places(uint64_t n, unsigned part_bits);
/* Fill the pool, s.at and s.stride; *full: it has no room for so many, and holds nothing. */
PL_MUST_CHECK enum pl_status pl_spread(const struct pl_spread *w, bool *full, struct pl_err *err);
/* log2 of the parts for so many entries. */
unsigned pl_join_part_bits(enum pl_cover_kind kind, uint64_t entries);

/* cover_lowest.c. Every kernel keeps the same. */
pl_join_keep_fn *pl_join_keep(enum pl_join_kernel kernel);

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
