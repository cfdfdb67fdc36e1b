/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into the tools by the fault drill: calls of the C library that fail as disks, networks, signals and full memories
 * make them fail, at the nth matching call or at random by seed, and clocks that jump. Children of fork are left alone.
 *
 * INJECT_CALLS   comma list of read write open rename fsync close mmap alloc clock steady
 * INJECT_FAULT   errno name (ENOSPC EIO EINTR ENOMEM) or short
 * INJECT_NTH     the nth matching call fails (1 = the first); or
 * INJECT_RATE    one call of so many fails, chosen by INJECT_SEED
 * INJECT_PREFIX  only files whose absolute path begins so
 * INJECT_SPARE   no allocation made by the library with this in its name fails
 * INJECT_LOG     a byte is added to this file for each fault
 * INJECT_COUNT   the number of matching calls is written to this file in the end
 * INJECT_PROGRAM only in the program of this name */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum call { CALL_READ, CALL_WRITE, CALL_OPEN, CALL_RENAME, CALL_FSYNC, CALL_CLOSE, CALL_MMAP, CALL_ALLOC, CALL_CLOCK, CALL_STEADY, CALLS };

static const char *const call_names[CALLS] = { "read", "write", "open", "rename", "fsync", "close", "mmap", "alloc", "clock", "steady" };

/* The shim's whole state: set once before main, the counters by any thread. */
static struct {
	bool on, wanted[CALLS], be_short;
	int error;
	uint64_t nth, rate, seed;
	const char *prefix, *log, *count, *spare;
	uintptr_t spare_from, spare_to;
	atomic_ullong seen;
} inject;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static uint64_t mixed(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static uint64_t number_of(const char *name)
{
	const char *s = getenv(name);

	return s != NULL ? strtoull(s, NULL, 10) : 0;
}

static int error_named(const char *name)
{
	static const struct { const char *name; int code; } errors[] = {
		{ "ENOSPC", ENOSPC }, { "EIO", EIO }, { "EINTR", EINTR }, { "ENOMEM", ENOMEM },
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].name, name) == 0)
			return errors[i].code;
	return EIO;
}

/* The place of the library whose allocations go well. */
static int find_spared(struct dl_phdr_info *info, size_t size, void *none)
{
	(void)size;
	(void)none;
	if (inject.spare == NULL || info->dlpi_name == NULL || strstr(info->dlpi_name, inject.spare) == NULL)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) != 0) {
			inject.spare_from = (uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
			inject.spare_to = inject.spare_from + (uintptr_t)info->dlpi_phdr[i].p_memsz;
		}
	return 1;
}

static void not_in_children(void)
{
	inject.on = false;
}

__attribute__((constructor)) static void begin(void)
{
	const char *calls = getenv("INJECT_CALLS"), *fault = getenv("INJECT_FAULT"), *program = getenv("INJECT_PROGRAM");

	if (calls == NULL || (program != NULL && strcmp(program, program_invocation_short_name) != 0))
		return;
	for (size_t i = 0; i < CALLS; i++)
		inject.wanted[i] = strstr(calls, call_names[i]) != NULL;
	inject.be_short = fault != NULL && strcmp(fault, "short") == 0;
	inject.error = fault != NULL ? error_named(fault) : EIO;
	inject.nth = number_of("INJECT_NTH");
	inject.rate = number_of("INJECT_RATE");
	inject.seed = number_of("INJECT_SEED");
	inject.prefix = getenv("INJECT_PREFIX");
	inject.log = getenv("INJECT_LOG");
	inject.count = getenv("INJECT_COUNT");
	inject.spare = getenv("INJECT_SPARE");
	(void)dl_iterate_phdr(find_spared, NULL);
	(void)pthread_atfork(NULL, NULL, not_in_children);
	inject.on = true;
}

