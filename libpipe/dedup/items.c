/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the tables into items, and the orders in which items stand. */
#include <stdlib.h>
#include <string.h>

#include "hashlist.h"
#include "internal.h"
#include "libpipe/base/hash.h"
#include "sort.h"

const struct pl_corpus *pl_dedup_corpus(const struct pl_dedup *d, uint32_t i)
{
	return i < d->n ? d->corpora[i] : d->evals[i - d->n];
}

bool pl_classes_related(uint32_t a, uint32_t b)
{
	uint32_t low = a < b ? a : b, high = a < b ? b : a;

	if (low == PL_CLASS_EVAL)
		return !pl_class_fixed(high);
	if (low == PL_CLASS_KNOWN)
		return high >= PL_CLASS_FIRST;
	return a == b && a != PL_CLASS_CHAT;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* Those that only drop others come first. */
static int class_rank(uint32_t class)
{
	return pl_class_fixed(class) ? (int)class : PL_CLASS_KNOWN + 1;
}

/* Places are numbered by names, so the last ties do not see the order of arguments. */
int pl_item_compare(const struct pl_item *a, const struct pl_item *b)
{
	int c = class_rank(a->class) - class_rank(b->class);

	if (c == 0)
		c = compare_u64(b->pixels, a->pixels);
	if (c == 0)
		c = (int)b->quality - (int)a->quality;
	if (c == 0)
		c = compare_u64(b->bytes, a->bytes);
	if (c == 0)
		c = compare_u64(b->text_bytes, a->text_bytes);
	if (c == 0)
		c = compare_u64(a->key, b->key);
	if (c == 0)
		c = compare_u64(a->place, b->place);
	return c != 0 ? c : compare_u64(a->row, b->row);
}

/* Items by bytes and items by hash never mix; texts all go by hash. */
static int compare_content(const struct pl_item *a, const struct pl_item *b)
{
	if (a->by_bytes != b->by_bytes)
		return a->by_bytes ? 1 : -1;
	if (a->by_bytes)
		return memcmp(a->xxh3, b->xxh3, sizeof(a->xxh3));
	return memcmp(a->pdq, b->pdq, sizeof(a->pdq));
}

uint32_t pl_item_judge(const struct pl_item *it, uint32_t parts)
{
	uint64_t h = it->by_bytes ? pl_hash64(it->xxh3, sizeof(it->xxh3)) : pl_hash64(it->pdq, sizeof(it->pdq));

	return (uint32_t)(((h >> 32) * parts) >> 32);
}

static int compare_by_content(const void *x, const void *y)
{
	const struct pl_item *a = x, *b = y;
	int c = compare_content(a, b);

	if (c == 0)
		c = compare_u64(a->class, b->class);
	return c != 0 ? c : pl_item_compare(a, b);
}

static int compare_by_place(const void *x, const void *y)
{
	const struct pl_item *a = x, *b = y;
	int c = compare_u64(a->place, b->place);

	return c != 0 ? c : compare_u64(a->row, b->row);
}

bool pl_items_same_content(const struct pl_item *a, const struct pl_item *b)
{
	return compare_content(a, b) == 0;
}

bool pl_items_equal(const struct pl_item *a, const struct pl_item *b)
{
	return a->class == b->class && compare_content(a, b) == 0;
}

enum pl_status pl_dedup_sort_content(struct pl_dedup *d, struct pl_items *it, struct pl_err *err)
{
	return pl_sort(it->items, it->n, sizeof(*it->items), compare_by_content, d->parts.poll, d->parts.ctx, err);
}

enum pl_status pl_dedup_sort_place(struct pl_dedup *d, struct pl_items *it, struct pl_err *err)
{
	return pl_sort(it->items, it->n, sizeof(*it->items), compare_by_place, d->parts.poll, d->parts.ctx, err);
}

static int compare_by_priority(const void *x, const void *y)
{
	return pl_item_compare(x, y);
}

enum pl_status pl_dedup_sort_priority(struct pl_dedup *d, struct pl_items *it, struct pl_err *err)
{
	return pl_sort(it->items, it->n, sizeof(*it->items), compare_by_priority, d->parts.poll, d->parts.ctx, err);
}

size_t pl_items_lower(const struct pl_items *it, uint32_t place, uint32_t row)
{
	size_t lo = 0, hi = it->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct pl_item *p = &it->items[mid];
		if (p->place < place || (p->place == place && p->row < row))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t pl_texts_lower(const struct pl_dedup *d, uint32_t place, uint32_t sample)
{
	size_t lo = 0, hi = d->ntexts;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct pl_text_drop *p = &d->texts[mid];
		if (p->place < place || (p->place == place && p->sample < sample))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The tables without what an earlier dedup wrote. */
static struct pl_tables before(const struct pl_tables *t)
{
	struct pl_tables b = *t;

	b.dedup = (struct pl_npy){0};
	b.dedup_images = (struct pl_npy){0};
	b.concepts = (struct pl_npy){0};
	return b;
}

enum pl_reason pl_dedup_before_sample(const struct pl_tables *t, uint64_t row)
{
	struct pl_tables b = before(t);

	return pl_sample_verdict(&b, row);
}

enum pl_reason pl_dedup_before_image(const struct pl_tables *t, uint64_t row)
{
	struct pl_tables b = before(t);

	return pl_image_verdict(&b, row);
}

enum pl_status pl_items_add(struct pl_items *it, const struct pl_item *item, struct pl_err *err)
{
	if (it->n >= UINT32_MAX - 1)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL, "more than 2^32 - 2 items to compare");
	if (it->n == it->cap) {
		size_t cap = it->cap ? it->cap + it->cap / 2 : 4096;
		struct pl_item *items;
		if (cap > SIZE_MAX / sizeof(*items))
			return pl_fail_nomem(err);
		items = realloc(it->items, cap * sizeof(*items));
		if (!items)
			return pl_fail_nomem(err);
		it->items = items;
		it->cap = cap;
	}
	it->items[it->n++] = *item;
	return PL_OK;
}

const struct pl_hashlist *pl_dedup_list(const struct pl_dedup *d, uint32_t i)
{
	return d->o.others && i >= d->n ? d->o.others[i - d->n].list : NULL;
}

bool pl_dedup_known(const struct pl_dedup *d, uint32_t i)
{
	return d->o.others && i >= d->n && d->o.others[i - d->n].known;
}

uint32_t pl_dedup_class(const struct pl_dedup *d, uint32_t corpus, bool chat)
{
	if (corpus >= d->n)
		return pl_dedup_known(d, corpus) ? PL_CLASS_KNOWN : PL_CLASS_EVAL;
	if (chat)
		return PL_CLASS_CHAT;
	return d->o.across ? PL_CLASS_FIRST : PL_CLASS_FIRST + corpus;
}

bool pl_loader_image_out(const struct pl_loader *l, uint64_t row)
{
	return (pl_dedup_known(l->d, l->corpus) ? pl_image_verdict(&l->t, row) : pl_dedup_before_image(&l->t, row)) != PL_REASON_KEEP;
}

/* One sample's text. Chats are compared with chats only, whatever their class. */
static enum pl_status load_text(const struct pl_loader *l, uint32_t row, struct pl_err *err)
{
	const struct pl_sample_row *s = pl_sample(&l->t, row);
	struct pl_item it = {.key = s->key, .place = l->place, .row = row, .sample = row,
	    .text_bytes = s->text_bytes, .class = pl_dedup_class(l->d, l->corpus, false)};

	if (s->text_hash == 0 || s->text_bytes == 0 ||
	    (s->kind != PL_KIND_TEXT && !pl_kind_converses(s->kind) && s->kind != PL_KIND_INTERLEAVED))
		return PL_OK;
	it.pdq[0] = s->text_hash;
	for (uint64_t k = s->first_image; k < s->first_image + s->images; k++)
		it.pixels += !pl_loader_image_out(l, k);
	if (pl_kind_converses(s->kind)) {
		it.pdq[1] = 1;
		if (s->images > 0)
			memcpy(&it.pdq[2], pl_image_at(&l->t, s->first_image)->xxh3, 16);
	}
	return pl_items_add(l->into, &it, err);
}

/* Where documents leave as a whole, their images stand together in the total order: else two that share two images could
 * each give way to the other, and both would be lost. */
static void order_by_document(const struct pl_loader *l, const struct pl_sample_row *s, struct pl_items *into, size_t from)
{
	uint64_t pixels = 0;

	if (l->d->o.rules.document != PL_DOCUMENT_WHOLE || s->kind != PL_KIND_INTERLEAVED)
		return;
	for (size_t i = from; i < into->n; i++)
		pixels += into->items[i].pixels;
	for (size_t i = from; i < into->n; i++) {
		into->items[i].pixels = pixels;
		into->items[i].quality = 0;
		into->items[i].bytes = 0;
	}
}

/* The images of one sample. */
static enum pl_status load_images(const struct pl_loader *l, uint32_t row, struct pl_err *err)
{
	const struct pl_sample_row *s = pl_sample(&l->t, row);
	struct pl_dedup *d = l->d;
	size_t from = l->into->n;

	if (pl_kind_converses(s->kind) && pl_dedup_known(d, l->corpus))
		return PL_OK;   /* a picture that a chat asks about keeps nothing else out */
	for (uint64_t k = s->first_image; k < s->first_image + s->images; k++) {
		const struct pl_image_row *im = pl_image_at(&l->t, k);
		struct pl_item it = {.key = s->key, .place = l->place, .row = (uint32_t)k, .sample = row,
		    .text_bytes = s->text_bytes, .quality = im->pdq_quality,
		    .class = pl_dedup_class(d, l->corpus, pl_kind_converses(s->kind))};
		enum pl_status st;

		if (pl_loader_image_out(l, k))
			continue;
		it.pixels = (uint64_t)im->width * im->height;
		it.bytes = im->length > UINT32_MAX ? UINT32_MAX : (uint32_t)im->length;
		memcpy(it.xxh3, im->xxh3, sizeof(it.xxh3));
		memcpy(it.pdq, im->pdq, sizeof(it.pdq));
		it.by_bytes = !d->o.near || im->pdq_quality < d->o.min_quality;
		d->stats.images++;
		d->stats.low_quality += im->pdq_quality < d->o.min_quality;
		st = pl_items_add(l->into, &it, err);
		if (st != PL_OK)
			return st;
	}
	order_by_document(l, s, l->into, from);
	return PL_OK;
}

/* Is the sample already dropped for its text? texts is sorted; *at moves along with the rows. */
static bool text_dropped(const struct pl_dedup *d, size_t *at, uint32_t place, uint32_t row)
{
	while (*at < d->ntexts && d->texts[*at].place == place && d->texts[*at].sample < row)
		(*at)++;
	return *at < d->ntexts && d->texts[*at].place == place && d->texts[*at].sample == row;
}

static bool sample_out(const struct pl_loader *l, uint64_t row)
{
	return (pl_dedup_known(l->d, l->corpus) ? pl_sample_verdict(&l->t, row) : pl_dedup_before_sample(&l->t, row)) != PL_REASON_KEEP;
}

static enum pl_status load_place(struct pl_loader *l, pl_load_fn *fn, struct pl_err *err)
{
	const struct pl_dedup_place *p = &l->d->places[l->place];
	const struct pl_corpus *c = pl_dedup_corpus(l->d, p->corpus);
	size_t at = pl_texts_lower(l->d, l->place, 0);
	enum pl_status st = pl_tables_open(&l->t, c, p->shard, err);

	if (st != PL_OK)
		return st;
	if (l->t.samples.nrows >= UINT32_MAX || l->t.images.nrows >= UINT32_MAX)
		st = pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, c->shards[p->shard].path,
		    "more than 2^32 - 2 rows in the tables of one shard");
	else if (pl_dedup_known(l->d, p->corpus) && (!l->t.dedup.rows || !l->t.dedup_images.rows) && l->t.samples.nrows > 0)
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, c->dir,
		    "shard '%s' of this known corpus has no dedup verdicts: run plait dedup on the corpus first", c->shards[p->shard].unit);
	for (uint64_t i = 0; st == PL_OK && i < l->t.samples.nrows; i++) {
		uint32_t row = (uint32_t)i;
		if (!text_dropped(l->d, &at, l->place, row) && !sample_out(l, i))
			st = fn(l, row, err);
	}
	pl_tables_close(&l->t);
	return st;
}

