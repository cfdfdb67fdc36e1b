/* SPDX-License-Identifier: Apache-2.0 */
/* Shards to tables and back: what each kind of broken sample becomes, damage in
 * the middle, images that lie elsewhere, stopping, and fetching by row. */
#include "corpus_fixture.h"

#include <math.h>

#include "libpipe/base/hash.h"
#include "libpipe/corpus/fetch.h"
#include "libpipe/corpus/ingest.h"
#include "libpipe/corpus/internal.h"
#include "shards/writer.h"

static struct pl_pool *pool;

struct result {
	struct pl_source source;
	struct pl_account account;
	struct pl_shard_facts facts;
	struct pl_corpus corpus;
	struct pl_tables tables;
};

static struct pl_source source_make(enum pl_kind kind)
{
	struct pl_source s = { .name = "test",
		.read = { .kind = kind },
		.hash = PL_HASH_PDQ_AA,
		.limits = pl_img_limits_default() };

	return s;
}

static enum pl_status ingest_only(
    struct result *r, const char *path, struct pl_image_index *images, struct pl_err *err)
{
	struct pl_ingest_env env = { .pool = pool, .images = images };

	memset(&r->account, 0, sizeof(r->account));
	return pl_ingest_shard(path, scratch, &r->source, &env, &r->account, &r->facts, err);
}

/* Ingest one shard, write its manifest, open its tables, and hold the account to the tables. */
static void ingest(struct result *r, const char *path, struct pl_image_index *images, char **stores,
    size_t nstores)
{
	struct pl_err err;
	char what[160];
	uint64_t kept = 0, i;

	OK(ingest_only(r, path, images, &err));
	OK(pl_corpus_write_manifest(scratch, &r->source, &r->facts, 1, stores, nstores, &err));
	OK(pl_corpus_open(&r->corpus, scratch, &err));
	OK(pl_tables_open(&r->tables, &r->corpus, 0, &err));
	if (!pl_account_balances(&r->account, what))
		fail_msg("%s", what);
	assert_true(r->account.samples_in == r->tables.samples.nrows);
	assert_true(r->account.images_in == r->tables.images.nrows);
	assert_true(r->account.bytes_in == r->facts.bytes);
	for (i = 0; i < r->tables.samples.nrows; i++)
		kept += pl_sample(&r->tables, i)->status == PL_REASON_KEEP;
	assert_true(kept == r->facts.kept && kept == r->account.samples_out);
}

static void release(struct result *r)
{
	pl_tables_close(&r->tables);
	pl_corpus_close(&r->corpus);
	pl_shard_facts_release(&r->facts);
}

static unsigned status_of(const struct result *r, const char *key)
{
	uint64_t hash = pl_hash64(key, strlen(key)), i;

	for (i = 0; i < r->tables.samples.nrows; i++)
		if (pl_sample(&r->tables, i)->key == hash)
			return pl_sample(&r->tables, i)->status;
	return PL_REASON_COUNT;
}

static void pair(struct pl_buf *tar, const char *key, unsigned seed, const char *caption)
{
	char name[64];

	snprintf(name, sizeof(name), "%s.jpg", key);
	tar_jpeg(tar, name, 64 + seed, 48, seed);
	snprintf(name, sizeof(name), "%s.txt", key);
	tar_text(tar, name, caption);
	snprintf(name, sizeof(name), "%s.json", key);
	tar_text(tar, name, "{\"similarity\": 0.25, \"punsafe\": \"1e-2\", \"x\": \"1.5abc\"}");
}

