/* SPDX-License-Identifier: Apache-2.0 */
/* Weights into targets. A share that cannot be met is an error, never a
 * silently different mixture. */
#include "quota.h"

#include <math.h>
#include <stdlib.h>

const char *const pl_unit_names[] = {"samples", "images", "tokens", NULL};

/* Past 2^53 doubles are no longer exact counts. */
#define MAX_TOTAL ((uint64_t)1 << 53)

/* The most units a source may give: whole units within its epochs. */
static double cap_of(const struct pl_quota_source *s, double max_epochs)
{
	if (s->units == 0)
		return 0;
	return max_epochs > 0 ? floor((double)s->units * max_epochs) : (double)MAX_TOTAL;
}

static double share(const struct pl_quota_source *s, double sum, uint64_t total)
{
	return (double)total * (s->weight / sum);
}

/* Rounding of the division must not turn an exact fit into a miss. */
static bool fits(const struct pl_quota_source *s, double sum, uint64_t total, double max_epochs)
{
	return share(s, sum, total) <= cap_of(s, max_epochs) * (1 + 1e-12);
}

/* The largest total whose every share fits. *tight: the source that sets it. */
static uint64_t largest_total(
    const struct pl_quota_source *s, size_t n, double sum, double max_epochs, size_t *tight)
{
	double best = (double)MAX_TOTAL;
	uint64_t total;

	for (size_t i = 0; i < n; i++) {
		double t = s[i].weight > 0 ? cap_of(&s[i], max_epochs) * (sum / s[i].weight) : best;
		if (s[i].weight > 0 && t < best) {
			best = t;
			*tight = i;
		}
	}
	total = (uint64_t)floor(best * (1 + 1e-12));
	while (total > 0 && !fits(&s[*tight], sum, total, max_epochs))
		total--;
	return total;
}

/* Index of the weighted source to round up (grow) or down next: the largest remainder up, the smallest
 * down; ties: the first source. SIZE_MAX: none is left. */
static size_t next_to_round(
    const struct pl_quota_source *s, size_t n, const double *rest, bool grow, double max_epochs)
{
	size_t at = SIZE_MAX;

	for (size_t i = 0; i < n; i++) {
		if (s[i].weight <= 0 ||
		    (grow ? (double)s[i].target >= cap_of(&s[i], max_epochs) : s[i].target == 0))
			continue;
		if (at == SIZE_MAX || (grow ? rest[i] > rest[at] : rest[i] < rest[at]))
			at = i;
	}
	return at;
}

/* Largest remainder: targets of the weighted sources sum to total exactly. */
static enum pl_status apportion(struct pl_quota_source *s, size_t n, double sum, uint64_t total,
    double max_epochs, struct pl_err *err)
{
	double *rest = calloc(n, sizeof(*rest));
	uint64_t given = 0;

	if (!rest)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < n; i++) {
		double x = s[i].weight > 0 ? share(&s[i], sum, total) : 0, cap = cap_of(&s[i], max_epochs);
		if (s[i].weight <= 0)
			continue;
		x = x < cap ? x : cap;
		s[i].target = (uint64_t)x;
		rest[i] = x - floor(x);
		given += s[i].target;
	}
	while (given != total) {
		bool grow = given < total;
		size_t i = next_to_round(s, n, rest, grow, max_epochs);
		if (i == SIZE_MAX)
			break;   /* cannot be: the shares fit their caps and sum to total */
		s[i].target += grow ? 1 : UINT64_MAX;
		given += grow ? 1 : UINT64_MAX;
		rest[i] += grow ? -1 : 1;
	}
	free(rest);
	return PL_OK;
}

static enum pl_status infeasible(const struct pl_quota_source *s, double sum, uint64_t total,
    double max_epochs, enum pl_unit unit, uint64_t largest, struct pl_err *err)
{
	const char *name = pl_unit_names[unit];

	if (s->units == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "source '%s' is asked for a share of %.4g%% but has no %s left: take it out, or set its weight to 0",
		    s->name, 100 * s->weight / sum, name);
	return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
	    "source '%s' is asked for %.0f %s (%.4g%% of %llu), but has %llu, which %.4g epochs make %.0f: the largest "
	    "total possible is %llu; lower 'total' or the weight, or raise 'max_epochs'",
	    s->name, ceil(share(s, sum, total)), name, 100 * s->weight / sum, (unsigned long long)total,
	    (unsigned long long)s->units, max_epochs, cap_of(s, max_epochs),
	    (unsigned long long)largest);
}

static enum pl_status split_weighted(struct pl_quota_source *s, size_t n, double sum, uint64_t total,
    double max_epochs, enum pl_unit unit, struct pl_err *err)
{
	/* "as much as there is" is one epoch */
	double cap = total == 0 && max_epochs <= 0 ? 1 : max_epochs;
	size_t tight = 0;
	uint64_t largest = largest_total(s, n, sum, cap, &tight);

	if (total > MAX_TOTAL)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "a total of %llu %s is more than 2^53",
		    (unsigned long long)total, pl_unit_names[unit]);
	if ((total == 0 && largest == 0) || total > largest)
		return infeasible(&s[tight], sum, total, cap, unit, largest, err);
	return apportion(s, n, sum, total ? total : largest, cap, err);
}

enum pl_status pl_quota_split(struct pl_quota_source *s, size_t n, uint64_t total, double max_epochs,
    enum pl_unit unit, uint64_t *granted, struct pl_err *err)
{
	double sum = 0;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < n; i++) {
		if (!(s[i].weight >= 0) || !isfinite(s[i].weight) || !isfinite(sum + s[i].weight))
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
			    "the weight of source '%s' must be 0 or more", s[i].name);
		sum += s[i].weight;
		s[i].target = s[i].weight > 0 ? 0 : s[i].units;
	}
	if (sum > 0)
		st = split_weighted(s, n, sum, total, max_epochs, unit, err);
	else if (total > 0)
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "a total of %llu %s is asked for, but no source has a weight above 0",
		    (unsigned long long)total, pl_unit_names[unit]);
	if (st != PL_OK)
		return st;
	*granted = 0;
	for (size_t i = 0; i < n; i++) {
		s[i].epochs = s[i].units ? (double)s[i].target / (double)s[i].units : 0;
		*granted += s[i].target;
	}
	return PL_OK;
}
