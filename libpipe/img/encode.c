/* SPDX-License-Identifier: Apache-2.0 */
/* From pixels to JPEG, WebP or PNG, without metadata: the same pixels and
 * settings give the same bytes. */
#include "planes.h"

#include <setjmp.h>
#include <spng.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>
#include <webp/encode.h>

struct sink {
	uint8_t *data;
	size_t len, cap;
};

static bool sink_grow(struct sink *s, size_t least)
{
	size_t cap = s->cap ? s->cap : 16384;
	while (cap < least) {
		if (cap > SIZE_MAX / 2)
			return false;
		cap *= 2;
	}
	uint8_t *more = realloc(s->data, cap);
	if (!more)
		return false;
	s->data = more;
	s->cap = cap;
	return true;
}

/* ---- JPEG: libjpeg's errors come by longjmp, so the state is one heap struct ---- */

struct jpeg_write {
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr errors;
	struct jpeg_destination_mgr dest;
	jmp_buf jump;
	int fatal;
	struct sink sink;
};

static void on_error(j_common_ptr common)
{
	struct jpeg_write *w = common->client_data;
	w->fatal = common->err->msg_code;
	longjmp(w->jump, 1);
}

static void on_output(j_common_ptr common)
{
	(void)common;
}

static void dest_init(j_compress_ptr c)
{
	struct jpeg_write *w = c->client_data;
	w->dest.next_output_byte = w->sink.data;
	w->dest.free_in_buffer = w->sink.cap;
}

static boolean dest_full(j_compress_ptr c)
{
	struct jpeg_write *w = c->client_data;
	size_t used =
	    w->sink.cap; /* by contract the whole buffer is full, whatever free_in_buffer says */
	if (!sink_grow(&w->sink, used + 1))
		ERREXIT1(c, JERR_OUT_OF_MEMORY, 0);
	w->dest.next_output_byte = w->sink.data + used;
	w->dest.free_in_buffer = w->sink.cap - used;
	return TRUE;
}

static void dest_end(j_compress_ptr c)
{
	struct jpeg_write *w = c->client_data;
	w->sink.len = w->sink.cap - w->dest.free_in_buffer;
}

/* What to write: an image or planes. */
struct jpeg_job {
	const struct pl_image *image;
	struct pl_yuv420 *planes;
	uint32_t width, height;
	int quality;
	bool optimise;
};

static void write_rows(struct jpeg_compress_struct *c, const struct pl_image *im)
{
	const size_t stride = (size_t)im->width * im->channels;
	while (c->next_scanline < c->image_height) {
		JSAMPROW row = im->pixels + c->next_scanline * stride;
		(void)jpeg_write_scanlines(c, &row, 1);
	}
}

/* Blocks that end outside the picture repeat its last column and row. */
static void write_planes(struct jpeg_compress_struct *c, struct pl_yuv420 *im)
{
	enum { ROWS = 2 * DCTSIZE };
	JSAMPROW rows[3][ROWS];
	JSAMPARRAY planes[3] = { rows[0], rows[1], rows[2] };
	for (int i = 0; i < 3; i++) {
		const size_t width = i ? (im->width + (size_t)1) / 2 : im->width;
		const size_t height = i ? (im->height + (size_t)1) / 2 : im->height;
		const size_t blocks = (size_t)c->comp_info[i].width_in_blocks * DCTSIZE;
		for (size_t y = 0; y < height; y++) {
			uint8_t *row = im->plane[i] + y * im->stride[i];
			memset(row + width, row[width - 1], blocks - width);
		}
	}
	while (c->next_scanline < c->image_height) {
		for (int i = 0; i < 3; i++) {
			const size_t n = i ? DCTSIZE : ROWS;
			const size_t from = i ? c->next_scanline / 2 : c->next_scanline;
			const size_t last = i ? (im->height - 1) / 2 : im->height - 1;
			for (size_t y = 0; y < n; y++)
				rows[i][y] = im->plane[i] +
				    (from + y < last ? from + y : last) * im->stride[i];
		}
		(void)jpeg_write_raw_data(c, planes, ROWS);
	}
}

