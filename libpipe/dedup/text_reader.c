/* SPDX-License-Identifier: Apache-2.0 */
/* Reading texts again from their shards, in the order of their rows, to make
 * shingles of them. The tables' hash of the text says whether it is the same. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "libpipe/base/hash.h"
#include "libpipe/corpus/fetch.h"
#include "minhash.h"
#include "near_text.h"

struct pl_text_reader {
	struct pl_dedup *d;
	struct pl_corpus **corpora;     /* then the evaluation sets */
	struct pl_fetch *fetch;
	struct pl_fetched sample;
	struct pl_buf normal;
	struct pl_shingles shingles;
	struct pl_minhash *minhash;
};

enum pl_status pl_text_reader_new(struct pl_text_reader **out, struct pl_dedup *d, struct pl_err *err)
{
	struct pl_text_reader *r = calloc(1, sizeof(*r));
	enum pl_status st = PL_OK;

	*out = NULL;
	if (!r)
		return pl_fail_nomem(err);
	r->d = d;
	pl_fetched_init(&r->sample);
	pl_buf_init(&r->normal, 0);
	r->corpora = calloc(d->n + d->m + 1, sizeof(struct pl_corpus *));
	if (!r->corpora)
		st = pl_fail_nomem(err);
	for (size_t i = 0; st == PL_OK && i < d->n + d->m; i++)
		r->corpora[i] = i < d->n ? d->corpora[i] : d->evals[i - d->n];
	/* One shard after the other: a second open file would only hold what was unpacked of it. */
	if (st == PL_OK)
		st = pl_fetch_new(&r->fetch, r->corpora, d->n + d->m, 1, err);
	if (st == PL_OK)
		st = pl_minhash_new(&r->minhash, d->o.near_text.bands, d->o.near_text.rows, err);
	if (st == PL_OK)
		*out = r;
	else
		pl_text_reader_free(r);
	return st;
}

void pl_text_reader_free(struct pl_text_reader *r)
{
	if (!r)
		return;
	pl_fetched_release(&r->sample);
	pl_fetch_free(r->fetch);
	pl_buf_release(&r->normal);
	pl_shingles_release(&r->shingles);
	pl_minhash_free(r->minhash);
	free(r->corpora);
	free(r);
}

/* The text's shingles, unsorted. PL_ERR_LIMIT: too long. */
static enum pl_status read_text(struct pl_text_reader *r, uint32_t text, struct pl_err *err)
{
	const struct pl_text_node *node = &r->d->near_texts->nodes[text];
	const struct pl_dedup_place *p = &r->d->places[node->place];
	enum pl_status st;

	st = pl_fetch_document(r->fetch, p->corpus, p->shard, node->sample, &r->sample, err);
	if (st != PL_OK)   /* no text that the tables speak of is beyond fetch's ceilings */
		return st == PL_ERR_LIMIT ? PL_ERR_CONFLICT : st;
	st = pl_document_normal_text(&r->sample.doc, &r->normal, err);
	if (st != PL_OK)
		return st;
	if (pl_hash64(r->normal.data, r->normal.len) != pl_sample(r->sample.tables, node->sample)->text_hash)
		return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, r->corpora[p->corpus]->shards[p->shard].path,
		    "the text of sample %u is not what was ingested; ingest again", (unsigned)node->sample);
	return pl_shingles_make(
	    &r->shingles, (const char *)r->normal.data, r->normal.len, r->d->o.near_text.ngram, err);
}

static enum pl_status poll(const struct pl_text_reader *r, struct pl_err *err)
{
	return r->d->o.poll ? r->d->o.poll(r->d->o.poll_ctx, err) : PL_OK;
}

static enum pl_status add_keys(
    struct pl_text_reader *r, uint32_t text, struct pl_buf *texts, struct pl_buf *keys, struct pl_err *err)
{
	size_t size = r->d->o.near_text.bands * sizeof(uint64_t);
	enum pl_status st = pl_buf_add(texts, &text, sizeof(text), err);

	if (st == PL_OK)
		st = pl_buf_reserve(keys, size, err);
	if (st != PL_OK)
		return st;
	pl_minhash_keys(r->minhash, r->shingles.hash, r->shingles.n, (uint64_t *)(void *)(keys->data + keys->len));
	keys->len += size;
	return PL_OK;
}

enum pl_status pl_text_reader_keys(struct pl_text_reader *r, uint32_t place, struct pl_buf *texts, struct pl_buf *keys,
    uint64_t *too_long, struct pl_err *err)
{
	const struct pl_near_texts *x = r->d->near_texts;
	enum pl_status st = PL_OK;

	for (size_t i = pl_near_texts_lower(x, place, 0); st == PL_OK && i < x->n; i++) {
		uint32_t text = x->by_place[i];
		if (x->nodes[text].place != place)
			break;
		st = read_text(r, text, err);
		if (st == PL_ERR_LIMIT) {
			(*too_long)++;
			st = PL_OK;
		} else if (st == PL_OK && r->shingles.n > 0) {
			st = add_keys(r, text, texts, keys, err);
		}
		if (st == PL_OK)
			st = poll(r, err);
	}
	return st;
}

enum pl_status pl_text_reader_set(struct pl_text_reader *r, uint32_t text, struct pl_buf *out, struct pl_err *err)
{
	struct pl_text_set head = {.text = text};
	enum pl_status st = read_text(r, text, err);

	if (st != PL_OK)
		return st;
	pl_shingles_sort(&r->shingles);
	head.n = (uint32_t)r->shingles.n;
	st = pl_buf_add(out, &head, sizeof(head), err);
	if (st == PL_OK)
		st = pl_buf_add(out, r->shingles.hash, r->shingles.n * sizeof(*r->shingles.hash), err);
	return st == PL_OK ? poll(r, err) : st;
}
