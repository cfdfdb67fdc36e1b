/* SPDX-License-Identifier: Apache-2.0 */
/* The planar way from JPEG to JPEG or WebP against the way through RGB, for
 * every sampling, orientation and policy; and the resampler's vector code
 * against its plain code. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>

#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "libpipe/img/planes.h"

static uint32_t draw(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static struct pl_image noise(uint32_t w, uint32_t h, uint32_t channels, uint32_t seed)
{
	struct pl_image im;
	assert_int_equal(pl_image_init(&im, w, h, channels), PL_REASON_KEEP);
	for (size_t i = 0; i < (size_t)w * h * channels; i++) {
		uint32_t v = draw(&seed);
		/* Full swings, where sums are largest. */
		im.pixels[i] = (uint8_t)(v & 0x100 ? v : v & 0x200 ? 0 : 255);
	}
	return im;
}

/* Smooth but for colour: chroma out of place by half a sample shows. */
static struct pl_image colours(uint32_t w, uint32_t h)
{
	struct pl_image im;
	assert_int_equal(pl_image_init(&im, w, h, 3), PL_REASON_KEEP);
	uint8_t *p = im.pixels;
	const double unit = 300.0 / w;
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++) {
			*p++ = (uint8_t)(128 + 90 * sin(unit * (x * 0.09 + y * 0.02)));
			*p++ = (uint8_t)(128 + 70 * cos(unit * (y * 0.10 - x * 0.03)));
			*p++ = (uint8_t)(128 + 80 * sin(unit * (x * 0.07 + y * 0.07) + 1));
		}
	return im;
}

/* ---- vector code ---- */

static void same_at_every_level(const struct pl_image *im, uint32_t w, uint32_t h, enum pl_filter f)
{
	struct pl_image plain, other;
	assert_true(pl_resample_force(PL_SIMD_SCALAR));
	assert_int_equal(pl_img_resample(im, w, h, f, &plain), PL_REASON_KEEP);
	for (enum pl_simd level = PL_SIMD_AVX2; level <= PL_SIMD_AVX512; level++) {
		if (!pl_resample_force(level))
			continue;
		assert_int_equal(pl_img_resample(im, w, h, f, &other), PL_REASON_KEEP);
		assert_memory_equal(
		    plain.pixels, other.pixels, (size_t)w * h * plain.channels);
		pl_image_release(&other);
	}
	assert_true(pl_resample_force(PL_SIMD_NONE));
	pl_image_release(&plain);
}

static void test_levels_random(void **state)
{
	(void)state;
	static const uint32_t channels[] = { 1, 3, 4 };
	uint32_t seed = 7;
	if (!pl_resample_force(PL_SIMD_AVX2))
		print_message("no AVX2 here: plain code only\n");
	for (int i = 0; i < 250; i++) {
		uint32_t w = 1 + draw(&seed) % 190, h = 1 + draw(&seed) % 140;
		struct pl_image im = noise(w, h, channels[i % 3], seed);
		same_at_every_level(&im, 1 + draw(&seed) % 120, 1 + draw(&seed) % 120,
		    (enum pl_filter)(draw(&seed) % 4));
		pl_image_release(&im);
	}
}

/* Written down once: what depends on a machine's libm or vector unit shows. */
static void test_bytes_are_these(void **state)
{
	(void)state;
	static const struct { uint32_t w, h; enum pl_filter filter; const char *hash; } cases[] = {
		{ 101, 77, PL_FILTER_LANCZOS, "336e630a15b766aff209dc575a303c25" }, { 300, 250, PL_FILTER_LANCZOS, "25aafa94d76cb5e5d4858253c90a5185" },
		{ 9, 5, PL_FILTER_LANCZOS, "fc2ac27e0140278ef48a7907316d8092" }, { 101, 77, PL_FILTER_BICUBIC, "21c24494af3215beb5e13cea557fc8c7" },
	};
	struct pl_image im = noise(190, 140, 1, 3);
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		struct pl_image out;
		uint64_t h[2];
		char hex[33];
		assert_int_equal(
		    pl_img_resample(&im, cases[i].w, cases[i].h, cases[i].filter, &out), PL_REASON_KEEP);
		pl_hash128(out.pixels, (size_t)out.width * out.height, h);
		pl_hash128_hex(h, hex);
		assert_string_equal(hex, cases[i].hash);
		pl_image_release(&out);
	}
	pl_image_release(&im);
}

