/* SPDX-License-Identifier: Apache-2.0 */
/* Ingest: shards -> tables, one unit of work per shard; and, before that, the
 * index of the image tars where documents name their images. */
#include "libpipe/base/hash.h"
#include "libpipe/corpus/ingest.h"
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct ingest {
	const struct ingest_step *step;
	struct pl_names stores;            /* image tars */
	bool folder;                       /* source.images is a folder */
	struct pl_image_index *index;
	struct pl_buf settings;            /* canonical text: part of every unit's digest */
	json_t *facts;                     /* of the shards this rank did */
};

static enum pl_status find_stores(struct tool *t, struct ingest *in, struct pl_err *err)
{
	const char *images = in->step->source.images;
	struct stat sb;

	if (images == NULL)
		return PL_OK;
	if (stat(images, &sb) == 0 && S_ISDIR(sb.st_mode)) {
		in->folder = true;
		return PL_OK;
	}
	return tool_expand(t, &images, 1, &in->stores, err);
}

/* What a file is, as far as a rerun must know: name, size, time. */
static enum pl_status digest_of(const struct ingest *in, const char *path, uint64_t digest[2], struct pl_err *err)
{
	struct pl_buf b;
	struct stat sb;
	enum pl_status st;

	if (stat(path, &sb) != 0)
		return pl_fail_errno(err, PL_SEV_SHARD, path, "cannot read the shard");
	pl_buf_init(&b, 0);
	st = pl_buf_addf(&b, err, "%s\n%lld\n%lld\n", path, (long long)sb.st_size, (long long)sb.st_mtime);
	if (st == PL_OK && in != NULL)
		st = pl_buf_add(&b, in->settings.data, in->settings.len, err);
	if (st == PL_OK)
		pl_hash128(b.data, b.len, digest);
	pl_buf_release(&b);
	return st;
}

static enum pl_status index_store(struct tool *t, void *ctx, uint64_t unit, const char *name, struct pl_err *err)
{
	struct ingest *in = ctx;
	char record_unit[32], table[32];
	const char *output = table;
	struct pl_record record = { in->step->dir, record_unit, { 0, 0 } };
	bool done = false;
	enum pl_status st;

	snprintf(record_unit, sizeof(record_unit), "names-%05llu", (unsigned long long)unit);
	snprintf(table, sizeof(table), "names-%05llu.npy", (unsigned long long)unit);
	st = digest_of(NULL, name, record.digest, err);
	if (st == PL_OK)
		st = pl_record_check(&record, &done, NULL, err);
	if (st != PL_OK || done)
		return st;
	st = pl_image_index_build(name, in->step->dir, unit, tool_poll, t, err);
	if ((st == PL_ERR_TRUNCATED || st == PL_ERR_INVALID) && err->severity == PL_SEV_SHARD) {
		/* What was indexed before the damage is used. */
		pl_log_err(PL_LOG_WARNING, err);
		return PL_OK;
	}
	return st == PL_OK ? pl_record_write(&record, &output, 1, NULL, err) : st;
}

static enum pl_status open_index(struct tool *t, struct ingest *in, struct pl_err *err)
{
	enum pl_status st = find_stores(t, in, err);

	if (st != PL_OK || in->step->source.images == NULL)
		return st;
	if (in->stores.len > 0) {
		tool_stage(t, "index images", in->stores.len);
		st = tool_for_files(t, &in->stores, index_store, in, err);
		if (st != PL_OK)
			return st;
	}
	st = pl_image_index_open(&in->index, in->step->dir, in->folder ? NULL : in->stores.items, in->stores.len,
	    in->folder ? in->step->source.images : NULL, err);
	return pl_job_agree(t->job, st, err);
}

static enum pl_status keep_facts(struct ingest *in, const struct pl_shard_facts *facts, enum pl_kind kind, json_t **out, struct pl_err *err)
{
	json_t *j = NULL;
	enum pl_status st = pl_shard_facts_dump(facts, &j, err);

	if (st != PL_OK)
		return st;
	if (json_object_set_new(j, "kind", json_integer((json_int_t)kind)) != 0 || json_array_append(in->facts, j) != 0) {
		json_decref(j);
		return pl_fail_nomem(err);
	}
	*out = j;
	return PL_OK;
}

/* A unit found done: its facts and its account come from the record. */
static enum pl_status resume_unit(struct tool *t, struct ingest *in, const char *payload, struct pl_err *err)
{
	struct pl_account account = { 0 };
	json_t *j = NULL, *facts;
	enum pl_status st = pl_json_parse(payload, strlen(payload), &j, err);

	if (st != PL_OK)
		return st;
	facts = json_object_get(j, "facts");
	st = facts == NULL ? pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, in->step->dir, "a content record lacks its facts") :
	    pl_account_parse(pl_json_str(j, "account"), &account, err);
	if (st == PL_OK && json_array_append(in->facts, facts) != 0)
		st = pl_fail_nomem(err);
	account.units_done = 0;
	account.units_resumed = 1;
	if (st == PL_OK)
		pl_account_add(&t->account, &account);
	json_decref(j);
	return st;
}

