/* SPDX-License-Identifier: Apache-2.0 */
/* The final account: sums, the check that nothing vanished, text and JSON. */
#include "account.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "file.h"
#include "json.h"
#include "human.h"
#include "opt.h"

_Static_assert(sizeof(struct pl_account) == (9 + 2 * PL_REASON_COUNT) * sizeof(uint64_t),
    "an account is an array of words without padding");

void pl_account_add(struct pl_account *sum, const struct pl_account *a)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)a;
	size_t i;

	for (i = 0; i < PL_ACCOUNT_WORDS; i++)
		to[i] += from[i];
}

static uint64_t sum_dropped(const uint64_t dropped[PL_REASON_COUNT])
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < PL_REASON_COUNT; i++)
		sum += dropped[i];
	return sum;
}

static bool side_balances(const char *side, uint64_t in, uint64_t out,
    const uint64_t dropped[PL_REASON_COUNT], char what[160])
{
	uint64_t gone = sum_dropped(dropped), accounted = out + gone;

	if (dropped[PL_REASON_KEEP] != 0) {
		snprintf(what, 160, "%s: %" PRIu64 " dropped with the reason 'keep'", side,
		    dropped[PL_REASON_KEEP]);
		return false;
	}
	if (in == accounted)
		return true;
	snprintf(what, 160,
	    "%s: %" PRIu64 " in, but %" PRIu64 " out and %" PRIu64 " dropped: %" PRIu64 " %s", side,
	    in, out, gone, in > accounted ? in - accounted : accounted - in,
	    in > accounted ? "missing" : "too many");
	return false;
}

bool pl_account_balances(const struct pl_account *a, char what[160])
{
	what[0] = '\0';
	return side_balances("samples", a->samples_in, a->samples_out, a->samples_dropped, what) &&
	    side_balances("images", a->images_in, a->images_out, a->images_dropped, what);
}

static enum pl_status text_side(const char *tool, const char *side, uint64_t in, uint64_t out,
    const uint64_t dropped[PL_REASON_COUNT], struct pl_buf *b, struct pl_err *err)
{
	uint64_t gone = sum_dropped(dropped);
	double share = in > 0 ? (double)gone * 100 / (double)in : 0;
	enum pl_status st;
	unsigned i;

	st = pl_buf_addf(b, err, "%s: %s: %" PRIu64 " in, %" PRIu64 " out, %" PRIu64 " dropped",
	    tool, side, in, out, gone);
	if (st == PL_OK)
		st = gone > 0 ? pl_buf_addf(b, err, " (%.3g %%)\n", share) :
				pl_buf_adds(b, "\n", err);
	for (i = 0; st == PL_OK && i < PL_REASON_COUNT; i++) {
		if (dropped[i] != 0)
			st = pl_buf_addf(b, err, "%s: %12" PRIu64 "  %-16s %s\n", tool, dropped[i],
			    pl_reason_name(i), pl_reason_text(i));
	}
	return st;
}

enum pl_status pl_account_text(const struct pl_account *a, const struct pl_account_run *run,
    struct pl_buf *out, struct pl_err *err)
{
	char in[24], made[24], took[24], rate[24], speed[24], rss[24];
	double per = run->seconds > 0 ? 1 / run->seconds : 0;
	enum pl_status st;

