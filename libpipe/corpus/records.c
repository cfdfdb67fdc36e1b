/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting files of records as a stream: one chunk and one record are in
 * memory. The JSON splitter finds where a value ends (strings, escapes,
 * nesting) and leaves judging it to the parser, so that one bad record costs
 * one record. */
#include "records.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "libpipe/base/buf.h"
#include "shards/bytes.h"

enum { CHUNK = 256 << 10 };
#define DEFAULT_MAX_RECORD ((uint64_t)256 << 20)

enum form { FORM_LINES, FORM_TEXT, FORM_JSON };
/* Where the JSON splitter stands. SEQUENCE: one value after another, no array around them. */
enum where { START, SEQUENCE, ARRAY_FIRST, ARRAY_VALUE, ARRAY_COMMA, ARRAY_DONE };

struct pl_records {
	struct shard_stream *stream;
	char *path;
	enum form form;
	enum where where;
	uint8_t *chunk;
	size_t have, at;
	uint64_t base;          /* offset of chunk[0] in the uncompressed stream */
	bool begun, ended;
	struct pl_buf record;
	uint64_t record_max;
	uint64_t record_at;     /* offset of the record under way */
	uint64_t record_len;    /* its bytes so far, kept or not */
	uint64_t count;         /* records handed out */
	struct pl_layout layout;
	const struct pl_layout_member *part;   /* whose elements are the records; NULL: those of the file */
	bool members;           /* the part is an object */
	struct pl_err damage;   /* what ended the file early; told again at every further call */
};

/* The extension in front of an optional compression suffix: its start and length. */
static const char *record_extension(const char *path, size_t *len)
{
	static const char *const packers[] = {".gz", ".zst", ".xz", ".bz2"};
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	size_t n = strlen(name);

	for (size_t i = 0; i < PL_ARRAY_LEN(packers); i++) {
		size_t p = strlen(packers[i]);
		if (n > p && strcasecmp(name + n - p, packers[i]) == 0) {
			n -= p;
			break;
		}
	}
	for (size_t i = n; i-- > 0;) {
		if (name[i] == '.') {
			*len = n - i - 1;
			return name + i + 1;
		}
	}
	*len = 0;
	return name;
}

static bool form_by_name(const char *path, enum form *form)
{
	static const struct { const char *ext; enum form form; } forms[] = {
		{"jsonl", FORM_LINES}, {"ndjson", FORM_LINES}, {"json", FORM_JSON}, {"txt",
		    FORM_TEXT},
	};
	size_t len;
	const char *ext = record_extension(path, &len);

	for (size_t i = 0; i < PL_ARRAY_LEN(forms); i++) {
		if (strlen(forms[i].ext) == len && strncasecmp(ext, forms[i].ext, len) == 0) {
			*form = forms[i].form;
			return true;
		}
	}
	return false;
}

bool pl_records_name(const char *path)
{
	enum form form;

	return form_by_name(path, &form);
}

const struct pl_layout *pl_records_layout(const struct pl_records *r)
{
	return &r->layout;
}

static enum pl_status find_part(struct pl_records *r, const char *part, struct pl_err *err)
{
	static const char *const parts[] = {[PL_LAYOUT_PLAIN] = NULL, [PL_LAYOUT_DATA] = "data", [PL_LAYOUT_COCO] = "annotations",
	    [PL_LAYOUT_QUESTIONS] = "questions", [PL_LAYOUT_ANSWERS] = NULL};
	enum pl_status st;

	if (r->form != FORM_JSON)
		return PL_OK;
	st = pl_layout_read(r->path, &r->layout, err);
	if (st != PL_OK || r->layout.kind == PL_LAYOUT_PLAIN)
		return st;
	if (part != NULL)
		r->part = pl_layout_member(&r->layout, part);
	if (r->part == NULL && parts[r->layout.kind] != NULL)
		r->part = pl_layout_member(&r->layout, parts[r->layout.kind]);
	if (r->part != NULL && r->part->first != '[' && r->part->first != '{')
		r->part = NULL;
	r->members = r->part != NULL && r->part->first == '{';
	return PL_OK;
}

static enum pl_status open_stream(struct pl_records *r, const char *part, struct pl_err *err)
{
	enum pl_status st;

	if (r->path == NULL || r->chunk == NULL)
		return pl_fail_nomem(err);
	st = r->members ? PL_OK : find_part(r, part, err);
	return st == PL_OK ? shard_stream_open(&r->stream, r->path, err) : st;
}

