/* SPDX-License-Identifier: Apache-2.0 */
/* Contact sheets; see stat_sheet.h. Which pictures are drawn follows from the
 * tables alone, so that the same corpus gives the same sheet. */
#include "stat_sheet.h"

#include "libpipe/base/log.h"
#include "libpipe/corpus/fetch.h"
#include "shards/shard.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 240 };

void sheet_release(struct sheet *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->tiles[i].key);
		free(s->tiles[i].text);
		free(s->tiles[i].jpeg);
	}
	free(s->tiles);
	memset(s, 0, sizeof(*s));
}

/* Is number i of n one of `most`, spread evenly? Exactly min(n, most) are. */
static bool drawn(uint64_t i, uint64_t n, uint64_t most)
{
	return n <= most || (uint64_t)((double)i * (double)most / (double)n) != (uint64_t)((double)(i + 1) * (double)most / (double)n);
}

static enum pl_status allocate(struct sheet *s, uint64_t n, struct pl_err *err)
{
	s->tiles = n < SIZE_MAX / sizeof(*s->tiles) ? calloc((size_t)n + 1, sizeof(*s->tiles)) : NULL;
	s->n = s->tiles != NULL ? (size_t)n : 0;
	return s->tiles != NULL ? PL_OK : pl_fail_nomem(err);
}

static enum pl_status collect(struct sheet *s, struct pl_pool *pool, struct pl_err *err)
{
	struct pl_pool_result r;
	struct sheet_tile *tile;
	bool ready = false;
	enum pl_status st = pl_pool_next(pool, -1, &ready, &r, err);

	if (st != PL_OK || !ready || r.tag >= s->n)
		return st;
	tile = &s->tiles[r.tag];
	tile->width = r.info.orientation >= 5 ? r.info.height : r.info.width;
	tile->height = r.info.orientation >= 5 ? r.info.width : r.info.height;
	if (r.reason != PL_REASON_KEEP || r.data == NULL || r.format != PL_FORMAT_JPEG)
		return PL_OK;
	tile->jpeg = malloc(r.len + 1);
	if (tile->jpeg == NULL)
		return pl_fail_nomem(err);
	memcpy(tile->jpeg, r.data, r.len);
	tile->len = r.len;
	return PL_OK;
}

/* Always encoded anew: no foreign byte gets into a report as a picture. */
static enum pl_status submit(struct sheet *s, size_t tile, const void *data, size_t len, struct pl_pool *pool, struct pl_err *err)
{
	const struct pl_pool_job job = { .op = PL_POOL_TRANSFORM, .data = data, .len = len, .tag = tile,
		.resize = { .policy = PL_POLICY_KEEP_RATIO_LARGEST, .size = SHEET_PIXELS, .only_if_bigger = true, .format = PL_FORMAT_JPEG,
		    .encode = { .format = PL_FORMAT_JPEG, .quality = 80 }, .decode_scale = PL_DECODE_SCALE_1, .reencode = true, .optimise = true } };
	enum pl_status st = pl_pool_has_room(pool) ? PL_OK : collect(s, pool, err);

	s->tiles[tile].picture = true;
	return st == PL_OK ? pl_pool_submit(pool, &job, err) : st;
}

static enum pl_status finish(struct sheet *s, struct pl_pool *pool, enum pl_status st, struct pl_err *err)
{
	while (st == PL_OK && pl_pool_pending(pool) > 0)
		st = collect(s, pool, err);
	return st;
}

/* The beginning of text, at most TEXT_MAX bytes, cut between characters. */
static char *beginning(const char *text, size_t len)
{
	size_t n = len < TEXT_MAX ? len : TEXT_MAX;

	while (n > 0 && n < len && ((unsigned char)text[n] & 0xC0) == 0x80)
		n--;
	return strndup(text, n);
}

/* ---- corpora ---- */

/* Why is the picture not used: its own verdict, else its sample's. */
static enum pl_reason verdict_of(const struct pl_tables *t, uint64_t image)
{
	enum pl_reason r = pl_image_verdict(t, image);
	uint64_t sample = pl_image_at(t, image)->sample;

