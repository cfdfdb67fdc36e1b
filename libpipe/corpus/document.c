/* SPDX-License-Identifier: Apache-2.0 */
/* Documents: their life, handing a sample or record to the reader of its
 * kind, and telling what kind a source is from one sample. */
#include "document.h"

#include <errno.h>
#include <string.h>

#include "kinds.h"

/* Text, segments and decoded base64 of one document. */
#define DOCUMENT_MEMORY ((size_t)1 << 30)
/* A parsed JSON value takes about 100 bytes where its text may take two: bound the values, not only
 * the bytes. */
#define JSON_VALUES ((size_t)4 << 20)

const char *const pl_kind_names[] = {"auto", "pairs", "interleaved", "chat", "text", "preference", "in-context", "document", NULL};
const char *const pl_branch_names[] = {"shared", "chosen", "rejected", NULL};
const char *const pl_captions_names[] = {"each", "first", "draw", NULL};
const char *const pl_role_names[] = {"none", "system", "user", "assistant", "tool", NULL};

void pl_document_init(struct pl_document *d)
{
	memset(d, 0, sizeof(*d));
	pl_arena_init(&d->arena, DOCUMENT_MEMORY);
}

static void clear(struct pl_document *d)
{
	json_decref(d->owned);
	json_decref(d->others);
	d->owned = NULL;
	d->others = NULL;
	d->image_after_text = false;
	d->as_is = false;
	d->related_missing = 0;
	d->meta = NULL;
	d->segments = NULL;
	d->images = NULL;
	d->nsegments = 0;
	d->nimages = 0;
	d->status = PL_REASON_KEEP;
	pl_arena_clear(&d->arena);
}

void pl_document_release(struct pl_document *d)
{
	clear(d);
	pl_arena_release(&d->arena);
}

static bool too_many_values(const char *text, size_t len)
{
	size_t values = 0;
	bool in_string = false;

	if (len / 2 <= JSON_VALUES)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if ((c == ',' || c == '[' || c == '{') && ++values > JSON_VALUES) {
			return true;
		}
	}
	return false;
}

/* *why = KEEP and *out (owned by the caller), or why text[len] is no JSON plait reads. */
static enum pl_status parse(const char *text, size_t len, json_t **out, enum pl_reason *why,
    struct pl_err *err)
{
	struct pl_err bad;
	enum pl_status st;

	*out = NULL;
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
		text += 3;
		len -= 3;
	}
	*why = PL_REASON_TOO_LARGE;
	if (too_many_values(text, len))
		return PL_OK;
	*why = PL_REASON_BAD_JSON;
	if (len == 0)
		return PL_OK;
	st = pl_json_parse(text, len, out, &bad);
	if (st == PL_ERR_NOMEM)
		return pl_fail_nomem(err);
	if (st == PL_OK)
		*why = PL_REASON_KEEP;
	return PL_OK;
}

static enum pl_status parse_part(const struct shard_sample *s, json_t **out, enum pl_reason *why,
    struct pl_err *err)
{
	const struct shard_part *p = pl_kind_part(s, "json");

	*out = NULL;
	*why = PL_REASON_NOT_A_SAMPLE;
	if (p == NULL)
		return PL_OK;
	if (p->too_large)
		*why = PL_REASON_TOO_LARGE;
	else if (p->truncated)
		*why = PL_REASON_TRUNCATED;
	else
		return parse((const char *)p->data, p->data != NULL ? p->len : 0, out, why, err);
	return PL_OK;
}

static enum pl_status dispatch(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, struct pl_err *err)
{
	switch (o->kind) {
	case PL_KIND_PAIRS:
		return pl_read_pairs(d, o, in, err);
	case PL_KIND_INTERLEAVED:
		return pl_read_interleaved(d, o, in, err);
	case PL_KIND_CHAT:
		return pl_read_chat(d, o, in, err);
	case PL_KIND_TEXT:
		return pl_read_text(d, o, in, err);
	case PL_KIND_PREFERENCE:
		return pl_read_preference(d, o, in, err);
	case PL_KIND_IN_CONTEXT:
		return pl_read_in_context(d, o, in, err);
	case PL_KIND_DOCUMENT:
		return pl_read_own(d, o, in, err);
	case PL_KIND_AUTO:
		break;
	}
	return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
}

static enum pl_status read_input(struct pl_document *d, const struct pl_read_options *o,
    struct pl_kind_input *in, struct pl_err *err)
{
	json_t *record = o->kind == PL_KIND_IN_CONTEXT ? pl_in_context_member(d->owned) : d->owned;
	enum pl_status st;

	in->json = record;
	d->kind = o->kind;
	d->meta = json_is_object(record) ? record : NULL;
	st = dispatch(d, o, in, err);
	if (st != PL_OK)
		clear(d);
	return st;
}

