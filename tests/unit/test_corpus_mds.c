/* SPDX-License-Identifier: Apache-2.0 */
/* MDS: what is written reads back, what columns become parts, and shards whose numbers lie. And the documents of plait's own. */
#include "shards_test.h"

#include "libpipe/corpus/document.h"
#include "libpipe/corpus/mds_sample.h"
#include "shards/bytes.h"

enum { SAMPLES = 7 };
static const char config[] = "{\"column_names\":[\"a\",\"n\"],\"column_encodings\":[\"str\",\"int32\"],\"column_sizes\":[null,4]}";

/* A shard of one sample, a = "xyz", n = -2; into out, its size returned. */
static size_t small_shard(uint8_t *out)
{
	static const uint8_t sample[] = { 3, 0, 0, 0, 'x', 'y', 'z', 0xfe, 0xff, 0xff, 0xff };
	size_t head = 12 + sizeof(config) - 1, n = head + sizeof(sample);
	const uint32_t numbers[3] = { 1, (uint32_t)head, (uint32_t)n };

	for (size_t i = 0; i < 12; i++)
		out[i] = (uint8_t)(numbers[i / 4] >> (8 * (i % 4)));
	memcpy(out + 12, config, sizeof(config) - 1);
	memcpy(out + head, sample, sizeof(sample));
	return n;
}

/* Open, take sample 0; PL_OK, or what came. *key is a copy. */
static enum pl_status first_sample(const char *path, char *key, char *json, enum pl_reason *why)
{
	struct shard_bytes *b = NULL;
	struct pl_mds *m = NULL;
	struct shard_sample s;
	struct pl_err err;
	uint64_t offset = 0, length = 0;
	uint8_t data[4096];
	enum pl_status st = shard_bytes_open(&b, path, &err);

	if (st == PL_OK)
		st = pl_mds_open(&m, b, path, "unit", &err);
	if (st == PL_OK)
		st = pl_mds_range(m, 0, &offset, &length, &err);
	if (st == PL_OK && length > sizeof(data))
		st = PL_ERR_LIMIT;
	if (st == PL_OK)
		st = shard_bytes_read(b, offset, data, length, &err);
	if (st == PL_OK)
		st = pl_mds_sample(m, 0, offset, data, length, &s, why, &err);
	if (st == PL_OK) {
		snprintf(key, 64, "%s", s.key);
		json[0] = '\0';
		for (size_t i = 0; i < s.nparts; i++)
			if (strcmp(s.parts[i].suffix, "json") == 0)
				snprintf(json, 256, "%.*s", (int)s.parts[i].len, (const char *)s.parts[i].data);
	}
	pl_mds_close(m);
	shard_bytes_close(b);
	return st;
}

static void test_small(void **state)
{
	uint8_t file[512];
	size_t n = small_shard(file);
	char key[64], json[256];
	enum pl_reason why;

	(void)state;
	write_file(in_tmp("s.mds"), file, n);
	assert_int_equal(first_sample(in_tmp("s.mds"), key, json, &why), PL_OK);
	assert_int_equal(why, PL_REASON_KEEP);
	assert_string_equal(key, "unit-000000000");
	assert_string_equal(json, "{\"a\":\"xyz\",\"n\":-2}");
}

/* Cut at every length, and every byte set to every power of two: an error or a sample, never more. */
static void test_lies(void **state)
{
	uint8_t file[512], other[512];
	size_t n = small_shard(file), whole = 0;
	char key[64], json[256];
	enum pl_reason why;

	(void)state;
	for (size_t cut = 1; cut < n; cut++) {
		write_file(in_tmp("s.mds"), file, cut);
		assert_int_not_equal(first_sample(in_tmp("s.mds"), key, json, &why), PL_OK);
	}
	for (size_t i = 0; i < n; i++) {
		for (int bit = 0; bit < 8; bit += i < 12 ? 1 : 3) {
			memcpy(other, file, n);
			other[i] ^= (uint8_t)(1 << bit);
			write_file(in_tmp("s.mds"), other, n);
			if (first_sample(in_tmp("s.mds"), key, json, &why) == PL_OK && why == PL_REASON_KEEP)
				whole += strcmp(json, "{\"a\":\"xyz\",\"n\":-2}") == 0;
		}
	}
	assert_int_equal(whole, 0);   /* every bit of it says something */
}

