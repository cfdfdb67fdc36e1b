/* SPDX-License-Identifier: Apache-2.0 */
/* Making a plan: quotas in the recipe's unit become numbers of draws, draws
 * become output shards. */
#include "plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"
#include "plan_draw.h"

struct draw_plan {
	struct pl_plan *p;
	const struct pl_recipe *r;
	struct pl_select *const *selects;
	const struct pl_crew *crew;
};

/* The groups that a part of a pass is drawn from; 0: all of them. `draws` of the pass, `each` of them in an output shard, about. Where all
 * groups would give less than an output shard's draws apiece, it would read from many; so fewer give more then, but no more than half
 * of what they have, for their units are not known yet. A group gives its share of the draws less fan_in, at worst (README.md). */
static uint64_t choose_groups(const struct pl_order *o, double draws, double each, uint64_t fan_in)
{
	double groups = (double)pl_order_groups(o), smallest = (double)pl_order_smallest(o), mean = (double)pl_order_all(o) / groups;
	double most = draws * smallest / mean / (each * 17 / 16 + (double)fan_in), least = ceil(2 * draws / smallest);

	if (most < least)
		most = least;
	return most < groups ? most < 1 ? 1 : (uint64_t)most : 0;
}

/* From a target in units to draws, and what they hold. each: draws in one output shard, about. */
static enum pl_status draw_source(struct draw_plan *d, size_t i, const struct pl_quota_source *q, double each, struct pl_err *err)
{
	struct pl_plan_source *out = &d->p->sources[i];
	struct pl_draw_rule rule = {.unit = q->unit};
	uint64_t units = q->unit == PL_UNIT_SAMPLES ? q->samples : q->units;
	uint64_t full = units ? q->target / units : 0, rest = units ? q->target % units : 0;
	struct pl_drawn drawn = {0};

	if (rest > 0) {
		struct pl_order *order = NULL;
		struct pl_order_way way = {d->p->seed, out->name, full, d->p->fan_in, 0};
		enum pl_status st = pl_crew_agree(d->crew, pl_select_order(d->selects[i], &way, 0, &order, err), err);
		if (st == PL_OK) {
			out->groups = choose_groups(order, ceil((double)rest / (double)units * (double)q->samples), each, d->p->fan_in);
			rule.target = rest;
			st = pl_draw_until(d->selects[i], &way, &out->groups, &rule, d->crew, &drawn, err);
		}
		if (st != PL_OK)
			return st;
	}
	out->quota = full * q->samples + drawn.samples;
	out->images = full * out->available_images + drawn.images;
	out->tokens = full * out->available_tokens + drawn.tokens;
	out->epochs = q->samples ? (double)out->quota / (double)q->samples : 0;
	d->p->samples += out->quota;
	return PL_OK;
}

/* ---- the whole ---- */

static enum pl_status start(struct pl_plan *p, const struct pl_recipe *r, struct pl_err *err)
{
	p->recipe_path = strdup(r->path);
	p->recipe_text = strdup(r->text);
	return p->recipe_path && p->recipe_text ? PL_OK : pl_fail_nomem(err);
}

/* K: as asked, or so that shards come out about as large as asked. draws: of each of the n entries. */
static double shards_for(const struct pl_recipe *r, struct pl_select *const *selects, size_t n, const double *draws)
{
	double bytes = 0, samples = 0, shards;

	for (size_t i = 0; i < n; i++) {
		const struct pl_select_totals t = pl_select_totals(selects[i]);
		samples += draws[i];
		bytes += t.samples ? (double)t.output_bytes * (draws[i] / (double)t.samples) : 0;
	}
	if (r->output.shard_samples > 0)
		shards = ceil(samples / (double)r->output.shard_samples);
	else
		shards = ceil(bytes / (double)r->output.shard_size);
	if (shards > samples)
		shards = samples;
	return shards < 1 ? 1 : shards;
}

static enum pl_status count_shards(struct pl_plan *p, const struct pl_recipe *r, struct pl_select *const *selects, double *draws,
    struct pl_err *err)
{
	double shards;

