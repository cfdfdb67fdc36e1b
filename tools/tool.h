/* SPDX-License-Identifier: Apache-2.0 */
/* What every MPI tool does around its work: parse, start the codec pool (before
 * MPI) and the job, report, and leave with one exit code on all ranks. */
#ifndef TOOLS_TOOL_H
#define TOOLS_TOOL_H

#include "libpipe/base/account.h"
#include "libpipe/base/file.h"
#include "libpipe/base/json.h"
#include "libpipe/base/log.h"
#include "libpipe/base/names.h"
#include "libpipe/base/opt.h"
#include "libpipe/base/progress.h"
#include "libpipe/dist/job.h"
#include "libpipe/img/pool.h"
#include "tool_watch.h"

struct tool {
	const struct pl_tool *desc;
	struct pl_pool *pool;           /* NULL in tools without pixels */
	struct pl_job *job;
	struct pl_progress progress;    /* shown by rank 0 */
	struct pl_account account;      /* of the step under way: this rank's until tool_account sums it */
	struct pl_buf report;           /* JSON objects of the finished steps, comma separated (rank 0) */
	double started, step_started;
	const char *step;
	struct tool_locks *locks;       /* rank 0: the output directories it has locked */
	struct { double seconds, work, share_of, longest; char last[128]; } tail;   /* of the step's parts so far; the same on every rank */
	double reject_share;            /* largest share of broken samples over the steps */
	bool brief;                     /* steps end with one line instead of their account */
	struct tool_watch watch;        /* what the job says of itself */
	bool silent;                    /* tool_announce says nothing */
};

/* Parse argv and set up logging. false: *exit_code is the process's answer (help was shown, or usage was wrong). */
bool tool_begin(struct tool *t, const struct pl_tool *desc, int argc, char **argv, int *first, int *exit_code);
/* Fork the codec pool; before tool_open_job. */
PL_MUST_CHECK enum pl_status tool_open_pool(struct tool *t, const struct pl_img_limits *limits, struct pl_err *err);
PL_MUST_CHECK enum pl_status tool_open_job(struct tool *t, struct pl_err *err);
/* Agree, write --report, print what went wrong, end everything. Returns the exit code. */
int tool_end(struct tool *t, enum pl_status st, struct pl_err *err);
/* The main of an MPI tool: begin, run with the operands, end. */
int tool_main(const struct pl_tool *desc, int argc, char **argv, enum pl_status (*run)(struct tool *t, int argc, char **argv, struct pl_err *err));

/* The parts of a step. */
static inline bool tool_is_root(const struct tool *t) { return pl_job_rank(t->job) == 0; }
void tool_step_begin(struct tool *t, const char *step, uint64_t units);
/* A new progress line for units of work of another sort. */
void tool_stage(struct tool *t, const char *stage, uint64_t units);
/* Sum the account over ranks, check that it balances, print it and keep it for the report. extra: a JSON object's
 * members ("\"pairs\":3") or NULL. Collective. */
PL_MUST_CHECK enum pl_status tool_step_end(struct tool *t, const char *extra, struct pl_err *err);
/* pl_job_poll plus progress, with the signature of the rooms' poll callbacks; ctx is the struct tool. */
enum pl_status tool_poll(void *ctx, struct pl_err *err);
/* A line on stdout: the name of an output this rank has committed. Rank 0 prints it, at its next tool_poll or tool_step_end. */
PL_MUST_CHECK enum pl_status tool_announce(struct tool *t, const char *path, struct pl_err *err);
/* Make dir, take its lock (rank 0), remove what killed runs left there. Collective. */
PL_MUST_CHECK enum pl_status tool_output_dir(struct tool *t, const char *dir, struct pl_err *err);
/* The names that operands give (braces, globs, data sets), or standard input's when there are none: the same list on every rank. Collective. */
PL_MUST_CHECK enum pl_status tool_names(struct tool *t, int argc, char **argv, struct pl_names *names, struct pl_err *err);
/* Replace each name that is the directory of a data set by those of its shards: MosaicML's (index.json) or plait's (dataset.json);
 * other names stay. Local. */
PL_MUST_CHECK enum pl_status tool_open_datasets(struct pl_names *names, struct pl_err *err);
/* The same for patterns of a recipe. Collective. */
PL_MUST_CHECK enum pl_status tool_expand(struct tool *t, const char *const *patterns, size_t n, struct pl_names *names, struct pl_err *err);
/* "path size mtime-in-nanoseconds" of an input: what a content record must know of it. PL_ERR at shard severity. */
PL_MUST_CHECK enum pl_status tool_describe_file(const char *path, struct pl_buf *out, struct pl_err *err);
/* No two of the files may share a stem: their outputs would have one name. Local. */
PL_MUST_CHECK enum pl_status tool_check_stems(const struct pl_names *names, struct pl_err *err);
/* A unit whose input cannot be read is reported and counted, and the others go on: PL_OK. Job errors and stops are passed on. */
PL_MUST_CHECK enum pl_status tool_unit_failed(struct tool *t, enum pl_status st, const struct pl_err *err);
/* After tool_step_end: an error when units failed; advice says what to do. */
PL_MUST_CHECK enum pl_status tool_check_failed(struct tool *t, const char *advice, struct pl_err *err);
/* The elements of all ranks' arrays, in rank order, in a new array on rank 0 (empty elsewhere). Collective. */
PL_MUST_CHECK enum pl_status tool_gather_json(struct tool *t, json_t *mine, json_t **all, struct pl_err *err);

/* Run fn for each of n units, shared out over the ranks by ticket; ends at once on an error or a stop, and agrees. name is NULL. Collective. */
typedef enum pl_status tool_unit_fn(struct tool *t, void *ctx, uint64_t unit, const char *name, struct pl_err *err);
PL_MUST_CHECK enum pl_status tool_for_units(struct tool *t, uint64_t n, tool_unit_fn *fn, void *ctx, struct pl_err *err);
/* The same for units of known size, rank 0's order (NULL = as they come) and names (NULL = none). weight, for the account's tail, may be
 * NULL = all alike. pieces: they are not what progress counts. Collective. */
struct tool_work { uint64_t n; const uint64_t *order, *weight; char *const *names; bool pieces; };
PL_MUST_CHECK enum pl_status tool_for_work(struct tool *t, const struct tool_work *w, tool_unit_fn *fn, void *ctx, struct pl_err *err);
/* Sizes of files, 0 where there is none, each looked at by one rank; *sizes is malloc'ed. Collective. */
PL_MUST_CHECK enum pl_status tool_file_sizes(struct tool *t, const struct pl_names *names, uint64_t **sizes, struct pl_err *err);
/* The same for named files, largest first; names NULL: as their names come on standard input, so that tools joined by a pipe
 * work at the same time. Collective. */
PL_MUST_CHECK enum pl_status tool_for_files(struct tool *t, const struct pl_names *names, tool_unit_fn *fn, void *ctx, struct pl_err *err);

#endif
