/* SPDX-License-Identifier: Apache-2.0 */
/* From encoded bytes to pixels: the limits once more, then the decoder of
 * the format, then sRGB. */
#include "codec.h"

#include <string.h>

#include "icc.h"

static enum pl_reason decode_format(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_img_decode *how, struct pl_image *out)
{
	switch (info->format) {
	case PL_FORMAT_JPEG:
		return pl_decode_jpeg(data, len, info, lim, how, out);
	case PL_FORMAT_PNG:
		return pl_decode_png(data, len, info, lim, out);
	case PL_FORMAT_WEBP:
		return pl_decode_webp(data, len, info, lim, out);
	case PL_FORMAT_GIF:
		return pl_decode_gif(data, len, info, lim, out);
	case PL_FORMAT_BMP:
		return pl_decode_bmp(data, len, info, out);
	case PL_FORMAT_AVIF:
		return pl_decode_avif(data, len, info, lim, out);
	case PL_FORMAT_UNKNOWN:
	case PL_FORMAT_TIFF:
	case PL_FORMAT_JP2:
	case PL_FORMAT_ICO:
	case PL_FORMAT_SVG:
	case PL_FORMAT_COUNT:
		break;
	}
	return PL_REASON_UNSUPPORTED;
}

enum pl_reason pl_img_decode(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_img_decode *how, struct pl_image *out)
{
	static const struct pl_img_decode full = { 0, false };
	memset(out, 0, sizeof(*out));
	if (len == 0)
		return PL_REASON_EMPTY;
	if (len > lim->max_bytes)
		return PL_REASON_TOO_LARGE;
	enum pl_reason reason = pl_img_check_size(info->width, info->height, lim);
	if (reason == PL_REASON_KEEP)
		reason = decode_format(data, len, info, lim, how ? how : &full, out);
	if (reason == PL_REASON_KEEP && info->foreign_profile && !(how && how->luma))
		pl_img_to_srgb(data, len, info, out);
	if (reason != PL_REASON_KEEP)
		pl_image_release(out);
	return reason;
}
