/* SPDX-License-Identifier: Apache-2.0 */
/* A GIF of one frame in a fixed cube of 6x6x6 colours. libpipe reads GIF but
 * has no reason to write it; a corpus like the web's has some. */
#include "synth.h"

#include <gif_lib.h>
#include <stdlib.h>

static uint8_t level(uint8_t v)
{
	return (uint8_t)((v + 25) / 51);
}

void synth_gif_colours(struct pl_image *im)
{
	size_t n = (size_t)im->width * im->height * 3;

	for (size_t i = 0; i < n; i++)
		im->pixels[i] = (uint8_t)(level(im->pixels[i]) * 51);
}

static int take(GifFileType *gif, const GifByteType *data, int len)
{
	struct pl_buf *out = gif->UserData;

	return len >= 0 && pl_buf_add(out, data, (size_t)len, NULL) == PL_OK ? len : 0;
}

static ColorMapObject *cube(void)
{
	ColorMapObject *map = GifMakeMapObject(256, NULL);

	for (int i = 0; map != NULL && i < 216; i++) {
		map->Colors[i].Red = (GifByteType)(i / 36 * 51);
		map->Colors[i].Green = (GifByteType)(i / 6 % 6 * 51);
		map->Colors[i].Blue = (GifByteType)(i % 6 * 51);
	}
	return map;
}

static bool put_picture(GifFileType *gif, const struct pl_image *im, const ColorMapObject *map, GifPixelType *line)
{
	int width = (int)im->width, height = (int)im->height;
	const uint8_t *p = im->pixels;

	if (EGifPutScreenDesc(gif, width, height, 8, 0, map) != GIF_OK ||
	    EGifPutImageDesc(gif, 0, 0, width, height, false, NULL) != GIF_OK)
		return false;
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++, p += 3)
			line[x] = (GifPixelType)(level(p[0]) * 36 + level(p[1]) * 6 + level(p[2]));
		if (EGifPutLine(gif, line, width) != GIF_OK)
			return false;
	}
	return true;
}

enum pl_status synth_gif(const struct pl_image *im, uint8_t **bytes, size_t *len, struct pl_err *err)
{
	ColorMapObject *map = cube();
	GifPixelType *line = malloc(im->width);
	GifFileType *gif = NULL;
	struct pl_buf out;
	enum pl_status st = PL_ERR_NOMEM;
	int code = 0;

	pl_buf_init(&out, 0);
	if (map != NULL && line != NULL)
		gif = EGifOpen(&out, take, &code);
	if (gif == NULL)
		goto done;
	if (put_picture(gif, im, map, line))
		st = PL_OK;
	if (EGifCloseFile(gif, &code) != GIF_OK)
		st = PL_ERR_NOMEM;
done:
	GifFreeMapObject(map);
	free(line);
	if (st == PL_OK) {
		*bytes = (uint8_t *)pl_buf_detach(&out, len);
		return PL_OK;
	}
	pl_buf_release(&out);
	return pl_fail_nomem(err);
}
