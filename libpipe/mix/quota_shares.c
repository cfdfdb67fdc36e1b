/* SPDX-License-Identifier: Apache-2.0 */
/* Exact proportions: products of 128 bits by hand, so that neither the compiler
 * nor the machine has a say in the last sample. */
#include "quota_shares.h"

#include <math.h>

#include "quota.h"

double pl_quota_power(double x, double alpha)
{
	uint64_t bits = (uint64_t)(alpha * 0x1p52);
	double power = 1;

	if (x <= 0)
		return 0;
	if (bits >> 52)
		return x;
	/* alpha = sum of bits 2^-k, so x^alpha = product of the k-th square roots */
	for (unsigned k = 0; k < 52; k++) {
		x = sqrt(x);
		if (bits >> (51 - k) & 1)
			power *= x;
	}
	return power;
}

/* floor(a b / d), d > 0, and what remains; UINT64_MAX when it is more than that. */
static uint64_t mul_div(uint64_t a, uint64_t b, uint64_t d, uint64_t *rest)
{
	uint64_t al = a & 0xFFFFFFFFu, ah = a >> 32, bl = b & 0xFFFFFFFFu, bh = b >> 32;
	uint64_t mid = ah * bl + (al * bl >> 32), cross = (mid & 0xFFFFFFFFu) + al * bh;
	uint64_t high = ah * bh + (mid >> 32) + (cross >> 32), low = a * b, q = 0;

	*rest = 0;
	if (high >= d)
		return UINT64_MAX;
	for (int i = 63; i >= 0; i--) {
		bool carry = high >> 63;
		high = high << 1 | (low >> i & 1);
		q <<= 1;
		if (carry || high >= d) {
			high -= d;
			q |= 1;
		}
	}
	*rest = high;
	return q;
}

void pl_shares_of(const double *w, size_t n, uint64_t *share)
{
	double most = 0, sum = 0;

	/* The largest first: a sum of weights may pass what a double holds. */
	for (size_t i = 0; i < n; i++)
		most = w[i] > most ? w[i] : most;
	for (size_t i = 0; i < n; i++)
		sum += most > 0 ? w[i] / most : 0;
	for (size_t i = 0; i < n; i++) {
		share[i] = most > 0 ? (uint64_t)(w[i] / most / sum * 0x1p60) : 0;
		if (share[i] == 0 && w[i] > 0)
			share[i] = 1;
	}
}

static uint64_t sum_of(const uint64_t *x, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i];
	return sum;
}

/* The largest total of which one share is at most its cap. */
static uint64_t largest_of(uint64_t cap, uint64_t share, uint64_t sum)
{
	uint64_t rest = 0, over, total = mul_div(cap, sum, share, &rest);

	if (total >= PL_QUOTA_MAX)
		return PL_QUOTA_MAX;
	/* share - rest is what one more unit would ask too much */
	over = mul_div(total + 1, share, (uint64_t)1 << 40, &(uint64_t){0});
	return cap > 0 && share - rest <= over ? total + 1 : total;
}

uint64_t pl_shares_largest(const struct pl_apportion *a, size_t *tight)
{
	uint64_t largest = PL_QUOTA_MAX, sum = sum_of(a->share, a->n);

	for (size_t i = 0; i < a->n; i++) {
		uint64_t total = a->share[i] ? largest_of(a->cap[i], a->share[i], sum) : PL_QUOTA_MAX;
		if (total < largest) {
			largest = total;
			*tight = i;
		}
	}
	return largest;
}

/* Index of the next to be given one more; SIZE_MAX: all are at their caps. */
static size_t next_to_round(const struct pl_apportion *a)
{
	size_t at = SIZE_MAX;

	for (size_t i = 0; i < a->n; i++)
		if (a->share[i] > 0 && a->part[i] < a->cap[i] && (at == SIZE_MAX || a->rest[i] > a->rest[at]))
			at = i;
	return at;
}

void pl_shares_apportion(const struct pl_apportion *a, uint64_t total)
{
	uint64_t given = 0, sum = sum_of(a->share, a->n);

	for (size_t i = 0; i < a->n; i++) {
		uint64_t part = mul_div(total, a->share[i], sum, &a->rest[i]);
		a->part[i] = part < a->cap[i] ? part : a->cap[i];
		given += a->part[i];
	}
	while (given < total) {
		size_t i = next_to_round(a);
		if (i == SIZE_MAX)
			break;   /* cannot be: the total is no larger than the largest */
		a->part[i]++;
		a->rest[i] = 0;
		given++;
	}
}
