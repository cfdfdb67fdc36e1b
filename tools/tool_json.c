/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing what the ranks found together; see tool.h. */
#include "libpipe/base/json.h"
#include "tool.h"

#include <stdlib.h>

#define MAX_GATHERED ((size_t)16 << 30)

enum pl_status tool_gather_json(struct tool *t, json_t *mine, json_t **all, struct pl_err *err)
{
	struct pl_buf *to = calloc((size_t)pl_job_size(t->job), sizeof(*to)), everyone;
	uint64_t *lengths = NULL, at = 0;
	json_t *joined = json_array();
	enum pl_status st;

	pl_buf_init(&everyone, MAX_GATHERED);
	st = joined == NULL || to == NULL ? pl_fail_nomem(err) : PL_OK;
	if (st == PL_OK) {
		pl_buf_init(&to[0], MAX_GATHERED);
		st = pl_json_dump(mine, false, &to[0], err);
	}
	st = pl_job_agree(t->job, st, err);
	/* To rank 0 alone: what a million shards have to say is too much for every rank of a node. */
	if (st == PL_OK)
		st = pl_job_exchange(t->job, to, &everyone, &lengths, err);
	for (int r = 0; st == PL_OK && tool_is_root(t) && r < pl_job_size(t->job); at += lengths[r], r++) {
		json_t *part = NULL;
		st = pl_json_parse((char *)everyone.data + at, lengths[r], &part, err);
		if (st == PL_OK && json_array_extend(joined, part) != 0)
			st = pl_fail_nomem(err);
		json_decref(part);
	}
	free(lengths);
	if (to != NULL)
		pl_buf_release(&to[0]);
	free(to);
	pl_buf_release(&everyone);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK)
		*all = joined;
	else
		json_decref(joined);
	return st;
}
