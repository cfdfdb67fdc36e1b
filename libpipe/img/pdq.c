/* SPDX-License-Identifier: Apache-2.0 */
/* PDQ after Meta's definition. Bits hang on comparisons of floats, so the
 * order of every sum is part of the algorithm. */
#include "pdq_core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GRID = PL_PDQ_GRID, FREQUENCIES = 16, BITS = FREQUENCIES * FREQUENCIES, SHRUNK = 512 };

const char *const pl_hash_recipe_names[] = { "pdq-aa", "pdq", "pdq-512", NULL };

void pl_pdq_luma(const uint8_t *pixels, uint32_t channels, size_t n, float *luma)
{
	if (channels == 1) {
		for (size_t i = 0; i < n; i++)
			luma[i] = pixels[i];
		return;
	}
	for (size_t i = 0; i < n; i++, pixels += channels)
		luma[i] = 0.299f * (float)pixels[0] + 0.587f * (float)pixels[1] +
		    0.114f * (float)pixels[2];
}

/* Mean over a window that slides along n samples `step` apart and shrinks at both ends. The running
 * float sum and its order are PDQ's. */
static void box(const float *in, float *out, size_t n, size_t step, size_t window)
{
	const size_t half = (window + 2) / 2;
	size_t add = 0, drop = 0, put = 0, inside = 0;
	float sum = 0;
	for (; add < half - 1; add++, inside++)
		sum += in[add * step];
	for (; inside < window; add++, put++) {
		sum += in[add * step];
		inside++;
		out[put * step] = sum / (float)inside;
	}
	for (; add < n; add++, drop++, put++) {
		sum += in[add * step];
		sum -= in[drop * step];
		out[put * step] = sum / (float)inside;
	}
	for (; put < n; drop++, put++) {
		sum -= in[drop * step];
		inside--;
		out[put * step] = sum / (float)inside;
	}
}

static void jarosz(float *luma, float *scratch, size_t rows, size_t cols)
{
	const size_t along_row = (cols + 127) / 128, along_column = (rows + 127) / 128;
	for (int pass = 0; pass < 2; pass++) {
		for (size_t y = 0; y < rows; y++)
			box(luma + y * cols, scratch + y * cols, cols, 1, along_row);
		for (size_t x = 0; x < cols; x++)
			box(scratch + x, luma + x, rows, cols, along_column);
	}
}

static void decimate(const float *luma, size_t rows, size_t cols, float grid[GRID * GRID])
{
	for (size_t i = 0; i < GRID; i++) {
		size_t y = (2 * i + 1) * rows / (2 * GRID);
		for (size_t j = 0; j < GRID; j++)
			grid[i * GRID + j] = luma[y * cols + (2 * j + 1) * cols / (2 * GRID)];
	}
}

static int step_cost(float u, float v)
{
	int d = (int)((u - v) * 100 / 255);
	return d < 0 ? -d : d;
}

static uint8_t quality_of(const float grid[GRID * GRID])
{
	int sum = 0;
	for (size_t i = 0; i + 1 < GRID; i++)
		for (size_t j = 0; j < GRID; j++)
			sum += step_cost(grid[i * GRID + j], grid[(i + 1) * GRID + j]);
	for (size_t i = 0; i < GRID; i++)
		for (size_t j = 0; j + 1 < GRID; j++)
			sum += step_cost(grid[i * GRID + j], grid[i * GRID + j + 1]);
	int quality = sum / 90;
	return (uint8_t)(quality > 100 ? 100 : quality);
}

/* The 16 lowest frequencies but the constant one, both ways: out = D grid D'. */
static void transform(const float grid[GRID * GRID], float out[BITS])
{
	const double pi = 3.14159265358979323846;
	float d[FREQUENCIES][GRID], half[FREQUENCIES][GRID];
	for (int i = 0; i < FREQUENCIES; i++)
		for (int j = 0; j < GRID; j++)
			d[i][j] = (float)(sqrt(2.0 / GRID) *
			    cos(pi / (2 * GRID) * (i + 1) * (2 * j + 1)));
	for (size_t i = 0; i < FREQUENCIES; i++) {
		for (size_t j = 0; j < GRID; j++) {
			float sum = 0;
			for (size_t k = 0; k < GRID; k++)
				sum += d[i][k] * grid[k * GRID + j];
			half[i][j] = sum;
		}
	}
	for (size_t i = 0; i < FREQUENCIES; i++) {
		for (size_t j = 0; j < FREQUENCIES; j++) {
			float sum = 0;
			for (size_t k = 0; k < GRID; k++)
				sum += half[i][k] * d[j][k];
			out[i * FREQUENCIES + j] = sum;
		}
	}
}

