/* SPDX-License-Identifier: Apache-2.0 */
/* Every rule of every preset by rows just inside and just outside its
 * threshold; and what a preset does where a score is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "libpipe/base/file.h"
#include "libpipe/base/sql.h"
#include "libpipe/corpus/presets.h"
#include "table_corpus.h"

#define SCORES "\"nsfw\",\"hentai\",\"porn\",\"perplexity\",\"aesthetic\",\"similarity\""
enum { NSFW, HENTAI, PORN, PERPLEXITY, AESTHETIC, CLIP, NSCORES };

/* A row that every rule lets pass, but for what a case changes. */
struct row {
	uint32_t words, chars, width, height;
	uint64_t bytes;
	double char_repetition, word_repetition, special, punctuation;
	const char *language, *script;
	double image_clip;
	uint32_t images;
	double score[NSCORES];
};

static struct row good(void)
{
	return (struct row){.words = 12, .chars = 60, .width = 400, .height = 300, .bytes = 20000, .char_repetition = 0.01, .word_repetition = 0.01,
	    .special = 0.2, .punctuation = 0.1, .language = "en", .script = "Latn", .image_clip = 0.3, .images = 1,
	    .score = {0.01, 0.01, 0.01, 100, 6, 0.35}};
}

static void put(struct tc_shard *s, double *scores, const struct row *r)
{
	struct pl_sample_row *p = tc_sample(s, PL_KIND_PAIRS, "k", 1 + s->nsamples);

	p->text_words = r->words;
	p->text_chars = r->chars;
	p->char_repetition = (float)r->char_repetition;
	p->word_repetition = (float)r->word_repetition;
	p->special_ratio = (float)r->special;
	p->punctuation_ratio = (float)r->punctuation;
	memcpy(p->script, r->script, strnlen(r->script, 4));
	memcpy(p->language, r->language, strnlen(r->language, 4));
	for (uint32_t i = 0; i < r->images; i++) {
		struct pl_image_row *im = tc_image(s, 1, 1, r->width);
		im->height = r->height;
		im->length = r->bytes;
		im->similarity = (float)r->image_clip;
	}
	memcpy(scores + (s->nsamples - 1) * NSCORES, r->score, sizeof(r->score));
}

/* A corpus of these rows, with scores; does the rule hold for the one in the middle? */
struct fixture {
	char *dir;
	struct tc_shard *shard;
	struct pl_corpus corpus;
	struct pl_tables tables;
	struct pl_sql *db;
	struct pl_sql_source samples, images;
	double scores[64 * NSCORES];
};

static void open_rows(struct fixture *f, const struct row *rows, size_t n)
{
	static const char note[] = "{\"columns\":[" SCORES "]}";
	static const char *const names[] = {"nsfw", "hentai", "porn", "perplexity", "aesthetic", "similarity"};
	struct pl_npy_col cols[NSCORES];
	char path[1024];

	memset(f, 0, sizeof(*f));
	f->dir = tc_tempdir();
	f->shard = tc_new("u");
	for (size_t i = 0; i < n; i++)
		put(f->shard, f->scores, &rows[i]);
	for (uint32_t i = 0; i < NSCORES; i++)
		cols[i] = (struct pl_npy_col){names[i], PL_NPY_F64, 1, i * 8};
	snprintf(path, sizeof(path), "%s/scores.json", f->dir);
	assert_int_equal(pl_file_write(path, note, sizeof(note) - 1, NULL), PL_OK);
	tc_table(f->dir, "u", "scores", cols, NSCORES, NSCORES * 8, f->scores, n);
	tc_write(&f->corpus, f->dir, "c", &f->shard, 1);
	assert_int_equal(f->corpus.nscores, NSCORES);
	assert_int_equal(pl_tables_open(&f->tables, &f->corpus, 0, NULL), PL_OK);
	assert_int_equal(pl_sql_open(&f->db, NULL), PL_OK);
	assert_int_equal(pl_relation_samples(&f->corpus, &f->samples, NULL), PL_OK);
	assert_int_equal(pl_relation_images(&f->corpus, &f->images, NULL), PL_OK);
	assert_int_equal(pl_sql_add(f->db, &f->samples, NULL), PL_OK);
	assert_int_equal(pl_sql_add(f->db, &f->images, NULL), PL_OK);
	pl_relation_bind(&f->samples, &f->tables, 0);
	pl_relation_bind(&f->images, &f->tables, 0);
}

