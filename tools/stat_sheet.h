/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plait-stat: a contact sheet. Pictures drawn evenly over a corpus or
 * over shards, made small in the sandboxed workers, with what belongs to them. */
#ifndef TOOLS_STAT_SHEET_H
#define TOOLS_STAT_SHEET_H

#include "libpipe/corpus/corpus.h"
#include "libpipe/img/pool.h"

enum { SHEET_PIXELS = 176 };     /* longer side of a small picture */

struct sheet_tile {
	enum pl_reason verdict;      /* KEEP, or why the picture or its sample was dropped */
	char *key, *text;            /* owned; text: how what stands behind the picture begins, NULL = none */
	bool picture;                /* is there one? jpeg is NULL where it cannot be shown */
	uint8_t *jpeg; size_t len;   /* owned, encoded by our own worker */
	uint32_t width, height;      /* of the picture as it is, after orientation */
};
struct sheet {
	struct sheet_tile *tiles; size_t n;   /* by verdict, then in the order of the corpus */
	uint64_t total[PL_REASON_COUNT];      /* how many the tiles of each verdict were drawn from */
};
void sheet_release(struct sheet *s);

/* At most `most` pictures of each verdict, of those that ingest could decode. A shard that is no longer what was ingested is warned of,
 * and its tiles stay without a picture. */
PL_MUST_CHECK enum pl_status sheet_of_corpus(struct sheet *s, struct pl_corpus *c, struct pl_pool *pool, uint64_t most, struct pl_err *err);

/* The first pictures of at most `most` samples. */
struct sheet_shard { char *path; uint64_t samples; };
PL_MUST_CHECK enum pl_status sheet_of_shards(struct sheet *s, const struct sheet_shard *shards, size_t n, struct pl_pool *pool, uint64_t most,
    struct pl_err *err);

#endif
