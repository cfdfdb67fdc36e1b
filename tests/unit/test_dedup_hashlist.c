/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of hashes: what is a line, what is none and how that is said, and matches
 * of a corpus against one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/file.h"
#include "libpipe/dedup/dedup.h"
#include "libpipe/dedup/hashlist.h"
#include "table_corpus.h"

#define HEX "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

struct got { size_t n; uint64_t line[16], key[16]; char name[16][128]; uint8_t pdq[16][32]; };

static enum pl_status take(void *ctx, const struct pl_hash_entry *e, struct pl_err *err)
{
	struct got *g = ctx;

	(void)err;
	assert_true(g->n < PL_ARRAY_LEN(g->line));
	g->line[g->n] = e->line;
	g->key[g->n] = e->key;
	memcpy(g->pdq[g->n], e->pdq, 32);
	snprintf(g->name[g->n++], sizeof(g->name[0]), "%s", e->name);
	return PL_OK;
}

static char *write_list(const char *dir, const void *data, size_t len)
{
	char *path = pl_path_join(dir, "list.pdq");

	assert_int_equal(pl_file_write(path, data, len, NULL), PL_OK);
	return path;
}

static void test_lines(void **state)
{
	static const char text[] = "# a comment\n\n" HEX "\n" HEX " a name \r\n   " HEX "\tb\n" HEX "  97 c.jpg\n" HEX " 100\n" HEX
	                           "   7 rotate90   d e.png\n" HEX " 12 monkeys\n" HEX " 1234 f\n" HEX;
	static const char *const names[] = {"", "a name", "b", "c.jpg", "", "rotate90   d e.png", "12 monkeys", "1234 f", ""};
	static const uint64_t lines[] = {3, 4, 5, 6, 7, 8, 9, 10, 11};
	char *dir = tc_tempdir(), *path = write_list(dir, text, sizeof(text) - 1);
	struct got g = {0};
	struct pl_hashlist l;
	char lower[65] = "";

	(void)state;
	assert_int_equal(pl_hashlist_open(&l, path, PL_HASH_PDQ, PL_HASH_PDQ, NULL), PL_OK);
	assert_int_equal(l.corpus.images, 9);
	assert_int_equal(l.corpus.nshards, 1);
	assert_int_equal(l.corpus.source.hash, PL_HASH_PDQ);
	assert_string_equal(l.corpus.source.name, "list.pdq");
	assert_int_equal(pl_hashlist_each(&l, take, &g, NULL), PL_OK);
	assert_int_equal(g.n, 9);
	pl_pdq_hex(g.pdq[0], lower);
	assert_string_equal(lower, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
	for (size_t i = 0; i < g.n; i++) {
		const char *named = names[i][0] ? names[i] : lower;
		assert_int_equal(g.line[i], lines[i]);
		assert_string_equal(g.name[i], names[i]);
		assert_int_equal(g.key[i], pl_hash64(named, strlen(named)));
		assert_memory_equal(g.pdq[i], g.pdq[0], 32);
	}
	pl_hashlist_close(&l);
	free(path);
	tc_remove(dir);
}

static void test_bad_lists(void **state)
{
	static const struct { const char *text, *says; uint32_t line; size_t len; } bad[] = {
		{HEX "\n" HEX "0\n", "65 hexadecimal digits", 2, 0},
		{"#\n\nabc def\n", "3 hexadecimal digits", 3, 0},
		{"hash,quality\n", "no hexadecimal digit at character 1", 1, 0},
		{HEX ",97\n", "no hexadecimal digit at character 65", 1, 0},
		{"  0x11\n", "no hexadecimal digit at character 4", 1, 0},
		{HEX "\0\n" HEX "\n", "a zero byte", 1, 2 * 64 + 3},
		{"# nothing\n", "holds none", 0, 0},
		{"", "holds none", 0, 0},
	};
	char *dir = tc_tempdir(), *path = NULL, *big;
	struct pl_hashlist l;
	struct pl_err err;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
		free(path);
		path = write_list(dir, bad[i].text, bad[i].len ? bad[i].len : strlen(bad[i].text));
		memset(&err, 0, sizeof(err));
		assert_int_equal(pl_hashlist_open(&l, path, -1, PL_HASH_PDQ, &err), PL_ERR_INVALID);
		if (!strstr(err.text, bad[i].says))
			fail_msg("'%s' lacks '%s'", err.text, bad[i].says);
		assert_true(strstr(err.text, "holds none") || strstr(err.text, "is 64 hexadecimal digits"));
		assert_int_equal(err.line, bad[i].line);
		assert_string_equal(err.path, path);
	}
	big = malloc(1 << 20);
	assert_non_null(big);
	memset(big, 'a', 1 << 20);
	free(path);
	path = write_list(dir, big, 1 << 20);
	free(big);
	assert_int_equal(pl_hashlist_open(&l, path, -1, PL_HASH_PDQ, &err), PL_ERR_INVALID);
	assert_int_equal(pl_hashlist_open(&l, "no such file", -1, PL_HASH_PDQ, &err), PL_ERR_NOTFOUND);
	free(path);
	tc_remove(dir);
}

