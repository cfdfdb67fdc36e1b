/* SPDX-License-Identifier: Apache-2.0 */
/* The hash that resizing takes of the picture it has decoded, against the
 * scan's, on every way through the transform and through the pool. */
#include "pool_fixture.h"

#include <math.h>

#include "libpipe/img/codec.h"
#include "libpipe/img/pdq_core.h"

enum { NEAR = 6 };

static struct pl_image picture(uint32_t w, uint32_t h, uint32_t channels)
{
	struct pl_image im;
	assert_int_equal(pl_image_init(&im, w, h, channels), PL_REASON_KEEP);
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++)
			for (uint32_t c = 0; c < channels; c++) {
				const double u = (x + 0.5) / w, v = (y + 0.5) / h;
				double s = 128;
				for (int k = 1; k < 14; k++)
					s += 90.0 / (k + 2) * sin(k * 9.1 * u + k * k * 1.7 + c * 0.1) * cos(k * 7.3 * v + k * 2.9);
				im.pixels[((size_t)y * w + x) * channels + c] = (uint8_t)(s < 0 ? 0 : s > 255 ? 255 : s);
			}
	return im;
}

static uint8_t *encoded(uint32_t w, uint32_t h, uint32_t channels, enum pl_format f, size_t *len)
{
	const struct pl_img_encode how = { f, f == PL_FORMAT_PNG ? 1 : 90, 2 };
	struct pl_image im = picture(w, h, channels);
	uint8_t *bytes;
	assert_int_equal(pl_img_encode(&im, &how, &bytes, len), PL_REASON_KEEP);
	pl_image_release(&im);
	return bytes;
}

/* Bits between the transform's hash and the scan's; a transform without a hash must make the same bytes. */
static int off_by(const uint8_t *data, size_t len, struct pl_resize r)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	struct pl_pdq want;
	struct pl_resized with, without;
	static const struct pl_pdq none;
	assert_int_equal(pl_img_probe(data, len, &lim, &info), PL_REASON_KEEP);
	assert_int_equal(pl_img_hash(data, len, &info, &lim, PL_HASH_PDQ_AA, &want), PL_REASON_KEEP);
	r.hash = false;
	assert_int_equal(pl_img_transform(data, len, &lim, &r, &without), PL_REASON_KEEP);
	r.hash = true;
	assert_int_equal(pl_img_transform(data, len, &lim, &r, &with), PL_REASON_KEEP);
	assert_memory_equal(&without.pdq, &none, sizeof(none));
	assert_int_equal(with.len, without.len);
	assert_int_equal(with.passthrough, without.passthrough);
	if (with.len > 0)
		assert_memory_equal(with.bytes, without.bytes, with.len);
	assert_in_range(with.pdq.quality + 5, want.quality, want.quality + 10);
	free(with.bytes);
	free(without.bytes);
	return pl_hamming256(with.pdq.bits, want.bits);
}

static struct pl_resize to(enum pl_format format, uint32_t size)
{
	return (struct pl_resize){ .policy = PL_POLICY_KEEP_RATIO,
		.size = size,
		.format = format,
		.encode = { .quality = format == PL_FORMAT_PNG ? 1 : 90 } };
}

/* Odd sizes: a reduced picture ends inside its last pixel. */
static void test_ways(void **state)
{
	static const struct { uint32_t w, h, size; int most; } cases[] = {
		{ 501, 375, 256, NEAR }, { 501, 375, 90, NEAR }, { 1003, 779, 90, NEAR }, { 2005, 1507, 64, NEAR },
		/* What is left of these is too small for a hash: a decode of its own, the scan's. */
		{ 2005, 1507, 16, 0 }, { 3001, 401, 8, 0 },
	};
	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		size_t len;
		uint8_t *jpeg = encoded(cases[i].w, cases[i].h, 3, PL_FORMAT_JPEG, &len);
		assert_in_range(off_by(jpeg, len, to(PL_FORMAT_JPEG, cases[i].size)), 0, cases[i].most);
		assert_in_range(off_by(jpeg, len, to(PL_FORMAT_WEBP, cases[i].size)), 0, cases[i].most);
		assert_in_range(off_by(jpeg, len, to(PL_FORMAT_PNG, cases[i].size)), 0, NEAR);
		free(jpeg);
	}
}

static void test_other_formats_and_pass_through(void **state)
{
	static const enum pl_format formats[] = { PL_FORMAT_PNG, PL_FORMAT_WEBP, PL_FORMAT_JPEG };
	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(formats); i++)
		for (uint32_t channels = 1; channels <= 3; channels += 2) {
			const struct pl_resize same = { .policy = PL_POLICY_NONE };
			size_t len;
			uint8_t *bytes = encoded(803, 611, channels, formats[i], &len);
			assert_int_equal(off_by(bytes, len, same), 0);
			if (formats[i] != PL_FORMAT_JPEG)
				assert_int_equal(off_by(bytes, len, to(PL_FORMAT_JPEG, 100)), 0);
			free(bytes);
		}
}

/* Too small for a hash, and the least that has one. */
static void test_tiny(void **state)
{
	static const struct pl_pdq none;
	const struct pl_img_limits lim = pl_img_limits_default();
	(void)state;
	for (uint32_t side = 4; side <= 5; side++) {
		struct pl_resize r = to(PL_FORMAT_JPEG, 32);
		struct pl_resized got;
		size_t len;
		uint8_t *bytes = encoded(side, 40, 3, PL_FORMAT_JPEG, &len);
		r.hash = true;
		assert_int_equal(pl_img_transform(bytes, len, &lim, &r, &got), PL_REASON_KEEP);
		assert_int_equal(memcmp(&got.pdq, &none, sizeof(none)) == 0, side == 4);
		free(got.bytes);
		free(bytes);
	}
}

