/* SPDX-License-Identifier: Apache-2.0 */
/* The recipe as YAML fills it: plain fields with the lines they came from,
 * before they are checked and become a struct pl_recipe. Internal to this room. */
#ifndef PL_MIX_RECIPE_SCHEMA_H
#define PL_MIX_RECIPE_SCHEMA_H

#include "recipe.h"

struct pl_recipe_raw {
	const char *name;
	uint64_t seed;
	struct pl_field_list sources;   /* of struct pl_recipe_source */
	struct {
		int hash;
		int64_t threshold, min_quality;
		bool enabled, near, text, across;
		struct pl_field_strs against;
	} dedup;
	struct { int unit; uint64_t total; double max_epochs; int64_t image_tokens; } balance;
	struct {
		int policy, format, filter;
		int64_t size, quality, effort;
		bool only_if_bigger, reencode;
	} image;
	struct { uint64_t max_bytes, max_pixels, max_memory; int64_t max_side, timeout_ms; } limits;
	struct {
		int stage, template_, container;
		uint64_t shard_size, shard_samples, frame_size;
		int64_t level, max_images, min_images;
		const char *dir, *work;
		struct pl_field_strs instructions;
	} output;
	struct {
		uint32_t name, sources, image, size, quality, dir, work, min_images, max_images;
		uint32_t instructions, level;
	} line;   /* 0 = key absent */
};

extern const struct pl_field pl_recipe_fields[];
extern const char *const pl_recipe_format_names[];   /* "keep", "jpeg", "png", "webp" */
/* Every default but those that depend on other keys. */
void pl_recipe_defaults(struct pl_recipe_raw *raw);

#endif