static int float_order(const void *a, const void *b)
{
	const float *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

void pl_pdq_from_grid(const float grid[PL_PDQ_GRID * PL_PDQ_GRID], struct pl_pdq *out)
{
	float coefficients[BITS], sorted[BITS];
	memset(out, 0, sizeof(*out));
	out->quality = quality_of(grid);
	transform(grid, coefficients);
	memcpy(sorted, coefficients, sizeof(sorted));
	qsort(sorted, BITS, sizeof(sorted[0]), float_order);
	const float median = sorted[BITS / 2 - 1]; /* the lower of the two */
	for (size_t k = 0; k < BITS; k++)
		if (coefficients[k] > median)
			out->bits[PL_PDQ_BYTES - 1 - k / 8] |= (uint8_t)(1u << k % 8);
}

enum pl_reason pl_pdq(const struct pl_image *im, struct pl_pdq *out)
{
	memset(out, 0, sizeof(*out));
	if (im->width < PL_PDQ_LEAST || im->height < PL_PDQ_LEAST)
		return PL_REASON_KEEP;
	size_t n = (size_t)im->width * im->height;
	float grid[GRID * GRID];
	float *luma = calloc(n, 2 * sizeof(*luma));
	if (!luma)
		return PL_REASON_NO_MEMORY;
	pl_pdq_luma(im->pixels, im->channels, n, luma);
	if (im->width != GRID || im->height != GRID)
		jarosz(luma, luma + n, im->height, im->width);
	decimate(luma, im->height, im->width, grid);
	free(luma);
	pl_pdq_from_grid(grid, out);
	return PL_REASON_KEEP;
}

/* Nearest neighbour to 512x512, the aspect ratio not kept. */
static enum pl_reason shrink(const struct pl_image *im, struct pl_image *out)
{
	enum pl_reason reason = pl_image_init(out, SHRUNK, SHRUNK, im->channels);
	if (reason != PL_REASON_KEEP)
		return reason;
	const size_t c = im->channels;
	uint8_t *dst = out->pixels;
	for (size_t y = 0; y < SHRUNK; y++) {
		const uint8_t *row = im->pixels + y * im->height / SHRUNK * im->width * c;
		for (size_t x = 0; x < SHRUNK; x++, dst += c)
			memcpy(dst, row + x * im->width / SHRUNK * c, c);
	}
	return PL_REASON_KEEP;
}

enum pl_reason pl_pdq_512(const struct pl_image *im, struct pl_pdq *out)
{
	memset(out, 0, sizeof(*out));
	if (im->width < PL_PDQ_LEAST || im->height < PL_PDQ_LEAST)
		return PL_REASON_KEEP;
	if (im->width <= SHRUNK && im->height <= SHRUNK)
		return pl_pdq(im, out);
	struct pl_image small;
	enum pl_reason reason = shrink(im, &small);
	if (reason == PL_REASON_KEEP)
		reason = pl_pdq(&small, out);
	pl_image_release(&small);
	return reason;
}

enum pl_reason pl_img_hash(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, enum pl_hash_recipe recipe, struct pl_pdq *out)
{
	static const struct pl_img_decode small_luma = { 256, true }, full = { 0, false };
	struct pl_image im;
	memset(out, 0, sizeof(*out));
	enum pl_reason reason =
	    pl_img_decode(data, len, info, lim, recipe == PL_HASH_PDQ_AA ? &small_luma : &full, &im);
	if (reason == PL_REASON_KEEP)
		reason = recipe == PL_HASH_PDQ_AA ? pl_pdq_aa(&im, out) :
		    recipe == PL_HASH_PDQ ? pl_pdq(&im, out) : pl_pdq_512(&im, out);
	pl_image_release(&im);
	return reason;
}

static unsigned popcount64(uint64_t x)
{
	x -= x >> 1 & UINT64_C(0x5555555555555555);
	x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
	x = (x + (x >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
	return (unsigned)(x * UINT64_C(0x0101010101010101) >> 56);
}

int pl_hamming256(const uint8_t a[PL_PDQ_BYTES], const uint8_t b[PL_PDQ_BYTES])
{
	unsigned distance = 0;
	for (size_t i = 0; i < PL_PDQ_BYTES; i += 8) {
		uint64_t x, y;
		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		distance += popcount64(x ^ y);
	}
	return (int)distance;
}

void pl_pdq_hex(const uint8_t bits[PL_PDQ_BYTES], char out[65])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < PL_PDQ_BYTES; i++) {
		out[2 * i] = digits[bits[i] >> 4];
		out[2 * i + 1] = digits[bits[i] & 15];
	}
	out[64] = '\0';
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool pl_pdq_parse(const char *hex, uint8_t bits[PL_PDQ_BYTES])
{
	uint8_t parsed[PL_PDQ_BYTES] = { 0 };
	for (size_t i = 0; i < 2 * PL_PDQ_BYTES; i++) {
		int d = digit(hex[i]);
		if (d < 0)
			return false;
		parsed[i / 2] = (uint8_t)(parsed[i / 2] << 4 | d);
	}
	if (hex[2 * PL_PDQ_BYTES] != '\0')
		return false;
	memcpy(bits, parsed, sizeof(parsed));
	return true;
}