enum pl_status pl_document_read_sample(struct pl_document *d, const struct pl_read_options *o,
    const struct shard_sample *s, struct pl_err *err)
{
	struct pl_kind_input in = {.sample = s};
	enum pl_status st;

	clear(d);
	st = parse_part(s, &d->owned, &in.json_status, err);
	if (st == PL_OK)
		st = read_input(d, o, &in, err);
	/* which of the two members is meant cannot be known */
	if (st == PL_OK && s->duplicate_part)
		st = pl_kind_reject(d, PL_REASON_DUPLICATE_PART);
	return st;
}

enum pl_status pl_parse_record(const char *record, size_t len, json_t **out, enum pl_reason *why, struct pl_err *err)
{
	struct pl_buf b;
	enum pl_status st = parse(record, len, out, why, err);

	if (st != PL_OK || *why != PL_REASON_BAD_JSON || len == 0 || record[0] != '"')
		return st;
	pl_buf_init(&b, len + 2);
	st = pl_buf_adds(&b, "{", err);
	if (st == PL_OK)
		st = pl_buf_add(&b, record, len, err);
	if (st == PL_OK)
		st = pl_buf_adds(&b, "}", err);
	if (st == PL_OK)
		st = parse((const char *)b.data, b.len, out, why, err);
	pl_buf_release(&b);
	return st;
}

enum pl_status pl_document_read_related(struct pl_document *d, const struct pl_read_options *o,
    const char *record, size_t len, bool plain_text, struct pl_related *related, struct pl_err *err)
{
	struct pl_kind_input in = {.json_status = PL_REASON_BAD_DOCUMENT, .related = related};
	enum pl_status st = PL_OK;

	clear(d);
	if (plain_text) {
		in.plain = record;
		in.plain_len = len;
	} else {
		st = pl_parse_record(record, len, &d->owned, &in.json_status, err);
	}
	return st == PL_OK ? read_input(d, o, &in, err) : st;
}

enum pl_status pl_document_read_record(struct pl_document *d, const struct pl_read_options *o,
    const char *record, size_t len, bool plain_text, struct pl_err *err)
{
	return pl_document_read_related(d, o, record, len, plain_text, NULL, err);
}

/* Whatever stands there: no other kind has both. */
static bool names_preference(const json_t *v)
{
	return json_object_get(v, "chosen") != NULL && json_object_get(v, "rejected") != NULL;
}

/* The kinds that the JSON alone tells. */
static enum pl_kind kind_of(json_t *v)
{
	if (pl_is_own(v))
		return PL_KIND_DOCUMENT;
	if (names_preference(v))
		return pl_is_preference(v) ? PL_KIND_PREFERENCE : PL_KIND_AUTO;
	if (pl_is_interleaved(v))
		return PL_KIND_INTERLEAVED;
	if (pl_is_in_context(pl_in_context_member(v)))
		return PL_KIND_IN_CONTEXT;
	return pl_is_chat(v) ? PL_KIND_CHAT : PL_KIND_AUTO;
}

enum pl_kind pl_detect_sample(const struct shard_sample *s)
{
	enum pl_reason why;
	enum pl_kind kind = PL_KIND_AUTO;
	json_t *v = NULL;
	bool image = false;

	if (parse_part(s, &v, &why, NULL) != PL_OK) {
		errno = ENOMEM;   /* the only way it fails */
		return PL_KIND_AUTO;
	}
	for (size_t i = 0; i < s->nparts && !image; i++)
		image = strchr(s->parts[i].suffix, '.') == NULL &&
		    shard_image_suffix(s->parts[i].suffix);
	kind = kind_of(v);
	if (kind == PL_KIND_AUTO && !names_preference(v)) {
		if (image)
			kind = PL_KIND_PAIRS;
		else if (pl_json_str(v, "text") != NULL || pl_kind_part(s, "txt") != NULL ||
		    pl_kind_part(s, "text") != NULL)
			kind = PL_KIND_TEXT;
	}
	json_decref(v);
	return kind;
}

enum pl_kind pl_detect_record(const char *record, size_t len, bool plain_text)
{
	enum pl_reason why;
	enum pl_kind kind;
	json_t *v = NULL;

	if (plain_text)
		return PL_KIND_TEXT;
	if (pl_parse_record(record, len, &v, &why, NULL) != PL_OK)
		return PL_KIND_AUTO;
	kind = kind_of(v);
	if (kind == PL_KIND_AUTO && !names_preference(v)) {
		if ((pl_pairs_image_name(v) != NULL || json_object_get(v, "image_id") != NULL) && pl_json_str(v, "caption") != NULL)
			kind = PL_KIND_PAIRS;
		else if (pl_json_str(v, "text") != NULL)
			kind = PL_KIND_TEXT;
	}
	json_decref(v);
	return kind;
}
