/* SPDX-License-Identifier: Apache-2.0 */
/* plait-dedup: exact and near duplicates within and across corpora. */
#include "libpipe/dedup/dedup.h"
#include "steps.h"

#include <stdlib.h>
#include <string.h>

static struct pl_common common = { .max_reject = -1 };
static int64_t distance = PL_DEDUP_DISTANCE_DEFAULT, min_quality = PL_DEDUP_QUALITY_DEFAULT;
static bool exact_only, no_text, text_near, within_only;
static int64_t text_ngram = PL_TEXT_NGRAM_DEFAULT, text_bands = PL_TEXT_BANDS_DEFAULT, text_rows = PL_TEXT_ROWS_DEFAULT;
static double text_jaccard = PL_TEXT_JACCARD_DEFAULT;
static uint64_t text_max_pairs = PL_TEXT_PAIRS_DEFAULT;
static struct pl_strlist against, known;
static const char *captions = "1";
static int64_t max_documents, max_captions, max_texts_per_image;
static int document, against_hash = -1;
static double document_share = -1;
static bool same_images;
static int cluster, plan;
static double budget;
static uint64_t memory;
static const char *scratch;

static const struct pl_opt options[] = {
	{ 'd', "distance", PL_OPT_INT, &distance, "BITS", "largest Hamming distance of near duplicates", 0, 128, NULL },
	{ 0, "min-quality", PL_OPT_INT, &min_quality, "Q", "images of lower PDQ quality are compared by bytes only", 0, 100, NULL },
	{ 'a', "against", PL_OPT_LIST, &against, "SET", "drop what matches this evaluation corpus or file of PDQ hashes (may repeat)", 0, 0, NULL },
	{ 0, "against-hash", PL_OPT_CHOICE, &against_hash, "HASH", "how hashes in files were made (default: as the file says, else as those of the corpora, with a warning)", 0, 0, pl_hash_recipe_names },
	{ 0, "known", PL_OPT_LIST, &known, "CORPUS", "a corpus deduplicated before: what it kept drops others and is left alone (may repeat)", 0, 0, NULL },
	{ 0, "exact-only", PL_OPT_FLAG, &exact_only, NULL, "equal bytes only, no perceptual hashes", 0, 0, NULL },
	{ 0, "no-text", PL_OPT_FLAG, &no_text, NULL, "leave equal texts alone", 0, 0, NULL },
	{ 0, "text-near", PL_OPT_FLAG, &text_near, NULL, "near-duplicate texts too (kinds text and interleaved): reads the shards again", 0, 0, NULL },
	{ 0, "text-ngram", PL_OPT_INT, &text_ngram, "WORDS", "words of a shingle (5)", 1, PL_TEXT_NGRAM_MAX, NULL },
	{ 0, "text-bands", PL_OPT_INT, &text_bands, "B", "bands of a MinHash signature (14)", 1, 1024, NULL },
	{ 0, "text-rows", PL_OPT_INT, &text_rows, "R", "rows of a band (8)", 1, 1024, NULL },
	{ 0, "text-jaccard", PL_OPT_REAL, &text_jaccard, "J", "smallest Jaccard index of near texts (0.8)", 0.01, 1, NULL },
	{ 0, "text-max-pairs", PL_OPT_SIZE, &text_max_pairs, "N", "give up when one rank has more candidate pairs than this (2^28)", 1, 1e12, NULL },
	{ 0, "within-only", PL_OPT_FLAG, &within_only, NULL, "look for duplicates inside each corpus, not between them", 0, 0, NULL },
	{ 0, "captions", PL_OPT_STR, &captions, "K", "pairs: samples with different captions that stay of images that are the same (1; 0 or all)", 0, 0, NULL },
	{ 0, "max-documents", PL_OPT_INT, &max_documents, "K", "drop an image everywhere that is in more than K samples", 1, 4294967294.0, NULL },
	{ 0, "max-texts-per-image", PL_OPT_INT, &max_texts_per_image, "K", "pairs: drop an image everywhere that has more than K different captions", 1, 4294967294.0, NULL },
	{ 0, "max-captions", PL_OPT_INT, &max_captions, "K", "pairs: drop all samples whose caption more than K samples have", 1, 4294967294.0, NULL },
	{ 0, "document", PL_OPT_CHOICE, &document, "WHAT", "interleaved: what a duplicate image takes with it: itself (image, default) or the document", 0, 0, pl_document_rule_names },
	{ 0, "document-share", PL_OPT_REAL, &document_share, "S", "with --document document: smallest share of duplicates (default: one image)", 0.000001, 1, NULL },
	{ 0, "same-images", PL_OPT_FLAG, &same_images, NULL, "interleaved: of documents with the same set of images, one stays", 0, 0, NULL },
	{ 0, "cluster", PL_OPT_CHOICE, &cluster, "HOW", "who stays of images near each other: stars (default) or the first of each chain", 0, 0, pl_cluster_names },
	{ 0, "budget", PL_OPT_REAL, &budget, "PAIRS", "refuse, before the join, to look at more pairs of images (100000 for each image, 10^12 at least)", 1, PL_DEDUP_BUDGET_MAX, NULL },
	{ 0, "memory", PL_OPT_SIZE, &memory, "SIZE", "memory that dedup may take on a node (default: 80 % of what the node or its control group has)", 1e6, 1e15, NULL },
	{ 0, "scratch", PL_OPT_STR, &scratch, "DIR", "directory on a local disk of each node for what does not fit into that memory", 0, 0, NULL },
	{ 0, "plan", PL_OPT_CHOICE, &plan, "PLAN", "where hashes are while they are joined: replicated on every node, partitioned over ranks, or auto (default): as memory allows", 0, 0, pl_plan_names },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-dedup",
	.summary = "find exact and near duplicates and decide who survives",
	.synopsis = "CORPUS...",
	.description =
	    "Finds every pair of images within the distance, with no miss, and keeps greedy stars: every dropped image is within the "
	    "distance of a kept one, no two kept ones are, and nothing chains. Larger and better pictures survive. Verdicts are written "
	    "beside the tables with the survivor of each dropped row, and dedup.clusters.npy lists them by survivor; the same at any rank "
	    "count, with any --memory and by any --plan. With --cluster components images that hang together by a chain of near ones count as one, and only "
	    "the first stays: more is dropped, some of it far from what stays. "
	    "A file given to --against is a list of PDQ hashes, one a line, blanks and a name behind it if you like; plait hash -r pdq-aa --list makes one.",
	.examples =
	    "plait dedup corpora/cc3m corpora/laion --against corpora/coco-val\n"
	    "plait dedup corpora/laion --captions all --max-captions 10\n"
	    "plait dedup corpora/new --known corpora/cc3m --known corpora/laion --against coco.pdq",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB,
};

