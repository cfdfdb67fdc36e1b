/* SPDX-License-Identifier: Apache-2.0 */
/* plait-export: a data set -> what other loaders read. */
#include "steps.h"

static const char *const to_names[] = { "webdataset", "energon", "dali", "mds", "llava", "openflamingo", NULL };
static const char *const compression_names[] = { "none", "zstd", NULL };
static const char *const sample_type_names[] = { "crude", "interleaved", "captioning", NULL };
static const char *const images_names[] = { "auto", "one", "list", NULL };

static struct pl_common common = { .max_reject = -1 };
static const char *out;
static int to = -1, compression = -1, sample_type = -1, images = -1;
static uint64_t size_limit;

static const struct pl_opt options[] = {
	{ 't', "to", PL_OPT_CHOICE, &to, "FORMAT", "what to write (required)", 0, 0, to_names },
	{ 'o', "output", PL_OPT_STR, &out, "DIR", "directory to write it to (required)", 0, 0, NULL },
	{ 0, "sample-type", PL_OPT_CHOICE, &sample_type, "TYPE", "energon: which of its sample types; default: crude", 0, 0, sample_type_names },
	{ 0, "compression", PL_OPT_CHOICE, &compression, "HOW", "mds: of the shards; default: none", 0, 0, compression_names },
	{ 0, "images", PL_OPT_CHOICE, &images, "HOW", "mds: a column 'image' for one image a sample, or 'images' for a list; default: what the data set has",
	    0, 0, images_names },
	{ 0, "size-limit", PL_OPT_SIZE, &size_limit, "SIZE", "mds: uncompressed bytes of a shard; default: 64MiB", 65536, 4294967295.0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-export",
	.summary = "write a data set in the formats of other loaders",
	.synopsis = "--to FORMAT -o DIR DATASET",
	.description =
	    "Reads the shards that dataset.json in DATASET names and writes their samples, in the same order and with the same image "
	    "bytes, as\n\n"
	    "webdataset: plain tars and sizes.json; a pair of image and caption is KEY.webp (or what the image is) and KEY.txt beside KEY.json, "
	    "as open_clip looks for them\n\n"
	    "energon: the same tars with .tar.idx and .nv-meta, ready for Megatron Energon; as crude samples, as sequences of texts and images, "
	    "or as captioned images\n\n"
	    "dali: the same tars with the index files of NVIDIA DALI's webdataset reader\n\n"
	    "mds: shards of MosaicML Streaming with the columns key, text, document (JSON) and image or images\n\n"
	    "llava: llava.json and a folder of images\n\n"
	    "openflamingo: tars of documents with their images as base64, in the order of the text\n\n"
	    "A sample that the format has no place for is dropped with its reason. The same data set gives the same bytes on any number of "
	    "ranks; running the same command again completes what is missing.",
	.examples = "plait export --to webdataset -o wds out/llava-align\n"
	            "mpirun -n 8 plait-export --to mds --compression zstd -o mds out/llava-align",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB,
};

static enum pl_status check(int argc, struct pl_err *err)
{
	const char *what = NULL, *whose = "mds";

	if (argc != 1)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "one DATASET is wanted, %d operands were given", argc);
	if (to < 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "--to FORMAT is missing: what to write, such as webdataset");
	if (out == NULL)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "-o DIR is missing: the directory to write to");
	if (to != EXPORT_MDS)
		what = compression >= 0 ? "--compression" : images >= 0 ? "--images" : size_limit != 0 ? "--size-limit" : NULL;
	if (what == NULL && to != EXPORT_ENERGON && sample_type >= 0) {
		what = "--sample-type";
		whose = "energon";
	}
	if (what != NULL)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%s does nothing with --to %s: it is for %s", what, to_names[to], whose);
	return PL_OK;
}

static enum pl_status run(struct tool *t, int argc, char **argv, struct pl_err *err)
{
	struct export_step step = { .dir = out };
	enum pl_status st = check(argc, err);

	if (st != PL_OK)
		return st;
	step.dataset = argv[0];
	step.to = (enum export_to)to;
	step.sample_type = sample_type < 0 ? EXPORT_CRUDE : (enum export_sample_type)sample_type;
	step.zstd = compression == 1;
	step.images = images < 0 ? EXPORT_IMAGES_AUTO : (enum export_images)images;
	step.size_limit = size_limit != 0 ? size_limit : (uint64_t)64 << 20;
	if ((st = tool_open_job(t, err)) != PL_OK)
		return st;
	return step_export(t, &step, err);
}

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv, run);
}
