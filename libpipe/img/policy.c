/* SPDX-License-Identifier: Apache-2.0 */
/* Resolution policies: how large a picture becomes, and the path from the
 * bytes of one image to the bytes of its resized copy. */
#include "pdq_core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "icc.h"

const char *const pl_policy_names[] = { "none", "keep_ratio", "keep_ratio_largest", "center_crop",
	"border", NULL };

const char *const pl_decode_scale_names[] = { "2", "1.5", "1", NULL };

uint32_t pl_decode_least(enum pl_decode_scale scale, uint32_t target)
{
	static const uint32_t tenths[] = { 20, 15, 10 };
	const size_t i = (size_t)scale < PL_ARRAY_LEN(tenths) ? (size_t)scale : 0;
	const uint64_t least = ((uint64_t)target * tenths[i] + 9) / 10;
	return least < UINT32_MAX ? (uint32_t)least : UINT32_MAX;
}

/* img2dataset rounds halves to even, as Python does. */
static uint32_t scaled_side(uint32_t side, double scale)
{
	double v = nearbyint(side * scale);
	return v < 1 ? 1 : v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

struct pl_geometry pl_resize_geometry(const struct pl_resize *r, uint32_t width, uint32_t height)
{
	struct pl_geometry g = { width, height, width, height, false };
	if (r->policy == PL_POLICY_NONE || r->size == 0 || width == 0 || height == 0)
		return g;
	bool longer = r->policy == PL_POLICY_KEEP_RATIO_LARGEST || r->policy == PL_POLICY_BORDER;
	uint32_t side = (width < height) == longer ? height : width;
	if (r->only_if_bigger && side <= r->size)
		return g;
	if (side != r->size) {
		double scale = (double)r->size / side;
		g.scaled_w = scaled_side(width, scale);
		g.scaled_h = scaled_side(height, scale);
	}
	bool square = r->policy == PL_POLICY_CENTER_CROP || r->policy == PL_POLICY_BORDER;
	g.out_w = square ? r->size : g.scaled_w;
	g.out_h = square ? r->size : g.scaled_h;
	g.changes = g.scaled_w != width || g.scaled_h != height || g.out_w != g.scaled_w ||
	    g.out_h != g.scaled_h;
	return g;
}

static enum pl_format output_format(const struct pl_resize *r, const struct pl_img_info *info)
{
	if (r->format != PL_FORMAT_UNKNOWN)
		return r->format;
	if (info->format == PL_FORMAT_AVIF)
		return info->alpha ? PL_FORMAT_PNG : PL_FORMAT_JPEG;
	return info->format == PL_FORMAT_JPEG || info->format == PL_FORMAT_WEBP ? info->format : PL_FORMAT_PNG;
}

/* The part of one scaled side that survives a centred crop. */
static uint32_t crop_start(uint32_t scaled, uint32_t out)
{
	return scaled > out ? (scaled - out) / 2 : 0;
}

/* The DCT reduction the decoder took. Its sizes are rounded up, so the picture fills width /
 * reduction only. */
static double reduced_by(const struct pl_img_info *info, const struct pl_image *im)
{
	uint32_t by = 1;
	while (by < 8 &&
	    ((info->width + by - 1) / by != im->width ||
		(info->height + by - 1) / by != im->height))
		by *= 2;
	return by;
}

struct pl_kept pl_kept_of(const struct pl_geometry *g, uint8_t o)
{
	const bool swap = o >= 5 && o <= 8;
	uint32_t cw = g->scaled_w < g->out_w ? g->scaled_w : g->out_w;
	uint32_t ch = g->scaled_h < g->out_h ? g->scaled_h : g->out_h;
	uint32_t x = crop_start(g->scaled_w, cw), y = crop_start(g->scaled_h, ch);
	/* Does the turned picture's x axis run against the stored axis it comes from? The same for
	 * y. */
	const bool back_x = o == 2 || o == 3 || o == 6 || o == 7;
	const bool back_y = o == 3 || o == 4 || o == 7 || o == 8;
	if (back_x)
		x = g->scaled_w - cw - x;
	if (back_y)
		y = g->scaled_h - ch - y;
	if (swap)
		return (struct pl_kept){ g->scaled_h, g->scaled_w, y, x, ch, cw, true, back_y,
			back_x };
	return (struct pl_kept){ g->scaled_w, g->scaled_h, x, y, cw, ch, false, back_x, back_y };
}

static struct pl_window window_of(
    const struct pl_image *im, const struct pl_img_info *info, const struct pl_geometry *g)
{
	const struct pl_kept kept = pl_kept_of(g, info->orientation);
	const double by = reduced_by(info, im);
	return (struct pl_window){
		.src_w = info->width / by,
		.src_h = info->height / by,
		.scaled_w = kept.scaled_w,
		.scaled_h = kept.scaled_h,
		.x = kept.x,
		.y = kept.y,
		.width = kept.width,
		.height = kept.height,
	};
}

/* Scale *im, cut it to what g keeps, then turn. */
static enum pl_reason scale_and_turn(struct pl_image *im, const struct pl_img_info *info,
    const struct pl_geometry *g, enum pl_filter filter)
{
	const struct pl_window win = window_of(im, info, g);
	enum pl_reason reason = PL_REASON_KEEP;
	if (win.width != im->width || win.height != im->height || win.scaled_w != im->width ||
	    win.scaled_h != im->height) {
		struct pl_image out;
		reason = pl_resample_window(im, &win, filter, &out);
		if (reason != PL_REASON_KEEP)
			return reason;
		pl_image_release(im);
		*im = out;
	}
	return pl_img_orient(im, info->orientation);
}

/* Centre *im on white. */
static enum pl_reason pad(struct pl_image *im, uint32_t width, uint32_t height)
{
	if (im->width >= width && im->height >= height)
		return PL_REASON_KEEP;
	struct pl_image out;
	enum pl_reason reason = pl_image_init(&out, width, height, im->channels);
	if (reason != PL_REASON_KEEP)
		return reason;
	const size_t c = im->channels, row = (size_t)im->width * c, out_row = (size_t)width * c;
	memset(out.pixels, 255, out_row * height);
	size_t left = (width - im->width) / 2, top = (height - im->height) / 2;
	for (size_t y = 0; y < im->height; y++)
		memcpy(out.pixels + (top + y) * out_row + left * c, im->pixels + y * row, row);
	pl_image_release(im);
	*im = out;
	return PL_REASON_KEEP;
}

static enum pl_reason hash_image(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_image *im, struct pl_pdq *out)
{
	const double by = reduced_by(info, im);
	const struct pl_plane in = { .data = im->pixels,
		.stride = (size_t)im->width * im->channels,
		.width = im->width,
		.height = im->height,
		.extent_w = info->width / by,
		.extent_h = info->height / by };
	return pl_hash_decoded(data, len, info, lim, &in, im->channels, out);
}

/* Nothing changes, but bytes that do not decode are not passed on: the cheapest full read. */
static enum pl_reason pass_through(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, bool hash, struct pl_resized *out)
{
	const struct pl_img_decode how = { hash ? PL_PDQ_GRID : 1, true };
	struct pl_image im;
	enum pl_reason reason = pl_img_decode(data, len, info, lim, &how, &im);
	if (reason == PL_REASON_KEEP && hash)
		reason = hash_image(data, len, info, lim, &im, &out->pdq);
	pl_image_release(&im);
	if (reason != PL_REASON_KEEP)
		return reason;
	out->passthrough = true;
	out->width = info->width;
	out->height = info->height;
	out->format = info->format;
	return PL_REASON_KEEP;
}

static enum pl_reason remake(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_resize *r, const struct pl_geometry *g,
    struct pl_resized *out)
{
	struct pl_image im;
	uint32_t less = g->scaled_w < g->scaled_h ? g->scaled_w : g->scaled_h;
	/* Nothing lossy follows on most of these ways: half as much again as for planes (README.md). */
	const uint32_t ample = less <= UINT32_MAX / 3 ? less + less / 2 : UINT32_MAX;
	struct pl_img_decode how = { pl_decode_least(r->decode_scale, ample), false };
	/* The hash is of the colours as stored. */
	struct pl_img_info stored = *info;
	stored.foreign_profile = false;
	enum pl_reason reason = pl_img_decode(data, len, &stored, lim, &how, &im);
	if (reason == PL_REASON_KEEP && r->hash)
		reason = hash_image(data, len, info, lim, &im, &out->pdq);
	if (reason == PL_REASON_KEEP && info->foreign_profile)
		pl_img_to_srgb(data, len, info, &im);
	if (reason == PL_REASON_KEEP)
		reason = pl_img_flatten(&im);
	if (reason == PL_REASON_KEEP)
		reason = scale_and_turn(&im, info, g, r->filter);
	if (reason == PL_REASON_KEEP)
		reason = pad(&im, g->out_w, g->out_h);
	if (reason == PL_REASON_KEEP) {
		struct pl_img_encode encode = r->encode;
		encode.format = out->format;
		reason = (r->optimise ? pl_img_encode_optimised : pl_img_encode)(
		    &im, &encode, &out->bytes, &out->len);
	}
	out->width = g->out_w;
	out->height = g->out_h;
	pl_image_release(&im);
	return reason;
}

/* From YCbCr to 4:2:0 without RGB between. */
static bool planes_will_do(
    const struct pl_img_info *info, const struct pl_resize *r, enum pl_format format)
{
	return info->format == PL_FORMAT_JPEG && info->channels == 3 && !info->foreign_profile &&
	    (format == PL_FORMAT_JPEG || (format == PL_FORMAT_WEBP && r->encode.quality <= 100));
}

enum pl_reason pl_img_transform_probed(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_resize *r, struct pl_resized *out)
{
	memset(out, 0, sizeof(*out));
	bool swap = info->orientation >= 5;
	struct pl_geometry g =
	    pl_resize_geometry(r, swap ? info->height : info->width, swap ? info->width : info->height);
	out->format = output_format(r, info);
	if (!g.changes && out->format == info->format && info->orientation == 1 && !info->alpha &&
	    !info->foreign_profile && !r->reencode)
		return pass_through(data, len, info, lim, r->hash, out);
	/* A sliver enlarged to the asked shorter side may grow past every ceiling. */
	enum pl_reason reason = pl_img_check_size(g.out_w, g.out_h, lim);
	if (reason != PL_REASON_KEEP)
		return reason;
	if (planes_will_do(info, r, out->format)) {
		bool fit;
		reason = pl_transform_planes(data, len, info, lim, r, &g, out, &fit);
		if (reason != PL_REASON_KEEP || fit)
			return reason;
	}
	return remake(data, len, info, lim, r, &g, out);
}

enum pl_reason pl_img_transform(const uint8_t *data, size_t len, const struct pl_img_limits *lim,
    const struct pl_resize *r, struct pl_resized *out)
{
	memset(out, 0, sizeof(*out));
	struct pl_img_info info;
	enum pl_reason reason = pl_img_probe(data, len, lim, &info);
	return reason == PL_REASON_KEEP ? pl_img_transform_probed(data, len, &info, lim, r, out) : reason;
}
