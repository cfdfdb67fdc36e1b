/* SPDX-License-Identifier: Apache-2.0 */
/* Records from part to part, in batches: what is under way never takes more than
 * some MiB per part, however many records there are. */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

#include "sort.h"

enum { SAMPLES = 64 };                          /* of each part, for a sort */
#define BATCH ((uint64_t)8 << 20)               /* bytes that a part deals out at once */
#define UNBOUNDED ((size_t)1 << 46)

/* ---- one part alone ---- */

static enum pl_status alone_agree(void *ctx, enum pl_status mine, struct pl_err *err)
{
	(void)ctx, (void)err;
	return mine;
}

static enum pl_status alone_exchange(void *ctx, const struct pl_buf *to, struct pl_buf *from, struct pl_err *err)
{
	(void)ctx;
	pl_buf_clear(from);
	return to->len > 0 ? pl_buf_add(from, to->data, to->len, err) : PL_OK;
}

static void alone_sum(void *ctx, uint64_t *values, size_t n)
{
	(void)ctx, (void)values, (void)n;
}

static enum pl_status alone_share(void *ctx, struct pl_share *s, uint64_t bytes, uint64_t held, const char *what, struct pl_err *err)
{
	(void)ctx, (void)held, (void)what;
	s->data = calloc((size_t)bytes + 1, 1);
	s->bytes = bytes;
	return s->data ? PL_OK : pl_fail_nomem(err);
}

static void alone_settle(void *ctx, struct pl_share *s)
{
	(void)ctx, (void)s;
}

static void alone_unshare(void *ctx, struct pl_share *s)
{
	(void)ctx;
	free(s->data);
	*s = (struct pl_share){0};
}

static bool alone_fits(void *ctx, uint64_t bytes, uint64_t held)
{
	(void)ctx, (void)bytes, (void)held;
	return true;
}

static uint64_t alone_room(void *ctx, uint64_t held)
{
	(void)ctx, (void)held;
	return (uint64_t)4 << 30;
}

static enum pl_status never(void *ctx, struct pl_err *err)
{
	(void)ctx, (void)err;
	return PL_OK;
}

void pl_parts_alone(struct pl_parts *p, enum pl_status (*poll)(void *ctx, struct pl_err *err), void *ctx)
{
	static const uint32_t leaders[1] = {0};

	*p = (struct pl_parts){.parts = 1, .leaders = leaders, .nodes = 1, .ctx = ctx, .poll = poll ? poll : never, .agree = alone_agree,
	    .exchange = alone_exchange, .sum = alone_sum, .share = alone_share, .settle = alone_settle, .unshare = alone_unshare,
	    .fits = alone_fits, .room = alone_room};
}

/* ---- dealing ---- */

static struct pl_buf *make_bufs(uint32_t n, struct pl_err *err)
{
	struct pl_buf *b = calloc(n, sizeof(*b));

	for (uint32_t i = 0; b && i < n; i++)
		pl_buf_init(&b[i], UNBOUNDED);
	if (!b)
		(void)pl_fail_nomem(err);
	return b;
}

static void free_bufs(struct pl_buf *b, uint32_t n)
{
	for (uint32_t i = 0; b && i < n; i++)
		pl_buf_release(&b[i]);
	free(b);
}

enum pl_status pl_parts_stream(const struct pl_parts *p, enum pl_status st, struct pl_parts_stream *s, struct pl_err *err)
{
	uint64_t more = 1;

	if (!s->to) {
		s->to = make_bufs(p->parts, err);
		pl_buf_init(&s->from, UNBOUNDED);
	}
	if (st == PL_OK && !s->to)
		st = PL_ERR_NOMEM;
	for (uint32_t i = 0; s->to && i < p->parts; i++)
		pl_buf_clear(&s->to[i]);
	while (more > 0) {
		more = 0;
		if (st == PL_OK)
			st = s->fill(s->ctx, s->to, &more, err);
		if (st == PL_OK)
			st = p->poll(p->ctx, err);
		if ((st = p->agree(p->ctx, st, err)) != PL_OK)
			break;
		st = p->exchange(p->ctx, s->to, &s->from, err);
		for (uint32_t i = 0; i < p->parts; i++)
			pl_buf_clear(&s->to[i]);
		if (st == PL_OK && s->from.len > 0)
			st = s->take(s->ctx, &s->from, err);
		p->sum(p->ctx, &more, 1);
	}
	return p->agree(p->ctx, st, err);
}

