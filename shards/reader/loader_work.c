/* SPDX-License-Identifier: Apache-2.0 */
/* What threads do for a loader: read pieces, parse batches, decode pictures. */
#include <stdlib.h>
#include <string.h>

#include "loader_impl.h"
#include "room.h"

/* Frames of about one size take each other's memory. */
static size_t rounded(size_t size)
{
	size_t grain = size < (size_t)1 << 20 ? 4096 : (size_t)64 << 10;
	return (size / grain + 1) * grain;
}

/* ---- pieces ------------------------------------------------------------------------------------ */

static void drop_spare(struct shard_loader *l, uint32_t i)
{
	l->spare_bytes -= l->spare[i].cap;
	shard_room_free(l->spare[i].bytes, l->spare[i].cap);
	l->spare[i] = l->spare[--l->nspare];
}

/* Memory for a piece, which counts from here on. The newest spare that fits, as it may still be in a cache. */
static bool take_memory(struct shard_loader *l, struct shard_piece *p, size_t size)
{
	p->cap = 0;
	for (uint32_t i = l->nspare; i-- > 0 && !p->bytes;)
		if (l->spare[i].cap >= size && l->spare[i].cap / 2 <= rounded(size)) {
			p->bytes = l->spare[i].bytes;
			p->cap = l->spare[i].cap;
			l->spare_bytes -= p->cap;
			l->spare[i] = l->spare[--l->nspare];
		}
	if (!p->bytes) {
		p->cap = rounded(size);
		while (l->nspare && l->in_use + l->spare_bytes + p->cap > l->o.memory)
			drop_spare(l, 0);
		/* Zeroed, as what a broken frame leaves in it is looked at. */
		p->bytes = shard_room_new(&p->cap);
	}
	if (!p->bytes)
		return false;
	l->in_use += p->cap;
	if (l->in_use + l->spare_bytes > l->stats.memory_most)
		l->stats.memory_most = l->in_use + l->spare_bytes;
	return true;
}

static void break_piece(struct shard_loader *l, struct shard_piece *p, enum pl_status status, const struct pl_err *err)
{
	if (p->bytes) {
		l->in_use -= p->cap;
		shard_room_free(p->bytes, p->cap);
		p->bytes = NULL;
	}
	p->err = malloc(sizeof *p->err);
	if (p->err)
		*p->err = *err;
	p->state = PIECE_BROKEN;
	if (shard_damage(status) && l->o.on_damage == SHARD_DAMAGE_SKIP) {
		l->stats.skipped_frames++;
		shard_loader_note(l, status, err);
	}
}

static void load(struct shard_loader *l, struct shard_scratch *scratch, struct shard_piece *p)
{
	struct pl_err err;
	uint64_t size = p->o->pieces[p->number].size, io = 0;
	enum pl_status status = PL_OK;
	int fd = -1;
	p->state = PIECE_LOADING;
	if (!take_memory(l, p, (size_t)size))
		status = pl_fail_nomem(&err);
	else if ((fd = shard_set_file(&l->set, p->o, &err)) < 0)
		status = err.status;
	if (status == PL_OK) {
		pthread_mutex_unlock(&l->lock);
		status = shard_piece_read(scratch, p->o, fd, p->number, p->bytes, &io, &err);
		pthread_mutex_lock(&l->lock);
		shard_set_unfile(&l->set, p->o);
		l->stats.file_bytes += io;
	}
	if (status == PL_OK) {
		p->state = PIECE_READY;
		l->stats.frames++;
		l->stats.frame_bytes += size;
	} else {
		break_piece(l, p, status, &err);
	}
}

/* May the first of the queue be read: does memory allow, or can the first batch of the line not do without it? */
static bool loadable(const struct shard_loader *l, bool only_first)
{
	const struct shard_piece *p = l->wanted;
	return p && (p->first_batch <= l->given ||
	    (!only_first && l->in_use + p->o->pieces[p->number].size <= l->o.memory));
}

static struct shard_piece *take_wanted(struct shard_loader *l, bool only_first)
{
	struct shard_piece *p = l->wanted;
	if (!loadable(l, only_first))
		return NULL;
	l->wanted = p->behind;
	if (!l->wanted)
		l->wanted_end = &l->wanted;
	p->behind = NULL;
	return p;
}

/* ---- batches ----------------------------------------------------------------------------------- */

bool shard_job_settled(const struct shard_job *j)
{
	for (size_t i = 0; i < j->npieces; i++)
		if (j->pieces[i]->state != PIECE_READY && j->pieces[i]->state != PIECE_BROKEN)
			return false;
	return true;
}

