/* SPDX-License-Identifier: Apache-2.0 */
/* A sample read again by its row. The row is the authority: what is read is
 * held to the row's key, number of images and hashes of their bytes, so that a
 * changed input is an error and never other data. */
#include "fetch.h"

#include "fetch_files.h"
#include "ingest_file.h"
#include "image_index.h"
#include "image_json.h"
#include "libpipe/base/hash.h"
#include "records.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_OPEN 64
/* Enough for the headers of a member, long names and attributes included. */
#define KEY_PROBE ((uint64_t)64 << 10)

struct pl_fetch {
	struct pl_fetch_files files;
	struct pl_image_index **folders; /* per corpus, opened at first need */
	size_t n;
	bool dropped_too;
};

struct pl_sample_parse {
	struct shard_reader *reader;
	struct shard_sample sample;
};

enum pl_status pl_fetch_new(struct pl_fetch **out, struct pl_corpus *const *corpora, size_t n,
    size_t max_open, struct pl_err *err)
{
	struct pl_fetch *f = calloc(1, sizeof(*f));
	struct pl_corpus **list;

	*out = NULL;
	if (f == NULL)
		return pl_fail_nomem(err);
	f->n = n;
	f->files.n = max_open != 0 ? max_open : DEFAULT_OPEN;
	f->files.slots = calloc(f->files.n, sizeof(*f->files.slots));
	f->folders = calloc(n + 1, sizeof(*f->folders));
	list = calloc(n + 1, sizeof(*list));
	f->files.corpora = list;
	if (f->files.slots == NULL || f->folders == NULL || list == NULL) {
		if (f->files.slots == NULL)
			f->files.n = 0;
		pl_fetch_free(f);
		return pl_fail_nomem(err);
	}
	memcpy(list, corpora, n * sizeof(*list));
	*out = f;
	return PL_OK;
}

void pl_fetch_free(struct pl_fetch *f)
{
	struct pl_corpus *const *list;
	size_t i;

	if (f == NULL)
		return;
	for (i = 0; f->folders != NULL && i < f->n; i++)
		pl_image_index_close(f->folders[i]);
	free(f->folders);
	list = f->files.corpora;
	pl_fetch_files_release(&f->files);
	free((void *)(uintptr_t)list);
	free(f);
}

void pl_fetch_dropped_too(struct pl_fetch *f)
{
	f->dropped_too = true;
}

void pl_fetched_init(struct pl_fetched *s)
{
	memset(s, 0, sizeof(*s));
	pl_document_init(&s->doc);
	pl_buf_init(&s->bytes, (size_t)PL_SAMPLE_MAX);
}

/* Everything of the last sample; the buffers stay for the next one. */
static void clear(struct pl_fetched *s)
{
	size_t i;

	for (i = 0; s->image_bytes != NULL && i < s->doc.nimages; i++)
		free(s->image_bytes[i]);
	free(s->image_bytes);
	free(s->image_verdict);
	free(s->key);
	if (s->parse != NULL) {
		shard_reader_close(s->parse->reader);
		free(s->parse);
	}
	/* Ours: pl_fetch_sample took the reference; `tables` is its first member. */
	pl_table_ref_drop((struct pl_table_ref *)(uintptr_t)s->tables);
	s->image_bytes = NULL;
	s->image_verdict = NULL;
	s->key = NULL;
	s->parse = NULL;
	s->tables = NULL;
}

void pl_fetched_release(struct pl_fetched *s)
{
	if (s == NULL)
		return;
	clear(s);
	pl_document_release(&s->doc);
	pl_buf_release(&s->bytes);
}

static enum pl_status changed(
    const struct pl_corpus *c, size_t shard, uint64_t row, const char *what, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, c->shards[shard].path,
	    "sample %llu is not what was ingested (%s differs); ingest again",
	    (unsigned long long)row, what);
}

