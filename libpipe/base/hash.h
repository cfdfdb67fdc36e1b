/* SPDX-License-Identifier: Apache-2.0 */
/* XXH3 with one spelling, and the splitmix64 mixer used wherever plait needs
 * keyed pseudo-randomness (never rand()). */
#ifndef PL_BASE_HASH_H
#define PL_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t pl_hash64(const void *data, size_t len);                     /* XXH3-64, seed 0 */
void pl_hash128(const void *data, size_t len, uint64_t out[2]);       /* XXH3-128: out[0]=low64, out[1]=high64 */
/* 16 bytes in XXH128 canonical (big-endian) order, as xxh128sum prints them. */
void pl_hash128_bytes(const void *data, size_t len, uint8_t out[16]);
struct pl_hasher;                                                      /* streaming XXH3-128 */
struct pl_hasher *pl_hasher_new(void);                                 /* NULL = no memory */
void pl_hasher_add(struct pl_hasher *h, const void *data, size_t len);
void pl_hasher_digest(const struct pl_hasher *h, uint64_t out[2]);
void pl_hasher_free(struct pl_hasher *h);
void pl_hash128_hex(const uint64_t h[2], char out[33]);                /* 32 hex digits, high first */
bool pl_hash128_parse(const char *hex, uint64_t h[2]);                 /* what it prints; false, h untouched: anything else, or NULL */

/* splitmix64 finaliser: a bijection on 64 bits. */
static inline uint64_t pl_mix64(uint64_t x)
{
	x += 0x9E3779B97F4A7C15u;
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
	return x ^ (x >> 31);
}
/* A keyed 64-bit draw: the same for the same (seed, a, b) everywhere. */
static inline uint64_t pl_draw64(uint64_t seed, uint64_t a, uint64_t b)
{
	return pl_mix64(pl_mix64(pl_mix64(seed) ^ a) ^ b);
}

#endif
