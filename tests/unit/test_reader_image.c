/* SPDX-License-Identifier: Apache-2.0 */
/* Images to RGB8 in the caller's memory, alone and in a loader's batches. */
#include "reader_test.h"

#include <math.h>
#include <time.h>

#include "libpipe/img/image.h"
#include "libpipe/img/resize.h"
#include "shards/reader/image.h"

/* A smooth picture with its own colour in each corner; seed moves it. */
static struct pl_image picture(uint32_t w, uint32_t h, uint32_t channels, unsigned seed)
{
	struct pl_image im;
	assert_int_equal(pl_image_init(&im, w, h, channels), PL_REASON_KEEP);
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++)
			for (uint32_t c = 0; c < channels; c++) {
				double v = 127 + 90 * sin((x * (c + 1) * 5.0) / w + seed) * cos((y * (3 - (c & 1)) * 2.0) / h);
				im.pixels[((size_t)y * w + x) * channels + c] = (uint8_t)v;
			}
	return im;
}

struct bytes { uint8_t *data; size_t len; };

static struct bytes encode(const struct pl_image *im, enum pl_format format, int quality)
{
	struct bytes b;
	const struct pl_img_encode e = { .format = format, .quality = quality };
	assert_int_equal(pl_img_encode(im, &e, &b.data, &b.len), PL_REASON_KEEP);
	return b;
}

static double difference(const uint8_t *a, size_t a_stride, const uint8_t *b, size_t b_stride, uint32_t w, uint32_t h)
{
	double sum = 0;
	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < 3 * w; x++)
			sum += abs(a[y * a_stride + x] - b[y * b_stride + x]);
	return sum / (3.0 * w * h);
}

/* What pl_img does at full size, turned first: decode, orient, flatten, resample whole, cut. */
static struct pl_image reference(const uint8_t *data, size_t len, uint32_t w, uint32_t h, uint32_t left, uint32_t top, uint32_t cw,
    uint32_t ch, enum pl_filter filter)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	struct pl_image im, scaled, cut;
	assert_int_equal(pl_img_probe(data, len, &lim, &info), PL_REASON_KEEP);
	assert_int_equal(pl_img_decode(data, len, &info, &lim, NULL, &im), PL_REASON_KEEP);
	assert_int_equal(pl_img_flatten(&im), PL_REASON_KEEP);
	assert_int_equal(pl_img_to_rgb(&im), PL_REASON_KEEP);
	assert_int_equal(pl_img_orient(&im, info.orientation), PL_REASON_KEEP);
	assert_int_equal(pl_img_resample(&im, w, h, filter, &scaled), PL_REASON_KEEP);
	assert_int_equal(pl_image_init(&cut, cw, ch, 3), PL_REASON_KEEP);
	for (uint32_t y = 0; y < ch; y++)
		memcpy(cut.pixels + (size_t)y * cw * 3, scaled.pixels + ((size_t)(y + top) * w + left) * 3, (size_t)cw * 3);
	pl_image_release(&im);
	pl_image_release(&scaled);
	return cut;
}

static void test_as_stored(void **state)
{
	static const enum pl_format formats[] = { PL_FORMAT_JPEG, PL_FORMAT_PNG, PL_FORMAT_WEBP };
	(void)state;
	for (size_t f = 0; f < PL_ARRAY_LEN(formats); f++)
		for (uint32_t channels = 1; channels <= 3; channels += 2) {
			struct pl_image im = picture(123, 77, channels, 1);
			struct bytes b = encode(&im, formats[f], formats[f] == PL_FORMAT_PNG ? 3 : 90);
			const struct shard_image_options o = { .fit = SHARD_FIT_NONE };
			uint32_t w, h;
			struct pl_err err;
			ok(shard_image_size(b.data, b.len, &o, &w, &h, &err), &err);
			assert_true(w == 123 && h == 77);
			uint8_t *dst = calloc(77, 400);
			assert_non_null(dst);
			ok(shard_image_decode(b.data, b.len, &o, dst, 400, 76 * 400 + 123 * 3, &err), &err);
			struct pl_image want = reference(b.data, b.len, 123, 77, 0, 0, 123, 77, PL_FILTER_BICUBIC);
			assert_true(difference(dst, 400, want.pixels, (size_t)3 * 123, 123, 77) == 0);
			/* Nothing behind the rows. */
			for (int y = 0; y < 76; y++)
				for (int x = 123 * 3; x < 400; x++)
					assert_int_equal(dst[y * 400 + x], 0);
			pl_image_release(&want);
			pl_image_release(&im);
			free(dst);
			free(b.data);
		}
}

