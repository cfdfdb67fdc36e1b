/* SPDX-License-Identifier: Apache-2.0 */
/* Ingest: shards -> tables, one unit of work per shard; and, before that, the
 * index of the image tars where documents name their images. */
#include "libpipe/base/hash.h"
#include "libpipe/corpus/ingest.h"
#include "libpipe/corpus/records.h"
#include "libpipe/corpus/text_measure.h"
#include "steps.h"
#include "tool_split.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct ingest {
	const struct ingest_step *step;
	struct ingest_step own;            /* the step, with what tells scripts and languages filled in */
	struct pl_language *language;
	struct pl_token_counter *tokens;
	char script[40];
	struct pl_names stores;            /* image tars */
	bool folder;                       /* source.images is a folder */
	struct pl_image_index *index;
	struct pl_buf settings;            /* canonical text: part of every unit's digest */
	bool forgotten;                    /* the manifest of earlier tables, by this rank */
	json_t *facts;                     /* of the shards this rank did */
};

static enum pl_status find_stores(struct tool *t, struct ingest *in, struct pl_err *err)
{
	const char *images = in->step->source.images;
	enum pl_status st = PL_OK;
	struct stat sb;

	if (images == NULL)
		return PL_OK;
	/* Rank 0's look decides for all. */
	in->folder = pl_job_max(t->job, tool_is_root(t) && stat(images, &sb) == 0 && S_ISDIR(sb.st_mode)) != 0;
	if (!in->folder)
		st = tool_expand(t, &images, 1, &in->stores, err);
	/* Images that are others now make other tables. */
	if (in->folder && st == PL_OK)
		st = tool_describe_file(images, &in->settings, err);
	for (size_t i = 0; i < in->stores.len && st == PL_OK; i++)
		st = tool_describe_file(in->stores.items[i], &in->settings, err);
	return pl_job_agree(t->job, st, err);
}

/* The file and, with in, the settings. */
static enum pl_status digest_of(const struct ingest *in, const char *path, uint64_t digest[2], struct pl_err *err)
{
	struct pl_buf b;
	enum pl_status st;

	pl_buf_init(&b, 0);
	st = tool_describe_file(path, &b, err);
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
	st = pl_record_forget(&record, err);
	if (st == PL_OK)
		st = pl_image_index_build(name, in->step->dir, unit, tool_poll, t, err);
	if ((st == PL_ERR_TRUNCATED || st == PL_ERR_INVALID) && err->severity == PL_SEV_SHARD) {
		/* What was indexed before the damage is used. */
		pl_log_err(PL_LOG_WARNING, err);
		st = PL_OK;
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
	char samples[300], images[300], places[300];
	const char *outputs[] = { samples, images, places };
	struct pl_buf counts, payload;
	json_t *j = NULL, *all = NULL;
	enum pl_status st;

	pl_buf_init(&counts, 0);
	pl_buf_init(&payload, 0);
	snprintf(samples, sizeof(samples), "%s.samples.npy", facts->unit);
	snprintf(images, sizeof(images), "%s.images.npy", facts->unit);
	snprintf(places, sizeof(places), "%s.places.npy", facts->unit);
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
	st = pl_record_write(record, outputs, facts->related != 0 ? 3 : 2, (const char *)payload.data, err);
done:
	json_decref(all);
	json_decref(j);
	pl_buf_release(&counts);
	pl_buf_release(&payload);
	return st;
}

/* The old manifest does not describe what is made now, and scores were joined to other rows. */
static enum pl_status forget_manifest(struct ingest *in, struct pl_err *err)
{
	static const char *const names[] = { "manifest.json", PL_SCORES_NAME };
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < PL_ARRAY_LEN(names) && st == PL_OK && !in->forgotten; i++) {
		char *path = pl_path_join(in->step->dir, names[i]);
		if (path == NULL)
			return pl_fail_nomem(err);
		if (unlink(path) != 0 && errno != ENOENT)
			st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot remove what describes the old tables");
		free(path);
	}
	in->forgotten = st == PL_OK;
	return st;
}

/* What the record of a finished unit says is taken over; *done tells whether there is one. */
static enum pl_status find_unit(struct tool *t, struct ingest *in, const char *path, struct pl_record *record, char **payload, bool *done,
    struct pl_err *err)
{
	enum pl_status st = digest_of(in, path, record->digest, err);