static void plane_of(const struct pl_image *im, uint32_t by, uint8_t *dst)
{
	const struct pl_plane in = { im->pixels, 190, (189 + by - 1) / by, (139 + by - 1) / by, 189.0 / by,
		139.0 / by };
	const struct pl_cut cut = { 81.0 / by, 60.0 / by, 0, 0, (81 + by - 1) / by, (60 + by - 1) / by };
	assert_int_equal(pl_resample_cut(&in, 1, &cut, PL_FILTER_LANCZOS, dst, 81), PL_REASON_KEEP);
}

/* Chroma's axes made of luma's and made anew, and the other way round, are the same. */
static void test_axes_from_axes(void **state)
{
	(void)state;
	struct pl_image im = noise(190, 140, 1, 5), out;
	uint8_t luma[2][81 * 60], chroma[2][81 * 60];
	memset(chroma, 0, sizeof(chroma));
	for (uint32_t i = 0; i < 2; i++) {
		/* Others, until none of ours are kept. */
		for (uint32_t k = 0; k < 20; k++) {
			assert_int_equal(pl_img_resample(&im, 20 + k, 50 + k, PL_FILTER_LANCZOS, &out),
			    PL_REASON_KEEP);
			pl_image_release(&out);
		}
		plane_of(&im, 1 + i, i ? chroma[i] : luma[i]);
		plane_of(&im, 2 - i, i ? luma[i] : chroma[i]);
	}
	assert_memory_equal(luma[0], luma[1], sizeof(luma[0]));
	assert_memory_equal(chroma[0], chroma[1], sizeof(chroma[0]));
	pl_image_release(&im);
}

/* The same bytes out of the whole transform, for every picture in `data` that it takes. */
static void transform_everywhere(const uint8_t *data, size_t len, enum pl_format format)
{
	struct pl_img_limits lim = pl_img_limits_default();
	const struct pl_resize r = { .policy = PL_POLICY_KEEP_RATIO, .size = 256,
		.format = format, .encode = { format, format == PL_FORMAT_PNG ? 1 : 90, 0 },
		.reencode = true };
	struct pl_resized plain, other;
	assert_true(pl_resample_force(PL_SIMD_SCALAR));
	enum pl_reason reason = pl_img_transform(data, len, &lim, &r, &plain);
	for (enum pl_simd level = PL_SIMD_AVX2; level <= PL_SIMD_AVX512; level++) {
		if (!pl_resample_force(level))
			continue;
		assert_int_equal(pl_img_transform(data, len, &lim, &r, &other), reason);
		assert_int_equal(other.len, plain.len);
		if (plain.len)
			assert_memory_equal(other.bytes, plain.bytes, plain.len);
		free(other.bytes);
	}
	assert_true(pl_resample_force(PL_SIMD_NONE));
	free(plain.bytes);
}

/* Every picture of a tar whose members need no more than its plain headers. */
static size_t transform_tar(const uint8_t *tar, size_t len)
{
	size_t n = 0;
	for (size_t at = 0; at + 512 <= len && tar[at];) {
		char digits[13] = { 0 };
		memcpy(digits, tar + at + 124, 12);
		size_t size = (size_t)strtoull(digits, NULL, 8);
		if (size > len - at - 512)
			break;
		const uint8_t *data = tar + at + 512;
		if (tar[at + 156] == '0' && pl_img_sniff(data, size) != PL_FORMAT_UNKNOWN) {
			transform_everywhere(data, size, n++ % 8 ? PL_FORMAT_JPEG : PL_FORMAT_PNG);
		}
		at += 512 + (size + 511) / 512 * 512;
	}
	return n;
}

static size_t transform_file(const char *folder, const char *name)
{
	char path[4096];
	char *bytes;
	size_t len;
	struct pl_err err = { 0 };
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(pl_file_read(path, (size_t)64 << 20, &bytes, &len, &err), PL_OK);
	const uint8_t *data = (const uint8_t *)bytes;
	size_t n = 1;
	if (strstr(name, ".tar"))
		n = transform_tar(data, len);
	else
		transform_everywhere(data, len, PL_FORMAT_JPEG);
	free(bytes);
	return n;
}

