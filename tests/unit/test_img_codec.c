/* SPDX-License-Identifier: Apache-2.0 */
/* Sniffing, probing, decoding and encoding: files made in memory, whole, cut
 * and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>
#include <webp/encode.h>

#include "libpipe/img/codec.h"

static struct pl_img_limits limits(void)
{
	return pl_img_limits_default();
}

/* A smooth picture with some texture, so that codecs neither fail nor collapse. */
static struct pl_image picture(uint32_t w, uint32_t h, uint32_t channels)
{
	struct pl_image im;
	assert_int_equal(pl_image_init(&im, w, h, channels), PL_REASON_KEEP);
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++)
			for (uint32_t c = 0; c < channels; c++)
				im.pixels[((size_t)y * w + x) * channels + c] = (uint8_t)(20 +
				    x * 110 / w + y * 40 / h * (c + 1) + (x * 7 ^ y * 5) % 5);
	return im;
}

static uint8_t *encoded(const struct pl_image *im, enum pl_format f, int quality, size_t *len)
{
	const struct pl_img_encode how = { f, quality, 2 };
	uint8_t *bytes;
	assert_int_equal(pl_img_encode(im, &how, &bytes, len), PL_REASON_KEEP);
	return bytes;
}

static enum pl_reason decoded(const uint8_t *data, size_t len, struct pl_image *out)
{
	struct pl_img_limits lim = limits();
	struct pl_img_info info;
	memset(out, 0, sizeof(*out));
	enum pl_reason reason = pl_img_probe(data, len, &lim, &info);
	return reason == PL_REASON_KEEP ? pl_img_decode(data, len, &info, &lim, NULL, out) : reason;
}

static double mean_error(const struct pl_image *a, const struct pl_image *b)
{
	assert_int_equal(a->width, b->width);
	assert_int_equal(a->height, b->height);
	assert_int_equal(a->channels, b->channels);
	size_t n = (size_t)a->width * a->height * a->channels;
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += abs(a->pixels[i] - b->pixels[i]);
	return sum / (double)n;
}

/* ---- round trips ---- */

static void test_round_trips(void **state)
{
	(void)state;
	static const struct {
		enum pl_format format;
		int quality;
		double error;
	} cases[] = {
		{ PL_FORMAT_JPEG, 95, 4 },
		{ PL_FORMAT_WEBP, 95, 5 },
		{ PL_FORMAT_WEBP, 101, 0 },
		{ PL_FORMAT_PNG, -1, 0 },
		{ PL_FORMAT_PNG, 9, 0 },
	};
	for (uint32_t channels = 1; channels <= 3; channels += 2) {
		for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
			struct pl_image im = picture(67, 41, channels), back;
			size_t len, again;
			uint8_t *bytes = encoded(&im, cases[i].format, cases[i].quality, &len);
			uint8_t *twice = encoded(&im, cases[i].format, cases[i].quality, &again);
			assert_int_equal(len, again);
			assert_memory_equal(bytes, twice, len);
			assert_int_equal(pl_img_sniff(bytes, len), cases[i].format);
			assert_int_equal(decoded(bytes, len, &back), PL_REASON_KEEP);
			if (cases[i].format == PL_FORMAT_WEBP)
				assert_int_equal(pl_img_to_rgb(&im), PL_REASON_KEEP);
			assert_true(mean_error(&im, &back) <= cases[i].error);
			pl_image_release(&im);
			pl_image_release(&back);
			free(bytes);
			free(twice);
		}
	}
}

/* Hills: what blocks show in. */
static struct pl_image hills(uint32_t w, uint32_t h)
{
	struct pl_image im = picture(w, h, 3);
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++)
			memset(im.pixels + ((size_t)y * w + x) * 3,
			    (int)(40 + (x * x / 40 + y * y / 25 + x * y / 90) % 170), 3);
	return im;
}

