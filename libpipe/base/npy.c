/* SPDX-License-Identifier: Apache-2.0 */
/* Reading .npy tables. The header is a Python literal: a small strict parser
 * takes exactly what numpy writes for a structured dtype and refuses the rest. */
#include "npy.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "npy_dtype.h"

enum { MAX_TEXT = 1 << 20 };

static const struct {
	const char *code;
	size_t size;
} types[] = {
	[PL_NPY_U8] = {"|u1", 1}, [PL_NPY_U16] = {"<u2", 2}, [PL_NPY_U32] = {"<u4", 4},
	[PL_NPY_U64] = {"<u8", 8}, [PL_NPY_I32] = {"<i4", 4}, [PL_NPY_I64] = {"<i8", 8},
	[PL_NPY_F32] = {"<f4", 4}, [PL_NPY_F64] = {"<f8", 8}, [PL_NPY_BYTES] = {"|u1", 1}
};

const char *pl_npy_type_code(enum pl_npy_type type)
{
	return (size_t)type < PL_ARRAY_LEN(types) ? types[type].code : NULL;
}

size_t pl_npy_type_size(enum pl_npy_type type)
{
	return (size_t)type < PL_ARRAY_LEN(types) ? types[type].size : 0;
}

/* The header text under the parser's eye. */
struct cursor {
	const char *text;
	size_t len, at;
	size_t base;            /* offset of text in the file, for messages */
	const char *path;
	struct pl_err *err;
	struct pl_npy *t;
	size_t cap;             /* columns allocated */
};

static enum pl_status bad(const struct cursor *c, enum pl_status st, const char *what)
{
	pl_fail(c->err, st, PL_SEV_SHARD, c->path, "bad .npy header: %s", what);
	pl_err_at_offset(c->err, c->base + c->at);
	return st;
}

static void skip_space(struct cursor *c)
{
	while (c->at < c->len && (c->text[c->at] == ' ' || c->text[c->at] == '\n'))
		c->at++;
}

/* Take ch when it is next. */
static bool take(struct cursor *c, char ch)
{
	skip_space(c);
	if (c->at >= c->len || c->text[c->at] != ch)
		return false;
	c->at++;
	return true;
}

static bool take_word(struct cursor *c, const char *word)
{
	size_t n = strlen(word);

	skip_space(c);
	if (c->len - c->at < n || memcmp(c->text + c->at, word, n) != 0)
		return false;
	c->at += n;
	return true;
}

/* A quoted string of printable ASCII without escapes; *s points into the text. */
static bool take_string(struct cursor *c, const char **s, size_t *len)
{
	size_t i;
	char quote;

	skip_space(c);
	if (c->at >= c->len || (c->text[c->at] != '\'' && c->text[c->at] != '"'))
		return false;
	quote = c->text[c->at];
	for (i = c->at + 1; i < c->len && c->text[i] != quote; i++) {
		if (c->text[i] < 0x20 || c->text[i] > 0x7e || c->text[i] == '\\')
			return false;
	}
	if (i >= c->len)
		return false;
	*s = c->text + c->at + 1;
	*len = i - c->at - 1;
	c->at = i + 1;
	return true;
}

static bool take_number(struct cursor *c, uint64_t *n)
{
	size_t start;

	skip_space(c);
	start = c->at;
	*n = 0;
	while (c->at < c->len && c->text[c->at] >= '0' && c->text[c->at] <= '9') {
		uint64_t digit = (uint64_t)(c->text[c->at] - '0');
		if (*n > (UINT64_MAX - digit) / 10)
			return false;
		*n = *n * 10 + digit;
		c->at++;
	}
	return c->at > start;
}

/* A shape of one dimension, "(N,)". */
static bool take_shape(struct cursor *c, uint64_t *n)
{
	return take(c, '(') && take_number(c, n) && take(c, ',') && take(c, ')');
}

static char *copy_name(const char *s, size_t len)
{
	char *name = malloc(len + 1);

	if (name) {
		memcpy(name, s, len);
		name[len] = '\0';
	}
	return name;
}

