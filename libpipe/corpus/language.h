/* SPDX-License-Identifier: Apache-2.0 */
/* What language a text is in, by a kept library (libexttextcat) where the build
 * has it and its fingerprints are found; nobody knows otherwise. */
#ifndef PL_CORPUS_LANGUAGE_H
#define PL_CORPUS_LANGUAGE_H

#include "libpipe/base/err.h"

/* A guess from less is worse than none, and captions come by the billion: README.md has how often shorter ones went wrong. */
#define PL_LANGUAGE_MIN_BYTES 80
/* So much of a text is looked at. */
#define PL_LANGUAGE_MAX_BYTES 1024
/* A second language farther off than this is not told of: language_margin's largest value. */
#define PL_LANGUAGE_FAR 0.03f

struct pl_language;
/* Load the fingerprints: from dir, or with NULL from $PLAIT_LANGUAGES, else from where the library was at build time, else from
 * the usual places. *out NULL, and no error, when the build has no library or no place has fingerprints; a directory that was
 * named must have them. One handle serves one thread. */
PL_MUST_CHECK enum pl_status pl_language_open(struct pl_language **out, const char *dir, struct pl_err *err);
void pl_language_close(struct pl_language *l);
/* What decides the answers: library, languages, hash of the fingerprints. Lives as long as l. */
const char *pl_language_name(const struct pl_language *l);
/* code: the ISO 639 code of UTF-8 text[len), padded with zeros; all zeros when it is too short, of no script (ISO 15924) that a language
 * here is written in, or several languages are as near. Where a script has one language here, that is it.
 * margin: how much farther the next language is, relative, at most PL_LANGUAGE_FAR; NAN without a code. */
void pl_language_guess(struct pl_language *l, const char *text, size_t len, const char script[4], char code[4], float *margin);

#endif