static void close_rows(struct fixture *f)
{
	pl_sql_close(f->db);
	pl_relation_release(&f->samples);
	pl_relation_release(&f->images);
	pl_tables_close(&f->tables);
	pl_corpus_close(&f->corpus);
	tc_remove(f->dir);
	free(f->shard);
}

/* The first rule of the preset that does not hold for sample 0 and its images; NULL = all do. */
static const char *dropped_by(const struct pl_preset *p, const struct row *r)
{
	const char *by = NULL;
	struct fixture f;

	open_rows(&f, r, 1);
	for (size_t i = 0; i < p->nrules && by == NULL; i++) {
		const struct pl_rule *rule = &p->rules[i];
		uint8_t keep[64] = {0};
		struct pl_err err = {0};
		char *where;
		assert_int_equal(pl_rule_where(rule, &f.corpus, rule->image ? &f.images : &f.samples, true, &where, &err), PL_OK);
		assert_non_null(where);
		if (pl_sql_where(f.db, rule->image ? &f.images : &f.samples, where, keep, &err) != PL_OK)
			fail_msg("%s/%s: %s", p->name, rule->name, err.text);
		if (!keep[0])
			by = rule->name;
		free(where);
	}
	close_rows(&f);
	return by;
}

enum field { WORDS, CHARS, SIDE, ASPECT, BYTES, CHAR_AGAIN, WORD_AGAIN, SPECIAL, PUNCTUATION, LANGUAGE, SCRIPT, IMAGE_CLIP, IMAGES, SCORE };

static const char *const codes[] = {"en", "", "de", "Latn", "Cyrl"};
enum { EN, NOTHING, DE, LATN, CYRL };

static struct row changed(enum field what, double x)
{
	struct row r = good();

	switch (what) {
	case WORDS: r.words = (uint32_t)x; break;
	case CHARS: r.chars = (uint32_t)x; break;
	case SIDE: r.width = r.height = (uint32_t)x; break;
	case ASPECT: r.width = (uint32_t)(1000 * x); r.height = 1000; break;
	case BYTES: r.bytes = (uint64_t)x; break;
	case CHAR_AGAIN: r.char_repetition = x; break;
	case WORD_AGAIN: r.word_repetition = x; break;
	case SPECIAL: r.special = x; break;
	case PUNCTUATION: r.punctuation = x; break;
	case LANGUAGE: r.language = codes[(int)x]; break;
	case SCRIPT: r.script = codes[(int)x]; r.language = ""; break;
	case IMAGE_CLIP: r.image_clip = x; break;
	case IMAGES: r.images = (uint32_t)x; break;
	case SCORE:
	default: r.score[what - SCORE] = x; break;
	}
	return r;
}

#define ENGLISH(p) \
	{p, "english", LANGUAGE, EN, DE}, {p, "english", LANGUAGE, NOTHING, DE}, {p, "english", SCRIPT, LATN, CYRL}, \
	{p, "english", SCRIPT, NOTHING, CYRL}

