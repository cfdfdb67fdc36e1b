/* SPDX-License-Identifier: Apache-2.0 */
/* Internals of the resize step. */
#ifndef TOOLS_STEP_RESIZE_H
#define TOOLS_STEP_RESIZE_H

#include "libpipe/base/file.h"
#include "libpipe/base/json.h"
#include "libpipe/img/pdq.h"
#include "shards/writer.h"
#include "tool_split.h"

/* Where text is a JSON object with the members width and height (img2dataset's), put the new numbers in their place. */
PL_MUST_CHECK enum pl_status resize_update_json(struct pl_buf *text, uint32_t width, uint32_t height, struct pl_err *err);

/* Hashes on their way to DIR/STEM.pdq-aa. Works zeroed: nothing is open. */
#define RESIZE_HASHES_SUFFIX ".pdq-aa"
struct resize_hashes { struct pl_outfile file; struct pl_buf lines; };
/* Remove a list that an earlier run left; none is fine. */
PL_MUST_CHECK enum pl_status resize_hashes_remove(const char *path, struct pl_err *err);
/* Released by the caller whatever the answer is. */
PL_MUST_CHECK enum pl_status resize_hashes_open(struct resize_hashes *h, const char *path, struct pl_err *err);
/* One picture, under the name it has in the shard. */
PL_MUST_CHECK enum pl_status resize_hashes_add(struct resize_hashes *h, const struct pl_pdq *pdq, const char *key, const char *suffix,
    struct pl_err *err);
PL_MUST_CHECK enum pl_status resize_hashes_commit(struct resize_hashes *h, struct pl_err *err);
/* A line as it stands in another list, its newline included. */
PL_MUST_CHECK enum pl_status resize_hashes_line(struct resize_hashes *h, const char *line, size_t len, struct pl_err *err);
/* What was not committed is gone. */
void resize_hashes_release(struct resize_hashes *h);

/* What a shard is made from: the file, one piece of it, or what was made of its pieces, in order. */
struct resize_from { const char *path; const struct tool_piece *piece, *pieces; size_t n; };

/* Add the samples of a finished piece to w and, where h is not NULL, its hashes to h. A key that an earlier piece had costs the sample: account
 * is that of all pieces and is put right. */
PL_MUST_CHECK enum pl_status resize_join_piece(struct tool *t, const struct tool_piece *p, struct shard_writer *w, struct resize_hashes *h,
    struct pl_account *account, struct pl_err *err);

#endif
