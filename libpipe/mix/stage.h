/* SPDX-License-Identifier: Apache-2.0 */
/* Stage templates: a document and its finished images become the members of
 * one output sample: KEY.json (the document; image segments name their part) and
 * KEY.0.webp, KEY.1.jpg, ... JSON fields: libpipe/mix/README.md. */
#ifndef PL_MIX_STAGE_H
#define PL_MIX_STAGE_H

#include "libpipe/corpus/document.h"
#include "libpipe/corpus/tokens.h"
#include "recipe.h"

struct pl_stage_image {
	bool kept; const void *data; size_t len; enum pl_format format; uint32_t width, height;
	uint64_t tokens;                       /* 0: not written into the JSON */
	/* A picture cut into tiles: the grid, tiles (columns x rows of them, or 0 where the trainer is to cut), and the size before. */
	uint32_t columns, rows, tile_w, tile_h, original_w, original_h;
	const struct pl_stage_tile { const void *data; size_t len; } *tiles; size_t ntiles;   /* len 0 above: only tiles are written */
};
struct pl_stage_input {
	const struct pl_document *doc;
	const struct pl_stage_image *images;   /* doc->nimages entries */
	const char *source, *origin_shard, *origin_key;   /* origin_shard: unit name, no path */
	const char *key;                       /* of the output sample */
	uint64_t draw;                         /* keyed draw of this slot: chooses an instruction */
	uint64_t pass;
	enum pl_missing missing_image, missing_text;
	const struct pl_token_counter *tokens; /* NULL = by bytes */
};
struct pl_stage_output {
	struct pl_buf json;
	struct shard_member *members; size_t nmembers;   /* [0] is the JSON; the rest point into the input's images */
	char (*suffixes)[48];
	uint64_t images, text_tokens, image_tokens;   /* in the sample as written */
	bool demoted;                          /* written as text, for want of its images */
};
void pl_stage_output_init(struct pl_stage_output *o);
void pl_stage_output_release(struct pl_stage_output *o);
/* Render. *reason: KEEP, or why the sample cannot be written after all (NO_IMAGE, IMAGES_GONE, NO_TEXT when its images are lost). */
PL_MUST_CHECK enum pl_status pl_stage_render(const struct pl_recipe *r, const struct pl_stage_input *in, struct pl_stage_output *out,
    enum pl_reason *reason, struct pl_err *err);

#endif
