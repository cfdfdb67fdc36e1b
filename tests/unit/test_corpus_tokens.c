/* SPDX-License-Identifier: Apache-2.0 */
/* Token counts: the two estimates by hand, and what is no model. Models
 * themselves are compared with the spm_encode tool in tests/cli/tokens.bats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "libpipe/base/file.h"
#include "libpipe/corpus/tokens.h"

static uint64_t tokens(enum pl_tokens_by by, const char *a, const char *b)
{
	struct pl_tokens_settings s = {.by = by};
	struct pl_token_counter *c = NULL;
	struct pl_token_sum sum = {0};
	uint64_t n;

	assert_int_equal(pl_token_counter_new(&c, &s, NULL), PL_OK);
	assert_int_equal(pl_tokens_add(c, &sum, a, strlen(a), NULL), PL_OK);
	assert_int_equal(pl_tokens_add(c, &sum, b, strlen(b), NULL), PL_OK);
	n = pl_tokens_total(c, &sum);
	pl_token_counter_free(c);
	return n;
}

static void test_estimates(void **state)
{
	struct pl_token_sum none = {0};

	(void)state;
	assert_int_equal(tokens(PL_TOKENS_BYTES, "", ""), 0);
	assert_int_equal(tokens(PL_TOKENS_BYTES, "a dog", ""), 2);
	assert_int_equal(tokens(PL_TOKENS_BYTES, "a do", "g run"), 3);      /* 9 bytes together */
	assert_int_equal(tokens(PL_TOKENS_BYTES, "\xE7\x8B\x97\xE7\x8B\x97\xE7\x8B\x97", ""), 3);   /* 2.1 */
	assert_int_equal(tokens(PL_TOKENS_BYTES, "\xE7\x8B\x97 ab", "\xC3\xA9"), 3);                /* 3 / 4 and 1.4, each up */
	assert_int_equal(tokens(PL_TOKENS_WORDS, "", " \t\n"), 0);
	assert_int_equal(tokens(PL_TOKENS_WORDS, "a dog\truns", ""), 4);
	assert_int_equal(tokens(PL_TOKENS_WORDS, "one", ""), 2);
	assert_int_equal(tokens(PL_TOKENS_WORDS, "a b c d", "e f"), 8);
	assert_int_equal(tokens(PL_TOKENS_WORDS, "a\xE3\x80\x80" "b", ""), 3);                      /* an ideographic space */
	assert_int_equal(pl_tokens_total(NULL, &none), 0);
}

static void test_wrong(void **state)
{
	struct pl_tokens_settings s = {.by = PL_TOKENS_SENTENCEPIECE};
	struct pl_token_counter *c = NULL;
	char path[] = "/tmp/plait-test-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(pl_token_counter_new(&c, &s, NULL), PL_ERR_USAGE);   /* no model */
	s = (struct pl_tokens_settings){.by = PL_TOKENS_WORDS, .model = path};
	assert_int_equal(pl_token_counter_new(&c, &s, NULL), PL_ERR_USAGE);   /* what for? */
	s.by = PL_TOKENS_SENTENCEPIECE;
	assert_int_equal(pl_token_counter_new(&c, &s, NULL), PL_ERR_USAGE);   /* empty */
	assert_int_equal(pl_file_write(path, "\x0A\x05hello", 7, NULL), PL_OK);
	assert_int_equal(pl_token_counter_new(&c, &s, NULL), PL_ERR_USAGE);   /* no model */
	assert_null(c);
	unlink(path);
	if (pl_tokens_sentencepiece())
		assert_int_not_equal(pl_token_counter_new(&c, &s, NULL), PL_OK);   /* no such file */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_estimates),
		cmocka_unit_test(test_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
