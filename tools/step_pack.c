/* SPDX-License-Identifier: Apache-2.0 */
/* Pack: a plan -> output shards and dataset.json. One unit of work per output
 * shard; what a finished shard holds is kept in its content record. */
#include "libpipe/base/hash.h"
#include "pack.h"
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_DATASET_JSON ((size_t)4 << 30)

/* Recipe, seed, and what the sources hold; no paths: the same data set in another place is the same. */
static enum pl_status digest_plan(struct pack *p, struct pl_err *err)
{
	const struct pl_plan *plan = &p->plan;
	struct pl_buf b;
	enum pl_status st;

	pl_buf_init(&b, 0);
	st = pl_buf_addf(&b, err, "%s\n%llu\n%llu\n%llu\n", PL_VERSION, (unsigned long long)plan->output, (unsigned long long)plan->seed, (unsigned long long)plan->shards);
	for (size_t i = 0; i < plan->nsources && st == PL_OK; i++)
		st = pl_buf_addf(&b, err, "%s %llu %016llx%016llx\n", plan->sources[i].name, (unsigned long long)plan->sources[i].quota,
		    (unsigned long long)plan->sources[i].digest[1], (unsigned long long)plan->sources[i].digest[0]);
	if (st == PL_OK)
		st = pl_buf_adds(&b, plan->recipe_text, err);
	if (st == PL_OK)
		pl_hash128(b.data, b.len, p->digest);
	pl_buf_release(&b);
	return st;
}

/* The tables must still be those that were planned with. */
static enum pl_status check_sources(const struct pack *p, struct pl_err *err)
{
	for (size_t i = 0; i < p->plan.nsources; i++) {
		uint64_t now[2];
		pl_select_digest(p->in.selects[i], now);
		if (memcmp(now, p->plan.sources[i].digest, sizeof(now)) != 0)
			return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, p->plan.sources[i].corpus,
			    "the corpus or its verdicts have changed since the plan was made: run balance again");
	}
	return PL_OK;
}

static enum pl_status open_pack(struct pack *p, const struct pack_step *s, struct pl_err *err)
{
	const char **dirs = NULL;
	enum pl_status st = pl_plan_load(&p->plan, s->plan, err);

	if (st == PL_OK)
		st = pl_recipe_parse(&p->recipe, p->plan.recipe_path, p->plan.recipe_text, strlen(p->plan.recipe_text), err);
	if (st == PL_OK && p->plan.output >= p->recipe.noutputs)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, s->plan, "its recipe has no output %llu", (unsigned long long)p->plan.output);
	if (st != PL_OK)
		return st;
	pl_recipe_use_output(&p->recipe, p->plan.output);
	dirs = calloc(p->plan.nsources + 1, sizeof(*dirs));
	p->shards = json_array();
	if (dirs == NULL || p->shards == NULL) {
		free(dirs);
		return pl_fail_nomem(err);
	}
	for (size_t i = 0; i < p->plan.nsources; i++)
		dirs[i] = p->plan.sources[i].corpus;
	st = pack_inputs_open(&p->in, dirs, p->plan.nsources, err);
	free(dirs);
	if (st == PL_OK)
		st = check_sources(p, err);
	if (st == PL_OK)
		st = digest_plan(p, err);
	if (st == PL_OK)
		st = pl_fetch_new(&p->fetch, p->in.corpus_list, p->in.n, 0, err);
	return st;
}

static void close_pack(struct pack *p)
{
	pl_fetch_free(p->fetch);
	pack_inputs_close(&p->in);
	json_decref(p->shards);
	pl_recipe_release(&p->recipe);
	pl_plan_release(&p->plan);
}

/* Remove the shards and the description of another data set. */
static enum pl_status remove_old(const char *dir, const char *description, struct pl_err *err)
{
	json_t *old = NULL, *shard;
	size_t i;
	enum pl_status st = access(description, F_OK) == 0 ? pl_json_load(description, MAX_DATASET_JSON, &old, err) : PL_OK;

