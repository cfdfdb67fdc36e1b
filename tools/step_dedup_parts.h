/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks of a job as the parts of dedup, and the memory they may take. */
#ifndef TOOLS_STEP_DEDUP_PARTS_H
#define TOOLS_STEP_DEDUP_PARTS_H

#include "libpipe/dedup/parts.h"
#include "tool.h"

struct dedup_parts {
	struct pl_parts parts;
	struct tool *tool;
	uint64_t memory;          /* bytes of this node */
	uint64_t shared, shared_peak, filed;   /* bytes of this node: in shared memory, at most; in files of the scratch directory */
	uint64_t sent;            /* bytes to other ranks */
	uint32_t *leaders;
};
/* memory: bytes of a node, 0 = most of what the machine has; scratch: directory or NULL. Both are borrowed. Collective. */
PL_MUST_CHECK enum pl_status dedup_parts_open(struct dedup_parts *p, struct tool *t, uint64_t memory, const char *scratch, struct pl_err *err);
void dedup_parts_close(struct dedup_parts *p);   /* works on a zeroed one */

#endif
