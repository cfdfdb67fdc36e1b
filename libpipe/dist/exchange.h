/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange with its message size laid open, for tests; all others use job.h. */
#ifndef PL_DIST_EXCHANGE_H
#define PL_DIST_EXCHANGE_H

#include "job.h"

/* pl_job_exchange in messages of at most chunk bytes (0 < chunk < 2^31, the same on every rank). Collective. */
PL_MUST_CHECK enum pl_status pl_job_exchange_chunks(struct pl_job *job, const struct pl_buf *to, struct pl_buf *from, uint64_t **lengths,
    uint64_t chunk, struct pl_err *err);

#endif
