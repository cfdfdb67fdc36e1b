/* SPDX-License-Identifier: Apache-2.0 */
/* Every key of a recipe: its type, its range, its default. README.md's table
 * says what they mean. */
#include "recipe_schema.h"

#include <string.h>

#include "concepts.h"
#include "libpipe/img/effort.h"

#define AT(member) offsetof(struct pl_recipe_raw, member)
#define IN(member) offsetof(struct pl_recipe_source, member)
#define MINE(member) offsetof(struct pl_recipe_mine, member)
#define CON(member) offsetof(struct pl_recipe_concepts, member)
#define OUT(member) offsetof(struct pl_recipe_output_raw, member)
#define LARGEST_COUNT 9007199254740992.0   /* 2^53 */

/* A weight that was not given: see recipe.c. */
static const struct pl_recipe_source source_defaults = {
	.weight = -1, .shots = PL_SHOTS_DEFAULT, .concepts = {.least = 3, .mine = {.unigrams = 100, .most = 500000}},
	.max_epochs = -1, .groups = {.strategy = -1, .alpha = -1},
};

#define IMAGE_DEFAULTS {.policy = PL_POLICY_NONE, .quality = 90, .effort = PL_EFFORT_BALANCED, .filter = PL_FILTER_LANCZOS}
#define BALANCE_DEFAULTS {.unit = PL_UNIT_SAMPLES, .image_tokens = -1, .alpha = -1}
static const struct pl_recipe_output_raw output_defaults = {
	.stage = PL_STAGE_ALIGN, .template_ = PL_TEMPLATE_AUTO, .container = SHARD_TAR_ZST, .shard_size = (uint64_t)256 << 20,
	.fan_in = 64, .pack = {.window = 1024},
	.min_images = 1, .templates = PL_RECIPE_TEMPLATES, .tokens = {.separator = " "}, .image = IMAGE_DEFAULTS, .balance = BALANCE_DEFAULTS,
};

static const struct pl_field mine_fields[] = {
	{.key = "unigrams", .type = PL_FIELD_COUNT, .offset = MINE(unigrams), .min = 0, .max = LARGEST_COUNT},
	{.key = "bigrams", .type = PL_FIELD_COUNT, .offset = MINE(bigrams), .min = 0, .max = LARGEST_COUNT},
	{.key = "pmi", .type = PL_FIELD_INT, .offset = MINE(pmi), .min = 0, .max = 60},
	{.key = "most", .type = PL_FIELD_COUNT, .offset = MINE(most), .min = 1, .max = PL_CONCEPTS_MAX},
	{.key = NULL}
};

static const struct pl_field concept_fields[] = {
	{.key = "rule", .type = PL_FIELD_CHOICE, .offset = CON(rule), .choices = pl_concept_rule_names},
	{.key = "entries", .type = PL_FIELD_STR, .offset = CON(entries)},
	{.key = "mine", .type = PL_FIELD_MAP, .offset = CON(mine), .sub = mine_fields, .line_offset = CON(mine.line)},
	{.key = "cap", .type = PL_FIELD_COUNT, .offset = CON(cap), .min = 1, .max = LARGEST_COUNT},
	{.key = "least", .type = PL_FIELD_INT, .offset = CON(least), .min = 1, .max = LARGEST_COUNT, .line_offset = CON(least_line)},
	{.key = "fold", .type = PL_FIELD_BOOL, .offset = CON(fold)},
	{.key = NULL}
};

