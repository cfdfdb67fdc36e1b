/* SPDX-License-Identifier: Apache-2.0 */
/* Large pages for what is large, the heap for the rest. */
#include "room.h"

#include <stdlib.h>
#include <sys/mman.h>

#define LARGE ((size_t)2 << 20)
#define FROM (LARGE - LARGE / 8)     /* from here on it is worth a large page */
#define GRAIN ((size_t)64 << 10)     /* a multiple of every page size */

uint8_t *shard_room_new(size_t *cap)
{
	if (*cap < FROM)
		return calloc(*cap ? *cap : 1, 1);
	if (*cap > SIZE_MAX - 2 * LARGE)
		return NULL;
	size_t size = *cap < LARGE ? LARGE : (*cap + GRAIN - 1) / GRAIN * GRAIN;
	uint8_t *all = mmap(NULL, size + LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		return NULL;
	size_t before = (LARGE - (uintptr_t)all % LARGE) % LARGE;
	if (before > 0)
		(void)munmap(all, before);
	if (before < LARGE)
		(void)munmap(all + before + size, LARGE - before);
#ifdef MADV_HUGEPAGE
	(void)madvise(all + before, size, MADV_HUGEPAGE);
#endif
	*cap = size;
	return all + before;
}

void shard_room_free(uint8_t *bytes, size_t cap)
{
	if (!bytes)
		return;
	if (cap < FROM)
		free(bytes);
	else
		(void)munmap(bytes, cap);
}
