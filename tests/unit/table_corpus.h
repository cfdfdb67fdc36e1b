/* SPDX-License-Identifier: Apache-2.0 */
/* Corpora written by hand for tests: a few rows per shard, no images behind
 * them. Everything lies in a temporary directory that goes when the test does. */
#ifndef TESTS_TABLE_CORPUS_H
#define TESTS_TABLE_CORPUS_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libpipe/base/hash.h"
#include "libpipe/corpus/corpus.h"

struct tc_shard {
	struct pl_sample_row samples[4096];
	struct pl_image_row images[4096];
	size_t nsamples, nimages;
	char unit[32], folder[16];   /* the shard is data/FOLDERUNIT.tar */
};

static inline int tc_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void tc_remove(char *dir)
{
	nftw(dir, tc_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(dir);
}

static inline char *tc_tempdir(void)
{
	const char *base = getenv("TMPDIR");
	char *dir = malloc(512);

	snprintf(dir, 512, "%s/plait-test-XXXXXX", base && *base ? base : "/tmp");
	assert_non_null(mkdtemp(dir));
	return dir;
}

static inline struct tc_shard *tc_new(const char *unit)
{
	struct tc_shard *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	snprintf(s->unit, sizeof(s->unit), "%s", unit);
	return s;
}

/* A sample; its images follow by tc_image. */
static inline struct pl_sample_row *tc_sample(
    struct tc_shard *s, enum pl_kind kind, const char *key, uint64_t text_hash)
{
	struct pl_sample_row *r = &s->samples[s->nsamples++];

	assert_true(s->nsamples <= PL_ARRAY_LEN(s->samples));
	*r = (struct pl_sample_row){.key = pl_hash64(key, strlen(key)),
	    .text_hash = text_hash,
	    .first_image = s->nimages,
	    .frame = -1,
	    .text_bytes = text_hash ? 40 : 0,
	    .text_words = 8,
	    .text_tokens = 10,
	    .segments = 2,
	    .kind = (uint8_t)kind};
	return r;
}

/* An image of the latest sample, with bytes and hash made from two numbers. */
static inline struct pl_image_row *tc_image(
    struct tc_shard *s, uint64_t bytes, uint64_t hash, uint32_t side)
{
	struct pl_sample_row *p = &s->samples[s->nsamples - 1];
	struct pl_image_row *r = &s->images[s->nimages++];

	assert_true(s->nimages <= PL_ARRAY_LEN(s->images));
	*r = (struct pl_image_row){.sample = s->nsamples - 1,
	    .position = p->images,
	    .width = side,
	    .height = side,
	    .length = 1000,
	    .pdq_quality = 100,
	    .format = PL_FORMAT_JPEG,
	    .orientation = 1};
	for (uint64_t w = 0; w < 2; w++) {
		uint64_t x = pl_draw64(1, bytes, w);
		memcpy(r->xxh3 + 8 * w, &x, 8);
	}
	for (uint64_t w = 0; w < 4; w++) {
		uint64_t x = pl_draw64(2, hash, w);
		memcpy(r->pdq + 8 * w, &x, 8);
	}
	p->images++;
	p->images_ok++;
	return r;
}

/* Flip the first n bits of an image's hash. */
static inline void tc_flip(struct pl_image_row *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		r->pdq[i / 8] ^= (uint8_t)(1u << (i % 8));
}

static inline void tc_table(const char *dir, const char *unit, const char *what,
    const struct pl_npy_col *cols, size_t ncols, size_t size, const void *rows, size_t n)
{
	char path[1024];
	struct pl_npy_writer w = {0};

	snprintf(path, sizeof(path), "%s/%s.%s.npy", dir, unit, what);
	assert_int_equal(pl_npy_create(&w, path, cols, ncols, size, NULL), PL_OK);
	assert_int_equal(pl_npy_append(&w, rows, n, NULL), PL_OK);
	assert_int_equal(pl_npy_commit(&w, NULL), PL_OK);
}

/* Write a corpus of the shards at dir and open it. */
static inline void tc_write(
    struct pl_corpus *c, const char *dir, const char *name, struct tc_shard *const *shards, size_t n)
{
	struct pl_shard_facts facts[16] = {{0}};
	const struct pl_source source = {
	    .name = name, .read = {.kind = PL_KIND_PAIRS}, .script = "test", .language = "test",
	    .limits = pl_img_limits_default()};
	struct pl_err err = {0};
	char paths[16][64];

	assert_true(n <= PL_ARRAY_LEN(facts));
	assert_int_equal(pl_mkdirs(dir, NULL), PL_OK);
	for (size_t i = 0; i < n; i++) {
		tc_table(dir, shards[i]->unit, "samples", pl_sample_cols, pl_sample_ncols,
		    sizeof(struct pl_sample_row), shards[i]->samples, shards[i]->nsamples);
		tc_table(dir, shards[i]->unit, "images", pl_image_cols, pl_image_ncols,
		    sizeof(struct pl_image_row), shards[i]->images, shards[i]->nimages);
		snprintf(paths[i], sizeof(paths[i]), "data/%s%s.tar", shards[i]->folder, shards[i]->unit);
		facts[i] = (struct pl_shard_facts){.path = paths[i],
		    .unit = shards[i]->unit,
		    .bytes = 1,
		    .hash = {i + 1, 1},
		    .samples = shards[i]->nsamples,
		    .images = shards[i]->nimages,
		    .kept = shards[i]->nsamples};
	}
	assert_int_equal(pl_corpus_write_manifest(dir, &source, facts, n, NULL, 0, NULL), PL_OK);
	if (pl_corpus_open(c, dir, &err) != PL_OK)
		fail_msg("%s", err.text);
}

#endif