/* Pairs with one of everything that goes wrong. */
static const char *pairs_tar(const char *name)
{
	struct pl_buf tar;
	const char *path;
	size_t len;
	uint8_t *data;

	pl_buf_init(&tar, 0);
	tar_text(&tar, "README", "no key");
	pair(&tar, "a000", 1, "first caption");
	pair(&tar, "a001", 2, "second caption");
	data = jpeg(64, 64, 3, &len);
	tar_add(&tar, "half.jpg", data, len / 4);
	tar_text(&tar, "half.txt", "cut picture");
	free(data);
	tar_text(&tar, "junk.jpg", "this is no picture at all");
	tar_text(&tar, "junk.txt", "caption of junk");
	tar_text(&tar, "zero.jpg", "");
	tar_text(&tar, "zero.txt", "caption of nothing");
	tar_jpeg(&tar, "mute.jpg", 80, 60, 4);
	tar_text(&tar, "blind.txt", "caption alone");
	pair(&tar, "a000", 5, "the key again");
	pair(&tar, "zz", 6, "last");
	tar_end(&tar);
	path = save(name, &tar);
	pl_buf_release(&tar);
	return path;
}

static void test_pairs(void **state)
{
	static const char *const columns[] = { "punsafe", "x", "absent", "similarity" };
	struct result r = { .source = source_make(PL_KIND_PAIRS) };
	const struct pl_sample_row *s;
	const struct pl_image_row *im;
	double meta[4];

	(void)state;
	r.source.columns = columns;
	r.source.ncolumns = 4;
	ingest(&r, pairs_tar("00001.tar"), NULL, NULL, 0);
	assert_int_equal(r.tables.samples.nrows, 9);
	assert_int_equal(r.facts.no_key, 1);
	assert_null(r.facts.damage);
	assert_string_equal(r.facts.unit, "00001");
	assert_int_equal(status_of(&r, "a000"), PL_REASON_KEEP);
	assert_int_equal(status_of(&r, "a001"), PL_REASON_KEEP);
	assert_int_equal(status_of(&r, "half"), PL_REASON_TRUNCATED);
	assert_int_equal(status_of(&r, "junk"), PL_REASON_UNSUPPORTED);
	assert_int_equal(status_of(&r, "zero"), PL_REASON_EMPTY);
	assert_int_equal(status_of(&r, "mute"), PL_REASON_NO_TEXT);
	assert_int_equal(status_of(&r, "blind"), PL_REASON_NO_IMAGE);
	assert_int_equal(pl_sample(&r.tables, 7)->status, PL_REASON_DUPLICATE_KEY);
	assert_int_equal(status_of(&r, "zz"), PL_REASON_KEEP);
	assert_int_equal(r.facts.kept, 3);
	/* Pictures without captions and of duplicate keys are scanned, too. */
	assert_int_equal(r.account.images_out, 5);

	s = pl_sample(&r.tables, 1);
	assert_true(s->images == 1 && s->images_ok == 1 && s->first_image == 1 && s->frame == -1);
	assert_true(s->segments == 2 && s->text_words == 2 && s->text_bytes == 14 &&
	    s->kind == PL_KIND_PAIRS);
	im = pl_image_at(&r.tables, 1);
	assert_true(
	    im->width == 66 && im->height == 48 && im->format == PL_FORMAT_JPEG && im->sample == 1);
	assert_true(im->where == PL_WHERE_SHARD && im->position == 0 && im->orientation == 1);
	assert_true(fabsf(im->bits_per_pixel - (float)im->length * 8 / (66 * 48)) < 1e-3f);
	assert_true(fabsf(im->similarity - 0.25f) < 1e-6f);
	memcpy(meta, s + 1, sizeof(meta));
	assert_true(meta[0] > 0.0099 && meta[0] < 0.0101 && isnan(meta[1]) && isnan(meta[2]));
	assert_true(meta[3] > 0.2499 && meta[3] < 0.2501);
	release(&r);
}

static void read_tables(char **text, size_t len[2])
{
	struct pl_err err;

	OK(pl_file_read(in_scratch("00001.samples.npy"), 1 << 24, &text[0], &len[0], &err));
	OK(pl_file_read(in_scratch("00001.images.npy"), 1 << 24, &text[1], &len[1], &err));
}

