/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and their memory. Windows are used for loads and stores only: no RMA
 * operation is ever made, so nothing depends on passive progress. */
#include "shared.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "job_internal.h"
#include "libpipe/base/file.h"

#define SCRATCH_NAME ".plait-shared-"

struct pl_nodes {
	MPI_Comm comm;        /* of this node; MPI_COMM_NULL in a job of one rank */
	int rank, size, n;    /* in the node; number of nodes */
	int *leaders, leader;
};

struct pl_shared {
	struct pl_job *job;
	void *data;
	uint64_t bytes;
	MPI_Win win;          /* MPI_WIN_NULL: mapped or plain */
	bool mapped;
};

/* ---- nodes ---- */

static int ranks_per_node(void)
{
	const char *s = getenv("PLAIT_RANKS_PER_NODE");
	long n = s != NULL ? strtol(s, NULL, 10) : 0;

	return n > 0 && n < 1 << 20 ? (int)n : 0;
}

static void split(struct pl_job *job, struct pl_nodes *n)
{
	MPI_Comm all;
	int most = ranks_per_node(), rank;

	MPI_Comm_split_type(job->comm, MPI_COMM_TYPE_SHARED, job->rank, MPI_INFO_NULL, &all);
	MPI_Comm_rank(all, &rank);
	MPI_Comm_split(all, most > 0 ? rank / most : 0, rank, &n->comm);
	MPI_Comm_free(&all);
	MPI_Comm_set_errhandler(n->comm, MPI_ERRORS_RETURN);
	MPI_Comm_rank(n->comm, &n->rank);
	MPI_Comm_size(n->comm, &n->size);
	n->leader = job->rank;
	MPI_Bcast(&n->leader, 1, MPI_INT, 0, n->comm);
}

enum pl_status pl_job_find_nodes(struct pl_job *job, struct pl_err *err)
{
	struct pl_nodes *n;
	int *leader_of;
	enum pl_status st;

	if (job->nodes != NULL)
		return PL_OK;
	n = calloc(1, sizeof(*n));
	leader_of = calloc((size_t)job->size, sizeof(*leader_of));
	if (n != NULL)
		n->leaders = calloc((size_t)job->size, sizeof(*n->leaders));
	st = n == NULL || n->leaders == NULL || leader_of == NULL ? pl_fail_nomem(err) : PL_OK;
	st = pl_job_agree(job, st, err);
	if (st != PL_OK || n == NULL || n->leaders == NULL || leader_of == NULL) {
		if (n != NULL)
			free(n->leaders);
		free(n);
		free(leader_of);
		return st;
	}
	n->comm = MPI_COMM_NULL;
	n->size = 1;
	if (job->mpi && job->size > 1) {
		split(job, n);
		MPI_Allgather(&n->leader, 1, MPI_INT, leader_of, 1, MPI_INT, job->comm);
	}
	for (int r = 0; r < job->size; r++)
		if (leader_of[r] == r)
			n->leaders[n->n++] = r;
	free(leader_of);
	job->nodes = n;
	return PL_OK;
}

void pl_job_forget_nodes(struct pl_job *job)
{
	struct pl_nodes *n = job->nodes;

	if (n == NULL)
		return;
	if (n->comm != MPI_COMM_NULL)
		MPI_Comm_free(&n->comm);
	free(n->leaders);
	free(n);
	job->nodes = NULL;
}

int pl_job_nodes(const struct pl_job *job)
{
	return job->nodes->n;
}

int pl_job_leader(const struct pl_job *job)
{
	return job->nodes->leader;
}

int pl_job_node_size(const struct pl_job *job)
{
	return job->nodes->size;
}

const int *pl_job_leaders(const struct pl_job *job)
{
	return job->nodes->leaders;
}

void pl_job_node_sum(struct pl_job *job, uint64_t *values, size_t n)
{
	if (job->nodes->size > 1)
		MPI_Allreduce(MPI_IN_PLACE, values, (int)n, MPI_UINT64_T, MPI_SUM, job->nodes->comm);
}

/* ---- files ---- */

/* Is this what a killed job left? A job that lives holds a lock on its file. */
static void remove_leftover(const char *path)
{
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)unlink(path);
	close(fd);
}

static void remove_leftovers(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char *path = strncmp(e->d_name, SCRATCH_NAME, strlen(SCRATCH_NAME)) == 0 ? pl_path_join(dir, e->d_name) : NULL;
		if (path != NULL)
			remove_leftover(path);
		free(path);
	}
	if (d != NULL)
		closedir(d);
}

/* The leader's: a locked file of that size, all of it on the disk already, so that a full one is an error here and no
 * signal later. */
static enum pl_status create_file(const char *path, uint64_t bytes, const char *what, int *fd, struct pl_err *err)
{
	struct stat st;
	int code;

	do {   /* somebody else's clean-up may take it away before it is locked */
		if (*fd >= 0)
			close(*fd);
		*fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (*fd < 0)
			return pl_fail_errno(err, PL_SEV_JOB, path, "cannot make the scratch file of the %s", what);
		if (flock(*fd, LOCK_EX | LOCK_NB) != 0 || fstat(*fd, &st) != 0)
			return pl_fail_errno(err, PL_SEV_JOB, path, "cannot lock the scratch file of the %s", what);
	} while (st.st_nlink == 0);
	code = ftruncate(*fd, 0) != 0 ? errno : posix_fallocate(*fd, 0, (off_t)bytes);
	if (code == 0)
		return PL_OK;
	errno = code;
	return pl_fail_errno(err, PL_SEV_JOB, path, "cannot make room for %llu bytes of %s", (unsigned long long)bytes, what);
}

