/* SPDX-License-Identifier: Apache-2.0 */
/* Which units of work there are, and sharing them out; see tool.h. */
#include "libpipe/dist/split.h"
#include "tool.h"

#include <stdio.h>
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
			st = tool_open_datasets(names, err);
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
			st = tool_open_datasets(names, err);
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

enum pl_status tool_file_sizes(struct tool *t, const struct pl_names *names, uint64_t **sizes, struct pl_err *err)
{
	size_t ranks = (size_t)pl_job_size(t->job), rank = (size_t)pl_job_rank(t->job);
	size_t from = names->len / ranks * rank + (rank < names->len % ranks ? rank : names->len % ranks);
	size_t n = names->len / ranks + (rank < names->len % ranks);
	struct pl_buf mine, all;
	struct stat sb;
	enum pl_status st = PL_OK;

	*sizes = NULL;
	pl_buf_init(&mine, 0);
	pl_buf_init(&all, 0);
	for (size_t i = from; i < from + n && st == PL_OK; i++) {
		uint64_t size = stat(names->items[i], &sb) == 0 && S_ISREG(sb.st_mode) ? (uint64_t)sb.st_size : 0;
		st = pl_buf_add(&mine, &size, sizeof(size), err);
	}
	if ((st = pl_job_agree(t->job, st, err)) == PL_OK)
		st = pl_job_gather(t->job, mine.data, mine.len, &all, NULL, err);
	if (st == PL_OK && (*sizes = calloc(names->len + 1, sizeof(**sizes))) == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK && all.len == names->len * sizeof(**sizes) && all.len > 0)
		memcpy(*sizes, all.data, all.len);
	pl_buf_release(&mine);
	pl_buf_release(&all);
	return pl_job_agree(t->job, st, err);
}

/* What a rank did, and when its last unit began and ended and it found no more, from when all began. */
struct did { double total, weight, began, ended, idle; char name[128]; };

static void note_unit(struct did *d, const struct tool_work *w, const struct pl_ticket *ticket)
{
	const char *slash = ticket->name != NULL ? strrchr(ticket->name, '/') : NULL;

	d->weight = w->weight != NULL ? (double)w->weight[ticket->index] : 1;
	d->total += d->weight;
	if (ticket->name != NULL)
		snprintf(d->name, sizeof(d->name), "%s", slash != NULL ? slash + 1 : ticket->name);
	else if (w->names != NULL)
		snprintf(d->name, sizeof(d->name), "%s", w->names[ticket->index]);
	else
		snprintf(d->name, sizeof(d->name), "unit %llu", (unsigned long long)ticket->index);
}

/* Add these units' tail to that of the step. Collective. */
static enum pl_status add_tail(struct tool *t, const struct did *mine, struct pl_err *err)
{
	size_t n = (size_t)pl_job_size(t->job), last = 0;
	double first_idle = mine->idle, work = 0, total = 0, left;
	struct pl_buf all;
	const struct did *d;
	enum pl_status st;

	if (n == 1)
		return PL_OK;
	pl_buf_init(&all, 0);
	if ((st = pl_job_gather(t->job, mine, sizeof(*mine), &all, NULL, err)) == PL_OK) {
		d = (const struct did *)(const void *)all.data;
		for (size_t i = 0; i < n; i++) {
			first_idle = d[i].idle < first_idle ? d[i].idle : first_idle;
			last = d[i].idle > d[last].idle ? i : last;
			total += d[i].total;
		}
		for (size_t i = 0; i < n; i++) {
			left = d[i].ended - (d[i].began > first_idle ? d[i].began : first_idle);
			left = left > 0 && d[i].ended > d[i].began ? d[i].weight * left / (d[i].ended - d[i].began) : 0;
			work = left > work ? left : work;
		}
		t->tail.work += work;
		t->tail.share_of += total / (double)n;
		t->tail.seconds += d[last].idle - first_idle;
		if (d[last].idle - first_idle >= t->tail.longest && d[last].name[0] != '\0') {
			t->tail.longest = d[last].idle - first_idle;
			memcpy(t->tail.last, d[last].name, sizeof(t->tail.last));
		}
	}
	pl_buf_release(&all);
	return st;
}

static enum pl_status work_off(struct tool *t, struct pl_tickets *tickets, enum pl_status opened, const struct tool_work *w, tool_unit_fn *fn,
    void *ctx, struct pl_err *err)
{
	enum pl_status st = pl_job_agree(t->job, opened, err);
	struct pl_ticket ticket;
	struct did did = { 0 };
	double start = pl_now();

	if (st != PL_OK)
		return st;
	while ((st = pl_tickets_next(tickets, &ticket, err)) == PL_OK) {
		note_unit(&did, w, &ticket);
		did.began = pl_now() - start;
		st = fn(t, ctx, ticket.index, ticket.name, err);
		did.ended = pl_now() - start;
		if (st == PL_OK) {
			pl_job_count(t->job, w->pieces ? 0 : 1, 0, 0);
			st = tool_poll(t, err);
		}
		if (st != PL_OK)
			break;
	}
	did.idle = pl_now() - start;
	pl_tickets_close(tickets, st);
	st = pl_job_agree(t->job, st, err);
	return st == PL_OK || st == PL_END ? add_tail(t, &did, err) : st;
}

enum pl_status tool_for_work(struct tool *t, const struct tool_work *w, tool_unit_fn *fn, void *ctx, struct pl_err *err)
{
	struct pl_tickets *tickets = NULL;
	enum pl_status st = pl_tickets_open(&tickets, t->job, w->n, w->order, w->names, err);

	return work_off(t, tickets, st, w, fn, ctx, err);
}

enum pl_status tool_for_units(struct tool *t, uint64_t n, tool_unit_fn *fn, void *ctx, struct pl_err *err)
{
	struct tool_work w = { .n = n };

	return tool_for_work(t, &w, fn, ctx, err);
}

enum pl_status tool_for_files(struct tool *t, const struct pl_names *names, tool_unit_fn *fn, void *ctx, struct pl_err *err)
{
	struct pl_tickets *tickets = NULL;
	struct tool_work w = { 0 };
	uint64_t *sizes = NULL, *order = NULL;
	enum pl_status st;

	if (names == NULL) {
		st = pl_tickets_open_stdin(&tickets, t->job, err);
		return work_off(t, tickets, st, &w, fn, ctx, err);
	}
	st = tool_file_sizes(t, names, &sizes, err);
	if (st == PL_OK && (order = pl_largest_first(sizes, names->len)) == NULL)
		st = pl_fail_nomem(err);
	w = (struct tool_work){ names->len, order, sizes, names->items, false };
	if (st == PL_OK)
		st = tool_for_work(t, &w, fn, ctx, err);
	else
		st = pl_job_agree(t->job, st, err);
	free(order);
	free(sizes);
	return st;
}
