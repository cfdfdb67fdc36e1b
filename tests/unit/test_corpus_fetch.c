/* SPDX-License-Identifier: Apache-2.0 */
/* Samples read again by their rows, wherever their images lie; and real shards,
 * in and out. */
#include "corpus_ingest_fixture.h"

#include "shards/writer.h"

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

/* ---- images that lie elsewhere ---- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_image_tar),
		cmocka_unit_test(test_image_folder),
		cmocka_unit_test(test_real_pairs),
		cmocka_unit_test(test_real_interleaved),
		cmocka_unit_test(test_real_chat),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
