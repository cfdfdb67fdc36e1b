/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the images that documents name: a folder, or tars whose members are
 * indexed once into sorted tables on disk (memory does not grow with them). */
#ifndef PL_CORPUS_IMAGE_INDEX_H
#define PL_CORPUS_IMAGE_INDEX_H

#include "document.h"

/* Index one image tar into DIR/names-NNNNN.npy: rows (hash, offset, length) sorted by hash; each member under its full name,
 * its base name, and its base name behind the first dot when that still has a dot (KEY.NAME.jpg -> NAME.jpg). */
PL_MUST_CHECK enum pl_status pl_image_index_build(const char *tar, const char *dir, size_t number,
    enum pl_status (*poll)(void *ctx, struct pl_err *err), void *poll_ctx, struct pl_err *err);

struct pl_image_index;
/* tars: n paths indexed by pl_image_index_build under numbers 0..n-1; or folder (tars NULL). */
PL_MUST_CHECK enum pl_status pl_image_index_open(struct pl_image_index **x, const char *dir, char *const *tars, size_t n,
    const char *folder, struct pl_err *err);
void pl_image_index_close(struct pl_image_index *x);
/* Where is the image a document calls name? Tries the name, then its base name. PL_ERR_NOTFOUND. Names that leave the folder
 * ("..", absolute) are never followed. Lowest store, then lowest offset wins. */
PL_MUST_CHECK enum pl_status pl_image_index_find(const struct pl_image_index *x, const char *name, enum pl_where *where,
    uint32_t *store, uint64_t *offset, uint64_t *length, struct pl_err *err);
/* Read the bytes found into malloc'ed *data. limit: PL_ERR_LIMIT past it. Open files are cached (at most 64). */
PL_MUST_CHECK enum pl_status pl_image_index_read(struct pl_image_index *x, const char *name, enum pl_where where, uint32_t store,
    uint64_t offset, uint64_t length, uint8_t **data, struct pl_err *err);

#endif
