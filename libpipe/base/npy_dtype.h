/* SPDX-License-Identifier: Apache-2.0 */
/* What the reader and the writer of .npy tables both know about the format.
 * Internal to this room. */
#ifndef PL_BASE_NPY_DTYPE_H
#define PL_BASE_NPY_DTYPE_H

#include "npy.h"

enum {
	PL_NPY_MAGIC_LEN = 6,        /* "\x93NUMPY"; then two version bytes and the text's length */
	PL_NPY_ALIGN = 64,           /* of row 0 */
	PL_NPY_MAX_COLS = 1024,
	PL_NPY_MAX_ROW = 1 << 20     /* bytes; far above any real row, far below overflow */
};
#define PL_NPY_MAGIC "\x93NUMPY"

/* "<u4", ...; NULL for a value outside the enum. Static storage. */
const char *pl_npy_type_code(enum pl_npy_type type);
/* Bytes of one element. */
size_t pl_npy_type_size(enum pl_npy_type type);

#endif
