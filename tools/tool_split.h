/* SPDX-License-Identifier: Apache-2.0 */
/* Work on shards where one may be as long as all others: such a shard is cut
 * between samples, its pieces are tickets of their own, and what they made is
 * joined in order, to the bytes that the shard in one piece gives. */
#ifndef TOOLS_TOOL_SPLIT_H
#define TOOLS_TOOL_SPLIT_H

#include "tool.h"

/* A piece's files lie in dir, which goes when all is done; their names begin with id, which is the same whatever the number of ranks as long as
 * the cut is. from and to as of shards/section.h. */
struct tool_piece { const char *shard, *dir; char id[40]; uint64_t from, to; };

struct tool_split {
	const struct pl_names *shards;   /* NULL: standard input, and nothing is split */
	const char *dir;                 /* of the outputs: pieces lie in DIR/.plait/pieces */
	void *ctx;
	tool_unit_fn *whole;             /* a shard in one piece; resumes, reports and counts by itself */
	/* Is the shard still to be done, and can it be split? */
	enum pl_status (*wanted)(struct tool *t, void *ctx, const char *shard, bool *wanted, struct pl_err *err);
	/* Make a piece, or find it made. An error at shard severity: the shard will be done whole. */
	enum pl_status (*piece)(struct tool *t, void *ctx, const struct tool_piece *p, struct pl_err *err);
	/* What has to see all bytes of the file in order, as a ticket of its own; p->id is the shard's, from is 0. NULL = nothing. */
	enum pl_status (*pass)(struct tool *t, void *ctx, const struct tool_piece *p, struct pl_err *err);
	double join_cost;                /* of a byte of the shard, in such bytes worked on: for the account's tail */
	/* Pieces (with the pass's, if there is one, behind them) into the shard's outputs, as whole would leave them. */
	enum pl_status (*join)(struct tool *t, void *ctx, const struct tool_piece *p, size_t n, struct pl_err *err);
};

/* Do all shards, large ones in pieces. PLAIT_SPLIT=off splits nothing, PLAIT_SPLIT=SIZE splits every shard of more than two such pieces, whatever
 * the number of ranks. Collective. */
PL_MUST_CHECK enum pl_status tool_for_shards(struct tool *t, const struct tool_split *s, struct pl_err *err);

#endif
