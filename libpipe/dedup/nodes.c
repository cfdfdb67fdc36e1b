/* SPDX-License-Identifier: Apache-2.0 */
/* From items to numbered nodes, over all parts. Each part collapses its own items;
 * what is left goes to the part that judges its content, which makes one node of
 * equal items; a sort over all parts numbers the nodes; and the numbers go back the
 * same way. So no part ever sees all items, and a picture that is there a million
 * times costs its judge one record per part. */
#include <stdlib.h>
#include <string.h>

#include "cover.h"
#include "internal.h"

enum { KEEP_HASHES = 512 };   /* permuted at once */
#define ITEMS_MAX ((size_t)UINT32_MAX * sizeof(struct pl_item))

/* A number on its way back: element `index` of part `to` is `node`. */
struct reply { uint64_t node; uint32_t to, index; };

static struct pl_item *items_of(const struct pl_buf *b)
{
	return (struct pl_item *)(void *)b->data;
}

static size_t run_end(const struct pl_item *items, size_t n, size_t from)
{
	size_t i = from + 1;

	while (i < n && pl_items_equal(&items[from], &items[i]))
		i++;
	return i;
}

/* ---- to the judges ---- */

struct run_deal { const struct pl_items *it; size_t at; uint32_t parts; struct pl_item record; };

/* The first of each run of equal items, which knows where its run starts. */
static bool next_run(void *ctx, const void **record, uint32_t *to)
{
	struct run_deal *d = ctx;

	if (d->at == d->it->n)
		return false;
	d->record = d->it->items[d->at];
	d->record.node = (uint32_t)d->at;
	*record = &d->record;
	*to = pl_item_judge(&d->record, d->parts);
	d->at = run_end(d->it->items, d->it->n, d->at);
	return true;
}

static enum pl_status to_judges(struct pl_dedup *d, struct pl_buf *judged, struct pl_err *err)
{
	struct run_deal deal = {.it = &d->images, .parts = d->parts.parts};
	struct pl_items it;
	enum pl_status st = pl_dedup_sort_content(d, &d->images, err);

	st = pl_parts_deal(&d->parts, st, sizeof(struct pl_item), next_run, &deal, judged, err);
	it = (struct pl_items){items_of(judged), judged->len / sizeof(struct pl_item), 0};
	if (st == PL_OK)
		st = pl_dedup_sort_content(d, &it, err);
	return d->parts.agree(d->parts.ctx, st, err);
}

/* ---- numbers ---- */

static int compare_by_number(const void *x, const void *y)
{
	const struct pl_item *a = x, *b = y;

	return a->by_bytes != b->by_bytes ? (int)a->by_bytes - (int)b->by_bytes : pl_item_compare(a, b);
}

/* The first of each run of the judged; node tells the judge where it has it. */
static enum pl_status list_firsts(const struct pl_buf *judged, struct pl_buf *firsts, struct pl_err *err)
{
	const struct pl_item *items = items_of(judged);
	size_t n = judged->len / sizeof(*items);
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < n && st == PL_OK; i = run_end(items, n, i)) {
		struct pl_item first = items[i];
		first.node = (uint32_t)i;
		st = pl_buf_add(firsts, &first, sizeof(first), err);
	}
	return st;
}

/* Who holds what: counts of all parts, added up. */
static enum pl_status share_out(struct pl_dedup *d, const struct pl_buf *held, struct pl_err *err)
{
	const struct pl_item *items = items_of(held);
	size_t n = held->len / sizeof(*items);
	uint64_t *counts = calloc((size_t)d->parts.parts + 4, sizeof(*counts)), at = 0;
	enum pl_status st = PL_OK;

