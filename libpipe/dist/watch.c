/* SPDX-License-Identifier: Apache-2.0 */
/* Hellos between hosts; see watch.h. The thread calls no MPI. Silence is counted in its own turns, one a period at most, so
 * that neither a clock that jumps nor a job that was suspended as a whole makes anybody late. */
#include "watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "job_internal.h"

#define HOST_MAX 64
#define ADDRESSES 8
#define TURNS 12              /* a time-out has so many periods */

/* Where rank 0 can be reached, and by which word its job is known. */
struct contact {
	uint64_t word;
	uint32_t n;
	uint16_t port;
	uint32_t addresses[ADDRESSES];   /* IPv4, as in struct in_addr */
};

struct hello { uint64_t word; uint32_t rank; uint32_t answer; };

struct pl_watch {
	struct pl_job *job;
	pl_watch_lost_fn *lost;
	int rank, size, fd, stop[2];
	unsigned seconds;
	uint64_t period_ns, turn;
	struct contact contact;
	char *hosts;                     /* size names of HOST_MAX bytes */
	uint64_t *heard;                 /* by rank: the turn of its last hello, 0 = none yet */
	pthread_t thread;
	bool running;
};

static const char *host_of(const struct pl_watch *w, int rank)
{
	return w->hosts + (size_t)rank * HOST_MAX;
}

/* ---- who is lost ---- */

static bool silent(const struct pl_watch *w, int rank, uint64_t turns)
{
	return w->heard[rank] != 0 && w->turn - w->heard[rank] >= turns;
}

/* "'n2' (ranks 2-3), ..." of all that have been silent nearly as long, as far as there is room. */
static void name_lost(const struct pl_watch *w, char *text, size_t size)
{
	size_t len = 0;
	int hosts = 0;

	text[0] = '\0';
	for (int r = 0; r < w->size; r++) {
		int last = r;

		if (!silent(w, r, TURNS - 2))
			continue;
		while (last + 1 < w->size && silent(w, last + 1, TURNS - 2) && strcmp(host_of(w, last + 1), host_of(w, r)) == 0)
			last++;
		if (len + HOST_MAX + 64 < size)
			len += (size_t)snprintf(text + len, size - len, r == last ? "%s'%s' (rank %d)" : "%s'%s' (ranks %d-%d)",
			    hosts > 0 ? ", " : "", host_of(w, r), r, last);
		hosts++;
		r = last;
	}
}

static _Noreturn void end_over(struct pl_watch *w)
{
	struct pl_err err = { 0 };
	char who[512];

	name_lost(w, who, sizeof(who));
	(void)pl_fail(&err, PL_ERR_IO, PL_SEV_JOB, NULL,
	    "no word from host %s for %u s: dead or cut off from '%s'; run the same command again to go on, when it is back or "
	    "without it", who, w->seconds, host_of(w, w->rank));
	w->lost(&err);
	pl_job_abandon(pl_exit_code(err.status));
}

static void look_around(struct pl_watch *w)
{
	for (int r = 0; r < w->size; r++)
		if (r != w->rank && silent(w, r, TURNS))
			end_over(w);
}

/* ---- the thread ---- */

static void say_hello(const struct pl_watch *w)
{
	const struct hello hello = { w->contact.word, (uint32_t)w->rank, 0 };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = w->contact.port };

	for (uint32_t i = 0; i < w->contact.n; i++) {
		to.sin_addr.s_addr = w->contact.addresses[i];
		/* A network that is down says so here; what counts is that no answer comes. */
		(void)sendto(w->fd, &hello, sizeof(hello), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to));
	}
}

static void take_hellos(struct pl_watch *w)
{
	struct hello hello;
	struct sockaddr_in from;
	socklen_t len = sizeof(from);

	while (recvfrom(w->fd, &hello, sizeof(hello), MSG_DONTWAIT, (struct sockaddr *)&from, &len) == (ssize_t)sizeof(hello)) {
		bool asks = hello.answer == 0;

		len = sizeof(from);
		if (hello.word != w->contact.word || hello.rank >= (uint32_t)w->size || asks != (w->rank == 0))
			continue;
		w->heard[hello.rank] = w->turn;
		if (!asks)
			continue;
		hello = (struct hello){ w->contact.word, 0, 1 };
		(void)sendto(w->fd, &hello, sizeof(hello), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&from, sizeof(from));
	}
}

static uint64_t now_ns(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *watch(void *arg)
{
	struct pl_watch *w = arg;
	struct pollfd at[2] = { { .fd = w->fd, .events = POLLIN }, { .fd = w->stop[0], .events = POLLIN } };
	uint64_t last = 0;

	for (;;) {
		uint64_t now = now_ns();

		if (last == 0 || now - last >= w->period_ns) {   /* a clock that goes back is far ahead here: one turn */
			last = now;
			w->turn++;
			look_around(w);
			if (w->rank != 0)
				say_hello(w);
		}
		if (poll(at, 2, (int)((w->period_ns - (now - last)) / 1000000) + 1) < 0 && errno != EINTR)
			return NULL;
		if (at[1].revents != 0)
			return NULL;
		take_hellos(w);
	}
}

/* ---- beginning and end ---- */

static unsigned seconds_wanted(void)
{
	const char *s = getenv("PLAIT_HOST_TIMEOUT");
	char *end;
	long n;

	if (s == NULL || *s == '\0')
		return PL_WATCH_SECONDS;
	n = strtol(s, &end, 10);
	return *end == '\0' && n >= 0 && n <= 86400 ? (unsigned)n : PL_WATCH_SECONDS;
}

/* Rank 0: the IPv4 addresses of this host that others may reach. */
static void find_addresses(struct contact *c)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) != 0)
		return;
	for (struct ifaddrs *i = all; i != NULL && c->n < ADDRESSES; i = i->ifa_next) {
		struct sockaddr_in a;

		if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK) != 0 || (i->ifa_flags & IFF_UP) == 0)
			continue;
		memcpy(&a, i->ifa_addr, sizeof(a));
		c->addresses[c->n++] = a.sin_addr.s_addr;
	}
	freeifaddrs(all);
}

