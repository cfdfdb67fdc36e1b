/* SPDX-License-Identifier: Apache-2.0 */
/* Whole-or-absent output files and the few read helpers everyone needs. A
 * write that fails is a job-level error: the next one would fail, too. */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TMP_PREFIX ".tmp-"
#define READ_CHUNK ((size_t)64 << 10)

char *pl_path_join(const char *dir, const char *name)
{
	size_t dlen = strlen(dir), nlen = strlen(name), size;
	char *path;

	size = dlen + nlen + 2;
	path = malloc(size);
	if (path == NULL)
		return NULL;
	snprintf(path, size, "%s%s%s", dir, dlen > 0 && dir[dlen - 1] != '/' ? "/" : "", name);
	return path;
}

/* The directory a path lies in, malloc'ed: "." when it has no slash. */
static char *dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return strdup(".");
	if (slash == path)
		return strdup("/");
	return strndup(path, (size_t)(slash - path));
}

/* malloc'ed DIR/.tmp-<name>-<pid>. */
static char *tmp_path(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
	size_t dir_len = (size_t)(name - path), size = strlen(path) + 32;
	char *tmp = malloc(size);

	if (tmp == NULL)
		return NULL;
	memcpy(tmp, path, dir_len);
	snprintf(tmp + dir_len, size - dir_len, TMP_PREFIX "%s-%ld", name, (long)getpid());
	return tmp;
}

/* rename(2) would happily replace a device or a pipe, given the rights. */
static enum pl_status refuse_special(const char *path, struct pl_err *err)
{
	const char *slash = strrchr(path, '/');
	struct stat sb;

	if (path[0] == '\0' || (slash != NULL && slash[1] == '\0'))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, path, "not the name of a file");
	if (stat(path, &sb) == 0 && !S_ISREG(sb.st_mode))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, path,
		    "exists and is not a regular file: an output is put in place by renaming");
	return PL_OK;
}

static int create_exclusive(const char *tmp)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	int fd = open(tmp, flags, 0666);

	/* Left by a killed run whose process number came round again. */
	if (fd < 0 && errno == EEXIST && unlink(tmp) == 0)
		fd = open(tmp, flags, 0666);
	return fd;
}

enum pl_status pl_outfile_open(struct pl_outfile *f, const char *path, struct pl_err *err)
{
	enum pl_status st;
	char *dir = NULL;

	f->fd = -1;
	f->path = NULL;
	f->tmp = NULL;
	f->bytes = 0;
	st = refuse_special(path, err);
	if (st != PL_OK)
		return st;
	f->path = strdup(path);
	f->tmp = tmp_path(path);
	if (f->path == NULL || f->tmp == NULL) {
		(void)pl_fail_nomem(err);
		st = PL_ERR_NOMEM;
		goto fail;
	}
	f->fd = create_exclusive(f->tmp);
	if (f->fd >= 0)
		return PL_OK;
	/* The user can do something about the directory, not about the temporary name. */
	dir = dir_of(path);
	st = pl_fail_errno(err, PL_SEV_JOB, dir, "cannot create a file in this directory");
	if (st == PL_ERR_NOTFOUND) {
		st = PL_ERR_IO;
		if (err != NULL)
			err->status = st;
	}
	free(dir);
fail:
	free(f->path);
	free(f->tmp);
	f->path = NULL;
	f->tmp = NULL;
	return st;
}

/* offset < 0: append at the file position. */
static enum pl_status write_all(const struct pl_outfile *f, const void *data, size_t len,
    off_t offset, struct pl_err *err)
{
	const char *p = data;
	ssize_t n;

	while (len > 0) {
		n = offset < 0 ? write(f->fd, p, len) : pwrite(f->fd, p, len, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0) {
			errno = ENOSPC;
			n = -1;
		}
		if (n < 0)
			return pl_fail_errno(err, PL_SEV_JOB, f->path, "cannot write");
		p += n;
		len -= (size_t)n;
		if (offset >= 0)
			offset += n;
	}
	return PL_OK;
}

enum pl_status pl_outfile_write(
    struct pl_outfile *f, const void *data, size_t len, struct pl_err *err)
{
	enum pl_status st = write_all(f, data, len, -1, err);

	if (st == PL_OK)
		f->bytes += len;
	return st;
}

enum pl_status pl_outfile_pwrite(
    struct pl_outfile *f, const void *data, size_t len, uint64_t offset, struct pl_err *err)
{
	enum pl_status st;

	if (offset > (uint64_t)INT64_MAX || len > (uint64_t)INT64_MAX - offset)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, f->path, "file offset too large");
	st = write_all(f, data, len, (off_t)offset, err);
	if (st == PL_OK && offset + len > f->bytes)
		f->bytes = offset + len;
	return st;
}

