/* SPDX-License-Identifier: Apache-2.0 */
/* USTAR headers with nothing in them that could differ between two runs. */
#include "ustar.h"

#include <string.h>

enum { NAME = 0, MODE = 100, UID = 108, GID = 116, SIZE = 124, MTIME = 136, CHECKSUM = 148, TYPE = 156,
	MAGIC = 257, DEVMAJOR = 329, DEVMINOR = 337, PREFIX = 345 };

/* len - 1 octal digits and a NUL. */
static void put_octal(uint8_t *field, size_t len, uint64_t value)
{
	field[len - 1] = 0;
	for (size_t i = len - 1; i-- > 0; value >>= 3)
		field[i] = (uint8_t)('0' + (value & 7));
}

/* The leftmost slash that leaves at most 100 bytes behind it; NULL when none does within the prefix. */
static const char *split_prefix(const char *name, size_t len)
{
	for (const char *p = strchr(name, '/'); p; p = strchr(p + 1, '/')) {
		size_t before = (size_t)(p - name), behind = len - before - 1;
		if (before > 155)
			return NULL;
		if (before > 0 && behind > 0 && behind <= 100)
			return p;
	}
	return NULL;
}

static void put_checksum(uint8_t *block)
{
	unsigned sum = 0;
	memset(block + CHECKSUM, ' ', 8);
	for (size_t i = 0; i < SHARD_BLOCK; i++)
		sum += block[i];
	/* Six digits, NUL, and the blank that stands there already. */
	put_octal(block + CHECKSUM, 7, sum);
}

bool shard_ustar_header(uint8_t block[SHARD_BLOCK], const char *name, uint64_t size)
{
	size_t len = strlen(name);
	if (len == 0 || len > SHARD_NAME_MAX || size > SHARD_MEMBER_MAX)
		return false;
	memset(block, 0, SHARD_BLOCK);
	if (len <= 100) {
		memcpy(block + NAME, name, len);
	} else {
		const char *slash = split_prefix(name, len);
		if (!slash)
			return false;
		memcpy(block + PREFIX, name, (size_t)(slash - name));
		memcpy(block + NAME, slash + 1, len - (size_t)(slash - name) - 1);
	}
	put_octal(block + MODE, 8, 0444);
	put_octal(block + UID, 8, 0);
	put_octal(block + GID, 8, 0);
	put_octal(block + SIZE, 12, size);
	put_octal(block + MTIME, 12, 0);
	block[TYPE] = '0';
	memcpy(block + MAGIC, "ustar\0" "00", 8);
	put_octal(block + DEVMAJOR, 8, 0);
	put_octal(block + DEVMINOR, 8, 0);
	put_checksum(block);
	return true;
}

bool shard_ustar_parse(const uint8_t block[SHARD_BLOCK], char name[SHARD_NAME_MAX + 1], uint64_t *size)
{
	uint8_t again[SHARD_BLOCK];
	size_t prefix = 0;
	while (prefix < 155 && block[PREFIX + prefix])
		prefix++;
	memcpy(name, block + PREFIX, prefix);
	if (prefix)
		name[prefix++] = '/';
	size_t len = 0;
	while (len < 100 && block[NAME + len])
		len++;
	memcpy(name + prefix, block + NAME, len);
	name[prefix + len] = 0;
	*size = 0;
	for (size_t i = 0; i < 11; i++) {
		uint8_t digit = block[SIZE + i];
		if (digit < '0' || digit > '7')
			return false;
		*size = *size * 8 + (uint64_t)(digit - '0');
	}
	return shard_ustar_header(again, name, *size) && memcmp(again, block, SHARD_BLOCK) == 0;
}
