/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a piece: read, uncompressed, verified; and what is said when they are broken. */
#include "piece.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "room.h"
#include "shards/tar_read.h"
#include "shards/ustar.h"

void shard_scratch_release(struct shard_scratch *s)
{
	(void)ZSTD_freeDCtx(s->dctx);
	shard_room_free(s->packed, s->packed_cap);
	shard_room_free(s->part, s->part_cap);
	memset(s, 0, sizeof *s);
}

bool shard_damage(enum pl_status status)
{
	return status == PL_ERR_INVALID || status == PL_ERR_TRUNCATED || status == PL_ERR_NOTFOUND ||
	    status == PL_ERR_UNSUPPORTED || status == PL_ERR_LIMIT;
}

static bool make_room(uint8_t **p, size_t *cap, size_t want)
{
	if (*p && *cap >= want)
		return true;
	shard_room_free(*p, *cap);
	/* Frames are of about one size: the next one fits, too. */
	*cap = want + want / 8 + 1;
	*p = shard_room_new(cap);
	if (!*p)
		*cap = 0;
	return *p != NULL;
}

static enum pl_status read_raw(const struct shard_opened *o, int fd, uint64_t offset, void *dst, size_t len, uint64_t *io,
    struct pl_err *err)
{
	size_t got;
	enum pl_status status = pl_pread_full(fd, dst, len, offset, &got, o->path, err);
	if (status != PL_OK)
		return status;
	*io += got;
	if (got == len)
		return PL_OK;
	status = pl_fail(err, PL_ERR_TRUNCATED, PL_SEV_SHARD, o->path, "the file ends before byte %llu",
	    (unsigned long long)(offset + len));
	if (err)
		pl_err_at_offset(err, offset + got);
	return status;
}

static enum pl_status make_dctx(struct shard_scratch *s, struct pl_err *err)
{
	if (s->dctx)
		return PL_OK;
	s->dctx = ZSTD_createDCtx();
	if (!s->dctx || ZSTD_isError(ZSTD_DCtx_setParameter(s->dctx, ZSTD_d_windowLogMax, 27)))
		return pl_fail_nomem(err);
	return PL_OK;
}

/* The frames that p touches. One that lies in it whole goes straight to dst. */
static enum pl_status read_frames(struct shard_scratch *s, const struct shard_opened *o, int fd,
    const struct shard_stretch *p, uint8_t *dst, uint64_t *io, struct pl_err *err)
{
	const struct shard_seek_table *t = &o->table;
	uint64_t low = 0, high = t->n, end = p->offset + p->size;
	while (high - low > 1) {
		uint64_t mid = low + (high - low) / 2;
		if (t->frames[mid].doffset <= p->offset)
			low = mid;
		else
			high = mid;
	}
	enum pl_status status = make_dctx(s, err);
	for (; status == PL_OK && low < t->n && t->frames[low].doffset < end; low++) {
		const struct shard_frame *f = &t->frames[low];
		uint64_t from = f->doffset > p->offset ? f->doffset : p->offset;
		uint64_t to = f->doffset + f->dsize < end ? f->doffset + f->dsize : end;
		bool whole = to - from == f->dsize;
		if (f->dsize == 0)
			continue;
		if (!make_room(&s->packed, &s->packed_cap, f->csize) || (!whole && !make_room(&s->part, &s->part_cap, f->dsize)))
			return pl_fail_nomem(err);
		uint8_t *frame = whole ? dst + (from - p->offset) : s->part;
		status = read_raw(o, fd, f->coffset, s->packed, f->csize, io, err);
		if (status == PL_OK)
			status = shard_frame_decode(s->dctx, t, low, s->packed, frame, o->path, err);
		if (status == PL_OK && !whole)
			memcpy(dst + (from - p->offset), frame + (from - f->doffset), (size_t)(to - from));
	}
	return status;
}

/* The key of sample i where its header can still be read. */
static bool salvage_key(const struct shard_opened *o, const struct shard_stretch *p, const uint8_t *bytes, uint64_t i,
    char key[SHARD_NAME_MAX + 1])
{
	uint64_t size;
	size_t len;
	const char *suffix;
	if ((uint64_t)o->places[i].offset + SHARD_BLOCK > p->size ||
	    !shard_ustar_parse(bytes + o->places[i].offset, key, &size) || !shard_split_name(key, &len, &suffix) ||
	    pl_hash64(key, len) != o->places[i].key_hash)
		return false;
	key[len] = 0;
	for (char *c = key; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return true;
}

/* Add to the cause which samples are lost. */
static enum pl_status name_samples(const struct shard_opened *o, const struct shard_stretch *p, const uint8_t *bytes,
    struct pl_err *err)
{
	enum { NAMED = 16 };
	char key[SHARD_NAME_MAX + 1];
	struct pl_buf text;
	struct pl_err cause = *err;
	uint64_t from = p[0].first, to = p[1].first, named = 0;
	enum pl_status status = PL_OK;
	pl_buf_init(&text, 400);
	for (uint64_t i = from; i < to && named < NAMED && status == PL_OK; i++)
		if (salvage_key(o, p, bytes, i, key)) {
			status = pl_buf_addf(&text, NULL, "%s'%s'", named ? ", " : "", key);
			named += status == PL_OK;
		}
	/* What does not fit is counted. */
	(void)pl_fail(err, cause.status, PL_SEV_SHARD, o->path, "%.200s: samples %llu to %llu of it are lost, keys %s%s%llu more",
	    cause.text, (unsigned long long)from, (unsigned long long)(to - 1), text.len ? (const char *)text.data : "",
	    text.len ? " and " : "", (unsigned long long)(to - from - named));
	if (cause.has_offset)
		pl_err_at_offset(err, cause.offset);
	pl_buf_release(&text);
	return cause.status;
}

enum pl_status shard_piece_read(struct shard_scratch *s, const struct shard_opened *o, int fd, uint32_t p, uint8_t *dst,
    uint64_t *io, struct pl_err *err)
{
	struct pl_err own;
	const struct shard_stretch *at = &o->pieces[p];
	if (!err)
		err = &own;
	enum pl_status status = o->table.frames ? read_frames(s, o, fd, at, dst, io, err) :
	    read_raw(o, fd, at->offset, dst, (size_t)at->size, io, err);
	return shard_damage(status) ? name_samples(o, at, dst, err) : status;
}
