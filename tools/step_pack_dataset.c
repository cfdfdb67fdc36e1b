/* SPDX-License-Identifier: Apache-2.0 */
/* dataset.json: what a trainer needs to open the data set and an auditor to
 * remake it. Fields: shards/SPEC.md. */
#include "libpipe/base/hash.h"
#include "pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order of their numbers: 1000000 comes behind 999999. */
static int by_number(const void *a, const void *b)
{
	const char *x = pl_json_str(*(json_t *const *)a, "name"), *y = pl_json_str(*(json_t *const *)b, "name");
	size_t m = strlen(x), n = strlen(y);

	return m != n ? (m < n ? -1 : 1) : strcmp(x, y);
}

/* The descriptions in shard order; the array is the caller's, its elements are borrowed. */
static json_t **sorted(json_t *shards)
{
	size_t n = json_array_size(shards);
	json_t **list = calloc(n + 1, sizeof(json_t *));

	for (size_t i = 0; i < n && list != NULL; i++)
		list[i] = json_array_get(shards, i);
	if (list != NULL)
		qsort(list, n, sizeof(json_t *), by_number);
	return list;
}

static json_t *reasons(const uint64_t *dropped)
{
	json_t *o = json_object();

	for (unsigned r = 0; r < PL_REASON_COUNT; r++)
		if (dropped[r] > 0 && json_object_set_new(o, pl_reason_name(r), json_integer((json_int_t)dropped[r])) != 0) {
			json_decref(o);
			return NULL;
		}
	return o;
}

static uint64_t total(const uint64_t *dropped)
{
	uint64_t sum = 0;

	for (unsigned r = 0; r < PL_REASON_COUNT; r++)
		sum += dropped[r];
	return sum;
}

/* The whole story of one source, or of one of its groups: in = dropped + kept; kept + repeated = drawn + not_drawn; drawn = dropped at
 * packing + out. */
struct source_story { uint64_t in, kept, drawn, repeated, not_drawn, demoted; struct pl_account before, packing; };

static struct source_story tell(const struct pack *p, size_t entry, const struct pl_account *packing, uint64_t demoted)
{
	const struct pl_select_totals totals = pl_select_totals(p->in.selects[entry]);
	struct source_story s = { .in = totals.rows, .kept = totals.samples, .demoted = demoted, .packing = *packing };

	pl_select_account(p->in.selects[entry], &s.before);
	s.drawn = p->plan.sources[entry].quota;
	s.repeated = s.drawn > s.kept ? s.drawn - s.kept : 0;
	s.not_drawn = s.drawn < s.kept ? s.kept - s.drawn : 0;
	return s;
}

static void join(struct source_story *sum, const struct source_story *s)
{
	sum->in += s->in;
	sum->kept += s->kept;
	sum->drawn += s->drawn;
	sum->repeated += s->repeated;
	sum->not_drawn += s->not_drawn;
	sum->demoted += s->demoted;
	pl_account_add(&sum->before, &s->before);
	pl_account_add(&sum->packing, &s->packing);
}

static enum pl_status check_story(const struct source_story *s, const char *name, struct pl_err *err)
{
	if (s->in == total(s->before.samples_dropped) + s->kept && s->kept + s->repeated == s->drawn + s->not_drawn &&
	    s->packing.samples_in == s->drawn && s->drawn == total(s->packing.samples_dropped) + s->packing.samples_out)
		return PL_OK;
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, name,
	    "the account of this source does not add up: in %llu, kept %llu, drawn %llu, out %llu: please report this",
	    (unsigned long long)s->in, (unsigned long long)s->kept, (unsigned long long)s->drawn,
	    (unsigned long long)s->packing.samples_out);
}

static json_t *story_json(const char *key, const char *name, const uint64_t digest[2], const struct source_story *s)
{
	char hex[33];

	pl_hash128_hex(digest, hex);
	return json_pack("{s:s,s:s,s:I,s:o,s:I,s:I,s:I,s:I,s:o,s:I,s:I,s:I,s:o,s:I}", key, name, "digest", hex,
	    "in", (json_int_t)s->in, "dropped", reasons(s->before.samples_dropped), "kept", (json_int_t)s->kept,
	    "not_drawn", (json_int_t)s->not_drawn, "repeated", (json_int_t)s->repeated, "drawn", (json_int_t)s->drawn,
	    "dropped_at_packing", reasons(s->packing.samples_dropped), "out", (json_int_t)s->packing.samples_out, "demoted_to_text",
	    (json_int_t)s->demoted, "images_drawn", (json_int_t)s->packing.images_in, "images_dropped_at_packing",
	    reasons(s->packing.images_dropped), "images_out", (json_int_t)s->packing.images_out);
}

/* "146 near_duplicate, 7 filtered" */
static enum pl_status list_reasons(struct pl_buf *out, const char *what, const uint64_t *dropped, struct pl_err *err)
{
	bool first = true;
	enum pl_status st = PL_OK;

