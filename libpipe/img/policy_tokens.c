/* SPDX-License-Identifier: Apache-2.0 */
/* Published values of resolution policies, and what a picture counts in a
 * model's context under each. */
#include "policy.h"

#include <math.h>
#include <string.h>

const char *const pl_policy_names[] = { "none", "keep_ratio", "keep_ratio_largest", "center_crop",
	"border", "clip", "pad_mean", "square", "smart_resize", "patch_multiple", "anyres",
	"uhd_slices", "windows", NULL };

const char *const pl_write_names[] = { "tiles+overview", "tiles", "whole", NULL };

/* ---- published values ---- */

/* LLaVA-NeXT's image_grid_pinpoints in tiles, in their order: where two fit alike the first wins. */
static void settle_grids(struct pl_resize *r)
{
	static const uint8_t published[][2] = { { 1, 2 }, { 2, 1 }, { 2, 2 }, { 3, 1 }, { 1, 3 } };
	for (size_t i = 0; i < PL_ARRAY_LEN(published); i++) {
		r->grids[i].columns = published[i][0];
		r->grids[i].rows = published[i][1];
	}
	r->ngrids = PL_ARRAY_LEN(published);
}

static void or_default(uint32_t *value, uint32_t published)
{
	if (*value == 0)
		*value = published;
}

void pl_resize_settle(struct pl_resize *r)
{
	if (r->policy == PL_POLICY_SMART_RESIZE) {
		or_default(&r->factor, 28);
		r->min_pixels = r->min_pixels > 0 ? r->min_pixels : 56 * 56;
		r->max_pixels = r->max_pixels > 0 ? r->max_pixels : 28 * 28 * 1280;
		return;
	}
	if (r->policy == PL_POLICY_PATCH_MULTIPLE) {
		or_default(&r->patch, 30);
		or_default(&r->target_w, 1920);
		or_default(&r->target_h, 1080);
		return;
	}
	if (r->policy == PL_POLICY_WINDOWS) {
		or_default(&r->tile, 448);
		or_default(&r->target_w, 1344);
		or_default(&r->target_h, 896);
	}
	if (pl_policy_tiles(r->policy))
		or_default(&r->tile, 336);
	if (r->policy == PL_POLICY_UHD_SLICES)
		or_default(&r->max_slices, 6);
	if (r->policy == PL_POLICY_ANYRES && r->ngrids == 0)
		settle_grids(r);
	if (pl_policy_tiles(r->policy) || r->policy == PL_POLICY_CENTER_CROP || r->policy == PL_POLICY_CLIP ||
	    r->policy == PL_POLICY_PAD_MEAN || r->policy == PL_POLICY_SQUARE)
		or_default(&r->patch, 14);
}

void pl_resize_ground(const struct pl_resize *r, uint8_t rgb[3])
{
	static const uint8_t mean[3] = { 122, 116, 104 };   /* int(255 x CLIP's mean) */
	if (r->pad_set)
		memcpy(rgb, r->pad, 3);
	else if (r->policy == PL_POLICY_PAD_MEAN)
		memcpy(rgb, mean, 3);
	else if (r->policy == PL_POLICY_PATCH_MULTIPLE)   /* transformers' Fuyu processor pads 0..255 with 1.0 */
		memset(rgb, 1, 3);
	else
		memset(rgb, r->policy == PL_POLICY_ANYRES ? 0 : 255, 3);
}

/* ---- tokens ---- */

/* Python's a // b of positive floats: of a quotient just below a whole number, which division would round up to it, the number below. */
static uint64_t floor_divide(double a, double b)
{
	const double exact = (a - fmod(a, b)) / b, below = floor(exact);
	return (uint64_t)(exact - below > 0.5 ? below + 1 : below);
}

/* transformers' LlavaNextProcessor._get_unpadded_features and, with anyres_max, LlavaOnevisionProcessor's: the grid's
 * patches without those of the padding, one more at each row's end, and the overview's. */
static uint64_t anyres_tokens(
    const struct pl_resize *r, const struct pl_tiling *t, uint32_t width, uint32_t height)
{
	const uint64_t side = r->tile / r->patch;
	uint64_t w = side * t->columns, h = side * t->rows;
	if ((double)width / height > (double)w / (double)h)
		h -= (h - height * w / width) / 2 * 2;
	else
		w -= (w - width * h / height) / 2 * 2;
	if (r->anyres_max > 0) {
		const double by =
		    sqrt((double)(h * w) / ((double)r->anyres_max * (double)(side * side)));
		if (by > 1.1) {
			h = floor_divide((double)h, by);
			w = floor_divide((double)w, by);
		}
	}
	return h * w + h + side * side;
}

/* What each picture counts that the model sees, where that is the same for all; 0 where it is not. */
static uint32_t per_picture(const struct pl_resize *r)
{
	if (r->token_rule != PL_TOKENS_AUTO)
		return r->tokens;
	if (r->policy == PL_POLICY_UHD_SLICES)
		return 64;
	return r->policy == PL_POLICY_WINDOWS ? 256 : 0;
}

static uint64_t whole_tokens(const struct pl_resize *r, const struct pl_geometry *g)
{
	if (r->policy == PL_POLICY_SMART_RESIZE)
		return (uint64_t)(g->out_w / r->factor) * (g->out_h / r->factor);
	if (r->patch == 0)
		return PL_TOKENS_UNKNOWN;
	const uint64_t columns = g->out_w / r->patch, rows = g->out_h / r->patch;
	/* Fuyu ends each row with a token of its own. */
	return r->policy == PL_POLICY_PATCH_MULTIPLE ? (columns + 1) * rows : columns * rows;
}

uint64_t pl_image_tokens(const struct pl_resize *r, uint32_t width, uint32_t height)
{
	struct pl_tiling t;
	if (r->token_rule == PL_TOKENS_IMAGE)
		return r->tokens;
	if (pl_policy_cut(r, width, height, &t) != PL_REASON_KEEP)
		return 0;
	if (r->policy == PL_POLICY_ANYRES && r->token_rule == PL_TOKENS_AUTO)
		return anyres_tokens(r, &t, width, height);
	if (pl_policy_tiles(r->policy) || r->token_rule == PL_TOKENS_PICTURE)
		return (uint64_t)per_picture(r) * (1 + (uint64_t)t.columns * t.rows);
	return whole_tokens(r, &t.whole);
}

bool pl_image_tokens_same(const struct pl_resize *r, uint64_t *tokens)
{
	const bool square = r->size > 0 && !r->only_if_bigger &&
	    (r->policy == PL_POLICY_CENTER_CROP || r->policy == PL_POLICY_BORDER ||
		r->policy == PL_POLICY_CLIP || r->policy == PL_POLICY_PAD_MEAN ||
		r->policy == PL_POLICY_SQUARE);
	const bool unknown = r->policy <= PL_POLICY_BORDER && r->patch == 0;
	const bool said = r->token_rule == PL_TOKENS_PICTURE && !pl_policy_tiles(r->policy);
	const bool same = square || unknown || said || r->policy == PL_POLICY_WINDOWS;
	/* smart_resize refuses some pictures. */
	if (r->token_rule != PL_TOKENS_IMAGE && (!same || r->policy == PL_POLICY_SMART_RESIZE))
		return false;
	*tokens = pl_image_tokens(r, 1, 1);
	return true;
}
