/* SPDX-License-Identifier: Apache-2.0 */
/* The list of hashes beside a resized shard: a line for each picture in it, in
 * its order, as plait hash prints them. */
#include "step_resize.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER = 1 << 16 };

enum pl_status resize_hashes_remove(const char *path, struct pl_err *err)
{
	if (unlink(path) != 0 && errno != ENOENT)
		return pl_fail_errno(err, PL_SEV_JOB, path, "cannot remove the hashes of another shard");
	return PL_OK;
}

enum pl_status resize_hashes_open(struct resize_hashes *h, const char *path, struct pl_err *err)
{
	pl_buf_init(&h->lines, 0);
	return pl_outfile_open(&h->file, path, err);
}

static enum pl_status flush(struct resize_hashes *h, struct pl_err *err)
{
	enum pl_status st = pl_outfile_write(&h->file, h->lines.data, h->lines.len, err);

	pl_buf_clear(&h->lines);
	return st;
}

enum pl_status resize_hashes_add(struct resize_hashes *h, const struct pl_pdq *pdq, const char *key, const char *suffix, struct pl_err *err)
{
	char text[PL_PDQ_TEXT];
	enum pl_status st;

	pl_pdq_text(pdq, text);
	st = pl_buf_addf(&h->lines, err, "%s %s.%s\n", text, key, suffix);
	return st == PL_OK && h->lines.len >= BUFFER ? flush(h, err) : st;
}

enum pl_status resize_hashes_line(struct resize_hashes *h, const char *line, size_t len, struct pl_err *err)
{
	enum pl_status st = pl_buf_add(&h->lines, line, len, err);

	return st == PL_OK && h->lines.len >= BUFFER ? flush(h, err) : st;
}

enum pl_status resize_hashes_commit(struct resize_hashes *h, struct pl_err *err)
{
	enum pl_status st = flush(h, err);

	return st == PL_OK ? pl_outfile_commit(&h->file, err) : st;
}

void resize_hashes_release(struct resize_hashes *h)
{
	pl_outfile_abort(&h->file);
	pl_buf_release(&h->lines);
}
