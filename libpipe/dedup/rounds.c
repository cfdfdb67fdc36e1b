/* SPDX-License-Identifier: Apache-2.0 */
/* One part's side of the rounds. Its own decisions count at once, in the order of
 * priority, so a chain inside a part is decided in one round. */
#include "rounds.h"

#include <stdlib.h>
#include <string.h>


enum { POLL_EVERY = 1 << 18 };   /* pairs */

static int compare_pairs(const void *x, const void *y)
{
	const struct pl_link *p = x, *q = y;
	uint64_t b = pl_link_b(p), c = pl_link_b(q);

	if (b != c)
		return b < c ? -1 : 1;
	if (p->distance != q->distance)
		return p->distance < q->distance ? -1 : 1;
	return (p->a > q->a) - (p->a < q->a);
}

enum pl_status pl_star_sort(uint64_t first, uint64_t end, struct pl_link *pairs, size_t npairs, uint64_t spare, pl_poll *poll,
    void *ctx, struct pl_err *err)
{
	for (size_t i = 0; i < npairs; i++) {
		enum pl_status st = poll && i % POLL_EVERY == POLL_EVERY - 1 ? poll(ctx, err) : PL_OK;
		uint64_t b = pl_link_b(&pairs[i]);
		if (st != PL_OK)
			return st;
		if (pairs[i].a >= b || b < first || b >= end || pairs[i].distance > 256)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "pair (%llu, %llu) at distance %u is none of items %llu to %llu",
			    (unsigned long long)pairs[i].a, (unsigned long long)b, (unsigned)pairs[i].distance, (unsigned long long)first,
			    (unsigned long long)end);
	}
	return pl_sort_within(pairs, npairs, sizeof(*pairs), compare_pairs, spare, poll, ctx, err);
}

/* n pairs more were looked at. */
static enum pl_status tick(struct pl_star_part *p, uint64_t n, struct pl_err *err)
{
	p->seen += n;
	if (p->seen < POLL_EVERY)
		return PL_OK;
	p->seen = 0;
	return p->poll ? p->poll(p->ctx, err) : PL_OK;
}

static enum pl_status tell(struct pl_buf *news, uint64_t node, enum pl_star_state state, struct pl_err *err)
{
	pl_star_news n = node << 2 | (pl_star_news)state;

	return pl_buf_add(news, &n, sizeof(n), err);
}

enum pl_status pl_star_part_init(struct pl_star_part *p, uint64_t first, uint64_t end, const struct pl_link *pairs, size_t npairs,
    pl_poll *poll, void *ctx, struct pl_buf *news, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	size_t groups = 0;

	*p = (struct pl_star_part){.first = first, .end = end, .pairs = pairs, .npairs = npairs, .poll = poll, .ctx = ctx};
	for (size_t i = 0; i < npairs && st == PL_OK; i++) {
		groups += i == 0 || pl_link_b(&pairs[i]) != pl_link_b(&pairs[i - 1]);
		st = tick(p, 1, err);
	}
	p->own = calloc((size_t)(end - first) + 1, 1);
	p->open = malloc((groups + 1) * sizeof(*p->open));
	if (st == PL_OK && (!p->own || !p->open))
		st = pl_fail_nomem(err);
	for (size_t i = 0; i < npairs && st == PL_OK; i++) {
		uint64_t b = pl_link_b(&pairs[i]);
		if ((st = tick(p, 1, err)) != PL_OK || (i > 0 && b == pl_link_b(&pairs[i - 1])))
			continue;
		p->open[p->nopen++] = i;
		p->own[b - first] = PL_STATE_UNDECIDED;
		st = tell(news, b, PL_STATE_UNDECIDED, err);
	}
	if (st != PL_OK)
		pl_star_part_release(p);
	return st;
}

void pl_star_part_release(struct pl_star_part *p)
{
	free(p->own);
	free(p->open);
	*p = (struct pl_star_part){0};
}

static enum pl_star_state state_of(const struct pl_star_part *p, const uint8_t *states, uint64_t node)
{
	return node >= p->first ? (enum pl_star_state)p->own[node - p->first] : pl_star_state(states, node);
}

static enum pl_star_state judge(const struct pl_star_part *p, const uint8_t *states, size_t from)
{
	enum pl_star_state verdict = PL_STATE_KEPT;
	uint64_t b = pl_link_b(&p->pairs[from]);

	for (size_t i = from; i < p->npairs && pl_link_b(&p->pairs[i]) == b; i++) {
		enum pl_star_state s = state_of(p, states, p->pairs[i].a);
		if (s == PL_STATE_KEPT)
			return PL_STATE_DROPPED;
		if (s == PL_STATE_UNDECIDED)
			verdict = PL_STATE_UNDECIDED;
	}
	return verdict;
}

enum pl_status pl_star_round(struct pl_star_part *p, const uint8_t *states, struct pl_buf *news, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	size_t left = 0;
	uint64_t last = 0;

	for (size_t i = 0; i < p->nopen && st == PL_OK; i++) {
		uint64_t b = pl_link_b(&p->pairs[p->open[i]]);
		enum pl_star_state s = judge(p, states, p->open[i]);
		uint64_t at = p->open[i];
		st = tick(p, at - last, err);   /* those passed over are near those that were looked at, and come with them */
		last = at;
		if (s == PL_STATE_UNDECIDED) {
			p->open[left++] = p->open[i];
			continue;
		}
		p->own[b - p->first] = (uint8_t)s;
		st = tell(news, b, s, err);
	}
	p->nopen = left;
	return st;
}

enum pl_status pl_star_part_end(struct pl_star_part *p, const uint8_t *states, uint64_t *survivor, uint16_t *distance, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (uint64_t i = 0; i < p->end - p->first; i++) {
		survivor[i] = PL_NODE_NONE;
		distance[i] = 0;
	}
	for (size_t i = 0; i < p->npairs && st == PL_OK; i++) {
		uint64_t b = pl_link_b(&p->pairs[i]) - p->first;
		st = tick(p, 1, err);
		if (p->own[b] != PL_STATE_DROPPED || survivor[b] != PL_NODE_NONE)
			continue;
		if (state_of(p, states, p->pairs[i].a) == PL_STATE_KEPT) {
			survivor[b] = p->pairs[i].a;
			distance[b] = p->pairs[i].distance;
		}
	}
	return st;
}

void pl_star_apply(uint8_t *states, const pl_star_news *news, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t node = news[i] >> 2;
		unsigned shift = (unsigned)(node % 4) * 2;
		states[node / 4] = (uint8_t)((states[node / 4] & ~(3u << shift)) | (unsigned)(news[i] & 3) << shift);
	}
}
