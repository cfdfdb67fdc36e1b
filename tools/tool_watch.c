/* SPDX-License-Identifier: Apache-2.0 */
/* The job as others see it; see tool_watch.h. */
#include "tool.h"

#include "libpipe/base/human.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WRITE_SECONDS 1.0
/* A rank lags when its unit has taken so long, and so many times as long as units do. */
#define LAG_SECONDS 5.0
#define LAG_TIMES 4.0
#define DUMP_RANKS 16

/* ---- who is behind ---- */

struct slowest { int rank; const struct pl_rank_work *work; double seconds; bool lags; };

/* The rank that has been longest at its unit; work NULL: nobody is at one. Rank 0 only. */
static struct slowest find_slowest(const struct tool *t)
{
	struct slowest s = { -1, NULL, 0, false };
	double now = pl_now(), worked = 0, mean;
	uint64_t units = 0;

	for (int r = 0; r < pl_job_size(t->job); r++) {
		const struct pl_rank_work *w = pl_job_work(t->job, r);
		worked += w->worked;
		units += w->units;
		if (w->busy && now - w->since > s.seconds)
			s = (struct slowest){ r, w, now - w->since, false };
	}
	mean = units > 0 ? worked / (double)units : 0;
	s.lags = units > 0 && pl_job_size(t->job) > 1 && s.seconds > LAG_SECONDS && s.seconds > LAG_TIMES * mean;
	return s;
}

/* A unit's name as valid UTF-8 without quotes and control characters, whatever the file system holds. */
static void readable(const struct pl_rank_work *w, char *dst, size_t size)
{
	size_t len, bad = 0;

	if (w->name[0] != '\0')
		snprintf(dst, size, "%s", w->name);
	else
		snprintf(dst, size, "unit %llu", (unsigned long long)w->unit);
	len = strlen(dst);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)dst[i] < 0x20 || dst[i] == 0x7F)
			dst[i] = '?';
	while (!pl_utf8_valid(dst, len, &bad))
		dst[bad] = '?';
}

/* In the progress line, and once in the log. */
static void name_straggler(struct tool *t)
{
	struct slowest s = find_slowest(t);
	char name[sizeof(s.work->name) + 32], time[24];

	t->progress.note[0] = '\0';
	if (!s.lags)
		return;
	readable(s.work, name, sizeof(name));
	snprintf(t->progress.note, sizeof(t->progress.note), "rank %d is at '%.180s' for %s", s.rank, name,
	    pl_human_seconds(s.seconds, time, sizeof(time)));
	if (t->watch.told_rank == s.rank && t->watch.told_since >= s.work->since)
		return;
	t->watch.told_rank = s.rank;
	t->watch.told_since = s.work->since;
	pl_log(PL_LOG_INFO, "%s: rank %d is at '%s' for %s, far longer than the others at theirs", t->step != NULL ? t->step : "start",
	    s.rank, name, pl_human_seconds(s.seconds, time, sizeof(time)));
}

/* ---- the state as JSON ---- */

static const char *job_id(void)
{
	static const char *const names[] = { "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID" };

	for (size_t i = 0; i < PL_ARRAY_LEN(names); i++)
		if (getenv(names[i]) != NULL)
			return getenv(names[i]);
	return NULL;
}

static json_t *text_or_null(const char *s)
{
	return s != NULL ? json_string(s) : json_null();
}

static json_t *calendar(int64_t seconds)
{
	time_t when = (time_t)seconds;
	struct tm tm;
	char text[40] = "";

	if (gmtime_r(&when, &tm) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

static const char *state_name(enum pl_status st)
{
	switch ((int)st) {
	case PL_END: return "running";
	case PL_OK: return "done";
	case PL_ERR_STOPPED: return "interrupted";
	default: return "failed";
	}
}

static json_t *slowest_json(const struct tool *t)
{
	struct slowest s = find_slowest(t);
	char name[sizeof(s.work->name) + 32];

	if (s.work == NULL)
		return json_null();
	readable(s.work, name, sizeof(name));
	return json_pack("{s:i, s:s, s:f, s:b}", "rank", s.rank, "unit", name, "seconds", s.seconds, "lags", (int)s.lags);
}

/* The stage under way; null between two. */
static json_t *stage_json(const struct tool *t)
{
	const struct pl_progress *p = &t->progress;
	double seconds = pl_now() - p->started, per = seconds > 0.001 ? 1 / seconds : 0, left = pl_progress_left(p);

	if (p->stage == NULL)
		return json_null();
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:o}", "name", p->stage, "units_done", (json_int_t)p->units_done, "units_total",
	    (json_int_t)p->units_total, "samples", (json_int_t)p->samples, "bytes", (json_int_t)p->bytes, "seconds", seconds, "samples_per_second",
	    (double)p->samples * per, "bytes_per_second", (double)p->bytes * per, "eta_seconds", left < 0 ? json_null() : json_real(left));
}

