/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: the exact JSON and members of each kind at each stage, and what
 * cannot be written. */
#include "stage_fixture.h"

static void test_pairs_align(void **state)
{
	struct sample s;

	(void)state;
	begin(&s, PL_KIND_PAIRS, "");
	add_image(&s, &jpeg, PL_ROLE_NONE);
	add(&s, text("a \x01 cat\n\xC3\xA9", PL_ROLE_NONE, true));
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal((const char *)s.out.json.data, HEAD("pairs", "align")
	    "{\"type\":\"image\",\"part\":\"0.jpg\",\"width\":10,\"height\":20},"
	    "{\"type\":\"text\",\"text\":\"a \\u0001 cat\\n\xC3\xA9\",\"loss\":true}],\"images\":1}");
	assert_int_equal(s.out.nmembers, 2);
	assert_string_equal(s.out.members[0].suffix, "json");
	assert_ptr_equal(s.out.members[0].data, s.out.json.data);
	assert_int_equal(s.out.members[0].len, s.out.json.len);
	assert_string_equal(s.out.members[1].suffix, "0.jpg");
	assert_ptr_equal(s.out.members[1].data, jpeg.data);
	assert_int_equal(s.out.images, 1);
	assert_int_equal(s.out.text_tokens, 3);   /* 8 ASCII bytes / 4, one other code point */
	s.images[0] = lost;
	assert_int_equal(render(&s), PL_REASON_NO_IMAGE);
	assert_int_equal(s.out.nmembers, 0);
	s.images[0] = jpeg;
	s.segments[1].text_len = 0;
	assert_int_equal(render(&s), PL_REASON_NO_TEXT);
	end(&s);
}

/* By words, over all that is written. */
static void test_tokens(void **state)
{
	struct pl_tokens_settings words = {.by = PL_TOKENS_WORDS};
	struct pl_token_counter *counter = NULL;
	struct sample s;

	(void)state;
	assert_int_equal(pl_token_counter_new(&counter, &words, NULL), PL_OK);
	begin(&s, PL_KIND_INTERLEAVED, "");
	add(&s, text("one two\xE3\x80\x80three", PL_ROLE_NONE, true));
	add_image(&s, &jpeg, PL_ROLE_NONE);
	add(&s, text("four five", PL_ROLE_NONE, true));
	s.in.tokens = counter;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_int_equal(s.out.text_tokens, 7);   /* 5 words */
	s.in.tokens = NULL;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_int_equal(s.out.text_tokens, 7);   /* 21 ASCII bytes / 4, and 0.7 */
	end(&s);
	pl_token_counter_free(counter);
}

