/* SPDX-License-Identifier: Apache-2.0 */
/* Some groups of masks at a time: count into how many bins their keys fall, share the bins
 * out so that nobody gets more than fits, send each hash where its key belongs,
 * join what came. Counts are exact and the same on all parts, so nothing ever
 * overflows: what does not fit at once is a further pass over the keys. */
#include "partition_step.h"

#include <stdlib.h>
#include <string.h>

enum { POLL_EVERY = 1 << 20, FLUSH_PAIRS = 1 << 16, COUNT_EVERY = 8 };
#define HOT UINT32_MAX
#define LEFT_OUT (UINT32_MAX - 1)
#define SAMPLE_FROM ((uint64_t)1 << 17)   /* hashes from which on counting is content with some bins */
#define TAG_SHIFT 48
#define ID_MASK (((uint64_t)1 << TAG_SHIFT) - 1)

struct step {
	struct pl_partition *p;
	const struct pl_group *group; uint32_t ngroups;
	uint64_t *count;               /* by group and bin: hashes of the whole job */
	uint32_t *slot;                /* by group and bin: pass * parts + owner, HOT or LEFT_OUT */
	uint32_t every;                /* of so many bins one is joined */
	uint32_t passes, pass;
	struct pl_segment *segment;    /* by group: what comes here in this pass */
	uint32_t k, at;                /* where the sender is */
};

/* ---- records ---- */

enum pl_status pl_partition_send(struct pl_partition *p, struct pl_buf *to, uint32_t i, uint64_t tag, struct pl_err *err)
{
	size_t size = pl_record_size(p);
	uint64_t id = (p->job.first + i) | tag << TAG_SHIFT;
	uint8_t *at;

	if (to->cap - to->len <= size) {   /* a byte is behind them all */
		enum pl_status st = pl_buf_reserve(to, size, err);
		if (st != PL_OK)
			return st;
	}
	at = to->data + to->len;
	memcpy(at, p->job.hashes[i], 32);
	memcpy(at + 32, &id, 8);
	if (p->job.classes) {
		uint64_t class = p->job.classes[i];
		memcpy(at + 40, &class, 8);
	}
	to->len += size;
	p->stats.records++;
	return PL_OK;
}

enum pl_status pl_partition_receive(struct pl_partition *p, const struct pl_buf *from, pl_segment_of *segment_of, void *ctx,
    struct pl_err *err)
{
	size_t size = pl_record_size(p);

	for (const uint8_t *at = from->data, *end = at + from->len; at < end; at += size) {
		struct pl_segment *s;
		uint64_t id;
		uint32_t place;
		memcpy(&id, at + 32, 8);
		s = segment_of(ctx, id >> TAG_SHIFT, id & ID_MASK);
		id &= ID_MASK;
		if (!s || s->front == s->back)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "hash %llu came where none was to come", (unsigned long long)id);
		place = id < p->job.fixed ? s->front++ : --s->back;
		memcpy(p->hash[place], at, 32);
		p->id[place] = id;
		if (p->class)
			memcpy(&p->class[place], at + 40, sizeof(*p->class));   /* little-endian: the low half */
	}
	return PL_OK;
}

/* ---- pairs ---- */

enum pl_status pl_partition_flush(struct pl_partition *p, struct pl_err *err)
{
	const struct pl_pair *pairs = (const struct pl_pair *)(const void *)p->pairs.data;
	size_t n = p->pairs.len / sizeof(*pairs);
	enum pl_status st = PL_OK;

	for (size_t at = 0; at < n && st == PL_OK; at += FLUSH_PAIRS) {
		size_t end = n - at < FLUSH_PAIRS ? n : at + FLUSH_PAIRS, m = 0;
		for (size_t i = at; i < end; i++) {
			uint64_t a = p->id[p->base + pairs[i].a], b = p->id[p->base + pairs[i].b];
			p->link[m++] = pl_link(a < b ? a : b, a < b ? b : a, pairs[i].distance);
		}
		st = p->job.found(p->job.ctx, p->link, m, err);
	}
	pl_buf_clear(&p->pairs);
	return st;
}

enum pl_status pl_partition_poll(void *ctx, struct pl_err *err)
{
	struct pl_partition *p = ctx;
	enum pl_status st = p->pairs.len > FLUSH_PAIRS * sizeof(struct pl_pair) ? pl_partition_flush(p, err) : PL_OK;

	return st == PL_OK ? p->job.parts->poll(p->job.parts->ctx, err) : st;
}

/* ---- counting ---- */

static size_t bins_of(const struct pl_partition *p)
{
	return (size_t)1 << p->bin_bits;
}

/* How many hashes of the whole job fall into each bin of each group. */
static enum pl_status count_bins(struct step *s, struct pl_err *err)
{
	const struct pl_partition *p = s->p;
	const struct pl_parts *parts = p->job.parts;
	enum pl_status st = PL_OK;

