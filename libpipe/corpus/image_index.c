/* SPDX-License-Identifier: Apache-2.0 */
/* Names to bytes. Of a tar's members only hashes of names are kept, sorted in
 * a mapped table: 64 bits tell apart all names that meet in one source. */
#include "image_index.h"

#include "image_json.h"
#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "libpipe/base/npy.h"
#include "shards/bytes.h"
#include "shards/tar_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_MAX_FILES 64
/* No encoded image is near this; a table that says so is wrong. */
#define READ_MAX ((uint64_t)1 << 30)

struct name_row {
	uint64_t hash, offset, length;
};
static const struct pl_npy_col name_cols[] = {
	{ "hash", PL_NPY_U64, 1, (uint32_t)offsetof(struct name_row, hash) },
	{ "offset", PL_NPY_U64, 1, (uint32_t)offsetof(struct name_row, offset) },
	{ "length", PL_NPY_U64, 1, (uint32_t)offsetof(struct name_row, length) },
};
_Static_assert(sizeof(struct name_row) == 3 * 8, "name row is packed");

struct store {
	char *tar;
	struct pl_npy names;
	struct shard_bytes *bytes;
	uint64_t used;
};

struct pl_image_index {
	struct store *stores;
	size_t n, open;
	uint64_t clock; /* counts uses, so that the least recent is known */
	char *folder;   /* NULL = tars */
};

static char *names_path(const char *dir, size_t number)
{
	char name[48];

	snprintf(name, sizeof(name), "names-%05zu.npy", number);
	return pl_path_join(dir, name);
}

static const char *plain(const char *name)
{
	while (name[0] == '.' && name[1] == '/')
		for (name += 2; *name == '/';)
			name++;
	return name;
}

static const char *base_name(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash != NULL ? slash + 1 : name;
}

/* ---- building ---- */

struct name_list {
	struct name_row *rows;
	size_t n, cap;
};

static enum pl_status add_row(struct name_list *l, const char *name, uint64_t offset, uint64_t length, struct pl_err *err)
{

	if (l->n == l->cap) {
		size_t cap = l->cap == 0 ? 1024 : l->cap * 2;
		struct name_row *rows;

		rows = cap > SIZE_MAX / sizeof(*rows) ? NULL
						      : realloc(l->rows, cap * sizeof(*rows));
		if (rows == NULL)
			return pl_fail_nomem(err);
		l->rows = rows;
		l->cap = cap;
	}
	l->rows[l->n++] = (struct name_row){ pl_hash64(name, strlen(name)), offset, length };
	return PL_OK;
}

static enum pl_status add_name(
    struct name_list *l, const char *name, const struct shard_part *p, struct pl_err *err)
{
	return add_row(l, name, p->offset, p->len, err);
}

static enum pl_status add_part(struct name_list *l, const struct shard_part *p, struct pl_err *err)
{
	const char *name = plain(p->name), *base = base_name(name), *dot = strchr(base, '.');
	enum pl_status st;

	/* Bytes that are not there whole and in one piece cannot be read by offset. */
	if (p->truncated || p->sparse)
		return PL_OK;
	st = add_name(l, name, p, err);
	if (st == PL_OK && base != name)
		st = add_name(l, base, p, err);
	if (st == PL_OK && dot != NULL && strchr(dot + 1, '.') != NULL)
		st = add_name(l, dot + 1, p, err);
	return st;
}