	for (unsigned r = 0; r < PL_REASON_COUNT && st == PL_OK; r++) {
		if (dropped[r] == 0)
			continue;
		st = pl_buf_addf(out, err, "%s%llu %s", first ? what : ", ", (unsigned long long)dropped[r], pl_reason_name(r));
		first = false;
	}
	return st == PL_OK && !first ? pl_buf_adds(out, "\n", err) : st;
}

static enum pl_status add_story(struct pl_buf *out, const char *name, const struct source_story *s, struct pl_err *err)
{
	enum pl_status st;

	st = pl_buf_addf(out, err, "%-16s %10llu = %9llu + %9llu; %9llu + %8llu = %9llu + %9llu; %9llu = %7llu + %9llu\n", name,
	    (unsigned long long)s->in, (unsigned long long)total(s->before.samples_dropped), (unsigned long long)s->kept,
	    (unsigned long long)s->kept, (unsigned long long)s->repeated, (unsigned long long)s->not_drawn, (unsigned long long)s->drawn,
	    (unsigned long long)s->drawn, (unsigned long long)total(s->packing.samples_dropped), (unsigned long long)s->packing.samples_out);
	if (st == PL_OK)
		st = list_reasons(out, "                 dropped: ", s->before.samples_dropped, err);
	if (st == PL_OK)
		st = list_reasons(out, "                 lost at packing: ", s->packing.samples_dropped, err);
	return st;
}

/* Sum one entry's accounts over the shards. */
static enum pl_status sum_entry(
    json_t **list, size_t n, size_t entry, struct pl_account *sum, uint64_t *demoted, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < n && st == PL_OK; i++) {
		struct pl_account a = { 0 };
		st = pl_account_parse(json_string_value(json_array_get(json_object_get(list[i], "sources"), entry)), &a, err);
		pl_account_add(sum, &a);
		*demoted += (uint64_t)json_integer_value(json_array_get(json_object_get(list[i], "demoted"), entry));
	}
	return st;
}

/* One source: the sum of its entries; its groups one by one, in an array of their own. */
static enum pl_status source_json(struct pack *p, json_t **list, size_t n, uint32_t source, json_t *out, struct pl_buf *table, struct pl_err *err)
{
	const char *name = p->recipe.sources[source].name;
	struct source_story sum = { 0 };
	uint64_t digest[2] = { 0, 0 }, one[2][2];
	json_t *groups = json_array(), *o;
	enum pl_status st = PL_OK;

	for (size_t e = 0; e < p->plan.nsources && st == PL_OK; e++) {
		const struct pl_plan_source *entry = &p->plan.sources[e];
		struct pl_account packing = { 0 };
		struct source_story s;
		uint64_t demoted = 0;
		if (entry->source != source)
			continue;
		st = sum_entry(list, n, e, &packing, &demoted, err);
		s = tell(p, e, &packing, demoted);
		join(&sum, &s);
		if (entry->group == NULL) {
			memcpy(digest, entry->digest, sizeof(digest));
			continue;
		}
		/* a source's digest is that of its groups', one after the other */
		memcpy(one[0], digest, sizeof(digest));
		memcpy(one[1], entry->digest, sizeof(digest));
		pl_hash128(one, sizeof(one), digest);
		if (st == PL_OK)
			st = check_story(&s, entry->name, err);
		if (st == PL_OK && json_array_append_new(groups, story_json("group", entry->group, entry->digest, &s)) != 0)
			st = pl_fail_nomem(err);
	}
	if (st == PL_OK)
		st = check_story(&sum, name, err);
	if (st == PL_OK)
		st = add_story(table, name, &sum, err);
	o = st == PL_OK ? story_json("name", name, digest, &sum) : NULL;
	if (st == PL_OK && json_array_size(groups) > 0 && json_object_set(o, "groups", groups) != 0)
		st = pl_fail_nomem(err);
	json_decref(groups);
	return st == PL_OK && json_array_append_new(out, o) != 0 ? pl_fail_nomem(err) : st;
}

static enum pl_status sources_json(struct pack *p, json_t **list, size_t n, json_t *out, struct pl_buf *table, struct pl_err *err)
{
	enum pl_status st = pl_buf_addf(table, err, "%-16s %10s = %9s + %9s; %9s + %8s = %9s + %9s; %9s = %7s + %9s\n", "source", "in",
	    "dropped", "kept", "kept", "repeats", "not drawn", "drawn", "drawn", "lost", "out");

	for (size_t i = 0; i < p->in.n && st == PL_OK; i++)
		st = source_json(p, list, n, (uint32_t)i, out, table, err);
	return st;
}

/* The shard list without the per-source accounts, and the sums. */
static enum pl_status shards_json(json_t **list, size_t n, json_t *out, uint64_t sums[4], struct pl_err *err)
{
	static const char *const names[4] = { "samples", "images", "tokens", "bytes" };

