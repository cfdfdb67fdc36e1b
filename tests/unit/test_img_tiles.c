/* SPDX-License-Identifier: Apache-2.0 */
/* Pixels of resolution policies: tiles are what the whole shows there, grounds
 * have their colour, pictures lie where they should, turned or not, in one pass through the pool as without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libpipe/img/planes.h"
#include "libpipe/img/pool_parent.h"

/* Smooth, no two places alike. */
static struct pl_image picture(uint32_t w, uint32_t h, uint32_t channels)
{
	struct pl_image im;
	assert_int_equal(pl_image_init(&im, w, h, channels), PL_REASON_KEEP);
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++)
			for (uint32_t c = 0; c < channels; c++)
				im.pixels[((size_t)y * w + x) * channels + c] =
				    (uint8_t)(40 + (x * 97 / w + y * 61 / h * (c + 1) + (x * 7 / w % 2) * 20) % 200);
	return im;
}

static uint8_t *encoded(const struct pl_image *im, enum pl_format format, int quality, size_t *len)
{
	const struct pl_img_encode how = { format, quality, 0 };
	uint8_t *out = NULL;
	assert_int_equal(pl_img_encode(im, &how, &out, len), PL_REASON_KEEP);
	return out;
}

static struct pl_image decoded(const uint8_t *data, size_t len)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	const struct pl_img_decode how = { 0 };
	struct pl_img_info info;
	struct pl_image im = { 0 };
	assert_int_equal(pl_img_probe(data, len, &lim, &info), PL_REASON_KEEP);
	assert_int_equal(pl_img_decode(data, len, &info, &lim, &how, &im), PL_REASON_KEEP);
	return im;
}

/* A JPEG with an EXIF orientation. */
static uint8_t *turned_jpeg(const struct pl_image *im, uint8_t orientation, size_t *len)
{
	static const uint8_t exif[] = { 0xFF, 0xE1, 0, 34, 'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1,
		3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	size_t n;
	uint8_t *plain = encoded(im, PL_FORMAT_JPEG, 98, &n), *bytes = malloc(n + sizeof(exif));
	assert_non_null(bytes);
	memcpy(bytes, plain, 2);
	memcpy(bytes + 2, exif, sizeof(exif));
	bytes[2 + 28] = orientation;
	memcpy(bytes + 2 + sizeof(exif), plain + 2, n - 2);
	free(plain);
	*len = n + sizeof(exif);
	return bytes;
}

static struct pl_resize settled(enum pl_policy policy, enum pl_format format)
{
	struct pl_resize r = { .policy = policy, .size = 336, .format = format,
		.encode = { format, format == PL_FORMAT_PNG ? 1 : 98, 0 } };
	pl_resize_settle(&r);
	return r;
}

static struct pl_resized transformed(const uint8_t *data, size_t len, const struct pl_resize *r)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_resized out;
	assert_int_equal(pl_img_transform(data, len, &lim, r, &out), PL_REASON_KEEP);
	return out;
}

/* How far a tile is from its part of the whole: mean of differences, and most. */
static double compare_tile(const struct pl_image *tile, const struct pl_image *whole, uint32_t x, uint32_t y, int *most)
{
	double sum = 0;
	assert_int_equal(tile->channels, whole->channels);
	for (uint32_t v = 0; v < tile->height; v++)
		for (size_t i = 0; i < (size_t)tile->width * tile->channels; i++) {
			const int a = tile->pixels[(size_t)v * tile->width * tile->channels + i];
			const int b = whole->pixels[((size_t)(y + v) * whole->width + x) * whole->channels + i];
			sum += abs(a - b);
			*most = abs(a - b) > *most ? abs(a - b) : *most;
		}
	return sum / ((double)tile->width * tile->height * tile->channels);
}

