/* SPDX-License-Identifier: Apache-2.0 */
/* The other faces of the option table: help text, manual page (scdoc source)
 * and bash completion. */
#include <stdio.h>
#include <string.h>

#include "opt_priv.h"

#define HELP_COLUMN 28u
#define HELP_WIDTH 80u

static const struct { int status; const char *text; unsigned sets; } exit_statuses[] = {
	{ 0, "Done. Rejected samples are reported and are no failure.", 0 },
	{ 1, "More samples were rejected than --max-reject allows.", PL_COMMON_JOB },
	{ 2, "The command line or the recipe is wrong; nothing was done.", 0 },
	{ 3, "Failed; the message on standard error says why.", 0 },
	{ 75, "Stopped by a signal; the same command again does the rest.", PL_COMMON_JOB },
};

const char *pl_opt_placeholder(const struct pl_opt *o)
{
	if (o->arg != NULL)
		return o->arg;
	switch (o->type) {
	case PL_OPT_FLAG:
	case PL_OPT_COUNT:
		return "";
	case PL_OPT_INT:
	case PL_OPT_REAL:
		return "NUMBER";
	case PL_OPT_SIZE:
		return "SIZE";
	case PL_OPT_STR:
	case PL_OPT_LIST:
	case PL_OPT_CHOICE:
		break;
	}
	return "VALUE";
}

/* Choices are listed after the sentence, unless the placeholder spells them out. */
static bool shows_choices(const struct pl_opt *o)
{
	return o->type == PL_OPT_CHOICE && strstr(pl_opt_placeholder(o), o->choices[0]) == NULL;
}

static enum pl_status help_sentence(const struct pl_opt *o, struct pl_buf *out, struct pl_err *err)
{
	enum pl_status st = pl_buf_adds(out, o->help, err);
	size_t i;

	for (i = 0; st == PL_OK && shows_choices(o) && o->choices[i] != NULL; i++)
		st = pl_buf_addf(out, err, "%s%s", i == 0 ? ": " : ", ", o->choices[i]);
	return st;
}

/* Words of text from column on, wrapped; ends with a newline. */
static enum pl_status add_wrapped(
    struct pl_buf *out, const char *text, size_t column, size_t indent, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	bool fresh = true;

	while (st == PL_OK && *text != '\0') {
		size_t len = strcspn(text, " \n");

		if (len == 0) {
			text++;
			continue;
		}
		if (!fresh && column + 1 + len > HELP_WIDTH) {
			st = pl_buf_addf(out, err, "\n%*s", (int)indent, "");
			column = indent;
			fresh = true;
		}
		if (st == PL_OK && !fresh)
			st = pl_buf_adds(out, " ", err);
		if (st == PL_OK)
			st = pl_buf_add(out, text, len, err);
		column += len + !fresh;
		fresh = false;
		text += len;
	}
	return st == PL_OK ? pl_buf_adds(out, "\n", err) : st;
}

static enum pl_status help_row(const struct pl_opt *o, struct pl_buf *out, struct pl_err *err)
{
	struct pl_buf sentence;
	enum pl_status st;
	char left[96], letter[8] = "    ";
	size_t len;

	if (o->letter != 0)
		snprintf(letter, sizeof(letter), "-%c, ", o->letter);
	snprintf(left, sizeof(left), "  %s--%s%s%s", letter, o->name,
	    pl_opt_takes_value(o) ? " " : "", pl_opt_placeholder(o));
	len = strlen(left);
	st = pl_buf_adds(out, left, err);
	if (st == PL_OK && len + 2 > HELP_COLUMN)
		st = pl_buf_addf(out, err, "\n%*s", (int)HELP_COLUMN, "");
	else if (st == PL_OK)
		st = pl_buf_addf(out, err, "%*s", (int)(HELP_COLUMN - len), "");
	if (st != PL_OK)
		return st;
	pl_buf_init(&sentence, 0);
	st = help_sentence(o, &sentence, err);
	if (st == PL_OK)
		st = add_wrapped(out, (const char *)sentence.data, HELP_COLUMN, HELP_COLUMN, err);
	pl_buf_release(&sentence);
	return st;
}

