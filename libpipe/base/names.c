/* SPDX-License-Identifier: Apache-2.0 */
/* Names of shards. Braces first, then globs, as a shell does it; an operand
 * that names an existing file means that file whatever characters it has. */
#include "names.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES_MAX ((size_t)10000000)
#define PATTERN_MAX ((size_t)64 << 10)
#define NESTING_MAX 32

void pl_names_init(struct pl_names *n)
{
	n->items = NULL;
	n->len = 0;
	n->cap = 0;
}

void pl_names_release(struct pl_names *n)
{
	size_t i;

	for (i = 0; i < n->len; i++)
		free(n->items[i]);
	free(n->items);
	pl_names_init(n);
}

enum pl_status pl_names_add(struct pl_names *n, const char *name, struct pl_err *err)
{
	char **items, *copy;
	size_t cap;

	if (n->len >= NAMES_MAX)
		return pl_fail(
		    err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "more than %zu names", NAMES_MAX);
	if (n->len == n->cap) {
		cap = n->cap != 0 ? n->cap * 2 : 16;
		items = realloc(n->items, cap * sizeof(*items));
		if (items == NULL)
			return pl_fail_nomem(err);
		n->items = items;
		n->cap = cap;
	}
	copy = strdup(name);
	if (copy == NULL)
		return pl_fail_nomem(err);
	n->items[n->len++] = copy;
	return PL_OK;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool exists(const char *name)
{
	struct stat sb;

	return lstat(name, &sb) == 0;
}

/* Add what one brace-free pattern stands for. */
static enum pl_status add_glob(struct pl_names *n, const char *pattern, struct pl_err *err)
{
	size_t i, first = n->len;
	enum pl_status st = PL_OK;
	glob_t g;
	int rc;

	if (pattern[0] == '\0')
		return PL_OK;
	if (strlen(pattern) >= PATH_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, pattern, "name longer than %d bytes",
		    PATH_MAX - 1);
	if (strpbrk(pattern, "*?[") == NULL || exists(pattern))
		return pl_names_add(n, pattern, err);
	/* GLOB_ERR: a directory that cannot be read is an error, not a shorter list. */
	errno = 0;
	rc = glob(pattern, GLOB_ERR | GLOB_NOSORT | GLOB_NOESCAPE, NULL, &g);
	if (rc == GLOB_NOMATCH) {
		st = pl_fail(
		    err, PL_ERR_NOTFOUND, PL_SEV_JOB, pattern, "no file matches this pattern");
	} else if (rc == GLOB_NOSPACE) {
		st = pl_fail_nomem(err);
	} else if (rc != 0) {
		if (errno == 0)
			errno = EIO;
		st = pl_fail_errno(
		    err, PL_SEV_JOB, pattern, "cannot list the files of this pattern");
		if (st == PL_ERR_NOTFOUND)   /* a directory vanished between two looks */
			st = PL_ERR_IO;
	} else {
		for (i = 0; st == PL_OK && i < g.gl_pathc; i++)
			st = pl_names_add(n, g.gl_pathv[i], err);
		/* The C library sorts by locale. */
		if (st == PL_OK)
			qsort(n->items + first, n->len - first, sizeof(*n->items), by_bytes);
	}
	globfree(&g);
	return st;
}

/* A brace group: text between '{' and its '}'. */
struct group {
	const char *open, *close;   /* the two braces */
	bool range;
	int64_t from, to;
	int width;                  /* zero padding, 0 = none */
};

/* "007" of text[len]: digits only (a sign makes no sense in a shard number). */
static bool parse_bound(const char *text, size_t len, int64_t *value)
{
	size_t i;

	if (len == 0 || len > 18)
		return false;
	*value = 0;
	for (i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*value = *value * 10 + (text[i] - '0');
	}
	return true;
}

static bool parse_range(struct group *g)
{
	const char *text = g->open + 1, *dots = NULL, *p;
	size_t left, right;

	for (p = text; p + 1 < g->close; p++) {
		if (p[0] == '.' && p[1] == '.') {
			dots = p;
			break;
		}
	}
	if (dots == NULL)
		return false;
	left = (size_t)(dots - text);
	right = (size_t)(g->close - dots) - 2;
	if (!parse_bound(text, left, &g->from) || !parse_bound(dots + 2, right, &g->to))
		return false;
	/* As in bash: padding only if a bound was written with a leading zero. */
	if ((left > 1 && text[0] == '0') || (right > 1 && dots[2] == '0'))
		g->width = (int)(left > right ? left : right);
	return true;
}

/* Is there a group at open[0] == '{'? "{}", "{x}" and unbalanced braces are literal. */
static bool find_group(const char *open, struct group *g)
{
	bool comma = false;
	size_t depth = 0;
	const char *p;

	for (p = open; *p != '\0'; p++) {
		if (*p == '{')
			depth++;
		else if (*p == ',' && depth == 1)
			comma = true;
		else if (*p == '}' && --depth == 0)
			break;
	}
	if (*p == '\0')
		return false;
	g->open = open;
	g->close = p;
	g->width = 0;
	g->range = !comma && parse_range(g);
	return comma || g->range;
}

static enum pl_status expand(
    struct pl_names *n, const char *pattern, int depth, struct pl_err *err);

/* prefix + middle + suffix, expanded further. */
static enum pl_status expand_one(struct pl_names *n, const char *pattern, const struct group *g,
    const char *middle, size_t middle_len, int depth, struct pl_err *err)
{
	size_t prefix_len = (size_t)(g->open - pattern), suffix_len = strlen(g->close + 1);
	enum pl_status st;
	char *next;

	next = malloc(prefix_len + middle_len + suffix_len + 1);
	if (next == NULL)
		return pl_fail_nomem(err);
	memcpy(next, pattern, prefix_len);
	memcpy(next + prefix_len, middle, middle_len);
	memcpy(next + prefix_len + middle_len, g->close + 1, suffix_len + 1);
	st = expand(n, next, depth + 1, err);
	free(next);
	return st;
}

static enum pl_status expand_range(struct pl_names *n, const char *pattern, const struct group *g,
    int depth, struct pl_err *err)
{
	int64_t step = g->from <= g->to ? 1 : -1, i;
	enum pl_status st;
	char text[32];

	if ((g->to - g->from) * step >= (int64_t)NAMES_MAX)
		return pl_fail(
		    err, PL_ERR_LIMIT, PL_SEV_JOB, pattern, "more than %zu names", NAMES_MAX);
	for (i = g->from;; i += step) {
		int len = snprintf(text, sizeof(text), "%0*" PRId64, g->width, i);

		st = expand_one(n, pattern, g, text, (size_t)len, depth, err);
		if (st != PL_OK || i == g->to)
			return st;
	}
}

static enum pl_status expand_list(struct pl_names *n, const char *pattern, const struct group *g,
    int depth, struct pl_err *err)
{
	const char *item = g->open + 1, *p;
	size_t nested = 0;
	enum pl_status st;

	for (p = item; p <= g->close; p++) {
		if (*p == '{')
			nested++;
		else if (*p == '}' && p != g->close)
			nested--;
		else if (nested == 0 && (*p == ',' || p == g->close)) {
			st = expand_one(n, pattern, g, item, (size_t)(p - item), depth, err);
			if (st != PL_OK)
				return st;
			item = p + 1;
		}
	}
	return PL_OK;
}

static enum pl_status expand(struct pl_names *n, const char *pattern, int depth, struct pl_err *err)
{
	struct group g;
	const char *p;

