/* SPDX-License-Identifier: Apache-2.0 */
/* The command line parser. Strict on purpose: no abbreviations, no value that
 * is half a number, no option that swallows the next one by accident. */
#include "opt.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "opt_priv.h"

#define COMMON_MAX 20

static const char *const progress_choices[] = { "auto", "line", "json", "off", NULL };
static const char *const sandbox_choices[] = { "auto", "require", "off", NULL };

static size_t common_rows(const struct pl_tool *tool, struct pl_opt *rows)
{
	struct pl_common *c = tool->common;
	unsigned set = c != NULL ? tool->common_set : 0;
	size_t n = 0;

	if (set & PL_COMMON_JOB) {
		rows[n++] = (struct pl_opt){ 0, "seed", PL_OPT_SIZE, &c->seed, "NUMBER",
		    "seed of every random choice, 1 or more; the same seed gives the same bytes", 1,
		    18446744073709551615.0, NULL };
		rows[n++] = (struct pl_opt){ 0, "force", PL_OPT_FLAG, &c->force, NULL,
		    "make everything anew, and replace what other inputs or settings made", 0, 0, NULL };
		rows[n++] = (struct pl_opt){ 0, "report", PL_OPT_STR, &c->report, "FILE",
		    "write the final account to FILE as JSON", 0, 0, NULL };
		rows[n++] = (struct pl_opt){ 0, "status", PL_OPT_STR, &c->status, "FILE",
		    "keep FILE up to date with the state of the job as JSON", 0, 0, NULL };
		rows[n++] = (struct pl_opt){ 0, "prometheus", PL_OPT_STR, &c->prometheus, "FILE",
		    "the same as metrics for Prometheus' node exporter, which wants FILE to end in .prom", 0, 0, NULL };
		rows[n++] = (struct pl_opt){ 0, "progress", PL_OPT_CHOICE, &c->progress, "HOW",
		    "how to show progress on standard error", 0, 0, progress_choices };
		rows[n++] = (struct pl_opt){ 0, "max-reject", PL_OPT_REAL, &c->max_reject, "SHARE",
			"exit with status 1 if more than this share of the samples, 0 to 1, is rejected",
			0, 1, NULL };
	}
	if (set & PL_COMMON_POOL) {
		rows[n++] = (struct pl_opt){ 'j', "workers", PL_OPT_INT, &c->workers, "N",
		    "image workers per rank; default: the cores the rank may use", 1, 4096, NULL };
		rows[n++] = (struct pl_opt){ 0, "sandbox", PL_OPT_CHOICE, &c->sandbox, "WHEN",
		    "confine the image workers with seccomp", 0, 0, sandbox_choices };
	}
	if (set & PL_COMMON_BASE) {
		rows[n++] = (struct pl_opt){ 'q', "quiet", PL_OPT_COUNT, &c->quiet, NULL,
		    "say less; twice: errors only", 0, 0, NULL };
		rows[n++] = (struct pl_opt){ 'v', "verbose", PL_OPT_COUNT, &c->verbose, NULL,
		    "say more; twice: for debugging", 0, 0, NULL };
	}
	rows[n++] =
	    (struct pl_opt){ 'h', "help", PL_OPT_FLAG, NULL, NULL, "print this help", 0, 0, NULL };
	rows[n++] = (struct pl_opt){ 0, "version", PL_OPT_FLAG, NULL, NULL, "print the version", 0,
		0, NULL };
	rows[n++] = (struct pl_opt){ 0, "help-man", PL_OPT_FLAG, NULL, NULL,
	    "print the manual page as scdoc source", 0, 0, NULL };
	rows[n++] = (struct pl_opt){ 0, "help-completion", PL_OPT_FLAG, NULL, NULL,
	    "print a completion function for bash", 0, 0, NULL };
	return n;
}

static struct pl_opt *find_long(const struct pl_opt_table *t, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		if (strncmp(t->rows[i].name, name, len) == 0 && t->rows[i].name[len] == '\0')
			return &t->rows[i];
	}
	return NULL;
}

static struct pl_opt *find_letter(const struct pl_opt_table *t, char letter)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		if (t->rows[i].letter == letter)
			return &t->rows[i];
	}
	return NULL;
}

