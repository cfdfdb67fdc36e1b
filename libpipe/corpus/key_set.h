/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes of the keys seen in one shard: 16 bytes a sample while the shard
 * is read, so that a key that comes back is noticed. */
#ifndef PL_CORPUS_KEY_SET_H
#define PL_CORPUS_KEY_SET_H

#include "libpipe/base/err.h"

struct pl_key_set {
	uint64_t *slots;
	size_t used, cap;
}; /* all zero = empty */

/* Add hash; *seen says whether it was there before. */
PL_MUST_CHECK enum pl_status pl_key_set_add(
    struct pl_key_set *s, uint64_t hash, bool *seen, struct pl_err *err);
void pl_key_set_release(struct pl_key_set *s);

#endif
