/* SPDX-License-Identifier: Apache-2.0 */
/* One sample again: its document with the bytes of its images, from the
 * tables' offsets, without reading the rest of the shard. */
#ifndef PL_CORPUS_FETCH_H
#define PL_CORPUS_FETCH_H

#include "corpus.h"

struct pl_fetch;
/* corpora outlive the fetch. At most max_open files are kept open (0 = 64), least recently used closed first. */
PL_MUST_CHECK enum pl_status pl_fetch_new(struct pl_fetch **f, struct pl_corpus *const *corpora, size_t n, size_t max_open, struct pl_err *err);
void pl_fetch_free(struct pl_fetch *f);
/* From now on images that filter or dedup dropped have their bytes, too: for those who look at what was dropped. */
void pl_fetch_dropped_too(struct pl_fetch *f);

struct pl_fetched {
	struct pl_document doc;
	char *key;                     /* owned by the fetched sample */
	enum pl_reason *image_verdict; /* doc.nimages entries, from the tables */
	const struct pl_tables *tables;
	uint64_t row;
	struct pl_buf bytes;           /* the sample's bytes */
	uint8_t **image_bytes;         /* owned copies of STORE and FOLDER images, doc.nimages entries, NULL elsewhere */
	struct pl_sample_parse *parse; /* keeps the parsed sample alive */
};
void pl_fetched_init(struct pl_fetched *s);
void pl_fetched_release(struct pl_fetched *s);
/* Read sample row of shard of corpora[corpus]. doc.images[i].data is set for each image whose verdict is KEEP (see also pl_fetch_dropped_too). An input that no longer
 * matches the tables (size or mtime of the shard, key of the sample) is PL_ERR_CONFLICT at job severity: "ingest again". */
PL_MUST_CHECK enum pl_status pl_fetch_sample(struct pl_fetch *f, size_t corpus, size_t shard, uint64_t row, struct pl_fetched *s,
    struct pl_err *err);
/* The same without looking at the images: image_verdict and image_bytes stay NULL. */
PL_MUST_CHECK enum pl_status pl_fetch_document(struct pl_fetch *f, size_t corpus, size_t shard, uint64_t row, struct pl_fetched *s,
    struct pl_err *err);
/* Key text only. */
PL_MUST_CHECK enum pl_status pl_fetch_key(struct pl_fetch *f, size_t corpus, size_t shard, uint64_t row, char **key, struct pl_err *err);

#endif
