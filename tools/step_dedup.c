/* SPDX-License-Identifier: Apache-2.0 */
/* Dedup: the pair join is shared out over the ranks in parts, every rank then
 * decides the same survivors, and verdict tables are written shard by shard. */
#include "libpipe/base/hash.h"
#include "libpipe/base/json.h"
#include "libpipe/dedup/dedup.h"
#include "step_dedup_text.h"
#include "steps.h"

#include <stdlib.h>
#include <string.h>

/* More parts than ranks, so that an uneven join still ends together; a constant, so that nothing depends on the rank count. */
#define PARTS 256u

/* No shard's record has a dot in its name. */
#define RECORD "dedup.step"

struct dedup {
	const struct dedup_step *step;
	struct pl_corpus *corpora, *evals;
	struct pl_corpus **corpus_list, **eval_list;
	struct pl_dedup *work;
	struct pl_buf pairs;               /* this rank's */
	size_t corpus;                     /* the one being written */
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

static enum pl_status open_all(struct dedup *d, struct pl_err *err)
{
	const struct dedup_step *s = d->step;
	enum pl_status st = steps_open_corpora(s->corpora, s->n, &d->corpora, err);

	if (st == PL_OK)
		st = steps_open_corpora(s->against, s->nagainst, &d->evals, err);
	if (st != PL_OK)
		return st;
	d->corpus_list = pointers(d->corpora, s->n);
	d->eval_list = pointers(d->evals, s->nagainst);
	return d->corpus_list == NULL || d->eval_list == NULL ? pl_fail_nomem(err) : PL_OK;
}

/* What filter said enters the digest byte by byte: one byte a sample. */
static enum pl_status digest_corpus(struct tool *tool, struct pl_hasher *h, const struct pl_corpus *c, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	pl_hasher_add(h, c->digest, sizeof(c->digest));
	for (size_t i = 0; i < c->nshards && st == PL_OK; i++) {
		struct pl_tables t = { 0 };
		st = pl_tables_open(&t, c, i, err);
		if (st != PL_OK)
			break;
		pl_hasher_add(h, t.filter.rows, (size_t)t.filter.nrows * t.filter.row_size);
		pl_hasher_add(h, t.filter_images.rows, (size_t)t.filter_images.nrows * t.filter_images.row_size);
		pl_tables_close(&t);
		st = tool_poll(tool, err);
	}
	return st;
}

static enum pl_status digest_of(struct tool *t, struct dedup *d, struct pl_err *err)
{
	const struct pl_dedup_options *o = &d->step->options;
	uint64_t numbers[] = { 1, o->near, o->distance, o->min_quality, o->text, o->across, d->step->n, d->step->nagainst };
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
		st = digest_corpus(t, h, &d->corpora[i], err);
	for (size_t i = 0; i < d->step->nagainst && st == PL_OK; i++)
		st = digest_corpus(t, h, &d->evals[i], err);
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

static enum pl_status join_unit(struct tool *t, void *ctx, uint64_t part, const char *name, struct pl_err *err)
{
	struct dedup *d = ctx;

	(void)name;
	return pl_dedup_pairs(d->work, (uint32_t)part, PARTS, tool_poll, t, &d->pairs, err);
}

static enum pl_status write_unit(struct tool *t, void *ctx, uint64_t shard, const char *name, struct pl_err *err)
{
	struct dedup *d = ctx;
	struct pl_tables tables = { 0 };
	struct pl_account ignored = { 0 };
	enum pl_status st = PL_OK;

