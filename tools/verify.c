/* SPDX-License-Identifier: Apache-2.0 */
/* plait-verify: check a finished data set. */
#include "steps.h"

#include <sys/stat.h>

static struct pl_common common = { .max_reject = -1 };
static bool deep, repair;

static const struct pl_opt options[] = {
	{ 0, "deep", PL_OPT_FLAG, &deep, NULL, "decode every picture, too", 0, 0, NULL },
	{ 0, "repair", PL_OPT_FLAG, &repair, NULL, "make a lost or damaged index again from the shard's data", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-verify",
	.summary = "check every checksum, index, count and image of a data set; repair indexes",
	.synopsis = "DIR | SHARD...",
	.description =
	    "Reads dataset.json in DIR and every shard it names: frame checksums, seek table, sample index, tar headers, file hash, "
	    "documents against their images, counts; with --deep every picture is decoded. SHARDs by themselves, as plait writes them, are "
	    "checked without what only a data set's description tells. A good shard is named on standard output; damage is named by shard, "
	    "sample number and key on standard error, and whole in the report ('damaged'); the exit code is 3 when there is any.\n\n"
	    "--repair makes the sample index and the seek table of a .tar.zst, or the index files of a .tar, again when they are lost, cut or "
	    "damaged: the file is replaced, atomically, by the bytes it had, which its digest in dataset.json confirms. Data that is damaged "
	    "stays as it is; remove such a shard, and plait pack makes it again.",
	.examples = "plait verify out/llava-align\nplait verify --deep --report damage.json out/llava-align\n"
	    "plait verify --repair out/llava-align/000017.tar.zst",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB | PL_COMMON_POOL,
};

static enum pl_status run(struct tool *t, int argc, char **argv, struct pl_err *err)
{
	struct pl_img_limits limits = pl_img_limits_default();
	struct verify_step step = { .deep = deep, .repair = repair };
	struct pl_names names;
	struct stat sb;
	enum pl_status st = PL_OK;

	if (deep)
		st = tool_open_pool(t, &limits, err);
	if (st == PL_OK)
		st = tool_open_job(t, err);
	if (st != PL_OK)
		return st;
	pl_names_init(&names);
	if (argc == 1 && stat(argv[0], &sb) == 0 && S_ISDIR(sb.st_mode)) {
		step.dir = argv[0];
	} else {
		st = tool_names(t, argc, argv, &names, err);
		step.shards = (const char *const *)names.items;
		step.nshards = names.len;
	}
	if (st == PL_OK)
		st = step_verify(t, &step, err);
	pl_names_release(&names);
	return st;
}

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv, run);
}
