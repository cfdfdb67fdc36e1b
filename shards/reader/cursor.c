/* SPDX-License-Identifier: Apache-2.0 */
/* Samples by number and key: a few uncompressed pieces, the newest first. */
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"
#include "piece.h"
#include "room.h"

#define CACHE_DEFAULT ((uint64_t)16 << 20)
#define GRAIN ((uint64_t)64 << 10)   /* frames of about one size take each other's memory */

struct held {
	struct held *next;
	struct shard_opened *o;
	uint32_t piece;
	size_t cap;                     /* of bytes */
	uint8_t *bytes;
};

struct by_key { uint64_t key_hash, i; };

struct shard_cursor {
	const struct shard_dataset *d;
	struct shard_set set;
	struct shard_scratch scratch;
	struct shard_parser parser;
	struct held *held;              /* the newest first */
	uint64_t cache, held_bytes;
	struct by_key *keys;            /* sorted; made by the first find */
	struct shard_cursor_stats stats;
};

enum pl_status shard_cursor_open(struct shard_cursor **out, const struct shard_dataset *d,
    const struct shard_cursor_options *options, struct pl_err *err)
{
	const struct shard_cursor_options defaults = {0};
	*out = NULL;
	struct shard_cursor *c = calloc(1, sizeof *c);
	if (!c)
		return pl_fail_nomem(err);
	if (!options)
		options = &defaults;
	c->d = d;
	c->cache = options->cache ? options->cache : CACHE_DEFAULT;
	shard_parser_init(&c->parser);
	enum pl_status status = shard_set_init(&c->set, d, options->max_open, err);
	if (status != PL_OK) {
		free(c);
		return status;
	}
	*out = c;
	return PL_OK;
}

static void drop(struct shard_cursor *c, struct held *h)
{
	c->held_bytes -= h->cap;
	shard_set_drop(&c->set, h->o);
	shard_room_free(h->bytes, h->cap);
	free(h);
}

void shard_cursor_close(struct shard_cursor *c)
{
	if (!c)
		return;
	while (c->held) {
		struct held *h = c->held;
		c->held = h->next;
		drop(c, h);
	}
	shard_parser_release(&c->parser);
	shard_scratch_release(&c->scratch);
	shard_set_release(&c->set);
	free(c->keys);
	free(c);
}

/* Memory for size bytes, *cap of them: the oldest go where there is too much, and leave theirs if it fits. */
static uint8_t *make_room(struct shard_cursor *c, uint64_t size, size_t *cap)
{
	uint8_t *bytes = NULL;
	*cap = (size_t)((size / GRAIN + 1) * GRAIN);
	while (c->held && c->held_bytes + *cap > c->cache) {
		struct held **last = &c->held;
		while ((*last)->next)
			last = &(*last)->next;
		struct held *h = *last;
		size_t has = h->cap;
		*last = NULL;
		if (!bytes && has >= size && has / 2 <= size) {
			bytes = h->bytes;
			h->bytes = NULL;
		}
		drop(c, h);
		if (bytes) {
			*cap = has;
			break;
		}
	}
	/* Zeroed, as what a broken frame leaves in it is looked at. */
	return bytes ? bytes : shard_room_new(cap);
}

/* o has a user more, which passes to the piece. */
static enum pl_status load(struct shard_cursor *c, struct shard_opened *o, uint32_t piece, struct pl_err *err)
{
	size_t cap;
	struct held *h = calloc(1, sizeof *h);
	uint8_t *bytes = make_room(c, o->pieces[piece].size, &cap);
	int fd = -1;
	enum pl_status status = PL_OK;
	struct pl_err own;
	if (!err)
		err = &own;
	if (!h || !bytes)
		status = pl_fail_nomem(err);
	else if ((fd = shard_set_file(&c->set, o, err)) < 0)
		status = err->status;
	if (status == PL_OK) {
		status = shard_piece_read(&c->scratch, o, fd, piece, bytes, &c->stats.file_bytes, err);
		shard_set_unfile(&c->set, o);
	}
	if (status != PL_OK) {
		free(h);
		shard_room_free(bytes, cap);
		return status;
	}
	*h = (struct held) { .next = c->held, .o = o, .piece = piece, .cap = cap, .bytes = bytes };
	c->held = h;
	c->held_bytes += cap;
	c->stats.frames++;
	return PL_OK;
}

