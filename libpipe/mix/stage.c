/* SPDX-License-Identifier: Apache-2.0 */
/* From a document to the members of an output sample: the template of its kind
 * chooses segments, and these are numbered and written. Rules: README.md. */
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rules.h"
#include "stage_build.h"

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
	o->demoted = false;
}

void pl_stage_output_release(struct pl_stage_output *o)
{
	clear(o);
	pl_buf_release(&o->json);
}

/* ---- choosing ---- */

void pl_choose_image(struct pl_chosen *c, uint32_t image, struct pl_place_out at)
{
	c->s[c->n++] = (struct pl_out_segment){.is_image = true, .role = at.role, .turn = at.turn, .image = image};
	c->images++;
}

void pl_choose_text(struct pl_chosen *c, const char *text, size_t len, struct pl_place_out at, bool loss)
{
	c->s[c->n++] = (struct pl_out_segment){
	    .role = at.role, .turn = at.turn, .loss = loss, .text = text, .text_len = len};
}

void pl_choose_segment(struct pl_chosen *c, const struct pl_segment *s)
{
	c->s[c->n++] = (struct pl_out_segment){.is_image = s->is_image, .loss = s->loss, .role = s->role, .branch = s->branch,
	    .turn = s->turn, .text = s->text, .text_len = s->text_len, .image = s->image};
	c->images += s->is_image;
}

bool pl_chosen_text(const struct pl_chosen *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (!c->s[i].is_image && c->s[i].text_len > 0)
			return true;
	}
	return false;
}

static enum pl_status choose(const struct pl_recipe *r, const struct pl_stage_input *in, struct pl_chosen *c,
    enum pl_reason *reason, struct pl_err *err)
{
	*reason = PL_REASON_BAD_DOCUMENT;
	if (r->output.template_ == PL_TEMPLATE_TEXT) {
		*reason = pl_stage_text(in, c);
		return PL_OK;
	}
	if (in->doc->as_is) {
		*reason = pl_stage_as_is(in, c);
		return PL_OK;
	}
	switch (in->doc->kind) {
	case PL_KIND_PAIRS: *reason = pl_stage_pairs(r, in, c); break;
	case PL_KIND_INTERLEAVED: return pl_stage_interleaved(r, in, c, reason, err);
	case PL_KIND_CHAT:
	case PL_KIND_PREFERENCE:
	case PL_KIND_IN_CONTEXT: *reason = pl_stage_turns(r, in, c); break;
	case PL_KIND_TEXT: *reason = pl_stage_text(in, c); break;
	case PL_KIND_DOCUMENT:
	case PL_KIND_AUTO: break;
	}
	return PL_OK;
}

/* ---- writing ---- */

/* As ingest counts those of a document. */
static enum pl_status count_tokens(const struct pl_token_counter *counter, const struct pl_chosen *c, uint64_t *tokens, struct pl_err *err)
{
	struct pl_token_sum sum = {0};
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < c->n && st == PL_OK; i++)
		if (!c->s[i].is_image)
			st = pl_tokens_add(counter, &sum, c->s[i].text, c->s[i].text_len, err);
	*tokens = pl_tokens_total(counter, &sum);
	return st;
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
    const struct pl_stage_input *in, struct pl_chosen *c, struct pl_stage_output *out, struct pl_err *err)
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
	return count_tokens(in->tokens, c, &out->text_tokens, err);
}

/* Was the sample dropped for what the recipe forgives? Only then is it here at all. */
static bool forgiven(const struct pl_stage_input *in)
{
	if (in->doc->status == PL_REASON_NO_TEXT)
		return in->missing_text == PL_MISSING_KEEP;
	return in->missing_image != PL_MISSING_DROP;
}

static bool image_lost(enum pl_reason why)
{
	return why == PL_REASON_NO_IMAGE || why == PL_REASON_IMAGES_GONE || why == PL_REASON_MISSING_IMAGE;
}

static enum pl_status write_chosen(const struct pl_recipe *r, const struct pl_stage_input *in, struct pl_chosen *c,
    struct pl_stage_output *out, enum pl_reason *reason, struct pl_err *err)
{
	struct pl_buf flat;
	enum pl_status st = PL_OK;

	pl_buf_init(&flat, 0);
	if (r->output.tokens.set)
		st = pl_stage_flat(&r->output.tokens, in, c, &flat, reason, err);
	if (st == PL_OK && *reason == PL_REASON_KEEP)
		st = make_members(in, c, out, err);
	if (st == PL_OK && *reason == PL_REASON_KEEP)
		st = pl_stage_json(in, (enum pl_stage)r->output.stage, c->s, c->n, c->images, &flat, &out->json, err);
	if (st == PL_OK && *reason == PL_REASON_KEEP)
		out->members[0] = (struct shard_member){"json", out->json.data, out->json.len};
	pl_buf_release(&flat);
	return st;
}

static enum pl_status render(const struct pl_recipe *r, const struct pl_stage_input *whole,
    struct pl_chosen *c, struct pl_stage_output *out, enum pl_reason *reason, struct pl_err *err)
{
	struct pl_document text = *whole->doc;
	struct pl_stage_input in = *whole;
	enum pl_status st = PL_OK;

	*reason = in.doc->status;
	if (*reason == PL_REASON_KEEP || forgiven(&in))
		st = choose(r, &in, c, reason, err);
	if (st == PL_OK && image_lost(*reason) && in.missing_image == PL_MISSING_TEXT) {
		c->n = 0;
		c->images = 0;
		text.kind = PL_KIND_TEXT;
		in.doc = &text;
		out->demoted = true;
		*reason = pl_stage_text(&in, c);
	}
	return st == PL_OK && *reason == PL_REASON_KEEP ? write_chosen(r, &in, c, out, reason, err) : st;
}

enum pl_status pl_stage_render(const struct pl_recipe *r, const struct pl_stage_input *in,
    struct pl_stage_output *out, enum pl_reason *reason, struct pl_err *err)
{
	const char *conflict = pl_kind_conflict(r, in->doc->as_is ? PL_KIND_DOCUMENT : in->doc->kind);
	struct pl_chosen c = {0};
	enum pl_status st;

	clear(out);
	if (conflict)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, r->path,
		    "source '%s' is of kind %s, but %s", in->source, pl_kind_names[in->doc->kind],
		    conflict);
	c.s = calloc(in->doc->nsegments + PL_CHOSEN_MORE, sizeof(*c.s));
	if (!c.s)
		return pl_fail_nomem(err);
	st = render(r, in, &c, out, reason, err);
	free(c.s);
	if (st != PL_OK)
		clear(out);
	return st;
}
