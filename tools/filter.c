/* SPDX-License-Identifier: Apache-2.0 */
/* plait-filter: SQL conditions over the tables -> verdicts. */
#include "steps.h"

static struct pl_common common = { .max_reject = -1 };
static const char *where, *image_where;

static const struct pl_opt options[] = {
	{ 'w', "where", PL_OPT_STR, &where, "SQL", "keep samples for which this condition holds", 0, 0, NULL },
	{ 'i', "image-where", PL_OPT_STR, &image_where, "SQL", "keep images for which this condition holds; documents go on without the others", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-filter",
	.summary = "keep the samples of corpora for which an SQL condition holds",
	.synopsis = "CORPUS... -w SQL",
	.description =
	    "Evaluates a condition on every row of the tables and writes the verdicts beside them; nothing is deleted. Columns of "
	    "samples: key status kind text_bytes text_words text_tokens images images_ok segments, the metadata columns named at "
	    "ingest, and of the sample's first usable image width height aspect format bytes pdq_quality bits_per_pixel. Columns of images: the "
	    "same of each image, and position similarity. A condition that is NULL does not hold. Without -w and -i earlier verdicts "
	    "are taken away.",
	.examples = "plait filter corpora/cc3m -w 'width >= 200 and height >= 200 and text_words between 3 and 256'\n"
	            "plait filter corpora/mmc4 -i 'aspect <= 2 and similarity >= 0.24'",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB,
};

static enum pl_status run(struct tool *t, int argc, char **argv, struct pl_err *err)
{
	struct pl_names corpora;
	struct filter_step step = { 0 };
	enum pl_status st;

	pl_names_init(&corpora);
	if ((st = tool_open_job(t, err)) != PL_OK)
		goto done;
	if ((st = tool_names(t, argc, argv, &corpora, err)) != PL_OK)
		goto done;
	step.corpora = (const char *const *)corpora.items;
	step.n = corpora.len;
	step.where = where;
	step.image_where = image_where;
	st = step_filter(t, &step, err);
done:
	pl_names_release(&corpora);
	return st;
}

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv, run);
}
