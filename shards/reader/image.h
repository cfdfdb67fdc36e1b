/* SPDX-License-Identifier: Apache-2.0 */
/* An image of a finished data set to RGB8 in the caller's memory, in this process.
 *
 * Images in finished data sets were written by plait, or decoded by it in its sandbox before they passed. The decoders here have
 * ceilings on sides, pixels and memory, but no sandbox: hostile images belong in the codec pool of the tools. */
#ifndef SHARD_READER_IMAGE_H
#define SHARD_READER_IMAGE_H

#include "libpipe/base/err.h"

enum shard_fit {
	SHARD_FIT_NONE,      /* the picture's own size */
	SHARD_FIT_SQUASH,    /* to width x height, ratio given up */
	SHARD_FIT_CROP       /* scaled so that it covers width x height, then cut in the middle (CLIP, in torchvision's rounding) */
};
enum shard_filter { SHARD_BICUBIC, SHARD_LANCZOS, SHARD_TRIANGLE };   /* antialiased, by Pillow's definition */

struct shard_image_options {
	enum shard_fit fit;
	uint32_t width, height;     /* of the result; ignored by SHARD_FIT_NONE */
	enum shard_filter filter;
	uint64_t max_pixels;        /* of the stored picture; 0 = 100,000,000. PL_ERR_LIMIT above */
	/* JPEG is decoded at the largest DCT reduction (1, 1/2, 1/4, 1/8) whose sides are at least this many times the target's:
	 * 0 = 2 (next to no difference); 1 is the fastest; UINT32_MAX: never reduced. */
	uint32_t decode_scale;
};

/* The size that shard_image_decode will give (orientation applied), from the header alone. PL_ERR_INVALID, PL_ERR_TRUNCATED,
 * PL_ERR_UNSUPPORTED (format), PL_ERR_LIMIT. */
PL_MUST_CHECK enum pl_status shard_image_size(const void *data, size_t len, const struct shard_image_options *options,
    uint32_t *width, uint32_t *height, struct pl_err *err);
/* Decode to rows of width x 3 bytes (R, G, B, sRGB), `stride` bytes apart, at dst[size]: EXIF orientation applied, colour profile
 * converted, alpha laid on white, first frame of an animation. size >= (height - 1) x stride + width x 3 of
 * shard_image_size, else PL_ERR_USAGE. Thread-safe. On an error dst may be half written. */
PL_MUST_CHECK enum pl_status shard_image_decode(const void *data, size_t len, const struct shard_image_options *options,
    void *dst, size_t stride, size_t size, struct pl_err *err);

/* Each thread that decodes keeps filter weights and colour profiles of its last pictures, a few MiB at most. This frees the calling
 * thread's: to be called before such a thread ends; a loader's own threads do. */
void shard_image_forget(void);

#endif
