/* SPDX-License-Identifier: Apache-2.0 */
/* The sample index: bytes and back, and what it must agree with. */
#include "index.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "le.h"
#include "ustar.h"

/* Layout of the skippable frame: magic, size | "PLTI", version, count | entries | XXH64. */
#define INNER_MAGIC 0x49544C50u
#define VERSION 1u
#define HEADER 16u
#define ENTRIES_MAX 200000000u

enum pl_status shard_index_encode(const struct shard_index_entry *entries, uint64_t n, struct pl_buf *out,
    struct pl_err *err)
{
	uint8_t b[8 + HEADER];
	if (n > ENTRIES_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "a shard has more than 200,000,000 samples");
	shard_put32(b, SHARD_INDEX_MAGIC);
	shard_put32(b + 4, (uint32_t)(HEADER + n * SHARD_INDEX_ENTRY + 8));
	shard_put32(b + 8, INNER_MAGIC);
	shard_put32(b + 12, VERSION);
	shard_put64(b + 16, n);
	size_t start = out->len + 8;
	enum pl_status status = pl_buf_add(out, b, sizeof b, err);
	for (uint64_t i = 0; i < n && status == PL_OK; i++) {
		shard_put64(b, entries[i].key_hash);
		shard_put32(b + 8, entries[i].frame);
		shard_put32(b + 12, entries[i].offset);
		shard_put32(b + 16, entries[i].length);
		status = pl_buf_add(out, b, SHARD_INDEX_ENTRY, err);
	}
	if (status != PL_OK)
		return status;
	shard_put64(b, XXH64(out->data + start, out->len - start, 0));
	return pl_buf_add(out, b, 8, err);
}

enum pl_status shard_tables_encode(const struct shard_index_entry *entries, uint64_t n, struct shard_frame *frames,
    uint64_t nframes, struct pl_buf *out, struct pl_err *err)
{
	size_t start = out->len;
	enum pl_status status = shard_index_encode(entries, n, out, err);
	frames[nframes] = (struct shard_frame) { .csize = (uint32_t)(out->len - start), .checksum = (uint32_t)XXH64("", 0, 0) };
	return status == PL_OK ? shard_seek_table_encode(frames, nframes + 1, out, err) : status;
}

bool shard_index_here(const uint8_t head[16])
{
	return shard_le32(head) == SHARD_INDEX_MAGIC && shard_le32(head + 8) == INNER_MAGIC;
}

static enum pl_status invalid(struct pl_err *err, const char *path, const char *text)
{
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "the sample index is damaged: %s", text);
}

/* Frame by frame, the samples must tile the uncompressed bytes. */
static const char *check_tiling(const struct shard_index_entry *e, uint64_t n, const struct shard_seek_table *t)
{
	uint64_t i = 0, data_frames = t->n - 1;
	if (data_frames == 0)
		return "there is no data frame";
	for (uint64_t f = 0; f < data_frames; f++) {
		uint64_t at = 0, size = t->frames[f].dsize;
		bool last = f == data_frames - 1;
		for (; i < n && e[i].frame == f; i++) {
			if (e[i].offset != at || e[i].length == 0 || e[i].length % SHARD_BLOCK)
				return "its samples do not lie back to back";
			at += e[i].length;
		}
		if (at == 0 && !(last && data_frames == 1))
			return "a frame has no sample";
		if (at + (last ? SHARD_END_SIZE : 0) != size)
			return "its samples do not fill their frame";
	}
	return i == n ? NULL : "a sample names a frame that is not there";
}

enum pl_status shard_index_decode(const uint8_t *bytes, size_t len, const struct shard_seek_table *t,
    const char *path, struct shard_index_entry **entries, uint64_t *n, struct pl_err *err)
{
	*entries = NULL;
	*n = 0;
	if (len < SHARD_INDEX_OVERHEAD || !shard_index_here(bytes) || shard_le32(bytes + 4) != len - 8)
		return invalid(err, path, "its frame header is wrong");
	if (XXH64(bytes + 8, len - 16, 0) != shard_le64(bytes + len - 8))
		return invalid(err, path, "its checksum differs");
	if (shard_le32(bytes + 12) != VERSION)
		return pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_SHARD, path,
		    "the sample index has version %lu, this plait reads 1", (unsigned long)shard_le32(bytes + 12));
	uint64_t count = shard_le64(bytes + 16);
	size_t body = len - SHARD_INDEX_OVERHEAD;
	if (body % SHARD_INDEX_ENTRY || count != body / SHARD_INDEX_ENTRY)
		return invalid(err, path, "its count and its size differ");
	struct shard_index_entry *e = calloc(count ? (size_t)count : 1, sizeof *e);
	if (!e)
		return pl_fail_nomem(err);
	const uint8_t *p = bytes + 8 + HEADER;
	for (uint64_t i = 0; i < count; i++, p += SHARD_INDEX_ENTRY) {
		e[i].key_hash = shard_le64(p);
		e[i].frame = shard_le32(p + 8);
		e[i].offset = shard_le32(p + 12);
		e[i].length = shard_le32(p + 16);
	}
	const char *why = check_tiling(e, count, t);
	if (why) {
		free(e);
		return invalid(err, path, why);
	}
	*entries = e;
	*n = count;
	return PL_OK;
}