	*done = false;
	if (st == PL_OK && !t->desc->common->force)
		st = pl_record_check(record, done, payload, err);
	*done = *done && *payload != NULL;
	return st;
}

static enum pl_status ready(struct tool *t, struct ingest *in, const char *path, struct pl_source *source, struct pl_ingest_env *env,
    struct pl_err *err)
{
	*env = (struct pl_ingest_env){ t->pool, in->index, tool_poll, t, in->language, in->tokens };
	*source = in->step->source;
	return source->read.kind == PL_KIND_AUTO ? pl_detect_kind(path, &source->read.kind, err) : PL_OK;
}

/* What a shard is made from: n pieces in dir, and the hash of the file. */
struct pieces { const char *dir; const struct pl_shard_facts *facts; size_t n; const uint64_t *hash; };

/* from NULL: the shard is read. */
static enum pl_status make_unit(struct tool *t, struct ingest *in, const char *path, const struct pl_record *record, const struct pieces *from,
    struct pl_err *err)
{
	struct pl_ingest_env env;
	struct pl_source source;
	struct pl_shard_facts facts = { 0 };
	struct pl_account account = { 0 };
	enum pl_status st = forget_manifest(in, err);

	if (st == PL_OK)
		st = pl_record_forget(record, err);
	if (st == PL_OK)
		st = ready(t, in, path, &source, &env, err);
	if (st == PL_OK)
		st = from == NULL ? pl_ingest_shard(path, in->step->dir, &source, &env, &account, &facts, err) :
		    pl_ingest_join(path, in->step->dir, &source, from->dir, from->facts, from->n, from->hash, &env, &account, &facts, err);
	if (st == PL_OK && facts.related_missing > 0)
		pl_log(PL_LOG_WARNING, "'%s': %llu examples that instructions refer to are not there or of no use, and are left out", path,
		    (unsigned long long)facts.related_missing);
	if (st == PL_OK && facts.damage != NULL)
		pl_log(PL_LOG_WARNING, "'%s': %s; what was read before that makes %llu rows, %llu of them whole", path, facts.damage,
		    (unsigned long long)facts.samples, (unsigned long long)facts.kept);
	account.units_done = 1;
	if (st == PL_OK)
		st = write_record(in, record, &account, &facts, source.read.kind, err);
	if (st == PL_OK) {
		pl_account_add(&t->account, &account);
		if (from == NULL)
			pl_job_count(t->job, 0, facts.samples, facts.bytes);
	}
	pl_shard_facts_release(&facts);
	return st;
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
	st = find_unit(t, in, name, &record, &payload, &done, err);
	if (st == PL_OK)
		st = done ? resume_unit(t, in, payload, err) : make_unit(t, in, name, &record, NULL, err);
	free(payload);
	free(stem);
	return tool_unit_failed(t, st, err);
}

/* Large shards, in pieces. A piece's record keeps its facts; that of the pass over the file, its hash. */

static enum pl_status wanted_in_pieces(struct tool *t, void *ctx, const char *shard, bool *wanted, struct pl_err *err)
{
	struct ingest *in = ctx;
	struct pl_record record = { in->step->dir, NULL, { 0, 0 } };
	char *stem = pl_name_stem(shard), *payload = NULL;
	bool done = false;
	enum pl_status st;

	if (stem == NULL)
		return pl_fail_nomem(err);
	record.unit = stem;
	*wanted = false;
	if (!pl_records_name(shard)) {
		st = find_unit(t, in, shard, &record, &payload, &done, err);
		if (st != PL_OK && err->severity == PL_SEV_JOB)
			goto out;
		*wanted = st == PL_OK && !done;
	}
	st = PL_OK;
out:
	free(payload);
	free(stem);
	return st;
}

static enum pl_status find_piece(struct ingest *in, const struct tool_piece *p, struct pl_record *record, bool *done, char **payload,
    struct pl_err *err)
{
	struct pl_buf b;
	enum pl_status st;

	*record = (struct pl_record){ p->dir, p->id, { 0, 0 } };
	*done = false;
	pl_buf_init(&b, 0);
	st = pl_buf_addf(&b, err, "piece %s %llu %llu\n", p->id, (unsigned long long)p->from, (unsigned long long)p->to);
	if (st == PL_OK)
		st = tool_describe_file(p->shard, &b, err);
	if (st == PL_OK)
		st = pl_buf_add(&b, in->settings.data, in->settings.len, err);
	if (st == PL_OK) {
		pl_hash128(b.data, b.len, record->digest);
		st = pl_record_check(record, done, payload, err);
	}
	*done = *done && *payload != NULL;
	pl_buf_release(&b);
	return st;
}