	for (size_t i = 0; i < n; i++) {
		json_t *copy = json_copy(list[i]);
		if (copy == NULL || json_object_del(copy, "sources") != 0 || json_object_del(copy, "demoted") != 0 || json_array_append_new(out, copy) != 0)
			return pl_fail_nomem(err);
		for (size_t k = 0; k < 4; k++)
			sums[k] += (uint64_t)json_integer_value(json_object_get(copy, names[k]));
	}
	return PL_OK;
}

static json_t *dataset_json(const struct pack *p, const uint64_t sums[4], json_t *sources, json_t *shards)
{
	char digest[33];
	json_t *plan = NULL;

	if (pl_plan_report(&p->plan, &plan, NULL) != PL_OK)
		return NULL;

	pl_hash128_hex(p->recipe.digest, digest);
	return json_pack("{s:s,s:s,s:s,s:I,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:o,s:O,s:O,s:s}", "format", "plait-dataset-1", "name", p->recipe.name,
	    "version", PL_VERSION, "seed", (json_int_t)p->plan.seed, "stage", pl_stage_names[p->recipe.output.stage], "container",
	    shard_container_names[p->recipe.output.container], "recipe_digest", digest, "samples", (json_int_t)sums[0], "images",
	    (json_int_t)sums[1], "tokens", (json_int_t)sums[2], "bytes", (json_int_t)sums[3], "plan", plan, "sources", sources, "shards", shards, "recipe",
	    p->plan.recipe_text);
}

json_t *pack_sequences_json(const struct pl_sequence_rule *rule, json_t *descriptions)
{
	uint64_t documents = 0, sequences = 0, filled = 0, longer = 0;
	json_t *shard;
	size_t i;

	json_array_foreach(descriptions, i, shard) {
		documents += (uint64_t)json_integer_value(json_object_get(shard, "documents"));
		sequences += (uint64_t)json_integer_value(json_object_get(shard, "samples"));
		filled += (uint64_t)json_integer_value(json_object_get(shard, "filled"));
		longer += (uint64_t)json_integer_value(json_object_get(shard, "longer"));
	}
	return json_pack("{s:I,s:I,s:s,s:I,s:I,s:I,s:I,s:f}", "tokens", (json_int_t)rule->tokens, "window", (json_int_t)rule->window, "long",
	    pl_long_names[rule->long_], "documents", (json_int_t)documents, "sequences", (json_int_t)sequences, "longer", (json_int_t)longer,
	    "filled", (json_int_t)filled, "efficiency", sequences > 0 ? (double)filled / ((double)sequences * (double)rule->tokens) : 0.0);
}

/* What packing came to, into dataset.json and below the accounts. */
static enum pl_status add_sequences(const struct pack *p, json_t *descriptions, json_t *dataset, struct pl_buf *table, struct pl_err *err)
{
	json_t *packing;

	if (p->recipe.output.pack.tokens == 0)
		return PL_OK;
	packing = pack_sequences_json(&p->recipe.output.pack, descriptions);
	if (packing == NULL || json_object_set_new(dataset, "packing", packing) != 0)
		return pl_fail_nomem(err);
	return pl_buf_addf(table, err, "%.0f documents in %.0f sequences of %llu tokens, %.2f %% filled; %.0f longer\n",
	    pl_json_num(packing, "documents", 0), pl_json_num(packing, "sequences", 0), (unsigned long long)p->recipe.output.pack.tokens,
	    100 * pl_json_num(packing, "efficiency", 0), pl_json_num(packing, "longer", 0));
}

enum pl_status pack_write_dataset(struct pack *p, json_t *descriptions, struct pl_err *err)
{
	json_t **list = sorted(descriptions);
	size_t n = json_array_size(descriptions);
	json_t *sources = json_array(), *shards = json_array(), *all = NULL;
	char *path = pl_path_join(p->dir, "dataset.json");
	uint64_t sums[4] = { 0 };
	struct pl_buf text, table;
	enum pl_status st = PL_OK;

	pl_buf_init(&table, 0);
	pl_buf_init(&text, (size_t)4 << 30);
	if (list == NULL || path == NULL || sources == NULL || shards == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = sources_json(p, list, n, sources, &table, err);
	if (st == PL_OK)
		st = shards_json(list, n, shards, sums, err);
	if (st == PL_OK && (all = dataset_json(p, sums, sources, shards)) == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = add_sequences(p, descriptions, all, &table, err);
	if (st == PL_OK)
		st = pl_json_dump(all, true, &text, err);
	if (st == PL_OK)
		st = pl_buf_adds(&text, "\n", err);
	if (st == PL_OK)
		st = pl_file_write(path, text.data, text.len, err);
	if (st == PL_OK)
		st = tool_announce(p->tool, path, err);
	if (st == PL_OK && p->tool->desc->common->quiet == 0) {
		pl_progress_end(&p->tool->progress);
		(void)fwrite(table.data, 1, table.len, stderr);
	}
	pl_buf_release(&table);
	pl_buf_release(&text);
	json_decref(all);
	json_decref(sources);
	json_decref(shards);
	free(path);
	free(list);
	return st;
}