	if (depth > NESTING_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, pattern,
		    "more than %d brace groups in one pattern", NESTING_MAX);
	for (p = strchr(pattern, '{'); p != NULL; p = strchr(p + 1, '{')) {
		if (!find_group(p, &g))
			continue;
		return g.range ? expand_range(n, pattern, &g, depth, err) :
		    expand_list(n, pattern, &g, depth, err);
	}
	return add_glob(n, pattern, err);
}

enum pl_status pl_names_expand(struct pl_names *n, const char *pattern, struct pl_err *err)
{
	if (strlen(pattern) >= PATTERN_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, pattern,
		    "pattern longer than %zu bytes", PATTERN_MAX - 1);
	if (strpbrk(pattern, "{*?[") == NULL || exists(pattern))
		return pl_names_add(n, pattern, err);
	return expand(n, pattern, 0, err);
}

enum pl_status pl_names_read(struct pl_names *n, FILE *f, struct pl_err *err)
{
	enum pl_status st;
	char line[PATH_MAX];
	uint32_t number = 1;
	size_t len = 0;
	int c;

	do {
		c = getc_unlocked(f);
		if (c != '\n' && c != EOF) {
			if (len + 1 >= sizeof(line) || c == '\0') {
				st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, c == '\0' ?
				    "a list of names holds a zero byte: expected one name a line" :
				    "a line in the list of names is longer than any path");
				pl_err_at_line(err, NULL, number);
				return st;
			}
			line[len++] = (char)c;
			continue;
		}
		if (len > 0 && line[len - 1] == '\r')   /* a list made on Windows */
			len--;
		line[len] = '\0';
		if (len > 0) {
			st = pl_names_add(n, line, err);
			if (st != PL_OK)
				return st;
		}
		len = 0;
		number++;
	} while (c != EOF);
	if (ferror(f) && errno == EINTR)   /* only a stop signal's handler interrupts */
		return pl_fail(
		    err, PL_ERR_STOPPED, PL_SEV_JOB, NULL, "stopped while reading names");
	if (ferror(f))
		return pl_fail_errno(err, PL_SEV_JOB, NULL, "cannot read the list of names");
	return PL_OK;
}

enum pl_status pl_names_sort_unique(struct pl_names *n, struct pl_err *err)
{
	size_t i;

	if (n->len == 0)
		return PL_OK;
	qsort(n->items, n->len, sizeof(*n->items), by_bytes);
	for (i = 1; i < n->len; i++) {
		if (strcmp(n->items[i - 1], n->items[i]) == 0)
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, n->items[i], "named twice");
	}
	return PL_OK;
}

char *pl_name_stem(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
	size_t hidden = strspn(name, ".");   /* dots a name starts with end nothing */
	const char *mds = strstr(name + hidden, ".mds");
	char *stem;

	if (mds == NULL || (mds[4] != '\0' && mds[4] != '.'))
		return strndup(name, hidden + strcspn(name + hidden, "."));
	/* MosaicML's shard.00017.mds: its number is behind a dot */
	stem = strndup(name, (size_t)(mds - name));
	for (char *c = stem != NULL ? stem + hidden : NULL; c != NULL && *c != '\0'; c++)
		if (*c == '.')
			*c = '-';
	return stem;
}