static enum pl_status open_records(struct pl_records **out, const char *path, bool members, const char *part, uint64_t max_record,
    struct pl_err *err)
{
	struct pl_records *r;
	enum pl_status st;
	enum form form;

	if (!form_by_name(path, &form) || (members && form != FORM_JSON))
		return pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_SHARD, path,
		    "not a file of records by its name (.jsonl, .ndjson, .json or .txt, "
		    "with or without .gz, .zst, .xz, .bz2)");
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return pl_fail_nomem(err);
	r->form = form;
	r->members = members;
	r->record_max = max_record != 0 ? max_record : DEFAULT_MAX_RECORD;
	if (r->record_max > SIZE_MAX / 4)
		r->record_max = SIZE_MAX / 4;
	pl_buf_init(&r->record, (size_t)r->record_max + 1);
	r->path = strdup(path);
	r->chunk = malloc(CHUNK);
	st = open_stream(r, part, err);
	if (st != PL_OK) {
		pl_records_close(r);
		return st;
	}
	*out = r;
	return PL_OK;
}

enum pl_status pl_records_open(struct pl_records **out, const char *path, uint64_t max_record,
    struct pl_err *err)
{
	return open_records(out, path, false, NULL, max_record, err);
}

enum pl_status pl_records_open_part(struct pl_records **out, const char *path, const char *part, uint64_t max_record,
    struct pl_err *err)
{
	return open_records(out, path, false, part, max_record, err);
}

enum pl_status pl_records_open_members(struct pl_records **out, const char *path, uint64_t max_record, struct pl_err *err)
{
	return open_records(out, path, true, NULL, max_record, err);
}

void pl_records_close(struct pl_records *r)
{
	if (r == NULL)
		return;
	shard_stream_close(r->stream);
	pl_buf_release(&r->record);
	free(r->chunk);
	free(r->path);
	free(r);
}

void pl_records_digest(const struct pl_records *r, uint64_t hash[2], uint64_t *bytes)
{
	shard_stream_digest(r->stream, hash, bytes);
}

static enum pl_status damaged(struct pl_records *r, enum pl_status status, uint64_t offset,
    const char *what)
{
	pl_fail(&r->damage, status, PL_SEV_SHARD, r->path, "%s after %" PRIu64 " records", what,
	    r->count);
	pl_err_at_offset(&r->damage, offset);
	return status;
}

static uint64_t offset_now(const struct pl_records *r)
{
	return r->base + r->at;
}

/* At least one byte at chunk[at], or r->ended. */
static enum pl_status fill(struct pl_records *r)
{
	enum pl_status st;
	size_t got = 0;

	if (r->at < r->have || r->ended)
		return PL_OK;
	r->base += r->have;
	r->have = 0;
	r->at = 0;
	st = shard_stream_read(r->stream, r->chunk, CHUNK, &got, &r->damage);
	if (st == PL_OK) {
		r->have = got;
		r->ended = got == 0;
	}
	return st;
}

/* A byte order mark may come in pieces. */
static enum pl_status skip_mark(struct pl_records *r)
{
	enum pl_status st = PL_OK;

	while (r->have < 3 && !r->ended && st == PL_OK) {
		size_t got = 0;
		st = shard_stream_read(r->stream, r->chunk + r->have, CHUNK - r->have, &got,
		    &r->damage);
		if (st == PL_OK) {
			r->have += got;
			r->ended = got == 0;
		}
	}
	if (st != PL_OK)
		return st;
	/* the end is met again, by fill, once these bytes are used up */
	if (r->have > 0)
		r->ended = false;
	if (r->have >= 3 && memcmp(r->chunk, "\xEF\xBB\xBF", 3) == 0)
		r->at = 3;
	return PL_OK;
}

static void start_record(struct pl_records *r)
{
	pl_buf_clear(&r->record);
	r->record_at = offset_now(r);
	r->record_len = 0;
}

/* The next n bytes of the chunk belong to the record. Past the ceiling, and one for a CR that will
 * be cut off, they are
 * only counted. */
static enum pl_status take(struct pl_records *r, size_t n)
{
	enum pl_status st = PL_OK;

	r->record_len += n;
	if (r->record_len <= r->record_max + 1)
		st = pl_buf_add(&r->record, r->chunk + r->at, n, &r->damage);
	else
		pl_buf_release(&r->record);
	r->at += n;
	return st;
}

