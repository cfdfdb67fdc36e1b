/* SPDX-License-Identifier: Apache-2.0 */
/* OpenFlamingo's documents: MMC4's shape with the images in it as base64. Its
 * loader assigns images to sentences anew, keeps them in the order of the list
 * and writes their markers in the order of the sentences: so each image has a
 * sentence of its own here (an empty one where it has none), the similarity of
 * just these pairs is 1, and the list is in the order of the text. */
#include "export.h"
#include "libpipe/corpus/base64.h"

#include <stdlib.h>
#include <string.h>

/* base64 of images makes a document a third larger. */
#define DOCUMENT_MAX ((size_t)2 << 30)

static const char *const marks[] = { "<image>", "<|endofchunk|>", NULL };

struct flamingo_state {
	struct shard_writer *writer;
	struct pl_buf json, words;
};

/* A document under way. */
struct flamingo_doc {
	json_t *texts, *infos, *matched;   /* matched: the sentence of each image */
	size_t pending;                    /* images that wait for theirs */
};

static enum pl_status begin(struct export_unit *u, struct pl_err *err)
{
	struct flamingo_state *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return pl_fail_nomem(err);
	u->state = s;
	pl_buf_init(&s->json, DOCUMENT_MAX);
	pl_buf_init(&s->words, 0);
	return export_tar_open(u, &s->writer, SHARD_ENERGON | SHARD_DALI, err);
}

static void release(struct export_unit *u)
{
	struct flamingo_state *s = u->state;

	if (s == NULL)
		return;
	shard_writer_abort(s->writer);
	pl_buf_release(&s->json);
	pl_buf_release(&s->words);
	free(s);
}

/* The next sentence; an image that waits is matched with it. */
static bool add_text(struct flamingo_doc *d, const char *text)
{
	if (d->pending > 0) {
		d->pending--;
		if (json_array_append_new(d->matched, json_integer((json_int_t)json_array_size(d->texts))) != 0)
			return false;
	}
	return json_array_append_new(d->texts, json_string(text)) == 0;
}

/* All images that wait but the last `but` get empty sentences. */
static bool settle(struct flamingo_doc *d, size_t but)
{
	bool fine = true;

	while (fine && d->pending > but)
		fine = add_text(d, "");
	return fine;
}

static bool add_image(struct flamingo_doc *d, const char *key, const struct shard_part *p)
{
	char *text = malloc((p->len + 2) / 3 * 4 + 1);
	json_t *info;

	if (text == NULL)
		return false;
	pl_base64_encode(p->data, p->len, text);
	info = json_pack("{s:o,s:s}", "image_name", json_sprintf("%s.%s", key, p->suffix), "image_base64", text);
	free(text);
	d->pending++;
	return info != NULL && json_array_append_new(d->infos, info) == 0;
}

static enum pl_status add_segment(struct flamingo_state *f, struct flamingo_doc *d, const struct export_sample *s, const json_t *segment,
    struct pl_err *err)
{
	const char *text = export_text(segment);
	bool fine = true;
	json_t *tile;
	size_t i;
	enum pl_status st = PL_OK;

	if (text != NULL) {
		pl_buf_clear(&f->words);
		st = export_put_words(&f->words, text, marks, err);
		if (st == PL_OK && f->words.len > 0)
			fine = settle(d, 1) && add_text(d, (char *)f->words.data);
	} else if (export_part(s, pl_json_str(segment, "part")) != NULL) {
		fine = add_image(d, s->raw->key, export_part(s, pl_json_str(segment, "part")));
	} else {
		json_array_foreach(json_object_get(segment, "tiles"), i, tile) {
			const struct shard_part *p = export_part(s, json_string_value(tile));
			fine = fine && (p == NULL || add_image(d, s->raw->key, p));
		}
	}
	return st == PL_OK && !fine ? pl_fail_nomem(err) : st;
}

/* image_info's numbers, and the matrix that says the same. */
static bool settle_matches(struct flamingo_doc *d, json_t *matrix)
{
	json_t *info;
	size_t i;

	json_array_foreach(d->infos, i, info) {
		json_int_t at = json_integer_value(json_array_get(d->matched, i));
		json_t *row = json_array();
		bool fine = row != NULL && json_object_set_new(info, "matched_text_index", json_integer(at)) == 0 &&
		    json_object_set_new(info, "matched_sim", json_real(1.0)) == 0;
		for (size_t k = 0; fine && k < json_array_size(d->texts); k++)
			fine = json_array_append_new(row, json_real((json_int_t)k == at ? 1.0 : 0.0)) == 0;
		if (!fine) {
			json_decref(row);
			return false;
		}
		if (json_array_append_new(matrix, row) != 0)
			return false;
	}
	return true;
}

static enum pl_status put_document(struct flamingo_state *f, struct flamingo_doc *d, const struct export_sample *s, struct pl_err *err)
{
	json_t *matrix = json_array(), *all = NULL;
	enum pl_status st = PL_OK;

	if (matrix == NULL || !settle(d, 0) || !settle_matches(d, matrix) ||
	    (all = json_pack("{s:O,s:O,s:O,s:s}", "text_list", d->texts, "image_info", d->infos, "similarity_matrix", matrix, "key", s->raw->key)) == NULL)
		st = pl_fail_nomem(err);
	pl_buf_clear(&f->json);
	if (st == PL_OK)
		st = pl_json_dump(all, false, &f->json, err);
	json_decref(all);
	json_decref(matrix);
	return st;
}

static enum pl_status sample(struct export_unit *u, const struct export_sample *s, enum pl_reason *why, struct pl_err *err)
{
	struct flamingo_state *f = u->state;
	struct flamingo_doc d = { json_array(), json_array(), json_array(), 0 };
	struct shard_member member = { "json", NULL, 0 };
	json_t *segment;
	size_t i;
	enum pl_status st = d.texts == NULL || d.infos == NULL || d.matched == NULL ? pl_fail_nomem(err) : PL_OK;

	json_array_foreach(json_object_get(s->doc, "segments"), i, segment) {
		/* a conversation's other answer is no part of this one */
		const char *branch = pl_json_str(segment, "branch");
		if (st == PL_OK && (branch == NULL || strcmp(branch, "rejected") != 0))
			st = add_segment(f, &d, s, segment, err);
	}
	*why = json_array_size(d.infos) == 0 ? PL_REASON_NO_IMAGE : json_array_size(d.texts) == 0 ? PL_REASON_NO_TEXT : PL_REASON_KEEP;
	if (st == PL_OK && *why == PL_REASON_KEEP)
		st = put_document(f, &d, s, err);
	if (st == PL_ERR_LIMIT) {
		*why = PL_REASON_TOO_LARGE;
		st = PL_OK;
	} else if (st == PL_OK && *why == PL_REASON_KEEP) {
		member.data = f->json.data;
		member.len = f->json.len;
		st = shard_writer_add(f->writer, s->raw->key, &member, 1, err);
	}
	json_decref(d.texts);
	json_decref(d.infos);
	json_decref(d.matched);
	return st;
}

static enum pl_status commit(struct export_unit *u, struct pl_err *err)
{
	struct flamingo_state *f = u->state;
	struct shard_writer *w = f->writer;

	f->writer = NULL;
	return export_tar_commit(u, w, SHARD_ENERGON | SHARD_DALI, err);
}

const struct export_format export_openflamingo = { begin, sample, commit, release, export_write_sizes };
