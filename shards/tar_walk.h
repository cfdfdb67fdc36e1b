/* SPDX-License-Identifier: Apache-2.0 */
/* A strict walk over tar bytes that plait wrote: every header must be the one
 * that shard_ustar_header makes, every padding zero, samples whole. */
#ifndef SHARD_TAR_WALK_H
#define SHARD_TAR_WALK_H

#include "libpipe/base/buf.h"
#include "ustar.h"

struct shard_sidecar;

struct shard_walked { uint64_t key_hash, offset, length; size_t key; /* in keys */ };

struct shard_walk {
	const char *path;
	struct shard_sidecar *sidecar;   /* told of samples and members when not NULL */
	struct shard_walked *samples;    /* owned */
	uint64_t n, cap, members;
	struct pl_buf keys;              /* NUL-terminated */
	uint64_t offset;                 /* of the next byte */
	uint64_t data_left, pad_left;    /* of the member under way */
	bool in_sample;
	unsigned zero_blocks;
	uint8_t block[SHARD_BLOCK];
	size_t have;
};

void shard_walk_init(struct shard_walk *w, const char *path);
void shard_walk_release(struct shard_walk *w);
/* Go on at offset, at the start of a sample (after damage, or for the next frame). */
void shard_walk_resume(struct shard_walk *w, uint64_t offset);
PL_MUST_CHECK enum pl_status shard_walk_feed(struct shard_walk *w, const uint8_t *data, size_t len, struct pl_err *err);
/* No more bytes in this stretch: it must end between samples, with two zero blocks if last and none if not. */
PL_MUST_CHECK enum pl_status shard_walk_end(struct shard_walk *w, bool last, struct pl_err *err);

#endif