static int by_hash(const void *a, const void *b)
{
	const struct name_row *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static enum pl_status write_names(const struct name_list *l, const char *path, struct pl_err *err)
{
	struct pl_npy_writer w;
	enum pl_status st = pl_npy_create(
	    &w, path, name_cols, PL_ARRAY_LEN(name_cols), sizeof(struct name_row), err);
	size_t i;

	if (st != PL_OK)
		return st;
	/* Of one hash only the first counts: that is the row a search finds. */
	for (i = 0; st == PL_OK && i < l->n; i++)
		if (i == 0 || l->rows[i].hash != l->rows[i - 1].hash)
			st = pl_npy_append(&w, &l->rows[i], 1, err);
	if (st == PL_OK)
		return pl_npy_commit(&w, err);
	pl_npy_abort(&w);
	return st;
}

static enum pl_status list_names(struct shard_reader *r, struct name_list *l,
    enum pl_status (*poll)(void *ctx, struct pl_err *err), void *poll_ctx, enum pl_status *end,
    struct pl_err *end_err, struct pl_err *err)
{
	struct shard_sample s;
	enum pl_status st = PL_OK;
	size_t i;

	while (st == PL_OK && (*end = shard_reader_next(r, &s, end_err)) == PL_OK) {
		if (poll != NULL)
			st = poll(poll_ctx, err);
		for (i = 0; st == PL_OK && i < s.nparts; i++)
			st = add_part(l, &s.parts[i], err);
	}
	return st;
}

struct polled_list {
	struct name_list *l;
	enum pl_status (*poll)(void *ctx, struct pl_err *err);
	void *poll_ctx;
};

static enum pl_status add_polled(void *ctx, const char *name, uint64_t offset, uint64_t length, struct pl_err *err)
{
	struct polled_list *p = ctx;
	enum pl_status st = p->poll != NULL ? p->poll(p->poll_ctx, err) : PL_OK;

	return st == PL_OK ? add_row(p->l, name, offset, length, err) : st;
}

enum pl_status pl_image_index_build(const char *tar, const char *dir, size_t number,
    enum pl_status (*poll)(void *ctx, struct pl_err *err), void *poll_ctx, struct pl_err *err)
{
	/* Of a tar, names and places only: with a ceiling of one byte no member is held in memory. */
	const struct shard_read_limits limits = { .max_member = 1 };
	struct shard_reader *r = NULL;
	struct name_list l = { 0 };
	struct pl_err end_err;
	char *path = names_path(dir, number);
	enum pl_status end = PL_END, st = PL_OK;

	if (path == NULL)
		return pl_fail_nomem(err);
	if (pl_image_json_name(tar)) {
		struct polled_list polled = { &l, poll, poll_ctx };
		end = pl_image_json_list(tar, add_polled, &polled, &end_err);
		if (end != PL_OK && end != PL_ERR_TRUNCATED && end != PL_ERR_INVALID) {
			st = end;
			if (err != NULL)
				*err = end_err;
		}
		end = end == PL_OK ? PL_END : end;
	} else {
		st = shard_reader_open(&r, tar, &limits, err);
		if (st == PL_OK)
			st = list_names(r, &l, poll, poll_ctx, &end, &end_err, err);
	}
	if (st != PL_OK)
		goto out;
	if (l.n > 0)
		qsort(l.rows, l.n, sizeof(*l.rows), by_hash);
	/* A tar damaged in its middle still gives the members before: indexed, then reported.
	 * Nothing read at all, or a system error, leaves no table. */
	if (end == PL_END || ((end == PL_ERR_TRUNCATED || end == PL_ERR_INVALID) && l.n > 0))
		st = write_names(&l, path, err);
	if (st == PL_OK && end != PL_END) {
		st = end;
		if (err != NULL)
			*err = end_err;
	}
out:
	shard_reader_close(r);
	free(l.rows);
	free(path);
	return st;
}

/* ---- finding ---- */

enum pl_status pl_image_index_open(struct pl_image_index **out, const char *dir, char *const *tars,
    size_t n, const char *folder, struct pl_err *err)
{
	struct pl_image_index *x = calloc(1, sizeof(*x));
	enum pl_status st = PL_OK;
	size_t i;

	*out = NULL;
	if (x == NULL)
		return pl_fail_nomem(err);
	if (tars == NULL)
		n = 0;
	x->stores = calloc(n + 1, sizeof(*x->stores));
	x->folder = tars == NULL && folder != NULL ? strdup(folder) : NULL;
	if (x->stores == NULL || (tars == NULL && x->folder == NULL))
		st = pl_fail_nomem(err);
	for (i = 0; st == PL_OK && i < n; i++) {
		struct store *s = &x->stores[i];
		char *path = names_path(dir, i);

		x->n = i + 1;
		s->tar = strdup(tars[i]);
		if (path == NULL || s->tar == NULL)
			st = pl_fail_nomem(err);
		if (st == PL_OK)
			st = pl_npy_open(&s->names, path, err);
		if (st == PL_OK)
			st = pl_npy_expect(
			    &s->names, path, name_cols, PL_ARRAY_LEN(name_cols), err);
		if (st == PL_OK && s->names.row_size != sizeof(struct name_row))
			st = pl_fail(
			    err, PL_ERR_INVALID, PL_SEV_JOB, path, "is not a table of names");
		free(path);
	}
	if (st != PL_OK)
		pl_image_index_close(x);
	else
		*out = x;
	return st;
}

void pl_image_index_close(struct pl_image_index *x)
{
	size_t i;

	if (x == NULL)
		return;
	for (i = 0; i < x->n; i++) {
		shard_bytes_close(x->stores[i].bytes);
		pl_npy_close(&x->stores[i].names);
		free(x->stores[i].tar);
	}
	free(x->stores);
	free(x->folder);
	free(x);
}

static const struct name_row *search(const struct pl_npy *t, uint64_t hash)
{
	uint64_t lo = 0, hi = t->nrows;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		const struct name_row *r = pl_npy_row(t, mid);

		if (r->hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < t->nrows) {
		const struct name_row *r = pl_npy_row(t, lo);

		if (r->hash == hash)
			return r;
	}
	return NULL;
}

static const struct name_row *find_in_stores(
    const struct pl_image_index *x, const char *name, uint32_t *store)
{
	uint64_t hash = pl_hash64(name, strlen(name));
	size_t i;

	for (i = 0; i < x->n; i++) {
		const struct name_row *r = search(&x->stores[i].names, hash);

		if (r != NULL) {
			*store = (uint32_t)i;
			return r;
		}
	}
	return NULL;
}

/* Does a relative name stay below the folder it is relative to? */
static bool stays_inside(const char *name)
{
	const char *p = name;

	if (name[0] == '\0' || name[0] == '/')
		return false;
	while (p != NULL) {
		if (*p == '/')
			p++;
		if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0'))
			return false;
		p = strchr(p, '/');
		while (p != NULL && p[0] == '/' && p[1] == '/')
			p++;
	}
	return true;
}

static enum pl_status no_such(const char *name, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_ITEM, NULL, "no image '%.200s'", name);
}