static void test_levels_photos(void **state)
{
	(void)state;
	const char *shared = getenv("PLAIT_SHARED_DATA");
	char folder[4096];
	snprintf(folder, sizeof(folder), "%s/photos", shared ? shared : "");
	DIR *dir = shared ? opendir(folder) : NULL;
	if (!dir) {
		print_message("no $PLAIT_SHARED_DATA/photos\n");
		skip();
	}
	size_t n = 0;
	for (struct dirent *e; (e = readdir(dir));)
		if (strstr(e->d_name, ".tar"))
			n += transform_file(folder, e->d_name);
	closedir(dir);
	snprintf(folder, sizeof(folder), "%s/photos/large", shared);
	dir = opendir(folder);
	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_name[0] != '.')
			n += transform_file(folder, e->d_name);
	closedir(dir);
	assert_true(n > 300);
}

/* ---- planes against RGB ---- */

static const uint8_t exif[] = { 0xFF, 0xE1, 0, 34, 'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0,
	0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };

static uint8_t *jpeg(const struct pl_image *im, int h, int v, bool progressive, uint8_t orientation,
    size_t *len)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr errors;
	unsigned char *bytes = NULL;
	unsigned long n = 0;
	c.err = jpeg_std_error(&errors);
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &bytes, &n);
	c.image_width = im->width;
	c.image_height = im->height;
	c.input_components = 3;
	c.in_color_space = JCS_RGB;
	jpeg_set_defaults(&c);
	jpeg_set_quality(&c, 98, TRUE);
	c.comp_info[0].h_samp_factor = h;
	c.comp_info[0].v_samp_factor = v;
	if (progressive)
		jpeg_simple_progression(&c);
	jpeg_start_compress(&c, TRUE);
	uint8_t turned[sizeof(exif)];
	memcpy(turned, exif, sizeof(exif));
	turned[28] = orientation;
	jpeg_write_marker(&c, JPEG_APP0 + 1, turned + 4, sizeof(turned) - 4);
	while (c.next_scanline < c.image_height) {
		JSAMPROW row = im->pixels + (size_t)c.next_scanline * im->width * 3;
		jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	*len = n;
	return bytes;
}

static struct pl_image transformed(
    const uint8_t *data, size_t len, const struct pl_resize *r, enum pl_format format, int quality)
{
	struct pl_img_limits lim = pl_img_limits_default();
	struct pl_resize how = *r;
	struct pl_resized got;
	struct pl_img_info info;
	struct pl_image im;
	how.reencode = true;
	how.format = format;
	how.encode = (struct pl_img_encode){ .format = format, .quality = quality, .effort = 4 };
	assert_int_equal(pl_img_transform(data, len, &lim, &how, &got), PL_REASON_KEEP);
	assert_int_equal(pl_img_probe(got.bytes, got.len, &lim, &info), PL_REASON_KEEP);
	assert_int_equal(info.format, format);
	assert_int_equal(info.width, got.width);
	assert_int_equal(info.height, got.height);
	if (format == PL_FORMAT_JPEG)
		assert_true(info.subsampled_420);
	assert_int_equal(
	    pl_img_decode(got.bytes, got.len, &info, &lim, NULL, &im), PL_REASON_KEEP);
	free(got.bytes);
	return im;
}

static double psnr(const struct pl_image *a, const struct pl_image *b)
{
	assert_int_equal(a->width, b->width);
	assert_int_equal(a->height, b->height);
	assert_int_equal(a->channels, b->channels);
	const size_t n = (size_t)a->width * a->height * a->channels;
	double squares = 0;
	for (size_t i = 0; i < n; i++)
		squares += pow(a->pixels[i] - b->pixels[i], 2);
	return 10 * log10(255.0 * 255 * (double)n / (squares + 1));
}

/* Through planes and back, against the PNG that the way through RGB makes. */
static void close_to_rgb(const uint8_t *data, size_t len, const struct pl_resize *r, double least)
{
	struct pl_image png = transformed(data, len, r, PL_FORMAT_PNG, 1);
	struct pl_image small = transformed(data, len, r, PL_FORMAT_JPEG, 98);
	double got = psnr(&png, &small);
	if (got < least)
		print_message("policy %d, %ux%u: JPEG %.2f dB\n", (int)r->policy, png.width,
		    png.height, got);
	assert_true(got >= least);
	pl_image_release(&small);
	pl_image_release(&png);
}

