/* SPDX-License-Identifier: Apache-2.0 */
/* The recipe: one YAML file that says what data set to make (README.md lists
 * every key). Parsed and checked whole before any work starts. */
#ifndef PL_MIX_RECIPE_H
#define PL_MIX_RECIPE_H

#include "libpipe/base/yaml.h"
#include "libpipe/corpus/corpus.h"
#include "libpipe/corpus/presets.h"
#include "libpipe/dedup/dedup.h"
#include "libpipe/img/resize.h"
#include "concept_rule.h"
#include "quota.h"
#include "select_rule.h"
#include "sequence.h"
#include "shards/writer.h"

enum pl_stage { PL_STAGE_ALIGN, PL_STAGE_INSTRUCT };
extern const char *const pl_stage_names[];      /* "align", "instruct" */
enum pl_template { PL_TEMPLATE_AUTO, PL_TEMPLATE_PAIR_CAPTION, PL_TEMPLATE_INTERLEAVED, PL_TEMPLATE_CONVERSATION,
	PL_TEMPLATE_IN_CONTEXT, PL_TEMPLATE_PREFERENCE, PL_TEMPLATE_TEXT };
extern const char *const pl_template_names[];   /* "auto", "pair-caption", "interleaved", "conversation", ... */

/* How templates write what they write: keys of 'output'. */
enum pl_assignment { PL_ASSIGNMENT_AS_IS, PL_ASSIGNMENT_LINEAR };
enum pl_image_place { PL_IMAGE_PLACE_AS_IS, PL_IMAGE_PLACE_BEFORE, PL_IMAGE_PLACE_AFTER, PL_IMAGE_PLACE_DRAW };
enum pl_trailing { PL_TRAILING_KEEP, PL_TRAILING_DROP };
enum pl_context_loss { PL_CONTEXT_LOSS_TARGET, PL_CONTEXT_LOSS_ALL };
struct pl_recipe_templates {
	double image_first;         /* pairs: share of samples with the image in front */
	double min_similarity;      /* interleaved: images below it go */
	int assignment, image_place, trailing_image;
	int context_loss;
	const char *system;         /* system prompt of conversations that have none; NULL = none */
};
/* Tokens of the flat text; NULL = not written. */
struct pl_recipe_tokens {
	bool set;                   /* any is given: samples have a flat text */
	const char *begin, *end, *image, *image_begin, *image_end, *end_of_chunk, *separator;
	const char *system, *user, *assistant, *tool, *end_of_turn;
};

/* Balance of concepts; line 0 = none. */
struct pl_recipe_mine { uint64_t unigrams, bigrams, most; int64_t pmi; uint32_t line; };   /* struct pl_mine_options */
struct pl_recipe_concepts {
	int rule;                         /* enum pl_concept_rule */
	const char *entries;              /* file of the concept list; NULL = mined */
	struct pl_recipe_mine mine;
	uint64_t cap;                     /* 0: the rule's default */
	int64_t least;
	bool fold;
	uint32_t line, least_line;
};

/* Balance inside a source: by == NULL: none. */
enum pl_other_groups { PL_OTHER_DROP, PL_OTHER_KEEP };
struct pl_recipe_groups {
	const char *by;                   /* SQL expression over "samples": its value names the group */
	int strategy;                     /* enum pl_strategy; EQUAL, not ALL */
	double alpha;
	uint64_t max_examples;
	struct pl_field_reals weights;
	int other;                        /* groups without a weight */
	uint32_t line, alpha_line, max_examples_line, weights_line, other_line;
};

struct pl_recipe_source {
	const char *name;
	struct pl_field_strs shards;      /* patterns */
	const char *images;               /* pattern of image tars, or a folder */
	int kind;
	double weight;                    /* default 1; 0 in a recipe with neither a weight nor a total */
	double repeat;                    /* passes of a source of weight 0; 0 = 1 */
	double max_epochs;                /* as balance.max_epochs; filled with that where it is not given */
	struct pl_recipe_groups groups;
	int missing_image, missing_text;  /* enum pl_missing */
	const char *where, *image_where;  /* SQL conditions, NULL = none */
	const char *caption, *text;       /* field names */
	const char *answers;              /* file, NULL = none */
	int captions_per_image;
	int64_t shots;
	struct pl_field_strs columns;
	bool image_after_text;
	struct pl_recipe_concepts concepts;
	struct pl_field_strs filter;      /* presets, presets.h */
	int filter_missing;               /* enum pl_score_missing */
	struct pl_field_strs scores;      /* patterns of files of scores */
	struct pl_field_strs score_columns;
	const char *score_key;            /* NULL = "key" */
	const char *id;                   /* JSON field that they know samples by; NULL = the key */
	uint32_t where_line, image_where_line, filter_line, scores_line, score_columns_line;
	uint32_t line, weight_line, repeat_line, max_epochs_line, missing_image_line, missing_text_line;
};

/* One data set that a recipe makes: the keys of 'output', or of one item of 'outputs'. */
struct pl_recipe_output {
	int stage, template_, container;
	uint64_t shard_size, shard_samples, frame_size, fan_in;   /* fan_in: 0 = unbounded */
	int64_t level, max_images, min_images;
	bool level_set;
	const char *dir, *work;                     /* work: the same for all outputs */
	struct pl_sequence_rule pack;
	struct pl_field_strs instructions;
	struct pl_recipe_templates templates;
	struct pl_recipe_tokens tokens;
};
struct pl_recipe_balance {
	int unit, strategy;
	uint64_t total;
	double max_epochs;
	int64_t image_tokens;                       /* -1 = as image.tokens says */
	double alpha; uint64_t max_examples;        /* temperature */
	uint32_t alpha_line, max_examples_line, total_line, strategy_line;
};

struct pl_recipe {
	const char *path, *text; size_t text_len;   /* the file, verbatim */
	uint64_t digest[2];                         /* XXH3-128 of text */
	const char *name;
	uint64_t seed;                              /* default 0 */
	struct pl_recipe_source *sources; size_t nsources;   /* all, or those of the output in use */
	size_t noutputs, in_use;                    /* in_use: which output the next three are of; 0 after loading */
	struct { int hash, cluster, against_hash; int64_t threshold, min_quality; double budget; bool enabled, near, text, across; struct pl_near_text_options near_text; struct pl_dedup_rules rules; struct pl_field_strs against, against_hashes, known; } dedup;
	struct pl_recipe_balance balance;
	struct pl_resize image;                     /* policy, size, format, quality, ..., and how tokens are counted */
	struct pl_recipe_output output;
	struct pl_img_limits limits;
	struct pl_tokens_settings tokenizer;        /* the model's hash is not filled */
	struct pl_arena arena;
	struct pl_recipe_variant *variants;         /* private: noutputs of them */
};
/* Load and check. Relative paths stay as written: relative to the working directory. PL_ERR_USAGE with file and line. */
PL_MUST_CHECK enum pl_status pl_recipe_load(struct pl_recipe *r, const char *path, struct pl_err *err);
/* The same from text (a plan carries its recipe). */
PL_MUST_CHECK enum pl_status pl_recipe_parse(struct pl_recipe *r, const char *path, const char *text, size_t len, struct pl_err *err);
void pl_recipe_release(struct pl_recipe *r);
/* Narrow the recipe to output k (< noutputs): its sources, image, balance and output keys. */
void pl_recipe_use_output(struct pl_recipe *r, size_t k);
/* The corpus settings of source i. */
void pl_recipe_corpus_source(const struct pl_recipe *r, size_t i, struct pl_source *out);

#endif