static void test_deterministic(void **state)
{
	struct result r = { .source = source_make(PL_KIND_PAIRS) };
	char *a[2], *b[2];
	size_t alen[2], blen[2];
	struct pl_err err;

	(void)state;
	OK(ingest_only(&r, pairs_tar("00001.tar"), NULL, &err));
	read_tables(a, alen);
	pl_shard_facts_release(&r.facts);
	/* Verdicts about the rows that are replaced go with them. */
	OK(pl_file_write(in_scratch("00001.filter.npy"), "x", 1, &err));
	OK(ingest_only(&r, in_scratch("00001.tar"), NULL, &err));
	assert_int_equal(access(in_scratch("00001.filter.npy"), F_OK), -1);
	read_tables(b, blen);
	assert_true(alen[0] == blen[0] && alen[1] == blen[1]);
	assert_memory_equal(a[0], b[0], alen[0]);
	assert_memory_equal(a[1], b[1], alen[1]);
	pl_shard_facts_release(&r.facts);
	free(a[0]);
	free(a[1]);
	free(b[0]);
	free(b[1]);
}

/* Cut a good tar at many places: never an error after the first sample, always a balanced account.
 */
static void test_cut(void **state)
{
	struct result r = { .source = source_make(PL_KIND_PAIRS) };
	struct pl_buf tar;
	struct pl_err err;
	uint64_t hash[2];
	size_t full, n;

	(void)state;
	pl_buf_init(&tar, 0);
	pair(&tar, "a", 1, "one");
	full = tar.len;
	pair(&tar, "b", 2, "two");
	tar_end(&tar);
	for (n = full + 100; n < tar.len - 1024; n += 777) {
		struct pl_buf cut = { .data = tar.data, .len = n };

		ingest(&r, save("00001.tar", &cut), NULL, NULL, 0);
		assert_non_null(r.facts.damage);
		assert_int_equal(status_of(&r, "a"), PL_REASON_KEEP);
		assert_true(r.facts.samples <= 2);
		pl_hash128(tar.data, n, hash);
		assert_memory_equal(hash, r.facts.hash, sizeof(hash));
		release(&r);
	}
	/* Nothing that can be read. */
	{
		struct pl_buf cut = { .data = tar.data, .len = 100 };

		save("00009.tar", &cut);
		assert_int_not_equal(ingest_only(&r, in_scratch("00009.tar"), NULL, &err), PL_OK);
		assert_int_equal(err.severity, PL_SEV_SHARD);
		cut.len = 0;
		save("00009.tar", &cut);
		assert_int_not_equal(ingest_only(&r, in_scratch("00009.tar"), NULL, &err), PL_OK);
		assert_int_equal(
		    ingest_only(&r, in_scratch("nowhere.tar"), NULL, &err), PL_ERR_NOTFOUND);
		assert_int_equal(access(in_scratch("00009.samples.npy"), F_OK), -1);
		assert_int_equal(access(in_scratch("00009.images.npy"), F_OK), -1);
	}
	pl_buf_release(&tar);
}

