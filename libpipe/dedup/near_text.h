/* SPDX-License-Identifier: Apache-2.0 */
/* Near-duplicate texts in pieces that the caller spreads over ranks: keys of a
 * shard's texts, candidates from the keys of one band, shingle sets of texts,
 * verified pairs, and at last who stays. README.md tells how they fit together.
 * Texts are numbered 0..n-1 in the total order, the same on every rank. */
#ifndef PL_DEDUP_NEAR_TEXT_H
#define PL_DEDUP_NEAR_TEXT_H

#include "dedup.h"

/* A share of 1 in the unit of pl_near_text_options.jaccard; and in that of distances between texts. */
#define PL_JACCARD_ONE 1000000u
#define PL_TEXT_DISTANCE_ONE 1000u

/* What stays of the texts after the equal ones are decided: kinds text and interleaved. 0 unless options.near_text.on. */
uint32_t pl_near_texts(const struct pl_dedup *d);
/* Shards of all corpora and evaluation sets. */
uint32_t pl_near_text_places(const struct pl_dedup *d);
uint32_t pl_near_text_place(const struct pl_dedup *d, uint32_t text);
/* About so many bytes will its shingle set take. */
uint64_t pl_near_text_size(const struct pl_dedup *d, uint32_t text);
/* Where a text stands by place, then row (the order in which sets are read fastest), and back. */
uint32_t pl_near_text_position(const struct pl_dedup *d, uint32_t text);
uint32_t pl_near_text_at(const struct pl_dedup *d, uint32_t position);

/* Chance that two texts at this Jaccard index share a key. */
double pl_near_text_chance(const struct pl_near_text_options *o, double jaccard);

/* Reads the texts again from their shards. */
struct pl_text_reader;
PL_MUST_CHECK enum pl_status pl_text_reader_new(struct pl_text_reader **r, struct pl_dedup *d, struct pl_err *err);
void pl_text_reader_free(struct pl_text_reader *r);
/* Append number and keys of each text of the place: texts gets a uint32_t, keys gets bands uint64_t. A text longer than PL_SHINGLES_MAX
 * words has none: *too_long counts them. */
PL_MUST_CHECK enum pl_status pl_text_reader_keys(struct pl_text_reader *r, uint32_t place, struct pl_buf *texts, struct pl_buf *keys,
    uint64_t *too_long, struct pl_err *err);
/* Append the set of one text: struct pl_text_set and its hashes, ascending. */
struct pl_text_set { uint32_t text, n; };
PL_MUST_CHECK enum pl_status pl_text_reader_set(struct pl_text_reader *r, uint32_t text, struct pl_buf *out, struct pl_err *err);

/* Candidates: every two texts that share a key of a band, may drop one another, and decide something: a pair whose first text (in
 * the total order) is dropped decides nothing, and large buckets leave such pairs out. Candidates are struct pl_text_pair with a < b,
 * appended to to[r], r = pl_near_text_owner(a, parts). Nothing else is ever left out: more pairs than options.max_pairs in one call
 * are PL_ERR_LIMIT. Sets of texts are bits, pl_near_texts(d) / 8 + 1 bytes. */
struct pl_text_buckets;
struct pl_text_key { uint64_t key; uint32_t text, zero; };
struct pl_text_pair { uint32_t a, b; };
PL_MUST_CHECK enum pl_status pl_text_buckets_new(struct pl_text_buckets **b, const struct pl_dedup *d, struct pl_err *err);
void pl_text_buckets_free(struct pl_text_buckets *b);
/* The keys of one band that this rank owns (modified): lists the pairs of small buckets, keeps the large ones. */
PL_MUST_CHECK enum pl_status pl_text_buckets_band(struct pl_text_buckets *b, struct pl_text_key *keys, size_t n, struct pl_buf *to,
    uint32_t parts, struct pl_err *err);
/* Then rounds, until *open is 0 on all ranks. How many buckets have pairs left, and (appended to behind) the texts in them that
 * such pairs could still drop. */
PL_MUST_CHECK enum pl_status pl_text_buckets_open(struct pl_text_buckets *b, const uint8_t *dropped, uint64_t *open,
    struct pl_buf *behind, struct pl_err *err);
/* Which texts are known to be dropped, given all verified pairs so far (sorted here) and the texts that are `behind` on any rank. */
PL_MUST_CHECK enum pl_status pl_text_buckets_dropped(const struct pl_text_buckets *b, struct pl_pair *pairs, size_t n,
    const uint8_t *behind, uint8_t *dropped, struct pl_err *err);
/* The pairs of the next `leaders` texts of each bucket that are not dropped. */
PL_MUST_CHECK enum pl_status pl_text_buckets_round(struct pl_text_buckets *b, const uint8_t *dropped, uint64_t leaders,
    struct pl_buf *to, uint32_t parts, struct pl_err *err);
static inline uint32_t pl_near_text_owner(uint32_t text, uint32_t parts)
{
	return (uint32_t)(((uint64_t)(text * 0x9E3779B1u) * parts) >> 32);
}
/* Sort and drop repetitions; *n becomes how many are left. */
PL_MUST_CHECK enum pl_status pl_near_text_unique(const struct pl_dedup *d, struct pl_text_pair *pairs, size_t *n, struct pl_err *err);

/* Compare two sets: *distance = (1 - Jaccard) in 1/PL_TEXT_DISTANCE_ONE, rounded up, so that 0 is equal sets; false: below the
 * threshold. */
bool pl_near_text_verify(const struct pl_near_text_options *o, const uint64_t *a, size_t na, const uint64_t *b, size_t nb,
    uint32_t *distance);

/* All verified pairs (any order, modified): decide who stays. To be called once, before pl_dedup_load, when
 * options.near_text.on, also with no pair. */
PL_MUST_CHECK enum pl_status pl_near_text_resolve(struct pl_dedup *d, struct pl_pair *pairs, size_t n, struct pl_err *err);

#endif
