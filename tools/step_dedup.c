/* SPDX-License-Identifier: Apache-2.0 */
/* Dedup: every rank reads its share of the shards, the units of the pair join go
 * out by ticket, survivors are decided by all together, and every rank writes the
 * verdicts of the shards it has read. */
#include "libpipe/base/hash.h"
#include "libpipe/base/human.h"
#include "libpipe/base/json.h"
#include "libpipe/dedup/dedup.h"
#include "libpipe/dist/shared.h"
#include "step_dedup_others.h"
#include "step_dedup_parts.h"
#include "step_dedup_text.h"
#include "steps.h"

#include <stdlib.h>
#include <string.h>

/* Tickets of the join, at most: each is a run of its units, which are neighbours. */
#define TICKETS ((uint64_t)4096)

/* No shard's record has a dot in its name. */
#define RECORD "dedup.step"

struct dedup {
	const struct dedup_step *step;
	struct pl_corpus *corpora;
	struct pl_corpus **corpus_list;
	struct dedup_others others;
	struct pl_dedup *work;
	struct dedup_parts parts;
	uint64_t tickets;
	double join_seconds;
	enum pl_dedup_plan plan;
	uint64_t digest[2];
	struct near_text_counts texts;
	bool done;
};

static struct pl_corpus **pointers(struct pl_corpus *c, size_t n)
{
	struct pl_corpus **list = calloc(n + 1, sizeof(struct pl_corpus *));

	for (size_t i = 0; i < n && list != NULL; i++)
		list[i] = &c[i];
	return list;
}

static enum pl_status open_all(struct dedup *d, bool root, struct pl_err *err)
{
	const struct dedup_step *s = d->step;
	enum pl_status st = steps_open_corpora(s->corpora, s->n, &d->corpora, err);

	if (st == PL_OK)
		st = dedup_others_open(&d->others, s, d->corpora, err);
	if (st != PL_OK)
		return st;
	if (root)
		dedup_others_warn(&d->others);
	d->corpus_list = pointers(d->corpora, s->n);
	return d->corpus_list == NULL ? pl_fail_nomem(err) : PL_OK;
}

/* A digest of what filter (verdicts: and dedup) said of each shard, two words a shard; each rank does its own and they are added up. */
static enum pl_status digest_shards(struct tool *t, const struct pl_corpus *c, bool verdicts, uint64_t *words, struct pl_err *err)
{
	size_t rank = (size_t)pl_job_rank(t->job), size = (size_t)pl_job_size(t->job);
	enum pl_status st = PL_OK;

	for (size_t i = rank; i < c->nshards && st == PL_OK; i += size) {
		struct pl_tables tables = { 0 };
		struct pl_hasher *h = pl_hasher_new();
		st = h == NULL ? pl_fail_nomem(err) : pl_tables_open(&tables, c, i, err);
		if (st == PL_OK) {
			uint64_t sizes[2] = { tables.filter.nrows * tables.filter.row_size, tables.filter_images.nrows * tables.filter_images.row_size };
			pl_hasher_add(h, sizes, sizeof(sizes));
			pl_hasher_add(h, tables.filter.rows, (size_t)sizes[0]);
			pl_hasher_add(h, tables.filter_images.rows, (size_t)sizes[1]);
			if (verdicts) {
				pl_hasher_add(h, tables.dedup.rows, (size_t)(tables.dedup.nrows * tables.dedup.row_size));
				pl_hasher_add(h, tables.dedup_images.rows, (size_t)(tables.dedup_images.nrows * tables.dedup_images.row_size));
			}
			pl_hasher_digest(h, words + 2 * i);
			pl_tables_close(&tables);
			st = tool_poll(t, err);
		}
		pl_hasher_free(h);
	}
	return st;
}

static enum pl_status digest_corpus(struct tool *t, struct pl_hasher *h, const struct pl_corpus *c, bool verdicts, struct pl_err *err)
{
	uint64_t *words = calloc(2 * c->nshards + 1, sizeof(*words));
	enum pl_status st = words == NULL ? pl_fail_nomem(err) : digest_shards(t, c, verdicts, words, err);