/* Some file systems do not know fsync for every kind of file; that is no loss of data. */
static int sync_fd(int fd)
{
	int rc;

	do
		rc = fsync(fd);
	while (rc != 0 && errno == EINTR);
	return rc == 0 || errno == EINVAL || errno == ENOTSUP ? 0 : -1;
}

static int sync_dir_of(const char *path)
{
	char *dir = dir_of(path);
	int fd, rc, code;

	if (dir == NULL) {
		errno = ENOMEM;
		return -1;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (fd < 0)
		return errno == EACCES ? 0 : -1;   /* a directory one may write to but not read */
	rc = sync_fd(fd);
	code = errno;
	close(fd);
	errno = code;
	return rc;
}

/* To disk, and closed. */
static enum pl_status finish(struct pl_outfile *f, struct pl_err *err)
{
	int rc;

	if (sync_fd(f->fd) != 0)
		return pl_fail_errno(err, PL_SEV_JOB, f->path, "cannot write to disk");
	rc = close(f->fd);
	f->fd = -1;
	if (rc != 0 && errno != EINTR)
		return pl_fail_errno(err, PL_SEV_JOB, f->path, "cannot close");
	return PL_OK;
}

static enum pl_status put_in_place(struct pl_outfile *f, struct pl_err *err)
{
	if (rename(f->tmp, f->path) != 0)
		return pl_fail_errno(
		    err, PL_SEV_JOB, f->path, "cannot rename the finished file into place");
	/* The temporary name is gone: abort must not touch whoever takes it next. */
	free(f->tmp);
	f->tmp = NULL;
	return PL_OK;
}

static enum pl_status commit(
    struct pl_outfile *const *files, size_t n, bool sync_dir, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	size_t i, placed = 0;

	/* All on their way before one is waited for: they share what a file system does for a sync. */
	for (i = 0; i < n && n > 1; i++)
		(void)sync_file_range(files[i]->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	for (i = 0; i < n && st == PL_OK; i++)
		st = finish(files[i], err);
	for (i = 0; i < n && st == PL_OK; i++) {
		sync_dir = sync_dir || access(files[i]->path, F_OK) == 0;
		st = put_in_place(files[i], err);
		placed += st == PL_OK;
	}
	if (st == PL_OK && n > 0 && sync_dir && sync_dir_of(files[0]->path) != 0)
		st = pl_fail_errno(
		    err, PL_SEV_JOB, files[0]->path, "cannot write its directory to disk");
	for (i = 0; i < placed && st != PL_OK; i++)
		unlink(files[i]->path);
	for (i = 0; i < n; i++)
		pl_outfile_abort(files[i]);
	return st;
}

enum pl_status pl_outfile_commit_all(struct pl_outfile *const *files, size_t n, struct pl_err *err)
{
	return commit(files, n, false, err);
}

enum pl_status pl_outfile_commit(struct pl_outfile *f, struct pl_err *err)
{
	return commit(&f, 1, true, err);
}

void pl_outfile_abort(struct pl_outfile *f)
{
	/* A zeroed struct has fd 0 and no names: standard input is not ours to close. */
	if (f->path != NULL && f->fd >= 0)
		close(f->fd);
	if (f->tmp != NULL)
		unlink(f->tmp);
	free(f->path);
	free(f->tmp);
	f->fd = -1;
	f->path = NULL;
	f->tmp = NULL;
}

static enum pl_status write_file(
    const char *path, const void *data, size_t len, bool durable, struct pl_err *err)
{
	struct pl_outfile f;
	enum pl_status st;

	st = pl_outfile_open(&f, path, err);
	if (st != PL_OK)
		return st;
	st = pl_outfile_write(&f, data, len, err);
	if (st == PL_OK && durable)
		return pl_outfile_commit(&f, err);
	if (st == PL_OK)
		st = put_in_place(&f, err);
	pl_outfile_abort(&f);
	return st;
}

enum pl_status pl_file_write(const char *path, const void *data, size_t len, struct pl_err *err)
{
	return write_file(path, data, len, true, err);
}

enum pl_status pl_file_write_soon(
    const char *path, const void *data, size_t len, struct pl_err *err)
{
	return write_file(path, data, len, false, err);
}

/* Read to the end of fd, at most max bytes. The size is not asked for first:
 * files in /proc and pipes have none. */
static enum pl_status read_rest(int fd, const char *path, size_t max, char **data, size_t *len,
    struct pl_err *err)
{
	enum pl_status st = PL_OK;
	size_t cap = 0, used = 0, got, room;
	char *buf = NULL, *bigger;

	for (;;) {
		if (used == cap) {
			cap = cap == 0 ? READ_CHUNK : cap * 2;
			if (cap > max)
				cap = max + 1;   /* one byte more shows that the file is too long */
			bigger = realloc(buf, cap + 1);
			if (bigger == NULL) {
				st = pl_fail_nomem(err);
				break;
			}
			buf = bigger;
		}
		room = cap - used;
		st = pl_read_full(fd, buf + used, room, &got, path, err);
		if (st != PL_OK)
			break;
		used += got;
		if (used > max) {
			st = pl_fail(err, PL_ERR_LIMIT, PL_SEV_SHARD, path,
			    "longer than %zu bytes, the most such a file may have", max);
			break;
		}
		if (got < room) {
			buf[used] = '\0';
			*data = buf;
			if (len != NULL)
				*len = used;
			return PL_OK;
		}
	}
	free(buf);
	return st;
}

enum pl_status pl_file_read(
    const char *path, size_t max, char **data, size_t *len, struct pl_err *err)
{
	enum pl_status st;
	int fd;

	if (max > SIZE_MAX / 4)
		max = SIZE_MAX / 4;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return pl_fail_errno(err, PL_SEV_SHARD, path, "cannot open");
	st = read_rest(fd, path, max, data, len, err);
	close(fd);
	return st;
}

enum pl_status pl_mkdirs(const char *path, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	struct stat sb;
	char *copy, *p;

	if (path[0] == '\0')
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, path, "empty name of a directory");
	copy = strdup(path);
	if (copy == NULL)
		return pl_fail_nomem(err);
	for (p = copy + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, 0777) != 0) {
			int code = errno;

			/* EROFS, EACCES and the like may hide an existing directory on the way. */
			if (stat(copy, &sb) != 0 || !S_ISDIR(sb.st_mode)) {
				errno = code == EEXIST ? ENOTDIR : code;
				st = pl_fail_errno(
				    err, PL_SEV_JOB, copy, "cannot make this directory");
				break;
			}
		}
		*p = c;
		if (c == '\0')
			break;
	}
	free(copy);
	return st;
}

