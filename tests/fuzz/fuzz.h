/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share: the entry point of libFuzzer, which replay.c
 * calls too, and input as a file for parsers that take a path. */
#ifndef TEST_FUZZ_FUZZ_H
#define TEST_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The test itself failed (no memory, no descriptor), or a parser broke its contract. */
static inline void fuzz_check(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz: %s does not hold\n", what);
		abort();
	}
}
#define FUZZ_CHECK(expr) fuzz_check((expr), #expr)

/* A path under which data can be read as a regular file in memory; fuzz_file_close ends it. */
struct fuzz_file {
	int fd;
	char path[64];
};

static inline void fuzz_file_open(struct fuzz_file *f, const uint8_t *data, size_t size)
{
	f->fd = memfd_create("fuzz", MFD_CLOEXEC);
	FUZZ_CHECK(f->fd >= 0);
	while (size > 0) {
		ssize_t n = write(f->fd, data, size);
		FUZZ_CHECK(n > 0);
		data += n;
		size -= (size_t)n;
	}
	snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", f->fd);
}

static inline void fuzz_file_close(struct fuzz_file *f)
{
	close(f->fd);
}

/* The same under a name of its own, for parsers that look at it: a link in a new directory. */
struct fuzz_named { struct fuzz_file file; char dir[512], path[600]; };

static inline void fuzz_named_open(struct fuzz_named *f, const char *name, const uint8_t *data, size_t size)
{
	const char *base = getenv("TMPDIR");

	fuzz_file_open(&f->file, data, size);
	snprintf(f->dir, sizeof f->dir, "%s/plait-fuzz-XXXXXX", base && *base ? base : "/tmp");
	FUZZ_CHECK(mkdtemp(f->dir) != NULL);
	snprintf(f->path, sizeof f->path, "%s/%s", f->dir, name);
	FUZZ_CHECK(symlink(f->file.path, f->path) == 0);
}

static inline void fuzz_named_close(struct fuzz_named *f)
{
	unlink(f->path);
	rmdir(f->dir);
	fuzz_file_close(&f->file);
}

#endif
