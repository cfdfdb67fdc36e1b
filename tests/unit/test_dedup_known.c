/* SPDX-License-Identifier: Apache-2.0 */
/* Corpora known before: they stay as they are, drop what is the same in new
 * ones, and their hashes are not compared with each other. */
#include "dedup_rules_fixture.h"

/* ---- known before ---- */

/* Corpus 1 was deduplicated alone; corpus 0 is, with it known. */
static void test_known(void **state)
{
	struct tc_shard *s = tc_new("00000"), *t = tc_new("00000");
	struct tc_shard *const b[] = {s}, *const a[] = {t};
	struct fixture f, old;

	(void)state;
	begin(&f);
	pair(t, "kept", 1, 1, 0, 50);
	pair(t, "dropped by kept", 2, 1, 10, 40);
	pair(t, "flat", 3, 2, 0, 40)->pdq_quality = 0;
	tc_sample(t, PL_KIND_TEXT, "text", 77);
	tc_sample(t, PL_KIND_CHAT, "chat", 78);
	tc_image(t, 50, 50, 50);
	pair(s, "near kept, and larger", 4, 1, 4, 500);
	pair(s, "near what was dropped, far from kept", 5, 1, 20, 500);
	pair(s, "flat", 6, 2, 0, 400)->pdq_quality = 0;
	pair(s, "new", 7, 3, 0, 50);
	pair(s, "new again", 8, 3, 2, 40);
	tc_sample(s, PL_KIND_TEXT, "text again", 77);
	pair(s, "a picture that a chat asks about", 9, 50, 0, 50);
	add_corpus(&f, "b", b, 1);
	add_corpus(&f, "a", a, 1);
	f.others[0].known = true;
	tp_run(1, 1, (uint64_t)1 << 30, NULL, work, &f);
	assert_int_equal(f.status, PL_ERR_USAGE);
	assert_non_null(strstr(f.text, "run plait dedup"));
	old = (struct fixture){.given = 1, .n = 1, .o = f.o};
	old.c[0] = f.c[1];
	run(&old, 1);
	assert_int_equal(sample_at(&old, 0, 0, 1), PL_REASON_NEAR_DUPLICATE);
	for (uint32_t parts = 1; parts <= 3; parts += 2) {
		static const enum pl_reason want[] = {PL_REASON_NEAR_DUPLICATE, PL_REASON_KEEP, PL_REASON_DUPLICATE_BYTES, PL_REASON_KEEP,
		    PL_REASON_NEAR_DUPLICATE, PL_REASON_DUPLICATE_TEXT, PL_REASON_KEEP};
		uint64_t before_run = digest(&old, 0);
		run(&f, parts);
		for (uint64_t row = 0; row < PL_ARRAY_LEN(want); row++)
			assert_int_equal(sample_at(&f, 0, 0, row), want[row]);
		assert_int_equal(row_at(&f, 0, 0, false, 0).survivor_corpus, 1);
		assert_int_equal(row_at(&f, 0, 0, false, 0).distance, 4);
		assert_int_equal(digest(&old, 0), before_run);
	}
	end(&f);
}

static unsigned hamming(const uint8_t *a, const uint8_t *b)
{
	unsigned d = 0;

	for (size_t i = 0; i < 32; i++)
		for (unsigned x = a[i] ^ b[i]; x; x &= x - 1)
			d++;
	return d;
}

/* Random corpora: what stays of the new one is far from all that stays, what goes is near its survivor; and again. */
static void test_known_random(void **state)
{
	static struct seen olds[4096], news[4096];
	struct tc_shard *s = tc_new("00000"), *t = tc_new("00000"), *u = tc_new("00001");
	struct tc_shard *const b[] = {s}, *const a[] = {t, u};
	struct fixture f, old;
	size_t nold, nnew, dropped = 0;
	uint64_t want;

	(void)state;
	begin(&f);
	fill_random(s, 60);
	fill_random(t, 61);
	fill_random(u, 62);
	add_corpus(&f, "b", b, 1);
	add_corpus(&f, "a", a, 2);
	f.others[0].known = true;
	old = (struct fixture){.given = 1, .n = 1, .o = f.o};
	old.c[0] = f.c[1];
	run(&old, 1);
	run(&f, 1);
	nold = read_all(&old, olds);
	nnew = read_all(&f, news);
	for (size_t i = 0; i < nnew; i++) {
		bool hashed = news[i].image.pdq_quality >= 50;
		for (size_t k = 0; k < nold && hashed && news[i].base.verdict == PL_REASON_KEEP; k++)
			assert_true(olds[k].base.verdict != PL_REASON_KEEP || olds[k].image.pdq_quality < 50 ||
			    hamming(news[i].image.pdq, olds[k].image.pdq) > 16);
		for (size_t k = 0; k < nold && hashed && news[i].base.verdict && news[i].base.survivor_corpus == 1; k++) {
			if (olds[k].shard != news[i].base.survivor_shard || olds[k].row != news[i].base.survivor_row)
				continue;
			assert_int_equal(olds[k].base.verdict, PL_REASON_KEEP);
			assert_int_equal(hamming(news[i].image.pdq, olds[k].image.pdq), news[i].base.distance);
			dropped++;
		}
	}
	assert_true(dropped > 10);
	want = digest(&f, 0);
	for (uint32_t parts = 1; parts <= 3; parts++) {
		run(&f, parts);
		assert_int_equal(digest(&f, 0), want);
	}
	end(&f);
}

