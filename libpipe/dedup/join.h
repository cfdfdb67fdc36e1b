/* SPDX-License-Identifier: Apache-2.0 */
/* All pairs of 256-bit hashes within Hamming distance d, with no miss. First
 * form: tiled exhaustive comparison with popcount; the tiles are independent,
 * so ranks share them by number. README.md has the cost. */
#ifndef PL_DEDUP_JOIN_H
#define PL_DEDUP_JOIN_H

#include "libpipe/base/buf.h"
#include "libpipe/base/err.h"

struct pl_pair { uint32_t a, b; uint32_t distance; };   /* a < b: indices of hashes */

struct pl_join {
	const uint64_t (*hashes)[4];   /* n x 256 bits */
	uint32_t n;
	unsigned distance;             /* d, 0..256 */
	/* NULL, or: may a and b be a pair at all? */
	bool (*related)(void *ctx, uint32_t a, uint32_t b);
	enum pl_status (*poll)(void *ctx, struct pl_err *err);   /* NULL, or called once a tile */
	void *ctx;
};
/* Append part `part` of `parts` of the pairs (as struct pl_pair) to out. The union over parts is the whole result, each pair once. */
PL_MUST_CHECK enum pl_status pl_join_part(const struct pl_join *j, uint32_t part, uint32_t parts, struct pl_buf *out, struct pl_err *err);

#endif