/* What is written is nearer to the picture than libwebp's default of the same method, and no larger. */
static void test_webp_settings(void **state)
{
	(void)state;
	struct pl_image im = hills(160, 120), ours, theirs;
	WebPConfig config;
	WebPPicture p;
	WebPMemoryWriter writer;
	WebPMemoryWriterInit(&writer);
	assert_true(WebPConfigInit(&config) && WebPPictureInit(&p));
	config.quality = 40;
	config.method = 2;
	p.width = (int)im.width;
	p.height = (int)im.height;
	p.writer = WebPMemoryWrite;
	p.custom_ptr = &writer;
	assert_true(WebPPictureImportRGB(&p, im.pixels, (int)im.width * 3));
	assert_true(WebPEncode(&config, &p));
	size_t len;
	uint8_t *bytes = encoded(&im, PL_FORMAT_WEBP, 40, &len);
	assert_true(len <= writer.size);
	assert_int_equal(decoded(bytes, len, &ours), PL_REASON_KEEP);
	assert_int_equal(decoded(writer.mem, writer.size, &theirs), PL_REASON_KEEP);
assert_true(mean_error(&im, &ours) < mean_error(&im, &theirs) * 0.999);
	pl_image_release(&ours);
	pl_image_release(&theirs);
	pl_image_release(&im);
	WebPPictureFree(&p);
	WebPMemoryWriterClear(&writer);
	free(bytes);
}

static void test_encode_refuses(void **state)
{
	(void)state;
	struct pl_image im = picture(8, 8, 3);
	const struct pl_img_encode gif = { PL_FORMAT_GIF, 90, 2 }, webp = { PL_FORMAT_WEBP, 90, 0 };
	uint8_t *bytes;
	size_t len;
	assert_int_equal(pl_img_encode(&im, &gif, &bytes, &len), PL_REASON_UNSUPPORTED);
	assert_null(bytes);
	pl_image_release(&im);
	im = picture(16384, 1, 1);
	assert_int_equal(pl_img_encode(&im, &webp, &bytes, &len), PL_REASON_BOMB);
	pl_image_release(&im);
}

/* ---- probing ---- */

/* A JPEG with an EXIF block of one orientation entry behind its SOI. */
static uint8_t *jpeg_with_exif(
    const struct pl_image *im, uint8_t orientation, bool big, size_t *len)
{
	static const uint8_t little_exif[] = { 0xFF, 0xE1, 0, 34, 'E', 'x', 'i', 'f', 0, 0, 'I',
		'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t big_exif[] = { 0xFF, 0xE1, 0, 34, 'E', 'x', 'i', 'f', 0, 0, 'M', 'M',
		0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0 };
	size_t n;
	uint8_t *plain = encoded(im, PL_FORMAT_JPEG, 95, &n);
	uint8_t *bytes = malloc(n + sizeof(big_exif));
	assert_non_null(bytes);
	memcpy(bytes, plain, 2);
	memcpy(bytes + 2, big ? big_exif : little_exif, sizeof(big_exif));
	memcpy(bytes + 2 + sizeof(big_exif), plain + 2, n - 2);
	bytes[2 + (big ? 29 : 28)] = orientation;
	free(plain);
	*len = n + sizeof(big_exif);
	return bytes;
}

static void test_probe_jpeg(void **state)
{
	(void)state;
	struct pl_image im = picture(40, 24, 3);
	struct pl_img_limits lim = limits();
	struct pl_img_info info;
	for (uint8_t o = 0; o <= 9; o++) {
		size_t len;
		uint8_t *bytes = jpeg_with_exif(&im, o, o & 1, &len);
		assert_int_equal(pl_img_probe(bytes, len, &lim, &info), PL_REASON_KEEP);
		assert_int_equal(info.orientation, o >= 1 && o <= 8 ? o : 1);
		assert_int_equal(info.width, 40);
		assert_int_equal(info.height, 24);
		assert_int_equal(info.channels, 3);
		assert_int_equal(info.depth, 8);
		assert_true(info.subsampled_420);
		assert_false(info.progressive);
		free(bytes);
	}
	pl_image_release(&im);
}

