/* SPDX-License-Identifier: Apache-2.0 */
/* Verify: every checksum, index, count and image of a finished data set against
 * dataset.json and against itself. */
#include "libpipe/base/hash.h"
#include "libpipe/base/json.h"
#include "shards/shard.h"
#include "shards/tar_read.h"
#include "steps.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

struct verify {
	const struct verify_step *step;
	json_t *dataset, *shards;
};

struct sample_check { uint64_t images, parts; const char *wrong; };

/* Does the shard's description in dataset.json fit what the file holds? */
static enum pl_status compare(const char *path, const json_t *said, const struct shard_check *found, struct pl_err *err)
{
	char hash[33];
	const char *want = pl_json_str(said, "xxh3_128");

	pl_hash128_hex(found->hash, hash);
	if (found->damaged_frames > 0)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "%llu frames are damaged", (unsigned long long)found->damaged_frames);
	if (want == NULL || strcmp(want, hash) != 0)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "its XXH3-128 is %s, dataset.json says %s", hash,
		    want != NULL ? want : "nothing");
	if ((double)found->samples != pl_json_num(said, "samples", -1))
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "holds %llu samples, dataset.json says %.0f",
		    (unsigned long long)found->samples, pl_json_num(said, "samples", -1));
	return PL_OK;
}

static const struct shard_part *find_part(const struct shard_sample *s, const char *suffix)
{
	for (size_t i = 0; i < s->nparts; i++)
		if (strcmp(s->parts[i].suffix, suffix) == 0)
			return &s->parts[i];
	return NULL;
}

/* A part that a segment names. */
static void check_part(const struct shard_sample *s, const char *name, bool *seen, struct sample_check *c)
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
static void check_image(const struct shard_sample *s, const json_t *segment, bool *seen, struct sample_check *c)
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
static struct sample_check check_document(const struct shard_sample *s)
{
	const struct shard_part *doc = find_part(s, "json");
	struct sample_check c = { 0, 0, NULL };
	json_t *j = NULL, *segment;
	bool *seen;
	size_t i;

	seen = calloc(s->nparts + 1, sizeof(*seen));
	if (seen == NULL) {
		c.wrong = "there is no memory to look at it";
		return c;
	}
	if (doc == NULL || doc->data == NULL || pl_json_parse((const char *)doc->data, doc->len, &j, NULL) != PL_OK) {
		c.wrong = "its document is missing or no JSON";
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

static enum pl_status take_images(struct tool *t, const char *path, size_t most, uint64_t *broken, struct pl_err *err)
{
	struct pl_pool_result r;
	enum pl_status st = PL_OK;

	while (st == PL_OK && pl_pool_pending(t->pool) > most) {
		bool ready = false;
		st = pl_pool_next(t->pool, 20, &ready, &r, err);
		if (st == PL_OK && ready && r.reason == PL_REASON_KEEP) {
			t->account.images_out++;
		} else if (st == PL_OK && ready) {
			t->account.images_dropped[r.reason]++;
			*broken += 1;
			pl_log(PL_LOG_ERROR, "'%s': image of sample %llu: %s", path, (unsigned long long)r.tag, pl_reason_name(r.reason));
		}
		if (st == PL_OK)
			st = tool_poll(t, err);
	}
	return st;
}

static enum pl_status submit_images(struct tool *t, const char *path, const struct shard_sample *s, uint64_t *broken, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < s->nparts && st == PL_OK; i++) {
		struct pl_pool_job job = { 0 };
		if (strcmp(s->parts[i].suffix, "json") == 0)
			continue;
		job.op = PL_POOL_VERIFY;
		job.data = s->parts[i].data;
		job.len = s->parts[i].len;
		job.tag = s->index;
		t->account.images_in++;
		while (st == PL_OK && !pl_pool_has_room(t->pool))
			st = take_images(t, path, pl_pool_pending(t->pool) - 1, broken, err);
		if (st == PL_OK)
			st = pl_pool_submit(t->pool, &job, err);
	}
	return st;
}

static enum pl_status check_samples(struct tool *t, const struct verify *v, const char *path, const json_t *said, struct pl_err *err)
{
	struct shard_reader *reader = NULL;
	struct shard_sample s;
	uint64_t broken = 0, images = 0;
	struct pl_err ignored;
	enum pl_status st = shard_reader_open(&reader, path, NULL, err);

	while (st == PL_OK && (st = shard_reader_next(reader, &s, err)) == PL_OK) {
		struct sample_check c = check_document(&s);
		t->account.samples_in++;
		images += c.images;
		if (c.wrong == NULL) {
			t->account.samples_out++;
		} else {
			t->account.samples_dropped[PL_REASON_BAD_DOCUMENT]++;
			broken++;
			pl_log(PL_LOG_ERROR, "'%s': sample '%s': %s", path, s.key, c.wrong);
		}
		if (!v->step->quick)
			st = submit_images(t, path, &s, &broken, err);
		if (st == PL_OK)
			st = tool_poll(t, err);
	}
	st = st == PL_END ? take_images(t, path, 0, &broken, err) : st;
	if (st != PL_OK)
		(void)!take_images(t, path, 0, &broken, &ignored);
	shard_reader_close(reader);
	if (st == PL_OK && (double)images != pl_json_num(said, "images", -1))
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "holds %llu images, dataset.json says %.0f", (unsigned long long)images,
		    pl_json_num(said, "images", -1));
	if (st == PL_OK && broken > 0)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "%llu samples or images are broken", (unsigned long long)broken);
	return st;
}

