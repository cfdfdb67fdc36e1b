/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: AVIF, container and pixels; built without libavif, that nothing
 * of it is read. */
#include "fuzz_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
#ifndef HAVE_AVIF
	const struct pl_img_limits limits = pl_img_limits_default();
	struct pl_img_info info;

	FUZZ_CHECK(pl_img_sniff(data, size) != PL_FORMAT_AVIF ||
	    pl_img_probe(data, size, &limits, &info) != PL_REASON_KEEP);
#endif
	return fuzz_format(data, size, PL_FORMAT_AVIF);
}