/* An id without an extension ("LA_IMG_000000215677") stands for the file that has one. */
static const char *const extensions[] = { ".jpg", ".png", ".jpeg", ".webp", ".gif", ".bmp" };
enum { EXTENDED_MAX = 400 };

static bool extend(const char *name, size_t k, char out[EXTENDED_MAX])
{
	const char *base = base_name(name), *dot = strrchr(base, '.');

	if (base[0] == '\0' || strlen(name) + 8 > EXTENDED_MAX || (dot != NULL && shard_image_suffix(dot + 1)))
		return false;
	snprintf(out, EXTENDED_MAX, "%s%s", name, extensions[k]);
	return true;
}

/* The file of one of two candidate names; *path is malloc'ed. Names come from the web: only regular
 * files inside. */
static enum pl_status find_exact(const struct pl_image_index *x, const char *name, char **path,
    uint64_t *length, struct pl_err *err)
{
	const char *const tries[] = { plain(name), base_name(name) };
	struct stat sb;
	size_t i;

	for (i = 0; i < PL_ARRAY_LEN(tries); i++) {
		if (!stays_inside(tries[i]) || (i > 0 && strcmp(tries[0], tries[1]) == 0))
			continue;
		*path = pl_path_join(x->folder, tries[i]);
		if (*path == NULL)
			return pl_fail_nomem(err);
		if (stat(*path, &sb) == 0) {
			if (S_ISREG(sb.st_mode)) {
				*length = (uint64_t)sb.st_size;
				return PL_OK;
			}
		} else if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG &&
		    errno != ELOOP) {
			enum pl_status st = pl_fail_errno(
			    err, PL_SEV_SHARD, *path, "cannot look for an image");

			free(*path);
			*path = NULL;
			return st;
		}
		free(*path);
		*path = NULL;
	}
	return no_such(name, err);
}

