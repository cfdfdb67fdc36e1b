/* SPDX-License-Identifier: Apache-2.0 */
/* YAML and schemas: the values of a good recipe, and the exact message of each
 * bad one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/yaml.h"

struct source {
	const char *name;
	struct pl_field_strs shards;
	int kind;
	double weight;
	uint32_t weight_line;
};

struct recipe {
	const char *name;
	int64_t seed;
	bool across;
	struct pl_field_list sources;
	struct { uint64_t total; double max_epochs; } balance;
	uint64_t shard_size;
	const char *dir;
};

static const char *const kinds[] = {"pairs", "interleaved", "chat", NULL};
static const struct source source_defaults = {.weight = 1.0, .kind = 2};

static const struct pl_field source_fields[] = {{.key = "name",
						    .type = PL_FIELD_STR,
						    .offset = offsetof(struct source, name),
						    .required = true},
    {.key = "shards", .type = PL_FIELD_STRLIST, .offset = offsetof(struct source, shards)},
    {.key = "kind",
	.type = PL_FIELD_CHOICE,
	.offset = offsetof(struct source, kind),
	.choices = kinds},
    {.key = "weight",
	.type = PL_FIELD_REAL,
	.offset = offsetof(struct source, weight),
	.min = 0,
	.max = 10,
	.line_offset = offsetof(struct source, weight_line)},
    {0}};
/* offsets into the sub-struct */
static const struct pl_field balance_fields[] = {
	{.key = "total", .type = PL_FIELD_COUNT, .offset = 0, .min = 1, .max = 1e301},
	{.key = "max_epochs", .type = PL_FIELD_REAL, .offset = sizeof(uint64_t)},
	{0}
};
/* offsets into the recipe itself */
static const struct pl_field output_fields[] = {
    {.key = "shard_size", .type = PL_FIELD_SIZE, .offset = offsetof(struct recipe, shard_size)},
    {.key = "dir", .type = PL_FIELD_STR, .offset = offsetof(struct recipe, dir), .required = true},
    {0}};
static const struct pl_field recipe_fields[] = {{.key = "name",
						    .type = PL_FIELD_STR,
						    .offset = offsetof(struct recipe, name),
						    .required = true},
    {.key = "seed",
	.type = PL_FIELD_INT,
	.offset = offsetof(struct recipe, seed),
	.min = 1,
	.max = 1e301},
    {.key = "across", .type = PL_FIELD_BOOL, .offset = offsetof(struct recipe, across)},
    {.key = "sources",
	.type = PL_FIELD_LIST,
	.offset = offsetof(struct recipe, sources),
	.sub = source_fields,
	.item_size = sizeof(struct source),
	.item_defaults = &source_defaults},
    {.key = "balance",
	.type = PL_FIELD_MAP,
	.offset = offsetof(struct recipe, balance),
	.sub = balance_fields},
    {.key = "output", .type = PL_FIELD_MAP, .sub = output_fields}, {0}};

static enum pl_status load(const char *text, size_t len, struct pl_arena *arena, struct recipe *r,
    struct pl_err *err)
{
	struct pl_yaml *root = NULL;
	enum pl_status st = pl_yaml_parse("recipe.yaml", text, len, arena, &root, err);

	return st == PL_OK ? pl_yaml_fill("recipe.yaml", root, recipe_fields, "", r, arena, err)
			   : st;
}

/* The message of a bad recipe, place and all. */
static void check_message(const char *text, const char *want)
{
	struct pl_arena arena;
	struct pl_err err = {0};
	struct recipe r = {0};
	char got[2048] = "";

	pl_arena_init(&arena, 0);
	if (load(text, strlen(text), &arena, &r, &err) != PL_ERR_USAGE)
		fail_msg("not refused: %s", text);
	assert_int_equal(err.severity, PL_SEV_JOB);
	assert_string_equal(pl_err_format(&err, got, sizeof(got)), want);
	pl_arena_release(&arena);
}

