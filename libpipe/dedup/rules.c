/* SPDX-License-Identifier: Apache-2.0 */
/* The rules that look at whole samples, before any image is compared: captions that
 * stand too often, documents with the same set of images. A sample that leaves here
 * pushes nothing out. */
#include "rules.h"

#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "libpipe/base/hash.h"

const char *const pl_document_rule_names[] = {"image", "document", NULL};

enum pl_status pl_dedup_rules_set(struct pl_dedup_rules *r, int64_t captions, int64_t max_documents, int64_t max_captions,
    int64_t max_texts_per_image, int document, double share, bool same_images, struct pl_err *err)
{
	const int64_t counts[] = {captions, max_documents, max_captions, max_texts_per_image};

	for (size_t i = 0; i < PL_ARRAY_LEN(counts); i++) {
		if (counts[i] < 0 || counts[i] >= PL_CAPTIONS_ALL)
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "a count of %lld in a rule: wanted is 0..2^32 - 2", (long long)counts[i]);
	}
	if (share >= 0 && document != PL_DOCUMENT_WHOLE)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "a share of duplicates is given, but documents are not to leave for them: ask for document: document, too");
	if (share == 0 || share > 1)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "a share of %g of a document's images: wanted is more than 0 and at most 1", share);
	*r = (struct pl_dedup_rules){.captions = captions == 0 ? PL_CAPTIONS_ALL : (uint32_t)captions,
	    .max_documents = (uint32_t)max_documents,
	    .max_texts_per_image = (uint32_t)max_texts_per_image,
	    .max_captions = (uint32_t)max_captions,
	    .document = (enum pl_document_rule)document,
	    .document_share = share > 0 ? (uint32_t)(share * PL_SHARE_ONE + 0.5) : 0,
	    .same_images = same_images};
	return PL_OK;
}

bool pl_rules_document(const struct pl_dedup_rules *r, uint32_t images, uint32_t duplicates)
{
	return r->document == PL_DOCUMENT_WHOLE && duplicates > 0 &&
	    (uint64_t)duplicates * PL_SHARE_ONE >= (uint64_t)images * r->document_share;
}

/* ---- loading ---- */

static enum pl_status load_caption(const struct pl_loader *l, uint32_t row, struct pl_err *err)
{
	const struct pl_sample_row *s = pl_sample(&l->t, row);
	struct pl_item it = {.key = s->key, .place = l->place, .row = row, .sample = row, .text_bytes = s->text_bytes,
	    .class = pl_dedup_class(l->d, l->corpus, false)};

	if (s->kind != PL_KIND_PAIRS || s->text_hash == 0 || s->text_bytes == 0 || it.class == PL_CLASS_EVAL)
		return PL_OK;
	it.pdq[0] = s->text_hash;
	return pl_items_add(l->into, &it, err);
}

static int compare_hashes(const void *x, const void *y)
{
	return memcmp(x, y, 16);
}

/* The digest of the different hashes of the usable images, in order. *usable: how many images. */
static enum pl_status image_set(const struct pl_loader *l, const struct pl_sample_row *s, uint64_t digest[2], uint64_t *usable,
    struct pl_err *err)
{
	uint8_t (*hashes)[16] = malloc(((size_t)s->images + 1) * sizeof(*hashes));
	size_t n = 0, kept = 0;

	*usable = 0;
	if (!hashes)
		return pl_fail_nomem(err);
	for (uint64_t k = s->first_image; k < s->first_image + s->images; k++) {
		if (!pl_loader_image_out(l, k))
			memcpy(hashes[n++], pl_image_at(&l->t, k)->xxh3, sizeof(*hashes));
	}
	if (n > 1)
		qsort(hashes, n, sizeof(*hashes), compare_hashes);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || memcmp(hashes[i], hashes[kept - 1], sizeof(*hashes)) != 0)
			memmove(hashes[kept++], hashes[i], sizeof(*hashes));
	}
	pl_hash128(hashes, kept * sizeof(*hashes), digest);
	*usable = n;
	free(hashes);
	return PL_OK;
}

static enum pl_status load_images_of_document(const struct pl_loader *l, uint32_t row, struct pl_err *err)
{
	const struct pl_sample_row *s = pl_sample(&l->t, row);
	struct pl_item it = {.key = s->key, .place = l->place, .row = row, .sample = row, .text_bytes = s->text_bytes,
	    .class = pl_dedup_class(l->d, l->corpus, false)};
	enum pl_status st;

	if (s->kind != PL_KIND_INTERLEAVED)
		return PL_OK;
	st = image_set(l, s, it.pdq, &it.pixels, err);
	return st == PL_OK && it.pixels > 0 ? pl_items_add(l->into, &it, err) : st;
}

/* ---- deciding ---- */

static enum pl_status add_drop(struct pl_buf *drops, const struct pl_item *it, const struct pl_item *first, enum pl_reason reason,
    struct pl_err *err)
{
	const struct pl_text_drop drop = {.survivor_key = first->key, .place = it->place, .sample = it->sample,
	    .survivor_place = first->place, .survivor_sample = first->sample, .reason = (uint8_t)reason};

	return pl_buf_add(drops, &drop, sizeof(drop), err);
}

