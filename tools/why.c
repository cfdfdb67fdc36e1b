/* SPDX-License-Identifier: Apache-2.0 */
/* plait-why: the story of one sample: what each tool decided about it and its
 * images, and who survived in its place. */
#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "libpipe/corpus/fetch.h"
#include "libpipe/dedup/dedup.h"
#include "libpipe/dedup/hashlist.h"
#include "serial.h"

static struct pl_common common;

static const struct pl_opt options[] = { { 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL } };

static const struct pl_tool tool = {
	.name = "plait-why",
	.summary = "what each tool decided about a sample, and why",
	.synopsis = "KEY CORPUS...",
	.description =
	    "Looks KEY up in the tables of the corpora and tells for each sample of that key where it lies, how ingest found it, and what "
	    "filter and dedup said of it and of each image, with the survivor of a duplicate, if its corpus is named, too, and for a survivor "
	    "how many others of the named corpora went in its favour. "
	    "The exit code is 3 when no sample has the key.",
	.examples = "plait why 000030003 out/demo/work/pairs",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE,
};

struct why {
	const char *key;
	uint64_t hash;
	struct pl_corpus *corpora;
	struct pl_corpus **list;
	size_t n, found;
	size_t shard;            /* of the sample that is told of */
	struct pl_fetch *fetch;
};

static const uint8_t *verdict_at(const struct pl_npy *t, uint64_t row)
{
	return t->rows != NULL && row < t->nrows ? &((const struct pl_filter_row *)pl_npy_row(t, row))->verdict : NULL;
}

/* A line of a list of hashes, if it still has the name that matched; foreign bytes are made harmless. */
struct listed { uint64_t line, key; char name[256]; };

static enum pl_status find_line(void *ctx, const struct pl_hash_entry *e, struct pl_err *err)
{
	struct listed *l = ctx;

