/* SPDX-License-Identifier: Apache-2.0 */
/* The rules beyond one copy of each, by hand and against plain loops over what the
 * stars decided; corpora known before; joins that leave the first hashes alone. All
 * of it over 1 and 3 parts. */
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

static void begin(struct fixture *f)
{
	*f = (struct fixture){.dir = tc_tempdir(), .given = 1, .o = {.near = true, .distance = 16, .min_quality = 50, .text = true, .across = true}};
}

static void end(struct fixture *f)
{
	for (size_t i = 0; i < f->n; i++)
		pl_corpus_close(&f->c[i]);
	tc_remove(f->dir);
}

static void add_corpus(struct fixture *f, const char *name, struct tc_shard *const *shards, size_t n)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	tc_write(&f->c[f->n++], path, name, shards, n);
	for (size_t i = 0; i < n; i++)
		free(shards[i]);
}

static enum pl_status decide(struct fixture *f, struct pl_dedup *d, struct pl_parts *p, struct pl_err *err)
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

static void work(struct pl_parts *p, void *arg)
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
static struct pl_account run(struct fixture *f, uint32_t parts)
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

static enum pl_reason sample_at(const struct fixture *f, size_t corpus, size_t shard, uint64_t row)
{
	struct pl_tables t;
	enum pl_reason why;

	assert_int_equal(pl_tables_open(&t, &f->c[corpus], shard, NULL), PL_OK);
	why = pl_sample_verdict(&t, row);
	pl_tables_close(&t);
	return why;
}

static struct pl_dedup_row row_at(const struct fixture *f, size_t corpus, size_t shard, bool image, uint64_t row)
{
	struct pl_tables t;
	struct pl_dedup_row r;

	assert_int_equal(pl_tables_open(&t, &f->c[corpus], shard, NULL), PL_OK);
	memcpy(&r, pl_npy_row(image ? &t.dedup_images : &t.dedup, row), sizeof(r));
	pl_tables_close(&t);
	return r;
}

/* Of all verdict tables of a corpus, byte by byte. */
static uint64_t digest(const struct fixture *f, size_t corpus)
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

/* ---- by hand ---- */

static struct pl_image_row *pair(struct tc_shard *s, const char *key, uint64_t caption, uint64_t hash, unsigned flip, uint32_t side)
{
	struct pl_image_row *im;

	tc_sample(s, PL_KIND_PAIRS, key, caption);
	im = tc_image(s, pl_hash64(key, strlen(key)), hash, side);
	tc_flip(im, flip);
	return im;
}

static void test_captions(void **state)
{
	struct tc_shard *s = tc_new("00000"), *e = tc_new("00000");
	struct tc_shard *const shards[] = {s}, *const evals[] = {e};
	struct fixture f;
	static const uint32_t captions[] = {0, 1, 2, 3, PL_CAPTIONS_ALL};
	static const unsigned stay[] = {0x01, 0x01, 0x05, 0x15, 0x55};

	(void)state;
	begin(&f);
	pair(s, "a", 1, 1, 0, 100);
	pair(s, "a, smaller", 1, 1, 2, 90);
	pair(s, "b", 2, 1, 2, 80);
	pair(s, "b, smaller", 2, 1, 4, 70);
	pair(s, "c", 3, 1, 0, 60);
	pair(s, "a, smallest", 1, 1, 0, 50);
	pair(s, "no caption", 0, 1, 6, 40);
	tc_sample(s, PL_KIND_INTERLEAVED, "a document's image stays for no text", 9);
	tc_image(s, 1, 1, 30);
	pair(s, "evaluation", 8, 5, 0, 40);
	pair(s, "evaluation, other caption", 7, 5, 0, 40);
	pair(e, "e", 0, 5, 0, 10);
	add_corpus(&f, "a", shards, 1);
	add_corpus(&f, "e", evals, 1);
	for (size_t i = 0; i < PL_ARRAY_LEN(captions); i++) {
		for (uint32_t parts = 1; parts <= 3; parts += 2) {
			unsigned got = 0;
			f.o.rules.captions = captions[i];
			run(&f, parts);
			for (unsigned row = 0; row < 8; row++)
				got |= (unsigned)(sample_at(&f, 0, 0, row) == PL_REASON_KEEP) << row;
			assert_int_equal(got, stay[i]);
			assert_int_equal(sample_at(&f, 0, 0, 8), PL_REASON_EVALUATION);
			assert_int_equal(sample_at(&f, 0, 0, 9), PL_REASON_EVALUATION);
			assert_int_equal(f.stats.kept_captions, captions[i] > 3 ? 3 : captions[i] > 1 ? captions[i] - 1 : 0);
			assert_int_equal(f.stats.dropped_near + f.stats.dropped_bytes, 7 - f.stats.kept_captions);
			assert_int_equal(row_at(&f, 0, 0, false, 1).survivor_row, 0);
		}
	}
	end(&f);
}