static void test_fetch(void **state)
{
	struct result r = { .source = source_make(PL_KIND_PAIRS) };
	struct pl_corpus *corpora[1] = { &r.corpus };
	struct pl_fetched s;
	struct pl_fetch *f;
	struct pl_err err;
	uint8_t *want;
	size_t len;
	char *key;
	uint64_t i;

	(void)state;
	ingest(&r, pairs_tar("00001.tar"), NULL, NULL, 0);
	OK(pl_fetch_new(&f, corpora, 1, 1, &err));
	pl_fetched_init(&s);
	for (i = r.tables.samples.nrows; i-- > 0;) {
		OK(pl_fetch_sample(f, 0, 0, i, &s, &err));
		assert_int_equal(s.doc.status, pl_sample(&r.tables, i)->status);
		assert_int_equal(s.doc.nimages, pl_sample(&r.tables, i)->images);
		assert_true(pl_hash64(s.key, strlen(s.key)) == pl_sample(&r.tables, i)->key);
		OK(pl_fetch_key(f, 0, 0, i, &key, &err));
		assert_string_equal(key, s.key);
		free(key);
	}
	OK(pl_fetch_sample(f, 0, 0, 1, &s, &err));
	assert_string_equal(s.key, "a001");
	assert_string_equal(s.doc.segments[1].text, "second caption");
	want = jpeg(66, 48, 2, &len);
	assert_int_equal(s.doc.images[0].len, len);
	assert_memory_equal(s.doc.images[0].data, want, len);
	assert_true(s.doc.images[0].offset == pl_image_at(&r.tables, 1)->offset);
	free(want);
	assert_int_not_equal(pl_fetch_sample(f, 0, 0, 99, &s, &err), PL_OK);
	assert_int_not_equal(pl_fetch_key(f, 0, 7, 0, &key, &err), PL_OK);
	pl_fetch_free(f);
	/* What was fetched outlives the files. */
	pl_fetched_release(&s);

	/* Other bytes of the same size, with the time set back. */
	{
		struct timespec times[2] = { { 0, UTIME_OMIT }, { (time_t)r.facts.mtime, 0 } };
		int fd = open(in_scratch("00001.tar"), O_RDWR);
		uint64_t at = pl_image_at(&r.tables, 1)->offset + 300;

		assert_true(fd >= 0 && pwrite(fd, "\x55\xaa\x55\xaa", 4, (off_t)at) == 4);
		assert_int_equal(futimens(fd, times), 0);
		close(fd);
		OK(pl_fetch_new(&f, corpora, 1, 0, &err));
		pl_fetched_init(&s);
		assert_int_equal(pl_fetch_sample(f, 0, 0, 1, &s, &err), PL_ERR_CONFLICT);
		OK(pl_fetch_sample(f, 0, 0, 0, &s, &err));
		pl_fetch_free(f);
		times[1].tv_sec++;
		assert_int_equal(utimensat(AT_FDCWD, in_scratch("00001.tar"), times, 0), 0);
		OK(pl_fetch_new(&f, corpora, 1, 0, &err));
		assert_int_equal(pl_fetch_sample(f, 0, 0, 0, &s, &err), PL_ERR_CONFLICT);
		assert_int_equal(err.severity, PL_SEV_JOB);
		pl_fetched_release(&s);
		pl_fetch_free(f);
	}
	release(&r);
}

/* ---- images that lie elsewhere ---- */

static const char chats[] =
    "{\"id\":\"q\",\"image\":\"imgs/dog.jpg\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\\nwhat?\"},"
    "{\"from\":\"gpt\",\"value\":\"a dog\"}]}\n"
    "{\"id\":\"q\",\"image\":\"lost.jpg\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\\nwhat?\"},"
    "{\"from\":\"gpt\",\"value\":\"a cat\"}]}\n"
    "not json at all\n"
    "{\"id\":\"r\",\"image\":\"../../imgs/broken.jpg\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\\nwhat?\"},"
    "{\"from\":\"gpt\",\"value\":\"hm\"}]}\n"
    "{\"conversations\":[{\"from\":\"human\",\"value\":\"just text\"},{\"from\":\"gpt\",\"value\":\"yes\"}]}\n";

static void check_chats(struct result *r, enum pl_where where)
{
	struct pl_corpus *corpora[1] = { &r->corpus };
	static const unsigned expect[] = { PL_REASON_KEEP, PL_REASON_MISSING_IMAGE,
		PL_REASON_BAD_JSON, PL_REASON_UNSUPPORTED, PL_REASON_KEEP };
	static const char *const keys[] = { "q#0", "q#1", "chat-000000002", "r#3",
		"chat-000000004" };
	struct pl_fetched s;
	struct pl_fetch *f;
	struct pl_err err;
	uint8_t *want;
	size_t len;
	uint64_t i;

	assert_int_equal(r->tables.samples.nrows, 5);
	OK(pl_fetch_new(&f, corpora, 1, 2, &err));
	pl_fetched_init(&s);
	for (i = 0; i < 5; i++) {
		assert_int_equal(pl_sample(&r->tables, i)->status, expect[i]);
		OK(pl_fetch_sample(f, 0, 0, i, &s, &err));
		assert_string_equal(s.key, keys[i]);
		assert_int_equal(s.doc.status, expect[i]);
	}
	assert_int_equal(pl_image_at(&r->tables, 0)->where, where);
	assert_int_equal(pl_image_at(&r->tables, 1)->where, PL_WHERE_NOWHERE);
	OK(pl_fetch_sample(f, 0, 0, 0, &s, &err));
	assert_int_equal(s.doc.nimages, 1);
	assert_int_equal(s.image_verdict[0], PL_REASON_KEEP);
	want = jpeg(90, 70, 9, &len);
	assert_int_equal(s.doc.images[0].len, len);
	assert_memory_equal(s.doc.images[0].data, want, len);
	free(want);
	pl_fetched_release(&s);
	pl_fetch_free(f);
}