/* st: PL_END while the job runs. NULL without memory. */
static json_t *state_json(const struct tool *t, enum pl_status st)
{
	char host[256] = "";

	(void)gethostname(host, sizeof(host) - 1);
	return json_pack("{s:s, s:s, s:s, s:o, s:i, s:s, s:o, s:o, s:o, s:f, s:i, s:i, s:o, s:o, s:o, s:O}", "tool", t->desc->name, "version", PL_VERSION,
	    "state", state_name(st), "exit_code", st == PL_END ? json_null() : json_integer(pl_exit_code(st)), "pid", (int)getpid(), "host", host,
	    "job", text_or_null(job_id()), "started", calendar(t->watch.began), "updated", calendar(t->watch.now), "seconds",
	    pl_now() - t->watch.started, "ranks", pl_job_size(t->job), "workers_per_rank", t->pool != NULL ? pl_pool_workers(t->pool) : 0, "step",
	    text_or_null(t->step), "stage", stage_json(t), "slowest", slowest_json(t), "steps", t->watch.steps);
}

/* ---- the state as metrics ---- */

/* A number of the state: NULL, or no number: no line. */
static enum pl_status metric(struct pl_buf *out, const char *name, const char *help, const char *labels, const json_t *value, struct pl_err *err)
{
	if (!json_is_number(value))
		return PL_OK;
	return pl_buf_addf(out, err, "# HELP plait_%s %s\n# TYPE plait_%s gauge\nplait_%s{%s} %.17g\n", name, help, name, name, labels,
	    json_number_value(value));
}

static enum pl_status dropped_metrics(struct pl_buf *out, const char *tool, const json_t *steps, struct pl_err *err)
{
	static const char name[] = "step_samples_dropped";
	enum pl_status st = pl_buf_addf(out, err, "# HELP plait_%s samples that a finished step dropped\n# TYPE plait_%s gauge\n", name, name);
	size_t i;
	json_t *step, *n;
	const char *reason;

	json_array_foreach((json_t *)(uintptr_t)steps, i, step)
		json_object_foreach(json_object_get(step, "dropped"), reason, n)
			if (st == PL_OK)
				st = pl_buf_addf(out, err, "plait_%s{tool=\"%s\",step=\"%s\",number=\"%zu\",reason=\"%s\"} %lld\n", name, tool,
				    pl_json_str(step, "step"), i, reason, (long long)json_integer_value(n));
	return st;
}

static enum pl_status add_metrics(const struct tool *t, const json_t *state, enum pl_status now, struct pl_buf *out, struct pl_err *err)
{
	static const struct { const char *key, *name, *help; } of_stage[] = {
		{ "units_done", "stage_units_done", "units of work finished in this stage" },
		{ "units_total", "stage_units", "units of work of this stage, 0: not known" },
		{ "samples", "stage_samples", "samples of finished units in this stage" },
		{ "bytes", "stage_bytes", "bytes of finished units in this stage" },
		{ "seconds", "stage_seconds", "seconds since this stage began" },
		{ "eta_seconds", "stage_eta_seconds", "seconds that this stage will take yet" },
	};
	const json_t *stage = json_object_get(state, "stage"), *slowest = json_object_get(state, "slowest");
	json_t *began = json_integer(t->watch.began), *seen = json_integer(t->watch.now), *up = json_integer(now == PL_END);
	char job[200], labels[256];
	enum pl_status st = PL_OK;

