/* SPDX-License-Identifier: Apache-2.0 */
/* Corpora without ingest: manifests written and read back, tables made by
 * hand, verdicts, relations, and what damaged ones are refused for. */
#include "corpus_fixture.h"

#include <math.h>

#include "libpipe/base/hash.h"
#include "libpipe/base/sql.h"
#include "libpipe/corpus/internal.h"

static const char *const columns[] = { "similarity", "punsafe" };

static struct pl_source source_make(void)
{
	struct pl_source s = { .name = "src",
		.read = { .kind = PL_KIND_PAIRS },
		.columns = columns,
		.ncolumns = 2,
		.hash = PL_HASH_PDQ_AA,
		.limits = pl_img_limits_default() };

	return s;
}

static void test_rows_are_packed(void **state)
{
	static const struct {
		const struct pl_npy_col *cols;
		const size_t *n;
		size_t size;
	} tables[] = {
		{ pl_sample_cols, &pl_sample_ncols, sizeof(struct pl_sample_row) },
		{ pl_image_cols, &pl_image_ncols, sizeof(struct pl_image_row) },
		{ pl_filter_cols, &pl_filter_ncols, sizeof(struct pl_filter_row) },
		{ pl_dedup_cols, &pl_dedup_ncols, sizeof(struct pl_dedup_row) },
	};
	size_t t;

	(void)state;
	for (t = 0; t < PL_ARRAY_LEN(tables); t++) {
		struct pl_npy_writer w;
		struct pl_err err;

		/* The writer refuses columns with gaps and rows of another size. */
		OK(pl_npy_create(
		    &w, in_scratch("t.npy"), tables[t].cols, *tables[t].n, tables[t].size, &err));
		pl_npy_abort(&w);
	}
}

static void test_source_names(void **state)
{
	static const char *const bad[] = { "status", "KEY", "", "a'b", "caf\xc3\xa9", "verdict",
		"_rowid_", "a\nb" };
	struct pl_source s = source_make();
	struct pl_err err;
	size_t i;

	(void)state;
	OK(pl_source_check(&s, &err));
	for (i = 0; i < PL_ARRAY_LEN(bad); i++) {
		s.columns = &bad[i];
		s.ncolumns = 1;
		assert_int_equal(pl_source_check(&s, &err), PL_ERR_USAGE);
	}
	{
		static const char *const twice[] = { "aesthetic", "Aesthetic" };

		s.columns = twice;
		s.ncolumns = 2;
		assert_int_equal(pl_source_check(&s, &err), PL_ERR_USAGE);
	}
}

static void test_describe(void **state)
{
	struct pl_source s = source_make();
	struct pl_buf text;
	struct pl_err err;

	(void)state;
	pl_buf_init(&text, 0);
	s.images = "imgs/*.tar";
	OK(pl_source_describe(&s, &text, &err));
	assert_non_null(strstr((char *)text.data, "\"kind\":\"pairs\""));
	assert_non_null(strstr((char *)text.data, "\"images\":\"imgs/*.tar\""));
	/* Tables of another version are made again. */
	assert_non_null(strstr((char *)text.data, "\"tables\":"));
	assert_non_null(strstr((char *)text.data, "\"columns\":[\"similarity\",\"punsafe\"]"));
	pl_buf_release(&text);
}

static struct pl_shard_facts facts_make(
    const char *path, const char *unit, uint64_t samples, uint64_t images)
{
	struct pl_shard_facts f = { .path = strdup(path),
		.unit = strdup(unit),
		.bytes = 10240,
		.mtime = 1700000000,
		.hash = { 0x0123456789abcdefu, 0xfedcba9876543210u },
		.samples = samples,
		.images = images,
		.kept = samples / 2,
		.no_key = 3 };

	return f;
}

