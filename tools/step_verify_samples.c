/* SPDX-License-Identifier: Apache-2.0 */
/* Verify, sample by sample: documents against their parts, and pictures by decoding them. */
#include "libpipe/base/json.h"
#include "shards/shard.h"
#include "shards/tar_read.h"
#include "step_verify.h"

#include <stdlib.h>
#include <string.h>

struct document_check { uint64_t images, parts; const char *wrong; };

static const struct shard_part *find_part(const struct shard_sample *s, const char *suffix)
{
	for (size_t i = 0; i < s->nparts; i++)
		if (strcmp(s->parts[i].suffix, suffix) == 0)
			return &s->parts[i];
	return NULL;
}

/* A part that a segment names. */
static void check_part(const struct shard_sample *s, const char *name, bool *seen, struct document_check *c)
{
	const struct shard_part *part = name != NULL ? find_part(s, name) : NULL;

	if (part == NULL)
		c->wrong = "a segment names an image that is not there";
	else if (seen[part - s->parts])
		c->wrong = "two segments name one image";
	else
		c->parts += seen[part - s->parts] = true;
}

/* An image is a part, tiles, or both; with tiles, as many as the grid says. */
static void check_image(const struct shard_sample *s, const json_t *segment, bool *seen, struct document_check *c)
{
	const json_t *tiles = json_object_get(segment, "tiles"), *grid = json_object_get(segment, "grid");
	json_int_t columns = json_integer_value(json_array_get(grid, 0)), rows = json_integer_value(json_array_get(grid, 1));
	json_t *tile;
	size_t i;

	c->images++;
	if (tiles == NULL || json_object_get(segment, "part") != NULL)
		check_part(s, pl_json_str(segment, "part"), seen, c);
	if (tiles == NULL)
		return;
	if (columns < 1 || columns > PL_TILES_MAX || rows < 1 || rows > PL_TILES_MAX ||
	    (json_int_t)json_array_size(tiles) != columns * rows)
		c->wrong = "an image has not as many tiles as its grid";
	json_array_foreach(tiles, i, tile)
		check_part(s, json_string_value(tile), seen, c);
}

/* The document names its parts, and each part is named once. */
static struct document_check check_document(const struct shard_sample *s)
{
	const struct shard_part *doc = find_part(s, "json");
	struct document_check c = { 0, 0, NULL };
	json_t *j = NULL, *segment;
	enum pl_status st = PL_ERR_INVALID;
	bool *seen;
	size_t i;

	seen = calloc(s->nparts + 1, sizeof(*seen));
	if (seen == NULL) {
		c.wrong = "there is no memory to look at it";
		return c;
	}
	if (doc != NULL && doc->data != NULL)
		st = pl_json_parse((const char *)doc->data, doc->len, &j, NULL);
	if (st != PL_OK) {
		c.wrong = st == PL_ERR_NOMEM ? "there is no memory to look at it" : "its document is missing or no JSON";
		free(seen);
		return c;
	}
	json_array_foreach(json_object_get(j, "segments"), i, segment) {
		const char *type = pl_json_str(segment, "type");
		if (type == NULL || (strcmp(type, "text") != 0 && strcmp(type, "image") != 0))
			c.wrong = "a segment has no known type";
		else if (strcmp(type, "image") == 0)
			check_image(s, segment, seen, &c);
	}
	free(seen);
	if (c.wrong == NULL && c.parts + 1 != s->nparts)
		c.wrong = "it has members that no segment names";
	if (c.wrong == NULL && (double)c.images != pl_json_num(j, "images", -1))
		c.wrong = "its image count is wrong";
	if (c.wrong == NULL)
		c.wrong = pl_sequence_wrong(j);
	json_decref(j);
	return c;
}

/* What a shard's samples were found to be. */
struct samples {
	struct tool *t;
	struct verify_damage *damage;
	const char *path;
	uint64_t images;
	struct pl_buf broken;       /* struct broken: pictures that do not decode */
	uint64_t wrong;             /* documents */
};

struct broken { uint64_t sample; enum pl_reason reason; };

static enum pl_status take_images(struct samples *c, size_t most, struct pl_err *err)
{
	struct tool *t = c->t;
	struct pl_pool_result r;
	enum pl_status st = PL_OK;

