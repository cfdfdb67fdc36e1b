/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of a corpus for the steps about concepts: kept samples read again
 * from their shards, and the list that is mined from them. */
#ifndef TOOLS_STEP_CONCEPT_TEXTS_H
#define TOOLS_STEP_CONCEPT_TEXTS_H

#include "libpipe/corpus/fetch.h"
#include "steps.h"

struct concept_texts {
	struct tool *t;
	struct pl_corpus *corpus;
	const struct pl_recipe_concepts *rule;
	struct pl_fetch *fetch;
	struct pl_fetched sample;
	struct pl_buf text;              /* of the sample read last: its segments by lines, folded where the rule says so */
};
PL_MUST_CHECK enum pl_status concept_texts_open(struct concept_texts *x, struct tool *t, struct pl_corpus *c, const struct pl_recipe_concepts *rule,
    struct pl_err *err);
void concept_texts_close(struct concept_texts *x);   /* also after a failed open */
/* x->text of each kept sample of a shard that has a text, in order. */
typedef enum pl_status concept_text_fn(void *ctx, uint64_t row, struct pl_err *err);
PL_MUST_CHECK enum pl_status concept_texts_each(struct concept_texts *x, size_t shard, concept_text_fn *each, void *ctx, struct pl_err *err);

/* The list that rule->mine asks for, from all texts of x, on every rank. Memory of a rank: the different words and pairs of words of
 * the texts it reads, 40 to 60 bytes each and their own, twice while they are added up. Collective. */
PL_MUST_CHECK enum pl_status concept_texts_mine(struct concept_texts *x, struct pl_buf *list, struct pl_err *err);

#endif
