/* SPDX-License-Identifier: Apache-2.0 */
/* What job.c and tickets.c share: the communicator, the stop protocol, and the
 * tags of the few small messages that ranks send each other.
 *
 * Stop protocol: a rank that sees a signal sends rank 0 one STOP; rank 0 then sends each other rank one STOP.
 * Nobody waits for them; what has not been received is received when the ranks next meet (pl_job_settle). */
#ifndef PL_DIST_JOB_INTERNAL_H
#define PL_DIST_JOB_INTERNAL_H

#include <mpi.h>
#include "job.h"

enum { PL_TAG_ASK = 1, PL_TAG_GIVE = 2, PL_TAG_STOP = 3, PL_TAG_BYTES = 4 };

struct pl_job {
	bool mpi;                 /* false: one process without launcher, no MPI call is ever made */
	MPI_Comm comm;
	int rank, size;
	bool stopping;
	bool sent_stop;           /* rank 0: to all others; else: to rank 0 */
	bool *got_stop;           /* size entries: a STOP of that rank has been received */
	int *sent;                /* size entries, for pl_job_settle; and for pl_job_gather: what may not fail there is had from the start */
	uint64_t *lens;
	uint64_t counts[3];       /* units, samples, bytes: on rank 0 of all, elsewhere not yet reported */
	struct pl_buf told;       /* lines on their way to rank 0's standard output */
	struct pl_nodes *nodes;       /* NULL until pl_job_find_nodes */
	struct pl_tickets *tickets;   /* open on rank 0: served by pl_job_poll */
	struct pl_watch *watch;       /* NULL until pl_job_watch */
	struct pl_rank_work *work;    /* on rank 0 of every rank, elsewhere of this one */
	void (*onlooker)(void *ctx);     /* called while this rank waits; NULL = none */
	void *onlooker_ctx;
};

/* A rank begins a unit (name of len bytes, or NULL), ends it, has done so much; noted where the rank is known. */
void pl_work_begin(struct pl_job *job, int rank, uint64_t unit, const char *name, size_t len);
void pl_work_end(struct pl_job *job, int rank);
void pl_work_count(struct pl_job *job, int rank, uint64_t samples, uint64_t bytes);
void pl_work_reset(struct pl_job *job);

/* pl_job_poll without its verdict: take in and pass on stops, answer requests. */
void pl_job_serve(struct pl_job *job);
/* Answer the ticket requests that have arrived. Rank 0 only. */
void pl_tickets_serve(struct pl_tickets *t);
/* Receive all STOP messages under way and agree on whether the job stops. Collective. */
void pl_job_settle(struct pl_job *job);
/* Give back what pl_job_find_nodes made; works without. Collective. */
void pl_job_forget_nodes(struct pl_job *job);
/* Stop watching the other hosts; NULL works. Local. */
void pl_watch_end(struct pl_watch *w);
/* A host is lost, and with it all hope of an orderly end: kill the launcher, which would wait for that host, and leave. Any thread. */
_Noreturn void pl_job_abandon(int exit_code);
/* Wait a little before looking again: *spins grows; yields first, then sleeps up to 1 ms. */
void pl_job_idle(unsigned *spins);
/* One look around while others are waited for: serve, let the watcher see, idle. */
void pl_job_wait(struct pl_job *job, unsigned *spins);
/* Wait until all ranks are here, looking around meanwhile. Collective. */
void pl_job_meet(struct pl_job *job);

#endif