/* The sample's range, or its first `most` bytes, into buf. */
static enum pl_status read_range(
    struct shard_bytes *b, uint64_t offset, uint64_t length, struct pl_buf *buf, struct pl_err *err)
{
	pl_buf_clear(buf);
	if (length > PL_SAMPLE_MAX)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_ITEM, NULL, "the sample has %llu bytes",
		    (unsigned long long)length);
	return pl_ingest_range(b, offset, length, buf, err);
}

static bool key_fits(const char *key, const struct pl_sample_row *row)
{
	return pl_hash64(key, strlen(key)) == row->key;
}

/* ---- keys ---- */

/* The key stands in the first header, also where the rest of the sample is cut off or too large to
 * hold. */
static enum pl_status tar_key(const struct pl_corpus *c, size_t shard,
    const struct pl_fetch_file *file, uint64_t n, struct pl_buf *buf, char **key,
    struct pl_err *err)
{
	const struct pl_sample_row *row = pl_sample(&file->tables->tables, n);
	struct shard_read_limits limits = pl_source_read_limits(&c->source);
	uint64_t size = shard_bytes_size(file->bytes),
		 left = row->offset < size ? size - row->offset : 0;
	struct shard_reader *r = NULL;
	struct shard_sample s;
	struct pl_err e;
	enum pl_status st;

	*key = NULL;
	st = read_range(file->bytes, row->offset, left < KEY_PROBE ? left : KEY_PROBE, buf, err);
	if (st != PL_OK)
		return st;
	st = shard_reader_open_memory(&r, c->shards[shard].path, buf->data, buf->len, &limits, &e);
	if (st == PL_OK)
		st = shard_reader_next(r, &s, &e);
	if (st == PL_OK && key_fits(s.key, row))
		*key = strdup(s.key);
	else if (st != PL_ERR_NOMEM)
		st = changed(c, shard, n, "the key", err);
	if (st == PL_ERR_NOMEM || (st == PL_OK && *key == NULL))
		st = pl_fail_nomem(err);
	shard_reader_close(r);
	return st;
}

/* The sample of an MDS shard, with the bytes that buf now holds; those of one that is too large stay in the file. */
static enum pl_status read_mds(const struct pl_corpus *c, size_t shard, const struct pl_fetch_file *file, uint64_t n, struct pl_buf *buf,
    struct shard_sample *s, struct pl_err *err)
{
	const struct pl_sample_row *row = pl_sample(&file->tables->tables, n);
	bool held = row->length <= PL_SAMPLE_MAX;
	enum pl_reason why;
	enum pl_status st = held ? read_range(file->bytes, row->offset, row->length, buf, err) : PL_OK;

	if (st == PL_OK)
		st = pl_mds_sample(file->mds, n, row->offset, held ? buf->data : NULL, (size_t)row->length, s, &why, err);
	return st == PL_OK && !key_fits(s->key, row) ? changed(c, shard, n, "the key", err) : st;
}

/* A document past the ceilings is TOO_LARGE, as it was at ingest. */
static enum pl_status too_large(struct pl_document *d)
{
	pl_document_release(d);
	pl_document_init(d);
	d->status = PL_REASON_TOO_LARGE;
	return PL_OK;
}

/* Document and key of a record. */
static enum pl_status read_record(const struct pl_corpus *c, size_t shard,
    const struct pl_fetch_file *file, uint64_t n, struct pl_buf *buf, struct pl_document *doc,
    char **key, struct pl_err *err)
{
	const struct pl_sample_row *row = pl_sample(&file->tables->tables, n);
	const struct pl_shard_facts *facts = &c->shards[shard];
	enum pl_status st = PL_ERR_LIMIT;

	if (row->length <= PL_RECORD_MAX) {
		st = read_range(file->bytes, row->offset, row->length, buf, err);
		if (st == PL_OK)
			st = pl_document_read_related(doc, &c->source.read, (const char *)buf->data,
			    buf->len, pl_record_plain_text(facts->path), file->related, err);
	}
	if (st == PL_ERR_LIMIT)
		st = too_large(doc);
	if (st == PL_OK)
		st = pl_record_key(doc->meta, facts->unit, n, key, err);
	if (st == PL_OK && !key_fits(*key, row)) {
		free(*key);
		*key = NULL;
		st = changed(c, shard, n, "the key", err);
	}
	return st;
}

