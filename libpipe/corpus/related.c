/* SPDX-License-Identifier: Apache-2.0 */
/* The table of places: hash of an id, where its record stands; sorted, so that a
 * lookup is a search by halves in a mapped file. What is read is held to the
 * id, so that two ids of one hash are two. */
#include "related.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.h"
#include "libpipe/base/hash.h"
#include "records.h"
#include "shards/bytes.h"

struct place { uint64_t hash, offset, length; };
static const struct pl_npy_col place_cols[] = {
	{ "hash", PL_NPY_U64, 1, 0 },
	{ "offset", PL_NPY_U64, 1, 8 },
	{ "length", PL_NPY_U64, 1, 16 },
};

/* Which records are looked up, in which file, by which field. */
struct target { const char *path, *part, *field; };

struct pl_related {
	struct pl_npy table;            /* where the places are mapped */
	struct place *own;              /* where they are not */
	const struct place *places;
	uint64_t nplaces;
	struct shard_bytes *bytes;
	struct target target;
	char *path;
	char image_set[PL_LAYOUT_SET];
	struct pl_buf record;
};

bool pl_related_id(const json_t *v, char id[PL_RELATED_ID])
{
	if (json_is_integer(v)) {
		snprintf(id, PL_RELATED_ID, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		return true;
	}
	if (!json_is_string(v) || json_string_length(v) >= PL_RELATED_ID ||
	    strlen(json_string_value(v)) != json_string_length(v))
		return false;
	memcpy(id, json_string_value(v), json_string_length(v) + 1);
	return true;
}

static struct target target_of(const char *path, const struct pl_source *s)
{
	struct target t = {.path = path};

	switch (s->read.kind) {
	case PL_KIND_IN_CONTEXT:
		t.part = "data";
		t.field = "id";
		break;
	case PL_KIND_PAIRS:
		t.part = s->read.captions_per_image == PL_CAPTIONS_EACH ? "images" : "annotations";
		t.field = s->read.captions_per_image == PL_CAPTIONS_EACH ? "id" : "image_id";
		break;
	case PL_KIND_CHAT:
		t.path = s->answers != NULL ? s->answers : path;
		t.part = "annotations";
		t.field = "question_id";
		break;
	case PL_KIND_AUTO:
	case PL_KIND_INTERLEAVED:
	case PL_KIND_TEXT:
	case PL_KIND_PREFERENCE:
	case PL_KIND_DOCUMENT:
		break;
	}
	return t;
}

static enum pl_status chat_needs(const char *path, const struct pl_source *s, const struct pl_layout *l, bool *needed,
    struct pl_err *err)
{
	*needed = s->answers != NULL || (l->kind == PL_LAYOUT_QUESTIONS && pl_layout_member(l, "annotations") != NULL);
	if (l->kind == PL_LAYOUT_QUESTIONS && !*needed)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_SHARD, path,
		    "its questions have no annotations beside them; name the file that has their answers: --answers, or 'answers' of the source");
	return PL_OK;
}

enum pl_status pl_related_needed(const char *path, const struct pl_source *s, bool *needed, char image_set[PL_LAYOUT_SET],
    struct pl_err *err)
{
	struct pl_records *r = NULL;
	enum pl_status st;

	*needed = false;
	image_set[0] = '\0';
	if (strcmp(path, "-") == 0 || !pl_records_name(path) || target_of(path, s).field == NULL)
		return PL_OK;
	st = pl_records_open(&r, path, PL_RECORD_MAX, err);
	if (st != PL_OK)
		return st;
	memcpy(image_set, pl_records_layout(r)->image_set, PL_LAYOUT_SET);
	if (s->read.kind == PL_KIND_IN_CONTEXT)
		*needed = true;
	else if (s->read.kind == PL_KIND_PAIRS)
		*needed = pl_records_layout(r)->kind == PL_LAYOUT_COCO;
	else
		st = chat_needs(path, s, pl_records_layout(r), needed, err);
	pl_records_close(r);
	return st;
}

/* ---- making the table ---- */

struct places { struct place *items; size_t n, cap; };

static enum pl_status add_place(struct places *p, const struct place *one, const char *path, struct pl_err *err)
{
	size_t cap = p->cap != 0 ? p->cap * 2 : 1024;
	struct place *items;

