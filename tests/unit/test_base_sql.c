/* SPDX-License-Identifier: Apache-2.0 */
/* SQL over relations: conditions and queries that work, and everything that
 * must not: injection, writes, files, recursion, work without end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/sql.h"

enum { MAX_ROWS = 5000 };

static const struct pl_sql_col cols[] = {
    {"width", PL_SQL_INT},
    {"similarity", PL_SQL_REAL},
    {"caption", PL_SQL_TEXT},
    {"pdq", PL_SQL_BLOB},
};

static char caption[32];

/* Row i: width i, similarity i/10 (NULL at 3), caption "text i", pdq one byte. */
static void cell(void *ctx, uint64_t row, size_t col, struct pl_sql_value *v)
{
	static uint8_t byte;

	(void)ctx;
	*v = (struct pl_sql_value){.type = cols[col].type};
	switch (cols[col].type) {
	case PL_SQL_INT:
		v->i = (int64_t)row;
		break;
	case PL_SQL_REAL:
		v->r = (double)row / 10;
		v->null = row == 3;
		break;
	case PL_SQL_TEXT:
		v->len = (size_t)snprintf(caption, sizeof(caption), "text %u", (unsigned)row);
		v->p = caption;
		break;
	case PL_SQL_BLOB:
		byte = (uint8_t)row;
		v->p = &byte;
		v->len = 1;
		break;
	}
}

struct fixture {
	struct pl_sql *db;
	struct pl_sql_source images, samples;
	uint8_t keep[MAX_ROWS];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->images = (struct pl_sql_source){"images", cols, PL_ARRAY_LEN(cols), 10, NULL, cell};
	f->samples = (struct pl_sql_source){"samples", cols, PL_ARRAY_LEN(cols), 4, NULL, cell};
	*state = f;
	return pl_sql_open(&f->db, NULL) || pl_sql_add(f->db, &f->images, NULL) ||
	    pl_sql_add(f->db, &f->samples, NULL) ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pl_sql_close(f->db);
	pl_sql_close(NULL);
	free(f);
	return 0;
}

static void check_where(struct fixture *f, const char *condition, const char *want)
{
	struct pl_err err = {0};
	char got[16] = "";

	memset(f->keep, 0xAA, sizeof(f->keep));
	if (pl_sql_where(f->db, &f->images, condition, f->keep, &err) != PL_OK)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < f->images.nrows; i++)
		got[i] = (char)('0' + f->keep[i]);
	assert_string_equal(got, want);
	assert_int_equal(f->keep[f->images.nrows], 0xAA);
}

static void test_where(void **state)
{
	struct fixture *f = *state;

	check_where(f, "width >= 2 and width < 5", "0011100000");
	check_where(f, "similarity >= 0", "1110111111");            /* NULL is not kept */
	check_where(f, "similarity is null", "0001000000");
	check_where(f, "caption = 'text 7' or caption like '%2'", "0010000100");
	check_where(f, "caption = ')' or width = 1", "0100000000");  /* quotes hide parentheses */
	check_where(f, "width = 1 -- a comment", "0100000000");
	check_where(f, "width /* ) */ = 1", "0100000000");
	check_where(f, "[width] = 1 or \"width\" = 2", "0110000000");
	check_where(f, "pdq = x'05'", "0000010000");
	check_where(f, "hex(pdq) in ('01', '09')", "0100000001");
	check_where(f, "1", "1111111111");
	check_where(f, "null", "0000000000");
	check_where(f, "width % 2 = 0 and round(similarity, 1) between 0.2 and 0.6", "0010101000");
	check_where(f, "_rowid_ = 4 or rowid = 6", "0000101000");
	check_where(f, "_rowid_ = '4'", "0000100000");
	check_where(f, "_rowid_ = 4.5", "0000000000");
	check_where(f, "_rowid_ = -1 or _rowid_ = 10", "0000000000");
	check_where(f, "width in (select width from samples)", "1111000000");
	check_where(f, "(select max(width) from samples) = width", "0001000000");
	check_where(f, "width > (select avg(width) from images)", "0000011111");
	check_where(
	    f, "exists (select 1 from samples s where s.width = images.width + 1)", "1110000000");
	check_where(
	    f, "('[5]' ->> 0) = 5 and json_valid(caption) = 0 and width = sqrt(4)", "0010000000");
}

