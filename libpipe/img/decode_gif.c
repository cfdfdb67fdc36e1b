/* SPDX-License-Identifier: Apache-2.0 */
/* GIF through giflib, record by record: the first frame on its logical
 * screen. Later frames are never looked at, so they cannot cost anything. */
#include "codec.h"

#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>

struct gif_source {
	const uint8_t *data;
	size_t len, at;
};

static int gif_read(GifFileType *gif, GifByteType *dst, int n)
{
	struct gif_source *s = gif->UserData;
	if (n <= 0)
		return 0;
	size_t take = (size_t)n < s->len - s->at ? (size_t)n : s->len - s->at;
	memcpy(dst, s->data + s->at, take);
	s->at += take;
	return (int)take;
}

/* giflib reports a short read under many names; that all bytes are consumed tells more. */
static enum pl_reason reason_of(const struct gif_source *s, int error)
{
	if (error == D_GIF_ERR_NOT_ENOUGH_MEM)
		return PL_REASON_NO_MEMORY;
	return s->at >= s->len || error == D_GIF_ERR_EOF_TOO_SOON ? PL_REASON_TRUNCATED
								  : PL_REASON_CORRUPT;
}

/* Read up to the first image descriptor; *clear is the transparent index or -1. */
static enum pl_reason find_frame(GifFileType *gif, const struct gif_source *s, int *clear)
{
	*clear = -1;
	for (;;) {
		GifRecordType type;
		if (DGifGetRecordType(gif, &type) == GIF_ERROR)
			return reason_of(s, gif->Error);
		if (type == IMAGE_DESC_RECORD_TYPE)
			return DGifGetImageDesc(gif) == GIF_ERROR ? reason_of(s, gif->Error)
								  : PL_REASON_KEEP;
		if (type != EXTENSION_RECORD_TYPE)
			return PL_REASON_CORRUPT;
		int code;
		GifByteType *block;
		if (DGifGetExtension(gif, &code, &block) == GIF_ERROR)
			return reason_of(s, gif->Error);
		GraphicsControlBlock gcb;
		if (block && code == GRAPHICS_EXT_FUNC_CODE &&
		    DGifExtensionToGCB(block[0], block + 1, &gcb) == GIF_OK)
			*clear = gcb.TransparentColor;
		while (block)
			if (DGifGetExtensionNext(gif, &block) == GIF_ERROR)
				return reason_of(s, gif->Error);
	}
}

static void put_row(struct pl_image *out, const GifImageDesc *d, uint32_t y,
    const GifPixelType *row, const ColorMapObject *map, int clear)
{
	if (y >= out->height)
		return;
	for (uint32_t i = 0, x = (uint32_t)d->Left; i < (uint32_t)d->Width && x < out->width;
	     i++, x++) {
		int index = row[i];
		if (index == clear || index >= map->ColorCount)
			continue;
		const GifColorType *c = &map->Colors[index];
		uint8_t *dst = out->pixels + ((size_t)y * out->width + x) * 4;
		dst[0] = c->Red;
		dst[1] = c->Green;
		dst[2] = c->Blue;
		dst[3] = 255;
	}
}

static enum pl_reason read_frame(
    GifFileType *gif, const struct gif_source *s, struct pl_image *out, int clear)
{
	static const struct {
		uint32_t start, step;
	} passes[] = { { 0, 8 }, { 4, 8 }, { 2, 4 }, { 1, 2 } };
	const GifImageDesc *d = &gif->Image;
	const ColorMapObject *map = d->ColorMap ? d->ColorMap : gif->SColorMap;
	if (!map || d->Left < 0 || d->Top < 0 || d->Width <= 0 || d->Height <= 0)
		return PL_REASON_CORRUPT;
	GifPixelType *row = malloc((size_t)d->Width);
	if (!row)
		return PL_REASON_NO_MEMORY;
	enum pl_reason reason = PL_REASON_KEEP;
	uint32_t height = (uint32_t)d->Height;
	for (size_t p = 0; p < (d->Interlace ? 4u : 1u) && reason == PL_REASON_KEEP; p++) {
		uint32_t step = d->Interlace ? passes[p].step : 1;
		for (uint32_t y = d->Interlace ? passes[p].start : 0; y < height; y += step) {
			if (DGifGetLine(gif, row, d->Width) == GIF_ERROR) {
				reason = reason_of(s, gif->Error);
				break;
			}
			put_row(out, d, (uint32_t)d->Top + y, row, map, clear);
		}
	}
	free(row);
	return reason;
}

/* RGBA -> RGB when nothing shows through. */
static void drop_opaque_alpha(struct pl_image *im)
{
	size_t n = (size_t)im->width * im->height;
	for (size_t i = 0; i < n; i++)
		if (im->pixels[4 * i + 3] != 255)
			return;
	(void)pl_img_flatten(im);
}

enum pl_reason pl_decode_gif(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, struct pl_image *out)
{
	struct gif_source s = { data, len, 0 };
	int error = 0, clear;
	GifFileType *gif = DGifOpen(&s, gif_read, &error);
	if (!gif)
		return reason_of(&s, error);
	enum pl_reason reason = find_frame(gif, &s, &clear);
	if (reason == PL_REASON_KEEP &&
	    (gif->SWidth != (int)info->width || gif->SHeight != (int)info->height))
		reason = PL_REASON_CORRUPT;
	/* The frame may be larger than the screen it is cut to. */
	if (reason == PL_REASON_KEEP && gif->Image.Width > 0 && gif->Image.Height > 0)
		reason =
		    pl_img_check_size((uint64_t)gif->Image.Width, (uint64_t)gif->Image.Height, lim);
	if (reason == PL_REASON_KEEP)
		reason = pl_image_init(out, info->width, info->height, 4);
	if (reason == PL_REASON_KEEP) {
		memset(out->pixels, 0, (size_t)out->width * out->height * 4);
		reason = read_frame(gif, &s, out, clear);
	}
	if (reason == PL_REASON_KEEP)
		drop_opaque_alpha(out);
	(void)DGifCloseFile(gif, &error);
	return reason;
}
