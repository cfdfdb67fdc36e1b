/* SPDX-License-Identifier: Apache-2.0 */
/* What struct shard_bytes shows to the rest of this room. */
#ifndef SHARD_BYTES_IMPL_H
#define SHARD_BYTES_IMPL_H

#include "bytes.h"
#include "seek_table.h"

enum shard_bytes_kind { SHARD_BYTES_PLAIN, SHARD_BYTES_SEEKABLE, SHARD_BYTES_SPOOLED };

/* As shard_bytes_open, but a file that would have to be unpacked first is PL_ERR_UNSUPPORTED. */
PL_MUST_CHECK enum pl_status shard_bytes_open_random(struct shard_bytes **b, const char *path, struct pl_err *err);
enum shard_bytes_kind shard_bytes_kind(const struct shard_bytes *b);
/* NULL when not seekable. */
const struct shard_seek_table *shard_bytes_table(const struct shard_bytes *b);
/* SEEKABLE: the table becomes the caller's; b can then only be closed. */
void shard_bytes_take_table(struct shard_bytes *b, struct shard_seek_table *t);
/* Of the uncompressed bytes for PLAIN (the file) and SPOOLED (the temporary file); owned by b. */
int shard_bytes_fd(const struct shard_bytes *b);
/* Exactly len raw bytes of the file at offset, counted in shard_bytes_io. PLAIN and SEEKABLE only. */
PL_MUST_CHECK enum pl_status shard_bytes_raw(struct shard_bytes *b, uint64_t offset, void *dst, size_t len,
    struct pl_err *err);

#endif
