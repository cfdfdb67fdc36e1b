/* SPDX-License-Identifier: Apache-2.0 */
/* Linear assignment: which image goes to which sentence, each to at most one,
 * so that the sum of their similarities is largest. */
#ifndef PL_MIX_LAP_H
#define PL_MIX_LAP_H

#include "libpipe/base/err.h"

#define PL_LAP_NONE UINT32_MAX
/* Largest min(rows, cols)^2 x max(rows, cols): about 0.2 s. 32 images of a text of 65536 sentences, or 400 of 400. */
#define PL_LAP_WORK_MAX ((uint64_t)64 << 20)

/* column[i]: that row i is assigned, distinct; min(rows, cols) rows have one, the others PL_LAP_NONE. rows[i] points to cols finite
 * values. The result depends on the values only. PL_ERR_LIMIT past the ceiling. Time min^2 x max, memory 33 bytes
 * for each of the larger side. */
PL_MUST_CHECK enum pl_status pl_lap(const float *const *rows, size_t nrows, size_t ncols, uint32_t *column, struct pl_err *err);

#endif
