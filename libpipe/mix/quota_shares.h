/* SPDX-License-Identifier: Apache-2.0 */
/* Shares as whole numbers of about 2^60 in sum, and totals split by them exactly. Internal to quotas. */
#ifndef PL_MIX_QUOTA_SHARES_H
#define PL_MIX_QUOTA_SHARES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* w[i] >= 0 -> share[i], in proportion to within 2^-53; 0 stays 0, and nothing else becomes it. */
void pl_shares_of(const double *w, size_t n, uint64_t *share);

/* n shares, each with the most its part may be (at most 2^53); parts are filled, rests are for the function's own use. */
struct pl_apportion { const uint64_t *share, *cap; uint64_t *part, *rest; size_t n; };
/* The largest total of which no share is above its cap; *tight: the first one that sets it. A share of which only the rounding of weights
 * makes more than its cap (2^-40 of it) is no more. */
uint64_t pl_shares_largest(const struct pl_apportion *a, size_t *tight);
/* Parts that sum to total (at most the largest): each share rounded down, then one more for the largest remainders; among equals the
 * first. */
void pl_shares_apportion(const struct pl_apportion *a, uint64_t total);

#endif
