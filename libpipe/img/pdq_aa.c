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

enum { RUN = 16 };

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

/* Down the columns: each row of the picture is turned into luma once and added to the one to three
 * of the 64 sums whose triangle covers it. */
static void reduce_rows(
    const struct pl_image *im, const struct taps down[GRID], float *row, float *sums)
{
	const size_t width = im->width, stride = width * im->channels;
	size_t low = 0;
	for (uint32_t y = 0; y < im->height; y++) {
		const uint8_t *pixels = im->pixels + y * stride;
		while (low < GRID && down[low].first + down[low].count <= y)
			low++;
		bool read = false;
		for (size_t o = low; o < GRID && down[o].first <= y; o++) {
			if (y - down[o].first >= down[o].count)
				continue;
			if (!read && im->channels == 1)
				grey_row(pixels, row, width);
			else if (!read)
				pl_pdq_luma(pixels, im->channels, width, row);
			read = true;
			add_row(sums + o * width, row, down[o].weight[y - down[o].first], width);
		}
	}
}

/* Along the rows, four at a time, for their sums do not wait for each other; each runs in the order
 * of the pixels. */
static void reduce_columns(
    const float *sums, size_t width, const struct taps across[GRID], float grid[GRID * GRID])
{
	for (size_t i = 0; i < GRID; i += 4) {
		for (size_t j = 0; j < GRID; j++) {
			const float *w = across[j].weight, *p = sums + i * width + across[j].first;
			const float *q = p + width, *r = q + width, *s = r + width;
			float a = 0, b = 0, c = 0, d = 0;
			for (uint32_t k = 0; k < across[j].count; k++) {
				a += w[k] * p[k];
				b += w[k] * q[k];
				c += w[k] * r[k];
				d += w[k] * s[k];
			}
			float *out = grid + i * GRID + j;
			out[0] = a;
			out[GRID] = b;
			out[2 * GRID] = c;
			out[3 * GRID] = d;
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

enum pl_reason pl_pdq_grid(
    const struct pl_image *im, uint32_t width, uint32_t height, float grid[GRID * GRID])
{
	struct taps across[GRID], down[GRID];
	float *w_across = triangle(im->width, extent(width, im->width), across);
	float *w_down = triangle(im->height, extent(height, im->height), down);
	float *sums = calloc((size_t)im->width * (GRID + 1), sizeof(*sums));
	enum pl_reason reason = PL_REASON_NO_MEMORY;
	if (w_across && w_down && sums) {
		reduce_rows(im, down, sums + (size_t)im->width * GRID, sums);
		reduce_columns(sums, im->width, across, grid);
		reason = PL_REASON_KEEP;
	}
	free(w_across);
	free(w_down);
	free(sums);
	return reason;
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
