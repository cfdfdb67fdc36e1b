/* SPDX-License-Identifier: Apache-2.0 */
/* What shard_stream (bytes.h) offers inside this room. */
#ifndef SHARD_STREAM_H
#define SHARD_STREAM_H

#include "bytes.h"

/* The next piece of the uncompressed stream without a copy, valid until the next call; *len 0 = end. */
PL_MUST_CHECK enum pl_status shard_stream_block(struct shard_stream *s, const void **data, size_t *len,
    struct pl_err *err);
/* Was a compression found? */
bool shard_stream_compressed(const struct shard_stream *s);
/* Bytes of the file read so far. */
uint64_t shard_stream_raw_bytes(const struct shard_stream *s);
/* Read what is left: of the uncompressed stream, so that the checksums at its end are seen, up to a
 * ceiling, then of the raw file, so that the digest covers it. */
PL_MUST_CHECK enum pl_status shard_stream_drain(struct shard_stream *s, struct pl_err *err);

#endif
