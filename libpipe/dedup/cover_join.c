/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: permute, look at the hashes, choose the cover, fit units into memory,
 * find hot buckets. Whatever a plan decides depends on the
 * hashes, n, distance, bits and memory only, so that all ranks decide alike. */
#include "cover_join.h"

#include <stdlib.h>
#include <string.h>

enum {
	SMALL = 4096,                /* fewer hashes are compared in tiles without further thought */
	TILES_PER_PART = 64,         /* of the exhaustive join: some 10 ms of work */
	SAMPLE = 8192,
	AHEAD = 16,                  /* hashes of it that are fetched ahead */
	HOT_SAMPLE_MIN = 1024, HOT_SAMPLE_MAX = 1 << 20,
	HOT_SEEN = 32,               /* members of a bucket in the sample, at least, to trust the estimate */
	HOT_PER_MASK = 16,
	SHARES_MAX = 1 << 20,
	COUNT_SAMPLE = 1 << 20,
	RANGE_LEAST = 512            /* entries of a range that is not halved any more */
};
#define HOT_SIZE ((uint64_t)1 << 17)     /* 2^33 pairs: some seconds in tiles */
#define FIXED_BYTES ((uint64_t)4 << 20)  /* tables of parts, candidates, tiles */

/* ---- what the hashes are like ---- */

/* How often two strangers agree on 8 neighbouring (permuted) bits tells what a bit is worth: base^8. */
double pl_join_base(const struct pl_join *j)
{
	uint64_t n = j->n < SAMPLE ? j->n : SAMPLE, same = 0;
	unsigned bytes = j->bits / 8;
	uint32_t count[32][256] = {{0}};
	double agree;

	if (n < 2)
		return 0.5;
	for (uint64_t i = 0; i < n; i++) {
		const uint64_t *h = j->hashes[i * j->n / n];
		pl_fetch(j->hashes[(i + AHEAD < n ? i + AHEAD : i) * j->n / n]);
		for (unsigned byte = 0; byte < bytes; byte++)
			count[byte][h[byte / 8] >> 8 * (byte % 8) & 255u]++;
	}
	for (unsigned byte = 0; byte < bytes; byte++) {
		for (unsigned v = 0; v < 256; v++)
			same += (uint64_t)count[byte][v] * (count[byte][v] > 0 ? count[byte][v] - 1 : 0);
	}
	agree = (double)same / ((double)n * (double)(n - 1) * (double)bytes);
	for (int i = 0; i < 3; i++) {   /* square roots by halving: a libm's pow() is not the same everywhere */
		double low = 0, high = 1;
		for (int k = 0; k < 60; k++) {
			double mid = (low + high) / 2;
			if (mid * mid < agree)
				low = mid;
			else
				high = mid;
		}
		agree = high;
	}
	return agree < 0.5 ? 0.5 : agree > 0.9 ? 0.9 : agree;
}

struct sample {
	uint64_t n;
	uint64_t *word, *key;        /* of a block; under a mask */
	uint32_t *count;             /* open addressing, `size` places */
	uint64_t size;
};

static void sample_free(struct sample *s)
{
	free(s->word);
	free(s->key);
	free(s->count);
}

static enum pl_status add_hot(struct pl_join_plan *p, uint32_t mask, uint64_t word, uint64_t size, struct pl_err *err)
{
	struct pl_hot *hot = realloc(p->hot, (p->nhot + 1) * sizeof(*hot));
	double pairs = (double)size * (double)size / 2, share = (double)p->how.hot_size * (double)p->how.hot_size / 2;

	if (!hot)
		return pl_fail_nomem(err);
	if (share < 16.0 * p->join.n)
		share = 16.0 * p->join.n;    /* every share looks at all hashes once */
	p->hot = hot;
	hot[p->nhot++] = (struct pl_hot){.mask = mask, .word = word, .size = size,
	    .shares = pairs / share >= SHARES_MAX ? SHARES_MAX : (uint32_t)(pairs / share) + 1};
	return PL_OK;
}

/* Count the sample's keys under a mask; those that many hashes seem to share are hot. */
static enum pl_status sample_mask(struct pl_join_plan *p, struct sample *s, uint32_t mask, struct pl_err *err)
{
	size_t first = p->nhot;
	enum pl_status st = PL_OK;

	memset(s->count, 0, (size_t)s->size * sizeof(*s->count));
	for (uint64_t i = 0; i < s->n && st == PL_OK; i++) {
		uint64_t key = s->word[i] & p->cover.mask[mask];
		uint64_t at = key * PL_COVER_MULTIPLIER >> 32 & (s->size - 1);
		while (s->count[at] > 0 && s->key[at] != key)
			at = (at + 1) & (s->size - 1);
		s->key[at] = key;
		s->count[at]++;
	}
	for (uint64_t at = 0; at < s->size && st == PL_OK; at++) {
		uint64_t size = s->count[at] * (uint64_t)p->join.n / (s->n > 0 ? s->n : 1);
		if (s->count[at] >= HOT_SEEN && size >= p->how.hot_size && p->nhot - first < HOT_PER_MASK)
			st = add_hot(p, mask, s->key[at], size, err);
	}
	return st;
}

