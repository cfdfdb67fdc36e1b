/* SPDX-License-Identifier: Apache-2.0 */
/* Resize: shard -> plain tar shard of the same samples with smaller pictures.
 * Samples are written in their order while the next pictures are under way. */
#include "libpipe/base/hash.h"
#include "shards/section.h"
#include "step_resize.h"
#include "steps.h"
#include "tool_ring.h"

#include <stdio.h>
#include <sys/stat.h>

struct copy { char *suffix; struct pl_buf bytes; bool image; struct pl_pdq pdq; };

struct pending {
	char *key;
	struct copy *parts;
	size_t nparts;
	enum pl_reason failed;
	uint32_t width, height;            /* of the first picture */
};

struct resize { const struct resize_step *step; json_t *names; /* of the shards this rank took */ };

/* One shard under way. */
struct resizing {
	struct tool *t;
	const struct resize_step *step;
	struct shard_writer *writer;
	struct resize_hashes hashes;
	struct pl_account account;
	struct tool_ring ring;
	struct pending samples[TOOL_RING_DEPTH];
};

static struct pending *sample_of(struct resizing *r, uint64_t sample)
{
	return &r->samples[sample % TOOL_RING_DEPTH];
}

static void drop(void *ctx, uint64_t sample)
{
	struct pending *s = sample_of(ctx, sample);

	for (size_t i = 0; i < s->nparts; i++) {
		free(s->parts[i].suffix);
		pl_buf_release(&s->parts[i].bytes);
	}
	free(s->parts);
	free(s->key);
	memset(s, 0, sizeof(*s));
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

static enum pl_status take(void *ctx, uint64_t sample, size_t image, const struct pl_pool_result *result, struct pl_err *err)
{
	struct resizing *r = ctx;
	struct pending *s = sample_of(r, sample);
	struct copy *part = &s->parts[image];
	char *suffix;

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
	part->pdq = result->pdq;
	if (result->passthrough)
		return PL_OK;
	suffix = new_suffix(part->suffix, result->format);
	if (suffix == NULL)
		return pl_fail_nomem(err);
	free(part->suffix);
	part->suffix = suffix;
	pl_buf_clear(&part->bytes);
	return pl_buf_add(&part->bytes, result->data, result->len, err);
}

/* KEY.jpg and KEY.png both become KEY.webp: one name for two pictures. */
static bool suffixes_differ(const struct pending *s)
{
	for (size_t i = 1; i < s->nparts; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(s->parts[i].suffix, s->parts[k].suffix) == 0)
				return false;
	return true;
}

/* Add the sample to the shard; a key that output shards cannot have, or that came twice, costs the sample. */
static enum pl_status add_sample(struct resizing *r, struct pending *s, struct pl_err *err)
{
	const char *key = strncmp(s->key, "./", 2) == 0 ? s->key + 2 : s->key;
	struct shard_member *members = calloc(s->nparts + 1, sizeof(*members));
	struct pl_err refused = { 0 };
	enum pl_status st = members == NULL ? pl_fail_nomem(err) : PL_OK;

	for (size_t i = 0; i < s->nparts && st == PL_OK; i++) {
		if (strcmp(s->parts[i].suffix, "json") == 0 && s->width > 0)
			st = resize_update_json(&s->parts[i].bytes, s->width, s->height, err);
		members[i] = (struct shard_member){ s->parts[i].suffix, s->parts[i].bytes.data, s->parts[i].bytes.len };
	}
	if (st == PL_OK) {
		st = shard_writer_add(r->writer, key, members, s->nparts, &refused);
		if (st == PL_ERR_INVALID) {
			pl_log_err(PL_LOG_WARNING, &refused);
			s->failed = PL_REASON_DUPLICATE_KEY;
			st = PL_OK;
		} else if (st != PL_OK && err != NULL) {
			*err = refused;
		}
	}
	for (size_t i = 0; i < s->nparts && st == PL_OK && s->failed == PL_REASON_KEEP && r->step->resize.hash; i++)
		if (s->parts[i].image)
			st = resize_hashes_add(&r->hashes, &s->parts[i].pdq, key, s->parts[i].suffix, err);
	free(members);
	return st;
}

static enum pl_status finish(void *ctx, uint64_t sample, struct pl_err *err)
{
	struct resizing *r = ctx;
	struct pending *s = sample_of(r, sample);
	uint64_t images = 0;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < s->nparts; i++)
		images += s->parts[i].image;
	if (s->failed == PL_REASON_KEEP && !suffixes_differ(s))
		s->failed = PL_REASON_DUPLICATE_PART;
	if (s->failed == PL_REASON_KEEP)
		st = add_sample(r, s, err);
	if (st == PL_OK && s->failed == PL_REASON_KEEP) {
		r->account.samples_out++;
		r->account.images_out += images;
	} else if (st == PL_OK) {
		r->account.samples_dropped[s->failed]++;
		r->account.images_dropped[s->failed] += images;
	}
	drop(r, sample);
	return st;
}

