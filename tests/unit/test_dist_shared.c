/* SPDX-License-Identifier: Apache-2.0 */
/* Memory shared by the ranks of a node: in a window, in a file, and with as many
 * nodes as one likes on one machine. Run under mpirun; every rank runs every test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libpipe/base/memory.h"
#include "libpipe/dist/shared.h"

static struct pl_job *job;
static char dir[512];

/* One directory for all ranks, made by rank 0. */
static int start(void **state)
{
	const char *base = getenv("TMPDIR");
	struct pl_buf name;
	int rc = -1;

	(void)state;
	pl_buf_init(&name, 0);
	if (pl_job_start(&job, NULL) != PL_OK)
		return -1;
	if (pl_job_rank(job) == 0) {
		snprintf(dir, sizeof(dir), "%s/plait-test-XXXXXX", base != NULL && *base != '\0' ? base : "/tmp");
		if (mkdtemp(dir) == NULL || pl_buf_add(&name, dir, strlen(dir) + 1, NULL) != PL_OK)
			return -1;
	}
	if (pl_job_bcast(job, &name, NULL) == PL_OK) {
		snprintf(dir, sizeof(dir), "%s", (const char *)name.data);
		rc = 0;
	}
	pl_buf_release(&name);
	return rc;
}

static int finish(void **state)
{
	int rc = 0;

	(void)state;
	pl_job_barrier(job);
	if (pl_job_rank(job) == 0)
		rc = rmdir(dir);      /* fails when something was left in it */
	pl_job_finish(job);
	return rc;
}

static void test_nodes(void **state)
{
	int rank = pl_job_rank(job), size = pl_job_size(job), most;
	const char *set = getenv("PLAIT_RANKS_PER_NODE");
	uint64_t one = 1;

	(void)state;
	assert_int_equal(pl_job_find_nodes(job, NULL), PL_OK);
	assert_int_equal(pl_job_find_nodes(job, NULL), PL_OK);
	most = set != NULL ? (int)strtol(set, NULL, 10) : size;
	assert_int_equal(pl_job_nodes(job), (size + most - 1) / most);
	assert_int_equal(pl_job_leader(job), rank / most * most);
	for (int i = 0; i < pl_job_nodes(job); i++)
		assert_int_equal(pl_job_leaders(job)[i], i * most);
	pl_job_node_sum(job, &one, 1);
	assert_int_equal(one, pl_job_node_size(job));
}

/* Every rank writes its third bytes; every rank of the node sees them, and none of another node. */
static void write_and_read(const char *where)
{
	int rank = pl_job_rank(job), leader = pl_job_leader(job), n = pl_job_node_size(job);
	uint64_t bytes = 100003;
	struct pl_shared *s = NULL;
	uint8_t *p;

	assert_int_equal(pl_shared_new(&s, job, bytes, where, "test", NULL), PL_OK);
	p = pl_shared_data(s);
	for (uint64_t i = 0; i < bytes; i++)
		assert_int_equal(p[i], 0);
	for (uint64_t round = 1; round < 4; round++) {
		pl_shared_settle(s);
		for (uint64_t i = (uint64_t)(rank - leader); i < bytes; i += (uint64_t)n)
			p[i] = (uint8_t)((uint64_t)rank * round + i);
		pl_shared_settle(s);
		for (uint64_t i = 0; i < bytes; i++)
			assert_int_equal(p[i], (uint8_t)(((uint64_t)leader + i % (uint64_t)n) * round + i));
	}
	pl_shared_settle(s);
	pl_shared_free(s);
}

static void test_window(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		write_and_read(NULL);
	pl_shared_free(NULL);
}

static size_t files_in(const char *path)
{
	DIR *d = opendir(path);
	size_t n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n - 2;
}

/* A file has no name once it is open; what a killed job left goes, what another job holds stays. */
static void test_file(void **state)
{
	char left[600], held[600];
	int fd = -1;

	(void)state;
	write_and_read(dir);
	pl_job_barrier(job);
	assert_int_equal(files_in(dir), 0);
	snprintf(left, sizeof(left), "%s/.plait-shared-1-0", dir);
	snprintf(held, sizeof(held), "%s/.plait-shared-2-0", dir);
	pl_job_barrier(job);
	if (pl_job_rank(job) == 0) {
		close(open(left, O_CREAT | O_WRONLY, 0600));
		fd = open(held, O_CREAT | O_WRONLY, 0600);
		assert_int_equal(flock(fd, LOCK_EX), 0);
	}
	pl_job_barrier(job);
	write_and_read(dir);
	pl_job_barrier(job);
	assert_int_not_equal(access(left, F_OK), 0);
	assert_int_equal(access(held, F_OK), 0);
	pl_job_barrier(job);
	if (pl_job_rank(job) == 0) {
		close(fd);
		assert_int_equal(unlink(held), 0);
	}
}

static void test_no_room(void **state)
{
	struct pl_shared *s = NULL;
	struct pl_err err = { 0 };

	(void)state;
	assert_int_equal(pl_shared_new(&s, job, 1000, "/nonexistent", "test", &err), PL_ERR_NOTFOUND);
	assert_null(s);
	assert_int_equal(pl_shared_new(&s, job, (uint64_t)1 << 60, dir, "test", &err), PL_ERR_IO);
	assert_non_null(strstr(err.text, "room"));
	pl_job_barrier(job);
	assert_int_equal(files_in(dir), 0);
}

static void put(const char *name, const char *text)
{
	char path[800];
	FILE *f;

	snprintf(path, sizeof(path), "%s/root%s", dir, name);
	for (char *p = path + strlen(dir) + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		(void)mkdir(path, 0700);
		*p = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* The least of the machine and of all groups upward, both versions of control groups. */
static void test_memory_limit(void **state)
{
	char root[600], command[700];

	(void)state;
	assert_true(pl_memory_limit() > (uint64_t)64 << 20);
	pl_job_barrier(job);
	if (pl_job_rank(job) != 0)
		return;
	snprintf(root, sizeof(root), "%s/root", dir);
	assert_int_equal(pl_memory_limit_at(root), 0);
	put("/proc/meminfo", "MemTotal:       1000 kB\nMemFree:  3 kB\n");
	assert_int_equal(pl_memory_limit_at(root), 1024000);
	put("/proc/self/cgroup", "0::/slurm/job/step\n");
	put("/sys/fs/cgroup/slurm/job/step/memory.max", "max\n");
	assert_int_equal(pl_memory_limit_at(root), 1024000);
	put("/sys/fs/cgroup/slurm/job/memory.max", "500000\n");
	assert_int_equal(pl_memory_limit_at(root), 500000);
	put("/proc/self/cgroup", "3:cpu,cpuacct:/x\n5:memory:/docker/a\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	assert_int_equal(pl_memory_limit_at(root), 1024000);
	put("/sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "70000\n");
	assert_int_equal(pl_memory_limit_at(root), 70000);
	put("/proc/self/cgroup", "0::/../../elsewhere\n");
	put("/sys/fs/cgroup/memory.max", "60000\n");
	assert_int_equal(pl_memory_limit_at(root), 60000);
	snprintf(command, sizeof(command), "rm -r '%s'", root);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_memory_limit),
	};

	return cmocka_run_group_tests(tests, start, finish);
}
