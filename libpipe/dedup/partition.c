/* SPDX-License-Identifier: Apache-2.0 */
/* The partitioned join as a whole: look at hashes that lie on many parts, choose
 * the cover for what it costs to send keys around, fit steps into memory, predict
 * the cost. All parts decide alike, from what they have told each other. */
#include "partition_step.h"

#include <stdlib.h>
#include <string.h>

enum {
	SMALL = 4096,                /* fewer hashes are compared in tiles without further thought */
	SAMPLE = 8192,
	CAPACITY_MIN = 4096,
	BINS_PER_SLOT = 64,          /* so slots are even within 2 % */
	GROUPS_MAX = 64,
	BATCHES = 4                  /* that a step sends: fewer are all waiting */
};
#define HOT_SIZE ((uint64_t)1 << 17)
#define BATCH_MIN ((uint64_t)64 << 10)
#define BATCH_ENOUGH ((uint64_t)4 << 20)   /* or 16 KiB for each part, */
#define BATCH_MAX ((uint64_t)64 << 20)     /* but no more than that */
/* Scratch of the local join: an entry, an eighth more, a chunk for each part; and the tables of parts. */
#define ENTRY_BYTES 11
#define FIXED_BYTES ((uint64_t)2 << 20)

static uint64_t record_bytes(const struct pl_partition *p)
{
	return sizeof(*p->hash) + sizeof(*p->id) + (p->job.classes ? sizeof(*p->class) : 0) + ENTRY_BYTES;
}

/* ---- what the hashes are like ---- */

/* The same sample as that of a plan that sees all hashes. */
static enum pl_status gather_sample(const struct pl_partition_job *j, struct pl_buf *all, struct pl_err *err)
{
	uint64_t n = j->total < SAMPLE ? j->total : SAMPLE;
	struct pl_buf mine;
	enum pl_status st = PL_OK;

	pl_buf_init(&mine, 0);
	for (uint64_t i = 0; i < n && st == PL_OK; i++) {
		uint64_t at = (uint64_t)((double)i * (double)j->total / (double)n);
		if (at >= j->first && at - j->first < j->n)
			st = pl_buf_add(&mine, j->hashes[at - j->first], sizeof(j->hashes[0]), err);
	}
	st = pl_parts_tell(j->parts, st, true, mine.data, mine.len, sizeof(j->hashes[0]), all, err);
	pl_buf_release(&mine);
	return st;
}

/* What may come at once: a quarter of memory is for what is on its way, a batch out, up to four in, doubled at worst. */
static uint64_t records_that_fit(const struct pl_partition *p)
{
	uint64_t memory = p->job.memory > FIXED_BYTES ? p->job.memory - FIXED_BYTES : 0, fit = (memory - memory / 4) / record_bytes(p);

	return fit < CAPACITY_MIN ? CAPACITY_MIN : fit > 1u << 31 ? 1u << 31 : fit;
}

static enum pl_status choose_cover(struct pl_partition *p, unsigned distance, struct pl_err *err)
{
	const struct pl_parts *parts = p->job.parts;
	const struct pl_partition_share share = {p->job.total, parts->parts * (2 * p->job.total / parts->parts / records_that_fit(p) + 1),
	    p->local.how.hot_size, p->local.base, parts->nodes};
	struct pl_cover *c = &p->local.cover;
	enum pl_status st = p->how.nblocks > 0 ? pl_cover_make(c, PL_COVER_WORDS, 256, distance, p->how.nblocks, p->local.base, err)
	                                       : pl_partition_cover(c, distance, &share, err);

	if (st != PL_OK || c->nblocks == 0)
		return st;
	p->group = calloc(c->nmasks, sizeof(*p->group));
	if (!p->group)
		return pl_fail_nomem(err);
	p->ngroups = pl_partition_groups(c, &share, p->group);
	return PL_OK;
}

static enum pl_status look_at_hashes(struct pl_partition *p, struct pl_err *err)
{
	const struct pl_partition_job *j = &p->job;
	uint64_t odd = !pl_cover_even(j->hashes, j->n);
	struct pl_join sample = {.bits = 256};
	struct pl_buf all;
	enum pl_status st;

