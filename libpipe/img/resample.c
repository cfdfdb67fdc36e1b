/* SPDX-License-Identifier: Apache-2.0 */
/* Antialiased separable resampling with Pillow's definition of the filters,
 * in integers: the same pixels on every machine, whatever its vector unit.
 *
 * Rows first, then columns, sixteen output rows at a time: the columns of a
 * strip are kept transposed, so that both passes are weighted sums of
 * contiguous 16-bit runs of fixed length, which any compiler vectorises. */
#include "codec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	ONE = 1 << 14, /* a weight of 1 */
	FRACTION = 5,  /* bits behind the point between the passes */
	STRIP = 16,    /* output rows of a strip */
	RUN = 32       /* samples of a run in the first pass */
};

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NO_CLONES
#endif
#endif

/* The two inner loops are built twice and chosen at load; integers make both give the same bits.
 * The thread sanitizer is not up yet when that choice is made. */
#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_THREAD__) && \
    !defined(NO_CLONES)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

static double sinc(double x)
{
	const double pi = 3.14159265358979323846;
	return x == 0 ? 1 : sin(pi * x) / (pi * x);
}

static double filter_value(enum pl_filter filter, double x)
{
	double a = fabs(x);
	switch (filter) {
	case PL_FILTER_LANCZOS:
		return a < 3 ? sinc(x) * sinc(x / 3) : 0;
	case PL_FILTER_BICUBIC: /* a = -0.5 */
		if (a < 1)
			return (1.5 * a - 2.5) * a * a + 1;
		return a < 2 ? ((-0.5 * a + 2.5) * a - 4) * a + 2 : 0;
	case PL_FILTER_TRIANGLE:
		return a < 1 ? 1 - a : 0;
	case PL_FILTER_BOX:
		return x > -0.5 && x <= 0.5 ? 1 : 0;
	}
	return 0;
}

static double filter_support(enum pl_filter filter)
{
	switch (filter) {
	case PL_FILTER_LANCZOS:
		return 3;
	case PL_FILTER_BICUBIC:
		return 2;
	case PL_FILTER_TRIANGLE:
		return 1;
	case PL_FILTER_BOX:
		return 0.5;
	}
	return 0.5;
}

/* The weights of one axis: output i of the window is the sum of count[i] inputs from first[i]. */
struct axis {
	uint32_t outputs, taps;
	uint32_t *first, *count;
	int16_t *weight; /* outputs x taps */
};

static void axis_release(struct axis *a)
{
	free(a->first);
	free(a->count);
	free(a->weight);
	memset(a, 0, sizeof(*a));
}

/* Weights to 14 bits, by rounding their running sum: they add up to ONE exactly, and errors of
 * neighbours cancel. */
static void quantise(const double *w, uint32_t n, double total, int16_t *out)
{
	double run = 0;
	long before = 0;
	for (uint32_t i = 0; i < n; i++) {
		run += w[i];
		long now = lround(run / total * ONE);
		long step = now - before;
		if (step > INT16_MAX)
			step = INT16_MAX;
		out[i] = (int16_t)(step < INT16_MIN ? INT16_MIN : step);
		before = now;
	}
}

static void axis_weights(struct axis *a, uint32_t i, double centre, double scale, uint32_t inputs,
    enum pl_filter filter, double *w)
{
	double support = filter_support(filter) * scale;
	double low = centre - support + 0.5, high = centre + support + 0.5;
	uint32_t from = low > 0 ? (uint32_t)low : 0;
	uint32_t to = high < inputs ? (uint32_t)high : inputs;
	if (from >= inputs)
		from = inputs - 1;
	if (to <= from)
		to = from + 1;
	double total = 0;
	for (uint32_t x = from; x < to; x++) {
		w[x - from] = filter_value(filter, (x - centre + 0.5) / scale);
		total += w[x - from];
	}
	if (total <= 0) {
		w[0] = total = 1;
		to = from + 1;
	}
	while (to - from > 1 && w[to - from - 1] == 0)
		to--;
	a->first[i] = from;
	a->count[i] = to - from;
	quantise(w, to - from, total, a->weight + (size_t)i * a->taps);
}

/* extent: how many inputs the picture fills; at, outputs: the window inside scaled outputs. */
static enum pl_reason axis_init(struct axis *a, uint32_t inputs, double extent, uint32_t scaled,
    uint32_t at, uint32_t outputs, enum pl_filter filter)
{
	memset(a, 0, sizeof(*a));
	double ratio = extent / scaled, scale = ratio > 1 ? ratio : 1;
	double taps = ceil(filter_support(filter) * scale) * 2 + 2;
	a->outputs = outputs;
	a->taps = taps < inputs ? (uint32_t)taps : inputs;
	a->first = calloc(outputs, sizeof(*a->first));
	a->count = calloc(outputs, sizeof(*a->count));
	a->weight = calloc((size_t)outputs * a->taps, sizeof(*a->weight));
	double *w = calloc((size_t)a->taps, sizeof(*w));
	if (a->first && a->count && a->weight && w)
		for (uint32_t i = 0; i < outputs; i++)
			axis_weights(
			    a, i, ((double)at + i + 0.5) * ratio, scale, inputs, filter, w);
	enum pl_reason reason =
	    a->first && a->count && a->weight && w ? PL_REASON_KEEP : PL_REASON_NO_MEMORY;
	free(w);
	if (reason != PL_REASON_KEEP)
		axis_release(a);
	return reason;
}

