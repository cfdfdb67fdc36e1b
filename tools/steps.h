/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a job. Each tool runs one of them; plait run runs them in order
 * in one MPI job. All are Collective, resume what is done, and end their account. */
#ifndef TOOLS_STEPS_H
#define TOOLS_STEPS_H

#include "libpipe/corpus/corpus.h"
#include "libpipe/corpus/score_file.h"
#include "libpipe/mix/plan.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

struct ingest_step {
	const struct pl_names *shards;   /* NULL: names come on standard input */
	const char *dir;                 /* the corpus */
	struct pl_source source;         /* kind AUTO: told by the first sample of each shard */
	bool keep_going;                 /* shards that cannot be read are reported and left out, instead of failing the job */
};
PL_MUST_CHECK enum pl_status step_ingest(struct tool *t, const struct ingest_step *s, struct pl_err *err);

struct resize_step {
	const struct pl_names *shards;   /* NULL: standard input */
	const char *dir;
	struct pl_resize resize;
	double max_missing;              /* the pool's: part of what makes a finished shard be recognised */
};
PL_MUST_CHECK enum pl_status step_resize(struct tool *t, const struct resize_step *s, struct pl_err *err);

/* files: of scores, joined to a corpus by its keys (or id_field); NULL or none: earlier scores are taken away. */
struct scores_step { const char *corpus; const struct pl_names *files; struct pl_score_columns columns; };
PL_MUST_CHECK enum pl_status step_scores(struct tool *t, const struct scores_step *s, struct pl_err *err);

/* The same with patterns of files, as options give them; key NULL = "key". */
PL_MUST_CHECK enum pl_status steps_join_scores(struct tool *t, const char *corpus, const struct pl_strlist *files, const struct pl_strlist *columns,
    const char *key, struct pl_err *err);

/* presets: names of published filters, whose rules come first; where, image_where: SQL conditions, NULL = none. Without any of
 * them an earlier verdict is taken away. Dedup's verdicts go too when something changes. */
struct filter_step {
	const char *const *corpora; size_t n;
	const char *where, *image_where;
	const char *const *presets; size_t npresets;
	bool skip_missing;               /* a preset's rule whose score a corpus lacks is left out with a warning, not an error */
};
PL_MUST_CHECK enum pl_status step_filter(struct tool *t, const struct filter_step *s, struct pl_err *err);

/* Every SQL expression of the recipe, tried on tables without rows, and every preset on their columns: PL_ERR_USAGE with file and line.
 * Before pl_recipe_use_output. Local. */
PL_MUST_CHECK enum pl_status steps_check_conditions(const struct pl_recipe *r, struct pl_err *err);

struct dedup_step {
	const char *const *corpora; size_t n;
	const char *const *against; size_t nagainst;   /* evaluation sets: corpora, and files of hashes */
	int against_hash;                              /* enum pl_hash_recipe of these files; -1 = what they say, else that of the corpora */
	const char *const *known; size_t nknown;       /* corpora that were deduplicated before */
	struct pl_dedup_options options;
	uint64_t memory;                               /* bytes of a node; 0 = most of what there is */
	const char *scratch;                           /* directory for what memory does not hold; NULL = none */
};
PL_MUST_CHECK enum pl_status step_dedup(struct tool *t, const struct dedup_step *s, struct pl_err *err);
/* Take dedup's verdicts away. Collective. */
PL_MUST_CHECK enum pl_status step_undedup(struct tool *t, const char *const *corpora, size_t n, struct pl_err *err);

/* Which samples of the sources that ask for it (sources[].concepts) stay when concepts are balanced: after dedup, before balance, as part
 * of whose step it counts. corpora[i] is the directory of recipe source i. */
struct concepts_step { const struct pl_recipe *recipe; const char *const *corpora; uint64_t seed; };
PL_MUST_CHECK enum pl_status step_concepts(struct tool *t, const struct concepts_step *s, struct pl_err *err);

/* The groups of a corpus' samples by an SQL expression over them, as tables. */
struct groups_step { const char *corpus, *by; };
PL_MUST_CHECK enum pl_status step_groups(struct tool *t, const struct groups_step *s, struct pl_err *err);

/* corpora[i] is the directory of recipe source i. Makes the tables of groups, prints the table of quotas; plan NULL: no more than that. */
struct balance_step { const struct pl_recipe *recipe; const char *const *corpora; const char *plan; uint64_t seed; };
PL_MUST_CHECK enum pl_status step_balance(struct tool *t, const struct balance_step *s, struct pl_err *err);

struct pack_step { const char *plan, *dir; };
PL_MUST_CHECK enum pl_status step_pack(struct tool *t, const struct pack_step *s, struct pl_err *err);

