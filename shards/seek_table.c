/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing the seek table, and decoding a frame against it. */
#include "seek_table.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "le.h"
#include "libpipe/base/file.h"

#define TABLE_MAGIC 0x184D2A5Eu
#define FOOTER_MAGIC 0x8F92EAB1u
#define FOOTER_SIZE 9u
#define FRAMES_MAX 0x8000000u

/* A zstd block is at least four bytes and gives at most 128 KiB, so a frame that promises more is a lie. */
static bool plausible(uint32_t csize, uint32_t dsize)
{
	return csize >= 8 && dsize <= SHARD_FRAME_MAX && dsize <= ((uint64_t)csize / 4 + 1) * (128u << 10);
}

static enum pl_status invalid(struct pl_err *err, const char *path, const char *text)
{
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "the seek table is damaged: %s", text);
}

static enum pl_status decode_entries(struct shard_seek_table *t, const uint8_t *p, const char *path,
    struct pl_err *err)
{
	size_t entry = t->has_checksums ? 12 : 8;
	uint64_t coffset = 0;
	t->frames = calloc(t->n ? (size_t)t->n : 1, sizeof *t->frames);
	if (!t->frames)
		return pl_fail_nomem(err);
	t->dsize = 0;
	for (uint64_t i = 0; i < t->n; i++, p += entry) {
		struct shard_frame *f = &t->frames[i];
		f->csize = shard_le32(p);
		f->dsize = shard_le32(p + 4);
		f->checksum = t->has_checksums ? shard_le32(p + 8) : 0;
		f->coffset = coffset;
		f->doffset = t->dsize;
		if (!plausible(f->csize, f->dsize))
			return invalid(err, path, "an entry's sizes are impossible");
		coffset += f->csize;
		t->dsize += f->dsize;
	}
	if (coffset != t->offset)
		return invalid(err, path, "its frames do not fill the file");
	return PL_OK;
}

enum pl_status shard_seek_table_read(struct shard_seek_table *t, int fd, uint64_t file_size, const char *path,
    bool *found, uint64_t *io, struct pl_err *err)
{
	uint8_t footer[FOOTER_SIZE];
	size_t got;
	memset(t, 0, sizeof *t);
	*found = false;
	if (file_size < 8 + FOOTER_SIZE)
		return PL_OK;
	enum pl_status status = pl_pread_full(fd, footer, sizeof footer, file_size - sizeof footer, &got, path, err);
	if (status != PL_OK)
		return status;
	*io += got;
	if (got != sizeof footer || shard_le32(footer + 5) != FOOTER_MAGIC)
		return PL_OK;
	*found = true;
	t->n = shard_le32(footer);
	t->has_checksums = footer[4] & 0x80;
	if (footer[4] & 0x7c)
		return invalid(err, path, "reserved bits are set");
	if (t->n > FRAMES_MAX)
		return invalid(err, path, "it lists more than 134,217,728 frames");
	uint64_t size = t->n * (t->has_checksums ? 12 : 8) + FOOTER_SIZE;
	if (size + 8 > file_size)
		return invalid(err, path, "it is longer than the file");
	t->offset = file_size - size - 8;
	uint8_t *bytes = malloc((size_t)size + 8);
	if (!bytes)
		return pl_fail_nomem(err);
	status = pl_pread_full(fd, bytes, (size_t)size + 8, t->offset, &got, path, err);
	*io += status == PL_OK ? got : 0;
	if (status == PL_OK && got != size + 8)
		status = pl_fail(err, PL_ERR_TRUNCATED, PL_SEV_SHARD, path, "the file shrank while it was read");
	if (status == PL_OK && (shard_le32(bytes) != TABLE_MAGIC || shard_le32(bytes + 4) != size))
		status = invalid(err, path, "its frame header does not match its footer");
	if (status == PL_OK)
		status = decode_entries(t, bytes + 8, path, err);
	free(bytes);
	if (status != PL_OK)
		shard_seek_table_release(t);
	return status;
}

void shard_seek_table_release(struct shard_seek_table *t)
{
	free(t->frames);
	memset(t, 0, sizeof *t);
}

enum pl_status shard_seek_table_encode(const struct shard_frame *frames, uint64_t n, struct pl_buf *out,
    struct pl_err *err)
{
	uint8_t b[12];
	if (n > FRAMES_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "a shard has more than 134,217,728 frames");
	shard_put32(b, TABLE_MAGIC);
	shard_put32(b + 4, (uint32_t)(n * 12 + FOOTER_SIZE));
	enum pl_status status = pl_buf_add(out, b, 8, err);
	for (uint64_t i = 0; i < n && status == PL_OK; i++) {
		shard_put32(b, frames[i].csize);
		shard_put32(b + 4, frames[i].dsize);
		shard_put32(b + 8, frames[i].checksum);
		status = pl_buf_add(out, b, 12, err);
	}
	if (status != PL_OK)
		return status;
	shard_put32(b, (uint32_t)n);
	b[4] = 0x80;
	shard_put32(b + 5, FOOTER_MAGIC);
	return pl_buf_add(out, b, FOOTER_SIZE, err);
}

/* The checksum at the end of a zstd frame is the low half of the same XXH64, and zstd has just compared it with what it gave out: where the
 * frame has one, and is the only one with content, nothing is left to add up. */
static uint32_t checksum_of(const uint8_t *src, const struct shard_frame *f, const void *dst)
{
	enum { HAS_CHECKSUM = 4 };
	if (f->csize >= 12 && shard_le32(src) == SHARD_ZSTD_MAGIC && (src[4] & HAS_CHECKSUM) &&
	    ZSTD_getFrameContentSize(src, f->csize) == f->dsize && ZSTD_findFrameCompressedSize(src, f->csize) == f->csize)
		return shard_le32(src + f->csize - 4);
	return (uint32_t)XXH64(dst, f->dsize, 0);
}

enum pl_status shard_frame_decode(void *dctx, const struct shard_seek_table *t, uint64_t frame, const void *src,
    void *dst, const char *path, struct pl_err *err)
{
	const struct shard_frame *f = &t->frames[frame];
	size_t got = ZSTD_decompressDCtx(dctx, dst, f->dsize, src, f->csize);
	const char *why = NULL;
	if (ZSTD_isError(got))
		why = ZSTD_getErrorName(got);
	else if (got != f->dsize)
		why = "its size differs from the seek table";
	else if (t->has_checksums && f->dsize && checksum_of(src, f, dst) != f->checksum)
		why = "its checksum differs from the seek table";
	if (!why)
		return PL_OK;
	enum pl_status status = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "frame %llu is damaged: %s",
	    (unsigned long long)frame, why);
	if (err)
		pl_err_at_offset(err, f->coffset);
	return status;
}
