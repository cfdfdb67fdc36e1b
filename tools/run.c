/* SPDX-License-Identifier: Apache-2.0 */
/* plait-run: a recipe from its shards to the verified data set, in one job. */
#include "steps.h"

static struct pl_common common = { .max_reject = -1 };
static const char *out, *work;
static bool keep_going, dry_run, no_verify, check;

static uint64_t memory;
static const char *scratch;
static int hash_plan;

static const struct pl_opt options[] = {
	{ 'o', "output", PL_OPT_STR, &out, "DIR", "directory of the data set; default: the recipe's", 0, 0, NULL },
	{ 0, "work", PL_OPT_STR, &work, "DIR", "directory of corpora and plan; default: the recipe's", 0, 0, NULL },
	{ 'n', "dry-run", PL_OPT_FLAG, &dry_run, NULL, "make the tables that are not there yet (ingest, filter, dedup), print the table of quotas; make no plan and no shards", 0, 0, NULL },
	{ 0, "check", PL_OPT_FLAG, &check, NULL, "look, on every rank, for what would make the job fail later, say what to do about it, and make nothing", 0, 0, NULL },
	{ 0, "keep-going", PL_OPT_FLAG, &keep_going, NULL, "leave out shards that cannot be read, instead of failing", 0, 0, NULL },
	{ 0, "memory", PL_OPT_SIZE, &memory, "SIZE", "memory that dedup may take on a node (default: 80 % of what there is)", 1e6, 1e15, NULL },
	{ 0, "scratch", PL_OPT_STR, &scratch, "DIR", "directory on a local disk of each node for what dedup cannot hold in memory", 0, 0, NULL },
	{ 0, "plan", PL_OPT_CHOICE, &hash_plan, "PLAN", "where dedup's hashes are: replicated on every node, partitioned over ranks, or auto (default): as memory allows", 0, 0, pl_plan_names },
	{ 0, "no-verify", PL_OPT_FLAG, &no_verify, NULL, "leave the last check out", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-run",
	.summary = "make a data set from a recipe: ingest, filter, dedup, balance, pack, verify",
	.synopsis = "RECIPE",
	.description =
	    "Runs every step of the recipe in one job. What an earlier run has finished is kept, so the same command goes on after a "
	    "stop, a crash or a time limit; the result has the same bytes at any number of ranks. Exit code 75 means interrupted: run it again.",
	.examples = "plait run configs/demo.yaml\n"
	            "mpirun -n 16 plait-run configs/llava-align.yaml",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB | PL_COMMON_POOL,
};

struct job {
	struct tool *t;
	struct pl_recipe recipe;
	char **dirs;           /* of all sources, then of the evaluation sets */
};

static enum pl_status ingest(struct job *j, size_t i, struct pl_err *err)
{
	const struct pl_recipe *r = &j->recipe;
	struct ingest_step step = { 0 };
	struct pl_names shards;
	enum pl_status st;

	pl_names_init(&shards);
	if (i < r->nsources) {
		st = tool_expand(j->t, r->sources[i].shards.items, r->sources[i].shards.n, &shards, err);
		pl_recipe_corpus_source(r, i, &step.source);
	} else {
		st = tool_expand(j->t, &r->dedup.against.items[i - r->nsources], 1, &shards, err);
		pl_recipe_corpus_source(r, 0, &step.source);
		step.source = (struct pl_source){ .name = "against", .hash = step.source.hash, .limits = step.source.limits };
	}
	step.shards = &shards;
	step.dir = j->dirs[i];
	step.keep_going = keep_going;
	if (st == PL_OK) {
		if (tool_is_root(j->t))
			pl_log(PL_LOG_INFO, "ingest '%s': %zu shards", step.dir, shards.len);
		st = step_ingest(j->t, &step, err);
	}
	pl_names_release(&shards);
	return st;
}

/* The files of scores of source i; without any, those that an earlier recipe joined go. */
static enum pl_status scores(struct job *j, size_t i, struct pl_err *err)
{
	const struct pl_recipe_source *s = &j->recipe.sources[i];
	struct scores_step step = { .corpus = j->dirs[i], .columns = { s->score_key != NULL ? s->score_key : "key", s->score_columns.items, s->score_columns.n } };
	struct pl_names files;
	enum pl_status st = PL_OK;

	pl_names_init(&files);
	step.files = &files;
	if (s->scores.n > 0)
		st = tool_expand(j->t, s->scores.items, s->scores.n, &files, err);
	if (st == PL_OK)
		st = step_scores(j->t, &step, err);
	pl_names_release(&files);
	return st;
}

static enum pl_status filter(struct job *j, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < j->recipe.nsources && st == PL_OK; i++) {
		const struct pl_recipe_source *s = &j->recipe.sources[i];
		const char *dir = j->dirs[i];
		struct filter_step step = { .corpora = &dir, .n = 1, .where = s->where, .image_where = s->image_where,
			.presets = s->filter.items, .npresets = s->filter.n, .skip_missing = s->filter_missing == PL_SCORE_MISSING_SKIP };
		if (tool_is_root(j->t))
			pl_log(PL_LOG_INFO, "filter '%s': %zu presets, %s", dir, step.npresets, step.where != NULL ? step.where : "no condition");
		st = step_filter(j->t, &step, err);
	}
	return st;
}

