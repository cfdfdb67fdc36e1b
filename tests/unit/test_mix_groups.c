/* SPDX-License-Identifier: Apache-2.0 */
/* Groups: their names and tables, selections of one part, plans that balance
 * inside a source; and the rules for samples whose image or text is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/mix/plan_draw.h"
#include "table_corpus.h"

enum { SHARDS = 3, ROWS = 1000, GROUPS = 4 };

static const char *const names[GROUPS] = {"en", "zh", "de", PL_GROUP_NULL};

/* Row i of shard k: which group, and is it kept? Shard 2 has no "de". */
static unsigned group_of(size_t k, size_t i)
{
	unsigned g = i % 10 < 6 ? 0 : i % 10 < 8 ? 1 : i % 10 < 9 ? 2 : 3;

	return k == 2 && g == 2 ? 0 : g;
}

static bool kept_at(size_t i)
{
	return i % 7 != 3;
}

struct fixture {
	char *dir;
	char path[600];
	struct pl_corpus c;
	struct pl_groups g;
	uint64_t kept[GROUPS], tokens[GROUPS];
};

static void begin(struct fixture *f)
{
	struct tc_shard *s[SHARDS];
	json_t *shards = json_array();

	*f = (struct fixture){.dir = tc_tempdir()};
	snprintf(f->path, sizeof(f->path), "%s/a", f->dir);
	for (size_t k = 0; k < SHARDS; k++) {
		char unit[8] = {'a', (char)('0' + k), 0};
		s[k] = tc_new(unit);
		for (size_t i = 0; i < ROWS; i++) {
			struct pl_sample_row *r = tc_sample(s[k], PL_KIND_TEXT, "k", 1);
			r->text_tokens = (uint32_t)(5 + i % 11);
			r->status = kept_at(i) ? PL_REASON_KEEP : PL_REASON_BAD_JSON;
			f->kept[group_of(k, i)] += kept_at(i);
			f->tokens[group_of(k, i)] += kept_at(i) ? r->text_tokens : 0;
		}
	}
	tc_write(&f->c, f->path, "a", s, SHARDS);
	for (size_t k = 0; k < SHARDS; k++) {
		struct pl_group_names n = {0};
		struct pl_group_row rows[ROWS];
		json_t *list = json_array();
		for (size_t i = 0; i < ROWS; i++) {
			const char *name = group_of(k, i) == 3 ? NULL : names[group_of(k, i)];
			assert_int_equal(pl_group_names_add(&n, name, name ? strlen(name) : 0, &rows[i].group, NULL), PL_OK);
		}
		tc_table(f->path, s[k]->unit, "groups", pl_group_cols, pl_group_ncols, sizeof(*rows), rows, ROWS);
		for (size_t i = 0; i < n.n; i++)
			json_array_append_new(list, json_string(n.items[i]));
		json_array_append_new(shards, list);
		pl_group_names_release(&n);
		free(s[k]);
	}
	assert_int_equal(pl_groups_save(&f->c, "x", shards, NULL), PL_OK);
	assert_int_equal(pl_groups_load(&f->g, &f->c, NULL), PL_OK);
	json_decref(shards);
}

static void end(struct fixture *f)
{
	pl_groups_release(&f->g);
	pl_corpus_close(&f->c);
	tc_remove(f->dir);
}

/* ---- names and files ---- */

