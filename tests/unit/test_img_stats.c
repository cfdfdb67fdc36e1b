/* SPDX-License-Identifier: Apache-2.0 */
/* Image statistics against values worked out by hand, the same picture in other
 * sizes, JPEG qualities, and the DCT scale that scanning chooses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libpipe/base/file.h"
#include "libpipe/img/pdq_core.h"
#include "libpipe/img/pool.h"

enum { SIDE = PL_PDQ_GRID, CELLS = SIDE * SIDE };

static float grid[CELLS];

static struct pl_img_stats stats_now(void)
{
	struct pl_img_stats s;
	pl_img_stats_of_grid(grid, &s);
	assert_int_equal(s.jpeg_quality, 0);
	return s;
}

static void near(double got, double want, double tolerance)
{
	if (!(fabs(got - want) <= tolerance))
		fail_msg("%.9g is not %.9g +- %.3g", got, want, tolerance);
}

static void test_flat(void **state)
{
	(void)state;
	static const float levels[] = { 0, 100, 127.25f, 255 };
	for (size_t k = 0; k < 4; k++) {
		for (size_t i = 0; i < CELLS; i++)
			grid[i] = levels[k];
		struct pl_img_stats s = stats_now();
		near((double)s.mean, (double)levels[k], 0);
		assert_true(s.contrast <= 0 && s.edges <= 0 && s.blur <= 0 && s.entropy <= 0);
		assert_int_equal(s.blank, 1);
	}
}

static void test_checks(void **state)
{
	(void)state;
	for (size_t i = 0; i < CELLS; i++)
		grid[i] = (i / SIDE + i) % 2 ? 255 : 0;
	struct pl_img_stats s = stats_now();
	near((double)s.mean, 127.5, 0);
	near((double)s.contrast, (double)PL_STATS_MOST_CONTRAST, 0);
	near((double)s.entropy, 1, 1e-6);
	near((double)s.edges, 0, 0);
	near((double)s.blur, (double)PL_STATS_MOST_BLUR, 0);
	assert_int_equal(s.blank, 0);
}

static void test_ramps(void **state)
{
	(void)state;
	for (size_t i = 0; i < CELLS; i++)
		grid[i] = (float)(4 * (i % SIDE));
	struct pl_img_stats s = stats_now();
	near((double)s.mean, 126, 0);
	near((double)s.contrast, 4 * sqrt((64.0 * 64 - 1) / 12), 1e-4);
	near((double)s.entropy, 6, 1e-6);
	near((double)s.edges, 4, 1e-6);
	near((double)s.blur, 0, 0);
	for (size_t i = 0; i < CELLS; i++)
		grid[i] = (float)(i / SIDE) * 2.5f + (float)(i % SIDE);
	s = stats_now();
	near((double)s.edges, sqrt(2.5 * 2.5 + 1), 1e-5);
	near((double)s.blur, 0, 0);
}

/* Against the plain definitions in double precision. */
static void test_definitions(void **state)
{
	(void)state;
	static uint32_t counts[256];
	uint32_t seed = 7;
	double sum = 0, sum2 = 0, entropy = 0, gradient = 0, laplace = 0, laplace2 = 0;
	for (size_t i = 0; i < CELLS; i++) {
		seed = seed * 1664525u + 1013904223u;
		grid[i] = (float)((seed >> 20) % 4081) / 16;
		sum += (double)grid[i];
		sum2 += (double)grid[i] * (double)grid[i];
		counts[(size_t)((double)grid[i] + 0.5)]++;
	}
	for (size_t v = 0; v < 256; v++)
		if (counts[v] > 0)
			entropy -= counts[v] / 4096.0 * log2(counts[v] / 4096.0);
	for (size_t y = 1; y < SIDE - 1; y++)
		for (size_t x = 1; x < SIDE - 1; x++) {
			const float *p = grid + y * SIDE + x;
			double l = (double)p[1] + (double)p[-1] + (double)p[SIDE] + (double)p[-SIDE] - 4 * (double)*p;
			gradient += pow((double)p[1] - (double)p[-1], 2) / 4 +
			    pow((double)p[SIDE] - (double)p[-SIDE], 2) / 4;
			laplace += l;
			laplace2 += l * l;
		}
	const double n = 62 * 62;
	struct pl_img_stats s = stats_now();
	near((double)s.mean, sum / CELLS, 1e-4);
	near((double)s.contrast, sqrt(sum2 / CELLS - sum / CELLS * sum / CELLS), 1e-4);
	near((double)s.entropy, entropy, 1e-6);
	near((double)s.edges, sqrt(gradient / n), 1e-4);
	near((double)s.blur, laplace2 / n - laplace / n * laplace / n, 0.05);
}

static void test_blank(void **state)
{
	(void)state;
	for (int odd = 20; odd <= 21; odd++) {
		for (int i = 0; i < CELLS; i++)
			grid[i] = i < odd ? 200 : (float)(93 + i % 8);
		assert_int_equal(stats_now().blank, odd == 20);
	}
	for (int i = 0; i < CELLS; i++)
		grid[i] = (float)(93 + i % 9);
	assert_int_equal(stats_now().blank, 0);
}