enum pl_status pl_opt_help_text(const struct pl_tool *tool, const struct pl_opt_table *t,
    struct pl_buf *out, struct pl_err *err)
{
	enum pl_status st;
	size_t i;

	st = pl_buf_addf(out, err, "usage: %s [OPTION]... %s\n\n", tool->name,
	    tool->synopsis != NULL ? tool->synopsis : "");
	if (st == PL_OK && tool->summary != NULL)
		st = add_wrapped(out, tool->summary, 0, 0, err);
	if (st == PL_OK)
		st = pl_buf_adds(out, "\noptions:\n", err);
	for (i = 0; st == PL_OK && i < t->n; i++)
		st = help_row(&t->rows[i], out, err);
	if (st == PL_OK && tool->examples != NULL)
		st = pl_buf_addf(out, err, "\nexamples:\n%s%s", tool->examples,
		    tool->examples[0] != '\0' &&
			    tool->examples[strlen(tool->examples) - 1] == '\n' ?
			"" :
			"\n");
	return st;
}

/* Text in which scdoc shall see no markup. */
static enum pl_status man_escaped(
    struct pl_buf *out, const char *text, size_t len, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	size_t i;

	for (i = 0; st == PL_OK && i < len; i++) {
		if (strchr("\\*_#`<>+[]|~^-;:", text[i]) != NULL && text[i] != '\0')
			st = pl_buf_adds(out, "\\", err);
		if (st == PL_OK)
			st = pl_buf_add(out, text + i, 1, err);
	}
	return st;
}

/* A literal block of whole lines; *text moves past the lines taken (those that
 * start with a blank if indented is set, else all). */
static enum pl_status man_literal(
    struct pl_buf *out, const char **text, bool indented, struct pl_err *err)
{
	enum pl_status st = pl_buf_adds(out, "```\n", err);
	const char *p = *text;

	while (st == PL_OK && *p != '\0' && (!indented || *p == ' ' || *p == '\t')) {
		for (; st == PL_OK && *p != '\0' && *p != '\n'; p++) {
			if (*p == '\\')
				st = pl_buf_adds(out, "\\", err);
			if (st == PL_OK)
				st = pl_buf_add(out, p, 1, err);
		}
		p += *p == '\n';
		if (st == PL_OK)
			st = pl_buf_adds(out, "\n", err);
	}
	*text = p;
	return st == PL_OK ? pl_buf_adds(out, "```\n\n", err) : st;
}

/* One paragraph becomes one line: scdoc gives meaning to how a line begins. */
static enum pl_status man_paragraph(struct pl_buf *out, const char **text, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	const char *p = *text;
	bool fresh = true;

	while (st == PL_OK && *p != '\0' && *p != '\n' && *p != ' ' && *p != '\t') {
		size_t len = strcspn(p, "\n");

		if (!fresh)
			st = pl_buf_adds(out, " ", err);
		if (st == PL_OK)
			st = man_escaped(out, p, len, err);
		fresh = false;
		p += len;
		p += *p == '\n';
	}
	*text = p;
	return st == PL_OK ? pl_buf_adds(out, "\n\n", err) : st;
}

static enum pl_status man_description(struct pl_buf *out, const char *text, struct pl_err *err)
{
	enum pl_status st = pl_buf_adds(out, "# DESCRIPTION\n\n", err);

	while (st == PL_OK && *text != '\0') {
		if (*text == '\n')
			text++;
		else if (*text == ' ' || *text == '\t')
			st = man_literal(out, &text, true, err);
		else
			st = man_paragraph(out, &text, err);
	}
	return st;
}

