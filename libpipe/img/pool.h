/* SPDX-License-Identifier: Apache-2.0 */
/* The codec pool: foreign bytes meet a decoder only in forked workers under
 * rlimits and a seccomp filter, fed through shared memory. A worker that dies,
 * hangs or breaks a limit costs one image. Start it before MPI_Init and before
 * any thread. Results come back in the order of submission. */
#ifndef PL_IMG_POOL_H
#define PL_IMG_POOL_H

#include "image.h"
#include "pdq.h"
#include "resize.h"
#include "stats.h"

enum pl_sandbox { PL_SANDBOX_AUTO, PL_SANDBOX_REQUIRE, PL_SANDBOX_OFF };

struct pl_pool_config {
	int workers;                 /* 0 = cores this process may run on */
	enum pl_sandbox sandbox;     /* AUTO: rlimits only where seccomp is missing, and says so through pl_pool_seccomp */
	struct pl_img_limits limits;
	size_t window;               /* most images under way or waiting to be collected; 0 = 4 x workers, at least 16 */
};

enum pl_pool_op {
	PL_POOL_SCAN,                /* probe, decode small, hash, statistics, XXH3-128 of the bytes */
	PL_POOL_TRANSFORM,           /* decode, orient, resize, encode (or pass through) */
	PL_POOL_VERIFY               /* decode fully; is it a picture? */
};

struct pl_pool_job {
	enum pl_pool_op op;
	const void *data; size_t len;        /* copied in before submit returns */
	enum pl_hash_recipe hash;            /* SCAN */
	bool dihedral;                       /* SCAN: the hashes of the picture turned and mirrored, too */
	struct pl_resize resize;             /* TRANSFORM */
	uint64_t tag;                        /* given back */
};

struct pl_pool_result {
	uint64_t tag;
	enum pl_pool_op op;
	enum pl_reason reason;               /* PL_REASON_KEEP = fine */
	struct pl_img_info info;             /* SCAN, TRANSFORM: of the input, as far as known even on failure */
	uint8_t xxh3[16];                    /* SCAN: canonical XXH3-128 of the bytes, on failure too */
	struct pl_pdq pdq;                   /* SCAN; TRANSFORM where resize.hash asks for it; zeros unless reason is KEEP */
	struct pl_pdq dihedral[PL_DIHEDRAL_COUNT]; /* SCAN; zeros unless the job asks for them and reason is KEEP */
	struct pl_img_stats stats;           /* SCAN; zeros unless reason is KEEP */
	bool passthrough;                    /* TRANSFORM: keep the input's bytes; data = NULL */
	enum pl_format format;               /* TRANSFORM: of the output */
	uint32_t width, height;              /* TRANSFORM: of the output; SCAN: oriented size of the input */
	const uint8_t *data; size_t len;     /* TRANSFORM: encoded bytes, valid until the next pl_pool_next or _free */
	/* TRANSFORM: tiles, columns x rows of them, row by row, each tile_w x tile_h: behind data[len], one after another, as long valid.
	 * Together with data they are no larger than limits.max_bytes. len and width are 0 where only tiles are written. */
	uint32_t columns, rows, tile_w, tile_h;
	size_t tile_len[PL_TILES_MAX];
};

struct pl_pool;
/* Fork a nursery process, which forks (and replaces) the workers; the caller forks nothing afterwards. */
PL_MUST_CHECK enum pl_status pl_pool_new(struct pl_pool **pool, const struct pl_pool_config *config, struct pl_err *err);
/* End workers and nursery, reap them. */
void pl_pool_free(struct pl_pool *pool);

/* Can another job be submitted without blocking (window not full)? */
bool pl_pool_has_room(const struct pl_pool *pool);
size_t pl_pool_pending(const struct pl_pool *pool);    /* submitted, not yet collected */
uint64_t pl_pool_collected(const struct pl_pool *pool); /* since it was made */
/* Submit; the caller makes sure of room. Oversized input is not copied: its result is TOO_LARGE; empty input EMPTY. */
PL_MUST_CHECK enum pl_status pl_pool_submit(struct pl_pool *pool, const struct pl_pool_job *job, struct pl_err *err);
/* The oldest job's result; waits up to timeout_ms (-1 = for ever). PL_OK with *ready false on time-out;
 * PL_END when nothing is pending. Errors only when the pool itself is broken (job severity). */
PL_MUST_CHECK enum pl_status pl_pool_next(struct pl_pool *pool, int timeout_ms, bool *ready, struct pl_pool_result *r,
    struct pl_err *err);
bool pl_pool_seccomp(const struct pl_pool *pool);      /* is the seccomp filter on? */
int pl_pool_workers(const struct pl_pool *pool);
uint64_t pl_pool_replaced(const struct pl_pool *pool); /* workers that died so far */

#endif
