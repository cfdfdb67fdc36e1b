/* SPDX-License-Identifier: Apache-2.0 */
/* What dedup asks of the other parts, asked of the other ranks. */
#include "step_dedup_parts.h"

#include "libpipe/base/human.h"
#include "libpipe/base/memory.h"
#include "libpipe/dist/shared.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Of the machine's memory when --memory is not given: the rest is for the tables' pages, MPI and the system. */
#define SHARE_OF_MACHINE 0.8
#define ROOM_MIN ((uint64_t)16 << 20)

static enum pl_status parts_poll(void *ctx, struct pl_err *err)
{
	struct dedup_parts *p = ctx;

	return tool_poll(p->tool, err);
}

static enum pl_status parts_agree(void *ctx, enum pl_status mine, struct pl_err *err)
{
	struct dedup_parts *p = ctx;

	return pl_job_agree(p->tool->job, mine, err);
}

static enum pl_status parts_exchange(void *ctx, const struct pl_buf *to, struct pl_buf *from, struct pl_err *err)
{
	struct dedup_parts *p = ctx;

	for (uint32_t r = 0; r < p->parts.parts; r++)
		p->sent += r != p->parts.part ? to[r].len : 0;
	return pl_job_exchange(p->tool->job, to, from, NULL, err);
}

static void parts_sum(void *ctx, uint64_t *values, size_t n)
{
	struct dedup_parts *p = ctx;

	pl_job_sum(p->tool->job, values, n);
}

static enum pl_status parts_share(void *ctx, struct pl_share *s, uint64_t bytes, uint64_t held, const char *what, struct pl_err *err)
{
	struct dedup_parts *p = ctx;
	struct pl_job *job = p->tool->job;
	struct pl_shared *shared = NULL;
	uint64_t need = held;
	bool file;
	enum pl_status st = PL_OK;

	pl_job_node_sum(job, &need, 1);
	need += p->shared + bytes;
	file = pl_job_max(job, need > p->memory) > 0;
	if (need > p->memory && p->parts.scratch == NULL) {
		char have[24], want[24], part[24];
		st = pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
		    "a node needs %s, %s of them for %s, and may take %s: give --memory more, or --scratch DIR on a fast local disk; more nodes help "
		    "but with these",
		    pl_human_bytes((double)need, want, sizeof(want)), pl_human_bytes((double)bytes, part, sizeof(part)), what,
		    pl_human_bytes((double)p->memory, have, sizeof(have)));
	}
	if ((st = pl_job_agree(job, st, err)) != PL_OK)
		return st;
	st = pl_shared_new(&shared, job, bytes, file ? p->parts.scratch : NULL, what, err);
	if (st != PL_OK)
		return st;
	*s = (struct pl_share){ pl_shared_data(shared), file ? 0 : bytes, shared };
	*(file ? &p->filed : &p->shared) += bytes;
	if (p->shared > p->shared_peak)
		p->shared_peak = p->shared;
	return PL_OK;
}

static void parts_settle(void *ctx, struct pl_share *s)
{
	(void)ctx;
	if (s->handle != NULL)
		pl_shared_settle(s->handle);
}

static void parts_unshare(void *ctx, struct pl_share *s)
{
	struct dedup_parts *p = ctx;

	if (s->handle == NULL)
		return;
	p->shared -= s->bytes < p->shared ? s->bytes : p->shared;
	pl_shared_free(s->handle);
	memset(s, 0, sizeof(*s));
}

static bool parts_fits(void *ctx, uint64_t bytes, uint64_t held)
{
	struct dedup_parts *p = ctx;
	uint64_t need = held;

	pl_job_node_sum(p->tool->job, &need, 1);
	return pl_job_max(p->tool->job, need + p->shared + bytes > p->memory) == 0;
}

/* The least of all nodes, so that all ranks plan the same join. */
static uint64_t parts_room(void *ctx, uint64_t held)
{
	struct dedup_parts *p = ctx;
	struct pl_job *job = p->tool->job;
	uint64_t taken = held, room;

	pl_job_node_sum(job, &taken, 1);
	taken += p->shared;
	room = taken < p->memory ? (p->memory - taken) / (uint64_t)pl_job_node_size(job) : 0;
	if (room < ROOM_MIN)
		room = ROOM_MIN;
	return UINT64_MAX - pl_job_max(job, UINT64_MAX - room);
}

static enum pl_status check_scratch(const char *scratch, struct pl_err *err)
{
	struct stat st;

	if (scratch == NULL || (stat(scratch, &st) == 0 && S_ISDIR(st.st_mode)))
		return PL_OK;
	return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, scratch, "is no directory for --scratch on every node");
}

enum pl_status dedup_parts_open(struct dedup_parts *p, struct tool *t, uint64_t memory, const char *scratch, struct pl_err *err)
{
	struct pl_job *job = t->job;
	enum pl_status st = pl_job_find_nodes(job, err);
	uint32_t n;

	memset(p, 0, sizeof(*p));
	p->tool = t;
	if (st == PL_OK)
		st = pl_job_agree(job, check_scratch(scratch, err), err);
	if (st != PL_OK)
		return st;
	n = (uint32_t)pl_job_nodes(job);
	p->leaders = calloc(n, sizeof(*p->leaders));
	st = pl_job_agree(job, p->leaders != NULL ? PL_OK : pl_fail_nomem(err), err);
	if (st != PL_OK || p->leaders == NULL)
		return st;
	for (uint32_t i = 0; i < n; i++)
		p->leaders[i] = (uint32_t)pl_job_leaders(job)[i];
	p->memory = memory > 0 ? memory : (uint64_t)((double)pl_memory_limit() * SHARE_OF_MACHINE);
	if (p->memory == 0)
		p->memory = (uint64_t)4 << 30;
	p->parts = (struct pl_parts){ .part = (uint32_t)pl_job_rank(job), .parts = (uint32_t)pl_job_size(job), .leaders = p->leaders, .nodes = n,
		.leader = (uint32_t)pl_job_leader(job), .scratch = scratch, .ctx = p, .poll = parts_poll, .agree = parts_agree,
		.exchange = parts_exchange, .sum = parts_sum, .share = parts_share, .settle = parts_settle, .unshare = parts_unshare,
		.fits = parts_fits, .room = parts_room };
	return PL_OK;
}

void dedup_parts_close(struct dedup_parts *p)
{
	free(p->leaders);
	p->leaders = NULL;
}
