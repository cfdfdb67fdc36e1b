/* SPDX-License-Identifier: Apache-2.0 */
/* Large shards in pieces; see tool_split.h. Every rank knows all cuts, so a
 * ticket is a number. */
#include "tool_split.h"

#include "libpipe/base/hash.h"
#include "libpipe/dist/split.h"
#include "shards/section.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEVER UINT64_MAX
#define PASS UINT32_MAX
/* A pass reads, and does nothing else: so much quicker than what is done to a sample. */
#define PASS_RATIO 32u
/* A walk reads headers. */
#define WALK_RATIO 512u

/* Where a shard was cut: n pieces from at[0] = 0 on. */
struct cut { uint64_t unit, n, total; uint64_t *at; bool failed; };
struct ticket { uint64_t unit; uint32_t cut, piece; };   /* cut: number + 1, 0 = a whole shard */

struct splitting {
	const struct tool_split *s;
	char *dir;                       /* of the pieces */
	uint64_t *sizes, step;
	bool *split;
	struct pl_buf found;             /* cuts this rank made: unit, n, total, at[n] */
	struct pl_buf all;               /* of all ranks */
	struct cut *cuts; size_t ncuts;
	struct ticket *tickets; uint64_t ntickets;
	uint64_t *weight;
	struct pl_buf failed;            /* numbers of the cuts with a piece that failed on this rank */
};

static enum pl_status setting(struct tool *t, uint64_t *piece, struct pl_err *err)
{
	const char *text = getenv("PLAIT_SPLIT");
	enum pl_status st = PL_OK;

	*piece = 0;
	if (tool_is_root(t) && text != NULL && strcmp(text, "off") == 0)
		*piece = NEVER;
	else if (tool_is_root(t) && text != NULL && *text != '\0')
		st = pl_parse_size(text, piece, err);
	if (st == PL_OK && tool_is_root(t) && text != NULL && *text != '\0' && *piece == 0)
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "PLAIT_SPLIT is 0: the size of a piece, or off");
	if ((st = pl_job_agree(t->job, st, err)) == PL_OK)
		*piece = pl_job_max(t->job, *piece);
	return st;
}

/* An empty list with room for n. */
static enum pl_status list_new(struct splitting *x, uint64_t n, struct pl_err *err)
{
	free(x->tickets);
	free(x->weight);
	x->ntickets = 0;
	x->tickets = calloc((size_t)n + 1, sizeof(*x->tickets));
	x->weight = calloc((size_t)n + 1, sizeof(*x->weight));
	return x->tickets == NULL || x->weight == NULL ? pl_fail_nomem(err) : PL_OK;
}

static void add_ticket(struct splitting *x, uint64_t unit, size_t cut, uint32_t piece, double weight)
{
	x->tickets[x->ntickets] = (struct ticket){ unit, (uint32_t)cut, piece };
	x->weight[x->ntickets++] = (uint64_t)weight;
}

/* Tickets in the order of their weights, named after their shards. */
static enum pl_status do_tickets(struct tool *t, struct splitting *x, tool_unit_fn *fn, struct pl_err *err)
{
	struct tool_work w = { .n = x->ntickets, .weight = x->weight, .pieces = true };
	uint64_t *order = tool_is_root(t) ? pl_largest_first(x->weight, x->ntickets) : NULL;
	char **names = calloc((size_t)x->ntickets + 1, sizeof(*names));
	enum pl_status st = (order == NULL && tool_is_root(t)) || names == NULL ? pl_fail_nomem(err) : PL_OK;

	for (uint64_t i = 0; i < x->ntickets && st == PL_OK; i++)
		names[i] = x->s->shards->items[x->tickets[i].unit];
	w.order = order;
	w.names = names;
	if ((st = pl_job_agree(t->job, st, err)) == PL_OK)
		st = tool_for_work(t, &w, fn, x, err);
	free(order);
	free(names);
	return st;
}