static void test_rows_may_change(void **state)
{
	struct fixture *f = *state;

	check_where(f, "width < 2", "1100000000");
	f->images.nrows = 3;
	check_where(f, "width < 2", "110");
	f->images.nrows = 0;
	check_where(f, "width < 2", "");
}

static void check_usage(struct fixture *f, const char *condition, const char *want)
{
	struct pl_err err = {0};

	if (pl_sql_where(f->db, &f->images, condition, f->keep, &err) != PL_ERR_USAGE)
		fail_msg("%s: not refused as wrong usage: %s", condition, err.text);
	if (!strstr(err.text, want))
		fail_msg("%s: '%s' is not in '%s'", condition, want, err.text);
	assert_int_equal(err.severity, PL_SEV_JOB);
}

static void test_where_messages(void **state)
{
	struct fixture *f = *state;
	struct pl_err err = {0};

	assert_int_equal(pl_sql_where(f->db, &f->images, "widht > 3", f->keep, &err), PL_ERR_USAGE);
	assert_string_equal(err.text,
	    "condition \"widht > 3\" at character 1: no such column: widht; "
	    "did you mean 'width'? Columns: width, similarity, caption, pdq");
	assert_int_equal(pl_sql_where(f->db, &f->images, "width > 3 and height > 3", f->keep, &err),
	    PL_ERR_USAGE);
	assert_string_equal(err.text, "condition \"width > 3 and height > 3\" at character 15: "
	    "no such column: height; columns: width, similarity, caption, pdq");
	check_usage(f, "width >", "syntax error");
	check_usage(f, "caption = \"text\"", "no such column: text");   /* no silent string */
}

static void test_injection(void **state)
{
	struct fixture *f = *state;

	check_usage(f, "1); DELETE FROM images; --", "')' without '('");
	check_usage(f, "1) UNION SELECT (2", "')' without '('");
	check_usage(f, "1; DELETE FROM images", "';'");
	check_usage(f, "1 /* ", "not closed");
	check_usage(f, "'1", "not closed");
	check_usage(f, "[1", "not closed");
	check_usage(f, "((1)", "'(' without ')'");
	check_usage(f, "", "empty");
	check_usage(f, " \n-- only a comment", "empty");
	check_usage(f, "1, 2", "row value");
	check_usage(f, "?", "variable");
	check_usage(f, "select width from images", "it is a query");
	check_usage(f, " /* x */ VALUES(1)", "it is a query");
	check_usage(f, "count(*) > 1", "misuse of aggregate");
	check_usage(f, "row_number() over () < 3", "misuse of window function");
	check_usage(f, "1 in (select x from nowhere)", "no such table: nowhere");
	check_usage(
	    f, "1 in (select name from sqlite_master)", "no access to table 'sqlite_master'");
	check_usage(
	    f, "1 in (select count(*) from sqlite_master)", "no access to table 'sqlite_master'");
	check_usage(f, "1 in (select count(*) from pragma_database_list)", "only SELECT");
	check_usage(f, "1 in (select value from json_each('[1]'))", "no such table");
	check_usage(f, "random() > 0", "no access to function 'random'");
	check_usage(f, "load_extension('x')", "no access to function 'load_extension'");
	check_usage(f, "current_timestamp > 0", "no access to function");
	check_usage(f, "width > nonsense(3)", "no such function");
	check_usage(f,
	    "1 in (with recursive c(x) as (select 1 union all select x + 1 from c) select x from "
	    "c)",
	    "recursive queries are not available");
}

static void test_endless_work(void **state)
{
	struct fixture *f = *state;
	struct pl_err err = {0};

	f->images.nrows = MAX_ROWS;
	assert_int_equal(pl_sql_where(f->db, &f->images,
			     "(select count(*) from images a, samples b where a.width + b.width > "
			     "images.width) > 1",
			     f->keep, &err),
	    PL_ERR_LIMIT);
	/* the connection works on */
	f->images.nrows = 4;
	check_where(f, "width < 2", "1100");
}

