/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of shard names: braces, globs, standard input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "libpipe/base/file.h"
#include "libpipe/base/names.h"

/* Every test runs inside its own empty directory. */
struct place { char dir[256], before[4096]; };

static int enter(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	const char *tmp = getenv("TMPDIR");

	if (p == NULL || getcwd(p->before, sizeof(p->before)) == NULL)
		return -1;
	snprintf(p->dir, sizeof(p->dir), "%s/plait-names-XXXXXX", tmp != NULL ? tmp : "/tmp");
	*state = p;
	return mkdtemp(p->dir) != NULL ? chdir(p->dir) : -1;
}

static int leave(void **state)
{
	static const char *const made[] = { "a1.tar", "a2.tar", "a10.tar", "B.tar", "a[1].tar",
		"x{1,2}.tar", ".tmp-a-1" };
	struct place *p = *state;
	int rc;

	for (size_t i = 0; i < PL_ARRAY_LEN(made); i++)
		unlink(made[i]);
	rc = chdir(p->before) != 0 || rmdir(p->dir) != 0;
	free(p);
	return rc;
}

static void touch(const char *name)
{
	assert_int_equal(pl_file_write(name, "", 0, NULL), PL_OK);
}

/* The names of pattern joined by blanks must be expected. */
static void check(const char *pattern, const char *expected)
{
	struct pl_names n;
	char joined[1024] = "";
	size_t i, used = 0;

	pl_names_init(&n);
	assert_int_equal(pl_names_expand(&n, pattern, NULL), PL_OK);
	for (i = 0; i < n.len; i++)
		used += (size_t)snprintf(
		    joined + used, sizeof(joined) - used, "%s%s", i > 0 ? " " : "", n.items[i]);
	assert_string_equal(joined, expected);
	pl_names_release(&n);
}

static void braces_as_in_a_shell(void **state)
{
	(void)state;
	check("a.tar", "a.tar");
	check("{a,b}.tar", "a.tar b.tar");
	check("{00008..00011}.tar", "00008.tar 00009.tar 00010.tar 00011.tar");
	check("{8..11}", "8 9 10 11");
	check("{3..1}", "3 2 1");
	check("x{01..2}y{a,b}", "x01ya x01yb x02ya x02yb");
	check("{a,b{1,2},c}", "a b1 b2 c");
	check("{{1..2},x}", "1 2 x");
	check("a{,b}", "a ab");
}

static void odd_braces_are_literal(void **state)
{
	(void)state;
	check("{}", "{}");
	check("{x}", "{x}");
	check("a{b", "a{b");
	check("a}b", "a}b");
	check("{a..c}", "{a..c}");
	check("{1..}", "{1..}");
	check("{-1..2}", "{-1..2}");
	check("{{a,b}", "{a {b");
	check("{x{a,b}}", "{xa} {xb}");
}

static void globs_are_sorted_bytewise(void **state)
{
	struct pl_names n;
	struct pl_err err;

	(void)state;
	touch("a2.tar");
	touch("a10.tar");
	touch("a1.tar");
	touch("B.tar");
	touch(".tmp-a-1");
	check("*.tar", "B.tar a1.tar a10.tar a2.tar");
	check("a[12].tar", "a1.tar a2.tar");
	check("{B,a?}.tar", "B.tar a1.tar a2.tar");
	check("./a1*", "./a1.tar ./a10.tar");
	pl_names_init(&n);
	assert_int_equal(pl_names_expand(&n, "nothing*.tar", &err), PL_ERR_NOTFOUND);
	assert_string_equal(err.path, "nothing*.tar");
	pl_names_release(&n);
}

static void an_existing_file_means_itself(void **state)
{
	(void)state;
	touch("a[1].tar");
	touch("a1.tar");
	touch("x{1,2}.tar");
	check("a[1].tar", "a[1].tar");
	check("x{1,2}.tar", "x{1,2}.tar");
}

static void expansion_has_a_ceiling(void **state)
{
	struct pl_names n;
	struct pl_err err;
	char deep[2000] = "";

	(void)state;
	pl_names_init(&n);
	assert_int_equal(pl_names_expand(&n, "{0..999999999999999999}", &err), PL_ERR_LIMIT);
	assert_int_equal(n.len, 0);
	/* One-element products never reach the ceiling on names; the depth has its own. */
	for (int i = 0; i < 100; i++)
		strncat(deep, "{1..1}", sizeof(deep) - strlen(deep) - 1);
	assert_int_equal(pl_names_expand(&n, deep, &err), PL_ERR_LIMIT);
	pl_names_release(&n);
}

static enum pl_status read_text(
    struct pl_names *n, const char *text, size_t len, struct pl_err *err)
{
	FILE *f = tmpfile();
	enum pl_status st;

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	rewind(f);
	st = pl_names_read(n, f, err);
	fclose(f);
	return st;
}

static void lines_are_names(void **state)
{
	static const char text[] = "a.tar\n\n{b}*.tar\r\n last";
	struct pl_names n;
	struct pl_err err;
	char *longer = malloc(10000);

	(void)state;
	assert_non_null(longer);
	pl_names_init(&n);
	assert_int_equal(read_text(&n, text, sizeof(text) - 1, &err), PL_OK);
	assert_int_equal(n.len, 3);
	assert_string_equal(n.items[1], "{b}*.tar");
	assert_string_equal(n.items[2], " last");
	memset(longer, 'x', 10000);
	longer[0] = '\n';
	assert_int_equal(read_text(&n, longer, 10000, &err), PL_ERR_INVALID);
	assert_int_equal(err.line, 2);
	assert_int_equal(read_text(&n, "a\0b\n", 4, &err), PL_ERR_INVALID);
	free(longer);
	pl_names_release(&n);
}

static void the_same_name_twice_is_an_error(void **state)
{
	struct pl_names n;
	struct pl_err err;

	(void)state;
	pl_names_init(&n);
	assert_int_equal(pl_names_sort_unique(&n, &err), PL_OK);
	assert_int_equal(pl_names_expand(&n, "{b,a,c}", &err), PL_OK);
	assert_int_equal(pl_names_sort_unique(&n, &err), PL_OK);
	assert_string_equal(n.items[0], "a");
	assert_int_equal(pl_names_add(&n, "b", &err), PL_OK);
	assert_int_equal(pl_names_sort_unique(&n, &err), PL_ERR_USAGE);
	assert_string_equal(err.path, "b");
	pl_names_release(&n);
}

static void stems(void **state)
{
	static const char *const cases[][2] = { { "a/b/00017.tar.zst", "00017" }, { "x", "x" },
		{ "./y.tar", "y" }, { "d.e/z", "z" }, { ".hidden.tar", ".hidden" }, { "a/", "" },
		{ "..", ".." } };

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		char *stem = pl_name_stem(cases[i][0]);

		assert_string_equal(stem, cases[i][1]);
		free(stem);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(braces_as_in_a_shell, enter, leave),
		cmocka_unit_test_setup_teardown(odd_braces_are_literal, enter, leave),
		cmocka_unit_test_setup_teardown(globs_are_sorted_bytewise, enter, leave),
		cmocka_unit_test_setup_teardown(an_existing_file_means_itself, enter, leave),
		cmocka_unit_test(expansion_has_a_ceiling),
		cmocka_unit_test(lines_are_names),
		cmocka_unit_test(the_same_name_twice_is_an_error),
		cmocka_unit_test(stems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
