/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of every kind: what samples and records become, and what is refused and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/corpus/document.h"

enum { MAX_PARTS = 8 };

/* A sample of the given suffixes and texts, key "k". */
struct made { struct shard_sample s; struct shard_part parts[MAX_PARTS]; char names[MAX_PARTS][64]; };

static void add_part(struct made *m, const char *suffix, const char *data, size_t len)
{
	size_t i = m->s.nparts++;

	assert_true(i < MAX_PARTS);
	snprintf(m->names[i], sizeof(m->names[i]), "dir/k.%s", suffix);
	m->parts[i] = (struct shard_part){.suffix = suffix, .name = m->names[i], .data = (const uint8_t *)data,
		.len = len, .offset = 512 * (i + 1)};
	m->s.key = "dir/k";
	m->s.parts = m->parts;
}

static void add(struct made *m, const char *suffix, const char *text)
{
	add_part(m, suffix, text, strlen(text));
}

static void read_made(struct pl_document *d, struct pl_read_options o, const struct made *m)
{
	struct pl_err err;

	assert_int_equal(pl_document_read_sample(d, &o, &m->s, &err), PL_OK);
}

/* The document as one line: images as "[name]", texts as they are, each followed by '|'; role and loss in front. */
static const char *line_of(const struct pl_document *d)
{
	static char line[4096];
	static const char roles[] = "nsuat";
	size_t n = 0, images = 0;

	line[0] = '\0';
	for (size_t i = 0; i < d->nsegments; i++) {
		const struct pl_segment *s = &d->segments[i];
		assert_true(n + s->text_len + 64 < sizeof(line));
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%c%u%s:", roles[s->role], s->turn, s->loss ? "+" : "");
		if (s->is_image) {
			assert_int_equal(s->image, images++);
			assert_null(s->text);
			n += (size_t)snprintf(line + n, sizeof(line) - n, "[%s]|", d->images[s->image].name);
		} else {
			assert_int_equal(strlen(s->text), s->text_len);
			n += (size_t)snprintf(line + n, sizeof(line) - n, "%s|", s->text);
		}
	}
	assert_int_equal(images, d->nimages);
	return line;
}

/* Read a record and compare its status and line. */
static void becomes(enum pl_kind kind, const char *record, enum pl_reason status, const char *want)
{
	struct pl_document d;
	struct pl_err err;
	struct pl_read_options o = {.kind = kind};

	pl_document_init(&d);
	assert_int_equal(pl_document_read_record(&d, &o, record, strlen(record), false, &err), PL_OK);
	if (d.status != status)
		fail_msg("%s: status %s", record, pl_reason_name(d.status));
	if (want != NULL)
		assert_string_equal(line_of(&d), want);
	pl_document_release(&d);
}

static void test_pairs(void **state)
{
	struct made m = {0};
	struct pl_document d;
	struct pl_read_options o = {.kind = PL_KIND_PAIRS};

	(void)state;
	pl_document_init(&d);
	add(&m, "seg.png", "mask");
	add(&m, "png", "pixels");
	add(&m, "json", "{\"caption\":\"from json\",\"similarity\":0.25,\"n\":7,\"\":\" \xE3\x80\x80\"}");
	add(&m, "txt", " \xE3\x80\x80\xE7\x8B\x97 in  the park\n");
	assert_int_equal(pl_detect_sample(&m.s), PL_KIND_PAIRS);
	read_made(&d, o, &m);
	assert_int_equal(d.status, PL_REASON_KEEP);
	assert_string_equal(line_of(&d), "n0:[dir/k.png]|n0+:\xE7\x8B\x97 in  the park|");
	assert_int_equal(d.images[0].where, PL_WHERE_SHARD);
	assert_int_equal(d.images[0].offset, 1024);
	assert_ptr_equal(d.images[0].data, m.parts[1].data);
	assert_float_equal(d.images[0].similarity, 0.25, 0);
	assert_float_equal(pl_json_num(d.meta, "n", 0), 7, 0);
	o.caption_field = "caption";
	read_made(&d, o, &m);
	assert_string_equal(line_of(&d), "n0:[dir/k.png]|n0+:from json|");
	o.caption_field = "";
	read_made(&d, o, &m);
	assert_int_equal(d.status, PL_REASON_NO_TEXT);
	assert_int_equal(d.nimages, 1);
	o.caption_field = "absent";
	read_made(&d, o, &m);
	assert_int_equal(d.status, PL_REASON_NO_TEXT);
	pl_document_release(&d);
}

