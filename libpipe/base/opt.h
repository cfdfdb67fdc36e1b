/* SPDX-License-Identifier: Apache-2.0 */
/* One option table per tool gives the parser, -h, the man page's OPTIONS and
 * the shell completion. Long options are never abbreviated; values are range
 * checked; sizes take K/M/G (10^3) and KiB/MiB/GiB (2^10). */
#ifndef PL_BASE_OPT_H
#define PL_BASE_OPT_H

#include "err.h"

enum pl_opt_type {
	PL_OPT_FLAG,    /* bool *dst = true */
	PL_OPT_COUNT,   /* int *dst += 1 (-v -v) */
	PL_OPT_STR,     /* const char **dst, points into argv */
	PL_OPT_LIST,    /* struct pl_strlist *dst, appended (option may repeat) */
	PL_OPT_INT,     /* int64_t *dst in [min, max] */
	PL_OPT_SIZE,    /* uint64_t *dst in [min, max], with suffixes */
	PL_OPT_REAL,    /* double *dst in [min, max]; 5% is 0.05 */
	PL_OPT_CHOICE   /* int *dst = index into choices */
};

struct pl_strlist { const char **items; size_t len, cap; };
PL_MUST_CHECK enum pl_status pl_strlist_add(struct pl_strlist *l, const char *s, struct pl_err *err);
void pl_strlist_release(struct pl_strlist *l);  /* frees the array, not the strings */

struct pl_opt {
	char letter;                 /* 0 = none */
	const char *name;            /* long name without dashes */
	enum pl_opt_type type;
	void *dst;
	const char *arg;             /* placeholder in help, "DIR"; NULL for flags */
	const char *help;            /* one sentence, lower case, no full stop */
	double min, max;             /* both 0 = unchecked; INT, SIZE, REAL */
	const char *const *choices;  /* NULL-terminated; CHOICE */
};

/* Letters and names every tool shares. */
struct pl_common {
	int quiet, verbose;
	bool force;
	uint64_t seed;               /* 0 = not given */
	const char *report;          /* --report FILE, NULL = none */
	const char *status;          /* --status FILE, NULL = none */
	const char *prometheus;      /* --prometheus FILE, NULL = none */
	int progress;                /* index into auto|line|json|off */
	int64_t workers;             /* -j, 0 = cores the rank is bound to */
	double max_reject;           /* share of samples 0..1, negative = no limit */
	int sandbox;                 /* index into auto|require|off */
};

enum { PL_COMMON_BASE = 1, PL_COMMON_JOB = 2, PL_COMMON_POOL = 4 };

struct pl_tool {
	const char *name;            /* "plait-ingest" */
	const char *summary;         /* one line */
	const char *synopsis;        /* "SHARD... -o CORPUS" */
	const char *description;     /* paragraphs, plain text */
	const char *examples;        /* shell lines; executed by the tests when they start with "$ " */
	const struct pl_opt *opts;   /* ends with name == NULL */
	struct pl_common *common;    /* with common_set: adds the shared options */
	unsigned common_set;         /* BASE: -q -v; JOB: --seed --force --report --status --prometheus --progress --max-reject; POOL: -j --sandbox */
};

enum pl_opt_outcome { PL_OPT_RUN, PL_OPT_EXIT };

/* Parse argv. *first = index of the first operand: operands are moved to the
 * end of argv in order ("--" ends options). -h/--help, --version, --help-man (scdoc source) and
 * --help-completion are answered on stdout with *outcome = PL_OPT_EXIT.
 * Errors: PL_ERR_USAGE, naming the option, what was given and what would be
 * right, with a did-you-mean for a near miss. Works before MPI_Init. */
PL_MUST_CHECK enum pl_status pl_opt_parse(const struct pl_tool *tool, int argc, char **argv, int *first,
    enum pl_opt_outcome *outcome, struct pl_err *err);

/* "256MiB" -> bytes. PL_ERR_USAGE with text but no path. */
PL_MUST_CHECK enum pl_status pl_parse_size(const char *s, uint64_t *bytes, struct pl_err *err);

/* The candidate nearest to word (Damerau-Levenshtein <= 2 and < half its
 * length), or NULL. candidates ends with NULL. */
const char *pl_did_you_mean(const char *word, const char *const *candidates);

#define PL_VERSION "0.1.0"

#endif
