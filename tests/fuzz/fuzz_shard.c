/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: an output shard with its index and seek table, by random access
 * and by verification. What verifies must also be readable. */
#include "fuzz.h"

#include "shards/shard.h"
#include "shards/tar_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_file f;
	struct shard *s;
	struct shard_sample sample;
	struct shard_check check;
	struct pl_err err;

	fuzz_file_open(&f, data, size);
	bool whole = shard_verify(f.path, &check, &err) == PL_OK;
	if (shard_open(&s, f.path, &err) == PL_OK) {
		uint64_t n = shard_count(s), i, found;
		if (whole)
			FUZZ_CHECK(check.samples == n);
		for (i = n; i > 0 && n - i < 64; i--) {
			bool ok = shard_read(s, i - 1, &sample, &err) == PL_OK;
			FUZZ_CHECK(ok || !whole);
			if (ok)
				FUZZ_CHECK(sample.nparts > 0);
		}
		if (shard_find(s, "key1", &found, &err) == PL_OK)
			FUZZ_CHECK(found < n);
		shard_close(s);
	} else {
		FUZZ_CHECK(!whole);
	}
	fuzz_file_close(&f);
	return 0;
}
