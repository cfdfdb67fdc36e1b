/* SPDX-License-Identifier: Apache-2.0 */
/* A host that dies or is cut off leaves the others waiting in MPI for as long as TCP is patient, a quarter of an hour, and
 * mpirun with them. So the ranks of other hosts say hello to rank 0 every few seconds and rank 0 answers, in a thread beside
 * the work, whatever that is doing: who is slow is no trouble, who is silent is. */
#ifndef PL_DIST_WATCH_H
#define PL_DIST_WATCH_H

#include "job.h"

/* Seconds of silence after which a host counts as lost, where PLAIT_HOST_TIMEOUT does not say otherwise (0: never). */
#define PL_WATCH_SECONDS 60

/* What a rank does about a lost host before the process is ended: say it. Called in the watching thread. */
typedef void pl_watch_lost_fn(const struct pl_err *err);

/* Begin to watch; ends in pl_job_finish. Nothing happens on one host, or between hosts that cannot reach each other by UDP.
 * When a host is lost, lost is called, and then this process ends with exit code 3 and takes its launcher along if that is
 * mpirun or its daemon, which would wait on; the ranks that were cut off end themselves in the same way. Collective. */
PL_MUST_CHECK enum pl_status pl_job_watch(struct pl_job *job, pl_watch_lost_fn *lost, struct pl_err *err);

#endif