__attribute__((destructor)) static void finish(void)
{
	char text[32];
	int fd, len;

	if (!inject.on || inject.count == NULL)
		return;
	inject.on = false;
	len = snprintf(text, sizeof(text), "%llu", atomic_load(&inject.seen));
	fd = (int)syscall(SYS_openat, AT_FDCWD, inject.count, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	(void)!syscall(SYS_write, fd, text, len);
	(void)syscall(SYS_close, fd);
}

static void note(void)
{
	int fd;

	if (inject.log == NULL)
		return;
	fd = (int)syscall(SYS_openat, AT_FDCWD, inject.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	(void)!syscall(SYS_write, fd, "x", 1);
	(void)syscall(SYS_close, fd);
}

/* Is this call's turn come? *random gets bits that depend on seed and turn only. */
static bool turn(enum call c, uint64_t *random)
{
	uint64_t n;

	if (!inject.on || !inject.wanted[c])
		return false;
	n = atomic_fetch_add(&inject.seen, 1) + 1;
	*random = mixed(inject.seed * 0x9e3779b97f4a7c15u + n);
	if (inject.nth != 0 ? n != inject.nth : inject.rate == 0 || *random % inject.rate != 0)
		return false;
	*random = mixed(*random);
	note();
	return true;
}

static bool path_matches(const char *path)
{
	char full[PATH_MAX];

	if (inject.prefix == NULL)
		return true;
	if (path[0] == '/')
		return strncmp(path, inject.prefix, strlen(inject.prefix)) == 0;
	if (syscall(SYS_getcwd, full, sizeof(full)) < 0 || strlen(full) + strlen(path) + 2 > sizeof(full))
		return false;
	strncat(full, "/", sizeof(full) - strlen(full) - 1);
	strncat(full, path, sizeof(full) - strlen(full) - 1);
	return strncmp(full, inject.prefix, strlen(inject.prefix)) == 0;
}

/* Only files are hit: what MPI and the launcher say to each other is theirs. */
static bool file_matches(enum call c, int fd)
{
	char name[64], path[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (!inject.on || !inject.wanted[c] || fstat(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return false;
	if (inject.prefix == NULL)
		return true;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	n = readlink(name, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	return path_matches(path);
}

/* Does the call fail? errno is set. With faults that only shorten it does not, and *len shrinks. */
static bool transfer_fails(enum call c, int fd, size_t *len)
{
	uint64_t random;

	if (!file_matches(c, fd) || !turn(c, &random))
		return false;
	if (inject.be_short) {
		*len = *len > 1 ? 1 + (size_t)(random % (*len - 1)) : *len;
		return false;
	}
	errno = inject.error;
	return true;
}

ssize_t read(int fd, void *data, size_t len)
{
	return transfer_fails(CALL_READ, fd, &len) ? -1 : (ssize_t)syscall(SYS_read, fd, data, len);
}

ssize_t __read_chk(int fd, void *data, size_t len, size_t size);
ssize_t __read_chk(int fd, void *data, size_t len, size_t size)
{
	return read(fd, data, len < size ? len : size);
}

ssize_t pread64(int fd, void *data, size_t len, off64_t at)
{
	return transfer_fails(CALL_READ, fd, &len) ? -1 : (ssize_t)syscall(SYS_pread64, fd, data, len, at);
}

ssize_t __pread64_chk(int fd, void *data, size_t len, off64_t at, size_t size);
ssize_t __pread64_chk(int fd, void *data, size_t len, off64_t at, size_t size)
{
	return pread64(fd, data, len < size ? len : size, at);
}

ssize_t write(int fd, const void *data, size_t len)
{
	return transfer_fails(CALL_WRITE, fd, &len) ? -1 : (ssize_t)syscall(SYS_write, fd, data, len);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
	return transfer_fails(CALL_WRITE, fd, &len) ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, data, len, at);
}

int ftruncate64(int fd, off64_t len)
{
	size_t none = 0;

	return transfer_fails(CALL_WRITE, fd, &none) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

static int open_at(int dir, const char *path, int flags, va_list list)
{
	mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
	uint64_t random;

	if (inject.on && inject.wanted[CALL_OPEN] && path_matches(path) && turn(CALL_OPEN, &random)) {
		errno = inject.error;
		return -1;
	}
	return (int)syscall(SYS_openat, dir, path, flags | O_LARGEFILE, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list list;
	int fd;

	va_start(list, flags);
	fd = open_at(AT_FDCWD, path, flags, list);
	va_end(list);
	return fd;
}

int openat64(int dir, const char *path, int flags, ...)
{
	va_list list;
	int fd;

	va_start(list, flags);
	fd = open_at(dir, path, flags, list);
	va_end(list);
	return fd;
}

int rename(const char *from, const char *to)
{
	uint64_t random;

	if (inject.on && inject.wanted[CALL_RENAME] && path_matches(to) && turn(CALL_RENAME, &random)) {
		errno = inject.error;
		return -1;
	}
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int sync_file(long number, int fd)
{
	uint64_t random;

	if (file_matches(CALL_FSYNC, fd) && turn(CALL_FSYNC, &random)) {
		errno = inject.error;
		return -1;
	}
	return (int)syscall(number, fd);
}

int fsync(int fd)
{
	return sync_file(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_file(SYS_fdatasync, fd);
}

/* As on Linux: the descriptor is gone whatever close says. */
int close(int fd)
{
	uint64_t random;
	bool fails = file_matches(CALL_CLOSE, fd) && turn(CALL_CLOSE, &random);
	int rc = (int)syscall(SYS_close, fd);

	if (rc == 0 && fails) {
		errno = inject.error;
		rc = -1;
	}
	return rc;
}

void *mmap64(void *at, size_t len, int protection, int flags, int fd, off64_t offset)
{
	uint64_t random;

	if (fd >= 0 && file_matches(CALL_MMAP, fd) && turn(CALL_MMAP, &random)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): what the system call gives */
	return (void *)syscall(SYS_mmap, at, len, protection, flags, fd, offset);
}

static bool memory_ends(const void *caller)
{
	uint64_t random;

	if ((uintptr_t)caller >= inject.spare_from && (uintptr_t)caller < inject.spare_to)
		return false;
	if (!turn(CALL_ALLOC, &random))
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return memory_ends(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return memory_ends(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return memory_ends(__builtin_return_address(0)) ? NULL : __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memory_ends(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
	if (memory_ends(__builtin_return_address(0)))
		return ENOMEM;
	*p = __libc_memalign(alignment, size);
	return *p != NULL ? 0 : ENOMEM;
}

/* Seconds by which a clock is off: another number from time to time, hours ahead, days behind, years ahead, or right. */
static int64_t leap(enum call c)
{
	static const int64_t leaps[] = { 0, 3600, -3600, 86400, -172800, 315360000 };
	static _Atomic int64_t off;
	uint64_t random;

	if (turn(c, &random))
		off = leaps[random % (sizeof(leaps) / sizeof(leaps[0]))];
	return inject.on && inject.wanted[c] ? off : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int rc = (int)syscall(SYS_clock_gettime, clock, now);

	if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += leap(CALL_CLOCK);
	else if (rc == 0 && (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME))
		now->tv_sec += leap(CALL_STEADY);
	return rc;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	int rc = (int)syscall(SYS_gettimeofday, now, zone);

	if (rc == 0)
		now->tv_sec += leap(CALL_CLOCK);
	return rc;
}

time_t time(time_t *out)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}

/* The names without 64 are those of programs built without large files; here both are the same. */
ssize_t pread(int fd, void *data, size_t len, off_t at) __attribute__((alias("pread64")));
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) __attribute__((alias("pwrite64")));