/* Tiles against what write: whole makes: the same pixels where nothing lossy comes after, nearly where it does. */
static void check_tiles(const uint8_t *data, size_t len, struct pl_resize r)
{
	const bool exact = r.format == PL_FORMAT_PNG;
	struct pl_resized tiles = transformed(data, len, &r);
	r.write = PL_WRITE_WHOLE;
	struct pl_resized one = transformed(data, len, &r);
	struct pl_image whole = decoded(one.bytes, one.len);
	assert_int_equal(one.columns, 0);
	assert_int_equal(whole.width, tiles.columns * tiles.tile_w);
	assert_int_equal(whole.height, tiles.rows * tiles.tile_h);
	for (uint32_t i = 0; i < tiles.columns * tiles.rows; i++) {
		struct pl_image tile = decoded(tiles.tiles[i].bytes, tiles.tiles[i].len);
		int most = 0;
		assert_true(tile.width == tiles.tile_w && tile.height == tiles.tile_h);
		const double mean = compare_tile(&tile, &whole, i % tiles.columns * tile.width, i / tiles.columns * tile.height, &most);
		if (exact ? most > 0 : mean > 1.5)
			fail_msg("policy %d, tile %u: %g on average, %d at most", (int)r.policy, i, mean, most);
		pl_image_release(&tile);
	}
	struct pl_image overview = decoded(tiles.bytes, tiles.len);
	assert_true(overview.width == tiles.width && overview.height == tiles.height);
	pl_image_release(&overview);
	pl_image_release(&whole);
	pl_resized_release(&tiles);
	pl_resized_release(&one);
}

static void test_tiles_of_whole(void **state)
{
	(void)state;
	static const enum pl_policy policies[] = { PL_POLICY_ANYRES, PL_POLICY_UHD_SLICES, PL_POLICY_WINDOWS };
	struct pl_image im = picture(701, 433, 3), grey = picture(433, 701, 1);
	size_t n, m, g;
	uint8_t *jpeg = encoded(&im, PL_FORMAT_JPEG, 95, &n), *png = encoded(&im, PL_FORMAT_PNG, 1, &m);
	uint8_t *grey_png = encoded(&grey, PL_FORMAT_PNG, 1, &g);
	for (size_t i = 0; i < PL_ARRAY_LEN(policies); i++) {
		check_tiles(jpeg, n, settled(policies[i], PL_FORMAT_PNG));
		check_tiles(png, m, settled(policies[i], PL_FORMAT_PNG));
		check_tiles(grey_png, g, settled(policies[i], PL_FORMAT_PNG));
		check_tiles(jpeg, n, settled(policies[i], PL_FORMAT_JPEG));
		check_tiles(jpeg, n, settled(policies[i], PL_FORMAT_WEBP));
		check_tiles(png, m, settled(policies[i], PL_FORMAT_WEBP));
	}
	/* Odd tiles: chroma begins between the luma's pairs. */
	struct pl_resize odd = settled(PL_POLICY_ANYRES, PL_FORMAT_JPEG);
	odd.tile = 151;
	check_tiles(jpeg, n, odd);
	for (uint8_t o = 2; o <= 8; o++) {
		size_t k;
		uint8_t *turned = turned_jpeg(&im, o, &k);
		check_tiles(turned, k, odd);
		check_tiles(turned, k, settled(PL_POLICY_ANYRES, PL_FORMAT_PNG));
		free(turned);
	}
	free(jpeg);
	free(png);
	free(grey_png);
	pl_image_release(&im);
	pl_image_release(&grey);
}

/* The whole of a grid against the picture scaled by itself. */
static void test_placement(void **state)
{
	(void)state;
	struct pl_image im = picture(700, 420, 3), scaled;
	size_t n;
	uint8_t *png = encoded(&im, PL_FORMAT_PNG, 1, &n);
	struct pl_resize r = settled(PL_POLICY_ANYRES, PL_FORMAT_PNG);
	r.write = PL_WRITE_WHOLE;
	struct pl_resized out = transformed(png, n, &r);
	struct pl_image got = decoded(out.bytes, out.len);
	assert_true(got.width == 672 && got.height == 672);
	assert_int_equal(pl_img_resample(&im, 672, 404, PL_FILTER_LANCZOS, &scaled), PL_REASON_KEEP);   /* ceil(403.2) */
	for (size_t y = 0; y < 672; y++)
		for (size_t i = 0; i < (size_t)672 * 3; i++) {
			const bool inside = y >= 134 && y < 134 + 404;
			const int want = inside ? scaled.pixels[(y - 134) * 672 * 3 + i] : 0;
			if (got.pixels[y * 672 * 3 + i] != want)
				fail_msg("row %zu, sample %zu: %d, not %d", y, i, got.pixels[y * 672 * 3 + i], want);
		}
	pl_image_release(&got);
	pl_image_release(&scaled);
	pl_resized_release(&out);
	free(png);
	pl_image_release(&im);
}

static void assert_near(const struct pl_image *im, uint32_t x, uint32_t y, const uint8_t want[3], int most)
{
	for (uint32_t c = 0; c < 3; c++) {
		const int got = im->pixels[((size_t)y * im->width + x) * im->channels + (im->channels == 3 ? c : 0)];
		if (abs(got - want[c]) > most)
			fail_msg("%u, %u: channel %u is %d, not %d", x, y, c, got, want[c]);
	}
}