/* "|V4" is the padding of an aligned dtype: *size bytes without a name. */
static bool is_padding(const char *code, size_t len, uint64_t *size)
{
	struct cursor n = {.text = code, .len = len, .at = 2};

	return len > 2 && memcmp(code, "|V", 2) == 0 && take_number(&n, size) && n.at == len;
}

static enum pl_status add_col(
    struct cursor *c, const char *name, size_t name_len, enum pl_npy_type type, uint64_t count)
{
	struct pl_npy *t = c->t;
	struct pl_npy_col *col;
	char *copy;

	for (size_t i = 0; i < t->ncols; i++) {
		if (strlen(t->cols[i].name) == name_len &&
		    memcmp(t->cols[i].name, name, name_len) == 0)
			return bad(c, PL_ERR_INVALID, "two columns have one name");
	}
	if (t->ncols >= PL_NPY_MAX_COLS)
		return bad(c, PL_ERR_UNSUPPORTED, "more than 1024 columns");
	if (t->ncols == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 32;
		struct pl_npy_col *more = realloc(t->cols, cap * sizeof(*more));
		if (!more)
			return pl_fail_nomem(c->err);
		t->cols = more;
		c->cap = cap;
	}
	copy = copy_name(name, name_len);
	if (!copy)
		return pl_fail_nomem(c->err);
	col = &t->cols[t->ncols++];
	*col = (struct pl_npy_col){.name = copy, .type = type, .count = (uint32_t)count,
	    .offset = (uint32_t)t->row_size};
	return PL_OK;
}

/* The type of a named column, and behind it the shape of a vector. */
static enum pl_status parse_type(struct cursor *c, const char *code, size_t code_len, enum pl_npy_type *type,
    uint64_t *count, size_t *size)
{
	bool vector;

	*type = PL_NPY_U8;
	while (*type < PL_NPY_BYTES && !(strlen(types[*type].code) == code_len &&
	    memcmp(types[*type].code, code, code_len) == 0))
		(*type)++;
	if (*type == PL_NPY_BYTES)
		return bad(c, PL_ERR_UNSUPPORTED,
		    "a column type other than |u1 <u2 <u4 <u8 <i4 <i8 <f4 <f8");
	*size = types[*type].size;
	vector = take(c, ',');
	if (vector && (*type != PL_NPY_U8 || !take_shape(c, count)))
		return bad(c, PL_ERR_UNSUPPORTED, "only |u1 columns may be vectors, of one dimension");
	if (vector)
		*type = PL_NPY_BYTES;
	return PL_OK;
}

/* One column, from behind its parenthesis: 'name', '<u4') or 'name', '|u1', (32,)). */
static enum pl_status parse_col(struct cursor *c)
{
	const char *name, *code;
	size_t name_len, code_len, size = 1;
	uint64_t count = 1;
	bool padding;
	enum pl_npy_type type = PL_NPY_U8;
	enum pl_status st = PL_OK;

	if (!take_string(c, &name, &name_len) || !take(c, ','))
		return bad(c, PL_ERR_INVALID, "expected a column name of plain ASCII");
	if (!take_string(c, &code, &code_len))
		return bad(
		    c, PL_ERR_UNSUPPORTED, "expected a plain type (nested columns are not read)");
	padding = name_len == 0 && is_padding(code, code_len, &count);
	if (!padding)
		st = parse_type(c, code, code_len, &type, &count, &size);
	if (st != PL_OK)
		return st;
	if (!padding && name_len == 0)
		return bad(c, PL_ERR_INVALID, "a column without a name");
	if (!take(c, ')'))
		return bad(c, PL_ERR_INVALID, "expected the end of a column");
	if (count == 0 || count > PL_NPY_MAX_ROW || PL_NPY_MAX_ROW - c->t->row_size < count * size)
		return bad(c, PL_ERR_UNSUPPORTED, "rows of no bytes or of more than 1 MiB");
	if (!padding)
		st = add_col(c, name, name_len, type, count);
	if (st == PL_OK)
		c->t->row_size += (size_t)count * size;
	return st;
}