static void test_names(void **state)
{
	struct pl_group_names n = {0};
	struct pl_err err = {0};
	char name[200];
	uint16_t at = 9;

	(void)state;
	assert_int_equal(pl_group_names_add(&n, "b", 1, &at, NULL), PL_OK);
	assert_int_equal(at, 0);
	assert_int_equal(pl_group_names_add(&n, NULL, 0, &at, NULL), PL_OK);
	assert_int_equal(at, 1);
	assert_int_equal(pl_group_names_add(&n, PL_GROUP_NULL, strlen(PL_GROUP_NULL), &at, NULL), PL_OK);
	assert_int_equal(at, 1);
	assert_int_equal(pl_group_names_add(&n, "", 0, &at, NULL), PL_OK);
	assert_int_equal(at, 2);
	assert_int_equal(pl_group_names_add(&n, "b", 1, &at, NULL), PL_OK);
	assert_int_equal(at, 0);
	assert_int_equal(pl_group_names_add(&n, "\xff", 1, &at, &err), PL_ERR_USAGE);
	assert_int_equal(pl_group_names_add(&n, "a\0b", 3, &at, &err), PL_ERR_USAGE);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';   /* strict checks of strings look for an end behind the length */
	assert_int_equal(pl_group_names_add(&n, name, PL_GROUP_NAME_MAX + 1, &at, &err), PL_ERR_USAGE);
	assert_int_equal(pl_group_names_add(&n, name, PL_GROUP_NAME_MAX, &at, &err), PL_OK);
	for (int i = 4; i < PL_GROUPS_MAX; i++) {
		int len = snprintf(name, sizeof(name), "group %d", i);
		assert_int_equal(pl_group_names_add(&n, name, (size_t)len, &at, NULL), PL_OK);
		assert_int_equal(at, i);
	}
	assert_int_equal(pl_group_names_add(&n, "group 77", 8, &at, NULL), PL_OK);
	assert_int_equal(at, 77);
	assert_int_equal(pl_group_names_add(&n, "one more", 8, &at, &err), PL_ERR_USAGE);
	assert_non_null(strstr(err.text, "more than 4096 values: put them into buckets"));
	pl_group_names_release(&n);
}

static void test_files(void **state)
{
	static const char *const bad[] = {
		"[]", "{}", "{\"format\":\"plait-groups\",\"version\":1,\"names\":[\"a\"],\"shards\":[[0],[0]]}",
		"{\"format\":\"plait-groups\",\"version\":2,\"names\":[\"a\"],\"shards\":[[0],[0],[0]]}",
		"{\"format\":\"plait-groups\",\"version\":1,\"names\":[\"a\"],\"shards\":[[0],[1],[0]]}",
		"{\"format\":\"plait-groups\",\"version\":1,\"names\":[\"a\"],\"shards\":[[0],[-1],[0]]}",
		"{\"format\":\"plait-groups\",\"version\":1,\"names\":[\"a\"],\"shards\":[[0],0,[0]]}",
		"{\"format\":\"plait-groups\",\"version\":1,\"names\":[\"b\",\"a\"],\"shards\":[[0],[0],[0]]}",
		"{\"format\":\"plait-groups\",\"version\":1,\"names\":[\"a\",\"a\"],\"shards\":[[0],[0],[0]]}",
		"{\"format\":\"plait-groups\",\"version\":1,\"names\":[7],\"shards\":[[0],[0],[0]]}",
		"{\"format\":\"other\",\"version\":1,\"names\":[\"a\"],\"shards\":[[0],[0],[0]]}",
	};
	struct fixture f;
	struct pl_groups g;
	char path[640];

	(void)state;
	begin(&f);
	assert_int_equal(f.g.n, GROUPS);
	assert_string_equal(f.g.names[0], PL_GROUP_NULL);
	assert_string_equal(f.g.names[1], "de");
	assert_string_equal(f.g.names[3], "zh");
	assert_int_equal(f.g.nof[0], 4);
	assert_int_equal(f.g.nof[2], 3);
	assert_string_equal(f.g.names[f.g.of[0][0]], "en");
	snprintf(path, sizeof(path), "%s/groups.json", f.path);
	for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
		assert_int_equal(pl_file_write(path, bad[i], strlen(bad[i]), NULL), PL_OK);
		assert_int_equal(pl_groups_load(&g, &f.c, NULL), PL_ERR_INVALID);
	}
	assert_int_equal(remove(path), 0);
	assert_int_equal(pl_groups_load(&g, &f.c, NULL), PL_ERR_NOTFOUND);
	end(&f);
}

