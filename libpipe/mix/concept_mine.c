/* SPDX-License-Identifier: Apache-2.0 */
/* Strings with counts in one hash table, and the list that comes of them. */
#include "concept_mine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"

enum { STRINGS_MAX = 1 << 28, WORD_MAX = 256 };
#define BYTES_MAX ((size_t)64 << 30)

struct string { uint64_t at, count; uint32_t len, tag; };   /* tag: lower half of the hash */

struct pl_tally {
	struct pl_buf text;          /* each NUL-terminated */
	struct pl_buf strings;       /* struct string */
	uint32_t *slots;             /* open addressing: 1 + string, 0 = free */
	size_t nslots;
};

static struct string *strings_of(const struct pl_tally *t)
{
	return (struct string *)(void *)t->strings.data;
}

size_t pl_tally_size(const struct pl_tally *t)
{
	return t->strings.len / sizeof(struct string);
}

enum pl_status pl_tally_new(struct pl_tally **out, struct pl_err *err)
{
	struct pl_tally *t = calloc(1, sizeof(*t));

	*out = t;
	if (!t)
		return pl_fail_nomem(err);
	pl_buf_init(&t->text, BYTES_MAX);
	pl_buf_init(&t->strings, BYTES_MAX);
	t->nslots = 1024;
	t->slots = calloc(t->nslots, sizeof(*t->slots));
	if (t->slots)
		return PL_OK;
	pl_tally_free(t);
	*out = NULL;
	return pl_fail_nomem(err);
}

void pl_tally_free(struct pl_tally *t)
{
	if (!t)
		return;
	pl_buf_release(&t->text);
	pl_buf_release(&t->strings);
	free(t->slots);
	free(t);
}

static uint32_t *slot_of(const struct pl_tally *t, const char *s, size_t len, uint64_t hash)
{
	size_t i = (size_t)(hash >> 32 ^ hash) & (t->nslots - 1);

	for (; t->slots[i] != 0; i = (i + 1) & (t->nslots - 1)) {
		const struct string *x = &strings_of(t)[t->slots[i] - 1];
		if (x->tag == (uint32_t)hash && x->len == len && memcmp(t->text.data + x->at, s, len) == 0)
			break;
	}
	return &t->slots[i];
}

static enum pl_status grow(struct pl_tally *t, struct pl_err *err)
{
	size_t n = pl_tally_size(t), room = t->nslots * 2;
	uint32_t *slots;

	if (t->nslots > 2 * n)
		return PL_OK;
	slots = calloc(room, sizeof(*slots));
	if (!slots)
		return pl_fail_nomem(err);
	free(t->slots);
	t->slots = slots;
	t->nslots = room;
	for (size_t i = 0; i < n; i++) {
		const struct string *x = &strings_of(t)[i];
		const char *s = (const char *)t->text.data + x->at;
		*slot_of(t, s, x->len, pl_hash64(s, x->len)) = (uint32_t)i + 1;
	}
	return PL_OK;
}

enum pl_status pl_tally_add(struct pl_tally *t, const char *s, size_t len, uint64_t count, struct pl_err *err)
{
	uint64_t hash = pl_hash64(s, len);
	struct string x = {t->text.len, count, (uint32_t)len, (uint32_t)hash};
	enum pl_status st = grow(t, err);
	uint32_t *slot;

	if (st != PL_OK)
		return st;
	slot = slot_of(t, s, len, hash);
	if (*slot) {
		strings_of(t)[*slot - 1].count += count;
		return PL_OK;
	}
	if (pl_tally_size(t) >= STRINGS_MAX || len > UINT32_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
		    "more than 2^28 different words on one rank: use more ranks, or give a list of entries instead of mining one");
	st = pl_buf_add(&t->text, s, len, err);
	if (st == PL_OK)
		st = pl_buf_add(&t->text, "", 1, err);
	if (st == PL_OK)
		st = pl_buf_add(&t->strings, &x, sizeof(x), err);
	if (st == PL_OK)
		*slot = (uint32_t)pl_tally_size(t);
	return st;
}

uint64_t pl_tally_count(const struct pl_tally *t, const char *s, size_t len)
{
	uint32_t i = *slot_of(t, s, len, pl_hash64(s, len));

	return i ? strings_of(t)[i - 1].count : 0;
}