static void test_image_tar(void **state)
{
	struct result r = { .source = source_make(PL_KIND_CHAT) };
	struct pl_image_index *x;
	struct pl_buf tar;
	struct pl_err err;
	char *stores[1];
	enum pl_where where;
	uint32_t store;
	uint64_t offset, length, other;

	(void)state;
	pl_buf_init(&tar, 0);
	tar_text(&tar, "K1.broken.jpg", "no picture");
	tar_jpeg(&tar, "./deep/er/imgs/dog.jpg", 20, 20, 1);
	tar_jpeg(&tar, "imgs/dog.jpg", 90, 70, 9);
	tar_jpeg(&tar, "imgs/dog.jpg", 30, 30, 2);
	tar_end(&tar);
	stores[0] = strdup(save("images.tar", &tar));
	pl_buf_release(&tar);
	OK(pl_image_index_build(stores[0], scratch, 0, NULL, NULL, &err));
	OK(pl_image_index_open(&x, scratch, stores, 1, NULL, &err));
	OK(pl_image_index_find(x, "imgs/dog.jpg", &where, &store, &offset, &length, &err));
	/* The base name's first member. */
	OK(pl_image_index_find(x, "other/dog.jpg", &where, &store, &other, &length, &err));
	assert_true(other < offset);
	OK(pl_image_index_find(x, "broken.jpg", &where, &store, &offset, &length, &err));
	assert_int_equal(length, 10);
	assert_int_equal(pl_image_index_find(x, "dog.png", &where, &store, &offset, &length, &err),
	    PL_ERR_NOTFOUND);
	assert_int_equal(
	    pl_image_index_find(x, "", &where, &store, &offset, &length, &err), PL_ERR_NOTFOUND);

	{
		struct pl_buf text;

		pl_buf_init(&text, 0);
		OK(pl_buf_adds(&text, chats, &err));
		save("chat.jsonl", &text);
		pl_buf_release(&text);
	}
	r.source.images = stores[0];
	ingest(&r, in_scratch("chat.jsonl"), x, stores, 1);
	check_chats(&r, PL_WHERE_STORE);
	pl_image_index_close(x);
	release(&r);

	/* A tar cut in its middle: what came before is indexed, and the damage told. */
	assert_int_equal(truncate(stores[0], 2600), 0);
	assert_int_not_equal(pl_image_index_build(stores[0], scratch, 0, NULL, NULL, &err), PL_OK);
	OK(pl_image_index_open(&x, scratch, stores, 1, NULL, &err));
	OK(pl_image_index_find(x, "broken.jpg", &where, &store, &offset, &length, &err));
	pl_image_index_close(x);
	free(stores[0]);
}

