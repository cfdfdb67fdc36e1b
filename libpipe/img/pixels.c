/* SPDX-License-Identifier: Apache-2.0 */
/* Pixel buffers and the changes that need no filter: turning, laying on
 * white, spreading grey to RGB. */
#include "codec.h"

#include <stdlib.h>
#include <string.h>

void pl_image_release(struct pl_image *im)
{
	free(im->pixels);
	memset(im, 0, sizeof(*im));
}

enum pl_reason pl_image_init(
    struct pl_image *im, uint32_t width, uint32_t height, uint32_t channels)
{
	memset(im, 0, sizeof(*im));
	if (width == 0 || height == 0 || (channels != 1 && channels != 3 && channels != 4))
		return PL_REASON_CORRUPT;
	uint64_t row = (uint64_t)width * channels;
	if (row > SIZE_MAX / 2 / height)
		return PL_REASON_NO_MEMORY;
	im->pixels = malloc((size_t)row * height);
	if (!im->pixels)
		return PL_REASON_NO_MEMORY;
	im->width = width;
	im->height = height;
	im->channels = channels;
	return PL_REASON_KEEP;
}

/* The source pixel of (x, y) in the turned picture is at base + x*step_x + y*step_y, in pixels. */
struct turn {
	size_t base;
	ptrdiff_t step_x, step_y;
};

static struct turn turn_of(uint8_t orientation, size_t w, size_t h)
{
	ptrdiff_t row = (ptrdiff_t)w;
	size_t right = w - 1, bottom = (h - 1) * w;
	switch (orientation) {
	case 2: /* mirrored */
		return (struct turn){ right, -1, row };
	case 3: /* half a turn */
		return (struct turn){ bottom + right, -1, -row };
	case 4: /* upside down */
		return (struct turn){ bottom, 1, -row };
	case 5: /* transposed */
		return (struct turn){ 0, row, 1 };
	case 6: /* stored a quarter turn to the left */
		return (struct turn){ bottom, -row, 1 };
	case 7: /* transposed over the other diagonal */
		return (struct turn){ bottom + right, -row, -1 };
	case 8: /* stored a quarter turn to the right */
		return (struct turn){ right, row, -1 };
	default:
		return (struct turn){ 0, 1, row };
	}
}

enum pl_reason pl_img_orient(struct pl_image *im, uint8_t orientation)
{
	if (orientation < 2 || orientation > 8)
		return PL_REASON_KEEP;
	struct turn t = turn_of(orientation, im->width, im->height);
	struct pl_image out;
	bool swap = orientation >= 5;
	enum pl_reason reason = pl_image_init(
	    &out, swap ? im->height : im->width, swap ? im->width : im->height, im->channels);
	if (reason != PL_REASON_KEEP)
		return reason;
	const size_t c = im->channels;
	uint8_t *dst = out.pixels;
	for (uint32_t y = 0; y < out.height; y++) {
		ptrdiff_t src = (ptrdiff_t)t.base + (ptrdiff_t)y * t.step_y;
		for (uint32_t x = 0; x < out.width; x++, src += t.step_x, dst += c)
			memcpy(dst, im->pixels + (size_t)src * c, c);
	}
	pl_image_release(im);
	*im = out;
	return PL_REASON_KEEP;
}

enum pl_reason pl_img_flatten(struct pl_image *im)
{
	if (im->channels != 4)
		return PL_REASON_KEEP;
	size_t n = (size_t)im->width * im->height;
	const uint8_t *src = im->pixels;
	uint8_t *dst = im->pixels;
	for (size_t i = 0; i < n; i++, src += 4, dst += 3) {
		unsigned a = src[3];
		unsigned ground = (255 - a) * 255 + 127;
		unsigned r = (a * src[0] + ground) / 255, g = (a * src[1] + ground) / 255;
		unsigned b = (a * src[2] + ground) / 255;
		dst[0] = (uint8_t)r;
		dst[1] = (uint8_t)g;
		dst[2] = (uint8_t)b;
	}
	im->channels = 3;
	uint8_t *less = realloc(im->pixels, n * 3);
	if (less)
		im->pixels = less;
	return PL_REASON_KEEP;
}

enum pl_reason pl_img_to_rgb(struct pl_image *im)
{
	if (im->channels != 1)
		return PL_REASON_KEEP;
	struct pl_image out;
	enum pl_reason reason = pl_image_init(&out, im->width, im->height, 3);
	if (reason != PL_REASON_KEEP)
		return reason;
	size_t n = (size_t)im->width * im->height;
	for (size_t i = 0; i < n; i++)
		memset(out.pixels + 3 * i, im->pixels[i], 3);
	pl_image_release(im);
	*im = out;
	return PL_REASON_KEEP;
}
