/* SPDX-License-Identifier: Apache-2.0 */
/* What the ranks' meetings cost: tickets that rank 0 serves, and the collectives
 * of libpipe/dist. Run under mpirun at several numbers of ranks; scripts/scale
 * does, and feeds the model of a thousand with it.
 * Prints lines of: ranks, what, microseconds each. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libpipe/dist/job.h"

enum { TICKETS = 20000, ROUNDS = 200, SMALL = 8, LARGE = 65536, PAIR = 1024 };

static struct pl_err err;

static void must(enum pl_status st)
{
	char text[512];

	if (st == PL_OK)
		return;
	fprintf(stderr, "bench_dist_scale: %s\n", pl_err_format(&err, text, sizeof text));
	_Exit(3);
}

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void say(struct pl_job *job, const char *what, double seconds, double n)
{
	if (pl_job_rank(job) == 0)
		printf("%d\t%s\t%.2f\n", pl_job_size(job), what, n > 0 ? seconds * 1e6 / n : 0);
}

/* Units without work; rank 0 takes none of them but the last ones, so that what it serves is what is measured. */
static void bench_tickets(struct pl_job *job)
{
	struct pl_tickets *t = NULL;
	struct pl_ticket ticket;
	uint64_t mine = 0, served;
	double start;

	must(pl_tickets_open(&t, job, TICKETS, NULL, NULL, &err));
	pl_job_barrier(job);
	start = now();
	while (pl_job_rank(job) == 0 && pl_job_size(job) > 1) {
		uint64_t units, samples, bytes;
		must(pl_job_poll(job, &err));
		pl_job_counts(job, &units, &samples, &bytes);
		if (units + 2 * (uint64_t)pl_job_size(job) >= TICKETS)
			break;
	}
	while (pl_tickets_next(t, &ticket, &err) == PL_OK) {
		mine += pl_job_rank(job) != 0;
		pl_job_count(job, 1, 0, 0);
	}
	pl_tickets_close(t, PL_OK);
	served = mine;
	pl_job_sum(job, &served, 1);
	say(job, "ticket", now() - start, (double)served);
}

static void bench_collectives(struct pl_job *job)
{
	static uint8_t block[LARGE];
	uint64_t words[64] = { 0 };
	struct pl_buf all;
	double start = now();

	pl_buf_init(&all, (size_t)4 << 30);
	for (int i = 0; i < ROUNDS; i++)
		must(pl_job_agree(job, PL_OK, &err));
	say(job, "agree", now() - start, ROUNDS);
	start = now();
	for (int i = 0; i < ROUNDS; i++)
		pl_job_sum(job, words, PL_ARRAY_LEN(words));
	say(job, "sum of 64 words", now() - start, ROUNDS);
	start = now();
	for (int i = 0; i < ROUNDS; i++)
		must(pl_job_gather(job, block, SMALL, &all, NULL, &err));
	say(job, "gather of 8 B", now() - start, ROUNDS);
	start = now();
	for (int i = 0; i < ROUNDS / 10; i++)
		must(pl_job_gather(job, block, LARGE, &all, NULL, &err));
	say(job, "gather of 64 KiB", now() - start, ROUNDS / 10);
	pl_buf_release(&all);
}

static void bench_exchange(struct pl_job *job)
{
	size_t n = (size_t)pl_job_size(job);
	struct pl_buf *to = calloc(n, sizeof(*to)), from;
	uint8_t pair[PAIR] = { 0 };
	double start;

	if (to == NULL)
		must(pl_fail_nomem(&err));
	pl_buf_init(&from, (size_t)4 << 30);
	for (size_t r = 0; r < n; r++) {
		pl_buf_init(&to[r], PAIR * 2);
		must(pl_buf_add(&to[r], pair, sizeof(pair), &err));
	}
	start = now();
	for (int i = 0; i < ROUNDS; i++)
		must(pl_job_exchange(job, to, &from, NULL, &err));
	say(job, "exchange of 1 KiB a pair", now() - start, ROUNDS);
	for (size_t r = 0; r < n; r++)
		pl_buf_release(&to[r]);
	pl_buf_release(&from);
	free(to);
}

int main(void)
{
	struct pl_job *job = NULL;

	must(pl_job_start(&job, &err));
	bench_tickets(job);
	bench_collectives(job);
	bench_exchange(job);
	pl_job_finish(job);
	return 0;
}
