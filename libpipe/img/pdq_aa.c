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

/* Fill taps for the 64 outputs along dim pixels. Returns the weights' storage, to be freed, or
 * NULL. */
static float *triangle(uint32_t dim, struct taps taps[GRID])
{
	const double s = (double)dim / GRID, support = s > 1 ? s : 1;
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
			total += v;
			w[count] = (float)v;
		}
		for (uint32_t i = 0; i < count; i++)
			w[i] = (float)(w[i] / total);
		taps[o] = (struct taps){ from, count, w };
	}
	return weights;
}

static void add_row(float *restrict sum, const float *restrict row, float weight, size_t n)
{
	enum { RUN = 16 };
	size_t i = 0;
	for (; i + RUN <= n; i += RUN)
		for (size_t j = 0; j < RUN; j++)
			sum[i + j] += weight * row[i + j];
	for (; i < n; i++)
		sum[i] += weight * row[i];
}

/* Down the columns: each row of the picture is turned into luma once and added to the one to three
 * of the 64 sums whose triangle covers it. */
static void reduce_rows(
    const struct pl_image *im, const struct taps down[GRID], float *row, float *sums)
{
	const size_t width = im->width, stride = width * im->channels;
	size_t low = 0;
	for (uint32_t y = 0; y < im->height; y++) {
		while (low < GRID && down[low].first + down[low].count <= y)
			low++;
		bool read = false;
		for (size_t o = low; o < GRID && down[o].first <= y; o++) {
			if (y - down[o].first >= down[o].count)
				continue;
			if (!read)
				pl_pdq_luma(im->pixels + y * stride, im->channels, width, row);
			read = true;
			add_row(sums + o * width, row, down[o].weight[y - down[o].first], width);
		}
	}
}

enum pl_reason pl_pdq_aa(const struct pl_image *im, struct pl_pdq *out)
{
	memset(out, 0, sizeof(*out));
	if (im->width < PL_PDQ_LEAST || im->height < PL_PDQ_LEAST)
		return PL_REASON_KEEP;
	struct taps across[GRID], down[GRID];
	float *w_across = triangle(im->width, across), *w_down = triangle(im->height, down);
	float *sums = calloc((size_t)im->width * (GRID + 1), sizeof(*sums));
	enum pl_reason reason = PL_REASON_NO_MEMORY;
	if (!w_across || !w_down || !sums)
		goto done;
	reduce_rows(im, down, sums + (size_t)im->width * GRID, sums);
	float grid[GRID * GRID];
	for (size_t i = 0; i < GRID; i++) {
		const float *row = sums + i * im->width;
		for (size_t j = 0; j < GRID; j++) {
			float sum = 0;
			for (uint32_t k = 0; k < across[j].count; k++)
				sum += across[j].weight[k] * row[across[j].first + k];
			grid[i * GRID + j] = sum;
		}
	}
	pl_pdq_from_grid(grid, out);
	reason = PL_REASON_KEEP;
done:
	free(w_across);
	free(w_down);
	free(sums);
	return reason;
}
