/* SPDX-License-Identifier: Apache-2.0 */
/* Resize: shard -> plain tar shard of the same samples with smaller pictures.
 * Samples are written in their order while the next pictures are under way. */
#include "libpipe/base/hash.h"
#include "libpipe/base/json.h"
#include "shards/tar_read.h"
#include "shards/writer.h"
#include "steps.h"

#include <stdio.h>
#include <sys/stat.h>

/* Samples under way at once. */
#define DEPTH 32u

struct copy { char *suffix; uint8_t *data; size_t len; bool image; };

struct pending {
	char *key;
	struct copy *parts;
	size_t nparts, waiting;
	enum pl_reason failed;
	uint32_t width, height;            /* of the first picture */
};

struct resizing {
	struct tool *t;
	const struct resize_step *step;
	struct shard_writer *writer;
	struct pl_account account;
	struct pending ring[DEPTH];
	uint64_t head, tail;
};

static void release_pending(struct pending *s)
{
	for (size_t i = 0; i < s->nparts; i++) {
		free(s->parts[i].suffix);
		free(s->parts[i].data);
	}
	free(s->parts);
	free(s->key);
	memset(s, 0, sizeof(*s));
}

static bool is_image(const char *suffix)
{
	static const char *const known[] = { "jpg", "jpeg", "png", "webp", "gif", "bmp" };
	const char *dot = strrchr(suffix, '.');

	for (size_t i = 0; i < PL_ARRAY_LEN(known); i++)
		if (strcmp(dot != NULL ? dot + 1 : suffix, known[i]) == 0)
			return true;
	return false;
}

/* "seg.png" with a JPEG inside becomes "seg.jpg". */
static char *new_suffix(const char *old, enum pl_format format)
{
	const char *dot = strrchr(old, '.');
	size_t keep = dot != NULL ? (size_t)(dot - old) + 1 : 0;
	const char *extension = pl_format_extension(format);
	char *s = malloc(keep + strlen(extension) + 1);

	if (s != NULL) {
		memcpy(s, old, keep);
		memcpy(s + keep, extension, strlen(extension) + 1);
	}
	return s;
}

static enum pl_status take_result(struct resizing *r, const struct pl_pool_result *result, struct pl_err *err)
{
	struct pending *s = &r->ring[(result->tag >> 32) % DEPTH];
	struct copy *part = &s->parts[result->tag & UINT32_MAX];
	char *suffix;
	uint8_t *data;

	s->waiting--;
	if (result->reason != PL_REASON_KEEP) {
		s->failed = s->failed == PL_REASON_KEEP ? result->reason : s->failed;
		r->account.images_dropped[result->reason]++;
		part->image = false;
		return PL_OK;
	}
	if (s->width == 0) {
		s->width = result->width;
		s->height = result->height;
	}
	if (result->passthrough)
		return PL_OK;
	suffix = new_suffix(part->suffix, result->format);
	data = malloc(result->len > 0 ? result->len : 1);
	if (suffix == NULL || data == NULL) {
		free(suffix);
		free(data);
		return pl_fail_nomem(err);
	}
	memcpy(data, result->data, result->len);
	free(part->suffix);
	free(part->data);
	part->suffix = suffix;
	part->data = data;
	part->len = result->len;
	return PL_OK;
}

static enum pl_status collect(struct resizing *r, struct pl_err *err)
{
	struct pl_pool_result result;
	bool ready = false;
	enum pl_status st = PL_OK;

	while (st == PL_OK && !ready) {
		st = pl_pool_next(r->t->pool, 20, &ready, &result, err);
		if (st == PL_OK && ready)
			st = take_result(r, &result, err);
		if (st == PL_OK)
			st = tool_poll(r->t, err);
	}
	return st;
}

/* The sizes in an img2dataset JSON must stay true. */
static enum pl_status update_json(struct pending *s, struct pl_err *err)
{
	for (size_t i = 0; i < s->nparts; i++) {
		struct copy *part = &s->parts[i];
		json_t *j = NULL;
		struct pl_buf text;
		enum pl_status st;
		if (strcmp(part->suffix, "json") != 0 || s->width == 0 ||
		    pl_json_parse((char *)part->data, part->len, &j, NULL) != PL_OK)
			continue;
		if (json_object_get(j, "width") == NULL || json_object_get(j, "height") == NULL) {
			json_decref(j);
			continue;
		}
		pl_buf_init(&text, 0);
		st = json_object_set_new(j, "width", json_integer(s->width)) != 0 ||
		    json_object_set_new(j, "height", json_integer(s->height)) != 0 ? pl_fail_nomem(err) : pl_json_dump(j, true, &text, err);
		json_decref(j);
		if (st != PL_OK) {
			pl_buf_release(&text);
			return st;
		}
		free(part->data);
		part->data = (uint8_t *)pl_buf_detach(&text, &part->len);
	}
	return PL_OK;
}

