/* SPDX-License-Identifier: Apache-2.0 */
/* The option table: parser, values, help, manual page, completion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <cmocka.h>

#include "libpipe/base/opt.h"

static struct pl_common common;
static struct {
	const char *out;
	struct pl_strlist where;
	int64_t side;
	uint64_t size;
	double share;
	int format;
	bool flag;
} got;

static const char *const formats[] = { "webp", "jpeg", "png", NULL };
static const struct pl_opt opts[] = {
	{ 'o', "out", PL_OPT_STR, &got.out, "DIR", "directory of the output", 0, 0, NULL },
	{ 'w', "where", PL_OPT_LIST, &got.where, "SQL", "keep rows for which a_b * c < 2 holds", 0,
	    0, NULL },
	{ 0, "side", PL_OPT_INT, &got.side, "N", "longest side in pixels", -10, 65535, NULL },
	{ 0, "shard-size", PL_OPT_SIZE, &got.size, "SIZE", "bytes of a shard", 0, 0, NULL },
	{ 0, "share", PL_OPT_REAL, &got.share, NULL, "a share", 0, 1, NULL },
	{ 'f', "format", PL_OPT_CHOICE, &got.format, "NAME", "format of the images", 0, 0,
	    formats },
	{ 'x', "flag", PL_OPT_FLAG, &got.flag, NULL,
	    "a flag whose description is so long that it has to be "
	    "continued on another line of the help text",
	    0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};
static const struct pl_tool tool = {
	.name = "plait-try",
	.summary = "try every option_type * twice",
	.synopsis = "SHARD... -o DIR [--side=N]",
	.description = ".5 of all lines start oddly,\n# with *marks* and _marks_ or `ticks`.\n\n"
		       "Second paragraph:\n\n\tplait try \\x *.tar\n\nEnd.",
	.examples = "$ plait try --version\nplait-try 0.1.0\n",
	.opts = opts,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB | PL_COMMON_POOL,
};

#define MAX_ARGS 24
static char *args[MAX_ARGS];

/* Parse a NULL-terminated list; args holds the reordered argv afterwards. */
static enum pl_status parse(int *first, struct pl_err *err, const char *const *list)
{
	enum pl_opt_outcome outcome = PL_OPT_EXIT;
	enum pl_status st;
	int n = 1;

	memset(&got, 0, sizeof(got));
	memset(&common, 0, sizeof(common));
	common.max_reject = -1;
	args[0] = strdup("plait-try");
	for (; list[n - 1] != NULL; n++)
		args[n] = strdup(list[n - 1]);
	args[n] = NULL;
	st = pl_opt_parse(&tool, n, args, first, &outcome, err);
	if (st == PL_OK)
		assert_int_equal(outcome, PL_OPT_RUN);
	return st;
}

