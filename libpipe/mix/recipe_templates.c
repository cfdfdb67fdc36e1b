/* SPDX-License-Identifier: Apache-2.0 */
/* What a recipe says of templates: which kinds they write, and which of their
 * keys would do nothing. */
#include <string.h>

#include "recipe_schema.h"
#include "rules.h"

const char *const pl_assignment_names[] = {"as-is", "linear", NULL};
const char *const pl_image_place_names[] = {"as-is", "before", "after", "draw", NULL};
const char *const pl_trailing_names[] = {"keep", "drop", NULL};
const char *const pl_context_loss_names[] = {"target", "all", NULL};

/* A shorter one stands in words by chance. */
enum { TOKEN_MIN = 3, TOKEN_MAX = 256 };

#define TOK(member) offsetof(struct pl_recipe_tokens, member)
const struct pl_field pl_recipe_tokens_fields[] = {
	{.key = "begin", .type = PL_FIELD_STR, .offset = TOK(begin)},
	{.key = "end", .type = PL_FIELD_STR, .offset = TOK(end)},
	{.key = "image", .type = PL_FIELD_STR, .offset = TOK(image)},
	{.key = "image_begin", .type = PL_FIELD_STR, .offset = TOK(image_begin)},
	{.key = "image_end", .type = PL_FIELD_STR, .offset = TOK(image_end)},
	{.key = "end_of_chunk", .type = PL_FIELD_STR, .offset = TOK(end_of_chunk)},
	{.key = "system", .type = PL_FIELD_STR, .offset = TOK(system)},
	{.key = "user", .type = PL_FIELD_STR, .offset = TOK(user)},
	{.key = "assistant", .type = PL_FIELD_STR, .offset = TOK(assistant)},
	{.key = "tool", .type = PL_FIELD_STR, .offset = TOK(tool)},
	{.key = "end_of_turn", .type = PL_FIELD_STR, .offset = TOK(end_of_turn)},
	{.key = "separator", .type = PL_FIELD_STR, .offset = TOK(separator)},
	{.key = NULL}
};

/* ---- kinds ---- */

#define KIND(k) (1u << PL_KIND_##k)
static const struct { unsigned kinds; const char *says; } writes[] = {
	[PL_TEMPLATE_AUTO] = {~0u, NULL},
	[PL_TEMPLATE_PAIR_CAPTION] = {KIND(PAIRS) | KIND(TEXT), "template pair-caption writes pairs and text"},
	[PL_TEMPLATE_INTERLEAVED] = {KIND(INTERLEAVED) | KIND(TEXT) | KIND(PAIRS), "template interleaved writes interleaved, text and pairs"},
	[PL_TEMPLATE_CONVERSATION] = {KIND(CHAT) | KIND(IN_CONTEXT), "template conversation writes chat and in-context"},
	[PL_TEMPLATE_IN_CONTEXT] = {KIND(IN_CONTEXT), "template in-context writes in-context"},
	[PL_TEMPLATE_PREFERENCE] = {KIND(PREFERENCE), "template preference writes preference"},
	[PL_TEMPLATE_TEXT] = {KIND(TEXT) | KIND(INTERLEAVED) | KIND(PAIRS), "template text writes text, and the words of interleaved and pairs"},
};

const char *pl_kind_conflict(const struct pl_recipe *r, enum pl_kind kind)
{
	const struct pl_recipe_output *o = &r->output;

	if (kind != PL_KIND_AUTO && !(writes[o->template_].kinds & 1u << kind))
		return writes[o->template_].says;
	if (o->stage == PL_STAGE_INSTRUCT && kind == PL_KIND_PAIRS && o->instructions.n == 0 && o->template_ != PL_TEMPLATE_TEXT)
		return "stage instruct asks for the caption of a pair: list such requests in output.instructions";
	return NULL;
}

/* ---- keys ---- */

/* Keys that the template has no use for. Where images are put is no matter of templates without any. */
static enum pl_status check_use(const struct pl_recipe *r, const struct pl_recipe_output_raw *raw, struct pl_err *err)
{
	const struct { const char *key; uint32_t line; unsigned kinds; } keys[] = {
		{"instructions", raw->instructions_line, KIND(PAIRS)},
		{"image_first", raw->image_first_line, KIND(PAIRS)},
		{"assignment", raw->assignment_line, KIND(INTERLEAVED)},
		{"min_similarity", raw->min_similarity_line, KIND(INTERLEAVED)},
		{"image_place", raw->image_place_line, KIND(INTERLEAVED)},
		{"trailing_image", raw->trailing_line, KIND(INTERLEAVED)},
		{"context_loss", raw->context_loss_line, KIND(IN_CONTEXT)},
		{"system", raw->system_line, KIND(CHAT) | KIND(IN_CONTEXT) | KIND(PREFERENCE) | KIND(PAIRS)},
	};
	const struct pl_recipe_output *o = &r->output;

	for (size_t i = 0; i < PL_ARRAY_LEN(keys); i++) {
		if (keys[i].line != 0 && (!(writes[o->template_].kinds & keys[i].kinds) || o->template_ == PL_TEMPLATE_TEXT))
			return pl_recipe_bad(r, keys[i].line, err, "'%s' in output does nothing with template %s", keys[i].key,
			    pl_template_names[o->template_]);
	}
	return PL_OK;
}

static enum pl_status check_tokens(const struct pl_recipe *r, const struct pl_recipe_output_raw *raw, struct pl_err *err)
{
	size_t given = 0;

	for (const struct pl_field *f = pl_recipe_tokens_fields; f->key != NULL; f++) {
		const char *token;
		memcpy(&token, (const char *)&r->output.tokens + f->offset, sizeof(token));
		if (token == NULL || f->offset == TOK(separator))
			continue;
		if (strlen(token) < TOKEN_MIN || strlen(token) > TOKEN_MAX)
			return pl_recipe_bad(r, raw->tokens_line, err,
			    "'%s' in output.tokens has %zu bytes: a token has %d to %d, so that it does not stand in words by chance", f->key,
			    strlen(token), TOKEN_MIN, TOKEN_MAX);
		given++;
	}
	if (raw->tokens_line && given == 0)
		return pl_recipe_bad(r, raw->tokens_line, err, "'tokens' in output names no token: leave it out for segments only");
	return PL_OK;
}

enum pl_status pl_recipe_check_templates(const struct pl_recipe *r, const struct pl_recipe_output_raw *raw, struct pl_err *err)
{
	enum pl_status st = check_use(r, raw, err);

	if (st == PL_OK && raw->system_line && !*r->output.templates.system)
		return pl_recipe_bad(r, raw->system_line, err, "'system' in output is empty");
	return st == PL_OK ? check_tokens(r, raw, err) : st;
}
