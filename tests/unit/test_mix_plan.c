/* SPDX-License-Identifier: Apache-2.0 */
/* Plans over hand-written corpora: how often each sample is drawn, the mixture
 * of every output shard, and that nothing depends on who asks. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/mix/plan_draw.h"
#include "table_corpus.h"

enum { A_SHARDS = 3, A_ROWS = 1400, B_ROWS = 130 };

struct fixture {
	char *dir;
	struct pl_corpus corpus[2];
	struct pl_select *select[2];
	const char *dirs[2];
	char paths[2][600];
	uint64_t kept[2];
};

static const struct pl_resize as_they_are = {.policy = PL_POLICY_NONE, .format = PL_FORMAT_UNKNOWN};

/* Corpus a: three shards, every seventh sample dropped, 0..2 images each. Corpus b: one shard of texts.
 */
static void begin(struct fixture *f)
{
	struct tc_shard *a[A_SHARDS], *b = tc_new("b");

	*f = (struct fixture){.dir = tc_tempdir()};
	for (size_t k = 0; k < A_SHARDS; k++) {
		char unit[8] = {'a', (char)('0' + k), 0};
		a[k] = tc_new(unit);
		for (size_t i = 0; i < A_ROWS; i++) {
			struct pl_sample_row *r = tc_sample(a[k], PL_KIND_INTERLEAVED, "k", 1);
			r->text_tokens = (uint32_t)(5 + i % 11);
			for (size_t m = 0; m < i % 3; m++)
				tc_image(a[k], i, i, 100);
			if (i % 7 == 3)
				r->status = PL_REASON_BAD_JSON;
			else
				f->kept[0]++;
		}
	}
	for (size_t i = 0; i < B_ROWS; i++) {
		tc_sample(b, PL_KIND_TEXT, "k", 1)->text_tokens = 20;
		f->kept[1]++;
	}
	for (size_t i = 0; i < 2; i++) {
		snprintf(f->paths[i], sizeof(f->paths[i]), "%s/%c", f->dir, (char)('a' + i));
		f->dirs[i] = f->paths[i];
		tc_write(&f->corpus[i], f->paths[i], i ? "b" : "a", i ? &b : a, i ? 1 : A_SHARDS);
		assert_int_equal(pl_select_new(&f->select[i], &f->corpus[i], NULL, &as_they_are, NULL, NULL), PL_OK);
	}
	for (size_t k = 0; k < A_SHARDS; k++)
		free(a[k]);
	free(b);
}

static void end(struct fixture *f)
{
	for (size_t i = 0; i < 2; i++) {
		pl_select_free(f->select[i]);
		pl_corpus_close(&f->corpus[i]);
	}
	tc_remove(f->dir);
}

/* A plan from the recipe's balance and output lines, over samples counted as its images are to be. */
static enum pl_status make(struct fixture *f, const char *weights, const char *balance,
    const char *output, struct pl_plan *p, struct pl_recipe *r, struct pl_err *err)
{
	char text[1024], wa[32], wb[32];

	assert_int_equal(sscanf(weights, "%31s %31s", wa, wb), 2);
	snprintf(text, sizeof(text),
	    "name: t\nseed: 42\nsources:\n  - {name: a, shards: a, weight: %s}\n"
	    "  - {name: b, shards: b, weight: %s}\nbalance: {%s}\noutput: {dir: o, %s}\n",
	    wa, wb, balance, output);
	assert_int_equal(pl_recipe_parse(r, "r.yaml", text, strlen(text), NULL), PL_OK);
	for (size_t i = 0; i < 2; i++) {
		pl_select_free(f->select[i]);
		assert_int_equal(pl_select_new(&f->select[i], &f->corpus[i], NULL, &r->image, NULL, NULL), PL_OK);
	}
	return pl_plan_make(p, r, NULL, f->select, f->dirs, r->seed, NULL, err);
}