/* A picture with tiles, one that is tiles only, and one that the trainer is to cut. */
static void test_tiles(void **state)
{
	static const struct pl_stage_tile tiles[] = {{"t0", 2}, {"t1", 2}};
	static const struct pl_stage_image both = {.kept = true, .data = "JJ", .len = 2, .format = PL_FORMAT_JPEG, .width = 10,
	    .height = 10, .tokens = 30, .columns = 2, .rows = 1, .tile_w = 10, .tile_h = 10, .original_w = 50, .original_h = 20,
	    .tiles = tiles, .ntiles = 2};
	struct pl_stage_image only = both, whole = both;
	struct sample s;

	(void)state;
	only.data = NULL;
	only.len = 0;
	only.width = only.height = 0;
	only.format = PL_FORMAT_PNG;
	whole.ntiles = 0;
	whole.width = 20;
	begin(&s, PL_KIND_INTERLEAVED, "");
	add_image(&s, &both, PL_ROLE_USER);
	add_image(&s, &only, PL_ROLE_NONE);
	add_image(&s, &whole, PL_ROLE_NONE);
	add(&s, text("x", PL_ROLE_NONE, true));
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal((const char *)s.out.json.data, HEAD("interleaved", "align")
	    "{\"type\":\"image\",\"part\":\"0.jpg\",\"width\":10,\"height\":10,\"tokens\":30,\"original\":[50,20],\"grid\":[2,1],"
	    "\"tile\":[10,10],\"tiles\":[\"0.t0.jpg\",\"0.t1.jpg\"],\"role\":\"user\"},"
	    "{\"type\":\"image\",\"tokens\":30,\"original\":[50,20],\"grid\":[2,1],\"tile\":[10,10],\"tiles\":[\"1.t0.png\",\"1.t1.png\"]},"
	    "{\"type\":\"image\",\"part\":\"2.jpg\",\"width\":20,\"height\":10,\"tokens\":30,\"original\":[50,20],\"grid\":[2,1],"
	    "\"tile\":[10,10]},"
	    "{\"type\":\"text\",\"text\":\"x\",\"loss\":true}],\"images\":3}");
	static const char *const names[] = {"json", "0.jpg", "0.t0.jpg", "0.t1.jpg", "1.t0.png", "1.t1.png", "2.jpg"};
	assert_int_equal(s.out.nmembers, PL_ARRAY_LEN(names));
	for (size_t i = 0; i < PL_ARRAY_LEN(names); i++)
		assert_string_equal(s.out.members[i].suffix, names[i]);
	assert_ptr_equal(s.out.members[3].data, tiles[1].data);
	assert_int_equal(s.out.members[3].len, 2);
	assert_int_equal(s.out.images, 3);
	assert_int_equal(s.out.image_tokens, 90);
	end(&s);
}

static void test_pairs_instruct(void **state)
{
	struct sample s;

	(void)state;
	begin(&s, PL_KIND_PAIRS, ", stage: instruct, instructions: [One., Two.]");
	add_image(&s, &webp, PL_ROLE_NONE);
	add(&s, text("cat", PL_ROLE_NONE, true));
	s.in.draw = 7;
	s.in.pass = 2;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal((const char *)s.out.json.data,
	    "{\"key\":\"000000000042\",\"source\":\"src\",\"origin\":{\"shard\":\"00017\",\"key\":\"k\\\"1\"},\"pass\":2,"
	    "\"kind\":\"pairs\",\"stage\":\"instruct\",\"segments\":["
	    "{\"type\":\"image\",\"part\":\"0.webp\",\"width\":30,\"height\":40,\"role\":\"user\"},"
	    "{\"type\":\"text\",\"text\":\"Two.\",\"role\":\"user\",\"loss\":false},"
	    "{\"type\":\"text\",\"text\":\"cat\",\"role\":\"assistant\",\"loss\":true}],\"images\":1}");
	s.segments[1].text_len = 0;
	assert_int_equal(render(&s), PL_REASON_NO_TEXT);
	end(&s);
}

static void test_interleaved(void **state)
{
	struct sample s;

	(void)state;
	begin(&s, PL_KIND_INTERLEAVED, ", max_images: 2");
	add(&s, text("a", PL_ROLE_NONE, true));
	add_image(&s, &lost, PL_ROLE_NONE);
	add_image(&s, &webp, PL_ROLE_NONE);
	add(&s, text("b", PL_ROLE_NONE, true));
	add(&s, text("c", PL_ROLE_NONE, true));
	add_image(&s, &jpeg, PL_ROLE_NONE);
	add_image(&s, &jpeg, PL_ROLE_NONE);
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal((const char *)s.out.json.data,
	    HEAD("interleaved",
	        "align") "{\"type\":\"text\",\"text\":\"a\",\"loss\":true},"
	                 "{\"type\":\"image\",\"part\":\"0.webp\",\"width\":30,\"height\":40},"
	                 "{\"type\":\"text\",\"text\":\"b\",\"loss\":true},{\"type\":\"text\",\"text\":\"c\",\"loss\":true},"
	                 "{\"type\":\"image\",\"part\":\"1.jpg\",\"width\":10,\"height\":20}],\"images\":2}");
	assert_int_equal(s.out.nmembers, 3);
	assert_string_equal(s.out.members[2].suffix, "1.jpg");
	s.r.output.min_images = 3;
	assert_int_equal(render(&s), PL_REASON_IMAGES_GONE);
	s.r.output.min_images = 1;
	for (size_t i = 0; i < 4; i++)
		s.images[i] = lost;
	assert_int_equal(render(&s), PL_REASON_IMAGES_GONE);
	end(&s);
}

