/* SPDX-License-Identifier: Apache-2.0 */
/* plait-filter: SQL conditions over the tables -> verdicts. */
#include "libpipe/corpus/presets.h"
#include "steps.h"

#include <stdio.h>

static struct pl_common common = { .max_reject = -1 };
static const char *where, *image_where;
static struct pl_strlist presets;
static int missing;
static bool list_presets;

static struct pl_strlist scores, score_columns;
static const char *score_key;

static const struct pl_opt options[] = {
	{ 'w', "where", PL_OPT_STR, &where, "SQL", "keep samples for which this condition holds", 0, 0, NULL },
	{ 'i', "image-where", PL_OPT_STR, &image_where, "SQL", "keep images for which this condition holds; documents go on without the others", 0, 0, NULL },
	{ 'p', "preset", PL_OPT_LIST, &presets, "NAME", "a published filter, whose rules come before -i and -w (may repeat)", 0, 0, NULL },
	{ 0, "missing", PL_OPT_CHOICE, &missing, "WHAT", "a preset's rule whose score the corpus lacks is an error, or is skipped with a warning", 0, 0, pl_score_missing_names },
	{ 0, "list-presets", PL_OPT_FLAG, &list_presets, NULL, "print the presets and their rules, and do nothing", 0, 0, NULL },
	{ 0, "scores", PL_OPT_LIST, &scores, "FILE", "join this file of scores by key: .csv, .tsv, .jsonl (also .gz, .zst, .xz, .bz2) or .npy; a glob (may repeat)", 0, 0, NULL },
	{ 0, "score-column", PL_OPT_LIST, &score_columns, "NAME", "a column of the files of scores to keep (may repeat)", 0, 0, NULL },
	{ 0, "score-key", PL_OPT_STR, &score_key, "NAME", "the column of the files of scores with the sample's key; default: key", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-filter",
	.summary = "keep the samples of corpora for which SQL conditions hold",
	.synopsis = "CORPUS... [-p NAME] [-w SQL]",
	.description =
	    "Evaluates rules on every row of the tables and writes the verdicts beside them; nothing is deleted. The first rule that does "
	    "not hold drops the row, and the counts of each are told and reported. Rules are those of the presets in their order, then -i and -w. "
	    "Columns of samples: key status kind text_bytes text_words text_tokens text_chars urls char_repetition word_repetition special_ratio "
	    "digit_ratio alnum_ratio punctuation_ratio script language language_margin images images_ok images_kept segments, the metadata columns named at "
	    "ingest, the columns of score files, and of the sample's first usable image width height aspect format bytes pdq_quality bits_per_pixel. Columns of images: the "
	    "same of each image, and position similarity. A condition that is NULL does not hold. Without -p, -w and -i earlier "
	    "verdicts are taken away.",
	.examples = "plait filter corpora/cc3m -w 'width >= 200 and height >= 200 and text_words between 3 and 256'\n"
	            "plait filter corpora/laion -p laion -w 'punsafe < 0.2'\n"
	            "plait filter corpora/mmc4 -i 'aspect <= 2 and similarity >= 0.24'",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB,
};

static enum pl_status print_presets(struct tool *t, struct pl_err *err)
{
	struct pl_buf text;
	enum pl_status st = PL_OK;

	pl_buf_init(&text, 0);
	if (tool_is_root(t) && (st = pl_presets_text(&text, err)) == PL_OK && fwrite(text.data, 1, text.len, stdout) != text.len)
		st = pl_fail_errno(err, PL_SEV_JOB, "standard output", "cannot write");
	pl_buf_release(&text);
	return st;
}

static enum pl_status run(struct tool *t, int argc, char **argv, struct pl_err *err)
{
	struct pl_names corpora;
	struct filter_step step = { 0 };
	enum pl_status st;

	pl_names_init(&corpora);
	if ((st = tool_open_job(t, err)) != PL_OK)
		goto done;
	if (list_presets) {
		st = print_presets(t, err);
		goto done;
	}
	if ((st = tool_names(t, argc, argv, &corpora, err)) != PL_OK)
		goto done;
	step.corpora = (const char *const *)corpora.items;
	step.n = corpora.len;
	step.where = where;
	step.image_where = image_where;
	step.presets = presets.items;
	step.npresets = presets.len;
	step.skip_missing = missing == PL_SCORE_MISSING_SKIP;
	for (size_t i = 0; i < corpora.len && (scores.len > 0 || score_columns.len > 0); i++)
		if ((st = steps_join_scores(t, corpora.items[i], &scores, &score_columns, score_key, err)) != PL_OK)
			goto done;
	st = step_filter(t, &step, err);
done:
	pl_names_release(&corpora);
	return st;
}

int main(int argc, char **argv)
{
	int code = tool_main(&tool, argc, argv, run);

	pl_strlist_release(&presets);
	pl_strlist_release(&scores);
	pl_strlist_release(&score_columns);
	return code;
}
