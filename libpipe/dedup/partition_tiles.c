/* SPDX-License-Identifier: Apache-2.0 */
/* A bucket too large for one part: its hashes are cut into slices, and each pair
 * of slices is a tile of work. A round gives every part one tile, small enough
 * for what it may hold, and rounds go on until all tiles are done. So however
 * many hashes agree, none is left out and nobody holds them all. */
#include "partition_step.h"

#include <stdlib.h>

enum { SLICE_MIN = 4096 };   /* hashes: below, more slices are more messages only */

struct grid {
	struct pl_partition *p;
	const struct pl_group *group; uint32_t bin;
	uint32_t slices;
	uint64_t *count;                  /* by slice, of the whole job */
	uint32_t *first, *part;           /* by slice: the parts that want it in this round */
	uint64_t left, right;             /* slices of this part's tile; left == slices: none */
	struct pl_segment segment[2];
	uint32_t at, k;                   /* where the sender is: the hash, the part that wants it */
};

static bool member(const struct grid *g, uint32_t i)
{
	return !g->group || pl_partition_bin(g->p, g->group, g->p->job.hashes[i]) == g->bin;
}

/* By lot, so that slices are about even whatever the numbers. */
static uint32_t slice_of(const struct grid *g, uint64_t id)
{
	return (uint32_t)(pl_mix64(id) % g->slices);
}

/* ---- slices ---- */

static uint64_t tiles_of(uint64_t slices)
{
	return slices * (slices + 1) / 2;
}

/* So many slices that there are tiles for all parts and two of them fit into what a part may hold. */
static uint32_t first_guess(const struct pl_partition *p, uint64_t size)
{
	uint64_t memory = size / p->capacity * 2 + (size > p->capacity ? 3 : 1), slices = 1;

	while (tiles_of(slices) < p->job.parts->parts && size / (slices + 1) >= SLICE_MIN)
		slices++;
	slices = slices > memory ? slices : memory;
	return slices < UINT32_MAX / 2 ? (uint32_t)slices : UINT32_MAX / 2;
}

static enum pl_status count_slices(struct grid *g, struct pl_err *err)
{
	const struct pl_partition *p = g->p;
	const struct pl_parts *parts = p->job.parts;
	uint64_t *count = realloc(g->count, (size_t)g->slices * sizeof(*count));
	enum pl_status st = count ? PL_OK : pl_fail_nomem(err);

	if (count)
		g->count = count;
	if ((st = parts->agree(parts->ctx, st, err)) != PL_OK || !count)
		return st;
	for (uint32_t i = 0; i < g->slices; i++)
		count[i] = 0;
	for (uint32_t i = 0; i < p->job.n; i++)
		if (member(g, i))
			count[slice_of(g, p->job.first + i)]++;
	parts->sum(parts->ctx, count, g->slices);
	return parts->agree(parts->ctx, parts->poll(parts->ctx, err), err);
}

static enum pl_status cut(struct grid *g, uint64_t size, struct pl_err *err)
{
	uint64_t most = UINT64_MAX;
	enum pl_status st = PL_OK;

	g->slices = first_guess(g->p, size);
	while (st == PL_OK) {
		st = count_slices(g, err);
		most = 0;
		for (uint32_t i = 0; st == PL_OK && g->count && i < g->slices; i++)
			most = g->count[i] > most ? g->count[i] : most;
		if ((g->slices == 1 ? most : 2 * most) <= g->p->capacity)
			break;
		g->slices += g->slices / 4 + 1;
	}
	return st;
}

/* ---- a round ---- */

/* Tiles are numbered column by column: (0,0), (0,1), (1,1), (0,2), ... */
static void next_tile(uint64_t *left, uint64_t *right)
{
	if (++*left > *right) {
		*left = 0;
		++*right;
	}
}

/* Who wants which slice, when the tiles from (left, right) on go to the parts in turn. */
static void list_wants(struct grid *g, uint64_t left, uint64_t right)
{
	uint32_t parts = g->p->job.parts->parts;
	uint64_t l = left, r = right;

	for (uint32_t i = 0; i <= g->slices; i++)
		g->first[i] = 0;
	g->left = g->slices;
	for (uint32_t q = 0; q < parts && r < g->slices; q++, next_tile(&l, &r)) {
		g->first[l]++;
		g->first[r] += r != l;
		if (q == g->p->job.parts->part) {
			g->left = l;
			g->right = r;
		}
	}
	for (uint32_t i = 0; i < g->slices; i++)
		g->first[i + 1] += g->first[i];
	l = left;
	r = right;
	for (uint32_t q = 0; q < parts && r < g->slices; q++, next_tile(&l, &r)) {   /* ends become beginnings */
		g->part[--g->first[l]] = q;
		if (r != l)
			g->part[--g->first[r]] = q;
	}
}

static enum pl_status fill_batch(void *ctx, struct pl_buf *to, uint64_t *more, struct pl_err *err)
{
	struct grid *g = ctx;
	struct pl_partition *p = g->p;
	uint64_t left = pl_partition_room(p);
	size_t each = pl_partition_room_each(p);

	for (; g->at < p->job.n; g->at++, g->k = 0) {
		uint32_t slice;
		if (!member(g, g->at))
			continue;
		slice = slice_of(g, p->job.first + g->at);
		for (; g->first[slice] + g->k < g->first[slice + 1]; g->k++, left--) {
			uint32_t part = g->part[g->first[slice] + g->k];
			enum pl_status st;
			*more = left == 0 || to[part].len >= each;
			if (*more > 0)
				return PL_OK;
			if ((st = pl_partition_send(p, &to[part], g->at, 0, err)) != PL_OK)
				return st;
		}
	}
	return PL_OK;
}