	pl_buf_init(&all, 0);
	st = gather_sample(j, &all, err);
	j->parts->sum(j->parts->ctx, &odd, 1);
	if (st == PL_OK) {
		sample.hashes = (uint64_t (*)[4])(void *)all.data;
		sample.n = (uint32_t)(all.len / sizeof(j->hashes[0]));
		p->local.base = pl_join_base(&sample);
		st = choose_cover(p, j->distance - (odd == 0 && j->distance % 2 == 1), err);
	}
	pl_buf_release(&all);
	return j->parts->agree(j->parts->ctx, st, err);
}

/* ---- memory ---- */

static unsigned log2_up(uint64_t x)
{
	unsigned bits = 0;

	while (bits < 63 && (uint64_t)1 << bits < x)
		bits++;
	return bits;
}

/* Groups of a step: as many as make some batches and fit; bins: as many as share them out evenly and keep none too large. */
static enum pl_status fit_memory(struct pl_partition *p, struct pl_err *err)
{
	uint64_t memory = p->job.memory > FIXED_BYTES ? p->job.memory - FIXED_BYTES : 0, total = p->job.total, parts = p->job.parts->parts;
	uint64_t each = total / parts + 1, fit = records_that_fit(p), slots, bins;

	p->batch = parts << 14 > BATCH_MAX ? BATCH_MAX : parts << 14 < BATCH_ENOUGH ? BATCH_ENOUGH : parts << 14;
	p->batch = memory / 32 < BATCH_MIN ? BATCH_MIN : memory / 32 < p->batch ? memory / 32 : p->batch;
	p->per_step = (uint32_t)(BATCHES * p->batch / pl_record_size(p) / each) + 1;
	if (p->per_step > fit / 2 / each)
		p->per_step = (uint32_t)(fit / 2 / each);
	if (p->per_step > GROUPS_MAX)
		p->per_step = GROUPS_MAX;
	if (p->per_step > p->ngroups)
		p->per_step = p->ngroups;
	if (p->per_step < 1)
		p->per_step = 1;
	if (fit > 2 * p->per_step * each + CAPACITY_MIN)
		fit = 2 * p->per_step * each + CAPACITY_MIN;
	p->capacity = (uint32_t)fit;
	if (p->batch > p->per_step * each * pl_record_size(p))
		p->batch = p->per_step * each * pl_record_size(p);
	slots = parts * (2 * p->per_step * each / fit + 1);
	bins = BINS_PER_SLOT * slots < total / 16 ? BINS_PER_SLOT * slots : total / 16;
	if (bins < 16 * p->per_step * (total / fit + 1))
		bins = 16 * p->per_step * (total / fit + 1);
	p->bin_bits = log2_up(bins);
	while (p->bin_bits > 6 && (uint64_t)p->per_step << p->bin_bits > PL_PARTITION_BINS && p->per_step > 1)
		p->per_step--;
	if (p->local.cover.nblocks > 0 && (uint64_t)p->per_step << p->bin_bits > 4 * (uint64_t)PL_PARTITION_BINS)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "%llu MiB for a rank are too few to join %llu hashes: give more --memory",
		    (unsigned long long)(p->job.memory >> 20), (unsigned long long)total);
	return PL_OK;
}

static bool local_related(void *ctx, uint32_t a, uint32_t b)
{
	const struct pl_partition *p = ctx;

	return p->job.related(p->class[p->base + a], p->class[p->base + b]);
}

static enum pl_status make_local(struct pl_partition *p, struct pl_err *err)
{
	struct pl_join_plan *local = &p->local;
	uint64_t entries = p->capacity;

	local->join = (struct pl_join){.distance = p->job.distance, .bits = 256, .permuted = true,
	    .related = p->job.classes ? local_related : NULL, .poll = pl_partition_poll, .ctx = p};
	pl_join_kernels(local);
	local->part_bits = pl_join_part_bits(local->cover.kind, entries);
	p->hash = malloc((size_t)entries * sizeof(*p->hash));
	p->id = malloc((size_t)entries * sizeof(*p->id));
	p->link = malloc(((size_t)1 << 16) * sizeof(*p->link));
	if (p->job.classes)
		p->class = malloc((size_t)entries * sizeof(*p->class));
	if (!p->hash || !p->id || !p->link || (p->job.classes && !p->class))
		return pl_fail_nomem(err);
	return pl_scratch_new(local, 0, entries, entries, err);
}

/* ---- the whole ---- */

