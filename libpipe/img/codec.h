/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share and nobody else needs: one reader per
 * format, byte order, and a resampler that can cut a window. */
#ifndef PL_IMG_CODEC_H
#define PL_IMG_CODEC_H

#include "image.h"
#include "resize.h"

static inline uint32_t pl_be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t pl_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint32_t pl_le16(const uint8_t *p)
{
	return (uint32_t)p[1] << 8 | p[0];
}

static inline uint32_t pl_le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* Orientation 1..8 of a TIFF block (what follows "Exif\0\0"); 1 when absent or invalid. */
uint8_t pl_exif_orientation(const uint8_t *data, size_t len);

/* KEEP, CORRUPT (a side is 0) or BOMB. */
enum pl_reason pl_img_check_size(uint64_t width, uint64_t height, const struct pl_img_limits *lim);

/* Headers. *info is zeroed but for format and orientation 1; sizes are not yet held against the
 * limits. */
enum pl_reason pl_probe_jpeg(const uint8_t *data, size_t len, struct pl_img_info *info);
enum pl_reason pl_probe_png(const uint8_t *data, size_t len, struct pl_img_info *info);
enum pl_reason pl_probe_webp(const uint8_t *data, size_t len, struct pl_img_info *info);
enum pl_reason pl_probe_gif(const uint8_t *data, size_t len, struct pl_img_info *info);
enum pl_reason pl_probe_bmp(const uint8_t *data, size_t len, struct pl_img_info *info);
/* Parses the container; no pixels. */
enum pl_reason pl_probe_avif(
    const uint8_t *data, size_t len, const struct pl_img_limits *lim, struct pl_img_info *info);

/* The ICC profile, malloc'ed, or NULL: see icc.h. */
uint8_t *pl_png_profile(const uint8_t *data, size_t len, size_t *profile_len);
uint8_t *pl_avif_profile(const uint8_t *data, size_t len, size_t *profile_len);

/* Pixels. The size in *info lies within the limits; a decoder that finds another size answers
 * CORRUPT. *out is zeroed on entry and is the caller's to release whatever the answer is. */
enum pl_reason pl_decode_jpeg(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_img_decode *how, struct pl_image *out);
enum pl_reason pl_decode_png(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, struct pl_image *out);
enum pl_reason pl_decode_webp(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, struct pl_image *out);
enum pl_reason pl_decode_gif(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, struct pl_image *out);
enum pl_reason pl_decode_bmp(
    const uint8_t *data, size_t len, const struct pl_img_info *info, struct pl_image *out);
enum pl_reason pl_decode_avif(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, struct pl_image *out);

/* A window of a picture scaled to scaled_w x scaled_h, without making the rest of it. The picture
 * fills src_w x src_h of the input from its top left corner: a DCT-reduced JPEG ends inside its
 * last pixel. */
struct pl_window {
	double src_w, src_h;
	uint32_t scaled_w, scaled_h;
	uint32_t x, y, width, height;
};
enum pl_reason pl_resample_window(const struct pl_image *in, const struct pl_window *win,
    enum pl_filter filter, struct pl_image *out);

#endif
