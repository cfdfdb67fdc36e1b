/* SPDX-License-Identifier: Apache-2.0 */
/* Times the join of dedup on n hashes, one in ten of them within a few bits of
 * another, and writes the hashes to FILE for a peer to join.
 * usage: bench_join N DISTANCE FILE; prints comparisons, seconds, pairs found */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "libpipe/dedup/join.h"

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fill(uint64_t (*hashes)[4], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		bool copy = i >= 10 && i % 10 == 0;
		for (uint64_t w = 0; w < 4; w++)
			hashes[i][w] = copy ? hashes[i - 7][w] : pl_draw64(1, i, w);
		for (uint64_t b = 0; copy && b < i / 10 % 48; b++) {
			uint64_t bit = pl_draw64(2, i, b) % 256;
			hashes[i][bit / 64] ^= (uint64_t)1 << bit % 64;
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: bench_join N DISTANCE FILE\n");
		return 2;
	}
	uint32_t n = (uint32_t)strtoul(argv[1], NULL, 10);
	uint64_t (*hashes)[4] = calloc(n, sizeof *hashes);
	struct pl_join join = { .n = n, .distance = (unsigned)strtoul(argv[2], NULL, 10) };
	struct pl_buf pairs;
	struct pl_err err;
	char text[2048];

	if (hashes == NULL || n < 2)
		return 3;
	fill(hashes, n);
	join.hashes = hashes;
	pl_buf_init(&pairs, 0);
	enum pl_status status = pl_file_write(argv[3], hashes, n * sizeof *hashes, &err);
	double best = 0;
	for (int round = 0; round < 3 && status == PL_OK; round++) {
		pl_buf_clear(&pairs);
		double begun = now();
		status = pl_join_part(&join, 0, 1, &pairs, &err);
		double took = now() - begun;
		best = round == 0 || took < best ? took : best;
	}
	if (status == PL_OK)
		printf("%" PRIu64 " %.6f %zu\n", (uint64_t)n * (n - 1) / 2, best, pairs.len / sizeof(struct pl_pair));
	else
		fprintf(stderr, "bench_join: %s\n", pl_err_format(&err, text, sizeof text));
	pl_buf_release(&pairs);
	free(hashes);
	return status == PL_OK ? 0 : 3;
}
