/* SPDX-License-Identifier: Apache-2.0 */
/* Export: one unit of work per shard of the data set. What a finished unit
 * holds is kept in its content record; what describes the whole is written by
 * rank 0 when all units are there. */
#include "export.h"
#include "libpipe/base/hash.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct export_format *const formats[EXPORT_FORMATS] = {
	[EXPORT_WEBDATASET] = &export_webdataset, [EXPORT_ENERGON] = &export_energon, [EXPORT_DALI] = &export_dali,
	[EXPORT_MDS] = &export_mds, [EXPORT_LLAVA] = &export_llava, [EXPORT_OPENFLAMINGO] = &export_openflamingo,
};

/* ---- what a unit leaves ---- */

enum pl_status export_add_file(struct export_unit *u, const char *name, bool announced, struct pl_err *err)
{
	enum pl_status st = pl_names_add(&u->outputs, name, err);

	if (st == PL_OK && announced && json_array_append_new(json_object_get(u->description, "files"), json_string(name)) != 0)
		st = pl_fail_nomem(err);
	return st;
}

static enum pl_status announce(struct export *x, const char *name, struct pl_err *err)
{
	char *path = pl_path_join(x->step->dir, name);
	enum pl_status st = path != NULL ? tool_announce(x->tool, path, err) : pl_fail_nomem(err);

	free(path);
	return st;
}

enum pl_status export_write(struct export *x, const char *name, const void *data, size_t len, struct pl_err *err)
{
	char *path = pl_path_join(x->step->dir, name);
	enum pl_status st = path != NULL ? pl_file_write(path, data, len, err) : pl_fail_nomem(err);

	if (st == PL_OK)
		st = tool_announce(x->tool, path, err);
	free(path);
	return st;
}

enum pl_status export_write_sizes(struct export *x, const json_t *units, struct pl_err *err)
{
	json_t *sizes = json_object(), *unit;
	struct pl_buf text;
	size_t i;
	enum pl_status st = sizes != NULL ? PL_OK : pl_fail_nomem(err);

	pl_buf_init(&text, 0);
	json_array_foreach(units, i, unit) {
		const char *name = json_string_value(json_array_get(json_object_get(unit, "files"), 0));
		if (st == PL_OK && json_object_set(sizes, name, json_object_get(unit, "samples")) != 0)
			st = pl_fail_nomem(err);
	}
	if (st == PL_OK)
		st = pl_json_dump(sizes, true, &text, err);
	if (st == PL_OK)
		st = pl_buf_adds(&text, "\n", err);
	if (st == PL_OK)
		st = export_write(x, "sizes.json", text.data, text.len, err);
	pl_buf_release(&text);
	json_decref(sizes);
	return st;
}

/* A unit's description joins those of this rank, its account the step's. */
static enum pl_status keep(struct export *x, json_t *description, bool resumed, struct pl_err *err)
{
	struct pl_account a = { 0 };
	json_t *name;
	size_t i;
	enum pl_status st = pl_account_parse(pl_json_str(description, "account"), &a, err);

	if (st == PL_OK && json_array_append(x->units, description) != 0)
		st = pl_fail_nomem(err);
	a.units_done = !resumed;
	a.units_resumed = resumed;
	if (st == PL_OK)
		pl_account_add(&x->tool->account, &a);
	json_array_foreach(json_object_get(description, "files"), i, name) {
		if (st == PL_OK)
			st = announce(x, json_string_value(name), err);
	}
	return st;
}

/* ---- one shard ---- */

/* KEEP, or why not all of the sample is in memory. */
static enum pl_reason whole(const struct shard_sample *s)
{
	for (size_t i = 0; i < s->nparts; i++) {
		if (s->parts[i].too_large)
			return PL_REASON_TOO_LARGE;
		if (s->parts[i].truncated)
			return PL_REASON_TRUNCATED;
	}
	return s->duplicate_part ? PL_REASON_DUPLICATE_PART : PL_REASON_KEEP;
}

