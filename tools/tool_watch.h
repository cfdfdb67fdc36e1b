/* SPDX-License-Identifier: Apache-2.0 */
/* What a job says of itself while it runs: a status file, metrics, the rank that
 * the others wait for, and an answer to SIGUSR2. Nothing here communicates. */
#ifndef TOOLS_TOOL_WATCH_H
#define TOOLS_TOOL_WATCH_H

#include "libpipe/base/account.h"
#include "libpipe/base/json.h"

struct tool;

struct tool_watch {
	double started, written;          /* monotonic seconds */
	int64_t began, now;               /* the same by the calendar */
	json_t *steps;                    /* rank 0: what finished steps did */
	bool no_status, no_metrics;       /* could not be written: said once */
	int told_rank;                    /* the straggler that was named last */
	double told_since;
	uint64_t sample;                  /* the one under way in this rank's unit, where the step counts them */
};

/* Write the files for the first time: what cannot be written is an error. Collective. */
PL_MUST_CHECK enum pl_status tool_watch_open(struct tool *t, struct pl_err *err);
/* Answer a signal; on rank 0 name a straggler and write the files, if it is time. Cheap otherwise. */
void tool_watch_tick(struct tool *t);
/* A step is finished: t->account is the whole job's. */
void tool_watch_step_end(struct tool *t, const struct pl_account_run *run);
/* The last state. */
void tool_watch_close(struct tool *t, enum pl_status st);

#endif
