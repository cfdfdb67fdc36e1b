/* SPDX-License-Identifier: Apache-2.0 */
/* From the pairs that the parts found to who survives: each pair goes to the part
 * that holds its second node, and there the stars are decided in rounds. */
#include <stdlib.h>
#include <string.h>

#include "components.h"
#include "internal.h"
#include "rounds.h"

#define SPARE_MIN ((uint64_t)1 << 20)   /* bytes to sort pairs with */
#define NEWS_BYTES ((uint64_t)64 << 20)   /* that come to a node at once */

static uint32_t hamming(const uint64_t a[4], const uint64_t b[4])
{
	uint32_t n = 0;

	for (unsigned w = 0; w < 4; w++)
		for (uint64_t x = a[w] ^ b[w]; x; x &= x - 1)
			n++;
	return n;
}

/* ---- pairs to the holders ---- */

struct pair_deal { const struct pl_dedup *d; const struct pl_link *pairs; size_t n, at; };

static bool next_pair(void *ctx, const void **record, uint32_t *to)
{
	struct pair_deal *x = ctx;

	if (x->at == x->n)
		return false;
	*record = &x->pairs[x->at];
	*to = pl_node_holder(x->d, pl_link_b(&x->pairs[x->at++]));
	return true;
}

static bool next_pair_to_first(void *ctx, const void **record, uint32_t *to)
{
	bool more = next_pair(ctx, record, to);

	*to = 0;
	return more;
}

/* Files of pairs are walked through, and never held as a whole. */
static enum pl_status pairs_poll(void *ctx, struct pl_err *err)
{
	struct pl_dedup *d = ctx;

	pl_spill_rest(&d->found);
	pl_spill_rest(&d->pairs);
	return d->parts.poll(d->parts.ctx, err);
}

static void account_files(struct pl_dedup *d)
{
	uint64_t filed = d->found.filed + d->pairs.filed;

	if (filed > d->stats.filed)
		d->stats.filed = filed;
}

/* A batch at a time into the store, so that only the store is large. */
static enum pl_status deal_pairs(struct pl_dedup *d, struct pl_err *err)
{
	struct pair_deal deal = {.d = d};
	uint64_t step = (uint64_t)1 << 20, left = 1;
	struct pl_buf in;
	enum pl_status st = pl_spill_seal(&d->found, err);
	size_t n = st == PL_OK ? (size_t)(d->found.len / sizeof(struct pl_link)) : 0;

	pl_buf_init(&in, (size_t)1 << 46);
	deal.pairs = (const struct pl_link *)(const void *)d->found.data;
	while (left > 0) {
		deal.n = n - deal.at < step ? n : deal.at + (size_t)step;
		pl_buf_clear(&in);
		st = pl_parts_deal(&d->parts, st, sizeof(struct pl_link), next_pair, &deal, &in, err);
		if (st != PL_OK)
			break;
		st = pl_spill_add(&d->pairs, in.data, in.len, err);
		pl_spill_rest(&d->found);
		left = deal.at < n;
		d->parts.sum(d->parts.ctx, &left, 1);
	}
	pl_dedup_account(d, in.len);
	pl_buf_release(&in);
	if (st == PL_OK)
		st = pl_spill_seal(&d->pairs, err);
	account_files(d);
	pl_spill_release(&d->found);
	return d->parts.agree(d->parts.ctx, st, err);
}

static struct pl_link *pairs_of(const struct pl_dedup *d, size_t *n)
{
	*n = (size_t)(d->pairs.len / sizeof(struct pl_link));
	return (struct pl_link *)(void *)d->pairs.data;
}

/* ---- stars ---- */

/* Bring what the parts decided to the states on every node, a batch of all parts at a time. */
static enum pl_status spread_news(struct pl_dedup *d, enum pl_status st, struct pl_buf *news, struct pl_err *err)
{
	uint64_t step = NEWS_BYTES / d->parts.parts / sizeof(pl_star_news) * sizeof(pl_star_news) + sizeof(pl_star_news), at = 0, left = 1;
	struct pl_buf all;

