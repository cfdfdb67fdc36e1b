/* SPDX-License-Identifier: Apache-2.0 */
/* Filters that people have published, as lists of named SQL rules over the
 * tables. Thresholds as published; where they come from, and what of a filter
 * is not applied here, stands with each. */
#ifndef PL_CORPUS_PRESETS_H
#define PL_CORPUS_PRESETS_H

#include "corpus.h"

struct pl_rule {
	const char *name;
	bool image;             /* asked of each image, else of the sample (and its first usable image) */
	const char *where;      /* SQL; '$' is the score's column */
	const char *scores;     /* columns that may hold the score, with spaces between: the first that is there. NULL = none is needed */
	const char *what;       /* the score in words */
};
struct pl_preset {
	const char *name;
	const char *of;         /* published where, for what kind of source */
	const struct pl_rule *rules; size_t nrules;
	const char *not_applied;
};
/* What becomes of a rule whose score a corpus lacks. */
enum pl_score_missing { PL_SCORE_MISSING_ERROR, PL_SCORE_MISSING_SKIP };
extern const char *const pl_score_missing_names[];   /* "error", "skip" */

extern const struct pl_preset pl_presets[];
extern const size_t pl_npresets;

/* PL_ERR_USAGE lists the names, with a did-you-mean. */
PL_MUST_CHECK enum pl_status pl_preset_find(const char *name, const struct pl_preset **preset, struct pl_err *err);
/* A table of all presets and their rules for people. */
PL_MUST_CHECK enum pl_status pl_presets_text(struct pl_buf *out, struct pl_err *err);

/* The SQL of a rule over the relation src (corpus.h) of a corpus: malloc'ed in *where; NULL there when none of the score's columns is.
 * similarity: does any image of the corpus have one? The column is in every relation, known or not. */
struct pl_sql_source;
PL_MUST_CHECK enum pl_status pl_rule_where(const struct pl_rule *rule, const struct pl_corpus *c, const struct pl_sql_source *src,
    bool similarity, char **where, struct pl_err *err);

#endif
