/* SPDX-License-Identifier: Apache-2.0 */
/* Progress on stderr: one live line on a terminal, a plain line now and then
 * in a log, a JSON object per line on request. */
#ifndef PL_BASE_PROGRESS_H
#define PL_BASE_PROGRESS_H

#include "err.h"

enum pl_progress_mode { PL_PROGRESS_AUTO, PL_PROGRESS_LINE, PL_PROGRESS_JSON, PL_PROGRESS_OFF };

struct pl_progress {
	enum pl_progress_mode mode;
	bool tty;
	const char *tool, *stage;         /* static strings */
	uint64_t units_total, units_done, samples, bytes;
	double started, last_shown;       /* monotonic seconds */
	char note[256];                   /* what else is to be said of this stage; "" = nothing */
};

void pl_progress_init(struct pl_progress *p, const char *tool, enum pl_progress_mode mode, bool quiet);
void pl_progress_stage(struct pl_progress *p, const char *stage, uint64_t units_total);
/* Seconds until the stage is done, if units go on as before; negative = not known. */
double pl_progress_left(const struct pl_progress *p);
/* Show if it is time (0.2 s on a terminal, 1 s as JSON, 10 s in a log). Cheap otherwise. */
void pl_progress_tick(struct pl_progress *p);
/* Clear the live line before other output; final line in a log, where lines were shown or LINE was asked for. */
void pl_progress_end(struct pl_progress *p);
double pl_now(void);                  /* monotonic seconds */

#endif