static void done(void)
{
	pl_strlist_release(&got.where);
	for (int i = 0; args[i] != NULL; i++)
		free(args[i]);
	args[0] = NULL;
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void every_type_is_set(void **state)
{
	int first;

	(void)state;
	assert_int_equal(parse(&first, NULL,
			     LIST("a.tar", "-o", "out", "--where=x > 1", "-wy=2", "b.tar", "--side",
				 "-7", "--shard-size=256MiB", "--share", "2.5e-1", "-fpng", "-xvvq",
				 "-", "--seed", "18446744073709551615")),
	    PL_OK);
	assert_string_equal(got.out, "out");
	assert_int_equal(got.where.len, 2);
	assert_string_equal(got.where.items[0], "x > 1");
	assert_string_equal(got.where.items[1], "y=2");
	assert_int_equal(got.side, -7);
	assert_int_equal(got.size, 256u << 20);
	assert_true(got.share == 0.25);
	assert_int_equal(got.format, 2);
	assert_true(got.flag);
	assert_int_equal(common.verbose, 2);
	assert_int_equal(common.quiet, 1);
	assert_true(common.seed == UINT64_MAX);
	assert_string_equal(args[first - 1], "18446744073709551615");
	assert_string_equal(args[first], "a.tar");
	assert_string_equal(args[first + 1], "b.tar");
	assert_string_equal(args[first + 2], "-");
	assert_null(args[first + 3]);
	done();
}

static void shared_options_are_set(void **state)
{
	int first;

	(void)state;
	assert_int_equal(parse(&first, NULL,
			     LIST("-j4", "--sandbox=require", "--progress", "json", "--max-reject",
				 "0.5", "--force", "--report=r.json", "--", "-o", "--force")),
	    PL_OK);
	assert_int_equal(common.workers, 4);
	assert_int_equal(common.sandbox, 1);
	assert_int_equal(common.progress, 2);
	assert_true(common.max_reject == 0.5);
	assert_true(common.force);
	assert_string_equal(common.report, "r.json");
	assert_null(got.out);
	assert_string_equal(args[first], "-o");
	assert_string_equal(args[first + 1], "--force");
	assert_null(args[first + 2]);
	done();
	assert_int_equal(parse(&first, NULL, LIST("--max-reject=2.5%")), PL_OK);
	assert_true(common.max_reject == 0.025);
	done();
	assert_int_equal(parse(&first, NULL, LIST("x")), PL_OK);
	assert_true(common.max_reject == -1);
	assert_int_equal(first, 1);
	done();
}

static void wrong_command_lines_are_explained(void **state)
{
	static const struct { const char *a, *b, *says; } cases[] = {
		{ "--seed", "0", "at least 1" },
		{ "--seed", "18446744073709551616", "64-bit" },
		{ "--seed", "-1", "not a whole number" },
		{ "--seed", "1x", "not a whole number" },
		{ "--side", "65536", "from -10 to 65535" },
		{ "--side", "", "not a whole number" },
		{ "--side", "--5", "not a whole number" },
		{ "--side", "9223372036854775808", "63 bits" },
		{ "--share", "1.01", "from 0 to 1" },
		{ "--share", "nan", "not a number" },
		{ "--share", "0x1", "not a number" },
		{ "--share", " 1", "not a number" },
		{ "--share", "1e999", "not a number" },
		{ "-j", "0", "from 1 to 4096" },
		{ "-j0x2", NULL, "not a whole number" },
		{ "--format", "wepb", "did you mean 'webp'" },
		{ "--format=tiff", NULL, "webp, jpeg, png" },
		{ "--shard-size", "1Q", "256MiB" },
		{ "--shard-size", "99999999999G", "64-bit" },
		{ "--shard-sise=1", NULL, "did you mean '--shard-size'" },
		{ "--shard=1", NULL, "did you mean '--shard-size'" },   /* no abbreviations */
		{ "--zzz", NULL, "--help" },
		{ "-Z", NULL, "unknown option '-Z'" },
		{ "-qZ", NULL, "'-qZ'" },
		{ "--flag=yes", NULL, "takes no value" },
		{ "--out", NULL, "needs a value" },
		{ "-o", NULL, "needs a value" },
		{ "-o", "--force", "needs a value, but '--force'" },
		{ "---", NULL, "unknown option" },
		{ "--=x", NULL, "unknown option" },
	};
	struct pl_err err;
	int first;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		memset(&err, 0, sizeof(err));
		assert_int_equal(parse(&first, &err, LIST(cases[i].a, cases[i].b)), PL_ERR_USAGE);
		if (strstr(err.text, cases[i].says) == NULL)
			fail_msg("%s %s: '%s' lacks '%s'", cases[i].a,
			    cases[i].b != NULL ? cases[i].b : "", err.text, cases[i].says);
		done();
	}
}

static void sizes(void **state)
{
	static const struct { const char *text; uint64_t value;
	} good[] = {
		{ "0", 0 },
		{ "12", 12 },
		{ "7B", 7 },
		{ "2K", 2000 },
		{ "2KB", 2000 },
		{ "2KiB", 2048 },
		{ "3M", 3000000 },
		{ "1G", 1000000000 },
		{ "1GiB", 1u << 30 },
		{ "2T", 2000000000000 },
		{ "1Ki", 1024 },
		{ "18446744073709551615", UINT64_MAX },
	};
	static const char *const bad[] = { "", "K", "1k", "1.5G", "-1", "+1", " 1", "1 ", "1KK",
		"1iB", "0x10", "18446744073709551616", "18446744073709552K", "1e3" };
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(good); i++) {
		assert_int_equal(pl_parse_size(good[i].text, &value, NULL), PL_OK);
		assert_true(value == good[i].value);
	}
	for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
		assert_int_equal(pl_parse_size(bad[i], &value, NULL), PL_ERR_USAGE);
}

static void near_misses(void **state)
{
	static const char *const words[] = { "weight", "where", "shards", "kind", "a", NULL };
	char longer[200];

	(void)state;
	assert_string_equal(pl_did_you_mean("weigth", words), "weight");
	assert_string_equal(pl_did_you_mean("wieght", words), "weight");
	assert_string_equal(pl_did_you_mean("wher", words), "where");
	assert_string_equal(pl_did_you_mean("knid", words), "kind");   /* one swap */
	assert_null(pl_did_you_mean("b", words));          /* half of the word would change */
	assert_null(pl_did_you_mean("kinder", (const char *const[]){ "bin", NULL }));
	assert_null(pl_did_you_mean("", words));
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_null(pl_did_you_mean(longer, words));
}

/* What "plait-try OPTION" prints, malloc'ed. */
static char *printed(const char *option)
{
	char *argv[] = { strdup("plait-try"), strdup(option), NULL }, *text = calloc(1, 65536);
	enum pl_opt_outcome outcome = PL_OPT_RUN;
	int first, saved = dup(1);
	FILE *f = tmpfile();

	assert_non_null(f);
	assert_non_null(text);
	fflush(stdout);
	dup2(fileno(f), 1);
	assert_int_equal(pl_opt_parse(&tool, 2, argv, &first, &outcome, NULL), PL_OK);
	dup2(saved, 1);
	close(saved);
	assert_int_equal(outcome, PL_OPT_EXIT);
	rewind(f);
	assert_true(fread(text, 1, 65535, f) > 0);
	fclose(f);
	free(argv[0]);
	free(argv[1]);
	return text;
}

