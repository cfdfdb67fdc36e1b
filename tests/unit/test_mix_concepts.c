/* SPDX-License-Identifier: Apache-2.0 */
/* Concept lists against a plain substring search, and who stays when concepts
 * are balanced against the published probabilities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/mix/concept_mine.h"
#include "libpipe/mix/concept_rule.h"
#include "libpipe/mix/concepts.h"

/* ---- matching ---- */

static struct pl_concepts *list(const char *text, bool fold)
{
	struct pl_concepts *c = NULL;

	assert_int_equal(pl_concepts_new(&c, text, strlen(text), fold, "list", NULL), PL_OK);
	return c;
}

/* The published definition, word for word. */
static bool stands_in(const char *entry, const char *text)
{
	static const char marks[] = ",.;:?!`";
	char spaced[4096], padded[256];
	size_t n = 0;

	spaced[n++] = ' ';
	for (; *text; text++) {
		if (strchr(marks, *text)) {
			spaced[n++] = ' ';
			spaced[n++] = *text;
			spaced[n++] = ' ';
		} else {
			spaced[n++] = strchr("\t\n\r", *text) ? ' ' : *text;
		}
	}
	spaced[n++] = ' ';
	spaced[n] = '\0';
	snprintf(padded, sizeof(padded), " %s ", entry);
	return strstr(spaced, padded) != NULL;
}

static void check_match(struct pl_concepts *c, const char *text)
{
	struct pl_buf found;
	const uint32_t *at;
	size_t n, next = 0;

	pl_buf_init(&found, 0);
	assert_int_equal(pl_concepts_match(c, text, strlen(text), &found, NULL), PL_OK);
	at = (const void *)found.data;
	n = found.len / sizeof(*at);
	for (uint32_t i = 0; i < pl_concepts_count(c); i++) {
		bool here = next < n && at[next] == i;
		if (here != stands_in(pl_concepts_entry(c, i), text))
			fail_msg("entry '%s' in '%s': %s", pl_concepts_entry(c, i), text, here ? "found, wrongly" : "not found");
		next += here;
	}
	assert_int_equal(next, n);
	pl_buf_release(&found);
}

static void test_by_hand(void **state)
{
	static const char *const texts[] = {
	    "a dog in New York", "New York, New York!", "newyork", "dog", " dog ", "a  dog", "a\tdog\nsits", "dog,", ",dog", "", " ", ",", "!", "a, b", "a ,b",
	    "a , b", "New  York", "in New York.", "C++ `dog`", "dog dog dog", "York New", "a,b", "x a dog", "\xC3\xA4 dog"};
	struct pl_concepts *c = list("dog\nNew York\nNew\nYork\na dog\n,\n, \n ,\n, b\na , b\n\na  dog\n!\nYork , New\n`\ndog dog\n\xC3\xA4\nnew york\na,b\n", false);

	(void)state;
	assert_int_equal(pl_concepts_count(c), 18);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		check_match(c, texts[i]);
	pl_concepts_free(c);
}

static void random_text(char *s, size_t size, uint64_t seed, unsigned words)
{
	static const char *const vocabulary[] = {"a", "b", "ab", "ba", "aa", ",", ".", "", "c", "\t", "abc", "!"};
	size_t n = 0;

	for (unsigned w = 0; w < words; w++) {
		const char *word = vocabulary[pl_draw64(seed, w, 0) % (sizeof(vocabulary) / sizeof(*vocabulary))];
		n += (size_t)snprintf(s + n, size - n, "%s%s", w && pl_draw64(seed, w, 1) % 8 ? " " : "", word);
	}
}

static void test_random(void **state)
{
	char text[600], entries[20000];
	size_t n = 0;
	struct pl_concepts *c;

	(void)state;
	for (uint64_t i = 0; i < 300; i++) {
		char entry[64];
		random_text(entry, sizeof(entry), 1000 + i, 1 + i % 4);
		for (char *p = entry; *p; p++)
			*p = *p == '\t' ? ' ' : *p;
		n += (size_t)snprintf(entries + n, sizeof(entries) - n, "%s\n", entry);
	}
	c = list(entries, false);
	assert_true(pl_concepts_count(c) > 100);
	for (uint64_t i = 0; i < 3000; i++) {
		random_text(text, sizeof(text), i, (unsigned)(i % 40));
		check_match(c, text);
	}
	pl_concepts_free(c);
}

