/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of the source kinds share: the input they all get, and the
 * building of a document out of it. Internal to this room. */
#ifndef PL_CORPUS_KINDS_H
#define PL_CORPUS_KINDS_H

#include "document.h"

/* One sample or record, its JSON already parsed (into d->owned). */
struct pl_kind_input {
	const struct shard_sample *sample; /* NULL: a record */
	const json_t *json;                /* NULL: none; json_status says why */
	enum pl_reason json_status;        /* KEEP; NOT_A_SAMPLE: no JSON; else what is wrong */
	const char *plain;                 /* a line of plain text, not terminated; NULL: none */
	size_t plain_len;
	struct pl_related *related;        /* NULL: none */
};

/* The readers: bad content becomes d->status, the return is PL_OK, PL_ERR_NOMEM or PL_ERR_LIMIT. */
PL_MUST_CHECK enum pl_status pl_read_pairs(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_read_interleaved(struct pl_document *d,
    const struct pl_read_options *o, const struct pl_kind_input *in, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_read_chat(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_read_text(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, struct pl_err *err);

PL_MUST_CHECK enum pl_status pl_read_preference(struct pl_document *d,
    const struct pl_read_options *o, const struct pl_kind_input *in, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_read_in_context(struct pl_document *d,
    const struct pl_read_options *o, const struct pl_kind_input *in, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_read_own(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, struct pl_err *err);

/* Does v have the members this kind is told by? */
bool pl_is_preference(const json_t *v);
bool pl_is_in_context(const json_t *v);
bool pl_is_interleaved(const json_t *v);
bool pl_is_chat(const json_t *v);
bool pl_is_own(const json_t *v);
/* The image a pairs record names ("image", "image_path" or "file_name"), or NULL. */
const char *pl_pairs_image_name(const json_t *v);

/* Set the status, unless an earlier reason stands; returns PL_OK, to be returned. */
enum pl_status pl_kind_reject(struct pl_document *d, enum pl_reason why);

/* The JSON of a record, *why KEEP, or why it is none. A member of MIMIC-IT's "data" comes as its text is, "ID": {...}: that becomes
 * {"ID": {...}}. *out is the caller's. */
PL_MUST_CHECK enum pl_status pl_parse_record(const char *record, size_t len, json_t **out, enum pl_reason *why, struct pl_err *err);
/* What stands in {"ID": {...}}, now with its "id"; else v itself. Borrowed from v. */
json_t *pl_in_context_member(json_t *v);

/* json lives as long as the document from now on, also when this fails. */
PL_MUST_CHECK enum pl_status pl_kind_keep(struct pl_document *d, json_t *json, struct pl_err *err);

/* Zeroed memory that lives as long as the document. */
PL_MUST_CHECK enum pl_status pl_kind_alloc(struct pl_document *d, size_t size, void **p,
    struct pl_err *err);
/* NUL-terminated copy of s[len] without a byte order mark; *text NULL and d rejected when it is not
 * UTF-8. */
PL_MUST_CHECK enum pl_status pl_kind_copy_text(struct pl_document *d, const char *s, size_t len,
    const char **text, size_t *text_len, struct pl_err *err);
/* The same for a part of a sample; a part that was cut or too large rejects d. */
PL_MUST_CHECK enum pl_status pl_kind_part_text(struct pl_document *d, const struct shard_part *p,
    const char **text, size_t *text_len, struct pl_err *err);

/* Growing segments and images of d. */
struct pl_kind_build {
	struct pl_document *d;
	size_t segment_cap, image_cap;
};
struct pl_kind_place {
	enum pl_role role;
	uint32_t turn;
	bool loss;
	enum pl_branch branch;
};
/* Append text[len] as it is; nothing for blank text. text lies in a NUL-terminated string that
 * lives as long as d. A NUL byte inside rejects d with BAD_UTF8. */
PL_MUST_CHECK enum pl_status pl_kind_add_text(struct pl_kind_build *b, struct pl_kind_place at,
    const char *text, size_t len, struct pl_err *err);
/* Append a copy of *image and its segment. */
PL_MUST_CHECK enum pl_status pl_kind_add_image(struct pl_kind_build *b, struct pl_kind_place at,
    const struct pl_doc_image *image, struct pl_err *err);

/* An image that is named only: NOWHERE, MISSING_IMAGE. */
struct pl_doc_image pl_kind_named_image(const char *name);
/* The image in part p, called name. */
struct pl_doc_image pl_kind_part_image(const char *name, const struct shard_part *p);
/* Make *image EMBEDDED with the bytes of base64 text[len]. */
PL_MUST_CHECK enum pl_status pl_kind_embed(struct pl_document *d, const char *text, size_t len,
    struct pl_doc_image *image, struct pl_err *err);
/* A similarity a document gives: NAN when it is no number or none a float holds. */
float pl_kind_similarity(const json_t *v);

/* The part with exactly this (lower-case) suffix, or NULL. */
const struct shard_part *pl_kind_part(const struct shard_sample *s, const char *suffix);

/* Finding parts by the names documents give them, without comparing every image with every part. */
struct pl_part_index {
	struct pl_part_entry *entries;
	size_t n;
};
PL_MUST_CHECK enum pl_status pl_part_index_make(struct pl_part_index *x, struct pl_document *d,
    const struct shard_sample *s, struct pl_err *err);
/* The part whose suffix or base name equals name or its base name, ASCII case ignored; NULL when
 * none does. */
const struct shard_part *pl_part_index_find(const struct pl_part_index *x, const char *name);

/* White space of Unicode: bytes of the code point at s[left) resp. ending s[len), 0 when it is
 * none. */
size_t pl_space_at(const char *s, size_t left);
size_t pl_space_before(const char *s, size_t len);
/* Drop white space at the front and at the end. */
void pl_trim_front(const char **s, size_t *len);
void pl_trim_back(const char *s, size_t *len);

#endif
