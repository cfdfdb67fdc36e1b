/* SPDX-License-Identifier: Apache-2.0 */
/* Preferences, questions, in-context instructions, similarity matrices: what their records become, and what is refused. */
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

/* Role, turn, branch, '+' for loss; images as [name]. */
static const char *line_of(const struct pl_document *d)
{
	static char line[4096];
	size_t n = 0, images = 0;

	line[0] = '\0';
	for (size_t i = 0; i < d->nsegments; i++) {
		const struct pl_segment *s = &d->segments[i];
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%c%u%s%s:", "nsuat"[s->role], s->turn,
		    s->branch == PL_BRANCH_CHOSEN ? "C" : s->branch == PL_BRANCH_REJECTED ? "R" : "", s->loss ? "+" : "");
		if (s->is_image) {
			assert_int_equal(s->image, images++);
			n += (size_t)snprintf(line + n, sizeof(line) - n, "[%s]|", d->images[s->image].name);
		} else {
			assert_int_equal(strlen(s->text), s->text_len);
			n += (size_t)snprintf(line + n, sizeof(line) - n, "%s|", s->text);
		}
		assert_true(n < sizeof(line));
	}
	assert_int_equal(images, d->nimages);
	return line;
}

struct want { const char *record; enum pl_reason status; const char *line; };

static void becomes(enum pl_kind kind, const struct want *w)
{
	struct pl_read_options o = {.kind = kind};
	struct pl_document d;
	struct pl_err err;

	pl_document_init(&d);
	assert_int_equal(pl_document_read_record(&d, &o, w->record, strlen(w->record), false, &err), PL_OK);
	if (d.status != w->status)
		fail_msg("%s: status %s", w->record, pl_reason_name(d.status));
	if (w->line != NULL && strcmp(line_of(&d), w->line) != 0)
		fail_msg("%s: %s", w->record, line_of(&d));
	if (w->status == PL_REASON_KEEP)
		assert_int_equal(pl_detect_record(w->record, strlen(w->record), false), kind);
	pl_document_release(&d);
}