static void test_facts(void **state)
{
	struct pl_shard_facts f = facts_make("d/00001.tar", "00001", 7, 9), g;
	struct pl_err err;
	json_t *j;

	(void)state;
	f.damage = strdup("byte 5: cut");
	OK(pl_shard_facts_dump(&f, &j, &err));
	OK(pl_shard_facts_load(j, &g, &err));
	assert_string_equal(g.path, f.path);
	assert_string_equal(g.unit, f.unit);
	assert_string_equal(g.damage, f.damage);
	assert_memory_equal(g.hash, f.hash, sizeof(f.hash));
	assert_true(
	    g.samples == 7 && g.images == 9 && g.kept == 3 && g.no_key == 3 && g.mtime == f.mtime);
	pl_shard_facts_release(&g);
	/* A unit names files in the corpus. */
	json_object_set_new(j, "unit", json_string("../x"));
	assert_int_equal(pl_shard_facts_load(j, &g, &err), PL_ERR_INVALID);
	json_object_set_new(j, "unit", json_string("x"));
	json_object_set_new(j, "samples", json_integer(-1));
	assert_int_equal(pl_shard_facts_load(j, &g, &err), PL_ERR_INVALID);
	json_decref(j);
	free(f.path);
	f.path = strdup("bad\xff.tar");
	assert_int_equal(pl_shard_facts_dump(&f, &j, &err), PL_ERR_UNSUPPORTED);
	pl_shard_facts_release(&f);
}

/* The digest of an empty corpus whose tokens are counted so; it is read back as written. */
static void digest_by(enum pl_tokens_by by, const char *model, uint64_t hash, uint64_t digest[2])
{
	struct pl_source s = source_make();
	struct pl_corpus c;
	struct pl_buf text;
	struct pl_err err;

	s.tokens = (struct pl_tokens_settings){.by = by, .model = model, .model_hash = {hash, ~hash}};
	pl_buf_init(&text, 0);
	OK(pl_source_describe(&s, &text, &err));
	assert_true((strstr((char *)text.data, "\"tokens\":") != NULL) == (by != PL_TOKENS_BYTES));
	assert_null(strstr((char *)text.data, "\"model\":"));
	pl_buf_release(&text);
	OK(pl_corpus_write_manifest(scratch, &s, NULL, 0, NULL, 0, &err));
	OK(pl_corpus_open(&c, scratch, &err));
	assert_int_equal(c.source.tokens.by, by);
	if (by == PL_TOKENS_SENTENCEPIECE) {
		assert_string_equal(c.source.tokens.model, model);
		assert_true(pl_tokens_same(&c.source.tokens, &s.tokens));
	}
	memcpy(digest, c.digest, sizeof(c.digest));
	pl_corpus_close(&c);
	unlink(in_scratch("manifest.json"));
}

static void test_tokens(void **state)
{
	uint64_t bytes[2], words[2], model[2], moved[2], other[2];

	(void)state;
	digest_by(PL_TOKENS_BYTES, NULL, 0, bytes);
	digest_by(PL_TOKENS_WORDS, NULL, 0, words);
	digest_by(PL_TOKENS_SENTENCEPIECE, "a.model", 0x0123456789abcdefu, model);
	digest_by(PL_TOKENS_SENTENCEPIECE, "b/c.model", 0x0123456789abcdefu, moved);
	digest_by(PL_TOKENS_SENTENCEPIECE, "a.model", 0x0123456789abcdeeu, other);
	assert_memory_equal(model, moved, sizeof(model));
	assert_memory_not_equal(bytes, words, sizeof(words));
	assert_memory_not_equal(words, model, sizeof(words));
	assert_memory_not_equal(model, other, sizeof(model));
}

static void test_bad_tokens(void **state)
{
	static const char *const changes[][2] = {
		{ "\"sentencepiece\"", "\"sentencepiecf\"" },
		{ "\"xxh3\"", "\"xxh4\"" },
		{ "fedcba9876543210", "fedcba987654321x" },
	};
	struct pl_source s = source_make();
	struct pl_corpus c;
	struct pl_err err;
	char *text, *at;
	size_t len;

	(void)state;
	s.tokens = (struct pl_tokens_settings){.by = PL_TOKENS_SENTENCEPIECE, .model = "m", .model_hash = {1, 0xfedcba9876543210u}};
	for (size_t i = 0; i < PL_ARRAY_LEN(changes); i++) {
		OK(pl_corpus_write_manifest(scratch, &s, NULL, 0, NULL, 0, &err));
		OK(pl_file_read(in_scratch("manifest.json"), 1 << 20, &text, &len, &err));
		at = strstr(text, changes[i][0]);
		assert_non_null(at);
		memcpy(at, changes[i][1], strlen(changes[i][1]));
		OK(pl_file_write(in_scratch("manifest.json"), text, len, &err));
		free(text);
		assert_int_equal(pl_corpus_open(&c, scratch, &err), PL_ERR_INVALID);
		assert_non_null(strstr(err.text, "'tokens'"));
	}
	unlink(in_scratch("manifest.json"));
}

