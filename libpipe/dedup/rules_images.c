/* SPDX-License-Identifier: Apache-2.0 */
/* The rules that look at a survivor and all that gave way to it: which of them stay
 * for their captions, and whether they are too many. Those that gave way go to the
 * part that owns the survivor's place, and come back decided. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "sort.h"
#include "rules.h"

/* An image with what its sample's table says. */
struct member {
	struct pl_item it;
	uint64_t caption;
	uint8_t kind;
	bool stays;
	uint8_t pad[6];
};
_Static_assert(sizeof(struct member) == 112, "README.md promises 112 bytes a dropped image");

/* What became of an image after all. */
struct ruling { uint32_t place, row; enum pl_reason reason; };

/* The tables last looked at; places come in order. */
struct reader { const struct pl_dedup *d; struct pl_tables t; uint32_t place; bool open; };

static void reader_close(struct reader *r)
{
	if (r->open)
		pl_tables_close(&r->t);
	r->open = false;
}

static enum pl_status look_up(struct reader *r, const struct pl_item *it, struct member *m, struct pl_err *err)
{
	const struct pl_sample_row *s;

	if (!r->open || r->place != it->place) {
		const struct pl_dedup_place *p = &r->d->places[it->place];
		enum pl_status st;
		reader_close(r);
		if ((st = pl_tables_open(&r->t, pl_dedup_corpus(r->d, p->corpus), p->shard, err)) != PL_OK)
			return st;
		r->open = true;
		r->place = it->place;
	}
	if (it->sample >= r->t.samples.nrows)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, pl_dedup_corpus(r->d, r->d->places[it->place].corpus)->dir,
		    "its tables changed while dedup looked at them");
	s = pl_sample(&r->t, it->sample);
	*m = (struct member){.it = *it, .caption = s->kind == PL_KIND_PAIRS ? s->text_hash : 0, .kind = s->kind};
	return PL_OK;
}

/* ---- to the survivors ---- */

static enum pl_status list_members(const struct pl_dedup *d, struct pl_buf *out, struct pl_err *err)
{
	struct reader r = {.d = d};
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < d->images.n && st == PL_OK; i++) {
		const struct pl_item *it = &d->images.items[i];
		struct member m;
		if (it->fate.reason != PL_REASON_DUPLICATE_BYTES && it->fate.reason != PL_REASON_NEAR_DUPLICATE)
			continue;
		st = look_up(&r, it, &m, err);
		if (st == PL_OK)
			st = pl_buf_add(out, &m, sizeof(m), err);
	}
	reader_close(&r);
	return st;
}

struct member_deal { const struct pl_dedup *d; const struct member *members; size_t n, at; };

