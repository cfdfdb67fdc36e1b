/* SPDX-License-Identifier: Apache-2.0 */
/* The frame around a tool's work; see tool.h. */
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/dist/watch.h"
#include "tool_locks.h"

bool tool_begin(struct tool *t, const struct pl_tool *desc, int argc, char **argv, int *first, int *exit_code)
{
	struct pl_err err = { 0 };
	enum pl_opt_outcome outcome = PL_OPT_RUN;
	enum pl_status st;
	int level;

	memset(t, 0, sizeof(*t));
	t->desc = desc;
	t->started = pl_now();
	pl_buf_init(&t->report, 0);
	pl_json_know_starvation();
	pl_log_setup(desc->name, -1, PL_LOG_INFO);
	st = pl_opt_parse(desc, argc, argv, first, &outcome, &err);
	if (st != PL_OK) {
		pl_log_err(PL_LOG_ERROR, &err);
		*exit_code = pl_exit_code(st);
		return false;
	}
	if (outcome == PL_OPT_EXIT) {
		*exit_code = 0;
		return false;
	}
	level = PL_LOG_INFO + desc->common->verbose - 2 * desc->common->quiet;
	pl_log_setup(desc->name, -1, level < 0 ? PL_LOG_ERROR : (enum pl_log_level)level);
	return true;
}

enum pl_status tool_open_pool(struct tool *t, const struct pl_img_limits *limits, struct pl_err *err)
{
	struct pl_pool_config config = { 0 };

	config.workers = (int)t->desc->common->workers;
	config.sandbox = (enum pl_sandbox)t->desc->common->sandbox;
	config.limits = *limits;
	return pl_pool_new(&t->pool, &config, err);
}

static void say_lost(const struct pl_err *err)
{
	pl_log_err(PL_LOG_ERROR, err);
}

enum pl_status tool_open_job(struct tool *t, struct pl_err *err)
{
	const struct pl_common *c = t->desc->common;
	enum pl_status st = pl_job_start(&t->job, err);
	int level = PL_LOG_INFO + c->verbose - 2 * c->quiet;

	if (st != PL_OK)
		return st;
	pl_log_setup(t->desc->name, pl_job_size(t->job) > 1 ? pl_job_rank(t->job) : -1,
	    level < 0 ? PL_LOG_ERROR : (enum pl_log_level)level);
	pl_progress_init(&t->progress, t->desc->name, tool_is_root(t) ? (enum pl_progress_mode)c->progress : PL_PROGRESS_OFF, c->quiet > 0);
	if (t->pool != NULL && tool_is_root(t) && c->sandbox == PL_SANDBOX_AUTO && !pl_pool_seccomp(t->pool))
		pl_log(PL_LOG_WARNING, "no seccomp here: image decoders run with resource limits only");
	st = tool_watch_open(t, err);
	return st == PL_OK ? pl_job_watch(t->job, say_lost, err) : st;
}

/* Print what the ranks told; rank 0 only. */
static enum pl_status print_told(struct tool *t, struct pl_err *err)
{
	struct pl_buf out;
	enum pl_status st;

	pl_buf_init(&out, 0);
	st = pl_job_told(t->job, &out, err);
	if (st == PL_OK && out.len > 0 && (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0))
		st = pl_fail_errno(err, PL_SEV_JOB, "standard output", "cannot write");
	pl_buf_release(&out);
	return st;
}

static enum pl_status write_report(struct tool *t, struct pl_err *err)
{
	const char *path = t->desc->common->report;
	struct pl_buf text;
	enum pl_status st;

	if (path == NULL || !tool_is_root(t))
		return PL_OK;
	pl_buf_init(&text, 0);
	st = pl_buf_addf(&text, err, "{\"tool\":\"%s\",\"version\":\"%s\",\"seconds\":%.3f,\"steps\":[%s]}\n", t->desc->name,
	    PL_VERSION, pl_now() - t->started, t->report.data != NULL ? (const char *)t->report.data : "");
	if (st == PL_OK)
		st = pl_file_write(path, text.data, text.len, err);
	pl_buf_release(&text);
	return st;
}

/* More samples dropped than --max-reject allows? */
static enum pl_status check_rejects(const struct tool *t, struct pl_err *err)
{
	double limit = t->desc->common->max_reject;

