/* SPDX-License-Identifier: Apache-2.0 */
/* Tickets by request and reply. Rank 0 is no master: it works like the others
 * and answers requests between two samples. Two-sided messages only, because
 * passive-target progress is not portable. */
#include "job_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_NAME 65536u

enum verdict { GIVE_UNIT, GIVE_END, GIVE_LATER };

/* Rank -> 0, followed by the lines it has to tell. */
struct ask { uint64_t counts[3]; uint64_t leaving; uint64_t failed; };
/* 0 -> rank, followed by the name. */
struct give { uint64_t verdict, index, name_len; };

struct pl_tickets {
	struct pl_job *job;
	bool from_stdin, input_ended;
	bool ended;               /* this rank was told that there is no more */
	/* rank 0 */
	uint64_t n, handed;
	const uint64_t *order;
	char *const *names;
	int gone;                 /* other ranks that were told the end, or left */
	bool no_more;             /* a rank failed: hand out nothing more */
	bool *waiting;            /* ranks whose request waits for standard input */
	int nwaiting;
	struct pl_buf input;      /* lines read; the first `taken` bytes are handed out */
	size_t taken;
	enum pl_status input_status;   /* why standard input could not be read to its end */
	struct pl_err input_err;
	/* a reply, then the name in it; rank 0: its own unit's name */
	struct pl_buf name;
};

static enum pl_status tickets_new(struct pl_tickets **out, struct pl_job *job, struct pl_err *err)
{
	struct pl_tickets *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return pl_fail_nomem(err);
	t->job = job;
	pl_buf_init(&t->input, (size_t)4 << 30);
	pl_buf_init(&t->name, MAX_NAME * 2);
	t->waiting = calloc((size_t)job->size, sizeof(*t->waiting));
	if (t->waiting == NULL || pl_buf_reserve(&t->name, MAX_NAME + sizeof(struct give) + 1, err) != PL_OK) {
		free(t->waiting);
		pl_buf_release(&t->name);
		free(t);
		return pl_fail_nomem(err);
	}
	if (job->rank == 0)
		job->tickets = t;
	*out = t;
	return PL_OK;
}

enum pl_status pl_tickets_open(struct pl_tickets **t, struct pl_job *job, uint64_t n, const uint64_t *order,
    char *const *names, struct pl_err *err)
{
	enum pl_status st = tickets_new(t, job, err);

	if (st != PL_OK)
		return st;
	(*t)->n = n;
	(*t)->order = order;
	(*t)->names = names;
	return PL_OK;
}

enum pl_status pl_tickets_open_stdin(struct pl_tickets **t, struct pl_job *job, struct pl_err *err)
{
	enum pl_status st = tickets_new(t, job, err);

	if (st == PL_OK)
		(*t)->from_stdin = true;
	return st;
}

static void input_fails(struct pl_tickets *t, enum pl_status st)
{
	t->no_more = true;
	t->input_ended = true;
	if (t->input_status == PL_OK)
		t->input_status = st;
}

/* Read what standard input holds by now, without waiting. */
static void read_input(struct pl_tickets *t)
{
	struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
	char chunk[4096];
	ssize_t got;

	while (!t->input_ended && poll(&p, 1, 0) > 0) {
		got = read(STDIN_FILENO, chunk, sizeof(chunk));
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			return;
		if (got == 0)
			t->input_ended = true;
		else if (got < 0)
			input_fails(t, pl_fail_errno(&t->input_err, PL_SEV_JOB, "standard input", "cannot read names"));
		else if (pl_buf_add(&t->input, chunk, (size_t)got, &t->input_err) != PL_OK)
			input_fails(t, t->input_err.status);
	}
}

/* Take one line off the input into *line (not NUL-terminated); false when there is no whole one. */
static bool take_line(struct pl_tickets *t, const char **line, size_t *len)
{
	while (t->taken < t->input.len) {
		const char *from = (const char *)t->input.data + t->taken;
		const char *nl = memchr(from, '\n', t->input.len - t->taken);
		if (nl == NULL && !t->input_ended)
			return false;
		*line = from;
		*len = nl != NULL ? (size_t)(nl - from) : t->input.len - t->taken;
		t->taken += nl != NULL ? *len + 1 : *len;
		if (*len >= MAX_NAME) {
			input_fails(t, pl_fail(&t->input_err, PL_ERR_USAGE, PL_SEV_JOB, "standard input",
			    "holds a line of %zu bytes, which is no file name", *len));
			return false;
		}
		if (*len > 0)
			return true;
	}
	pl_buf_clear(&t->input);
	t->taken = 0;
	return false;
}