static enum pl_status take(struct export_unit *u, const struct shard_sample *raw, struct pl_err *err)
{
	struct export_sample s = { raw, NULL, NULL };
	enum pl_reason why = whole(raw);
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < raw->nparts; i++)
		if (strcmp(raw->parts[i].suffix, "json") == 0)
			s.json = &raw->parts[i];
	u->account.samples_in++;
	u->account.images_in += raw->nparts - (s.json != NULL);
	if (why == PL_REASON_KEEP && s.json != NULL && s.json->data != NULL)
		st = pl_json_parse((const char *)s.json->data, s.json->len, &s.doc, NULL);
	if (st == PL_ERR_NOMEM)
		return pl_fail_nomem(err);
	if (why == PL_REASON_KEEP)
		why = st != PL_OK ? PL_REASON_BAD_JSON : PL_REASON_BAD_DOCUMENT;
	st = s.doc != NULL ? u->x->format->sample(u, &s, &why, err) : PL_OK;
	json_decref(s.doc);
	if (st == PL_OK && why == PL_REASON_KEEP) {
		u->account.samples_out++;
		u->account.images_out += raw->nparts - 1;
	} else if (st == PL_OK) {
		u->account.samples_dropped[why]++;
		u->account.images_dropped[why] += raw->nparts - (s.json != NULL);
	}
	return st;
}

/* The file must be the one that dataset.json describes. */
static enum pl_status check_digest(struct export_unit *u, const struct shard_reader *r, const char *path, const json_t *said, struct pl_err *err)
{
	const char *want = pl_json_str(said, "xxh3_128");
	uint64_t hash[2], bytes;
	char hex[33];

	shard_reader_digest(r, hash, &bytes);
	u->account.bytes_in = bytes;
	pl_hash128_hex(hash, hex);
	if (want == NULL || strcmp(want, hex) != 0)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "its XXH3-128 is %s, dataset.json says %s", hex, want != NULL ? want : "nothing");
	if ((double)u->account.samples_in != pl_json_num(said, "samples", -1))
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "holds %llu samples, dataset.json says %.0f",
		    (unsigned long long)u->account.samples_in, pl_json_num(said, "samples", -1));
	return PL_OK;
}

static enum pl_status read_shard(struct export_unit *u, const char *path, const json_t *said, struct pl_err *err)
{
	struct shard_reader *r = NULL;
	struct shard_sample sample;
	enum pl_status st = shard_reader_open(&r, path, NULL, err);

	if (st == PL_OK)
		st = u->x->format->begin(u, err);
	while (st == PL_OK) {
		st = shard_reader_next(r, &sample, err);
		if (st == PL_OK)
			st = take(u, &sample, err);
		if (st == PL_OK)
			st = tool_poll(u->x->tool, err);
	}
	if (st == PL_END)
		st = check_digest(u, r, path, said, err);
	if (st == PL_OK)
		st = u->x->format->commit(u, err);
	u->x->format->release(u);
	shard_reader_close(r);
	return st;
}

/* What the content record is to hold: the description with the account in it. */
static enum pl_status write_record(struct export_unit *u, const struct pl_record *record, struct pl_err *err)
{
	struct pl_buf counts, text;
	enum pl_status st;

	pl_buf_init(&counts, 0);
	pl_buf_init(&text, 0);
	st = pl_account_counts(&u->account, &counts, err);
	if (st == PL_OK && (json_object_set_new(u->description, "account", json_string((char *)counts.data)) != 0 ||
	    json_object_set_new(u->description, "samples", json_integer((json_int_t)u->account.samples_out)) != 0))
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = pl_json_dump(u->description, false, &text, err);
	if (st == PL_OK)
		st = pl_record_write(record, (const char *const *)u->outputs.items, u->outputs.len, (char *)text.data, err);
	pl_buf_release(&counts);
	pl_buf_release(&text);
	return st;
}

static enum pl_status make_unit(struct export *x, uint64_t k, const char *path, const struct pl_record *record, struct pl_err *err)
{
	struct export_unit u = { .x = x, .stem = record->unit };
	enum pl_status st = pl_record_forget(record, err);

