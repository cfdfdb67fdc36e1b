/* SPDX-License-Identifier: Apache-2.0 */
/* Geometry against img2dataset's rule, the resampler against the filters'
 * definition in plain double arithmetic, and the whole transform. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libpipe/img/codec.h"

static struct pl_image picture(uint32_t w, uint32_t h, uint32_t channels)
{
	struct pl_image im;
	assert_int_equal(pl_image_init(&im, w, h, channels), PL_REASON_KEEP);
	uint32_t seed = 1;
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++)
			for (uint32_t c = 0; c < channels; c++) {
				seed = seed * 1664525 + 1013904223;
				im.pixels[((size_t)y * w + x) * channels + c] = (uint8_t)(128 +
				    60 * sin(x * 0.11 + c) + 40 * cos(y * 0.07) + seed % 24);
			}
	return im;
}

static void test_geometry(void **state)
{
	(void)state;
	const enum pl_policy NO = PL_POLICY_NONE, KR = PL_POLICY_KEEP_RATIO,
			     KL = PL_POLICY_KEEP_RATIO_LARGEST, CC = PL_POLICY_CENTER_CROP,
			     BO = PL_POLICY_BORDER;
	/* Sizes that img2dataset gives: round(side * S / reference side), halves to even. */
	const struct {
		enum pl_policy policy;
		bool bigger;
		uint32_t size, w, h, sw, sh, ow, oh;
		bool changes;
	} cases[] = {
		{ NO, false, 256, 500, 375, 500, 375, 500, 375, false },
		{ KR, false, 256, 500, 375, 341, 256, 341, 256, true },
		{ KR, false, 256, 375, 500, 256, 341, 256, 341, true },
		{ KR, false, 256, 100, 50, 512, 256, 512, 256, true },
		{ KR, true, 256, 100, 50, 100, 50, 100, 50, false },
		{ KR, true, 256, 256, 900, 256, 900, 256, 900, false },
		{ KR, false, 256, 256, 900, 256, 900, 256, 900, false },
		{ KR, false, 2, 5, 4, 2, 2, 2, 2, true }, /* 2.5 -> 2 */
		{ KR, false, 2, 7, 4, 4, 2, 4, 2, true }, /* 3.5 -> 4 */
		{ KL, false, 256, 500, 375, 256, 192, 256, 192, true },
		{ KL, false, 256, 1000, 3, 256, 1, 256, 1, true },
		{ KL, false, 256, 10000, 3, 256, 1, 256, 1, true }, /* never below one pixel */
		{ KL, true, 256, 255, 256, 255, 256, 255, 256, false },
		{ KL, false, 256, 128, 64, 256, 128, 256, 128, true },
		{ CC, false, 256, 500, 375, 341, 256, 256, 256, true },
		{ CC, false, 224, 224, 300, 224, 300, 224, 224, true },
		{ CC, true, 224, 224, 300, 224, 300, 224, 300, false },
		{ CC, false, 224, 224, 224, 224, 224, 224, 224, false },
		{ CC, false, 224, 10, 20, 224, 448, 224, 224, true },
		{ BO, false, 256, 500, 375, 256, 192, 256, 256, true },
		{ BO, false, 256, 333, 500, 170, 256, 256, 256, true },
		{ BO, true, 256, 200, 100, 200, 100, 200, 100, false },
		{ BO, false, 256, 200, 100, 256, 128, 256, 256, true },
	};
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		const struct pl_resize r = { .policy = cases[i].policy,
			.size = cases[i].size,
			.only_if_bigger = cases[i].bigger };
		struct pl_geometry g = pl_resize_geometry(&r, cases[i].w, cases[i].h);
		assert_int_equal(g.scaled_w, cases[i].sw);
		assert_int_equal(g.scaled_h, cases[i].sh);
		assert_int_equal(g.out_w, cases[i].ow);
		assert_int_equal(g.out_h, cases[i].oh);
		assert_int_equal(g.changes, cases[i].changes);
	}
}

/* ---- the filters by their definition ---- */

