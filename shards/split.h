/* SPDX-License-Identifier: Apache-2.0 */
/* The name rules that only this room needs; shard_split_name is in tar_read.h. */
#ifndef SHARD_SPLIT_H
#define SHARD_SPLIT_H

#include "libpipe/base/err.h"

/* Is name one of WebDataset's private members, "__...__" as its first component? */
bool shard_name_dunder(const char *name);

/* Does key follow SPEC.md "Keys"? On false *why is static text. */
bool shard_key_valid(const char *key, const char **why);

/* Does suffix follow SPEC.md "Suffixes"? On false *why is static text. */
bool shard_suffix_valid(const char *suffix, const char **why);

#define SHARD_KEY_MAX 200u

#endif
