/* SPDX-License-Identifier: Apache-2.0 */
/* Greedy stars (star.h) in rounds over parts: each part decides its range of the
 * nodes and tells the others what it decided. A node is kept when all its
 * neighbours of higher priority are dropped, and dropped when one is kept; the
 * answer is that of pl_star whatever the parts and however many rounds it takes. */
#ifndef PL_DEDUP_ROUNDS_H
#define PL_DEDUP_ROUNDS_H

#include "libpipe/base/buf.h"
#include "link.h"
#include "sort.h"

/* 2 bits a node. Nodes without a neighbour of higher priority are kept from the start. */
enum pl_star_state { PL_STATE_KEPT, PL_STATE_DROPPED, PL_STATE_UNDECIDED };

/* What a part tells: node << 2 | state. */
typedef uint64_t pl_star_news;

struct pl_star_part {
	uint64_t first, end;               /* its nodes, fewer than 2^32 */
	const struct pl_link *pairs; size_t npairs;   /* those with b among them; sorted */
	uint8_t *own;                      /* states of its nodes */
	uint64_t *open; size_t nopen;      /* first pairs of the undecided */
	pl_poll *poll; void *ctx;          /* called every so many pairs; NULL works */
	uint64_t seen;                     /* pairs, since the last call */
};

/* Sort pairs for a part: by b, then nearest first, then by a. PL_ERR_INVALID unless first <= b < end, a < b and distance <= 256.
 * spare: bytes to sort with (pl_sort_within). */
PL_MUST_CHECK enum pl_status pl_star_sort(uint64_t first, uint64_t end, struct pl_link *pairs, size_t npairs, uint64_t spare, pl_poll *poll,
    void *ctx, struct pl_err *err);
/* pairs are sorted and stay until pl_star_part_release. Appends to news what the others must know. */
PL_MUST_CHECK enum pl_status pl_star_part_init(struct pl_star_part *p, uint64_t first, uint64_t end, const struct pl_link *pairs,
    size_t npairs, pl_poll *poll, void *ctx, struct pl_buf *news, struct pl_err *err);
void pl_star_part_release(struct pl_star_part *p);   /* works on a zeroed one */
/* Decide what can be decided by the states of all nodes (those of own ones are not looked at), append it to news. p->nopen is 0
 * when nothing is left; while one part has some left, each round decides at least one. */
PL_MUST_CHECK enum pl_status pl_star_round(struct pl_star_part *p, const uint8_t *states, struct pl_buf *news, struct pl_err *err);
/* After the last round: survivor and distance of node first + i, as pl_star has them; PL_NODE_NONE: it is kept. */
PL_MUST_CHECK enum pl_status pl_star_part_end(struct pl_star_part *p, const uint8_t *states, uint64_t *survivor, uint16_t *distance,
    struct pl_err *err);

/* Bytes of the states of n nodes. */
static inline uint64_t pl_star_bytes(uint64_t n)
{
	return (n + 3) / 4;
}

static inline enum pl_star_state pl_star_state(const uint8_t *states, uint64_t node)
{
	return (enum pl_star_state)(states[node / 4] >> node % 4 * 2 & 3);
}

void pl_star_apply(uint8_t *states, const pl_star_news *news, size_t n);

#endif
