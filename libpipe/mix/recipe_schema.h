/* SPDX-License-Identifier: Apache-2.0 */
/* The recipe as YAML fills it: plain fields with the lines they came from,
 * before they are checked and become a struct pl_recipe. Internal to this room. */
#ifndef PL_MIX_RECIPE_SCHEMA_H
#define PL_MIX_RECIPE_SCHEMA_H

#include "recipe.h"

struct pl_recipe_image_raw {
	int policy, format, filter, effort, decode_scale, write;
	int64_t size, quality, tile, factor, patch, max_slices, anyres_max;
	uint64_t min_pixels, max_pixels;
	const char *target, *tokens;
	struct pl_field_strs grids, pad_color;
	bool only_if_bigger, reencode, optimize;
	uint32_t size_line, quality_line, only_if_bigger_line, tile_line, grids_line, anyres_max_line, max_slices_line, target_line,
	    factor_line, min_pixels_line, max_pixels_line, patch_line, pad_color_line, write_line, tokens_line;
};

struct pl_recipe_output_raw {
	int stage, template_, container;
	uint64_t shard_size, shard_samples, frame_size, fan_in;
	int64_t level, max_images, min_images;
	const char *dir, *work;
	struct pl_field_strs instructions, sources;
	struct pl_recipe_templates templates;
	struct pl_recipe_tokens tokens;
	uint32_t template_line, tokens_line, image_first_line, min_similarity_line, assignment_line, image_place_line, trailing_line,
	    context_loss_line, system_line;
	struct pl_recipe_image_raw image;     /* where image_line != 0, in place of the recipe's */
	struct pl_recipe_balance balance;     /* where balance_line != 0, in place of the recipe's */
	struct pl_sequence_rule pack;         /* where pack_line != 0 */
	uint32_t fan_in_line, pack_line, dir_line, work_line, min_images_line, max_images_line, instructions_line, level_line, sources_line, image_line,
	    balance_line;
};

struct pl_recipe_tokenizer_raw { int by; const char *model; uint32_t line, by_line, model_line; };   /* by -1 = not given */

struct pl_recipe_raw {
	const char *name;
	uint64_t seed;
	struct pl_field_list sources;   /* of struct pl_recipe_source */
	struct {
		int hash, cluster, document, against_hash;
		int64_t threshold, min_quality;
		bool enabled, near, text, text_near, across;
		int64_t text_ngram, text_bands, text_rows;
		double text_jaccard;
		uint64_t text_max_pairs;
		uint32_t text_near_line, text_bands_line, document_share_line;
		int64_t captions, max_documents, max_texts_per_image, max_captions;
		double document_share, budget;
		bool same_images;
		struct pl_field_strs against, against_hashes, known;
	} dedup;
	struct pl_recipe_balance balance;
	struct pl_recipe_image_raw image;
	struct pl_recipe_tokenizer_raw tokenizer;
	struct { uint64_t max_bytes, max_pixels, max_memory; int64_t max_side, timeout_ms; double max_missing; } limits;
	struct pl_recipe_output_raw output;
	struct pl_field_list outputs;   /* of struct pl_recipe_output_raw */
	struct { uint32_t name, sources, image, output, outputs; } line;   /* 0 = key absent */
};

/* One output of a recipe, checked: what pl_recipe_use_output puts in use. */
struct pl_recipe_variant {
	struct pl_recipe_source *sources; size_t nsources;
	struct pl_recipe_balance balance;
	struct pl_resize image;
	struct pl_recipe_output output;
};

extern const struct pl_field pl_recipe_balance_fields[];   /* of struct pl_recipe_balance */
extern const struct pl_field pl_recipe_groups_fields[];    /* of struct pl_recipe_groups */
extern const struct pl_field pl_recipe_fields[];
extern const struct pl_field pl_recipe_tokenizer_fields[];   /* into struct pl_recipe_tokenizer_raw */
extern const struct pl_field pl_recipe_image_fields[];   /* into struct pl_recipe_image_raw */
/* recipe_templates.c: choices, and the fields of output.tokens. */
extern const char *const pl_assignment_names[], *const pl_image_place_names[], *const pl_trailing_names[], *const pl_context_loss_names[];
extern const struct pl_field pl_recipe_tokens_fields[];
#define PL_RECIPE_TEMPLATES {.image_first = 1, .min_similarity = -1}
extern const struct pl_field pl_recipe_pack_fields[];    /* into struct pl_sequence_rule */
extern const char *const pl_recipe_format_names[];   /* "keep", "jpeg", "png", "webp" */
/* Every default but those that depend on other keys. */
void pl_recipe_defaults(struct pl_recipe_raw *raw);

/* PL_ERR_USAGE with the recipe's name and, unless it is 0, the line. Internal to what fills and checks a recipe. */
enum pl_status pl_recipe_bad(const struct pl_recipe *r, uint32_t line, struct pl_err *err, const char *fmt, ...) PL_PRINTF(4, 5);
/* Strategy, weights, caps and groups of an output: filled where they were not given, and held against one another. */
PL_MUST_CHECK enum pl_status pl_recipe_set_balance(const struct pl_recipe *r, struct pl_recipe_variant *v, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_recipe_check_missing(const struct pl_recipe *r, const struct pl_recipe_source *s, struct pl_err *err);
/* r->tokenizer from its map. */
PL_MUST_CHECK enum pl_status pl_recipe_set_tokenizer(struct pl_recipe *r, const struct pl_recipe_tokenizer_raw *raw, struct pl_err *err);
/* The filter of one source. */
PL_MUST_CHECK enum pl_status pl_recipe_check_filter(const struct pl_recipe *r, const struct pl_recipe_source *s, struct pl_err *err);
/* One key against another; the last two for the output in use. */
PL_MUST_CHECK enum pl_status pl_recipe_check_sources(const struct pl_recipe *r, const struct pl_recipe_raw *raw, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_recipe_check_output(const struct pl_recipe *r, const struct pl_recipe_output_raw *raw, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_recipe_check_templates(const struct pl_recipe *r, const struct pl_recipe_output_raw *raw, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_recipe_check_kinds(const struct pl_recipe *r, struct pl_err *err);
/* Checked, with published values where the recipe has none. line: of the map, for what is missing. */
PL_MUST_CHECK enum pl_status pl_recipe_set_image(const struct pl_recipe *r, const struct pl_recipe_image_raw *raw, uint32_t line,
    struct pl_resize *z, struct pl_err *err);

PL_MUST_CHECK enum pl_status pl_recipe_check_pack(const struct pl_recipe *r, const struct pl_recipe_output_raw *raw, struct pl_err *err);

#endif
