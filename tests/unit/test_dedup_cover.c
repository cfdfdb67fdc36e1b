/* SPDX-License-Identifier: Apache-2.0 */
/* The codes and covers of the join: no pattern of differing bits within the
 * distance may miss every mask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/dedup/cover_join.h"

enum { EXHAUSTIVE = 60000, RANDOM = 3000, DISTANCES = 41 };

static unsigned bits_of(uint64_t x)
{
	unsigned n = 0;

	for (; x; x &= x - 1)
		n++;
	return n;
}

static uint32_t even(uint32_t x)
{
	return bits_of(x) % 2 == 0;
}

/* ---- one code ---- */

struct code { unsigned rank, width; uint16_t column[64]; uint64_t mask[1 << PL_COVER_RANK]; };

static void code_make(struct code *c, unsigned rank, unsigned width)
{
	*c = (struct code){.rank = rank, .width = width};
	pl_cover_code(rank, width, c->column);
	for (uint32_t m = 1; m < 1u << rank; m++) {
		for (unsigned i = 0; i < width; i++)
			c->mask[m] |= (uint64_t)!even(m & c->column[i]) << i;
	}
}

static bool missed(const struct code *c, uint64_t pattern)
{
	for (uint32_t m = 1; m < 1u << c->rank; m++) {
		if ((c->mask[m] & pattern) == 0)
			return false;
	}
	return true;
}

/* By elimination: a message that gives 0 on all columns of the pattern. Rows are the columns, unknowns the
 * message's bits. */
static uint32_t null_message(const struct code *c, uint64_t pattern)
{
	uint32_t pivot[PL_COVER_RANK] = {0}, message;
	unsigned free_bit = PL_COVER_RANK;

	for (unsigned i = 0; i < c->width; i++) {
		uint32_t row = pattern >> i & 1u ? c->column[i] : 0;
		for (unsigned k = 0; k < c->rank && row; k++) {
			if ((row >> k & 1u) == 0)
				continue;
			if (pivot[k] == 0) {
				pivot[k] = row;
				break;
			}
			row ^= pivot[k];
		}
	}
	for (unsigned k = 0; k < c->rank; k++)
		free_bit = pivot[k] == 0 ? k : free_bit;
	if (free_bit == PL_COVER_RANK)
		return 0;
	message = 1u << free_bit;
	/* back substitution: pivot[k] has bit k and higher bits only */
	for (unsigned k = free_bit; k-- > 0;) {
		if (pivot[k] && !even(pivot[k] & message))
			message |= 1u << k;
	}
	return message;
}

static void check_pattern(const void *code, uint64_t pattern)
{
	const struct code *c = code;
	uint32_t message = null_message(c, pattern);

	if (missed(c, pattern))
		fail_msg("[%u,%u]: pattern %llx meets every mask", c->width, c->rank, (unsigned long long)pattern);
	assert_int_not_equal(message, 0);
	assert_true((c->mask[message] & pattern) == 0 && c->mask[message] != 0);
}

/* ---- patterns ---- */

typedef void pattern_fn(const void *ctx, uint64_t pattern);

static double choose_count(unsigned n, unsigned k)
{
	double r = 1;

	for (unsigned i = 0; i < k; i++)
		r = r * (n - i) / (i + 1);
	return r;
}

/* All patterns of exactly `weight` bits below `width`, by Gosper's next combination. */
static void all_patterns(unsigned width, unsigned weight, pattern_fn *check, const void *ctx)
{
	uint64_t end = width == 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
	uint64_t p = ((uint64_t)1 << weight) - 1;

	if (weight == 0) {
		check(ctx, 0);
		return;
	}
	while (p <= end) {
		uint64_t low = p & (~p + 1), up = p + low;
		check(ctx, p);
		if (up < p || up == 0)
			return;
		p = up | ((p ^ up) / low >> 2);
	}
}

static void some_patterns(unsigned width, unsigned weight, pattern_fn *check, const void *ctx)
{
	for (unsigned at = 0; at + weight <= width; at++)        /* runs and combs */
		check(ctx, (((uint64_t)1 << weight) - 1) << at);
	for (unsigned step = 2; step * weight <= width; step++) {
		uint64_t p = 0;
		for (unsigned i = 0; i < weight; i++)
			p |= (uint64_t)1 << i * step;
		check(ctx, p);
	}
	for (uint64_t i = 0; i < RANDOM; i++) {
		uint64_t p = 0, draw = pl_draw64(weight, width, i);
		while (bits_of(p) < weight) {
			p |= (uint64_t)1 << draw % width;
			draw = pl_mix64(draw);
		}
		check(ctx, p);
	}
}

/* Patterns of fewer bits than the rank: all, or where they are many some of each weight. */
static void patterns(unsigned rank, unsigned width, pattern_fn *check, const void *ctx)
{
	for (unsigned weight = 0; weight < rank && weight <= width; weight++) {
		if (choose_count(width, weight) <= EXHAUSTIVE)
			all_patterns(width, weight, check, ctx);
		else
			some_patterns(width, weight, check, ctx);
	}
}

/* ---- codes ---- */

