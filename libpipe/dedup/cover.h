/* SPDX-License-Identifier: Apache-2.0 */
/* Covers: masks of which any two hashes within a distance agree on at least
 * one. The bits, after a fixed permutation, are cut into blocks; the masks of a
 * block are the nonzero words of a binary linear code, and README.md says why
 * none is missed and what a cover costs. Internal to this room and its tests. */
#ifndef PL_DEDUP_COVER_H
#define PL_DEDUP_COVER_H

#include "libpipe/base/err.h"

enum {
	PL_COVER_BLOCKS = 64,   /* blocks of a cover, at most */
	PL_COVER_WIDTH = 64,    /* bits of a block, at most */
	PL_COVER_RANK = 10      /* rank of a block's code, at most: 1,023 masks */
};

/* The masks of a block: all words of a code, or as many shares of its bits as its rank: fewer masks, and lighter ones. */
enum pl_cover_kind { PL_COVER_WORDS, PL_COVER_SHARES, PL_COVER_KINDS };

struct pl_cover_block {
	uint16_t shift, width;   /* bits shift .. shift + width - 1 of the permuted hash */
	uint16_t rank;           /* two blocks that differ in fewer bits agree on a mask */
	uint32_t first, masks;   /* its masks by number; masks = 2^rank - 1, or rank */
	uint64_t turn;           /* the bit of its words in which a pair under its last mask differs, or 0 */
};

struct pl_cover {
	unsigned bits, distance;
	enum pl_cover_kind kind;
	bool whole;              /* distance 0: the one key is made of all bits, see pl_cover_word */
	uint32_t nblocks;        /* 0: no cover; compare everything */
	struct pl_cover_block block[PL_COVER_BLOCKS];
	uint32_t nmasks;
	uint64_t *mask;          /* owned */
	double seconds;          /* what the model says, 0 unless chosen by it */
};

/* Generator of the [width, rank] code: width columns, nonzero vectors of rank bits. The first rank columns are
 * the unit vectors, so the rank is full. Column by column the vector is taken that makes the sum over nonzero
 * words of 2^-weight smallest, among the least used vectors. Needs 1 <= rank <= PL_COVER_RANK, rank <= width <= 64. */
void pl_cover_code(unsigned rank, unsigned width, uint16_t *columns);

/* The cover of nblocks blocks for this distance; base: the probability that one bit of two strangers agrees,
 * 0.5 for uniform hashes, decides how bits are shared out. PL_ERR_UNSUPPORTED: there is none (distance too large
 * for so few blocks or bits). Release with pl_cover_release. */
PL_MUST_CHECK enum pl_status pl_cover_make(struct pl_cover *c, enum pl_cover_kind kind, unsigned bits, unsigned distance,
    uint32_t nblocks, double base, struct pl_err *err);
/* The cheapest cover for n hashes; nblocks is 0 where comparing everything is cheaper still. */
PL_MUST_CHECK enum pl_status pl_cover_choose(struct pl_cover *c, unsigned bits, unsigned distance, uint64_t n, double base,
    struct pl_err *err);
void pl_cover_release(struct pl_cover *c);

/* The cost model, in nanoseconds. README.md tells where the constants come from. */
double pl_cover_mask_ns(uint64_t n);                            /* a hash under a mask */
double pl_cover_look_ns(void);                                  /* a pair that agrees under a mask: their entries compared */
double pl_cover_near_ns(uint64_t n);                            /* a pair that is near in its block: the hashes compared */
double pl_cover_compare_ns(void);                               /* a pair in tiles */
double pl_cover_key_ns(uint64_t n);                             /* a hash under a mask where hashes are partitioned */
double pl_cover_verify_ns(uint64_t n);                          /* a pair that agrees there; any that is more than chance */
/* How likely two strangers differ in fewer than `rank` of `width` bits. */
double pl_cover_near(double base, unsigned rank, unsigned width);

/* Where a block lies in a hash: its bits begin in word `at`, at bit `by`, and end in word `next`. */
struct pl_cover_place {
	unsigned at, next, by;
	uint64_t low;   /* as many ones as the block is wide */
};

static inline struct pl_cover_place pl_cover_place(const struct pl_cover_block *b)
{
	unsigned at = b->shift / 64, by = b->shift % 64;

	return (struct pl_cover_place){.at = at, .next = by + b->width > 64 ? at + 1 : at, .by = by,
	    .low = b->width == 64 ? ~(uint64_t)0 : ((uint64_t)1 << b->width) - 1};
}

/* The bits of a block, the lowest first. What a word that is not needed twice leaves above is beyond the block. */
static inline uint64_t pl_cover_bits_at(const struct pl_cover_place *p, const uint64_t h[4])
{
	return (h[p->at] >> p->by | h[p->next] << 1 << (63 - p->by)) & p->low;
}