	pl_names_init(&u.outputs);
	u.description = json_pack("{s:I,s:[]}", "unit", (json_int_t)k, "files");
	if (st == PL_OK && u.description == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = read_shard(&u, path, json_array_get(x->shards, k), err);
	if (st == PL_OK)
		st = write_record(&u, record, err);
	if (st == PL_OK)
		st = keep(x, u.description, false, err);
	pl_job_count(x->tool->job, 0, u.account.samples_in, u.account.bytes_out);
	json_decref(u.description);
	pl_names_release(&u.outputs);
	return st;
}

/* Options and input; no paths: the same export in another place is the same. shard NULL: of the whole data set. */
static enum pl_status digest_of(const struct export *x, const json_t *shard, uint64_t digest[2], struct pl_err *err)
{
	const struct export_step *s = x->step;
	struct pl_buf b;
	json_t *one;
	size_t i;
	enum pl_status st;

	pl_buf_init(&b, 0);
	st = pl_buf_addf(&b, err, "%s export %d %d %d %d %llu\n", PL_VERSION, (int)s->to, (int)s->sample_type, (int)s->zstd, (int)x->one_image,
	    (unsigned long long)s->size_limit);
	if (st == PL_OK && shard != NULL)
		st = pl_buf_addf(&b, err, "%s %s\n", pl_json_str(shard, "name"), pl_json_str(shard, "xxh3_128"));
	json_array_foreach(x->shards, i, one) {
		if (st == PL_OK && shard == NULL)
			st = pl_buf_addf(&b, err, "%s %s\n", pl_json_str(one, "name"), pl_json_str(one, "xxh3_128"));
	}
	if (st == PL_OK)
		pl_hash128(b.data, b.len, digest);
	pl_buf_release(&b);
	return st;
}

static enum pl_status export_one(struct tool *t, void *ctx, uint64_t k, const char *unused, struct pl_err *err)
{
	struct export *x = ctx;
	const char *name = pl_json_str(json_array_get(x->shards, k), "name");
	char *stem = pl_name_stem(name), *path = pl_path_join(x->step->dataset, name), *payload = NULL;
	struct pl_record record = { x->step->dir, stem, { 0, 0 } };
	json_t *description = NULL;
	bool done = false;
	enum pl_status st = stem == NULL || path == NULL ? pl_fail_nomem(err) : digest_of(x, json_array_get(x->shards, k), record.digest, err);

	(void)unused;
	if (st == PL_OK && !t->desc->common->force)
		st = pl_record_check(&record, &done, &payload, err);
	if (st == PL_OK && done && payload != NULL) {
		st = pl_json_parse(payload, strlen(payload), &description, err);
		if (st == PL_OK)
			st = keep(x, description, true, err);
	} else if (st == PL_OK) {
		st = make_unit(x, k, path, &record, err);
	}
	json_decref(description);
	free(payload);
	free(path);
	free(stem);
	return tool_unit_failed(t, st, err);
}

/* ---- the whole ---- */

static enum pl_status check_shards(const struct export *x, const char *path, struct pl_err *err)
{
	json_t *shard;
	size_t i;

	json_array_foreach(x->shards, i, shard) {
		const char *name = pl_json_str(shard, "name");
		if (name == NULL || name[0] == '.' || strchr(name, '/') != NULL || pl_json_str(shard, "xxh3_128") == NULL)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path, "shard %zu has no proper name or no hash", i);
	}
	return PL_OK;
}

/* Does each sample have one image? The sums of the shards tell, and every sample is held to it when it is written. */
static bool has_one_image(const struct export *x)
{
	json_t *shard;
	size_t i;

	if (x->step->to != EXPORT_MDS || x->step->images != EXPORT_IMAGES_AUTO)
		return x->step->to == EXPORT_MDS && x->step->images == EXPORT_IMAGES_ONE;
	json_array_foreach(x->shards, i, shard)
		if (pl_json_num(shard, "images", -1) != pl_json_num(shard, "samples", -2))
			return false;
	return true;
}

static enum pl_status load(struct export *x, struct pl_err *err)
{
	char *path = pl_path_join(x->step->dataset, "dataset.json");
	const char *format;
	enum pl_status st = path == NULL ? pl_fail_nomem(err) : pl_json_load(path, (size_t)4 << 30, &x->dataset, err);

	if (st == PL_OK) {
		format = pl_json_str(x->dataset, "format");
		x->shards = json_object_get(x->dataset, "shards");
		if (format == NULL || strcmp(format, "plait-dataset-1") != 0 || !json_is_array(x->shards))
			st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path, "is no description of a plait data set (format plait-dataset-1)");
	}
	if (st == PL_OK)
		st = check_shards(x, path, err);
	x->one_image = st == PL_OK && has_one_image(x);
	x->units = json_array();
	if (st == PL_OK && x->units == NULL)
		st = pl_fail_nomem(err);
	free(path);
	return st;
}

