/* SPDX-License-Identifier: Apache-2.0 */
/* Plain lists of PDQ hashes as evaluation sets: 64 hexadecimal digits a line, then
 * nothing, or blanks and a name (so that what `plait hash` prints is one). Empty
 * lines and lines that begin with '#' are comments; one that says "# hash: RECIPE" tells how the hashes were made. */
#ifndef PL_DEDUP_HASHLIST_H
#define PL_DEDUP_HASHLIST_H

#include <stdio.h>

#include "libpipe/corpus/corpus.h"

struct pl_hash_entry {
	uint64_t pdq[4];
	uint64_t key;            /* hash of the name; without one, of the 64 digits in lower case */
	uint64_t line;           /* in the file, from 1 */
	const char *name;        /* "" = none; valid during the call */
	int recipe;              /* enum pl_hash_recipe, if a line before said so; -1 */
};

/* A list stands among corpora as one of a single shard without tables. */
struct pl_hashlist {
	struct pl_corpus corpus;         /* dir: the file; source.name: its last part; digest: of the hashes and names */
	struct pl_shard_facts shard;     /* samples, images: the entries */
	bool guessed;                    /* neither the caller nor the list said how the hashes were made */
};

/* Read the file once, checking every line, and keep nothing but what struct pl_hashlist says. said: how the hashes were made, or -1:
 * then as the list says, or else as `guess`. PL_ERR_INVALID names file and line and says what a line is; PL_ERR_USAGE: the list says
 * otherwise. */
PL_MUST_CHECK enum pl_status pl_hashlist_open(struct pl_hashlist *l, const char *path, int said, enum pl_hash_recipe guess,
    struct pl_err *err);
/* What a list begins with that says how its hashes were made, without the recipe's name: "# hash: ". */
extern const char pl_hashlist_head[];
/* Works on a zeroed one. */
void pl_hashlist_close(struct pl_hashlist *l);

typedef enum pl_status pl_hashlist_fn(void *ctx, const struct pl_hash_entry *e, struct pl_err *err);
/* Read it again: fn gets the entries in the order of lines. */
PL_MUST_CHECK enum pl_status pl_hashlist_each(const struct pl_hashlist *l, pl_hashlist_fn *fn, void *ctx, struct pl_err *err);
/* The same of a file by its name. */
PL_MUST_CHECK enum pl_status pl_hashlist_read(const char *path, pl_hashlist_fn *fn, void *ctx, struct pl_err *err);
/* The same of what is left of an open file; path is for messages. */
PL_MUST_CHECK enum pl_status pl_hashlist_lines(FILE *f, const char *path, pl_hashlist_fn *fn, void *ctx, struct pl_err *err);

#endif
