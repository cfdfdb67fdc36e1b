/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share and no other room needs: the settings as
 * JSON, the schema of a samples table, the key rule of record files. */
#ifndef PL_CORPUS_INTERNAL_H
#define PL_CORPUS_INTERNAL_H

#include "corpus.h"

/* Bytes of one sample that ingest accepts and fetch holds in memory: past it a sample is TOO_LARGE.
 */
#define PL_SAMPLE_MAX ((uint64_t)1 << 30)
/* Bytes of one record of a record file, likewise. */
#define PL_RECORD_MAX ((uint64_t)256 << 20)
#define PL_COLUMNS_MAX 256

/* Ceilings for reading a source's tars: the same at ingest and at fetch, so that both see the same
 * parts. */
static inline struct shard_read_limits pl_source_read_limits(const struct pl_source *s)
{
	uint64_t member = (uint64_t)256 << 20;

	return (struct shard_read_limits){
		.max_member = s->limits.max_bytes > member ? s->limits.max_bytes : member
	};
}

/* The part of a COCO file whose elements are the records; NULL = the usual one. */
static inline const char *pl_source_part(const struct pl_source *s)
{
	return s->read.kind == PL_KIND_PAIRS && s->read.captions_per_image != PL_CAPTIONS_EACH ? "images" : NULL;
}

/* Are the metadata columns names that a table and SQL can carry? PL_ERR_USAGE names the bad one. */
PL_MUST_CHECK enum pl_status pl_source_check(const struct pl_source *s, struct pl_err *err);
/* Settings as a JSON object in fixed key order. with_paths false leaves out where images lie. */
PL_MUST_CHECK enum pl_status pl_source_dump(
    const struct pl_source *s, bool with_paths, json_t **out, struct pl_err *err);
/* Back from JSON; strings go to arena. path for messages. */
PL_MUST_CHECK enum pl_status pl_source_load(const json_t *j, const char *path,
    struct pl_arena *arena, struct pl_source *s, struct pl_err *err);

/* Columns of UNIT.samples.npy: the struct's, then one f64 per metadata column. *cols is malloc'ed;
 * names are borrowed. */
PL_MUST_CHECK enum pl_status pl_sample_schema(const struct pl_source *s, struct pl_npy_col **cols,
    size_t *ncols, size_t *row_size, struct pl_err *err);

/* The key of record number row of a record file, as malloc'ed text. Records carry no key of their
 * own, and their ids repeat (LLaVA's GPT-4 questions: three per picture), so the key is ID#ROW,
 * with ID the record's "id", "key" or "uid" (string or integer), whichever comes first in this
 * order; UNIT-ROW with nine digits where there is none, or none fit for a key: 1..160 bytes, no
 * control characters. It needs no memory of other records: fetch makes the same key from the row
 * alone. */
PL_MUST_CHECK enum pl_status pl_record_key(
    const json_t *meta, const char *unit, uint64_t row, char **key, struct pl_err *err);
/* Does path hold lines of plain text (.txt, possibly compressed) and not JSON records? */
bool pl_record_plain_text(const char *path);

/* Columns of UNIT.scores.npy: nscores of f64. *cols is malloc'ed; names are borrowed. */
PL_MUST_CHECK enum pl_status pl_score_schema(char *const *names, size_t n, struct pl_npy_col **cols, struct pl_err *err);
/* May a side file's column be named so, beside the source's columns and the n others? PL_ERR_USAGE. */
PL_MUST_CHECK enum pl_status pl_score_check(const struct pl_source *s, const char *const *others, size_t n, const char *name,
    struct pl_err *err);
/* What filter.json and scores.json say, where they are there. */
PL_MUST_CHECK enum pl_status pl_corpus_load_notes(struct pl_corpus *c, struct pl_err *err);
void pl_corpus_release_notes(struct pl_corpus *c);

/* malloc'ed DIR/UNIT.WHAT.npy, NULL = no memory. */
char *pl_unit_table_path(const char *dir, const char *unit, const char *what);

#endif