static enum pl_status copy_part(struct pending *s, const struct shard_part *from, struct pl_err *err)
{
	struct copy *to = &s->parts[s->nparts];

	pl_buf_init(&to->bytes, 0);
	to->suffix = strdup(from->suffix);
	s->nparts++;
	if (to->suffix == NULL)
		return pl_fail_nomem(err);
	if (from->data == NULL && s->failed == PL_REASON_KEEP)
		s->failed = from->truncated ? PL_REASON_TRUNCATED : PL_REASON_TOO_LARGE;
	return from->data != NULL ? pl_buf_add(&to->bytes, from->data, from->len, err) : PL_OK;
}

static enum pl_status submit(struct resizing *r, uint64_t sample, size_t i, struct pl_err *err)
{
	struct copy *part = &sample_of(r, sample)->parts[i];
	struct pl_pool_job job = { .op = PL_POOL_TRANSFORM, .data = part->bytes.data, .len = part->bytes.len, .resize = r->step->resize };

	part->image = true;
	r->account.images_in++;
	return tool_ring_submit(&r->ring, sample, i, &job, err);
}

static enum pl_status take_in(struct resizing *r, const struct shard_sample *sample, struct pl_err *err)
{
	struct pending *s;
	uint64_t number;
	enum pl_status st = tool_ring_add(&r->ring, &number, err);

	if (st != PL_OK)
		return st;
	s = sample_of(r, number);
	r->account.samples_in++;
	r->account.bytes_in += sample->length;
	s->key = strdup(sample->key);
	s->parts = calloc(sample->nparts + 1, sizeof(*s->parts));
	if (s->key == NULL || s->parts == NULL)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < sample->nparts && st == PL_OK; i++)
		st = copy_part(s, &sample->parts[i], err);
	for (size_t i = 0; i < s->nparts && st == PL_OK; i++)
		if (shard_image_suffix(s->parts[i].suffix) && sample->parts[i].data != NULL)
			st = submit(r, number, i, err);
	return st;
}

/* The hashes first: a shard that is there has them. */
static enum pl_status commit(struct resizing *r, const char *hashes, struct pl_err *err)
{
	struct shard_written written = { 0 };
	enum pl_status st = r->step->resize.hash ? resize_hashes_commit(&r->hashes, err) : PL_OK;

	if (st != PL_OK)
		return st;
	st = shard_writer_commit(r->writer, &written, err);
	r->writer = NULL;
	r->account.bytes_out += written.file_bytes;
	if (st != PL_OK && r->step->resize.hash)
		(void)!resize_hashes_remove(hashes, NULL);
	return st;
}

static enum pl_status open_reader(struct shard_reader **r, const struct resize_from *from, struct pl_err *err)
{
	const struct tool_piece *p = from->piece;

	return p == NULL ? shard_reader_open(r, from->path, NULL, err) : shard_section_open(r, from->path, p->from, p->to, NULL, err);
}

/* What was read before damage is kept, with a warning; of a piece, where the whole shard can still be tried, it is not. */
static enum pl_status read_shard(struct resizing *r, const struct resize_from *from, struct pl_err *err)
{
	struct shard_reader *reader = NULL;
	struct shard_sample sample;
	enum pl_status st = open_reader(&reader, from, err);

	while (st == PL_OK) {
		st = shard_reader_next(reader, &sample, err);
		if (st != PL_OK)
			break;
		st = take_in(r, &sample, err);
		if (st == PL_OK)
			st = tool_poll(r->t, err);
	}
	if ((st == PL_ERR_TRUNCATED || st == PL_ERR_INVALID) && r->account.samples_in > 0 && err->severity == PL_SEV_SHARD &&
	    from->piece == NULL) {
		pl_log_err(PL_LOG_WARNING, err);
		st = PL_END;
	}
	shard_reader_close(reader);
	return st == PL_END ? tool_ring_finish(&r->ring, err) : st;
}

