/* SPDX-License-Identifier: Apache-2.0 */
/* CORPUS/dedup.clusters.npy: who gave way to whom, cluster by cluster. The rows
 * are sorted over all parts and go to the first part in order, which writes. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "libpipe/base/npy.h"

#define COL(field, type) {#field, type, 1, (uint32_t)offsetof(struct pl_cluster_row, field)}

const struct pl_npy_col pl_cluster_cols[] = {
	COL(survivor_key, PL_NPY_U64),
	COL(survivor_row, PL_NPY_U64),
	COL(member_key, PL_NPY_U64),
	COL(member_row, PL_NPY_U64),
	COL(survivor_corpus, PL_NPY_U32),
	COL(survivor_shard, PL_NPY_U32),
	COL(member_shard, PL_NPY_U32),
	COL(distance, PL_NPY_U16),
	COL(reason, PL_NPY_U8),
	COL(text, PL_NPY_U8),
};
const size_t pl_cluster_ncols = PL_ARRAY_LEN(pl_cluster_cols);
_Static_assert(sizeof(struct pl_cluster_row) == 48, "README.md promises 48 bytes a row");

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_rows(const void *x, const void *y)
{
	const struct pl_cluster_row *a = x, *b = y;
	int c = compare_u64(a->text, b->text);

	if (c == 0)
		c = compare_u64(a->survivor_corpus, b->survivor_corpus);
	if (c == 0)
		c = compare_u64(a->survivor_shard, b->survivor_shard);
	if (c == 0)
		c = compare_u64(a->survivor_row, b->survivor_row);
	if (c == 0)
		c = compare_u64(a->member_shard, b->member_shard);
	return c != 0 ? c : compare_u64(a->member_row, b->member_row);
}

static enum pl_status list_images(const struct pl_dedup *d, size_t corpus, struct pl_buf *rows, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < d->images.n && st == PL_OK; i++) {
		const struct pl_item *it = &d->images.items[i];
		const struct pl_fate *f = &it->fate;
		struct pl_cluster_row row;
		if (f->reason == PL_REASON_KEEP || d->places[it->place].corpus != corpus)
			continue;
		row = (struct pl_cluster_row){.survivor_key = f->key, .survivor_row = f->row, .member_key = it->key, .member_row = it->row,
		    .survivor_corpus = d->places[f->place].corpus, .survivor_shard = d->places[f->place].shard,
		    .member_shard = d->places[it->place].shard, .distance = f->distance, .reason = f->reason};
		st = pl_buf_add(rows, &row, sizeof(row), err);
	}
	return st;
}

/* What keys the dropped samples have, their tables tell. */
static enum pl_status list_texts(const struct pl_dedup *d, size_t corpus, struct pl_buf *rows, struct pl_err *err)
{
	struct pl_tables t = {0};
	uint32_t open = UINT32_MAX;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < d->ntexts && st == PL_OK; i++) {
		const struct pl_text_drop *x = &d->texts[i];
		const struct pl_dedup_place *p = &d->places[x->place], *s = &d->places[x->survivor_place];
		struct pl_cluster_row row;
		if (p->corpus != corpus || d->owner[x->place] != d->parts.part)
			continue;
		if (open != x->place) {
			if (open != UINT32_MAX)
				pl_tables_close(&t);
			open = UINT32_MAX;
			if ((st = pl_tables_open(&t, d->corpora[corpus], p->shard, err)) != PL_OK)
				break;
			open = x->place;
		}
		row = (struct pl_cluster_row){.survivor_key = x->survivor_key, .survivor_row = x->survivor_sample,
		    .member_key = pl_sample(&t, x->sample)->key, .member_row = x->sample, .survivor_corpus = s->corpus,
		    .survivor_shard = s->shard, .member_shard = p->shard, .distance = x->distance, .reason = x->reason, .text = 1};
		st = pl_buf_add(rows, &row, sizeof(row), err);
	}
	if (open != UINT32_MAX)
		pl_tables_close(&t);
	return st;
}

struct row_deal { const struct pl_buf *rows; size_t at; bool mine; };

static bool next_row(void *ctx, const void **record, uint32_t *to)
{
	struct row_deal *x = ctx;

	if (!x->mine || x->at == x->rows->len)
		return false;
	*record = x->rows->data + x->at;
	*to = 0;
	x->at += sizeof(struct pl_cluster_row);
	return true;
}

/* So many rows go in one batch of pl_parts_deal, where they keep the order of parts. */
enum { TOGETHER = 100000 };

/* The parts from..end-1 send together. */
static uint32_t group_end(const uint64_t *counts, uint32_t from, uint32_t parts)
{
	uint64_t rows = counts[from];
	uint32_t end = from + 1;

	while (end < parts && rows + counts[end] <= TOGETHER)
		rows += counts[end++];
	return end;
}

/* Part after part sends its rows to the first, several at once where they have few. */
static enum pl_status write_rows(struct pl_dedup *d, size_t corpus, const struct pl_buf *rows, enum pl_status st, struct pl_err *err)
{
	struct pl_npy_writer w = {0};
	char *path = pl_path_join(d->corpora[corpus]->dir, "dedup.clusters.npy");
	uint64_t *counts = calloc(d->parts.parts, sizeof(*counts));
	struct pl_buf in;
	bool agreed;

	pl_buf_init(&in, (size_t)1 << 46);
	if (st == PL_OK && (!path || !counts))
		st = pl_fail_nomem(err);
	if (st == PL_OK && d->parts.part == 0)
		st = pl_npy_create(&w, path, pl_cluster_cols, pl_cluster_ncols, sizeof(struct pl_cluster_row), err);
	st = d->parts.agree(d->parts.ctx, st, err);
	agreed = st == PL_OK && counts;
	if (agreed) {
		counts[d->parts.part] = rows->len / sizeof(struct pl_cluster_row);
		d->parts.sum(d->parts.ctx, counts, d->parts.parts);
	}
	for (uint32_t p = 0, end; agreed && p < d->parts.parts; p = end) {
		struct row_deal deal = {rows, 0, false};
		end = group_end(counts, p, d->parts.parts);
		deal.mine = d->parts.part >= p && d->parts.part < end;
		pl_buf_clear(&in);
		st = pl_parts_deal(&d->parts, st, sizeof(struct pl_cluster_row), next_row, &deal, &in, err);
		if (st != PL_OK)
			break;
		if (d->parts.part == 0 && in.len > 0)   /* how that went, the next deal or the end agrees on */
			st = pl_npy_append(&w, in.data, in.len / sizeof(struct pl_cluster_row), err);
	}
	if (st == PL_OK && d->parts.part == 0)
		st = pl_npy_commit(&w, err);
	pl_npy_abort(&w);
	pl_buf_release(&in);
	free(counts);
	free(path);
	return d->parts.agree(d->parts.ctx, st, err);
}

enum pl_status pl_dedup_clusters(struct pl_dedup *d, size_t corpus, struct pl_err *err)
{
	struct pl_buf rows;
	enum pl_status st = PL_OK;

	if (!d->resolved || corpus >= d->n)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no decided corpus %zu", corpus);
	pl_buf_init(&rows, (size_t)1 << 46);
	st = list_images(d, corpus, &rows, err);
	if (st == PL_OK)
		st = list_texts(d, corpus, &rows, err);
	st = d->parts.agree(d->parts.ctx, st, err);
	if (st == PL_OK)
		st = pl_parts_sort(&d->parts, &rows, sizeof(struct pl_cluster_row), compare_rows, err);
	if (st == PL_OK)
		st = write_rows(d, corpus, &rows, st, err);
	pl_buf_release(&rows);
	return st;
}
