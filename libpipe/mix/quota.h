/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas: how much of each source, and of each group of its samples, a data set
 * draws. Whole numbers throughout, and of floating point only what IEEE 754 rounds
 * exactly (+ - x / and the square root), so that every machine finds the same. */
#ifndef PL_MIX_QUOTA_H
#define PL_MIX_QUOTA_H

#include <stdbool.h>

#include "libpipe/base/err.h"

enum pl_unit { PL_UNIT_SAMPLES, PL_UNIT_IMAGES, PL_UNIT_TOKENS };
extern const char *const pl_unit_names[];   /* "samples", "images", "tokens"; NULL-terminated */

enum pl_strategy { PL_STRATEGY_WEIGHTS, PL_STRATEGY_TEMPERATURE, PL_STRATEGY_UNIMAX, PL_STRATEGY_ALL, PL_STRATEGY_EQUAL = PL_STRATEGY_ALL };
extern const char *const pl_strategy_names[];         /* of sources: "weights", "temperature", "unimax", "all" */
extern const char *const pl_group_strategy_names[];   /* of groups: the same, with "equal" in the place of "all" */

/* Past 2^53 doubles are no longer exact counts. */
#define PL_QUOTA_MAX ((uint64_t)1 << 53)

/* How a total is split. Shares: weights: as the weights; temperature: as weight x min(units, max_examples)^alpha;
 * unimax: the same of each, as long as its epochs last. */
struct pl_quota_rule {
	enum pl_strategy strategy;
	enum pl_unit unit;
	double alpha;             /* temperature: 0 to 1 */
	uint64_t max_examples;    /* temperature: 0 = no limit */
	const char *what;         /* "source" or "group", for messages */
};

struct pl_quota_source {
	const char *name;
	double weight;            /* factor of its share, >= 0; need not sum to 1; 0 = every sample `repeat` times, outside the shares */
	double repeat;            /* passes outside the shares; 0 counts as 1 */
	double max_epochs;        /* most times it may be drawn within the shares; 0 = no limit */
	bool left_out;            /* nothing of it is drawn */
	uint64_t samples;         /* available, kept */
	uint64_t units;           /* available, in the unit of the rule */
	struct pl_quota_source *groups; size_t ngroups;   /* NULL = none; samples and units are their sums. Their repeat and max_epochs are set here */
	const struct pl_quota_rule *group_rule;
	/* out */
	uint64_t target;          /* asked of this source (largest remainder: targets sum to the total exactly) */
	enum pl_unit unit;        /* of the target: the rule's; samples outside the shares */
	double epochs;            /* target / available */
	uint64_t most;            /* the largest target it can meet */
};
/* Split total units over n sources by the rule, and each source's target over its groups. total 0 = as much as the shares and max_epochs allow,
 * where no limit counts as one epoch. *granted: the targets' sum. What cannot be met is PL_ERR_USAGE: says which source, how much is
 * asked, how much there is, how much is lacking and the largest total possible. */
PL_MUST_CHECK enum pl_status pl_quota_split(struct pl_quota_source *s, size_t n, const struct pl_quota_rule *rule, uint64_t total,
    uint64_t *granted, struct pl_err *err);

/* x^alpha for alpha in [0, 1], of square roots and products alone; 0 for x = 0. */
double pl_quota_power(double x, double alpha);

#endif
