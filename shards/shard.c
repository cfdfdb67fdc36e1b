/* SPDX-License-Identifier: Apache-2.0 */
/* Samples by number and by key: through the index of a plait shard, or
 * through one made by walking any other tar. */
#include "shard.h"

#include <stdlib.h>
#include <string.h>

#include "bytes_impl.h"
#include "index.h"
#include "libpipe/base/hash.h"
#include "shard_impl.h"
#include "tar_impl.h"

#define SAMPLE_MAX ((uint64_t)1 << 30)   /* tar bytes of a sample read at once */

struct by_hash { uint64_t key_hash, i; };

struct shard {
	char *path;
	struct shard_bytes *bytes;
	uint64_t extra_io;             /* read beside bytes: indexing */
	uint64_t frames;               /* with data */
	struct shard_entry *entries;
	uint64_t n, cap;
	struct by_hash *sorted;        /* made by the first find */
	struct shard_reader *reader;   /* of the last sample read */
	uint8_t *tar;                  /* its bytes */
	size_t tar_cap;
};

/* Entries of a plait index in terms of the whole tar. */
static enum pl_status take_index(struct shard *s, const struct shard_seek_table *t,
    const struct shard_index_entry *e, uint64_t n, struct pl_err *err)
{
	s->entries = calloc(n ? (size_t)n : 1, sizeof *s->entries);
	if (!s->entries)
		return pl_fail_nomem(err);
	for (uint64_t i = 0; i < n; i++) {
		s->entries[i].key_hash = e[i].key_hash;
		s->entries[i].frame = e[i].frame;
		s->entries[i].offset = t->frames[e[i].frame].doffset + e[i].offset;
		s->entries[i].length = e[i].length;
	}
	s->n = s->cap = n;
	return PL_OK;
}

/* *found: the last frame before the seek table is a sample index. */
static enum pl_status load_index(struct shard *s, bool *found, struct pl_err *err)
{
	const struct shard_seek_table *t = shard_bytes_table(s->bytes);
	uint8_t head[16];
	*found = false;
	if (!t || t->n == 0)
		return PL_OK;
	const struct shard_frame *f = &t->frames[t->n - 1];
	if (f->dsize != 0 || f->csize < SHARD_INDEX_OVERHEAD)
		return PL_OK;
	enum pl_status status = shard_bytes_raw(s->bytes, f->coffset, head, sizeof head, err);
	if (status != PL_OK || !shard_index_here(head))
		return status;
	uint8_t *bytes = malloc(f->csize);
	struct shard_index_entry *e = NULL;
	uint64_t n;
	if (!bytes)
		return pl_fail_nomem(err);
	status = shard_bytes_raw(s->bytes, f->coffset, bytes, f->csize, err);
	if (status == PL_OK)
		status = shard_index_decode(bytes, f->csize, t, s->path, &e, &n, err);
	if (status == PL_OK)
		status = take_index(s, t, e, n, err);
	free(bytes);
	free(e);
	*found = status == PL_OK;
	return status;
}

static enum pl_status add_entry(struct shard *s, const struct shard_sample *sample, struct pl_err *err)
{
	if (s->n == s->cap) {
		uint64_t cap = s->cap ? 2 * s->cap : 256;
		struct shard_entry *entries = realloc(s->entries, (size_t)cap * sizeof *entries);
		if (!entries)
			return pl_fail_nomem(err);
		s->entries = entries;
		s->cap = cap;
	}
	int64_t frame = shard_bytes_frame(s->bytes, sample->offset);
	s->entries[s->n++] = (struct shard_entry) {
		.key_hash = pl_hash64(sample->key, strlen(sample->key)),
		.frame = frame < 0 ? 0 : (uint32_t)frame,
		.offset = sample->offset,
		.length = sample->length,
	};
	return PL_OK;
}

/* Walk the headers: data is skipped over where the tar lies uncompressed. */
static enum pl_status make_index(struct shard *s, struct pl_err *err)
{
	struct shard_reader *r;
	struct shard_sample sample;
	bool plain = shard_bytes_kind(s->bytes) != SHARD_BYTES_SEEKABLE;
	enum pl_status status = shard_reader_open_index(&r, s->path, plain ? shard_bytes_fd(s->bytes) : -1,
	    shard_bytes_size(s->bytes), err);
	if (status != PL_OK)
		return status;
	while ((status = shard_reader_next(r, &sample, err)) == PL_OK) {
		status = add_entry(s, &sample, err);
		if (status != PL_OK)
			break;
	}
	if (shard_bytes_kind(s->bytes) == SHARD_BYTES_PLAIN) {
		s->extra_io = r->fd_bytes;
	} else if (!plain && status == PL_END) {
		uint64_t hash[2];
		shard_reader_digest(r, hash, &s->extra_io);
	}
	shard_reader_close(r);
	return status == PL_END ? PL_OK : status;
}

enum pl_status shard_open(struct shard **out, const char *path, struct pl_err *err)
{
	*out = NULL;
	struct shard *s = calloc(1, sizeof *s);
	if (!s)
		return pl_fail_nomem(err);
	bool found = false;
	enum pl_status status;
	s->path = strdup(path);
	status = s->path ? shard_bytes_open(&s->bytes, path, err) : pl_fail_nomem(err);
	if (status == PL_OK)
		status = load_index(s, &found, err);
	if (status == PL_OK && !found)
		status = make_index(s, err);
	if (status != PL_OK) {
		shard_close(s);
		return status;
	}
	const struct shard_seek_table *t = shard_bytes_table(s->bytes);
	for (uint64_t i = 0; t && i < t->n; i++)
		s->frames += t->frames[i].dsize > 0;
	*out = s;
	return PL_OK;
}

