/* SPDX-License-Identifier: Apache-2.0 */
/* Joining files of scores to the samples of a corpus by key, whatever their
 * sizes: sorted runs of the files, merged into parts by key, looked up by every
 * shard. The three calls are units of work that ranks share out. */
#ifndef PL_CORPUS_SCORE_JOIN_H
#define PL_CORPUS_SCORE_JOIN_H

#include "corpus.h"
#include "score_file.h"

/* Bytes of a run, and so of a rank's memory: twice this while it is sorted. */
#define PL_SCORE_RUN_BYTES ((size_t)32 << 20)
/* Rows of a part, about: a bit for each is held while the unmatched are counted. */
#define PL_SCORE_PART_ROWS ((uint64_t)1 << 26)
#define PL_SCORE_PARTS_MAX 256

/* May the columns be joined to this corpus? PL_ERR_USAGE names the one that may not. */
PL_MUST_CHECK enum pl_status pl_score_columns_check(const struct pl_source *s, const struct pl_score_columns *c, struct pl_err *err);

struct pl_score_join {
	const char *dir;                  /* of the corpus: the runs and parts lie there meanwhile */
	struct pl_score_columns columns;
	size_t run_bytes;                 /* 0 = PL_SCORE_RUN_BYTES */
	enum pl_status (*poll)(void *ctx, struct pl_err *err);
	void *poll_ctx;
};
/* Remove runs, parts, scores.json and the tables of an earlier join. */
PL_MUST_CHECK enum pl_status pl_score_clear(const char *dir, bool tables, struct pl_err *err);
/* File number `file` -> DIR/scores-run.FILE.K.npy for K in [0, *runs). */
PL_MUST_CHECK enum pl_status pl_score_sort(const struct pl_score_join *j, const char *path, size_t file, uint64_t *runs,
    struct pl_score_counts *counts, struct pl_err *err);
/* Parts for so many rows in all: a power of two. */
unsigned pl_score_parts(uint64_t rows);
/* Merge part `part` of `parts` of all runs (runs[i] of file i) -> DIR/scores-part.PART.npy, one row a key: of equal keys the first of
 * the first file stays. */
PL_MUST_CHECK enum pl_status pl_score_merge(const struct pl_score_join *j, const uint64_t *runs, size_t nfiles, unsigned part, unsigned parts,
    uint64_t *repeated, struct pl_err *err);
/* The parts, open. */
struct pl_score_index { struct pl_npy parts[PL_SCORE_PARTS_MAX]; unsigned n; size_t columns; };
PL_MUST_CHECK enum pl_status pl_score_index_open(struct pl_score_index *x, const struct pl_score_join *j, unsigned parts, struct pl_err *err);
void pl_score_index_close(struct pl_score_index *x);
/* DIR/UNIT.scores.npy of one shard. */
PL_MUST_CHECK enum pl_status pl_score_look_up(const struct pl_score_join *j, const struct pl_score_index *x, const struct pl_corpus *c,
    size_t shard, uint64_t *matched, struct pl_err *err);
/* How many keys of a part has no sample of the corpus? */
PL_MUST_CHECK enum pl_status pl_score_unmatched(const struct pl_score_join *j, const struct pl_score_index *x, unsigned part,
    const struct pl_corpus *c, uint64_t *unmatched, struct pl_err *err);

#endif
