/* SPDX-License-Identifier: Apache-2.0 */
/* The dist room at any number of ranks: agreement, exchange, tickets, lines for
 * rank 0, and the stop protocol. Run under mpirun; every rank runs every test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libpipe/dist/exchange.h"

static struct pl_job *job;

static int start(void **state)
{
	(void)state;
	return pl_job_start(&job, NULL) == PL_OK ? 0 : -1;
}

static int finish(void **state)
{
	(void)state;
	pl_job_finish(job);
	return 0;
}

/* Errors beat interruptions, and the message of the lowest rank that has the worst reaches all. */
static void test_agree(void **state)
{
	struct pl_err err = { 0 };
	int last = pl_job_size(job) - 1, rank = pl_job_rank(job);
	enum pl_status mine = PL_OK;

	(void)state;
	assert_int_equal(pl_job_agree(job, PL_OK, &err), PL_OK);
	assert_int_equal(pl_job_agree(job, PL_END, &err), PL_OK);
	if (rank == last)
		mine = pl_fail(&err, PL_ERR_IO, PL_SEV_JOB, "x.tar", "from rank %d", rank);
	else
		mine = pl_fail(&err, PL_ERR_STOPPED, PL_SEV_JOB, NULL, "only stopped");
	assert_int_equal(pl_job_agree(job, mine, &err), PL_ERR_IO);
	assert_string_equal(err.path, "x.tar");
	assert_int_equal(strtol(err.text + strlen("from rank "), NULL, 10), last);
}

static void test_exchange(void **state)
{
	int rank = pl_job_rank(job), size = pl_job_size(job);
	uint64_t *lengths = NULL, sums[3] = { (uint64_t)rank, 1, 10 }, at = 0;
	char mine[64];
	struct pl_buf all;

	(void)state;
	pl_buf_init(&all, 0);
	memset(mine, 'a' + rank, sizeof(mine));
	assert_int_equal(pl_job_gather(job, mine, (uint64_t)rank * 3, &all, &lengths, NULL), PL_OK);
	for (int r = 0; r < size; r++) {
		assert_int_equal(lengths[r], (uint64_t)r * 3);
		for (uint64_t i = 0; i < lengths[r]; i++)
			assert_int_equal(all.data[at++], 'a' + r);
	}
	assert_int_equal(all.len, at);
	free(lengths);
	pl_buf_clear(&all);
	if (rank == 0)
		assert_int_equal(pl_buf_adds(&all, "the list", NULL), PL_OK);
	assert_int_equal(pl_job_bcast(job, &all, NULL), PL_OK);
	assert_string_equal((char *)all.data, "the list");
	pl_buf_release(&all);
	pl_job_sum(job, sums, 3);
	assert_int_equal(sums[0], (uint64_t)(size * (size - 1) / 2));
	assert_int_equal(sums[1], (uint64_t)size);
	assert_int_equal(pl_job_max(job, (uint64_t)rank), (uint64_t)(size - 1));
}

/* Byte i of what rank a sends to rank b. */
static uint8_t sent(int a, int b, uint64_t i)
{
	return (uint8_t)((uint64_t)a * 31 + (uint64_t)b * 7 + i * 3);
}

static uint64_t sent_length(int a, int b)
{
	return (a + b) % 3 == 0 ? 0 : (uint64_t)(a * 5 + b * 11 + 1) % 47;
}

/* Everybody's own bytes, of any lengths, some none, whole or in small messages. */
static void test_all_to_all(void **state)
{
	static const uint64_t chunks[] = { 1, 5, 1 << 20 };
	int rank = pl_job_rank(job), size = pl_job_size(job);
	struct pl_buf *to = calloc((size_t)size, sizeof(*to)), from;

	(void)state;
	assert_non_null(to);
	pl_buf_init(&from, 0);
	for (int r = 0; r < size; r++) {
		pl_buf_init(&to[r], 0);
		for (uint64_t i = 0; i < sent_length(rank, r); i++) {
			uint8_t c = sent(rank, r, i);
			assert_int_equal(pl_buf_add(&to[r], &c, 1, NULL), PL_OK);
		}
	}
	for (size_t c = 0; c <= PL_ARRAY_LEN(chunks); c++) {
		uint64_t *lengths = NULL, at = 0;
		enum pl_status st = c < PL_ARRAY_LEN(chunks) ? pl_job_exchange_chunks(job, to, &from, &lengths, chunks[c], NULL) :
		                                               pl_job_exchange(job, to, &from, &lengths, NULL);
		assert_int_equal(st, PL_OK);
		for (int r = 0; r < size; r++) {
			assert_int_equal(lengths[r], sent_length(r, rank));
			for (uint64_t i = 0; i < lengths[r]; i++)
				assert_int_equal(from.data[at++], sent(r, rank, i));
		}
		assert_int_equal(from.len, at);
		free(lengths);
	}
	pl_buf_release(&from);
	/* a rank without room: all are told, none hangs */
	if (sent_length(0, size - 1) > 0) {
		pl_buf_init(&from, rank == size - 1 ? 1 : 0);
		if (sent_length(0, size - 1) > 1)
			assert_int_equal(pl_job_exchange(job, to, &from, NULL, NULL), PL_ERR_LIMIT);
		pl_buf_release(&from);
	}
	for (int r = 0; r < size; r++)
		pl_buf_release(&to[r]);
	free(to);
}