static void write_jpeg(struct jpeg_write *w, const struct jpeg_job *job)
{
	struct jpeg_compress_struct *c = &w->c;
	jpeg_create_compress(c);
	w->dest.init_destination = dest_init;
	w->dest.empty_output_buffer = dest_full;
	w->dest.term_destination = dest_end;
	c->dest = &w->dest;
	c->image_width = job->width;
	c->image_height = job->height;
	if (job->planes) {
		c->input_components = 3;
		c->in_color_space = JCS_YCbCr;
	} else {
		c->input_components = (int)job->image->channels;
		c->in_color_space = job->image->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
	}
	jpeg_set_defaults(c); /* 4:2:0, standard Huffman tables */
	c->optimize_coding = job->optimise;
	c->raw_data_in = job->planes != NULL;
	jpeg_set_quality(c, job->quality, TRUE);
	jpeg_start_compress(c, TRUE);
	if (job->planes)
		write_planes(c, job->planes);
	else
		write_rows(c, job->image);
	jpeg_finish_compress(c);
}

static enum pl_reason encode_jpeg(const struct jpeg_job *job, struct sink *out)
{
	if (job->width > JPEG_MAX_DIMENSION || job->height > JPEG_MAX_DIMENSION)
		return PL_REASON_BOMB;
	struct jpeg_write *w = calloc(1, sizeof(*w));
	if (!w)
		return PL_REASON_NO_MEMORY;
	enum pl_reason reason = PL_REASON_NO_MEMORY;
	/* About what a photo takes at quality 95. */
	if (!sink_grow(&w->sink, (size_t)job->width * job->height / 2))
		goto done;
	w->c.err = jpeg_std_error(&w->errors);
	w->c.client_data = w;
	w->errors.error_exit = on_error;
	w->errors.output_message = on_output;
	if (setjmp(w->jump) == 0) {
		write_jpeg(w, job);
		reason = PL_REASON_KEEP;
	} else {
		reason = w->fatal == JERR_OUT_OF_MEMORY ? PL_REASON_NO_MEMORY : PL_REASON_CORRUPT;
	}
	jpeg_destroy_compress(&w->c);
	*out = w->sink;
done:
	free(w);
	return reason;
}

static int clamp(int value, int low, int high)
{
	return value < low ? low : value > high ? high : value;
}

static enum pl_reason hand_over(
    enum pl_reason reason, struct sink *sink, uint8_t **out, size_t *len)
{
	*out = NULL;
	*len = 0;
	if (reason != PL_REASON_KEEP) {
		free(sink->data);
		return reason;
	}
	*out = sink->data;
	*len = sink->len;
	return PL_REASON_KEEP;
}

enum pl_reason pl_encode_jpeg_planes_library(
    struct pl_yuv420 *im, int quality, bool optimise, uint8_t **out, size_t *len)
{
	const struct jpeg_job job = { .planes = im, .width = im->width, .height = im->height,
		.quality = clamp(quality, 1, 100), .optimise = optimise };
	struct sink sink = { 0 };
	return hand_over(encode_jpeg(&job, &sink), &sink, out, len);
}

/* ---- WebP ---- */

static int webp_write(const uint8_t *data, size_t n, const WebPPicture *picture)
{
	struct sink *s = picture->custom_ptr;
	if (n > SIZE_MAX - s->len || (s->len + n > s->cap && !sink_grow(s, s->len + n)))
		return 0;
	if (n > 0)
		memcpy(s->data + s->len, data, n);
	s->len += n;
	return 1;
}

