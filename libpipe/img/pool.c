/* SPDX-License-Identifier: Apache-2.0 */
/* The parent's side of the codec pool: fill slots, wait, enforce time, collect.
 * One thread only. What stands in shared memory is
 * copied out and checked before it is believed. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libpipe/base/hash.h"
#include "pool_parent.h"

#define TICK_NS 20000000

uint64_t pl_pool_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the nursery's messages ---- */

enum pl_status pl_pool_fail_broken(const struct pl_pool *pool, struct pl_err *err)
{
	static const char *const texts[] = {
		[PL_POOL_FAULT_FORK] = "the codec pool cannot fork a worker",
		[PL_POOL_FAULT_SETUP] = "a codec worker cannot set up its sandbox",
		[PL_POOL_FAULT_SECCOMP] =
		    "this system refuses the seccomp filter that the codec sandbox requires",
		[PL_POOL_FAULT_EARLY_DEATHS] = "codec workers die before their first image",
	};

	if (pool->fault_errno < 0)
		return pl_fail(
		    err, PL_ERR_IO, PL_SEV_JOB, NULL, "the nursery of the codec pool is gone");
	if (pool->fault_errno == 0)
		return pl_fail(err, PL_ERR_IO, PL_SEV_JOB, NULL, "%s", texts[pool->fault]);
	if (pool->fault == PL_POOL_FAULT_SECCOMP) {
		enum pl_status status = pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_JOB, NULL, "%s: %s",
		    texts[pool->fault], strerror(pool->fault_errno));

		if (err)
			err->sys_errno = pool->fault_errno;
		return status;
	}
	errno = pool->fault_errno;
	return pl_fail_errno(err, PL_SEV_JOB, NULL, "%s", texts[pool->fault]);
}

