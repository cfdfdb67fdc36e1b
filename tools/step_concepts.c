/* SPDX-License-Identifier: Apache-2.0 */
/* Concepts: per source that asks for it, which samples stay when the entries of a
 * concept list are balanced. The texts are read once: what they match lies beside
 * the tables (UNIT.concept-matches.npy), then counts, then one verdict a sample
 * (UNIT.concepts.npy) and the counts for people (concepts.tsv). */
#include "step_concept_texts.h"
#include "libpipe/base/hash.h"
#include "libpipe/mix/concept_rule.h"
#include "libpipe/mix/concepts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define RECORD "concepts.step"      /* no shard's record has a dot in its name */
#define COUNTS "concepts.tsv"
#define LIST_BYTES ((size_t)1 << 30)
#define DRAWS_AT_ONCE ((size_t)1 << 20)
#define BUFFER ((size_t)1 << 44)    /* bounded by what is said where they are filled */

struct match_row { uint32_t sample, entry; };
static const struct pl_npy_col match_cols[] = {
	{ "sample", PL_NPY_U32, 1, 0 }, { "entry", PL_NPY_U32, 1, 4 },
};

struct balancing {
	struct tool *t;
	struct pl_corpus *corpus;
	const struct pl_recipe_concepts *rule;
	struct pl_concepts *list;
	struct concept_texts texts;
	struct pl_npy_writer *writer;    /* of the matches of the shard under way */
	struct pl_buf found;
	uint64_t *counts, *hashes, *limits;
	struct pl_buf draws;             /* struct pl_entry_draw: the smallest so far of frequent entries */
	size_t compact;                  /* draws that are the smallest already */
	uint64_t seed;
	uint64_t fates[3];               /* over the shards of this rank: kept, no_concept, concept_capped */
	bool done;                       /* the record says so */
};

/* The same for a sample whatever its corpus is called and wherever it lies. */
static uint64_t identity(const struct pl_corpus *c, size_t shard, const struct pl_sample_row *s)
{
	return pl_mix64(s->key ^ pl_hash64(c->shards[shard].unit, strlen(c->shards[shard].unit)));
}

/* ---- the texts: what each matches ---- */

static enum pl_status match_text(void *ctx, uint64_t row, struct pl_err *err)
{
	struct balancing *b = ctx;
	enum pl_status st;

	pl_buf_clear(&b->found);
	st = pl_concepts_match(b->list, (const char *)b->texts.text.data, b->texts.text.len, &b->found, err);
	for (size_t k = 0; k < b->found.len / sizeof(uint32_t) && st == PL_OK; k++) {
		struct match_row m = { (uint32_t)row, 0 };
		memcpy(&m.entry, b->found.data + k * sizeof(m.entry), sizeof(m.entry));
		b->counts[m.entry]++;
		st = pl_npy_append(b->writer, &m, 1, err);
	}
	return st;
}

static enum pl_status match_unit(struct tool *t, void *ctx, uint64_t shard, const char *name, struct pl_err *err)
{
	struct balancing *b = ctx;
	struct pl_npy_writer w = { 0 };
	char *path = pl_table_path(b->corpus, shard, "concept-matches");
	enum pl_status st;

	(void)t;
	(void)name;
	if (path == NULL)
		return pl_fail_nomem(err);
	b->writer = &w;
	st = pl_npy_create(&w, path, match_cols, PL_ARRAY_LEN(match_cols), sizeof(struct match_row), err);
	if (st == PL_OK)
		st = concept_texts_each(&b->texts, shard, match_text, b, err);
	if (st == PL_OK)
		st = pl_npy_commit(&w, err);
	pl_npy_abort(&w);
	free(path);
	return st;
}

/* ---- what the matches of a shard say of its samples ---- */

struct shard_matches {
	struct pl_tables tables;
	struct pl_npy matches;
	char *path;
};

static void close_matches(struct shard_matches *m)
{
	pl_npy_close(&m->matches);
	pl_tables_close(&m->tables);
	free(m->path);
}

static enum pl_status open_matches(struct shard_matches *m, const struct balancing *b, size_t shard, struct pl_err *err)
{
	enum pl_status st;