static void test_max_documents(void **state)
{
	struct tc_shard *s = tc_new("00000"), *t = tc_new("00001");
	struct tc_shard *const shards[] = {s, t};
	struct fixture f;

	(void)state;
	begin(&f);
	for (int i = 0; i < 4; i++) {   /* an image in 4 documents, twice in one; another that only the first has */
		char key[16];
		snprintf(key, sizeof(key), "d%d", i);
		tc_sample(i < 2 ? s : t, PL_KIND_INTERLEAVED, key, 10 + (uint64_t)i);
		tc_image(i < 2 ? s : t, 1, 1, 100 - (uint32_t)i);
		if (i == 0) {
			tc_image(s, 1, 1, 100);
			tc_image(s, 2, 2, 100);
		}
	}
	pair(t, "its caption", 1, 2, 0, 50);
	add_corpus(&f, "a", shards, 2);
	for (uint32_t k = 3; k <= 4; k++) {
		struct pl_account a;
		f.o.rules.max_documents = k;
		a = run(&f, k == 3 ? 3 : 1);
		assert_int_equal(row_at(&f, 0, 0, true, 0).verdict == PL_REASON_REPEATED_IMAGE || row_at(&f, 0, 0, true, 1).verdict == PL_REASON_REPEATED_IMAGE, k == 3);
		assert_int_equal(row_at(&f, 0, 1, true, 1).verdict, k == 3 ? PL_REASON_REPEATED_IMAGE : PL_REASON_DUPLICATE_BYTES);
		assert_int_equal(row_at(&f, 0, 0, true, 2).verdict, PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 0), PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 1, 2), PL_REASON_NEAR_DUPLICATE);
		assert_int_equal(f.stats.repeated_images, k == 3 ? 5 : 0);
		assert_int_equal(a.images_dropped[PL_REASON_REPEATED_IMAGE], k == 3 ? 5 : 0);
		assert_int_equal(a.samples_dropped[PL_REASON_IMAGES_GONE], 3);
	}
	end(&f);
}

static void test_max_texts(void **state)
{
	struct tc_shard *s = tc_new("00000");
	struct tc_shard *const shards[] = {s};
	struct fixture f;

	(void)state;
	begin(&f);
	pair(s, "a", 1, 1, 0, 100);
	pair(s, "b", 2, 1, 0, 90);
	pair(s, "b again", 2, 1, 0, 80);
	pair(s, "c", 3, 1, 0, 70);
	add_corpus(&f, "a", shards, 1);
	f.o.rules.captions = PL_CAPTIONS_ALL;
	f.o.rules.max_texts_per_image = 3;
	run(&f, 1);
	assert_int_equal(f.stats.repeated_images, 0);
	assert_int_equal(f.stats.kept_captions, 2);
	f.o.rules.max_texts_per_image = 2;
	run(&f, 3);
	for (uint64_t row = 0; row < 4; row++)
		assert_int_equal(sample_at(&f, 0, 0, row), PL_REASON_REPEATED_IMAGE);
	end(&f);
}