static void test_good(void **state)
{
	static const char text[] =
		"name: llava-align\n"
		"seed: 42\n"
		"sources:\n"
		"  - {name: cc3m, shards: \"data/{0..3}.tar\", kind: pairs, weight: 0.6}\n"
		"  - name: \"007\"\n"
		"    shards: [a.tar, b.tar]\n"
		"    weight: 3\n"
		"  - {name: last, shards: []}\n"
		"balance: {total: 2G}\n"
		"output:\n"
		"  dir: out/llava-align\n"
		"  shard_size: 256MiB\n";
	struct recipe r = {.across = true, .balance = {.max_epochs = 4}};
	const struct source *s;
	struct pl_arena arena;
	struct pl_err err = {0};

	(void)state;
	pl_arena_init(&arena, 0);
	if (load(text, sizeof(text) - 1, &arena, &r, &err) != PL_OK)
		fail_msg("line %u: %s", err.line, err.text);
	assert_string_equal(r.name, "llava-align");
	assert_int_equal(r.seed, 42);
	assert_true(r.across);
	assert_int_equal(r.balance.total, 2000000000);
	assert_true(r.balance.max_epochs == 4.0);
	assert_int_equal(r.shard_size, 256 << 20);
	assert_string_equal(r.dir, "out/llava-align");
	assert_int_equal(r.sources.n, 3);
	s = r.sources.items;
	assert_string_equal(s[0].name, "cc3m");
	assert_int_equal(s[0].shards.n, 1);
	assert_string_equal(s[0].shards.items[0], "data/{0..3}.tar");
	assert_int_equal(s[0].kind, 0);
	assert_true(s[0].weight == 0.6);
	assert_int_equal(s[0].weight_line, 4);
	assert_string_equal(s[1].name, "007");
	assert_int_equal(s[1].shards.n, 2);
	assert_string_equal(s[1].shards.items[1], "b.tar");
	assert_int_equal(s[1].kind, 2);
	assert_int_equal(s[1].weight_line, 7);
	assert_int_equal(s[2].shards.n, 0);
	assert_true(s[2].weight == 1.0);
	assert_int_equal(s[2].weight_line, 0);
	pl_arena_release(&arena);
}

static void test_unknown_keys(void **state)
{
	(void)state;
	check_message(
	    "name: x\nsede: 3\n", "'recipe.yaml':2: unknown key 'sede'; did you mean 'seed'?");
	check_message("name: x\nsources:\n  - name: a\n    weigth: 1\n",
	    "'recipe.yaml':4: unknown key 'weigth' in sources[0]; did you mean 'weight'?");
	check_message("name: x\nbalance:\n  frobnicate: 1\n",
	    "'recipe.yaml':3: unknown key 'frobnicate' in balance; known keys: total, max_epochs");
	check_message(
	    "name: x\nname: y\n", "'recipe.yaml':2: key 'name' is there twice, first at line 1");
}

static void test_wrong_types(void **state)
{
	(void)state;
	check_message("name: [a]\n", "'recipe.yaml':1: 'name' must be text, not a list");
	check_message("name:\n", "'recipe.yaml':1: 'name' has no value");
	check_message("name: ~\n", "'recipe.yaml':1: 'name' has no value");
	check_message(
	    "name: x\nseed: many\n", "'recipe.yaml':2: 'seed' must be a whole number, not 'many'");
	check_message(
	    "name: x\nseed: 1.5\n", "'recipe.yaml':2: 'seed' must be a whole number, not '1.5'");
	check_message("name: x\nseed: \"42\"\n",
	    "'recipe.yaml':2: 'seed' must be a whole number, not the text '42'");
	check_message("name: x\nseed: 99999999999999999999\n",
	    "'recipe.yaml':2: 'seed' must be a whole number, not '99999999999999999999'");
	check_message("name: x\nseed: -\n",
	    "'recipe.yaml':2: not YAML: block sequence entries are not allowed "
	    "in this context");
	check_message("name: x\nacross: maybe\n",
	    "'recipe.yaml':2: 'across' must be true or false, not 'maybe'");
	check_message("name: x\nsources: {name: a}\n",
	    "'recipe.yaml':2: 'sources' must be a list, not a map");
	check_message("name: x\nsources:\n- a\n",
	    "'recipe.yaml':3: sources[0] must be a map of keys and values, not a plain value");
	check_message("name: x\nsources:\n- {name: a, weight: inf}\n",
	    "'recipe.yaml':3: 'weight' in sources[0] must be a number, not 'inf'");
	check_message("name: x\nsources:\n- {name: a, weight: 0x10}\n",
	    "'recipe.yaml':3: 'weight' in sources[0] must be a number, not '0x10'");
	check_message("name: x\nsources:\n- {name: a, shards: {b: c}}\n",
	    "'recipe.yaml':3: 'shards' in sources[0] must be text or a list of texts, not a map");
	check_message("name: x\nsources:\n- {name: a, shards: [b, [c]]}\n",
	    "'recipe.yaml':3: 'shards[1]' in sources[0] must be text, not a list");
	check_message("name: x\nsources:\n- {name: a, kind: pair}\n",
	    "'recipe.yaml':3: 'kind' in sources[0] must be one of pairs, interleaved, chat, not "
	    "'pair'; "
	    "did you mean 'pairs'?");
	check_message("name: x\nsources:\n- {name: a, kind: 7}\n",
	    "'recipe.yaml':3: 'kind' in sources[0] must be one of pairs, interleaved, chat, not "
	    "'7'");
	check_message("name: x\nbalance: 3\n",
	    "'recipe.yaml':2: balance must be a map of keys and values, not a plain value");
	check_message("name: x\noutput: {dir: x, shard_size: big}\n",
	    "'recipe.yaml':2: 'shard_size' in output must be a size such as 256MiB, not 'big'");
	check_message(
	    "- a\n", "'recipe.yaml':1: the file must be a map of keys and values, not a list");
}

