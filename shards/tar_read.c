/* SPDX-License-Identifier: Apache-2.0 */
/* Members into samples: the loop over libarchive's headers, the ceilings, and
 * what is said about a tar that ends too early. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"
#include "split.h"
#include "stream.h"
#include "tar_impl.h"

static uint64_t position(const struct shard_reader *r)
{
	la_int64_t at = archive_filter_bytes(r->archive, 0);
	return r->base + (at < 0 ? 0 : (uint64_t)at);
}

static enum pl_status failed(struct shard_reader *r)
{
	r->state = SHARD_READER_FAILED;
	r->pending = NULL;
	return r->failure.status;
}

/* Keep what libarchive or the source said as r->failure. */
static void fail_archive(struct shard_reader *r)
{
	const char *text = archive_error_string(r->archive);
	if (r->source_failed) {
		r->failure = r->source_err;
	} else if (archive_errno(r->archive) == ENOMEM) {
		(void)pl_fail_nomem(&r->failure);
	} else if (!text || strstr(text, "runcated")) {
		(void)pl_fail(&r->failure, PL_ERR_TRUNCATED, PL_SEV_SHARD, r->path, "the tar ends inside a member");
	} else if (strstr(text, "Unrecognized archive format")) {
		(void)pl_fail(&r->failure, PL_ERR_INVALID, PL_SEV_SHARD, r->path,
		    "is not a tar, or begins with a damaged header");
	} else {
		(void)pl_fail(&r->failure, PL_ERR_INVALID, PL_SEV_SHARD, r->path, "the tar is damaged: %s", text);
	}
	if (!r->source_failed)
		pl_err_at_offset(&r->failure, position(r));
	(void)failed(r);
}

/* libarchive is at its end of archive: was the tar closed, and is the rest of the file sound? */
static void at_end(struct shard_reader *r)
{
	la_int64_t header = archive_read_header_position(r->archive);
	bool closed = header >= 0 && position(r) > r->base + (uint64_t)header;
	r->pending = NULL;
	r->state = SHARD_READER_ENDED;
	if (!closed && r->closes) {
		(void)pl_fail(&r->failure, PL_ERR_TRUNCATED, PL_SEV_SHARD, r->path,
		    "the tar ends without its end-of-archive blocks: it was cut, or never closed");
		pl_err_at_offset(&r->failure, position(r));
		(void)failed(r);
	} else if (r->stream && shard_stream_drain(r->stream, &r->failure) != PL_OK) {
		(void)failed(r);
	}
}

static int next_header(struct shard_reader *r, struct archive_entry **entry)
{
	locale_t before = uselocale(r->c_locale);
	int rc = archive_read_next_header(r->archive, entry);
	(void)uselocale(before);
	return rc;
}

static bool belongs_to_sample(struct shard_reader *r, struct archive_entry *entry)
{
	if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry)) {
		r->skipped.not_regular++;
		return false;
	}
	const char *name = archive_entry_pathname(entry), *suffix;
	size_t key_len;
	if (name && shard_name_dunder(name)) {
		r->skipped.dunder++;
		return false;
	}
	if (!name || !shard_split_name(name, &key_len, &suffix)) {
		r->skipped.no_key++;
		return false;
	}
	return true;
}

/* Go to the next member of a sample: r->pending, or the end, or a failure. */
static void next_member(struct shard_reader *r)
{
	r->pending = NULL;
	while (r->state == SHARD_READER_RUNS && !r->pending) {
		struct archive_entry *entry;
		int rc = next_header(r, &entry);
		if (rc == ARCHIVE_EOF) {
			at_end(r);
		} else if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
			fail_archive(r);
		} else if (belongs_to_sample(r, entry)) {
			la_int64_t header = archive_read_header_position(r->archive);
			r->pending = entry;
			r->pending_offset = r->base + (header < 0 ? 0 : (uint64_t)header);
		}
	}
}

static bool zero_fill(struct shard_reader *r, uint64_t n, struct pl_err *err)
{
	if (n == 0)
		return true;
	if (pl_buf_reserve(&r->data, (size_t)n, err) != PL_OK)
		return false;
	memset(r->data.data + r->data.len, 0, (size_t)n);
	r->data.len += (size_t)n;
	r->data.data[r->data.len] = 0;
	return true;
}

