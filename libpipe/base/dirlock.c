/* SPDX-License-Identifier: Apache-2.0 */
/* The lock on an output directory; see dirlock.h. */
#include "dirlock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "file.h"

#define LOOK_MS 500

/* A line of the file: HOST PID JOB RESTARTS SINCE COUNT. */
struct holder {
	char host[256], job[64], since[32];
	long pid, restarts;
	char text[PL_LOCK_HOLDER_MAX];
};

/* Take the next word of the line at *at; false when there is none, or it is too long. */
static bool word(const char **at, char *dst, size_t size)
{
	size_t len;

	*at += strspn(*at, " ");
	len = strcspn(*at, " ");
	if (len == 0 || len >= size)
		return false;
	memcpy(dst, *at, len);
	dst[len] = '\0';
	*at += len;
	return true;
}

static bool whole(const char **at, long *number)
{
	char digits[24], *end;

	if (!word(at, digits, sizeof(digits)))
		return false;
	*number = strtol(digits, &end, 10);
	return *end == '\0';
}

static bool read_holder(int fd, struct holder *h)
{
	const char *at;
	size_t got = 0;

	memset(h, 0, sizeof(*h));
	if (pl_pread_full(fd, h->text, sizeof(h->text) - 1, 0, &got, "", NULL) != PL_OK)
		return false;
	h->text[strcspn(h->text, "\n")] = '\0';
	at = h->text;
	return word(&at, h->host, sizeof(h->host)) && whole(&at, &h->pid) && word(&at, h->job, sizeof(h->job))
	    && whole(&at, &h->restarts) && word(&at, h->since, sizeof(h->since));
}

static void describe(const struct holder *h, char *dst, size_t size)
{
	bool batch = strcmp(h->job, "-") != 0;

	snprintf(dst, size, "process %ld on host %s%s%s%s", h->pid, h->host, batch ? " (Slurm job " : "", batch ? h->job : "", batch ? ")" : "");
}

static enum pl_status lock_conflict(int fd, const char *dir, struct pl_err *err)
{
	struct holder h;
	char who[PL_LOCK_HOLDER_MAX];

	if (!read_holder(fd, &h))
		return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, dir,
		    "another plait job writes to this directory; wait for it, or choose another output");
	describe(&h, who, sizeof(who));
	return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, dir,
	    "%s writes to this directory since %s; wait for it, or choose another output", who, h.since);
}

/* An earlier run of this same batch job: Slurm starts the next one when the last is dead. */
static bool restarted(const struct holder *h, const struct holder *self)
{
	return strcmp(h->job, "-") != 0 && strcmp(h->job, self->job) == 0 && h->restarts < self->restarts;
}

/* Does the count in the file grow? The file is opened anew each time: only that makes NFS look at the server. */
static bool grows(const char *path, const struct holder *then)
{
	const struct timespec nap = { 0, LOOK_MS * 1000000L };

	for (int ms = 0; ms < PL_LOCK_PATIENCE_MS; ms += LOOK_MS) {
		struct holder now;
		int fd;
		bool same;

		nanosleep(&nap, NULL);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			return false;
		same = read_holder(fd, &now) && strcmp(now.text, then->text) == 0;
		close(fd);
		if (!same)
			return now.host[0] != '\0';
	}
	return false;
}

/* Is the holder that the text names alive, though it could not keep us from the lock? locked: the lock itself says that no
 * process does that shares it. */
static bool holder_lives(const char *path, const struct holder *h, const struct holder *self, bool locked, bool beats)
{
	if (strcmp(h->host, self->host) == 0)
		return !locked && h->pid > 0 && h->pid != self->pid && (kill((pid_t)h->pid, 0) == 0 || errno == EPERM);
	return beats && !restarted(h, self) && grows(path, h);
}

