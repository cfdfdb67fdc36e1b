/* SPDX-License-Identifier: Apache-2.0 */
/* The file behind a shard: its hash, its frames, a range of its bytes. */
#include "ingest_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"

enum pl_status pl_ingest_hash(const char *path, const struct pl_ingest_env *env, uint64_t hash[2], struct pl_err *err)
{
	const size_t size = (size_t)1 << 20;
	struct pl_hasher *h = pl_hasher_new();
	uint8_t *buf = malloc(size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum pl_status st = PL_OK;
	size_t got = size;

	if (h == NULL || buf == NULL)
		st = pl_fail_nomem(err);
	else if (fd < 0)
		st = pl_fail_errno(err, PL_SEV_SHARD, path, "cannot open");
	while (st == PL_OK && got == size) {
		st = pl_read_full(fd, buf, size, &got, path, err);
		if (st == PL_OK) {
			pl_hasher_add(h, buf, got);
			st = env->poll != NULL ? env->poll(env->poll_ctx, err) : PL_OK;
		}
	}
	if (st == PL_OK)
		pl_hasher_digest(h, hash);
	if (fd >= 0)
		close(fd);
	free(buf);
	pl_hasher_free(h);
	return st;
}

struct shard_bytes *pl_ingest_frames(const char *path)
{
	static const uint8_t mark[4] = { 0xB1, 0xEA, 0x92, 0x8F };
	struct shard_bytes *b = NULL;
	struct stat sb;
	uint8_t end[4];
	int fd = strcmp(path, "-") != 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	bool seekable;

	if (fd < 0)
		return NULL;
	seekable = fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_size > 4 &&
	    pread(fd, end, sizeof(end), sb.st_size - 4) == (ssize_t)sizeof(end) &&
	    memcmp(end, mark, sizeof(mark)) == 0;
	close(fd);
	/* A seek table that does not hold is no reason to refuse a shard that can be read as a
	 * stream. */
	if (!seekable || shard_bytes_open(&b, path, NULL) != PL_OK)
		return NULL;
	return b;
}

enum pl_status pl_ingest_range(struct shard_bytes *b, uint64_t offset, uint64_t length, struct pl_buf *buf, struct pl_err *err)
{
	enum pl_status st;

	pl_buf_clear(buf);
	st = pl_buf_reserve(buf, (size_t)length, err);
	if (st == PL_OK)
		st = shard_bytes_read(b, offset, buf->data, (size_t)length, err);
	if (st == PL_OK) {
		buf->len = (size_t)length;
		buf->data[buf->len] = '\0';
	}
	return st;
}
