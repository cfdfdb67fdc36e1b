/* SPDX-License-Identifier: Apache-2.0 */
/* Reading any tar (plain, gzip, zstd, xz, bzip2; ustar, PAX, GNU) as a stream
 * through libarchive, and grouping members into samples by the WebDataset
 * rule (webdataset src/webdataset/tariterators.py; documented corner cases in
 * SPEC.md section "Samples"). */
#ifndef SHARD_TAR_READ_H
#define SHARD_TAR_READ_H

#include "libpipe/base/err.h"

struct shard_part {
	const char *suffix;     /* lower-cased text after the key's dot: "jpg", "seg.png" */
	const char *name;       /* member name as stored */
	const uint8_t *data;    /* len bytes; NULL when too large or truncated */
	size_t len;
	uint64_t offset;        /* of the data in the uncompressed tar */
	bool too_large;         /* longer than max_member: not read */
	bool truncated;         /* the tar ended inside */
	bool sparse;            /* stored with holes: offset is not of plain bytes; read the sample's range instead */
};

struct shard_sample {
	const char *key;
	struct shard_part *parts;
	size_t nparts;
	uint64_t index;         /* 0-based number in the shard */
	uint64_t offset;        /* of the first member's first header (extension headers included), uncompressed */
	uint64_t length;        /* to the end of the last member's data and padding */
	bool duplicate_part;    /* a suffix came twice; the first one is kept in parts */
};

struct shard_read_limits {
	uint64_t max_member;    /* bytes of one member held in memory; 0 = 256 MiB */
	uint64_t max_sample;    /* bytes of one sample held in memory; 0 = 1 GiB */
	uint32_t max_parts;     /* members of one sample; 0 = 100,000 */
};

/* The members that belong to no sample, counted as they are passed over. */
struct shard_skipped { uint64_t not_regular, dunder, no_key; };

struct shard_reader;
/* path: a file, or "-" for standard input. PL_ERR_NOTFOUND / PL_ERR_IO at shard severity. An empty file or one that is
 * no tar is PL_ERR_INVALID here or at the first next. */
PL_MUST_CHECK enum pl_status shard_reader_open(struct shard_reader **r, const char *path,
    const struct shard_read_limits *limits, struct pl_err *err);
/* The same over bytes in memory (a sample's range of a tar; no end-of-archive blocks needed); path for messages. data outlives r. */
PL_MUST_CHECK enum pl_status shard_reader_open_memory(struct shard_reader **r, const char *path, const void *data, size_t len,
    const struct shard_read_limits *limits, struct pl_err *err);
/* Next sample; *s is valid until the next call. PL_END at the end. A cut or damaged tar: the samples read whole come
 * first, then the part-read sample (its last part truncated), then PL_ERR_TRUNCATED or PL_ERR_INVALID at shard severity with offset. */
PL_MUST_CHECK enum pl_status shard_reader_next(struct shard_reader *r, struct shard_sample *s, struct pl_err *err);
/* After PL_END: XXH3-128 and size of the file's raw bytes as they lie on disk. */
void shard_reader_digest(const struct shard_reader *r, uint64_t hash[2], uint64_t *bytes);
const struct shard_skipped *shard_reader_skipped(const struct shard_reader *r);
void shard_reader_close(struct shard_reader *r);   /* NULL works */

/* Split a member name by WebDataset's rule. false: no key (skipped). *key_len bytes of name are the key;
 * *suffix points behind the dot. */
bool shard_split_name(const char *name, size_t *key_len, const char **suffix);

/* Does the suffix, behind its last dot, say that the member is an image: jpg jpeg png webp gif bmp avif? (What the bytes are is another matter.) */
bool shard_image_suffix(const char *suffix);

#endif