/* The corpora of evaluation sets, then the files of hashes; NULL = no memory. */
static const char **evaluation_sets(const struct job *j)
{
	const struct pl_recipe *r = &j->recipe;
	const char **list = calloc(r->dedup.against.n + r->dedup.against_hashes.n + 1, sizeof(*list));

	for (size_t i = 0; i < r->dedup.against.n && list != NULL; i++)
		list[i] = j->dirs[r->nsources + i];
	for (size_t i = 0; i < r->dedup.against_hashes.n && list != NULL; i++)
		list[r->dedup.against.n + i] = r->dedup.against_hashes.items[i];
	return list;
}

static enum pl_status dedup(struct job *j, struct pl_err *err)
{
	const struct pl_recipe *r = &j->recipe;
	struct dedup_step step = { 0 };
	const char **against;
	enum pl_status st;

	step.corpora = (const char *const *)j->dirs;
	step.n = r->nsources;
	if (!r->dedup.enabled)
		return step_undedup(j->t, step.corpora, step.n, err);
	against = evaluation_sets(j);
	if ((st = pl_job_agree(j->t->job, against != NULL ? PL_OK : pl_fail_nomem(err), err)) != PL_OK)
		goto done;
	step.against = against;
	step.nagainst = r->dedup.against.n + r->dedup.against_hashes.n;
	step.against_hash = r->dedup.against_hash;
	step.known = r->dedup.known.items;
	step.nknown = r->dedup.known.n;
	step.options.rules = r->dedup.rules;
	step.options.budget = r->dedup.budget;
	step.options.plan = (enum pl_dedup_plan)hash_plan;
	step.memory = memory;
	step.scratch = scratch;
	step.options.near = r->dedup.near;
	step.options.distance = (unsigned)r->dedup.threshold;
	step.options.min_quality = (unsigned)r->dedup.min_quality;
	step.options.text = r->dedup.text;
	step.options.near_text = r->dedup.near_text;
	step.options.across = r->dedup.across;
	step.options.cluster = (enum pl_cluster)r->dedup.cluster;
	st = step_dedup(j->t, &step, err);
done:
	free(against);
	return st;
}

/* Balance, pack and verify one output. */
static enum pl_status make_output(struct job *j, size_t k, struct pl_err *err)
{
	struct pl_recipe *r = &j->recipe;
	struct balance_step balance = { r, NULL, NULL, common.seed != 0 ? common.seed : r->seed };
	char **dirs, *plan = steps_plan_path(work, k);
	enum pl_status st = PL_OK;