/* Those that go for their caption push out nothing. */
static void test_max_captions(void **state)
{
	struct tc_shard *s = tc_new("00000"), *t = tc_new("00000");
	struct tc_shard *const a[] = {s}, *const b[] = {t};
	struct fixture f;

	(void)state;
	begin(&f);
	pair(s, "stock photo", 1, 1, 0, 100);
	pair(s, "another", 1, 2, 0, 100);
	pair(s, "twin of the first", 2, 1, 0, 50);
	pair(t, "a third", 1, 3, 0, 100);
	tc_sample(t, PL_KIND_TEXT, "a text is no caption", 1);
	add_corpus(&f, "a", a, 1);
	add_corpus(&f, "b", b, 1);
	f.given = 2;
	for (uint32_t k = 1; k <= 3; k++) {
		f.o.rules.max_captions = k;
		run(&f, k);
		assert_int_equal(sample_at(&f, 0, 0, 0), k < 3 ? PL_REASON_REPEATED_CAPTION : PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 1, 0, 0), k < 3 ? PL_REASON_REPEATED_CAPTION : PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 2), k < 3 ? PL_REASON_KEEP : PL_REASON_NEAR_DUPLICATE);
		assert_int_equal(sample_at(&f, 1, 0, 1), PL_REASON_KEEP);
		assert_int_equal(f.stats.repeated_captions, k < 3 ? 3 : 0);
	}
	f.o.rules.max_captions = 2;   /* each corpus by itself: 2 and 1 */
	f.o.across = false;
	run(&f, 1);
	assert_int_equal(f.stats.repeated_captions, 0);
	end(&f);
}

static void test_document(void **state)
{
	struct tc_shard *s = tc_new("00000");
	struct tc_shard *const shards[] = {s};
	static const uint32_t shares[] = {0, 333333, 333334, 500000, 500001};
	struct fixture f;

	(void)state;
	begin(&f);
	pair(s, "large", 1, 1, 0, 1000);
	pair(s, "large too", 2, 2, 0, 1000);
	tc_sample(s, PL_KIND_INTERLEAVED, "one of three", 11);
	tc_image(s, 1, 1, 10);
	tc_image(s, 3, 3, 10);
	tc_image(s, 4, 4, 10);
	tc_sample(s, PL_KIND_INTERLEAVED, "one of two", 12);
	tc_image(s, 2, 2, 10);
	tc_image(s, 5, 5, 10);
	tc_sample(s, PL_KIND_INTERLEAVED, "its own twice", 13);
	tc_image(s, 6, 6, 10);
	tc_image(s, 6, 6, 10);
	tc_sample(s, PL_KIND_INTERLEAVED, "each has the better of one image", 14);
	tc_image(s, 7, 7, 30);
	tc_image(s, 8, 8, 20);
	tc_sample(s, PL_KIND_INTERLEAVED, "each has the better of one image, too", 15);
	tc_image(s, 7, 7, 25);
	tc_image(s, 8, 8, 27);
	add_corpus(&f, "a", shards, 1);
	f.o.rules.document = PL_DOCUMENT_WHOLE;
	for (size_t i = 0; i < PL_ARRAY_LEN(shares); i++) {
		struct pl_account a;
		f.o.rules.document_share = shares[i];
		a = run(&f, 1 + 2 * (uint32_t)(i % 2));
		assert_int_equal(sample_at(&f, 0, 0, 2), shares[i] <= 333333 ? PL_REASON_NEAR_DUPLICATE : PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 3), shares[i] <= 500000 ? PL_REASON_NEAR_DUPLICATE : PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 4), PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 5), PL_REASON_DUPLICATE_BYTES);
		assert_int_equal(sample_at(&f, 0, 0, 6), PL_REASON_KEEP);   /* 25^2 + 27^2 > 30^2 + 20^2 */
		assert_int_equal(row_at(&f, 0, 0, true, 11).verdict + row_at(&f, 0, 0, true, 12).verdict, PL_REASON_KEEP);
		assert_int_equal(a.samples_out, 4 + (shares[i] > 333333) + (shares[i] > 500000));
	}
	assert_int_equal(row_at(&f, 0, 0, false, 3).verdict, PL_REASON_KEEP);
	f.o.rules = (struct pl_dedup_rules){0};
	run(&f, 1);
	assert_int_equal(sample_at(&f, 0, 0, 2), PL_REASON_KEEP);
	end(&f);
}

