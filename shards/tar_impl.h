/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of shard_reader: where its bytes come from (tar_open.c) and how
 * members become samples (tar_read.c). */
#ifndef SHARD_TAR_IMPL_H
#define SHARD_TAR_IMPL_H

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include "libpipe/base/buf.h"
#include "tar_read.h"

struct shard_bytes;
struct shard_stream;

/* A part under way: offsets into the reader's buffers, which still move. */
struct shard_part_at {
	size_t name, suffix, data, len;
	uint64_t offset;
	bool too_large, truncated, sparse;
};

struct shard_reader {
	struct archive *archive;
	locale_t c_locale;            /* libarchive's name conversion must not depend on the caller's */
	char *path;                   /* for messages */
	struct shard_read_limits limits;
	bool index_only;              /* member data is passed over */

	struct shard_stream *stream;  /* a file, or */
	const uint8_t *memory;        /* bytes of the caller, or */
	size_t memory_len;
	int fd;                       /* a plain tar whose data is skipped by seeking; not owned; -1 otherwise */
	uint8_t *block;               /* of fd and bytes */
	uint64_t fd_offset, fd_size, fd_bytes;   /* fd_bytes: read from disk */
	struct shard_bytes *bytes;    /* owned: a section from byte base up to section_end, read up to section_at */
	uint64_t base, section_at, section_end;
	bool closes;                  /* the source must end with end-of-archive blocks */
	bool source_failed;           /* source_err tells; libarchive only knows that it failed */
	struct pl_err source_err;

	enum { SHARD_READER_RUNS, SHARD_READER_ENDED, SHARD_READER_FAILED } state;
	struct pl_err failure;        /* when FAILED; delivered behind the samples */
	struct archive_entry *pending;   /* header read, not yet part of a sample; NULL = none */
	uint64_t pending_offset;
	uint64_t end_offset;          /* behind the last member passed */
	uint64_t index;
	struct shard_skipped skipped;

	struct pl_buf names, data;    /* of the sample under way */
	struct shard_part_at *at;
	struct shard_part *parts;
	size_t nparts, parts_cap;
	uint32_t *slots;              /* open-addressing set of the suffixes; 0 = free, else part + 1 */
	size_t nslots;
};

/* A reader without a source; NULL = no memory. */
struct shard_reader *shard_reader_new(const char *path, const struct shard_read_limits *limits);
/* Start libarchive on the source that is set. */
PL_MUST_CHECK enum pl_status shard_reader_start(struct shard_reader *r, struct pl_err *err);

/* Only keys, offsets and lengths: data stays NULL. For a plain tar (fd >= 0, from byte 0 to size) the data is skipped
 * by seeking, and no digest is made; for fd < 0 path is read as by shard_reader_open. */
PL_MUST_CHECK enum pl_status shard_reader_open_index(struct shard_reader **r, const char *path, int fd, uint64_t size,
    struct pl_err *err);
/* As shard_reader_open_memory, data stays NULL. */
PL_MUST_CHECK enum pl_status shard_reader_open_memory_index(struct shard_reader **r, const char *path, const void *data,
    size_t len, struct pl_err *err);

#endif