static void help_names_every_option(void **state)
{
	static const char *const shared[] = { "--seed NUMBER", "--force", "--report FILE",
		"--status FILE", "--prometheus FILE", "--progress HOW", "--max-reject SHARE", "-j, --workers N", "--sandbox WHEN",
		"-q, --quiet", "-v, --verbose", "-h, --help", "error: auto, line,",
		"webp, jpeg, png", "usage: plait-try [OPTION]... SHARD..." };
	char *help = printed("-h"), *again = printed("--help"), *line;

	(void)state;
	assert_string_equal(help, again);
	free(again);
	for (size_t i = 0; opts[i].name != NULL; i++)
		assert_non_null(strstr(help, opts[i].name));
	for (size_t i = 0; i < PL_ARRAY_LEN(shared); i++)
		assert_non_null(strstr(help, shared[i]));
	for (line = help; *line != '\0'; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 80);
	free(help);
	again = printed("--version");
	assert_string_equal(again, "plait-try 0.1.0\n");
	free(again);
}

/* Feed text to a shell command that must succeed; returns its output, malloc'ed. */
static char *piped(const char *text, const char *command)
{
	char name[64], line[256], *out = calloc(1, 65536);
	const char *tmp = getenv("TMPDIR");
	FILE *f;
	int fd;

	assert_non_null(out);
	snprintf(name, sizeof(name), "%.40s/plait-opt-XXXXXX", tmp != NULL ? tmp : "/tmp");
	fd = mkstemp(name);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	snprintf(line, sizeof(line), "%s < %s", command, name);
	f = popen(line, "r");
	assert_non_null(f);
	assert_true(fread(out, 1, 65535, f) < 65535);
	assert_int_equal(pclose(f), 0);
	unlink(name);
	return out;
}

static void the_manual_is_scdoc(void **state)
{
	static const char *const parts[] = { "# NAME\n\nplait-try - ", "# SYNOPSIS\n",
		"# DESCRIPTION\n", "# OPTIONS\n", "# EXIT STATUS\n", "# EXAMPLES\n",
		"```\n$ plait try --version\n" };
	char *man = printed("--help-man"), *roff;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(parts); i++) {
		if (strstr(man, parts[i]) == NULL)
			fail_msg("the manual page lacks '%s'", parts[i]);
	}
	if (system("command -v scdoc > /dev/null 2>&1") != 0) {
		free(man);
		print_message("scdoc is not installed\n");
		skip();
	}
	roff = piped(man, "scdoc");
	assert_non_null(strstr(roff, ".SH OPTIONS"));
	/* Marks in plain text stay text. */
	assert_non_null(strstr(roff, "keep rows for which a_b * c < 2 holds"));
	assert_non_null(strstr(roff, "with *marks* and _marks_ or `ticks`."));
	assert_non_null(strstr(roff, "plait try \\\\x *"));
	free(roff);
	free(man);
}

static void bash_completes(void **state)
{
	static const char asks[] =
	    "\nask() { COMP_WORDS=(plait-try \"$@\"); COMP_CWORD=$#; COMPREPLY=(); _plait_try; echo \"${COMPREPLY[*]}\"; }\n"
	    "ask --prog\nask --progress ''\nask -f p\nask --fo\n";
	char *script = printed("--help-completion"), *whole, *out;
	size_t size = strlen(script) + sizeof(asks);

	(void)state;
	whole = malloc(size);
	assert_non_null(whole);
	snprintf(whole, size, "%s%s", script, asks);
	out = piped(whole, "bash");
	assert_string_equal(out, "--progress\nauto line json off\npng\n--format --force\n");
	free(out);
	free(whole);
	free(script);
}

static void help_on_a_full_disk_is_an_error(void **state)
{
	char *argv[] = { strdup("plait-try"), strdup("-h"), NULL };
	enum pl_opt_outcome outcome;
	struct pl_err err;
	enum pl_status st;
	int first, saved, full = open("/dev/full", O_WRONLY);

	(void)state;
	if (full < 0) {
		free(argv[0]);
		free(argv[1]);
		print_message("no /dev/full here\n");
		skip();
	}
	fflush(stdout);
	saved = dup(1);
	dup2(full, 1);
	st = pl_opt_parse(&tool, 2, argv, &first, &outcome, &err);
	dup2(saved, 1);
	close(saved);
	close(full);
	assert_int_equal(st, PL_ERR_IO);
	free(argv[0]);
	free(argv[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_set),
		cmocka_unit_test(shared_options_are_set),
		cmocka_unit_test(wrong_command_lines_are_explained),
		cmocka_unit_test(sizes),
		cmocka_unit_test(near_misses),
		cmocka_unit_test(help_names_every_option),
		cmocka_unit_test(the_manual_is_scdoc),
		cmocka_unit_test(bash_completes),
		cmocka_unit_test(help_on_a_full_disk_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
