/* SPDX-License-Identifier: Apache-2.0 */
/* Our own JPEG decoder against libjpeg: every JPEG of the shared data, pictures
 * of every kind made here, coefficients no picture has, and files that are not
 * its business. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <jpeglib.h>

#include "libpipe/base/file.h"
#include "tests/unit/jpeg_fixture.h"

static uint32_t draw(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* ---- comparing ---- */

/* At every reduction: the same samples where it is ours. Is it, at full size? */
static bool same_as_libjpeg(const uint8_t *data, size_t len, const struct pl_img_info *info)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	bool mine = false;
	for (unsigned by = 1; by <= 8; by *= 2) {
		const enum verdict planes = planes_verdict(data, len, info, &lim, by);
		const enum verdict luma = luma_verdict(data, len, info, &lim, by);
		assert_int_not_equal(planes, DIFFERS);
		assert_int_not_equal(luma, DIFFERS);
		if (by == 1)
			mine = planes == SAME || (info->channels == 1 && luma == SAME);
		else
			assert_true(!mine || luma == SAME || planes == SAME);
	}
	return mine;
}

static bool same_at_every_level(const uint8_t *data, size_t len, const struct pl_img_info *info)
{
	bool mine = false;
	for (enum pl_simd level = PL_SIMD_SCALAR; level <= PL_SIMD_AVX512; level++) {
		if (!pl_jpeg_baseline_force(level))
			continue;
		const bool now = same_as_libjpeg(data, len, info);
		assert_true(level == PL_SIMD_SCALAR || now == mine);
		mine = now;
	}
	assert_true(pl_jpeg_baseline_force(PL_SIMD_NONE));
	return mine;
}

/* ---- shared data ---- */

/* Sanitizers are slow: there a sample of what is plenty. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STEP = 10 };
#else
enum { STEP = 1 };
#endif

struct tally {
	size_t met, baseline, mine;
	bool every_level, sample;
};

static void meet(const uint8_t *data, size_t len, struct tally *t)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	if (pl_img_sniff(data, len) != PL_FORMAT_JPEG ||
	    pl_img_probe(data, len, &lim, &info) != PL_REASON_KEEP)
		return;
	if (t->met++ % (t->sample ? STEP : 1) != 0)
		return;
	t->baseline += !info.progressive && (info.channels == 1 || info.channels == 3);
	t->mine += t->every_level ? same_at_every_level(data, len, &info)
				  : same_as_libjpeg(data, len, &info);
}

static void meet_tar(const uint8_t *tar, size_t len, struct tally *t)
{
	for (size_t at = 0; at + 512 <= len && tar[at];) {
		char digits[13] = { 0 };
		memcpy(digits, tar + at + 124, 12);
		const size_t size = (size_t)strtoull(digits, NULL, 8);
		if (size > len - at - 512)
			break;
		meet(tar + at + 512, size, t);
		at += 512 + (size + 511) / 512 * 512;
	}
}

static void meet_folder(const char *folder, struct tally *t)
{
	DIR *dir = opendir(folder);
	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));) {
		char path[4096];
		struct stat st;
		struct pl_err err = { 0 };
		char *bytes;
		size_t len;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (e->d_name[0] == '.' || stat(path, &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			meet_folder(path, t);
			continue;
		}
		assert_int_equal(
		    pl_file_read(path, (size_t)256 << 20, &bytes, &len, &err), PL_OK);
		if (strstr(e->d_name, ".tar"))
			meet_tar((const uint8_t *)bytes, len, t);
		else
			meet((const uint8_t *)bytes, len, t);
		free(bytes);
	}
	closedir(dir);
}

static void test_shared(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool every_level, sample;
		size_t least; /* baseline files there */
	} folders[] = { { "photos", true, true, 300 / STEP }, { "cc3m", false, true, 1900 / STEP },
		{ "formats", true, false, 0 }, { "llava", true, true, 30 / STEP },
		{ "mmc4", true, true, 400 / STEP }, { "hostile", true, false, 0 } };
	const char *shared = getenv("PLAIT_SHARED_DATA");
	struct stat st;
	if (!shared || stat(shared, &st) != 0) {
		print_message("no $PLAIT_SHARED_DATA\n");
		skip();
	}
	for (size_t i = 0; i < PL_ARRAY_LEN(folders); i++) {
		char path[4096];
		struct tally t = { .every_level = folders[i].every_level,
			.sample = folders[i].sample };
		snprintf(path, sizeof(path), "%s/%s", shared, folders[i].name);
		meet_folder(path, &t);
		print_message("%s: %zu of %zu baseline files are ours\n", folders[i].name, t.mine,
		    t.baseline);
		assert_true(t.baseline >= folders[i].least);
		assert_true(folders[i].least == 0 || t.mine * 10 > t.baseline * 9);
	}
}