static bool webp_config(
    WebPConfig *config, WebPPicture *picture, int quality, int effort, struct sink *out)
{
	if (!WebPConfigInit(config) || !WebPPictureInit(picture))
		return false;
	config->lossless = quality > 100;
	config->quality = config->lossless ? 75.0f : (float)quality; /* lossless: how hard to try */
	config->method = effort;
	config->filter_strength = 100; /* nearer to the picture than the default's 60, for nothing: README.md */
	config->exact = 0;
	config->thread_level = 0;
	picture->use_argb = config->lossless;
	picture->writer = webp_write;
	picture->custom_ptr = out;
	return WebPValidateConfig(config) != 0;
}

static enum pl_reason webp_run(const WebPConfig *config, WebPPicture *picture)
{
	if (WebPEncode(config, picture))
		return PL_REASON_KEEP;
	switch (picture->error_code) {
	case VP8_ENC_ERROR_OUT_OF_MEMORY:
	case VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY:
	case VP8_ENC_ERROR_BAD_WRITE:
		return PL_REASON_NO_MEMORY;
	case VP8_ENC_OK:
	case VP8_ENC_ERROR_NULL_PARAMETER:
	case VP8_ENC_ERROR_INVALID_CONFIGURATION:
	case VP8_ENC_ERROR_BAD_DIMENSION:
	case VP8_ENC_ERROR_PARTITION0_OVERFLOW:
	case VP8_ENC_ERROR_PARTITION_OVERFLOW:
	case VP8_ENC_ERROR_FILE_TOO_BIG:
	case VP8_ENC_ERROR_USER_ABORT:
	case VP8_ENC_ERROR_LAST:
		break;
	}
	return PL_REASON_CORRUPT;
}

static enum pl_reason encode_webp(struct pl_image *im, int quality, int effort, struct sink *out)
{
	if (im->width > WEBP_MAX_DIMENSION || im->height > WEBP_MAX_DIMENSION)
		return PL_REASON_BOMB;
	WebPConfig config;
	WebPPicture picture;
	if (!webp_config(&config, &picture, quality, effort, out))
		return PL_REASON_UNSUPPORTED;
	picture.width = (int)im->width;
	picture.height = (int)im->height;
	enum pl_reason reason = PL_REASON_NO_MEMORY;
	if (WebPPictureImportRGB(&picture, im->pixels, (int)im->width * 3))
		reason = webp_run(&config, &picture);
	WebPPictureFree(&picture);
	return reason;
}

/* JPEG's samples fill 0..255, WebP's 16..235 and 16..240 (BT.601 both): rounded once. */
static void to_limited_range(struct pl_yuv420 *im)
{
	uint8_t luma[256], chroma[256];
	for (int v = 0; v < 256; v++) {
		luma[v] = (uint8_t)(16 + (v * 219 + 127) / 255);
		int c = (v - 128) * 224; /* rounded to the nearest on both sides of 0 */
		chroma[v] = (uint8_t)(128 + (c < 0 ? (c - 127) / 255 : (c + 127) / 255));
	}
	for (int i = 0; i < 3; i++) {
		const uint8_t *map = i ? chroma : luma;
		const size_t width = i ? (im->width + (size_t)1) / 2 : im->width;
		const size_t height = i ? (im->height + (size_t)1) / 2 : im->height;
		for (size_t y = 0; y < height; y++) {
			uint8_t *row = im->plane[i] + y * im->stride[i];
			for (size_t x = 0; x < width; x++)
				row[x] = map[row[x]];
		}
	}
}

enum pl_reason pl_encode_webp_planes(
    struct pl_yuv420 *im, int quality, int effort, uint8_t **out, size_t *len)
{
	struct sink sink = { 0 };
	WebPConfig config;
	WebPPicture picture;
	*out = NULL;
	*len = 0;
	if (im->width > WEBP_MAX_DIMENSION || im->height > WEBP_MAX_DIMENSION)
		return PL_REASON_BOMB;
	if (!webp_config(&config, &picture, clamp(quality, 1, 100), clamp(effort, 0, 6), &sink))
		return PL_REASON_UNSUPPORTED;
	to_limited_range(im);
	picture.colorspace = WEBP_YUV420;
	picture.width = (int)im->width;
	picture.height = (int)im->height;
	picture.y = im->plane[0];
	picture.u = im->plane[1];
	picture.v = im->plane[2];
	picture.y_stride = (int)im->stride[0];
	picture.uv_stride = (int)im->stride[1];
	enum pl_reason reason = webp_run(&config, &picture);
	WebPPictureFree(&picture); /* the planes are not its own */
	return hand_over(reason, &sink, out, len);
}

