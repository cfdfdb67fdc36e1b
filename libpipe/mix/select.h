/* SPDX-License-Identifier: Apache-2.0 */
/* The kept samples of a corpus, numbered: prefix counts per shard, and rows
 * found on demand. Memory: 32 bytes per shard plus a cache of at most 64 MiB of shards' row bitmaps (1.06 bits a row); with
 * groups 32 bytes per shard and part, and the cache is shared out among the parts. */
#ifndef PL_MIX_SELECT_H
#define PL_MIX_SELECT_H

#include "libpipe/corpus/corpus.h"
#include "libpipe/img/resize.h"
#include "select_rule.h"

struct pl_select;
/* Of kept samples; images: kept ones. rows: all of the rule's; filtered, deduped: those kept so far;
 * demoted: kept ones that lost their images and are written as text. */
struct pl_select_totals { uint64_t samples, images, text_tokens, text_bytes, image_bytes, image_tokens, rows, filtered, deduped, demoted; };
/* Counts the kept samples of every shard (reads all verdicts once). rule: which rows, NULL = all of them, as their verdicts say; what it
 * points to outlives s. digest: XXH3-128 over corpus digest, verdicts, and which rows are the rule's. */
PL_MUST_CHECK enum pl_status pl_select_new(struct pl_select **s, const struct pl_corpus *c, const struct pl_select_rule *rule, struct pl_err *err);
void pl_select_free(struct pl_select *s);
struct pl_select_totals pl_select_totals(const struct pl_select *s);
/* Count image tokens as *image says (struct pl_resize, copied) from now on, in totals and costs; before it is called they are 0.
 * Reads the tables once, unless every image counts the same. */
PL_MUST_CHECK enum pl_status pl_select_count_tokens(struct pl_select *s, const struct pl_resize *image, struct pl_err *err);
void pl_select_digest(const struct pl_select *s, uint64_t digest[2]);
/* Kept sample number j (< totals.samples): its shard and row. */
PL_MUST_CHECK enum pl_status pl_select_at(struct pl_select *s, uint64_t j, uint32_t *shard, uint64_t *row, struct pl_err *err);
/* Its images (kept) and text tokens. */
PL_MUST_CHECK enum pl_status pl_select_cost(struct pl_select *s, uint64_t j, uint64_t *images, uint64_t *text_tokens, struct pl_err *err);
/* Every kept sample in order of j, shard by shard, each table read once. each() may end the walk with a status of its own. */
struct pl_sample_cost { uint64_t images, text_tokens, image_tokens; };
typedef enum pl_status pl_select_each_fn(void *ctx, uint64_t j, const struct pl_sample_cost *cost, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_select_walk(struct pl_select *s, pl_select_each_fn *each, void *ctx, struct pl_err *err);
/* Estimate of the bytes of all kept samples as written under an image policy: text, and per kept image its output pixels times 0.35
 * (webp), 0.6 (jpeg) or 2 (png), at most its bytes unless it becomes tiles; its bytes where no policy or format changes it. Reads the
 * tables once. */
PL_MUST_CHECK enum pl_status pl_select_output_bytes(const struct pl_select *s, const struct pl_resize *image, uint64_t *bytes,
    struct pl_err *err);
/* What became of the samples that are not kept: added to account's samples_dropped, and their number to samples_in. */
void pl_select_account(const struct pl_select *s, struct pl_account *account);

#endif
