/* SPDX-License-Identifier: Apache-2.0 */
/* Our own decoder on progressive JPEG against libjpeg: every such file of the
 * shared data, scan scripts of every kind, and files that are not its business. */
#include "tests/unit/jpeg_made.h"

/* ---- scan scripts ---- */

/* As mozjpeg: DCs one by one, luma in two bands and two bits, chroma at once. */
static const jpeg_scan_info moz[] = { { 1, { 0 }, 0, 0, 0, 0 }, { 1, { 1 }, 0, 0, 0, 0 },
	{ 1, { 2 }, 0, 0, 0, 0 }, { 1, { 0 }, 1, 8, 0, 2 }, { 1, { 0 }, 9, 63, 0, 2 },
	{ 1, { 0 }, 1, 63, 2, 1 }, { 1, { 0 }, 1, 63, 1, 0 }, { 1, { 1 }, 1, 2, 0, 0 },
	{ 1, { 1 }, 3, 63, 0, 0 }, { 1, { 2 }, 1, 63, 0, 0 } };
/* Bands alone, no bit by bit; the higher before the lower, chroma before luma. */
static const jpeg_scan_info bands[] = { { 3, { 0, 1, 2 }, 0, 0, 0, 0 },
	{ 1, { 2 }, 20, 63, 0, 0 }, { 1, { 2 }, 1, 19, 0, 0 }, { 1, { 1 }, 1, 63, 0, 0 },
	{ 1, { 0 }, 63, 63, 0, 0 }, { 1, { 0 }, 6, 62, 0, 0 }, { 1, { 0 }, 2, 5, 0, 0 },
	{ 1, { 0 }, 1, 1, 0, 0 } };
/* Bit by bit from the fifth, with bands that do not match from bit to bit, DCs of two together. */
static const jpeg_scan_info deep[] = { { 1, { 0 }, 0, 0, 0, 2 }, { 2, { 1, 2 }, 0, 0, 0, 1 },
	{ 1, { 0 }, 0, 0, 2, 1 }, { 3, { 0, 1, 2 }, 0, 0, 1, 0 }, { 1, { 0 }, 1, 63, 0, 5 },
	{ 1, { 0 }, 1, 63, 5, 4 }, { 1, { 0 }, 1, 5, 4, 3 }, { 1, { 0 }, 6, 63, 4, 3 },
	{ 1, { 0 }, 1, 30, 3, 2 }, { 1, { 0 }, 31, 63, 3, 2 }, { 1, { 0 }, 1, 63, 2, 1 },
	{ 1, { 0 }, 1, 63, 1, 0 }, { 1, { 1 }, 1, 63, 0, 1 }, { 1, { 2 }, 1, 63, 0, 2 },
	{ 1, { 1 }, 1, 63, 1, 0 }, { 1, { 2 }, 1, 63, 2, 1 }, { 1, { 2 }, 1, 63, 1, 0 } };
static const jpeg_scan_info grey[] = { { 1, { 0 }, 0, 0, 0, 1 }, { 1, { 0 }, 1, 9, 0, 1 },
	{ 1, { 0 }, 10, 63, 0, 0 }, { 1, { 0 }, 0, 0, 1, 0 }, { 1, { 0 }, 1, 9, 1, 0 } };
/* Bits or coefficients that never come: libjpeg smooths. */
static const jpeg_scan_info no_bit[] = { { 3, { 0, 1, 2 }, 0, 0, 0, 0 }, { 1, { 0 }, 1, 63, 0, 1 },
	{ 1, { 1 }, 1, 63, 0, 0 }, { 1, { 2 }, 1, 63, 0, 0 } };
static const jpeg_scan_info no_band[] = { { 3, { 0, 1, 2 }, 0, 0, 0, 0 },
	{ 1, { 0 }, 1, 63, 0, 0 }, { 1, { 1 }, 1, 5, 0, 0 }, { 1, { 2 }, 1, 63, 0, 0 } };
static const jpeg_scan_info dc_alone[] = { { 3, { 0, 1, 2 }, 0, 0, 0, 0 } };

#define SCRIPT(s) { PL_ARRAY_LEN(s), s }
static const struct script simple = { 0, NULL };
static const struct script colour[] = { { 0, NULL }, SCRIPT(moz), SCRIPT(bands), SCRIPT(deep) };
static const struct script grey_scripts[] = { { 0, NULL }, SCRIPT(grey) };
static const struct script lacking[] = { SCRIPT(no_bit), SCRIPT(no_band), SCRIPT(dc_alone) };

