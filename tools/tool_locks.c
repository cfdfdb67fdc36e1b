/* SPDX-License-Identifier: Apache-2.0 */
/* Locks held until the job ends; see tool_locks.h. */
#include "tool_locks.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "libpipe/base/dirlock.h"
#include "libpipe/base/log.h"

struct held {
	struct pl_dir_lock lock;
	dev_t dev;
	ino_t ino;
	struct held *next;
};

struct tool_locks {
	struct held *first;
	pthread_mutex_t mutex;     /* over the list and the condition, once the thread runs */
	pthread_cond_t ending;
	pthread_t thread;
	bool beating, over;
};

/* Tell other hosts that we live, whatever the rank itself is busy with. */
static void *beat(void *arg)
{
	struct tool_locks *l = arg;

	pthread_mutex_lock(&l->mutex);
	while (!l->over) {
		struct timespec until;

		for (struct held *h = l->first; h != NULL; h = h->next)
			pl_dir_lock_beat(&h->lock);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += PL_LOCK_BEAT_MS / 1000;
		pthread_cond_timedwait(&l->ending, &l->mutex, &until);
	}
	pthread_mutex_unlock(&l->mutex);
	return NULL;
}

static enum pl_status begin_to_beat(struct tool_locks *l, struct pl_err *err)
{
	sigset_t all, before;
	int code;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(&l->thread, NULL, beat, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	l->beating = code == 0;
	errno = code;
	return code == 0 ? PL_OK : pl_fail_errno(err, PL_SEV_JOB, NULL, "cannot start a thread");
}

/* A condition that no change of the date delays. */
static int condition_init(pthread_cond_t *c)
{
	pthread_condattr_t steady;
	int code = pthread_condattr_init(&steady);

	if (code != 0)
		return code;
	code = pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
	if (code == 0)
		code = pthread_cond_init(c, &steady);
	pthread_condattr_destroy(&steady);
	return code;
}

static struct tool_locks *locks_new(void)
{
	struct tool_locks *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	if (pthread_mutex_init(&l->mutex, NULL) == 0) {
		if (condition_init(&l->ending) == 0)
			return l;
		pthread_mutex_destroy(&l->mutex);
	}
	free(l);
	return NULL;
}

enum pl_status tool_locks_add(struct tool_locks **locks, const char *dir, struct pl_err *err)
{
	struct tool_locks *l;
	struct stat st = { 0 };
	struct held *h;
	enum pl_status status;

	if (*locks == NULL && (*locks = locks_new()) == NULL)
		return pl_fail_nomem(err);
	l = *locks;
	if (stat(dir, &st) != 0)
		return pl_fail_errno(err, PL_SEV_JOB, dir, "cannot look at this directory");
	for (h = l->first; h != NULL; h = h->next)
		if (h->dev == st.st_dev && h->ino == st.st_ino)
			return PL_OK;
	if ((h = calloc(1, sizeof(*h))) == NULL)
		return pl_fail_nomem(err);
	if ((status = pl_dir_lock(dir, &h->lock, err)) != PL_OK) {
		free(h);
		return status;
	}
	if (h->lock.gone[0] != '\0')
		pl_log(PL_LOG_INFO, "'%s': %s is gone; its lock is taken over", dir, h->lock.gone);
	h->dev = st.st_dev;
	h->ino = st.st_ino;
	pthread_mutex_lock(&l->mutex);
	h->next = l->first;
	l->first = h;
	pthread_mutex_unlock(&l->mutex);
	return h->lock.beats && !l->beating ? begin_to_beat(l, err) : PL_OK;
}

void tool_locks_free(struct tool_locks *l)
{
	if (l == NULL)
		return;
	if (l->beating) {
		pthread_mutex_lock(&l->mutex);
		l->over = true;
		pthread_cond_signal(&l->ending);
		pthread_mutex_unlock(&l->mutex);
		pthread_join(l->thread, NULL);
	}
	while (l->first != NULL) {
		struct held *h = l->first;
		l->first = h->next;
		pl_dir_unlock(&h->lock);
		free(h);
	}
	pthread_cond_destroy(&l->ending);
	pthread_mutex_destroy(&l->mutex);
	free(l);
}