/* Facts and account as the record's payload. */
static enum pl_status write_record(struct ingest *in, const struct pl_record *record, const struct pl_account *account,
    const struct pl_shard_facts *facts, enum pl_kind kind, struct pl_err *err)
{
	char samples[300], images[300];
	const char *outputs[] = { samples, images };
	struct pl_buf counts, payload;
	json_t *j = NULL, *all = NULL;
	enum pl_status st;

	pl_buf_init(&counts, 0);
	pl_buf_init(&payload, 0);
	snprintf(samples, sizeof(samples), "%s.samples.npy", facts->unit);
	snprintf(images, sizeof(images), "%s.images.npy", facts->unit);
	if ((st = keep_facts(in, facts, kind, &j, err)) != PL_OK)
		goto done;
	if ((st = pl_account_counts(account, &counts, err)) != PL_OK)
		goto done;
	all = json_pack("{s:O,s:s}", "facts", j, "account", (const char *)counts.data);
	if (all == NULL) {
		st = pl_fail_nomem(err);
		goto done;
	}
	if ((st = pl_json_dump(all, false, &payload, err)) != PL_OK)
		goto done;
	st = pl_record_write(record, outputs, 2, (const char *)payload.data, err);
done:
	json_decref(all);
	json_decref(j);
	pl_buf_release(&counts);
	pl_buf_release(&payload);
	return st;
}

static enum pl_status make_unit(struct tool *t, struct ingest *in, const char *path, const struct pl_record *record, struct pl_err *err)
{
	struct pl_ingest_env env = { t->pool, in->index, tool_poll, t };
	struct pl_source source = in->step->source;
	struct pl_shard_facts facts = { 0 };
	struct pl_account account = { 0 };
	enum pl_status st = PL_OK;

	if (source.read.kind == PL_KIND_AUTO)
		st = pl_detect_kind(path, &source.read.kind, err);
	if (st == PL_OK)
		st = pl_ingest_shard(path, in->step->dir, &source, &env, &account, &facts, err);
	if (st == PL_OK && facts.damage != NULL)
		pl_log(PL_LOG_WARNING, "'%s': %s; %llu samples were read before that", path, facts.damage,
		    (unsigned long long)facts.samples);
	account.units_done = 1;
	if (st == PL_OK)
		st = write_record(in, record, &account, &facts, source.read.kind, err);
	if (st == PL_OK) {
		pl_account_add(&t->account, &account);
		pl_job_count(t->job, 0, facts.samples, facts.bytes);
	}
	pl_shard_facts_release(&facts);
	return st;
}

/* A shard that cannot be read at all is reported, and the others go on. */
static enum pl_status shard_failed(struct tool *t, enum pl_status st, const struct pl_err *err)
{
	if (st == PL_OK || st == PL_ERR_STOPPED || err->severity == PL_SEV_JOB)
		return st;
	pl_log_err(PL_LOG_ERROR, err);
	t->account.units_failed++;
	return PL_OK;
}

static enum pl_status ingest_unit(struct tool *t, void *ctx, uint64_t unit, const char *name, struct pl_err *err)
{
	struct ingest *in = ctx;
	struct pl_record record = { in->step->dir, NULL, { 0, 0 } };
	char *stem = pl_name_stem(name), *payload = NULL;
	bool done = false;
	enum pl_status st;

	(void)unit;
	if (stem == NULL)
		return pl_fail_nomem(err);
	record.unit = stem;
	st = digest_of(in, name, record.digest, err);
	if (st == PL_OK && !t->desc->common->force)
		st = pl_record_check(&record, &done, &payload, err);
	if (st == PL_OK)
		st = done && payload != NULL ? resume_unit(t, in, payload, err) : make_unit(t, in, name, &record, err);
	free(payload);
	free(stem);
	return shard_failed(t, st, err);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Two shards of one corpus must not share a stem: their tables would have one name. */
static enum pl_status check_stems(const struct pl_names *names, struct pl_err *err)
{
	char **stems = calloc(names->len + 1, sizeof(*stems));
	enum pl_status st = PL_OK;

	if (stems == NULL)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < names->len && st == PL_OK; i++)
		if ((stems[i] = pl_name_stem(names->items[i])) == NULL)
			st = pl_fail_nomem(err);
	if (st == PL_OK)
		qsort(stems, names->len, sizeof(*stems), by_text);
	for (size_t i = 1; i < names->len && st == PL_OK; i++)
		if (strcmp(stems[i - 1], stems[i]) == 0)
			st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
			    "two shards are called '%s', so their tables would collide: rename one, or make two corpora", stems[i]);
	for (size_t i = 0; i < names->len; i++)
		free(stems[i]);
	free(stems);
	return st;
}

