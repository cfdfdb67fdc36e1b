/* SPDX-License-Identifier: Apache-2.0 */
/* A JPEG made smaller plane by plane: each component is scaled from the size
 * it was decoded at to the size the output wants, so nothing is converted to
 * RGB and back, and chroma is filtered once. */
#include "policy.h"

#include <stdlib.h>
#include <string.h>

/* One output plane: `width` x `height` samples of the picture at (left, top) on a ground. Chroma is
 * given in its own samples; the first and the last may lie half on the ground. */
struct span {
	uint32_t first, n;       /* samples of the output that show the picture */
	double start;            /* where the first begins in the kept picture, as stored */
	bool half_first, half_last;
};

/* kept: side of the picture in luma; at: where it begins in the output; out: the output's side. */
static struct span chroma_span(uint32_t kept, uint32_t at, uint32_t out, bool back)
{
	struct span s = { .first = at / 2, .n = (at + kept + 1) / 2 - at / 2 };
	const double lead = at & 1, all = 2.0 * s.n;
	s.start = (back ? kept + lead - all : -lead) / 2;
	s.half_first = at & 1;
	s.half_last = (at + kept) & 1 && at + kept < out;
	return s;
}

static struct span luma_span(uint32_t kept, uint32_t at)
{
	return (struct span){ .first = at, .n = kept };
}

static enum pl_reason init_output(struct pl_yuv420 *out, uint32_t width, uint32_t height)
{
	const size_t luma = ((size_t)width + 15) / 16 * 16, rows = ((size_t)height + 1) / 2;
	*out = (struct pl_yuv420){ .stride = { luma, luma / 2, luma / 2 }, .width = width,
		.height = height };
	uint8_t *block = malloc(luma * height + luma * rows);
	if (!block)
		return PL_REASON_NO_MEMORY;
	out->plane[0] = block;
	out->plane[1] = block + luma * height;
	out->plane[2] = out->plane[1] + luma / 2 * rows;
	return PL_REASON_KEEP;
}

/* Where a turned plane's samples come from: the first, and the steps along its two axes. */
static void turn(const uint8_t *src, uint32_t w, uint32_t h, const struct pl_kept *kept,
    uint8_t *dst, size_t dst_stride)
{
	const ptrdiff_t along = kept->back_x ? -1 : 1;
	const ptrdiff_t down = kept->back_y ? -(ptrdiff_t)w : (ptrdiff_t)w;
	const uint8_t *from =
	    src + (kept->back_x ? w - 1 : 0) + (kept->back_y ? (size_t)(h - 1) * w : 0);
	const ptrdiff_t step_x = kept->swap ? down : along, step_y = kept->swap ? along : down;
	const uint32_t out_w = kept->swap ? h : w, out_h = kept->swap ? w : h;
	for (uint32_t y = 0; y < out_h; y++, dst += dst_stride)
		for (uint32_t x = 0; x < out_w; x++)
			dst[x] = from[(ptrdiff_t)y * step_y + (ptrdiff_t)x * step_x];
}

static void half_on_ground(uint8_t *p, size_t step, uint32_t n, uint8_t ground)
{
	for (uint32_t i = 0; i < n; i++, p += step)
		*p = (uint8_t)((*p + ground + 1) / 2);
}

/* across, down: of the output, that is turned. */
static enum pl_reason scale_plane(const struct pl_plane *in, const struct pl_kept *kept,
    const struct span *across, const struct span *down, double unit, enum pl_filter filter,
    uint8_t *dst, size_t stride)
{
	const struct span *sx = kept->swap ? down : across, *sy = kept->swap ? across : down;
	const struct pl_cut cut = { .scaled_w = kept->scaled_w / unit,
		.scaled_h = kept->scaled_h / unit,
		.x = kept->x / unit + sx->start,
		.y = kept->y / unit + sy->start,
		.width = sx->n,
		.height = sy->n };
	dst += down->first * stride + across->first;
	if (!kept->swap && !kept->back_x && !kept->back_y)
		return pl_resample_cut(in, 1, &cut, filter, dst, stride);
	uint8_t *stored = malloc((size_t)sx->n * sy->n);
	if (!stored)
		return PL_REASON_NO_MEMORY;
	enum pl_reason reason = pl_resample_cut(in, 1, &cut, filter, stored, sx->n);
	if (reason == PL_REASON_KEEP)
		turn(stored, sx->n, sy->n, kept, dst, stride);
	free(stored);
	return reason;
}

static void blend_edges(const struct span *across, const struct span *down, uint8_t *plane,
    size_t stride, uint8_t ground)
{
	uint8_t *first = plane + down->first * stride + across->first;
	uint8_t *last = first + (down->n - 1) * stride;
	if (across->half_first)
		half_on_ground(first, stride, down->n, ground);
	if (across->half_last)
		half_on_ground(first + across->n - 1, stride, down->n, ground);
	if (down->half_first)
		half_on_ground(first, 1, across->n, ground);
	if (down->half_last)
		half_on_ground(last, 1, across->n, ground);
}

