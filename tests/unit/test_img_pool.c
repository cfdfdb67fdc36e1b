/* SPDX-License-Identifier: Apache-2.0 */
/* The codec pool: order, containment of everything a taken-over decoder may
 * try, time and memory ceilings, killed workers, and nothing left behind. Most
 * cases run a hostile work function in place of the codecs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/img/pool_internal.h"

/* ---- the work function of the tests: the first byte of the input says what it does ---- */

static void burn(unsigned microseconds)
{
	struct timespec a, b;
	long passed;

	clock_gettime(CLOCK_MONOTONIC, &a);

	do {
		clock_gettime(CLOCK_MONOTONIC, &b);
		passed = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
	} while (passed < (long)microseconds);
}

static void exhaust_memory(void)
{
	volatile char *volatile p;

	do
		p = malloc((size_t)8 << 20);
	while (p);
	*p = 1;   /* as a library does that forgot to look */
}

static uint32_t try_large_block(void)
{
	volatile size_t size = (size_t)8 << 30;
	char *volatile p = malloc(size);
	uint32_t reason = p ? PL_REASON_KEEP : PL_REASON_NO_MEMORY;

	free(p);
	return reason;
}

static void use_memory(size_t size)
{
	char *blocks[64];

	for (size_t i = 0; i < 64; i++) {
		blocks[i] = malloc(size / 64);
		if (blocks[i])
			memset(blocks[i], 1, size / 64);
	}
	for (size_t i = 0; i < 64; i++)
		free(blocks[i]);
}

static void misbehave(
    uint8_t what, struct pl_pool_reply *reply, size_t out_cap, const uint8_t *in, size_t len)
{
	static char *const no_args[] = { NULL };
	volatile int *nowhere = NULL;

	switch (what) {
	case 'h': for (;;) burn(1000);
	case 'n': exhaust_memory(); break;
	case 'a': reply->reason = try_large_block(); break;
	case 'o': (void)!open("/etc/passwd", O_RDONLY); break;
	case 's': (void)!socket(AF_INET, SOCK_STREAM, 0); break;
	case 'x': (void)!execve("/bin/true", no_args, no_args); break;
	case 'f': (void)!fork(); break;
	case 'k': (void)!kill(getppid(), SIGKILL); break;
	case 'e':
		(void)!mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		break;
	case 'v': *nowhere = 1; break;
	case 'r': reply->reason = 9999; break;
	case 'l': reply->len = out_cap + 1; break;
	case 'i': reply->orientation = 77; break;
	case 'q': _exit(PL_POOL_EXIT_SETUP);
	case 'p': /* past the end */
		reply->passthrough = ((const volatile uint8_t *)in)[len];
		break;
	default: break;
	}
}

static void test_work(const struct pl_pool_request *rq, const uint8_t *in,
    struct pl_pool_reply *reply, uint8_t *out, size_t out_cap, const struct pl_img_limits *limits)
{
	(void)limits;
	reply->has_info = 1;
	reply->orientation = 1;
	reply->in_format = reply->format = PL_FORMAT_PNG;
	reply->in_width = reply->width = (uint32_t)rq->len;
	reply->in_height = reply->height = 7;
	if (rq->op == PL_POOL_SCAN) {
		pl_hash128_bytes(in, rq->len, reply->xxh3);
	} else {
		for (size_t i = 0; i < rq->len; i++)
			out[i] = in[i] ^ 0x5A;
		reply->len = rq->len;
	}
	if (in[0] == 'b' || in[0] == 'c')
		burn(in[0] == 'b' ? 300 : 5000);
	else if (in[0] == 'm')
		use_memory((size_t)48 << 20);
	else
		misbehave(in[0], reply, out_cap, in, rq->len);
}

/* ---- helpers ---- */

static struct pl_pool *new_pool(int workers, size_t window, uint32_t timeout_ms)
{
	struct pl_pool_config config = {
		.workers = workers, .window = window, .limits = pl_img_limits_default()
	};
	struct pl_pool *pool = NULL;
	struct pl_err err = { 0 };

	config.limits.timeout_ms = timeout_ms;
	config.limits.max_bytes = (uint64_t)8 << 20;
	config.limits.max_memory = (uint64_t)512 << 20;
	if (pl_pool_new_with(&pool, &config, test_work, &err) != PL_OK)
		fail_msg("%s", err.text);
	return pool;
}

