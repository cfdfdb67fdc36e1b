/* SPDX-License-Identifier: Apache-2.0 */
/* Dedup from tables to verdict tables: the rule of each kind, the total order,
 * evaluation sets, the account, and independence from parts and argument order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/dedup/dedup.h"
#include "table_corpus.h"

static const struct pl_dedup_options everything = {
    .near = true, .distance = 16, .min_quality = 50, .text = true, .across = true};

struct fixture { char *dir; struct pl_corpus c[3]; size_t n; };

static void add_corpus(struct fixture *f, const char *name, struct tc_shard *const *shards, size_t n)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	tc_write(&f->c[f->n++], path, name, shards, n);
	for (size_t i = 0; i < n; i++)
		free(shards[i]);
}

static void begin(struct fixture *f)
{
	*f = (struct fixture){.dir = tc_tempdir()};
}

static void end(struct fixture *f)
{
	for (size_t i = 0; i < f->n; i++)
		pl_corpus_close(&f->c[i]);
	tc_remove(f->dir);
}

/* Dedup corpora order[0..n-1] against the rest; all verdict tables are written. */
static struct pl_dedup_stats run(struct fixture *f, const size_t *order, size_t n,
    const struct pl_dedup_options *o, struct pl_account *account)
{
	struct pl_corpus *in[3] = {0}, *evals[3] = {0};
	size_t m = 0;
	struct pl_dedup *d = NULL;
	struct pl_dedup_stats stats;
	struct pl_err err = {0};
	char text[160] = "";

	for (size_t i = 0; i < n; i++)
		in[i] = &f->c[order[i]];
	for (size_t i = 0; i < f->n; i++) {
		bool given = false;
		for (size_t k = 0; k < n; k++)
			given |= order[k] == i;
		if (!given)
			evals[m++] = &f->c[i];
	}
	if (pl_dedup_new(&d, in, n, evals, m, o, NULL, &err) != PL_OK)
		fail_msg("%s", err.text);
	assert_int_equal(pl_dedup_load(d, NULL), PL_OK);
	for (uint64_t u = pl_dedup_units(d); u-- > 0;)
		assert_int_equal(pl_dedup_join(d, u, NULL), PL_OK);
	assert_int_equal(pl_dedup_decide(d, NULL), PL_OK);
	*account = (struct pl_account){0};
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < in[i]->nshards; k++)
			assert_int_equal(pl_dedup_write(d, i, k, account, NULL), PL_OK);
	}
	stats = pl_dedup_stats(d);
	pl_dedup_free(d);
	if (!pl_account_balances(account, text))
		fail_msg("%s", text);
	return stats;
}

static enum pl_reason sample_at(const struct fixture *f, size_t corpus, size_t shard, uint64_t row)
{
	struct pl_tables t;
	enum pl_reason why;

	assert_int_equal(pl_tables_open(&t, &f->c[corpus], shard, NULL), PL_OK);
	why = pl_sample_verdict(&t, row);
	pl_tables_close(&t);
	return why;
}

static struct pl_dedup_row row_at(
    const struct fixture *f, size_t corpus, size_t shard, bool image, uint64_t row)
{
	struct pl_tables t;
	struct pl_dedup_row r;

	assert_int_equal(pl_tables_open(&t, &f->c[corpus], shard, NULL), PL_OK);
	memcpy(&r, pl_npy_row(image ? &t.dedup_images : &t.dedup, row), sizeof(r));
	pl_tables_close(&t);
	return r;
}

static const size_t first[] = {0}, both[] = {0, 1}, swapped[] = {1, 0};

