/* SPDX-License-Identifier: Apache-2.0 */
/* Random access to uncompressed bytes: one cached frame of a seekable file,
 * pread on everything else. */
#include "bytes_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "le.h"
#include "libpipe/base/file.h"
#include "stream.h"

/* What a file may unpack to in $TMPDIR: a small one 1 GiB, a large one 1000 times its size. */
#define SPOOL_FREE ((uint64_t)1 << 30)
#define SPOOL_RATIO 1000u
#define NO_FRAME UINT64_MAX

struct shard_bytes {
	enum shard_bytes_kind kind;
	char *path;
	int fd;
	uint64_t size;               /* uncompressed */
	uint64_t io;
	struct shard_seek_table table;
	ZSTD_DCtx *dctx;
	uint8_t *packed, *frame;     /* csize and dsize bytes of frame number cached */
	size_t packed_cap, frame_cap;
	uint64_t cached;
};

static int spool_file(struct pl_err *err)
{
	const char *dir = getenv("TMPDIR");
	char *name = pl_path_join(dir && *dir ? dir : "/tmp", "plait-XXXXXX");
	if (!name) {
		(void)pl_fail_nomem(err);
		return -1;
	}
	int fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		(void)pl_fail_errno(err, PL_SEV_JOB, name, "cannot make a temporary file (set TMPDIR)");
	else
		(void)unlink(name);
	free(name);
	return fd;
}

static enum pl_status spool_failed(struct pl_err *err)
{
	return pl_fail_errno(err, PL_SEV_JOB, NULL, "cannot write a temporary file (set TMPDIR)");
}

static enum pl_status spool_block(int fd, const uint8_t *p, size_t len, uint64_t offset, struct pl_err *err)
{
	/* Zeros become a hole: they are what most bombs unpack to. */
	if (len > 0 && p[0] == 0 && memcmp(p, p + 1, len - 1) == 0)
		return PL_OK;
	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return spool_failed(err);
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return PL_OK;
}

/* Unpack the rest of the stream into an unlinked temporary file, which takes fd's place. */
static enum pl_status spool(struct shard_bytes *b, struct shard_stream *in, struct pl_err *err)
{
	const void *data;
	size_t len;
	enum pl_status status;
	int fd = spool_file(err);
	if (fd < 0)
		return err ? err->status : PL_ERR_IO;
	do {
		status = shard_stream_block(in, &data, &len, err);
		b->io = shard_stream_raw_bytes(in);
		if (status == PL_OK && b->size + len > SPOOL_FREE + b->io * SPOOL_RATIO)
			status = pl_fail(err, PL_ERR_LIMIT, PL_SEV_SHARD, b->path,
			    "unpacks to more than 1000 times its size");
		if (status == PL_OK)
			status = spool_block(fd, data, len, b->size, err);
		if (status == PL_OK)
			b->size += len;
	} while (status == PL_OK && len > 0);
	/* A damaged file gives what lies before the damage, as reading it as a stream does. */
	if ((status == PL_ERR_TRUNCATED || status == PL_ERR_INVALID) && b->size > 0)
		status = PL_OK;
	if (status == PL_OK && ftruncate(fd, (off_t)b->size) != 0)
		status = spool_failed(err);
	if (status != PL_OK) {
		(void)close(fd);
		return status;
	}
	(void)close(b->fd);
	b->fd = fd;
	b->kind = SHARD_BYTES_SPOOLED;
	return PL_OK;
}

static enum pl_status find_kind(struct shard_bytes *b, bool random, struct pl_err *err)
{
	struct stat st;
	uint8_t head[4];
	size_t got;
	bool found = false;
	if (fstat(b->fd, &st) != 0)
		return pl_fail_errno(err, PL_SEV_SHARD, b->path, "cannot stat");
	if (!S_ISREG(st.st_mode))
		return pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_SHARD, b->path, "is not a regular file");
	uint64_t file_size = (uint64_t)st.st_size;
	enum pl_status status = pl_pread_full(b->fd, head, sizeof head, 0, &got, b->path, err);
	if (status != PL_OK)
		return status;
	b->io = got;
	uint32_t magic = got == 4 ? shard_le32(head) : 0;
	if (magic == SHARD_ZSTD_MAGIC || (magic & 0xFFFFFFF0u) == 0x184D2A50u) {
		status = shard_seek_table_read(&b->table, b->fd, file_size, b->path, &found, &b->io, err);
		if (status != PL_OK)
			return status;
	}
	if (found) {
		b->kind = SHARD_BYTES_SEEKABLE;
		b->size = b->table.dsize;
		b->dctx = ZSTD_createDCtx();
		if (!b->dctx || ZSTD_isError(ZSTD_DCtx_setParameter(b->dctx, ZSTD_d_windowLogMax, 27)))
			return pl_fail_nomem(err);
		return PL_OK;
	}
	struct shard_stream *in;
	status = shard_stream_open(&in, b->path, err);
	if (status != PL_OK)
		return status;
	if (shard_stream_compressed(in) && random) {
		status = pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_SHARD, b->path, "is compressed as a whole");
	} else if (shard_stream_compressed(in)) {
		status = spool(b, in, err);
	} else {
		b->kind = SHARD_BYTES_PLAIN;
		b->size = file_size;
	}
	shard_stream_close(in);
	return status;
}

