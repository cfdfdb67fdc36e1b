/* SPDX-License-Identifier: Apache-2.0 */
/* Compact JSON straight into a buffer, in a fixed key order. Bytes that are
 * not UTF-8 (a member name can hold any) become U+FFFD, so that every reader
 * can open what is written. */
#include "stage_json.h"

#include <string.h>

static const char hex_digits[] = "0123456789abcdef";

/* s[len] is UTF-8; runs without anything to escape are copied whole. */
static enum pl_status add_escaped(struct pl_buf *out, const char *s, size_t len, struct pl_err *err)
{
	size_t from = 0;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < len && st == PL_OK; i++) {
		unsigned char c = (unsigned char)s[i];
		char code[7] = {'\\', (char)c, 0};
		size_t code_len = 2;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		if (c == '\n') {
			code[1] = 'n';
		} else if (c == '\t') {
			code[1] = 't';
		} else if (c == '\r') {
			code[1] = 'r';
		} else if (c < 0x20) {
			memcpy(code, "\\u00", 4);
			code[4] = hex_digits[c >> 4];
			code[5] = hex_digits[c & 15];
			code_len = 6;
		}
		st = pl_buf_add(out, s + from, i - from, err);
		if (st == PL_OK)
			st = pl_buf_add(out, code, code_len, err);
		from = i + 1;
	}
	return st == PL_OK ? pl_buf_add(out, s + from, len - from, err) : st;
}

static enum pl_status add_string(struct pl_buf *out, const char *s, size_t len, struct pl_err *err)
{
	size_t bad = 0;
	enum pl_status st = pl_buf_adds(out, "\"", err);

	while (st == PL_OK && !pl_utf8_valid(s, len, &bad)) {
		st = add_escaped(out, s, bad, err);
		if (st == PL_OK)
			st = pl_buf_adds(out, "\xEF\xBF\xBD", err);
		s += bad + 1;
		len -= bad + 1;
	}
	if (st == PL_OK)
		st = add_escaped(out, s, len, err);
	return st == PL_OK ? pl_buf_adds(out, "\"", err) : st;
}

/* before, then "s" */
static enum pl_status add_named(
    struct pl_buf *out, const char *before, const char *s, size_t len, struct pl_err *err)
{
	enum pl_status st = pl_buf_adds(out, before, err);

	return st == PL_OK ? add_string(out, s, len, err) : st;
}

enum pl_status pl_stage_json_text(
    struct pl_buf *out, const char *name, const char *text, size_t len, struct pl_err *err)
{
	enum pl_status st = pl_buf_addf(out, err, ",\"%s\":", name);

	return st == PL_OK ? add_string(out, text, len, err) : st;
}

static enum pl_status add_tiles(
    struct pl_buf *out, const struct pl_stage_image *im, size_t number, struct pl_err *err)
{
	enum pl_status st = pl_buf_addf(out, err, ",\"original\":[%u,%u],\"grid\":[%u,%u],\"tile\":[%u,%u]",
	    (unsigned)im->original_w, (unsigned)im->original_h, (unsigned)im->columns, (unsigned)im->rows,
	    (unsigned)im->tile_w, (unsigned)im->tile_h);

	for (size_t i = 0; i < im->ntiles && st == PL_OK; i++)
		st = pl_buf_addf(out, err, "%s\"%zu.t%zu.%s\"", i > 0 ? "," : ",\"tiles\":[", number, i,
		    pl_format_extension(im->format));
	return st == PL_OK && im->ntiles > 0 ? pl_buf_adds(out, "]", err) : st;
}

/* Without a picture of its own, a segment has tiles only. */
static enum pl_status add_image(struct pl_buf *out, const struct pl_stage_image *im,
    const struct pl_out_segment *s, struct pl_err *err)
{
	enum pl_status st = pl_buf_adds(out, "{\"type\":\"image\"", err);

	if (st == PL_OK && (im->len > 0 || im->ntiles == 0)) {
		st = add_named(out, ",\"part\":", s->part, strlen(s->part), err);
		if (st == PL_OK)
			st = pl_buf_addf(out, err, ",\"width\":%u,\"height\":%u", (unsigned)im->width,
			    (unsigned)im->height);
	}
	if (st == PL_OK && im->tokens > 0)
		st = pl_buf_addf(out, err, ",\"tokens\":%llu", (unsigned long long)im->tokens);
	return st == PL_OK && im->columns > 0 ? add_tiles(out, im, s->number, err) : st;
}

