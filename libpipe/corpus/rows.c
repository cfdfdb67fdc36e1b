/* SPDX-License-Identifier: Apache-2.0 */
/* The column tables of the rows, held to the structs by static assertions: a
 * struct whose size is the sum of its columns has no hidden padding, so the
 * .npy dtype and the struct are one. */
#include "rows.h"

#define COL(s, field, type) { #field, type, 1, (uint32_t)offsetof(struct s, field) }
#define COLV(s, field) { #field, PL_NPY_BYTES, \
	(uint32_t)sizeof(((struct s *)0)->field), (uint32_t)offsetof(struct s, field) }

const struct pl_npy_col pl_sample_cols[] = {
	COL(pl_sample_row, key, PL_NPY_U64),
	COL(pl_sample_row, text_hash, PL_NPY_U64),
	COL(pl_sample_row, offset, PL_NPY_U64),
	COL(pl_sample_row, length, PL_NPY_U64),
	COL(pl_sample_row, first_image, PL_NPY_U64),
	COL(pl_sample_row, id_hash, PL_NPY_U64),
	COL(pl_sample_row, frame, PL_NPY_I32),
	COL(pl_sample_row, images, PL_NPY_U32),
	COL(pl_sample_row, images_ok, PL_NPY_U32),
	COL(pl_sample_row, text_bytes, PL_NPY_U32),
	COL(pl_sample_row, text_words, PL_NPY_U32),
	COL(pl_sample_row, text_tokens, PL_NPY_U32),
	COL(pl_sample_row, segments, PL_NPY_U32),
	COL(pl_sample_row, kind, PL_NPY_U8),
	COL(pl_sample_row, status, PL_NPY_U8),
	COLV(pl_sample_row, pad),
	COL(pl_sample_row, text_chars, PL_NPY_U32),
	COL(pl_sample_row, urls, PL_NPY_U32),
	COL(pl_sample_row, char_repetition, PL_NPY_F32),
	COL(pl_sample_row, word_repetition, PL_NPY_F32),
	COL(pl_sample_row, special_ratio, PL_NPY_F32),
	COL(pl_sample_row, digit_ratio, PL_NPY_F32),
	COL(pl_sample_row, alnum_ratio, PL_NPY_F32),
	COL(pl_sample_row, punctuation_ratio, PL_NPY_F32),
	COLV(pl_sample_row, script),
	COLV(pl_sample_row, language),
	COL(pl_sample_row, language_margin, PL_NPY_F32),
	COLV(pl_sample_row, pad2),
};
const size_t pl_sample_ncols = PL_ARRAY_LEN(pl_sample_cols);
_Static_assert(sizeof(struct pl_sample_row) == 6 * 8 + 7 * 4 + 2 + 2 + 2 * 4 + 6 * 4 + 2 * 4 + 4 + 4, "samples row is packed");
_Static_assert(sizeof(struct pl_sample_row) % 8 == 0, "metadata columns behind it are aligned");
_Static_assert(PL_ARRAY_LEN(pl_sample_cols) == 6 + 7 + 3 + 2 + 6 + 2 + 1 + 1, "every field has its column");

const struct pl_npy_col pl_image_cols[] = {
	COL(pl_image_row, sample, PL_NPY_U64),
	COL(pl_image_row, offset, PL_NPY_U64),
	COL(pl_image_row, length, PL_NPY_U64),
	COL(pl_image_row, store, PL_NPY_U32),
	COL(pl_image_row, position, PL_NPY_U32),
	COL(pl_image_row, width, PL_NPY_U32),
	COL(pl_image_row, height, PL_NPY_U32),
	COLV(pl_image_row, xxh3),
	COLV(pl_image_row, pdq),
	COL(pl_image_row, pdq_quality, PL_NPY_U8),
	COL(pl_image_row, where, PL_NPY_U8),
	COL(pl_image_row, format, PL_NPY_U8),
	COL(pl_image_row, orientation, PL_NPY_U8),
	COL(pl_image_row, status, PL_NPY_U8),
	COLV(pl_image_row, pad),
	COL(pl_image_row, similarity, PL_NPY_F32),
	COL(pl_image_row, bits_per_pixel, PL_NPY_F32),
	COL(pl_image_row, mean, PL_NPY_F32),
	COL(pl_image_row, contrast, PL_NPY_F32),
	COL(pl_image_row, entropy, PL_NPY_F32),
	COL(pl_image_row, edges, PL_NPY_F32),
	COL(pl_image_row, blur, PL_NPY_F32),
	COL(pl_image_row, frames, PL_NPY_U32),
	COL(pl_image_row, jpeg_quality, PL_NPY_U8),
	COL(pl_image_row, blank, PL_NPY_U8),
	COLV(pl_image_row, pad2),
};
const size_t pl_image_ncols = PL_ARRAY_LEN(pl_image_cols);
_Static_assert(sizeof(struct pl_image_row) == 3 * 8 + 4 * 4 + 16 + 32 + 5 + 3 + 7 * 4 + 4 + 2 + 6,
    "images row is packed");
_Static_assert(sizeof(struct pl_image_row) % 8 == 0, "images rows are aligned");
_Static_assert(PL_ARRAY_LEN(pl_image_cols) == 3 + 4 + 2 + 5 + 1 + 7 + 1 + 2 + 1, "every field has its column");

const struct pl_npy_col pl_filter_cols[] = {
	COL(pl_filter_row, verdict, PL_NPY_U8),
	COL(pl_filter_row, rule, PL_NPY_U8),
};
const size_t pl_filter_ncols = PL_ARRAY_LEN(pl_filter_cols);
_Static_assert(sizeof(struct pl_filter_row) == 2, "filter row is packed");

const struct pl_npy_col pl_dedup_cols[] = {
	COL(pl_dedup_row, survivor_key, PL_NPY_U64),
	COL(pl_dedup_row, survivor_row, PL_NPY_U64),
	COL(pl_dedup_row, survivor_corpus, PL_NPY_U32),
	COL(pl_dedup_row, survivor_shard, PL_NPY_U32),
	COL(pl_dedup_row, distance, PL_NPY_U16),
	COL(pl_dedup_row, verdict, PL_NPY_U8),
	COLV(pl_dedup_row, pad),
};
const size_t pl_dedup_ncols = PL_ARRAY_LEN(pl_dedup_cols);
_Static_assert(sizeof(struct pl_dedup_row) == 2 * 8 + 2 * 4 + 2 + 1 + 5, "dedup row is packed");