static void test_pairs(void **state)
{
	struct tc_shard *s = tc_new("00000"), *t = tc_new("00001");
	struct tc_shard *const shards[] = {s, t};
	struct fixture f;
	struct pl_account a;
	struct pl_dedup_stats stats;
	struct pl_dedup_row r;

	(void)state;
	begin(&f);
	tc_sample(s, PL_KIND_PAIRS, "small", 1);
	tc_image(s, 1, 1, 100);
	tc_sample(
	    s, PL_KIND_PAIRS, "far", 1); /* 17 bits from the large one; equal captions do not matter */
	tc_flip(tc_image(s, 2, 1, 90), 17);
	tc_sample(s, PL_KIND_PAIRS, "same bytes", 2);
	tc_image(s, 3, 3, 50);
	tc_sample(t, PL_KIND_PAIRS, "large", 3);
	tc_image(t, 4, 1, 200);
	tc_sample(t, PL_KIND_PAIRS, "near", 4);
	tc_flip(tc_image(t, 5, 1, 150), 16);
	tc_sample(t, PL_KIND_PAIRS, "same bytes 2", 5);
	tc_image(t, 3, 3, 50);
	add_corpus(&f, "a", shards, 2);
	stats = run(&f, first, 1, &everything, &a);
	assert_int_equal(sample_at(&f, 0, 0, 0), PL_REASON_NEAR_DUPLICATE);
	assert_int_equal(sample_at(&f, 0, 0, 1), PL_REASON_KEEP);
	assert_int_equal(sample_at(&f, 0, 1, 0), PL_REASON_KEEP);
	assert_int_equal(sample_at(&f, 0, 1, 1), PL_REASON_NEAR_DUPLICATE);
	r = row_at(&f, 0, 1, false, 1);
	assert_int_equal(r.distance, 16);
	assert_int_equal(r.survivor_key, pl_hash64("large", 5));
	assert_int_equal(r.survivor_shard, 1);
	assert_int_equal(r.survivor_row, 0);
	/* of two equal ones the smaller key hash stays */
	assert_int_not_equal(sample_at(&f, 0, 0, 2), sample_at(&f, 0, 1, 2));
	assert_int_equal(
	    sample_at(&f, 0, pl_hash64("same bytes", 10) > pl_hash64("same bytes 2", 12) ? 0 : 1, 2),
	    PL_REASON_DUPLICATE_BYTES);
	assert_int_equal(stats.images, 6);
	assert_int_equal(stats.distinct_hashes, 4);
	assert_int_equal(stats.dropped_bytes, 1);
	assert_int_equal(stats.dropped_near, 2);
	assert_int_equal(stats.dropped_text, 0);
	assert_int_equal(a.samples_in, 6);
	assert_int_equal(a.samples_out, 3);
	assert_int_equal(a.images_out, 3);
	end(&f);
}

/* Flat pictures have meaningless hashes: only equal bytes count. */
static void test_low_quality(void **state)
{
	struct tc_shard *s = tc_new("00000");
	struct tc_shard *const shards[] = {s};
	struct fixture f;
	struct pl_account a;
	struct pl_dedup_stats stats;

	(void)state;
	begin(&f);
	for (int i = 0; i < 4; i++) {
		char key[2] = {(char)('a' + i), 0};
		tc_sample(s, PL_KIND_PAIRS, key, 0);
		tc_image(s, i < 2 ? 7 : (uint64_t)i, 1, 100 - (uint32_t)i)->pdq_quality = 10;
	}
	add_corpus(&f, "a", shards, 1);
	stats = run(&f, first, 1, &everything, &a);
	assert_int_equal(sample_at(&f, 0, 0, 0), PL_REASON_KEEP);
	assert_int_equal(sample_at(&f, 0, 0, 1), PL_REASON_DUPLICATE_BYTES);
	assert_int_equal(sample_at(&f, 0, 0, 2), PL_REASON_KEEP);
	assert_int_equal(sample_at(&f, 0, 0, 3), PL_REASON_KEEP);
	assert_int_equal(stats.low_quality, 4);
	assert_int_equal(stats.distinct_hashes, 0);
	end(&f);
}

