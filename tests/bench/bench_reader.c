/* SPDX-License-Identifier: Apache-2.0 */
/* What the reader of a data set does in a second, of processor and of wall, in figures a line each: name, value, unit. The data should
 * lie in the page cache: each figure is the best of several rounds.
 * usage: bench_reader DATASET [THREADS [SIDE [SECONDS]]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "libpipe/base/hash.h"
#include "shards/reader/loader.h"

enum { ROUNDS = 3 };

static double wall(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int fail(const char *what, const struct pl_err *err)
{
	char text[2048];
	fprintf(stderr, "bench_reader: %s: %s\n", what, pl_err_format(err, text, sizeof text));
	return 1;
}

struct figures { double samples, bytes, images, wall, cpu, again, most; };

/* One epoch, or its first `seconds`; *best: by processor time. */
static int epoch(const struct shard_dataset *d, const struct shard_loader_options *o, double seconds, struct figures *best)
{
	struct pl_err err;
	for (int round = 0; round < ROUNDS; round++) {
		struct shard_loader *l;
		const struct shard_batch *b;
		struct figures f = {0};
		enum pl_status status;
		double w = wall(), c = cpu();
		if (shard_loader_open(&l, d, o, &err) != PL_OK)
			return fail("open", &err);
		while ((status = shard_loader_next(l, &b, &err)) == PL_OK && wall() - w < seconds) {
			for (size_t i = 0; i < b->n; i++)
				f.bytes += (double)b->samples[i].sample.length;
			shard_batch_release(l, b);
		}
		if (status != PL_OK && status != PL_END)
			return fail("next", &err);
		struct shard_loader_stats s = shard_loader_stats(l);
		f.wall = wall() - w;
		shard_loader_close(l);
		f.cpu = cpu() - c;
		f.samples = (double)s.samples;
		f.images = (double)s.images;
		f.again = f.bytes > 0 ? (double)s.frame_bytes / f.bytes : 0;
		f.most = (double)s.memory_most;
		if (round == 0 || f.cpu / f.samples < best->cpu / best->samples)
			*best = f;
	}
	return 0;
}

static void print_epoch(const char *name, const struct figures *f)
{
	printf("%s.samples %.0f /s\n", name, f->samples / f->wall);
	printf("%s.samples_cpu %.0f /cpu-s\n", name, f->samples / f->cpu);
	printf("%s.bytes_cpu %.3f GB/cpu-s\n", name, f->bytes / f->cpu / 1e9);
	printf("%s.read_again %.3f bytes uncompressed per byte\n", name, f->again);
	printf("%s.frames_memory %.1f MiB\n", name, f->most / 1048576);
}

static int first_sample(const char *path)
{
	struct pl_err err;
	double best[2] = { 1e9, 1e9 };
	for (int round = 0; round < 2 * ROUNDS; round++) {
		const struct shard_loader_options o = { .seed = (uint64_t)round };
		struct shard_dataset *d;
		struct shard_cursor *c;
		struct shard_loader *l;
		struct shard_sample s;
		const struct shard_batch *b;
		double w = wall();
		if (shard_dataset_open(&d, path, &err) != PL_OK || shard_cursor_open(&c, d, NULL, &err) != PL_OK ||
		    shard_cursor_read(c, shard_dataset_count(d) / 2, &s, &err) != PL_OK)
			return fail("first sample", &err);
		double took = wall() - w;
		best[0] = took < best[0] ? took : best[0];
		w = wall();
		if (shard_loader_open(&l, d, &o, &err) != PL_OK || shard_loader_next(l, &b, &err) != PL_OK)
			return fail("first batch", &err);
		took = wall() - w;
		best[1] = took < best[1] ? took : best[1];
		shard_loader_close(l);
		shard_cursor_close(c);
		shard_dataset_close(d);
	}
	printf("first.by_number %.3f ms\nfirst.shuffled %.3f ms\n", 1e3 * best[0], 1e3 * best[1]);
	return 0;
}

static int random_access(const struct shard_dataset *d, double seconds)
{
	struct pl_err err;
	struct shard_cursor *c;
	struct shard_sample s;
	uint64_t n = 0;
	if (shard_cursor_open(&c, d, NULL, &err) != PL_OK)
		return fail("cursor", &err);
	double w = wall(), p = cpu();
	for (; wall() - w < seconds; n++)
		if (shard_cursor_read(c, pl_draw64(1, 2, n) % shard_dataset_count(d), &s, &err) != PL_OK)
			return fail("read", &err);
	printf("random.samples %.0f /s\nrandom.samples_cpu %.0f /cpu-s\n", (double)n / (wall() - w), (double)n / (cpu() - p));
	shard_cursor_close(c);
	return 0;
}

int main(int argc, char **argv)
{
	struct shard_dataset *d;
	struct pl_err err;
	struct figures f;
	struct rusage usage;
	if (argc < 2) {
		fprintf(stderr, "usage: bench_reader DATASET [THREADS [SIDE [SECONDS]]]\n");
		return 2;
	}
	uint32_t threads = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 2;
	uint32_t side = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 224;
	double seconds = argc > 4 ? strtod(argv[4], NULL) : 3;
	struct shard_loader_options o = { .seed = 1, .batch = 256, .shuffle = SHARD_SHUFFLE_NONE };
	if (first_sample(argv[1]))
		return 1;
	if (shard_dataset_open(&d, argv[1], &err) != PL_OK)
		return fail(argv[1], &err);
	if (epoch(d, &o, seconds, &f))
		return 1;
	print_epoch("plain", &f);
	o.threads = threads;
	if (epoch(d, &o, seconds, &f))
		return 1;
	print_epoch("plain_threads", &f);
	o.shuffle = SHARD_SHUFFLE_BLOCKS;
	if (epoch(d, &o, seconds, &f))
		return 1;
	print_epoch("shuffled", &f);
	if (random_access(d, seconds))
		return 1;
	if (side) {
		o.decode = SHARD_DECODE_FIRST;
		o.image = (struct shard_image_options) { .fit = SHARD_FIT_CROP, .width = side, .height = side };
		if (epoch(d, &o, seconds, &f))
			return 1;
		print_epoch("decoded", &f);
	}
	shard_dataset_close(d);
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		printf("memory_most %.1f MiB\n", (double)usage.ru_maxrss / 1024);
	return 0;
}