static void test_deep_condition(void **state)
{
	struct fixture *f = *state;
	struct pl_err err = {0};
	char *text = malloc(2001);

	assert_non_null(text);
	memset(text, '(', 999);
	text[999] = '1';
	memset(text + 1000, ')', 999);
	text[1999] = '\0';
	assert_int_equal(pl_sql_where(f->db, &f->images, text, f->keep, &err), PL_ERR_USAGE);
	for (size_t i = 1; i < 1998; i += 2) {
		text[i - 1] = '-';
		text[i] = ' ';
	}
	text[1998] = '1';
	text[1999] = '\0';
	assert_int_equal(pl_sql_where(f->db, &f->images, text, f->keep, &err), PL_ERR_USAGE);
	free(text);
}

struct rows { char text[256]; int headers, rows, stop_after; };

static int on_header(void *ctx, sqlite3_stmt *st)
{
	struct rows *r = ctx;

	r->headers++;
	for (int i = 0; i < sqlite3_column_count(st); i++) {
		strncat(r->text, sqlite3_column_name(st, i), 40);
		strncat(r->text, " ", 2);
	}
	return r->stop_after == 0;
}

static int on_row(void *ctx, sqlite3_stmt *st)
{
	struct rows *r = ctx;

	for (int i = 0; i < sqlite3_column_count(st); i++) {
		const unsigned char *s = sqlite3_column_text(st, i);
		strncat(r->text, s ? (const char *)s : "NULL", 40);
		strncat(r->text, ",", 2);
	}
	return ++r->rows == r->stop_after;
}

static void check_query(struct fixture *f, const char *query, const char *want)
{
	struct rows r = {.stop_after = 1000};
	struct pl_err err = {0};

	if (pl_sql_query(f->db, query, &r, on_header, on_row, &err) != PL_OK)
		fail_msg("%s", err.text);
	assert_string_equal(r.text, want);
	assert_int_equal(r.headers, 1);
}

static void test_query(void **state)
{
	struct fixture *f = *state;
	struct rows r = {.stop_after = 2};

	check_query(
	    f, "SELECT count(*) AS n, max(width) FROM images; -- done\n ;", "n max(width) 10,9,");
	check_query(f, "SELECT * FROM samples WHERE width = 3",
	    "width similarity caption pdq 3,NULL,text 3,\003,");
	check_query(f,
	    "SELECT s.width FROM samples s JOIN images i ON i.rowid = s.width ORDER BY 1 DESC",
	    "width 3,2,1,0,");
	check_query(f, "WITH t AS (SELECT 1 AS x) SELECT count(*) AS n FROM t, samples", "n 4,");
	check_query(f, "SELECT width % 2 AS odd, sum(width) AS s FROM images GROUP BY odd",
	    "odd s 0,20,1,25,");
	check_query(f,
	    "SELECT width, row_number() OVER (ORDER BY width DESC) AS r FROM samples ORDER BY r "
	    "LIMIT 2",
	    "width r 3,1,2,2,");
	check_query(f, "SELECT 1 WHERE 0", "1 ");
	assert_int_equal(
	    pl_sql_query(f->db, "SELECT width FROM images", &r, NULL, on_row, NULL), PL_OK);
	assert_int_equal(r.rows, 2);
	r.stop_after = 0;
	assert_int_equal(
	    pl_sql_query(f->db, "SELECT width FROM images", &r, on_header, on_row, NULL), PL_OK);
	assert_int_equal(r.rows, 2);
	assert_int_equal(
	    pl_sql_query(f->db, "SELECT width FROM images", NULL, NULL, NULL, NULL), PL_OK);
}

static void test_query_refused(void **state)
{
	static const char *const queries[] = {
	    "",
	    ";",
	    "-- nothing",
	    "SELECT 1; SELECT 2",
	    "SELECT 1; DROP TABLE images",
	    "SELECT 1; nonsense",
	    "DELETE FROM images",
	    "INSERT INTO images VALUES (1, 2, 3, 4)",
	    "UPDATE images SET width = 1",
	    "CREATE TABLE t(x)",
	    "CREATE TEMP TABLE t(x)",
	    "CREATE VIEW v AS SELECT 1",
	    "DROP TABLE images",
	    "ATTACH 'plait-should-not-exist.db' AS x",
	    "PRAGMA temp_store",
	    "VACUUM",
	    "BEGIN",
	    "VACUUM INTO 'plait-should-not-exist.db'",
	    "SELECT * FROM sqlite_master",
	    "SELECT random()",
	    "SELECT * FROM pragma_table_info('images')",
	    "SELECT load_extension('x')",
	    "SELECT * FROM absent",
	    "CREATE VIRTUAL TABLE t USING images",
	    "ANALYZE",
	    "REINDEX",
	    "SAVEPOINT a",
	    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c",
	    "SELECT abs(-9223372036854775807 - 1)",
	    "SELECT hex(zeroblob(100000000))",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < PL_ARRAY_LEN(queries); i++) {
		struct pl_err err = {0};
		struct rows r = {.stop_after = 1000};
		if (pl_sql_query(f->db, queries[i], &r, NULL, on_row, &err) != PL_ERR_USAGE)
			fail_msg("not refused: %s: %s %s", queries[i], r.text, err.text);
		assert_true(err.text[0] != '\0');
	}
}