static void test_lists(void **state)
{
	static const char *const wrong[] = {"", "\n\n", "[1]", "[\"a\"", "[]", "ab\xFF\n"};
	struct pl_concepts *c = list("[\"dog\", \"New York\", \"dog\", \"\"]", false);
	char *longest = calloc(5000, 1);

	(void)state;
	assert_int_equal(pl_concepts_count(c), 2);
	assert_string_equal(pl_concepts_entry(c, 1), "New York");
	pl_concepts_free(c);
	c = list("Dog\r\nDOG\r\nSTRASSE\r\nstra\xC3\x9F" "e\r\n", true);
	assert_int_equal(pl_concepts_count(c), 2);
	assert_string_equal(pl_concepts_entry(c, 0), "dog");
	pl_concepts_free(c);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct pl_err err;
		if (pl_concepts_new(&c, wrong[i], strlen(wrong[i]), false, "list", &err) != PL_ERR_USAGE)
			fail_msg("list '%s' was taken", wrong[i]);
		assert_null(c);
	}
	memset(longest, 'x', 4999);
	assert_int_equal(pl_concepts_new(&c, longest, 4999, true, "list", NULL), PL_ERR_USAGE);
	for (size_t i = 1; i < 200; i += 2)
		longest[i] = ' ';
	assert_int_equal(pl_concepts_new(&c, longest, 200, false, "list", NULL), PL_ERR_USAGE);
	free(longest);
}

/* ---- who stays ---- */

enum { ENTRIES = 4, SAMPLES = 40000 };

/* Which entries stand in sample s: each in a share of its own. */
static size_t entries_of(uint64_t s, uint32_t *entries)
{
	static const uint64_t one_in[ENTRIES] = {2, 5, 300, 10000};
	size_t n = 0;

	for (uint32_t e = 0; e < ENTRIES; e++) {
		if (pl_draw64(77, s, e) % one_in[e] == 0)
			entries[n++] = e;
	}
	return n;
}

static void count(uint64_t *counts, uint64_t *hashes)
{
	uint32_t e[ENTRIES];

	for (uint64_t s = 0; s < SAMPLES; s++) {
		for (size_t k = entries_of(s, e); k > 0; k--)
			counts[e[k - 1]]++;
	}
	for (uint32_t i = 0; i < ENTRIES; i++)
		hashes[i] = pl_mix64(i);
}

static void test_metaclip(void **state)
{
	uint64_t counts[ENTRIES] = {0}, hashes[ENTRIES], kept[1 << ENTRIES] = {0}, all[1 << ENTRIES] = {0};
	struct pl_concept_quota q = {.rule = PL_CONCEPT_METACLIP, .cap = 2000, .seed = 3, .counts = counts, .hashes = hashes};
	uint32_t e[ENTRIES];

	(void)state;
	count(counts, hashes);
	for (uint64_t s = 0; s < SAMPLES; s++) {
		size_t n = entries_of(s, e), set = 0;
		enum pl_reason why = pl_concept_verdict(&q, s, e, n);
		for (size_t k = 0; k < n; k++)
			set |= (size_t)1 << e[k];
		all[set]++;
		kept[set] += why == PL_REASON_KEEP;
		assert_true(n > 0 || why == PL_REASON_NO_CONCEPT);
		assert_true(n == 0 || why != PL_REASON_NO_CONCEPT);
	}
	for (size_t set = 1; set < 1 << ENTRIES; set++) {
		double stay = 1, error, deviation;
		for (uint32_t i = 0; i < ENTRIES; i++) {
			double p = counts[i] <= q.cap ? 1 : (double)q.cap / (double)counts[i];
			stay *= set >> i & 1 ? 1 - p : 1;
		}
		stay = 1 - stay;
		error = (double)kept[set] - stay * (double)all[set];
		deviation = (double)all[set] * stay * (1 - stay);
		if (error * error > 16 * deviation + 1e-6)   /* four standard deviations */
			fail_msg("entries %zx: %.4f of %llu stay, not %.4f", set, (double)kept[set] / (double)all[set], (unsigned long long)all[set], stay);
	}
}

