/* SPDX-License-Identifier: Apache-2.0 */
/* Making what lies behind or beside the data again: the sample index and the
 * seek table of a .tar.zst, the index files of a .tar. The data itself is
 * checked on the way and never changed. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "index.h"
#include "le.h"
#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "shard.h"
#include "sidecar.h"
#include "tar_walk.h"

#define CHUNK ((size_t)1 << 20)
#define FIRST_LOOK ((size_t)4 << 20)

struct repair {
	const char *path;
	int fd;
	uint64_t size, at;                 /* of the file; where the next frame begins */
	uint8_t *packed, *raw;
	size_t packed_cap, raw_cap;
	struct shard_frame *frames;        /* data frames, and room for the index */
	uint64_t nframes, frames_cap, dsize;
	struct shard_index_entry *entries;
	uint64_t n, cap;
	struct shard_walk walk;
	struct pl_buf tables;              /* index and seek table as they should be */
	ZSTD_DCtx *dctx;
};

/* Room for want bytes; what was there is forgotten. */
static enum pl_status grow(uint8_t **p, size_t *cap, size_t want, struct pl_err *err)
{
	if (*p && want <= *cap)
		return PL_OK;
	free(*p);
	*cap = 0;
	*p = malloc(want ? want : 1);
	if (!*p)
		return pl_fail_nomem(err);
	*cap = want;
	return PL_OK;
}

static enum pl_status lost(const struct repair *r, const char *why, struct pl_err *err)
{
	enum pl_status status = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, r->path,
	    "cannot be repaired: data frame %llu is lost (%s)", (unsigned long long)r->nframes, why);
	if (err)
		pl_err_at_offset(err, r->at);
	return status;
}

/* The zstd frame at r->at, whole, in r->packed. *csize 0: there is none; the data ends here. */
static enum pl_status load_frame(struct repair *r, size_t *csize, struct pl_err *err)
{
	uint64_t left = r->size - r->at, most = ZSTD_COMPRESSBOUND(SHARD_FRAME_MAX);
	*csize = 0;
	for (size_t look = FIRST_LOOK; ; look *= 2) {
		size_t want = look < left ? look : (size_t)left, got;
		enum pl_status status = grow(&r->packed, &r->packed_cap, want ? want : 1, err);
		if (status == PL_OK)
			status = pl_pread_full(r->fd, r->packed, want, r->at, &got, r->path, err);
		if (status != PL_OK)
			return status;
		if (got < 4 || shard_le32(r->packed) != SHARD_ZSTD_MAGIC)
			return PL_OK;
		size_t n = ZSTD_findFrameCompressedSize(r->packed, got);
		if (!ZSTD_isError(n)) {
			*csize = n;
			return PL_OK;
		}
		if (ZSTD_getErrorCode(n) != ZSTD_error_srcSize_wrong)
			return lost(r, ZSTD_getErrorName(n), err);
		if (got < want || want == left || want > most)
			return lost(r, "the file ends in it", err);
	}
}

/* Does another zstd frame follow at offset? */
static enum pl_status frame_follows(const struct repair *r, uint64_t offset, bool *follows, struct pl_err *err)
{
	uint8_t head[4];
	size_t got;
	enum pl_status status = pl_pread_full(r->fd, head, sizeof head, offset, &got, r->path, err);
	*follows = status == PL_OK && got == sizeof head && shard_le32(head) == SHARD_ZSTD_MAGIC;
	return status;
}

static enum pl_status add_frame(struct repair *r, size_t csize, size_t dsize, struct pl_err *err)
{
	if (r->nframes + 2 > r->frames_cap) {
		uint64_t cap = r->frames_cap ? 2 * r->frames_cap : 64;
		struct shard_frame *frames = realloc(r->frames, (size_t)cap * sizeof *frames);
		if (!frames)
			return pl_fail_nomem(err);
		r->frames = frames;
		r->frames_cap = cap;
	}
	r->frames[r->nframes++] = (struct shard_frame) {
		.coffset = r->at, .doffset = r->dsize, .csize = (uint32_t)csize, .dsize = (uint32_t)dsize,
		.checksum = (uint32_t)XXH64(r->raw, dsize, 0),
	};
	return PL_OK;
}

/* Samples walked since `from`, which lie in the newest frame. */
static enum pl_status add_entries(struct repair *r, uint64_t from, struct pl_err *err)
{
	if (r->walk.n > r->cap) {
		uint64_t cap = 2 * r->walk.n;
		struct shard_index_entry *entries = realloc(r->entries, (size_t)cap * sizeof *entries);
		if (!entries)
			return pl_fail_nomem(err);
		r->entries = entries;
		r->cap = cap;
	}
	for (uint64_t i = from; i < r->walk.n; i++)
		r->entries[r->n++] = (struct shard_index_entry) {
			.key_hash = r->walk.samples[i].key_hash, .frame = (uint32_t)(r->nframes - 1),
			.offset = (uint32_t)(r->walk.samples[i].offset - r->dsize),
			.length = (uint32_t)r->walk.samples[i].length,
		};
	return PL_OK;
}

