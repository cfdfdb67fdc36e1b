/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of the source kinds share: text checks, growing a document
 * in its arena, images from parts, names and base64. */
#include "kinds.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"

enum pl_status pl_kind_reject(struct pl_document *d, enum pl_reason why)
{
	if (d->status == PL_REASON_KEEP)
		d->status = why;
	return PL_OK;
}

enum pl_status pl_kind_keep(struct pl_document *d, json_t *json, struct pl_err *err)
{
	if (d->others == NULL)
		d->others = json_array();
	if (d->others != NULL && json_array_append_new(d->others, json) == 0)
		return PL_OK;
	if (d->others == NULL)
		json_decref(json);
	return pl_fail_nomem(err);
}

enum pl_status pl_kind_alloc(struct pl_document *d, size_t size, void **p, struct pl_err *err)
{
	*p = pl_arena_alloc(&d->arena, size);
	if (*p != NULL)
		return PL_OK;
	/* 16: the arena rounds up */
	if (size > d->arena.max - 16 || d->arena.used > d->arena.max - 16 - size)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_ITEM, NULL,
		    "the document needs more than %zu bytes of memory", d->arena.max);
	return pl_fail_nomem(err);
}

size_t pl_space_at(const char *s, size_t left)
{
	const unsigned char *u = (const unsigned char *)s;

	if (left == 0)
		return 0;
	if (u[0] == ' ' || (u[0] >= '\t' && u[0] <= '\r'))
		return 1;
	if (left >= 2 && u[0] == 0xC2 && (u[1] == 0x85 || u[1] == 0xA0))
		return 2;
	if (left < 3 || u[0] < 0xE1 || u[0] > 0xE3)
		return 0;
	switch ((uint32_t)u[0] << 16 | (uint32_t)u[1] << 8 | u[2]) {
	case 0xE19A80:   /* U+1680 */
	case 0xE280A8:   /* U+2028 */
	case 0xE280A9:
	case 0xE280AF:   /* U+202F */
	case 0xE2819F:   /* U+205F */
	case 0xE38080:   /* U+3000 */
		return 3;
	default:         /* U+2000 to U+200A */
		return u[0] == 0xE2 && u[1] == 0x80 && u[2] >= 0x80 && u[2] <= 0x8A ? 3 : 0;
	}
}

size_t pl_space_before(const char *s, size_t len)
{
	for (size_t n = 1; n <= 3 && n <= len; n++) {
		if (pl_space_at(s + len - n, n) == n)
			return n;
	}
	return 0;
}

void pl_trim_front(const char **s, size_t *len)
{
	size_t n;

	while ((n = pl_space_at(*s, *len)) > 0) {
		*s += n;
		*len -= n;
	}
}

void pl_trim_back(const char *s, size_t *len)
{
	size_t n;

	while ((n = pl_space_before(s, *len)) > 0)
		*len -= n;
}

static bool is_blank(const char *s, size_t len)
{
	pl_trim_front(&s, &len);
	return len == 0;
}

enum pl_status pl_kind_copy_text(struct pl_document *d, const char *s, size_t len,
    const char **text, size_t *text_len, struct pl_err *err)
{
	enum pl_status st;
	void *copy;

	*text = NULL;
	*text_len = 0;
	if (len >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0) {
		s += 3;
		len -= 3;
	}
	if (len > 0 && !pl_utf8_valid(s, len, NULL))
		return pl_kind_reject(d, PL_REASON_BAD_UTF8);
	st = pl_kind_alloc(d, len + 1, &copy, err);
	if (st != PL_OK)
		return st;
	if (len > 0)
		memcpy(copy, s, len);
	*text = copy;
	*text_len = len;
	return PL_OK;
}

enum pl_status pl_kind_part_text(struct pl_document *d, const struct shard_part *p,
    const char **text, size_t *text_len, struct pl_err *err)
{
	*text = NULL;
	*text_len = 0;
	if (p->too_large)
		return pl_kind_reject(d, PL_REASON_TOO_LARGE);
	if (p->truncated)
		return pl_kind_reject(d, PL_REASON_TRUNCATED);
	return pl_kind_copy_text(d, (const char *)p->data, p->data != NULL ? p->len : 0, text,
	    text_len, err);
}

/* Room for one more item of size bytes in an array that grows by doubling. */
static enum pl_status grow(struct pl_document *d, void **items, size_t n, size_t *cap, size_t size,
    struct pl_err *err)
{
	size_t want = *cap != 0 ? *cap * 2 : 8;
	enum pl_status st;
	void *p;

	if (n < *cap)
		return PL_OK;
	if (want > SIZE_MAX / size)
		return pl_fail_nomem(err);
	st = pl_kind_alloc(d, want * size, &p, err);
	if (st != PL_OK)
		return st;
	if (n > 0)
		memcpy(p, *items, n * size);
	*items = p;
	*cap = want;
	return PL_OK;
}

static enum pl_status add_segment(struct pl_kind_build *b, const struct pl_segment *s,
    struct pl_err *err)
{
	struct pl_document *d = b->d;
	void *items = d->segments;
	enum pl_status st = grow(d, &items, d->nsegments, &b->segment_cap, sizeof(*s), err);

	if (st != PL_OK)
		return st;
	d->segments = items;
	d->segments[d->nsegments++] = *s;
	return PL_OK;
}

enum pl_status pl_kind_add_text(struct pl_kind_build *b, struct pl_kind_place at, const char *text,
    size_t len, struct pl_err *err)
{
	struct pl_segment s = {.role = at.role, .turn = at.turn, .loss = at.loss, .branch = at.branch,
	    .text = text, .text_len = len};
	enum pl_status st;
	void *copy;

	if (is_blank(text, len))
		return PL_OK;
	if (memchr(text, '\0', len) != NULL)
		return pl_kind_reject(b->d, PL_REASON_BAD_UTF8);
	if (text[len] != '\0') {
		st = pl_kind_alloc(b->d, len + 1, &copy, err);
		if (st != PL_OK)
			return st;
		memcpy(copy, text, len);
		s.text = copy;
	}
	return add_segment(b, &s, err);
}