static void test_chat(void **state)
{
	struct sample s;

	(void)state;
	begin(&s, PL_KIND_CHAT, ", stage: instruct, template: conversation");
	add(&s, text("be kind", PL_ROLE_SYSTEM, false));
	add_image(&s, &jpeg, PL_ROLE_USER);
	add(&s, text("what?", PL_ROLE_USER, false));
	add(&s, text("this", PL_ROLE_ASSISTANT, true));
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal((const char *)s.out.json.data, HEAD("chat", "instruct")
	    "{\"type\":\"text\",\"text\":\"be kind\",\"role\":\"system\",\"loss\":false},"
	    "{\"type\":\"image\",\"part\":\"0.jpg\",\"width\":10,\"height\":20,\"role\":\"user\"},"
	    "{\"type\":\"text\",\"text\":\"what?\",\"role\":\"user\",\"loss\":false},"
	    "{\"type\":\"text\",\"text\":\"this\",\"role\":\"assistant\",\"loss\":true}],\"images\":1}");
	s.images[0] = lost;
	assert_int_equal(render(&s), PL_REASON_MISSING_IMAGE);
	end(&s);
}

static void test_text(void **state)
{
	struct sample s;

	(void)state;
	begin(&s, PL_KIND_TEXT, "");
	add(&s, text("t\xFFu", PL_ROLE_NONE, true));
	s.doc.meta = json_pack("{s:s, s:s, s:f, s:{}}", "other", "x", "url", "http://a/\"b",
	    "similarity", 0.25, "license");
	assert_non_null(s.doc.meta);
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal((const char *)s.out.json.data, HEAD("text", "align")
	    "{\"type\":\"text\",\"text\":\"t\xEF\xBF\xBDu\",\"loss\":true}],\"images\":0,"
	    "\"meta\":{\"url\":\"http://a/\\\"b\",\"similarity\":0.25}}");
	json_decref(s.doc.meta);
	s.doc.meta = NULL;
	s.doc.nsegments = 0;
	assert_int_equal(render(&s), PL_REASON_NO_TEXT);
	s.doc.status = PL_REASON_BAD_JSON;
	assert_int_equal(render(&s), PL_REASON_BAD_JSON);
	end(&s);
}

/* A kind that was found out late is held against the template, too. */
static void test_conflict(void **state)
{
	struct sample s;
	struct pl_err err = {0};

	(void)state;
	begin(&s, PL_KIND_PAIRS, ", template: conversation");
	assert_int_equal(pl_stage_render(&s.r, &s.in, &s.out, &s.reason, &err), PL_ERR_USAGE);
	assert_string_equal(
	    err.text, "source 'src' is of kind pairs, but template conversation writes chat and in-context");
	end(&s);
}

