/* SPDX-License-Identifier: Apache-2.0 */
/* From decided nodes to the fates of items: the holder of a dropped node asks the
 * holder of its survivor who that is; the parts ask the holders of their items'
 * nodes what became of them. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* What is asked of a node's holder: node, for element `index` of part `from`. */
struct question { uint64_t node; uint32_t from, index; };
struct answer {
	uint32_t to, index;
	struct pl_node node;      /* who stays: the node itself when it is kept */
	uint16_t distance;
	bool kept;
	uint8_t pad[5];
};

/* ---- who are the survivors ---- */

struct survivor_deal { const struct pl_dedup *d; uint32_t at; struct question record; };

static bool next_survivor(void *ctx, const void **record, uint32_t *to)
{
	struct survivor_deal *x = ctx;
	const struct pl_dedup *d = x->d;

	while (x->at < pl_nodes_held(d) && d->survivor[x->at] == PL_NODE_NONE)
		x->at++;
	if (x->at == pl_nodes_held(d))
		return false;
	*to = pl_node_holder(d, d->survivor[x->at]);
	x->record = (struct question){d->survivor[x->at], d->parts.part, x->at};
	x->at++;
	*record = &x->record;
	return true;
}

struct answer_deal {
	const struct pl_dedup *d;
	const struct question *questions; size_t n, at;
	const struct pl_node *survivors;      /* NULL, or by slot: of the dropped nodes held here */
	const uint32_t *slot;
	struct answer record;
};

static bool next_answer(void *ctx, const void **record, uint32_t *to)
{
	struct answer_deal *x = ctx;
	const struct question *q = &x->questions[x->at];
	uint32_t i;

	if (x->at == x->n)
		return false;
	i = (uint32_t)(q->node - pl_nodes_first(x->d));
	*to = q->from;
	x->record = (struct answer){.to = q->from, .index = q->index, .kept = x->d->survivor[i] == PL_NODE_NONE};
	if (x->record.kept || !x->survivors) {
		x->record.node = x->d->nodes[i];
	} else {
		x->record.node = x->survivors[x->slot[i]];
		x->record.distance = x->d->distance[i];
	}
	x->at++;
	*record = &x->record;
	return true;
}

/* Ask with `next` of `ctx`, answer what is asked here, append the answers to what was asked to in. */
static enum pl_status ask(struct pl_dedup *d, pl_parts_next *next, void *ctx, const struct pl_node *survivors, const uint32_t *slot,
    enum pl_status st, struct pl_buf *in, struct pl_err *err)
{
	struct answer_deal deal = {.d = d, .survivors = survivors, .slot = slot};
	struct pl_buf asked;

	pl_buf_init(&asked, (size_t)1 << 46);
	st = pl_parts_deal(&d->parts, st, sizeof(struct question), next, ctx, &asked, err);
	deal.questions = (const struct question *)(const void *)asked.data;
	deal.n = asked.len / sizeof(struct question);
	st = pl_parts_deal(&d->parts, st, sizeof(struct answer), next_answer, &deal, in, err);
	pl_dedup_account(d, asked.len + in->len);
	pl_buf_release(&asked);
	return st;
}

/* survivors[slot[i]] stays in place of the dropped node i held here. */
static enum pl_status find_survivors(struct pl_dedup *d, struct pl_node **survivors, uint32_t **slot, struct pl_err *err)
{
	struct survivor_deal deal = {.d = d};
	uint32_t n = 0;
	struct pl_buf in;
	enum pl_status st = PL_OK;

	pl_buf_init(&in, (size_t)1 << 46);
	*slot = calloc((size_t)pl_nodes_held(d) + 1, sizeof(**slot));
	for (uint32_t i = 0; *slot && i < pl_nodes_held(d); i++)
		if (d->survivor[i] != PL_NODE_NONE)
			(*slot)[i] = n++;
	*survivors = calloc((size_t)n + 1, sizeof(**survivors));
	if (!*slot || !*survivors)
		st = pl_fail_nomem(err);
	st = ask(d, next_survivor, &deal, NULL, NULL, st, &in, err);
	for (size_t at = 0; st == PL_OK && *slot && *survivors && at < in.len; at += sizeof(struct answer)) {
		struct answer a;
		memcpy(&a, in.data + at, sizeof(a));
		(*survivors)[(*slot)[a.index]] = a.node;
	}
	pl_buf_release(&in);
	return st;
}

/* ---- what became of the items ---- */

struct item_deal { const struct pl_dedup *d; size_t at; struct question record; };

/* One question for each run of equal items. */
static bool next_item(void *ctx, const void **record, uint32_t *to)
{
	struct item_deal *x = ctx;
	const struct pl_items *it = &x->d->images;
	uint64_t node;

	if (x->at == it->n)
		return false;
	node = pl_item_node(&it->items[x->at]);
	*to = pl_node_holder(x->d, node);
	x->record = (struct question){node, x->d->parts.part, (uint32_t)x->at};
	while (x->at < it->n && pl_item_node(&it->items[x->at]) == node)
		x->at++;
	*record = &x->record;
	return true;
}

static void decide_item(struct pl_item *it, const struct answer *a)
{
	const struct pl_node *s = &a->node;
	struct pl_fate f = {.key = s->key, .place = s->place, .row = s->row, .sample = s->sample, .distance = a->distance};

	if (pl_class_fixed(it->class) || (a->kept && (it->class == PL_CLASS_CHAT || (it->place == s->place && it->row == s->row))))
		f = (struct pl_fate){.reason = PL_REASON_KEEP};
	else if (s->class == PL_CLASS_EVAL)
		f.reason = PL_REASON_EVALUATION;
	else if (memcmp(s->xxh3, it->xxh3, sizeof(s->xxh3)) == 0)
		f.reason = PL_REASON_DUPLICATE_BYTES;
	else
		f.reason = PL_REASON_NEAR_DUPLICATE;
	it->fate = f;
}

/* Items still stand by content, which their fate is about to replace. */
static void decide_items(struct pl_dedup *d, const struct pl_buf *answers)
{
	struct pl_items *it = &d->images;

	for (size_t at = 0; at < answers->len; at += sizeof(struct answer)) {
		struct answer a;
		uint64_t node;
		memcpy(&a, answers->data + at, sizeof(a));
		node = pl_item_node(&it->items[a.index]);
		for (size_t i = a.index; i < it->n && pl_item_node(&it->items[i]) == node; i++)
			decide_item(&it->items[i], &a);
	}
	for (size_t i = 0; i < it->n; i++) {
		enum pl_reason reason = (enum pl_reason)it->items[i].fate.reason;
		d->stats.dropped_bytes += reason == PL_REASON_DUPLICATE_BYTES;
		d->stats.dropped_near += reason == PL_REASON_NEAR_DUPLICATE;
		d->stats.dropped_eval += reason == PL_REASON_EVALUATION;
	}
}

enum pl_status pl_dedup_fates(struct pl_dedup *d, struct pl_err *err)
{
	struct item_deal deal = {.d = d};
	struct pl_node *survivors = NULL;
	uint32_t *slot = NULL;
	struct pl_buf in;
	enum pl_status st = find_survivors(d, &survivors, &slot, err);

	pl_buf_init(&in, (size_t)1 << 46);
	st = ask(d, next_item, &deal, survivors, slot, st, &in, err);
	if (st == PL_OK) {
		decide_items(d, &in);
		st = pl_dedup_sort_place(d, &d->images, err);
	}
	free(survivors);
	free(slot);
	pl_buf_release(&in);
	return d->parts.agree(d->parts.ctx, st, err);
}
