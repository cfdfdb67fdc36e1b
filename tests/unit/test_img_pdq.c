/* SPDX-License-Identifier: Apache-2.0 */
/* PDQ against the published vectors, pdq-aa against its definition in plain
 * double arithmetic, and the helpers around them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libpipe/img/codec.h"
#include "libpipe/img/pdq_core.h"

static struct pl_image picture(uint32_t w, uint32_t h, uint32_t channels)
{
	struct pl_image im;
	assert_int_equal(pl_image_init(&im, w, h, channels), PL_REASON_KEEP);
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++)
			for (uint32_t c = 0; c < channels; c++) {
				double u = (x + 0.5) / w, v = (y + 0.5) / h, s = 128;
				for (int k = 1; k < 14; k++)
					s += 90.0 / (k + 2) *
					    sin(k * 9.1 * u + k * k * 1.7 + c * 0.1) *
					    cos(k * 7.3 * v + k * 2.9);
				im.pixels[((size_t)y * w + x) * channels + c] = (uint8_t)(s < 0 ? 0
					: s > 255 ? 255
						  : s);
			}
	return im;
}

static void test_helpers(void **state)
{
	(void)state;
	uint8_t a[PL_PDQ_BYTES], b[PL_PDQ_BYTES];
	char hex[65];
	const char *text = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22";
	assert_true(pl_pdq_parse(text, a));
	assert_int_equal(a[0], 0xF8);
	assert_int_equal(a[31], 0x22);
	pl_pdq_hex(a, hex);
	assert_string_equal(hex, text);
	assert_true(
	    pl_pdq_parse("F8F8F0CEE0F4A84F06370A22038F63F0B36E2ED596621E1D33E6B39C4E9C9B22", b));
	assert_int_equal(pl_hamming256(a, b), 0);
	b[0] ^= 0x81;
	b[17] ^= 0x10;
	b[31] ^= 0x01;
	assert_int_equal(pl_hamming256(a, b), 4);
	for (size_t i = 0; i < PL_PDQ_BYTES; i++)
		b[i] = (uint8_t)~a[i];
	assert_int_equal(pl_hamming256(a, b), 256);
	assert_false(pl_pdq_parse("f8", b));
	assert_false(
	    pl_pdq_parse("g8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22", b));
	assert_false(
	    pl_pdq_parse("f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b220", b));
	assert_string_equal(pl_hash_recipe_names[PL_HASH_PDQ_AA], "pdq-aa");
	assert_string_equal(pl_hash_recipe_names[PL_HASH_PDQ], "pdq");
	assert_string_equal(pl_hash_recipe_names[PL_HASH_PDQ_512], "pdq-512");
	assert_null(pl_hash_recipe_names[3]);
}

static void test_tiny(void **state)
{
	(void)state;
	static const uint8_t zero[PL_PDQ_BYTES];
	struct pl_image im = picture(4, 200, 3);
	struct pl_pdq p;
	assert_int_equal(pl_pdq(&im, &p), PL_REASON_KEEP);
	assert_memory_equal(p.bits, zero, sizeof(zero));
	assert_int_equal(p.quality, 0);
	assert_int_equal(pl_pdq_aa(&im, &p), PL_REASON_KEEP);
	assert_memory_equal(p.bits, zero, sizeof(zero));
	pl_image_release(&im);
	for (uint32_t side = 5; side < 70; side += 13) {
		im = picture(side, 5, 1);
		assert_int_equal(pl_pdq(&im, &p), PL_REASON_KEEP);
		assert_int_equal(pl_pdq_aa(&im, &p), PL_REASON_KEEP);
		pl_image_release(&im);
	}
}

/* Half of the coefficients lie above the lower median, so half of the bits are set. */
static void test_popcount(void **state)
{
	(void)state;
	static const uint8_t zero[PL_PDQ_BYTES];
	struct pl_image im = picture(300, 211, 3);
	struct pl_pdq p;
	assert_int_equal(pl_pdq(&im, &p), PL_REASON_KEEP);
	assert_int_equal(pl_hamming256(p.bits, zero), 128);
	assert_int_equal(pl_pdq_aa(&im, &p), PL_REASON_KEEP);
	assert_int_equal(pl_hamming256(p.bits, zero), 128);
	pl_image_release(&im);
}

