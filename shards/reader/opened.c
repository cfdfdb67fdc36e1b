/* SPDX-License-Identifier: Apache-2.0 */
/* One shard opened: index and frames in the form that readers want, and which shards stay open. */
#include "opened.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataset_impl.h"
#include "shards/bytes_impl.h"
#include "shards/shard_impl.h"

#define PIECE_SIZE ((uint64_t)2 << 20)

static bool same_frame(const struct shard_seek_table *t, uint64_t *frame, uint64_t offset)
{
	uint64_t f = *frame;
	while (f + 1 < t->n && t->frames[f + 1].doffset <= offset)
		f++;
	bool same = f == *frame;
	*frame = f;
	return same;
}

/* A frame that begins with a sample begins a piece: plait's all do. Where samples lie across frames, a piece ends once it is large
 * enough and a frame does; a plain tar is cut by size alone. What other members lie between samples comes along, up to 1 GiB. */
static void cut_pieces(struct shard_opened *o, const struct shard *s)
{
	uint64_t frame = 0, at = 0;
	const struct shard_seek_table *t = o->table.frames ? &o->table : NULL;
	for (uint64_t i = 0; i < o->n; i++) {
		const struct shard_entry e = shard_entry(s, i);
		bool same = t && same_frame(t, &frame, e.offset);
		bool whole = t && !same && t->frames[frame].doffset == e.offset;
		struct shard_stretch *p = &o->pieces[o->npieces];
		if (i == 0 || whole || (!same && at - p->offset >= PIECE_SIZE) || e.offset - p->offset > SHARD_FRAME_MAX) {
			if (i > 0)
				p++, o->npieces++;
			*p = (struct shard_stretch) { .offset = e.offset, .first = i };
		}
		at = e.offset + e.length;
		p->size = at - p->offset;
		o->places[i] = (struct shard_place) {
			.key_hash = e.key_hash,
			.offset = (uint32_t)(e.offset - p->offset),
			.length = (uint32_t)e.length,
		};
	}
	o->npieces += o->n > 0;
	o->pieces[o->npieces] = (struct shard_stretch) { .offset = at, .first = o->n };
}

/* The last piece of plait's own takes the end of its frame along, so that the frame goes straight to where it is wanted. */
static void widen_last(struct shard_opened *o)
{
	struct shard_stretch *p = o->npieces ? &o->pieces[o->npieces - 1] : NULL;
	for (uint64_t f = o->table.n; p && f-- > 0;) {
		const struct shard_frame *frame = &o->table.frames[f];
		if (frame->dsize && frame->doffset == p->offset && frame->dsize > p->size)
			p->size = frame->dsize;
		if (frame->dsize)
			break;
	}
}

static enum pl_status too_large(const struct shard *s, const char *path, struct pl_err *err)
{
	for (uint64_t i = 0; i < shard_count(s); i++)
		if (shard_entry(s, i).length > SHARD_FRAME_MAX)
			return pl_fail(err, PL_ERR_LIMIT, PL_SEV_SHARD, path, "sample %llu is larger than 1 GiB",
			    (unsigned long long)i);
	return PL_OK;
}

static enum pl_status take(struct shard_opened *o, struct shard *s, struct pl_err *err)
{
	struct stat st;
	o->n = shard_count(s);
	o->places = calloc(o->n ? (size_t)o->n : 1, sizeof *o->places);
	o->pieces = calloc((size_t)o->n + 1, sizeof *o->pieces);
	if (!o->places || !o->pieces)
		return pl_fail_nomem(err);
	enum pl_status status = too_large(s, o->path, err);
	if (status != PL_OK)
		return status;
	struct shard_bytes *b = shard_bytes_take(s);
	o->fd = fcntl(shard_bytes_fd(b), F_DUPFD_CLOEXEC, 0);
	if (shard_bytes_kind(b) == SHARD_BYTES_SEEKABLE)
		shard_bytes_take_table(b, &o->table);
	o->spooled = shard_bytes_kind(b) == SHARD_BYTES_SPOOLED;
	shard_bytes_close(b);
	if (o->fd < 0 || fstat(o->fd, &st) != 0)
		return pl_fail_errno(err, PL_SEV_SHARD, o->path, "cannot open");
	o->dev = st.st_dev;
	o->ino = st.st_ino;
	o->file_size = st.st_size;
	cut_pieces(o, s);
	widen_last(o);
	/* Most shards have far fewer pieces than samples. */
	struct shard_stretch *fewer = realloc(o->pieces, ((size_t)o->npieces + 1) * sizeof *fewer);
	if (fewer)
		o->pieces = fewer;
	return PL_OK;
}

enum pl_status shard_opened_new(struct shard_opened **out, const char *path, size_t shard, struct pl_err *err)
{
	struct shard *s;
	*out = NULL;
	struct shard_opened *o = calloc(1, sizeof *o);
	if (!o)
		return pl_fail_nomem(err);
	o->path = path;
	o->shard = shard;
	o->fd = -1;
	enum pl_status status = shard_open(&s, path, err);
	if (status == PL_OK) {
		status = take(o, s, err);
		shard_close(s);
	}
	if (status != PL_OK) {
		shard_opened_free(o);
		return status;
	}
	*out = o;
	return PL_OK;
}