	while (st == PL_OK && pl_pool_pending(t->pool) > most) {
		bool ready = false;
		st = pl_pool_next(t->pool, 20, &ready, &r, err);
		if (st == PL_OK && ready && r.reason == PL_REASON_KEEP) {
			t->account.images_out++;
		} else if (st == PL_OK && ready) {
			t->account.images_dropped[r.reason]++;
			st = pl_buf_add(&c->broken, &(struct broken) { r.tag, r.reason }, sizeof(struct broken), err);
		}
		if (st == PL_OK)
			st = tool_poll(t, err);
	}
	return st;
}

static enum pl_status submit_images(struct samples *c, const struct shard_sample *s, const struct verify_samples *want, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < s->nparts && st == PL_OK; i++) {
		struct pl_pool_job job = { 0 };
		const char *suffix = s->parts[i].suffix;
		if (want->documents ? strcmp(suffix, "json") == 0 : !shard_image_suffix(suffix))
			continue;
		job.op = PL_POOL_VERIFY;
		job.data = s->parts[i].data;
		job.len = s->parts[i].len;
		job.tag = s->index;
		c->t->account.images_in++;
		while (st == PL_OK && !pl_pool_has_room(c->t->pool))
			st = take_images(c, pl_pool_pending(c->t->pool) - 1, err);
		if (st == PL_OK)
			st = pl_pool_submit(c->t->pool, &job, err);
	}
	return st;
}

/* Pictures come back by the number of their sample: their keys are looked up once there are any. */
static enum pl_status name_broken(struct samples *c, struct pl_err *err)
{
	const struct broken *b = (const struct broken *)(const void *)c->broken.data;
	size_t n = c->broken.len / sizeof(*b);
	struct shard *shard = NULL;
	struct shard_sample s;
	enum pl_status st = n == 0 ? PL_OK : shard_open(&shard, c->path, err);
	char why[64];

	for (size_t i = 0; i < n && st == PL_OK; i++) {
		(void)snprintf(why, sizeof(why), "an image does not decode: %s", pl_reason_name(b[i].reason));
		st = shard_read(shard, b[i].sample, &s, err);
		if (st == PL_OK)
			verify_damaged(c->damage, b[i].sample, s.key, why);
	}
	shard_close(shard);
	return st;
}

static enum pl_status check_one(struct samples *c, const struct shard_sample *s, const struct verify_samples *want, struct pl_err *err)
{
	struct tool *t = c->t;
	struct document_check d = { 0, 0, NULL };

	if (want->documents)
		d = check_document(s);
	t->account.samples_in++;
	c->images += d.images;
	if (d.wrong == NULL) {
		t->account.samples_out++;
	} else {
		t->account.samples_dropped[PL_REASON_BAD_DOCUMENT]++;
		c->wrong++;
		verify_damaged(c->damage, s->index, s->key, d.wrong);
	}
	if (want->deep)
		return submit_images(c, s, want, err);
	return PL_OK;
}

enum pl_status verify_samples(struct tool *t, const char *path, const struct verify_samples *want, struct verify_damage *damage,
    struct pl_err *err)
{
	struct samples c = { .t = t, .damage = damage, .path = path };
	struct shard_reader *reader = NULL;
	struct shard_sample s;
	struct pl_err ignored;
	enum pl_status st;

	pl_buf_init(&c.broken, 0);
	st = shard_reader_open(&reader, path, NULL, err);
	while (st == PL_OK && (st = shard_reader_next(reader, &s, err)) == PL_OK) {
		st = check_one(&c, &s, want, err);
		if (st == PL_OK)
			st = tool_poll(t, err);
	}
	if (st == PL_END)
		st = want->deep ? take_images(&c, 0, err) : PL_OK;
	else if (want->deep)
		(void)!take_images(&c, 0, &ignored);
	shard_reader_close(reader);
	if (st == PL_OK)
		st = name_broken(&c, err);
	if (st == PL_OK && want->documents && want->images != (double)c.images)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "holds %llu images, dataset.json says %.0f", (unsigned long long)c.images,
		    want->images);
	if (st == PL_OK && (c.wrong > 0 || c.broken.len > 0))
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "%llu documents and %zu images are broken", (unsigned long long)c.wrong,
		    c.broken.len / sizeof(struct broken));
	pl_buf_release(&c.broken);
	return st;
}