static void test_parts(void **state)
{
	static const char *const two[] = {"zh", "fr"}, *const all[] = {"zh", "en", "de", "(null)"}, *const rest[] = {"(other)", "en"};
	struct fixture f;
	struct pl_group_parts p;

	(void)state;
	begin(&f);
	assert_int_equal(pl_group_parts_make(&p, &f.g, NULL, 0, NULL), PL_OK);
	assert_int_equal(p.n, GROUPS);
	assert_string_equal(p.names[1], "de");
	assert_int_equal(p.part_of[3], 3);
	pl_group_parts_release(&p);
	assert_int_equal(pl_group_parts_make(&p, &f.g, two, 2, NULL), PL_OK);
	assert_int_equal(p.n, 3);
	assert_string_equal(p.names[2], PL_GROUP_OTHER);
	assert_int_equal(p.part_of[3], 0);
	assert_int_equal(p.part_of[0], 2);
	pl_group_parts_release(&p);
	assert_int_equal(pl_group_parts_make(&p, &f.g, all, 4, NULL), PL_OK);
	assert_int_equal(p.n, 4);
	pl_group_parts_release(&p);
	assert_int_equal(pl_group_parts_make(&p, &f.g, rest, 2, NULL), PL_OK);
	assert_int_equal(p.n, 2);
	assert_int_equal(p.part_of[0], 0);
	assert_int_equal(p.part_of[2], 1);
	pl_group_parts_release(&p);
	end(&f);
}

/* ---- selections ---- */

static void check_select(struct pl_views *views)
{
	struct fixture f;
	struct pl_group_parts p;
	uint64_t first[2] = {0, 0};

	begin(&f);
	assert_int_equal(pl_group_parts_make(&p, &f.g, names, GROUPS, NULL), PL_OK);
	for (size_t g = 0; g < GROUPS; g++) {
		struct pl_select_rule rule = {.parts = &p, .part = g, .views = views};
		struct pl_select *s = NULL;
		struct pl_select_totals t;
		uint64_t j = 0, digest[2];
		assert_int_equal(pl_select_new(&s, &f.c, &rule, NULL, NULL, NULL), PL_OK);
		t = pl_select_totals(s);
		assert_int_equal(t.samples, f.kept[g]);
		assert_int_equal(t.text_tokens, f.tokens[g]);
		for (uint32_t k = 0; k < SHARDS; k++)
			for (uint64_t i = 0; i < ROWS; i++) {
				uint32_t shard = 99;
				uint64_t row = 0;
				struct pl_sample_cost cost = {0};
				if (!kept_at(i) || group_of(k, i) != g)
					continue;
				assert_int_equal(pl_select_at(s, j, &shard, &row, NULL), PL_OK);
				assert_true(shard == k && row == i);
				assert_int_equal(pl_select_cost(s, j++, &cost, NULL), PL_OK);
				assert_int_equal(cost.text_tokens, 5 + i % 11);
			}
		assert_int_equal(j, t.samples);
		pl_select_digest(s, digest);
		assert_memory_not_equal(digest, first, sizeof(first));
		memcpy(first, digest, sizeof(first));
		pl_select_free(s);
	}
	pl_group_parts_release(&p);
	end(&f);
}

static void test_select(void **state)
{
	/* Tables that stay open: of no shard, of some, of all. */
	static const uint64_t rooms[] = {0, (uint64_t)ROWS * 400, PL_VIEWS_BYTES};

	(void)state;
	check_select(NULL);
	for (size_t i = 0; i < PL_ARRAY_LEN(rooms); i++) {
		struct pl_views *views = NULL;
		assert_int_equal(pl_views_new(&views, SHARDS, rooms[i], NULL), PL_OK);
		check_select(views);
		pl_views_release(views);
	}
}

/* ---- plans ---- */

struct planned { struct pl_recipe r; struct pl_plan p; struct pl_group_parts parts; struct pl_select *select[GROUPS + 2]; size_t n; };

/* Of the fixture's corpus, with these lines for its groups and its balance. */
static enum pl_status make(const struct fixture *f, const char *groups, const char *balance, uint64_t seed, struct planned *q,
    struct pl_err *err)
{
	const struct pl_group_parts *parts[1] = {&q->parts};
	const char *dirs[1] = {f->path};
	const struct pl_recipe_groups *g;
	char text[1024];