static void check_fit(const struct bytes *b, enum shard_fit fit, uint32_t w, uint32_t h, uint32_t scaled_w, uint32_t scaled_h,
    double most)
{
	const struct shard_image_options o = { .fit = fit, .width = w, .height = h };
	struct pl_err err;
	uint8_t *dst = malloc((size_t)w * h * 3);
	assert_non_null(dst);
	ok(shard_image_decode(b->data, b->len, &o, dst, (size_t)3 * w, (size_t)w * h * 3, &err), &err);
	struct pl_image want = reference(b->data, b->len, scaled_w, scaled_h, (uint32_t)nearbyint((scaled_w - w) / 2.0),
	    (uint32_t)nearbyint((scaled_h - h) / 2.0), w, h, PL_FILTER_BICUBIC);
	double d = difference(dst, (size_t)3 * w, want.pixels, (size_t)3 * w, w, h);
	if (d > most)
		print_error("fit %d to %u x %u: %f\n", fit, w, h, d);
	assert_true(d <= most);
	pl_image_release(&want);
	free(dst);
}

static void test_fits(void **state)
{
	static const enum pl_format formats[] = { PL_FORMAT_JPEG, PL_FORMAT_PNG, PL_FORMAT_WEBP };
	(void)state;
	for (size_t f = 0; f < PL_ARRAY_LEN(formats); f++)
		for (uint32_t channels = 1; channels <= 4; channels++) {
			/* JPEG at a DCT reduction, and in planes, differs a little from what is decoded whole. */
			double most = formats[f] == PL_FORMAT_JPEG ? 1.5 : 0;
			if (channels == 2 || (channels == 4 && formats[f] != PL_FORMAT_PNG))
				continue;
			struct pl_image im = picture(640, 400, channels, 2);
			struct bytes b = { NULL, 0 };
			const struct pl_img_encode e = { .format = formats[f], .quality = formats[f] == PL_FORMAT_PNG ? 1 : 95 };
			if (pl_img_encode(&im, &e, &b.data, &b.len) == PL_REASON_KEEP) {
				check_fit(&b, SHARD_FIT_SQUASH, 100, 90, 100, 90, most);
				check_fit(&b, SHARD_FIT_SQUASH, 800, 30, 800, 30, most);
				check_fit(&b, SHARD_FIT_CROP, 224, 224, 358, 224, most);
				check_fit(&b, SHARD_FIT_CROP, 50, 224, 358, 224, most);
				check_fit(&b, SHARD_FIT_CROP, 320, 50, 320, 200, most);
				check_fit(&b, SHARD_FIT_CROP, 640, 400, 640, 400, 0);
				check_fit(&b, SHARD_FIT_CROP, 700, 700, 1120, 700, most);
			}
			pl_image_release(&im);
			free(b.data);
		}
}

/* An EXIF segment with one tag, put behind the first two bytes of a JPEG. */
static struct bytes with_orientation(const struct bytes *in, uint8_t orientation)
{
	const uint8_t exif[] = { 0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0,
		orientation, 0, 0, 0, 0, 0, 0, 0 };
	struct bytes b = { malloc(in->len + sizeof exif), in->len + sizeof exif };
	assert_non_null(b.data);
	memcpy(b.data, in->data, 2);
	memcpy(b.data + 2, exif, sizeof exif);
	memcpy(b.data + 2 + sizeof exif, in->data + 2, in->len - 2);
	return b;
}

static void test_turned(void **state)
{
	struct pl_image im = picture(300, 200, 3, 3);
	struct bytes jpeg = encode(&im, PL_FORMAT_JPEG, 95);
	(void)state;
	for (uint8_t o = 1; o <= 8; o++) {
		struct bytes b = with_orientation(&jpeg, o);
		uint32_t w, h, sw = o >= 5 ? 64 : 96, sh = o >= 5 ? 96 : 64;
		const struct shard_image_options none = { .fit = SHARD_FIT_NONE };
		ok(shard_image_size(b.data, b.len, &none, &w, &h, NULL), NULL);
		assert_int_equal(w, o >= 5 ? 200 : 300);
		check_fit(&b, SHARD_FIT_CROP, w, h, w, h, 0);
		check_fit(&b, SHARD_FIT_CROP, 64, 64, sw, sh, 1.5);
		check_fit(&b, SHARD_FIT_SQUASH, 30, 50, 30, 50, 1.5);
		check_fit(&b, SHARD_FIT_CROP, 32, 48, o >= 5 ? 32 : 72, 48, 1.5);
		free(b.data);
	}
	free(jpeg.data);
	pl_image_release(&im);
}