void pl_parts_stream_release(const struct pl_parts *p, struct pl_parts_stream *s)
{
	free_bufs(s->to, p->parts);
	pl_buf_release(&s->from);
	s->to = NULL;
}

struct deal { size_t size; pl_parts_next *next; void *ctx; struct pl_buf *in; };

/* Add up to a batch to the buffers; *more: there may be others. */
static enum pl_status deal_batch(void *ctx, struct pl_buf *to, uint64_t *more, struct pl_err *err)
{
	const struct deal *d = ctx;
	uint64_t left = BATCH / d->size + 1;
	enum pl_status st = PL_OK;
	const void *record;
	uint32_t part;

	for (; left > 0 && st == PL_OK; left--) {
		if (!d->next(d->ctx, &record, &part))
			break;
		st = pl_buf_add(&to[part], record, d->size, err);
	}
	*more = left == 0;
	return st;
}

static enum pl_status take_batch(void *ctx, const struct pl_buf *from, struct pl_err *err)
{
	const struct deal *d = ctx;

	return pl_buf_add(d->in, from->data, from->len, err);
}

enum pl_status pl_parts_deal(const struct pl_parts *p, enum pl_status st, size_t size, pl_parts_next *next, void *ctx, struct pl_buf *in,
    struct pl_err *err)
{
	struct deal d = {size, next, ctx, in};
	struct pl_parts_stream s = {.fill = deal_batch, .take = take_batch, .ctx = &d};

	st = pl_parts_stream(p, st, &s, err);
	pl_parts_stream_release(p, &s);
	return st;
}

/* ---- the same for all ---- */

enum pl_status pl_parts_tell(const struct pl_parts *p, enum pl_status st, bool everybody, const void *mine, uint64_t len, size_t size,
    struct pl_buf *all, struct pl_err *err)
{
	uint64_t batch = (BATCH / p->parts / size + 64) * size, at = 0, more = 1;
	struct pl_buf from, *to = calloc(p->parts, sizeof(*to));

	pl_buf_init(&from, UNBOUNDED);
	if (st == PL_OK && !to)
		st = pl_fail_nomem(err);
	while (more > 0) {
		uint64_t n = len - at < batch ? len - at : batch;
		if (st == PL_OK)
			st = p->poll(p->ctx, err);
		st = p->agree(p->ctx, st, err);
		if (st != PL_OK || !to)
			break;
		/* borrowed: an exchange only reads them */
		for (uint32_t i = 0; i < (everybody ? p->parts : p->nodes); i++) {
			uint32_t part = everybody ? i : p->leaders[i];
			to[part].data = n > 0 ? (uint8_t *)(uintptr_t)((const uint8_t *)mine + at) : NULL;
			to[part].len = (size_t)n;
		}
		at += n;
		st = p->exchange(p->ctx, to, &from, err);
		if (st == PL_OK && from.len > 0)
			st = pl_buf_add(all, from.data, from.len, err);
		more = at < len;
		p->sum(p->ctx, &more, 1);
	}
	pl_buf_release(&from);
	free(to);
	return p->agree(p->ctx, st, err);
}

/* ---- spreading ---- */

struct slice { uint64_t offset, len; };

/* What came: slices, each followed by its bytes. */
static void take_slices(struct pl_share *s, const struct pl_buf *from)
{
	for (size_t at = 0; at + sizeof(struct slice) <= from->len;) {
		struct slice slice;
		memcpy(&slice, from->data + at, sizeof(slice));
		at += sizeof(slice);
		if (slice.len > 0)
			memcpy((uint8_t *)s->data + slice.offset, from->data + at, (size_t)slice.len);
		at += (size_t)slice.len;
	}
}

static enum pl_status send_slice(const struct pl_parts *p, const struct pl_share *s, struct slice slice, struct pl_buf *own,
    struct pl_buf *to, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	pl_buf_clear(own);
	if (slice.len > 0) {
		st = pl_buf_add(own, &slice, sizeof(slice), err);
		if (st == PL_OK)
			st = pl_buf_add(own, (const uint8_t *)s->data + slice.offset, (size_t)slice.len, err);
	}
	for (uint32_t i = 0; i < p->nodes; i++) {
		to[p->leaders[i]].data = own->data;
		to[p->leaders[i]].len = p->leaders[i] == p->leader ? 0 : own->len;
	}
	return st;
}

enum pl_status pl_parts_spread(const struct pl_parts *p, struct pl_share *s, uint64_t offset, uint64_t len, struct pl_err *err)
{
	uint64_t batch = BATCH / p->parts + 65536, at = 0, more = p->nodes > 1;
	struct pl_buf from, own, *to = calloc(p->parts, sizeof(*to));
	enum pl_status st = to ? PL_OK : pl_fail_nomem(err);

