/* SPDX-License-Identifier: Apache-2.0 */
/* Files of scores: what each format gives, what hostile ones cost; and the join
 * against a plain search, with runs of a few rows and several parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "libpipe/base/buf.h"
#include "libpipe/base/file.h"
#include "libpipe/corpus/score_join.h"
#include "table_corpus.h"

static char *dir;

static const char *in_dir(const char *name)
{
	static char path[2][1024];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static const char *put_bytes(const char *name, const void *data, size_t len)
{
	const char *path = in_dir(name);

	assert_int_equal(pl_file_write(path, data, len, NULL), PL_OK);
	return path;
}

static const char *put(const char *name, const char *text)
{
	return put_bytes(name, text, strlen(text));
}

static const char *const clip_nsfw[] = {"clip", "nsfw"};
static const struct pl_score_columns columns = {"key", clip_nsfw, 2};

/* Read the file; the rows as "hash-of:clip:nsfw" in order; the status it ends with. */
struct got { size_t n; uint64_t keys[64]; double values[64][2]; struct pl_score_counts counts; enum pl_status end; struct pl_err err; };

static struct got read_file(const char *path)
{
	struct got g = {0};
	struct pl_score_file *f;

	g.end = pl_score_file_open(&f, path, &columns, &g.err);
	if (g.end != PL_OK)
		return g;
	while (g.n < 64 && (g.end = pl_score_file_next(f, &g.keys[g.n], g.values[g.n], &g.err)) == PL_OK)
		g.n++;
	g.counts = *pl_score_file_counts(f);
	pl_score_file_close(f);
	return g;
}

static bool is(const struct got *g, size_t i, const char *key, double clip, double nsfw)
{
	double want[2] = {clip, nsfw};

	if (i >= g->n || g->keys[i] != pl_hash64(key, strlen(key)))
		return false;
	for (int k = 0; k < 2; k++)
		if (isnan(want[k]) ? !isnan(g->values[i][k]) : g->values[i][k] != want[k])
			return false;
	return true;
}

#define NONE ((double)NAN)

static void test_csv(void **state)
{
	struct got g = read_file(put("a.csv",
	    "\xEF\xBB\xBFnsfw,\"key\",other,clip\r\n0.1,a,x,0.3\r\n,\"b,\"\"c\"\"\nd\",,1e-3\r\n\r\nnan,e,y,\n NA ,f,y, 0.5 \ninf,g,y,zz\n0x10,h,,1\n"
	    "1,,no key,2\n1,short\n3,i,,4"));

	(void)state;
	assert_int_equal(g.end, PL_END);
	assert_int_equal(g.n, 7);
	assert_true(is(&g, 0, "a", 0.3, 0.1));
	assert_true(is(&g, 1, "b,\"c\"\nd", 1e-3, NONE));
	assert_true(is(&g, 2, "e", NONE, NONE));
	assert_true(is(&g, 3, "f", 0.5, NONE));
	assert_true(is(&g, 4, "g", NONE, NONE));
	assert_true(is(&g, 5, "h", 1, NONE));
	assert_true(is(&g, 6, "i", 4, 3));
	assert_int_equal(g.counts.rows, 7);
	assert_int_equal(g.counts.bad_rows, 2);
	assert_int_equal(g.counts.bad_values, 3);   /* inf, zz, 0x10 */
}

static void test_tsv(void **state)
{
	struct got g = read_file(put("a.tsv", "key\tclip\tnsfw\n\"q\t1\t2\na,b\t3\t4\r\n"));

	(void)state;
	assert_int_equal(g.end, PL_END);
	assert_true(g.n == 2 && is(&g, 0, "\"q", 1, 2) && is(&g, 1, "a,b", 3, 4));
}