static enum pl_reason pair_status(const char *image, const char *txt, const char *json, const char *field)
{
	struct made m = {0};
	struct pl_document d;
	struct pl_read_options o = {.kind = PL_KIND_PAIRS, .caption_field = field};
	enum pl_reason status;

	pl_document_init(&d);
	if (image != NULL)
		add(&m, image, "x");
	if (txt != NULL)
		add_part(&m, "txt", txt, strlen(txt) + (strcmp(txt, "NUL") == 0));
	if (json != NULL)
		add(&m, "json", json);
	read_made(&d, o, &m);
	status = d.status;
	/* broken JSON that is not needed is no reason, but no metadata either */
	if (json != NULL && json[0] != '{')
		assert_null(d.meta);
	pl_document_release(&d);
	return status;
}

static void test_pairs_refused(void **state)
{
	(void)state;
	assert_int_equal(pair_status("jpg", "a", NULL, NULL), PL_REASON_KEEP);
	assert_int_equal(pair_status("jpeg", NULL, "{\"caption\":\"a\"}", NULL), PL_REASON_KEEP);
	assert_int_equal(pair_status("bmp", "a", "broken", NULL), PL_REASON_KEEP);
	assert_int_equal(pair_status("gif", "a", "[1]", NULL), PL_REASON_KEEP);
	assert_int_equal(pair_status(NULL, "a", "{}", NULL), PL_REASON_NO_IMAGE);
	assert_int_equal(pair_status("ten", "a", "{}", NULL), PL_REASON_NO_IMAGE);
	assert_int_equal(pair_status("seg.png", "a", "{}", NULL), PL_REASON_NO_IMAGE);
	assert_int_equal(pair_status("jpg", NULL, NULL, NULL), PL_REASON_NO_TEXT);
	assert_int_equal(pair_status("jpg", " \n\t\xC2\xA0", "{\"caption\":\"a\"}", NULL), PL_REASON_NO_TEXT);
	assert_int_equal(pair_status("jpg", NULL, "{\"caption\":null}", NULL), PL_REASON_NO_TEXT);
	assert_int_equal(pair_status("jpg", "a\xFFz", NULL, NULL), PL_REASON_BAD_UTF8);
	assert_int_equal(pair_status("jpg", "\xED\xA0\x80", NULL, NULL), PL_REASON_BAD_UTF8);
	assert_int_equal(pair_status("jpg", "NUL", NULL, NULL), PL_REASON_BAD_UTF8);
	assert_int_equal(pair_status("jpg", NULL, "{\"caption\":\"a\\u0000b\"}", NULL), PL_REASON_BAD_UTF8);
	assert_int_equal(pair_status("jpg", NULL, "{\"caption\":", NULL), PL_REASON_BAD_JSON);
	assert_int_equal(pair_status("jpg", "a", "broken", "caption"), PL_REASON_BAD_JSON);
	assert_int_equal(pair_status("jpg", NULL, "[1]", NULL), PL_REASON_BAD_DOCUMENT);
	assert_int_equal(pair_status("jpg", "a", NULL, "caption"), PL_REASON_NO_TEXT);
}

static void test_parts_with_faults(void **state)
{
	struct made m = {0};
	struct pl_document d;
	struct pl_read_options o = {.kind = PL_KIND_PAIRS};

	(void)state;
	pl_document_init(&d);
	add(&m, "jpg", "x");
	add(&m, "txt", "caption");
	m.parts[0].too_large = true;
	m.parts[0].data = NULL;
	read_made(&d, o, &m);
	assert_int_equal(d.status, PL_REASON_KEEP);
	assert_int_equal(d.images[0].status, PL_REASON_TOO_LARGE);
	m.parts[0].too_large = false;
	m.parts[0].truncated = true;
	read_made(&d, o, &m);
	assert_int_equal(d.images[0].status, PL_REASON_TRUNCATED);
	m.parts[0] = (struct shard_part){.suffix = "jpg", .name = "k.jpg"};
	read_made(&d, o, &m);
	assert_int_equal(d.images[0].status, PL_REASON_EMPTY);
	m.s.duplicate_part = true;
	read_made(&d, o, &m);
	assert_int_equal(d.status, PL_REASON_DUPLICATE_PART);
	m.s.duplicate_part = false;
	m.parts[1].truncated = true;
	m.parts[1].data = NULL;
	read_made(&d, o, &m);
	assert_int_equal(d.status, PL_REASON_TRUNCATED);
	m.parts[1].too_large = true;
	read_made(&d, o, &m);
	assert_int_equal(d.status, PL_REASON_TOO_LARGE);
	m.s.nparts = 0;
	read_made(&d, o, &m);
	assert_int_equal(d.status, PL_REASON_NO_IMAGE);
	assert_int_equal(pl_detect_sample(&m.s), PL_KIND_AUTO);
	pl_document_release(&d);
}