static void test_image_folder(void **state)
{
	struct result r = { .source = source_make(PL_KIND_CHAT) };
	struct pl_image_index *x;
	struct pl_err err;
	char folder[600];
	enum pl_where where;
	uint32_t store;
	uint64_t offset, length;
	uint8_t *data;
	size_t len;

	(void)state;
	OK(pl_file_write(in_scratch("chat.jsonl"), chats, strlen(chats), &err));
	OK(pl_mkdirs(in_scratch("folder/imgs"), &err));
	data = jpeg(90, 70, 9, &len);
	OK(pl_file_write(in_scratch("folder/imgs/dog.jpg"), data, len, &err));
	free(data);
	OK(pl_file_write(in_scratch("folder/broken.jpg"), "no picture", 10, &err));
	OK(pl_file_write(in_scratch("secret.jpg"), "outside", 7, &err));
	snprintf(folder, sizeof(folder), "%s/folder", scratch);
	OK(pl_image_index_open(&x, scratch, NULL, 0, folder, &err));
	assert_int_equal(
	    pl_image_index_find(x, "../secret.jpg", &where, &store, &offset, &length, &err),
	    PL_ERR_NOTFOUND);
	assert_int_equal(
	    pl_image_index_find(x, "imgs/../../secret.jpg", &where, &store, &offset, &length, &err),
	    PL_ERR_NOTFOUND);
	assert_int_equal(pl_image_index_find(
			     x, in_scratch("secret.jpg"), &where, &store, &offset, &length, &err),
	    PL_ERR_NOTFOUND);
	assert_int_equal(pl_image_index_find(x, "imgs", &where, &store, &offset, &length, &err),
	    PL_ERR_NOTFOUND);
	assert_int_equal(
	    pl_image_index_find(x, "..", &where, &store, &offset, &length, &err), PL_ERR_NOTFOUND);
	r.source.images = folder;
	ingest(&r, in_scratch("chat.jsonl"), x, NULL, 0);
	check_chats(&r, PL_WHERE_FOLDER);
	pl_image_index_close(x);
	release(&r);
}

static void test_interleaved(void **state)
{
	static const char doc[] =
	    "{\"text_list\":[\"one.\",\"two.\"],\"image_info\":["
	    "{\"image_name\":\"p.jpg\",\"matched_text_index\":0},{\"image_name\":\"q.jpg\",\"matched_text_index\":1}]}";
	struct result r = { .source = source_make(PL_KIND_INTERLEAVED) };
	struct pl_buf tar;

	(void)state;
	pl_buf_init(&tar, 0);
	tar_text(&tar, "both.json", doc);
	tar_jpeg(&tar, "both.p.jpg", 60, 60, 1);
	tar_jpeg(&tar, "both.q.jpg", 60, 60, 2);
	tar_text(&tar, "one.json", doc);
	tar_jpeg(&tar, "one.q.jpg", 60, 60, 3);
	tar_text(&tar, "none.json", doc);
	tar_text(&tar, "none.p.jpg", "no picture");
	tar_end(&tar);
	ingest(&r, save("00001.tar", &tar), NULL, NULL, 0);
	pl_buf_release(&tar);
	assert_int_equal(status_of(&r, "both"), PL_REASON_KEEP);
	assert_int_equal(status_of(&r, "one"), PL_REASON_KEEP);
	assert_int_equal(status_of(&r, "none"), PL_REASON_IMAGES_GONE);
	assert_true(
	    pl_sample(&r.tables, 1)->images == 2 && pl_sample(&r.tables, 1)->images_ok == 1);
	assert_int_equal(pl_image_at(&r.tables, 2)->status, PL_REASON_MISSING_IMAGE);
	assert_int_equal(r.account.images_dropped[PL_REASON_MISSING_IMAGE], 2);
	release(&r);
}