static void hand_out(struct pl_records *r, struct pl_record_text *out)
{
	*out = (struct pl_record_text){.len = (size_t)r->record_len, .offset = r->record_at,
	    .index = r->count++,
		.plain_text = r->form == FORM_TEXT, .too_large = r->record_len > r->record_max};
	if (!out->too_large)
		out->text = (const char *)r->record.data;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_blank(const struct pl_records *r)
{
	if (r->record_len > r->record_max)
		return false;
	for (size_t i = 0; i < r->record.len; i++) {
		if (!is_space(r->record.data[i]))
			return false;
	}
	return true;
}

/* One line, its line end (LF or CRLF) used up but not part of the record. */
static enum pl_status read_line(struct pl_records *r)
{
	uint8_t last = 0;
	enum pl_status st;

	start_record(r);
	for (;;) {
		const uint8_t *from, *lf;
		size_t n;
		st = fill(r);
		if (st != PL_OK)
			return st;
		if (r->ended)
			break;
		if (r->record_len == 0)
			r->record_at = offset_now(r);
		from = r->chunk + r->at;
		lf = memchr(from, '\n', r->have - r->at);
		n = lf != NULL ? (size_t)(lf - from) : r->have - r->at;
		if (n > 0) {
			last = from[n - 1];
			st = take(r, n);
			if (st != PL_OK)
				return st;
		}
		if (lf != NULL) {
			r->at++;
			break;
		}
	}
	if (last == '\r') {
		r->record_len--;
		if (r->record.len > 0)
			r->record.data[--r->record.len] = '\0';
	}
	return PL_OK;
}

static enum pl_status next_line(struct pl_records *r, struct pl_record_text *out)
{
	enum pl_status st;

	do {
		st = read_line(r);
		if (st != PL_OK)
			return st;
		if (r->ended && r->record_len == 0)
			return PL_END;
	} while (is_blank(r));
	hand_out(r, out);
	return PL_OK;
}

/* Past white space: chunk[at] is the next byte, or r->ended. */
static enum pl_status skip_space(struct pl_records *r)
{
	enum pl_status st;

	for (;;) {
		st = fill(r);
		if (st != PL_OK || r->ended)
			return st;
		while (r->at < r->have && is_space(r->chunk[r->at]))
			r->at++;
		if (r->at < r->have)
			return PL_OK;
	}
}

/* State within one JSON value. Depth is only counted: the parser has the ceiling, and refuses that
 * one record. */
struct scan { uint64_t depth; bool in_string, escaped, scalar; };

/* Feed p[n); true when the value ends within, behind *used bytes. */
static bool feed(struct scan *s, const uint8_t *p, size_t n, size_t *used)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t c = p[i];
		*used = i + 1;
		if (s->in_string) {
			if (s->escaped)
				s->escaped = false;
			else if (c == '\\')
				s->escaped = true;
			else if (c == '"')
				s->in_string = false;
			if (!s->in_string && s->depth == 0)
				return true;
		} else if (s->scalar) {
			if (is_space(c) || c == ',' || c == ']' || c == '}') {
				*used = i;
				return true;
			}
		} else if (c == '"') {
			s->in_string = true;
		} else if (c == '[' || c == '{') {
			s->depth++;
		} else if (c == ']' || c == '}') {
			if (--s->depth == 0)
				return true;
		} else if (s->depth == 0) {
			s->scalar = true;
		}
	}
	*used = n;
	return false;
}

/* Take the value that begins at chunk[at], which is neither white space nor ',' ']' '}' ':'. */
static enum pl_status take_value(struct pl_records *r)
{
	struct scan s = {0};
	enum pl_status st;
	bool done = false;

	while (!done) {
		size_t used = 0;
		st = fill(r);
		if (st != PL_OK)
			return st;
		if (r->ended) {
			if (s.scalar)
				return PL_OK;
			return damaged(r, PL_ERR_TRUNCATED, r->record_at,
			    "the file ends inside a JSON value");
		}
		done = feed(&s, r->chunk + r->at, r->have - r->at, &used);
		st = take(r, used);
		if (st != PL_OK)
			return st;
	}
	return PL_OK;
}

/* Take white space and the colon behind a member's name. */
static enum pl_status take_colon(struct pl_records *r)
{
	bool colon = false;

	for (;;) {
		enum pl_status st = fill(r);
		uint8_t c;
		if (st != PL_OK)
			return st;
		if (r->ended)
			return damaged(r, PL_ERR_TRUNCATED, r->record_at, "the file ends inside a JSON object");
		c = r->chunk[r->at];
		if (!is_space(c) && (colon || c != ':'))
			return colon && c != ',' && c != '}' && c != ']' && c != ':' ? PL_OK :
			    damaged(r, PL_ERR_INVALID, offset_now(r), "not what JSON has here");
		colon = colon || c == ':';
		st = take(r, 1);
		if (st != PL_OK)
			return st;
	}
}