static enum pl_status take_entry(void *ctx, const struct pl_hash_entry *e, struct pl_err *err)
{
	const struct pl_loader *l = ctx;
	struct pl_item it = {.key = e->key, .place = l->place, .row = (uint32_t)e->line, .sample = (uint32_t)e->line,
	    .class = PL_CLASS_EVAL};

	memcpy(it.pdq, e->pdq, sizeof(it.pdq));
	l->d->stats.images++;
	return pl_items_add(l->into, &it, err);
}

enum pl_status pl_items_load(struct pl_dedup *d, struct pl_items *into, pl_load_fn *fn, bool lists, struct pl_err *err)
{
	struct pl_loader l = {.d = d, .into = into};
	enum pl_status st = PL_OK;

	for (l.place = 0; st == PL_OK && l.place < d->nplaces; l.place++) {
		const struct pl_hashlist *list;
		if (d->owner[l.place] != d->parts.part)
			continue;
		l.corpus = d->places[l.place].corpus;
		list = pl_dedup_list(d, l.corpus);
		if (!list)
			st = load_place(&l, fn, err);
		else if (lists)
			st = pl_hashlist_each(list, take_entry, &l, err);
		if (st == PL_OK)
			st = d->parts.poll(d->parts.ctx, err);
	}
	return st;
}

