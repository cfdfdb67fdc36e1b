/* SPDX-License-Identifier: Apache-2.0 */
/* From pixels to JPEG, WebP or PNG, without metadata: the same pixels and
 * settings give the same bytes. */
#include "codec.h"

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

static void write_jpeg(struct jpeg_write *w, const struct pl_image *im, int quality)
{
	struct jpeg_compress_struct *c = &w->c;
	jpeg_create_compress(c);
	w->dest.init_destination = dest_init;
	w->dest.empty_output_buffer = dest_full;
	w->dest.term_destination = dest_end;
	c->dest = &w->dest;
	c->image_width = im->width;
	c->image_height = im->height;
	c->input_components = (int)im->channels;
	c->in_color_space = im->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
	jpeg_set_defaults(c); /* 4:2:0, standard Huffman tables */
	jpeg_set_quality(c, quality, TRUE);
	jpeg_start_compress(c, TRUE);
	size_t stride = (size_t)im->width * im->channels;
	while (c->next_scanline < c->image_height) {
		JSAMPROW row = im->pixels + c->next_scanline * stride;
		(void)jpeg_write_scanlines(c, &row, 1);
	}
	jpeg_finish_compress(c);
}

static enum pl_reason encode_jpeg(const struct pl_image *im, int quality, struct sink *out)
{
	if (im->width > JPEG_MAX_DIMENSION || im->height > JPEG_MAX_DIMENSION)
		return PL_REASON_BOMB;
	struct jpeg_write *w = calloc(1, sizeof(*w));
	if (!w)
		return PL_REASON_NO_MEMORY;
	enum pl_reason reason = PL_REASON_NO_MEMORY;
	if (!sink_grow(&w->sink, 1))
		goto done;
	w->c.err = jpeg_std_error(&w->errors);
	w->c.client_data = w;
	w->errors.error_exit = on_error;
	w->errors.output_message = on_output;
	if (setjmp(w->jump) == 0) {
		write_jpeg(w, im, quality);
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

static enum pl_reason encode_webp(struct pl_image *im, int quality, int effort, struct sink *out)
{
	if (im->width > WEBP_MAX_DIMENSION || im->height > WEBP_MAX_DIMENSION)
		return PL_REASON_BOMB;
	WebPConfig config;
	WebPPicture picture;
	if (!WebPConfigInit(&config) || !WebPPictureInit(&picture))
		return PL_REASON_UNSUPPORTED;
	config.lossless = quality > 100;
	config.quality = config.lossless ? 75.0f : (float)quality; /* lossless: how hard to try */
	config.method = effort;
	config.exact = 0;
	config.thread_level = 0;
	picture.width = (int)im->width;
	picture.height = (int)im->height;
	picture.use_argb = config.lossless;
	picture.writer = webp_write;
	picture.custom_ptr = out;
	enum pl_reason reason = PL_REASON_NO_MEMORY;
	if (WebPValidateConfig(&config) &&
	    WebPPictureImportRGB(&picture, im->pixels, (int)im->width * 3)) {
		if (WebPEncode(&config, &picture))
			reason = PL_REASON_KEEP;
		else if (picture.error_code != VP8_ENC_ERROR_OUT_OF_MEMORY &&
		    picture.error_code != VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY &&
		    picture.error_code != VP8_ENC_ERROR_BAD_WRITE)
			reason = PL_REASON_CORRUPT;
	}
	WebPPictureFree(&picture);
	return reason;
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

static int clamp(int value, int low, int high)
{
	return value < low ? low : value > high ? high : value;
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

enum pl_reason pl_img_encode(
    const struct pl_image *im, const struct pl_img_encode *how, uint8_t **out, size_t *len)
{
	struct sink sink = { 0 };
	enum pl_reason reason = PL_REASON_UNSUPPORTED;
	*out = NULL;
	*len = 0;
	if (!im->pixels || (im->channels != 1 && im->channels != 3))
		return PL_REASON_UNSUPPORTED;
	if (how->format == PL_FORMAT_JPEG)
		reason = encode_jpeg(im, clamp(how->quality, 1, 100), &sink);
	else if (how->format == PL_FORMAT_WEBP)
		reason = encode_webp_any(im, how, &sink);
	else if (how->format == PL_FORMAT_PNG)
		reason = encode_png(im, clamp(how->quality, -1, 9), &sink);
	if (reason != PL_REASON_KEEP) {
		free(sink.data);
		return reason;
	}
	*out = sink.data;
	*len = sink.len;
	return PL_REASON_KEEP;
}
