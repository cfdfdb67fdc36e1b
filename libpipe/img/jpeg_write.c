/* SPDX-License-Identifier: Apache-2.0 */
/* 4:2:0 planes to a baseline JFIF file: tables and headers as libjpeg writes
 * them, then run after run of MCUs through DCT and Huffman coder. */
#include "jpeg_write.h"

#include <stdlib.h>
#include <string.h>

enum { HEADERS = 2048 }; /* more than all of them take with the largest tables: 20 + 138 + 19 + 4 * 273 + 14 */

/* Tables K.1 and K.2, in natural order. */
static const uint8_t annex_k[2][64] = {
	{ 16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69,
	    56, 14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64,
	    81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103,
	    99 },
	{ 17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99,
	    99, 47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
	    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99 }
};

struct writer {
	struct pl_jw_run run;
	struct pl_jw_divisors divisors[2];
	struct pl_jw_codes codes[2];
	uint8_t raw[PL_JW_RAW];
	struct pl_jw_counts counts[2];
	struct pl_jw_table tables[2][2];
	uint8_t q[2][64];
	const struct pl_jw_kernels *kernels;
	struct pl_yuv420 *im;
	struct pl_jw_bits bits;
	int16_t dc[3];
	bool counting;
	uint8_t *data;
	size_t len, cap;
};

/* ---- choice ---- */

static enum pl_simd forced = PL_SIMD_NONE;

static enum pl_simd best_level(void)
{
#if defined(__x86_64__)
	if (pl_jw_has_avx512())
		return PL_SIMD_AVX512;
	if (pl_jw_has_avx2())
		return PL_SIMD_AVX2;
#endif
	return PL_SIMD_SCALAR;
}

bool pl_jpeg_write_force(enum pl_simd level)
{
	if (level > best_level())
		return false;
	forced = level;
	return true;
}

static const struct pl_jw_kernels *kernels(void)
{
#if defined(__x86_64__)
	const enum pl_simd level = forced == PL_SIMD_NONE ? best_level() : forced;
	if (level == PL_SIMD_AVX512)
		return &pl_jw_avx512;
	if (level == PL_SIMD_AVX2)
		return &pl_jw_avx2;
#endif
	return &pl_jw_scalar;
}

/* ---- headers ---- */

static bool reserve(struct writer *w, size_t more)
{
	if (w->cap - w->len >= more)
		return true;
	if (more > SIZE_MAX - w->len || w->cap > SIZE_MAX / 2)
		return false;
	const size_t least = w->len + more, twice = 2 * w->cap;
	const size_t cap = least > twice ? least : twice;
	uint8_t *data = realloc(w->data, cap);
	if (!data)
		return false;
	w->data = data;
	w->cap = cap;
	return true;
}

static void byte(struct writer *w, uint32_t v)
{
	w->data[w->len++] = (uint8_t)v;
}

static void bytes(struct writer *w, const uint8_t *from, size_t n)
{
	memcpy(w->data + w->len, from, n);
	w->len += n;
}

static void word(struct writer *w, uint32_t v)
{
	byte(w, v >> 8);
	byte(w, v);
}

static void write_quantisation(struct writer *w, uint32_t which)
{
	word(w, 0xFFDB);
	word(w, 2 + 1 + 64);
	byte(w, which);
	for (int k = 0; k < 64; k++)
		byte(w, w->q[which][pl_jw_natural[k]]);
}

static void write_table(struct writer *w, const struct pl_jw_table *t, uint32_t id)
{
	size_t n = 0;
	for (int i = 1; i <= 16; i++)
		n += t->bits[i];
	word(w, 0xFFC4);
	word(w, (uint32_t)(2 + 1 + 16 + n));
	byte(w, id);
	bytes(w, t->bits + 1, 16);
	bytes(w, t->symbols, n);
}

