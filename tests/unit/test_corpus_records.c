/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting files of records: every form, every chunk boundary, damage, and the real files of PLAIT_SHARED_DATA. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libpipe/base/json.h"
#include "libpipe/corpus/document.h"
#include "libpipe/corpus/records.h"
#include "shards/bytes.h"

static char dir[256];

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%s/plait-records-XXXXXX", tmp != NULL ? tmp : "/tmp");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

/* What one file gave: the records, each ended by '|', and the status at the end. */
struct seen {
	char text[4096];
	size_t n, lens[64];
	uint64_t offsets[64];
	bool large[64];
	enum pl_status end;
	struct pl_err err;
};

static void split(struct seen *s, const char *name, const void *bytes, size_t len, uint64_t max)
{
	struct pl_records *r;
	struct pl_record_text t;
	struct pl_err err;
	char path[512];
	size_t used = 0;
	FILE *f;

	memset(s, 0, sizeof(*s));
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(pl_records_open(&r, path, max, &err), PL_OK);
	while ((s->end = pl_records_next(r, &t, &s->err)) == PL_OK) {
		assert_int_equal(t.index, s->n);
		assert_true(s->n < 64);
		s->offsets[s->n] = t.offset;
		s->lens[s->n] = t.len;
		s->large[s->n++] = t.too_large;
		if (t.too_large) {
			assert_null(t.text);
			continue;
		}
		/* the place leads back to the same bytes */
		assert_true(t.offset + t.len <= len);
		assert_memory_equal((const char *)bytes + t.offset, t.text, t.len);
		assert_true(used + t.len + 2 < sizeof(s->text));
		memcpy(s->text + used, t.text, t.len);
		used += t.len;
		s->text[used++] = '|';
	}
	/* the end, or the damage, is told again */
	assert_int_equal(pl_records_next(r, &t, &err), s->end);
	if (s->end == PL_END) {
		uint64_t hash[2], size = 0;
		pl_records_digest(r, hash, &size);
		assert_int_equal(size, len);
	}
	pl_records_close(r);
	assert_int_equal(unlink(path), 0);
}

static void splits_to(const char *name, const char *text, const char *want, enum pl_status end)
{
	struct seen s;

	split(&s, name, text, strlen(text), 0);
	assert_string_equal(s.text, want);
	assert_int_equal(s.end, end);
}

static void test_names(void **state)
{
	(void)state;
	assert_true(pl_records_name("a/b.jsonl"));
	assert_true(pl_records_name("b.NDJSON"));
	assert_true(pl_records_name("x.y.json.zst"));
	assert_true(pl_records_name("x.txt.gz"));
	assert_true(pl_records_name("x.jsonl.xz"));
	assert_true(pl_records_name("x.json.bz2"));
	assert_false(pl_records_name("x.tar"));
	assert_false(pl_records_name("x.tar.zst"));
	assert_false(pl_records_name("dir.json/x"));
	assert_false(pl_records_name("json"));
	assert_false(pl_records_name(".zst"));
	assert_false(pl_records_name("-"));
	assert_false(pl_records_name(""));
}

static void test_lines(void **state)
{
	(void)state;
	splits_to("a.jsonl", "{\"a\":1}\n{\"b\":2}\n", "{\"a\":1}|{\"b\":2}|", PL_END);
	splits_to("a.jsonl", "{\"a\":1}\r\n\r\n \t\r\n{\"b\":2}", "{\"a\":1}|{\"b\":2}|", PL_END);
	splits_to("a.jsonl", "\xEF\xBB\xBF{}\r\n", "{}|", PL_END);
	splits_to("a.jsonl", "", "", PL_END);
	splits_to("a.jsonl", "\n\n\n", "", PL_END);
	splits_to("a.jsonl", "\xEF\xBB\xBF", "", PL_END);
	splits_to("a.jsonl", "x", "x|", PL_END);
	splits_to("a.jsonl", "ab", "ab|", PL_END);
	splits_to("a.txt", " indented\nline\r\n", " indented|line|", PL_END);
	splits_to("a.jsonl", "not json\n{}\n", "not json|{}|", PL_END);
}