static enum pl_status parse_descr(struct cursor *c)
{
	if (!take(c, '['))
		return bad(c, PL_ERR_UNSUPPORTED, "not a table: the array has no named columns");
	while (!take(c, ']')) {
		enum pl_status st;
		if (!take(c, '('))
			return bad(c, PL_ERR_INVALID, "expected a column");
		st = parse_col(c);
		if (st != PL_OK)
			return st;
		if (take(c, ','))
			continue;
		if (!take(c, ']'))
			return bad(c, PL_ERR_INVALID, "expected ',' or ']' after a column");
		break;
	}
	return c->t->ncols > 0 ? PL_OK : bad(c, PL_ERR_INVALID, "a table without columns");
}

/* {'descr': ..., 'fortran_order': ..., 'shape': ..., } in any order, each once. */
static enum pl_status parse_dict(struct cursor *c)
{
	unsigned seen = 0;

	if (!take(c, '{'))
		return bad(c, PL_ERR_INVALID, "expected '{'");
	while (!take(c, '}')) {
		enum pl_status st = PL_OK;
		unsigned key;
		if (take_word(c, "'descr'"))
			key = 1;
		else if (take_word(c, "'fortran_order'"))
			key = 2;
		else if (take_word(c, "'shape'"))
			key = 4;
		else
			return bad(
			    c, PL_ERR_INVALID, "expected 'descr', 'fortran_order' or 'shape'");
		if ((seen & key) || !take(c, ':'))
			return bad(c, PL_ERR_INVALID, "a key twice, or without a value");
		seen |= key;
		/* in one dimension the two orders are the same */
		if (key == 1)
			st = parse_descr(c);
		else if (key == 2 && !take_word(c, "False") && !take_word(c, "True"))
			return bad(c, PL_ERR_INVALID, "'fortran_order' is neither True nor False");
		else if (key == 4 && !take_shape(c, &c->t->nrows))
			return bad(c, PL_ERR_UNSUPPORTED, "the shape of a table is (rows,)");
		if (st != PL_OK)
			return st;
		if (take(c, ','))
			continue;
		if (!take(c, '}'))
			return bad(c, PL_ERR_INVALID, "expected ',' or '}'");
		break;
	}
	if (seen != 7)
		return bad(c, PL_ERR_INVALID, "'descr', 'fortran_order' or 'shape' is missing");
	skip_space(c);
	return c->at == c->len ? PL_OK : bad(c, PL_ERR_INVALID, "text after the dictionary");
}

/* Parse the mapped file: header, columns, and that its size is what they say. */
static enum pl_status parse_file(struct pl_npy *t, const char *path, struct pl_err *err)
{
	const uint8_t *p = t->map;
	struct cursor c = {.path = path, .err = err, .t = t};
	size_t prefix = PL_NPY_MAGIC_LEN + 4, start;
	enum pl_status st;

	if (t->map_len < prefix || memcmp(p, PL_NPY_MAGIC, PL_NPY_MAGIC_LEN) != 0)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "not a .npy file");
	if (p[6] < 1 || p[6] > 3 || p[7] != 0)
		return pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_SHARD, path,
		    ".npy format %u.%u: only 1.0, 2.0 and 3.0 are read", p[6], p[7]);
	c.len = (size_t)p[8] | (size_t)p[9] << 8;
	if (p[6] > 1) {
		prefix += 2;
		if (t->map_len < prefix)
			return bad(&c, PL_ERR_INVALID, "the file ends inside it");
		c.len |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
	}
	c.base = prefix;
	if (c.len > t->map_len - prefix)
		return bad(&c, PL_ERR_INVALID, "the file ends inside it");
	if (c.len > MAX_TEXT)
		return bad(&c, PL_ERR_UNSUPPORTED, "longer than 1 MiB");
	c.text = (const char *)p + prefix;
	st = parse_dict(&c);
	if (st != PL_OK)
		return st;
	start = prefix + c.len;
	if (start % PL_NPY_ALIGN != 0)
		return bad(&c, PL_ERR_UNSUPPORTED,
		    "rows do not start at a multiple of 64 bytes; save the table "
		    "again with NumPy 1.14 or later");
	if ((t->map_len - start) % t->row_size != 0 ||
	    (t->map_len - start) / t->row_size != t->nrows)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path,
		    "%zu bytes of rows, but the header says %llu rows of %zu bytes",
		    t->map_len - start, (unsigned long long)t->nrows, t->row_size);
	t->rows = p + start;
	return PL_OK;
}