/* Runs of one caption, in order of class: those kept before count for every corpus. */
static enum pl_status decide_captions(struct pl_dedup *d, const struct pl_items *it, struct pl_buf *drops, struct pl_err *err)
{
	const struct pl_item *known = NULL;
	size_t nknown = 0, end;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < it->n && st == PL_OK; i = end) {
		const struct pl_item *first = &it->items[i];
		size_t count;
		for (end = i + 1; end < it->n && pl_items_equal(first, &it->items[end]);)
			end++;
		count = end - i;
		if (first->class == PL_CLASS_KNOWN) {
			known = first;
			nknown = count;
			continue;
		}
		if (known && pl_items_same_content(known, first)) {
			count += nknown;
			first = known;
		}
		for (size_t k = i; k < end && count > d->o.rules.max_captions && st == PL_OK; k++) {
			st = add_drop(drops, &it->items[k], first, PL_REASON_REPEATED_CAPTION, err);
			d->stats.repeated_captions++;
		}
	}
	return st;
}

static enum pl_status decide_sets(struct pl_dedup *d, const struct pl_items *it, struct pl_buf *drops, struct pl_err *err)
{
	const struct pl_item *first = NULL;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < it->n && st == PL_OK; i++) {
		const struct pl_item *p = &it->items[i];
		bool eval;
		if (!first || !pl_texts_same(first, p)) {
			first = p;
			continue;
		}
		if (pl_class_fixed(p->class))
			continue;
		eval = first->class == PL_CLASS_EVAL;
		st = add_drop(drops, p, first, eval ? PL_REASON_EVALUATION : PL_REASON_DUPLICATE_BYTES, err);
		d->stats.dropped_eval += eval;
		d->stats.dropped_bytes += !eval;
	}
	return st;
}

/* ---- one rule over all parts ---- */

struct item_deal { const struct pl_items *it; size_t at; uint32_t parts; };

static bool next_item(void *ctx, const void **record, uint32_t *to)
{
	struct item_deal *x = ctx;

	if (x->at == x->it->n)
		return false;
	*record = &x->it->items[x->at];
	*to = pl_item_judge(&x->it->items[x->at++], x->parts);
	return true;
}

struct drop_deal { const struct pl_dedup *d; const struct pl_text_drop *drops; size_t n, at; };

static bool next_drop(void *ctx, const void **record, uint32_t *to)
{
	struct drop_deal *x = ctx;

	if (x->at == x->n)
		return false;
	*record = &x->drops[x->at];
	*to = x->d->owner[x->drops[x->at++].place];
	return true;
}

/* Join the drops that belong to this part to those for the texts. */
static enum pl_status keep_drops(struct pl_dedup *d, const struct pl_buf *in, struct pl_err *err)
{
	size_t more = in->len / sizeof(struct pl_text_drop);
	struct pl_text_drop *t;

	if (more == 0)
		return PL_OK;
	t = realloc(d->texts, (d->ntexts + more) * sizeof(*t));
	if (!t)
		return pl_fail_nomem(err);
	memcpy(t + d->ntexts, in->data, in->len);
	d->texts = t;
	d->ntexts += more;
	return pl_texts_sort(d, err);
}

typedef enum pl_status decide_fn(struct pl_dedup *d, const struct pl_items *it, struct pl_buf *drops, struct pl_err *err);

/* Equal content meets on one part, which decides; the drops go to the owners of the places. */
static enum pl_status apply(struct pl_dedup *d, pl_load_fn *load, decide_fn *decide, struct pl_err *err)
{
	struct pl_items own = {0}, judged;
	struct item_deal items = {&own, 0, d->parts.parts};
	struct drop_deal deal = {.d = d};
	struct pl_buf in, drops, back;
	enum pl_status st = pl_items_load(d, &own, load, false, err);

	pl_buf_init(&in, (size_t)1 << 46);
	pl_buf_init(&drops, (size_t)1 << 46);
	pl_buf_init(&back, (size_t)1 << 46);
	st = pl_parts_deal(&d->parts, st, sizeof(struct pl_item), next_item, &items, &in, err);
	pl_dedup_account(d, own.cap * sizeof(struct pl_item) + in.cap);
	free(own.items);
	judged = (struct pl_items){(struct pl_item *)(void *)in.data, in.len / sizeof(struct pl_item), 0};
	if (st == PL_OK)
		st = pl_dedup_sort_content(d, &judged, err);
	if (st == PL_OK)
		st = decide(d, &judged, &drops, err);
	pl_buf_release(&in);
	deal.drops = (const struct pl_text_drop *)(const void *)drops.data;
	deal.n = drops.len / sizeof(struct pl_text_drop);
	st = pl_parts_deal(&d->parts, st, sizeof(struct pl_text_drop), next_drop, &deal, &back, err);
	pl_buf_release(&drops);
	if (st == PL_OK)
		st = keep_drops(d, &back, err);
	pl_buf_release(&back);
	return d->parts.agree(d->parts.ctx, st, err);
}

enum pl_status pl_rules_samples(struct pl_dedup *d, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (d->o.rules.max_captions > 0)
		st = apply(d, load_caption, decide_captions, err);
	if (st == PL_OK && d->o.rules.same_images)
		st = apply(d, load_images_of_document, decide_sets, err);
	return st;
}