static void test_limits(void **state)
{
	(void)state;
	struct pl_image im = picture(40, 24, 3), out;
	struct pl_img_limits lim = limits();
	struct pl_img_info info, good;
	size_t len;
	uint8_t *bytes = encoded(&im, PL_FORMAT_PNG, 1, &len);
	assert_int_equal(pl_img_probe(bytes, 0, &lim, &info), PL_REASON_EMPTY);
	assert_int_equal(pl_img_probe(bytes, len, &lim, &good), PL_REASON_KEEP);
	lim.max_pixels = 40 * 24 - 1;
	assert_int_equal(pl_img_probe(bytes, len, &lim, &info), PL_REASON_BOMB);
	assert_int_equal(info.format, PL_FORMAT_PNG);
	assert_int_equal(pl_img_decode(bytes, len, &good, &lim, NULL, &out), PL_REASON_BOMB);
	lim = limits();
	lim.max_side = 39;
	assert_int_equal(pl_img_probe(bytes, len, &lim, &info), PL_REASON_BOMB);
	lim = limits();
	lim.max_bytes = len - 1;
	assert_int_equal(pl_img_probe(bytes, len, &lim, &info), PL_REASON_TOO_LARGE);
	assert_int_equal(info.format, PL_FORMAT_PNG);
	/* A decoder that finds another size than the probe told does not trust either. */
	lim = limits();
	good.width = 39;
	assert_int_equal(pl_img_decode(bytes, len, &good, &lim, NULL, &out), PL_REASON_CORRUPT);
	free(bytes);
	pl_image_release(&im);
}

static void test_sniff(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
		enum pl_format format;
	} cases[] = {
		{ "II*\0\0\0\0\0", 8, PL_FORMAT_TIFF },
		{ "MM\0*\0\0\0\0", 8, PL_FORMAT_TIFF },
		{ "\0\0\0\x18"
		  "ftypavif\0\0\0\0mif1miaf",
		    24, PL_FORMAT_AVIF },
		{ "\0\0\0\x18"
		  "ftypmif1\0\0\0\0mif1avif",
		    24, PL_FORMAT_AVIF },
		{ "\0\0\0\x18"
		  "ftypmp42\0\0\0\0mp42isom",
		    24, PL_FORMAT_UNKNOWN },
		{ "\xFF\x4F\xFF\x51", 4, PL_FORMAT_JP2 },
		{ "<svg xmlns=''/>", 15, PL_FORMAT_SVG },
		{ "<?xml version='1.0'?>\n<svg/>", 28, PL_FORMAT_SVG },
		{ "<!DOCTYPE html><html>", 21, PL_FORMAT_UNKNOWN },
		{ "BM, the company, was not an image", 33, PL_FORMAT_UNKNOWN },
		{ "\xFF\xD8", 2, PL_FORMAT_UNKNOWN },
		{ "GIF89a", 6, PL_FORMAT_GIF },
		{ "RIFF\0\0\0\0WEBP", 12, PL_FORMAT_WEBP },
	};
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++)
		assert_int_equal(
		    pl_img_sniff((const uint8_t *)cases[i].bytes, cases[i].len), cases[i].format);
	assert_string_equal(pl_format_name(PL_FORMAT_JP2), "jp2");
	assert_string_equal(pl_format_extension(PL_FORMAT_JPEG), "jpg");
	assert_string_equal(pl_format_name(PL_FORMAT_COUNT), "unknown");
	assert_true(pl_format_decodable(PL_FORMAT_BMP));
	assert_false(pl_format_decodable(PL_FORMAT_TIFF));
}

/* ---- GIF and BMP, which plait reads but does not write ---- */

/* 3x2 screen, a 2x1 frame at (1, 1): colours 1 and 0, with colour 0 transparent. */
static const uint8_t small_gif[] = { 'G', 'I', 'F', '8', '9', 'a', 3, 0, 2, 0, 0x80, 0, 0, 10, 20,
	30, 200, 100, 50, 0x21, 0xF9, 4, 1, 0, 0, 0, 0, 0x2C, 1, 0, 1, 0, 2, 0, 1, 0, 0, 2, 2, 0x0C,
	0x0A, 0, 0x3B };

