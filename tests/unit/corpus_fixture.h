/* SPDX-License-Identifier: Apache-2.0 */
/* What the corpus tests share: a scratch directory, tars built member by
 * member (so that they can be wrong on purpose), and small JPEGs. */
#ifndef TESTS_CORPUS_FIXTURE_H
#define TESTS_CORPUS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libpipe/base/buf.h"
#include "libpipe/base/file.h"
#include "libpipe/img/image.h"

#define FIXTURE __attribute__((unused)) static

#define OK(call) \
	do { \
		struct pl_err *e_ = &err; \
		enum pl_status st_ = (call); \
		if (st_ != PL_OK) { \
			char t_[2048]; \
			fail_msg("%s: %s", #call, pl_err_format(e_, t_, sizeof(t_))); \
		} \
	} while (0)

FIXTURE char scratch[512];

FIXTURE void scratch_make(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(scratch, sizeof(scratch), "%s/plait-test-XXXXXX", tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(scratch));
}

FIXTURE void scratch_remove_tree(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char path[1024];
		struct stat sb;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (lstat(path, &sb) == 0 && S_ISDIR(sb.st_mode))
			scratch_remove_tree(path);
		else
			unlink(path);
	}
	if (d != NULL)
		closedir(d);
	rmdir(dir);
}

/* Path of a file in the scratch directory; a few at a time. */
FIXTURE const char *in_scratch(const char *name)
{
	static char paths[8][1024];
	static unsigned next;
	char *p = paths[next++ % 8];

	snprintf(p, sizeof(paths[0]), "%s/%s", scratch, name);
	return p;
}

FIXTURE void tar_add(struct pl_buf *tar, const char *name, const void *data, size_t len)
{
	static const char zeros[512];
	char head[512] = "";
	unsigned sum = 0;
	struct pl_err err;
	size_t i;

	snprintf(head, 100, "%s", name);
	memcpy(head + 100, "0000644\0000000000\0000000000", 24);
	snprintf(head + 124, 12, "%011zo", len);
	memcpy(head + 136, "00000000000", 12);
	memset(head + 148, ' ', 8);
	head[156] = '0';
	memcpy(head + 257, "ustar\00000", 8);
	for (i = 0; i < sizeof(head); i++)
		sum += (unsigned char)head[i];
	snprintf(head + 148, 8, "%06o", sum);
	OK(pl_buf_add(tar, head, sizeof(head), &err));
	OK(pl_buf_add(tar, data, len, &err));
	OK(pl_buf_add(tar, zeros, (512 - len % 512) % 512, &err));
}

FIXTURE void tar_text(struct pl_buf *tar, const char *name, const char *text)
{
	tar_add(tar, name, text, strlen(text));
}

FIXTURE void tar_end(struct pl_buf *tar)
{
	static const char zeros[1024];
	struct pl_err err;

	OK(pl_buf_add(tar, zeros, sizeof(zeros), &err));
}

FIXTURE const char *save(const char *name, const struct pl_buf *b)
{
	const char *path = in_scratch(name);
	struct pl_err err;

	OK(pl_file_write(path, b->data, b->len, &err));
	return path;
}

/* A picture that differs by seed; malloc'ed. */
FIXTURE uint8_t *jpeg(uint32_t width, uint32_t height, unsigned seed, size_t *len)
{
	const struct pl_img_encode how = { .format = PL_FORMAT_JPEG, .quality = 90 };
	struct pl_image im = { 0 };
	uint8_t *out = NULL;
	uint32_t x, y;

	assert_int_equal(pl_image_init(&im, width, height, 3), PL_REASON_KEEP);
	for (y = 0; y < height; y++)
		for (x = 0; x < width; x++) {
			uint8_t *p = im.pixels + ((size_t)y * width + x) * 3;

			p[0] = (uint8_t)(x * (seed + 1));
			p[1] = (uint8_t)(y * (seed + 2));
			p[2] = (uint8_t)((x / 8 + y / 8 + seed) % 2 * 200);
		}
	assert_int_equal(pl_img_encode(&im, &how, &out, len), PL_REASON_KEEP);
	pl_image_release(&im);
	return out;
}

FIXTURE void tar_jpeg(
    struct pl_buf *tar, const char *name, uint32_t width, uint32_t height, unsigned seed)
{
	size_t len;
	uint8_t *data = jpeg(width, height, seed, &len);

	tar_add(tar, name, data, len);
	free(data);
}

#endif