static struct pl_image picture(uint32_t w, uint32_t h, uint32_t channels)
{
	struct pl_image im;
	assert_int_equal(pl_image_init(&im, w, h, channels), PL_REASON_KEEP);
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++) {
			double u = (x + 0.5) / w, v = (y + 0.5) / h, s = 120;
			for (int k = 1; k < 12; k++)
				s += 80.0 / (k + 1) * sin(k * 5.1 * u + k * k) * cos(k * 6.3 * v + k);
			uint8_t level = (uint8_t)(s < 0 ? 0 : s > 255 ? 255 : s);
			memset(im.pixels + ((size_t)y * w + x) * channels, level, channels);
		}
	return im;
}

static void scan_picture(uint32_t w, uint32_t h, enum pl_format format, int quality,
    enum pl_hash_recipe recipe, struct pl_pdq *hash, struct pl_img_stats *s)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	const struct pl_img_encode how = { .format = format, .quality = quality };
	struct pl_image im = picture(w, h, 3);
	struct pl_img_info info;
	uint8_t *bytes;
	size_t len;
	assert_int_equal(pl_img_encode(&im, &how, &bytes, &len), PL_REASON_KEEP);
	assert_int_equal(pl_img_probe(bytes, len, &lim, &info), PL_REASON_KEEP);
	assert_int_equal(pl_img_scan(bytes, len, &info, &lim, recipe, hash, s), PL_REASON_KEEP);
	free(bytes);
	pl_image_release(&im);
}

/* One picture in many sizes, formats and recipes has one set of numbers. */
static void test_sizes(void **state)
{
	(void)state;
	static const struct {
		uint32_t w, h;
		enum pl_format format;
		int quality;
		enum pl_hash_recipe recipe;
	} cases[] = { { 1203, 907, PL_FORMAT_JPEG, 90, PL_HASH_PDQ_AA },
		{ 511, 383, PL_FORMAT_JPEG, 80, PL_HASH_PDQ_AA },
		{ 257, 193, PL_FORMAT_JPEG, 95, PL_HASH_PDQ_AA },
		{ 127, 127, PL_FORMAT_JPEG, 95, PL_HASH_PDQ_AA },
		{ 128, 96, PL_FORMAT_PNG, 1, PL_HASH_PDQ_AA },
		{ 600, 800, PL_FORMAT_PNG, 1, PL_HASH_PDQ },
		{ 600, 800, PL_FORMAT_WEBP, 90, PL_HASH_PDQ_512 } };
	struct pl_img_stats want, s;
	struct pl_pdq first, hash;
	scan_picture(640, 480, PL_FORMAT_PNG, 1, PL_HASH_PDQ_AA, &first, &want);
	assert_true(want.blank == 0 && want.jpeg_quality == 0 && want.contrast > 10);
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		scan_picture(cases[i].w, cases[i].h, cases[i].format, cases[i].quality,
		    cases[i].recipe, &hash, &s);
		near((double)s.mean, (double)want.mean, 1);
		near((double)s.contrast, (double)want.contrast, 0.02 * (double)want.contrast);
		near((double)s.entropy, (double)want.entropy, 0.1);
		near((double)s.edges, (double)want.edges, 0.05 * (double)want.edges);
		near((double)s.blur, (double)want.blur, 0.15 * (double)want.blur + 1);
		assert_int_equal(s.jpeg_quality, cases[i].format == PL_FORMAT_JPEG ? cases[i].quality : 0);
		if (cases[i].recipe == PL_HASH_PDQ_AA)
			assert_true(pl_hamming256(first.bits, hash.bits) <= 10);
	}
}

static void test_tiny(void **state)
{
	(void)state;
	static const struct pl_pdq none = { { 0 }, 0 };
	struct pl_img_stats s;
	struct pl_pdq hash;
	for (uint32_t side = 1; side < 7; side++) {
		scan_picture(side, 7 - side, PL_FORMAT_JPEG, 90, PL_HASH_PDQ_AA, &hash, &s);
		assert_memory_equal(&hash, &none, sizeof(hash));
		assert_true(s.mean > 0 && isfinite(s.blur) && s.blur <= PL_STATS_MOST_BLUR);
	}
}

static void test_quality(void **state)
{
	(void)state;
	struct pl_image im = picture(40, 40, 3);
	for (int q = 1; q <= 100; q++) {
		const struct pl_img_encode how = { .format = PL_FORMAT_JPEG, .quality = q };
		uint8_t *bytes;
		size_t len;
		assert_int_equal(pl_img_encode(&im, &how, &bytes, &len), PL_REASON_KEEP);
		int got = pl_jpeg_quality(bytes, len);
		/* The coarsest tables are nearly all 255. */
		if (q > 1 ? got != q : got > 2)
			fail_msg("quality %d is read as %d", q, got);
		/* Every cut, in memory of just that size: nothing behind it is read. */
		for (size_t n = 0; q == 75 && n < len; n++) {
			uint8_t *cut = malloc(n ? n : 1);
			assert_non_null(cut);
			memcpy(cut, bytes, n);
			got = pl_jpeg_quality(cut, n);
			assert_true(got == 0 || got == 75);
			free(cut);
		}
		free(bytes);
	}
	pl_image_release(&im);
	assert_int_equal(pl_jpeg_quality((const uint8_t *)"\x89PNG\r\n\x1a\n", 8), 0);
}

