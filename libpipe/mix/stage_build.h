/* SPDX-License-Identifier: Apache-2.0 */
/* What the templates share: the segments they choose of a document. Internal to this room. */
#ifndef PL_MIX_STAGE_BUILD_H
#define PL_MIX_STAGE_BUILD_H

#include "libpipe/base/hash.h"
#include "stage_json.h"

/* Room for all segments of the document and PL_CHOSEN_MORE others. */
struct pl_chosen { struct pl_out_segment *s; size_t n; uint64_t images; };
enum { PL_CHOSEN_MORE = 2 };

struct pl_place_out { enum pl_role role; uint32_t turn; };
void pl_choose_image(struct pl_chosen *c, uint32_t image, struct pl_place_out at);
void pl_choose_text(struct pl_chosen *c, const char *text, size_t len, struct pl_place_out at, bool loss);
/* A segment of the document as it is, its image being there. */
void pl_choose_segment(struct pl_chosen *c, const struct pl_segment *s);
bool pl_chosen_text(const struct pl_chosen *c);

/* Draws of one sample that do not depend on each other; instructions take in->draw itself. */
enum pl_stage_draw { PL_DRAW_ORDER = 1, PL_DRAW_PLACE, PL_DRAW_CAPTION };
static inline uint64_t pl_stage_draw(const struct pl_stage_input *in, enum pl_stage_draw what)
{
	return pl_draw64(in->draw, (uint64_t)what, 0);
}

/* The templates: KEEP, or why the sample cannot be written. */
enum pl_reason pl_stage_pairs(const struct pl_recipe *r, const struct pl_stage_input *in, struct pl_chosen *c);
enum pl_reason pl_stage_turns(const struct pl_recipe *r, const struct pl_stage_input *in, struct pl_chosen *c);
enum pl_reason pl_stage_text(const struct pl_stage_input *in, struct pl_chosen *c);
enum pl_reason pl_stage_as_is(const struct pl_stage_input *in, struct pl_chosen *c);
PL_MUST_CHECK enum pl_status pl_stage_interleaved(const struct pl_recipe *r, const struct pl_stage_input *in, struct pl_chosen *c,
    enum pl_reason *reason, struct pl_err *err);

/* The sample as one text with the recipe's tokens in it, as members of its JSON: ,"text":"..." (of a preference its prompt, and
 * "text_chosen" and "text_rejected", what follows it). *reason MARKER_MISMATCH: words of the sample make a token that cannot be
 * broken up. */
PL_MUST_CHECK enum pl_status pl_stage_flat(const struct pl_recipe_tokens *t, const struct pl_stage_input *in,
    const struct pl_chosen *c, struct pl_buf *out, enum pl_reason *reason, struct pl_err *err);

#endif
