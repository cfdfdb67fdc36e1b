/* SPDX-License-Identifier: Apache-2.0 */
/* One job at a time per output directory: DIR/.plait/lock, locked while the job lives (an fcntl lock of the open file), and in
 * it who that is: host, process, batch job, since when. A killed job leaves the text and no lock, and is taken over. Where
 * file systems are shared and may have no locks, or locks that other hosts do not see, the text also holds a count that the
 * holder lets grow, and a job of another host is thought dead when the count rests. */
#ifndef PL_BASE_DIRLOCK_H
#define PL_BASE_DIRLOCK_H

#include "err.h"

#define PL_LOCK_BEAT_MS 2000
#define PL_LOCK_PATIENCE_MS 7000   /* a count that rests so long is a dead job's */
#define PL_LOCK_HOLDER_MAX 448

struct pl_dir_lock {
	int fd;                            /* -1: none */
	bool beats;                        /* wants pl_dir_lock_beat every PL_LOCK_BEAT_MS */
	unsigned count;
	char line[PL_LOCK_HOLDER_MAX];     /* what stands in the file, without the count */
	char gone[PL_LOCK_HOLDER_MAX];     /* the dead job that it was taken over from, in words; "" = none */
};

/* Held until released or the process ends. PL_ERR_CONFLICT names who holds it. May wait PL_LOCK_PATIENCE_MS. */
PL_MUST_CHECK enum pl_status pl_dir_lock(const char *dir, struct pl_dir_lock *lock, struct pl_err *err);
/* The same where the caller says whether other hosts share the file system without sharing its locks. For tests. */
PL_MUST_CHECK enum pl_status pl_dir_lock_on(const char *dir, bool beats, struct pl_dir_lock *lock, struct pl_err *err);
/* Tell other hosts that this job lives; failures are no matter. */
void pl_dir_lock_beat(struct pl_dir_lock *lock);
void pl_dir_unlock(struct pl_dir_lock *lock);

#endif
