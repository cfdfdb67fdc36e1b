/* SPDX-License-Identifier: Apache-2.0 */
/* Files of records: JSON lines, JSON arrays, plain text lines, each possibly
 * compressed; split as a stream with each record's place, so that one record
 * can be read again without the rest. */
#ifndef PL_CORPUS_RECORDS_H
#define PL_CORPUS_RECORDS_H

#include "layout.h"

enum pl_record_form { PL_FORM_LINES, PL_FORM_ARRAY, PL_FORM_TEXT };

/* Is path a file of records by its name (.jsonl .ndjson .json .txt, with an optional .gz .zst .xz .bz2)? Else it is a tar. */
bool pl_records_name(const char *path);

struct pl_records;
/* .jsonl/.ndjson: LINES; .txt: TEXT; .json: ARRAY when the first byte is '[', else one object after another.
 * max_record: ceiling in bytes (0 = 256 MiB). */
PL_MUST_CHECK enum pl_status pl_records_open(struct pl_records **r, const char *path, uint64_t max_record, struct pl_err *err);
/* .json that is one object of COCO, VQA or MIMIC-IT: its records are the elements of "annotations", "questions", or the members of
 * "data" as their text is, "ID": {...}; elements of `part`, where it is not NULL and the object has such a list. Files of other
 * shapes know no parts. */
PL_MUST_CHECK enum pl_status pl_records_open_part(struct pl_records **r, const char *path, const char *part, uint64_t max_record,
    struct pl_err *err);
/* The file is one object, whose members are the records: "ID": value. */
PL_MUST_CHECK enum pl_status pl_records_open_members(struct pl_records **r, const char *path, uint64_t max_record, struct pl_err *err);
struct pl_record_text { const char *text; size_t len; uint64_t offset; uint64_t index; bool plain_text; bool too_large; };
/* Next record (blank lines skipped), valid until the next call. PL_END at the end; damage as in shards/tar_read.h. A record
 * over the ceiling comes with too_large, text NULL. */
PL_MUST_CHECK enum pl_status pl_records_next(struct pl_records *r, struct pl_record_text *out, struct pl_err *err);
/* How the file was found to be laid out. */
const struct pl_layout *pl_records_layout(const struct pl_records *r);
void pl_records_digest(const struct pl_records *r, uint64_t hash[2], uint64_t *bytes);
void pl_records_close(struct pl_records *r);

#endif
