/* SPDX-License-Identifier: Apache-2.0 */
/* Checking a finished shard to the last byte. A damaged frame does not stop
 * the check: the others are looked at, and the first damage is reported. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>
#include <zstd.h>

#include "bytes_impl.h"
#include "index.h"
#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "shard.h"
#include "sidecar.h"
#include "split.h"
#include "tar_read.h"
#include "tar_walk.h"

#define CHUNK ((size_t)1 << 20)
#define KEYS_TOLD 200u   /* bytes of keys in a message, about */

struct verify {
	const char *path;
	struct shard_bytes *bytes;
	const struct shard_seek_table *table;
	struct shard_index_entry *entries;
	uint64_t n;
	struct pl_hasher *hasher;
	ZSTD_DCtx *dctx;
	uint8_t *packed, *raw;
	size_t packed_cap, raw_cap;
	struct shard_walk walk;
	struct shard_check check;
	shard_damaged_fn *damaged;   /* may be NULL */
	void *damaged_ctx;
};

static bool make_room(uint8_t **p, size_t *cap, size_t want)
{
	if (*p && *cap >= want)
		return true;
	free(*p);
	*cap = 0;
	*p = calloc(want ? want : 1, 1);
	if (*p)
		*cap = want;
	return *p != NULL;
}

/* The key of entry e when its header can still be read in what came out of its frame. */
static bool salvage_key(const struct verify *v, const struct shard_index_entry *e, char key[SHARD_NAME_MAX + 1])
{
	uint64_t size;
	size_t key_len;
	const char *suffix;
	if ((uint64_t)e->offset + SHARD_BLOCK > v->raw_cap || !shard_ustar_parse(v->raw + e->offset, key, &size) ||
	    !shard_split_name(key, &key_len, &suffix))
		return false;
	key[key_len] = 0;
	return pl_hash64(key, key_len) == e->key_hash;
}

/* Say which samples lie in the damaged frame; first is the number of its first one. The cause is in *cause. */
static enum pl_status name_samples(const struct verify *v, uint64_t frame, uint64_t first, const struct pl_err *cause,
    struct pl_err *err)
{
	struct pl_buf text;
	char key[SHARD_NAME_MAX + 1];
	uint64_t last = first, unread = 0, untold = 0;
	pl_buf_init(&text, 0);
	enum pl_status status = PL_OK;
	for (uint64_t i = first; i < v->n && v->entries[i].frame == frame && status == PL_OK; i++) {
		bool legible = salvage_key(v, &v->entries[i], key);
		last = i;
		if (v->damaged)
			v->damaged(v->damaged_ctx, i, legible ? key : NULL, cause->text);
		if (!legible)
			unread++;
		else if (text.len < KEYS_TOLD)
			status = pl_buf_addf(&text, err, "%s'%s'", text.len ? ", " : "", key);
		else
			untold++;
	}
	if (status == PL_OK && untold)
		status = pl_buf_addf(&text, err, ", %llu more", (unsigned long long)untold);
	if (status == PL_OK && unread)
		status = pl_buf_addf(&text, err, "%s%llu unreadable", text.len ? " and " : "", (unsigned long long)unread);
	if (status == PL_OK) {
		status = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, v->path,
		    "frame %llu is damaged: samples %llu to %llu, keys %.500s (%s)", (unsigned long long)frame,
		    (unsigned long long)first, (unsigned long long)last, text.len ? (const char *)text.data : "none",
		    cause->text);
		if (err)
			pl_err_at_offset(err, v->table->frames[frame].coffset);
	}
	pl_buf_release(&text);
	return status;
}

/* Samples walked since `from` against the index entries first... of this frame. */
static enum pl_status compare_index(const struct verify *v, uint64_t frame, uint64_t first, uint64_t from,
    struct pl_err *err)
{
	uint64_t start = v->table->frames[frame].doffset, i = first;
	for (uint64_t k = from; k < v->walk.n; k++, i++) {
		const struct shard_walked *s = &v->walk.samples[k];
		if (i >= v->n || v->entries[i].frame != frame || v->entries[i].key_hash != s->key_hash ||
		    start + v->entries[i].offset != s->offset || v->entries[i].length != s->length)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, v->path, "the index does not match sample '%.200s'",
			    (const char *)v->walk.keys.data + s->key);
	}
	if (i < v->n && v->entries[i].frame == frame)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, v->path, "the index has samples that the tar lacks");
	return PL_OK;
}