	if (p->n == PL_RELATED_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_SHARD, path, "more than %llu records that others can refer to; split the file",
		    (unsigned long long)PL_RELATED_MAX);
	if (p->n == p->cap) {
		items = realloc(p->items, cap * sizeof(*items));
		if (items == NULL)
			return pl_fail_nomem(err);
		p->items = items;
		p->cap = cap;
	}
	p->items[p->n++] = *one;
	return PL_OK;
}

static int compare_places(const void *pa, const void *pb)
{
	const struct place *a = pa, *b = pb;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return (a->offset > b->offset) - (a->offset < b->offset);
}

/* The record's id by the field; *v, which the caller owns, is the record. */
static enum pl_status identify(const char *text, size_t len, const char *field, json_t **v, char id[PL_RELATED_ID], struct pl_err *err)
{
	enum pl_reason why;
	enum pl_status st = pl_parse_record(text, len, v, &why, err);
	const json_t *record;

	id[0] = '\0';
	if (st != PL_OK || *v == NULL)
		return st;
	record = strcmp(field, "id") == 0 ? pl_in_context_member(*v) : *v;
	if (!pl_related_id(json_object_get(record, field), id))
		id[0] = '\0';
	return PL_OK;
}

static enum pl_status collect(const struct target *t, struct places *p, enum pl_status (*poll)(void *ctx, struct pl_err *err),
    void *poll_ctx, struct pl_err *err)
{
	struct pl_records *r = NULL;
	struct pl_record_text text;
	enum pl_status st = pl_records_open_part(&r, t->path, t->part, PL_RECORD_MAX, err), read = PL_END;
	struct pl_err damage;

	while (st == PL_OK && (read = pl_records_next(r, &text, &damage)) == PL_OK) {
		struct place one = {.offset = text.offset, .length = text.len};
		char id[PL_RELATED_ID];
		json_t *v = NULL;
		if (poll != NULL && (st = poll(poll_ctx, err)) != PL_OK)
			break;
		if (text.too_large)
			continue;
		st = identify(text.text, text.len, t->field, &v, id, err);
		json_decref(v);
		if (st != PL_OK || id[0] == '\0')
			continue;
		one.hash = pl_hash64(id, strlen(id));
		st = add_place(p, &one, t->path, err);
	}
	pl_records_close(r);
	if (st == PL_OK && read != PL_END && read != PL_ERR_TRUNCATED && read != PL_ERR_INVALID) {
		if (err != NULL)
			*err = damage;
		return read;
	}
	return st;
}

static enum pl_status collect_sorted(const struct target *t, struct places *p, enum pl_status (*poll)(void *ctx, struct pl_err *err),
    void *poll_ctx, struct pl_err *err)
{
	enum pl_status st = collect(t, p, poll, poll_ctx, err);

	if (st == PL_OK && p->n > 0)
		qsort(p->items, p->n, sizeof(*p->items), compare_places);
	return st;
}

enum pl_status pl_related_build(const char *path, const struct pl_source *s, const char *table,
    enum pl_status (*poll)(void *ctx, struct pl_err *err), void *poll_ctx, struct pl_err *err)
{
	struct target t = target_of(path, s);
	struct pl_npy_writer w = {0};
	struct places p = {0};
	enum pl_status st = collect_sorted(&t, &p, poll, poll_ctx, err);

	if (st == PL_OK)
		st = pl_npy_create(&w, table, place_cols, PL_ARRAY_LEN(place_cols), sizeof(struct place), err);
	if (st == PL_OK)
		st = pl_npy_append(&w, p.items, p.n, err);
	if (st == PL_OK)
		st = pl_npy_commit(&w, err);
	pl_npy_abort(&w);
	free(p.items);
	return st;
}

/* ---- looking up ---- */

static enum pl_status start(struct pl_related **out, const char *path, const struct pl_source *s, const char *image_set,
    struct pl_err *err)
{
	struct pl_related *r = calloc(1, sizeof(*r));

	*out = r;
	if (r == NULL)
		return pl_fail_nomem(err);
	pl_buf_init(&r->record, (size_t)PL_RECORD_MAX + 1);
	r->target = target_of(path, s);
	if (image_set != NULL && strlen(image_set) < sizeof(r->image_set))
		memcpy(r->image_set, image_set, strlen(image_set) + 1);
	if (r->target.field == NULL)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path, "records of this kind refer to no others");
	r->path = strdup(r->target.path);
	return r->path != NULL ? shard_bytes_open(&r->bytes, r->path, err) : pl_fail_nomem(err);
}

