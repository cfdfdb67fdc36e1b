/* SPDX-License-Identifier: Apache-2.0 */
/* The kept samples of a corpus, numbered: prefix counts per shard, and rows
 * found on demand. Memory: 52 bytes per shard plus a cache of at most 64 MiB of shards' row bitmaps (1.06 bits a row); with
 * groups 52 bytes per shard and part, and the cache is shared out among the parts. */
#ifndef PL_MIX_SELECT_H
#define PL_MIX_SELECT_H

#include "libpipe/corpus/corpus.h"
#include "libpipe/img/resize.h"
#include "crew.h"
#include "order.h"
#include "select_rule.h"

struct pl_select;
/* Of kept samples; images: kept ones. rows: all of the rule's; filtered, deduped: those kept so far; demoted: kept ones that lost their
 * images and are written as text. output_bytes: an estimate of what they take as written: text, and per image its output pixels
 * times 0.35 (webp), 0.6 (jpeg) or 2 (png), at most its bytes unless it becomes tiles; its bytes where no policy or format changes it. */
struct pl_select_totals { uint64_t samples, images, text_tokens, text_bytes, image_bytes, image_tokens, output_bytes, rows, filtered, deduped,
    demoted; };
/* Counts the kept samples of every shard: the crew reads all tables once. rule: which rows, NULL = all of them, as their verdicts say;
 * what it points to outlives s. image: for output_bytes and image tokens; NULL leaves
 * these 0. Digest:
 * XXH3-128 over the corpus', all verdicts, and which rows are the rule's. Collective over the crew. */
PL_MUST_CHECK enum pl_status pl_select_new(struct pl_select **s, const struct pl_corpus *c, const struct pl_select_rule *rule,
    const struct pl_resize *image, const struct pl_crew *crew, struct pl_err *err);
/* The selections of all parts of rule->parts in one reading; out has room for parts->n. */
PL_MUST_CHECK enum pl_status pl_select_new_parts(struct pl_select **out, const struct pl_corpus *c, const struct pl_select_rule *rule,
    const struct pl_resize *image, const struct pl_crew *crew, struct pl_err *err);
void pl_select_free(struct pl_select *s);
struct pl_select_totals pl_select_totals(const struct pl_select *s);
void pl_select_digest(const struct pl_select *s, uint64_t digest[2]);
/* Kept sample number j (< totals.samples): its shard and row. Numbers run through the shards in the order of their units' names. */
PL_MUST_CHECK enum pl_status pl_select_at(struct pl_select *s, uint64_t j, uint32_t *shard, uint64_t *row, struct pl_err *err);
/* The order of a pass with so many draws; the selection's, until the next call. */
PL_MUST_CHECK enum pl_status pl_select_order(struct pl_select *s, const struct pl_order_way *way, uint64_t draws, struct pl_order **order,
    struct pl_err *err);
/* A sample's images (kept), and tokens. */
struct pl_sample_cost { uint64_t images, text_tokens, image_tokens; };
PL_MUST_CHECK enum pl_status pl_select_cost(struct pl_select *s, uint64_t j, struct pl_sample_cost *cost, struct pl_err *err);
/* Every kept sample in order of j, each table read once: those of this rank's shards, in batches of consecutive ones from j, without
 * shards that the order does not draw from. each() may end the walk with a status of its own. Collective over the crew. */
enum { PL_SELECT_BATCH = 512 };
typedef enum pl_status pl_select_each_fn(void *ctx, uint64_t j, const struct pl_sample_cost *costs, size_t n, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_select_walk(struct pl_select *s, const struct pl_order *order, const struct pl_crew *crew, pl_select_each_fn *each, void *ctx,
    struct pl_err *err);
/* What became of the samples that are not kept: added to account's samples_dropped, and their number to samples_in. */
void pl_select_account(const struct pl_select *s, struct pl_account *account);

#endif
