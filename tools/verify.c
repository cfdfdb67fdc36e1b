/* SPDX-License-Identifier: Apache-2.0 */
/* plait-verify: check a finished data set. */
#include "steps.h"

static struct pl_common common = { .max_reject = -1 };
static bool quick;

static const struct pl_opt options[] = {
	{ 0, "quick", PL_OPT_FLAG, &quick, NULL, "check checksums, indexes and counts, leave the pictures undecoded", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-verify",
	.summary = "check every checksum, index, count and image of a data set",
	.synopsis = "DIR",
	.description =
	    "Reads dataset.json in DIR and every shard it names: frame checksums, seek table, sample index, tar headers, file hash, "
	    "documents against their images, counts, and (unless --quick) decodes every picture. Damage is named by shard and sample; "
	    "the exit code is 3 when there is any.",
	.examples = "plait verify out/llava-align",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB | PL_COMMON_POOL,
};

static enum pl_status run(struct tool *t, int argc, char **argv, struct pl_err *err)
{
	struct pl_img_limits limits = pl_img_limits_default();
	struct verify_step step = { 0 };
	enum pl_status st;

	if (argc != 1)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "one DIR is wanted, %d operands were given", argc);
	step.dir = argv[0];
	step.quick = quick;
	if ((st = tool_open_pool(t, &limits, err)) != PL_OK)
		return st;
	if ((st = tool_open_job(t, err)) != PL_OK)
		return st;
	return step_verify(t, &step, err);
}

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv, run);
}
