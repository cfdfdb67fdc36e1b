/* SPDX-License-Identifier: Apache-2.0 */
/* Random access to the uncompressed bytes of a file: plain files by pread,
 * seekable zstd by frame, any other compression by unpacking it once into an
 * unlinked temporary file (in $TMPDIR). */
#ifndef SHARD_BYTES_H
#define SHARD_BYTES_H

#include "libpipe/base/err.h"

struct shard_bytes;
/* A compressed file without seek table that is damaged is as long as what could be unpacked before the damage. */
PL_MUST_CHECK enum pl_status shard_bytes_open(struct shard_bytes **b, const char *path, struct pl_err *err);
void shard_bytes_close(struct shard_bytes *b);   /* NULL works */
uint64_t shard_bytes_size(const struct shard_bytes *b);   /* uncompressed */
/* Exactly len bytes at offset into dst; PL_ERR_TRUNCATED when the file is shorter. */
PL_MUST_CHECK enum pl_status shard_bytes_read(struct shard_bytes *b, uint64_t offset, void *dst, size_t len, struct pl_err *err);
/* Number of the frame that holds offset, -1 when the file is not seekable zstd. */
int64_t shard_bytes_frame(const struct shard_bytes *b, uint64_t offset);
/* Compressed bytes read from disk so far. */
uint64_t shard_bytes_io(const struct shard_bytes *b);

/* Sequential: uncompressed stream of any file or "-" ("" compression included), for text records. */
struct shard_stream;
PL_MUST_CHECK enum pl_status shard_stream_open(struct shard_stream **s, const char *path, struct pl_err *err);
/* Up to len bytes; *got 0 = end. Damage: PL_ERR_TRUNCATED / PL_ERR_INVALID at shard severity. */
PL_MUST_CHECK enum pl_status shard_stream_read(struct shard_stream *s, void *dst, size_t len, size_t *got, struct pl_err *err);
void shard_stream_digest(const struct shard_stream *s, uint64_t hash[2], uint64_t *bytes);   /* of the raw file, after the end */
void shard_stream_close(struct shard_stream *s);

#endif
