/* SPDX-License-Identifier: Apache-2.0 */
/* The rules beyond one copy of each, by hand and against plain loops over what the
 * stars decided; corpora known before; joins that leave the first hashes alone. All
 * of it over 1 and 3 parts. */
#include "dedup_rules_fixture.h"

/* ---- by hand ---- */

static void test_captions(void **state)
{
	struct tc_shard *s = tc_new("00000"), *e = tc_new("00000");
	struct tc_shard *const shards[] = {s}, *const evals[] = {e};
	struct fixture f;
	static const uint32_t captions[] = {0, 1, 2, 3, PL_CAPTIONS_ALL};
	static const unsigned stay[] = {0x01, 0x01, 0x05, 0x15, 0x55};

	(void)state;
	begin(&f);
	pair(s, "a", 1, 1, 0, 100);
	pair(s, "a, smaller", 1, 1, 2, 90);
	pair(s, "b", 2, 1, 2, 80);
	pair(s, "b, smaller", 2, 1, 4, 70);
	pair(s, "c", 3, 1, 0, 60);
	pair(s, "a, smallest", 1, 1, 0, 50);
	pair(s, "no caption", 0, 1, 6, 40);
	tc_sample(s, PL_KIND_INTERLEAVED, "a document's image stays for no text", 9);
	tc_image(s, 1, 1, 30);
	pair(s, "evaluation", 8, 5, 0, 40);
	pair(s, "evaluation, other caption", 7, 5, 0, 40);
	pair(e, "e", 0, 5, 0, 10);
	add_corpus(&f, "a", shards, 1);
	add_corpus(&f, "e", evals, 1);
	for (size_t i = 0; i < PL_ARRAY_LEN(captions); i++) {
		for (uint32_t parts = 1; parts <= 3; parts += 2) {
			unsigned got = 0;
			f.o.rules.captions = captions[i];
			run(&f, parts);
			for (unsigned row = 0; row < 8; row++)
				got |= (unsigned)(sample_at(&f, 0, 0, row) == PL_REASON_KEEP) << row;
			assert_int_equal(got, stay[i]);
			assert_int_equal(sample_at(&f, 0, 0, 8), PL_REASON_EVALUATION);
			assert_int_equal(sample_at(&f, 0, 0, 9), PL_REASON_EVALUATION);
			assert_int_equal(f.stats.kept_captions, captions[i] > 3 ? 3 : captions[i] > 1 ? captions[i] - 1 : 0);
			assert_int_equal(f.stats.dropped_near + f.stats.dropped_bytes, 7 - f.stats.kept_captions);
			assert_int_equal(row_at(&f, 0, 0, false, 1).survivor_row, 0);
		}
	}
	end(&f);
}

static void test_max_documents(void **state)
{
	struct tc_shard *s = tc_new("00000"), *t = tc_new("00001");
	struct tc_shard *const shards[] = {s, t};
	struct fixture f;

	(void)state;
	begin(&f);
	for (int i = 0; i < 4; i++) {   /* an image in 4 documents, twice in one; another that only the first has */
		char key[16];
		snprintf(key, sizeof(key), "d%d", i);
		tc_sample(i < 2 ? s : t, PL_KIND_INTERLEAVED, key, 10 + (uint64_t)i);
		tc_image(i < 2 ? s : t, 1, 1, 100 - (uint32_t)i);
		if (i == 0) {
			tc_image(s, 1, 1, 100);
			tc_image(s, 2, 2, 100);
		}
	}
	pair(t, "its caption", 1, 2, 0, 50);
	add_corpus(&f, "a", shards, 2);
	for (uint32_t k = 3; k <= 4; k++) {
		struct pl_account a;
		f.o.rules.max_documents = k;
		a = run(&f, k == 3 ? 3 : 1);
		assert_int_equal(row_at(&f, 0, 0, true, 0).verdict == PL_REASON_REPEATED_IMAGE || row_at(&f, 0, 0, true, 1).verdict == PL_REASON_REPEATED_IMAGE, k == 3);
		assert_int_equal(row_at(&f, 0, 1, true, 1).verdict, k == 3 ? PL_REASON_REPEATED_IMAGE : PL_REASON_DUPLICATE_BYTES);
		assert_int_equal(row_at(&f, 0, 0, true, 2).verdict, PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 0), PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 1, 2), PL_REASON_NEAR_DUPLICATE);
		assert_int_equal(f.stats.repeated_images, k == 3 ? 5 : 0);
		assert_int_equal(a.images_dropped[PL_REASON_REPEATED_IMAGE], k == 3 ? 5 : 0);
		assert_int_equal(a.samples_dropped[PL_REASON_IMAGES_GONE], 3);
	}
	end(&f);
}