static void test_same_images(void **state)
{
	struct tc_shard *s = tc_new("00000"), *e = tc_new("00000");
	struct tc_shard *const shards[] = {s}, *const evals[] = {e};
	struct fixture f;

	(void)state;
	begin(&f);
	tc_sample(s, PL_KIND_INTERLEAVED, "set", 1);
	tc_image(s, 1, 1, 10);
	tc_image(s, 2, 2, 10);
	tc_sample(s, PL_KIND_INTERLEAVED, "set, other order, one twice", 2);
	tc_image(s, 2, 2, 10);
	tc_image(s, 1, 1, 10);
	tc_image(s, 1, 1, 10);
	tc_sample(s, PL_KIND_INTERLEAVED, "part of it", 3);
	tc_image(s, 1, 1, 5);
	tc_sample(s, PL_KIND_INTERLEAVED, "none", 4);
	tc_sample(s, PL_KIND_INTERLEAVED, "none too", 5);
	tc_sample(s, PL_KIND_INTERLEAVED, "of the evaluation set", 6);
	tc_image(s, 9, 9, 10);
	tc_sample(e, PL_KIND_INTERLEAVED, "e", 7);
	tc_image(e, 9, 9, 10);
	add_corpus(&f, "a", shards, 1);
	add_corpus(&f, "e", evals, 1);
	f.o.rules.same_images = true;
	for (uint32_t parts = 1; parts <= 3; parts += 2) {
		run(&f, parts);
		assert_int_equal(sample_at(&f, 0, 0, 0), PL_REASON_DUPLICATE_BYTES);   /* it has fewer images */
		assert_int_equal(row_at(&f, 0, 0, false, 0).survivor_row, 1);
		assert_int_equal(sample_at(&f, 0, 0, 1), PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 2), PL_REASON_IMAGES_GONE);
		assert_int_equal(row_at(&f, 0, 0, false, 3).verdict, PL_REASON_KEEP);
		assert_int_equal(row_at(&f, 0, 0, false, 4).verdict, PL_REASON_KEEP);
		assert_int_equal(sample_at(&f, 0, 0, 5), PL_REASON_EVALUATION);
	}
	end(&f);
}

static void test_wrong_rules(void **state)
{
	struct pl_dedup_rules r;
	struct pl_err err = {0};

	(void)state;
	assert_int_equal(pl_dedup_rules_set(&r, 0, 1, 2, 3, PL_DOCUMENT_WHOLE, 0.5, true, &err), PL_OK);
	assert_int_equal(r.captions, PL_CAPTIONS_ALL);
	assert_int_equal(r.document_share, 500000);
	assert_int_equal(pl_dedup_rules_set(&r, -1, 0, 0, 0, PL_DOCUMENT_IMAGE, -1, false, &err), PL_ERR_USAGE);
	assert_int_equal(pl_dedup_rules_set(&r, 1, (int64_t)UINT32_MAX, 0, 0, PL_DOCUMENT_IMAGE, -1, false, &err), PL_ERR_USAGE);
	assert_int_equal(pl_dedup_rules_set(&r, 1, 0, 0, 0, PL_DOCUMENT_IMAGE, 0.5, false, &err), PL_ERR_USAGE);
	assert_int_equal(pl_dedup_rules_set(&r, 1, 0, 0, 0, PL_DOCUMENT_WHOLE, 1.5, false, &err), PL_ERR_USAGE);
	assert_int_equal(pl_dedup_rules_set(&r, 1, 0, 0, 0, PL_DOCUMENT_WHOLE, 0, false, &err), PL_ERR_USAGE);
}

