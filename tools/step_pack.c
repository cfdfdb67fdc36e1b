/* SPDX-License-Identifier: Apache-2.0 */
/* Pack: a plan -> output shards and dataset.json. One unit of work per output
 * shard; what a finished shard holds is kept in its content record. */
#include "libpipe/base/hash.h"
#include "pack.h"
#include "steps.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Recipe, seed, and what the sources hold; no paths: the same data set in another place is the same. */
static enum pl_status digest_plan(struct pack *p, struct pl_err *err)
{
	const struct pl_plan *plan = &p->plan;
	struct pl_buf b;
	enum pl_status st;

	pl_buf_init(&b, 0);
	st = pl_buf_addf(&b, err, "%s\n%llu\n%llu\n%llu\n%llu\n", PL_VERSION, (unsigned long long)plan->output, (unsigned long long)plan->seed,
	    (unsigned long long)plan->shards, (unsigned long long)plan->fan_in);
	for (size_t i = 0; i < plan->nsources && st == PL_OK; i++)
		st = pl_buf_addf(&b, err, "%s %llu %llu %016llx%016llx\n", plan->sources[i].name, (unsigned long long)plan->sources[i].quota,
		    (unsigned long long)plan->sources[i].groups, (unsigned long long)plan->sources[i].digest[1], (unsigned long long)plan->sources[i].digest[0]);
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
		uint64_t now[2] = { 0, 0 };
		bool same = p->in.nentries == p->plan.nsources && p->in.source_of[i] == p->plan.sources[i].source;
		if (same)
			pl_select_digest(p->in.selects[i], now);
		if (!same || memcmp(now, p->plan.sources[i].digest, sizeof(now)) != 0)
			return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, p->plan.sources[i].corpus,
			    "the corpus or its verdicts have changed since the plan was made: run balance again");
	}
	return PL_OK;
}

static enum pl_status open_plan(struct pack *p, const char *path, struct pl_err *err)
{
	enum pl_status st = pl_plan_load(&p->plan, path, err);

	if (st == PL_OK)
		st = pl_recipe_parse(&p->recipe, p->plan.recipe_path, p->plan.recipe_text, strlen(p->plan.recipe_text), err);
	if (st == PL_OK && p->plan.output >= p->recipe.noutputs)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path, "its recipe has no output %llu", (unsigned long long)p->plan.output);
	if (st != PL_OK)
		return st;
	pl_recipe_use_output(&p->recipe, p->plan.output);
	p->shards = json_array();
	return p->shards == NULL ? pl_fail_nomem(err) : PL_OK;
}

/* The corpus of each source, from the plan's entries. */
static enum pl_status name_dirs(const struct pack *p, const char *plan, const char **dirs, struct pl_err *err)
{
	for (size_t i = 0; i < p->plan.nsources; i++)
		if (p->plan.sources[i].source < p->recipe.nsources)
			dirs[p->plan.sources[i].source] = p->plan.sources[i].corpus;
	for (size_t i = 0; i < p->recipe.nsources; i++)
		if (dirs[i] == NULL)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, plan, "it does not know source '%s' of its recipe", p->recipe.sources[i].name);
	return PL_OK;
}

/* Collective. */
static enum pl_status open_pack(struct pack *p, const struct pack_step *s, struct pl_err *err)
{
	enum pl_status st = open_plan(p, s->plan, err);
	const char **dirs = calloc(p->recipe.nsources + 1, sizeof(*dirs));

	if (st == PL_OK)
		st = dirs == NULL ? pl_fail_nomem(err) : name_dirs(p, s->plan, dirs, err);
	st = pl_job_agree(p->tool->job, st, err);
	if (st == PL_OK)
		st = steps_open_tokens(p->tool, &p->recipe.tokenizer, &p->tokens, err);
	if (st == PL_OK)
		st = pack_inputs_open(p->tool, &p->in, &p->recipe, dirs, NULL, err);
	free(dirs);
	if (st == PL_OK)
		st = check_sources(p, err);
	if (st == PL_OK)
		st = digest_plan(p, err);
	if (st == PL_OK)
		st = pl_fetch_new(&p->fetch, p->in.corpus_list, p->in.n, 0, err);
	return pl_job_agree(p->tool->job, st, err);
}

static void close_pack(struct pack *p)
{
	pl_fetch_free(p->fetch);
	pl_token_counter_free(p->tokens);
	pack_inputs_close(&p->in);
	json_decref(p->shards);
	pl_recipe_release(&p->recipe);
	pl_plan_release(&p->plan);
}

/* Is name that of an output shard, or of an index file beside one: NNNNNN.tar, .tar.zst, .tar.idx, .idx? */
static bool shard_name(const char *name)
{
	static const char *const ends[] = { ".tar", ".tar.zst", ".tar.idx", ".idx" };
	size_t digits = strspn(name, "0123456789");

	for (size_t i = 0; i < PL_ARRAY_LEN(ends) && digits >= 6; i++)
		if (strcmp(name + digits, ends[i]) == 0)
			return true;
	return false;
}

