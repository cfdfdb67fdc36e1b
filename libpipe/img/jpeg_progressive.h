/* SPDX-License-Identifier: Apache-2.0 */
/* Between the scans of a progressive JPEG and the codes of their bands: what
 * is kept of a component's blocks, and the loops over them. */
#ifndef PL_IMG_JPEG_PROGRESSIVE_H
#define PL_IMG_JPEG_PROGRESSIVE_H

#include "jpeg_entropy.h"

/* Coefficient k of a block is known to be other than 0: bit 63 - k of its mask. The DC has no such
 * bit; in its place PL_JP_CLEAN says that the block's coefficients have been cleared. */
#define PL_JP_CLEAN ((uint64_t)1 << 63)

/* The blocks of one restart interval, or of the whole scan, and where their bits are. */
struct pl_jp_run {
	struct bits bits;
	const uint8_t *end;   /* of the data; what is behind it is zeros */
	const struct pl_jb_table *t;
	uint64_t *mask;
	int16_t (*coef)[64];  /* by row; NULL: nobody wants them */
	size_t blocks;
	unsigned from, to, low;
};

/* The codes of a band of AC coefficients. false: not as they should be, or not enough data; more
 * than a block behind the end is never read. */
typedef bool pl_jp_band(struct pl_jp_run *r);

struct pl_jp_bands {
	pl_jp_band *first, *first_unkept, *refine;
};
/* bmi2: the processor has BMI, BMI2 and POPCNT. */
const struct pl_jp_bands *pl_jp_bands(bool bmi2);

#endif
