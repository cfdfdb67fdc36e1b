/* SPDX-License-Identifier: Apache-2.0 */
/* A loader's life, and what its caller sees of it. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "loader_impl.h"
#include "room.h"

#define MEMORY_SHUFFLED ((uint64_t)72 << 20)
#define MEMORY_PLAIN ((uint64_t)24 << 20)
#define PIXELS_AHEAD ((uint64_t)24 << 20)
#define AHEAD_MOST 8u
#define HORIZON_PLAIN 4096u
#define THREADS_MAX 1024u

static enum pl_status usage(struct pl_err *err, const char *text)
{
	return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%s", text);
}

static enum pl_status check(struct shard_loader_options *o, uint64_t count, struct pl_err *err)
{
	o->batch = o->batch ? o->batch : 1;
	o->world = o->world ? o->world : 1;
	o->workers = o->workers ? o->workers : 1;
	if (o->batch > (uint64_t)1 << 32)
		return usage(err, "a batch has at most 2^32 samples");
	if (o->rank >= o->world)
		return usage(err, "rank is not below world");
	if (o->worker >= o->workers)
		return usage(err, "worker is not below workers");
	if (o->position > count)
		return usage(err, "the position lies behind the end of the data set");
	if (o->threads > THREADS_MAX)
		return usage(err, "more than 1024 threads");
	if (o->decode != SHARD_DECODE_NONE && (o->image.fit == SHARD_FIT_NONE || !o->image.width || !o->image.height))
		return usage(err, "images are decoded into a batch at a given size: set fit, width and height");
	if (o->decode != SHARD_DECODE_NONE && (o->image.width > 65500 || o->image.height > 65500))
		return usage(err, "an image has sides up to 65,500");
	return PL_OK;
}

static enum pl_status make_order(struct shard_loader *l, struct pl_err *err)
{
	struct shard_loader_options *o = &l->o;
	uint64_t count = shard_dataset_count(l->d), bytes;
	enum pl_status status = PL_OK;
	bool blocks = o->shuffle == SHARD_SHUFFLE_BLOCKS;
	if (blocks && o->block == 0 && count) {
		status = shard_dataset_sample_bytes(l->d, &bytes, err);
		o->block = status == PL_OK ? shard_order_block(bytes) : 0;
	}
	o->lanes = o->lanes ? o->lanes : 1;
	uint64_t stride = o->stride ? o->stride : o->batch / o->lanes;
	l->order = (struct shard_order) { .n = count ? count : 1, .block = blocks ? o->block : 0, .stride = stride,
		.window = o->window ? o->window : SHARD_ORDER_WINDOW, .lanes = o->lanes, .seed = o->seed, .epoch = o->epoch };
	return status == PL_OK ? shard_order_init(&l->order, err) : status;
}

static uint32_t ahead_of(uint64_t batch_bytes)
{
	uint64_t fit = PIXELS_AHEAD / batch_bytes;
	return fit < 1 ? 0 : fit > AHEAD_MOST ? AHEAD_MOST : (uint32_t)fit - 1;
}

/* What the options leave open, and sums. */
static void settle(struct shard_loader *l)
{
	struct shard_loader_options *o = &l->o;
	bool blocks = l->order.block > 0;
	uint64_t count = shard_dataset_count(l->d), left = count - o->position;
	uint64_t all = o->drop_last ? left / o->batch : (left + o->batch - 1) / o->batch;
	uint64_t window = blocks ? l->order.block * l->order.window * l->order.lanes : HORIZON_PLAIN;
	l->total = o->drop_last ? o->position + all * o->batch : count;
	l->first_number = o->position / o->batch;
	l->batches = all > o->worker ? (all - o->worker - 1) / o->workers + 1 : 0;
	l->horizon = window / o->world / o->workers;
	/* What an empty batch takes is counted as a sample. */
	if (l->horizon < 2 * o->batch / o->world + 4)
		l->horizon = 2 * o->batch / o->world + 4;
	if (o->memory == 0)
		o->memory = blocks ? MEMORY_SHUFFLED : MEMORY_PLAIN;
	uint64_t pixels = o->decode == SHARD_DECODE_NONE ? 0 : (uint64_t)o->image.width * o->image.height * 3;
	if (o->ahead == 0 && pixels)
		o->ahead = ahead_of(pixels * (o->batch / o->world + 1));
}