	(void)err;
	if (e->line != l->line || e->key != l->key)
		return PL_OK;
	snprintf(l->name, sizeof(l->name), "%s", e->name);
	for (char *c = l->name; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	return PL_OK;
}

/* Was it a line of a list of hashes? Tells which. */
static bool tell_listed(const struct why *w, size_t corpus, const struct pl_dedup_row *d)
{
	char *path = pl_path_join(w->corpora[corpus].dir, "dedup.json");
	struct listed l = { .line = d->survivor_row, .key = d->survivor_key };
	const json_t *set;
	const char *file;
	json_t *j = NULL;
	bool is = false;

	if (path != NULL && pl_json_load(path, (size_t)64 << 20, &j, NULL) == PL_OK) {
		set = json_array_get(json_object_get(j, "corpora"), d->survivor_corpus);
		file = pl_json_str(set, "dir");
		is = file != NULL && json_is_true(json_object_get(set, "hashes"));
		if (is && pl_hashlist_read(file, find_line, &l, NULL) == PL_OK && l.name[0] != '\0')
			printf("dropped: %s, distance %u; line %llu ('%s') of '%s'\n", pl_reason_name(d->verdict), d->distance,
			    (unsigned long long)l.line, l.name, file);
		else if (is)
			printf("dropped: %s, distance %u; line %llu of '%s'\n", pl_reason_name(d->verdict), d->distance, (unsigned long long)l.line, file);
	}
	json_decref(j);
	free(path);
	return is;
}

/* Which of the corpora given here is number `number` of the ones that this corpus was compared with? w->n when none is. */
static size_t find_corpus(const struct why *w, size_t corpus, uint32_t number)
{
	char *path = pl_path_join(w->corpora[corpus].dir, "dedup.json");
	const char *name = NULL;
	json_t *j = NULL;
	size_t i;

	if (path != NULL && pl_json_load(path, (size_t)64 << 20, &j, NULL) == PL_OK)
		name = pl_json_str(json_array_get(json_object_get(j, "corpora"), number), "name");
	for (i = 0; i < w->n && (name == NULL || strcmp(w->corpora[i].source.name, name) != 0); i++)
		;
	if (i == w->n && name != NULL)
		printf("(by '%s', not named here) ", name);
	json_decref(j);
	free(path);
	return i;
}

/* text: it was the text that decided, and the distance is one between near texts. */
static void tell_survivor(struct why *w, size_t corpus, const struct pl_dedup_row *d, bool image, bool text)
{
	const struct pl_corpus *c;
	const struct pl_sample_row *sample;
	size_t at;
	struct pl_tables t = { 0 };
	uint64_t row = d->survivor_row;
	char *key = NULL;

	if (d->verdict == PL_REASON_REPEATED_IMAGE || d->verdict == PL_REASON_REPEATED_CAPTION) {
		printf("dropped: %s (%s)\n", pl_reason_name(d->verdict), pl_reason_text(d->verdict));
		return;
	}
	if (d->verdict == PL_REASON_EVALUATION && tell_listed(w, corpus, d))
		return;
	at = find_corpus(w, corpus, d->survivor_corpus);
	c = at < w->n ? &w->corpora[at] : NULL;
	if (text)
		printf("dropped: %s, Jaccard %.3f", pl_reason_name(d->verdict), 1 - d->distance / 1000.0);
	else
		printf("dropped: %s, distance %u", pl_reason_name(d->verdict), d->distance);
	if (c == NULL || d->survivor_shard >= c->nshards || pl_tables_open(&t, c, d->survivor_shard, NULL) != PL_OK) {
		printf("; the survivor (key hash %016llx) is in a corpus that was not given\n", (unsigned long long)d->survivor_key);
		return;
	}
	if (image && row < t.images.nrows)
		row = pl_image_at(&t, row)->sample;
	sample = row < t.samples.nrows ? pl_sample(&t, row) : NULL;
	if (sample != NULL && sample->key == d->survivor_key &&
	    pl_fetch_key(w->fetch, at, d->survivor_shard, row, &key, NULL) == PL_OK)
		printf("; kept instead: '%s' of %s, shard %s\n", key, c->source.name, c->shards[d->survivor_shard].path);
	else
		printf("; the survivor (key hash %016llx) is not where this corpus has it: run dedup again\n", (unsigned long long)d->survivor_key);
	free(key);
	pl_tables_close(&t);
}

/* How many rows of clusters stand for this survivor? They are sorted by text, then survivor. */
static uint64_t count_members(const struct pl_npy *clusters, const struct pl_cluster_row *want)
{
	uint64_t bound[2] = { 0, 0 };

	for (int upper = 0; upper < 2; upper++) {
		uint64_t lo = 0, hi = clusters->nrows;
		while (lo < hi) {
			uint64_t mid = lo + (hi - lo) / 2;
			const struct pl_cluster_row *r = pl_npy_row(clusters, mid);
			int c = (r->text > want->text) - (r->text < want->text);
			if (c == 0)
				c = (r->survivor_corpus > want->survivor_corpus) - (r->survivor_corpus < want->survivor_corpus);
			if (c == 0)
				c = (r->survivor_shard > want->survivor_shard) - (r->survivor_shard < want->survivor_shard);
			if (c == 0)
				c = (r->survivor_row > want->survivor_row) - (r->survivor_row < want->survivor_row);
			if (c < 0 || (c == 0 && upper))
				lo = mid + 1;
			else
				hi = mid;
		}
		bound[upper] = lo;
	}
	return bound[1] - bound[0];
}

/* The number that corpus `of` gave to `corpus` when it was compared. */
static bool find_number(const struct why *w, size_t of, size_t corpus, uint32_t *number)
{
	char *path = pl_path_join(w->corpora[of].dir, "dedup.json");
	json_t *j = NULL, *list;
	bool found = false;

	if (path != NULL && pl_json_load(path, (size_t)64 << 20, &j, NULL) == PL_OK) {
		list = json_object_get(j, "corpora");
		for (size_t i = 0; i < json_array_size(list) && !found; i++) {
			const char *name = pl_json_str(json_array_get(list, i), "name");
			found = name != NULL && strcmp(name, w->corpora[corpus].source.name) == 0;
			*number = (uint32_t)i;
		}
	}
	json_decref(j);
	free(path);
	return found;
}

/* What was dropped of the corpora given here in favour of a kept row. */
static void tell_members(const struct why *w, size_t corpus, uint64_t row, bool image)
{
	uint64_t n = 0;

	for (size_t i = 0; i < w->n; i++) {
		struct pl_cluster_row want = { .survivor_shard = (uint32_t)w->shard, .survivor_row = row, .text = !image };
		char *path = pl_path_join(w->corpora[i].dir, "dedup.clusters.npy");
		struct pl_npy t = { 0 };
		if (path != NULL && find_number(w, i, corpus, &want.survivor_corpus) && pl_npy_open(&t, path, NULL) == PL_OK &&
		    pl_npy_expect(&t, path, pl_cluster_cols, pl_cluster_ncols, NULL) == PL_OK && t.row_size == sizeof(want))
			n += count_members(&t, &want);
		pl_npy_close(&t);
		free(path);
	}
	if (n > 0)
		printf(" in place of %llu other%s", (unsigned long long)n, n == 1 ? "" : "s");
}

static void tell_filter(const struct pl_corpus *c, const char *who, const struct pl_npy *table, uint64_t row)
{
	const uint8_t *v = verdict_at(table, row);
	const char *rule = pl_filter_rule(c, table, row);

	if (v == NULL)
		printf("  %sfilter: has not judged\n", who);
	else if (rule != NULL)
		printf("  %sfilter: dropped by the rule %s\n", who, rule);
	else
		printf("  %sfilter: %s\n", who, *v == PL_REASON_KEEP ? "kept" : pl_reason_text(*v));
}

static void tell_dedup(struct why *w, size_t corpus, const char *who, const struct pl_npy *table, uint64_t row, bool image, bool by_text, bool dropped_before)
{
	const struct pl_dedup_row *d = table->rows != NULL && row < table->nrows ? (const struct pl_dedup_row *)pl_npy_row(table, row) : NULL;

	printf("  %sdedup: ", who);
	if (d == NULL)
		printf("has not judged\n");
	else if (d->verdict == PL_REASON_KEEP && dropped_before)
		printf("did not look at it\n");
	else if (d->verdict == PL_REASON_KEEP) {
		printf("kept");
		tell_members(w, corpus, row, image);
		printf("\n");
	} else {
		tell_survivor(w, corpus, d, image, d->verdict == PL_REASON_NEAR_DUPLICATE_TEXT || (d->verdict == PL_REASON_EVALUATION && by_text));
	}
}

static bool dropped_before(const struct pl_npy *filter, uint64_t row)
{
	const uint8_t *v = verdict_at(filter, row);

	return v != NULL && *v != PL_REASON_KEEP;
}

static void tell_concepts(const struct pl_tables *t, uint64_t row)
{
	const uint8_t *v = verdict_at(&t->concepts, row);

	if (v != NULL && pl_sample_verdict(t, row) == (enum pl_reason)*v)
		printf("  concepts: %s (%s)\n", pl_reason_name(*v), pl_reason_text(*v));
}

static void tell_image(struct why *w, size_t corpus, const struct pl_tables *t, uint64_t row, bool sample_dropped)
{
	const struct pl_image_row *im = pl_image_at(t, row);
	char hex[65], who[48];

	pl_pdq_hex(im->pdq, hex);
	printf("  image %u: %s, %ux%u %s, %llu bytes, hash %s quality %u\n", im->position, pl_reason_name(im->status), im->width, im->height,
	    pl_format_name((enum pl_format)im->format), (unsigned long long)im->length, hex, im->pdq_quality);
	snprintf(who, sizeof(who), "image %u: ", im->position);
	tell_filter(&w->corpora[corpus], who, &t->filter_images, row);
	tell_dedup(w, corpus, who, &t->dedup_images, row, true, false, sample_dropped || im->status != PL_REASON_KEEP || dropped_before(&t->filter_images, row));
}

static void tell_sample(struct why *w, size_t corpus, size_t shard, const struct pl_tables *t, uint64_t row)
{
	const struct pl_sample_row *s = pl_sample(t, row);
	const struct pl_corpus *c = &w->corpora[corpus];
	enum pl_reason verdict = pl_sample_verdict(t, row);

	w->shard = shard;
	printf("%s: '%s' in %s, row %llu: %s\n", c->source.name, w->key, c->shards[shard].path, (unsigned long long)row,
	    verdict == PL_REASON_KEEP ? "kept" : pl_reason_name(verdict));
	printf("  ingest: %s (%s); %s, %u images (%u usable), %u bytes of text\n", pl_reason_name(s->status), pl_reason_text(s->status),
	    s->kind < PL_KIND_COUNT ? pl_kind_names[s->kind] : "unknown kind", s->images, s->images_ok, s->text_bytes);
	tell_filter(c, "", &t->filter, row);
	tell_dedup(w, corpus, "", &t->dedup, row, false, s->kind == PL_KIND_TEXT || s->kind == PL_KIND_INTERLEAVED, s->status != PL_REASON_KEEP || dropped_before(&t->filter, row));
	tell_concepts(t, row);
	for (uint64_t i = 0; i < s->images && s->first_image + i < t->images.nrows; i++)
		tell_image(w, corpus, t, s->first_image + i, s->status != PL_REASON_KEEP || dropped_before(&t->filter, row));
	w->found++;
}

static enum pl_status search(struct why *w, struct pl_err *err)
{
	for (size_t c = 0; c < w->n; c++)
		for (size_t i = 0; i < w->corpora[c].nshards; i++) {
			struct pl_tables t = { 0 };
			enum pl_status st = pl_tables_open(&t, &w->corpora[c], i, err);
			if (st != PL_OK)
				return st;
			for (uint64_t row = 0; row < t.samples.nrows; row++)
				if (pl_sample(&t, row)->key == w->hash)
					tell_sample(w, c, i, &t, row);
			pl_tables_close(&t);
		}
	if (w->found == 0)
		return pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_JOB, NULL, "no sample of these corpora has the key '%s'", w->key);
	return ferror(stdout) ? pl_fail_errno(err, PL_SEV_JOB, "standard output", "cannot write") : PL_OK;
}

