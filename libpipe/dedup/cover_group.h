/* SPDX-License-Identifier: Apache-2.0 */
/* Grouping the entries of a part under a mask: sorted into buckets, each is
 * compared with those behind it, 16 at a time. Internal to this room and its
 * tests. */
#ifndef PL_DEDUP_COVER_GROUP_H
#define PL_DEDUP_COVER_GROUP_H

#include "join_kernel.h"

enum {
	PL_GROUP_ROW = 16,           /* entries that one is compared with at once */
	PL_GROUP_LARGE = 64,         /* the hashes of a larger bucket are compared in tiles */
	PL_GROUP_LOWER = 32          /* lower masks of the block that are looked at before the hashes are */
};

/* Entries by bucket, in a bucket in the order in which they came. */
struct pl_buckets {
	uint32_t *rest, *index;      /* bits of the hash; the hash */
	uint32_t *end;               /* per bucket: where it ends */
	uint32_t *wide;              /* buckets of more entries than one and `vectors` rows, by number */
	uint32_t n, nwide, vectors;
};

struct pl_grouping {
	const struct pl_buckets *b;
	uint32_t same;               /* the bits of `rest` that agree under the mask */
	unsigned rank;               /* of the block: pairs that differ in so many bits of it are a matter of another block */
	uint32_t fixed;              /* hashes below are not compared with each other */
	uint32_t lower[PL_GROUP_LOWER], nlower;   /* bits as `same`, of masks under which a pair would be found before */
	struct pl_join_candidate *out;
	uint32_t n, room;            /* candidates found; room for them, 8 * PL_GROUP_LARGE at least */
};

/* Places for n entries; buckets of n entries. */
size_t pl_group_places(uint32_t n);
size_t pl_group_buckets(uint32_t n);
/* Sort entries (bits above index) by their bits under `same`; extract: in the way that a processor has to have (pl_group_kernel). */
void pl_group_sort(struct pl_buckets *b, uint32_t same, const uint64_t *entries, uint32_t n, bool extract);

/* Compare the entries row .. stop - 1, each with those behind it up to `last`, or with as many as no narrow bucket reaches beyond
 * (0): who agrees under the mask is a candidate. Stops where out is full; returns how far it came. */
typedef uint32_t pl_group_fn(struct pl_grouping *g, uint32_t row, uint32_t stop, uint32_t last);
struct pl_group_kernel {
	pl_group_fn *narrow, *wide;   /* narrow: last is 0, and few are found */
	bool extract;                /* the processor takes bits out by a mask */
};
/* Every kernel finds the same; what the processor lacks is done in plain C. */
struct pl_group_kernel pl_group_kernel(enum pl_join_kernel kernel);

#endif
