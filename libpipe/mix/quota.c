/* SPDX-License-Identifier: Apache-2.0 */
/* Shares into targets. A share that cannot be met is an error, never a
 * silently different mixture. */
#include "quota.h"

#include <math.h>
#include <stdlib.h>

#include "quota_shares.h"

const char *const pl_unit_names[] = {"samples", "images", "tokens", NULL};
const char *const pl_strategy_names[] = {"weights", "temperature", "unimax", "all", NULL};
const char *const pl_group_strategy_names[] = {"weights", "temperature", "unimax", "equal", NULL};

typedef unsigned long long ull;

static bool in_shares(const struct pl_quota_source *s)
{
	return s->weight > 0 && !s->left_out;
}

/* The most units a source may give: whole units within its epochs. */
static uint64_t cap_of(const struct pl_quota_source *s, double max_epochs)
{
	double cap;

	if (s->units == 0)
		return 0;
	if (max_epochs <= 0)
		return PL_QUOTA_MAX;
	cap = floor((double)s->units * max_epochs);
	return cap < (double)PL_QUOTA_MAX ? (uint64_t)cap : PL_QUOTA_MAX;
}

/* ---- what cannot be met ---- */

static enum pl_status infeasible(const struct pl_quota_source *s, const struct pl_quota_rule *rule, double part, uint64_t total,
    double max_epochs, uint64_t largest, struct pl_err *err)
{
	const char *unit = pl_unit_names[rule->unit];
	/* the share, rounded up, but for what rounding of weights adds to it */
	double asked = ceil((double)total * part * (1 - 1e-12));

	if (s->units == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "%s '%s' is asked for a share of %.4g%% but has no %s left: take it out, or set its weight to 0", rule->what, s->name,
		    100 * part, unit);
	if (s->groups)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "%s '%s' is asked for %.0f %s (%.4g%% of %llu), but its groups in their shares and epochs give %llu, %.0f too few: the "
		    "largest total possible is %llu; lower 'total' or the weight, or raise 'max_epochs'",
		    rule->what, s->name, asked, unit, 100 * part, (ull)total, (ull)s->most, asked - (double)s->most, (ull)largest);
	return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
	    "%s '%s' is asked for %.0f %s (%.4g%% of %llu), but has %llu, which %.4g epochs make %llu, %.0f too few: the largest "
	    "total possible is %llu; lower 'total' or the weight, or raise 'max_epochs'",
	    rule->what, s->name, asked, unit, 100 * part, (ull)total, (ull)s->units, max_epochs, (ull)s->most,
	    asked - (double)s->most, (ull)largest);
}

/* ---- by shares ---- */

/* Shares as whole numbers; a source that has nothing of what temperature counts has none. */
static enum pl_status weigh(const struct pl_quota_source *s, size_t n, const struct pl_quota_rule *rule, uint64_t *share,
    struct pl_err *err)
{
	double *w = calloc(n, sizeof(*w));

	if (!w)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < n; i++) {
		uint64_t units = s[i].units;
		w[i] = in_shares(&s[i]) ? s[i].weight : 0;
		if (rule->strategy != PL_STRATEGY_TEMPERATURE)
			continue;
		if (rule->max_examples > 0 && units > rule->max_examples)
			units = rule->max_examples;
		w[i] *= pl_quota_power((double)units, rule->alpha);
	}
	pl_shares_of(w, n, share);
	free(w);
	return PL_OK;
}

static enum pl_status split_shares(struct pl_quota_source *s, size_t n, const struct pl_quota_rule *rule, uint64_t total,
    const uint64_t *share, const double *epochs, struct pl_err *err)
{
	struct pl_apportion a = {.share = share, .n = n};
	uint64_t largest, sum = 0, *cap = calloc(3 * n, sizeof(*cap));
	size_t tight = 0;

	if (!cap)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < n; i++) {
		cap[i] = s[i].most;
		sum += share[i];
	}
	a.cap = cap;
	a.part = cap + n;
	a.rest = cap + 2 * n;
	while (sum == 0 && !in_shares(&s[tight]))
		tight++;
	largest = sum ? pl_shares_largest(&a, &tight) : 0;
	if ((total == 0 && largest == 0) || total > largest) {
		free(cap);
		return infeasible(&s[tight], rule, sum ? (double)share[tight] / (double)sum : 0, total, epochs[tight], largest, err);
	}
	pl_shares_apportion(&a, total ? total : largest);
	for (size_t i = 0; i < n; i++)
		s[i].target = share[i] ? a.part[i] : s[i].target;
	free(cap);
	return PL_OK;
}

/* ---- unimax: the same of each, as long as its epochs last (arXiv:2304.09151) ---- */

/* The next in ascending order of what they can give; SIZE_MAX: none is left. */
static size_t smallest(const struct pl_quota_source *s, size_t n, const bool *done)
{
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < n; i++)
		if (in_shares(&s[i]) && !done[i] && (least == SIZE_MAX || s[i].most < s[least].most))
			least = i;
	return least;
}

/* count: sources in the shares, all of them able to give total together. */
static void share_out(struct pl_quota_source *s, size_t n, uint64_t total, uint64_t count, bool *done)
{
	size_t i;

	/* Who cannot give an equal share, most < total / count exactly, gives all there is. */
	while (count > 0 && (i = smallest(s, n, done)) != SIZE_MAX &&
	       (s[i].most < total / count || (s[i].most == total / count && total % count > 0))) {
		done[i] = true;
		s[i].target = s[i].most;
		total -= s[i].most;
		count--;
	}
	/* The others have room for a unit more: their most is no less than the share, rounded up. */
	for (size_t k = 0, more = 0; k < n && count > 0; k++)
		if (in_shares(&s[k]) && !done[k])
			s[k].target = total / count + (more++ < total % count);
}