	snprintf(text, sizeof(text),
	    "name: t\nsources:\n  - {name: a, shards: a, weight: 1, groups: {by: x, %s}}\nbalance: {%s}\noutput: {dir: o, shard_samples: 37}\n",
	    groups, balance);
	memset(q, 0, sizeof(*q));
	if (pl_recipe_parse(&q->r, "r.yaml", text, strlen(text), err) != PL_OK)
		fail_msg("%s", err->text);
	g = &q->r.sources[0].groups;
	assert_int_equal(pl_group_parts_make(&q->parts, &f->g, g->weights.n ? g->weights.keys : NULL, g->weights.n, NULL), PL_OK);
	for (; q->n < q->parts.n; q->n++) {
		struct pl_select_rule rule = {.parts = &q->parts, .part = q->n};
		assert_int_equal(pl_select_new(&q->select[q->n], &f->c, &rule, &q->r.image, NULL, NULL), PL_OK);
	}
	return pl_plan_make(&q->p, &q->r, parts, q->select, dirs, seed, NULL, err);
}

static void release(struct planned *q)
{
	for (size_t i = 0; i < q->n; i++)
		pl_select_free(q->select[i]);
	pl_plan_release(&q->p);
	pl_group_parts_release(&q->parts);
	pl_recipe_release(&q->r);
}

static const struct pl_plan_source *entry(const struct planned *q, const char *group)
{
	for (size_t i = 0; i < q->p.nsources; i++)
		if (strcmp(q->p.sources[i].group, group) == 0)
			return &q->p.sources[i];
	fail_msg("no group '%s'", group);
	return NULL;
}

/* Each output shard holds each entry's share to within one sample; each sample is drawn as often as the next one of its group. */
static void check_slots(const struct planned *q)
{
	unsigned (*drawn)[ROWS] = calloc(SHARDS, sizeof(*drawn));
	uint64_t total = 0;

	assert_non_null(drawn);
	for (uint64_t k = 0; k < q->p.shards; k++) {
		struct pl_slot *slots = NULL;
		size_t n = 0;
		uint64_t of[GROUPS + 2] = {0};
		assert_int_equal(pl_plan_slots(&q->p, k, q->select, &slots, &n, NULL), PL_OK);
		for (size_t i = 0; i < n; i++) {
			unsigned g = group_of(slots[i].shard, (size_t)slots[i].row);
			const char *name = q->p.sources[slots[i].source].group;
			assert_true(strcmp(name, names[g]) == 0 || strcmp(name, PL_GROUP_OTHER) == 0);
			of[slots[i].source]++;
			drawn[slots[i].shard][slots[i].row]++;
		}
		for (size_t s = 0; s < q->p.nsources; s++) {
			double share = (double)q->p.sources[s].quota / (double)q->p.shards;
			assert_true((double)of[s] > share - 1 && (double)of[s] < share + 1);
		}
		total += n;
		free(slots);
	}
	assert_int_equal(total, q->p.samples);
	for (size_t k = 0; k < SHARDS; k++)
		for (size_t i = 0; i < ROWS; i++) {
			const struct pl_plan_source *s = NULL;
			for (size_t e = 0; e < q->p.nsources; e++)
				if (strcmp(q->p.sources[e].group, names[group_of(k, i)]) == 0 || (!s && strcmp(q->p.sources[e].group, PL_GROUP_OTHER) == 0))
					s = &q->p.sources[e];
			assert_non_null(s);
			if (!kept_at(i))
				assert_int_equal(drawn[k][i], 0);
			else
				assert_true(drawn[k][i] == s->quota / s->available || drawn[k][i] == s->quota / s->available + 1);
		}
	free(drawn);
}