/* Read the pending member's data behind r->data. Damage is kept as r->failure and marks the part. */
static enum pl_status read_data(struct shard_reader *r, struct shard_part_at *at, struct pl_err *err)
{
	uint64_t got = 0;
	const void *block;
	size_t n;
	la_int64_t from;
	int rc;
	while ((rc = archive_read_data_block(r->archive, &block, &n, &from)) == ARCHIVE_OK) {
		if (n == 0)
			continue;
		uint64_t start = from < 0 ? UINT64_MAX : (uint64_t)from;
		if (start < got || start > at->len || n > at->len - start) {
			(void)pl_fail(&r->failure, PL_ERR_INVALID, PL_SEV_SHARD, r->path,
			    "member '%.200s' has data outside its size", (const char *)r->names.data + at->name);
			at->truncated = true;
			(void)failed(r);
			return PL_OK;
		}
		at->sparse = at->sparse || start != got;
		if (!zero_fill(r, start - got, err) || pl_buf_add(&r->data, block, n, err) != PL_OK)
			return err->status;
		got = start + n;
	}
	if (rc != ARCHIVE_EOF) {
		fail_archive(r);
		at->truncated = true;
		return PL_OK;
	}
	at->sparse = at->sparse || got != at->len;
	return zero_fill(r, at->len - got, err) ? PL_OK : err->status;
}

static enum pl_status take_data(struct shard_reader *r, struct shard_part_at *at, bool wanted, struct pl_err *err)
{
	la_int64_t size = archive_entry_size(r->pending);
	if (size < 0 || (uint64_t)size > SIZE_MAX) {
		(void)pl_fail(&r->failure, PL_ERR_INVALID, PL_SEV_SHARD, r->path, "member '%.200s' has no usable size",
		    (const char *)r->names.data + at->name);
		at->truncated = true;
		(void)failed(r);
		return PL_OK;
	}
	at->offset = position(r);
	at->len = (size_t)size;
	at->data = r->data.len;
	at->too_large = (uint64_t)size > r->limits.max_member ||
	    (uint64_t)size > r->limits.max_sample - r->data.len;
	if (wanted && !at->too_large && !r->index_only) {
		enum pl_status status = read_data(r, at, err);
		if (status != PL_OK)
			return status;
		if (at->truncated)
			r->data.len = at->data;
	} else {
		int rc = archive_read_data_skip(r->archive);
		if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
			fail_archive(r);
			at->truncated = true;
		}
	}
	if (!at->truncated) {
		r->end_offset = position(r);
		at->sparse = at->sparse || r->end_offset - at->offset != ((uint64_t)at->len + 511) / 512 * 512;
	}
	return PL_OK;
}

static uint32_t *find_slot(struct shard_reader *r, const char *suffix)
{
	size_t i = (size_t)pl_hash64(suffix, strlen(suffix)) & (r->nslots - 1);
	while (r->slots[i] && strcmp((const char *)r->names.data + r->at[r->slots[i] - 1].suffix, suffix) != 0)
		i = (i + 1) & (r->nslots - 1);
	return &r->slots[i];
}

/* Room for one more part, the set of suffixes at most half full. */
static enum pl_status grow_parts(struct shard_reader *r, struct pl_err *err)
{
	if (r->nparts < r->parts_cap)
		return PL_OK;
	size_t cap = r->parts_cap ? 2 * r->parts_cap : 16;
	struct shard_part_at *at = realloc(r->at, cap * sizeof *at);
	if (!at)
		return pl_fail_nomem(err);
	r->at = at;
	struct shard_part *parts = realloc(r->parts, cap * sizeof *parts);
	if (!parts)
		return pl_fail_nomem(err);
	r->parts = parts;
	uint32_t *slots = calloc(2 * cap, sizeof *slots);
	if (!slots)
		return pl_fail_nomem(err);
	free(r->slots);
	r->slots = slots;
	r->nslots = 2 * cap;
	r->parts_cap = cap;
	for (size_t i = 0; i < r->nparts; i++)
		*find_slot(r, (const char *)r->names.data + r->at[i].suffix) = (uint32_t)i + 1;
	return PL_OK;
}