const char *pl_tally_at(const struct pl_tally *t, size_t i, size_t *len, uint64_t *count)
{
	const struct string *x = &strings_of(t)[i];

	*len = x->len;
	*count = x->count;
	return (const char *)t->text.data + x->at;
}

struct packed { uint64_t count; uint32_t len; uint32_t zero; };

enum pl_status pl_tally_pack(const struct pl_tally *t, size_t i, struct pl_buf *out, struct pl_err *err)
{
	const struct string *x = &strings_of(t)[i];
	struct packed p = {x->count, x->len, 0};
	enum pl_status st = pl_buf_add(out, &p, sizeof(p), err);

	return st == PL_OK ? pl_buf_add(out, t->text.data + x->at, x->len, err) : st;
}

enum pl_status pl_tally_unpack(struct pl_tally *t, const void *bytes, size_t len, struct pl_err *err)
{
	const uint8_t *from = bytes;
	enum pl_status st = PL_OK;

	for (size_t at = 0; at < len && st == PL_OK;) {
		struct packed p;
		if (len - at < sizeof(p))
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "counts of words end too early");
		memcpy(&p, from + at, sizeof(p));
		at += sizeof(p);
		if (p.len > len - at)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "counts of words end too early");
		st = pl_tally_add(t, (const char *)from + at, p.len, p.count, err);
		at += p.len;
	}
	return st;
}

/* ---- texts ---- */

static bool is_word(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		if (c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
			return true;
	}
	return false;
}

/* Two words in a row have one space between them, so that the pair matches as it stands. */
enum pl_status pl_mine_text(const char *s, size_t len, struct pl_tally *unigrams, struct pl_tally *bigrams, uint64_t *words,
    struct pl_err *err)
{
	size_t before = 0;
	bool follows = false;
	enum pl_status st = PL_OK;

	for (size_t at = 0; at <= len && st == PL_OK;) {
		const char *space = memchr(s + at, ' ', len - at);
		size_t n = space ? (size_t)(space - s) - at : len - at;
		bool word = n > 0 && n <= WORD_MAX && is_word(s + at, n);
		if (word) {
			++*words;
			st = pl_tally_add(unigrams, s + at, n, 1, err);
			if (st == PL_OK && follows && bigrams)
				st = pl_tally_add(bigrams, s + before, at + n - before, 1, err);
			before = at;
		}
		follows = word;
		at += n + 1;
	}
	return st;
}

/* In doubles, without a logarithm: the same on every machine. */
bool pl_mine_bigram(const struct pl_mine_options *o, const char *ab, size_t len, uint64_t count, const struct pl_tally *unigrams,
    uint64_t words)
{
	const char *space = memchr(ab, ' ', len);
	size_t a = space ? (size_t)(space - ab) : len;
	double apart;

	if (!space || o->bigrams == 0 || count < o->bigrams)
		return false;
	apart = (double)pl_tally_count(unigrams, ab, a) * (double)pl_tally_count(unigrams, space + 1, len - a - 1);
	return (double)count * (double)words >= ldexp(apart, (int)o->pmi);
}

/* ---- the list ---- */

struct listed { const char *s; uint64_t count; };

static int by_count(const void *x, const void *y)
{
	const struct listed *a = x, *b = y;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return strcmp(a->s, b->s);
}

static int by_text(const void *x, const void *y)
{
	return strcmp(((const struct listed *)x)->s, ((const struct listed *)y)->s);
}

enum pl_status pl_mine_list(const struct pl_mine_options *o, const struct pl_tally *t, struct pl_buf *out, struct pl_err *err)
{
	size_t n = pl_tally_size(t), len;
	struct listed *list = calloc(n + 1, sizeof(*list));
	enum pl_status st = PL_OK;

	if (!list)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < n; i++)
		list[i].s = pl_tally_at(t, i, &len, &list[i].count);
	if (n > 1)
		qsort(list, n, sizeof(*list), by_count);
	if (n > o->most)
		n = (size_t)o->most;
	if (n > 1)
		qsort(list, n, sizeof(*list), by_text);
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		st = pl_buf_adds(out, list[i].s, err);
		if (st == PL_OK)
			st = pl_buf_adds(out, "\n", err);
	}
	free(list);
	return st;
}
