/* SPDX-License-Identifier: Apache-2.0 */
/* One image format under fuzz: header, pixels in each way they are asked for,
 * hash; and what must hold of them whatever the bytes are. */
#ifndef TEST_FUZZ_FUZZ_IMAGE_H
#define TEST_FUZZ_FUZZ_IMAGE_H

#include "fuzz.h"

#include "libpipe/img/image.h"
#include "libpipe/img/pdq.h"

static inline void fuzz_decode(const uint8_t *data, size_t size, const struct pl_img_info *info,
    const struct pl_img_limits *limits, struct pl_img_decode how)
{
	volatile uint8_t sum = 0;
	struct pl_image im = { 0 };

	if (pl_img_decode(data, size, info, limits, &how, &im) == PL_REASON_KEEP) {
		FUZZ_CHECK(im.channels == 1 || im.channels == 3 || im.channels == 4);
		FUZZ_CHECK(im.width > 0 && im.width <= info->width && im.height > 0 && im.height <= info->height);
		FUZZ_CHECK(how.scale_to > 0 || (im.width == info->width && im.height == info->height));
		for (size_t i = 0; i < (size_t)im.width * im.height * im.channels; i++)
			sum = (uint8_t)(sum ^ im.pixels[i]);
		FUZZ_CHECK(pl_img_orient(&im, info->orientation) == PL_REASON_KEEP);
		FUZZ_CHECK(pl_img_flatten(&im) == PL_REASON_KEEP && im.channels != 4);
		FUZZ_CHECK(pl_img_to_rgb(&im) == PL_REASON_KEEP && im.channels == 3);
	}
	pl_image_release(&im);
}

static inline int fuzz_format(const uint8_t *data, size_t size, enum pl_format format)
{
	struct pl_img_limits limits = pl_img_limits_default();
	struct pl_img_info info;
	struct pl_pdq hash;

	limits.max_pixels = 1 << 15;
	limits.max_missing = 1;   /* the more of a broken picture is decoded, the better */
	if (pl_img_sniff(data, size) != format || pl_img_probe(data, size, &limits, &info) != PL_REASON_KEEP)
		return 0;
	FUZZ_CHECK(info.format == format && info.orientation >= 1 && info.orientation <= 8);
	FUZZ_CHECK(info.width > 0 && info.height > 0 && (uint64_t)info.width * info.height <= limits.max_pixels);
	fuzz_decode(data, size, &info, &limits, (struct pl_img_decode){ 0, false });
	fuzz_decode(data, size, &info, &limits, (struct pl_img_decode){ 16, true });
	if (pl_img_hash(data, size, &info, &limits, PL_HASH_PDQ_AA, &hash) == PL_REASON_KEEP)
		FUZZ_CHECK(hash.quality <= 100);
	return 0;
}

#endif