/* plait's own shards can be ingested again: rows name the frame that holds them. */
static void test_frames(void **state)
{
	struct shard_writer_options how = {
		.container = SHARD_TAR_ZST, .frame_size = 4096, .level = 1
	};
	struct result r = { .source = source_make(PL_KIND_PAIRS) };
	struct pl_corpus *corpora[1] = { &r.corpus };
	struct shard_written done;
	struct shard_writer *w;
	struct pl_fetched s;
	struct pl_fetch *f;
	struct pl_err err;
	unsigned i;

	(void)state;
	OK(shard_writer_open(&w, in_scratch("000000"), &how, &err));
	for (i = 0; i < 12; i++) {
		struct shard_member m[2] = { { .suffix = "jpg" },
			{ .suffix = "txt", .data = "caption", .len = 7 } };
		char key[16];
		uint8_t *data = jpeg(100, 80, i, &m[0].len);

		m[0].data = data;
		snprintf(key, sizeof(key), "k%02u", i);
		OK(shard_writer_add(w, key, m, 2, &err));
		free(data);
	}
	OK(shard_writer_commit(w, &done, &err));
	assert_true(done.frames > 1);
	ingest(&r, in_scratch("000000.tar.zst"), NULL, NULL, 0);
	assert_int_equal(r.facts.kept, 12);
	assert_memory_equal(r.facts.hash, done.hash, sizeof(done.hash));
	assert_int_equal(pl_sample(&r.tables, 0)->frame, 0);
	for (i = 1; i < 12; i++)
		assert_true(pl_sample(&r.tables, i)->frame >= pl_sample(&r.tables, i - 1)->frame);
	assert_true(pl_sample(&r.tables, 11)->frame > 0 &&
	    pl_sample(&r.tables, 11)->frame < (int32_t)done.frames);
	OK(pl_fetch_new(&f, corpora, 1, 0, &err));
	pl_fetched_init(&s);
	OK(pl_fetch_sample(f, 0, 0, 7, &s, &err));
	assert_string_equal(s.key, "k07");
	pl_fetched_release(&s);
	pl_fetch_free(f);
	release(&r);
}

static enum pl_status stop_at_third(void *ctx, struct pl_err *err)
{
	int *n = ctx;

	if (++*n < 3)
		return PL_OK;
	return pl_fail(err, PL_ERR_STOPPED, PL_SEV_JOB, NULL, "stopped");
}

static void test_stop(void **state)
{
	struct result r = { .source = source_make(PL_KIND_PAIRS) };
	struct pl_ingest_env env = { .pool = pool, .poll = stop_at_third };
	struct pl_account account = { 0 };
	struct pl_buf tar;
	struct pl_err err;
	int n = 0;

	(void)state;
	env.poll_ctx = &n;
	unlink(in_scratch("00001.samples.npy"));
	unlink(in_scratch("00001.images.npy"));
	assert_int_equal(pl_ingest_shard(pairs_tar("00001.tar"), scratch, &r.source, &env, &account,
			     &r.facts, &err),
	    PL_ERR_STOPPED);
	assert_int_equal(account.samples_in, 0);
	assert_int_equal(access(in_scratch("00001.samples.npy"), F_OK), -1);
	/* Answers for the shard that was given up do not end in the next one's rows. */
	pl_buf_init(&tar, 0);
	pair(&tar, "x", 30, "wider");
	pair(&tar, "y", 40, "still wider");
	tar_end(&tar);
	ingest(&r, save("00002.tar", &tar), NULL, NULL, 0);
	pl_buf_release(&tar);
	assert_int_equal(pl_image_at(&r.tables, 0)->width, 94);
	assert_int_equal(pl_image_at(&r.tables, 1)->width, 104);
	release(&r);
}

static void test_detect(void **state)
{
	enum pl_kind kind;
	struct pl_buf tar;
	struct pl_err err;

	(void)state;
	OK(pl_detect_kind(pairs_tar("00001.tar"), &kind, &err));
	assert_int_equal(kind, PL_KIND_PAIRS);
	OK(pl_file_write(in_scratch("chat.jsonl"), chats, strlen(chats), &err));
	OK(pl_detect_kind(in_scratch("chat.jsonl"), &kind, &err));
	assert_int_equal(kind, PL_KIND_CHAT);
	pl_buf_init(&tar, 0);
	tar_text(&tar, "a.bin", "x");
	tar_end(&tar);
	assert_int_equal(pl_detect_kind(save("b.tar", &tar), &kind, &err), PL_ERR_INVALID);
	assert_non_null(strstr(err.text, "--kind"));
	assert_non_null(strstr(err.text, "bin"));
	assert_int_equal(pl_detect_kind("-", &kind, &err), PL_ERR_INVALID);
	pl_buf_release(&tar);
}

/* ---- real shards ---- */

