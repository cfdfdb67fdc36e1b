/* SPDX-License-Identifier: Apache-2.0 */
/* Tables: NumPy .npy files (format 1.0/2.0/3.0) with a structured dtype, one row per
 * sample or image; little-endian, C order, shape (n,). Mapped, never loaded.
 * Spec: numpy.lib.format. */
#ifndef PL_BASE_NPY_H
#define PL_BASE_NPY_H

#include "err.h"
#include "file.h"

enum pl_npy_type { PL_NPY_U8, PL_NPY_U16, PL_NPY_U32, PL_NPY_U64, PL_NPY_I32, PL_NPY_I64, PL_NPY_F32, PL_NPY_F64,
	PL_NPY_BYTES /* uint8 vector of `count` elements: ('name','|u1',(count,)) */ };

struct pl_npy_col {
	const char *name;
	enum pl_npy_type type;
	uint32_t count;     /* elements: 1 but for BYTES */
	uint32_t offset;    /* bytes from the row's start */
};

/* Written columns are packed: offset must equal the sum of the sizes before. */
struct pl_npy_writer {
	struct pl_outfile file;
	size_t row_size;
	uint64_t rows;
	uint8_t *buf; size_t used;
	size_t header_len;
	char *descr;
};
PL_MUST_CHECK enum pl_status pl_npy_create(struct pl_npy_writer *w, const char *path, const struct pl_npy_col *cols,
    size_t ncols, size_t row_size, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_npy_append(struct pl_npy_writer *w, const void *rows, uint64_t n, struct pl_err *err);
/* Patch the shape, commit atomically. */
PL_MUST_CHECK enum pl_status pl_npy_commit(struct pl_npy_writer *w, struct pl_err *err);
/* The same for n tables of one directory: all or none. */
PL_MUST_CHECK enum pl_status pl_npy_commit_all(struct pl_npy_writer *const *w, size_t n, struct pl_err *err);
void pl_npy_abort(struct pl_npy_writer *w);   /* harmless after commit or on a zeroed struct */

struct pl_npy {                 /* a mapped table, read-only */
	const uint8_t *rows;        /* rows of row_size bytes, back to back; alignment 64 of row 0 */
	uint64_t nrows;
	size_t row_size;
	struct pl_npy_col *cols;    /* owned, names too */
	size_t ncols;
	void *map; size_t map_len;
};
/* PL_ERR_INVALID for a bad header or a size that does not match (hostile files are safe). */
PL_MUST_CHECK enum pl_status pl_npy_open(struct pl_npy *t, const char *path, struct pl_err *err);
void pl_npy_close(struct pl_npy *t);          /* harmless on a zeroed struct */
/* NULL when there is no such column. */
const struct pl_npy_col *pl_npy_col(const struct pl_npy *t, const char *name);
/* The row; i < nrows is the caller's duty. */
static inline const void *pl_npy_row(const struct pl_npy *t, uint64_t i) { return t->rows + i * t->row_size; }
/* Does the table start with exactly these columns (name, type, count, offset)? PL_ERR_INVALID says which differs. */
PL_MUST_CHECK enum pl_status pl_npy_expect(const struct pl_npy *t, const char *path, const struct pl_npy_col *cols,
    size_t ncols, struct pl_err *err);
/* Column value of a row as double (BYTES: 0). */
double pl_npy_real(const struct pl_npy_col *col, const void *row);

#endif
