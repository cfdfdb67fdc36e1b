/* SPDX-License-Identifier: Apache-2.0 */
/* A data set as one row of samples: by number, by key, of every container, with few files open, and what is said when
 * dataset.json and its shards disagree or a frame is broken. */
#include "reader_test.h"

#include "shards/reader/dataset_impl.h"

static const uint64_t sizes[] = { 100, 0, 57, 1, 230 };
enum { COUNT = 388 };

static void make(void)
{
	write_dataset(sizes, PL_ARRAY_LEN(sizes), 20000, 3000);
}

static void read_all(const struct shard_dataset *d, uint64_t cache)
{
	const struct shard_cursor_options o = { .cache = cache, .max_open = 2 };
	struct shard_cursor *c;
	struct shard_sample s;
	struct pl_err err;
	ok(shard_cursor_open(&c, d, &o, &err), &err);
	for (uint64_t i = 0; i < shard_dataset_count(d); i++) {
		ok(shard_cursor_read(c, i, &s, &err), &err);
		assert_int_equal(number_of(&s), i);
		assert_int_equal(s.index, i);
		uint64_t j = i * 7919 % shard_dataset_count(d);
		ok(shard_cursor_read(c, j, &s, &err), &err);
		assert_int_equal(number_of(&s), j);
		assert_true(shard_cursor_stats(c).open <= 2);
	}
	assert_int_equal(shard_cursor_read(c, shard_dataset_count(d), &s, &err), PL_ERR_NOTFOUND);
	shard_cursor_close(c);
}

static void test_directory(void **state)
{
	struct shard_dataset *d, *again;
	struct pl_err err;
	uint64_t a[2], b[2];
	size_t len;
	(void)state;
	make();
	ok(shard_dataset_open(&d, tmp_dir, &err), &err);
	assert_int_equal(shard_dataset_count(d), COUNT);
	assert_int_equal(shard_dataset_shards(d), PL_ARRAY_LEN(sizes));
	assert_int_equal(shard_dataset_shard(d, 4).first, 158);
	assert_int_equal(shard_dataset_shard(d, 4).tokens, 2);
	assert_int_equal(shard_dataset_locate(d, 99), 0);
	assert_int_equal(shard_dataset_locate(d, 100), 2);
	assert_int_equal(shard_dataset_locate(d, 157), 3);
	assert_int_equal(shard_dataset_locate(d, 387), 4);
	assert_non_null(shard_dataset_json(d, &len));
	assert_true(len > 100);
	read_all(d, 0);
	read_all(d, 1);
	ok(shard_dataset_open(&again, in_tmp("dataset.json"), &err), &err);
	shard_dataset_digest(d, a);
	shard_dataset_digest(again, b);
	assert_memory_equal(a, b, sizeof a);
	shard_dataset_close(again);
	shard_dataset_close(d);
}

/* One frame for one sample, none for its neighbours. */
static void test_one_frame(void **state)
{
	struct shard_dataset *d;
	struct shard_cursor *c;
	struct shard_sample s;
	struct pl_err err;
	(void)state;
	make();
	ok(shard_dataset_open(&d, tmp_dir, &err), &err);
	ok(shard_cursor_open(&c, d, NULL, &err), &err);
	ok(shard_cursor_read(c, 300, &s, &err), &err);
	assert_int_equal(shard_cursor_stats(c).frames, 1);
	assert_int_equal(shard_cursor_stats(c).opened, 1);
	assert_true(shard_cursor_stats(c).file_bytes < 40000);
	ok(shard_cursor_read(c, 299, &s, &err), &err);
	ok(shard_cursor_read(c, 300, &s, &err), &err);
	assert_true(shard_cursor_stats(c).frames <= 2);
	shard_cursor_close(c);
	shard_dataset_close(d);
}