/* Walk over a shard and note where it can be cut. One that is damaged or compressed as a whole is not cut. */
static enum pl_status cut_shard(struct tool *t, struct splitting *x, uint64_t unit, const char *path, struct pl_err *err)
{
	uint64_t head[3] = { unit, 1, 0 }, zero = 0, last = 0;
	size_t begun = x->found.len;
	struct shard_reader *r = NULL;
	struct shard_sample sample;
	enum pl_status st = shard_section_walk(&r, path, err);

	if (st == PL_ERR_UNSUPPORTED)
		pl_log(PL_LOG_WARNING, "'%s' is large and compressed as a whole, so that one rank has to do it alone: as .tar, or as the .tar.zst "
		    "that plait writes, it could be shared", path);
	if (st != PL_OK)
		return err->severity == PL_SEV_JOB ? st : PL_OK;
	st = pl_buf_add(&x->found, head, sizeof(head), err);
	if (st == PL_OK)
		st = pl_buf_add(&x->found, &zero, sizeof(zero), err);
	while (st == PL_OK && (st = shard_reader_next(r, &sample, err)) == PL_OK) {
		head[2] = sample.offset + sample.length;
		if (sample.offset - last >= x->step) {
			last = sample.offset;
			head[1]++;
			st = pl_buf_add(&x->found, &last, sizeof(last), err);
		}
		if (st == PL_OK)
			st = tool_poll(t, err);
	}
	shard_reader_close(r);
	if (st == PL_END && head[1] > 1) {
		memcpy(x->found.data + begun, head, sizeof(head));
		return PL_OK;
	}
	x->found.len = begun;
	return st == PL_END || (st != PL_ERR_STOPPED && err->severity != PL_SEV_JOB) ? PL_OK : st;
}

static enum pl_status cut_unit(struct tool *t, void *ctx, uint64_t k, const char *name, struct pl_err *err)
{
	struct splitting *x = ctx;
	uint64_t unit = x->tickets[k].unit;
	bool wanted = false;
	enum pl_status st;

	(void)name;
	st = x->s->wanted(t, x->s->ctx, x->s->shards->items[unit], &wanted, err);
	return st == PL_OK && wanted ? cut_shard(t, x, unit, x->s->shards->items[unit], err) : st;
}

static int by_unit(const void *a, const void *b)
{
	const struct cut *x = a, *y = b;

	return x->unit < y->unit ? -1 : x->unit > y->unit;
}

/* What all ranks found, in the order of the shards. */
static enum pl_status share_cuts(struct tool *t, struct splitting *x, struct pl_err *err)
{
	enum pl_status st = pl_job_gather(t->job, x->found.data, x->found.len, &x->all, NULL, err);
	uint64_t *words = (uint64_t *)(void *)x->all.data;
	size_t n = x->all.len / sizeof(*words), k = 0;

	if (st != PL_OK)
		return st;
	for (size_t at = 0; at + 3 <= n; at += 3 + words[at + 1])
		k++;
	if ((x->cuts = calloc(k + 1, sizeof(*x->cuts))) == NULL)
		return pl_fail_nomem(err);
	for (size_t at = 0; at + 3 <= n; at += 3 + words[at + 1])
		x->cuts[x->ncuts++] = (struct cut){ words[at], words[at + 1], words[at + 2], words + at + 3, false };
	qsort(x->cuts, x->ncuts, sizeof(*x->cuts), by_unit);
	for (size_t i = k = 0; i < x->ncuts; i++)
		k += x->cuts[i].n;
	if (tool_is_root(t) && x->ncuts > 0)
		pl_log(PL_LOG_INFO, "%zu large shard%s done in %zu pieces", x->ncuts, x->ncuts == 1 ? " is" : "s are", k);
	return PL_OK;
}

/* The shards to look at are tickets. */
static enum pl_status find_cuts(struct tool *t, struct splitting *x, struct pl_err *err)
{
	uint64_t n = x->s->shards->len;
	enum pl_status st = list_new(x, n, err);

	for (uint64_t i = 0; st == PL_OK && i < n; i++)
		if (x->split[i])
			add_ticket(x, i, 0, 0, (double)x->sizes[i] / WALK_RATIO);
	if ((st = pl_job_agree(t->job, st, err)) == PL_OK && x->ntickets > 0)
		st = do_tickets(t, x, cut_unit, err);
	if (st == PL_OK && x->ntickets > 0)
		st = pl_job_agree(t->job, share_cuts(t, x, err), err);
	return st;
}

