/* SPDX-License-Identifier: Apache-2.0 */
/* The sample index in its skippable frame (SPEC.md "Sample index"). */
#ifndef SHARD_INDEX_H
#define SHARD_INDEX_H

#include "libpipe/base/buf.h"
#include "seek_table.h"

struct shard_index_entry {
	uint64_t key_hash;           /* XXH3-64 of the key */
	uint32_t frame;
	uint32_t offset, length;     /* in the frame's uncompressed bytes */
};

#define SHARD_INDEX_MAGIC 0x184D2A5Bu
#define SHARD_INDEX_OVERHEAD 32u   /* of the skippable frame beside its entries */
#define SHARD_INDEX_ENTRY 20u
#define SHARD_END_SIZE 1024u       /* end-of-archive blocks */

/* Append the frame to out. PL_ERR_LIMIT past 200,000,000 entries. */
PL_MUST_CHECK enum pl_status shard_index_encode(const struct shard_index_entry *entries, uint64_t n,
    struct pl_buf *out, struct pl_err *err);

/* Append what stands behind the data frames: the index and the seek table that lists it. frames has room for one more, which is filled. */
PL_MUST_CHECK enum pl_status shard_tables_encode(const struct shard_index_entry *entries, uint64_t n,
    struct shard_frame *frames, uint64_t nframes, struct pl_buf *out, struct pl_err *err);

/* Does a skippable frame that begins with head[16] hold an index of this or a later version? */
bool shard_index_here(const uint8_t head[16]);

/* Parse the frame (len bytes, the last one of t) and check it against t: samples must fill the data frames in order without
 * a gap, up to the end-of-archive blocks. *entries is malloc'ed. PL_ERR_INVALID, PL_ERR_UNSUPPORTED (version). */
PL_MUST_CHECK enum pl_status shard_index_decode(const uint8_t *bytes, size_t len, const struct shard_seek_table *t,
    const char *path, struct shard_index_entry **entries, uint64_t *n, struct pl_err *err);

#endif
