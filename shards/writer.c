/* SPDX-License-Identifier: Apache-2.0 */
/* Output shards. Nothing but the samples and the options goes into the bytes:
 * frames are cut by tar size, never by time, threads or memory. */
#include "writer.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "index.h"
#include "libpipe/base/buf.h"
#include "libpipe/base/hash.h"
#include "sidecar.h"
#include "split.h"
#include "tar_read.h"
#include "ustar.h"

const char *const shard_container_names[] = { "tar.zst", "tar", NULL };

#define FRAME_DEFAULT ((uint64_t)2 << 20)
#define PLAIN_BUFFER ((size_t)1 << 20)
#define KEYS_MAX ((size_t)1 << 30)

struct shard_writer {
	struct pl_outfile out;
	struct shard_writer_options options;
	struct pl_hasher *hasher;
	uint64_t tar_bytes;               /* so far, in all frames */

	struct pl_buf keys;               /* NUL-terminated, in order */
	struct shard_index_entry *entries;
	size_t *key_at;                   /* of entry i, in keys */
	uint64_t n, cap;
	uint32_t *slots;                  /* open-addressing set of the keys; 0 = free, else entry + 1 */
	uint64_t nslots;

	bool broken;                      /* a sample was taken in part: nothing can follow */
	struct pl_buf frame;              /* tar bytes of the open frame; SHARD_TAR: not yet written */
	uint64_t image_bytes;             /* of them */
	struct shard_frame *frames;
	uint64_t nframes, frames_cap;
	ZSTD_CCtx *cctx;
	uint8_t *packed;
	size_t packed_cap;

	struct shard_sidecar sidecar;     /* SHARD_TAR */
};

static void writer_free(struct shard_writer *w)
{
	pl_outfile_abort(&w->out);
	pl_hasher_free(w->hasher);
	pl_buf_release(&w->keys);
	pl_buf_release(&w->frame);
	shard_sidecar_release(&w->sidecar);
	(void)ZSTD_freeCCtx(w->cctx);
	free(w->entries);
	free(w->key_at);
	free(w->slots);
	free(w->frames);
	free(w->packed);
	free(w);
}

static enum pl_status check_options(const struct shard_writer_options *o, struct pl_err *err)
{
	if (o->container != SHARD_TAR_ZST && o->container != SHARD_TAR)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no such shard container");
	if (o->frame_size > SHARD_FRAME_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "a frame size over 1 GiB cannot be read back");
	if (o->level != SHARD_LEVEL_AUTO && (o->level < ZSTD_minCLevel() || o->level > ZSTD_maxCLevel()))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "zstd level %d is outside %d..%d", o->level,
		    ZSTD_minCLevel(), ZSTD_maxCLevel());
	return PL_OK;
}

enum pl_status shard_writer_open(struct shard_writer **out, const char *stem,
    const struct shard_writer_options *options, struct pl_err *err)
{
	*out = NULL;
	enum pl_status status = check_options(options, err);
	if (status != PL_OK)
		return status;
	struct shard_writer *w = calloc(1, sizeof *w);
	if (!w)
		return pl_fail_nomem(err);
	w->out.fd = -1;
	w->options = *options;
	if (w->options.frame_size == 0)
		w->options.frame_size = FRAME_DEFAULT;
	pl_buf_init(&w->keys, KEYS_MAX);
	pl_buf_init(&w->frame, (size_t)SHARD_FRAME_MAX + 1);
	shard_sidecar_init(&w->sidecar);
	struct pl_buf path;
	pl_buf_init(&path, 0);
	status = pl_buf_addf(&path, err, "%s.%s", stem, shard_container_names[options->container]);
	w->hasher = pl_hasher_new();
	w->cctx = options->container == SHARD_TAR_ZST ? ZSTD_createCCtx() : NULL;
	if (status == PL_OK && (!w->hasher || (options->container == SHARD_TAR_ZST && !w->cctx)))
		status = pl_fail_nomem(err);
	if (status == PL_OK)
		status = pl_outfile_open(&w->out, (const char *)path.data, err);
	pl_buf_release(&path);
	if (status == PL_OK)
		*out = w;
	else
		writer_free(w);
	return status;
}

void shard_writer_abort(struct shard_writer *w)
{
	if (w)
		writer_free(w);
}

static enum pl_status put(struct shard_writer *w, const void *data, size_t len, struct pl_err *err)
{
	pl_hasher_add(w->hasher, data, len);
	return pl_outfile_write(&w->out, data, len, err);
}

static int frame_level(const struct shard_writer *w)
{
	if (w->options.level != SHARD_LEVEL_AUTO)
		return w->options.level;
	return w->image_bytes * 2 > w->frame.len ? -1 : 1;
}