	if ((st = pl_job_agree(t->job, st, err)) == PL_OK) {
		pl_job_sum(t->job, words, 2 * c->nshards);
		pl_hasher_add(h, c->digest, sizeof(c->digest));
		pl_hasher_add(h, words, 2 * c->nshards * sizeof(*words));
	}
	free(words);
	return st;
}

static enum pl_status digest_other(struct tool *t, struct pl_hasher *h, const struct dedup_others *o, size_t i, struct pl_err *err)
{
	uint64_t what[] = { o->what[i].known, o->what[i].list != NULL };

	pl_hasher_add(h, what, sizeof(what));
	if (o->what[i].list == NULL)
		return digest_corpus(t, h, o->list[i], o->what[i].known, err);
	pl_hasher_add(h, o->list[i]->digest, sizeof(o->list[i]->digest));
	return PL_OK;
}

static enum pl_status digest_of(struct tool *t, struct dedup *d, struct pl_err *err)
{
	const struct pl_dedup_options *o = &d->step->options;
	const struct pl_dedup_rules *r = &o->rules;
	uint64_t numbers[] = { 3, o->cluster, o->near, o->distance, o->min_quality, o->text, o->across, d->step->n, d->step->nagainst,
		r->captions, r->max_documents, r->max_texts_per_image, r->max_captions, r->document, r->document_share, r->same_images };
	struct pl_hasher *h = pl_hasher_new();
	enum pl_status st = PL_OK;

	if (h == NULL)
		return pl_fail_nomem(err);
	pl_hasher_add(h, numbers, sizeof(numbers));
	if (o->near_text.on) {
		uint64_t near[] = { 1, o->near_text.ngram, o->near_text.bands, o->near_text.rows, o->near_text.jaccard };
		pl_hasher_add(h, near, sizeof(near));
	}
	for (size_t i = 0; i < d->step->n && st == PL_OK; i++)
		st = digest_corpus(t, h, &d->corpora[i], false, err);
	for (size_t i = 0; i < d->others.n && st == PL_OK; i++)
		st = digest_other(t, h, &d->others, i, err);
	pl_hasher_digest(h, d->digest);
	pl_hasher_free(h);
	return st;
}

/* Done when every corpus says so. */
static enum pl_status check_done(struct tool *t, struct dedup *d, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	d->done = !t->desc->common->force;
	for (size_t i = 0; i < d->step->n && st == PL_OK && d->done; i++) {
		struct pl_record r = { d->corpora[i].dir, RECORD, { d->digest[0], d->digest[1] } };
		st = pl_record_check(&r, &d->done, NULL, err);
	}
	return st;
}

static enum pl_status join_ticket(struct tool *t, void *ctx, uint64_t ticket, const char *name, struct pl_err *err)
{
	struct dedup *d = ctx;
	uint64_t units = pl_dedup_units(d->work), from, to;
	enum pl_status st = PL_OK;

	(void)name;
	(void)t;
	from = (uint64_t)((double)units / (double)d->tickets * (double)ticket);
	to = ticket + 1 == d->tickets ? units : (uint64_t)((double)units / (double)d->tickets * (double)(ticket + 1));
	for (uint64_t unit = from; unit < to && st == PL_OK; unit++)
		st = pl_dedup_join(d->work, unit, err);
	return st;
}

/* What the join costs is said, and too much refused, before it begins. */
static enum pl_status predict(struct tool *t, struct dedup *d, struct pl_err *err)
{
	enum pl_status st = pl_dedup_predict(d->work, err);
	struct pl_dedup_stats s = pl_dedup_stats(d->work);
	char a[24], b[24];

	if (st == PL_OK && tool_is_root(t) && d->step->options.near)
		pl_log(PL_LOG_INFO, "join: %s candidate pairs to look at, about %s pairs to find, %.3g core seconds expected",
		    pl_human_count((double)s.candidates, a, sizeof(a)), pl_human_count((double)s.expected_pairs, b, sizeof(b)), (double)s.core_us / 1e6);
	return st;
}

/* All ranks together. */
static enum pl_status join_steps(struct tool *t, struct dedup *d, struct pl_err *err)
{
	uint64_t steps = pl_dedup_steps(d->work);
	enum pl_status st = PL_OK;