static struct pl_image made(const uint8_t *data, size_t len, const struct pl_resize *r)
{
	struct pl_resized out = transformed(data, len, r);
	struct pl_image im = decoded(out.bytes, out.len);
	pl_resized_release(&out);
	return im;
}

/* A picture of 400 x 200, or 200 x 400, on a square of 336. */
static void check_padded(const uint8_t *data, size_t len, enum pl_format format, bool tall)
{
	static const uint8_t mean[3] = { 122, 116, 104 }, white[3] = { 255, 255, 255 };
	const int most = format == PL_FORMAT_PNG ? 0 : 4;
	struct pl_resize r = settled(PL_POLICY_PAD_MEAN, format);
	struct pl_image got = made(data, len, &r);
	assert_true(got.width == 336 && got.height == 336);
	for (uint32_t k = 0; k < 336; k += 15) {
		assert_near(&got, tall ? 3 : k, tall ? k : 3, mean, most);
		assert_near(&got, tall ? 330 : k, tall ? k : 330, mean, most);
	}
	/* It becomes 336 x 168, from 84 to 252. */
	const size_t corner = ((size_t)(tall ? 1 : 85) * 336 + (tall ? 85 : 1)) * got.channels;
	assert_true(abs(got.pixels[corner] - mean[0]) > 40);
	pl_image_release(&got);
	r = settled(PL_POLICY_BORDER, format);
	got = made(data, len, &r);
	assert_near(&got, 1, 1, white, most);
	pl_image_release(&got);
}

/* In patches of 30: 420 x 210, the picture in the corner. */
static void check_patches(const uint8_t *data, size_t len, enum pl_format format, bool tall)
{
	static const uint8_t one[3] = { 1, 1, 1 }, own[3] = { 10, 200, 30 };
	const int most = format == PL_FORMAT_PNG ? 0 : 4;
	struct pl_resize r = settled(PL_POLICY_PATCH_MULTIPLE, format);
	struct pl_image got = made(data, len, &r);
	assert_true(got.width == (tall ? 210 : 420) && got.height == (tall ? 420 : 210));
	assert_near(&got, tall ? 205 : 415, 5, one, most);
	assert_near(&got, 5, tall ? 415 : 205, one, most);
	assert_true(got.pixels[0] >= 36);
	pl_image_release(&got);
	r.pad_set = true;
	memcpy(r.pad, own, 3);
	got = made(data, len, &r);
	assert_near(&got, tall ? 205 : 415, 5, own, most);
	pl_image_release(&got);
}

static void test_grounds(void **state)
{
	(void)state;
	static const enum pl_format formats[] = { PL_FORMAT_PNG, PL_FORMAT_JPEG, PL_FORMAT_WEBP };
	struct pl_image im = picture(400, 200, 3), grey = picture(200, 400, 1);
	size_t n, m, g;
	uint8_t *jpeg = encoded(&im, PL_FORMAT_JPEG, 95, &n), *png = encoded(&im, PL_FORMAT_PNG, 1, &m);
	uint8_t *grey_png = encoded(&grey, PL_FORMAT_PNG, 1, &g);
	for (size_t i = 0; i < PL_ARRAY_LEN(formats); i++) {
		check_padded(jpeg, n, formats[i], false);
		check_padded(png, m, formats[i], false);
		check_padded(grey_png, g, formats[i], true);
		check_patches(jpeg, n, formats[i], false);
		check_patches(png, m, formats[i], false);
		check_patches(grey_png, g, formats[i], true);
	}
	free(jpeg);
	free(png);
	free(grey_png);
	pl_image_release(&im);
	pl_image_release(&grey);
}

/* A tile that no part of the picture reaches is all ground. */
static void test_empty_tile(void **state)
{
	(void)state;
	static const uint8_t own[3] = { 200, 10, 40 };
	struct pl_image im = picture(20, 900, 3);
	for (int planar = 0; planar < 2; planar++) {
		const enum pl_format format = planar ? PL_FORMAT_JPEG : PL_FORMAT_PNG;
		size_t n;
		uint8_t *bytes = encoded(&im, format, planar ? 95 : 1, &n);
		struct pl_resize r = settled(PL_POLICY_ANYRES, format);
		r.tile = 64;
		r.ngrids = 1;
		r.grids[0].columns = 5;
		r.grids[0].rows = 2;
		r.pad_set = true;
		memcpy(r.pad, own, 3);
		check_tiles(bytes, n, r);
		struct pl_resized out = transformed(bytes, n, &r);
		assert_int_equal(out.columns * out.rows, 10);
		for (uint32_t i = 0; i < 10; i++) {
			struct pl_image tile = decoded(out.tiles[i].bytes, out.tiles[i].len);
			assert_near(&tile, 1, 30, own, planar ? 4 : 0);
			assert_near(&tile, 62, 30, own, planar ? 4 : 0);
			if (i % 5 != 2)
				assert_near(&tile, 32, 30, own, planar ? 4 : 0);
			pl_image_release(&tile);
		}
		pl_resized_release(&out);
		free(bytes);
	}
	pl_image_release(&im);
}

