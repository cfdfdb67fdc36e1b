/* SPDX-License-Identifier: Apache-2.0 */
/* Plain text: a line, a text member, or a field of a JSON object. */
#include "kinds.h"

static enum pl_status find_text(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, const char **text, size_t *len, struct pl_err *err)
{
	const struct shard_part *p = NULL;
	const json_t *v;

	*text = NULL;
	*len = 0;
	if (in->plain != NULL)
		return pl_kind_copy_text(d, in->plain, in->plain_len, text, len, err);
	if (o->text_field == NULL) {
		p = pl_kind_part(in->sample, "txt");
		if (p == NULL)
			p = pl_kind_part(in->sample, "text");
	}
	if (p != NULL)
		return pl_kind_part_text(d, p, text, len, err);
	if (in->json == NULL)
		return pl_kind_reject(d, in->json_status);
	if (!json_is_object(in->json))
		return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
	v = json_object_get(in->json, o->text_field != NULL ? o->text_field : "text");
	if (!json_is_string(v))
		return pl_kind_reject(d, PL_REASON_NO_TEXT);
	*text = json_string_value(v);
	*len = json_string_length(v);
	return PL_OK;
}

enum pl_status pl_read_text(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, struct pl_err *err)
{
	struct pl_kind_build b = {.d = d};
	struct pl_kind_place at = {.role = PL_ROLE_NONE, .loss = true};
	const char *text;
	enum pl_status st;
	size_t len;

	st = find_text(d, o, in, &text, &len, err);
	if (st != PL_OK || text == NULL)
		return st;
	st = pl_kind_add_text(&b, at, text, len, err);
	if (st == PL_OK && d->nsegments == 0)
		st = pl_kind_reject(d, PL_REASON_NO_TEXT);
	return st;
}