static void add_pieces(struct splitting *x, size_t k)
{
	const struct cut *c = &x->cuts[k];
	double size = (double)x->sizes[c->unit];

	for (uint64_t p = 0; p < c->n; p++)
		add_ticket(x, c->unit, k + 1, (uint32_t)p,
		    size * (double)((p + 1 < c->n ? c->at[p + 1] : c->total) - c->at[p]) / (double)c->total);
	if (x->s->pass != NULL)
		add_ticket(x, c->unit, k + 1, PASS, size / PASS_RATIO);
}

static enum pl_status list_tickets(struct splitting *x, struct pl_err *err)
{
	size_t n = x->s->shards->len, k = 0;
	enum pl_status st;

	for (size_t i = 0; i < x->ncuts; i++)
		n += x->cuts[i].n + 1;
	if ((st = list_new(x, n, err)) != PL_OK)
		return st;
	for (uint64_t i = 0; i < x->s->shards->len; i++) {
		if (k < x->ncuts && x->cuts[k].unit == i)
			add_pieces(x, k++);
		else
			add_ticket(x, i, 0, 0, (double)x->sizes[i]);
	}
	return PL_OK;
}

static struct tool_piece piece_of(const struct splitting *x, const struct cut *c, uint64_t p)
{
	struct tool_piece out = { .shard = x->s->shards->items[c->unit], .dir = x->dir };
	uint64_t id = pl_hash64(out.shard, strlen(out.shard));

	out.from = p < c->n ? c->at[p] : 0;
	out.to = p + 1 < c->n ? c->at[p + 1] : UINT64_MAX;
	if (p < c->n)
		snprintf(out.id, sizeof(out.id), "%016llx-%llx", (unsigned long long)id, (unsigned long long)out.from);
	else
		snprintf(out.id, sizeof(out.id), "%016llx", (unsigned long long)id);
	return out;
}

static enum pl_status piece_unit(struct tool *t, struct splitting *x, const struct ticket *k, struct pl_err *err)
{
	uint64_t number = k->cut - 1;
	struct tool_piece p = piece_of(x, &x->cuts[number], k->piece == PASS ? x->cuts[number].n : k->piece);
	enum pl_status st = (k->piece == PASS ? x->s->pass : x->s->piece)(t, x->s->ctx, &p, err);

	if (st == PL_OK || st == PL_ERR_STOPPED || err->severity == PL_SEV_JOB)
		return st;
	pl_log(PL_LOG_DEBUG, "'%s' cannot be done in pieces", p.shard);
	return pl_buf_add(&x->failed, &number, sizeof(number), err);
}

static enum pl_status do_ticket(struct tool *t, void *ctx, uint64_t unit, const char *name, struct pl_err *err)
{
	struct splitting *x = ctx;
	const struct ticket *k = &x->tickets[unit];
	enum pl_status st;

	(void)name;
	if (k->cut > 0)
		return piece_unit(t, x, k, err);
	st = x->s->whole(t, x->s->ctx, k->unit, x->s->shards->items[k->unit], err);
	if (st == PL_OK)
		pl_job_count(t->job, 1, 0, 0);
	return st;
}

static enum pl_status do_work(struct tool *t, struct splitting *x, struct pl_err *err)
{
	struct pl_buf all;
	enum pl_status st = pl_job_agree(t->job, list_tickets(x, err), err);

	pl_buf_init(&all, 0);
	if (st == PL_OK)
		st = do_tickets(t, x, do_ticket, err);
	if (st == PL_OK)
		st = pl_job_gather(t->job, x->failed.data, x->failed.len, &all, NULL, err);
	for (size_t at = 0; st == PL_OK && at + sizeof(uint64_t) <= all.len; at += sizeof(uint64_t)) {
		uint64_t number;
		memcpy(&number, all.data + at, sizeof(number));
		x->cuts[number].failed = true;
	}
	pl_buf_release(&all);
	return st;
}

