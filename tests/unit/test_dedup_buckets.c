/* SPDX-License-Identifier: Apache-2.0 */
/* Candidates of large buckets: leader by leader gives who stays as all pairs
 * would, on random buckets with random neighbours, and lists fewer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/dedup/internal.h"
#include "libpipe/dedup/near_text.h"

enum { TEXTS = 300, KEYS = 6, BITS = TEXTS / 8 + 1 };

struct world {
	uint64_t seed;
	uint64_t share;        /* of 2^16: two texts of a bucket are near */
	uint64_t width;        /* of 2^16: a text is in a bucket */
	struct pl_text_node nodes[TEXTS];
	struct pl_near_texts texts;
	struct pl_dedup d;
};

static void make(struct world *w, uint64_t seed)
{
	*w = (struct world){.seed = seed, .share = 200u << seed % 9, .width = 20000 + pl_draw64(seed, 0, 0) % 40000};
	w->texts = (struct pl_near_texts){.nodes = w->nodes, .n = TEXTS};
	for (uint32_t i = 0; i < TEXTS; i++)
		w->nodes[i].class = i < 5 ? PL_CLASS_EVAL : PL_CLASS_FIRST + (seed % 3 == 0 ? i % 2 : 0);
	w->d.near_texts = &w->texts;
	w->d.o.near_text.max_pairs = UINT64_MAX;
}

static bool in(const struct world *w, uint32_t text, uint64_t key)
{
	return pl_draw64(w->seed, 1 + key, text) % 65536 < w->width;
}

static bool near(const struct world *w, uint32_t a, uint32_t b, uint32_t *distance)
{
	uint64_t draw = pl_draw64(w->seed, 100 + a, b);

	*distance = (uint32_t)(draw >> 32) % 200;
	return draw % 65536 < w->share;
}

static size_t add_near(const struct world *w, const struct pl_text_pair *pairs, size_t n, struct pl_buf *out)
{
	for (size_t i = 0; i < n; i++) {
		struct pl_pair p = {pairs[i].a, pairs[i].b, 0};
		if (near(w, p.a, p.b, &p.distance))
			assert_int_equal(pl_buf_add(out, &p, sizeof(p), NULL), PL_OK);
	}
	return n;
}

static void stars(struct pl_buf *pairs, uint32_t *survivor, uint16_t *distance)
{
	assert_int_equal(pl_star(TEXTS, (struct pl_pair *)(void *)pairs->data, pairs->len / sizeof(struct pl_pair), survivor, distance,
	                     NULL),
	    PL_OK);
}

/* Returns the number of candidates. */
static size_t all_pairs(const struct world *w, struct pl_buf *out)
{
	size_t n = 0;

	for (uint32_t a = 0; a < TEXTS; a++) {
		for (uint32_t b = a + 1; b < TEXTS; b++) {
			struct pl_text_pair p = {a, b};
			bool met = false;
			for (uint64_t k = 0; k < KEYS; k++)
				met |= in(w, a, k) && in(w, b, k);
			if (met && pl_classes_related(w->nodes[a].class, w->nodes[b].class))
				n += add_near(w, &p, 1, out);
		}
	}
	return n;
}

static size_t take(const struct world *w, struct pl_buf to[3], struct pl_buf *out)
{
	struct pl_buf all = {0};
	size_t n;

	for (uint32_t r = 0; r < 3; r++) {
		const struct pl_text_pair *p = (const struct pl_text_pair *)(void *)to[r].data;
		for (size_t i = 0; i < to[r].len / sizeof(*p); i++) {
			assert_int_equal(pl_near_text_owner(p[i].a, 3), r);
			assert_true(p[i].a < p[i].b);
		}
		assert_int_equal(pl_buf_add(&all, to[r].data, to[r].len, NULL), PL_OK);
		pl_buf_clear(&to[r]);
	}
	n = all.len / sizeof(struct pl_text_pair);
	assert_int_equal(pl_near_text_unique(&w->d, (struct pl_text_pair *)(void *)all.data, &n, NULL), PL_OK);
	add_near(w, (const struct pl_text_pair *)(void *)all.data, n, out);
	pl_buf_release(&all);
	return n;
}

