/* SPDX-License-Identifier: Apache-2.0 */
/* Every key of a recipe: its type, its range, its default. README.md's table
 * says what they mean. */
#include "recipe_schema.h"

#include <string.h>

#define AT(member) offsetof(struct pl_recipe_raw, member)
#define IN(member) offsetof(struct pl_recipe_source, member)
#define LARGEST_COUNT 9007199254740992.0   /* 2^53 */

static const char *const filter_names[] = {"lanczos", "bicubic", "triangle", "box", NULL};
const char *const pl_recipe_format_names[] = {"keep", "jpeg", "png", "webp", NULL};

static const struct pl_recipe_source source_defaults = {.weight = 1};

static const struct pl_field source_fields[] = {
	{.key = "name", .type = PL_FIELD_STR, .offset = IN(name), .required = true,
	    .line_offset = IN(line)},
	{.key = "shards", .type = PL_FIELD_STRLIST, .offset = IN(shards), .required = true},
	{.key = "images", .type = PL_FIELD_STR, .offset = IN(images)},
	{.key = "kind", .type = PL_FIELD_CHOICE, .offset = IN(kind), .choices = pl_kind_names},
	{.key = "weight", .type = PL_FIELD_REAL, .offset = IN(weight), .min = 0, .max = 1e12},
	{.key = "where", .type = PL_FIELD_STR, .offset = IN(where)},
	{.key = "image_where", .type = PL_FIELD_STR, .offset = IN(image_where)},
	{.key = "caption", .type = PL_FIELD_STR, .offset = IN(caption)},
	{.key = "text", .type = PL_FIELD_STR, .offset = IN(text)},
	{.key = "columns", .type = PL_FIELD_STRLIST, .offset = IN(columns)},
	{.key = "image_after_text", .type = PL_FIELD_BOOL, .offset = IN(image_after_text)},
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
	{.key = "across", .type = PL_FIELD_BOOL, .offset = AT(dedup.across)},
	{.key = "against", .type = PL_FIELD_STRLIST, .offset = AT(dedup.against)},
	{.key = NULL}
};

static const struct pl_field balance_fields[] = {
	{.key = "unit", .type = PL_FIELD_CHOICE, .offset = AT(balance.unit), .choices = pl_unit_names},
	{.key = "total", .type = PL_FIELD_COUNT, .offset = AT(balance.total), .min = 0,
	    .max = LARGEST_COUNT},
	{.key = "max_epochs", .type = PL_FIELD_REAL, .offset = AT(balance.max_epochs), .min = 0,
	    .max = 1e6},
	{.key = "image_tokens", .type = PL_FIELD_INT, .offset = AT(balance.image_tokens), .min = 0,
	    .max = 1e6},
	{.key = NULL}
};

static const struct pl_field image_fields[] = {
	{.key = "policy", .type = PL_FIELD_CHOICE, .offset = AT(image.policy), .choices = pl_policy_names},
	{.key = "size", .type = PL_FIELD_INT, .offset = AT(image.size), .min = 1, .max = 16384,
	    .line_offset = AT(line.size)},
	{.key = "format", .type = PL_FIELD_CHOICE, .offset = AT(image.format),
	    .choices = pl_recipe_format_names},
	{.key = "quality", .type = PL_FIELD_INT, .offset = AT(image.quality), .min = -1, .max = 101,
	    .line_offset = AT(line.quality)},
	{.key = "effort", .type = PL_FIELD_INT, .offset = AT(image.effort), .min = 0, .max = 6},
	{.key = "filter", .type = PL_FIELD_CHOICE, .offset = AT(image.filter), .choices = filter_names},
	{.key = "only_if_bigger", .type = PL_FIELD_BOOL, .offset = AT(image.only_if_bigger)},
	{.key = "reencode", .type = PL_FIELD_BOOL, .offset = AT(image.reencode)},
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
	{.key = NULL}
};

