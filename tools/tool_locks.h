/* SPDX-License-Identifier: Apache-2.0 */
/* The directories that rank 0 has locked for this job, and the thread that keeps their locks fresh where that is needed. */
#ifndef TOOLS_TOOL_LOCKS_H
#define TOOLS_TOOL_LOCKS_H

#include "libpipe/base/err.h"

struct tool_locks;

/* Lock dir, once: several steps may write into one. *locks NULL: none yet. PL_ERR_CONFLICT names who writes there. */
PL_MUST_CHECK enum pl_status tool_locks_add(struct tool_locks **locks, const char *dir, struct pl_err *err);
/* Unlock all; NULL works. */
void tool_locks_free(struct tool_locks *locks);

#endif