static enum pl_status add_segment(struct pl_buf *out, const struct pl_stage_input *in,
    const struct pl_out_segment *s, struct pl_err *err)
{
	enum pl_status st = s->is_image
	    ? add_image(out, &in->images[s->image], s, err)
	    : add_named(out, "{\"type\":\"text\",\"text\":", s->text, s->text_len, err);

	if (st == PL_OK && s->role != PL_ROLE_NONE)
		st = pl_buf_addf(out, err, ",\"role\":\"%s\"", pl_role_names[s->role]);
	if (st == PL_OK && s->branch != PL_BRANCH_SHARED)
		st = pl_buf_addf(out, err, ",\"branch\":\"%s\"", pl_branch_names[s->branch]);
	if (st == PL_OK && !s->is_image)
		st = pl_buf_addf(out, err, ",\"loss\":%s", s->loss ? "true" : "false");
	return st == PL_OK ? pl_buf_adds(out, "}", err) : st;
}

/* The few fields of the sample's own JSON that are worth carrying and safe to: strings and numbers of
 * these names. */
static enum pl_status add_meta(struct pl_buf *out, const json_t *meta, struct pl_err *err)
{
	static const char *const allowed[] = {"url", "license", "similarity"};
	enum pl_status st = PL_OK;
	bool any = false;

	for (size_t i = 0; i < PL_ARRAY_LEN(allowed) && st == PL_OK; i++) {
		const json_t *v = json_object_get(meta, allowed[i]);
		if (!json_is_string(v) && !json_is_number(v))
			continue;
		st = pl_buf_addf(out, err, "%s\"%s\":", any ? "," : ",\"meta\":{", allowed[i]);
		any = true;
		if (st == PL_OK && json_is_string(v))
			st = add_string(out, json_string_value(v), json_string_length(v), err);
		else if (st == PL_OK)
			st = pl_json_dump(v, false, out, err);
	}
	return st == PL_OK && any ? pl_buf_adds(out, "}", err) : st;
}

static enum pl_status add_head(
    struct pl_buf *out, const struct pl_stage_input *in, enum pl_stage stage, struct pl_err *err)
{
	enum pl_status st = add_named(out, "{\"key\":", in->key, strlen(in->key), err);

	if (st == PL_OK)
		st = add_named(out, ",\"source\":", in->source, strlen(in->source), err);
	if (st == PL_OK)
		st = add_named(out, ",\"origin\":{\"shard\":", in->origin_shard, strlen(in->origin_shard), err);
	if (st == PL_OK)
		st = add_named(out, ",\"key\":", in->origin_key, strlen(in->origin_key), err);
	if (st == PL_OK)
		st = pl_buf_adds(out, "}", err);
	if (st == PL_OK && in->pass > 0)
		st = pl_buf_addf(out, err, ",\"pass\":%llu", (unsigned long long)in->pass);
	if (st == PL_OK)
		st = pl_buf_addf(out, err, ",\"kind\":\"%s\",\"stage\":\"%s\",\"segments\":[",
		    pl_kind_names[in->doc->kind], pl_stage_names[stage]);
	return st;
}

enum pl_status pl_stage_json(const struct pl_stage_input *in, enum pl_stage stage,
    const struct pl_out_segment *segments, size_t n, uint64_t images, const struct pl_buf *flat,
    struct pl_buf *out, struct pl_err *err)
{
	enum pl_status st = add_head(out, in, stage, err);

	for (size_t i = 0; i < n && st == PL_OK; i++) {
		if (i > 0)
			st = pl_buf_adds(out, ",", err);
		if (st == PL_OK)
			st = add_segment(out, in, &segments[i], err);
	}
	if (st == PL_OK)
		st = pl_buf_addf(out, err, "],\"images\":%llu", (unsigned long long)images);
	if (st == PL_OK && flat->len > 0)
		st = pl_buf_add(out, flat->data, flat->len, err);
	if (st == PL_OK && in->doc->meta)
		st = add_meta(out, in->doc->meta, err);
	return st == PL_OK ? pl_buf_adds(out, "}", err) : st;
}