static void test_samplings(void **state)
{
	(void)state;
	static const int factors[][2] = { { 1, 1 }, { 2, 1 }, { 1, 2 }, { 4, 1 }, { 2, 2 }, { 4, 2 } };
	/* The last one is decoded at half its size. */
	static const uint32_t sizes[][2] = { { 320, 240 }, { 301, 223 }, { 1290, 967 } };
	for (size_t f = 0; f < PL_ARRAY_LEN(factors); f++)
		for (size_t s = 0; s < PL_ARRAY_LEN(sizes); s++) {
			struct pl_image im = colours(sizes[s][0], sizes[s][1]);
			for (int progressive = 0; progressive < 2; progressive++) {
				size_t len;
				uint8_t *data =
				    jpeg(&im, factors[f][0], factors[f][1], progressive, 1, &len);
				const struct pl_resize r = { .policy = PL_POLICY_KEEP_RATIO,
					.size = 200 };
				/* libjpeg repeats chroma samples where one stands for four:
				 * there the way through RGB is the coarser one. */
				close_to_rgb(data, len, &r, factors[f][0] == 4 ? 35 : 44);
				free(data);
			}
			pl_image_release(&im);
		}
}

static void test_orientations_and_policies(void **state)
{
	(void)state;
	/* Odd sizes make crops and borders begin between chroma samples. */
	static const struct {
		enum pl_policy policy;
		uint32_t size;
	} cases[] = { { PL_POLICY_NONE, 0 }, { PL_POLICY_KEEP_RATIO, 101 },
		{ PL_POLICY_KEEP_RATIO_LARGEST, 128 }, { PL_POLICY_CENTER_CROP, 97 },
		{ PL_POLICY_CENTER_CROP, 100 }, { PL_POLICY_BORDER, 131 },
		{ PL_POLICY_BORDER, 128 }, { PL_POLICY_BORDER, 132 } };
	struct pl_image im = colours(263, 177);
	for (uint8_t o = 1; o <= 8; o++) {
		size_t len;
		uint8_t *data = jpeg(&im, 2, 2, false, o, &len);
		for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
			const struct pl_resize r = { .policy = cases[i].policy,
				.size = cases[i].size };
			close_to_rgb(data, len, &r, cases[i].policy == PL_POLICY_BORDER ? 37 : 44);
		}
		free(data);
	}
	pl_image_release(&im);
}

/* White bars stay white up to where chroma is shared with the picture. */
static void test_border_is_white(void **state)
{
	(void)state;
	struct pl_image im = colours(200, 90);
	size_t len;
	uint8_t *data = jpeg(&im, 1, 1, false, 1, &len);
	const struct pl_resize r = { .policy = PL_POLICY_BORDER, .size = 100 };
	for (int webp = 0; webp < 2; webp++) {
		struct pl_image got = transformed(
		    data, len, &r, webp ? PL_FORMAT_WEBP : PL_FORMAT_JPEG, webp ? 90 : 95);
		for (size_t i = 0; i < (size_t)100 * 8 * 3; i++)
			assert_true(got.pixels[i] >= 253);
		pl_image_release(&got);
	}
	free(data);
	pl_image_release(&im);
}

/* JPEG's full range becomes WebP's limited range: taken over as it is, black would stay at 0 and read
 * as less than black, and contrast would grow by a sixth. */
static void test_webp_range(void **state)
{
	(void)state;
	struct pl_image im;
	assert_int_equal(pl_image_init(&im, 256, 64, 3), PL_REASON_KEEP);
	for (size_t y = 0; y < 64; y++)
		for (size_t x = 0; x < 256; x++)
			memset(im.pixels + (y * 256 + x) * 3, (int)x, 3);
	size_t len;
	uint8_t *data = jpeg(&im, 2, 2, false, 1, &len);
	const struct pl_resize r = { .policy = PL_POLICY_NONE };
	struct pl_image got = transformed(data, len, &r, PL_FORMAT_WEBP, 100);
	for (size_t i = 0; i < (size_t)256 * 64 * 3; i++)
		assert_true(abs(got.pixels[i] - im.pixels[i]) <= 6);
	assert_true(psnr(&got, &im) > 44);
	pl_image_release(&got);
	free(data);
	pl_image_release(&im);

	im = colours(320, 240);
	data = jpeg(&im, 2, 2, false, 1, &len);
	const struct pl_resize half = { .policy = PL_POLICY_KEEP_RATIO, .size = 120 };
	struct pl_image png = transformed(data, len, &half, PL_FORMAT_PNG, 1);
	got = transformed(data, len, &half, PL_FORMAT_WEBP, 100);
	assert_true(psnr(&got, &png) > 36);
	pl_image_release(&got);
	pl_image_release(&png);
	free(data);
	pl_image_release(&im);
}

