/* SPDX-License-Identifier: Apache-2.0 */
/* Between opt.c and opt_help.c: the tool's options and the shared ones in one
 * table, so that parser, help, manual and completion cannot disagree. */
#ifndef PL_BASE_OPT_PRIV_H
#define PL_BASE_OPT_PRIV_H

#include "buf.h"
#include "opt.h"

struct pl_opt_table {
	struct pl_opt *rows;   /* owned array, strings borrowed */
	size_t n;
};

/* Rows answered by the parser itself have dst == NULL. */
static inline bool pl_opt_takes_value(const struct pl_opt *o)
{
	return o->type != PL_OPT_FLAG && o->type != PL_OPT_COUNT;
}

/* The placeholder shown in help; never NULL for an option that takes a value. */
const char *pl_opt_placeholder(const struct pl_opt *o);

PL_MUST_CHECK enum pl_status pl_opt_help_text(const struct pl_tool *tool, const struct pl_opt_table *t,
    struct pl_buf *out, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_opt_man_text(const struct pl_tool *tool, const struct pl_opt_table *t,
    struct pl_buf *out, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_opt_completion_text(const struct pl_tool *tool, const struct pl_opt_table *t,
    struct pl_buf *out, struct pl_err *err);

#endif
