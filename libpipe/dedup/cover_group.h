/* SPDX-License-Identifier: Apache-2.0 */
/* Grouping the entries of a part under a mask: dealt to buckets, and in each
 * every one compared with every other, 16 at a time. Internal to this room and
 * its tests. */
#ifndef PL_DEDUP_COVER_GROUP_H
#define PL_DEDUP_COVER_GROUP_H

#include "join_kernel.h"

enum {
	PL_GROUP_BLOCK = 64,         /* entries that are looked at together: so many bits, and registers enough */
	PL_GROUP_LOWER = 32          /* lower masks of the block that are looked at before the hashes are */
};

/* Entries (bits of the hash above its index) by bucket, in a bucket in the order in which they came. */
struct pl_buckets {
	uint64_t *entry;
	uint32_t *end;               /* per bucket: where it ends */
	uint32_t n, stride;          /* buckets; how far apart they begin, or 0: where the one before ends */
	bool paired;                 /* bucket k is joined with bucket k + n/2 only: they are told apart by the bit that turns */
};

struct pl_grouping {
	const struct pl_buckets *b;
	uint32_t same;               /* the bits of entries that agree under the mask */
	uint32_t turn;               /* a bit, or 0, in which a pair differs; above those of `same` */
	unsigned rank;               /* of the block: pairs that differ in so many bits of it are a matter of another block */
	uint32_t fixed;              /* hashes below are not compared with each other */
	uint32_t lower[PL_GROUP_LOWER], nlower;   /* bits as `same`, of masks under which a pair would be found before */
	struct pl_join_candidate *out;
	uint32_t n, room;            /* candidates found; room for them, 2 * PL_GROUP_BLOCK at least */
	/* Looks at the candidates and sets n to 0; called in any case after every so many comparisons. */
	void (*full)(struct pl_grouping *g);
	/* Joins a bucket, or two, of more than PL_GROUP_BLOCK in which much is near: there all hashes are compared in tiles. */
	void (*dense)(struct pl_grouping *g, const uint64_t *x, uint32_t nx, const uint64_t *y, uint32_t ny);
	void *ctx;                   /* theirs */
	enum pl_status st;           /* anything but PL_OK: no more is compared */
};

/* Places for n entries; buckets of n entries. */
size_t pl_group_places(uint32_t n);
size_t pl_group_buckets(uint32_t n);
/* Room for a bucket of so many entries in the mean and some deviations more; an odd number of lines, or buckets would share their
 * places of the cache. */
uint32_t pl_group_stride(uint32_t mean, uint32_t deviations);
/* Deal entries to buckets by their bits under `same`, and by `turn` if that can be; extract: in the way that a processor has to have (pl_group_kernel). */
void pl_group_deal(struct pl_buckets *b, uint32_t same, uint32_t turn, const uint64_t *entries, uint32_t n, bool extract);

/* Compare what is in the buckets: who agrees under the mask and is near is a candidate, once. */
typedef void pl_group_fn(struct pl_grouping *g);
struct pl_group_kernel {
	pl_group_fn *compare;
	bool extract;                /* the processor takes bits out by a mask */
};
/* Every kernel finds the same candidates, in an order of its own; what the processor lacks is done in plain C. */
struct pl_group_kernel pl_group_kernel(enum pl_join_kernel kernel);

#endif
