/* SPDX-License-Identifier: Apache-2.0 */
/* Our own JPEG decoder from file to planes: which files are its, and where the
 * samples go. */
#include "jpeg_baseline.h"

#include <stdlib.h>
#include <string.h>

static bool in_use = true;

void pl_jpeg_baseline_use(bool on)
{
	in_use = on;
}

static bool read_mine(const uint8_t *data, size_t len, const struct pl_img_info *info,
    struct pl_jb_frame *f)
{
	return in_use && pl_jb_read_headers(data, len, f) && f->width == info->width &&
	    f->height == info->height;
}

static bool read_scans(struct pl_jb_frame *f, const uint8_t *data, size_t len,
    const struct pl_jb_sink *sink, const struct pl_img_limits *lim)
{
	return f->progressive ? pl_jb_read_scans(f, data, len, sink, lim->max_memory)
			      : pl_jb_read_scan(f, data, len, sink);
}

static size_t rows_of(const struct pl_jb_frame *f, unsigned i, unsigned size)
{
	return (size_t)f->mcus_h * f->c[i].v * size;
}

bool pl_jpeg_baseline_planes(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, unsigned by, struct pl_planes *out)
{
	struct pl_jb_frame f;
	if (!read_mine(data, len, info, &f) || !f.ycc)
		return false;
	const unsigned size = 8 / by;
	struct pl_jb_sink sink = { .wanted = 3, .size = size };
	struct pl_planes made;
	size_t total = 0, at[3];
	for (unsigned i = 0; i < 3; i++) {
		const struct pl_jb_component *c = f.c + i;
		struct pl_plane *p = made.plane + i;
		p->stride = (size_t)c->blocks_w * size;
		p->extent_w = f.width * (size / 8.0) * c->h / f.max_h;
		p->extent_h = f.height * (size / 8.0) * c->v / f.max_v;
		p->width = (uint32_t)p->extent_w + (p->extent_w > (uint32_t)p->extent_w);
		p->height = (uint32_t)p->extent_h + (p->extent_h > (uint32_t)p->extent_h);
		at[i] = total;
		total += p->stride * rows_of(&f, i, size);
	}
	made.block = malloc(total);
	if (!made.block)
		return false;
	for (unsigned i = 0; i < 3; i++) {
		sink.plane[i] = made.block + at[i];
		made.plane[i].data = sink.plane[i];
		sink.stride[i] = made.plane[i].stride;
		sink.step[i] = sink.stride[i] * f.c[i].v * size;
	}
	if (!read_scans(&f, data, len, &sink, lim)) {
		free(made.block);
		return false;
	}
	*out = made;
	return true;
}

/* One row of MCUs on its way into a picture without padding. */
struct strip {
	struct pl_image *im;
	pl_jb_rgb *rgb;
	const uint8_t *samples[3];
	size_t stride;
	uint32_t rows;
};

static void keep_strip(void *context, uint32_t row)
{
	const struct strip *s = context;
	const uint32_t y = row * s->rows, left = s->im->height - y, w = s->im->width;
	const uint32_t n = left < s->rows ? left : s->rows;
	uint8_t *to = s->im->pixels + (size_t)y * w * s->im->channels;
	for (size_t i = 0; i < n; i++, to += (size_t)w * s->im->channels)
		if (s->im->channels == 1)
			memcpy(to, s->samples[0] + i * s->stride, w);
		else
			s->rgb(s->samples[0] + i * s->stride, s->samples[1] + i * s->stride,
			    s->samples[2] + i * s->stride, to, w);
}

/* Samples of the first component, or of three of one size. */
static bool read_strips(struct pl_jb_frame *f, const uint8_t *data, size_t len,
    const struct pl_img_limits *lim, unsigned by, unsigned channels, struct pl_image *out)
{
	const struct pl_jb_component *c = f->c;
	const unsigned size = 8 / by;
	struct pl_image im = { 0 };
	struct strip strip = { .im = &im,
		.rgb = pl_jb_kernels()->rgb,
		.stride = (size_t)c->blocks_w * size,
		.rows = c->v * size };
	struct pl_jb_sink sink = { .wanted = channels,
		.size = size,
		.row_done = keep_strip,
		.context = &strip };
	uint8_t *samples = malloc(strip.stride * strip.rows * channels);
	bool mine = samples &&
	    pl_image_init(&im, (f->width + by - 1) / by, (f->height + by - 1) / by, channels) ==
		PL_REASON_KEEP;
	if (mine) {
		for (unsigned i = 0; i < channels; i++) {
			sink.plane[i] = samples + i * strip.stride * strip.rows;
			sink.stride[i] = strip.stride;
			strip.samples[i] = sink.plane[i];
		}
		mine = read_scans(f, data, len, &sink, lim);
	}
	free(samples);
	if (mine)
		*out = im;
	else
		pl_image_release(&im);
	return mine;
}

bool pl_jpeg_baseline_luma(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, unsigned by, struct pl_image *out)
{
	struct pl_jb_frame f;
	if (!read_mine(data, len, info, &f))
		return false;
	const struct pl_jb_component *c = f.c;
	const bool luma = f.ycc && c->h == f.max_h && c->v == f.max_v;
	return (f.components == 1 || luma) && read_strips(&f, data, len, lim, by, 1, out);
}

bool pl_jpeg_baseline_rgb(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, unsigned by, struct pl_image *out)
{
	struct pl_jb_frame f;
	if (!read_mine(data, len, info, &f) || !f.ycc)
		return false;
	for (unsigned i = 0; i < 3; i++)
		if (f.c[i].h != f.max_h || f.c[i].v != f.max_v)
			return false;
	return read_strips(&f, data, len, lim, by, 3, out);
}
