/* SPDX-License-Identifier: Apache-2.0 */
/* plaitshards: random-access reading of plait's output shards. No MPI, no
 * global state; a struct shard may be used by one thread at a time, several
 * may be open on one file. Format: SPEC.md. */
#ifndef SHARD_SHARD_H
#define SHARD_SHARD_H

#include "libpipe/base/err.h"

struct shard;
/* Open a plait .tar.zst (index and seek table are read and checked) or a plain .tar (indexed by walking its headers).
 * A .tar.zst without index, e.g. foreign seekable zstd, is indexed by reading it once. */
PL_MUST_CHECK enum pl_status shard_open(struct shard **s, const char *path, struct pl_err *err);
void shard_close(struct shard *s);
uint64_t shard_count(const struct shard *s);   /* samples */
uint64_t shard_frames(const struct shard *s);  /* zstd frames with data; 0 for plain tar */

struct shard_entry { uint64_t key_hash; uint32_t frame; uint64_t offset; /* in the uncompressed tar */ uint64_t length; };
/* i < shard_count. */
struct shard_entry shard_entry(const struct shard *s, uint64_t i);
/* Sample number of key, PL_ERR_NOTFOUND. Hash collisions are resolved by reading the candidates' headers. */
PL_MUST_CHECK enum pl_status shard_find(struct shard *s, const char *key, uint64_t *i, struct pl_err *err);
/* Read sample i; its frame (and no other) is decompressed and its checksum verified. *out (a struct shard_sample of
 * tar_read.h) is valid until the next call on s. */
struct shard_sample;
PL_MUST_CHECK enum pl_status shard_read(struct shard *s, uint64_t i, struct shard_sample *out, struct pl_err *err);
uint64_t shard_io_bytes(const struct shard *s);  /* file bytes read so far, index included */

/* Check everything: each frame's checksum and size, the index against the tar, USTAR headers, end blocks. On damage the
 * error names the sample keys of the broken frame. hash/bytes (may be NULL): XXH3-128 and size of the file. */
struct shard_check { uint64_t samples, members, frames, damaged_frames; uint64_t hash[2]; uint64_t bytes; };
PL_MUST_CHECK enum pl_status shard_verify(const char *path, struct shard_check *out, struct pl_err *err);
/* The same, and every sample of every damaged frame goes to damaged, in order: its number, its key (NULL when that cannot be read
 * any more) and what is wrong with the frame. */
typedef void shard_damaged_fn(void *ctx, uint64_t sample, const char *key, const char *why);
PL_MUST_CHECK enum pl_status shard_verify_each(const char *path, shard_damaged_fn *damaged, void *ctx, struct shard_check *out,
    struct pl_err *err);

/* Make what stands behind or beside the data again from the data: index and seek table of a .tar.zst, the index files of a .tar. The
 * file is replaced as a whole, atomically, with the bytes that the writer made; the data is checked, never changed: data that is damaged or
 * missing cannot be repaired (PL_ERR_INVALID). want (may be NULL): XXH3-128 that the file must have. *changed: something was wrong. */
PL_MUST_CHECK enum pl_status shard_repair(const char *path, const uint64_t want[2], bool *changed, struct pl_err *err);

#endif