enum pl_status pl_partition_new(struct pl_partition **out, const struct pl_partition_job *job, const struct pl_partition_how *how,
    struct pl_err *err)
{
	struct pl_partition *p = calloc(1, sizeof(*p));
	enum pl_status st = p ? PL_OK : pl_fail_nomem(err);

	if ((st = job->parts->agree(job->parts->ctx, st, err)) != PL_OK || !p) {
		free(p);
		return st;
	}
	p->job = *job;
	p->how = *how;
	p->local.how = (struct pl_join_how){.kernel = pl_join_best(), .hot_size = how->hot_size > 0 ? how->hot_size : HOT_SIZE, .count_sample = UINT32_MAX};
	pl_buf_init(&p->pairs, (size_t)1 << 46);
	if (job->total >= SMALL || how->nblocks > 0)
		st = look_at_hashes(p, err);
	if (st == PL_OK)
		st = fit_memory(p, err);
	if (st == PL_OK)
		st = make_local(p, err);
	if ((st = job->parts->agree(job->parts->ctx, st, err)) != PL_OK) {
		pl_partition_free(p);
		return st;
	}
	*out = p;
	return PL_OK;
}

void pl_partition_free(struct pl_partition *p)
{
	if (!p)
		return;
	pl_cover_release(&p->local.cover);
	pl_scratch_free(&p->local.s);
	pl_buf_release(&p->pairs);
	pl_parts_stream_release(p->job.parts, &p->stream);
	free(p->group);
	free(p->hash);
	free(p->id);
	free(p->class);
	free(p->link);
	free(p);
}

uint64_t pl_partition_steps(const struct pl_partition *p)
{
	return p->ngroups > 0 ? (p->ngroups + p->per_step - 1) / p->per_step : 1;
}

enum pl_status pl_partition_step(struct pl_partition *p, uint64_t step, struct pl_err *err)
{
	uint64_t first = step * p->per_step;

	if (step >= pl_partition_steps(p))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "the join has no step %llu", (unsigned long long)step);
	if (p->ngroups == 0)
		return pl_partition_tiles(p, NULL, 0, p->job.total, err);
	return pl_partition_run(p, p->group + first, p->ngroups - first < p->per_step ? (uint32_t)(p->ngroups - first) : p->per_step, NULL,
	    NULL, err);
}

struct pl_partition_stats pl_partition_stats(const struct pl_partition *p)
{
	return p->stats;
}

/* ---- cost ---- */

static double all_pairs(const struct pl_partition_job *j)
{
	double n = (double)j->total, fixed = (double)j->fixed;

	return n * (n - 1) / 2 - fixed * (fixed - 1) / 2;
}

/* Counts of this part become those of all: pairs added up, the largest bucket that anybody has. */
static enum pl_status add_up(struct pl_partition *p, struct pl_tally *t, uint32_t n, struct pl_err *err)
{
	const struct pl_parts *parts = p->job.parts;
	struct pl_buf all;
	enum pl_status st;

	pl_buf_init(&all, 0);
	st = pl_parts_tell(parts, PL_OK, true, t, n * sizeof(*t), sizeof(*t), &all, err);
	memset(t, 0, n * sizeof(*t));
	for (size_t i = 0; st == PL_OK && i < all.len / sizeof(*t); i++) {
		struct pl_tally more;
		memcpy(&more, all.data + i * sizeof(more), sizeof(more));
		t[i % n].pairs += more.pairs;
		t[i % n].largest = more.largest > t[i % n].largest ? more.largest : t[i % n].largest;
	}
	pl_buf_release(&all);
	return st;
}

/* All pairs of a sample, scaled; classes are left aside. */
static enum pl_status guess_pairs(const struct pl_partition *p, struct pl_join_cost *c, struct pl_err *err)
{
	struct pl_join sample = {.distance = p->job.distance, .bits = 256};
	struct pl_buf all, out;
	double pairs;
	enum pl_status st;

	pl_buf_init(&all, 0);
	pl_buf_init(&out, (size_t)1 << 40);
	st = gather_sample(&p->job, &all, err);
	sample.hashes = (uint64_t (*)[4])(void *)all.data;
	sample.n = (uint32_t)(all.len / 32);
	sample.fixed = p->job.total > 0 ? (uint32_t)((double)p->job.fixed / (double)p->job.total * sample.n) : 0;
	pairs = (double)sample.n * (sample.n - 1.0) / 2 - (double)sample.fixed * (sample.fixed - 1.0) / 2;
	if (st == PL_OK && pairs > 0) {
		st = pl_join_part(&sample, 0, 1, &out, err);
		c->pairs_seen = out.len / sizeof(struct pl_pair);
		c->pairs = (double)c->pairs_seen * all_pairs(&p->job) / pairs;
	}
	pl_buf_release(&all);
	pl_buf_release(&out);
	return p->job.parts->agree(p->job.parts->ctx, st, err);
}

