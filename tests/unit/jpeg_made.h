/* SPDX-License-Identifier: Apache-2.0 */
/* JPEG files made to order, those of the shared data, and our decoder held
 * against libjpeg over them: for the tests of our baseline and progressive
 * decoders. */
#ifndef TEST_UNIT_JPEG_MADE_H
#define TEST_UNIT_JPEG_MADE_H

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

static inline uint32_t draw(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* ---- comparing ---- */

/* At every reduction: the same samples where it is ours. Is it, at full size? */
static inline bool same_as_libjpeg(const uint8_t *data, size_t len, const struct pl_img_info *info)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	bool mine = false;
	for (unsigned by = 1; by <= 8; by *= 2) {
		const enum verdict planes = planes_verdict(data, len, info, &lim, by);
		const enum verdict luma = image_verdict(data, len, info, &lim, by, true);
		assert_int_not_equal(planes, DIFFERS);
		assert_int_not_equal(luma, DIFFERS);
		assert_int_not_equal(image_verdict(data, len, info, &lim, by, false), DIFFERS);
		if (by == 1)
			mine = planes == SAME || (info->channels == 1 && luma == SAME);
		else
			assert_true(!mine || luma == SAME || planes == SAME);
	}
	return mine;
}

/* In RGB: the same at every level and reduction, and ours, or nobody's but libjpeg's. */
static inline void assert_same_in_rgb(
    const uint8_t *data, size_t len, const struct pl_img_info *info, bool ours)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	for (enum pl_simd level = PL_SIMD_SCALAR; level <= PL_SIMD_AVX512; level++)
		if (pl_jpeg_baseline_force(level))
			for (unsigned by = 1; by <= 8; by *= 2)
				assert_int_equal(image_verdict(data, len, info, &lim, by, false),
				    ours ? SAME : NOT_MINE);
	assert_true(pl_jpeg_baseline_force(PL_SIMD_NONE));
}

static inline bool same_at_every_level(const uint8_t *data, size_t len, const struct pl_img_info *info)
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
	size_t met, mine;
	bool progressive, every_level, sample;
};

static inline void meet(const uint8_t *data, size_t len, struct tally *t)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	if (pl_img_sniff(data, len) != PL_FORMAT_JPEG ||
	    pl_img_probe(data, len, &lim, &info) != PL_REASON_KEEP ||
	    info.progressive != t->progressive || info.channels == 2 || info.channels == 4)
		return;
	if (t->met++ % (t->sample ? STEP : 1) != 0)
		return;
	t->mine += t->every_level ? same_at_every_level(data, len, &info)
				  : same_as_libjpeg(data, len, &info);
}

static inline void meet_tar(const uint8_t *tar, size_t len, struct tally *t)
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

static inline void meet_folder(const char *folder, struct tally *t)
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

/* Of a folder of the shared data; skips the test where there is none. */
static inline void meet_shared(const char *folder, struct tally *t)
{
	const char *shared = getenv("PLAIT_SHARED_DATA");
	char path[4096];
	struct stat st;
	if (!shared || stat(shared, &st) != 0) {
		print_message("no $PLAIT_SHARED_DATA\n");
		skip();
	}
	snprintf(path, sizeof(path), "%s/%s", shared, folder);
	meet_folder(path, t);
	print_message("%s: %zu of %zu %s files are ours\n", folder, t->mine,
	    (t->met + (t->sample ? STEP : 1) - 1) / (t->sample ? STEP : 1),
	    t->progressive ? "progressive" : "baseline");
}

/* ---- files made here ---- */

/* The scans of a progressive file; none: those of jpeg_simple_progression. */
struct script {
	int n;
	const jpeg_scan_info *scans;
};

static inline void follow(const struct script *s, struct jpeg_compress_struct *c)
{
	if (s && s->n == 0)
		jpeg_simple_progression(c);
	if (s && s->n > 0) {
		c->num_scans = s->n;
		c->scan_info = s->scans;
	}
}

struct recipe {
	uint32_t w, h, seed;
	int quality, across, down, components, restart;
	bool optimised, separate, adobe_rgb, arithmetic;
	const struct script *script;
	uint8_t noise; /* 0: smooth, 255: full swings */
};

static inline void quiet(j_common_ptr common, int level)
{
	(void)common;
	(void)level;
}

static inline void paint(const struct recipe *r, uint32_t y, uint8_t *row, uint32_t *seed)
{
	for (uint32_t i = 0; i < r->w * (uint32_t)r->components; i++) {
		const uint32_t v = draw(seed) % 256;
		const uint32_t smooth = 40 + (i * 3 + y * 5) % 160;
		row[i] = (uint8_t)((smooth * (255u - r->noise) + (v & 1 ? v : 255 - v) * r->noise) / 255);
	}
}

static inline uint8_t *jpeg(const struct recipe *r, size_t *len)
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
	follow(r->script, &c);
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

static inline struct pl_img_info probed(const uint8_t *data, size_t len)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	assert_int_equal(pl_img_probe(data, len, &lim, &info), PL_REASON_KEEP);
	return info;
}

static inline bool is_mine(const uint8_t *data, size_t len, const struct pl_img_info *info)
{
	/* Of its exact size, so that a sanitizer sees a read past its end. */
	uint8_t *copy = malloc(len ? len : 1);
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_planes planes = { 0 };
	struct pl_image luma = { 0 }, rgb = { 0 };
	assert_non_null(copy);
	memcpy(copy, data, len);
	const bool a = pl_jpeg_baseline_planes(copy, len, info, &lim, 1, &planes);
	const bool b = pl_jpeg_baseline_luma(copy, len, info, &lim, 4, &luma);
	const bool c = pl_jpeg_baseline_rgb(copy, len, info, &lim, 2, &rgb);
	assert_true(a == (planes.block != NULL) && b == (luma.pixels != NULL) &&
	    c == (rgb.pixels != NULL));
	free(copy);
	free(planes.block);
	pl_image_release(&luma);
	pl_image_release(&rgb);
	return a || b || c;
}

/* Coefficients and divisors that no picture gives: numbers wrap and saturate in the same places, or
 * the file is not ours. */
static inline uint8_t *wild(uint32_t seed, const struct script *script, size_t *len)
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
	follow(script, &c);
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

/* Where the bytes of a segment's marker begin. */
static inline size_t marker_at(const uint8_t *data, size_t len, uint8_t marker)
{
	for (size_t at = 0; at + 1 < len; at++)
		if (data[at] == 0xFF && data[at + 1] == marker)
			return at;
	fail();
	return 0;
}

#endif
