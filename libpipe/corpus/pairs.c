/* SPDX-License-Identifier: Apache-2.0 */
/* Image-caption pairs, as img2dataset and its relatives write them: KEY.jpg,
 * KEY.txt, KEY.json. The document is the image, then its caption. */
#include <string.h>

#include "kinds.h"
#include "related.h"

/* Captions of one image, in a file that lists images and captions apart: COCO has 5 to 7. */
enum { CAPTIONS_MAX = 256 };

const char *pl_pairs_image_name(const json_t *v)
{
	static const char *const members[] = {"image", "image_path", "file_name"};

	for (size_t i = 0; i < PL_ARRAY_LEN(members); i++) {
		const char *name = pl_json_str(v, members[i]);
		if (name != NULL && *name != '\0')
			return name;
	}
	return NULL;
}

/* The name of the image that an annotation is of, NULL = none. */
static enum pl_status annotated_image(struct pl_document *d, const struct pl_kind_input *in, const char **name, struct pl_err *err)
{
	char id[PL_RELATED_ID];
	json_t *image = NULL;
	enum pl_status st = PL_OK;

	*name = NULL;
	if (in->related != NULL && pl_related_id(json_object_get(in->json, "image_id"), id))
		st = pl_related_get(in->related, id, 0, &image, err);
	if (st == PL_OK && image != NULL)
		st = pl_kind_keep(d, image, err);
	if (st == PL_OK && image != NULL)
		*name = pl_pairs_image_name(image);
	return st;
}

static enum pl_status add_image(struct pl_kind_build *b, const struct pl_kind_input *in,
    struct pl_err *err)
{
	struct pl_kind_place at = {.role = PL_ROLE_NONE};
	struct pl_doc_image image;
	const char *name;

	if (in->sample == NULL) {
		name = pl_pairs_image_name(in->json);
		if (name == NULL) {
			enum pl_status st = annotated_image(b->d, in, &name, err);
			if (st != PL_OK)
				return st;
		}
		if (name == NULL)
			return pl_kind_reject(b->d, PL_REASON_NO_IMAGE);
		image = pl_kind_named_image(name);
	} else {
		const struct shard_part *p = NULL;
		for (size_t i = 0; i < in->sample->nparts && p == NULL; i++) {
			const char *suffix = in->sample->parts[i].suffix;
			/* "seg.png" beside "jpg" is a mask, not the picture */
			if (strchr(suffix, '.') == NULL && shard_image_suffix(suffix))
				p = &in->sample->parts[i];
		}
		if (p == NULL)
			return pl_kind_reject(b->d, PL_REASON_NO_IMAGE);
		image = pl_kind_part_image(p->name, p);
	}
	image.similarity = pl_kind_similarity(json_object_get(in->json, "similarity"));
	return pl_kind_add_image(b, at, &image, err);
}

/* *text NULL: d is rejected. */
static enum pl_status find_caption(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, const char **text, size_t *len, struct pl_err *err)
{
	const struct shard_part *p = o->caption_field == NULL ? pl_kind_part(in->sample, "txt")
	    : NULL;
	const json_t *v;

	*text = NULL;
	*len = 0;
	if (p != NULL)
		return pl_kind_part_text(d, p, text, len, err);
	if (in->json == NULL)
		return pl_kind_reject(d, in->json_status == PL_REASON_NOT_A_SAMPLE
		    ? PL_REASON_NO_TEXT
		    : in->json_status);
	if (!json_is_object(in->json))
		return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
	v = json_object_get(in->json, o->caption_field != NULL ? o->caption_field : "caption");
	if (!json_is_string(v))
		return pl_kind_reject(d, PL_REASON_NO_TEXT);
	*text = json_string_value(v);
	*len = json_string_length(v);
	return PL_OK;
}

static enum pl_status add_caption(struct pl_kind_build *b, const char *text, size_t len, struct pl_err *err)
{
	struct pl_kind_place at = {.role = PL_ROLE_NONE, .loss = true};

	pl_trim_front(&text, &len);
	pl_trim_back(text, &len);
	return pl_kind_add_text(b, at, text, len, err);
}

/* The annotations of an image: all that have words, or the first such. */
static enum pl_status add_annotations(struct pl_kind_build *b, const struct pl_read_options *o, const struct pl_kind_input *in,
    struct pl_err *err)
{
	const char *field = o->caption_field != NULL ? o->caption_field : "caption";
	char id[PL_RELATED_ID];
	enum pl_status st = PL_OK;

	if (!pl_related_id(json_object_get(in->json, "id"), id))
		return pl_kind_reject(b->d, PL_REASON_BAD_DOCUMENT);
	for (size_t k = 0; k < CAPTIONS_MAX && st == PL_OK; k++) {
		json_t *annotation = NULL;
		const json_t *text;
		st = pl_related_get(in->related, id, k, &annotation, err);
		if (st != PL_OK || annotation == NULL)
			break;
		st = pl_kind_keep(b->d, annotation, err);
		text = json_object_get(annotation, field);
		if (st == PL_OK && json_is_string(text))
			st = add_caption(b, json_string_value(text), json_string_length(text), err);
		if (b->d->nsegments > 1 && o->captions_per_image == PL_CAPTIONS_FIRST)
			break;
	}
	if (st != PL_OK || b->d->status != PL_REASON_KEEP)
		return st;
	return b->d->nsegments > 1 ? PL_OK : pl_kind_reject(b->d, PL_REASON_NO_TEXT);
}

enum pl_status pl_read_pairs(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, struct pl_err *err)
{
	struct pl_kind_build b = {.d = d};
	const char *text;
	enum pl_status st;
	size_t len;

	if (in->sample == NULL && in->json == NULL)
		return pl_kind_reject(d, in->json_status);
	st = add_image(&b, in, err);
	/* without its picture it may still be used as a text */
	if (st != PL_OK || (d->status != PL_REASON_KEEP && d->status != PL_REASON_NO_IMAGE))
		return st;
	if (in->related != NULL && o->captions_per_image != PL_CAPTIONS_EACH)
		return add_annotations(&b, o, in, err);
	st = find_caption(d, o, in, &text, &len, err);
	if (st != PL_OK || text == NULL)
		return st;
	st = add_caption(&b, text, len, err);
	if (st != PL_OK || d->status != PL_REASON_KEEP)
		return st;
	return d->nsegments > 1 ? PL_OK : pl_kind_reject(d, PL_REASON_NO_TEXT);
}
