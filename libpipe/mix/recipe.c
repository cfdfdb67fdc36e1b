/* SPDX-License-Identifier: Apache-2.0 */
/* Loading a recipe: the schema first, then what one key means for another.
 * Everything that can be wrong is found here, before any work starts. */
#include "recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "recipe_schema.h"

enum { MAX_BYTES = 4 << 20 };

const char *const pl_stage_names[] = {"align", "instruct", NULL};
const char *const pl_template_names[] = {"auto", "pair-caption", "interleaved", "conversation", "in-context", "preference", "text",
	NULL};

/* ---- from raw fields to the recipe ---- */

static struct pl_recipe_output output_of(const struct pl_recipe_output_raw *raw)
{
	return (struct pl_recipe_output){
		.stage = raw->stage,
		.template_ = raw->template_,
		.container = raw->container,
		.shard_size = raw->shard_size,
		.shard_samples = raw->shard_samples,
		.frame_size = raw->frame_size,
		.fan_in = raw->fan_in,
		.pack = raw->pack,
		.level = raw->level,
		.level_set = raw->level_line != 0,
		.max_images = raw->max_images,
		.min_images = raw->min_images,
		.dir = raw->dir,
		.instructions = raw->instructions,
		.templates = raw->templates,
		.tokens = raw->tokens,
	};
}

static void take(struct pl_recipe *r, const struct pl_recipe_raw *raw)
{
	r->name = raw->name;
	r->seed = raw->seed;
	r->sources = raw->sources.items;
	r->nsources = raw->sources.n;
	r->dedup.hash = raw->dedup.hash;
	r->dedup.cluster = raw->dedup.cluster;
	r->dedup.threshold = raw->dedup.threshold;
	r->dedup.min_quality = raw->dedup.min_quality;
	r->dedup.enabled = raw->dedup.enabled;
	r->dedup.near = raw->dedup.near;
	r->dedup.text = raw->dedup.text;
	r->dedup.across = raw->dedup.across;
	r->dedup.against = raw->dedup.against;
	r->dedup.budget = raw->dedup.budget;
	r->dedup.against_hash = raw->dedup.against_hash;
	r->dedup.against_hashes = raw->dedup.against_hashes;
	r->dedup.known = raw->dedup.known;
	r->limits = pl_img_limits_default();
	r->limits.max_bytes = raw->limits.max_bytes;
	r->limits.max_pixels = raw->limits.max_pixels;
	r->limits.max_memory = raw->limits.max_memory;
	r->limits.max_side = (uint32_t)raw->limits.max_side;
	r->limits.timeout_ms = (uint32_t)raw->limits.timeout_ms;
	r->limits.max_missing = raw->limits.max_missing;
}

static enum pl_status set_near_text(struct pl_recipe *r, const struct pl_recipe_raw *raw, struct pl_err *err)
{
	struct pl_err why;

	r->dedup.near_text.on = raw->dedup.text_near;
	if (raw->dedup.text_near && !raw->dedup.text)
		return pl_recipe_bad(r, raw->dedup.text_near_line, err, "near texts are found among unequal ones: 'text_near' needs 'text'");
	if (pl_near_text_set(&r->dedup.near_text, raw->dedup.text_ngram, raw->dedup.text_bands, raw->dedup.text_rows,
	        raw->dedup.text_jaccard, raw->dedup.text_max_pairs, &why) != PL_OK)
		return pl_recipe_bad(r, raw->dedup.text_bands_line, err, "%s", why.text);
	return PL_OK;
}

static enum pl_status set_rules(struct pl_recipe *r, const struct pl_recipe_raw *raw, struct pl_err *err)
{
	struct pl_err why;

	if (pl_dedup_rules_set(&r->dedup.rules, raw->dedup.captions, raw->dedup.max_documents, raw->dedup.max_captions,
	        raw->dedup.max_texts_per_image, raw->dedup.document, raw->dedup.document_share, raw->dedup.same_images, &why) != PL_OK)
		return pl_recipe_bad(r, raw->dedup.document_share_line, err, "%s", why.text);
	return PL_OK;
}