static void test_least(void **state)
{
	(void)state;
	assert_int_equal(pl_decode_least(PL_DECODE_SCALE_2, 100), 200);
	assert_int_equal(pl_decode_least(PL_DECODE_SCALE_1_5, 101), 152);
	assert_int_equal(pl_decode_least(PL_DECODE_SCALE_1, 101), 101);
	assert_int_equal(pl_decode_least(PL_DECODE_SCALE_2, UINT32_MAX), UINT32_MAX);
	assert_int_equal(pl_decode_least((enum pl_decode_scale)77, 100), 200);
}

/* Each scale goes as far down as it may and no further, on both ways (through RGB half as much again is left): equal
 * bytes tell that two scales decoded at the same size. The target is 100 pixels. */
static void test_decode_scale(void **state)
{
	(void)state;
	static const struct {
		uint32_t side;
		int by[2][3]; /* the reduction at each scale, in planes and through RGB */
	} cases[] = { { 600, { { 2, 4, 4 }, { 2, 2, 4 } } }, { 464, { { 2, 2, 4 }, { 1, 2, 2 } } },
		{ 400, { { 2, 2, 4 }, { 1, 1, 2 } } }, { 392, { { 1, 2, 2 }, { 1, 1, 2 } } },
		{ 304, { { 1, 2, 2 }, { 1, 1, 2 } } }, { 296, { { 1, 1, 2 }, { 1, 1, 1 } } },
		{ 200, { { 1, 1, 2 }, { 1, 1, 1 } } }, { 192, { { 1, 1, 1 }, { 1, 1, 1 } } } };
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		struct pl_image im = colours(cases[i].side, cases[i].side), got[3];
		size_t len;
		uint8_t *data = jpeg(&im, 1, 1, false, 1, &len);
		for (int png = 0; png < 2; png++) {
			for (int s = 0; s < 3; s++) {
				const struct pl_resize r = { .policy = PL_POLICY_KEEP_RATIO,
					.size = 100, .decode_scale = (enum pl_decode_scale)s };
				got[s] = transformed(data, len, &r,
				    png ? PL_FORMAT_PNG : PL_FORMAT_JPEG, png ? 1 : 100);
			}
			for (int s = 1; s < 3; s++) {
				const bool same = memcmp(got[0].pixels, got[s].pixels, 30000) == 0;
				assert_int_equal(same, cases[i].by[png][0] == cases[i].by[png][s]);
				assert_true(psnr(got, got + s) > 44);
			}
			for (int s = 0; s < 3; s++)
				pl_image_release(got + s);
		}
		free(data);
		pl_image_release(&im);
	}
}

/* Made-to-measure Huffman tables: fewer bytes, the same pixels. */
static void test_optimised(void **state)
{
	(void)state;
	struct pl_image im = colours(200, 150);
	struct pl_img_limits lim = pl_img_limits_default();
	size_t len;
	uint8_t *data = jpeg(&im, 2, 2, false, 1, &len);
	struct pl_resize r = { .policy = PL_POLICY_KEEP_RATIO, .size = 100,
		.encode = { PL_FORMAT_JPEG, 90, 2 } };
	struct pl_resized plain, less;
	struct pl_img_info info;
	struct pl_image a, b;
	assert_int_equal(pl_img_transform(data, len, &lim, &r, &plain), PL_REASON_KEEP);
	r.optimise = true;
	assert_int_equal(pl_img_transform(data, len, &lim, &r, &less), PL_REASON_KEEP);
	assert_true(less.len < plain.len);
	assert_int_equal(pl_img_probe(less.bytes, less.len, &lim, &info), PL_REASON_KEEP);
	assert_int_equal(pl_img_decode(less.bytes, less.len, &info, &lim, NULL, &a), PL_REASON_KEEP);
	assert_int_equal(
	    pl_img_decode(plain.bytes, plain.len, &info, &lim, NULL, &b), PL_REASON_KEEP);
	assert_memory_equal(a.pixels, b.pixels, (size_t)a.width * a.height * 3);
	pl_image_release(&a);
	pl_image_release(&b);
	free(plain.bytes);
	free(less.bytes);
	free(data);
	pl_image_release(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels_random),
		cmocka_unit_test(test_bytes_are_these),
		cmocka_unit_test(test_axes_from_axes),
		cmocka_unit_test(test_levels_photos),
		cmocka_unit_test(test_samplings),
		cmocka_unit_test(test_orientations_and_policies),
		cmocka_unit_test(test_border_is_white),
		cmocka_unit_test(test_webp_range),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_decode_scale),
		cmocka_unit_test(test_optimised),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
