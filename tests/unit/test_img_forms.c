/* SPDX-License-Identifier: Apache-2.0 */
/* Forms that a picture may come in: 16-bit PNG, every sampling and coding of
 * JPEG, and how many frames a file holds. */
#include "colour_fixture.h"

/* 16-bit samples become the nearest level: 0x00FF is nearer to 1 than to 0. */
static void test_png_16_bits(void **state)
{
	(void)state;
	static const struct { uint16_t in; uint8_t out; } cases[] = { { 0, 0 }, { 128, 0 }, { 129, 1 }, { 0xFF, 1 },
		{ 0x7F7F, 0x7F }, { 0x7FFF, 0x7F }, { 0x8000, 0x80 }, { 0xFF7F, 0xFF }, { 0xFE7E, 0xFE }, { 0xFFFF, 0xFF } };
	static const struct { uint8_t type, stored; uint32_t channels; } types[] = {
		{ SPNG_COLOR_TYPE_GRAYSCALE, 1, 1 }, { SPNG_COLOR_TYPE_TRUECOLOR, 3, 3 },
		{ SPNG_COLOR_TYPE_TRUECOLOR_ALPHA, 4, 4 }, { SPNG_COLOR_TYPE_GRAYSCALE_ALPHA, 2, 4 } };
	const struct pl_img_limits lim = pl_img_limits_default();
	for (size_t t = 0; t < PL_ARRAY_LEN(types); t++) {
		uint16_t row[PL_ARRAY_LEN(cases) * 4];
		size_t n = PL_ARRAY_LEN(cases) * types[t].stored;
		for (size_t i = 0; i < n; i++)
			row[i] = cases[i / types[t].stored].in;
		struct spng_ihdr ihdr = { .width = PL_ARRAY_LEN(cases), .height = 1, .bit_depth = 16, .color_type = types[t].type };
		spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
		struct bytes b;
		int error;
		assert_int_equal(spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1) | spng_set_ihdr(ctx, &ihdr), 0);
		assert_int_equal(spng_encode_image(ctx, row, n * 2, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE), 0);
		b.p = spng_get_png_buffer(ctx, &b.n, &error);
		struct pl_img_info info = probed(b);
		struct pl_image im;
		assert_int_equal(pl_img_decode(b.p, b.n, &info, &lim, NULL, &im), PL_REASON_KEEP);
		assert_int_equal(im.channels, types[t].channels);
		for (size_t i = 0; i < (size_t)im.width * im.channels; i++)
			assert_int_equal(im.pixels[i], cases[i / im.channels].out);
		pl_image_release(&im);
		free(b.p);
		spng_ctx_free(ctx);
	}
}

/* ---- what JPEG may look like ---- */

enum { JPEG_W = 75, JPEG_H = 53 };

/* Slow ramps, so that subsampled chroma loses next to nothing. */
static void ramp_row(unsigned y, uint8_t row[JPEG_W * 3])
{
	for (unsigned x = 0; x < JPEG_W; x++) {
		row[3 * x] = (uint8_t)(30 + 2 * x);
		row[3 * x + 1] = (uint8_t)(60 + 2 * y);
		row[3 * x + 2] = (uint8_t)(200 - x - y);
	}
}

struct jpeg_kind { int h, v, restart; bool arithmetic, progressive, ycck; };

static struct bytes jpeg_of(const struct jpeg_kind *kind)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr errors;
	unsigned char *bytes = NULL;
	unsigned long n = 0;
	uint8_t rgb[JPEG_W * 3], cmyk[JPEG_W * 4];
	JSAMPROW row = kind->ycck ? cmyk : rgb;
	c.err = jpeg_std_error(&errors);
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &bytes, &n);
	c.image_width = JPEG_W;
	c.image_height = JPEG_H;
	c.input_components = kind->ycck ? 4 : 3;
	c.in_color_space = kind->ycck ? JCS_CMYK : JCS_RGB;
	jpeg_set_defaults(&c);
	if (kind->ycck)
		jpeg_set_colorspace(&c, JCS_YCCK);
	jpeg_set_quality(&c, 98, TRUE);
	c.comp_info[0].h_samp_factor = kind->h;
	c.comp_info[0].v_samp_factor = kind->v;
	if (kind->ycck) {
		c.comp_info[3].h_samp_factor = kind->h;
		c.comp_info[3].v_samp_factor = kind->v;
	}
	c.restart_interval = (unsigned)kind->restart;
	c.arith_code = kind->arithmetic;
	if (kind->progressive)
		jpeg_simple_progression(&c);
	jpeg_start_compress(&c, TRUE);
	while (c.next_scanline < JPEG_H) {
		ramp_row(c.next_scanline, rgb);
		/* Adobe's: inverted; no black. */
		for (size_t x = 0; x < JPEG_W; x++) {
			memcpy(cmyk + 4 * x, rgb + 3 * x, 3);
			cmyk[4 * x + 3] = 255;
		}
		(void)jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	return (struct bytes){ bytes, n };
}

