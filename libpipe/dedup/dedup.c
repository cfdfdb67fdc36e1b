/* SPDX-License-Identifier: Apache-2.0 */
/* Dedup from tables to decisions: places and who owns them, the join, and the
 * order in which the other files do their share. */
#include "dedup.h"

#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "partition.h"

const char *const pl_cluster_names[] = {"stars", "components", NULL};
const char *const pl_plan_names[] = {"auto", "replicated", "partitioned", NULL};

enum { LINKS = 512 };                  /* made of pairs at once */
#define PAIRS_BELIEVED 100             /* seen in a sample */
#define ROOM_SLACK 1.25
#define OUT_BYTES ((size_t)4 << 20)   /* of pairs of one unit that wait for the store */

/* ---- places ---- */

struct named_place { struct pl_dedup_place place; const struct pl_corpus *c; };

static int compare_places(const void *x, const void *y)
{
	const struct named_place *a = x, *b = y;
	int c = strcmp(
	    a->c->source.name ? a->c->source.name : "", b->c->source.name ? b->c->source.name : "");

	if (c == 0)
		c = memcmp(a->c->digest, b->c->digest, sizeof(a->c->digest));
	if (c == 0)
		c = (a->place.corpus > b->place.corpus) - (a->place.corpus < b->place.corpus);
	return c != 0 ? c : strcmp(a->c->shards[a->place.shard].unit, b->c->shards[b->place.shard].unit);
}

static enum pl_status number_places(struct pl_dedup *d, struct pl_err *err)
{
	struct named_place *named;
	size_t total = 0, at = 0;

	for (uint32_t i = 0; i < d->n + d->m; i++)
		total += pl_dedup_corpus(d, i)->nshards;
	if (total >= UINT32_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "more than 2^32 - 2 shards");
	named = calloc(total + 1, sizeof(*named));
	d->places = calloc(total + 1, sizeof(*d->places));
	d->numbers = calloc(total + 1, sizeof(*d->numbers));
	d->bases = calloc(d->n + d->m + 1, sizeof(*d->bases));
	if (!named || !d->places || !d->numbers || !d->bases) {
		free(named);
		return pl_fail_nomem(err);
	}
	for (uint32_t i = 0; i < d->n + d->m; i++) {
		const struct pl_corpus *c = pl_dedup_corpus(d, i);
		d->bases[i] = (uint32_t)at;
		for (size_t k = 0; k < c->nshards; k++)
			named[at++] = (struct named_place){{i, (uint32_t)k}, c};
	}
	if (total > 1)
		qsort(named, total, sizeof(*named), compare_places);
	for (size_t i = 0; i < total; i++)
		d->places[i] = named[i].place;
	for (size_t i = 0; i < total; i++)
		d->numbers[d->bases[d->places[i].corpus] + d->places[i].shard] = (uint32_t)i;
	d->nplaces = (uint32_t)total;
	free(named);
	return PL_OK;
}

/* Places go to the parts in runs of about as many rows each; the same on all parts. */
static enum pl_status share_places(struct pl_dedup *d, struct pl_err *err)
{
	double total = 0, at = 0;

	d->owner = calloc((size_t)d->nplaces + 1, sizeof(*d->owner));
	if (!d->owner)
		return pl_fail_nomem(err);
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < d->nplaces; i++) {
			const struct pl_shard_facts *f = &pl_dedup_corpus(d, d->places[i].corpus)->shards[d->places[i].shard];
			double rows = (double)f->samples + (double)f->images + 1;
			if (pass == 0) {
				total += rows;
				continue;
			}
			d->owner[i] = (uint32_t)((at + rows / 2) / total * d->parts.parts);
			if (d->owner[i] >= d->parts.parts)
				d->owner[i] = d->parts.parts - 1;
			at += rows;
		}
	}
	return PL_OK;
}

uint32_t pl_dedup_place_of(const struct pl_dedup *d, size_t corpus, size_t shard)
{
	return d->numbers[d->bases[corpus] + shard];
}

uint32_t pl_dedup_owner(const struct pl_dedup *d, size_t corpus, size_t shard)
{
	return d->owner[pl_dedup_place_of(d, corpus, shard)];
}

/* ---- account of memory ---- */

