/* SPDX-License-Identifier: Apache-2.0 */
/* Antialiased separable resampling with Pillow's definition of the filters,
 * in integers: the same pixels on every machine, whatever its vector unit.
 *
 * Rows first, then columns, sixteen output rows at a time: the strip they make
 * lies in cache with its columns turned, so that both passes are weighted sums
 * of contiguous runs. Web images come in few sizes and many: the weights of
 * the last axes are kept. */
#include "icc.h"
#include "resample_kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	STRIP = PL_RS_STRIP,
	KEPT_AXES = 16,
	KEPT_BYTES = 1 << 20 /* weights of a larger axis are not kept */
};

static double filter_value(enum pl_filter filter, double x)
{
	double a = fabs(x);
	switch (filter) {
	case PL_FILTER_LANCZOS: /* see lanczos_table() */
		return 0;
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

/* ---- weights ---- */

/* What an axis depends on. extent: how many inputs the picture fills; at, outputs: the window inside
 * scaled outputs; even: first inputs are even. */
struct axis_key {
	double extent, scaled, at;
	uint32_t inputs, outputs;
	enum pl_filter filter;
	bool even;
};

static void axis_release(struct pl_axis *a)
{
	free(a->first);
	free(a->count);
	free(a->weight);
	memset(a, 0, sizeof(*a));
}

/* Weights to 14 bits, by rounding their running sum: they add up to exactly 1, and errors of
 * neighbours cancel. */
static void quantise(const int32_t *w, uint32_t n, int64_t total, int16_t *out)
{
	enum { LIFT = 1 << 20 }; /* so that a cast rounds down below 0, too */
	const double one = (double)(1 << PL_RS_ONE_BITS) / (double)total;
	int64_t run = 0, before = LIFT;
	for (uint32_t i = 0; i < n; i++) {
		run += w[i];
		int64_t now = (int64_t)((double)run * one + (LIFT + 0.5)), step = now - before;
		step = step > INT16_MAX ? INT16_MAX : step;
		out[i] = (int16_t)(step < INT16_MIN ? INT16_MIN : step);
		before = now;
	}
}

/* ---- Lanczos ---- */

/* The filter at every 512th of an input and at 3, where it ends; 30 bits behind the point. Between
 * them it is interpolated: 2e-6 off at most, against 3e-5 of a weight's last bit. */
enum { PER_INPUT = 512, LOBES = 3, TABLE_END = LOBES * PER_INPUT, ENTRY_BITS = 30, PLACE_BITS = 30 };

/* For 0..pi/2, to the last bits of a double: libm's differs from machine to machine. */
static double sine(double t)
{
	const double q = t * t;
	double v = 0;
	for (int n = 23; n >= 3; n -= 2)
		v = (v + 1) * -q / (n * (n - 1));
	return t + t * v;
}

/* Not to be inlined: the table of a thread would be looked for at every weight. */
__attribute__((noinline)) static const int32_t *lanczos_table(void)
{
	static _Thread_local int32_t table[TABLE_END + 2];
	const double third = 3.14159265358979323846 / 3;
	if (table[0])
		return table;
	/* sinc(x) sinc(x/3) = s^2 (3 - 4 s^2) / 3 t^2 with t = pi x/3, s = sin t. */
	for (int i = TABLE_END - 1; i > 0; i--) {
		double x = (double)i / PER_INPUT, t = third * x;
		double s = sine(third * (x > 1.5 ? LOBES - x : x));
		double v = s * s * (3 - 4 * s * s) / (3 * t * t) * (1 << ENTRY_BITS);
		table[i] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
	}
	table[0] = 1 << ENTRY_BITS;
	return table;
}

static int64_t lanczos_values(
    const int32_t *table, double x, double step, uint32_t n, int32_t *w)
{
	const double unit = (double)PER_INPUT * (1 << PLACE_BITS);
	const int64_t by = (int64_t)(step * unit), end = (int64_t)TABLE_END << PLACE_BITS;
	/* A window that lies wholly outside has a far x and one weight. */
	int64_t at = (int64_t)((x < -4 ? -4 : x > 4 ? 4 : x) * unit), total = 0;
	for (uint32_t k = 0; k < n; k++, at += by) {
		int64_t place = at < 0 ? -at : at;
		place = place < end ? place : end;
		const int32_t *e = table + (place >> PLACE_BITS);
		int64_t part = place >> (PLACE_BITS - 15) & 0x7FFF;
		total += w[k] = e[0] + (int32_t)((e[1] - e[0]) * part >> 15);
	}
	return total;
}

/* An axis being made. Where `like` is not NULL, its outputs are where ours are, as those of luma and
 * chroma are in 4:2:0; they differ at the far end only. */
struct making {
	struct pl_axis *axis;
	const struct axis_key *key;
	const struct pl_axis *like;
	uint32_t like_inputs;
	const int32_t *table;
	int32_t *room;
};

static int64_t window_values(const struct making *m, double x, double step, uint32_t n)
{
	int64_t total = 0;
	if (m->key->filter == PL_FILTER_LANCZOS)
		return lanczos_values(m->table, x, step, n, m->room);
	for (uint32_t k = 0; k < n; k++) {
		double v = filter_value(m->key->filter, x + step * k) * (1 << ENTRY_BITS);
		total += m->room[k] = (int32_t)v;
	}
	return total;
}

static void axis_weights(const struct making *m, uint32_t i, double ratio, double scale)
{
	struct pl_axis *a = m->axis;
	const uint32_t inputs = m->key->inputs;
	const double centre = (m->key->at + i + 0.5) * ratio;
	const double support = filter_support(m->key->filter) * scale;
	const double low = centre - support + 0.5, high = centre + support + 0.5;
	int16_t *weight = a->weight + (size_t)i * a->taps;
	if (m->like && i < m->like->outputs && high < inputs && high < m->like_inputs) {
		a->first[i] = m->like->first[i];
		a->count[i] = m->like->count[i];
		memcpy(weight, m->like->weight + (size_t)i * a->taps, a->taps * sizeof(*weight));
		return;
	}
	uint32_t from = low > 0 ? (uint32_t)low : 0;
	uint32_t to = high >= inputs ? inputs : high > 0 ? (uint32_t)high : 0;
	if (from >= inputs)
		from = inputs - 1;
	if (to <= from)
		to = from + 1;
	int64_t total = window_values(m, (from - centre + 0.5) / scale, 1 / scale, to - from);
	if (total <= 0) {
		total = m->room[0] = 1;
		to = from + 1;
	}
	while (to - from > 1 && m->room[to - from - 1] == 0)
		to--;
	const uint32_t lead = m->key->even ? from & 1 : 0;
	a->first[i] = from - lead;
	a->count[i] = to - from + lead;
	quantise(m->room, to - from, total, weight + lead);
}

static enum pl_reason axis_init(
    struct pl_axis *a, const struct axis_key *key, const struct pl_axis *like, uint32_t like_inputs)
{
	memset(a, 0, sizeof(*a));
	const double ratio = key->extent / key->scaled, scale = ratio > 1 ? ratio : 1;
	const double most = ceil(filter_support(key->filter) * scale) * 2 + 2;
	const uint32_t inside = most < key->inputs ? (uint32_t)most : key->inputs;
	a->outputs = key->outputs;
	a->taps = (inside + 1 + 1) & ~1u; /* one for an even start */
	a->first = calloc(key->outputs, sizeof(*a->first));
	a->count = calloc(key->outputs, sizeof(*a->count));
	a->weight = calloc((size_t)key->outputs * a->taps, sizeof(*a->weight));
	int32_t *room = calloc(a->taps, sizeof(*room));
	if (!a->first || !a->count || !a->weight || !room) {
		free(room);
		axis_release(a);
		return PL_REASON_NO_MEMORY;
	}
	const struct making m = { a, key, like && like->taps == a->taps ? like : NULL, like_inputs,
		key->filter == PL_FILTER_LANCZOS ? lanczos_table() : NULL, room };
	for (uint32_t i = 0; i < key->outputs; i++) {
		axis_weights(&m, i, ratio, scale);
		const uint32_t pairs = (a->count[i] + 1) / 2;
		a->pairs = pairs > a->pairs ? pairs : a->pairs;
	}
	free(room);
	return PL_REASON_KEEP;
}

/* ---- the axes of the last pictures, of this thread ---- */

struct kept_axis {
	struct axis_key key;
	struct pl_axis axis;
	uint64_t used; /* 0: empty */
};

static _Thread_local struct kept_axis kept[KEPT_AXES];
static _Thread_local uint64_t now;

static bool same(double a, double b)
{
	return !(a < b || a > b);
}

static bool same_key(const struct axis_key *a, const struct axis_key *b)
{
	return same(a->extent, b->extent) && same(a->scaled, b->scaled) && same(a->at, b->at) &&
	    a->inputs == b->inputs && a->outputs == b->outputs && a->filter == b->filter &&
	    a->even == b->even;
}

/* Are outputs with one number in one place of both axes? */
static bool like_key(const struct axis_key *a, const struct axis_key *b)
{
	return same(a->extent / a->scaled, b->extent / b->scaled) && same(a->at, b->at) &&
	    a->filter == b->filter && a->even == b->even;
}

/* Valid until KEPT_AXES - 1 others were asked for. */
static const struct pl_axis *axis_get(const struct axis_key *key)
{
	struct kept_axis *oldest = kept, *like = NULL;
	for (struct kept_axis *k = kept; k < kept + KEPT_AXES; k++) {
		if (k->used && same_key(&k->key, key)) {
			k->used = ++now;
			return &k->axis;
		}
		if (k->used < oldest->used)
			oldest = k;
	}
	axis_release(&oldest->axis);
	oldest->used = 0;
	for (struct kept_axis *k = kept; k < kept + KEPT_AXES && !like; k++)
		if (k->used && like_key(&k->key, key))
			like = k;
	if (axis_init(&oldest->axis, key, like ? &like->axis : NULL, like ? like->key.inputs : 0) !=
	    PL_REASON_KEEP)
		return NULL;
	oldest->key = *key;
	oldest->used = ++now;
	return &oldest->axis;
}

void pl_img_forget(void)
{
	for (struct kept_axis *k = kept; k < kept + KEPT_AXES; k++) {
		axis_release(&k->axis);
		k->used = 0;
	}
	pl_icc_forget();
}

static void drop_large_axes(void)
{
	for (struct kept_axis *k = kept; k < kept + KEPT_AXES; k++)
		if (k->used &&
		    (size_t)k->axis.outputs * (k->axis.taps * sizeof(int16_t) + 8) > KEPT_BYTES) {
			axis_release(&k->axis);
			k->used = 0;
		}
}

/* ---- the two passes ---- */

struct work {
	const struct pl_rs_kernels *kernels;
	const struct pl_plane *in;
	size_t channels;
	const struct pl_axis *across, *down;
	uint32_t left;          /* the first column of the input that the window needs; even */
	size_t columns;         /* how many of them, a multiple of PL_RS_COLUMNS */
	size_t samples;         /* of a row of them that exist */
	uint8_t *dst;
	size_t dst_stride;
	int16_t *rows;  /* filtered: one channel: STRIP rows; else one */
	int16_t *strip; /* per channel: columns two by two, STRIP rows */
};

/* Filter the rows of output row y. */
static void filter_row(struct work *k, uint32_t y, int16_t *row)
{
	const uint8_t *src = k->in->data + k->down->first[y] * k->in->stride +
	    (size_t)k->left * k->channels;
	k->kernels->rows(src, k->in->stride, k->down->weight + (size_t)y * k->down->taps,
	    k->down->count[y], row, k->samples);
}

/* Take the one filtered row apart, into row `slot` of the strips. */
static void fill_slot(struct work *k, size_t slot)
{
	const size_t pairs = k->columns / 2, channels = k->channels;
	for (size_t c = 0; c < channels; c++) {
		int16_t *to = k->strip + c * k->columns * STRIP + 2 * slot;
		const int16_t *from = k->rows + c;
		for (size_t p = 0; p < pairs; p++, to += 2 * STRIP, from += 2 * channels) {
			to[0] = from[0];
			to[1] = from[channels];
		}
	}
}

static void fill_strip(struct work *k, uint32_t y, uint32_t rows)
{
	if (k->channels == 1) {
		for (uint32_t r = 0; r < rows; r++)
			filter_row(k, y + r, k->rows + r * k->columns);
		k->kernels->turn(k->rows, k->columns, k->columns, k->strip);
		return;
	}
	for (uint32_t r = 0; r < rows; r++) {
		filter_row(k, y + r, k->rows);
		fill_slot(k, r);
	}
}

static void put_tile(const struct work *k, uint8_t tile[][STRIP], uint32_t n, uint32_t rows,
    uint8_t *dst)
{
	for (uint32_t r = 0; r < rows; r++, dst += k->dst_stride) {
		if (k->channels > 1)
			for (uint32_t i = 0; i < n; i++)
				dst[i * k->channels] = tile[r][i];
		else if (n == STRIP)
			memcpy(dst, tile[r], STRIP);
		else
			memcpy(dst, tile[r], n);
	}
}

static void do_strip(struct work *k, uint32_t y0)
{
	const uint32_t rows = k->down->outputs - y0 < STRIP ? k->down->outputs - y0 : STRIP;
	fill_strip(k, y0, rows);
	for (size_t c = 0; c < k->channels; c++) {
		const int16_t *strip = k->strip + c * k->columns * STRIP;
		for (uint32_t x = 0; x < k->across->outputs; x += STRIP) {
			_Alignas(64) uint8_t tile[STRIP][STRIP] = { { 0 } };
			uint32_t n =
			    k->across->outputs - x < STRIP ? k->across->outputs - x : STRIP;
			k->kernels->columns(strip, k->left, k->across, x, n, tile);
			put_tile(k, tile, n, rows, k->dst + y0 * k->dst_stride + x * k->channels + c);
		}
	}
}

/* Which columns does the window need, and room for a strip of them. */
static enum pl_reason make_room(struct work *k)
{
	const uint32_t taps = 2 * k->across->pairs;
	uint32_t from = k->in->width, to = 0, read = 0;
	for (uint32_t i = 0; i < k->across->outputs; i++) {
		const uint32_t first = k->across->first[i], end = first + k->across->count[i];
		from = first < from ? first : from;
		to = end > to ? end : to;
		read = first > read ? first : read;
	}
	k->left = from;
	k->samples = (size_t)(to - from) * k->channels;
	k->columns = ((size_t)(read - from) + taps + PL_RS_COLUMNS - 1) & ~(size_t)(PL_RS_COLUMNS - 1);
	const size_t rows = k->columns * (k->channels == 1 ? STRIP : k->channels);
	const size_t bytes = (rows + k->columns * k->channels * STRIP) * sizeof(*k->rows);
	/* What lies right of the picture is multiplied by weights of 0. */
	k->rows = aligned_alloc(64, bytes);
	if (!k->rows)
		return PL_REASON_NO_MEMORY;
	memset(k->rows, 0, bytes);
	k->strip = k->rows + rows;
	return PL_REASON_KEEP;
}

enum pl_reason pl_resample_cut(const struct pl_plane *in, uint32_t channels,
    const struct pl_cut *cut, enum pl_filter filter, uint8_t *dst, size_t dst_stride)
{
	const struct axis_key across = { .extent = in->extent_w, .scaled = cut->scaled_w,
		.at = cut->x, .inputs = in->width, .outputs = cut->width, .filter = filter,
		.even = true };
	const struct axis_key down = { .extent = in->extent_h, .scaled = cut->scaled_h,
		.at = cut->y, .inputs = in->height, .outputs = cut->height, .filter = filter };
	struct work k = { .kernels = pl_rs_kernels(), .in = in, .channels = channels,
		.dst = dst, .dst_stride = dst_stride };
	enum pl_reason reason = PL_REASON_NO_MEMORY;
	k.across = axis_get(&across);
	k.down = axis_get(&down);
	if (k.across && k.down)
		reason = make_room(&k);
	if (reason == PL_REASON_KEEP)
		for (uint32_t y = 0; y < cut->height; y += STRIP)
			do_strip(&k, y);
	free(k.rows);
	drop_large_axes();
	return reason;
}

enum pl_reason pl_resample_window(const struct pl_image *in, const struct pl_window *win,
    enum pl_filter filter, struct pl_image *out)
{
	memset(out, 0, sizeof(*out));
	if (win->width == 0 || win->height == 0 || win->scaled_w == 0 || win->scaled_h == 0)
		return PL_REASON_CORRUPT;
	const size_t stride = (size_t)in->width * in->channels;
	const struct pl_plane plane = { .data = in->pixels, .stride = stride, .width = in->width,
		.height = in->height, .extent_w = win->src_w, .extent_h = win->src_h };
	const struct pl_cut cut = { win->scaled_w, win->scaled_h, win->x, win->y, win->width,
		win->height };
	enum pl_reason reason = pl_image_init(out, win->width, win->height, in->channels);
	if (reason == PL_REASON_KEEP)
		reason = pl_resample_cut(&plane, in->channels, &cut, filter, out->pixels,
		    (size_t)out->width * out->channels);
	if (reason != PL_REASON_KEEP)
		pl_image_release(out);
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
