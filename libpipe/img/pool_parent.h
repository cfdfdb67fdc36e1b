/* SPDX-License-Identifier: Apache-2.0 */
/* The codec pool as its parent process sees it: the books that workers cannot
 * reach. Shared by pool.c (jobs and results) and pool_start.c (birth and death). */
#ifndef PL_IMG_POOL_PARENT_H
#define PL_IMG_POOL_PARENT_H

#include "pool_internal.h"

#define PL_POOL_STEP_MS 50       /* a lost wake-up costs so much, no more */
/* An image may take the limit's time of CPU, and so many times as much by the clock on the wall. */
#define PL_POOL_WALL_FACTOR 4
/* So many times an image is tried again when its worker got a SIGKILL that was not ours. */
#define PL_POOL_KILLS_FORGIVEN 2

/* The parent's own books on a slot; workers cannot reach them. */
struct pl_pool_entry {
	uint64_t tag;
	enum pl_pool_op op;
	bool dihedral, hash;     /* asked for */
	size_t len;
	bool settled;            /* reason below is final, whatever the slot says */
	enum pl_reason reason;
	bool seen_running;
	uint64_t running_since;  /* pool clock */
	uint64_t cpu_since;      /* the worker's CPU clock then */
	unsigned kills;          /* workers that a SIGKILL of somebody else's ended with this job */
	uint32_t killed_spawn;   /* the worker killed for being late with this job; 0 = none */
	size_t in_dirty, out_dirty;   /* bytes of the areas that may hold pages */
};

struct pl_pool_worker {
	uint32_t spawn; /* 0 = the seat is empty */
	pid_t pid;
	bool condemned; /* being killed on our order: a later job it has taken is run again */
};

struct pl_pool {
	struct pl_pool_shared sh;
	struct pl_pool_entry *entries;
	struct pl_pool_worker *seats;
	size_t window;
	uint64_t head, tail;     /* jobs collected, submitted */
	bool held;               /* the slot of job head-1 still belongs to the last result */
	pid_t nursery;
	int event_fd, control_fd;
	bool seccomp;
	bool broken;
	enum pl_pool_fault fault;
	int fault_errno;         /* -1: the nursery vanished without a word */
	uint64_t replaced;
	uint64_t last_tick;      /* monotonic ns */
	/* Time as the parent lived it: a long absence counts one second. A job that was stopped
	 * along with the parent (Ctrl-Z, a suspended Slurm step) so is not late. */
	uint64_t clock;
};

/* Monotonic nanoseconds. */
uint64_t pl_pool_now(void);
/* Fill *err with what broke the pool. */
enum pl_status pl_pool_fail_broken(const struct pl_pool *pool, struct pl_err *err);
/* Sleep until a worker rings, the nursery speaks, or ms have passed; hear what the nursery says. */
void pl_pool_wait(struct pl_pool *pool, int ms);
/* Is the reply to a finished job, a copy of the slot's, one that honest work gives? */
bool pl_pool_reply_valid(const struct pl_pool *pool, const struct pl_pool_entry *e, const struct pl_pool_reply *reply);
/* The result of the job in slot `at`; its entry is settled, or *reply, a copy of the slot's, is valid. */
void pl_pool_take_reply(const struct pl_pool *pool, size_t at, const struct pl_pool_reply *reply, struct pl_pool_result *r);

#endif
