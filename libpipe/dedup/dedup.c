/* SPDX-License-Identifier: Apache-2.0 */
/* Dedup from tables to decisions: places, items, nodes of equal items, near
 * pairs between nodes, stars. */
#include "dedup.h"

#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- places ---- */

struct named_place { struct pl_dedup_place place; const struct pl_corpus *c; };

static int compare_places(const void *x, const void *y)
{
	const struct named_place *a = x, *b = y;
	int c = strcmp(
	    a->c->source.name ? a->c->source.name : "", b->c->source.name ? b->c->source.name : "");

	if (c == 0)
		c = memcmp(a->c->digest, b->c->digest, sizeof(a->c->digest));
	if (c == 0)
		c = (a->place.corpus > b->place.corpus) - (a->place.corpus < b->place.corpus);
	return c != 0 ? c : strcmp(a->c->shards[a->place.shard].unit, b->c->shards[b->place.shard].unit);
}

static enum pl_status number_places(struct pl_dedup *d, struct pl_err *err)
{
	struct named_place *named;
	size_t total = 0, at = 0;

	for (uint32_t i = 0; i < d->n + d->m; i++)
		total += pl_dedup_corpus(d, i)->nshards;
	if (total >= UINT32_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "more than 2^32 - 2 shards");
	named = calloc(total + 1, sizeof(*named));
	d->places = calloc(total + 1, sizeof(*d->places));
	if (!named || !d->places) {
		free(named);
		return pl_fail_nomem(err);
	}
	for (uint32_t i = 0; i < d->n + d->m; i++) {
		const struct pl_corpus *c = pl_dedup_corpus(d, i);
		for (size_t k = 0; k < c->nshards; k++)
			named[at++] = (struct named_place){{i, (uint32_t)k}, c};
	}
	if (total > 1)
		qsort(named, total, sizeof(*named), compare_places);
	for (size_t i = 0; i < total; i++)
		d->places[i] = named[i].place;
	d->nplaces = (uint32_t)total;
	free(named);
	return PL_OK;
}

/* ---- nodes ---- */

static int compare_nodes(const struct pl_items *it, const struct pl_node *a, const struct pl_node *b)
{
	return pl_item_compare(&it->items[a->first], &it->items[b->first]);
}

/* Merge sort: the order needs the items, which qsort's comparison cannot see. */
static void sort_nodes(
    const struct pl_items *it, struct pl_node *nodes, size_t n, struct pl_node *spare)
{
	size_t half = n / 2, i = 0, k = half, at = 0;

	if (n < 2)
		return;
	sort_nodes(it, nodes, half, spare);
	sort_nodes(it, nodes + half, n - half, spare);
	memcpy(spare, nodes, half * sizeof(*nodes));
	while (i < half)
		nodes[at++] = k < n && compare_nodes(it, &nodes[k], &spare[i]) < 0 ? nodes[k++] : spare[i++];
}

/* Runs of equal items become nodes, in priority order; items learn their node. */
static enum pl_status make_nodes(struct pl_dedup *d, struct pl_err *err)
{
	struct pl_items *it = &d->images;
	struct pl_node *spare;
	size_t n = 0;

	pl_items_sort_content(it);
	for (size_t i = 0; i < it->n; i++)
		n += i == 0 || !pl_items_equal(&it->items[i - 1], &it->items[i]);
	d->nodes = calloc(n + 1, sizeof(*d->nodes));
	spare = malloc((n / 2 + 1) * sizeof(*spare));
	if (!d->nodes || !spare) {
		free(spare);
		return pl_fail_nomem(err);
	}
	for (size_t i = 0; i < it->n; i++) {
		const struct pl_item *p = &it->items[i];
		struct pl_node *node = &d->nodes[d->nnodes];
		if (i > 0 && pl_items_equal(p - 1, p))
			continue;
		*node = (struct pl_node){.key = p->key, .place = p->place, .row = p->row, .sample = p->sample,
		    .class = p->class, .first = (uint32_t)i, .by_bytes = p->by_bytes};
		memcpy(node->pdq, p->pdq, sizeof(node->pdq));
		memcpy(node->xxh3, p->xxh3, sizeof(node->xxh3));
		d->nnodes++;
	}
	sort_nodes(it, d->nodes, d->nnodes, spare);
	free(spare);
	for (uint32_t v = 0; v < d->nnodes; v++) {
		size_t i = d->nodes[v].first;
		do
			it->items[i].node = v;
		while (++i < it->n && pl_items_equal(&it->items[i - 1], &it->items[i]));
	}
	return PL_OK;
}