/* ---- against plain loops ---- */

static void fill_random(struct tc_shard *s, uint64_t seed)
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

static size_t read_all(const struct fixture *f, struct seen *all)
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

/* The total order of the README, with what these corpora leave equal left out. */
static bool before(const struct seen *a, const struct seen *b)
{
	if (a->image.width != b->image.width)
		return a->image.width > b->image.width;
	if (a->image.pdq_quality != b->image.pdq_quality)
		return a->image.pdq_quality > b->image.pdq_quality;
	if (a->sample.key != b->sample.key)
		return a->sample.key < b->sample.key;
	return a->shard != b->shard ? a->shard < b->shard : a->row < b->row;
}

/* The star of `s`, in the total order. */
static size_t gather(struct seen *all, size_t n, struct seen *s, struct seen **in)
{
	size_t members = 0;

	for (size_t i = 0; i < n; i++) {
		if (&all[i] != s && (!all[i].base.verdict || all[i].base.survivor_shard != s->shard || all[i].base.survivor_row != s->row))
			continue;
		in[members] = &all[i];
		for (size_t k = members++; k > 0 && before(in[k], in[k - 1]); k--) {
			struct seen *swap = in[k];
			in[k] = in[k - 1];
			in[k - 1] = swap;
		}
	}
	assert_ptr_equal(in[0], s);
	return members;
}

/* What the rules make of it. */
static void expect_star(const struct pl_dedup_rules *r, struct seen *all, size_t n, struct seen *s)
{
	struct seen *in[1000];
	size_t members = gather(all, n, s, in), samples = 0, captions = 0, kept = 1;

	for (size_t i = 0; i < members; i++) {
		bool old_sample = false, old_caption = in[i]->sample.kind != PL_KIND_PAIRS;
		for (size_t k = 0; k < i; k++) {
			old_sample |= in[k]->shard == in[i]->shard && in[k]->image.sample == in[i]->image.sample;
			old_caption |= in[k]->sample.kind == PL_KIND_PAIRS && in[k]->sample.text_hash == in[i]->sample.text_hash;
		}
		samples += !old_sample;
		captions += !old_caption;
		if (i > 0 && !old_caption && kept < (r->captions ? r->captions : 1)) {
			in[i]->want = PL_REASON_KEEP;
			kept++;
		}
	}
	for (size_t i = 0; i < members && members > 1; i++)
		if ((r->max_documents && samples > r->max_documents) || (r->max_texts_per_image && captions > r->max_texts_per_image))
			in[i]->want = PL_REASON_REPEATED_IMAGE;
}

static void check_random(struct fixture *f, uint32_t parts)
{
	static struct seen all[4096];
	const struct pl_dedup_rules rules = f->o.rules;
	struct pl_account a;
	size_t n, kept = 0, repeated = 0;

	f->o.rules = (struct pl_dedup_rules){0};
	run(f, 1);
	n = read_all(f, all);
	f->o.rules = rules;
	for (size_t i = 0; i < n; i++)
		if (all[i].base.verdict == PL_REASON_KEEP)
			expect_star(&rules, all, n, &all[i]);
	a = run(f, parts);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(row_at(f, 0, all[i].shard, true, all[i].row).verdict, all[i].want);
		kept += all[i].base.verdict != PL_REASON_KEEP && all[i].want == PL_REASON_KEEP;
		repeated += all[i].want == PL_REASON_REPEATED_IMAGE;
	}
	assert_int_equal(f->stats.kept_captions, kept);
	assert_int_equal(f->stats.repeated_images, repeated);
	assert_true(rules.captions <= 1 || kept > 0);
	assert_true(rules.max_documents + rules.max_texts_per_image == 0 || repeated > 0);
	assert_true(a.samples_out < a.samples_in);
}