uint64_t pl_dedup_held(const struct pl_dedup *d)
{
	uint64_t bytes = d->images.cap * sizeof(struct pl_item) + d->ntexts * sizeof(struct pl_text_drop) +
	    d->found.memory.cap + d->pairs.memory.cap + d->own.memory.cap + d->nown * sizeof(*d->own_classes);

	if (d->starts)
		bytes += (uint64_t)pl_nodes_held(d) * (sizeof(struct pl_node) + sizeof(uint64_t) + sizeof(uint16_t));
	return bytes;
}

void pl_dedup_account(struct pl_dedup *d, uint64_t more)
{
	uint64_t held = pl_dedup_held(d) + more;

	if (held > d->held_peak)
		d->held_peak = held;
}

/* ---- open and close ---- */

static enum pl_status check_recipes(const struct pl_dedup *d, struct pl_err *err)
{
	const struct pl_corpus *first = d->n + d->m > 0 ? pl_dedup_corpus(d, 0) : NULL;

	for (uint32_t i = 1; i < d->n + d->m; i++) {
		const struct pl_corpus *c = pl_dedup_corpus(d, i);
		if (c->source.hash != first->source.hash)
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, c->dir,
			    "its hashes are %s, those of '%s' are %s: ingest one of them again with the other's --hash",
			    pl_hash_recipe_names[c->source.hash], first->dir, pl_hash_recipe_names[first->source.hash]);
	}
	return PL_OK;
}

enum pl_status pl_dedup_new(struct pl_dedup **out, struct pl_corpus *const *corpora, size_t n,
    struct pl_corpus *const *evals, size_t m, const struct pl_dedup_options *o, const struct pl_parts *parts, struct pl_err *err)
{
	struct pl_dedup *d;
	enum pl_status st;

	if (o->near_text.on && !o->text)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "near texts are asked for, but equal texts are to be left alone");
	if (n + m > 1u << 20 || o->distance > 255)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%s",
		    o->distance > 255 ? "a distance above 255 makes every image a duplicate"
		                      : "more than 2^20 corpora");
	d = calloc(1, sizeof(*d));
	if (!d)
		return pl_fail_nomem(err);
	d->corpora = corpora;
	d->evals = evals;
	d->n = n;
	d->m = m;
	d->o = *o;
	if (parts)
		d->parts = *parts;
	else
		pl_parts_alone(&d->parts, o->poll, o->poll_ctx);
	pl_buf_init(&d->out, (size_t)1 << 46);
	pl_spill_init(&d->found, UINT64_MAX, NULL);
	pl_spill_init(&d->pairs, UINT64_MAX, NULL);
	pl_spill_init(&d->own, UINT64_MAX, NULL);
	st = check_recipes(d, err);
	if (st == PL_OK)
		st = number_places(d, err);
	if (st == PL_OK)
		st = share_places(d, err);
	st = d->parts.agree(d->parts.ctx, st, err);
	if (st == PL_OK && o->text)
		st = d->parts.agree(d->parts.ctx, pl_dedup_texts(d, err), err);
	if (st == PL_OK && o->text && !pl_texts_everywhere(d))
		st = pl_texts_deal(d, err);
	if (st != PL_OK) {
		pl_dedup_free(d);
		return st;
	}
	*out = d;
	return PL_OK;
}

void pl_dedup_free(struct pl_dedup *d)
{
	if (!d)
		return;
	pl_join_plan_free(d->plan);
	pl_partition_free(d->partition);
	d->parts.unshare(d->parts.ctx, &d->states);
	d->parts.unshare(d->parts.ctx, &d->hashes);
	pl_buf_release(&d->out);
	pl_spill_release(&d->found);
	pl_spill_release(&d->pairs);
	pl_spill_release(&d->own);
	free(d->own_classes);
	free(d->places);
	free(d->numbers);
	free(d->bases);
	free(d->owner);
	free(d->starts);
	free(d->texts);
	pl_near_texts_free(d->near_texts);
	free(d->images.items);
	free(d->nodes);
	free(d->survivor);
	free(d->distance);
	free(d);
}

/* ---- the join ---- */

static bool near_related(void *ctx, uint32_t a, uint32_t b)
{
	const struct pl_dedup *d = ctx;

	return pl_classes_related(pl_hash_classes(d)[a], pl_hash_classes(d)[b]);
}

static enum pl_status take_links(void *ctx, const struct pl_link *links, size_t n, struct pl_err *err)
{
	struct pl_dedup *d = ctx;

	return pl_spill_add(&d->found, links, n * sizeof(*links), err);
}

