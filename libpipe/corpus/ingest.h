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

/* A tar shard that can be walked (shards/section.h) in stretches, which may be read at different times and places: their tables, joined in
 * order, are those of pl_ingest_shard to the byte. */
struct pl_stretch { const char *name; uint64_t from, to; };   /* name of its tables; bytes as of shard_section_open */

/* As pl_ingest_shard, for DIR/NAME.samples.npy and DIR/NAME.images.npy; rows are numbered from 0. Damage is an error at shard severity. facts:
 * unit is the stretch's name, bytes its length, hash is 0. */
PL_MUST_CHECK enum pl_status pl_ingest_stretch(const char *path, const char *dir, const struct pl_source *source, const struct pl_stretch *stretch,
    const struct pl_ingest_env *env, struct pl_account *account, struct pl_shard_facts *facts, struct pl_err *err);
/* XXH3-128 of the file as it lies on disk. */
PL_MUST_CHECK enum pl_status pl_ingest_hash(const char *path, const struct pl_ingest_env *env, uint64_t hash[2], struct pl_err *err);
/* Make the shard's tables from those of its n stretches, in order, in directory from. hash: pl_ingest_hash. account and facts as of
 * pl_ingest_shard. Memory: 16 bytes a sample. */
PL_MUST_CHECK enum pl_status pl_ingest_join(const char *path, const char *dir, const struct pl_source *source, const char *from,
    const struct pl_shard_facts *stretches, size_t n, const uint64_t hash[2], const struct pl_ingest_env *env, struct pl_account *account,
    struct pl_shard_facts *facts, struct pl_err *err);

/* Kind of the first sample of a shard, for AUTO. PL_ERR_INVALID tells what was seen and to give --kind. */
PL_MUST_CHECK enum pl_status pl_detect_kind(const char *path, enum pl_kind *kind, struct pl_err *err);

#endif
