/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is refused and where, canonical output, member access, UTF-8. */
#include <limits.h>
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
#include "libpipe/base/json.h"

static json_t *must_parse(const char *text)
{
	json_t *v = NULL;
	struct pl_err err = {0};

	if (pl_json_parse(text, strlen(text), &v, &err) != PL_OK)
		fail_msg("%s: %s", text, err.text);
	return v;
}

static void check_dump(const char *text, bool indent, const char *want)
{
	struct pl_buf b;
	json_t *v = must_parse(text);

	pl_buf_init(&b, 0);
	assert_int_equal(pl_json_dump(v, indent, &b, NULL), PL_OK);
	assert_string_equal((const char *)b.data, want);
	pl_buf_release(&b);
	json_decref(v);
}

static void test_refused(void **state)
{
	static const struct { const char *text; uint64_t at; } cases[] = {
		{"", 0}, {"{\"a\":1,}", 8}, {"{\"a\":1,\"a\":2}", 10}, {"[1] x", 5}, {"[1e999]", 6},
		{"{\"a\\u0000b\":1}", 11}, {"\"\xff\"", 1}, {"[1", 2},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		json_t *v = NULL;
		struct pl_err err = {0};
		assert_int_equal(
		    pl_json_parse(cases[i].text, strlen(cases[i].text), &v, &err), PL_ERR_INVALID);
		assert_null(v);
		assert_int_equal(err.severity, PL_SEV_ITEM);
		assert_true(err.has_offset);
		assert_true(err.offset <= strlen(cases[i].text));
		if (err.offset != cases[i].at)
			fail_msg("case %zu: offset %llu: %s", i, (unsigned long long)err.offset,
			    err.text);
	}
}

static void test_message_is_printable(void **state)
{
	const char text[] = "[\x1b[31m]";
	json_t *v = NULL;
	struct pl_err err = {0};

	(void)state;
	assert_int_equal(pl_json_parse(text, sizeof(text) - 1, &v, &err), PL_ERR_INVALID);
	for (const char *s = err.text; *s; s++)
		assert_true(*s >= 0x20 && *s < 0x7f);
}

static void test_depth(void **state)
{
	char text[2 * 70 + 8];
	json_t *v = NULL;
	struct pl_err err = {0};

	(void)state;
	for (size_t depth = 63; depth <= 66; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		if (depth <= 64) {
			assert_int_equal(pl_json_parse(text, 2 * depth, &v, &err), PL_OK);
			json_decref(v);
			continue;
		}
		assert_int_equal(pl_json_parse(text, 2 * depth, &v, &err), PL_ERR_INVALID);
		assert_int_equal(err.offset, 64);
		assert_string_equal(err.text, "JSON nested deeper than 64 levels");
	}
	/* brackets inside strings do not count */
	memset(text, '[', sizeof(text));
	text[0] = text[sizeof(text) - 1] = '"';
	text[1] = '\\';
	text[2] = '"';
	assert_int_equal(pl_json_parse(text, sizeof(text), &v, &err), PL_OK);
	json_decref(v);
}

/* Each prefix of a good text is refused, never a crash (the sanitizer looks). */
static void test_truncation(void **state)
{
	static const char text[] =
	    "{\"a\":[1,-2.5e3,true,null],\"b\":\"\\ud83d\\ude00\\n\xc3\xa9\"}";

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		json_t *v = NULL;
		char *copy = malloc(n + 1);
		assert_non_null(copy);
		memcpy(copy, text, n);
		assert_int_equal(pl_json_parse(copy, n, &v, NULL), PL_ERR_INVALID);
		free(copy);
	}
}

static void test_dump(void **state)
{
	(void)state;
	check_dump("{ \"z\" : 1, \"a\" : [ ], \"m\" : { } , \"k\":[true,false,null]}", false,
	    "{\"z\":1,\"a\":[],\"m\":{},\"k\":[true,false,null]}");
	check_dump("{\"z\":[1,{\"a\":2}]}", true,
	    "{\n  \"z\": [\n    1,\n    {\n      \"a\": 2\n    }\n  ]\n}");
	check_dump("\"\\u0000\\b\\u000b\\n\\\"\\\\/\\u001f\\u00e9\x7f\"", false,
	    "\"\\u0000\\b\\u000b\\n\\\"\\\\/\\u001f\xc3\xa9\x7f\"");
	check_dump("[0.1,1.0,-0.0,1e300,3.141592653589793,0.30000000000000004,5e-324,"
		   "123456789012345680.0]",
	    false,
	    "[0.1,1.0,-0.0,1e+300,3.141592653589793,0.30000000000000004,4.94065645841247e-324,"
	    "1.2345678901234568e+17]");
	check_dump("[9223372036854775807,-9223372036854775808]", false,
	    "[9223372036854775807,-9223372036854775808]");
	/* Past 64 bits a number loses digits, not its record. */
	check_dump("{\"hash\":18446744073709551616}", false, "{\"hash\":1.8446744073709552e+19}");
}