/* Decompress the frame in r->packed, check it to its last header, and list it and its samples. */
static enum pl_status take_frame(struct repair *r, size_t csize, bool last, struct pl_err *err)
{
	unsigned long long dsize = ZSTD_getFrameContentSize(r->packed, csize);
	uint64_t from = r->walk.n;
	struct pl_err why;
	if (dsize == ZSTD_CONTENTSIZE_ERROR || dsize == ZSTD_CONTENTSIZE_UNKNOWN || dsize == 0 || dsize > SHARD_FRAME_MAX ||
	    dsize > (csize / 4 + 1) * (128ull << 10) || !(r->packed[4] & 4))
		return lost(r, "it is not one zstd frame with size and checksum", err);
	enum pl_status status = grow(&r->raw, &r->raw_cap, (size_t)dsize, err);
	if (status != PL_OK)
		return status;
	size_t got = ZSTD_decompressDCtx(r->dctx, r->raw, (size_t)dsize, r->packed, csize);
	if (ZSTD_isError(got))
		return lost(r, ZSTD_getErrorName(got), err);
	status = shard_walk_feed(&r->walk, r->raw, got, &why);
	if (status == PL_OK)
		status = shard_walk_end(&r->walk, last, &why);
	if (status == PL_ERR_NOMEM)
		return pl_fail_nomem(err);
	if (status != PL_OK)
		return lost(r, why.text, err);
	status = add_frame(r, csize, got, err);
	if (status == PL_OK)
		status = add_entries(r, from, err);
	r->dsize += got;
	r->at += csize;
	return status;
}

/* All data frames from the beginning; r->at ends behind the last one, r->tables holds what must follow. */
static enum pl_status walk_frames(struct repair *r, struct pl_err *err)
{
	enum pl_status status = PL_OK;
	size_t csize = 1;
	bool more = true;
	r->dctx = ZSTD_createDCtx();
	if (!r->dctx)
		return pl_fail_nomem(err);
	while (status == PL_OK && more) {
		status = load_frame(r, &csize, err);
		if (status == PL_OK && csize == 0)
			status = lost(r, "no zstd frame is there", err);
		if (status == PL_OK)
			status = frame_follows(r, r->at + csize, &more, err);
		if (status == PL_OK)
			status = take_frame(r, csize, !more, err);
	}
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): shard_repair frees what r holds */
	return status == PL_OK ? shard_tables_encode(r->entries, r->n, r->frames, r->nframes, &r->tables, err) : status;
}

/* Data and tables through the hasher, and into out when that is open. */
static enum pl_status copy_whole(struct repair *r, struct pl_outfile *out, struct pl_hasher *hasher, struct pl_err *err)
{
	enum pl_status status = grow(&r->packed, &r->packed_cap, CHUNK, err);
	for (uint64_t at = 0; at < r->at && status == PL_OK; ) {
		size_t want = r->at - at < CHUNK ? (size_t)(r->at - at) : CHUNK, got;
		status = pl_pread_full(r->fd, r->packed, want, at, &got, r->path, err);
		if (status == PL_OK && got < want)
			status = pl_fail(err, PL_ERR_TRUNCATED, PL_SEV_SHARD, r->path, "the file shrank while it was read");
		if (status != PL_OK)
			break;
		pl_hasher_add(hasher, r->packed, got);
		status = out->fd >= 0 ? pl_outfile_write(out, r->packed, got, err) : PL_OK;
		at += got;
	}
	if (status == PL_OK) {
		pl_hasher_add(hasher, r->tables.data, r->tables.len);
		status = out->fd < 0 ? PL_OK : pl_outfile_write(out, r->tables.data, r->tables.len, err);
	}
	return status;
}

static enum pl_status check_digest(const char *path, struct pl_hasher *hasher, const uint64_t want[2], struct pl_err *err)
{
	uint64_t found[2];
	pl_hasher_digest(hasher, found);
	if (!want || (found[0] == want[0] && found[1] == want[1]))
		return PL_OK;
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path,
	    "cannot be repaired: its data is whole but is not what the shard held when its digest was taken");
}

/* Is what lies behind the data already as it should be? */
static enum pl_status tables_match(struct repair *r, bool *match, struct pl_err *err)
{
	size_t got;
	*match = false;
	if (r->size - r->at != r->tables.len)
		return PL_OK;
	enum pl_status status = grow(&r->packed, &r->packed_cap, r->tables.len, err);
	if (status == PL_OK)
		status = pl_pread_full(r->fd, r->packed, r->tables.len, r->at, &got, r->path, err);
	if (status == PL_OK)
		*match = got == r->tables.len && memcmp(r->packed, r->tables.data, got) == 0;
	return status;
}