static void test_json(void **state)
{
	static const char lines[] = "{\"key\":\"a\",\"clip\":0.25,\"nsfw\":\"0.5\"}\n{\"key\":17,\"clip\":null}\n[1]\n{\"clip\":1}\nnot json\n"
	    "{\"key\":\"\",\"clip\":1}\n{\"key\":\"b\",\"clip\":[],\"nsfw\":\"x\"}\n{\"key\":1.5}\n";
	struct got g = read_file(put("a.jsonl", lines));

	(void)state;
	assert_int_equal(g.end, PL_END);
	assert_int_equal(g.n, 3);
	assert_true(is(&g, 0, "a", 0.25, 0.5) && is(&g, 1, "17", NONE, NONE) && is(&g, 2, "b", NONE, NONE));
	assert_int_equal(g.counts.bad_rows, 5);
	assert_int_equal(g.counts.bad_values, 2);
	g = read_file(put("a.json", "[{\"key\":\"a\",\"clip\":1,\"nsfw\":2},{\"key\":\"b\"}]"));
	assert_true(g.end == PL_END && g.n == 2 && is(&g, 0, "a", 1, 2));
}

static void test_npy(void **state)
{
	static const struct pl_npy_col cols[] = {{"nsfw", PL_NPY_F32, 1, 0}, {"clip", PL_NPY_U8, 1, 4}, {"pad", PL_NPY_BYTES, 3, 5},
	    {"key", PL_NPY_U64, 1, 8}};
	struct { float nsfw; uint8_t clip, pad[3]; uint64_t key; } rows[2] = {{0.5f, 7, {0}, 0}, {INFINITY, 8, {0}, 0}};
	struct got g;

	(void)state;
	rows[0].key = pl_hash64("a", 1);
	rows[1].key = pl_hash64("b", 1);
	tc_table(dir, "a", "s", cols, 4, sizeof(rows[0]), rows, 2);
	g = read_file(in_dir("a.s.npy"));
	assert_true(g.end == PL_END && g.n == 2 && is(&g, 0, "a", 7, 0.5) && is(&g, 1, "b", 8, NONE));
	tc_table(dir, "b", "s", cols, 2, 5, rows, 2);
	g = read_file(in_dir("b.s.npy"));
	assert_int_equal(g.end, PL_ERR_INVALID);
}

static void test_refused(void **state)
{
	static const struct { const char *name, *text, *says; } cases[] = {
		{"r.csv", "", "is empty"}, {"r.csv", "key,clip\n", "no column 'nsfw'; it has key, clip"},
		{"r.csv", "id,clip,nsfw\n", "no column 'key'"}, {"r.csv", "key,clip,nsfw\na,\"1,2\nb,3,4\n", "quoted field"},
		{"r.tsv", "key,clip,nsfw\n", "no column 'key'"}, {"r.parquet", "PAR1", "no file of scores by its name"},
		{"r.npy", "\x93NUMPY", ""}, {"r.json", "[{\"key\":\"a\"},", "ends inside"}, {"r.csv", "\x1b[31m,a\n", "it has ?[31m, a"},
	};
	char *big;
	struct got g;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		g = read_file(put(cases[i].name, cases[i].text));
		if (g.end == PL_OK || g.end == PL_END || strstr(g.err.text, cases[i].says) == NULL)
			fail_msg("case %zu ends with %d: %s", i, (int)g.end, g.err.text);
		assert_int_equal(g.err.severity, PL_SEV_JOB);
	}
	/* A quote that is never closed costs at most a row's room, not memory. */
	big = malloc(PL_SCORE_ROW_MAX + 100);
	assert_non_null(big);
	memset(big, 'x', PL_SCORE_ROW_MAX + 100);
	memcpy(big, "key,clip,nsfw\n\"", 15);
	g = read_file(put_bytes("big.csv", big, PL_SCORE_ROW_MAX + 100));
	assert_int_equal(g.end, PL_ERR_LIMIT);
	assert_int_equal(g.err.line, 2);
	memset(big, ',', 5000);
	g = read_file(put_bytes("wide.csv", big, 5000));
	assert_int_equal(g.end, PL_ERR_LIMIT);
	free(big);
}

