/* SPDX-License-Identifier: Apache-2.0 */
/* Times random access: opens a shard and reads n samples drawn at random, all
 * their bytes included. usage: bench_read SHARD N; prints samples, seconds */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "libpipe/base/hash.h"
#include "shards/shard.h"
#include "shards/tar_read.h"

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: bench_read SHARD N\n");
		return 2;
	}
	unsigned long n = strtoul(argv[2], NULL, 10);
	struct shard *s;
	struct shard_sample sample;
	struct pl_err err;
	char text[2048];
	uint64_t sum = 0;
	double begun = now();
	enum pl_status status = shard_open(&s, argv[1], &err);
	if (status == PL_OK) {
		for (unsigned long i = 0; i < n && status == PL_OK; i++) {
			status = shard_read(s, pl_draw64(1, i, 0) % shard_count(s), &sample, &err);
			for (size_t p = 0; status == PL_OK && p < sample.nparts; p++)
				sum += sample.parts[p].len;
		}
		shard_close(s);
	}
	if (status != PL_OK) {
		fprintf(stderr, "bench_read: %s\n", pl_err_format(&err, text, sizeof text));
		return 3;
	}
	printf("%lu %.6f %llu\n", n, now() - begun, (unsigned long long)sum);
	return 0;
}