/* Matching that is not monotone, two images at one sentence, and an image of each whereabouts. */
static const char mmc4[] = "{\"text_list\":[\"A.\",\" \",\"B.\",\"C.\"],\"image_info\":["
	"{\"image_name\":\"X.JPG\",\"matched_text_index\":2,\"matched_sim\":0.5},"
	"{\"image_name\":\"y.jpg\",\"matched_text_index\":0,\"image_base64\":\"Zm9v\"},"
	"{\"image_name\":\"z.jpg\",\"matched_text_index\":2},"
	"{\"image_name\":\"bad.jpg\",\"matched_text_index\":3,\"image_base64\":\"?\"}]}";

static void test_interleaved(void **state)
{
	struct made m = {0};
	struct pl_document d;
	struct pl_read_options o = {.kind = PL_KIND_INTERLEAVED};

	(void)state;
	pl_document_init(&d);
	add(&m, "json", mmc4);
	add(&m, "not-named.jpg", "ignored");
	add(&m, "x.jpg", "pixels");
	assert_int_equal(pl_detect_sample(&m.s), PL_KIND_INTERLEAVED);
	read_made(&d, o, &m);
	assert_int_equal(d.status, PL_REASON_KEEP);
	assert_string_equal(line_of(&d), "n0:[y.jpg]|n0+:A.|n0:[X.JPG]|n0:[z.jpg]|n0+:B.|n0:[bad.jpg]|n0+:C.|");
	assert_int_equal(d.images[0].where, PL_WHERE_EMBEDDED);
	assert_int_equal(d.images[0].len, 3);
	assert_memory_equal(d.images[0].data, "foo", 3);
	assert_true(isnan(d.images[0].similarity));
	assert_int_equal(d.images[1].where, PL_WHERE_SHARD);
	assert_int_equal(d.images[1].offset, 3 * 512);
	assert_int_equal(d.images[1].status, PL_REASON_KEEP);
	assert_float_equal(d.images[1].similarity, 0.5, 0);
	assert_int_equal(d.images[2].where, PL_WHERE_NOWHERE);
	assert_int_equal(d.images[2].status, PL_REASON_MISSING_IMAGE);
	assert_int_equal(d.images[3].where, PL_WHERE_EMBEDDED);
	assert_int_equal(d.images[3].status, PL_REASON_CORRUPT);
	assert_null(d.images[3].data);
	o.image_after_text = true;
	read_made(&d, o, &m);
	assert_string_equal(line_of(&d), "n0+:A.|n0:[y.jpg]|n0+:B.|n0:[X.JPG]|n0:[z.jpg]|n0+:C.|n0:[bad.jpg]|");
	m.s.nparts = 0;
	add(&m, "x.jpg", "pixels");
	read_made(&d, o, &m);
	assert_int_equal(d.status, PL_REASON_NOT_A_SAMPLE);
	pl_document_release(&d);
}

