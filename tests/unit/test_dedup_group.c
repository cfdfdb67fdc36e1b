/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets and what is near in them: every kernel finds the pairs that comparing
 * everything finds, each once, for any size of part and bucket, even or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/dedup/cover_group.h"

enum { ROOM = 2 * PL_GROUP_BLOCK, MANY = 60000 };

struct found { struct pl_join_candidate *pair; size_t n, cap; unsigned full, dense; };

static void keep(struct found *f, struct pl_join_candidate pair)
{
	if (f->n == f->cap) {
		f->cap = f->cap ? 2 * f->cap : 1024;
		f->pair = realloc(f->pair, f->cap * sizeof(*f->pair));
		assert_non_null(f->pair);
	}
	f->pair[f->n++] = pair;
}

static unsigned ones(uint32_t x)
{
	unsigned n = 0;

	for (; x; x &= x - 1)
		n++;
	return n;
}

static bool wanted(const struct pl_grouping *g, uint64_t x, uint64_t y)
{
	uint32_t differ = (uint32_t)((x ^ y) >> 32);

	if ((differ & g->same) != 0 || (differ & g->turn) != g->turn || ones(differ) >= g->rank || (uint32_t)y < g->fixed)
		return false;
	for (uint32_t i = 0; i < g->nlower; i++) {
		if ((differ & g->lower[i]) == 0)
			return false;
	}
	return true;
}

static void compare_all(const struct pl_grouping *g, const uint64_t *e, uint32_t n, struct found *f)
{
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t k = i + 1; k < n; k++) {
			if (wanted(g, e[i], e[k]))
				keep(f, (struct pl_join_candidate){(uint32_t)e[i], (uint32_t)e[k]});
		}
	}
}

static void full(struct pl_grouping *g)
{
	struct found *f = g->ctx;

	assert_in_range(g->n, 0, g->room);
	for (uint32_t i = 0; i < g->n; i++)
		keep(f, g->out[i]);
	g->n = 0;
	f->full++;
}

static int by_index(const void *x, const void *y)
{
	uint32_t a = (uint32_t)*(const uint64_t *)x, b = (uint32_t)*(const uint64_t *)y;

	return (a > b) - (a < b);
}

static void dense(struct pl_grouping *g, const uint64_t *x, uint32_t nx, const uint64_t *y, uint32_t ny)
{
	struct found *f = g->ctx;
	uint64_t *both = malloc((nx + ny) * sizeof(*both));

	assert_non_null(both);
	assert_true(nx + ny > PL_GROUP_BLOCK);
	memcpy(both, x, nx * sizeof(*both));
	if (ny > 0)
		memcpy(both + nx, y, ny * sizeof(*both));
	qsort(both, nx + ny, sizeof(*both), by_index);
	compare_all(g, both, nx + ny, f);
	free(both);
	f->dense++;
}

static int by_pair(const void *x, const void *y)
{
	const struct pl_join_candidate *a = x, *b = y;

	if (a->a != b->a)
		return a->a < b->a ? -1 : 1;
	return (a->b > b->b) - (a->b < b->b);
}

static void sort(struct found *f)
{
	if (f->n > 0)
		qsort(f->pair, f->n, sizeof(*f->pair), by_pair);
}

/* One entry in `copies` is another one with a few bits turned; those under `alike` are all the same. */
static void make(uint64_t *e, uint32_t n, uint64_t seed, uint32_t copies, uint32_t alike)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t draw = pl_draw64(seed, i, 0);
		uint32_t bits = (uint32_t)draw & ~alike;
		if (i > 0 && i % copies == 0) {
			bits = (uint32_t)(e[pl_draw64(seed, i, 1) % i] >> 32);
			for (uint64_t k = draw >> 32 & 3u; k > 0; k--)
				bits ^= 1u << (pl_draw64(seed, i, 1 + k) & 31u);
		}
		e[i] = (uint64_t)bits << 32 | (2 * i + 1);
	}
}

struct shape { uint32_t n, same, copies, alike; unsigned rank; bool dense; };

