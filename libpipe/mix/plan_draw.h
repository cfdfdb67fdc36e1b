/* SPDX-License-Identifier: Apache-2.0 */
/* The order of draws that planning and slots share. Internal to this room. */
#ifndef PL_MIX_PLAN_DRAW_H
#define PL_MIX_PLAN_DRAW_H

#include "perm.h"
#include "plan.h"

/* pi_pass of a source with n kept samples: depends on the source's name, not on its place in the
 * recipe. */
void pl_pass_perm(struct pl_perm *p, uint64_t n, uint64_t seed, const char *source, uint64_t pass);
/* The plan's entries, and what each is asked for: *entries malloc'ed, one for each of p->sources, NULL or not on an error. */
PL_MUST_CHECK enum pl_status pl_plan_targets(struct pl_plan *p, const struct pl_recipe *r, const struct pl_group_parts *const *parts,
    struct pl_select *const *selects, const char *const *dirs, struct pl_quota_source **entries, struct pl_err *err);
/* floor(k x q / K) without overflow; k <= K <= 2^32. */
uint64_t pl_first_draw(uint64_t q, uint64_t k, uint64_t K);

#endif
