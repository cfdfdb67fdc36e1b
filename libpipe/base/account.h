/* SPDX-License-Identifier: Apache-2.0 */
/* The final account: in = out + dropped by reason (+ not drawn), always. And
 * its two faces: text on stderr, JSON for --report. */
#ifndef PL_BASE_ACCOUNT_H
#define PL_BASE_ACCOUNT_H

#include "buf.h"
#include "err.h"
#include "reason.h"

/* Plain numbers only, so that ranks can add accounts up as arrays of uint64_t. */
struct pl_account {
	uint64_t samples_in, samples_out;
	uint64_t samples_dropped[PL_REASON_COUNT];   /* [PL_REASON_KEEP] stays 0 */
	uint64_t images_in, images_out;
	uint64_t images_dropped[PL_REASON_COUNT];
	uint64_t bytes_in, bytes_out;
	uint64_t units_done, units_resumed, units_failed;   /* shards made, found done, given up */
};
#define PL_ACCOUNT_WORDS (sizeof(struct pl_account) / sizeof(uint64_t))

void pl_account_add(struct pl_account *sum, const struct pl_account *a);
/* Do both equations hold? If not *what says which side differs by how much (static text). */
bool pl_account_balances(const struct pl_account *a, char what[160]);

/* From when the first rank found no more work until the last one did, over the parts of a step. */
struct pl_account_tail {
	double seconds;
	double share;                  /* the work then still to be done by one rank, of a rank's part in all of it */
	char last[128];                /* what was worked on last, where it took longest */
};

struct pl_account_run {            /* what the account does not know */
	const char *tool;
	double seconds;
	uint64_t peak_rss;             /* bytes, largest over ranks */
	int ranks, workers;
	const struct pl_account_tail *tail;   /* NULL = one rank */
};
/* Text for people, several lines, each starting with the tool's name. */
PL_MUST_CHECK enum pl_status pl_account_text(const struct pl_account *a, const struct pl_account_run *run,
    struct pl_buf *out, struct pl_err *err);
/* One JSON object; zero reasons left out. */
PL_MUST_CHECK enum pl_status pl_account_json(const struct pl_account *a, const struct pl_account_run *run,
    struct pl_buf *out, struct pl_err *err);
/* The counts alone as a compact JSON object, and back (content-record payloads, dataset.json). */
PL_MUST_CHECK enum pl_status pl_account_counts(const struct pl_account *a, struct pl_buf *out, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_account_parse(const char *json, struct pl_account *a, struct pl_err *err);
uint64_t pl_peak_rss(void);   /* of this process, bytes */

#endif
