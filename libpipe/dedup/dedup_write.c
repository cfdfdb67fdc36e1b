/* SPDX-License-Identifier: Apache-2.0 */
/* The verdict tables of one shard, from the decisions about its items. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "libpipe/base/npy.h"

struct shard_tables {
	const struct pl_dedup *d;
	const struct pl_tables *t;
	uint32_t place;
	size_t item, text;              /* next item and text verdict of this place */
	struct pl_npy_writer samples, images;
	struct pl_account *account;
};

/* What the images of one sample came to. */
struct outcome {
	uint32_t before, kept;          /* usable images before and after */
	uint32_t dropped[PL_REASON_COUNT];
	struct pl_dedup_row first;      /* first dropped image, as a sample row */
	struct pl_dedup_row eval;       /* the same of those dropped for an evaluation set */
	struct pl_dedup_row foreign;    /* the same of those dropped for another sample */
	uint32_t nforeign;
};

static struct pl_dedup_row make_row(const struct pl_dedup *d, const struct pl_fate *f, uint32_t row)
{
	const struct pl_dedup_place *p = &d->places[f->place];

	return (struct pl_dedup_row){.survivor_key = f->key,
	    .survivor_row = row,
	    .survivor_corpus = p->corpus,
	    .survivor_shard = p->shard,
	    .distance = f->distance,
	    .verdict = f->reason};
}

static enum pl_status write_image(
    struct shard_tables *w, uint64_t row, struct outcome *o, struct pl_err *err)
{
	const struct pl_items *it = &w->d->images;
	struct pl_dedup_row out = {0};

	while (w->item < it->n && it->items[w->item].place == w->place && it->items[w->item].row < row)
		w->item++;
	if (w->item < it->n && it->items[w->item].place == w->place && it->items[w->item].row == row) {
		const struct pl_fate *f = &it->items[w->item].fate;
		o->before++;
		if (f->reason == PL_REASON_KEEP) {
			o->kept++;
		} else {
			struct pl_dedup_row sample = make_row(w->d, f, f->sample);
			out = make_row(w->d, f, f->row);
			o->dropped[f->reason]++;
			if (!o->first.verdict)
				o->first = sample;
			if (f->reason == PL_REASON_EVALUATION && !o->eval.verdict)
				o->eval = sample;
			if (f->place != w->place || f->sample != it->items[w->item].sample || f->reason == PL_REASON_REPEATED_IMAGE) {
				o->nforeign++;
				if (!o->foreign.verdict)
					o->foreign = sample;
			}
		}
	}
	return pl_npy_append(&w->images, &out, 1, err);
}

/* The rule of the sample's kind. *gone: dropped without a verdict of its own, all its images being
 * dropped. */
static struct pl_dedup_row judge_sample(
    const struct pl_dedup_rules *rules, const struct pl_sample_row *s, const struct outcome *o, bool *gone)
{
	*gone = false;
	if (s->kind == PL_KIND_PAIRS && o->before > 0 && o->kept == 0)
		return o->first;
	if (pl_kind_converses(s->kind) && o->eval.verdict)
		return o->eval;
	if (s->kind == PL_KIND_INTERLEAVED && pl_rules_document(rules, o->before, o->nforeign))
		return o->foreign;
	*gone = s->kind != PL_KIND_TEXT && o->before > 0 && o->kept == 0;
	return (struct pl_dedup_row){0};
}

static struct pl_dedup_row text_row(const struct pl_dedup *d, const struct pl_text_drop *t)
{
	const struct pl_dedup_place *p = &d->places[t->survivor_place];

	return (struct pl_dedup_row){.survivor_key = t->survivor_key, .survivor_row = t->survivor_sample,
	    .survivor_corpus = p->corpus, .survivor_shard = p->shard,
	    .distance = t->distance, .verdict = t->reason};
}

/* Count a sample that status and filter kept; its images fall with it. images: usable before dedup. */
static void count_sample(
    struct pl_account *a, enum pl_reason reason, uint64_t images, const struct outcome *o)
{
	uint64_t own = 0;