/* ---- pdq-aa by its definition ---- */

static double weight_of(uint32_t dim, size_t o, uint32_t x)
{
	double s = dim / 64.0, support = s > 1 ? s : 1;
	double w = 1 - fabs(x + 0.5 - ((double)o + 0.5) * s) / support;
	return w > 0 ? w : 0;
}

static void exact_grid(const struct pl_image *im, float grid[64 * 64])
{
	double *half = calloc((size_t)64 * im->width, sizeof(*half));
	assert_non_null(half);
	for (size_t o = 0; o < 64; o++) {
		double total = 0;
		for (uint32_t y = 0; y < im->height; y++) {
			double w = weight_of(im->height, o, y);
			total += w;
			for (uint32_t x = 0; w > 0 && x < im->width; x++) {
				const uint8_t *p =
				    im->pixels + ((size_t)y * im->width + x) * im->channels;
				half[o * im->width + x] +=
				    w * (0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]);
			}
		}
		for (uint32_t x = 0; x < im->width; x++)
			half[o * im->width + x] /= total;
	}
	for (size_t i = 0; i < 64; i++)
		for (size_t o = 0; o < 64; o++) {
			double total = 0, sum = 0;
			for (uint32_t x = 0; x < im->width; x++) {
				double w = weight_of(im->width, o, x);
				total += w;
				sum += w * half[i * im->width + x];
			}
			grid[i * 64 + o] = (float)(sum / total);
		}
	free(half);
}

static void test_aa_definition(void **state)
{
	(void)state;
	static const uint32_t sizes[][2] = { { 64, 64 }, { 200, 130 }, { 65, 333 }, { 40, 30 },
		{ 256, 5 } };
	for (size_t s = 0; s < PL_ARRAY_LEN(sizes); s++) {
		struct pl_image im = picture(sizes[s][0], sizes[s][1], 3);
		struct pl_pdq got, exact;
		float grid[64 * 64];
		exact_grid(&im, grid);
		pl_pdq_from_grid(grid, &exact);
		assert_int_equal(pl_pdq_aa(&im, &got), PL_REASON_KEEP);
		assert_true(pl_hamming256(got.bits, exact.bits) <= 2);
		assert_in_range(got.quality + 1 - exact.quality, 0, 2);
		pl_image_release(&im);
	}
}

static void test_aa_survives_scaling(void **state)
{
	(void)state;
	struct pl_image im = picture(640, 480, 3), small;
	struct pl_img_limits lim = pl_img_limits_default();
	const struct pl_img_encode jpeg = { PL_FORMAT_JPEG, 85, 0 };
	struct pl_img_info info;
	struct pl_pdq whole, half, from_bytes;
	uint8_t *bytes;
	size_t len;
	assert_int_equal(pl_pdq_aa(&im, &whole), PL_REASON_KEEP);
	assert_int_equal(pl_img_resample(&im, 320, 240, PL_FILTER_LANCZOS, &small), PL_REASON_KEEP);
	assert_int_equal(pl_pdq_aa(&small, &half), PL_REASON_KEEP);
	assert_true(pl_hamming256(whole.bits, half.bits) <= 16);
	assert_int_equal(pl_img_encode(&im, &jpeg, &bytes, &len), PL_REASON_KEEP);
	assert_int_equal(pl_img_probe(bytes, len, &lim, &info), PL_REASON_KEEP);
	assert_int_equal(
	    pl_img_hash(bytes, len, &info, &lim, PL_HASH_PDQ_AA, &from_bytes), PL_REASON_KEEP);
	assert_true(pl_hamming256(whole.bits, from_bytes.bits) <= 16);
	assert_int_equal(pl_img_hash(bytes, len / 2, &info, &lim, PL_HASH_PDQ, &from_bytes),
	    PL_REASON_TRUNCATED);
	assert_int_equal(from_bytes.quality, 0);
	free(bytes);
	pl_image_release(&im);
	pl_image_release(&small);
}

