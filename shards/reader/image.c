/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to RGB8 in the caller's memory. A YCbCr JPEG that changes size goes plane by plane, so that nothing is upsampled that is
 * made smaller at once; everything else through RGB at its own size, or at a DCT reduction of it. */
#include "image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/img/jpeg_baseline.h"

#define SIDE_MAX 65500u
#define DECODE_SCALE 2u

static const enum pl_filter filters[] = {
	[SHARD_BICUBIC] = PL_FILTER_BICUBIC,
	[SHARD_LANCZOS] = PL_FILTER_LANCZOS,
	[SHARD_TRIANGLE] = PL_FILTER_TRIANGLE,
};

/* One picture on its way. */
struct way {
	const uint8_t *data;
	size_t len;
	struct pl_img_limits lim;
	struct pl_img_info info;
	struct pl_geometry g;         /* of the turned picture */
	struct pl_kept kept;          /* the same in the stored one */
	enum pl_filter filter;
	uint32_t scale;               /* how far above its target a JPEG is decoded */
};

static enum pl_status failed(enum pl_reason reason, struct pl_err *err)
{
	enum pl_status status = PL_ERR_INVALID;
	if (reason == PL_REASON_NO_MEMORY)
		return pl_fail_nomem(err);
	if (reason == PL_REASON_TRUNCATED || reason == PL_REASON_EMPTY)
		status = PL_ERR_TRUNCATED;
	else if (reason == PL_REASON_UNSUPPORTED)
		status = PL_ERR_UNSUPPORTED;
	else if (reason == PL_REASON_BOMB || reason == PL_REASON_TOO_LARGE)
		status = PL_ERR_LIMIT;
	return pl_fail(err, status, PL_SEV_ITEM, NULL, "the image cannot be decoded: %s", pl_reason_text(reason));
}

/* torchvision's Resize and CenterCrop for any target: one side becomes exact, the other is cut off to whole pixels. */
static struct pl_geometry crop_geometry(uint32_t w, uint32_t h, uint32_t out_w, uint32_t out_h)
{
	struct pl_geometry g = { out_w, out_h, out_w, out_h, 0, 0, true };
	if ((uint64_t)w * out_h < (uint64_t)h * out_w) {
		uint64_t scaled = (uint64_t)h * out_w / w;
		g.scaled_h = scaled < INT32_MAX ? (uint32_t)scaled : INT32_MAX;
	} else {
		uint64_t scaled = (uint64_t)w * out_h / h;
		g.scaled_w = scaled < INT32_MAX ? (uint32_t)scaled : INT32_MAX;
	}
	g.left = -(int32_t)nearbyint((g.scaled_w - out_w) / 2.0);
	g.top = -(int32_t)nearbyint((g.scaled_h - out_h) / 2.0);
	return g;
}

static enum pl_status plan(struct way *w, const void *data, size_t len, const struct shard_image_options *o, struct pl_err *err)
{
	bool sized = o->fit != SHARD_FIT_NONE;
	memset(w, 0, sizeof *w);
	if (sized && (o->width == 0 || o->height == 0 || o->width > SIDE_MAX || o->height > SIDE_MAX))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "an image has sides from 1 to %u, not %u x %u", SIDE_MAX,
		    o->width, o->height);
	if (o->filter > SHARD_TRIANGLE || o->fit > SHARD_FIT_CROP)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no such filter or fit");
	w->data = data;
	w->len = len;
	w->lim = pl_img_limits_default();
	if (o->max_pixels)
		w->lim.max_pixels = o->max_pixels;
	w->filter = filters[o->filter];
	w->scale = o->decode_scale ? o->decode_scale : DECODE_SCALE;
	enum pl_reason reason = pl_img_probe(w->data, len, &w->lim, &w->info);
	if (reason != PL_REASON_KEEP)
		return failed(reason, err);
	if (w->info.width == 0 || w->info.height == 0)
		return failed(PL_REASON_CORRUPT, err);
	bool swap = w->info.orientation >= 5;
	uint32_t width = swap ? w->info.height : w->info.width, height = swap ? w->info.width : w->info.height;
	w->g = (struct pl_geometry) { width, height, width, height, 0, 0, false };
	if (o->fit == SHARD_FIT_SQUASH)
		w->g = (struct pl_geometry) { o->width, o->height, o->width, o->height, 0, 0, true };
	else if (o->fit == SHARD_FIT_CROP)
		w->g = crop_geometry(width, height, o->width, o->height);
	w->kept = pl_kept_of(&w->g, w->info.orientation);
	return PL_OK;
}