static void test_manifest(void **state)
{
	struct pl_source s = source_make();
	struct pl_shard_facts f[2];
	struct pl_corpus c;
	struct pl_err err;
	uint64_t digest[2];
	char *a, *b;
	size_t alen, blen;

	(void)state;
	assert_int_equal(pl_corpus_open(&c, scratch, &err), PL_ERR_NOTFOUND);
	assert_non_null(strstr(err.text, "plait ingest"));

	f[0] = facts_make("d/00002.tar", "00002", 4, 4);
	f[1] = facts_make("d/00001.tar", "00001", 2, 3);
	OK(pl_corpus_write_manifest(scratch, &s, f, 2, NULL, 0, &err));
	OK(pl_file_read(in_scratch("manifest.json"), 1 << 20, &a, &alen, &err));
	OK(pl_corpus_open(&c, scratch, &err));
	assert_int_equal(c.nshards, 2);
	assert_string_equal(c.shards[0].unit, "00001");
	assert_true(c.samples == 6 && c.images == 7);
	assert_int_equal(c.source.ncolumns, 2);
	assert_string_equal(c.source.columns[1], "punsafe");
	assert_string_equal(c.source.name, "src");
	assert_null(c.source.images);
	assert_true(c.source.limits.max_pixels == s.limits.max_pixels);
	memcpy(digest, c.digest, sizeof(digest));
	pl_corpus_close(&c);

	/* The order shards were done in does not show. */
	{
		struct pl_shard_facts turned[2] = { f[1], f[0] };

		OK(pl_corpus_write_manifest(scratch, &s, turned, 2, NULL, 0, &err));
	}
	OK(pl_file_read(in_scratch("manifest.json"), 1 << 20, &b, &blen, &err));
	assert_int_equal(alen, blen);
	assert_memory_equal(a, b, alen);
	free(a);
	free(b);

	/* Paths and times do not enter the digest; contents do. */
	free(f[0].path);
	f[0].path = strdup("a/elsewhere/00002.tar");
	f[0].mtime++;
	s.images = "other/place";
	OK(pl_corpus_write_manifest(scratch, &s, f, 2, NULL, 0, &err));
	OK(pl_corpus_open(&c, scratch, &err));
	assert_memory_equal(c.digest, digest, sizeof(digest));
	pl_corpus_close(&c);
	f[0].hash[0]++;
	OK(pl_corpus_write_manifest(scratch, &s, f, 2, NULL, 0, &err));
	OK(pl_corpus_open(&c, scratch, &err));
	assert_memory_not_equal(c.digest, digest, sizeof(digest));
	pl_corpus_close(&c);

	/* Two shards of one stem. */
	free(f[0].unit);
	f[0].unit = strdup("00001");
	assert_int_equal(pl_corpus_write_manifest(scratch, &s, f, 2, NULL, 0, &err), PL_ERR_USAGE);
	pl_shard_facts_release(&f[0]);
	pl_shard_facts_release(&f[1]);
	unlink(in_scratch("manifest.json"));
}

static void test_manifest_damage(void **state)
{
	struct pl_source s = source_make();
	struct pl_shard_facts f = facts_make("d/00001.tar", "00001", 2, 3);
	struct pl_corpus c;
	struct pl_err err;
	char *text;
	size_t len, i;

	(void)state;
	OK(pl_corpus_write_manifest(scratch, &s, &f, 1, NULL, 0, &err));
	OK(pl_file_read(in_scratch("manifest.json"), 1 << 20, &text, &len, &err));
	/* Cut anywhere it is an error, never a crash. The last byte is the newline. */
	for (i = 0; i + 1 < len; i += 3) {
		OK(pl_file_write(in_scratch("manifest.json"), text, i, &err));
		assert_int_not_equal(pl_corpus_open(&c, scratch, &err), PL_OK);
	}
	/* Tables of another version of plait, and of one that did not number them. */
	char *tables = strstr(text, "\"tables\"");
	assert_non_null(tables);
	for (i = 0; i < 2; i++) {
		char *digit = tables + strcspn(tables, "0123456789");
		i == 0 ? memcpy(digit, "1", 1) : memcpy(tables, "\"_ables\"", 8);
		OK(pl_file_write(in_scratch("manifest.json"), text, len, &err));
		assert_int_equal(pl_corpus_open(&c, scratch, &err), PL_ERR_CONFLICT);
		assert_non_null(strstr(err.text, "ingest again"));
	}
	OK(pl_file_write(
	    in_scratch("manifest.json"), "{\"format\":\"plait-corpus\",\"version\":99}", 38, &err));
	assert_int_equal(pl_corpus_open(&c, scratch, &err), PL_ERR_UNSUPPORTED);
	OK(pl_file_write(in_scratch("manifest.json"), "[]", 2, &err));
	assert_int_equal(pl_corpus_open(&c, scratch, &err), PL_ERR_INVALID);
	free(text);
	pl_shard_facts_release(&f);
	unlink(in_scratch("manifest.json"));
}

