/* SPDX-License-Identifier: Apache-2.0 */
/* A window of rendered documents, and their sequences. Documents come as JSON
 * and go as JSON: what a template adds to one later is carried along. */
#include "sequence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const pl_long_names[] = {"keep", "drop", NULL};

struct held {
	json_t *json;
	uint64_t tokens;
	struct shard_member *members; size_t n;   /* without the JSON; names and bytes lie behind them, in one allocation */
};

struct pl_sequences {
	struct pl_sequence_rule rule;
	uint64_t shard;
	pl_sequence_write_fn *write;
	void *ctx;
	struct held *window; uint32_t held;
	size_t bytes;
	struct pl_sequence_totals totals;
};

/* A sequence under way. */
struct sequence {
	json_t *segments, *documents, *boundaries;
	const char *stage;        /* borrowed of its first document */
	uint64_t tokens, images;
	struct shard_member *members; size_t n;
	char (*names)[48];
};

enum pl_status pl_sequences_new(struct pl_sequences **out, const struct pl_sequence_rule *rule, uint64_t shard,
    pl_sequence_write_fn *write, void *ctx, struct pl_err *err)
{
	struct pl_sequences *s = calloc(1, sizeof(*s));

	if (s) {
		*s = (struct pl_sequences){.rule = *rule, .shard = shard, .write = write, .ctx = ctx};
		s->window = calloc((size_t)rule->window, sizeof(*s->window));
	}
	if (!s || !s->window) {
		free(s);
		return pl_fail_nomem(err);
	}
	*out = s;
	return PL_OK;
}

static void clear(struct pl_sequences *s)
{
	for (uint32_t i = 0; i < s->held; i++) {
		json_decref(s->window[i].json);
		free(s->window[i].members);
	}
	s->held = 0;
	s->bytes = 0;
}

void pl_sequences_free(struct pl_sequences *s)
{
	if (!s)
		return;
	clear(s);
	free(s->window);
	free(s);
}

/* ---- one sequence ---- */

/* "2.t0.webp" with 5 images before it -> "7.t0.webp". */
static enum pl_status renumber(const char *name, uint64_t before, char out[48], struct pl_err *err)
{
	char *rest;
	unsigned long long number = before + strtoull(name, &rest, 10);

	if (rest == name || snprintf(out, 48, "%llu%s", number, rest) >= 48)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "an image called '%.60s' cannot be numbered: please report this", name);
	return PL_OK;
}

/* A JSON string that names an image, as its parent will hold it; NULL: *st tells why. */
static json_t *renumbered(const json_t *name, uint64_t before, enum pl_status *st, struct pl_err *err)
{
	char out[48];
	json_t *j = NULL;

	*st = renumber(json_is_string(name) ? json_string_value(name) : "", before, out, err);
	if (*st == PL_OK && (j = json_string(out)) == NULL)
		*st = pl_fail_nomem(err);
	return j;
}

static enum pl_status renumber_segment(json_t *segment, uint64_t before, struct pl_err *err)
{
	json_t *part = json_object_get(segment, "part"), *tiles = json_object_get(segment, "tiles"), *tile;
	enum pl_status st = PL_OK;
	size_t i;

	if (part != NULL && json_object_set_new(segment, "part", renumbered(part, before, &st, err)) != 0 && st == PL_OK)
		st = pl_fail_nomem(err);
	json_array_foreach(tiles, i, tile) {
		if (st == PL_OK && json_array_set_new(tiles, i, renumbered(tile, before, &st, err)) != 0 && st == PL_OK)
			st = pl_fail_nomem(err);
	}
	return st;
}

/* What is said of a document: all that its own sample would say but for the segments, and where these are. */
static enum pl_status describe(struct sequence *q, const struct held *h, size_t segments, struct pl_err *err)
{
	json_t *d = json_object(), *value;
	const char *key;
	bool bad = d == NULL;

