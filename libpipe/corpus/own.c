/* SPDX-License-Identifier: Apache-2.0 */
/* Documents that plait wrote: segments in order, with their roles, branches
 * and loss flags; images are parts of the sample by name. */
#include <string.h>

#include "kinds.h"

/* Place of s in the NULL-terminated list from `from` on; -1 = not there. */
static int place_in(const char *const *list, int from, const char *s)
{
	for (int i = from; s != NULL && list[i] != NULL; i++) {
		if (strcmp(list[i], s) == 0)
			return i;
	}
	return -1;
}



/* A kind that a document can be of; AUTO: none. */
static enum pl_kind kind_named(const json_t *v)
{
	int kind = place_in(pl_kind_names, PL_KIND_PAIRS, pl_json_str(v, "kind"));

	return kind < 0 || kind == PL_KIND_DOCUMENT ? PL_KIND_AUTO : (enum pl_kind)kind;
}

bool pl_is_own(const json_t *v)
{
	return json_is_array(json_object_get(v, "segments")) && kind_named(v) != PL_KIND_AUTO;
}

/* false: the segment names a role or branch that is none. */
static bool place_of(const json_t *segment, struct pl_kind_place *at)
{
	const json_t *role = json_object_get(segment, "role"), *branch = json_object_get(segment, "branch");
	int r = role == NULL ? PL_ROLE_NONE : place_in(pl_role_names, PL_ROLE_SYSTEM, json_string_value(role));
	int b = branch == NULL ? PL_BRANCH_SHARED : place_in(pl_branch_names, PL_BRANCH_CHOSEN, json_string_value(branch));

	if (r < 0 || b < 0)
		return false;
	at->role = (enum pl_role)r;
	at->branch = (enum pl_branch)b;
	at->loss = json_is_true(json_object_get(segment, "loss"));
	return true;
}

/* A picture of which only the tiles were written is missing. */
static enum pl_status add_image(struct pl_kind_build *b, const struct pl_part_index *parts, struct pl_kind_place at, const json_t *segment,
    const json_t *similarity, struct pl_err *err)
{
	struct pl_doc_image image = pl_kind_named_image(pl_json_str(segment, "part"));
	const struct shard_part *p = pl_part_index_find(parts, image.name);

	if (p != NULL)
		image = pl_kind_part_image(image.name, p);
	image.similarity = pl_kind_similarity(similarity);
	return pl_kind_add_image(b, at, &image, err);
}

static enum pl_status add_segments(struct pl_kind_build *b, const struct pl_part_index *parts, const json_t *v, struct pl_err *err)
{
	const json_t *similarity = json_object_get(json_object_get(v, "meta"), "similarity");
	struct pl_kind_place before = {0}, at = {0};
	json_t *segment;
	size_t i;
	enum pl_status st = PL_OK;

	json_array_foreach(json_object_get(v, "segments"), i, segment) {
		const char *type = pl_json_str(segment, "type");
		const json_t *text = json_object_get(segment, "text");
		if (type == NULL || !place_of(segment, &at))
			return pl_kind_reject(b->d, PL_REASON_BAD_DOCUMENT);
		at.turn = before.turn + (i > 0 && (at.role != before.role || at.branch != before.branch));
		before = at;
		if (strcmp(type, "image") == 0)
			st = add_image(b, parts, at, segment, similarity, err);
		else if (strcmp(type, "text") == 0 && json_is_string(text))
			st = pl_kind_add_text(b, at, json_string_value(text), json_string_length(text), err);
		else
			return pl_kind_reject(b->d, PL_REASON_BAD_DOCUMENT);
		if (st != PL_OK)
			return st;
	}
	return b->d->nsegments > 0 ? PL_OK : pl_kind_reject(b->d, PL_REASON_BAD_DOCUMENT);
}

enum pl_status pl_read_own(struct pl_document *d, const struct pl_read_options *o, const struct pl_kind_input *in, struct pl_err *err)
{
	const json_t *v = in->json;
	struct pl_kind_build b = {.d = d};
	struct pl_part_index parts;
	enum pl_status st;

	(void)o;
	if (v == NULL)
		return pl_kind_reject(d, in->json_status);
	if (!pl_is_own(v))
		return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
	d->kind = kind_named(v);
	d->as_is = true;
	if (json_is_object(json_object_get(v, "meta")))
		d->meta = json_object_get(v, "meta");
	st = pl_part_index_make(&parts, d, in->sample, err);
	if (st == PL_OK)
		st = add_segments(&b, &parts, v, err);
	if (d->status != PL_REASON_KEEP) {
		d->nsegments = 0;
		d->nimages = 0;
	}
	return st;
}
