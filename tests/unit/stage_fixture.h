/* SPDX-License-Identifier: Apache-2.0 */
/* One document made by hand, rendered as a recipe's output says. */
#ifndef TESTS_STAGE_FIXTURE_H
#define TESTS_STAGE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "libpipe/mix/stage.h"

static inline struct pl_segment text(const char *s, enum pl_role role, bool loss)
{
	return (struct pl_segment){.text = s, .text_len = strlen(s), .role = role, .loss = loss};
}

static inline struct pl_segment image(uint32_t n, enum pl_role role)
{
	return (struct pl_segment){.is_image = true, .image = n, .role = role};
}

static const struct pl_stage_image jpeg = {.kept = true, .data = "JJ", .len = 2, .format = PL_FORMAT_JPEG, .width = 10, .height = 20};
static const struct pl_stage_image webp = {.kept = true, .data = "WWW", .len = 3, .format = PL_FORMAT_WEBP, .width = 30, .height = 40};
static const struct pl_stage_image lost = {.kept = false};

struct sample {
	struct pl_document doc;
	struct pl_segment segments[24];
	struct pl_doc_image doc_images[8];
	struct pl_stage_image images[8];
	struct pl_stage_input in;
	struct pl_stage_output out;
	struct pl_recipe r;
	enum pl_reason reason;
};

static inline void begin(struct sample *s, enum pl_kind kind, const char *output)
{
	char recipe[2000];

	memset(s, 0, sizeof(*s));
	snprintf(recipe, sizeof(recipe),
	    "name: t\nsources: [{name: src, shards: x}]\noutput: {dir: o%s}\n", output);
	assert_int_equal(pl_recipe_parse(&s->r, "r.yaml", recipe, strlen(recipe), NULL), PL_OK);
	s->doc.kind = kind;
	s->doc.segments = s->segments;
	s->doc.images = s->doc_images;
	s->in = (struct pl_stage_input){.doc = &s->doc,
	    .images = s->images,
	    .source = "src",
	    .origin_shard = "00017",
	    .origin_key = "k\"1",
	    .key = "000000000042"};
	pl_stage_output_init(&s->out);
}

static inline void add(struct sample *s, struct pl_segment segment)
{
	s->segments[s->doc.nsegments++] = segment;
}

static inline void add_image(struct sample *s, const struct pl_stage_image *im, enum pl_role role)
{
	s->images[s->doc.nimages] = *im;
	s->doc_images[s->doc.nimages] = (struct pl_doc_image){.name = "", .similarity = NAN, .match = PL_NO_MATCH};
	add(s, image((uint32_t)s->doc.nimages++, role));
}

static inline enum pl_reason render(struct sample *s)
{
	struct pl_err err = {0};

	if (pl_stage_render(&s->r, &s->in, &s->out, &s->reason, &err) != PL_OK)
		fail_msg("%s", err.text);
	return s->reason;
}

static inline void end(struct sample *s)
{
	pl_stage_output_release(&s->out);
	pl_recipe_release(&s->r);
}

#define HEAD(kind, stage)                                                                                   \
	"{\"key\":\"000000000042\",\"source\":\"src\",\"origin\":{\"shard\":\"00017\",\"key\":\"k\\\"1\"}," \
	"\"kind\":\"" kind "\",\"stage\":\"" stage "\",\"segments\":["

#endif
