/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plait-stat: one HTML page that needs nothing but itself. Whatever
 * comes from shards is escaped, and the page forbids scripts and loading. */
#ifndef TOOLS_STAT_HTML_H
#define TOOLS_STAT_HTML_H

#include "stat_numbers.h"
#include "stat_sheet.h"

PL_MUST_CHECK enum pl_status html_begin(struct pl_buf *page, struct pl_err *err);
/* A heading with a line under it. */
PL_MUST_CHECK enum pl_status html_part(struct pl_buf *page, const char *title, const char *line, struct pl_err *err);
/* Verdicts, formats, distributions. */
PL_MUST_CHECK enum pl_status html_numbers(struct pl_buf *page, const struct numbers *n, struct pl_err *err);
/* The account of a data set's sources (dataset.json). */
PL_MUST_CHECK enum pl_status html_sources(struct pl_buf *page, const json_t *sources, struct pl_err *err);
PL_MUST_CHECK enum pl_status html_sheet(struct pl_buf *page, const struct sheet *s, struct pl_err *err);
PL_MUST_CHECK enum pl_status html_end(struct pl_buf *page, struct pl_err *err);

#endif
