/* SPDX-License-Identifier: Apache-2.0 */
/* Text measures against numbers that a Python program of the same definitions
 * gave, and against plain loops on random texts; scripts and languages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"
#include "libpipe/corpus/text_measure.h"

static struct pl_text_meter *meter;
static struct pl_language *language;

/* The measures of texts, as segments of one document. */
static struct pl_text_measures of(const char *const *texts, size_t n)
{
	struct pl_segment s[4];
	struct pl_document d = {.segments = s, .nsegments = n};
	struct pl_text_measures m;
	struct pl_err err;

	for (size_t i = 0; i < n; i++)
		s[i] = (struct pl_segment){.text = texts[i], .text_len = strlen(texts[i])};
	assert_int_equal(pl_text_measure(meter, &d, &m, &err), PL_OK);
	return m;
}

static struct pl_text_measures of_one(const char *text)
{
	return of(&text, 1);
}

static void close_to(float got, double want, const char *text, const char *what)
{
	if (!(fabs((double)got - want) < 1e-6))
		fail_msg("%s of '%.60s' is %g, not %g", what, text, (double)got, want);
}

static void test_constants(void **state)
{
	static const struct { const char *text; uint64_t chars; double special, digits, alnum, chars_again, words_again, punctuation; } cases[] = {
		{"A dog, two cats (3 & 4) - and a bird!", 37, 0.486486486, 0.0540540541, 0.567567568, 0, 0, 0.4},
		{"the quick brown fox jumps over the lazy dog and The quick, brown fox jumps over the lazy dog again and again and again",
		    118, 0.203389831, 0, 0.796610169, 0.146788991, 0.5, 0.04},
		{"na na na na na na na na na na na na na na na na", 47, 0.319148936, 0, 0.680851064, 0.342105263, 1, 0},
		{"Prix: 12,50 € — déjà vu ½ ٣٤ 東京タワー", 34, 0.558823529, 0.176470588, 0.647058824, 0, 0, 0.272727273},
		{"1234567890 1234567890 1234567890", 32, 1, 0.9375, 0.9375, 0.304347826, 0, 0},
		{"x", 1, 0, 0, 1, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		struct pl_text_measures m = of_one(cases[i].text);
		assert_int_equal(m.chars, cases[i].chars);
		close_to(m.special, cases[i].special, cases[i].text, "special");
		close_to(m.digits, cases[i].digits, cases[i].text, "digits");
		close_to(m.alnum, cases[i].alnum, cases[i].text, "alnum");
		close_to(m.char_repetition, cases[i].chars_again, cases[i].text, "character repetition");
		close_to(m.word_repetition, cases[i].words_again, cases[i].text, "word repetition");
		close_to(m.punctuation, cases[i].punctuation, cases[i].text, "punctuation");
	}
}

/* The definition, by comparing every n-gram with every other: byte text. */
static double repetition_of(const char *t, size_t n)
{
	size_t grams = n < PL_CHAR_NGRAM ? 0 : n - PL_CHAR_NGRAM + 1, distinct = 0, once = 0, top, sum = 0;
	size_t *count = calloc(grams + 1, sizeof(*count));

	assert_non_null(count);
	for (size_t i = 0; i < grams; i++) {
		size_t k;
		for (k = 0; memcmp(t + k, t + i, PL_CHAR_NGRAM) != 0; k++)
			;
		count[k]++;
	}
	for (size_t i = 0; i < grams; i++) {
		distinct += count[i] > 0;
		once += count[i] == 1;
	}
	top = (size_t)sqrt((double)distinct);
	top = top < distinct - once ? top : distinct - once;
	while (top-- > 0) {
		size_t best = 0;
		for (size_t i = 1; i < grams; i++)
			best = count[i] > count[best] ? i : best;
		sum += count[best];
		count[best] = 0;
	}
	free(count);
	return grams > 0 ? (double)sum / (double)grams : 0;
}

static void test_repetition_by_loops(void **state)
{
	char text[2001];

	(void)state;
	for (uint64_t k = 0; k < 60; k++) {
		size_t n = pl_draw64(1, k, 0) % 2000, letters = 1 + k % 4;
		for (size_t i = 0; i < n; i++)
			text[i] = (char)("ab c"[pl_draw64(2, k, i / (1 + k % 7)) % letters]);
		text[n] = '\0';
		if (n > 0)
			close_to(of_one(text).char_repetition, repetition_of(text, n), text, "character repetition");
	}
}

/* A text of any length: only the front is counted, the rest still is characters. */
static void test_long_text(void **state)
{
	enum { N = 3 * PL_MEASURE_WINDOW };
	char *text = malloc(N + 1);
	struct pl_text_measures m;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < PL_MEASURE_WINDOW; i++)
		text[i] = (char)('a' + pl_draw64(3, i, 0) % 26);
	memset(text + PL_MEASURE_WINDOW, 'z', N - PL_MEASURE_WINDOW);
	text[N] = '\0';
	m = of_one(text);
	assert_int_equal(m.chars, N);
	assert_true(m.char_repetition == 0 && m.word_repetition == 0 && m.special == 0);
	/* One-letter words fill the room for words to its end. */
	for (size_t i = 0; i < N; i++)
		text[i] = i % 2 == 0 ? 'a' : ' ';
	m = of_one(text);
	assert_true(m.word_repetition == 1);
	/* Two n-grams, and the root of two is one. */
	close_to(m.char_repetition, 32764.0 / 65527, text, "character repetition");
	free(text);
}

