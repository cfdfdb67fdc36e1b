/* SPDX-License-Identifier: Apache-2.0 */
/* The sources of a shard_reader: a stream, bytes in memory, or a plain tar
 * whose member data is skipped by seeking. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes_impl.h"
#include "libpipe/base/file.h"
#include "section.h"
#include "stream.h"
#include "tar_impl.h"

#define SKIP_BLOCK ((size_t)64 << 10)
/* A walk wants a header at a time. */
#define WALK_BLOCK ((size_t)4 << 10)
#define NAMES_MAX ((size_t)256 << 20)

static la_ssize_t source_failed(struct shard_reader *r, struct archive *a)
{
	r->source_failed = true;
	archive_set_error(a, EIO, "cannot read");
	return ARCHIVE_FATAL;
}

static la_ssize_t on_read(struct archive *a, void *ctx, const void **data)
{
	struct shard_reader *r = ctx;
	size_t len = 0;
	if (r->stream) {
		if (shard_stream_block(r->stream, data, &len, &r->source_err) != PL_OK)
			return source_failed(r, a);
	} else if (r->fd >= 0) {
		uint64_t left = r->fd_offset < r->fd_size ? r->fd_size - r->fd_offset : 0;
		size_t want = left < SKIP_BLOCK ? (size_t)left : SKIP_BLOCK;
		if (pl_pread_full(r->fd, r->block, want, r->fd_offset, &len, r->path, &r->source_err) != PL_OK)
			return source_failed(r, a);
		r->fd_offset += len;
		r->fd_bytes += len;
		*data = r->block;
	} else if (r->bytes) {
		uint64_t left = r->section_end - r->section_at;
		len = r->index_only ? WALK_BLOCK : SKIP_BLOCK;
		len = left < len ? (size_t)left : len;
		if (shard_bytes_read(r->bytes, r->section_at, r->block, len, &r->source_err) != PL_OK)
			return source_failed(r, a);
		r->section_at += len;
		*data = r->block;
	} else {
		*data = r->memory;
		len = r->memory_len;
		r->memory_len = 0;
	}
	return (la_ssize_t)len;
}

static la_int64_t on_skip(struct archive *a, void *ctx, la_int64_t request)
{
	struct shard_reader *r = ctx;
	(void)a;
	if (request <= 0)
		return 0;
	if (r->bytes) {
		uint64_t rest = r->section_end - r->section_at, skip = (uint64_t)request < rest ? (uint64_t)request : rest;
		r->section_at += skip;
		return (la_int64_t)skip;
	}
	if (r->fd < 0)
		return 0;
	uint64_t left = r->fd_offset < r->fd_size ? r->fd_size - r->fd_offset : 0;
	uint64_t n = (uint64_t)request < left ? (uint64_t)request : left;
	r->fd_offset += n;
	return (la_int64_t)n;
}

struct shard_reader *shard_reader_new(const char *path, const struct shard_read_limits *limits)
{
	struct shard_reader *r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->fd = -1;
	if (limits)
		r->limits = *limits;
	if (r->limits.max_member == 0)
		r->limits.max_member = (uint64_t)256 << 20;
	if (r->limits.max_sample == 0)
		r->limits.max_sample = (uint64_t)1 << 30;
	if (r->limits.max_sample > SIZE_MAX / 4)
		r->limits.max_sample = SIZE_MAX / 4;
	if (r->limits.max_parts == 0)
		r->limits.max_parts = 100000;
	pl_buf_init(&r->names, NAMES_MAX);
	pl_buf_init(&r->data, (size_t)r->limits.max_sample + 1);
	r->path = strdup(strcmp(path, "-") == 0 ? "standard input" : path);
	r->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (!r->path || !r->c_locale) {
		shard_reader_close(r);
		return NULL;
	}
	return r;
}

enum pl_status shard_reader_start(struct shard_reader *r, struct pl_err *err)
{
	struct archive *a = archive_read_new();
	if (!a)
		return pl_fail_nomem(err);
	r->archive = a;
	int rc = archive_read_support_format_tar(a);
	if (rc == ARCHIVE_OK)
		rc = archive_read_set_callback_data(a, r);
	if (rc == ARCHIVE_OK)
		rc = archive_read_set_read_callback(a, on_read);
	if (rc == ARCHIVE_OK)
		rc = archive_read_set_skip_callback(a, on_skip);
	if (rc == ARCHIVE_OK)
		rc = archive_read_open1(a);
	if (rc == ARCHIVE_OK)
		return PL_OK;
	if (r->source_failed) {
		if (err)
			*err = r->source_err;
		return r->source_err.status;
	}
	const char *text = archive_error_string(a);
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, r->path, "cannot be read as tar: %s",
	    text ? text : "no details");
}

