/* SPDX-License-Identifier: Apache-2.0 */
/* The way of most web images: JPEG in, 4:2:0 out, without colour conversion and
 * without a full-size picture. Also what the resampler is made of. */
#ifndef PL_IMG_PLANES_H
#define PL_IMG_PLANES_H

#include "codec.h"
#include "simd.h"

/* One component as decoded. The picture fills extent_w x extent_h of the samples from the top left
 * corner: a reduced or subsampled plane ends inside its last sample. Samples are centred in what
 * they cover, as JPEG has them. */
struct pl_plane {
	const uint8_t *data;
	size_t stride;
	uint32_t width, height;
	double extent_w, extent_h;
};

struct pl_planes {
	uint8_t *block; /* owned: all three */
	struct pl_plane plane[3];
};

/* Y, Cb, Cr at the largest DCT reduction (1, 1/2, 1/4, 1/8) that leaves both sides >= least_w,
 * least_h. *fit = false and KEEP when the file is not YCbCr. *out is the caller's to free
 * (block) whatever the answer is. */
enum pl_reason pl_decode_jpeg_planes(const uint8_t *data, size_t len,
    const struct pl_img_info *info, const struct pl_img_limits *lim, uint32_t least_w,
    uint32_t least_h, struct pl_planes *out, bool *fit);

/* What of a picture scaled to scaled_w x scaled_h is made: width x height samples from (x, y), in
 * samples of the result, which need not be whole: a chroma sample may begin half way. */
struct pl_cut {
	double scaled_w, scaled_h, x, y;
	uint32_t width, height;
};

/* in has `channels` interleaved samples; so has dst. */
enum pl_reason pl_resample_cut(const struct pl_plane *in, uint32_t channels,
    const struct pl_cut *cut, enum pl_filter filter, uint8_t *dst, size_t dst_stride);

/* Vector code for the inner loops; all give the same bytes. FORCE_NONE: the best this machine has.
 * A level the machine lacks is not taken: false. For tests and benchmarks; one setting for all. */
bool pl_resample_force(enum pl_simd level);

/* The window of the stored picture that becomes what g keeps of the turned one; width or height is 0 where it keeps nothing.
 * back_*: the turned picture's axis runs against this stored axis. */
struct pl_kept {
	uint32_t scaled_w, scaled_h, x, y, width, height;
	bool swap, back_x, back_y;
};
struct pl_kept pl_kept_of(const struct pl_geometry *g, uint8_t orientation);

/* Full-range 4:2:0, the output of the planar way. Strides are whole JPEG blocks; what lies right
 * of the picture is free to write. */
struct pl_yuv420 {
	uint8_t *plane[3]; /* one owned block, at plane[0] */
	size_t stride[3];
	uint32_t width, height;
};
/* Standard Huffman tables, or such as are made to measure. The bytes are those of libjpeg-turbo. */
enum pl_reason pl_encode_jpeg_planes(
    struct pl_yuv420 *im, int quality, bool optimise, uint8_t **out, size_t *len);
/* The same by libjpeg-turbo: for tests and benchmarks. */
enum pl_reason pl_encode_jpeg_planes_library(
    struct pl_yuv420 *im, int quality, bool optimise, uint8_t **out, size_t *len);
/* As pl_resample_force, for pl_encode_jpeg_planes. */
bool pl_jpeg_write_force(enum pl_simd level);
/* Turns im into WebP's limited range on the way. */
enum pl_reason pl_encode_webp_planes(
    struct pl_yuv420 *im, int quality, int effort, uint8_t **out, size_t *len);
/* pl_img_encode with JPEG's Huffman tables made to measure. */
enum pl_reason pl_img_encode_optimised(
    const struct pl_image *im, const struct pl_img_encode *how, uint8_t **out, size_t *len);

/* The pdq-aa hash of the file, of pixels decoded for something else: `channels` interleaved samples, as stored. Where they were reduced
 * below what the hash wants, the file is decoded again. */
enum pl_reason pl_hash_decoded(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_plane *in, uint32_t channels, struct pl_pdq *out);

/* The whole planar way, tiles and all. *fit = false and KEEP: take the way through RGB. */
enum pl_reason pl_transform_planes(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_resize *r, const struct pl_tiling *t,
    struct pl_resized *out, bool *fit);

#endif
