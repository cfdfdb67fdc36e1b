/* SPDX-License-Identifier: Apache-2.0 */
/* MosaicML's MDS: one schema for the whole data set. `document` is the
 * sample's JSON; `text` its words; `image` the picture where each sample has
 * one, else `images` the list of them, in the order that the document names
 * them. Pictures are files of any format in a column of encoding jpeg, which
 * Streaming opens by what the bytes are. */
#include "export.h"
#include "shards/mds.h"

#include <stdlib.h>
#include <string.h>

enum { DOCUMENT, IMAGES, KEY, WORDS, COLUMNS };

struct mds_state {
	struct shard_mds_writer *writer;
	struct shard_mds_column columns[COLUMNS];
	char names[COLUMNS][12], encodings[COLUMNS][12];
	struct shard_mds_value *pictures;
	size_t cap;
	struct pl_buf list, text;
};

static void set_column(struct mds_state *s, int i, const char *name, const char *encoding)
{
	memcpy(s->names[i], name, strlen(name) + 1);
	memcpy(s->encodings[i], encoding, strlen(encoding) + 1);
	s->columns[i] = (struct shard_mds_column){ s->names[i], s->encodings[i], 0 };
}

static enum pl_status begin(struct export_unit *u, struct pl_err *err)
{
	const struct export_step *step = u->x->step;
	struct mds_state *s = calloc(1, sizeof(*s));
	struct shard_mds_writer_options o = { .ncolumns = COLUMNS, .zstd = step->zstd, .size_limit = step->size_limit };
	struct pl_buf prefix;
	enum pl_status st;

	if (s == NULL)
		return pl_fail_nomem(err);
	u->state = s;
	pl_buf_init(&s->list, (size_t)UINT32_MAX);
	pl_buf_init(&s->text, 0);
	set_column(s, DOCUMENT, "document", "json");
	set_column(s, IMAGES, u->x->one_image ? "image" : "images", u->x->one_image ? "jpeg" : "list[jpeg]");
	set_column(s, KEY, "key", "str");
	set_column(s, WORDS, "text", "str");
	o.columns = s->columns;
	pl_buf_init(&prefix, 0);
	st = pl_buf_addf(&prefix, err, "shard.%s", u->stem);
	if (st == PL_OK)
		st = shard_mds_writer_open(&s->writer, step->dir, (char *)prefix.data, &o, err);
	pl_buf_release(&prefix);
	return st;
}

static void release(struct export_unit *u)
{
	struct mds_state *s = u->state;

	if (s == NULL)
		return;
	shard_mds_writer_free(s->writer);
	pl_buf_release(&s->list);
	pl_buf_release(&s->text);
	free(s->pictures);
	free(s);
}

/* The words of all segments, a line each. */
static enum pl_status put_words(struct mds_state *m, const json_t *doc, struct pl_err *err)
{
	json_t *segment;
	size_t i;
	enum pl_status st = PL_OK;

	pl_buf_clear(&m->text);
	json_array_foreach(json_object_get(doc, "segments"), i, segment) {
		const char *text = export_text(segment);
		if (text == NULL || st != PL_OK)
			continue;
		if (m->text.len > 0)
			st = pl_buf_adds(&m->text, "\n", err);
		if (st == PL_OK)
			st = pl_buf_adds(&m->text, text, err);
	}
	return st;
}

/* All parts but the document, which are in the order that it names them. */
static enum pl_status take_pictures(struct mds_state *m, const struct export_sample *s, size_t *n, struct pl_err *err)
{
	if (s->raw->nparts > m->cap) {
		struct shard_mds_value *p = realloc(m->pictures, s->raw->nparts * sizeof(*p));
		if (p == NULL)
			return pl_fail_nomem(err);
		m->pictures = p;
		m->cap = s->raw->nparts;
	}
	*n = 0;
	for (size_t i = 0; i < s->raw->nparts; i++)
		if (&s->raw->parts[i] != s->json)
			m->pictures[(*n)++] = (struct shard_mds_value){ s->raw->parts[i].data, s->raw->parts[i].len };
	return PL_OK;
}

static enum pl_status sample(struct export_unit *u, const struct export_sample *s, enum pl_reason *why, struct pl_err *err)
{
	struct mds_state *m = u->state;
	struct shard_mds_value values[COLUMNS];
	size_t n = 0;
	enum pl_status st = take_pictures(m, s, &n, err);

	if (st == PL_OK && u->x->one_image && n != 1)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, u->x->step->dataset,
		    "sample '%s' has %zu images: give --images list, for a column of lists", s->raw->key, n);
	if (st == PL_OK)
		st = put_words(m, s->doc, err);
	pl_buf_clear(&m->list);
	if (st == PL_OK && !u->x->one_image)
		st = shard_mds_put_list(&m->list, m->pictures, n, err);
	if (st != PL_OK)
		return st;
	values[DOCUMENT] = (struct shard_mds_value){ s->json->data, s->json->len };
	values[IMAGES] = u->x->one_image ? m->pictures[0] : (struct shard_mds_value){ m->list.data, m->list.len };
	values[KEY] = (struct shard_mds_value){ (const uint8_t *)s->raw->key, strlen(s->raw->key) };
	values[WORDS] = (struct shard_mds_value){ m->text.data, m->text.len };
	st = shard_mds_writer_add(m->writer, values, err);
	if (st == PL_ERR_LIMIT) {
		*why = PL_REASON_TOO_LARGE;
		return PL_OK;
	}
	*why = PL_REASON_KEEP;
	return st;
}

static enum pl_status commit(struct export_unit *u, struct pl_err *err)
{
	struct mds_state *m = u->state;
	const char *entries, *names;
	uint64_t bytes;
	char *name, *end;
	enum pl_status st = shard_mds_writer_commit(m->writer, &entries, &names, &bytes, err);

	if (st != PL_OK)
		return st;
	u->account.bytes_out += bytes;
	if (json_object_set_new(u->description, "entries", json_string(entries)) != 0)
		return pl_fail_nomem(err);
	while (st == PL_OK && (end = strchr(names, '\n')) != NULL) {
		name = strndup(names, (size_t)(end - names));
		st = name != NULL ? export_add_file(u, name, true, err) : pl_fail_nomem(err);
		free(name);
		names = end + 1;
	}
	return st;
}

static enum pl_status finish(struct export *x, const json_t *units, struct pl_err *err)
{
	struct pl_buf text;
	json_t *unit;
	size_t i;
	bool any = false;
	enum pl_status st;

	pl_buf_init(&text, (size_t)4 << 30);
	st = pl_buf_adds(&text, "{\"shards\":[", err);
	json_array_foreach(units, i, unit) {
		const char *entries = pl_json_str(unit, "entries");
		if (entries == NULL || entries[0] == '\0' || st != PL_OK)
			continue;
		st = pl_buf_adds(&text, any ? ",\n" : "\n", err);
		if (st == PL_OK)
			st = pl_buf_adds(&text, entries, err);
		any = true;
	}
	if (st == PL_OK)
		st = pl_buf_adds(&text, "\n],\"version\":2}\n", err);
	if (st == PL_OK)
		st = export_write(x, "index.json", text.data, text.len, err);
	pl_buf_release(&text);
	return st;
}

const struct export_format export_mds = { begin, sample, commit, release, finish };
