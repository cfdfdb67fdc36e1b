/* SPDX-License-Identifier: Apache-2.0 */
/* The one USTAR header that plait writes for a name and a size (SPEC.md "Tar"). */
#ifndef SHARD_USTAR_H
#define SHARD_USTAR_H

#include "libpipe/base/err.h"

#define SHARD_BLOCK 512u
#define SHARD_MEMBER_MAX (((uint64_t)8 << 30) - 1)   /* eleven octal digits */
#define SHARD_NAME_MAX 256u                          /* prefix, '/', name, NUL */

/* size rounded up to whole blocks; size <= SHARD_MEMBER_MAX. */
static inline uint64_t shard_padded(uint64_t size)
{
	return (size + SHARD_BLOCK - 1) / SHARD_BLOCK * SHARD_BLOCK;
}

/* Fill block. false: the name does not fit USTAR (over 100 bytes and no '/' that splits it into at most 155 and 100),
 * or size > SHARD_MEMBER_MAX. */
PL_MUST_CHECK bool shard_ustar_header(uint8_t block[SHARD_BLOCK], const char *name, uint64_t size);

/* Name and size of a header that shard_ustar_header could have made, bit for bit; false for any other block. */
PL_MUST_CHECK bool shard_ustar_parse(const uint8_t block[SHARD_BLOCK], char name[SHARD_NAME_MAX + 1], uint64_t *size);

#endif