static void test_select(void **state)
{
	struct fixture f;
	struct pl_select_totals t;
	struct pl_account a = {0};
	uint64_t j = 0, images = 0, tokens = 0;

	(void)state;
	begin(&f);
	t = pl_select_totals(f.select[0]);
	assert_int_equal(t.samples, f.kept[0]);
	for (uint32_t k = 0; k < A_SHARDS; k++) {
		for (uint64_t i = 0; i < A_ROWS; i++) {
			uint32_t shard = 99;
			uint64_t row = 0;
			struct pl_sample_cost cost = {0};
			if (i % 7 == 3)
				continue;
			assert_int_equal(pl_select_at(f.select[0], j, &shard, &row, NULL), PL_OK);
			assert_int_equal(shard, k);
			assert_int_equal(row, i);
			assert_int_equal(pl_select_cost(f.select[0], j++, &cost, NULL), PL_OK);
			assert_int_equal(cost.images, i % 3);
			assert_int_equal(cost.text_tokens, 5 + i % 11);
			images += cost.images;
			tokens += cost.text_tokens;
		}
	}
	assert_int_equal(j, t.samples);
	assert_int_equal(images, t.images);
	assert_int_equal(tokens, t.text_tokens);
	assert_int_equal(t.image_bytes, images * 1000);
	pl_select_account(f.select[0], &a);
	assert_int_equal(a.samples_dropped[PL_REASON_BAD_JSON], A_SHARDS * A_ROWS - t.samples);
	assert_int_equal(a.samples_in, A_SHARDS * A_ROWS - t.samples);
	assert_int_not_equal(pl_select_at(f.select[0], j, &(uint32_t){0}, &(uint64_t){0}, NULL), PL_OK);
	end(&f);
}

/* Draw all slots of all output shards; count draws per (source, shard, row); check order of passes and
 * mixture. */
static void check_slots(const struct fixture *f, const struct pl_plan *p)
{
	unsigned (*drawn)[A_SHARDS][A_ROWS] = calloc(2, sizeof(*drawn));
	uint64_t total = 0;

	assert_non_null(drawn);
	for (uint64_t k = 0; k < p->shards; k++) {
		struct pl_slot *slots = NULL;
		size_t n = 0;
		uint64_t of[2] = {0, 0};
		assert_int_equal(pl_plan_slots(p, k, f->select, &slots, &n, NULL), PL_OK);
		for (size_t i = 0; i < n; i++) {
			assert_true(slots[i].source < 2 && slots[i].shard < A_SHARDS && slots[i].row < A_ROWS);
			of[slots[i].source]++;
			drawn[slots[i].source][slots[i].shard][slots[i].row]++;
			assert_true(slots[i].pass <= (uint64_t)p->sources[slots[i].source].epochs + 1);
		}
		total += n;
		for (size_t s = 0; s < 2; s++) {
			double share = (double)p->sources[s].quota / (double)p->shards;
			assert_true((double)of[s] > share - 1 && (double)of[s] < share + 1);
		}
		free(slots);
	}
	assert_int_equal(total, p->samples);
	for (size_t s = 0; s < 2; s++) {
		uint64_t low = p->sources[s].quota / f->kept[s],
		         high = (p->sources[s].quota + f->kept[s] - 1) / f->kept[s];
		for (size_t k = 0; k < (s ? 1 : A_SHARDS); k++) {
			for (size_t i = 0; i < (s ? B_ROWS : A_ROWS); i++) {
				if (s == 0 && i % 7 == 3)
					assert_int_equal(drawn[s][k][i], 0);
				else
					assert_true(drawn[s][k][i] >= low && drawn[s][k][i] <= high);
			}
		}
	}
	free(drawn);
}

static void test_slots(void **state)
{
	static const struct { const char *weights, *balance, *output; uint64_t a, b, shards; } cases[] = {
		{"0.5 0.5", "total: 1000, max_epochs: 4", "shard_samples: 100", 500, 500, 10},
		{"0.9 0.1", "total: 777", "shard_samples: 50", 699, 78, 16},
		{"1 0", "total: 2500", "shard_samples: 10000", 2500, 130, 1},
		{"1 0", "total: 9000", "shard_samples: 1000", 9000, 130, 10},
		{"0 0", "unit: samples", "shard_samples: 7", 3600, 130, 533},
		{"0.5 0.5", "max_epochs: 1", "shard_samples: 33", 130, 130, 8},
	};
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(f.kept[0], 3600);
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		struct pl_plan p;
		struct pl_recipe r;
		struct pl_err err = {0};
		if (make(&f, cases[i].weights, cases[i].balance, cases[i].output, &p, &r, &err) != PL_OK)
			fail_msg("%s", err.text);
		assert_int_equal(p.sources[0].quota, cases[i].a);
		assert_int_equal(p.sources[1].quota, cases[i].b);
		assert_int_equal(p.shards, cases[i].shards);
		check_slots(&f, &p);
		pl_plan_release(&p);
		pl_recipe_release(&r);
	}
	end(&f);
}