static int compare_u64(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

	return (a > b) - (a < b);
}

static void test_llava(void **state)
{
	static uint64_t draws[SAMPLES];
	uint64_t counts[ENTRIES] = {0}, hashes[ENTRIES], limits[ENTRIES], stay[ENTRIES] = {0};
	struct pl_concept_quota q = {.rule = PL_CONCEPT_LLAVA, .cap = 100, .least = 10, .seed = 3, .counts = counts, .hashes = hashes, .limits = limits};
	uint32_t e[ENTRIES];

	(void)state;
	count(counts, hashes);
	assert_in_range(counts[3], 1, 9);
	assert_true(counts[2] > 100);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		size_t n = 0;
		for (uint64_t s = 0; s < SAMPLES; s++) {
			for (size_t k = entries_of(s, e); k > 0; k--) {
				if (e[k - 1] == i)
					draws[n++] = pl_concept_draw(q.seed, s, hashes[i]);
			}
		}
		qsort(draws, n, sizeof(*draws), compare_u64);
		limits[i] = n > q.cap ? draws[q.cap - 1] : UINT64_MAX;
	}
	for (uint64_t s = 0; s < SAMPLES; s++) {
		size_t n = entries_of(s, e);
		enum pl_reason why = pl_concept_verdict(&q, s, e, n);
		if (n == 1 && e[0] == 3)
			assert_int_equal(why, PL_REASON_NO_CONCEPT);
		if (n == 1)
			stay[e[0]] += why == PL_REASON_KEEP;
		for (uint32_t i = 0; i < 3; i++) {
			for (size_t k = 0; k < n; k++) {
				if (e[k] == i && pl_concept_draw(q.seed, s, hashes[i]) <= limits[i])
					assert_int_equal(why, PL_REASON_KEEP);
			}
		}
	}
	assert_in_range(stay[0], 50, 100);   /* of the 100 drawn for entry 0, those where it stands alone */
	assert_in_range(stay[1], 20, 100);
	assert_int_equal(stay[3], 0);
}

/* The smallest of parts, then of what is left of them, are the smallest of all. */
static void test_smallest(void **state)
{
	enum { N = 5000, CAP = 7, NAMES = 40 };
	static struct pl_entry_draw all[N], parts[N], whole[N];
	size_t kept = 0, n;

	(void)state;
	for (size_t i = 0; i < N; i++)
		all[i] = (struct pl_entry_draw){.draw = pl_draw64(1, i, 1), .entry = (uint32_t)(pl_draw64(1, i, 2) % NAMES)};
	memcpy(whole, all, sizeof(all));
	n = pl_concept_smallest(whole, N, CAP);
	assert_int_equal(n, CAP * NAMES);
	for (size_t at = 0; at < N; at += 500) {
		struct pl_entry_draw part[500];
		memcpy(part, all + at, sizeof(part));
		size_t k = pl_concept_smallest(part, 500, CAP);
		memcpy(parts + kept, part, k * sizeof(*part));
		kept += k;
	}
	assert_int_equal(pl_concept_smallest(parts, kept, CAP), n);
	for (size_t i = 0; i < n; i++) {
		size_t smaller = 0;
		assert_int_equal(parts[i].entry, whole[i].entry);
		assert_true(parts[i].draw == whole[i].draw);
		for (size_t k = 0; k < N; k++)
			smaller += all[k].entry == whole[i].entry && all[k].draw < whole[i].draw;
		assert_true(smaller < CAP);
	}
}

/* ---- mining ---- */

static struct pl_tally *tally(void)
{
	struct pl_tally *t = NULL;

	assert_int_equal(pl_tally_new(&t, NULL), PL_OK);
	return t;
}

