/* SPDX-License-Identifier: Apache-2.0 */
/* Which samples an output shard holds, in which order: arithmetic on the plan,
 * nothing stored. */
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"
#include "plan_draw.h"

uint64_t pl_first_draw(uint64_t q, uint64_t k, uint64_t K)
{
	return q / K * k + q % K * k / K;
}

/* One draw of one source on its way to its slot. */
struct draw { uint64_t j, pass; size_t slot; };

static int compare_draws(const void *x, const void *y)
{
	const struct draw *a = x, *b = y;

	if (a->j != b->j)
		return a->j < b->j ? -1 : 1;
	return (a->pass > b->pass) - (a->pass < b->pass);
}

struct filler {
	const struct pl_plan *p;
	struct pl_perm mix;       /* of the shard's slots */
	struct pl_slot *slots;
	struct draw *draws;
	size_t at;                /* slots filled, before mixing */
};

enum pl_status pl_pass_order(const struct pl_plan *p, size_t i, struct pl_select *select, uint64_t pass, struct pl_order **order,
    struct pl_err *err)
{
	const struct pl_plan_source *s = &p->sources[i];
	uint64_t left = s->quota - pass * s->available;
	bool whole = left >= s->available;
	const struct pl_order_way way = {p->seed, s->name, pass, p->fan_in, whole ? 0 : s->groups};

	return pl_select_order(select, &way, whole ? s->available : left, order, err);
}

/* The draws of source s in [from, to). Rows are looked up in the order of the tables. */
static enum pl_status fill_source(struct filler *f, size_t s, uint64_t from, uint64_t to,
    struct pl_select *select, struct pl_err *err)
{
	const struct pl_plan_source *src = &f->p->sources[s];
	size_t n = 0;
	struct pl_order *order = NULL;

	for (uint64_t i = from; i < to; i++) {
		uint64_t pass = i / src->available;
		enum pl_status st = n == 0 || i % src->available == 0 ? pl_pass_order(f->p, s, select, pass, &order, err) : PL_OK;
		if (st != PL_OK)
			return st;
		f->draws[n++] = (struct draw){pl_order_at(order, i % src->available), pass,
		    (size_t)pl_perm_inverse(&f->mix, f->at++)};
	}
	if (n > 1)
		qsort(f->draws, n, sizeof(*f->draws), compare_draws);
	for (size_t i = 0; i < n; i++) {
		struct pl_slot *slot = &f->slots[f->draws[i].slot];
		enum pl_status st = pl_select_at(select, f->draws[i].j, &slot->shard, &slot->row, err);
		if (st != PL_OK)
			return st;
		slot->source = (uint32_t)s;
		slot->pass = f->draws[i].pass;
	}
	return PL_OK;
}

static enum pl_status check(
    const struct pl_plan *p, uint64_t k, struct pl_select *const *selects, struct pl_err *err)
{
	if (k >= p->shards)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "output shard %llu of %llu",
		    (unsigned long long)k, (unsigned long long)p->shards);
	for (size_t i = 0; i < p->nsources; i++) {
		uint64_t now = pl_select_totals(selects[i]).samples;
		if (p->sources[i].available != now)
			return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, p->sources[i].corpus,
			    "source '%s' has %llu samples now, %llu when the plan was made: plan again",
			    p->sources[i].name, (unsigned long long)now, (unsigned long long)p->sources[i].available);
	}
	return PL_OK;
}

enum pl_status pl_plan_slots(const struct pl_plan *p, uint64_t k, struct pl_select *const *selects,
    struct pl_slot **slots, size_t *n, struct pl_err *err)
{
	struct filler f = {.p = p};
	uint64_t total = 0, most = 0;
	enum pl_status st = check(p, k, selects, err);

	if (st != PL_OK)
		return st;
	for (size_t s = 0; s < p->nsources; s++) {
		uint64_t q = p->sources[s].quota;
		uint64_t mine = pl_first_draw(q, k + 1, p->shards) - pl_first_draw(q, k, p->shards);
		total += mine;
		most = mine > most ? mine : most;
	}
	if (total > UINT32_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
		    "more than 2^32 - 1 samples in one output shard");
	f.slots = calloc((size_t)total + 1, sizeof(*f.slots));
	f.draws = calloc((size_t)most + 1, sizeof(*f.draws));
	if (!f.slots || !f.draws)
		st = pl_fail_nomem(err);
	else if (total > 0)
		pl_perm_init(&f.mix, total, p->seed, pl_draw64(0x736861726473u, k, 2));
	for (size_t s = 0; st == PL_OK && s < p->nsources; s++) {
		uint64_t q = p->sources[s].quota;
		st = fill_source(&f, s, pl_first_draw(q, k, p->shards),
		    pl_first_draw(q, k + 1, p->shards), selects[s], err);
	}
	free(f.draws);
	if (st != PL_OK) {
		free(f.slots);
		return st;
	}
	*slots = f.slots;
	*n = (size_t)total;
	return PL_OK;
}