	pl_buf_init(&all, (size_t)1 << 46);
	while (left > 0) {
		uint64_t n = news->len - at < step ? news->len - at : step;
		st = pl_parts_tell(&d->parts, st, false, n > 0 ? news->data + at : NULL, n, sizeof(pl_star_news), &all, err);
		if (st != PL_OK)
			break;
		if (d->parts.part == d->parts.leader)
			pl_star_apply(d->states.data, (const pl_star_news *)(const void *)all.data, all.len / sizeof(pl_star_news));
		pl_buf_clear(&all);
		at += n;
		left = at < news->len;
		d->parts.sum(d->parts.ctx, &left, 1);
	}
	d->parts.settle(d->parts.ctx, &d->states);
	pl_buf_clear(news);
	pl_buf_release(&all);
	return st;
}

static enum pl_status play_rounds(struct pl_dedup *d, struct pl_star_part *part, struct pl_buf *news, enum pl_status st, struct pl_err *err)
{
	const uint8_t *states = d->states.data;
	uint64_t open;

	st = spread_news(d, st, news, err);
	while (st == PL_OK) {
		st = pl_star_round(part, states, news, err);
		st = spread_news(d, st, news, err);
		open = part->nopen;
		d->parts.sum(d->parts.ctx, &open, 1);
		d->stats.rounds++;
		if (st == PL_OK && open == 0)
			break;
	}
	return st;
}

static enum pl_status decide_stars(struct pl_dedup *d, struct pl_err *err)
{
	size_t n;
	struct pl_link *pairs = pairs_of(d, &n);
	uint64_t first = pl_nodes_first(d), end = first + pl_nodes_held(d);
	struct pl_star_part part = {0};
	struct pl_buf news;
	enum pl_status st;

	pl_buf_init(&news, (size_t)1 << 46);
	st = d->parts.share(d->parts.ctx, &d->states, pl_star_bytes(d->nnodes), pl_dedup_held(d), "states of images", err);
	if (st != PL_OK)
		return st;
	st = pl_star_sort(first, end, pairs, n, d->pairs.ceiling < SPARE_MIN ? SPARE_MIN : d->pairs.ceiling, pairs_poll, d, err);
	if (st == PL_OK)
		st = pl_star_part_init(&part, first, end, pairs, n, pairs_poll, d, &news, err);
	st = play_rounds(d, &part, &news, st, err);
	if (st == PL_OK)
		st = pl_star_part_end(&part, d->states.data, d->survivor, d->distance, err);
	pl_dedup_account(d, news.cap + pl_nodes_held(d) + 8 * part.nopen);
	pl_buf_release(&news);
	pl_star_part_release(&part);
	return st;
}

/* ---- components ---- */

/* The hash of a dropped node, on its way to who holds the first of its component; and how far apart they are, on the way back. */
struct far { uint64_t survivor, hash[4]; uint32_t from, index; };
struct apart { uint32_t to, index; uint64_t distance; };
struct far_deal { const struct pl_dedup *d; uint32_t at; struct far record; };
struct apart_deal { const struct pl_dedup *d; const struct far *asked; size_t n, at; struct apart record; };

static bool next_far(void *ctx, const void **record, uint32_t *to)
{
	struct far_deal *x = ctx;
	const struct pl_dedup *d = x->d;

	while (x->at < pl_nodes_held(d) && (d->survivor[x->at] == PL_NODE_NONE || pl_nodes_first(d) + x->at >= d->nnear))
		x->at++;
	if (x->at == pl_nodes_held(d))
		return false;
	x->record = (struct far){.survivor = d->survivor[x->at], .from = d->parts.part, .index = x->at};
	memcpy(x->record.hash, pl_own_hash(d, x->at++), sizeof(x->record.hash));
	*to = pl_node_holder(d, x->record.survivor);
	*record = &x->record;
	return true;
}

static bool next_apart(void *ctx, const void **record, uint32_t *to)
{
	struct apart_deal *x = ctx;
	const struct far *q = &x->asked[x->at];

	if (x->at == x->n)
		return false;
	x->record = (struct apart){q->from, q->index, hamming(q->hash, pl_own_hash(x->d, (uint32_t)(q->survivor - pl_nodes_first(x->d))))};
	*to = q->from;
	x->at++;
	*record = &x->record;
	return true;
}