static void test_max_texts(void **state)
{
	struct tc_shard *s = tc_new("00000");
	struct tc_shard *const shards[] = {s};
	struct fixture f;

	(void)state;
	begin(&f);
	pair(s, "a", 1, 1, 0, 100);
	pair(s, "b", 2, 1, 0, 90);
	pair(s, "b again", 2, 1, 0, 80);
	pair(s, "c", 3, 1, 0, 70);
	add_corpus(&f, "a", shards, 1);
	f.o.rules.captions = PL_CAPTIONS_ALL;
	f.o.rules.max_texts_per_image = 3;
	run(&f, 1);
	assert_int_equal(f.stats.repeated_images, 0);
	assert_int_equal(f.stats.kept_captions, 2);
	f.o.rules.max_texts_per_image = 2;
	run(&f, 3);
	for (uint64_t row = 0; row < 4; row++)
		assert_int_equal(sample_at(&f, 0, 0, row), PL_REASON_REPEATED_IMAGE);
	end(&f);
}

/* Those that go for their caption push out nothing. */
static void test_max_captions(void **state)
{
	struct tc_shard *s = tc_new("00000"), *t = tc_new("00000");
	struct tc_shard *const a[] = {s}, *const b[] = {t};
	struct fixture f;

	(void)state;
	begin(&f);
	pair(s, "stock photo", 1, 1, 0, 100);
	pair(s, "another", 1, 2, 0, 100);
	pair(s, "twin of the first", 2, 1, 0, 50);
	pair(t, "a third", 1, 3, 0, 100);
	tc_sample(t, PL_KIND_TEXT, "a text is no caption", 1);
	add_corpus(&f, "a", a, 1);
	add_corpus(&f, "b", b, 1);
	f.given = 2;
	for (uint32_t k = 1; k <= 3; k++) {
		f.o.rules.max_captions = k;
		run(&f, k);
		assert_int_equal(sample_at(&f, 0, 0, 0), k < 3 ? PL_REASON_REPEATED_CAPTION : PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 1, 0, 0), k < 3 ? PL_REASON_REPEATED_CAPTION : PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 2), k < 3 ? PL_REASON_KEEP : PL_REASON_NEAR_DUPLICATE);
		assert_int_equal(sample_at(&f, 1, 0, 1), PL_REASON_KEEP);
		assert_int_equal(f.stats.repeated_captions, k < 3 ? 3 : 0);
	}
	f.o.rules.max_captions = 2;   /* each corpus by itself: 2 and 1 */
	f.o.across = false;
	run(&f, 1);
	assert_int_equal(f.stats.repeated_captions, 0);
	end(&f);
}