static void dedup(struct pl_corpus *c, struct pl_hashlist *l, struct pl_dedup_stats *stats)
{
	const struct pl_dedup_other other = {.list = l};
	const struct pl_dedup_options o = {.near = true, .distance = 16, .min_quality = 50, .text = true, .across = true, .others = &other};
	struct pl_corpus *in[1] = {c}, *evals[1] = {&l->corpus};
	struct pl_dedup *d = NULL;
	struct pl_account a = {0};

	assert_int_equal(pl_dedup_new(&d, in, 1, evals, 1, &o, NULL, NULL), PL_OK);
	assert_int_equal(pl_dedup_load(d, NULL), PL_OK);
	for (uint64_t u = 0; u < pl_dedup_units(d); u++)
		assert_int_equal(pl_dedup_join(d, u, NULL), PL_OK);
	assert_int_equal(pl_dedup_decide(d, NULL), PL_OK);
	for (size_t k = 0; k < c->nshards; k++)
		assert_int_equal(pl_dedup_write(d, 0, k, &a, NULL), PL_OK);
	assert_int_equal(pl_dedup_clusters(d, 0, NULL), PL_OK);
	*stats = pl_dedup_stats(d);
	pl_dedup_free(d);
}

static void test_matches(void **state)
{
	struct tc_shard *s = tc_new("00000");
	struct tc_shard *const shards[] = {s};
	char *dir = tc_tempdir(), *path, text[400] = "", hex[65];
	struct pl_dedup_stats stats;
	struct pl_dedup_row r;
	struct pl_image_row near;
	struct pl_hashlist l;
	struct pl_tables t;
	struct pl_corpus c;

	(void)state;
	tc_sample(s, PL_KIND_PAIRS, "matches", 0);
	near = *tc_image(s, 1, 1, 500);
	tc_sample(s, PL_KIND_PAIRS, "far", 0);
	tc_flip(tc_image(s, 2, 1, 500), 30);
	tc_sample(s, PL_KIND_PAIRS, "flat", 0);
	tc_image(s, 3, 1, 500)->pdq_quality = 0;
	tc_write(&c, dir, "a", shards, 1);
	free(s);
	tc_flip(&near, 6);
	pl_pdq_hex(near.pdq, hex);
	snprintf(text, sizeof(text), "# list\n%s nobody\n%s  88 somebody\n", HEX, hex);
	path = write_list(dir, text, strlen(text));
	assert_int_equal(pl_hashlist_open(&l, path, -1, c.source.hash, NULL), PL_OK);
	dedup(&c, &l, &stats);
	assert_int_equal(stats.dropped_eval, 1);
	assert_int_equal(stats.images, 5);
	assert_int_equal(pl_tables_open(&t, &c, 0, NULL), PL_OK);
	assert_int_equal(pl_sample_verdict(&t, 0), PL_REASON_EVALUATION);
	assert_int_equal(pl_sample_verdict(&t, 1), PL_REASON_KEEP);
	assert_int_equal(pl_sample_verdict(&t, 2), PL_REASON_KEEP);
	memcpy(&r, pl_npy_row(&t.dedup, 0), sizeof(r));
	assert_int_equal(r.survivor_corpus, 1);
	assert_int_equal(r.survivor_row, 3);
	assert_int_equal(r.survivor_key, pl_hash64("somebody", 8));
	assert_int_equal(r.distance, 6);
	memcpy(&r, pl_npy_row(&t.dedup_images, 0), sizeof(r));
	assert_int_equal(r.survivor_row, 3);
	pl_tables_close(&t);
	pl_hashlist_close(&l);
	pl_corpus_close(&c);
	free(path);
	tc_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_matches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