static void write_headers(struct writer *w)
{
	static const uint8_t start[] = { 0xFF, 0xD8, 0xFF, 0xE0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1,
		0, 0, 1, 0, 1, 0, 0 };
	static const uint8_t components[] = { 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1 };
	static const uint8_t scan[] = { 0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0 };
	bytes(w, start, sizeof(start));
	write_quantisation(w, 0);
	write_quantisation(w, 1);
	word(w, 0xFFC0);
	word(w, 2 + 5 + sizeof(components));
	byte(w, 8);
	word(w, w->im->height);
	word(w, w->im->width);
	bytes(w, components, sizeof(components));
	for (uint32_t i = 0; i < 2; i++) {
		write_table(w, &w->tables[i][0], i);
		write_table(w, &w->tables[i][1], 0x10 | i);
	}
	bytes(w, scan, sizeof(scan));
}

/* ---- runs of MCUs ---- */

/* The 8 rows of block row y of a plane, the last row again for what lies below it, each filled up
 * to whole blocks with its last sample. */
static size_t block_rows(struct pl_yuv420 *im, int plane, size_t y, uint8_t *row[8])
{
	const size_t width = plane ? (im->width + (size_t)1) / 2 : im->width;
	const size_t height = plane ? (im->height + (size_t)1) / 2 : im->height;
	const size_t blocks = (width + 7) / 8;
	for (size_t i = 0; i < 8; i++) {
		const size_t from = 8 * y + i < height ? 8 * y + i : height - 1;
		row[i] = im->plane[plane] + from * im->stride[plane];
		if (width < 8 * blocks)
			memset(row[i] + width, row[i][width - 1], 8 * blocks - width);
	}
	return blocks;
}

/* The blocks of `row` from block x on. */
static void transform(const struct writer *w, uint8_t *const row[8], size_t x, size_t n,
    int table, int16_t (*out)[64], uint64_t *set)
{
	const uint8_t *at[8];
	for (int i = 0; i < 8; i++)
		at[i] = row[i] + 8 * x;
	w->kernels->blocks(at, n, &w->divisors[table], out, set);
}

/* A block outside the picture repeats the DC of the one coded before it and has no AC. */
static void fill_block(struct pl_jw_run *r, size_t y, size_t x)
{
	const size_t before_y = x % 2 ? y : y - 1;
	r->luma[y][x][0] = r->luma[before_y][x % 2 ? x - 1 : x + 1][0];
	r->luma_set[y][x] = 0;
}

/* Blocks outside, in coding order. */
static void fill_up(struct pl_jw_run *r, size_t across, size_t down)
{
	for (size_t y = 0; y < 2; y++)
		for (size_t x = y < down ? across : 0; x < 2 * (size_t)r->mcus; x++)
			fill_block(r, y, x);
}

static bool emit(struct writer *w)
{
	if (w->counting) {
		pl_jw_count(&w->run, w->kernels->order, w->dc, w->counts);
		return true;
	}
	w->bits.at = w->raw;
	w->kernels->code(&w->bits, &w->run, w->dc, w->codes);
	const size_t n = (size_t)(w->bits.at - w->raw);
	if (!reserve(w, 2 * n + 16))
		return false;
	w->len = (size_t)(pl_jw_stuff(w->data + w->len, w->raw, n) - w->data);
	return true;
}

static bool write_mcu_row(struct writer *w, size_t y)
{
	struct pl_jw_run *r = &w->run;
	uint8_t *luma[2][8], *chroma[2][8];
	const size_t mcus = (w->im->width + (size_t)15) / 16;
	const size_t down = 16 * y + 8 < w->im->height ? 2 : 1;
	size_t blocks = 0;
	for (size_t i = 0; i < down; i++)
		blocks = block_rows(w->im, 0, 2 * y + i, luma[i]);
	for (int i = 0; i < 2; i++)
		(void)block_rows(w->im, 1 + i, y, chroma[i]);
	for (size_t x = 0; x < mcus; x += PL_JW_MCUS) {
		r->mcus = (uint32_t)(mcus - x < PL_JW_MCUS ? mcus - x : PL_JW_MCUS);
		const size_t across =
		    blocks - 2 * x < PL_JW_LUMA ? blocks - 2 * x : (size_t)PL_JW_LUMA;
		for (size_t i = 0; i < down; i++)
			transform(w, luma[i], 2 * x, across, 0, r->luma[i], r->luma_set[i]);
		for (size_t i = 0; i < 2; i++)
			transform(w, chroma[i], x, r->mcus, 1, r->chroma[i], r->chroma_set[i]);
		fill_up(r, across, down);
		if (!emit(w))
			return false;
	}
	return true;
}

