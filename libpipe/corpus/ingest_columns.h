/* SPDX-License-Identifier: Apache-2.0 */
/* What ingest makes of a sample's JSON and texts: metadata, the id, text
 * measures. Internal to this room. */
#ifndef PL_CORPUS_INGEST_COLUMNS_H
#define PL_CORPUS_INGEST_COLUMNS_H

#include "rows.h"
#include "text_measure.h"
#include "tokens.h"

/* A number, or text that is wholly a number; NAN for everything else. */
double pl_ingest_number(const json_t *meta, const char *name);
/* Hash of the field that side files know the sample by: text, or a whole number as it is written; 0 = none. */
uint64_t pl_ingest_id(const json_t *meta, const char *field);
/* Fill the row's columns of text_measure.h. */
PL_MUST_CHECK enum pl_status pl_ingest_measure(struct pl_text_meter *m, const struct pl_document *d, struct pl_sample_row *row,
    struct pl_err *err);
/* Fill the row's text_tokens by the counter. */
PL_MUST_CHECK enum pl_status pl_ingest_tokens(const struct pl_token_counter *c, const struct pl_document *d, struct pl_sample_row *row,
    struct pl_err *err);

#endif