/* Rank 0: the next unit, for whomever. */
static struct give next_unit(struct pl_tickets *t, const char **name)
{
	struct give g = { GIVE_END, 0, 0 };
	size_t len = 0;

	*name = NULL;
	if (t->no_more || t->job->stopping)
		return g;
	if (t->from_stdin) {
		read_input(t);
		if (!take_line(t, name, &len)) {
			g.verdict = t->input_ended ? GIVE_END : GIVE_LATER;
			return g;
		}
		g.index = t->handed++;
	} else {
		if (t->handed == t->n)
			return g;
		g.index = t->order != NULL ? t->order[t->handed] : t->handed;
		t->handed++;
		if (t->names != NULL) {
			*name = t->names[g.index];
			len = strlen(*name);
		}
	}
	g.verdict = GIVE_UNIT;
	g.name_len = len < MAX_NAME ? len : MAX_NAME - 1;
	return g;
}

static void answer(struct pl_tickets *t, int rank)
{
	const char *name;
	uint8_t message[sizeof(struct give) + MAX_NAME];
	struct give g = next_unit(t, &name);

	t->nwaiting += (g.verdict == GIVE_LATER) - t->waiting[rank];
	t->waiting[rank] = g.verdict == GIVE_LATER;
	if (g.verdict == GIVE_LATER)
		return;
	if (g.verdict == GIVE_END)
		t->gone++;
	else
		pl_work_begin(t->job, rank, g.index, name, g.name_len);
	memcpy(message, &g, sizeof(g));
	if (g.name_len > 0)
		memcpy(message + sizeof(g), name, g.name_len);
	MPI_Send(message, (int)(sizeof(g) + g.name_len), MPI_BYTE, rank, PL_TAG_GIVE, t->job->comm);
}

/* Take a request and the lines behind it; false without memory. */
static bool receive_ask(struct pl_tickets *t, const MPI_Status *at, struct ask *a)
{
	struct pl_job *job = t->job;
	int len = 0;
	bool ok;
	uint8_t *message;

	MPI_Get_count(at, MPI_BYTE, &len);
	message = malloc((size_t)len);
	if (message == NULL)
		return false;
	MPI_Recv(message, len, MPI_BYTE, at->MPI_SOURCE, PL_TAG_ASK, job->comm, MPI_STATUS_IGNORE);
	memcpy(a, message, sizeof(*a));
	ok = pl_buf_add(&job->told, message + sizeof(*a), (size_t)len - sizeof(*a), NULL) == PL_OK;
	free(message);
	return ok;
}

void pl_tickets_serve(struct pl_tickets *t)
{
	struct pl_job *job = t->job;

	if (!job->mpi || job->size == 1)
		return;
	for (int r = 1; r < job->size; r++)
		if (t->waiting[r])
			answer(t, r);
	for (;;) {
		struct ask a;
		int there = 0;
		MPI_Status at;
		MPI_Iprobe(MPI_ANY_SOURCE, PL_TAG_ASK, job->comm, &there, &at);
		if (!there)
			return;
		if (!receive_ask(t, &at, &a))
			pl_job_abort(job, pl_exit_code(PL_ERR_NOMEM));
		for (size_t i = 0; i < PL_ARRAY_LEN(job->counts); i++)
			job->counts[i] += a.counts[i];
		pl_work_end(job, at.MPI_SOURCE);
		pl_work_count(job, at.MPI_SOURCE, a.counts[1], a.counts[2]);
		t->no_more = t->no_more || a.failed != 0;
		if (a.leaving != 0)
			t->gone++;
		else
			answer(t, at.MPI_SOURCE);
	}
}

