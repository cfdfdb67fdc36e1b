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
#include <strings.h>

#include <cmocka.h>
#include <spng.h>

#include "libpipe/img/codec.h"
#include "libpipe/img/pdq_core.h"
#include "libpipe/img/pool.h"

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

struct hashes {
	struct pl_pdq turned[PL_DIHEDRAL_COUNT];
};

static void scan(const uint8_t *data, size_t len, enum pl_hash_recipe recipe, struct hashes *out)
{
	struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	struct pl_img_stats stats;
	struct pl_pdq hash;
	assert_int_equal(pl_img_probe(data, len, &lim, &info), PL_REASON_KEEP);
	assert_int_equal(
	    pl_img_scan_dihedral(data, len, &info, &lim, recipe, &hash, out->turned, &stats),
	    PL_REASON_KEEP);
	assert_memory_equal(&hash, &out->turned[PL_DIHEDRAL_ORIGINAL], sizeof(hash));
}

/* 16-bit grey clipped at 255, which is what Pillow makes of it for the Python bindings; our reader scales. */
static void hash_clipped(const uint8_t *data, size_t len, struct pl_pdq *out)
{
	struct spng_ihdr ihdr;
	struct pl_image im;
	size_t size = 0;
	spng_ctx *ctx = spng_ctx_new(0);
	assert_non_null(ctx);
	assert_int_equal(spng_set_png_buffer(ctx, data, len), 0);
	assert_int_equal(spng_get_ihdr(ctx, &ihdr), 0);
	assert_true(ihdr.bit_depth == 16 && ihdr.color_type == SPNG_COLOR_TYPE_GRAYSCALE);
	assert_int_equal(pl_image_init(&im, ihdr.width, ihdr.height, 1), PL_REASON_KEEP);
	assert_int_equal(spng_decoded_image_size(ctx, SPNG_FMT_RAW, &size), 0);
	assert_int_equal(size, (size_t)2 * ihdr.width * ihdr.height);
	uint8_t *big_endian = malloc(size);
	assert_non_null(big_endian);
	assert_int_equal(spng_decode_image(ctx, big_endian, size, SPNG_FMT_RAW, 0), 0);
	for (size_t i = 0; i < size / 2; i++)
		im.pixels[i] = big_endian[2 * i] ? 255 : big_endian[2 * i + 1];
	assert_int_equal(pl_pdq(&im, out), PL_REASON_KEEP);
	free(big_endian);
	spng_ctx_free(ctx);
	pl_image_release(&im);
}

enum { IMAGE, TRANSFORM, HEX, QUALITY, WHO, TOLERANCE, SOURCE, COLUMNS };

/* A line of CSV, in place; the number of its fields. */
static int split(char *line, char *fields[COLUMNS])
{
	int n = 0;
	for (char *p = line;; p++) {
		bool quoted = *p == '"';
		char *start = quoted ? ++p : p;
		while (*p && (quoted ? *p != '"' : *p != ','))
			p++;
		if (quoted && *p)
			*p++ = '\0';
		if (n < COLUMNS)
			fields[n] = start;
		n++;
		if (!*p)
			return n;
		*p = '\0';
	}
}

/* Each implementation prepares the picture in its own way: which recipe of ours is nearest, and how far a
 * vector may be whose row does not tell. */
static const struct rule {
	const char *who;
	enum pl_hash_recipe recipe;
	int most;
} rules[] = {
	{ "pdq/python", PL_HASH_PDQ_512, 16 },
	{ "pdq/wasm", PL_HASH_PDQ_512, 0 },
	{ "pdq/java", PL_HASH_PDQ, 0 },
	{ "darwinium-com/pdqhash", PL_HASH_PDQ, 0 },
	{ "python-threatexchange", PL_HASH_PDQ, 0 },
	{ "hasher-matcher-actioner", PL_HASH_PDQ, 0 },
	{ "eternal-flame-AD/yume-pdq", PL_HASH_PDQ, 16 },
};

static const struct rule *rule_of(const char *who)
{
	for (size_t i = 0; i < PL_ARRAY_LEN(rules); i++)
		if (strncmp(who, rules[i].who, strlen(rules[i].who)) == 0)
			return &rules[i];
	return NULL;
}

static int dihedral_of(const char *transform)
{
	for (int i = 0; i < PL_DIHEDRAL_COUNT; i++)
		if (strcasecmp(transform, pl_dihedral_names[i]) == 0)
			return i;
	return -1;
}

