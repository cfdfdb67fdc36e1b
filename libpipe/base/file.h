/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are whole or not there: temporary name, fsync, rename; and the
 * content record by which a finished unit is recognised on a rerun. */
#ifndef PL_BASE_FILE_H
#define PL_BASE_FILE_H

#include <sys/types.h>
#include "err.h"

/* An output file under way: DIR/.tmp-<name>-<pid>, renamed at commit. */
struct pl_outfile {
	int fd;
	char *path;       /* final path, owned */
	char *tmp;        /* temporary path, owned */
	uint64_t bytes;   /* written so far */
};

/* Create the temporary file beside path. PL_ERR_IO names the directory. */
PL_MUST_CHECK enum pl_status pl_outfile_open(struct pl_outfile *f, const char *path, struct pl_err *err);
/* Write all (EINTR, short writes handled). Full disk: PL_ERR_IO at job severity. */
PL_MUST_CHECK enum pl_status pl_outfile_write(struct pl_outfile *f, const void *data, size_t len, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_outfile_pwrite(struct pl_outfile *f, const void *data, size_t len, uint64_t offset, struct pl_err *err);
/* fsync, close, rename, fsync the directory. On error nothing is left behind. */
PL_MUST_CHECK enum pl_status pl_outfile_commit(struct pl_outfile *f, struct pl_err *err);
/* n files of one directory, put in place in their order once all are on disk; on an error none of them is left. The directory is synced only
 * where a file was there before: a crash of the machine may take new files away again, whole, but never brings old ones back. */
PL_MUST_CHECK enum pl_status pl_outfile_commit_all(struct pl_outfile *const *files, size_t n, struct pl_err *err);
/* Close and unlink the temporary; harmless after commit or on a zeroed struct. */
void pl_outfile_abort(struct pl_outfile *f);

/* Whole small file, atomically. */
PL_MUST_CHECK enum pl_status pl_file_write(const char *path, const void *data, size_t len, struct pl_err *err);
/* The same without waiting for the disk: if the machine goes down, any of the old file, the new one or a damaged one may be found. */
PL_MUST_CHECK enum pl_status pl_file_write_soon(const char *path, const void *data, size_t len, struct pl_err *err);
/* Whole file into malloc'ed, NUL-terminated *data; PL_ERR_LIMIT past max bytes. */
PL_MUST_CHECK enum pl_status pl_file_read(const char *path, size_t max, char **data, size_t *len, struct pl_err *err);
/* mkdir -p. */
PL_MUST_CHECK enum pl_status pl_mkdirs(const char *path, struct pl_err *err);
/* Remove DIR/.tmp-* left by killed runs. */
PL_MUST_CHECK enum pl_status pl_remove_temporaries(const char *dir, struct pl_err *err);
/* malloc'ed "dir/name"; NULL = no memory. */
char *pl_path_join(const char *dir, const char *name);
/* read(2)/pread(2) until len bytes or end of file; *got < len only at the end. */
PL_MUST_CHECK enum pl_status pl_read_full(int fd, void *dst, size_t len, size_t *got, const char *path, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_pread_full(int fd, void *dst, size_t len, uint64_t offset, size_t *got, const char *path, struct pl_err *err);

/* Content records: DIR/.plait/UNIT.json holds the digest of what a unit was
 * made from (inputs and settings) and the outputs' names and sizes. */
struct pl_record {
	const char *dir;        /* output directory */
	const char *unit;       /* file name of the record, without ".json" */
	uint64_t digest[2];     /* XXH3-128 of the canonical text of inputs and settings */
};
/* *done = the record exists, its digest equals, and every output named in it is there with
 * its size. On done, *payload (malloc'ed JSON text the unit stored, or NULL) goes to the caller. */
PL_MUST_CHECK enum pl_status pl_record_check(const struct pl_record *r, bool *done, char **payload, struct pl_err *err);
/* Write the record after the outputs were committed. It does not wait for the disk: a record that a crash of the machine takes away costs
 * its unit made again, and no more. outputs: names relative to dir, n of them.
 * payload: JSON text kept with it (counts for the final account), may be NULL. */
PL_MUST_CHECK enum pl_status pl_record_write(const struct pl_record *r, const char *const *outputs, size_t n,
    const char *payload, struct pl_err *err);

/* Forget a record (no record is fine), durably: before what it describes is made again, so that a crash in the middle cannot leave a
 * record beside outputs of other settings. */
PL_MUST_CHECK enum pl_status pl_record_forget(const struct pl_record *r, struct pl_err *err);

#endif