static void test_interleaved_records(void **state)
{
	const enum pl_kind k = PL_KIND_INTERLEAVED;

	(void)state;
	becomes(k, "{\"texts\":[null,\"A\",null,\"B\"],\"images\":[\"u/1.jpg\",null,null,null]}", PL_REASON_KEEP,
	    "n0:[u/1.jpg]|n0+:A|n0+:B|");
	becomes(k, "{\"texts\":[\"A\"],\"images\":[\"1.jpg\"]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"texts\":[\"A\"],\"images\":[]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"text_list\":[\"A\"],\"image_info\":[{\"matched_text_index\":0}]}", PL_REASON_KEEP, "n0:[]|n0+:A|");
	becomes(k, "{\"text_list\":[\"A\"],\"image_info\":[{\"matched_text_index\":1}]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"text_list\":[\"A\"],\"image_info\":[{\"matched_text_index\":-1}]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"text_list\":[\"A\"],\"image_info\":[{}]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"text_list\":[\"A\"],\"image_info\":[{\"matched_text_index\":0.5}]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"text_list\":[\"A\"],\"image_info\":[null]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"text_list\":[\"A\"],\"image_info\":7}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"text_list\":[\"A\",7],\"image_info\":[]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"text_list\":[\"A\"]}", PL_REASON_NO_IMAGE, NULL);
	becomes(k, "{\"text_list\":[\" \"],\"image_info\":[{\"matched_text_index\":0}]}", PL_REASON_NO_TEXT, NULL);
	becomes(k, "{\"text_list\":[],\"image_info\":[]}", PL_REASON_NO_TEXT, NULL);
	becomes(k, "{\"text_list\":[\"A\\u0000\"],\"image_info\":[{\"matched_text_index\":0}]}", PL_REASON_BAD_UTF8, "");
	becomes(k, "{}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{", PL_REASON_BAD_JSON, "");
	becomes(k, "", PL_REASON_BAD_JSON, "");
	becomes(k, "\xEF\xBB\xBF{\"text_list\":[\"A\"],\"image_info\":[{\"matched_text_index\":0,\"matched_sim\":1e300}]}",
	    PL_REASON_KEEP, NULL);
}

static void test_chat_forms(void **state)
{
	const enum pl_kind k = PL_KIND_CHAT;

	(void)state;
	becomes(k, "{\"image\":\"a/1.jpg\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\\nWhat?\"},"
	    "{\"from\":\"gpt\",\"value\":\"That.\"}]}", PL_REASON_KEEP, "u0:[a/1.jpg]|u0:What?|a1+:That.|");
	becomes(k, "{\"image\":[\"1\",\"2\"],\"conversations\":[{\"from\":\"system\",\"value\":\"S\"},{\"from\":\"human\","
	    "\"value\":\"One <image> two\\n<image>\"},{\"from\":\"gpt\",\"value\":\" A\\n\"}]}", PL_REASON_KEEP,
	    "s0:S|u1:One|u1:[1]|u1:two|u1:[2]|a2+: A\n|");
	/* no marker: the images open the first user turn */
	becomes(k, "{\"images\":[\"1\",{\"path\":\"2\"}],\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\","
	    "\"content\":\"U\"},{\"role\":\"assistant\",\"content\":\"A\"}]}", PL_REASON_KEEP, "s0:S|u1:[1]|u1:[2]|u1:U|a2+:A|");
	/* typed parts, in place when no marker stands for them */
	becomes(k, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"U\"},{\"type\":\"image_url\","
	    "\"image_url\":{\"url\":\"1\"}},{\"type\":\"text\",\"text\":\"V\"}]},{\"role\":\"assistant\",\"content\":\"A\"},"
	    "{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"image\":\"2\"}]},{\"role\":\"assistant\",\"content\":\"B\"}]}",
	    PL_REASON_KEEP, "u0:U|u0:[1]|u0:V|a1+:A|u2:[2]|a3+:B|");
	/* XTuner: parts name the images, markers say where */
	becomes(k, "{\"messages\":[{\"role\":\"pretrain\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"1\"}},"
	    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"2\"}},{\"type\":\"text\",\"text\":\"<IMG_CONTEXT>\\nP<IMG_CONTEXT>"
	    "\\nQ\"}]}]}", PL_REASON_KEEP, "n0:[1]|n0+:P|n0:[2]|n0+:Q|");
	/* parts without a name stand for images named outside */
	becomes(k, "{\"images\":[\"1\"],\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"U\"},"
	    "{\"type\":\"image\"}]},{\"role\":\"assistant\",\"content\":\"A\"}]}", PL_REASON_KEEP, "u0:U|u0:[1]|a1+:A|");
	becomes(k, "[{\"role\":\"user\",\"content\":\"U\"},{\"role\":\"assistant\",\"content\":\"A\"}]", PL_REASON_KEEP,
	    "u0:U|a1+:A|");
	becomes(k, "{\"tools\":\"[{\\\"d\\\":\\\"<image>\\\"}]\",\"conversations\":[{\"from\":\"human\",\"value\":\"U\"},"
	    "{\"from\":\"function_call\",\"value\":\"F\"},{\"from\":\"observation\",\"value\":\"O\"},"
	    "{\"from\":\"gpt\",\"value\":\"A\"}]}", PL_REASON_KEEP, "s0:[{\"d\":\"<image>\"}]|u1:U|a2+:F|t3:O|a4+:A|");
	becomes(k, "{\"tools\":[{\"n\":1}],\"messages\":[{\"role\":\"user\",\"content\":\"U\"},{\"role\":\"assistant\","
	    "\"content\":null,\"tool_calls\":[{\"id\":2}]},{\"role\":\"tool\",\"content\":\"T\"}]}", PL_REASON_KEEP,
	    "s0:[{\"n\":1}]|u1:U|a2+:[{\"id\":2}]|t3:T|");
	becomes(k, "{\"instruction\":\"I\",\"input\":\"\",\"output\":\"O\"}", PL_REASON_KEEP, "u0:I|a1+:O|");
	becomes(k, "{\"instruction\":\"I\",\"input\":\"N\",\"output\":\"O\",\"system\":\"S\",\"history\":[[\"h\",\"i\"]]}",
	    PL_REASON_KEEP, "s0:S|u1:h|a2+:i|u3:I\nN|a4+:O|");
	becomes(k, "{\"image\":\"1\",\"instruction\":\"I\",\"output\":\"O\"}", PL_REASON_KEEP, "u0:[1]|u0:I|a1+:O|");
	becomes(k, "{\"image\":null,\"conversations\":[{\"from\":\"gpt\",\"value\":\"A\"}]}", PL_REASON_KEEP, "a0+:A|");
}

