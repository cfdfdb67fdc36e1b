/* SPDX-License-Identifier: Apache-2.0 */
/* Preferences: a prompt with an answer that was chosen and one that was
 * rejected. LLaVA-NeXT's ("prompt"), RLHF-V's ("question") and the message lists
 * of Hugging Face's sets ("images", typed parts), in any mixture. */
#include <string.h>

#include "turns.h"

bool pl_is_preference(const json_t *v)
{
	const json_t *chosen = json_object_get(v, "chosen"), *rejected = json_object_get(v, "rejected");

	return (json_is_string(chosen) && json_is_string(rejected)) || (json_is_array(chosen) && json_is_array(rejected));
}

static const json_t *prompt_of(const json_t *doc)
{
	static const char *const members[] = {"prompt", "question"};

	for (size_t i = 0; i < PL_ARRAY_LEN(members); i++) {
		const json_t *v = json_object_get(doc, members[i]);
		if (v != NULL && !json_is_null(v))
			return v;
	}
	return NULL;
}

/* How many messages the two lists begin with alike: the prompt, where none is given (TRL's implicit prompts). */
static size_t common_messages(const json_t *a, const json_t *b)
{
	size_t n = 0;

	while (n < json_array_size(a) && n < json_array_size(b) && json_equal(json_array_get(a, n), json_array_get(b, n)))
		n++;
	return n;
}

static enum pl_status push_range(struct pl_turns *c, const json_t *messages, size_t from, size_t to, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = from; i < to && st == PL_OK; i++)
		st = pl_turns_push_message(c, json_array_get(messages, i), err);
	return st;
}

/* An answer, from message number `from` of a list on. What it says is words: markers in it show no image. */
static enum pl_status push_answer(struct pl_turns *c, const json_t *v, size_t from, enum pl_branch branch, struct pl_err *err)
{
	size_t first = c->nturns;
	enum pl_status st = json_is_array(v) ? push_range(c, v, from, json_array_size(v), err) :
	    pl_turns_push_string(c, PL_ROLE_ASSISTANT, v, err);

	for (size_t i = first; i < c->nturns; i++) {
		c->turns[i].branch = branch;
		c->turns[i].literal = true;
	}
	return st;
}

static enum pl_status push_images(struct pl_turns *c, const json_t *doc, struct pl_err *err)
{
	const char *name = pl_json_str(doc, "IMAGE_ID");
	const json_t *bytes = json_object_get(doc, "BUFFER");
	struct pl_doc_image image = pl_kind_named_image(name);
	enum pl_status st = pl_turns_push_named(c, json_object_get(doc, "image"), err);

	if (st == PL_OK)
		st = pl_turns_push_named(c, json_object_get(doc, "images"), err);
	if (st != PL_OK || c->nimages > 0)
		return st;
	if (json_is_string(bytes)) {
		st = pl_kind_embed(c->b.d, json_string_value(bytes), json_string_length(bytes), &image, err);
		return st == PL_OK ? pl_turns_add_image(c, &image, err) : st;
	}
	name = pl_pairs_image_name(doc);
	return name != NULL ? pl_turns_push_image(c, name, strlen(name), err) : PL_OK;
}

static enum pl_status push_all(struct pl_turns *c, struct pl_err *err)
{
	const json_t *doc = c->in->json, *prompt = prompt_of(doc), *system = json_object_get(doc, "system");
	const json_t *chosen = json_object_get(doc, "chosen"), *rejected = json_object_get(doc, "rejected");
	size_t common = 0;
	enum pl_status st = push_images(c, doc, err);

	if (json_equal(chosen, rejected))
		return pl_kind_reject(c->b.d, PL_REASON_BAD_DOCUMENT);
	if (st == PL_OK && json_is_string(system))
		st = pl_turns_push_string(c, PL_ROLE_SYSTEM, system, err);
	if (st != PL_OK)
		return st;
	if (prompt == NULL) {
		common = common_messages(chosen, rejected);
		st = push_range(c, chosen, 0, common, err);
	} else {
		st = json_is_array(prompt) ? pl_turns_push_messages(c, prompt, err) : pl_turns_push_string(c, PL_ROLE_USER, prompt, err);
	}
	for (size_t i = 0; i < c->nturns; i++)
		c->turns[i].mute = true;   /* what both answers share teaches no preference */
	if (st == PL_OK)
		st = push_answer(c, chosen, common, PL_BRANCH_CHOSEN, err);
	return st == PL_OK ? push_answer(c, rejected, common, PL_BRANCH_REJECTED, err) : st;
}

/* Both answers have words, and there is something that they answer. */
static bool is_whole(const struct pl_document *d)
{
	bool has[] = {[PL_BRANCH_SHARED] = false, [PL_BRANCH_CHOSEN] = false, [PL_BRANCH_REJECTED] = false};

	for (size_t i = 0; i < d->nsegments; i++) {
		const struct pl_segment *s = &d->segments[i];
		if (s->branch == PL_BRANCH_SHARED ? s->role != PL_ROLE_SYSTEM : s->loss)
			has[s->branch] = true;
	}
	return has[PL_BRANCH_SHARED] && has[PL_BRANCH_CHOSEN] && has[PL_BRANCH_REJECTED];
}

enum pl_status pl_read_preference(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, struct pl_err *err)
{
	struct pl_turns c = {.b = {.d = d}, .in = in};
	enum pl_status st;

	(void)o;
	if (in->json == NULL)
		return pl_kind_reject(d, in->json_status);
	if (!pl_is_preference(in->json))
		return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
	st = push_all(&c, err);
	if (st == PL_OK)
		st = pl_turns_finish(&c, err);
	if (st != PL_OK || d->status != PL_REASON_KEEP)
		return st;
	return is_whole(d) ? PL_OK : pl_kind_reject(d, PL_REASON_NO_TEXT);
}