static void test_plans(void **state)
{
	struct fixture f;
	struct planned q;
	struct pl_err err = {0};
	uint64_t sum, least;

	(void)state;
	begin(&f);
	least = f.kept[2] < f.kept[3] ? f.kept[2] : f.kept[3];
	/* weights, the others left out */
	assert_int_equal(make(&f, "weights: {en: 0.7, zh: 0.3}", "total: 1000, max_epochs: 2", 3, &q, &err), PL_OK);
	assert_int_equal(entry(&q, "en")->quota, 700);
	assert_int_equal(entry(&q, "zh")->quota, 300);
	assert_int_equal(entry(&q, PL_GROUP_OTHER)->quota, 0);
	assert_int_equal(entry(&q, PL_GROUP_OTHER)->available, f.kept[2] + f.kept[3]);
	check_slots(&q);
	release(&q);
	/* the others keep the share they have */
	assert_int_equal(make(&f, "weights: {en: 0.5, zh: 0.5}, other: keep", "total: 2000", 3, &q, &err), PL_OK);
	sum = f.kept[0] + f.kept[1] + f.kept[2] + f.kept[3];
	assert_true(fabs((double)entry(&q, PL_GROUP_OTHER)->quota - 2000.0 * (double)(f.kept[2] + f.kept[3]) / (double)sum) < 1);
	assert_true(entry(&q, "en")->quota - entry(&q, "zh")->quota + 1 <= 2);
	check_slots(&q);
	release(&q);
	/* equal: as much as the smallest group gives */
	assert_int_equal(make(&f, "strategy: equal", "max_epochs: 3", 3, &q, &err), PL_OK);
	for (size_t g = 0; g < GROUPS; g++)
		assert_int_equal(entry(&q, names[g])->quota, 3 * least);
	check_slots(&q);
	release(&q);
	/* temperature: in proportion to the square root */
	assert_int_equal(make(&f, "strategy: temperature, alpha: 0.5", "total: 1500", 3, &q, &err), PL_OK);
	for (size_t g = 0; g < GROUPS; g++) {
		double roots = sqrt((double)f.kept[0]) + sqrt((double)f.kept[1]) + sqrt((double)f.kept[2]) + sqrt((double)f.kept[3]);
		assert_true(fabs((double)entry(&q, names[g])->quota - 1500 * sqrt((double)f.kept[g]) / roots) < 1);
	}
	check_slots(&q);
	release(&q);
	/* unimax: the small ones whole, the rest from the largest */
	assert_int_equal(make(&f, "strategy: unimax", "total: 1500, max_epochs: 1", 3, &q, &err), PL_OK);
	sum = 1500 - f.kept[2] - f.kept[3] - f.kept[1];
	assert_true(f.kept[1] < (1500 - f.kept[2] - f.kept[3]) / 2);
	assert_int_equal(entry(&q, "de")->quota, f.kept[2]);
	assert_int_equal(entry(&q, PL_GROUP_NULL)->quota, f.kept[3]);
	assert_int_equal(entry(&q, "zh")->quota, f.kept[1]);
	assert_int_equal(entry(&q, "en")->quota, sum);
	check_slots(&q);
	release(&q);
	/* in tokens: the sum passes the target by less than one sample */
	assert_int_equal(make(&f, "weights: {en: 1, zh: 1, de: 2}", "total: 8000, unit: tokens", 3, &q, &err), PL_OK);
	assert_true(entry(&q, "en")->tokens >= 2000 && entry(&q, "en")->tokens < 2016);
	assert_true(entry(&q, "de")->tokens >= 4000 && entry(&q, "de")->tokens < 4016);
	check_slots(&q);
	release(&q);
	/* not there, and too much: named */
	assert_int_equal(make(&f, "weights: {en: 0.9, fr: 0.1}", "total: 100", 3, &q, &err), PL_ERR_USAGE);
	assert_non_null(strstr(err.text, "group 'a/fr' is asked for a share of 10% but has no samples left"));
	release(&q);
	assert_int_equal(make(&f, "strategy: unimax", "total: 1000000, max_epochs: 2", 3, &q, &err), PL_ERR_USAGE);
	assert_non_null(strstr(err.text, "but its groups in their shares and epochs give"));
	release(&q);
	end(&f);
}

/* Another seed, other samples; the same numbers of them. */
static void test_seed(void **state)
{
	struct fixture f;
	struct planned a, b;
	struct pl_slot *x = NULL, *y = NULL;
	size_t nx = 0, ny = 0, same = 0;
	char path[640];
	struct pl_plan back;

	(void)state;
	begin(&f);
	assert_int_equal(make(&f, "strategy: temperature, alpha: 0.3", "total: 900", 3, &a, NULL), PL_OK);
	assert_int_equal(make(&f, "strategy: temperature, alpha: 0.3", "total: 900", 4, &b, NULL), PL_OK);
	assert_int_equal(a.p.nsources, b.p.nsources);
	for (size_t i = 0; i < a.p.nsources; i++)
		assert_int_equal(a.p.sources[i].quota, b.p.sources[i].quota);
	assert_int_equal(pl_plan_slots(&a.p, 1, a.select, &x, &nx, NULL), PL_OK);
	assert_int_equal(pl_plan_slots(&b.p, 1, b.select, &y, &ny, NULL), PL_OK);
	assert_int_equal(nx, ny);
	for (size_t i = 0; i < nx; i++)
		same += x[i].shard == y[i].shard && x[i].row == y[i].row;
	assert_true(same < nx / 2);
	snprintf(path, sizeof(path), "%s/plan.json", f.dir);
	assert_int_equal(pl_plan_save(&a.p, path, NULL), PL_OK);
	assert_int_equal(pl_plan_load(&back, path, NULL), PL_OK);
	for (size_t i = 0; i < a.p.nsources; i++) {
		assert_string_equal(back.sources[i].name, a.p.sources[i].name);
		assert_string_equal(back.sources[i].group, a.p.sources[i].group);
		assert_int_equal(back.sources[i].filtered, a.p.sources[i].filtered);
	}
	free(x);
	free(y);
	pl_plan_release(&back);
	release(&a);
	release(&b);
	end(&f);
}