/* What else is in dir; NULL = nothing. */
static enum pl_status find_other(const char *dir, char name[256], struct pl_err *err)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	name[0] = '\0';
	if (d == NULL)
		return pl_fail_errno(err, PL_SEV_JOB, dir, "cannot read the directory");
	while (name[0] == '\0' && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			snprintf(name, 256, "%s", e->d_name);
	closedir(d);
	return PL_OK;
}

/* Rank 0: dir is empty, or holds this very export. Another one is not replaced: its files have other names, and would stay among these. */
static enum pl_status claim_dir(const struct export *x, struct pl_err *err)
{
	struct pl_record mine = { x->step->dir, "export.step", { 0, 0 } };
	char other[256];
	bool same = false;
	enum pl_status st = digest_of(x, NULL, mine.digest, err);

	if (st == PL_OK)
		st = pl_record_check(&mine, &same, NULL, err);
	if (st != PL_OK || same)
		return st;
	st = find_other(x->step->dir, other, err);
	if (st == PL_OK && other[0] != '\0')
		st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, x->step->dir,
		    "holds '%s' and is no unfinished export of this data set with these options: choose another directory, or empty it", other);
	return st == PL_OK ? pl_record_write(&mine, NULL, 0, NULL, err) : st;
}

static int by_unit(const void *a, const void *b)
{
	double x = pl_json_num(*(json_t *const *)a, "unit", 0), y = pl_json_num(*(json_t *const *)b, "unit", 0);

	return (x > y) - (x < y);
}

/* Rank 0, with the units of all ranks. */
static enum pl_status finish(struct export *x, const json_t *all, struct pl_err *err)
{
	size_t n = json_array_size(all);
	json_t **list = calloc(n + 1, sizeof(*list)), *sorted = json_array();
	enum pl_status st = list == NULL || sorted == NULL ? pl_fail_nomem(err) : PL_OK;

	for (size_t i = 0; i < n && st == PL_OK; i++)
		list[i] = json_array_get(all, i);
	if (st == PL_OK)
		qsort(list, n, sizeof(*list), by_unit);
	for (size_t i = 0; i < n && st == PL_OK; i++)
		if (json_array_append(sorted, list[i]) != 0)
			st = pl_fail_nomem(err);
	if (st == PL_OK && x->format->finish != NULL)
		st = x->format->finish(x, sorted, err);
	json_decref(sorted);
	free(list);
	return st;
}

static enum pl_status gather(struct export *x, struct pl_err *err)
{
	json_t *all = NULL;
	uint64_t failed = x->tool->account.units_failed;
	enum pl_status st;

	pl_job_sum(x->tool->job, &failed, 1);
	if (failed > 0)
		return PL_OK;
	st = tool_gather_json(x->tool, x->units, &all, err);
	if (st == PL_OK && tool_is_root(x->tool))
		st = finish(x, all, err);
	json_decref(all);
	return pl_job_agree(x->tool->job, st, err);
}

enum pl_status step_export(struct tool *t, const struct export_step *s, struct pl_err *err)
{
	struct export x = { .tool = t, .step = s, .format = formats[s->to] };
	enum pl_status st = pl_job_agree(t->job, load(&x, err), err);

	tool_step_begin(t, "export", json_array_size(x.shards));
	if (st == PL_OK)
		st = tool_output_dir(t, s->dir, err);
	if (st == PL_OK)
		st = pl_job_agree(t->job, tool_is_root(t) ? claim_dir(&x, err) : PL_OK, err);
	if (st == PL_OK)
		st = tool_for_units(t, json_array_size(x.shards), export_one, &x, err);
	if (st == PL_OK)
		st = gather(&x, err);
	if (st == PL_OK)
		st = tool_step_end(t, NULL, err);
	if (st == PL_OK)
		st = tool_check_failed(t, "mend them (plait verify tells more) and run the same command again", err);
	json_decref(x.units);
	json_decref(x.dataset);
	return st;
}