struct judge_deal { const struct pl_items *it; size_t at; uint32_t parts; };

static bool next_by_judge(void *ctx, const void **record, uint32_t *to)
{
	struct judge_deal *d = ctx;

	if (d->at == d->it->n)
		return false;
	*record = &d->it->items[d->at];
	*to = pl_item_judge(&d->it->items[d->at++], d->parts);
	return true;
}

enum pl_status pl_items_load_texts(struct pl_dedup *d, struct pl_items *texts, struct pl_err *err)
{
	struct pl_buf in;
	struct judge_deal deal = {texts, 0, d->parts.parts};
	enum pl_status st = pl_items_load(d, texts, load_text, false, err);

	if (d->parts.parts == 1)
		return st;
	pl_buf_init(&in, (size_t)UINT32_MAX * sizeof(struct pl_item));
	if (pl_texts_everywhere(d))
		st = pl_parts_tell(&d->parts, st, true, texts->items, texts->n * sizeof(struct pl_item), sizeof(struct pl_item), &in, err);
	else
		st = pl_parts_deal(&d->parts, st, sizeof(struct pl_item), next_by_judge, &deal, &in, err);
	free(texts->items);
	*texts = (struct pl_items){0};
	if (st == PL_OK) {
		texts->n = texts->cap = in.len / sizeof(struct pl_item);
		texts->items = (struct pl_item *)(void *)pl_buf_detach(&in, NULL);
	}
	pl_buf_release(&in);
	return st;
}

