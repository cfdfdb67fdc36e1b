/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of kept samples, shard by shard, and the list mined from them: each rank
 * counts what it reads, equal words meet on one rank, and what is frequent enough
 * goes to all. */
#include "step_concept_texts.h"

#include "libpipe/base/hash.h"
#include "libpipe/mix/concept_mine.h"
#include "libpipe/mix/concepts.h"

#define BUFFER ((size_t)64 << 30)

enum pl_status concept_texts_open(struct concept_texts *x, struct tool *t, struct pl_corpus *c, const struct pl_recipe_concepts *rule,
    struct pl_err *err)
{
	*x = (struct concept_texts){ .t = t, .corpus = c, .rule = rule };
	pl_fetched_init(&x->sample);
	pl_buf_init(&x->text, 0);
	return pl_fetch_new(&x->fetch, &x->corpus, 1, 1, err);
}

void concept_texts_close(struct concept_texts *x)
{
	pl_fetched_release(&x->sample);
	pl_fetch_free(x->fetch);
	pl_buf_release(&x->text);
}

static enum pl_status text_of(struct concept_texts *x, struct pl_err *err)
{
	const struct pl_document *d = &x->sample.doc;
	enum pl_status st = PL_OK;

	if (x->rule->fold)
		return pl_document_normal_text(d, &x->text, err);
	pl_buf_clear(&x->text);
	for (size_t i = 0; i < d->nsegments && st == PL_OK; i++) {
		if (d->segments[i].is_image)
			continue;
		if (x->text.len > 0)
			st = pl_buf_adds(&x->text, "\n", err);
		if (st == PL_OK)
			st = pl_buf_add(&x->text, d->segments[i].text, d->segments[i].text_len, err);
	}
	return st;
}

enum pl_status concept_texts_each(struct concept_texts *x, size_t shard, concept_text_fn *each, void *ctx, struct pl_err *err)
{
	struct pl_tables tables;
	enum pl_status st = pl_tables_open(&tables, x->corpus, shard, err);

	if (st != PL_OK)
		return st;
	for (uint64_t i = 0; i < tables.samples.nrows && st == PL_OK; i++) {
		if (pl_sample_verdict(&tables, i) != PL_REASON_KEEP || pl_sample(&tables, i)->text_bytes == 0)
			continue;
		st = pl_fetch_document(x->fetch, 0, shard, i, &x->sample, err);
		if (st == PL_OK)
			st = text_of(x, err);
		if (st == PL_OK)
			st = each(ctx, i, err);
		if (st == PL_OK)
			st = tool_poll(x->t, err);
	}
	if (st == PL_OK)
		pl_job_count(x->t->job, 0, tables.samples.nrows, 0);
	pl_tables_close(&tables);
	return st;
}

/* ---- mining ---- */

struct mining {
	struct concept_texts *x;
	struct pl_mine_options o;
	struct pl_tally *unigrams, *bigrams;   /* of the texts this rank reads */
	struct pl_buf spaced;
	uint64_t words;
};

static enum pl_status mine_text(void *ctx, uint64_t row, struct pl_err *err)
{
	struct mining *m = ctx;
	enum pl_status st = pl_concept_spaced((const char *)m->x->text.data, m->x->text.len, &m->spaced, err);

	(void)row;
	return st == PL_OK ? pl_mine_text((const char *)m->spaced.data, m->spaced.len, m->unigrams, m->bigrams, &m->words, err) : st;
}

static enum pl_status mine_unit(struct tool *t, void *ctx, uint64_t shard, const char *name, struct pl_err *err)
{
	struct mining *m = ctx;

	(void)t;
	(void)name;
	return concept_texts_each(m->x, shard, mine_text, m, err);
}

/* What is frequent enough, by its count over all ranks. words 0: words; else pairs of words. */
static bool wanted(const struct mining *m, const char *s, size_t len, uint64_t count, const struct pl_tally *unigrams)
{
	uint64_t least = m->o.unigrams != 0 && (m->o.bigrams == 0 || m->o.unigrams < m->o.bigrams) ? m->o.unigrams : m->o.bigrams;

	return unigrams == NULL ? count >= least : pl_mine_bigram(&m->o, s, len, count, unigrams, m->words);
}

/* Add up what the ranks have counted, and give what is wanted of it to all. mine is freed. */
static enum pl_status add_up(struct mining *m, struct pl_tally **mine, const struct pl_tally *unigrams, struct pl_tally **all,
    struct pl_err *err)
{
	struct pl_job *job = m->x->t->job;
	size_t ranks = (size_t)pl_job_size(job), len;
	uint64_t count;
	struct pl_buf *to = calloc(ranks, sizeof(*to)), from;
	struct pl_tally *owned = NULL;
	enum pl_status st = to == NULL ? pl_fail_nomem(err) : pl_tally_new(all, err);

