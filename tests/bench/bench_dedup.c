/* SPDX-License-Identifier: Apache-2.0 */
/* Times the cover join against the exhaustive one on random hashes with 128 of
 * 256 bits set, one in ten of them a near copy of another. The exhaustive join
 * is measured on a slice of its parts and extrapolated by the number of pairs.
 * usage: bench_dedup [-m N] [-l N] [-o FILE] [NAME...]   NAME: what to measure, see below;
 * -m, -l: the hashes of "1m" and "10m"; -o: write those of "1m" there, 32 bytes each, for others to join. The
 * least of BENCH_ROUNDS (3) runs counts, of more where they are short. Prints name, unit, ours, peer, ratio.
 * bench_dedup table [N...]: the model beside the measurement. */
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "libpipe/base/hash.h"
#include "libpipe/dedup/cover_join.h"

#define NO_MEMORY_LIMIT ((uint64_t)1 << 40)
#define A_WHILE 5.0   /* seconds */
#define HUGE_PAGE ((size_t)2 << 20)

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);   /* the machine may be shared */
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool get(const uint64_t *h, uint64_t bit)
{
	return h[bit / 64] >> bit % 64 & 1u;
}

static void flip(uint64_t *h, uint64_t bit)
{
	h[bit / 64] ^= (uint64_t)1 << bit % 64;
}

/* Flip `n` set or unset bits. */
static void flip_some(uint64_t *h, bool set, unsigned n, uint64_t seed)
{
	while (n > 0) {
		seed = pl_mix64(seed);
		if (get(h, seed >> 56) == set) {
			flip(h, seed >> 56);
			n--;
		}
	}
}

static uint64_t (*make_hashes(uint32_t n))[4]
{
	size_t size = ((size_t)n * 32 / HUGE_PAGE + 1) * HUGE_PAGE;
	uint64_t (*h)[4] = aligned_alloc(HUGE_PAGE, size);

	if (!h)
		return NULL;
	(void)madvise(h, size, MADV_HUGEPAGE);
	for (uint32_t i = 0; i < n; i++) {
		int excess = -128;
		if (i >= 10 && i % 10 == 0) {
			memcpy(h[i], h[i - 7], sizeof(h[i]));
			flip_some(h[i], true, i / 10 % 24, i);
			flip_some(h[i], false, i / 10 % 24, ~(uint64_t)i);
			continue;
		}
		for (uint64_t w = 0; w < 4; w++)
			h[i][w] = pl_draw64(1, i, w);
		for (unsigned bit = 0; bit < 256; bit++)
			excess += get(h[i], bit);
		flip_some(h[i], excess > 0, (unsigned)(excess > 0 ? excess : -excess), i);
	}
	return h;
}

static int report(const struct pl_err *err)
{
	char text[2048];

	fprintf(stderr, "bench_dedup: %s\n", pl_err_format(err, text, sizeof(text)));
	return 3;
}

struct result { double seconds, predicted, candidates; uint32_t masks, blocks; size_t pairs; };

/* Plan and all units, once; 0 or an exit code. */
static int run_cover(uint64_t (*h)[4], uint32_t n, unsigned distance, bool permuted, bool cost, struct result *r)
{
	const struct pl_join j = {.hashes = h, .n = n, .distance = distance, .permuted = permuted};
	struct pl_join_plan *p = NULL;
	struct pl_join_cost c = {0};
	struct pl_buf out;
	struct pl_err err;
	double begun = now();
	enum pl_status st = pl_join_plan_new(&p, &j, NO_MEMORY_LIMIT, &err);

	pl_buf_init(&out, (size_t)16 << 30);
	for (uint64_t u = 0; st == PL_OK && u < pl_join_plan_units(p); u++)
		st = pl_join_unit(p, u, &out, &err);
	*r = (struct result){.seconds = now() - begun, .pairs = out.len / sizeof(struct pl_pair)};
	if (st == PL_OK && cost)
		st = pl_join_plan_cost(p, &c, &err);
	if (st == PL_OK) {
		r->predicted = c.seconds;
		r->candidates = c.candidates;
		r->masks = p->cover.nmasks;
		r->blocks = p->cover.nblocks;
	}
	pl_join_plan_free(p);
	pl_buf_release(&out);
	return st == PL_OK ? 0 : report(&err);
}