/* The tool's own options first; a shared one gives way to them. */
static enum pl_status table_build(
    const struct pl_tool *tool, struct pl_opt_table *t, struct pl_err *err)
{
	struct pl_opt common[COMMON_MAX];
	size_t own = 0, shared, i;

	while (tool->opts != NULL && tool->opts[own].name != NULL)
		own++;
	shared = common_rows(tool, common);
	t->n = 0;
	t->rows = calloc(own + shared, sizeof(*t->rows));
	if (t->rows == NULL)
		return pl_fail_nomem(err);
	for (i = 0; i < own; i++)
		t->rows[t->n++] = tool->opts[i];
	for (i = 0; i < shared; i++) {
		if (find_long(t, common[i].name, strlen(common[i].name)) != NULL)
			continue;
		if (common[i].letter != 0 && find_letter(t, common[i].letter) != NULL)
			common[i].letter = 0;
		t->rows[t->n++] = common[i];
	}
	return PL_OK;
}

/* "[1, 64]" in words; unbounded sides are left out. */
static void range_text(const struct pl_opt *o, char *dst, size_t size)
{
	if (o->max >= 9e18)
		snprintf(dst, size, "at least %.15g", o->min);
	else if (o->min <= -9e18)
		snprintf(dst, size, "at most %.15g", o->max);
	else
		snprintf(dst, size, "from %.15g to %.15g", o->min, o->max);
}

static enum pl_status check_range(const struct pl_opt *o, const char *shown, const char *value,
    long double x, struct pl_err *err)
{
	char range[96];

	if ((o->min == 0 && o->max == 0) || (x >= (long double)o->min && x <= (long double)o->max))
		return PL_OK;
	range_text(o, range, sizeof(range));
	return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
	    "option '%s': '%s' is out of range, expected %s", shown, value, range);
}

static enum pl_status set_int(
    const struct pl_opt *o, const char *shown, const char *value, struct pl_err *err)
{
	bool minus = value[0] == '-';
	enum pl_status st;
	uint64_t size;
	int64_t x;

	st = pl_parse_size(value + minus, &size, NULL);
	if (st != PL_OK || size > (uint64_t)INT64_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "option '%s': '%s' is not a whole number%s", shown, value,
		    st == PL_OK ? " of 63 bits" : "");
	x = minus ? -(int64_t)size : (int64_t)size;
	st = check_range(o, shown, value, (long double)x, err);
	if (st == PL_OK)
		*(int64_t *)o->dst = x;
	return st;
}

static enum pl_status set_size(
    const struct pl_opt *o, const char *shown, const char *value, struct pl_err *err)
{
	struct pl_err why;
	enum pl_status st;
	uint64_t size;

	st = pl_parse_size(value, &size, &why);
	if (st != PL_OK)
		return pl_fail(err, st, PL_SEV_JOB, NULL, "option '%s': %s", shown, why.text);
	st = check_range(o, shown, value, (long double)size, err);
	if (st == PL_OK)
		*(uint64_t *)o->dst = size;
	return st;
}

static enum pl_status set_real(
    const struct pl_opt *o, const char *shown, const char *value, struct pl_err *err)
{
	enum pl_status st;
	char *end = NULL;
	double x = 0;

	/* strtod alone would take hexadecimal numbers, "inf" and leading blanks. */
	if (value[0] != '\0' && value[strspn(value, "0123456789.eE+-%")] == '\0')
		x = strtod(value, &end);
	if (end != NULL && end != value && *end == '%') {
		x /= 100;
		end++;
	}
	if (end == NULL || end == value || *end != '\0' || !isfinite(x))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "option '%s': '%s' is not a number", shown, value);
	st = check_range(o, shown, value, (long double)x, err);
	if (st == PL_OK)
		*(double *)o->dst = x;
	return st;
}

static enum pl_status set_choice(const struct pl_opt *o, const char *shown, const char *value,
    struct pl_err *err)
{
	char list[400] = "";
	const char *near;
	size_t used = 0;
	int i;

	for (i = 0; o->choices[i] != NULL; i++) {
		int n;

		if (strcmp(o->choices[i], value) == 0) {
			*(int *)o->dst = i;
			return PL_OK;
		}
		n = snprintf(
		    list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "", o->choices[i]);
		used =
		    n < 0 || (size_t)n >= sizeof(list) - used ? sizeof(list) - 1 : used + (size_t)n;
	}
	near = pl_did_you_mean(value, o->choices);
	return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
	    "option '%s': '%s' is not one of %s%s%s%s", shown, value, list,
	    near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
	    near != NULL ? "'?" : "");
}