/* ---- tables by hand: three samples with 1, 2 and 0 images ---- */

struct wide_row {
	struct pl_sample_row s;
	double meta[2];
};

static void write_table(const char *name, const struct pl_npy_col *cols, size_t ncols,
    const void *rows, size_t size, uint64_t n)
{
	struct pl_npy_writer w;
	struct pl_err err;

	OK(pl_npy_create(&w, in_scratch(name), cols, ncols, size, &err));
	OK(pl_npy_append(&w, rows, n, &err));
	OK(pl_npy_commit(&w, &err));
}

static void rows_make(struct wide_row s[3], struct pl_image_row im[3])
{
	int i;

	memset(s, 0, 3 * sizeof(*s));
	memset(im, 0, 3 * sizeof(*im));
	for (i = 0; i < 3; i++) {
		s[i].s.key = 0xab00u + (unsigned)i;
		s[i].s.kind = PL_KIND_PAIRS;
		s[i].s.frame = -1;
		s[i].meta[0] = i == 1 ? (double)NAN : 0.25 * i;
		s[i].meta[1] = 0.5;
		im[i].similarity = NAN;
		im[i].bits_per_pixel = 2;
		im[i].width = 100;
		im[i].height = 200 + (uint32_t)i;
		im[i].format = PL_FORMAT_JPEG;
		im[i].orientation = 1;
		im[i].mean = 100 + (float)i;
		im[i].contrast = 30.5f;
		im[i].entropy = 6.25f;
		im[i].edges = 12.5f;
		im[i].blur = i == 1 ? NAN : 400.5f;
		im[i].frames = 1 + (uint32_t)i;
		im[i].jpeg_quality = i == 2 ? 0 : 90;
		im[i].blank = i == 0;
	}
	im[1].mean = NAN;
	s[0].s.images = s[0].s.images_ok = 1;
	s[1].s.images = 2;
	s[1].s.images_ok = 1;
	s[1].s.first_image = 1;
	s[2].s.first_image = 3;
	s[2].s.status = PL_REASON_NO_IMAGE;
	im[1].sample = im[2].sample = 1;
	im[2].position = 1;
	im[1].status = PL_REASON_BOMB;
}

static void corpus_by_hand(
    struct pl_corpus *c, const struct wide_row s[3], const struct pl_image_row im[3])
{
	struct pl_source src = source_make();
	struct pl_shard_facts f = facts_make("d/u.tar", "u", 3, 3);
	struct pl_npy_col *cols;
	struct pl_err err;
	size_t ncols, size;

	OK(pl_sample_schema(&src, &cols, &ncols, &size, &err));
	assert_int_equal(size, sizeof(struct wide_row));
	write_table("u.samples.npy", cols, ncols, s, size, 3);
	write_table("u.images.npy", pl_image_cols, pl_image_ncols, im, sizeof(*im), 3);
	free(cols);
	OK(pl_corpus_write_manifest(scratch, &src, &f, 1, NULL, 0, &err));
	OK(pl_corpus_open(c, scratch, &err));
	pl_shard_facts_release(&f);
}

