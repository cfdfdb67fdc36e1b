/* SPDX-License-Identifier: Apache-2.0 */
/* What corpora are deduplicated against: evaluation corpora, lists of hashes, and
 * corpora that were deduplicated before. */
#ifndef TOOLS_STEP_DEDUP_OTHERS_H
#define TOOLS_STEP_DEDUP_OTHERS_H

#include "libpipe/base/json.h"
#include "libpipe/dedup/hashlist.h"
#include "steps.h"

/* Those of --against in their order, then those of --known. */
struct dedup_others {
	size_t n;
	struct pl_corpus **list;
	struct pl_dedup_other *what;
	struct pl_corpus *corpora; size_t ncorpora;    /* what list points to */
	struct pl_hashlist *hashes; size_t nhashes;
};

/* corpora: the n that get verdicts. PL_ERR_USAGE when one of them is to be left alone, too. */
PL_MUST_CHECK enum pl_status dedup_others_open(struct dedup_others *o, const struct dedup_step *s, const struct pl_corpus *corpora,
    struct pl_err *err);
/* Say which lists are taken to be what nothing says that they are. */
void dedup_others_warn(const struct dedup_others *o);
void dedup_others_close(struct dedup_others *o);
/* Row i of dedup.json's corpora behind those that get verdicts; NULL = no memory. */
json_t *dedup_others_describe(const struct dedup_others *o, size_t i);

#endif