static enum pl_status find_hot(struct pl_join_plan *p, struct pl_err *err)
{
	struct sample s = {.n = p->join.n / 1024, .size = 2};
	enum pl_status st = PL_OK;

	if (p->join.n < p->how.hot_size || p->join.n < 2)
		return PL_OK;
	s.n = s.n < HOT_SAMPLE_MIN ? HOT_SAMPLE_MIN : s.n > HOT_SAMPLE_MAX ? HOT_SAMPLE_MAX : s.n;
	s.n = s.n < p->join.n ? s.n : p->join.n;
	while (s.size < 2 * s.n)
		s.size *= 2;
	s.word = malloc((size_t)s.n * sizeof(*s.word));
	s.key = malloc((size_t)s.size * sizeof(*s.key));
	s.count = malloc((size_t)s.size * sizeof(*s.count));
	if (!s.word || !s.key || !s.count)
		st = pl_fail_nomem(err);
	for (uint32_t b = 0; b < p->cover.nblocks && st == PL_OK; b++) {
		const struct pl_cover_block *block = &p->cover.block[b];
		for (uint64_t i = 0; i < s.n; i++)
			s.word[i] = pl_cover_word(&p->cover, b, p->join.hashes[i * p->join.n / s.n]);
		for (uint32_t m = 0; m < block->masks && st == PL_OK; m++)
			st = sample_mask(p, &s, block->first + m, err);
	}
	sample_free(&s);
	return st;
}

/* ---- units ---- */

static enum pl_status fit_memory(struct pl_join_plan *p, uint64_t memory, struct pl_err *err)
{
	uint64_t entries = p->join.n, words = (uint64_t)p->join.n * sizeof(uint64_t), bytes, places;
	uint32_t nwords;

	for (;; p->range_bits++) {
		if (p->range_bits > 0)
			entries = (p->join.n >> p->range_bits) + (p->join.n >> p->range_bits >> 3) + 1;   /* keys are not even */
		bytes = FIXED_BYTES + entries * sizeof(uint64_t);
		if (bytes <= memory && p->join.n >> p->range_bits <= (uint64_t)1 << PL_RANGE_ENTRIES_LOG2)
			break;
		if (p->range_bits == PL_RANGE_BITS || entries <= RANGE_LEAST)
			return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
			    "a join of %u hashes needs at least %u MiB of scratch memory, and is given %u", (unsigned)p->join.n,
			    (unsigned)(bytes >> 20) + 1, (unsigned)(memory >> 20));
	}
	p->part_bits = pl_join_part_bits(p->cover.kind, p->join.n >> p->range_bits);
	nwords = memory - bytes >= words;
	bytes += nwords * words;
	places = pl_spread_places(p->join.n, p->part_bits);
	if (p->range_bits > 0 || places < entries || memory - bytes < (places - entries) * sizeof(uint64_t))
		places = entries;
	bytes += (places - entries) * sizeof(uint64_t);
	if (nwords == 1 && p->cover.nblocks > 1 && memory - bytes >= words) {
		nwords++;
		bytes += words;
	}
	p->scratch_bytes = bytes;
	return pl_scratch_new(p, nwords, entries, places, err);
}

static void count_units(struct pl_join_plan *p)
{
	p->units = (uint64_t)p->nfamilies << p->range_bits;
	for (size_t i = 0; i < p->nhot; i++)
		p->units += p->hot[i].shares;
}

/* Without a cover: parts of tiles. */
static void count_parts(struct pl_join_plan *p)
{
	uint64_t blocks = ((uint64_t)p->join.n + PL_JOIN_TILE - 1) / PL_JOIN_TILE, tiles = blocks * (blocks + 1) / 2;
	uint64_t parts = (tiles + TILES_PER_PART - 1) / TILES_PER_PART;

	p->parts = parts < 1 ? 1 : parts > 1u << 20 ? 1u << 20 : (uint32_t)parts;
	p->units = p->parts;
}

/* ---- the plan ---- */

static enum pl_cover_kernel cover_kernel(enum pl_join_kernel kernel)
{
	if (kernel == PL_JOIN_AVX512)
		return pl_cover_kernel_best();
	return kernel == PL_JOIN_POPCNT && pl_cover_kernel_usable(PL_COVER_AVX2) ? PL_COVER_AVX2 : PL_COVER_PORTABLE;
}