/* A sample that has lost its image: dropped, kept as it is, or a text; and one without its text. */
static void test_missing_pairs(void **state)
{
	struct sample s;

	(void)state;
	begin(&s, PL_KIND_PAIRS, "");
	add_image(&s, &lost, PL_ROLE_NONE);
	add(&s, text("cat", PL_ROLE_NONE, true));
	s.doc.status = PL_REASON_CORRUPT;
	assert_int_equal(render(&s), PL_REASON_CORRUPT);
	s.in.missing_image = PL_MISSING_KEEP;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal((const char *)s.out.json.data, HEAD("pairs", "align")
	    "{\"type\":\"text\",\"text\":\"cat\",\"loss\":true}],\"images\":0}");
	assert_false(s.out.demoted);
	s.in.missing_image = PL_MISSING_TEXT;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal((const char *)s.out.json.data, HEAD("text", "align")
	    "{\"type\":\"text\",\"text\":\"cat\",\"loss\":true}],\"images\":0}");
	assert_true(s.out.demoted);
	assert_int_equal(s.out.nmembers, 1);
	assert_int_equal(s.doc.kind, PL_KIND_PAIRS);
	/* with its image it is what it was */
	s.doc.status = PL_REASON_KEEP;
	s.images[0] = jpeg;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_false(s.out.demoted);
	assert_int_equal(s.out.images, 1);
	s.images[0] = lost;
	s.segments[1].text_len = 0;
	assert_int_equal(render(&s), PL_REASON_NO_TEXT);
	s.in.missing_image = PL_MISSING_DROP;
	s.images[0] = jpeg;
	s.doc.nsegments = 1;
	s.doc.status = PL_REASON_NO_TEXT;
	assert_int_equal(render(&s), PL_REASON_NO_TEXT);
	s.in.missing_text = PL_MISSING_KEEP;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal((const char *)s.out.json.data, HEAD("pairs", "align")
	    "{\"type\":\"image\",\"part\":\"0.jpg\",\"width\":10,\"height\":20}],\"images\":1}");
	s.images[0] = lost;
	assert_int_equal(render(&s), PL_REASON_NO_IMAGE);
	end(&s);
	/* at stage instruct a caption is never asked for without its picture */
	begin(&s, PL_KIND_PAIRS, ", stage: instruct, instructions: [One.]");
	add_image(&s, &lost, PL_ROLE_NONE);
	add(&s, text("cat", PL_ROLE_NONE, true));
	s.in.missing_image = PL_MISSING_KEEP;
	assert_int_equal(render(&s), PL_REASON_NO_IMAGE);
	s.in.missing_image = PL_MISSING_TEXT;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal((const char *)s.out.json.data, HEAD("text", "instruct")
	    "{\"type\":\"text\",\"text\":\"cat\",\"loss\":true}],\"images\":0}");
	end(&s);
}

static void test_missing_documents(void **state)
{
	struct sample s;

	(void)state;
	begin(&s, PL_KIND_INTERLEAVED, ", min_images: 2");
	add(&s, text("a", PL_ROLE_NONE, true));
	add_image(&s, &lost, PL_ROLE_NONE);
	add_image(&s, &jpeg, PL_ROLE_NONE);
	assert_int_equal(render(&s), PL_REASON_IMAGES_GONE);
	s.in.missing_image = PL_MISSING_KEEP;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_int_equal(s.out.images, 1);
	s.in.missing_image = PL_MISSING_TEXT;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_int_equal(s.out.images, 0);
	assert_string_equal((const char *)s.out.json.data, HEAD("text", "align")
	    "{\"type\":\"text\",\"text\":\"a\",\"loss\":true}],\"images\":0}");
	end(&s);
	begin(&s, PL_KIND_CHAT, "");
	add_image(&s, &lost, PL_ROLE_USER);
	add_image(&s, &jpeg, PL_ROLE_USER);
	add(&s, text("hi", PL_ROLE_ASSISTANT, true));
	assert_int_equal(render(&s), PL_REASON_MISSING_IMAGE);
	s.in.missing_image = PL_MISSING_KEEP;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_int_equal(s.out.images, 1);
	s.in.missing_image = PL_MISSING_TEXT;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal((const char *)s.out.json.data, HEAD("text", "align")
	    "{\"type\":\"text\",\"text\":\"hi\",\"role\":\"assistant\",\"loss\":true}],\"images\":0}");
	/* other reasons are not forgiven by it */
	s.in.missing_image = PL_MISSING_DROP;
	s.doc.status = PL_REASON_BAD_JSON;
	assert_int_equal(render(&s), PL_REASON_BAD_JSON);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs_align),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_tiles),
		cmocka_unit_test(test_pairs_instruct),
		cmocka_unit_test(test_interleaved),
		cmocka_unit_test(test_chat),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_conflict),
		cmocka_unit_test(test_missing_pairs),
		cmocka_unit_test(test_missing_documents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