static enum pl_status list_near(struct pl_dedup *d, struct pl_err *err)
{
	d->hashes = calloc((size_t)d->nnodes + 1, sizeof(*d->hashes));
	d->near = calloc((size_t)d->nnodes + 1, sizeof(*d->near));
	if (!d->hashes || !d->near)
		return pl_fail_nomem(err);
	for (uint32_t v = 0; v < d->nnodes; v++) {
		if (d->nodes[v].by_bytes)
			continue;
		memcpy(d->hashes[d->nnear], d->nodes[v].pdq, sizeof(d->hashes[0]));
		d->near[d->nnear++] = v;
	}
	d->stats.distinct_hashes = d->nnear;
	return PL_OK;
}

enum pl_status pl_dedup_images(struct pl_dedup *d, struct pl_err *err)
{
	enum pl_status st = pl_items_load_images(d, err);

	if (st == PL_OK)
		st = make_nodes(d, err);
	return st == PL_OK ? list_near(d, err) : st;
}

/* ---- open and close ---- */

static enum pl_status check_recipes(const struct pl_dedup *d, struct pl_err *err)
{
	const struct pl_corpus *first = d->n + d->m > 0 ? pl_dedup_corpus(d, 0) : NULL;

	for (uint32_t i = 1; i < d->n + d->m; i++) {
		const struct pl_corpus *c = pl_dedup_corpus(d, i);
		if (c->source.hash != first->source.hash)
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, c->dir,
			    "its hashes are %s, those of '%s' are %s: ingest one of them again with the other's --hash",
			    pl_hash_recipe_names[c->source.hash], first->dir, pl_hash_recipe_names[first->source.hash]);
	}
	return PL_OK;
}

enum pl_status pl_dedup_new(struct pl_dedup **out, struct pl_corpus *const *corpora, size_t n,
    struct pl_corpus *const *evals, size_t m, const struct pl_dedup_options *o, struct pl_err *err)
{
	struct pl_dedup *d;
	enum pl_status st;

	if (o->near_text.on && !o->text)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "near texts are asked for, but equal texts are to be left alone");
	if (n + m > 1u << 20 || o->distance > 255)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%s",
		    o->distance > 255 ? "a distance above 255 makes every image a duplicate"
		                      : "more than 2^20 corpora");
	d = calloc(1, sizeof(*d));
	if (!d)
		return pl_fail_nomem(err);
	d->corpora = corpora;
	d->evals = evals;
	d->n = n;
	d->m = m;
	d->o = *o;
	st = check_recipes(d, err);
	if (st == PL_OK)
		st = number_places(d, err);
	if (st == PL_OK && o->text)
		st = pl_dedup_texts(d, err);
	if (st == PL_OK && !d->near_texts)   /* else they wait for these */
		st = pl_dedup_images(d, err);
	if (st != PL_OK) {
		pl_dedup_free(d);
		return st;
	}
	*out = d;
	return PL_OK;
}

void pl_dedup_free(struct pl_dedup *d)
{
	if (!d)
		return;
	free(d->places);
	free(d->texts);
	pl_near_texts_free(d->near_texts);
	free(d->images.items);
	free(d->nodes);
	free(d->hashes);
	free(d->near);
	free(d->survivor);
	free(d->distance);
	free(d);
}

/* ---- pairs ---- */

struct near_join {
	const struct pl_dedup *d;
	enum pl_status (*poll)(void *ctx, struct pl_err *err);
	void *poll_ctx;
};

static bool near_related(void *ctx, uint32_t a, uint32_t b)
{
	const struct near_join *j = ctx;
	const struct pl_dedup *d = j->d;

	return pl_classes_related(d->nodes[d->near[a]].class, d->nodes[d->near[b]].class);
}

static enum pl_status near_poll(void *ctx, struct pl_err *err)
{
	struct near_join *j = ctx;

	return j->poll(j->poll_ctx, err);
}

enum pl_status pl_dedup_pairs(struct pl_dedup *d, uint32_t part, uint32_t parts,
    enum pl_status (*poll)(void *ctx, struct pl_err *err), void *poll_ctx, struct pl_buf *out,
    struct pl_err *err)
{
	struct near_join ctx = {.d = d, .poll = poll, .poll_ctx = poll_ctx};
	const struct pl_join join = {.hashes = d->hashes,
	    .n = d->nnear,
	    .distance = d->o.distance,
	    .related = near_related,
	    .poll = poll ? near_poll : NULL,
	    .ctx = &ctx};
	size_t from = out->len;
	enum pl_status st = pl_join_part(&join, part, parts, out, err);

