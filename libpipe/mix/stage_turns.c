/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations, in-context instructions and preferences: turns as they are, with
 * the recipe's system prompt where they have none. And text alone; and documents
 * of plait's own, to which a template was applied before. */
#include <string.h>

#include "stage_build.h"

static bool has_system(const struct pl_document *d)
{
	for (size_t i = 0; i < d->nsegments; i++) {
		if (d->segments[i].role == PL_ROLE_SYSTEM)
			return true;
	}
	return false;
}

/* An answer about a picture that is not there teaches the wrong thing: all images or none of the
 * sample. */
enum pl_reason pl_stage_turns(const struct pl_recipe *r, const struct pl_stage_input *in, struct pl_chosen *c)
{
	const struct pl_recipe_templates *t = &r->output.templates;
	const struct pl_document *d = in->doc;
	bool all = d->kind == PL_KIND_IN_CONTEXT && t->context_loss == PL_CONTEXT_LOSS_ALL;

	if (t->system != NULL && !has_system(d))
		pl_choose_text(c, t->system, strlen(t->system), (struct pl_place_out){PL_ROLE_SYSTEM, 0}, false);
	for (size_t i = 0; i < d->nsegments; i++) {
		const struct pl_segment *s = &d->segments[i];
		if (s->is_image && !in->images[s->image].kept) {
			if (in->missing_image != PL_MISSING_KEEP)
				return PL_REASON_MISSING_IMAGE;
			continue;
		}
		pl_choose_segment(c, s);
		if (all && !s->is_image && s->role == PL_ROLE_ASSISTANT)
			c->s[c->n - 1].loss = true;
	}
	return pl_chosen_text(c) ? PL_REASON_KEEP : PL_REASON_NO_TEXT;
}

enum pl_reason pl_stage_text(const struct pl_stage_input *in, struct pl_chosen *c)
{
	const struct pl_document *d = in->doc;

	for (size_t i = 0; i < d->nsegments; i++) {
		if (!d->segments[i].is_image)
			pl_choose_segment(c, &d->segments[i]);
	}
	return pl_chosen_text(c) ? PL_REASON_KEEP : PL_REASON_NO_TEXT;
}

/* What an image that is gone means is a matter of the kind, as it is for the templates. */
enum pl_reason pl_stage_as_is(const struct pl_stage_input *in, struct pl_chosen *c)
{
	const struct pl_document *d = in->doc;

	for (size_t i = 0; i < d->nsegments; i++) {
		const struct pl_segment *s = &d->segments[i];
		if (!s->is_image || in->images[s->image].kept)
			pl_choose_segment(c, s);
		else if (pl_kind_converses(d->kind) && in->missing_image != PL_MISSING_KEEP)
			return PL_REASON_MISSING_IMAGE;
	}
	if (d->nimages > 0 && c->images == 0 && in->missing_image != PL_MISSING_KEEP)
		return d->kind == PL_KIND_PAIRS ? PL_REASON_NO_IMAGE : PL_REASON_IMAGES_GONE;
	return c->images > 0 || pl_chosen_text(c) ? PL_REASON_KEEP : PL_REASON_NO_TEXT;
}