/* The sample of an item at the end of the batch; lost ones are counted, or fail the batch. */
static enum pl_status parse_item(struct shard_loader *l, struct shard_job *j, const struct shard_item *item, struct pl_err *err)
{
	struct shard_batch_sample *s = &j->made->samples[j->batch.n];
	const struct shard_piece *p = item->piece;
	enum pl_status status = PL_OK;
	if (p && p->state == PIECE_BROKEN) {
		status = p->err ? p->err->status : pl_fail_nomem(err);
		if (p->err)
			*err = *p->err;
	} else if (p) {
		status = shard_parser_sample(&j->made->parser, p->o, p->number, p->bytes, item->in_shard, &s->sample, err);
	}
	if (p && status == PL_OK) {
		s->position = item->position;
		s->shard = (uint32_t)p->o->shard;
		s->sample.index = item->number;
		s->first_image = s->images = 0;
		j->batch.n++;
		return PL_OK;
	}
	if (p && (l->o.on_damage == SHARD_DAMAGE_RAISE || !shard_damage(status)))
		return status;
	j->batch.skipped++;
	return PL_OK;
}

/* old with room for n elements of size bytes, *cap says how many; NULL: no memory, and old is as it was. */
static void *grown(void *old, size_t *cap, size_t n, size_t size)
{
	if (n <= *cap)
		return old;
	void *bigger = n <= SIZE_MAX / 2 / size ? realloc(old, 2 * n * size) : NULL;
	if (bigger)
		*cap = 2 * n;
	return bigger;
}

/* Which members are pictures to be decoded. */
static bool find_pictures(const struct shard_loader *l, struct shard_job *j)
{
	struct shard_made *m = j->made;
	bool one = l->o.decode == SHARD_DECODE_FIRST;
	size_t n = 0;
	for (size_t i = 0; i < j->batch.n; i++) {
		struct shard_batch_sample *s = &m->samples[i];
		size_t first = n, most = one ? 1 : s->sample.nparts;
		struct shard_picture *pictures = grown(m->pictures, &m->pictures_cap, n + most, sizeof *m->pictures);
		if (!pictures && n + most)
			return false;
		m->pictures = pictures;
		for (size_t k = 0; k < s->sample.nparts && n - first < most; k++) {
			const struct shard_part *part = &s->sample.parts[k];
			if (part->data && shard_image_suffix(part->suffix))
				m->pictures[n++] = (struct shard_picture) { part->data, part->len };
		}
		if (one && n == first)
			m->pictures[n++] = (struct shard_picture) { NULL, 0 };
		s->first_image = (uint32_t)first;
		s->images = (uint32_t)(n - first);
	}
	j->batch.images = n;
	return n <= UINT32_MAX;
}

static size_t picture_size(const struct shard_loader *l)
{
	return (size_t)l->o.image.width * l->o.image.height * 3;
}

/* Before the pixels, and as much as keeps them aligned. */
struct pixels_head { size_t cap; uint8_t fill[64 - sizeof(size_t)]; };

uint8_t *shard_pixels_new(size_t bytes)
{
	size_t cap = bytes + sizeof(struct pixels_head);
	struct pixels_head *head = cap > bytes ? (void *)shard_room_new(&cap) : NULL;
	if (!head)
		return NULL;
	head->cap = cap;
	return (uint8_t *)(head + 1);
}

size_t shard_pixels_cap(const uint8_t *pixels)
{
	return ((const struct pixels_head *)(const void *)pixels)[-1].cap - sizeof(struct pixels_head);
}

void shard_pixels_free(uint8_t *pixels)
{
	if (pixels)
		shard_room_free(pixels - sizeof(struct pixels_head), shard_pixels_cap(pixels) + sizeof(struct pixels_head));
}

/* Pixels that came back, if any; those of a larger batch first. */
static void take_spare_pixels(struct shard_loader *l, struct shard_made *m)
{
	uint8_t **best = NULL;
	pthread_mutex_lock(&l->lock);
	for (size_t i = 0; i < PL_ARRAY_LEN(l->spare_pixels) && !m->pixels; i++)
		if (l->spare_pixels[i] && (!best || shard_pixels_cap(l->spare_pixels[i]) > shard_pixels_cap(*best)))
			best = &l->spare_pixels[i];
	if (best) {
		m->pixels = *best;
		m->pixels_cap = shard_pixels_cap(*best);
		*best = NULL;
	}
	pthread_mutex_unlock(&l->lock);
}

static bool make_pixels(struct shard_loader *l, struct shard_job *j)
{
	struct shard_made *m = j->made;
	size_t one = picture_size(l);
	if (!find_pictures(l, j) || j->batch.images > SIZE_MAX / one)
		return false;
	size_t bytes = j->batch.images * one;
	take_spare_pixels(l, m);
	if (bytes > m->pixels_cap || !m->pixels) {
		shard_pixels_free(m->pixels);
		m->pixels = shard_pixels_new(bytes);
		m->pixels_cap = m->pixels ? shard_pixels_cap(m->pixels) : 0;
	}
	if (!m->pixels)
		return false;
	enum pl_status *status = grown(m->image_status, &m->status_cap, j->batch.images + 1, sizeof *m->image_status);
	if (!status)
		return false;
	m->image_status = status;
	j->batch.pixels = m->pixels;
	j->batch.image_status = m->image_status;
	return true;
}

