/* SPDX-License-Identifier: Apache-2.0 */
/* Shards to tables and back: what each kind of broken sample becomes, damage in
 * the middle, stopping, and telling the kind. */
#include "corpus_ingest_fixture.h"

/* What was decoded has statistics, and nothing else. */
static void check_statistics(const struct pl_tables *t)
{
	for (uint64_t i = 0; i < t->images.nrows; i++) {
		const struct pl_image_row *im = pl_image_at(t, i);
		const bool none = im->status != PL_REASON_KEEP;

		assert_int_equal(none, isnan(im->mean) != 0);
		assert_int_equal(none, isnan(im->blur) != 0);
		if (none)
			continue;
		assert_true(im->mean > 0 && im->blur >= 0 && im->contrast >= 0 && im->edges >= 0);
		assert_int_equal(im->frames, 1);
		assert_int_equal(im->jpeg_quality > 0, im->format == PL_FORMAT_JPEG);
	}
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
	check_statistics(&r.tables);
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
	struct pl_pool_job job = { .op = PL_POOL_SCAN };
	struct pl_buf tar;
	struct pl_err err;
	uint8_t *data;
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
	/* More of what a shard that is given up leaves under way. */
	data = jpeg(20, 20, 1, &job.len);
	job.data = data;
	for (; job.tag < 3; job.tag++)
		OK(pl_pool_submit(pool, &job, &err));
	free(data);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_interleaved),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_detect),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