	(void)name;
	if (!d->done)
		st = pl_dedup_write(d->work, d->corpus, shard, &ignored, err);
	if (st == PL_OK)
		st = pl_tables_open(&tables, &d->corpora[d->corpus], shard, err);
	if (st != PL_OK)
		return st;
	steps_count_verdicts(&tables, &t->account);
	*(d->done ? &t->account.units_resumed : &t->account.units_done) += 1;
	pl_job_count(t->job, 0, tables.samples.nrows, 0);
	pl_tables_close(&tables);
	return PL_OK;
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
	for (size_t i = 0; i < s->n + s->nagainst && st == PL_OK; i++) {
		const struct pl_corpus *c = i < s->n ? &d->corpora[i] : &d->evals[i - s->n];
		if (json_array_append_new(list, json_pack("{s:s,s:s,s:b}", "name", c->source.name, "dir", c->dir, "against", i >= s->n)) != 0)
			st = pl_fail_nomem(err);
	}
	all = json_pack("{s:b,s:I,s:I,s:b,s:b,s:O}", "near", o->near, "distance", (json_int_t)o->distance, "min_quality",
	    (json_int_t)o->min_quality, "text", o->text, "across", o->across, "corpora", list);
	if (st == PL_OK && (all == NULL || (o->near_text.on && !describe_near_text(all, &o->near_text))))
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
	struct pl_buf all;
	struct pl_dedup_options options = d->step->options;
	enum pl_status st;

	options.poll = tool_poll;
	options.poll_ctx = t;
	pl_buf_init(&all, (size_t)64 << 30);
	st = pl_job_agree(t->job, pl_dedup_new(&d->work, d->corpus_list, d->step->n, d->eval_list, d->step->nagainst, &options, err), err);
	if (st == PL_OK && options.near_text.on) {
		st = step_near_texts(t, d->work, &options.near_text, &d->texts, err);
		tool_stage(t, "dedup", PARTS);
	}
	if (st == PL_OK)
		st = tool_for_units(t, PARTS, join_unit, d, err);
	if (st == PL_OK)
		st = pl_job_gather(t->job, d->pairs.data, d->pairs.len, &all, NULL, err);
	if (st == PL_OK)
		st = pl_dedup_resolve(d->work, (struct pl_pair *)(void *)all.data, all.len / sizeof(struct pl_pair), err);
	pl_buf_release(&all);
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
	tool_stage(t, "write verdicts", shards);
	for (d->corpus = 0; d->corpus < d->step->n && st == PL_OK; d->corpus++) {
		st = tool_for_units(t, d->corpora[d->corpus].nshards, write_unit, d, err);
		if (st == PL_OK && tool_is_root(t) && !d->done)
			st = write_description(d, d->corpus, err);
		if (st == PL_OK && tool_is_root(t) && !d->done)
			st = write_record(d, d->corpus, err);
		if (st == PL_OK && tool_is_root(t))
			st = tool_announce(t, d->corpora[d->corpus].dir, err);
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

static enum pl_status end(struct tool *t, struct dedup *d, struct pl_err *err)
{
	struct pl_dedup_stats s = { 0 };
	struct pl_buf extra;
	enum pl_status st;

	if (d->done)
		return tool_step_end(t, NULL, err);
	s = pl_dedup_stats(d->work);
	pl_buf_init(&extra, 0);
	st = pl_buf_addf(&extra, err, "\"images\":%llu,\"low_quality\":%llu,\"distinct_hashes\":%llu,\"pairs\":%llu",
	    (unsigned long long)s.images, (unsigned long long)s.low_quality, (unsigned long long)s.distinct_hashes,
	    (unsigned long long)s.pairs);
	if (st == PL_OK && d->step->options.near_text.on)
		st = tell_near_texts(t, d, &s, &extra, err);
	if (tool_is_root(t))
		pl_log(PL_LOG_INFO, "%llu images, %llu distinct hashes, %llu pairs within %u; %llu images of low quality compared by bytes",
		    (unsigned long long)s.images, (unsigned long long)s.distinct_hashes, (unsigned long long)s.pairs,
		    d->step->options.distance, (unsigned long long)s.low_quality);
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
	pl_buf_init(&d.pairs, (size_t)64 << 30);
	tool_step_begin(t, "dedup", PARTS);
	st = open_all(&d, err);
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
	pl_buf_release(&d.pairs);
	free(d.corpus_list);
	free(d.eval_list);
	steps_close_corpora(d.corpora, s->n);
	steps_close_corpora(d.evals, s->nagainst);
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
				st = steps_remove_verdicts(dirs[i], corpora[i].shards[k].unit, STEPS_DEDUP, err);
		if (corpora != NULL)
			steps_close_corpora(corpora, n);
	}
	return pl_job_agree(t->job, st, err);
}