/* The least number of draws of corpus a whose units reach total, one draw after the other. */
static uint64_t count_draws(
    const struct fixture *f, bool by_images, uint64_t total, uint64_t image_tokens)
{
	uint64_t n = f->kept[0], i = 0, sum = 0;

	for (; sum < total; i++) {
		const struct pl_order_way way = {42, "a", i / n, 64, 0};
		struct pl_order *order = NULL;
		struct pl_sample_cost cost = {0};
		assert_int_equal(pl_select_order(f->select[0], &way, n, &order, NULL), PL_OK);
		assert_int_equal(
		    pl_select_cost(f->select[0], pl_order_at(order, i % n), &cost, NULL), PL_OK);
		sum += by_images ? cost.images : cost.text_tokens + cost.images * image_tokens;
	}
	return i;
}

/* In images and tokens: the drawn sum reaches the target with the last draw, not before; the plan's
 * sums are those of its slots. */
static void check_units(const char *unit, uint64_t total, uint64_t image_tokens)
{
	struct fixture f;
	struct pl_plan p;
	struct pl_recipe r;
	char balance[128];
	uint64_t images = 0, tokens = 0;
	bool by_images = strcmp(unit, "images") == 0;

	begin(&f);
	snprintf(balance, sizeof(balance), "unit: %s, total: %llu, image_tokens: %llu", unit,
	    (unsigned long long)total, (unsigned long long)image_tokens);
	assert_int_equal(make(&f, "1 0", balance, "shard_samples: 64", &p, &r, NULL), PL_OK);
	for (uint64_t k = 0; k < p.shards; k++) {
		struct pl_slot *slots = NULL;
		size_t n = 0;
		assert_int_equal(pl_plan_slots(&p, k, f.select, &slots, &n, NULL), PL_OK);
		for (size_t i = 0; i < n; i++) {
			if (slots[i].source != 0)
				continue;
			images += slots[i].row % 3;
			tokens += 5 + slots[i].row % 11 + slots[i].row % 3 * image_tokens;
		}
		free(slots);
	}
	assert_int_equal(p.sources[0].quota, count_draws(&f, by_images, total, image_tokens));
	assert_int_equal(images, p.sources[0].images);
	assert_int_equal(tokens, p.sources[0].tokens);
	assert_true((by_images ? images : tokens) >= total);
	assert_true((by_images ? images : tokens) < total + (by_images ? 2 : 15 + 2 * image_tokens));
	assert_int_equal(p.sources[1].quota, B_ROWS);
	pl_plan_release(&p);
	pl_recipe_release(&r);
	end(&f);
}

static void test_units(void **state)
{
	(void)state;
	check_units("images", 333, 576);
	check_units("images", 334, 576);
	check_units("images", 336, 576);
	check_units("images", 5000, 576);
	check_units("tokens", 100000, 576);
	check_units("tokens", 54321, 0);
	check_units("tokens", 3000000, 100);
}

/* Slots of shard k are the same from a fresh selection, in any order of asking, and from a plan read
 * back. */
