/* SPDX-License-Identifier: Apache-2.0 */
/* What a recipe may say: one key against another, and kinds against templates.
 * Asked while it is loaded, so that nothing is found out after hours of work. */
#include <stdio.h>
#include <string.h>

#include "recipe_schema.h"
#include "rules.h"

enum { MAX_NAME = 64 };

enum pl_status pl_recipe_bad(
    const struct pl_recipe *r, uint32_t line, struct pl_err *err, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, r->path, "%s", text);
	if (err && line)
		pl_err_at_line(err, r->path, line);
	return PL_ERR_USAGE;
}

static bool plain_name(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

	return *name && strlen(name) <= MAX_NAME && name[strspn(name, allowed)] == '\0';
}

static enum pl_status check_source(const struct pl_recipe *r, size_t i, struct pl_err *err)
{
	const struct pl_recipe_source *s = &r->sources[i];

	if (!plain_name(s->name))
		return pl_recipe_bad(r, s->line, err,
		    "'name' in sources[%zu] must be 1 to %d letters, digits, '_' or '-', not '%.80s'",
		    i, MAX_NAME, s->name);
	for (size_t k = 0; k < i; k++) {
		if (strcmp(r->sources[k].name, s->name) == 0)
			return pl_recipe_bad(r, s->line, err,
			    "two sources are called '%s', the first at line %u: names must differ",
			    s->name, (unsigned)r->sources[k].line);
	}
	if (s->concepts.line && !s->concepts.entries == !s->concepts.mine.line)
		return pl_recipe_bad(r, s->concepts.line, err,
		    "concepts of source '%s' need either 'entries', the file of a concept list, or 'mine', to make one", s->name);
	if (s->concepts.mine.line && s->concepts.mine.unigrams == 0 && s->concepts.mine.bigrams == 0)
		return pl_recipe_bad(r, s->concepts.mine.line, err, "'mine' in concepts finds nothing: 'unigrams' and 'bigrams' are both 0");
	if (s->concepts.least_line && s->concepts.rule != PL_CONCEPT_LLAVA)
		return pl_recipe_bad(r, s->concepts.least_line, err, "'least' in concepts does nothing without 'rule: llava'");
	if (s->shards.n == 0)
		return pl_recipe_bad(r, s->line, err, "'shards' in sources[%zu] is empty: give at least one pattern", i);
	return PL_OK;
}

/* Can the output in use write the kinds of its sources? */
enum pl_status pl_recipe_check_kinds(const struct pl_recipe *r, struct pl_err *err)
{
	enum pl_status st;

	for (size_t i = 0; i < r->nsources; i++) {
		const struct pl_recipe_source *s = &r->sources[i];
		const char *conflict = pl_kind_conflict(r, (enum pl_kind)s->kind);
		if (conflict)
			return pl_recipe_bad(r, s->line, err, "source '%s' is of kind %s, but %s", s->name,
			    pl_kind_names[s->kind], conflict);
		if ((st = pl_recipe_check_missing(r, s, err)) != PL_OK)
			return st;
	}
	return PL_OK;
}

enum pl_status pl_recipe_check_sources(
    const struct pl_recipe *r, const struct pl_recipe_raw *raw, struct pl_err *err)
{
	if (r->nsources == 0)
		return pl_recipe_bad(r, raw->line.sources, err, "'sources' is empty: give at least one source");
	for (size_t i = 0; i < r->nsources; i++) {
		enum pl_status st = check_source(r, i, err);
		if (st == PL_OK)
			st = pl_recipe_check_filter(r, &r->sources[i], err);
		if (st != PL_OK)
			return st;
	}
	return PL_OK;
}

enum pl_status pl_recipe_check_output(
    const struct pl_recipe *r, const struct pl_recipe_output_raw *raw, struct pl_err *err)
{
	if (!*raw->dir)
		return pl_recipe_bad(r, raw->dir_line, err, "'dir' in output is empty");
	if (raw->work && !*raw->work)
		return pl_recipe_bad(r, raw->work_line, err, "'work' in output is empty");
	if (r->output.max_images > 0 && r->output.min_images > r->output.max_images)
		return pl_recipe_bad(r, raw->min_images_line ? raw->min_images_line : raw->max_images_line, err,
		    "'min_images' in output is %lld, more than 'max_images', %lld",
		    (long long)r->output.min_images, (long long)r->output.max_images);
	if (r->output.fan_in == 1)
		return pl_recipe_bad(r, raw->fan_in_line, err,
		    "'fan_in' in output must be 0 (no bound) or at least 2: an output shard may begin in one input shard and end in another");
	for (size_t i = 0; i < r->output.instructions.n; i++) {
		if (!*r->output.instructions.items[i])
			return pl_recipe_bad(r, raw->instructions_line, err, "'instructions[%zu]' in output is empty", i);
	}
	return pl_recipe_check_pack(r, raw, err);
}