static void test_segments(void **state)
{
	static const char *const parts[] = {"one two three", "four five"};
	static const char *const again[] = {"one two three four five", "one two three four five"};
	struct pl_text_measures m = of(parts, 2);

	(void)state;
	assert_int_equal(m.chars, 13 + 9);   /* the line break between them is none of theirs */
	close_to(m.special, 3.0 / 22, "two segments", "special");
	/* Words go on from one segment to the next: six five-grams, of which the first and the last are equal. */
	close_to(of(again, 2).word_repetition, 2.0 / 6, "two segments", "word repetition");
	m = of(NULL, 0);
	assert_true(m.chars == 0 && isnan(m.special) && isnan(m.char_repetition) && isnan(m.punctuation) && m.script[0] == 0 && m.language[0] == 0);
}

static void test_urls(void **state)
{
	static const struct { const char *text; uint64_t n; } cases[] = {
		{"see http://a.b and HTTPS://c.d/e?u=http://f", 3}, {"www.a.org, (www.b.org)", 2}, {"https://www.a.org", 1},
		{"http:/a http", 0}, {"awww.x hwww.y 1www.z", 0}, {"http://", 0}, {"x https://é", 1}, {"www.", 0}, {"WWW.A", 1},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++)
		if (of_one(cases[i].text).urls != cases[i].n)
			fail_msg("'%s' has %d addresses", cases[i].text, (int)of_one(cases[i].text).urls);
}

static void test_scripts(void **state)
{
	static const struct { const char *text, *script; } cases[] = {
		{"a dog", "Latn"}, {"собака и cat", "Cyrl"}, {"一只狗 dog", "Hani"}, {"كلب", "Arab"}, {"σκύλος", "Grek"}, {"ひらがな 漢", "Hira"},
		{"개", "Hang"}, {"कुत्ता", "Deva"}, {"12 + 3 = 😀", ""}, {"ab вг", "Cyrl"},
	};
	char name[40];

	(void)state;
	if (!pl_script_name(name))
		skip();
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		struct pl_text_measures m = of_one(cases[i].text);
		if (strncmp(m.script, cases[i].script, 4) != 0)
			fail_msg("'%s' is in '%.4s', not '%s'", cases[i].text, m.script, cases[i].script);
	}
}