static void test_sizes_of_a_sample(void **state)
{
	uint8_t file[512];
	size_t n = small_shard(file), head = 12 + sizeof(config) - 1;
	char key[64], json[256];
	enum pl_reason why;

	(void)state;
	file[head] = 4;   /* more than there is */
	write_file(in_tmp("s.mds"), file, n);
	assert_int_equal(first_sample(in_tmp("s.mds"), key, json, &why), PL_OK);
	assert_int_equal(why, PL_REASON_CORRUPT);
	assert_string_equal(key, "unit-000000000");
	memset(file + head, 0xff, 4);
	write_file(in_tmp("s.mds"), file, n);
	assert_int_equal(first_sample(in_tmp("s.mds"), key, json, &why), PL_OK);
	assert_int_equal(why, PL_REASON_CORRUPT);
}

static void test_too_many_samples(void **state)
{
	uint8_t file[512];
	size_t n = small_shard(file);
	char key[64], json[256];
	enum pl_reason why;

	(void)state;
	memset(file, 0xff, 4);
	write_file(in_tmp("s.mds"), file, n);
	assert_int_equal(first_sample(in_tmp("s.mds"), key, json, &why), PL_ERR_INVALID);
}

/* ---- writing ---- */

static char encoding_str[] = "str", encoding_list[] = "list[jpeg]", name_images[] = "images", name_key[] = "key";

static uint64_t write_set(bool zstd, uint64_t limit, char *names, size_t size)
{
	const struct shard_mds_column columns[] = { { name_images, encoding_list, 0 }, { name_key, encoding_str, 0 } };
	const struct shard_mds_writer_options o = { columns, 2, zstd, limit };
	struct shard_mds_writer *w;
	struct pl_buf list;
	struct pl_err err;
	const char *entries, *said;
	uint64_t bytes, shards = 0;

	pl_buf_init(&list, 0);
	ok(shard_mds_writer_open(&w, tmp_dir, "set", &o, &err), &err);
	for (int i = 0; i < SAMPLES; i++) {
		const struct shard_mds_value images[2] = { { (const uint8_t *)"\xff\xd8" "0123456789", (size_t)i + 2 }, { (const uint8_t *)"b", 1 } };
		char key[16];
		struct shard_mds_value values[2];
		pl_buf_clear(&list);
		ok(shard_mds_put_list(&list, images, (size_t)(i % 3), &err), &err);
		snprintf(key, sizeof(key), "key %d", i);
		values[0] = (struct shard_mds_value){ list.data, list.len };
		values[1] = (struct shard_mds_value){ (const uint8_t *)key, strlen(key) };
		ok(shard_mds_writer_add(w, values, &err), &err);
	}
	ok(shard_mds_writer_commit(w, &entries, &said, &bytes, &err), &err);
	snprintf(names, size, "%s", said);
	for (const char *p = entries; (p = strstr(p, "raw_data")) != NULL; p++)
		shards++;
	shard_mds_writer_free(w);
	pl_buf_release(&list);
	return shards;
}

/* Every sample of the shards in names, in order. */
static void read_set(char *names)
{
	int i = 0;

	for (char *name = names, *end; (end = strchr(name, '\n')) != NULL; name = end + 1) {
		struct shard_bytes *b;
		struct pl_mds *m;
		struct pl_err err;
		*end = '\0';
		assert_true(shard_mds_name(name));
		ok(shard_bytes_open(&b, in_tmp(name), &err), &err);
		ok(pl_mds_open(&m, b, name, "unit", &err), &err);
		for (uint64_t k = 0; k < pl_mds_count(m); k++, i++) {
			uint64_t offset, length;
			uint8_t data[1024];
			struct shard_sample s;
			enum pl_reason why;
			char key[16];
			ok(pl_mds_range(m, k, &offset, &length, &err), &err);
			assert_true(length <= sizeof(data));
			ok(shard_bytes_read(b, offset, data, length, &err), &err);
			ok(pl_mds_sample(m, k, offset, data, length, &s, &why, &err), &err);
			snprintf(key, sizeof(key), "key %d", i);
			assert_string_equal(s.key, key);
			assert_int_equal(s.nparts, i % 3 + 1);   /* and the JSON that the key makes */
			for (size_t p = 0; p + 1 < s.nparts; p++) {
				uint8_t again[16];
				assert_int_equal(s.parts[p].len, p == 0 ? i + 2 : 1);
				/* the offset is that of the bytes in the shard */
				ok(shard_bytes_read(b, s.parts[p].offset, again, s.parts[p].len, &err), &err);
				assert_memory_equal(again, s.parts[p].data, s.parts[p].len);
			}
		}
		pl_mds_close(m);
		shard_bytes_close(b);
	}
	assert_int_equal(i, SAMPLES);
}

static void test_round_trip(void **state)
{
	char names[512];

	(void)state;
	assert_int_equal(write_set(false, 1 << 20, names, sizeof(names)), 1);
	read_set(names);
	assert_int_equal(write_set(true, 1 << 20, names, sizeof(names)), 1);
	assert_non_null(strstr(names, "set-00.mds.zstd"));
	read_set(names);
	assert_true(write_set(false, 400, names, sizeof(names)) > 1);
	read_set(names);
}

