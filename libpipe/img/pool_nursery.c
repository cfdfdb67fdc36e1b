/* SPDX-License-Identifier: Apache-2.0 */
/* The nursery: a single-threaded child that forks the codec workers, reaps and
 * replaces the dead ones, and kills on the parent's word. It never looks at
 * foreign bytes. The worker's loop is here too: claim a job, run it, ring. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pool_internal.h"

/* So many workers in a row that died before their sandbox stood: something is wrong with the
 * machine. */
#define EARLY_DEATHS_MAX 32
#define FORK_RETRY_MS 50

struct seat { pid_t pid; uint32_t spawn; };

struct nursery {
	struct pl_pool_shared *sh;
	struct pl_pool_jail jail;
	struct seat *seats;
	uint32_t next_spawn;
	uint32_t empty;              /* seats without a worker: a fork failed */
	uint32_t early_deaths;
	bool over;
};

/* ---- the worker ---- */

static void reset_signals(void)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGQUIT, SIGPIPE,
		SIGALRM };
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	sigemptyset(&action.sa_mask);
	for (int s = 1; s < NSIG; s++)
		(void)sigaction(s, &action, NULL);   /* fails for the few that cannot be changed */
	action.sa_handler = SIG_IGN;
	for (size_t i = 0; i < PL_ARRAY_LEN(ignored); i++)
		(void)sigaction(ignored[i], &action, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Close every descriptor from first on. */
static void close_from(int first)
{
	long most = 65536;
	struct rlimit limit;

	if (close_range((unsigned)first, ~0u, 0) == 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536)
		most = (long)limit.rlim_cur;
	for (int fd = first; fd < most; fd++)
		close(fd);
}

/* Claim the oldest queued job for this spawn; its slot, or SIZE_MAX when there is none. */
static size_t claim(const struct pl_pool_shared *sh, uint32_t spawn, uint64_t *job)
{
	uint64_t head = atomic_load(&sh->control->head), tail = atomic_load(&sh->control->tail);

	for (size_t i = 0; i < sh->nslots && head + i < tail; i++) {
		uint64_t n = head + i, queued = pl_pool_state(0, n, PL_POOL_QUEUED);
		struct pl_pool_slot *slot = &sh->slots[n % sh->nslots];

		if (atomic_load_explicit(&slot->state, memory_order_relaxed) == queued
		    && atomic_compare_exchange_strong(
			&slot->state, &queued, pl_pool_state(spawn, n, PL_POOL_RUNNING))) {
			*job = n;
			return n % sh->nslots;
		}
	}
	return SIZE_MAX;
}

static void ring_parent(void)
{
	const uint64_t one = 1;

	/* The descriptor does not block; when its counter is full the parent is awake anyway. */
	if (write(PL_POOL_FD_EVENT, &one, sizeof(one)) < 0)
		return;
}

static void run_job(const struct pl_pool_shared *sh, uint32_t spawn, size_t at, uint64_t job)
{
	struct pl_pool_slot *slot = &sh->slots[at];
	uint64_t running = pl_pool_state(spawn, job, PL_POOL_RUNNING);
	uint64_t len = slot->request.len;
	bool big = len > 128u << 10;

	if (len > 0 && len <= sh->in_cap)
		sh->work(&slot->request, pl_pool_in(sh, at) + (sh->in_cap - len), &slot->reply,
		    pl_pool_out(sh, at), sh->out_cap, &sh->limits);
	else
		slot->reply.reason = PL_REASON_CORRUPT;
	big = big || (uint64_t)slot->reply.in_width * slot->reply.in_height > 1u << 20;
	(void)atomic_compare_exchange_strong(
	    &slot->state, &running, pl_pool_state(spawn, job, PL_POOL_DONE));
	if (atomic_load(&sh->control->waiting) == job + 1)
		ring_parent();
	if (big && mallinfo2().fordblks > 2 * PL_POOL_KEEP_HEAP)
		malloc_trim(PL_POOL_KEEP_HEAP);
}

static bool should_retire(void)
{
	struct timespec cpu;

	return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0
	    && cpu.tv_sec >= PL_POOL_RETIRE_CPU_S;
}

static _Noreturn void worker(
    const struct nursery *ny, uint32_t seat, uint32_t spawn, pid_t nursery_pid)
{
	const struct pl_pool_shared *sh = ny->sh;
	enum pl_pool_fault fault;
	bool seccomp;

	/* Dying with the parent is asked for first, and checked, in case it is dead already. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != nursery_pid)
		_exit(PL_POOL_EXIT_SETUP);
	reset_signals();
	(void)prctl(PR_SET_NAME, "plait-codec", 0, 0, 0);
	close_from(PL_POOL_FD_EVENT + 1);
	/* Blocks up to the threshold are kept in the heap, larger ones go back to the system at
	 * once. */
	(void)mallopt(M_MMAP_THRESHOLD, (int)PL_POOL_KEEP_HEAP);
	(void)mallopt(M_TRIM_THRESHOLD, (int)(2 * PL_POOL_KEEP_HEAP));
	if (pl_pool_jail_enter(&ny->jail, sh, &seccomp, &fault) != 0) {
		atomic_store(
		    &sh->seats[seat].refused, (uint64_t)(unsigned)errno << 8 | (uint64_t)fault);
		_exit(PL_POOL_EXIT_SETUP);
	}
	atomic_store(&sh->seats[seat].ready, (uint64_t)spawn << 1 | (uint64_t)seccomp);
	if (munmap(sh->seats, sh->seats_size) != 0)
		_exit(PL_POOL_EXIT_SETUP);
	ring_parent();
	for (unsigned turn = 1;; turn++) {
		uint32_t bell = atomic_load(&sh->control->bell);
		uint64_t job;
		size_t at = claim(sh, spawn, &job);

		if (at != SIZE_MAX) {
			run_job(sh, spawn, at, job);
		} else {
			/* Counted first: whoever changes the bell behind this sees us, and we see
			 * a change before it. */
			atomic_fetch_add(&sh->control->sleepers, 1);
			(void)syscall(
			    SYS_futex, &sh->control->bell, FUTEX_WAIT, bell, NULL, NULL, 0);
			atomic_fetch_sub(&sh->control->sleepers, 1);
		}
		if (turn % 256 == 0 && should_retire())
			_exit(PL_POOL_EXIT_RETIRED);
	}
}

/* ---- the nursery ---- */

static void tell(struct nursery *ny, const struct pl_pool_message *message)
{
	ssize_t n;

	do
		n = send(PL_POOL_FD_CONTROL, message, sizeof(*message), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		ny->over = true;   /* the parent has gone */
}

static void give_up(struct nursery *ny, enum pl_pool_fault fault, int error)
{
	const struct pl_pool_message message = {
		.event = PL_POOL_BROKEN, .fault = fault, .status = error
	};

	tell(ny, &message);
	ny->over = true;
}

/* Fork a worker for the seat. A failed fork leaves the seat empty, to be tried again. */
static void spawn_worker(struct nursery *ny, uint32_t seat)
{
	struct pl_pool_message message = {
		.event = PL_POOL_SPAWNED, .seat = seat, .spawn = ny->next_spawn
	};
	pid_t self = getpid(), pid;

	atomic_store(&ny->sh->seats[seat].ready, 0);
	pid = fork();
	if (pid == 0)
		worker(ny, seat, ny->next_spawn, self);
	if (pid < 0) {
		ny->empty++;
		if (ny->empty == ny->sh->workers)
			give_up(ny, PL_POOL_FAULT_FORK, errno);
		return;
	}
	ny->seats[seat] = (struct seat){ .pid = pid, .spawn = ny->next_spawn++ };
	if (ny->next_spawn == 0)   /* 0 means no owner */
		ny->next_spawn = 1;
	message.pid = pid;
	tell(ny, &message);
}

static void fill_empty_seats(struct nursery *ny)
{
	if (ny->empty == 0)
		return;
	ny->empty = 0;
	for (uint32_t i = 0; i < ny->sh->workers && !ny->over; i++)
		if (ny->seats[i].pid == 0)
			spawn_worker(ny, i);
}

static void bury(struct nursery *ny, uint32_t seat, int status)
{
	const struct pl_pool_message message = { .event = PL_POOL_DIED,
		.seat = seat,
		.spawn = ny->seats[seat].spawn,
		.pid = ny->seats[seat].pid,
		.status = status };
	uint64_t ready = atomic_load(&ny->sh->seats[seat].ready);
	uint64_t refused = atomic_load(&ny->sh->seats[seat].refused);

	ny->seats[seat] = (struct seat){ 0 };
	tell(ny, &message);
	if (refused) {
		give_up(ny,
		    (refused & 0xFF) == PL_POOL_FAULT_SECCOMP ? PL_POOL_FAULT_SECCOMP
							      : PL_POOL_FAULT_SETUP,
		    (int)(refused >> 8));
		return;
	}
	ny->early_deaths = ready == 0 ? ny->early_deaths + 1 : 0;
	if (ny->early_deaths >= EARLY_DEATHS_MAX)
		give_up(ny, PL_POOL_FAULT_EARLY_DEATHS, 0);
	if (!ny->over)
		spawn_worker(ny, seat);
}

static void reap(struct nursery *ny)
{
	struct signalfd_siginfo drained;
	pid_t pid;
	int status;

	while (read(PL_POOL_FD_SIGNAL, &drained, sizeof(drained)) > 0)
		continue;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (uint32_t i = 0; i < ny->sh->workers; i++)
			if (ny->seats[i].pid == pid) {
				bury(ny, i, status);
				break;
			}
}

static void obey(struct nursery *ny)
{
	struct pl_pool_kill order;
	ssize_t n = recv(PL_POOL_FD_CONTROL, &order, sizeof(order), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		ny->over = true;
		return;
	}
	if (n != (ssize_t)sizeof(order))
		return;
	for (uint32_t i = 0; i < ny->sh->workers; i++)
		if (ny->seats[i].pid > 0 && ny->seats[i].spawn == order.spawn)
			kill(ny->seats[i].pid, SIGKILL);
}

/* Put the descriptors at their numbers, point 0..2 at /dev/null, close the rest. 0, or -1 with
 * errno. */
static int arrange_descriptors(const struct pl_pool_shared *sh)
{
	int event = fcntl(sh->event_fd, F_DUPFD_CLOEXEC, 16),
	    control = fcntl(sh->control_fd, F_DUPFD_CLOEXEC, 16);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC),
	    high = null < 0 ? -1 : fcntl(null, F_DUPFD_CLOEXEC, 16);
	sigset_t child;

	if (event < 0 || control < 0 || high < 0)
		return -1;
	for (int fd = 0; fd < 3; fd++)
		if (!(PL_POOL_SANITIZED && fd == 2) && dup2(high, fd) < 0)
			return -1;
	if (dup2(event, PL_POOL_FD_EVENT) < 0 || dup2(control, PL_POOL_FD_CONTROL) < 0)
		return -1;
	close_from(PL_POOL_FD_CONTROL + 1);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &child, NULL) != 0)
		return -1;
	return signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK) == PL_POOL_FD_SIGNAL ? 0 : -1;
}