/* The sources that an output names, in the order of the recipe. */
static enum pl_status pick_sources(struct pl_recipe *r, const struct pl_recipe_output_raw *raw, struct pl_recipe_variant *v,
    struct pl_err *err)
{
	v->sources = pl_arena_alloc(&r->arena, (r->nsources + 1) * sizeof(*v->sources));
	if (!v->sources)
		return pl_fail_nomem(err);
	for (size_t k = 0; k < raw->sources.n; k++) {
		bool found = false;
		for (size_t i = 0; i < r->nsources; i++)
			found = found || strcmp(r->sources[i].name, raw->sources.items[k]) == 0;
		if (!found)
			return pl_recipe_bad(r, raw->sources_line, err, "there is no source '%.80s' for this output", raw->sources.items[k]);
	}
	for (size_t i = 0; i < r->nsources; i++) {
		bool wanted = raw->sources_line == 0;
		for (size_t k = 0; k < raw->sources.n; k++)
			wanted = wanted || strcmp(r->sources[i].name, raw->sources.items[k]) == 0;
		if (wanted)
			v->sources[v->nsources++] = r->sources[i];
	}
	return v->nsources > 0 ? PL_OK : pl_recipe_bad(r, raw->sources_line, err, "'sources' of this output is empty");
}

/* One output: taken, narrowed to, checked. */
static enum pl_status add_output(struct pl_recipe *r, const struct pl_recipe_raw *raw, size_t k,
    const struct pl_recipe_output_raw *out, struct pl_err *err)
{
	const struct pl_recipe_image_raw *image = out->image_line ? &out->image : &raw->image;
	struct pl_recipe_variant *v = &r->variants[k];
	enum pl_status st;

	v->balance = out->balance_line ? out->balance : raw->balance;
	if ((st = pl_recipe_set_image(r, image, out->image_line ? out->image_line : raw->line.image, &v->image, err)) != PL_OK)
		return st;
	if (v->balance.image_tokens >= 0) {
		v->image.token_rule = PL_TOKENS_IMAGE;
		v->image.tokens = (uint32_t)v->balance.image_tokens;
	}
	v->output = output_of(out);
	v->output.tokens.set = out->tokens_line != 0;
	for (size_t i = 0; i < k; i++)
		if (strcmp(r->variants[i].output.dir, out->dir) == 0)
			return pl_recipe_bad(r, out->dir_line, err, "two outputs have the directory '%.200s'", out->dir);
	if (k > 0 && out->work)
		return pl_recipe_bad(r, out->work_line, err, "'work' is for all outputs: give it in the first one");
	if ((st = pick_sources(r, out, v, err)) != PL_OK)
		return st;
	if ((st = pl_recipe_set_balance(r, v, err)) != PL_OK)
		return st;
	pl_recipe_use_output(r, k);
	if ((st = pl_recipe_check_output(r, out, err)) != PL_OK)
		return st;
	if ((st = pl_recipe_check_templates(r, out, err)) != PL_OK)
		return st;
	return pl_recipe_check_kinds(r, err);
}

static enum pl_status add_outputs(struct pl_recipe *r, const struct pl_recipe_raw *raw, struct pl_err *err)
{
	const struct pl_recipe_output_raw *list = raw->line.outputs ? raw->outputs.items : &raw->output;
	struct pl_recipe_source *all = r->sources;
	size_t nall = r->nsources, len;
	const char *dir;

	r->noutputs = raw->line.outputs ? raw->outputs.n : 1;
	if (raw->line.output && raw->line.outputs)
		return pl_recipe_bad(r, raw->line.outputs, err, "give 'output' or 'outputs', not both");
	if (!raw->line.output && !raw->line.outputs)
		return pl_recipe_bad(r, 1, err, "missing key 'output'");
	if (r->noutputs == 0)
		return pl_recipe_bad(r, raw->line.outputs, err, "'outputs' is empty: give at least one");
	r->variants = pl_arena_alloc(&r->arena, r->noutputs * sizeof(*r->variants));
	if (!r->variants)
		return pl_fail_nomem(err);
	for (size_t k = 0; k < r->noutputs; k++) {
		enum pl_status st;
		r->sources = all;
		r->nsources = nall;
		if ((st = add_output(r, raw, k, &list[k], err)) != PL_OK)
			return st;
	}
	dir = list[0].dir;
	len = strlen(dir);
	for (size_t k = 0; k < r->noutputs; k++) {
		r->variants[k].output.work = list[0].work ? list[0].work :
		    pl_arena_printf(&r->arena, "%s%swork", dir, dir[len - 1] == '/' ? "" : "/");
		if (!r->variants[k].output.work)
			return pl_fail_nomem(err);
	}
	pl_recipe_use_output(r, 0);
	r->sources = all;
	r->nsources = nall;
	if (r->noutputs == 1 && !list[0].sources_line)
		r->sources = r->variants[0].sources;   /* with their weights */
	return PL_OK;
}