static void test_independence(void **state)
{
	struct fixture f;
	struct pl_plan p, q;
	struct pl_recipe r;
	char path[640], path2[640];
	char *one = NULL, *two = NULL;
	size_t len1 = 0, len2 = 0;

	(void)state;
	begin(&f);
	assert_int_equal(
	    make(&f, "0.7 0.3", "total: 900, max_epochs: 3", "shard_samples: 70", &p, &r, NULL), PL_OK);
	snprintf(path, sizeof(path), "%s/plan.json", f.dir);
	snprintf(path2, sizeof(path2), "%s/plan2.json", f.dir);
	assert_int_equal(pl_plan_save(&p, path, NULL), PL_OK);
	assert_int_equal(pl_plan_load(&q, path, NULL), PL_OK);
	assert_int_equal(pl_plan_save(&q, path2, NULL), PL_OK);
	assert_int_equal(pl_file_read(path, 1 << 20, &one, &len1, NULL), PL_OK);
	assert_int_equal(pl_file_read(path2, 1 << 20, &two, &len2, NULL), PL_OK);
	assert_int_equal(len1, len2);
	assert_memory_equal(one, two, len1);
	assert_string_equal(q.recipe_text, r.text);
	assert_int_equal(q.sources[0].digest[1], p.sources[0].digest[1]);
	for (uint64_t k = p.shards; k-- > 0;) {
		struct pl_select *fresh[2] = {NULL, NULL};
		struct pl_slot *x = NULL, *y = NULL;
		size_t nx = 0, ny = 0;
		assert_int_equal(pl_select_new(&fresh[0], &f.corpus[0], NULL, NULL, NULL, NULL), PL_OK);
		assert_int_equal(pl_select_new(&fresh[1], &f.corpus[1], NULL, NULL, NULL, NULL), PL_OK);
		assert_int_equal(pl_plan_slots(&p, k, f.select, &x, &nx, NULL), PL_OK);
		assert_int_equal(pl_plan_slots(&q, k, fresh, &y, &ny, NULL), PL_OK);
		assert_int_equal(nx, ny);
		for (size_t i = 0; i < nx; i++)
			assert_true(x[i].source == y[i].source && x[i].shard == y[i].shard &&
			            x[i].row == y[i].row && x[i].pass == y[i].pass);
		free(x);
		free(y);
		pl_select_free(fresh[0]);
		pl_select_free(fresh[1]);
	}
	free(one);
	free(two);
	pl_plan_release(&p);
	pl_plan_release(&q);
	pl_recipe_release(&r);
	end(&f);
}

enum { MANY = 15 };

/* A corpus of so many shards of unequal size that fan_in counts, in the order of units or against it. */
static void begin_many(struct fixture *f, bool backwards)
{
	struct tc_shard *s[MANY];

	*f = (struct fixture){.dir = tc_tempdir()};
	for (size_t k = 0; k < MANY; k++) {
		char unit[8];
		snprintf(unit, sizeof(unit), "u%02zu", backwards ? MANY - 1 - k : k);
		s[k] = tc_new(unit);
		snprintf(s[k]->folder, sizeof(s[k]->folder), "%02zu/", k);
		for (size_t i = 0, n = 40 + strtoul(unit + 1, NULL, 10) * 7 % 120; i < n; i++) {
			tc_sample(s[k], PL_KIND_PAIRS, unit, i + 1)->text_tokens = (uint32_t)(3 + i % 50);
			tc_image(s[k], i, i, 100);
			f->kept[0]++;
		}
	}
	for (size_t i = 0; i < 2; i++) {
		snprintf(f->paths[i], sizeof(f->paths[i]), "%s/%c", f->dir, (char)('a' + i));
		f->dirs[i] = f->paths[i];
		tc_write(&f->corpus[i], f->paths[i], i ? "b" : "a", s, MANY);
		assert_int_equal(pl_select_new(&f->select[i], &f->corpus[i], NULL, &as_they_are, NULL, NULL), PL_OK);
	}
	for (size_t k = 0; k < MANY; k++)
		free(s[k]);
}

/* Every draw of source 0: how often each (shard, row) came, and that no output shard reads from more than the plan says. */
static uint64_t check_fan_in(const struct fixture *f, const struct pl_plan *p, unsigned (*drawn)[200])
{
	uint64_t most = 0, tokens = 0;

	for (uint64_t k = 0; k < p->shards; k++) {
		struct pl_slot *slots = NULL;
		size_t n = 0;
		bool seen[MANY] = {false};
		uint64_t distinct = 0;
		assert_int_equal(pl_plan_slots(p, k, f->select, &slots, &n, NULL), PL_OK);
		for (size_t i = 0; i < n; i++) {
			if (slots[i].source != 0)
				continue;
			distinct += !seen[slots[i].shard];
			seen[slots[i].shard] = true;
			drawn[slots[i].shard][slots[i].row]++;
			tokens += 3 + slots[i].row % 50 + 10;
		}
		free(slots);
		most = distinct > most ? distinct : most;
	}
	assert_true(most <= p->sources[0].fan_in);
	assert_int_equal(tokens, p->sources[0].tokens);
	return most;
}

