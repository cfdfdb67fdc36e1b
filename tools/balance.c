/* SPDX-License-Identifier: Apache-2.0 */
/* plait-balance: a recipe and its corpora -> quotas and the plan. */
#include "steps.h"

static struct pl_common common = { .max_reject = -1 };
static const char *recipe_path, *out, *work;
static bool dry_run;
static int64_t output, fan_in = -1;

static const struct pl_opt options[] = {
	{ 'c', "recipe", PL_OPT_STR, &recipe_path, "RECIPE", "the recipe (required)", 0, 0, NULL },
	{ 'o', "output", PL_OPT_STR, &out, "PLAN", "plan file to write; default: WORK/plan.json, plan-1.json, ...", 0, 0, NULL },
	{ 0, "work", PL_OPT_STR, &work, "DIR", "where the corpora of the recipe's sources lie; default: the recipe's", 0, 0, NULL },
	{ 'p', "output-number", PL_OPT_INT, &output, "N", "which of the recipe's outputs, from 0", 0, 1e6, NULL },
	{ 0, "fan-in", PL_OPT_INT, &fan_in, "N", "input shards of a source that one output shard reads from, at most; 0: no bound; default: the recipe's", 0, 1048576, NULL },
	{ 'n', "dry-run", PL_OPT_FLAG, &dry_run, NULL, "print the table, write no plan", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-balance",
	.summary = "make quotas per source and group, and the plan of a data set",
	.synopsis = "-c RECIPE",
	.description =
	    "Balances concepts where sources ask for it (their verdicts go beside the tables, also with --dry-run), reads the verdicts of the corpora WORK/SOURCE, splits the recipe's total by its strategy, "
	    "and writes the plan: the few kilobytes that fix the whole data set. Where a source is balanced inside, the groups of its samples "
	    "are written beside its tables, too. The table shows what each source and group has and gives, in samples, images, tokens and "
	    "epochs; --report writes it as JSON. A quota that cannot be met is an error that says by how much.",
	.examples = "plait balance -c configs/demo.yaml --dry-run",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB,
};

static enum pl_status run(struct tool *t, int argc, char **argv, struct pl_err *err)
{
	struct pl_recipe recipe = { 0 };
	struct balance_step step = { 0 };
	char **dirs = NULL, *plan = NULL;
	enum pl_status st;

	if (argc > 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "unexpected operand '%s'", argv[0]);
	if (recipe_path == NULL)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "-c RECIPE is missing");
	if ((st = pl_recipe_load(&recipe, recipe_path, err)) != PL_OK)
		return st;
	if ((uint64_t)output >= recipe.noutputs) {
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, recipe_path, "has %zu outputs, so --output-number is 0 to %zu", recipe.noutputs,
		    recipe.noutputs - 1);
		goto done;
	}
	pl_recipe_use_output(&recipe, (size_t)output);
	if (fan_in == 1) {
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "--fan-in is 0 (no bound) or at least 2");
		goto done;
	}
	if (fan_in >= 0)
		recipe.output.fan_in = (uint64_t)fan_in;
	if (work == NULL)
		work = recipe.output.work;
	dirs = steps_corpus_dirs(&recipe, work);
	plan = out == NULL ? steps_plan_path(work, (size_t)output) : NULL;
	if (dirs == NULL || (out == NULL && plan == NULL)) {
		st = pl_fail_nomem(err);
		goto done;
	}
	if ((st = tool_open_job(t, err)) != PL_OK)
		goto done;
	step.recipe = &recipe;
	step.corpora = (const char *const *)dirs;
	step.plan = dry_run ? NULL : out != NULL ? out : plan;
	step.seed = common.seed != 0 ? common.seed : recipe.seed;
	if ((st = step_concepts(t, &(struct concepts_step){ &recipe, step.corpora, step.seed }, err)) == PL_OK)
		st = step_balance(t, &step, err);
done:
	free(plan);
	steps_free_paths(dirs);
	pl_recipe_release(&recipe);
	return st;
}

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv, run);
}