void shard_opened_free(struct shard_opened *o)
{
	if (!o)
		return;
	if (o->fd >= 0)
		(void)close(o->fd);
	shard_seek_table_release(&o->table);
	free(o->places);
	free(o->pieces);
	free(o);
}

uint32_t shard_opened_piece(const struct shard_opened *o, uint64_t i)
{
	uint32_t low = 0, high = o->npieces;
	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;
		if (o->pieces[mid].first <= i)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* ---- the set ----------------------------------------------------------------------------------- */

enum pl_status shard_set_init(struct shard_set *s, const struct shard_dataset *d, uint32_t max, struct pl_err *err)
{
	*s = (struct shard_set) { .d = d, .max = max ? max : 32 };
	s->by_shard = calloc(shard_dataset_shards(d) + 1, sizeof *s->by_shard);
	return s->by_shard ? PL_OK : pl_fail_nomem(err);
}

void shard_set_release(struct shard_set *s)
{
	for (size_t k = 0; s->by_shard && k < shard_dataset_shards(s->d); k++)
		shard_opened_free(s->by_shard[k]);
	free(s->by_shard);
	s->by_shard = NULL;
}

struct shard_opened *shard_set_find(struct shard_set *s, size_t k)
{
	struct shard_opened *o = shard_dataset_kept(s->d, k);
	if (o)
		return o;
	o = s->by_shard[k];
	if (o) {
		o->refs++;
		o->used = ++s->clock;
	}
	return o;
}

enum pl_status shard_set_open(const struct shard_set *s, size_t k, struct shard_opened **o, struct pl_err *err)
{
	const struct shard_dataset_shard want = shard_dataset_shard(s->d, k);
	struct stat st;
	*o = NULL;
	if (stat(want.path, &st) != 0)
		return pl_fail_errno(err, PL_SEV_SHARD, want.path, "cannot open");
	if ((uint64_t)st.st_size != want.bytes)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, want.path,
		    "has %llu bytes, the data set says %llu", (unsigned long long)st.st_size, (unsigned long long)want.bytes);
	enum pl_status status = shard_opened_new(o, want.path, k, err);
	if (status != PL_OK)
		return status;
	if ((*o)->n == want.samples)
		return PL_OK;
	status = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, want.path, "has %llu samples, the data set says %llu",
	    (unsigned long long)(*o)->n, (unsigned long long)want.samples);
	shard_opened_free(*o);
	*o = NULL;
	return status;
}

/* The one that was used longest ago of those that may go; NULL: none. */
static struct shard_opened *oldest(const struct shard_set *s, bool with_file)
{
	struct shard_opened *found = NULL;
	for (size_t k = 0; k < shard_dataset_shards(s->d); k++) {
		struct shard_opened *o = s->by_shard[k];
		if (!o || (with_file ? o->fd < 0 || o->fd_users || o->spooled : o->refs || o->fd_users))
			continue;
		if (!found || o->used < found->used)
			found = o;
	}
	return found;
}

static void close_files(struct shard_set *s, uint32_t most)
{
	struct shard_opened *o;
	while (s->files > most && (o = oldest(s, true))) {
		(void)close(o->fd);
		o->fd = -1;
		s->files--;
	}
}

void shard_set_put(struct shard_set *s, struct shard_opened *o)
{
	struct shard_opened *old;
	while (s->indexes >= s->max && (old = oldest(s, false))) {
		s->files -= old->fd >= 0;
		s->indexes--;
		s->by_shard[old->shard] = NULL;
		shard_opened_free(old);
	}
	close_files(s, s->max - 1);
	s->by_shard[o->shard] = o;
	o->refs = 1;
	o->used = ++s->clock;
	s->indexes++;
	s->files++;
	s->opened++;
}

void shard_set_drop(struct shard_set *s, struct shard_opened *o)
{
	if (o && !shard_dataset_kept(s->d, o->shard))
		o->refs--;
}

int shard_set_file(struct shard_set *s, struct shard_opened *o, struct pl_err *err)
{
	struct stat st;
	if (shard_dataset_kept(s->d, o->shard))
		return o->fd;
	o->used = ++s->clock;
	if (o->fd < 0) {
		close_files(s, s->max - 1);
		int fd = open(o->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) != 0) {
			(void)pl_fail_errno(err, PL_SEV_SHARD, o->path, "cannot open");
			if (fd >= 0)
				(void)close(fd);
			return -1;
		}
		if (st.st_dev != o->dev || st.st_ino != o->ino || st.st_size != o->file_size) {
			(void)pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, o->path, "was replaced while it was read");
			(void)close(fd);
			return -1;
		}
		o->fd = fd;
		s->files++;
	}
	o->fd_users++;
	return o->fd;
}

void shard_set_unfile(struct shard_set *s, struct shard_opened *o)
{
	if (!shard_dataset_kept(s->d, o->shard))
		o->fd_users--;
}