/* The same bytes from scalar and vector code. */
static void test_everywhere(void **state)
{
	(void)state;
	struct pl_image im = picture(517, 389, 3);
	for (int way = 0; way < 4; way++) {
		size_t n;
		uint8_t *bytes = encoded(&im, way % 2 ? PL_FORMAT_JPEG : PL_FORMAT_PNG, way % 2 ? 90 : 1, &n);
		const struct pl_resize r = settled(way < 2 ? PL_POLICY_ANYRES : PL_POLICY_UHD_SLICES, way % 2 ? PL_FORMAT_JPEG : PL_FORMAT_PNG);
		assert_true(pl_resample_force(PL_SIMD_SCALAR));
		struct pl_resized plain = transformed(bytes, n, &r);
		for (enum pl_simd level = PL_SIMD_AVX2; level <= PL_SIMD_AVX512; level++) {
			if (!pl_resample_force(level))
				continue;
			struct pl_resized other = transformed(bytes, n, &r);
			assert_int_equal(other.len, plain.len);
			assert_memory_equal(other.bytes, plain.bytes, plain.len);
			for (uint32_t i = 0; i < plain.columns * plain.rows; i++) {
				assert_int_equal(other.tiles[i].len, plain.tiles[i].len);
				assert_memory_equal(other.tiles[i].bytes, plain.tiles[i].bytes, plain.tiles[i].len);
			}
			pl_resized_release(&other);
		}
		assert_true(pl_resample_force(PL_SIMD_NONE));
		pl_resized_release(&plain);
		free(bytes);
	}
	pl_image_release(&im);
}

static void test_limits(void **state)
{
	(void)state;
	struct pl_img_limits lim = pl_img_limits_default();
	struct pl_image im = picture(300, 200, 3), thin = picture(402, 2, 3);
	size_t n, m;
	uint8_t *png = encoded(&im, PL_FORMAT_PNG, 1, &n), *sliver = encoded(&thin, PL_FORMAT_PNG, 1, &m);
	struct pl_resize r = settled(PL_POLICY_ANYRES, PL_FORMAT_PNG);
	struct pl_resized out;
	lim.max_pixels = 400 * 400;
	assert_int_equal(pl_img_transform(png, n, &lim, &r, &out), PL_REASON_BOMB);   /* 336 x 672 */
	r.write = PL_WRITE_WHOLE;
	assert_int_equal(pl_img_transform(png, n, &lim, &r, &out), PL_REASON_BOMB);
	assert_null(out.tiles);
	r = settled(PL_POLICY_SMART_RESIZE, PL_FORMAT_PNG);
	assert_int_equal(pl_img_transform(sliver, m, &lim, &r, &out), PL_REASON_TOO_SMALL);
	/* What fits already is passed on as it is. */
	pl_image_release(&thin);
	thin = picture(280, 140, 3);
	free(sliver);
	sliver = encoded(&thin, PL_FORMAT_PNG, 1, &m);
	assert_int_equal(pl_img_transform(sliver, m, &lim, &r, &out), PL_REASON_KEEP);
	assert_true(out.passthrough && out.bytes == NULL && out.width == 280);
	free(png);
	free(sliver);
	pl_image_release(&im);
	pl_image_release(&thin);
}

