/* SPDX-License-Identifier: Apache-2.0 */
/* Counting a corpus; see stat_numbers.h. */
#include "stat_numbers.h"

#include <math.h>
#include <string.h>

const struct quantity_kind quantity_kinds[QUANTITIES] = {
	[Q_WIDTH] = { "width", false, true },
	[Q_HEIGHT] = { "height", false, true },
	[Q_BYTES] = { "bytes", false, true },
	[Q_WORDS] = { "words", false, true },
	[Q_IMAGES] = { "images each", false, true },
	[Q_BITS] = { "bits/pixel", true, true },
	[Q_MEAN] = { "mean", true, false },
	[Q_CONTRAST] = { "contrast", true, false },
	[Q_ENTROPY] = { "entropy", true, false },
	[Q_EDGES] = { "edges", true, false },
	[Q_BLUR] = { "blur", true, true },
	[Q_JPEG_QUALITY] = { "jpeg quality", false, false },
};

static void add(struct histogram *h, uint32_t v)
{
	unsigned power = v == 0 ? 0 : 32u - (unsigned)__builtin_clz(v);
	uint64_t base = power == 0 ? 0 : (uint64_t)1 << (power - 1);
	unsigned step = power == 0 ? 0 : (unsigned)((v - base) * HISTOGRAM_STEPS / base);

	h->counts[power * HISTOGRAM_STEPS + step]++;
	h->n++;
}

/* What does not fit, NaN included, is left out. */
static void add_fraction(struct histogram *h, float v)
{
	if (v >= 0 && v < 4e6f)
		add(h, (uint32_t)((double)v * 1000));
}

/* The least value of a bin. */
static double bin_value(unsigned i)
{
	double base = i < HISTOGRAM_STEPS ? 0 : (double)((uint64_t)1 << (i / HISTOGRAM_STEPS - 1));

	return base + base * (double)(i % HISTOGRAM_STEPS) / HISTOGRAM_STEPS;
}

static void count_image(struct numbers *n, const struct pl_image_row *im)
{
	n->formats[im->format < PL_FORMAT_COUNT ? im->format : PL_FORMAT_UNKNOWN]++;
	if (im->status != PL_REASON_KEEP)
		return;
	add(&n->of[Q_WIDTH], im->width);
	add(&n->of[Q_HEIGHT], im->height);
	add(&n->of[Q_BYTES], im->length > UINT32_MAX ? UINT32_MAX : (uint32_t)im->length);
	add_fraction(&n->of[Q_BITS], im->bits_per_pixel);
	add_fraction(&n->of[Q_MEAN], im->mean);
	add_fraction(&n->of[Q_CONTRAST], im->contrast);
	add_fraction(&n->of[Q_ENTROPY], im->entropy);
	add_fraction(&n->of[Q_EDGES], im->edges);
	add_fraction(&n->of[Q_BLUR], im->blur);
	if (im->jpeg_quality > 0)
		add(&n->of[Q_JPEG_QUALITY], im->jpeg_quality);
	n->blank += im->blank != 0;
	n->animated += im->frames > 1;
}

void numbers_count(struct numbers *n, const struct pl_tables *t)
{
	for (uint64_t i = 0; i < t->samples.nrows; i++) {
		enum pl_reason verdict = pl_sample_verdict(t, i);
		n->samples[verdict < PL_REASON_COUNT ? verdict : PL_REASON_CORRUPT]++;
		add(&n->of[Q_WORDS], pl_sample(t, i)->text_words);
		add(&n->of[Q_IMAGES], pl_sample(t, i)->images);
	}
	for (uint64_t i = 0; i < t->images.nrows; i++) {
		enum pl_reason verdict = pl_image_verdict(t, i);
		n->images[verdict < PL_REASON_COUNT ? verdict : PL_REASON_CORRUPT]++;
		count_image(n, pl_image_at(t, i));
	}
}

double numbers_quantile(const struct numbers *n, enum quantity what, double q)
{
	const struct histogram *h = &n->of[what];
	uint64_t want = h->n > 0 ? (uint64_t)(q * (double)(h->n - 1)) + 1 : 0, sum = 0;

	for (unsigned i = 0; want > 0 && i < HISTOGRAM_BINS; i++) {
		sum += h->counts[i];
		if (sum >= want)
			return bin_value(i) / (quantity_kinds[what].fraction ? 1000 : 1);
	}
	return 0;
}

bool numbers_bars(const struct numbers *n, enum quantity what, uint64_t *bars, size_t nbars, double *from, double *to)
{
	const struct histogram *h = &n->of[what];
	const bool logarithmic = quantity_kinds[what].logarithmic;
	const double unit = quantity_kinds[what].fraction ? 1000 : 1;
	double least, width;

	memset(bars, 0, nbars * sizeof(*bars));
	if (h->n == 0)
		return false;
	*from = numbers_quantile(n, what, 0);
	*to = numbers_quantile(n, what, 1);
	least = logarithmic ? log1p(*from * unit) : *from * unit;
	width = ((logarithmic ? log1p(*to * unit) : *to * unit) - least) / (double)nbars;
	for (unsigned i = 0; i < HISTOGRAM_BINS; i++) {
		double v = logarithmic ? log1p(bin_value(i)) : bin_value(i);
		size_t k = width > 0 && v > least ? (size_t)((v - least) / width) : 0;
		if (h->counts[i] > 0)
			bars[k < nbars ? k : nbars - 1] += h->counts[i];
	}
	return true;
}