	snprintf(job, sizeof(job), "tool=\"%s\"", t->desc->name);
	st = metric(out, "start_time_seconds", "when the job began", job, began, err);
	if (st == PL_OK)
		st = metric(out, "updated_time_seconds", "when this file was written", job, seen, err);
	if (st == PL_OK)
		st = metric(out, "running", "1 while the job runs", job, up, err);
	if (st == PL_OK)
		st = metric(out, "exit_code", "exit code of a job that has ended", job, json_object_get(state, "exit_code"), err);
	if (st == PL_OK)
		st = metric(out, "ranks", "ranks of the job", job, json_object_get(state, "ranks"), err);
	snprintf(labels, sizeof(labels), "%.100s,step=\"%.40s\",stage=\"%.80s\"", job, t->step != NULL ? t->step : "",
	    t->progress.stage != NULL ? t->progress.stage : "");
	for (size_t i = 0; i < PL_ARRAY_LEN(of_stage) && st == PL_OK; i++)
		st = metric(out, of_stage[i].name, of_stage[i].help, labels, json_object_get(stage, of_stage[i].key), err);
	if (st == PL_OK)
		st = metric(out, "slowest_rank", "the rank that has been at its unit for longest", job, json_object_get(slowest, "rank"), err);
	if (st == PL_OK)
		st = metric(out, "slowest_rank_seconds", "for how long", job, json_object_get(slowest, "seconds"), err);
	if (st == PL_OK)
		st = dropped_metrics(out, t->desc->name, t->watch.steps, err);
	json_decref(began);
	json_decref(seen);
	json_decref(up);
	return st;
}

/* ---- files ---- */

static enum pl_status write_files(struct tool *t, enum pl_status now, struct pl_err *err)
{
	const struct pl_common *c = t->desc->common;
	json_t *state;
	struct pl_buf text;
	enum pl_status st;

	t->watch.written = pl_now();
	t->watch.now = (int64_t)time(NULL);
	state = state_json(t, now);
	if (state == NULL)
		return pl_fail_nomem(err);
	pl_buf_init(&text, 0);
	st = pl_json_dump(state, true, &text, err);
	if (st == PL_OK)
		st = pl_buf_adds(&text, "\n", err);
	if (st == PL_OK && c->status != NULL && !t->watch.no_status) {
		st = pl_file_write_soon(c->status, text.data, text.len, err);
		t->watch.no_status = st != PL_OK;
	}
	pl_buf_clear(&text);
	if (st == PL_OK && c->prometheus != NULL && !t->watch.no_metrics) {
		st = add_metrics(t, state, now, &text, err);
		if (st == PL_OK)
			st = pl_file_write_soon(c->prometheus, text.data, text.len, err);
		t->watch.no_metrics = st != PL_OK;
	}
	pl_buf_release(&text);
	json_decref(state);
	return st;
}

static bool wanted(const struct tool *t)
{
	return t->desc->common->status != NULL || t->desc->common->prometheus != NULL;
}

/* Trouble with these files is told and costs nothing else. */
static void write_or_warn(struct tool *t, enum pl_status now)
{
	struct pl_err err = { 0 };

	if (wanted(t) && write_files(t, now, &err) != PL_OK)
		pl_log_err(PL_LOG_WARNING, &err);
}

/* ---- an answer to SIGUSR2 ---- */

static void say_work(const struct tool *t, int rank)
{
	const struct pl_rank_work *w = pl_job_work(t->job, rank);
	char name[sizeof(w->name) + 32], time[24], bytes[24];

	readable(w, name, sizeof(name));
	if (!w->busy)
		snprintf(name, sizeof(name), "nothing");
	pl_log_answer("state: rank %d: at %s%s%s%s%s; finished %llu units, %llu samples, %s in %.1f s", rank, w->busy ? "'" : "", name,
	    w->busy ? "' for " : "", w->busy ? pl_human_seconds(pl_now() - w->since, time, sizeof(time)) : "", "", (unsigned long long)w->units,
	    (unsigned long long)w->samples, pl_human_bytes((double)w->bytes, bytes, sizeof(bytes)), w->worked);
}

