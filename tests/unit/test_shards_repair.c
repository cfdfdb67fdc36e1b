/* SPDX-License-Identifier: Apache-2.0 */
/* Repairing a shard that was cut anywhere or changed in any byte: the bytes it
 * had, or an error and the file as it was. And a shard that is replaced while
 * others read it: they see the old one or the new one, whole. */
#include "shards_test.h"

#include <signal.h>
#include <sys/wait.h>

#include "shards/shard.h"
#include "shards/tar_read.h"

#define SAMPLES 3
#define IMAGE 20

/* Repair what lies at path: true when it could be; the file is then `whole` again, else still `damaged`. */
static bool repairs(const char *path, const struct shard_written *done, const uint8_t *whole, size_t len, const uint8_t *damaged,
    size_t damaged_len)
{
	struct pl_err err;
	bool changed;
	enum pl_status status = shard_repair(path, done->hash, &changed, &err);
	size_t got;
	uint8_t *bytes = read_file(path, &got);
	if (status == PL_OK) {
		assert_int_equal(got, len);
		assert_memory_equal(bytes, whole, len);
		assert_true(changed == (len != damaged_len || memcmp(whole, damaged, len) != 0));
	} else {
		assert_false(changed);
		assert_int_equal(got, damaged_len);
		assert_memory_equal(bytes, damaged, damaged_len);
	}
	free(bytes);
	return status == PL_OK;
}

static void test_cut_anywhere(void **state)
{
	struct shard_written done = write_shard(in_tmp("cut"), SHARD_TAR_ZST, 1500, SAMPLES, IMAGE);
	const char *path = in_tmp("short.tar.zst");
	size_t len, tables = 8 + 24 + 20 * SAMPLES + 8 + (done.frames + 1) * 12 + 9, repaired = 0;
	uint8_t *bytes = read_file(in_tmp("cut.tar.zst"), &len);
	(void)state;
	for (size_t n = 0; n <= len; n++) {
		write_file(path, bytes, n);
		bool right = repairs(path, &done, bytes, len, bytes, n);
		assert_true(right == (n >= len - tables));
		repaired += right;
	}
	assert_int_equal(repaired, tables + 1);
	free(bytes);
}

static void test_change_anywhere(void **state)
{
	struct shard_written done = write_shard(in_tmp("flip"), SHARD_TAR_ZST, 1500, SAMPLES, IMAGE);
	const char *path = in_tmp("flipped.tar.zst");
	size_t len, tables = 8 + 24 + 20 * SAMPLES + 8 + (done.frames + 1) * 12 + 9;
	uint8_t *bytes = read_file(in_tmp("flip.tar.zst"), &len), *damaged = malloc(len);
	(void)state;
	assert_non_null(damaged);
	for (size_t i = 0; i < len; i++) {
		memcpy(damaged, bytes, len);
		damaged[i] ^= (uint8_t)(1u << i % 8);
		write_file(path, damaged, len);
		assert_true(repairs(path, &done, bytes, len, damaged, len) == (i >= len - tables));
	}
	free(damaged);
	free(bytes);
}

static void test_plain(void **state)
{
	struct shard_written done = write_shard(in_tmp("plain"), SHARD_TAR, 0, SAMPLES, IMAGE);
	struct shard_check check;
	struct pl_err err;
	bool changed;
	(void)state;
	ok(shard_repair(in_tmp("plain.tar"), done.hash, &changed, &err), &err);
	assert_false(changed);
	assert_int_equal(unlink(in_tmp("plain.tar.idx")), 0);
	write_file(in_tmp("plain.idx"), "v1.2 0\n", 7);
	assert_int_equal(shard_verify(in_tmp("plain.tar"), &check, &err), PL_ERR_NOTFOUND);
	ok(shard_repair(in_tmp("plain.tar"), done.hash, &changed, &err), &err);
	assert_true(changed);
	ok(shard_verify(in_tmp("plain.tar"), &check, &err), &err);
	assert_int_equal(truncate(in_tmp("plain.tar"), 700), 0);
	assert_int_equal(shard_repair(in_tmp("plain.tar"), NULL, &changed, &err), PL_ERR_TRUNCATED);
	assert_int_equal(shard_repair(in_tmp("nothing.tar"), NULL, &changed, &err), PL_ERR_NOTFOUND);
}

/* Read the whole shard by number and by key for as long as the parent lives with the writer; 0: every sample of every look was right. */
static int read_on(const char *path, const char *stop)
{
	struct shard_sample s;
	struct pl_err err;
	struct stat st;
	int looks = 0;
	while (stat(stop, &st) != 0 || looks < 3) {
		struct shard *shard;
		uint64_t at;
		if (shard_open(&shard, path, &err) != PL_OK)
			return 1;
		uint64_t n = shard_count(shard);
		if (n != 20 && n != 30)
			return 2;
		for (uint64_t i = 0; i < n; i++) {
			char key[32], json[32];
			uint8_t image[200];
			size_t len = n == 20 ? 100 : 200;
			snprintf(key, sizeof key, "dir/key%d", (int)i);
			snprintf(json, sizeof json, "{\"n\":%d}", (int)i);
			fill_noise(image, len, (uint32_t)i);
			if (shard_find(shard, key, &at, &err) != PL_OK || at != i || shard_read(shard, i, &s, &err) != PL_OK)
				return 3;
			if (strcmp(s.key, key) != 0 || s.nparts != 2 || s.parts[1].len != len ||
			    memcmp(s.parts[0].data, json, strlen(json)) != 0 || memcmp(s.parts[1].data, image, len) != 0)
				return 4;
		}
		shard_close(shard);
		looks++;
	}
	return 0;
}

static void test_replaced_while_read(void **state)
{
	char path[600], stop[600];
	pid_t readers[2];
	(void)state;
	snprintf(path, sizeof path, "%s/live.tar.zst", tmp_dir);
	snprintf(stop, sizeof stop, "%s/stop", tmp_dir);
	write_shard(in_tmp("live"), SHARD_TAR_ZST, 3000, 20, 100);
	for (int r = 0; r < 2; r++) {
		readers[r] = fork();
		assert_true(readers[r] >= 0);
		if (readers[r] == 0)
			_exit(read_on(path, stop));
	}
	for (int i = 0; i < 60; i++)
		write_shard(in_tmp("live"), SHARD_TAR_ZST, 3000, i % 2 ? 20 : 30, i % 2 ? 100 : 200);
	write_file(stop, "", 0);
	for (int r = 0; r < 2; r++) {
		int status;
		assert_int_equal(waitpid(readers[r], &status, 0), readers[r]);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_change_anywhere),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_replaced_while_read),
	};
	return cmocka_run_group_tests(tests, make_tmp_dir, remove_tmp_dir);
}
