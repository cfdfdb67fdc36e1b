/* SPDX-License-Identifier: Apache-2.0 */
/* Equal texts. Decided before images are looked at, so that the images of a
 * sample that leaves for its text cannot push out those of one that stays. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "sort.h"

static enum pl_status add_drop(struct pl_dedup *d, size_t *cap, const struct pl_item *it,
    const struct pl_item *survivor, struct pl_err *err)
{
	bool eval = survivor->class == PL_CLASS_EVAL;

	if (d->ntexts == *cap) {
		size_t want = *cap ? *cap * 2 : 1024;
		struct pl_text_drop *t = realloc(d->texts, want * sizeof(*t));
		if (!t)
			return pl_fail_nomem(err);
		d->texts = t;
		*cap = want;
	}
	d->texts[d->ntexts++] = (struct pl_text_drop){.survivor_key = survivor->key, .place = it->place,
	    .sample = it->sample, .survivor_place = survivor->place, .survivor_sample = survivor->sample,
	    .reason = eval ? PL_REASON_EVALUATION : PL_REASON_DUPLICATE_TEXT};
	d->stats.dropped_eval += eval;
	d->stats.dropped_text += !eval;
	return PL_OK;
}

static int compare_drops(const void *x, const void *y)
{
	const struct pl_text_drop *a = x, *b = y;

	if (a->place != b->place)
		return a->place < b->place ? -1 : 1;
	return (a->sample > b->sample) - (a->sample < b->sample);
}

bool pl_texts_same(const struct pl_item *first, const struct pl_item *it)
{
	return pl_items_same_content(first, it) && (pl_class_fixed(first->class) || first->class == it->class);
}

/* The first of a run survives it. */
static enum pl_status decide(struct pl_dedup *d, const struct pl_items *texts, struct pl_err *err)
{
	const struct pl_item *first = NULL;
	enum pl_status st = PL_OK;
	size_t cap = 0;

	for (size_t i = 0; i < texts->n && st == PL_OK; i++) {
		const struct pl_item *it = &texts->items[i];
		if (!first || !pl_texts_same(first, it))
			first = it;
		else if (!pl_class_fixed(it->class))
			st = add_drop(d, &cap, it, first, err);
	}
	return st;
}

enum pl_status pl_texts_sort(struct pl_dedup *d, struct pl_err *err)
{
	return pl_sort(d->texts, d->ntexts, sizeof(*d->texts), compare_drops, d->parts.poll, d->parts.ctx, err);
}

enum pl_status pl_dedup_texts(struct pl_dedup *d, struct pl_err *err)
{
	struct pl_items texts = {0};
	enum pl_status st = pl_items_load_texts(d, &texts, err);

	if (st == PL_OK)
		st = pl_dedup_sort_content(d, &texts, err);
	if (st == PL_OK)
		st = decide(d, &texts, err);
	if (st == PL_OK && d->o.near_text.on)
		st = pl_near_texts_take(d, &texts, err);
	free(texts.items);
	return st == PL_OK ? pl_texts_sort(d, err) : st;
}