static void test_interleaved(void **state)
{
	struct tc_shard *s = tc_new("00000");
	struct tc_shard *const shards[] = {s};
	struct fixture f;
	struct pl_account a;

	(void)state;
	begin(&f);
	tc_sample(s, PL_KIND_INTERLEAVED, "two images, one known", 11);
	tc_image(s, 1, 1, 50);
	tc_image(s, 2, 2, 50);
	tc_sample(s, PL_KIND_INTERLEAVED, "one image, known", 12);
	tc_image(s, 1, 1, 40);
	tc_sample(s, PL_KIND_PAIRS, "the known one", 13);
	tc_image(s, 1, 1, 100);
	/* equal texts: the one with more images stays, and its images are not lost to the other's */
	tc_sample(s, PL_KIND_INTERLEAVED, "text twin, one image", 14);
	tc_image(s, 4, 4, 100);
	tc_sample(s, PL_KIND_INTERLEAVED, "text twin, two images", 14);
	tc_image(s, 4, 4, 60);
	tc_image(s, 5, 5, 60);
	add_corpus(&f, "a", shards, 1);
	run(&f, first, 1, &everything, &a);
	assert_int_equal(sample_at(&f, 0, 0, 0), PL_REASON_KEEP);
	assert_int_equal(row_at(&f, 0, 0, true, 0).verdict, PL_REASON_DUPLICATE_BYTES);
	assert_int_equal(row_at(&f, 0, 0, true, 1).verdict, PL_REASON_KEEP);
	assert_int_equal(row_at(&f, 0, 0, false, 1).verdict, PL_REASON_KEEP);
	assert_int_equal(sample_at(&f, 0, 0, 1), PL_REASON_IMAGES_GONE);
	assert_int_equal(sample_at(&f, 0, 0, 2), PL_REASON_KEEP);
	assert_int_equal(sample_at(&f, 0, 0, 3), PL_REASON_DUPLICATE_TEXT);
	assert_int_equal(sample_at(&f, 0, 0, 4), PL_REASON_KEEP);
	assert_int_equal(row_at(&f, 0, 0, true, 5).verdict, PL_REASON_KEEP);
	assert_int_equal(a.samples_dropped[PL_REASON_IMAGES_GONE], 1);
	assert_int_equal(a.samples_dropped[PL_REASON_DUPLICATE_TEXT], 1);
	assert_int_equal(a.images_dropped[PL_REASON_DUPLICATE_BYTES], 2);
	assert_int_equal(a.images_dropped[PL_REASON_DUPLICATE_TEXT], 1);
	assert_int_equal(a.images_out, 4);
	end(&f);
}

static void test_chat(void **state)
{
	struct tc_shard *s = tc_new("00000"), *e = tc_new("eval");
	struct tc_shard *const shards[] = {s}, *const evals[] = {e};
	struct fixture f;
	struct pl_account a;
	struct pl_dedup_stats stats;

	(void)state;
	begin(&f);
	tc_sample(s, PL_KIND_CHAT, "q1", 1);
	tc_image(s, 1, 1, 50);
	tc_sample(s, PL_KIND_CHAT, "q2", 2);      /* another question about nearly the same picture */
	tc_flip(tc_image(s, 3, 1, 50), 4);
	tc_sample(s, PL_KIND_CHAT, "q1 again", 1);
	tc_image(s, 1, 1, 50);
	tc_sample(s, PL_KIND_CHAT, "q1, other picture", 1);
	tc_image(s, 2, 2, 50);
	tc_sample(s, PL_KIND_CHAT, "evaluation picture", 5);
	tc_image(s, 9, 9, 5000);
	tc_image(s, 10, 10, 50);
	tc_sample(s, PL_KIND_TEXT, "text like a chat", 2);
	tc_sample(e, PL_KIND_PAIRS, "e", 0);
	tc_flip(tc_image(e, 99, 9, 30), 8);
	add_corpus(&f, "a", shards, 1);
	add_corpus(&f, "e", evals, 1);
	stats = run(&f, first, 1, &everything, &a);
	assert_int_equal((sample_at(&f, 0, 0, 0) == PL_REASON_DUPLICATE_TEXT) +
	    (sample_at(&f, 0, 0, 2) == PL_REASON_DUPLICATE_TEXT), 1);
	assert_int_equal(sample_at(&f, 0, 0, 1), PL_REASON_KEEP);
	assert_int_equal(sample_at(&f, 0, 0, 3), PL_REASON_KEEP);
	assert_int_equal(sample_at(&f, 0, 0, 4), PL_REASON_EVALUATION);
	assert_int_equal(row_at(&f, 0, 0, false, 4).survivor_corpus, 1);
	assert_int_equal(row_at(&f, 0, 0, false, 4).distance, 8);
	assert_int_equal(sample_at(&f, 0, 0, 5), PL_REASON_KEEP);
	assert_int_equal(stats.dropped_eval, 1);
	assert_int_equal(a.images_dropped[PL_REASON_EVALUATION], 2);
	end(&f);
}

/* An evaluation image drops what is near it, whatever is larger; two near evaluation images both do; by
 * bytes at low quality. */
