/* SPDX-License-Identifier: Apache-2.0 */
/* What jansson leaves to do: errors as pl_err, hostile-input ceilings, splitting
 * a file into records without loading it, canonical output. */
#ifndef PL_BASE_JSON_H
#define PL_BASE_JSON_H

#include <jansson.h>
#include "buf.h"
#include "err.h"

/* For programs that are ours alone, at their start: tell jansson, for the whole process, to allocate through us, so that
 * pl_json_parse knows of memory that it did not get. Without it jansson (2.14) may drop bytes of a number or a name unnoticed. */
void pl_json_know_starvation(void);

/* Parse text[len] (UTF-8, depth <= 64, duplicate keys rejected, "\u0000" allowed in strings).
 * PL_ERR_INVALID at item severity with offset. The caller owns *out (json_decref). */
PL_MUST_CHECK enum pl_status pl_json_parse(const char *text, size_t len, json_t **out, struct pl_err *err);
/* Load a whole JSON file. */
PL_MUST_CHECK enum pl_status pl_json_load(const char *path, size_t max, json_t **out, struct pl_err *err);
/* Append compact or indented JSON in insertion order; real numbers as %.17g shortest. */
PL_MUST_CHECK enum pl_status pl_json_dump(const json_t *v, bool indent, struct pl_buf *out, struct pl_err *err);
/* Member access that never fails: NULL / fallback when absent or of another type. */
const char *pl_json_str(const json_t *obj, const char *key);
double pl_json_num(const json_t *obj, const char *key, double fallback);
/* Is s[len] valid UTF-8 (no surrogates, no overlong forms)? On false *bad = offset of the first bad byte. */
bool pl_utf8_valid(const char *s, size_t len, size_t *bad);

#endif
