/* SPDX-License-Identifier: Apache-2.0 */
/* MosaicML's MDS shards, version 2: `u32 n | u32 offset[n+1] | configuration
 * as JSON | samples`, little-endian; a sample is the u32 sizes of its columns
 * of variable size, then all columns. index.json beside the shards names them. */
#ifndef SHARD_MDS_H
#define SHARD_MDS_H

#include "libpipe/base/buf.h"
#include "libpipe/base/err.h"

struct shard_mds_column {
	char *name, *encoding;   /* owned: "text", "str" */
	uint32_t size;           /* of each value; 0 = variable */
};
struct shard_mds_value { const uint8_t *data; size_t len; };

#define SHARD_MDS_COLUMNS_MAX 1024

/* ---- reading ---- */

struct shard_bytes;
struct shard_mds {
	struct shard_bytes *bytes;       /* borrowed */
	char *path;                      /* for messages */
	uint64_t n;                      /* samples */
	struct shard_mds_column *columns;
	size_t ncolumns;
};
/* Head of the shard in b, which outlives m. Counts, offsets and the configuration are checked against the size before memory
 * is taken; errors are at shard severity and leave nothing. */
PL_MUST_CHECK enum pl_status shard_mds_open(struct shard_mds *m, struct shard_bytes *b, const char *path, struct pl_err *err);
void shard_mds_close(struct shard_mds *m);   /* zeroed works; b stays open */
/* Where sample i < n lies. Offsets that go back or past the end: PL_ERR_INVALID. */
PL_MUST_CHECK enum pl_status shard_mds_range(struct shard_mds *m, uint64_t i, uint64_t *offset, uint64_t *length, struct pl_err *err);
/* Split the sample data[len] into m->ncolumns values, which point into data. false: its sizes do not add up to len. */
bool shard_mds_split(const struct shard_mds *m, const uint8_t *data, size_t len, struct shard_mds_value *values);
/* A list[...] value, or with bare a jpeg_array: its elements. false: it is none. elements may be NULL, to learn *n, which is at most
 * len / 4. */
bool shard_mds_list(const struct shard_mds_value *v, bool bare, struct shard_mds_value *elements, size_t *n);

/* Is path a shard of MDS by its name: .mds, or that and .zstd, .zst, .gz or .bz2? */
bool shard_mds_name(const char *path);

/* ---- writing ---- */

struct shard_mds_writer_options {
	const struct shard_mds_column *columns;   /* sorted by name; borrowed until commit */
	size_t ncolumns;
	bool zstd;
	uint64_t size_limit;             /* of the uncompressed file; a sample that is larger alone has a shard of its own */
};
struct shard_mds_writer;
/* A writer of the shards DIR/PREFIX-NN.mds[.zstd], NN from 00. One shard is in memory at a time, twice with zstd. */
PL_MUST_CHECK enum pl_status shard_mds_writer_open(struct shard_mds_writer **w, const char *dir, const char *prefix,
    const struct shard_mds_writer_options *o, struct pl_err *err);
/* Values in the order of the columns, each of its column's size where that is fixed. PL_ERR_LIMIT: the sample is past 4 GiB. */
PL_MUST_CHECK enum pl_status shard_mds_writer_add(struct shard_mds_writer *w, const struct shard_mds_value *values, struct pl_err *err);
/* What index.json says of a finished shard, as compact JSON objects with a comma between them in *entries (owned by the writer); and
 * the names of the files, a line each, in *names. The writer lives on until it is freed. */
PL_MUST_CHECK enum pl_status shard_mds_writer_commit(struct shard_mds_writer *w, const char **entries, const char **names, uint64_t *bytes,
    struct pl_err *err);
void shard_mds_writer_free(struct shard_mds_writer *w);   /* NULL works; what is not committed is given up */
/* Append a list[...] value of n elements to out. */
PL_MUST_CHECK enum pl_status shard_mds_put_list(struct pl_buf *out, const struct shard_mds_value *elements, size_t n, struct pl_err *err);

#endif