static enum pl_status open_bytes(struct shard_bytes **out, const char *path, bool random, struct pl_err *err)
{
	struct pl_err own;
	if (!err)
		err = &own;
	*out = NULL;
	struct shard_bytes *b = calloc(1, sizeof *b);
	if (!b)
		return pl_fail_nomem(err);
	enum pl_status status;
	b->cached = NO_FRAME;
	b->fd = -1;
	b->path = strdup(path);
	if (!b->path) {
		status = pl_fail_nomem(err);
		goto fail;
	}
	b->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (b->fd < 0) {
		status = pl_fail_errno(err, PL_SEV_SHARD, path, "cannot open");
		goto fail;
	}
	status = find_kind(b, random, err);
	if (status != PL_OK)
		goto fail;
	*out = b;
	return PL_OK;
fail:
	shard_bytes_close(b);
	return status;
}

enum pl_status shard_bytes_open(struct shard_bytes **out, const char *path, struct pl_err *err)
{
	return open_bytes(out, path, false, err);
}

enum pl_status shard_bytes_open_random(struct shard_bytes **out, const char *path, struct pl_err *err)
{
	return open_bytes(out, path, true, err);
}

void shard_bytes_close(struct shard_bytes *b)
{
	if (!b)
		return;
	if (b->fd >= 0)
		(void)close(b->fd);
	(void)ZSTD_freeDCtx(b->dctx);
	shard_seek_table_release(&b->table);
	free(b->packed);
	free(b->frame);
	free(b->path);
	free(b);
}

uint64_t shard_bytes_size(const struct shard_bytes *b)
{
	return b->size;
}

uint64_t shard_bytes_io(const struct shard_bytes *b)
{
	return b->io;
}

enum shard_bytes_kind shard_bytes_kind(const struct shard_bytes *b)
{
	return b->kind;
}

const struct shard_seek_table *shard_bytes_table(const struct shard_bytes *b)
{
	return b->kind == SHARD_BYTES_SEEKABLE ? &b->table : NULL;
}

void shard_bytes_take_table(struct shard_bytes *b, struct shard_seek_table *t)
{
	*t = b->table;
	memset(&b->table, 0, sizeof b->table);
}

int shard_bytes_fd(const struct shard_bytes *b)
{
	return b->fd;
}

int64_t shard_bytes_frame(const struct shard_bytes *b, uint64_t offset)
{
	if (b->kind != SHARD_BYTES_SEEKABLE || offset >= b->size)
		return -1;
	/* The last frame that starts at or before offset and is not empty: empty ones share their successor's start. */
	uint64_t low = 0, high = b->table.n;
	while (high - low > 1) {
		uint64_t mid = low + (high - low) / 2;
		if (b->table.frames[mid].doffset <= offset)
			low = mid;
		else
			high = mid;
	}
	return (int64_t)low;
}

enum pl_status shard_bytes_raw(struct shard_bytes *b, uint64_t offset, void *dst, size_t len, struct pl_err *err)
{
	size_t got;
	enum pl_status status = pl_pread_full(b->fd, dst, len, offset, &got, b->path, err);
	if (status != PL_OK)
		return status;
	if (b->kind != SHARD_BYTES_SPOOLED)
		b->io += got;
	if (got == len)
		return PL_OK;
	status = pl_fail(err, PL_ERR_TRUNCATED, PL_SEV_SHARD, b->path, "the file ends before byte %llu",
	    (unsigned long long)(offset + len));
	if (err)
		pl_err_at_offset(err, offset + got);
	return status;
}

static bool make_room(uint8_t **p, size_t *cap, size_t want)
{
	if (*cap >= want && *p)
		return true;
	/* The old content is of no use: free first, so that the two never stand side by side. */
	free(*p);
	*cap = 0;
	*p = malloc(want ? want : 1);
	if (*p)
		*cap = want;
	return *p != NULL;
}

static enum pl_status load_frame(struct shard_bytes *b, uint64_t frame, struct pl_err *err)
{
	const struct shard_frame *f = &b->table.frames[frame];
	if (b->cached == frame)
		return PL_OK;
	b->cached = NO_FRAME;
	if (!make_room(&b->packed, &b->packed_cap, f->csize) || !make_room(&b->frame, &b->frame_cap, f->dsize))
		return pl_fail_nomem(err);
	enum pl_status status = shard_bytes_raw(b, f->coffset, b->packed, f->csize, err);
	if (status == PL_OK)
		status = shard_frame_decode(b->dctx, &b->table, frame, b->packed, b->frame, b->path, err);
	if (status == PL_OK)
		b->cached = frame;
	return status;
}

enum pl_status shard_bytes_read(struct shard_bytes *b, uint64_t offset, void *dst, size_t len, struct pl_err *err)
{
	uint8_t *to = dst;
	if (offset > b->size || len > b->size - offset) {
		enum pl_status cut = pl_fail(err, PL_ERR_TRUNCATED, PL_SEV_SHARD, b->path,
		    "has %llu bytes, wanted were %llu at %llu", (unsigned long long)b->size,
		    (unsigned long long)len, (unsigned long long)offset);
		if (err)
			pl_err_at_offset(err, b->size);
		return cut;
	}
	if (b->kind != SHARD_BYTES_SEEKABLE)
		return shard_bytes_raw(b, offset, dst, len, err);
	while (len > 0) {
		uint64_t frame = (uint64_t)shard_bytes_frame(b, offset);
		enum pl_status status = load_frame(b, frame, err);
		if (status != PL_OK)
			return status;
		const struct shard_frame *f = &b->table.frames[frame];
		size_t at = (size_t)(offset - f->doffset), n = f->dsize - at;
		if (n > len)
			n = len;
		memcpy(to, b->frame + at, n);
		to += n;
		offset += n;
		len -= n;
	}
	return PL_OK;
}
