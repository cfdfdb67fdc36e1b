/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plait-stat: what is counted over a corpus, in memory that does not
 * grow with it, and the distributions of its quantities. */
#ifndef TOOLS_STAT_NUMBERS_H
#define TOOLS_STAT_NUMBERS_H

#include "libpipe/corpus/corpus.h"

/* Counts of 32-bit values in 64 logarithmic steps per power of two: quantiles within 1.6 %. */
enum { HISTOGRAM_STEPS = 64, HISTOGRAM_BINS = 33 * HISTOGRAM_STEPS };
struct histogram { uint64_t counts[HISTOGRAM_BINS], n; };

enum quantity {
	Q_WIDTH, Q_HEIGHT, Q_BYTES, Q_WORDS, Q_IMAGES, Q_BITS, Q_MEAN, Q_CONTRAST, Q_ENTROPY, Q_EDGES, Q_BLUR, Q_JPEG_QUALITY, QUANTITIES
};
struct quantity_kind {
	const char *name;
	bool fraction;               /* held as multiples of 1/1000 */
	bool logarithmic;            /* spans powers of ten: drawn on such an axis */
};
extern const struct quantity_kind quantity_kinds[QUANTITIES];

struct numbers {
	uint64_t samples[PL_REASON_COUNT], images[PL_REASON_COUNT], formats[PL_FORMAT_COUNT];
	struct histogram of[QUANTITIES];
	uint64_t blank, animated;
};

/* Count one shard's rows in. */
void numbers_count(struct numbers *n, const struct pl_tables *t);
/* The value below which the share q of all lies, in the quantity's own unit; 0 when there are none. */
double numbers_quantile(const struct numbers *n, enum quantity what, double q);
/* Counts in nbars bars of equal width between *from and *to, the extreme values; on a logarithmic axis where the quantity has one.
 * false when there are none. */
bool numbers_bars(const struct numbers *n, enum quantity what, uint64_t *bars, size_t nbars, double *from, double *to);

#endif
