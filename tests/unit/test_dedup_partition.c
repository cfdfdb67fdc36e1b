/* SPDX-License-Identifier: Apache-2.0 */
/* The join whose hashes stay with their parts finds the pairs that the join of
 * all hashes at hand finds: any number of parts, any memory, hot buckets, fixed
 * hashes, classes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/dedup/partition_step.h"
#include "thread_parts.h"

/* Assertions in threads: cmocka's jump, so these count instead. */
static int wrong;
#define EXPECT(x) ((x) ? (void)0 : (void)__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED))

struct world {
	uint64_t (*hashes)[4];       /* permuted */
	uint32_t *classes;           /* NULL works */
	uint32_t n;
	struct pl_partition_job job;
	struct pl_partition_how how;
	struct pl_buf found[TP_MAX];
	struct pl_partition_stats stats[TP_MAX];
	struct pl_join_cost cost;
	uint64_t steps, base;        /* base: number of the first hash */
	int stop;                    /* the step at which part 0 is to stop; -1 = never */
};

static enum pl_status take(void *ctx, const struct pl_link *pairs, size_t n, struct pl_err *err)
{
	return pl_buf_add(ctx, pairs, n * sizeof(*pairs), err);
}

static bool related(uint32_t a, uint32_t b)
{
	return a != b || a == 1;
}

/* Parts hold different numbers of hashes, the second of five none. */
static uint32_t begin_of(const struct world *w, uint32_t part, uint32_t parts)
{
	if (parts == 5 && part == 2)
		part = 1;
	return (uint32_t)((uint64_t)w->n * part * part / (parts * parts));
}

static enum pl_status poll_stop(void *ctx, struct pl_err *err)
{
	(void)ctx;
	return pl_fail(err, PL_ERR_STOPPED, PL_SEV_JOB, NULL, "stop");
}

static void work(struct pl_parts *parts, void *arg)
{
	struct world *w = arg;
	struct pl_partition_job job = w->job;
	struct pl_partition *p = NULL;
	struct pl_join_cost cost;
	struct pl_err err;
	uint32_t first = begin_of(w, parts->part, parts->parts), end = begin_of(w, parts->part + 1, parts->parts);
	enum pl_status st;

	job.parts = parts;
	job.hashes = (const uint64_t (*)[4])(w->hashes + first);
	job.classes = w->classes ? w->classes + first : NULL;
	job.n = end - first;
	job.first = w->base + first;
	job.total = w->n;
	job.related = related;
	job.found = take;
	job.ctx = &w->found[parts->part];
	st = pl_partition_new(&p, &job, &w->how, &err);
	EXPECT(st == PL_OK);
	if (st != PL_OK)
		return;
	EXPECT(pl_partition_cost(p, &cost, &err) == PL_OK);
	for (uint64_t step = 0; step < pl_partition_steps(p) && st == PL_OK; step++) {
		if ((int)step == w->stop && parts->part == 0)
			parts->poll = poll_stop;
		st = pl_partition_step(p, step, &err);
		EXPECT(st == ((int)step == w->stop ? PL_ERR_STOPPED : PL_OK));
	}
	if (parts->part == 0) {
		w->cost = cost;
		w->steps = pl_partition_steps(p);
	}
	w->stats[parts->part] = pl_partition_stats(p);
	pl_partition_free(p);
}

/* ---- what is to be found ---- */

static struct world make(uint32_t n, uint64_t seed)
{
	struct world w = {.n = n, .hashes = calloc(n, sizeof(*w.hashes)), .stop = -1};

	for (uint32_t i = 0; i < n; i++) {
		uint64_t of = pl_draw64(seed, i, 9) % (i + 1);
		for (uint64_t k = 0; k < 4; k++)
			w.hashes[i][k] = i % 3 == 2 ? w.hashes[of][k] : pl_draw64(seed, i, k);
		for (uint64_t k = 0; i % 3 == 2 && k < i / 3 % 36; k++) {
			uint64_t bit = pl_draw64(seed, i, 10 + k) % 256;
			w.hashes[i][bit / 64] ^= (uint64_t)1 << bit % 64;
		}
	}
	assert_int_equal(pl_cover_permute(pl_cover_kernel_best(), 256, w.hashes, n, NULL), PL_OK);
	return w;
}

