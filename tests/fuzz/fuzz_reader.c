/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any shard through the reader of data sets. It parses samples in place, and must find in them what libarchive
 * finds; a loader that skips damage must come to the end with the same samples. */
#include <string.h>

#include "fuzz.h"

#include "shards/reader/loader.h"
#include "shards/shard.h"

enum { COMPARED = 64 };

static void compare(const struct shard_sample *a, const struct shard_sample *b)
{
	FUZZ_CHECK(strcmp(a->key, b->key) == 0);
	FUZZ_CHECK(a->nparts == b->nparts);
	FUZZ_CHECK(a->offset == b->offset && a->length == b->length);
	for (size_t i = 0; i < a->nparts; i++) {
		FUZZ_CHECK(strcmp(a->parts[i].suffix, b->parts[i].suffix) == 0);
		FUZZ_CHECK(strcmp(a->parts[i].name, b->parts[i].name) == 0);
		FUZZ_CHECK(a->parts[i].len == b->parts[i].len && a->parts[i].offset == b->parts[i].offset);
		FUZZ_CHECK(!a->parts[i].data == !b->parts[i].data);
		if (a->parts[i].data)
			FUZZ_CHECK(memcmp(a->parts[i].data, b->parts[i].data, a->parts[i].len) == 0);
	}
}

static void check_loader(const struct shard_dataset *d)
{
	const struct shard_loader_options o = { .batch = 7, .block = 5, .window = 2, .on_damage = SHARD_DAMAGE_SKIP };
	struct shard_loader *l;
	const struct shard_batch *b;
	struct pl_err err;
	uint64_t n = 0;
	FUZZ_CHECK(shard_loader_open(&l, d, &o, &err) == PL_OK);
	while (shard_loader_next(l, &b, &err) == PL_OK) {
		n += b->n + b->skipped;
		shard_batch_release(l, b);
	}
	FUZZ_CHECK(n == shard_dataset_count(d));
	shard_loader_close(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_file f;
	struct shard_dataset *d;
	struct shard_cursor *c;
	struct shard *s;
	struct shard_sample mine, other;
	struct pl_err err;

	fuzz_file_open(&f, data, size);
	const char *path = f.path;
	if (shard_dataset_open_shards(&d, &path, 1, &err) == PL_OK) {
		FUZZ_CHECK(shard_open(&s, f.path, &err) == PL_OK);
		FUZZ_CHECK(shard_cursor_open(&c, d, NULL, &err) == PL_OK);
		uint64_t n = shard_dataset_count(d);
		FUZZ_CHECK(n == shard_count(s));
		for (uint64_t i = 0; i < n && i < COMPARED; i++) {
			bool ok = shard_cursor_read(c, i, &mine, &err) == PL_OK;
			bool too = shard_read(s, i, &other, &err) == PL_OK;
			FUZZ_CHECK(ok == too);
			if (ok)
				compare(&mine, &other);
		}
		if (n <= 4096)
			check_loader(d);
		shard_cursor_close(c);
		shard_close(s);
		shard_dataset_close(d);
	}
	fuzz_file_close(&f);
	return 0;
}