/* One value that passes and one that the rule drops, beside each threshold. */
static const struct { const char *preset, *rule; int what; double inside, outside; } cases[] = {
	{"datacomp-basic", "words", WORDS, 3, 2}, {"datacomp-basic", "chars", CHARS, 6, 5}, {"datacomp-basic", "min_side", SIDE, 200, 199},
	{"datacomp-basic", "aspect", ASPECT, 3, 3.001}, ENGLISH("datacomp-basic"),
	{"laion", "chars", CHARS, 5, 4}, {"laion", "bytes", BYTES, 5000, 4999}, {"laion", "clip", SCORE + CLIP, 0.28, 0.2799},
	{"coyo", "words", WORDS, 3, 2}, {"coyo", "words", WORDS, 256, 257}, {"coyo", "chars", CHARS, 6, 5}, {"coyo", "chars", CHARS, 1000, 1001},
	{"coyo", "bytes", BYTES, 5000, 4999}, {"coyo", "min_side", SIDE, 200, 199}, {"coyo", "aspect", ASPECT, 3, 3.001}, ENGLISH("coyo"),
	{"coyo", "nsfw", SCORE + NSFW, 0.5, 0.5001},
	{"align", "words", WORDS, 3, 2}, {"align", "words", WORDS, 20, 21}, {"align", "min_side", SIDE, 201, 200},
	{"align", "aspect", ASPECT, 2.999, 3}, ENGLISH("align"),
	{"mmc4", "min_side", SIDE, 150, 149}, {"mmc4", "aspect", ASPECT, 2, 2.001}, {"mmc4", "clip", IMAGE_CLIP, 0.15, 0.1499}, ENGLISH("mmc4"),
	{"mmc4", "nsfw", SCORE + NSFW, 0.1, 0.1001},
	{"obelics", "side", SIDE, 150, 149}, {"obelics", "side", SIDE, 20000, 20001}, {"obelics", "aspect", ASPECT, 2, 2.001},
	{"obelics", "images", IMAGES, 30, 31}, {"obelics", "words", WORDS, 10, 9}, {"obelics", "words", WORDS, 2000, 2001},
	{"obelics", "char_repetition", CHAR_AGAIN, 0.1, 0.1001}, {"obelics", "word_repetition", WORD_AGAIN, 0.2, 0.2001},
	{"obelics", "special", SPECIAL, 0.275, 0.2751}, {"obelics", "punctuation", PUNCTUATION, 0.03, 0.0299}, ENGLISH("obelics"),
	{"obelics", "hentai", SCORE + HENTAI, 0.9, 0.9001}, {"obelics", "porn", SCORE + PORN, 0.85, 0.8501},
	{"obelics", "perplexity", SCORE + PERPLEXITY, 1500, 1500.1},
	{"omnicorpus", "min_side", SIDE, 150, 149}, {"omnicorpus", "aspect", ASPECT, 2, 2.001}, {"omnicorpus", "nsfw", SCORE + NSFW, 0.8, 0.8001},
	{"omnicorpus", "aesthetic", SCORE + AESTHETIC, 3.7, 3.6999},
	{"m3w", "min_side", SIDE, 64, 63}, {"m3w", "aspect", ASPECT, 3, 3.001}, ENGLISH("m3w"),
};

static void test_thresholds(void **state)
{
	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		const struct pl_preset *p;
		struct row in = changed((enum field)cases[i].what, cases[i].inside), out = changed((enum field)cases[i].what, cases[i].outside);
		const char *by;
		assert_int_equal(pl_preset_find(cases[i].preset, &p, NULL), PL_OK);
		by = dropped_by(p, &in);
		if (by != NULL)
			fail_msg("%s drops %g of case %zu by %s", p->name, cases[i].inside, i, by);
		by = dropped_by(p, &out);
		if (by == NULL || strcmp(by, cases[i].rule) != 0)
			fail_msg("%s drops %g of case %zu by %s, not by %s", p->name, cases[i].outside, i, by != NULL ? by : "nothing", cases[i].rule);
	}
}

/* Every rule of every preset has its case above. */
static void test_every_rule_is_tested(void **state)
{
	(void)state;
	for (size_t i = 0; i < pl_npresets; i++)
		for (size_t k = 0; k < pl_presets[i].nrules; k++) {
			bool found = false;
			for (size_t c = 0; c < PL_ARRAY_LEN(cases); c++)
				found = found || (strcmp(cases[c].preset, pl_presets[i].name) == 0 && strcmp(cases[c].rule, pl_presets[i].rules[k].name) == 0);
			if (!found)
				fail_msg("%s/%s has no case", pl_presets[i].name, pl_presets[i].rules[k].name);
		}
}

/* LAION's other threshold, for what is not English. */
static void test_laion_languages(void **state)
{
	const struct pl_preset *p;
	struct row r = good();

	(void)state;
	assert_int_equal(pl_preset_find("laion", &p, NULL), PL_OK);
	r.score[CLIP] = 0.26;
	assert_string_equal(dropped_by(p, &r), "clip");
	r.language = "de";
	assert_null(dropped_by(p, &r));
	r.language = "";
	r.script = "Hani";
	assert_null(dropped_by(p, &r));
	r.score[CLIP] = 0.2599;
	assert_string_equal(dropped_by(p, &r), "clip");
	/* No score is no pass. */
	r.score[CLIP] = (double)NAN;
	assert_string_equal(dropped_by(p, &r), "clip");
}

