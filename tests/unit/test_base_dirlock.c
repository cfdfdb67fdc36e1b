/* SPDX-License-Identifier: Apache-2.0 */
/* The lock on an output directory: one job at a time, the next one after a death, on this host and on others. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "libpipe/base/dirlock.h"
#include "libpipe/base/file.h"

static char place[256];

static int enter(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(place, sizeof(place), "%s/plait-lock-XXXXXX", tmp != NULL ? tmp : "/tmp");
	unsetenv("SLURM_JOB_ID");
	unsetenv("SLURM_RESTART_COUNT");
	return mkdtemp(place) != NULL ? 0 : -1;
}

static int leave(void **state)
{
	char path[300];

	(void)state;
	snprintf(path, sizeof(path), "%s/.plait/lock", place);
	unlink(path);
	snprintf(path, sizeof(path), "%s/.plait", place);
	rmdir(path);
	return rmdir(place);
}

/* What a job of another host left or holds. */
static void another_holds(const char *line)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/.plait", place);
	assert_int_equal(pl_mkdirs(path, NULL), PL_OK);
	snprintf(path, sizeof(path), "%s/.plait/lock", place);
	assert_int_equal(pl_file_write(path, line, strlen(line), NULL), PL_OK);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void one_job_per_directory(void **state)
{
	char host[256] = "", pid[32];
	struct pl_dir_lock first, second;
	struct pl_err err;
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(pl_dir_lock(place, &first, NULL), PL_OK);
	assert_true(first.fd >= 0);
	assert_string_equal(first.gone, "");
	child = fork();
	if (child == 0) {
		gethostname(host, sizeof(host) - 1);
		snprintf(pid, sizeof(pid), "process %ld on", (long)getppid());
		_exit(pl_dir_lock(place, &second, &err) == PL_ERR_CONFLICT && second.fd == -1 && strstr(err.text, host) != NULL
			    && strstr(err.text, pid) != NULL && strstr(err.text, "since 20") != NULL ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(pl_dir_lock(place, &second, &err), PL_ERR_CONFLICT);
	pl_dir_unlock(&first);
	assert_int_equal(first.fd, -1);
	pl_dir_unlock(&first);
	assert_int_equal(pl_dir_lock(place, &second, &err), PL_OK);
	assert_string_equal(second.gone, "");
	pl_dir_unlock(&second);
}

static void a_killed_job_leaves_no_lock(void **state)
{
	struct pl_dir_lock lock;
	int pipefd[2], status;
	pid_t child;
	char c, who[64];

	(void)state;
	assert_int_equal(pipe(pipefd), 0);
	child = fork();
	if (child == 0) {
		alarm(20);   /* not to outlive a failed test */
		c = pl_dir_lock(place, &lock, NULL) == PL_OK ? 'y' : 'n';
		if (write(pipefd[1], &c, 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(pipefd[0], &c, 1), 1);
	assert_int_equal(c, 'y');
	assert_int_equal(pl_dir_lock(place, &lock, NULL), PL_ERR_CONFLICT);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	assert_int_equal(pl_dir_lock_on(place, true, &lock, NULL), PL_OK);
	snprintf(who, sizeof(who), "process %ld on", (long)child);
	assert_non_null(strstr(lock.gone, who));
	pl_dir_unlock(&lock);
	close(pipefd[0]);
	close(pipefd[1]);
}

static void a_job_of_another_host_is_dead_when_its_count_rests(void **state)
{
	struct pl_dir_lock lock;
	double began = now();

	(void)state;
	another_holds("elsewhere 42 77 0 2026-01-02T03:04:05Z 0000000005\n");
	assert_int_equal(pl_dir_lock_on(place, true, &lock, NULL), PL_OK);
	assert_true(now() - began >= PL_LOCK_PATIENCE_MS / 1000.0 - 1);
	assert_string_equal(lock.gone, "process 42 on host elsewhere (Slurm job 77)");
	pl_dir_unlock(&lock);
}

static void *grow(void *arg)
{
	struct pl_dir_lock other = { .fd = -1, .beats = true, .line = "elsewhere 42 - 0 2026-01-02T03:04:05Z" };
	const struct timespec nap = { 1, 0 };
	char path[300];

	snprintf(path, sizeof(path), "%s/.plait/lock", place);
	nanosleep(&nap, NULL);
	other.fd = open(path, O_RDWR | O_CLOEXEC);
	pl_dir_lock_beat(&other);
	close(other.fd);
	return arg;
}

static void a_job_of_another_host_lives_while_its_count_grows(void **state)
{
	struct pl_dir_lock lock;
	struct pl_err err;
	pthread_t thread;

	(void)state;
	another_holds("elsewhere 42 - 0 2026-01-02T03:04:05Z 0000000000\n");
	assert_int_equal(pthread_create(&thread, NULL, grow, NULL), 0);
	assert_int_equal(pl_dir_lock_on(place, true, &lock, &err), PL_ERR_CONFLICT);
	pthread_join(thread, NULL);
	assert_int_equal(lock.fd, -1);
	assert_non_null(strstr(err.text, "process 42 on host elsewhere writes to this directory since 2026-01-02T03:04:05Z"));
	/* Where locks are seen by all, the lock alone decides. */
	assert_int_equal(pl_dir_lock_on(place, false, &lock, &err), PL_OK);
	pl_dir_unlock(&lock);
}

static void a_job_that_slurm_started_again_takes_over_at_once(void **state)
{
	struct pl_dir_lock lock;
	double began = now();

	(void)state;
	setenv("SLURM_JOB_ID", "77", 1);
	setenv("SLURM_RESTART_COUNT", "1", 1);
	another_holds("elsewhere 42 77 0 2026-01-02T03:04:05Z 0000000005\n");
	assert_int_equal(pl_dir_lock_on(place, true, &lock, NULL), PL_OK);
	assert_true(now() - began < 1);
	pl_dir_unlock(&lock);
}

static void what_is_no_holder_is_nobody(void **state)
{
	static const char *const lines[] = { "", "\n", "x", "elsewhere 42\n", "elsewhere - - - -\n" };
	struct pl_dir_lock lock;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(lines); i++) {
		another_holds(lines[i]);
		assert_int_equal(pl_dir_lock_on(place, true, &lock, NULL), PL_OK);
		assert_string_equal(lock.gone, "");
		pl_dir_unlock(&lock);
	}
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(one_job_per_directory),
		IN_PLACE(a_killed_job_leaves_no_lock),
		IN_PLACE(a_job_of_another_host_is_dead_when_its_count_rests),
		IN_PLACE(a_job_of_another_host_lives_while_its_count_grows),
		IN_PLACE(a_job_that_slurm_started_again_takes_over_at_once),
		IN_PLACE(what_is_no_holder_is_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
