/* SPDX-License-Identifier: Apache-2.0 */
/* Files of JSON lines, plain or as one zstd frame. */
#include "synth.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { CHUNK = 256 << 10, LEVEL = 3 };

struct synth_lines {
	struct pl_outfile file;
	ZSTD_CCtx *zstd;          /* NULL: plain */
	struct pl_buf pending;    /* not yet compressed or written */
	uint8_t *packed;          /* CHUNK bytes */
};

enum pl_status synth_lines_open(struct synth_lines **out, const char *path, struct pl_err *err)
{
	struct synth_lines *l = calloc(1, sizeof(*l));
	size_t len = strlen(path);
	bool pack = len > 4 && strcmp(path + len - 4, ".zst") == 0;
	enum pl_status st = PL_OK;

	*out = NULL;
	if (l == NULL)
		return pl_fail_nomem(err);
	pl_buf_init(&l->pending, 0);
	if (pack) {
		l->zstd = ZSTD_createCCtx();
		l->packed = malloc(CHUNK);
		if (l->zstd == NULL || l->packed == NULL ||
		    ZSTD_isError(ZSTD_CCtx_setParameter(l->zstd, ZSTD_c_compressionLevel, LEVEL)) ||
		    ZSTD_isError(ZSTD_CCtx_setParameter(l->zstd, ZSTD_c_checksumFlag, 1)))
			st = pl_fail_nomem(err);
	}
	if (st == PL_OK)
		st = pl_outfile_open(&l->file, path, err);
	if (st != PL_OK) {
		synth_lines_abort(l);
		return st;
	}
	*out = l;
	return PL_OK;
}

/* Hand over what is pending; end closes the frame. */
static enum pl_status flush(struct synth_lines *l, bool end, struct pl_err *err)
{
	ZSTD_inBuffer in = { l->pending.data, l->pending.len, 0 };
	enum pl_status st = PL_OK;
	size_t left = 1;

	if (l->zstd == NULL)
		st = pl_outfile_write(&l->file, l->pending.data, l->pending.len, err);
	while (l->zstd != NULL && st == PL_OK && (in.pos < in.size || (end && left != 0))) {
		ZSTD_outBuffer to = { l->packed, CHUNK, 0 };

		left = ZSTD_compressStream2(l->zstd, &to, &in, end ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, l->file.path, "cannot compress: %s", ZSTD_getErrorName(left));
		st = pl_outfile_write(&l->file, l->packed, to.pos, err);
	}
	pl_buf_clear(&l->pending);
	return st;
}

enum pl_status synth_lines_add(struct synth_lines *l, const struct synth_text *line, struct pl_err *err)
{
	enum pl_status st = synth_text_status(line, err);

	if (st == PL_OK)
		st = pl_buf_add(&l->pending, line->buf.data, line->buf.len, err);
	if (st == PL_OK)
		st = pl_buf_adds(&l->pending, "\n", err);
	return st == PL_OK && l->pending.len >= CHUNK ? flush(l, false, err) : st;
}

enum pl_status synth_lines_commit(struct synth_lines *l, uint64_t *bytes, struct pl_err *err)
{
	enum pl_status st = flush(l, true, err);
	uint64_t size = l->file.bytes;

	if (st == PL_OK)
		st = pl_outfile_commit(&l->file, err);
	if (st == PL_OK)
		*bytes += size;
	synth_lines_abort(l);
	return st;
}

void synth_lines_abort(struct synth_lines *l)
{
	if (l == NULL)
		return;
	pl_outfile_abort(&l->file);
	ZSTD_freeCCtx(l->zstd);
	pl_buf_release(&l->pending);
	free(l->packed);
	free(l);
}