/* Pairs of a unit under way go to the store now and then: a bucket of copies gives more than memory may hold. */
static enum pl_status take_out(struct pl_dedup *d, struct pl_err *err)
{
	const struct pl_pair *pairs = (const struct pl_pair *)(const void *)d->out.data;
	size_t n = d->out.len / sizeof(*pairs);
	enum pl_status st = PL_OK;

	for (size_t at = 0, k; at < n && st == PL_OK; at += k) {
		struct pl_link links[LINKS];
		for (k = 0; k < LINKS && at + k < n; k++)
			links[k] = pl_link(pairs[at + k].a, pairs[at + k].b, pairs[at + k].distance);
		st = take_links(d, links, k, err);
	}

	pl_dedup_account(d, d->out.cap);
	pl_buf_clear(&d->out);
	return st;
}

static enum pl_status join_poll(void *ctx, struct pl_err *err)
{
	struct pl_dedup *d = ctx;
	enum pl_status st = d->out.len > OUT_BYTES ? take_out(d, err) : PL_OK;

	return st == PL_OK ? d->parts.poll(d->parts.ctx, err) : st;
}

/* Half of what there is room for is the join's scratch, a quarter for each of the two stores of pairs. */
static enum pl_status plan_join(struct pl_dedup *d, struct pl_err *err)
{
	uint64_t room = d->parts.room(d->parts.ctx, pl_dedup_held(d));
	double budget = d->o.budget > 0 ? d->o.budget : pl_dedup_budget(d->nnear);
	struct pl_join j = {.hashes = pl_hashes(d), .n = (uint32_t)d->nnear, .distance = d->o.distance, .bits = 256,
	    .fixed = (uint32_t)d->nfixed, .permuted = true, .workers = d->parts.parts, .budget = budget,
	    .related = d->classes ? near_related : NULL, .poll = join_poll, .ctx = d};
	struct pl_partition_job job = {.parts = &d->parts, .hashes = (const uint64_t (*)[4])(void *)d->own.data,
	    .classes = d->own_classes, .n = d->nown, .first = d->nown > 0 ? pl_nodes_first(d) : 0, .total = d->nnear, .fixed = d->nfixed,
	    .distance = d->o.distance, .memory = room / 2, .budget = budget, .related = pl_classes_related, .found = take_links, .ctx = d};

	d->found.ceiling = d->pairs.ceiling = room / 4;
	d->found.dir = d->pairs.dir = d->parts.scratch;
	if (d->partitioned)
		return pl_partition_new(&d->partition, &job, &(struct pl_partition_how){0}, err);
	return d->parts.agree(d->parts.ctx, pl_join_plan_new(&d->plan, &j, room / 2, err), err);
}

enum pl_status pl_dedup_load(struct pl_dedup *d, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (d->loaded || d->near_texts)
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%s", d->loaded ? "images were loaded before" : "near texts are not decided yet");
	/* what every part counted alike is counted once */
	if (pl_texts_everywhere(d) && d->parts.part != 0)
		d->stats = (struct pl_dedup_stats){0};
	if (st == PL_OK)
		st = pl_rules_samples(d, err);
	if (st == PL_OK)
		st = pl_items_load_images(d, err);
	st = d->parts.agree(d->parts.ctx, st, err);
	if (st == PL_OK)
		st = pl_nodes_make(d, err);
	if (st == PL_OK)
		st = plan_join(d, err);
	d->loaded = st == PL_OK;
	return st;
}

uint64_t pl_dedup_units(const struct pl_dedup *d)
{
	return d->loaded && d->plan ? pl_join_plan_units(d->plan) : 0;
}

uint64_t pl_dedup_steps(const struct pl_dedup *d)
{
	return d->loaded && d->partition ? pl_partition_steps(d->partition) : 0;
}

enum pl_dedup_plan pl_dedup_plan(const struct pl_dedup *d)
{
	return d->partitioned ? PL_PLAN_PARTITIONED : PL_PLAN_REPLICATED;
}

enum pl_status pl_dedup_step(struct pl_dedup *d, uint64_t step, struct pl_err *err)
{
	if (!d->partition)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "this join has no steps, or they are done");
	pl_dedup_account(d, 0);
	return pl_partition_step(d->partition, step, err);
}

enum pl_status pl_dedup_join(struct pl_dedup *d, uint64_t unit, struct pl_err *err)
{
	enum pl_status st;