static void test_random(void **state)
{
	static const struct pl_dedup_rules rules[] = {{.captions = 2}, {.captions = 4}, {.captions = PL_CAPTIONS_ALL},
	    {.max_documents = 3}, {.max_texts_per_image = 4}, {.captions = 3, .max_documents = 6, .max_texts_per_image = 5}};
	struct tc_shard *shards[5];
	struct fixture f;

	(void)state;
	begin(&f);
	for (size_t k = 0; k < PL_ARRAY_LEN(shards); k++) {
		char unit[16];
		snprintf(unit, sizeof(unit), "%05zu", k);
		shards[k] = tc_new(unit);
		fill_random(shards[k], 40 + k);
	}
	add_corpus(&f, "a", shards, PL_ARRAY_LEN(shards));
	for (size_t i = 0; i < PL_ARRAY_LEN(rules); i++) {
		for (uint32_t parts = 1; parts <= 3; parts += 2) {
			f.o.rules = rules[i];
			check_random(&f, parts);
		}
	}
	/* captions: exactly the samples whose caption is too frequent */
	f.o.rules = (struct pl_dedup_rules){.max_captions = 22};
	for (uint32_t parts = 1; parts <= 3; parts += 2) {
		static struct seen all[4096];
		size_t n, frequent = 0;
		run(&f, parts);
		n = read_all(&f, all);
		for (size_t i = 0; i < n; i++) {
			size_t count = 0;
			for (size_t k = 0; k < n; k++)
				count += all[k].sample.kind == PL_KIND_PAIRS && all[k].sample.text_hash == all[i].sample.text_hash;
			frequent += all[i].sample.kind == PL_KIND_PAIRS && count > 22;
			assert_int_equal(sample_at(&f, 0, all[i].shard, all[i].image.sample) == PL_REASON_REPEATED_CAPTION,
			    all[i].sample.kind == PL_KIND_PAIRS && count > 22);
		}
		assert_true(frequent > 0 && frequent < n);
		assert_int_equal(f.stats.repeated_captions, frequent);
	}
	end(&f);
}

/* ---- known before ---- */

/* Corpus 1 was deduplicated alone; corpus 0 is, with it known. */
static void test_known(void **state)
{
	struct tc_shard *s = tc_new("00000"), *t = tc_new("00000");
	struct tc_shard *const b[] = {s}, *const a[] = {t};
	struct fixture f, old;

	(void)state;
	begin(&f);
	pair(t, "kept", 1, 1, 0, 50);
	pair(t, "dropped by kept", 2, 1, 10, 40);
	pair(t, "flat", 3, 2, 0, 40)->pdq_quality = 0;
	tc_sample(t, PL_KIND_TEXT, "text", 77);
	tc_sample(t, PL_KIND_CHAT, "chat", 78);
	tc_image(t, 50, 50, 50);
	pair(s, "near kept, and larger", 4, 1, 4, 500);
	pair(s, "near what was dropped, far from kept", 5, 1, 20, 500);
	pair(s, "flat", 6, 2, 0, 400)->pdq_quality = 0;
	pair(s, "new", 7, 3, 0, 50);
	pair(s, "new again", 8, 3, 2, 40);
	tc_sample(s, PL_KIND_TEXT, "text again", 77);
	pair(s, "a picture that a chat asks about", 9, 50, 0, 50);
	add_corpus(&f, "b", b, 1);
	add_corpus(&f, "a", a, 1);
	f.others[0].known = true;
	tp_run(1, 1, (uint64_t)1 << 30, NULL, work, &f);
	assert_int_equal(f.status, PL_ERR_USAGE);
	assert_non_null(strstr(f.text, "run plait dedup"));
	old = (struct fixture){.given = 1, .n = 1, .o = f.o};
	old.c[0] = f.c[1];
	run(&old, 1);
	assert_int_equal(sample_at(&old, 0, 0, 1), PL_REASON_NEAR_DUPLICATE);
	for (uint32_t parts = 1; parts <= 3; parts += 2) {
		static const enum pl_reason want[] = {PL_REASON_NEAR_DUPLICATE, PL_REASON_KEEP, PL_REASON_DUPLICATE_BYTES, PL_REASON_KEEP,
		    PL_REASON_NEAR_DUPLICATE, PL_REASON_DUPLICATE_TEXT, PL_REASON_KEEP};
		uint64_t before_run = digest(&old, 0);
		run(&f, parts);
		for (uint64_t row = 0; row < PL_ARRAY_LEN(want); row++)
			assert_int_equal(sample_at(&f, 0, 0, row), want[row]);
		assert_int_equal(row_at(&f, 0, 0, false, 0).survivor_corpus, 1);
		assert_int_equal(row_at(&f, 0, 0, false, 0).distance, 4);
		assert_int_equal(digest(&old, 0), before_run);
	}
	end(&f);
}

