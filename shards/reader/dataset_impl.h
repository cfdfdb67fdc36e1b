/* SPDX-License-Identifier: Apache-2.0 */
/* What struct shard_dataset shows to the other files of this folder. */
#ifndef SHARD_READER_DATASET_IMPL_H
#define SHARD_READER_DATASET_IMPL_H

#include "dataset.h"

struct shard_opened;
/* Shard k where the dataset itself keeps it open: what had to be unpacked. Nobody's to change or close; NULL: it does not. */
struct shard_opened *shard_dataset_kept(const struct shard_dataset *d, size_t k);
/* What shard_dataset_open does with the bytes of a dataset.json in directory dir: d's shards need not be there. */
PL_MUST_CHECK enum pl_status shard_dataset_parse(struct shard_dataset **d, const char *dir, const char *text, size_t len,
    struct pl_err *err);

#endif
