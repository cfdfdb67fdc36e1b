/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing what the ranks found together; see tool.h. */
#include "libpipe/base/json.h"
#include "tool.h"

#include <stdlib.h>

#define MAX_GATHERED ((size_t)16 << 30)

enum pl_status tool_gather_json(struct tool *t, json_t *mine, json_t **all, struct pl_err *err)
{
	struct pl_buf text, everyone;
	uint64_t *lengths = NULL, at = 0;
	json_t *joined = json_array();
	enum pl_status st;

	pl_buf_init(&text, MAX_GATHERED);
	pl_buf_init(&everyone, MAX_GATHERED);
	st = joined == NULL ? pl_fail_nomem(err) : pl_json_dump(mine, false, &text, err);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK)
		st = pl_job_gather(t->job, text.data, text.len, &everyone, &lengths, err);
	for (int r = 0; st == PL_OK && tool_is_root(t) && r < pl_job_size(t->job); at += lengths[r], r++) {
		json_t *part = NULL;
		st = pl_json_parse((char *)everyone.data + at, lengths[r], &part, err);
		if (st == PL_OK && json_array_extend(joined, part) != 0)
			st = pl_fail_nomem(err);
		json_decref(part);
	}
	free(lengths);
	pl_buf_release(&text);
	pl_buf_release(&everyone);
	st = pl_job_agree(t->job, st, err);
	if (st == PL_OK)
		*all = joined;
	else
		json_decref(joined);
	return st;
}
