/* SPDX-License-Identifier: Apache-2.0 */
/* What a recipe's stage and template make of a source's kind: asked when the
 * recipe is read, and again once an undeclared kind is known. Internal. */
#ifndef PL_MIX_RULES_H
#define PL_MIX_RULES_H

#include "recipe.h"

/* Why samples of this kind cannot be written ("template conversation writes chat"), or NULL. AUTO never
 * conflicts. */
const char *pl_kind_conflict(const struct pl_recipe *r, enum pl_kind kind);

#endif
