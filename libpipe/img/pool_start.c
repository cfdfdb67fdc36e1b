/* SPDX-License-Identifier: Apache-2.0 */
/* Birth and death of the codec pool: map the slots, fork the nursery, wait for
 * the first worker to stand in its sandbox; and end them all. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool_parent.h"

#define WORKERS_MAX 4096
#define WINDOW_MAX 16384
#define WINDOW_LEAST ((size_t)16)   /* enough to go between parent and worker by halves */
#define START_MS 30000       /* for the first worker to stand */
#define END_MS 5000          /* for the nursery to leave by itself */

static int available_cores(void)
{
	/* sched_getaffinity fails on a set smaller than the kernel's: grow it. */
	for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
		cpu_set_t *set = CPU_ALLOC((size_t)cpus);
		size_t size = CPU_ALLOC_SIZE((size_t)cpus);
		int n = 0;

		if (!set)
			return 1;
		if (sched_getaffinity(0, size, set) == 0)
			n = CPU_COUNT_S(size, set);
		CPU_FREE(set);
		if (n > 0)
			return n;
	}
	return 1;
}

/* Lay the mapping out; false where the numbers do not fit the address space. */
static bool plan_mapping(struct pl_pool_shared *sh, size_t page)
{
	uint64_t cap = (sh->limits.max_bytes + page - 1) / page * page;
	size_t headers = sizeof(struct pl_pool_control) + sh->nslots * sizeof(struct pl_pool_slot);

	if (sh->limits.max_bytes > (uint64_t)1 << 40)
		return false;
	sh->seats_size = (sh->workers * sizeof(struct pl_pool_seat) + page - 1) / page * page;
	sh->in_cap = (size_t)cap;
	sh->out_cap = (size_t)cap;
	sh->out_offset = (size_t)cap + page;
	sh->stride = sh->out_offset + (size_t)cap;
	sh->areas = (headers + page - 1) / page * page;
	if (__builtin_mul_overflow(sh->stride, sh->nslots, &sh->size)
	    || __builtin_add_overflow(sh->size, sh->areas, &sh->size))
		return false;
	return sh->size < SIZE_MAX / 4;
}

static enum pl_status map_shared(struct pl_pool *pool, struct pl_err *err)
{
	struct pl_pool_shared *sh = &pool->sh;
	long page = sysconf(_SC_PAGESIZE);
	void *base, *seats;

	if (page <= 0 || !plan_mapping(sh, (size_t)page))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "an image ceiling of %llu bytes times %zu images under way"
		    " is more than can be mapped",
		    (unsigned long long)sh->limits.max_bytes, pool->window);
	base = mmap(NULL, sh->size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return pl_fail_errno(err, PL_SEV_JOB, NULL,
		    "cannot map %zu MiB of address space for the codec pool"
		    " (a smaller window, a smaller image ceiling or a higher ulimit -v would help)",
		    sh->size >> 20);
	sh->base = base;
	seats =
	    mmap(NULL, sh->seats_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seats == MAP_FAILED)
		return pl_fail_errno(err, PL_SEV_JOB, NULL, "cannot map the codec pool's seats");
	sh->seats = seats;
	sh->control = base;
	sh->slots = (struct pl_pool_slot *)(void *)(sh->base + sizeof(struct pl_pool_control));
	for (size_t i = 0; i < sh->nslots; i++)
		if (mprotect(pl_pool_in(sh, i) + sh->in_cap, (size_t)page, PROT_NONE) != 0)
			return pl_fail_errno(err, PL_SEV_JOB, NULL,
			    "cannot place the guard pages of the codec pool");
	return PL_OK;
}

static enum pl_status start_nursery(struct pl_pool *pool, struct pl_err *err)
{
	int pair[2];
	pid_t pid;

	pool->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->event_fd < 0)
		return pl_fail_errno(
		    err, PL_SEV_JOB, NULL, "cannot make an eventfd for the codec pool");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return pl_fail_errno(
		    err, PL_SEV_JOB, NULL, "cannot make a socket for the codec pool");
	pool->control_fd = pair[0];
	pool->sh.event_fd = pool->event_fd;
	pool->sh.control_fd = pair[1];
	pool->sh.parent = getpid();
	pid = fork();
	if (pid == 0)
		_exit(pl_pool_nursery(&pool->sh));
	close(pair[1]);
	if (pid < 0)
		return pl_fail_errno(
		    err, PL_SEV_JOB, NULL, "cannot fork the nursery of the codec pool");
	pool->nursery = pid;
	/* Neither what the caller forks later nor its core dump shall carry the mapping. */
	(void)madvise(pool->sh.base, pool->sh.size, MADV_DONTFORK);
	(void)madvise(pool->sh.base, pool->sh.size, MADV_DONTDUMP);
	return PL_OK;
}

