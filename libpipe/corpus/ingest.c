/* SPDX-License-Identifier: Apache-2.0 */
/* One shard in, two tables out. The loop reads ahead of the codec pool as far
 * as the pool's window allows and never waits without polling. */
#include "ingest.h"

#include "ingest_columns.h"
#include "ingest_file.h"
#include "ingest_parts.h"
#include "ingest_rows.h"
#include "key_set.h"
#include "libpipe/base/hash.h"
#include "libpipe/base/names.h"
#include "mds_sample.h"
#include "records.h"
#include "related.h"
#include "shards/bytes.h"
#include "shards/section.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS 20
/* Samples without images may overtake an image under way, but not without end. */
#define WAITING_MAX 4096

struct ingest {
	const char *path;
	const struct pl_source *source;
	const struct pl_ingest_env *env;
	const struct pl_stretch *stretch; /* NULL = the whole shard */
	struct pl_shard_facts *facts;
	struct pl_account account;
	struct pl_rows rows;
	struct pl_document doc;
	struct pl_key_set keys;
	struct pl_related *related; /* NULL = its records refer to none */
	struct shard_bytes *frames; /* NULL = not seekable zstd */
	double *meta;
	struct pl_text_meter *meter;
};

static enum pl_status poll_now(const struct pl_ingest_env *env, struct pl_err *err)
{
	return env->poll != NULL ? env->poll(env->poll_ctx, err) : PL_OK;
}

/* Take what the pool has finished, waiting up to timeout_ms for the first of it; write what that
 * completes. */
static enum pl_status collect(struct ingest *in, int timeout_ms, struct pl_err *err)
{
	struct pl_pool_result r;
	enum pl_status st;
	bool ready = true;

	while (ready) {
		st = pl_pool_next(in->env->pool, timeout_ms, &ready, &r, err);
		if (st == PL_END)
			break;
		if (st != PL_OK)
			return st;
		if (ready)
			pl_rows_answer(&in->rows, r.tag, &r);
		timeout_ms = 0;
	}
	return pl_rows_flush(&in->rows, err);
}

static enum pl_status wait_a_little(struct ingest *in, struct pl_err *err)
{
	enum pl_status st = poll_now(in->env, err);

	return st == PL_OK ? collect(in, WAIT_MS, err) : st;
}

/* An earlier shard that was given up may have left jobs under way. */
static enum pl_status drain(const struct pl_ingest_env *env, struct pl_err *err)
{
	struct pl_pool_result r;
	enum pl_status st = PL_OK;
	bool ready;

	while (st == PL_OK && pl_pool_pending(env->pool) > 0) {
		st = poll_now(env, err);
		if (st == PL_OK)
			st = pl_pool_next(env->pool, WAIT_MS, &ready, &r, err);
	}
	return st == PL_END ? PL_OK : st;
}

/* What a failed read of a looked-up image means for it; PL_REASON_COUNT: not the image's fault. */
static enum pl_reason read_failure(enum pl_status st)
{
	if (st == PL_ERR_NOTFOUND)
		return PL_REASON_MISSING_IMAGE;
	if (st == PL_ERR_TRUNCATED)
		return PL_REASON_TRUNCATED;
	if (st == PL_ERR_LIMIT)
		return PL_REASON_TOO_LARGE;
	return st == PL_ERR_INVALID || st == PL_ERR_UNSUPPORTED ? PL_REASON_CORRUPT
								: PL_REASON_COUNT;
}

/* Find a named image among the source's images: fills the row's place, and *bytes when it can be
 * scanned. */
static enum pl_status look_up(struct ingest *in, const char *name, struct pl_image_row *im,
    uint8_t **bytes, struct pl_err *err)
{
	struct pl_image_index *x = in->env->images;
	enum pl_where where;
	enum pl_reason why;
	struct pl_err e;
	enum pl_status st = pl_image_index_find(
	    x, name, &where, &im->store, &im->offset, &im->length, &e);

	if (st == PL_OK) {
		im->where = (uint8_t)where;
		im->status = PL_REASON_KEEP;
		if (im->length == 0)
			im->status = PL_REASON_EMPTY;
		else if (im->length > in->source->limits.max_bytes)
			im->status = PL_REASON_TOO_LARGE;
		else
			st = pl_image_index_read(
			    x, name, where, im->store, im->offset, im->length, bytes, &e);
	}
	if (st == PL_OK)
		return PL_OK;
	why = read_failure(st);
	if (why == PL_REASON_COUNT) {
		if (err != NULL)
			*err = e;
		return st;
	}
	im->status = (uint8_t)why;
	return PL_OK;
}

