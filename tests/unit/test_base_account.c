/* SPDX-License-Identifier: Apache-2.0 */
/* The final account, and what talks on stderr: messages and progress. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <jansson.h>
#include <cmocka.h>

#include "libpipe/base/account.h"
#include "libpipe/base/log.h"
#include "libpipe/base/progress.h"

static struct pl_account example(void)
{
	struct pl_account a = { .samples_in = 100,
		.samples_out = 90,
		.images_in = 250,
		.images_out = 250,
		.bytes_in = 123456789,
		.bytes_out = 5000,
		.units_done = 3,
		.units_resumed = 2,
		.units_failed = 1 };

	a.samples_dropped[PL_REASON_TRUNCATED] = 7;
	a.samples_dropped[PL_REASON_NOT_DRAWN] = 3;
	return a;
}

static void the_account_balances_or_says_why(void **state)
{
	struct pl_account a = example();
	char what[160];

	(void)state;
	assert_true(pl_account_balances(&a, what));
	a.samples_out--;
	assert_false(pl_account_balances(&a, what));
	assert_string_equal(what, "samples: 100 in, but 89 out and 10 dropped: 1 missing");
	a.samples_out += 3;
	assert_false(pl_account_balances(&a, what));
	assert_non_null(strstr(what, "2 too many"));
	a = example();
	a.images_out = 0;
	assert_false(pl_account_balances(&a, what));
	assert_memory_equal(what, "images: ", 8);
	a = example();
	a.samples_dropped[PL_REASON_KEEP] = 1;
	a.samples_out--;
	assert_false(pl_account_balances(&a, what));
}

static void accounts_add_up(void **state)
{
	struct pl_account sum = example(), a = example();
	char what[160];

	(void)state;
	pl_account_add(&sum, &a);
	assert_int_equal(sum.samples_in, 200);
	assert_int_equal(sum.units_failed, 2);
	assert_int_equal(sum.samples_dropped[PL_REASON_NOT_DRAWN], 6);
	assert_true(pl_account_balances(&sum, what));
}

static void counts_survive_json(void **state)
{
	static const char *const bad[] = { "", "[]", "{}", "{\"samples\":{\"in\":1}}",
		"{\"samples\":{\"in\":-1,\"dropped\":{}},\"images\":{\"dropped\":{}}}",
		"{\"samples\":{\"in\":1.5,\"dropped\":{}},\"images\":{\"dropped\":{}}}",
		"{\"samples\":{\"dropped\":{\"new_reason\":1}},\"images\":{\"dropped\":{}}}" };
	struct pl_account a = example(), back;
	struct pl_buf b;

	(void)state;
	pl_buf_init(&b, 0);
	assert_int_equal(pl_account_counts(&a, &b, NULL), PL_OK);
	assert_null(strchr((char *)b.data, '\n'));
	memset(&back, 0xFF, sizeof(back));
	assert_int_equal(pl_account_parse((char *)b.data, &back, NULL), PL_OK);
	assert_memory_equal(&a, &back, sizeof(a));
	for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
		assert_int_equal(pl_account_parse(bad[i], &back, NULL), PL_ERR_INVALID);
	assert_memory_equal(&a, &back, sizeof(a));
	pl_buf_clear(&b);
	a.bytes_in = UINT64_MAX;
	assert_int_not_equal(pl_account_counts(&a, &b, NULL), PL_OK);
	pl_buf_release(&b);
}

static void text_and_report(void **state)
{
	const struct pl_account_run run = {
		.tool = "plait-try", .seconds = 2, .peak_rss = 1u << 20, .ranks = 2, .workers = 8
	};
	struct pl_account a = example(), back;
	struct pl_buf b;
	json_t *root;

	(void)state;
	pl_buf_init(&b, 0);
	assert_int_equal(pl_account_text(&a, &run, &b, NULL), PL_OK);
	assert_non_null(
	    strstr((char *)b.data, "plait-try: samples: 100 in, 90 out, 10 dropped (10 %)\n"));
	assert_non_null(strstr((char *)b.data, "7  truncated"));
	assert_non_null(strstr((char *)b.data, "123 MB in, 5.0 kB out, 2.0 s, 50 samples/s"));
	assert_null(strstr((char *)b.data, "keep"));
	pl_buf_clear(&b);
	assert_int_equal(pl_account_json(&a, &run, &b, NULL), PL_OK);
	root = json_loads((char *)b.data, 0, NULL);
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "tool")), "plait-try");
	assert_int_equal(json_integer_value(json_object_get(root, "ranks")), 2);
	json_decref(root);
	assert_int_equal(pl_account_parse((char *)b.data, &back, NULL), PL_OK);
	assert_memory_equal(&a, &back, sizeof(a));
	pl_buf_release(&b);
	assert_true(pl_peak_rss() > 100000);
}

/* Everything written to stderr between begin and end. */
static FILE *caught;
static int saved;

static void catch_begin(void)
{
	caught = tmpfile();
	assert_non_null(caught);
	fflush(stderr);
	saved = dup(2);
	dup2(fileno(caught), 2);
}

