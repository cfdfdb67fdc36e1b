/* SPDX-License-Identifier: Apache-2.0 */
/* The worked example in shards/SPEC.md is what the writer makes, byte by byte,
 * and the text's numbers are where it says they are. */
#include "shards_test.h"

#include <ctype.h>
#include <xxhash.h>
#include <zstd.h>

#include "libpipe/base/hash.h"
#include "shards/shard.h"
#include "shards/tar_read.h"

/* The document beside this source file's tree: the tests run from the repository root, or anywhere with an absolute
 * path to the compiler. */
static char *load_spec(void)
{
	static const char here[] = "tests/unit/test_shards_spec.c", file[] = __FILE__;
	char path[1024];
	size_t root = sizeof file - sizeof here, len;
	struct stat st;
	struct pl_err err;
	char *text;
	snprintf(path, sizeof path, "%.*sshards/SPEC.md", (int)root, file);
	if (stat(path, &st) != 0)
		snprintf(path, sizeof path, "shards/SPEC.md");
	ok(pl_file_read(path, 1 << 20, &text, &len, &err), &err);
	return text;
}

/* The bytes of the "```hex" block: lines "offset  bytes  # comment". */
static size_t example_bytes(uint8_t *out, size_t cap)
{
	char *text = load_spec();
	char *p = strstr(text, "```hex\n");
	size_t n = 0;
	assert_non_null(p);
	p = strchr(p, '\n') + 1;
	while (strncmp(p, "```", 3) != 0) {
		char *end = strchr(p, '\n'), *at;
		assert_non_null(end);
		unsigned long offset = strtoul(p, &at, 16);
		assert_int_equal(offset, n);
		for (; at < end && *at != '#'; at++) {
			if (!isxdigit((unsigned char)*at))
				continue;
			unsigned v;
			assert_int_equal(sscanf(at, "%2x", &v), 1);
			assert_true(n < cap);
			out[n++] = (uint8_t)v;
			at++;
		}
		p = end + 1;
	}
	free(text);
	return n;
}

static void test_example(void **state)
{
	struct shard_writer_options o = { .container = SHARD_TAR_ZST, .level = SHARD_LEVEL_AUTO };
	struct shard_member members[] = { { "json", "{}", 2 }, { "txt", "hi", 2 } };
	struct shard_writer *w;
	struct shard_written done;
	struct pl_err err;
	uint8_t want[4096];
	size_t n = example_bytes(want, sizeof want), len;
	(void)state;
	ok(shard_writer_open(&w, in_tmp("spec"), &o, &err), &err);
	ok(shard_writer_add(w, "a", members, 2, &err), &err);
	ok(shard_writer_commit(w, &done, &err), &err);
	assert_int_equal(done.tar_bytes, 3072);
	uint8_t *got = read_file(in_tmp("spec.tar.zst"), &len);
	/* Another zstd may spell the data frame otherwise; what follows it may not differ but in that frame's size. */
	if (ZSTD_versionNumber() == 10504) {
		assert_int_equal(len, n);
		assert_memory_equal(got, want, n);
	}
	free(got);
}

static void test_example_reads(void **state)
{
	struct shard_check check;
	struct shard_sample s;
	struct shard *shard;
	struct pl_err err;
	uint8_t bytes[4096];
	size_t n = example_bytes(bytes, sizeof bytes);
	(void)state;
	write_file(in_tmp("example.tar.zst"), bytes, n);
	ok(shard_verify(in_tmp("example.tar.zst"), &check, &err), &err);
	assert_int_equal(check.samples, 1);
	assert_int_equal(check.frames, 1);
	ok(shard_open(&shard, in_tmp("example.tar.zst"), &err), &err);
	ok(shard_read(shard, 0, &s, &err), &err);
	assert_string_equal(s.key, "a");
	assert_memory_equal(s.parts[1].data, "hi", 2);
	shard_close(shard);
}

static uint64_t number(const uint8_t *p, size_t len)
{
	uint64_t v = 0;
	while (len-- > 0)
		v = v << 8 | p[len];
	return v;
}

/* The fields by the offsets of the text, counted from the end, without this room's own decoder. */
static void test_layout(void **state)
{
	uint8_t b[4096], tar[3072];
	size_t n = example_bytes(b, sizeof b), table = n - (8 + 2 * 12 + 9), index = table - 52;
	(void)state;
	assert_int_equal(number(b + n - 4, 4), 0x8F92EAB1u);
	assert_int_equal(b[n - 5], 0x80);
	assert_int_equal(number(b + n - 9, 4), 2);
	assert_int_equal(number(b + table, 4), 0x184D2A5Eu);
	assert_int_equal(number(b + table + 8, 4), index);
	assert_int_equal(number(b + table + 12, 4), 3072);
	assert_int_equal(number(b + table + 20, 4), 52);
	assert_int_equal(number(b + table + 24, 4), 0);
	assert_int_equal(number(b + table + 28, 4), 0x51D8E999u);
	assert_int_equal(number(b + index, 4), 0x184D2A5Bu);
	assert_memory_equal(b + index + 8, "PLTI", 4);
	assert_int_equal(number(b + index + 12, 4), 1);
	assert_int_equal(number(b + index + 16, 8), 1);
	assert_true(number(b + index + 24, 8) == pl_hash64("a", 1));
	assert_int_equal(number(b + index + 32, 4), 0);
	assert_int_equal(number(b + index + 36, 4), 0);
	assert_int_equal(number(b + index + 40, 4), 2048);
	assert_true(number(b + index + 44, 8) == XXH64(b + index + 8, 36, 0));
	assert_int_equal(ZSTD_decompress(tar, sizeof tar, b, index), sizeof tar);
	assert_true(number(b + table + 16, 4) == (uint32_t)XXH64(tar, sizeof tar, 0));
	assert_string_equal((char *)tar, "a.json");
	assert_memory_equal(tar + 257, "ustar\0" "00", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_example_reads),
		cmocka_unit_test(test_layout),
	};
	return cmocka_run_group_tests(tests, make_tmp_dir, remove_tmp_dir);
}