static enum pl_status find_file(const struct pl_image_index *x, const char *name, char **path,
    uint64_t *length, struct pl_err *err)
{
	enum pl_status st = find_exact(x, name, path, length, err);
	char longer[EXTENDED_MAX];
	struct pl_err other;

	for (size_t k = 0; st == PL_ERR_NOTFOUND && k < PL_ARRAY_LEN(extensions) && extend(name, k, longer); k++) {
		enum pl_status found = find_exact(x, longer, path, length, &other);
		if (found == PL_OK)
			return found;
	}
	return st;
}

enum pl_status pl_image_index_find(const struct pl_image_index *x, const char *name,
    enum pl_where *where, uint32_t *store, uint64_t *offset, uint64_t *length, struct pl_err *err)
{
	const struct name_row *r;
	char *path = NULL, longer[EXTENDED_MAX];
	enum pl_status st;

	*store = 0;
	*offset = 0;
	if (x->folder != NULL) {
		st = find_file(x, name, &path, length, err);
		free(path);
		*where = PL_WHERE_FOLDER;
		return st;
	}
	r = find_in_stores(x, plain(name), store);
	if (r == NULL && base_name(name)[0] != '\0')
		r = find_in_stores(x, base_name(name), store);
	for (size_t k = 0; r == NULL && k < PL_ARRAY_LEN(extensions) && extend(base_name(name), k, longer); k++)
		r = find_in_stores(x, longer, store);
	if (r == NULL)
		return no_such(name, err);
	*where = PL_WHERE_STORE;
	*offset = r->offset;
	*length = r->length;
	return PL_OK;
}

/* ---- reading ---- */

static void close_least_recent(struct pl_image_index *x)
{
	struct store *least = NULL;
	size_t i;

	for (i = 0; i < x->n; i++)
		if (x->stores[i].bytes != NULL &&
		    (least == NULL || x->stores[i].used < least->used))
			least = &x->stores[i];
	if (least != NULL) {
		shard_bytes_close(least->bytes);
		least->bytes = NULL;
		x->open--;
	}
}

static enum pl_status read_store(struct pl_image_index *x, uint32_t store, uint64_t offset,
    uint8_t *data, size_t len, struct pl_err *err)
{
	struct store *s = &x->stores[store];
	enum pl_status st;

	if (s->bytes == NULL) {
		if (x->open >= OPEN_MAX_FILES)
			close_least_recent(x);
		st = shard_bytes_open(&s->bytes, s->tar, err);
		if (st != PL_OK) {
			s->bytes = NULL;
			return st;
		}
		x->open++;
	}
	s->used = ++x->clock;
	return pl_image_json_name(s->tar) ? pl_image_json_read(s->bytes, offset, data, len, err)
					  : shard_bytes_read(s->bytes, offset, data, len, err);
}

static enum pl_status read_file(
    const struct pl_image_index *x, const char *name, uint8_t *data, size_t len, struct pl_err *err)
{
	char *path = NULL;
	uint64_t size;
	size_t got = 0;
	int fd;
	enum pl_status st = find_file(x, name, &path, &size, err);

	if (st != PL_OK)
		return st;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		st = pl_fail_errno(err, PL_SEV_SHARD, path, "cannot open");
	else
		st = pl_read_full(fd, data, len, &got, path, err);
	if (st == PL_OK && got != len)
		st = pl_fail(err, PL_ERR_TRUNCATED, PL_SEV_ITEM, path,
		    "has %zu bytes where %zu are due", got, len);
	if (fd >= 0)
		close(fd);
	free(path);
	return st;
}

enum pl_status pl_image_index_read(struct pl_image_index *x, const char *name, enum pl_where where,
    uint32_t store, uint64_t offset, uint64_t length, uint8_t **data, struct pl_err *err)
{
	enum pl_status st;
	uint8_t *p;

	*data = NULL;
	if (length > READ_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_ITEM, NULL,
		    "image '%.200s' is over %llu bytes", name, (unsigned long long)READ_MAX);
	p = malloc((size_t)length + 1);
	if (p == NULL)
		return pl_fail_nomem(err);
	if (where == PL_WHERE_FOLDER && x->folder != NULL)
		st = read_file(x, name, p, (size_t)length, err);
	else if (where == PL_WHERE_STORE && store < x->n)
		st = read_store(x, store, offset, p, (size_t)length, err);
	else
		st = no_such(name, err);
	if (st == PL_OK)
		*data = p;
	else
		free(p);
	return st;
}
