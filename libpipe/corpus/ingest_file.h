/* SPDX-License-Identifier: Apache-2.0 */
/* What ingest asks of the file behind a shard. Internal to this room. */
#ifndef PL_CORPUS_INGEST_FILE_H
#define PL_CORPUS_INGEST_FILE_H

#include "ingest.h"
#include "shards/bytes.h"

/* Is the file seekable zstd, by the mark at its end? NULL: no. Other compressions have no frames worth a column. */
struct shard_bytes *pl_ingest_frames(const char *path);
/* length bytes of b in place of what buf holds. */
PL_MUST_CHECK enum pl_status pl_ingest_range(struct shard_bytes *b, uint64_t offset, uint64_t length, struct pl_buf *buf,
    struct pl_err *err);

#endif