static enum pl_status near_text(struct pl_near_text_options *o, struct pl_err *err)
{
	bool said = text_ngram != PL_TEXT_NGRAM_DEFAULT || text_bands != PL_TEXT_BANDS_DEFAULT || text_rows != PL_TEXT_ROWS_DEFAULT ||
	    text_jaccard < PL_TEXT_JACCARD_DEFAULT || text_jaccard > PL_TEXT_JACCARD_DEFAULT || text_max_pairs != PL_TEXT_PAIRS_DEFAULT;

	if (said && !text_near)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "how near texts are found is said, but not that they are wanted: add --text-near");
	if (text_near && no_text)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "--text-near and --no-text contradict each other: near texts are found among unequal ones");
	o->on = text_near;
	return pl_near_text_set(o, text_ngram, text_bands, text_rows, text_jaccard, text_max_pairs, err);
}

static enum pl_status rules(struct pl_dedup_rules *r, struct pl_err *err)
{
	char *end = NULL;
	long long k = strcmp(captions, "all") == 0 ? 0 : strtoll(captions, &end, 10);

	if (end != NULL && (end == captions || *end != '\0' || k < 0))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "--captions: '%s' is no number of captions: wanted is 1 or more, or 'all'", captions);
	return pl_dedup_rules_set(r, k, max_documents, max_captions, max_texts_per_image, document, document_share, same_images, err);
}

static enum pl_status run(struct tool *t, int argc, char **argv, struct pl_err *err)
{
	struct pl_names corpora;
	struct dedup_step step = { 0 };
	enum pl_status st;

	pl_names_init(&corpora);
	if ((st = near_text(&step.options.near_text, err)) != PL_OK)
		goto done;
	if ((st = rules(&step.options.rules, err)) != PL_OK)
		goto done;
	if ((st = tool_open_job(t, err)) != PL_OK)
		goto done;
	if ((st = tool_names(t, argc, argv, &corpora, err)) != PL_OK)
		goto done;
	step.corpora = (const char *const *)corpora.items;
	step.n = corpora.len;
	step.against = against.items;
	step.nagainst = against.len;
	step.against_hash = against_hash;
	step.known = known.items;
	step.nknown = known.len;
	step.options.near = !exact_only;
	step.options.distance = (unsigned)distance;
	step.options.min_quality = (unsigned)min_quality;
	step.options.text = !no_text;
	step.options.across = !within_only;
	step.options.cluster = (enum pl_cluster)cluster;
	step.options.budget = budget;
	step.options.plan = (enum pl_dedup_plan)plan;
	step.memory = memory;
	step.scratch = scratch;
	st = step_dedup(t, &step, err);
done:
	pl_names_release(&corpora);
	return st;
}

int main(int argc, char **argv)
{
	int code = tool_main(&tool, argc, argv, run);

	pl_strlist_release(&against);
	pl_strlist_release(&known);
	return code;
}
