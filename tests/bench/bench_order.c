/* SPDX-License-Identifier: Apache-2.0 */
/* How well the reader's order mixes: a table for shards/README.md. The worst that can come: shards that hold one source each, one
 * behind the other. Displacement is |position - number| as a share of the data set; a run is a stretch of samples of one source.
 * usage: bench_order [SAMPLES [SHARDS [SAMPLES-OF-16-MIB]]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shards/reader/order.h"

enum { BATCH = 256 };

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

struct quality { double moved[3], mean_run, sources, near; uint64_t run_p99, longest; };

static void runs(const uint64_t *s, uint64_t n, uint64_t shard, struct quality *q)
{
	uint64_t *lengths = calloc((size_t)n, sizeof *lengths), count = 0, run = 0, near = 0;
	if (!lengths)
		exit(3);
	for (uint64_t p = 0; p < n; p++) {
		uint64_t away = p == 0 ? n : s[p] > s[p - 1] ? s[p] - s[p - 1] : s[p - 1] - s[p];
		near += away <= 10;
		run++;
		if (p + 1 == n || s[p + 1] / shard != s[p] / shard) {
			lengths[count++] = run;
			run = 0;
		}
	}
	qsort(lengths, (size_t)count, sizeof *lengths, compare);
	q->mean_run = (double)n / (double)count;
	q->run_p99 = lengths[count * 99 / 100];
	q->longest = lengths[count - 1];
	q->near = (double)near / (double)n;
	free(lengths);
}

static struct quality measure(const struct shard_order *o, uint64_t shard)
{
	struct quality q = {0};
	uint64_t *s = calloc((size_t)o->n, sizeof *s), sources = 0, batches = o->n / BATCH;
	uint8_t *seen = calloc((size_t)(o->n / shard) + 1, 1);
	if (!s || !seen)
		exit(3);
	shard_order_range(o, 0, (size_t)o->n, s);
	runs(s, o->n, shard, &q);
	for (uint64_t b = 0; b < batches; b++) {
		memset(seen, 0, (size_t)(o->n / shard) + 1);
		for (uint64_t p = b * BATCH; p < (b + 1) * BATCH; p++) {
			sources += !seen[s[p] / shard];
			seen[s[p] / shard] = 1;
		}
	}
	q.sources = (double)sources / (double)batches;
	for (uint64_t p = 0; p < o->n; p++)
		s[p] = s[p] > p ? s[p] - p : p - s[p];
	qsort(s, (size_t)o->n, sizeof *s, compare);
	for (int i = 0; i < 3; i++)
		q.moved[i] = (double)s[o->n * (uint64_t)(i == 0 ? 10 : i == 1 ? 50 : 90) / 100] / (double)o->n;
	free(seen);
	free(s);
	return q;
}

static void row(const char *name, struct shard_order o, uint64_t shard)
{
	if (shard_order_init(&o, NULL) != PL_OK)
		exit(3);
	struct quality q = measure(&o, shard);
	printf("| %s | %.3f, %.3f, %.3f | %.2f | %llu, %llu | %.1f | %.4f |\n", name, q.moved[0], q.moved[1], q.moved[2], q.mean_run,
	    (unsigned long long)q.run_p99, (unsigned long long)q.longest, q.sources, q.near);
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000, shards = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
	uint64_t block = argc > 3 ? strtoull(argv[3], NULL, 10) : 1600;
	if (n < BATCH || shards == 0 || shards > n || block == 0) {
		fprintf(stderr, "usage: bench_order [SAMPLES [SHARDS [SAMPLES-OF-16-MIB]]]\n");
		return 2;
	}
	printf("| order | moved by: p10, p50, p90 | run: mean | p99, longest | sources in a batch of 256 | next to a neighbour |\n"
	    "|---|---|---|---|---|---|\n");
	row("as they lie", (struct shard_order) { .n = n }, n / shards);
	static const uint32_t windows[] = { 1, 2, 4, 8, 16 };
	for (size_t i = 0; i < PL_ARRAY_LEN(windows); i++) {
		char name[64];
		snprintf(name, sizeof name, "window %u", windows[i]);
		row(name, (struct shard_order) { .n = n, .block = block, .window = windows[i], .seed = 1 }, n / shards);
	}
	row("window 2, 8 lanes", (struct shard_order) { .n = n, .block = block, .window = 2, .lanes = 8, .stride = 32, .seed = 1 },
	    n / shards);
	row("window 2, 64 lanes", (struct shard_order) { .n = n, .block = block, .window = 2, .lanes = 64, .stride = 4, .seed = 1 },
	    n / shards);
	row("one window", (struct shard_order) { .n = n, .block = n, .seed = 1 }, n / shards);
	return 0;
}
