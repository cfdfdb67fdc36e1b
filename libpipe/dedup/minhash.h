/* SPDX-License-Identifier: Apache-2.0 */
/* MinHash over word n-grams: a normalised text becomes a set of 64-bit shingle
 * hashes, the set a signature of minima, the signature one key per band. Texts
 * that share a key of a band are candidates; pl_overlap of the sets decides. */
#ifndef PL_DEDUP_MINHASH_H
#define PL_DEDUP_MINHASH_H

#include "libpipe/base/err.h"

/* Of one text: more shingles than this are PL_ERR_LIMIT (32 MiB of hashes). */
#define PL_SHINGLES_MAX ((size_t)1 << 22)

/* Zeroed to begin with; reused from text to text. */
struct pl_shingles {
	uint64_t *hash;        /* n of them */
	size_t n, cap;
	uint64_t *token;       /* private: hashes of the tokens */
	size_t ntokens, token_cap;
};
/* The n-grams of text[len] (normalised: pl_document_normal_text), in the order of the text, repetitions included. A token is a run of
 * code points between spaces; a code point of a script that is written without spaces (Han, kana, Thai, Lao, Khmer, Myanmar, Tibetan)
 * is a token of its own and ends the run before it. A text of fewer than ngram tokens is one shingle of all of them. */
PL_MUST_CHECK enum pl_status pl_shingles_make(struct pl_shingles *s, const char *text, size_t len, unsigned ngram, struct pl_err *err);
/* Make a set of it: ascending, each once. */
void pl_shingles_sort(struct pl_shingles *s);
void pl_shingles_release(struct pl_shingles *s);

/* Sizes of intersection and union of two sorted sets; the true Jaccard index is common / all. */
struct pl_overlap { size_t common, all; };
struct pl_overlap pl_overlap(const uint64_t *a, size_t na, const uint64_t *b, size_t nb);

enum pl_minhash_kernel { PL_MINHASH_PORTABLE, PL_MINHASH_AVX2, PL_MINHASH_AVX512, PL_MINHASH_KERNELS };

struct pl_minhash;
/* bands * rows permutations of 32-bit values, x -> a x + b with a odd, by constants of a fixed seed; bands, rows > 0. */
PL_MUST_CHECK enum pl_status pl_minhash_new(struct pl_minhash **m, unsigned bands, unsigned rows, struct pl_err *err);
void pl_minhash_free(struct pl_minhash *m);
/* One key per band. Depends on the set of the hashes only: neither order nor repetition matters. */
void pl_minhash_keys(struct pl_minhash *m, const uint64_t *hash, size_t n, uint64_t *keys);
/* The constants of permutation i, and the signature by one kernel (bands * rows minima of a x + b over the upper halves x of the
 * hashes); false: this processor does not have it. */
void pl_minhash_constants(const struct pl_minhash *m, size_t i, uint32_t *a, uint32_t *b);
bool pl_minhash_signature(struct pl_minhash *m, enum pl_minhash_kernel kernel, const uint64_t *hash, size_t n, const uint32_t **signature);

#endif
