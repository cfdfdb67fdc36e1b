/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences: short documents packed to a token budget. The documents of an
 * output shard pass, in their order, through a window; each window is packed by
 * first-fit decreasing. What is written is a sample whose segments are those of
 * its documents, with the borders between these (README.md). */
#ifndef PL_MIX_SEQUENCE_H
#define PL_MIX_SEQUENCE_H

#include "libpipe/base/err.h"
#include "libpipe/base/json.h"
#include "shards/writer.h"

/* tokens 0: documents are not packed. drop_long: documents above the budget are dropped, else each is a sequence of its own. */
struct pl_sequence_rule { uint64_t tokens, window; int long_; };
enum pl_long { PL_LONG_KEEP, PL_LONG_DROP };
extern const char *const pl_long_names[];   /* "keep", "drop" */

/* First-fit decreasing: the largest of n costs first, of equal ones the first, each into the first bin that has room for it; what is
 * larger than a bin has one of its own. bins[i] gets the bin of cost i; bins are numbered by their first item in the order of i.
 * *nbins: how many. O(n log n). */
PL_MUST_CHECK enum pl_status pl_first_fit(const uint64_t *costs, uint32_t n, uint64_t budget, uint32_t *bins, uint32_t *nbins,
    struct pl_err *err);

struct pl_sequences;
typedef enum pl_status pl_sequence_write_fn(void *ctx, const char *key, const struct shard_member *members, size_t n, struct pl_err *err);
/* filled: tokens of all sequences, of a longer one the budget: filled / (sequences x budget) is the efficiency. */
struct pl_sequence_totals { uint64_t documents, sequences, filled, longer; };
/* Of output shard number `shard`; write() takes each finished sequence. */
PL_MUST_CHECK enum pl_status pl_sequences_new(struct pl_sequences **s, const struct pl_sequence_rule *rule, uint64_t shard,
    pl_sequence_write_fn *write, void *ctx, struct pl_err *err);
void pl_sequences_free(struct pl_sequences *s);   /* NULL works */
/* A document as a template renders it: its JSON, then its images; copied. May write sequences: when the window is full, or its
 * documents take PL_SEQUENCE_BYTES. */
#define PL_SEQUENCE_BYTES ((size_t)64 << 20)
PL_MUST_CHECK enum pl_status pl_sequences_add(struct pl_sequences *s, const struct shard_member *members, size_t n, uint64_t tokens,
    struct pl_err *err);
/* Write what is left. */
PL_MUST_CHECK enum pl_status pl_sequences_finish(struct pl_sequences *s, struct pl_sequence_totals *totals, struct pl_err *err);
/* What is wrong with the JSON of a sequence, against itself; NULL: nothing, or it is none. Static storage. */
const char *pl_sequence_wrong(const json_t *sample);

#endif