	memset(m, 0, sizeof(*m));
	m->path = pl_table_path(b->corpus, shard, "concept-matches");
	st = m->path == NULL ? pl_fail_nomem(err) : pl_tables_open(&m->tables, b->corpus, shard, err);
	if (st == PL_OK)
		st = pl_npy_open(&m->matches, m->path, err);
	if (st == PL_OK)
		st = pl_npy_expect(&m->matches, m->path, match_cols, PL_ARRAY_LEN(match_cols), err);
	for (uint64_t i = 0; i < m->matches.nrows && st == PL_OK; i++) {
		const struct match_row *r = pl_npy_row(&m->matches, i);
		if (r->sample >= m->tables.samples.nrows || r->entry >= pl_concepts_count(b->list))
			st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, m->path, "changed while it was in use: run balance again");
	}
	if (st != PL_OK)
		close_matches(m);
	return st;
}

/* llava: the draws of frequent entries, of which only the smallest count. Memory: 32 bytes x the lesser of the matches of this rank's
 * shards and cap x frequent entries, and 16 MiB. */
static enum pl_status draw_unit(struct tool *t, void *ctx, uint64_t shard, const char *name, struct pl_err *err)
{
	struct balancing *b = ctx;
	struct shard_matches m;
	enum pl_status st = open_matches(&m, b, shard, err);

	(void)name;
	if (st != PL_OK)
		return st;
	for (uint64_t i = 0; i < m.matches.nrows && st == PL_OK; i++) {
		const struct match_row *r = pl_npy_row(&m.matches, i);
		struct pl_entry_draw d = { .entry = r->entry };
		if (b->counts[r->entry] <= b->rule->cap)
			continue;
		d.draw = pl_concept_draw(b->seed, identity(b->corpus, shard, pl_sample(&m.tables, r->sample)), b->hashes[r->entry]);
		st = pl_buf_add(&b->draws, &d, sizeof(d), err);
		if (b->draws.len / sizeof(d) > 2 * b->compact + DRAWS_AT_ONCE) {
			b->compact = pl_concept_smallest((void *)b->draws.data, b->draws.len / sizeof(d), b->rule->cap);
			b->draws.len = b->compact * sizeof(d);
			if (st == PL_OK)
				st = tool_poll(t, err);
		}
	}
	close_matches(&m);
	return st;
}

/* The cap-th smallest draw of each frequent entry, on every rank: an entry's draws meet on one rank. */
static enum pl_status find_limits(struct balancing *b, struct pl_err *err)
{
	size_t ranks = (size_t)pl_job_size(b->t->job), n;
	struct pl_buf *to = calloc(ranks, sizeof(*to)), from, mine, all;
	const struct pl_entry_draw *d;
	struct pl_entry_draw *got;
	enum pl_status st = to == NULL ? pl_fail_nomem(err) : PL_OK;

	pl_buf_init(&from, BUFFER);
	pl_buf_init(&mine, BUFFER);
	pl_buf_init(&all, BUFFER);
	for (size_t r = 0; to != NULL && r < ranks; r++)
		pl_buf_init(&to[r], BUFFER);
	n = pl_concept_smallest((void *)b->draws.data, b->draws.len / sizeof(*d), b->rule->cap);
	d = (const void *)b->draws.data;
	for (size_t i = 0; i < n && st == PL_OK; i++)
		st = pl_buf_add(&to[d[i].entry % ranks], &d[i], sizeof(*d), err);
	st = pl_job_agree(b->t->job, st, err);
	if (st == PL_OK)
		st = pl_job_exchange(b->t->job, to, &from, NULL, err);
	got = (void *)from.data;
	n = pl_concept_smallest(got, from.len / sizeof(*got), b->rule->cap);
	for (size_t i = 0; i < n && st == PL_OK; i++)     /* the last of each entry */
		if (i + 1 == n || got[i + 1].entry != got[i].entry)
			st = pl_buf_add(&mine, &got[i], sizeof(*got), err);
	st = pl_job_agree(b->t->job, st, err);
	if (st == PL_OK)
		st = pl_job_gather(b->t->job, mine.data, mine.len, &all, NULL, err);
	d = (const void *)all.data;
	for (size_t i = 0; st == PL_OK && i < all.len / sizeof(*d); i++)
		b->limits[d[i].entry] = d[i].draw;
	for (size_t r = 0; to != NULL && r < ranks; r++)
		pl_buf_release(&to[r]);
	pl_buf_release(&from);
	pl_buf_release(&mine);
	pl_buf_release(&all);
	free(to);
	return st;
}

