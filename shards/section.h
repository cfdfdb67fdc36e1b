/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a stretch of a shard as a tar of its own, where bytes in the middle
 * can be had without those before them: plain tars and seekable zstd. */
#ifndef SHARD_SECTION_H
#define SHARD_SECTION_H

#include "tar_read.h"

/* Walk over the headers of a whole shard: samples with keys, offsets and lengths, data stays NULL; of a plain tar little more than the headers
 * is read from disk. PL_ERR_UNSUPPORTED at shard severity where the file allows no random access. The samples, and damage of the tar's
 * structure, are those that shard_reader_open would come upon. */
PL_MUST_CHECK enum pl_status shard_section_walk(struct shard_reader **r, const char *path, struct pl_err *err);

/* The samples whose members lie in the uncompressed bytes from..to-1 of a shard that can be walked. from and to: 0, where a sample begins, or
 * UINT64_MAX for the end. Offsets are those in the shard, so the samples of adjoining sections are, but for their number, those of the shard.
 * No digest is made. */
PL_MUST_CHECK enum pl_status shard_section_open(struct shard_reader **r, const char *path, uint64_t from, uint64_t to,
    const struct shard_read_limits *limits, struct pl_err *err);

#endif
