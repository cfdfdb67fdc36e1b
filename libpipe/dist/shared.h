/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that the ranks of one node share: an MPI-3 window, plain memory in a job
 * of one process, or a file that all of them map, for what memory does not hold. */
#ifndef PL_DIST_SHARED_H
#define PL_DIST_SHARED_H

#include "job.h"

/* Which ranks can share memory. At most PLAIT_RANKS_PER_NODE of them, where that variable is set (a NUMA domain each, or tests).
 * Before any of the functions below; works twice. Collective. */
PL_MUST_CHECK enum pl_status pl_job_find_nodes(struct pl_job *job, struct pl_err *err);
int pl_job_nodes(const struct pl_job *job);
int pl_job_leader(const struct pl_job *job);        /* rank in the job of the first rank of this node */
int pl_job_node_size(const struct pl_job *job);     /* ranks of this node */
const int *pl_job_leaders(const struct pl_job *job);   /* of all nodes, ascending */
/* Element-wise over the ranks of a node, in place. Collective over the node. */
void pl_job_node_sum(struct pl_job *job, uint64_t *values, size_t n);

struct pl_shared;
/* bytes, the same on all ranks of a node; zeroed. dir: NULL, or where the file lies: it has no name once all have opened it, and
 * one that a killed job left in that moment is removed by the next. The message when it fails speaks of `what`. Collective. */
PL_MUST_CHECK enum pl_status pl_shared_new(struct pl_shared **s, struct pl_job *job, uint64_t bytes, const char *dir, const char *what,
    struct pl_err *err);
void *pl_shared_data(const struct pl_shared *s);
/* What the ranks of the node wrote before, all of them read after. Collective over the node. */
void pl_shared_settle(struct pl_shared *s);
/* NULL works. Collective over the node. */
void pl_shared_free(struct pl_shared *s);

#endif