	st = text_side(
	    run->tool, "samples", a->samples_in, a->samples_out, a->samples_dropped, out, err);
	if (st == PL_OK && (a->images_in != 0 || a->images_out != 0))
		st = text_side(
		    run->tool, "images", a->images_in, a->images_out, a->images_dropped, out, err);
	if (st == PL_OK)
		st = pl_buf_addf(out, err,
		    "%s: shards: %" PRIu64 " done, %" PRIu64 " found done before, %" PRIu64
		    " failed\n",
		    run->tool, a->units_done, a->units_resumed, a->units_failed);
	if (st == PL_OK)
		st = pl_buf_addf(out, err,
		    "%s: %s in, %s out, %s, %s samples/s, %s/s; %d rank%s, %d worker%s, "
		    "peak memory %s\n",
		    run->tool, pl_human_bytes((double)a->bytes_in, in, sizeof(in)),
		    pl_human_bytes((double)a->bytes_out, made, sizeof(made)),
		    pl_human_seconds(run->seconds, took, sizeof(took)),
		    pl_human_count((double)a->samples_in * per, rate, sizeof(rate)),
		    pl_human_bytes((double)a->bytes_in * per, speed, sizeof(speed)), run->ranks,
		    run->ranks == 1 ? "" : "s", run->workers, run->workers == 1 ? "" : "s",
		    pl_human_bytes((double)run->peak_rss, rss, sizeof(rss)));
	if (st == PL_OK && run->tail != NULL && run->tail->last[0] != '\0')
		st = pl_buf_addf(out, err,
		    "%s: tail: %s between the first idle rank and the last, %.2g %% of a rank's work; last was '%s'\n",
		    run->tool, pl_human_seconds(run->tail->seconds, took, sizeof(took)), run->tail->share * 100,
		    run->tail->last);
	return st;
}

/* json_object_set_new also takes care of a NULL value (no memory). */
static bool set_count(json_t *obj, const char *key, uint64_t n)
{
	return n <= (uint64_t)INT64_MAX &&
	    json_object_set_new(obj, key, json_integer((json_int_t)n)) == 0;
}

static bool set_side(json_t *root, const char *side, uint64_t in, uint64_t out,
    const uint64_t dropped[PL_REASON_COUNT])
{
	json_t *obj = json_object(), *reasons = json_object();
	bool ok = obj != NULL && reasons != NULL;
	unsigned i;

	ok = ok && set_count(obj, "in", in) && set_count(obj, "out", out);
	for (i = 0; ok && i < PL_REASON_COUNT; i++) {
		if (dropped[i] != 0)
			ok = set_count(reasons, pl_reason_name(i), dropped[i]);
	}
	ok = ok && json_object_set(obj, "dropped", reasons) == 0 &&
	    json_object_set(root, side, obj) == 0;
	json_decref(reasons);
	json_decref(obj);
	return ok;
}

static bool set_counts(json_t *root, const struct pl_account *a)
{
	json_t *bytes = json_object(), *units = json_object();
	bool ok;

	ok = set_side(root, "samples", a->samples_in, a->samples_out, a->samples_dropped) &&
	    set_side(root, "images", a->images_in, a->images_out, a->images_dropped) &&
	    set_count(bytes, "in", a->bytes_in) && set_count(bytes, "out", a->bytes_out) &&
	    set_count(units, "done", a->units_done) &&
	    set_count(units, "resumed", a->units_resumed) &&
	    set_count(units, "failed", a->units_failed) &&
	    json_object_set(root, "bytes", bytes) == 0 &&
	    json_object_set(root, "units", units) == 0;
	json_decref(units);
	json_decref(bytes);
	return ok;
}

/* Append root to out; takes root. ok: was it made in full? */
static enum pl_status dump(
    json_t *root, bool ok, size_t flags, struct pl_buf *out, struct pl_err *err)
{
	char *text = ok ? json_dumps(root, flags | JSON_REAL_PRECISION(9)) : NULL;
	enum pl_status st;

	json_decref(root);
	if (text == NULL)
		return pl_fail(err, PL_ERR_NOMEM, PL_SEV_JOB, NULL,
		    "the account cannot be written as JSON: out of memory, or a count beyond 63 bits");
	st = pl_buf_adds(out, text, err);
	free(text);
	return st;
}

enum pl_status pl_account_counts(const struct pl_account *a, struct pl_buf *out, struct pl_err *err)
{
	json_t *root = json_object();

	return dump(root, root != NULL && set_counts(root, a), JSON_COMPACT, out, err);
}

static bool set_tail(json_t *root, const struct pl_account_tail *tail)
{
	json_t *last = json_string(tail->last);

	/* A name that is not UTF-8 is left out: the report has to be readable. */
	if (last == NULL)
		last = json_null();
	return json_object_set_new(root, "tail", json_pack("{s:f, s:f, s:o}", "seconds", tail->seconds, "share", tail->share,
	    "last", last)) == 0;
}

