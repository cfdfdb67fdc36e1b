/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: which segments of a document are written, in which order and
 * role, by its kind and the recipe's stage. Rules: README.md. */
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"
#include "stage_json.h"

void pl_stage_output_init(struct pl_stage_output *o)
{
	memset(o, 0, sizeof(*o));
	pl_buf_init(&o->json, 0);
}

static void clear(struct pl_stage_output *o)
{
	pl_buf_clear(&o->json);
	free(o->members);
	free(o->suffixes);
	o->members = NULL;
	o->suffixes = NULL;
	o->nmembers = 0;
	o->images = 0;
	o->text_tokens = 0;
	o->image_tokens = 0;
}

void pl_stage_output_release(struct pl_stage_output *o)
{
	clear(o);
	pl_buf_release(&o->json);
}

struct chosen { struct pl_out_segment *s; size_t n; uint64_t images; };

static void choose_image(struct chosen *c, uint32_t image, enum pl_role role)
{
	c->s[c->n++] = (struct pl_out_segment){.is_image = true, .role = role, .image = image};
	c->images++;
}

static void choose_text(struct chosen *c, const struct pl_segment *s, enum pl_role role, bool loss)
{
	c->s[c->n++] = (struct pl_out_segment){
	    .role = role, .loss = loss, .text = s->text, .text_len = s->text_len};
}

static bool any_text(const struct chosen *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (!c->s[i].is_image && c->s[i].text_len > 0)
			return true;
	}
	return false;
}

/* The picture, a request for instruct, then the caption. */
static enum pl_reason choose_pairs(
    const struct pl_recipe *r, const struct pl_stage_input *in, struct chosen *c)
{
	const struct pl_document *d = in->doc;
	bool instruct = r->output.stage == PL_STAGE_INSTRUCT;

	for (size_t i = 0; i < d->nsegments; i++) {
		if (d->segments[i].is_image && in->images[d->segments[i].image].kept)
			choose_image(c, d->segments[i].image, instruct ? PL_ROLE_USER : PL_ROLE_NONE);
	}
	if (c->images == 0)
		return PL_REASON_NO_IMAGE;
	if (instruct) {
		const char *ask = r->output.instructions.items[in->draw % r->output.instructions.n];
		const struct pl_segment s = {.text = ask, .text_len = strlen(ask)};
		choose_text(c, &s, PL_ROLE_USER, false);
	}
	for (size_t i = 0; i < d->nsegments; i++) {
		const struct pl_segment *s = &d->segments[i];
		if (!s->is_image && s->text_len > 0)
			choose_text(c, s, instruct ? PL_ROLE_ASSISTANT : PL_ROLE_NONE, instruct || s->loss);
	}
	return c->s[c->n - 1].is_image || (instruct && c->s[c->n - 1].role == PL_ROLE_USER)
	           ? PL_REASON_NO_TEXT
	           : PL_REASON_KEEP;
}

static enum pl_reason choose_interleaved(
    const struct pl_recipe *r, const struct pl_stage_input *in, struct chosen *c)
{
	const struct pl_document *d = in->doc;
	uint64_t most = r->output.max_images > 0 ? (uint64_t)r->output.max_images : UINT64_MAX;

	for (size_t i = 0; i < d->nsegments; i++) {
		const struct pl_segment *s = &d->segments[i];
		if (!s->is_image)
			choose_text(c, s, s->role, s->loss);
		else if (in->images[s->image].kept && c->images < most)
			choose_image(c, s->image, s->role);
	}
	if (c->images < (uint64_t)r->output.min_images)
		return PL_REASON_IMAGES_GONE;
	return any_text(c) ? PL_REASON_KEEP : PL_REASON_NO_TEXT;
}

/* An answer about a picture that is not there teaches the wrong thing: all images or none of the
 * sample. */
static enum pl_reason choose_chat(const struct pl_stage_input *in, struct chosen *c)
{
	const struct pl_document *d = in->doc;

	for (size_t i = 0; i < d->nsegments; i++) {
		const struct pl_segment *s = &d->segments[i];
		if (!s->is_image)
			choose_text(c, s, s->role, s->loss);
		else if (in->images[s->image].kept)
			choose_image(c, s->image, s->role);
		else
			return PL_REASON_MISSING_IMAGE;
	}
	return any_text(c) ? PL_REASON_KEEP : PL_REASON_NO_TEXT;
}

static enum pl_reason choose_text_only(const struct pl_stage_input *in, struct chosen *c)
{
	const struct pl_document *d = in->doc;

	for (size_t i = 0; i < d->nsegments; i++) {
		if (!d->segments[i].is_image)
			choose_text(c, &d->segments[i], d->segments[i].role, d->segments[i].loss);
	}
	return any_text(c) ? PL_REASON_KEEP : PL_REASON_NO_TEXT;
}

