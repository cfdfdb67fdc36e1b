/* SPDX-License-Identifier: Apache-2.0 */
/* Templates by their keys: what stands where, as a line of letters; and the flat
 * text with its tokens. */
#include "stage_fixture.h"

/* The segments as written: images as [part's stem], texts as they are, roles and branches in front, '*' where there is loss. */
static const char *line_of(const struct sample *s)
{
	static char line[2048];
	json_t *doc = NULL, *segment;
	size_t n = 0, i;

	assert_int_equal(pl_json_parse((const char *)s->out.json.data, s->out.json.len, &doc, NULL), PL_OK);
	line[0] = '\0';
	json_array_foreach(json_object_get(doc, "segments"), i, segment) {
		const char *role = pl_json_str(segment, "role"), *branch = pl_json_str(segment, "branch");
		const char *text = pl_json_str(segment, "text"), *part = pl_json_str(segment, "part");
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%.1s%s%.1s%s%.*s%s%s ", json_is_true(json_object_get(segment, "loss")) ? "*" : "",
		    role != NULL ? role : "", branch != NULL ? "/" : "", branch != NULL ? branch : "", role != NULL ? ":" : "",
		    part != NULL ? 2 : 0, part != NULL ? "[" : "", part != NULL ? part : text, part != NULL ? "]" : "");
		assert_true(n < sizeof(line));
	}
	json_decref(doc);
	if (n > 0)
		line[n - 1] = '\0';
	return line;
}

static const char *flat_of(const struct sample *s, const char *name)
{
	static char text[2048];
	json_t *doc = NULL;

	assert_int_equal(pl_json_parse((const char *)s->out.json.data, s->out.json.len, &doc, NULL), PL_OK);
	snprintf(text, sizeof(text), "%s", pl_json_str(doc, name) != NULL ? pl_json_str(doc, name) : "(none)");
	json_decref(doc);
	return text;
}

/* ---- pairs ---- */

static void begin_pair(struct sample *s, const char *output)
{
	begin(s, PL_KIND_PAIRS, output);
	add_image(s, &jpeg, PL_ROLE_NONE);
	add(s, text("cat", PL_ROLE_NONE, true));
}

static void test_image_order(void **state)
{
	struct sample s;
	int first = 0;

	(void)state;
	begin_pair(&s, ", image_first: 0.5");
	for (s.in.draw = 0; s.in.draw < 1000; s.in.draw++) {
		assert_int_equal(render(&s), PL_REASON_KEEP);
		assert_string_equal(line_of(&s), line_of(&s)[0] == '[' ? "[0.jpg] *cat" : "*cat [0.jpg]");
		first += line_of(&s)[0] == '[';
	}
	assert_true(first > 450 && first < 550);
	end(&s);
	begin_pair(&s, ", image_first: 0, template: pair-caption");
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(line_of(&s), "*cat [0.jpg]");
	s.segments[1].text_len = 0;
	assert_int_equal(render(&s), PL_REASON_NO_TEXT);
	s.images[0] = lost;
	assert_int_equal(render(&s), PL_REASON_NO_IMAGE);
	end(&s);
}

/* LLaVA's stage 1. */
static void test_instruction(void **state)
{
	struct sample s;

	(void)state;
	begin_pair(&s, ", instructions: [Tell., Say.], system: Brief.");
	s.in.draw = 3;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(line_of(&s), "s:Brief. u:[0.jpg] u:Say. *a:cat");
	s.in.draw = 2;
	s.r.output.templates.image_first = 0;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(line_of(&s), "s:Brief. u:Tell. u:[0.jpg] *a:cat");
	end(&s);
}