static void test_gif(void **state)
{
	(void)state;
	struct pl_img_limits lim = limits();
	struct pl_img_info info;
	struct pl_image im;
	assert_int_equal(pl_img_probe(small_gif, sizeof(small_gif), &lim, &info), PL_REASON_KEEP);
	assert_int_equal(info.width, 3);
	assert_int_equal(info.height, 2);
	assert_true(info.alpha);
	assert_false(info.animated);
	assert_int_equal(decoded(small_gif, sizeof(small_gif), &im), PL_REASON_KEEP);
	assert_int_equal(im.channels, 4);
	static const uint8_t expected[2 * 3 * 4] = {
		[16] = 200, [17] = 100, [18] = 50, [19] = 255
	};
	assert_memory_equal(im.pixels, expected, sizeof(expected));
	assert_int_equal(pl_img_flatten(&im), PL_REASON_KEEP);
	assert_int_equal(im.channels, 3);
	assert_int_equal(im.pixels[0], 255);
	assert_int_equal(im.pixels[12], 200);
	pl_image_release(&im);
}

/* A BMP of 3x2 pixels; rows from the bottom up unless top_down. */
static size_t make_bmp(uint8_t *out, unsigned bits, bool top_down)
{
	const size_t palette = bits <= 8 ? 16 : 0, stride = (3 * bits + 31) / 32 * 4;
	memset(out, 0, 54 + palette + 2 * stride);
	memcpy(out, "BM", 2);
	out[10] = (uint8_t)(54 + palette);
	out[14] = 40;
	out[18] = 3;
	out[22] = top_down ? 0xFE : 2;
	memset(out + 23, top_down ? 0xFF : 0, 3);
	out[26] = 1;
	out[28] = (uint8_t)bits;
	out[46] = bits <= 8 ? 4 : 0;
	for (size_t i = 0; i < palette; i++)
		out[54 + i] = (uint8_t)(i * 10);
	for (size_t i = 0; i < 2 * stride; i++)
		out[54 + palette + i] = (uint8_t)(bits == 8 ? i % 5 : i * 3);
	return 54 + palette + 2 * stride;
}

static void test_bmp(void **state)
{
	(void)state;
	uint8_t bytes[256];
	struct pl_image im;
	size_t len = make_bmp(bytes, 24, false);
	assert_int_equal(decoded(bytes, len, &im), PL_REASON_KEEP);
	assert_int_equal(im.channels, 3);
	static const uint8_t bottom[] = { 6, 3, 0, 15, 12, 9, 24, 21, 18 };
	assert_memory_equal(im.pixels + 9, bottom, sizeof(bottom));
	pl_image_release(&im);
	len = make_bmp(bytes, 24, true);
	assert_int_equal(decoded(bytes, len, &im), PL_REASON_KEEP);
	assert_memory_equal(im.pixels, bottom, sizeof(bottom));
	pl_image_release(&im);
	len = make_bmp(bytes, 8, true);
	assert_int_equal(decoded(bytes, len, &im), PL_REASON_KEEP);
	static const uint8_t indexed[] = { 20, 10, 0, 60, 50, 40, 100, 90, 80, 0, 0, 0, 20, 10, 0,
		60, 50, 40 };
	assert_memory_equal(
	    im.pixels, indexed, sizeof(indexed)); /* index 4 is not in the palette: black */
	pl_image_release(&im);
	for (unsigned bits = 16; bits <= 32; bits += 16) {
		len = make_bmp(bytes, bits, false);
		assert_int_equal(decoded(bytes, len, &im), PL_REASON_KEEP);
		pl_image_release(&im);
		assert_int_equal(decoded(bytes, len - 8, &im), PL_REASON_TRUNCATED);
	}
}

/* ---- CMYK ---- */