	if (r == PL_REASON_KEEP && sample < t->samples.nrows)
		r = pl_sample_verdict(t, sample);
	return r < PL_REASON_COUNT ? r : PL_REASON_CORRUPT;
}

/* The text behind the picture, else the last before it. */
static const struct pl_segment *text_of_image(const struct pl_document *d, uint64_t image)
{
	const struct pl_segment *last = NULL;
	bool passed = false;

	for (size_t i = 0; i < d->nsegments; i++) {
		const struct pl_segment *s = &d->segments[i];
		if (s->is_image) {
			passed = passed || s->image == image;
			continue;
		}
		if (passed)
			return s;
		last = s;
	}
	return last;
}

static enum pl_status fill_tile(struct sheet *s, size_t tile, struct pl_fetched *f, uint64_t image, struct pl_pool *pool, struct pl_err *err)
{
	struct sheet_tile *t = &s->tiles[tile];
	const struct pl_document *d = &f->doc;
	const struct pl_segment *text = text_of_image(d, image);

	t->key = f->key != NULL ? strdup(f->key) : NULL;
	if (f->key != NULL && t->key == NULL)
		return pl_fail_nomem(err);
	t->text = text != NULL ? beginning(text->text, text->text_len) : NULL;
	if (text != NULL && t->text == NULL)
		return pl_fail_nomem(err);
	if (image >= d->nimages || d->images[image].data == NULL)
		return PL_OK;
	return submit(s, tile, d->images[image].data, d->images[image].len, pool, err);
}

struct walk {
	struct sheet *sheet;
	struct pl_pool *pool;
	struct pl_fetch *fetch;
	struct pl_fetched fetched;
	uint64_t most, seen[PL_REASON_COUNT];
	size_t next[PL_REASON_COUNT], end[PL_REASON_COUNT];   /* tile of the next picture of each verdict; behind its last */
};

static enum pl_status draw_shard(struct walk *w, const struct pl_tables *t, size_t shard, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	bool warned = false;

	for (uint64_t i = 0; i < t->images.nrows && st == PL_OK; i++) {
		const struct pl_image_row *im = pl_image_at(t, i);
		enum pl_reason verdict = verdict_of(t, i);
		struct pl_err lost = { 0 };
		size_t tile;
		if (im->status != PL_REASON_KEEP || im->sample >= t->samples.nrows ||
		    !drawn(w->seen[verdict]++, w->sheet->total[verdict], w->most))
			continue;
		if (w->next[verdict] >= w->end[verdict])   /* another tool writes verdicts meanwhile */
			continue;
		tile = w->next[verdict]++;
		w->sheet->tiles[tile] = (struct sheet_tile){ .verdict = verdict, .picture = true };
		st = pl_fetch_sample(w->fetch, 0, shard, im->sample, &w->fetched, &lost);
		if (st == PL_OK) {
			st = fill_tile(w->sheet, tile, &w->fetched, i - pl_sample(t, im->sample)->first_image, w->pool, err);
			continue;
		}
		if (st == PL_ERR_NOMEM)
			return pl_fail_nomem(err);
		if (!warned)
			pl_log_err(PL_LOG_WARNING, &lost);
		warned = true;
		st = PL_OK;
	}
	return st;
}

/* fn for the tables of every shard. */
static enum pl_status each_shard(struct walk *w, struct pl_corpus *c,
    enum pl_status (*fn)(struct walk *w, const struct pl_tables *t, size_t shard, struct pl_err *err), struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < c->nshards && st == PL_OK; i++) {
		struct pl_tables t = { 0 };
		st = pl_tables_open(&t, c, i, err);
		if (st == PL_OK)
			st = fn(w, &t, i, err);
		pl_tables_close(&t);
	}
	return st;
}