/* NULL when the row's vector is met, else what is wrong with it. */
static const char *check_row(const char *shared, char *line)
{
	char *fields[COLUMNS];
	if (split(line, fields) != COLUMNS)
		return "not seven fields";
	const struct rule *rule = rule_of(fields[WHO]);
	const int how = dihedral_of(fields[TRANSFORM]);
	struct pl_pdq expected, got;
	if (!rule || how < 0 || !pl_pdq_parse(fields[HEX], expected.bits))
		return "no rule for this row";
	size_t len = 0;
	uint8_t *data = slurp(shared, fields[IMAGE], &len);
	if (!data)
		return "no such picture";
	if (strstr(fields[IMAGE], "I16.png") && how == PL_DIHEDRAL_ORIGINAL) {
		hash_clipped(data, len, &got);
	} else if (how == PL_DIHEDRAL_ORIGINAL) {
		struct pl_img_limits lim = pl_img_limits_default();
		struct pl_img_info info;
		assert_int_equal(pl_img_probe(data, len, &lim, &info), PL_REASON_KEEP);
		assert_int_equal(
		    pl_img_hash(data, len, &info, &lim, rule->recipe, &got), PL_REASON_KEEP);
	} else {
		struct hashes all;
		scan(data, len, rule->recipe, &all);
		got = all.turned[how];
	}
	free(data);
	/* A browser decoded that JPEG differently. */
	int most = strstr(fields[WHO], "wasm") && strstr(fields[IMAGE], "sharpen-a-lot")
	    ? 2
	    : rule->most;
	if (*fields[TOLERANCE])
		most = (int)strtol(fields[TOLERANCE], NULL, 10);
	if (*fields[QUALITY] && strtol(fields[QUALITY], NULL, 10) != got.quality)
		return "another quality";
	return pl_hamming256(got.bits, expected.bits) <= most ? NULL : "too far";
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
	int rows = 0, met = 0;
	for (size_t at = 0; at < len;) {
		char line[1024], copy[1024];
		const uint8_t *end = memchr(csv + at, '\n', len - at);
		size_t n = end ? (size_t)(end - csv) - at : len - at;
		(void)snprintf(line, sizeof(line), "%.*s", (int)n, (const char *)csv + at);
		(void)snprintf(copy, sizeof(copy), "%s", line);
		bool header = at == 0;
		at += n + 1;
		if (header || n == 0)
			continue;
		rows++;
		const char *wrong = check_row(shared, copy);
		if (wrong)
			print_message("%s: %s\n", wrong, line);
		met += !wrong;
	}
	free(csv);
	print_message("%d of %d vectors met\n", met, rows);
	assert_true(rows > 0);
	assert_int_equal(met, rows);
}

/* ---- turned and mirrored ---- */

/* Pixel by pixel, by what each name says of a picture of w x h. */
static struct pl_image turned(const struct pl_image *im, enum pl_dihedral how)
{
	const bool swap = how == PL_DIHEDRAL_ROTATE90 || how == PL_DIHEDRAL_ROTATE270 ||
	    how == PL_DIHEDRAL_FLIPPLUS1 || how == PL_DIHEDRAL_FLIPMINUS1;
	const size_t w = im->width, h = im->height, c = im->channels;
	struct pl_image out;
	assert_int_equal(pl_image_init(&out, swap ? im->height : im->width,
			     swap ? im->width : im->height, im->channels),
	    PL_REASON_KEEP);
	for (size_t y = 0; y < h; y++)
		for (size_t x = 0; x < w; x++) {
			const size_t to[PL_DIHEDRAL_COUNT][2] = {
				[PL_DIHEDRAL_ORIGINAL] = { x, y },
				[PL_DIHEDRAL_ROTATE90] = { y, w - 1 - x },
				[PL_DIHEDRAL_ROTATE180] = { w - 1 - x, h - 1 - y },
				[PL_DIHEDRAL_ROTATE270] = { h - 1 - y, x },
				[PL_DIHEDRAL_FLIPX] = { x, h - 1 - y },
				[PL_DIHEDRAL_FLIPY] = { w - 1 - x, y },
				[PL_DIHEDRAL_FLIPPLUS1] = { y, x },
				[PL_DIHEDRAL_FLIPMINUS1] = { h - 1 - y, w - 1 - x },
			};
			memcpy(out.pixels + (to[how][1] * out.width + to[how][0]) * c,
			    im->pixels + (y * w + x) * c, c);
		}
	return out;
}

/* Hash `how` is nearest to its own turn of the picture and nowhere near another. */
static void check_nearest(const struct pl_pdq *really, enum pl_dihedral how,
    const struct pl_pdq all[PL_DIHEDRAL_COUNT], int most)
{
	for (int other = 0; other < PL_DIHEDRAL_COUNT; other++) {
		int distance = pl_hamming256(really->bits, all[other].bits);
		if (other == (int)how)
			assert_in_range(distance, 0, most);
		else
			assert_in_range(distance, 60, 256);
	}
}

