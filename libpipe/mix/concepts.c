/* SPDX-License-Identifier: Apache-2.0 */
/* The trie of words: words are interned, and an edge is (node, word) -> node in
 * one hash table. */
#include "concepts.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "libpipe/base/hash.h"
#include "libpipe/base/json.h"

#define NONE UINT32_MAX

struct edge { uint32_t node, word, child; };   /* child 0: free; the root is nobody's child */

struct pl_concepts {
	struct pl_buf text;          /* entries and words, each NUL-terminated */
	struct pl_buf entries;       /* uint64_t: where in text */
	struct pl_buf words;         /* uint64_t: where in text */
	struct pl_buf nodes;         /* uint32_t: the entry that ends here, or NONE; the root first */
	uint32_t *slots;             /* open addressing: 1 + word, 0 = free */
	struct edge *edges;          /* open addressing */
	size_t nslots, edge_room, nedges;
	struct pl_buf spaced, ids;   /* of the text being matched; uint32_t per word, NONE = in no entry */
};

static uint32_t numbers(const struct pl_buf *b, size_t size)
{
	return (uint32_t)(b->len / size);
}

/* Allocated by malloc, filled with whole elements: aligned. */
static void *elements(const struct pl_buf *b)
{
	return b->data;
}

static const char *string_at(const struct pl_concepts *c, const struct pl_buf *offsets, uint32_t i)
{
	return (const char *)c->text.data + ((const uint64_t *)elements(offsets))[i];
}

uint32_t pl_concepts_count(const struct pl_concepts *c)
{
	return numbers(&c->entries, sizeof(uint64_t));
}

const char *pl_concepts_entry(const struct pl_concepts *c, uint32_t i)
{
	return string_at(c, &c->entries, i);
}

uint64_t pl_concepts_hash(const struct pl_concepts *c, uint32_t i)
{
	const char *s = pl_concepts_entry(c, i);

	return pl_hash64(s, strlen(s));
}

static enum pl_status add_string(struct pl_concepts *c, struct pl_buf *offsets, const char *s, size_t len, struct pl_err *err)
{
	uint64_t at = c->text.len;
	enum pl_status st = pl_buf_add(&c->text, s, len, err);

	if (st == PL_OK)
		st = pl_buf_add(&c->text, "", 1, err);
	return st == PL_OK ? pl_buf_add(offsets, &at, sizeof(at), err) : st;
}

/* ---- words ---- */

/* The slot of a word: its own, or the free one where it would go. */
static uint32_t *slot_of(const struct pl_concepts *c, const char *s, size_t len)
{
	size_t i = (size_t)pl_hash64(s, len) & (c->nslots - 1);

	for (; c->slots[i] != 0; i = (i + 1) & (c->nslots - 1)) {
		const char *word = string_at(c, &c->words, c->slots[i] - 1);
		if (strlen(word) == len && memcmp(word, s, len) == 0)
			break;
	}
	return &c->slots[i];
}

static enum pl_status grow_slots(struct pl_concepts *c, struct pl_err *err)
{
	uint32_t n = numbers(&c->words, sizeof(uint64_t));
	size_t room = c->nslots ? c->nslots * 2 : 1024;
	uint32_t *slots;

	if (c->nslots > 2 * (size_t)n)
		return PL_OK;
	slots = calloc(room, sizeof(*slots));
	if (!slots)
		return pl_fail_nomem(err);
	free(c->slots);
	c->slots = slots;
	c->nslots = room;
	for (uint32_t i = 0; i < n; i++) {
		const char *word = string_at(c, &c->words, i);
		*slot_of(c, word, strlen(word)) = 1 + i;
	}
	return PL_OK;
}

static enum pl_status intern(struct pl_concepts *c, const char *s, size_t len, uint32_t *word, struct pl_err *err)
{
	enum pl_status st = grow_slots(c, err);
	uint32_t *slot;

	if (st != PL_OK)
		return st;
	slot = slot_of(c, s, len);
	if (*slot == 0) {
		if ((st = add_string(c, &c->words, s, len, err)) != PL_OK)
			return st;
		*slot = numbers(&c->words, sizeof(uint64_t));
	}
	*word = *slot - 1;
	return PL_OK;
}

/* ---- edges ---- */

static struct edge *edge_of(const struct pl_concepts *c, uint32_t node, uint32_t word)
{
	size_t i = (size_t)pl_mix64((uint64_t)node << 32 | word) & (c->edge_room - 1);

	while (c->edges[i].child != 0 && (c->edges[i].node != node || c->edges[i].word != word))
		i = (i + 1) & (c->edge_room - 1);
	return &c->edges[i];
}

static enum pl_status grow_edges(struct pl_concepts *c, struct pl_err *err)
{
	struct edge *old = c->edges;
	size_t n = c->edge_room, room = n ? n * 2 : 1024;