static void test_drawn_caption(void **state)
{
	struct sample s;
	unsigned seen = 0;

	(void)state;
	begin_pair(&s, "");
	add(&s, text("dog", PL_ROLE_NONE, true));
	add(&s, text("cow", PL_ROLE_NONE, true));
	for (s.in.draw = 0; s.in.draw < 50; s.in.draw++) {
		assert_int_equal(render(&s), PL_REASON_KEEP);
		seen |= strcmp(line_of(&s), "[0.jpg] *cat") == 0 ? 1u : strcmp(line_of(&s), "[0.jpg] *dog") == 0 ? 2u :
		    strcmp(line_of(&s), "[0.jpg] *cow") == 0 ? 4u : 8u;
	}
	assert_int_equal(seen, 7);
	end(&s);
}

static void test_text_only(void **state)
{
	struct sample s;

	(void)state;
	begin_pair(&s, ", template: text, stage: instruct");
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(line_of(&s), "*cat");
	assert_int_equal(s.out.nmembers, 1);
	end(&s);
}

/* ---- interleaved ---- */

static const float near_b[] = {0.1f, 0.9f, 0.2f}, near_b_too[] = {0.3f, 0.8f, 0.1f}, near_c[] = {0.1f, 0.2f, 0.24f};
struct woven { const char *output, *line; enum pl_reason reason; };

/* a b c; all three images matched with b, in an order of their own: 0 and 1 are nearest to b, 2 to c. */
static void begin_woven(struct sample *s, const char *output, bool after)
{
	const struct pl_stage_image pictures[] = {jpeg, webp, jpeg};
	const float *const rows[] = {near_b_too, near_b, near_c};

	begin(s, PL_KIND_INTERLEAVED, output);
	add(s, text("a", PL_ROLE_NONE, true));
	for (int i = 0; i < 4; i++) {
		if (i == (after ? 0 : 3)) {
			add(s, text("b", PL_ROLE_NONE, true));
			continue;
		}
		add_image(s, &pictures[i - after], PL_ROLE_NONE);
	}
	add(s, text("c", PL_ROLE_NONE, true));
	for (int i = 0; i < 3; i++) {
		s->doc_images[i].match = 1;
		s->doc_images[i].similarity = rows[i][1];
		s->doc_images[i].affinity = rows[i];
		s->images[i].width = (uint32_t)i + 1;
	}
	s->doc.image_after_text = after;
}

/* Images as [width - 1]: which they were. */
static const char *woven_line(const struct sample *s)
{
	static char line[256];
	json_t *doc = NULL, *segment;
	size_t i, n = 0;

	assert_int_equal(pl_json_parse((const char *)s->out.json.data, s->out.json.len, &doc, NULL), PL_OK);
	line[0] = '\0';
	json_array_foreach(json_object_get(doc, "segments"), i, segment) {
		const char *words = pl_json_str(segment, "text");
		if (words != NULL)
			n += (size_t)snprintf(line + n, sizeof(line) - n, "%s", words);
		else
			n += (size_t)snprintf(line + n, sizeof(line) - n, "%.0f", pl_json_num(segment, "width", 0) - 1);
	}
	json_decref(doc);
	return line;
}

static void test_woven(void **state)
{
	static const struct woven cases[] = {
		{"", "a012bc", PL_REASON_KEEP},
		{", image_place: before", "a012bc", PL_REASON_KEEP},
		{", image_place: after", "ab012c", PL_REASON_KEEP},
		{", max_images: 2", "a01bc", PL_REASON_KEEP},
		{", min_similarity: 0.5", "a01bc", PL_REASON_KEEP},
		{", min_similarity: 0.95", NULL, PL_REASON_IMAGES_GONE},
		/* each to another sentence, though two are nearest to b; in the order of the text */
		{", assignment: linear", "0a1b2c", PL_REASON_KEEP},
		{", assignment: linear, image_place: after", "a0b1c2", PL_REASON_KEEP},
		{", assignment: linear, min_similarity: 0.24", "0a1b2c", PL_REASON_KEEP},
		{", assignment: linear, min_similarity: 0.25", "0a1bc", PL_REASON_KEEP},
		{", assignment: linear, min_similarity: 0.31", "a1bc", PL_REASON_KEEP},
		{", assignment: linear, max_images: 1", "0abc", PL_REASON_KEEP},
		{", assignment: linear, min_images: 3, min_similarity: 0.25", NULL, PL_REASON_IMAGES_GONE},
	};
	struct sample s;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		begin_woven(&s, cases[i].output, false);
		if (render(&s) != cases[i].reason)
			fail_msg("%s: %s", cases[i].output, pl_reason_name(s.reason));
		if (cases[i].line != NULL && strcmp(woven_line(&s), cases[i].line) != 0)
			fail_msg("%s: %s", cases[i].output, woven_line(&s));
		end(&s);
	}
}