/* Resident bytes of this process now. */
static uint64_t resident(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	char line[128], *second;

	/* Pages of the address space, then those that are resident. */
	if (f != NULL) {
		if (fgets(line, sizeof(line), f) != NULL && (second = strchr(line, ' ')) != NULL)
			pages = strtoull(second, NULL, 10);
		fclose(f);
	}
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void answer(const struct tool *t)
{
	const struct pl_progress *p = &t->progress;
	char now[24], peak[24], pool[160] = "";
	int shown = 0;

	if (t->pool != NULL)
		snprintf(pool, sizeof(pool), "; %d workers, %zu images with them, %llu images done, %llu workers replaced",
		    pl_pool_workers(t->pool), pl_pool_pending(t->pool), (unsigned long long)pl_pool_collected(t->pool), (unsigned long long)pl_pool_replaced(t->pool));
	pl_log_answer("state: step %s, %s, %.1f s; sample %llu of its unit; memory %s, peak %s%s", t->step != NULL ? t->step : "none yet",
	    p->stage != NULL ? p->stage : "between stages", pl_now() - t->step_started, (unsigned long long)t->watch.sample,
	    pl_human_bytes((double)resident(), now, sizeof(now)), pl_human_bytes((double)pl_peak_rss(), peak, sizeof(peak)), pool);
	say_work(t, pl_job_rank(t->job));
	if (!tool_is_root(t))
		return;
	pl_log_answer("state: %llu of %llu units done, %llu samples, %llu bytes in this stage", (unsigned long long)p->units_done,
	    (unsigned long long)p->units_total, (unsigned long long)p->samples, (unsigned long long)p->bytes);
	for (int r = 1; r < pl_job_size(t->job) && shown < DUMP_RANKS; r++)
		if (pl_job_work(t->job, r)->busy) {
			say_work(t, r);
			shown++;
		}
}

/* ---- called by the frame ---- */

void tool_watch_tick(struct tool *t)
{
	double now;

	if (pl_job_asked())
		answer(t);
	if (!tool_is_root(t) || (now = pl_now()) - t->watch.written < WRITE_SECONDS)
		return;
	t->watch.written = now;
	name_straggler(t);
	write_or_warn(t, PL_END);
}

/* A rank that waits for others shows its progress and answers, too. */
static void while_waiting(void *ctx)
{
	struct tool *t = ctx;

	tool_watch_tick(t);
	if (!tool_is_root(t))
		return;
	pl_job_counts(t->job, &t->progress.units_done, &t->progress.samples, &t->progress.bytes);
	pl_progress_tick(&t->progress);
}

enum pl_status tool_watch_open(struct tool *t, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	t->watch.started = pl_now();
	t->watch.written = t->watch.started;
	t->watch.began = (int64_t)time(NULL);
	t->watch.told_rank = -1;
	t->watch.steps = json_array();
	if (t->watch.steps == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK && tool_is_root(t) && wanted(t))
		st = write_files(t, PL_END, err);
	pl_job_on_wait(t->job, while_waiting, t);
	return pl_job_agree(t->job, st, err);
}

void tool_watch_step_end(struct tool *t, const struct pl_account_run *run)
{
	const struct pl_account *a = &t->account;
	json_t *dropped, *step;

	t->watch.sample = 0;
	if (!tool_is_root(t) || !wanted(t))
		return;
	dropped = json_object();
	for (int r = 0; r < PL_REASON_COUNT && dropped != NULL; r++)
		if (a->samples_dropped[r] > 0)
			(void)json_object_set_new(dropped, pl_reason_name((enum pl_reason)r), json_integer((json_int_t)a->samples_dropped[r]));
	step = json_pack("{s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "step", t->step, "seconds", run->seconds, "units_done",
	    (json_int_t)a->units_done, "units_resumed", (json_int_t)a->units_resumed, "units_failed", (json_int_t)a->units_failed, "samples_in",
	    (json_int_t)a->samples_in, "samples_out", (json_int_t)a->samples_out, "images_in", (json_int_t)a->images_in, "images_out",
	    (json_int_t)a->images_out, "dropped", dropped);
	/* Without memory one step is not shown. */
	(void)json_array_append_new(t->watch.steps, step);
	write_or_warn(t, PL_END);
}

void tool_watch_close(struct tool *t, enum pl_status st)
{
	if (t->job != NULL && tool_is_root(t) && t->watch.steps != NULL)
		write_or_warn(t, st);
	json_decref(t->watch.steps);
	t->watch.steps = NULL;
}
