/* SPDX-License-Identifier: Apache-2.0 */
/* The JPEG writer against libjpeg-turbo, byte by byte, at every level of vector
 * code; and its parts against their definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libpipe/base/file.h"
#include "libpipe/img/jpeg_write.h"

static uint32_t draw(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* ---- pictures ---- */

enum pattern { NOISE, SWINGS, BOARD, COLUMNS, RAMP, FLAT, WAVE, SPARSE, PATTERNS };

static uint8_t sample(enum pattern p, size_t x, size_t y, uint32_t *seed)
{
	/* A cosine of period 16, as the DCT's first. */
	static const uint8_t wave[16] = { 253, 234, 199, 153, 103, 57, 22, 3, 3, 22, 57, 103, 153,
		199, 234, 253 };
	switch (p) {
	case NOISE: return (uint8_t)draw(seed);
	case SWINGS: return draw(seed) & 1 ? 255 : 0;
	case BOARD: return (x + y) & 1 ? 255 : 0; /* the largest coefficients there are */
	case COLUMNS: return x & 1 ? 255 : 0;
	case RAMP: return (uint8_t)(3 * x + 2 * y);
	case FLAT: return (x / 16 + y / 16) & 1 ? 255 : 0; /* the largest DC differences */
	case WAVE: return wave[(x + y / 8) % 16];
	case SPARSE: return draw(seed) % 97 ? 128 : 255;
	case PATTERNS: break;
	}
	return 0;
}

static struct pl_yuv420 blank(uint32_t w, uint32_t h)
{
	const size_t luma = ((size_t)w + 15) / 16 * 16, rows = ((size_t)h + 1) / 2;
	struct pl_yuv420 im = { .stride = { luma, luma / 2, luma / 2 }, .width = w, .height = h };
	im.plane[0] = malloc(luma * (h + rows)); /* no byte more: what reads behind it is found out */
	assert_non_null(im.plane[0]);
	im.plane[1] = im.plane[0] + luma * h;
	im.plane[2] = im.plane[1] + luma / 2 * rows;
	return im;
}

/* What lies right of the picture is different each time and must not matter. */
static void fill(struct pl_yuv420 *im, enum pattern p, uint32_t seed)
{
	for (int i = 0; i < 3; i++) {
		const size_t height = i ? (im->height + (size_t)1) / 2 : im->height;
		for (size_t y = 0; y < height; y++)
			for (size_t x = 0; x < im->stride[i]; x++)
				im->plane[i][y * im->stride[i] + x] = sample(p, x, y, &seed);
	}
}

/* ---- against libjpeg-turbo ---- */

static void same_bytes(struct pl_yuv420 *im, int quality, bool optimise)
{
	uint8_t *want = NULL, *got = NULL;
	size_t want_len = 0, len = 0;
	assert_int_equal(
	    pl_encode_jpeg_planes_library(im, quality, optimise, &want, &want_len), PL_REASON_KEEP);
	for (enum pl_simd level = PL_SIMD_NONE; level <= PL_SIMD_AVX512; level++) {
		if (!pl_jpeg_write_force(level))
			continue;
		assert_int_equal(
		    pl_encode_jpeg_planes(im, quality, optimise, &got, &len), PL_REASON_KEEP);
		if (len != want_len || memcmp(got, want, len) != 0)
			fail_msg("%ux%u, quality %d, optimise %d, level %d: another file", im->width,
			    im->height, quality, optimise, (int)level);
		free(got);
	}
	assert_true(pl_jpeg_write_force(PL_SIMD_NONE));
	free(want);
}

static void test_levels(void **state)
{
	(void)state;
	assert_true(pl_jpeg_write_force(PL_SIMD_SCALAR));
	for (enum pl_simd level = PL_SIMD_AVX2; level <= PL_SIMD_AVX512; level++)
		if (!pl_jpeg_write_force(level))
			print_message("level %d is not to be had here\n", (int)level);
	assert_true(pl_jpeg_write_force(PL_SIMD_NONE));
}

static void test_every_quality(void **state)
{
	(void)state;
	struct pl_yuv420 im = blank(75, 53);
	for (enum pattern p = 0; p < PATTERNS; p++)
		for (int quality = -1; quality <= 101; quality++) {
			fill(&im, p, (uint32_t)quality + 1000u * p);
			same_bytes(&im, quality, false);
			same_bytes(&im, quality, true);
		}
	free(im.plane[0]);
}

static void test_every_size(void **state)
{
	(void)state;
	static const int qualities[] = { 100, 90, 30 };
	for (uint32_t w = 1; w <= 40; w++)
		for (uint32_t h = 1; h <= 40; h++) {
			struct pl_yuv420 im = blank(w, h);
			for (int i = 0; i < 3; i++) {
				fill(&im, (enum pattern)((w + h + (uint32_t)i) % PATTERNS), w * h);
				same_bytes(&im, qualities[i], false);
				same_bytes(&im, qualities[i], true);
			}
			free(im.plane[0]);
		}
}

