/* SPDX-License-Identifier: Apache-2.0 */
/* Resolution policies (img2dataset's meanings, reference: its resizer) and the
 * antialiased resampler behind them. */
#ifndef PL_IMG_RESIZE_H
#define PL_IMG_RESIZE_H

#include "pdq.h"

enum pl_filter { PL_FILTER_LANCZOS, PL_FILTER_BICUBIC, PL_FILTER_TRIANGLE, PL_FILTER_BOX };

/* Resample to width x height with Pillow's definition of the filters (support scaled when shrinking), in integers:
 * the same result on every machine. channels 1, 3 or 4. */
enum pl_reason pl_img_resample(const struct pl_image *in, uint32_t width, uint32_t height, enum pl_filter filter,
    struct pl_image *out);

enum pl_policy { PL_POLICY_NONE, PL_POLICY_KEEP_RATIO, PL_POLICY_KEEP_RATIO_LARGEST, PL_POLICY_CENTER_CROP, PL_POLICY_BORDER };
extern const char *const pl_policy_names[];   /* NULL-terminated, in enum order: "none", ... */

/* How far above its target size a JPEG may be reduced while it is decoded: never below this many times the target, on the
 * way through RGB half as much again. README.md tells what each costs. The first is the default. */
enum pl_decode_scale { PL_DECODE_SCALE_2, PL_DECODE_SCALE_1_5, PL_DECODE_SCALE_1 };
extern const char *const pl_decode_scale_names[];   /* NULL-terminated: "2", "1.5", "1" */
/* The least size a side that becomes `target` may be decoded at; UINT32_MAX where that is no 32-bit number. */
uint32_t pl_decode_least(enum pl_decode_scale scale, uint32_t target);

struct pl_resize {
	enum pl_policy policy;
	uint32_t size;                /* S of the policy, pixels; ignored by NONE */
	bool only_if_bigger;          /* resize_only_if_bigger: smaller images keep size, and are not cropped or padded */
	enum pl_filter filter;
	enum pl_format format;        /* output format; PL_FORMAT_UNKNOWN = keep the input's (GIF, BMP -> PNG; AVIF -> JPEG, with alpha PNG) */
	struct pl_img_encode encode;  /* quality and effort; format is taken from above */
	enum pl_decode_scale decode_scale;
	bool reencode;                /* re-encode even where nothing would change */
	bool optimise;                /* JPEG: Huffman tables made to measure: 3 % fewer bytes, half the speed */
	bool hash;                    /* pdq-aa of the picture as stored, too; changes nothing else */
};

/* The geometry of a policy applied to a width x height picture (already oriented): scale to
 * scaled_w x scaled_h, then crop or pad to out_w x out_h. */
struct pl_geometry { uint32_t scaled_w, scaled_h, out_w, out_h; bool changes; };
struct pl_geometry pl_resize_geometry(const struct pl_resize *r, uint32_t width, uint32_t height);

/* Decode, orient, flatten, resize, encode one image. Where nothing would change (same size and
 * format, orientation 1, no alpha to flatten, no colour profile to convert, reencode false) *passthrough = true, *out = NULL, and the caller keeps
 * the input's bytes. *width, *height: of the result. *format: of the result. *pdq, where asked for: of the input before anything is done to
 * it, as pl_img_scan has it, from the pixels that resizing decodes; of a JPEG these are at another DCT scale than the scan's, which moves the
 * hash by two bits on average (README.md). */
struct pl_resized { uint8_t *bytes; size_t len; bool passthrough; uint32_t width, height; enum pl_format format; struct pl_pdq pdq; };
enum pl_reason pl_img_transform(const uint8_t *data, size_t len, const struct pl_img_limits *lim,
    const struct pl_resize *r, struct pl_resized *out);
/* The same where pl_img_probe has filled *info, with PL_REASON_KEEP. */
enum pl_reason pl_img_transform_probed(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_resize *r, struct pl_resized *out);

#endif