void shard_close(struct shard *s)
{
	if (!s)
		return;
	shard_reader_close(s->reader);
	shard_bytes_close(s->bytes);
	free(s->entries);
	free(s->sorted);
	free(s->tar);
	free(s->path);
	free(s);
}

struct shard_bytes *shard_bytes_take(struct shard *s)
{
	struct shard_bytes *b = s->bytes;
	s->bytes = NULL;
	return b;
}

uint64_t shard_count(const struct shard *s)
{
	return s->n;
}

uint64_t shard_frames(const struct shard *s)
{
	return s->frames;
}

struct shard_entry shard_entry(const struct shard *s, uint64_t i)
{
	return s->entries[i];
}

uint64_t shard_io_bytes(const struct shard *s)
{
	return shard_bytes_io(s->bytes) + s->extra_io;
}

/* The tar bytes of sample i in s->tar. */
static enum pl_status load_tar(struct shard *s, uint64_t i, struct pl_err *err)
{
	const struct shard_entry *e = &s->entries[i];
	shard_reader_close(s->reader);
	s->reader = NULL;
	if (e->length > SAMPLE_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_ITEM, s->path, "sample %llu is larger than 1 GiB",
		    (unsigned long long)i);
	if (e->length > s->tar_cap) {
		free(s->tar);
		s->tar_cap = 0;
		s->tar = malloc((size_t)e->length);
		if (!s->tar)
			return pl_fail_nomem(err);
		s->tar_cap = (size_t)e->length;
	}
	return shard_bytes_read(s->bytes, e->offset, s->tar, (size_t)e->length, err);
}

/* The first sample of the range in s->tar; it must be the whole range. */
static enum pl_status parse_tar(struct shard *s, uint64_t i, bool index_only, struct shard_sample *out,
    struct pl_err *err)
{
	const struct shard_entry *e = &s->entries[i];
	const struct shard_read_limits limits = { .max_member = SAMPLE_MAX };
	size_t len = (size_t)e->length;
	enum pl_status status = index_only ?
	    shard_reader_open_memory_index(&s->reader, s->path, s->tar, len, err) :
	    shard_reader_open_memory(&s->reader, s->path, s->tar, len, &limits, err);
	if (status == PL_OK)
		status = shard_reader_next(s->reader, out, err);
	if (status == PL_END || (status == PL_OK && (out->offset != 0 || out->length != e->length)))
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, s->path, "the index and the tar disagree on sample %llu",
		    (unsigned long long)i);
	return status;
}

enum pl_status shard_read(struct shard *s, uint64_t i, struct shard_sample *out, struct pl_err *err)
{
	if (i >= s->n)
		return pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_ITEM, s->path, "has %llu samples, number %llu was asked for",
		    (unsigned long long)s->n, (unsigned long long)i);
	enum pl_status status = load_tar(s, i, err);
	if (status == PL_OK)
		status = parse_tar(s, i, false, out, err);
	if (status != PL_OK)
		return status;
	if (pl_hash64(out->key, strlen(out->key)) != s->entries[i].key_hash)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, s->path, "the index has another key for sample %llu ('%.200s')",
		    (unsigned long long)i, out->key);
	out->index = i;
	out->offset = s->entries[i].offset;
	for (size_t p = 0; p < out->nparts; p++)
		out->parts[p].offset += out->offset;
	return PL_OK;
}

static int compare_hash(const void *a, const void *b)
{
	const struct by_hash *x = a, *y = b;
	if (x->key_hash != y->key_hash)
		return x->key_hash < y->key_hash ? -1 : 1;
	return x->i < y->i ? -1 : x->i > y->i;
}

static enum pl_status sort_keys(struct shard *s, struct pl_err *err)
{
	s->sorted = calloc(s->n ? (size_t)s->n : 1, sizeof *s->sorted);
	if (!s->sorted)
		return pl_fail_nomem(err);
	for (uint64_t i = 0; i < s->n; i++)
		s->sorted[i] = (struct by_hash) { .key_hash = s->entries[i].key_hash, .i = i };
	qsort(s->sorted, (size_t)s->n, sizeof *s->sorted, compare_hash);
	return PL_OK;
}

enum pl_status shard_find(struct shard *s, const char *key, uint64_t *i, struct pl_err *err)
{
	uint64_t hash = pl_hash64(key, strlen(key)), low = 0, high = s->n;
	enum pl_status status = s->sorted ? PL_OK : sort_keys(s, err);
	if (status != PL_OK)
		return status;
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		if (s->sorted[mid].key_hash < hash)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < s->n && s->sorted[low].key_hash == hash; low++) {
		struct shard_sample sample;
		status = load_tar(s, s->sorted[low].i, err);
		if (status == PL_OK)
			status = parse_tar(s, s->sorted[low].i, true, &sample, err);
		if (status != PL_OK)
			return status;
		if (strcmp(sample.key, key) == 0) {
			*i = s->sorted[low].i;
			return PL_OK;
		}
	}
	return pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_ITEM, s->path, "has no sample '%.200s'", key);
}
