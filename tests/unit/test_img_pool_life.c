/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a codec pool: nothing is left behind, memory stays flat,
 * parents and nurseries die, seccomp is refused, and real codecs on hostile files. */
#include "pool_fixture.h"

static void test_nothing_left_behind(void **state)
{
	int before;
	pid_t pids[5];

	(void)state;
	pl_pool_free(NULL);
	before = open_descriptors(getpid());
	for (int round = 0; round < 10; round++) {
		struct pl_pool *pool = new_pool(4, 0, 20000);

		submit(pool, PL_POOL_TRANSFORM, (const uint8_t *)(round % 2 ? "h" : "v"), 1, 0);
		for (int i = -1; i < 4; i++)
			while ((pids[i + 1] = pl_pool_worker_pid(pool, i)) == 0)
				sleep_ms(1);
		pl_pool_free(pool);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		assert_int_equal(errno, ECHILD);
		for (int i = 0; i < 5; i++)
			assert_int_equal(kill(pids[i], 0), -1);
	}
	assert_int_equal(open_descriptors(getpid()), before);
}

static void test_memory_flat(void **state)
{
	struct pl_pool *pool = new_pool(1, 4, 20000);
	size_t len = (size_t)7 << 20;
	uint8_t *data = calloc(1, len);
	long parent = 0, worker = 0;

	(void)state;
	data[0] = 'm';
	for (int n = 0; n < 60; n++) {
		submit(pool, PL_POOL_TRANSFORM, data, len, 0);
		assert_int_equal(next(pool).len, len);
		if (n == 10) {
			parent = resident_kib(getpid());
			worker = resident_kib(pl_pool_worker_pid(pool, 0));
		}
	}
	assert_int_equal(pl_pool_replaced(pool), 0);
	if (!PL_POOL_SANITIZED) {
		assert_true(resident_kib(getpid()) < parent + 8192);
		assert_true(resident_kib(pl_pool_worker_pid(pool, 0)) < worker + 8192);
		/* 48 MiB of heap and 14 MiB of slot were used each time. */
		assert_true(resident_kib(pl_pool_worker_pid(pool, 0)) < 65536);
	}
	free(data);
	pl_pool_free(pool);
}

static void test_signals_are_the_parents(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP };
	struct pl_pool *pool = new_pool(2, 4, 20000);
	pid_t first;

	(void)state;
	submit(pool, PL_POOL_TRANSFORM, (const uint8_t *)".", 1, 0);
	assert_int_equal(next(pool).reason, PL_REASON_KEEP);
	while ((first = pl_pool_worker_pid(pool, 0)) == 0 || pl_pool_worker_pid(pool, 1) == 0)
		sleep_ms(1);
	sleep_ms(50);
	for (size_t i = 0; i < PL_ARRAY_LEN(signals); i++)
		for (int seat = -1; seat < 2; seat++)
			assert_int_equal(kill(pl_pool_worker_pid(pool, seat), signals[i]), 0);
	sleep_ms(20);
	submit(pool, PL_POOL_TRANSFORM, (const uint8_t *)".", 1, 1);
	assert_int_equal(next(pool).reason, PL_REASON_KEEP);
	assert_int_equal(pl_pool_worker_pid(pool, 0), first);
	assert_int_equal(pl_pool_replaced(pool), 0);
	pl_pool_free(pool);
}

static void test_nursery_gone(void **state)
{
	struct pl_pool *pool = new_pool(1, 4, 20000);
	struct pl_pool_result r;
	struct pl_err err = { 0 };
	bool ready;
	int gone = 0;

	(void)state; /* the worker's parent dies: here is who reaps it */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	submit(pool, PL_POOL_TRANSFORM, (const uint8_t *)"h", 1, 0);
	assert_int_equal(kill(pl_pool_worker_pid(pool, -1), SIGKILL), 0);
	assert_int_equal(pl_pool_next(pool, -1, &ready, &r, &err), PL_ERR_IO);
	assert_int_equal(err.severity, PL_SEV_JOB);
	assert_false(ready);
	pl_pool_free(pool);
	for (int ms = 0; ms < 5000 && gone < 1; ms++, sleep_ms(1))
		gone += waitpid(-1, NULL, WNOHANG) > 0;
	assert_int_equal(gone, 1);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
}

static _Noreturn void start_pool_and_die(int to_test)
{
	struct pl_pool_config config = { .workers = 3, .limits = pl_img_limits_default() };
	const struct pl_pool_job job = { .op = PL_POOL_SCAN, .data = "h", .len = 1 };
	struct pl_pool *pool;
	pid_t pids[4];

	if (pl_pool_new_with(&pool, &config, test_work, NULL) != PL_OK
	    || pl_pool_submit(pool, &job, NULL) != PL_OK)
		_exit(1);
	for (int i = -1; i < 3; i++)
		while ((pids[i + 1] = pl_pool_worker_pid(pool, i)) == 0)
			sleep_ms(1);
	if (write(to_test, pids, sizeof(pids)) == (ssize_t)sizeof(pids))
		raise(SIGKILL);
	_exit(1);
}

/* The parent dies without a word: nursery and workers, one of them busy for ever, follow. */
static void test_parent_killed(void **state)
{
	pid_t child, pids[4];
	int status, way[2], left = 4;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	assert_int_equal(pipe(way), 0);
	child = fork();
	if (child == 0)
		start_pool_and_die(way[1]);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(read(way[0], pids, sizeof(pids)), sizeof(pids));
	for (int ms = 0; ms < 5000 && left; ms++) {
		sleep_ms(1);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			continue;
		left = 0;
		for (int i = 0; i < 4; i++)
			left += kill(pids[i], 0) == 0;
	}
	assert_int_equal(left, 0);
	close(way[0]);
	close(way[1]);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
}