static bool next_member(void *ctx, const void **record, uint32_t *to)
{
	struct member_deal *x = ctx;

	if (x->at == x->n)
		return false;
	*record = &x->members[x->at];
	*to = x->d->owner[x->members[x->at++].it.fate.place];
	return true;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* By survivor, then the total order. */
static int compare_members(const void *x, const void *y)
{
	const struct member *a = x, *b = y;
	int c = compare_u64(a->it.fate.place, b->it.fate.place);

	if (c == 0)
		c = compare_u64(a->it.fate.row, b->it.fate.row);
	return c != 0 ? c : pl_item_compare(&a->it, &b->it);
}

/* ---- one survivor and its own ---- */

struct judge {
	struct pl_dedup *d;
	struct reader reader;
	uint64_t *values; size_t room;    /* for sorting: two per member */
	struct pl_buf rulings;
};

static int compare_values(const void *x, const void *y)
{
	return compare_u64(*(const uint64_t *)x, *(const uint64_t *)y);
}

static int compare_captions(const void *x, const void *y)
{
	const uint64_t *a = x, *b = y;
	int c = compare_u64(a[0], b[0]);

	return c != 0 ? c : compare_u64(a[1], b[1]);
}

static enum pl_status make_room(struct judge *j, size_t n, struct pl_err *err)
{
	uint64_t *values;

	if (n <= j->room)
		return PL_OK;
	values = realloc(j->values, 2 * n * sizeof(*values));
	if (!values)
		return pl_fail_nomem(err);
	j->values = values;
	j->room = n;
	return PL_OK;
}

static size_t count_distinct(uint64_t *values, size_t n)
{
	size_t distinct = n > 0;

	if (n > 1)
		qsort(values, n, sizeof(*values), compare_values);
	for (size_t i = 1; i < n; i++)
		distinct += values[i] != values[i - 1];
	return distinct;
}

/* Do the survivor and its own stand in too many samples, or with too many captions? */
static bool too_many(struct judge *j, const struct member *first, const struct member *m, size_t n)
{
	const struct pl_dedup_rules *r = &j->d->o.rules;
	size_t texts = 0;

	if (r->max_documents > 0) {
		j->values[0] = (uint64_t)first->it.place << 32 | first->it.sample;
		for (size_t i = 0; i < n; i++)
			j->values[i + 1] = (uint64_t)m[i].it.place << 32 | m[i].it.sample;
		if (count_distinct(j->values, n + 1) > r->max_documents)
			return true;
	}
	if (r->max_texts_per_image == 0)
		return false;
	if (first->kind == PL_KIND_PAIRS)
		j->values[texts++] = first->caption;
	for (size_t i = 0; i < n; i++) {
		if (m[i].kind == PL_KIND_PAIRS)
			j->values[texts++] = m[i].caption;
	}
	return count_distinct(j->values, texts) > r->max_texts_per_image;
}

/* Of each caption that the survivor does not have, the first in the total order stays, until there are enough. */
static void choose(struct judge *j, const struct member *first, struct member *m, size_t n)
{
	uint64_t *pairs = j->values;
	uint32_t left = j->d->o.rules.captions == PL_CAPTIONS_ALL ? UINT32_MAX : j->d->o.rules.captions - 1;
	size_t candidates = 0;

	for (size_t i = 0; i < n; i++) {
		m[i].stays = false;
		if (m[i].kind != PL_KIND_PAIRS || (first->kind == PL_KIND_PAIRS && m[i].caption == first->caption))
			continue;
		pairs[2 * candidates] = m[i].caption;
		pairs[2 * candidates + 1] = i;
		candidates++;
	}
	if (candidates > 1)
		qsort(pairs, candidates, 2 * sizeof(*pairs), compare_captions);
	for (size_t i = 0; i < candidates; i++)
		m[pairs[2 * i + 1]].stays = i == 0 || pairs[2 * i] != pairs[2 * i - 2];
	for (size_t i = 0; i < n; i++) {
		m[i].stays = m[i].stays && left > 0;
		left -= m[i].stays;
	}
}

static enum pl_status rule(struct judge *j, const struct pl_item *it, enum pl_reason reason, struct pl_err *err)
{
	const struct ruling r = {it->place, it->row, reason};

	return pl_buf_add(&j->rulings, &r, sizeof(r), err);
}

static enum pl_status judge_cluster(struct judge *j, struct member *m, size_t n, struct pl_err *err)
{
	const struct pl_fate *f = &m[0].it.fate;
	size_t at = pl_items_lower(&j->d->images, f->place, f->row);
	const struct pl_item *survivor = &j->d->images.items[at];
	struct member first;
	bool out;
	enum pl_status st = make_room(j, n + 1, err);

	if (st == PL_OK && (at == j->d->images.n || survivor->place != f->place || survivor->row != f->row))
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "an image gave way to one that is not there");
	if (st == PL_OK)
		st = look_up(&j->reader, survivor, &first, err);
	if (st != PL_OK)
		return st;
	out = too_many(j, &first, m, n);
	if (out && !pl_class_fixed(survivor->class))
		st = rule(j, survivor, PL_REASON_REPEATED_IMAGE, err);
	if (!out && j->d->o.rules.captions > 1)
		choose(j, &first, m, n);
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		if (out || m[i].stays)
			st = rule(j, &m[i].it, out ? PL_REASON_REPEATED_IMAGE : PL_REASON_KEEP, err);
	}
	return st;
}