static enum pl_status split_unimax(struct pl_quota_source *s, size_t n, const struct pl_quota_rule *rule, uint64_t total,
    struct pl_err *err)
{
	uint64_t most = 0, count = 0;
	bool *done;

	for (size_t i = 0; i < n; i++) {
		most += in_shares(&s[i]) ? s[i].most : 0;
		count += in_shares(&s[i]);
	}
	if (total == 0)
		total = most < PL_QUOTA_MAX ? most : PL_QUOTA_MAX;
	if (total > most || total == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "a total of %llu %s is asked for, but the %ss give %llu within their epochs, %llu too few: the largest total possible is "
		    "%llu; lower 'total' or raise 'max_epochs'",
		    (ull)total, pl_unit_names[rule->unit], rule->what, (ull)most, (ull)(total - most), (ull)most);
	done = calloc(n, sizeof(*done));
	if (!done)
		return pl_fail_nomem(err);
	share_out(s, n, total, count, done);
	free(done);
	return PL_OK;
}

/* ---- the whole ---- */

/* What the groups of a source can give at most in their shares. */
static enum pl_status ask_groups(struct pl_quota_source *s, double epochs, struct pl_err *err)
{
	for (size_t i = 0; i < s->ngroups; i++)
		s->groups[i].max_epochs = epochs;
	if (epochs > 0)
		return pl_quota_split(s->groups, s->ngroups, s->group_rule, 0, &s->most, err);
	s->most = PL_QUOTA_MAX;
	return PL_OK;
}

/* The largest target of each source in the shares. */
static enum pl_status find_most(struct pl_quota_source *s, size_t n, const double *epochs, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < n && st == PL_OK; i++) {
		if (!in_shares(&s[i]))
			continue;
		s[i].most = cap_of(&s[i], epochs[i]);
		if (s[i].groups)
			st = ask_groups(&s[i], epochs[i], err);
	}
	return st;
}

static enum pl_status split_within(struct pl_quota_source *s, size_t n, const struct pl_quota_rule *rule, uint64_t total,
    struct pl_err *err)
{
	double *epochs = calloc(n, sizeof(*epochs));
	uint64_t *share = calloc(n, sizeof(*share));
	enum pl_status st = epochs && share ? PL_OK : pl_fail_nomem(err);

	/* "as much as there is" is one epoch */
	for (size_t i = 0; st == PL_OK && i < n; i++)
		epochs[i] = total == 0 && s[i].max_epochs <= 0 ? 1 : s[i].max_epochs;
	if (st == PL_OK)
		st = find_most(s, n, epochs, err);
	if (st == PL_OK && rule->strategy == PL_STRATEGY_UNIMAX) {
		st = split_unimax(s, n, rule, total, err);
	} else if (st == PL_OK) {
		st = weigh(s, n, rule, share, err);
		if (st == PL_OK)
			st = split_shares(s, n, rule, total, share, epochs, err);
	}
	free(epochs);
	free(share);
	return st;
}

/* Every sample, `repeat` times; with groups, as much as their shares and as many epochs give. */
static enum pl_status take_whole(struct pl_quota_source *s, const struct pl_quota_rule *rule, struct pl_err *err)
{
	double passes = s->repeat > 0 ? s->repeat : 1, draws = round((double)s->samples * passes);

	s->unit = PL_UNIT_SAMPLES;
	if (s->groups) {
		enum pl_status st = ask_groups(s, passes, err);
		s->unit = s->group_rule->unit;
		s->target = s->most;
		return st;
	}
	if (draws > (double)PL_QUOTA_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%s '%s' repeated %.4g times is more than 2^53 samples", rule->what,
		    s->name, passes);
	s->target = s->most = (uint64_t)draws;
	return PL_OK;
}

static enum pl_status finish(struct pl_quota_source *s, const struct pl_quota_rule *rule, uint64_t *granted, struct pl_err *err)
{
	uint64_t sum = 0, available;
	enum pl_status st = PL_OK;

	s->unit = rule->unit;
	if (s->left_out)
		return PL_OK;
	if (!in_shares(s))
		st = take_whole(s, rule, err);
	else if (s->groups && s->target > 0)
		st = pl_quota_split(s->groups, s->ngroups, s->group_rule, s->target, &sum, err);
	available = s->unit == rule->unit ? s->units : s->samples;
	s->epochs = available ? (double)s->target / (double)available : 0;
	*granted += s->target;
	return st;
}

enum pl_status pl_quota_split(struct pl_quota_source *s, size_t n, const struct pl_quota_rule *rule, uint64_t total,
    uint64_t *granted, struct pl_err *err)
{
	bool any = false;
	enum pl_status st = PL_OK;

	if (total > PL_QUOTA_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "a total of %llu %s is more than 2^53", (ull)total,
		    pl_unit_names[rule->unit]);
	for (size_t i = 0; i < n; i++) {
		if (!(s[i].weight >= 0) || !isfinite(s[i].weight))
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "the weight of %s '%s' must be 0 or more", rule->what, s[i].name);
		any = any || in_shares(&s[i]);
		s[i].target = s[i].most = 0;
		for (size_t k = 0; k < s[i].ngroups; k++)
			s[i].groups[k].target = 0;
	}
	if (any)
		st = split_within(s, n, rule, total, err);
	else if (total > 0)
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "a total of %llu %s is asked for, but no %s has a weight above 0", (ull)total,
		    pl_unit_names[rule->unit], rule->what);
	*granted = 0;
	for (size_t i = 0; i < n && st == PL_OK; i++)
		st = finish(&s[i], rule, granted, err);
	return st;
}
