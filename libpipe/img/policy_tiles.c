/* SPDX-License-Identifier: Apache-2.0 */
/* Resolution policies that cut a picture into tiles, in the arithmetic of
 * what they follow; and what a policy makes of a picture, tiles or not. */
#include "policy.h"

#include <math.h>
#include <string.h>

bool pl_policy_tiles(enum pl_policy policy)
{
	return policy == PL_POLICY_ANYRES || policy == PL_POLICY_UHD_SLICES ||
	    policy == PL_POLICY_WINDOWS;
}

/* A whole picture squashed to width x height. */
static struct pl_geometry squashed(uint32_t width, uint32_t height)
{
	return pl_geometry_centred(width, height, width, height);
}

/* ---- LLaVA-NeXT ---- */

/* llava.mm_utils.select_best_resolution: most of the picture's pixels kept, then least of the grid wasted, the first wins. */
static uint32_t best_grid(const struct pl_resize *r, uint32_t width, uint32_t height)
{
	uint64_t most = 0, least = UINT64_MAX;
	uint32_t best = 0;
	for (uint32_t i = 0; i < r->ngrids; i++) {
		const uint64_t w = (uint64_t)r->grids[i].columns * r->tile;
		const uint64_t h = (uint64_t)r->grids[i].rows * r->tile;
		const double by_w = (double)w / width, by_h = (double)h / height;
		const double by = by_h < by_w ? by_h : by_w;
		uint64_t kept = (uint64_t)(width * by) * (uint64_t)(height * by);
		if (kept > (uint64_t)width * height)
			kept = (uint64_t)width * height;
		if (kept > most || (kept == most && w * h - kept < least)) {
			most = kept;
			least = w * h - kept;
			best = i;
		}
	}
	return best;
}

/* llava.mm_utils.resize_and_pad_image on the best grid; the overview is the whole, squashed. */
static void anyres(const struct pl_resize *r, uint32_t width, uint32_t height, struct pl_tiling *t)
{
	const uint32_t best = best_grid(r, width, height);
	t->columns = r->grids[best].columns;
	t->rows = r->grids[best].rows;
	t->tile_w = t->tile_h = r->tile;
	const uint32_t to_w = t->columns * r->tile, to_h = t->rows * r->tile;
	const double by_w = (double)to_w / width, by_h = (double)to_h / height;
	uint32_t w = to_w, h = to_h;
	if (by_w < by_h)
		h = (uint32_t)fmin(ceil(height * by_w), to_h);
	else
		w = (uint32_t)fmin(ceil(width * by_h), to_w);
	t->canvas = pl_geometry_centred(w, h, to_w, to_h);
	t->whole = squashed(r->tile, r->tile);
}

/* ---- LLaVA-UHD ---- */

/* llava_uhd/slice_logic.py adapt_size: the largest sides in whole patches of the picture's ratio that take no more patches
 * than a tile has. */
static void adapt_size(
    const struct pl_resize *r, uint32_t width, uint32_t height, uint32_t *to_w, uint32_t *to_h)
{
	const double p = r->patch, side = floor((double)r->tile / p), most = side * side;
	const double scale = sqrt(most * (p / height) * (p / width));
	const double w = fmax(fmin(floor(scale * width / p), most), 1);
	const double h = fmax(fmin(floor(scale * height / p), most), 1);
	*to_w = (uint32_t)w * r->patch;
	*to_h = (uint32_t)h * r->patch;
}

/* cal_num_of_slices: of all grids of n - 1, n and n + 1 slices the one whose ratio is next to the picture's, in logarithms; n is what
 * the picture's area asks. Where two are equally far, the last bits of the logarithms decide, as they do there: for
 * squares of 5 and more slices 3 x 2, not 2 x 3. */
static void slices(const struct pl_resize *r, uint32_t width, uint32_t height, uint32_t *columns,
    uint32_t *rows)
{
	const double tile = (double)r->tile * r->tile, ratio = log((double)width / height);
	const double area = ceil((double)width * height / tile);
	const uint32_t n = area > r->max_slices ? r->max_slices : (uint32_t)area;
	double least = 1000;
	*columns = *rows = 1;
	for (uint32_t k = n <= 2 ? n : n - 1; k <= n + 1; k++)
		for (uint32_t i = 1; i <= k; i++) {
			const double off = fabs(log(i / ((double)k / i)) - ratio);
			if (k % i == 0 && off < least) {
				least = off;
				*columns = i;
				*rows = k / i;
			}
		}
}