static void test_pool(void **state)
{
	(void)state;
	const struct pl_img_encode how = { .format = PL_FORMAT_JPEG, .quality = 63 };
	const struct pl_pool_config config = { .workers = 1, .limits = pl_img_limits_default() };
	struct pl_image im = picture(300, 200, 3);
	struct pl_img_stats want;
	struct pl_pdq hash;
	struct pl_pool_result r;
	struct pl_pool *pool;
	struct pl_err err;
	uint8_t *bytes;
	size_t len;
	bool ready = false;
	assert_int_equal(pl_img_encode(&im, &how, &bytes, &len), PL_REASON_KEEP);
	struct pl_pool_job job = { .op = PL_POOL_SCAN, .data = bytes, .len = len };
	assert_int_equal(pl_pool_new(&pool, &config, &err), PL_OK);
	assert_int_equal(pl_pool_submit(pool, &job, &err), PL_OK);
	assert_int_equal(pl_pool_next(pool, -1, &ready, &r, &err), PL_OK);
	assert_true(ready && r.reason == PL_REASON_KEEP && r.info.frames == 1);
	scan_picture(300, 200, PL_FORMAT_JPEG, 63, PL_HASH_PDQ_AA, &hash, &want);
	assert_memory_equal(&hash, &r.pdq, sizeof(hash));
	near((double)r.stats.mean, (double)want.mean, 0);
	near((double)r.stats.contrast, (double)want.contrast, 0);
	near((double)r.stats.entropy, (double)want.entropy, 0);
	near((double)r.stats.edges, (double)want.edges, 0);
	near((double)r.stats.blur, (double)want.blur, 0);
	assert_int_equal(r.stats.jpeg_quality, 63);
	pl_pool_free(pool);
	free(bytes);
	pl_image_release(&im);
}

/* The scan's DCT scale costs at most two bits of the full picture's hash on average, and hardly
 * changes the statistics. */
static void test_scale(void **state)
{
	(void)state;
	const char *shared = getenv("PLAIT_SHARED_DATA");
	const struct pl_img_limits lim = pl_img_limits_default();
	const struct pl_img_decode luma = { 0, true };
	char path[4096], *tar = NULL;
	size_t len = 0;
	struct pl_err err;
	snprintf(path, sizeof(path), "%s/photos/imagenet-sample.tar", shared ? shared : "");
	if (!shared || pl_file_read(path, (size_t)1 << 30, &tar, &len, &err) != PL_OK) {
		print_message("PLAIT_SHARED_DATA has no photos/imagenet-sample.tar\n");
		skip();
	}
	double bits = 0, pictures = 0, contrast = 0, worst = 0;
	for (size_t at = 0; len - at > 1024 && tar[at] != 0;) {
		size_t size = (size_t)strtoull(tar + at + 124, NULL, 8);
		const uint8_t *data = (const uint8_t *)tar + at + 512;
		struct pl_img_info info;
		struct pl_image im;
		struct pl_img_stats s, full;
		struct pl_pdq a, b;
		at += 512 + (size + 511) / 512 * 512;
		assert_true(at <= len);
		if (pl_img_probe(data, size, &lim, &info) != PL_REASON_KEEP)
			continue;
		assert_int_equal(
		    pl_img_scan(data, size, &info, &lim, PL_HASH_PDQ_AA, &a, &s), PL_REASON_KEEP);
		assert_int_equal(
		    pl_img_decode(data, size, &info, &lim, &luma, &im), PL_REASON_KEEP);
		assert_int_equal(pl_pdq_aa(&im, &b), PL_REASON_KEEP);
		assert_int_equal(pl_pdq_grid(&im, im.width, im.height, grid), PL_REASON_KEEP);
		full = stats_now();
		pl_image_release(&im);
		bits += pl_hamming256(a.bits, b.bits);
		worst = fmax(worst, pl_hamming256(a.bits, b.bits));
		contrast += fabs((double)s.contrast / (double)full.contrast - 1);
		near((double)s.mean, (double)full.mean, 1);
		near((double)s.edges, (double)full.edges, 0.05 * (double)full.edges + 0.2);
		near((double)s.entropy, (double)full.entropy, 0.1);
		pictures++;
	}
	assert_true(pictures > 50);
	assert_true(bits / pictures <= 2 && worst <= 12);
	assert_true(contrast / pictures < 0.005);
	free(tar);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flat),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_ramps),
		cmocka_unit_test(test_definitions),
		cmocka_unit_test(test_blank),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_tiny),
		cmocka_unit_test(test_quality),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_scale),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
