/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas: how many samples of each source a data set draws. */
#ifndef PL_MIX_QUOTA_H
#define PL_MIX_QUOTA_H

#include "libpipe/base/err.h"

enum pl_unit { PL_UNIT_SAMPLES, PL_UNIT_IMAGES, PL_UNIT_TOKENS };
extern const char *const pl_unit_names[];   /* "samples", "images", "tokens"; NULL-terminated */

struct pl_quota_source {
	const char *name;
	double weight;            /* share of the unit, >= 0; need not sum to 1; 0 = take every sample once, outside the shares */
	uint64_t samples;         /* available, kept */
	uint64_t units;           /* available, in the unit of the shares */
	/* out */
	uint64_t target;          /* units asked of this source (largest remainder: targets sum to the total exactly) */
	double epochs;            /* target / units */
};
/* Split total units by weights. total 0 = as much as the weights and max_epochs allow. max_epochs 0 = no cap. A source
 * that cannot give its share within the cap is PL_ERR_USAGE: says which, how much is asked, how much there is, and the largest total possible. */
PL_MUST_CHECK enum pl_status pl_quota_split(struct pl_quota_source *s, size_t n, uint64_t total, double max_epochs, enum pl_unit unit,
    uint64_t *granted, struct pl_err *err);

#endif
