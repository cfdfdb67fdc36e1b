/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a loader. Batches are planned ahead in the order they will be given out; a plan names the pieces that its samples lie in.
 * Pieces are read in the order in which batches first need them, as long as memory lasts, and live until no planned batch needs
 * them and planning has left their window. All of it is under one lock, but reading, decoding and the order's arithmetic. */
#ifndef SHARD_READER_LOADER_IMPL_H
#define SHARD_READER_LOADER_IMPL_H

#include <pthread.h>

#include "loader.h"
#include "piece.h"

enum shard_piece_state { PIECE_WANTED, PIECE_LOADING, PIECE_READY, PIECE_BROKEN };

struct shard_piece {
	struct shard_piece *chain;          /* same bucket */
	struct shard_piece *behind;         /* in the queue of wanted ones */
	struct shard_opened *o;             /* one user of it */
	uint32_t number;
	enum shard_piece_state state;
	uint64_t refs;                      /* batches that have it */
	uint64_t until;                     /* positions from here on do not need it */
	uint64_t first_batch, last_batch;   /* tickets: who wants it first, who was counted last */
	uint8_t *bytes;
	size_t cap;
	struct pl_err *err;                 /* BROKEN */
};

struct shard_item { struct shard_piece *piece; /* NULL: its shard is lost */ uint64_t position, number; uint64_t in_shard; };
struct shard_picture { const uint8_t *data; size_t len; };

enum shard_job_state { JOB_PLANNED, JOB_PARSING, JOB_DECODING, JOB_READY, JOB_GIVEN };

/* What a batch is made into: it has one from being parsed to being released, so that there are few of them. */
struct shard_made {
	struct shard_made *next;
	struct shard_parser parser;
	struct shard_batch_sample *samples;
	struct shard_picture *pictures;
	enum pl_status *image_status;
	uint8_t *pixels;                    /* shard_pixels_new; NULL: taken */
	size_t samples_cap, pictures_cap, status_cap, pixels_cap;
};

/* A batch on its way. */
struct shard_job {
	struct shard_batch batch;           /* first, so that the one is found from the other */
	struct shard_job *next;             /* in the line, or among the idle */
	struct shard_job *all;
	uint64_t ticket;
	enum shard_job_state state;
	struct shard_item *items;
	struct shard_piece **pieces;
	size_t nitems, items_cap, npieces, pieces_cap;
	size_t picture, pictures_done;      /* next to be decoded; decoded */
	struct shard_made *made;
	enum pl_status status;              /* what shard_loader_next answers */
	struct pl_err *err;                 /* NULL with another status than PL_OK: no memory */
};

#define SHARD_BUCKETS 512u

struct shard_loader {
	const struct shard_dataset *d;
	struct shard_loader_options o;      /* with defaults filled in */
	struct shard_order order;
	uint64_t total, batches, first_number;   /* batches of this epoch from position on, all workers' */
	uint64_t horizon;                   /* samples planned ahead at most */
	uint64_t *numbers;                  /* of the batch that is being planned */

	pthread_mutex_t lock;
	pthread_cond_t work, ready;
	pthread_t *threads;
	uint32_t started;
	bool stop, planning;

	struct shard_set set;
	struct shard_piece *buckets[SHARD_BUCKETS];
	struct shard_piece *wanted, **wanted_end;
	struct { uint8_t *bytes; size_t cap; } spare[32];
	uint32_t nspare;
	uint64_t in_use, spare_bytes;       /* bytes of frames */

	struct shard_job *line, **line_end; /* planned and not yet given out */
	struct shard_job *idle, *all;
	struct shard_made *spare_made;
	uint8_t *spare_pixels[2];           /* came back */
	uint32_t pixels_out;                /* taken, and not back */
	bool hold;                          /* begin no batch before some are back */
	uint64_t planned, given;            /* batches of this worker; also their tickets */
	uint64_t planned_samples;           /* in the line, and one more for each batch */
	uint64_t needed_from;               /* no position before this one will be planned */

	uint8_t *lost;                      /* by shard */
	struct shard_scratch own;           /* the caller's, without threads */
	struct shard_loader_stats stats;
	enum pl_status failed, damaged;
	struct pl_err failure, damage;
};

/* All with the lock held; those that read or decode let go of it meanwhile. */

/* Plan the next batches; planning must be false. */
void shard_loader_plan(struct shard_loader *l);
bool shard_loader_may_plan(const struct shard_loader *l);
/* Do one thing that is to be done; false: there was none. only_first: nothing that the first batch of the line does not need. */
bool shard_loader_work(struct shard_loader *l, struct shard_scratch *scratch, bool only_first);
/* Are all pieces of the batch there, or known to be broken? */
bool shard_job_settled(const struct shard_job *j);
/* Samples from the pieces, of a settled batch; then it is READY, or DECODING. */
void shard_job_parse(struct shard_loader *l, struct shard_job *j);
/* The batch needs its pieces no more. */
void shard_job_let_go(struct shard_loader *l, struct shard_job *j);
void shard_piece_free(struct shard_loader *l, struct shard_piece *p);
void shard_job_fail(struct shard_job *j, enum pl_status status, const struct pl_err *err);
struct shard_made *shard_made_take(struct shard_loader *l);   /* NULL: no memory */
void shard_made_free(struct shard_made *m);                   /* NULL works */
uint8_t *shard_pixels_new(size_t bytes);                      /* NULL: no memory */
size_t shard_pixels_cap(const uint8_t *pixels);               /* as many at least */
/* Is there anything for a thread to do? */
bool shard_loader_has_work(const struct shard_loader *l);
/* Remember the first damage that was passed over. */
void shard_loader_note(struct shard_loader *l, enum pl_status status, const struct pl_err *err);
void *shard_loader_thread(void *loader);

#endif
