/* SPDX-License-Identifier: Apache-2.0 */
/* Codes, covers, and the choice among them. Everything here is a function of
 * its arguments alone, in arithmetic that every machine does alike: ranks
 * choose for themselves and must choose the same. */
#include "cover.h"

#include <stdlib.h>
#include <string.h>

enum {
	WORDS = 1 << PL_COVER_RANK,
	WIDE = 1024,          /* hashes of a bucket, more of which do not stay in the nearest cache */
	SHARES_WIDTH = 45     /* bits of a block in shares, at most: a part and its entries tell of little more */
};

/* ---- codes ---- */

/* Walsh-Hadamard transform: f[v] becomes the sum over c of f[c] * (-1)^(c.v). */
static void transform(double *f, unsigned rank)
{
	for (uint32_t half = 1; half < 1u << rank; half *= 2) {
		for (uint32_t i = 0; i < 1u << rank; i += 2 * half) {
			for (uint32_t k = i; k < i + half; k++) {
				double a = f[k], b = f[k + half];
				f[k] = a + b;
				f[k + half] = a - b;
			}
		}
	}
}

static unsigned parity(uint32_t x)
{
	x ^= x >> 16;
	x ^= x >> 8;
	x ^= x >> 4;
	return 0x6996u >> (x & 15u) & 1u;
}

/* The sum is halved for the words that a column touches: the transform gives that mass for every column at
 * once. mass[c] = 2^-weight of word c, updated. */
static uint16_t next_column(unsigned rank, const double *mass, const uint8_t *used)
{
	double f[WORDS];
	uint32_t best = 0;

	memcpy(f, mass, sizeof(*f) << rank);
	transform(f, rank);
	for (uint32_t v = 1; v < 1u << rank; v++) {
		if (best == 0 || used[v] < used[best] || (used[v] == used[best] && f[v] < f[best]))
			best = v;
	}
	return (uint16_t)best;
}

static void add_column(unsigned rank, uint16_t column, double *mass, uint8_t *weight)
{
	for (uint32_t c = 1; c < 1u << rank; c++) {
		if (parity(c & column)) {
			mass[c] /= 2;
			weight[c]++;
		}
	}
}

struct code {
	unsigned rank, width;
	uint16_t column[PL_COVER_WIDTH];
	double mass[WORDS];
	uint8_t weight[WORDS], used[WORDS];
};

static void code_begin(struct code *g, unsigned rank)
{
	memset(g, 0, sizeof(*g));
	g->rank = rank;
	for (uint32_t c = 1; c < 1u << rank; c++)
		g->mass[c] = 1;
}

static void code_grow(struct code *g)
{
	uint16_t v = (uint16_t)(1u << g->width % 16);   /* a unit vector */

	if (g->width >= g->rank)
		v = next_column(g->rank, g->mass, g->used);
	g->column[g->width++] = v;
	g->used[v]++;
	add_column(g->rank, v, g->mass, g->weight);
}

void pl_cover_code(unsigned rank, unsigned width, uint16_t *columns)
{
	struct code g;

	code_begin(&g, rank);
	while (g.width < width)
		code_grow(&g);
	memcpy(columns, g.column, width * sizeof(*columns));
}

/* ---- covers ---- */

/* What a pair of strangers costs in a block, by its kind, rank and width: `look` under every mask on which they agree, `verify`
 * where they differ in fewer bits than its rank. */
struct table {
	double base, look, verify, n;
	double power[PL_COVER_WIDTH + 1];   /* base^i */
	bool known[PL_COVER_KINDS][PL_COVER_RANK + 1];
	double cost[PL_COVER_KINDS][PL_COVER_RANK + 1][PL_COVER_WIDTH + 1];
};

static void table_begin(struct table *t, double base)
{
	memset(t, 0, sizeof(*t));
	t->base = base;
	t->look = 1;
	t->power[0] = 1;
	for (unsigned i = 1; i <= PL_COVER_WIDTH; i++)
		t->power[i] = t->power[i - 1] * base;
}

double pl_cover_near(double base, unsigned rank, unsigned width)
{
	double sum = 0, each = 1;

	for (unsigned i = 0; i < width; i++)
		each *= base;
	for (unsigned i = 0; i < rank; i++) {
		sum += each;
		each = each * (1 - base) / base * (width - i) / (i + 1);
	}
	return sum;
}

static double agree(const struct table *t, unsigned weight)
{
	return t->power[weight] * (t->n * t->power[weight] > WIDE ? 2 * t->look : t->look);
}

static double agree_on_words(const struct table *t, const struct code *g)
{
	double sum = 0;

	for (uint32_t c = 1; c < 1u << g->rank; c++)
		sum += agree(t, g->weight[c]);
	return sum;
}

