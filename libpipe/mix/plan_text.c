/* SPDX-License-Identifier: Apache-2.0 */
/* The plan as a table for people. */
#include "plan.h"

#include <string.h>

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100 * ((double)part / (double)whole) : 0;
}

static enum pl_status line(struct pl_buf *out, int width, const struct pl_plan_source *s,
    const struct pl_plan_source *sum, struct pl_err *err)
{
	return pl_buf_addf(out, err, "%-*s %12llu %12llu %8.3f %9.2f%% %14llu %9.2f%% %16llu %9.2f%%\n",
	    width, s->name, (unsigned long long)s->available, (unsigned long long)s->quota, s->epochs,
	    percent(s->quota, sum->quota), (unsigned long long)s->images,
	    percent(s->images, sum->images), (unsigned long long)s->tokens,
	    percent(s->tokens, sum->tokens));
}

enum pl_status pl_plan_text(const struct pl_plan *p, struct pl_buf *out, struct pl_err *err)
{
	char total[] = "total";
	struct pl_plan_source sum = {.name = total};
	int width = (int)strlen("source");
	enum pl_status st;

	for (size_t i = 0; i < p->nsources; i++) {
		const struct pl_plan_source *s = &p->sources[i];
		size_t len = strlen(s->name);
		sum.available += s->available;
		sum.quota += s->quota;
		sum.images += s->images;
		sum.tokens += s->tokens;
		if (len > (size_t)width)
			width = len < 64 ? (int)len : 64;
	}
	sum.epochs = sum.available ? (double)sum.quota / (double)sum.available : 0;
	st = pl_buf_addf(out, err, "%-*s %12s %12s %8s %10s %14s %10s %16s %10s\n", width, "source",
	    "available", "drawn", "epochs", "share", "images", "share", "tokens", "share");
	for (size_t i = 0; st == PL_OK && i < p->nsources; i++)
		st = line(out, width, &p->sources[i], &sum, err);
	if (st == PL_OK)
		st = line(out, width, &sum, &sum, err);
	if (st == PL_OK)
		st = pl_buf_addf(out, err, "%llu samples in %llu output shards, seed %llu\n",
		    (unsigned long long)p->samples, (unsigned long long)p->shards,
		    (unsigned long long)p->seed);
	return st;
}
