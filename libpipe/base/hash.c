/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3 by libxxhash: the only place that knows its types. */
#include "hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct pl_hasher {
	XXH3_state_t *state;   /* needs 64-byte alignment, hence its own allocation */
};

uint64_t pl_hash64(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

void pl_hash128(const void *data, size_t len, uint64_t out[2])
{
	XXH128_hash_t h = XXH3_128bits(data, len);

	out[0] = h.low64;
	out[1] = h.high64;
}

void pl_hash128_bytes(const void *data, size_t len, uint8_t out[16])
{
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, XXH3_128bits(data, len));
	memcpy(out, c.digest, sizeof(c.digest));
}

struct pl_hasher *pl_hasher_new(void)
{
	struct pl_hasher *h = malloc(sizeof(*h));

	if (h == NULL)
		return NULL;
	h->state = XXH3_createState();
	if (h->state == NULL) {
		free(h);
		return NULL;
	}
	(void)XXH3_128bits_reset(h->state);
	return h;
}

void pl_hasher_add(struct pl_hasher *h, const void *data, size_t len)
{
	if (len > 0)
		(void)XXH3_128bits_update(h->state, data, len);
}

void pl_hasher_digest(const struct pl_hasher *h, uint64_t out[2])
{
	XXH128_hash_t d = XXH3_128bits_digest(h->state);

	out[0] = d.low64;
	out[1] = d.high64;
}

void pl_hasher_free(struct pl_hasher *h)
{
	if (h == NULL)
		return;
	XXH3_freeState(h->state);
	free(h);
}

void pl_hash128_hex(const uint64_t h[2], char out[33])
{
	snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, h[1], h[0]);
}

bool pl_hash128_parse(const char *hex, uint64_t h[2])
{
	char half[17] = "";

	if (!hex || strlen(hex) != 32 || hex[strspn(hex, "0123456789abcdef")])
		return false;
	memcpy(half, hex, 16);
	h[1] = strtoull(half, NULL, 16);
	h[0] = strtoull(hex + 16, NULL, 16);
	return true;
}
