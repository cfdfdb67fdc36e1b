/* SPDX-License-Identifier: Apache-2.0 */
/* PNG through libspng: any depth, palette and interlace come out as 8-bit
 * grey, RGB or RGBA. */
#include "codec.h"

#include <spng.h>
#include <stdlib.h>
#include <string.h>

#include "icc.h"

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

uint8_t *pl_png_profile(const uint8_t *data, size_t len, size_t *profile_len)
{
	struct spng_iccp iccp;
	uint8_t *profile = NULL;
	spng_ctx *ctx = spng_ctx_new(0);
	*profile_len = 0;
	if (ctx && !spng_set_chunk_limits(ctx, MAX_CHUNK, MAX_CACHE) &&
	    !spng_set_png_buffer(ctx, data, len) && !spng_get_iccp(ctx, &iccp) &&
	    iccp.profile_len > 0 && iccp.profile_len <= PL_ICC_MAX)
		profile = malloc(iccp.profile_len);
	if (profile) {
		*profile_len = iccp.profile_len;
		memcpy(profile, iccp.profile, iccp.profile_len);
	}
	spng_ctx_free(ctx);
	return profile;
}

/* How spng is to give the pixels. */
struct png_layout { int format; uint32_t channels; bool alpha; };

/* The bytes of *im are 16-bit RGBA: the first channels of it, rounded to the nearest of 256 levels (libspng itself
 * would cut the lower byte off), in the place of the samples that were read. */
static void round_to_8_bits(struct pl_image *im, uint32_t channels, bool has_alpha)
{
	size_t n = (size_t)im->width * im->height;
	uint8_t *dst = im->pixels;
	for (size_t i = 0; i < n; i++)
		for (uint32_t c = 0; c < channels; c++) {
			uint16_t v;
			memcpy(&v, im->pixels + (i * 4 + (has_alpha && c == channels - 1 ? 3 : c)) * 2, sizeof(v));
			*dst++ = (uint8_t)((v * 255u + 32895) >> 16);
		}
	im->channels = channels;
	uint8_t *less = realloc(im->pixels, n * channels);
	if (less)
		im->pixels = less;
}

static struct png_layout layout_of(const struct spng_ihdr *ihdr, bool has_trns)
{
	bool grey = ihdr->color_type == SPNG_COLOR_TYPE_GRAYSCALE;
	bool alpha = has_trns || ihdr->color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA ||
	    ihdr->color_type == SPNG_COLOR_TYPE_TRUECOLOR_ALPHA;

	if (alpha)
		return (struct png_layout){ SPNG_FMT_RGBA8, 4, true };
	return grey ? (struct png_layout){ SPNG_FMT_G8, 1, false } : (struct png_layout){ SPNG_FMT_RGB8, 3, false };
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
	struct png_layout layout = layout_of(&ihdr, error == 0);
	const bool deep = ihdr.bit_depth == 16;
	if (deep)
		layout.format = SPNG_FMT_RGBA16;
	size_t size = 0;
	error = spng_decoded_image_size(ctx, layout.format, &size);
	if (error)
		return reason_of(error);
	/* 16-bit RGBA takes the room of two pictures with alpha. */
	enum pl_reason reason = deep && ihdr.height > UINT32_MAX / 2
	    ? PL_REASON_BOMB
	    : pl_image_init(out, ihdr.width, deep ? 2 * ihdr.height : ihdr.height, deep ? 4 : layout.channels);
	if (reason != PL_REASON_KEEP)
		return reason;
	if (size != (size_t)out->width * out->height * out->channels)
		return PL_REASON_CORRUPT;
	out->height = ihdr.height;
	error = spng_decode_image(ctx, out->pixels, size, layout.format, layout.alpha ? SPNG_DECODE_TRNS : 0);
	if (error)
		return reason_of(error);
	if (deep)
		round_to_8_bits(out, layout.channels, layout.alpha);
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
