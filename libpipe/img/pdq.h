/* SPDX-License-Identifier: Apache-2.0 */
/* Perceptual hashes: PDQ (facebook/ThreatExchange, "The TMK+PDQF Video-Hashing
 * Algorithm and the PDQ Image-Hashing Algorithm", 2019) and pdq-aa, the same
 * transform on an antialiased 64x64 luma. 256 bits and a quality 0..100. */
#ifndef PL_IMG_PDQ_H
#define PL_IMG_PDQ_H

#include "image.h"

enum pl_hash_recipe { PL_HASH_PDQ_AA, PL_HASH_PDQ, PL_HASH_PDQ_512 };   /* appended to only */
extern const char *const pl_hash_recipe_names[];   /* NULL-terminated: "pdq-aa", "pdq", "pdq-512" */

#define PL_PDQ_BYTES 32
struct pl_pdq { uint8_t bits[PL_PDQ_BYTES]; /* big-endian: printing bits[0]..bits[31] as hex gives the published form */ uint8_t quality; };

/* From decoded pixels, oriented as stored (grey, RGB, RGBA: alpha dropped). A side below 5: zero hash, quality 0. pl_pdq hashes the
 * picture as it is, like Meta's Java and Rust implementations and its Python bindings; pl_pdq_512 first shrinks what is larger than 512 on
 * either side to 512x512 by nearest neighbour, like Meta's C++ command-line tool, which comes out some bits apart. */
enum pl_reason pl_pdq(const struct pl_image *im, struct pl_pdq *out);
enum pl_reason pl_pdq_512(const struct pl_image *im, struct pl_pdq *out);
enum pl_reason pl_pdq_aa(const struct pl_image *im, struct pl_pdq *out);

/* The picture turned or mirrored, in PDQ's names: rotations are counterclockwise, FLIPX is upside down, FLIPY exchanges left and right,
 * FLIPPLUS1 transposes (the diagonal from the top left stays), FLIPMINUS1 mirrors at the other diagonal. */
enum pl_dihedral {
	PL_DIHEDRAL_ORIGINAL,
	PL_DIHEDRAL_ROTATE90,
	PL_DIHEDRAL_ROTATE180,
	PL_DIHEDRAL_ROTATE270,
	PL_DIHEDRAL_FLIPX,
	PL_DIHEDRAL_FLIPY,
	PL_DIHEDRAL_FLIPPLUS1,
	PL_DIHEDRAL_FLIPMINUS1,
	PL_DIHEDRAL_COUNT
};
extern const char *const pl_dihedral_names[];      /* NULL-terminated: "original", "rotate90", ... "flipminus1" */

/* Decode as the recipe needs (pdq, pdq-512: full RGB; pdq-aa: JPEG luma at the smallest DCT scale that keeps both sides >= 64, which is
 * within 2 bits of the full picture's hash on average: README.md) and hash. EXIF orientation is ignored: the pixels are hashed as stored, as
 * PDQ's tools do. stats.h has the same with statistics. */
enum pl_reason pl_img_hash(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, enum pl_hash_recipe recipe, struct pl_pdq *out);

int pl_hamming256(const uint8_t a[PL_PDQ_BYTES], const uint8_t b[PL_PDQ_BYTES]);
void pl_pdq_hex(const uint8_t bits[PL_PDQ_BYTES], char out[65]);
/* "HASH QUALITY", as lists of hashes begin their lines: 64 hex digits, a space, the quality in three places. */
enum { PL_PDQ_TEXT = 64 + 1 + 3 + 1 };
void pl_pdq_text(const struct pl_pdq *pdq, char out[PL_PDQ_TEXT]);
/* 64 hex digits -> bits; false if not. */
bool pl_pdq_parse(const char *hex, uint8_t bits[PL_PDQ_BYTES]);

#endif
