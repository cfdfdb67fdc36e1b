/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs: the picture and its caption in either order, or a request for the
 * caption, which then is the answer. */
#include <string.h>

#include "stage_build.h"

/* The caption that is written: of several, one by draw, another in another pass. */
static const struct pl_segment *caption_of(const struct pl_stage_input *in)
{
	const struct pl_document *d = in->doc;
	size_t n = 0;
	uint64_t k;

	for (size_t i = 0; i < d->nsegments; i++)
		n += !d->segments[i].is_image && d->segments[i].text_len > 0;
	if (n == 0)
		return NULL;
	k = n > 1 ? pl_stage_draw(in, PL_DRAW_CAPTION) % n : 0;
	for (size_t i = 0; i < d->nsegments; i++) {
		if (!d->segments[i].is_image && d->segments[i].text_len > 0 && k-- == 0)
			return &d->segments[i];
	}
	return NULL;
}

static void choose_images(const struct pl_stage_input *in, struct pl_chosen *c, struct pl_place_out at)
{
	const struct pl_document *d = in->doc;

	for (size_t i = 0; i < d->nsegments; i++) {
		if (d->segments[i].is_image && in->images[d->segments[i].image].kept)
			pl_choose_image(c, d->segments[i].image, at);
	}
}

/* Whether the pair may be written without the part it lacks. */
static enum pl_reason missing(const struct pl_stage_input *in, const struct pl_chosen *c, const struct pl_segment *caption, bool ask)
{
	/* a request for the caption of a picture that is not there makes no sense */
	if (c->images == 0 && (ask || in->missing_image != PL_MISSING_KEEP))
		return PL_REASON_NO_IMAGE;
	if (caption == NULL && (c->images == 0 || ask || in->missing_text != PL_MISSING_KEEP))
		return PL_REASON_NO_TEXT;
	return PL_REASON_KEEP;
}

enum pl_reason pl_stage_pairs(const struct pl_recipe *r, const struct pl_stage_input *in, struct pl_chosen *c)
{
	const struct pl_recipe_templates *t = &r->output.templates;
	const struct pl_field_strs *requests = &r->output.instructions;
	const struct pl_segment *caption = caption_of(in);
	const struct pl_place_out none = {0}, user = {PL_ROLE_USER, 1}, assistant = {PL_ROLE_ASSISTANT, 2};
	bool ask = requests->n > 0;
	/* 53 bits: every double in [0, 1) that is drawn is below 1 */
	bool image_first = (double)(pl_stage_draw(in, PL_DRAW_ORDER) >> 11) * 0x1p-53 < t->image_first;
	const char *request = ask ? requests->items[in->draw % requests->n] : NULL;
	enum pl_reason reason;

	if (ask && t->system != NULL)
		pl_choose_text(c, t->system, strlen(t->system), (struct pl_place_out){PL_ROLE_SYSTEM, 0}, false);
	if (image_first)
		choose_images(in, c, ask ? user : none);
	if (ask)
		pl_choose_text(c, request, strlen(request), user, false);
	else if (!image_first && caption != NULL)
		pl_choose_text(c, caption->text, caption->text_len, none, caption->loss);
	if (!image_first)
		choose_images(in, c, ask ? user : none);
	reason = missing(in, c, caption, ask);
	if (reason == PL_REASON_KEEP && caption != NULL && (ask || image_first))
		pl_choose_text(c, caption->text, caption->text_len, ask ? assistant : none, ask || caption->loss);
	return reason;
}