	if (!d->plan)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%s", d->partition ? "this join goes by steps" : d->loaded ? "survivors were decided before" : "no images were loaded");
	st = pl_join_unit(d->plan, unit, &d->out, err);
	return st == PL_OK ? take_out(d, err) : st;
}

double pl_dedup_budget(uint64_t n)
{
	return n > 10000000 ? (double)n * 1e5 : 1e12;
}

/* Would the pairs fill the memory that the parts have for them? An estimate from a few pairs is not believed. */
static enum pl_status check_room(const struct pl_dedup *d, const struct pl_join_cost *c, struct pl_err *err)
{
	double room = (double)d->found.ceiling * d->parts.parts, bytes = c->pairs * sizeof(struct pl_link);

	if (d->found.dir || c->pairs_seen < PAIRS_BELIEVED || bytes < ROOM_SLACK * room)
		return PL_OK;
	return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
	    "some %.3g pairs are to be expected, which take %.0f MiB, and there are %.0f MiB for them: give more --memory, a --scratch directory, a "
	    "smaller distance, or leave flat images out with filter or a higher --min-quality",
	    c->pairs, bytes / (1 << 20), room / (1 << 20));
}

static enum pl_status predict(struct pl_dedup *d, struct pl_err *err)
{
	struct pl_join_cost c = {0};
	enum pl_status st = d->partition ? pl_partition_cost(d->partition, &c, err) : pl_join_plan_cost(d->plan, &c, err);

	if (d->parts.part != 0)   /* where all predict, one tells */
		return st;
	d->stats.keys = c.keys;
	d->stats.candidates = (uint64_t)c.candidates;
	d->stats.expected_pairs = (uint64_t)c.pairs;
	d->stats.core_us = (uint64_t)(c.seconds * 1e6);
	d->stats.largest_bucket = c.largest_bucket;
	d->stats.scratch = c.scratch;
	return st == PL_OK ? check_room(d, &c, err) : st;
}

enum pl_status pl_dedup_predict(struct pl_dedup *d, struct pl_err *err)
{
	return d->parts.agree(d->parts.ctx, d->partition || d->parts.part == 0 ? predict(d, err) : PL_OK, err);
}

/* ---- survivors ---- */

/* Counts of all parts added up; the peak is the largest. */
static void add_up(struct pl_dedup *d)
{
	struct pl_dedup_stats *s = &d->stats;
	uint64_t *counts[] = {&s->images, &s->low_quality, &s->pairs, &s->dropped_bytes, &s->dropped_near, &s->dropped_eval, &s->dropped_text,
	    &s->near_texts, &s->text_pairs, &s->dropped_near_text, &s->kept_captions, &s->repeated_images, &s->repeated_captions,
	    &s->keys, &s->candidates, &s->expected_pairs, &s->core_us, &s->largest_bucket, &s->scratch};
	uint64_t sums[PL_ARRAY_LEN(counts)];

	for (size_t i = 0; i < PL_ARRAY_LEN(counts); i++)
		sums[i] = *counts[i];
	d->parts.sum(d->parts.ctx, sums, PL_ARRAY_LEN(counts));
	for (size_t i = 0; i < PL_ARRAY_LEN(counts); i++)
		*counts[i] = sums[i];
	s->held = d->held_peak;
}

enum pl_status pl_dedup_decide(struct pl_dedup *d, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (d->resolved || !d->loaded)
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%s", d->resolved ? "survivors were decided before" : "no images were loaded");
	if ((st = d->parts.agree(d->parts.ctx, st, err)) != PL_OK)
		return st;
	/* its scratch makes room for what decides */
	d->stats.units = pl_dedup_units(d);
	d->stats.steps = pl_dedup_steps(d);
	pl_join_plan_free(d->plan);
	d->plan = NULL;
	pl_partition_free(d->partition);
	d->partition = NULL;
	st = pl_dedup_survivors(d, err);
	if (st == PL_OK)
		st = pl_dedup_fates(d, err);
	if (st == PL_OK)
		st = pl_rules_images(d, err);
	if (st != PL_OK)
		return st;
	add_up(d);
	d->parts.unshare(d->parts.ctx, &d->hashes);
	pl_spill_release(&d->own);
	d->resolved = true;
	return PL_OK;
}

struct pl_dedup_stats pl_dedup_stats(const struct pl_dedup *d)
{
	return d->stats;
}