/* The least side that a JPEG may be decoded at for a side of the result. */
static uint32_t least(const struct way *w, uint32_t side)
{
	uint64_t v = (uint64_t)side * w->scale;
	return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

/* Stored rows of RGB to rows of the turned picture. */
static void turn(const uint8_t *src, size_t src_stride, const struct pl_kept *k, uint8_t *dst, size_t dst_stride)
{
	const uint32_t out_w = k->swap ? k->height : k->width, out_h = k->swap ? k->width : k->height;
	for (uint32_t y = 0; y < out_h; y++, dst += dst_stride)
		for (uint32_t x = 0; x < out_w; x++) {
			uint32_t sx = k->swap ? y : x, sy = k->swap ? x : y;
			sx = k->back_x ? k->width - 1 - sx : sx;
			sy = k->back_y ? k->height - 1 - sy : sy;
			memcpy(dst + 3 * (size_t)x, src + (size_t)sy * src_stride + 3 * (size_t)sx, 3);
		}
}

static bool turns(const struct pl_kept *k)
{
	return k->swap || k->back_x || k->back_y;
}

/* Rows that are to be turned lie in *own first. */
static enum pl_reason target(const struct pl_kept *k, uint8_t *dst, size_t stride, uint8_t **rows, size_t *rows_stride, uint8_t **own)
{
	*own = NULL;
	*rows = dst;
	*rows_stride = stride;
	if (!turns(k))
		return PL_REASON_KEEP;
	*rows_stride = 3 * (size_t)k->width;
	*rows = *own = malloc(*rows_stride * k->height);
	return *own ? PL_REASON_KEEP : PL_REASON_NO_MEMORY;
}

static enum pl_reason planes_to_rgb(const struct way *w, const struct pl_planes *in, uint8_t *dst, size_t stride)
{
	const struct pl_kept *k = &w->kept;
	const struct pl_cut cut = { k->scaled_w, k->scaled_h, k->x, k->y, k->width, k->height };
	const size_t plane = (size_t)k->width * k->height;
	pl_jb_rgb *to_rgb = pl_jb_kernels()->rgb;
	uint8_t *rows, *own, *ycc = malloc(3 * plane);
	size_t rows_stride;
	if (!ycc)
		return PL_REASON_NO_MEMORY;
	enum pl_reason reason = target(k, dst, stride, &rows, &rows_stride, &own);
	for (size_t i = 0; i < 3 && reason == PL_REASON_KEEP; i++)
		reason = pl_resample_cut(in->plane + i, 1, &cut, w->filter, ycc + i * plane, k->width);
	if (reason == PL_REASON_KEEP) {
		for (size_t y = 0, at = 0; y < k->height; y++, at += k->width)
			to_rgb(ycc + at, ycc + plane + at, ycc + 2 * plane + at, rows + y * rows_stride, k->width);
		if (own)
			turn(own, rows_stride, k, dst, stride);
	}
	free(own);
	free(ycc);
	return reason;
}

static enum pl_reason through_planes(const struct way *w, uint8_t *dst, size_t stride, bool *fit)
{
	struct pl_planes planes;
	enum pl_reason reason = pl_decode_jpeg_planes(w->data, w->len, &w->info, &w->lim, least(w, w->kept.scaled_w),
	    least(w, w->kept.scaled_h), &planes, fit);
	if (reason == PL_REASON_KEEP && *fit)
		reason = planes_to_rgb(w, &planes, dst, stride);
	free(planes.block);
	return reason;
}

static enum pl_reason resample(const struct way *w, const struct pl_image *im, uint8_t *dst, size_t stride)
{
	const struct pl_kept *k = &w->kept;
	const size_t im_stride = 3 * (size_t)im->width;
	/* 1, 2, 4 or 8, and 1 for what was not reduced. */
	const double by = nearbyint((double)w->info.width / im->width);
	const struct pl_plane in = { .data = im->pixels, .stride = im_stride, .width = im->width, .height = im->height,
		.extent_w = w->info.width / by, .extent_h = w->info.height / by };
	const struct pl_cut cut = { k->scaled_w, k->scaled_h, k->x, k->y, k->width, k->height };
	const uint8_t *from = im->pixels + k->y * im_stride + 3 * (size_t)k->x;
	uint8_t *rows, *own;
	size_t rows_stride;
	if (k->scaled_w == im->width && k->scaled_h == im->height) {
		if (turns(k))
			turn(from, im_stride, k, dst, stride);
		else
			for (size_t y = 0; y < k->height; y++)
				memcpy(dst + y * stride, from + y * im_stride, 3 * (size_t)k->width);
		return PL_REASON_KEEP;
	}
	enum pl_reason reason = target(k, dst, stride, &rows, &rows_stride, &own);
	if (reason == PL_REASON_KEEP)
		reason = pl_resample_cut(&in, 3, &cut, w->filter, rows, rows_stride);
	if (reason == PL_REASON_KEEP && own)
		turn(own, rows_stride, k, dst, stride);
	free(own);
	return reason;
}

static enum pl_reason through_rgb(const struct way *w, bool changes, uint8_t *dst, size_t stride)
{
	const struct pl_kept *k = &w->kept;
	/* Where the ratio is kept the shorter side decides, as both shrink alike. */
	const bool ratio = k->width != k->scaled_w || k->height != k->scaled_h;
	const uint32_t shorter = k->scaled_w < k->scaled_h ? k->scaled_w : k->scaled_h;
	const uint32_t longer = k->scaled_w < k->scaled_h ? k->scaled_h : k->scaled_w;
	const struct pl_img_decode how = { changes ? least(w, ratio ? shorter : longer) : 0, false };
	struct pl_image im;
	enum pl_reason reason = pl_img_decode(w->data, w->len, &w->info, &w->lim, &how, &im);
	if (reason == PL_REASON_KEEP)
		reason = pl_img_flatten(&im);
	if (reason == PL_REASON_KEEP)
		reason = pl_img_to_rgb(&im);
	if (reason == PL_REASON_KEEP)
		reason = resample(w, &im, dst, stride);
	pl_image_release(&im);
	return reason;
}

enum pl_status shard_image_size(const void *data, size_t len, const struct shard_image_options *options, uint32_t *width,
    uint32_t *height, struct pl_err *err)
{
	struct way w;
	enum pl_status status = plan(&w, data, len, options, err);
	if (status != PL_OK)
		return status;
	*width = w.g.out_w;
	*height = w.g.out_h;
	return PL_OK;
}

enum pl_status shard_image_decode(const void *data, size_t len, const struct shard_image_options *options, void *dst,
    size_t stride, size_t size, struct pl_err *err)
{
	struct way w;
	enum pl_status status = plan(&w, data, len, options, err);
	if (status != PL_OK)
		return status;
	size_t row = 3 * (size_t)w.g.out_w, rows = w.g.out_h;
	if (stride < row || size < row || (rows > 1 && (size - row) / (rows - 1) < stride))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%zu bytes in rows of %zu do not hold %u x %u pixels", size,
		    stride, w.g.out_w, w.g.out_h);
	bool changes = w.kept.scaled_w != w.info.width || w.kept.scaled_h != w.info.height, fit = false;
	enum pl_reason reason = PL_REASON_KEEP;
	if (changes && w.info.format == PL_FORMAT_JPEG && w.info.channels == 3 && !w.info.foreign_profile)
		reason = through_planes(&w, dst, stride, &fit);
	if (reason == PL_REASON_KEEP && !fit)
		reason = through_rgb(&w, changes, dst, stride);
	return reason == PL_REASON_KEEP ? PL_OK : failed(reason, err);
}

void shard_image_forget(void)
{
	pl_img_forget();
}