/* Read, resize and write one shard, or a piece of one, or put its pieces together. */
static enum pl_status resize_shard(struct resizing *r, const struct resize_from *from, const char *target, const char *hashes,
    struct pl_err *err)
{
	struct shard_writer_options o = { SHARD_TAR, 0, SHARD_LEVEL_AUTO, 0 };
	bool hash = r->step->resize.hash;
	enum pl_status st = shard_writer_open(&r->writer, target, &o, err);

	if (st == PL_OK && hash)
		st = resize_hashes_open(&r->hashes, hashes, err);
	if (st == PL_OK && from->pieces == NULL)
		st = read_shard(r, from, err);
	for (size_t i = 0; i < from->n && st == PL_OK; i++)
		st = resize_join_piece(r->t, &from->pieces[i], r->writer, hash ? &r->hashes : NULL, &r->account, err);
	if (st == PL_OK)
		st = commit(r, hashes, err);
	tool_ring_release(&r->ring, st);
	shard_writer_abort(r->writer);
	resize_hashes_release(&r->hashes);
	return st;
}

static enum pl_status digest_of(const struct resize_step *s, const char *path, uint64_t digest[2], struct pl_err *err)
{
	const struct pl_resize *z = &s->resize;
	struct pl_buf b;
	enum pl_status st;

	pl_buf_init(&b, 0);
	st = pl_buf_addf(&b, err, "resize %d %u %d %d %d %d %d %d %d %d %d %a\n", (int)z->policy, z->size, (int)z->only_if_bigger, (int)z->filter,
	    (int)z->format, z->encode.quality, z->encode.effort, (int)z->reencode, (int)z->decode_scale, (int)z->optimise, (int)z->hash, s->max_missing);
	if (st == PL_OK && (z->policy > PL_POLICY_BORDER || z->pad_set)) {
		uint8_t ground[3];
		pl_resize_ground(z, ground);
		st = pl_buf_addf(&b, err, "%u %u %llu %llu %u %u %d %u %u %u\n", z->patch, z->factor, (unsigned long long)z->min_pixels,
		    (unsigned long long)z->max_pixels, z->target_w, z->target_h, (int)z->native, ground[0], ground[1], ground[2]);
	}
	if (st == PL_OK)
		st = tool_describe_file(path, &b, err);
	if (st == PL_OK)
		pl_hash128(b.data, b.len, digest);
	pl_buf_release(&b);
	return st;
}

/* Writing over the input would destroy it. */
static enum pl_status check_target(const char *input, const char *target, struct pl_err *err)
{
	struct stat a, b;

	if (stat(input, &a) == 0 && stat(target, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, input, "would be replaced by its own result: give -o another directory");
	return PL_OK;
}

static enum pl_status add_counts(struct pl_account *sum, const char *payload, struct pl_err *err)
{
	struct pl_account a = { 0 };
	enum pl_status st = pl_account_parse(payload, &a, err);

	a.bytes_out = a.units_done = 0;
	if (st == PL_OK)
		pl_account_add(sum, &a);
	return st;
}

/* Make DIR/UNIT.tar and its list of hashes, with their record. account: pieces' counts come in, the unit's go out. */
static enum pl_status make_outputs(struct tool *t, const struct resize_step *s, const struct resize_from *from, const struct pl_record *record,
    struct pl_account *account, struct pl_err *err)
{
	struct resizing *r = calloc(1, sizeof(*r));
	char *target = pl_path_join(record->dir, record->unit);
	struct pl_buf shard, hashes, counts;
	const char *outputs[2];
	enum pl_status st = r == NULL || target == NULL ? pl_fail_nomem(err) : PL_OK;

