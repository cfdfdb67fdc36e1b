/* SPDX-License-Identifier: Apache-2.0 */
/* Families: masks of a block that hold enough bits in common for the hashes to
 * be spread by these once for all of them. Spreading is half of a join's work,
 * since it goes through all memory; what follows stays in the nearest cache. */
#include "cover_join.h"

#include <stdlib.h>

enum {
	REST_BITS = 32,
	UNITS_PER_WORKER = 4            /* with fewer masks than that, each is a unit of its own */
};

static unsigned ones(uint64_t x)
{
	unsigned n = 0;

	for (; x; x &= x - 1)
		n++;
	return n;
}

uint64_t pl_join_extract(uint64_t x, uint64_t mask)
{
	uint64_t out = 0;

	for (unsigned to = 0; mask; to++, mask &= mask - 1)
		out |= ((x & mask & (0 - mask)) != 0 ? (uint64_t)1 : 0) << to;
	return out;
}

/* The lowest n bits of x. */
static uint64_t lowest_bits(uint64_t x, unsigned n)
{
	uint64_t out = 0;

	for (; n > 0; n--, x &= x - 1)
		out |= x & (0 - x);
	return out;
}

static bool has_hot(const struct pl_join_plan *p, uint32_t mask)
{
	for (size_t i = 0; i < p->nhot; i++) {
		if (p->hot[i].mask == mask)
			return true;
	}
	return false;
}

/* Are hashes spread by bits that they have? Ranges are told by a hash of one mask's bits, and so is what stands alone for its hot
 * buckets. */
static bool may_split(const struct pl_join_plan *p)
{
	return p->range_bits == 0 && !p->cover.whole;
}

/* May masks be joined together at all? */
static bool may_share(const struct pl_join_plan *p)
{
	if ((uint64_t)UNITS_PER_WORKER * p->join.workers > p->cover.nmasks && p->join.workers > 1)
		return false;
	return may_split(p) && p->part_bits > 0;
}

static uint64_t block_bits(const struct pl_cover_block *b)
{
	return b->width == 64 ? ~(uint64_t)0 : ((uint64_t)1 << b->width) - 1;
}

/* What entries hold: of the bits of masks, then of the others of the block, as many as there is room for. */
static uint64_t rest_bits(uint64_t masks, uint64_t block)
{
	uint64_t rest = lowest_bits(masks, ones(masks) < REST_BITS ? ones(masks) : REST_BITS), others = block & ~masks;
	unsigned room = REST_BITS - ones(rest);

	return rest | lowest_bits(others, ones(others) < room ? ones(others) : room);
}

uint64_t pl_join_turn(const struct pl_cover_block *b, uint32_t mask)
{
	return mask + 1 == b->first + b->masks ? b->turn : 0;
}

struct pl_family pl_join_alone(const struct pl_join_plan *p, uint32_t mask)
{
	const struct pl_cover_block *b = &p->cover.block[pl_join_block_of(p, mask)];

	return (struct pl_family){.mask = {mask}, .n = 1, .hashed = true,
	    .rest = rest_bits(p->cover.mask[mask] | pl_join_turn(b, mask), block_bits(b))};
}

/* The free mask of the block that leaves most bits in common, or UINT32_MAX. */
static uint32_t next_member(const struct pl_join_plan *p, const struct pl_cover_block *b, const bool *taken, uint64_t common,
    uint64_t any)
{
	uint32_t best = UINT32_MAX;
	unsigned most = p->part_bits - 1;

	for (uint32_t m = b->first; m < b->first + b->masks; m++) {
		unsigned bits = ones(common & p->cover.mask[m]);
		if (!taken[m] && bits > most && ones(any | p->cover.mask[m]) - p->part_bits <= REST_BITS) {
			best = m;
			most = bits;
		}
	}
	return best;
}

static void make_family(struct pl_join_plan *p, const struct pl_cover_block *b, uint32_t first, bool *taken)
{
	struct pl_family *f = &p->family[p->nfamilies++];
	uint64_t common = p->cover.mask[first], any = 0;
	uint32_t more = first;

	*f = pl_join_alone(p, first);
	f->n = 0;
	do {
		f->mask[f->n++] = more;
		taken[more] = true;
		common &= p->cover.mask[more];
		any |= p->cover.mask[more] | pl_join_turn(b, more);
		more = f->n < PL_FAMILY_MASKS && may_share(p) ? next_member(p, b, taken, common, any) : UINT32_MAX;
	} while (more != UINT32_MAX);
	if (may_split(p) && ones(common) >= p->part_bits && ones(any) - p->part_bits <= REST_BITS) {
		f->hashed = false;
		f->part = lowest_bits(common, p->part_bits);
		f->rest = rest_bits(any & ~f->part, block_bits(b) & ~f->part);
	}
}

enum pl_status pl_join_families(struct pl_join_plan *p, struct pl_err *err)
{
	bool *taken = calloc(p->cover.nmasks, sizeof(*taken));

	p->family = calloc(p->cover.nmasks, sizeof(*p->family));
	if (!taken || !p->family) {
		free(taken);
		return pl_fail_nomem(err);
	}
	/* what has a hot bucket leaves it out, and stays alone */
	for (uint32_t k = 0; k < p->cover.nblocks; k++) {
		const struct pl_cover_block *b = &p->cover.block[k];
		for (uint32_t m = b->first; m < b->first + b->masks; m++) {
			if (has_hot(p, m)) {
				p->family[p->nfamilies++] = pl_join_alone(p, m);
				taken[m] = true;
			}
		}
		for (uint32_t m = b->first; m < b->first + b->masks; m++) {
			if (!taken[m])
				make_family(p, b, m, taken);
		}
	}
	free(taken);
	return PL_OK;
}
