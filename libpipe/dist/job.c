/* SPDX-License-Identifier: Apache-2.0 */
/* Starting, stopping and agreeing. See job.h; the stop protocol is described in
 * job_internal.h, the reasons for it in the reference of cluster signals: one rank
 * may be the only one that is told, and may have seconds left. */
#include "job_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK ((uint64_t)1 << 30)
#define START_SECONDS 300

static volatile sig_atomic_t stop_signal, asked;

static void on_stop(int sig)
{
	stop_signal = sig;
}

static void on_ask(int sig)
{
	(void)sig;
	asked = 1;
}

bool pl_job_asked(void)
{
	bool yes = asked != 0;

	asked = 0;
	return yes;
}

static int install_signals(void)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGUSR1 };
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_stop;
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < PL_ARRAY_LEN(signals); i++)
		if (sigaction(signals[i], &sa, NULL) != 0)
			return -1;
	/* A question is no reason to cut a read or write short. */
	sa.sa_handler = on_ask;
	sa.sa_flags = SA_RESTART;
	if (sigaction(SIGUSR2, &sa, NULL) != 0)
		return -1;
	sa.sa_flags = 0;
	/* A pipe that closes and a file size limit are failed writes, with a message. */
	sa.sa_handler = SIG_IGN;
	return sigaction(SIGPIPE, &sa, NULL) != 0 ? -1 : sigaction(SIGXFSZ, &sa, NULL);
}

static long env_number(const char *name)
{
	const char *s = getenv(name);
	return s != NULL && *s != '\0' ? strtol(s, NULL, 10) : -1;
}

/* Does anything in the environment say that a launcher started this process? */
static bool launched(void)
{
	static const char *const marks[] = { "OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "PALS_RANKID" };

	for (size_t i = 0; i < PL_ARRAY_LEN(marks); i++)
		if (getenv(marks[i]) != NULL)
			return true;
	return env_number("SLURM_STEP_NUM_TASKS") > 1;
}

static enum pl_status refuse_singletons(const struct pl_job *job, struct pl_err *err)
{
	static const char *const sizes[] = { "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE" };

	for (size_t i = 0; i < PL_ARRAY_LEN(sizes) && job->size == 1; i++) {
		long n = env_number(sizes[i]);
		if (n > 1)
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
			    "%s is %ld but MPI sees one rank: the launcher and this MPI do not fit, and %ld copies would write "
			    "the same output; with Open MPI use srun --mpi=pmix or mpirun", sizes[i], n, n);
	}
	return PL_OK;
}

static enum pl_status start_mpi(struct pl_job *job, struct pl_err *err)
{
	long limit = env_number("PLAIT_START_SECONDS");
	int provided = 0;

	/* A start over several nodes may hang (srun with some PMIx: one in some hundred), and nobody would notice before the job's
	 * time is over: SIGALRM ends this process, and so the step. */
	(void)alarm(limit >= 0 && limit <= INT_MAX ? (unsigned)limit : START_SECONDS);
	if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
		return pl_fail(err, PL_ERR_IO, PL_SEV_JOB, NULL, "MPI_Init_thread failed");
	(void)alarm(0);
	job->mpi = true;
	if (MPI_Comm_dup(MPI_COMM_WORLD, &job->comm) != MPI_SUCCESS)
		return pl_fail(err, PL_ERR_IO, PL_SEV_JOB, NULL, "MPI_Comm_dup failed");
	MPI_Comm_rank(job->comm, &job->rank);
	MPI_Comm_size(job->comm, &job->size);
	return PL_OK;
}

enum pl_status pl_job_start(struct pl_job **out, struct pl_err *err)
{
	enum pl_status st;
	struct pl_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return pl_fail_nomem(err);
	job->size = 1;
	job->comm = MPI_COMM_NULL;
	pl_buf_init(&job->told, 0);
	if (launched() && (st = start_mpi(job, err)) != PL_OK)
		goto fail;
	if ((st = refuse_singletons(job, err)) != PL_OK)
		goto fail;
	job->got_stop = calloc((size_t)job->size, sizeof(*job->got_stop));
	job->sent = calloc((size_t)job->size, sizeof(*job->sent));
	job->lens = calloc((size_t)job->size, sizeof(*job->lens));
	job->work = calloc(job->rank == 0 ? (size_t)job->size : 1, sizeof(*job->work));
	if (job->got_stop == NULL || job->sent == NULL || job->lens == NULL || job->work == NULL) {
		st = pl_fail_nomem(err);
		goto fail;
	}
	if (install_signals() != 0) {
		st = pl_fail_errno(err, PL_SEV_JOB, NULL, "cannot install signal handlers");
		goto fail;
	}
	*out = job;
	return PL_OK;
fail:
	pl_job_finish(job);
	return st;
}