	if (limit < 0 || t->reject_share <= limit)
		return PL_OK;
	return pl_fail(err, PL_ERR_REJECTS, PL_SEV_JOB, NULL, "%.4g of the samples were broken, more than --max-reject %.4g",
	    t->reject_share, limit);
}

/* Is this the process that speaks for the job, as far as the launcher says? For errors before the job starts. */
static bool speaks(const struct tool *t)
{
	static const char *const marks[] = { "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID" };

	if (t->job != NULL)
		return tool_is_root(t);
	for (size_t i = 0; i < PL_ARRAY_LEN(marks); i++) {
		const char *rank = getenv(marks[i]);
		if (rank != NULL)
			return strcmp(rank, "0") == 0;
	}
	return true;
}

/* The last words of the job: lines still on their way, the report. */
static enum pl_status conclude(struct tool *t, enum pl_status st, struct pl_err *err)
{
	struct pl_err own = { 0 };
	enum pl_status more = tool_is_root(t) ? print_told(t, &own) : PL_OK;

	if (more == PL_OK)
		more = write_report(t, &own);
	if (st == PL_OK && more != PL_OK) {
		*err = own;
		st = more;
	}
	return st == PL_OK ? check_rejects(t, err) : st;
}

int tool_end(struct tool *t, enum pl_status st, struct pl_err *err)
{
	bool root = speaks(t);
	int code;

	if (t->job != NULL)
		st = pl_job_agree(t->job, conclude(t, st, err), err);
	if (root && fclose(stdout) != 0 && st == PL_OK)
		st = pl_fail_errno(err, PL_SEV_JOB, "standard output", "cannot write");
	pl_progress_end(&t->progress);
	tool_watch_close(t, st);
	pl_log_flush();
	if (st != PL_OK && root)
		pl_log_err(st == PL_ERR_STOPPED ? PL_LOG_WARNING : PL_LOG_ERROR, err);
	if (st == PL_ERR_STOPPED && root && t->desc->common->force)
		pl_log(PL_LOG_WARNING, "leave --force out when you run it again, or it starts anew");
	code = pl_exit_code(st);
	tool_locks_free(t->locks);
	pl_pool_free(t->pool);
	pl_buf_release(&t->report);
	pl_job_finish(t->job);
	return code;
}

int tool_main(const struct pl_tool *desc, int argc, char **argv, enum pl_status (*run)(struct tool *t, int argc, char **argv, struct pl_err *err))
{
	struct pl_err err = { 0 };
	struct tool t;
	int first = 0, code = 0;

	if (!tool_begin(&t, desc, argc, argv, &first, &code))
		return code;
	return tool_end(&t, run(&t, argc - first, argv + first, &err), &err);
}

void tool_step_begin(struct tool *t, const char *step, uint64_t units)
{
	memset(&t->account, 0, sizeof(t->account));
	memset(&t->tail, 0, sizeof(t->tail));
	t->step = step;
	t->step_started = pl_now();
	tool_stage(t, step, units);
}

void tool_stage(struct tool *t, const char *stage, uint64_t units)
{
	pl_job_counts_reset(t->job);
	pl_progress_stage(&t->progress, stage, units);
}

/* Share of samples that were broken, as opposed to not wanted. */
static double broken_share(const struct pl_account *a)
{
	static const enum pl_reason unwanted[] = { PL_REASON_FILTERED, PL_REASON_DUPLICATE_BYTES, PL_REASON_NEAR_DUPLICATE,
		PL_REASON_DUPLICATE_TEXT, PL_REASON_EVALUATION, PL_REASON_IMAGES_GONE, PL_REASON_NOT_DRAWN, PL_REASON_TOO_LONG };
	uint64_t broken = a->samples_in - a->samples_out;

	for (size_t i = 0; i < PL_ARRAY_LEN(unwanted); i++)
		broken -= a->samples_dropped[unwanted[i]];
	return a->samples_in > 0 ? (double)broken / (double)a->samples_in : 0;
}

static enum pl_status print_account(struct tool *t, const struct pl_account_run *run, struct pl_err *err)
{
	const struct pl_account *a = &t->account;
	struct pl_buf text;
	enum pl_status st;

