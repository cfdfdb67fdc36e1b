/* SPDX-License-Identifier: Apache-2.0 */
/* Interleaved documents: images where they stand, or beside the sentence that
 * they are matched with, by the document or assigned anew. Images come out in
 * the order of the text, whatever order the document lists them in. */
#include <math.h>
#include <stdlib.h>

#include "lap.h"
#include "stage_build.h"

struct weaver {
	const struct pl_stage_input *in;
	const struct pl_recipe_output *o;
	size_t ntexts;
	uint32_t *match;        /* of each image: the text segment it stands beside, or PL_NO_MATCH */
	float *similarity;      /* of each image, NAN = not known */
	bool *gone;             /* of each image */
	uint32_t *first, *next; /* images by text segment; 1-based, 0 = end */
};

static size_t count_texts(const struct pl_document *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->nsegments; i++)
		n += !d->segments[i].is_image;
	return n;
}

static bool has_matrix(const struct pl_document *d)
{
	for (size_t i = 0; i < d->nimages; i++) {
		if (d->images[i].affinity != NULL)
			return true;
	}
	return false;
}

/* The images that are left, each to another sentence. One without similarities, or without a sentence, goes. */
static enum pl_status assign(struct weaver *w, enum pl_reason *reason, struct pl_err *err)
{
	const struct pl_document *d = w->in->doc;
	const float **rows = calloc(d->nimages + 1, sizeof(*rows));
	uint32_t *image = calloc(d->nimages + 1, sizeof(*image)), *column = calloc(d->nimages + 1, sizeof(*column));
	enum pl_status st = rows && image && column ? PL_OK : pl_fail_nomem(err);
	size_t n = 0;

	for (uint32_t i = 0; i < d->nimages && st == PL_OK; i++) {
		if (w->gone[i])
			continue;
		w->gone[i] = true;
		if (d->images[i].affinity == NULL)
			continue;
		rows[n] = d->images[i].affinity;
		image[n++] = i;
	}
	if (st == PL_OK)
		st = pl_lap(rows, n, w->ntexts, column, err);
	for (size_t k = 0; k < n && st == PL_OK; k++) {
		if (column[k] == PL_LAP_NONE)
			continue;
		w->gone[image[k]] = false;
		w->match[image[k]] = column[k];
		w->similarity[image[k]] = rows[k][column[k]];
	}
	free((void *)rows);
	free(image);
	free(column);
	if (st == PL_ERR_LIMIT) {
		*reason = PL_REASON_TOO_LARGE;
		return PL_OK;
	}
	return st;
}

/* Where each image is to stand, and which are left out. */
static enum pl_status settle(struct weaver *w, enum pl_reason *reason, struct pl_err *err)
{
	const struct pl_document *d = w->in->doc;
	const struct pl_recipe_templates *t = &w->o->templates;
	bool linear = t->assignment == PL_ASSIGNMENT_LINEAR && has_matrix(d);
	bool beside = linear || t->image_place != PL_IMAGE_PLACE_AS_IS;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < d->nimages; i++) {
		w->gone[i] = !w->in->images[i].kept;
		w->match[i] = beside ? d->images[i].match : PL_NO_MATCH;
		w->similarity[i] = d->images[i].similarity;
	}
	if (linear)
		st = assign(w, reason, err);
	for (size_t i = 0; i < d->nimages && st == PL_OK; i++)
		w->gone[i] = w->gone[i] || w->similarity[i] < (float)t->min_similarity;
	for (size_t i = d->nimages; i-- > 0;) {
		if (w->gone[i] || w->match[i] >= w->ntexts)
			continue;
		w->next[i] = w->first[w->match[i]];
		w->first[w->match[i]] = (uint32_t)(i + 1);
	}
	return st;
}

static void put_image(const struct weaver *w, struct pl_chosen *c, uint32_t image, struct pl_place_out at)
{
	if (w->o->max_images == 0 || c->images < (uint64_t)w->o->max_images)
		pl_choose_image(c, image, at);
}

static void put_beside(const struct weaver *w, struct pl_chosen *c, size_t text)
{
	for (uint32_t k = w->first[text]; k != 0; k = w->next[k - 1])
		put_image(w, c, k - 1, (struct pl_place_out){0});
}

static void weave(const struct weaver *w, struct pl_chosen *c)
{
	const struct pl_document *d = w->in->doc;
	int place = w->o->templates.image_place;
	bool behind = place == PL_IMAGE_PLACE_AFTER || (place == PL_IMAGE_PLACE_AS_IS && d->image_after_text) ||
	    (place == PL_IMAGE_PLACE_DRAW && pl_stage_draw(w->in, PL_DRAW_PLACE) & 1);
	size_t text = 0;

	for (size_t i = 0; i < d->nsegments; i++) {
		const struct pl_segment *s = &d->segments[i];
		if (s->is_image) {
			if (!w->gone[s->image] && w->match[s->image] >= w->ntexts)
				put_image(w, c, s->image, (struct pl_place_out){s->role, s->turn});
			continue;
		}
		if (!behind)
			put_beside(w, c, text);
		pl_choose_segment(c, s);
		if (behind)
			put_beside(w, c, text);
		text++;
	}
}

static enum pl_reason judge(const struct pl_recipe_output *o, const struct pl_stage_input *in, struct pl_chosen *c)
{
	/* Nothing behind it could be learnt from it. */
	if (o->templates.trailing_image == PL_TRAILING_DROP && c->images == 1 && c->s[c->n - 1].is_image) {
		c->n--;
		c->images = 0;
	}
	if (c->images < (uint64_t)o->min_images && in->missing_image != PL_MISSING_KEEP)
		return PL_REASON_IMAGES_GONE;
	return pl_chosen_text(c) ? PL_REASON_KEEP : PL_REASON_NO_TEXT;
}

enum pl_status pl_stage_interleaved(const struct pl_recipe *r, const struct pl_stage_input *in, struct pl_chosen *c,
    enum pl_reason *reason, struct pl_err *err)
{
	struct weaver w = {.in = in, .o = &r->output, .ntexts = count_texts(in->doc)};
	size_t n = in->doc->nimages + 1;
	enum pl_status st;

	w.match = calloc(n, sizeof(*w.match));
	w.similarity = calloc(n, sizeof(*w.similarity));
	w.gone = calloc(n, sizeof(*w.gone));
	w.next = calloc(n, sizeof(*w.next));
	w.first = calloc(w.ntexts + 1, sizeof(*w.first));
	*reason = PL_REASON_KEEP;
	if (w.match && w.similarity && w.gone && w.next && w.first)
		st = settle(&w, reason, err);
	else
		st = pl_fail_nomem(err);
	if (st == PL_OK && *reason == PL_REASON_KEEP) {
		weave(&w, c);
		*reason = judge(&r->output, in, c);
	}
	free(w.match);
	free(w.similarity);
	free(w.gone);
	free(w.next);
	free(w.first);
	return st;
}
