/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files of the verify step show each other: step_verify.c looks at
 * the data set and its shards, step_verify_samples.c at their samples. */
#ifndef TOOLS_STEP_VERIFY_H
#define TOOLS_STEP_VERIFY_H

#include "steps.h"

/* Damaged samples, kept for the report. */
struct verify_damage {
	const char *shard;   /* name */
	json_t *list;        /* of all shards of this rank: objects of shard, sample, key (or null), why */
	uint64_t told;
	bool no_memory;      /* one could not be kept */
};
/* A sample that can be read but is wrong: it is told on stderr, too. */
void verify_damaged(struct verify_damage *d, uint64_t sample, const char *key, const char *why);

struct verify_samples {
	bool documents;      /* of a data set: each sample's document against its parts, and images in all */
	bool deep;           /* decode every picture */
	double images;       /* as dataset.json says */
};
/* Samples of a shard that is whole. Errors in them are told to damage; PL_ERR_INVALID at shard severity when there were any. */
PL_MUST_CHECK enum pl_status verify_samples(struct tool *t, const char *path, const struct verify_samples *want,
    struct verify_damage *damage, struct pl_err *err);

#endif
