/* SPDX-License-Identifier: Apache-2.0 */
/* Input shards as tools like img2dataset leave them: by libarchive, on purpose
 * not by the code that writes our own output shards. */
#include "synth.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>

enum { TAR_BLOCK = 256 << 10, TAR_LAST_BLOCK = 10240 };
#define TAR_TIME 1700000000

struct synth_tar {
	struct archive *archive;
	struct archive_entry *entry;
	struct pl_outfile file;
	struct pl_err failure;   /* of the file; libarchive only knows that it failed */
};

static la_ssize_t put(struct archive *a, void *ctx, const void *data, size_t len)
{
	struct synth_tar *t = ctx;

	if (pl_outfile_write(&t->file, data, len, &t->failure) == PL_OK)
		return (la_ssize_t)len;
	archive_set_error(a, EIO, "cannot write");
	return -1;
}

static enum pl_status failed(struct synth_tar *t, struct pl_err *err)
{
	if (t->failure.status != PL_OK) {
		*err = t->failure;
		return err->status;
	}
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, t->file.path, "cannot write the tar: %s", archive_error_string(t->archive));
}

enum pl_status synth_tar_open(struct synth_tar **out, const char *path, struct pl_err *err)
{
	struct synth_tar *t = calloc(1, sizeof(*t));
	enum pl_status st;

	*out = NULL;
	if (t == NULL)
		return pl_fail_nomem(err);
	t->archive = archive_write_new();
	t->entry = archive_entry_new();
	st = t->archive == NULL || t->entry == NULL ? pl_fail_nomem(err) : pl_outfile_open(&t->file, path, err);
	if (st != PL_OK) {
		synth_tar_abort(t);
		return st;
	}
	if (archive_write_set_format_pax_restricted(t->archive) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(t->archive, TAR_BLOCK) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(t->archive, TAR_LAST_BLOCK) != ARCHIVE_OK ||
	    archive_write_open(t->archive, t, NULL, put, NULL) != ARCHIVE_OK) {
		st = failed(t, err);
		synth_tar_abort(t);
		return st;
	}
	*out = t;
	return PL_OK;
}

static void describe(struct synth_tar *t, const char *name, unsigned type, size_t len)
{
	struct archive_entry *e = archive_entry_clear(t->entry);

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, type == AE_IFDIR ? 0755 : 0444);
	archive_entry_set_size(e, (la_int64_t)len);
	archive_entry_set_mtime(e, TAR_TIME, 0);
	archive_entry_set_uname(e, "bigdata");
	archive_entry_set_gname(e, "bigdata");
}

enum pl_status synth_tar_add(struct synth_tar *t, const char *name, const void *data, size_t len, struct pl_err *err)
{
	describe(t, name, AE_IFREG, len);
	if (archive_write_header(t->archive, t->entry) != ARCHIVE_OK)
		return failed(t, err);
	if (len > 0 && archive_write_data(t->archive, data, len) != (la_ssize_t)len)
		return failed(t, err);
	return PL_OK;
}

enum pl_status synth_tar_add_odd(struct synth_tar *t, enum synth_odd what, const char *name, const char *target, struct pl_err *err)
{
	static const unsigned types[] = {
		[SYNTH_DIRECTORY] = AE_IFDIR, [SYNTH_HARD_LINK] = AE_IFREG, [SYNTH_SYMLINK] = AE_IFLNK, [SYNTH_FIFO] = AE_IFIFO
	};

	describe(t, name, types[what], 0);
	if (what == SYNTH_HARD_LINK)
		archive_entry_set_hardlink(t->entry, target);
	else if (what == SYNTH_SYMLINK)
		archive_entry_set_symlink(t->entry, target);
	return archive_write_header(t->archive, t->entry) == ARCHIVE_OK ? PL_OK : failed(t, err);
}

enum pl_status synth_tar_commit(struct synth_tar *t, uint64_t *bytes, struct pl_err *err)
{
	enum pl_status st = archive_write_close(t->archive) == ARCHIVE_OK ? PL_OK : failed(t, err);
	uint64_t size = t->file.bytes;

	if (st == PL_OK)
		st = pl_outfile_commit(&t->file, err);
	if (st == PL_OK)
		*bytes += size;
	synth_tar_abort(t);
	return st;
}

void synth_tar_abort(struct synth_tar *t)
{
	if (t == NULL)
		return;
	archive_entry_free(t->entry);
	if (t->archive != NULL) {
		/* Nothing more shall be written by the closing that free does. */
		(void)archive_write_fail(t->archive);
		(void)archive_write_free(t->archive);
	}
	pl_outfile_abort(&t->file);
	free(t);
}