static void test_preference(void **state)
{
	static const struct want wants[] = {
		/* LLaVA-NeXT's */
		{"{\"id\":\"1\",\"image\":\"a.jpg\",\"prompt\":\"<image>\\nWhat?\",\"answer\":\"x\",\"chosen\":\"yes <image>\",\"rejected\":\"no\"}",
		    PL_REASON_KEEP, "u0:[a.jpg]|u0:What?|a1C+:yes <image>|a2R+:no|"},
		{"{\"prompt\":\"Just words\",\"chosen\":\"yes\",\"rejected\":\"no\"}", PL_REASON_KEEP, "u0:Just words|a1C+:yes|a2R+:no|"},
		{"{\"prompt\":\"No marker\",\"images\":[\"a\",\"b\"],\"chosen\":\"yes\",\"rejected\":\"no\"}", PL_REASON_KEEP,
		    "u0:[a]|u0:[b]|u0:No marker|a1C+:yes|a2R+:no|"},
		/* RLHF-V's, and its base64 */
		{"{\"question\":\"q\",\"chosen\":\"yes\",\"rejected\":\"no\",\"image_path\":\"p/a.jpg\",\"metainfo\":{}}", PL_REASON_KEEP,
		    "u0:[p/a.jpg]|u0:q|a1C+:yes|a2R+:no|"},
		{"{\"question\":\"q\",\"chosen\":\"yes\",\"rejected\":\"no\",\"BUFFER\":\"AAEC\",\"IMAGE_ID\":\"17\"}", PL_REASON_KEEP,
		    "u0:[17]|u0:q|a1C+:yes|a2R+:no|"},
		/* message lists with typed parts; and without a prompt of their own */
		{"{\"images\":[{\"bytes\":null,\"path\":\"a.jpg\"}],\"prompt\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"text\":null},"
		 "{\"type\":\"text\",\"text\":\"q\"}]}],\"chosen\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"yes <image>\"}]}],"
		 "\"rejected\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"no\"}]}]}",
		    PL_REASON_KEEP, "u0:[a.jpg]|u0:q|a1C+:yes <image>|a2R+:no|"},
		{"{\"system\":\"s\",\"chosen\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"x\"},"
		 "{\"role\":\"user\",\"content\":\"r\"},{\"role\":\"assistant\",\"content\":\"yes\"}],\"rejected\":[{\"role\":\"user\",\"content\":\"q\"},"
		 "{\"role\":\"assistant\",\"content\":\"x\"},{\"role\":\"user\",\"content\":\"r\"},{\"role\":\"assistant\",\"content\":\"no\"}]}",
		    PL_REASON_KEEP, "s0:s|u1:q|a2:x|u3:r|a4C+:yes|a5R+:no|"},
		/* what is refused */
		{"{\"prompt\":\"q\",\"chosen\":\"same\",\"rejected\":\"same\"}", PL_REASON_BAD_DOCUMENT, ""},
		{"{\"prompt\":\"q\",\"chosen\":\"yes\"}", PL_REASON_BAD_DOCUMENT, ""},
		{"{\"prompt\":\"q\",\"chosen\":\"yes\",\"rejected\":[\"no\"]}", PL_REASON_BAD_DOCUMENT, ""},
		{"{\"prompt\":7,\"chosen\":\"yes\",\"rejected\":\"no\"}", PL_REASON_BAD_DOCUMENT, ""},
		{"{\"prompt\":\"q\",\"chosen\":\"yes\",\"rejected\":\" \"}", PL_REASON_NO_TEXT, NULL},
		{"{\"chosen\":\"yes\",\"rejected\":\"no\"}", PL_REASON_NO_TEXT, NULL},
		{"{\"system\":\"s\",\"prompt\":\"\",\"chosen\":\"yes\",\"rejected\":\"no\"}", PL_REASON_NO_TEXT, NULL},
		{"{\"prompt\":\"<image><image>\",\"image\":\"a\",\"chosen\":\"yes\",\"rejected\":\"no\"}", PL_REASON_MARKER_MISMATCH, ""},
		{"{\"prompt\":\"q\",\"chosen\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"image\",\"image\":\"b\"}]}],"
		 "\"rejected\":[{\"role\":\"assistant\",\"content\":\"no\"}]}",
		    PL_REASON_BAD_DOCUMENT, ""},
		{"{\"prompt\":\"q\",\"chosen\":[{\"role\":\"poet\",\"content\":\"yes\"}],\"rejected\":[]}", PL_REASON_BAD_DOCUMENT, ""},
		{"{\"prompt\":\"q\",\"chosen\":[{\"role\":\"user\",\"content\":\"yes\"}],\"rejected\":[{\"role\":\"user\",\"content\":\"no\"}]}",
		    PL_REASON_NO_TEXT, NULL},
		{"{\"prompt\":\"q\",\"image\":{\"x\":1},\"chosen\":\"yes\",\"rejected\":\"no\"}", PL_REASON_BAD_DOCUMENT, ""},
		{"{\"prompt\":\"q\\u0000\",\"chosen\":\"yes\",\"rejected\":\"no\"}", PL_REASON_BAD_UTF8, ""},
		{"[]", PL_REASON_BAD_DOCUMENT, ""},
		{"{", PL_REASON_BAD_JSON, ""},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(wants); i++)
		becomes(PL_KIND_PREFERENCE, &wants[i]);
}

