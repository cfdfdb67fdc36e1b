/* SPDX-License-Identifier: Apache-2.0 */
/* The plan as a report: a table for people, an object for programs. */
#include <string.h>

#include "plan.h"

/* The column of names: so wide at most. */
enum { WIDEST = 64 };

static double share(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

static void add(struct pl_plan_source *sum, const struct pl_plan_source *s)
{
	sum->rows += s->rows;
	sum->filtered += s->filtered;
	sum->deduped += s->deduped;
	sum->available += s->available;
	sum->demoted += s->demoted;
	sum->quota += s->quota;
	sum->images += s->images;
	sum->tokens += s->tokens;
	sum->epochs = share(sum->quota, sum->available);
}

/* The entries of one source, from i on: their number, and their sum. */
static size_t sum_source(const struct pl_plan *p, size_t i, struct pl_plan_source *sum)
{
	size_t n = 0;

	*sum = (struct pl_plan_source){.source = p->sources[i].source};
	while (i + n < p->nsources && p->sources[i + n].source == sum->source)
		add(sum, &p->sources[i + n++]);
	return n;
}

/* Name of the source: what stands before the group. */
static int name_len(const struct pl_plan_source *s)
{
	return (int)(s->group ? strlen(s->name) - strlen(s->group) - 1 : strlen(s->name));
}

static enum pl_status line(struct pl_buf *out, int width, const char *name, int len, const struct pl_plan_source *s,
    const struct pl_plan_source *sum, struct pl_err *err)
{
	return pl_buf_addf(out, err, "%-*.*s %12llu %12llu %12llu %12llu %12llu %8.3f %9.2f%% %14llu %9.2f%% %16llu %9.2f%%\n", width, len, name,
	    (unsigned long long)s->rows, (unsigned long long)s->filtered, (unsigned long long)s->deduped, (unsigned long long)s->available,
	    (unsigned long long)s->quota,
	    s->epochs, 100 * share(s->quota, sum->quota), (unsigned long long)s->images, 100 * share(s->images, sum->images),
	    (unsigned long long)s->tokens, 100 * share(s->tokens, sum->tokens));
}

static int width_of(const struct pl_plan *p)
{
	size_t width = strlen("source");

	for (size_t i = 0; i < p->nsources; i++) {
		const struct pl_plan_source *s = &p->sources[i];
		size_t len = s->group ? strlen(s->group) + 2 : strlen(s->name);
		width = len > width ? len : width;
	}
	return width < WIDEST ? (int)width : WIDEST;
}

/* One source, and its groups indented below. */
static enum pl_status add_source(struct pl_buf *out, const struct pl_plan *p, size_t i, size_t n, int width,
    const struct pl_plan_source *of, const struct pl_plan_source *sum, struct pl_err *err)
{
	enum pl_status st = line(out, width, p->sources[i].name, name_len(&p->sources[i]), of, sum, err);

	for (size_t k = i; p->sources[i].group && k < i + n && st == PL_OK; k++) {
		st = pl_buf_adds(out, "  ", err);
		if (st == PL_OK)
			st = line(out, width - 2, p->sources[k].group, WIDEST - 2, &p->sources[k], sum, err);
	}
	return st;
}

enum pl_status pl_plan_text(const struct pl_plan *p, struct pl_buf *out, struct pl_err *err)
{
	struct pl_plan_source sum = {0}, of;
	int width = width_of(p);
	uint64_t fan_in = 0;
	enum pl_status st;

	for (size_t i = 0; i < p->nsources; i++) {
		add(&sum, &p->sources[i]);
		fan_in = p->sources[i].fan_in > fan_in ? p->sources[i].fan_in : fan_in;
	}
	st = pl_buf_addf(out, err, "%-*s %12s %12s %12s %12s %12s %8s %10s %14s %10s %16s %10s\n", width, "source", "available",
	    "after filter", "after dedup", "kept", "drawn", "epochs", "share", "images", "share", "tokens", "share");
	for (size_t i = 0, n; i < p->nsources && st == PL_OK; i += n) {
		n = sum_source(p, i, &of);
		st = add_source(out, p, i, n, width, &of, &sum, err);
	}
	if (st == PL_OK)
		st = line(out, width, "total", WIDEST, &sum, &sum, err);
	if (st == PL_OK && sum.demoted > 0)
		st = pl_buf_addf(out, err, "%llu of the samples kept have lost their images and are text\n", (unsigned long long)sum.demoted);
	if (st == PL_OK)
		st = pl_buf_addf(out, err, "%llu samples in %llu output shards, seed %llu; an output shard reads from %llu input shards of a source at most\n",
		    (unsigned long long)p->samples, (unsigned long long)p->shards,
		    (unsigned long long)p->seed, (unsigned long long)fan_in);
	return st;
}

static json_t *entry_json(const char *key, const char *name, int len, const struct pl_plan_source *s, const struct pl_plan_source *sum)
{
	return json_pack("{s:s%,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:I,s:I,s:{s:f,s:f,s:f}}", key, name, (size_t)len, "available",
	    (json_int_t)s->rows, "after_filter", (json_int_t)s->filtered, "after_dedup", (json_int_t)s->deduped, "kept",
	    (json_int_t)s->available, "demoted_to_text",
	    (json_int_t)s->demoted, "drawn", (json_int_t)s->quota, "epochs", s->epochs, "images", (json_int_t)s->images, "tokens",
	    (json_int_t)s->tokens, "share", "samples", share(s->quota, sum->quota), "images", share(s->images, sum->images), "tokens",
	    share(s->tokens, sum->tokens));
}

static json_t *source_json(const struct pl_plan *p, size_t i, size_t n, const struct pl_plan_source *of, const struct pl_plan_source *sum)
{
	json_t *o = entry_json("name", p->sources[i].name, name_len(&p->sources[i]), of, sum), *groups;
	bool ok = o != NULL;

	if (!ok || !p->sources[i].group)
		return o;
	groups = json_array();
	for (size_t k = i; k < i + n && ok; k++) {
		const struct pl_plan_source *s = &p->sources[k];
		ok = json_array_append_new(groups, entry_json("group", s->group, (int)strlen(s->group), s, sum)) == 0;
	}
	if (json_object_set_new(o, "groups", groups) == 0 && ok)
		return o;
	json_decref(o);
	return NULL;
}

enum pl_status pl_plan_report(const struct pl_plan *p, json_t **out, struct pl_err *err)
{
	struct pl_plan_source sum = {0}, of;
	json_t *list = json_array(), *total;
	bool ok = list != NULL;

	for (size_t i = 0; i < p->nsources; i++)
		add(&sum, &p->sources[i]);
	for (size_t i = 0, n; i < p->nsources && ok; i += n) {
		n = sum_source(p, i, &of);
		ok = json_array_append_new(list, source_json(p, i, n, &of, &sum)) == 0;
	}
	total = entry_json("name", "total", (int)strlen("total"), &sum, &sum);
	*out = ok && total ? json_pack("{s:I,s:I,s:O,s:O}", "seed", (json_int_t)p->seed, "shards", (json_int_t)p->shards, "sources", list,
	    "total", total) : NULL;
	json_decref(list);
	json_decref(total);
	return *out ? PL_OK : pl_fail_nomem(err);
}
