/* SPDX-License-Identifier: Apache-2.0 */
/* Preflight: what the parts of step_check.c share. Each rank notes what it finds;
 * rank 0 brings the notes together, one line for each trouble. */
#ifndef TOOLS_CHECK_H
#define TOOLS_CHECK_H

#include "steps.h"

#define CHECK_NOTES_MAX 200   /* of a rank: a thousand broken shards are one trouble */

struct check {
	struct tool *t;
	const struct check_step *s;
	json_t *notes;           /* of this rank */
	char host[256];
	uint64_t input_bytes, input_files;   /* of all sources and sets, once they were looked at */
	uint64_t largest_input;
	bool whole;              /* what is noted is true of the whole job, whoever notes it */
	bool apart;              /* this rank does not see what rank 0 sees: no use in waiting for it again */
	bool packed_inputs;      /* one of them has to be unpacked into TMPDIR */
};
enum check_level { CHECK_ERROR, CHECK_WARNING };

/* Note a trouble: which check, where (NULL = nowhere in particular), what to do, what is wrong. */
void check_note(struct check *c, enum check_level level, const char *check, const char *path, const char *advice, const char *fmt, ...) PL_PRINTF(6, 7);
/* The same from an error; its own place wins over path. */
void check_note_err(struct check *c, enum check_level level, const char *check, const char *path, const char *advice, const struct pl_err *err);

/* The shards of every source and evaluation set, and the files beside them. Collective; PL_OK whatever is found. */
PL_MUST_CHECK enum pl_status check_inputs(struct check *c, struct pl_err *err);
/* Directories: writable, the same on every rank, with room, and not another's. Collective. */
PL_MUST_CHECK enum pl_status check_places(struct check *c, struct pl_err *err);
/* Limits of this process, the sandbox. Local. */
void check_process(struct check *c);
/* Programs, recipes, memory, cores and clocks of all ranks, compared by rank 0. Collective. */
PL_MUST_CHECK enum pl_status check_ranks(struct check *c, struct pl_err *err);
/* What the tables that are there already say of the quotas. Collective. */
PL_MUST_CHECK enum pl_status check_quotas(struct check *c, struct pl_err *err);

#endif