/* shown: the option as it was written. */
static enum pl_status set_value(const struct pl_opt *o, const char *shown, const char *value,
    struct pl_err *err)
{
	switch (o->type) {
	case PL_OPT_FLAG:
		*(bool *)o->dst = true;
		return PL_OK;
	case PL_OPT_COUNT:
		*(int *)o->dst += 1;
		return PL_OK;
	case PL_OPT_STR:
		*(const char **)o->dst = value;
		return PL_OK;
	case PL_OPT_LIST:
		return pl_strlist_add(o->dst, value, err);
	case PL_OPT_INT:
		return set_int(o, shown, value, err);
	case PL_OPT_SIZE:
		return set_size(o, shown, value, err);
	case PL_OPT_REAL:
		return set_real(o, shown, value, err);
	case PL_OPT_CHOICE:
		return set_choice(o, shown, value, err);
	}
	return PL_OK;
}

static enum pl_status write_stdout(const struct pl_buf *b, struct pl_err *err)
{
	size_t done = 0;
	ssize_t n;

	while (done < b->len) {
		n = write(STDOUT_FILENO, b->data + done, b->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return pl_fail_errno(
			    err, PL_SEV_JOB, NULL, "cannot write to standard output");
		done += (size_t)n;
	}
	return PL_OK;
}

/* --help, --version, --help-man, --help-completion. */
static enum pl_status answer(
    const struct pl_tool *tool, const struct pl_opt_table *t, const char *name, struct pl_err *err)
{
	enum pl_status st;
	struct pl_buf b;

	pl_buf_init(&b, 0);
	if (strcmp(name, "version") == 0)
		st = pl_buf_addf(&b, err, "%s %s\n", tool->name, PL_VERSION);
	else if (strcmp(name, "help-man") == 0)
		st = pl_opt_man_text(tool, t, &b, err);
	else if (strcmp(name, "help-completion") == 0)
		st = pl_opt_completion_text(tool, t, &b, err);
	else
		st = pl_opt_help_text(tool, t, &b, err);
	if (st == PL_OK)
		st = write_stdout(&b, err);
	pl_buf_release(&b);
	return st;
}

struct parse {
	const struct pl_tool *tool;
	const struct pl_opt_table *table;
	int argc, at;          /* at: index of the argument under way */
	char **argv;
	enum pl_opt_outcome outcome;
};

static enum pl_status unknown_long(
    const struct parse *p, const char *name, size_t len, struct pl_err *err)
{
	const struct pl_opt_table *t = p->table;
	const char **names = calloc(t->n + 1, sizeof(*names)), *near = NULL;
	char word[64];
	size_t i, matches = 0;

	if (names == NULL)
		return pl_fail_nomem(err);
	snprintf(word, sizeof(word), "%.*s", len < 1000 ? (int)len : 1000, name);
	for (i = 0; i < t->n; i++) {
		names[i] = t->rows[i].name;
		if (len > 1 && strncmp(names[i], name, len) == 0 && matches++ == 0)
			near = names[i];
	}
	if (matches != 1)
		near = pl_did_you_mean(word, names);
	free(names);
	if (near != NULL)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "unknown option '--%s'; did you mean '--%s'?", word, near);
	return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
	    "unknown option '--%s'; '%s --help' lists them all", word, p->tool->name);
}

/* The value in the next argument; "-o --force" is more likely a slip than a file name. */
static enum pl_status next_value(struct parse *p, const struct pl_opt *o, const char *shown,
    const char **value, struct pl_err *err)
{
	const char *next = p->at + 1 < p->argc ? p->argv[p->at + 1] : NULL;

	if (next == NULL)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "option '%s' needs a value: %s %s", shown, shown, pl_opt_placeholder(o));
	if (strncmp(next, "--", 2) == 0 && find_long(p->table, next + 2, strlen(next + 2)) != NULL)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "option '%s' needs a value, but '%s' follows; write '--%s=%s' if that is the value",
		    shown, next, o->name, next);
	p->at++;
	*value = next;
	return PL_OK;
}