	if (n > 2 * c->nedges)
		return PL_OK;
	c->edges = calloc(room, sizeof(*c->edges));
	if (!c->edges) {
		c->edges = old;
		return pl_fail_nomem(err);
	}
	c->edge_room = room;
	for (size_t i = 0; i < n; i++) {
		if (old[i].child != 0)
			*edge_of(c, old[i].node, old[i].word) = old[i];
	}
	free(old);
	return PL_OK;
}

static enum pl_status add_node(struct pl_concepts *c, struct pl_err *err)
{
	uint32_t none = NONE;

	return pl_buf_add(&c->nodes, &none, sizeof(none), err);
}

/* The child of a node, made when it is not there. */
static enum pl_status descend(struct pl_concepts *c, uint32_t word, uint32_t *node, struct pl_err *err)
{
	enum pl_status st = grow_edges(c, err);
	struct edge *e;

	if (st != PL_OK)
		return st;
	e = edge_of(c, *node, word);
	if (e->child == 0) {
		*e = (struct edge){*node, word, numbers(&c->nodes, sizeof(uint32_t))};
		c->nedges++;
		st = add_node(c, err);
	}
	*node = e->child;
	return st;
}

/* ---- lists ---- */

static enum pl_status add_entry(struct pl_concepts *c, const char *s, size_t len, const char **wrong, struct pl_err *err)
{
	uint32_t node = 0, word = 0, *ends;
	size_t words = 0, at = 0;
	enum pl_status st = PL_OK;

	*wrong = NULL;
	if (len > PL_CONCEPT_BYTES_MAX)
		*wrong = "longer than 4096 bytes";
	else if (pl_concepts_count(c) >= PL_CONCEPTS_MAX)
		*wrong = "one more than 16,777,216 entries";
	else if (memchr(s, '\0', len) || !pl_utf8_valid(s, len, &at))
		*wrong = "not UTF-8 text";
	at = 0;
	while (!*wrong && st == PL_OK && at <= len) {
		const char *space = memchr(s + at, ' ', len - at);
		size_t n = space ? (size_t)(space - s) - at : len - at;
		if (++words > PL_CONCEPT_WORDS_MAX)
			*wrong = "of more than 64 words";
		st = intern(c, s + at, n, &word, err);
		if (st == PL_OK)
			st = descend(c, word, &node, err);
		at += n + 1;
	}
	if (*wrong || st != PL_OK)
		return st;
	ends = (uint32_t *)elements(&c->nodes) + node;
	if (*ends != NONE)
		return PL_OK;
	*ends = pl_concepts_count(c);
	return add_string(c, &c->entries, s, len, err);
}

static enum pl_status fold_entry(const char *s, size_t len, char **folded, struct pl_err *err)
{
	utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)len, (utf8proc_uint8_t **)folded,
	    UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);

	if (n >= 0)
		return PL_OK;
	*folded = NULL;
	return n == UTF8PROC_ERROR_NOMEM ? pl_fail_nomem(err) : PL_OK;   /* not UTF-8: add_entry says so */
}

/* number: of the line or the element, from 1. */
static enum pl_status take_entry(struct pl_concepts *c, const char *s, size_t len, bool fold, const char *path, size_t number,
    struct pl_err *err)
{
	const char *wrong = NULL;
	char *folded = NULL;
	enum pl_status st = fold && len <= PL_CONCEPT_BYTES_MAX ? fold_entry(s, len, &folded, err) : PL_OK;

	if (st == PL_OK)
		st = add_entry(c, folded ? folded : s, folded ? strlen(folded) : len, &wrong, err);
	free(folded);
	if (st == PL_OK && wrong)
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, path, "entry %zu of the concept list is %s", number, wrong);
	return st;
}

static enum pl_status take_lines(struct pl_concepts *c, const char *text, size_t len, bool fold, const char *path, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	size_t number = 0;

	for (size_t at = 0; at < len && st == PL_OK; number++) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t n = end ? (size_t)(end - text) - at : len - at;
		size_t cut = n > 0 && text[at + n - 1] == '\r' ? n - 1 : n;
		if (cut > 0)
			st = take_entry(c, text + at, cut, fold, path, number + 1, err);
		at += n + 1;
	}
	return st;
}

static enum pl_status take_json(struct pl_concepts *c, const char *text, size_t len, bool fold, const char *path, struct pl_err *err)
{
	json_t *list = NULL;
	enum pl_status st = pl_json_parse(text, len, &list, err);

	if (st == PL_ERR_INVALID)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, path, "the concept list begins with '[' but is no JSON array of strings");
	if (st != PL_OK)
		return st;
	for (size_t i = 0; i < json_array_size(list) && st == PL_OK; i++) {
		const json_t *e = json_array_get(list, i);
		if (!json_is_string(e))
			st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, path, "entry %zu of the concept list is no string", i + 1);
		else if (json_string_length(e) > 0)
			st = take_entry(c, json_string_value(e), json_string_length(e), fold, path, i + 1, err);
	}
	json_decref(list);
	return st;
}