/* Runs of MCUs end anywhere in a row; files outgrow what was reserved. */
static void test_wide_and_large(void **state)
{
	(void)state;
	static const struct {
		uint32_t w, h;
	} sizes[] = { { 255, 17 }, { 256, 16 }, { 257, 33 }, { 264, 8 }, { 265, 9 }, { 511, 40 },
		{ 520, 24 }, { 1031, 773 }, { 65500, 3 }, { 3, 65500 } };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct pl_yuv420 im = blank(sizes[i].w, sizes[i].h);
		for (enum pattern p = 0; p < PATTERNS; p++) {
			fill(&im, p, (uint32_t)i + p);
			same_bytes(&im, p == RAMP ? 80 : 100, false);
			same_bytes(&im, p == SPARSE ? 100 : 92, true);
		}
		free(im.plane[0]);
	}
}

static void test_limits(void **state)
{
	(void)state;
	uint8_t *out;
	size_t len;
	struct pl_yuv420 im = blank(16, 16);
	fill(&im, NOISE, 1);
	im.width = 65501;
	assert_int_equal(pl_encode_jpeg_planes(&im, 90, false, &out, &len), PL_REASON_BOMB);
	assert_null(out);
	im.width = 0;
	assert_int_equal(pl_encode_jpeg_planes(&im, 90, false, &out, &len), PL_REASON_CORRUPT);
	assert_null(out);
	assert_int_equal(len, 0);
	free(im.plane[0]);
}

static void test_decodes(void **state)
{
	(void)state;
	const struct pl_img_limits lim = pl_img_limits_default();
	const struct pl_img_decode how = { 0, true };
	struct pl_yuv420 im = blank(133, 71);
	struct pl_img_info info;
	struct pl_image back;
	uint8_t *out;
	size_t len;
	fill(&im, RAMP, 1);
	assert_int_equal(pl_encode_jpeg_planes(&im, 100, false, &out, &len), PL_REASON_KEEP);
	assert_int_equal(pl_img_probe(out, len, &lim, &info), PL_REASON_KEEP);
	assert_int_equal(info.width, 133);
	assert_int_equal(info.height, 71);
	assert_int_equal(pl_img_decode(out, len, &info, &lim, &how, &back), PL_REASON_KEEP);
	for (size_t y = 0; y < 71; y++)
		for (size_t x = 0; x < 133; x++)
			assert_in_range(back.pixels[y * 133 + x] - im.plane[0][y * im.stride[0] + x] + 2,
			    0, 4);
	pl_image_release(&back);
	free(out);
	free(im.plane[0]);
}

/* ---- photographs ---- */

static bool photo(const uint8_t *data, size_t len, struct pl_yuv420 *im)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	struct pl_planes in = { 0 };
	bool fit = false;
	if (pl_img_probe(data, len, &lim, &info) != PL_REASON_KEEP || info.format != PL_FORMAT_JPEG)
		return false;
	if (pl_decode_jpeg_planes(data, len, &info, &lim, 400, 400, &in, &fit) != PL_REASON_KEEP)
		fit = false;
	if (fit) {
		const uint32_t w = 180 + (uint32_t)(len % 160), h = 180 + (uint32_t)(len / 160 % 160);
		*im = blank(w, h);
		memset(im->plane[0], 0, im->stride[0] * (h + (size_t)(h + 1) / 2));
		for (int i = 0; i < 3; i++) {
			const double unit = i ? 2 : 1;
			const struct pl_cut cut = { w / unit, h / unit, 0, 0, i ? (w + 1) / 2 : w,
				i ? (h + 1) / 2 : h };
			assert_int_equal(pl_resample_cut(&in.plane[i], 1, &cut, PL_FILTER_LANCZOS,
					     im->plane[i], im->stride[i]),
			    PL_REASON_KEEP);
		}
	}
	free(in.block);
	return fit;
}

static size_t photos_of(const uint8_t *tar, size_t len)
{
	static const int qualities[] = { 95, 100, 75, 85, 50, 10 };
	size_t n = 0;
	for (size_t at = 0; at + 512 <= len && tar[at];) {
		char digits[13] = { 0 };
		memcpy(digits, tar + at + 124, 12);
		const size_t size = (size_t)strtoull(digits, NULL, 8);
		struct pl_yuv420 im;
		at += 512;
		assert_true(size <= len - at);
		if (photo(tar + at, size, &im)) {
			same_bytes(&im, qualities[n % 6], n % 4 == 3);
			free(im.plane[0]);
			n++;
		}
		at += (size + 511) / 512 * 512;
	}
	return n;
}

static void test_photographs(void **state)
{
	(void)state;
	static const char *const tars[] = { "imagenet-sample.tar", "raccoon-web.tar",
		"cameras-exif.tar" };
	const char *dir = getenv("PLAIT_SHARED_DATA");
	size_t n = 0;
	for (int i = 0; i < 3; i++) {
		struct pl_err err;
		char path[4096], *data = NULL;
		size_t len = 0;
		snprintf(path, sizeof(path), "%s/photos/%s", dir ? dir : "../shared/data", tars[i]);
		if (pl_file_read(path, (size_t)1 << 28, &data, &len, &err) != PL_OK) {
			print_message("no '%s'\n", path);
			skip();
		}
		n += photos_of((const uint8_t *)data, len);
		free(data);
	}
	assert_true(n > 250);
}