static double kernel(enum pl_filter f, double x)
{
	const double pi = acos(-1.0);
	double a = fabs(x);
	if (f == PL_FILTER_TRIANGLE)
		return a < 1 ? 1 - a : 0;
	if (f == PL_FILTER_BICUBIC)
		return a < 1 ? 1.5 * a * a * a - 2.5 * a * a + 1
		    : a < 2  ? -0.5 * a * a * a + 2.5 * a * a - 4 * a + 2
			     : 0;
	if (f == PL_FILTER_LANCZOS)
		return a < 1e-9 ? 1
		    : a < 3     ? 3 * sin(pi * a) * sin(pi * a / 3) / (pi * pi * a * a)
				: 0;
	return x > -0.5 && x <= 0.5 ? 1 : 0;
}

static double weight_of(enum pl_filter f, uint32_t in, uint32_t out, uint32_t o, uint32_t x)
{
	double ratio = (double)in / out, scale = ratio > 1 ? ratio : 1, centre = (o + 0.5) * ratio;
	return kernel(f, (x + 0.5 - centre) / scale);
}

static double exact_value(const struct pl_image *im, enum pl_filter f, uint32_t w, uint32_t h,
    uint32_t ox, uint32_t oy, uint32_t c)
{
	double sum = 0, total_x = 0, total_y = 0;
	for (uint32_t x = 0; x < im->width; x++)
		total_x += weight_of(f, im->width, w, ox, x);
	for (uint32_t y = 0; y < im->height; y++) {
		double wy = weight_of(f, im->height, h, oy, y), row = 0;
		total_y += wy;
		if (wy == 0)
			continue;
		for (uint32_t x = 0; x < im->width; x++)
			row += weight_of(f, im->width, w, ox, x) *
			    im->pixels[((size_t)y * im->width + x) * im->channels + c];
		sum += wy * row;
	}
	double v = sum / total_x / total_y;
	return v < 0 ? 0 : v > 255 ? 255 : v;
}

static void test_filters(void **state)
{
	(void)state;
	/* No size at which a pixel's centre lies on the box's edge: there rounding decides. */
	static const uint32_t sizes[][2] = { { 19, 15 }, { 37, 41 }, { 90, 61 }, { 1, 1 },
		{ 64, 3 } };
	for (int f = PL_FILTER_LANCZOS; f <= PL_FILTER_BOX; f++) {
		for (size_t s = 0; s < PL_ARRAY_LEN(sizes); s++) {
			struct pl_image im = picture(61, 43, s == 1 ? 4 : s & 1 ? 1 : 3), out;
			assert_int_equal(
			    pl_img_resample(&im, sizes[s][0], sizes[s][1], (enum pl_filter)f, &out),
			    PL_REASON_KEEP);
			assert_int_equal(out.width, sizes[s][0]);
			assert_int_equal(out.channels, im.channels);
			for (uint32_t y = 0; y < out.height; y++)
				for (uint32_t x = 0; x < out.width; x++)
					for (uint32_t c = 0; c < out.channels; c++) {
						double exact = exact_value(&im, (enum pl_filter)f,
						    out.width, out.height, x, y, c);
						int got = out.pixels[((size_t)y * out.width + x) *
							out.channels +
						    c];
						assert_true(fabs(exact - got) < 0.75);
					}
			pl_image_release(&im);
			pl_image_release(&out);
		}
	}
}

static void test_flat_and_same(void **state)
{
	(void)state;
	for (int f = PL_FILTER_LANCZOS; f <= PL_FILTER_BOX; f++) {
		struct pl_image im = picture(50, 33, 3), out;
		assert_int_equal(
		    pl_img_resample(&im, 50, 33, (enum pl_filter)f, &out), PL_REASON_KEEP);
		assert_memory_equal(im.pixels, out.pixels, (size_t)50 * 33 * 3);
		pl_image_release(&out);
		memset(im.pixels, 255, (size_t)50 * 33 * 3);
		assert_int_equal(
		    pl_img_resample(&im, 71, 9, (enum pl_filter)f, &out), PL_REASON_KEEP);
		for (size_t i = 0; i < (size_t)71 * 9 * 3; i++)
			assert_int_equal(out.pixels[i], 255);
		pl_image_release(&im);
		pl_image_release(&out);
	}
}

/* A window is that part of the whole, whatever filter and place. */
static void test_window(void **state)
{
	(void)state;
	struct pl_image im = picture(120, 80, 3), whole, part;
	assert_int_equal(pl_img_resample(&im, 70, 51, PL_FILTER_LANCZOS, &whole), PL_REASON_KEEP);
	const struct pl_window win = { 120, 80, 70, 51, 13, 7, 33, 20 };
	assert_int_equal(pl_resample_window(&im, &win, PL_FILTER_LANCZOS, &part), PL_REASON_KEEP);
	for (size_t y = 0; y < 20; y++)
		assert_memory_equal(
		    part.pixels + y * 33 * 3, whole.pixels + ((y + 7) * 70 + 13) * 3, 33 * 3);
	pl_image_release(&im);
	pl_image_release(&whole);
	pl_image_release(&part);
}