static void submit(
    struct pl_pool *pool, enum pl_pool_op op, const uint8_t *data, size_t len, uint64_t tag)
{
	const struct pl_pool_job job = { .op = op, .data = data, .len = len, .tag = tag };
	struct pl_err err = { 0 };

	if (pl_pool_submit(pool, &job, &err) != PL_OK)
		fail_msg("%s", err.text);
}

static struct pl_pool_result next(struct pl_pool *pool)
{
	struct pl_pool_result r;
	struct pl_err err = { 0 };
	bool ready = false;

	if (pl_pool_next(pool, -1, &ready, &r, &err) != PL_OK)
		fail_msg("%s", err.text);
	assert_true(ready);
	return r;
}

/* Length and bytes of test image n, begun with the given letter. */
static size_t make_input(uint8_t *data, uint64_t n, char letter)
{
	size_t len =
	    n % 97 == 13 ? 0 : 1 + (size_t)(pl_draw64(1, n, 0) % (n % 31 == 7 ? 600000 : 9000));

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(n + i * 7 + (i >> 8));
	if (len)
		data[0] = (uint8_t)letter;
	return len;
}

static void check_echo(const struct pl_pool_result *r, uint64_t n, char letter, uint8_t *scratch)
{
	size_t len = make_input(scratch, n, letter);

	assert_int_equal(r->tag, n);
	if (len == 0) {
		assert_int_equal(r->reason, PL_REASON_EMPTY);
		return;
	}
	assert_int_equal(r->reason, PL_REASON_KEEP);
	assert_int_equal(r->len, len);
	assert_int_equal(r->info.width, len);
	for (size_t i = 0; i < len; i++)
		if (r->data[i] != (scratch[i] ^ 0x5A))
			fail_msg("image %llu differs at byte %zu", (unsigned long long)n, i);
}

