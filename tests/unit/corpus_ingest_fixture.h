/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests that ingest share: a pool, one shard in and its tables open,
 * a tar of pairs with everything that goes wrong, and a few chats. */
#ifndef TESTS_CORPUS_INGEST_FIXTURE_H
#define TESTS_CORPUS_INGEST_FIXTURE_H

#include "corpus_fixture.h"

#include <math.h>

#include "libpipe/base/hash.h"
#include "libpipe/corpus/fetch.h"
#include "libpipe/corpus/ingest.h"
#include "libpipe/corpus/internal.h"

FIXTURE struct pl_pool *pool;

struct result {
	struct pl_source source;
	struct pl_account account;
	struct pl_shard_facts facts;
	struct pl_corpus corpus;
	struct pl_tables tables;
};

FIXTURE struct pl_source source_make(enum pl_kind kind)
{
	struct pl_source s = { .name = "test",
		.read = { .kind = kind },
		.hash = PL_HASH_PDQ_AA,
		.limits = pl_img_limits_default() };

	return s;
}

FIXTURE enum pl_status ingest_only(
    struct result *r, const char *path, struct pl_image_index *images, struct pl_err *err)
{
	struct pl_ingest_env env = { .pool = pool, .images = images };

	memset(&r->account, 0, sizeof(r->account));
	return pl_ingest_shard(path, scratch, &r->source, &env, &r->account, &r->facts, err);
}

/* Ingest one shard, write its manifest, open its tables, and hold the account to the tables. */
FIXTURE void ingest(struct result *r, const char *path, struct pl_image_index *images,
    char **stores, size_t nstores)
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

FIXTURE void release(struct result *r)
{
	pl_tables_close(&r->tables);
	pl_corpus_close(&r->corpus);
	pl_shard_facts_release(&r->facts);
}

FIXTURE unsigned status_of(const struct result *r, const char *key)
{
	uint64_t hash = pl_hash64(key, strlen(key)), i;

	for (i = 0; i < r->tables.samples.nrows; i++)
		if (pl_sample(&r->tables, i)->key == hash)
			return pl_sample(&r->tables, i)->status;
	return PL_REASON_COUNT;
}

FIXTURE void pair(struct pl_buf *tar, const char *key, unsigned seed, const char *caption)
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
FIXTURE const char *pairs_tar(const char *name)
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

FIXTURE const char chats[] =
    "{\"id\":\"q\",\"image\":\"imgs/dog.jpg\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\\nwhat?\"},"
    "{\"from\":\"gpt\",\"value\":\"a dog\"}]}\n"
    "{\"id\":\"q\",\"image\":\"lost.jpg\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\\nwhat?\"},"
    "{\"from\":\"gpt\",\"value\":\"a cat\"}]}\n"
    "not json at all\n"
    "{\"id\":\"r\",\"image\":\"../../imgs/broken.jpg\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\\nwhat?\"},"
    "{\"from\":\"gpt\",\"value\":\"hm\"}]}\n"
    "{\"conversations\":[{\"from\":\"human\",\"value\":\"just text\"},{\"from\":\"gpt\",\"value\":\"yes\"}]}\n";

FIXTURE int setup(void **state)
{
	struct pl_pool_config config = {
		.workers = 2, .limits = pl_img_limits_default(), .window = 5
	};
	struct pl_err err;

	(void)state;
	scratch_make();
	return pl_pool_new(&pool, &config, &err) == PL_OK ? 0 : -1;
}

FIXTURE int teardown(void **state)
{
	(void)state;
	pl_pool_free(pool);
	scratch_remove_tree(scratch);
	return 0;
}

#endif