	if (st != PL_OK || old == NULL)
		return st;
	json_array_foreach(json_object_get(old, "shards"), i, shard) {
		const char *name = pl_json_str(shard, "name");
		char *path = name != NULL && strchr(name, '/') == NULL ? pl_path_join(dir, name) : NULL;
		if (path != NULL)
			(void)!unlink(path);
		free(path);
	}
	json_decref(old);
	return unlink(description) == 0 ? PL_OK : pl_fail_errno(err, PL_SEV_JOB, description, "cannot remove");
}

/* Rank 0: is dir empty, or of this very plan? */
static enum pl_status claim_dir(struct pack *p, bool force, struct pl_err *err)
{
	struct pl_record mine = { p->dir, "dataset", { p->digest[0], p->digest[1] } };
	char *record = NULL, *description = pl_path_join(p->dir, "dataset.json");
	bool same = false, other;
	struct pl_buf path;
	enum pl_status st = description == NULL ? pl_fail_nomem(err) : pl_record_check(&mine, &same, &record, err);

	free(record);
	pl_buf_init(&path, 0);
	if (st == PL_OK)
		st = pl_buf_addf(&path, err, "%s/.plait/dataset.json", p->dir);
	if (st != PL_OK || same)
		goto done;
	other = access((char *)path.data, F_OK) == 0 || access(description, F_OK) == 0;
	if (other && !force) {
		st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, p->dir,
		    "holds a data set of another recipe, seed or input: choose another directory, or replace it with --force");
		goto done;
	}
	if (other)
		st = remove_old(p->dir, description, err);
	if (st == PL_OK)
		st = pl_record_write(&mine, NULL, 0, NULL, err);
done:
	pl_buf_release(&path);
	free(description);
	return st;
}

static const char *const extensions[] = { ".tar.zst", ".tar" };

static enum pl_status describe(struct pack *p, uint64_t k, const struct pack_shard *s, json_t **out, struct pl_err *err)
{
	char name[48], hash[33];
	json_t *sources = json_array();
	json_t *j;

	snprintf(name, sizeof(name), "%06llu%s", (unsigned long long)k, extensions[p->recipe.output.container]);
	pl_hash128_hex(s->hash, hash);
	for (size_t i = 0; i < p->plan.nsources; i++) {
		struct pl_buf counts;
		pl_buf_init(&counts, 0);
		if (pl_account_counts(&s->sources[i], &counts, err) != PL_OK ||
		    json_array_append_new(sources, json_string((char *)counts.data)) != 0) {
			pl_buf_release(&counts);
			json_decref(sources);
			return pl_fail_nomem(err);
		}
		pl_buf_release(&counts);
	}
	j = json_pack("{s:s,s:I,s:I,s:I,s:I,s:s,s:o}", "name", name, "samples", (json_int_t)s->samples, "images", (json_int_t)s->images,
	    "tokens", (json_int_t)s->tokens, "bytes", (json_int_t)s->bytes, "xxh3_128", hash, "sources", sources);
	if (j == NULL)
		return pl_fail_nomem(err);
	*out = j;
	return PL_OK;
}

/* Keep a shard's description and count it in. */
static enum pl_status keep(struct pack *p, json_t *description, bool resumed, struct pl_err *err)
{
	struct pl_account *sum = &p->tool->account;
	json_t *source;
	size_t i;

	if (json_array_append(p->shards, description) != 0)
		return pl_fail_nomem(err);
	json_array_foreach(json_object_get(description, "sources"), i, source) {
		struct pl_account a = { 0 };
		enum pl_status st = pl_account_parse(json_string_value(source), &a, err);
		if (st != PL_OK)
			return st;
		pl_account_add(sum, &a);
	}
	sum->bytes_out += (uint64_t)pl_json_num(description, "bytes", 0);
	*(resumed ? &sum->units_resumed : &sum->units_done) += 1;
	return PL_OK;
}

static enum pl_status finish_unit(struct pack *p, const struct pl_record *record, json_t *description, struct pl_err *err)
{
	const char *name = pl_json_str(description, "name");
	struct pl_buf payload;
	char *path = pl_path_join(p->dir, name);
	enum pl_status st;