static enum pl_status count_shard(struct walk *w, const struct pl_tables *t, size_t shard, struct pl_err *err)
{
	(void)shard;
	(void)err;
	for (uint64_t i = 0; i < t->images.nrows; i++)
		if (pl_image_at(t, i)->status == PL_REASON_KEEP && pl_image_at(t, i)->sample < t->samples.nrows)
			w->sheet->total[verdict_of(t, i)]++;
	return PL_OK;
}

enum pl_status sheet_of_corpus(struct sheet *s, struct pl_corpus *c, struct pl_pool *pool, uint64_t most, struct pl_err *err)
{
	struct walk w = { .sheet = s, .pool = pool, .most = most };
	struct pl_corpus *const list[] = { c };
	size_t n = 0;
	enum pl_status st;

	memset(s, 0, sizeof(*s));
	pl_fetched_init(&w.fetched);
	st = each_shard(&w, c, count_shard, err);
	for (unsigned r = 0; r < PL_REASON_COUNT; r++) {
		w.next[r] = n;
		n += (size_t)(s->total[r] < most ? s->total[r] : most);
		w.end[r] = n;
	}
	if (st == PL_OK)
		st = allocate(s, n, err);
	if (st == PL_OK)
		st = pl_fetch_new(&w.fetch, list, 1, 0, err);
	if (st == PL_OK) {
		pl_fetch_dropped_too(w.fetch);
		st = each_shard(&w, c, draw_shard, err);
	}
	st = finish(s, pool, st, err);
	pl_fetched_release(&w.fetched);
	pl_fetch_free(w.fetch);
	return st;
}

/* ---- shards ---- */

/* How a sample's text begins: of plait's own document, else of its txt part. */
static char *text_of(const struct shard_sample *sample)
{
	char *text = NULL;

	for (size_t i = 0; i < sample->nparts && text == NULL; i++) {
		const struct shard_part *p = &sample->parts[i];
		json_t *doc = NULL, *segment;
		size_t k;
		if (p->data == NULL)
			continue;
		if (strcmp(p->suffix, "txt") == 0)
			text = beginning((const char *)p->data, p->len);
		if (strcmp(p->suffix, "json") != 0 || pl_json_parse((const char *)p->data, p->len, &doc, NULL) != PL_OK)
			continue;
		json_array_foreach(json_object_get(doc, "segments"), k, segment) {
			const char *found = pl_json_str(segment, "text");
			if (found != NULL && text == NULL)
				text = beginning(found, strlen(found));
		}
		json_decref(doc);
	}
	return text;
}

static enum pl_status add_sample(struct sheet *s, size_t tile, const struct shard_sample *sample, struct pl_pool *pool, struct pl_err *err)
{
	s->tiles[tile].key = strdup(sample->key);
	s->tiles[tile].text = text_of(sample);
	if (s->tiles[tile].key == NULL)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < sample->nparts; i++)
		if (shard_image_suffix(sample->parts[i].suffix) && sample->parts[i].data != NULL)
			return submit(s, tile, sample->parts[i].data, sample->parts[i].len, pool, err);
	return PL_OK;
}

enum pl_status sheet_of_shards(struct sheet *s, const struct sheet_shard *shards, size_t n, struct pl_pool *pool, uint64_t most, struct pl_err *err)
{
	uint64_t total = 0, seen = 0;
	size_t tile = 0;
	enum pl_status st;

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < n; i++)
		total += shards[i].samples;
	s->total[PL_REASON_KEEP] = total;
	st = allocate(s, total < most ? total : most, err);
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		struct shard *shard = NULL;
		struct shard_sample sample;
		for (uint64_t k = 0; k < shards[i].samples && st == PL_OK; k++) {
			if (!drawn(seen++, total, most))
				continue;
			if (shard == NULL)
				st = shard_open(&shard, shards[i].path, err);
			if (st == PL_OK && k < shard_count(shard) && tile < s->n)
				st = shard_read(shard, k, &sample, err);
			else if (st == PL_OK)
				st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, shards[i].path, "holds fewer samples than dataset.json says");
			if (st == PL_OK)
				st = add_sample(s, tile++, &sample, pool, err);
		}
		shard_close(shard);
	}
	return finish(s, pool, st, err);
}
