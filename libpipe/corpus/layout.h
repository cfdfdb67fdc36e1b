/* SPDX-License-Identifier: Apache-2.0 */
/* What a .json file that is one object holds: COCO's lists, MIMIC-IT's "data".
 * Its records are then the elements of a member. Internal to this room. */
#ifndef PL_CORPUS_LAYOUT_H
#define PL_CORPUS_LAYOUT_H

#include "libpipe/base/err.h"

enum pl_layout_kind {
	PL_LAYOUT_PLAIN,        /* records one after another, or an array of them */
	PL_LAYOUT_DATA,         /* MIMIC-IT: {"data": {ID: record}} */
	PL_LAYOUT_COCO,         /* {"images": [...], "annotations": [...]} */
	PL_LAYOUT_QUESTIONS,    /* VQA: {"questions": [...]}, perhaps with "annotations" */
	PL_LAYOUT_ANSWERS       /* VQA: {"annotations": [...]} */
};

enum { PL_LAYOUT_MEMBERS = 32, PL_LAYOUT_NAME = 32, PL_LAYOUT_SET = 64 };
struct pl_layout_member {
	char name[PL_LAYOUT_NAME];
	char first;             /* first byte of the value: [ { " or another */
	uint64_t offset;        /* of that byte in the uncompressed stream */
};
struct pl_layout {
	enum pl_layout_kind kind;
	bool complete;          /* the object ends before the file does */
	size_t nmembers;        /* more than PL_LAYOUT_MEMBERS, or longer names, are not noted */
	struct pl_layout_member members[PL_LAYOUT_MEMBERS];
	char image_set[PL_LAYOUT_SET];   /* "data_subtype"; "" = none */
};

/* Look through the first value of the file, in one pass and without keeping any of it. A file that cannot be read to the end of
 * that value, for damage, is judged by what came before. */
PL_MUST_CHECK enum pl_status pl_layout_read(const char *path, struct pl_layout *out, struct pl_err *err);
/* The list or object of that name; NULL = none. */
const struct pl_layout_member *pl_layout_member(const struct pl_layout *l, const char *name);

#endif
