/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows of a corpus a selection is of, and which of them it keeps: those of
 * one part of its groups, with a rule for samples whose image or text is gone. */
#ifndef PL_MIX_SELECT_RULE_H
#define PL_MIX_SELECT_RULE_H

#include "groups.h"

enum pl_missing { PL_MISSING_DROP, PL_MISSING_KEEP, PL_MISSING_TEXT };
extern const char *const pl_missing_image_names[];   /* "drop", "keep", "text" */
extern const char *const pl_missing_text_names[];    /* "drop", "keep" */

/* Tables that several rules over one corpus have opened and checked once: each part of a source looks at every shard. Shards beyond
 * bytes of tables (what has been looked at counts as this process' memory, though the kernel takes it back at need) are opened as ever. */
struct pl_views;
#define PL_VIEWS_BYTES ((uint64_t)2 << 30)
PL_MUST_CHECK enum pl_status pl_views_new(struct pl_views **views, size_t nshards, uint64_t bytes, struct pl_err *err);
void pl_views_hold(struct pl_views *views);   /* one more owner */
/* One owner less; the last one closes all. NULL works. */
void pl_views_release(struct pl_views *views);

struct pl_select_rule {
	const struct pl_group_parts *parts; size_t part;   /* NULL = all rows */
	enum pl_missing image, text;                       /* text: not PL_MISSING_TEXT */
	struct pl_views *views;                            /* NULL = none */
};

/* The rows of one shard under a rule. */
struct pl_rule_view {
	struct pl_tables t;
	struct pl_npy groups;
	struct pl_select_rule rule;
	const uint16_t *group;     /* NULL: all rows are the rule's */
	bool *mine; uint32_t n;    /* of each group of the shard: is it in the part? */
	bool borrowed;             /* t and groups are those of rule.views */
};
/* Open the tables of a shard. *none (NULL = open them all the same): no row of it is in the part, and nothing was opened. */
PL_MUST_CHECK enum pl_status pl_rule_open(struct pl_rule_view *v, const struct pl_select_rule *rule, const struct pl_corpus *c, size_t shard,
    bool *none, struct pl_err *err);
void pl_rule_close(struct pl_rule_view *v);

/* Is row i of the rule's part? A few rows of many are, so it costs no more than a look. */
static inline bool pl_rule_mine(const struct pl_rule_view *v, uint64_t i)
{
	return !v->group || (v->group[i] < v->n && v->mine[v->group[i]]);
}
/* pl_sample_verdict, but KEEP for what the rule saves. */
enum pl_reason pl_rule_verdict(const struct pl_rule_view *v, uint64_t i);
/* The same before concepts, and before dedup, had their say. */
bool pl_rule_passes_dedup(const struct pl_rule_view *v, uint64_t i);
bool pl_rule_passes_filter(const struct pl_rule_view *v, uint64_t i);
/* Is a sample that has lost some or all of its images written as text? Its images do not count then. */
bool pl_rule_demotes(const struct pl_rule_view *v, uint64_t i);

#endif