static void test_refused(void **state)
{
	struct pl_image im = picture(64, 64, 3, 4);
	struct bytes b = encode(&im, PL_FORMAT_JPEG, 90);
	uint8_t dst[64 * 64 * 3];
	struct shard_image_options o = { .fit = SHARD_FIT_SQUASH, .width = 64, .height = 64 };
	uint32_t w, h;
	struct pl_err err;
	(void)state;
	ok(shard_image_decode(b.data, b.len, &o, dst, 192, sizeof dst, &err), &err);
	assert_int_equal(shard_image_decode(b.data, b.len, &o, dst, 192, sizeof dst - 1, &err), PL_ERR_USAGE);
	assert_int_equal(shard_image_decode(b.data, b.len, &o, dst, 191, sizeof dst, &err), PL_ERR_USAGE);
	assert_int_equal(shard_image_decode(b.data, b.len, &o, dst, SIZE_MAX, sizeof dst, &err), PL_ERR_USAGE);
	assert_int_equal(shard_image_decode(b.data, b.len / 2, &o, dst, 192, sizeof dst, &err), PL_ERR_TRUNCATED);
	assert_int_not_equal(shard_image_decode("GIF89anothing", 13, &o, dst, 192, sizeof dst, NULL), PL_OK);
	assert_int_equal(shard_image_decode("text", 4, &o, dst, 192, sizeof dst, &err), PL_ERR_UNSUPPORTED);
	assert_int_equal(shard_image_decode("", 0, &o, dst, 192, sizeof dst, &err), PL_ERR_TRUNCATED);
	o.max_pixels = 4095;
	assert_int_equal(shard_image_decode(b.data, b.len, &o, dst, 192, sizeof dst, &err), PL_ERR_LIMIT);
	o = (struct shard_image_options) { .fit = SHARD_FIT_CROP, .width = 0, .height = 5 };
	assert_int_equal(shard_image_size(b.data, b.len, &o, &w, &h, &err), PL_ERR_USAGE);
	free(b.data);
	pl_image_release(&im);
}

/* ---- in a loader ----------------------------------------------------------------------------------- */

enum { SAMPLES = 120 };

/* Sample i has i % 3 pictures of colour (i, 2i, picture); every tenth sample's first is no picture. */
static void write_pictures(void)
{
	struct shard_writer_options o = { .container = SHARD_TAR_ZST, .frame_size = 3000, .level = SHARD_LEVEL_AUTO };
	struct shard_writer *w;
	struct shard_written done;
	struct pl_err err;
	ok(shard_writer_open(&w, in_tmp("p"), &o, &err), &err);
	for (unsigned i = 0; i < SAMPLES; i++) {
		struct shard_member m[3] = { { "a.txt", "x", 1 } };
		struct bytes b[2] = { { NULL, 0 }, { NULL, 0 } };
		char key[16];
		snprintf(key, sizeof key, "s%u", i);
		for (unsigned k = 0; k < i % 3; k++) {
			struct pl_image im;
			assert_int_equal(pl_image_init(&im, 20, 10, 3), PL_REASON_KEEP);
			for (unsigned p = 0; p < 200; p++) {
				im.pixels[3 * p] = (uint8_t)i;
				im.pixels[3 * p + 1] = (uint8_t)(2 * i);
				im.pixels[3 * p + 2] = (uint8_t)(k + 1);
			}
			b[k] = encode(&im, PL_FORMAT_PNG, 1);
			if (i % 10 == 0 && k == 0)
				memset(b[k].data + 8, 0, 20);
			m[k + 1] = (struct shard_member) { k ? "1.png" : "0.png", b[k].data, b[k].len };
			pl_image_release(&im);
		}
		ok(shard_writer_add(w, key, m, 1 + i % 3, &err), &err);
		free(b[0].data);
		free(b[1].data);
	}
	ok(shard_writer_commit(w, &done, &err), &err);
}

static void check_batch(const struct shard_batch *b, enum shard_decode decode)
{
	size_t image = 0;
	for (size_t k = 0; k < b->n; k++) {
		const struct shard_batch_sample *s = &b->samples[k];
		uint64_t i = s->sample.index;
		assert_int_equal(s->first_image, image);
		assert_int_equal(s->images, decode == SHARD_DECODE_FIRST ? 1 : i % 3);
		for (uint32_t p = 0; p < s->images; p++, image++) {
			const uint8_t *px = b->pixels + image * 8 * 8 * 3;
			enum pl_status want = i % 3 == 0 ? PL_ERR_NOTFOUND : PL_OK;
			bool broken = i % 3 && i % 10 == 0 && p == 0;
			assert_true(broken ? b->image_status[image] != PL_OK : b->image_status[image] == want);
			for (size_t at = 0; at < 64; at++) {
				bool there = b->image_status[image] == PL_OK;
				assert_int_equal(px[3 * at], there ? i & 255 : 0);
				assert_int_equal(px[3 * at + 1], there ? 2 * i & 255 : 0);
				assert_int_equal(px[3 * at + 2], there ? p + 1 : 0);
			}
		}
	}
	assert_int_equal(image, b->images);
}

