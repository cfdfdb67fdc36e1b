/* SPDX-License-Identifier: Apache-2.0 */
/* The cover of the partitioned join: keys cost more than where all hashes are at
 * hand, since hashes travel, but one journey can serve several masks. */
#include "partition_step.h"

/* To find a hash's bin twice, and send it where another process of the machine joins it. */
#define SEND_NS 25.0
/* 40 bytes of a record at a core's share of a network: 96 of them have 25 GB/s. */
#define NET_NS 150.0
#define SLOT_VALUES 8   /* values of a group's bits for each slot, at least: less are not even */

double pl_partition_chance(double base, uint64_t mask)
{
	double c = 1;

	for (; mask; mask &= mask - 1)
		c *= base;
	return c;
}

double pl_partition_send_ns(uint32_t nodes)
{
	return nodes > 1 ? SEND_NS + NET_NS * (nodes - 1) / nodes : SEND_NS;
}

/* ---- groups ---- */

/* Are these bits enough? Not, when a value that many strangers share would be a bucket that is too large. */
static bool enough(const struct pl_partition_share *s, uint64_t part)
{
	double c = pl_partition_chance(s->base, part);

	return c * SLOT_VALUES * (double)s->slots <= 1 && c * (double)s->total <= (double)s->hot_size;
}

/* Add the mask that leaves most bits in common, while there are enough. */
static void grow(struct pl_group *g, const struct pl_cover *c, const struct pl_partition_share *s, uint8_t *taken)
{
	const struct pl_cover_block *b = &c->block[g->block];

	while (g->n < PL_GROUP_MASKS) {
		double least = 1;
		uint32_t best = 0;
		for (uint32_t k = 1; k < b->masks; k++) {   /* never 0: the first mask begins the first group */
			double chance = taken[k] ? 1 : pl_partition_chance(0.5, g->part & c->mask[b->first + k]);
			if (chance < least) {
				least = chance;
				best = k;
			}
		}
		if (best == 0 || !enough(s, g->part & c->mask[b->first + best]))
			return;
		taken[best] = 1;
		g->mask[g->n++] = b->first + best;
		g->part &= c->mask[b->first + best];
	}
}

uint32_t pl_partition_groups(const struct pl_cover *c, const struct pl_partition_share *s, struct pl_group *groups)
{
	uint32_t n = 0;

	for (uint32_t block = 0; block < c->nblocks; block++) {
		const struct pl_cover_block *b = &c->block[block];
		uint8_t taken[1 << PL_COVER_RANK] = {0};
		for (uint32_t k = 0; k < b->masks; k++) {
			struct pl_group g = {.mask = {b->first + k}, .n = 1, .block = block, .part = c->mask[b->first + k]};
			if (taken[k])
				continue;
			taken[k] = 1;
			grow(&g, c, s, taken);
			if (groups)
				groups[n] = g;
			n++;
		}
	}
	return n;
}

/* ---- the choice ---- */

static double cost_ns(const struct pl_cover *c, const struct pl_partition_share *s)
{
	double n = (double)s->total, collide = 0;

	for (uint32_t m = 0; m < c->nmasks; m++)
		collide += pl_partition_chance(s->base, c->mask[m]);
	return c->nmasks * n * pl_cover_key_ns(s->total) + pl_partition_groups(c, s, NULL) * n * pl_partition_send_ns(s->nodes) +
	    n * (n - 1) / 2 * collide * pl_cover_verify_ns(s->total);
}

enum pl_status pl_partition_cover(struct pl_cover *c, unsigned distance, const struct pl_partition_share *s, struct pl_err *err)
{
	double n = (double)s->total, best = n * (n - 1) / 2 * pl_cover_compare_ns();

	*c = (struct pl_cover){.bits = 256, .distance = distance};
	for (uint32_t blocks = 1; blocks <= PL_COVER_BLOCKS; blocks++) {
		struct pl_cover other;
		enum pl_status st = pl_cover_make(&other, PL_COVER_WORDS, 256, distance, blocks, s->base, err);
		double ns;
		if (st == PL_ERR_UNSUPPORTED)
			continue;
		if (st != PL_OK) {
			pl_cover_release(c);
			return st;
		}
		ns = cost_ns(&other, s);
		if (ns < best) {
			struct pl_cover worse = *c;
			best = ns;
			*c = other;
			other = worse;
		}
		pl_cover_release(&other);
	}
	c->seconds = best / 1e9;
	return PL_OK;
}