static void test_array(void **state)
{
	(void)state;
	splits_to("a.json", " [ {\"a\":[1,{\"b\":\"]}\\\"\"}]} , [2], \"s,]\", 12 ,true,null]\n ",
	    "{\"a\":[1,{\"b\":\"]}\\\"\"}]}|[2]|\"s,]\"|12|true|null|", PL_END);
	splits_to("a.json", "\xEF\xBB\xBF[\r\n{},\r\n{}\r\n]", "{}|{}|", PL_END);
	splits_to("a.json", "[]", "", PL_END);
	splits_to("a.json", "", "", PL_END);
	splits_to("a.json", "{\"a\":1}\n{\"b\":\"}\"}{}", "{\"a\":1}|{\"b\":\"}\"}|{}|", PL_END);
	/* a bad record costs itself only */
	splits_to("a.json", "[{\"a\":1], {\"b\":2}]", "{\"a\":1]|{\"b\":2}|", PL_END);
	splits_to("a.json", "[{\"a\":\"\\\\\"},{}]", "{\"a\":\"\\\\\"}|{}|", PL_END);
}

static void test_array_damage(void **state)
{
	struct seen s;

	(void)state;
	splits_to("a.json", "[{},{}", "{}|{}|", PL_ERR_TRUNCATED);
	splits_to("a.json", "[{},{\"a\":\"", "{}|", PL_ERR_TRUNCATED);
	splits_to("a.json", "[1 2]", "1|", PL_ERR_INVALID);
	splits_to("a.json", "[1,,2]", "1|", PL_ERR_INVALID);
	splits_to("a.json", "[1,]", "1|", PL_ERR_INVALID);
	splits_to("a.json", "[1]\n[2]\n", "1|", PL_ERR_INVALID);
	splits_to("a.json", "}", "", PL_ERR_INVALID);
	split(&s, "a.json", "[{},{\"a\":", 9, 0);
	assert_int_equal(s.err.severity, PL_SEV_SHARD);
	assert_true(s.err.has_offset);
	assert_int_equal(s.err.offset, 4);
	assert_non_null(strstr(s.err.path, "a.json"));
}

/* Deep nesting is one record: memory does not follow it, and the parser is who refuses. */
static void test_depth(void **state)
{
	static char text[3000];
	struct seen s;

	(void)state;
	text[0] = '[';
	memset(text + 1, '[', 1000);
	memset(text + 1001, ']', 1000);
	memcpy(text + 2001, ",{}]", 4);
	split(&s, "a.json", text, 2005, 0);
	assert_int_equal(s.end, PL_END);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.lens[0], 2000);
	assert_int_equal(s.offsets[1], 2002);
}

static void test_ceiling(void **state)
{
	static const char lines[] = "12345678901\n1234567890\r\n\n12345678901\r\n1\n";
	static const char array[] = "[\"1234567890\",[1,2],{\"a\":\"1234567\"}, 7]";
	struct seen s;

	(void)state;
	split(&s, "a.jsonl", lines, sizeof(lines) - 1, 10);
	assert_int_equal(s.n, 4);
	assert_true(s.large[0]);
	assert_int_equal(s.lens[0], 11);
	assert_false(s.large[1]);
	assert_true(s.large[2]);
	assert_int_equal(s.lens[2], 11);
	assert_string_equal(s.text, "1234567890|1|");
	split(&s, "a.json", array, sizeof(array) - 1, 10);
	assert_int_equal(s.n, 4);
	assert_true(s.large[0]);
	assert_true(s.large[2]);
	assert_string_equal(s.text, "[1,2]|7|");
}

/* Records that lie across the splitter's chunks: lengths around the chunk size, in each form. */
static void test_chunks(void **state)
{
	enum { CHUNK = 256 << 10 };
	char *text = malloc(3 * CHUNK);

	(void)state;
	assert_non_null(text);
	for (size_t shift = 0; shift < 12; shift++) {
		struct seen s;
		size_t n = CHUNK - 6 + shift, len = 0;
		text[len++] = '[';
		text[len++] = '"';
		memset(text + len, 'x', n);
		len += n;
		memcpy(text + len, "\\\"\",12,{\"a\":1}]", 15);
		len += 15;
		split(&s, "a.json", text, len, 32);
		assert_int_equal(s.end, PL_END);
		assert_int_equal(s.n, 3);
		assert_int_equal(s.lens[0], n + 4);
		assert_string_equal(s.text, "12|{\"a\":1}|");
		memset(text, 'x', n);
		memcpy(text + n, "\r\nab\r\ncd", 8);
		split(&s, "a.jsonl", text, n + 8, 32);
		assert_int_equal(s.n, 3);
		assert_int_equal(s.lens[0], n);
		assert_string_equal(s.text, "ab|cd|");
	}
	free(text);
}

/* Every cut of a file ends in whole records and a reason, never in a part of one. */
static void test_every_cut(void **state)
{
	static const char text[] = "[{\"a\":\"x\\\"]\"},[1,[2]],{\"b\":{}}]";
	size_t whole[] = {13, 21, 30};

	(void)state;
	for (size_t len = 1; len < sizeof(text) - 1; len++) {
		struct seen s;
		size_t want = 0;
		for (size_t i = 0; i < 3; i++)
			want += len >= whole[i];
		split(&s, "a.json", text, len, 0);
		assert_int_equal(s.end, PL_ERR_TRUNCATED);
		assert_int_equal(s.n, want);
	}
}

