/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of shards/ share: a temporary directory, files in memory,
 * and small samples with known content. */
#ifndef TEST_SHARDS_TEST_H
#define TEST_SHARDS_TEST_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "libpipe/base/file.h"
#include "shards/writer.h"

#define ok(expr, err) check_ok((expr), (err), #expr, __FILE__, __LINE__)
static inline void check_ok(enum pl_status status, const struct pl_err *err, const char *expr, const char *file,
    int line)
{
	char text[2048];
	if (status != PL_OK)
		print_error("%s: %s: %s\n", expr, pl_status_name(status),
		    status == PL_END ? "" : pl_err_format(err, text, sizeof text));
	_assert_int_equal((uintmax_t)status, PL_OK, file, line);
}

static char tmp_dir[512];

static inline int make_tmp_dir(void **state)
{
	const char *base = getenv("TMPDIR");
	(void)state;
	snprintf(tmp_dir, sizeof tmp_dir, "%s/plait-test-XXXXXX", base && *base ? base : "/tmp");
	return mkdtemp(tmp_dir) ? 0 : -1;
}

static inline int remove_tmp_dir(void **state)
{
	DIR *d = opendir(tmp_dir);
	struct dirent *e;
	(void)state;
	while (d && (e = readdir(d))) {
		char path[1024];
		snprintf(path, sizeof path, "%s/%s", tmp_dir, e->d_name);
		(void)unlink(path);
	}
	if (d)
		closedir(d);
	return rmdir(tmp_dir);
}

/* tmp_dir/name; four of them may be in use at a time. */
static inline const char *in_tmp(const char *name)
{
	static char paths[4][1024];
	static unsigned next;
	char *p = paths[next++ % 4];
	snprintf(p, sizeof paths[0], "%s/%s", tmp_dir, name);
	return p;
}

static inline void write_file(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* malloc'ed */
static inline uint8_t *read_file(const char *path, size_t *len)
{
	struct pl_err err;
	char *data;
	ok(pl_file_read(path, (size_t)1 << 30, &data, len, &err), &err);
	return (uint8_t *)data;
}

/* Bytes that do not compress, the same for the same seed. */
static inline void fill_noise(uint8_t *p, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		p[i] = (uint8_t)(seed >> 24);
	}
}

/* A shard of n samples "dir/key<i>" with members json (text) and jpg (image_len bytes of noise). */
static inline struct shard_written write_shard(const char *stem, enum shard_container container, uint64_t frame_size,
    int n, size_t image_len)
{
	struct shard_writer_options o = { .container = container, .frame_size = frame_size, .level = SHARD_LEVEL_AUTO };
	struct shard_writer *w;
	struct shard_written done;
	struct pl_err err;
	uint8_t *image = malloc(image_len + 1);
	assert_non_null(image);
	ok(shard_writer_open(&w, stem, &o, &err), &err);
	for (int i = 0; i < n; i++) {
		char key[64], json[64];
		snprintf(key, sizeof key, "dir/key%d", i);
		snprintf(json, sizeof json, "{\"n\":%d}", i);
		fill_noise(image, image_len, (uint32_t)i);
		struct shard_member m[] = { { "json", json, strlen(json) }, { "0.jpg", image, image_len } };
		ok(shard_writer_add(w, key, m, 2, &err), &err);
	}
	ok(shard_writer_commit(w, &done, &err), &err);
	free(image);
	return done;
}

#endif
