/* SPDX-License-Identifier: Apache-2.0 */
/* The parallel job: the only room that knows MPI, and no MPI type leaves it.
 * Works the same as one process, under mpirun and under srun. Functions marked
 * Collective must be called by all ranks in the same order. */
#ifndef PL_DIST_JOB_H
#define PL_DIST_JOB_H

#include "libpipe/base/buf.h"
#include "libpipe/base/err.h"

struct pl_job;

/* MPI_Init_thread(FUNNELED), stop signals (TERM, INT, USR1) set a flag. Refuses to run as N singletons (size 1 under a
 * Slurm step or Open MPI job of several tasks). When the ranks have not found each other after 300 s ($PLAIT_START_SECONDS; 0: never mind)
 * SIGALRM ends the process. Without any launcher's environment MPI is not started at all: the
 * tool is one process, and quick to start. Collective. */
PL_MUST_CHECK enum pl_status pl_job_start(struct pl_job **job, struct pl_err *err);
/* MPI_Finalize. Collective; every rank then exits with one code. */
void pl_job_finish(struct pl_job *job);
/* The job cannot go on and the ranks cannot agree: MPI_Abort. Does not return. Tools only. */
_Noreturn void pl_job_abort(struct pl_job *job, int exit_code);

int pl_job_rank(const struct pl_job *job);
int pl_job_size(const struct pl_job *job);
/* Did a stop signal reach any rank, as far as this one knows? Local. */
bool pl_job_stopping(const struct pl_job *job);

/* Agree on how a step went: every rank leaves with the worst status, and err filled from the lowest rank that has it. Collective. */
PL_MUST_CHECK enum pl_status pl_job_agree(struct pl_job *job, enum pl_status mine, struct pl_err *err);

/* Collectives over any 64-bit length, in chunks below 2^31. */
PL_MUST_CHECK enum pl_status pl_job_bcast(struct pl_job *job, struct pl_buf *b, struct pl_err *err);            /* from rank 0: size, then bytes */
PL_MUST_CHECK enum pl_status pl_job_gather(struct pl_job *job, const void *mine, uint64_t len, struct pl_buf *all,
    uint64_t **lengths, struct pl_err *err);   /* to every rank, in rank order; *lengths (may be asked as NULL) malloc'ed, one per rank */
/* To every rank its own bytes: to[r] (one buffer per rank, unchanged) is appended to rank r's *from, which holds them in rank order;
 * *lengths as above. */
PL_MUST_CHECK enum pl_status pl_job_exchange(struct pl_job *job, const struct pl_buf *to, struct pl_buf *from, uint64_t **lengths,
    struct pl_err *err);
void pl_job_sum(struct pl_job *job, uint64_t *values, size_t n);   /* element-wise over ranks, in place */
uint64_t pl_job_max(struct pl_job *job, uint64_t value);
void pl_job_barrier(struct pl_job *job);

/* Tickets: which units of work a rank does, by request and reply with rank 0, whose own loop serves them from pl_job_poll. */
struct pl_tickets;
struct pl_ticket { uint64_t index; const char *name; };   /* name valid until the next pl_tickets_next */
/* order: n unit numbers in the order they are handed out (NULL = 0..n-1); names may be NULL; both used on rank 0 only and outlive t. Collective. */
PL_MUST_CHECK enum pl_status pl_tickets_open(struct pl_tickets **t, struct pl_job *job, uint64_t n, const uint64_t *order,
    char *const *names, struct pl_err *err);
/* Names come from standard input as they are written there (a pipe from another tool): rank 0 reads, one a line. Collective. */
PL_MUST_CHECK enum pl_status pl_tickets_open_stdin(struct pl_tickets **t, struct pl_job *job, struct pl_err *err);
/* The next unit; PL_END when there is none; PL_ERR_STOPPED when the job stops. */
PL_MUST_CHECK enum pl_status pl_tickets_next(struct pl_tickets *t, struct pl_ticket *out, struct pl_err *err);
/* This rank takes no more tickets; rank 0 serves until everybody is here. mine: how this rank fared; a failure ends
 * the handing out, so that the others stop after their unit. NULL t works. Collective. */
void pl_tickets_close(struct pl_tickets *t, enum pl_status mine);
/* Serve requests, pass stop flags on, take rank progress. Call often (every sample). PL_ERR_STOPPED when the job stops. Local. */
PL_MUST_CHECK enum pl_status pl_job_poll(struct pl_job *job, struct pl_err *err);

/* Progress counts of this rank, added up on rank 0 as tickets pass by (so a little behind). */
void pl_job_count(struct pl_job *job, uint64_t units, uint64_t samples, uint64_t bytes);
void pl_job_counts_reset(struct pl_job *job);   /* Local; between two steps */
void pl_job_counts(const struct pl_job *job, uint64_t *units, uint64_t *samples, uint64_t *bytes);

/* What is known of a rank's work in this stage, from the tickets it was given. */
struct pl_rank_work {
	uint64_t units, samples, bytes;   /* finished ones; counts as far as told */
	double worked;                    /* seconds in finished units */
	bool busy;
	uint64_t unit;                    /* the one under way */
	double since;                     /* pl_now() when it was handed out */
	char name[200];                   /* of the unit, cut at its beginning; "" = it has none */
};
/* Rank 0: of any rank; elsewhere: of this rank, NULL for others. Local. */
const struct pl_rank_work *pl_job_work(const struct pl_job *job, int rank);
/* fn is called now and then while this rank waits for others; it must not communicate. Local. */
void pl_job_on_wait(struct pl_job *job, void (*fn)(void *ctx), void *ctx);
/* Has SIGUSR2 come since the last call? The signal does nothing else. */
bool pl_job_asked(void);

/* A line for the world (no newline in it), such as the name of a finished output: travels to rank 0 with the next ticket request. */
PL_MUST_CHECK enum pl_status pl_job_tell(struct pl_job *job, const char *line, struct pl_err *err);
/* Rank 0: append the lines that have arrived, each with its newline, to out, and forget them. */
PL_MUST_CHECK enum pl_status pl_job_told(struct pl_job *job, struct pl_buf *out, struct pl_err *err);

#endif