static void test_document(void **state)
{
	struct tc_shard *s = tc_new("00000");
	struct tc_shard *const shards[] = {s};
	static const uint32_t shares[] = {0, 333333, 333334, 500000, 500001};
	struct fixture f;

	(void)state;
	begin(&f);
	pair(s, "large", 1, 1, 0, 1000);
	pair(s, "large too", 2, 2, 0, 1000);
	tc_sample(s, PL_KIND_INTERLEAVED, "one of three", 11);
	tc_image(s, 1, 1, 10);
	tc_image(s, 3, 3, 10);
	tc_image(s, 4, 4, 10);
	tc_sample(s, PL_KIND_INTERLEAVED, "one of two", 12);
	tc_image(s, 2, 2, 10);
	tc_image(s, 5, 5, 10);
	tc_sample(s, PL_KIND_INTERLEAVED, "its own twice", 13);
	tc_image(s, 6, 6, 10);
	tc_image(s, 6, 6, 10);
	tc_sample(s, PL_KIND_INTERLEAVED, "each has the better of one image", 14);
	tc_image(s, 7, 7, 30);
	tc_image(s, 8, 8, 20);
	tc_sample(s, PL_KIND_INTERLEAVED, "each has the better of one image, too", 15);
	tc_image(s, 7, 7, 25);
	tc_image(s, 8, 8, 27);
	add_corpus(&f, "a", shards, 1);
	f.o.rules.document = PL_DOCUMENT_WHOLE;
	for (size_t i = 0; i < PL_ARRAY_LEN(shares); i++) {
		struct pl_account a;
		f.o.rules.document_share = shares[i];
		a = run(&f, 1 + 2 * (uint32_t)(i % 2));
		assert_int_equal(sample_at(&f, 0, 0, 2), shares[i] <= 333333 ? PL_REASON_NEAR_DUPLICATE : PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 3), shares[i] <= 500000 ? PL_REASON_NEAR_DUPLICATE : PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 4), PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 5), PL_REASON_DUPLICATE_BYTES);
		assert_int_equal(sample_at(&f, 0, 0, 6), PL_REASON_KEEP);   /* 25^2 + 27^2 > 30^2 + 20^2 */
		assert_int_equal(row_at(&f, 0, 0, true, 11).verdict + row_at(&f, 0, 0, true, 12).verdict, PL_REASON_KEEP);
		assert_int_equal(a.samples_out, 4 + (shares[i] > 333333) + (shares[i] > 500000));
	}
	assert_int_equal(row_at(&f, 0, 0, false, 3).verdict, PL_REASON_KEEP);
	f.o.rules = (struct pl_dedup_rules){0};
	run(&f, 1);
	assert_int_equal(sample_at(&f, 0, 0, 2), PL_REASON_KEEP);
	end(&f);
}

static void test_same_images(void **state)
{
	struct tc_shard *s = tc_new("00000"), *e = tc_new("00000");
	struct tc_shard *const shards[] = {s}, *const evals[] = {e};
	struct fixture f;

	(void)state;
	begin(&f);
	tc_sample(s, PL_KIND_INTERLEAVED, "set", 1);
	tc_image(s, 1, 1, 10);
	tc_image(s, 2, 2, 10);
	tc_sample(s, PL_KIND_INTERLEAVED, "set, other order, one twice", 2);
	tc_image(s, 2, 2, 10);
	tc_image(s, 1, 1, 10);
	tc_image(s, 1, 1, 10);
	tc_sample(s, PL_KIND_INTERLEAVED, "part of it", 3);
	tc_image(s, 1, 1, 5);
	tc_sample(s, PL_KIND_INTERLEAVED, "none", 4);
	tc_sample(s, PL_KIND_INTERLEAVED, "none too", 5);
	tc_sample(s, PL_KIND_INTERLEAVED, "of the evaluation set", 6);
	tc_image(s, 9, 9, 10);
	tc_sample(e, PL_KIND_INTERLEAVED, "e", 7);
	tc_image(e, 9, 9, 10);
	add_corpus(&f, "a", shards, 1);
	add_corpus(&f, "e", evals, 1);
	f.o.rules.same_images = true;
	for (uint32_t parts = 1; parts <= 3; parts += 2) {
		run(&f, parts);
		assert_int_equal(sample_at(&f, 0, 0, 0), PL_REASON_DUPLICATE_BYTES);   /* it has fewer images */
		assert_int_equal(row_at(&f, 0, 0, false, 0).survivor_row, 1);
		assert_int_equal(sample_at(&f, 0, 0, 1), PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 2), PL_REASON_IMAGES_GONE);
		assert_int_equal(row_at(&f, 0, 0, false, 3).verdict, PL_REASON_KEEP);
		assert_int_equal(row_at(&f, 0, 0, false, 4).verdict, PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 5), PL_REASON_EVALUATION);
	}
	end(&f);
}

