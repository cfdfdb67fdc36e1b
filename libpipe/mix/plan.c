/* SPDX-License-Identifier: Apache-2.0 */
/* Making a plan: quotas in the recipe's unit become numbers of draws, draws
 * become output shards. */
#include "plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"
#include "plan_draw.h"

/* ---- how far into a pass the draws go ---- */

struct tally { uint64_t units, images, tokens; };

/* A walk over the kept samples that finds, in the order of a pass, the first draws whose units reach
 * `target`. The pass is cut into buckets of `width` draws: a first walk weighs the buckets, a second
 * looks into the one where the target is met. Memory grows with the root of the samples only. */
struct cut {
	struct pl_perm perm;
	enum pl_unit unit;
	uint64_t width;
	struct tally *buckets;
	uint64_t from, to;      /* second walk: draws of the bucket looked into */
	struct tally *draws;
};

static struct tally weigh(const struct cut *c, const struct pl_sample_cost *cost)
{
	struct tally t = {
	    .images = cost->images, .tokens = cost->text_tokens + cost->image_tokens};

	t.units = c->unit == PL_UNIT_SAMPLES ? 1 : c->unit == PL_UNIT_IMAGES ? t.images : t.tokens;
	return t;
}

static void add(struct tally *sum, const struct tally *t)
{
	sum->units += t->units;
	sum->images += t->images;
	sum->tokens += t->tokens;
}

static enum pl_status weigh_bucket(
    void *ctx, uint64_t j, const struct pl_sample_cost *cost, struct pl_err *err)
{
	struct cut *c = ctx;
	struct tally t = weigh(c, cost);

	(void)err;
	add(&c->buckets[pl_perm_inverse(&c->perm, j) / c->width], &t);
	return PL_OK;
}

static enum pl_status weigh_draw(
    void *ctx, uint64_t j, const struct pl_sample_cost *cost, struct pl_err *err)
{
	struct cut *c = ctx;
	uint64_t i = pl_perm_inverse(&c->perm, j);

	(void)err;
	if (i >= c->from && i < c->to)
		c->draws[i - c->from] = weigh(c, cost);
	return PL_OK;
}

/* *draws: the least number of draws of the pass whose units reach target (> 0, <= all); *sum: what they
 * hold. */
static enum pl_status find_cut(struct cut *c, struct pl_select *s, uint64_t target, uint64_t *draws,
    struct tally *sum, struct pl_err *err)
{
	uint64_t n = c->perm.n, b = 0;
	enum pl_status st;

	for (c->width = 1; c->width < n / c->width; c->width *= 2)
		continue;
	c->buckets = calloc((size_t)(n / c->width + 1), sizeof(*c->buckets));
	c->draws = calloc((size_t)c->width, sizeof(*c->draws));
	st = c->buckets && c->draws ? pl_select_walk(s, weigh_bucket, c, err) : pl_fail_nomem(err);
	if (st == PL_OK) {
		*sum = (struct tally){0};
		while (b < (n - 1) / c->width && sum->units + c->buckets[b].units < target)
			add(sum, &c->buckets[b++]);
		c->from = b * c->width;
		c->to = n - c->from < c->width ? n : c->from + c->width;
		st = pl_select_walk(s, weigh_draw, c, err);
	}
	if (st == PL_OK) {
		for (*draws = c->from; *draws < c->to && sum->units < target; (*draws)++)
			add(sum, &c->draws[*draws - c->from]);
	}
	free(c->buckets);
	free(c->draws);
	return st;
}

void pl_pass_perm(struct pl_perm *p, uint64_t n, uint64_t seed, const char *source, uint64_t pass)
{
	pl_perm_init(p, n, seed, pl_draw64(pl_hash64(source, strlen(source)), pass, 1));
}

/* From a target in units to draws, and what they hold. */
static enum pl_status draw_source(struct pl_plan *p, size_t i, struct pl_select *s,
    const struct pl_quota_source *q, struct pl_err *err)
{
	struct pl_plan_source *out = &p->sources[i];
	struct cut c = {.unit = q->unit};
	uint64_t units = q->unit == PL_UNIT_SAMPLES ? q->samples : q->units;
	uint64_t full = units ? q->target / units : 0, rest = units ? q->target % units : 0, draws = 0;
	struct tally sum = {0};
	enum pl_status st = PL_OK;

	if (rest > 0) {
		pl_pass_perm(&c.perm, q->samples, p->seed, out->name, full);
		st = find_cut(&c, s, rest, &draws, &sum, err);
	}
	if (st != PL_OK)
		return st;
	out->quota = full * q->samples + draws;
	out->images = full * out->available_images + sum.images;
	out->tokens = full * out->available_tokens + sum.tokens;
	out->epochs = q->samples ? (double)out->quota / (double)q->samples : 0;
	p->samples += out->quota;
	return PL_OK;
}

/* ---- the whole ---- */

static enum pl_status start(struct pl_plan *p, const struct pl_recipe *r, struct pl_err *err)
{
	p->recipe_path = strdup(r->path);
	p->recipe_text = strdup(r->text);
	return p->recipe_path && p->recipe_text ? PL_OK : pl_fail_nomem(err);
}

/* K: as asked, or so that shards come out about as large as asked. */
static enum pl_status count_shards(
    struct pl_plan *p, const struct pl_recipe *r, struct pl_select *const *selects, struct pl_err *err)
{
	double bytes = 0, shards;

	if (p->samples == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, r->path,
		    "no sample is left to draw: every one was dropped before (plait why and plait stat tell)");
	if (r->output.shard_samples > 0) {
		shards = ceil((double)p->samples / (double)r->output.shard_samples);
	} else {
		for (size_t i = 0; i < p->nsources; i++) {
			uint64_t all = 0;
			enum pl_status st = pl_select_output_bytes(selects[i], &r->image, &all, err);
			if (st != PL_OK)
				return st;
			bytes += (double)all * p->sources[i].epochs;
		}
		shards = ceil(bytes / (double)r->output.shard_size);
	}
	if (shards > (double)p->samples)
		shards = (double)p->samples;
	if (shards > UINT32_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, r->path,
		    "%.0f output shards are more than 2^32 - 1: make them larger", shards);
	p->shards = shards < 1 ? 1 : (uint64_t)shards;
	return PL_OK;
}

enum pl_status pl_plan_make(struct pl_plan *p, const struct pl_recipe *r, const struct pl_group_parts *const *parts,
    struct pl_select *const *selects, const char *const *corpus_dirs, uint64_t seed, struct pl_err *err)
{
	struct pl_quota_source *q = NULL;
	enum pl_status st;

	*p = (struct pl_plan){.seed = seed, .output = r->in_use};
	st = start(p, r, err);
	if (st == PL_OK)
		st = pl_plan_targets(p, r, parts, selects, corpus_dirs, &q, err);
	for (size_t i = 0; st == PL_OK && i < p->nsources; i++)
		st = draw_source(p, i, selects[i], &q[i], err);
	if (st == PL_OK)
		st = count_shards(p, r, selects, err);
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
