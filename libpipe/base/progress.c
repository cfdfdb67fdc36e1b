/* SPDX-License-Identifier: Apache-2.0 */
/* Progress: composed here, written by log.c so that it never tears a message. */
#include "progress.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "human.h"
#include "log_priv.h"

#define LIVE_SECONDS 0.2
#define JSON_SECONDS 1.0
#define LOG_SECONDS 10.0

double pl_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

void pl_progress_init(
    struct pl_progress *p, const char *tool, enum pl_progress_mode mode, bool quiet)
{
	memset(p, 0, sizeof(*p));
	p->tool = tool;
	p->mode = mode;
	/* JSON is for a program that asked for it, whatever people want to see. */
	if (quiet && mode != PL_PROGRESS_JSON)
		p->mode = PL_PROGRESS_OFF;
	p->tty = p->mode == PL_PROGRESS_AUTO && pl_log_columns() > 0;
	p->started = pl_now();
	p->last_shown = p->started;
}

void pl_progress_stage(struct pl_progress *p, const char *stage, uint64_t units_total)
{
	pl_progress_end(p);
	p->stage = stage;
	p->units_total = units_total;
	p->units_done = 0;
	p->samples = 0;
	p->bytes = 0;
	p->note[0] = '\0';
	p->started = pl_now();
	p->last_shown = p->started;
}

double pl_progress_left(const struct pl_progress *p)
{
	double done = (double)p->units_done, total = (double)p->units_total;

	if (p->stage == NULL || p->units_done == 0 || p->units_done > p->units_total)
		return -1;
	return (pl_now() - p->started) * (total - done) / done;
}

/* "plait-ingest: reading: 12/332 (3 %), 1.2 M samples, 3.4 GB, 4120 samples/s, 11 MB/s, 3 min 5 s left" */
static void compose_text(
    const struct pl_progress *p, double seconds, bool last, char *dst, size_t size)
{
	char units[64], samples[24], bytes[24], rate[24], speed[24], time[24], left[48] = "";
	double done = (double)p->units_done, total = (double)p->units_total;
	double per = seconds > 0.001 ? 1 / seconds : 0;

	if (p->units_total > 0)
		snprintf(units, sizeof(units), "%" PRIu64 "/%" PRIu64 " (%.0f %%)", p->units_done,
		    p->units_total, done * 100 / total);
	else
		snprintf(units, sizeof(units), "%" PRIu64 " done", p->units_done);
	if (last)
		snprintf(left, sizeof(left), ", %s", pl_human_seconds(seconds, time, sizeof(time)));
	else if (p->units_done > 0 && p->units_done < p->units_total && seconds > 1)
		snprintf(left, sizeof(left), ", %s left",
		    pl_human_seconds(seconds * (total - done) / done, time, sizeof(time)));
	snprintf(dst, size, "%s: %s: %s, %s samples, %s, %s samples/s, %s/s%s%s%s", p->tool, p->stage,
	    units, pl_human_count((double)p->samples, samples, sizeof(samples)),
	    pl_human_bytes((double)p->bytes, bytes, sizeof(bytes)),
	    pl_human_count((double)p->samples * per, rate, sizeof(rate)),
	    pl_human_bytes((double)p->bytes * per, speed, sizeof(speed)), left,
	    p->note[0] != '\0' && !last ? "; " : "", last ? "" : p->note);
}

static void show_json(const struct pl_progress *p, double seconds, bool last)
{
	double left = pl_progress_left(p), per = seconds > 0.001 ? 1 / seconds : 0;
	json_t *root = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:o, s:s, s:b}", "tool",
	    p->tool, "stage", p->stage, "units_done", (json_int_t)p->units_done, "units_total",
	    (json_int_t)p->units_total, "samples", (json_int_t)p->samples, "bytes",
	    (json_int_t)p->bytes, "seconds", seconds, "samples_per_second", (double)p->samples * per,
	    "bytes_per_second", (double)p->bytes * per, "eta_seconds",
	    left < 0 ? json_null() : json_real(left), "note", p->note, "end", (int)last);
	char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6));

	/* Out of memory costs one line of progress. */
	if (text != NULL)
		pl_log_line(text);
	free(text);
	json_decref(root);
}

static void show(struct pl_progress *p, double now, bool last)
{
	double seconds = now - p->started;
	char text[700];
	int columns;

	p->last_shown = now;
	if (p->mode == PL_PROGRESS_JSON) {
		show_json(p, seconds, last);
		return;
	}
	compose_text(p, seconds, last, text, sizeof(text));
	if (!p->tty) {
		pl_log_line(text);
		return;
	}
	columns = pl_log_columns();
	if (columns > 1 && (size_t)columns <= strlen(text))
		text[columns - 1] = '\0';   /* a wrapped line cannot be taken back */
	pl_log_live(text);
}

void pl_progress_tick(struct pl_progress *p)
{
	double now, wait = p->tty ? LIVE_SECONDS : p->mode == PL_PROGRESS_JSON ? JSON_SECONDS : LOG_SECONDS;

	if (p->mode == PL_PROGRESS_OFF || p->stage == NULL)
		return;
	now = pl_now();
	if (now - p->last_shown >= wait)
		show(p, now, false);
}

void pl_progress_end(struct pl_progress *p)
{
	if (p->stage == NULL)
		return;
	if (p->mode == PL_PROGRESS_OFF)
		;   /* nothing was shown */
	else if (p->tty)
		pl_log_live("");
	else if (p->mode != PL_PROGRESS_AUTO || p->last_shown > p->started)
		show(p, pl_now(), true);   /* a stage of seconds says nothing in a log unless asked */
	p->stage = NULL;
}