static enum pl_status open_socket(struct pl_watch *w, struct pl_err *err)
{
	struct sockaddr_in self = { .sin_family = AF_INET };
	socklen_t len = sizeof(self);

	w->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (w->fd < 0 || bind(w->fd, (struct sockaddr *)&self, sizeof(self)) != 0 || getsockname(w->fd, (struct sockaddr *)&self, &len) != 0)
		return pl_fail_errno(err, PL_SEV_JOB, NULL, "cannot open the socket by which hosts watch each other");
	if (pipe2(w->stop, O_CLOEXEC) != 0)
		return pl_fail_errno(err, PL_SEV_JOB, NULL, "cannot open a pipe");
	if (w->rank == 0) {
		w->contact.port = self.sin_port;
		find_addresses(&w->contact);
	}
	return PL_OK;
}

static enum pl_status start_thread(struct pl_watch *w, struct pl_err *err)
{
	sigset_t all, before;
	int code;

	/* Signals are for the rank's own thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&w->thread, NULL, watch, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code == 0) {
		w->running = true;
		return PL_OK;
	}
	errno = code;
	return pl_fail_errno(err, PL_SEV_JOB, NULL, "cannot start a thread");
}

static struct pl_watch *watch_new(struct pl_job *job, pl_watch_lost_fn *lost, unsigned seconds)
{
	struct pl_watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	*w = (struct pl_watch){ .job = job, .lost = lost, .rank = job->rank, .size = job->size, .fd = -1, .stop = { -1, -1 },
		.seconds = seconds, .period_ns = (uint64_t)seconds * 1000000000u / TURNS };
	w->heard = calloc((size_t)job->size, sizeof(*w->heard));
	w->hosts = calloc((size_t)job->size, HOST_MAX);
	if (w->heard != NULL && w->hosts != NULL)
		return w;
	free(w->heard);
	free(w->hosts);
	free(w);
	return NULL;
}

void pl_watch_end(struct pl_watch *w)
{
	if (w == NULL)
		return;
	if (w->running) {
		(void)!write(w->stop[1], "", 1);
		pthread_join(w->thread, NULL);
	}
	for (int i = 0; i < 2; i++)
		if (w->stop[i] >= 0)
			close(w->stop[i]);
	if (w->fd >= 0)
		close(w->fd);
	free(w->heard);
	free(w->hosts);
	free(w);
}

/* Does this rank have somebody to hear: another host than rank 0's; for rank 0, any? */
static bool has_others(const struct pl_watch *w)
{
	for (int r = 0; r < w->size; r++)
		if (strcmp(host_of(w, r), host_of(w, 0)) != 0 && (w->rank == 0 || w->rank == r))
			return true;
	return false;
}

enum pl_status pl_job_watch(struct pl_job *job, pl_watch_lost_fn *lost, struct pl_err *err)
{
	unsigned seconds = seconds_wanted();
	char host[HOST_MAX] = "";
	struct pl_watch *w;
	enum pl_status st;

	/* Rank 0's word counts: the environment of other hosts may differ. */
	if (!job->mpi || job->size == 1)
		return PL_OK;
	MPI_Bcast(&seconds, 1, MPI_UNSIGNED, 0, job->comm);
	if (seconds == 0)
		return PL_OK;
	w = watch_new(job, lost, seconds);
	if ((st = pl_job_agree(job, w != NULL ? PL_OK : pl_fail_nomem(err), err)) != PL_OK)
		goto fail;
	gethostname(host, sizeof(host) - 1);
	MPI_Allgather(host, HOST_MAX, MPI_CHAR, w->hosts, HOST_MAX, MPI_CHAR, job->comm);
	st = has_others(w) ? open_socket(w, err) : PL_OK;
	if ((st = pl_job_agree(job, st, err)) != PL_OK)
		goto fail;
	if (w->rank == 0 && getrandom(&w->contact.word, sizeof(w->contact.word), 0) != (ssize_t)sizeof(w->contact.word))
		w->contact.word = now_ns();
	MPI_Bcast(&w->contact, (int)sizeof(w->contact), MPI_BYTE, 0, job->comm);
	st = has_others(w) ? start_thread(w, err) : PL_OK;
	if ((st = pl_job_agree(job, st, err)) != PL_OK)
		goto fail;
	job->watch = w;
	return PL_OK;
fail:
	pl_watch_end(w);
	return st;
}
