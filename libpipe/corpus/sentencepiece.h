/* SPDX-License-Identifier: Apache-2.0 */
/* libsentencepiece, which speaks C++ only, for tokens.c. Internal to this room. */
#ifndef PL_CORPUS_SENTENCEPIECE_H
#define PL_CORPUS_SENTENCEPIECE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* From the bytes of a model file; NULL: they are none, or no memory. Freed by pl_spm_free. */
void *pl_spm_new(const void *model, size_t len);
void pl_spm_free(void *spm);
/* Pieces of a text; -1: the library failed. */
int64_t pl_spm_count(const void *spm, const char *s, size_t len);

#ifdef __cplusplus
}
#endif
#endif
