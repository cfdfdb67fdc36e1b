/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of PDQ that both recipes share, and its full-size form for the
 * vectors of implementations that do not shrink to 512 first. */
#ifndef PL_IMG_PDQ_CORE_H
#define PL_IMG_PDQ_CORE_H

#include "planes.h"

/* Loops built three times and chosen at load; the order of each float sum is fixed and products are not
 * fused with sums, so all give the same bits. The thread sanitizer is not up yet when that choice is
 * made. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PL_PDQ_CLONES
#endif
#endif
#if !defined(PL_PDQ_CLONES) && defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_THREAD__)
#define PL_PDQ_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#elif !defined(PL_PDQ_CLONES)
#define PL_PDQ_CLONES
#endif

enum { PL_PDQ_GRID = 64, PL_PDQ_LEAST = 5 };

/* Luma of n pixels of 1, 3 or 4 channels, in float as Meta's code has it. */
void pl_pdq_luma(const uint8_t *pixels, uint32_t channels, size_t n, float *luma);
/* The antialiased 64x64 luma of a picture of any size that was width x height before it was decoded
 * at 1, 1/2, 1/4 or 1/8: a reduced picture may end inside its last pixel. KEEP or NO_MEMORY. */
enum pl_reason pl_pdq_grid(const struct pl_image *im, uint32_t width, uint32_t height,
    float grid[PL_PDQ_GRID * PL_PDQ_GRID]);
/* The same of samples that know what they cover; `channels` of them interleaved. */
enum pl_reason pl_pdq_grid_of(
    const struct pl_plane *in, uint32_t channels, float grid[PL_PDQ_GRID * PL_PDQ_GRID]);
/* 64x64 luma, rows top-down -> bits and quality. */
void pl_pdq_from_grid(const float grid[PL_PDQ_GRID * PL_PDQ_GRID], struct pl_pdq *out);
/* The hashes of that grid turned and mirrored, all from one transform: those of the turned grids but for a rounding. */
void pl_pdq_dihedral_from_grid(
    const float grid[PL_PDQ_GRID * PL_PDQ_GRID], struct pl_pdq out[PL_DIHEDRAL_COUNT]);

#endif