static void test_keys(void **state)
{
	struct shard_dataset *d;
	struct shard_cursor *c;
	struct pl_err err;
	uint64_t i;
	(void)state;
	make();
	ok(shard_dataset_open(&d, tmp_dir, &err), &err);
	ok(shard_cursor_open(&c, d, NULL, &err), &err);
	for (uint64_t k = 0; k < COUNT; k += 13) {
		char key[32];
		snprintf(key, sizeof key, "k%llu", (unsigned long long)k);
		ok(shard_cursor_find(c, key, &i, &err), &err);
		assert_int_equal(i, k);
	}
	assert_int_equal(shard_cursor_find(c, "k388", &i, &err), PL_ERR_NOTFOUND);
	assert_int_equal(shard_cursor_find(c, "", &i, &err), PL_ERR_NOTFOUND);
	shard_cursor_close(c);
	shard_dataset_close(d);
}

/* In tmp_dir. */
static void run(const char *command)
{
	char all[2500];
	snprintf(all, sizeof all, "cd '%s' && %s", tmp_dir, command);
	assert_int_equal(system(all), 0);
}

/* Plain tar, our shard, and what others make of the same: zstd and gzip without seek table, GNU and PAX headers. */
static void test_any_container(void **state)
{
	struct shard_written w;
	struct shard_dataset *d;
	struct pl_err err;
	(void)state;
	write_numbered(in_tmp("0"), SHARD_TAR_ZST, 5000, 0, 50, 3000, &w);
	write_numbered(in_tmp("1"), SHARD_TAR, 0, 50, 50, 3000, &w);
	write_numbered(in_tmp("2"), SHARD_TAR, 0, 100, 50, 3000, &w);
	write_numbered(in_tmp("3"), SHARD_TAR, 0, 150, 50, 3000, &w);
	write_numbered(in_tmp("4"), SHARD_TAR, 0, 200, 50, 3000, &w);
	run("zstd -q 2.tar && gzip -k 3.tar && mkdir x && tar -C x -xf 4.tar && "
	    "tar --format=pax --mtime=@1.5 -cf 4p.tar -C x $(tar tf 4.tar)");
	char paths[5][1024];
	const char *list[5];
	static const char *const names[] = { "0.tar.zst", "1.tar", "2.tar.zst", "3.tar.gz", "4p.tar" };
	for (int i = 0; i < 5; i++) {
		snprintf(paths[i], sizeof paths[i], "%s/%s", tmp_dir, names[i]);
		list[i] = paths[i];
	}
	ok(shard_dataset_open_shards(&d, list, 5, &err), &err);
	assert_int_equal(shard_dataset_count(d), 250);
	read_all(d, 0);
	shard_dataset_close(d);
	ok(shard_dataset_open(&d, list[1], &err), &err);
	assert_int_equal(shard_dataset_count(d), 50);
	shard_dataset_close(d);
	run("rm -r x");
}

/* Seekable zstd whose frames cut samples: what t2sz and others write. */
static void test_foreign_frames(void **state)
{
	struct shard_written w;
	struct shard_dataset *d;
	struct pl_err err;
	(void)state;
	write_numbered(in_tmp("f"), SHARD_TAR, 0, 0, 120, 3000, &w);
	size_t len;
	uint8_t *tar = read_file(in_tmp("f.tar"), &len);
	/* Frames of 7000 bytes, one by one, and a seek table without checksums behind them. */
	FILE *out = fopen(in_tmp("f.tar.zst"), "wb");
	assert_non_null(out);
	uint8_t table[12 * 1000];
	size_t n = 0;
	for (size_t at = 0; at < len; at += 7000, n++) {
		size_t m = len - at < 7000 ? len - at : 7000, packed_len;
		write_file(in_tmp("part"), tar + at, m);
		run("zstd -q -f part");
		uint8_t *packed = read_file(in_tmp("part.zst"), &packed_len);
		assert_int_equal(fwrite(packed, 1, packed_len, out), packed_len);
		for (int b = 0; b < 4; b++) {
			table[8 * n + (size_t)b] = (uint8_t)(packed_len >> (8 * b));
			table[8 * n + 4 + (size_t)b] = (uint8_t)(m >> (8 * b));
		}
		free(packed);
	}
	uint32_t head[2] = { 0x184D2A5E, (uint32_t)(8 * n + 9) }, count = (uint32_t)n, magic = 0x8F92EAB1;
	assert_true(fwrite(head, 4, 2, out) == 2 && fwrite(table, 8, n, out) == n && fwrite(&count, 4, 1, out) == 1 &&
	    fputc(0, out) == 0 && fwrite(&magic, 4, 1, out) == 1 && fclose(out) == 0);
	free(tar);
	ok(shard_dataset_open(&d, in_tmp("f.tar.zst"), &err), &err);
	assert_int_equal(shard_dataset_count(d), 120);
	read_all(d, 0);
	shard_dataset_close(d);
}

