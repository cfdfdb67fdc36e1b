/* SPDX-License-Identifier: Apache-2.0 */
/* Records that others refer to: a question's answer, an annotation's image, the
 * examples that an instruction is shown with. Found by id through a sorted
 * table of places, and read again from the file that has them. */
#ifndef PL_CORPUS_RELATED_H
#define PL_CORPUS_RELATED_H

#include "document.h"
#include "internal.h"
#include "layout.h"

enum { PL_RELATED_ID = 192 };      /* bytes of an id as text; longer ones are not found */
/* Entries that one file may have: 24 bytes each in memory while the table is made (1.5 GiB), on disk after that. */
#define PL_RELATED_MAX ((uint64_t)64 << 20)

/* The id v as text: a string as it is, an integer in decimal. false: neither, or too long. */
bool pl_related_id(const json_t *v, char id[PL_RELATED_ID]);

struct pl_related;
/* Do the records of this file, read so, refer to others, of its own or of source->answers? Then the table of places is to be
 * made: UNIT.places.npy. image_set: VQA's data_subtype ("train2014"), "" = none. */
PL_MUST_CHECK enum pl_status pl_related_needed(const char *path, const struct pl_source *source, bool *needed,
    char image_set[PL_LAYOUT_SET], struct pl_err *err);
/* Write the table. poll may be NULL. Damage of the file is PL_OK here (what is before it is found): ingest tells of it. */
PL_MUST_CHECK enum pl_status pl_related_build(const char *path, const struct pl_source *source, const char *table,
    enum pl_status (*poll)(void *ctx, struct pl_err *err), void *poll_ctx, struct pl_err *err);
/* source is needed for the call only. image_set may be NULL. */
PL_MUST_CHECK enum pl_status pl_related_open(struct pl_related **r, const char *path, const struct pl_source *source,
    const char *table, const char *image_set, struct pl_err *err);
/* The same without a table: the places are in memory. *r NULL where none are needed. */
PL_MUST_CHECK enum pl_status pl_related_load(struct pl_related **r, const char *path, const struct pl_source *source,
    struct pl_err *err);
void pl_related_close(struct pl_related *r);   /* NULL works */

/* Record number k, in the order of the file, of those called id: *out is the caller's, NULL = there is none. A record that does
 * not parse is none. */
PL_MUST_CHECK enum pl_status pl_related_get(struct pl_related *r, const char *id, size_t k, json_t **out, struct pl_err *err);
/* Of which COCO's file names are made; NULL = none. r may be NULL. */
const char *pl_related_image_set(const struct pl_related *r);

#endif