static enum pl_status add_frame(struct shard_writer *w, const struct shard_frame *f, struct pl_err *err)
{
	if (w->nframes == w->frames_cap) {
		uint64_t cap = w->frames_cap ? 2 * w->frames_cap : 64;
		struct shard_frame *frames = realloc(w->frames, (size_t)cap * sizeof *frames);
		if (!frames)
			return pl_fail_nomem(err);
		w->frames = frames;
		w->frames_cap = cap;
	}
	w->frames[w->nframes++] = *f;
	return PL_OK;
}

/* Compress and write the open frame at the level chosen for its samples. */
static enum pl_status close_frame(struct shard_writer *w, int level, struct pl_err *err)
{
	size_t need = ZSTD_compressBound(w->frame.len);
	if (need > w->packed_cap) {
		free(w->packed);
		w->packed_cap = 0;
		w->packed = malloc(need);
		if (!w->packed)
			return pl_fail_nomem(err);
		w->packed_cap = need;
	}
	size_t rc = ZSTD_CCtx_setParameter(w->cctx, ZSTD_c_compressionLevel, level);
	if (!ZSTD_isError(rc))
		rc = ZSTD_CCtx_setParameter(w->cctx, ZSTD_c_contentSizeFlag, 1);
	if (!ZSTD_isError(rc))
		rc = ZSTD_CCtx_setParameter(w->cctx, ZSTD_c_checksumFlag, 1);
	if (!ZSTD_isError(rc))
		rc = ZSTD_compress2(w->cctx, w->packed, w->packed_cap, w->frame.data, w->frame.len);
	if (ZSTD_isError(rc))
		return pl_fail(err, PL_ERR_NOMEM, PL_SEV_JOB, w->out.path, "zstd cannot compress: %s",
		    ZSTD_getErrorName(rc));
	struct shard_frame f = {
		.csize = (uint32_t)rc, .dsize = (uint32_t)w->frame.len,
		.checksum = (uint32_t)XXH64(w->frame.data, w->frame.len, 0),
	};
	enum pl_status status = add_frame(w, &f, err);
	if (status == PL_OK)
		status = put(w, w->packed, rc, err);
	pl_buf_clear(&w->frame);
	w->image_bytes = 0;
	return status;
}

static enum pl_status refuse(const struct shard_writer *w, struct pl_err *err, const char *key, const char *why)
{
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_ITEM, w->out.path, "key '%.200s' cannot be written: %s", key, why);
}

/* Will every reader take this name apart as it was put together? */
static enum pl_status check_member(const struct shard_writer *w, const char *key, const struct shard_member *m,
    char name[SHARD_NAME_MAX + 1], struct pl_err *err)
{
	const char *why, *suffix;
	size_t key_len = strlen(key), suffix_len = strlen(m->suffix), got;
	uint8_t block[SHARD_BLOCK];
	if (!shard_suffix_valid(m->suffix, &why))
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_ITEM, w->out.path,
		    "suffix '%.100s' of key '%.200s' cannot be written: %s", m->suffix, key, why);
	if (m->len > SHARD_MEMBER_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_ITEM, w->out.path, "member '%.200s.%.100s' is larger than 8 GiB - 1",
		    key, m->suffix);
	if (suffix_len >= SHARD_NAME_MAX || key_len + suffix_len + 1 > SHARD_NAME_MAX)
		return refuse(w, err, key, "with its suffix it is too long for a USTAR name");
	memcpy(name, key, key_len);
	name[key_len] = '.';
	memcpy(name + key_len + 1, m->suffix, suffix_len + 1);
	if (!shard_ustar_header(block, name, m->len))
		return refuse(w, err, key, "with its suffix it is over 100 bytes and no '/' splits it for USTAR");
	if (shard_name_dunder(name) || !shard_split_name(name, &got, &suffix) || got != key_len)
		return refuse(w, err, key, "WebDataset readers pass over such a name");
	return PL_OK;
}

/* Where key is or would be in the set. */
static uint64_t key_slot(const struct shard_writer *w, const char *key, uint64_t hash)
{
	uint64_t i = hash & (w->nslots - 1);
	while (w->slots[i]) {
		uint64_t e = w->slots[i] - 1;
		if (w->entries[e].key_hash == hash && strcmp((const char *)w->keys.data + w->key_at[e], key) == 0)
			break;
		i = (i + 1) & (w->nslots - 1);
	}
	return i;
}