static enum pl_status write_head(struct resizing *r, struct pl_err *err)
{
	struct pending *s = &r->ring[r->head % DEPTH];
	struct shard_member *members = calloc(s->nparts + 1, sizeof(*members));
	struct pl_err refused = { 0 };
	uint64_t images = 0;
	enum pl_status st = members == NULL ? pl_fail_nomem(err) : update_json(s, err);

	for (size_t i = 0; i < s->nparts && st == PL_OK; i++) {
		members[i] = (struct shard_member){ s->parts[i].suffix, s->parts[i].data, s->parts[i].len };
		images += s->parts[i].image;
	}
	if (st == PL_OK && s->failed == PL_REASON_KEEP) {
		st = shard_writer_add(r->writer, strncmp(s->key, "./", 2) == 0 ? s->key + 2 : s->key, members, s->nparts, &refused);
		if (st == PL_ERR_INVALID) {
			/* A key that output shards cannot have, or one that came twice. */
			pl_log_err(PL_LOG_WARNING, &refused);
			s->failed = PL_REASON_DUPLICATE_KEY;
			st = PL_OK;
		} else if (st != PL_OK && err != NULL) {
			*err = refused;
		}
	}
	if (st == PL_OK && s->failed == PL_REASON_KEEP) {
		r->account.samples_out++;
		r->account.images_out += images;
	} else if (st == PL_OK) {
		r->account.samples_dropped[s->failed]++;
		r->account.images_dropped[s->failed] += images;
	}
	free(members);
	release_pending(s);
	r->head++;
	return st;
}

static enum pl_status advance(struct resizing *r, bool all, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	while (st == PL_OK && (all ? r->head < r->tail : r->tail - r->head == DEPTH)) {
		while (st == PL_OK && r->ring[r->head % DEPTH].waiting > 0)
			st = collect(r, err);
		if (st == PL_OK)
			st = write_head(r, err);
	}
	return st;
}

static enum pl_status copy_part(struct pending *s, const struct shard_part *from, struct pl_err *err)
{
	struct copy *to = &s->parts[s->nparts];

	to->suffix = strdup(from->suffix);
	to->data = malloc(from->len > 0 ? from->len : 1);
	to->len = from->data != NULL ? from->len : 0;
	s->nparts++;
	if (to->suffix == NULL || to->data == NULL)
		return pl_fail_nomem(err);
	if (from->data != NULL)
		memcpy(to->data, from->data, from->len);
	if (from->data == NULL && s->failed == PL_REASON_KEEP)
		s->failed = from->truncated ? PL_REASON_TRUNCATED : PL_REASON_TOO_LARGE;
	return PL_OK;
}

static enum pl_status submit(struct resizing *r, struct pending *s, size_t i, struct pl_err *err)
{
	struct pl_pool_job job = { 0 };
	enum pl_status st = PL_OK;

	while (st == PL_OK && !pl_pool_has_room(r->t->pool))
		st = collect(r, err);
	if (st != PL_OK)
		return st;
	job.op = PL_POOL_TRANSFORM;
	job.data = s->parts[i].data;
	job.len = s->parts[i].len;
	job.resize = r->step->resize;
	job.tag = (r->tail - 1) << 32 | (uint64_t)i;
	s->parts[i].image = true;
	s->waiting++;
	r->account.images_in++;
	return pl_pool_submit(r->t->pool, &job, err);
}

static enum pl_status add_sample(struct resizing *r, const struct shard_sample *sample, struct pl_err *err)
{
	struct pending *s = &r->ring[r->tail % DEPTH];
	enum pl_status st = PL_OK;

	r->account.samples_in++;
	r->tail++;
	s->key = strdup(sample->key);
	s->parts = calloc(sample->nparts + 1, sizeof(*s->parts));
	if (s->key == NULL || s->parts == NULL)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < sample->nparts && st == PL_OK; i++)
		st = copy_part(s, &sample->parts[i], err);
	for (size_t i = 0; i < s->nparts && st == PL_OK; i++)
		if (is_image(s->parts[i].suffix) && sample->parts[i].data != NULL)
			st = submit(r, s, i, err);
	return st;
}

static void drain(struct resizing *r)
{
	struct pl_pool_result result;
	bool ready;

	while (pl_pool_pending(r->t->pool) > 0)
		if (pl_pool_next(r->t->pool, 1000, &ready, &result, NULL) != PL_OK)
			break;
	for (; r->head < r->tail; r->head++)
		release_pending(&r->ring[r->head % DEPTH]);
}

/* Read, resize and write one shard; what was read before damage is kept, with a warning. */
static enum pl_status resize_shard(struct resizing *r, const char *path, const char *stem, struct pl_err *err)
{
	struct shard_writer_options o = { SHARD_TAR, 0, SHARD_LEVEL_AUTO };
	struct shard_reader *reader = NULL;
	struct shard_sample sample;
	struct shard_written written = { 0 };
	char *target = pl_path_join(r->step->dir, stem);
	enum pl_status st = target == NULL ? pl_fail_nomem(err) : shard_reader_open(&reader, path, NULL, err);