static enum pl_status judge_all(struct judge *j, struct member *m, size_t n, struct pl_err *err)
{
	enum pl_status st = pl_sort(m, n, sizeof(*m), compare_members, j->d->parts.poll, j->d->parts.ctx, err);

	for (size_t i = 0, end; i < n && st == PL_OK; i = end) {
		for (end = i + 1; end < n && m[end].it.fate.place == m[i].it.fate.place && m[end].it.fate.row == m[i].it.fate.row;)
			end++;
		st = judge_cluster(j, m + i, end - i, err);
	}
	return st;
}

/* ---- and back ---- */

struct ruling_deal { const struct pl_dedup *d; const struct ruling *rulings; size_t n, at; };

static bool next_ruling(void *ctx, const void **record, uint32_t *to)
{
	struct ruling_deal *x = ctx;

	if (x->at == x->n)
		return false;
	*record = &x->rulings[x->at];
	*to = x->d->owner[x->rulings[x->at++].place];
	return true;
}

static void apply(struct pl_dedup *d, const struct ruling *r)
{
	struct pl_item *it = &d->images.items[pl_items_lower(&d->images, r->place, r->row)];

	d->stats.dropped_bytes -= it->fate.reason == PL_REASON_DUPLICATE_BYTES;
	d->stats.dropped_near -= it->fate.reason == PL_REASON_NEAR_DUPLICATE;
	if (r->reason == PL_REASON_KEEP) {
		it->fate = (struct pl_fate){.reason = PL_REASON_KEEP};
		d->stats.kept_captions++;
		return;
	}
	if (it->fate.reason == PL_REASON_KEEP)   /* it names itself */
		it->fate = (struct pl_fate){.key = it->key, .place = it->place, .row = it->row, .sample = it->sample};
	it->fate.reason = (uint8_t)r->reason;
	d->stats.repeated_images++;
}

static enum pl_status deal_rulings(struct pl_dedup *d, const struct pl_buf *rulings, enum pl_status st, struct pl_err *err)
{
	struct ruling_deal deal = {.d = d, .rulings = (const struct ruling *)(const void *)rulings->data,
	    .n = rulings->len / sizeof(struct ruling)};
	struct pl_buf in;

	pl_buf_init(&in, (size_t)1 << 46);
	st = pl_parts_deal(&d->parts, st, sizeof(struct ruling), next_ruling, &deal, &in, err);
	for (size_t at = 0; st == PL_OK && at < in.len; at += sizeof(struct ruling)) {
		struct ruling r;
		memcpy(&r, in.data + at, sizeof(r));
		apply(d, &r);
	}
	pl_dedup_account(d, in.cap + rulings->cap);
	pl_buf_release(&in);
	return st;
}

enum pl_status pl_rules_images(struct pl_dedup *d, struct pl_err *err)
{
	const struct pl_dedup_rules *r = &d->o.rules;
	struct judge j = {.d = d, .reader.d = d};
	struct member_deal deal = {.d = d};
	struct pl_buf own, in;
	enum pl_status st;

	if (r->captions <= 1 && r->max_documents == 0 && r->max_texts_per_image == 0)
		return PL_OK;
	pl_buf_init(&own, (size_t)1 << 46);
	pl_buf_init(&in, (size_t)1 << 46);
	pl_buf_init(&j.rulings, (size_t)1 << 46);
	st = list_members(d, &own, err);
	deal.members = (const struct member *)(const void *)own.data;
	deal.n = own.len / sizeof(struct member);
	st = pl_parts_deal(&d->parts, st, sizeof(struct member), next_member, &deal, &in, err);
	pl_dedup_account(d, own.cap + in.cap);
	pl_buf_release(&own);
	if (st == PL_OK)
		st = judge_all(&j, (struct member *)(void *)in.data, in.len / sizeof(struct member), err);
	pl_buf_release(&in);
	reader_close(&j.reader);
	free(j.values);
	st = deal_rulings(d, &j.rulings, st, err);
	pl_buf_release(&j.rulings);
	return st;
}