/* ---- files made here ---- */

struct recipe {
	uint32_t w, h, seed;
	int quality, across, down, components, restart;
	bool optimised, progressive, separate, adobe_rgb, arithmetic;
	uint8_t noise; /* 0: smooth, 255: full swings */
};

static void quiet(j_common_ptr common, int level)
{
	(void)common;
	(void)level;
}

static void paint(const struct recipe *r, uint32_t y, uint8_t *row, uint32_t *seed)
{
	for (uint32_t i = 0; i < r->w * (uint32_t)r->components; i++) {
		const uint32_t v = draw(seed) % 256;
		const uint32_t smooth = 40 + (i * 3 + y * 5) % 160;
		row[i] = (uint8_t)((smooth * (255u - r->noise) + (v & 1 ? v : 255 - v) * r->noise) / 255);
	}
}

static uint8_t *jpeg(const struct recipe *r, size_t *len)
{
	static const jpeg_scan_info scans[3] = { { 1, { 0 }, 0, 63, 0, 0 }, { 1, { 1 }, 0, 63, 0, 0 },
		{ 1, { 2 }, 0, 63, 0, 0 } };
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr errors;
	unsigned char *bytes = NULL;
	unsigned long n = 0;
	uint32_t seed = r->seed;
	uint8_t row[4 * 256];
	JSAMPROW rows = row;
	c.err = jpeg_std_error(&errors);
	errors.emit_message = quiet;
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &bytes, &n);
	c.image_width = r->w;
	c.image_height = r->h;
	c.input_components = r->components;
	c.in_color_space = r->components == 1 ? JCS_GRAYSCALE
	    : r->components == 4	      ? JCS_CMYK
					      : JCS_RGB;
	jpeg_set_defaults(&c);
	if (r->adobe_rgb)
		jpeg_set_colorspace(&c, JCS_RGB);
	jpeg_set_quality(&c, r->quality, TRUE);
	c.comp_info[0].h_samp_factor = r->across;
	c.comp_info[0].v_samp_factor = r->down;
	c.restart_interval = (unsigned)r->restart;
	c.optimize_coding = r->optimised;
	c.arith_code = r->arithmetic;
	if (r->separate) {
		c.num_scans = 3;
		c.scan_info = scans;
	}
	if (r->progressive)
		jpeg_simple_progression(&c);
	jpeg_start_compress(&c, TRUE);
	for (uint32_t y = 0; y < r->h; y++) {
		paint(r, y, row, &seed);
		jpeg_write_scanlines(&c, &rows, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	*len = n;
	return bytes;
}

static struct pl_img_info probed(const uint8_t *data, size_t len)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	assert_int_equal(pl_img_probe(data, len, &lim, &info), PL_REASON_KEEP);
	return info;
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

/* Coefficients and divisors that no picture gives: numbers wrap and saturate in the same places, or
 * the file is not ours. */
static uint8_t *wild(uint32_t seed, size_t *len)
{
	/* 4:2:0, and such as no encoder writes: fractions, chroma that is larger than luma. */
	static const uint8_t samplings[][3][2] = { { { 2, 2 }, { 1, 1 }, { 1, 1 } },
		{ { 3, 1 }, { 2, 1 }, { 1, 2 } }, { { 1, 2 }, { 4, 1 }, { 1, 3 } },
		{ { 2, 3 }, { 1, 2 }, { 2, 1 } } };
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr errors;
	unsigned char *bytes = NULL;
	unsigned long n = 0;
	uint32_t at = seed;
	const unsigned largest = draw(&at) % 2 ? 30000 : 1 + draw(&at) % 60;
	/* Blocks of a first row only, where libjpeg has a way of its own. */
	const bool flat = seed % 4 == 0;
	const uint8_t(*factors)[2] = samplings[seed % 8 < 5 ? 0 : seed % 8 - 4];
	unsigned table[64];
	c.err = jpeg_std_error(&errors);
	errors.emit_message = quiet;
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &bytes, &n);
	c.image_width = c.image_height = 24;
	c.input_components = 3;
	c.in_color_space = JCS_YCbCr;
	jpeg_set_defaults(&c);
	for (int i = 0; i < 64; i++)
		table[i] = i == 0 || (i < 8 && !flat) ? 1 : 1 + draw(&at) % largest;
	for (int i = 0; i < 2; i++)
		jpeg_add_quant_table(&c, i, table, 100, FALSE);
	c.optimize_coding = TRUE;
	jvirt_barray_ptr blocks[3];
	for (int i = 0; i < 3; i++) {
		c.comp_info[i].h_samp_factor = factors[i][0];
		c.comp_info[i].v_samp_factor = factors[i][1];
		/* 24 samples are 3 MCUs at most. */
		blocks[i] = c.mem->request_virt_barray((j_common_ptr)&c, JPOOL_IMAGE, TRUE,
		    3u * factors[i][0], 3u * factors[i][1], 3u * factors[i][1]);
	}
	c.mem->realize_virt_arrays((j_common_ptr)&c);
	for (int i = 0; i < 3; i++)
		for (JDIMENSION y = 0; y < 3u * factors[i][1]; y++) {
			JBLOCKARRAY row = c.mem->access_virt_barray(
			    (j_common_ptr)&c, blocks[i], y, 1, TRUE);
			for (JDIMENSION x = 0; x < 3u * factors[i][0]; x++)
				for (int k = 0; k < 64; k++)
					row[0][x][k] = draw(&at) % 4 || (flat && k > 7) ? 0
					    : k < 8
					    ? (JCOEF)((int)(draw(&at) % 900) - 450)
					    : (JCOEF)((int)(draw(&at) % 2047) - 1023);
		}
	jpeg_write_coefficients(&c, blocks);
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	*len = n;
	return bytes;
}