static unsigned hamming(const uint8_t *a, const uint8_t *b)
{
	unsigned d = 0;

	for (size_t i = 0; i < 32; i++)
		for (unsigned x = a[i] ^ b[i]; x; x &= x - 1)
			d++;
	return d;
}

/* Random corpora: what stays of the new one is far from all that stays, what goes is near its survivor; and again. */
static void test_known_random(void **state)
{
	static struct seen olds[4096], news[4096];
	struct tc_shard *s = tc_new("00000"), *t = tc_new("00000"), *u = tc_new("00001");
	struct tc_shard *const b[] = {s}, *const a[] = {t, u};
	struct fixture f, old;
	size_t nold, nnew, dropped = 0;
	uint64_t want;

	(void)state;
	begin(&f);
	fill_random(s, 60);
	fill_random(t, 61);
	fill_random(u, 62);
	add_corpus(&f, "b", b, 1);
	add_corpus(&f, "a", a, 2);
	f.others[0].known = true;
	old = (struct fixture){.given = 1, .n = 1, .o = f.o};
	old.c[0] = f.c[1];
	run(&old, 1);
	run(&f, 1);
	nold = read_all(&old, olds);
	nnew = read_all(&f, news);
	for (size_t i = 0; i < nnew; i++) {
		bool hashed = news[i].image.pdq_quality >= 50;
		for (size_t k = 0; k < nold && hashed && news[i].base.verdict == PL_REASON_KEEP; k++)
			assert_true(olds[k].base.verdict != PL_REASON_KEEP || olds[k].image.pdq_quality < 50 ||
			    hamming(news[i].image.pdq, olds[k].image.pdq) > 16);
		for (size_t k = 0; k < nold && hashed && news[i].base.verdict && news[i].base.survivor_corpus == 1; k++) {
			if (olds[k].shard != news[i].base.survivor_shard || olds[k].row != news[i].base.survivor_row)
				continue;
			assert_int_equal(olds[k].base.verdict, PL_REASON_KEEP);
			assert_int_equal(hamming(news[i].image.pdq, olds[k].image.pdq), news[i].base.distance);
			dropped++;
		}
	}
	assert_true(dropped > 10);
	want = digest(&f, 0);
	for (uint32_t parts = 1; parts <= 3; parts++) {
		run(&f, parts);
		assert_int_equal(digest(&f, 0), want);
	}
	end(&f);
}

/* ---- joins that leave the first hashes alone ---- */

static int compare_pairs(const void *x, const void *y)
{
	return memcmp(x, y, sizeof(struct pl_pair));
}

