/* SPDX-License-Identifier: Apache-2.0 */
/* Balancing by concepts: which samples stay, given how many samples each entry
 * of a concept list stands in. Draws are keyed by (seed, sample, entry's text):
 * neither ranks nor the order of shards or entries changes them.
 *
 * metaclip: Xu et al., arXiv 2309.16671, algorithm 1. An entry in `count` samples fires with probability min(1, cap / count); a
 * sample stays if any of its entries fires: 1 - prod(1 - p_e).
 * llava: Liu et al., arXiv 2304.08485, appendix (CC3M-595K). Entries in fewer than `least` samples are left out; of the
 * others all samples stay, or a random `cap` of them where there are more. The paper goes from the rarest entry upward; what
 * it gathers is a union, so the order decides nothing. */
#ifndef PL_MIX_CONCEPT_RULE_H
#define PL_MIX_CONCEPT_RULE_H

#include "libpipe/base/reason.h"
#include <stdbool.h>
#include <stddef.h>

enum pl_concept_rule { PL_CONCEPT_METACLIP, PL_CONCEPT_LLAVA };
extern const char *const pl_concept_rule_names[];   /* "metaclip", "llava"; NULL-terminated */

struct pl_concept_quota {
	enum pl_concept_rule rule;
	uint64_t cap;                  /* samples per entry: metaclip's t, llava's 100; >= 1 */
	uint64_t least;                /* llava: entries in fewer samples are left out */
	uint64_t seed;
	const uint64_t *counts;        /* per entry: samples it stands in */
	const uint64_t *hashes;        /* per entry: pl_concepts_hash */
	const uint64_t *limits;        /* llava, per entry: the cap-th smallest draw among its samples; UINT64_MAX where all stay */
};

/* The draw of an entry in a sample; sample: the same number for it everywhere. */
uint64_t pl_concept_draw(uint64_t seed, uint64_t sample, uint64_t entry_hash);
/* KEEP, NO_CONCEPT (no entry, or none that counts, stands in it), CONCEPT_CAPPED. entries: n numbers, each once. */
enum pl_reason pl_concept_verdict(const struct pl_concept_quota *q, uint64_t sample, const uint32_t *entries, size_t n);

/* The smallest draws of entries, for llava's limits. Keeps of n draws (modified) the cap smallest of each entry, sorted by entry and
 * draw; returns how many. Doing so with parts first and with their results after gives the same. */
struct pl_entry_draw { uint64_t draw; uint32_t entry, zero; };
size_t pl_concept_smallest(struct pl_entry_draw *d, size_t n, uint64_t cap);

#endif