/* Is the last of these shares told by marks, too? */
static bool has_marks(unsigned rank, unsigned width)
{
	return rank >= 2 && width >= rank * rank && width + rank - 1 <= PL_COVER_WIDTH;
}

/* Bits of share k: as even as can be, marks counted as bits of the last. */
static unsigned share_width(unsigned rank, unsigned width, unsigned k)
{
	unsigned marks = has_marks(rank, width) ? rank - 1 : 0;

	return (width + marks + k) / rank - (k + 1 == rank ? marks : 0);
}

static double agree_on_shares(const struct table *t, unsigned rank, unsigned width)
{
	double sum = 0;

	for (unsigned k = 0; k < rank; k++)
		sum += agree(t, share_width(rank, width, k) + (k + 1 == rank && has_marks(rank, width) ? rank - 1 : 0));
	return sum;
}

static void table_rank(struct table *t, enum pl_cover_kind kind, unsigned rank)
{
	struct code g;

	if (t->known[kind][rank])
		return;
	t->known[kind][rank] = true;
	code_begin(&g, rank);
	for (unsigned width = 1; width <= PL_COVER_WIDTH; width++) {
		if (kind == PL_COVER_WORDS)
			code_grow(&g);
		if (width >= rank)
			t->cost[kind][rank][width] = (kind == PL_COVER_WORDS ? agree_on_words(t, &g) : agree_on_shares(t, rank, width)) +
			    t->verify * pl_cover_near(t->base, rank, width);
	}
}

/* One way to cut the bits. */
struct cut {
	enum pl_cover_kind kind;
	uint32_t nblocks, nmasks;
	double pair;   /* what a pair of strangers costs in all */
	uint8_t rank[PL_COVER_BLOCKS], width[PL_COVER_BLOCKS];
};

/* Bits go one by one where they save most; the sums are convex in the width, or nearly. */
static void share_bits(struct cut *cut, const struct table *t, unsigned bits)
{
	unsigned most = cut->kind == PL_COVER_WORDS ? PL_COVER_WIDTH : SHARES_WIDTH;

	while (bits > 0) {
		double best = 0;
		uint32_t at = PL_COVER_BLOCKS;
		for (uint32_t b = 0; b < cut->nblocks; b++) {
			const double *row = t->cost[cut->kind][cut->rank[b]];
			double gain = cut->width[b] < most ? row[cut->width[b]] - row[cut->width[b] + 1] : 0;
			if (gain > best) {
				best = gain;
				at = b;
			}
		}
		if (at == PL_COVER_BLOCKS)
			return;   /* every block is full */
		cut->width[at]++;
		bits--;
	}
}

static uint32_t masks_of(enum pl_cover_kind kind, unsigned rank)
{
	return kind == PL_COVER_WORDS ? (1u << rank) - 1 : rank;
}

/* Ranks as equal as can be: their sum is distance + 1, so that of two hashes within the distance some block
 * differs in fewer bits than its rank. */
static bool cut_into(struct cut *cut, struct table *t, enum pl_cover_kind kind, unsigned bits, unsigned distance, uint32_t nblocks)
{
	unsigned sum = distance + 1, rank = sum / nblocks, more = sum % nblocks;

	if (nblocks > sum || sum > bits || rank + (more > 0) > PL_COVER_RANK)
		return false;
	*cut = (struct cut){.kind = kind, .nblocks = nblocks};
	for (uint32_t b = 0; b < nblocks; b++) {
		cut->rank[b] = (uint8_t)(rank + (b < more));
		cut->width[b] = cut->rank[b];
		table_rank(t, kind, cut->rank[b]);
		cut->nmasks += masks_of(kind, cut->rank[b]);
	}
	share_bits(cut, t, bits - sum);
	for (uint32_t b = 0; b < nblocks; b++)
		cut->pair += t->cost[kind][cut->rank[b]][cut->width[b]];
	return true;
}

/* The words of a code. */
static void word_masks(const struct pl_cover_block *b, uint64_t *mask)
{
	uint16_t column[PL_COVER_WIDTH];

	pl_cover_code(b->rank, b->width, column);
	for (uint32_t c = 1; c < 1u << b->rank; c++) {
		uint64_t m = 0;
		for (unsigned i = 0; i < b->width; i++)
			m |= (uint64_t)parity(c & column[i]) << i;
		mask[c - 1] = m;
	}
}