static enum pl_status judge_unit(struct tool *t, void *ctx, uint64_t shard, const char *name, struct pl_err *err)
{
	struct balancing *b = ctx;
	const struct pl_concept_quota q = { (enum pl_concept_rule)b->rule->rule, b->rule->cap, (uint64_t)b->rule->least, b->seed, b->counts,
	    b->hashes, b->limits };
	struct pl_npy_writer w = { 0 };
	struct shard_matches m;
	uint64_t at = 0;
	char *path = pl_table_path(b->corpus, shard, "concepts");
	enum pl_status st = path == NULL ? pl_fail_nomem(err) : open_matches(&m, b, shard, err);

	(void)name;
	if (st != PL_OK) {
		free(path);
		return st;
	}
	st = pl_npy_create(&w, path, pl_filter_cols, pl_filter_ncols, sizeof(struct pl_filter_row), err);
	for (uint64_t i = 0; i < m.tables.samples.nrows && st == PL_OK; i++) {
		struct pl_filter_row row = { PL_REASON_KEEP, 0 };
		pl_buf_clear(&b->found);
		for (; at < m.matches.nrows && ((const struct match_row *)pl_npy_row(&m.matches, at))->sample == i && st == PL_OK; at++)
			st = pl_buf_add(&b->found, &((const struct match_row *)pl_npy_row(&m.matches, at))->entry, sizeof(uint32_t), err);
		if (pl_sample_verdict(&m.tables, i) == PL_REASON_KEEP) {
			enum pl_reason why = pl_concept_verdict(&q, identity(b->corpus, shard, pl_sample(&m.tables, i)),
			    (const void *)b->found.data, b->found.len / sizeof(uint32_t));
			row.verdict = (uint8_t)why;
			b->fates[why == PL_REASON_KEEP ? 0 : why == PL_REASON_NO_CONCEPT ? 1 : 2]++;
		}
		if (st == PL_OK)
			st = pl_npy_append(&w, &row, 1, err);
	}
	if (st == PL_OK)
		st = pl_npy_commit(&w, err);
	pl_npy_abort(&w);
	pl_job_count(t->job, 0, m.tables.samples.nrows, 0);
	close_matches(&m);
	free(path);
	return st;
}

/* ---- one source ---- */

/* What filter and dedup left, whatever the number of ranks: a sum over shards. */
static enum pl_status digest_verdicts(const struct balancing *b, uint64_t *sum, struct pl_err *err)
{
	size_t ranks = (size_t)pl_job_size(b->t->job), rank = (size_t)pl_job_rank(b->t->job);
	enum pl_status st = PL_OK;

	*sum = 0;
	for (size_t k = rank; k < b->corpus->nshards && st == PL_OK; k += ranks) {
		struct pl_tables tables;
		uint64_t h = pl_hash64(b->corpus->shards[k].unit, strlen(b->corpus->shards[k].unit));
		if ((st = pl_tables_open(&tables, b->corpus, k, err)) != PL_OK)
			break;
		pl_npy_close(&tables.concepts);
		for (uint64_t i = 0; i < tables.samples.nrows; i++)
			h = pl_mix64(h ^ (uint64_t)pl_sample_verdict(&tables, i));
		*sum += h;
		pl_tables_close(&tables);
		st = tool_poll(b->t, err);
	}
	st = pl_job_agree(b->t->job, st, err);
	if (st == PL_OK)
		pl_job_sum(b->t->job, sum, 1);
	return st;
}

static enum pl_status digest_of(const struct balancing *b, const struct pl_buf *list, uint64_t verdicts, uint64_t digest[2], struct pl_err *err)
{
	const struct pl_recipe_concepts *r = b->rule;
	const struct pl_recipe_mine *mine = &r->mine;
	struct pl_buf text;
	enum pl_status st;

	pl_buf_init(&text, 0);
	st = pl_buf_addf(&text, err, "concepts 1\n%016llx%016llx %016llx\n%s %llu %lld %d %llu\n%016llx %llu %llu %lld %llu\n",
	    (unsigned long long)b->corpus->digest[1], (unsigned long long)b->corpus->digest[0], (unsigned long long)verdicts,
	    pl_concept_rule_names[r->rule], (unsigned long long)r->cap, (long long)r->least, r->fold, (unsigned long long)b->seed,
	    (unsigned long long)pl_hash64(list->data, list->len), (unsigned long long)mine->unigrams, (unsigned long long)mine->bigrams,
	    (long long)mine->pmi, (unsigned long long)mine->most);
	if (st == PL_OK)
		pl_hash128(text.data, text.len, digest);
	pl_buf_release(&text);
	return st;
}