static enum pl_status submit(
    struct ingest *in, const void *data, size_t len, uint64_t number, struct pl_err *err)
{
	struct pl_pool_job job = { .op = PL_POOL_SCAN,
		.data = data,
		.len = len,
		.hash = in->source->hash,
		.tag = number };
	enum pl_status st = PL_OK;

	while (st == PL_OK && !pl_pool_has_room(in->env->pool))
		st = wait_a_little(in, err);
	return st == PL_OK ? pl_pool_submit(in->env->pool, &job, err) : st;
}

/* Fill the row of image k of the document; its bytes, if any, go to the pool. */
static enum pl_status add_image(struct ingest *in, uint32_t k, struct pl_err *err)
{
	const struct pl_doc_image *src = &in->doc.images[k];
	uint64_t number;
	struct pl_image_row *im = pl_rows_image(&in->rows, k, &number);
	const uint8_t *data = src->data;
	uint8_t *found = NULL;
	enum pl_status st = PL_OK;

	im->where = (uint8_t)src->where;
	im->offset = src->where == PL_WHERE_SHARD ? src->offset : 0;
	im->length = src->len;
	im->orientation = 1;
	im->status = (uint8_t)src->status;
	/* One spelling of NaN, whatever the document's reader made it of: equal input, equal bytes.
	 */
	im->similarity = isnan(src->similarity) ? NAN : src->similarity;
	im->bits_per_pixel = NAN;
	if (src->where == PL_WHERE_NOWHERE) {
		data = NULL;
		im->status = PL_REASON_MISSING_IMAGE;
		if (in->env->images != NULL && src->name != NULL && src->name[0] != '\0')
			st = look_up(in, src->name, im, &found, err);
		if (found != NULL)
			data = found;
	}
	if (st == PL_OK && im->status == PL_REASON_KEEP && data != NULL) {
		st = submit(in, data, (size_t)im->length, number, err);
	} else if (st == PL_OK) {
		if (im->status == PL_REASON_KEEP)
			im->status = im->length == 0 ? PL_REASON_EMPTY : PL_REASON_TOO_LARGE;
		pl_rows_answer(&in->rows, number, NULL);
	}
	free(found);
	return st;
}