static int open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static long resident_kib(pid_t pid)
{
	char path[64], text[128] = "";
	long pages = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	if (fgets(text, sizeof(text), f) && strchr(text, ' '))
		pages = strtol(strchr(text, ' '), NULL, 10);
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void sleep_ms(long ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* ---- cases ---- */

static void test_order(void **state)
{
	struct pl_pool *pool = new_pool(3, 10, 20000);
	uint8_t *data = malloc(1 << 20);
	uint64_t done = 0;

	(void)state;
	assert_int_equal(pl_pool_workers(pool), 3);
	for (uint64_t n = 0; n < 2000 || done < 2000;) {
		if (n < 2000 && pl_pool_has_room(pool)) {
			submit(pool, PL_POOL_TRANSFORM, data,
			    make_input(data, n, n % 3 ? '.' : 'b'), n);
			n++;
			assert_int_equal(pl_pool_pending(pool), n - done);
		} else {
			struct pl_pool_result r = next(pool);

			check_echo(&r, done, done % 3 ? '.' : 'b', data);
			done++;
		}
	}
	assert_int_equal(pl_pool_replaced(pool), 0);
	assert_int_equal(pl_pool_pending(pool), 0);
	free(data);
	pl_pool_free(pool);
}

static void test_end_and_room(void **state)
{
	struct pl_pool *pool = new_pool(1, 2, 20000);
	struct pl_pool_job job = { .op = PL_POOL_SCAN, .data = ".", .len = 1 };
	struct pl_pool_result r;
	struct pl_err err = { 0 };
	bool ready = true;

	(void)state;
	assert_int_equal(pl_pool_next(pool, 0, &ready, &r, &err), PL_END);
	assert_false(ready);
	submit(pool, PL_POOL_TRANSFORM, (const uint8_t *)"h", 1, 1);
	submit(pool, PL_POOL_SCAN, (const uint8_t *)".", 1, 2);
	assert_false(pl_pool_has_room(pool));
	assert_int_equal(pl_pool_submit(pool, &job, &err), PL_ERR_LIMIT);
	assert_int_equal(pl_pool_next(pool, 0, &ready, &r, &err), PL_OK);
	assert_false(ready);
	assert_int_equal(pl_pool_next(pool, 30, &ready, &r, &err), PL_OK);
	assert_false(ready);
	pl_pool_free(pool);   /* with a job that never ends */
}

static void test_scan_settled_in_parent(void **state)
{
	struct pl_pool *pool = new_pool(2, 4, 20000);
	size_t len = ((size_t)8 << 20) + 1;
	uint8_t *data = calloc(1, len), expected[16];
	struct pl_pool_result r;

	(void)state;
	submit(pool, PL_POOL_SCAN, data, len, 1);
	submit(pool, PL_POOL_SCAN, data, 0, 2);
	memcpy(data, "v crash", 7);
	submit(pool, PL_POOL_SCAN, data, 1000, 3);
	data[0] = '.';
	submit(pool, PL_POOL_SCAN, data, 1000, 4);
	memset(data, 0, 1000);
	r = next(pool);
	pl_hash128_bytes(data, len, expected);
	assert_int_equal(r.reason, PL_REASON_TOO_LARGE);
	assert_memory_equal(r.xxh3, expected, 16);
	r = next(pool);
	pl_hash128_bytes(data, 0, expected);
	assert_int_equal(r.reason, PL_REASON_EMPTY);
	assert_memory_equal(r.xxh3, expected, 16);
	r = next(pool);
	memcpy(data, "v crash", 7);
	pl_hash128_bytes(data, 1000, expected);
	assert_int_equal(r.reason, PL_REASON_CRASH);
	assert_memory_equal(r.xxh3, expected, 16);
	assert_int_equal(r.info.format, PL_FORMAT_PNG);   /* what was known before the crash */
	r = next(pool);
	data[0] = '.';
	pl_hash128_bytes(data, 1000, expected);
	assert_int_equal(r.reason, PL_REASON_KEEP);
	assert_memory_equal(r.xxh3, expected, 16);
	assert_int_equal(r.width, 1000);
	free(data);
	pl_pool_free(pool);
}

/* Long images around each kill, so that workers are busy when it comes. */
static char letter(uint64_t n)
{
	return n % 50 >= 44 ? 'c' : 'b';
}

/* A worker is killed every 50 images: at most that many images are lost, all others are right. */
static void test_killed_workers(void **state)
{
	struct pl_pool *pool = new_pool(2, 8, 20000);
	uint8_t *data = malloc(1 << 20);
	uint64_t done = 0, kills = 0, lost = 0;

	(void)state;
	for (uint64_t n = 0; n < 1000 || done < n;) {
		if (n < 1000 && pl_pool_has_room(pool)) {
			submit(pool, PL_POOL_TRANSFORM, data, make_input(data, n, letter(n)), n);
			if (n % 50 == 49) {
				pid_t pid = pl_pool_worker_pid(pool, (int)(n / 50 % 2));

				if (pid > 0 && kill(pid, SIGKILL) == 0)
					kills++;
			}
			n++;
		} else {
			struct pl_pool_result r = next(pool);

			if (r.reason == PL_REASON_CRASH) {
				assert_int_equal(r.tag, done);
				assert_null(r.data);
				lost++;
			} else {
				check_echo(&r, done, letter(done), data);
			}
			done++;
		}
	}
	for (int ms = 0; ms < 5000 && pl_pool_replaced(pool) < kills; ms++) {
		(void)pl_pool_worker_pid(pool, 0); /* hears the nursery */
		sleep_ms(1);
	}
	assert_true(kills >= 15);
	assert_in_range(lost, 1, kills);
	assert_int_equal(pl_pool_replaced(pool), kills);
	free(data);
	pl_pool_free(pool);
}

static void test_killed_at_a_known_image(void **state)
{
	struct pl_pool *pool = new_pool(1, 4, 20000);
	struct pl_pool_result r;

	(void)state;
	submit(pool, PL_POOL_TRANSFORM, (const uint8_t *)".1", 2, 1);
	assert_int_equal(next(pool).reason, PL_REASON_KEEP);
	submit(pool, PL_POOL_TRANSFORM, (const uint8_t *)"h", 1, 2);
	submit(pool, PL_POOL_TRANSFORM, (const uint8_t *)".3", 2, 3);
	sleep_ms(50);
	assert_int_equal(kill(pl_pool_worker_pid(pool, 0), SIGKILL), 0);
	r = next(pool);
	assert_int_equal(r.tag, 2);
	assert_int_equal(r.reason, PL_REASON_CRASH);
	r = next(pool);
	assert_int_equal(r.tag, 3);
	assert_int_equal(r.reason, PL_REASON_KEEP);
	assert_int_equal(r.data[1], '3' ^ 0x5A);
	assert_int_equal(pl_pool_replaced(pool), 1);
	pl_pool_free(pool);
}

static void test_contained(void **state)
{
	static const struct hostile_case {
		char what;
		enum pl_reason reason;
		bool needs_seccomp;
	} cases[] = {
		{ 'h', PL_REASON_TIMEOUT, false },
		{ 'a', PL_REASON_NO_MEMORY, false },
		{ 'n', PL_REASON_NO_MEMORY, false },
		{ 'o', PL_REASON_CRASH, true },
		{ 's', PL_REASON_CRASH, true },
		{ 'x', PL_REASON_CRASH, true },
		{ 'f', PL_REASON_CRASH, true },
		{ 'k', PL_REASON_CRASH, true },
		{ 'e', PL_REASON_CRASH, true },
		{ 'v', PL_REASON_CRASH, false },
		{ 'r', PL_REASON_CRASH, false },
		{ 'l', PL_REASON_CRASH, false },
		{ 'i', PL_REASON_CRASH, false },
		{ 'q', PL_REASON_CRASH, false },
		{ 'p', PL_REASON_CRASH, false },
	};
	struct pl_pool *pool = new_pool(2, 4, 300);
	uint8_t data[2048] = { 0 };

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		struct pl_pool_result r;

		if (cases[i].needs_seccomp && !pl_pool_seccomp(pool))
			continue;
		if (PL_POOL_SANITIZED && strchr("an", cases[i].what))
			continue;   /* no ceiling on address space under a sanitizer */
		for (uint64_t k = 0; k < 3; k++) {
			data[0] = k == 1 ? (uint8_t)cases[i].what : '.';
			submit(pool, PL_POOL_TRANSFORM, data, sizeof(data), 10 * i + k);
		}
		for (uint64_t k = 0; k < 3; k++) {
			r = next(pool);
			assert_int_equal(r.tag, 10 * i + k);
			if (k != 1) {
				assert_int_equal(r.reason, PL_REASON_KEEP);
				assert_int_equal(r.data[5], 0x5A);
			} else if (r.reason != cases[i].reason) {
				fail_msg("'%c': %s instead of %s", cases[i].what,
				    pl_reason_name(r.reason), pl_reason_name(cases[i].reason));
			} else {
				assert_null(r.data);
				assert_int_equal(r.len, 0);
			}
		}
	}
	pl_pool_free(pool);
}

/* One image that hangs keeps the other worker from nothing, and no other image times out. */
static void test_timeout_among_others(void **state)
{
	struct pl_pool *pool = new_pool(2, 50, 400);
	struct timespec a, b;
	long ms;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &a);
	submit(pool, PL_POOL_TRANSFORM, (const uint8_t *)"h", 1, 0);
	for (uint64_t n = 1; n < 50; n++)
		submit(pool, PL_POOL_TRANSFORM, (const uint8_t *)"b", 1, n);
	assert_int_equal(next(pool).reason, PL_REASON_TIMEOUT);
	for (uint64_t n = 1; n < 50; n++) {
		struct pl_pool_result r = next(pool);

		assert_int_equal(r.tag, n);
		assert_int_equal(r.reason, PL_REASON_KEEP);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	ms = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
	assert_true(ms >= 400 && ms < 3000);
	pl_pool_free(pool);
}

static void test_nothing_left_behind(void **state)
{
	int before;
	pid_t pids[5];

	(void)state;
	pl_pool_free(NULL);
	before = open_descriptors();
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
	assert_int_equal(open_descriptors(), before);
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
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_end_and_room),
		cmocka_unit_test(test_scan_settled_in_parent),
		cmocka_unit_test(test_killed_workers),
		cmocka_unit_test(test_killed_at_a_known_image),
		cmocka_unit_test(test_contained),
		cmocka_unit_test(test_timeout_among_others),
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