/* One of our times: n hashes at a distance, the best of its runs. */
struct series { uint32_t n; unsigned distance; bool wanted; uint64_t (*h)[4]; int runs; double spent; struct result best; };

/* The one that has run least, of those that have not run `rounds` times and for a while. */
static struct series *next_to_run(struct series *all, size_t n, int rounds)
{
	struct series *least = NULL;

	for (struct series *s = all; s < all + n; s++) {
		if (s->wanted && (s->runs < rounds || s->spent < A_WHILE) && (!least || s->spent < least->spent))
			least = s;
	}
	return least;
}

/* In turn, so that what disturbs the machine disturbs all of them, and each has a part of the quiet moments. */
static int time_series(struct series *all, size_t n, int rounds)
{
	int bad = 0;

	for (size_t i = 0; i < n && bad == 0; i++) {
		if (all[i].wanted && !(all[i].h = make_hashes(all[i].n)))
			bad = 3;
	}
	for (struct series *s; bad == 0 && (s = next_to_run(all, n, rounds));) {
		struct result r;
		bad = run_cover(s->h, s->n, s->distance, s->runs > 0, false, &r);
		if (s->runs++ == 0 || r.seconds < s->best.seconds)
			s->best = r;
		s->spent += r.seconds;
	}
	for (size_t i = 0; i < n; i++)
		free(all[i].h);
	return bad;
}

/* Seconds of the exhaustive join of n hashes, from a slice of some 10^10 pairs. */
static int time_brute(uint32_t n, unsigned distance, double *seconds)
{
	uint64_t (*h)[4] = make_hashes(n);
	const struct pl_join j = {.hashes = h, .n = n, .distance = distance};
	double pairs = (double)n * ((double)n - 1) / 2;
	uint32_t parts = pairs > 1e10 ? (uint32_t)(pairs / 1e10) : 1;
	struct pl_buf out;
	struct pl_err err;
	int bad = h ? 0 : 3;

	for (uint32_t i = 0; i < 2 && bad == 0; i++) {
		double begun = now(), took;
		pl_buf_init(&out, (size_t)16 << 30);
		if (pl_join_part(&j, i % parts, parts, &out, &err) != PL_OK)
			bad = report(&err);
		took = (now() - begun) * parts;
		*seconds = i == 0 || took < *seconds ? took : *seconds;
		pl_buf_release(&out);
	}
	free(h);
	return bad;
}

static void line(const char *name, const char *unit, double ours, double peer)
{
	printf("%s\t%s\t%.4g\t%.4g\t%.4g\n", name, unit, ours, peer, peer / ours);
	fflush(stdout);
}