/* ---- parts ---- */

/* Every dividend there is by every divisor there is. */
static void test_division(void **state)
{
	(void)state;
	for (uint32_t q = 1; q <= 255; q++) {
		uint8_t table[64];
		struct pl_jw_divisors d;
		memset(table, (int)q, sizeof(table));
		pl_jw_divisors(table, &d);
		for (uint32_t m = 0; m <= 32768; m++) {
			const uint32_t sum = (m + d.add[0]) & 0xFFFF;
			const uint32_t got = (sum * d.multiply[0] >> 16) * d.scale[0] >> 16;
			if (got != (2 * m + 8 * q) / (16 * q))
				fail_msg("%u by 8 * %u gives %u", m, q, got);
		}
	}
}

/* The largest and the smallest samples in every place: coefficients and masks of all levels. */
static void test_coefficients(void **state)
{
	(void)state;
	static struct pl_jw_run want, got;
	uint8_t q[64], samples[8][8 * PL_JW_LUMA];
	struct pl_jw_divisors d;
	uint32_t seed = 5;
	for (int round = 0; round < 300; round++) {
		const uint8_t *row[8];
		const size_t n = 1 + draw(&seed) % PL_JW_LUMA;
		for (int y = 0; y < 8; y++) {
			row[y] = samples[y];
			for (size_t x = 0; x < sizeof(samples[y]); x++)
				samples[y][x] = sample((enum pattern)(round % PATTERNS), x, (size_t)y, &seed);
		}
		for (int k = 0; k < 64; k++)
			q[k] = (uint8_t)(1 + (round < 100 ? 0 : draw(&seed) % 255));
		pl_jw_divisors(q, &d);
		pl_jw_scalar.blocks(row, n, &d, want.luma[0], want.luma_set[0]);
#if defined(__x86_64__)
		const struct pl_jw_kernels *const levels[] = { pl_jw_has_avx2() ? &pl_jw_avx2 : NULL,
			pl_jw_has_avx512() ? &pl_jw_avx512 : NULL };
		for (int l = 0; l < 2 && levels[l]; l++) {
			levels[l]->blocks(row, n, &d, got.luma[0], got.luma_set[0]);
			for (size_t i = 0; i < n; i++) {
				assert_int_equal(got.luma_set[0][i], want.luma_set[0][i]);
				for (size_t k = 0; k < 64; k++)
					assert_int_equal(got.luma[0][i][levels[l]->order[k]],
					    want.luma[0][i][pl_jw_natural[k]]);
			}
		}
#endif
	}
}

/* Counts that grow like Fibonacci's give the longest codes: none may have more than 16 bits or be
 * all ones, and there must be room for all. */
static void test_long_codes(void **state)
{
	(void)state;
	struct pl_jw_counts counts = { { 0 } };
	struct pl_jw_table dc, ac;
	struct pl_jw_codes codes;
	size_t a = 1, b = 1;
	uint32_t room = 0, n = 0;
	for (int i = 0; i < 60; i++) {
		const size_t next = a + b;
		counts.n[16 + i] = a;
		a = b;
		b = next;
	}
	counts.n[PL_JW_DC] = 1;
	pl_jw_make_tables(&counts, &dc, &ac);
	for (uint32_t i = 1; i <= 16; i++) {
		room += (uint32_t)ac.bits[i] << (16 - i);
		n += ac.bits[i];
	}
	assert_int_equal(n, 60);
	assert_true(room < 1 << 16);
	assert_int_equal(dc.bits[1], 1);
	pl_jw_make_codes(&dc, &ac, &codes);
	for (uint32_t i = 16; i < 76; i++)
		assert_in_range(codes.length[i] - (i >> 4), 1, 16);
}

static void test_stuffing(void **state)
{
	(void)state;
	uint32_t seed = 3;
	for (int round = 0; round < 2000; round++) {
		uint8_t src[70], want[140], got[2 * 70 + 8];
		const size_t n = draw(&seed) % 71;
		size_t m = 0;
		for (size_t i = 0; i < n; i++) {
			src[i] = draw(&seed) % 16 < (uint32_t)round % 17 ? 0xFF : (uint8_t)draw(&seed);
			want[m++] = src[i];
			if (src[i] == 0xFF)
				want[m++] = 0;
		}
		assert_int_equal(pl_jw_stuff(got, src, n) - got, m);
		assert_memory_equal(got, want, m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_every_quality),
		cmocka_unit_test(test_every_size),
		cmocka_unit_test(test_wide_and_large),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_decodes),
		cmocka_unit_test(test_photographs),
		cmocka_unit_test(test_division),
		cmocka_unit_test(test_coefficients),
		cmocka_unit_test(test_long_codes),
		cmocka_unit_test(test_stuffing),
	};
	return cmocka_run_group_tests_name("img_jpeg_write", tests, NULL, NULL);
}