static const struct pl_field source_fields[] = {
	{.key = "name", .type = PL_FIELD_STR, .offset = IN(name), .required = true,
	    .line_offset = IN(line)},
	{.key = "shards", .type = PL_FIELD_STRLIST, .offset = IN(shards), .required = true},
	{.key = "images", .type = PL_FIELD_STR, .offset = IN(images)},
	{.key = "kind", .type = PL_FIELD_CHOICE, .offset = IN(kind), .choices = pl_kind_names},
	{.key = "weight", .type = PL_FIELD_REAL, .offset = IN(weight), .min = 0, .max = 1e12,
	    .line_offset = IN(weight_line)},
	{.key = "repeat", .type = PL_FIELD_REAL, .offset = IN(repeat), .min = 1e-6, .max = 1e6,
	    .line_offset = IN(repeat_line)},
	{.key = "max_epochs", .type = PL_FIELD_REAL, .offset = IN(max_epochs), .min = 0, .max = 1e6,
	    .line_offset = IN(max_epochs_line)},
	{.key = "missing_image", .type = PL_FIELD_CHOICE, .offset = IN(missing_image), .choices = pl_missing_image_names,
	    .line_offset = IN(missing_image_line)},
	{.key = "missing_text", .type = PL_FIELD_CHOICE, .offset = IN(missing_text), .choices = pl_missing_text_names,
	    .line_offset = IN(missing_text_line)},
	{.key = "groups", .type = PL_FIELD_MAP, .offset = IN(groups), .sub = pl_recipe_groups_fields},
	{.key = "where", .type = PL_FIELD_STR, .offset = IN(where), .line_offset = IN(where_line)},
	{.key = "image_where", .type = PL_FIELD_STR, .offset = IN(image_where), .line_offset = IN(image_where_line)},
	{.key = "caption", .type = PL_FIELD_STR, .offset = IN(caption)},
	{.key = "text", .type = PL_FIELD_STR, .offset = IN(text)},
	{.key = "answers", .type = PL_FIELD_STR, .offset = IN(answers)},
	{.key = "captions_per_image", .type = PL_FIELD_CHOICE, .offset = IN(captions_per_image), .choices = pl_captions_names},
	{.key = "shots", .type = PL_FIELD_INT, .offset = IN(shots), .min = 0, .max = PL_SHOTS_MAX},
	{.key = "columns", .type = PL_FIELD_STRLIST, .offset = IN(columns)},
	{.key = "image_after_text", .type = PL_FIELD_BOOL, .offset = IN(image_after_text)},
	{.key = "concepts", .type = PL_FIELD_MAP, .offset = IN(concepts), .sub = concept_fields, .line_offset = IN(concepts.line)},
	{.key = "filter", .type = PL_FIELD_STRLIST, .offset = IN(filter), .line_offset = IN(filter_line)},
	{.key = "filter_missing", .type = PL_FIELD_CHOICE, .offset = IN(filter_missing), .choices = pl_score_missing_names},
	{.key = "scores", .type = PL_FIELD_STRLIST, .offset = IN(scores), .line_offset = IN(scores_line)},
	{.key = "score_columns", .type = PL_FIELD_STRLIST, .offset = IN(score_columns), .line_offset = IN(score_columns_line)},
	{.key = "score_key", .type = PL_FIELD_STR, .offset = IN(score_key)},
	{.key = "id", .type = PL_FIELD_STR, .offset = IN(id)},
	{.key = NULL}
};