/* ---- published vectors ---- */

static uint8_t *slurp(const char *dir, const char *name, size_t *len)
{
	char path[1200];
	(void)snprintf(path, sizeof(path), "%s/pdq/%s", dir, name);
	FILE *f = fopen(path, "rb");
	uint8_t *data = f ? malloc((size_t)4 << 20) : NULL;
	if (data)
		*len = fread(data, 1, (size_t)4 << 20, f);
	if (f)
		(void)fclose(f);
	return data;
}

static bool hash_file(const char *shared, const char *name, bool full_size, struct pl_pdq *out)
{
	struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	size_t len;
	uint8_t *data = slurp(shared, name, &len);
	if (!data)
		return false;
	assert_int_equal(pl_img_probe(data, len, &lim, &info), PL_REASON_KEEP);
	assert_int_equal(pl_img_hash(data, len, &info, &lim, full_size ? PL_HASH_PDQ : PL_HASH_PDQ_512, out), PL_REASON_KEEP);
	free(data);
	return true;
}

/* How far a vector may be: by implementation, since each prepares the picture in its own way. */
static int allowed(const char *line, bool *full_size)
{
	*full_size = !strstr(line, "pdq/python") && !strstr(line, "pdq/wasm");
	if (strstr(line, "pdq/wasm"))
		return strstr(line, "sharpen-a-lot")
		    ? 2
		    : 0; /* a browser decoded that JPEG differently */
	if (strstr(line, "pdq/python"))
		return 16;
	return strstr(line, "yume-pdq") ? 16 : 0;
}

static void test_vectors(void **state)
{
	(void)state;
	const char *shared = getenv("PLAIT_SHARED_DATA");
	size_t len = 0;
	uint8_t *csv = shared ? slurp(shared, "expected_pdq.csv", &len) : NULL;
	if (!csv) {
		print_message("PLAIT_SHARED_DATA has no pdq/expected_pdq.csv\n");
		skip();
	}
	int seen = 0, wrong = 0;
	for (size_t at = 0; at < len;) {
		char line[1024], image[256], transform[32], hex[65];
		const uint8_t *end = memchr(csv + at, '\n', len - at);
		size_t n = end ? (size_t)(end - csv) - at : len - at;
		(void)snprintf(line, sizeof(line), "%.*s", (int)n, (const char *)csv + at);
		at += n + 1;
		struct pl_pdq expected, got;
		bool full_size;
		if (sscanf(line, "%255[^,],%31[^,],%64[0-9a-f]", image, transform, hex) != 3 ||
		    (strcmp(transform, "original") != 0 && strcmp(transform, "ORIGINAL") != 0))
			continue;
		/* Made from 16-bit grey that Pillow clips at 255 instead of scaling. */
		int most = allowed(line, &full_size);
		if (strstr(image, "I16.png") || !hash_file(shared, image, full_size, &got))
			continue;
		assert_true(pl_pdq_parse(hex, expected.bits));
		int distance = pl_hamming256(got.bits, expected.bits);
		seen++;
		if (distance > most) {
			print_message("%d bits, %d allowed: %s\n", distance, most, line);
			wrong++;
		}
	}
	free(csv);
	print_message("%d vectors\n", seen);
	assert_true(seen >= 40);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_helpers),
		cmocka_unit_test(test_tiny),
		cmocka_unit_test(test_popcount),
		cmocka_unit_test(test_aa_definition),
		cmocka_unit_test(test_aa_survives_scaling),
		cmocka_unit_test(test_vectors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