static void test_open_errors(void **state)
{
	struct pl_records *r;
	struct pl_err err;

	(void)state;
	assert_int_equal(pl_records_open(&r, "nothing-here.jsonl", 0, &err), PL_ERR_NOTFOUND);
	assert_int_equal(err.severity, PL_SEV_SHARD);
	assert_int_equal(pl_records_open(&r, "x.tar", 0, &err), PL_ERR_UNSUPPORTED);
	pl_records_close(NULL);
}

struct real { const char *path; size_t records; enum pl_kind kind; size_t kept; };

static void read_real(const char *shared, const struct real *f)
{
	struct pl_records *r;
	struct pl_record_text t;
	struct pl_document d;
	struct shard_bytes *bytes;
	struct pl_err err = {0};
	struct pl_read_options o = {.kind = f->kind};
	enum pl_status st;
	char path[1024], again[256];
	size_t n = 0, kept = 0;

	snprintf(path, sizeof(path), "%s/%s", shared, f->path);
	if (pl_records_open(&r, path, 0, &err) != PL_OK || shard_bytes_open(&bytes, path, &err) != PL_OK)
		fail_msg("%s", err.text);
	pl_document_init(&d);
	while ((st = pl_records_next(r, &t, &err)) == PL_OK) {
		size_t probe = t.len < sizeof(again) ? t.len : sizeof(again);
		n++;
		if (pl_detect_record(t.text, t.len, t.plain_text) != f->kind)
			fail_msg("%s: record %zu is another kind", f->path, n);
		assert_int_equal(pl_document_read_record(&d, &o, t.text, t.len, t.plain_text, &err), PL_OK);
		kept += d.status == PL_REASON_KEEP;
		assert_int_equal(shard_bytes_read(bytes, t.offset + t.len - probe, again, probe, &err), PL_OK);
		assert_memory_equal(again, t.text + t.len - probe, probe);
	}
	assert_int_equal(st, PL_END);
	if (n != f->records || kept != f->kept)
		fail_msg("%s: %zu records, %zu kept; expected %zu, %zu", f->path, n, kept, f->records, f->kept);
	pl_document_release(&d);
	shard_bytes_close(bytes);
	pl_records_close(r);
}

static void test_real(void **state)
{
	static const struct real files[] = {
		{"llava/owleval.json", 62, PL_KIND_CHAT, 62},
		{"llava/qwen-single_images.json", 3, PL_KIND_CHAT, 3},
		{"llava/llava-coco2014_val_gpt4_qa_30x3.jsonl", 90, PL_KIND_CHAT, 90},
		{"llava/xtuner-mllm_pretrain_image_example_data.jsonl", 12, PL_KIND_CHAT, 12},
		{"llava/xtuner-mllm_sft_multi_image_example_data.jsonl", 11, PL_KIND_CHAT, 11},
		{"llava/xtuner-mllm_sft_multi_image_example_data2.jsonl", 10, PL_KIND_CHAT, 10},
		{"llava/xtuner-mllm_sft_single_image_example_data.jsonl", 22, PL_KIND_CHAT, 22},
		{"llava/text/alpaca_en_demo.json.zst", 999, PL_KIND_CHAT, 999},
		{"llava/text/alpaca_zh_demo.json.zst", 1000, PL_KIND_CHAT, 1000},
		{"llava/text/glaive_toolcall_en_demo.json.zst", 300, PL_KIND_CHAT, 300},
		{"llava/text/xtuner-openai_sft.jsonl.zst", 128, PL_KIND_CHAT, 128},
		{"llava/text/c4_demo.jsonl.zst", 300, PL_KIND_TEXT, 300},
		{"llava/text/wiki_demo.txt.zst", 30, PL_KIND_TEXT, 30},
		{"mmc4/docs_no_face_shard_151_v3.sample.jsonl", 78, PL_KIND_INTERLEAVED, 78},
	};
	const char *shared = getenv("PLAIT_SHARED_DATA");

	(void)state;
	if (shared == NULL || access(shared, R_OK) != 0) {
		print_message("PLAIT_SHARED_DATA is not set: no real data\n");
		skip();
	}
	for (size_t i = 0; i < PL_ARRAY_LEN(files); i++)
		read_real(shared, &files[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_array),
		cmocka_unit_test(test_array_damage),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_open_errors),
		cmocka_unit_test(test_real),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
