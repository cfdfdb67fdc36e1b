/* SPDX-License-Identifier: Apache-2.0 */
/* The two tables of a shard while it is being read: rows wait in a queue until
 * the pool has answered for all images of the oldest sample, and are then
 * judged, counted and written in order. */
#ifndef PL_CORPUS_INGEST_ROWS_H
#define PL_CORPUS_INGEST_ROWS_H

#include "internal.h"
#include "libpipe/img/pool.h"

struct pl_rows {
	struct pl_npy_writer samples, images;
	size_t row_size;  /* of a sample with its metadata columns */
	uint8_t *waiting; /* sample rows, row_size each, from `head` on */
	uint64_t *left;   /* of each: image rows still without an answer */
	size_t head, tail, cap;
	struct pl_image_row *image; /* image rows, from image_head on */
	bool *answered;
	size_t image_head, image_tail, image_cap;
	uint64_t next_sample, next_image; /* row numbers of the next ones pushed */
	struct pl_account *account;
	uint64_t kept;
};

/* Create DIR/UNIT.samples.npy and DIR/UNIT.images.npy. account: samples and images are counted
 * there as they are written. */
PL_MUST_CHECK enum pl_status pl_rows_open(struct pl_rows *w, const char *dir, const char *unit,
    const struct pl_source *s, struct pl_account *account, struct pl_err *err);
/* Queue a sample (metadata columns behind the struct) and room for its images. Each of the n image
 * rows is then given by pl_rows_image, and each must get one pl_rows_answer. */
PL_MUST_CHECK enum pl_status pl_rows_push(struct pl_rows *w, const struct pl_sample_row *row,
    const double *meta, uint32_t n, struct pl_err *err);
/* Row of image k of the newest sample, to be filled in; its number in the table is *number. */
struct pl_image_row *pl_rows_image(struct pl_rows *w, uint32_t k, uint64_t *number);
/* Image row `number` is complete. r: what the pool found, NULL when its status was known without.
 */
void pl_rows_answer(struct pl_rows *w, uint64_t number, const struct pl_pool_result *r);
/* Samples that wait. */
static inline size_t pl_rows_waiting(const struct pl_rows *w)
{
	return w->tail - w->head;
}
/* Judge and write every sample whose images all have answers, oldest first. */
PL_MUST_CHECK enum pl_status pl_rows_flush(struct pl_rows *w, struct pl_err *err);
/* Append a sample of finished tables (with its metadata columns) and its images, renumbered. seen: its key came before. Nothing may wait. */
PL_MUST_CHECK enum pl_status pl_rows_copy(struct pl_rows *w, const struct pl_sample_row *row, bool seen,
    const struct pl_image_row *images, struct pl_err *err);
/* Commit both tables, or neither. Nothing may wait. */
PL_MUST_CHECK enum pl_status pl_rows_commit(struct pl_rows *w, struct pl_err *err);
/* Free everything; removes temporaries. Harmless on a zeroed struct. */
void pl_rows_release(struct pl_rows *w);

#endif