/* A plane whose rows lie further apart than it is wide, and what is under the extent alone, counts. */
static void test_plane(void **state)
{
	enum { W = 205, H = 133, STRIDE = 224 };
	struct pl_image im = picture(W, H, 1);
	float grid[PL_PDQ_GRID * PL_PDQ_GRID], wide[PL_PDQ_GRID * PL_PDQ_GRID];
	uint8_t *block = malloc(STRIDE * H);
	struct pl_plane plane = { block, STRIDE, W, H, W - 0.5, H - 0.25 };
	(void)state;
	assert_non_null(block);
	memset(block, 0xFF, STRIDE * H);
	for (size_t y = 0; y < H; y++)
		memcpy(block + y * STRIDE, im.pixels + y * W, W);
	assert_int_equal(pl_pdq_grid_of(&plane, 1, wide), PL_REASON_KEEP);
	plane.data = im.pixels;
	plane.stride = W;
	assert_int_equal(pl_pdq_grid_of(&plane, 1, grid), PL_REASON_KEEP);
	assert_memory_equal(grid, wide, sizeof(grid));
	plane.extent_w = W;
	assert_int_equal(pl_pdq_grid_of(&plane, 1, wide), PL_REASON_KEEP);
	assert_memory_not_equal(grid, wide, sizeof(grid));
	free(block);
	pl_image_release(&im);
}

static void test_text(void **state)
{
	static const struct { uint8_t quality; const char *text; } cases[] = { { 0, "   0" }, { 7, "   7" }, { 42, "  42" },
		{ 99, "  99" }, { 100, " 100" } };
	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		struct pl_pdq pdq = { .bits = { 0xA5 }, .quality = cases[i].quality };
		char hex[65], text[PL_PDQ_TEXT];
		pl_pdq_hex(pdq.bits, hex);
		pl_pdq_text(&pdq, text);
		assert_memory_equal(text, hex, 64);
		assert_string_equal(text + 64, cases[i].text);
	}
}

static struct pl_pool_result through(struct pl_pool *pool, const uint8_t *data, size_t len, bool hash)
{
	struct pl_pool_job job = { .op = PL_POOL_TRANSFORM, .data = data, .len = len, .resize = to(PL_FORMAT_JPEG, 100) };
	struct pl_pool_result r;
	struct pl_err err;
	bool ready = false;
	job.resize.hash = hash;
	assert_int_equal(pl_pool_submit(pool, &job, &err), PL_OK);
	assert_int_equal(pl_pool_next(pool, -1, &ready, &r, &err), PL_OK);
	assert_true(ready);
	return r;
}

static void test_pool(void **state)
{
	static const struct pl_pdq none;
	const struct pl_pool_config config = { .workers = 1, .limits = pl_img_limits_default() };
	struct pl_resize how = to(PL_FORMAT_JPEG, 100);
	struct pl_resized want;
	struct pl_pool_result r;
	struct pl_pool *pool;
	struct pl_err err;
	size_t len;
	uint8_t *bytes = encoded(501, 375, 3, PL_FORMAT_JPEG, &len);
	(void)state;
	how.hash = true;
	assert_int_equal(pl_img_transform(bytes, len, &config.limits, &how, &want), PL_REASON_KEEP);
	assert_int_equal(pl_pool_new(&pool, &config, &err), PL_OK);
	r = through(pool, bytes, len, true);
	assert_int_equal(r.reason, PL_REASON_KEEP);
	assert_memory_equal(&r.pdq, &want.pdq, sizeof(none));
	r = through(pool, bytes, len, false);
	assert_int_equal(r.reason, PL_REASON_KEEP);
	assert_memory_equal(&r.pdq, &none, sizeof(none));
	r = through(pool, bytes, len / 2, true);
	assert_int_equal(r.reason, PL_REASON_TRUNCATED);
	assert_memory_equal(&r.pdq, &none, sizeof(none));
	pl_pool_free(pool);
	free(want.bytes);
	free(bytes);
}

/* A worker that has been taken over: a hash nobody asked for is not handed on, a quality that is none costs the picture. */
static void test_forged(void **state)
{
	static const struct pl_pdq none;
	struct pl_pool *pool = new_pool(1, 4, 300);
	struct pl_pool_result r = through(pool, (const uint8_t *)"H", 1, false);
	(void)state;
	assert_int_equal(r.reason, PL_REASON_KEEP);
	assert_memory_equal(&r.pdq, &none, sizeof(none));
	r = through(pool, (const uint8_t *)"H", 1, true);
	assert_int_equal(r.reason, PL_REASON_KEEP);
	assert_int_equal(r.pdq.bits[PL_PDQ_BYTES - 1], 1);
	assert_int_equal(r.pdq.quality, 100);
	r = through(pool, (const uint8_t *)"Q", 1, true);
	assert_int_equal(r.reason, PL_REASON_CRASH);
	assert_memory_equal(&r.pdq, &none, sizeof(none));
	pl_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_other_formats_and_pass_through),
		cmocka_unit_test(test_tiny),
		cmocka_unit_test(test_plane),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_forged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