static const struct pl_field dedup_fields[] = {
	{.key = "enabled", .type = PL_FIELD_BOOL, .offset = AT(dedup.enabled)},
	{.key = "hash", .type = PL_FIELD_CHOICE, .offset = AT(dedup.hash),
	    .choices = pl_hash_recipe_names},
	{.key = "threshold", .type = PL_FIELD_INT, .offset = AT(dedup.threshold), .min = 0, .max = 64},
	{.key = "min_quality", .type = PL_FIELD_INT, .offset = AT(dedup.min_quality), .min = 0,
	    .max = 100},
	{.key = "near", .type = PL_FIELD_BOOL, .offset = AT(dedup.near)},
	{.key = "text", .type = PL_FIELD_BOOL, .offset = AT(dedup.text)},
	{.key = "text_near", .type = PL_FIELD_BOOL, .offset = AT(dedup.text_near),
	    .line_offset = AT(dedup.text_near_line)},
	{.key = "text_ngram", .type = PL_FIELD_INT, .offset = AT(dedup.text_ngram), .min = 1,
	    .max = PL_TEXT_NGRAM_MAX},
	{.key = "text_bands", .type = PL_FIELD_INT, .offset = AT(dedup.text_bands), .min = 1, .max = 1024,
	    .line_offset = AT(dedup.text_bands_line)},
	{.key = "text_rows", .type = PL_FIELD_INT, .offset = AT(dedup.text_rows), .min = 1, .max = 1024},
	{.key = "text_jaccard", .type = PL_FIELD_REAL, .offset = AT(dedup.text_jaccard), .min = 0.01,
	    .max = 1},
	{.key = "text_max_pairs", .type = PL_FIELD_SIZE, .offset = AT(dedup.text_max_pairs), .min = 1,
	    .max = 1e12},
	{.key = "across", .type = PL_FIELD_BOOL, .offset = AT(dedup.across)},
	{.key = "cluster", .type = PL_FIELD_CHOICE, .offset = AT(dedup.cluster),
	    .choices = pl_cluster_names},
	{.key = "captions", .type = PL_FIELD_INT, .offset = AT(dedup.captions), .min = 0, .max = PL_CAPTIONS_ALL - 1.0},
	{.key = "max_documents", .type = PL_FIELD_INT, .offset = AT(dedup.max_documents), .min = 0, .max = PL_CAPTIONS_ALL - 1.0},
	{.key = "max_texts_per_image", .type = PL_FIELD_INT, .offset = AT(dedup.max_texts_per_image), .min = 0,
	    .max = PL_CAPTIONS_ALL - 1.0},
	{.key = "max_captions", .type = PL_FIELD_INT, .offset = AT(dedup.max_captions), .min = 0, .max = PL_CAPTIONS_ALL - 1.0},
	{.key = "document", .type = PL_FIELD_CHOICE, .offset = AT(dedup.document), .choices = pl_document_rule_names},
	{.key = "document_share", .type = PL_FIELD_REAL, .offset = AT(dedup.document_share), .min = 1e-6, .max = 1,
	    .line_offset = AT(dedup.document_share_line)},
	{.key = "same_images", .type = PL_FIELD_BOOL, .offset = AT(dedup.same_images)},
	{.key = "against", .type = PL_FIELD_STRLIST, .offset = AT(dedup.against)},
	{.key = "against_hashes", .type = PL_FIELD_STRLIST, .offset = AT(dedup.against_hashes)},
	{.key = "against_hash", .type = PL_FIELD_CHOICE, .offset = AT(dedup.against_hash), .choices = pl_hash_recipe_names},
	{.key = "known", .type = PL_FIELD_STRLIST, .offset = AT(dedup.known)},
	{.key = "budget", .type = PL_FIELD_REAL, .offset = AT(dedup.budget), .min = 0, .max = PL_DEDUP_BUDGET_MAX},
	{.key = NULL}
};

static const struct pl_field limits_fields[] = {
	{.key = "max_bytes", .type = PL_FIELD_SIZE, .offset = AT(limits.max_bytes), .min = 1,
	    .max = 1073741824.0},
	{.key = "max_pixels", .type = PL_FIELD_COUNT, .offset = AT(limits.max_pixels), .min = 1,
	    .max = 4290250000.0},
	{.key = "max_side", .type = PL_FIELD_INT, .offset = AT(limits.max_side), .min = 1, .max = 65500},
	{.key = "timeout_ms", .type = PL_FIELD_INT, .offset = AT(limits.timeout_ms), .min = 1,
	    .max = 3600000},
	{.key = "max_memory", .type = PL_FIELD_SIZE, .offset = AT(limits.max_memory), .min = 16777216,
	    .max = 1099511627776.0},
	{.key = "max_missing", .type = PL_FIELD_REAL, .offset = AT(limits.max_missing), .min = 0, .max = 1},
	{.key = NULL}
};

