/* SPDX-License-Identifier: Apache-2.0 */
/* Near-duplicate texts: their numbers, candidates, and who stays. */
#include "near_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "minhash.h"
#include "sort.h"

enum pl_status pl_near_text_set(struct pl_near_text_options *o, int64_t ngram, int64_t bands, int64_t rows, double jaccard,
    uint64_t max_pairs, struct pl_err *err)
{
	enum { PERMS_MAX = 4096 };

	if (ngram < 1 || ngram > PL_TEXT_NGRAM_MAX || bands < 1 || rows < 1 || bands > PERMS_MAX || rows > PERMS_MAX ||
	    bands * rows > PERMS_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "%lld bands of %lld rows over %lld-grams: wanted are at least 1 each, 1..%d words, and at most %d minima in all (bands x rows)",
		    (long long)bands, (long long)rows, (long long)ngram, PL_TEXT_NGRAM_MAX, PERMS_MAX);
	if (!(jaccard > 0 && jaccard <= 1))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "a Jaccard index of %g: wanted is more than 0 and at most 1", jaccard);
	o->ngram = (unsigned)ngram;
	o->bands = (unsigned)bands;
	o->rows = (unsigned)rows;
	o->jaccard = (uint32_t)(jaccard * PL_JACCARD_ONE + 0.5);
	o->jaccard = o->jaccard > 0 ? o->jaccard : 1;
	o->max_pairs = max_pairs;
	return PL_OK;
}

/* ---- numbers ---- */

/* Equal texts of one class are spoken for by their first: their sets are the same, so near to it is near to all. */
enum pl_status pl_near_texts_take(struct pl_dedup *d, struct pl_items *texts, struct pl_err *err)
{
	struct pl_near_texts *x = calloc(1, sizeof(*x));
	struct pl_item first = {0};
	enum pl_status st;
	size_t n = 0;

	d->near_texts = x;
	if (!x)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < texts->n; i++) {
		const struct pl_item it = texts->items[i];
		if (i > 0 && pl_texts_same(&first, &it))
			continue;
		first = it;
		if (it.pdq[1] == 0)
			texts->items[n++] = it;
	}
	if (n >= UINT32_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "more than 2^32 - 2 texts");
	texts->n = n;
	if ((st = pl_dedup_sort_priority(d, texts, err)) != PL_OK)
		return st;
	x->nodes = calloc(n + 1, sizeof(*x->nodes));
	x->by_place = calloc(n + 1, sizeof(*x->by_place));
	if (!x->nodes || !x->by_place)
		return pl_fail_nomem(err);
	x->n = (uint32_t)n;
	for (size_t i = 0; i < n; i++) {
		struct pl_item *it = &texts->items[i];
		x->nodes[i] = (struct pl_text_node){it->key, it->place, it->row, it->class, it->text_bytes};
		it->node = (uint32_t)i;
	}
	st = pl_dedup_sort_place(d, texts, err);
	for (size_t i = 0; i < n && st == PL_OK; i++)
		x->by_place[i] = texts->items[i].node;
	return st;
}

void pl_near_texts_free(struct pl_near_texts *x)
{
	if (!x)
		return;
	free(x->nodes);
	free(x->by_place);
	free(x);
}

uint32_t pl_near_texts(const struct pl_dedup *d)
{
	return d->near_texts ? d->near_texts->n : 0;
}

uint32_t pl_near_text_places(const struct pl_dedup *d)
{
	return d->nplaces;
}

uint32_t pl_near_text_place(const struct pl_dedup *d, uint32_t text)
{
	return d->near_texts->nodes[text].place;
}

uint64_t pl_near_text_size(const struct pl_dedup *d, uint32_t text)
{
	/* Eight bytes a word: English has six bytes to a word and its space, Chinese three to a character. */
	return 2 * (uint64_t)d->near_texts->nodes[text].bytes + sizeof(struct pl_text_set);
}