	for (uint64_t step = 0; step < steps && st == PL_OK; step++) {
		st = pl_dedup_step(d->work, step, err);
		if (tool_is_root(t))
			pl_job_count(t->job, 1, 0, 0);
	}
	return pl_job_agree(t->job, st, err);
}

static enum pl_status join(struct tool *t, struct dedup *d, struct pl_err *err)
{
	uint64_t units = pl_dedup_units(d->work);
	double began = pl_now();
	enum pl_status st;

	d->plan = pl_dedup_plan(d->work);
	d->tickets = units < TICKETS ? units : TICKETS;
	tool_stage(t, "compare images", d->plan == PL_PLAN_PARTITIONED ? pl_dedup_steps(d->work) : d->tickets);
	if (d->plan == PL_PLAN_PARTITIONED)
		st = join_steps(t, d, err);
	else
		st = tool_for_units(t, d->tickets, join_ticket, d, err);
	d->join_seconds = pl_now() - began;
	return st;
}

static enum pl_status write_shard(struct tool *t, struct dedup *d, size_t corpus, size_t shard, struct pl_err *err)
{
	struct pl_tables tables = { 0 };
	struct pl_account ignored = { 0 };
	enum pl_status st = PL_OK;

	if (!d->done)
		st = pl_dedup_write(d->work, corpus, shard, &ignored, err);
	if (st == PL_OK && !d->done)   /* concepts were balanced over what was kept before */
		st = steps_remove_verdicts(d->corpora[corpus].dir, d->corpora[corpus].shards[shard].unit, STEPS_CONCEPTS, err);
	if (st == PL_OK)
		st = pl_tables_open(&tables, &d->corpora[corpus], shard, err);
	if (st != PL_OK)
		return st;
	pl_npy_close(&tables.concepts);   /* counted by balance */
	steps_count_verdicts(&tables, &t->account);
	*(d->done ? &t->account.units_resumed : &t->account.units_done) += 1;
	pl_job_count(t->job, 1, tables.samples.nrows, 0);
	pl_tables_close(&tables);
	return tool_poll(t, err);
}

/* The shards that this rank has read. */
static enum pl_status write_corpus(struct tool *t, struct dedup *d, size_t corpus, struct pl_err *err)
{
	uint32_t rank = (uint32_t)pl_job_rank(t->job), size = (uint32_t)pl_job_size(t->job);
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < d->corpora[corpus].nshards && st == PL_OK; i++)
		if (rank == (d->done ? (uint32_t)(i % size) : pl_dedup_owner(d->work, corpus, i)))
			st = write_shard(t, d, corpus, i, err);
	st = pl_job_agree(t->job, st, err);
	return st == PL_OK && !d->done ? pl_dedup_clusters(d->work, corpus, err) : st;
}

static enum pl_status write_record(struct dedup *d, size_t corpus, struct pl_err *err)
{
	const struct pl_corpus *c = &d->corpora[corpus];
	struct pl_record r = { c->dir, RECORD, { d->digest[0], d->digest[1] } };
	struct pl_names outputs;
	enum pl_status st;

	pl_names_init(&outputs);
	st = steps_table_names(c, "dedup", &outputs, err);
	if (st == PL_OK)
		st = steps_table_names(c, "dedup-images", &outputs, err);
	if (st == PL_OK)
		st = pl_names_add(&outputs, STEPS_CLUSTERS, err);
	if (st == PL_OK)
		st = pl_record_write(&r, (const char *const *)outputs.items, outputs.len, NULL, err);
	pl_names_release(&outputs);
	return st;
}

static bool describe_near_text(json_t *all, const struct pl_near_text_options *o)
{
	json_t *near = json_pack("{s:I,s:I,s:I,s:f}", "ngram", (json_int_t)o->ngram, "bands", (json_int_t)o->bands, "rows",
	    (json_int_t)o->rows, "jaccard", (double)o->jaccard / PL_JACCARD_ONE);

	return near != NULL && json_object_set_new(all, "text_near", near) == 0;
}