/* A flat 16x16 JPEG of four components, with or without Adobe's marker. */
static uint8_t *cmyk_jpeg(const uint8_t ink[4], bool adobe, size_t *len)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr errors;
	unsigned char *bytes = NULL;
	unsigned long n = 0;
	uint8_t row[64];
	JSAMPROW rows[1] = { row };
	for (size_t i = 0; i < sizeof(row); i++)
		row[i] = ink[i % 4];
	c.err = jpeg_std_error(&errors);
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &bytes, &n);
	c.image_width = c.image_height = 16;
	c.input_components = 4;
	c.in_color_space = JCS_CMYK;
	jpeg_set_defaults(&c);
	jpeg_set_quality(&c, 100, TRUE);
	c.write_Adobe_marker = adobe;
	jpeg_start_compress(&c, TRUE);
	while (c.next_scanline < 16)
		(void)jpeg_write_scanlines(&c, rows, 1);
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	*len = n;
	return bytes;
}

/* Adobe stores 255 for no ink, others 255 for full ink: one red, written both ways. */
static void test_cmyk(void **state)
{
	(void)state;
	static const uint8_t inverted[4] = { 255, 51, 0, 204 }, plain[4] = { 0, 204, 255, 51 };
	for (int adobe = 0; adobe < 2; adobe++) {
		size_t len;
		struct pl_image im;
		uint8_t *bytes = cmyk_jpeg(adobe ? inverted : plain, adobe, &len);
		assert_int_equal(decoded(bytes, len, &im), PL_REASON_KEEP);
		assert_int_equal(im.channels, 3);
		assert_in_range(im.pixels[0], 202, 206);
		assert_in_range(im.pixels[1], 39, 43);
		assert_in_range(im.pixels[2], 0, 2);
		pl_image_release(&im);
		free(bytes);
	}
}

/* ---- turning ---- */

static void test_orient(void **state)
{
	(void)state;
	/* Stored 3x2 as 0 1 2 / 3 4 5, turned as EXIF asks. */
	static const uint8_t expected[9][6] = { { 0 }, { 0, 1, 2, 3, 4, 5 }, { 2, 1, 0, 5, 4, 3 },
		{ 5, 4, 3, 2, 1, 0 }, { 3, 4, 5, 0, 1, 2 }, { 0, 3, 1, 4, 2, 5 },
		{ 3, 0, 4, 1, 5, 2 }, { 5, 2, 4, 1, 3, 0 }, { 2, 5, 1, 4, 0, 3 } };
	for (uint8_t o = 1; o <= 8; o++) {
		for (uint32_t channels = 1; channels <= 4; channels += channels == 1 ? 2 : 1) {
			struct pl_image im;
			assert_int_equal(pl_image_init(&im, 3, 2, channels), PL_REASON_KEEP);
			for (size_t i = 0; i < 6 * channels; i++)
				im.pixels[i] = (uint8_t)(i / channels);
			assert_int_equal(pl_img_orient(&im, o), PL_REASON_KEEP);
			assert_int_equal(im.width, o >= 5 ? 2 : 3);
			for (size_t i = 0; i < 6 * channels; i++)
				assert_int_equal(im.pixels[i], expected[o][i / channels]);
			pl_image_release(&im);
		}
	}
}

/* ---- damage ---- */

static void test_truncated_jpeg(void **state)
{
	(void)state;
	struct pl_image im = picture(320, 320, 3), out;
	size_t len;
	uint8_t *bytes = encoded(&im, PL_FORMAT_JPEG, 90, &len);
	struct pl_img_limits lim = limits();
	struct pl_img_info info;
	assert_int_equal(decoded(bytes, len - 2, &out), PL_REASON_KEEP);
	pl_image_release(&out);
	assert_int_equal(decoded(bytes, len - len / 100, &out), PL_REASON_KEEP);
	pl_image_release(&out);
	assert_int_equal(decoded(bytes, len / 2, &out), PL_REASON_TRUNCATED);
	assert_null(out.pixels);
	assert_int_equal(decoded(bytes, 100, &out), PL_REASON_TRUNCATED);
	lim.max_missing = 0.6;
	assert_int_equal(pl_img_probe(bytes, len, &lim, &info), PL_REASON_KEEP);
	assert_int_equal(
	    pl_img_decode(bytes, len * 6 / 10, &info, &lim, NULL, &out), PL_REASON_KEEP);
	pl_image_release(&out);
	lim.max_missing = 0;
	assert_int_equal(
	    pl_img_decode(bytes, len - len / 100, &info, &lim, NULL, &out), PL_REASON_TRUNCATED);
	free(bytes);
	pl_image_release(&im);
}