size_t pl_near_texts_lower(const struct pl_near_texts *x, uint32_t place, uint32_t sample)
{
	size_t lo = 0, hi = x->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct pl_text_node *p = &x->nodes[x->by_place[mid]];
		if (p->place < place || (p->place == place && p->sample < sample))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t pl_near_text_position(const struct pl_dedup *d, uint32_t text)
{
	const struct pl_text_node *node = &d->near_texts->nodes[text];

	return (uint32_t)pl_near_texts_lower(d->near_texts, node->place, node->sample);
}

uint32_t pl_near_text_at(const struct pl_dedup *d, uint32_t position)
{
	return d->near_texts->by_place[position];
}

double pl_near_text_chance(const struct pl_near_text_options *o, double jaccard)
{
	return 1 - pow(1 - pow(jaccard, o->rows), o->bands);
}

/* ---- candidates ---- */

static int compare_pairs(const void *x, const void *y)
{
	const struct pl_text_pair *p = x, *q = y;

	if (p->a != q->a)
		return p->a < q->a ? -1 : 1;
	return (p->b > q->b) - (p->b < q->b);
}

enum pl_status pl_near_text_unique(const struct pl_dedup *d, struct pl_text_pair *pairs, size_t *n, struct pl_err *err)
{
	enum pl_status st = pl_sort(pairs, *n, sizeof(*pairs), compare_pairs, d->parts.poll, d->parts.ctx, err);
	size_t kept = 0;

	for (size_t i = 0; i < *n && st == PL_OK; i++) {
		if (i == 0 || compare_pairs(&pairs[i], &pairs[kept - 1]) != 0)
			pairs[kept++] = pairs[i];
	}
	*n = kept;
	return st;
}

bool pl_near_text_verify(const struct pl_near_text_options *o, const uint64_t *a, size_t na, const uint64_t *b, size_t nb,
    uint32_t *distance)
{
	uint64_t less = na < nb ? na : nb, more = na < nb ? nb : na;
	struct pl_overlap v;

	/* the intersection is no larger than the smaller set, the union no smaller than the larger */
	if (more == 0 || less * PL_JACCARD_ONE < more * o->jaccard)
		return false;
	v = pl_overlap(a, na, b, nb);
	if ((uint64_t)v.common * PL_JACCARD_ONE < (uint64_t)v.all * o->jaccard)
		return false;
	*distance = (uint32_t)(((v.all - v.common) * PL_TEXT_DISTANCE_ONE + v.all - 1) / v.all);
	return true;
}

/* ---- who stays ---- */

/* Those that gave way to an equal text which now gives way itself follow it to its survivor. */
static void redirect(struct pl_dedup *d, const uint32_t *survivor, const uint16_t *distance)
{
	const struct pl_near_texts *x = d->near_texts;

	for (size_t i = 0; i < d->ntexts; i++) {
		struct pl_text_drop *t = &d->texts[i];
		size_t at = pl_near_texts_lower(x, t->survivor_place, t->survivor_sample);
		const struct pl_text_node *s;
		uint32_t v;

		if (at >= x->n || t->reason == PL_REASON_EVALUATION)
			continue;
		v = x->by_place[at];
		if (x->nodes[v].place != t->survivor_place || x->nodes[v].sample != t->survivor_sample || survivor[v] == PL_STAR_KEPT)
			continue;
		s = &x->nodes[survivor[v]];
		t->survivor_key = s->key;
		t->survivor_place = s->place;
		t->survivor_sample = s->sample;
		t->distance = distance[v];
		t->reason = s->class == PL_CLASS_EVAL ? PL_REASON_EVALUATION : PL_REASON_NEAR_DUPLICATE_TEXT;
	}
}

static enum pl_status add_drops(struct pl_dedup *d, const uint32_t *survivor, const uint16_t *distance, struct pl_err *err)
{
	const struct pl_near_texts *x = d->near_texts;
	struct pl_text_drop *t;
	size_t more = 0;

	for (uint32_t v = 0; v < x->n; v++)
		more += survivor[v] != PL_STAR_KEPT;
	if (more == 0)
		return PL_OK;
	redirect(d, survivor, distance);
	t = realloc(d->texts, (d->ntexts + more) * sizeof(*t));
	if (!t)
		return pl_fail_nomem(err);
	d->texts = t;
	for (uint32_t v = 0; v < x->n; v++) {
		const struct pl_text_node *s, *own = &x->nodes[v];
		if (survivor[v] == PL_STAR_KEPT)
			continue;
		s = &x->nodes[survivor[v]];
		d->texts[d->ntexts++] = (struct pl_text_drop){.survivor_key = s->key, .place = own->place, .sample = own->sample,
		    .survivor_place = s->place, .survivor_sample = s->sample, .distance = distance[v],
		    .reason = s->class == PL_CLASS_EVAL ? PL_REASON_EVALUATION : PL_REASON_NEAR_DUPLICATE_TEXT};
	}
	return pl_texts_sort(d, err);
}

/* Equal texts counted when they were decided; what they were counted as may have changed. */
static void count_drops(struct pl_dedup *d)
{
	d->stats.dropped_text = d->stats.dropped_near_text = d->stats.dropped_eval = 0;
	for (size_t i = 0; i < d->ntexts; i++) {
		d->stats.dropped_text += d->texts[i].reason == PL_REASON_DUPLICATE_TEXT;
		d->stats.dropped_near_text += d->texts[i].reason == PL_REASON_NEAR_DUPLICATE_TEXT;
		d->stats.dropped_eval += d->texts[i].reason == PL_REASON_EVALUATION;
	}
}

enum pl_status pl_near_text_resolve(struct pl_dedup *d, struct pl_pair *pairs, size_t n, struct pl_err *err)
{
	struct pl_near_texts *x = d->near_texts;
	uint32_t *survivor;
	uint16_t *distance;
	enum pl_status st;

	if (!x)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "near texts are off, or were decided before");
	survivor = calloc((size_t)x->n + 1, sizeof(*survivor));
	distance = calloc((size_t)x->n + 1, sizeof(*distance));
	st = survivor && distance ? pl_star(x->n, pairs, n, survivor, distance, err) : pl_fail_nomem(err);
	if (st == PL_OK)
		st = add_drops(d, survivor, distance, err);
	if (st == PL_OK)
		count_drops(d);
	d->stats.near_texts = x->n;
	d->stats.text_pairs = n;
	free(survivor);
	free(distance);
	pl_near_texts_free(x);
	d->near_texts = NULL;
	return st;
}
