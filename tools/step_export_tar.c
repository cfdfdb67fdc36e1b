/* SPDX-License-Identifier: Apache-2.0 */
/* Tars for webdataset, Energon and DALI: the members as they are in the data
 * set, but a pair's picture is KEY.webp (or what it is) with KEY.txt beside it.
 * Energon's other sample types want a JSON of their own, or pairs alone. */
#include "export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX ((size_t)8 << 30)

struct tar_state {
	struct shard_writer *writer;
	struct shard_member *members;
	size_t cap;
	struct pl_buf json, caption, rows;
	uint64_t at;             /* of the next sample in the tar */
};

static unsigned unwanted(enum export_to to)
{
	return (to == EXPORT_ENERGON ? 0U : (unsigned)SHARD_ENERGON) | (to == EXPORT_DALI ? 0U : (unsigned)SHARD_DALI);
}

enum pl_status export_tar_open(struct export_unit *u, struct shard_writer **w, unsigned leave_out, struct pl_err *err)
{
	struct shard_writer_options o = { SHARD_TAR, 0, SHARD_LEVEL_AUTO, leave_out };
	char *target = pl_path_join(u->x->step->dir, u->stem);
	enum pl_status st = target != NULL ? shard_writer_open(w, target, &o, err) : pl_fail_nomem(err);

	free(target);
	return st;
}

enum pl_status export_tar_commit(struct export_unit *u, struct shard_writer *w, unsigned leave_out, struct pl_err *err)
{
	static const struct { const char *ending; unsigned unless; } files[] = { { ".tar", 0 }, { ".tar.idx", SHARD_ENERGON }, { ".idx", SHARD_DALI } };
	struct shard_written written = { 0 };
	struct pl_buf name;
	enum pl_status st = shard_writer_commit(w, &written, err);

	u->account.bytes_out += written.file_bytes;
	pl_buf_init(&name, 0);
	for (size_t i = 0; i < PL_ARRAY_LEN(files) && st == PL_OK; i++) {
		if ((files[i].unless & leave_out) != 0)
			continue;
		pl_buf_clear(&name);
		st = pl_buf_addf(&name, err, "%s%s", u->stem, files[i].ending);
		if (st == PL_OK)
			st = export_add_file(u, (char *)name.data, i == 0, err);
	}
	pl_buf_release(&name);
	return st;
}

static enum pl_status begin(struct export_unit *u, struct pl_err *err)
{
	struct tar_state *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return pl_fail_nomem(err);
	u->state = s;
	pl_buf_init(&s->json, 0);
	pl_buf_init(&s->caption, 0);
	pl_buf_init(&s->rows, ROWS_MAX);
	return export_tar_open(u, &s->writer, unwanted(u->x->step->to), err);
}

static void release(struct export_unit *u)
{
	struct tar_state *s = u->state;

	if (s == NULL)
		return;
	shard_writer_abort(s->writer);
	pl_buf_release(&s->json);
	pl_buf_release(&s->caption);
	pl_buf_release(&s->rows);
	free(s->members);
	free(s);
}

/* The document names its picture by another name now. */
static enum pl_status rename_part(struct tar_state *t, const struct export_sample *s, const char *name, struct pl_err *err)
{
	json_t *segment;
	size_t i;

	json_array_foreach(json_object_get(s->doc, "segments"), i, segment)
		if (export_is_image(segment) && json_object_set_new(segment, "part", json_string(name)) != 0)
			return pl_fail_nomem(err);
	pl_buf_clear(&t->json);
	return pl_json_dump(s->doc, false, &t->json, err);
}

/* Two lists of one length, in each place a text or the name of an image, as Energon's documentation has them. */
static enum pl_status put_sequence(struct tar_state *t, const struct export_sample *s, struct pl_err *err)
{
	json_t *images = json_array(), *texts = json_array(), *both, *segment, *tile;
	size_t i, k;
	bool bad = images == NULL || texts == NULL;
	enum pl_status st;

	json_array_foreach(json_object_get(s->doc, "segments"), i, segment) {
		const char *text = export_text(segment), *part = export_is_image(segment) ? pl_json_str(segment, "part") : NULL;
		const json_t *tiles = part == NULL && text == NULL ? json_object_get(segment, "tiles") : NULL;
		if (text != NULL || part != NULL)
			bad = bad || json_array_append_new(texts, text != NULL ? json_string(text) : json_null()) != 0 ||
			    json_array_append_new(images, part != NULL ? json_string(part) : json_null()) != 0;
		json_array_foreach(tiles, k, tile)
			bad = bad || json_array_append_new(texts, json_null()) != 0 || json_array_append(images, tile) != 0;
	}
	both = bad ? NULL : json_pack("{s:O,s:O}", "images", images, "texts", texts);
	pl_buf_clear(&t->json);
	st = both != NULL ? pl_json_dump(both, false, &t->json, err) : pl_fail_nomem(err);
	json_decref(both);
	json_decref(images);
	json_decref(texts);
	return st;
}