static enum pl_status man_option(const struct pl_opt *o, struct pl_buf *out, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	struct pl_buf sentence;

	if (o->letter != 0)
		st = pl_buf_addf(out, err, "*\\-%c*, ", o->letter);
	if (st == PL_OK)
		st = pl_buf_adds(out, "*", err);
	if (st == PL_OK)
		st = man_escaped(out, "--", 2, err);
	if (st == PL_OK)
		st = man_escaped(out, o->name, strlen(o->name), err);
	if (st == PL_OK)
		st = pl_buf_adds(out, pl_opt_takes_value(o) ? "* _" : "*", err);
	if (st == PL_OK && pl_opt_takes_value(o))
		st = man_escaped(out, pl_opt_placeholder(o), strlen(pl_opt_placeholder(o)), err);
	if (st == PL_OK)
		st = pl_buf_adds(out, pl_opt_takes_value(o) ? "_\n\t" : "\n\t", err);
	if (st != PL_OK)
		return st;
	pl_buf_init(&sentence, 0);
	st = help_sentence(o, &sentence, err);
	if (st == PL_OK)
		st = man_escaped(out, (const char *)sentence.data, sentence.len, err);
	if (st == PL_OK)
		st = pl_buf_adds(out, "\n\n", err);
	pl_buf_release(&sentence);
	return st;
}

static enum pl_status man_exit_status(
    const struct pl_tool *tool, struct pl_buf *out, struct pl_err *err)
{
	enum pl_status st = pl_buf_adds(out, "# EXIT STATUS\n\n", err);
	size_t i;

	for (i = 0; st == PL_OK && i < PL_ARRAY_LEN(exit_statuses); i++) {
		if (exit_statuses[i].sets != 0 && (tool->common_set & exit_statuses[i].sets) == 0)
			continue;
		st = pl_buf_addf(out, err, "*%d*\n\t", exit_statuses[i].status);
		if (st == PL_OK)
			st = man_escaped(
			    out, exit_statuses[i].text, strlen(exit_statuses[i].text), err);
		if (st == PL_OK)
			st = pl_buf_adds(out, "\n\n", err);
	}
	return st;
}

static enum pl_status man_head(const struct pl_tool *tool, struct pl_buf *out, struct pl_err *err)
{
	const char *summary = tool->summary != NULL ? tool->summary : "a tool of plait";
	const char *synopsis = tool->synopsis != NULL ? tool->synopsis : "";
	enum pl_status st;

	st = pl_buf_addf(
	    out, err, "%s(1) \"plait %s\" \"plait manual\"\n\n# NAME\n\n", tool->name, PL_VERSION);
	if (st == PL_OK)
		st = pl_buf_addf(out, err, "%s - ", tool->name);
	if (st == PL_OK)
		st = man_escaped(out, summary, strlen(summary), err);
	if (st == PL_OK)
		st = pl_buf_adds(out, "\n\n# SYNOPSIS\n\n*", err);
	if (st == PL_OK)
		st = man_escaped(out, tool->name, strlen(tool->name), err);
	if (st == PL_OK)
		st = pl_buf_adds(out, "* \\[_OPTION_\\]... ", err);
	if (st == PL_OK)
		st = man_escaped(out, synopsis, strlen(synopsis), err);
	return st == PL_OK ? pl_buf_adds(out, "\n\n", err) : st;
}

enum pl_status pl_opt_man_text(const struct pl_tool *tool, const struct pl_opt_table *t,
    struct pl_buf *out, struct pl_err *err)
{
	const char *examples = tool->examples != NULL ? tool->examples : "";
	enum pl_status st = man_head(tool, out, err);
	size_t i;

	if (st == PL_OK)
		st = man_description(out, tool->description != NULL ? tool->description : "", err);
	if (st == PL_OK)
		st = pl_buf_adds(out, "# OPTIONS\n\n", err);
	for (i = 0; st == PL_OK && i < t->n; i++)
		st = man_option(&t->rows[i], out, err);
	if (st == PL_OK)
		st = man_exit_status(tool, out, err);
	if (st != PL_OK || examples[0] == '\0')
		return st;
	st = pl_buf_adds(out, "# EXAMPLES\n\n", err);
	return st == PL_OK ? man_literal(out, &examples, false, err) : st;
}