void pl_recipe_use_output(struct pl_recipe *r, size_t k)
{
	const struct pl_recipe_variant *v = &r->variants[k];

	r->in_use = k;
	r->sources = v->sources;
	r->nsources = v->nsources;
	r->balance = v->balance;
	r->image = v->image;
	r->output = v->output;
}

static enum pl_status fill(struct pl_recipe *r, struct pl_err *err)
{
	struct pl_recipe_raw raw;
	struct pl_yaml *root = NULL;
	enum pl_status st = pl_yaml_parse(r->path, r->text, r->text_len, &r->arena, &root, err);

	pl_recipe_defaults(&raw);
	if (st == PL_OK)
		st = pl_yaml_fill(r->path, root, pl_recipe_fields, "", &raw, &r->arena, err);
	if (st != PL_OK)
		return st;
	take(r, &raw);
	for (size_t i = 0; i < r->nsources; i++) {
		struct pl_recipe_concepts *c = &r->sources[i].concepts;
		c->cap = c->cap ? c->cap : c->rule == PL_CONCEPT_LLAVA ? 100 : 20000;
	}
	if (!*r->name)
		return pl_recipe_bad(r, raw.line.name, err, "'name' is empty");
	st = pl_recipe_check_sources(r, &raw, err);
	if (st == PL_OK)
		st = set_near_text(r, &raw, err);
	if (st == PL_OK)
		st = set_rules(r, &raw, err);
	if (st == PL_OK)
		st = pl_recipe_set_tokenizer(r, &raw.tokenizer, err);
	return st == PL_OK ? add_outputs(r, &raw, err) : st;
}

enum pl_status pl_recipe_parse(
    struct pl_recipe *r, const char *path, const char *text, size_t len, struct pl_err *err)
{
	enum pl_status st;

	memset(r, 0, sizeof(*r));
	pl_arena_init(&r->arena, 0);
	r->path = pl_arena_strndup(&r->arena, path, strlen(path));
	r->text = pl_arena_strndup(&r->arena, text, len);
	r->text_len = len;
	st = r->path && r->text ? fill(r, err) : pl_fail_nomem(err);
	if (st != PL_OK)
		pl_recipe_release(r);
	else
		pl_hash128(r->text, len, r->digest);
	return st;
}

enum pl_status pl_recipe_load(struct pl_recipe *r, const char *path, struct pl_err *err)
{
	char *text = NULL;
	size_t len = 0;
	enum pl_status st;

	memset(r, 0, sizeof(*r));
	st = pl_file_read(path, MAX_BYTES, &text, &len, err);
	if (st == PL_OK)
		st = pl_recipe_parse(r, path, text, len, err);
	free(text);
	return st;
}

void pl_recipe_release(struct pl_recipe *r)
{
	pl_arena_release(&r->arena);
	memset(r, 0, sizeof(*r));
}

void pl_recipe_corpus_source(const struct pl_recipe *r, size_t i, struct pl_source *out)
{
	const struct pl_recipe_source *s = &r->sources[i];

	*out = (struct pl_source){
		.name = s->name,
		.read = {.kind = (enum pl_kind)s->kind, .caption_field = s->caption, .text_field = s->text,
		    .image_after_text = s->image_after_text, .captions_per_image = s->captions_per_image,
		    .shots = s->shots == PL_SHOTS_DEFAULT ? 0 : s->shots == 0 ? PL_SHOTS_NONE : (uint32_t)s->shots},
		.answers = s->answers,
		.images = s->images,
		.columns = s->columns.items,
		.ncolumns = s->columns.n,
		.id_field = s->id,
		.hash = (enum pl_hash_recipe)r->dedup.hash,
		.limits = r->limits,
		.tokens = r->tokenizer,
	};
}
