/* SPDX-License-Identifier: Apache-2.0 */
/* plait-pack: a plan -> the shards of a data set. */
#include "steps.h"

static struct pl_common common = { .max_reject = -1 };
static const char *out;

static const struct pl_opt options[] = {
	{ 'o', "output", PL_OPT_STR, &out, "DIR", "directory of the data set; default: the recipe's", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-pack",
	.summary = "make the output shards of a plan",
	.synopsis = "PLAN",
	.description =
	    "Fetches each drawn sample once, decodes, resizes and encodes its images in sandboxed workers (or passes their bytes "
	    "through where nothing would change), and writes sample-aligned .tar.zst shards and dataset.json. The bytes depend on the "
	    "plan and the inputs only. Running the same command again makes the shards that are missing.",
	.examples = "mpirun -n 8 plait-pack out/llava-align/work/plan.json",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB | PL_COMMON_POOL,
};

/* The pool's ceilings come from the plan's recipe, before MPI starts. */
static enum pl_status open_pool(struct tool *t, const char *path, struct pl_err *err)
{
	struct pl_plan plan = { 0 };
	struct pl_recipe recipe = { 0 };
	enum pl_status st = pl_plan_load(&plan, path, err);

	if (st == PL_OK)
		st = pl_recipe_parse(&recipe, plan.recipe_path, plan.recipe_text, strlen(plan.recipe_text), err);
	if (st == PL_OK)
		st = tool_open_pool(t, &recipe.limits, err);
	pl_recipe_release(&recipe);
	pl_plan_release(&plan);
	return st;
}

static enum pl_status run(struct tool *t, int argc, char **argv, struct pl_err *err)
{
	struct pack_step step = { 0 };
	enum pl_status st;

	if (argc != 1)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "one PLAN is wanted, %d operands were given", argc);
	if ((st = open_pool(t, argv[0], err)) != PL_OK)
		return st;
	if ((st = tool_open_job(t, err)) != PL_OK)
		return st;
	step.plan = argv[0];
	step.dir = out;
	return step_pack(t, &step, err);
}

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv, run);
}