static enum pl_status make_threads(struct shard_loader *l, struct pl_err *err)
{
	sigset_t all, before;
	int error = 0;
	if (l->o.threads == 0)
		return PL_OK;
	l->threads = calloc(l->o.threads, sizeof *l->threads);
	if (!l->threads)
		return pl_fail_nomem(err);
	/* Signals are the caller's business. */
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	for (; l->started < l->o.threads && !error; l->started += !error)
		error = pthread_create(&l->threads[l->started], NULL, shard_loader_thread, l);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		return pl_fail(err, PL_ERR_IO, PL_SEV_JOB, NULL, "cannot start a thread: error %d", error);
	return PL_OK;
}

enum pl_status shard_loader_open(struct shard_loader **out, const struct shard_dataset *d,
    const struct shard_loader_options *options, struct pl_err *err)
{
	*out = NULL;
	struct shard_loader *l = calloc(1, sizeof *l);
	if (!l)
		return pl_fail_nomem(err);
	l->d = d;
	l->o = *options;
	l->wanted_end = &l->wanted;
	l->line_end = &l->line;
	if (pthread_mutex_init(&l->lock, NULL) || pthread_cond_init(&l->work, NULL) || pthread_cond_init(&l->ready, NULL)) {
		free(l);
		return pl_fail_nomem(err);
	}
	enum pl_status status = check(&l->o, shard_dataset_count(d), err);
	if (status == PL_OK)
		status = make_order(l, err);
	if (status == PL_OK)
		status = shard_set_init(&l->set, d, l->o.max_open, err);
	if (status == PL_OK) {
		settle(l);
		l->numbers = calloc((size_t)(l->o.batch / l->o.world) + 1, sizeof *l->numbers);
		l->lost = calloc(shard_dataset_shards(d) + 1, 1);
		status = l->numbers && l->lost ? make_threads(l, err) : pl_fail_nomem(err);
	}
	if (status != PL_OK) {
		shard_loader_close(l);
		return status;
	}
	*out = l;
	return PL_OK;
}

static void free_job(struct shard_job *j)
{
	shard_made_free(j->made);
	free(j->items);
	free(j->pieces);
	free(j->err);
	free(j);
}

