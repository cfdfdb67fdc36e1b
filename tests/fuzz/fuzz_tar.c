/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any tar as a stream of samples, under small ceilings. Every byte
 * of every part is touched. */
#include "fuzz.h"

#include "shards/tar_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct shard_read_limits limits = { .max_member = 65536, .max_sample = 262144, .max_parts = 64 };
	struct shard_reader *r;
	struct shard_sample s;
	struct pl_err err;
	volatile uint8_t sum = 0;

	if (shard_reader_open_memory(&r, "fuzz.tar", data, size, &limits, &err) != PL_OK)
		return 0;
	while (shard_reader_next(r, &s, &err) == PL_OK) {
		FUZZ_CHECK(s.key != NULL && s.nparts <= limits.max_parts);
		for (size_t p = 0; p < s.nparts; p++) {
			FUZZ_CHECK(s.parts[p].data == NULL || s.parts[p].len <= limits.max_member);
			for (size_t i = 0; s.parts[p].data != NULL && i < s.parts[p].len; i++)
				sum = (uint8_t)(sum ^ s.parts[p].data[i]);
		}
	}
	shard_reader_close(r);
	return 0;
}
