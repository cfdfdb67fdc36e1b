/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a corpus' tables, as they lie in the .npy files. All fields are
 * naturally aligned, little-endian; the column tables in rows.c match the
 * structs byte by byte (static assertions). Documented in README.md. */
#ifndef PL_CORPUS_ROWS_H
#define PL_CORPUS_ROWS_H

#include "libpipe/base/npy.h"

/* Counts up whenever what ingest writes changes; part of what makes a finished unit be recognised. */
#define PL_TABLES_VERSION 3

/* UNIT.samples.npy: one row per sample; f64 metadata columns of the source follow the struct. */
struct pl_sample_row {
	uint64_t key;           /* XXH3-64 of the key */
	uint64_t text_hash;     /* pl_document_text_stats; 0 = no text */
	uint64_t offset;        /* of the sample in the uncompressed shard */
	uint64_t length;
	uint64_t first_image;   /* row in UNIT.images.npy */
	uint64_t id_hash;       /* XXH3-64 of the source's id field; 0 = none */
	int32_t frame;          /* frame holding offset, -1 = not seekable zstd */
	uint32_t images;        /* number of image rows */
	uint32_t images_ok;     /* of these with status 0 */
	uint32_t text_bytes, text_words, text_tokens;
	uint32_t segments;
	uint8_t kind;           /* enum pl_kind */
	uint8_t status;         /* enum pl_reason */
	uint8_t pad[2];
	uint32_t text_chars;    /* from here on: text_measure.h; NAN and zeros = not known */
	uint32_t urls;
	float char_repetition, word_repetition, special_ratio, digit_ratio, alnum_ratio, punctuation_ratio;
	uint8_t script[4];      /* ISO 15924 */
	uint8_t language[4];    /* ISO 639 */
	float language_margin;
	uint8_t pad2[4];
};
extern const struct pl_npy_col pl_sample_cols[];
extern const size_t pl_sample_ncols;

/* UNIT.images.npy: one row per image of a document, in document order. */
struct pl_image_row {
	uint64_t sample;        /* row in UNIT.samples.npy */
	uint64_t offset;        /* SHARD, STORE: of the bytes in the uncompressed file */
	uint64_t length;        /* bytes of the encoded image */
	uint32_t store;         /* STORE: index into the manifest's image tars */
	uint32_t position;      /* index in the document's image list */
	uint32_t width, height; /* after EXIF orientation */
	uint8_t xxh3[16];       /* canonical XXH3-128 of the bytes */
	uint8_t pdq[32];
	uint8_t pdq_quality;
	uint8_t where;          /* enum pl_where */
	uint8_t format;         /* enum pl_format */
	uint8_t orientation;    /* 1..8 */
	uint8_t status;         /* enum pl_reason */
	uint8_t pad[3];
	float similarity;       /* NAN = none */
	float bits_per_pixel;
	float mean, contrast, entropy, edges, blur;   /* libpipe/img/stats.h; NAN = not decoded */
	uint32_t frames;        /* 1 = still, 0 = not known */
	uint8_t jpeg_quality;   /* 1..100, 0 = no JPEG or not known */
	uint8_t blank;          /* 1 = solid or nearly */
	uint8_t pad2[6];
};
extern const struct pl_npy_col pl_image_cols[];
extern const size_t pl_image_ncols;

/* UNIT.filter.npy (rows of samples) and UNIT.filter-images.npy (rows of images). */
struct pl_filter_row {
	uint8_t verdict;
	uint8_t rule;           /* the rule that dropped the row, as numbered in filter.json from 1; 0 = none */
};
extern const struct pl_npy_col pl_filter_cols[];
extern const size_t pl_filter_ncols;

/* UNIT.dedup.npy (rows of samples) and UNIT.dedup-images.npy (rows of images). */
struct pl_dedup_row {
	uint64_t survivor_key;  /* key hash of the kept sample this one gave way to; 0 = kept */
	uint64_t survivor_row;  /* row in the survivor's table */
	uint32_t survivor_corpus;  /* index into dedup.json's corpora */
	uint32_t survivor_shard;
	uint16_t distance;      /* Hamming; 0 for equal bytes or text; of near texts 1000 (1 - Jaccard), rounded up */
	uint8_t verdict;        /* enum pl_reason */
	uint8_t pad[5];
};
extern const struct pl_npy_col pl_dedup_cols[];
extern const size_t pl_dedup_ncols;

#endif