static void know_self(struct holder *self)
{
	const char *job = getenv("SLURM_JOB_ID"), *restarts = getenv("SLURM_RESTART_COUNT");
	time_t now = time(NULL);
	struct tm tm;

	memset(self, 0, sizeof(*self));
	if (gethostname(self->host, sizeof(self->host) - 1) != 0 || self->host[0] == '\0')
		snprintf(self->host, sizeof(self->host), "unknown");
	self->pid = (long)getpid();
	snprintf(self->job, sizeof(self->job), "%.60s", job != NULL && *job != '\0' ? job : "-");
	self->restarts = restarts != NULL ? strtol(restarts, NULL, 10) : 0;
	if (gmtime_r(&now, &tm) == NULL || strftime(self->since, sizeof(self->since), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(self->since, sizeof(self->since), "unknown");
}

static bool write_line(const struct pl_dir_lock *lock)
{
	char text[PL_LOCK_HOLDER_MAX + 16];
	size_t len = (size_t)snprintf(text, sizeof(text), "%s %010u\n", lock->line, lock->count), done = 0;

	while (done < len) {
		ssize_t n = pwrite(lock->fd, text + done, len - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ENOSPC;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static enum pl_status lock_take(struct pl_dir_lock *lock, const char *dir, const char *path, struct pl_err *err)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct holder self, last;
	bool locked = true;
	int rc;

	know_self(&self);
	if (fcntl(lock->fd, F_OFD_SETLK, &fl) != 0) {
		if (errno == EAGAIN || errno == EACCES)
			return lock_conflict(lock->fd, dir, err);
		/* Lustre mounted without flock, and the like. */
		if (errno != ENOSYS && errno != ENOTSUP && errno != ENOLCK && errno != EINVAL)
			return pl_fail_errno(err, PL_SEV_JOB, dir, "cannot lock this directory");
		locked = false;
		lock->beats = true;
	}
	if (read_holder(lock->fd, &last)) {
		if (holder_lives(path, &last, &self, locked, lock->beats))
			return lock_conflict(lock->fd, dir, err);
		describe(&last, lock->gone, sizeof(lock->gone));
	}
	snprintf(lock->line, sizeof(lock->line), "%s %ld %s %ld %s", self.host, self.pid, self.job, self.restarts, self.since);
	do
		rc = ftruncate(lock->fd, 0);
	while (rc != 0 && errno == EINTR);
	if (rc != 0 || !write_line(lock))
		return pl_fail_errno(err, PL_SEV_JOB, dir, "cannot write the lock of this directory");
	return PL_OK;
}

enum pl_status pl_dir_lock_on(const char *dir, bool beats, struct pl_dir_lock *lock, struct pl_err *err)
{
	char *sub = pl_path_join(dir, ".plait"), *path = NULL;
	enum pl_status st;

	*lock = (struct pl_dir_lock){ .fd = -1, .beats = beats };
	if (sub == NULL)
		return pl_fail_nomem(err);
	path = pl_path_join(sub, "lock");
	if (path == NULL) {
		st = pl_fail_nomem(err);
		goto out;
	}
	if ((st = pl_mkdirs(sub, err)) != PL_OK)
		goto out;
	lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (lock->fd < 0) {
		st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot open the lock");
		goto out;
	}
	st = lock_take(lock, dir, path, err);
	if (st != PL_OK) {
		close(lock->fd);
		lock->fd = -1;
	}
out:
	free(path);
	free(sub);
	return st;
}

/* File systems whose locks all see who can see the files. */
static bool is_local(const char *dir)
{
	static const unsigned long kinds[] = { 0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0xf2f52010, 0x2fc12fc1 };
	struct statfs fs;   /* ext2-4, xfs, btrfs, tmpfs, overlay, f2fs, zfs */

	if (statfs(dir, &fs) != 0)
		return false;
	for (size_t i = 0; i < PL_ARRAY_LEN(kinds); i++)
		if ((unsigned long)fs.f_type == kinds[i])
			return true;
	return false;
}

enum pl_status pl_dir_lock(const char *dir, struct pl_dir_lock *lock, struct pl_err *err)
{
	return pl_dir_lock_on(dir, !is_local(dir), lock, err);
}

void pl_dir_lock_beat(struct pl_dir_lock *lock)
{
	if (lock->fd < 0 || !lock->beats)
		return;
	lock->count++;
	/* Without the sync a network file system keeps it to itself for half a minute. */
	if (write_line(lock) && fdatasync(lock->fd) != 0)
		errno = 0;
}

void pl_dir_unlock(struct pl_dir_lock *lock)
{
	struct flock fl = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	if (lock->fd < 0)
		return;
	/* The file stays: removing it could remove the lock of the next job. The
	 * lock is dropped by hand because a forked worker may share the description. */
	if (ftruncate(lock->fd, 0) != 0)
		errno = 0;   /* the text is for people; the lock is what counts */
	fcntl(lock->fd, F_OFD_SETLK, &fl);
	close(lock->fd);
	lock->fd = -1;
}
