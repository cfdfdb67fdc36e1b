/* SPDX-License-Identifier: Apache-2.0 */
/* Stars in rounds over parts give what pl_star gives, on chains, stars, cliques
 * and random graphs; components are what a search from each node finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/dedup/components.h"
#include "libpipe/dedup/rounds.h"
#include "libpipe/dedup/star.h"

enum { NODES = 120, PAIRS = 8000, PARTS = 5 };

struct graph { uint32_t n; struct pl_pair pairs[PAIRS]; size_t npairs; };
struct answer { uint32_t survivor[NODES]; uint16_t distance[NODES]; };

static void add(struct graph *g, uint32_t a, uint32_t b, uint32_t distance)
{
	assert_true(g->npairs < PAIRS);
	g->pairs[g->npairs++] = (struct pl_pair){a < b ? a : b, a < b ? b : a, distance};
}

/* Node i has the number base + i. Part p has the nodes from n * p / parts on. Returns the rounds. */
static unsigned by_rounds(const struct graph *g, uint32_t parts, uint64_t base, struct answer *a)
{
	struct pl_star_part part[PARTS];
	struct pl_link *own[PARTS];
	uint8_t *states = calloc(pl_star_bytes(base + g->n) + 1, 1);
	struct pl_buf news = {0};
	unsigned rounds = 0;
	size_t open;

	assert_non_null(states);
	for (uint32_t p = 0; p < parts; p++) {
		uint64_t first = base + g->n * p / parts, end = base + g->n * (p + 1) / parts;
		size_t n = 0;
		own[p] = calloc(g->npairs + 1, sizeof(*own[p]));
		for (size_t i = 0; i < g->npairs; i++)
			if (base + g->pairs[i].b >= first && base + g->pairs[i].b < end)
				own[p][n++] = pl_link(base + g->pairs[i].a, base + g->pairs[i].b, g->pairs[i].distance);
		assert_int_equal(pl_star_sort(first, end, own[p], n, UINT64_MAX, NULL, NULL, NULL), PL_OK);
		assert_int_equal(pl_star_part_init(&part[p], first, end, own[p], n, NULL, NULL, &news, NULL), PL_OK);
	}
	do {
		size_t n = news.len / sizeof(pl_star_news);
		pl_star_apply(states, (const pl_star_news *)(const void *)news.data, n);
		pl_buf_clear(&news);
		open = 0;
		for (uint32_t p = 0; p < parts; p++) {
			assert_int_equal(pl_star_round(&part[p], states, &news, NULL), PL_OK);
			open += part[p].nopen;
		}
		rounds++;
		assert_true(rounds <= g->n + 1);
	} while (open > 0);
	pl_star_apply(states, (const pl_star_news *)(const void *)news.data, news.len / sizeof(pl_star_news));
	for (uint32_t p = 0; p < parts; p++) {
		uint64_t survivor[NODES], first = part[p].first - base, n = part[p].end - part[p].first;
		assert_int_equal(pl_star_part_end(&part[p], states, survivor, a->distance + first, NULL), PL_OK);
		for (uint64_t i = 0; i < n; i++)
			a->survivor[first + i] = survivor[i] == PL_NODE_NONE ? PL_STAR_KEPT : (uint32_t)(survivor[i] - base);
		pl_star_part_release(&part[p]);
		free(own[p]);
	}
	pl_buf_release(&news);
	free(states);
	return rounds;
}

static void check(const struct graph *g, uint64_t base)
{
	struct graph copy = *g;
	struct answer want, got;

	assert_int_equal(pl_star(g->n, copy.pairs, copy.npairs, want.survivor, want.distance, NULL), PL_OK);
	for (uint32_t parts = 1; parts <= PARTS; parts++) {
		memset(&got, 0xaa, sizeof(got));
		by_rounds(g, parts, base, &got);
		assert_memory_equal(got.survivor, want.survivor, g->n * sizeof(got.survivor[0]));
		assert_memory_equal(got.distance, want.distance, g->n * sizeof(got.distance[0]));
	}
}

static void test_shapes(void **state)
{
	static struct graph g;

	(void)state;
	for (uint32_t shape = 0; shape < 5; shape++) {
		for (g.n = 0; g.n <= 60; g.n += 7) {
			g.npairs = 0;
			for (uint32_t i = 1; i < g.n; i++) {
				if (shape == 0)
					add(&g, i - 1, i, 30);                /* a chain in the order */
				else if (shape == 1)
					add(&g, 0, i, i % 7);                 /* a star */
				else if (shape == 2)
					add(&g, g.n - 1, i - 1, 2);           /* its centre last */
				else if (shape == 3)
					add(&g, i - 1, (i + g.n / 2) % g.n == i - 1 ? i : (i + g.n / 2) % g.n, 4);
				for (uint32_t k = 0; shape == 4 && k < i; k++)
					add(&g, k, i, (i + k) % 31);          /* a clique */
			}
			check(&g, 0);
		}
	}
}

