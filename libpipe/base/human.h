/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as people read them, for progress and the final account. */
#ifndef PL_BASE_HUMAN_H
#define PL_BASE_HUMAN_H

#include <stddef.h>
#include <stdint.h>

/* All write into dst[size], 24 bytes are enough, and return dst. */
const char *pl_human_count(double n, char *dst, size_t size);       /* "1234", "1.2 M" */
const char *pl_human_bytes(double n, char *dst, size_t size);       /* "512 B", "1.2 GB" (10^9) */
const char *pl_human_seconds(double s, char *dst, size_t size);     /* "4.2 s", "3 min 5 s", "2 h 10 min" */

#endif