/* The names in dir that are shards (records false), or records of shards in dir/.plait. */
static enum pl_status list_dir(const char *dir, bool records, struct pl_names *names, struct pl_err *err)
{
	char *path = records ? pl_path_join(dir, ".plait") : strdup(dir);
	enum pl_status st = PL_OK;
	struct dirent *e;
	DIR *d;

	if (path == NULL)
		return pl_fail_nomem(err);
	d = opendir(path);
	if (d == NULL && errno != ENOENT)
		st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot read the directory");
	while (d != NULL && st == PL_OK && (e = readdir(d)) != NULL) {
		size_t digits = strspn(e->d_name, "0123456789");
		if (records ? digits >= 6 && strcmp(e->d_name + digits, ".json") == 0 : shard_name(e->d_name))
			st = pl_names_add(names, e->d_name, err);
	}
	if (d != NULL)
		closedir(d);
	free(path);
	return st;
}

static enum pl_status remove_listed(const char *dir, bool records, struct pl_err *err)
{
	struct pl_names names;
	enum pl_status st;

	pl_names_init(&names);
	st = list_dir(dir, records, &names, err);
	for (size_t i = 0; i < names.len && st == PL_OK; i++) {
		struct pl_buf path;
		pl_buf_init(&path, 0);
		st = pl_buf_addf(&path, err, "%s%s/%s", dir, records ? "/.plait" : "", names.items[i]);
		if (st == PL_OK && unlink((char *)path.data) != 0 && errno != ENOENT)
			st = pl_fail_errno(err, PL_SEV_JOB, (char *)path.data, "cannot remove");
		pl_buf_release(&path);
	}
	pl_names_release(&names);
	return st;
}

/* Remove another data set: description first, so that nothing describes what is half gone. */
static enum pl_status remove_old(const char *dir, struct pl_err *err)
{
	char *description = pl_path_join(dir, "dataset.json");
	enum pl_status st = PL_OK;

	if (description == NULL)
		return pl_fail_nomem(err);
	if (unlink(description) != 0 && errno != ENOENT)
		st = pl_fail_errno(err, PL_SEV_JOB, description, "cannot remove");
	if (st == PL_OK)
		st = remove_listed(dir, true, err);
	if (st == PL_OK)
		st = remove_listed(dir, false, err);
	free(description);
	return st;
}

/* Does dir hold anything that looks like a data set? */
static enum pl_status holds_other(const char *dir, bool *other, struct pl_err *err)
{
	char *description = pl_path_join(dir, "dataset.json");
	struct pl_names shards;
	enum pl_status st;

	pl_names_init(&shards);
	st = description == NULL ? pl_fail_nomem(err) : list_dir(dir, false, &shards, err);
	*other = st == PL_OK && (shards.len > 0 || access(description, F_OK) == 0);
	pl_names_release(&shards);
	free(description);
	return st;
}

/* Rank 0: is dir empty, or of this very plan? */
static enum pl_status claim_dir(struct pack *p, bool force, struct pl_err *err)
{
	struct pl_record mine = { p->dir, "dataset.step", { p->digest[0], p->digest[1] } };
	char *payload = NULL;
	bool same = false, other = false;
	enum pl_status st = pl_record_check(&mine, &same, &payload, err);

	free(payload);
	if (st == PL_OK && !same)
		st = holds_other(p->dir, &other, err);
	if (st != PL_OK || same)
		return st;
	if (other && !force)
		return pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, p->dir,
		    "holds shards of another recipe, seed or input: choose another directory, or replace them with --force");
	st = pl_record_forget(&mine, err);
	if (st == PL_OK)
		st = remove_old(p->dir, err);
	return st == PL_OK ? pl_record_write(&mine, NULL, 0, NULL, err) : st;
}

static const char *const extensions[] = { ".tar.zst", ".tar" };

static enum pl_status describe(struct pack *p, uint64_t k, const struct pack_shard *s, json_t **out, struct pl_err *err)
{
	char name[48], hash[33];
	json_t *sources = json_array(), *demoted = json_array();
	json_t *j;

