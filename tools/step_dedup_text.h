/* SPDX-License-Identifier: Apache-2.0 */
/* The part of step_dedup that finds near-duplicate texts. */
#ifndef TOOLS_STEP_DEDUP_TEXT_H
#define TOOLS_STEP_DEDUP_TEXT_H

#include "libpipe/dedup/near_text.h"
#include "tool.h"

struct near_text_counts { uint64_t candidates, too_long; };   /* over all ranks */
/* Find the near texts of d, whose options have them on, and decide them on every rank. Collective. */
PL_MUST_CHECK enum pl_status step_near_texts(struct tool *t, struct pl_dedup *d, const struct pl_near_text_options *o,
    struct near_text_counts *counts, struct pl_err *err);

#endif
