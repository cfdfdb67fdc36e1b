/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation on its way to becoming a document: turns in order, and the
 * images that the record names. What chat, preference, in-context and question
 * records have in common. Internal to this room. */
#ifndef PL_CORPUS_TURNS_H
#define PL_CORPUS_TURNS_H

#include "kinds.h"

struct pl_turn {
	enum pl_role role;
	enum pl_branch branch;
	bool literal;           /* markers in it mean nothing, and it has no image parts */
	bool mute;              /* not trained on, whatever its role */
	const char *text;       /* len bytes of a terminated string; NULL when there are items */
	size_t len;
	const json_t *items;    /* content given as a list of parts */
	size_t opens;           /* how many of the images stand at its front; for records without markers */
};

struct pl_turns {
	struct pl_kind_build b;
	const struct pl_kind_input *in;
	struct pl_turn *turns;
	size_t nturns, turn_cap;
	struct pl_doc_image *images;   /* in the order the record names them */
	size_t nimages, image_cap;
	size_t top;             /* of these, how many are named outside the messages */
	size_t markers;
	size_t next;            /* image that the next position shows */
};

/* All of these: bad content rejects the document and is PL_OK. */
PL_MUST_CHECK enum pl_status pl_turns_push(struct pl_turns *c, const struct pl_turn *t, struct pl_err *err);
/* text must be a string. */
PL_MUST_CHECK enum pl_status pl_turns_push_string(struct pl_turns *c, enum pl_role role, const json_t *text, struct pl_err *err);
/* {"from", "value"} or {"role", "content"}; and a list of them, in any mixture. */
PL_MUST_CHECK enum pl_status pl_turns_push_message(struct pl_turns *c, const json_t *m, struct pl_err *err);
/* A turn whose text is v written as JSON: tool descriptions, tool calls. */
PL_MUST_CHECK enum pl_status pl_turns_push_json(struct pl_turns *c, enum pl_role role, bool literal, const json_t *v, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_turns_push_messages(struct pl_turns *c, const json_t *messages, struct pl_err *err);
/* An image by name, "data:" URL included. */
PL_MUST_CHECK enum pl_status pl_turns_push_image(struct pl_turns *c, const char *name, size_t len, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_turns_add_image(struct pl_turns *c, const struct pl_doc_image *image, struct pl_err *err);
/* "image" or "images" of a record: a name or a list of names; null, "" and [] are none. */
PL_MUST_CHECK enum pl_status pl_turns_push_named(struct pl_turns *c, const json_t *v, struct pl_err *err);
/* Match images with their places and make the segments: markers must equal images where there are any. A document that
 * was rejected before stays as it is. */
PL_MUST_CHECK enum pl_status pl_turns_finish(struct pl_turns *c, struct pl_err *err);

/* Is it an array of messages? */
bool pl_is_messages(const json_t *v);

#endif