/* Values are the order of export's choices. */
enum export_to { EXPORT_WEBDATASET, EXPORT_ENERGON, EXPORT_DALI, EXPORT_MDS, EXPORT_LLAVA, EXPORT_OPENFLAMINGO, EXPORT_FORMATS };
enum export_sample_type { EXPORT_CRUDE, EXPORT_INTERLEAVED, EXPORT_CAPTIONING };
enum export_images { EXPORT_IMAGES_AUTO, EXPORT_IMAGES_ONE, EXPORT_IMAGES_LIST };
struct export_step {
	const char *dataset, *dir;
	enum export_to to;
	enum export_sample_type sample_type;   /* energon */
	bool zstd;                             /* mds */
	enum export_images images;             /* mds */
	uint64_t size_limit;                   /* mds */
};
PL_MUST_CHECK enum pl_status step_export(struct tool *t, const struct export_step *s, struct pl_err *err);

/* A data set's directory, or (dir NULL) single shards. deep: decode every picture. repair: make lost indexes again. */
struct verify_step { const char *dir; const char *const *shards; size_t nshards; bool deep, repair; };
PL_MUST_CHECK enum pl_status step_verify(struct tool *t, const struct verify_step *s, struct pl_err *err);

/* Preflight of a recipe: what can fail later is looked at now, on every rank, and told with what to do; nothing is left behind. Every job
 * begins with the part that is quick, and asks whether all ranks see the work directory once it is made and locked, so that what a kill
 * leaves there is found by the next run. PL_ERR_INVALID when a job would fail. pool: why there is no codec pool, if so. Collective. */
enum check_what { CHECK_ALL, CHECK_QUICKLY, CHECK_WORK_MADE };
struct check_step {
	const struct pl_recipe *recipe;
	const char *const *dirs;         /* corpora, as of steps_corpus_dirs */
	const char *work, *out, *scratch;   /* out: instead of the recipe's, NULL = none; scratch: NULL = none */
	uint64_t memory, seed;           /* memory: dedup's, 0 = as there is */
	enum check_what what;
	bool keep_going, writes;         /* writes: the job will pack */
	const struct pl_err *pool;
};
PL_MUST_CHECK enum pl_status step_check(struct tool *t, const struct check_step *s, struct pl_err *err);

/* The corpora of a recipe's sources in use: work/SOURCE, then work/against.N for the evaluation sets. malloc'ed, NULL-terminated; freed by
 * steps_free_paths. */
char **steps_corpus_dirs(const struct pl_recipe *r, const char *work);
/* work/plan.json for the first output of a recipe, work/plan-1.json for the second, ...; malloc'ed, NULL = no memory. */
char *steps_plan_path(const char *work, size_t output);
void steps_free_paths(char **paths);
/* "a/b/" -> "b", malloc'ed; NULL = no memory. */
char *steps_base_name(const char *path);
/* Open n corpora; on error all that were opened are closed. */
PL_MUST_CHECK enum pl_status steps_open_corpora(const char *const *dirs, size_t n, struct pl_corpus **corpora, struct pl_err *err);
/* tool_for_units over the shards of a corpus, those with the longest tables first. Collective. */
PL_MUST_CHECK enum pl_status steps_for_tables(struct tool *t, const struct pl_corpus *c, tool_unit_fn *fn, void *ctx, struct pl_err *err);
void steps_close_corpora(struct pl_corpus *corpora, size_t n);
/* What counts tokens; NULL where that is by bytes. Every rank reads the model, and all must read the same. Collective. */
PL_MUST_CHECK enum pl_status steps_open_tokens(struct tool *t, struct pl_tokens_settings *s, struct pl_token_counter **c, struct pl_err *err);
/* Which side files of scores were joined to the corpus: scores.json by its bytes; zeros when there is none. */
PL_MUST_CHECK enum pl_status steps_scores_digest(const struct pl_corpus *c, uint64_t digest[2], struct pl_err *err);
#define STEPS_CLUSTERS "dedup.clusters.npy"
/* Remove DIR/UNIT.what.npy for each verdict table of the mask, when there; with dedup's, the clusters. */
enum { STEPS_FILTER = 1, STEPS_DEDUP = 2, STEPS_CONCEPTS = 4 };
PL_MUST_CHECK enum pl_status steps_remove_verdicts(const char *dir, const char *unit, unsigned tables, struct pl_err *err);
/* Append UNIT.what.npy of every shard to names. */
PL_MUST_CHECK enum pl_status steps_table_names(const struct pl_corpus *c, const char *what, struct pl_names *names, struct pl_err *err);
/* Add the shard's samples and images to account as they stand after status, filter and dedup. */
void steps_count_verdicts(const struct pl_tables *t, struct pl_account *account);

#endif