/* .tmp-<name>-<digits>, as tmp_path makes them and nothing else. */
static bool is_temporary(const char *name)
{
	const char *dash;

	if (strncmp(name, TMP_PREFIX, sizeof(TMP_PREFIX) - 1) != 0)
		return false;
	dash = strrchr(name + sizeof(TMP_PREFIX) - 1, '-');
	return dash != NULL && dash[1] != '\0' && dash[1 + strspn(dash + 1, "0123456789")] == '\0';
}

static enum pl_status remove_temporaries_in(const char *dir, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	struct dirent *e;
	struct stat sb;
	DIR *d = opendir(dir);

	if (d == NULL) {
		if (errno == ENOENT)
			return PL_OK;
		return pl_fail_errno(err, PL_SEV_JOB, dir, "cannot list this directory");
	}
	for (;;) {
		errno = 0;
		e = readdir(d);
		if (e == NULL) {
			if (errno != 0)
				st = pl_fail_errno(
				    err, PL_SEV_JOB, dir, "cannot list this directory");
			break;
		}
		if (!is_temporary(e->d_name))
			continue;
		if (fstatat(dirfd(d), e->d_name, &sb, AT_SYMLINK_NOFOLLOW) != 0 ||
		    !S_ISREG(sb.st_mode))
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) != 0 && errno != ENOENT) {
			st = pl_fail_errno(err, PL_SEV_JOB, dir,
			    "cannot remove '%s', left by a killed run", e->d_name);
			break;
		}
	}
	closedir(d);
	return st;
}

enum pl_status pl_remove_temporaries(const char *dir, struct pl_err *err)
{
	enum pl_status st = remove_temporaries_in(dir, err);
	char *records;

	if (st != PL_OK)
		return st;
	records = pl_path_join(dir, ".plait");
	if (records == NULL)
		return pl_fail_nomem(err);
	st = remove_temporaries_in(records, err);
	free(records);
	return st;
}

enum pl_status pl_read_full(int fd, void *dst, size_t len, size_t *got, const char *path,
    struct pl_err *err)
{
	char *p = dst;
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = read(fd, p + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pl_fail_errno(err, PL_SEV_SHARD, path, "cannot read");
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*got = done;
	return PL_OK;
}

enum pl_status pl_pread_full(int fd, void *dst, size_t len, uint64_t offset, size_t *got,
    const char *path, struct pl_err *err)
{
	char *p = dst;
	size_t done = 0;
	enum pl_status st;
	ssize_t n;

	if (offset > (uint64_t)INT64_MAX || len > (uint64_t)INT64_MAX - offset)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "file offset too large");
	while (done < len) {
		n = pread(fd, p + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			st = pl_fail_errno(err, PL_SEV_SHARD, path, "cannot read");
			pl_err_at_offset(err, offset + done);
			return st;
		}
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*got = done;
	return PL_OK;
}