static enum pl_status grow_entries(struct shard_writer *w, struct pl_err *err)
{
	if (w->n < w->cap)
		return PL_OK;
	if (w->n >= UINT32_MAX / 4)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, w->out.path, "a shard has too many samples");
	uint64_t cap = w->cap ? 2 * w->cap : 256;
	struct shard_index_entry *entries = realloc(w->entries, (size_t)cap * sizeof *entries);
	if (!entries)
		return pl_fail_nomem(err);
	w->entries = entries;
	size_t *key_at = realloc(w->key_at, (size_t)cap * sizeof *key_at);
	if (!key_at)
		return pl_fail_nomem(err);
	w->key_at = key_at;
	uint32_t *slots = calloc((size_t)cap * 2, sizeof *slots);
	if (!slots)
		return pl_fail_nomem(err);
	free(w->slots);
	w->slots = slots;
	w->nslots = cap * 2;
	w->cap = cap;
	for (uint64_t i = 0; i < w->n; i++) {
		const char *key = (const char *)w->keys.data + w->key_at[i];
		w->slots[key_slot(w, key, w->entries[i].key_hash)] = (uint32_t)i + 1;
	}
	return PL_OK;
}

/* All that can be wrong with a sample, before a byte of it is taken. *length: its tar bytes. */
static enum pl_status check_sample(struct shard_writer *w, const char *key, const struct shard_member *members,
    size_t n, uint64_t *length, struct pl_err *err)
{
	char name[SHARD_NAME_MAX + 1];
	const char *why;
	*length = 0;
	if (!shard_key_valid(key, &why))
		return refuse(w, err, key, why);
	if (n == 0)
		return refuse(w, err, key, "the sample has no members");
	for (size_t i = 0; i < n; i++) {
		enum pl_status status = check_member(w, key, &members[i], name, err);
		if (status != PL_OK)
			return status;
		for (size_t k = 0; k < i; k++)
			if (strcmp(members[i].suffix, members[k].suffix) == 0)
				return refuse(w, err, key, "two members have one suffix");
		*length += SHARD_BLOCK + shard_padded(members[i].len);
	}
	if (w->options.container == SHARD_TAR_ZST && *length > SHARD_FRAME_MAX - SHARD_END_SIZE)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_ITEM, w->out.path,
		    "sample '%.200s' is larger than a frame may be (1 GiB)", key);
	return PL_OK;
}

static enum pl_status flush_plain(struct shard_writer *w, struct pl_err *err)
{
	enum pl_status status = w->frame.len ? put(w, w->frame.data, w->frame.len, err) : PL_OK;
	pl_buf_clear(&w->frame);
	return status;
}

/* Tar bytes go into the open frame, or by way of a buffer to the file. */
static enum pl_status put_tar(struct shard_writer *w, const void *data, size_t len, struct pl_err *err)
{
	enum pl_status status = PL_OK;
	if (len == 0)
		return PL_OK;
	if (w->options.container == SHARD_TAR && w->frame.len + len > PLAIN_BUFFER)
		status = flush_plain(w, err);
	if (status != PL_OK)
		return status;
	if (w->options.container == SHARD_TAR && len > PLAIN_BUFFER)
		return put(w, data, len, err);
	return pl_buf_add(&w->frame, data, len, err);
}

static enum pl_status put_member(struct shard_writer *w, const char *key, const struct shard_member *m,
    struct pl_err *err)
{
	static const uint8_t zeros[SHARD_BLOCK];
	char name[SHARD_NAME_MAX + 1];
	uint8_t block[SHARD_BLOCK];
	enum pl_status status = check_member(w, key, m, name, err);
	if (status != PL_OK)
		return status;
	if (!shard_ustar_header(block, name, m->len))
		return refuse(w, err, key, "its name does not fit");
	uint64_t data_at = w->tar_bytes + SHARD_BLOCK, padded = shard_padded(m->len);
	status = put_tar(w, block, SHARD_BLOCK, err);
	if (status == PL_OK)
		status = put_tar(w, m->data, m->len, err);
	if (status == PL_OK)
		status = put_tar(w, zeros, (size_t)(padded - m->len), err);
	if (status == PL_OK && w->options.container == SHARD_TAR)
		status = shard_sidecar_member(&w->sidecar, name, m->suffix, data_at, m->len, err);
	if (shard_image_suffix(m->suffix))
		w->image_bytes += m->len;
	w->tar_bytes = data_at + padded;
	return status;
}

/* The sample was checked: from here on an error leaves the shard unusable. */
static enum pl_status take_sample(struct shard_writer *w, const char *key, uint64_t hash,
    const struct shard_member *members, size_t n, uint64_t length, struct pl_err *err)
{
	bool frames = w->options.container == SHARD_TAR_ZST;
	enum pl_status status = PL_OK;
	/* A full frame is closed only now: the end-of-archive blocks go into the last one. */
	if (frames && w->frame.len > 0 && (w->frame.len >= w->options.frame_size ||
	    w->frame.len + length > SHARD_FRAME_MAX - SHARD_END_SIZE))
		status = close_frame(w, frame_level(w), err);
	struct shard_index_entry *e = &w->entries[w->n];
	e->key_hash = hash;
	e->frame = (uint32_t)w->nframes;
	e->offset = frames ? (uint32_t)w->frame.len : 0;
	e->length = frames ? (uint32_t)length : 0;
	w->key_at[w->n] = w->keys.len;
	if (status == PL_OK)
		status = pl_buf_add(&w->keys, key, strlen(key) + 1, err);
	if (status == PL_OK && !frames)
		status = shard_sidecar_sample(&w->sidecar, w->tar_bytes, err);
	for (size_t i = 0; i < n && status == PL_OK; i++)
		status = put_member(w, key, &members[i], err);
	return status;
}