/* What was dropped before frees its sentence: the assignment is made of those that are left. */
static void test_assigned_anew(void **state)
{
	struct sample s;

	(void)state;
	begin_woven(&s, ", assignment: linear", false);
	s.images[1] = lost;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(woven_line(&s), "a0b2c");
	s.doc_images[0].affinity = NULL;   /* of which nothing is known: it goes */
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(woven_line(&s), "ab2c");
	s.doc_images[2].affinity = NULL;   /* no matrix but of what is lost */
	s.doc_images[1].affinity = NULL;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(woven_line(&s), "a02bc");
	end(&s);
	/* behind their sentences they were, and stay */
	begin_woven(&s, ", assignment: linear", true);
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(woven_line(&s), "a0b1c2");
	end(&s);
}

/* Of more images than sentences the ones that fit best are shown. */
static void test_surplus(void **state)
{
	static const float one[] = {0.5f}, two[] = {0.7f}, three[] = {0.6f};
	const float *const rows[] = {one, two, three};
	struct sample s;

	(void)state;
	begin(&s, PL_KIND_INTERLEAVED, ", assignment: linear");
	for (uint32_t i = 0; i < 3; i++) {
		add_image(&s, &jpeg, PL_ROLE_NONE);
		s.doc_images[i].match = 0;
		s.doc_images[i].affinity = rows[i];
		s.images[i].width = i + 1;
	}
	add(&s, text("a", PL_ROLE_NONE, true));
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(woven_line(&s), "1a");
	end(&s);
}

static void test_drawn_place(void **state)
{
	struct sample s;
	int before = 0;

	(void)state;
	begin_woven(&s, ", image_place: draw", false);
	for (s.in.draw = 0; s.in.draw < 200; s.in.draw++) {
		assert_int_equal(render(&s), PL_REASON_KEEP);
		before += strcmp(woven_line(&s), "a012bc") == 0;
	}
	assert_true(before > 70 && before < 130);
	end(&s);
}

/* OBELICS' images have no sentence: they stay where they are, whatever is asked of the others. */
static void test_unmatched(void **state)
{
	struct sample s;

	(void)state;
	begin(&s, PL_KIND_INTERLEAVED, ", image_place: after, assignment: linear");
	add_image(&s, &jpeg, PL_ROLE_NONE);
	add(&s, text("a", PL_ROLE_NONE, true));
	add_image(&s, &jpeg, PL_ROLE_NONE);
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(line_of(&s), "[0.jpg] *a [1.jpg]");
	end(&s);
}

static void test_trailing(void **state)
{
	struct sample s;

	(void)state;
	begin(&s, PL_KIND_INTERLEAVED, ", trailing_image: drop");
	add(&s, text("a", PL_ROLE_NONE, true));
	add_image(&s, &jpeg, PL_ROLE_NONE);
	assert_int_equal(render(&s), PL_REASON_IMAGES_GONE);
	s.r.output.min_images = 0;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(line_of(&s), "*a");
	s.r.output.templates.trailing_image = PL_TRAILING_KEEP;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(line_of(&s), "*a [0.jpg]");
	s.r.output.templates.trailing_image = PL_TRAILING_DROP;
	add_image(&s, &jpeg, PL_ROLE_NONE);   /* two are no lone one */
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(line_of(&s), "*a [0.jpg] [1.jpg]");
	end(&s);
}