static void end(struct world *w)
{
	for (uint32_t i = 0; i < TP_MAX; i++)
		pl_buf_release(&w->found[i]);
	free(w->hashes);
	free(w->classes);
}

static int compare_links(const void *x, const void *y)
{
	return memcmp(x, y, sizeof(struct pl_link));
}

static void sort_links(struct pl_buf *b)
{
	if (b->len > 0)
		qsort(b->data, b->len / sizeof(struct pl_link), sizeof(struct pl_link), compare_links);
}

static void add_link(const struct world *w, uint32_t a, uint32_t b, uint32_t distance, struct pl_buf *out)
{
	struct pl_link l = pl_link(w->base + a, w->base + b, distance);

	if (b >= w->job.fixed && (!w->classes || related(w->classes[a], w->classes[b])))
		assert_int_equal(pl_buf_add(out, &l, sizeof(l), NULL), PL_OK);
}

/* By the plan that has all hashes at hand. */
static struct pl_buf by_plan(const struct world *w)
{
	const struct pl_join j = {.hashes = w->hashes, .n = w->n, .distance = w->job.distance, .permuted = true};
	struct pl_join_plan *p = NULL;
	struct pl_buf pairs, out;

	pl_buf_init(&pairs, 0);
	pl_buf_init(&out, 0);
	assert_int_equal(pl_join_plan_new(&p, &j, (uint64_t)1 << 30, NULL), PL_OK);
	for (uint64_t u = 0; u < pl_join_plan_units(p); u++)
		assert_int_equal(pl_join_unit(p, u, &pairs, NULL), PL_OK);
	pl_join_plan_free(p);
	for (size_t at = 0; at < pairs.len; at += sizeof(struct pl_pair)) {
		struct pl_pair q;
		memcpy(&q, pairs.data + at, sizeof(q));
		add_link(w, q.a, q.b, q.distance, &out);
	}
	pl_buf_release(&pairs);
	sort_links(&out);
	return out;
}

/* The parts' pairs, put together. */
static struct pl_buf by_parts(struct world *w, uint32_t parts)
{
	struct pl_buf all;

	pl_buf_init(&all, 0);
	for (uint32_t i = 0; i < TP_MAX; i++)
		pl_buf_clear(&w->found[i]);
	tp_run(parts, 1, 0, NULL, work, w);
	assert_int_equal(wrong, 0);
	for (uint32_t i = 0; i < parts; i++)
		assert_int_equal(pl_buf_add(&all, w->found[i].data, w->found[i].len, NULL), PL_OK);
	sort_links(&all);
	return all;
}

static void check(struct world *w, uint32_t parts, const struct pl_buf *want)
{
	struct pl_buf got = by_parts(w, parts);

	assert_int_equal(got.len, want->len);
	assert_memory_equal(got.data, want->data, want->len);
	pl_buf_release(&got);
}

/* ---- tests ---- */

static void test_distances(void **state)
{
	static const unsigned distances[] = {0, 8, 16, 31};
	static const uint32_t parts[] = {1, 2, 3, 5}, blocks[] = {1, 2, 4, 6};
	struct world w = make(20000, 1);

	(void)state;
	for (size_t d = 0; d < PL_ARRAY_LEN(distances); d++) {
		struct pl_buf want;
		w.job.distance = distances[d];
		w.how.nblocks = blocks[d];
		want = by_plan(&w);
		assert_true(want.len > 100 * sizeof(struct pl_link));
		for (size_t i = 0; i < PL_ARRAY_LEN(parts); i++) {
			w.job.memory = (uint64_t)1 << 30;
			check(&w, parts[i], &want);
			assert_int_equal(w.stats[0].passes, w.steps);
			assert_int_equal(w.stats[0].tiles, 0);
			assert_true(w.cost.keys >= w.n && w.cost.candidates >= (double)want.len / sizeof(struct pl_link) / 4);
			w.job.memory = 1;
			check(&w, parts[i], &want);
			assert_true(w.stats[0].passes > w.stats[0].groups || parts[i] > 2);
		}
		pl_buf_release(&want);
	}
	end(&w);
}