static void sort_pairs(struct pl_buf *b)
{
	assert_true(b->len > 0);
	qsort(b->data, b->len / sizeof(struct pl_pair), sizeof(struct pl_pair), compare_pairs);
}

static void check_fixed(uint64_t (*h)[4], uint32_t n, uint32_t fixed)
{
	struct pl_join j = {.hashes = h, .n = n, .distance = 12, .fixed = 0};
	struct pl_join_plan *p = NULL;
	struct pl_join_cost all, some;
	struct pl_buf every = {0}, want = {0}, got = {0};

	for (uint32_t part = 0; part < 3; part++)
		assert_int_equal(pl_join_part(&j, part, 3, &every, NULL), PL_OK);
	for (size_t at = 0; at < every.len; at += sizeof(struct pl_pair)) {
		struct pl_pair pair;
		memcpy(&pair, every.data + at, sizeof(pair));
		if (pair.b >= fixed)
			assert_int_equal(pl_buf_add(&want, &pair, sizeof(pair), NULL), PL_OK);
	}
	assert_true(fixed < 100 || want.len < every.len);
	sort_pairs(&want);
	assert_int_equal(pl_join_plan_new(&p, &j, (uint64_t)1 << 28, NULL), PL_OK);
	assert_int_equal(pl_join_plan_cost(p, &all, NULL), PL_OK);
	pl_join_plan_free(p);
	j.fixed = fixed;
	j.permuted = true;
	for (uint32_t part = 0; part < 5; part++)
		assert_int_equal(pl_join_part(&j, part, 5, &got, NULL), PL_OK);
	sort_pairs(&got);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data, want.data, want.len);
	pl_buf_clear(&got);
	assert_int_equal(pl_join_plan_new(&p, &j, (uint64_t)1 << 28, NULL), PL_OK);
	assert_int_equal(pl_join_plan_cost(p, &some, NULL), PL_OK);
	assert_true(fixed < 100 ? some.candidates <= all.candidates : some.candidates < all.candidates);
	for (uint64_t u = 0; u < pl_join_plan_units(p); u++)
		assert_int_equal(pl_join_unit(p, u, &got, NULL), PL_OK);
	pl_join_plan_free(p);
	sort_pairs(&got);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data, want.data, want.len);
	pl_buf_release(&every);
	pl_buf_release(&want);
	pl_buf_release(&got);
}

/* Few hashes go through tiles, many through a cover; one bucket is large enough for tiles of its own. */
static void test_fixed(void **state)
{
	enum { MANY = 6000, FEW = 1500 };
	uint64_t (*h)[4] = calloc(MANY, sizeof(*h));
	static const uint32_t fixed[] = {0, 1, 700, 1024, 1400};

	(void)state;
	assert_non_null(h);
	for (uint32_t i = 0; i < MANY; i++) {
		uint64_t base = i % 3 == 0 ? 7 : pl_draw64(3, i, 9) % 4000;
		for (unsigned w = 0; w < 4; w++)
			h[i][w] = pl_draw64(8, base, w);
		for (uint64_t k = pl_draw64(3, i, 8) % 9; k > 0; k--) {
			uint64_t bit = pl_draw64(4, i, k) % 256;
			h[i][bit / 64] ^= (uint64_t)1 << bit % 64;
		}
	}
	for (size_t i = 0; i < PL_ARRAY_LEN(fixed); i++) {
		check_fixed(h, FEW, fixed[i]);
		check_fixed(h, MANY, 4 * fixed[i]);
	}
	free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_captions),
		cmocka_unit_test(test_max_documents),
		cmocka_unit_test(test_max_texts),
		cmocka_unit_test(test_max_captions),
		cmocka_unit_test(test_document),
		cmocka_unit_test(test_same_images),
		cmocka_unit_test(test_wrong_rules),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_known_random),
		cmocka_unit_test(test_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