/* "-o|--out" as a pattern of bash's case. */
static enum pl_status completion_value(
    const struct pl_opt *o, struct pl_buf *out, struct pl_err *err)
{
	const char *arg = pl_opt_placeholder(o);
	enum pl_status st;
	size_t i;

	st = pl_buf_adds(out, "\t", err);
	if (st == PL_OK && o->letter != 0)
		st = pl_buf_addf(out, err, "-%c|", o->letter);
	if (st == PL_OK)
		st = pl_buf_addf(out, err, "--%s)\n\t\tCOMPREPLY=(", o->name);
	if (st != PL_OK)
		return st;
	if (o->type == PL_OPT_CHOICE) {
		st = pl_buf_adds(out, "$(compgen -W '", err);
		for (i = 0; st == PL_OK && o->choices[i] != NULL; i++)
			st = pl_buf_addf(out, err, "%s%s", i > 0 ? " " : "", o->choices[i]);
		if (st == PL_OK)
			st = pl_buf_adds(out, "' -- \"$cur\")", err);
	} else if (o->type == PL_OPT_STR || o->type == PL_OPT_LIST) {
		st = pl_buf_addf(out, err, "$(compgen -%c -- \"$cur\")",
		    strcmp(arg, "DIR") == 0 || strcmp(arg, "CORPUS") == 0 ? 'd' : 'f');
	}
	return st == PL_OK ? pl_buf_adds(out, ")\n\t\treturn ;;\n", err) : st;
}

static enum pl_status completion_head(
    const struct pl_tool *tool, struct pl_buf *out, struct pl_err *err)
{
	enum pl_status st = pl_buf_addf(out, err, "# bash completion of %s\n", tool->name);
	size_t start = out->len, i;

	if (st == PL_OK)
		st = pl_buf_addf(out, err, "_%s()\n{\n", tool->name);
	for (i = start; st == PL_OK && i < out->len; i++) {
		if (out->data[i] == '-')
			out->data[i] = '_';
	}
	if (st == PL_OK)
		st = pl_buf_adds(out, "\tlocal cur=\"${COMP_WORDS[COMP_CWORD]}\" "
		    "prev=\"${COMP_WORDS[COMP_CWORD-1]}\"\n\tcase \"$prev\" in\n", err);
	return st;
}

enum pl_status pl_opt_completion_text(const struct pl_tool *tool, const struct pl_opt_table *t,
    struct pl_buf *out, struct pl_err *err)
{
	enum pl_status st = completion_head(tool, out, err);
	const char *p;
	size_t i;

	for (i = 0; st == PL_OK && i < t->n; i++) {
		if (pl_opt_takes_value(&t->rows[i]))
			st = completion_value(&t->rows[i], out, err);
	}
	if (st == PL_OK)
		st = pl_buf_adds(
		    out, "\tesac\n\tif [[ $cur == -* ]]; then\n\t\tCOMPREPLY=($(compgen -W '", err);
	for (i = 0; st == PL_OK && i < t->n; i++) {
		if (t->rows[i].letter != 0)
			st = pl_buf_addf(out, err, "-%c ", t->rows[i].letter);
		if (st == PL_OK)
			st = pl_buf_addf(out, err, "--%s ", t->rows[i].name);
	}
	if (st == PL_OK)
		st = pl_buf_adds(out,
		    "' -- \"$cur\"))\n\telse\n\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n"
		    "\tfi\n}\ncomplete -o filenames -F _",
		    err);
	for (p = tool->name; st == PL_OK && *p != '\0'; p++)
		st = pl_buf_add(out, *p == '-' ? "_" : p, 1, err);
	return st == PL_OK ? pl_buf_addf(out, err, " %s\n", tool->name) : st;
}