static void check_code(unsigned rank, unsigned width)
{
	struct code c;
	uint32_t distinct = 0, used[1 << PL_COVER_RANK] = {0}, all = 0;

	code_make(&c, rank, width);
	for (unsigned i = 0; i < width; i++) {
		assert_in_range(c.column[i], 1, (1u << rank) - 1);
		distinct += used[c.column[i]]++ == 0;
		all |= i < rank && c.column[i] == 1u << i ? 1u << i : 0;
	}
	assert_int_equal(all, (1u << rank) - 1);   /* unit vectors first: full rank */
	assert_int_equal(distinct, width < (1u << rank) - 1 ? width : (1u << rank) - 1);
	patterns(rank, width, check_pattern, &c);
}

/* Every code that a cover for distances 0..40 is made of, at any number of hashes. */
static void test_codes(void **state)
{
	static bool seen[PL_COVER_RANK + 1][PL_COVER_WIDTH + 1];
	uint32_t codes = 0;

	(void)state;
	for (unsigned d = 0; d < DISTANCES; d++) {
		for (unsigned bits = 64; bits <= 256; bits += 192) {
			for (uint32_t blocks = 1; blocks <= PL_COVER_BLOCKS; blocks++) {
				struct pl_cover c;
				if (pl_cover_make(&c, PL_COVER_WORDS, bits, d, blocks, 0.5, NULL) != PL_OK)
					continue;
				for (uint32_t b = 0; b < c.nblocks; b++)
					seen[c.block[b].rank][c.block[b].width] = true;
				pl_cover_release(&c);
			}
		}
	}
	for (unsigned rank = 1; rank <= PL_COVER_RANK; rank++) {
		for (unsigned width = rank; width <= PL_COVER_WIDTH; width++) {
			if (seen[rank][width] || rank <= 4) {
				check_code(rank, width);
				codes++;
			}
		}
	}
	print_message("%u codes\n", (unsigned)codes);
	assert_true(codes > 100);
}

/* ---- covers ---- */

struct marked { const struct pl_cover *cover; uint32_t block; };

/* A pattern of fewer bits than the rank leaves a share alone; if that is only the last, its marks stay and the turn does not. */
static void check_marks(const void *ctx, uint64_t pattern)
{
	const struct marked *c = ctx;
	const struct pl_cover_block *k = &c->cover->block[c->block];
	uint64_t word = pattern | pl_cover_marks(c->cover, c->block, pattern);
	uint32_t m = k->first;

	while (m < k->first + k->masks && (word & c->cover->mask[m]) != 0)
		m++;
	assert_true(m < k->first + k->masks);
	assert_true(m + 1 < k->first + k->masks || (word & k->turn) != 0);
}

/* As many masks as the rank, with no bit in common: fewer bits that differ leave one alone. */
static void check_shares(const struct pl_cover *c, uint32_t block)
{
	const struct pl_cover_block *k = &c->block[block];
	const uint64_t *mask = c->mask + k->first;
	uint64_t all = 0, bits = k->width == 64 ? ~(uint64_t)0 : ((uint64_t)1 << k->width) - 1;

	assert_int_equal(k->masks, k->rank);
	for (uint32_t m = 0; m < k->masks; m++) {
		assert_true((mask[m] & bits) != 0);
		assert_int_equal(all & mask[m], 0);
		all |= mask[m];
	}
	if (k->turn) {
		assert_int_equal(k->turn >> k->width, (uint64_t)1 << (k->rank - 2));
		assert_int_equal(all & k->turn, 0);
		assert_int_equal(mask[k->masks - 1] & ~bits, k->turn - bits - 1);
		patterns(k->rank, k->width, check_marks, &(struct marked){c, block});
	} else {
		assert_true(all == bits);
	}
	assert_true((all & bits) == bits);
}

static void check_cover(const struct pl_cover *c)
{
	unsigned sum = 0, at = 0;
	uint32_t masks = 0;

	for (uint32_t b = 0; b < c->nblocks; b++) {
		const struct pl_cover_block *k = &c->block[b];
		struct code code;
		assert_int_equal(k->shift, at);
		assert_int_equal(k->first, masks);
		if (c->kind == PL_COVER_SHARES) {
			check_shares(c, b);
		} else {
			assert_int_equal(k->masks, (1u << k->rank) - 1);
			code_make(&code, k->rank, k->width);
			assert_memory_equal(c->mask + k->first, code.mask + 1, k->masks * sizeof(uint64_t));
		}
		sum += k->rank;
		at += k->width;
		masks += k->masks;
	}
	assert_int_equal(sum, c->distance + 1);
	assert_int_equal(masks, c->nmasks);
	assert_true(at <= c->bits);
}

static void flip(uint64_t h[4], unsigned bit)
{
	h[bit / 64] ^= (uint64_t)1 << bit % 64;
}

