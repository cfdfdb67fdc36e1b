/* SPDX-License-Identifier: Apache-2.0 */
/* Our own JPEG decoder against libjpeg: every JPEG of the shared data, pictures
 * of every kind made here, coefficients no picture has, and files that are not
 * its business. */
#include "tests/unit/jpeg_made.h"

static void test_shared(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool every_level, sample;
		size_t least; /* baseline files there */
	} folders[] = { { "photos", true, true, 300 }, { "cc3m", false, true, 1900 },
		{ "formats", true, false, 0 }, { "llava", true, true, 30 },
		{ "mmc4", true, true, 400 }, { "hostile", true, false, 0 } };
	for (size_t i = 0; i < PL_ARRAY_LEN(folders); i++) {
		struct tally t = { .every_level = folders[i].every_level,
			.sample = folders[i].sample };
		meet_shared(folders[i].name, &t);
		assert_true(t.met >= folders[i].least);
		assert_true(folders[i].least == 0 || t.mine * 10 * (t.sample ? STEP : 1) > t.met * 9);
	}
}

/* Qualities, samplings, sizes, restart intervals, tables. */
static void test_made(void **state)
{
	(void)state;
	static const int factors[][2] = { { 1, 1 }, { 2, 1 }, { 2, 2 }, { 1, 2 }, { 4, 1 }, { 4, 2 },
		{ 1, 4 }, { 3, 1 } };
	uint32_t seed = 11;
	for (int i = 0; i < 1500 / STEP; i++) {
		const int *f = factors[draw(&seed) % PL_ARRAY_LEN(factors)];
		struct recipe r = { .w = 1 + draw(&seed) % 67, .h = 1 + draw(&seed) % 45,
			.seed = draw(&seed), .quality = 1 + i % 100, .across = f[0], .down = f[1],
			.components = draw(&seed) % 5 ? 3 : 1,
			.restart = draw(&seed) % 3 ? 0 : (int)(draw(&seed) % 9),
			.optimised = draw(&seed) % 2 != 0,
			.noise = (uint8_t)(draw(&seed) % 3 ? draw(&seed) % 40 : draw(&seed) % 256) };
		size_t len;
		uint8_t *data = jpeg(&r, &len);
		const struct pl_img_info info = probed(data, len);
		const bool mine = same_at_every_level(data, len, &info);
		if (!mine)
			print_message("%ux%u, quality %d, %d:%d, restart %d\n", r.w, r.h, r.quality,
			    r.across, r.down, r.restart);
		assert_true(mine);
		assert_same_in_rgb(data, len, &info, r.components == 3 && f[0] == 1 && f[1] == 1);
		free(data);
	}
}

/* Long enough for the largest tables, with codes longer than they are wide. */
static void test_large_tables(void **state)
{
	(void)state;
	for (int quality = 20; quality <= 100; quality += 16)
		for (int noise = 0; noise < 256; noise += 50) {
			const struct recipe r = { .w = 256, .h = 400, .seed = (uint32_t)noise,
				.quality = quality, .across = 2, .down = 2, .components = 3,
				.optimised = noise % 100 == 0, .noise = (uint8_t)noise };
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
		uint8_t *data = wild(i, NULL, &len);
		const struct pl_img_info info = probed(data, len);
		mine += same_at_every_level(data, len, &info);
		free(data);
	}
	assert_true(mine > 100 / STEP);
}

/* Dequantised, an odd coefficient becomes -32768, whose magnitude is no int16_t. Beyond every
 * range, wherever in the first row it lies. */