	snprintf(name, sizeof(name), "%06llu%s", (unsigned long long)k, extensions[p->recipe.output.container]);
	pl_hash128_hex(s->hash, hash);
	for (size_t i = 0; i < p->plan.nsources; i++) {
		struct pl_buf counts;
		pl_buf_init(&counts, 0);
		if (pl_account_counts(&s->sources[i], &counts, err) != PL_OK ||
		    json_array_append_new(sources, json_string((char *)counts.data)) != 0 ||
		    json_array_append_new(demoted, json_integer((json_int_t)s->demoted[i])) != 0) {
			pl_buf_release(&counts);
			json_decref(sources);
			json_decref(demoted);
			return pl_fail_nomem(err);
		}
		pl_buf_release(&counts);
	}
	j = json_pack("{s:s,s:I,s:I,s:I,s:I,s:s,s:o,s:o}", "name", name, "samples", (json_int_t)s->samples, "images", (json_int_t)s->images,
	    "tokens", (json_int_t)s->tokens, "bytes", (json_int_t)s->bytes, "xxh3_128", hash, "sources", sources, "demoted", demoted);
	if (j == NULL)
		return pl_fail_nomem(err);
	*out = j;
	if (p->recipe.output.pack.tokens > 0 &&
	    (json_object_set_new(j, "documents", json_integer((json_int_t)s->packed.documents)) != 0 ||
	        json_object_set_new(j, "filled", json_integer((json_int_t)s->packed.filled)) != 0 ||
	        json_object_set_new(j, "longer", json_integer((json_int_t)s->packed.longer)) != 0))
		return pl_fail_nomem(err);
	return PL_OK;
}

/* Keep a shard's description and count it in. */
static enum pl_status keep(struct pack *p, json_t *description, bool resumed, struct pl_err *err)
{
	struct pl_account *sum = &p->tool->account;
	json_t *source;
	size_t i;

	if (pl_json_str(description, "name") == NULL || json_array_size(json_object_get(description, "sources")) != p->plan.nsources ||
	    json_array_size(json_object_get(description, "demoted")) != p->plan.nsources)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, p->dir, "a content record in .plait is damaged: make the data set again with --force");
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

static enum pl_status announce(struct pack *p, const json_t *description, struct pl_err *err)
{
	char *path = pl_path_join(p->dir, pl_json_str(description, "name"));
	enum pl_status st = path == NULL ? pl_fail_nomem(err) : tool_announce(p->tool, path, err);

	free(path);
	return st;
}

static enum pl_status finish_unit(struct pack *p, const struct pl_record *record, json_t *description, struct pl_err *err)
{
	const char *name = pl_json_str(description, "name");
	struct pl_buf payload;
	enum pl_status st;

	pl_buf_init(&payload, 0);
	st = pl_json_dump(description, false, &payload, err);
	if (st == PL_OK)
		st = pl_record_write(record, &name, 1, (char *)payload.data, err);
	if (st == PL_OK)
		st = keep(p, description, false, err);
	if (st == PL_OK)
		st = announce(p, description, err);
	pl_buf_release(&payload);
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
		if (st == PL_OK)
			st = announce(p, description, err);
	} else if (st == PL_OK) {
		s.sources = calloc(p->plan.nsources + 1, sizeof(*s.sources));
		s.demoted = calloc(p->plan.nsources + 1, sizeof(*s.demoted));
		st = s.sources == NULL || s.demoted == NULL ? pl_fail_nomem(err) : pl_record_forget(&record, err);
		if (st == PL_OK)
			st = pack_make_shard(p, k, &s, err);
		if (st == PL_OK)
			st = describe(p, k, &s, &description, err);
		if (st == PL_OK)
			st = finish_unit(p, &record, description, err);
	}
	json_decref(description);
	free(s.sources);
	free(s.demoted);
	free(payload);
	return st;
}

/* "packing":{...} for the report */
static enum pl_status report_packing(const struct pack *p, json_t *all, struct pl_buf *extra, struct pl_err *err)
{
	json_t *packing;
	enum pl_status st;

	if (p->recipe.output.pack.tokens == 0)
		return PL_OK;
	packing = pack_sequences_json(&p->recipe.output.pack, all);
	st = packing == NULL ? pl_fail_nomem(err) : pl_buf_adds(extra, "\"packing\":", err);
	if (st == PL_OK)
		st = pl_json_dump(packing, false, extra, err);
	json_decref(packing);
	return st;
}

static enum pl_status gather_shards(struct tool *t, struct pack *p, struct pl_buf *extra, struct pl_err *err)
{
	json_t *all = NULL;
	enum pl_status st = tool_gather_json(t, p->shards, &all, err);

	if (st == PL_OK && tool_is_root(t))
		st = pack_write_dataset(p, all, err);
	if (st == PL_OK && tool_is_root(t))
		st = report_packing(p, all, extra, err);
	json_decref(all);
	return pl_job_agree(t->job, st, err);
}

enum pl_status step_pack(struct tool *t, const struct pack_step *s, struct pl_err *err)
{
	struct pack p = { 0 };
	struct pl_buf extra;
	enum pl_status st;

	pl_buf_init(&extra, 0);
	p.tool = t;
	p.dir = s->dir;
	tool_step_begin(t, "pack", 0);
	if ((st = open_pack(&p, s, err)) != PL_OK)
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
	if ((st = gather_shards(t, &p, &extra, err)) != PL_OK)
		goto done;
	st = tool_step_end(t, (const char *)extra.data, err);
done:
	pl_buf_release(&extra);
	close_pack(&p);
	return st;
}
