/* SPDX-License-Identifier: Apache-2.0 */
/* What a join will cost and find, from a few of its masks and from samples: known
 * before the work, and in a fraction of a second for any number of hashes. */
#include "cover_join.h"

#include <stdlib.h>
#include <string.h>

enum {
	PAIR_SAMPLE = 16384,         /* hashes compared with each other to guess the pairs */
	PAIR_PARTS = 256             /* so that a cluster's pairs never stand in memory all at once */
};

static double all_pairs(const struct pl_join *j)
{
	double n = j->n, fixed = j->fixed < j->n ? j->fixed : j->n;

	return n * (n - 1) / 2 - fixed * (fixed - 1) / 2;
}

/* Pairs of strangers that agree under a mask, if bits were independent. */
static double expected(const struct pl_join_plan *p, uint32_t mask)
{
	double pairs = all_pairs(&p->join);

	for (unsigned i = pl_cover_weight(p->cover.mask[mask]); i > 0; i--)
		pairs *= p->base;
	return pairs;
}

/* What is counted beyond the expected comes of copies (the same under every mask) and of bits that hang together
 * (in proportion): a line through the lightest and the heaviest mask. */
static enum pl_status block_cost(struct pl_join_plan *p, const struct pl_cover_block *b, struct pl_join_cost *c,
    struct pl_err *err)
{
	uint32_t light = b->first, heavy = b->first;
	struct pl_tally at_light, at_heavy;
	double slope, x, y;
	enum pl_status st;

	for (uint32_t m = b->first; m < b->first + b->masks; m++) {
		light = pl_cover_weight(p->cover.mask[m]) < pl_cover_weight(p->cover.mask[light]) ? m : light;
		heavy = pl_cover_weight(p->cover.mask[m]) > pl_cover_weight(p->cover.mask[heavy]) ? m : heavy;
	}
	st = pl_join_count(p, light, &at_light, err);
	at_heavy = at_light;
	if (st == PL_OK && heavy != light)
		st = pl_join_count(p, heavy, &at_heavy, err);
	if (st != PL_OK)
		return st;
	x = expected(p, heavy);
	y = at_heavy.pairs;
	slope = expected(p, light) > x ? (at_light.pairs - y) / (expected(p, light) - x) : 0;
	slope = slope > 0 ? slope : 0;
	for (uint32_t m = b->first; m < b->first + b->masks; m++)
		c->candidates += y + slope * (expected(p, m) - x);
	if (at_light.largest > c->largest_bucket)
		c->largest_bucket = at_light.largest;
	if (at_heavy.largest > c->largest_bucket)
		c->largest_bucket = at_heavy.largest;
	return PL_OK;
}

/* Strangers meet by chance, and few of them are near in a block; what meets beyond that is near. */
static double pairs_cost(const struct pl_join_plan *p, double candidates)
{
	double chance = 0, near = 0;

	for (uint32_t m = 0; m < p->cover.nmasks; m++)
		chance += expected(p, m);
	for (uint32_t b = 0; b < p->cover.nblocks; b++)
		near += all_pairs(&p->join) * pl_cover_near(p->base, p->cover.block[b].rank, p->cover.block[b].width);
	chance = chance < candidates ? chance : candidates;
	return chance * pl_cover_look_ns() + near * pl_cover_near_ns(p->join.n) + (candidates - chance) * pl_cover_verify_ns(p->join.n);
}

static enum pl_status cover_cost(struct pl_join_plan *p, struct pl_join_cost *c, struct pl_err *err)
{
	double tiled = 0;
	enum pl_status st = PL_OK;