static char *catch_end(void)
{
	static char text[1 << 18];
	size_t n;

	dup2(saved, 2);
	close(saved);
	rewind(caught);
	n = fread(text, 1, sizeof(text) - 1, caught);
	text[n] = '\0';
	fclose(caught);
	return text;
}

static size_t lines_of(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static void messages_have_one_form(void **state)
{
	struct pl_err err;
	char *text;

	(void)state;
	pl_fail(&err, PL_ERR_INVALID, PL_SEV_ITEM, "x\033[2J\n.tar", "bad magic");
	catch_begin();
	pl_log_setup("plait-try", 3, PL_LOG_INFO);
	pl_log_err(PL_LOG_WARNING, &err);
	pl_log(PL_LOG_INFO, "%d shards", 5);
	pl_log(PL_LOG_DEBUG, "not shown");
	pl_log_setup("plait-try", -1, PL_LOG_INFO);
	pl_log(PL_LOG_ERROR, "caf\xc3\xa9 \xc2\x9b");
	text = catch_end();
	assert_string_equal(text,
	    "plait-try[3]: warning: 'x\\x1B[2J\\x0A.tar': bad magic\nplait-try[3]: 5 shards\n"
	    "plait-try: error: caf\xc3\xa9 \\xC2\x9b\n");
}

static void repeats_are_counted(void **state)
{
	struct pl_err err;
	char path[32], *text;

	(void)state;
	catch_begin();
	pl_log_setup("plait-try", -1, PL_LOG_WARNING);
	for (int i = 0; i < 25; i++) {
		snprintf(path, sizeof(path), "%d.jpg", i);
		pl_fail(&err, PL_ERR_TRUNCATED, PL_SEV_ITEM, path, "ends too early");
		pl_log_err(PL_LOG_WARNING, &err);
	}
	for (int i = 0; i < 5; i++)
		pl_log(PL_LOG_WARNING, "rare");
	pl_log_flush();
	pl_log_flush();
	text = catch_end();
	assert_int_equal(lines_of(text), 16);
	assert_non_null(strstr(text, "'9.jpg'"));
	assert_null(strstr(text, "'10.jpg'"));
	assert_non_null(
	    strstr(text, "plait-try: warning: ends too early ... (15 more like this)\n"));
}

static void no_repeat_is_lost_when_texts_are_many(void **state)
{
	unsigned long shown = 0, more = 0;
	char *text, *p;

	(void)state;
	catch_begin();
	/* More texts than are remembered: a forgotten one leaves its count behind. */
	for (int i = 0; i < 400; i++) {
		for (int round = 0; round < 12; round++)
			pl_log(PL_LOG_WARNING, "kind-%d", i);
	}
	pl_log_flush();
	text = catch_end();
	for (p = text; (p = strstr(p, "kind-")) != NULL; p++) {
		char *end = strchr(p, '\n'), *paren = strstr(p, "... (");

		if (paren != NULL && paren < end)
			more += strtoul(paren + 5, NULL, 10);
		else
			shown++;
	}
	assert_int_equal(shown + more, 12 * 400);
}

static void progress_in_a_log(void **state)
{
	struct pl_progress p;
	char *text;

	(void)state;
	catch_begin();
	pl_progress_init(&p, "plait-try", PL_PROGRESS_AUTO, false);
	pl_progress_stage(&p, "reading", 4);
	p.units_done = 1;
	p.samples = 1500;
	p.bytes = 2000000;
	pl_progress_tick(&p);            /* too early for a log */
	p.last_shown -= 11;
	p.started -= 30;
	pl_progress_tick(&p);
	pl_progress_end(&p);
	pl_progress_end(&p);
	text = catch_end();
	assert_int_equal(lines_of(text), 2);
	assert_non_null(strstr(text,
	    "plait-try: reading: 1/4 (25 %), 1500 samples, 2.0 MB, 50 samples/s, 66.7 kB/s, "
	    "90 s left\n"));
}

static void progress_as_json_and_off(void **state)
{
	struct pl_progress p;
	json_t *root;
	char *text;

	(void)state;
	catch_begin();
	pl_progress_init(&p, "plait-try", PL_PROGRESS_JSON, true);
	pl_progress_stage(&p, "reading", 4);
	p.units_done = 4;
	pl_progress_end(&p);
	text = catch_end();
	root = json_loads(text, 0, NULL);
	assert_non_null(root);
	assert_int_equal(json_integer_value(json_object_get(root, "units_done")), 4);
	assert_true(json_is_true(json_object_get(root, "end")));
	json_decref(root);
	catch_begin();
	pl_progress_init(&p, "plait-try", PL_PROGRESS_LINE, true);
	pl_progress_stage(&p, "reading", 4);
	p.last_shown -= 100;
	pl_progress_tick(&p);
	pl_progress_end(&p);
	assert_string_equal(catch_end(), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_account_balances_or_says_why),
		cmocka_unit_test(accounts_add_up),
		cmocka_unit_test(counts_survive_json),
		cmocka_unit_test(text_and_report),
		cmocka_unit_test(messages_have_one_form),
		cmocka_unit_test(repeats_are_counted),
		cmocka_unit_test(no_repeat_is_lost_when_texts_are_many),
		cmocka_unit_test(progress_in_a_log),
		cmocka_unit_test(progress_as_json_and_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