enum pl_status pl_account_json(const struct pl_account *a, const struct pl_account_run *run,
    struct pl_buf *out, struct pl_err *err)
{
	double per = run->seconds > 0 ? 1 / run->seconds : 0;
	json_t *root;
	bool ok;

	root = json_pack("{s:s, s:s, s:f, s:i, s:i, s:I, s:f, s:f}", "tool", run->tool, "version",
	    PL_VERSION, "seconds", run->seconds, "ranks", run->ranks, "workers", run->workers,
	    "peak_rss", (json_int_t)(run->peak_rss & INT64_MAX), "samples_per_second",
	    (double)a->samples_in * per, "bytes_per_second", (double)a->bytes_in * per);
	ok = root != NULL && set_counts(root, a);
	if (ok && run->tail != NULL)
		ok = set_tail(root, run->tail);
	return dump(root, ok, JSON_INDENT(2), out, err);
}

/* An absent count is 0; a negative one or one of another type is an error. */
static bool get_count(const json_t *obj, const char *key, uint64_t *n)
{
	const json_t *v = json_object_get(obj, key);

	if (v == NULL)
		return true;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*n = (uint64_t)json_integer_value(v);
	return true;
}

static bool get_side(const json_t *root, const char *side, uint64_t *in, uint64_t *out,
    uint64_t dropped[PL_REASON_COUNT])
{
	const json_t *obj = json_object_get(root, side), *reasons = json_object_get(obj, "dropped");
	size_t known = 0;
	unsigned i;

	if (!json_is_object(obj) || !json_is_object(reasons))
		return false;
	for (i = 0; i < PL_REASON_COUNT; i++) {
		if (json_object_get(reasons, pl_reason_name(i)) == NULL)
			continue;
		known++;
		if (!get_count(reasons, pl_reason_name(i), &dropped[i]))
			return false;
	}
	/* A reason this version does not know would make samples vanish from the sum. */
	return known == json_object_size(reasons) && get_count(obj, "in", in) &&
	    get_count(obj, "out", out);
}

enum pl_status pl_account_parse(const char *json, struct pl_account *a, struct pl_err *err)
{
	struct pl_account got = { 0 };
	const json_t *bytes, *units;
	enum pl_status st;
	json_t *root;
	bool ok;

	st = pl_json_parse(json, strlen(json), &root, NULL);
	if (st == PL_ERR_NOMEM)
		return pl_fail_nomem(err);
	if (st != PL_OK)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, NULL, "an account that is not JSON");
	bytes = json_object_get(root, "bytes");
	units = json_object_get(root, "units");
	ok = get_side(root, "samples", &got.samples_in, &got.samples_out, got.samples_dropped) &&
	    get_side(root, "images", &got.images_in, &got.images_out, got.images_dropped) &&
	    get_count(bytes, "in", &got.bytes_in) && get_count(bytes, "out", &got.bytes_out) &&
	    get_count(units, "done", &got.units_done) &&
	    get_count(units, "resumed", &got.units_resumed) &&
	    get_count(units, "failed", &got.units_failed);
	json_decref(root);
	if (!ok)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, NULL,
		    "an account with a count that is missing, negative or of an unknown reason");
	*a = got;
	return PL_OK;
}

uint64_t pl_peak_rss(void)
{
	struct rusage ru;
	char *text = NULL, *at;
	uint64_t kib = 0;

	/* ru_maxrss survives exec: under a launcher it may tell the launcher's peak. */
	if (pl_file_read("/proc/self/status", 65536, &text, NULL, NULL) == PL_OK) {
		at = strstr(text, "VmHWM:");
		if (at != NULL)
			kib = strtoull(at + 6, NULL, 10);
		free(text);
	}
	if (kib == 0 && getrusage(RUSAGE_SELF, &ru) == 0)
		kib = (uint64_t)ru.ru_maxrss;
	return kib * 1024;
}