/* One data frame, its compressed bytes in v->packed. */
static enum pl_status check_frame(struct verify *v, uint64_t frame, uint64_t first, struct pl_err *err)
{
	const struct shard_frame *f = &v->table->frames[frame];
	uint64_t from = v->walk.n;
	bool last = frame + 2 == v->table->n;
	if (ZSTD_findFrameCompressedSize(v->packed, f->csize) != f->csize ||
	    ZSTD_getFrameContentSize(v->packed, f->csize) != f->dsize || !(v->packed[4] & 4)) {
		/* Decode anyway: what can be read names the samples. */
		(void)ZSTD_decompressDCtx(v->dctx, v->raw, f->dsize, v->packed, f->csize);
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, v->path,
		    "it is not one zstd frame with size and checksum");
	}
	enum pl_status status = shard_frame_decode(v->dctx, v->table, frame, v->packed, v->raw, v->path, err);
	if (status != PL_OK)
		return status;
	shard_walk_resume(&v->walk, f->doffset);
	status = shard_walk_feed(&v->walk, v->raw, f->dsize, err);
	if (status == PL_OK)
		status = shard_walk_end(&v->walk, last, err);
	return status == PL_OK ? compare_index(v, frame, first, from, err) : status;
}

static int compare_walked(const void *a, const void *b)
{
	const struct shard_walked *x = a, *y = b;
	return x->key_hash < y->key_hash ? -1 : x->key_hash > y->key_hash;
}

static enum pl_status check_unique(struct verify *v, struct pl_err *err)
{
	struct shard_walked *s = v->walk.samples;
	const char *keys = (const char *)v->walk.keys.data;
	if (v->walk.n > 1)
		qsort(s, (size_t)v->walk.n, sizeof *s, compare_walked);
	for (uint64_t i = 0; i < v->walk.n; i++)
		for (uint64_t k = i + 1; k < v->walk.n && s[k].key_hash == s[i].key_hash; k++)
			if (strcmp(keys + s[i].key, keys + s[k].key) == 0)
				return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, v->path, "key '%.200s' comes twice",
				    keys + s[i].key);
	return PL_OK;
}

/* The last frame before the seek table must be the index. Its bytes are hashed later, in order. */
static enum pl_status load_index(struct verify *v, struct pl_err *err)
{
	uint64_t last = v->table->n ? v->table->n - 1 : 0;
	const struct shard_frame *f = v->table->n ? &v->table->frames[last] : NULL;
	if (!f || f->dsize != 0 || !v->table->has_checksums || f->checksum != (uint32_t)XXH64("", 0, 0))
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, v->path,
		    "has no sample index before its seek table, or no checksums: not written by plait, or damaged");
	if (!make_room(&v->packed, &v->packed_cap, f->csize))
		return pl_fail_nomem(err);
	enum pl_status status = shard_bytes_raw(v->bytes, f->coffset, v->packed, f->csize, err);
	if (status == PL_OK)
		status = shard_index_decode(v->packed, f->csize, v->table, v->path, &v->entries, &v->n, err);
	return status;
}

static enum pl_status hash_rest(struct verify *v, uint64_t from, struct pl_err *err)
{
	struct stat st;
	if (!make_room(&v->packed, &v->packed_cap, CHUNK))
		return pl_fail_nomem(err);
	if (fstat(shard_bytes_fd(v->bytes), &st) != 0)
		return pl_fail_errno(err, PL_SEV_SHARD, v->path, "cannot stat");
	v->check.bytes = (uint64_t)st.st_size;
	while (from < v->check.bytes) {
		uint64_t left = v->check.bytes - from;
		size_t n = left < CHUNK ? (size_t)left : CHUNK;
		enum pl_status status = shard_bytes_raw(v->bytes, from, v->packed, n, err);
		if (status != PL_OK)
			return status;
		pl_hasher_add(v->hasher, v->packed, n);
		from += n;
	}
	return PL_OK;
}

static enum pl_status verify_frames(struct verify *v, struct pl_err *err)
{
	struct pl_err cause, later;
	enum pl_status status = load_index(v, err), damage = PL_OK;
	uint64_t first = 0, frames = v->table->n ? v->table->n - 1 : 0;
	v->dctx = ZSTD_createDCtx();
	if (status == PL_OK && !v->dctx)
		status = pl_fail_nomem(err);
	if (status != PL_OK)
		return status;
	v->check.samples = v->n;
	for (uint64_t i = 0; i < frames; i++) {
		const struct shard_frame *f = &v->table->frames[i];
		if (!make_room(&v->packed, &v->packed_cap, f->csize) || !make_room(&v->raw, &v->raw_cap, f->dsize))
			return pl_fail_nomem(err);
		status = shard_bytes_raw(v->bytes, f->coffset, v->packed, f->csize, err);
		if (status != PL_OK)
			return status;
		pl_hasher_add(v->hasher, v->packed, f->csize);
		v->check.frames++;
		status = check_frame(v, i, first, &cause);
		if (status == PL_ERR_NOMEM)
			return pl_fail_nomem(err);
		if (status != PL_OK) {
			v->check.damaged_frames++;
			status = name_samples(v, i, first, &cause, damage == PL_OK ? err : &later);
			if (damage == PL_OK)
				damage = status;
		}
		while (first < v->n && v->entries[first].frame == i)
			first++;
	}
	v->check.members = v->walk.members;
	status = hash_rest(v, v->table->frames[frames].coffset, damage == PL_OK ? err : &cause);
	if (damage != PL_OK)
		return damage;
	return status == PL_OK ? check_unique(v, err) : status;
}