/* Whole passes and a part of one, in every unit: sums, counts, and the bound on input shards. */
static void test_fan_in(void **state)
{
	static const struct { const char *balance, *output; uint64_t bound; } cases[] = {
		{"image_tokens: 10", "shard_samples: 25, fan_in: 4", 4},
		{"image_tokens: 10, total: 700", "shard_samples: 20, fan_in: 4", 4},
		{"image_tokens: 10, total: 3100, max_epochs: 9", "shard_samples: 25, fan_in: 6", 6},
		{"image_tokens: 10, unit: tokens, total: 40000, max_epochs: 9", "shard_samples: 30, fan_in: 6", 6},
		{"image_tokens: 10, unit: images, total: 300", "shard_samples: 20, fan_in: 4", 4},
		{"image_tokens: 10, total: 900", "shard_samples: 1000, fan_in: 4", MANY},
		{"image_tokens: 10, total: 900", "shard_samples: 50, fan_in: 0", MANY},
	};
	struct fixture f;

	(void)state;
	begin_many(&f, false);
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		unsigned (*drawn)[200] = calloc(MANY, sizeof(*drawn)), low = UINT_MAX, high = 0;
		struct pl_plan p;
		struct pl_recipe r;
		struct pl_err err = {0};
		assert_non_null(drawn);
		if (make(&f, "1 0", cases[i].balance, cases[i].output, &p, &r, &err) != PL_OK)
			fail_msg("%s", err.text);
		assert_true(check_fan_in(&f, &p, drawn) <= cases[i].bound);
		for (size_t k = 0; k < MANY; k++) {
			for (uint64_t row = 0; row < f.corpus[0].shards[k].samples; row++) {
				low = drawn[k][row] < low ? drawn[k][row] : low;
				high = drawn[k][row] > high ? drawn[k][row] : high;
			}
		}
		assert_true(high <= low + 1);
		assert_int_equal(high, (p.sources[0].quota + f.kept[0] - 1) / f.kept[0]);
		assert_int_equal(low, p.sources[0].quota / f.kept[0]);
		pl_plan_release(&p);
		pl_recipe_release(&r);
		free(drawn);
	}
	end(&f);
}

/* Shards are taken by their units' names: where they lie, and so in which order they are listed, changes nothing. */
static void test_shard_order(void **state)
{
	struct fixture f[2];
	struct pl_plan p[2];
	struct pl_recipe r[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		begin_many(&f[i], i == 1);
		assert_int_equal(make(&f[i], "1 0", "total: 700", "shard_samples: 50, fan_in: 4", &p[i], &r[i], NULL), PL_OK);
	}
	for (uint64_t k = 0; k < p[0].shards; k++) {
		struct pl_slot *x = NULL, *y = NULL;
		size_t nx = 0, ny = 0;
		assert_int_equal(pl_plan_slots(&p[0], k, f[0].select, &x, &nx, NULL), PL_OK);
		assert_int_equal(pl_plan_slots(&p[1], k, f[1].select, &y, &ny, NULL), PL_OK);
		assert_int_equal(nx, ny);
		for (size_t i = 0; i < nx; i++) {
			assert_string_equal(f[0].corpus[x[i].source].shards[x[i].shard].unit, f[1].corpus[y[i].source].shards[y[i].shard].unit);
			assert_true(x[i].row == y[i].row && x[i].pass == y[i].pass);
		}
		free(x);
		free(y);
	}
	for (size_t i = 0; i < 2; i++) {
		pl_plan_release(&p[i]);
		pl_recipe_release(&r[i]);
		end(&f[i]);
	}
}

static void test_shard_size(void **state)
{
	struct fixture f;
	struct pl_plan p;
	struct pl_recipe r;
	struct pl_select_totals a, b;

	(void)state;
	begin(&f);
	a = pl_select_totals(f.select[0]);
	b = pl_select_totals(f.select[1]);
	assert_int_equal(make(&f, "0 0", "unit: samples", "shard_size: 50KB", &p, &r, NULL), PL_OK);
	assert_int_equal(p.shards, (a.image_bytes + a.text_bytes + b.text_bytes + 49999) / 50000);
	pl_plan_release(&p);
	pl_recipe_release(&r);
	assert_int_equal(make(&f, "0 0", "unit: samples", "shard_size: 1", &p, &r, NULL), PL_OK);
	assert_int_equal(p.shards, p.samples);
	pl_plan_release(&p);
	pl_recipe_release(&r);
	end(&f);
}