/* A chain whose links change between parts takes as many rounds, no more. */
static void test_alternating(void **state)
{
	static struct graph g;
	struct answer a;

	(void)state;
	g.n = 40;
	g.npairs = 0;
	for (uint32_t i = 0; i < 20; i++) {
		add(&g, i, 20 + i, 1);
		if (i > 0)
			add(&g, 19 + i, i, 1);
	}
	check(&g, 0);
	assert_true(by_rounds(&g, 2, 0, &a) <= 41);
}

static void test_random(void **state)
{
	static struct graph g;

	(void)state;
	for (uint64_t seed = 0; seed < 1000; seed++) {
		uint32_t per = 1 + (uint32_t)(seed % 23);
		g.n = 2 + (uint32_t)(pl_draw64(seed, 0, 1) % (NODES - 2));
		g.npairs = 0;
		for (uint32_t a = 0; a < g.n; a++)
			for (uint32_t b = a + 1; b < g.n; b++)
				if (pl_draw64(seed, a, b) % (g.n * 4) < per && g.npairs < PAIRS)
					add(&g, a, b, (uint32_t)(pl_draw64(seed + 7000, a, b) % 6));
		check(&g, 0);
	}
}

/* Numbers that 32 bits do not hold. */
static void test_many(void **state)
{
	static struct graph g;

	(void)state;
	g.n = 50;
	for (uint32_t i = 1; i < g.n; i++) {
		add(&g, i - 1, i, 30);
		add(&g, i / 3, i, i % 5);
	}
	check(&g, ((uint64_t)1 << 32) - 20);
}

static void test_refusals(void **state)
{
	struct pl_link outside = pl_link(1, 9, 2), backward = pl_link(3, 2, 1), far = pl_link(2, 5, 257);

	(void)state;
	assert_int_equal(pl_star_sort(4, 8, &outside, 1, UINT64_MAX, NULL, NULL, NULL), PL_ERR_INVALID);
	assert_int_equal(pl_star_sort(0, 8, &backward, 1, UINT64_MAX, NULL, NULL, NULL), PL_ERR_INVALID);
	assert_int_equal(pl_star_sort(4, 8, &far, 1, UINT64_MAX, NULL, NULL, NULL), PL_ERR_INVALID);
}

/* The smallest node that can be reached. */
static uint32_t smallest(const struct graph *g, uint32_t node, bool *seen)
{
	uint32_t least = node;

	seen[node] = true;
	for (size_t i = 0; i < g->npairs; i++) {
		uint32_t other = g->pairs[i].a == node ? g->pairs[i].b : g->pairs[i].b == node ? g->pairs[i].a : node;
		if (!seen[other]) {
			uint32_t x = smallest(g, other, seen);
			least = x < least ? x : least;
		}
	}
	return least;
}

/* Thinned in parts, then put together, as the job does. */
static void test_components(void **state)
{
	static struct graph g;

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		uint64_t base = seed % 2 << 40;
		uint32_t root[NODES], parts = 1 + (uint32_t)(seed % PARTS);
		struct pl_buf all = {0}, out = {0};
		g.n = 60;
		g.npairs = 0;
		for (uint32_t i = 0; i < seed % 60; i++) {
			uint32_t a = (uint32_t)(pl_draw64(seed, i, 0) % g.n), b = (uint32_t)(pl_draw64(seed, i, 1) % g.n);
			if (a != b)
				add(&g, a, b, 1);
		}
		for (uint32_t p = 0; p < parts; p++) {
			struct pl_link own[PAIRS];
			size_t n = 0;
			for (size_t i = 0; i < g.npairs; i++)
				if (g.pairs[i].b % parts == p)
					own[n++] = pl_link(base + g.pairs[i].a, base + g.pairs[i].b, 1);
			assert_int_equal(pl_components_thin(own, &n, NULL, NULL, NULL), PL_OK);
			assert_true(n < g.n);
			assert_int_equal(pl_buf_add(&all, own, n * sizeof(own[0]), NULL), PL_OK);
		}
		assert_int_equal(pl_components_first((struct pl_link *)(void *)all.data, all.len / sizeof(struct pl_link), NULL, NULL, &out, NULL), PL_OK);
		for (uint32_t i = 0; i < g.n; i++)
			root[i] = i;
		for (size_t i = 0; i < out.len / sizeof(struct pl_link); i++) {
			const struct pl_link *l = (struct pl_link *)(void *)out.data + i;
			root[pl_link_b(l) - base] = (uint32_t)(l->a - base);
		}
		for (uint32_t i = 0; i < g.n; i++) {
			bool seen[NODES] = {false};
			assert_int_equal(root[i], smallest(&g, i, seen));
		}
		pl_buf_release(&all);
		pl_buf_release(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_alternating),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_components),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