static void test_reduced_jpeg(void **state)
{
	(void)state;
	static const struct {
		uint32_t keep, width, height;
	} cases[] = { { 0, 301, 201 }, { 201, 301, 201 }, { 101, 151, 101 }, { 100, 151, 101 },
		{ 51, 76, 51 }, { 26, 38, 26 }, { 1, 38, 26 } };
	struct pl_image im = picture(301, 201, 3), out;
	struct pl_img_limits lim = limits();
	struct pl_img_info info;
	size_t len;
	uint8_t *bytes = encoded(&im, PL_FORMAT_JPEG, 90, &len);
	assert_int_equal(pl_img_probe(bytes, len, &lim, &info), PL_REASON_KEEP);
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		const struct pl_img_decode how = { cases[i].keep, i & 1 };
		assert_int_equal(
		    pl_img_decode(bytes, len, &info, &lim, &how, &out), PL_REASON_KEEP);
		assert_int_equal(out.width, cases[i].width);
		assert_int_equal(out.height, cases[i].height);
		assert_int_equal(out.channels, i & 1 ? 1 : 3);
		pl_image_release(&out);
	}
	free(bytes);
	pl_image_release(&im);
}

/* Cut at every byte, and every byte turned over: any answer will do but a crash. */
static void test_cut_and_flip(void **state)
{
	(void)state;
	static const struct {
		enum pl_format format;
		int quality;
	} cases[] = { { PL_FORMAT_JPEG, 80 }, { PL_FORMAT_WEBP, 80 }, { PL_FORMAT_WEBP, 101 },
		{ PL_FORMAT_PNG, 6 }, { PL_FORMAT_GIF, 0 }, { PL_FORMAT_BMP, 0 } };
	struct pl_image im = picture(17, 19, 3), out;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		size_t len = sizeof(small_gif);
		uint8_t *bytes;
		if (cases[i].format == PL_FORMAT_GIF || cases[i].format == PL_FORMAT_BMP) {
			bytes = malloc(256);
			assert_non_null(bytes);
			memcpy(bytes, small_gif, len);
			if (cases[i].format == PL_FORMAT_BMP)
				len = make_bmp(bytes, 8, false);
		} else {
			bytes = encoded(&im, cases[i].format, cases[i].quality, &len);
		}
		for (size_t cut = 0; cut < len; cut++) {
			uint8_t *part = malloc(
			    cut ? cut : 1); /* its own block, so that a read past the end shows */
			assert_non_null(part);
			memcpy(part, bytes, cut);
			(void)decoded(part, cut, &out);
			pl_image_release(&out);
			free(part);
			bytes[cut] ^= 0xFF;
			if (decoded(bytes, len, &out) == PL_REASON_KEEP)
				assert_non_null(out.pixels);
			pl_image_release(&out);
			bytes[cut] ^= 0xFF;
		}
		free(bytes);
	}
	pl_image_release(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_webp_settings),
		cmocka_unit_test(test_encode_refuses),
		cmocka_unit_test(test_probe_jpeg),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_sniff),
		cmocka_unit_test(test_gif),
		cmocka_unit_test(test_bmp),
		cmocka_unit_test(test_cmyk),
		cmocka_unit_test(test_orient),
		cmocka_unit_test(test_truncated_jpeg),
		cmocka_unit_test(test_reduced_jpeg),
		cmocka_unit_test(test_cut_and_flip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
