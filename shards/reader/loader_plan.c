/* SPDX-License-Identifier: Apache-2.0 */
/* Which samples a batch has and which pieces they lie in. One thread plans at a time, and it alone opens shards. */
#include <stdlib.h>
#include <string.h>

#include "loader_impl.h"
#include "room.h"

enum { AT_ONCE = 512 };   /* samples planned in one go, or one batch */

static struct shard_piece **bucket_of(struct shard_loader *l, size_t shard, uint32_t number)
{
	uint64_t h = ((uint64_t)shard * 0x9E3779B97F4A7C15u) ^ ((uint64_t)number * 0xC2B2AE3D27D4EB4Fu);
	return &l->buckets[(h >> 40) % SHARD_BUCKETS];
}

static struct shard_piece *find_piece(struct shard_loader *l, const struct shard_opened *o, uint32_t number)
{
	struct shard_piece *p = *bucket_of(l, o->shard, number);
	while (p && (p->o != o || p->number != number))
		p = p->chain;
	return p;
}

/* o has a user more, which passes to the piece. */
static struct shard_piece *new_piece(struct shard_loader *l, struct shard_opened *o, uint32_t number, uint64_t ticket)
{
	struct shard_piece *p = calloc(1, sizeof *p), **bucket = bucket_of(l, o->shard, number);
	if (!p)
		return NULL;
	p->o = o;
	p->number = number;
	p->first_batch = ticket;
	p->last_batch = UINT64_MAX;
	p->chain = *bucket;
	*bucket = p;
	*l->wanted_end = p;
	l->wanted_end = &p->behind;
	return p;
}

void shard_piece_free(struct shard_loader *l, struct shard_piece *p)
{
	struct shard_piece **at = bucket_of(l, p->o->shard, p->number);
	while (*at != p)
		at = &(*at)->chain;
	*at = p->chain;
	if (p->bytes) {
		l->in_use -= p->cap;
		if (l->nspare < PL_ARRAY_LEN(l->spare)) {
			l->spare[l->nspare].bytes = p->bytes;
			l->spare[l->nspare++].cap = p->cap;
			l->spare_bytes += p->cap;
		} else {
			shard_room_free(p->bytes, p->cap);
		}
	}
	shard_set_drop(&l->set, p->o);
	free(p->err);
	free(p);
}

/* What no planned batch has and no later one will have. */
static void sweep(struct shard_loader *l)
{
	for (size_t b = 0; b < SHARD_BUCKETS; b++)
		for (struct shard_piece *p = l->buckets[b], *next; p; p = next) {
			next = p->chain;
			if (p->refs == 0 && p->until <= l->needed_from && p->state >= PIECE_READY)
				shard_piece_free(l, p);
		}
}

void shard_job_let_go(struct shard_loader *l, struct shard_job *j)
{
	for (size_t i = 0; i < j->npieces; i++) {
		struct shard_piece *p = j->pieces[i];
		if (--p->refs == 0 && p->until <= l->needed_from)
			shard_piece_free(l, p);
	}
	j->npieces = 0;
}

void shard_loader_note(struct shard_loader *l, enum pl_status status, const struct pl_err *err)
{
	if (l->damaged != PL_OK)
		return;
	l->damaged = status;
	l->damage = *err;
}

/* The shard with one user more; NULL: lost, or *status is a failure. Lets go of the lock to open it. */
static struct shard_opened *shard_of(struct shard_loader *l, size_t k, enum pl_status *status, struct pl_err *err)
{
	struct shard_opened *o = NULL;
	*status = PL_OK;
	if (l->lost[k])
		return NULL;
	o = shard_set_find(&l->set, k);
	if (o)
		return o;
	pthread_mutex_unlock(&l->lock);
	*status = shard_set_open(&l->set, k, &o, err);
	pthread_mutex_lock(&l->lock);
	if (*status == PL_OK) {
		shard_set_put(&l->set, o);
	} else if (shard_damage(*status) && l->o.on_damage == SHARD_DAMAGE_SKIP) {
		l->lost[k] = 1;
		l->stats.skipped_shards++;
		shard_loader_note(l, *status, err);
		*status = PL_OK;
	}
	return o;
}

/* Behind which position no sample of the piece is wanted. */
static uint64_t until(const struct shard_loader *l, const struct shard_piece *p, uint64_t window_end)
{
	if (l->order.block)
		return window_end;
	return shard_dataset_shard(l->d, p->o->shard).first + p->o->pieces[p->number + 1].first;
}

