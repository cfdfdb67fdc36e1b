/* SPDX-License-Identifier: Apache-2.0 */
/* Eight Feistel rounds over 2 x half_bits bits; values past n are walked on
 * along their cycle, which ends inside [0, n) after less than four steps on
 * average. */
#include "perm.h"

#include "libpipe/base/hash.h"

enum { ROUNDS = 8, MIN_HALF_BITS = 3 };   /* fewer bits would leave too few orders to choose from */

void pl_perm_init(struct pl_perm *p, uint64_t n, uint64_t seed, uint64_t stream)
{
	p->n = n;
	p->half_bits = MIN_HALF_BITS;
	while (p->half_bits < 32 && (n - 1) >> (2 * p->half_bits) != 0)
		p->half_bits++;
	for (unsigned i = 0; i < ROUNDS; i++)
		p->keys[i] = pl_draw64(seed, stream, i);
}

static uint64_t forward(const struct pl_perm *p, uint64_t v)
{
	uint64_t mask = ((uint64_t)1 << p->half_bits) - 1;
	uint64_t left = v >> p->half_bits, right = v & mask;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t next = left ^ (pl_mix64(right ^ p->keys[i]) & mask);
		left = right;
		right = next;
	}
	return left << p->half_bits | right;
}

static uint64_t backward(const struct pl_perm *p, uint64_t v)
{
	uint64_t mask = ((uint64_t)1 << p->half_bits) - 1;
	uint64_t left = v >> p->half_bits, right = v & mask;

	for (unsigned i = ROUNDS; i-- > 0;) {
		uint64_t before = right ^ (pl_mix64(left ^ p->keys[i]) & mask);
		right = left;
		left = before;
	}
	return left << p->half_bits | right;
}

uint64_t pl_perm_at(const struct pl_perm *p, uint64_t i)
{
	do
		i = forward(p, i);
	while (i >= p->n);
	return i;
}

uint64_t pl_perm_inverse(const struct pl_perm *p, uint64_t v)
{
	do
		v = backward(p, v);
	while (v >= p->n);
	return v;
}

enum { LANES = 16 };

/* One step along the cycle for every lane; the lanes' chains of multiplications overlap. */
static void backward_lanes(const struct pl_perm *p, uint64_t v[LANES])
{
	uint64_t mask = ((uint64_t)1 << p->half_bits) - 1, left[LANES], right[LANES];

	for (size_t k = 0; k < LANES; k++) {
		left[k] = v[k] >> p->half_bits;
		right[k] = v[k] & mask;
	}
	for (unsigned i = ROUNDS; i-- > 0;) {
		for (size_t k = 0; k < LANES; k++) {
			uint64_t before = right[k] ^ (pl_mix64(left[k] ^ p->keys[i]) & mask);
			right[k] = left[k];
			left[k] = before;
		}
	}
	for (size_t k = 0; k < LANES; k++)
		v[k] = left[k] << p->half_bits | right[k];
}

/* A lane that has arrived takes the next number; the last ones go on alone. */
void pl_perm_inverses(const struct pl_perm *p, const uint64_t *v, uint64_t *at, size_t n)
{
	uint64_t lanes[LANES] = {0};
	size_t of[LANES] = {0}, next = 0, busy;

	for (; n >= LANES && next < LANES; next++) {
		lanes[next] = v[next];
		of[next] = next;
	}
	for (busy = next; busy == LANES;) {
		backward_lanes(p, lanes);
		for (size_t k = 0; k < busy; k++) {
			if (lanes[k] >= p->n)
				continue;
			at[of[k]] = lanes[k];
			if (next < n) {
				of[k] = next;
				lanes[k] = v[next++];
			} else {
				lanes[k] = lanes[--busy];
				of[k] = of[busy];
				k--;
			}
		}
	}
	for (size_t k = 0; k < busy; k++)
		at[of[k]] = pl_perm_inverse(p, lanes[k]);
	for (; next < n; next++)
		at[next] = pl_perm_inverse(p, v[next]);
}
