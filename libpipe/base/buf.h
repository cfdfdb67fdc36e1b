/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte buffer with a ceiling from birth, and an arena for one
 * sample's strings. */
#ifndef PL_BASE_BUF_H
#define PL_BASE_BUF_H

#include "err.h"

struct pl_buf {
	uint8_t *data;  /* owned; NUL-terminated at data[len] whenever non-NULL */
	size_t len;
	size_t cap;
	size_t max;     /* ceiling in bytes */
};

/* Caller-owned storage. max: ceiling in bytes (0 = 1 GiB). */
void pl_buf_init(struct pl_buf *b, size_t max);
void pl_buf_release(struct pl_buf *b);
void pl_buf_clear(struct pl_buf *b);                 /* len = 0, memory kept */
/* PL_ERR_LIMIT past the ceiling, PL_ERR_NOMEM when malloc fails. */
PL_MUST_CHECK enum pl_status pl_buf_reserve(struct pl_buf *b, size_t extra, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_buf_add(struct pl_buf *b, const void *src, size_t len, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_buf_adds(struct pl_buf *b, const char *s, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_buf_addf(struct pl_buf *b, struct pl_err *err, const char *fmt, ...) PL_PRINTF(3, 4);
/* Give the bytes (malloc'ed, NUL-terminated) to the caller; b is empty afterwards. */
char *pl_buf_detach(struct pl_buf *b, size_t *len);

/* Arena: many small allocations, freed together. */
struct pl_arena { struct pl_arena_block *head; size_t used, max; };
void pl_arena_init(struct pl_arena *a, size_t max);  /* max: ceiling in bytes (0 = 256 MiB) */
void pl_arena_release(struct pl_arena *a);
void pl_arena_clear(struct pl_arena *a);             /* reuse: keeps one block */
/* 16-byte aligned, zeroed; NULL past the ceiling or without memory. */
void *pl_arena_alloc(struct pl_arena *a, size_t size);
/* NUL-terminated copy of s[len]; NULL as above. */
char *pl_arena_strndup(struct pl_arena *a, const char *s, size_t len);
/* printf into the arena; NULL as above. */
char *pl_arena_printf(struct pl_arena *a, const char *fmt, ...) PL_PRINTF(2, 3);

#endif