static const int factors[][2] = { { 1, 1 }, { 2, 1 }, { 2, 2 }, { 1, 2 }, { 4, 1 }, { 4, 2 },
	{ 1, 4 }, { 3, 1 } };

static void test_made(void **state)
{
	(void)state;
	uint32_t seed = 5;
	for (int i = 0; i < 1500 / STEP; i++) {
		const int *f = factors[draw(&seed) % PL_ARRAY_LEN(factors)];
		struct recipe r = { .w = 1 + draw(&seed) % 67, .h = 1 + draw(&seed) % 45,
			.seed = draw(&seed), .quality = 1 + i % 100, .across = f[0], .down = f[1],
			.components = draw(&seed) % 5 ? 3 : 1,
			.restart = draw(&seed) % 3 ? 0 : (int)(draw(&seed) % 9),
			.noise = (uint8_t)(draw(&seed) % 3 ? draw(&seed) % 40 : draw(&seed) % 256) };
		r.script = r.components == 3 ? &colour[draw(&seed) % PL_ARRAY_LEN(colour)]
					     : &grey_scripts[draw(&seed) % PL_ARRAY_LEN(grey_scripts)];
		size_t len;
		uint8_t *data = jpeg(&r, &len);
		const struct pl_img_info info = probed(data, len);
		assert_true(info.progressive);
		const bool mine = same_at_every_level(data, len, &info);
		if (!mine)
			print_message("%ux%u, quality %d, %d:%d, restart %d\n", r.w, r.h, r.quality,
			    r.across, r.down, r.restart);
		assert_true(mine);
		assert_same_in_rgb(data, len, &info, r.components == 3 && f[0] == 1 && f[1] == 1);
		free(data);
	}
}

/* Long enough for the largest tables; blocks with 63 coefficients, runs of empty blocks that need a
 * long count. */
static void test_large(void **state)
{
	(void)state;
	for (size_t s = 0; s < PL_ARRAY_LEN(colour); s++)
		for (int quality = 4; quality <= 100; quality += 32)
			for (int noise = 0; noise < 256; noise += 85) {
				const struct recipe r = { .w = 256, .h = noise ? 200 : 1200,
					.seed = (uint32_t)noise, .quality = quality, .across = 2,
					.down = 2, .components = 3, .script = &colour[s],
					.noise = (uint8_t)noise };
				size_t len;
				uint8_t *data = jpeg(&r, &len);
				const struct pl_img_info info = probed(data, len);
				assert_true(same_at_every_level(data, len, &info));
				free(data);
			}
}

static void test_wild_coefficients(void **state)
{
	(void)state;
	size_t mine = 0;
	for (uint32_t i = 0; i < 600 / STEP; i++) {
		size_t len;
		uint8_t *data = wild(i, &colour[i / 8 % PL_ARRAY_LEN(colour)], &len);
		const struct pl_img_info info = probed(data, len);
		mine += same_at_every_level(data, len, &info);
		free(data);
	}
	assert_true(mine > 100 / STEP);
}

static void test_shared(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		size_t least; /* of those files there */
	} folders[] = { { "photos", 0 }, { "cc3m", 30 }, { "formats", 1 }, { "llava", 0 },
		{ "mmc4", 20 }, { "hostile", 0 } };
	for (size_t i = 0; i < PL_ARRAY_LEN(folders); i++) {
		struct tally t = { .progressive = true, .every_level = true,
			.sample = folders[i].least > 1 };
		meet_shared(folders[i].name, &t);
		assert_true(t.met >= folders[i].least);
		assert_true(folders[i].least == 0 || t.mine * 10 * (t.sample ? STEP : 1) > t.met * 8);
	}
}

/* ---- not ours ---- */

static void test_every_length(void **state)
{
	(void)state;
	static const int restart[] = { 0, 1 };
	for (size_t i = 0; i < PL_ARRAY_LEN(restart); i++) {
		const struct recipe r = { .w = 40, .h = 30, .quality = 80, .across = 2, .down = 2,
			.components = 3, .restart = restart[i], .noise = 60, .script = &simple };
		size_t len;
		uint8_t *data = jpeg(&r, &len);
		const struct pl_img_info info = probed(data, len);
		for (size_t n = 0; n < len; n++)
			assert_false(is_mine(data, n, &info));
		assert_true(is_mine(data, len, &info));
		free(data);
	}
}