static uint32_t narrow(uint64_t n)
{
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* The document in in->doc becomes a row. status: a reason that stands before the document's own, or
 * KEEP. */
static enum pl_status add_sample(struct ingest *in, const char *key, uint64_t offset,
    uint64_t length, enum pl_reason status, struct pl_err *err)
{
	struct pl_text_stats text = { 0 };
	struct pl_sample_row row;
	enum pl_status st = pl_document_text_stats(&in->doc, &text, err);
	int64_t frame = in->frames != NULL ? shard_bytes_frame(in->frames, offset) : -1;
	size_t i;

	if (st != PL_OK)
		return st;
	if (status == PL_REASON_KEEP)
		status = in->doc.status;
	if (status == PL_REASON_KEEP && length > PL_SAMPLE_MAX)
		status = PL_REASON_TOO_LARGE;
	memset(&row, 0, sizeof(row));
	row.key = pl_hash64(key, strlen(key));
	row.id_hash = pl_ingest_id(in->doc.meta, in->source->id_field);
	row.text_hash = text.hash;
	row.offset = offset;
	row.length = length;
	row.frame = frame > INT32_MAX || frame < 0 ? -1 : (int32_t)frame;
	row.text_bytes = narrow(text.bytes);
	row.text_words = text.words;
	row.text_tokens = text.tokens;
	row.segments = narrow(in->doc.nsegments);
	/* Plait's own documents are each of a kind of their own. */
	row.kind = (uint8_t)(in->doc.as_is ? in->doc.kind : in->source->read.kind);
	row.status = (uint8_t)status;
	for (i = 0; i < in->source->ncolumns; i++)
		in->meta[i] = pl_ingest_number(in->doc.meta, in->source->columns[i]);
	st = pl_ingest_measure(in->meter, &in->doc, &row, err);
	if (st == PL_OK && in->env->tokens != NULL)
		st = pl_ingest_tokens(in->env->tokens, &in->doc, &row, err);
	if (st == PL_OK)
		st = pl_rows_push(&in->rows, &row, in->meta, narrow(in->doc.nimages), err);
	/* Images of broken samples are scanned, too: an evaluation set may be pictures without
	 * captions. */
	for (i = 0; st == PL_OK && i < in->doc.nimages; i++)
		st = add_image(in, (uint32_t)i, err);
	if (st == PL_OK)
		st = collect(in, 0, err);
	while (st == PL_OK && pl_rows_waiting(&in->rows) > WAITING_MAX)
		st = wait_a_little(in, err);
	return st;
}

/* A document past the ceilings is a sample that is too large; only memory running out is an error.
 */
static enum pl_status after_read(enum pl_status st, struct pl_document *d)
{
	if (st != PL_ERR_LIMIT)
		return st;
	pl_document_release(d);
	pl_document_init(d);
	d->status = PL_REASON_TOO_LARGE;
	return PL_OK;
}

/* why: what is wrong with its bytes, or KEEP. */
static enum pl_status whole_sample(struct ingest *in, const struct shard_sample *s, enum pl_reason why, struct pl_err *err)
{
	enum pl_status st;
	bool seen;

	st = pl_key_set_add(&in->keys, pl_hash64(s->key, strlen(s->key)), &seen, err);
	if (st == PL_OK)
		st = after_read(
		    pl_document_read_sample(&in->doc, &in->source->read, s, err), &in->doc);
	if (st != PL_OK)
		return st;
	if (seen && why == PL_REASON_KEEP)
		why = PL_REASON_DUPLICATE_KEY;
	return add_sample(in, s->key, s->offset, s->length, why, err);
}

static enum pl_status record(struct ingest *in, const struct pl_record_text *r, struct pl_err *err)
{
	enum pl_status st = PL_ERR_LIMIT;
	char *key = NULL;

	if (!r->too_large)
		st = pl_document_read_related(
		    &in->doc, &in->source->read, r->text, r->len, r->plain_text, in->related, err);
	st = after_read(st, &in->doc);
	in->facts->related_missing += in->doc.related_missing;
	if (st == PL_OK)
		st = pl_record_key(in->doc.meta, in->facts->unit, in->rows.next_sample, &key, err);
	if (st == PL_OK)
		st = add_sample(in, key, r->offset, r->len, PL_REASON_KEEP, err);
	free(key);
	return st;
}

/* Does the reader's error mean that the rest of this shard is damaged, and what came before it is
 * sound? */
static bool is_damage(const struct ingest *in, enum pl_status st)
{
	return in->rows.next_sample > 0 &&
	    (st == PL_ERR_TRUNCATED || st == PL_ERR_INVALID || st == PL_ERR_LIMIT ||
		st == PL_ERR_UNSUPPORTED);
}

/* Keep what the reader said, without the path (the facts have it) and fit for JSON. */
static enum pl_status note_damage(struct ingest *in, const struct pl_err *e, struct pl_err *err)
{
	struct pl_err copy = *e;
	char text[1024];
	char *p;

	copy.path[0] = '\0';
	pl_err_format(&copy, text, sizeof(text));
	for (p = text; *p != '\0'; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
	in->facts->damage = strdup(text);
	return in->facts->damage != NULL ? PL_OK : pl_fail_nomem(err);
}

static enum pl_status end_of_shard(struct ingest *in, enum pl_status st, const struct pl_err *e,
    const uint64_t hash[2], uint64_t bytes, struct pl_err *err)
{
	bool piped = strcmp(in->path, "-") == 0;

	if (st == PL_END && bytes == 0)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, in->path, "is empty");
	memcpy(in->facts->hash, hash, sizeof(in->facts->hash));
	if (piped)
		in->facts->bytes = bytes;
	if (st == PL_END)
		return PL_OK;
	if (is_damage(in, st)) {
		st = note_damage(in, e, err);
		return st == PL_OK && !piped ? pl_ingest_hash(in->path, in->env, in->facts->hash, err) : st;
	}
	if (err != NULL) {
		*err = *e;
		if (err->severity == PL_SEV_ITEM)
			err->severity = PL_SEV_SHARD;
	}
	return st;
}

static enum pl_status open_tar(struct ingest *in, struct shard_reader **r, struct pl_err *err)
{
	struct shard_read_limits limits = pl_source_read_limits(in->source);

	return in->stretch == NULL ? shard_reader_open(r, in->path, &limits, err) :
	    shard_section_open(r, in->path, in->stretch->from, in->stretch->to, &limits, err);
}

static enum pl_status end_of_stretch(enum pl_status st, const struct pl_err *e, struct pl_err *err)
{
	if (st == PL_END)
		return PL_OK;
	if (err != NULL)
		*err = *e;
	return st;
}

static enum pl_status run_tar(struct ingest *in, struct pl_err *err)
{
	const struct shard_skipped *skipped;
	struct shard_reader *r;
	struct shard_sample s;
	struct pl_err e;
	uint64_t hash[2], bytes;
	enum pl_status st = open_tar(in, &r, err), read;

	if (st != PL_OK)
		return st;
	while ((read = shard_reader_next(r, &s, &e)) == PL_OK) {
		st = poll_now(in->env, err);
		if (st == PL_OK)
			st = whole_sample(in, &s, PL_REASON_KEEP, err);
		if (st != PL_OK)
			goto out;
	}
	skipped = shard_reader_skipped(r);
	in->facts->not_regular = skipped->not_regular;
	in->facts->dunder = skipped->dunder;
	in->facts->no_key = skipped->no_key;
	shard_reader_digest(r, hash, &bytes);
	st = in->stretch != NULL ? end_of_stretch(read, &e, err) : end_of_shard(in, read, &e, hash, bytes, err);
out:
	shard_reader_close(r);
	return st;
}

/* Sample i of m; *keep its bytes, reused. Errors of the shard itself go to e. */
static enum pl_status mds_sample(struct ingest *in, struct shard_bytes *b, struct pl_mds *m, uint64_t i, struct pl_buf *keep,
    enum pl_status *read, struct pl_err *e, struct pl_err *err)
{
	struct shard_sample s;
	enum pl_reason why;
	uint64_t offset, length;
	bool held;
	enum pl_status st;

	*read = pl_mds_range(m, i, &offset, &length, e);
	held = *read == PL_OK && length <= PL_SAMPLE_MAX;
	if (held)
		*read = pl_ingest_range(b, offset, length, keep, e);
	if (*read != PL_OK)
		return PL_OK;
	st = pl_mds_sample(m, i, offset, held ? keep->data : NULL, (size_t)length, &s, &why, err);
	return st == PL_OK ? whole_sample(in, &s, why, err) : st;
}

static enum pl_status run_mds(struct ingest *in, struct pl_err *err)
{
	struct shard_bytes *b = NULL;
	struct pl_mds *m = NULL;
	struct pl_buf keep;
	struct pl_err e;
	uint64_t hash[2] = { 0, 0 };
	enum pl_status read = PL_OK, st = shard_bytes_open(&b, in->path, err);

	pl_buf_init(&keep, (size_t)PL_SAMPLE_MAX);
	if (st == PL_OK)
		st = pl_mds_open(&m, b, in->path, in->facts->unit, err);
	for (uint64_t i = 0; st == PL_OK && read == PL_OK && i < pl_mds_count(m); i++) {
		st = poll_now(in->env, err);
		if (st == PL_OK)
			st = mds_sample(in, b, m, i, &keep, &read, &e, err);
	}
	if (st == PL_OK && read == PL_OK) {
		read = PL_END;
		st = pl_ingest_hash(in->path, in->env, hash, err);
	}
	if (st == PL_OK)
		st = end_of_shard(in, read, &e, hash, in->facts->bytes, err);
	pl_buf_release(&keep);
	pl_mds_close(m);
	shard_bytes_close(b);
	return st;
}

/* Table of what the records refer to, before they are read. */
static enum pl_status relate(struct ingest *in, const char *dir, struct pl_err *err)
{
	char *table = pl_unit_table_path(dir, in->facts->unit, "places");
	char image_set[PL_LAYOUT_SET];
	bool needed = false;
	struct stat sb;
	enum pl_status st = table != NULL ? pl_related_needed(in->path, in->source, &needed, image_set, err) : pl_fail_nomem(err);

	if (st == PL_OK && !needed)
		unlink(table);
	if (st != PL_OK || !needed)
		goto out;
	in->facts->related = 1;
	if (in->source->answers != NULL) {
		if (stat(in->source->answers, &sb) != 0) {
			st = pl_fail_errno(err, PL_SEV_JOB, in->source->answers, "cannot open");
			goto out;
		}
		in->facts->answers_bytes = (uint64_t)sb.st_size;
		in->facts->answers_mtime = sb.st_mtim.tv_sec > 0 ? (uint64_t)sb.st_mtim.tv_sec : 0;
	}
	st = pl_related_build(in->path, in->source, table, in->env->poll, in->env->poll_ctx, err);
	if (st == PL_OK && image_set[0] != '\0' && (in->facts->image_set = strdup(image_set)) == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = pl_related_open(&in->related, in->path, in->source, table, image_set, err);
out:
	free(table);
	return st;
}

static enum pl_status run_records(struct ingest *in, struct pl_err *err)
{
	struct pl_records *r;
	struct pl_record_text text;
	struct pl_err e;
	uint64_t hash[2], bytes;
	enum pl_status st = pl_records_open_part(&r, in->path, pl_source_part(in->source), PL_RECORD_MAX, err), read;

	if (st != PL_OK)
		return st;
	while ((read = pl_records_next(r, &text, &e)) == PL_OK) {
		st = poll_now(in->env, err);
		if (st == PL_OK)
			st = record(in, &text, err);
		if (st != PL_OK)
			goto out;
	}
	pl_records_digest(r, hash, &bytes);
	st = end_of_shard(in, read, &e, hash, bytes, err);
out:
	pl_records_close(r);
	return st;
}

static enum pl_status finish(struct ingest *in, const char *dir, struct pl_err *err)
{
	struct pl_shard_facts *f = in->facts;
	enum pl_status st = PL_OK;

	while (st == PL_OK && pl_rows_waiting(&in->rows) > 0) {
		if (pl_pool_pending(in->env->pool) == 0)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, in->path,
			    "the codec pool lost an image");
		st = wait_a_little(in, err);
	}
	if (st != PL_OK)
		return st;
	f->samples = in->rows.next_sample;
	f->images = in->rows.next_image;
	f->kept = in->rows.kept;
	in->account.bytes_in = f->bytes;
	pl_ingest_remove_verdicts(dir, f->unit);
	return pl_rows_commit(&in->rows, err);
}

static enum pl_status ingest(const char *path, const char *dir, const struct pl_source *source,
    const struct pl_stretch *stretch, const struct pl_ingest_env *env, struct pl_account *account,
    struct pl_shard_facts *facts, struct pl_err *err)
{
	struct ingest in = { .path = path, .source = source, .env = env, .stretch = stretch, .facts = facts };
	enum pl_status st;

	memset(facts, 0, sizeof(*facts));
	pl_document_init(&in.doc);
	if (source->read.kind == PL_KIND_AUTO)
		st = pl_fail(
		    err, PL_ERR_USAGE, PL_SEV_JOB, path, "the kind of the source is not set");
	else
		st = pl_source_check(source, err);
	if (st == PL_OK)
		st = pl_ingest_facts(facts, path, stretch, err);
	if (st == PL_OK)
		st = drain(env, err);
	if (st != PL_OK)
		goto out;
	in.meta = calloc(source->ncolumns + 1, sizeof(*in.meta));
	if (in.meta == NULL) {
		st = pl_fail_nomem(err);
		goto out;
	}
	st = pl_rows_open(&in.rows, dir, facts->unit, source, &in.account, err);
	if (st != PL_OK)
		goto out;
	in.frames = pl_ingest_frames(path);
	st = pl_text_meter_new(&in.meter, env->language, err);
	if (st == PL_OK && stretch == NULL && pl_records_name(path))
		st = relate(&in, dir, err);
	if (st == PL_OK)
		st = stretch != NULL ? run_tar(&in, err) : pl_records_name(path) ? run_records(&in, err) :
		    shard_mds_name(path) ? run_mds(&in, err) : run_tar(&in, err);
	if (st == PL_OK)
		st = finish(&in, dir, err);
	if (st == PL_OK)
		pl_account_add(account, &in.account);
out:
	shard_bytes_close(in.frames);
	pl_related_close(in.related);
	pl_text_meter_free(in.meter);
	pl_rows_release(&in.rows);
	pl_key_set_release(&in.keys);
	pl_document_release(&in.doc);
	free(in.meta);
	if (st != PL_OK)
		pl_shard_facts_release(facts);
	return st;
}

enum pl_status pl_ingest_shard(const char *path, const char *dir, const struct pl_source *source,
    const struct pl_ingest_env *env, struct pl_account *account, struct pl_shard_facts *facts,
    struct pl_err *err)
{
	return ingest(path, dir, source, NULL, env, account, facts, err);
}

enum pl_status pl_ingest_stretch(const char *path, const char *dir, const struct pl_source *source,
    const struct pl_stretch *stretch, const struct pl_ingest_env *env, struct pl_account *account,
    struct pl_shard_facts *facts, struct pl_err *err)
{
	return ingest(path, dir, source, stretch, env, account, facts, err);
}