static size_t leaders(struct world *w, struct pl_buf *out)
{
	struct pl_text_buckets *b = NULL;
	struct pl_buf to[3] = {{0}}, behind = {0};
	uint8_t bits[BITS], dropped[BITS] = {0};
	uint64_t open = 1, many = 1;
	size_t listed = 0;

	assert_int_equal(pl_text_buckets_new(&b, &w->d, NULL), PL_OK);
	for (uint64_t k = 0; k < KEYS; k++) {
		struct pl_text_key keys[TEXTS];
		size_t n = 0;
		for (uint32_t i = TEXTS; i-- > 0;)
			if (in(w, i, k))
				keys[n++] = (struct pl_text_key){.key = 7, .text = i};
		assert_int_equal(pl_text_buckets_band(b, keys, n, to, 3, NULL), PL_OK);
	}
	for (; open > 0; many *= 2) {
		const uint32_t *texts;
		listed += take(w, to, out);
		pl_buf_clear(&behind);
		memset(bits, 0, sizeof(bits));
		assert_int_equal(pl_text_buckets_open(b, dropped, &open, &behind, NULL), PL_OK);
		texts = (const uint32_t *)(void *)behind.data;
		for (size_t i = 0; i < behind.len / sizeof(*texts); i++)
			bits[texts[i] / 8] |= (uint8_t)(1u << (texts[i] % 8));
		assert_int_equal(pl_text_buckets_dropped(b, (struct pl_pair *)(void *)out->data, out->len / sizeof(struct pl_pair), bits,
		                     dropped, NULL),
		    PL_OK);
		assert_int_equal(pl_text_buckets_round(b, dropped, many, to, 3, NULL), PL_OK);
		assert_true(many < 2 * TEXTS);
	}
	for (uint32_t r = 0; r < 3; r++) {
		assert_int_equal(to[r].len, 0);
		pl_buf_release(&to[r]);
	}
	pl_buf_release(&behind);
	pl_text_buckets_free(b);
	return listed;
}

static void test_as_all_pairs(void **state)
{
	size_t all = 0, listed = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		static struct world w;
		struct pl_buf exhaustive = {0}, found = {0};
		uint32_t survivor[2][TEXTS];
		uint16_t distance[2][TEXTS];

		make(&w, seed);
		all += all_pairs(&w, &exhaustive);
		listed += leaders(&w, &found);
		stars(&exhaustive, survivor[0], distance[0]);
		stars(&found, survivor[1], distance[1]);
		assert_memory_equal(survivor[0], survivor[1], sizeof(survivor[0]));
		assert_memory_equal(distance[0], distance[1], sizeof(distance[0]));
		pl_buf_release(&exhaustive);
		pl_buf_release(&found);
	}
	assert_true(all > listed + listed / 4);
}

/* A bucket of one boilerplate: one leader, as many pairs as texts. Past the limit there is an error, and no shorter list. */
static void test_boilerplate(void **state)
{
	static struct world w;
	struct pl_buf found = {0}, to[1] = {{0}};
	struct pl_text_key keys[64];
	struct pl_text_buckets *b = NULL;
	struct pl_err err;

	(void)state;
	make(&w, 1);
	w.share = w.width = 65536;
	for (uint32_t i = 0; i < TEXTS; i++)
		w.nodes[i].class = PL_CLASS_FIRST;
	assert_int_equal(leaders(&w, &found), TEXTS - 1);
	for (uint32_t i = 0; i < 64; i++)
		keys[i] = (struct pl_text_key){.key = 1, .text = i};
	w.d.o.near_text.max_pairs = 64 * 63 / 2 - 1;
	assert_int_equal(pl_text_buckets_new(&b, &w.d, NULL), PL_OK);
	assert_int_equal(pl_text_buckets_band(b, keys, 64, to, 1, &err), PL_ERR_LIMIT);
	assert_non_null(strstr(err.text, "64 texts share one key"));
	w.d.o.near_text.max_pairs++;
	assert_int_equal(pl_text_buckets_band(b, keys, 64, to, 1, &err), PL_OK);
	assert_int_equal(to[0].len, 64 * 63 / 2 * sizeof(struct pl_text_pair));
	pl_text_buckets_free(b);
	pl_buf_release(&to[0]);
	pl_buf_release(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_all_pairs),
		cmocka_unit_test(test_boilerplate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