/* ---- what is missing ---- */

/* A row of one sample: kind, its own status, then one letter per image: k kept, b broken, f filtered, d duplicate, e evaluation. */
static const struct {
	enum pl_kind kind; enum pl_reason status; const char *images; uint32_t text; enum pl_reason filter, dedup;
	bool drop, keep, text_only, demoted, no_text;   /* kept under missing_image drop, keep, text; demoted; kept under missing_text keep */
} rows[] = {
	{PL_KIND_PAIRS, PL_REASON_KEEP, "k", 9, 0, 0, true, true, true, false, true},
	{PL_KIND_PAIRS, PL_REASON_CORRUPT, "b", 9, 0, 0, false, true, true, true, false},
	{PL_KIND_PAIRS, PL_REASON_CORRUPT, "b", 0, 0, 0, false, false, false, false, false},
	{PL_KIND_PAIRS, PL_REASON_CORRUPT, "b", 9, PL_REASON_FILTERED, 0, false, false, false, false, false},
	{PL_KIND_PAIRS, PL_REASON_NO_IMAGE, "", 9, 0, 0, false, true, true, true, false},
	{PL_KIND_PAIRS, PL_REASON_NO_TEXT, "k", 0, 0, 0, false, false, false, false, true},
	{PL_KIND_PAIRS, PL_REASON_NO_TEXT, "b", 0, 0, 0, false, false, false, false, false},
	{PL_KIND_PAIRS, PL_REASON_NO_TEXT, "f", 0, 0, 0, false, false, false, false, false},
	{PL_KIND_PAIRS, PL_REASON_KEEP, "d", 9, 0, PL_REASON_NEAR_DUPLICATE, false, false, false, false, false},
	{PL_KIND_PAIRS, PL_REASON_KEEP, "f", 9, 0, 0, false, true, true, true, false},
	{PL_KIND_PAIRS, PL_REASON_BAD_JSON, "", 9, 0, 0, false, false, false, false, false},
	{PL_KIND_INTERLEAVED, PL_REASON_KEEP, "kf", 9, 0, 0, true, true, true, false, true},
	{PL_KIND_INTERLEAVED, PL_REASON_IMAGES_GONE, "bb", 9, 0, 0, false, true, true, true, false},
	{PL_KIND_INTERLEAVED, PL_REASON_KEEP, "df", 9, 0, 0, false, true, true, true, false},
	{PL_KIND_INTERLEAVED, PL_REASON_KEEP, "ef", 9, 0, 0, false, false, false, false, false},
	{PL_KIND_INTERLEAVED, PL_REASON_NO_IMAGE, "", 9, 0, 0, false, true, true, true, false},
	{PL_KIND_INTERLEAVED, PL_REASON_NO_TEXT, "k", 0, 0, 0, false, false, false, false, false},
	{PL_KIND_CHAT, PL_REASON_MISSING_IMAGE, "kb", 9, 0, 0, false, true, true, true, false},
	{PL_KIND_CHAT, PL_REASON_MARKER_MISMATCH, "k", 9, 0, 0, false, false, false, false, false},
	{PL_KIND_TEXT, PL_REASON_KEEP, "", 9, 0, 0, true, true, true, false, true},
	{PL_KIND_TEXT, PL_REASON_NO_TEXT, "", 0, 0, 0, false, false, false, false, false},
};