enum pl_status pl_items_load_images(struct pl_dedup *d, struct pl_err *err)
{
	struct pl_items *it = &d->images;
	enum pl_status st = pl_items_load(d, it, load_images, true, err);
	struct pl_item *fit = st == PL_OK && it->n > 0 ? realloc(it->items, it->n * sizeof(*fit)) : NULL;

	if (fit) {
		it->items = fit;
		it->cap = it->n;
	}
	return st;
}

struct drop_deal { const struct pl_dedup *d; size_t at; };

static bool next_drop(void *ctx, const void **record, uint32_t *to)
{
	struct drop_deal *x = ctx;

	if (x->at == x->d->ntexts)
		return false;
	*record = &x->d->texts[x->at];
	*to = x->d->owner[x->d->texts[x->at++].place];
	return true;
}

enum pl_status pl_texts_deal(struct pl_dedup *d, struct pl_err *err)
{
	struct drop_deal deal = {d, 0};
	struct pl_buf in;
	enum pl_status st;

	pl_buf_init(&in, (size_t)UINT32_MAX * sizeof(struct pl_text_drop));
	st = pl_parts_deal(&d->parts, PL_OK, sizeof(struct pl_text_drop), next_drop, &deal, &in, err);
	if (st == PL_OK) {
		free(d->texts);
		d->ntexts = in.len / sizeof(struct pl_text_drop);
		d->texts = (struct pl_text_drop *)(void *)pl_buf_detach(&in, NULL);
		st = pl_texts_sort(d, err);
	}
	pl_buf_release(&in);
	return st;
}