static enum pl_status write_piece(const struct pl_record *record, const struct pl_shard_facts *facts, size_t outputs, struct pl_err *err)
{
	char samples[80], images[80];
	const char *const names[] = { samples, images };
	struct pl_buf payload;
	json_t *j = NULL;
	enum pl_status st = pl_shard_facts_dump(facts, &j, err);

	pl_buf_init(&payload, 0);
	snprintf(samples, sizeof(samples), "%s.samples.npy", record->unit);
	snprintf(images, sizeof(images), "%s.images.npy", record->unit);
	if (st == PL_OK)
		st = pl_json_dump(j, false, &payload, err);
	if (st == PL_OK)
		st = pl_record_write(record, names, outputs, (const char *)payload.data, err);
	json_decref(j);
	pl_buf_release(&payload);
	return st;
}

static enum pl_status ingest_piece(struct tool *t, void *ctx, const struct tool_piece *p, struct pl_err *err)
{
	struct ingest *in = ctx;
	struct pl_stretch stretch = { p->id, p->from, p->to };
	struct pl_shard_facts facts = { 0 };
	struct pl_account account = { 0 };
	struct pl_record record;
	struct pl_source source;
	struct pl_ingest_env env;
	char *payload = NULL;
	bool done;
	enum pl_status st = find_piece(in, p, &record, &done, &payload, err);

	free(payload);
	if (st != PL_OK || (done && !t->desc->common->force))
		return st;
	st = pl_record_forget(&record, err);
	if (st == PL_OK)
		st = ready(t, in, p->shard, &source, &env, err);
	if (st == PL_OK)
		st = pl_ingest_stretch(p->shard, p->dir, &source, &stretch, &env, &account, &facts, err);
	if (st == PL_OK)
		st = write_piece(&record, &facts, 2, err);
	if (st == PL_OK)
		pl_job_count(t->job, 0, facts.samples, facts.bytes);
	pl_shard_facts_release(&facts);
	return st;
}

static enum pl_status hash_shard(struct tool *t, void *ctx, const struct tool_piece *p, struct pl_err *err)
{
	struct ingest *in = ctx;
	struct pl_shard_facts facts = { 0 };
	struct pl_ingest_env env = { .poll = tool_poll, .poll_ctx = t };
	struct pl_record record;
	char *payload = NULL;
	bool done;
	enum pl_status st = find_piece(in, p, &record, &done, &payload, err);

	free(payload);
	if (st != PL_OK || (done && !t->desc->common->force))
		return st;
	facts.path = strdup(p->shard);
	facts.unit = strdup(p->id);
	if (facts.path == NULL || facts.unit == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = pl_ingest_hash(p->shard, &env, facts.hash, err);
	if (st == PL_OK)
		st = write_piece(&record, &facts, 0, err);
	pl_shard_facts_release(&facts);
	return st;
}

static enum pl_status load_piece(struct ingest *in, const struct tool_piece *p, struct pl_shard_facts *facts, struct pl_err *err)
{
	struct pl_record record;
	char *payload = NULL;
	json_t *j = NULL;
	bool done;
	enum pl_status st = find_piece(in, p, &record, &done, &payload, err);

	if (st == PL_OK && !done)
		st = pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_SHARD, p->shard, "a piece of it is gone");
	if (st == PL_OK)
		st = pl_json_parse(payload, strlen(payload), &j, err);
	if (st == PL_OK)
		st = pl_shard_facts_load(j, facts, err);
	json_decref(j);
	free(payload);
	return st;
}

static enum pl_status join_pieces(struct tool *t, void *ctx, const struct tool_piece *p, size_t n, struct pl_err *err)
{
	struct ingest *in = ctx;
	struct pl_record record = { in->step->dir, NULL, { 0, 0 } };
	struct pl_shard_facts *facts = calloc(n, sizeof(*facts));
	char *stem = pl_name_stem(p->shard);
	enum pl_status st = facts == NULL || stem == NULL ? pl_fail_nomem(err) : PL_OK;

