/* SPDX-License-Identifier: Apache-2.0 */
/* Packing documents into sequences: first-fit decreasing against plain loops,
 * every document once, budgets, borders, and the window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/base/json.h"
#include "libpipe/mix/sequence.h"

enum { MOST = 600 };

/* As the textbook has it: take the largest that is left, try the bins in order. */
static uint32_t oracle(const uint64_t *costs, uint32_t n, uint64_t budget, uint32_t *bins)
{
	uint64_t room[MOST] = {0};
	uint32_t names[MOST], used = 0, named = 0;
	bool done[MOST] = {false};

	for (uint32_t step = 0; step < n; step++) {
		uint32_t pick = n, bin = 0;
		for (uint32_t i = 0; i < n; i++) {
			if (!done[i] && (pick == n || costs[i] > costs[pick]))
				pick = i;
		}
		done[pick] = true;
		for (bin = 0; bin < used && (costs[pick] > budget || room[bin] < costs[pick]); bin++)
			continue;
		if (bin == used)
			room[used++] = budget;
		bins[pick] = bin;
		room[bin] = costs[pick] > budget ? 0 : room[bin] - costs[pick];
	}
	for (uint32_t bin = 0; bin < used; bin++)
		names[bin] = UINT32_MAX;
	for (uint32_t i = 0; i < n; i++) {
		if (names[bins[i]] == UINT32_MAX)
			names[bins[i]] = named++;
		bins[i] = names[bins[i]];
	}
	return used;
}

static void test_first_fit(void **state)
{
	static const uint64_t budgets[] = {1, 10, 100, 2048};

	(void)state;
	for (uint64_t round = 0; round < 400; round++) {
		uint64_t costs[MOST], budget = budgets[round % 4], most = budget + (round % 3 ? 0 : budget / 8 + 1);
		uint32_t bins[MOST], due[MOST], n = (uint32_t)(pl_draw64(1, round, 0) % MOST), used = 99;
		for (uint32_t i = 0; i < n; i++) {
			costs[i] = pl_draw64(2, round, i) % (most + 1);
			if (round % 5 == 1)
				costs[i] = costs[i] / 7 + 1;
			if (costs[i] == 0)     /* where one of no cost goes matters to nobody: it goes to the first */
				costs[i] = 1;
		}
		assert_int_equal(pl_first_fit(costs, n, budget, bins, &used, NULL), PL_OK);
		assert_int_equal(used, oracle(costs, n, budget, due));
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(bins[i], due[i]);
	}
}

static void test_no_cost(void **state)
{
	const uint64_t costs[] = {0, 9, 0, 5, 0};
	uint32_t bins[5], used = 0;

	(void)state;
	assert_int_equal(pl_first_fit(costs, 5, 6, bins, &used, NULL), PL_OK);
	assert_int_equal(used, 2);
	assert_true(bins[0] == bins[3] && bins[2] == bins[3] && bins[4] == bins[3] && bins[1] != bins[3]);
}

/* ---- sequences ---- */

struct sink { json_t *samples; uint64_t members, bytes; };

/* Keep the JSON; members must be what its segments name, with the bytes that the document gave. */
static enum pl_status take(void *ctx, const char *key, const struct shard_member *m, size_t n, struct pl_err *err)
{
	struct sink *sink = ctx;
	json_t *j = NULL, *segment;
	size_t at = 1, i;

	(void)err;
	assert_string_equal(m[0].suffix, "json");
	assert_int_equal(pl_json_parse(m[0].data, m[0].len, &j, NULL), PL_OK);
	assert_string_equal(pl_json_str(j, "key"), key);
	assert_null(pl_sequence_wrong(j));
	json_array_foreach(json_object_get(j, "segments"), i, segment) {
		const json_t *tiles = json_object_get(segment, "tiles");
		if (pl_json_str(segment, "part") != NULL) {
			assert_string_equal(m[at].suffix, pl_json_str(segment, "part"));
			assert_int_equal(m[at].len, (size_t)pl_json_num(segment, "len", 0));
			assert_memory_equal(m[at].data, pl_json_str(segment, "bytes"), m[at].len);
			at++;
		}
		for (size_t k = 0; k < json_array_size(tiles); k++)
			assert_string_equal(m[at++].suffix, json_string_value(json_array_get(tiles, k)));
	}
	assert_int_equal(at, n);
	assert_int_equal(json_array_append_new(sink->samples, j), 0);
	return PL_OK;
}