/* ---- columns ---- */

static void test_lists(void **state)
{
	static const uint8_t list[] = { 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 'a', 'b', 'c' };
	struct shard_mds_value v = { list, sizeof(list) }, elements[4];
	size_t n;

	(void)state;
	assert_true(shard_mds_list(&v, false, elements, &n));
	assert_int_equal(n, 2);
	assert_memory_equal(elements[1].data, "bc", 2);
	v = (struct shard_mds_value){ list + 4, sizeof(list) - 4 };
	assert_true(shard_mds_list(&v, true, elements, &n));
	assert_int_equal(n, 2);
	for (size_t cut = 0; cut < sizeof(list); cut++) {
		v = (struct shard_mds_value){ list, cut };
		assert_false(shard_mds_list(&v, false, NULL, &n));
	}
}

/* ---- plait's own documents ---- */

static void test_own(void **state)
{
	static const char json[] =
	    "{\"key\":\"k\",\"kind\":\"chat\",\"segments\":[{\"type\":\"text\",\"text\":\"be kind\",\"role\":\"system\",\"loss\":false},"
	    "{\"type\":\"image\",\"part\":\"0.webp\",\"role\":\"user\"},{\"type\":\"text\",\"text\":\"what?\",\"role\":\"user\",\"loss\":false},"
	    "{\"type\":\"text\",\"text\":\"this\",\"role\":\"assistant\",\"branch\":\"chosen\",\"loss\":true}],\"images\":1,\"meta\":{\"similarity\":0.5}}";
	struct shard_part parts[] = { { .suffix = "json", .name = "k.json", .data = (const uint8_t *)json, .len = sizeof(json) - 1 },
		{ .suffix = "0.webp", .name = "k.0.webp", .data = (const uint8_t *)"RIFF", .len = 4 } };
	struct shard_sample s = { .key = "k", .parts = parts, .nparts = 2 };
	const struct pl_read_options o = { .kind = PL_KIND_DOCUMENT };
	struct pl_document d;
	struct pl_err err;

	(void)state;
	assert_int_equal(pl_detect_sample(&s), PL_KIND_DOCUMENT);
	pl_document_init(&d);
	ok(pl_document_read_sample(&d, &o, &s, &err), &err);
	assert_int_equal(d.status, PL_REASON_KEEP);
	assert_int_equal(d.kind, PL_KIND_CHAT);
	assert_true(d.as_is);
	assert_int_equal(d.nsegments, 4);
	assert_int_equal(d.segments[0].role, PL_ROLE_SYSTEM);
	assert_true(d.segments[1].is_image);
	assert_int_equal(d.segments[1].turn, d.segments[2].turn);
	assert_false(d.segments[2].loss);
	assert_true(d.segments[3].loss);
	assert_int_equal(d.segments[3].branch, PL_BRANCH_CHOSEN);
	assert_int_equal(d.images[0].len, 4);
	assert_true(d.images[0].similarity == 0.5F);
	pl_document_release(&d);
}

static void test_own_bad(void **state)
{
	static const char *const bad[] = {
		"{\"kind\":\"chat\",\"segments\":[]}",
		"{\"kind\":\"sequence\",\"segments\":[{\"type\":\"text\",\"text\":\"a\"}]}",
		"{\"kind\":\"chat\",\"segments\":[{\"type\":\"text\",\"text\":\"a\",\"role\":\"boss\"}]}",
		"{\"kind\":\"chat\",\"segments\":[{\"type\":\"text\",\"text\":\"a\",\"branch\":\"shared\"}]}",
		"{\"kind\":\"chat\",\"segments\":[{\"type\":\"video\"}]}",
		"{\"kind\":\"document\",\"segments\":[{\"type\":\"text\",\"text\":\"a\"}]}",
	};
	const struct pl_read_options o = { .kind = PL_KIND_DOCUMENT };
	struct pl_document d;
	struct pl_err err;

	(void)state;
	pl_document_init(&d);
	for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
		struct shard_part part = { .suffix = "json", .name = "k.json", .data = (const uint8_t *)bad[i], .len = strlen(bad[i]) };
		struct shard_sample s = { .key = "k", .parts = &part, .nparts = 1 };
		ok(pl_document_read_sample(&d, &o, &s, &err), &err);
		assert_int_equal(d.status, PL_REASON_BAD_DOCUMENT);
		assert_int_equal(d.nsegments, 0);
	}
	pl_document_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_sizes_of_a_sample),
		cmocka_unit_test(test_too_many_samples),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_own_bad),
	};

	return cmocka_run_group_tests(tests, make_tmp_dir, remove_tmp_dir);
}
