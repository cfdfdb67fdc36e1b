/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: dataset.json. What is taken adds up, and no shard lies outside the directory. */
#include <string.h>

#include "fuzz.h"

#include "shards/reader/dataset_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct shard_dataset *d;
	struct pl_err err;
	uint64_t first = 0;

	if (shard_dataset_parse(&d, "dir", (const char *)data, size, &err) != PL_OK)
		return 0;
	for (size_t k = 0; k < shard_dataset_shards(d); k++) {
		struct shard_dataset_shard s = shard_dataset_shard(d, k);
		FUZZ_CHECK(s.first == first);
		FUZZ_CHECK(strncmp(s.path, "dir/", 4) == 0 && !strchr(s.path + 4, '/') && strcmp(s.path + 4, "..") != 0);
		if (s.samples > 0) {
			FUZZ_CHECK(shard_dataset_locate(d, first) == k);
			FUZZ_CHECK(shard_dataset_locate(d, first + s.samples - 1) == k);
		}
		first += s.samples;
	}
	FUZZ_CHECK(shard_dataset_count(d) == first);
	shard_dataset_close(d);
	return 0;
}