/* ---- joins that leave the first hashes alone ---- */

static int compare_pairs(const void *x, const void *y)
{
	return memcmp(x, y, sizeof(struct pl_pair));
}

static void sort_pairs(struct pl_buf *b)
{
	assert_true(b->len > 0);
	qsort(b->data, b->len / sizeof(struct pl_pair), sizeof(struct pl_pair), compare_pairs);
}

static void check_fixed(uint64_t (*h)[4], uint32_t n, uint32_t fixed)
{
	struct pl_join j = {.hashes = h, .n = n, .distance = 12, .fixed = 0};
	struct pl_join_plan *p = NULL;
	struct pl_join_cost all, some;
	struct pl_buf every = {0}, want = {0}, got = {0};

	for (uint32_t part = 0; part < 3; part++)
		assert_int_equal(pl_join_part(&j, part, 3, &every, NULL), PL_OK);
	for (size_t at = 0; at < every.len; at += sizeof(struct pl_pair)) {
		struct pl_pair pair;
		memcpy(&pair, every.data + at, sizeof(pair));
		if (pair.b >= fixed)
			assert_int_equal(pl_buf_add(&want, &pair, sizeof(pair), NULL), PL_OK);
	}
	assert_true(fixed < 100 || want.len < every.len);
	sort_pairs(&want);
	assert_int_equal(pl_join_plan_new(&p, &j, (uint64_t)1 << 28, NULL), PL_OK);
	assert_int_equal(pl_join_plan_cost(p, &all, NULL), PL_OK);
	pl_join_plan_free(p);
	j.fixed = fixed;
	j.permuted = true;
	for (uint32_t part = 0; part < 5; part++)
		assert_int_equal(pl_join_part(&j, part, 5, &got, NULL), PL_OK);
	sort_pairs(&got);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data, want.data, want.len);
	pl_buf_clear(&got);
	assert_int_equal(pl_join_plan_new(&p, &j, (uint64_t)1 << 28, NULL), PL_OK);
	assert_int_equal(pl_join_plan_cost(p, &some, NULL), PL_OK);
	assert_true(fixed < 100 ? some.candidates <= all.candidates : some.candidates < all.candidates);
	for (uint64_t u = 0; u < pl_join_plan_units(p); u++)
		assert_int_equal(pl_join_unit(p, u, &got, NULL), PL_OK);
	pl_join_plan_free(p);
	sort_pairs(&got);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data, want.data, want.len);
	pl_buf_release(&every);
	pl_buf_release(&want);
	pl_buf_release(&got);
}

/* Few hashes go through tiles, many through a cover; one bucket is large enough for tiles of its own. */
static void test_fixed(void **state)
{
	enum { MANY = 6000, FEW = 1500 };
	uint64_t (*h)[4] = calloc(MANY, sizeof(*h));
	static const uint32_t fixed[] = {0, 1, 700, 1024, 1400};

	(void)state;
	assert_non_null(h);
	for (uint32_t i = 0; i < MANY; i++) {
		uint64_t base = i % 3 == 0 ? 7 : pl_draw64(3, i, 9) % 4000;
		for (unsigned w = 0; w < 4; w++)
			h[i][w] = pl_draw64(8, base, w);
		for (uint64_t k = pl_draw64(3, i, 8) % 9; k > 0; k--) {
			uint64_t bit = pl_draw64(4, i, k) % 256;
			h[i][bit / 64] ^= (uint64_t)1 << bit % 64;
		}
	}
	for (size_t i = 0; i < PL_ARRAY_LEN(fixed); i++) {
		check_fixed(h, FEW, fixed[i]);
		check_fixed(h, MANY, 4 * fixed[i]);
	}
	free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_known_random),
		cmocka_unit_test(test_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