/* The file's bytes on every rank; empty for a list that is mined. */
static enum pl_status read_list(struct balancing *b, struct pl_buf *list, struct pl_err *err)
{
	char *text = NULL;
	size_t len = 0;
	enum pl_status st = PL_OK;

	if (b->rule->entries != NULL && tool_is_root(b->t)) {
		st = pl_file_read(b->rule->entries, LIST_BYTES, &text, &len, err);
		if (st == PL_OK)
			st = pl_buf_add(list, text, len, err);
		free(text);
	}
	st = pl_job_agree(b->t->job, st, err);
	return st == PL_OK ? pl_job_bcast(b->t->job, list, err) : st;
}

static enum pl_status prepare(struct balancing *b, struct pl_err *err)
{
	uint32_t n = pl_concepts_count(b->list);

	b->counts = calloc((size_t)n + 1, sizeof(*b->counts));
	b->hashes = calloc((size_t)n + 1, sizeof(*b->hashes));
	b->limits = calloc((size_t)n + 1, sizeof(*b->limits));
	if (b->counts == NULL || b->hashes == NULL || b->limits == NULL)
		return pl_fail_nomem(err);
	for (uint32_t i = 0; i < n; i++) {
		b->hashes[i] = pl_concepts_hash(b->list, i);
		b->limits[i] = UINT64_MAX;
	}
	return PL_OK;
}

static enum pl_status write_counts(const struct balancing *b, struct pl_err *err)
{
	struct pl_buf text;
	char *path = pl_path_join(b->corpus->dir, COUNTS);
	enum pl_status st = path == NULL ? pl_fail_nomem(err) : PL_OK;

	pl_buf_init(&text, (size_t)8 << 30);
	for (uint32_t i = 0; i < pl_concepts_count(b->list) && st == PL_OK; i++)
		if (b->counts[i] > 0)
			st = pl_buf_addf(&text, err, "%llu\t%s\n", (unsigned long long)b->counts[i], pl_concepts_entry(b->list, i));
	if (st == PL_OK)
		st = pl_file_write(path, text.data, text.len, err);
	pl_buf_release(&text);
	free(path);
	return st;
}

static enum pl_status write_record(const struct balancing *b, const struct pl_record *record, struct pl_err *err)
{
	struct pl_names outputs;
	enum pl_status st = write_counts(b, err);

	pl_names_init(&outputs);
	if (st == PL_OK)
		st = steps_table_names(b->corpus, "concepts", &outputs, err);
	if (st == PL_OK)
		st = pl_names_add(&outputs, COUNTS, err);
	if (st == PL_OK)
		st = pl_record_write(record, (const char *const *)outputs.items, outputs.len, NULL, err);
	pl_names_release(&outputs);
	return st;
}

/* Every table of an earlier run; *found: how many there were. */
static enum pl_status remove_tables(const char *dir, uint64_t *found, struct pl_err *err)
{
	static const char *const ends[] = { ".concepts.npy", ".concept-matches.npy" };
	struct dirent *e;
	DIR *d = opendir(dir);
	enum pl_status st = d == NULL ? pl_fail_errno(err, PL_SEV_JOB, dir, "cannot read the directory") : PL_OK;

	*found = 0;
	while (st == PL_OK && (e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name);
		for (size_t i = 0; i < PL_ARRAY_LEN(ends); i++) {
			size_t n = strlen(ends[i]);
			if (len <= n || strcmp(e->d_name + len - n, ends[i]) != 0)
				continue;
			++*found;
			if (unlinkat(dirfd(d), e->d_name, 0) != 0 && errno != ENOENT)
				st = pl_fail_errno(err, PL_SEV_JOB, dir, "cannot remove old verdicts of concepts");
		}
	}
	if (d != NULL)
		closedir(d);
	return st;
}

static enum pl_status balance_anew(struct balancing *b, const struct pl_record *record, struct pl_buf *list, struct pl_err *err)
{
	struct tool *t = b->t;
	uint64_t found;
	enum pl_status st = tool_is_root(t) ? pl_record_forget(record, err) : PL_OK;

