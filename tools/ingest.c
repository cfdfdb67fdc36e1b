/* SPDX-License-Identifier: Apache-2.0 */
/* plait-ingest: shards -> the tables of a corpus. */
#include "steps.h"

#include <unistd.h>

static struct pl_common common = { .max_reject = -1 };
static const char *out, *name, *images, *caption, *text, *answers, *model;
static int kind, hash, captions, tokens_by = -1;
static int64_t shots = PL_SHOTS_DEFAULT;
static bool keep_going, image_after_text;
static struct pl_strlist columns;
static uint64_t max_bytes, max_pixels, max_memory;
static int64_t timeout;
static double max_missing = -1;

static struct pl_strlist scores, score_columns;
static const char *score_key, *id_field;

static const struct pl_opt options[] = {
	{ 'o', "output", PL_OPT_STR, &out, "CORPUS", "directory of the corpus to make or complete (required)", 0, 0, NULL },
	{ 'n', "name", PL_OPT_STR, &name, "NAME", "name of the source; default: the last part of CORPUS", 0, 0, NULL },
	{ 'k', "kind", PL_OPT_CHOICE, &kind, "KIND", "what the samples are; auto looks at each shard's first sample", 0, 0, pl_kind_names },
	{ 'i', "images", PL_OPT_STR, &images, "TARS|DIR", "where the images that documents name lie: a pattern of tars, or a folder", 0, 0, NULL },
	{ 0, "hash", PL_OPT_CHOICE, &hash, "RECIPE", "perceptual hash", 0, 0, pl_hash_recipe_names },
	{ 0, "caption", PL_OPT_STR, &caption, "FIELD", "pairs: take the caption from this JSON field", 0, 0, NULL },
	{ 0, "text", PL_OPT_STR, &text, "FIELD", "text: take the text from this JSON field", 0, 0, NULL },
	{ 0, "answers", PL_OPT_STR, &answers, "FILE", "chat: file of VQA annotations that answer the questions of the shards", 0, 0, NULL },
	{ 0, "captions-per-image", PL_OPT_CHOICE, &captions, "WHICH", "COCO captions: a pair for each; for each image with the first; or with one to be drawn", 0, 0, pl_captions_names },
	{ 0, "shots", PL_OPT_INT, &shots, "N", "in-context: most examples before an instruction; default: 4", 0, PL_SHOTS_MAX, NULL },
	{ 0, "image-after-text", PL_OPT_FLAG, &image_after_text, NULL, "interleaved: put an image behind its sentence", 0, 0, NULL },
	{ 'c', "column", PL_OPT_LIST, &columns, "FIELD", "keep this number of the sample's JSON as a column (may repeat)", 0, 0, NULL },
	{ 0, "tokens-by", PL_OPT_CHOICE, &tokens_by, "HOW", "how tokens of texts are counted; default: bytes, an estimate; with --tokenizer sentencepiece", 0, 0, pl_tokens_by_names },
	{ 0, "tokenizer", PL_OPT_STR, &model, "MODEL", "count tokens as this SentencePiece model does", 0, 0, NULL },
	{ 0, "keep-going", PL_OPT_FLAG, &keep_going, NULL, "leave out shards that cannot be read, instead of failing at the end", 0, 0, NULL },
	{ 0, "max-bytes", PL_OPT_SIZE, &max_bytes, "SIZE", "largest encoded image", 1, 1e10, NULL },
	{ 0, "max-pixels", PL_OPT_SIZE, &max_pixels, "N", "most pixels of an image", 1, 1e10, NULL },
	{ 0, "max-memory", PL_OPT_SIZE, &max_memory, "SIZE", "memory of one codec worker", 16777216, 1e12, NULL },
	{ 0, "max-missing", PL_OPT_REAL, &max_missing, "SHARE", "keep cut off JPEGs that lack at most this share; default: 5%", 0, 1, NULL },
	{ 0, "timeout", PL_OPT_INT, &timeout, "MS", "longest time for one image", 1, 3600000, NULL },
	{ 0, "id", PL_OPT_STR, &id_field, "FIELD", "files of scores know a sample by this JSON field, such as uid or url, not by its key", 0, 0, NULL },
	{ 0, "scores", PL_OPT_LIST, &scores, "FILE", "join this file of scores by key: .csv, .tsv, .jsonl (also .gz, .zst, .xz, .bz2) or .npy; a glob (may repeat)", 0, 0, NULL },
	{ 0, "score-column", PL_OPT_LIST, &score_columns, "NAME", "a column of the files of scores to keep (may repeat)", 0, 0, NULL },
	{ 0, "score-key", PL_OPT_STR, &score_key, "NAME", "the column of the files of scores with the sample's key; default: key", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-ingest",
	.summary = "read shards into the tables of a corpus",
	.synopsis = "-o CORPUS [SHARD...]",
	.description =
	    "Reads tar shards (plain, gzip, zstd, xz, bzip2) or files of JSON records, understands their samples, probes and hashes "
	    "every image in sandboxed workers, and writes one table of samples and one of images per shard. Every broken sample gets "
	    "a row with the reason. Without SHARD, names are read from standard input, one a line, as they come.\n\n"
	    "Running the same command again completes what is missing.",
	.examples = "plait ingest 'cc3m/{00000..00331}.tar' -o corpora/cc3m\n"
	            "mpirun -n 8 plait-ingest docs/*.jsonl --images 'images/*.tar' --kind interleaved -o corpora/mmc4\n"
	            "ls cc3m/*.tar | plait ingest -o corpora/cc3m",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB | PL_COMMON_POOL,
};

static struct pl_source source_of_options(const char *stem)
{
	struct pl_source s = { 0 };

	s.name = name != NULL ? name : stem;
	s.read.kind = (enum pl_kind)kind;
	s.read.caption_field = caption;
	s.read.text_field = text;
	s.read.image_after_text = image_after_text;
	s.read.captions_per_image = captions;
	s.read.shots = shots == PL_SHOTS_DEFAULT ? 0 : shots == 0 ? PL_SHOTS_NONE : (uint32_t)shots;
	s.answers = answers;
	s.images = images;
	s.columns = columns.items;
	s.ncolumns = columns.len;
	s.id_field = id_field;
	s.hash = (enum pl_hash_recipe)hash;
	s.tokens.by = tokens_by >= 0 ? (enum pl_tokens_by)tokens_by : model != NULL ? PL_TOKENS_SENTENCEPIECE : PL_TOKENS_BYTES;
	s.tokens.model = model;
	s.limits = pl_img_limits_default();
	s.limits.max_bytes = max_bytes != 0 ? max_bytes : s.limits.max_bytes;
	s.limits.max_pixels = max_pixels != 0 ? max_pixels : s.limits.max_pixels;
	s.limits.max_memory = max_memory != 0 ? max_memory : s.limits.max_memory;
	s.limits.max_missing = max_missing >= 0 ? max_missing : s.limits.max_missing;
	s.limits.timeout_ms = timeout != 0 ? (uint32_t)timeout : s.limits.timeout_ms;
	return s;
}

static enum pl_status run(struct tool *t, int argc, char **argv, struct pl_err *err)
{
	struct pl_names shards;
	struct ingest_step step = { 0 };
	char *stem = NULL;
	enum pl_status st;

	pl_names_init(&shards);
	if (out == NULL)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "-o CORPUS is missing: the directory of the corpus to make");
	if ((stem = steps_base_name(out)) == NULL)
		return pl_fail_nomem(err);
	step.source = source_of_options(stem);
	step.dir = out;
	step.keep_going = keep_going;
	if ((st = tool_open_pool(t, &step.source.limits, err)) != PL_OK)
		goto done;
	if ((st = tool_open_job(t, err)) != PL_OK)
		goto done;
	if (argc == 0 && isatty(STDIN_FILENO)) {
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no SHARD is given: name them, or give names on standard input, one a line");
		goto done;
	}
	if (argc > 0) {
		if ((st = tool_names(t, argc, argv, &shards, err)) != PL_OK)
			goto done;
		step.shards = &shards;
	}
	if ((st = step_ingest(t, &step, err)) == PL_OK && (scores.len > 0 || score_columns.len > 0))
		st = steps_join_scores(t, out, &scores, &score_columns, score_key, err);
done:
	pl_names_release(&shards);
	free(stem);
	return st;
}

int main(int argc, char **argv)
{
	int code = tool_main(&tool, argc, argv, run);

	pl_strlist_release(&columns);
	pl_strlist_release(&scores);
	pl_strlist_release(&score_columns);
	return code;
}
