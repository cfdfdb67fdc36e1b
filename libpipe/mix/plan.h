/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: the few kilobytes that fix a whole output data set. The order of
 * samples is computed from it. Slot arithmetic: source s gives quota q_s
 * samples over K output shards; shard k holds its draws floor(k q_s / K) to
 * floor((k+1) q_s / K), mixed by a keyed permutation: the mixture is exact to one
 * sample per source in every shard. Draw number i of a source is number i mod n in
 * the order of pass i / n (order.h): nothing is drawn twice before all were drawn once. */
#ifndef PL_MIX_PLAN_H
#define PL_MIX_PLAN_H

#include "libpipe/base/json.h"
#include "recipe.h"
#include "select.h"

/* An entry: a source, or one group of its samples. */
struct pl_plan_source {
	char *name, *corpus;                  /* "source" or "source/group": decides its order; corpus directory as opened */
	char *group;                          /* NULL = the source is not balanced inside */
	uint32_t source;                      /* which source of the recipe's output */
	uint64_t digest[2];                   /* pl_select_digest at planning */
	uint64_t rows, filtered, deduped;     /* samples in the tables; kept after filter; kept after dedup */
	uint64_t available, quota;            /* kept samples; samples drawn */
	uint64_t demoted;                     /* of those available: lost their images and are written as text */
	uint64_t available_images, available_tokens, images, tokens;   /* tokens: of text and images; of what is drawn */
	uint64_t groups, fan_in;              /* groups that the last pass draws from, 0: all; input shards that one output shard reads, at most */
	double epochs, weight;
};
struct pl_plan {
	char *recipe_path, *recipe_text;
	uint64_t output;                      /* which output of the recipe */
	uint64_t seed, shards, samples;       /* K, and the sum of quotas */
	uint64_t fan_in;                      /* as asked for; 0: unbounded */
	struct pl_plan_source *sources; size_t nsources;
};
/* For the recipe's output in use: corpus_dirs[i] and parts[i] belong to recipe source i; parts NULL: no source has groups. selects: for
 * each source one, or one for each of its parts, counted with the recipe's image policy. Exact quotas: in samples to the sample; in images
 * or tokens the first draws whose sum reaches the target. The same on every rank. Collective over the crew. */
PL_MUST_CHECK enum pl_status pl_plan_make(struct pl_plan *p, const struct pl_recipe *r, const struct pl_group_parts *const *parts,
    struct pl_select *const *selects, const char *const *corpus_dirs, uint64_t seed, const struct pl_crew *crew, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_plan_save(const struct pl_plan *p, const char *path, struct pl_err *err);   /* JSON, deterministic */
PL_MUST_CHECK enum pl_status pl_plan_load(struct pl_plan *p, const char *path, struct pl_err *err);
void pl_plan_release(struct pl_plan *p);
/* Per source and group: available, after filter, after dedup, kept, drawn, epochs, and shares by samples, images and tokens: as a table for
 * people, and as a JSON object. */
PL_MUST_CHECK enum pl_status pl_plan_report(const struct pl_plan *p, json_t **out, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_plan_text(const struct pl_plan *p, struct pl_buf *out, struct pl_err *err);

struct pl_slot { uint32_t source, shard; uint64_t row; uint64_t pass; };
/* The samples of output shard k in order; *slots malloc'ed, n of them. selects as in pl_plan_make, digests checked by the caller. */
PL_MUST_CHECK enum pl_status pl_plan_slots(const struct pl_plan *p, uint64_t k, struct pl_select *const *selects, struct pl_slot **slots,
    size_t *n, struct pl_err *err);

#endif