/* ---- turns ---- */

static void begin_shots(struct sample *s, const char *output)
{
	begin(s, PL_KIND_IN_CONTEXT, output);
	add_image(s, &jpeg, PL_ROLE_USER);
	add(s, text("q1", PL_ROLE_USER, false));
	add(s, text("a1", PL_ROLE_ASSISTANT, false));
	add_image(s, &jpeg, PL_ROLE_USER);
	add(s, text("q2", PL_ROLE_USER, false));
	add(s, text("a2", PL_ROLE_ASSISTANT, true));
	for (size_t i = 0; i < s->doc.nsegments; i++)
		s->segments[i].turn = (uint32_t)(i / 3 * 2 + (i % 3 == 2));
}

static void test_in_context(void **state)
{
	struct sample s;

	(void)state;
	begin_shots(&s, ", template: in-context, system: S.");
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(line_of(&s), "s:S. u:[0.jpg] u:q1 a:a1 u:[1.jpg] u:q2 *a:a2");
	s.r.output.templates.context_loss = PL_CONTEXT_LOSS_ALL;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(line_of(&s), "s:S. u:[0.jpg] u:q1 *a:a1 u:[1.jpg] u:q2 *a:a2");
	s.images[0] = lost;
	assert_int_equal(render(&s), PL_REASON_MISSING_IMAGE);
	end(&s);
}

static void test_system_once(void **state)
{
	struct sample s;

	(void)state;
	begin(&s, PL_KIND_CHAT, ", system: Mine.");
	add(&s, text("Theirs.", PL_ROLE_SYSTEM, false));
	add(&s, text("q", PL_ROLE_USER, false));
	add(&s, text("a", PL_ROLE_ASSISTANT, true));
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(line_of(&s), "s:Theirs. u:q *a:a");
	end(&s);
}

static void begin_preference(struct sample *s, const char *output)
{
	begin(s, PL_KIND_PREFERENCE, output);
	add_image(s, &jpeg, PL_ROLE_USER);
	add(s, text("q", PL_ROLE_USER, false));
	add(s, text("yes", PL_ROLE_ASSISTANT, true));
	add(s, text("no", PL_ROLE_ASSISTANT, true));
	s->segments[2].branch = PL_BRANCH_CHOSEN;
	s->segments[3].branch = PL_BRANCH_REJECTED;
	s->segments[2].turn = 1;
	s->segments[3].turn = 2;
}

static void test_preference(void **state)
{
	struct sample s;

	(void)state;
	begin_preference(&s, ", template: preference");
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(line_of(&s), "u:[0.jpg] u:q *a/c:yes *a/r:no");
	assert_non_null(strstr((const char *)s.out.json.data, "\"role\":\"assistant\",\"branch\":\"chosen\",\"loss\":true}"));
	assert_string_equal(flat_of(&s, "text"), "(none)");
	s.images[0] = lost;
	assert_int_equal(render(&s), PL_REASON_MISSING_IMAGE);
	end(&s);
}

/* ---- tokens ---- */

#define FLAMINGO ", tokens: {image: <image>, end_of_chunk: '<|endofchunk|>', end: </s>, begin: <s>}"

static void test_flat_interleaved(void **state)
{
	struct sample s;

	(void)state;
	begin_woven(&s, ", assignment: linear" FLAMINGO, false);
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(flat_of(&s, "text"), "<s><image>a<|endofchunk|><image>b<|endofchunk|><image>c<|endofchunk|></s>");
	s.images[0] = s.images[2] = lost;
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(flat_of(&s, "text"), "<s>a<image>b c<|endofchunk|></s>");
	end(&s);
	begin_pair(&s, ", tokens: {image: <image>, image_begin: <img>, image_end: </img>}");
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(flat_of(&s, "text"), "<img><image></img>cat");
	end(&s);
}

