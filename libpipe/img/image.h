/* SPDX-License-Identifier: Apache-2.0 */
/* Decoded pixels, what the header says, and the ceilings every decoder obeys.
 * Everything in this room but pool.h runs inside the sandboxed codec worker. */
#ifndef PL_IMG_IMAGE_H
#define PL_IMG_IMAGE_H

#include "libpipe/base/err.h"
#include "libpipe/base/reason.h"

enum pl_format { PL_FORMAT_UNKNOWN, PL_FORMAT_JPEG, PL_FORMAT_PNG, PL_FORMAT_WEBP, PL_FORMAT_GIF, PL_FORMAT_BMP,
	PL_FORMAT_TIFF, PL_FORMAT_AVIF, PL_FORMAT_JP2, PL_FORMAT_ICO, PL_FORMAT_SVG, PL_FORMAT_COUNT };
/* Decodable: JPEG PNG WEBP GIF BMP, and AVIF where libavif was there at build. The rest is recognised so that reports can name it. */

const char *pl_format_name(enum pl_format f);        /* "jpeg", ..., "unknown" */
const char *pl_format_extension(enum pl_format f);   /* "jpg", "png", ... */
bool pl_format_decodable(enum pl_format f);

/* 8-bit pixels, rows top-down, interleaved channels, no padding: row y starts at y*width*channels. */
struct pl_image {
	uint8_t *pixels;      /* owned, malloc'ed */
	uint32_t width, height;
	uint32_t channels;    /* 1 grey, 3 RGB (sRGB assumed), 4 RGBA (not premultiplied) */
};
void pl_image_release(struct pl_image *im);
/* Allocate pixels (checked arithmetic). channels 1, 3 or 4. */
PL_MUST_CHECK enum pl_reason pl_image_init(struct pl_image *im, uint32_t width, uint32_t height, uint32_t channels);

struct pl_img_limits {
	uint64_t max_bytes;       /* of one encoded image; default 64 MiB   -> too_large */
	uint64_t max_pixels;      /* width*height; default 100,000,000      -> bomb */
	uint32_t max_side;        /* default 65,500                          -> bomb */
	uint32_t timeout_ms;      /* CPU time per image; 4 times as long by the wall; default 20,000 -> timeout */
	uint64_t max_memory;      /* address space of one worker; default 1 GiB -> no_memory */
	double max_missing;       /* share of a truncated JPEG that may be missing; default 0.05 -> truncated */
};
struct pl_img_limits pl_img_limits_default(void);

/* What the header tells, before any decode. */
struct pl_img_info {
	enum pl_format format;
	uint32_t width, height;   /* as stored, before orientation */
	uint8_t orientation;      /* EXIF 1..8; 1 when absent or invalid */
	uint8_t channels;         /* stored components: 1, 2 (grey+alpha), 3, 4 (RGBA or CMYK) */
	uint8_t depth;            /* bits per component */
	bool progressive;         /* JPEG */
	bool alpha;
	bool animated;
	bool subsampled_420;      /* JPEG 4:2:0 */
	/* The file says that its colours are not sRGB (an ICC profile; PNG's gAMA and cHRM), and this build
	 * converts them: pl_img_decode does, unless asked for luma. See icc.h. */
	bool foreign_profile;
	uint32_t frames;          /* of an animation, counted up to 65,535; 1 for stills */
};

/* Recognise by magic bytes, never by name. */
enum pl_format pl_img_sniff(const uint8_t *data, size_t len);

/* Read the header only (microseconds, no pixel memory). PL_REASON_KEEP, or EMPTY, UNSUPPORTED,
 * CORRUPT, TRUNCATED, TOO_LARGE, BOMB. info->format is always set. */
enum pl_reason pl_img_probe(const uint8_t *data, size_t len, const struct pl_img_limits *lim, struct pl_img_info *info);

/* Decode the first frame to grey, RGB or RGBA as stored (CMYK/YCCK -> RGB; 16 bit -> 8; palette -> RGB(A)).
 * scale_to: JPEG only: decode at the largest DCT reduction (1, 1/2, 1/4, 1/8) whose both sides stay >= scale_to
 * pixels; 0 = full size. luma: JPEG decoded as grey directly. Orientation is not applied here. */
struct pl_img_decode { uint32_t scale_to; bool luma; };
enum pl_reason pl_img_decode(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_img_decode *how, struct pl_image *out);

/* Free what the calling thread keeps between pictures (weights, colour profiles): before it ends. */
void pl_img_forget(void);

/* Apply EXIF orientation 1..8 in place (may reallocate). */
enum pl_reason pl_img_orient(struct pl_image *im, uint8_t orientation);
/* RGBA -> RGB on a white ground, in place; grey and RGB unchanged. */
enum pl_reason pl_img_flatten(struct pl_image *im);
/* grey -> RGB, in place. RGB unchanged. */
enum pl_reason pl_img_to_rgb(struct pl_image *im);

struct pl_img_encode { enum pl_format format; int quality; /* 1..100; WebP > 100 = lossless; PNG: zlib level 0..9, -1 default */ int effort; /* WebP method 0..6, default 2 */ };
/* Encode grey or RGB. *out malloc'ed. No metadata is written. Deterministic. */
enum pl_reason pl_img_encode(const struct pl_image *im, const struct pl_img_encode *how, uint8_t **out, size_t *len);

#endif
