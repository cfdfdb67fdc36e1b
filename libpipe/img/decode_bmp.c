/* SPDX-License-Identifier: Apache-2.0 */
/* Uncompressed BMP: palettes, 16, 24 and 32 bits, with or without masks.
 * Read by hand: the small public decoders leave colours that the palette
 * lacks uninitialised, and the same bytes must always give the same pixels. */
#include "codec.h"

#include <string.h>

enum {
	FILE_HEADER = 14,
	OS2_HEADER = 12,
	INFO_HEADER = 40,
	MASKS_HEADER = 52,
	ALPHA_HEADER = 56,
	OS2_2_HEADER = 64,
	BI_BITFIELDS = 3
};

struct channel {
	uint32_t max; /* of the shifted value; 0 = channel absent */
	unsigned shift;
};

struct bmp {
	const uint8_t *rows; /* the first stored row */
	size_t stride;
	bool top_down;
	uint32_t bits; /* of a pixel */
	uint8_t palette[256][3];
	struct channel rgba[4];
};

static struct channel channel_of(uint32_t mask)
{
	struct channel c = { mask, 0 };
	while (c.max && !(c.max & 1)) {
		c.max >>= 1;
		c.shift++;
	}
	return c;
}

static uint8_t channel_value(const struct channel *c, uint32_t pixel, uint8_t absent)
{
	if (c->max == 0)
		return absent;
	uint64_t v = pixel >> c->shift & c->max;
	return (uint8_t)((v * 255 + c->max / 2) / c->max);
}

/* header: bytes of the info header, checked to lie inside the file. */
static void read_masks(
    struct bmp *b, const uint8_t *data, size_t len, uint32_t header, uint32_t compression)
{
	uint32_t masks[4] = { 0xFF0000, 0xFF00, 0xFF, 0 };
	if (b->bits == 16) {
		masks[0] = 0x7C00;
		masks[1] = 0x3E0;
		masks[2] = 0x1F;
	}
	if (compression == BI_BITFIELDS && len >= FILE_HEADER + MASKS_HEADER &&
	    header >= INFO_HEADER && header != OS2_2_HEADER)
		for (size_t i = 0; i < 3; i++)
			masks[i] = pl_le32(data + FILE_HEADER + INFO_HEADER + 4 * i);
	/* Without masks the fourth byte is padding by the book, and alpha in practice when not all
	 * zero. */
	if (header >= ALPHA_HEADER && header != OS2_2_HEADER && compression == BI_BITFIELDS)
		masks[3] = pl_le32(data + FILE_HEADER + MASKS_HEADER);
	else if (b->bits == 32 && compression != BI_BITFIELDS)
		masks[3] = 0xFF000000;
	for (size_t i = 0; i < 4; i++)
		b->rgba[i] = channel_of(masks[i]);
}

static void read_palette(
    struct bmp *b, const uint8_t *data, size_t pixels_at, uint32_t header, uint32_t used)
{
	size_t entry = header == OS2_HEADER ? 3 : 4, at = FILE_HEADER + header;
	size_t count = (size_t)1 << b->bits;
	if (used > 0 && used < count)
		count = used;
	for (size_t i = 0; i < count && at + entry <= pixels_at; i++, at += entry)
		for (size_t j = 0; j < 3; j++)
			b->palette[i][j] = data[at + 2 - j];
}

static enum pl_reason read_header(
    struct bmp *b, const uint8_t *data, size_t len, const struct pl_img_info *info)
{
	uint32_t header = pl_le32(data + FILE_HEADER), compression = 0, used = 0;
	if (len < FILE_HEADER + OS2_HEADER || len - FILE_HEADER < header)
		return PL_REASON_TRUNCATED;
	if (header == OS2_HEADER) {
		b->bits = pl_le16(data + 24);
	} else {
		b->bits = pl_le16(data + 28);
		b->top_down = pl_le32(data + 22) >> 31;
		compression = pl_le32(data + 30);
		used = pl_le32(data + 46);
	}
	/* Twelve bytes of masks may stand between a short header and the palette or pixels. */
	size_t least = FILE_HEADER + (size_t)header +
	    (header == INFO_HEADER && compression == BI_BITFIELDS ? 12 : 0);
	size_t pixels_at = pl_le32(data + 10);
	if (pixels_at < least)
		return PL_REASON_CORRUPT;
	b->stride = ((size_t)info->width * b->bits + 31) / 32 * 4;
	if (pixels_at > len || (len - pixels_at) / b->stride < info->height) {
		/* The padding of the last row is often left out. */
		size_t row = ((size_t)info->width * b->bits + 7) / 8;
		size_t all = b->stride * (info->height - 1) + row;
		if (pixels_at > len || len - pixels_at < all)
			return PL_REASON_TRUNCATED;
	}
	b->rows = data + pixels_at;
	if (b->bits <= 8)
		read_palette(b, data, pixels_at, header, used);
	else
		read_masks(b, data, len, header, compression);
	return PL_REASON_KEEP;
}

static void put_indexed(const struct bmp *b, const uint8_t *src, uint8_t *dst, uint32_t width)
{
	for (size_t x = 0; x < width; x++, dst += 3) {
		size_t bit = x * b->bits;
		unsigned index =
		    (unsigned)src[bit / 8] >> (8 - b->bits - bit % 8) & ((1u << b->bits) - 1);
		memcpy(dst, b->palette[index], 3);
	}
}

static void put_direct(
    const struct bmp *b, const uint8_t *src, uint8_t *dst, uint32_t width, uint32_t channels)
{
	const size_t bytes = b->bits / 8;
	for (uint32_t x = 0; x < width; x++, src += bytes, dst += channels) {
		uint32_t pixel = bytes == 2 ? pl_le16(src) : pl_le16(src) | (uint32_t)src[2] << 16;
		if (bytes == 4)
			pixel |= (uint32_t)src[3] << 24;
		for (size_t i = 0; i < channels; i++)
			dst[i] = channel_value(&b->rgba[i], pixel, i == 3 ? 255 : 0);
	}
}

/* A fourth byte that is zero everywhere was padding. */
static void revive_alpha(struct pl_image *im)
{
	size_t n = (size_t)im->width * im->height;
	for (size_t i = 0; i < n; i++)
		if (im->pixels[4 * i + 3] != 0)
			return;
	for (size_t i = 0; i < n; i++)
		im->pixels[4 * i + 3] = 255;
}

enum pl_reason pl_decode_bmp(
    const uint8_t *data, size_t len, const struct pl_img_info *info, struct pl_image *out)
{
	struct bmp b;
	memset(&b, 0, sizeof(b));
	if (len < FILE_HEADER + OS2_HEADER)
		return PL_REASON_TRUNCATED;
	enum pl_reason reason = read_header(&b, data, len, info);
	if (reason == PL_REASON_KEEP)
		reason = pl_image_init(out, info->width, info->height, info->alpha ? 4 : 3);
	if (reason != PL_REASON_KEEP)
		return reason;
	const size_t out_stride = (size_t)out->width * out->channels;
	for (uint32_t y = 0; y < out->height; y++) {
		const uint8_t *src = b.rows + b.stride * (b.top_down ? y : out->height - 1 - y);
		if (b.bits <= 8)
			put_indexed(&b, src, out->pixels + y * out_stride, out->width);
		else
			put_direct(
			    &b, src, out->pixels + y * out_stride, out->width, out->channels);
	}
	if (out->channels == 4)
		revive_alpha(out);
	return PL_REASON_KEEP;
}
