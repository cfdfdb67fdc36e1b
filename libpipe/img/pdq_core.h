/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of PDQ that both recipes share, and its full-size form for the
 * vectors of implementations that do not shrink to 512 first. */
#ifndef PL_IMG_PDQ_CORE_H
#define PL_IMG_PDQ_CORE_H

#include "pdq.h"

enum { PL_PDQ_GRID = 64, PL_PDQ_LEAST = 5 };

/* Luma of n pixels of 1, 3 or 4 channels, in float as Meta's code has it. */
void pl_pdq_luma(const uint8_t *pixels, uint32_t channels, size_t n, float *luma);
/* 64x64 luma, rows top-down -> bits and quality. */
void pl_pdq_from_grid(const float grid[PL_PDQ_GRID * PL_PDQ_GRID], struct pl_pdq *out);

#endif
