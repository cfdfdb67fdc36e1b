/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for frames and pixels. What is large lies in pages of 2 MiB where the system has them: frames are first written a window at a
 * time, and in pages of 4 KiB the faults take longer than reading them. */
#ifndef SHARD_READER_ROOM_H
#define SHARD_READER_ROOM_H

#include <stddef.h>
#include <stdint.h>

/* *cap bytes, zeroed; *cap grows to what there is. NULL: no memory. */
uint8_t *shard_room_new(size_t *cap);
/* cap: as shard_room_new left it. NULL works. */
void shard_room_free(uint8_t *bytes, size_t cap);

#endif
