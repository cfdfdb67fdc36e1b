/* SPDX-License-Identifier: Apache-2.0 */
/* What counting and looking up kept samples share. Internal to this room. */
#ifndef PL_MIX_SELECT_PRIV_H
#define PL_MIX_SELECT_PRIV_H

#include "select.h"

struct pl_select_rows {
	uint64_t *bits;        /* NULL = not in the cache */
	uint32_t *ranks;       /* kept rows before each block of rows */
	uint64_t last_use;
};

/* Places number the shards in the order of their units' names, which is the same wherever the shards lie. */
struct pl_select {
	const struct pl_corpus *c;
	struct pl_select_rule rule;
	uint32_t *shard_at;    /* place -> shard of the corpus */
	uint64_t *first;       /* nshards + 1: kept samples before each place */
	struct pl_select_rows *rows;   /* by place */
	size_t cached, cache_max;   /* bytes */
	uint64_t clock;
	struct pl_select_totals totals;
	uint64_t digest[2];
	uint64_t dropped[PL_REASON_COUNT];
	struct pl_rule_view open;   /* of open_shard, for costs */
	size_t open_shard;     /* SIZE_MAX = none */
	struct pl_resize image;        /* how image tokens are counted */
	bool counted, same;            /* image is set; every image counts `each` */
	uint64_t each;
	struct pl_order *order;        /* the last one asked for, what it was asked with, and its draws */
	uint64_t order_key[2];
};

struct pl_sample_cost pl_select_cost_of(const struct pl_select *s, const struct pl_rule_view *v, uint64_t row);

#endif
