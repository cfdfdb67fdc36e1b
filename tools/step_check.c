/* SPDX-License-Identifier: Apache-2.0 */
/* Preflight: the notes of all ranks, told once each; see check.h. */
#include "check.h"

#include "libpipe/base/human.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- notes ---- */

/* JSON wants UTF-8; file names are bytes. */
static json_t *safe_string(const char *s)
{
	char text[1400];
	size_t bad = 0, len;

	snprintf(text, sizeof(text), "%s", s);
	len = strlen(text);
	while (!pl_utf8_valid(text, len, &bad))
		text[bad] = '?';
	return json_string(text);
}

static void note(struct check *c, enum check_level level, const char *check, const char *path, const char *advice, const char *what)
{
	json_t *one;

	if (json_array_size(c->notes) >= CHECK_NOTES_MAX)
		return;
	one = json_pack("{s:s, s:s, s:o, s:o, s:s, s:i, s:s}", "level", level == CHECK_ERROR ? "error" : "warning", "check", check, "path",
	    path != NULL ? safe_string(path) : json_null(), "what", safe_string(what), "do", advice, "rank", c->whole ? -1 : pl_job_rank(c->t->job), "host", c->host);
	/* Without memory a trouble is not told, and the job will fail of it. */
	(void)json_array_append_new(c->notes, one);
}

void check_note(struct check *c, enum check_level level, const char *check, const char *path, const char *advice, const char *fmt, ...)
{
	char what[800];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	note(c, level, check, path, advice, what);
}

void check_note_err(struct check *c, enum check_level level, const char *check, const char *path, const char *advice, const struct pl_err *err)
{
	note(c, level, check, err->path[0] != '\0' ? err->path : path, advice, err->text);
}

/* ---- bringing them together ---- */

static bool same_note(const json_t *a, const json_t *b)
{
	static const char *const keys[] = { "level", "check", "path", "what", "do" };

	for (size_t i = 0; i < PL_ARRAY_LEN(keys); i++)
		if (!json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i])))
			return false;
	return true;
}

/* One for each trouble, with the ranks that have it; errors first. */
static json_t *merged(const json_t *all)
{
	json_t *out = json_array(), *one, *old, *ranks;
	size_t i, k;

	for (int warnings = 0; warnings <= 1 && out != NULL; warnings++)
		json_array_foreach((json_t *)(uintptr_t)all, i, one) {
			if ((strcmp(pl_json_str(one, "level"), "warning") == 0) != (warnings == 1))
				continue;
			json_array_foreach(out, k, old)
				if (same_note(one, old))
					break;
			if (k == json_array_size(out) &&
			    (json_array_append(out, one) != 0 || json_object_set_new(one, "ranks", json_array()) != 0))
				continue;
			ranks = json_object_get(json_array_get(out, k), "ranks");
			if (json_integer_value(json_object_get(one, "rank")) >= 0)
				(void)json_array_append(ranks, json_object_get(one, "rank"));
		}
	json_array_foreach(out, i, one)
		(void)json_object_del(one, "rank");
	return out;
}

/* " (rank 2 on node7)", " (5 ranks, the first is 2 on node7)"; nothing where every rank has it. */
static void where(const json_t *one, int size, char *dst, size_t room)
{
	const json_t *ranks = json_object_get(one, "ranks");
	size_t n = json_array_size(ranks);
	int first = (int)json_integer_value(json_array_get(ranks, 0));

	dst[0] = '\0';
	if (n == 0 || n >= (size_t)size)
		return;
	if (n == 1)
		snprintf(dst, room, " (rank %d on %s)", first, pl_json_str(one, "host"));
	else
		snprintf(dst, room, " (%zu ranks; the first is %d on %s)", n, first, pl_json_str(one, "host"));
}

