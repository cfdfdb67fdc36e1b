/* SPDX-License-Identifier: Apache-2.0 */
/* An epoch of a data set as batches, read ahead by threads.
 *
 * Global batch k is positions [kG, (k+1)G) of the epoch's order (order.h), G being `batch`. Rank r of `world` gets of it the slice
 * [kG + rG/world, kG + (r+1)G/world); worker w of `workers` gets every workers-th of these slices, the first worker the first one from
 * `position` on, as PyTorch's DataLoader takes them in turn. So the sequence of global batches is the same for every world and number of workers, and a checkpoint is
 * (seed, epoch, position) with position = global batches done x G; see struct shard_batch.
 *
 * Every worker reads every frame of the window that its slices touch: use threads of one loader rather than workers,
 * and lanes (order.h) where there are many ranks. A loader belongs to one thread at a time and does not survive fork(): make it behind
 * the fork, on the dataset from before. */
#ifndef SHARD_READER_LOADER_H
#define SHARD_READER_LOADER_H

#include "dataset.h"
#include "image.h"
#include "order.h"

enum shard_shuffle { SHARD_SHUFFLE_BLOCKS, SHARD_SHUFFLE_NONE };
enum shard_on_damage { SHARD_DAMAGE_RAISE, SHARD_DAMAGE_SKIP };
enum shard_decode { SHARD_DECODE_NONE, SHARD_DECODE_FIRST, SHARD_DECODE_ALL };   /* of each sample: no image, its first, all */

struct shard_loader_options {       /* zeroed: one epoch, shuffled, of one rank, batches of one sample, no threads */
	uint64_t seed, epoch;
	uint64_t position;              /* samples of the epoch that all ranks together have done: batches are counted from there */
	uint64_t batch;                 /* G, samples of a global batch; 0 = 1 */
	bool drop_last;                 /* leave out a last batch of fewer than G samples; else its slices are as equal as can be */
	uint32_t rank, world;           /* world 0 = 1 */
	uint32_t worker, workers;       /* workers 0 = 1 */
	enum shard_shuffle shuffle;
	uint64_t block;                 /* of the order; 0 = shard_order_block of the data set */
	uint32_t window, lanes;         /* 0 = SHARD_ORDER_WINDOW, 1 */
	uint64_t stride;                /* 0 = batch / lanes, at least 1 */
	uint32_t threads;               /* that read, uncompress and decode; 0: all is done in shard_loader_next */
	/* Bytes of uncompressed frames read ahead; 0 = 72 MiB (plain order: 24 MiB). Frames that the next batch needs are held whatever it
	 * says: those of a window (block x window x lanes samples, and an eighth more), of two where the batch lies across. */
	uint64_t memory;
	uint32_t max_open;              /* shards open at once; 0 = 32 */
	enum shard_on_damage on_damage;
	/* RGB8 pixels for the samples' images, decoded by the threads. `image.fit` must not be SHARD_FIT_NONE. */
	enum shard_decode decode;
	struct shard_image_options image;
	/* Batches decoded behind the one that comes next; 0: as many as fit 24 MiB of pixels together with it, 8 at most, perhaps none. */
	uint32_t ahead;
};

struct shard_loader;
/* d outlives the loader. PL_ERR_USAGE: options that contradict each other. options->block 0 opens the first shard. */
PL_MUST_CHECK enum pl_status shard_loader_open(struct shard_loader **l, const struct shard_dataset *d,
    const struct shard_loader_options *options, struct pl_err *err);
/* Stops the threads; every batch must have been released. NULL works. */
void shard_loader_close(struct shard_loader *l);
/* The order in use, with what stood for 0 filled in. */
const struct shard_order *shard_loader_order(const struct shard_loader *l);
/* Batches that this loader gives from its start position to the epoch's end. */
uint64_t shard_loader_batches(const struct shard_loader *l);

struct shard_batch_sample {
	struct shard_sample sample;     /* index: number in the data set; bytes lie in the frame. NUL-terminated key, suffix, name */
	uint64_t position;              /* in the epoch */
	uint32_t shard;                 /* see shard_dataset_shard */
	uint32_t first_image, images;   /* its pictures in the batch's pixels: with SHARD_DECODE_FIRST one, even if there is no image */
};
struct shard_batch {
	uint64_t number;                /* k, of the global batch */
	uint64_t position;              /* kG */
	uint64_t end;                   /* of the global batch: the position to go on from once all ranks have done it */
	size_t n;                       /* samples here, in the order of their positions */
	uint64_t skipped;               /* samples of the slice that were lost to damage (SHARD_DAMAGE_SKIP) */
	const struct shard_batch_sample *samples;
	/* Pictures, [images][height][width][3] in one piece, owned by the batch unless they are taken; NULL without decoding. image_status: PL_OK, PL_ERR_NOTFOUND (the
	 * sample has no image), or why it could not be decoded; then its pixels are 0. */
	size_t images;
	const uint8_t *pixels;
	const enum pl_status *image_status;
};
/* The next batch, PL_END behind the last. Waits for the threads without using processor time. *b and all it points to are valid until
 * shard_batch_release, which may come from any thread; several may be held, each keeps its frames. A slice that is empty (world > batch, or all
 * of it lost) comes as a batch with n 0. Damage with SHARD_DAMAGE_RAISE: as shard_cursor_read; every later call answers the same. */
PL_MUST_CHECK enum pl_status shard_loader_next(struct shard_loader *l, const struct shard_batch **b, struct pl_err *err);
/* Give back. b may be NULL. */
void shard_batch_release(struct shard_loader *l, const struct shard_batch *b);
/* The pixels of a batch that is not yet released, as the caller's own: they outlive it, and the loader. NULL: it has none. They go back with
 * shard_pixels_return, from any thread, and a later batch is decoded into them; or with shard_pixels_free, the only way once the loader is
 * closed. Where two batches' pixels are out and none decodes ahead, the next is begun when some come back or the next is asked
 * for, so that a loop that holds one batch has memory for two, not three. */
PL_MUST_CHECK uint8_t *shard_batch_take_pixels(struct shard_loader *l, const struct shard_batch *b);
void shard_pixels_return(struct shard_loader *l, uint8_t *pixels);   /* NULL works, here and below */
void shard_pixels_free(uint8_t *pixels);

struct shard_loader_stats {
	uint64_t samples, images;               /* given out */
	uint64_t skipped_samples;               /* lost to damage */
	uint64_t skipped_frames, skipped_shards;    /* found damaged */
	uint64_t bad_images;
	uint64_t frames, frame_bytes, file_bytes;   /* read and uncompressed; tar bytes and file bytes of them */
	uint64_t memory, memory_most;           /* of uncompressed frames, now and at most */
	uint32_t open, opened;                  /* shards, now and how often */
};
struct shard_loader_stats shard_loader_stats(struct shard_loader *l);
/* The first damage that was skipped; PL_OK when there was none. */
enum pl_status shard_loader_damage(struct shard_loader *l, struct pl_err *err);

#endif