/* As many shares as the rank: fewer bits that differ leave one alone. */
static void share_masks(struct pl_cover_block *b, uint64_t *mask)
{
	unsigned from = 0;

	for (unsigned k = 0; k < b->rank; k++) {
		unsigned width = share_width(b->rank, b->width, k);
		mask[k] = (width == 64 ? ~(uint64_t)0 : ((uint64_t)1 << width) - 1) << (from & 63);
		from += width;
	}
	if (has_marks(b->rank, b->width)) {
		b->turn = (uint64_t)1 << (b->width + b->rank - 2);
		mask[b->rank - 1] |= b->turn - ((uint64_t)1 << b->width);
	}
}

static enum pl_status build(struct pl_cover *c, const struct cut *cut, struct pl_err *err)
{
	unsigned shift = 0;

	c->mask = malloc(cut->nmasks * sizeof(*c->mask));
	if (!c->mask)
		return pl_fail_nomem(err);
	c->kind = cut->kind;
	c->nblocks = cut->nblocks;
	for (uint32_t i = 0; i < cut->nblocks; i++) {
		struct pl_cover_block *b = &c->block[i];
		*b = (struct pl_cover_block){.shift = (uint16_t)shift, .width = cut->width[i], .rank = cut->rank[i],
		    .first = c->nmasks, .masks = masks_of(cut->kind, cut->rank[i])};
		if (cut->kind == PL_COVER_WORDS)
			word_masks(b, c->mask + c->nmasks);
		else
			share_masks(b, c->mask + c->nmasks);
		shift += b->width;
		c->nmasks += b->masks;
	}
	c->whole = c->distance == 0;
	return PL_OK;
}

static enum pl_status check(unsigned bits, double base, struct pl_err *err)
{
	if (bits != 64 && bits != 256)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "hashes have 64 or 256 bits, not %u", bits);
	if (!(base >= 0.5 && base < 1))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "a bit of two strangers agrees with probability %g?", base);
	return PL_OK;
}

enum pl_status pl_cover_make(struct pl_cover *c, enum pl_cover_kind kind, unsigned bits, unsigned distance, uint32_t nblocks,
    double base, struct pl_err *err)
{
	struct table t;
	struct cut cut;
	enum pl_status st = check(bits, base, err);

	*c = (struct pl_cover){.bits = bits, .distance = distance};
	if (st != PL_OK)
		return st;
	table_begin(&t, base);
	if (nblocks == 0 || nblocks > PL_COVER_BLOCKS || !cut_into(&cut, &t, kind, bits, distance, nblocks))
		return pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_JOB, NULL, "no cover of %u bits for distance %u in %u blocks", bits,
		    distance, (unsigned)nblocks);
	return build(c, &cut, err);
}

enum pl_status pl_cover_choose(struct pl_cover *c, unsigned bits, unsigned distance, uint64_t n, double base,
    struct pl_err *err)
{
	struct table t;
	struct cut best = {0};
	double pairs = (double)n * ((double)n - 1) / 2, cost = pairs * pl_cover_compare_ns();
	enum pl_status st = check(bits, base, err);

	*c = (struct pl_cover){.bits = bits, .distance = distance};
	if (st != PL_OK)
		return st;
	table_begin(&t, base);
	t.n = (double)n;
	t.look = pl_cover_look_ns();
	t.verify = pl_cover_near_ns(n);
	for (uint32_t nblocks = 1; nblocks <= PL_COVER_BLOCKS; nblocks++) {
		for (enum pl_cover_kind kind = 0; kind < PL_COVER_KINDS; kind++) {
			struct cut cut;
			double ns;
			if (!cut_into(&cut, &t, kind, bits, distance, nblocks))
				continue;
			ns = cut.nmasks * (double)n * pl_cover_mask_ns(n) + pairs * cut.pair;
			if (ns < cost) {
				cost = ns;
				best = cut;
			}
		}
	}
	c->seconds = cost / 1e9;
	return best.nblocks > 0 ? build(c, &best, err) : PL_OK;
}

void pl_cover_release(struct pl_cover *c)
{
	free(c->mask);
	c->mask = NULL;
	c->nblocks = c->nmasks = 0;
}

/* ---- the model ---- */

/* More hashes than caches hold cost a little more with every doubling. In whole steps, since logarithms are not
 * the same everywhere. */
static double growing(uint64_t n, double ns, double each)
{
	for (n >>= 20; n > 1; n >>= 1)
		ns += each;
	return ns;
}

double pl_cover_key_ns(uint64_t n)
{
	return growing(n, 3.4, 0.37);
}

double pl_cover_verify_ns(uint64_t n)
{
	return growing(n, 11.5, 1);
}

double pl_cover_mask_ns(uint64_t n)
{
	return growing(n, 2.95, 0.25);
}

double pl_cover_look_ns(void)
{
	return 0.016;
}

double pl_cover_near_ns(uint64_t n)
{
	return growing(n, 35, 4);
}

double pl_cover_compare_ns(void)
{
	return 0.09;
}
