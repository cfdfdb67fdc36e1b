/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of one filter over one corpus: those of its presets, then its own
 * conditions; and their counts. The first rule that does not hold drops. */
#ifndef TOOLS_STEP_FILTER_RULES_H
#define TOOLS_STEP_FILTER_RULES_H

#include "libpipe/base/sql.h"
#include "libpipe/corpus/presets.h"
#include "steps.h"

#define FILTER_RULES_MAX UINT8_MAX   /* numbered by a byte of the verdict tables */

struct filter_rule {
	const struct pl_preset *preset;   /* NULL: a condition of the caller's own */
	const char *name;
	bool image;
	char *where;
	/* Rows that no rule before it dropped; those of them that it dropped; rows that ingest kept for which it holds. */
	uint64_t tested, dropped, holds;
};
struct filter_rules {
	struct filter_rule *rules; size_t n;
	struct { const struct pl_preset *preset; const struct pl_rule *rule; } *skipped; size_t nskipped;
};

/* The rules of a step over a corpus whose relations are samples and images. A preset's rule whose score the corpus lacks is an
 * error that says what to give, or is skipped when the step says so. */
PL_MUST_CHECK enum pl_status filter_rules_make(struct filter_rules *r, const struct filter_step *s, const struct pl_corpus *c,
    const struct pl_sql_source *samples, const struct pl_sql_source *images, bool similarity, struct pl_err *err);
void filter_rules_release(struct filter_rules *r);
bool filter_rules_any(const struct filter_rules *r, bool image);
/* Every rule by its SQL, for a digest. */
PL_MUST_CHECK enum pl_status filter_rules_describe(const struct filter_rules *r, struct pl_buf *out, struct pl_err *err);
/* The object of filter.json, which is the report's, too; and the counts back from it, when its rules are these. */
PL_MUST_CHECK enum pl_status filter_rules_json(const struct filter_rules *r, const struct pl_corpus *c, json_t **out, struct pl_err *err);
PL_MUST_CHECK enum pl_status filter_rules_load_counts(struct filter_rules *r, const char *dir, struct pl_err *err);
/* A line for each rule. */
void filter_rules_tell(const struct filter_rules *r, const char *corpus);

#endif
