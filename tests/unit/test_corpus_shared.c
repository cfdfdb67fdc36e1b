/* SPDX-License-Identifier: Apache-2.0 */
/* Real shards, read as documents: counts, whereabouts of images, captions byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libpipe/corpus/document.h"

static const char *shared_dir(void)
{
	const char *shared = getenv("PLAIT_SHARED_DATA");

	if (shared == NULL || access(shared, R_OK) != 0) {
		print_message("PLAIT_SHARED_DATA is not set: no real data\n");
		skip();
	}
	return shared;
}

struct tally { size_t samples, kept, images, in_shard, embedded, missing, chinese, arabic; };

/* Count a caption's script by its lead bytes: E4..E9 begin CJK ideographs, D8..DB Arabic letters. */
static void tally_script(struct tally *t, const struct pl_document *d)
{
	bool chinese = false, arabic = false;

	for (size_t i = 0; i < d->nsegments; i++) {
		for (size_t k = 0; k < d->segments[i].text_len; k++) {
			unsigned char c = (unsigned char)d->segments[i].text[k];
			chinese = chinese || (c >= 0xE4 && c <= 0xE9);
			arabic = arabic || (c >= 0xD8 && c <= 0xDB);
		}
	}
	t->chinese += chinese;
	t->arabic += arabic;
}

static struct tally read_shard(const char *name, enum pl_kind kind)
{
	struct tally t = {0};
	struct shard_reader *r;
	struct shard_sample s;
	struct pl_document d;
	struct pl_text_stats stats;
	struct pl_read_options o = {.kind = kind};
	struct pl_err err = {0};
	enum pl_status st;
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", shared_dir(), name);
	if (shard_reader_open(&r, path, NULL, &err) != PL_OK)
		fail_msg("%s: %s", path, err.text);
	pl_document_init(&d);
	while ((st = shard_reader_next(r, &s, &err)) == PL_OK) {
		assert_int_equal(pl_detect_sample(&s), kind);
		assert_int_equal(pl_document_read_sample(&d, &o, &s, &err), PL_OK);
		assert_int_equal(pl_document_text_stats(&d, &stats, &err), PL_OK);
		t.samples++;
		t.kept += d.status == PL_REASON_KEEP && stats.bytes > 0 && stats.hash != 0 && d.meta != NULL;
		t.images += d.nimages;
		for (size_t i = 0; i < d.nimages; i++) {
			const struct pl_doc_image *image = &d.images[i];
			t.in_shard += image->where == PL_WHERE_SHARD;
			t.embedded += image->where == PL_WHERE_EMBEDDED;
			t.missing += image->status == PL_REASON_MISSING_IMAGE;
			/* whatever the member's name says, these are JPEG or PNG bytes */
			if (image->status == PL_REASON_KEEP)
				assert_true(image->len > 4 && (image->data[0] == 0xFF || image->data[0] == 0x89));
		}
		tally_script(&t, &d);
	}
	assert_int_equal(st, PL_END);
	pl_document_release(&d);
	shard_reader_close(r);
	return t;
}

static void test_real_pairs(void **state)
{
	static const struct { const char *name; size_t samples; } shards[] = {
		{"cc3m/00000.tar", 820}, {"cc3m/00001.tar", 780}, {"cc3m/00002.tar", 288}, {"cc3m/00003.tar", 166},
	};
	struct tally t;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(shards); i++) {
		t = read_shard(shards[i].name, PL_KIND_PAIRS);
		assert_int_equal(t.samples, shards[i].samples);
		assert_int_equal(t.kept, shards[i].samples);
		assert_int_equal(t.in_shard, shards[i].samples);
		if (i == 2)
			assert_int_equal(t.chinese + t.arabic, 160);
	}
}

static void test_real_interleaved(void **state)
{
	struct tally t = read_shard("mmc4/standin-00000.tar", PL_KIND_INTERLEAVED);

	(void)state;
	assert_int_equal(t.kept, 60);
	assert_int_equal(t.images, 232);
	assert_int_equal(t.in_shard, 203);
	assert_int_equal(t.missing, 29);
	t = read_shard("mmc4/openflamingo-00000.tar", PL_KIND_INTERLEAVED);
	assert_int_equal(t.kept, 18);
	assert_int_equal(t.embedded, 82);
	assert_int_equal(t.missing, 0);
	t = read_shard("mmc4/webdocs-18f-00000.tar", PL_KIND_INTERLEAVED);
	assert_int_equal(t.kept, 74);
	assert_int_equal(t.in_shard, 152);
	t = read_shard("mmc4/webdocs-howtocook-00000.tar", PL_KIND_INTERLEAVED);
	assert_int_equal(t.kept, 68);
	assert_int_equal(t.in_shard, 153);
	assert_int_equal(t.chinese, 68);
}

/* Captions come through byte for byte: the documents' texts against the members. */
static void test_real_captions_verbatim(void **state)
{
	struct shard_reader *r;
	struct shard_sample s;
	struct pl_document d;
	struct pl_read_options txt = {.kind = PL_KIND_PAIRS}, json = {.kind = PL_KIND_PAIRS, .caption_field = "caption"};
	struct pl_err err = {0};
	char path[1024];
	size_t n = 0;

	(void)state;
	snprintf(path, sizeof(path), "%s/cc3m/00002.tar", shared_dir());
	assert_int_equal(shard_reader_open(&r, path, NULL, &err), PL_OK);
	pl_document_init(&d);
	while (shard_reader_next(r, &s, &err) == PL_OK) {
		char caption[4096];
		assert_int_equal(pl_document_read_sample(&d, &txt, &s, &err), PL_OK);
		assert_int_equal(d.nsegments, 2);
		assert_true(d.segments[1].text_len < sizeof(caption));
		memcpy(caption, d.segments[1].text, d.segments[1].text_len + 1);
		for (size_t i = 0; i < s.nparts; i++) {
			if (strcmp(s.parts[i].suffix, "txt") == 0)
				n += memmem(s.parts[i].data, s.parts[i].len, caption, strlen(caption)) != NULL;
		}
		assert_int_equal(pl_document_read_sample(&d, &json, &s, &err), PL_OK);
		assert_string_equal(d.segments[1].text, caption);
	}
	assert_int_equal(n, 288);
	pl_document_release(&d);
	shard_reader_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_pairs),
		cmocka_unit_test(test_real_interleaved),
		cmocka_unit_test(test_real_captions_verbatim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
