/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of shards/reader share: a small data set with known content. Sample i of it has the key "k<i>" and the member
 * n.txt with that number, behind members of noise. */
#ifndef TEST_READER_TEST_H
#define TEST_READER_TEST_H

#include "libpipe/base/buf.h"
#include "libpipe/base/hash.h"
#include "shards_test.h"

#include "shards/reader/loader.h"

struct made_shard { char name[64]; uint64_t samples; struct shard_written w; };

static inline void write_numbered(const char *stem, enum shard_container container, uint64_t frame_size, uint64_t first,
    uint64_t n, size_t noise, struct shard_written *done)
{
	struct shard_writer_options o = { .container = container, .frame_size = frame_size, .level = SHARD_LEVEL_AUTO };
	struct shard_writer *w;
	struct pl_err err;
	uint8_t *bytes = malloc(noise + 1);
	assert_non_null(bytes);
	ok(shard_writer_open(&w, stem, &o, &err), &err);
	for (uint64_t i = first; i < first + n; i++) {
		char key[32], text[32];
		snprintf(key, sizeof key, "k%llu", (unsigned long long)i);
		snprintf(text, sizeof text, "%llu", (unsigned long long)i);
		size_t len = noise ? (size_t)(i * 7919 % noise) : 0;
		fill_noise(bytes, len, (uint32_t)i);
		struct shard_member m[] = { { "bin", bytes, len }, { "n.txt", text, strlen(text) } };
		ok(shard_writer_add(w, key, m, 2, &err), &err);
	}
	ok(shard_writer_commit(w, done, &err), &err);
	free(bytes);
}

/* tmp_dir/dataset.json for shards of these sizes; frames of about frame_size. */
static inline void write_dataset(const uint64_t *sizes, size_t n, uint64_t frame_size, size_t noise)
{
	struct pl_buf json;
	struct pl_err err;
	uint64_t first = 0;
	pl_buf_init(&json, 0);
	ok(pl_buf_adds(&json, "{\"version\":\"0\",\"shards\":[", &err), &err);
	for (size_t k = 0; k < n; k++) {
		char stem[32], hex[33];
		struct shard_written w;
		snprintf(stem, sizeof stem, "%06zu", k);
		write_numbered(in_tmp(stem), SHARD_TAR_ZST, frame_size, first, sizes[k], noise, &w);
		pl_hash128_hex(w.hash, hex);
		ok(pl_buf_addf(&json, &err, "%s{\"name\":\"%s.tar.zst\",\"samples\":%llu,\"images\":1,\"tokens\":2,\"bytes\":%llu,"
		    "\"xxh3_128\":\"%s\"}", k ? "," : "", stem, (unsigned long long)w.samples, (unsigned long long)w.file_bytes, hex), &err);
		first += sizes[k];
	}
	ok(pl_buf_adds(&json, "]}", &err), &err);
	write_file(in_tmp("dataset.json"), json.data, json.len);
	pl_buf_release(&json);
}

/* The number that the sample itself holds; the noise must be its own. */
static inline uint64_t number_of(const struct shard_sample *s)
{
	static uint8_t want[1 << 16];
	assert_int_equal(s->nparts, 2);
	assert_string_equal(s->parts[0].suffix, "bin");
	assert_string_equal(s->parts[1].suffix, "n.txt");
	char text[32] = "";
	assert_true(s->parts[1].len < sizeof text);
	memcpy(text, s->parts[1].data, s->parts[1].len);
	uint64_t n = strtoull(text, NULL, 10);
	assert_true(s->parts[0].len <= sizeof want);
	fill_noise(want, s->parts[0].len, (uint32_t)n);
	assert_memory_equal(s->parts[0].data, want, s->parts[0].len);
	assert_true(s->key[0] == 'k' && strcmp(s->key + 1, text) == 0);
	return n;
}

#endif