static void test_verdicts(void **state)
{
	static const struct pl_filter_row filter[3] = { { PL_REASON_FILTERED, 1 }, { 0, 0 },
		{ PL_REASON_FILTERED, 1 } };
	struct pl_dedup_row dedup[3] = { 0 };
	struct wide_row s[3];
	struct pl_image_row im[3];
	struct pl_corpus c;
	struct pl_tables t;
	struct pl_err err;

	(void)state;
	rows_make(s, im);
	corpus_by_hand(&c, s, im);
	OK(pl_tables_open(&t, &c, 0, &err));
	assert_int_equal(pl_sample_verdict(&t, 0), PL_REASON_KEEP);
	assert_int_equal(pl_sample_verdict(&t, 1), PL_REASON_KEEP);
	assert_int_equal(pl_sample_verdict(&t, 2), PL_REASON_NO_IMAGE);
	assert_int_equal(pl_image_verdict(&t, 1), PL_REASON_BOMB);
	pl_tables_close(&t);

	write_table("u.filter.npy", pl_filter_cols, pl_filter_ncols, filter, sizeof(*filter), 3);
	dedup[2].verdict = PL_REASON_NEAR_DUPLICATE;
	write_table("u.dedup-images.npy", pl_dedup_cols, pl_dedup_ncols, dedup, sizeof(*dedup), 3);
	OK(pl_tables_open(&t, &c, 0, &err));
	assert_int_equal(pl_sample_verdict(&t, 0), PL_REASON_FILTERED);
	/* One image a bomb, the other a duplicate: none is left. */
	assert_int_equal(pl_image_verdict(&t, 2), PL_REASON_NEAR_DUPLICATE);
	assert_int_equal(pl_sample_verdict(&t, 1), PL_REASON_IMAGES_GONE);
	/* Ingest's reason comes first. */
	assert_int_equal(pl_sample_verdict(&t, 2), PL_REASON_NO_IMAGE);
	pl_tables_close(&t);

	/* A verdict table of another run. */
	write_table("u.filter.npy", pl_filter_cols, pl_filter_ncols, filter, sizeof(*filter), 2);
	assert_int_equal(pl_tables_open(&t, &c, 0, &err), PL_ERR_CONFLICT);
	unlink(in_scratch("u.filter.npy"));
	unlink(in_scratch("u.dedup-images.npy"));
	pl_corpus_close(&c);
}

static void test_damaged_rows(void **state)
{
	struct wide_row s[3];
	struct pl_image_row im[3];
	struct pl_corpus c;
	struct pl_tables t;
	struct pl_err err;
	int what;

	(void)state;
	for (what = 0; what < 8; what++) {
		rows_make(s, im);
		switch (what) {
		case 0: s[1].s.first_image = 2; break;
		case 1: s[1].s.images = 4000000000u; break;
		case 2: s[1].s.images = 1; break;
		case 3: s[0].s.status = 200; break;
		case 4: im[0].where = 9; break;
		case 5: im[2].sample = 0; break;
		case 6: im[0].where = PL_WHERE_STORE; break;
		default: s[2].s.kind = 77; break;
		}
		corpus_by_hand(&c, s, im);
		assert_int_equal(pl_tables_open(&t, &c, 0, &err), PL_ERR_INVALID);
		pl_corpus_close(&c);
	}
}

static void where_is(
    struct pl_sql *db, const struct pl_sql_source *src, const char *condition, const char *expect)
{
	uint8_t keep[3];
	struct pl_err err;
	int i;

	OK(pl_sql_where(db, src, condition, keep, &err));
	for (i = 0; i < 3; i++)
		if (keep[i] != expect[i] - '0')
			fail_msg("row %d of '%s'", i, condition);
}