	pl_buf_init(&from, BUFFER);
	for (size_t r = 0; to != NULL && r < ranks; r++)
		pl_buf_init(&to[r], BUFFER);
	if (st == PL_OK)
		st = pl_tally_new(&owned, err);
	for (size_t i = 0; st == PL_OK && i < pl_tally_size(*mine); i++) {
		const char *s = pl_tally_at(*mine, i, &len, &count);
		st = pl_tally_pack(*mine, i, &to[pl_mix64(pl_hash64(s, len)) % ranks], err);
	}
	pl_tally_free(*mine);
	*mine = NULL;
	st = pl_job_agree(job, st, err);
	if (st == PL_OK)
		st = pl_job_exchange(job, to, &from, NULL, err);
	if (st == PL_OK)
		st = pl_tally_unpack(owned, from.data, from.len, err);
	for (size_t r = 0; to != NULL && r < ranks; r++)
		pl_buf_clear(&to[r]);
	for (size_t i = 0; st == PL_OK && i < pl_tally_size(owned); i++) {
		const char *s = pl_tally_at(owned, i, &len, &count);
		if (wanted(m, s, len, count, unigrams))
			st = pl_tally_pack(owned, i, &to[0], err);
	}
	pl_tally_free(owned);
	pl_buf_clear(&from);
	st = pl_job_agree(job, st, err);
	if (st == PL_OK)
		st = pl_job_gather(job, to[0].data, to[0].len, &from, NULL, err);
	if (st == PL_OK)
		st = pl_tally_unpack(*all, from.data, from.len, err);
	for (size_t r = 0; to != NULL && r < ranks; r++)
		pl_buf_release(&to[r]);
	pl_buf_release(&from);
	free(to);
	return pl_job_agree(job, st, err);
}

/* Words of enough counts, and pairs of them, in one list. */
static enum pl_status list_of(const struct mining *m, const struct pl_tally *unigrams, const struct pl_tally *bigrams, struct pl_buf *list,
    struct pl_err *err)
{
	struct pl_tally *entries = NULL;
	uint64_t count;
	size_t len;
	enum pl_status st = pl_tally_new(&entries, err);

	for (size_t i = 0; st == PL_OK && i < pl_tally_size(unigrams); i++) {
		const char *s = pl_tally_at(unigrams, i, &len, &count);
		if (m->o.unigrams != 0 && count >= m->o.unigrams)
			st = pl_tally_add(entries, s, len, count, err);
	}
	for (size_t i = 0; st == PL_OK && bigrams != NULL && i < pl_tally_size(bigrams); i++) {
		const char *s = pl_tally_at(bigrams, i, &len, &count);
		st = pl_tally_add(entries, s, len, count, err);
	}
	if (st == PL_OK)
		st = pl_mine_list(&m->o, entries, list, err);
	if (st == PL_OK && list->len == 0)
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, m->x->corpus->dir, "no word of its %llu is frequent enough for 'mine' in concepts: ask for less",
		    (unsigned long long)m->words);
	pl_tally_free(entries);
	return st;
}

enum pl_status concept_texts_mine(struct concept_texts *x, struct pl_buf *list, struct pl_err *err)
{
	const struct pl_recipe_mine *r = &x->rule->mine;
	struct mining m = { .x = x, .o = { r->unigrams, r->bigrams, (unsigned)r->pmi, r->most } };
	struct pl_tally *unigrams = NULL, *bigrams = NULL;
	enum pl_status st;

	pl_buf_init(&m.spaced, 0);
	st = pl_tally_new(&m.unigrams, err);
	if (st == PL_OK && m.o.bigrams != 0)
		st = pl_tally_new(&m.bigrams, err);
	st = pl_job_agree(x->t->job, st, err);
	tool_stage(x->t, "mine concepts", x->corpus->nshards);
	if (st == PL_OK)
		st = steps_for_tables(x->t, x->corpus, mine_unit, &m, err);
	if (st == PL_OK) {
		pl_job_sum(x->t->job, &m.words, 1);
		st = add_up(&m, &m.unigrams, NULL, &unigrams, err);
	}
	if (st == PL_OK && m.o.bigrams != 0)
		st = add_up(&m, &m.bigrams, unigrams, &bigrams, err);
	if (st == PL_OK)
		st = list_of(&m, unigrams, bigrams, list, err);
	pl_tally_free(m.unigrams);
	pl_tally_free(m.bigrams);
	pl_tally_free(unigrams);
	pl_tally_free(bigrams);
	pl_buf_release(&m.spaced);
	return pl_job_agree(x->t->job, st, err);
}