static void test_dihedral_transform(void **state)
{
	(void)state;
	static const uint32_t sizes[][2] = { { 64, 64 }, { 300, 211 }, { 97, 640 }, { 40, 70 } };
	for (size_t s = 0; s < PL_ARRAY_LEN(sizes); s++) {
		struct pl_image im = picture(sizes[s][0], sizes[s][1], 3);
		struct pl_pdq all[PL_DIHEDRAL_COUNT], plain;
		float grid[64 * 64];
		assert_int_equal(pl_pdq_grid(&im, im.width, im.height, grid), PL_REASON_KEEP);
		pl_pdq_dihedral_from_grid(grid, all);
		pl_pdq_from_grid(grid, &plain);
		assert_memory_equal(&plain, &all[PL_DIHEDRAL_ORIGINAL], sizeof(plain));
		for (int how = 0; how < PL_DIHEDRAL_COUNT; how++) {
			struct pl_image other = turned(&im, (enum pl_dihedral)how);
			struct pl_pdq really;
			assert_int_equal(pl_pdq_aa(&other, &really), PL_REASON_KEEP);
			check_nearest(&really, (enum pl_dihedral)how, all, 2);
			assert_in_range(really.quality + 1 - all[how].quality, 0, 2);
			pl_image_release(&other);
		}
		pl_image_release(&im);
	}
	assert_null(pl_dihedral_names[PL_DIHEDRAL_COUNT]);
}

/* A scan's hashes are those of a file with the turned picture, and come through the pool when asked for. */
static void test_dihedral_scan(void **state)
{
	(void)state;
	static const struct pl_pdq zeros[PL_DIHEDRAL_COUNT];
	const struct pl_img_encode png = { PL_FORMAT_PNG, 1, 0 };
	const struct pl_pool_config config = { .workers = 1, .limits = pl_img_limits_default() };
	struct pl_image im = picture(700, 530, 3);
	struct pl_pool *pool;
	struct pl_err err;
	uint8_t *bytes;
	size_t len;
	assert_int_equal(pl_img_encode(&im, &png, &bytes, &len), PL_REASON_KEEP);
	assert_int_equal(pl_pool_new(&pool, &config, &err), PL_OK);
	for (int recipe = PL_HASH_PDQ_AA; pl_hash_recipe_names[recipe]; recipe++) {
		struct hashes all;
		scan(bytes, len, (enum pl_hash_recipe)recipe, &all);
		for (int how = 0; how < PL_DIHEDRAL_COUNT && recipe != PL_HASH_PDQ_AA; how++) {
			struct pl_image other = turned(&im, (enum pl_dihedral)how);
			struct pl_pdq want;
			assert_int_equal(recipe == PL_HASH_PDQ ? pl_pdq(&other, &want)
							       : pl_pdq_512(&other, &want),
			    PL_REASON_KEEP);
			assert_memory_equal(&want, &all.turned[how], sizeof(want));
			pl_image_release(&other);
		}
		for (int asked = 0; asked < 2; asked++) {
			struct pl_pool_job job = { .op = PL_POOL_SCAN,
				.data = bytes,
				.len = len,
				.hash = (enum pl_hash_recipe)recipe,
				.dihedral = asked };
			struct pl_pool_result r;
			bool ready = false;
			assert_int_equal(pl_pool_submit(pool, &job, &err), PL_OK);
			assert_int_equal(pl_pool_next(pool, -1, &ready, &r, &err), PL_OK);
			assert_true(ready && r.reason == PL_REASON_KEEP);
			assert_memory_equal(&r.pdq, &all.turned[0], sizeof(r.pdq));
			assert_memory_equal(r.dihedral, asked ? all.turned : zeros, sizeof(zeros));
		}
	}
	pl_pool_free(pool);
	free(bytes);
	pl_image_release(&im);
}

/* Photographs that Meta turned, named and compressed again, against the hashes of the one that is upright. */
static void test_dihedral_photographs(void **state)
{
	(void)state;
	static const char *const files[PL_DIHEDRAL_COUNT] = { "1-original", "2-rotate-90",
		"3-rotate-180", "4-rotate-270", "5-flipx", "6-flipy", "7-flip-plus-1",
		"8-flip-minus-1" };
	const char *shared = getenv("PLAIT_SHARED_DATA");
	for (int recipe = PL_HASH_PDQ_AA; pl_hash_recipe_names[recipe]; recipe++) {
		struct hashes upright = { 0 }, other;
		for (int how = 0; how < PL_DIHEDRAL_COUNT; how++) {
			char name[100];
			size_t len = 0;
			(void)snprintf(name, sizeof(name), "threatexchange/dih/bridge-%s.jpg", files[how]);
			uint8_t *data = shared ? slurp(shared, name, &len) : NULL;
			if (!data) {
				print_message("PLAIT_SHARED_DATA has no pdq/%s\n", name);
				skip();
			}
			scan(data, len, (enum pl_hash_recipe)recipe, &other);
			if (how == PL_DIHEDRAL_ORIGINAL)
				upright = other;
			check_nearest(&other.turned[0], (enum pl_dihedral)how, upright.turned, 10);
			free(data);
		}
	}
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
		cmocka_unit_test(test_dihedral_transform),
		cmocka_unit_test(test_dihedral_scan),
		cmocka_unit_test(test_dihedral_photographs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