static void expect_parse(const char *json, enum pl_status want)
{
	struct shard_dataset *d;
	struct pl_err err;
	enum pl_status status = shard_dataset_parse(&d, "dir", json, strlen(json), &err);
	if (status != want)
		print_error("%s\n", json);
	assert_int_equal(status, want);
	shard_dataset_close(d);
}

static void test_description(void **state)
{
	(void)state;
	expect_parse("{\"shards\":[]}", PL_OK);
	expect_parse("{\"shards\":[{\"name\":\"a\",\"samples\":1,\"bytes\":2}]}", PL_OK);
	expect_parse("{\"shards\":{}}", PL_ERR_INVALID);
	expect_parse("[]", PL_ERR_INVALID);
	expect_parse("{\"shards\":[1]}", PL_ERR_INVALID);
	expect_parse("{\"shards\":[{\"name\":\"../a\",\"samples\":1,\"bytes\":2}]}", PL_ERR_INVALID);
	expect_parse("{\"shards\":[{\"name\":\"..\",\"samples\":1,\"bytes\":2}]}", PL_ERR_INVALID);
	expect_parse("{\"shards\":[{\"name\":\"\",\"samples\":1,\"bytes\":2}]}", PL_ERR_INVALID);
	expect_parse("{\"shards\":[{\"name\":\"a\",\"samples\":-1,\"bytes\":2}]}", PL_ERR_INVALID);
	expect_parse("{\"shards\":[{\"name\":\"a\",\"samples\":1.5,\"bytes\":2}]}", PL_ERR_INVALID);
	expect_parse("{\"shards\":[{\"name\":\"a\",\"samples\":1}]}", PL_ERR_INVALID);
	expect_parse("{\"shards\":[{\"name\":\"a\",\"samples\":1,\"bytes\":2,\"images\":\"x\"}]}", PL_ERR_INVALID);
	expect_parse("{\"shards\":[{\"name\":\"a\",\"samples\":1,\"bytes\":2,\"xxh3_128\":\"0\"}]}", PL_ERR_INVALID);
	expect_parse("{\"shards\":[{\"name\":\"a\",\"samples\":1099511627776,\"bytes\":2},"
	    "{\"name\":\"b\",\"samples\":1,\"bytes\":2}]}", PL_ERR_LIMIT);
}

/* A shard that is not the one that dataset.json was written for. */
static void test_mismatch(void **state)
{
	struct shard_dataset *d;
	struct shard_cursor *c;
	struct shard_sample s;
	struct shard_written w;
	struct pl_err err;
	size_t len;
	(void)state;
	make();
	ok(shard_dataset_open(&d, tmp_dir, &err), &err);
	ok(shard_cursor_open(&c, d, NULL, &err), &err);
	uint8_t *whole = read_file(in_tmp("000002.tar.zst"), &len);
	write_file(in_tmp("000002.tar.zst"), whole, len - 1);
	assert_int_equal(shard_cursor_read(c, 120, &s, &err), PL_ERR_INVALID);
	assert_non_null(strstr(err.text, "the data set says"));
	/* Another count; the size is made to fit by what dataset.json says. */
	write_numbered(in_tmp("000002"), SHARD_TAR_ZST, 20000, 100, 56, 3000, &w);
	size_t json_len;
	char *json, was[64], is[64];
	ok(pl_file_read(in_tmp("dataset.json"), 1 << 20, &json, &json_len, &err), &err);
	snprintf(was, sizeof was, "\"bytes\":%zu,", len);
	snprintf(is, sizeof is, "\"bytes\":%llu,", (unsigned long long)w.file_bytes);
	char *at = strstr(json, was);
	assert_non_null(at);
	assert_int_equal(strlen(was), strlen(is));
	memcpy(at, is, strlen(is));
	write_file(in_tmp("dataset.json"), json, json_len);
	struct shard_dataset *other;
	struct shard_cursor *oc;
	ok(shard_dataset_open(&other, tmp_dir, &err), &err);
	ok(shard_cursor_open(&oc, other, NULL, &err), &err);
	assert_int_equal(shard_cursor_read(oc, 120, &s, &err), PL_ERR_INVALID);
	assert_non_null(strstr(err.text, "56 samples"));
	ok(shard_cursor_read(oc, 99, &s, &err), &err);
	ok(shard_cursor_read(oc, 158, &s, &err), &err);
	assert_int_equal(number_of(&s), 158);
	/* Gone. */
	assert_int_equal(unlink(in_tmp("000004.tar.zst")), 0);
	assert_int_equal(shard_cursor_read(c, 200, &s, &err), PL_ERR_NOTFOUND);
	free(json);
	free(whole);
	shard_cursor_close(oc);
	shard_dataset_close(other);
	shard_cursor_close(c);
	shard_dataset_close(d);
}