static inline uint64_t pl_cover_bits(const struct pl_cover *c, uint32_t block, const uint64_t h[4])
{
	struct pl_cover_place p = pl_cover_place(&c->block[block]);

	return pl_cover_bits_at(&p, h);
}

/* What words of shares have above the bits. Only a pair that differs in each other share comes to the last one, so once in each, since the
 * rank allows no more: their parities all differ, and which of them are odd together stays. Above the bits come parity 0 ^ 1, 1 ^ 2...,
 * which the last mask holds, then parity 0, which is `turn`. */
uint64_t pl_cover_marks(const struct pl_cover *c, uint32_t block, uint64_t bits);

/* The word of a block: its bits and marks; of a whole cover a hash of all bits. Words of two hashes differ (^) as the word of their difference. */
static inline uint64_t pl_cover_word(const struct pl_cover *c, uint32_t block, const uint64_t h[4])
{
	uint64_t word;

	if (c->whole) {
		word = h[0] * 0x9E3779B97F4A7C15u;
		for (unsigned w = 1; w < 4; w++)
			word = ((word ^ word >> 29) + h[w]) * 0xBF58476D1CE4E5B9u;
		return word ^ word >> 32;
	}
	word = pl_cover_bits(c, block, h);
	return c->block[block].turn ? word | pl_cover_marks(c, block, word) : word;
}

/* Is this the one mask under which x and y are a pair? It is the lowest on which they agree of the first block in which they
 * differ in fewer bits than its rank; if they are within the distance, there is one. */
bool pl_cover_lowest(const struct pl_cover *c, uint32_t block, uint32_t mask, const uint64_t x[4], const uint64_t y[4]);

/* permutation[i]: the bit of the hash that becomes bit i. The same for all time; bits is 64 or 256. */
void pl_cover_permutation(unsigned bits, uint8_t permutation[256]);

/* How hashes are permuted and keys made; every kind gives the same. */
enum pl_cover_kernel { PL_COVER_PORTABLE, PL_COVER_AVX2, PL_COVER_AVX512, PL_COVER_KERNELS };
bool pl_cover_kernel_usable(enum pl_cover_kernel kernel);
enum pl_cover_kernel pl_cover_kernel_best(void);
/* Permute n hashes in place. */
PL_MUST_CHECK enum pl_status pl_cover_permute(enum pl_cover_kernel kernel, unsigned bits, uint64_t (*hashes)[4], uint64_t n,
    struct pl_err *err);
/* Are all popcounts even? Then so are all distances. */
bool pl_cover_even(const uint64_t (*hashes)[4], uint64_t n);

/* pl_cover_word of n hashes. */
typedef void pl_cover_words_fn(const struct pl_cover *c, uint32_t block, const uint64_t (*hashes)[4], size_t n, uint64_t *words);
/* Keys of n words under a mask: hash = (word & mask) * an odd number; kept are those whose top `bits` bits are `range`,
 * as hash << bits with the low 32 bits replaced by first + i. Returns how many; keys has room for n + 8. */
typedef size_t pl_cover_keys_fn(const uint64_t *words, size_t n, uint64_t mask, uint32_t first, unsigned bits, uint64_t range,
    uint64_t *keys);
/* Count n words by their bits under `part` (side by side, 16 at most): count[those] grows. */
typedef void pl_cover_count_fn(const uint64_t *words, size_t n, uint64_t part, uint32_t *count);
/* Spread them: the bits of word i under `rest` (32 at most) above first + i go to *at[its bits under part]++. */
typedef void pl_cover_spread_fn(const uint64_t *words, size_t n, uint64_t part, uint64_t rest, uint32_t first, uint64_t **at);
pl_cover_words_fn *pl_cover_words(enum pl_cover_kernel kernel);
pl_cover_keys_fn *pl_cover_keys(enum pl_cover_kernel kernel);
pl_cover_count_fn *pl_cover_count(enum pl_cover_kernel kernel);
pl_cover_spread_fn *pl_cover_spread(enum pl_cover_kernel kernel);
#define PL_COVER_MULTIPLIER 0xD1342543DE82EF95u

/* Bring a line of memory near ahead of its use. */
static inline void pl_fetch(const void *line)
{
#if defined(__GNUC__) || defined(__clang__)
	__builtin_prefetch(line);
#else
	(void)line;
#endif
}

/* The same past the caches where entries lie: it is not needed again soon. */
static inline void pl_fetch_once(const void *line)
{
#if defined(__GNUC__) || defined(__clang__)
	__builtin_prefetch(line, 0, 0);
#else
	(void)line;
#endif
}

/* Bits of a mask. Compilers know this for the popcount that it is, where the processor has one. */
static inline unsigned pl_cover_weight(uint64_t x)
{
	x -= x >> 1 & 0x5555555555555555u;
	x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
	x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
	return (unsigned)(x * 0x0101010101010101u >> 56);
}

#endif