/* ---- transform ---- */

static uint8_t *encoded(const struct pl_image *im, enum pl_format f, int quality, size_t *len)
{
	const struct pl_img_encode how = { f, quality, 2 };
	uint8_t *bytes;
	assert_int_equal(pl_img_encode(im, &how, &bytes, len), PL_REASON_KEEP);
	return bytes;
}

static struct pl_image decoded(const uint8_t *data, size_t len)
{
	struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	struct pl_image im;
	assert_int_equal(pl_img_probe(data, len, &lim, &info), PL_REASON_KEEP);
	assert_int_equal(pl_img_decode(data, len, &info, &lim, NULL, &im), PL_REASON_KEEP);
	return im;
}

static const uint8_t exif[] = { 0xFF, 0xE1, 0, 34, 'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0,
	0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };

/* Turning the small picture after scaling equals scaling the turned one, also where the crop is off
 * centre. */
static void test_transform_orientations(void **state)
{
	(void)state;
	struct pl_image im = picture(150, 91, 3);
	struct pl_img_limits lim = pl_img_limits_default();
	size_t n;
	uint8_t *plain = encoded(&im, PL_FORMAT_JPEG, 98, &n);
	uint8_t *bytes = malloc(n + sizeof(exif));
	assert_non_null(bytes);
	memcpy(bytes, plain, 2);
	memcpy(bytes + 2, exif, sizeof(exif));
	memcpy(bytes + 2 + sizeof(exif), plain + 2, n - 2);
	for (uint8_t o = 1; o <= 8; o++) {
		bytes[2 + 28] = o;
		const struct pl_resize r = { .policy = PL_POLICY_CENTER_CROP,
			.size = 60,
			.format = PL_FORMAT_PNG,
			.encode = { PL_FORMAT_UNKNOWN, 1, 0 } };
		struct pl_resized got;
		assert_int_equal(
		    pl_img_transform(bytes, n + sizeof(exif), &lim, &r, &got), PL_REASON_KEEP);
		assert_false(got.passthrough);
		assert_int_equal(got.width, 60);
		assert_int_equal(got.format, PL_FORMAT_PNG);
		struct pl_image small = decoded(got.bytes, got.len), turned = decoded(plain, n),
				scaled;
		assert_int_equal(pl_img_orient(&turned, o), PL_REASON_KEEP);
		uint32_t w = o >= 5 ? 60 : 99, h = o >= 5 ? 99 : 60;
		assert_int_equal(
		    pl_img_resample(&turned, w, h, PL_FILTER_LANCZOS, &scaled), PL_REASON_KEEP);
		const size_t left = (w - 60) / 2, top = (h - 60) / 2;
		for (size_t y = 0; y < 60; y++)
			for (size_t i = 0; i < 180; i++)
				assert_in_range(small.pixels[y * 180 + i] + 2 -
					scaled.pixels[((y + top) * w + left) * 3 + i],
				    0, 4);
		pl_image_release(&small);
		pl_image_release(&turned);
		pl_image_release(&scaled);
		free(got.bytes);
	}
	free(plain);
	free(bytes);
	pl_image_release(&im);
}

/* A reduced decode ends inside its last pixel: the result must not be shifted. */
static void test_transform_reduced(void **state)
{
	(void)state;
	struct pl_image im = picture(777, 519, 3);
	struct pl_img_limits lim = pl_img_limits_default();
	size_t len;
	uint8_t *bytes = encoded(&im, PL_FORMAT_JPEG, 98, &len);
	pl_image_release(&im);
	im = decoded(bytes, len);
	const struct pl_resize r = { .policy = PL_POLICY_KEEP_RATIO,
		.size = 60,
		.format = PL_FORMAT_PNG,
		.encode = { PL_FORMAT_UNKNOWN, 1, 0 } };
	struct pl_resized got;
	assert_int_equal(pl_img_transform(bytes, len, &lim, &r, &got), PL_REASON_KEEP);
	struct pl_image small = decoded(got.bytes, got.len), full;
	assert_int_equal(pl_img_resample(&im, 90, 60, PL_FILTER_LANCZOS, &full), PL_REASON_KEEP);
	assert_int_equal(small.width, 90);
	double squares = 0;
	for (size_t i = 0; i < (size_t)90 * 60 * 3; i++)
		squares += pow(small.pixels[i] - full.pixels[i], 2);
	assert_true(10 * log10(255.0 * 255 * 90 * 60 * 3 / (squares + 1)) > 45);
	pl_image_release(&im);
	pl_image_release(&small);
	pl_image_release(&full);
	free(got.bytes);
	free(bytes);
}