	d->starts = calloc((size_t)d->parts.parts + 1, sizeof(*d->starts));
	if (!counts || !d->starts)
		st = pl_fail_nomem(err);
	st = d->parts.agree(d->parts.ctx, st, err);
	if (st != PL_OK || !counts || !d->starts) {
		free(counts);
		return st;
	}
	counts[d->parts.part] = n;
	for (size_t i = 0; i < n; i++) {
		counts[d->parts.parts] += !items[i].by_bytes;
		counts[d->parts.parts + 1] += items[i].class != PL_CLASS_FIRST;
		counts[d->parts.parts + 2] += !items[i].by_bytes && pl_class_fixed(items[i].class);
	}
	d->parts.sum(d->parts.ctx, counts, (size_t)d->parts.parts + 3);
	for (uint32_t p = 0; p < d->parts.parts; p++) {
		d->starts[p] = at;
		at += counts[p];
	}
	d->classes = counts[d->parts.parts + 1] > 0;
	if (at >= PL_NODES_MAX)
		st = pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "more than 2^48 - 2 different images to compare");
	d->starts[d->parts.parts] = d->nnodes = at;
	d->nnear = counts[d->parts.parts];
	d->nfixed = counts[d->parts.parts + 2];
	d->stats.distinct_hashes = d->nnear;
	free(counts);
	return st;
}

uint32_t pl_node_holder(const struct pl_dedup *d, uint64_t node)
{
	uint32_t lo = 0, hi = d->parts.parts - 1;

	while (lo < hi) {   /* the last part that starts at or before it */
		uint32_t mid = lo + (hi - lo + 1) / 2;
		if (d->starts[mid] <= node)
			lo = mid;
		else
			hi = mid - 1;
	}
	return lo;
}

/* ---- numbers back ---- */

struct number_deal { const struct pl_item *items; size_t n, at; uint64_t first; uint32_t parts; struct reply record; };

static bool next_number(void *ctx, const void **record, uint32_t *to)
{
	struct number_deal *d = ctx;

	if (d->at == d->n)
		return false;
	*to = pl_item_judge(&d->items[d->at], d->parts);
	d->record = (struct reply){d->first + d->at, *to, d->items[d->at].node};
	d->at++;
	*record = &d->record;
	return true;
}

/* From the holders of nodes to the judges: number[i] for the first of the run at i. */
static enum pl_status number_judged(struct pl_dedup *d, const struct pl_buf *held, const struct pl_buf *judged, uint64_t **number,
    struct pl_err *err)
{
	struct number_deal deal = {.items = items_of(held), .n = held->len / sizeof(struct pl_item), .first = pl_nodes_first(d),
	    .parts = d->parts.parts};
	size_t n = judged->len / sizeof(struct pl_item);
	struct pl_buf in;
	enum pl_status st;

	*number = calloc(n + 1, sizeof(**number));
	pl_buf_init(&in, ITEMS_MAX);
	st = pl_parts_deal(&d->parts, *number ? PL_OK : pl_fail_nomem(err), sizeof(struct reply), next_number, &deal, &in, err);
	for (size_t at = 0; st == PL_OK && at < in.len; at += sizeof(struct reply)) {
		struct reply r;
		memcpy(&r, in.data + at, sizeof(r));
		if (r.index < n)
			(*number)[r.index] = r.node;
	}
	pl_buf_release(&in);
	return st;
}

struct run_number_deal {
	const struct pl_dedup *d;
	const struct pl_item *items; size_t n, at, run;
	const uint64_t *number;
	struct reply record;
};

static bool next_run_number(void *ctx, const void **record, uint32_t *to)
{
	struct run_number_deal *x = ctx;

	if (x->at == x->n)
		return false;
	if (x->at > 0 && !pl_items_equal(&x->items[x->at - 1], &x->items[x->at]))
		x->run = x->at;
	*to = x->d->owner[x->items[x->at].place];
	x->record = (struct reply){x->number[x->run], *to, x->items[x->at].node};
	x->at++;
	*record = &x->record;
	return true;
}

/* From the judges to where the items are. */
static enum pl_status number_items(struct pl_dedup *d, const struct pl_buf *judged, const uint64_t *number, struct pl_err *err)
{
	struct run_number_deal deal = {.d = d, .items = items_of(judged), .n = judged->len / sizeof(struct pl_item), .number = number};
	struct pl_items *own = &d->images;
	struct pl_buf in;
	enum pl_status st;