static void test_ranges(void **state)
{
	(void)state;
	check_message("name: x\nseed: 0\n", "'recipe.yaml':2: 'seed' must be at least 1, not '0'");
	check_message("name: x\nsources:\n- name: a\n  weight: 10.5\n",
	    "'recipe.yaml':4: 'weight' in sources[0] must be between 0 and 10, not '10.5'");
	check_message("name: x\nbalance: {total: 0}\n",
	    "'recipe.yaml':2: 'total' in balance must be at least 1, not '0'");
}

static void test_missing(void **state)
{
	(void)state;
	check_message("seed: 3\n", "'recipe.yaml':1: missing key 'name'");
	check_message("name: x\nsources:\n- name: a\n- weight: 1\n",
	    "'recipe.yaml':4: missing key 'name' in sources[1]");
	check_message(
	    "name: x\noutput: {shard_size: 3}\n", "'recipe.yaml':2: missing key 'dir' in output");
}

static void test_refused_yaml(void **state)
{
	(void)state;
	check_message("", "'recipe.yaml':1: the file is empty");
	check_message("# nothing\n", "'recipe.yaml':2: the file is empty");
	check_message("name: &a x\nseed: *a\n",
	    "'recipe.yaml':1: anchors and aliases (& and *) are not allowed: write the value out");
	check_message("name: x\nbalance: *a\n",
	    "'recipe.yaml':2: anchors and aliases (& and *) are not allowed: write the value out");
	check_message("name: x\nbalance: &a {}\n",
	    "'recipe.yaml':2: anchors and aliases (& and *) are not allowed: write the value out");
	check_message("name: !!str x\n", "'recipe.yaml':1: tags (!) are not allowed");
	check_message(
	    "name: x\n--- \nname: y\n", "'recipe.yaml':2: a second document ('---') in one file");
	check_message("name: x\n[a]: y\n", "'recipe.yaml':2: a key must be plain text");
	check_message("name: \"a\\0b\"\n", "'recipe.yaml':1: a zero byte has no place in a value");
	check_message(
	    "name: x\nseed: 3\n\xff\n", "'recipe.yaml':3: not YAML: invalid leading UTF-8 octet");
	check_message("name: {a: 1\n", "'recipe.yaml':2: not YAML: while parsing a flow mapping: "
	    "did not find expected ',' or '}'");
}

static void check_depth(size_t depth, bool ok)
{
	char text[128];
	struct pl_arena arena;
	struct pl_yaml *root = NULL;
	struct pl_err err = {0};

	memset(text, '[', depth);
	memset(text + depth, ']', depth);
	pl_arena_init(&arena, 0);
	assert_int_equal(pl_yaml_parse("d.yaml", text, 2 * depth, &arena, &root, &err),
	    ok ? PL_OK : PL_ERR_USAGE);
	if (!ok) {
		assert_string_equal(err.text, "nested deeper than 32 levels");
		assert_int_equal(err.line, 1);
	}
	pl_arena_release(&arena);
}