/* Images that a rule drops are not counted by the rules for samples. */
static void test_images_kept(void **state)
{
	static const char rules[] = "{\"rules\":[{\"preset\":\"mmc4\",\"rule\":\"aspect\"}]}";
	static const struct pl_filter_row verdicts[3] = {{0, 0}, {PL_REASON_FILTERED, 1}, {0, 0}};
	struct row r = good();
	struct fixture f;
	uint8_t keep = 0;
	char path[1024];

	(void)state;
	r.images = 3;
	open_rows(&f, &r, 1);
	snprintf(path, sizeof(path), "%s/filter.json", f.dir);
	assert_int_equal(pl_file_write(path, rules, sizeof(rules) - 1, NULL), PL_OK);
	tc_table(f.dir, "u", "filter-images", pl_filter_cols, pl_filter_ncols, sizeof(verdicts[0]), verdicts, 3);
	pl_tables_close(&f.tables);
	pl_corpus_close(&f.corpus);
	assert_int_equal(pl_corpus_open(&f.corpus, f.dir, NULL), PL_OK);
	assert_int_equal(pl_tables_open(&f.tables, &f.corpus, 0, NULL), PL_OK);
	pl_relation_bind(&f.samples, &f.tables, 0);
	assert_int_equal(pl_sql_where(f.db, &f.samples, "images_kept = 2 and images = 3 and rule is null", &keep, NULL), PL_OK);
	assert_true(keep);
	assert_string_equal(pl_filter_rule(&f.corpus, &f.tables.filter_images, 1), "mmc4/aspect");
	assert_null(pl_filter_rule(&f.corpus, &f.tables.filter_images, 0));
	close_rows(&f);
}

/* Without the score there is no SQL; a language that was not told is none. */
static void test_missing_scores(void **state)
{
	const struct pl_preset *p;
	struct row r = good();
	struct fixture f;
	char *where;

	(void)state;
	open_rows(&f, &r, 1);
	assert_int_equal(pl_preset_find("mmc4", &p, NULL), PL_OK);
	for (size_t i = 0; i < f.samples.ncols; i++)
		if (strcmp(f.samples.cols[i].name, "nsfw") == 0)
			f.samples.ncols = i;
	f.corpus.source.language = NULL;
	for (size_t i = 0; i < p->nrules; i++) {
		const struct pl_rule *rule = &p->rules[i];
		bool score = strcmp(rule->name, "nsfw") == 0 || strcmp(rule->name, "english") == 0 || strcmp(rule->name, "clip") == 0;
		f.corpus.nscores = 0;
		assert_int_equal(pl_rule_where(rule, &f.corpus, rule->image ? &f.images : &f.samples, false, &where, NULL), PL_OK);
		if ((where == NULL) != score)
			fail_msg("rule %s: %s", rule->name, where != NULL ? where : "no SQL");
		free(where);
		f.corpus.nscores = NSCORES;
	}
	close_rows(&f);
}

static void test_names(void **state)
{
	const struct pl_preset *p;
	struct pl_err err = {0};
	struct pl_buf text;

	(void)state;
	assert_int_equal(pl_preset_find("coyoo", &p, &err), PL_ERR_USAGE);
	assert_non_null(strstr(err.text, "did you mean 'coyo'"));
	assert_non_null(strstr(err.text, "datacomp-basic, laion, coyo, align, mmc4, obelics, omnicorpus, m3w"));
	pl_buf_init(&text, 0);
	assert_int_equal(pl_presets_text(&text, NULL), PL_OK);
	for (size_t i = 0; i < pl_npresets; i++)
		assert_non_null(strstr((const char *)text.data, pl_presets[i].not_applied));
	pl_buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thresholds),
		cmocka_unit_test(test_every_rule_is_tested),
		cmocka_unit_test(test_laion_languages),
		cmocka_unit_test(test_images_kept),
		cmocka_unit_test(test_missing_scores),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