static void test_chat_refused(void **state)
{
	const enum pl_kind k = PL_KIND_CHAT;

	(void)state;
	becomes(k, "{\"image\":\"1\",\"conversations\":[{\"from\":\"human\",\"value\":\"<image><image>\"},{\"from\":\"gpt\","
	    "\"value\":\"A\"}]}", PL_REASON_MARKER_MISMATCH, "");
	becomes(k, "{\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\"},{\"from\":\"gpt\",\"value\":\"A\"}]}",
	    PL_REASON_MARKER_MISMATCH, "");
	becomes(k, "{\"image\":[\"1\",\"2\"],\"conversations\":[{\"from\":\"human\",\"value\":\"<image>\"},{\"from\":\"gpt\","
	    "\"value\":\"A\"}]}", PL_REASON_MARKER_MISMATCH, "");
	becomes(k, "{\"conversations\":[{\"from\":\"narrator\",\"value\":\"U\"}]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"conversations\":[{\"value\":\"U\"}]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"conversations\":[7]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"messages\":[{\"role\":\"user\",\"content\":7}]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"video\"}]}]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"image\":7,\"messages\":[{\"role\":\"user\",\"content\":\"U\"}]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"image\":[null],\"messages\":[{\"role\":\"user\",\"content\":\"U\"}]}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"messages\":[{\"role\":\"user\",\"content\":\"U\"}]}", PL_REASON_NO_TEXT, NULL);
	becomes(k, "{\"messages\":[{\"role\":\"user\",\"content\":\"U\"},{\"role\":\"assistant\",\"content\":\" \"}]}",
	    PL_REASON_NO_TEXT, NULL);
	becomes(k, "{\"messages\":[]}", PL_REASON_NO_TEXT, "");
	becomes(k, "{\"messages\":[{\"role\":\"assistant\",\"content\":\"A\\u0000\"}]}", PL_REASON_BAD_UTF8, "");
	becomes(k, "{\"image\":\"1\",\"messages\":[]}", PL_REASON_NO_TEXT, "");
	becomes(k, "{\"text\":\"A\"}", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "[]", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "7", PL_REASON_BAD_DOCUMENT, "");
	becomes(k, "{\"a\":1,\"a\":2}", PL_REASON_BAD_JSON, "");
}