static void test_lowest_number(void **state)
{
	(void)state;
	static const uint8_t head[] = { 0xFF, 0xD8, 0xFF, 0xDB, 0, 131, 0x10 };
	/* A DC difference of 0, a code for 1 or -1 behind no zeros and one for the end. */
	static const uint8_t tail[] = { 0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xFF, 0xC4, 0,
		20, 0x00, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0xFF, 0xC4, 0, 21,
		0x10, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0x00, 0xFF, 0xDA, 0, 8,
		1, 1, 0x00, 0, 63, 0, 0x17, 0xFF, 0xD9 };
	uint8_t data[sizeof(head) + 128 + sizeof(tail)];
	uint8_t *table = data + sizeof(head);
	memcpy(data, head, sizeof(head));
	memcpy(table + 128, tail, sizeof(tail));
	for (int i = 0; i < 64; i++) {
		table[2 * i] = i == 1 ? 0x80 : 0;
		table[2 * i + 1] = i != 1;
	}
	const struct pl_img_info info = probed(data, sizeof(data));
	assert_false(same_at_every_level(data, sizeof(data), &info));
	table[2] = 0x0F;
	assert_true(same_at_every_level(data, sizeof(data), &info));
}

/* The rows' vector code against the plain one: every chroma, under a few lumas. */
static void test_rgb_rows(void **state)
{
	(void)state;
	static const uint8_t lumas[] = { 0, 1, 77, 128, 200, 254, 255 };
	uint8_t y[256], cb[256], cr[256], a[3 * 256], b[3 * 256];
	if (!pl_jpeg_baseline_force(PL_SIMD_AVX2))
		skip();
	pl_jb_rgb *vector = pl_jb_kernels()->rgb;
	assert_true(pl_jpeg_baseline_force(PL_SIMD_NONE));
	for (size_t l = 0; l < sizeof(lumas); l++)
		for (unsigned blue = 0; blue < 256; blue++) {
			for (unsigned i = 0; i < 256; i++) {
				y[i] = lumas[l];
				cb[i] = (uint8_t)blue;
				cr[i] = (uint8_t)i;
			}
			const size_t n = 256 - blue % 20;
			memset(b, 7, sizeof(b));
			memset(a, 7, sizeof(a));
			pl_jb_rgb_plain(y, cb, cr, a, n);
			vector(y, cb, cr, b, n);
			assert_memory_equal(a, b, sizeof(a));
		}
}

/* ---- not ours ---- */

static void test_every_length(void **state)
{
	(void)state;
	static const int restart[] = { 0, 1 };
	for (size_t i = 0; i < PL_ARRAY_LEN(restart); i++) {
		const struct recipe r = { .w = 40, .h = 30, .quality = 80, .across = 2, .down = 2,
			.components = 3, .restart = restart[i], .noise = 60 };
		size_t len;
		uint8_t *data = jpeg(&r, &len);
		const struct pl_img_info info = probed(data, len);
		for (size_t n = 0; n < len; n++)
			assert_false(is_mine(data, n, &info));
		assert_true(is_mine(data, len, &info));
		free(data);
	}
}

static void test_other_processes(void **state)
{
	(void)state;
	const struct recipe plain = { .w = 40, .h = 30, .quality = 80, .across = 1, .down = 1,
		.components = 3, .noise = 60 };
	struct recipe others[5];
	for (size_t i = 0; i < PL_ARRAY_LEN(others); i++)
		others[i] = plain;
	others[0].separate = true;
	others[1].adobe_rgb = true;
	others[2].components = 4;
	others[3].arithmetic = true;
	others[4].w = 41;
	for (size_t i = 0; i < PL_ARRAY_LEN(others); i++) {
		size_t len;
		uint8_t *data = jpeg(&others[i], &len);
		struct pl_img_info info = probed(data, len);
		info.width = 40;
		assert_false(is_mine(data, len, &info));
		free(data);
	}
}

