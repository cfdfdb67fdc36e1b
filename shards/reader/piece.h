/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a piece of an open shard, and samples out of its bytes. */
#ifndef SHARD_READER_PIECE_H
#define SHARD_READER_PIECE_H

#include "libpipe/base/buf.h"
#include "opened.h"

/* What one thread needs to read pieces. Works zeroed. */
struct shard_scratch {
	void *dctx;
	uint8_t *packed, *part;
	size_t packed_cap, part_cap;
};
void shard_scratch_release(struct shard_scratch *s);
/* Piece p into dst (pieces[p].size bytes), verified as far as the shard has checksums. *io grows by the bytes read. What is broken: at
 * shard severity, with the keys of its samples; other failures (memory, the system): at job severity. */
PL_MUST_CHECK enum pl_status shard_piece_read(struct shard_scratch *s, const struct shard_opened *o, int fd, uint32_t p,
    uint8_t *dst, uint64_t *io, struct pl_err *err);
/* Does status mean that data is lost, and reading can go on without it? */
bool shard_damage(enum pl_status status);

/* Samples as struct shard_sample, without a copy of their data. */
struct shard_parser {
	struct pl_arena strings;        /* and arrays of parts; what was parsed lives until it is cleared */
	struct shard_part *parts;       /* of the sample under way */
	size_t nparts, cap;
	struct shard_reader **readers;  /* of samples that took libarchive; they own those samples' data */
	size_t nreaders, readers_cap;
};
void shard_parser_init(struct shard_parser *p);
void shard_parser_clear(struct shard_parser *p);     /* gives up what was parsed */
void shard_parser_release(struct shard_parser *p);
/* Sample i of the shard out of the bytes of its piece, which outlive *out. out->index is i. PL_ERR_INVALID: the tar is not what the
 * index says, at shard severity. */
PL_MUST_CHECK enum pl_status shard_parser_sample(struct shard_parser *p, const struct shard_opened *o, uint32_t piece, const uint8_t *bytes,
    uint64_t i, struct shard_sample *out, struct pl_err *err);

#endif