/* Those in force. */
static bool describe_rules(json_t *all, const struct pl_dedup_rules *r)
{
	json_t *rules = json_object();
	bool ok = rules != NULL;

	if (ok && r->captions > 1)
		ok = json_object_set_new(rules, "captions", r->captions == PL_CAPTIONS_ALL ? json_string("all") : json_integer(r->captions)) == 0;
	if (ok && r->max_documents > 0)
		ok = json_object_set_new(rules, "max_documents", json_integer(r->max_documents)) == 0;
	if (ok && r->max_texts_per_image > 0)
		ok = json_object_set_new(rules, "max_texts_per_image", json_integer(r->max_texts_per_image)) == 0;
	if (ok && r->max_captions > 0)
		ok = json_object_set_new(rules, "max_captions", json_integer(r->max_captions)) == 0;
	if (ok && r->document == PL_DOCUMENT_WHOLE)
		ok = json_object_set_new(rules, "document_share", json_real((double)r->document_share / PL_SHARE_ONE)) == 0;
	if (ok && r->same_images)
		ok = json_object_set_new(rules, "same_images", json_true()) == 0;
	return json_object_set_new(all, "rules", rules) == 0 && ok;
}

/* CORPUS/dedup.json: the options, and the corpora by whose numbers the tables name survivors. */
static enum pl_status write_description(const struct dedup *d, size_t corpus, struct pl_err *err)
{
	const struct dedup_step *s = d->step;
	const struct pl_dedup_options *o = &s->options;
	json_t *list = json_array(), *all = NULL;
	char *path = pl_path_join(d->corpora[corpus].dir, "dedup.json");
	struct pl_buf text;
	enum pl_status st = list == NULL || path == NULL ? pl_fail_nomem(err) : PL_OK;

	pl_buf_init(&text, 0);
	for (size_t i = 0; i < s->n + d->others.n && st == PL_OK; i++) {
		json_t *row = i >= s->n ? dedup_others_describe(&d->others, i - s->n)
		                        : json_pack("{s:s,s:s,s:b}", "name", d->corpora[i].source.name, "dir", d->corpora[i].dir, "against", 0);
		if (json_array_append_new(list, row) != 0)
			st = pl_fail_nomem(err);
	}
	all = json_pack("{s:b,s:s,s:I,s:I,s:b,s:b,s:O}", "near", o->near, "cluster", pl_cluster_names[o->cluster], "distance", (json_int_t)o->distance, "min_quality",
	    (json_int_t)o->min_quality, "text", o->text, "across", o->across, "corpora", list);
	if (st == PL_OK && (all == NULL || (o->near_text.on && !describe_near_text(all, &o->near_text)) || !describe_rules(all, &o->rules)))
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = pl_json_dump(all, true, &text, err);
	if (st == PL_OK)
		st = pl_file_write(path, text.data, text.len, err);
	pl_buf_release(&text);
	json_decref(all);
	json_decref(list);
	free(path);
	return st;
}

static enum pl_status decide(struct tool *t, struct dedup *d, struct pl_err *err)
{
	struct pl_dedup_options options = d->step->options;
	enum pl_status st = dedup_parts_open(&d->parts, t, d->step->memory, d->step->scratch, err);

	options.others = d->others.what;
	options.poll = tool_poll;
	options.poll_ctx = t;
	if (st == PL_OK)
		st = pl_dedup_new(&d->work, d->corpus_list, d->step->n, d->others.list, d->others.n, &options, &d->parts.parts, err);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK && options.near_text.on)
		st = step_near_texts(t, d->work, &options.near_text, &d->texts, err);
	if (st == PL_OK)
		st = pl_dedup_load(d->work, err);
	if (st == PL_OK)
		st = predict(t, d, err);
	if (st == PL_OK)
		st = join(t, d, err);
	if (st == PL_OK)
		st = pl_dedup_decide(d->work, err);
	return pl_job_agree(t->job, st, err);
}

/* Rank 0, before the first table is written. */
static enum pl_status forget_records(const struct dedup *d, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < d->step->n && st == PL_OK; i++) {
		struct pl_record r = { d->corpora[i].dir, RECORD, { 0, 0 } };
		st = pl_record_forget(&r, err);
	}
	return st;
}

static enum pl_status write_all(struct tool *t, struct dedup *d, struct pl_err *err)
{
	uint64_t shards = 0;
	enum pl_status st = tool_is_root(t) && !d->done ? forget_records(d, err) : PL_OK;

	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		return st;

