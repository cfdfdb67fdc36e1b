/* SPDX-License-Identifier: Apache-2.0 */
/* Sequential reading of any file: libarchive finds and undoes the compression,
 * the raw bytes are hashed on their way in. */
#include "stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libpipe/base/hash.h"

#define RAW_CHUNK ((size_t)1 << 20)
/* Uncompressed bytes looked at behind the end of an archive. */
#define DRAIN_MAX ((uint64_t)1 << 30)

struct shard_stream {
	struct archive *archive;
	struct pl_hasher *hasher;
	uint8_t *chunk;
	char *path;
	int fd;
	bool ended;            /* of the uncompressed stream */
	bool drained;          /* the raw file was read to its end */
	bool failed;
	bool raw_failed;       /* raw_err tells */
	struct pl_err raw_err;
	uint64_t raw_bytes;
	uint64_t out_bytes;    /* uncompressed bytes handed out */
	const uint8_t *rest;   /* for shard_stream_read: what is left of the last block */
	size_t rest_len;
};

static ssize_t raw_read(struct shard_stream *s, struct pl_err *err)
{
	ssize_t n;
	do
		n = read(s->fd, s->chunk, RAW_CHUNK);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		(void)pl_fail_errno(err, PL_SEV_SHARD, s->path, "cannot read");
		return -1;
	}
	pl_hasher_add(s->hasher, s->chunk, (size_t)n);
	s->raw_bytes += (uint64_t)n;
	return n;
}

static la_ssize_t on_read(struct archive *a, void *ctx, const void **data)
{
	struct shard_stream *s = ctx;
	ssize_t n = raw_read(s, &s->raw_err);
	if (n < 0) {
		s->raw_failed = true;
		archive_set_error(a, s->raw_err.sys_errno, "cannot read");
		return ARCHIVE_FATAL;
	}
	*data = s->chunk;
	return n;
}

/* libarchive reports a cut file and a damaged one alike; its words tell them apart. */
static enum pl_status archive_failed(struct shard_stream *s, struct pl_err *err)
{
	s->failed = true;
	if (s->raw_failed) {
		if (err)
			*err = s->raw_err;
		return s->raw_err.status;
	}
	const char *text = archive_error_string(s->archive);
	if (archive_errno(s->archive) == ENOMEM)
		return pl_fail_nomem(err);
	bool cut = text && (strstr(text, "runcated") || strstr(text, "No progress is possible"));
	enum pl_status status = cut ? PL_ERR_TRUNCATED : PL_ERR_INVALID;
	(void)pl_fail(err, status, PL_SEV_SHARD, s->path, "%s at uncompressed byte %llu: %s",
	    cut ? "the compressed data ends too early" : "the compressed data is damaged",
	    (unsigned long long)s->out_bytes, text ? text : "no details");
	if (err)
		pl_err_at_offset(err, s->raw_bytes);
	return status;
}

static enum pl_status open_archive(struct shard_stream *s, struct pl_err *err)
{
	s->archive = archive_read_new();
	if (!s->archive)
		return pl_fail_nomem(err);
	struct archive *a = s->archive;
	/* ARCHIVE_WARN would mean an external program: not for foreign bytes. */
	if (archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
	    archive_read_support_filter_bzip2(a) != ARCHIVE_OK ||
	    archive_read_support_filter_xz(a) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
	    archive_read_support_format_raw(a) != ARCHIVE_OK ||
	    archive_read_support_format_empty(a) != ARCHIVE_OK)
		return pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_JOB, NULL,
		    "this libarchive lacks gzip, bzip2, xz or zstd");
	if (archive_read_open(a, s, NULL, on_read, NULL) != ARCHIVE_OK)
		return archive_failed(s, err);
	struct archive_entry *entry;
	int rc = archive_read_next_header(a, &entry);
	if (rc == ARCHIVE_EOF)
		s->ended = true;
	else if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
		return archive_failed(s, err);
	return PL_OK;
}