static void test_names(void **state)
{
	static const char *const bad[] = {
	    "", "1a", "a b", "sqlite_x", "pragma_x", "images", "IMAGES", "a\"b"};
	static const struct pl_sql_col odd[] = {{"with \"quote\" and space", PL_SQL_INT}};
	static const struct pl_sql_col taken[] = {{"_ROWID_", PL_SQL_INT}};
	struct fixture *f = *state;
	struct pl_sql_source other = {"other", odd, 1, 2, NULL, cell};

	assert_int_equal(pl_sql_where(f->db, &other, "1", f->keep, NULL), PL_ERR_INVALID);
	for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
		other.name = bad[i];
		assert_int_equal(pl_sql_add(f->db, &other, NULL), PL_ERR_INVALID);
	}
	other.name = "other";
	other.cols = taken;
	assert_int_equal(pl_sql_add(f->db, &other, NULL), PL_ERR_INVALID);
	other.cols = odd;
	assert_int_equal(pl_sql_add(f->db, &other, NULL), PL_OK);
	check_query(f, "SELECT max(\"with \"\"quote\"\" and space\") AS m FROM other", "m 1,");
}

/* ---- values as text ---- */

struct values { char text[16][32]; bool null[16]; uint64_t n, stop; };

static enum pl_status take(void *ctx, uint64_t row, const char *text, size_t len, struct pl_err *err)
{
	struct values *v = ctx;

	if (v->stop > 0 && row == v->stop)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "enough");
	assert_int_equal(row, v->n);
	v->null[v->n] = text == NULL;
	snprintf(v->text[v->n++], sizeof(v->text[0]), "%.*s", text ? (int)len : 0, text ? text : "");
	return PL_OK;
}

static void test_text(void **state)
{
	static const char *const wrong[] = {"", "width)", "select 1", "1; select 2", "count(*)", "sum(width)", "row_number() over ()", "widht",
	    "random()", "'a", "width, height"};
	struct fixture *f = *state;
	struct values v = {.n = 0};
	struct pl_err err = {0};

	assert_int_equal(pl_sql_text(f->db, &f->images, "case when width < 5 then 'small' when width < 8 then similarity end", take, &v, NULL), PL_OK);
	assert_int_equal(v.n, 10);
	assert_string_equal(v.text[0], "small");
	assert_string_equal(v.text[5], "0.5");
	assert_true(!v.null[7] && v.null[8] && v.null[9]);
	v = (struct values){.stop = 4};
	assert_int_equal(pl_sql_text(f->db, &f->images, "width * 2 -- twice", take, &v, &err), PL_ERR_LIMIT);
	assert_string_equal(err.text, "enough");
	assert_int_equal(v.n, 4);
	assert_string_equal(v.text[3], "6");
	for (size_t i = 0; i < PL_ARRAY_LEN(wrong); i++) {
		v = (struct values){.n = 0};
		if (pl_sql_text(f->db, &f->images, wrong[i], take, &v, &err) != PL_ERR_USAGE)
			fail_msg("\"%s\" was taken", wrong[i]);
		assert_int_equal(v.n, 0);
	}
	assert_int_equal(pl_sql_text(f->db, &f->images, "widht", take, &v, &err), PL_ERR_USAGE);
	assert_non_null(strstr(err.text, "expression \"widht\" at character 1: no such column: widht; did you mean 'width'?"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_where, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rows_may_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_where_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_injection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless_work, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deep_condition, setup, teardown),
		cmocka_unit_test_setup_teardown(test_query, setup, teardown),
		cmocka_unit_test_setup_teardown(test_query_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
