/* SPDX-License-Identifier: Apache-2.0 */
/* Writing .npy tables: the header is written first with room for any number of
 * rows, and again at commit when the number is known. Byte for byte what
 * numpy.save writes for the same array. */
#include "npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "npy_dtype.h"

enum {
	BUF_SIZE = 256 << 10,
	PREFIX_LEN = PL_NPY_MAGIC_LEN + 4,  /* version 1.0, 16-bit length */
	ROWS_DIGITS = 21,                   /* the room numpy leaves for the row count */
	MAX_TEXT = 10000                    /* numpy.load refuses longer header text */
};

static enum pl_status bad_col(
    const char *path, const char *name, const char *what, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path, "column '%s': %s", name, what);
}

static bool name_ok(const char *name)
{
	if (!name || !*name)
		return false;
	for (const char *s = name; *s; s++) {
		if (*s < 0x20 || *s > 0x7e || *s == '\'' || *s == '\\')
			return false;
	}
	return true;
}

/* Check column i of cols and add it to descr; *offset moves past it. */
static enum pl_status add_col(const char *path, const struct pl_npy_col *cols, size_t i,
    size_t *offset, struct pl_buf *descr, struct pl_err *err)
{
	const struct pl_npy_col *c = &cols[i];
	const char *code = pl_npy_type_code(c->type);
	size_t count = c->type == PL_NPY_BYTES ? c->count : 1;
	enum pl_status st;

	if (!name_ok(c->name))
		return bad_col(path, c->name ? c->name : "",
		    "a name is printable ASCII without ' and \\", err);
	for (size_t j = 0; j < i; j++) {
		if (strcmp(cols[j].name, c->name) == 0)
			return bad_col(path, c->name, "the name is there twice", err);
	}
	if (!code || count == 0 || count > PL_NPY_MAX_ROW)
		return bad_col(path, c->name, "no such type or size", err);
	if (c->offset != *offset)
		return bad_col(path, c->name, "columns must be packed, without gaps", err);
	*offset += count * pl_npy_type_size(c->type);
	if (*offset > PL_NPY_MAX_ROW)
		return bad_col(path, c->name, "the row is too long", err);
	st = pl_buf_addf(descr, err, "%s('%s', '%s'", i > 0 ? ", " : "", c->name, code);
	if (st == PL_OK && c->type == PL_NPY_BYTES)
		st = pl_buf_addf(descr, err, ", (%zu,)", count);
	return st == PL_OK ? pl_buf_adds(descr, ")", err) : st;
}

/* The whole header for w->rows rows: always w->header_len bytes once that is set. */
static enum pl_status make_header(
    const struct pl_npy_writer *w, struct pl_buf *b, struct pl_err *err)
{
	char rows[24];
	int digits = snprintf(rows, sizeof(rows), "%" PRIu64, w->rows);
	enum pl_status st = pl_buf_add(b, PL_NPY_MAGIC "\x01\x00\x00\x00", PREFIX_LEN, err);
	size_t pad, text;

	if (st == PL_OK)
		st = pl_buf_addf(b, err,
		    "{'descr': %s, 'fortran_order': False, 'shape': (%s,), }%*s", w->descr, rows,
		    ROWS_DIGITS - digits, "");
	if (st != PL_OK)
		return st;
	pad = PL_NPY_ALIGN - (b->len + 1) % PL_NPY_ALIGN;
	st = pl_buf_addf(b, err, "%*s\n", (int)pad, "");
	if (st != PL_OK)
		return st;
	text = b->len - PREFIX_LEN;
	if (text > MAX_TEXT)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, w->file.path,
		    "column names take %zu bytes of header: numpy.load reads at most %d", text,
		    (int)MAX_TEXT);
	b->data[PREFIX_LEN - 2] = (uint8_t)(text & 0xff);
	b->data[PREFIX_LEN - 1] = (uint8_t)(text >> 8);
	return PL_OK;
}

static enum pl_status write_header(struct pl_npy_writer *w, struct pl_err *err)
{
	struct pl_buf b;
	enum pl_status st;

	pl_buf_init(&b, 1 << 20);
	st = make_header(w, &b, err);
	if (st == PL_OK && w->header_len == 0) {
		w->header_len = b.len;
		st = pl_outfile_write(&w->file, b.data, b.len, err);
	} else if (st == PL_OK) {
		st = pl_outfile_pwrite(&w->file, b.data, b.len, 0, err);
	}
	pl_buf_release(&b);
	return st;
}