static enum pl_status start_or_close(struct shard_reader **out, struct shard_reader *r, struct pl_err *err)
{
	enum pl_status status = shard_reader_start(r, err);
	if (status == PL_OK)
		*out = r;
	else
		shard_reader_close(r);
	return status;
}

enum pl_status shard_reader_open(struct shard_reader **out, const char *path,
    const struct shard_read_limits *limits, struct pl_err *err)
{
	*out = NULL;
	struct shard_reader *r = shard_reader_new(path, limits);
	if (!r)
		return pl_fail_nomem(err);
	enum pl_status status = shard_stream_open(&r->stream, path, err);
	if (status != PL_OK) {
		shard_reader_close(r);
		return status;
	}
	r->closes = true;
	return start_or_close(out, r, err);
}

static enum pl_status open_memory(struct shard_reader **out, const char *path, const void *data, size_t len,
    const struct shard_read_limits *limits, bool index_only, struct pl_err *err)
{
	*out = NULL;
	struct shard_reader *r = shard_reader_new(path, limits);
	if (!r)
		return pl_fail_nomem(err);
	r->memory = data;
	r->memory_len = len;
	r->index_only = index_only;
	return start_or_close(out, r, err);
}

enum pl_status shard_reader_open_memory(struct shard_reader **out, const char *path, const void *data, size_t len,
    const struct shard_read_limits *limits, struct pl_err *err)
{
	return open_memory(out, path, data, len, limits, false, err);
}

enum pl_status shard_reader_open_memory_index(struct shard_reader **out, const char *path, const void *data,
    size_t len, struct pl_err *err)
{
	return open_memory(out, path, data, len, NULL, true, err);
}

enum pl_status shard_reader_open_index(struct shard_reader **out, const char *path, int fd, uint64_t size,
    struct pl_err *err)
{
	*out = NULL;
	struct shard_reader *r = shard_reader_new(path, NULL);
	if (!r)
		return pl_fail_nomem(err);
	enum pl_status status = PL_OK;
	r->index_only = r->closes = true;
	if (fd < 0) {
		status = shard_stream_open(&r->stream, path, err);
	} else {
		r->fd = fd;
		r->fd_size = size;
		r->block = malloc(SKIP_BLOCK);
		if (!r->block)
			status = pl_fail_nomem(err);
	}
	if (status != PL_OK) {
		shard_reader_close(r);
		return status;
	}
	return start_or_close(out, r, err);
}

/* index_only and limits are set already. */
static enum pl_status begin_section(struct shard_reader **out, struct shard_reader *r, const char *path, uint64_t from,
    uint64_t to, struct pl_err *err)
{
	enum pl_status status = shard_bytes_open_random(&r->bytes, path, err);
	uint64_t size = status == PL_OK ? shard_bytes_size(r->bytes) : 0;
	r->base = r->section_at = from;
	r->section_end = to < size ? to : size;
	r->closes = r->section_end == size;
	if (status == PL_OK && from > r->section_end)
		status = pl_fail(err, PL_ERR_TRUNCATED, PL_SEV_SHARD, path, "ends before byte %llu", (unsigned long long)from);
	if (status == PL_OK && !(r->block = malloc(SKIP_BLOCK)))
		status = pl_fail_nomem(err);
	if (status == PL_OK)
		return start_or_close(out, r, err);
	shard_reader_close(r);
	return status;
}

enum pl_status shard_section_walk(struct shard_reader **out, const char *path, struct pl_err *err)
{
	*out = NULL;
	struct shard_reader *r = shard_reader_new(path, NULL);
	if (!r)
		return pl_fail_nomem(err);
	r->index_only = true;
	return begin_section(out, r, path, 0, UINT64_MAX, err);
}

enum pl_status shard_section_open(struct shard_reader **out, const char *path, uint64_t from, uint64_t to,
    const struct shard_read_limits *limits, struct pl_err *err)
{
	*out = NULL;
	struct shard_reader *r = shard_reader_new(path, limits);
	return r ? begin_section(out, r, path, from, to, err) : pl_fail_nomem(err);
}

void shard_reader_digest(const struct shard_reader *r, uint64_t hash[2], uint64_t *bytes)
{
	hash[0] = hash[1] = *bytes = 0;
	if (r->stream)
		shard_stream_digest(r->stream, hash, bytes);
}

const struct shard_skipped *shard_reader_skipped(const struct shard_reader *r)
{
	return &r->skipped;
}

void shard_reader_close(struct shard_reader *r)
{
	if (!r)
		return;
	if (r->archive)
		(void)archive_read_free(r->archive);
	shard_stream_close(r->stream);
	shard_bytes_close(r->bytes);
	if (r->c_locale)
		freelocale(r->c_locale);
	pl_buf_release(&r->names);
	pl_buf_release(&r->data);
	free(r->at);
	free(r->parts);
	free(r->slots);
	free(r->block);
	free(r->path);
	free(r);
}