	pl_buf_init(&shard, 0);
	pl_buf_init(&hashes, 0);
	pl_buf_init(&counts, 0);
	if (st == PL_OK)
		st = pl_buf_addf(&shard, err, "%s.tar", record->unit);
	if (st == PL_OK)
		st = pl_buf_addf(&hashes, err, "%s%s", target, RESIZE_HASHES_SUFFIX);
	if (st != PL_OK)
		goto done;
	r->t = t;
	r->step = s;
	r->account = *account;
	r->ring = (struct tool_ring){ .tool = t, .ctx = r, .take = take, .finish = finish, .drop = drop };
	st = pl_record_forget(record, err);
	if (st == PL_OK)
		st = resize_hashes_remove((char *)hashes.data, err);
	if (st == PL_OK)
		st = resize_shard(r, from, target, (char *)hashes.data, err);
	r->account.units_done = 1;
	if (st == PL_OK)
		st = pl_account_counts(&r->account, &counts, err);
	outputs[0] = (char *)shard.data;
	outputs[1] = (char *)hashes.data + strlen(target) - strlen(record->unit);
	if (st == PL_OK)
		st = pl_record_write(record, outputs, s->resize.hash ? 2 : 1, (char *)counts.data, err);
	*account = r->account;
done:
	pl_buf_release(&shard);
	pl_buf_release(&hashes);
	pl_buf_release(&counts);
	free(target);
	free(r);
	return st;
}

static enum pl_status make_unit(struct tool *t, const struct resize_step *s, const struct resize_from *from, const struct pl_record *record,
    const struct pl_account *pieces, struct pl_err *err)
{
	struct pl_account account = *pieces;
	enum pl_status st = make_outputs(t, s, from, record, &account, err);

	if (st == PL_OK)
		pl_account_add(&t->account, &account);
	if (from->pieces == NULL)
		pl_job_count(t->job, 0, account.samples_in, account.bytes_out);
	return st;
}

/* What the record of a finished shard says, if it is done. record->unit: malloc'ed, also on errors. */
static enum pl_status find_unit(struct tool *t, const struct resize_step *s, const char *name, struct pl_record *record, char **payload,
    struct pl_err *err)
{
	char *stem = pl_name_stem(name), *path = NULL;
	struct pl_buf output;
	bool done = false;
	enum pl_status st;

	pl_buf_init(&output, 0);
	*record = (struct pl_record){ s->dir, stem, { 0, 0 } };
	st = stem == NULL ? pl_fail_nomem(err) : pl_buf_addf(&output, err, "%s.tar", stem);
	if (st == PL_OK && (path = pl_path_join(s->dir, (char *)output.data)) == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = check_target(name, path, err);
	if (st == PL_OK)
		st = digest_of(s, name, record->digest, err);
	if (st == PL_OK && !t->desc->common->force)
		st = pl_record_check(record, &done, payload, err);
	if (!done) {
		free(*payload);
		*payload = NULL;
	}
	free(path);
	pl_buf_release(&output);
	return st;
}

static enum pl_status announce(struct tool *t, const struct pl_record *record, struct pl_err *err)
{
	char *path = pl_path_join(record->dir, record->unit);
	struct pl_buf b;
	enum pl_status st;

	pl_buf_init(&b, 0);
	st = path == NULL ? pl_fail_nomem(err) : pl_buf_addf(&b, err, "%s.tar", path);
	if (st == PL_OK)
		st = tool_announce(t, (char *)b.data, err);
	pl_buf_release(&b);
	free(path);
	return st;
}

static enum pl_status resize_unit(struct tool *t, void *ctx, uint64_t unit, const char *name, struct pl_err *err)
{
	static const struct pl_account nothing;
	struct resize *all = ctx;
	struct resize_from from = { name, NULL, NULL, 0 };
	struct pl_record record;
	struct pl_account a = { 0 };
	char *payload = NULL;
	enum pl_status st = json_array_append_new(all->names, json_string(name)) == 0 ? PL_OK : pl_fail_nomem(err);

	(void)unit;
	if (st != PL_OK)
		return st;
	st = find_unit(t, all->step, name, &record, &payload, err);
	if (st == PL_OK && payload != NULL) {
		st = pl_account_parse(payload, &a, err);
		a.units_done = 0;
		a.units_resumed = 1;
		pl_account_add(&t->account, &a);
	} else if (st == PL_OK) {
		st = make_unit(t, all->step, &from, &record, &nothing, err);
	}
	if (st == PL_OK)
		st = announce(t, &record, err);
	st = tool_unit_failed(t, st, err);
	free(payload);
	free((char *)(uintptr_t)record.unit);
	return st;
}

static enum pl_status wanted_in_pieces(struct tool *t, void *ctx, const char *shard, bool *wanted, struct pl_err *err)
{
	struct resize *all = ctx;
	struct pl_record record;
	char *payload = NULL;
	enum pl_status st = find_unit(t, all->step, shard, &record, &payload, err);