	for (uint32_t k = 0; k < s->ngroups && st == PL_OK; k++) {
		uint64_t *count = s->count + k * bins_of(p);
		for (uint32_t i = 0; i < p->job.n && st == PL_OK; i++) {
			count[pl_partition_bin(p, &s->group[k], p->job.hashes[i])]++;
			if (i % POLL_EVERY == 0)
				st = parts->poll(parts->ctx, err);
		}
	}
	if ((st = parts->agree(parts->ctx, st, err)) == PL_OK)
		parts->sum(parts->ctx, s->count, s->ngroups * bins_of(p));
	return st;
}

/* From how many hashes on a bin is shared out: memory must hold some, and one that stands out keeps its owner busy for long. */
static uint64_t hot_limit(const struct pl_partition *p, const struct pl_group *g)
{
	uint64_t memory = p->capacity / (2 * (uint64_t)p->per_step), work = p->local.how.hot_size, mean = p->job.total >> p->bin_bits;

	mean += (uint64_t)((double)p->job.total * pl_partition_chance(p->local.base, g->part));   /* no bin holds less than one value of the bits */
	work = work > 4 * mean ? work : 4 * mean;
	return memory < work ? memory : work;
}

/* Slots in the order of bins, all about as full. Returns the fullest one's records. */
static uint64_t fill_slots(struct step *s, uint64_t *load)
{
	const struct pl_partition *p = s->p;
	uint64_t slots = (uint64_t)s->passes * p->job.parts->parts, most = 0;

	memset(load, 0, (size_t)slots * sizeof(*load));
	for (uint32_t k = 0; k < s->ngroups; k++) {
		const uint64_t *count = s->count + k * bins_of(p);
		uint32_t *slot = s->slot + k * bins_of(p);
		uint64_t all = 0, at = 0, limit = hot_limit(p, &s->group[k]);
		for (size_t bin = 0; bin < bins_of(p); bin++)
			all += count[bin] < limit && bin % s->every == 0 ? count[bin] : 0;
		for (size_t bin = 0; bin < bins_of(p); bin++) {
			uint64_t to;
			slot[bin] = HOT;
			if (count[bin] < limit && bin % s->every != 0)
				slot[bin] = LEFT_OUT;
			if (slot[bin] == LEFT_OUT || count[bin] >= limit)
				continue;
			to = (uint64_t)(((double)at + (double)count[bin] / 2) / (double)(all + 1) * (double)slots);
			slot[bin] = (uint32_t)(to < slots ? to : slots - 1);
			load[slot[bin]] += count[bin];
			at += count[bin];
		}
	}
	for (uint64_t i = 0; i < slots; i++)
		most = load[i] > most ? load[i] : most;
	return most;
}

/* As few passes as memory allows. */
static enum pl_status share_bins(struct step *s, struct pl_err *err)
{
	const struct pl_partition *p = s->p;
	uint64_t *load = NULL, most = UINT64_MAX;

	for (s->passes = 1; most > p->capacity; s->passes += most > p->capacity ? s->passes / 4 + 1 : 0) {
		uint64_t *more;
		if ((uint64_t)s->passes * p->job.parts->parts >= (uint64_t)1 << 31)
			break;
		more = realloc(load, (size_t)s->passes * p->job.parts->parts * sizeof(*load));
		if (!more) {
			free(load);
			return pl_fail_nomem(err);
		}
		load = more;
		most = fill_slots(s, load);
	}
	free(load);
	if (most > p->capacity)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "%u hashes at a time are too few for this join: give more --memory",
		    (unsigned)p->capacity);
	return PL_OK;
}

/* ---- a pass ---- */

static enum pl_status fill_batch(void *ctx, struct pl_buf *to, uint64_t *more, struct pl_err *err)
{
	struct step *s = ctx;
	struct pl_partition *p = s->p;
	uint64_t left = pl_partition_room(p);
	size_t each = pl_partition_room_each(p);
	uint32_t parts = p->job.parts->parts, from = s->pass * parts;
	enum pl_status st = PL_OK;

	for (; s->k < s->ngroups; s->k++, s->at = 0) {
		const uint32_t *slot = s->slot + s->k * bins_of(p);
		for (; s->at < p->job.n; s->at++) {
			uint32_t owner = slot[pl_partition_bin(p, &s->group[s->k], p->job.hashes[s->at])] - from;
			if (s->at % POLL_EVERY == 0)
				st = p->job.parts->poll(p->job.parts->ctx, err);
			if (st != PL_OK)
				return st;
			if (owner >= parts)
				continue;
			*more = left == 0 || to[owner].len >= each;
			if (*more > 0)
				return PL_OK;
			if ((st = pl_partition_send(p, &to[owner], s->at, s->k, err)) != PL_OK)
				return st;
			left--;
		}
	}
	return PL_OK;
}

static struct pl_segment *segment_of(void *ctx, uint64_t tag, uint64_t id)
{
	struct step *s = ctx;

	(void)id;
	return tag < s->ngroups ? &s->segment[tag] : NULL;
}

static enum pl_status take_batch(void *ctx, const struct pl_buf *from, struct pl_err *err)
{
	struct step *s = ctx;

