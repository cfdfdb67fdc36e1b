/* SPDX-License-Identifier: Apache-2.0 */
/* Internals of the pack step: inputs shared with balance, making one shard, and
 * describing the finished data set. */
#ifndef TOOLS_PACK_H
#define TOOLS_PACK_H

#include "libpipe/base/json.h"
#include "libpipe/corpus/fetch.h"
#include "libpipe/mix/plan.h"
#include "tool.h"

/* The corpora of a recipe's sources, and the kept samples of each entry of its plan. */
struct pack_inputs {
	struct pl_corpus *corpora;
	struct pl_corpus **corpus_list;
	struct pl_groups *groups;        /* zeroed where a source has none */
	struct pl_group_parts *parts;
	const struct pl_group_parts **part_list;   /* NULL where a source has none */
	size_t n;                        /* sources */
	struct pl_select **selects;
	uint32_t *source_of;             /* entry -> source */
	size_t nentries;
};
/* dirs[i]: the corpus of source i of the recipe's output in use. image: see pl_select_new. Collective. */
PL_MUST_CHECK enum pl_status pack_inputs_open(struct tool *t, struct pack_inputs *in, const struct pl_recipe *r, const char *const *dirs,
    const struct pl_resize *image, struct pl_err *err);
void pack_inputs_close(struct pack_inputs *in);
/* All ranks of the job; t outlives it. */
struct pl_crew pack_crew(struct tool *t);

struct pack {
	struct tool *tool;
	const char *dir;
	struct pl_plan plan;
	struct pl_recipe recipe;
	struct pack_inputs in;
	struct pl_fetch *fetch;
	struct pl_token_counter *tokens; /* NULL = by bytes */
	uint64_t digest[2];              /* of everything that decides the bytes */
	json_t *shards;                  /* descriptions of the shards this rank made or found */
};

/* What one output shard holds; sources has plan.nsources entries: slots drawn, written, dropped. */
struct pack_shard {
	uint64_t samples, images, tokens, bytes, hash[2];
	struct pl_sequence_totals packed;   /* where the recipe packs documents into sequences: samples are these */
	struct pl_account *sources;
	uint64_t *demoted;               /* as many: samples written as text, for want of their images */
};
/* Make output shard k in p->dir. *s is filled; its arrays are the caller's. */
PL_MUST_CHECK enum pl_status pack_make_shard(struct pack *p, uint64_t k, struct pack_shard *s, struct pl_err *err);

/* What packing came to, from all shards' descriptions; NULL = no memory. */
json_t *pack_sequences_json(const struct pl_sequence_rule *rule, json_t *descriptions);
/* Rank 0: write dataset.json from all shards' descriptions (any order) and print the accounts of the sources. */
PL_MUST_CHECK enum pl_status pack_write_dataset(struct pack *p, json_t *shards, struct pl_err *err);

#endif
