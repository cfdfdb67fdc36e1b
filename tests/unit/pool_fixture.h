/* SPDX-License-Identifier: Apache-2.0 */
/* What the codec pool's tests share: a work function whose input says how to
 * misbehave, and small helpers around a pool. */
#ifndef TESTS_POOL_FIXTURE_H
#define TESTS_POOL_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

/* Deeper and deeper, as a parser that follows nested boxes without a limit. */
static uint32_t overflow_stack(volatile uint8_t *above, uint32_t depth)
{
	volatile uint8_t frame[4096];

	frame[0] = (uint8_t)(above[0] + depth);
	return depth == UINT32_MAX ? frame[0] : overflow_stack(frame, depth + 1) + frame[0];
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

/* Sleep where sleeping is allowed: on a futex that nobody wakes. */
static void wait_for_ever(void)
{
	static uint32_t word;

	for (;;)
		(void)syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

/* System calls that no codec needs, each of a kind of its own. */
static void call_out(uint8_t what)
{
	static char *const no_args[] = { NULL };
	const struct rlimit more = { RLIM_INFINITY, RLIM_INFINITY };
	char byte = 0;
	struct iovec here = { &byte, 1 }, there = { &byte, 1 };
	struct clone_args clone3_args = { .exit_signal = SIGCHLD };

	switch (what) {
	case 'o': (void)!open("/etc/passwd", O_RDONLY); break;
	case 's': (void)!socket(AF_INET, SOCK_STREAM, 0); break;
	case 'x': (void)!execve("/bin/true", no_args, no_args); break;
	case 'f': (void)!fork(); break;
	case 'F': (void)!syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL); break;
	case 'C': (void)!syscall(SYS_clone3, &clone3_args, sizeof(clone3_args)); break;
	case 'L': (void)!syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, NULL, NULL, NULL, NULL); break;
	case 'k': (void)!kill(getppid(), SIGKILL); break;
	case 'K': (void)!syscall(SYS_tgkill, 1, 1, SIGKILL); break;
	case 't': (void)!ptrace(PTRACE_TRACEME, 0, NULL, NULL); break;
	case 'T': (void)!process_vm_readv(getppid(), &here, 1, &there, 1, 0); break;
	case 'u': (void)!unlink("/nonexistent/plait"); break;
	case 'w': (void)!write(PL_POOL_FD_CONTROL, "forged", 6); break;
	case 'd': (void)!dup(PL_POOL_FD_EVENT); break;
	case 'R': (void)!setrlimit(RLIMIT_AS, &more); break;
	case 'P': (void)!prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); break;
	case 'e':
		(void)!mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		break;
	default: break;
	}
}

static void misbehave(
    uint8_t what, struct pl_pool_reply *reply, size_t out_cap, const uint8_t *in, size_t len)
{
	volatile int *nowhere = NULL;

	switch (what) {
	case 'h': for (;;) burn(1000);
	case 'n': exhaust_memory(); break;
	case 'a': reply->reason = try_large_block(); break;
	case 'z': wait_for_ever(); break;
	case 'v': *nowhere = 1; break;
	case 'A': raise(SIGABRT); break;
	case 'I': raise(SIGILL); break;
	case 'S': reply->reason = overflow_stack((volatile uint8_t *)&nowhere, 0); break;
	case 'r': reply->reason = 9999; break;
	case 'l': reply->len = out_cap + 1; break;
	case 'i': reply->orientation = 77; break;
	case 'D': reply->dihedral[PL_DIHEDRAL_COUNT - 1].quality = 101; break;
	case 'Q': reply->quality = 101; break;
	case 'H': /* a hash, asked for or not */
		reply->pdq[PL_PDQ_BYTES - 1] = 1;
		reply->quality = 100;
		break;
	case 'q': _exit(PL_POOL_EXIT_SETUP);
	case 'p': /* past the end */
		reply->passthrough = ((const volatile uint8_t *)in)[len];
		break;
	default: call_out(what); break;
	}
}

static inline void test_work(const struct pl_pool_request *rq, const uint8_t *in,
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

static inline struct pl_pool *new_pool(int workers, size_t window, uint32_t timeout_ms)
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

static inline void submit(
    struct pl_pool *pool, enum pl_pool_op op, const uint8_t *data, size_t len, uint64_t tag)
{
	const struct pl_pool_job job = { .op = op, .data = data, .len = len, .tag = tag };
	struct pl_err err = { 0 };

	if (pl_pool_submit(pool, &job, &err) != PL_OK)
		fail_msg("%s", err.text);
}

static inline struct pl_pool_result next(struct pl_pool *pool)
{
	struct pl_pool_result r;
	struct pl_err err = { 0 };
	bool ready = false;

	if (pl_pool_next(pool, -1, &ready, &r, &err) != PL_OK)
		fail_msg("%s", err.text);
	assert_true(ready);
	return r;
}

static inline void sleep_ms(long ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static inline int open_descriptors(pid_t pid)
{
	char path[64];
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static inline long resident_kib(pid_t pid)
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

#endif