	pl_buf_init(&in, ITEMS_MAX);
	st = pl_parts_deal(&d->parts, PL_OK, sizeof(struct reply), next_run_number, &deal, &in, err);
	for (size_t at = 0; st == PL_OK && at < in.len; at += sizeof(struct reply)) {
		struct reply r;
		memcpy(&r, in.data + at, sizeof(r));
		for (size_t i = r.index, end = r.index < own->n ? run_end(own->items, own->n, r.index) : 0; i < end; i++)
			pl_item_set_node(&own->items[i], r.node);
	}
	pl_buf_release(&in);
	return st;
}

/* Equal in bytes, compared by bytes only, in different classes that may drop one another: an evaluation image, and
 * one kept before, against the others of their content. One or two pairs for each of these, so a blank page costs no
 * more than any other picture. */
static enum pl_status byte_pairs(struct pl_dedup *d, const struct pl_buf *judged, const uint64_t *number, struct pl_err *err)
{
	const struct pl_item *items = items_of(judged);
	size_t n = judged->len / sizeof(*items), fixed[2] = {SIZE_MAX, SIZE_MAX};   /* by class */
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < n && st == PL_OK; i = run_end(items, n, i)) {
		if (items[i].by_bytes && pl_class_fixed(items[i].class))
			fixed[items[i].class] = i;
		for (uint32_t class = 0; items[i].by_bytes && class < 2 && st == PL_OK; class++) {
			uint64_t a, b;
			struct pl_link link;
			if (fixed[class] == SIZE_MAX || !pl_classes_related(class, items[i].class) ||
			    !pl_items_same_content(&items[fixed[class]], &items[i]))
				continue;
			a = number[fixed[class]];
			b = number[i];
			link = pl_link(a < b ? a : b, a < b ? b : a, 0);
			st = pl_spill_add(&d->found, &link, sizeof(link), err);
		}
	}
	return st;
}

/* ---- hashes ---- */

static enum pl_status keep_nodes(struct pl_dedup *d, const struct pl_buf *held, struct pl_err *err)
{
	const struct pl_item *items = items_of(held);
	size_t n = held->len / sizeof(*items);

	d->nodes = calloc(n + 1, sizeof(*d->nodes));
	if (!d->nodes)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < n; i++) {
		const struct pl_item *p = &items[i];
		d->nodes[i] = (struct pl_node){.key = p->key, .place = p->place, .row = p->row, .sample = p->sample, .class = p->class};
		memcpy(d->nodes[i].xxh3, p->xxh3, sizeof(p->xxh3));
	}
	return PL_OK;
}

static enum pl_status spread_hashes(struct pl_dedup *d, const struct pl_buf *held, struct pl_err *err)
{
	const struct pl_item *items = items_of(held);
	uint64_t first = pl_nodes_first(d), bytes = d->nnear * (d->classes ? 36 : 32);
	uint32_t n = 0;
	enum pl_status st = d->parts.share(d->parts.ctx, &d->hashes, bytes, pl_dedup_held(d) + held->len, "hashes", err);

	if (st != PL_OK)
		return st;
	for (; n < pl_nodes_held(d) && !items[n].by_bytes; n++) {
		memcpy(pl_hashes(d)[first + n], items[n].pdq, sizeof(items[n].pdq));
		if (d->classes)
			pl_hash_classes(d)[first + n] = items[n].class;
	}
	if (n == 0)
		first = 0;
	/* as plans do, but every part its own, and so once for the whole job */
	st = pl_cover_permute(pl_cover_kernel_best(), 256, pl_hashes(d) + first, n, err);
	if ((st = d->parts.agree(d->parts.ctx, st, err)) != PL_OK)
		return st;
	st = pl_parts_spread(&d->parts, &d->hashes, first * 32, (uint64_t)n * 32, err);
	if (st == PL_OK && d->classes)
		st = pl_parts_spread(&d->parts, &d->hashes, d->nnear * 32 + first * 4, (uint64_t)n * 4, err);
	return st;
}