/* To the front, where it is. */
static bool find_held(struct shard_cursor *c, size_t shard, uint64_t i)
{
	for (struct held **at = &c->held; *at; at = &(*at)->next) {
		struct held *h = *at;
		const struct shard_stretch *p = &h->o->pieces[h->piece];
		if (h->o->shard != shard || i < p[0].first || i >= p[1].first)
			continue;
		*at = h->next;
		h->next = c->held;
		c->held = h;
		return true;
	}
	return false;
}

static enum pl_status open_shard(struct shard_cursor *c, size_t k, struct shard_opened **o, struct pl_err *err)
{
	*o = shard_set_find(&c->set, k);
	if (*o)
		return PL_OK;
	enum pl_status status = shard_set_open(&c->set, k, o, err);
	if (status == PL_OK)
		shard_set_put(&c->set, *o);
	return status;
}

enum pl_status shard_cursor_read(struct shard_cursor *c, uint64_t i, struct shard_sample *out, struct pl_err *err)
{
	struct shard_opened *o;
	if (i >= shard_dataset_count(c->d))
		return pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_ITEM, NULL, "the data set has %llu samples, number %llu was asked for",
		    (unsigned long long)shard_dataset_count(c->d), (unsigned long long)i);
	size_t k = shard_dataset_locate(c->d, i);
	uint64_t in_shard = i - shard_dataset_shard(c->d, k).first;
	enum pl_status status = PL_OK;
	shard_parser_clear(&c->parser);
	if (!find_held(c, k, in_shard)) {
		status = open_shard(c, k, &o, err);
		if (status != PL_OK)
			return status;
		status = load(c, o, shard_opened_piece(o, in_shard), err);
		if (status != PL_OK) {
			shard_set_drop(&c->set, o);
			return status;
		}
	}
	const struct held *h = c->held;
	status = shard_parser_sample(&c->parser, h->o, h->piece, h->bytes, in_shard, out, err);
	out->index = i;
	return status;
}

static int compare(const void *a, const void *b)
{
	const struct by_key *x = a, *y = b;
	if (x->key_hash != y->key_hash)
		return x->key_hash < y->key_hash ? -1 : 1;
	return x->i < y->i ? -1 : x->i > y->i;
}

static enum pl_status index_keys(struct shard_cursor *c, struct pl_err *err)
{
	uint64_t n = shard_dataset_count(c->d), at = 0;
	struct by_key *keys = n <= SIZE_MAX / sizeof *keys ? calloc(n ? (size_t)n : 1, sizeof *keys) : NULL;
	if (!keys)
		return pl_fail_nomem(err);
	for (size_t k = 0; k < shard_dataset_shards(c->d); k++) {
		struct shard_opened *o;
		if (shard_dataset_shard(c->d, k).samples == 0)
			continue;
		enum pl_status status = open_shard(c, k, &o, err);
		if (status != PL_OK) {
			free(keys);
			return status;
		}
		for (uint64_t i = 0; i < o->n; i++, at++)
			keys[at] = (struct by_key) { .key_hash = o->places[i].key_hash, .i = at };
		shard_set_drop(&c->set, o);
	}
	if (n > 1)
		qsort(keys, (size_t)n, sizeof *keys, compare);
	c->keys = keys;
	return PL_OK;
}

enum pl_status shard_cursor_find(struct shard_cursor *c, const char *key, uint64_t *i, struct pl_err *err)
{
	uint64_t hash = pl_hash64(key, strlen(key)), n = shard_dataset_count(c->d), low = 0, high = n;
	struct shard_sample sample;
	enum pl_status status = c->keys ? PL_OK : index_keys(c, err);
	if (status != PL_OK)
		return status;
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		if (c->keys[mid].key_hash < hash)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < n && c->keys[low].key_hash == hash; low++) {
		status = shard_cursor_read(c, c->keys[low].i, &sample, err);
		if (status != PL_OK)
			return status;
		if (strcmp(sample.key, key) == 0) {
			*i = c->keys[low].i;
			return PL_OK;
		}
	}
	return pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_ITEM, NULL, "the data set has no sample '%.200s'", key);
}

struct shard_cursor_stats shard_cursor_stats(const struct shard_cursor *c)
{
	struct shard_cursor_stats s = c->stats;
	s.opened = c->set.opened;
	s.open = c->set.files;
	return s;
}