/* What is not as it should be is libjpeg's, and its answer is the answer. */
static void test_irregular(void **state)
{
	(void)state;
	const struct recipe r = { .w = 64, .h = 48, .quality = 80, .across = 2, .down = 2,
		.components = 3, .restart = 2, .noise = 60 };
	const struct pl_img_limits lim = pl_img_limits_default();
	static const struct {
		uint8_t marker; /* whose bytes are changed */
		uint8_t offset, value;
	} changes[] = { { 0xD0, 1, 0xD1 }, { 0xD0, 1, 0x00 }, { 0xD0, 1, 0xD9 }, { 0xD9, 1, 0xD0 },
		{ 0xD9, 1, 0x00 }, { 0xDA, 3, 9 }, { 0xDA, 5, 7 }, { 0xDA, 6, 0x33 },
		{ 0xDA, 11, 1 }, { 0xDA, 12, 62 }, { 0xDA, 13, 1 }, { 0xC0, 4, 12 },
		{ 0xC0, 11, 0x51 }, { 0xC0, 12, 3 }, { 0xC4, 4, 0x04 }, { 0xC4, 5, 3 },
		{ 0xDB, 4, 0x04 }, { 0xDB, 4, 0x10 }, { 0xDD, 3, 5 }, { 0xDD, 5, 3 } };
	size_t len;
	uint8_t *data = jpeg(&r, &len);
	const struct pl_img_info info = probed(data, len);
	assert_true(is_mine(data, len, &info));
	for (size_t i = 0; i < PL_ARRAY_LEN(changes); i++) {
		uint8_t *p =
		    data + marker_at(data, len, changes[i].marker) + changes[i].offset;
		const uint8_t was = *p;
		const struct pl_img_decode how = { 0, true };
		struct pl_image ours, theirs;
		*p = changes[i].value;
		if (is_mine(data, len, &info))
			print_message("change %zu\n", i);
		assert_false(is_mine(data, len, &info));
		const enum pl_reason a = pl_img_decode(data, len, &info, &lim, &how, &ours);
		pl_jpeg_baseline_use(false);
		const enum pl_reason b = pl_img_decode(data, len, &info, &lim, &how, &theirs);
		pl_jpeg_baseline_use(true);
		assert_int_equal(a, b);
		if (a == PL_REASON_KEEP)
			assert_memory_equal(
			    ours.pixels, theirs.pixels, (size_t)ours.width * ours.height);
		pl_image_release(&ours);
		pl_image_release(&theirs);
		*p = was;
	}
	free(data);
}

/* A byte too many before a marker: libjpeg passes over it, and it is not for us to say what it is. */
static void test_left_over(void **state)
{
	(void)state;
	static const uint8_t markers[] = { 0xD0, 0xD9 };
	const struct recipe r = { .w = 64, .h = 48, .quality = 80, .across = 2, .down = 2,
		.components = 3, .restart = 2, .noise = 60 };
	size_t len;
	uint8_t *data = jpeg(&r, &len);
	const struct pl_img_info info = probed(data, len);
	for (size_t i = 0; i < PL_ARRAY_LEN(markers); i++) {
		const size_t at = marker_at(data, len, markers[i]);
		uint8_t *longer = malloc(len + 1);
		assert_non_null(longer);
		memcpy(longer, data, at);
		longer[at] = 0x55;
		memcpy(longer + at + 1, data + at, len - at);
		assert_false(is_mine(longer, len + 1, &info));
		free(longer);
	}
	free(data);
}

/* Every single bit of the scan changed: never other samples than libjpeg's. */
static void test_every_bit(void **state)
{
	(void)state;
	const struct recipe r = { .w = 33, .h = 20, .quality = 60, .across = 2, .down = 1,
		.components = 3, .noise = 50 };
	size_t len, mine = 0;
	uint8_t *data = jpeg(&r, &len);
	const struct pl_img_info info = probed(data, len);
	for (size_t bit = marker_at(data, len, 0xDA) * 8; bit < len * 8; bit += STEP) {
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		mine += same_as_libjpeg(data, len, &info);
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_true(mine > 0);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_large_tables),
		cmocka_unit_test(test_wild_coefficients),
		cmocka_unit_test(test_lowest_number),
		cmocka_unit_test(test_rgb_rows),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_other_processes),
		cmocka_unit_test(test_irregular),
		cmocka_unit_test(test_left_over),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_shared),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
