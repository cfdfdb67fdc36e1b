/* SPDX-License-Identifier: Apache-2.0 */
/* plait: the front command. "plait foo" runs plait-foo: the one beside this
 * program, else the one on PATH, so anyone can add a tool. */
#include "libpipe/base/log.h"
#include "libpipe/base/opt.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct { const char *name, *summary; } tools[] = {
	{ "run", "make a data set from a recipe, every step in one job" },
	{ "ingest", "read shards into the tables of a corpus" },
	{ "filter", "keep the samples for which an SQL condition holds" },
	{ "dedup", "find exact and near duplicates, decide who survives" },
	{ "balance", "make quotas per source and the plan of a data set" },
	{ "pack", "make the output shards of a plan" },
	{ "verify", "check every checksum, index, count and image of a data set" },
	{ "export", "write a data set in the formats of other loaders" },
	{ "resize", "decode, resize and encode the pictures of shards" },
	{ "synth", "make synthetic corpora with known truth" },
	{ "ls", "list the samples of shards" },
	{ "cat", "print one part of a sample" },
	{ "show", "print samples as documents" },
	{ "stat", "numbers of corpora, data sets and shards" },
	{ "sql", "SQL over corpora" },
	{ "why", "what each tool decided about a sample, and why" },
	{ "hash", "print the perceptual hash of pictures" },
};

static struct pl_common common;
static const struct pl_opt options[] = { { 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL } };
static const struct pl_tool front = {
	.name = "plait",
	.summary = "turn piles of image-text shards into training sets",
	.synopsis = "TOOL [ARGUMENT...]",
	.description =
	    "Runs plait-TOOL. The tools: run, ingest, filter, dedup, balance, pack, verify, resize and synth work alone, under mpirun "
	    "and under srun with the same result; ls, cat, show, stat, sql, why and hash are serial. plait TOOL -h explains each.",
	.examples = "plait run configs/demo.yaml\nmpirun -n 8 plait ingest shards/*.tar -o corpus",
	.opts = options,
	.common = &common,
	.common_set = 0,
};

static int flushed(FILE *to)
{
	if (fflush(to) == 0 && !ferror(to))
		return 0;
	pl_log(PL_LOG_ERROR, "cannot write to standard output: %s", strerror(errno));
	return 3;
}

static int list_tools(FILE *to)
{
	fputs("usage: plait TOOL [ARGUMENT...]\n\n", to);
	for (size_t i = 0; i < PL_ARRAY_LEN(tools); i++)
		fprintf(to, "  %-8s %s\n", tools[i].name, tools[i].summary);
	fputs("\nplait TOOL -h explains a tool; plait --version tells the version\n", to);
	return flushed(to);
}

/* plait TOOL ... completes as plait-TOOL does, whose functions are in the same file. */
static int print_completion(void)
{
	fputs("# bash completion of plait\n_plait()\n{\n\tlocal cur=\"${COMP_WORDS[COMP_CWORD]}\"\n"
	      "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -W '", stdout);
	for (size_t i = 0; i < PL_ARRAY_LEN(tools); i++)
		fprintf(stdout, "%s ", tools[i].name);
	fputs("-h --help --version' -- \"$cur\"))\n"
	      "\telif declare -F \"_plait_${COMP_WORDS[1]}\" >/dev/null; then\n\t\t\"_plait_${COMP_WORDS[1]}\"\n"
	      "\telse\n\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n\tfi\n}\ncomplete -o filenames -F _plait plait\n", stdout);
	return flushed(stdout);
}

/* Options of plait itself: help, version, manual source, completion. */
static int own_option(int argc, char **argv)
{
	struct pl_err err = { 0 };
	enum pl_opt_outcome outcome = PL_OPT_RUN;
	int first = 0;
	enum pl_status st;

	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
		return list_tools(stdout);
	if (strcmp(argv[1], "--help-completion") == 0)
		return print_completion();
	st = pl_opt_parse(&front, argc, argv, &first, &outcome, &err);
	if (st != PL_OK)
		pl_log_err(PL_LOG_ERROR, &err);
	return pl_exit_code(st);
}

/* DIR/plait-TOOL beside this very program. */
static bool sibling(const char *tool, char *path, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return false;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL)
		return false;
	*slash = '\0';
	return snprintf(path, size, "%s/plait-%s", self, tool) < (int)size && access(path, X_OK) == 0;
}

static int unknown(const char *tool)
{
	const char *names[PL_ARRAY_LEN(tools) + 1] = { NULL };
	const char *near;

	for (size_t i = 0; i < PL_ARRAY_LEN(tools); i++)
		names[i] = tools[i].name;
	near = pl_did_you_mean(tool, names);
	if (near != NULL)
		pl_log(PL_LOG_ERROR, "no tool 'plait-%s'; did you mean '%s'?", tool, near);
	else
		pl_log(PL_LOG_ERROR, "no tool 'plait-%s' beside plait or on PATH; plait -h lists the tools", tool);
	return 2;
}

int main(int argc, char **argv)
{
	char path[PATH_MAX], name[256];

	pl_log_setup("plait", -1, PL_LOG_INFO);
	if (argc < 2) {
		list_tools(stderr);
		return 2;
	}
	if (argv[1][0] == '-')
		return own_option(argc, argv);
	if (strchr(argv[1], '/') != NULL || snprintf(name, sizeof(name), "plait-%s", argv[1]) >= (int)sizeof(name))
		return unknown(argv[1]);
	argv[1] = name;
	if (sibling(name + strlen("plait-"), path, sizeof(path)))
		execv(path, argv + 1);
	execvp(name, argv + 1);
	if (errno == ENOENT)
		return unknown(name + strlen("plait-"));
	pl_log(PL_LOG_ERROR, "cannot run '%s': %s", name, strerror(errno));
	return 3;
}