static size_t tell(const struct check *c, const json_t *found)
{
	const json_t *one;
	size_t i, errors = 0;

	json_array_foreach((json_t *)(uintptr_t)found, i, one) {
		bool error = strcmp(pl_json_str(one, "level"), "error") == 0;
		const char *path = pl_json_str(one, "path");
		char place[320];
		where(one, pl_job_size(c->t->job), place, sizeof(place));
		pl_log(error ? PL_LOG_ERROR : PL_LOG_WARNING, "%s: %s%s%s%s%s: %s", pl_json_str(one, "check"), path != NULL ? "'" : "",
		    path != NULL ? path : "", path != NULL ? "' " : "", pl_json_str(one, "what"), place, pl_json_str(one, "do"));
		errors += error;
	}
	return errors;
}

static enum pl_status report(struct check *c, const json_t *found, size_t errors, struct pl_err *err)
{
	struct pl_buf *out = &c->t->report;
	enum pl_status st = out->len > 0 ? pl_buf_adds(out, ",", err) : PL_OK;

	if (st == PL_OK)
		st = pl_buf_addf(out, err, "{\"step\":\"check\",\"ok\":%s,\"ranks\":%d,\"inputs\":%llu,\"input_bytes\":%llu,\"findings\":",
		    errors == 0 ? "true" : "false", pl_job_size(c->t->job), (unsigned long long)c->input_files, (unsigned long long)c->input_bytes);
	if (st == PL_OK)
		st = pl_json_dump(found, false, out, err);
	return st == PL_OK ? pl_buf_adds(out, "}", err) : st;
}

/* Rank 0. */
static enum pl_status conclude(struct check *c, const json_t *all, struct pl_err *err)
{
	json_t *found = merged(all);
	char bytes[24];
	size_t errors;
	enum pl_status st = PL_OK;

	if (found == NULL)
		return pl_fail_nomem(err);
	errors = tell(c, found);
	if (c->s->what == CHECK_ALL)
		st = report(c, found, errors, err);
	if (st == PL_OK && errors > 0)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "%zu %s found before the start, named above with what to do; nothing was made", errors,
		    errors == 1 ? "trouble" : "troubles");
	else if (st == PL_OK && c->s->what == CHECK_ALL)
		pl_log(PL_LOG_INFO, "check: ok, with %zu warnings: %zu sources in %llu files, %s; %d rank%s", json_array_size(found), c->s->recipe->nsources,
		    (unsigned long long)c->input_files, pl_human_bytes((double)c->input_bytes, bytes, sizeof(bytes)), pl_job_size(c->t->job),
		    pl_job_size(c->t->job) == 1 ? "" : "s");
	json_decref(found);
	return st;
}

static enum pl_status look(struct check *c, struct pl_err *err)
{
	enum pl_status st;

	if (c->s->what == CHECK_WORK_MADE)
		return check_places(c, err);
	st = check_ranks(c, err);
	check_process(c);
	if (st == PL_OK)
		st = check_inputs(c, err);
	if (st == PL_OK)
		st = check_places(c, err);
	if (st == PL_OK && c->s->what == CHECK_ALL)
		st = check_quotas(c, err);
	return st;
}

enum pl_status step_check(struct tool *t, const struct check_step *s, struct pl_err *err)
{
	struct check c = { .t = t, .s = s, .notes = json_array() };
	json_t *all = NULL;
	enum pl_status st = pl_job_agree(t->job, c.notes != NULL ? PL_OK : pl_fail_nomem(err), err);

	if (st != PL_OK)
		goto done;
	if (gethostname(c.host, sizeof(c.host) - 1) != 0)
		snprintf(c.host, sizeof(c.host), "an unnamed host");
	t->step = "check";
	if ((st = look(&c, err)) == PL_OK)
		st = tool_gather_json(t, c.notes, &all, err);
	if (st == PL_OK && tool_is_root(t))
		st = conclude(&c, all, err);
	st = pl_job_agree(t->job, st, err);
done:
	json_decref(all);
	json_decref(c.notes);
	return st;
}