static void test_question(void **state)
{
	static const struct want wants[] = {
		{"{\"image\":\"a.jpg\",\"question\":\"Who?\",\"answer\":\"me <image>\"}", PL_REASON_KEEP, "u0:[a.jpg]|u0:Who?|a1+:me <image>|"},
		{"{\"question\":\"Who?\",\"answer\":\"me\"}", PL_REASON_KEEP, "u0:Who?|a1+:me|"},
		{"{\"file_name\":\"a.jpg\",\"question\":\"Who?\",\"multiple_choice_answer\":\"you\",\"answers\":[\"x\"]}", PL_REASON_KEEP,
		    "u0:[a.jpg]|u0:Who?|a1+:you|"},
		{"{\"image\":\"a\",\"question\":\"<image> Who?\",\"answers\":[{\"answer\":\"b\"},{\"answer\":\"c\"},{\"answer\":\"c\"},{\"answer\":\"b\"},7]}",
		    PL_REASON_KEEP, "u0:[a]|u0:Who?|a1+:b|"},
		{"{\"image\":\"a\",\"question\":\"<image><image>\",\"answer\":\"b\"}", PL_REASON_MARKER_MISMATCH, ""},
		{"{\"image\":\"a\",\"question\":\"q\",\"answers\":[]}", PL_REASON_NO_TEXT, ""},
		{"{\"image\":\"a\",\"question\":\"q\",\"answer\":\" \"}", PL_REASON_NO_TEXT, NULL},
		{"{\"image_id\":3,\"question\":\"q\",\"answer\":\"b\"}", PL_REASON_NO_IMAGE, ""},
		{"{\"image\":\"a\",\"question\":7,\"answer\":\"b\"}", PL_REASON_BAD_DOCUMENT, ""},
		{"{\"image\":\"a\",\"question\":\"q\",\"answer\":7}", PL_REASON_BAD_DOCUMENT, ""},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(wants); i++)
		becomes(PL_KIND_CHAT, &wants[i]);
}

/* Alone, without the file that has its examples. */
static void test_in_context(void **state)
{
	static const struct want wants[] = {
		{"{\"id\":\"I\",\"instruction\":\"q <image>\",\"answer\":\"b\",\"image_ids\":[\"x\",\"y\"],\"rel_ins_ids\":[]}", PL_REASON_KEEP,
		    "u0:[x]|u0:[y]|u0:q <image>|a1+:b|"},
		{"\"I\": {\"instruction\":\"q\",\"answer\":\"b\",\"image_ids\":[],\"rel_ins_ids\":[\"I\",\"J\"]}", PL_REASON_KEEP, "u0:q|a1+:b|"},
		{"{\"I\": {\"instruction\":\"q\",\"answer\":\"b\",\"image_ids\":null,\"rel_ins_ids\":[\"J\",7]}}", PL_REASON_KEEP, "u0:q|a1+:b|"},
		{"{\"instruction\":\"q\",\"answer\":\"\",\"image_ids\":[\"x\"]}", PL_REASON_NO_TEXT, NULL},
		{"{\"instruction\":\"q\",\"answer\":\"b\"}", PL_REASON_BAD_DOCUMENT, ""},
		{"{\"instruction\":\"q\",\"answer\":7,\"image_ids\":[]}", PL_REASON_BAD_DOCUMENT, ""},
		{"{\"instruction\":\"q\",\"answer\":\"b\",\"image_ids\":[7]}", PL_REASON_BAD_DOCUMENT, ""},
		{"{\"instruction\":\"q\",\"answer\":\"b\",\"image_ids\":[\"\"]}", PL_REASON_BAD_DOCUMENT, ""},
		{"{\"instruction\":\"q\",\"answer\":\"b\",\"image_ids\":[],\"rel_ins_ids\":\"J\"}", PL_REASON_BAD_DOCUMENT, ""},
		{"{\"instruction\":\"q\",\"answer\":\"b\",\"image_ids\":[],\"rel_ins_ids\":[{}]}", PL_REASON_BAD_DOCUMENT, ""},
		{"\"I\"", PL_REASON_BAD_DOCUMENT, ""},
		{"\"I\": [1]", PL_REASON_BAD_DOCUMENT, ""},
		{"\"I\": {\"instruction\"", PL_REASON_BAD_JSON, ""},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(wants); i++)
		becomes(PL_KIND_IN_CONTEXT, &wants[i]);
}

/* Nesting past the ceiling is bad JSON, not a crash. */
static void test_depth(void **state)
{
	static const enum pl_kind kinds[] = {PL_KIND_PREFERENCE, PL_KIND_IN_CONTEXT, PL_KIND_CHAT};
	struct pl_document d;
	struct pl_err err;
	enum { N = 100000 };
	char *text = malloc(N + 1);

	(void)state;
	assert_non_null(text);
	pl_document_init(&d);
	for (size_t i = 0; i < PL_ARRAY_LEN(kinds); i++) {
		struct pl_read_options o = {.kind = kinds[i]};
		memset(text, '[', N);
		memcpy(text, "{\"chosen\":", 10);
		assert_int_equal(pl_document_read_record(&d, &o, text, N, false, &err), PL_OK);
		assert_int_equal(d.status, PL_REASON_BAD_JSON);
		memcpy(text, "\"I\":      ", 10);
		assert_int_equal(pl_document_read_record(&d, &o, text, N, false, &err), PL_OK);
		assert_int_equal(d.status, PL_REASON_BAD_JSON);
	}
	pl_document_release(&d);
	free(text);
}

