/* SPDX-License-Identifier: Apache-2.0 */
/* The order of draws that planning and slots share. Internal to this room. */
#ifndef PL_MIX_PLAN_DRAW_H
#define PL_MIX_PLAN_DRAW_H

#include "plan.h"

/* floor(k x q / K) without overflow; k <= K <= 2^32. */
uint64_t pl_first_draw(uint64_t q, uint64_t k, uint64_t K);
/* The order of one pass over source i of a plan. It depends on the source's name, not on its place in the recipe; it is the
 * selection's, until its next order. */
PL_MUST_CHECK enum pl_status pl_pass_order(const struct pl_plan *p, size_t i, struct pl_select *select, uint64_t pass,
    struct pl_order **order, struct pl_err *err);

/* The plan's entries, and what each is asked for: *entries malloc'ed, one for each of p->sources, NULL or not on an error. */
PL_MUST_CHECK enum pl_status pl_plan_targets(struct pl_plan *p, const struct pl_recipe *r, const struct pl_group_parts *const *parts,
    struct pl_select *const *selects, const char *const *dirs, struct pl_quota_source **entries, struct pl_err *err);
/* What is drawn of a pass: the first samples by place (order.h) whose units reach target. */
struct pl_draw_rule { enum pl_unit unit; uint64_t target; };
struct pl_drawn { uint64_t units, samples, images, tokens; };
/* target is greater than 0 and no more than the units of all kept samples. *groups: the way's; becomes 0 when so many groups do not
 * hold the target. Reads the tables once, and where units are not samples the verdicts again. Memory: by the root of the samples.
 * Collective over the crew. */
PL_MUST_CHECK enum pl_status pl_draw_until(struct pl_select *s, const struct pl_order_way *way, uint64_t *groups,
    const struct pl_draw_rule *rule, const struct pl_crew *crew, struct pl_drawn *drawn, struct pl_err *err);

#endif