/* Hand r over, or free it. */
static enum pl_status started(struct pl_related *r, enum pl_status st, struct pl_related **out)
{
	if (st != PL_OK)
		pl_related_close(r);
	*out = st == PL_OK ? r : NULL;
	return st;
}

enum pl_status pl_related_open(struct pl_related **out, const char *path, const struct pl_source *s, const char *table,
    const char *image_set, struct pl_err *err)
{
	struct pl_related *r;
	enum pl_status st = start(&r, path, s, image_set, err);

	if (st == PL_OK)
		st = pl_npy_open(&r->table, table, err);
	if (st == PL_OK)
		st = pl_npy_expect(&r->table, table, place_cols, PL_ARRAY_LEN(place_cols), err);
	if (st == PL_OK && r->table.row_size != sizeof(struct place))
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, table, "is not a table of places");
	if (st == PL_OK) {
		r->places = (const struct place *)(const void *)r->table.rows;
		r->nplaces = r->table.nrows;
	}
	return started(r, st, out);
}

enum pl_status pl_related_load(struct pl_related **out, const char *path, const struct pl_source *s, struct pl_err *err)
{
	char image_set[PL_LAYOUT_SET];
	struct places p = {0};
	struct pl_related *r;
	bool needed;
	enum pl_status st = pl_related_needed(path, s, &needed, image_set, err);

	*out = NULL;
	if (st != PL_OK || !needed)
		return st;
	st = start(&r, path, s, image_set, err);
	if (st == PL_OK)
		st = collect_sorted(&r->target, &p, NULL, NULL, err);
	if (r != NULL) {
		r->places = r->own = p.items;
		r->nplaces = p.n;
	}
	return started(r, st, out);
}

void pl_related_close(struct pl_related *r)
{
	if (r == NULL)
		return;
	pl_npy_close(&r->table);
	free(r->own);
	shard_bytes_close(r->bytes);
	pl_buf_release(&r->record);
	free(r->path);
	free(r);
}

const char *pl_related_image_set(const struct pl_related *r)
{
	return r != NULL && r->image_set[0] != '\0' ? r->image_set : NULL;
}

static uint64_t first_of(const struct pl_related *r, uint64_t hash)
{
	uint64_t lo = 0, hi = r->nplaces;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (r->places[mid].hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The record at a place; *v NULL: there is none of that id. */
static enum pl_status read_place(struct pl_related *r, const struct place *p, const char *id, json_t **v, struct pl_err *err)
{
	char there[PL_RELATED_ID];
	enum pl_status st;

	*v = NULL;
	if (p->length > PL_RECORD_MAX)
		return PL_OK;
	pl_buf_clear(&r->record);
	st = pl_buf_reserve(&r->record, (size_t)p->length, err);
	if (st == PL_OK)
		st = shard_bytes_read(r->bytes, p->offset, r->record.data, (size_t)p->length, err);
	if (st == PL_ERR_TRUNCATED)
		return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, r->path, "is shorter than when it was ingested; ingest again");
	if (st == PL_OK)
		st = identify((const char *)r->record.data, (size_t)p->length, r->target.field, v, there, err);
	if (st == PL_OK && *v != NULL && strcmp(there, id) != 0) {
		json_decref(*v);
		*v = NULL;
	}
	return st;
}

enum pl_status pl_related_get(struct pl_related *r, const char *id, size_t k, json_t **out, struct pl_err *err)
{
	uint64_t hash = pl_hash64(id, strlen(id));

	*out = NULL;
	for (uint64_t i = first_of(r, hash); i < r->nplaces; i++) {
		const struct place *p = &r->places[i];
		json_t *v = NULL;
		enum pl_status st = p->hash == hash ? read_place(r, p, id, &v, err) : PL_END;

		if (st != PL_OK)
			return st == PL_END ? PL_OK : st;
		if (v != NULL && k-- == 0) {
			*out = v;
			return PL_OK;
		}
		json_decref(v);
	}
	return PL_OK;
}
