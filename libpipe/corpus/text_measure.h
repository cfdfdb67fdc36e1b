/* SPDX-License-Identifier: Apache-2.0 */
/* What published filters ask of a text: how much of it repeats, is special, is
 * digits; its script and language. Definitions and their sources: README.md. */
#ifndef PL_CORPUS_TEXT_MEASURE_H
#define PL_CORPUS_TEXT_MEASURE_H

#include "document.h"
#include "language.h"

/* n-grams are counted over so many code points from the front: with it, memory and time of a text of any length are bounded
 * (2.5 MiB). */
#define PL_MEASURE_WINDOW 65536
#define PL_CHAR_NGRAM 10
#define PL_WORD_NGRAM 5

struct pl_text_measures {
	uint64_t chars;         /* code points of the segments */
	uint64_t urls;
	/* Shares; NAN when there is no text. */
	float char_repetition, word_repetition, special, digits, alnum, punctuation;
	char script[4];         /* ISO 15924 code of most letters; zeros = no letters, or not told */
	char language[4];       /* pl_language_guess */
	float language_margin;
};

struct pl_text_meter;       /* scratch memory, used again for every text */
/* language: NULL = not told; borrowed. */
PL_MUST_CHECK enum pl_status pl_text_meter_new(struct pl_text_meter **m, struct pl_language *language, struct pl_err *err);
void pl_text_meter_free(struct pl_text_meter *m);
/* The texts of d, a line break between two. */
PL_MUST_CHECK enum pl_status pl_text_measure(struct pl_text_meter *m, const struct pl_document *d, struct pl_text_measures *out,
    struct pl_err *err);
/* What tells scripts, as language.h's pl_language_name; false when the build has no library for it. */
bool pl_script_name(char name[40]);

#endif
