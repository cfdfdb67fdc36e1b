/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: our own JPEG decoder, baseline and progressive. What it takes libjpeg must take, too, and
 * both must give the same samples, at every reduction and vector level. */
#include "fuzz.h"

#include "tests/unit/jpeg_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pl_img_limits limits = pl_img_limits_default();
	struct pl_img_info info;

	limits.max_pixels = 1 << 15;
	if (pl_img_sniff(data, size) != PL_FORMAT_JPEG || pl_img_probe(data, size, &limits, &info) != PL_REASON_KEEP)
		return 0;
	for (enum pl_simd level = PL_SIMD_SCALAR; level <= PL_SIMD_AVX512; level++) {
		if (!pl_jpeg_baseline_force(level))
			continue;
		for (unsigned by = 1; by <= 8; by *= 2) {
			FUZZ_CHECK(planes_verdict(data, size, &info, &limits, by) != DIFFERS);
			FUZZ_CHECK(image_verdict(data, size, &info, &limits, by, true) != DIFFERS);
			FUZZ_CHECK(image_verdict(data, size, &info, &limits, by, false) != DIFFERS);
		}
	}
	FUZZ_CHECK(pl_jpeg_baseline_force(PL_SIMD_NONE));
	return 0;
}