static void write_rows(struct pl_corpus *c, const char *dir)
{
	struct pl_filter_row filter[PL_ARRAY_LEN(rows)] = {{0}}, filter_images[64] = {{0}};
	struct pl_dedup_row dedup[PL_ARRAY_LEN(rows)] = {{0}}, dedup_images[64] = {{0}};
	struct tc_shard *s = tc_new("a");

	for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
		struct pl_sample_row *r = tc_sample(s, rows[i].kind, "k", rows[i].text);
		r->segments = (uint32_t)strlen(rows[i].images) + (rows[i].text > 0);
		r->text_bytes = rows[i].text;
		r->status = (uint8_t)rows[i].status;
		filter[i].verdict = (uint8_t)rows[i].filter;
		dedup[i].verdict = (uint8_t)rows[i].dedup;
		for (const char *p = rows[i].images; *p; p++) {
			struct pl_image_row *im = tc_image(s, i, i, 100);
			size_t at = s->nimages - 1;
			if (*p == 'b') {
				im->status = PL_REASON_CORRUPT;
				r->images_ok--;
			}
			filter_images[at].verdict = *p == 'f' ? PL_REASON_FILTERED : PL_REASON_KEEP;
			dedup_images[at].verdict = *p == 'd' ? PL_REASON_NEAR_DUPLICATE : *p == 'e' ? PL_REASON_EVALUATION : PL_REASON_KEEP;
		}
	}
	tc_write(c, dir, "a", &s, 1);
	tc_table(dir, "a", "filter", pl_filter_cols, pl_filter_ncols, sizeof(*filter), filter, s->nsamples);
	tc_table(dir, "a", "filter-images", pl_filter_cols, pl_filter_ncols, sizeof(*filter), filter_images, s->nimages);
	tc_table(dir, "a", "dedup", pl_dedup_cols, pl_dedup_ncols, sizeof(*dedup), dedup, s->nsamples);
	tc_table(dir, "a", "dedup-images", pl_dedup_cols, pl_dedup_ncols, sizeof(*dedup), dedup_images, s->nimages);
	free(s);
}

static void test_missing(void **state)
{
	static const struct pl_select_rule rules[] = {
		{.image = PL_MISSING_DROP}, {.image = PL_MISSING_KEEP}, {.image = PL_MISSING_TEXT}, {.text = PL_MISSING_KEEP}};
	char *dir = tc_tempdir(), path[600];
	struct pl_corpus c;

	(void)state;
	snprintf(path, sizeof(path), "%s/a", dir);
	write_rows(&c, path);
	for (size_t k = 0; k < PL_ARRAY_LEN(rules); k++) {
		struct pl_rule_view v;
		struct pl_select *s = NULL;
		struct pl_select_totals t;
		uint64_t kept = 0, demoted = 0;
		assert_int_equal(pl_rule_open(&v, &rules[k], &c, 0, NULL, NULL), PL_OK);
		for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
			bool want = k == 0 ? rows[i].drop : k == 1 ? rows[i].keep : k == 2 ? rows[i].text_only : rows[i].drop || rows[i].no_text;
			if ((pl_rule_verdict(&v, i) == PL_REASON_KEEP) != want)
				fail_msg("rule %zu, row %zu: %s", k, i, pl_reason_name(pl_rule_verdict(&v, i)));
			assert_int_equal(pl_rule_demotes(&v, i), k == 2 && rows[i].demoted);
			kept += want;
			demoted += k == 2 && rows[i].demoted;
		}
		pl_rule_close(&v);
		assert_int_equal(pl_select_new(&s, &c, &rules[k], NULL, NULL, NULL), PL_OK);
		t = pl_select_totals(s);
		assert_int_equal(t.samples, kept);
		assert_int_equal(t.demoted, demoted);
		assert_int_equal(t.rows, PL_ARRAY_LEN(rows));
		/* one near duplicate among the pairs, one document whose last image was a duplicate, one that is in an evaluation set */
		assert_int_equal(t.filtered - t.samples, k == 1 || k == 2 ? 2 : 3);
		pl_select_free(s);
	}
	pl_corpus_close(&c);
	tc_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_plans),
		cmocka_unit_test(test_seed),
		cmocka_unit_test(test_missing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
