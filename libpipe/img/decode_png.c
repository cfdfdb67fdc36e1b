/* SPDX-License-Identifier: Apache-2.0 */
/* PNG through libspng: any depth, palette and interlace come out as 8-bit
 * grey, RGB or RGBA. */
#include "codec.h"

#include <spng.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_CHUNK = 32 << 20, /* one ancillary chunk, as stored or inflated (profiles, text) */
	MAX_CACHE = 48 << 20  /* all of them */
};

static enum pl_reason reason_of(int error)
{
	switch (error) {
	case 0:
		return PL_REASON_KEEP;
	case SPNG_IO_EOF:
	case SPNG_EIDAT_TOO_SHORT:
	case SPNG_EOF:
		return PL_REASON_TRUNCATED;
	case SPNG_EMEM:
		return PL_REASON_NO_MEMORY;
	case SPNG_EUSER_WIDTH:
	case SPNG_EUSER_HEIGHT:
	case SPNG_EOVERFLOW:
	case SPNG_ECHUNK_LIMITS:
		return PL_REASON_BOMB;
	default:
		return PL_REASON_CORRUPT;
	}
}

/* libspng has no 8-bit grey for 16-bit files: decoded as RGB, one of three equal bytes is kept. */
static void keep_first(struct pl_image *im)
{
	size_t n = (size_t)im->width * im->height;
	for (size_t i = 0; i < n; i++)
		im->pixels[i] = im->pixels[3 * i];
	im->channels = 1;
	uint8_t *less = realloc(im->pixels, n);
	if (less)
		im->pixels = less;
}

/* How spng is to give the pixels. */
struct png_layout { int format; uint32_t channels; bool alpha, keep_first; };

static struct png_layout layout_of(const struct spng_ihdr *ihdr, bool has_trns)
{
	bool grey = ihdr->color_type == SPNG_COLOR_TYPE_GRAYSCALE;
	bool alpha = has_trns || ihdr->color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA ||
	    ihdr->color_type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA;

	if (alpha)
		return (struct png_layout){ SPNG_FMT_RGBA8, 4, true, false };
	if (grey && ihdr->bit_depth <= 8)
		return (struct png_layout){ SPNG_FMT_G8, 1, false, false };
	return (struct png_layout){ SPNG_FMT_RGB8, 3, false, grey };
}

static enum pl_reason read_png(spng_ctx *ctx, const struct pl_img_info *info, struct pl_image *out)
{
	struct spng_ihdr ihdr;
	int error = spng_get_ihdr(ctx, &ihdr);
	if (error)
		return reason_of(error);
	if (ihdr.width != info->width || ihdr.height != info->height)
		return PL_REASON_CORRUPT;
	struct spng_trns trns;
	error = spng_get_trns(ctx, &trns); /* reads up to the pixels */
	if (error && error != SPNG_ECHUNKAVAIL)
		return reason_of(error);
	const struct png_layout layout = layout_of(&ihdr, error == 0);
	size_t size = 0;
	error = spng_decoded_image_size(ctx, layout.format, &size);
	if (error)
		return reason_of(error);
	enum pl_reason reason = pl_image_init(out, ihdr.width, ihdr.height, layout.channels);
	if (reason != PL_REASON_KEEP)
		return reason;
	if (size != (size_t)out->width * out->height * out->channels)
		return PL_REASON_CORRUPT;
	error = spng_decode_image(ctx, out->pixels, size, layout.format, layout.alpha ? SPNG_DECODE_TRNS : 0);
	if (error)
		return reason_of(error);
	if (layout.keep_first)
		keep_first(out);
	return PL_REASON_KEEP;
}

enum pl_reason pl_decode_png(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, struct pl_image *out)
{
	spng_ctx *ctx = spng_ctx_new(0);
	if (!ctx)
		return PL_REASON_NO_MEMORY;
	int error = spng_set_image_limits(ctx, lim->max_side, lim->max_side);
	if (!error)
		error = spng_set_chunk_limits(ctx, MAX_CHUNK, MAX_CACHE);
	if (!error)
		error = spng_set_png_buffer(ctx, data, len);
	enum pl_reason reason = error ? reason_of(error) : read_png(ctx, info, out);
	spng_ctx_free(ctx);
	return reason;
}
