/* SPDX-License-Identifier: Apache-2.0 */
/* Candidates from texts that share a key. A small bucket gives all its pairs at
 * once. A large one (boilerplate) gives them leader by leader: a pair whose
 * first text is dropped decides nothing, so of a text that is known to be
 * dropped no pairs are listed. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "near_text.h"
#include "sort.h"

/* Texts of a bucket that gives all its pairs at once. */
enum { SMALL = 64 };

struct bucket {
	size_t from, n;     /* members */
	size_t next;        /* the pairs of all before it are listed, or need not be */
};

struct pl_text_buckets {
	const struct pl_dedup *d;
	struct pl_buf members;   /* uint32_t, ascending within a bucket */
	struct pl_buf buckets;   /* struct bucket */
};

enum pl_status pl_text_buckets_new(struct pl_text_buckets **out, const struct pl_dedup *d, struct pl_err *err)
{
	struct pl_text_buckets *b = calloc(1, sizeof(*b));

	*out = b;
	if (!b)
		return pl_fail_nomem(err);
	b->d = d;
	pl_buf_init(&b->members, SIZE_MAX);
	pl_buf_init(&b->buckets, SIZE_MAX);
	return PL_OK;
}

void pl_text_buckets_free(struct pl_text_buckets *b)
{
	if (!b)
		return;
	pl_buf_release(&b->members);
	pl_buf_release(&b->buckets);
	free(b);
}

static bool has(const uint8_t *bits, uint32_t text)
{
	return bits[text / 8] >> (text % 8) & 1;
}

static enum pl_status too_many(const struct pl_dedup *d, uint64_t pairs, uint64_t largest, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
	    "%llu candidate pairs of near texts on one rank (%llu texts share one key), more than the %llu of --text-max-pairs: "
	    "filter boilerplate away, ask for more --text-rows, use more ranks, or allow more pairs",
	    (unsigned long long)pairs, (unsigned long long)largest, (unsigned long long)d->o.near_text.max_pairs);
}

/* The pairs of a with the n texts behind it. */
static enum pl_status list_pairs(
    const struct pl_dedup *d, uint32_t a, const uint32_t *texts, size_t n, struct pl_buf *to, uint32_t parts, struct pl_err *err)
{
	const struct pl_text_node *nodes = d->near_texts->nodes;
	struct pl_buf *out = &to[pl_near_text_owner(a, parts)];
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < n && st == PL_OK; i++) {
		struct pl_text_pair p = {a, texts[i]};
		if (pl_classes_related(nodes[a].class, nodes[p.b].class))
			st = pl_buf_add(out, &p, sizeof(p), err);
	}
	return st;
}

static int compare_keys(const void *x, const void *y)
{
	const struct pl_text_key *a = x, *b = y;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return (a->text > b->text) - (a->text < b->text);
}

/* One bucket: its pairs, or itself kept for the leaders' rounds. */
static enum pl_status take_bucket(struct pl_text_buckets *b, const struct pl_text_key *keys, size_t n, struct pl_buf *to,
    uint32_t parts, struct pl_err *err)
{
	struct bucket large = {.from = b->members.len / sizeof(uint32_t), .n = n};
	uint32_t texts[SMALL];
	enum pl_status st = PL_OK;

	if (n <= SMALL) {
		for (size_t i = 0; i < n; i++)
			texts[i] = keys[i].text;
		for (size_t i = 0; i + 1 < n && st == PL_OK; i++)
			st = list_pairs(b->d, texts[i], texts + i + 1, n - i - 1, to, parts, err);
		return st;
	}
	for (size_t i = 0; i < n && st == PL_OK; i++)
		st = pl_buf_add(&b->members, &keys[i].text, sizeof(keys[i].text), err);
	return st == PL_OK ? pl_buf_add(&b->buckets, &large, sizeof(large), err) : st;
}

enum pl_status pl_text_buckets_band(
    struct pl_text_buckets *b, struct pl_text_key *keys, size_t n, struct pl_buf *to, uint32_t parts, struct pl_err *err)
{
	uint64_t pairs = 0;
	enum pl_status st = pl_sort(keys, n, sizeof(*keys), compare_keys, b->d->parts.poll, b->d->parts.ctx, err);