static void kill_all(struct nursery *ny)
{
	for (uint32_t i = 0; i < ny->sh->workers; i++)
		if (ny->seats[i].pid > 0)
			kill(ny->seats[i].pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		continue;
}

int pl_pool_nursery(struct pl_pool_shared *sh)
{
	struct nursery ny = { .sh = sh, .next_spawn = 1 };
	struct pollfd watched[2] = { { .fd = PL_POOL_FD_CONTROL, .events = POLLIN },
		{ .fd = PL_POOL_FD_SIGNAL, .events = POLLIN } };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != sh->parent)
		return 1;
	reset_signals();
	(void)prctl(PR_SET_NAME, "plait-nursery", 0, 0, 0);
	if (arrange_descriptors(sh) != 0)
		return 1;
	ny.seats = calloc(sh->workers, sizeof(*ny.seats));
	if (!ny.seats)
		return 1;
	/* lcms2 dates the profiles it makes, and the first date reads the time zone's file. */
	tzset();
	if (sh->work == pl_pool_work)
		pl_pool_warm_up();
	pl_pool_jail_prepare(&ny.jail, sh);
	for (uint32_t i = 0; i < sh->workers && !ny.over; i++)
		spawn_worker(&ny, i);
	while (!ny.over) {
		int n = poll(watched, 2, ny.empty ? FORK_RETRY_MS : -1);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0 && watched[1].revents)
			reap(&ny);
		if (n > 0 && watched[0].revents)
			obey(&ny);
		if (!ny.over)
			fill_empty_seats(&ny);
	}
	kill_all(&ny);
	free(ny.seats);
	return 0;
}