	pl_buf_init(&from, UNBOUNDED);
	pl_buf_init(&own, UNBOUNDED);
	while (more > 0) {
		uint64_t n = len - at < batch ? len - at : batch;
		if (st == PL_OK && to)
			st = send_slice(p, s, (struct slice){offset + at, n}, &own, to, err);
		if (st == PL_OK)
			st = p->poll(p->ctx, err);
		if ((st = p->agree(p->ctx, st, err)) != PL_OK)
			break;
		at += n;
		st = p->exchange(p->ctx, to, &from, err);
		if (st == PL_OK)
			take_slices(s, &from);
		more = at < len;
		p->sum(p->ctx, &more, 1);
	}
	pl_buf_release(&from);
	pl_buf_release(&own);
	free(to);
	st = p->agree(p->ctx, st, err);
	p->settle(p->ctx, s);
	return st;
}

/* ---- sorting ---- */

struct range_deal {
	const uint8_t *records, *splitters;
	size_t n, at, size;
	uint32_t parts;
	int (*compare)(const void *a, const void *b);
};

/* The splitters not behind the record: their number is its part. */
static bool next_by_range(void *ctx, const void **record, uint32_t *to)
{
	struct range_deal *d = ctx;
	uint32_t lo = 0, hi = d->parts - 1;

	if (d->at == d->n)
		return false;
	*record = d->records + d->at++ * d->size;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (d->compare(d->splitters + mid * d->size, *record) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*to = lo;
	return true;
}

/* Every part takes its samples at other places of its order, so that all of them together stand evenly. */
static enum pl_status take_samples(const struct pl_parts *p, const struct pl_buf *sorted, size_t size, struct pl_buf *mine, struct pl_err *err)
{
	uint64_t n = sorted->len / size, all = (uint64_t)SAMPLES * p->parts;
	enum pl_status st = PL_OK;

	for (uint64_t k = 0; k < SAMPLES && n > 0 && st == PL_OK; k++) {
		uint64_t at = (uint64_t)((double)n * (double)(k * p->parts + p->part) / (double)all);
		st = pl_buf_add(mine, sorted->data + (at < n ? at : n - 1) * size, size, err);
	}
	return st;
}

static void keep_splitters(struct pl_buf *samples, size_t size, uint32_t parts)
{
	uint64_t n = samples->len / size;

	for (uint64_t k = 1; k < parts && n > 0; k++)   /* never from behind where it reads */
		memmove(samples->data + (k - 1) * size, samples->data + k * n / parts * size, size);
}

enum pl_status pl_parts_sort(const struct pl_parts *p, struct pl_buf *records, size_t size, int (*compare)(const void *a, const void *b),
    struct pl_err *err)
{
	struct pl_buf mine, samples, in;
	struct range_deal deal;
	enum pl_status st = pl_sort(records->data, records->len / size, size, compare, p->poll, p->ctx, err);

	if (p->parts == 1)
		return st;
	pl_buf_init(&mine, UNBOUNDED);
	pl_buf_init(&samples, UNBOUNDED);
	pl_buf_init(&in, UNBOUNDED);
	if (st == PL_OK)
		st = take_samples(p, records, size, &mine, err);
	st = pl_parts_tell(p, st, true, mine.data, mine.len, size, &samples, err);
	if (st == PL_OK && samples.len > 0) {
		/* fewer samples than parts: the last ones stand in for those that lack */
		qsort(samples.data, samples.len / size, size, compare);
		while (samples.len / size < p->parts && st == PL_OK) {
			uint8_t *last = malloc(size);
			st = last ? PL_OK : pl_fail_nomem(err);
			if (last) {
				memcpy(last, samples.data + samples.len - size, size);
				st = pl_buf_add(&samples, last, size, err);
			}
			free(last);
		}
		if (st == PL_OK)
			keep_splitters(&samples, size, p->parts);
	}
	deal = (struct range_deal){records->data, samples.data, records->len / size, 0, size, p->parts, compare};
	st = pl_parts_deal(p, st, size, next_by_range, &deal, &in, err);
	if (st == PL_OK) {
		pl_buf_release(records);
		*records = in;
		pl_buf_init(&in, UNBOUNDED);
		st = pl_sort(records->data, records->len / size, size, compare, p->poll, p->ctx, err);
	}
	pl_buf_release(&mine);
	pl_buf_release(&samples);
	pl_buf_release(&in);
	return p->agree(p->ctx, st, err);
}