static enum pl_status mds_key(const struct pl_corpus *c, size_t shard, const struct pl_fetch_file *file, uint64_t n, struct pl_buf *buf,
    char **key, struct pl_err *err)
{
	struct shard_sample s;
	enum pl_status st = read_mds(c, shard, file, n, buf, &s, err);

	if (st == PL_OK && (*key = strdup(s.key)) == NULL)
		st = pl_fail_nomem(err);
	return st;
}

static enum pl_status open_row(struct pl_fetch *f, size_t corpus, size_t shard, uint64_t row,
    struct pl_fetch_file **file, struct pl_err *err)
{
	enum pl_status st;

	if (corpus >= f->n || shard >= f->files.corpora[corpus]->nshards)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "no shard %zu in corpus %zu",
		    shard, corpus);
	st = pl_fetch_open_shard(&f->files, corpus, shard, file, err);
	if (st == PL_OK && row >= (*file)->tables->tables.samples.nrows)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB,
		    f->files.corpora[corpus]->shards[shard].path, "no row %llu in its tables",
		    (unsigned long long)row);
	return st;
}

enum pl_status pl_fetch_key(
    struct pl_fetch *f, size_t corpus, size_t shard, uint64_t row, char **key, struct pl_err *err)
{
	struct pl_fetch_file *file;
	struct pl_document doc;
	struct pl_buf buf;
	const struct pl_corpus *c;
	enum pl_status st = open_row(f, corpus, shard, row, &file, err);

	*key = NULL;
	if (st != PL_OK)
		return st;
	c = f->files.corpora[corpus];
	pl_buf_init(&buf, (size_t)PL_SAMPLE_MAX);
	pl_document_init(&doc);
	if (pl_records_name(c->shards[shard].path))
		st = read_record(c, shard, file, row, &buf, &doc, key, err);
	else if (file->mds != NULL)
		st = mds_key(c, shard, file, row, &buf, key, err);
	else
		st = tar_key(c, shard, file, row, &buf, key, err);
	pl_document_release(&doc);
	pl_buf_release(&buf);
	return st;
}

/* ---- samples ---- */

/* Parse the range in s->bytes; offsets become those of the whole shard. */
static enum pl_status parse_tar(const struct pl_corpus *c, size_t shard,
    const struct pl_sample_row *row, struct pl_fetched *s, struct pl_err *err)
{
	struct shard_read_limits limits = pl_source_read_limits(&c->source);
	struct pl_sample_parse *p = calloc(1, sizeof(*p));
	enum pl_status st;
	size_t i;

	if (p == NULL)
		return pl_fail_nomem(err);
	s->parse = p;
	st = shard_reader_open_memory(
	    &p->reader, c->shards[shard].path, s->bytes.data, s->bytes.len, &limits, err);
	if (st == PL_OK)
		st = shard_reader_next(p->reader, &p->sample, err);
	if (st == PL_ERR_NOMEM)
		return st;
	if (st != PL_OK || !key_fits(p->sample.key, row))
		return changed(c, shard, s->row, "the key", err);
	p->sample.offset += row->offset;
	for (i = 0; i < p->sample.nparts; i++)
		p->sample.parts[i].offset += row->offset;
	s->key = strdup(p->sample.key);
	if (s->key == NULL)
		return pl_fail_nomem(err);
	st = pl_document_read_sample(&s->doc, &c->source.read, &p->sample, err);
	return st == PL_ERR_LIMIT ? too_large(&s->doc) : st;
}

