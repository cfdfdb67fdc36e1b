/* SPDX-License-Identifier: Apache-2.0 */
/* Which units of work there are, and sharing them out; see tool.h. */
#include "tool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Spread rank 0's list to every rank, as lines. */
static enum pl_status share_names(struct tool *t, struct pl_names *names, struct pl_err *err)
{
	struct pl_buf b;
	enum pl_status st = PL_OK;

	pl_buf_init(&b, 0);
	if (tool_is_root(t))
		for (size_t i = 0; i < names->len && st == PL_OK; i++)
			st = pl_buf_add(&b, names->items[i], strlen(names->items[i]) + 1, err);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK)
		st = pl_job_bcast(t->job, &b, err);
	if (st == PL_OK && !tool_is_root(t)) {
		pl_names_release(names);
		pl_names_init(names);
		for (size_t at = 0; at < b.len && st == PL_OK; at += strlen((char *)b.data + at) + 1)
			st = pl_names_add(names, (char *)b.data + at, err);
	}
	pl_buf_release(&b);
	return pl_job_agree(t->job, st, err);
}

enum pl_status tool_expand(struct tool *t, const char *const *patterns, size_t n, struct pl_names *names, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (tool_is_root(t)) {
		for (size_t i = 0; i < n && st == PL_OK; i++)
			st = pl_names_expand(names, patterns[i], err);
		if (st == PL_OK)
			st = pl_names_sort_unique(names, err);
	}
	st = pl_job_agree(t->job, st, err);
	return st == PL_OK ? share_names(t, names, err) : st;
}

enum pl_status tool_names(struct tool *t, int argc, char **argv, struct pl_names *names, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (tool_is_root(t)) {
		if (argc == 0 && isatty(STDIN_FILENO))
			st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
			    "no operand: name them, or give names on standard input, one a line");
		else if (argc == 0)
			st = pl_names_read(names, stdin, err);
		for (int i = 0; i < argc && st == PL_OK; i++)
			st = pl_names_expand(names, argv[i], err);
		if (st == PL_OK)
			st = pl_names_sort_unique(names, err);
		if (st == PL_OK && names->len == 0)
			st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no names came on standard input");
	}
	st = pl_job_agree(t->job, st, err);
	return st == PL_OK ? share_names(t, names, err) : st;
}

enum pl_status tool_describe_file(const char *path, struct pl_buf *out, struct pl_err *err)
{
	struct stat sb;

	if (stat(path, &sb) != 0)
		return pl_fail_errno(err, PL_SEV_SHARD, path, "cannot read the shard");
	return pl_buf_addf(out, err, "%s\n%s %lld %lld.%09ld\n", PL_VERSION, path, (long long)sb.st_size, (long long)sb.st_mtim.tv_sec,
	    sb.st_mtim.tv_nsec);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

enum pl_status tool_check_stems(const struct pl_names *names, struct pl_err *err)
{
	char **stems = calloc(names->len + 1, sizeof(*stems));
	enum pl_status st = stems == NULL ? pl_fail_nomem(err) : PL_OK;

	for (size_t i = 0; i < names->len && st == PL_OK; i++)
		if ((stems[i] = pl_name_stem(names->items[i])) == NULL)
			st = pl_fail_nomem(err);
	if (st == PL_OK)
		qsort(stems, names->len, sizeof(*stems), by_text);
	for (size_t i = 1; i < names->len && st == PL_OK; i++)
		if (strcmp(stems[i - 1], stems[i]) == 0)
			st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
			    "two shards are called '%s' up to their first dot, so their outputs would have one name: rename one, or use two directories",
			    stems[i]);
	for (size_t i = 0; i < names->len && stems != NULL; i++)
		free(stems[i]);
	free(stems);
	return st;
}

enum pl_status tool_unit_failed(struct tool *t, enum pl_status st, const struct pl_err *err)
{
	if (st == PL_OK || st == PL_ERR_STOPPED || err->severity == PL_SEV_JOB)
		return st;
	pl_log_err(PL_LOG_ERROR, err);
	t->account.units_failed++;
	return PL_OK;
}

enum pl_status tool_check_failed(struct tool *t, const char *advice, struct pl_err *err)
{
	if (t->account.units_failed == 0)
		return PL_OK;
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "%llu shards failed (named above): %s",
	    (unsigned long long)t->account.units_failed, advice);
}

struct sized { uint64_t size, unit; };

static int by_size(const void *a, const void *b)
{
	const struct sized *x = a, *y = b;

	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	return x->unit < y->unit ? -1 : x->unit > y->unit;
}

static uint64_t *largest_first(const struct pl_names *names)
{
	struct sized *s = calloc(names->len + 1, sizeof(*s));
	uint64_t *order = calloc(names->len + 1, sizeof(*order));
	struct stat sb;

	if (s != NULL && order != NULL) {
		for (size_t i = 0; i < names->len; i++) {
			s[i].unit = i;
			s[i].size = stat(names->items[i], &sb) == 0 ? (uint64_t)sb.st_size : 0;
		}
		qsort(s, names->len, sizeof(*s), by_size);
		for (size_t i = 0; i < names->len; i++)
			order[i] = s[i].unit;
	} else {
		free(order);
		order = NULL;
	}
	free(s);
	return order;
}

static enum pl_status work_off(struct tool *t, struct pl_tickets *tickets, enum pl_status opened, tool_unit_fn *fn, void *ctx,
    struct pl_err *err)
{
	enum pl_status st = pl_job_agree(t->job, opened, err);
	struct pl_ticket ticket;

	if (st != PL_OK)
		return st;
	while ((st = pl_tickets_next(tickets, &ticket, err)) == PL_OK) {
		st = fn(t, ctx, ticket.index, ticket.name, err);
		if (st == PL_OK) {
			pl_job_count(t->job, 1, 0, 0);
			st = tool_poll(t, err);
		}
		if (st != PL_OK)
			break;
	}
	pl_tickets_close(tickets, st);
	return pl_job_agree(t->job, st, err);
}

enum pl_status tool_for_units(struct tool *t, uint64_t n, tool_unit_fn *fn, void *ctx, struct pl_err *err)
{
	struct pl_tickets *tickets = NULL;
	enum pl_status st = pl_tickets_open(&tickets, t->job, n, NULL, NULL, err);

	return work_off(t, tickets, st, fn, ctx, err);
}

enum pl_status tool_for_files(struct tool *t, const struct pl_names *names, tool_unit_fn *fn, void *ctx, struct pl_err *err)
{
	struct pl_tickets *tickets = NULL;
	uint64_t *order = NULL;
	enum pl_status st;

	if (names == NULL) {
		st = pl_tickets_open_stdin(&tickets, t->job, err);
	} else if ((order = largest_first(names)) == NULL) {
		st = pl_fail_nomem(err);
	} else {
		st = pl_tickets_open(&tickets, t->job, names->len, order, names->items, err);
	}
	st = work_off(t, tickets, st, fn, ctx, err);
	free(order);
	return st;
}
