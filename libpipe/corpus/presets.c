/* SPDX-License-Identifier: Apache-2.0 */
/* The table of published filters. A threshold is the publication's; the name of
 * a score's column is that of the data set it was published with, then the
 * customary ones. */
#include "presets.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "libpipe/base/opt.h"
#include "libpipe/base/sql.h"

/* Short texts have no language that can be told: then their script decides. */
#define IS_ENGLISH "ifnull(language, 'en') = 'en' and ifnull(script, 'Latn') = 'Latn'"
#define ENGLISH {"english", false, IS_ENGLISH, "language", "language, told at ingest"}
#define NSFW_COLUMNS "punsafe nsfw nsfw_score nsfw_score_opennsfw2 nsfw_score_gantman"
#define NSFW(limit) {"nsfw", false, "$ <= " limit, NSFW_COLUMNS, "NSFW score"}

static const struct pl_rule datacomp_basic[] = {
	{"words", false, "text_words > 2", NULL, NULL},
	{"chars", false, "text_chars > 5", NULL, NULL},
	{"min_side", false, "min(width, height) >= 200", NULL, NULL},
	{"aspect", false, "aspect <= 3", NULL, NULL},
	ENGLISH,
};

static const struct pl_rule laion[] = {
	{"chars", false, "text_chars >= 5", NULL, NULL},
	{"bytes", false, "bytes >= 5000", NULL, NULL},
	{"clip", false, "$ >= case when " IS_ENGLISH " then 0.28 else 0.26 end",
	    "similarity clip_similarity clip_similarity_vitb32 clip_b32_similarity_score", "CLIP similarity (ViT-B/32)"},
};

static const struct pl_rule coyo[] = {
	{"words", false, "text_words between 3 and 256", NULL, NULL},
	{"chars", false, "text_chars > 5 and text_chars <= 1000", NULL, NULL},
	{"bytes", false, "bytes >= 5000", NULL, NULL},
	{"min_side", false, "min(width, height) >= 200", NULL, NULL},
	{"aspect", false, "aspect <= 3", NULL, NULL},
	ENGLISH,
	{"nsfw", false, "$ <= 0.5", "nsfw_score_opennsfw2 nsfw_score_gantman punsafe nsfw nsfw_score", "NSFW score"},
};

static const struct pl_rule align[] = {
	{"words", false, "text_words between 3 and 20", NULL, NULL},
	{"min_side", false, "min(width, height) > 200", NULL, NULL},
	{"aspect", false, "aspect < 3", NULL, NULL},
	ENGLISH,
};

static const struct pl_rule mmc4[] = {
	{"min_side", true, "min(width, height) >= 150", NULL, NULL},
	{"aspect", true, "aspect <= 2", NULL, NULL},
	{"clip", true, "$ >= 0.15", "similarity", "CLIP similarity (ViT-L/14) of each image"},
	ENGLISH,
	NSFW("0.1"),
};

static const struct pl_rule obelics[] = {
	{"side", true, "min(width, height) >= 150 and max(width, height) <= 20000", NULL, NULL},
	{"aspect", true, "aspect <= 2", NULL, NULL},
	{"images", false, "images_kept between 1 and 30", NULL, NULL},
	{"words", false, "text_words between 10 and 2000", NULL, NULL},
	{"char_repetition", false, "char_repetition <= 0.1", NULL, NULL},
	{"word_repetition", false, "word_repetition <= 0.2", NULL, NULL},
	{"special", false, "special_ratio <= 0.275", NULL, NULL},
	{"punctuation", false, "punctuation_ratio >= 0.03", NULL, NULL},
	ENGLISH,
	{"hentai", false, "$ <= 0.9", "hentai", "score of hentai"},
	{"porn", false, "$ <= 0.85", "porn", "score of pornography"},
	{"perplexity", false, "$ <= 1500", "perplexity perplexity_score", "perplexity of the text"},
};

static const struct pl_rule omnicorpus[] = {
	{"min_side", true, "min(width, height) >= 150", NULL, NULL},
	{"aspect", true, "aspect <= 2", NULL, NULL},
	NSFW("0.8"),
	{"aesthetic", false, "$ >= 3.7", "aesthetic aesthetic_score aesthetic_score_laion_v2", "aesthetic score"},
};

static const struct pl_rule m3w[] = {
	{"min_side", true, "min(width, height) >= 64", NULL, NULL},
	{"aspect", true, "aspect <= 3", NULL, NULL},
	ENGLISH,
};

const char *const pl_score_missing_names[] = {"error", "skip", NULL};

