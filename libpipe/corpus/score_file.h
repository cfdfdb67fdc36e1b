/* SPDX-License-Identifier: Apache-2.0 */
/* Files of scores beside the shards: a key and some numbers a row, as CSV, TSV,
 * JSON lines or a structured .npy. Foreign bytes, read as a stream. */
#ifndef PL_CORPUS_SCORE_FILE_H
#define PL_CORPUS_SCORE_FILE_H

#include "libpipe/base/err.h"

#define PL_SCORE_COLUMNS_MAX 64
/* Ceilings of one row of CSV, TSV or JSON. */
#define PL_SCORE_ROW_MAX ((size_t)1 << 20)
#define PL_SCORE_FIELDS_MAX 4096

/* Which columns of a file are wanted. */
struct pl_score_columns {
	const char *key;              /* text, or the whole number as it is written; in .npy the XXH3-64 of that as uint64 */
	const char *const *names; size_t n;
};
struct pl_score_counts {
	uint64_t rows;                /* read, but for the bad ones */
	uint64_t bad_rows;            /* passed over: no key, or not what the format has */
	uint64_t bad_values;          /* neither a number nor nothing: read as none */
};

struct pl_score_file;
/* By the name: .csv .tsv .jsonl .ndjson .json, each also as .gz .zst .xz .bz2; .npy. CSV as in RFC 4180, TSV without quotes; their
 * first row names the columns. PL_ERR_UNSUPPORTED by the name; PL_ERR_INVALID when a column is not there. */
PL_MUST_CHECK enum pl_status pl_score_file_open(struct pl_score_file **f, const char *path, const struct pl_score_columns *c,
    struct pl_err *err);
/* The next row: the hash of its key, and the n numbers, NAN for what is empty, no number or not finite. PL_END at the end; an error
 * says that the file is damaged from here on, or a row is larger than the ceilings. */
PL_MUST_CHECK enum pl_status pl_score_file_next(struct pl_score_file *f, uint64_t *key, double *values, struct pl_err *err);
const struct pl_score_counts *pl_score_file_counts(const struct pl_score_file *f);
void pl_score_file_close(struct pl_score_file *f);

#endif