static enum pl_status parse_mds(const struct pl_corpus *c, size_t shard, const struct pl_fetch_file *file, struct pl_fetched *s,
    struct pl_err *err)
{
	struct shard_sample sample;
	enum pl_status st = read_mds(c, shard, file, s->row, &s->bytes, &sample, err);

	if (st != PL_OK)
		return st;
	s->key = strdup(sample.key);
	if (s->key == NULL)
		return pl_fail_nomem(err);
	st = pl_document_read_sample(&s->doc, &c->source.read, &sample, err);
	/* Names are those of the shard's next sample soon. */
	for (size_t k = 0; st == PL_OK && k < s->doc.nimages; k++) {
		const char *name = s->doc.images[k].name;
		s->doc.images[k].name = pl_arena_strndup(&s->doc.arena, name, strlen(name));
		if (s->doc.images[k].name == NULL)
			st = pl_fail_nomem(err);
	}
	return st == PL_ERR_LIMIT ? too_large(&s->doc) : st;
}

static enum pl_status read_sample(const struct pl_corpus *c, size_t shard,
    const struct pl_fetch_file *file, struct pl_fetched *s, struct pl_err *err)
{
	const struct pl_sample_row *row = pl_sample(s->tables, s->row);
	enum pl_status st;

	if (pl_records_name(c->shards[shard].path)) {
		st = read_record(c, shard, file, s->row, &s->bytes, &s->doc, &s->key, err);
	} else if (file->mds != NULL) {
		st = parse_mds(c, shard, file, s, err);
	} else if (row->length == 0 || row->length > PL_SAMPLE_MAX) {
		/* Cut in its first member, or beyond what is held in memory: there is a key, and
		 * nothing else. */
		st = tar_key(c, shard, file, s->row, &s->bytes, &s->key, err);
	} else {
		st = read_range(file->bytes, row->offset, row->length, &s->bytes, err);
		if (st == PL_OK)
			st = parse_tar(c, shard, row, s, err);
	}
	if (st == PL_OK && row->status != PL_REASON_KEEP)
		s->doc.status = (enum pl_reason)row->status;
	return st;
}

static enum pl_status folder_of(
    struct pl_fetch *f, size_t corpus, struct pl_image_index **x, struct pl_err *err)
{
	const struct pl_corpus *c = f->files.corpora[corpus];
	enum pl_status st = PL_OK;

	if (f->folders[corpus] == NULL) {
		if (c->source.images == NULL)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, c->dir,
			    "the manifest names no image folder");
		st = pl_image_index_open(
		    &f->folders[corpus], c->dir, NULL, 0, c->source.images, err);
	}
	*x = f->folders[corpus];
	return st;
}

/* Bytes of an image that lies outside the shard, malloc'ed. */
static enum pl_status read_outside(struct pl_fetch *f, size_t corpus, const char *name,
    const struct pl_image_row *im, uint8_t **bytes, struct pl_err *err)
{
	struct pl_image_index *x = NULL;
	struct pl_fetch_file *file;
	enum pl_status st;

	if (im->where == PL_WHERE_FOLDER) {
		st = folder_of(f, corpus, &x, err);
		return st != PL_OK
		    ? st
		    : pl_image_index_read(x, name, PL_WHERE_FOLDER, 0, 0, im->length, bytes, err);
	}
	if (im->length > PL_SAMPLE_MAX)
		return pl_fail(
		    err, PL_ERR_LIMIT, PL_SEV_ITEM, NULL, "image '%.200s' is too large", name);
	st = pl_fetch_open_store(&f->files, corpus, im->store, &file, err);
	if (st != PL_OK)
		return st;
	*bytes = malloc((size_t)im->length + 1);
	if (*bytes == NULL)
		return pl_fail_nomem(err);
	if (pl_image_json_name(f->files.corpora[corpus]->stores[im->store]))
		return pl_image_json_read(file->bytes, im->offset, *bytes, im->length, err);
	return shard_bytes_read(file->bytes, im->offset, *bytes, (size_t)im->length, err);
}