/* Cut, or with a scan that lacks, but ended as it should be. */
static void test_scans_lack(void **state)
{
	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(lacking); i++) {
		const struct recipe r = { .w = 40, .h = 30, .quality = 80, .across = 2, .down = 1,
			.components = 3, .noise = 60, .script = &lacking[i] };
		size_t len;
		uint8_t *data = jpeg(&r, &len);
		const struct pl_img_info info = probed(data, len);
		assert_false(is_mine(data, len, &info));
		free(data);
	}
	const struct recipe r = { .w = 40, .h = 30, .quality = 80, .across = 1, .down = 1,
		.components = 3, .noise = 60, .script = &simple };
	size_t len, ends = 0;
	uint8_t *data = jpeg(&r, &len);
	const struct pl_img_info info = probed(data, len);
	for (size_t at = marker_at(data, len, 0xDA) + 2; at + 2 < len; at++) {
		const uint8_t was[2] = { data[at], data[at + 1] };
		if (was[0] != 0xFF || (was[1] != 0xDA && was[1] != 0xC4))
			continue;
		data[at + 1] = 0xD9;
		assert_false(is_mine(data, at + 2, &info));
		data[at + 1] = was[1];
		ends++;
	}
	assert_true(ends > 8);
	free(data);
}

/* libjpeg might not have the memory. */
static void test_memory(void **state)
{
	(void)state;
	const struct recipe r = { .w = 200, .h = 200, .quality = 80, .across = 1, .down = 1,
		.components = 3, .noise = 60, .script = &simple };
	struct pl_img_limits lim = pl_img_limits_default();
	struct pl_planes planes = { 0 };
	size_t len;
	uint8_t *data = jpeg(&r, &len);
	const struct pl_img_info info = probed(data, len);
	assert_true(pl_jpeg_baseline_planes(data, len, &info, &lim, 1, &planes));
	free(planes.block);
	planes.block = NULL;
	lim.max_memory = 200 * 200 * 3 * 2;
	assert_false(pl_jpeg_baseline_planes(data, len, &info, &lim, 1, &planes));
	assert_null(planes.block);
	free(data);
}

/* Headers of scans: each byte of each of them changed in every bit. */
static void test_scan_headers(void **state)
{
	(void)state;
	const struct recipe r = { .w = 30, .h = 20, .quality = 80, .across = 2, .down = 2,
		.components = 3, .noise = 60, .script = &colour[1] };
	size_t len, scans = 0, mine = 0;
	uint8_t *data = jpeg(&r, &len);
	const struct pl_img_info info = probed(data, len);
	for (size_t at = 2; at + 10 < len; at++) {
		if (data[at] != 0xFF || data[at + 1] != 0xDA)
			continue;
		scans++;
		for (size_t bit = 8 * (at + 2); bit < 8 * (at + 10); bit++) {
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			mine += same_as_libjpeg(data, len, &info);
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
	assert_int_equal(scans, PL_ARRAY_LEN(moz));
	/* Tables may be called otherwise; nothing else. */
	assert_true(mine < scans * 8);
	free(data);
}

/* Every single bit from the first scan on changed: never other samples than libjpeg's, and the same
 * answer whether we may read the file or not. */
static void test_every_bit(void **state)
{
	(void)state;
	const struct pl_img_limits lim = pl_img_limits_default();
	const struct pl_img_decode how = { 0, true };
	for (size_t s = 1; s < PL_ARRAY_LEN(colour); s++) {
		const struct recipe r = { .w = 33, .h = 20, .quality = 50, .across = 2, .down = 1,
			.components = 3, .noise = 40, .restart = s == 2, .script = &colour[s] };
		size_t len, mine = 0;
		uint8_t *data = jpeg(&r, &len);
		const struct pl_img_info info = probed(data, len);
		for (size_t bit = marker_at(data, len, 0xDA) * 8; bit < len * 8; bit += STEP) {
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			mine += same_as_libjpeg(data, len, &info);
			struct pl_image a, b;
			const enum pl_reason with = pl_img_decode(data, len, &info, &lim, &how, &a);
			pl_jpeg_baseline_use(false);
			const enum pl_reason without =
			    pl_img_decode(data, len, &info, &lim, &how, &b);
			pl_jpeg_baseline_use(true);
			assert_int_equal(with, without);
			pl_image_release(&a);
			pl_image_release(&b);
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		assert_true(mine > 0);
		free(data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_wild_coefficients),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_scans_lack),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_scan_headers),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_shared),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
