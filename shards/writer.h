/* SPDX-License-Identifier: Apache-2.0 */
/* Writing output shards: USTAR members (mtime 0, uid/gid 0, mode 0444), whole
 * samples per zstd frame, sample index and seek table at the end (SPEC.md);
 * or plain tar with Energon's and DALI's index files. Bytes depend on the
 * samples and the options only. */
#ifndef SHARD_WRITER_H
#define SHARD_WRITER_H

#include "libpipe/base/err.h"
#include "libpipe/base/file.h"

enum shard_container { SHARD_TAR_ZST, SHARD_TAR };
extern const char *const shard_container_names[];   /* "tar.zst", "tar"; NULL-terminated */

enum shard_sidecars { SHARD_ENERGON = 1, SHARD_DALI = 2 };   /* NAME.tar.idx, NAME.idx */

struct shard_writer_options {
	enum shard_container container;
	uint64_t frame_size;     /* a frame is closed once its tar bytes reach this; 0 = 2 MiB */
	int level;               /* zstd level; SHARD_LEVEL_AUTO: -1 where most of the frame's bytes are images, 1 where text */
	unsigned leave_out;      /* SHARD_TAR: of enum shard_sidecars, index files that are not wanted */
};
#define SHARD_LEVEL_AUTO INT32_MIN

struct shard_member { const char *suffix; const void *data; size_t len; };

struct shard_writer;
/* path without extension is the caller's: "out/000000"; the writer appends ".tar.zst" or ".tar". */
PL_MUST_CHECK enum pl_status shard_writer_open(struct shard_writer **w, const char *stem,
    const struct shard_writer_options *options, struct pl_err *err);
/* Append one sample: members KEY.suffix in the given order. Key rules (SPEC.md): 1..200 bytes, no '.', '/' only inside,
 * no control characters, not seen before in this shard (PL_ERR_INVALID). A member over 8 GiB - 1: PL_ERR_LIMIT. */
PL_MUST_CHECK enum pl_status shard_writer_add(struct shard_writer *w, const char *key, const struct shard_member *members,
    size_t n, struct pl_err *err);
struct shard_written { uint64_t samples, frames, tar_bytes, file_bytes; uint64_t hash[2]; /* XXH3-128 of the file */ };
/* End-of-archive blocks, index, seek table, fsync, rename. w is freed on success and on error. */
PL_MUST_CHECK enum pl_status shard_writer_commit(struct shard_writer *w, struct shard_written *out, struct pl_err *err);
void shard_writer_abort(struct shard_writer *w);   /* remove the temporary; NULL works */

#endif