static void test_chat_images(void **state)
{
	static const char two[] = "{\"image\":[\"x/1.png\",\"x/2.png\"],\"conversations\":[{\"from\":\"human\",\"value\":"
	    "\"<image><image>?\"},{\"from\":\"gpt\",\"value\":\"A\"}]}";
	static const char data[] = "{\"image\":\"data:image/png;base64,Zm9v\",\"conversations\":[{\"from\":\"gpt\",\"value\":"
	    "\"A\"}]}";
	static const char own[] = "{\"image\":\"other/dir/K.JPG\",\"conversations\":[{\"from\":\"gpt\",\"value\":\"A\"}]}";
	struct made m = {0};
	struct pl_document d;
	struct pl_read_options o = {.kind = PL_KIND_CHAT};

	(void)state;
	pl_document_init(&d);
	add(&m, "json", two);
	add(&m, "2.png", "p2");
	add(&m, "1.png", "p1");
	assert_int_equal(pl_detect_sample(&m.s), PL_KIND_CHAT);
	read_made(&d, o, &m);
	assert_ptr_equal(d.images[0].data, m.parts[2].data);   /* by name */
	assert_ptr_equal(d.images[1].data, m.parts[1].data);
	m.s.nparts = 0;
	add(&m, "json", two);
	add(&m, "a.png", "pa");
	add(&m, "b.jpg", "pb");
	read_made(&d, o, &m);
	assert_ptr_equal(d.images[0].data, m.parts[1].data);   /* by number */
	assert_ptr_equal(d.images[1].data, m.parts[2].data);
	assert_string_equal(d.images[1].name, "x/2.png");
	add(&m, "c.jpg", "pc");
	read_made(&d, o, &m);
	assert_int_equal(d.images[0].status, PL_REASON_MISSING_IMAGE);
	m.s.nparts = 0;
	add(&m, "json", own);
	add(&m, "png", "other");
	add(&m, "jpg", "mine");
	read_made(&d, o, &m);
	assert_ptr_equal(d.images[0].data, m.parts[2].data);   /* by the member's base name */
	m.s.nparts = 0;
	add(&m, "json", data);
	read_made(&d, o, &m);
	assert_int_equal(d.images[0].where, PL_WHERE_EMBEDDED);
	assert_memory_equal(d.images[0].data, "foo", 3);
	assert_string_equal(d.images[0].name, "");
	pl_document_release(&d);
}

static void test_text(void **state)
{
	struct made m = {0};
	struct pl_document d;
	struct pl_read_options o = {.kind = PL_KIND_TEXT};
	struct pl_err err;

	(void)state;
	becomes(PL_KIND_TEXT, "{\"text\":\" A\\n\"}", PL_REASON_KEEP, "n0+: A\n|");
	becomes(PL_KIND_TEXT, "{\"text\":\" \\n\"}", PL_REASON_NO_TEXT, "");
	becomes(PL_KIND_TEXT, "{\"content\":\"A\"}", PL_REASON_NO_TEXT, "");
	becomes(PL_KIND_TEXT, "\"A\"", PL_REASON_BAD_DOCUMENT, "");
	pl_document_init(&d);
	assert_int_equal(pl_document_read_record(&d, &o, "one line, no more", 8, true, &err), PL_OK);
	assert_string_equal(line_of(&d), "n0+:one line|");
	assert_null(d.meta);
	assert_int_equal(pl_document_read_record(&d, &o, "a\xFF", 2, true, &err), PL_OK);
	assert_int_equal(d.status, PL_REASON_BAD_UTF8);
	add(&m, "json", "{\"text\":\"from json\",\"body\":\"B\"}");
	read_made(&d, o, &m);
	assert_string_equal(line_of(&d), "n0+:from json|");
	add(&m, "txt", "from txt");
	read_made(&d, o, &m);
	assert_string_equal(line_of(&d), "n0+:from txt|");
	o.text_field = "body";
	read_made(&d, o, &m);
	assert_string_equal(line_of(&d), "n0+:B|");
	/* a line of text is no record of another kind */
	o.kind = PL_KIND_CHAT;
	assert_int_equal(pl_document_read_record(&d, &o, "a", 1, true, &err), PL_OK);
	assert_int_equal(d.status, PL_REASON_BAD_DOCUMENT);
	pl_document_release(&d);
}

static enum pl_kind detected(const char *record)
{
	return pl_detect_record(record, strlen(record), false);
}