static enum pl_status add_piece(struct shard_loader *l, struct shard_job *j, struct shard_piece *p, uint64_t window_end,
    struct pl_err *err)
{
	uint64_t end = until(l, p, window_end);
	if (p->until < end)
		p->until = end;
	if (p->last_batch == j->ticket)
		return PL_OK;
	if (j->npieces == j->pieces_cap) {
		size_t cap = j->pieces_cap ? 2 * j->pieces_cap : 32;
		struct shard_piece **pieces = realloc(j->pieces, cap * sizeof(*pieces));
		if (!pieces)
			return pl_fail_nomem(err);
		j->pieces = pieces;
		j->pieces_cap = cap;
	}
	p->last_batch = j->ticket;
	p->refs++;
	j->pieces[j->npieces++] = p;
	return PL_OK;
}

static enum pl_status plan_item(struct shard_loader *l, struct shard_job *j, struct shard_item *item, uint64_t window_end,
    struct pl_err *err)
{
	enum pl_status status;
	size_t k = shard_dataset_locate(l->d, item->number);
	struct shard_opened *o = shard_of(l, k, &status, err);
	if (!o)
		return status;
	item->in_shard = item->number - shard_dataset_shard(l->d, k).first;
	uint32_t number = shard_opened_piece(o, item->in_shard);
	struct shard_piece *p = find_piece(l, o, number);
	if (p)
		shard_set_drop(&l->set, o);
	else
		p = new_piece(l, o, number, j->ticket);
	if (!p) {
		shard_set_drop(&l->set, o);
		return pl_fail_nomem(err);
	}
	item->piece = p;
	return add_piece(l, j, p, window_end, err);
}

static enum pl_status plan_items(struct shard_loader *l, struct shard_job *j, uint64_t from, size_t n, struct pl_err *err)
{
	struct shard_order_window w = {0};
	enum pl_status status = PL_OK;
	if (n > j->items_cap) {
		free(j->items);
		j->items = calloc(n, sizeof *j->items);
		j->items_cap = j->items ? n : 0;
		if (!j->items)
			return pl_fail_nomem(err);
	}
	pthread_mutex_unlock(&l->lock);
	shard_order_range(&l->order, from, n, l->numbers);
	pthread_mutex_lock(&l->lock);
	for (size_t i = 0; i < n && status == PL_OK; i++) {
		uint64_t position = from + i;
		if (position >= w.end)
			w = shard_order_window(&l->order, position);
		j->items[i] = (struct shard_item) { .position = position, .number = l->numbers[i] };
		j->nitems = i + 1;
		status = plan_item(l, j, &j->items[i], w.end, err);
	}
	return status;
}

/* Batch number `which` of this worker, its slice of the global one. */
static void plan_batch(struct shard_loader *l, struct shard_job *j, uint64_t which)
{
	uint64_t k = which * l->o.workers + l->o.worker, begin = l->o.position + k * l->o.batch;
	uint64_t size = l->total - begin < l->o.batch ? l->total - begin : l->o.batch;
	uint64_t from = begin + size * l->o.rank / l->o.world, to = begin + size * (l->o.rank + 1) / l->o.world;
	struct pl_err err;
	j->ticket = which;
	j->batch.number = l->first_number + k;
	j->batch.position = begin;
	j->batch.end = begin + size;
	enum pl_status status = plan_items(l, j, from, (size_t)(to - from), &err);
	if (status != PL_OK)
		shard_job_fail(j, status, &err);
	l->needed_from = begin + l->o.workers * l->o.batch;
	l->planned_samples += j->nitems + 1;
}

void shard_job_fail(struct shard_job *j, enum pl_status status, const struct pl_err *err)
{
	j->status = status;
	j->err = malloc(sizeof *j->err);
	if (j->err)
		*j->err = *err;
}

static struct shard_job *take_job(struct shard_loader *l)
{
	struct shard_job *j = l->idle;
	if (j) {
		l->idle = j->next;
		return j;
	}
	j = calloc(1, sizeof *j);
	if (j) {
		j->all = l->all;
		l->all = j;
	}
	return j;
}

/* Not for every batch that leaves the line, but in goes of some size. */
bool shard_loader_may_plan(const struct shard_loader *l)
{
	return !l->planning && l->planned < l->batches && (!l->line || l->planned_samples < l->horizon - l->horizon / 4);
}

void shard_loader_plan(struct shard_loader *l)
{
	bool alone = l->o.threads == 0;
	uint64_t most = l->planned_samples + AT_ONCE < l->horizon ? l->planned_samples + AT_ONCE : l->horizon;
	l->planning = true;
	while (!l->stop && l->planned < l->batches && (!l->line || (!alone && l->planned_samples < most))) {
		struct shard_job *j = take_job(l);
		if (!j) {
			l->failed = pl_fail_nomem(&l->failure);
			break;
		}
		plan_batch(l, j, l->planned);
		l->planned++;
		j->next = NULL;
		*l->line_end = j;
		l->line_end = &j->next;
		if (l->wanted)
			pthread_cond_broadcast(&l->work);
	}
	sweep(l);
	l->planning = false;
	pthread_cond_broadcast(&l->work);
	pthread_cond_signal(&l->ready);
}