/* Two hashes that differ in at most `distance` random bits agree on a mask, and under one of them first. */
static void check_pairs(const struct pl_cover *c, uint64_t seed)
{
	for (uint64_t i = 0; i < 40; i++) {
		uint64_t x[4] = {0}, y[4];
		uint32_t lowest = 0;
		for (unsigned w = 0; w < c->bits / 64; w++)
			x[w] = pl_draw64(seed, i, w);
		memcpy(y, x, sizeof(y));
		for (unsigned k = 0; k < (i % 4 == 0 ? i : 40) && k < c->distance; k++)
			flip(y, (unsigned)(pl_draw64(seed, i, 100 + k) % (i % 2 ? c->bits : c->bits / 4)));
		for (uint32_t b = 0; b < c->nblocks; b++) {
			for (uint32_t m = c->block[b].first; m < c->block[b].first + c->block[b].masks; m++)
				lowest += pl_cover_lowest(c, b, m, x, y);
		}
		assert_int_equal(lowest, 1);
	}
}

static void test_covers(void **state)
{
	static const uint64_t sizes[] = {2, 5000, 100000, 1000000, 10000000, 1000000000, 4000000000};
	static const double bases[] = {0.5, 0.6};

	(void)state;
	for (unsigned d = 0; d < DISTANCES; d++) {
		for (unsigned bits = 64; bits <= 256; bits += 192) {
			for (size_t i = 0; i < PL_ARRAY_LEN(sizes) * 2; i++) {
				struct pl_cover c;
				assert_int_equal(pl_cover_choose(&c, bits, d, sizes[i / 2], bases[i % 2], NULL), PL_OK);
				if (c.nblocks > 0) {
					check_cover(&c);
					check_pairs(&c, d * 7 + i);
				}
				pl_cover_release(&c);
			}
		}
	}
}

/* Every cut of either kind. */
static void test_shares(void **state)
{
	(void)state;
	for (unsigned d = 0; d < DISTANCES; d++) {
		for (unsigned bits = 64; bits <= 256; bits += 192) {
			for (uint32_t blocks = 1; blocks <= PL_COVER_BLOCKS; blocks++) {
				struct pl_cover c;
				if (pl_cover_make(&c, PL_COVER_SHARES, bits, d, blocks, 0.5, NULL) != PL_OK)
					continue;
				assert_int_equal(c.nmasks, d + 1);
				check_cover(&c);
				check_pairs(&c, d * 7 + blocks);
				pl_cover_release(&c);
			}
		}
	}
}

/* The chance that strangers are near in a block: counted for all words of a few bits, and for a base of its own. */
static void test_near(void **state)
{
	(void)state;
	for (unsigned rank = 1; rank <= 5; rank++) {
		double want = 0, skewed = 0;
		for (uint32_t word = 0; word < 1u << 12; word++) {
			unsigned differ = pl_cover_weight(word);
			double chance = 1;
			for (unsigned i = 0; i < 12; i++)
				chance *= i < differ ? 0.375 : 0.625;
			want += differ < rank ? 1.0 / (1 << 12) : 0;
			skewed += differ < rank ? chance : 0;
		}
		assert_true(pl_cover_near(0.5, rank, 12) > want * 0.999999 && pl_cover_near(0.5, rank, 12) < want * 1.000001);
		assert_true(pl_cover_near(0.625, rank, 12) > skewed * 0.999999 && pl_cover_near(0.625, rank, 12) < skewed * 1.000001);
	}
}

static void test_choice(void **state)
{
	struct pl_cover c;

	(void)state;
	assert_int_equal(pl_cover_choose(&c, 256, 0, 1000000, 0.5, NULL), PL_OK);
	assert_int_equal(c.nmasks, 1);
	assert_true(c.whole);
	pl_cover_release(&c);
	assert_int_equal(pl_cover_choose(&c, 256, 16, 1000000, 0.5, NULL), PL_OK);
	assert_int_equal(c.kind, PL_COVER_SHARES);
	assert_int_equal(c.nmasks, 17);
	pl_cover_release(&c);
	assert_int_equal(pl_cover_choose(&c, 256, 31, 1000000, 0.5, NULL), PL_OK);
	assert_int_equal(c.kind, PL_COVER_WORDS);
	assert_in_range(c.nmasks, 100, 200);
	pl_cover_release(&c);
	assert_int_equal(pl_cover_choose(&c, 256, 31, 1000000000, 0.5, NULL), PL_OK);
	assert_in_range(c.nmasks, 200, 900);
	pl_cover_release(&c);
	/* few hashes, or a distance that everything is within */
	assert_int_equal(pl_cover_choose(&c, 256, 31, 100, 0.5, NULL), PL_OK);
	assert_int_equal(c.nblocks, 0);
	assert_int_equal(pl_cover_choose(&c, 256, 256, 1000000, 0.5, NULL), PL_OK);
	assert_int_equal(c.nblocks, 0);
	assert_int_equal(pl_cover_make(&c, PL_COVER_WORDS, 256, 31, 2, 0.5, NULL), PL_ERR_UNSUPPORTED);   /* rank 16 */
	assert_int_equal(pl_cover_make(&c, PL_COVER_WORDS, 100, 3, 2, 0.5, NULL), PL_ERR_USAGE);
	assert_int_equal(pl_cover_choose(&c, 256, 3, 10, 0.2, NULL), PL_ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_covers),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_near),
		cmocka_unit_test(test_choice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