/* A corpus of two shards with keys k0, k1, ...; some in both. */
static void make_corpus(struct pl_corpus *c, struct tc_shard **shards)
{
	char key[32];

	for (size_t s = 0; s < 2; s++) {
		shards[s] = tc_new(s == 0 ? "u0" : "u1");
		for (size_t i = 0; i < 500; i++) {
			snprintf(key, sizeof(key), "k%zu", s * 490 + i);
			tc_sample(shards[s], PL_KIND_TEXT, key, 1 + i)->segments = 1;
		}
	}
	tc_write(c, dir, "c", shards, 2);
}

/* The files: rows in a mixed order, every third key twice, some of no sample. */
static double value_of(uint64_t file, uint64_t row)
{
	return (double)(file * 10000 + row);
}

static void make_files(char paths[3][1024], uint64_t keys[3][600], size_t *rows)
{
	*rows = 0;
	for (uint64_t f = 0; f < 3; f++) {
		struct pl_buf b;
		pl_buf_init(&b, 0);
		assert_int_equal(pl_buf_adds(&b, "key,clip,nsfw\n", NULL), PL_OK);
		for (uint64_t i = 0; i < 600; i++, ++*rows) {
			keys[f][i] = pl_draw64(9, f, i) % 1100;
			assert_int_equal(pl_buf_addf(&b, NULL, "k%d,%g,%g\n", (int)keys[f][i], value_of(f, i), -value_of(f, i)), PL_OK);
		}
		snprintf(paths[f], 1024, "%s/f%d.csv", dir, (int)f);
		assert_int_equal(pl_file_write(paths[f], b.data, b.len, NULL), PL_OK);
		pl_buf_release(&b);
	}
}

static void join_and_check(const struct pl_corpus *c, unsigned parts, size_t run_bytes)
{
	const struct pl_score_join j = {.dir = dir, .columns = columns, .run_bytes = run_bytes};
	static uint64_t keys[3][600];
	static char paths[3][1024];
	uint64_t runs[3], repeated = 0, matched = 0, unmatched = 0, distinct = 0, with = 0, lone = 0, want;
	bool seen[1100] = {false};
	struct pl_score_counts counts;
	struct pl_score_index x;
	size_t rows;

	make_files(paths, keys, &rows);
	for (size_t f = 0; f < 3; f++)
		assert_int_equal(pl_score_sort(&j, paths[f], f, &runs[f], &counts, NULL), PL_OK);
	assert_true(run_bytes != 0 ? runs[0] > 3 : runs[0] == 1);
	for (unsigned p = 0; p < parts; p++)
		assert_int_equal(pl_score_merge(&j, runs, 3, p, parts, &repeated, NULL), PL_OK);
	assert_int_equal(pl_score_index_open(&x, &j, parts, NULL), PL_OK);
	for (size_t s = 0; s < 2; s++)
		assert_int_equal(pl_score_look_up(&j, &x, c, s, &matched, NULL), PL_OK);
	for (unsigned p = 0; p < parts; p++)
		assert_int_equal(pl_score_unmatched(&j, &x, p, c, &unmatched, NULL), PL_OK);
	pl_score_index_close(&x);
	for (size_t s = 0; s < 2; s++) {
		struct pl_npy t;
		assert_int_equal(pl_npy_open(&t, in_dir(s == 0 ? "u0.scores.npy" : "u1.scores.npy"), NULL), PL_OK);
		assert_int_equal(t.nrows, 500);
		for (uint64_t i = 0; i < 500; i++) {
			double v[2], first = NONE;
			memcpy(v, pl_npy_row(&t, i), sizeof(v));
			for (uint64_t f = 3; f-- > 0;)
				for (uint64_t k = 600; k-- > 0;)
					if (keys[f][k] == s * 490 + i)
						first = value_of(f, k);
			with += isnan(first) ? 0 : 1;
			if (isnan(first) ? !isnan(v[0]) || !isnan(v[1]) : v[0] != first || v[1] != -first)
				fail_msg("sample k%d has %g, not %g", (int)(s * 490 + i), v[0], first);
		}
		pl_npy_close(&t);
	}
	for (size_t f = 0; f < 3; f++)
		for (size_t i = 0; i < 600; i++) {
			distinct += !seen[keys[f][i]];
			lone += !seen[keys[f][i]] && keys[f][i] >= 990;
			seen[keys[f][i]] = true;
		}
	want = rows - distinct;
	assert_int_equal(repeated, want);
	assert_int_equal(matched, with);
	assert_int_equal(unmatched, lone);
}

