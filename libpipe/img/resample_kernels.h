/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops of the resampler, once per vector unit. Integers: every
 * version gives the same bits. */
#ifndef PL_IMG_RESAMPLE_KERNELS_H
#define PL_IMG_RESAMPLE_KERNELS_H

#include "planes.h"

enum {
	PL_RS_ONE_BITS = 14, /* a weight of 1 is 1 << 14 */
	PL_RS_FRACTION = 5,  /* bits behind the point between the passes */
	PL_RS_STRIP = 16,    /* output rows made together */
	PL_RS_COLUMNS = 32   /* columns of a strip, a multiple of */
};

/* The weights of one axis: output i is the sum of count[i] inputs from first[i]. Weights are taken
 * two by two: taps is even, and a weight behind count[i] is 0. pairs: of the output that has most:
 * a loop that runs as often for each is foreseen by the processor. */
struct pl_axis {
	uint32_t outputs, taps, pairs;
	uint32_t *first, *count;
	int16_t *weight; /* outputs x taps */
};

struct pl_rs_kernels {
	/* out[0..n) = the weighted sum of `count` rows that lie stride apart. */
	void (*rows)(const uint8_t *in, size_t stride, const int16_t *weight, uint32_t count,
	    int16_t *out, size_t n);
	/* PL_RS_STRIP rows that lie stride apart, into a strip: columns two by two, pair p, row r,
	 * then the two. columns: a multiple of PL_RS_COLUMNS. */
	void (*turn)(const int16_t *rows, size_t stride, size_t columns, int16_t *strip);
	/* n <= PL_RS_STRIP outputs from `from` on: tile[r][i] = row r of output from + i; the rest
	 * of the tile is anything. The strip's first column is input `left`. left and all first are
	 * even. Every output may read its pairs of columns, though they weigh nothing. */
	void (*columns)(const int16_t *strip, uint32_t left, const struct pl_axis *a, uint32_t from,
	    uint32_t n, uint8_t tile[][PL_RS_STRIP]);
};

const struct pl_rs_kernels *pl_rs_kernels(void);

#endif
