/* SPDX-License-Identifier: Apache-2.0 */
/* Verify: every checksum, index and count of a finished data set against
 * dataset.json and against itself; repairing what its data still gives. */
#include "libpipe/base/hash.h"
#include "libpipe/base/json.h"
#include "shards/shard.h"
#include "step_verify.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define TOLD_MAX 100   /* damaged samples told on stderr, each rank */

struct verify {
	const struct verify_step *step;
	json_t *dataset;     /* NULL: single shards */
	json_t *shards;
	uint64_t repaired;
	struct verify_damage damage;
};

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

/* For the report. A frame may take a thousand samples along: its one message on stderr names their range. */
static void keep_damaged(void *ctx, uint64_t sample, const char *key, const char *why)
{
	struct verify_damage *d = ctx;
	json_t *one = json_pack("{s:s, s:I, s:s?, s:s}", "shard", d->shard, "sample", (json_int_t)sample, "key", key, "why", why);

	/* A key that is no UTF-8 cannot be in a report. */
	if (one == NULL)
		one = json_pack("{s:s, s:I, s:n, s:s}", "shard", d->shard, "sample", (json_int_t)sample, "key", "why", why);
	if (one == NULL || json_array_append_new(d->list, one) != 0)
		d->no_memory = true;
}

void verify_damaged(struct verify_damage *d, uint64_t sample, const char *key, const char *why)
{
	keep_damaged(d, sample, key, why);
	if (d->told < TOLD_MAX)
		pl_log(PL_LOG_ERROR, "'%s': sample %llu '%s': %s", d->shard, (unsigned long long)sample, key, why);
	else if (d->told == TOLD_MAX)
		pl_log(PL_LOG_ERROR, "more samples are broken: --report lists them all");
	d->told++;
}

/* Frames, index, tar, and the digest that dataset.json has. */
static enum pl_status check_shard(const struct verify *v, const char *path, const json_t *said, struct verify_damage *damage,
    struct shard_check *found, struct pl_err *err)
{
	enum pl_status st = shard_verify_each(path, damage != NULL ? keep_damaged : NULL, damage, found, err);

	return st == PL_OK && v->dataset != NULL ? compare(path, said, found, err) : st;
}

/* Look first, repair what can be, and look again: what is told of a shard is how it is now. */
static enum pl_status check_or_repair(struct verify *v, const char *path, const json_t *said, struct shard_check *found,
    struct pl_err *err)
{
	uint64_t want[2];
	bool known = pl_hash128_parse(pl_json_str(said, "xxh3_128"), want), changed = false;
	struct pl_err repair;
	enum pl_status st = v->step->repair ? check_shard(v, path, said, NULL, found, err) : PL_ERR_INVALID;

	if (st == PL_OK)
		return st;
	if (v->step->repair && shard_repair(path, known ? want : NULL, &changed, &repair) != PL_OK)
		pl_log_err(PL_LOG_ERROR, &repair);
	if (changed) {
		pl_log(PL_LOG_WARNING, "'%s': %s; repaired from its data", path, err->text);
		v->repaired++;
	}
	return check_shard(v, path, said, &v->damage, found, err);
}

static enum pl_status verify_unit(struct tool *t, void *ctx, uint64_t unit, const char *unused, struct pl_err *err)
{
	struct verify *v = ctx;
	const json_t *said = json_array_get(v->shards, unit);
	const char *name = pl_json_str(said, "name");
	struct verify_samples want = { v->dataset != NULL, v->step->deep, pl_json_num(said, "images", -1) };
	struct shard_check found = { 0 };
	enum pl_status st;
	char *path;

	(void)unused;
	if (v->dataset != NULL && (name == NULL || strchr(name, '/') != NULL))
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, v->step->dir, "dataset.json: shard %llu has no proper name",
		    (unsigned long long)unit);
	path = v->dataset != NULL ? pl_path_join(v->step->dir, name) : strdup(name);
	if (path == NULL)
		return pl_fail_nomem(err);
	v->damage.shard = path;
	st = check_or_repair(v, path, said, &found, err);
	if (st == PL_OK)
		st = verify_samples(t, path, &want, &v->damage, err);
	if (v->damage.no_memory)
		st = pl_fail_nomem(err);
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

/* Shards by themselves, without a data set around them. */
static enum pl_status take_names(struct verify *v, struct pl_err *err)
{
	v->shards = json_array();
	for (size_t i = 0; v->shards != NULL && i < v->step->nshards; i++)
		if (json_array_append_new(v->shards, json_pack("{s:s}", "name", v->step->shards[i])) != 0)
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, v->step->shards[i], "is a file name that is no UTF-8: rename it");
	return v->shards == NULL ? pl_fail_nomem(err) : PL_OK;
}

/* The damaged samples of all ranks, in the order of their shards' names, for the report. */
static enum pl_status gather_damage(struct tool *t, struct verify *v, struct pl_buf *extra, struct pl_err *err)
{
	json_t *all = NULL;
	enum pl_status st = tool_gather_json(t, v->damage.list, &all, err);

	pl_job_sum(t->job, &v->repaired, 1);
	if (st == PL_OK)
		st = pl_buf_addf(extra, err, "\"repaired\":%llu,\"damaged\":", (unsigned long long)v->repaired);
	if (st == PL_OK)
		st = pl_json_dump(all, false, extra, err);
	json_decref(all);
	return pl_job_agree(t->job, st, err);
}

enum pl_status step_verify(struct tool *t, const struct verify_step *s, struct pl_err *err)
{
	struct verify v = { .step = s, .damage = { .list = json_array() } };
	enum pl_status st = v.damage.list == NULL ? pl_fail_nomem(err) : PL_OK;
	struct pl_buf extra;

	pl_buf_init(&extra, 0);
	if (st == PL_OK)
		st = s->dir != NULL ? load(&v, err) : take_names(&v, err);
	if (st == PL_OK && s->dir != NULL)
		st = check_sums(&v, err);
	if (st == PL_OK && s->dir != NULL)
		st = check_strays(&v, err);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK && s->dir != NULL && s->repair)   /* a job that packs into it is in the middle of its work */
		st = tool_output_dir(t, s->dir, err);
	tool_step_begin(t, "verify", json_array_size(v.shards));
	if (st == PL_OK)
		st = tool_for_units(t, json_array_size(v.shards), verify_unit, &v, err);
	if (st == PL_OK)
		st = gather_damage(t, &v, &extra, err);
	if (st == PL_OK)
		st = tool_step_end(t, (const char *)extra.data, err);
	if (st == PL_OK)
		st = tool_check_failed(t, s->repair ? "what their data lacks cannot be made again: remove them and run plait pack again" :
		    "try --repair, or remove them and run plait pack again", err);
	if (s->dir == NULL)
		json_decref(v.shards);
	json_decref(v.dataset);
	json_decref(v.damage.list);
	pl_buf_release(&extra);
	return st;
}