/* One kind for the whole corpus, from the kinds of its shards. */
static enum pl_status common_kind(json_t *all, const struct pl_shard_facts *facts, struct pl_source *source, struct pl_err *err)
{
	for (size_t i = 0; i < json_array_size(all); i++) {
		enum pl_kind kind = (enum pl_kind)pl_json_num(json_array_get(all, i), "kind", 0);
		if (source->read.kind == PL_KIND_AUTO)
			source->read.kind = kind;
		if (kind != source->read.kind)
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, facts[i].path,
			    "looks like %s, other shards of this corpus like %s: give --kind, or make two corpora",
			    pl_kind_names[kind], pl_kind_names[source->read.kind]);
	}
	return PL_OK;
}

/* Rank 0, with the facts of all ranks as lines of JSON arrays. */
static enum pl_status write_manifest(struct ingest *in, json_t *all, struct pl_err *err)
{
	size_t n = json_array_size(all);
	struct pl_shard_facts *facts = calloc(n + 1, sizeof(*facts));
	struct pl_source source = in->step->source;
	struct pl_names paths;
	enum pl_status st = facts == NULL ? pl_fail_nomem(err) : PL_OK;

	pl_names_init(&paths);
	for (size_t i = 0; i < n && st == PL_OK; i++)
		st = pl_shard_facts_load(json_array_get(all, i), &facts[i], err);
	if (st == PL_OK && n == 0)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, in->step->dir, "no shard could be read, so there is no corpus");
	for (size_t i = 0; i < n && st == PL_OK; i++)
		st = pl_names_add(&paths, facts[i].path, err);
	if (st == PL_OK)
		st = check_stems(&paths, err);
	if (st == PL_OK)
		st = common_kind(all, facts, &source, err);
	if (st == PL_OK)
		st = pl_corpus_write_manifest(in->step->dir, &source, facts, n, in->stores.items, in->stores.len, err);
	for (size_t i = 0; i < n && facts != NULL; i++)
		pl_shard_facts_release(&facts[i]);
	free(facts);
	pl_names_release(&paths);
	return st;
}

static enum pl_status gather_facts(struct tool *t, struct ingest *in, struct pl_err *err)
{
	struct pl_buf mine, everyone;
	uint64_t *lengths = NULL, at = 0;
	json_t *all = json_array();
	enum pl_status st;

	pl_buf_init(&mine, 0);
	pl_buf_init(&everyone, (size_t)16 << 30);
	st = all == NULL ? pl_fail_nomem(err) : pl_json_dump(in->facts, false, &mine, err);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK)
		st = pl_job_gather(t->job, mine.data, mine.len, &everyone, &lengths, err);
	if (st == PL_OK && tool_is_root(t)) {
		for (int r = 0; r < pl_job_size(t->job) && st == PL_OK; at += lengths[r], r++) {
			json_t *part = NULL;
			st = pl_json_parse((char *)everyone.data + at, lengths[r], &part, err);
			if (st == PL_OK && json_array_extend(all, part) != 0)
				st = pl_fail_nomem(err);
			json_decref(part);
		}
		if (st == PL_OK)
			st = write_manifest(in, all, err);
	}
	free(lengths);
	json_decref(all);
	pl_buf_release(&mine);
	pl_buf_release(&everyone);
	return pl_job_agree(t->job, st, err);
}

/* Failed shards fail the job unless it was told to keep going; the others' tables stay for the rerun. */
static enum pl_status check_failed(struct tool *t, const struct ingest *in, struct pl_err *err)
{
	uint64_t failed = t->account.units_failed;

	pl_job_sum(t->job, &failed, 1);
	if (failed == 0 || in->step->keep_going)
		return PL_OK;
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL,
	    "%llu of the shards could not be read (named above): mend them and run the same command again, or leave them out with --keep-going",
	    (unsigned long long)failed);
}

static enum pl_status prepare(struct tool *t, struct ingest *in, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (tool_is_root(t) && in->step->shards != NULL)
		st = check_stems(in->step->shards, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		return st;
	if ((st = tool_output_dir(t, in->step->dir, err)) != PL_OK)
		return st;
	in->facts = json_array();
	st = in->facts == NULL ? pl_fail_nomem(err) : pl_source_describe(&in->step->source, &in->settings, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		return st;
	return open_index(t, in, err);
}

enum pl_status step_ingest(struct tool *t, const struct ingest_step *s, struct pl_err *err)
{
	struct ingest in = { 0 };
	enum pl_status st;

	in.step = s;
	pl_names_init(&in.stores);
	pl_buf_init(&in.settings, 0);
	tool_step_begin(t, "ingest", s->shards != NULL ? s->shards->len : 0);
	if ((st = prepare(t, &in, err)) != PL_OK)
		goto done;
	tool_stage(t, "ingest", s->shards != NULL ? s->shards->len : 0);
	if ((st = tool_for_files(t, s->shards, ingest_unit, &in, err)) != PL_OK)
		goto done;
	if ((st = check_failed(t, &in, err)) != PL_OK)
		goto done;
	if ((st = gather_facts(t, &in, err)) != PL_OK)
		goto done;
	if (tool_is_root(t))
		st = tool_announce(t, s->dir, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		goto done;
	st = tool_step_end(t, NULL, err);
done:
	pl_image_index_close(in.index);
	json_decref(in.facts);
	pl_names_release(&in.stores);
	pl_buf_release(&in.settings);
	return st;
}