/* The same line through the lightest and the heaviest mask as in cover_cost.c. */
static enum pl_status block_cost(struct pl_partition *p, const struct pl_cover_block *b, struct pl_join_cost *c, double *tiled,
    struct pl_err *err)
{
	const uint64_t *mask = p->local.cover.mask;
	uint32_t ends[2] = {b->first, b->first};   /* lightest, heaviest */
	struct pl_tally t[2] = {{0, 0}, {0, 0}};
	double slope, x, y, pairs = all_pairs(&p->job), hot[2] = {0, 0};
	enum pl_status st = PL_OK;

	for (uint32_t m = b->first; m < b->first + b->masks; m++) {
		ends[0] = pl_cover_weight(mask[m]) < pl_cover_weight(mask[ends[0]]) ? m : ends[0];
		ends[1] = pl_cover_weight(mask[m]) > pl_cover_weight(mask[ends[1]]) ? m : ends[1];
	}
	for (int i = 0; i < 2 && st == PL_OK; i++) {
		struct pl_group alone = {.mask = {ends[i]}, .n = 1, .block = pl_join_block_of(&p->local, ends[i]), .part = mask[ends[i]]};
		if (i == 0 || ends[1] != ends[0])
			st = pl_partition_run(p, &alone, 1, &t[i], &hot[i], err);
	}
	if (ends[1] == ends[0]) {
		t[1] = t[0];
		hot[1] = hot[0];
	}
	if (st == PL_OK)
		st = add_up(p, t, 2, err);
	x = pairs * pl_partition_chance(p->local.base, mask[ends[1]]);
	y = t[1].pairs;
	slope = pairs * pl_partition_chance(p->local.base, mask[ends[0]]) > x ? (t[0].pairs - y) / (pairs * pl_partition_chance(p->local.base, mask[ends[0]]) - x) : 0;
	slope = slope > 0 ? slope : 0;
	for (uint32_t m = b->first; m < b->first + b->masks; m++)
		c->candidates += y + slope * (pairs * pl_partition_chance(p->local.base, mask[m]) - x);
	*tiled += (hot[0] + hot[1]) / 2 * b->masks;
	for (int i = 0; i < 2; i++)
		c->largest_bucket = t[i].largest > c->largest_bucket ? t[i].largest : c->largest_bucket;
	return st;
}

enum pl_status pl_partition_cost(struct pl_partition *p, struct pl_join_cost *c, struct pl_err *err)
{
	const struct pl_cover *cover = &p->local.cover;
	struct pl_partition_stats before = p->stats;
	double tiled = cover->nblocks > 0 ? 0 : all_pairs(&p->job);
	enum pl_status st = PL_OK;

	*c = (struct pl_join_cost){.keys = cover->nmasks * p->job.total, .scratch = p->capacity * record_bytes(p) + 8 * p->batch};
	for (uint32_t b = 0; b < cover->nblocks && st == PL_OK; b++)
		st = block_cost(p, &cover->block[b], c, &tiled, err);
	c->seconds = ((double)c->keys * pl_cover_key_ns(p->job.total) +
	    (double)p->ngroups * (double)p->job.total * pl_partition_send_ns(p->job.parts->nodes) + c->candidates * pl_cover_verify_ns(p->job.total) +
	    tiled * pl_cover_compare_ns()) / 1e9;
	c->candidates += tiled;
	p->stats = before;
	if (st == PL_OK)
		st = guess_pairs(p, c, err);
	if (st == PL_OK && p->job.budget > 0 && c->candidates > p->job.budget)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
		    "%.3g pairs of hashes would have to be looked at, which takes some %.3g core-hours, the largest bucket holds %llu, and the "
		    "budget is %.3g: lower the distance, raise --budget, or leave flat images out with filter or a higher --min-quality",
		    c->candidates, c->seconds / 3600, (unsigned long long)c->largest_bucket, p->job.budget);
	return st;
}