/* The pending member becomes a part of the sample, or is passed over when its suffix came before. */
static enum pl_status add_member(struct shard_reader *r, bool *duplicate, struct pl_err *err)
{
	const char *name = archive_entry_pathname(r->pending), *suffix;
	size_t key_len;
	enum pl_status status = grow_parts(r, err);
	if (status != PL_OK)
		return status;
	if (!name || !shard_split_name(name, &key_len, &suffix))   /* it did in next_member */
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, r->path, "a member lost its name");
	if (r->nparts >= r->limits.max_parts)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_SHARD, r->path, "sample '%.200s' has more than %lu members",
		    (const char *)r->names.data, (unsigned long)r->limits.max_parts);
	struct shard_part_at *at = &r->at[r->nparts];
	memset(at, 0, sizeof *at);
	at->name = r->names.len;
	at->suffix = at->name + strlen(name) + 1;
	status = pl_buf_add(&r->names, name, strlen(name) + 1, err);
	if (status == PL_OK)
		status = pl_buf_add(&r->names, suffix, strlen(suffix) + 1, err);
	if (status != PL_OK)
		return status;
	char *lower = (char *)r->names.data + at->suffix;
	for (char *p = lower; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	uint32_t *slot = find_slot(r, lower);
	bool first = *slot == 0;
	status = take_data(r, at, first, err);
	if (status != PL_OK)
		return status;
	if (first)
		*slot = (uint32_t)++r->nparts;
	else
		*duplicate = true;
	return PL_OK;
}

static bool same_key(const struct shard_reader *r)
{
	const char *name = archive_entry_pathname(r->pending), *suffix, *key = (const char *)r->names.data;
	size_t key_len;
	return name && shard_split_name(name, &key_len, &suffix) && strlen(key) == key_len &&
	    memcmp(name, key, key_len) == 0;
}

static enum pl_status begin_sample(struct shard_reader *r, struct pl_err *err)
{
	const char *name = archive_entry_pathname(r->pending), *suffix;
	size_t key_len = 0;
	pl_buf_clear(&r->names);
	pl_buf_clear(&r->data);
	r->nparts = 0;
	if (r->nslots)
		memset(r->slots, 0, r->nslots * sizeof *r->slots);
	if (!name || !shard_split_name(name, &key_len, &suffix))
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, r->path, "a member lost its name");
	enum pl_status status = pl_buf_add(&r->names, name, key_len, err);
	return status == PL_OK ? pl_buf_add(&r->names, "", 1, err) : status;
}

static void point_parts(struct shard_reader *r, struct shard_sample *s)
{
	static const uint8_t nothing[1];
	for (size_t i = 0; i < r->nparts; i++) {
		const struct shard_part_at *at = &r->at[i];
		struct shard_part *p = &r->parts[i];
		bool read = !at->too_large && !at->truncated && !r->index_only;
		p->name = (const char *)r->names.data + at->name;
		p->suffix = (const char *)r->names.data + at->suffix;
		p->data = !read ? NULL : at->len ? r->data.data + at->data : nothing;
		p->len = at->len;
		p->offset = at->offset;
		p->too_large = at->too_large;
		p->truncated = at->truncated;
		p->sparse = at->sparse;
	}
	s->key = (const char *)r->names.data;
	s->parts = r->parts;
	s->nparts = r->nparts;
}

enum pl_status shard_reader_next(struct shard_reader *r, struct shard_sample *s, struct pl_err *err)
{
	struct pl_err own;
	if (!err)
		err = &own;
	if (!r->pending)
		next_member(r);
	if (!r->pending) {
		if (r->state == SHARD_READER_ENDED)
			return PL_END;
		*err = r->failure;
		return r->failure.status;
	}
	enum pl_status status = begin_sample(r, err);
	bool duplicate = false;
	s->offset = r->end_offset = r->pending_offset;
	while (status == PL_OK && r->pending) {
		status = add_member(r, &duplicate, err);
		if (status != PL_OK || r->state != SHARD_READER_RUNS)
			break;
		next_member(r);
		if (r->pending && !same_key(r))
			break;
	}
	if (status != PL_OK) {
		r->failure = *err;
		return failed(r);
	}
	s->duplicate_part = duplicate;
	s->index = r->index++;
	s->length = r->end_offset - s->offset;
	point_parts(r, s);
	return PL_OK;
}
