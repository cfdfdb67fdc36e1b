/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over its corpus with the ordinary compiler, so that every
 * make check does: each seed whole, cut short at places spread over it, and
 * with single bytes changed. Prints TAP. usage: fuzz_NAME DIRECTORY */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>

#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"

enum { VARIANTS = 64 };

/* The input in memory of its exact size, so that a sanitizer sees a read past its end. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);
	FUZZ_CHECK(copy != NULL);
	memcpy(copy, data, size);
	(void)LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void run_seed(uint8_t *data, size_t size)
{
	run(data, size);
	for (size_t i = 0; i < VARIANTS; i++)
		run(data, size * i / VARIANTS);
	for (size_t i = 0; size > 0 && i < VARIANTS; i++) {
		uint64_t draw = pl_draw64(size, i, 0);
		uint8_t *p = &data[draw % size];
		uint8_t was = *p;
		*p = (uint8_t)(was ^ (1u << (draw >> 32) % 8));
		run(data, size);
		*p = was;
	}
}

static int only_files(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	struct dirent **entries;
	int n = argc == 2 ? scandir(argv[1], &entries, only_files, alphasort) : -1;

	if (n < 1) {
		fprintf(stderr, "usage: %s DIRECTORY (with at least one file)\n", argv[0]);
		return 2;
	}
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		struct pl_err err;
		char *data, *path = pl_path_join(argv[1], entries[i]->d_name);
		size_t size;
		FUZZ_CHECK(path != NULL);
		FUZZ_CHECK(pl_file_read(path, (size_t)1 << 20, &data, &size, &err) == PL_OK);
		run_seed((uint8_t *)data, size);
		printf("ok %d - %s\n", i + 1, entries[i]->d_name);
		fflush(stdout);
		free(data);
		free(path);
		free(entries[i]);
	}
	free(entries);
	return fflush(stdout) == 0 ? 0 : 1;
}