static void test_pass_through(void **state)
{
	(void)state;
	struct pl_image im = picture(80, 60, 3);
	struct pl_img_limits lim = pl_img_limits_default();
	size_t len;
	uint8_t *bytes = encoded(&im, PL_FORMAT_JPEG, 90, &len);
	struct pl_resize r = {
		.policy = PL_POLICY_KEEP_RATIO, .size = 60, .encode = { PL_FORMAT_UNKNOWN, 90, 2 }
	};
	struct pl_resized got;
	assert_int_equal(pl_img_transform(bytes, len, &lim, &r, &got), PL_REASON_KEEP);
	assert_true(got.passthrough);
	assert_null(got.bytes);
	assert_int_equal(got.width, 80);
	assert_int_equal(got.format, PL_FORMAT_JPEG);
	/* Broken bytes are not passed on. */
	assert_int_equal(pl_img_transform(bytes, len / 2, &lim, &r, &got), PL_REASON_TRUNCATED);
	r.reencode = true;
	assert_int_equal(pl_img_transform(bytes, len, &lim, &r, &got), PL_REASON_KEEP);
	assert_false(got.passthrough);
	assert_non_null(got.bytes);
	free(got.bytes);
	r.reencode = false;
	r.format = PL_FORMAT_WEBP;
	assert_int_equal(pl_img_transform(bytes, len, &lim, &r, &got), PL_REASON_KEEP);
	assert_false(got.passthrough);
	assert_int_equal(pl_img_sniff(got.bytes, got.len), PL_FORMAT_WEBP);
	free(got.bytes);
	free(bytes);
	pl_image_release(&im);
}

static void test_border_and_slivers(void **state)
{
	(void)state;
	struct pl_image im = picture(90, 30, 1);
	struct pl_img_limits lim = pl_img_limits_default();
	struct pl_resize r = { .policy = PL_POLICY_BORDER,
		.size = 45,
		.format = PL_FORMAT_PNG,
		.encode = { PL_FORMAT_UNKNOWN, 1, 0 } };
	struct pl_resized got;
	size_t len;
	uint8_t *bytes = encoded(&im, PL_FORMAT_PNG, 1, &len);
	assert_int_equal(pl_img_transform(bytes, len, &lim, &r, &got), PL_REASON_KEEP);
	struct pl_image out = decoded(got.bytes, got.len);
	assert_int_equal(out.width, 45);
	assert_int_equal(out.height, 45);
	assert_int_equal(out.channels, 1);
	assert_int_equal(
	    out.pixels[14 * 45], 255); /* 15 rows of white, then 15 of picture, then 15 of white */
	assert_true(out.pixels[15 * 45] < 250);
	assert_true(out.pixels[29 * 45] < 250);
	assert_int_equal(out.pixels[30 * 45], 255);
	pl_image_release(&out);
	pl_image_release(&im);
	free(got.bytes);
	free(bytes);
	/* 2 x 60000 pixels to a shorter side of 512 would be 7.8 gigapixels; the crop of it is
	 * small. */
	im = picture(2, 60000, 1);
	bytes = encoded(&im, PL_FORMAT_PNG, 1, &len);
	r.size = 512;
	r.policy = PL_POLICY_KEEP_RATIO;
	assert_int_equal(pl_img_transform(bytes, len, &lim, &r, &got), PL_REASON_BOMB);
	r.policy = PL_POLICY_CENTER_CROP;
	assert_int_equal(pl_img_transform(bytes, len, &lim, &r, &got), PL_REASON_KEEP);
	assert_int_equal(got.height, 512);
	free(got.bytes);
	free(bytes);
	pl_image_release(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_geometry),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_flat_and_same),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_transform_orientations),
		cmocka_unit_test(test_transform_reduced),
		cmocka_unit_test(test_pass_through),
		cmocka_unit_test(test_border_and_slivers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