void pl_job_finish(struct pl_job *job)
{
	if (job == NULL)
		return;
	pl_job_forget_nodes(job);
	if (job->mpi) {
		if (job->comm != MPI_COMM_NULL)
			MPI_Comm_free(&job->comm);
		MPI_Finalize();
	}
	/* Not before: MPI_Finalize waits for all hosts, too. */
	pl_watch_end(job->watch);
	pl_buf_release(&job->told);
	free(job->got_stop);
	free(job->sent);
	free(job->lens);
	free(job->work);
	free(job);
}

_Noreturn void pl_job_abort(struct pl_job *job, int exit_code)
{
	if (job != NULL && job->mpi)
		MPI_Abort(MPI_COMM_WORLD, exit_code);
	_Exit(exit_code);
}

/* Is this process a launcher of Open MPI? Slurm's own daemons know how to lose a host and are left alone. */
static bool is_launcher(pid_t pid)
{
	static const char *const names[] = { "mpirun", "mpiexec", "orterun", "orted", "prterun", "prte", "prted" };
	char path[64], name[32] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, name, sizeof(name) - 1);
	close(fd);
	name[n > 0 ? n : 0] = '\0';
	name[strcspn(name, "\n")] = '\0';
	for (size_t i = 0; i < PL_ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

_Noreturn void pl_job_abandon(int exit_code)
{
	const struct timespec second = { 1, 0 };
	pid_t launcher = getppid();

	/* The launcher brings our last words to the terminal. */
	nanosleep(&second, NULL);
	/* An abort or a plain exit would leave mpirun waiting for the lost host's daemon as long as TCP does. */
	if (is_launcher(launcher))
		kill(launcher, SIGKILL);
	_Exit(exit_code);
}

int pl_job_rank(const struct pl_job *job)
{
	return job->rank;
}

int pl_job_size(const struct pl_job *job)
{
	return job->size;
}

bool pl_job_stopping(const struct pl_job *job)
{
	return job->stopping || stop_signal != 0;
}

void pl_job_idle(unsigned *spins)
{
	struct timespec ts = { 0, 1000000 };

	if (++*spins < 20) {
		sched_yield();
		return;
	}
	ts.tv_nsec = *spins < 200 ? 50000 : 1000000;
	nanosleep(&ts, NULL);
}

void pl_job_on_wait(struct pl_job *job, void (*fn)(void *ctx), void *ctx)
{
	job->onlooker = fn;
	job->onlooker_ctx = ctx;
}

void pl_job_wait(struct pl_job *job, unsigned *spins)
{
	pl_job_serve(job);
	if (job->onlooker != NULL)
		job->onlooker(job->onlooker_ctx);
	pl_job_idle(spins);
}

void pl_job_meet(struct pl_job *job)
{
	MPI_Request all;
	unsigned spins = 0;
	int here = 0;

	if (!job->mpi || job->size == 1)
		return;
	MPI_Ibarrier(job->comm, &all);
	for (MPI_Test(&all, &here, MPI_STATUS_IGNORE); !here; MPI_Test(&all, &here, MPI_STATUS_IGNORE))
		pl_job_wait(job, &spins);
}

static void send_stop(struct pl_job *job, int to)
{
	char none = 0;

	MPI_Send(&none, 1, MPI_CHAR, to, PL_TAG_STOP, job->comm);
}

static void receive_stop(struct pl_job *job, int from)
{
	char none;

	MPI_Recv(&none, 1, MPI_CHAR, from, PL_TAG_STOP, job->comm, MPI_STATUS_IGNORE);
	job->got_stop[from] = true;
	job->stopping = true;
}

static void pass_stop_on(struct pl_job *job)
{
	if (job->sent_stop || !pl_job_stopping(job))
		return;
	job->stopping = true;
	if (!job->mpi || job->size == 1)
		return;
	job->sent_stop = true;
	if (job->rank != 0) {
		send_stop(job, 0);
		return;
	}
	for (int r = 1; r < job->size; r++)
		send_stop(job, r);
}

void pl_job_serve(struct pl_job *job)
{
	if (job->mpi && job->size > 1) {
		int there = 0;
		MPI_Status at;
		MPI_Iprobe(MPI_ANY_SOURCE, PL_TAG_STOP, job->comm, &there, &at);
		if (there)
			receive_stop(job, at.MPI_SOURCE);
	}
	pass_stop_on(job);
	if (job->tickets != NULL)
		pl_tickets_serve(job->tickets);
}

enum pl_status pl_job_poll(struct pl_job *job, struct pl_err *err)
{
	pl_job_serve(job);
	if (job->stopping)
		return pl_fail(err, PL_ERR_STOPPED, PL_SEV_JOB, NULL,
		    "stopped by a signal; run the same command again to go on");
	return PL_OK;
}

void pl_job_settle(struct pl_job *job)
{
	int mine[2] = { job->sent_stop, pl_job_stopping(job) };
	int stop = 0;
	int *sent = job->sent;

	if (!job->mpi || job->size == 1) {
		job->stopping = pl_job_stopping(job);
		return;
	}
	MPI_Allreduce(&mine[1], &stop, 1, MPI_INT, MPI_MAX, job->comm);
	MPI_Allgather(&mine[0], 1, MPI_INT, sent, 1, MPI_INT, job->comm);
	for (int r = 0; r < job->size; r++) {
		bool to_me = r != job->rank && (job->rank == 0 || r == 0);
		if (to_me && sent[r] && !job->got_stop[r])
			receive_stop(job, r);
	}
	job->stopping = stop != 0;
	/* From here on everybody knows: no further STOP is sent. */
	job->sent_stop = job->sent_stop || job->stopping;
	for (int r = 0; r < job->size && job->stopping; r++)
		job->got_stop[r] = true;
}

/* Errors before interruptions before success. */
static int badness(enum pl_status st)
{
	if (st == PL_OK || st == PL_END)
		return 0;
	if (st == PL_ERR_STOPPED)
		return 1;
	return st == PL_ERR_REJECTS ? 2 : 3;
}

enum pl_status pl_job_agree(struct pl_job *job, enum pl_status mine, struct pl_err *err)
{
	struct { int bad; int rank; } in = { badness(mine), job->rank }, worst = { 0, 0 };
	int code = (int)mine;
	struct pl_err shared;

	pl_job_settle(job);
	if (!job->mpi || job->size == 1)
		return mine == PL_END ? PL_OK : mine;
	MPI_Allreduce(&in, &worst, 1, MPI_2INT, MPI_MAXLOC, job->comm);
	if (worst.bad == 0)
		return PL_OK;
	memset(&shared, 0, sizeof(shared));
	if (job->rank == worst.rank && err != NULL)
		shared = *err;
	MPI_Bcast(&shared, (int)sizeof(shared), MPI_BYTE, worst.rank, job->comm);
	MPI_Bcast(&code, 1, MPI_INT, worst.rank, job->comm);
	if (err != NULL)
		*err = shared;
	return (enum pl_status)code;
}

static void bcast_chunks(struct pl_job *job, void *data, uint64_t len, int root)
{
	uint8_t *p = data;

	while (len > 0) {
		int n = (int)(len < CHUNK ? len : CHUNK);
		MPI_Bcast(p, n, MPI_BYTE, root, job->comm);
		p += n;
		len -= (uint64_t)n;
	}
}

enum pl_status pl_job_bcast(struct pl_job *job, struct pl_buf *b, struct pl_err *err)
{
	uint64_t len = b->len;
	enum pl_status st = PL_OK;

	if (!job->mpi || job->size == 1)
		return PL_OK;
	MPI_Bcast(&len, 1, MPI_UINT64_T, 0, job->comm);
	if (job->rank != 0) {
		pl_buf_clear(b);
		st = pl_buf_reserve(b, len, err);
	}
	if ((st = pl_job_agree(job, st, err)) != PL_OK)
		return st;
	if (len > 0)
		bcast_chunks(job, b->data, len, 0);
	if (job->rank != 0 && len > 0) {
		b->len = len;
		b->data[len] = 0;
	}
	return PL_OK;
}

/* One collective, where MPI can count the bytes: a broadcast by each rank costs as many times more as there are ranks. */
static void gather_at_once(struct pl_job *job, const void *mine, const uint64_t *lens, uint8_t *all)
{
	int *counts = calloc((size_t)job->size * 2, sizeof(*counts)), *from, at = 0;

	if (counts == NULL)
		pl_job_abort(job, pl_exit_code(PL_ERR_NOMEM));   /* the others are in the collective already */
	from = counts + job->size;
	for (int r = 0; r < job->size; at += counts[r], r++) {
		counts[r] = (int)lens[r];
		from[r] = at;
	}
	MPI_Allgatherv(mine, counts[job->rank], MPI_BYTE, all, counts, from, MPI_BYTE, job->comm);
	free(counts);
}

enum pl_status pl_job_gather(struct pl_job *job, const void *mine, uint64_t len, struct pl_buf *all,
    uint64_t **lengths, struct pl_err *err)
{
	uint64_t *lens = job->lens, *copy = NULL;
	uint64_t total = 0, at = 0;
	enum pl_status st = PL_OK;

	if (job->mpi)
		MPI_Allgather(&len, 1, MPI_UINT64_T, lens, 1, MPI_UINT64_T, job->comm);
	else
		lens[0] = len;
	for (int r = 0; r < job->size; r++)
		total += lens[r];
	pl_buf_clear(all);
	st = pl_buf_reserve(all, total, err);
	if (st == PL_OK && lengths != NULL && (copy = malloc((size_t)job->size * sizeof(*copy))) == NULL)
		st = pl_fail_nomem(err);
	if ((st = pl_job_agree(job, st, err)) != PL_OK) {
		free(copy);
		return st;
	}
	if (total <= CHUNK && job->mpi) {
		gather_at_once(job, mine, lens, all->data);
	} else {
		for (int r = 0; r < job->size; at += lens[r], r++) {
			if (r == job->rank && lens[r] > 0)
				memcpy(all->data + at, mine, lens[r]);
			if (job->mpi && job->size > 1)
				bcast_chunks(job, all->data + at, lens[r], r);
		}
	}
	all->len = total;
	if (copy != NULL) {
		memcpy(copy, lens, (size_t)job->size * sizeof(*copy));
		*lengths = copy;
	}
	return PL_OK;
}

void pl_job_sum(struct pl_job *job, uint64_t *values, size_t n)
{
	if (!job->mpi || job->size == 1)
		return;
	while (n > 0) {
		int k = (int)(n < 65536 ? n : 65536);
		MPI_Allreduce(MPI_IN_PLACE, values, k, MPI_UINT64_T, MPI_SUM, job->comm);
		values += k;
		n -= (size_t)k;
	}
}

uint64_t pl_job_max(struct pl_job *job, uint64_t value)
{
	if (job->mpi && job->size > 1)
		MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_UINT64_T, MPI_MAX, job->comm);
	return value;
}

void pl_job_barrier(struct pl_job *job)
{
	if (job->mpi && job->size > 1)
		MPI_Barrier(job->comm);
}

void pl_job_count(struct pl_job *job, uint64_t units, uint64_t samples, uint64_t bytes)
{
	job->counts[0] += units;
	job->counts[1] += samples;
	job->counts[2] += bytes;
	pl_work_count(job, job->rank, samples, bytes);
}

void pl_job_counts_reset(struct pl_job *job)
{
	memset(job->counts, 0, sizeof(job->counts));
	pl_work_reset(job);
}

void pl_job_counts(const struct pl_job *job, uint64_t *units, uint64_t *samples, uint64_t *bytes)
{
	*units = job->counts[0];
	*samples = job->counts[1];
	*bytes = job->counts[2];
}

enum pl_status pl_job_tell(struct pl_job *job, const char *line, struct pl_err *err)
{
	return pl_buf_addf(&job->told, err, "%s\n", line);
}

enum pl_status pl_job_told(struct pl_job *job, struct pl_buf *out, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (job->rank != 0 || job->told.len == 0)
		return PL_OK;
	st = pl_buf_add(out, job->told.data, job->told.len, err);
	if (st == PL_OK)
		pl_buf_clear(&job->told);
	return st;
}