static void test_languages(void **state)
{
	static const struct { const char *text, *code; } cases[] = {
		{"A brown dog is running along the beach while two children are watching it from the water.", "en"},
		{"Ein brauner Hund läuft am Strand entlang, während zwei Kinder ihm vom Wasser aus zusehen und lachen.", "de"},
		{"Un chien brun court le long de la plage pendant que deux enfants le regardent depuis l'eau en riant.", "fr"},
		{"Коричневая собака бежит по пляжу, а двое детей смотрят на неё из воды.", "ru"},
		{"كلب بني يركض على طول الشاطئ بينما يراقبه طفلان من الماء وهما يضحكان.", "ar"},
		{"一只棕色的狗在沙滩上奔跑，两个孩子在水里看着它，天空中有白色的云，远处有一艘小船。", "zh"},
		{"Ένας καφέ σκύλος τρέχει στην παραλία ενώ δύο παιδιά τον κοιτούν.", "el"},
		{"A brown dog is running along the beach.", ""},   /* too short */
		{"1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 1234567890", ""},
	};

	(void)state;
	if (language == NULL)
		skip();
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		struct pl_text_measures m = of_one(cases[i].text);
		if (strncmp(m.language, cases[i].code, 4) != 0)
			fail_msg("'%s' is in '%.4s', not '%s'", cases[i].text, m.language, cases[i].code);
		assert_true(isnan(m.language_margin) == (cases[i].code[0] == '\0'));
		assert_false(m.language_margin > PL_LANGUAGE_FAR || m.language_margin < 0);
	}
	assert_true(strlen(pl_language_name(language)) > 10);
}

/* What follows the front of a long text does not matter, even where the cut goes through a character. */
static void test_language_of_the_front(void **state)
{
	static const char russian[] = "Коричневая собака бежит по пляжу, а двое детей смотрят на неё из воды. ";
	char text[3000], code[4], same[4];
	float margin, other;

	(void)state;
	if (language == NULL)
		skip();
	for (size_t shift = 0; shift < 2; shift++) {
		size_t len = shift;
		memset(text, ' ', shift);
		while (len < 2500) {
			memcpy(text + len, russian, sizeof(russian) - 1);
			len += sizeof(russian) - 1;
		}
		pl_language_guess(language, text, len, "Cyrl", code, &margin);
		assert_memory_equal(code, "ru\0", 4);
		pl_language_guess(language, text, PL_LANGUAGE_MAX_BYTES + 10, "Cyrl", same, &other);
		assert_memory_equal(code, same, 4);
		assert_true(margin == other);
	}
}

/* What lies in memory behind a text is none of it. */
static void test_language_is_of_the_text_alone(void **state)
{
	static const char text[] = "harbor grove harbor harbor prairie opal cedar prairie opal number 70000 island harbor harbor lantern meadow br"
	    "ook opal cedar field number 70001 kettle cedar prairie prairie amber amber brook jasper cedar number 70002 ced"
	    "ar island ember harbor harbor harbor amber field prairie number 70003 opal cedar meadow ember delta brook mead"
	    "ow ember amber number 70004";
	static const size_t len = sizeof(text) - 1;
	static const unsigned char behind[] = {'x', 0xFF, ' ', 'e'};
	char all[2000] = {0}, code[4], same[4];
	float margin, other;

	(void)state;
	if (language == NULL)
		skip();
	memcpy(all, text, len);
	pl_language_guess(language, all, len, "Latn", code, &margin);
	assert_memory_equal(code, "en\0", 4);
	for (size_t i = 0; i < sizeof(behind); i++) {
		memset(all + len, behind[i], sizeof(all) - len);
		pl_language_guess(language, all, len, "Latn", same, &other);
		assert_memory_equal(code, same, 4);
		assert_true(margin == other);
	}
}

static void test_fingerprints_must_be_there(void **state)
{
	struct pl_language *l;
	struct pl_err err = {0};

	(void)state;
	assert_int_not_equal(pl_language_open(&l, "/nonexistent", &err), PL_OK);
	assert_null(l);
	assert_non_null(strstr(err.path, "/nonexistent"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_constants),
		cmocka_unit_test(test_repetition_by_loops),
		cmocka_unit_test(test_long_text),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_languages),
		cmocka_unit_test(test_language_of_the_front),
		cmocka_unit_test(test_language_is_of_the_text_alone),
		cmocka_unit_test(test_fingerprints_must_be_there),
	};
	int failed;

	if (pl_language_open(&language, NULL, NULL) != PL_OK || pl_text_meter_new(&meter, language, NULL) != PL_OK)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pl_text_meter_free(meter);
	pl_language_close(language);
	return failed;
}