static void test_jpeg_kinds(void **state)
{
	(void)state;
	static const struct jpeg_kind kinds[] = { { .h = 1, .v = 1 }, { .h = 2, .v = 1 }, { .h = 2, .v = 2 },
		{ .h = 1, .v = 2 }, { .h = 4, .v = 1 }, { .h = 2, .v = 2, .restart = 1 },
		{ .h = 1, .v = 2, .restart = 3 }, { .h = 2, .v = 2, .arithmetic = true },
		{ .h = 2, .v = 1, .arithmetic = true, .progressive = true }, { .h = 2, .v = 2, .progressive = true },
		{ .h = 4, .v = 1, .progressive = true, .restart = 2 }, { .h = 1, .v = 1, .ycck = true },
		{ .h = 2, .v = 2, .ycck = true } };
	const struct pl_img_limits lim = pl_img_limits_default();
	for (size_t k = 0; k < PL_ARRAY_LEN(kinds); k++) {
		struct bytes b = jpeg_of(&kinds[k]);
		struct pl_img_info info = probed(b);
		struct pl_image im;
		assert_int_equal(info.progressive, kinds[k].progressive);
		assert_int_equal(info.channels, kinds[k].ycck ? 4 : 3);
		assert_int_equal(info.subsampled_420, !kinds[k].ycck && kinds[k].h == 2 && kinds[k].v == 2);
		assert_int_equal(pl_img_decode(b.p, b.n, &info, &lim, NULL, &im), PL_REASON_KEEP);
		assert_int_equal(im.channels, 3);
		for (unsigned y = 0; y < JPEG_H; y++) {
			uint8_t want[JPEG_W * 3];
			ramp_row(y, want);
			for (size_t i = 0; i < sizeof(want); i++) {
				int error = abs(im.pixels[y * sizeof(want) + i] - want[i]);
				if (error > 6)
					fail_msg("kind %zu, row %u, byte %zu: off by %d", k, y, i, error);
			}
		}
		pl_image_release(&im);
		free(b.p);
	}
}

/* ---- frames ---- */

static void test_frames(void **state)
{
	(void)state;
	/* A 1x1 GIF: header, then as many frames as asked, then the end. */
	static const uint8_t head[] = { 'G', 'I', 'F', '8', '9', 'a', 1, 0, 1, 0, 0x80, 0, 0, 1, 2, 3, 4, 5, 6 };
	static const uint8_t frame[] = { 0x2C, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 0x01, 0 };
	static const uint32_t counts[] = { 1, 2, 7, 65535, 65536, 70000 };
	for (size_t i = 0; i < PL_ARRAY_LEN(counts); i++) {
		struct bytes b = { malloc(sizeof(head) + counts[i] * sizeof(frame) + 1), 0 };
		assert_non_null(b.p);
		memcpy(b.p, head, sizeof(head));
		for (uint32_t k = 0; k < counts[i]; k++)
			memcpy(b.p + sizeof(head) + k * sizeof(frame), frame, sizeof(frame));
		b.n = sizeof(head) + counts[i] * sizeof(frame);
		b.p[b.n++] = 0x3B;
		struct pl_img_info info = probed(b);
		assert_int_equal(info.frames, counts[i] < 65535 ? counts[i] : 65535);
		assert_int_equal(info.animated, counts[i] > 1);
		/* Cut inside the second frame's descriptor: one frame. */
		b.n = sizeof(head) + sizeof(frame) + 5;
		if (counts[i] > 1)
			assert_int_equal(probed(b).frames, 1);
		free(b.p);
	}
	struct pl_image im = patch_image(3);
	static const enum pl_format formats[] = { PL_FORMAT_JPEG, PL_FORMAT_PNG, PL_FORMAT_WEBP };
	for (size_t i = 0; i < PL_ARRAY_LEN(formats); i++) {
		struct bytes b = encoded(&im, formats[i], 9);
		struct pl_img_info info = probed(b);
		assert_int_equal(info.frames, 1);
		assert_false(info.foreign_profile);
		free(b.p);
	}
	pl_image_release(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_png_16_bits),
		cmocka_unit_test(test_jpeg_kinds),
		cmocka_unit_test(test_frames),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