void shard_loader_close(struct shard_loader *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
	for (uint32_t i = 0; i < l->started; i++)
		(void)pthread_join(l->threads[i], NULL);
	while (l->all) {
		struct shard_job *j = l->all;
		l->all = j->all;
		free_job(j);
	}
	while (l->spare_made) {
		struct shard_made *m = l->spare_made;
		l->spare_made = m->next;
		shard_made_free(m);
	}
	for (size_t b = 0; b < SHARD_BUCKETS; b++)
		while (l->buckets[b])
			shard_piece_free(l, l->buckets[b]);
	for (size_t i = 0; i < PL_ARRAY_LEN(l->spare_pixels); i++)
		shard_pixels_free(l->spare_pixels[i]);
	for (; l->nspare > 0; l->nspare--)
		shard_room_free(l->spare[l->nspare - 1].bytes, l->spare[l->nspare - 1].cap);
	shard_scratch_release(&l->own);
	shard_set_release(&l->set);
	free(l->threads);
	free(l->numbers);
	free(l->lost);
	(void)pthread_cond_destroy(&l->ready);
	(void)pthread_cond_destroy(&l->work);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

const struct shard_order *shard_loader_order(const struct shard_loader *l)
{
	return &l->order;
}

uint64_t shard_loader_batches(const struct shard_loader *l)
{
	return l->batches;
}

/* ---- batches ----------------------------------------------------------------------------------- */

/* The first of the line, once it is ready. Without threads the caller makes it so. */
static struct shard_job *wait_for_first(struct shard_loader *l)
{
	for (;;) {
		struct shard_job *j = l->line;
		if (l->failed != PL_OK)
			return NULL;
		if (j && (j->state == JOB_READY || (j->state == JOB_PLANNED && j->status != PL_OK)))
			return j;
		/* Parsing is cheaper than handing over. */
		if (j && j->state == JOB_PLANNED && l->o.decode == SHARD_DECODE_NONE && shard_job_settled(j))
			shard_job_parse(l, j);
		else if (l->o.threads == 0)
			(void)shard_loader_work(l, &l->own, true);
		else
			pthread_cond_wait(&l->ready, &l->lock);
	}
}

static void give(struct shard_loader *l, struct shard_job *j)
{
	l->line = j->next;
	if (!l->line)
		l->line_end = &l->line;
	j->state = JOB_GIVEN;
	l->hold = l->o.ahead == 0 && l->pixels_out > 0;
	l->given++;
	l->planned_samples -= j->nitems + 1;
	l->stats.samples += j->batch.n;
	l->stats.images += j->batch.images;
	l->stats.skipped_samples += j->batch.skipped;
	for (size_t i = 0; i < j->batch.images; i++)
		l->stats.bad_images += j->batch.image_status[i] != PL_OK && j->batch.image_status[i] != PL_ERR_NOTFOUND;
	if (l->started && shard_loader_has_work(l))
		pthread_cond_broadcast(&l->work);
}

enum pl_status shard_loader_next(struct shard_loader *l, const struct shard_batch **b, struct pl_err *err)
{
	enum pl_status status = PL_OK;
	*b = NULL;
	pthread_mutex_lock(&l->lock);
	struct shard_job *j = NULL;
	if (l->hold) {
		l->hold = false;
		pthread_cond_broadcast(&l->work);
	}
	if (l->failed == PL_OK && l->given == l->batches)
		status = PL_END;
	else
		j = wait_for_first(l);
	if (j && j->status != PL_OK) {
		l->failed = j->status;
		if (j->err)
			l->failure = *j->err;
		else
			(void)pl_fail_nomem(&l->failure);
	}
	if (l->failed != PL_OK) {
		status = l->failed;
		if (err)
			*err = l->failure;
	} else if (j) {
		give(l, j);
		*b = &j->batch;
	}
	pthread_mutex_unlock(&l->lock);
	return status;
}

void shard_batch_release(struct shard_loader *l, const struct shard_batch *b)
{
	if (!b)
		return;
	/* The batch is the first member of its job, which is ours to change. */
	struct shard_job *j = (struct shard_job *)(uintptr_t)b;
	pthread_mutex_lock(&l->lock);
	shard_job_let_go(l, j);
	shard_parser_clear(&j->made->parser);
	j->made->next = l->spare_made;
	l->spare_made = j->made;
	j->made = NULL;
	memset(&j->batch, 0, sizeof j->batch);
	j->nitems = j->picture = j->pictures_done = 0;
	j->state = JOB_PLANNED;
	j->next = l->idle;
	l->idle = j;
	if (l->started && shard_loader_has_work(l))
		pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
}

uint8_t *shard_batch_take_pixels(struct shard_loader *l, const struct shard_batch *b)
{
	struct shard_job *j = (struct shard_job *)(uintptr_t)b;
	pthread_mutex_lock(&l->lock);
	uint8_t *pixels = j->batch.pixels ? j->made->pixels : NULL;
	if (pixels) {
		j->batch.pixels = NULL;
		j->made->pixels = NULL;
		j->made->pixels_cap = 0;
		l->pixels_out++;
	}
	pthread_mutex_unlock(&l->lock);
	return pixels;
}

void shard_pixels_return(struct shard_loader *l, uint8_t *pixels)
{
	if (!pixels)
		return;
	pthread_mutex_lock(&l->lock);
	l->pixels_out--;
	l->hold = false;
	for (size_t i = 0; i < PL_ARRAY_LEN(l->spare_pixels) && pixels; i++)
		if (!l->spare_pixels[i]) {
			l->spare_pixels[i] = pixels;
			pixels = NULL;
		}
	if (l->started && shard_loader_has_work(l))
		pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
	shard_pixels_free(pixels);
}

struct shard_loader_stats shard_loader_stats(struct shard_loader *l)
{
	pthread_mutex_lock(&l->lock);
	struct shard_loader_stats s = l->stats;
	s.memory = l->in_use + l->spare_bytes;
	s.open = l->set.files;
	s.opened = (uint32_t)l->set.opened;
	pthread_mutex_unlock(&l->lock);
	return s;
}

enum pl_status shard_loader_damage(struct shard_loader *l, struct pl_err *err)
{
	pthread_mutex_lock(&l->lock);
	enum pl_status status = l->damaged;
	if (status != PL_OK && err)
		*err = l->damage;
	pthread_mutex_unlock(&l->lock);
	return status;
}