static enum pl_status broken(const struct shard_writer *w, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, w->out.path, "writing goes on after an error");
}

enum pl_status shard_writer_add(struct shard_writer *w, const char *key, const struct shard_member *members,
    size_t n, struct pl_err *err)
{
	uint64_t length, hash = pl_hash64(key, strlen(key));
	if (w->broken)
		return broken(w, err);
	enum pl_status status = check_sample(w, key, members, n, &length, err);
	if (status == PL_OK)
		status = grow_entries(w, err);
	if (status != PL_OK)
		return status;
	uint64_t slot = key_slot(w, key, hash);
	if (w->slots[slot])
		return refuse(w, err, key, "it is in this shard already");
	status = take_sample(w, key, hash, members, n, length, err);
	if (status == PL_OK)
		w->slots[slot] = (uint32_t)++w->n;
	else
		w->broken = true;
	return status;
}

/* Index and seek table behind the data frames. */
static enum pl_status put_tables(struct shard_writer *w, struct pl_err *err)
{
	struct pl_buf b;
	pl_buf_init(&b, (size_t)8 << 30);
	enum pl_status status = add_frame(w, &(struct shard_frame) { 0 }, err);
	if (status == PL_OK)
		status = shard_tables_encode(w->entries, w->n, w->frames, w->nframes - 1, &b, err);
	if (status == PL_OK)
		status = put(w, b.data, b.len, err);
	pl_buf_release(&b);
	return status;
}

static enum pl_status write_aside(struct pl_outfile *f, const char *path, const struct pl_buf *b, struct pl_err *err)
{
	enum pl_status status = pl_outfile_open(f, path, err);
	return status == PL_OK ? pl_outfile_write(f, b->data, b->len, err) : status;
}

/* Commit a plain tar. The index files first: a tar that is there has them. */
static enum pl_status commit_plain(struct shard_writer *w, uint64_t end, struct pl_err *err)
{
	struct pl_outfile energon = { .fd = -1 }, dali_file = { .fd = -1 };
	struct pl_outfile *files[3];
	size_t n = 0;
	char *energon_path = NULL, *dali_path = NULL;
	struct pl_buf dali;
	enum pl_status status = shard_sidecar_finish(&w->sidecar, end, &dali, err);
	if (status == PL_OK && !shard_sidecar_paths(w->out.path, &energon_path, &dali_path)) {
		energon_path = dali_path = NULL;
		status = pl_fail_nomem(err);
	}
	if (status == PL_OK && (w->options.leave_out & SHARD_ENERGON) == 0) {
		status = write_aside(&energon, energon_path, &w->sidecar.energon, err);
		files[n++] = &energon;
	}
	if (status == PL_OK && (w->options.leave_out & SHARD_DALI) == 0) {
		status = write_aside(&dali_file, dali_path, &dali, err);
		files[n++] = &dali_file;
	}
	files[n++] = &w->out;
	if (status == PL_OK)
		status = pl_outfile_commit_all(files, n, err);
	pl_outfile_abort(&energon);
	pl_outfile_abort(&dali_file);
	free(energon_path);
	free(dali_path);
	pl_buf_release(&dali);
	return status;
}

enum pl_status shard_writer_commit(struct shard_writer *w, struct shard_written *out, struct pl_err *err)
{
	static const uint8_t zeros[SHARD_END_SIZE];
	uint64_t end = w->tar_bytes;
	int level = frame_level(w);
	enum pl_status status = w->broken ? broken(w, err) : put_tar(w, zeros, sizeof zeros, err);
	w->tar_bytes += sizeof zeros;
	if (status == PL_OK && w->options.container == SHARD_TAR_ZST) {
		status = close_frame(w, level, err);
		if (status == PL_OK)
			status = put_tables(w, err);
	} else if (status == PL_OK) {
		status = flush_plain(w, err);
	}
	if (status == PL_OK && out) {
		out->samples = w->n;
		out->frames = w->options.container == SHARD_TAR_ZST ? w->nframes - 1 : 0;
		out->tar_bytes = w->tar_bytes;
		out->file_bytes = w->out.bytes;
		pl_hasher_digest(w->hasher, out->hash);
	}
	if (status == PL_OK)
		status = w->options.container == SHARD_TAR ? commit_plain(w, end, err) : pl_outfile_commit(&w->out, err);
	writer_free(w);
	return status;
}