static const struct pl_field output_fields[] = {
	{.key = "stage", .type = PL_FIELD_CHOICE, .offset = AT(output.stage), .choices = pl_stage_names},
	{.key = "template", .type = PL_FIELD_CHOICE, .offset = AT(output.template_),
	    .choices = pl_template_names},
	{.key = "container", .type = PL_FIELD_CHOICE, .offset = AT(output.container),
	    .choices = shard_container_names},
	{.key = "shard_size", .type = PL_FIELD_SIZE, .offset = AT(output.shard_size), .min = 1,
	    .max = LARGEST_COUNT},
	{.key = "shard_samples", .type = PL_FIELD_COUNT, .offset = AT(output.shard_samples), .min = 1,
	    .max = LARGEST_COUNT},
	{.key = "frame_size", .type = PL_FIELD_SIZE, .offset = AT(output.frame_size), .min = 512,
	    .max = 1073741824.0},
	{.key = "level", .type = PL_FIELD_INT, .offset = AT(output.level), .min = -100, .max = 22,
	    .line_offset = AT(line.level)},
	{.key = "dir", .type = PL_FIELD_STR, .offset = AT(output.dir), .required = true,
	    .line_offset = AT(line.dir)},
	{.key = "work", .type = PL_FIELD_STR, .offset = AT(output.work), .line_offset = AT(line.work)},
	{.key = "max_images", .type = PL_FIELD_INT, .offset = AT(output.max_images), .min = 0, .max = 1e6,
	    .line_offset = AT(line.max_images)},
	{.key = "min_images", .type = PL_FIELD_INT, .offset = AT(output.min_images), .min = 0, .max = 1e6,
	    .line_offset = AT(line.min_images)},
	{.key = "instructions", .type = PL_FIELD_STRLIST, .offset = AT(output.instructions),
	    .line_offset = AT(line.instructions)},
	{.key = NULL}
};

/* Maps stand at offset 0: their fields carry the offsets of the whole. */
const struct pl_field pl_recipe_fields[] = {
	{.key = "name", .type = PL_FIELD_STR, .offset = AT(name), .required = true,
	    .line_offset = AT(line.name)},
	{.key = "seed", .type = PL_FIELD_COUNT, .offset = AT(seed), .min = 0, .max = LARGEST_COUNT},
	{.key = "sources", .type = PL_FIELD_LIST, .offset = AT(sources), .required = true,
	    .sub = source_fields,
	    .item_size = sizeof(struct pl_recipe_source), .item_defaults = &source_defaults,
	    .line_offset = AT(line.sources)},
	{.key = "dedup", .type = PL_FIELD_MAP, .sub = dedup_fields},
	{.key = "balance", .type = PL_FIELD_MAP, .sub = balance_fields},
	{.key = "image", .type = PL_FIELD_MAP, .sub = image_fields, .line_offset = AT(line.image)},
	{.key = "limits", .type = PL_FIELD_MAP, .sub = limits_fields},
	{.key = "output", .type = PL_FIELD_MAP, .required = true, .sub = output_fields},
	{.key = NULL}
};

void pl_recipe_defaults(struct pl_recipe_raw *raw)
{
	const struct pl_img_limits limits = pl_img_limits_default();

	memset(raw, 0, sizeof(*raw));
	raw->dedup.hash = PL_HASH_PDQ_AA;
	raw->dedup.threshold = PL_DEDUP_DISTANCE_DEFAULT;
	raw->dedup.min_quality = PL_DEDUP_QUALITY_DEFAULT;
	raw->dedup.enabled = raw->dedup.near = raw->dedup.text = raw->dedup.across = true;
	raw->balance.unit = PL_UNIT_SAMPLES;
	raw->balance.image_tokens = 576;
	raw->image.policy = PL_POLICY_NONE;
	raw->image.quality = 90;
	raw->image.effort = 2;
	raw->image.filter = PL_FILTER_LANCZOS;
	raw->limits.max_bytes = limits.max_bytes;
	raw->limits.max_pixels = limits.max_pixels;
	raw->limits.max_memory = limits.max_memory;
	raw->limits.max_side = limits.max_side;
	raw->limits.timeout_ms = limits.timeout_ms;
	raw->output.stage = PL_STAGE_ALIGN;
	raw->output.template_ = PL_TEMPLATE_AUTO;
	raw->output.container = SHARD_TAR_ZST;
	raw->output.shard_size = (uint64_t)256 << 20;
	raw->output.min_images = 1;
}