	if (st == PL_OK)
		st = shard_writer_open(&r->writer, target, &o, err);
	while (st == PL_OK) {
		st = shard_reader_next(reader, &sample, err);
		if (st != PL_OK)
			break;
		st = advance(r, false, err);
		if (st == PL_OK)
			st = add_sample(r, &sample, err);
		if (st == PL_OK)
			st = tool_poll(r->t, err);
	}
	if ((st == PL_ERR_TRUNCATED || st == PL_ERR_INVALID) && r->account.samples_in > 0 && err->severity == PL_SEV_SHARD) {
		pl_log_err(PL_LOG_WARNING, err);
		st = PL_END;
	}
	if (st == PL_END)
		st = advance(r, true, err);
	if (st == PL_OK) {
		st = shard_writer_commit(r->writer, &written, err);
		r->writer = NULL;
	}
	r->account.bytes_out += written.file_bytes;
	drain(r);
	shard_writer_abort(r->writer);
	shard_reader_close(reader);
	free(target);
	return st;
}

static enum pl_status digest_of(const struct resize_step *s, const char *path, uint64_t digest[2], struct pl_err *err)
{
	const struct pl_resize *z = &s->resize;
	struct stat sb;
	char text[256];

	if (stat(path, &sb) != 0)
		return pl_fail_errno(err, PL_SEV_SHARD, path, "cannot read the shard");
	snprintf(text, sizeof(text), "%lld %lld %d %u %d %d %d %d %d %d", (long long)sb.st_size, (long long)sb.st_mtime, (int)z->policy,
	    z->size, (int)z->only_if_bigger, (int)z->filter, (int)z->format, z->encode.quality, z->encode.effort, (int)z->reencode);
	pl_hash128(text, strlen(text), digest);
	return PL_OK;
}

static enum pl_status make_unit(struct tool *t, const struct resize_step *s, const char *path, const struct pl_record *record,
    const char *output, struct pl_err *err)
{
	struct resizing *r = calloc(1, sizeof(*r));
	struct pl_buf counts;
	enum pl_status st;

	if (r == NULL)
		return pl_fail_nomem(err);
	pl_buf_init(&counts, 0);
	r->t = t;
	r->step = s;
	st = resize_shard(r, path, record->unit, err);
	r->account.units_done = 1;
	if (st == PL_OK)
		st = pl_account_counts(&r->account, &counts, err);
	if (st == PL_OK)
		st = pl_record_write(record, &output, 1, (char *)counts.data, err);
	if (st == PL_OK)
		pl_account_add(&t->account, &r->account);
	pl_job_count(t->job, 0, r->account.samples_in, r->account.bytes_out);
	pl_buf_release(&counts);
	free(r);
	return st;
}

static enum pl_status resize_unit(struct tool *t, void *ctx, uint64_t unit, const char *name, struct pl_err *err)
{
	const struct resize_step *s = ctx;
	struct pl_record record = { s->dir, NULL, { 0, 0 } };
	char *stem = pl_name_stem(name), *payload = NULL, *path = NULL;
	struct pl_buf output;
	bool done = false;
	enum pl_status st;

	(void)unit;
	pl_buf_init(&output, 0);
	record.unit = stem;
	st = stem == NULL ? pl_fail_nomem(err) : pl_buf_addf(&output, err, "%s.tar", stem);
	if (st == PL_OK && (path = pl_path_join(s->dir, (char *)output.data)) == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = digest_of(s, name, record.digest, err);
	if (st == PL_OK && !t->desc->common->force)
		st = pl_record_check(&record, &done, &payload, err);
	if (st == PL_OK && done && payload != NULL) {
		struct pl_account a = { 0 };
		st = pl_account_parse(payload, &a, err);
		a.units_done = 0;
		a.units_resumed = 1;
		pl_account_add(&t->account, &a);
	} else if (st == PL_OK) {
		st = make_unit(t, s, name, &record, (char *)output.data, err);
	}
	if (st == PL_OK)
		st = tool_announce(t, path, err);
	if (st != PL_OK && st != PL_ERR_STOPPED && err->severity != PL_SEV_JOB) {
		pl_log_err(PL_LOG_ERROR, err);
		t->account.units_failed++;
		st = PL_OK;
	}
	free(payload);
	free(path);
	free(stem);
	pl_buf_release(&output);
	return st;
}

enum pl_status step_resize(struct tool *t, const struct resize_step *s, struct pl_err *err)
{
	struct resize_step step = *s;
	uint64_t failed;
	enum pl_status st;

	tool_step_begin(t, "resize", s->shards != NULL ? s->shards->len : 0);
	if ((st = tool_output_dir(t, s->dir, err)) != PL_OK)
		return st;
	if ((st = tool_for_files(t, s->shards, resize_unit, &step, err)) != PL_OK)
		return st;
	failed = t->account.units_failed;
	pl_job_sum(t->job, &failed, 1);
	if (failed > 0)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL,
		    "%llu of the shards could not be read (named above): mend or leave them out and run the same command again",
		    (unsigned long long)failed);
	return tool_step_end(t, NULL, err);
}
