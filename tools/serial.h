/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of the serial tools: parse, run, check stdout, exit code. They never
 * start MPI. */
#ifndef TOOLS_SERIAL_H
#define TOOLS_SERIAL_H

#include "libpipe/base/err.h"
#include "libpipe/base/json.h"
#include "libpipe/base/log.h"
#include "libpipe/base/opt.h"
#include "shards/shard.h"
#include "shards/tar_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parse the options, call run with the operands, and report. Returns the exit code. */
int serial_main(const struct pl_tool *tool, int argc, char **argv, enum pl_status (*run)(int argc, char **argv, struct pl_err *err));
/* Bytes to stdout, checked. */
PL_MUST_CHECK enum pl_status serial_write(const void *data, size_t len, struct pl_err *err);
/* Text to stdout with control characters (but newline and tab) made visible: what comes from a shard is not trusted by a terminal. */
PL_MUST_CHECK enum pl_status serial_write_text(const char *text, size_t len, struct pl_err *err);

/* Samples of one shard that an option chose: a key, a number, the first n, or all. */
struct serial_pick { const char *key; int64_t number, head; /* -1 = not given */ };
/* Call fn for each. Key and number use the index of a seekable shard (one frame is read); other shards and "-" are streamed. io: bytes
 * read from the file, where known (may be NULL). PL_ERR_NOTFOUND when a key or number is not there. */
PL_MUST_CHECK enum pl_status serial_samples(const char *path, const struct serial_pick *pick,
    enum pl_status (*fn)(void *ctx, const char *path, const struct shard_sample *s, struct pl_err *err), void *ctx, uint64_t *io, struct pl_err *err);

#endif
