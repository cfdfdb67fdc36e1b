/* SPDX-License-Identifier: Apache-2.0 */
/* A corpus: a directory with the tables of one source. manifest.json says what
 * was read and how; UNIT.*.npy hold the rows; verdict tables are added by
 * filter and dedup. */
#ifndef PL_CORPUS_CORPUS_H
#define PL_CORPUS_CORPUS_H

#include "document.h"
#include "libpipe/base/account.h"
#include "libpipe/img/image.h"
#include "libpipe/img/pdq.h"
#include "rows.h"
#include "tokens.h"

/* How a source is read: the settings that decide the tables' bytes. */
struct pl_source {
	const char *name;
	struct pl_read_options read;      /* read.kind not AUTO once detected */
	const char *images;               /* where images named by documents lie: pattern of tars, or a folder; NULL = in the shards */
	const char *answers;              /* chat: file of annotations that answer the questions of the shards; NULL = none */
	const char *const *columns;       /* numeric metadata columns taken from the samples' JSON */
	size_t ncolumns;
	const char *id_field;             /* JSON field whose hash is the column id_hash: what score files may be joined by; NULL = none */
	const char *script, *language;    /* what told them (pl_script_name, pl_language_name); NULL = not told */
	enum pl_hash_recipe hash;
	struct pl_img_limits limits;
	struct pl_tokens_settings tokens; /* how text_tokens are counted; its model's path decides nothing */
};
/* Canonical text of the settings (for content records and the manifest). */
PL_MUST_CHECK enum pl_status pl_source_describe(const struct pl_source *s, struct pl_buf *out, struct pl_err *err);

struct pl_shard_facts {
	char *path;               /* as given, owned */
	char *unit;               /* stem, owned: names the tables */
	uint64_t bytes, mtime;    /* of the file; mtime in whole seconds */
	uint64_t hash[2];         /* XXH3-128 of the file */
	uint64_t samples, images, kept;   /* rows; samples with status 0 */
	uint64_t not_regular, dunder, no_key;   /* members that belong to no sample */
	uint64_t related;         /* 1: records refer to others, by UNIT.places.npy */
	uint64_t related_missing; /* references to records that are not there, or of no use */
	uint64_t answers_bytes, answers_mtime;   /* of the source's file of answers, where it is asked */
	char *image_set;          /* VQA: what image file names are made of; NULL = none */
	char *damage;             /* why the shard was not read to its end; NULL = it was */
};
void pl_shard_facts_release(struct pl_shard_facts *f);
/* JSON object of the facts and back (content-record payload and manifest entry). */
PL_MUST_CHECK enum pl_status pl_shard_facts_dump(const struct pl_shard_facts *f, json_t **out, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_shard_facts_load(const json_t *j, struct pl_shard_facts *f, struct pl_err *err);

struct pl_corpus {
	char *dir;
	struct pl_source source;          /* strings owned by the corpus */
	struct pl_shard_facts *shards; size_t nshards;   /* sorted by path */
	char **stores; size_t nstores;    /* image tars, sorted */
	uint64_t samples, images;
	char **scores; size_t nscores;    /* columns of UNIT.scores.npy (score_join.h); 0 = no side file was joined */
	char **rules; size_t nrules;      /* of the last filter: "PRESET/RULE", by the number in its tables less 1 */
	uint64_t digest[2];               /* XXH3-128 over what decides outputs: source settings, and shards' units, hashes, counts (no paths, no mtimes) */
	void *owned;
};
/* Write manifest.json (sorted by path, deterministic). shards are borrowed. */
PL_MUST_CHECK enum pl_status pl_corpus_write_manifest(const char *dir, const struct pl_source *source,
    const struct pl_shard_facts *shards, size_t nshards, char *const *stores, size_t nstores, struct pl_err *err);
/* PL_ERR_NOTFOUND says how to make a corpus. */
PL_MUST_CHECK enum pl_status pl_corpus_open(struct pl_corpus *c, const char *dir, struct pl_err *err);
void pl_corpus_close(struct pl_corpus *c);

/* The tables of one shard; the verdict tables are empty (rows == NULL) when not there. */
struct pl_tables { struct pl_npy samples, images, scores, filter, filter_images, dedup, dedup_images, concepts; };
PL_MUST_CHECK enum pl_status pl_tables_open(struct pl_tables *t, const struct pl_corpus *c, size_t shard, struct pl_err *err);
#define PL_FILTER_NAME "filter.json"
#define PL_SCORES_NAME "scores.json"
void pl_tables_close(struct pl_tables *t);
static inline const struct pl_sample_row *pl_sample(const struct pl_tables *t, uint64_t i) { return (const struct pl_sample_row *)pl_npy_row(&t->samples, i); }
static inline const struct pl_image_row *pl_image_at(const struct pl_tables *t, uint64_t i) { return (const struct pl_image_row *)pl_npy_row(&t->images, i); }
/* Why is sample / image row i not kept: status, else filter, else dedup, else (samples) concepts; KEEP otherwise. A sample whose images are all
 * dropped is IMAGES_GONE when its kind needs one (pairs, interleaved) or when its segments name one (chat). */
enum pl_reason pl_sample_verdict(const struct pl_tables *t, uint64_t i);
enum pl_reason pl_image_verdict(const struct pl_tables *t, uint64_t i);
/* Is name a column of numbers that came with the samples or from a side file? */
bool pl_corpus_has_score(const struct pl_corpus *c, const char *name);
/* The rule that dropped a row, NULL when none did or it is not known. */
const char *pl_filter_rule(const struct pl_corpus *c, const struct pl_npy *filter, uint64_t row);
/* Path of a table: malloc'ed DIR/UNIT.what.npy. */
char *pl_table_path(const struct pl_corpus *c, size_t shard, const char *what);

/* SQL relations over one shard's tables (columns listed in README.md): "samples" has the sample columns, metadata columns, and of
 * its first usable image width, height, format, pdq_quality, ...; "images" has image columns, key of its sample. */
struct pl_sql_source;
PL_MUST_CHECK enum pl_status pl_relation_samples(const struct pl_corpus *c, struct pl_sql_source *src, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_relation_images(const struct pl_corpus *c, struct pl_sql_source *src, struct pl_err *err);
/* Point the relation at tables (which outlive it). */
void pl_relation_bind(struct pl_sql_source *src, const struct pl_tables *t, size_t shard);
void pl_relation_release(struct pl_sql_source *src);

#endif