static void test_relations(void **state)
{
	struct wide_row s[3];
	struct pl_image_row im[3];
	struct pl_sql_source samples, images;
	struct pl_corpus c;
	struct pl_tables t;
	struct pl_sql *db;
	struct pl_err err;

	(void)state;
	rows_make(s, im);
	im[0].similarity = 0.9f;
	corpus_by_hand(&c, s, im);
	OK(pl_tables_open(&t, &c, 0, &err));
	OK(pl_relation_samples(&c, &samples, &err));
	OK(pl_relation_images(&c, &images, &err));
	OK(pl_sql_open(&db, &err));
	OK(pl_sql_add(db, &samples, &err));
	OK(pl_sql_add(db, &images, &err));
	pl_relation_bind(&samples, &t, 0);
	pl_relation_bind(&images, &t, 0);
	assert_int_equal(samples.nrows, 3);
	where_is(db, &samples, "status = 'keep' and kind = 'pairs'", "110");
	where_is(db, &samples, "key = '000000000000ab01'", "010");
	/* The metadata column stands for the image's value; NaN is NULL. */
	where_is(db, &samples, "similarity < 0.6", "101");
	where_is(db, &samples, "similarity is null", "010");
	where_is(db, &samples, "punsafe = 0.5", "111");
	/* The first usable image of sample 1 is its second; sample 2 has none. */
	where_is(db, &samples, "height = 202 and aspect between 2.01 and 2.03", "010");
	where_is(
	    db, &samples, "width is null and format is null and bits_per_pixel is null", "001");
	where_is(db, &samples, "verdict = 'no_image' and shard = 'u' and row = 2", "001");
	where_is(db, &images, "status = 'bomb' and position = 0 and sample = 1", "010");
	where_is(db, &images,
	    "\"where\" = 'shard' and format = 'jpeg' and length(pdq) = 64 and length(xxh3) = 32",
	    "111");
	where_is(db, &images, "key = '000000000000ab01' and verdict = 'keep'", "001");
	where_is(db, &images, "similarity > 0.8", "100");
	where_is(db, &images, "mean = 102 and contrast = 30.5 and entropy = 6.25 and edges = 12.5", "001");
	where_is(db, &images, "blur > 400 and frames <> 2", "101");
	where_is(db, &images, "blur is null and blank is null and jpeg_quality = 90", "010");
	where_is(db, &images, "blank = 1 and frames = 1", "100");
	where_is(db, &images, "jpeg_quality is null and blank = 0", "001");
	where_is(db, &samples, "blank = 1 and jpeg_quality = 90 and mean = 100", "100");
	where_is(db, &samples, "frames = 3 and blur > 400 and jpeg_quality is null", "010");
	where_is(db, &samples, "contrast is null and blank is null and frames is null", "001");
	assert_int_equal(
	    pl_sql_where(db, &samples, "widht > 3", (uint8_t[3]){ 0 }, &err), PL_ERR_USAGE);
	pl_sql_close(db);
	pl_relation_release(&samples);
	pl_relation_release(&images);
	pl_tables_close(&t);
	pl_corpus_close(&c);
}

static void expect_key(const char *json, uint64_t row, const char *key)
{
	json_t *j = NULL;
	struct pl_err err;
	char *got;

	if (json != NULL)
		OK(pl_json_parse(json, strlen(json), &j, &err));
	OK(pl_record_key(j, "00007", row, &got, &err));
	assert_string_equal(got, key);
	free(got);
	json_decref(j);
}

static void test_record_keys(void **state)
{
	char json[512], want[32];

	(void)state;
	expect_key(NULL, 12, "00007-000000012");
	expect_key("{\"id\":\"a b\"}", 3, "a b#3");
	expect_key("{\"id\":17}", 0, "17#0");
	expect_key("{\"id\":1.5,\"uid\":\"u\"}", 0, "u#0");
	expect_key("{\"key\":\"k\",\"uid\":\"u\"}", 1, "k#1");
	expect_key("{\"id\":\"\"}", 2, "00007-000000002");
	expect_key("{\"id\":\"a\\u0000b\"}", 2, "00007-000000002");
	expect_key("{\"id\":\"a\\nb\"}", 2, "00007-000000002");
	snprintf(json, sizeof(json), "{\"id\":\"%0200d\"}", 1);
	snprintf(want, sizeof(want), "00007-000000002");
	expect_key(json, 2, want);
	assert_true(pl_record_plain_text("a/b.txt.zst"));
	assert_true(pl_record_plain_text("b.TXT"));
	assert_false(pl_record_plain_text("b.txt.jsonl"));
	assert_false(pl_record_plain_text(".txt"));
}

static int setup(void **state)
{
	(void)state;
	scratch_make();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scratch_remove_tree(scratch);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_packed),
		cmocka_unit_test(test_source_names),
		cmocka_unit_test(test_describe),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_manifest),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_bad_tokens),
		cmocka_unit_test(test_manifest_damage),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_damaged_rows),
		cmocka_unit_test(test_relations),
		cmocka_unit_test(test_record_keys),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
