/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs of nodes by their numbers in the whole job, of which there may be more
 * than 2^32: what the join leaves behind and survivors are decided from. */
#ifndef PL_DEDUP_LINK_H
#define PL_DEDUP_LINK_H

#include <stdint.h>

#define PL_NODES_MAX (((uint64_t)1 << 48) - 1)   /* nodes of a job, at most */
#define PL_NODE_NONE UINT64_MAX

/* a < b */
struct pl_link {
	uint64_t a;
	uint32_t b_low;
	uint16_t b_high, distance;
};
_Static_assert(sizeof(struct pl_link) == 16, "README.md promises 16 bytes a pair");

static inline struct pl_link pl_link(uint64_t a, uint64_t b, uint32_t distance)
{
	return (struct pl_link){a, (uint32_t)b, (uint16_t)(b >> 32), (uint16_t)distance};
}

static inline uint64_t pl_link_b(const struct pl_link *l)
{
	return (uint64_t)l->b_high << 32 | l->b_low;
}

#endif
