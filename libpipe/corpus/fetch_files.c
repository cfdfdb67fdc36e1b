/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing the files behind a fetch. A shard that changed since
 * ingest is refused here: the tables' offsets would point into other bytes. */
#include "fetch_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void pl_table_ref_drop(struct pl_table_ref *r)
{
	if (r == NULL || --r->refs > 0)
		return;
	pl_tables_close(&r->tables);
	free(r);
}

static void close_slot(struct pl_fetch_file *s)
{
	pl_mds_close(s->mds);
	shard_bytes_close(s->bytes);
	pl_table_ref_drop(s->tables);
	pl_related_close(s->related);
	memset(s, 0, sizeof(*s));
}

void pl_fetch_files_release(struct pl_fetch_files *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (f->slots[i].bytes != NULL)
			close_slot(&f->slots[i]);
	free(f->slots);
	memset(f, 0, sizeof(*f));
}

/* The slot that holds the file, or else an empty one (the least recently used is emptied). */
static struct pl_fetch_file *slot_for(
    struct pl_fetch_files *f, size_t corpus, size_t index, bool shard)
{
	struct pl_fetch_file *best = &f->slots[0];
	size_t i;

	for (i = 0; i < f->n; i++) {
		struct pl_fetch_file *s = &f->slots[i];

		if (s->bytes != NULL && s->corpus == corpus && s->index == index &&
		    (s->tables != NULL) == shard)
			return s;
		if (best->bytes != NULL && (s->bytes == NULL || s->used < best->used))
			best = s;
	}
	if (best->bytes != NULL)
		close_slot(best);
	return best;
}

static enum pl_status at_job(enum pl_status st, struct pl_err *err)
{
	if (st != PL_OK && err != NULL)
		err->severity = PL_SEV_JOB;
	return st;
}

static enum pl_status check_unchanged(const struct pl_shard_facts *s, struct pl_err *err)
{
	struct stat sb;

	if (strcmp(s->path, "-") == 0)
		return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, NULL,
		    "the shard was read from standard input: its samples cannot be read again");
	if (stat(s->path, &sb) != 0) {
		if (errno == ENOENT)
			return pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_JOB, s->path,
			    "the shard is gone since it was ingested (relative paths count from where ingest ran)");
		return pl_fail_errno(err, PL_SEV_JOB, s->path, "cannot open");
	}
	if ((uint64_t)sb.st_size != s->bytes ||
	    (uint64_t)(sb.st_mtim.tv_sec > 0 ? sb.st_mtim.tv_sec : 0) != s->mtime)
		return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, s->path,
		    "the shard changed since it was ingested (size or time differs); ingest again");
	return PL_OK;
}

/* What the shard's records refer to, in itself or in a file of answers that is as it was. */
static enum pl_status open_related(const struct pl_corpus *c, size_t shard, struct pl_related **out, struct pl_err *err)
{
	const struct pl_shard_facts *s = &c->shards[shard];
	struct stat sb;
	char *table;
	enum pl_status st;

	*out = NULL;
	if (s->related == 0)
		return PL_OK;
	if (c->source.answers != NULL) {
		if (stat(c->source.answers, &sb) != 0)
			return pl_fail_errno(err, PL_SEV_JOB, c->source.answers, "cannot open");
		if ((uint64_t)sb.st_size != s->answers_bytes ||
		    (uint64_t)(sb.st_mtim.tv_sec > 0 ? sb.st_mtim.tv_sec : 0) != s->answers_mtime)
			return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, c->source.answers,
			    "the answers changed since they were ingested (size or time differs); ingest again");
	}
	table = pl_table_path(c, shard, "places");
	if (table == NULL)
		return pl_fail_nomem(err);
	st = at_job(pl_related_open(out, s->path, &c->source, table, s->image_set, err), err);
	free(table);
	return st;
}

enum pl_status pl_fetch_open_shard(struct pl_fetch_files *f, size_t corpus, size_t shard,
    struct pl_fetch_file **out, struct pl_err *err)
{
	const struct pl_corpus *c = f->corpora[corpus];
	struct pl_fetch_file *s = slot_for(f, corpus, shard, true);
	struct pl_table_ref *ref;
	enum pl_status st;

	s->used = ++f->clock;
	*out = s;
	if (s->bytes != NULL)
		return PL_OK;
	st = check_unchanged(&c->shards[shard], err);
	if (st != PL_OK)
		return st;
	ref = calloc(1, sizeof(*ref));
	if (ref == NULL)
		return pl_fail_nomem(err);
	ref->refs = 1;
	st = pl_tables_open(&ref->tables, c, shard, err);
	if (st == PL_OK)
		st = open_related(c, shard, &s->related, err);
	if (st == PL_OK)
		st = at_job(shard_bytes_open(&s->bytes, c->shards[shard].path, err), err);
	if (st == PL_OK && shard_mds_name(c->shards[shard].path))
		st = at_job(pl_mds_open(&s->mds, s->bytes, c->shards[shard].path, c->shards[shard].unit, err), err);
	if (st != PL_OK) {
		shard_bytes_close(s->bytes);
		pl_related_close(s->related);
		s->related = NULL;
		s->bytes = NULL;
		pl_table_ref_drop(ref);
		return st;
	}
	s->tables = ref;
	s->corpus = corpus;
	s->index = shard;
	return PL_OK;
}

enum pl_status pl_fetch_open_store(struct pl_fetch_files *f, size_t corpus, size_t store,
    struct pl_fetch_file **out, struct pl_err *err)
{
	const struct pl_corpus *c = f->corpora[corpus];
	struct pl_fetch_file *s = slot_for(f, corpus, store, false);
	enum pl_status st = PL_OK;

	s->used = ++f->clock;
	*out = s;
	if (s->bytes != NULL)
		return PL_OK;
	st = at_job(shard_bytes_open(&s->bytes, c->stores[store], err), err);
	if (st != PL_OK) {
		s->bytes = NULL;
		return st;
	}
	s->corpus = corpus;
	s->index = store;
	return PL_OK;
}
