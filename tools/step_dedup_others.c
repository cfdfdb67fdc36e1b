/* SPDX-License-Identifier: Apache-2.0 */
/* A directory is a corpus, a file is a list of hashes. */
#include "step_dedup_others.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_file(const char *path)
{
	struct stat sb;

	return stat(path, &sb) == 0 && S_ISREG(sb.st_mode);
}

static enum pl_status open_list(struct dedup_others *o, const struct dedup_step *s, const char *path, const struct pl_corpus *corpora,
    struct pl_err *err)
{
	struct pl_hashlist *l = &o->hashes[o->nhashes];
	enum pl_hash_recipe recipe = s->n > 0 ? corpora[0].source.hash : PL_HASH_PDQ_AA;
	enum pl_status st;

	if (!s->options.near)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, path, "a list of hashes finds near images only, and these are not asked for");
	st = pl_hashlist_open(l, path, s->against_hash, recipe, err);
	if (st != PL_OK)
		return st;
	recipe = l->corpus.source.hash;
	if (s->n > 0 && recipe != corpora[0].source.hash) {
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, path,
		    "its hashes are %s, those of '%s' are %s: distances between the two mean nothing; ingest the corpora with --hash %s",
		    pl_hash_recipe_names[recipe], corpora[0].dir, pl_hash_recipe_names[corpora[0].source.hash], pl_hash_recipe_names[recipe]);
		pl_hashlist_close(l);
		return st;
	}
	o->nhashes++;
	o->what[o->n].list = l;
	o->list[o->n++] = &l->corpus;
	return PL_OK;
}

static enum pl_status open_corpus(struct dedup_others *o, const char *dir, bool known, struct pl_err *err)
{
	struct pl_corpus *c = &o->corpora[o->ncorpora];
	enum pl_status st = pl_corpus_open(c, dir, err);

	if (st != PL_OK)
		return st;
	o->ncorpora++;
	o->what[o->n].known = known;
	o->list[o->n++] = c;
	return PL_OK;
}

/* One directory cannot be written and left alone. */
static enum pl_status check_known(const struct pl_corpus *known, const struct pl_corpus *corpora, size_t n, struct pl_err *err)
{
	struct stat a, b;

	for (size_t i = 0; i < n; i++) {
		if (stat(known->dir, &a) == 0 && stat(corpora[i].dir, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, known->dir, "this corpus is to be deduplicated, and known already: name it once");
	}
	return PL_OK;
}

enum pl_status dedup_others_open(struct dedup_others *o, const struct dedup_step *s, const struct pl_corpus *corpora, struct pl_err *err)
{
	size_t n = s->nagainst + s->nknown;
	enum pl_status st = PL_OK;

	*o = (struct dedup_others){ 0 };
	o->list = calloc(n + 1, sizeof(struct pl_corpus *));
	o->what = calloc(n + 1, sizeof(*o->what));
	o->corpora = calloc(n + 1, sizeof(*o->corpora));
	o->hashes = calloc(n + 1, sizeof(*o->hashes));
	if (o->list == NULL || o->what == NULL || o->corpora == NULL || o->hashes == NULL)
		st = pl_fail_nomem(err);
	for (size_t i = 0; i < s->nagainst && st == PL_OK; i++)
		st = is_file(s->against[i]) ? open_list(o, s, s->against[i], corpora, err) : open_corpus(o, s->against[i], false, err);
	if (st == PL_OK && s->against_hash >= 0 && o->nhashes == 0)
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "how the hashes of a list were made is said, but no list is given");
	for (size_t i = 0; i < s->nknown && st == PL_OK; i++) {
		st = open_corpus(o, s->known[i], true, err);
		if (st == PL_OK)
			st = check_known(o->list[o->n - 1], corpora, s->n, err);
	}
	if (st != PL_OK)
		dedup_others_close(o);
	return st;
}

void dedup_others_warn(const struct dedup_others *o)
{
	for (size_t i = 0; i < o->nhashes; i++) {
		const struct pl_corpus *c = &o->hashes[i].corpus;
		if (o->hashes[i].guessed)
			pl_log(PL_LOG_WARNING, "'%s': nothing says how its hashes were made; they are taken for %s, as those of the corpora, and match little "
			    "if they are not: say --against-hash, or '%s%s' in the list", c->dir, pl_hash_recipe_names[c->source.hash], pl_hashlist_head,
			    pl_hash_recipe_names[c->source.hash]);
	}
}

void dedup_others_close(struct dedup_others *o)
{
	for (size_t i = 0; i < o->ncorpora; i++)
		pl_corpus_close(&o->corpora[i]);
	for (size_t i = 0; i < o->nhashes; i++)
		pl_hashlist_close(&o->hashes[i]);
	free(o->list);
	free(o->what);
	free(o->corpora);
	free(o->hashes);
	*o = (struct dedup_others){ 0 };
}

json_t *dedup_others_describe(const struct dedup_others *o, size_t i)
{
	const struct pl_corpus *c = o->list[i];
	json_t *j = json_pack("{s:s,s:s,s:b}", "name", c->source.name, "dir", c->dir, "against", !o->what[i].known);

	if (j != NULL && o->what[i].known)
		json_object_set_new(j, "known", json_true());
	if (j != NULL && o->what[i].list != NULL)
		json_object_set_new(j, "hashes", json_true());
	return j;
}