static void test_wrong_rules(void **state)
{
	struct pl_dedup_rules r;
	struct pl_err err = {0};

	(void)state;
	assert_int_equal(pl_dedup_rules_set(&r, 0, 1, 2, 3, PL_DOCUMENT_WHOLE, 0.5, true, &err), PL_OK);
	assert_int_equal(r.captions, PL_CAPTIONS_ALL);
	assert_int_equal(r.document_share, 500000);
	assert_int_equal(pl_dedup_rules_set(&r, -1, 0, 0, 0, PL_DOCUMENT_IMAGE, -1, false, &err), PL_ERR_USAGE);
	assert_int_equal(pl_dedup_rules_set(&r, 1, (int64_t)UINT32_MAX, 0, 0, PL_DOCUMENT_IMAGE, -1, false, &err), PL_ERR_USAGE);
	assert_int_equal(pl_dedup_rules_set(&r, 1, 0, 0, 0, PL_DOCUMENT_IMAGE, 0.5, false, &err), PL_ERR_USAGE);
	assert_int_equal(pl_dedup_rules_set(&r, 1, 0, 0, 0, PL_DOCUMENT_WHOLE, 1.5, false, &err), PL_ERR_USAGE);
	assert_int_equal(pl_dedup_rules_set(&r, 1, 0, 0, 0, PL_DOCUMENT_WHOLE, 0, false, &err), PL_ERR_USAGE);
}

/* ---- against plain loops ---- */

/* The total order of the README, with what these corpora leave equal left out. */
static bool before(const struct seen *a, const struct seen *b)
{
	if (a->image.width != b->image.width)
		return a->image.width > b->image.width;
	if (a->image.pdq_quality != b->image.pdq_quality)
		return a->image.pdq_quality > b->image.pdq_quality;
	if (a->sample.key != b->sample.key)
		return a->sample.key < b->sample.key;
	return a->shard != b->shard ? a->shard < b->shard : a->row < b->row;
}

/* The star of `s`, in the total order. */
static size_t gather(struct seen *all, size_t n, struct seen *s, struct seen **in)
{
	size_t members = 0;

	for (size_t i = 0; i < n; i++) {
		if (&all[i] != s && (!all[i].base.verdict || all[i].base.survivor_shard != s->shard || all[i].base.survivor_row != s->row))
			continue;
		in[members] = &all[i];
		for (size_t k = members++; k > 0 && before(in[k], in[k - 1]); k--) {
			struct seen *swap = in[k];
			in[k] = in[k - 1];
			in[k - 1] = swap;
		}
	}
	assert_ptr_equal(in[0], s);
	return members;
}

/* What the rules make of it. */
static void expect_star(const struct pl_dedup_rules *r, struct seen *all, size_t n, struct seen *s)
{
	struct seen *in[1000];
	size_t members = gather(all, n, s, in), samples = 0, captions = 0, kept = 1;

	for (size_t i = 0; i < members; i++) {
		bool old_sample = false, old_caption = in[i]->sample.kind != PL_KIND_PAIRS;
		for (size_t k = 0; k < i; k++) {
			old_sample |= in[k]->shard == in[i]->shard && in[k]->image.sample == in[i]->image.sample;
			old_caption |= in[k]->sample.kind == PL_KIND_PAIRS && in[k]->sample.text_hash == in[i]->sample.text_hash;
		}
		samples += !old_sample;
		captions += !old_caption;
		if (i > 0 && !old_caption && kept < (r->captions ? r->captions : 1)) {
			in[i]->want = PL_REASON_KEEP;
			kept++;
		}
	}
	for (size_t i = 0; i < members && members > 1; i++)
		if ((r->max_documents && samples > r->max_documents) || (r->max_texts_per_image && captions > r->max_texts_per_image))
			in[i]->want = PL_REASON_REPEATED_IMAGE;
}

