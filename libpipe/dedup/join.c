/* SPDX-License-Identifier: Apache-2.0 */
/* The exhaustive join in tiles. A tile is a block of hashes against itself or
 * a later block; tile number t belongs to part t mod parts, so parts are even
 * and need not know of each other. */
#include "join.h"

#include <stdlib.h>
#include <string.h>

#include "join_kernel.h"

struct scan {
	const struct pl_join *join;
	pl_join_scan_fn *fn;
	struct pl_join_block *block;   /* the right-hand block */
	struct pl_join_hit hits[PL_JOIN_TILE];
	struct pl_pair pairs[PL_JOIN_TILE];
};

static uint32_t block_length(const struct pl_join *j, uint32_t block)
{
	uint32_t first = block * PL_JOIN_TILE;
	uint32_t left = j->n - first;

	return left < PL_JOIN_TILE ? left : PL_JOIN_TILE;
}

/* Turn a block's rows into columns. */
static void load_block(struct scan *s, uint32_t block)
{
	uint32_t first = block * PL_JOIN_TILE;
	struct pl_join_block *b = s->block;

	b->n = block_length(s->join, block);
	for (uint32_t i = 0; i < b->n; i++) {
		for (unsigned w = 0; w < 4; w++)
			b->word[w][i] = s->join->hashes[first + i][w];
	}
}

/* Where the second of a pair with hash a stands at the earliest, in a block that begins at `first`. */
static uint32_t begin_at(const struct pl_join *j, uint32_t a, uint32_t first, uint32_t from)
{
	return a < j->fixed && first + from < j->fixed ? j->fixed - first : from;
}

static enum pl_status scan_row(struct scan *s, uint32_t a, uint32_t right, uint32_t from,
    struct pl_buf *out, struct pl_err *err)
{
	const struct pl_join *j = s->join;
	uint32_t found = s->fn(j->hashes[a], s->block, from, j->distance, s->hits);
	size_t n = 0;

	for (uint32_t i = 0; i < found; i++) {
		uint32_t b = right * PL_JOIN_TILE + s->hits[i].index;
		if (!j->related || j->related(j->ctx, a, b))
			s->pairs[n++] = (struct pl_pair){a, b, s->hits[i].distance};
	}
	return n ? pl_buf_add(out, s->pairs, n * sizeof(s->pairs[0]), err) : PL_OK;
}

/* The right-hand block is loaded. */
static enum pl_status scan_tile(struct scan *s, uint32_t left, uint32_t right, struct pl_buf *out,
    struct pl_err *err)
{
	const struct pl_join *j = s->join;
	uint32_t first = left * PL_JOIN_TILE, n = block_length(j, left);
	enum pl_status st = PL_OK;

	for (uint32_t i = 0; i < n && st == PL_OK; i++) {
		uint32_t from = begin_at(j, first + i, right * PL_JOIN_TILE, left == right ? i + 1 : 0);
		if (from < s->block->n)
			st = scan_row(s, first + i, right, from, out, err);
	}
	if (st == PL_OK && j->poll)
		st = j->poll(j->ctx, err);
	return st;
}

/* Tiles are numbered column by column: (0,0), (0,1), (1,1), (0,2), ... */
static enum pl_status scan_tiles(struct scan *s, uint32_t part, uint32_t parts, struct pl_buf *out,
    struct pl_err *err)
{
	uint32_t blocks = (uint32_t)(((uint64_t)s->join->n + PL_JOIN_TILE - 1) / PL_JOIN_TILE);
	uint64_t number = 0;   /* of tile (0, right) */

	for (uint32_t right = 0; right < blocks; right++) {
		uint64_t first = (part + parts - number % parts) % parts;
		if (first <= right)
			load_block(s, right);
		for (uint64_t left = first; left <= right; left += parts) {
			enum pl_status st = scan_tile(s, (uint32_t)left, right, out, err);
			if (st != PL_OK)
				return st;
		}
		number += (uint64_t)right + 1;
	}
	return PL_OK;
}

enum pl_status pl_join_part_with(const struct pl_join *j, enum pl_join_kernel kernel, uint32_t part,
    uint32_t parts, struct pl_buf *out, struct pl_err *err)
{
	struct scan *s;
	enum pl_status st;

	if (part >= parts || j->distance > 256)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "part %u of %u at distance %u: no such join", (unsigned)part, (unsigned)parts, j->distance);
	s = calloc(1, sizeof(*s));
	if (!s)
		return pl_fail_nomem(err);
	s->join = j;
	s->fn = pl_join_scan(kernel);
	s->block = calloc(1, sizeof(*s->block));
	if (!s->fn)
		st = pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_JOB, NULL, "this processor has no kernel '%s'",
		    pl_join_kernel_name(kernel));
	else if (!s->block)
		st = pl_fail_nomem(err);
	else
		st = scan_tiles(s, part, parts, out, err);
	free(s->block);
	free(s);
	return st;
}

enum pl_status pl_join_part(
    const struct pl_join *j, uint32_t part, uint32_t parts, struct pl_buf *out, struct pl_err *err)
{
	return pl_join_part_with(j, pl_join_best(), part, parts, out, err);
}