static const struct pl_field output_fields[] = {
	{.key = "stage", .type = PL_FIELD_CHOICE, .offset = OUT(stage), .choices = pl_stage_names},
	{.key = "template", .type = PL_FIELD_CHOICE, .offset = OUT(template_),
	    .choices = pl_template_names, .line_offset = OUT(template_line)},
	{.key = "container", .type = PL_FIELD_CHOICE, .offset = OUT(container),
	    .choices = shard_container_names},
	{.key = "shard_size", .type = PL_FIELD_SIZE, .offset = OUT(shard_size), .min = 1,
	    .max = LARGEST_COUNT},
	{.key = "shard_samples", .type = PL_FIELD_COUNT, .offset = OUT(shard_samples), .min = 1,
	    .max = LARGEST_COUNT},
	{.key = "fan_in", .type = PL_FIELD_COUNT, .offset = OUT(fan_in), .min = 0, .max = 1048576, .line_offset = OUT(fan_in_line)},
	{.key = "frame_size", .type = PL_FIELD_SIZE, .offset = OUT(frame_size), .min = 512,
	    .max = 1073741824.0},
	{.key = "level", .type = PL_FIELD_INT, .offset = OUT(level), .min = -100, .max = 22,
	    .line_offset = OUT(level_line)},
	{.key = "dir", .type = PL_FIELD_STR, .offset = OUT(dir), .required = true,
	    .line_offset = OUT(dir_line)},
	{.key = "work", .type = PL_FIELD_STR, .offset = OUT(work), .line_offset = OUT(work_line)},
	{.key = "max_images", .type = PL_FIELD_INT, .offset = OUT(max_images), .min = 0, .max = 1e6,
	    .line_offset = OUT(max_images_line)},
	{.key = "min_images", .type = PL_FIELD_INT, .offset = OUT(min_images), .min = 0, .max = 1e6,
	    .line_offset = OUT(min_images_line)},
	{.key = "instructions", .type = PL_FIELD_STRLIST, .offset = OUT(instructions),
	    .line_offset = OUT(instructions_line)},
	{.key = "image_first", .type = PL_FIELD_REAL, .offset = OUT(templates.image_first), .min = 0, .max = 1,
	    .line_offset = OUT(image_first_line)},
	{.key = "assignment", .type = PL_FIELD_CHOICE, .offset = OUT(templates.assignment), .choices = pl_assignment_names,
	    .line_offset = OUT(assignment_line)},
	{.key = "min_similarity", .type = PL_FIELD_REAL, .offset = OUT(templates.min_similarity), .min = -1, .max = 1,
	    .line_offset = OUT(min_similarity_line)},
	{.key = "image_place", .type = PL_FIELD_CHOICE, .offset = OUT(templates.image_place), .choices = pl_image_place_names,
	    .line_offset = OUT(image_place_line)},
	{.key = "trailing_image", .type = PL_FIELD_CHOICE, .offset = OUT(templates.trailing_image), .choices = pl_trailing_names,
	    .line_offset = OUT(trailing_line)},
	{.key = "context_loss", .type = PL_FIELD_CHOICE, .offset = OUT(templates.context_loss), .choices = pl_context_loss_names,
	    .line_offset = OUT(context_loss_line)},
	{.key = "system", .type = PL_FIELD_STR, .offset = OUT(templates.system), .line_offset = OUT(system_line)},
	{.key = "tokens", .type = PL_FIELD_MAP, .offset = OUT(tokens), .sub = pl_recipe_tokens_fields, .line_offset = OUT(tokens_line)},
	{.key = "sources", .type = PL_FIELD_STRLIST, .offset = OUT(sources), .line_offset = OUT(sources_line)},
	{.key = "image", .type = PL_FIELD_MAP, .offset = OUT(image), .sub = pl_recipe_image_fields, .line_offset = OUT(image_line)},
	{.key = "pack", .type = PL_FIELD_MAP, .offset = OUT(pack), .sub = pl_recipe_pack_fields, .line_offset = OUT(pack_line)},
	{.key = "balance", .type = PL_FIELD_MAP, .offset = OUT(balance), .sub = pl_recipe_balance_fields,
	    .line_offset = OUT(balance_line)},
	{.key = NULL}
};

