/* SPDX-License-Identifier: Apache-2.0 */
/* In-context instructions, MIMIC-IT's: an instruction about images, its answer,
 * and the ids of other instructions to be shown before it. These are read
 * from the same file, one step deep: what they refer to is not followed. */
#include <string.h>

#include "related.h"
#include "turns.h"

enum { LOOKED_AT_MAX = 1024 };

bool pl_is_in_context(const json_t *v)
{
	return json_is_string(json_object_get(v, "instruction")) && json_is_string(json_object_get(v, "answer")) &&
	    (json_is_array(json_object_get(v, "image_ids")) || json_is_array(json_object_get(v, "rel_ins_ids")));
}

/* {"ID": {...}} is the record of that id. */
json_t *pl_in_context_member(json_t *v)
{
	const char *key;
	json_t *inner;

	if (!json_is_object(v) || json_object_size(v) != 1 || pl_is_in_context(v))
		return v;
	key = json_object_iter_key(json_object_iter(v));
	inner = json_object_get(v, key);
	if (!json_is_object(inner))
		return v;
	if (json_object_get(inner, "id") == NULL && json_object_set_new(inner, "id", json_string(key)) != 0)
		return v;
	return inner;
}

/* Two turns: the images with the instruction, and the answer. */
static enum pl_status push_round(struct pl_turns *c, const json_t *v, bool shown, struct pl_err *err)
{
	const json_t *ids = json_object_get(v, "image_ids");
	struct pl_turn ask = {.role = PL_ROLE_USER, .literal = true}, answer = {.role = PL_ROLE_ASSISTANT, .literal = true, .mute = shown};
	enum pl_status st = PL_OK;

	if (ids != NULL && !json_is_null(ids) && !json_is_array(ids))
		return pl_kind_reject(c->b.d, PL_REASON_BAD_DOCUMENT);
	for (size_t i = 0; i < json_array_size(ids) && st == PL_OK; i++) {
		const json_t *name = json_array_get(ids, i);
		if (!json_is_string(name) || json_string_length(name) == 0)
			return pl_kind_reject(c->b.d, PL_REASON_BAD_DOCUMENT);
		st = pl_turns_push_image(c, json_string_value(name), json_string_length(name), err);
		ask.opens++;
	}
	ask.text = json_string_value(json_object_get(v, "instruction"));
	ask.len = json_string_length(json_object_get(v, "instruction"));
	answer.text = json_string_value(json_object_get(v, "answer"));
	answer.len = json_string_length(json_object_get(v, "answer"));
	if (st == PL_OK)
		st = pl_turns_push(c, &ask, err);
	return st == PL_OK ? pl_turns_push(c, &answer, err) : st;
}

/* Can a record be shown as an example? Its images must be names, as the target's must. */
static bool can_be_shown(const json_t *v)
{
	const json_t *ids = json_object_get(v, "image_ids");

	if (!pl_is_in_context(v) || (ids != NULL && !json_is_null(ids) && !json_is_array(ids)))
		return false;
	for (size_t i = 0; i < json_array_size(ids); i++) {
		if (json_string_length(json_array_get(ids, i)) == 0)
			return false;
	}
	return true;
}

/* Was the id of place i met before, or is it the target's own? */
static bool met(const json_t *list, size_t i, const char *id, const char *own)
{
	char other[PL_RELATED_ID];

	if (own != NULL && strcmp(id, own) == 0)
		return true;
	for (size_t k = 0; k < i; k++) {
		if (pl_related_id(json_array_get(list, k), other) && strcmp(other, id) == 0)
			return true;
	}
	return false;
}

static enum pl_status push_shown(struct pl_turns *c, const json_t *doc, uint32_t most, struct pl_err *err)
{
	const json_t *list = json_object_get(doc, "rel_ins_ids");
	struct pl_document *d = c->b.d;
	char own[PL_RELATED_ID] = "", id[PL_RELATED_ID];
	uint32_t shown = 0;

	if (list != NULL && !json_is_null(list) && !json_is_array(list))
		return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
	(void)pl_related_id(json_object_get(doc, "id"), own);
	for (size_t i = 0; i < json_array_size(list) && i < LOOKED_AT_MAX && shown < most; i++) {
		json_t *record = NULL, *v = NULL;
		enum pl_status st = PL_OK;
		if (!pl_related_id(json_array_get(list, i), id))
			return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
		if (met(list, i, id, own))
			continue;
		if (c->in->related != NULL)
			st = pl_related_get(c->in->related, id, 0, &record, err);
		if (st == PL_OK && record != NULL)
			st = pl_kind_keep(d, record, err);
		if (st != PL_OK)
			return st;
		v = pl_in_context_member(record);
		if (!can_be_shown(v)) {
			d->related_missing++;
			continue;
		}
		st = push_round(c, v, true, err);
		if (st != PL_OK)
			return st;
		shown++;
	}
	return PL_OK;
}

enum pl_status pl_read_in_context(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, struct pl_err *err)
{
	struct pl_turns c = {.b = {.d = d}, .in = in};
	uint32_t most = o->shots == 0 ? PL_SHOTS_DEFAULT : o->shots == PL_SHOTS_NONE ? 0 : o->shots;
	enum pl_status st;

	if (in->json == NULL)
		return pl_kind_reject(d, in->json_status);
	if (!pl_is_in_context(in->json))
		return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
	st = push_shown(&c, in->json, most, err);
	if (st == PL_OK && d->status == PL_REASON_KEEP)
		st = push_round(&c, in->json, false, err);
	if (st == PL_OK)
		st = pl_turns_finish(&c, err);
	if (st != PL_OK || d->status != PL_REASON_KEEP)
		return st;
	return d->nsegments > 0 && d->segments[d->nsegments - 1].loss ? PL_OK : pl_kind_reject(d, PL_REASON_NO_TEXT);
}
