/* SPDX-License-Identifier: Apache-2.0 */
/* Index files beside a plain tar: Energon's x.tar.idx and DALI's x.idx. */
#ifndef SHARD_SIDECAR_H
#define SHARD_SIDECAR_H

#include "libpipe/base/buf.h"

struct shard_sidecar {
	struct pl_buf energon;   /* u64 offsets */
	struct pl_buf named, nameless;   /* DALI's lines without the first one, with and without names */
	uint64_t samples;
	bool open_line;          /* a sample's line is begun */
	bool blanks;             /* a name has a blank, which the named form cannot hold */
};

void shard_sidecar_init(struct shard_sidecar *s);
void shard_sidecar_release(struct shard_sidecar *s);
/* A sample begins at offset. */
PL_MUST_CHECK enum pl_status shard_sidecar_sample(struct shard_sidecar *s, uint64_t offset, struct pl_err *err);
/* One of its members: data at offset. */
PL_MUST_CHECK enum pl_status shard_sidecar_member(struct shard_sidecar *s, const char *name, const char *suffix,
    uint64_t offset, uint64_t size, struct pl_err *err);
/* The end: offset of the first end-of-archive block. Then energon is x.tar.idx and *dali (init'ed here, released by the
 * caller) is x.idx. */
PL_MUST_CHECK enum pl_status shard_sidecar_finish(struct shard_sidecar *s, uint64_t offset, struct pl_buf *dali,
    struct pl_err *err);

/* malloc'ed names of both files for x.tar; false = no memory (nothing allocated). */
bool shard_sidecar_paths(const char *tar, char **energon, char **dali);

#endif
