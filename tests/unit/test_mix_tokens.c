/* SPDX-License-Identifier: Apache-2.0 */
/* Image tokens in plans: each picture by its own size and the recipe's policy,
 * unless the recipe has one number for all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/mix/plan.h"
#include "table_corpus.h"

enum { ROWS = 300 };

struct fixture {
	char *dir;
	struct pl_corpus corpus;
	struct pl_select *select;
	char path[600];
	uint32_t width[ROWS], height[ROWS], text[ROWS];
};

/* Two pictures a sample, of every shape, the second the first turned; every fifth first one is dropped, and every ninth sample. */
static bool image_kept(size_t i)
{
	return i % 5 != 2;
}

static bool kept(size_t i)
{
	return i % 9 != 4;
}

static void begin(struct fixture *f)
{
	struct tc_shard *s = tc_new("a0");

	*f = (struct fixture){.dir = tc_tempdir()};
	for (size_t i = 0; i < ROWS; i++) {
		struct pl_sample_row *r = tc_sample(s, PL_KIND_INTERLEAVED, "k", 1);
		struct pl_image_row *im = tc_image(s, i, i, 100);
		f->width[i] = im->width = 60 + (uint32_t)(pl_draw64(3, i, 0) % 3000);
		f->height[i] = im->height = 60 + (uint32_t)(pl_draw64(3, i, 1) % 3000);
		f->text[i] = r->text_tokens = (uint32_t)(5 + i % 11);
		im->status = image_kept(i) ? PL_REASON_KEEP : PL_REASON_CORRUPT;
		im = tc_image(s, ROWS + i, ROWS + i, 100);
		im->width = f->height[i];
		im->height = f->width[i];
		r->status = kept(i) ? PL_REASON_KEEP : PL_REASON_BAD_JSON;
	}
	snprintf(f->path, sizeof(f->path), "%s/a", f->dir);
	tc_write(&f->corpus, f->path, "a", &s, 1);
	free(s);
}

static void end(struct fixture *f)
{
	pl_select_free(f->select);
	pl_corpus_close(&f->corpus);
	tc_remove(f->dir);
}

/* A plan of a recipe's image and balance lines, and the image's settings. */
static struct pl_resize make(struct fixture *f, const char *image, const char *balance, struct pl_plan *p)
{
	const char *dirs[] = {f->path};
	struct pl_recipe r;
	struct pl_err err = {0};
	char text[600];

	snprintf(text, sizeof(text), "name: t\nseed: 5\nsources: [{name: a, shards: a, weight: 1}]\nimage: {%s}\nbalance: {%s}\noutput: {dir: o, shard_samples: 50}\n",
	    image, balance);
	if (pl_recipe_parse(&r, "r.yaml", text, strlen(text), &err) != PL_OK)
		fail_msg("%s", err.text);
	assert_int_equal(pl_select_new(&f->select, &f->corpus, NULL, &r.image, NULL, NULL), PL_OK);
	assert_int_equal(pl_plan_make(p, &r, NULL, &f->select, dirs, r.seed, NULL, NULL), PL_OK);
	struct pl_resize z = r.image;
	pl_recipe_release(&r);
	return z;
}

static uint64_t sample_tokens(const struct fixture *f, const struct pl_resize *z, size_t i)
{
	const uint64_t first = image_kept(i) ? pl_image_tokens(z, f->width[i], f->height[i]) : 0;

	return f->text[i] + first + pl_image_tokens(z, f->height[i], f->width[i]);
}

/* All samples: what is available is the sum over them. */
static void check_available(const char *image, const char *balance, bool alike)
{
	struct fixture f;
	struct pl_plan p;
	uint64_t sum = 0, least = UINT64_MAX, most = 0;

	begin(&f);
	const struct pl_resize z = make(&f, image, balance, &p);
	for (size_t i = 0; i < ROWS; i++) {
		const uint64_t n = pl_image_tokens(&z, f.width[i], f.height[i]);
		sum += kept(i) ? sample_tokens(&f, &z, i) : 0;
		least = n < least ? n : least;
		most = n > most ? n : most;
	}
	if (p.sources[0].available_tokens != sum)
		fail_msg("%s: %llu, not %llu", image, (unsigned long long)p.sources[0].available_tokens, (unsigned long long)sum);
	assert_int_equal(p.sources[0].tokens, sum);
	assert_int_equal(least == most, alike);
	pl_plan_release(&p);
	end(&f);
}

static void test_available(void **state)
{
	(void)state;
	check_available("policy: smart_resize", "unit: samples", false);
	check_available("policy: anyres", "unit: tokens", false);
	check_available("policy: uhd_slices", "unit: tokens", false);
	check_available("policy: patch_multiple", "unit: tokens", false);
	check_available("policy: keep_ratio, size: 224, patch: 14", "unit: tokens", false);
	check_available("policy: keep_ratio, size: 224", "unit: tokens", true);
	check_available("policy: pad_mean, size: 336", "unit: tokens", true);
	check_available("policy: anyres, tokens: 64", "unit: tokens", false);
	check_available("policy: anyres, tokens: 64", "unit: tokens, image_tokens: 100", true);
	check_available("policy: none", "unit: tokens", true);
}

/* A total in tokens: the draws are the first whose sum reaches it, and the plan says what they hold. */
static void test_total(void **state)
{
	struct fixture f;
	struct pl_plan p;
	uint64_t sum = 0, last = 0;

	(void)state;
	begin(&f);
	const struct pl_resize z = make(&f, "policy: smart_resize", "unit: tokens, total: 60000", &p);
	for (uint64_t k = 0; k < p.shards; k++) {
		struct pl_select *const selects[] = {f.select};
		struct pl_slot *slots = NULL;
		size_t n = 0;
		assert_int_equal(pl_plan_slots(&p, k, selects, &slots, &n, NULL), PL_OK);
		for (size_t i = 0; i < n; i++) {
			const uint64_t t = sample_tokens(&f, &z, (size_t)slots[i].row);
			sum += t;
			last = t > last ? t : last;
		}
		free(slots);
	}
	assert_int_equal(sum, p.sources[0].tokens);
	assert_in_range(sum, 60000, 60000 + last);
	assert_true(p.sources[0].quota > 20 && p.sources[0].quota < ROWS);
	pl_plan_release(&p);
	end(&f);
}

/* The bytes that a plan expects follow what is written, tiles included. */
static void test_bytes(void **state)
{
	struct fixture f;
	struct pl_resize z = {.policy = PL_POLICY_WINDOWS, .format = PL_FORMAT_WEBP};
	const uint64_t each = (uint64_t)448 * 448 * 7 * 350 / 1000;   /* WebP's 0.35 a pixel */
	uint64_t images = 0;

	(void)state;
	begin(&f);
	for (size_t i = 0; i < ROWS; i++)
		images += kept(i) ? 1 + image_kept(i) : 0;
	pl_resize_settle(&z);
	assert_int_equal(pl_select_new(&f.select, &f.corpus, NULL, &z, NULL, NULL), PL_OK);
	assert_int_equal(pl_select_totals(f.select).output_bytes - pl_select_totals(f.select).text_bytes, images * each);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_available),
		cmocka_unit_test(test_total),
		cmocka_unit_test(test_bytes),
	};
	return cmocka_run_group_tests_name("mix tokens", tests, NULL, NULL);
}