static void ask(struct pl_tickets *t, bool leaving, bool failed)
{
	struct pl_job *job = t->job;
	struct ask a = { { job->counts[0], job->counts[1], job->counts[2] }, leaving, failed };

	uint8_t *message = malloc(sizeof(a) + job->told.len);

	if (message == NULL)
		pl_job_abort(job, pl_exit_code(PL_ERR_NOMEM));
	memset(job->counts, 0, sizeof(job->counts));
	memcpy(message, &a, sizeof(a));
	if (job->told.len > 0)
		memcpy(message + sizeof(a), job->told.data, job->told.len);
	MPI_Send(message, (int)(sizeof(a) + job->told.len), MPI_BYTE, 0, PL_TAG_ASK, job->comm);
	pl_buf_clear(&job->told);
	free(message);
}

/* Wait for rank 0's reply; it always comes, whatever stops the job. */
static struct give wait_reply(struct pl_tickets *t)
{
	struct give g;
	int there = 0, len = 0;
	unsigned spins = 0;
	MPI_Status at;

	for (;;) {
		MPI_Iprobe(0, PL_TAG_GIVE, t->job->comm, &there, &at);
		if (there)
			break;
		pl_job_wait(t->job, &spins);
	}
	MPI_Get_count(&at, MPI_BYTE, &len);
	MPI_Recv(t->name.data, len, MPI_BYTE, 0, PL_TAG_GIVE, t->job->comm, MPI_STATUS_IGNORE);
	memcpy(&g, t->name.data, sizeof(g));
	memmove(t->name.data, t->name.data + sizeof(g), (size_t)len - sizeof(g));
	t->name.data[(size_t)len - sizeof(g)] = 0;
	return g;
}

static struct give own_unit(struct pl_tickets *t, const char **name)
{
	unsigned spins = 0;

	for (;;) {
		struct give g;
		pl_job_serve(t->job);
		/* A name that came this moment belongs to a rank that waits for one already. */
		if (t->nwaiting == 0) {
			g = next_unit(t, name);
			if (g.verdict != GIVE_LATER)
				return g;
		}
		pl_job_wait(t->job, &spins);
	}
}

enum pl_status pl_tickets_next(struct pl_tickets *t, struct pl_ticket *out, struct pl_err *err)
{
	enum pl_status st = pl_job_poll(t->job, err);
	const char *name = NULL;
	struct give g;

	pl_work_end(t->job, t->job->rank);
	if (st != PL_OK)
		return st;
	if (t->ended)
		return PL_END;
	if (t->job->rank == 0) {
		g = own_unit(t, &name);
		/* The input buffer moves while others are served, so the name is kept. */
		if (g.verdict == GIVE_UNIT && g.name_len > 0) {
			pl_buf_clear(&t->name);
			if ((st = pl_buf_add(&t->name, name, g.name_len, err)) != PL_OK)
				return st;
			name = (const char *)t->name.data;
		}
	} else {
		ask(t, false, false);
		g = wait_reply(t);
		name = (const char *)t->name.data;
	}
	if (g.verdict != GIVE_UNIT) {
		t->ended = true;
		if (t->input_status != PL_OK && err != NULL)
			*err = t->input_err;
		if (t->input_status != PL_OK)
			return t->input_status;
		if (t->from_stdin && t->job->rank == 0 && t->handed == 0 && !t->job->stopping)
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no names came on standard input");
		st = pl_job_poll(t->job, err);
		return st != PL_OK ? st : PL_END;
	}
	pl_work_begin(t->job, t->job->rank, g.index, name, g.name_len);
	out->index = g.index;
	out->name = g.name_len > 0 ? name : NULL;
	return PL_OK;
}

void pl_tickets_close(struct pl_tickets *t, enum pl_status mine)
{
	bool failed = mine != PL_OK && mine != PL_END;
	unsigned spins = 0;
	struct pl_job *job;

	if (t == NULL)
		return;
	job = t->job;
	pl_work_end(job, job->rank);
	if (job->mpi && job->size > 1 && job->rank != 0 && !t->ended)
		ask(t, true, failed);
	if (job->rank == 0) {
		t->no_more = t->no_more || failed;
		while (job->mpi && t->gone < job->size - 1)
			pl_job_wait(job, &spins);
		job->tickets = NULL;
	}
	/* Whoever has nothing left to do still hears signals, and passes them on. */
	pl_job_meet(job);
	pl_job_settle(job);
	pl_buf_release(&t->input);
	pl_buf_release(&t->name);
	free(t->waiting);
	free(t);
}
