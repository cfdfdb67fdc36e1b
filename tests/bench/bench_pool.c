/* SPDX-License-Identifier: Apache-2.0 */
/* Times what the sandbox costs: the same pictures, scanned and transformed by a
 * pool of one worker with the seccomp filter and by one without, in turns. CPU
 * time of parent, nursery and worker together, best of the rounds.
 * usage: bench_pool SHARD... (plain tars); prints: images, seconds with, seconds without */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "libpipe/img/pool.h"
#include "shards/tar_read.h"

enum { ROUNDS = 7, MOST = 4096 };

struct picture { uint8_t *data; size_t len; };

static struct picture pictures[MOST];
static size_t count;

static double cpu_of(int who)
{
	struct rusage u;
	(void)getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec)
	     + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static enum pl_status load(const char *path, struct pl_err *err)
{
	struct shard_reader *reader;
	struct shard_sample sample;
	enum pl_status st = shard_reader_open(&reader, path, NULL, err);

	if (st != PL_OK)
		return st;
	while ((st = shard_reader_next(reader, &sample, err)) == PL_OK)
		for (size_t i = 0; i < sample.nparts && count < MOST; i++) {
			struct picture *p = &pictures[count];
			if (sample.parts[i].data == NULL || !pl_format_decodable(pl_img_sniff(sample.parts[i].data, sample.parts[i].len)))
				continue;
			p->len = sample.parts[i].len;
			p->data = malloc(p->len);
			if (p->data == NULL)
				return pl_fail_nomem(err);
			memcpy(p->data, sample.parts[i].data, p->len);
			count++;
		}
	shard_reader_close(reader);
	return st == PL_END ? PL_OK : st;
}

/* Pictures that came out; each goes through SCAN and TRANSFORM. */
static enum pl_status round_trip(enum pl_sandbox sandbox, size_t *kept, struct pl_err *err)
{
	const struct pl_pool_config config = { .workers = 1, .window = 8, .sandbox = sandbox, .limits = pl_img_limits_default() };
	struct pl_pool_job job = { .resize = { .policy = PL_POLICY_KEEP_RATIO, .size = 256, .format = PL_FORMAT_JPEG,
		.encode = { .format = PL_FORMAT_JPEG, .quality = 95 }, .reencode = true } };
	struct pl_pool_result r;
	struct pl_pool *pool;
	bool ready = true;
	enum pl_status st = pl_pool_new(&pool, &config, err);

	for (size_t n = 0; st == PL_OK && (n < 2 * count || pl_pool_pending(pool) > 0);) {
		if (n < 2 * count && pl_pool_has_room(pool)) {
			job.op = n % 2 ? PL_POOL_TRANSFORM : PL_POOL_SCAN;
			job.data = pictures[n / 2].data;
			job.len = pictures[n / 2].len;
			st = pl_pool_submit(pool, &job, err);
			n++;
		} else {
			st = pl_pool_next(pool, -1, &ready, &r, err);
			*kept += st == PL_OK && r.reason == PL_REASON_KEEP;
		}
	}
	pl_pool_free(pool);
	return st;
}

int main(int argc, char **argv)
{
	static const enum pl_sandbox ways[2] = { PL_SANDBOX_REQUIRE, PL_SANDBOX_OFF };
	double best[2] = { 1e9, 1e9 };
	size_t kept[2] = { 0, 0 };
	struct pl_err err;
	char text[2048];
	enum pl_status st = argc > 1 ? PL_OK : PL_ERR_USAGE;

	if (argc < 2)
		fprintf(stderr, "usage: bench_pool SHARD...\n");
	for (int i = 1; i < argc && st == PL_OK; i++)
		st = load(argv[i], &err);
	for (int round = 0; round < 2 * ROUNDS && st == PL_OK; round++) {
		int way = (round + round / 2) % 2;   /* each way goes first as often as second */
		double begun = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN), took;
		st = round_trip(ways[way], &kept[way], &err);
		took = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN) - begun;
		best[way] = took < best[way] ? took : best[way];
	}
	if (st != PL_OK && argc > 1)
		fprintf(stderr, "bench_pool: %s\n", pl_err_format(&err, text, sizeof text));
	if (st == PL_OK && (kept[0] != kept[1] || kept[0] == 0)) {
		fprintf(stderr, "bench_pool: %zu pictures with the sandbox, %zu without\n", kept[0], kept[1]);
		st = PL_ERR_INVALID;
	}
	if (st == PL_OK)
		printf("%zu %.6f %.6f\n", count, best[0], best[1]);
	for (size_t i = 0; i < count; i++)
		free(pictures[i].data);
	return st == PL_OK ? 0 : st == PL_ERR_USAGE ? 2 : 3;
}
