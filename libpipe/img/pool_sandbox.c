/* SPDX-License-Identifier: Apache-2.0 */
/* The codec worker's sandbox: resource limits, and a seccomp filter that
 * leaves a decoder memory, one eventfd to ring, and the exit. Every other
 * system call kills the process, and with it one image. */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "pool_internal.h"

/* Calls allowed with any arguments. exit is for completeness; mmap, mprotect and write are ruled
 * below. */
static const int allowed_calls[] = {
	SCMP_SYS(futex),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getrandom),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(sched_yield),
#if PL_POOL_SANITIZED
	/* What the sanitizers' runtimes do in ordinary running and when they report. */
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(getrusage),
#endif
};

static int add_rules(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp not_exec = SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	int rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	for (size_t i = 0; rc == 0 && i < PL_ARRAY_LEN(allowed_calls); i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	if (rc == 0)
		rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &not_exec);
	if (rc == 0)
		rc = seccomp_rule_add_array(
		    filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &not_exec);
	if (rc == 0 && PL_POOL_SANITIZED)
		return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 0);
	if (rc == 0) {
		const struct scmp_arg_cmp to_event = SCMP_A0_64(SCMP_CMP_EQ, PL_POOL_FD_EVENT, 0);

		rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, &to_event);
	}
	if (rc == 0) {
		/* dav1d has words for each broken stream; they fail, but do not cost the worker. */
		const struct scmp_arg_cmp to_stderr = SCMP_A0_64(SCMP_CMP_EQ, STDERR_FILENO, 0);

		rc = seccomp_rule_add_array(
		    filter, SCMP_ACT_ERRNO(EBADF), SCMP_SYS(write), 1, &to_stderr);
	}
	return rc;
}

/* Bytes of address space this process has mapped, or a guess where there is no /proc. */
static uint64_t mapped_now(const struct pl_pool_shared *sh)
{
	const uint64_t guess = sh->size + ((uint64_t)512 << 20);
	long page = sysconf(_SC_PAGESIZE);
	char text[64];
	ssize_t n;
	unsigned long long pages;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return guess;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0 || page <= 0)
		return guess;
	text[n] = '\0';
	pages = strtoull(text, NULL, 10);
	return pages ? pages * (uint64_t)page : guess;
}

void pl_pool_jail_prepare(struct pl_pool_jail *jail, const struct pl_pool_shared *sh)
{
	scmp_filter_ctx filter;
	int rc;

	*jail = (struct pl_pool_jail){ .address_space = mapped_now(sh) };
	if (sh->sandbox == PL_SANDBOX_OFF)
		return;
	filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!filter) {
		jail->filter_errno = EOPNOTSUPP;
		return;
	}
	rc = add_rules(filter);
	if (rc != 0) {
		seccomp_release(filter);
		jail->filter_errno = -rc;
		return;
	}
	jail->filter = filter;
}

/* Lower soft and hard limit to value; a hard limit below it stays. */
static int lower_limit(enum __rlimit_resource what, uint64_t value)
{
	struct rlimit limit;

	if (getrlimit(what, &limit) != 0)
		return -1;
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > value)
		limit.rlim_max = (rlim_t)value;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(what, &limit);
}

static int set_limits(const struct pl_pool_jail *jail, const struct pl_pool_shared *sh)
{
	if (lower_limit(RLIMIT_CORE, 0) != 0 || lower_limit(RLIMIT_CPU, PL_POOL_MAX_CPU_S) != 0
	    || lower_limit(RLIMIT_NOFILE, 0) != 0)
		return -1;
	/* Shadow memory takes terabytes of address space, and reports may go to a file. */
	if (PL_POOL_SANITIZED)
		return 0;
	if (lower_limit(RLIMIT_FSIZE, 0) != 0 || lower_limit(RLIMIT_NPROC, 0) != 0)
		return -1;
	if (sh->limits.max_memory
	    && lower_limit(RLIMIT_AS, jail->address_space + sh->limits.max_memory) != 0)
		return -1;
	return 0;
}

/* A library that misses a failed malloc dies of a null pointer. When a good part of the allowance
 * can no longer be had, want of memory is the honest name for that death. Set once in each
 * worker. */
static size_t fault_probe;

static void on_fault(int signal_number)
{
	void *room =
	    mmap(NULL, fault_probe, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)signal_number;
	if (room == MAP_FAILED)
		_exit(PL_POOL_EXIT_NO_MEMORY);
	munmap(room, fault_probe);
	/* SA_RESETHAND: the instruction runs again and dies of the signal itself. */
}

static int watch_faults(const struct pl_pool_shared *sh)
{
	struct sigaction action = { .sa_handler = on_fault,
		.sa_flags = (int)(SA_ONSTACK | SA_RESETHAND) };
	stack_t stack = { .ss_size = (size_t)64 << 10 };

	if (PL_POOL_SANITIZED || !sh->limits.max_memory)
		return 0;
	fault_probe = (size_t)(sh->limits.max_memory / 4 + 4096);
	stack.ss_sp = malloc(stack.ss_size);   /* lives as long as the worker */
	if (!stack.ss_sp || sigaltstack(&stack, NULL) != 0)
		return -1;
	sigemptyset(&action.sa_mask);
	return sigaction(SIGSEGV, &action, NULL);
}

/* Where memory runs out on the node, a worker that costs one image shall go before a rank that
 * costs the job. */
static void prefer_for_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "500", 3) != 3) {
		/* Not allowed here: then the kernel's own choice holds. */
	}
	close(fd);
}

int pl_pool_jail_enter(const struct pl_pool_jail *jail, const struct pl_pool_shared *sh,
    bool *seccomp, enum pl_pool_fault *fault)
{
	int rc = -jail->filter_errno;

	*fault = PL_POOL_FAULT_SETUP;
	*seccomp = false;
	prefer_for_oom();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0
	    || watch_faults(sh) != 0 || set_limits(jail, sh) != 0)
		return -1;
	if (jail->filter)
		rc = seccomp_load(jail->filter);
	*seccomp = jail->filter && rc == 0;
	if (rc != 0 && sh->sandbox == PL_SANDBOX_REQUIRE) {
		*fault = PL_POOL_FAULT_SECCOMP;
		errno = -rc;
		return -1;
	}
	return 0;
}