	c->keys = (uint64_t)p->cover.nmasks * p->join.n;
	c->scratch = p->scratch_bytes;
	for (uint32_t b = 0; b < p->cover.nblocks && st == PL_OK; b++)
		st = block_cost(p, &p->cover.block[b], c, err);
	for (size_t i = 0; i < p->nhot; i++) {
		tiled += (double)p->hot[i].size * ((double)p->hot[i].size - 1) / 2;
		if (p->hot[i].size > c->largest_bucket)
			c->largest_bucket = p->hot[i].size;
	}
	c->seconds = ((double)c->keys * pl_cover_mask_ns(p->join.n) + pairs_cost(p, c->candidates) +
	    tiled * pl_cover_compare_ns()) / 1e9;
	c->candidates += tiled;
	return st;
}

/* ---- pairs ---- */

struct subset { const struct pl_join *join; uint64_t n; };

static uint32_t sampled(const struct subset *s, uint32_t i)
{
	return (uint32_t)((uint64_t)i * s->join->n / s->n);
}

static bool subset_related(void *ctx, uint32_t a, uint32_t b)
{
	const struct subset *s = ctx;

	return s->join->related(s->join->ctx, sampled(s, a), sampled(s, b));
}

static enum pl_status subset_poll(void *ctx, struct pl_err *err)
{
	const struct subset *s = ctx;

	return s->join->poll ? s->join->poll(s->join->ctx, err) : PL_OK;
}

/* All pairs of a sample, scaled. */
static enum pl_status guess_pairs(const struct pl_join_plan *p, struct pl_join_cost *c, struct pl_err *err)
{
	struct subset s = {&p->join, p->join.n < PAIR_SAMPLE ? p->join.n : PAIR_SAMPLE};
	struct pl_join j = {.n = (uint32_t)s.n, .distance = p->join.distance, .bits = p->join.bits, .poll = subset_poll, .ctx = &s};
	struct pl_buf out;
	enum pl_status st = PL_OK;

	if (s.n < 2)
		return PL_OK;
	j.hashes = malloc((size_t)s.n * sizeof(*j.hashes));
	if (!j.hashes)
		return pl_fail_nomem(err);
	j.related = p->join.related ? subset_related : NULL;
	for (uint32_t i = 0; i < j.n; i++) {
		memcpy(j.hashes[i], p->join.hashes[sampled(&s, i)], sizeof(j.hashes[i]));
		j.fixed += sampled(&s, i) < p->join.fixed;
	}
	pl_buf_init(&out, (size_t)1 << 40);
	for (uint32_t part = 0; part < PAIR_PARTS && st == PL_OK; part++) {
		st = pl_join_part_with(&j, p->how.kernel, part, PAIR_PARTS, &out, err);
		c->pairs_seen += out.len / sizeof(struct pl_pair);
		pl_buf_clear(&out);
	}
	c->pairs = (double)c->pairs_seen * ((double)p->join.n / (double)s.n) * (((double)p->join.n - 1) / ((double)s.n - 1));
	pl_buf_release(&out);
	free(j.hashes);
	return st;
}

enum pl_status pl_join_plan_cost(struct pl_join_plan *p, struct pl_join_cost *c, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	*c = (struct pl_join_cost){0};
	if (p->cover.nblocks > 0) {
		st = cover_cost(p, c, err);
	} else {
		c->candidates = all_pairs(&p->join);
		c->seconds = c->candidates * pl_cover_compare_ns() / 1e9;
	}
	if (st == PL_OK)
		st = guess_pairs(p, c, err);
	if (p->cover.nblocks > 0)
		c->seconds += c->pairs * pl_cover_verify_ns(p->join.n) / 1e9;   /* clusters make chance look likely, and are found all the same */
	if (st == PL_OK && p->join.budget > 0 && c->candidates > p->join.budget)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
		    "%.3g pairs of hashes would have to be looked at, which takes some %.3g core-hours, the largest bucket holds %llu, and the "
		    "budget is %.3g: lower the distance, raise --budget, or leave flat images out with filter or a higher --min-quality",
		    c->candidates, c->seconds / 3600, (unsigned long long)c->largest_bucket, p->join.budget);
	return st;
}