	for (size_t i = 0; i < d->step->n; i++)
		shards += d->corpora[i].nshards;
	tool_stage(t, "write verdicts", shards / (uint64_t)pl_job_size(t->job));   /* rank 0 shows its own */
	for (size_t i = 0; i < d->step->n && st == PL_OK; i++) {
		st = write_corpus(t, d, i, err);
		if (st == PL_OK && tool_is_root(t) && !d->done)
			st = write_description(d, i, err);
		if (st == PL_OK && tool_is_root(t) && !d->done)
			st = write_record(d, i, err);
		if (st == PL_OK && tool_is_root(t))
			st = tool_announce(t, d->corpora[i].dir, err);
		st = pl_job_agree(t->job, st, err);
	}
	return st;
}

static enum pl_status tell_near_texts(
    struct tool *t, const struct dedup *d, const struct pl_dedup_stats *s, struct pl_buf *extra, struct pl_err *err)
{
	if (tool_is_root(t))
		pl_log(PL_LOG_INFO, "%llu texts compared, %llu candidates, %llu near pairs; %llu texts too long to compare",
		    (unsigned long long)s->near_texts, (unsigned long long)d->texts.candidates, (unsigned long long)s->text_pairs,
		    (unsigned long long)d->texts.too_long);
	return pl_buf_addf(extra, err, ",\"near_texts\":%llu,\"text_candidates\":%llu,\"text_pairs\":%llu,\"texts_too_long\":%llu",
	    (unsigned long long)s->near_texts, (unsigned long long)d->texts.candidates, (unsigned long long)s->text_pairs,
	    (unsigned long long)d->texts.too_long);
}

static enum pl_status tell_rules(struct tool *t, const struct dedup *d, const struct pl_dedup_stats *s, struct pl_buf *extra, struct pl_err *err)
{
	const struct pl_dedup_rules *r = &d->step->options.rules;

	if (r->captions <= 1 && r->max_documents + r->max_texts_per_image + r->max_captions == 0)
		return PL_OK;
	if (tool_is_root(t))
		pl_log(PL_LOG_INFO, "rules: %llu images stay for their captions, %llu stand too often, %llu samples have captions that do",
		    (unsigned long long)s->kept_captions, (unsigned long long)s->repeated_images, (unsigned long long)s->repeated_captions);
	return pl_buf_addf(extra, err, ",\"kept_captions\":%llu,\"repeated_images\":%llu,\"repeated_captions\":%llu",
	    (unsigned long long)s->kept_captions, (unsigned long long)s->repeated_images, (unsigned long long)s->repeated_captions);
}

static enum pl_status tell_join(struct tool *t, struct dedup *d, const struct pl_dedup_stats *s, struct pl_buf *extra, struct pl_err *err)
{
	uint64_t held = pl_job_max(t->job, s->held), shared = pl_job_max(t->job, d->parts.shared_peak), filed = s->filed;
	uint64_t sent = pl_job_max(t->job, d->parts.sent), peak = pl_job_max(t->job, pl_peak_rss());
	uint64_t units = s->units + s->steps;
	char a[24], b[24], c[24], n[24], m[24];