static void uhd(const struct pl_resize *r, uint32_t width, uint32_t height, struct pl_tiling *t)
{
	uint32_t w, h;
	adapt_size(r, width, height, &w, &h);
	t->whole = squashed(w, h);
	slices(r, width, height, &t->columns, &t->rows);
	if (t->columns * t->rows == 1) {
		t->columns = t->rows = 0;
		t->canvas = t->whole;
		return;
	}
	w = width / t->columns;
	h = height / t->rows;
	adapt_size(r, w > 0 ? w : 1, h > 0 ? h : 1, &t->tile_w, &t->tile_h);
	t->canvas = squashed(t->columns * t->tile_w, t->rows * t->tile_h);
}

/* ---- Monkey ---- */

static void windows(const struct pl_resize *r, struct pl_tiling *t)
{
	t->columns = r->target_w / r->tile;
	t->rows = r->target_h / r->tile;
	t->tile_w = t->tile_h = r->tile;
	t->canvas = squashed(t->columns * r->tile, t->rows * r->tile);
	t->whole = squashed(r->tile, r->tile);
}

/* ---- any policy ---- */

static void settle_change(struct pl_geometry *g, uint32_t width, uint32_t height)
{
	g->changes = g->scaled_w != width || g->scaled_h != height || g->out_w != width ||
	    g->out_h != height || g->left != 0 || g->top != 0;
}

/* tiles -> what r->write wants of them. */
static void choose_written(const struct pl_resize *r, struct pl_tiling *t)
{
	if (t->columns == 0)
		return;
	if (r->write == PL_WRITE_WHOLE) {
		t->whole = t->canvas;
		t->columns = t->rows = 0;
	} else if (r->write == PL_WRITE_TILES) {
		memset(&t->whole, 0, sizeof(t->whole));
	}
}

enum pl_reason pl_policy_cut(
    const struct pl_resize *r, uint32_t width, uint32_t height, struct pl_tiling *t)
{
	enum pl_reason reason = PL_REASON_KEEP;
	memset(t, 0, sizeof(*t));
	if (width == 0 || height == 0)
		return PL_REASON_CORRUPT;
	if (r->policy == PL_POLICY_ANYRES)
		anyres(r, width, height, t);
	else if (r->policy == PL_POLICY_UHD_SLICES)
		uhd(r, width, height, t);
	else if (r->policy == PL_POLICY_WINDOWS)
		windows(r, t);
	else if ((reason = pl_policy_whole(r, width, height, &t->whole)) == PL_REASON_KEEP)
		t->canvas = t->whole;
	return reason;
}

enum pl_reason pl_resize_tiling(
    const struct pl_resize *r, uint32_t width, uint32_t height, struct pl_tiling *t)
{
	enum pl_reason reason = pl_policy_cut(r, width, height, t);
	if (reason != PL_REASON_KEEP)
		return reason;
	choose_written(r, t);
	settle_change(&t->canvas, width, height);
	settle_change(&t->whole, width, height);
	return PL_REASON_KEEP;
}

bool pl_resize_grid(const struct pl_resize *r, uint32_t width, uint32_t height, struct pl_tiling *t)
{
	return pl_policy_cut(r, width, height, t) == PL_REASON_KEEP && t->columns > 0;
}

struct pl_geometry pl_tiling_tile(const struct pl_tiling *t, uint32_t i)
{
	struct pl_geometry g = t->canvas;
	g.left -= (int32_t)(i % t->columns * t->tile_w);
	g.top -= (int32_t)(i / t->columns * t->tile_h);
	g.out_w = t->tile_w;
	g.out_h = t->tile_h;
	g.changes = true;
	return g;
}

void pl_tiling_largest(const struct pl_tiling *t, uint32_t *scaled_w, uint32_t *scaled_h)
{
	const struct pl_geometry *a = &t->whole, *b = t->columns > 0 ? &t->canvas : &t->whole;
	*scaled_w = a->scaled_w > b->scaled_w ? a->scaled_w : b->scaled_w;
	*scaled_h = a->scaled_h > b->scaled_h ? a->scaled_h : b->scaled_h;
}

struct pl_geometry pl_resize_geometry(const struct pl_resize *r, uint32_t width, uint32_t height)
{
	struct pl_geometry none = { width, height, width, height, 0, 0, false };
	struct pl_tiling t;
	if (width == 0 || height == 0)
		return none;
	if (pl_resize_tiling(r, width, height, &t) != PL_REASON_KEEP)
		return (struct pl_geometry){ 0 };
	return t.whole.out_w > 0 ? t.whole : t.canvas;
}

uint64_t pl_resize_pixels(const struct pl_resize *r, uint32_t width, uint32_t height)
{
	struct pl_tiling t;
	if (width == 0 || height == 0)
		return 0;
	if (pl_resize_tiling(r, width, height, &t) != PL_REASON_KEEP)
		return 0;
	return (uint64_t)t.whole.out_w * t.whole.out_h +
	    (uint64_t)t.columns * t.tile_w * t.rows * t.tile_h;
}