static void test_detect(void **state)
{
	struct made m = {0};

	(void)state;
	assert_int_equal(detected("{\"text_list\":[],\"text\":\"A\"}"), PL_KIND_INTERLEAVED);
	assert_int_equal(detected("{\"texts\":[],\"images\":[]}"), PL_KIND_INTERLEAVED);
	assert_int_equal(detected("{\"conversations\":[]}"), PL_KIND_CHAT);
	assert_int_equal(detected("{\"messages\":[]}"), PL_KIND_CHAT);
	assert_int_equal(detected("[{\"role\":\"user\",\"content\":\"U\"}]"), PL_KIND_CHAT);
	assert_int_equal(detected("{\"instruction\":\"\",\"output\":\"\"}"), PL_KIND_CHAT);
	assert_int_equal(detected("{\"image\":\"1\",\"caption\":\"A\"}"), PL_KIND_PAIRS);
	assert_int_equal(detected("{\"text\":\"A\"}"), PL_KIND_TEXT);
	assert_int_equal(detected("{\"prompt\":\"A\",\"messages\":[],\"chosen\":\"B\",\"rejected\":\"C\"}"), PL_KIND_PREFERENCE);
	assert_int_equal(detected("{\"a\":1}"), PL_KIND_AUTO);
	assert_int_equal(detected("[1]"), PL_KIND_AUTO);
	assert_int_equal(detected("{"), PL_KIND_AUTO);
	assert_int_equal(pl_detect_record("x", 1, true), PL_KIND_TEXT);
	add(&m, "txt", "A");
	assert_int_equal(pl_detect_sample(&m.s), PL_KIND_TEXT);
	add(&m, "jpg", "x");
	assert_int_equal(pl_detect_sample(&m.s), PL_KIND_PAIRS);
	add(&m, "json", "{\"chosen\":1,\"rejected\":2}");
	assert_int_equal(pl_detect_sample(&m.s), PL_KIND_AUTO);
	assert_string_equal(pl_kind_names[PL_KIND_TEXT], "text");
	assert_string_equal(pl_role_names[PL_ROLE_TOOL], "tool");
	assert_null(pl_kind_names[PL_KIND_COUNT]);
}

/* Five million values would be half a gigabyte once parsed: the ceiling is on values, not on bytes. */
static void test_hostile_sizes(void **state)
{
	enum { N = 9 << 20 };
	char *text = malloc(N);
	struct pl_document d;
	struct pl_err err;
	struct pl_read_options o = {.kind = PL_KIND_INTERLEAVED};

	(void)state;
	assert_non_null(text);
	text[0] = '[';
	for (size_t i = 1; i + 1 < N; i += 2)
		memcpy(text + i, "1,", 2);
	text[N - 1] = ']';
	pl_document_init(&d);
	assert_int_equal(pl_document_read_record(&d, &o, text, N, false, &err), PL_OK);
	assert_int_equal(d.status, PL_REASON_TOO_LARGE);
	memset(text, '[', N);
	assert_int_equal(pl_document_read_record(&d, &o, text, 1000, false, &err), PL_OK);
	assert_int_equal(d.status, PL_REASON_BAD_JSON);
	/* commas in a string are no values */
	memset(text, ',', N);
	text[0] = text[N - 1] = '"';
	assert_int_equal(pl_document_read_record(&d, &o, text, N, false, &err), PL_OK);
	assert_int_equal(d.status, PL_REASON_BAD_DOCUMENT);
	pl_document_release(&d);
	free(text);
}

/* The arena's ceiling is an error at item severity, a too large embedded image only a status. */
static void test_memory_ceiling(void **state)
{
	static const char doc[] = "{\"text_list\":[\"A\"],\"image_info\":[{\"matched_text_index\":0,\"image_base64\":\"Zm9vZm9v\"}]}";
	struct pl_read_options o = {.kind = PL_KIND_INTERLEAVED};
	struct pl_document d;
	struct pl_err err;

	(void)state;
	for (size_t max = 32; max < 2000; max += 16) {
		enum pl_status st;
		memset(&err, 0, sizeof(err));
		pl_document_init(&d);
		d.arena.max = max;
		st = pl_document_read_record(&d, &o, doc, sizeof(doc) - 1, false, &err);
		if (st == PL_OK) {
			assert_int_equal(d.nimages, 1);
			assert_int_equal(err.status, PL_OK);
		} else {
			assert_int_equal(st, PL_ERR_LIMIT);
			assert_int_equal(err.severity, PL_SEV_ITEM);
			assert_int_equal(d.nsegments, 0);
		}
		pl_document_release(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_pairs_refused),
		cmocka_unit_test(test_parts_with_faults),
		cmocka_unit_test(test_interleaved),
		cmocka_unit_test(test_interleaved_records),
		cmocka_unit_test(test_chat_forms),
		cmocka_unit_test(test_chat_refused),
		cmocka_unit_test(test_chat_images),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_detect),
		cmocka_unit_test(test_hostile_sizes),
		cmocka_unit_test(test_memory_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