enum pl_status shard_stream_open(struct shard_stream **out, const char *path, struct pl_err *err)
{
	*out = NULL;
	struct shard_stream *s = calloc(1, sizeof *s);
	if (!s)
		return pl_fail_nomem(err);
	enum pl_status status;
	bool standard_input = strcmp(path, "-") == 0;
	s->fd = -1;
	s->path = strdup(standard_input ? "standard input" : path);
	s->chunk = malloc(RAW_CHUNK);
	s->hasher = pl_hasher_new();
	if (!s->path || !s->chunk || !s->hasher) {
		status = pl_fail_nomem(err);
		goto fail;
	}
	s->fd = standard_input ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0) {
		status = pl_fail_errno(err, PL_SEV_SHARD, s->path, "cannot open");
		goto fail;
	}
	(void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	status = open_archive(s, err);
	if (status != PL_OK)
		goto fail;
	*out = s;
	return PL_OK;
fail:
	shard_stream_close(s);
	return status;
}

bool shard_stream_compressed(const struct shard_stream *s)
{
	return archive_filter_count(s->archive) > 1;
}

uint64_t shard_stream_raw_bytes(const struct shard_stream *s)
{
	return s->raw_bytes;
}

enum pl_status shard_stream_block(struct shard_stream *s, const void **data, size_t *len, struct pl_err *err)
{
	*len = 0;
	if (s->failed)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, s->path, "reading goes on after an error");
	while (!s->ended && *len == 0) {
		la_int64_t offset;
		int rc = archive_read_data_block(s->archive, data, len, &offset);
		if (rc == ARCHIVE_EOF) {
			s->ended = true;
			*len = 0;
		} else if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
			return archive_failed(s, err);
		}
	}
	s->out_bytes += *len;
	return PL_OK;
}

enum pl_status shard_stream_read(struct shard_stream *s, void *dst, size_t len, size_t *got, struct pl_err *err)
{
	uint8_t *to = dst;
	*got = 0;
	while (*got < len) {
		if (s->rest_len == 0) {
			/* What was read before an error goes out first; the error comes back at the next call. */
			if (*got > 0)
				break;
			const void *block;
			enum pl_status status = shard_stream_block(s, &block, &s->rest_len, err);
			if (status != PL_OK)
				return status;
			if (s->rest_len == 0)
				return shard_stream_drain(s, err);
			s->rest = block;
		}
		size_t n = len - *got < s->rest_len ? len - *got : s->rest_len;
		memcpy(to + *got, s->rest, n);
		s->rest += n;
		s->rest_len -= n;
		*got += n;
	}
	return PL_OK;
}

enum pl_status shard_stream_drain(struct shard_stream *s, struct pl_err *err)
{
	uint64_t from = s->out_bytes;
	if (s->drained)
		return PL_OK;
	s->rest_len = 0;
	while (!s->ended && s->out_bytes - from < DRAIN_MAX) {
		const void *data;
		size_t len;
		enum pl_status status = shard_stream_block(s, &data, &len, err);
		if (status != PL_OK)
			return status;
	}
	for (;;) {
		ssize_t n = raw_read(s, err);
		if (n < 0)
			return err ? err->status : PL_ERR_IO;
		if (n == 0)
			break;
	}
	s->drained = true;
	return PL_OK;
}

void shard_stream_digest(const struct shard_stream *s, uint64_t hash[2], uint64_t *bytes)
{
	pl_hasher_digest(s->hasher, hash);
	*bytes = s->raw_bytes;
}

void shard_stream_close(struct shard_stream *s)
{
	if (!s)
		return;
	if (s->archive)
		(void)archive_read_free(s->archive);
	if (s->fd >= 0)
		(void)close(s->fd);
	pl_hasher_free(s->hasher);
	free(s->chunk);
	free(s->path);
	free(s);
}