enum pl_status pl_kind_add_image(struct pl_kind_build *b, struct pl_kind_place at,
    const struct pl_doc_image *image, struct pl_err *err)
{
	struct pl_document *d = b->d;
	struct pl_segment s = {.is_image = true, .role = at.role, .turn = at.turn, .branch = at.branch,
	    .image = (uint32_t)d->nimages};
	void *items = d->images;
	enum pl_status st = grow(d, &items, d->nimages, &b->image_cap, sizeof(*image), err);

	if (st != PL_OK)
		return st;
	d->images = items;
	st = add_segment(b, &s, err);
	if (st != PL_OK)
		return st;
	d->images[d->nimages++] = *image;
	return PL_OK;
}

struct pl_doc_image pl_kind_named_image(const char *name)
{
	struct pl_doc_image image = {.name = name != NULL ? name : "", .where = PL_WHERE_NOWHERE,
		.status = PL_REASON_MISSING_IMAGE, .similarity = NAN, .match = PL_NO_MATCH};

	return image;
}

struct pl_doc_image pl_kind_part_image(const char *name, const struct shard_part *p)
{
	struct pl_doc_image image = {.name = name, .where = PL_WHERE_SHARD, .data = p->data,
	    .len = p->len,
		.offset = p->offset, .status = PL_REASON_KEEP, .similarity = NAN,
		.match = PL_NO_MATCH};

	if (p->too_large)
		image.status = PL_REASON_TOO_LARGE;
	else if (p->truncated)
		image.status = PL_REASON_TRUNCATED;
	else if (p->len == 0 || p->data == NULL)
		image.status = PL_REASON_EMPTY;
	if (image.status != PL_REASON_KEEP)
		image.data = NULL;
	return image;
}

enum pl_status pl_kind_embed(struct pl_document *d, const char *text, size_t len,
    struct pl_doc_image *image, struct pl_err *err)
{
	enum pl_status st;
	size_t room = pl_base64_bound(len), n = 0;
	void *bytes;

	image->where = PL_WHERE_EMBEDDED;
	image->data = NULL;
	image->len = 0;
	if (room > d->arena.max - 16 || d->arena.used > d->arena.max - 16 - room) {
		image->status = PL_REASON_TOO_LARGE;
		return PL_OK;
	}
	st = pl_kind_alloc(d, room, &bytes, err);
	if (st != PL_OK)
		return st;
	if (!pl_base64_decode(text, len, bytes, &n)) {
		image->status = PL_REASON_CORRUPT;
	} else if (n == 0) {
		image->status = PL_REASON_EMPTY;
	} else {
		image->status = PL_REASON_KEEP;
		image->data = bytes;
		image->len = n;
	}
	return PL_OK;
}

float pl_kind_similarity(const json_t *v)
{
	double x = json_is_number(v) ? json_number_value(v) : (double)NAN;

	return fabs(x) <= (double)FLT_MAX ? (float)x : NAN;
}

const struct shard_part *pl_kind_part(const struct shard_sample *s, const char *suffix)
{
	for (size_t i = 0; s != NULL && i < s->nparts; i++) {
		if (strcmp(s->parts[i].suffix, suffix) == 0)
			return &s->parts[i];
	}
	return NULL;
}

/* Names of parts: each part is in the index under its suffix and its base name. */
struct pl_part_entry {
	const char *name;
	const struct shard_part *part;
};

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* Not strcasecmp: what is found must not depend on the locale. */
static int compare_names(const char *a, const char *b)
{
	while (*a != '\0' && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return (int)lower(*a) - (int)lower(*b);
}

static int compare_entries(const void *pa, const void *pb)
{
	const struct pl_part_entry *a = pa, *b = pb;
	int c = compare_names(a->name, b->name);

	/* the first member of that name wins */
	return c != 0 ? c : (a->part > b->part) - (a->part < b->part);
}

static const char *base_name(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash != NULL ? slash + 1 : name;
}

enum pl_status pl_part_index_make(struct pl_part_index *x, struct pl_document *d,
    const struct shard_sample *s, struct pl_err *err)
{
	enum pl_status st;
	void *p;

	x->entries = NULL;
	x->n = 0;
	if (s == NULL || s->nparts == 0)
		return PL_OK;
	st = pl_kind_alloc(d, s->nparts * 2 * sizeof(*x->entries), &p, err);
	if (st != PL_OK)
		return st;
	x->entries = p;
	for (size_t i = 0; i < s->nparts; i++) {
		const struct shard_part *part = &s->parts[i];
		x->entries[x->n++] = (struct pl_part_entry){part->suffix, part};
		x->entries[x->n++] = (struct pl_part_entry){base_name(part->name), part};
	}
	qsort(x->entries, x->n, sizeof(*x->entries), compare_entries);
	return PL_OK;
}

static const struct shard_part *find_entry(const struct pl_part_index *x, const char *name)
{
	size_t lo = 0, hi = x->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (compare_names(x->entries[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < x->n && compare_names(x->entries[lo].name, name) == 0 ? x->entries[lo].part
	    : NULL;
}

const struct shard_part *pl_part_index_find(const struct pl_part_index *x, const char *name)
{
	const char *base = base_name(name);
	const struct shard_part *p;

	if (*base == '\0')
		return NULL;
	p = find_entry(x, name);
	return p != NULL || base == name ? p : find_entry(x, base);
}