static enum pl_status make_descr(struct pl_npy_writer *w, const char *path,
    const struct pl_npy_col *cols, size_t ncols, struct pl_err *err)
{
	struct pl_buf descr;
	size_t offset = 0;
	enum pl_status st;

	if (ncols == 0 || ncols > PL_NPY_MAX_COLS)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path,
		    "a table has 1 to %d columns, not %zu", (int)PL_NPY_MAX_COLS, ncols);
	pl_buf_init(&descr, 1 << 20);
	st = pl_buf_adds(&descr, "[", err);
	for (size_t i = 0; i < ncols && st == PL_OK; i++)
		st = add_col(path, cols, i, &offset, &descr, err);
	if (st == PL_OK && offset != w->row_size)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path,
		    "columns take %zu bytes but the row has %zu", offset, w->row_size);
	if (st == PL_OK)
		st = pl_buf_adds(&descr, "]", err);
	if (st == PL_OK)
		w->descr = pl_buf_detach(&descr, NULL);
	pl_buf_release(&descr);
	return st;
}

enum pl_status pl_npy_create(struct pl_npy_writer *w, const char *path,
    const struct pl_npy_col *cols, size_t ncols, size_t row_size, struct pl_err *err)
{
	enum pl_status st;

	*w = (struct pl_npy_writer){.row_size = row_size};
	w->file.fd = -1;
	st = make_descr(w, path, cols, ncols, err);
	if (st != PL_OK)
		goto fail;
	w->buf = malloc(BUF_SIZE);
	if (!w->buf) {
		st = pl_fail_nomem(err);
		goto fail;
	}
	st = pl_outfile_open(&w->file, path, err);
	if (st != PL_OK)
		goto fail;
	st = write_header(w, err);
	if (st != PL_OK)
		goto fail_open;
	return PL_OK;

fail_open:
	pl_outfile_abort(&w->file);
fail:
	free(w->buf);
	free(w->descr);
	*w = (struct pl_npy_writer){0};
	w->file.fd = -1;
	return st;
}

static enum pl_status flush(struct pl_npy_writer *w, struct pl_err *err)
{
	size_t used = w->used;

	w->used = 0;
	return used > 0 ? pl_outfile_write(&w->file, w->buf, used, err) : PL_OK;
}

enum pl_status pl_npy_append(
    struct pl_npy_writer *w, const void *rows, uint64_t n, struct pl_err *err)
{
	uint64_t bytes;
	enum pl_status st = PL_OK;

	if (n > (UINT64_MAX >> 1) / w->row_size - w->rows || n > SIZE_MAX / w->row_size)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, w->file.path, "too many rows");
	bytes = n * w->row_size;
	if (bytes > BUF_SIZE - w->used)
		st = flush(w, err);
	if (st != PL_OK)
		return st;
	if (bytes > BUF_SIZE) {
		st = pl_outfile_write(&w->file, rows, (size_t)bytes, err);
	} else if (bytes > 0) {
		memcpy(w->buf + w->used, rows, (size_t)bytes);
		w->used += (size_t)bytes;
	}
	if (st == PL_OK)
		w->rows += n;
	return st;
}

enum pl_status pl_npy_commit_all(struct pl_npy_writer *const *w, size_t n, struct pl_err *err)
{
	struct pl_outfile *files[8] = { NULL };
	enum pl_status st = n <= PL_ARRAY_LEN(files) ?
	    PL_OK : pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "too many tables at a time");
	size_t i;

	for (i = 0; i < n && st == PL_OK; i++) {
		files[i] = &w[i]->file;
		st = flush(w[i], err);
		if (st == PL_OK)
			st = write_header(w[i], err);
	}
	if (st == PL_OK)
		st = pl_outfile_commit_all(files, n, err);
	for (i = 0; i < n; i++)
		pl_npy_abort(w[i]);
	return st;
}

enum pl_status pl_npy_commit(struct pl_npy_writer *w, struct pl_err *err)
{
	return pl_npy_commit_all(&w, 1, err);
}

void pl_npy_abort(struct pl_npy_writer *w)
{
	pl_outfile_abort(&w->file);
	free(w->buf);
	free(w->descr);
	w->buf = NULL;
	w->descr = NULL;
	w->used = 0;
	w->header_len = 0;
}