static char *file_name(const struct pl_job *job, const char *dir)
{
	char name[64];
	long long mark[2] = { getpid(), job->rank };

	if (job->nodes->size > 1)
		MPI_Bcast(mark, 2, MPI_LONG_LONG, 0, job->nodes->comm);
	snprintf(name, sizeof(name), SCRATCH_NAME "%lld-%lld", mark[0], mark[1]);
	return pl_path_join(dir, name);
}

static enum pl_status map_file(struct pl_shared *s, const char *dir, const char *what, struct pl_err *err)
{
	struct pl_job *job = s->job;
	bool leads = job->nodes->rank == 0;
	char *path = file_name(job, dir);
	int fd = -1;
	enum pl_status st = path == NULL ? pl_fail_nomem(err) : PL_OK;

	if (st == PL_OK && leads) {
		remove_leftovers(dir);
		st = create_file(path, s->bytes, what, &fd, err);
	}
	st = pl_job_agree(job, st, err);
	if (st == PL_OK && !leads && path != NULL && (fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC)) < 0)
		st = pl_fail_errno(err, PL_SEV_JOB, path, "the ranks of a node do not see one scratch directory");
	st = pl_job_agree(job, st, err);
	if (leads && fd >= 0 && path != NULL)
		(void)unlink(path);
	if (st == PL_OK) {
		s->data = mmap(NULL, (size_t)s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		s->mapped = s->data != MAP_FAILED;
		if (!s->mapped)
			st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot map %llu bytes of %s", (unsigned long long)s->bytes, what);
	}
	if (fd >= 0)
		close(fd);
	free(path);
	return st;
}

/* ---- windows ---- */

static enum pl_status open_window(struct pl_shared *s, const char *what, struct pl_err *err)
{
	const struct pl_nodes *n = s->job->nodes;
	MPI_Aint size = 0;
	int unit = 1, code;
	uint64_t from, to;

	if (n->size == 1) {
		s->data = calloc((size_t)s->bytes, 1);
		return s->data != NULL ? PL_OK : pl_fail(err, PL_ERR_NOMEM, PL_SEV_JOB, NULL, "no memory for %llu bytes of %s",
		    (unsigned long long)s->bytes, what);
	}
	code = MPI_Win_allocate_shared(n->rank == 0 ? (MPI_Aint)s->bytes : 0, 1, MPI_INFO_NULL, n->comm, &s->data, &s->win);
	if (code != MPI_SUCCESS) {
		s->win = MPI_WIN_NULL;
		return pl_fail(err, PL_ERR_NOMEM, PL_SEV_JOB, NULL,
		    "MPI cannot share %llu bytes of %s among the ranks of a node: is there so much memory, and does /dev/shm hold it? "
		    "--scratch DIR puts them into a file",
		    (unsigned long long)s->bytes, what);
	}
	MPI_Win_shared_query(s->win, 0, &size, &unit, &s->data);
	MPI_Win_lock_all(MPI_MODE_NOCHECK, s->win);
	/* Each rank touches its share first, so that it lies near it. */
	from = s->bytes / (uint64_t)n->size * (uint64_t)n->rank;
	to = n->rank == n->size - 1 ? s->bytes : s->bytes / (uint64_t)n->size * (uint64_t)(n->rank + 1);
	memset((uint8_t *)s->data + from, 0, (size_t)(to - from));
	return PL_OK;
}

enum pl_status pl_shared_new(struct pl_shared **out, struct pl_job *job, uint64_t bytes, const char *dir, const char *what,
    struct pl_err *err)
{
	struct pl_shared *s = calloc(1, sizeof(*s));
	enum pl_status st = s == NULL ? pl_fail_nomem(err) : PL_OK;

	st = pl_job_agree(job, st, err);
	if (st != PL_OK || s == NULL) {
		free(s);
		return st;
	}
	s->job = job;
	s->bytes = bytes > 0 ? bytes : 1;
	s->win = MPI_WIN_NULL;
	st = dir != NULL ? map_file(s, dir, what, err) : open_window(s, what, err);
	st = pl_job_agree(job, st, err);
	if (st != PL_OK) {
		pl_shared_free(s);
		return st;
	}
	pl_shared_settle(s);
	*out = s;
	return PL_OK;
}

void *pl_shared_data(const struct pl_shared *s)
{
	return s->data;
}

void pl_shared_settle(struct pl_shared *s)
{
	if (s->job->nodes->size == 1)
		return;
	if (s->win != MPI_WIN_NULL)
		MPI_Win_sync(s->win);
	MPI_Barrier(s->job->nodes->comm);
	if (s->win != MPI_WIN_NULL)
		MPI_Win_sync(s->win);
}

void pl_shared_free(struct pl_shared *s)
{
	if (s == NULL)
		return;
	if (s->win != MPI_WIN_NULL) {
		MPI_Win_unlock_all(s->win);
		MPI_Win_free(&s->win);
	} else if (s->mapped) {
		munmap(s->data, (size_t)s->bytes);
	} else if (s->job->nodes->size == 1 && s->data != MAP_FAILED) {
		free(s->data);
	}
	free(s);
}
