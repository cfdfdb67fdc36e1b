/* SPDX-License-Identifier: Apache-2.0 */
/* Corpora of tables for the tests of dedup's rules: made, deduplicated by any
 * number of parts that are threads, and read again. */
#ifndef TESTS_DEDUP_RULES_FIXTURE_H
#define TESTS_DEDUP_RULES_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/file.h"
#include "libpipe/dedup/dedup.h"
#include "table_corpus.h"
#include "thread_parts.h"

enum { CORPORA = 4 };

struct fixture {
	char *dir;
	struct pl_corpus c[CORPORA];
	size_t n, given;                /* corpora; those that get verdicts: the first */
	struct pl_dedup_other others[CORPORA];
	struct pl_dedup_options o;
	struct pl_dedup_stats stats;
	struct pl_account accounts[TP_MAX];
	enum pl_status status;
	char text[1024];
};

static inline void begin(struct fixture *f)
{
	*f = (struct fixture){.dir = tc_tempdir(), .given = 1, .o = {.near = true, .distance = 16, .min_quality = 50, .text = true, .across = true}};
}

static inline void end(struct fixture *f)
{
	for (size_t i = 0; i < f->n; i++)
		pl_corpus_close(&f->c[i]);
	tc_remove(f->dir);
}

static inline void add_corpus(struct fixture *f, const char *name, struct tc_shard *const *shards, size_t n)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	tc_write(&f->c[f->n++], path, name, shards, n);
	for (size_t i = 0; i < n; i++)
		free(shards[i]);
}

static inline enum pl_status decide(struct fixture *f, struct pl_dedup *d, struct pl_parts *p, struct pl_err *err)
{
	enum pl_status st = pl_dedup_load(d, err);

	for (uint64_t u = 0; st == PL_OK && u < pl_dedup_units(d); u++)
		st = u % p->parts == p->part ? pl_dedup_join(d, u, err) : PL_OK;
	if ((st = p->agree(p->ctx, st, err)) == PL_OK)
		st = pl_dedup_decide(d, err);
	for (size_t c = 0; c < f->given && st == PL_OK; c++) {
		for (size_t k = 0; k < f->c[c].nshards && st == PL_OK; k++)
			st = pl_dedup_owner(d, c, k) == p->part ? pl_dedup_write(d, c, k, &f->accounts[p->part], err) : PL_OK;
		if ((st = p->agree(p->ctx, st, err)) == PL_OK)
			st = pl_dedup_clusters(d, c, err);
	}
	if (p->part == 0)
		f->stats = pl_dedup_stats(d);
	return st;
}

static inline void work(struct pl_parts *p, void *arg)
{
	struct fixture *f = arg;
	struct pl_corpus *in[CORPORA] = {0}, *evals[CORPORA] = {0};
	struct pl_dedup_options o = f->o;
	struct pl_dedup *d = NULL;
	struct pl_err err = {0};
	enum pl_status st;

	for (size_t i = 0; i < f->n; i++)
		*(i < f->given ? &in[i] : &evals[i - f->given]) = &f->c[i];
	o.others = f->others;
	st = pl_dedup_new(&d, in, f->given, evals, f->n - f->given, &o, p, &err);
	if (st == PL_OK)
		st = decide(f, d, p, &err);
	pl_dedup_free(d);
	if (p->part == 0) {
		f->status = st;
		snprintf(f->text, sizeof(f->text), "%s", st == PL_OK ? "" : err.text);
	}
}

/* Dedup the given corpora against the others, over this many parts. */
static inline struct pl_account run(struct fixture *f, uint32_t parts)
{
	struct pl_account sum = {0};
	char text[160] = "";

	memset(f->accounts, 0, sizeof(f->accounts));
	tp_run(parts, 1, (uint64_t)1 << 30, NULL, work, f);
	if (f->status != PL_OK)
		fail_msg("%s", f->text);
	for (size_t i = 0; i < TP_MAX; i++)
		pl_account_add(&sum, &f->accounts[i]);
	if (!pl_account_balances(&sum, text))
		fail_msg("%s", text);
	return sum;
}