void pl_join_kernels(struct pl_join_plan *p)
{
	enum pl_join_kernel kernel = p->how.kernel;
	enum pl_cover_kernel cover = cover_kernel(kernel);

	p->scan = pl_join_scan(kernel);
	p->verify = pl_join_verify(kernel);
	p->keep = pl_join_keep(kernel);
	p->group = pl_group_kernel(kernel);
	p->words = pl_cover_words(cover);
	p->keys = pl_cover_keys(cover);
	p->count = pl_cover_count(cover);
	p->spread = pl_cover_spread(cover);
}

static enum pl_status look_at_hashes(struct pl_join_plan *p, struct pl_err *err)
{
	const struct pl_join *j = &p->join;
	unsigned distance = j->distance;
	enum pl_status st = PL_OK;

	if (!j->permuted)
		st = pl_cover_permute(cover_kernel(p->how.kernel), j->bits, j->hashes, j->n, err);
	if (st != PL_OK)
		return st;
	if (distance % 2 == 1 && pl_cover_even(pl_join_hashes(p), j->n))
		distance--;
	p->base = pl_join_base(j);
	return p->how.nblocks > 0 ? pl_cover_make(&p->cover, p->how.kind, j->bits, distance, p->how.nblocks, p->base, err)
	                          : pl_cover_choose(&p->cover, j->bits, distance, j->n, p->base, err);
}

static enum pl_status make_plan(struct pl_join_plan *p, uint64_t memory, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (p->join.n >= SMALL || p->how.nblocks > 0)
		st = look_at_hashes(p, err);
	if (st == PL_OK && p->cover.nblocks > 0)
		st = find_hot(p, err);
	if (st == PL_OK && p->cover.nblocks > 0)
		st = fit_memory(p, memory, err);
	if (st == PL_OK && p->cover.nblocks > 0)
		st = pl_join_families(p, err);
	if (st != PL_OK)
		return st;
	if (p->cover.nblocks > 0)
		count_units(p);
	else
		count_parts(p);
	return PL_OK;
}

enum pl_status pl_join_plan_with(struct pl_join_plan **out, const struct pl_join *j, const struct pl_join_how *how,
    uint64_t memory, struct pl_err *err)
{
	unsigned bits = j->bits ? j->bits : 256;
	struct pl_join_plan *p;
	enum pl_status st;

	if ((bits != 64 && bits != 256) || j->distance > 256 || j->n > UINT32_MAX - 1)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no join of %u hashes of %u bits at distance %u", (unsigned)j->n,
		    bits, j->distance);
	if (!pl_join_scan(how->kernel))
		return pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_JOB, NULL, "this processor has no kernel '%s'",
		    pl_join_kernel_name(how->kernel));
	p = calloc(1, sizeof(*p));
	if (!p)
		return pl_fail_nomem(err);
	p->join = *j;
	p->join.bits = bits;
	p->how = *how;
	if (p->how.hot_size == 0)
		p->how.hot_size = HOT_SIZE;
	if (p->how.count_sample == 0)
		p->how.count_sample = COUNT_SAMPLE;
	pl_join_kernels(p);
	st = make_plan(p, memory, err);
	if (st != PL_OK) {
		pl_join_plan_free(p);
		return st;
	}
	*out = p;
	return PL_OK;
}

enum pl_status pl_join_plan_new(struct pl_join_plan **p, const struct pl_join *j, uint64_t memory, struct pl_err *err)
{
	const struct pl_join_how how = {.kernel = pl_join_best()};

	return pl_join_plan_with(p, j, &how, memory, err);
}

void pl_join_plan_free(struct pl_join_plan *p)
{
	if (!p)
		return;
	pl_cover_release(&p->cover);
	pl_scratch_free(&p->s);
	free(p->hot);
	free(p->family);
	free(p);
}

uint64_t pl_join_plan_units(const struct pl_join_plan *p)
{
	return p->units;
}

enum pl_status pl_join_unit(struct pl_join_plan *p, uint64_t unit, struct pl_buf *out, struct pl_err *err)
{
	uint64_t ranges = (uint64_t)1 << p->range_bits;

	if (unit >= p->units)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "the join has no unit %llu", (unsigned long long)unit);
	if (p->cover.nblocks == 0)
		return pl_join_part_with(&p->join, p->how.kernel, (uint32_t)unit, p->parts, out, err);
	if (unit < p->nfamilies * ranges)
		return pl_join_range(p, &p->family[unit / ranges], unit % ranges, out, err);
	unit -= p->nfamilies * ranges;
	for (const struct pl_hot *hot = p->hot;; hot++) {
		if (unit < hot->shares)
			return pl_join_hot(p, hot, (uint32_t)unit, out, err);
		unit -= hot->shares;
	}
}
