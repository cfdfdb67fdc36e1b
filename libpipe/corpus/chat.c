/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations: LLaVA and ShareGPT ("conversations"), OpenAI ("messages" or a
 * bare array), Alpaca ("instruction", "output"), questions with answers. All
 * become one list of turns first. */
#include <stdio.h>
#include <string.h>

#include "related.h"
#include "turns.h"

/* Alpaca: earlier rounds in "history", then instruction and input as one user turn. */
static enum pl_status push_alpaca(struct pl_turns *c, const json_t *doc, struct pl_err *err)
{
	const json_t *history = json_object_get(doc, "history"), *input = json_object_get(doc,
	    "input");
	const json_t *instruction = json_object_get(doc, "instruction");
	struct pl_turn t = {.role = PL_ROLE_USER};
	const char *blank = json_string_value(input);
	size_t left = json_string_length(input);
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < json_array_size(history) && st == PL_OK; i++) {
		const json_t *round = json_array_get(history, i);
		st = pl_turns_push_string(c, PL_ROLE_USER, json_array_get(round, 0), err);
		if (st == PL_OK)
			st = pl_turns_push_string(c, PL_ROLE_ASSISTANT, json_array_get(round, 1), err);
	}
	if (st != PL_OK)
		return st;
	if (blank != NULL)
		pl_trim_front(&blank, &left);
	if (left == 0) {
		st = pl_turns_push_string(c, PL_ROLE_USER, instruction, err);
	} else {
		size_t n = json_string_length(instruction);
		void *p;
		char *text;
		t.len = n + 1 + json_string_length(input);
		st = pl_kind_alloc(c->b.d, t.len + 1, &p, err);
		if (st != PL_OK)
			return st;
		text = p;
		memcpy(text, json_string_value(instruction), n);
		text[n] = '\n';
		memcpy(text + n + 1, json_string_value(input), json_string_length(input));
		t.text = text;
		st = pl_turns_push(c, &t, err);
	}
	return st == PL_OK ? pl_turns_push_string(c, PL_ROLE_ASSISTANT, json_object_get(doc, "output"), err)
	    : st;
}

static const json_t *messages_of(const json_t *doc)
{
	const json_t *m = json_object_get(doc, "conversations");

	if (json_is_array(doc))
		return doc;
	return json_is_array(m) ? m : json_object_get(doc, "messages");
}

static bool is_alpaca(const json_t *doc)
{
	return json_is_string(json_object_get(doc, "instruction")) &&
	    json_is_string(json_object_get(doc, "output"));
}

/* VQA's flat form. */
static bool is_question(const json_t *doc)
{
	return json_is_string(json_object_get(doc, "question")) &&
	    (json_is_string(json_object_get(doc, "answer")) || json_is_array(json_object_get(doc, "answers")) ||
	        json_is_string(json_object_get(doc, "multiple_choice_answer")));
}

bool pl_is_chat(const json_t *v)
{
	return json_is_array(v) ? pl_is_messages(v) : json_is_array(messages_of(v)) || is_alpaca(v) || is_question(v);
}

/* ---- questions ---- */

static const char *answer_text(const json_t *a)
{
	return json_is_string(a) ? json_string_value(a) : pl_json_str(a, "answer");
}

/* Of VQA's ten answers the one given most often, the first such. */
static const json_t *most_given(const json_t *answers)
{
	enum { ANSWERS_MAX = 256 };
	size_t n = json_array_size(answers) < ANSWERS_MAX ? json_array_size(answers) : ANSWERS_MAX, best = 0;
	const json_t *found = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *text = answer_text(json_array_get(answers, i));
		size_t votes = 0;
		for (size_t k = 0; k < n && text != NULL; k++) {
			const char *other = answer_text(json_array_get(answers, k));
			votes += other != NULL && strcmp(other, text) == 0;
		}
		if (votes > best) {
			best = votes;
			found = json_array_get(answers, i);
		}
	}
	return json_is_string(found) ? found : json_object_get(found, "answer");
}

static const json_t *answer_of(const json_t *doc)
{
	static const char *const members[] = {"answer", "multiple_choice_answer"};

	for (size_t i = 0; i < PL_ARRAY_LEN(members); i++) {
		const json_t *v = json_object_get(doc, members[i]);
		if (json_is_string(v))
			return v;
	}
	return most_given(json_object_get(doc, "answers"));
}