	pl_buf_init(&payload, 0);
	st = path == NULL ? pl_fail_nomem(err) : pl_json_dump(description, false, &payload, err);
	if (st == PL_OK)
		st = pl_record_write(record, &name, 1, (char *)payload.data, err);
	if (st == PL_OK)
		st = keep(p, description, false, err);
	if (st == PL_OK)
		st = tool_announce(p->tool, path, err);
	pl_buf_release(&payload);
	free(path);
	return st;
}

static enum pl_status pack_unit(struct tool *t, void *ctx, uint64_t k, const char *unused, struct pl_err *err)
{
	struct pack *p = ctx;
	char unit[32];
	struct pl_record record = { p->dir, unit, { p->digest[0], p->digest[1] } };
	struct pack_shard s = { 0 };
	json_t *description = NULL;
	char *payload = NULL;
	bool done = false;
	enum pl_status st = PL_OK;

	(void)unused;
	snprintf(unit, sizeof(unit), "%06llu", (unsigned long long)k);
	if (!t->desc->common->force)
		st = pl_record_check(&record, &done, &payload, err);
	if (st == PL_OK && done && payload != NULL) {
		st = pl_json_parse(payload, strlen(payload), &description, err);
		if (st == PL_OK)
			st = keep(p, description, true, err);
	} else if (st == PL_OK) {
		s.sources = calloc(p->plan.nsources + 1, sizeof(*s.sources));
		st = s.sources == NULL ? pl_fail_nomem(err) : pack_make_shard(p, k, &s, err);
		if (st == PL_OK)
			st = describe(p, k, &s, &description, err);
		if (st == PL_OK)
			st = finish_unit(p, &record, description, err);
	}
	json_decref(description);
	free(s.sources);
	free(payload);
	return st;
}

static enum pl_status gather_shards(struct tool *t, struct pack *p, struct pl_err *err)
{
	struct pl_buf mine, everyone;
	uint64_t *lengths = NULL, at = 0;
	json_t *all = json_array();
	enum pl_status st;

	pl_buf_init(&mine, MAX_DATASET_JSON);
	pl_buf_init(&everyone, MAX_DATASET_JSON);
	st = all == NULL ? pl_fail_nomem(err) : pl_json_dump(p->shards, false, &mine, err);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK)
		st = pl_job_gather(t->job, mine.data, mine.len, &everyone, &lengths, err);
	for (int r = 0; st == PL_OK && tool_is_root(t) && r < pl_job_size(t->job); at += lengths[r], r++) {
		json_t *part = NULL;
		st = pl_json_parse((char *)everyone.data + at, lengths[r], &part, err);
		if (st == PL_OK && json_array_extend(all, part) != 0)
			st = pl_fail_nomem(err);
		json_decref(part);
	}
	if (st == PL_OK && tool_is_root(t))
		st = pack_write_dataset(p, all, err);
	free(lengths);
	json_decref(all);
	pl_buf_release(&mine);
	pl_buf_release(&everyone);
	return pl_job_agree(t->job, st, err);
}

enum pl_status step_pack(struct tool *t, const struct pack_step *s, struct pl_err *err)
{
	struct pack p = { 0 };
	enum pl_status st;

	p.tool = t;
	p.dir = s->dir;
	tool_step_begin(t, "pack", 0);
	st = pl_job_agree(t->job, open_pack(&p, s, err), err);
	if (st != PL_OK)
		goto done;
	if (p.dir == NULL)
		p.dir = p.recipe.output.dir;
	if ((st = tool_output_dir(t, p.dir, err)) != PL_OK)
		goto done;
	if (tool_is_root(t))
		st = claim_dir(&p, t->desc->common->force, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		goto done;
	tool_stage(t, "pack", p.plan.shards);
	if ((st = tool_for_units(t, p.plan.shards, pack_unit, &p, err)) != PL_OK)
		goto done;
	if ((st = gather_shards(t, &p, err)) != PL_OK)
		goto done;
	st = tool_step_end(t, NULL, err);
done:
	close_pack(&p);
	return st;
}