	a->samples_in++;
	a->images_in += images;
	for (size_t r = 0; r < PL_REASON_COUNT; r++) {
		a->images_dropped[r] += o->dropped[r];
		own += o->dropped[r];
	}
	if (reason == PL_REASON_KEEP) {
		a->samples_out++;
		a->images_out += images - own;
		return;
	}
	a->samples_dropped[reason]++;
	a->images_dropped[reason] += images - own;
}

static uint64_t usable_images(const struct pl_tables *t, const struct pl_sample_row *s)
{
	uint64_t n = 0;

	for (uint64_t k = s->first_image; k < s->first_image + s->images; k++)
		n += pl_dedup_before_image(t, k) == PL_REASON_KEEP;
	return n;
}

static enum pl_status write_sample(struct shard_tables *w, uint64_t row, struct pl_err *err)
{
	const struct pl_dedup *d = w->d;
	const struct pl_sample_row *s = pl_sample(w->t, row);
	bool in = pl_dedup_before_sample(w->t, row) == PL_REASON_KEEP, gone = false;
	struct outcome o = {0};
	struct pl_dedup_row out = {0};

	for (uint64_t k = s->first_image; k < s->first_image + s->images; k++) {
		enum pl_status st = write_image(w, k, &o, err);
		if (st != PL_OK)
			return st;
	}
	while (w->text < d->ntexts && d->texts[w->text].place == w->place &&
	       d->texts[w->text].sample < row)
		w->text++;
	if (w->text < d->ntexts && d->texts[w->text].place == w->place && d->texts[w->text].sample == row)
		out = text_row(d, &d->texts[w->text]);
	else
		out = judge_sample(&d->o.rules, s, &o, &gone);
	if (in)
		count_sample(w->account, gone ? PL_REASON_IMAGES_GONE : (enum pl_reason)out.verdict,
		    usable_images(w->t, s), &o);
	return pl_npy_append(&w->samples, &out, 1, err);
}

static enum pl_status write_tables(
    struct shard_tables *w, const struct pl_corpus *c, size_t shard, struct pl_err *err)
{
	char *samples = pl_table_path(c, shard, "dedup"),
	     *images = pl_table_path(c, shard, "dedup-images");
	enum pl_status st = samples && images ? PL_OK : pl_fail_nomem(err);

	if (st == PL_OK)
		st = pl_npy_create(&w->samples, samples, pl_dedup_cols, pl_dedup_ncols,
		    sizeof(struct pl_dedup_row), err);
	if (st == PL_OK)
		st = pl_npy_create(&w->images, images, pl_dedup_cols, pl_dedup_ncols,
		    sizeof(struct pl_dedup_row), err);
	for (uint64_t i = 0; st == PL_OK && i < w->t->samples.nrows; i++)
		st = write_sample(w, i, err);
	if (st == PL_OK)
		st = pl_npy_commit(&w->images, err);
	if (st == PL_OK)
		st = pl_npy_commit(&w->samples, err);
	pl_npy_abort(&w->images);
	pl_npy_abort(&w->samples);
	free(samples);
	free(images);
	return st;
}

enum pl_status pl_dedup_write(
    struct pl_dedup *d, size_t corpus, size_t shard, struct pl_account *account, struct pl_err *err)
{
	struct pl_account counted = {0};
	struct shard_tables w = {.d = d, .account = &counted};
	struct pl_tables t;
	enum pl_status st;

	if (!d->resolved || corpus >= d->n || shard >= d->corpora[corpus]->nshards)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "no decided shard %zu of corpus %zu", shard, corpus);
	w.place = pl_dedup_place_of(d, corpus, shard);
	if (d->owner[w.place] != d->parts.part)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "shard %zu of corpus %zu is written by part %u", shard, corpus,
		    (unsigned)d->owner[w.place]);
	st = pl_tables_open(&t, d->corpora[corpus], shard, err);
	if (st != PL_OK)
		return st;
	w.t = &t;
	w.item = pl_items_lower(&d->images, w.place, 0);
	w.text = pl_texts_lower(d, w.place, 0);
	st = write_tables(&w, d->corpora[corpus], shard, err);
	pl_tables_close(&t);
	if (st == PL_OK)
		pl_account_add(account, &counted);
	return st;
}