/* Image k of the document from its row; bytes only where the verdict is KEEP, unless the dropped ones are wanted too. */
static enum pl_status fetch_image(struct pl_fetch *f, size_t corpus, size_t shard,
    struct pl_fetched *s, uint32_t k, struct pl_err *err)
{
	const struct pl_corpus *c = f->files.corpora[corpus];
	uint64_t at = pl_sample(s->tables, s->row)->first_image + k;
	const struct pl_image_row *im = pl_image_at(s->tables, at);
	struct pl_doc_image *d = &s->doc.images[k];
	uint8_t hash[16];
	enum pl_status st;

	s->image_verdict[k] = pl_image_verdict(s->tables, at);
	d->status = (enum pl_reason)im->status;
	d->where = (enum pl_where)im->where;
	if (im->status != PL_REASON_KEEP || (s->image_verdict[k] != PL_REASON_KEEP && !f->dropped_too))
		return PL_OK;
	if (im->where == PL_WHERE_STORE || im->where == PL_WHERE_FOLDER) {
		st = read_outside(f, corpus, d->name, im, &s->image_bytes[k], err);
		if (st == PL_ERR_NOTFOUND || st == PL_ERR_TRUNCATED)
			return changed(c, shard, s->row, "where an image lies", err);
		if (st != PL_OK)
			return st;
		d->data = s->image_bytes[k];
		d->len = (size_t)im->length;
		d->offset = im->offset;
	}
	if (d->data == NULL || d->len != im->length)
		return changed(c, shard, s->row, "an image's size", err);
	pl_hash128_bytes(d->data, d->len, hash);
	return memcmp(hash, im->xxh3, sizeof(hash)) == 0
	    ? PL_OK
	    : changed(c, shard, s->row, "an image's bytes", err);
}

enum pl_status pl_fetch_document(struct pl_fetch *f, size_t corpus, size_t shard, uint64_t row,
    struct pl_fetched *s, struct pl_err *err)
{
	const struct pl_sample_row *r;
	struct pl_fetch_file *file;
	enum pl_status st;

	clear(s);
	/* An empty document, should the sample turn out to have none. */
	pl_document_release(&s->doc);
	pl_document_init(&s->doc);
	st = open_row(f, corpus, shard, row, &file, err);
	if (st != PL_OK)
		return st;
	file->tables->refs++;
	s->tables = &file->tables->tables;
	s->row = row;
	r = pl_sample(s->tables, row);
	st = read_sample(f->files.corpora[corpus], shard, file, s, err);
	if (st != PL_OK)
		return st;
	s->doc.kind = (enum pl_kind)r->kind;
	if (r->status == PL_REASON_KEEP && s->doc.nimages != r->images)
		return changed(f->files.corpora[corpus], shard, row, "the number of images", err);
	return PL_OK;
}

enum pl_status pl_fetch_sample(struct pl_fetch *f, size_t corpus, size_t shard, uint64_t row,
    struct pl_fetched *s, struct pl_err *err)
{
	enum pl_status st = pl_fetch_document(f, corpus, shard, row, s, err);
	const struct pl_sample_row *r;
	size_t k;

	if (st != PL_OK)
		return st;
	r = pl_sample(s->tables, row);
	s->image_verdict = calloc(s->doc.nimages + 1, sizeof(*s->image_verdict));
	s->image_bytes = calloc(s->doc.nimages + 1, sizeof(*s->image_bytes));
	if (s->image_verdict == NULL || s->image_bytes == NULL)
		return pl_fail_nomem(err);
	for (k = 0; st == PL_OK && k < s->doc.nimages; k++) {
		/* A cut sample may show other images when read alone; it is not kept anyway. */
		if (s->doc.nimages != r->images)
			s->image_verdict[k] = PL_REASON_MISSING_IMAGE;
		else
			st = fetch_image(f, corpus, shard, s, (uint32_t)k, err);
	}
	return st;
}
