/* SPDX-License-Identifier: Apache-2.0 */
/* Values on the command line: strict numbers with suffixes, and the nearest
 * word for a near miss. */
#include "opt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 63u

enum pl_status pl_strlist_add(struct pl_strlist *l, const char *s, struct pl_err *err)
{
	const char **items;
	size_t cap;

	if (l->len == l->cap) {
		cap = l->cap != 0 ? l->cap * 2 : 8;
		items = realloc(l->items, cap * sizeof(*items));
		if (items == NULL)
			return pl_fail_nomem(err);
		l->items = items;
		l->cap = cap;
	}
	l->items[l->len++] = s;
	return PL_OK;
}

void pl_strlist_release(struct pl_strlist *l)
{
	free(l->items);
	l->items = NULL;
	l->len = 0;
	l->cap = 0;
}

/* "", "B", "K", "KB", "KiB", ... -> factor; 0 = no such suffix. */
static uint64_t suffix_factor(const char *s)
{
	static const char letters[] = "KMGTP";
	const char *letter;
	uint64_t factor = 1, base;
	ptrdiff_t i;

	if (s[0] == '\0' || strcmp(s, "B") == 0)
		return 1;
	letter = strchr(letters, s[0]);
	if (letter == NULL)
		return 0;
	if (s[1] == '\0' || strcmp(s + 1, "B") == 0)
		base = 1000;
	else if (strcmp(s + 1, "i") == 0 || strcmp(s + 1, "iB") == 0)
		base = 1024;
	else
		return 0;
	for (i = 0; i <= letter - letters; i++)
		factor *= base;
	return factor;
}

enum pl_status pl_parse_size(const char *s, uint64_t *bytes, struct pl_err *err)
{
	uint64_t value = 0, factor;
	const char *p = s;

	for (; *p >= '0' && *p <= '9'; p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (value > (UINT64_MAX - digit) / 10)
			goto too_large;
		value = value * 10 + digit;
	}
	factor = suffix_factor(p);
	if (p == s || factor == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "'%s' is not a whole number such as 4096, 10K or 256MiB", s);
	if (value > UINT64_MAX / factor)
		goto too_large;
	*bytes = value * factor;
	return PL_OK;
too_large:
	return pl_fail(
	    err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "'%s' is larger than any 64-bit number", s);
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Damerau-Levenshtein (optimal string alignment), both words at most WORD_MAX long. */
static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
	size_t rows[3][WORD_MAX + 2], *before = rows[0], *above = rows[1], *row = rows[2], *swap;
	size_t i, j;

	for (j = 0; j <= nb; j++)
		above[j] = j;
	for (i = 1; i <= na; i++) {
		row[0] = i;
		for (j = 1; j <= nb; j++) {
			size_t change = above[j - 1] + (a[i - 1] != b[j - 1]);

			row[j] = min3(above[j] + 1, row[j - 1] + 1, change);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		swap = before;
		before = above;
		above = row;
		row = swap;
	}
	return above[nb];
}

const char *pl_did_you_mean(const char *word, const char *const *candidates)
{
	size_t len = strlen(word), best_distance = 3, n, d;
	const char *best = NULL;

	if (len > WORD_MAX)
		return NULL;
	for (; *candidates != NULL; candidates++) {
		n = strlen(*candidates);
		if (n > WORD_MAX)
			continue;
		d = edit_distance(word, len, *candidates, n);
		if (d < best_distance && d * 2 < len) {
			best_distance = d;
			best = *candidates;
		}
	}
	return best;
}