	for (size_t i = 0; i < n && st == PL_OK; i++)
		st = load_piece(in, &p[i], &facts[i], err);
	record.unit = stem;
	if (st == PL_OK)
		st = digest_of(in, p->shard, record.digest, err);
	if (st == PL_OK) {
		struct pieces from = { p->dir, facts, n - 1, facts[n - 1].hash };
		st = make_unit(t, in, p->shard, &record, &from, err);
	}
	for (size_t i = 0; i < n && facts != NULL; i++)
		pl_shard_facts_release(&facts[i]);
	free(facts);
	free(stem);
	return st;
}

static enum pl_status ingest_all(struct tool *t, struct ingest *in, struct pl_err *err)
{
	struct tool_split split = { in->step->shards, in->step->dir, in, ingest_unit, wanted_in_pieces, ingest_piece, hash_shard, 1. / 1024,
		join_pieces };

	return tool_for_shards(t, &split, err);
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
		st = tool_check_stems(&paths, err);
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
	json_t *all = NULL;
	enum pl_status st = tool_gather_json(t, in->facts, &all, err);

	if (st == PL_OK && tool_is_root(t))
		st = write_manifest(in, all, err);
	json_decref(all);
	if (st == PL_OK && tool_is_root(t))
		st = tool_announce(t, in->step->dir, err);
	return pl_job_agree(t->job, st, err);
}

/* What tells languages is part of what decides the tables, so it has to be the same on every node. */
static enum pl_status open_language(struct tool *t, struct ingest *in, struct pl_err *err)
{
	const char *name = NULL;
	uint64_t hash = 0;
	enum pl_status st = pl_language_open(&in->language, NULL, err);

	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		return st;
	if (in->language != NULL) {
		name = pl_language_name(in->language);
		hash = pl_hash64(name, strlen(name));
	}
	if (pl_job_max(t->job, hash) != hash || pl_job_max(t->job, ~hash) != ~hash)
		st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, NULL,
		    "the nodes do not have the same fingerprints of languages (libexttextcat's data, or PLAIT_LANGUAGES): install the same everywhere");
	if (name == NULL && tool_is_root(t))
		pl_log(PL_LOG_WARNING, "no fingerprints of languages here (Debian: libexttextcat-data): the column 'language' stays empty");
	in->own.source.language = name;
	in->own.source.script = pl_script_name(in->script) ? in->script : NULL;
	return pl_job_agree(t->job, st, err);
}

static enum pl_status prepare(struct tool *t, struct ingest *in, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (tool_is_root(t) && in->step->shards != NULL)
		st = tool_check_stems(in->step->shards, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		return st;
	if ((st = steps_open_tokens(t, &in->own.source.tokens, &in->tokens, err)) != PL_OK)
		return st;
	if ((st = tool_output_dir(t, in->step->dir, err)) != PL_OK)
		return st;
	if ((st = open_language(t, in, err)) != PL_OK)
		return st;
	in->facts = json_array();
	st = in->facts == NULL ? pl_fail_nomem(err) : pl_source_describe(&in->step->source, &in->settings, err);
	if (st == PL_OK && in->step->source.answers != NULL)
		st = tool_describe_file(in->step->source.answers, &in->settings, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		return st;
	return open_index(t, in, err);
}

enum pl_status step_ingest(struct tool *t, const struct ingest_step *s, struct pl_err *err)
{
	struct ingest in = { 0 };
	uint64_t failed;
	enum pl_status st;

	in.own = *s;
	in.step = &in.own;
	pl_names_init(&in.stores);
	pl_buf_init(&in.settings, 0);
	tool_step_begin(t, "ingest", s->shards != NULL ? s->shards->len : 0);
	if ((st = prepare(t, &in, err)) != PL_OK)
		goto done;
	tool_stage(t, "ingest", s->shards != NULL ? s->shards->len : 0);
	if ((st = ingest_all(t, &in, err)) != PL_OK)
		goto done;
	failed = t->account.units_failed;
	pl_job_sum(t->job, &failed, 1);
	/* With failed shards there is no corpus, unless that was asked for; the tables of the others stay for the rerun. */
	if ((failed == 0 || s->keep_going) && (st = gather_facts(t, &in, err)) != PL_OK)
		goto done;
	st = tool_step_end(t, NULL, err);
	if (st == PL_OK && !s->keep_going)
		st = tool_check_failed(t, "mend them and run the same command again, or leave them out with --keep-going", err);
done:
	pl_image_index_close(in.index);
	pl_language_close(in.language);
	pl_token_counter_free(in.tokens);
	json_decref(in.facts);
	pl_names_release(&in.stores);
	pl_buf_release(&in.settings);
	return st;
}