static void test_evaluation(void **state)
{
	struct tc_shard *s = tc_new("00000"), *e = tc_new("eval");
	struct tc_shard *const shards[] = {s}, *const evals[] = {e};
	struct fixture f;
	struct pl_account a;

	(void)state;
	begin(&f);
	tc_sample(e, PL_KIND_PAIRS, "e0", 0);
	tc_image(e, 100, 1, 20);
	tc_sample(e, PL_KIND_PAIRS, "e1", 0);
	tc_flip(tc_image(e, 101, 1, 10), 10);
	tc_sample(e, PL_KIND_PAIRS, "e2", 0);
	tc_image(e, 7, 50, 10)->pdq_quality = 0;
	tc_sample(e, PL_KIND_TEXT, "e3", 77);
	tc_sample(s, PL_KIND_PAIRS, "near e1 only", 0);
	tc_flip(tc_image(s, 1, 1, 500), 24);
	tc_sample(s, PL_KIND_PAIRS, "near neither", 0);
	tc_flip(tc_image(s, 2, 1, 600), 40);
	tc_sample(s, PL_KIND_PAIRS, "flat", 0);
	tc_image(s, 7, 50, 600)->pdq_quality = 0;
	tc_sample(s, PL_KIND_TEXT, "known text", 77);
	add_corpus(&f, "a", shards, 1);
	add_corpus(&f, "e", evals, 1);
	run(&f, first, 1, &everything, &a);
	assert_int_equal(sample_at(&f, 0, 0, 0), PL_REASON_EVALUATION);
	assert_int_equal(row_at(&f, 0, 0, false, 0).survivor_key, pl_hash64("e1", 2));
	assert_int_equal(row_at(&f, 0, 0, false, 0).distance, 14);
	assert_int_equal(sample_at(&f, 0, 0, 1), PL_REASON_KEEP);
	assert_int_equal(sample_at(&f, 0, 0, 2), PL_REASON_EVALUATION);
	assert_int_equal(sample_at(&f, 0, 0, 3), PL_REASON_EVALUATION);
	end(&f);
}

static void fill_random(struct tc_shard *s, uint64_t seed)
{
	for (uint64_t i = 0; i < 300; i++) {
		char key[32];
		uint64_t x = pl_draw64(seed, i, 0);
		snprintf(key, sizeof(key), "%llu", (unsigned long long)(x % 100000));
		tc_sample(s, x % 3 ? PL_KIND_PAIRS : PL_KIND_INTERLEAVED, key, x % 40);
		for (uint64_t k = 0; k <= x % 3; k++) {
			uint64_t y = pl_draw64(seed, i, k + 1);
			struct pl_image_row *r = tc_image(s, y % 700, y % 90, 10 + (uint32_t)(y % 3));
			tc_flip(r, (unsigned)(y >> 32) % 30);
			r->pdq_quality = (y >> 40) % 5 ? 100 : 20;
			if (x % 3)
				break;
		}
	}
}

static uint64_t digest_tables(const struct fixture *f, size_t corpus)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < f->c[corpus].nshards; i++) {
		struct pl_tables t;
		assert_int_equal(pl_tables_open(&t, &f->c[corpus], i, NULL), PL_OK);
		for (uint64_t k = 0; k < t.samples.nrows; k++)
			sum = pl_draw64(sum, pl_sample_verdict(&t, k),
			    ((const struct pl_dedup_row *)pl_npy_row(&t.dedup, k))->survivor_key);
		for (uint64_t k = 0; k < t.images.nrows; k++)
			sum = pl_draw64(sum, pl_image_verdict(&t, k),
			    ((const struct pl_dedup_row *)pl_npy_row(&t.dedup_images, k))->survivor_key);
		pl_tables_close(&t);
	}
	return sum;
}

/* The same verdicts for any order of corpora, and on a second run over its own
 * verdicts. */
static void test_independence(void **state)
{
	struct tc_shard *s = tc_new("00000"), *t = tc_new("00001"), *u = tc_new("00000");
	struct tc_shard *const a_shards[] = {s, t}, *const b_shards[] = {u};
	struct fixture f;
	struct pl_account a, b;
	uint64_t want[2];

	(void)state;
	begin(&f);
	fill_random(s, 1);
	fill_random(t, 2);
	fill_random(u, 3);
	add_corpus(&f, "a", a_shards, 2);
	add_corpus(&f, "b", b_shards, 1);
	run(&f, both, 2, &everything, &a);
	want[0] = digest_tables(&f, 0);
	want[1] = digest_tables(&f, 1);
	assert_true(a.samples_out > 0 && a.samples_out < a.samples_in);
	run(&f, swapped, 2, &everything, &b);
	assert_int_equal(digest_tables(&f, 0), want[0]);
	assert_int_equal(digest_tables(&f, 1), want[1]);
	assert_memory_equal(&a, &b, sizeof(a));
	end(&f);
}