	pl_recipe_use_output(r, k);
	dirs = steps_corpus_dirs(r, work);
	if (plan == NULL || dirs == NULL)
		st = pl_fail_nomem(err);
	balance.corpora = (const char *const *)dirs;
	balance.plan = dry_run ? NULL : plan;
	if (st == PL_OK)
		st = step_balance(j->t, &balance, err);
	if (st == PL_OK && !dry_run) {
		struct pack_step pack = { plan, out != NULL ? out : r->output.dir };
		struct verify_step verify = { .dir = pack.dir, .deep = true };
		j->t->silent = false;
		st = step_pack(j->t, &pack, err);
		j->t->silent = true;
		if (st == PL_OK && !no_verify)
			st = step_verify(j->t, &verify, err);
	}
	steps_free_paths(dirs);
	free(plan);
	return st;
}

static enum pl_status make(struct job *j, struct pl_err *err)
{
	const struct pl_recipe *r = &j->recipe;
	enum pl_status st = PL_OK;

	/* Standard output holds the data sets' files and nothing else. */
	j->t->brief = true;
	j->t->silent = true;
	for (size_t i = 0; i < r->nsources + r->dedup.against.n && st == PL_OK; i++)
		st = ingest(j, i, err);
	for (size_t i = 0; i < r->nsources && st == PL_OK; i++)
		st = scores(j, i, err);
	if (st == PL_OK)
		st = filter(j, err);
	if (st == PL_OK)
		st = dedup(j, err);
	if (st == PL_OK) {
		struct concepts_step step = { r, (const char *const *)j->dirs, common.seed != 0 ? common.seed : r->seed };
		st = step_concepts(j->t, &step, err);
	}
	for (size_t k = 0; k < r->noutputs && st == PL_OK; k++)
		st = make_output(j, k, err);
	return st;
}

static enum pl_status preflight(struct job *j, enum check_what what, const struct pl_err *pool, struct pl_err *err)
{
	const struct check_step step = { .recipe = &j->recipe, .dirs = (const char *const *)j->dirs, .work = work, .out = out, .scratch = scratch,
		.memory = memory, .seed = common.seed != 0 ? common.seed : j->recipe.seed, .what = what, .keep_going = keep_going,
		.writes = !dry_run, .pool = pool };

	return step_check(j->t, &step, err);
}

static enum pl_status start(struct job *j, struct pl_err *err)
{
	struct pl_err pool = { 0 };
	enum pl_status opened = tool_open_pool(j->t, &j->recipe.limits, &pool), st;

	if (opened != PL_OK && !check) {
		*err = pool;
		return opened;
	}
	if ((st = tool_open_job(j->t, err)) != PL_OK)
		return st;
	if (check)
		return preflight(j, CHECK_ALL, opened != PL_OK ? &pool : NULL, err);
	st = preflight(j, CHECK_QUICKLY, NULL, err);
	if (st == PL_OK)
		st = tool_output_dir(j->t, work, err);
	if (st == PL_OK)
		st = preflight(j, CHECK_WORK_MADE, NULL, err);
	return st == PL_OK ? make(j, err) : st;
}

static enum pl_status run(struct tool *t, int argc, char **argv, struct pl_err *err)
{
	struct job j = { 0 };
	enum pl_status st;

	if (argc != 1)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "one RECIPE is wanted, %d operands were given", argc);
	if ((st = pl_recipe_load(&j.recipe, argv[0], err)) != PL_OK)
		return st;
	if ((st = steps_check_conditions(&j.recipe, err)) != PL_OK)
		goto done;
	j.t = t;
	work = work != NULL ? work : j.recipe.output.work;
	j.dirs = steps_corpus_dirs(&j.recipe, work);
	if (j.dirs == NULL)
		st = pl_fail_nomem(err);
	else if (out != NULL && j.recipe.noutputs > 1)
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, argv[0], "has %zu outputs, so -o DIR cannot say where they go", j.recipe.noutputs);
	else
		st = start(&j, err);
done:
	steps_free_paths(j.dirs);
	pl_recipe_release(&j.recipe);
	return st;
}

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv, run);
}
