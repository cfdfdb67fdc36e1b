/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: PNG, header and pixels. */
#include "fuzz_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_format(data, size, PL_FORMAT_PNG);
}