static enum pl_reason choose(
    const struct pl_recipe *r, const struct pl_stage_input *in, struct chosen *c)
{
	switch (in->doc->kind) {
	case PL_KIND_PAIRS: return choose_pairs(r, in, c);
	case PL_KIND_INTERLEAVED: return choose_interleaved(r, in, c);
	case PL_KIND_CHAT: return choose_chat(in, c);
	case PL_KIND_TEXT: return choose_text_only(in, c);
	case PL_KIND_AUTO: break;
	}
	return PL_REASON_BAD_DOCUMENT;
}

/* As pl_document_text_stats estimates: ASCII bytes / 4 + 0.7 per other code point, both rounded up. */
static uint64_t count_tokens(const struct chosen *c)
{
	uint64_t ascii = 0, other = 0;

	for (size_t i = 0; i < c->n; i++) {
		for (size_t k = 0; k < c->s[i].text_len; k++) {
			unsigned char b = (unsigned char)c->s[i].text[k];
			ascii += b < 0x80;
			other += b >= 0xC0;
		}
	}
	return (ascii + 3) / 4 + (other * 7 + 9) / 10;
}

static void add_member(struct pl_stage_output *out, const void *data, size_t len)
{
	out->members[out->nmembers] = (struct shard_member){out->suffixes[out->nmembers - 1], data, len};
	out->nmembers++;
}

/* The picture as 0.webp, its tiles as 0.t0.webp, 0.t1.webp, ... Returns the first name. */
static const char *add_picture(struct pl_stage_output *out, size_t number, const struct pl_stage_image *im)
{
	const char *extension = pl_format_extension(im->format), *first = out->suffixes[out->nmembers - 1];

	if (im->len > 0 || im->ntiles == 0) {
		snprintf(out->suffixes[out->nmembers - 1], sizeof(*out->suffixes), "%zu.%s", number, extension);
		add_member(out, im->data, im->len);
	}
	for (size_t i = 0; i < im->ntiles; i++) {
		snprintf(out->suffixes[out->nmembers - 1], sizeof(*out->suffixes), "%zu.t%zu.%s", number, i, extension);
		add_member(out, im->tiles[i].data, im->tiles[i].len);
	}
	return first;
}

/* Number the images and make the members. */
static enum pl_status make_members(
    const struct pl_stage_input *in, struct chosen *c, struct pl_stage_output *out, struct pl_err *err)
{
	size_t at = 0, most = 0;

	for (size_t i = 0; i < c->n; i++)
		most += c->s[i].is_image ? 1 + in->images[c->s[i].image].ntiles : 0;
	out->members = calloc(most + 1, sizeof(*out->members));
	out->suffixes = calloc(most + 1, sizeof(*out->suffixes));
	if (!out->members || !out->suffixes)
		return pl_fail_nomem(err);
	out->nmembers = 1;
	for (size_t i = 0; i < c->n; i++) {
		if (!c->s[i].is_image)
			continue;
		c->s[i].number = at;
		c->s[i].part = add_picture(out, at++, &in->images[c->s[i].image]);
		out->image_tokens += in->images[c->s[i].image].tokens;
	}
	out->images = at;
	out->text_tokens = count_tokens(c);
	return PL_OK;
}

static enum pl_status render(const struct pl_recipe *r, const struct pl_stage_input *in,
    struct chosen *c, struct pl_stage_output *out, enum pl_reason *reason, struct pl_err *err)
{
	enum pl_status st;

	*reason = in->doc->status != PL_REASON_KEEP ? in->doc->status : choose(r, in, c);
	if (*reason != PL_REASON_KEEP)
		return PL_OK;
	st = make_members(in, c, out, err);
	if (st == PL_OK)
		st = pl_stage_json(in, (enum pl_stage)r->output.stage, c->s, c->n, c->images, &out->json, err);
	if (st == PL_OK)
		out->members[0] = (struct shard_member){"json", out->json.data, out->json.len};
	return st;
}

enum pl_status pl_stage_render(const struct pl_recipe *r, const struct pl_stage_input *in,
    struct pl_stage_output *out, enum pl_reason *reason, struct pl_err *err)
{
	const char *conflict = pl_kind_conflict(r, in->doc->kind);
	struct chosen c = {0};
	enum pl_status st;

	clear(out);
	if (conflict)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, r->path,
		    "source '%s' is of kind %s, but %s", in->source, pl_kind_names[in->doc->kind],
		    conflict);
	c.s = calloc(in->doc->nsegments + 1, sizeof(*c.s));   /* + 1: an instruction */
	if (!c.s)
		return pl_fail_nomem(err);
	st = render(r, in, &c, out, reason, err);
	free(c.s);
	if (st != PL_OK)
		clear(out);
	return st;
}