	if (st == PL_OK && tool_is_root(t))
		st = remove_tables(b->corpus->dir, &found, err);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK && b->rule->entries == NULL)
		st = concept_texts_mine(&b->texts, list, err);
	if (st == PL_OK)
		st = pl_concepts_new(&b->list, (const char *)list->data, list->len, b->rule->fold, b->rule->entries, err);
	if (st == PL_OK)
		st = prepare(b, err);
	st = pl_job_agree(t->job, st, err);
	tool_stage(t, "concepts", b->corpus->nshards);
	if (st == PL_OK)
		st = steps_for_tables(t, b->corpus, match_unit, b, err);
	if (st == PL_OK)
		pl_job_sum(t->job, b->counts, pl_concepts_count(b->list));
	if (st == PL_OK && b->rule->rule == PL_CONCEPT_LLAVA)
		st = steps_for_tables(t, b->corpus, draw_unit, b, err);
	if (st == PL_OK && b->rule->rule == PL_CONCEPT_LLAVA)
		st = find_limits(b, err);
	if (st == PL_OK)
		st = steps_for_tables(t, b->corpus, judge_unit, b, err);
	if (st == PL_OK)
		pl_job_sum(t->job, b->fates, PL_ARRAY_LEN(b->fates));
	if (st == PL_OK && tool_is_root(t)) {
		pl_log(PL_LOG_INFO, "concepts '%s': %llu stay, %llu have no concept, %llu are capped", b->corpus->dir,
		    (unsigned long long)b->fates[0], (unsigned long long)b->fates[1], (unsigned long long)b->fates[2]);
		st = write_record(b, record, err);
	}
	return pl_job_agree(t->job, st, err);
}

static void release(struct balancing *b)
{
	concept_texts_close(&b->texts);
	pl_concepts_free(b->list);
	pl_buf_release(&b->found);
	pl_buf_release(&b->draws);
	free(b->counts);
	free(b->hashes);
	free(b->limits);
}

static enum pl_status balance_source(struct balancing *b, struct pl_err *err)
{
	struct pl_record record = { b->corpus->dir, RECORD, { 0, 0 } };
	struct pl_buf list;
	uint64_t verdicts = 0;
	enum pl_status st;

	pl_buf_init(&b->found, 0);
	pl_buf_init(&b->draws, BUFFER);
	pl_buf_init(&list, LIST_BYTES);
	st = pl_job_agree(b->t->job, concept_texts_open(&b->texts, b->t, b->corpus, b->rule, err), err);
	if (st == PL_OK)
		st = read_list(b, &list, err);
	if (st == PL_OK)
		st = digest_verdicts(b, &verdicts, err);
	if (st == PL_OK)
		st = digest_of(b, &list, verdicts, record.digest, err);
	if (st == PL_OK && !b->t->desc->common->force)
		st = pl_record_check(&record, &b->done, NULL, err);
	st = pl_job_agree(b->t->job, st, err);
	if (st == PL_OK && pl_job_max(b->t->job, !b->done) != 0)
		st = balance_anew(b, &record, &list, err);
	pl_buf_release(&list);
	release(b);
	return st;
}

/* A source without the rule: what an earlier recipe left goes. */
static enum pl_status forget_source(struct balancing *b, struct pl_err *err)
{
	struct pl_record record = { b->corpus->dir, RECORD, { 0, 0 } };
	char *counts = pl_path_join(b->corpus->dir, COUNTS);
	uint64_t found = 0;
	enum pl_status st = counts == NULL ? pl_fail_nomem(err) : PL_OK;

	if (st == PL_OK && tool_is_root(b->t))
		st = pl_record_forget(&record, err);
	if (st == PL_OK && tool_is_root(b->t))
		st = remove_tables(b->corpus->dir, &found, err);
	if (st == PL_OK && tool_is_root(b->t) && unlink(counts) != 0 && errno != ENOENT)
		st = pl_fail_errno(err, PL_SEV_JOB, counts, "cannot remove old counts");
	free(counts);
	return pl_job_agree(b->t->job, st, err);
}

enum pl_status step_concepts(struct tool *t, const struct concepts_step *s, struct pl_err *err)
{
	struct pl_corpus *corpora = NULL;
	enum pl_status st = pl_job_agree(t->job, steps_open_corpora(s->corpora, s->recipe->nsources, &corpora, err), err);

	for (size_t i = 0; i < s->recipe->nsources && st == PL_OK; i++) {
		struct balancing b = { .t = t, .corpus = &corpora[i], .rule = &s->recipe->sources[i].concepts, .seed = s->seed };
		if (b.rule->line == 0) {
			st = forget_source(&b, err);
			continue;
		}
		st = tool_output_dir(t, corpora[i].dir, err);
		if (st == PL_OK)
			st = balance_source(&b, err);
	}
	steps_close_corpora(corpora, s->recipe->nsources);
	return pl_job_agree(t->job, st, err);
}
