/* SPDX-License-Identifier: Apache-2.0 */
/* Images as one JSON object, {"ID": "base64", ...}, the form that MIMIC-IT has:
 * a store of images like a tar, each found by its id. Internal to this room. */
#ifndef PL_CORPUS_IMAGE_JSON_H
#define PL_CORPUS_IMAGE_JSON_H

#include "document.h"
#include "shards/bytes.h"

/* Is a store of this name such a file? */
bool pl_image_json_name(const char *path);
/* Call add for each image, with its id, where its member begins and how many bytes it has when decoded. What is no image (not a
 * string, not base64, empty) is left out. Damage of the file as pl_records_next tells it, after what came before it. */
PL_MUST_CHECK enum pl_status pl_image_json_list(const char *path,
    enum pl_status (*add)(void *ctx, const char *id, uint64_t offset, uint64_t length, struct pl_err *err), void *ctx,
    struct pl_err *err);
/* The length bytes of the image whose member begins at offset, into dst. PL_ERR_NOTFOUND when it is not that. */
PL_MUST_CHECK enum pl_status pl_image_json_read(
    struct shard_bytes *b, uint64_t offset, uint8_t *dst, uint64_t length, struct pl_err *err);

#endif
