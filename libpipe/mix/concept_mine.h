/* SPDX-License-Identifier: Apache-2.0 */
/* A concept list from the texts themselves: frequent words, and pairs of words
 * that follow one another more often than chance has it (pointwise mutual
 * information, Church and Hanks 1990), as MetaCLIP takes them from Wikipedia.
 * Counts are exact and can be made in parts and added. */
#ifndef PL_MIX_CONCEPT_MINE_H
#define PL_MIX_CONCEPT_MINE_H

#include "libpipe/base/buf.h"

/* Strings with counts. Memory: their bytes and 40 to 60 bytes each. */
struct pl_tally;
PL_MUST_CHECK enum pl_status pl_tally_new(struct pl_tally **t, struct pl_err *err);
void pl_tally_free(struct pl_tally *t);
/* PL_ERR_LIMIT past 2^28 strings. */
PL_MUST_CHECK enum pl_status pl_tally_add(struct pl_tally *t, const char *s, size_t len, uint64_t count, struct pl_err *err);
uint64_t pl_tally_count(const struct pl_tally *t, const char *s, size_t len);   /* 0 = not there */
size_t pl_tally_size(const struct pl_tally *t);
/* String i < size: NUL-terminated, valid until the next add. */
const char *pl_tally_at(const struct pl_tally *t, size_t i, size_t *len, uint64_t *count);
/* Append string i as bytes for another rank, and add such bytes. PL_ERR_INVALID: they are no such bytes. */
PL_MUST_CHECK enum pl_status pl_tally_pack(const struct pl_tally *t, size_t i, struct pl_buf *out, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_tally_unpack(struct pl_tally *t, const void *bytes, size_t len, struct pl_err *err);

struct pl_mine_options {
	uint64_t unigrams, bigrams;   /* least count of a word, of two words in a row; 0 = none of these */
	unsigned pmi;                 /* two words: log2(count(ab) words / (count(a) count(b))) is at least this */
	uint64_t most;                /* entries: the most frequent ones */
};
/* Count the words of a text, spaced as pl_concept_spaced does, and what follows what (bigrams may be NULL). A word has a letter or a digit, or is
 * not ASCII, and 256 bytes at most; *words counts them. A mark between two words parts them. */
PL_MUST_CHECK enum pl_status pl_mine_text(const char *spaced, size_t len, struct pl_tally *unigrams, struct pl_tally *bigrams,
    uint64_t *words, struct pl_err *err);
/* Is the pair "a b" of this count an entry? unigrams: counts of all words of options.bigrams or more. */
bool pl_mine_bigram(const struct pl_mine_options *o, const char *ab, size_t len, uint64_t count, const struct pl_tally *unigrams,
    uint64_t words);
/* The list, one entry a line: the o->most most frequent of t, ties in the order of their bytes; then all sorted by bytes. */
PL_MUST_CHECK enum pl_status pl_mine_list(const struct pl_mine_options *o, const struct pl_tally *t, struct pl_buf *out, struct pl_err *err);

#endif
