/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: an MDS shard; its samples, as parts and as documents of the kind that they look like. */
#include "fuzz.h"

#include "libpipe/corpus/document.h"
#include "libpipe/corpus/mds_sample.h"
#include "shards/bytes.h"

static void take(struct pl_mds *m, struct shard_bytes *b, uint64_t i, const struct pl_read_options *o, struct pl_document *d)
{
	struct shard_sample s;
	struct pl_err err;
	enum pl_reason why;
	uint64_t offset, length;
	uint8_t *data;

	if (pl_mds_range(m, i, &offset, &length, &err) != PL_OK)
		return;
	FUZZ_CHECK(offset + length <= shard_bytes_size(b));
	data = malloc(length + 1);
	FUZZ_CHECK(data != NULL);
	if (shard_bytes_read(b, offset, data, length, &err) == PL_OK &&
	    pl_mds_sample(m, i, offset, data, length, &s, &why, &err) == PL_OK) {
		struct pl_read_options told = *o;
		FUZZ_CHECK(s.key[0] != '\0');
		for (size_t k = 0; k < s.nparts; k++)
			FUZZ_CHECK(s.parts[k].len <= length || s.parts[k].offset == 0);
		told.kind = pl_detect_sample(&s);
		if (told.kind != PL_KIND_AUTO)
			(void)!pl_document_read_sample(d, &told, &s, &err);
	}
	free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct pl_read_options o = { 0 };
	struct fuzz_file f;
	struct shard_bytes *b;
	struct pl_mds *m;
	struct pl_document d;
	struct pl_err err;

	fuzz_file_open(&f, data, size);
	pl_document_init(&d);
	if (shard_bytes_open(&b, f.path, &err) == PL_OK) {
		if (pl_mds_open(&m, b, f.path, "unit", &err) == PL_OK) {
			FUZZ_CHECK(pl_mds_count(m) <= shard_bytes_size(b) / 4);
			for (uint64_t i = 0; i < pl_mds_count(m) && i < 16; i++)
				take(m, b, i, &o, &d);
			pl_mds_close(m);
		}
		shard_bytes_close(b);
	}
	pl_document_release(&d);
	fuzz_file_close(&f);
	return 0;
}