/* Every mask is in one group, of its block, and has the bits that its group is shared out by: enough for an even share. */
static void test_groups(void **state)
{
	static const uint64_t slots[] = {1, 2, 100, 6144, 1u << 30};
	uint32_t before = 0;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(slots); i++) {
		const struct pl_partition_share share = {1000000000, slots[i], 1u << 17, 0.5, 64};
		struct pl_group groups[2000];
		struct pl_cover c;
		uint8_t seen[2000] = {0};
		uint32_t n;
		assert_int_equal(pl_cover_make(&c, PL_COVER_WORDS, 256, 30, 4, 0.5, NULL), PL_OK);
		assert_in_range(c.nmasks, 500, 2000);
		n = pl_partition_groups(&c, &share, groups);
		assert_int_equal(pl_partition_groups(&c, &share, NULL), n);
		assert_true(n >= before && n <= c.nmasks);
		before = n;
		for (uint32_t g = 0; g < n; g++) {
			assert_in_range(groups[g].n, 1, PL_GROUP_MASKS);
			assert_true(groups[g].n == 1 || pl_partition_chance(0.5, groups[g].part) * (double)slots[i] < 0.13);
			assert_true(groups[g].n == 1 || pl_partition_chance(0.5, groups[g].part) * 1e9 < 131073);
			for (uint32_t k = 0; k < groups[g].n; k++) {
				uint32_t mask = groups[g].mask[k], first = c.block[groups[g].block].first;
				assert_true(mask >= first && mask < first + c.block[groups[g].block].masks);
				assert_int_equal(groups[g].part & ~c.mask[mask], 0);
				assert_int_equal(seen[mask]++, 0);
			}
		}
		for (uint32_t m = 0; m < c.nmasks; m++)
			assert_int_equal(seen[m], 1);
		assert_true(i > 3 ? n == c.nmasks : n < c.nmasks * 2 / 3);
		pl_cover_release(&c);
	}
}

/* Covers of every shape, and the one that is no cover. */
static void test_covers(void **state)
{
	struct world w = make(6000, 2);
	struct pl_buf want;

	(void)state;
	w.job.distance = 24;
	w.job.memory = 1;
	want = by_plan(&w);
	for (w.how.nblocks = 4; w.how.nblocks <= 25; w.how.nblocks += 7)
		check(&w, 3, &want);
	pl_buf_release(&want);
	w.how.nblocks = 0;
	w.job.distance = 100;   /* no cover is cheaper than looking at all of them: more than a part may hold */
	want = by_plan(&w);
	check(&w, 3, &want);
	assert_int_equal(w.steps, 1);
	assert_true(w.stats[0].tiles > 1);
	check(&w, 1, &want);
	pl_buf_release(&want);
	w.n = 1000;
	want = by_plan(&w);
	check(&w, 5, &want);
	pl_buf_release(&want);
	w.n = 0;
	want = by_plan(&w);
	check(&w, 2, &want);
	end(&w);
}

/* Thousands that agree on half of their bits are in one bucket under many masks. */
static void test_hot(void **state)
{
	struct world w = make(20000, 3);
	struct pl_buf want;

	(void)state;
	for (uint32_t i = 0; i < 6000; i++)
		w.hashes[3 * i][0] = w.hashes[3 * i][1] = 77;
	w.job.distance = 16;
	w.job.memory = (uint64_t)1 << 30;
	w.how.hot_size = 500;
	w.how.nblocks = 5;
	for (uint32_t fixed = 0; fixed < 9000; fixed += 8000) {
		w.job.fixed = fixed;
		want = by_plan(&w);
		for (uint32_t parts = 1; parts <= 5; parts++) {
			check(&w, parts, &want);
			assert_true(w.stats[0].tiles > 0);
			assert_true(w.cost.largest_bucket >= 6000 && w.cost.candidates > 6000.0 * 5999 / 2);
		}
		pl_buf_release(&want);
	}
	/* memory alone makes them hot: not even two parts hold one */
	w.how.hot_size = 0;
	w.job.memory = 1;
	want = by_plan(&w);
	check(&w, 3, &want);
	assert_true(w.stats[0].tiles > 3);
	pl_buf_release(&want);
	end(&w);
}