/* The images beside "image" and "images": a file name, or VQA's number of a COCO image. */
static enum pl_status push_question_image(struct pl_turns *c, struct pl_err *err)
{
	const json_t *doc = c->in->json, *id = json_object_get(doc, "image_id");
	const char *name = pl_pairs_image_name(doc), *set = pl_related_image_set(c->in->related);
	char text[PL_RELATED_ID + 128];
	enum pl_status st;
	void *copy;

	if (c->nimages > 0)
		return PL_OK;
	if (name == NULL && json_is_integer(id) && set != NULL) {
		snprintf(text, sizeof(text), "COCO_%.100s_%012" JSON_INTEGER_FORMAT ".jpg", set, json_integer_value(id));
		st = pl_kind_alloc(c->b.d, strlen(text) + 1, &copy, err);
		if (st != PL_OK)
			return st;
		name = memcpy(copy, text, strlen(text) + 1);
	}
	return name != NULL ? pl_turns_push_image(c, name, strlen(name), err) : PL_OK;
}

static enum pl_status push_question(struct pl_turns *c, struct pl_err *err)
{
	const json_t *doc = c->in->json, *question = json_object_get(doc, "question"), *answer = answer_of(doc);
	bool marked = c->nimages > 0;   /* who names images in the record may say where they stand */
	char id[PL_RELATED_ID];
	json_t *record = NULL;
	enum pl_status st = push_question_image(c, err);

	if (st == PL_OK && answer == NULL && c->in->related != NULL &&
	    pl_related_id(json_object_get(doc, "question_id"), id))
		st = pl_related_get(c->in->related, id, 0, &record, err);
	if (st == PL_OK && record != NULL) {
		st = pl_kind_keep(c->b.d, record, err);
		answer = answer_of(record);
	}
	if (st != PL_OK)
		return st;
	if (answer == NULL)
		return pl_kind_reject(c->b.d, PL_REASON_NO_TEXT);
	if (c->nimages == 0 && json_object_get(doc, "image_id") != NULL)
		return pl_kind_reject(c->b.d, PL_REASON_NO_IMAGE);
	st = pl_turns_push_string(c, PL_ROLE_USER, question, err);
	if (st == PL_OK && c->nturns > 0)
		c->turns[c->nturns - 1].literal = !marked;
	if (st == PL_OK)
		st = pl_turns_push_string(c, PL_ROLE_ASSISTANT, answer, err);
	if (st == PL_OK && c->nturns > 0)
		c->turns[c->nturns - 1].literal = true;
	return st;
}

/* ---- all of them ---- */

static enum pl_status push_all(struct pl_turns *c, struct pl_err *err)
{
	const json_t *doc = c->in->json, *tools = json_object_get(doc, "tools");
	const json_t *system = json_object_get(doc, "system"), *messages = messages_of(doc);
	enum pl_status st = PL_OK;

	if (json_is_string(system))
		st = pl_turns_push_string(c, PL_ROLE_SYSTEM, system, err);
	if (st == PL_OK && json_is_string(tools)) {
		st = pl_turns_push_string(c, PL_ROLE_SYSTEM, tools, err);
		if (st == PL_OK)
			c->turns[c->nturns - 1].literal = true;
	} else if (st == PL_OK && json_array_size(tools) > 0) {
		st = pl_turns_push_json(c, PL_ROLE_SYSTEM, true, tools, err);
	}
	if (st != PL_OK)
		return st;
	if (json_is_array(messages))
		return pl_turns_push_messages(c, messages, err);
	return is_alpaca(doc) ? push_alpaca(c, doc, err) : push_question(c, err);
}

static bool has_answer(const struct pl_document *d)
{
	for (size_t i = 0; i < d->nsegments; i++) {
		if (!d->segments[i].is_image && d->segments[i].loss)
			return true;
	}
	return false;
}

enum pl_status pl_read_chat(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, struct pl_err *err)
{
	struct pl_turns c = {.b = {.d = d}, .in = in};
	enum pl_status st;

	(void)o;
	if (in->json == NULL)
		return pl_kind_reject(d, in->json_status);
	if (!pl_is_chat(in->json) && !(in->related != NULL && json_is_string(json_object_get(in->json, "question"))))
		return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
	st = pl_turns_push_named(&c, json_object_get(in->json, "image"), err);
	if (st == PL_OK)
		st = pl_turns_push_named(&c, json_object_get(in->json, "images"), err);
	if (st == PL_OK)
		st = push_all(&c, err);
	if (st == PL_OK)
		st = pl_turns_finish(&c, err);
	if (st != PL_OK || d->status != PL_REASON_KEEP)
		return st;
	return has_answer(d) ? PL_OK : pl_kind_reject(d, PL_REASON_NO_TEXT);
}