/* ---- PNG ---- */

static enum pl_reason encode_png(const struct pl_image *im, int level, struct sink *out)
{
	spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
	if (!ctx)
		return PL_REASON_NO_MEMORY;
	struct spng_ihdr ihdr = {
		.width = im->width,
		.height = im->height,
		.bit_depth = 8,
		.color_type =
		    im->channels == 1 ? SPNG_COLOR_TYPE_GRAYSCALE : SPNG_COLOR_TYPE_TRUECOLOR,
	};
	int error = spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1);
	if (!error)
		error = spng_set_option(ctx, SPNG_IMG_COMPRESSION_LEVEL, level);
	if (!error)
		error = spng_set_ihdr(ctx, &ihdr);
	if (!error)
		error = spng_encode_image(ctx, im->pixels,
		    (size_t)im->width * im->height * im->channels, SPNG_FMT_PNG,
		    SPNG_ENCODE_FINALIZE);
	if (!error)
		out->data = spng_get_png_buffer(ctx, &out->len, &error);
	spng_ctx_free(ctx);
	if (error || !out->data)
		return error == SPNG_EMEM ? PL_REASON_NO_MEMORY : PL_REASON_CORRUPT;
	return PL_REASON_KEEP;
}

/* WebP takes RGB only. */
static enum pl_reason encode_webp_any(
    const struct pl_image *im, const struct pl_img_encode *how, struct sink *out)
{
	int quality = clamp(how->quality, 1, 101), effort = clamp(how->effort, 0, 6);
	struct pl_image rgb = *im;
	if (im->channels == 3)
		return encode_webp(&rgb, quality, effort, out);
	enum pl_reason reason = pl_image_init(&rgb, im->width, im->height, 3);
	if (reason != PL_REASON_KEEP)
		return reason;
	size_t n = (size_t)im->width * im->height;
	for (size_t i = 0; i < n; i++)
		memset(rgb.pixels + 3 * i, im->pixels[i], 3);
	reason = encode_webp(&rgb, quality, effort, out);
	pl_image_release(&rgb);
	return reason;
}

static enum pl_reason encode_any(const struct pl_image *im, const struct pl_img_encode *how,
    bool optimise, uint8_t **out, size_t *len)
{
	struct sink sink = { 0 };
	enum pl_reason reason = PL_REASON_UNSUPPORTED;
	const struct jpeg_job job = { .image = im, .width = im->width, .height = im->height,
		.quality = clamp(how->quality, 1, 100), .optimise = optimise };
	*out = NULL;
	*len = 0;
	if (!im->pixels || (im->channels != 1 && im->channels != 3))
		return PL_REASON_UNSUPPORTED;
	if (how->format == PL_FORMAT_JPEG)
		reason = encode_jpeg(&job, &sink);
	else if (how->format == PL_FORMAT_WEBP)
		reason = encode_webp_any(im, how, &sink);
	else if (how->format == PL_FORMAT_PNG)
		reason = encode_png(im, clamp(how->quality, -1, 9), &sink);
	return hand_over(reason, &sink, out, len);
}

enum pl_reason pl_img_encode(
    const struct pl_image *im, const struct pl_img_encode *how, uint8_t **out, size_t *len)
{
	return encode_any(im, how, false, out, len);
}

enum pl_reason pl_img_encode_optimised(
    const struct pl_image *im, const struct pl_img_encode *how, uint8_t **out, size_t *len)
{
	return encode_any(im, how, true, out, len);
}
