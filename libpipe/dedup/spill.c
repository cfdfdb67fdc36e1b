/* SPDX-License-Identifier: Apache-2.0 */
/* Memory first, then a file without a name. */
#include "spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libpipe/base/file.h"

void pl_spill_init(struct pl_spill *s, uint64_t ceiling, const char *dir)
{
	*s = (struct pl_spill){.ceiling = ceiling, .dir = dir, .fd = -1};
	pl_buf_init(&s->memory, (size_t)1 << 46);
}

/* File systems without O_TMPFILE get a name for an instant. */
static enum pl_status open_file(struct pl_spill *s, struct pl_err *err)
{
	char *path;

	s->fd = open(s->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s->fd >= 0)
		return PL_OK;
	path = pl_path_join(s->dir, ".plait-scratch-XXXXXX");
	if (!path)
		return pl_fail_nomem(err);
	s->fd = mkostemp(path, O_CLOEXEC);
	if (s->fd >= 0)
		(void)unlink(path);
	free(path);
	return s->fd >= 0 ? PL_OK : pl_fail_errno(err, PL_SEV_JOB, s->dir, "cannot make a scratch file");
}

static enum pl_status write_out(struct pl_spill *s, struct pl_err *err)
{
	size_t at = 0;

	if (s->fd < 0) {
		enum pl_status st = open_file(s, err);
		if (st != PL_OK)
			return st;
	}
	while (at < s->memory.len) {
		ssize_t n = pwrite(s->fd, s->memory.data + at, s->memory.len - at, (off_t)(s->filed + at));
		if (n < 0 && errno != EINTR)
			return pl_fail_errno(err, PL_SEV_JOB, s->dir, "cannot write %llu bytes of scratch",
			    (unsigned long long)(s->filed + s->memory.len));
		at += n > 0 ? (size_t)n : 0;
	}
	s->filed += s->memory.len;
	pl_buf_clear(&s->memory);
	return PL_OK;
}

enum pl_status pl_spill_add(struct pl_spill *s, const void *data, size_t len, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (s->memory.len > 0 && s->memory.len + len > s->ceiling) {
		if (!s->dir)
			return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
			    "the pairs found take more than the %llu MiB that a rank has for them: give more --memory, a --scratch directory, or a "
			    "smaller distance",
			    (unsigned long long)(s->ceiling >> 20));
		st = write_out(s, err);
	}
	return st == PL_OK && len > 0 ? pl_buf_add(&s->memory, data, len, err) : st;
}

enum pl_status pl_spill_seal(struct pl_spill *s, struct pl_err *err)
{
	enum pl_status st;
	void *map;

	s->data = s->memory.data;
	s->len = s->memory.len;
	if (s->fd < 0)
		return PL_OK;
	if ((st = write_out(s, err)) != PL_OK)
		return st;
	pl_buf_release(&s->memory);
	map = mmap(NULL, (size_t)s->filed, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (map == MAP_FAILED) {
		s->data = NULL;
		return pl_fail_errno(err, PL_SEV_JOB, s->dir, "cannot map a scratch file of %llu bytes", (unsigned long long)s->filed);
	}
	s->data = map;
	s->len = s->filed;
	return PL_OK;
}

void pl_spill_rest(const struct pl_spill *s)
{
	if (s->fd >= 0 && s->filed > 0 && s->data && s->data != s->memory.data)
		(void)madvise(s->data, (size_t)s->filed, MADV_DONTNEED);   /* of a shared mapping: what was written stays in the file */
}

void pl_spill_release(struct pl_spill *s)
{
	if (s->fd >= 0 && s->filed > 0 && s->data && s->data != s->memory.data)
		munmap(s->data, (size_t)s->filed);
	if (s->fd >= 0)
		close(s->fd);
	pl_buf_release(&s->memory);
	pl_spill_init(s, s->ceiling, s->dir);
}