static enum pl_status parse_long(struct parse *p, struct pl_err *err)
{
	const char *name = p->argv[p->at] + 2, *value = NULL;
	size_t len = strcspn(name, "=");
	const struct pl_opt *o = find_long(p->table, name, len);
	enum pl_status st;
	char shown[80];

	if (o == NULL)
		return unknown_long(p, name, len, err);
	snprintf(shown, sizeof(shown), "--%s", o->name);
	if (name[len] == '=')
		value = name + len + 1;
	if (!pl_opt_takes_value(o) && value != NULL)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "option '%s' takes no value, got '%s'", shown, value);
	if (o->dst == NULL) {
		p->outcome = PL_OPT_EXIT;
		return answer(p->tool, p->table, o->name, err);
	}
	if (pl_opt_takes_value(o) && value == NULL) {
		st = next_value(p, o, shown, &value, err);
		if (st != PL_OK)
			return st;
	}
	return set_value(o, shown, value, err);
}

/* "-v", "-vq", "-j4", "-j 4". */
static enum pl_status parse_letters(struct parse *p, struct pl_err *err)
{
	const char *letters = p->argv[p->at] + 1, *value;
	enum pl_status st;

	for (; *letters != '\0'; letters++) {
		const struct pl_opt *o = find_letter(p->table, *letters);
		const char shown[3] = { '-', *letters, '\0' };

		if (o == NULL)
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
			    "unknown option '%s' in '%s'; '%s --help' lists them all", shown,
			    p->argv[p->at], p->tool->name);
		if (o->dst == NULL) {
			p->outcome = PL_OPT_EXIT;
			return answer(p->tool, p->table, o->name, err);
		}
		if (!pl_opt_takes_value(o)) {
			st = set_value(o, shown, NULL, err);
			if (st != PL_OK)
				return st;
			continue;
		}
		value = letters + 1;
		if (*value == '\0') {
			st = next_value(p, o, shown, &value, err);
			if (st != PL_OK)
				return st;
		}
		return set_value(o, shown, value, err);
	}
	return PL_OK;
}

/* Parse; operands are collected in operands[*n], everything else in argv order in others[]. */
static enum pl_status parse_all(
    struct parse *p, char **operands, int *n, char **others, struct pl_err *err)
{
	enum pl_status st;
	int k = 0;

	*n = 0;
	for (p->at = 1; p->at < p->argc; p->at++) {
		char *arg = p->argv[p->at];
		int from = p->at;

		if (arg[0] != '-' || arg[1] == '\0') {
			operands[(*n)++] = arg;
			continue;
		}
		if (strcmp(arg, "--") == 0) {
			others[k++] = arg;
			while (++p->at < p->argc)
				operands[(*n)++] = p->argv[p->at];
			return PL_OK;
		}
		st = arg[1] == '-' ? parse_long(p, err) : parse_letters(p, err);
		if (st != PL_OK || p->outcome == PL_OPT_EXIT)
			return st;
		for (; from <= p->at; from++)
			others[k++] = p->argv[from];
	}
	return PL_OK;
}

enum pl_status pl_opt_parse(const struct pl_tool *tool, int argc, char **argv, int *first,
    enum pl_opt_outcome *outcome, struct pl_err *err)
{
	struct pl_opt_table table;
	struct parse p = { .tool = tool, .table = &table, .argc = argc, .argv = argv,
	    .outcome = PL_OPT_RUN };
	char **operands = NULL, **others;
	enum pl_status st;
	int n = 0, i;

	*outcome = PL_OPT_RUN;
	*first = argc;
	if (argc < 1)
		return PL_OK;
	st = table_build(tool, &table, err);
	if (st != PL_OK)
		return st;
	operands = calloc((size_t)argc * 2, sizeof(*operands));
	if (operands == NULL) {
		st = pl_fail_nomem(err);
		goto out;
	}
	others = operands + argc;
	st = parse_all(&p, operands, &n, others, err);
	*outcome = p.outcome;
	if (st != PL_OK || p.outcome == PL_OPT_EXIT)
		goto out;
	*first = argc - n;
	for (i = 1; i < argc; i++)
		argv[i] = i < *first ? others[i - 1] : operands[i - *first];
out:
	free(operands);
	free(table.rows);
	return st;
}