static void test_flat_turns(void **state)
{
	struct sample s;

	(void)state;
	begin_shots(&s, ", system: S., tokens: {image: <image>, system: 'SYS: ', user: 'USER: ', assistant: 'BOT: ', end_of_turn: <eot>}");
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(flat_of(&s, "text"),
	    "SYS: S.<eot>USER: <image>q1<eot>BOT: a1<eot>USER: <image>q2<eot>BOT: a2<eot>");
	end(&s);
	begin_shots(&s, ", tokens: {image: <image>, user: 'USER: ', assistant: 'BOT: ', end_of_chunk: <eoc>}");
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(flat_of(&s, "text"), "USER: <image>q1BOT: a1<eoc>USER: <image>q2BOT: a2<eoc>");
	end(&s);
	begin_preference(&s, ", tokens: {image: <image>, user: 'USER: ', assistant: 'BOT: ', begin: <s>, end: </s>}");
	assert_int_equal(render(&s), PL_REASON_KEEP);
	assert_string_equal(flat_of(&s, "text"), "<s>USER: <image>q");
	assert_string_equal(flat_of(&s, "text_chosen"), "BOT: yes</s>");
	assert_string_equal(flat_of(&s, "text_rejected"), "BOT: no</s>");
	end(&s);
}

/* Words that look like tokens are none, wherever they stand. */
static void test_literals(void **state)
{
	static const struct { const char *words, *flat; enum pl_reason reason; } cases[] = {
		{"an <image> of <images>", "<image>an < image> of <images>", PL_REASON_KEEP},
		{"<<image>", "<image><< image>", PL_REASON_KEEP},
		{"<image><image>", "<image>< image>< image>", PL_REASON_KEEP},
		{"<imag", "<image><imag", PL_REASON_KEEP},
		{"\xC3\xA9t\xC3\xA9!", "<image>\xC3\xA9 t\xC3\xA9!", PL_REASON_KEEP},
		{"a x y z b", NULL, PL_REASON_MARKER_MISMATCH},   /* broken up, it is the other token */
	};
	struct sample s;

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		begin(&s, PL_KIND_PAIRS, ", tokens: {image: <image>, begin: 'x y z', end: 'x  y z', image_end: '\xC3\xA9t\xC3\xA9'}");
		s.r.output.tokens.image_end = i == 4 ? s.r.output.tokens.image_end : NULL;
		s.r.output.tokens.begin = i == 5 ? s.r.output.tokens.begin : NULL;
		s.r.output.tokens.end = i == 5 ? s.r.output.tokens.end : NULL;
		add_image(&s, &jpeg, PL_ROLE_NONE);
		add(&s, text(cases[i].words, PL_ROLE_NONE, true));
		if (render(&s) != cases[i].reason)
			fail_msg("%s: %s", cases[i].words, pl_reason_name(s.reason));
		if (i == 4) {
			assert_non_null(strstr(flat_of(&s, "text"), "\xC3\xA9 t\xC3\xA9!"));
		} else if (cases[i].flat != NULL) {
			assert_string_equal(flat_of(&s, "text"), cases[i].flat);
		}
		/* segments keep the words */
		if (cases[i].flat != NULL)
			assert_non_null(strstr(line_of(&s), cases[i].words));
		else
			assert_int_equal(s.out.nmembers, 0);
		end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_image_order),
		cmocka_unit_test(test_instruction),
		cmocka_unit_test(test_drawn_caption),
		cmocka_unit_test(test_text_only),
		cmocka_unit_test(test_woven),
		cmocka_unit_test(test_assigned_anew),
		cmocka_unit_test(test_surplus),
		cmocka_unit_test(test_drawn_place),
		cmocka_unit_test(test_unmatched),
		cmocka_unit_test(test_trailing),
		cmocka_unit_test(test_in_context),
		cmocka_unit_test(test_system_once),
		cmocka_unit_test(test_preference),
		cmocka_unit_test(test_flat_interleaved),
		cmocka_unit_test(test_flat_turns),
		cmocka_unit_test(test_literals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