/* dedup and limits stand at offset 0: their fields carry the offsets of the whole. */
const struct pl_field pl_recipe_fields[] = {
	{.key = "name", .type = PL_FIELD_STR, .offset = AT(name), .required = true,
	    .line_offset = AT(line.name)},
	{.key = "seed", .type = PL_FIELD_COUNT, .offset = AT(seed), .min = 0, .max = LARGEST_COUNT},
	{.key = "sources", .type = PL_FIELD_LIST, .offset = AT(sources), .required = true,
	    .sub = source_fields,
	    .item_size = sizeof(struct pl_recipe_source), .item_defaults = &source_defaults,
	    .line_offset = AT(line.sources)},
	{.key = "dedup", .type = PL_FIELD_MAP, .sub = dedup_fields},
	{.key = "balance", .type = PL_FIELD_MAP, .offset = AT(balance), .sub = pl_recipe_balance_fields},
	{.key = "image", .type = PL_FIELD_MAP, .offset = AT(image), .sub = pl_recipe_image_fields, .line_offset = AT(line.image)},
	{.key = "tokenizer", .type = PL_FIELD_MAP, .offset = AT(tokenizer), .sub = pl_recipe_tokenizer_fields, .line_offset = AT(tokenizer.line)},
	{.key = "limits", .type = PL_FIELD_MAP, .sub = limits_fields},
	{.key = "output", .type = PL_FIELD_MAP, .offset = AT(output), .sub = output_fields, .line_offset = AT(line.output)},
	{.key = "outputs", .type = PL_FIELD_LIST, .offset = AT(outputs), .sub = output_fields,
	    .item_size = sizeof(struct pl_recipe_output_raw), .item_defaults = &output_defaults,
	    .line_offset = AT(line.outputs)},
	{.key = NULL}
};

void pl_recipe_defaults(struct pl_recipe_raw *raw)
{
	const struct pl_img_limits limits = pl_img_limits_default();

	memset(raw, 0, sizeof(*raw));
	raw->dedup.hash = PL_HASH_PDQ_AA;
	raw->dedup.threshold = PL_DEDUP_DISTANCE_DEFAULT;
	raw->dedup.min_quality = PL_DEDUP_QUALITY_DEFAULT;
	raw->dedup.text_ngram = PL_TEXT_NGRAM_DEFAULT;
	raw->dedup.text_bands = PL_TEXT_BANDS_DEFAULT;
	raw->dedup.text_rows = PL_TEXT_ROWS_DEFAULT;
	raw->dedup.text_jaccard = PL_TEXT_JACCARD_DEFAULT;
	raw->dedup.text_max_pairs = PL_TEXT_PAIRS_DEFAULT;
	raw->dedup.captions = 1;
	raw->tokenizer.by = -1;
	raw->dedup.document_share = raw->dedup.against_hash = -1;
	raw->dedup.enabled = raw->dedup.near = raw->dedup.text = raw->dedup.across = true;
	raw->balance = output_defaults.balance;
	raw->image = output_defaults.image;
	raw->output = output_defaults;
	raw->limits.max_bytes = limits.max_bytes;
	raw->limits.max_pixels = limits.max_pixels;
	raw->limits.max_memory = limits.max_memory;
	raw->limits.max_side = limits.max_side;
	raw->limits.timeout_ms = limits.timeout_ms;
	raw->limits.max_missing = limits.max_missing;
}