static void test_dump_limits(void **state)
{
	struct pl_buf b;
	json_t *v = must_parse("[1,2,3,\"long enough to pass any ceiling\"]");
	json_t *deep = json_array();

	(void)state;
	pl_buf_init(&b, 16);
	assert_int_equal(pl_json_dump(v, false, &b, NULL), PL_ERR_LIMIT);
	pl_buf_release(&b);
	json_decref(v);
	for (int i = 0; i < 200; i++) {
		json_t *outer = json_array();
		assert_int_equal(json_array_append_new(outer, deep), 0);
		deep = outer;
	}
	pl_buf_init(&b, 0);
	assert_int_equal(pl_json_dump(deep, false, &b, NULL), PL_ERR_LIMIT);
	pl_buf_release(&b);
	json_decref(deep);
}

static void test_members(void **state)
{
	json_t *v = must_parse("{\"s\":\"text\",\"i\":3,\"r\":0.5,\"b\":true}");

	(void)state;
	assert_string_equal(pl_json_str(v, "s"), "text");
	assert_null(pl_json_str(v, "i"));
	assert_null(pl_json_str(v, "absent"));
	assert_null(pl_json_str(NULL, "s"));
	assert_true(pl_json_num(v, "i", -1) == 3.0);
	assert_true(pl_json_num(v, "r", -1) == 0.5);
	assert_true(pl_json_num(v, "s", -1) == -1.0);
	assert_true(pl_json_num(v, "b", -1) == -1.0);
	assert_true(pl_json_num(NULL, "i", 7) == 7.0);
	json_decref(v);
}

static void test_load(void **state)
{
	const char *base = getenv("TMPDIR");
	char dir[PATH_MAX - 64], path[PATH_MAX];
	struct pl_err err = {0};
	json_t *v = NULL;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/plait-json-XXXXXX", base && *base ? base : "/tmp");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x.json", dir);
	assert_int_equal(pl_json_load(path, 1000, &v, &err), PL_ERR_NOTFOUND);
	assert_int_equal(pl_file_write(path, "{\n\"a\": 1}", 9, &err), PL_OK);
	assert_int_equal(pl_json_load(path, 1000, &v, &err), PL_OK);
	assert_true(pl_json_num(v, "a", 0) == 1.0);
	json_decref(v);
	assert_int_equal(pl_json_load(path, 5, &v, &err), PL_ERR_LIMIT);
	assert_int_equal(pl_file_write(path, "{\n\"a\": }", 8, &err), PL_OK);
	assert_int_equal(pl_json_load(path, 1000, &v, &err), PL_ERR_INVALID);
	assert_string_equal(err.path, path);
	assert_int_equal(err.line, 2);
	assert_int_equal(err.severity, PL_SEV_JOB);
	unlink(path);
	rmdir(dir);
}

static void check_utf8(const char *s, size_t len, bool ok, size_t at)
{
	size_t bad = 999;

	assert_int_equal(pl_utf8_valid(s, len, &bad), ok);
	assert_int_equal(bad, ok ? 999 : at);
	assert_int_equal(pl_utf8_valid(s, len, NULL), ok);
}

static void test_utf8(void **state)
{
	(void)state;
	check_utf8("", 0, true, 0);
	check_utf8("a\0b", 3, true, 0);
	check_utf8("\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 18,
	    true, 0);
	check_utf8("a\xc0\x80", 3, false, 1);             /* overlong */
	check_utf8("ab\xe0\x9f\xbf", 5, false, 2);        /* overlong */
	check_utf8("\xf0\x8f\xbf\xbf", 4, false, 0);      /* overlong */
	check_utf8("\xed\xa0\x80", 3, false, 0);          /* surrogate */
	check_utf8("\xf4\x90\x80\x80", 4, false, 0);      /* past U+10FFFF */
	check_utf8("\xf5\x80\x80\x80", 4, false, 0);
	check_utf8("abc\x80", 4, false, 3);
	check_utf8("\xe2\x82\xac\xe2\x82", 5, false, 3);  /* cut */
	check_utf8("\xe2\x28\xa1", 3, false, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_message_is_printable),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_dump),
		cmocka_unit_test(test_dump_limits),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