static void test_not_across(void **state)
{
	struct tc_shard *s = tc_new("00000"), *u = tc_new("00000");
	struct tc_shard *const a_shards[] = {s}, *const b_shards[] = {u};
	struct pl_dedup_options o = everything;
	struct fixture f;
	struct pl_account a;

	(void)state;
	begin(&f);
	tc_sample(s, PL_KIND_PAIRS, "a", 0);
	tc_image(s, 1, 1, 10);
	tc_sample(s, PL_KIND_TEXT, "t", 5);
	tc_sample(u, PL_KIND_PAIRS, "b", 0);
	tc_image(u, 1, 1, 10);
	tc_sample(u, PL_KIND_TEXT, "t2", 5);
	add_corpus(&f, "a", a_shards, 1);
	add_corpus(&f, "b", b_shards, 1);
	run(&f, both, 2, &o, &a);
	assert_int_equal(a.samples_out, 2);
	o.across = false;
	run(&f, both, 2, &o, &a);
	assert_int_equal(a.samples_out, 4);
	o.across = true;
	o.text = false;
	o.near = false;
	run(&f, both, 2, &o, &a);
	assert_int_equal(a.samples_out, 3);
	end(&f);
}

/* No two kept images near each other, every dropped one near its survivor, and the survivor is kept. */
static void test_star_property(void **state)
{
	static struct tc_shard copy;
	struct tc_shard *s = tc_new("00000");
	struct tc_shard *const shards[] = {s};
	struct fixture f;
	struct pl_account a;
	struct pl_tables t;
	size_t kept = 0;

	(void)state;
	begin(&f);
	for (uint64_t i = 0; i < 600; i++) {
		char key[32];
		snprintf(key, sizeof(key), "%llu", (unsigned long long)i);
		tc_sample(s, PL_KIND_PAIRS, key, 0);
		tc_flip(tc_image(s, i, i % 12, 10 + (uint32_t)(i % 5)), (unsigned)(pl_draw64(4, i, 0) % 60));
	}
	memcpy(&copy, s, sizeof(copy));
	add_corpus(&f, "a", shards, 1);
	run(&f, first, 1, &everything, &a);
	assert_int_equal(pl_tables_open(&t, &f.c[0], 0, NULL), PL_OK);
	for (uint64_t i = 0; i < 600; i++) {
		const struct pl_dedup_row *r = pl_npy_row(&t.dedup_images, i);
		kept += r->verdict == 0;
		if (r->verdict) {
			assert_int_equal(
			    pl_hamming256(copy.images[i].pdq, copy.images[r->survivor_row].pdq),
			    r->distance);
			assert_true(r->distance <= 16);
			assert_int_equal(pl_image_verdict(&t, r->survivor_row), PL_REASON_KEEP);
			continue;
		}
		for (uint64_t k = 0; k < i; k++) {
			if (pl_image_verdict(&t, k) == PL_REASON_KEEP)
				assert_true(pl_hamming256(copy.images[i].pdq, copy.images[k].pdq) > 16);
		}
	}
	assert_true(kept >= 12 && kept < 100);
	pl_tables_close(&t);
	end(&f);
}

static void test_recipes_differ(void **state)
{
	struct tc_shard *s = tc_new("00000"), *u = tc_new("00000");
	struct tc_shard *const a_shards[] = {s}, *const b_shards[] = {u};
	struct pl_corpus *in[2];
	struct pl_dedup *d = NULL;
	struct pl_err err = {0};
	struct fixture f;

	(void)state;
	begin(&f);
	add_corpus(&f, "a", a_shards, 1);
	add_corpus(&f, "b", b_shards, 1);
	in[0] = &f.c[0];
	in[1] = &f.c[1];
	f.c[1].source.hash = PL_HASH_PDQ;
	assert_int_equal(pl_dedup_new(&d, in, 2, NULL, 0, &everything, NULL, &err), PL_ERR_USAGE);
	assert_non_null(strstr(err.text, "pdq-aa"));
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_low_quality),
		cmocka_unit_test(test_interleaved),
		cmocka_unit_test(test_chat),
		cmocka_unit_test(test_evaluation),
		cmocka_unit_test(test_independence),
		cmocka_unit_test(test_not_across),
		cmocka_unit_test(test_star_property),
		cmocka_unit_test(test_recipes_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