static void test_loader(void **state)
{
	struct shard_dataset *d;
	struct pl_err err;
	(void)state;
	write_pictures();
	ok(shard_dataset_open(&d, in_tmp("p.tar.zst"), &err), &err);
	for (uint32_t threads = 0; threads < 4; threads++)
		for (int all = 0; all < 2; all++) {
			const struct shard_loader_options o = { .batch = 11, .threads = threads, .block = 10, .window = 2, .ahead = threads,
				.decode = all ? SHARD_DECODE_ALL : SHARD_DECODE_FIRST,
				.image = { .fit = SHARD_FIT_CROP, .width = 8, .height = 8 } };
			struct shard_loader *l;
			const struct shard_batch *b, *before = NULL;
			ok(shard_loader_open(&l, d, &o, &err), &err);
			while (shard_loader_next(l, &b, &err) == PL_OK) {
				check_batch(b, o.decode);
				/* The one before is still what it was. */
				if (before)
					check_batch(before, o.decode);
				shard_batch_release(l, before);
				before = b;
			}
			struct shard_loader_stats s = shard_loader_stats(l);
			assert_int_equal(s.samples, SAMPLES);
			assert_int_equal(s.images, SAMPLES);
			assert_int_equal(s.bad_images, 8);
			shard_loader_close(l);
		}
	shard_dataset_close(d);
}

enum { TAKEN = 4, SIDE = 400 };   /* so large that nothing is decoded ahead */

struct taken { uint8_t *pixels; size_t n; uint64_t first; };

/* Sample i has the colour i in red, where it has a picture. */
static void check_taken(const struct taken *t)
{
	for (size_t i = 0; i < t->n; i++) {
		uint64_t number = t->first + i;
		uint8_t red = number % 3 && number % 10 ? (uint8_t)number : 0;
		const uint8_t *px = t->pixels + i * SIDE * SIDE * 3;
		assert_int_equal(px[0], red);
		assert_int_equal(px[3 * (SIDE * SIDE - 1)], red);
	}
}

/* Pixels that are taken stay what they are, whether they come back one batch later or when the loader is gone. */
static void test_taken_pixels(void **state)
{
	struct shard_dataset *d;
	struct pl_err err;
	(void)state;
	write_pictures();
	ok(shard_dataset_open(&d, in_tmp("p.tar.zst"), &err), &err);
	for (uint32_t threads = 0; threads < 3; threads++)
		for (int keep = 0; keep < 2; keep++) {
			const struct shard_loader_options o = { .batch = SAMPLES / TAKEN, .threads = threads, .shuffle = SHARD_SHUFFLE_NONE,
				.decode = SHARD_DECODE_FIRST, .image = { .fit = SHARD_FIT_SQUASH, .width = SIDE, .height = SIDE } };
			struct shard_loader *l;
			const struct shard_batch *b;
			struct taken taken[TAKEN];
			size_t n = 0;
			ok(shard_loader_open(&l, d, &o, &err), &err);
			while (shard_loader_next(l, &b, &err) == PL_OK) {
				assert_true(n < TAKEN);
				taken[n] = (struct taken) { .n = b->n, .first = b->position };
				const uint8_t *where = b->pixels;
				taken[n].pixels = shard_batch_take_pixels(l, b);
				assert_non_null(taken[n].pixels);
				assert_ptr_equal(taken[n].pixels, where);
				assert_null(shard_batch_take_pixels(l, b));
				shard_batch_release(l, b);
				n++;
				for (size_t i = keep ? 0 : n - 1; i < n; i++)
					check_taken(&taken[i]);
				if (!keep && n > 1) {
					/* Time for a thread to begin the next batch elsewhere, if it did not wait. */
					(void)nanosleep(&(struct timespec) { .tv_nsec = 20000000 }, NULL);
					check_taken(&taken[n - 2]);
					shard_pixels_return(l, taken[n - 2].pixels);
				}
			}
			assert_int_equal(n, TAKEN);
			/* In turns between two buffers, where they come back. */
			if (!keep)
				assert_ptr_equal(taken[0].pixels, taken[2].pixels);
			shard_loader_close(l);
			for (size_t i = keep ? 0 : n - 1; i < n; i++) {
				check_taken(&taken[i]);
				shard_pixels_free(taken[i].pixels);
			}
		}
	shard_dataset_close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_stored),
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_turned),
		cmocka_unit_test(test_refused),
		cmocka_unit_test_setup_teardown(test_loader, make_tmp_dir, remove_tmp_dir),
		cmocka_unit_test_setup_teardown(test_taken_pixels, make_tmp_dir, remove_tmp_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