	if (t->brief) {
		pl_log(PL_LOG_INFO, "%s: %llu samples in, %llu out; %llu images in, %llu out; %.1f s%s", t->step,
		    (unsigned long long)a->samples_in, (unsigned long long)a->samples_out, (unsigned long long)a->images_in,
		    (unsigned long long)a->images_out, run->seconds, a->units_done == 0 && a->units_resumed > 0 ? " (done before)" : "");
		return PL_OK;
	}
	pl_buf_init(&text, 0);
	st = pl_account_text(a, run, &text, err);
	if (st == PL_OK && t->desc->common->quiet == 0)
		(void)fwrite(text.data, 1, text.len, stderr);
	pl_buf_release(&text);
	return st;
}

static enum pl_status keep_report(struct tool *t, const struct pl_account_run *run, const char *extra, struct pl_err *err)
{
	struct pl_buf json;
	enum pl_status st;

	pl_buf_init(&json, 0);
	st = pl_account_json(&t->account, run, &json, err);
	if (st == PL_OK && t->report.len > 0)
		st = pl_buf_adds(&t->report, ",", err);
	if (st == PL_OK)
		st = pl_buf_addf(&t->report, err, "{\"step\":\"%s\",%s%s\"account\":%s}", t->step, extra != NULL ? extra : "",
		    extra != NULL ? "," : "", (const char *)json.data);
	pl_buf_release(&json);
	return st;
}

/* Rank 0's part of the end of a step. */
static enum pl_status show_step(struct tool *t, const struct pl_account_run *run, const char *extra, struct pl_err *err)
{
	enum pl_status st = print_told(t, err);

	if (st == PL_OK)
		st = print_account(t, run, err);
	return st == PL_OK ? keep_report(t, run, extra, err) : st;
}

enum pl_status tool_step_end(struct tool *t, const char *extra, struct pl_err *err)
{
	struct pl_account_run run = { 0 };
	struct pl_account_tail tail = { 0 };
	uint64_t words[PL_ACCOUNT_WORDS];
	enum pl_status st = PL_OK;
	char what[160];
	double broken;

	memcpy(words, &t->account, sizeof(words));
	pl_job_sum(t->job, words, PL_ACCOUNT_WORDS);
	memcpy(&t->account, words, sizeof(words));
	run.tool = t->desc->name;
	if (pl_job_size(t->job) > 1) {
		tail.seconds = t->tail.seconds;
		tail.share = t->tail.share_of > 0 ? t->tail.work / t->tail.share_of : 0;
		memcpy(tail.last, t->tail.last, sizeof(tail.last));
		run.tail = &tail;
	}
	run.seconds = pl_now() - t->step_started;
	run.peak_rss = pl_job_max(t->job, pl_peak_rss());
	run.ranks = pl_job_size(t->job);
	run.workers = t->pool != NULL ? pl_pool_workers(t->pool) : 0;
	pl_progress_end(&t->progress);
	if (!pl_account_balances(&t->account, what))
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "the account of %s does not add up (%s): please report this", t->step, what);
	broken = broken_share(&t->account);
	t->reject_share = broken > t->reject_share ? broken : t->reject_share;
	tool_watch_step_end(t, &run);
	if (st == PL_OK && tool_is_root(t))
		st = show_step(t, &run, extra, err);
	return pl_job_agree(t->job, st, err);
}

enum pl_status tool_poll(void *ctx, struct pl_err *err)
{
	struct tool *t = ctx;
	enum pl_status st = pl_job_poll(t->job, err);

	tool_watch_tick(t);
	if (!tool_is_root(t))
		return st;
	pl_job_counts(t->job, &t->progress.units_done, &t->progress.samples, &t->progress.bytes);
	pl_progress_tick(&t->progress);
	return st == PL_OK ? print_told(t, err) : st;
}

enum pl_status tool_announce(struct tool *t, const char *path, struct pl_err *err)
{
	return t->silent ? PL_OK : pl_job_tell(t->job, path, err);
}

enum pl_status tool_output_dir(struct tool *t, const char *dir, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (tool_is_root(t)) {
		st = pl_mkdirs(dir, err);
		if (st == PL_OK)
			st = tool_locks_add(&t->locks, dir, err);
		if (st == PL_OK)
			st = pl_remove_temporaries(dir, err);
	}
	return pl_job_agree(t->job, st, err);
}
