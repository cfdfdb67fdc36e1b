/* SPDX-License-Identifier: Apache-2.0 */
/* The one door to stderr, shared by messages and progress, so that a live
 * progress line and a message never end up in one another. */
#ifndef PL_BASE_LOG_PRIV_H
#define PL_BASE_LOG_PRIV_H

#include <stdbool.h>

/* Write text and a newline in one write, clearing a live line first. */
void pl_log_line(const char *text);
/* Replace the live line by text (no newline); "" takes it away. Terminals only. */
void pl_log_live(const char *text);
/* Columns of the terminal on stderr; 0 if it is none. */
int pl_log_columns(void);

#endif
