/* SPDX-License-Identifier: Apache-2.0 */
/* The strict walk behind shard_verify. */
#include "tar_walk.h"

#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"
#include "sidecar.h"
#include "split.h"
#include "tar_read.h"

void shard_walk_init(struct shard_walk *w, const char *path)
{
	memset(w, 0, sizeof *w);
	w->path = path;
	pl_buf_init(&w->keys, 0);
}

void shard_walk_release(struct shard_walk *w)
{
	free(w->samples);
	pl_buf_release(&w->keys);
}

void shard_walk_resume(struct shard_walk *w, uint64_t offset)
{
	w->offset = offset;
	w->data_left = w->pad_left = 0;
	w->have = 0;
	w->in_sample = false;
	w->zero_blocks = 0;
}

static enum pl_status invalid(const struct shard_walk *w, uint64_t offset, const char *text, struct pl_err *err)
{
	enum pl_status status = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, w->path, "%s at byte %llu of the tar", text,
	    (unsigned long long)offset);
	return status;
}

static enum pl_status begin_sample(struct shard_walk *w, const char *key, size_t key_len, struct pl_err *err)
{
	if (w->n == w->cap) {
		uint64_t cap = w->cap ? 2 * w->cap : 256;
		struct shard_walked *samples = realloc(w->samples, (size_t)cap * sizeof *samples);
		if (!samples)
			return pl_fail_nomem(err);
		w->samples = samples;
		w->cap = cap;
	}
	struct shard_walked *s = &w->samples[w->n++];
	*s = (struct shard_walked) { .key_hash = pl_hash64(key, key_len), .offset = w->offset, .key = w->keys.len };
	w->in_sample = true;
	enum pl_status status = pl_buf_add(&w->keys, key, key_len, err);
	if (status == PL_OK)
		status = pl_buf_add(&w->keys, "", 1, err);
	if (status == PL_OK && w->sidecar)
		status = shard_sidecar_sample(w->sidecar, w->offset, err);
	return status;
}

/* A whole block in w->block that is no data; w->offset is where it begins. */
static enum pl_status take_block(struct shard_walk *w, struct pl_err *err)
{
	static const uint8_t zeros[SHARD_BLOCK];
	char name[SHARD_NAME_MAX + 1], key[SHARD_NAME_MAX + 1];
	const char *suffix, *why;
	uint64_t size;
	size_t key_len;
	if (memcmp(w->block, zeros, SHARD_BLOCK) == 0) {
		w->in_sample = false;
		return ++w->zero_blocks > 2 ? invalid(w, w->offset, "more than two end-of-archive blocks", err) : PL_OK;
	}
	if (w->zero_blocks)
		return invalid(w, w->offset, "bytes behind the end-of-archive blocks", err);
	if (!shard_ustar_parse(w->block, name, &size))
		return invalid(w, w->offset, "a header that plait does not write", err);
	if (shard_name_dunder(name) || !shard_split_name(name, &key_len, &suffix))
		return invalid(w, w->offset, "a member name without key", err);
	memcpy(key, name, key_len);
	key[key_len] = 0;
	if (!shard_key_valid(key, &why) || !shard_suffix_valid(suffix, &why))
		return invalid(w, w->offset, "a member name against the rules", err);
	enum pl_status status = PL_OK;
	if (!w->in_sample || strcmp((const char *)w->keys.data + w->samples[w->n - 1].key, key) != 0)
		status = begin_sample(w, key, key_len, err);
	if (status == PL_OK && w->sidecar)
		status = shard_sidecar_member(w->sidecar, name, suffix, w->offset + SHARD_BLOCK, size, err);
	if (status != PL_OK)
		return status;
	w->members++;
	w->data_left = size;
	w->pad_left = shard_padded(size) - size;
	struct shard_walked *s = &w->samples[w->n - 1];
	s->length = w->offset + SHARD_BLOCK + shard_padded(size) - s->offset;
	return PL_OK;
}

enum pl_status shard_walk_feed(struct shard_walk *w, const uint8_t *data, size_t len, struct pl_err *err)
{
	while (len > 0) {
		size_t n = len;
		if (w->data_left) {
			n = n > w->data_left ? (size_t)w->data_left : n;
			w->data_left -= n;
		} else if (w->pad_left) {
			n = n > w->pad_left ? (size_t)w->pad_left : n;
			for (size_t i = 0; i < n; i++)
				if (data[i])
					return invalid(w, w->offset + i, "padding that is not zero", err);
			w->pad_left -= n;
		} else {
			n = n > SHARD_BLOCK - w->have ? SHARD_BLOCK - w->have : n;
			memcpy(w->block + w->have, data, n);
			w->have += n;
			if (w->have == SHARD_BLOCK) {
				w->offset -= SHARD_BLOCK - n;
				enum pl_status status = take_block(w, err);
				if (status != PL_OK)
					return status;
				w->offset += SHARD_BLOCK - n;
				w->have = 0;
			}
		}
		w->offset += n;
		data += n;
		len -= n;
	}
	return PL_OK;
}

enum pl_status shard_walk_end(struct shard_walk *w, bool last, struct pl_err *err)
{
	if (w->data_left || w->pad_left || w->have)
		return pl_fail(err, PL_ERR_TRUNCATED, PL_SEV_SHARD, w->path, "the tar ends inside a member at byte %llu",
		    (unsigned long long)w->offset);
	if (w->zero_blocks != (last ? 2u : 0u))
		return last ?
		    pl_fail(err, PL_ERR_TRUNCATED, PL_SEV_SHARD, w->path, "the tar has no two end-of-archive blocks") :
		    invalid(w, w->offset, "end-of-archive blocks before the last frame", err);
	return PL_OK;
}
