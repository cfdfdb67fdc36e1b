/* SPDX-License-Identifier: Apache-2.0 */
/* What filters want to know of a picture beyond its size, from the luma that
 * hashing decodes anyway. README.md tells what the numbers mean and miss. */
#ifndef PL_IMG_STATS_H
#define PL_IMG_STATS_H

#include "pdq.h"

/* All but jpeg_quality are taken on pdq-aa's 64x64 luma: the whole picture, squashed to a square by an
 * antialiased filter, levels rounded to 1/16. So pictures of every size and format are measured at one
 * scale, and a rescaled or recompressed copy has nearly the same numbers; and what is finer than 1/64 of
 * a side (grain, small print, the focus of a large photograph) is not seen. Sides below 64 are
 * interpolated, which lowers edges and blur. Stored orientation; alpha is dropped, profiles are not
 * applied to JPEG's luma. Integer sums and correctly rounded operations: the same on every machine. */
struct pl_img_stats {
	float mean;           /* 0..255 */
	float contrast;       /* standard deviation, 0..127.5 */
	float entropy;        /* of the 256 levels among the 4096 cells, bits, 0..8 */
	float edges;          /* root of the mean squared gradient, central differences, levels a cell, 0..181 */
	float blur;           /* variance of the Laplacian (-4 and four neighbours), 0..1040400: small = blurred or flat */
	uint8_t blank;        /* 1: some 8 neighbouring levels hold at least 99.5 % of the cells */
	uint8_t jpeg_quality; /* 1..100, 0 = no JPEG or not known */
};
#define PL_STATS_MOST_CONTRAST 127.5f
#define PL_STATS_MOST_EDGES 181.0f
#define PL_STATS_MOST_BLUR 1040400.0f

/* From 64x64 luma, rows top-down, values 0..255; jpeg_quality is set to 0. */
void pl_img_stats_of_grid(const float grid[64 * 64], struct pl_img_stats *out);

/* The quality whose luma table in the IJG's scaling (libjpeg's 1..100) is nearest to the file's, by the
 * sum of absolute differences, the higher of two; read from the header, 0 when it has none. Files of
 * other encoders get the quality of a libjpeg file quantised about as coarsely. */
uint8_t pl_jpeg_quality(const uint8_t *data, size_t len);

/* One decode, as the hash recipe needs it, for hash and statistics. */
enum pl_reason pl_img_scan(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, enum pl_hash_recipe recipe, struct pl_pdq *hash,
    struct pl_img_stats *stats);
/* The same and, unless dihedral is NULL, the PL_DIHEDRAL_COUNT hashes of the picture turned and mirrored. pdq and pdq-512 hash the turned
 * pixels, like python-threatexchange's --rotations: their filter and sampling are not symmetric, so that the transform's own symmetry would
 * give hashes some bits apart (README.md). pdq-aa is symmetric, and turns the transform. */
enum pl_reason pl_img_scan_dihedral(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, enum pl_hash_recipe recipe, struct pl_pdq *hash,
    struct pl_pdq *dihedral, struct pl_img_stats *stats);

#endif