static bool write_rows(struct writer *w)
{
	memset(w->dc, 0, sizeof(w->dc));
	for (size_t y = 0; 16 * y < w->im->height; y++)
		if (!write_mcu_row(w, y))
			return false;
	return true;
}

/* The last byte is filled up with ones. */
static bool finish(struct writer *w)
{
	if (!reserve(w, 16))
		return false;
	if (w->bits.fill > 0) {
		const uint32_t spare = 8 - w->bits.fill;
		const uint8_t last =
		    (uint8_t)(w->bits.bits << spare | ((UINT32_C(1) << spare) - 1));
		w->len = (size_t)(pl_jw_stuff(w->data + w->len, &last, 1) - w->data);
	}
	word(w, 0xFFD9);
	return true;
}

static void choose_quantisation(struct writer *w, int quality)
{
	const int scale = quality < 50 ? 5000 / quality : 200 - 2 * quality;
	for (int i = 0; i < 2; i++) {
		for (int k = 0; k < 64; k++) {
			const int v = (annex_k[i][k] * scale + 50) / 100;
			w->q[i][k] = (uint8_t)(v < 1 ? 1 : v > 255 ? 255 : v);
		}
		pl_jw_divisors(w->q[i], &w->divisors[i]);
	}
}

/* Tables made to measure take a second DCT rather than the memory for all coefficients. */
static bool write_file(struct writer *w, bool optimise)
{
	memcpy(w->tables, pl_jw_standard, sizeof(w->tables));
	if (optimise) {
		w->counting = true;
		if (!write_rows(w))
			return false;
		w->counting = false;
		for (int i = 0; i < 2; i++)
			pl_jw_make_tables(&w->counts[i], &w->tables[i][0], &w->tables[i][1]);
	}
	for (int i = 0; i < 2; i++)
		pl_jw_make_codes(&w->tables[i][0], &w->tables[i][1], &w->codes[i]);
	/* About what a photo takes at quality 95. */
	if (!reserve(w, HEADERS + (size_t)w->im->width * w->im->height / 2))
		return false;
	write_headers(w);
	return write_rows(w) && finish(w);
}

enum pl_reason pl_encode_jpeg_planes(
    struct pl_yuv420 *im, int quality, bool optimise, uint8_t **out, size_t *len)
{
	*out = NULL;
	*len = 0;
	if (im->width > PL_JW_LARGEST || im->height > PL_JW_LARGEST)
		return PL_REASON_BOMB;
	if (im->width == 0 || im->height == 0)
		return PL_REASON_CORRUPT;
	/* The plain code is there to be compared with: libjpeg-turbo knows more processors. */
	if (forced == PL_SIMD_NONE && best_level() == PL_SIMD_SCALAR)
		return pl_encode_jpeg_planes_library(im, quality, optimise, out, len);
	struct writer *w = aligned_alloc(64, (sizeof(*w) + 63) / 64 * 64);
	if (!w)
		return PL_REASON_NO_MEMORY;
	memset(w, 0, sizeof(*w));
	w->im = im;
	w->kernels = kernels();
	choose_quantisation(w, quality < 1 ? 1 : quality > 100 ? 100 : quality);
	const bool done = write_file(w, optimise);
	if (done) {
		*out = w->data;
		*len = w->len;
	} else {
		free(w->data);
	}
	free(w);
	return done ? PL_REASON_KEEP : PL_REASON_NO_MEMORY;
}