/* In a process that may not load filters: REQUIRE fails in words, AUTO goes on and says so. */
static int without_seccomp(void)
{
	struct pl_pool_config config = {
		.workers = 2, .sandbox = PL_SANDBOX_REQUIRE, .limits = pl_img_limits_default()
	};
	const struct scmp_arg_cmp no_filter = SCMP_A0_64(SCMP_CMP_EQ, PR_SET_SECCOMP, 0);
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	const struct pl_pool_job job = { .op = PL_POOL_TRANSFORM, .data = ".", .len = 1 };
	struct pl_pool *pool;
	struct pl_pool_result r;
	struct pl_err err = { 0 };
	bool ready;

	if (!filter || seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(seccomp), 0) != 0
	    || seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prctl), 1, &no_filter)
	    || seccomp_load(filter) != 0)
		return 77;
	seccomp_release(filter);
	if (pl_pool_new_with(&pool, &config, test_work, &err) != PL_ERR_UNSUPPORTED
	    || !strstr(err.text, "seccomp") || pool)
		return 1;
	config.sandbox = PL_SANDBOX_AUTO;
	if (pl_pool_new_with(&pool, &config, test_work, &err) != PL_OK || pl_pool_seccomp(pool))
		return 2;
	if (pl_pool_submit(pool, &job, &err) != PL_OK
	    || pl_pool_next(pool, -1, &ready, &r, &err) != PL_OK || r.reason != PL_REASON_KEEP)
		return 3;
	pl_pool_free(pool);
	return 0;
}

static void test_seccomp_refused(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0)
		_exit(without_seccomp());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("this system loads no seccomp filter at all\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_config_refused(void **state)
{
	struct pl_pool_config config = { .workers = -1, .limits = pl_img_limits_default() };
	struct pl_pool *pool;
	struct pl_err err = { 0 };

	(void)state;
	assert_int_equal(pl_pool_new(&pool, &config, &err), PL_ERR_USAGE);
	config.workers = 1;
	config.limits.max_bytes = 0;
	assert_int_equal(pl_pool_new(&pool, &config, &err), PL_ERR_USAGE);
	config.limits.max_bytes = UINT64_MAX;
	assert_int_equal(pl_pool_new(&pool, &config, &err), PL_ERR_USAGE);
	assert_null(pool);
}

/* ---- the real codecs ---- */

static uint8_t *read_whole(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc((size_t)4 << 20);

	assert_non_null(data);
	*len = f ? fread(data, 1, (size_t)4 << 20, f) : 0;
	if (f)
		fclose(f);
	return data;
}

static void collect_verdict(struct pl_pool *pool, uint64_t tag, size_t *kept)
{
	struct pl_pool_result r = next(pool);

	assert_int_equal(r.tag, tag);
	assert_true(r.reason < PL_REASON_COUNT);
	if (r.reason == PL_REASON_CRASH || r.reason == PL_REASON_TIMEOUT)
		fail_msg("file %llu, op %d: %s", (unsigned long long)tag, (int)r.op,
		    pl_reason_name(r.reason));
	*kept += r.reason == PL_REASON_KEEP;
}

/* Every file of one directory of shared test data, through all three operations. */
static void feed_directory(
    struct pl_pool *pool, const char *root, const char *name, size_t *files, size_t *kept)
{
	char path[4096];
	uint64_t tag = 0, done = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/hostile/%s", root, name);
	dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		size_t len;
		uint8_t *data;

		snprintf(path, sizeof(path), "%s/hostile/%s/%s", root, name, e->d_name);
		if (e->d_name[0] == '.')
			continue;
		data = read_whole(path, &len);
		for (int op = PL_POOL_SCAN; op <= PL_POOL_VERIFY; op++) {
			const struct pl_pool_job job = { .op = (enum pl_pool_op)op,
				.data = data,
				.len = len,
				.tag = tag++,
				.resize = { .policy = PL_POLICY_KEEP_RATIO,
				    .size = 64,
				    .format = PL_FORMAT_JPEG,
				    .encode = { .quality = 80 } } };

			while (!pl_pool_has_room(pool))
				collect_verdict(pool, done++, kept);
			assert_int_equal(pl_pool_submit(pool, &job, NULL), PL_OK);
		}
		free(data);
		(*files)++;
	}
	closedir(dir);
	while (done < tag)
		collect_verdict(pool, done++, kept);
}

static void test_hostile_files(void **state)
{
	static const char *const dirs[] = { "afl-jpeg", "afl-gif", "afl-bmp", "jpeg-crash",
		"png-crashers", "pngsuite", "webp", "exif-odd", "other-formats" };
	const char *root = getenv("PLAIT_SHARED_DATA");
	struct pl_pool_config config = { .workers = 2, .limits = pl_img_limits_default() };
	struct pl_pool *pool;
	struct pl_err err = { 0 };
	size_t files = 0, kept = 0;

	(void)state;
	if (!root || access(root, R_OK) != 0) {
		print_message("PLAIT_SHARED_DATA names no directory\n");
		skip();
	}
	if (pl_pool_new(&pool, &config, &err) != PL_OK)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < PL_ARRAY_LEN(dirs); i++)
		feed_directory(pool, root, dirs[i], &files, &kept);
	assert_true(files > 100 && kept > 100);
	assert_int_equal(pl_pool_replaced(pool), 0);
	pl_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_left_behind),
		cmocka_unit_test(test_memory_flat),
		cmocka_unit_test(test_signals_are_the_parents),
		cmocka_unit_test(test_nursery_gone),
		cmocka_unit_test(test_parent_killed),
		cmocka_unit_test(test_seccomp_refused),
		cmocka_unit_test(test_config_refused),
		cmocka_unit_test(test_hostile_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
