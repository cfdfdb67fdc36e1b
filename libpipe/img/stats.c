/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics of a 64x64 luma, in integers wherever sums run, and the quality
 * that a JPEG's quantisation table betrays. */
#include "stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "pdq_core.h"

enum { SIDE = PL_PDQ_GRID, CELLS = SIDE * SIDE, INNER = (SIDE - 2) * (SIDE - 2), FINE = 16, LEVELS = 256 };

/* Base-2 logarithm of x >= 1 by arithmetic alone: libm's differs in the last bit between processors. */
static double log_2(double x)
{
	int exponent;
	double m = frexp(x, &exponent); /* 0.5..1 */
	if (m < 0.70710678118654752) {
		m *= 2;
		exponent--;
	}
	/* atanh's series. */
	static const double terms[] = { 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7,
		1.0 / 5, 1.0 / 3, 1.0 };
	const double t = (m - 1) / (m + 1), t2 = t * t;
	double sum = 0;
	for (size_t k = 0; k < PL_ARRAY_LEN(terms); k++)
		sum = sum * t2 + terms[k];
	return exponent + sum * t * 2.8853900817779268; /* 2 / ln 2 */
}

static float entropy_of(const uint32_t counts[LEVELS])
{
	double sum = 0;
	for (size_t v = 0; v < LEVELS; v++)
		if (counts[v] > 0)
			sum += counts[v] * log_2(counts[v]);
	double bits = log_2(CELLS) - sum / CELLS;
	return (float)(bits > 0 ? bits : 0);
}

static bool is_blank(const uint32_t counts[LEVELS])
{
	enum { WINDOW = 8 };
	uint32_t inside = 0, most = 0;
	for (size_t v = 0; v < LEVELS; v++) {
		inside += counts[v];
		if (v >= WINDOW)
			inside -= counts[v - WINDOW];
		if (inside > most)
			most = inside;
	}
	return most * 200u >= CELLS * 199u;
}

struct sums {
	int64_t gradient2, laplace, laplace2;
};

/* One row of the cells that have four neighbours: 16-bit differences over the whole row first, the
 * two border cells put out after, then sums of squares; both vectorise. Squares reach 16320^2, two of
 * which still fit 32 bits. */
PL_PDQ_CLONES
static void sum_row(const int16_t *row, struct sums *s)
{
	int16_t gx[SIDE], gy[SIDE], laplace[SIDE];
	int64_t gradient2 = 0, laplace2 = 0;
	int32_t sum = 0;
	for (int x = 0; x < SIDE; x++) {
		gx[x] = (int16_t)(row[x + 1] - row[x - 1]);
		gy[x] = (int16_t)(row[x + SIDE] - row[x - SIDE]);
		laplace[x] = (int16_t)(row[x + 1] + row[x - 1] + row[x + SIDE] + row[x - SIDE] -
		    4 * row[x]);
	}
	gx[0] = gx[SIDE - 1] = gy[0] = gy[SIDE - 1] = laplace[0] = laplace[SIDE - 1] = 0;
	for (int x = 0; x < SIDE; x += 2) {
		gradient2 += gx[x] * gx[x] + gx[x + 1] * gx[x + 1];
		gradient2 += gy[x] * gy[x] + gy[x + 1] * gy[x + 1];
		sum += laplace[x] + laplace[x + 1];
		laplace2 += laplace[x] * laplace[x] + laplace[x + 1] * laplace[x + 1];
	}
	s->gradient2 += gradient2;
	s->laplace += sum;
	s->laplace2 += laplace2;
}

/* To 1/16 levels. The caller's values lie within 0..255 but for what float sums add. */
PL_PDQ_CLONES
static void to_fine(const float grid[CELLS], int16_t fine[CELLS])
{
	for (size_t i = 0; i < CELLS; i++) {
		int32_t f = (int32_t)(grid[i] * FINE + 0.5f);
		f = f < 0 ? 0 : f;
		fine[i] = (int16_t)(f > 255 * FINE ? 255 * FINE : f);
	}
}

/* Runs of equal levels are common, so four tables take turns. */
static void count_levels(const int16_t fine[CELLS], uint32_t counts[LEVELS])
{
	uint32_t part[4][LEVELS] = { { 0 } };
	for (size_t i = 0; i < CELLS; i++)
		part[i % 4][(unsigned)(fine[i] + FINE / 2) / FINE]++;
	for (size_t v = 0; v < LEVELS; v++)
		counts[v] = part[0][v] + part[1][v] + part[2][v] + part[3][v];
}

