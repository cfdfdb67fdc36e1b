/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing over hashes that are uniform already. Chosen keys can slow
 * one shard's probing down, so the slot comes from a second mixing. */
#include "key_set.h"

#include "libpipe/base/hash.h"

#include <stdlib.h>
#include <string.h>

static bool put(uint64_t *slots, size_t cap, uint64_t hash)
{
	size_t i = (size_t)pl_mix64(hash) & (cap - 1);

	for (; slots[i] != 0; i = (i + 1) & (cap - 1))
		if (slots[i] == hash)
			return false;
	slots[i] = hash;
	return true;
}

static bool grow(struct pl_key_set *s)
{
	size_t cap = s->cap == 0 ? 1024 : s->cap * 2, i;
	uint64_t *slots;

	if (cap < s->cap)
		return false;
	slots = calloc(cap, sizeof(*slots));
	if (slots == NULL)
		return false;
	for (i = 0; i < s->cap; i++)
		if (s->slots[i] != 0)
			put(slots, cap, s->slots[i]);
	free(s->slots);
	s->slots = slots;
	s->cap = cap;
	return true;
}

enum pl_status pl_key_set_add(struct pl_key_set *s, uint64_t hash, bool *seen, struct pl_err *err)
{
	/* 0 marks a free slot. */
	if (hash == 0)
		hash = 1;
	if (s->used >= s->cap / 2 && !grow(s))
		return pl_fail_nomem(err);
	*seen = !put(s->slots, s->cap, hash);
	if (!*seen)
		s->used++;
	return PL_OK;
}

void pl_key_set_release(struct pl_key_set *s)
{
	free(s->slots);
	memset(s, 0, sizeof(*s));
}
