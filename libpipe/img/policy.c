/* SPDX-License-Identifier: Apache-2.0 */
/* The path from the bytes of one image to the bytes of what a resolution
 * policy makes of it. */
#include "pdq_core.h"

#include <stdlib.h>
#include <string.h>

#include "icc.h"
#include "policy.h"

const char *const pl_decode_scale_names[] = { "2", "1.5", "1", NULL };

uint32_t pl_decode_least(enum pl_decode_scale scale, uint32_t target)
{
	static const uint32_t tenths[] = { 20, 15, 10 };
	const size_t i = (size_t)scale < PL_ARRAY_LEN(tenths) ? (size_t)scale : 0;
	const uint64_t least = ((uint64_t)target * tenths[i] + 9) / 10;
	return least < UINT32_MAX ? (uint32_t)least : UINT32_MAX;
}

static enum pl_format output_format(const struct pl_resize *r, const struct pl_img_info *info)
{
	if (r->format != PL_FORMAT_UNKNOWN)
		return r->format;
	if (info->format == PL_FORMAT_AVIF)
		return info->alpha ? PL_FORMAT_PNG : PL_FORMAT_JPEG;
	return info->format == PL_FORMAT_JPEG || info->format == PL_FORMAT_WEBP ? info->format : PL_FORMAT_PNG;
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

/* How much of a scaled side shows on an output, and from where. */
static uint32_t shown(uint32_t scaled, uint32_t out, int32_t at, uint32_t *from)
{
	const int64_t start = at < 0 ? -(int64_t)at : 0;
	const int64_t end = (int64_t)out - at < scaled ? (int64_t)out - at : scaled;
	*from = start < scaled ? (uint32_t)start : 0;
	return end > start ? (uint32_t)(end - start) : 0;
}

struct pl_kept pl_kept_of(const struct pl_geometry *g, uint8_t o)
{
	const bool swap = o >= 5 && o <= 8;
	uint32_t x, y;
	const uint32_t cw = shown(g->scaled_w, g->out_w, g->left, &x);
	const uint32_t ch = shown(g->scaled_h, g->out_h, g->top, &y);
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

/* The picture itself where nothing else is made of it, else a copy. */
static enum pl_reason take_or_copy(struct pl_image *im, bool last, struct pl_image *out)
{
	if (last) {
		*out = *im;
		im->pixels = NULL;
		return PL_REASON_KEEP;
	}
	enum pl_reason reason = pl_image_init(out, im->width, im->height, im->channels);
	if (reason == PL_REASON_KEEP)
		memcpy(out->pixels, im->pixels, (size_t)im->width * im->height * im->channels);
	return reason;
}

/* Scale im, cut it to what g keeps, then turn. */
static enum pl_reason scale_and_turn(struct pl_image *im, bool last, const struct pl_img_info *info,
    const struct pl_geometry *g, enum pl_filter filter, struct pl_image *out)
{
	const struct pl_window win = window_of(im, info, g);
	enum pl_reason reason;
	if (win.width != im->width || win.height != im->height || win.scaled_w != im->width ||
	    win.scaled_h != im->height)
		reason = pl_resample_window(im, &win, filter, out);
	else
		reason = take_or_copy(im, last, out);
	return reason == PL_REASON_KEEP ? pl_img_orient(out, info->orientation) : reason;
}

static void fill(struct pl_image *im, const uint8_t rgb[3])
{
	const size_t n = (size_t)im->width * im->height;
	if (im->channels == 1 || (rgb[0] == rgb[1] && rgb[1] == rgb[2])) {
		memset(im->pixels, rgb[0], n * im->channels);
		return;
	}
	for (size_t i = 0; i < n; i++)
		memcpy(im->pixels + 3 * i, rgb, 3);
}

/* Lay *im, grey or RGB, on its ground. With nothing to lay (no pixels) all is ground. */
static enum pl_reason pad(struct pl_image *im, const struct pl_geometry *g, const struct pl_resize *r)
{
	if (im->pixels && im->width >= g->out_w && im->height >= g->out_h)
		return PL_REASON_KEEP;
	uint8_t rgb[3];
	pl_resize_ground(r, rgb);
	enum pl_reason reason = PL_REASON_KEEP;
	const bool coloured = rgb[0] != rgb[1] || rgb[1] != rgb[2];
	if (im->pixels && coloured)
		reason = pl_img_to_rgb(im);
	struct pl_image out = { 0 };
	if (reason == PL_REASON_KEEP)
		reason = pl_image_init(
		    &out, g->out_w, g->out_h, im->pixels ? im->channels : coloured ? 3 : 1);
	if (reason != PL_REASON_KEEP)
		return reason;
	fill(&out, rgb);
	const size_t c = out.channels, row = (size_t)im->width * c, out_row = (size_t)out.width * c;
	const size_t left = g->left > 0 ? (size_t)g->left : 0, top = g->top > 0 ? (size_t)g->top : 0;
	for (size_t y = 0; im->pixels && y < im->height; y++)
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

/* One picture of what is written. last: im is not needed behind it. */
static enum pl_reason make_one(struct pl_image *im, bool last, const struct pl_img_info *info,
    const struct pl_resize *r, const struct pl_geometry *g, enum pl_format format, uint8_t **bytes, size_t *len)
{
	const struct pl_kept kept = pl_kept_of(g, info->orientation);
	struct pl_image one = { 0 };
	enum pl_reason reason = PL_REASON_KEEP;
	if (kept.width > 0 && kept.height > 0)
		reason = scale_and_turn(im, last, info, g, r->filter, &one);
	if (reason == PL_REASON_KEEP)
		reason = pad(&one, g, r);
	if (reason == PL_REASON_KEEP) {
		struct pl_img_encode encode = r->encode;
		encode.format = format;
		reason = (r->optimise ? pl_img_encode_optimised : pl_img_encode)(
		    &one, &encode, bytes, len);
	}
	pl_image_release(&one);
	return reason;
}

static enum pl_reason remake(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_resize *r, const struct pl_tiling *t,
    struct pl_resized *out)
{
	struct pl_image im;
	uint32_t w, h;
	pl_tiling_largest(t, &w, &h);
	const uint32_t less = w < h ? w : h, tiles = t->columns * t->rows;
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
	if (reason == PL_REASON_KEEP && t->whole.out_w > 0)
		reason = make_one(&im, tiles == 0, info, r, &t->whole, out->format, &out->bytes, &out->len);
	for (uint32_t i = 0; i < tiles && reason == PL_REASON_KEEP; i++) {
		const struct pl_geometry g = pl_tiling_tile(t, i);
		reason = make_one(&im, i + 1 == tiles, info, r, &g, out->format, &out->tiles[i].bytes,
		    &out->tiles[i].len);
	}
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

/* ---- all that is written of a picture ---- */

void pl_resized_release(struct pl_resized *out)
{
	for (uint32_t i = 0; out->tiles && i < out->columns * out->rows; i++)
		free(out->tiles[i].bytes);
	free(out->tiles);
	free(out->bytes);
	out->tiles = NULL;
	out->bytes = NULL;
}

/* Sizes of what is written, held to the ceilings: a sliver enlarged to the asked shorter side may grow past every one. */
static enum pl_reason lay_out(
    const struct pl_tiling *t, const struct pl_img_limits *lim, struct pl_resized *out)
{
	enum pl_reason reason = PL_REASON_KEEP;
	if (t->whole.out_w > 0)
		reason = pl_img_check_size(t->whole.out_w, t->whole.out_h, lim);
	if (reason == PL_REASON_KEEP && t->columns > 0)
		reason = pl_img_check_size(t->canvas.out_w, t->canvas.out_h, lim);
	if (reason != PL_REASON_KEEP)
		return reason;
	out->width = t->whole.out_w;
	out->height = t->whole.out_h;
	if (t->columns == 0)
		return PL_REASON_KEEP;
	out->tiles = calloc((size_t)t->columns * t->rows, sizeof(*out->tiles));
	if (!out->tiles)
		return PL_REASON_NO_MEMORY;
	out->columns = t->columns;
	out->rows = t->rows;
	out->tile_w = t->tile_w;
	out->tile_h = t->tile_h;
	return PL_REASON_KEEP;
}

enum pl_reason pl_img_transform_probed(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_resize *r, struct pl_resized *out)
{
	memset(out, 0, sizeof(*out));
	bool swap = info->orientation >= 5, fit = false;
	struct pl_tiling t;
	enum pl_reason reason = pl_resize_tiling(
	    r, swap ? info->height : info->width, swap ? info->width : info->height, &t);
	out->format = output_format(r, info);
	if (reason == PL_REASON_KEEP && t.columns == 0 && !t.whole.changes && out->format == info->format &&
	    info->orientation == 1 && !info->alpha && !info->foreign_profile && !r->reencode)
		return pass_through(data, len, info, lim, r->hash, out);
	if (reason == PL_REASON_KEEP)
		reason = lay_out(&t, lim, out);
	if (reason == PL_REASON_KEEP && planes_will_do(info, r, out->format))
		reason = pl_transform_planes(data, len, info, lim, r, &t, out, &fit);
	if (reason == PL_REASON_KEEP && !fit)
		reason = remake(data, len, info, lim, r, &t, out);
	if (reason != PL_REASON_KEEP)
		pl_resized_release(out);
	return reason;
}

enum pl_reason pl_img_transform(const uint8_t *data, size_t len, const struct pl_img_limits *lim,
    const struct pl_resize *r, struct pl_resized *out)
{
	memset(out, 0, sizeof(*out));
	struct pl_img_info info;
	enum pl_reason reason = pl_img_probe(data, len, lim, &info);
	return reason == PL_REASON_KEEP ? pl_img_transform_probed(data, len, &info, lim, r, out) : reason;
}
