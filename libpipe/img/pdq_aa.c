/* SPDX-License-Identifier: Apache-2.0 */
/* pdq-aa: PDQ's transform on a luma reduced to 64x64 by an antialiased
 * triangle filter, so that rescaled copies hash alike. */
#include "pdq_core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GRID = PL_PDQ_GRID };

/* The pixels under one output's triangle and their weights, which sum to 1. */
struct taps {
	uint32_t first, count;
	const float *weight;
};

/* Fill taps for the 64 outputs along dim pixels, of which the picture covers extent: dim, or less by
 * a part of the last pixel, which then counts for that much less. Returns the weights' storage, to be
 * freed, or NULL. */
static float *triangle(uint32_t dim, double extent, struct taps taps[GRID])
{
	const double s = extent / GRID, support = s > 1 ? s : 1;
	const double last = extent - (dim - 1);
	const size_t most = (size_t)(2 * support) + 3;
	float *weights = calloc(GRID * most, sizeof(*weights));
	if (!weights)
		return NULL;
	for (size_t o = 0; o < GRID; o++) {
		double centre = ((double)o + 0.5) * s, total = 0;
		double low = floor(centre - support - 0.5), high = ceil(centre + support - 0.5);
		uint32_t from = low > 0 ? (uint32_t)low : 0;
		uint32_t to = high < dim ? (uint32_t)high + 1 : dim;
		if (to > dim)
			to = dim;
		while (from + 1 < to && fabs(from + 0.5 - centre) >= support)
			from++;
		float *w = weights + o * most;
		uint32_t count = 0;
		for (uint32_t x = from; x < to && count < most; x++, count++) {
			double v = 1 - fabs(x + 0.5 - centre) / support;
			if (v <= 0)
				break;
			if (x + 1 == dim)
				v *= last;
			total += v;
			w[count] = (float)v;
		}
		for (uint32_t i = 0; i < count; i++)
			w[i] = (float)(w[i] / total);
		taps[o] = (struct taps){ from, count, w };
	}
	return weights;
}

/* Of a constant length, so that gcc makes vectors of it; 32 bytes become eight floats at a time, 16 only four. */
enum { RUN = 16, GREY_RUN = 32, GREY_REST = 8 };

PL_PDQ_CLONES
static void add_row(float *restrict sum, const float *restrict row, float weight, size_t n)
{
	size_t i = 0;
	for (; i + RUN <= n; i += RUN)
		for (size_t j = 0; j < RUN; j++)
			sum[i + j] += weight * row[i + j];
	for (; i < n; i++)
		sum[i] += weight * row[i];
}

/* A row of grey for the two sums it is under in most pictures. */
PL_PDQ_CLONES
static void add_grey(float *restrict a, float *restrict b, const uint8_t *restrict in, float weight_a,
    float weight_b, size_t n)
{
	size_t i = 0;
	for (; i + GREY_RUN <= n; i += GREY_RUN)
		for (size_t j = 0; j < GREY_RUN; j++) {
			const float v = in[i + j];
			a[i + j] += weight_a * v;
			b[i + j] += weight_b * v;
		}
	for (; i + GREY_REST <= n; i += GREY_REST)
		for (size_t j = 0; j < GREY_REST; j++) {
			const float v = in[i + j];
			a[i + j] += weight_a * v;
			b[i + j] += weight_b * v;
		}
	for (; i < n; i++) {
		const float v = in[i];
		a[i] += weight_a * v;
		b[i] += weight_b * v;
	}
}

PL_PDQ_CLONES
static void grey_row(const uint8_t *restrict in, float *restrict row, size_t n)
{
	size_t i = 0;
	for (; i + RUN <= n; i += RUN)
		for (size_t j = 0; j < RUN; j++)
			row[i + j] = in[i + j];
	for (; i < n; i++)
		row[i] = in[i];
}

/* Is row y under outputs low and low + 1, and no other? Those before low are done with it. */
static bool two_take(const struct taps down[GRID], size_t low, uint32_t y)
{
	return low + 1 < GRID && down[low].first <= y && down[low + 1].first <= y &&
	    y - down[low + 1].first < down[low + 1].count && (low + 2 >= GRID || down[low + 2].first > y);
}

/* Down the columns: each row of the picture is turned into luma once and added to the one to three
 * of the 64 sums whose triangle covers it. */
static void reduce_rows(const struct pl_plane *in, uint32_t channels, const struct taps down[GRID],
    float *row, float *sums)
{
	const size_t width = in->width;
	size_t low = 0;
	for (uint32_t y = 0; y < in->height; y++) {
		const uint8_t *pixels = in->data + y * in->stride;
		while (low < GRID && down[low].first + down[low].count <= y)
			low++;
		if (channels == 1 && two_take(down, low, y)) {
			const struct taps *d = down + low;
			add_grey(sums + low * width, sums + (low + 1) * width, pixels,
			    d[0].weight[y - d[0].first], d[1].weight[y - d[1].first], width);
			continue;
		}
		bool read = false;
		for (size_t o = low; o < GRID && down[o].first <= y; o++) {
			if (y - down[o].first >= down[o].count)
				continue;
			if (!read && channels == 1)
				grey_row(pixels, row, width);
			else if (!read)
				pl_pdq_luma(pixels, channels, width, row);
			read = true;
			add_row(sums + o * width, row, down[o].weight[y - down[o].first], width);
		}
	}
}

