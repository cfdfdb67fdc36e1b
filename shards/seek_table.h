/* SPDX-License-Identifier: Apache-2.0 */
/* The seek table of zstd's seekable format (spec 0.1.0), ours and anyone's. */
#ifndef SHARD_SEEK_TABLE_H
#define SHARD_SEEK_TABLE_H

#include "libpipe/base/buf.h"

#define SHARD_FRAME_MAX ((uint64_t)1 << 30)   /* uncompressed bytes of a frame */
#define SHARD_ZSTD_MAGIC 0xFD2FB528u

struct shard_frame {
	uint64_t coffset, doffset;   /* where it starts, compressed and uncompressed */
	uint32_t csize, dsize;
	uint32_t checksum;           /* low half of XXH64 of the uncompressed bytes, when has_checksums */
};

struct shard_seek_table {
	struct shard_frame *frames;  /* owned; skippable frames included, with dsize 0 */
	uint64_t n;
	bool has_checksums;
	uint64_t offset;             /* of the table's own frame */
	uint64_t dsize;              /* sum */
};

/* Look for a table at the end of fd. *found false: there is none (no error). A table that contradicts the file or itself:
 * PL_ERR_INVALID. *io grows by the bytes read. */
PL_MUST_CHECK enum pl_status shard_seek_table_read(struct shard_seek_table *t, int fd, uint64_t file_size,
    const char *path, bool *found, uint64_t *io, struct pl_err *err);
void shard_seek_table_release(struct shard_seek_table *t);

/* Append the frame that holds the table (with checksums) to out. */
PL_MUST_CHECK enum pl_status shard_seek_table_encode(const struct shard_frame *frames, uint64_t n, struct pl_buf *out,
    struct pl_err *err);

/* Decompress one frame of t (csize bytes at src) into dst (dsize bytes); size and checksums must match.
 * dctx: a ZSTD_DCtx. The message names the frame by number. */
PL_MUST_CHECK enum pl_status shard_frame_decode(void *dctx, const struct shard_seek_table *t, uint64_t frame,
    const void *src, void *dst, const char *path, struct pl_err *err);

#endif