static bool wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++) {
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

static int rounds(void)
{
	const char *said = getenv("BENCH_ROUNDS");
	long n = said ? strtol(said, NULL, 10) : 3;

	return n < 1 ? 1 : n > 100 ? 100 : (int)n;
}

static int table(char **sizes)
{
	static const unsigned distances[] = {16, 31};
	char small[] = "100000", middle[] = "1000000", large[] = "10000000", *usual[] = {small, middle, large, NULL};
	int bad = 0;

	puts("n\tdistance\tblocks\tmasks\tcandidates\tpredicted_s\tmeasured_s\tbrute_s\tpairs");
	for (char **s = *sizes ? sizes : usual; *s && bad == 0; s++) {
		uint32_t n = (uint32_t)strtoul(*s, NULL, 10);
		for (size_t i = 0; i < PL_ARRAY_LEN(distances) && bad == 0; i++) {
			uint64_t (*h)[4] = make_hashes(n);
			struct result r = {0}, again;
			double brute = 0, best;
			bad = h ? run_cover(h, n, distances[i], false, true, &r) : 3;
			best = r.seconds;
			for (int more = 1; more < rounds() && bad == 0; more++) {
				bad = run_cover(h, n, distances[i], true, false, &again);
				best = again.seconds < best ? again.seconds : best;
			}
			free(h);
			if (bad == 0)
				bad = time_brute(n, distances[i], &brute);
			if (bad != 0)
				return bad;
			printf("%u\t%u\t%u\t%u\t%.3g\t%.3g\t%.3g\t%.3g\t%zu\n", (unsigned)n, distances[i], (unsigned)r.blocks,
			    (unsigned)r.masks, r.candidates, r.predicted, best, brute,
			    r.pairs);
			fflush(stdout);
		}
	}
	return bad;
}

/* Peak memory per hash, hashes and join together; the first thing a process does, since peaks stay. */
static int memory(uint32_t n)
{
	struct rusage before, after;
	struct series once = {.n = n, .distance = 16, .wanted = true, .spent = A_WHILE};
	int bad;

	getrusage(RUSAGE_SELF, &before);
	bad = time_series(&once, 1, 1);
	getrusage(RUSAGE_SELF, &after);
	if (bad == 0)
		line("dedup.memory", "bytes/hash", (double)(after.ru_maxrss - before.ru_maxrss) * 1024 / n, 64);
	return bad;
}

static int write_hashes(const char *path, uint32_t n)
{
	uint64_t (*h)[4] = make_hashes(n);
	FILE *f = h ? fopen(path, "wb") : NULL;
	bool good = f && fwrite(h, sizeof(*h), n, f) == n;

	if (f && fclose(f) != 0)
		good = false;
	free(h);
	if (!good)
		fprintf(stderr, "bench_dedup: '%s' cannot be written\n", path);
	return good ? 0 : 3;
}

static int measure(char **names, uint32_t million, uint32_t more)
{
	bool ratio = wanted("dedup.1m.d16.d31", names), growth = wanted("dedup.growth", names);
	bool brute31 = wanted("dedup.1m.d31.brute", names), brute16 = wanted("dedup.10m.d16.brute", names);
	struct series ours[] = {{.n = million, .distance = 16, .wanted = ratio || growth},
	    {.n = million, .distance = 31, .wanted = ratio || brute31}, {.n = more, .distance = 16, .wanted = growth || brute16}};
	double near, far, large, brute = 0;
	int bad = 0;

	if (wanted("dedup.memory", names))
		bad = memory(more);
	if (bad == 0)
		bad = time_series(ours, PL_ARRAY_LEN(ours), rounds());
	near = ours[0].best.seconds;
	far = ours[1].best.seconds;
	large = ours[2].best.seconds;
	if (bad == 0 && ratio)
		line("dedup.1m.d16.d31", "core-seconds (peer: the same at distance 31)", near, far);
	if (bad == 0 && growth)
		line("dedup.growth", "core-seconds at distance 16 (ours: 1m, peer: 10m)", near, large);
	if (bad == 0 && brute31 && (bad = time_brute(million, 31, &brute)) == 0)
		line("dedup.1m.d31.brute", "core-seconds (peer: exhaustive, extrapolated from a slice)", far, brute);
	if (bad == 0 && brute16 && (bad = time_brute(more, 16, &brute)) == 0)
		line("dedup.10m.d16.brute", "core-seconds (peer: exhaustive, extrapolated from a slice)", large, brute);
	return bad;
}

int main(int argc, char **argv)
{
	uint32_t million = 1000000, more = 10000000;
	const char *hashes = NULL;

	(void)argc;
	argv++;
	/* Memory stays with the process from run to run: how long a kernel, or a hypervisor behind it, takes to find pages is not ours. */
	(void)mallopt(M_MMAP_MAX, 0);
	(void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
	while (argv[0] && argv[0][0] == '-' && argv[1]) {
		uint32_t n = (uint32_t)strtoul(argv[1], NULL, 10);
		if (strcmp(argv[0], "-m") == 0)
			million = n;
		else if (strcmp(argv[0], "-l") == 0)
			more = n;
		else if (strcmp(argv[0], "-o") == 0)
			hashes = argv[1];
		argv += 2;
	}
	if (argv[0] && strcmp(argv[0], "table") == 0)
		return table(argv + 1);
	return hashes && write_hashes(hashes, million) != 0 ? 3 : measure(argv, million, more);
}