static enum pl_status measure_components(struct pl_dedup *d, enum pl_status st, struct pl_err *err)
{
	struct far_deal asking = {.d = d};
	struct apart_deal answering = {.d = d};
	struct pl_buf asked, in;

	pl_buf_init(&asked, (size_t)1 << 46);
	pl_buf_init(&in, (size_t)1 << 46);
	st = pl_parts_deal(&d->parts, st, sizeof(struct far), next_far, &asking, &asked, err);
	answering.asked = (const struct far *)(const void *)asked.data;
	answering.n = asked.len / sizeof(struct far);
	st = pl_parts_deal(&d->parts, st, sizeof(struct apart), next_apart, &answering, &in, err);
	for (size_t at = 0; st == PL_OK && at < in.len; at += sizeof(struct apart)) {
		struct apart a;
		memcpy(&a, in.data + at, sizeof(a));
		d->distance[a.index] = (uint16_t)a.distance;
	}
	pl_dedup_account(d, asked.len + in.len);
	pl_buf_release(&asked);
	pl_buf_release(&in);
	return st;
}

/* Every part thins its pairs out, the first one puts them together and says who is first in each component. */
static enum pl_status decide_components(struct pl_dedup *d, struct pl_err *err)
{
	size_t n;
	struct pl_link *pairs = pairs_of(d, &n);
	struct pair_deal deal = {.d = d, .pairs = pairs};
	uint64_t first = pl_nodes_first(d);
	struct pl_buf all, out, in;
	enum pl_status st = pl_components_thin(pairs, &n, pairs_poll, d, err);

	pl_buf_init(&all, (size_t)1 << 46);
	pl_buf_init(&out, (size_t)1 << 46);
	pl_buf_init(&in, (size_t)1 << 46);
	deal.n = n;
	st = pl_parts_deal(&d->parts, st, sizeof(struct pl_link), next_pair_to_first, &deal, &all, err);
	if (st == PL_OK)
		st = pl_components_first((struct pl_link *)(void *)all.data, all.len / sizeof(struct pl_link), d->parts.poll, d->parts.ctx, &out, err);
	pl_dedup_account(d, 2 * all.len + out.len);
	deal = (struct pair_deal){.d = d, .pairs = (struct pl_link *)(void *)out.data, .n = out.len / sizeof(struct pl_link)};
	st = pl_parts_deal(&d->parts, st, sizeof(struct pl_link), next_pair, &deal, &in, err);
	for (uint32_t i = 0; i < pl_nodes_held(d); i++)
		d->survivor[i] = PL_NODE_NONE;
	for (size_t at = 0; st == PL_OK && at < in.len; at += sizeof(struct pl_link)) {
		struct pl_link p;
		memcpy(&p, in.data + at, sizeof(p));
		d->survivor[pl_link_b(&p) - first] = p.a;
	}
	st = measure_components(d, st, err);
	pl_buf_release(&all);
	pl_buf_release(&out);
	pl_buf_release(&in);
	return st;
}

enum pl_status pl_dedup_survivors(struct pl_dedup *d, struct pl_err *err)
{
	enum pl_status st;

	d->survivor = calloc((size_t)pl_nodes_held(d) + 1, sizeof(*d->survivor));
	d->distance = calloc((size_t)pl_nodes_held(d) + 1, sizeof(*d->distance));
	st = d->parts.agree(d->parts.ctx, d->survivor && d->distance ? PL_OK : pl_fail_nomem(err), err);
	if (st == PL_OK)
		st = deal_pairs(d, err);
	if (st != PL_OK)
		return st;
	d->stats.pairs = d->pairs.len / sizeof(struct pl_link);
	pl_dedup_account(d, 0);
	st = d->o.cluster == PL_CLUSTER_COMPONENTS ? decide_components(d, err) : decide_stars(d, err);
	d->parts.unshare(d->parts.ctx, &d->states);
	pl_spill_release(&d->pairs);
	return st;
}