enum { FOUR = 4, BAND = 16 };

/* Four rows, their samples in turns. */
PL_PDQ_CLONES
static void interleave(const float *restrict p, size_t width, float *restrict out)
{
	const float *q = p + width, *r = q + width, *s = r + width;
	for (size_t x = 0; x < width; x++) {
		out[FOUR * x] = p[x];
		out[FOUR * x + 1] = q[x];
		out[FOUR * x + 2] = r[x];
		out[FOUR * x + 3] = s[x];
	}
}

static void add_four(float *restrict sum, const float *restrict in, float weight)
{
	for (size_t i = 0; i < FOUR; i++)
		sum[i] += weight * in[i];
}

/* Along the rows, sixteen at a time, for their sums do not wait for each other; each runs in the
 * order of the pixels. turns: room for as many rows. */
PL_PDQ_CLONES
static void reduce_columns(const float *sums, size_t width, const struct taps across[GRID], float *turns,
    float grid[GRID * GRID])
{
	const size_t fours = FOUR * width;
	for (size_t i = 0; i < GRID; i += BAND) {
		for (size_t r = 0; r < BAND; r += FOUR)
			interleave(sums + (i + r) * width, width, turns + r * width);
		for (size_t j = 0; j < GRID; j++) {
			const float *w = across[j].weight, *p = turns + FOUR * (size_t)across[j].first;
			float a[FOUR] = { 0 }, b[FOUR] = { 0 }, c[FOUR] = { 0 }, d[FOUR] = { 0 };
			for (uint32_t k = 0; k < across[j].count; k++, p += FOUR) {
				add_four(a, p, w[k]);
				add_four(b, p + fours, w[k]);
				add_four(c, p + 2 * fours, w[k]);
				add_four(d, p + 3 * fours, w[k]);
			}
			float *out = grid + i * GRID + j;
			for (size_t r = 0; r < FOUR; r++, out += GRID) {
				out[0] = a[r];
				out[FOUR * GRID] = b[r];
				out[2 * FOUR * GRID] = c[r];
				out[3 * FOUR * GRID] = d[r];
			}
		}
	}
}

/* How much of `size` pixels lies in each of `dim`, when that is a size reduced by 1, 2, 4 or 8. */
static double extent(uint32_t size, uint32_t dim)
{
	for (uint32_t by = 1; by <= 8; by *= 2)
		if ((size + by - 1) / by == dim)
			return (double)size / by;
	return dim;
}

enum pl_reason pl_pdq_grid_of(const struct pl_plane *in, uint32_t channels, float grid[GRID * GRID])
{
	struct taps across[GRID], down[GRID];
	float *w_across = triangle(in->width, in->extent_w, across);
	float *w_down = triangle(in->height, in->extent_h, down);
	float *sums = calloc(in->width, (GRID + BAND) * sizeof(*sums));
	enum pl_reason reason = PL_REASON_NO_MEMORY;
	if (w_across && w_down && sums) {
		float *room = sums + (size_t)in->width * GRID;
		reduce_rows(in, channels, down, room, sums);
		reduce_columns(sums, in->width, across, room, grid);
		reason = PL_REASON_KEEP;
	}
	free(w_across);
	free(w_down);
	free(sums);
	return reason;
}

enum pl_reason pl_pdq_grid(
    const struct pl_image *im, uint32_t width, uint32_t height, float grid[GRID * GRID])
{
	const struct pl_plane in = { .data = im->pixels,
		.stride = (size_t)im->width * im->channels,
		.width = im->width,
		.height = im->height,
		.extent_w = extent(width, im->width),
		.extent_h = extent(height, im->height) };
	return pl_pdq_grid_of(&in, im->channels, grid);
}

enum pl_reason pl_pdq_aa(const struct pl_image *im, struct pl_pdq *out)
{
	float grid[GRID * GRID];
	memset(out, 0, sizeof(*out));
	if (im->width < PL_PDQ_LEAST || im->height < PL_PDQ_LEAST)
		return PL_REASON_KEEP;
	enum pl_reason reason = pl_pdq_grid(im, im->width, im->height, grid);
	if (reason == PL_REASON_KEEP)
		pl_pdq_from_grid(grid, out);
	return reason;
}

enum pl_reason pl_hash_decoded(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_plane *in, uint32_t channels, struct pl_pdq *out)
{
	const bool reduced = in->width < info->width || in->height < info->height;
	float grid[GRID * GRID];
	memset(out, 0, sizeof(*out));
	if (info->width < PL_PDQ_LEAST || info->height < PL_PDQ_LEAST)
		return PL_REASON_KEEP;
	if (reduced && (in->width < GRID || in->height < GRID))
		return pl_img_hash(data, len, info, lim, PL_HASH_PDQ_AA, out);
	enum pl_reason reason = pl_pdq_grid_of(in, channels, grid);
	if (reason == PL_REASON_KEEP)
		pl_pdq_from_grid(grid, out);
	return reason;
}
