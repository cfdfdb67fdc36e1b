/* SPDX-License-Identifier: Apache-2.0 */
/* Concept lists: which entries of a list stand in a text. MetaCLIP's match (Xu
 * et al., "Demystifying CLIP Data", arXiv 2309.16671, section 3.1): the
 * punctuation marks , . ; : ? ! and ` become words of their own, tabs and line
 * breaks spaces, and " entry " is looked for in " text ". Both ends of such a
 * match are spaces, so it is a match of whole words, found here by a trie of
 * words: no failure links, and 360,000 entries take some 45 MB. */
#ifndef PL_MIX_CONCEPTS_H
#define PL_MIX_CONCEPTS_H

#include "libpipe/base/buf.h"

struct pl_concepts;

/* Most entries of a list, words of an entry, and bytes of one. */
enum { PL_CONCEPTS_MAX = 1 << 24, PL_CONCEPT_WORDS_MAX = 64, PL_CONCEPT_BYTES_MAX = 4096 };

/* From the text of a list: one entry a line (blank lines skipped), or, when it begins with '[', a JSON array of strings. fold: entries
 * become NFKC_Casefold, as pl_document_normal_text makes texts. Repeated entries are one. path is for messages: PL_ERR_USAGE with the line
 * or number of a wrong entry, or when there is none. The caller frees. */
PL_MUST_CHECK enum pl_status pl_concepts_new(struct pl_concepts **c, const char *text, size_t len, bool fold, const char *path,
    struct pl_err *err);
void pl_concepts_free(struct pl_concepts *c);
uint32_t pl_concepts_count(const struct pl_concepts *c);
/* Entry i as matched: NUL-terminated, valid as long as c; and XXH3-64 of it. */
const char *pl_concepts_entry(const struct pl_concepts *c, uint32_t i);
uint64_t pl_concepts_hash(const struct pl_concepts *c, uint32_t i);
/* The numbers (uint32_t, ascending, each once) of the entries that stand in text, appended to out. Not for two threads at a time. */
PL_MUST_CHECK enum pl_status pl_concepts_match(struct pl_concepts *c, const char *text, size_t len, struct pl_buf *out, struct pl_err *err);

/* A text as matching sees it, in place of what out holds: marks between spaces, tabs and line breaks as spaces; its words lie between single
 * spaces, and may be empty. */
PL_MUST_CHECK enum pl_status pl_concept_spaced(const char *text, size_t len, struct pl_buf *out, struct pl_err *err);

#endif
