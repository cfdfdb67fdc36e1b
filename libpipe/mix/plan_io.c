/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as JSON: fixed key order, so that the same plan is the same bytes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "libpipe/base/json.h"
#include "libpipe/base/opt.h"
#include "plan.h"

#define FORMAT "plait-plan"
enum { VERSION = 3, MAX_BYTES = 64 << 20, MAX_SOURCES = 1 << 20 };

/* ---- writing ---- */

/* Collects failures, so that a row of calls needs one check. */
struct object { json_t *o; bool bad; };

static void put(struct object *to, const char *key, json_t *v)
{
	if (json_object_set_new(to->o, key, v) != 0)
		to->bad = true;
}

static void put_count(struct object *to, const char *key, uint64_t v)
{
	if (v > INT64_MAX)
		to->bad = true;
	put(to, key, json_integer((json_int_t)(v & INT64_MAX)));
}

static json_t *dump_source(const struct pl_plan_source *s)
{
	struct object to = {.o = json_object()};
	char hex[33];

	pl_hash128_hex(s->digest, hex);
	put(&to, "name", json_string(s->name));
	put_count(&to, "source", s->source);
	if (s->group)
		put(&to, "group", json_string(s->group));
	put(&to, "corpus", json_string(s->corpus));
	put(&to, "digest", json_string(hex));
	put(&to, "weight", json_real(s->weight));
	put_count(&to, "available", s->rows);
	put_count(&to, "after_filter", s->filtered);
	put_count(&to, "after_dedup", s->deduped);
	put_count(&to, "kept", s->available);
	put_count(&to, "kept_images", s->available_images);
	put_count(&to, "kept_tokens", s->available_tokens);
	put_count(&to, "demoted_to_text", s->demoted);
	put_count(&to, "drawn", s->quota);
	put_count(&to, "images", s->images);
	put_count(&to, "tokens", s->tokens);
	put_count(&to, "groups", s->groups);
	put_count(&to, "fan_in", s->fan_in);
	put(&to, "epochs", json_real(s->epochs));
	if (!to.bad)
		return to.o;
	json_decref(to.o);
	return NULL;
}

static json_t *dump_plan(const struct pl_plan *p)
{
	struct object to = {.o = json_object()};
	json_t *sources = json_array();

	put(&to, "format", json_string(FORMAT));
	put(&to, "version", json_integer(VERSION));
	put(&to, "plait", json_string(PL_VERSION));
	put_count(&to, "output", p->output);
	put_count(&to, "seed", p->seed);
	put_count(&to, "shards", p->shards);
	put_count(&to, "samples", p->samples);
	put_count(&to, "fan_in", p->fan_in);
	for (size_t i = 0; i < p->nsources; i++) {
		if (json_array_append_new(sources, dump_source(&p->sources[i])) != 0)
			to.bad = true;
	}
	put(&to, "sources", sources);
	put(&to, "recipe_path", json_string(p->recipe_path));
	put(&to, "recipe", json_string(p->recipe_text));
	if (!to.bad)
		return to.o;
	json_decref(to.o);
	return NULL;
}

enum pl_status pl_plan_save(const struct pl_plan *p, const char *path, struct pl_err *err)
{
	struct pl_buf out;
	enum pl_status st;
	json_t *j;

	errno = 0;   /* the library does not say why */
	j = dump_plan(p);
	if (!j && errno == ENOMEM)
		return pl_fail_nomem(err);
	if (!j)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, path,
		    "the plan cannot be written as JSON: a path that is not UTF-8, or a seed above 2^63 - 1");
	pl_buf_init(&out, 0);
	st = pl_json_dump(j, true, &out, err);
	if (st == PL_OK)
		st = pl_buf_adds(&out, "\n", err);
	if (st == PL_OK)
		st = pl_file_write(path, out.data, out.len, err);
	pl_buf_release(&out);
	json_decref(j);
	return st;
}

/* ---- reading ---- */

struct reader { const char *path; struct pl_err *err; enum pl_status st; };

static void fail(struct reader *r, const char *key, const char *must)
{
	if (r->st == PL_OK)
		r->st = pl_fail(r->err, PL_ERR_INVALID, PL_SEV_JOB, r->path,
		    "no plan of this version: '%s' must be %s", key, must);
}

static uint64_t get_count(struct reader *r, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0) {
		fail(r, key, "a whole number, 0 or more");
		return 0;
	}
	return (uint64_t)json_integer_value(v);
}

