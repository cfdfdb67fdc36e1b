/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian numbers in byte arrays, whatever the host's order. */
#ifndef SHARD_LE_H
#define SHARD_LE_H

#include <stdint.h>

static inline uint32_t shard_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t shard_le64(const uint8_t *p)
{
	return (uint64_t)shard_le32(p) | (uint64_t)shard_le32(p + 4) << 32;
}

static inline void shard_put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static inline void shard_put64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

#endif
