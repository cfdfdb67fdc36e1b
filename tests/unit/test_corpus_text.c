/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and hashes of text, where normalisation may not show its pieces; and base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"
#include "libpipe/corpus/base64.h"
#include "libpipe/corpus/document.h"

static void test_base64(void **state)
{
	static const struct { const char *text; const char *want; } cases[] = {
		{"", ""}, {"Zg==", "f"}, {"Zg", "f"}, {"Zm8=", "fo"}, {"Zm8", "fo"}, {"Zm9v", "foo"}, {"Zm9vYg==", "foob"},
		{"Zm\r\n9v\nYm\nFy\n", "foobar"}, {"Zg=\n=\n", "f"}, {"+/+/", "\xFB\xFF\xBF"},
		{"Z", NULL}, {"Zm9vZ", NULL}, {"Zg=", NULL}, {"Zg===", NULL}, {"Zm8==", NULL}, {"Zm9v=", NULL}, {"====", NULL},
		{"Zh==", NULL}, {"Zm9=", NULL}, {"Zg==Zg==", NULL}, {"Zm 8", NULL}, {"-_-_", NULL}, {"=", NULL},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		uint8_t out[64];
		size_t n = 99;
		bool ok = pl_base64_decode(cases[i].text, strlen(cases[i].text), out, &n);
		if (ok != (cases[i].want != NULL))
			fail_msg("'%s' is taken for %s base64", cases[i].text, ok ? "good" : "bad");
		if (ok) {
			assert_int_equal(n, strlen(cases[i].want));
			assert_memory_equal(out, cases[i].want, n);
		}
	}
}

static struct pl_text_stats stats_of(const char *record)
{
	struct pl_text_stats s;
	struct pl_document d;
	struct pl_err err;
	struct pl_read_options o = {.kind = PL_KIND_INTERLEAVED};

	pl_document_init(&d);
	assert_int_equal(pl_document_read_record(&d, &o, record, strlen(record), false, &err), PL_OK);
	assert_int_equal(pl_document_text_stats(&d, &s, &err), PL_OK);
	pl_document_release(&d);
	return s;
}

static void test_text_stats(void **state)
{
	struct pl_text_stats s = stats_of("{\"text_list\":[\"Two  Words\",\"\",\"three\\u3000\xE7\x8B\x97\xE7\x8C\xAB!\"]}");

	(void)state;
	assert_int_equal(s.bytes, 10 + 15);
	assert_int_equal(s.words, 4);
	assert_int_equal(s.tokens, 4 + 3);   /* ceil(16 / 4), ceil(3 * 0.7) */
	assert_true(s.hash == pl_hash64("two words three \xE7\x8B\x97\xE7\x8C\xAB!", 23));
	/* full width, case, composition, spaces, segment borders: one text */
	s = stats_of("{\"text_list\":[\" \xEF\xBC\xA3""AFE\xCC\x81 \"]}");
	assert_true(s.hash == pl_hash64("caf\xC3\xA9", 5));
	assert_true(s.hash == stats_of("{\"text_list\":[\"caf\xC3\x89\\u2003\"]}").hash);
	assert_true(stats_of("{\"text_list\":[\"a\",\"b\"]}").hash == stats_of("{\"text_list\":[\"A \\t\\r\\nB\"]}").hash);
	assert_true(stats_of("{\"text_list\":[\"STRASSE\"]}").hash == stats_of("{\"text_list\":[\"stra\xC3\x9F""e\"]}").hash);
	assert_false(stats_of("{\"text_list\":[\"ab\"]}").hash == stats_of("{\"text_list\":[\"a\",\"b\"]}").hash);
	s = stats_of("{\"text_list\":[]}");
	assert_int_equal(s.bytes, 0);
	assert_true(s.hash == 0);
}

/* Text is normalised in pieces; where they are cut must not show. */
static void test_text_pieces(void **state)
{
	enum { N = 70000 };
	char *text = malloc(3 * N + 64);
	struct pl_read_options o = {.kind = PL_KIND_TEXT};
	struct pl_text_stats s;
	struct pl_document d;
	struct pl_err err;
	size_t len = 0, words = 0;

	(void)state;
	assert_non_null(text);
	while (len < N) {   /* words of changing length, each ending in e and a combining accent */
		size_t w = 1 + words++ % 13;
		memset(text + len, 'X', w);
		memcpy(text + len + w, "E\xCC\x81 ", 4);
		len += w + 4;
	}
	pl_document_init(&d);
	assert_int_equal(pl_document_read_record(&d, &o, text, len, true, &err), PL_OK);
	assert_int_equal(pl_document_text_stats(&d, &s, &err), PL_OK);
	assert_int_equal(s.words, words);
	len = 0;
	for (size_t i = 0; i < words; i++) {
		memset(text + len, 'x', 1 + i % 13);
		len += 1 + i % 13;
		memcpy(text + len, "\xC3\xA9 ", 3);
		len += 3;
	}
	assert_true(s.hash == pl_hash64(text, len - 1));
	/* without one ASCII byte */
	for (len = 0; len < 3 * N; len += 3)
		memcpy(text + len, "\xE7\x8B\x97", 3);
	assert_int_equal(pl_document_read_record(&d, &o, text, len, true, &err), PL_OK);
	assert_int_equal(pl_document_text_stats(&d, &s, &err), PL_OK);
	assert_true(s.hash == pl_hash64(text, len));
	assert_int_equal(s.tokens, 49000);
	/* a space right behind the bytes that are hashed together */
	memset(text, 'x', 4 * 16384);
	memcpy(text + 4 * 16384, " x", 2);
	assert_int_equal(pl_document_read_record(&d, &o, text, 4 * 16384 + 2, true, &err), PL_OK);
	assert_int_equal(pl_document_text_stats(&d, &s, &err), PL_OK);
	assert_true(s.hash == pl_hash64(text, 4 * 16384 + 2));
	pl_document_release(&d);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_text_stats),
		cmocka_unit_test(test_text_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