	*wanted = st == PL_OK && payload == NULL;
	free(payload);
	free((char *)(uintptr_t)record.unit);
	return st == PL_OK || err->severity == PL_SEV_JOB ? st : PL_OK;
}

static enum pl_status find_piece(const struct resize_step *s, const struct tool_piece *p, struct pl_record *record, char **payload,
    struct pl_err *err)
{
	struct { uint64_t unit[2], from, to; } key = { { 0, 0 }, p->from, p->to };
	bool done = false;
	enum pl_status st = digest_of(s, p->shard, key.unit, err);

	*record = (struct pl_record){ p->dir, p->id, { 0, 0 } };
	pl_hash128(&key, sizeof(key), record->digest);
	if (st == PL_OK)
		st = pl_record_check(record, &done, payload, err);
	if (!done) {
		free(*payload);
		*payload = NULL;
	}
	return st;
}

static enum pl_status resize_piece(struct tool *t, void *ctx, const struct tool_piece *p, struct pl_err *err)
{
	struct resize *all = ctx;
	struct resize_from from = { p->shard, p, NULL, 0 };
	struct pl_account account = { 0 };
	struct pl_record record;
	char *payload = NULL;
	enum pl_status st = find_piece(all->step, p, &record, &payload, err);

	if (st == PL_OK && (payload == NULL || t->desc->common->force)) {
		st = make_outputs(t, all->step, &from, &record, &account, err);
		pl_job_count(t->job, 0, account.samples_in, account.bytes_out);
	}
	free(payload);
	return st;
}

static enum pl_status join_pieces(struct tool *t, void *ctx, const struct tool_piece *p, size_t n, struct pl_err *err)
{
	struct resize *all = ctx;
	struct resize_from from = { p->shard, NULL, p, n };
	struct pl_account account = { 0 };
	struct pl_record record;
	char *payload = NULL;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < n && st == PL_OK; i++) {
		st = find_piece(all->step, &p[i], &record, &payload, err);
		if (st == PL_OK && payload == NULL)
			st = pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_SHARD, p->shard, "a piece of it is gone");
		if (st == PL_OK)
			st = add_counts(&account, payload, err);
		free(payload);
		payload = NULL;
	}
	if (st != PL_OK)
		return st;
	if ((st = find_unit(t, all->step, p->shard, &record, &payload, err)) == PL_OK)
		st = make_unit(t, all->step, &from, &record, &account, err);
	if (st == PL_OK && json_array_append_new(all->names, json_string(p->shard)) != 0)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = announce(t, &record, err);
	free(payload);
	free((char *)(uintptr_t)record.unit);
	return st;
}

/* Names that came on standard input are looked at when all are known. */
static enum pl_status check_names(struct tool *t, struct resize *all, struct pl_err *err)
{
	struct pl_names names;
	json_t *everyone = NULL;
	enum pl_status st = tool_gather_json(t, all->names, &everyone, err);

	pl_names_init(&names);
	for (size_t i = 0; st == PL_OK && i < json_array_size(everyone); i++)
		st = pl_names_add(&names, json_string_value(json_array_get(everyone, i)), err);
	if (st == PL_OK)
		st = tool_check_stems(&names, err);
	pl_names_release(&names);
	json_decref(everyone);
	return pl_job_agree(t->job, st, err);
}

enum pl_status step_resize(struct tool *t, const struct resize_step *s, struct pl_err *err)
{
	struct resize all = { s, json_array() };
	struct tool_split split = { s->shards, s->dir, &all, resize_unit, wanted_in_pieces, resize_piece, NULL, 1. / 64, join_pieces };
	enum pl_status st = all.names == NULL ? pl_fail_nomem(err) : PL_OK;

	tool_step_begin(t, "resize", s->shards != NULL ? s->shards->len : 0);
	if (st == PL_OK && s->shards != NULL)
		st = tool_check_stems(s->shards, err);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK)
		st = tool_output_dir(t, s->dir, err);
	if (st == PL_OK)
		st = tool_for_shards(t, &split, err);
	if (st == PL_OK)
		st = check_names(t, &all, err);
	if (st == PL_OK)
		st = tool_step_end(t, NULL, err);
	if (st == PL_OK)
		st = tool_check_failed(t, "mend or leave them out and run the same command again", err);
	json_decref(all.names);
	return st;
}