	return pl_partition_receive(s->p, from, segment_of, s, err);
}

static void make_segments(struct step *s)
{
	const struct pl_partition *p = s->p;
	uint32_t mine = s->pass * p->job.parts->parts + p->job.parts->part, at = 0;

	for (uint32_t k = 0; k < s->ngroups; k++) {
		const uint64_t *count = s->count + k * bins_of(p);
		const uint32_t *slot = s->slot + k * bins_of(p);
		uint32_t start = at;
		for (size_t bin = 0; bin < bins_of(p); bin++)
			at += slot[bin] == mine ? (uint32_t)count[bin] : 0;
		s->segment[k] = (struct pl_segment){start, start, at, at};
	}
}

/* Join what came for a group, or count it. */
static enum pl_status join_segment(struct step *s, uint32_t k, struct pl_tally *tally, struct pl_err *err)
{
	struct pl_partition *p = s->p;
	const struct pl_segment *seg = &s->segment[k];
	struct pl_join_plan *local = &p->local;
	struct pl_tally more;
	uint32_t n = seg->end - seg->start;
	enum pl_status st = PL_OK;

	if (n < 2)
		return PL_OK;
	p->base = seg->start;
	local->join.hashes = p->hash + seg->start;
	local->join.n = n;
	local->join.fixed = seg->front - seg->start;
	local->part_bits = pl_join_part_bits(local->cover.kind, n);
	for (uint32_t i = 0; i < s->group[k].n && st == PL_OK; i++) {
		const struct pl_family alone = pl_join_alone(local, s->group[k].mask[i]);
		if (!tally) {
			st = pl_join_range(local, &alone, 0, &p->pairs, err);
			continue;
		}
		st = pl_join_count(local, s->group[k].mask[i], &more, err);
		tally->pairs += more.pairs * s->every;
		tally->largest = more.largest > tally->largest ? more.largest : tally->largest;
	}
	return st == PL_OK ? pl_partition_flush(p, err) : st;
}

static enum pl_status run_pass(struct step *s, struct pl_tally *tally, struct pl_err *err)
{
	enum pl_status st;

	make_segments(s);
	s->k = s->at = 0;
	s->p->stats.passes++;
	s->p->stream.fill = fill_batch;
	s->p->stream.take = take_batch;
	s->p->stream.ctx = s;
	st = pl_parts_stream(s->p->job.parts, PL_OK, &s->p->stream, err);
	for (uint32_t k = 0; k < s->ngroups && st == PL_OK; k++)
		st = join_segment(s, k, tally ? &tally[k] : NULL, err);
	return s->p->job.parts->agree(s->p->job.parts->ctx, st, err);
}

/* ---- hot bins ---- */

static enum pl_status hot_bins(struct step *s, struct pl_tally *tally, double *tiled, struct pl_err *err)
{
	struct pl_partition *p = s->p;
	enum pl_status st = PL_OK;

	for (uint32_t k = 0; k < s->ngroups; k++) {
		for (uint32_t bin = 0; bin < bins_of(p) && st == PL_OK; bin++) {
			uint64_t size = s->count[k * bins_of(p) + bin];
			if (s->slot[k * bins_of(p) + bin] != HOT)
				continue;
			if (!tally) {
				st = pl_partition_tiles(p, &s->group[k], bin, size, err);
				continue;
			}
			*tiled += (double)size * ((double)size - 1) / 2;
			tally[k].largest = size > tally[k].largest ? size : tally[k].largest;
		}
	}
	return st;
}

static enum pl_status run_groups(struct step *s, struct pl_tally *tally, double *tiled, struct pl_err *err)
{
	const struct pl_parts *parts = s->p->job.parts;
	enum pl_status st = count_bins(s, err);

	if (st == PL_OK)
		st = parts->agree(parts->ctx, share_bins(s, err), err);
	for (; s->pass < s->passes && st == PL_OK; s->pass++)
		st = run_pass(s, tally, err);
	return st == PL_OK ? hot_bins(s, tally, tiled, err) : st;
}

enum pl_status pl_partition_run(struct pl_partition *p, const struct pl_group *groups, uint32_t n, struct pl_tally *tally,
    double *tiled, struct pl_err *err)
{
	struct step s = {.p = p, .group = groups, .ngroups = n, .every = tally && p->job.total >= SAMPLE_FROM ? COUNT_EVERY : 1};
	const struct pl_parts *parts = p->job.parts;
	enum pl_status st = PL_OK;

	s.count = calloc(n * bins_of(p), sizeof(*s.count));
	s.slot = calloc(n * bins_of(p), sizeof(*s.slot));
	s.segment = calloc(n, sizeof(*s.segment));
	if (!s.count || !s.slot || !s.segment)
		st = pl_fail_nomem(err);
	st = parts->agree(parts->ctx, st, err);
	if (st == PL_OK && s.count && s.slot && s.segment)
		st = run_groups(&s, tally, tiled, err);
	p->stats.groups += n;
	free(s.count);
	free(s.slot);
	free(s.segment);
	return st;
}
