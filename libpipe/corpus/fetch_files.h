/* SPDX-License-Identifier: Apache-2.0 */
/* The open files behind a fetch: shards with their tables, and image tars, in
 * one least-recently-used cache. */
#ifndef PL_CORPUS_FETCH_FILES_H
#define PL_CORPUS_FETCH_FILES_H

#include "internal.h"
#include "mds_sample.h"
#include "related.h"
#include "shards/bytes.h"

/* Tables of a shard, alive as long as a fetched sample or the cache needs them. */
struct pl_table_ref {
	struct pl_tables tables;
	size_t refs;
};
void pl_table_ref_drop(struct pl_table_ref *r); /* NULL works */

struct pl_fetch_file {
	struct shard_bytes *bytes;   /* NULL = free slot */
	struct pl_table_ref *tables; /* NULL for an image tar */
	struct pl_mds *mds;          /* the shard is MDS; NULL = it is not */
	struct pl_related *related;  /* what the shard's records refer to; NULL = nothing */
	size_t corpus, index;        /* index of the shard or the store */
	uint64_t used;
};

struct pl_fetch_files {
	struct pl_corpus *const *corpora;
	struct pl_fetch_file *slots;
	size_t n;
	uint64_t clock;
};

/* The shard's file and tables; checks size and mtime against the facts when it opens them. Valid
 * until the next call. */
PL_MUST_CHECK enum pl_status pl_fetch_open_shard(struct pl_fetch_files *f, size_t corpus,
    size_t shard, struct pl_fetch_file **out, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_fetch_open_store(struct pl_fetch_files *f, size_t corpus,
    size_t store, struct pl_fetch_file **out, struct pl_err *err);
void pl_fetch_files_release(struct pl_fetch_files *f);

#endif