static uint64_t mine(const char *text, struct pl_tally *unigrams, struct pl_tally *bigrams)
{
	struct pl_buf spaced;
	uint64_t words = 0;

	pl_buf_init(&spaced, 0);
	assert_int_equal(pl_concept_spaced(text, strlen(text), &spaced, NULL), PL_OK);
	assert_int_equal(pl_mine_text((const char *)spaced.data, spaced.len, unigrams, bigrams, &words, NULL), PL_OK);
	pl_buf_release(&spaced);
	return words;
}

static void expect_list(const struct pl_mine_options *o, const struct pl_tally *t, const char *want)
{
	struct pl_buf list;

	pl_buf_init(&list, 0);
	assert_int_equal(pl_mine_list(o, t, &list, NULL), PL_OK);
	assert_string_equal((const char *)list.data, want);
	pl_buf_release(&list);
}

static void test_mine(void **state)
{
	const struct pl_mine_options o = {.unigrams = 1, .bigrams = 2, .pmi = 1, .most = 3};
	struct pl_tally *u = tally(), *b = tally(), *again = tally();
	struct pl_buf packed;
	uint64_t words;

	(void)state;
	words = mine("New York, New York! a dog - a  cat in New York", u, b);
	assert_int_equal(words, 11);
	assert_int_equal(pl_tally_count(u, "New", 3), 3);
	assert_int_equal(pl_tally_count(u, "a", 1), 2);
	assert_int_equal(pl_tally_count(u, ",", 1), 0);
	assert_int_equal(pl_tally_count(b, "New York", 8), 3);
	assert_int_equal(pl_tally_count(b, "York New", 8), 0);   /* a mark is between them */
	assert_int_equal(pl_tally_count(b, "dog a", 5), 0);
	assert_int_equal(pl_tally_count(b, "a cat", 5), 0);      /* two spaces: such a pair would not match */
	assert_int_equal(pl_tally_count(b, "a dog", 5), 1);
	expect_list(&o, u, "New\nYork\na\n");
	/* 3 x 11 >= 2^pmi x 3 x 3: up to pmi 1 */
	assert_true(pl_mine_bigram(&o, "New York", 8, 3, u, words));
	assert_false(pl_mine_bigram(&(struct pl_mine_options){.bigrams = 2, .pmi = 2}, "New York", 8, 3, u, words));
	assert_false(pl_mine_bigram(&(struct pl_mine_options){.bigrams = 4, .pmi = 0}, "New York", 8, 3, u, words));
	assert_false(pl_mine_bigram(&(struct pl_mine_options){.bigrams = 0}, "New York", 8, 3, u, words));

	pl_buf_init(&packed, 0);
	for (size_t i = 0; i < pl_tally_size(u); i++)
		assert_int_equal(pl_tally_pack(u, i, &packed, NULL), PL_OK);
	for (int twice = 0; twice < 2; twice++)
		assert_int_equal(pl_tally_unpack(again, packed.data, packed.len, NULL), PL_OK);
	assert_int_equal(pl_tally_size(again), pl_tally_size(u));
	assert_int_equal(pl_tally_count(again, "New", 3), 6);
	assert_int_equal(pl_tally_unpack(again, packed.data, packed.len - 1, NULL), PL_ERR_INVALID);
	pl_buf_release(&packed);
	pl_tally_free(u);
	pl_tally_free(b);
	pl_tally_free(again);
}

/* Many strings: the table grows, and counts stay with their strings. */
static void test_tally(void **state)
{
	struct pl_tally *t = tally();
	char s[32];

	(void)state;
	for (uint64_t i = 0; i < 60000; i++) {
		snprintf(s, sizeof(s), "%llu", (unsigned long long)(i % 20011));
		assert_int_equal(pl_tally_add(t, s, strlen(s), i % 3, NULL), PL_OK);
	}
	assert_int_equal(pl_tally_size(t), 20011);
	for (uint64_t k = 0; k < 20011; k++) {
		uint64_t want = 0;
		for (uint64_t i = k; i < 60000; i += 20011)
			want += i % 3;
		snprintf(s, sizeof(s), "%llu", (unsigned long long)k);
		assert_int_equal(pl_tally_count(t, s, strlen(s)), want);
	}
	pl_tally_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_metaclip),
		cmocka_unit_test(test_llava),
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_mine),
		cmocka_unit_test(test_tally),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