static inline enum pl_reason sample_at(const struct fixture *f, size_t corpus, size_t shard, uint64_t row)
{
	struct pl_tables t;
	enum pl_reason why;

	assert_int_equal(pl_tables_open(&t, &f->c[corpus], shard, NULL), PL_OK);
	why = pl_sample_verdict(&t, row);
	pl_tables_close(&t);
	return why;
}

static inline struct pl_dedup_row row_at(const struct fixture *f, size_t corpus, size_t shard, bool image, uint64_t row)
{
	struct pl_tables t;
	struct pl_dedup_row r;

	assert_int_equal(pl_tables_open(&t, &f->c[corpus], shard, NULL), PL_OK);
	memcpy(&r, pl_npy_row(image ? &t.dedup_images : &t.dedup, row), sizeof(r));
	pl_tables_close(&t);
	return r;
}

/* Of all verdict tables of a corpus, byte by byte. */
static inline uint64_t digest(const struct fixture *f, size_t corpus)
{
	uint64_t sum = 0;

	for (size_t k = 0; k < 2 * f->c[corpus].nshards; k++) {
		char *path = pl_table_path(&f->c[corpus], k / 2, k % 2 ? "dedup-images" : "dedup"), *bytes = NULL;
		size_t len = 0;
		assert_int_equal(pl_file_read(path, (size_t)1 << 30, &bytes, &len, NULL), PL_OK);
		sum = pl_draw64(sum, len, pl_hash64(bytes, len));
		free(bytes);
		free(path);
	}
	return sum;
}

static inline struct pl_image_row *pair(struct tc_shard *s, const char *key, uint64_t caption, uint64_t hash, unsigned flip, uint32_t side)
{
	struct pl_image_row *im;

	tc_sample(s, PL_KIND_PAIRS, key, caption);
	im = tc_image(s, pl_hash64(key, strlen(key)), hash, side);
	tc_flip(im, flip);
	return im;
}

static inline void fill_random(struct tc_shard *s, uint64_t seed)
{
	for (uint64_t i = 0; i < 150; i++) {
		char key[32];
		uint64_t x = pl_draw64(seed, i, 0);
		snprintf(key, sizeof(key), "%llu", (unsigned long long)(x % 100000));
		tc_sample(s, x % 4 ? PL_KIND_PAIRS : PL_KIND_INTERLEAVED, key, x % 4 ? 1 + (x >> 8) % 25 : x);
		for (uint64_t k = 0; k <= (x % 4 ? 0 : (x >> 16) % 3); k++) {
			uint64_t y = pl_draw64(seed, i, k + 1);
			struct pl_image_row *r = tc_image(s, y % 300, y % 40, 10 + (uint32_t)(y % 3));
			tc_flip(r, (unsigned)(y >> 32) % 26);
			r->pdq_quality = (y >> 40) % 5 ? 100 : 20;
		}
	}
}

/* One image of the random corpora, with what the stars said of it. */
struct seen {
	struct pl_image_row image;
	struct pl_sample_row sample;
	struct pl_dedup_row base;
	uint32_t shard, row;
	enum pl_reason want;
};

static inline size_t read_all(const struct fixture *f, struct seen *all)
{
	size_t n = 0;

	for (uint32_t k = 0; k < f->c[0].nshards; k++) {
		struct pl_tables t;
		assert_int_equal(pl_tables_open(&t, &f->c[0], k, NULL), PL_OK);
		for (uint32_t i = 0; i < t.images.nrows; i++) {
			struct seen *x = &all[n++];
			x->image = *pl_image_at(&t, i);
			x->sample = *pl_sample(&t, x->image.sample);
			memcpy(&x->base, pl_npy_row(&t.dedup_images, i), sizeof(x->base));
			x->shard = k;
			x->row = i;
			x->want = (enum pl_reason)x->base.verdict;
		}
		pl_tables_close(&t);
	}
	return n;
}

#endif