	json_object_foreach(h->json, key, value) {
		if (strcmp(key, "segments") != 0 && strcmp(key, "stage") != 0)
			bad = bad || json_object_set(d, key, value) != 0;
	}
	bad = bad || json_object_set_new(d, "tokens", json_integer((json_int_t)h->tokens)) != 0 ||
	      json_object_set_new(d, "first_segment", json_integer((json_int_t)json_array_size(q->segments))) != 0 ||
	      json_object_set_new(d, "segments", json_integer((json_int_t)segments)) != 0 ||
	      json_array_append(q->documents, d) != 0;
	json_decref(d);
	return bad ? pl_fail_nomem(err) : PL_OK;
}

static enum pl_status add_members(struct sequence *q, const struct held *h, struct pl_err *err)
{
	for (size_t i = 0; i < h->n; i++) {
		enum pl_status st = renumber(h->members[i].suffix, q->images, q->names[q->n], err);
		if (st != PL_OK)
			return st;
		q->members[q->n] = (struct shard_member){q->names[q->n], h->members[i].data, h->members[i].len};
		q->n++;
	}
	return PL_OK;
}

static enum pl_status add_document(struct sequence *q, const struct held *h, struct pl_err *err)
{
	json_t *segments = json_object_get(h->json, "segments"), *segment;
	enum pl_status st = describe(q, h, json_array_size(segments), err);
	size_t i;

	if (st == PL_OK)
		st = add_members(q, h, err);
	json_array_foreach(segments, i, segment) {
		if (st == PL_OK)
			st = renumber_segment(segment, q->images, err);
		if (st == PL_OK && json_array_append(q->segments, segment) != 0)
			st = pl_fail_nomem(err);
	}
	q->images += (uint64_t)json_integer_value(json_object_get(h->json, "images"));
	q->tokens += h->tokens;
	if (!q->stage)
		q->stage = pl_json_str(h->json, "stage");
	if (st == PL_OK && json_array_append_new(q->boundaries, json_integer((json_int_t)q->tokens)) != 0)
		st = pl_fail_nomem(err);
	return st;
}

static enum pl_status write_sequence(struct pl_sequences *s, struct sequence *q, struct pl_err *err)
{
	struct pl_buf text;
	char key[48];
	json_t *j;
	enum pl_status st;

	pl_buf_init(&text, 0);
	snprintf(key, sizeof(key), "%06llu-%06llu", (unsigned long long)s->shard, (unsigned long long)s->totals.sequences);
	j = json_pack("{s:s,s:s,s:s,s:I,s:I,s:O,s:I,s:O,s:O}", "key", key, "kind", "sequence", "stage", q->stage ? q->stage : "", "budget",
	    (json_int_t)s->rule.tokens, "tokens", (json_int_t)q->tokens, "segments", q->segments, "images", (json_int_t)q->images, "documents",
	    q->documents, "boundaries", q->boundaries);
	st = j ? pl_json_dump(j, false, &text, err) : pl_fail_nomem(err);
	q->members[0] = (struct shard_member){"json", text.data, text.len};
	if (st == PL_OK)
		st = s->write(s->ctx, key, q->members, q->n, err);
	s->totals.sequences++;
	s->totals.documents += json_array_size(q->documents);
	s->totals.filled += q->tokens < s->rule.tokens ? q->tokens : s->rule.tokens;
	s->totals.longer += q->tokens > s->rule.tokens;
	json_decref(j);
	pl_buf_release(&text);
	return st;
}

/* The documents first, next[first], ... to UINT32_MAX. */
static enum pl_status make_sequence(struct pl_sequences *s, uint32_t first, const uint32_t *next, struct pl_err *err)
{
	struct sequence q = {.segments = json_array(), .documents = json_array(), .boundaries = json_array(), .n = 1};
	size_t members = 1;
	enum pl_status st = PL_OK;