static void check_estimate(struct fixture *f, enum pl_format format, uint64_t per_image)
{
	const struct pl_resize how = {.policy = PL_POLICY_CENTER_CROP, .size = 40, .format = format};
	struct pl_select *s = NULL;
	struct pl_select_totals t;

	assert_int_equal(pl_select_new(&s, &f->corpus[0], NULL, &how, NULL, NULL), PL_OK);
	t = pl_select_totals(s);
	assert_int_equal(t.output_bytes, t.text_bytes + t.images * per_image);
	pl_select_free(s);
}

static void test_estimate(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	check_estimate(&f, PL_FORMAT_WEBP, 560);   /* 40 x 40 x 0.35 */
	check_estimate(&f, PL_FORMAT_JPEG, 960);
	check_estimate(&f, PL_FORMAT_PNG, 1000);   /* 3200, but the input is smaller */
	end(&f);
}

static void test_errors(void **state)
{
	struct fixture f;
	struct pl_plan p;
	struct pl_recipe r;
	struct pl_err err = {0};
	struct pl_slot *slots = NULL;
	size_t n = 0;
	char path[640];

	(void)state;
	begin(&f);
	assert_int_equal(
	    make(&f, "0.5 0.5", "total: 1000, max_epochs: 2", "shard_samples: 9", &p, &r, &err),
	    PL_ERR_USAGE);
	assert_string_equal(err.text,
	    "source 'b' is asked for 500 samples (50% of 1000), but has 130, which 2 epochs make 260, 240 too few: "
	    "the largest total possible is 520; lower 'total' or the weight, or raise 'max_epochs'");
	assert_string_equal(err.path, "r.yaml");
	pl_recipe_release(&r);
	assert_int_equal(make(&f, "1 1", "total: 10", "shard_samples: 9", &p, &r, &err), PL_OK);
	assert_int_equal(pl_plan_slots(&p, p.shards, f.select, &slots, &n, NULL), PL_ERR_USAGE);
	p.sources[0].available--;
	assert_int_equal(pl_plan_slots(&p, 0, f.select, &slots, &n, NULL), PL_ERR_CONFLICT);
	pl_plan_release(&p);
	pl_recipe_release(&r);
	snprintf(path, sizeof(path), "%s/plan.json", f.dir);
	assert_int_equal(
	    pl_file_write(path,
	        "{\"format\":\"plait-plan\",\"version\":1,\"seed\":1,\"shards\":9,\"samples\":3}", 66,
	        NULL),
	    PL_OK);
	assert_int_equal(pl_plan_load(&p, path, &err), PL_ERR_INVALID);
	assert_int_equal(pl_file_write(path, "[]", 2, NULL), PL_OK);
	assert_int_equal(pl_plan_load(&p, path, &err), PL_ERR_INVALID);
	end(&f);
}

static void test_text(void **state)
{
	struct fixture f;
	struct pl_plan p;
	struct pl_recipe r;
	struct pl_buf out = {0};

	(void)state;
	begin(&f);
	assert_int_equal(
	    make(&f, "0.5 0.5", "total: 200, image_tokens: 10", "shard_samples: 100", &p, &r, NULL),
	    PL_OK);
	assert_int_equal(pl_plan_text(&p, &out, NULL), PL_OK);
	assert_non_null(
	    strstr((const char *)out.data, "b               130          130          130          130          100    0.769     50.00%"));
	assert_non_null(strstr((const char *)out.data, "200 samples in 2 output shards, seed 42; an output shard reads from 3 input shards of a source at most\n"));
	pl_buf_release(&out);
	pl_plan_release(&p);
	pl_recipe_release(&r);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_independence),
		cmocka_unit_test(test_fan_in),
		cmocka_unit_test(test_shard_order),
		cmocka_unit_test(test_shard_size),
		cmocka_unit_test(test_estimate),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
