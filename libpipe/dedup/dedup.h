/* SPDX-License-Identifier: Apache-2.0 */
/* Dedup over corpora: exact by bytes, near by perceptual hash, exact by text,
 * and against evaluation sets. Reads samples and images tables (and filter
 * verdicts), writes UNIT.dedup.npy and UNIT.dedup-images.npy. Pure functions of
 * tables and options: the caller spreads the parts over ranks. */
#ifndef PL_DEDUP_DEDUP_H
#define PL_DEDUP_DEDUP_H

#include "join.h"
#include "parts.h"
#include "rules.h"
#include "libpipe/corpus/corpus.h"

#define PL_DEDUP_DISTANCE_DEFAULT 16
#define PL_DEDUP_QUALITY_DEFAULT 50
#define PL_DEDUP_BUDGET_MAX 1e18

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

/* Who stays of images that are near each other: README.md. */
enum pl_cluster { PL_CLUSTER_STARS, PL_CLUSTER_COMPONENTS };
extern const char *const pl_cluster_names[];   /* ends with NULL */

/* Where the hashes are while they are joined: on every node, or each where its node is held. README.md */
enum pl_dedup_plan { PL_PLAN_AUTO, PL_PLAN_REPLICATED, PL_PLAN_PARTITIONED };
extern const char *const pl_plan_names[];      /* ends with NULL */

struct pl_hashlist;
/* What stands among the evaluation sets and is none of their corpora. */
struct pl_dedup_other {
	const struct pl_hashlist *list;   /* NULL, or the list (hashlist.h) whose `corpus` this is */
	bool known;                       /* a corpus that dedup decided before: what it kept stays and drops others as duplicates */
};

struct pl_dedup_options {
	bool near;              /* perceptual hashes within distance */
	unsigned distance;
	unsigned min_quality;   /* images of lower PDQ quality are compared by bytes only */
	bool text;              /* equal normalised text: text, chat and interleaved samples */
	struct pl_near_text_options near_text;   /* then pl_near_text_resolve comes before pl_dedup_load */
	bool across;            /* between corpora too, not only within each */
	enum pl_cluster cluster;
	enum pl_dedup_plan plan;   /* decides nothing but time and memory */
	double budget;          /* most candidate pairs of images that pl_dedup_predict lets pass; 0: pl_dedup_budget */
	struct pl_dedup_rules rules;
	const struct pl_dedup_other *others;     /* NULL, or what each of the evals is; borrowed */
	enum pl_status (*poll)(void *ctx, struct pl_err *err);   /* NULL, or called often; also of one part alone */
	void *poll_ctx;
};

struct pl_dedup;
/* A dedup runs through new, (near texts,) load, join of all units, decide, write; what is Collective is called by all parts.
 *
 * corpora[0..n-1] get verdicts; evals[0..m-1] only drop others and are never written. All must have one hash recipe (PL_ERR_USAGE
 * names those that differ). parts: NULL = one part alone; copied. Decides equal texts. Rules:
 * pairs: the image decides; interleaved: the image leaves its document; chat: images only against evals, and a sample equal in
 * text and in first image is DUPLICATE_TEXT; text: equal text. Collective. */
PL_MUST_CHECK enum pl_status pl_dedup_new(struct pl_dedup **d, struct pl_corpus *const *corpora, size_t n, struct pl_corpus *const *evals,
    size_t m, const struct pl_dedup_options *o, const struct pl_parts *parts, struct pl_err *err);
/* NULL works. Collective. */
void pl_dedup_free(struct pl_dedup *d);
/* Read the images of what the texts left, number the different ones, plan the join, bring their hashes to all nodes if that is the plan. Collective. */
PL_MUST_CHECK enum pl_status pl_dedup_load(struct pl_dedup *d, struct pl_err *err);
/* The plan that is followed. */
enum pl_dedup_plan pl_dedup_plan(const struct pl_dedup *d);
/* Units of the join, of hashes that are on every node: each is done by one part, in any order. */
uint64_t pl_dedup_units(const struct pl_dedup *d);
PL_MUST_CHECK enum pl_status pl_dedup_join(struct pl_dedup *d, uint64_t unit, struct pl_err *err);
/* Or steps, where they are not: each is done by all parts, in order. Collective. */
uint64_t pl_dedup_steps(const struct pl_dedup *d);
PL_MUST_CHECK enum pl_status pl_dedup_step(struct pl_dedup *d, uint64_t step, struct pl_err *err);
/* The candidates that are taken on unasked: 10^5 for each of n distinct hashes, and 10^12 for fewer than 10^7 of them. */
double pl_dedup_budget(uint64_t n);
/* What the join will cost and find (join.h), before any unit or step; the numbers enter the stats of part 0. More candidates than the
 * budget, or more pairs than there is memory for, without a scratch directory: PL_ERR_LIMIT, and the message says what helps. Collective. */
PL_MUST_CHECK enum pl_status pl_dedup_predict(struct pl_dedup *d, struct pl_err *err);
/* Decide survivors from the pairs of all parts. Collective. */
PL_MUST_CHECK enum pl_status pl_dedup_decide(struct pl_dedup *d, struct pl_err *err);
/* The part that writes the verdicts of a shard. */
uint32_t pl_dedup_owner(const struct pl_dedup *d, size_t corpus, size_t shard);
/* Commit the verdict tables of one shard; account: its samples and images as in = out + dropped, counted after status and filter. */
PL_MUST_CHECK enum pl_status pl_dedup_write(struct pl_dedup *d, size_t corpus, size_t shard, struct pl_account *account, struct pl_err *err);
/* Write CORPUS/dedup.clusters.npy (README.md): part 0 does, from what all send it. Collective. */
PL_MUST_CHECK enum pl_status pl_dedup_clusters(struct pl_dedup *d, size_t corpus, struct pl_err *err);

/* Numbers for the report, of all parts once survivors are decided; keys to largest_bucket as predicted; held, filed: the most of this
 * part, in memory and in files of pairs. */
struct pl_dedup_stats { uint64_t images, low_quality, distinct_hashes, pairs, dropped_bytes, dropped_near, dropped_eval, dropped_text,
    near_texts, text_pairs, dropped_near_text, kept_captions, repeated_images, repeated_captions,
    rounds, units, steps, keys, candidates, expected_pairs, core_us, largest_bucket,
    scratch, held, filed; };
struct pl_dedup_stats pl_dedup_stats(const struct pl_dedup *d);

/* Rows of dedup.clusters.npy, by survivor, then member. */
struct pl_cluster_row {
	uint64_t survivor_key, survivor_row;
	uint64_t member_key, member_row;
	uint32_t survivor_corpus, survivor_shard, member_shard;
	uint16_t distance;
	uint8_t reason;
	uint8_t text;              /* rows are of samples tables: the text decided; 0: of images tables */
};
extern const struct pl_npy_col pl_cluster_cols[];
extern const size_t pl_cluster_ncols;

#endif