static void check(const struct shape *s, const struct pl_grouping *how, uint64_t *entries, struct found *seen)
{
	struct found want = {0};

	compare_all(how, entries, s->n, &want);
	sort(&want);
	for (enum pl_join_kernel k = 0; k < PL_JOIN_KERNELS; k++) {
		struct pl_group_kernel kernel = pl_group_kernel(k);
		struct pl_buckets b = {.entry = calloc(pl_group_places(s->n), sizeof(uint64_t)), .end = malloc(pl_group_buckets(s->n) * sizeof(uint32_t))};
		struct pl_join_candidate out[ROOM];
		struct found got = {0};
		struct pl_grouping g = *how;
		assert_true(b.entry && b.end);
		g.b = &b;
		g.out = out;
		g.ctx = &got;
		pl_group_deal(&b, s->same, g.turn, entries, s->n, kernel.extract);
		kernel.compare(&g);
		full(&g);
		sort(&got);
		assert_int_equal(got.n, want.n);
		if (want.n > 0)
			assert_memory_equal(got.pair, want.pair, want.n * sizeof(*want.pair));
		assert_int_equal(got.dense > 0, s->dense);
		seen->n += got.n;
		seen->full += got.full;
		free(got.pair);
		free(b.entry);
		free(b.end);
	}
	free(want.pair);
}

static void test_kernels(void **state)
{
	static const struct shape shapes[] = {
	    {2, 1, 2, 0, 1, false}, {3, 0, 2, 0, 3, false}, {16, 1, 3, 0, 3, false}, {17, 0, 3, 0, 2, false}, {63, 0, 4, 0, 5, false},
	    {64, 0, 4, 0, 3, false}, {65, 0, 9, 0, 3, false}, {305, 0, 9, 0, 4, false}, {1000, 0x1F, 9, 0, 3, false}, {1000, 0xFF, 9, 0, 4, false},
	    {2000, 0x5555, 9, 0, 4, false}, {5000, 0x3F, 10, 0, 5, false}, {5000, 0xFFFF0000, 10, 0, 5, false},
	    {3000, 0x80000001, 10, 0x80000000, 3, false},      /* two of four buckets are empty, the others overfull */
	    {3000, 0xF0F0, 9, 0xF0F0, 3, false},               /* one bucket */
	    {700, 0x7, 2, 0xFFFFFFF0, 3, true},                /* all alike */
	    {MANY, 0xFFFF, 50, 0, 4, false}                    /* too many for buckets with room to spare */
	};
	static uint64_t entries[MANY];
	struct found seen = {0};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(shapes); i++) {
		const struct shape *s = &shapes[i];
		struct pl_grouping how = {.same = s->same, .rank = s->rank, .room = ROOM, .full = full, .dense = dense};
		make(entries, s->n, i, s->copies, s->alike);
		check(s, &how, entries, &seen);
		how.fixed = s->n;                                  /* half of them: indices are odd */
		check(s, &how, entries, &seen);
		how.lower[how.nlower++] = 0xFF00u;
		how.lower[how.nlower++] = 0x00FF0000u;
		check(s, &how, entries, &seen);
		if (s->same >> 31 || s->alike >> 31)
			continue;
		how.turn = 0x80000000u;
		check(s, &how, entries, &seen);
		how.fixed = how.nlower = 0;
		check(s, &how, entries, &seen);
	}
	assert_true(seen.n > 1000 && seen.full > 200);
}

static void stop(struct pl_grouping *g)
{
	full(g);
	g->st = PL_ERR_STOPPED;
}

/* Once stopped no bucket is begun. */
static void test_stop(void **state)
{
	static uint64_t entries[2000];
	struct pl_buckets b = {.entry = calloc(pl_group_places(2000), sizeof(uint64_t)), .end = malloc(pl_group_buckets(2000) * sizeof(uint32_t))};

	(void)state;
	assert_true(b.entry && b.end);
	make(entries, 2000, 7, 2, 0);
	for (enum pl_join_kernel k = 0; k < PL_JOIN_KERNELS; k++) {
		struct pl_group_kernel kernel = pl_group_kernel(k);
		struct pl_join_candidate out[ROOM];
		struct found got = {0};
		struct pl_grouping g = {.b = &b, .same = 0xF, .rank = 5, .out = out, .room = ROOM, .full = stop, .dense = dense, .ctx = &got};
		pl_group_deal(&b, g.same, 0, entries, 2000, kernel.extract);
		kernel.compare(&g);
		assert_int_equal(g.st, PL_ERR_STOPPED);
		assert_int_equal(got.full, 1);
		free(got.pair);
	}
	free(b.entry);
	free(b.end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels),
		cmocka_unit_test(test_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