	if (st != PL_OK)
		return st;
	/* near[] ascends, so a < b holds for nodes as it does for hashes */
	for (size_t at = from; at < out->len; at += sizeof(struct pl_pair)) {
		struct pl_pair p;
		memcpy(&p, out->data + at, sizeof(p));
		p.a = d->near[p.a];
		p.b = d->near[p.b];
		memcpy(out->data + at, &p, sizeof(p));
	}
	return PL_OK;
}

/* ---- survivors ---- */

/* Nodes compared by bytes only, equal in bytes, in different classes that may drop one another: an
 * evaluation image against the rest of its run. Items still stand by content. Writes to pairs unless it
 * is NULL; returns their number. */
static size_t byte_pairs(const struct pl_dedup *d, struct pl_pair *pairs)
{
	const struct pl_items *it = &d->images;
	size_t n = 0, eval = SIZE_MAX;

	for (size_t i = 0; i < it->n; i++) {
		const struct pl_item *p = &it->items[i];
		uint32_t a, b;
		if (!p->by_bytes || (i > 0 && pl_items_equal(p - 1, p)))
			continue;
		if (p->class == PL_CLASS_EVAL)
			eval = i;
		if (eval == SIZE_MAX || eval == i || !pl_items_same_content(&it->items[eval], p))
			continue;
		a = it->items[eval].node;
		b = p->node;
		if (pairs)
			pairs[n] = (struct pl_pair){a < b ? a : b, a < b ? b : a, 0};
		n++;
	}
	return n;
}

struct pl_fate pl_dedup_fate(const struct pl_dedup *d, const struct pl_item *it)
{
	struct pl_fate f = {.reason = PL_REASON_KEEP};
	const struct pl_node *own = &d->nodes[it->node], *s;

	if (it->class == PL_CLASS_EVAL)
		return f;
	if (d->survivor[it->node] != PL_STAR_KEPT) {
		f.survivor = d->survivor[it->node];
		f.distance = d->distance[it->node];
	} else if (it->class != PL_CLASS_CHAT && (it->place != own->place || it->row != own->row)) {
		f.survivor = it->node;
	} else {
		return f;
	}
	s = &d->nodes[f.survivor];
	if (s->class == PL_CLASS_EVAL)
		f.reason = PL_REASON_EVALUATION;
	else if (memcmp(s->xxh3, it->xxh3, sizeof(s->xxh3)) == 0)
		f.reason = PL_REASON_DUPLICATE_BYTES;
	else
		f.reason = PL_REASON_NEAR_DUPLICATE;
	return f;
}

static void count_fates(struct pl_dedup *d)
{
	for (size_t i = 0; i < d->images.n; i++) {
		enum pl_reason reason = pl_dedup_fate(d, &d->images.items[i]).reason;
		d->stats.dropped_bytes += reason == PL_REASON_DUPLICATE_BYTES;
		d->stats.dropped_near += reason == PL_REASON_NEAR_DUPLICATE;
		d->stats.dropped_eval += reason == PL_REASON_EVALUATION;
	}
}

enum pl_status pl_dedup_resolve(struct pl_dedup *d, struct pl_pair *pairs, size_t n, struct pl_err *err)
{
	size_t extra = byte_pairs(d, NULL);
	struct pl_pair *all = pairs;
	enum pl_status st;

	if (d->resolved || d->near_texts)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%s",
		    d->resolved ? "survivors were decided before" : "near texts are not decided yet");
	d->survivor = calloc((size_t)d->nnodes + 1, sizeof(*d->survivor));
	d->distance = calloc((size_t)d->nnodes + 1, sizeof(*d->distance));
	if (!d->survivor || !d->distance)
		return pl_fail_nomem(err);
	if (extra > 0) {
		all = n < SIZE_MAX / sizeof(*all) - extra ? malloc((n + extra) * sizeof(*all)) : NULL;
		if (!all)
			return pl_fail_nomem(err);
		if (n > 0)
			memcpy(all, pairs, n * sizeof(*all));
		byte_pairs(d, all + n);
	}
	d->stats.pairs = n + extra;
	st = pl_star(d->nnodes, all, n + extra, d->survivor, d->distance, err);
	if (all != pairs)
		free(all);
	if (st != PL_OK)
		return st;
	pl_items_sort_place(&d->images);
	d->resolved = true;
	count_fates(d);
	return PL_OK;
}

struct pl_dedup_stats pl_dedup_stats(const struct pl_dedup *d)
{
	return d->stats;
}
