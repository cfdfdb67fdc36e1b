/* SPDX-License-Identifier: Apache-2.0 */
/* What struct shard shows to shards/reader. */
#ifndef SHARD_SHARD_IMPL_H
#define SHARD_SHARD_IMPL_H

#include "shard.h"

struct shard_bytes;
/* The bytes behind s become the caller's; s can then only be asked for its entries, and closed. */
struct shard_bytes *shard_bytes_take(struct shard *s);

#endif