/* A broken frame names its file, its number and its samples; others are read as before. */
static void test_broken_frame(void **state)
{
	struct shard_dataset *d;
	struct shard_cursor *c;
	struct shard_sample s;
	struct pl_err err;
	size_t len;
	unsigned lost = 0;
	(void)state;
	make();
	uint8_t *bytes = read_file(in_tmp("000000.tar.zst"), &len);
	bytes[len / 2] ^= 1;
	write_file(in_tmp("000000.tar.zst"), bytes, len);
	ok(shard_dataset_open(&d, tmp_dir, &err), &err);
	ok(shard_cursor_open(&c, d, NULL, &err), &err);
	for (uint64_t i = 0; i < COUNT; i++) {
		enum pl_status status = shard_cursor_read(c, i, &s, &err);
		if (status == PL_OK) {
			assert_int_equal(number_of(&s), i);
			continue;
		}
		assert_int_equal(status, PL_ERR_INVALID);
		assert_int_equal(err.severity, PL_SEV_SHARD);
		assert_non_null(strstr(err.path, "000000.tar.zst"));
		assert_non_null(strstr(err.text, "frame "));
		assert_non_null(strstr(err.text, "are lost, keys 'k"));
		lost++;
	}
	assert_true(lost > 2 && lost < 40);
	shard_cursor_close(c);
	shard_dataset_close(d);
	free(bytes);
}

static void test_not_there(void **state)
{
	struct shard_dataset *d;
	struct pl_err err;
	const char *none = in_tmp("nothing");
	(void)state;
	assert_int_equal(shard_dataset_open(&d, none, &err), PL_ERR_NOTFOUND);
	assert_int_equal(shard_dataset_open(&d, tmp_dir, &err), PL_ERR_NOTFOUND);
	assert_non_null(strstr(err.text, "dataset.json"));
	assert_int_equal(shard_dataset_open_shards(&d, &none, 1, &err), PL_ERR_NOTFOUND);
	ok(shard_dataset_open_shards(&d, NULL, 0, &err), &err);
	assert_int_equal(shard_dataset_count(d), 0);
	shard_dataset_close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_directory, make_tmp_dir, remove_tmp_dir),
		cmocka_unit_test_setup_teardown(test_one_frame, make_tmp_dir, remove_tmp_dir),
		cmocka_unit_test_setup_teardown(test_keys, make_tmp_dir, remove_tmp_dir),
		cmocka_unit_test_setup_teardown(test_any_container, make_tmp_dir, remove_tmp_dir),
		cmocka_unit_test_setup_teardown(test_foreign_frames, make_tmp_dir, remove_tmp_dir),
		cmocka_unit_test(test_description),
		cmocka_unit_test_setup_teardown(test_mismatch, make_tmp_dir, remove_tmp_dir),
		cmocka_unit_test_setup_teardown(test_broken_frame, make_tmp_dir, remove_tmp_dir),
		cmocka_unit_test_setup_teardown(test_not_there, make_tmp_dir, remove_tmp_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