	for (uint32_t i = first; i != UINT32_MAX; i = next[i])
		members += s->window[i].n;
	q.members = calloc(members, sizeof(*q.members));
	q.names = calloc(members, sizeof(*q.names));
	if (!q.segments || !q.documents || !q.boundaries || !q.members || !q.names ||
	    json_array_append_new(q.boundaries, json_integer(0)) != 0)
		st = pl_fail_nomem(err);
	for (uint32_t i = first; i != UINT32_MAX && st == PL_OK; i = next[i])
		st = add_document(&q, &s->window[i], err);
	if (st == PL_OK)
		st = write_sequence(s, &q, err);
	json_decref(q.segments);
	json_decref(q.documents);
	json_decref(q.boundaries);
	free(q.members);
	free(q.names);
	return st;
}

/* ---- the window ---- */

static enum pl_status pack_window(struct pl_sequences *s, struct pl_err *err)
{
	size_t room = (size_t)s->held + 1;
	uint64_t *costs = calloc(room, sizeof(*costs));
	uint32_t *bins = calloc(room, sizeof(*bins)), *first = malloc(room * sizeof(*first)), *next = malloc(room * sizeof(*next)), n = 0;
	enum pl_status st = costs && bins && first && next ? PL_OK : pl_fail_nomem(err);

	for (uint32_t i = 0; st == PL_OK && i < s->held; i++)
		costs[i] = s->window[i].tokens;
	if (st == PL_OK)
		st = pl_first_fit(costs, s->held, s->rule.tokens, bins, &n, err);
	for (uint32_t bin = 0; st == PL_OK && bin < n; bin++)
		first[bin] = UINT32_MAX;
	for (uint32_t i = st == PL_OK ? s->held : 0; i-- > 0;) {
		next[i] = first[bins[i]];
		first[bins[i]] = i;
	}
	for (uint32_t bin = 0; bin < n && st == PL_OK; bin++)
		st = make_sequence(s, first[bin], next, err);
	clear(s);
	free(costs);
	free(bins);
	free(first);
	free(next);
	return st;
}

/* The images' names and bytes, in one allocation. */
static struct shard_member *copy_members(const struct shard_member *from, size_t n, size_t *bytes)
{
	struct shard_member *to;
	char *at;

	*bytes = (n + 1) * sizeof(*to);
	for (size_t i = 0; i < n; i++)
		*bytes += strlen(from[i].suffix) + 1 + from[i].len;
	to = malloc(*bytes);
	if (!to)
		return NULL;
	at = (char *)(to + n + 1);
	for (size_t i = 0; i < n; i++) {
		size_t name = strlen(from[i].suffix) + 1;
		memcpy(at, from[i].suffix, name);
		if (from[i].len > 0)
			memcpy(at + name, from[i].data, from[i].len);
		to[i] = (struct shard_member){at, at + name, from[i].len};
		at += name + from[i].len;
	}
	return to;
}

enum pl_status pl_sequences_add(struct pl_sequences *s, const struct shard_member *members, size_t n, uint64_t tokens, struct pl_err *err)
{
	struct held *h = &s->window[s->held];
	size_t bytes = 0;
	enum pl_status st;

	*h = (struct held){.tokens = tokens, .n = n - 1};
	st = pl_json_parse(members[0].data, members[0].len, &h->json, err);
	if (st != PL_OK) {
		if (err)
			err->severity = PL_SEV_JOB;
		return st;
	}
	h->members = copy_members(members + 1, n - 1, &bytes);
	s->held++;
	if (!h->members)
		return pl_fail_nomem(err);
	s->bytes += bytes + 4 * members[0].len;
	return s->held == s->rule.window || s->bytes >= PL_SEQUENCE_BYTES ? pack_window(s, err) : PL_OK;
}

enum pl_status pl_sequences_finish(struct pl_sequences *s, struct pl_sequence_totals *totals, struct pl_err *err)
{
	enum pl_status st = s->held > 0 ? pack_window(s, err) : PL_OK;

	*totals = s->totals;
	return st;
}