static void check_random(struct fixture *f, uint32_t parts)
{
	static struct seen all[4096];
	const struct pl_dedup_rules rules = f->o.rules;
	struct pl_account a;
	size_t n, kept = 0, repeated = 0;

	f->o.rules = (struct pl_dedup_rules){0};
	run(f, 1);
	n = read_all(f, all);
	f->o.rules = rules;
	for (size_t i = 0; i < n; i++)
		if (all[i].base.verdict == PL_REASON_KEEP)
			expect_star(&rules, all, n, &all[i]);
	a = run(f, parts);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(row_at(f, 0, all[i].shard, true, all[i].row).verdict, all[i].want);
		kept += all[i].base.verdict != PL_REASON_KEEP && all[i].want == PL_REASON_KEEP;
		repeated += all[i].want == PL_REASON_REPEATED_IMAGE;
	}
	assert_int_equal(f->stats.kept_captions, kept);
	assert_int_equal(f->stats.repeated_images, repeated);
	assert_true(rules.captions <= 1 || kept > 0);
	assert_true(rules.max_documents + rules.max_texts_per_image == 0 || repeated > 0);
	assert_true(a.samples_out < a.samples_in);
}

static void test_random(void **state)
{
	static const struct pl_dedup_rules rules[] = {{.captions = 2}, {.captions = 4}, {.captions = PL_CAPTIONS_ALL},
	    {.max_documents = 3}, {.max_texts_per_image = 4}, {.captions = 3, .max_documents = 6, .max_texts_per_image = 5}};
	struct tc_shard *shards[5];
	struct fixture f;

	(void)state;
	begin(&f);
	for (size_t k = 0; k < PL_ARRAY_LEN(shards); k++) {
		char unit[16];
		snprintf(unit, sizeof(unit), "%05zu", k);
		shards[k] = tc_new(unit);
		fill_random(shards[k], 40 + k);
	}
	add_corpus(&f, "a", shards, PL_ARRAY_LEN(shards));
	for (size_t i = 0; i < PL_ARRAY_LEN(rules); i++) {
		for (uint32_t parts = 1; parts <= 3; parts += 2) {
			f.o.rules = rules[i];
			check_random(&f, parts);
		}
	}
	/* captions: exactly the samples whose caption is too frequent */
	f.o.rules = (struct pl_dedup_rules){.max_captions = 22};
	for (uint32_t parts = 1; parts <= 3; parts += 2) {
		static struct seen all[4096];
		size_t n, frequent = 0;
		run(&f, parts);
		n = read_all(&f, all);
		for (size_t i = 0; i < n; i++) {
			size_t count = 0;
			for (size_t k = 0; k < n; k++)
				count += all[k].sample.kind == PL_KIND_PAIRS && all[k].sample.text_hash == all[i].sample.text_hash;
			frequent += all[i].sample.kind == PL_KIND_PAIRS && count > 22;
			assert_int_equal(sample_at(&f, 0, all[i].shard, all[i].image.sample) == PL_REASON_REPEATED_CAPTION,
			    all[i].sample.kind == PL_KIND_PAIRS && count > 22);
		}
		assert_true(frequent > 0 && frequent < n);
		assert_int_equal(f.stats.repeated_captions, frequent);
	}
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_captions),
		cmocka_unit_test(test_max_documents),
		cmocka_unit_test(test_max_texts),
		cmocka_unit_test(test_max_captions),
		cmocka_unit_test(test_document),
		cmocka_unit_test(test_same_images),
		cmocka_unit_test(test_wrong_rules),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