static enum pl_status room(struct tar_state *t, size_t n, struct pl_err *err)
{
	struct shard_member *m;

	if (n <= t->cap)
		return PL_OK;
	m = realloc(t->members, n * sizeof(*m));
	if (m == NULL)
		return pl_fail_nomem(err);
	t->members = m;
	t->cap = n;
	return PL_OK;
}

/* The members of a pair: *n of them. */
static enum pl_status pair_members(struct tar_state *t, const struct export_sample *s, const struct shard_part *image, size_t *n, struct pl_err *err)
{
	const char *dot = strrchr(image->suffix, '.'), *suffix = dot != NULL ? dot + 1 : image->suffix;
	enum pl_status st = rename_part(t, s, suffix, err);

	if (st != PL_OK)
		return st;
	t->members[0] = (struct shard_member){ "json", t->json.data, t->json.len };
	t->members[1] = (struct shard_member){ suffix, image->data, image->len };
	t->members[2] = (struct shard_member){ "txt", t->caption.data, t->caption.len };
	*n = 3;
	return PL_OK;
}

static enum pl_status all_members(struct tar_state *t, const struct export_sample *s, bool sequence, size_t *n, struct pl_err *err)
{
	enum pl_status st = sequence ? put_sequence(t, s, err) : PL_OK;

	*n = 0;
	if (st == PL_OK && sequence)
		t->members[(*n)++] = (struct shard_member){ "json", t->json.data, t->json.len };
	for (size_t i = 0; i < s->raw->nparts && st == PL_OK; i++) {
		const struct shard_part *p = &s->raw->parts[i];
		const char *suffix = sequence && p == s->json ? "document.json" : p->suffix;
		t->members[(*n)++] = (struct shard_member){ suffix, p->data, p->len };
	}
	return st;
}

static enum pl_status sample(struct export_unit *u, const struct export_sample *s, enum pl_reason *why, struct pl_err *err)
{
	const struct export_step *step = u->x->step;
	bool sequence = step->to == EXPORT_ENERGON && step->sample_type == EXPORT_INTERLEAVED;
	bool pairs = step->to == EXPORT_ENERGON && step->sample_type == EXPORT_CAPTIONING;
	struct tar_state *t = u->state;
	const struct shard_part *image = NULL;
	size_t n = 0;
	enum pl_status st = room(t, s->raw->nparts + 2, err);
	bool pair = st == PL_OK && !sequence && export_pair(s, &image, &t->caption, &st, err);

	if (st == PL_OK && pairs && !pair)
		return PL_OK;   /* *why is BAD_DOCUMENT */
	if (st == PL_OK)
		st = pair ? pair_members(t, s, image, &n, err) : all_members(t, s, sequence, &n, err);
	if (st == PL_OK)
		st = shard_writer_add(t->writer, s->raw->key, t->members, n, err);
	if (st == PL_OK && step->to == EXPORT_ENERGON)
		st = export_energon_row(&t->rows, s->raw->key, t->at, t->members, n, &t->at, err);
	*why = PL_REASON_KEEP;
	return st;
}

static enum pl_status commit(struct export_unit *u, struct pl_err *err)
{
	struct tar_state *t = u->state;
	struct shard_writer *w = t->writer;
	unsigned leave_out = unwanted(u->x->step->to);
	struct pl_buf name, path;
	enum pl_status st = PL_OK;

	pl_buf_init(&name, 0);
	pl_buf_init(&path, 0);
	if (u->x->step->to == EXPORT_ENERGON) {
		st = pl_buf_addf(&name, err, ".plait/%s.rows", u->stem);
		if (st == PL_OK)
			st = pl_buf_addf(&path, err, "%s/%s", u->x->step->dir, (char *)name.data);
		if (st == PL_OK)
			st = pl_file_write((char *)path.data, t->rows.data, t->rows.len, err);
	}
	if (st == PL_OK) {
		t->writer = NULL;
		st = export_tar_commit(u, w, leave_out, err);
	}
	if (st == PL_OK && name.len > 0)
		st = export_add_file(u, (char *)name.data, false, err);
	pl_buf_release(&name);
	pl_buf_release(&path);
	return st;
}

const struct export_format export_webdataset = { begin, sample, commit, release, export_write_sizes };
const struct export_format export_energon = { begin, sample, commit, release, export_energon_finish };
const struct export_format export_dali = { begin, sample, commit, release, NULL };
