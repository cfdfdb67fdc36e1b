/* SPDX-License-Identifier: Apache-2.0 */
/* The weights of the inverse DCT, 1 = 1 << 13, ready for multiplication in
 * pairs: products that share a factor are drawn together. */
#ifndef PL_IMG_JPEG_IDCT_H
#define PL_IMG_JPEG_IDCT_H

#include "jpeg_baseline.h"

enum {
	ONE_BITS = 13,
	ONE = 1 << ONE_BITS,

	/* 8x8. Even part: A = 0.541196100 + 0.765366865, B = 0.541196100, C = 1.847759065 - B. */
	W26_A = 4433 + 6270,
	W26_B = 4433,
	W26_C = 15137 - 4433,
	/* The turn of z3, z4: 1.175875602 - 1.961570560, 1.175875602, the same - 0.390180644. */
	Z_A = 9633 - 16069,
	Z_B = 9633,
	Z_C = 9633 - 3196,
	/* 7 and 1: 0.298631336 and 1.501321110 less 0.899976223; 5 and 3: 2.053119869 and
	 * 3.072711026 less 2.562915447. */
	W71_A = 2446 - 7373,
	W71_B = -7373,
	W71_C = 12299 - 7373,
	W53_A = 16819 - 20995,
	W53_B = -20995,
	W53_C = 25172 - 20995,

	/* 4x4: 1.847759065, -0.765366865; then for the outer two samples 2.562915447, 0.899976223,
	 * -0.601344887, -0.509795579, and for the inner two 1.061594337, -2.172734803,
	 * 1.451774981, -0.211164243. */
	H26_A = 15137,
	H26_B = -6270,
	H1_A = 20995,
	H3_A = 7373,
	H5_A = -4926,
	H7_A = -4176,
	H1_B = 8697,
	H3_B = -17799,
	H5_B = 11893,
	H7_B = -1730,

	/* 2x2: 3.624509785, -1.272758580, 0.850430095, -0.720959822. */
	Q1 = 29692,
	Q3 = -10426,
	Q5 = 6967,
	Q7 = -5906
};

#endif
