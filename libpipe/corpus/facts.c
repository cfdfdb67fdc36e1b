/* SPDX-License-Identifier: Apache-2.0 */
/* What ingest learnt about a shard, as JSON: an entry of manifest.json and the
 * payload of the shard's content record. */
#include "internal.h"

#include "libpipe/base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pl_shard_facts_release(struct pl_shard_facts *f)
{
	if (f == NULL)
		return;
	free(f->path);
	free(f->unit);
	free(f->damage);
	free(f->image_set);
	memset(f, 0, sizeof(*f));
}

struct fact {
	const char *name;
	size_t offset;
};
static const struct fact facts[] = {
	{ "bytes", offsetof(struct pl_shard_facts, bytes) },
	{ "mtime", offsetof(struct pl_shard_facts, mtime) },
	{ "samples", offsetof(struct pl_shard_facts, samples) },
	{ "images", offsetof(struct pl_shard_facts, images) },
	{ "kept", offsetof(struct pl_shard_facts, kept) },
	{ "not_regular", offsetof(struct pl_shard_facts, not_regular) },
	{ "dunder", offsetof(struct pl_shard_facts, dunder) },
	{ "no_key", offsetof(struct pl_shard_facts, no_key) },
};

/* Written only where they are not 0. */
static const struct fact rare[] = {
	{ "related", offsetof(struct pl_shard_facts, related) },
	{ "related_missing", offsetof(struct pl_shard_facts, related_missing) },
	{ "answers_bytes", offsetof(struct pl_shard_facts, answers_bytes) },
	{ "answers_mtime", offsetof(struct pl_shard_facts, answers_mtime) },
};

static uint64_t get(const struct pl_shard_facts *f, const struct fact *what)
{
	uint64_t v;

	memcpy(&v, (const char *)f + what->offset, sizeof(v));
	return v;
}

enum pl_status pl_shard_facts_dump(const struct pl_shard_facts *f, json_t **out, struct pl_err *err)
{
	char hex[33];
	json_t *j;
	size_t i;
	int bad = 0;

	if (!pl_utf8_valid(f->path, strlen(f->path), NULL))
		return pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_SHARD, f->path,
		    "a shard's path must be UTF-8 to be named in the manifest; rename it");
	j = json_object();
	if (j == NULL)
		return pl_fail_nomem(err);
	pl_hash128_hex(f->hash, hex);
	bad |= json_object_set_new(j, "path", json_string(f->path));
	bad |= json_object_set_new(j, "unit", json_string(f->unit));
	bad |= json_object_set_new(j, "xxh3", json_string(hex));
	for (i = 0; i < PL_ARRAY_LEN(facts); i++)
		bad |= json_object_set_new(
		    j, facts[i].name, json_integer((json_int_t)get(f, &facts[i])));
	for (i = 0; i < PL_ARRAY_LEN(rare); i++)
		if (get(f, &rare[i]) != 0)
			bad |= json_object_set_new(
			    j, rare[i].name, json_integer((json_int_t)get(f, &rare[i])));
	if (f->image_set != NULL)
		bad |= json_object_set_new(j, "image_set", json_string(f->image_set));
	if (f->damage != NULL)
		bad |= json_object_set_new(j, "damage", json_string(f->damage));
	if (bad != 0) {
		json_decref(j);
		return pl_fail_nomem(err);
	}
	*out = j;
	return PL_OK;
}

/* A unit names files: it must stay inside the corpus. */
static bool unit_ok(const char *unit)
{
	return unit != NULL && unit[0] != '\0' && strchr(unit, '/') == NULL && strlen(unit) <= 200;
}

static enum pl_status damaged(const char *what, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL,
	    "a shard's entry has no valid '%s'; ingest again", what);
}

static enum pl_status load_strings(const json_t *j, struct pl_shard_facts *f, struct pl_err *err)
{
	const char *path = pl_json_str(j, "path"), *unit = pl_json_str(j, "unit");
	const char *damage = pl_json_str(j, "damage"), *set = pl_json_str(j, "image_set");

	if (path == NULL)
		return damaged("path", err);
	if (!unit_ok(unit))
		return damaged("unit", err);
	if (!pl_hash128_parse(pl_json_str(j, "xxh3"), f->hash))
		return damaged("xxh3", err);
	f->path = strdup(path);
	f->unit = strdup(unit);
	if (damage != NULL)
		f->damage = strdup(damage);
	if (set != NULL)
		f->image_set = strdup(set);
	if (f->path == NULL || f->unit == NULL || (set != NULL && f->image_set == NULL) || (damage != NULL && f->damage == NULL))
		return pl_fail_nomem(err);
	return PL_OK;
}

enum pl_status pl_shard_facts_load(const json_t *j, struct pl_shard_facts *f, struct pl_err *err)
{
	enum pl_status st;
	size_t i;

	memset(f, 0, sizeof(*f));
	st = load_strings(j, f, err);
	for (i = 0; st == PL_OK && i < PL_ARRAY_LEN(facts); i++) {
		const json_t *v = json_object_get(j, facts[i].name);
		uint64_t value;

		if (!json_is_integer(v) || json_integer_value(v) < 0) {
			st = damaged(facts[i].name, err);
			break;
		}
		value = (uint64_t)json_integer_value(v);
		memcpy((char *)f + facts[i].offset, &value, sizeof(value));
	}
	for (i = 0; st == PL_OK && i < PL_ARRAY_LEN(rare); i++) {
		const json_t *v = json_object_get(j, rare[i].name);
		uint64_t value = json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;

		memcpy((char *)f + rare[i].offset, &value, sizeof(value));
	}
	if (st == PL_OK && f->kept > f->samples)
		st = damaged("kept", err);
	if (st != PL_OK)
		pl_shard_facts_release(f);
	return st;
}
