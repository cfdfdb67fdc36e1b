/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of MDS shards as if they came from a tar: which column is the key,
 * which are images, text or JSON is told by name and encoding (README.md). */
#ifndef PL_CORPUS_MDS_SAMPLE_H
#define PL_CORPUS_MDS_SAMPLE_H

#include "libpipe/base/reason.h"
#include "shards/mds.h"
#include "shards/tar_read.h"

struct pl_mds;
/* The shard in b, which outlives m; unit names samples that have no key of their own. */
PL_MUST_CHECK enum pl_status pl_mds_open(struct pl_mds **m, struct shard_bytes *b, const char *path, const char *unit, struct pl_err *err);
void pl_mds_close(struct pl_mds *m);   /* NULL works */
uint64_t pl_mds_count(const struct pl_mds *m);
/* Where sample i lies in the uncompressed shard. */
PL_MUST_CHECK enum pl_status pl_mds_range(struct pl_mds *m, uint64_t i, uint64_t *offset, uint64_t *length, struct pl_err *err);
/* Sample i, which lies at offset, from its bytes data[len]; data NULL: only its key, which then is that of a sample without one. *s is
 * valid until the next call, and as long as data is. *why: KEEP, or why it can be nothing but a row: CORRUPT, TOO_LARGE. */
PL_MUST_CHECK enum pl_status pl_mds_sample(struct pl_mds *m, uint64_t i, uint64_t offset, const uint8_t *data, size_t len,
    struct shard_sample *s, enum pl_reason *why, struct pl_err *err);

#endif