static void test_wild_coefficients(void **state)
{
	(void)state;
	size_t mine = 0;
	for (uint32_t i = 0; i < 600 / STEP; i++) {
		size_t len;
		uint8_t *data = wild(i, &len);
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

/* ---- not ours ---- */

static bool is_mine(const uint8_t *data, size_t len, const struct pl_img_info *info)
{
	/* Of its exact size, so that a sanitizer sees a read past its end. */
	uint8_t *copy = malloc(len ? len : 1);
	struct pl_planes planes = { 0 };
	struct pl_image luma = { 0 };
	assert_non_null(copy);
	memcpy(copy, data, len);
	const bool a = pl_jpeg_baseline_planes(copy, len, info, 1, &planes);
	const bool b = pl_jpeg_baseline_luma(copy, len, info, 4, &luma);
	assert_true(a == (planes.block != NULL) && b == (luma.pixels != NULL));
	free(copy);
	free(planes.block);
	pl_image_release(&luma);
	return a || b;
}

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
	struct recipe others[6];
	for (size_t i = 0; i < PL_ARRAY_LEN(others); i++)
		others[i] = plain;
	others[0].progressive = true;
	others[1].separate = true;
	others[2].adobe_rgb = true;
	others[3].components = 4;
	others[4].arithmetic = true;
	others[5].w = 41;
	for (size_t i = 0; i < PL_ARRAY_LEN(others); i++) {
		size_t len;
		uint8_t *data = jpeg(&others[i], &len);
		struct pl_img_info info = probed(data, len);
		info.width = 40;
		assert_false(is_mine(data, len, &info));
		free(data);
	}
}

/* Where the bytes of a segment's marker begin. */
static size_t marker_at(const uint8_t *data, size_t len, uint8_t marker)
{
	for (size_t at = 0; at + 1 < len; at++)
		if (data[at] == 0xFF && data[at + 1] == marker)
			return at;
	fail();
	return 0;
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
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_other_processes),
		cmocka_unit_test(test_irregular),
		cmocka_unit_test(test_left_over),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_shared),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
