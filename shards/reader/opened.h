/* SPDX-License-Identifier: Apache-2.0 */
/* A shard as the readers hold it: where its samples lie, in pieces that are uncompressed at once. And the bounded set of
 * those that one reader has open. */
#ifndef SHARD_READER_OPENED_H
#define SHARD_READER_OPENED_H

#include <sys/types.h>

#include "dataset.h"
#include "shards/seek_table.h"

struct shard_place { uint64_t key_hash; uint32_t offset, length; };   /* of a sample in its piece */
/* Whole samples that follow each other: one zstd frame of plait's, a couple of MiB of other tars. */
struct shard_stretch { uint64_t offset, size, first; };               /* in the uncompressed tar; number of the first sample in the shard */

struct shard_opened {
	const char *path;                   /* the dataset's */
	size_t shard;
	uint64_t n;
	struct shard_place *places;
	struct shard_stretch *pieces;       /* npieces + 1: the last one only ends them */
	uint32_t npieces;
	struct shard_seek_table table;      /* frames NULL: a plain tar, or one unpacked to a temporary file */
	bool spooled;                       /* fd is of a temporary file that cannot be opened again */
	int fd;                             /* -1: closed for the time being */
	dev_t dev;                          /* the file it was, by these */
	ino_t ino;
	off_t file_size;
	/* For struct shard_set. */
	uint32_t refs, fd_users;
	uint64_t used;
};

/* Open, index, count. One that must be unpacked keeps its temporary file. */
PL_MUST_CHECK enum pl_status shard_opened_new(struct shard_opened **o, const char *path, size_t shard, struct pl_err *err);
void shard_opened_free(struct shard_opened *o);   /* NULL works */
/* The piece that holds sample number i of the shard. */
uint32_t shard_opened_piece(const struct shard_opened *o, uint64_t i);

/* Open shards and open files, at most `max` of each where nobody uses more at one time. Not locked: what is marked "under lock"
 * needs the owner's lock where threads share the set, the rest must come from one thread at a time. */
struct shard_set {
	const struct shard_dataset *d;
	struct shard_opened **by_shard;     /* NULL: not open */
	uint32_t max, indexes, files;       /* files: with fd >= 0 */
	uint64_t clock, opened;
};
PL_MUST_CHECK enum pl_status shard_set_init(struct shard_set *s, const struct shard_dataset *d, uint32_t max, struct pl_err *err);
void shard_set_release(struct shard_set *s);
/* Under lock: one more user of shard k when it is open, else NULL. */
struct shard_opened *shard_set_find(struct shard_set *s, size_t k);
/* Not under lock: open shard k and hold it against what the dataset says. */
PL_MUST_CHECK enum pl_status shard_set_open(const struct shard_set *s, size_t k, struct shard_opened **o, struct pl_err *err);
/* Under lock: put it in, with one user; others that nobody uses leave where there are too many. */
void shard_set_put(struct shard_set *s, struct shard_opened *o);
void shard_set_drop(struct shard_set *s, struct shard_opened *o);   /* under lock: one user less */
/* Under lock: its file, open again if it was closed in the meantime; -1 and *err. Every call needs its shard_set_unfile. */
int shard_set_file(struct shard_set *s, struct shard_opened *o, struct pl_err *err);
void shard_set_unfile(struct shard_set *s, struct shard_opened *o);

#endif
