/* SPDX-License-Identifier: Apache-2.0 */
/* One shard in, its two tables out. The unit of work of plait ingest. */
#ifndef PL_CORPUS_INGEST_H
#define PL_CORPUS_INGEST_H

#include "corpus.h"
#include "image_index.h"
#include "language.h"
#include "libpipe/img/pool.h"

struct pl_ingest_env {
	struct pl_pool *pool;                    /* its results arrive in order of submission */
	struct pl_image_index *images;           /* NULL when images come with the samples; keeps files open, hence not const */
	enum pl_status (*poll)(void *ctx, struct pl_err *err);   /* called at every sample: serves tickets; PL_ERR_STOPPED ends the shard */
	void *poll_ctx;
	struct pl_language *language;            /* NULL = not told */
	const struct pl_token_counter *tokens;   /* NULL = by bytes */
};

/* Read shard path and commit DIR/UNIT.samples.npy and DIR/UNIT.images.npy. Every sample becomes a row, every broken one with a reason.
 * A shard damaged in its middle is not an error: its whole samples are rows, facts->damage says what and where. A shard that cannot be
 * opened, is empty or no tar at all is an error at shard severity and leaves nothing. account: samples, images and bytes_in
 * of this shard are added (units are the caller's).
 * Memory: pool window x image ceiling + one sample + one buffered row per pending image. */
PL_MUST_CHECK enum pl_status pl_ingest_shard(const char *path, const char *dir, const struct pl_source *source,
    const struct pl_ingest_env *env, struct pl_account *account, struct pl_shard_facts *facts, struct pl_err *err);

/* Kind of the first sample of a shard, for AUTO. PL_ERR_INVALID tells what was seen and to give --kind. */
PL_MUST_CHECK enum pl_status pl_detect_kind(const char *path, enum pl_kind *kind, struct pl_err *err);

#endif