static void order_kill(struct pl_pool *pool, uint32_t spawn)
{
	const struct pl_pool_kill order = { .spawn = spawn };

	/* A full socket means that the nursery is behind; the next tick asks again. */
	(void)send(pool->control_fd, &order, sizeof(order), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static enum pl_reason reason_of_death(const struct pl_pool_entry *e, uint32_t spawn, int status)
{
	if (e->killed_spawn == spawn)
		return PL_REASON_TIMEOUT;
	if (WIFEXITED(status) && WEXITSTATUS(status) == PL_POOL_EXIT_NO_MEMORY)
		return PL_REASON_NO_MEMORY;
	return PL_REASON_CRASH;
}

static void wake_workers(struct pl_pool *pool, int count)
{
	(void)syscall(SYS_futex, &pool->sh.control->bell, FUTEX_WAKE, count, NULL, NULL, 0);
}

/* One more job is queued. */
static void ring_workers(struct pl_pool *pool)
{
	atomic_fetch_add(&pool->sh.control->bell, 1);
	if (atomic_load(&pool->sh.control->sleepers) != 0)
		wake_workers(pool, 1);
}

/* Should the job that this worker had when it died be run again? The parent had the worker killed for an earlier job's sake; or
 * somebody else sent SIGKILL (the kernel when memory is short, an administrator), which is no fault of the image unless it
 * happens every time. */
static bool run_again(struct pl_pool_entry *e, uint32_t spawn, int status, bool condemned)
{
	if (e->killed_spawn == spawn)
		return false;
	if (condemned)
		return true;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && e->kills++ < PL_POOL_KILLS_FORGIVEN;
}

/* Whatever the dead worker had claimed died with it; or is queued again. */
static void settle_death(struct pl_pool *pool, uint32_t spawn, int status, bool condemned)
{
	for (uint64_t job = pool->head; job < pool->tail; job++) {
		struct pl_pool_entry *e = &pool->entries[job % pool->sh.nslots];
		struct pl_pool_slot *slot = &pool->sh.slots[job % pool->sh.nslots];

		if (e->settled
		    || atomic_load(&slot->state) != pl_pool_state(spawn, job, PL_POOL_RUNNING))
			continue;
		if (run_again(e, spawn, status, condemned)) {
			memset(&slot->reply, 0, sizeof(slot->reply));
			e->seen_running = false;
			atomic_store(&slot->state, pl_pool_state(0, job, PL_POOL_QUEUED));
			ring_workers(pool);
			continue;
		}
		e->settled = true;
		e->reason = reason_of_death(e, spawn, status);
		e->out_dirty = pool->sh.out_cap;
		e->in_dirty = pool->sh.in_cap;
	}
}

static void hear(struct pl_pool *pool, const struct pl_pool_message *m)
{
	bool condemned;

	if (m->event == PL_POOL_BROKEN) {
		pool->broken = true;
		pool->fault = m->fault;
		pool->fault_errno = m->status;
		return;
	}
	if (m->seat >= pool->sh.workers)
		return;
	if (m->event == PL_POOL_SPAWNED) {
		pool->seats[m->seat] = (struct pl_pool_worker){ .spawn = m->spawn, .pid = m->pid };
		return;
	}
	condemned = pool->seats[m->seat].condemned;
	pool->seats[m->seat] = (struct pl_pool_worker){ 0 };
	if (!(WIFEXITED(m->status) && WEXITSTATUS(m->status) == PL_POOL_EXIT_RETIRED))
		pool->replaced++;
	settle_death(pool, m->spawn, m->status, condemned);
}

/* Read all the nursery has said. */
static void drain_control(struct pl_pool *pool)
{
	while (!pool->broken) {
		struct pl_pool_message m;
		ssize_t n = recv(pool->control_fd, &m, sizeof(m), MSG_DONTWAIT);

		if (n == (ssize_t)sizeof(m)) {
			hear(pool, &m);
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			return;
		} else {
			pool->broken = true;
			pool->fault_errno = -1;
		}
	}
}

/* Have a worker killed; false when none has that spawn number. */
static bool condemn(struct pl_pool *pool, uint32_t spawn)
{
	for (uint32_t i = 0; i < pool->sh.workers; i++)
		if (spawn != 0 && pool->seats[i].spawn == spawn) {
			pool->seats[i].condemned = true;
			order_kill(pool, spawn);
			return true;
		}
	return false;
}

/* The job's time is over: have its worker killed; its death settles the job. A state word that
 * names no living worker, or none at all, was forged: then no worker is to be trusted with what it
 * holds. */
static void stop_late_job(struct pl_pool *pool, struct pl_pool_entry *e, uint64_t state)
{
	uint32_t owner = (uint32_t)(state >> 32);

	if (condemn(pool, owner)) {
		e->killed_spawn = owner;
		return;
	}
	for (uint32_t i = 0; i < pool->sh.workers; i++)
		(void)condemn(pool, pool->seats[i].spawn);
	e->settled = true;
	e->reason = PL_REASON_TIMEOUT;
}

/* CPU time of a worker in nanoseconds, as the kernel counts it; 0 when there is no such worker. */
static uint64_t worker_cpu(const struct pl_pool *pool, uint32_t spawn)
{
	struct timespec t;
	clockid_t clock;

	for (uint32_t i = 0; i < pool->sh.workers; i++)
		if (spawn != 0 && pool->seats[i].spawn == spawn)
			return clock_getcpuclockid(pool->seats[i].pid, &clock) == 0
				    && clock_gettime(clock, &t) == 0
				? (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec
				: 0;
	return 0;
}

/* Late is who has used up the limit's CPU time, so that a crowded machine makes no image late; or
 * who has only waited, which no codec does, for several times as long. */
static bool is_late(
    const struct pl_pool *pool, const struct pl_pool_entry *e, uint32_t spawn, uint64_t limit)
{
	uint64_t cpu = worker_cpu(pool, spawn);

	return (cpu > e->cpu_since && cpu - e->cpu_since >= limit)
	    || pool->clock - e->running_since >= PL_POOL_WALL_FACTOR * limit;
}

/* Now and then: hear the nursery, advance the clock, look for late jobs. */
static void tick(struct pl_pool *pool)
{
	uint64_t now = pl_pool_now(), passed = now - pool->last_tick;
	const uint64_t limit = (uint64_t)pool->sh.limits.timeout_ms * 1000000u;
	bool queued = false;

	if (passed < TICK_NS)
		return;
	pool->last_tick = now;
	pool->clock += passed < 1000000000u ? passed : 1000000000u;
	drain_control(pool);
	for (uint64_t job = pool->head; job < pool->tail; job++) {
		struct pl_pool_entry *e = &pool->entries[job % pool->sh.nslots];
		uint64_t state = atomic_load(&pool->sh.slots[job % pool->sh.nslots].state);

		if (e->settled || (state & 3) == PL_POOL_DONE)
			continue;
		if (state == pl_pool_state(0, job, PL_POOL_QUEUED)) {
			queued = true;
		} else if (!e->seen_running) {
			e->seen_running = true;
			e->running_since = pool->clock;
			e->cpu_since = worker_cpu(pool, (uint32_t)(state >> 32));
		} else if (limit && is_late(pool, e, (uint32_t)(state >> 32), limit)) {
			stop_late_job(pool, e, state);
		}
	}
	/* Mends a wake-up that died with its worker, and a count of sleepers that is a lie. */
	if (queued) {
		atomic_fetch_add(&pool->sh.control->bell, 1);
		wake_workers(pool, INT_MAX);
	}
}

/* ---- submitting ---- */

bool pl_pool_has_room(const struct pl_pool *pool)
{
	return pool->tail - pool->head < pool->window;
}

size_t pl_pool_pending(const struct pl_pool *pool)
{
	return (size_t)(pool->tail - pool->head);
}

uint64_t pl_pool_collected(const struct pl_pool *pool)
{
	return pool->head;
}

/* A job that no worker needs to see. */
static void settle_at_once(struct pl_pool *pool, struct pl_pool_entry *e,
    const struct pl_pool_job *job, enum pl_reason reason)
{
	struct pl_pool_slot *slot = &pool->sh.slots[pool->tail % pool->sh.nslots];

	memset(&slot->reply, 0, sizeof(slot->reply));
	if (job->op == PL_POOL_SCAN)
		pl_hash128_bytes(job->data, job->len, slot->reply.xxh3);
	e->len = 0;
	e->settled = true;
	e->reason = reason;
	atomic_store(&slot->state, pl_pool_state(0, pool->tail, PL_POOL_FREE));
}

enum pl_status pl_pool_submit(
    struct pl_pool *pool, const struct pl_pool_job *job, struct pl_err *err)
{
	size_t at = (size_t)(pool->tail % pool->sh.nslots);
	struct pl_pool_entry *e = &pool->entries[at];
	struct pl_pool_slot *slot = &pool->sh.slots[at];

	tick(pool);
	if (pool->broken)
		return pl_pool_fail_broken(pool, err);
	if (!pl_pool_has_room(pool))
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
		    "the codec pool's window of %zu images is full", pool->window);
	*e = (struct pl_pool_entry){ .tag = job->tag,
		.op = job->op,
		.dihedral = job->dihedral,
		.hash = job->op == PL_POOL_SCAN || (job->op == PL_POOL_TRANSFORM && job->resize.hash),
		.len = job->len,
		.in_dirty = e->in_dirty,
		.out_dirty = e->out_dirty };
	if (job->len == 0 || job->len > pool->sh.limits.max_bytes) {
		settle_at_once(pool, e, job, job->len == 0 ? PL_REASON_EMPTY : PL_REASON_TOO_LARGE);
	} else {
		slot->request = (struct pl_pool_request){ .len = job->len,
			.op = job->op,
			.hash = job->hash,
			.dihedral = job->dihedral,
			.resize = job->resize };
		memset(&slot->reply, 0, sizeof(slot->reply));
		/* The bytes end where the guard page begins: a decoder that reads past them faults
		 * at once, the same way every time, instead of reading what an earlier image
		 * left. */
		memcpy(
		    pl_pool_in(&pool->sh, at) + (pool->sh.in_cap - job->len), job->data, job->len);
		if (e->in_dirty < job->len)
			e->in_dirty = job->len;
		atomic_store(&slot->state, pl_pool_state(0, pool->tail, PL_POOL_QUEUED));
	}
	pool->tail++;
	atomic_store(&pool->sh.control->tail, pool->tail);
	if (!e->settled)
		ring_workers(pool);
	return PL_OK;
}

/* ---- collecting ---- */

/* Give back pages of the slot beyond what it may keep. Input grows from the area's end, output from
 * its start. */
static void release_held(struct pl_pool *pool)
{
	size_t at = (size_t)((pool->head - 1) % pool->sh.nslots), keep = PL_POOL_KEEP_AREA;
	struct pl_pool_entry *e = &pool->entries[at];

	if (!pool->held)
		return;
	pool->held = false;
	if (e->in_dirty > keep && pool->sh.in_cap > keep) {
		(void)madvise(pl_pool_in(&pool->sh, at), pool->sh.in_cap - keep, MADV_REMOVE);
		e->in_dirty = 0;
	}
	if (e->out_dirty > keep && pool->sh.out_cap > keep) {
		(void)madvise(
		    pl_pool_out(&pool->sh, at) + keep, pool->sh.out_cap - keep, MADV_REMOVE);
		e->out_dirty = 0;
	}
}

/* Hand the oldest job's result over; its slot stays held until the next call. */
static void collect(struct pl_pool *pool, struct pl_pool_result *r)
{
	size_t at = (size_t)(pool->head % pool->sh.nslots);
	struct pl_pool_entry *e = &pool->entries[at];
	struct pl_pool_slot *slot = &pool->sh.slots[at];
	uint64_t state = atomic_load(&slot->state);
	struct pl_pool_reply reply = slot->reply;

	/* One fetch: what is checked below is what is used. */
	atomic_signal_fence(memory_order_seq_cst);
	if (!e->settled && !pl_pool_reply_valid(pool, e, &reply)) {
		e->settled = true;   /* a worker that answers nonsense has been taken over */
		e->reason = PL_REASON_CRASH;
		e->out_dirty = pool->sh.out_cap;
		(void)condemn(pool, (uint32_t)(state >> 32));
	}
	pl_pool_take_reply(pool, at, &reply, r);
	if (!e->settled && e->out_dirty < reply.len)
		e->out_dirty = (size_t)reply.len;
	pool->head++;
	atomic_store(&pool->sh.control->head, pool->head);
	pool->held = true;
}

static bool is_ready(const struct pl_pool *pool, uint64_t job)
{
	size_t at = (size_t)(job % pool->sh.nslots);
	uint64_t state = atomic_load(&pool->sh.slots[at].state);

	return pool->entries[at].settled
	       || (state & 0xFFFFFFFFu) == pl_pool_state(0, job, PL_POOL_DONE);
}

/* Sleep until a job is done with which half a window is likely to be: to wake and be scheduled for
 * each would cost more than the parent has to do for it. The other half keeps the workers busy. */
static void wait_for_some(struct pl_pool *pool, int ms)
{
	uint64_t job = pool->head + pool->window / 2;

	if (job >= pool->tail)
		job = pool->tail - 1;
	while (job > pool->head && is_ready(pool, job))
		job--;
	atomic_store(&pool->sh.control->waiting, job + 1);
	if (!is_ready(pool, job))
		pl_pool_wait(pool, ms);
	atomic_store(&pool->sh.control->waiting, 0);
}

void pl_pool_wait(struct pl_pool *pool, int ms)
{
	struct pollfd watched[2] = { { .fd = pool->event_fd, .events = POLLIN },
		{ .fd = pool->control_fd, .events = POLLIN } };
	uint64_t rings;

	if (poll(watched, 2, ms) <= 0)
		return;
	if (watched[0].revents && read(pool->event_fd, &rings, sizeof(rings)) < 0)
		return;
	if (watched[1].revents)
		drain_control(pool);
}

enum pl_status pl_pool_next(
    struct pl_pool *pool, int timeout_ms, bool *ready, struct pl_pool_result *r, struct pl_err *err)
{
	uint64_t deadline = timeout_ms > 0 ? pl_pool_now() + (uint64_t)timeout_ms * 1000000u : 0;

	*ready = false;
	release_held(pool);
	if (pool->head == pool->tail)
		return PL_END;
	for (;;) {
		uint64_t now;
		int ms = PL_POOL_STEP_MS;

		tick(pool);
		if (is_ready(pool, pool->head)) {
			collect(pool, r);
			*ready = true;
			return PL_OK;
		}
		if (pool->broken)
			return pl_pool_fail_broken(pool, err);
		if (timeout_ms == 0)
			return PL_OK;
		if (timeout_ms > 0) {
			now = pl_pool_now();
			if (now >= deadline)
				return PL_OK;
			if (deadline - now < (uint64_t)PL_POOL_STEP_MS * 1000000u)
				ms = (int)((deadline - now + 999999u) / 1000000u);
		}
		wait_for_some(pool, ms);
	}
}

bool pl_pool_seccomp(const struct pl_pool *pool)
{
	return pool->seccomp;
}

int pl_pool_workers(const struct pl_pool *pool)
{
	return (int)pool->sh.workers;
}

uint64_t pl_pool_replaced(const struct pl_pool *pool)
{
	return pool->replaced;
}

pid_t pl_pool_worker_pid(struct pl_pool *pool, int seat)
{
	drain_control(pool);
	if (seat < 0)
		return pool->nursery;
	return (uint32_t)seat < pool->sh.workers ? pool->seats[seat].pid : 0;
}