PL_PDQ_CLONES
static void measure(const float grid[CELLS], struct pl_img_stats *out)
{
	int16_t fine[CELLS];
	uint32_t counts[LEVELS];
	int64_t sum = 0, sum2 = 0;
	struct sums s = { 0 };
	memset(out, 0, sizeof(*out));
	to_fine(grid, fine);
	count_levels(fine, counts);
	for (size_t y = 0; y < SIDE; y++) {
		int32_t row = 0, row2 = 0; /* 64 x 4080^2 is the most */
		for (size_t x = 0; x < SIDE; x++) {
			const int32_t f = fine[y * SIDE + x];
			row += f;
			row2 += f * f;
		}
		sum += row;
		sum2 += row2;
	}
	for (size_t y = 1; y + 1 < SIDE; y++)
		sum_row(fine + y * SIDE, &s);
	out->mean = (float)((double)sum / (CELLS * FINE));
	out->contrast = (float)(sqrt((double)(sum2 * CELLS - sum * sum)) / (CELLS * FINE));
	out->entropy = entropy_of(counts);
	out->blank = is_blank(counts);
	out->edges = (float)(sqrt((double)s.gradient2 / INNER) / (2 * FINE));
	out->blur = (float)((double)(s.laplace2 * INNER - s.laplace * s.laplace) /
	    ((double)INNER * INNER * FINE * FINE));
}

/* clang 14 gives a function with clones a name that other files cannot call. */
void pl_img_stats_of_grid(const float grid[64 * 64], struct pl_img_stats *out)
{
	measure(grid, out);
}

/* ---- JPEG quality ---- */

/* Annex K's luma table in zigzag order, as files carry it. */
static const uint8_t annex_k[64] = { 16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40,
	26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64,
	68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120,
	92, 101, 103, 99 };

static uint8_t nearest_quality(const uint16_t table[64])
{
	uint32_t best = UINT32_MAX;
	uint8_t quality = 0;
	for (uint32_t q = 100; q >= 1 && best > 0; q--) {
		const uint32_t scale = q < 50 ? 5000 / q : 200 - 2 * q;
		uint32_t distance = 0;
		for (size_t i = 0; i < 64 && distance < best; i++) {
			uint32_t v = (annex_k[i] * scale + 50) / 100;
			v = v < 1 ? 1 : v > 255 ? 255 : v;
			distance += v > table[i] ? v - table[i] : table[i] - v;
		}
		if (distance < best) {
			best = distance;
			quality = (uint8_t)q;
		}
	}
	return quality;
}

/* One DQT segment's tables, 8 or 16 bits an entry; a segment that ends inside a table ends there. */
static void read_tables(const uint8_t *p, size_t n, uint16_t tables[4][64], unsigned *known)
{
	while (n > 0) {
		const unsigned wide = p[0] >> 4, id = p[0] & 15;
		const size_t size = wide ? 128 : 64;
		if (wide > 1 || id > 3 || n < 1 + size)
			return;
		for (size_t i = 0; i < 64; i++)
			tables[id][i] = (uint16_t)(wide ? pl_be16(p + 1 + 2 * i) : p[1 + i]);
		*known |= 1u << id;
		p += 1 + size;
		n -= 1 + size;
	}
}

uint8_t pl_jpeg_quality(const uint8_t *data, size_t len)
{
	enum { SOF0 = 0xC0, DHT = 0xC4, JPG = 0xC8, DAC = 0xCC, SOF15 = 0xCF, RST7 = 0xD7, SOI = 0xD8, EOI = 0xD9, SOS = 0xDA, DQT = 0xDB };
	uint16_t tables[4][64];
	unsigned known = 0, luma = 4;
	for (size_t at = 2; at + 4 <= len;) {
		if (data[at] != 0xFF || data[at + 1] == 0xFF || data[at + 1] == 0) {
			at++;
			continue;
		}
		const uint8_t marker = data[at + 1];
		if (marker >= RST7 - 7 && marker <= SOI) {
			at += 2;
			continue;
		}
		const size_t size = pl_be16(data + at + 2);
		if (marker == SOS || marker == EOI || size < 2 || size > len - at - 2)
			break;
		const uint8_t *body = data + at + 4;
		if (marker == DQT)
			read_tables(body, size - 2, tables, &known);
		else if (marker >= SOF0 && marker <= SOF15 && marker != DHT && marker != JPG &&
		    marker != DAC && size - 2 >= 9)
			luma = body[8] & 15;
		at += 2 + size;
	}
	return luma < 4 && (known >> luma & 1) ? nearest_quality(tables[luma]) : 0;
}