static void test_limits(void **state)
{
	size_t len = (4u << 20) + 1;
	char *big = malloc(len);
	struct pl_arena arena;
	struct pl_yaml *root = NULL;
	struct pl_err err = {0};

	(void)state;
	check_depth(32, true);
	check_depth(33, false);
	assert_non_null(big);
	memset(big, ' ', len);
	pl_arena_init(&arena, 0);
	assert_int_equal(pl_yaml_parse("big.yaml", big, len, &arena, &root, &err), PL_ERR_USAGE);
	assert_string_equal(err.text, "larger than 4 MiB");
	pl_arena_release(&arena);
	/* an arena too small for the tree */
	pl_arena_init(&arena, 4096);
	for (size_t i = 0; i < 40000; i++)
		memcpy(big + 2 * i, i ? ",a" : "[a", 2);
	big[80000] = ']';
	assert_int_equal(pl_yaml_parse("wide.yaml", big, 80001, &arena, &root, &err), PL_ERR_LIMIT);
	pl_arena_release(&arena);
	free(big);
}

static void check_count(const char *text, uint64_t want)
{
	static const struct pl_field fields[] = {{.key = "n", .type = PL_FIELD_COUNT}, {0}};
	char line[64];
	uint64_t n = 77;
	struct pl_arena arena;
	struct pl_yaml *root = NULL;
	enum pl_status st;

	snprintf(line, sizeof(line), "n: %s\n", text);
	pl_arena_init(&arena, 0);
	assert_int_equal(pl_yaml_parse("c.yaml", line, strlen(line), &arena, &root, NULL), PL_OK);
	st = pl_yaml_fill("c.yaml", root, fields, NULL, &n, &arena, NULL);
	assert_int_equal(st, want == 77 ? PL_ERR_USAGE : PL_OK);
	assert_int_equal(n, want);
	pl_arena_release(&arena);
}

static void test_counts(void **state)
{
	static const char *const bad[] = {"-1", "2X", "2GB", "2Gib", "2gi", "1.5", "1.0000001M",
	    ".5M", "1.K", "1e6", "18446744073709551616", "18446744073709552K",
	    "18446744073709551.7K", "''", "1 000"};

	(void)state;
	check_count("0", 0);
	check_count("1000000", 1000000);
	check_count("2K", 2000);
	check_count("2G", 2000000000);
	check_count("2Gi", 2147483648);
	check_count("1Ti", 1099511627776);
	check_count("3T", 3000000000000);
	check_count("1.5M", 1500000);
	check_count("0.5Ki", 512);
	check_count("\"2G\"", 2000000000);
	check_count("18446744073709551615", UINT64_MAX);
	check_count("18446744073709551.615K", UINT64_MAX);
	for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
		check_count(bad[i], 77);
}

/* Every prefix and every changed byte of a recipe: an answer, never a crash. */
static void test_hostile_bytes(void **state)
{
	static const char
	    text[] = "name: \"a\\n\"\nsources:\n  - {name: b, shards: [c, 'd'], kind: pairs}\n"
		     "balance:\n  total: |\n    2G\noutput: {dir: >-\n e}\n";
	static const unsigned char other[] = {
	    0, '\n', '\t', '[', '{', '}', '"', '&', '!', '%', '?', 0x80, 0xff};
	char copy[sizeof(text)];
	struct pl_arena arena;

	(void)state;
	pl_arena_init(&arena, 0);
	for (size_t n = 0; n < sizeof(text); n++) {
		struct recipe r = {0};
		memcpy(copy, text, sizeof(text));
		(void)!load(copy, n, &arena, &r, NULL);
		for (size_t k = 0; k < sizeof(other); k++) {
			copy[n] = (char)other[k];
			(void)!load(copy, sizeof(text) - 1, &arena, &r, NULL);
		}
		pl_arena_clear(&arena);
	}
	pl_arena_release(&arena);
}

static void test_get(void **state)
{
	struct pl_arena arena;
	struct pl_yaml *root = NULL;
	const struct pl_yaml *a;

	(void)state;
	pl_arena_init(&arena, 0);
	assert_int_equal(
	    pl_yaml_parse("g.yaml", "a:\n  - 'q'\n  - p\n", 17, &arena, &root, NULL), PL_OK);
	a = pl_yaml_get(root, "a");
	assert_non_null(a);
	assert_int_equal(a->type, PL_YAML_LIST);
	assert_int_equal(a->n, 2);
	assert_true(a->items[0]->quoted && !a->items[1]->quoted);
	assert_int_equal(a->items[1]->line, 3);
	assert_null(pl_yaml_get(root, "b"));
	assert_null(pl_yaml_get(a, "a"));
	assert_null(pl_yaml_get(NULL, "a"));
	pl_arena_release(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_unknown_keys),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_refused_yaml),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_hostile_bytes),
		cmocka_unit_test(test_get),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
