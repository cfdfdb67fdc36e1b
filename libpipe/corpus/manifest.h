/* SPDX-License-Identifier: Apache-2.0 */
/* What writing and opening a corpus share: the manifest's name, its format
 * mark, and the digest that says whether two corpora hold the same rows. */
#ifndef PL_CORPUS_MANIFEST_H
#define PL_CORPUS_MANIFEST_H

#include "internal.h"

#define PL_MANIFEST_NAME "manifest.json"
#define PL_MANIFEST_FORMAT "plait-corpus"
#define PL_MANIFEST_VERSION 1
#define PL_MANIFEST_MAX ((size_t)1 << 30)

/* Over settings and the shards' units, hashes and counts: neither paths nor times. */
PL_MUST_CHECK enum pl_status pl_corpus_digest(const struct pl_source *source,
    const struct pl_shard_facts *shards, size_t n, uint64_t digest[2], struct pl_err *err);

#endif