static const char *shared(const char *name)
{
	static char path[1024];
	const char *dir = getenv("PLAIT_SHARED_DATA");

	if (dir == NULL || dir[0] == '\0') {
		print_message("PLAIT_SHARED_DATA is not set\n");
		skip();
	}
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (access(path, R_OK) != 0) {
		print_message("'%s' is not there\n", path);
		skip();
	}
	return path;
}

static void fetch_every(struct result *r, uint64_t step)
{
	struct pl_corpus *corpora[1] = { &r->corpus };
	struct pl_fetched s;
	struct pl_fetch *f;
	struct pl_err err;
	uint64_t i;

	OK(pl_fetch_new(&f, corpora, 1, 0, &err));
	pl_fetched_init(&s);
	for (i = 0; i < r->tables.samples.nrows; i += step) {
		OK(pl_fetch_sample(f, 0, 0, i, &s, &err));
		assert_int_equal(s.doc.nsegments, pl_sample(&r->tables, i)->segments);
	}
	pl_fetched_release(&s);
	pl_fetch_free(f);
}

static void test_real_pairs(void **state)
{
	struct result r = { .source = source_make(PL_KIND_PAIRS) };

	(void)state;
	ingest(&r, shared("cc3m/00002.tar"), NULL, NULL, 0);
	assert_int_equal(r.facts.samples, 288);
	assert_int_equal(r.facts.images, 288);
	assert_int_equal(r.facts.kept, 288);
	fetch_every(&r, 7);
	release(&r);
}

static void test_real_interleaved(void **state)
{
	struct result r = { .source = source_make(PL_KIND_INTERLEAVED) };

	(void)state;
	ingest(&r, shared("mmc4/standin-00000.tar"), NULL, NULL, 0);
	assert_int_equal(r.facts.samples, 60);
	assert_int_equal(r.account.images_dropped[PL_REASON_MISSING_IMAGE], 29);
	assert_int_equal(r.account.images_out, r.facts.images - 29);
	fetch_every(&r, 1);
	release(&r);
	ingest(&r, shared("mmc4/openflamingo-00000.tar"), NULL, NULL, 0);
	assert_int_equal(r.facts.samples, 18);
	assert_int_equal(pl_image_at(&r.tables, 0)->where, PL_WHERE_EMBEDDED);
	fetch_every(&r, 1);
	release(&r);
}

static void test_real_chat(void **state)
{
	struct result r = { .source = source_make(PL_KIND_CHAT) };
	struct pl_image_index *x;
	struct pl_err err;
	char *stores[1];

	(void)state;
	stores[0] = strdup(shared("llava/images.tar"));
	OK(pl_image_index_build(stores[0], scratch, 0, NULL, NULL, &err));
	OK(pl_image_index_open(&x, scratch, stores, 1, NULL, &err));
	r.source.images = stores[0];
	ingest(&r, shared("llava/owleval.json"), x, stores, 1);
	assert_int_equal(r.facts.samples, 62);
	assert_int_equal(r.facts.kept, 62);
	fetch_every(&r, 1);
	release(&r);
	/* Its pictures are not here, and its ids come three times each. */
	ingest(&r, shared("llava/llava-coco2014_val_gpt4_qa_30x3.jsonl"), x, stores, 1);
	assert_int_equal(r.facts.samples, 90);
	assert_int_equal(r.account.samples_dropped[PL_REASON_DUPLICATE_KEY], 0);
	assert_int_equal(r.facts.kept, 0);
	release(&r);
	pl_image_index_close(x);
	free(stores[0]);
}

static int setup(void **state)
{
	struct pl_pool_config config = {
		.workers = 2, .limits = pl_img_limits_default(), .window = 5
	};
	struct pl_err err;

	(void)state;
	scratch_make();
	return pl_pool_new(&pool, &config, &err) == PL_OK ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	pl_pool_free(pool);
	scratch_remove_tree(scratch);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_image_tar),
		cmocka_unit_test(test_image_folder),
		cmocka_unit_test(test_interleaved),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_detect),
		cmocka_unit_test(test_real_pairs),
		cmocka_unit_test(test_real_interleaved),
		cmocka_unit_test(test_real_chat),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
