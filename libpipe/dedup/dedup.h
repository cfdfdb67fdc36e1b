/* SPDX-License-Identifier: Apache-2.0 */
/* Dedup over corpora: exact by bytes, near by perceptual hash, exact by text,
 * and against evaluation sets. Reads samples and images tables (and filter
 * verdicts), writes UNIT.dedup.npy and UNIT.dedup-images.npy. Pure functions of
 * tables and options: the caller spreads the parts over ranks. */
#ifndef PL_DEDUP_DEDUP_H
#define PL_DEDUP_DEDUP_H

#include "join.h"
#include "libpipe/corpus/corpus.h"

#define PL_DEDUP_DISTANCE_DEFAULT 16
#define PL_DEDUP_QUALITY_DEFAULT 50

#define PL_TEXT_NGRAM_DEFAULT 5
#define PL_TEXT_NGRAM_MAX 64
#define PL_TEXT_BANDS_DEFAULT 14
#define PL_TEXT_ROWS_DEFAULT 8
#define PL_TEXT_JACCARD_DEFAULT 0.8
#define PL_TEXT_PAIRS_DEFAULT ((uint64_t)1 << 28)

/* Near-duplicate texts (near_text.h). */
struct pl_near_text_options {
	bool on;                /* only with text */
	unsigned ngram, bands, rows;
	uint32_t jaccard;       /* smallest Jaccard index of a pair, in millionths */
	uint64_t max_pairs;     /* candidates that one rank may have to hold; decides nothing but whether the job goes on */
};
/* The same from what options and recipes carry. PL_ERR_USAGE when they do not fit together; ranges are the callers'. */
PL_MUST_CHECK enum pl_status pl_near_text_set(struct pl_near_text_options *o, int64_t ngram, int64_t bands, int64_t rows, double jaccard,
    uint64_t max_pairs, struct pl_err *err);

struct pl_dedup_options {
	bool near;              /* perceptual hashes within distance */
	unsigned distance;
	unsigned min_quality;   /* images of lower PDQ quality are compared by bytes only */
	bool text;              /* equal normalised text: text, chat and interleaved samples */
	struct pl_near_text_options near_text;   /* then pl_near_text_resolve comes before pl_dedup_pairs */
	bool across;            /* between corpora too, not only within each */
	enum pl_status (*poll)(void *ctx, struct pl_err *err);   /* NULL, or called once a shard while tables are loaded */
	void *poll_ctx;
};

struct pl_dedup;
/* corpora[0..n-1] get verdicts; evals[0..m-1] only drop others and are never written. All must have one hash recipe (PL_ERR_USAGE
 * names those that differ). Loads one item (96 bytes) per kept image and per kept text: the bound on memory of this form. Rules:
 * pairs: the image decides; interleaved: the image leaves its document; chat: images only against evals, and a sample equal in
 * text and in first image is DUPLICATE_TEXT; text: equal text. */
PL_MUST_CHECK enum pl_status pl_dedup_new(struct pl_dedup **d, struct pl_corpus *const *corpora, size_t n, struct pl_corpus *const *evals,
    size_t m, const struct pl_dedup_options *o, struct pl_err *err);
void pl_dedup_free(struct pl_dedup *d);
/* Near pairs of part `part` of `parts` as struct pl_pair appended to out. */
PL_MUST_CHECK enum pl_status pl_dedup_pairs(struct pl_dedup *d, uint32_t part, uint32_t parts,
    enum pl_status (*poll)(void *ctx, struct pl_err *err), void *poll_ctx, struct pl_buf *out, struct pl_err *err);
/* All parts' pairs together (any order, modified): decide survivors. */
PL_MUST_CHECK enum pl_status pl_dedup_resolve(struct pl_dedup *d, struct pl_pair *pairs, size_t n, struct pl_err *err);
/* Commit the verdict tables of one shard; account: its samples and images as in = out + dropped, counted after status and filter. */
PL_MUST_CHECK enum pl_status pl_dedup_write(struct pl_dedup *d, size_t corpus, size_t shard, struct pl_account *account, struct pl_err *err);
/* Numbers for the report. */
struct pl_dedup_stats { uint64_t images, low_quality, distinct_hashes, pairs, dropped_bytes, dropped_near, dropped_eval, dropped_text,
    near_texts, text_pairs, dropped_near_text; };
struct pl_dedup_stats pl_dedup_stats(const struct pl_dedup *d);

#endif
