/* SPDX-License-Identifier: Apache-2.0 */
/* Internals of the export step: a unit of work is one shard of the data set,
 * and a format says what is made of it, and of all of them at the end. */
#ifndef TOOLS_EXPORT_H
#define TOOLS_EXPORT_H

#include "libpipe/base/buf.h"
#include "shards/tar_read.h"
#include "shards/writer.h"
#include "steps.h"

struct export_format;
struct export {
	struct tool *tool;
	const struct export_step *step;
	const struct export_format *format;
	json_t *dataset, *shards;        /* dataset.json, and the list in it */
	bool one_image;                  /* MDS: every sample has a single image, in a column of its own */
	json_t *units;                   /* descriptions of those this rank made or found */
};

struct export_unit {
	struct export *x;
	const char *stem;                /* of the shard's name: "000000" */
	struct pl_account account;
	struct pl_names outputs;         /* relative to the directory: what the content record knows */
	json_t *description;             /* "files": outputs to be announced, "samples", and what the format's finish wants to know */
	void *state;                     /* of the format */
};

/* A sample and its document. */
struct export_sample {
	const struct shard_sample *raw;
	const struct shard_part *json;   /* the member "json" */
	json_t *doc;
};

struct export_format {
	/* Start a unit: set u->state. */
	enum pl_status (*begin)(struct export_unit *u, struct pl_err *err);
	/* *why: KEEP, it was written; else why this format has no place for it. */
	enum pl_status (*sample)(struct export_unit *u, const struct export_sample *s, enum pl_reason *why, struct pl_err *err);
	/* Finish the unit's files and name them. */
	enum pl_status (*commit)(struct export_unit *u, struct pl_err *err);
	/* Release u->state; what is not committed goes. Works when begin failed. */
	void (*release)(struct export_unit *u);
	/* Rank 0: the files of the whole, from the descriptions of all units in order. NULL = none. */
	enum pl_status (*finish)(struct export *x, const json_t *units, struct pl_err *err);
};
extern const struct export_format export_webdataset, export_energon, export_dali, export_mds, export_llava, export_openflamingo;

/* Name a file of the unit; announced ones are printed when the unit is done. */
PL_MUST_CHECK enum pl_status export_add_file(struct export_unit *u, const char *name, bool announced, struct pl_err *err);
/* Write DIR/name and announce it. Rank 0. */
PL_MUST_CHECK enum pl_status export_write(struct export *x, const char *name, const void *data, size_t len, struct pl_err *err);
/* {"000000.tar":12,...}: sizes.json for loaders that count by it. Rank 0. */
PL_MUST_CHECK enum pl_status export_write_sizes(struct export *x, const json_t *units, struct pl_err *err);

/* ---- documents ---- */

/* The part that an image segment, or one of its tiles, names; NULL = there is none. */
const struct shard_part *export_part(const struct export_sample *s, const char *name);
static inline bool export_is_image(const json_t *segment)
{
	const char *type = pl_json_str(segment, "type");
	return type != NULL && strcmp(type, "image") == 0;
}
static inline const char *export_text(const json_t *segment)
{
	return export_is_image(segment) ? NULL : pl_json_str(segment, "text");
}
/* A pair of one image and a caption: *image its part, and the text that is trained on appended to caption. false: it is no such pair. */
bool export_pair(const struct export_sample *s, const struct shard_part **image, struct pl_buf *caption, enum pl_status *st, struct pl_err *err);
/* Append s with each of the NULL-terminated marks broken up by a blank behind its first character, so that words are no markers. */
PL_MUST_CHECK enum pl_status export_put_words(struct pl_buf *out, const char *s, const char *const *marks, struct pl_err *err);

/* ---- tar, which three formats and OpenFlamingo's share ---- */

/* The tar of a unit, without the index files named in leave_out. */
PL_MUST_CHECK enum pl_status export_tar_open(struct export_unit *u, struct shard_writer **w, unsigned leave_out, struct pl_err *err);
PL_MUST_CHECK enum pl_status export_tar_commit(struct export_unit *u, struct shard_writer *w, unsigned leave_out, struct pl_err *err);

/* Energon's directory .nv-meta, from the rows that units left. Rank 0. */
PL_MUST_CHECK enum pl_status export_energon_finish(struct export *x, const json_t *units, struct pl_err *err);
/* One sample of the index: member i of n begins at offsets[i], its data are lengths[i] long. */
PL_MUST_CHECK enum pl_status export_energon_row(struct pl_buf *rows, const char *key, uint64_t offset, const struct shard_member *members,
    size_t n, uint64_t *next, struct pl_err *err);

#endif