/* Nanoseconds since *last as the caller lived them: a leap of the clock, or a time in which everything was stopped, is a second. */
static uint64_t lived_since(uint64_t *last)
{
	uint64_t now = pl_pool_now(), passed = now - *last;

	*last = now;
	return passed < 1000000000u ? passed : 1000000000u;
}

/* Wait for one worker to stand in its sandbox; the others stand on the same kernel. */
static enum pl_status await_first_worker(struct pl_pool *pool, struct pl_err *err)
{
	uint64_t last = pl_pool_now(), waited = 0;

	for (; !pool->broken && waited < (uint64_t)START_MS * 1000000u; waited += lived_since(&last)) {
		for (uint32_t i = 0; i < pool->sh.workers; i++) {
			uint64_t word = atomic_load(&pool->sh.seats[i].ready);

			if (word) {
				pool->seccomp = word & 1;
				pool->last_tick = pl_pool_now();
				return PL_OK;
			}
		}
		pl_pool_wait(pool, PL_POOL_STEP_MS);
	}
	if (pool->broken)
		return pl_pool_fail_broken(pool, err);
	return pl_fail(err, PL_ERR_IO, PL_SEV_JOB, NULL, "no codec worker was ready within %d s",
	    START_MS / 1000);
}

static enum pl_status settle_config(
    struct pl_pool *pool, const struct pl_pool_config *config, struct pl_err *err)
{
	int workers = config->workers;

	if (workers == 0) {
		workers = available_cores();
		if (workers > WORKERS_MAX)
			workers = WORKERS_MAX;
	}
	if (workers < 0 || workers > WORKERS_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "%d codec workers: from 0 (all cores) to %d", workers, WORKERS_MAX);
	pool->window = config->window ? config->window : 4 * (size_t)workers;
	if (config->window == 0 && pool->window < WINDOW_LEAST)
		pool->window = WINDOW_LEAST;
	if (pool->window > WINDOW_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "a window of %zu images: at most %d", pool->window, WINDOW_MAX);
	if (config->limits.max_bytes == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "an image ceiling of 0 bytes lets no image through");
	pool->sh.workers = (uint32_t)workers;
	pool->sh.nslots = pool->window + 1;   /* one more: the last result's slot is held */
	pool->sh.limits = config->limits;
	pool->sh.sandbox = config->sandbox;
	return PL_OK;
}

enum pl_status pl_pool_new_with(struct pl_pool **pool, const struct pl_pool_config *config,
    pl_pool_work_fn work, struct pl_err *err)
{
	struct pl_pool *p = calloc(1, sizeof(*p));
	enum pl_status status;

	*pool = NULL;
	if (!p)
		return pl_fail_nomem(err);
	p->event_fd = p->control_fd = -1;
	p->sh.work = work;
	status = settle_config(p, config, err);
	if (status != PL_OK)
		goto fail;
	p->entries = calloc(p->sh.nslots, sizeof(*p->entries));
	p->seats = calloc(p->sh.workers, sizeof(*p->seats));
	if (!p->entries || !p->seats) {
		status = pl_fail_nomem(err);
		goto fail;
	}
	status = map_shared(p, err);
	if (status == PL_OK)
		status = start_nursery(p, err);
	if (status == PL_OK)
		status = await_first_worker(p, err);
	if (status != PL_OK)
		goto fail;
	*pool = p;
	return PL_OK;
fail:
	pl_pool_free(p);
	return status;
}

enum pl_status pl_pool_new(
    struct pl_pool **pool, const struct pl_pool_config *config, struct pl_err *err)
{
	return pl_pool_new_with(pool, config, pl_pool_work, err);
}

/* The end of the control socket is the nursery's order to leave: it kills and reaps its workers
 * first. */
static void end_nursery(struct pl_pool *pool)
{
	struct pollfd gone = { .fd = pool->control_fd };
	uint64_t last = pl_pool_now(), waited = 0;
	bool left = false;

	(void)shutdown(pool->control_fd, SHUT_WR);
	for (; !left && waited < (uint64_t)END_MS * 1000000u; waited += lived_since(&last))
		left = poll(&gone, 1, PL_POOL_STEP_MS) > 0 && (gone.revents & (POLLHUP | POLLERR));
	if (!left)
		kill(pool->nursery, SIGKILL);   /* its workers die with it */
	while (waitpid(pool->nursery, NULL, 0) < 0 && errno == EINTR)
		continue;
}

void pl_pool_free(struct pl_pool *pool)
{
	if (!pool)
		return;
	if (pool->nursery > 0)
		end_nursery(pool);
	if (pool->control_fd >= 0)
		close(pool->control_fd);
	if (pool->event_fd >= 0)
		close(pool->event_fd);
	if (pool->sh.base)
		munmap(pool->sh.base, pool->sh.size);
	if (pool->sh.seats)
		munmap(pool->sh.seats, pool->sh.seats_size);
	free(pool->entries);
	free(pool->seats);
	free(pool);
}