enum pl_status pl_concepts_new(struct pl_concepts **out, const char *text, size_t len, bool fold, const char *path, struct pl_err *err)
{
	struct pl_concepts *c = calloc(1, sizeof(*c));
	enum pl_status st;

	*out = NULL;
	if (!c)
		return pl_fail_nomem(err);
	pl_buf_init(&c->text, (size_t)16 << 30);
	pl_buf_init(&c->entries, (size_t)16 << 30);
	pl_buf_init(&c->words, (size_t)16 << 30);
	pl_buf_init(&c->nodes, (size_t)16 << 30);
	pl_buf_init(&c->spaced, 0);
	pl_buf_init(&c->ids, (size_t)16 << 30);
	st = grow_slots(c, err);
	if (st == PL_OK)
		st = grow_edges(c, err);
	if (st == PL_OK)
		st = add_node(c, err);
	if (st == PL_OK)
		st = len > 0 && text[0] == '[' ? take_json(c, text, len, fold, path, err) : take_lines(c, text, len, fold, path, err);
	if (st == PL_OK && pl_concepts_count(c) == 0)
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, path, "the concept list is empty: one entry a line, or a JSON array of strings");
	if (st == PL_OK)
		*out = c;
	else
		pl_concepts_free(c);
	return st;
}

void pl_concepts_free(struct pl_concepts *c)
{
	if (!c)
		return;
	pl_buf_release(&c->text);
	pl_buf_release(&c->entries);
	pl_buf_release(&c->words);
	pl_buf_release(&c->nodes);
	pl_buf_release(&c->spaced);
	pl_buf_release(&c->ids);
	free(c->slots);
	free(c->edges);
	free(c);
}

/* ---- matching ---- */

enum pl_status pl_concept_spaced(const char *text, size_t len, struct pl_buf *out, struct pl_err *err)
{
	enum pl_status st = pl_buf_reserve(out, 3 * len + 1, err);
	uint8_t *to = out->data;

	if (st != PL_OK)
		return st;
	for (size_t i = 0; i < len; i++) {
		char ch = text[i];
		if (ch == ',' || ch == '.' || ch == ';' || ch == ':' || ch == '?' || ch == '!' || ch == '`') {
			*to++ = ' ';
			*to++ = (uint8_t)ch;
			*to++ = ' ';
		} else {
			*to++ = ch == '\t' || ch == '\n' || ch == '\r' ? ' ' : (uint8_t)ch;
		}
	}
	out->len = (size_t)(to - out->data);
	out->data[out->len] = '\0';
	return PL_OK;
}

static enum pl_status number_words(struct pl_concepts *c, struct pl_err *err)
{
	const char *s = (const char *)c->spaced.data;
	size_t len = c->spaced.len;
	enum pl_status st = PL_OK;

	pl_buf_clear(&c->ids);
	for (size_t at = 0; at <= len && st == PL_OK;) {
		const char *space = memchr(s + at, ' ', len - at);
		size_t n = space ? (size_t)(space - s) - at : len - at;
		uint32_t id = *slot_of(c, s + at, n) - 1;   /* a free slot is 0: NONE */
		st = pl_buf_add(&c->ids, &id, sizeof(id), err);
		at += n + 1;
	}
	return st;
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void sort_unique(struct pl_buf *out, size_t from)
{
	uint32_t *found = (uint32_t *)(void *)(out->data + from);
	size_t n = (out->len - from) / sizeof(*found), kept = 0;

	if (n < 2)
		return;
	qsort(found, n, sizeof(*found), compare_numbers);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || found[i] != found[i - 1])
			found[kept++] = found[i];
	}
	out->len = from + kept * sizeof(*found);
}

enum pl_status pl_concepts_match(struct pl_concepts *c, const char *text, size_t len, struct pl_buf *out, struct pl_err *err)
{
	const uint32_t *ends = elements(&c->nodes), *ids;
	size_t from = out->len, n;
	enum pl_status st;

	pl_buf_clear(&c->spaced);
	st = pl_concept_spaced(text, len, &c->spaced, err);
	if (st == PL_OK)
		st = number_words(c, err);
	ids = elements(&c->ids);
	n = c->ids.len / sizeof(*ids);
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		uint32_t node = 0;
		for (size_t k = i; k < n && ids[k] != NONE && st == PL_OK; k++) {
			if ((node = edge_of(c, node, ids[k])->child) == 0)
				break;
			if (ends[node] != NONE)
				st = pl_buf_add(out, &ends[node], sizeof(*ends), err);
		}
	}
	if (st == PL_OK)
		sort_unique(out, from);
	return st;
}