	for (size_t i = 0, end = 0; i < n && st == PL_OK; i = end) {
		while (end < n && keys[end].key == keys[i].key)
			end++;
		pairs += end - i <= SMALL ? (end - i) * (end - i - 1) / 2 : 0;
		st = pairs > b->d->o.near_text.max_pairs ? too_many(b->d, pairs, end - i, err)
		                                         : take_bucket(b, keys + i, end - i, to, parts, err);
	}
	return st;
}

/* Move on to the next text that may stay; false: there is none. */
static bool advance(const struct pl_text_buckets *b, struct bucket *k, const uint8_t *dropped)
{
	const uint32_t *texts = (const uint32_t *)(const void *)b->members.data + k->from;

	while (k->next < k->n && has(dropped, texts[k->next]))
		k->next++;
	return k->next < k->n;
}

enum pl_status pl_text_buckets_open(
    struct pl_text_buckets *b, const uint8_t *dropped, uint64_t *open, struct pl_buf *behind, struct pl_err *err)
{
	struct bucket *k = (struct bucket *)(void *)b->buckets.data;
	const uint32_t *texts = (const uint32_t *)(const void *)b->members.data;
	enum pl_status st = PL_OK;

	*open = 0;
	for (size_t i = 0; i < b->buckets.len / sizeof(*k) && st == PL_OK; i++) {
		if (!advance(b, &k[i], dropped))
			continue;
		++*open;
		st = pl_buf_add(behind, texts + k[i].from + k[i].next + 1, (k[i].n - k[i].next - 1) * sizeof(*texts), err);
	}
	return st;
}

enum pl_status pl_text_buckets_round(struct pl_text_buckets *b, const uint8_t *dropped, uint64_t leaders, struct pl_buf *to,
    uint32_t parts, struct pl_err *err)
{
	struct bucket *k = (struct bucket *)(void *)b->buckets.data;
	uint64_t pairs = 0;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < b->buckets.len / sizeof(*k); i++) {
		const uint32_t *texts = (const uint32_t *)(const void *)b->members.data + k[i].from;
		for (uint64_t l = 0; l < leaders && st == PL_OK && advance(b, &k[i], dropped); l++) {
			size_t at = k[i].next++;
			pairs += k[i].n - at - 1;
			st = pairs > b->d->o.near_text.max_pairs
			    ? too_many(b->d, pairs, k[i].n, err)
			    : list_pairs(b->d, texts[at], texts + at + 1, k[i].n - at - 1, to, parts, err);
		}
	}
	return st;
}

static int compare_by_second(const void *x, const void *y)
{
	const struct pl_pair *p = x, *q = y;

	if (p->b != q->b)
		return p->b < q->b ? -1 : 1;
	return (p->a > q->a) - (p->a < q->a);
}

/* In the total order: dropped, once near a text that is known to stay; known to stay, once all that could drop it are known. */
enum pl_status pl_text_buckets_dropped(
    const struct pl_text_buckets *b, struct pl_pair *pairs, size_t n, const uint8_t *behind, uint8_t *dropped, struct pl_err *err)
{
	uint32_t texts = b->d->near_texts->n;
	uint8_t *stays;
	size_t at = 0;
	enum pl_status st = pl_sort(pairs, n, sizeof(*pairs), compare_by_second, b->d->parts.poll, b->d->parts.ctx, err);

	if (st != PL_OK)
		return st;
	stays = calloc((size_t)texts / 8 + 1, 1);
	if (!stays)
		return pl_fail_nomem(err);
	memset(dropped, 0, (size_t)texts / 8 + 1);
	for (uint32_t v = 0; v < texts; v++) {
		bool drop = false, known = !has(behind, v);
		for (; at < n && pairs[at].b == v; at++) {
			drop |= has(stays, pairs[at].a);
			known &= has(dropped, pairs[at].a);
		}
		if (drop)
			dropped[v / 8] |= (uint8_t)(1u << (v % 8));
		else if (known)
			stays[v / 8] |= (uint8_t)(1u << (v % 8));
	}
	free(stays);
	return PL_OK;
}
