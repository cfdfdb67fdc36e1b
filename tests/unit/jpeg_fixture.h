/* SPDX-License-Identifier: Apache-2.0 */
/* Our JPEG decoder against libjpeg: whether it takes a file, and whether both
 * then give the same samples. For the unit test and the fuzz target. */
#ifndef TEST_UNIT_JPEG_FIXTURE_H
#define TEST_UNIT_JPEG_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "libpipe/img/jpeg_baseline.h"

enum verdict { NOT_MINE, SAME, DIFFERS };

/* The reduction that these least sides ask for; by itself but for pictures smaller than it. */
static inline unsigned asked_reduction(const struct pl_img_info *info, unsigned by)
{
	const uint32_t w = info->width / by, h = info->height / by;
	while (by < 8 && info->width / (2 * by) >= w && info->height / (2 * by) >= h)
		by *= 2;
	return by;
}

static inline int same_plane(const struct pl_plane *a, const struct pl_plane *b)
{
	if (a->stride != b->stride || a->width != b->width || a->height != b->height ||
	    a->extent_w < b->extent_w || a->extent_w > b->extent_w ||
	    a->extent_h < b->extent_h || a->extent_h > b->extent_h)
		return 0;
	for (size_t y = 0; y < a->height; y++)
		if (memcmp(a->data + y * a->stride, b->data + y * b->stride, a->width) != 0)
			return 0;
	return 1;
}

static inline enum verdict planes_verdict(const uint8_t *data, size_t len,
    const struct pl_img_info *info, const struct pl_img_limits *lim, unsigned by)
{
	struct pl_planes mine = { 0 }, theirs = { 0 };
	bool fit = false;
	if (!pl_jpeg_baseline_planes(data, len, info, lim, asked_reduction(info, by), &mine))
		return mine.block ? DIFFERS : NOT_MINE;
	pl_jpeg_baseline_use(false);
	const enum pl_reason reason = pl_decode_jpeg_planes(
	    data, len, info, lim, info->width / by, info->height / by, &theirs, &fit);
	pl_jpeg_baseline_use(true);
	bool same = reason == PL_REASON_KEEP && fit;
	for (int i = 0; same && i < 3; i++)
		same = same_plane(mine.plane + i, theirs.plane + i);
	free(mine.block);
	free(theirs.block);
	return same ? SAME : DIFFERS;
}

/* As luma, or as RGB. */
static inline enum verdict image_verdict(const uint8_t *data, size_t len,
    const struct pl_img_info *info, const struct pl_img_limits *lim, unsigned by, bool luma)
{
	struct pl_image mine = { 0 }, theirs = { 0 };
	const uint32_t shorter = info->width < info->height ? info->width : info->height;
	const struct pl_img_decode how = { (shorter + by - 1) / by, luma };
	/* Small pictures are reduced further. */
	while (by < 8 && (info->width + 2 * by - 1) / (2 * by) >= how.scale_to &&
	    (info->height + 2 * by - 1) / (2 * by) >= how.scale_to)
		by *= 2;
	if (luma ? !pl_jpeg_baseline_luma(data, len, info, lim, by, &mine)
		 : !pl_jpeg_baseline_rgb(data, len, info, lim, by, &mine))
		return mine.pixels ? DIFFERS : NOT_MINE;
	pl_jpeg_baseline_use(false);
	const enum pl_reason reason = pl_decode_jpeg(data, len, info, lim, &how, &theirs);
	pl_jpeg_baseline_use(true);
	const bool same = reason == PL_REASON_KEEP && theirs.channels == (luma ? 1 : 3) &&
	    mine.channels == theirs.channels && mine.width == theirs.width &&
	    mine.height == theirs.height &&
	    memcmp(mine.pixels, theirs.pixels,
		(size_t)mine.width * mine.height * mine.channels) == 0;
	pl_image_release(&mine);
	pl_image_release(&theirs);
	return same ? SAME : DIFFERS;
}

#endif
