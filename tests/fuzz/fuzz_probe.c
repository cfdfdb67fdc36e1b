/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: image headers, and the decoders behind them for small pictures.
 * A decoder must keep to the size that its header promised. */
#include "fuzz.h"

#include "libpipe/img/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pl_img_limits limits = pl_img_limits_default();
	struct pl_img_decode how = { 0, false };
	struct pl_img_info info;
	struct pl_image im;

	limits.max_pixels = 1 << 16;
	if (pl_img_probe(data, size, &limits, &info) != PL_REASON_KEEP)
		return 0;
	FUZZ_CHECK(pl_format_decodable(info.format));
	FUZZ_CHECK(info.width > 0 && info.height > 0 && (uint64_t)info.width * info.height <= limits.max_pixels);
	FUZZ_CHECK(info.orientation >= 1 && info.orientation <= 8);
	if (pl_img_decode(data, size, &info, &limits, &how, &im) == PL_REASON_KEEP) {
		FUZZ_CHECK(im.width == info.width && im.height == info.height);
		FUZZ_CHECK(pl_img_orient(&im, info.orientation) == PL_REASON_KEEP);
		FUZZ_CHECK(pl_img_flatten(&im) == PL_REASON_KEEP && im.channels != 4);
	}
	pl_image_release(&im);
	return 0;
}