static void test_join(void **state)
{
	struct tc_shard *shards[2];
	struct pl_corpus c;

	(void)state;
	make_corpus(&c, shards);
	join_and_check(&c, 1, 0);
	assert_int_equal(pl_score_clear(dir, true, NULL), PL_OK);
	assert_int_equal(access(in_dir("u0.scores.npy"), F_OK), -1);
	join_and_check(&c, 1, 2000);
	assert_int_equal(pl_score_clear(dir, false, NULL), PL_OK);
	assert_int_equal(access(in_dir("scores-part.0.npy"), F_OK), -1);
	assert_int_equal(access(in_dir("u0.scores.npy"), F_OK), 0);
	join_and_check(&c, 8, 2000);
	assert_int_equal(pl_score_clear(dir, true, NULL), PL_OK);
	pl_corpus_close(&c);
	free(shards[0]);
	free(shards[1]);
}

static void test_parts(void **state)
{
	(void)state;
	assert_int_equal(pl_score_parts(0), 1);
	assert_int_equal(pl_score_parts(PL_SCORE_PART_ROWS), 1);
	assert_int_equal(pl_score_parts(PL_SCORE_PART_ROWS * 3), 4);
	assert_int_equal(pl_score_parts(UINT64_MAX), PL_SCORE_PARTS_MAX);
}

static void test_columns(void **state)
{
	static const char *const bad[][2] = {{"status", "x"}, {"clip", "CLIP"}, {"similarity", "x"}, {"", "x"}, {"a\"b", "x"}};
	static const char *const meta[] = {"similarity"};
	const struct pl_source s = {.columns = meta, .ncolumns = 1};
	const struct pl_score_columns none = {"key", NULL, 0};
	struct pl_err err;

	(void)state;
	assert_int_equal(pl_score_columns_check(&s, &columns, &err), PL_OK);
	assert_int_equal(pl_score_columns_check(&s, &none, &err), PL_ERR_USAGE);
	for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
		const struct pl_score_columns c = {"key", bad[i], 2};
		assert_int_equal(pl_score_columns_check(&s, &c, &err), PL_ERR_USAGE);
	}
}

/* scores.json of another hand: what it names are columns, so it is held to their rules. */
static void test_hostile_note(void **state)
{
	struct tc_shard *shards[2];
	struct pl_corpus c;

	(void)state;
	make_corpus(&c, shards);
	pl_corpus_close(&c);
	put("scores.json", "{\"columns\":[\"key\"]}");
	assert_int_not_equal(pl_corpus_open(&c, dir, NULL), PL_OK);
	put("scores.json", "{\"columns\":[3]}");
	assert_int_equal(pl_corpus_open(&c, dir, NULL), PL_ERR_INVALID);
	put("scores.json", "{\"columns\":[\"clip\"]}");
	assert_int_equal(pl_corpus_open(&c, dir, NULL), PL_OK);
	assert_true(pl_corpus_has_score(&c, "CLIP") && !pl_corpus_has_score(&c, "nsfw"));
	pl_corpus_close(&c);
	unlink(in_dir("scores.json"));
	free(shards[0]);
	free(shards[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_csv),
		cmocka_unit_test(test_tsv),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_npy),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_hostile_note),
	};
	int failed;

	dir = tc_tempdir();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	tc_remove(dir);
	return failed;
}