	pl_job_node_sum(t->job, &filed, 1);
	filed = pl_job_max(t->job, filed + d->parts.filed);
	if (tool_is_root(t)) {
		pl_log(PL_LOG_INFO, "%llu images, %llu distinct hashes, %llu pairs within %u, %s in %llu rounds; %llu images of low quality compared by bytes",
		    (unsigned long long)s->images, (unsigned long long)s->distinct_hashes, (unsigned long long)s->pairs, d->step->options.distance,
		    pl_cluster_names[d->step->options.cluster], (unsigned long long)s->rounds, (unsigned long long)s->low_quality);
		pl_log(PL_LOG_INFO, "join, %s: %s keys, %s candidates and %.3g core seconds predicted, largest bucket %llu, %.1f s; a rank held %s beside %s a "
		    "node and sent %s", pl_plan_names[d->plan], pl_human_count((double)s->keys, a, sizeof(a)), pl_human_count((double)s->candidates, b, sizeof(b)), (double)s->core_us / 1e6,
		    (unsigned long long)s->largest_bucket, d->join_seconds, pl_human_bytes((double)(held + s->scratch), c, sizeof(c)),
		    pl_human_bytes((double)shared, n, sizeof(n)), pl_human_bytes((double)sent, m, sizeof(m)));
	}
	return pl_buf_addf(extra, err,
	    "\"images\":%llu,\"low_quality\":%llu,\"distinct_hashes\":%llu,\"pairs\":%llu,\"rounds\":%llu,\"join\":{\"plan\":\"%s\",\"units\":%llu,\"keys\":%llu,"
	    "\"predicted_candidates\":%llu,\"predicted_pairs\":%llu,\"predicted_seconds\":%.3f,\"largest_bucket\":%llu,\"seconds\":%.3f,\"sent\":%llu},\"memory\":{\"rank\":%llu,"
	    "\"join\":%llu,\"node\":%llu,\"scratch_file\":%llu,\"peak\":%llu}",
	    (unsigned long long)s->images, (unsigned long long)s->low_quality, (unsigned long long)s->distinct_hashes, (unsigned long long)s->pairs,
	    (unsigned long long)s->rounds, pl_plan_names[d->plan], (unsigned long long)units, (unsigned long long)s->keys, (unsigned long long)s->candidates,
	    (unsigned long long)s->expected_pairs, (double)s->core_us / 1e6, (unsigned long long)s->largest_bucket, d->join_seconds, (unsigned long long)sent, (unsigned long long)held,
	    (unsigned long long)s->scratch, (unsigned long long)shared, (unsigned long long)filed, (unsigned long long)peak);
}

static enum pl_status end(struct tool *t, struct dedup *d, struct pl_err *err)
{
	struct pl_dedup_stats s = { 0 };
	struct pl_buf extra;
	enum pl_status st;

	if (d->done)
		return tool_step_end(t, NULL, err);
	s = pl_dedup_stats(d->work);
	pl_buf_init(&extra, 0);
	st = tell_join(t, d, &s, &extra, err);
	if (st == PL_OK && d->step->options.near_text.on)
		st = tell_near_texts(t, d, &s, &extra, err);
	if (st == PL_OK)
		st = tell_rules(t, d, &s, &extra, err);
	if (st == PL_OK)
		st = tool_step_end(t, (char *)extra.data, err);
	pl_buf_release(&extra);
	return st;
}

enum pl_status step_dedup(struct tool *t, const struct dedup_step *s, struct pl_err *err)
{
	struct dedup d = { 0 };
	enum pl_status st;

	d.step = s;
	tool_step_begin(t, "dedup", 0);
	st = open_all(&d, tool_is_root(t), err);
	st = pl_job_agree(t->job, st, err);
	for (size_t i = 0; i < s->n && st == PL_OK; i++)
		st = tool_output_dir(t, d.corpora[i].dir, err);
	if (st == PL_OK)
		st = digest_of(t, &d, err);
	if (st == PL_OK)
		st = check_done(t, &d, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		goto done;
	d.done = pl_job_max(t->job, !d.done) == 0;   /* one answer for all ranks */
	if (!d.done && (st = decide(t, &d, err)) != PL_OK)
		goto done;
	if ((st = write_all(t, &d, err)) != PL_OK)
		goto done;
	st = end(t, &d, err);
done:
	pl_dedup_free(d.work);
	dedup_parts_close(&d.parts);
	free(d.corpus_list);
	steps_close_corpora(d.corpora, s->n);
	dedup_others_close(&d.others);
	return st;
}

enum pl_status step_undedup(struct tool *t, const char *const *dirs, size_t n, struct pl_err *err)
{
	struct pl_corpus *corpora = NULL;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < n && st == PL_OK; i++)
		st = tool_output_dir(t, dirs[i], err);
	if (st != PL_OK)
		return st;
	if (tool_is_root(t)) {
		st = steps_open_corpora(dirs, n, &corpora, err);
		for (size_t i = 0; i < n && st == PL_OK; i++)
			for (size_t k = 0; k < corpora[i].nshards && st == PL_OK; k++)
				st = steps_remove_verdicts(dirs[i], corpora[i].shards[k].unit, STEPS_DEDUP | STEPS_CONCEPTS, err);
		if (corpora != NULL)
			steps_close_corpora(corpora, n);
	}
	return pl_job_agree(t->job, st, err);
}
