/* SPDX-License-Identifier: Apache-2.0 */
/* Resolution policies that make one picture of one: sizes and places, in the
 * arithmetic of what they follow. Python's round() is to the nearest even, its int() cuts off. */
#include "policy.h"

#include <math.h>

/* img2dataset's, and Python's round(). */
static uint32_t scaled_side(uint32_t side, double scale)
{
	double v = nearbyint(side * scale);
	return v < 1 ? 1 : v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

struct pl_geometry pl_geometry_centred(
    uint32_t scaled_w, uint32_t scaled_h, uint32_t out_w, uint32_t out_h)
{
	struct pl_geometry g = { scaled_w, scaled_h, out_w, out_h, 0, 0, true };
	g.left = (int32_t)(((int64_t)out_w - scaled_w) / 2);
	g.top = (int32_t)(((int64_t)out_h - scaled_h) / 2);
	return g;
}

static struct pl_geometry plain(uint32_t width, uint32_t height)
{
	return pl_geometry_centred(width, height, width, height);
}

static struct pl_geometry by_ratio(const struct pl_resize *r, uint32_t width, uint32_t height)
{
	bool longer = r->policy == PL_POLICY_KEEP_RATIO_LARGEST || r->policy == PL_POLICY_BORDER ||
	    r->policy == PL_POLICY_PAD_MEAN;
	uint32_t side = (width < height) == longer ? height : width, w = width, h = height;
	if (r->only_if_bigger && side <= r->size)
		return plain(width, height);
	if (side != r->size) {
		double scale = (double)r->size / side;
		w = scaled_side(width, scale);
		h = scaled_side(height, scale);
	}
	if (r->policy == PL_POLICY_KEEP_RATIO || r->policy == PL_POLICY_KEEP_RATIO_LARGEST)
		return plain(w, h);
	return pl_geometry_centred(w, h, r->size, r->size);
}

/* torchvision: the longer side is cut off to whole pixels, the crop's place rounded to even. */
static struct pl_geometry clip(uint32_t size, uint32_t width, uint32_t height)
{
	const uint32_t shorter = width < height ? width : height;
	const uint64_t longer = (uint64_t)size * (width < height ? height : width) / shorter;
	const uint32_t other = longer < UINT32_MAX ? (uint32_t)longer : UINT32_MAX;
	struct pl_geometry g = { width < height ? size : other, width < height ? other : size, size,
		size, 0, 0, true };
	g.left = -(int32_t)nearbyint((g.scaled_w - size) / 2.0);
	g.top = -(int32_t)nearbyint((g.scaled_h - size) / 2.0);
	return g;
}

/* round, floor or ceil of side / factor, in factors: at least one. */
static uint32_t multiple(double of, uint32_t factor)
{
	const double most = UINT32_MAX / factor;
	return (uint32_t)(of < 1 ? 1 : of > most ? most : of) * factor;
}

/* qwen_vl_utils.smart_resize; a side never falls below one factor, as in transformers' later versions. */
static enum pl_reason smart(
    const struct pl_resize *r, uint32_t width, uint32_t height, struct pl_geometry *g)
{
	const double f = r->factor, w = width, h = height;
	uint32_t to_w = multiple(nearbyint(w / f), r->factor), to_h = multiple(nearbyint(h / f), r->factor);
	if ((w > h ? w / h : h / w) > PL_SMART_RATIO)
		return PL_REASON_TOO_SMALL;
	if ((uint64_t)to_w * to_h > r->max_pixels) {
		const double beta = sqrt(w * h / (double)r->max_pixels);
		to_w = multiple(floor(w / beta / f), r->factor);
		to_h = multiple(floor(h / beta / f), r->factor);
	} else if ((uint64_t)to_w * to_h < r->min_pixels) {
		const double beta = sqrt((double)r->min_pixels / (w * h));
		to_w = multiple(ceil(w * beta / f), r->factor);
		to_h = multiple(ceil(h * beta / f), r->factor);
	}
	*g = plain(to_w, to_h);
	return PL_REASON_KEEP;
}

static uint32_t whole_patches(uint32_t side, uint32_t patch)
{
	const uint64_t v = ((uint64_t)side + patch - 1) / patch * patch;
	return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

/* Fuyu's image processor: made smaller where it does not fit the target, then padded right and below. */
static struct pl_geometry patches(const struct pl_resize *r, uint32_t width, uint32_t height)
{
	struct pl_geometry g = { width, height, 0, 0, 0, 0, true };
	if (!r->native && (width > r->target_w || height > r->target_h)) {
		const double by_h = (double)r->target_h / height, by_w = (double)r->target_w / width;
		const double by = by_h < by_w ? by_h : by_w;
		g.scaled_w = (uint32_t)(width * by) > 0 ? (uint32_t)(width * by) : 1;
		g.scaled_h = (uint32_t)(height * by) > 0 ? (uint32_t)(height * by) : 1;
	}
	g.out_w = whole_patches(g.scaled_w, r->patch);
	g.out_h = whole_patches(g.scaled_h, r->patch);
	return g;
}

enum pl_reason pl_policy_whole(
    const struct pl_resize *r, uint32_t width, uint32_t height, struct pl_geometry *g)
{
	enum pl_reason reason = PL_REASON_KEEP;
	*g = plain(width, height);
	if (r->policy == PL_POLICY_SMART_RESIZE && r->factor > 0)
		reason = smart(r, width, height, g);
	else if (r->policy == PL_POLICY_PATCH_MULTIPLE && r->patch > 0)
		*g = patches(r, width, height);
	else if (r->policy == PL_POLICY_SQUARE && r->size > 0)
		*g = plain(r->size, r->size);
	else if (r->policy == PL_POLICY_CLIP && r->size > 0)
		*g = clip(r->size, width, height);
	else if (r->policy != PL_POLICY_NONE && r->size > 0)
		*g = by_ratio(r, width, height);
	return reason;
}
