/* SPDX-License-Identifier: Apache-2.0 */
/* How many tokens a text has: by its bytes, by its words, or as a SentencePiece
 * model cuts it (Kudo and Richardson, arXiv 1808.06226). Only the last is exact,
 * and it needs libsentencepiece at build time. */
#ifndef PL_CORPUS_TOKENS_H
#define PL_CORPUS_TOKENS_H

#include "libpipe/base/err.h"
#include <stdbool.h>

enum pl_tokens_by {
	PL_TOKENS_BYTES,          /* a quarter of the ASCII bytes and 0.7 per other code point, each rounded up */
	PL_TOKENS_WORDS,          /* four thirds of the words between white space, rounded up */
	PL_TOKENS_SENTENCEPIECE   /* pieces of a model; no begin or end piece */
};
extern const char *const pl_tokens_by_names[];   /* "bytes", "words", "sentencepiece"; NULL-terminated */

/* The model's file, with which its content goes along: what it is decides tables. */
struct pl_tokens_settings { enum pl_tokens_by by; const char *model; uint64_t model_hash[2]; };

/* Counts of bytes and words that the estimates need; texts add up. */
struct pl_text_counts { uint64_t bytes, ascii, others, words; };
void pl_text_count(struct pl_text_counts *c, const char *s, size_t len);

struct pl_token_counter;
/* *c: NULL where tokens are counted by bytes. Fills s->model_hash where there is a model. PL_ERR_USAGE: a model is missing or superfluous, is
 * none, or this build has no SentencePiece. Not for two threads at a time. The caller frees. */
PL_MUST_CHECK enum pl_status pl_token_counter_new(struct pl_token_counter **c, struct pl_tokens_settings *s, struct pl_err *err);
void pl_token_counter_free(struct pl_token_counter *c);   /* NULL works */
/* Tokens of the texts added so far; texts are taken apart from one another. c NULL: by bytes. */
struct pl_token_sum { struct pl_text_counts counts; uint64_t pieces; };
PL_MUST_CHECK enum pl_status pl_tokens_add(const struct pl_token_counter *c, struct pl_token_sum *sum, const char *s, size_t len, struct pl_err *err);
uint64_t pl_tokens_total(const struct pl_token_counter *c, const struct pl_token_sum *sum);
/* Do both count the same tokens of every text? The models' paths may differ; their hashes must be filled. */
bool pl_tokens_same(const struct pl_tokens_settings *a, const struct pl_tokens_settings *b);
/* Can this build read SentencePiece models? */
bool pl_tokens_sentencepiece(void);

#endif
