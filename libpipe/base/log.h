/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on stderr: "plait-dedup[3]: warning: 'x.tar': text", one write per
 * line, the same text counted instead of repeated more than 10 times. Only
 * tools log; libraries return errors. */
#ifndef PL_BASE_LOG_H
#define PL_BASE_LOG_H

#include "err.h"

enum pl_log_level { PL_LOG_ERROR, PL_LOG_WARNING, PL_LOG_INFO, PL_LOG_DEBUG };

/* tool: static string. rank < 0 leaves "[rank]" out. level: the most talkative one shown. */
void pl_log_setup(const char *tool, int rank, enum pl_log_level level);
void pl_log(enum pl_log_level level, const char *fmt, ...) PL_PRINTF(2, 3);
/* What somebody asked for: shown at any level, and never counted instead. */
void pl_log_answer(const char *fmt, ...) PL_PRINTF(1, 2);
/* The error with its place. */
void pl_log_err(enum pl_log_level level, const struct pl_err *err);
/* Print "... (N more like this)" lines for what was counted. */
void pl_log_flush(void);

#endif