	if (p->samples == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, r->path,
		    "no sample is left to draw: every one was dropped before (plait why and plait stat tell)");
	for (size_t i = 0; i < p->nsources; i++)
		draws[i] = (double)p->sources[i].quota;
	shards = shards_for(r, selects, p->nsources, draws);
	if (shards > UINT32_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, r->path,
		    "%.0f output shards are more than 2^32 - 1: make them larger", shards);
	p->shards = (uint64_t)shards;
	return PL_OK;
}

/* The most input shards that one output shard reads from this source. */
static enum pl_status count_fan_in(struct pl_plan *p, size_t i, struct pl_select *select, struct pl_err *err)
{
	struct pl_plan_source *s = &p->sources[i];

	s->fan_in = 0;
	for (uint64_t k = 0; k < p->shards && s->quota > 0; k++) {
		uint64_t from = pl_first_draw(s->quota, k, p->shards), to = pl_first_draw(s->quota, k + 1, p->shards), sum = 0;
		while (from < to) {
			struct pl_order *order = NULL;
			uint64_t pass = from / s->available, start = pass * s->available;
			uint64_t end = to - start < s->available ? to : start + s->available;
			enum pl_status st = pl_pass_order(p, i, select, pass, &order, err);
			if (st != PL_OK)
				return st;
			sum += pl_order_shards(order, from - start, end - start);
			from = end;
		}
		s->fan_in = sum > s->fan_in ? sum : s->fan_in;
	}
	return PL_OK;
}

/* Draws of each entry as its averages have it, and so about how many of them one output shard takes. */
static void estimate(struct draw_plan *d, const struct pl_quota_source *q, double *draws)
{
	double shards;

	for (size_t i = 0; i < d->p->nsources; i++) {
		uint64_t units = q[i].unit == PL_UNIT_SAMPLES ? q[i].samples : q[i].units;
		draws[i] = units > 0 ? (double)q[i].target / (double)units * (double)q[i].samples : 0;
	}
	shards = shards_for(d->r, d->selects, d->p->nsources, draws);
	for (size_t i = 0; i < d->p->nsources; i++)
		draws[i] = ceil(draws[i] / shards);
}

/* From targets to draws, output shards, and what these read. */
static enum pl_status fill(struct draw_plan *d, const struct pl_quota_source *q, struct pl_err *err)
{
	size_t n = d->p->nsources;
	double *draws = calloc(n + 1, sizeof(*draws));
	enum pl_status st = pl_crew_agree(d->crew, draws ? PL_OK : pl_fail_nomem(err), err);

	if (st == PL_OK)
		estimate(d, q, draws);
	for (size_t i = 0; st == PL_OK && i < n; i++)
		st = draw_source(d, i, &q[i], draws[i], err);
	if (st == PL_OK)
		st = count_shards(d->p, d->r, d->selects, draws, err);
	for (size_t i = 0; st == PL_OK && i < n; i++)
		st = count_fan_in(d->p, i, d->selects[i], err);
	free(draws);
	return st;
}

enum pl_status pl_plan_make(struct pl_plan *p, const struct pl_recipe *r, const struct pl_group_parts *const *parts,
    struct pl_select *const *selects, const char *const *corpus_dirs, uint64_t seed, const struct pl_crew *crew, struct pl_err *err)
{
	struct draw_plan d = {p, r, selects, crew};
	struct pl_quota_source *q = NULL;
	enum pl_status st;

	*p = (struct pl_plan){.seed = seed, .output = r->in_use, .fan_in = r->output.fan_in};
	st = start(p, r, err);
	if (st == PL_OK)
		st = pl_plan_targets(p, r, parts, selects, corpus_dirs, &q, err);
	st = pl_crew_agree(crew, st, err);
	if (st == PL_OK)
		st = fill(&d, q, err);
	free(q);
	if (st != PL_OK)
		pl_plan_release(p);
	return st;
}

void pl_plan_release(struct pl_plan *p)
{
	for (size_t i = 0; i < p->nsources; i++) {
		free(p->sources[i].name);
		free(p->sources[i].corpus);
		free(p->sources[i].group);
	}
	free(p->sources);
	free(p->recipe_path);
	free(p->recipe_text);
	memset(p, 0, sizeof(*p));
}