/* The pieces are settled and stay, so that this needs no lock. */
static enum pl_status parse(struct shard_loader *l, struct shard_job *j, struct pl_err *err)
{
	struct shard_made *m = j->made;
	enum pl_status status = PL_OK;
	struct shard_batch_sample *samples = grown(m->samples, &m->samples_cap, j->nitems + 1, sizeof *m->samples);
	if (!samples)
		return pl_fail_nomem(err);
	m->samples = samples;
	for (size_t i = 0; i < j->nitems && status == PL_OK; i++)
		status = parse_item(l, j, &j->items[i], err);
	if (status == PL_OK && l->o.decode != SHARD_DECODE_NONE && !make_pixels(l, j))
		status = pl_fail_nomem(err);
	j->batch.samples = m->samples;
	return status;
}

void shard_job_parse(struct shard_loader *l, struct shard_job *j)
{
	struct pl_err err;
	enum pl_status status = PL_OK;
	j->state = JOB_PARSING;
	if (j->status == PL_OK && !j->made) {
		j->made = shard_made_take(l);
		if (!j->made)
			status = pl_fail_nomem(&err);
	}
	if (j->status == PL_OK && status == PL_OK) {
		pthread_mutex_unlock(&l->lock);
		status = parse(l, j, &err);
		pthread_mutex_lock(&l->lock);
	}
	if (status != PL_OK)
		shard_job_fail(j, status, &err);
	j->state = j->status == PL_OK && j->batch.images > 0 ? JOB_DECODING : JOB_READY;
}

struct shard_made *shard_made_take(struct shard_loader *l)
{
	struct shard_made *m = l->spare_made;
	if (m) {
		l->spare_made = m->next;
		return m;
	}
	m = calloc(1, sizeof *m);
	if (m)
		shard_parser_init(&m->parser);
	return m;
}

void shard_made_free(struct shard_made *m)
{
	if (!m)
		return;
	shard_parser_release(&m->parser);
	free(m->samples);
	free(m->pictures);
	free(m->image_status);
	shard_pixels_free(m->pixels);
	free(m);
}

static void decode(struct shard_loader *l, struct shard_job *j)
{
	size_t i = j->picture++, one = picture_size(l);
	uint8_t *to = j->made->pixels + i * one;
	const struct shard_picture *p = &j->made->pictures[i];
	pthread_mutex_unlock(&l->lock);
	enum pl_status status = p->data ? shard_image_decode(p->data, p->len, &l->o.image, to, (size_t)l->o.image.width * 3, one,
	    NULL) : PL_ERR_NOTFOUND;
	if (status != PL_OK)
		memset(to, 0, one);
	pthread_mutex_lock(&l->lock);
	j->made->image_status[i] = status;
	if (++j->pictures_done == j->batch.images)
		j->state = JOB_READY;
}

/* A batch near the front that can be carried on. */
static struct shard_job *find_job(const struct shard_loader *l, bool only_first)
{
	uint64_t last = l->given + (only_first ? 0 : l->o.ahead);
	for (struct shard_job *j = l->line; j && j->ticket <= last; j = j->next)
		if ((j->state == JOB_DECODING && j->picture < j->batch.images) ||
		    (j->state == JOB_PLANNED && l->o.decode != SHARD_DECODE_NONE && !l->hold && shard_job_settled(j)))
			return j;
	return NULL;
}

bool shard_loader_has_work(const struct shard_loader *l)
{
	return loadable(l, false) || shard_loader_may_plan(l) || find_job(l, false);
}

bool shard_loader_work(struct shard_loader *l, struct shard_scratch *scratch, bool only_first)
{
	struct shard_job *j = find_job(l, only_first);
	struct shard_piece *p;
	if (j && j->state == JOB_DECODING) {
		decode(l, j);
		if (j->state == JOB_READY && j == l->line)
			pthread_cond_signal(&l->ready);
	} else if (j) {
		shard_job_parse(l, j);
		pthread_cond_broadcast(&l->work);
		pthread_cond_signal(&l->ready);
	} else if ((p = take_wanted(l, only_first))) {
		load(l, scratch, p);
		if (l->o.decode != SHARD_DECODE_NONE)
			pthread_cond_broadcast(&l->work);
		if (l->line && shard_job_settled(l->line))
			pthread_cond_signal(&l->ready);
	} else if (shard_loader_may_plan(l) && (!only_first || !l->line)) {
		shard_loader_plan(l);
	} else {
		return false;
	}
	return true;
}

void *shard_loader_thread(void *loader)
{
	struct shard_loader *l = loader;
	struct shard_scratch scratch = {0};
	pthread_mutex_lock(&l->lock);
	while (!l->stop)
		if (!shard_loader_work(l, &scratch, false))
			pthread_cond_wait(&l->work, &l->lock);
	pthread_mutex_unlock(&l->lock);
	shard_scratch_release(&scratch);
	shard_image_forget();
	return NULL;
}