static enum pl_status repair_frames(struct repair *r, const uint64_t want[2], bool *changed, struct pl_err *err)
{
	struct pl_outfile out = { .fd = -1 };
	struct pl_hasher *hasher = pl_hasher_new();
	bool match = false;
	enum pl_status status = hasher ? walk_frames(r, err) : pl_fail_nomem(err);
	if (status == PL_OK)
		status = tables_match(r, &match, err);
	if (status == PL_OK && !match)
		status = pl_outfile_open(&out, r->path, err);
	if (status == PL_OK)
		status = copy_whole(r, &out, hasher, err);
	if (status == PL_OK)
		status = check_digest(r->path, hasher, want, err);
	if (status == PL_OK && !match) {
		status = pl_outfile_commit(&out, err);
		*changed = status == PL_OK;
	}
	pl_outfile_abort(&out);
	pl_hasher_free(hasher);
	return status;
}

/* Write the file at path unless it holds just that. */
static enum pl_status put_file(const char *path, const struct pl_buf *want, bool *changed, struct pl_err *err)
{
	char *data = NULL;
	size_t len = 0;
	bool same = pl_file_read(path, want->len + 1, &data, &len, NULL) == PL_OK && len == want->len &&
	    memcmp(data, want->data, len) == 0;
	free(data);
	if (same)
		return PL_OK;
	*changed = true;
	return pl_file_write(path, want->data, want->len, err);
}

static enum pl_status put_sidecars(struct repair *r, struct shard_sidecar *made, bool *changed, struct pl_err *err)
{
	struct pl_buf dali;
	char *energon_path = NULL, *dali_path = NULL;
	enum pl_status status = shard_sidecar_finish(made, r->walk.offset - SHARD_END_SIZE, &dali, err);
	if (status == PL_OK && !shard_sidecar_paths(r->path, &energon_path, &dali_path)) {
		energon_path = dali_path = NULL;
		status = pl_fail_nomem(err);
	}
	if (status == PL_OK)
		status = put_file(energon_path, &made->energon, changed, err);
	if (status == PL_OK)
		status = put_file(dali_path, &dali, changed, err);
	free(energon_path);
	free(dali_path);
	pl_buf_release(&dali);
	return status;
}

static enum pl_status repair_plain(struct repair *r, const uint64_t want[2], bool *changed, struct pl_err *err)
{
	struct shard_sidecar made;
	struct pl_hasher *hasher = pl_hasher_new();
	enum pl_status status = hasher ? grow(&r->packed, &r->packed_cap, CHUNK, err) : pl_fail_nomem(err);
	shard_sidecar_init(&made);
	r->walk.sidecar = &made;
	while (status == PL_OK && r->at < r->size) {
		size_t n = r->size - r->at < CHUNK ? (size_t)(r->size - r->at) : CHUNK, got;
		status = pl_pread_full(r->fd, r->packed, n, r->at, &got, r->path, err);
		if (status == PL_OK && got < n)
			status = pl_fail(err, PL_ERR_TRUNCATED, PL_SEV_SHARD, r->path, "the file shrank while it was read");
		if (status != PL_OK)
			break;
		pl_hasher_add(hasher, r->packed, got);
		status = shard_walk_feed(&r->walk, r->packed, got, err);
		r->at += got;
	}
	if (status == PL_OK)
		status = shard_walk_end(&r->walk, true, err);
	if (status == PL_OK)
		status = check_digest(r->path, hasher, want, err);
	if (status == PL_OK)
		status = put_sidecars(r, &made, changed, err);
	r->walk.sidecar = NULL;
	shard_sidecar_release(&made);
	pl_hasher_free(hasher);
	return status;
}

static enum pl_status open_file(struct repair *r, bool *zstd, struct pl_err *err)
{
	struct stat st;
	r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0 || fstat(r->fd, &st) != 0)
		return pl_fail_errno(err, PL_SEV_SHARD, r->path, "cannot open the shard");
	r->size = (uint64_t)st.st_size;
	return frame_follows(r, 0, zstd, err);
}

enum pl_status shard_repair(const char *path, const uint64_t want[2], bool *changed, struct pl_err *err)
{
	struct repair r = { .path = path, .fd = -1 };
	bool zstd = false;
	size_t len = strlen(path);
	*changed = false;
	shard_walk_init(&r.walk, path);
	pl_buf_init(&r.tables, (size_t)8 << 30);
	enum pl_status status = open_file(&r, &zstd, err);
	if (status == PL_OK && zstd)
		status = repair_frames(&r, want, changed, err);
	else if (status == PL_OK && len > 4 && strcmp(path + len - 4, ".tar") == 0)
		status = repair_plain(&r, want, changed, err);
	else if (status == PL_OK)
		status = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "cannot be repaired: it begins with no zstd frame");
	if (r.fd >= 0)
		(void)close(r.fd);
	shard_walk_release(&r.walk);
	pl_buf_release(&r.tables);
	(void)ZSTD_freeDCtx(r.dctx);
	free(r.frames);
	free(r.entries);
	free(r.packed);
	free(r.raw);
	return status;
}