static enum pl_status join_unit(struct tool *t, void *ctx, uint64_t k, const char *name, struct pl_err *err)
{
	struct splitting *x = ctx;
	const struct cut *c = &x->cuts[x->tickets[k].cut - 1];
	const char *shard = x->s->shards->items[c->unit];
	size_t n = (size_t)c->n + (x->s->pass != NULL);
	struct tool_piece *pieces = calloc(n, sizeof(*pieces));
	enum pl_status st = pieces == NULL ? pl_fail_nomem(err) : PL_OK;

	(void)name;
	for (size_t p = 0; p < n && st == PL_OK; p++)
		pieces[p] = piece_of(x, c, p);
	if (st == PL_OK && !c->failed)
		st = x->s->join(t, x->s->ctx, pieces, n, err);
	free(pieces);
	if (c->failed || (st != PL_OK && st != PL_ERR_STOPPED && err->severity != PL_SEV_JOB))
		st = x->s->whole(t, x->s->ctx, c->unit, shard, err);
	if (st == PL_OK)
		pl_job_count(t->job, 1, 0, 0);
	return st;
}

static enum pl_status join_all(struct tool *t, struct splitting *x, struct pl_err *err)
{
	x->ntickets = 0;
	for (size_t k = 0; k < x->ncuts; k++)
		add_ticket(x, x->cuts[k].unit, k + 1, 0, (double)x->sizes[x->cuts[k].unit] * (x->cuts[k].failed ? 1 : x->s->join_cost));
	return x->ncuts > 0 ? do_tickets(t, x, join_unit, err) : PL_OK;
}

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *at)
{
	(void)sb;
	(void)at;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

/* A place for pieces, or none. Rank 0 acts. */
static enum pl_status pieces_dir(struct tool *t, const struct splitting *x, bool wanted, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (tool_is_root(t) && wanted) {
		st = pl_mkdirs(x->dir, err);
		if (st == PL_OK)
			st = pl_remove_temporaries(x->dir, err);
	} else if (tool_is_root(t) && nftw(x->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
		st = pl_fail_errno(err, PL_SEV_JOB, x->dir, "cannot remove the pieces of large shards");
	}
	return pl_job_agree(t->job, st, err);
}

/* The lists that every rank needs, and which shards to cut. */
static enum pl_status plan(struct tool *t, struct splitting *x, struct pl_err *err)
{
	uint64_t piece = 0, n = x->s->shards->len;
	enum pl_status st = setting(t, &piece, err);

	if (st == PL_OK)
		st = tool_file_sizes(t, x->s->shards, &x->sizes, err);
	if (st != PL_OK)
		return st;
	x->split = calloc((size_t)n + 1, sizeof(*x->split));
	x->dir = pl_path_join(x->s->dir, ".plait/pieces");
	if (x->split == NULL || x->dir == NULL)
		st = pl_fail_nomem(err);
	else if (piece != NEVER && (piece > 0 || pl_job_size(t->job) > 1))
		st = pl_split_plan(x->sizes, n, pl_job_size(t->job), piece, x->split, &x->step, err);
	return pl_job_agree(t->job, st, err);
}

enum pl_status tool_for_shards(struct tool *t, const struct tool_split *s, struct pl_err *err)
{
	struct splitting x = { .s = s };
	enum pl_status st;

	if (s->shards == NULL)
		return tool_for_files(t, NULL, s->whole, s->ctx, err);
	pl_buf_init(&x.found, 0);
	pl_buf_init(&x.all, 0);
	pl_buf_init(&x.failed, 0);
	st = plan(t, &x, err);
	if (st == PL_OK)
		st = find_cuts(t, &x, err);
	if (st == PL_OK && x.ncuts > 0)
		st = pieces_dir(t, &x, true, err);
	if (st == PL_OK)
		st = do_work(t, &x, err);
	if (st == PL_OK)
		st = join_all(t, &x, err);
	if (st == PL_OK)
		st = pieces_dir(t, &x, false, err);
	pl_buf_release(&x.found);
	pl_buf_release(&x.all);
	pl_buf_release(&x.failed);
	free(x.cuts);
	free(x.tickets);
	free(x.weight);
	free(x.split);
	free(x.sizes);
	free(x.dir);
	return st;
}
