/* SPDX-License-Identifier: Apache-2.0 */
/* Connected components of the pair graph, for those who want chains to go as a
 * whole: the first of each component stays. Work and memory grow with the nodes
 * that have a pair, not with all nodes. */
#ifndef PL_DEDUP_COMPONENTS_H
#define PL_DEDUP_COMPONENTS_H

#include "libpipe/base/buf.h"
#include "link.h"
#include "sort.h"

/* Leave only pairs that hold components together: at most one less than there are nodes in pairs, moved to the front in their
 * order; *n becomes their number. 2^20 pairs are taken at a time, or as many as are left of those before, so that memory goes by
 * nodes, not by pairs. poll (NULL works) is called in between. */
PL_MUST_CHECK enum pl_status pl_components_thin(struct pl_link *pairs, size_t *n, pl_poll *poll, void *ctx, struct pl_err *err);
/* Append one pair (a = the first node of the component, b, distance 0) for each other node b of a component, by b. */
PL_MUST_CHECK enum pl_status pl_components_first(struct pl_link *pairs, size_t n, pl_poll *poll, void *ctx, struct pl_buf *out,
    struct pl_err *err);

#endif