/* Document i: i % 4 images, one of them in tiles, and a text. */
static void add(struct pl_sequences *s, uint64_t i, uint64_t tokens, struct pl_err *err)
{
	char json[2048], names[8][32], bytes[8][48];
	struct shard_member m[8] = {{0}};
	size_t n = 1, images = (size_t)(i % 4), at;

	at = (size_t)snprintf(json, sizeof(json), "{\"key\":\"000007-%06llu\",\"source\":\"s\",\"stage\":\"align\",\"segments\":[", (unsigned long long)i);
	for (size_t k = 0; k < images; k++, n++) {
		snprintf(names[n], sizeof(names[n]), "%zu.webp", k);
		snprintf(bytes[n], sizeof(bytes[n]), "%llu/%zu", (unsigned long long)i, k);
		m[n] = (struct shard_member){names[n], bytes[n], strlen(bytes[n])};
		at += (size_t)snprintf(json + at, sizeof(json) - at, "{\"type\":\"image\",\"part\":\"%s\",\"len\":%zu,\"bytes\":\"%s\"", names[n], m[n].len,
		    bytes[n]);
		if (k == 1) {
			at += (size_t)snprintf(json + at, sizeof(json) - at, ",\"tiles\":[\"1.t0.webp\"]");
			m[++n] = (struct shard_member){"1.t0.webp", "tile", 4};
		}
		at += (size_t)snprintf(json + at, sizeof(json) - at, "},");
	}
	at += (size_t)snprintf(json + at, sizeof(json) - at, "{\"type\":\"text\",\"text\":\"t%llu\",\"loss\":true}],\"images\":%zu}",
	    (unsigned long long)i, images);
	m[0] = (struct shard_member){"json", json, at};
	if (pl_sequences_add(s, m, n, tokens, err) != PL_OK)
		fail_msg("%s", err->text);
}

/* The sequences of one window: who is in them by the oracle, in the order of arrival. */
static void check_window(const json_t *samples, size_t *at, const uint64_t *costs, uint32_t begin, uint32_t n, uint64_t budget)
{
	uint32_t due[MOST], used = oracle(costs + begin, n, budget, due);

	for (uint32_t bin = 0; bin < used; bin++) {
		const json_t *sample = json_array_get(samples, (*at)++), *documents = json_object_get(sample, "documents");
		size_t in = 0, segments = 0, images = 0;
		uint64_t sum = 0;
		for (uint32_t i = 0; i < n; i++) {
			const json_t *d = json_array_get(documents, in), *first;
			char key[32];
			if (due[i] != bin)
				continue;
			snprintf(key, sizeof(key), "000007-%06u", begin + i);
			assert_string_equal(pl_json_str(d, "key"), key);
			assert_int_equal(json_integer_value(json_object_get(d, "tokens")), costs[begin + i]);
			assert_int_equal(json_integer_value(json_object_get(d, "first_segment")), segments);
			assert_int_equal(json_integer_value(json_object_get(d, "segments")), (begin + i) % 4 + 1);
			segments += (begin + i) % 4 + 1;
			images += (begin + i) % 4;
			snprintf(key, sizeof(key), "t%u", begin + i);
			first = json_array_get(json_object_get(sample, "segments"), segments - 1);
			assert_string_equal(pl_json_str(first, "text"), key);
			sum += costs[begin + i];
			in++;
			assert_int_equal(json_integer_value(json_array_get(json_object_get(sample, "boundaries"), in)), sum);
		}
		assert_int_equal(json_array_size(documents), in);
		assert_int_equal(json_array_size(json_object_get(sample, "boundaries")), in + 1);
		assert_int_equal(json_array_size(json_object_get(sample, "segments")), segments);
		assert_int_equal(pl_json_num(sample, "images", -1), images);
		assert_int_equal(pl_json_num(sample, "tokens", -1), sum);
		assert_true(sum <= budget || in == 1);
	}
}