static struct pl_segment *segment_of(void *ctx, uint64_t tag, uint64_t id)
{
	struct grid *g = ctx;
	uint32_t slice = slice_of(g, id);

	(void)tag;
	if (g->left == g->slices)
		return NULL;
	return slice == g->left ? &g->segment[0] : slice == g->right ? &g->segment[1] : NULL;
}

static enum pl_status take_batch(void *ctx, const struct pl_buf *from, struct pl_err *err)
{
	struct grid *g = ctx;

	return pl_partition_receive(g->p, from, segment_of, g, err);
}

static void make_segments(struct grid *g)
{
	bool none = g->left == g->slices;
	uint32_t n = none ? 0 : (uint32_t)g->count[g->left];
	uint32_t m = none || g->left == g->right ? 0 : (uint32_t)g->count[g->right];

	g->segment[0] = (struct pl_segment){0, 0, n, n};
	g->segment[1] = (struct pl_segment){n, n, n + m, n + m};
}

/* ---- the pairs of a tile ---- */

static bool wanted(const struct grid *g, uint32_t a, uint32_t b)
{
	const struct pl_partition *p = g->p;

	if (p->id[a] < p->job.fixed && p->id[b] < p->job.fixed)
		return false;
	if (p->class && !p->job.related(p->class[a], p->class[b]))
		return false;
	for (uint32_t k = 0; g->group && k < g->group->n; k++)
		if (pl_cover_lowest(&p->local.cover, g->group->block, g->group->mask[k], p->hash[a], p->hash[b]))
			return true;
	return !g->group;
}

/* Row a against the loaded block of hashes from `first` on. */
static enum pl_status join_row(struct grid *g, uint32_t a, uint32_t first, uint32_t from, struct pl_err *err)
{
	struct pl_partition *p = g->p;
	struct pl_scratch *s = &p->local.s;
	uint32_t n = p->local.scan(p->hash[a], s->block, from, p->job.distance, s->hit), kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t b = first + s->hit[i].index;
		if (wanted(g, a, b))
			s->pair[kept++] = (struct pl_pair){a, b, s->hit[i].distance};
	}
	return kept > 0 ? pl_buf_add(&p->pairs, s->pair, kept * sizeof(*s->pair), err) : PL_OK;
}

/* Rows of a segment against the block from `first` on, `fixed` of it: fixed rows have nothing to look for there. */
static enum pl_status join_block(struct grid *g, const struct pl_segment *rows, uint32_t first, bool fixed, struct pl_err *err)
{
	struct pl_partition *p = g->p;
	const struct pl_join_block *b = p->local.s.block;
	bool same = first >= rows->start && first < rows->end;
	uint32_t end = same ? first + b->n : rows->end;
	enum pl_status st = PL_OK;

	for (uint32_t a = fixed ? rows->front : rows->start; a < end && st == PL_OK; a++) {
		uint32_t from = same && a >= first ? a - first + 1 : 0;
		st = join_row(g, a, first, from, err);
		if (a % PL_JOIN_TILE == 0 && st == PL_OK)
			st = pl_partition_poll(p, err);
	}
	return st;
}

static enum pl_status join_tile(struct grid *g, struct pl_err *err)
{
	struct pl_partition *p = g->p;
	struct pl_join_block *b = p->local.s.block;
	const struct pl_segment *right = &g->segment[g->left == g->right ? 0 : 1];
	enum pl_status st = PL_OK;

	p->base = 0;
	p->stats.tiles += g->left != g->slices;
	for (uint32_t first = right->start; g->left != g->slices && first < right->end && st == PL_OK; first += PL_JOIN_TILE) {
		b->n = right->end - first < PL_JOIN_TILE ? right->end - first : PL_JOIN_TILE;
		for (uint32_t i = 0; i < b->n; i++)
			for (unsigned w = 0; w < 4; w++)
				b->word[w][i] = p->hash[first + i][w];
		st = join_block(g, &g->segment[0], first, first + b->n <= right->front, err);
	}
	return st == PL_OK ? pl_partition_flush(p, err) : st;
}

enum pl_status pl_partition_tiles(struct pl_partition *p, const struct pl_group *group, uint32_t bin, uint64_t size, struct pl_err *err)
{
	struct grid g = {.p = p, .group = group, .bin = bin};
	const struct pl_parts *parts = p->job.parts;
	uint64_t left = 0, right = 0;
	enum pl_status st;

	st = cut(&g, size, err);
	if (st == PL_OK) {
		g.first = malloc(((size_t)g.slices + 1) * sizeof(*g.first));
		g.part = malloc(2 * (size_t)parts->parts * sizeof(*g.part));
		st = parts->agree(parts->ctx, g.first && g.part ? PL_OK : pl_fail_nomem(err), err);
	}
	while (st == PL_OK && right < g.slices && g.count && g.first && g.part) {
		list_wants(&g, left, right);
		make_segments(&g);
		g.at = g.k = 0;
		p->stream.fill = fill_batch;
		p->stream.take = take_batch;
		p->stream.ctx = &g;
		st = pl_parts_stream(parts, PL_OK, &p->stream, err);
		if (st == PL_OK)
			st = join_tile(&g, err);
		st = parts->agree(parts->ctx, st, err);
		for (uint32_t q = 0; q < parts->parts; q++)
			next_tile(&left, &right);
	}
	free(g.count);
	free(g.first);
	free(g.part);
	return st;
}