static void read_matrix(struct pl_document *d, const char *matrix, bool after)
{
	struct pl_read_options o = {.kind = PL_KIND_INTERLEAVED, .image_after_text = after};
	struct pl_err err;
	char record[1000];

	snprintf(record, sizeof(record),
	    "{\"text_list\":[\"a\",\" \",\"c\"],\"image_info\":[{\"image_name\":\"x\",\"matched_text_index\":2,\"matched_sim\":0.3},"
	    "{\"image_name\":\"y\",\"matched_text_index\":0},{\"image_name\":\"z\",\"matched_text_index\":1}],\"similarity_matrix\":%s}",
	    matrix);
	assert_int_equal(pl_document_read_record(d, &o, record, strlen(record), false, &err), PL_OK);
	assert_int_equal(d->status, PL_REASON_KEEP);
}

/* Rows go with their images, whatever the order of these in the text; blank sentences have no column. */
static void test_matrix(void **state)
{
	struct pl_document d;

	(void)state;
	pl_document_init(&d);
	for (int after = 0; after < 2; after++) {
		read_matrix(&d, "[[0.1,0.2,0.3],[0.4,0.5,0.6],[0.7,0.8,-1]]", after == 1);
		assert_string_equal(line_of(&d), after ? "n0+:a|n0:[y]|n0:[z]|n0+:c|n0:[x]|" : "n0:[y]|n0+:a|n0:[z]|n0:[x]|n0+:c|");
		assert_int_equal(d.image_after_text, after);
		assert_int_equal(d.images[0].match, 0);
		assert_true(d.images[1].match == PL_NO_MATCH);
		assert_int_equal(d.images[2].match, 1);
		assert_float_equal(d.images[0].affinity[0], 0.4, 1e-6);
		assert_float_equal(d.images[0].affinity[1], 0.6, 1e-6);
		assert_float_equal(d.images[1].affinity[1], -1, 1e-6);
		assert_float_equal(d.images[2].affinity[0], 0.1, 1e-6);
		assert_float_equal(d.images[2].similarity, 0.3, 1e-6);
	}
	pl_document_release(&d);
}

/* A row that is none is as if it were not there; so is one of another scale. */
static void test_bad_matrix(void **state)
{
	static const char *const bad[] = {"7", "{}", "[]", "[[0.1,0.2]]", "[1,2,3]", "[[0.1,\"x\",0.3],null,[null,0,0]]", "[[1e400,0,0]]",
		"[[24,30,11],[24,30,11],[24,30,11]]"};
	struct pl_document d;
	struct pl_err err;
	struct pl_read_options o = {.kind = PL_KIND_INTERLEAVED};

	(void)state;
	pl_document_init(&d);
	for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
		if (i == 6) {   /* no number that JSON can have here */
			assert_int_equal(pl_document_read_record(&d, &o, "{\"text_list\":[\"a\"],\"similarity_matrix\":[[1e400]]}", 46, false, &err), PL_OK);
			assert_int_equal(d.status, PL_REASON_BAD_JSON);
			continue;
		}
		read_matrix(&d, bad[i], false);
		for (size_t k = 0; k < d.nimages; k++)
			assert_null(d.images[k].affinity);
	}
	read_matrix(&d, "[[0,0,0],[0.5,0,0,0],[0.1,0.1,0.1]]", false);
	assert_null(d.images[0].affinity);
	assert_non_null(d.images[1].affinity);
	assert_non_null(d.images[2].affinity);
	pl_document_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_preference),
		cmocka_unit_test(test_question),
		cmocka_unit_test(test_in_context),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_bad_matrix),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