static void test_fixed_and_classes(void **state)
{
	struct world w = make(12000, 4);
	struct pl_buf want;

	(void)state;
	w.job.distance = 20;
	w.job.memory = 1;
	for (w.job.fixed = 0; w.job.fixed <= w.n; w.job.fixed += 4000) {
		want = by_plan(&w);
		assert_int_equal(want.len == 0, w.job.fixed == w.n);
		check(&w, 2, &want);
		check(&w, 3, &want);
		pl_buf_release(&want);
	}
	w.job.fixed = 3000;
	w.classes = calloc(w.n, sizeof(*w.classes));
	for (uint32_t i = 0; i < w.n; i++)
		w.classes[i] = (uint32_t)(pl_draw64(5, i, 0) % 3) << (i % 2 ? 0 : 10);
	want = by_plan(&w);
	assert_true(want.len > 0);
	check(&w, 1, &want);
	check(&w, 5, &want);
	w.how.hot_size = 16;   /* in tiles, too */
	check(&w, 3, &want);
	assert_true(w.stats[0].tiles > 0);
	pl_buf_release(&want);
	end(&w);
}

/* Numbers that 32 bits do not hold come back as they went. */
static void test_numbers(void **state)
{
	struct world w = make(5000, 8);
	struct pl_buf want;

	(void)state;
	w.job.distance = 16;
	w.job.memory = 1;
	w.how.nblocks = 4;
	w.base = ((uint64_t)1 << 47) - 2500;
	for (uint32_t i = 0; i < 1000; i++)
		w.hashes[3 * i][0] = w.hashes[3 * i][1] = 77;
	want = by_plan(&w);
	check(&w, 1, &want);
	check(&w, 3, &want);
	w.how.hot_size = 500;
	check(&w, 3, &want);
	assert_true(w.stats[0].tiles > 0);
	pl_buf_release(&want);
	end(&w);
}

/* A part that stops takes all along, and nobody waits for it. */
static void test_stop(void **state)
{
	struct world w = make(8000, 6);
	struct pl_buf got;

	(void)state;
	w.job.distance = 31;
	w.job.memory = 1;
	for (w.stop = 0; w.stop < 3; w.stop++) {
		got = by_parts(&w, 3);
		pl_buf_release(&got);
	}
	end(&w);
}

static void budget(struct pl_parts *parts, void *arg)
{
	struct world *w = arg;
	struct pl_partition_job job = w->job;
	struct pl_partition *p = NULL;
	struct pl_join_cost cost;

	job.parts = parts;
	job.hashes = (const uint64_t (*)[4])w->hashes;
	job.n = parts->part == 0 ? w->n : 0;
	job.total = w->n;
	job.first = parts->part == 0 ? 0 : w->n;
	EXPECT(pl_partition_new(&p, &job, &w->how, NULL) == PL_OK);
	EXPECT(pl_partition_cost(p, &cost, NULL) == PL_ERR_LIMIT);
	EXPECT(cost.candidates > 100);
	EXPECT(pl_partition_step(p, pl_partition_steps(p), NULL) == PL_ERR_USAGE);
	pl_partition_free(p);
}

static void test_budget(void **state)
{
	struct world w = make(8000, 7);

	(void)state;
	w.job.distance = 16;
	w.job.budget = 100;
	tp_run(2, 1, 0, NULL, budget, &w);
	assert_int_equal(wrong, 0);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distances),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_covers),
		cmocka_unit_test(test_hot),
		cmocka_unit_test(test_fixed_and_classes),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