static enum pl_status run(int argc, char **argv, struct pl_err *err)
{
	struct why w = { 0 };
	enum pl_status st = PL_OK;

	if (argc < 2)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "KEY and CORPUS... are wanted");
	w.key = argv[0];
	w.hash = pl_hash64(argv[0], strlen(argv[0]));
	w.corpora = calloc((size_t)argc, sizeof(*w.corpora));
	w.list = calloc((size_t)argc, sizeof(struct pl_corpus *));
	if (w.corpora == NULL || w.list == NULL)
		st = pl_fail_nomem(err);
	while (st == PL_OK && w.n < (size_t)argc - 1) {
		w.list[w.n] = &w.corpora[w.n];
		st = pl_corpus_open(&w.corpora[w.n], argv[w.n + 1], err);
		w.n += st == PL_OK;
	}
	if (st == PL_OK)
		st = pl_fetch_new(&w.fetch, w.list, w.n, 0, err);
	if (st == PL_OK)
		st = search(&w, err);
	pl_fetch_free(w.fetch);
	for (size_t i = 0; i < w.n; i++)
		pl_corpus_close(&w.corpora[i]);
	free(w.list);
	free(w.corpora);
	return st;
}

int main(int argc, char **argv)
{
	return serial_main(&tool, argc, argv, run);
}