static enum pl_status read_value(struct pl_records *r)
{
	enum pl_status st;

	start_record(r);
	st = take_value(r);
	if (st == PL_OK && r->members)
		st = take_colon(r);
	return st == PL_OK && r->members ? take_value(r) : st;
}

/* Is c a bracket or comma of the array that belongs here? Then r->where moves on. */
static bool array_mark(struct pl_records *r, uint8_t c)
{
	if (r->where == START && c == (r->members ? '{' : '['))
		r->where = ARRAY_FIRST;
	else if (r->where == ARRAY_COMMA && c == ',')
		r->where = ARRAY_VALUE;
	else if ((r->where == ARRAY_FIRST || r->where == ARRAY_COMMA) && c == (r->members ? '}' : ']'))
		r->where = ARRAY_DONE;
	else
		return false;
	return true;
}

/* Behind the part: nothing but the rest of the object, which was looked through before. */
static enum pl_status drain(struct pl_records *r)
{
	for (;;) {
		enum pl_status st = fill(r);
		if (st != PL_OK)
			return st;
		if (r->ended)
			break;
		r->at = r->have;
	}
	return r->layout.complete ? PL_END : damaged(r, PL_ERR_TRUNCATED, offset_now(r), "the file ends inside its JSON object");
}

/* To the first byte of the part. */
static enum pl_status to_part(struct pl_records *r)
{
	while (offset_now(r) < r->part->offset) {
		enum pl_status st = fill(r);
		uint64_t left = r->part->offset - offset_now(r);
		if (st != PL_OK)
			return st;
		if (r->ended)
			return damaged(r, PL_ERR_TRUNCATED, offset_now(r), "the file is shorter than it was");
		r->at += left < r->have - r->at ? (size_t)left : r->have - r->at;
	}
	return PL_OK;
}

/* Can a value, or the name of a member, begin with c? */
static bool begins_value(const struct pl_records *r, uint8_t c)
{
	return r->members ? c == '"' : c != ',' && c != ']' && c != '}' && c != ':';
}

/* Everything between values: brackets and commas of the array. PL_END, or chunk[at] begins a value. */
static enum pl_status to_value(struct pl_records *r)
{
	for (;;) {
		enum pl_status st = r->part != NULL && r->where == ARRAY_DONE ? drain(r) : skip_space(r);
		uint8_t c;
		if (st != PL_OK)
			return st;
		if (r->ended) {
			if (r->where == START || r->where == SEQUENCE || r->where == ARRAY_DONE)
				return PL_END;
			return damaged(r, PL_ERR_TRUNCATED, offset_now(r),
			    "the file ends inside its JSON array");
		}
		c = r->chunk[r->at];
		if (array_mark(r, c)) {
			r->at++;
		} else if (r->where == ARRAY_DONE) {
			return damaged(r, PL_ERR_INVALID, offset_now(r),
			    "more bytes follow the JSON array (name JSON lines .jsonl)");
		} else if (r->where == ARRAY_COMMA || !begins_value(r, c)) {
			return damaged(r, PL_ERR_INVALID, offset_now(r), "not what JSON has here");
		} else {
			if (r->where == START && r->members)
				return damaged(r, PL_ERR_INVALID, offset_now(r), "not the JSON object that was expected");
			if (r->where == START)
				r->where = SEQUENCE;
			return PL_OK;
		}
	}
}

static enum pl_status next_value(struct pl_records *r, struct pl_record_text *out)
{
	enum pl_status st = to_value(r);

	if (st == PL_OK)
		st = read_value(r);
	if (st != PL_OK)
		return st;
	if (r->where != SEQUENCE)
		r->where = ARRAY_COMMA;
	hand_out(r, out);
	return PL_OK;
}

enum pl_status pl_records_next(struct pl_records *r, struct pl_record_text *out, struct pl_err *err)
{
	enum pl_status st = r->damage.status;

	if (st == PL_OK && !r->begun) {
		r->begun = true;
		st = skip_mark(r);
		if (st == PL_OK && r->part != NULL)
			st = to_part(r);
	}
	if (st == PL_OK)
		st = r->form == FORM_JSON ? next_value(r, out) : next_line(r, out);
	if (st != PL_OK && st != PL_END && err != NULL)
		*err = r->damage;
	return st;
}