/* Every unit goes to exactly one rank, with its name; lines told by any rank arrive on rank 0. */
static void test_tickets(void **state)
{
	enum { N = 500 };
	uint64_t done[N] = { 0 }, order[N], units, samples, bytes;
	char *names[N], text[N][8];
	struct pl_tickets *t = NULL;
	struct pl_ticket ticket;
	struct pl_buf told;
	enum pl_status st;

	(void)state;
	for (size_t i = 0; i < N; i++) {
		snprintf(text[i], sizeof(text[i]), "u%zu", i);
		names[i] = text[i];
		order[i] = N - 1 - i;
	}
	pl_job_counts_reset(job);
	assert_int_equal(pl_tickets_open(&t, job, N, order, names, NULL), PL_OK);
	while ((st = pl_tickets_next(t, &ticket, NULL)) == PL_OK) {
		assert_true(ticket.index < N);
		assert_string_equal(ticket.name, text[ticket.index]);
		done[ticket.index]++;
		assert_int_equal(pl_job_tell(job, ticket.name, NULL), PL_OK);
		pl_job_count(job, 1, 2, 3);
		assert_int_equal(pl_job_poll(job, NULL), PL_OK);
	}
	assert_int_equal(st, PL_END);
	pl_tickets_close(t, st);
	pl_job_sum(job, done, N);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(done[i], 1);
	if (pl_job_rank(job) != 0)
		return;
	pl_job_counts(job, &units, &samples, &bytes);
	assert_int_equal(units, N);
	assert_int_equal(bytes, 3 * N);
	pl_buf_init(&told, 0);
	assert_int_equal(pl_job_told(job, &told, NULL), PL_OK);
	units = 0;
	for (size_t i = 0; i < told.len; i++)
		units += told.data[i] == '\n';
	assert_int_equal(units, N);
	pl_buf_release(&told);
}

/* A rank that fails ends the handing out: nobody waits for ever, and not every unit is done. */
static void test_failure(void **state)
{
	struct pl_tickets *t = NULL;
	struct pl_ticket ticket;
	struct pl_err err = { 0 };
	uint64_t did = 0;
	bool failing = pl_job_rank(job) == pl_job_size(job) - 1;
	enum pl_status st;

	(void)state;
	assert_int_equal(pl_tickets_open(&t, job, 100000000, NULL, NULL, NULL), PL_OK);
	while ((st = pl_tickets_next(t, &ticket, &err)) == PL_OK) {
		did++;
		if (failing && did == 3) {
			st = pl_fail(&err, PL_ERR_NOMEM, PL_SEV_JOB, NULL, "no more");
			break;
		}
	}
	pl_tickets_close(t, st);
	assert_int_equal(pl_job_agree(job, st, &err), PL_ERR_NOMEM);
	assert_string_equal(err.text, "no more");
}

/* Last, because a job stays stopped: a signal at one rank stops all of them. */
static void test_stop(void **state)
{
	struct pl_tickets *t = NULL;
	struct pl_ticket ticket;
	struct pl_err err = { 0 };
	enum pl_status st;

	(void)state;
	assert_false(pl_job_stopping(job));
	assert_int_equal(pl_tickets_open(&t, job, 1000000000, NULL, NULL, NULL), PL_OK);
	if (pl_job_rank(job) == pl_job_size(job) - 1)
		raise(SIGTERM);
	while ((st = pl_tickets_next(t, &ticket, &err)) == PL_OK)
		;
	/* Whoever asked again was told the end or the stop; after closing, all know. */
	pl_tickets_close(t, st);
	assert_true(pl_job_stopping(job));
	assert_int_equal(pl_job_poll(job, &err), PL_ERR_STOPPED);
	assert_int_equal(pl_job_agree(job, PL_ERR_STOPPED, &err), PL_ERR_STOPPED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agree),
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_all_to_all),
		cmocka_unit_test(test_tickets),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_stop),
	};
	return cmocka_run_group_tests(tests, start, finish);
}