#define RULES(list) list, PL_ARRAY_LEN(list)
const struct pl_preset pl_presets[] = {
	{"datacomp-basic", "DataComp, basic filtering (baselines/apply_filter.py); pairs", RULES(datacomp_basic),
	    "fastText: languages are libexttextcat's here; the CLIP baselines (ViT-L/14 top 30 %, ViT-B/32 >= 0.28) are filters of their own"},
	{"laion", "LAION-5B; pairs", RULES(laion), "NSFW is tagged there, not dropped; multilingual CLIP for other languages"},
	{"coyo", "COYO-700M; pairs", RULES(coyo),
	    "a noun in the text (needs a tagger); watermark and aesthetic scores are given there, not dropped by; texts of more than 10 "
	    "images are dedup's: max_captions: 10"},
	{"align", "ALIGN (Jia et al. 2021); pairs", RULES(align),
	    "pornographic pictures (no threshold is published) and rare words; frequent texts and images are dedup's: max_captions: 10, "
	    "max_texts_per_image: 1000"},
	{"mmc4", "MMC4 (Zhu et al. 2023); interleaved", RULES(mmc4),
	    "words in the images' URLs (the tables have none), faces; NSFW is asked once a document; langdetect's 0.99: languages are "
	    "libexttextcat's here"},
	{"obelics", "OBELICS (Laurencon et al. 2023), documents; interleaved", RULES(obelics),
	    "rules for paragraphs (documents are dropped, not paragraphs); stopwords >= 0.35, flagged words <= 0.01, common words >= 0.9 "
	    "(no lists of words); NSFW is asked once a document; fastText's 0.8: languages are libexttextcat's here"},
	{"omnicorpus", "OmniCorpus (Li et al. 2024); interleaved", RULES(omnicorpus), "NSFW and aesthetics are asked once a document"},
	{"m3w", "M3W of Flamingo (Alayrac et al. 2022); interleaved", RULES(m3w),
	    "SafeSearch; at most 5 images of a page: output.max_images: 5"},
};
const size_t pl_npresets = PL_ARRAY_LEN(pl_presets);

enum pl_status pl_preset_find(const char *name, const struct pl_preset **preset, struct pl_err *err)
{
	const char *names[PL_ARRAY_LEN(pl_presets) + 1] = {0}, *near;
	char list[300] = "";
	size_t at = 0;

	for (size_t i = 0; i < pl_npresets; i++) {
		size_t n = strlen(pl_presets[i].name);
		if (strcmp(pl_presets[i].name, name) == 0) {
			*preset = &pl_presets[i];
			return PL_OK;
		}
		names[i] = pl_presets[i].name;
		if (at + n + 3 < sizeof(list)) {
			memcpy(list + at, i > 0 ? ", " : "", i > 0 ? 2 : 0);
			at += i > 0 ? 2 : 0;
			memcpy(list + at, pl_presets[i].name, n + 1);
			at += n;
		}
	}
	near = pl_did_you_mean(name, names);
	return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "there is no filter preset '%.60s'%s%s%s; presets: %s", name,
	    near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "", list);
}

enum pl_status pl_presets_text(struct pl_buf *out, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < pl_npresets && st == PL_OK; i++) {
		const struct pl_preset *p = &pl_presets[i];
		st = pl_buf_addf(out, err, "%s%s: %s\n", i > 0 ? "\n" : "", p->name, p->of);
		for (size_t k = 0; k < p->nrules && st == PL_OK; k++) {
			const struct pl_rule *r = &p->rules[k];
			st = pl_buf_addf(out, err, "  %-16s %-7s %s%s%s%s\n", r->name, r->image ? "images" : "samples", r->where,
			    r->scores != NULL ? "   [needs: " : "", r->scores != NULL ? r->what : "", r->scores != NULL ? "]" : "");
			if (st == PL_OK && r->scores != NULL && strchr(r->where, '$') != NULL)
				st = pl_buf_addf(out, err, "  %-24s $: the first there is of %s\n", "", r->scores);
		}
		if (st == PL_OK)
			st = pl_buf_addf(out, err, "  not applied: %s\n", p->not_applied);
	}
	return st;
}

/* Is name[len) a column that says something? */
static bool known_column(const char *name, size_t len, const struct pl_corpus *c, const struct pl_sql_source *src, bool similarity)
{
	for (size_t i = 0; i < src->ncols; i++) {
		const char *col = src->cols[i].name;
		if (strlen(col) != len || strncasecmp(col, name, len) != 0)
			continue;
		if (strcasecmp(col, "language") == 0)
			return c->source.language != NULL;
		return strcasecmp(col, "similarity") != 0 || similarity || pl_corpus_has_score(c, col);
	}
	return false;
}

/* where with each '$' replaced by "column". */
static enum pl_status put_column(const char *where, const char *column, size_t len, char **out, struct pl_err *err)
{
	struct pl_buf b;
	enum pl_status st = PL_OK;

	pl_buf_init(&b, 0);
	for (const char *p = where; *p != '\0' && st == PL_OK; p++)
		st = *p == '$' ? pl_buf_addf(&b, err, "\"%.*s\"", (int)len, column) : pl_buf_add(&b, p, 1, err);
	if (st == PL_OK)
		*out = pl_buf_detach(&b, NULL);
	else
		pl_buf_release(&b);
	return st;
}

enum pl_status pl_rule_where(const struct pl_rule *rule, const struct pl_corpus *c, const struct pl_sql_source *src, bool similarity,
    char **where, struct pl_err *err)
{
	*where = NULL;
	if (rule->scores == NULL)
		return put_column(rule->where, "", 0, where, err);
	for (const char *name = rule->scores; *name != '\0';) {
		size_t len = strcspn(name, " ");
		if (known_column(name, len, c, src, similarity))
			return put_column(rule->where, name, len, where, err);
		name += len + strspn(name + len, " ");
	}
	return PL_OK;
}