static void test_pool(void **state)
{
	(void)state;
	const struct pl_pool_config config = { .workers = 1, .limits = { .max_bytes = 1 << 20, .max_pixels = 100000000,
		.max_side = 65500, .timeout_ms = 20000, .max_memory = (uint64_t)1 << 30 } };
	struct pl_image im = picture(600, 450, 3);
	size_t n;
	uint8_t *jpeg = encoded(&im, PL_FORMAT_JPEG, 90, &n);
	struct pl_pool *pool = NULL;
	struct pl_err err = { 0 };
	assert_int_equal(pl_pool_new(&pool, &config, &err), PL_OK);
	for (int i = 0; i < 3; i++) {
		struct pl_resize r = settled(PL_POLICY_ANYRES, i == 2 ? PL_FORMAT_PNG : PL_FORMAT_JPEG);
		r.write = i == 1 ? PL_WRITE_TILES : PL_WRITE_TILES_OVERVIEW;
		r.encode.quality = i == 2 ? 0 : 90;   /* stored: beyond max_bytes together, not each */
		const struct pl_pool_job job = { .op = PL_POOL_TRANSFORM, .data = jpeg, .len = n, .resize = r, .tag = 5 };
		struct pl_pool_result got;
		bool ready = false;
		assert_int_equal(pl_pool_submit(pool, &job, &err), PL_OK);
		assert_int_equal(pl_pool_next(pool, -1, &ready, &got, &err), PL_OK);
		assert_true(ready && got.tag == 5);
		if (i == 2) {
			assert_int_equal(got.reason, PL_REASON_TOO_LARGE);
			continue;
		}
		struct pl_resized want = transformed(jpeg, n, &r);
		size_t at = got.len;
		assert_int_equal(got.reason, PL_REASON_KEEP);
		assert_true(got.columns == 2 && got.rows == 2 && got.tile_w == 336 && got.tile_h == 336 && !got.passthrough);
		assert_int_equal(got.width, i == 1 ? 0 : 336);
		assert_int_equal(got.len, want.len);
		if (want.len)
			assert_memory_equal(got.data, want.bytes, want.len);
		for (uint32_t k = 0; k < 4; at += got.tile_len[k++]) {
			assert_int_equal(got.tile_len[k], want.tiles[k].len);
			assert_memory_equal(got.data + at, want.tiles[k].bytes, want.tiles[k].len);
		}
		pl_resized_release(&want);
	}
	pl_pool_free(pool);
	free(jpeg);
	pl_image_release(&im);
}

/* What a worker says of tiles that honest work does not. */
static void test_forged(void **state)
{
	(void)state;
	static struct pl_pool pool;
	const struct pl_pool_entry entry = { .op = PL_POOL_TRANSFORM };
	const struct pl_pool_reply honest = { .len = 100, .has_info = 1, .orientation = 1, .width = 5, .height = 5, .columns = 2, .rows = 1,
		.tile_w = 5, .tile_h = 5, .tile_len = { 30, 40 } };
	struct pl_pool_reply r = honest;
	struct pl_pool_result got;
	pool.sh.out_cap = 1000;
	pool.entries = &(struct pl_pool_entry){ .op = PL_POOL_TRANSFORM };
	assert_true(pl_pool_reply_valid(&pool, &entry, &r));
	pl_pool_take_reply(&pool, 0, &r, &got);
	assert_true(got.len == 30 && got.tile_len[0] == 30 && got.tile_len[1] == 40);
	r.len = 70;
	assert_true(pl_pool_reply_valid(&pool, &entry, &r));   /* tiles only */
	r.width = r.height = 0;
	assert_true(pl_pool_reply_valid(&pool, &entry, &r));
	r.len = 71;
	assert_false(pl_pool_reply_valid(&pool, &entry, &r));  /* a picture without a size */
	r = honest;
	r.len = 69;
	assert_false(pl_pool_reply_valid(&pool, &entry, &r));
	r = honest;
	r.tile_len[1] = UINT64_MAX - 29;
	assert_false(pl_pool_reply_valid(&pool, &entry, &r));
	r = honest;
	r.tile_len[0] = 0;
	assert_false(pl_pool_reply_valid(&pool, &entry, &r));
	r = honest;
	r.columns = 65536;
	r.rows = 65536;
	assert_false(pl_pool_reply_valid(&pool, &entry, &r));
	r.columns = 13;
	r.rows = 5;
	assert_false(pl_pool_reply_valid(&pool, &entry, &r));
	r = honest;
	r.rows = 0;
	assert_false(pl_pool_reply_valid(&pool, &entry, &r));
	r = honest;
	r.tile_w = 0;
	assert_false(pl_pool_reply_valid(&pool, &entry, &r));
	r = honest;
	r.len = 1001;
	assert_false(pl_pool_reply_valid(&pool, &entry, &r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tiles_of_whole),
		cmocka_unit_test(test_placement),
		cmocka_unit_test(test_grounds),
		cmocka_unit_test(test_empty_tile),
		cmocka_unit_test(test_everywhere),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_forged),
	};
	return cmocka_run_group_tests_name("img tiles", tests, NULL, NULL);
}
