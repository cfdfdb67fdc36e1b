/* SPDX-License-Identifier: Apache-2.0 */
/* A finished data set, or a list of shards, as one row of samples numbered from 0; and a cursor that reads any of
 * them by number or key. A dataset does not change once it is open: threads share it, and it survives fork(). */
#ifndef SHARD_READER_DATASET_H
#define SHARD_READER_DATASET_H

#include "shards/tar_read.h"

struct shard_dataset;

/* path: a directory with dataset.json, that file itself, or one shard. Of a directory only dataset.json is read; its
 * shards are opened when a cursor or loader first needs them, and one whose size or count is not as dataset.json says is
 * PL_ERR_INVALID then, before any of its samples is given out. */
PL_MUST_CHECK enum pl_status shard_dataset_open(struct shard_dataset **d, const char *path, struct pl_err *err);
/* Shards of any kind that shard_open takes, in this order. Each is opened once, to count its samples. One that is
 * compressed without a seek table is unpacked into an unlinked file in $TMPDIR, which stays until the dataset is closed. */
PL_MUST_CHECK enum pl_status shard_dataset_open_shards(struct shard_dataset **d, const char *const *paths, size_t n,
    struct pl_err *err);
/* After every cursor and loader on it. NULL works. */
void shard_dataset_close(struct shard_dataset *d);

uint64_t shard_dataset_count(const struct shard_dataset *d);    /* samples */
size_t shard_dataset_shards(const struct shard_dataset *d);
struct shard_dataset_shard {
	const char *path;
	uint64_t first, samples;    /* numbers first .. first + samples - 1 */
	uint64_t images, tokens;    /* as dataset.json says; 0 without */
	uint64_t bytes;             /* of the file */
};
/* k < shard_dataset_shards. */
struct shard_dataset_shard shard_dataset_shard(const struct shard_dataset *d, size_t k);
/* The shard that holds sample i < shard_dataset_count; O(log shards). */
size_t shard_dataset_locate(const struct shard_dataset *d, uint64_t i);
/* XXH3-128 of the shards' names (without directories), counts and sizes, and of their digests where dataset.json has
 * them: two data sets with one digest give the same sample for the same number. Keep it beside a checkpoint. */
void shard_dataset_digest(const struct shard_dataset *d, uint64_t hash[2]);
/* The text of dataset.json, NUL-terminated; NULL when shards were opened. */
const char *shard_dataset_json(const struct shard_dataset *d, size_t *len);
/* Tar bytes of a sample, on average over the first shard that has any (which is opened for it): what the default
 * block of an order is made from. */
PL_MUST_CHECK enum pl_status shard_dataset_sample_bytes(const struct shard_dataset *d, uint64_t *bytes, struct pl_err *err);

/* ---- one sample at a time -------------------------------------------------------------------- */

/* One thread at a time; any number of cursors on one dataset. */
struct shard_cursor;
struct shard_cursor_options {
	uint64_t cache;         /* bytes of uncompressed frames kept (the newest always is); 0 = 16 MiB */
	uint32_t max_open;      /* shards open at once, files and indexes; 0 = 32. An index takes 16 bytes a sample. */
};
/* options may be NULL. d outlives the cursor. */
PL_MUST_CHECK enum pl_status shard_cursor_open(struct shard_cursor **c, const struct shard_dataset *d,
    const struct shard_cursor_options *options, struct pl_err *err);
void shard_cursor_close(struct shard_cursor *c);   /* NULL works */
/* Sample i, O(1): its frame is read, verified and uncompressed unless it is among those kept. *out (index is i, offsets
 * are those of the shard's tar) is valid until the next call on c. Damage: PL_ERR_INVALID or PL_ERR_TRUNCATED at shard
 * severity, with file, frame and the keys of the samples lost; the cursor can be used on. i past the end: PL_ERR_NOTFOUND. */
PL_MUST_CHECK enum pl_status shard_cursor_read(struct shard_cursor *c, uint64_t i, struct shard_sample *out,
    struct pl_err *err);
/* The first sample with this key; PL_ERR_NOTFOUND. The first call reads the index of every shard (not its samples) and
 * keeps 16 bytes a sample of the data set; later calls are O(log n) and read the candidates' frames. */
PL_MUST_CHECK enum pl_status shard_cursor_find(struct shard_cursor *c, const char *key, uint64_t *i, struct pl_err *err);
/* Frames read and uncompressed so far, and bytes of files read for them. */
struct shard_cursor_stats { uint64_t frames, file_bytes, opened; uint32_t open; };
struct shard_cursor_stats shard_cursor_stats(const struct shard_cursor *c);

#endif