static void check_sequences(uint32_t n, uint64_t window, uint64_t budget)
{
	const struct pl_sequence_rule rule = {.tokens = budget, .window = window};
	struct sink sink = {.samples = json_array()};
	struct pl_sequences *s = NULL;
	struct pl_sequence_totals t;
	struct pl_err err = {0};
	uint64_t costs[MOST], filled = 0, longer = 0;
	size_t at = 0;

	assert_int_equal(pl_sequences_new(&s, &rule, 7, take, &sink, NULL), PL_OK);
	for (uint32_t i = 0; i < n; i++) {
		costs[i] = 1 + pl_draw64(5, n, i) % (budget + budget / 20);
		if (i % 3)
			costs[i] = costs[i] / 9 + 1;
		filled += costs[i] < budget ? costs[i] : budget;
		longer += costs[i] > budget;
		add(s, i, costs[i], &err);
	}
	assert_int_equal(pl_sequences_finish(s, &t, NULL), PL_OK);
	for (uint32_t begin = 0; begin < n; begin += (uint32_t)window)
		check_window(sink.samples, &at, costs, begin, n - begin < window ? n - begin : (uint32_t)window, budget);
	assert_int_equal(json_array_size(sink.samples), at);
	assert_int_equal(t.sequences, at);
	assert_int_equal(t.documents, n);
	assert_int_equal(t.filled, filled);
	assert_int_equal(t.longer, longer);
	pl_sequences_free(s);
	json_decref(sink.samples);
}

static void test_sequences(void **state)
{
	(void)state;
	check_sequences(0, 10, 100);
	check_sequences(1, 10, 100);
	check_sequences(500, 1, 100);
	check_sequences(500, 64, 2048);
	check_sequences(600, 1000, 2048);
}

/* One number changed anywhere is found. */
static void test_wrong(void **state)
{
	static const char right[] = "{'budget':10,'tokens':9,'segments':[{},{},{}],'images':1,'documents':["
	    "{'tokens':4,'first_segment':0,'segments':1,'images':1},{'tokens':5,'first_segment':1,'segments':2,'images':0}],'boundaries':[0,4,9]}";
	char text[sizeof(right)];
	json_t *j = NULL;

	(void)state;
	memcpy(text, right, sizeof(text));
	for (char *p = text; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	assert_int_equal(pl_json_parse(text, strlen(text), &j, NULL), PL_OK);
	assert_null(pl_sequence_wrong(j));
	json_decref(j);
	for (char *p = text; *p; p++) {
		char was = *p;
		if (was < '0' || was > '9' || (was == '1' && p[1] == '0') || (was == '0' && p[-1] == '1'))
			continue;
		*p = was == '7' ? '6' : '7';
		assert_int_equal(pl_json_parse(text, strlen(text), &j, NULL), PL_OK);
		assert_non_null(pl_sequence_wrong(j));
		json_decref(j);
		*p = was;
	}
	*strstr(text, "10") = '0';   /* a budget of 0 */
	text[strcspn(text, "0")] = ' ';
	assert_int_equal(pl_json_parse(text, strlen(text), &j, NULL), PL_OK);
	assert_string_equal(pl_sequence_wrong(j), "it is over its budget");
	json_decref(j);
	assert_int_equal(pl_json_parse("{}", 2, &j, NULL), PL_OK);
	assert_null(pl_sequence_wrong(j));
	json_decref(j);
}

/* What no template makes is an error, and nothing leaks. */
static void test_odd_names(void **state)
{
	const struct pl_sequence_rule rule = {.tokens = 10, .window = 4};
	const char json[] = "{\"key\":\"k\",\"segments\":[{\"type\":\"image\",\"part\":\"webp\"}],\"images\":1}", no_json[] = "{";
	const struct shard_member odd[] = {{"json", json, sizeof(json) - 1}, {"webp", "x", 1}}, bad[] = {{"json", no_json, 1}};
	struct pl_sequences *s = NULL;
	struct pl_sequence_totals t;
	struct sink sink = {.samples = json_array()};

	(void)state;
	assert_int_equal(pl_sequences_new(&s, &rule, 7, take, &sink, NULL), PL_OK);
	assert_int_equal(pl_sequences_add(s, odd, 2, 3, NULL), PL_OK);
	assert_int_equal(pl_sequences_finish(s, &t, NULL), PL_ERR_INVALID);
	assert_int_equal(pl_sequences_add(s, bad, 1, 3, NULL), PL_ERR_INVALID);
	assert_int_equal(pl_sequences_add(s, odd, 2, 3, NULL), PL_OK);   /* left in the window */
	pl_sequences_free(s);
	json_decref(sink.samples);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_fit),
		cmocka_unit_test(test_no_cost),
		cmocka_unit_test(test_sequences),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_odd_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