static enum pl_status map_file(struct pl_npy *t, const char *path, struct pl_err *err)
{
	struct stat sb;
	enum pl_status st = PL_OK;
	void *map;
	/* O_NONBLOCK: a FIFO by that name must not hang the job */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return pl_fail_errno(err, PL_SEV_SHARD, path, "cannot open table");
	if (fstat(fd, &sb) != 0) {
		st = pl_fail_errno(err, PL_SEV_SHARD, path, "cannot stat table");
	} else if (!S_ISREG(sb.st_mode)) {
		st = pl_fail(
		    err, PL_ERR_INVALID, PL_SEV_SHARD, path, "a table must be a regular file");
	} else if (sb.st_size <= 0 || (uint64_t)sb.st_size > SIZE_MAX) {
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "not a .npy file");
	} else {
		map = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED) {
			st = pl_fail_errno(err, PL_SEV_SHARD, path, "cannot map table");
		} else {
			t->map = map;
			t->map_len = (size_t)sb.st_size;
		}
	}
	close(fd);
	return st;
}

enum pl_status pl_npy_open(struct pl_npy *t, const char *path, struct pl_err *err)
{
	enum pl_status st;

	*t = (struct pl_npy){0};
	st = map_file(t, path, err);
	if (st == PL_OK)
		st = parse_file(t, path, err);
	if (st != PL_OK)
		pl_npy_close(t);
	return st;
}

void pl_npy_close(struct pl_npy *t)
{
	for (size_t i = 0; i < t->ncols; i++) {
		/* the names are ours: const only towards the caller */
		union { const char *in; char *own; } u = {.in = t->cols[i].name};
		free(u.own);
	}
	free(t->cols);
	if (t->map)
		munmap(t->map, t->map_len);
	*t = (struct pl_npy){0};
}

const struct pl_npy_col *pl_npy_col(const struct pl_npy *t, const char *name)
{
	for (size_t i = 0; i < t->ncols; i++) {
		if (strcmp(t->cols[i].name, name) == 0)
			return &t->cols[i];
	}
	return NULL;
}

enum pl_status pl_npy_expect(const struct pl_npy *t, const char *path,
    const struct pl_npy_col *cols, size_t ncols, struct pl_err *err)
{
	for (size_t i = 0; i < ncols; i++) {
		const struct pl_npy_col *want = &cols[i], *got;
		uint32_t count = want->type == PL_NPY_BYTES ? want->count : 1;
		if (i >= t->ncols)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path,
			    "column '%s' is missing", want->name);
		got = &t->cols[i];
		if (strcmp(got->name, want->name) != 0)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path,
			    "column %zu is '%.64s', not '%s'", i, got->name, want->name);
		if (got->type != want->type || got->count != count || got->offset != want->offset)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path,
			    "column '%s' is %s x %u at byte %u, not %s x %u at byte %u", want->name,
			    types[got->type].code, got->count, got->offset, types[want->type].code,
			    count, want->offset);
	}
	return PL_OK;
}

double pl_npy_real(const struct pl_npy_col *col, const void *row)
{
	const uint8_t *p = (const uint8_t *)row + col->offset;
	union {
		uint16_t u16;
		uint32_t u32;
		uint64_t u64;
		int32_t i32;
		int64_t i64;
		float f32;
		double f64;
	} v;

	memcpy(&v, p, col->type == PL_NPY_BYTES ? 0 : pl_npy_type_size(col->type));
	switch (col->type) {
	case PL_NPY_U8: return (double)*p;
	case PL_NPY_U16: return (double)v.u16;
	case PL_NPY_U32: return (double)v.u32;
	case PL_NPY_U64: return (double)v.u64;
	case PL_NPY_I32: return (double)v.i32;
	case PL_NPY_I64: return (double)v.i64;
	case PL_NPY_F32: return (double)v.f32;
	case PL_NPY_F64: return v.f64;
	case PL_NPY_BYTES: break;
	}
	return 0;
}