static double get_real(struct reader *r, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_number(v) || !(json_number_value(v) >= 0)) {
		fail(r, key, "a number, 0 or more");
		return 0;
	}
	return json_number_value(v);
}

static char *get_text(struct reader *r, const json_t *o, const char *key)
{
	const char *s = pl_json_str(o, key);
	char *copy = s ? strdup(s) : NULL;

	if (!s)
		fail(r, key, "text");
	else if (!copy && r->st == PL_OK)
		r->st = pl_fail_nomem(r->err);
	return copy;
}

static void get_digest(struct reader *r, const json_t *o, uint64_t digest[2])
{
	if (!pl_hash128_parse(pl_json_str(o, "digest"), digest))
		fail(r, "digest", "32 hexadecimal digits");
}

static void load_source(struct reader *r, const json_t *o, struct pl_plan_source *s)
{
	uint64_t source = get_count(r, o, "source");

	s->name = get_text(r, o, "name");
	if (json_object_get(o, "group"))
		s->group = get_text(r, o, "group");
	if (source > MAX_SOURCES)
		fail(r, "source", "the number of a source");
	s->source = (uint32_t)source;
	s->corpus = get_text(r, o, "corpus");
	get_digest(r, o, s->digest);
	s->weight = get_real(r, o, "weight");
	s->rows = get_count(r, o, "available");
	s->filtered = get_count(r, o, "after_filter");
	s->deduped = get_count(r, o, "after_dedup");
	s->available = get_count(r, o, "kept");
	s->available_images = get_count(r, o, "kept_images");
	s->available_tokens = get_count(r, o, "kept_tokens");
	s->demoted = get_count(r, o, "demoted_to_text");
	s->quota = get_count(r, o, "drawn");
	s->images = get_count(r, o, "images");
	s->tokens = get_count(r, o, "tokens");
	s->groups = get_count(r, o, "groups");
	s->fan_in = get_count(r, o, "fan_in");
	s->epochs = get_real(r, o, "epochs");
	if (s->quota > 0 && s->available == 0)
		fail(r, "drawn", "0 where nothing is kept");
}

static void load_sources(struct reader *r, const json_t *list, struct pl_plan *p)
{
	size_t n = json_array_size(list);
	uint64_t samples = 0;

	if (!json_is_array(list) || n == 0 || n > MAX_SOURCES) {
		fail(r, "sources", "a list of sources");
		return;
	}
	p->sources = calloc(n, sizeof(*p->sources));
	if (!p->sources) {
		r->st = pl_fail_nomem(r->err);
		return;
	}
	for (size_t i = 0; i < n && r->st == PL_OK; i++) {
		p->nsources = i + 1;
		load_source(r, json_array_get(list, i), &p->sources[i]);
		if (samples > (uint64_t)INT64_MAX - p->sources[i].quota)
			fail(r, "drawn", "a possible number");
		else
			samples += p->sources[i].quota;
	}
	if (samples != p->samples)
		fail(r, "samples", "the sum of all that is drawn");
}

static void load_plan(struct reader *r, const json_t *j, struct pl_plan *p)
{
	const char *format = pl_json_str(j, "format");

	if (!format || strcmp(format, FORMAT) != 0)
		fail(r, "format", "\"" FORMAT "\"");
	if (get_count(r, j, "version") != VERSION)
		fail(r, "version", "3 (make the plan again)");
	if (r->st != PL_OK)
		return;
	p->output = get_count(r, j, "output");
	p->seed = get_count(r, j, "seed");
	p->shards = get_count(r, j, "shards");
	p->samples = get_count(r, j, "samples");
	p->fan_in = get_count(r, j, "fan_in");
	if (p->shards < 1 || p->shards > UINT32_MAX || p->shards > p->samples)
		fail(r, "shards", "between 1 and the number of samples");
	p->recipe_path = get_text(r, j, "recipe_path");
	p->recipe_text = get_text(r, j, "recipe");
	if (r->st == PL_OK)
		load_sources(r, json_object_get(j, "sources"), p);
}

enum pl_status pl_plan_load(struct pl_plan *p, const char *path, struct pl_err *err)
{
	struct reader r = {.path = path, .err = err, .st = PL_OK};
	json_t *j = NULL;
	enum pl_status st = pl_json_load(path, MAX_BYTES, &j, err);

	memset(p, 0, sizeof(*p));
	if (st != PL_OK)
		return st;
	load_plan(&r, j, p);
	json_decref(j);
	if (r.st != PL_OK)
		pl_plan_release(p);
	return r.st;
}