/* Hashes go to all nodes where there is room for them; a job of one node would not need less memory otherwise. */
static enum pl_status choose_plan(struct pl_dedup *d, const struct pl_buf *held, struct pl_err *err)
{
	uint64_t bytes = d->nnear * (d->classes ? 36 : 32) + d->nnodes / 4 + 1;
	bool many = d->nnear > UINT32_MAX - 1, fits = d->parts.fits(d->parts.ctx, bytes, pl_dedup_held(d) + held->len);

	if (d->o.plan == PL_PLAN_REPLICATED && many)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "more than 2^32 - 2 different hashes: only the partitioned plan takes so many");
	d->partitioned = d->o.plan == PL_PLAN_PARTITIONED || (d->o.plan == PL_PLAN_AUTO && (many || (d->parts.nodes > 1 && !fits)));
	return PL_OK;
}

/* Hashes of the nodes held here stay, in a file where they take too much. */
static enum pl_status keep_hashes(struct pl_dedup *d, const struct pl_buf *held, struct pl_err *err)
{
	const struct pl_item *items = items_of(held);
	uint64_t room = d->parts.room(d->parts.ctx, pl_dedup_held(d) + held->len), some[KEEP_HASHES][4];
	uint32_t n = 0, held_here = pl_nodes_held(d);
	enum pl_status st = PL_OK;

	d->own.dir = d->parts.scratch;
	d->own.ceiling = d->parts.scratch ? room / 4 : UINT64_MAX;
	while (n < held_here && !items[n].by_bytes)
		n++;
	d->nown = n;
	if (d->classes && !(d->own_classes = malloc(((size_t)n + 1) * sizeof(*d->own_classes))))
		st = pl_fail_nomem(err);
	for (uint32_t i = 0, k; i < n && st == PL_OK; i += k) {
		for (k = 0; k < KEEP_HASHES && i + k < n; k++) {
			memcpy(some[k], items[i + k].pdq, sizeof(some[k]));
			if (d->own_classes)
				d->own_classes[i + k] = items[i + k].class;
		}
		st = pl_cover_permute(pl_cover_kernel_best(), 256, some, k, err);
		if (st == PL_OK)
			st = pl_spill_add(&d->own, some, k * sizeof(some[0]), err);
	}
	if (st == PL_OK)
		st = pl_spill_seal(&d->own, err);
	return d->parts.agree(d->parts.ctx, st, err);
}

/* ---- all of it ---- */

enum pl_status pl_nodes_make(struct pl_dedup *d, struct pl_err *err)
{
	struct pl_buf judged, held;
	uint64_t *number = NULL;
	enum pl_status st;

	pl_buf_init(&judged, ITEMS_MAX);
	pl_buf_init(&held, ITEMS_MAX);
	st = to_judges(d, &judged, err);
	if (st == PL_OK)
		st = d->parts.agree(d->parts.ctx, list_firsts(&judged, &held, err), err);
	if (st == PL_OK)
		st = pl_parts_sort(&d->parts, &held, sizeof(struct pl_item), compare_by_number, err);
	if (st == PL_OK)
		st = share_out(d, &held, err);
	pl_dedup_account(d, judged.len + 2 * held.len);
	if (st == PL_OK)
		st = number_judged(d, &held, &judged, &number, err);
	if (st == PL_OK)
		st = number_items(d, &judged, number, err);
	if (st == PL_OK)
		st = d->parts.agree(d->parts.ctx, byte_pairs(d, &judged, number, err), err);
	free(number);
	pl_buf_release(&judged);
	if (st == PL_OK)
		st = d->parts.agree(d->parts.ctx, keep_nodes(d, &held, err), err);
	if (st == PL_OK)
		st = choose_plan(d, &held, err);
	if (st == PL_OK)
		st = d->partitioned ? keep_hashes(d, &held, err) : spread_hashes(d, &held, err);
	pl_buf_release(&held);
	return st;
}