static enum pl_status compare_file(const struct verify *v, const char *path, const struct pl_buf *want,
    struct pl_err *err)
{
	char *data;
	size_t len;
	enum pl_status status = pl_file_read(path, want->len + 1, &data, &len, err);
	if (status == PL_ERR_LIMIT)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, v->path, "index file '%.300s' does not match", path);
	if (status != PL_OK)
		return status;
	if (len != want->len || memcmp(data, want->data, len) != 0)
		status = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, v->path, "index file '%.300s' does not match", path);
	free(data);
	return status;
}

static enum pl_status compare_sidecars(struct verify *v, struct shard_sidecar *made, struct pl_err *err)
{
	struct pl_buf dali;
	char *energon_path, *dali_path;
	enum pl_status status = shard_sidecar_finish(made, v->walk.offset - SHARD_END_SIZE, &dali, err);
	if (status == PL_OK && !shard_sidecar_paths(v->path, &energon_path, &dali_path))
		status = pl_fail_nomem(err);
	if (status == PL_OK) {
		status = compare_file(v, energon_path, &made->energon, err);
		if (status == PL_OK)
			status = compare_file(v, dali_path, &dali, err);
		free(energon_path);
		free(dali_path);
	}
	pl_buf_release(&dali);
	return status;
}

static enum pl_status verify_plain(struct verify *v, struct pl_err *err)
{
	struct shard_sidecar made;
	uint64_t size = shard_bytes_size(v->bytes);
	enum pl_status status = PL_OK;
	shard_sidecar_init(&made);
	v->walk.sidecar = &made;
	if (!make_room(&v->packed, &v->packed_cap, CHUNK))
		status = pl_fail_nomem(err);
	for (uint64_t at = 0; at < size && status == PL_OK; ) {
		size_t n = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
		status = shard_bytes_raw(v->bytes, at, v->packed, n, err);
		if (status != PL_OK)
			break;
		pl_hasher_add(v->hasher, v->packed, n);
		status = shard_walk_feed(&v->walk, v->packed, n, err);
		at += n;
	}
	if (status == PL_OK)
		status = shard_walk_end(&v->walk, true, err);
	v->check.samples = v->walk.n;
	v->check.members = v->walk.members;
	v->check.bytes = size;
	if (status == PL_OK)
		status = compare_sidecars(v, &made, err);
	if (status == PL_OK)
		status = check_unique(v, err);
	v->walk.sidecar = NULL;
	shard_sidecar_release(&made);
	return status;
}

enum pl_status shard_verify_each(const char *path, shard_damaged_fn *damaged, void *ctx, struct shard_check *out,
    struct pl_err *err)
{
	struct verify v = { .path = path, .damaged = damaged, .damaged_ctx = ctx };
	struct pl_err own;
	if (!err)
		err = &own;
	shard_walk_init(&v.walk, path);
	v.hasher = pl_hasher_new();
	enum pl_status status = v.hasher ? shard_bytes_open(&v.bytes, path, err) : pl_fail_nomem(err);
	if (status == PL_OK) {
		v.table = shard_bytes_table(v.bytes);
		switch (shard_bytes_kind(v.bytes)) {
		case SHARD_BYTES_SEEKABLE:
			status = verify_frames(&v, err);
			break;
		case SHARD_BYTES_PLAIN:
			status = verify_plain(&v, err);
			break;
		case SHARD_BYTES_SPOOLED:
			status = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path,
			    "is compressed but has no seek table: cut, damaged, or not written by plait");
			break;
		}
		pl_hasher_digest(v.hasher, v.check.hash);
	}
	if (out)
		*out = v.check;
	shard_walk_release(&v.walk);
	shard_bytes_close(v.bytes);
	pl_hasher_free(v.hasher);
	(void)ZSTD_freeDCtx(v.dctx);
	free(v.entries);
	free(v.packed);
	free(v.raw);
	return status;
}

enum pl_status shard_verify(const char *path, struct shard_check *out, struct pl_err *err)
{
	return shard_verify_each(path, NULL, NULL, out, err);
}