/* out[0..RUN) = weighted sum of `count` runs that lie stride apart. */
WIDE static void rows_run(const uint8_t *restrict in, size_t stride, const int16_t *restrict w,
    uint32_t count, int16_t *restrict out)
{
	int32_t sum[RUN];
	for (int i = 0; i < RUN; i++)
		sum[i] = 1 << (13 - FRACTION);
	for (uint32_t k = 0; k < count; k++, in += stride)
		for (int i = 0; i < RUN; i++)
			sum[i] += (int16_t)in[i] * w[k];
	for (int i = 0; i < RUN; i++)
		out[i] = (int16_t)(sum[i] >> (14 - FRACTION));
}

static void rows_tail(const uint8_t *restrict in, size_t stride, const int16_t *restrict w,
    uint32_t count, int16_t *restrict out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int32_t sum = 1 << (13 - FRACTION);
		for (uint32_t k = 0; k < count; k++)
			sum += in[k * stride + i] * w[k];
		out[i] = (int16_t)(sum >> (14 - FRACTION));
	}
}

/* out[0..STRIP) = weighted sum of `count` columns of STRIP samples, `stride` columns apart. */
WIDE static void column(const int16_t *restrict in, size_t stride, const int16_t *restrict w,
    uint32_t count, uint8_t *restrict out)
{
	int32_t sum[STRIP];
	for (int i = 0; i < STRIP; i++)
		sum[i] = 1 << (13 + FRACTION);
	for (uint32_t k = 0; k < count; k++, in += stride * STRIP)
		for (int i = 0; i < STRIP; i++)
			sum[i] += in[i] * w[k];
	for (int i = 0; i < STRIP; i++) {
		int32_t v = sum[i] >> (14 + FRACTION);
		out[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
	}
}

struct work {
	const struct pl_image *in;
	struct pl_image *out;
	struct axis across, down;
	size_t left, width; /* the samples of a row that the window needs */
	int16_t *row;       /* one filtered row */
	int16_t *strip;     /* STRIP filtered rows, transposed: width columns of STRIP */
};

/* Filter the rows of output row y, into column slot `slot` of the strip. */
static void fill_slot(struct work *k, uint32_t y, size_t slot)
{
	const size_t stride = (size_t)k->in->width * k->in->channels;
	const uint8_t *src = k->in->pixels + k->down.first[y] * stride + k->left;
	const int16_t *w = k->down.weight + (size_t)y * k->down.taps;
	size_t i = 0;
	for (; i + RUN <= k->width; i += RUN)
		rows_run(src + i, stride, w, k->down.count[y], k->row + i);
	rows_tail(src + i, stride, w, k->down.count[y], k->row + i, k->width - i);
	for (i = 0; i < k->width; i++)
		k->strip[i * STRIP + slot] = k->row[i];
}

static void do_strip(struct work *k, uint32_t y0)
{
	const size_t channels = k->in->channels, out_stride = (size_t)k->out->width * channels;
	uint32_t rows = k->out->height - y0 < STRIP ? k->out->height - y0 : STRIP;
	for (uint32_t r = 0; r < rows; r++)
		fill_slot(k, y0 + r, r);
	uint8_t *dst = k->out->pixels + y0 * out_stride;
	for (uint32_t x = 0; x < k->out->width; x++) {
		const int16_t *w = k->across.weight + (size_t)x * k->across.taps;
		size_t from = (size_t)k->across.first[x] * channels - k->left;
		for (size_t c = 0; c < channels; c++, dst++) {
			uint8_t values[STRIP];
			column(
			    k->strip + (from + c) * STRIP, channels, w, k->across.count[x], values);
			for (uint32_t r = 0; r < rows; r++)
				dst[r * out_stride] = values[r];
		}
	}
}

static enum pl_reason work_init(struct work *k, const struct pl_window *win, enum pl_filter filter)
{
	const struct pl_image *in = k->in;
	enum pl_reason reason =
	    axis_init(&k->across, in->width, win->src_w, win->scaled_w, win->x, win->width, filter);
	if (reason == PL_REASON_KEEP)
		reason = axis_init(
		    &k->down, in->height, win->src_h, win->scaled_h, win->y, win->height, filter);
	if (reason != PL_REASON_KEEP)
		return reason;
	uint32_t from = in->width, to = 0;
	for (uint32_t i = 0; i < win->width; i++) {
		uint32_t end = k->across.first[i] + k->across.count[i];
		from = k->across.first[i] < from ? k->across.first[i] : from;
		to = end > to ? end : to;
	}
	k->left = (size_t)from * in->channels;
	k->width = (size_t)(to - from) * in->channels;
	k->row = malloc(k->width * sizeof(*k->row));
	k->strip = calloc(k->width * STRIP, sizeof(*k->strip));
	if (!k->row || !k->strip)
		return PL_REASON_NO_MEMORY;
	return pl_image_init(k->out, win->width, win->height, in->channels);
}

enum pl_reason pl_resample_window(const struct pl_image *in, const struct pl_window *win,
    enum pl_filter filter, struct pl_image *out)
{
	struct work k = { .in = in, .out = out };
	memset(out, 0, sizeof(*out));
	if (win->width == 0 || win->height == 0 || win->scaled_w == 0 || win->scaled_h == 0)
		return PL_REASON_CORRUPT;
	enum pl_reason reason = work_init(&k, win, filter);
	if (reason == PL_REASON_KEEP)
		for (uint32_t y = 0; y < out->height; y += STRIP)
			do_strip(&k, y);
	axis_release(&k.across);
	axis_release(&k.down);
	free(k.row);
	free(k.strip);
	return reason;
}

enum pl_reason pl_img_resample(const struct pl_image *in, uint32_t width, uint32_t height,
    enum pl_filter filter, struct pl_image *out)
{
	const struct pl_window whole = {
		.src_w = in->width,
		.src_h = in->height,
		.scaled_w = width,
		.scaled_h = height,
		.width = width,
		.height = height,
	};
	return pl_resample_window(in, &whole, filter, out);
}