/* JFIF's YCbCr of a colour. */
static void ground_of(const struct pl_resize *r, uint8_t ycc[3])
{
	uint8_t c[3];
	pl_resize_ground(r, c);
	ycc[0] = (uint8_t)((299 * c[0] + 587 * c[1] + 114 * c[2] + 500) / 1000);
	ycc[1] = (uint8_t)((128000000 - 168736 * c[0] - 331264 * c[1] + 500000 * c[2] + 499999) / 1000000);
	ycc[2] = (uint8_t)((128000000 + 500000 * c[0] - 418688 * c[1] - 81312 * c[2] + 499999) / 1000000);
}

/* Scale, cut, turn and lay on the ground. */
static enum pl_reason scale_planes(const struct pl_planes *in, const struct pl_geometry *g,
    uint8_t orientation, const struct pl_resize *r, struct pl_yuv420 *out)
{
	const struct pl_kept kept = pl_kept_of(g, orientation);
	const uint32_t w = kept.swap ? kept.height : kept.width;
	const uint32_t h = kept.swap ? kept.width : kept.height;
	const uint32_t left = g->left > 0 ? (uint32_t)g->left : 0;
	const uint32_t top = g->top > 0 ? (uint32_t)g->top : 0;
	uint8_t ground[3];
	ground_of(r, ground);
	if (w < g->out_w || h < g->out_h) {
		const size_t chroma_rows = ((size_t)g->out_h + 1) / 2;
		memset(out->plane[0], ground[0], out->stride[0] * g->out_h);
		memset(out->plane[1], ground[1], out->stride[1] * chroma_rows);
		memset(out->plane[2], ground[2], out->stride[2] * chroma_rows);
	}
	if (w == 0 || h == 0)
		return PL_REASON_KEEP;
	const struct span luma_x = luma_span(w, left), luma_y = luma_span(h, top);
	const struct span chroma_x =
	    chroma_span(w, left, g->out_w, kept.swap ? kept.back_y : kept.back_x);
	const struct span chroma_y =
	    chroma_span(h, top, g->out_h, kept.swap ? kept.back_x : kept.back_y);
	enum pl_reason reason = scale_plane(in->plane, &kept, &luma_x, &luma_y, 1, r->filter,
	    out->plane[0], out->stride[0]);
	for (int i = 1; i < 3 && reason == PL_REASON_KEEP; i++) {
		reason = scale_plane(in->plane + i, &kept, &chroma_x, &chroma_y, 2, r->filter,
		    out->plane[i], out->stride[i]);
		if (reason == PL_REASON_KEEP)
			blend_edges(&chroma_x, &chroma_y, out->plane[i], out->stride[i], ground[i]);
	}
	return reason;
}

/* One picture of what is written. */
static enum pl_reason make_one(const struct pl_planes *in, const struct pl_geometry *g,
    uint8_t orientation, const struct pl_resize *r, enum pl_format format, uint8_t **bytes, size_t *len)
{
	struct pl_yuv420 small = { 0 };
	enum pl_reason reason = init_output(&small, g->out_w, g->out_h);
	if (reason == PL_REASON_KEEP)
		reason = scale_planes(in, g, orientation, r, &small);
	if (reason == PL_REASON_KEEP)
		reason = format == PL_FORMAT_WEBP
		    ? pl_encode_webp_planes(&small, r->encode.quality, r->encode.effort, bytes, len)
		    : pl_encode_jpeg_planes(&small, r->encode.quality, r->optimise, bytes, len);
	free(small.plane[0]);
	return reason;
}

enum pl_reason pl_transform_planes(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_resize *r, const struct pl_tiling *t,
    struct pl_resized *out, bool *fit)
{
	const bool swap = info->orientation >= 5;
	uint32_t w, h;
	pl_tiling_largest(t, &w, &h);
	const uint32_t least_w = pl_decode_least(r->decode_scale, swap ? h : w);
	const uint32_t least_h = pl_decode_least(r->decode_scale, swap ? w : h);
	struct pl_planes in;
	enum pl_reason reason =
	    pl_decode_jpeg_planes(data, len, info, lim, least_w, least_h, &in, fit);
	if (reason == PL_REASON_KEEP && *fit && r->hash)
		reason = pl_hash_decoded(data, len, info, lim, in.plane, 1, &out->pdq);
	if (reason == PL_REASON_KEEP && *fit && t->whole.out_w > 0)
		reason = make_one(&in, &t->whole, info->orientation, r, out->format, &out->bytes,
		    &out->len);
	for (uint32_t i = 0; i < t->columns * t->rows && reason == PL_REASON_KEEP && *fit; i++) {
		const struct pl_geometry g = pl_tiling_tile(t, i);
		reason = make_one(&in, &g, info->orientation, r, out->format, &out->tiles[i].bytes,
		    &out->tiles[i].len);
	}
	free(in.block);
	return reason;
}