static enum pl_status verify_unit(struct tool *t, void *ctx, uint64_t unit, const char *unused, struct pl_err *err)
{
	struct verify *v = ctx;
	const json_t *said = json_array_get(v->shards, unit);
	const char *name = pl_json_str(said, "name");
	char *path;
	struct shard_check found = { 0 };
	enum pl_status st;

	(void)unused;
	if (name == NULL || strchr(name, '/') != NULL)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, v->step->dir, "dataset.json: shard %llu has no proper name",
		    (unsigned long long)unit);
	path = pl_path_join(v->step->dir, name);
	if (path == NULL)
		return pl_fail_nomem(err);
	st = shard_verify(path, &found, err);
	if (st == PL_OK)
		st = compare(path, said, &found, err);
	if (st == PL_OK)
		st = check_samples(t, v, path, said, err);
	pl_job_count(t->job, 0, found.samples, found.bytes);
	t->account.bytes_in += found.bytes;
	if (st == PL_OK) {
		t->account.units_done++;
		st = tool_announce(t, path, err);
	} else {
		st = tool_unit_failed(t, st, err);
	}
	free(path);
	return st;
}

static enum pl_status load(struct verify *v, struct pl_err *err)
{
	char *path = pl_path_join(v->step->dir, "dataset.json");
	const char *format;
	enum pl_status st = path == NULL ? pl_fail_nomem(err) : pl_json_load(path, (size_t)4 << 30, &v->dataset, err);

	if (st == PL_OK) {
		format = pl_json_str(v->dataset, "format");
		v->shards = json_object_get(v->dataset, "shards");
		if (format == NULL || strcmp(format, "plait-dataset-1") != 0 || !json_is_array(v->shards))
			st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path, "is no description of a plait data set (format plait-dataset-1)");
	}
	free(path);
	return st;
}

/* A shard that dataset.json does not name would be read by every loader that takes *.tar.zst. */
static enum pl_status check_strays(const struct verify *v, struct pl_err *err)
{
	DIR *d = opendir(v->step->dir);
	enum pl_status st = PL_OK;
	struct dirent *e;

	if (d == NULL)
		return pl_fail_errno(err, PL_SEV_JOB, v->step->dir, "cannot read the directory");
	while (st == PL_OK && (e = readdir(d)) != NULL) {
		size_t digits = strspn(e->d_name, "0123456789");
		/* Shards are numbered from 0 in the order of the list. */
		const char *name = pl_json_str(json_array_get(v->shards, strtoull(e->d_name, NULL, 10)), "name");
		if (digits < 6 || (strcmp(e->d_name + digits, ".tar.zst") != 0 && strcmp(e->d_name + digits, ".tar") != 0))
			continue;
		if (name == NULL || strcmp(name, e->d_name) != 0)
			st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, v->step->dir,
			    "holds '%s', which dataset.json does not name: remove it, or make the data set again with --force", e->d_name);
	}
	closedir(d);
	return st;
}

/* The sums of dataset.json against its own shard list. */
static enum pl_status check_sums(const struct verify *v, struct pl_err *err)
{
	static const char *const names[] = { "samples", "images", "tokens", "bytes" };

	for (size_t k = 0; k < PL_ARRAY_LEN(names); k++) {
		double sum = 0;
		for (size_t i = 0; i < json_array_size(v->shards); i++)
			sum += pl_json_num(json_array_get(v->shards, i), names[k], 0);
		if (sum != pl_json_num(v->dataset, names[k], -1))
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, v->step->dir, "dataset.json: %s is %.0f, its shards add up to %.0f",
			    names[k], pl_json_num(v->dataset, names[k], -1), sum);
	}
	return PL_OK;
}

enum pl_status step_verify(struct tool *t, const struct verify_step *s, struct pl_err *err)
{
	struct verify v = { s, NULL, NULL };
	enum pl_status st = load(&v, err);

	if (st == PL_OK)
		st = check_sums(&v, err);
	if (st == PL_OK)
		st = check_strays(&v, err);
	st = pl_job_agree(t->job, st, err);
	tool_step_begin(t, "verify", json_array_size(v.shards));
	if (st == PL_OK)
		st = tool_for_units(t, json_array_size(v.shards), verify_unit, &v, err);
	if (st == PL_OK)
		st = tool_step_end(t, NULL, err);
	if (st == PL_OK)
		st = tool_check_failed(t, "remove them and run plait pack again", err);
	json_decref(v.dataset);
	return st;
}
