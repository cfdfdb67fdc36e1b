/* SPDX-License-Identifier: Apache-2.0 */
/* One output shard: fetch, decode, resize, encode, interleave, compress. Samples
 * are written in slot order while the pixels of the next ones are under way in
 * the codec pool. */
#include "libpipe/base/hash.h"
#include "libpipe/mix/stage.h"
#include "pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Samples under way at once. */
#define DEPTH 32u

struct pending {
	struct pl_fetched sample;
	const struct pl_slot *slot;
	struct pl_stage_image *images;     /* doc.nimages entries */
	uint8_t **owned;                   /* transformed bytes; NULL where the input's are kept */
	enum pl_reason failed;             /* why the first lost image was lost; KEEP = none was */
	uint64_t waiting, submitted;
};

struct making {
	struct pack *p;
	struct pack_shard *out;
	struct shard_writer *writer;
	uint64_t k, written_slots;         /* shard number; slots finished so far */
	struct pending ring[DEPTH];
	uint64_t head, tail;               /* ring[head % DEPTH] is the oldest, tail is behind the newest */
	struct pl_stage_output rendered;
};

static void release_pending(struct pending *s)
{
	for (size_t i = 0; i < s->sample.doc.nimages && s->owned != NULL; i++)
		free(s->owned[i]);
	free(s->owned);
	free(s->images);
	pl_fetched_release(&s->sample);
	memset(s, 0, sizeof(*s));
}

static void lose_image(struct making *m, struct pending *s, enum pl_reason why)
{
	m->out->sources[s->slot->source].images_dropped[why]++;
	if (s->failed == PL_REASON_KEEP)
		s->failed = why;
}

/* Take a finished image into its sample. */
static enum pl_status take_result(struct making *m, const struct pl_pool_result *r, struct pl_err *err)
{
	struct pending *s = &m->ring[(r->tag >> 32) % DEPTH];
	size_t i = (size_t)(r->tag & UINT32_MAX);
	struct pl_stage_image *im = &s->images[i];

	s->waiting--;
	if (r->reason != PL_REASON_KEEP) {
		lose_image(m, s, r->reason);
		return PL_OK;
	}
	im->kept = true;
	im->format = r->format;
	im->width = r->width;
	im->height = r->height;
	if (r->passthrough) {
		im->data = s->sample.doc.images[i].data;
		im->len = s->sample.doc.images[i].len;
		return PL_OK;
	}
	s->owned[i] = malloc(r->len > 0 ? r->len : 1);
	if (s->owned[i] == NULL)
		return pl_fail_nomem(err);
	memcpy(s->owned[i], r->data, r->len);
	im->data = s->owned[i];
	im->len = r->len;
	return PL_OK;
}

/* Wait for the oldest image. */
static enum pl_status collect(struct making *m, struct pl_err *err)
{
	struct pl_pool_result r;
	bool ready = false;
	enum pl_status st = PL_OK;

	while (st == PL_OK && !ready) {
		st = pl_pool_next(m->p->tool->pool, 20, &ready, &r, err);
		if (st == PL_OK && ready)
			st = take_result(m, &r, err);
		if (st == PL_OK)
			st = tool_poll(m->p->tool, err);
	}
	return st;
}

/* Write the oldest sample, all of whose images are there. */
static enum pl_status write_head(struct making *m, struct pl_err *err)
{
	struct pending *s = &m->ring[m->head % DEPTH];
	struct pl_account *a = &m->out->sources[s->slot->source];
	const struct pl_corpus *c = m->p->in.corpus_list[s->slot->source];
	enum pl_reason why = PL_REASON_KEEP;
	struct pl_stage_input in = { 0 };
	uint64_t alive = 0;
	char key[48];
	enum pl_status st;

	snprintf(key, sizeof(key), "%06llu-%06llu", (unsigned long long)m->k, (unsigned long long)m->written_slots);
	in.doc = &s->sample.doc;
	in.images = s->images;
	in.source = c->source.name;
	in.origin_shard = c->shards[s->slot->shard].unit;
	in.origin_key = s->sample.key;
	in.key = key;
	in.pass = s->slot->pass;
	in.draw = pl_draw64(m->p->plan.seed, pl_hash64(s->sample.key, strlen(s->sample.key)), s->slot->pass);
	st = pl_stage_render(&m->p->recipe, &in, &m->rendered, &why, err);
	if (st != PL_OK)
		return st;
	for (size_t i = 0; i < s->sample.doc.nimages; i++)
		alive += s->images[i].kept;
	if (why == PL_REASON_KEEP) {
		st = shard_writer_add(m->writer, key, m->rendered.members, m->rendered.nmembers, err);
		m->out->samples++;
		m->out->images += m->rendered.images;
		m->out->tokens += m->rendered.text_tokens + m->rendered.images * (uint64_t)m->p->recipe.balance.image_tokens;
		a->samples_out++;
		a->images_out += m->rendered.images;
		a->images_dropped[PL_REASON_FILTERED] += alive - m->rendered.images;
	} else {
		why = s->failed != PL_REASON_KEEP ? s->failed : why;
		a->samples_dropped[why]++;
		a->images_dropped[why] += alive;
	}
	m->written_slots++;
	m->head++;
	release_pending(s);
	return st;
}

/* Make room: finish images until the pool takes another, or (all) until the oldest sample is written. */
static enum pl_status advance(struct making *m, bool all, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	while (st == PL_OK && (all ? m->head < m->tail : m->tail - m->head == DEPTH)) {
		while (st == PL_OK && m->ring[m->head % DEPTH].waiting > 0)
			st = collect(m, err);
		if (st == PL_OK)
			st = write_head(m, err);
	}
	return st;
}

static enum pl_status submit_image(struct making *m, uint64_t sequence, size_t i, struct pl_err *err)
{
	struct pending *s = &m->ring[sequence % DEPTH];
	struct pl_pool_job job = { 0 };
	enum pl_status st = PL_OK;

	while (st == PL_OK && !pl_pool_has_room(m->p->tool->pool))
		st = collect(m, err);
	if (st != PL_OK)
		return st;
	job.op = PL_POOL_TRANSFORM;
	job.data = s->sample.doc.images[i].data;
	job.len = s->sample.doc.images[i].len;
	job.resize = m->p->recipe.image;
	job.tag = sequence << 32 | (uint64_t)i;
	s->waiting++;
	return pl_pool_submit(m->p->tool->pool, &job, err);
}

static enum pl_status add_slot(struct making *m, const struct pl_slot *slot, struct pl_err *err)
{
	struct pending *s = &m->ring[m->tail % DEPTH];
	struct pl_account *a = &m->out->sources[slot->source];
	uint64_t sequence = m->tail;
	enum pl_status st;

	pl_fetched_init(&s->sample);
	s->slot = slot;
	m->tail++;
	a->samples_in++;
	st = pl_fetch_sample(m->p->fetch, slot->source, slot->shard, slot->row, &s->sample, err);
	if (st != PL_OK)
		return st;
	s->images = calloc(s->sample.doc.nimages + 1, sizeof(*s->images));
	s->owned = calloc(s->sample.doc.nimages + 1, sizeof(*s->owned));
	if (s->images == NULL || s->owned == NULL)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < s->sample.doc.nimages && st == PL_OK; i++) {
		if (s->sample.image_verdict[i] != PL_REASON_KEEP)
			continue;
		a->images_in++;
		if (s->sample.doc.images[i].data == NULL)
			lose_image(m, s, PL_REASON_MISSING_IMAGE);
		else
			st = submit_image(m, sequence, i, err);
	}
	pl_job_count(m->p->tool->job, 0, 1, s->sample.bytes.len);
	return st;
}

/* A stopped or failed shard leaves images in the pool: take them out. */
static void drain(struct making *m)
{
	struct pl_pool_result r;
	bool ready;

	while (pl_pool_pending(m->p->tool->pool) > 0)
		if (pl_pool_next(m->p->tool->pool, 1000, &ready, &r, NULL) != PL_OK)
			break;
	for (; m->head < m->tail; m->head++)
		release_pending(&m->ring[m->head % DEPTH]);
}

static enum pl_status open_writer(struct making *m, struct pl_err *err)
{
	const struct pl_recipe *r = &m->p->recipe;
	struct shard_writer_options o = { 0 };
	char stem[32];
	char *path;
	enum pl_status st;

	o.container = (enum shard_container)r->output.container;
	o.frame_size = r->output.frame_size;
	o.level = r->output.level_set ? (int)r->output.level : SHARD_LEVEL_AUTO;
	snprintf(stem, sizeof(stem), "%06llu", (unsigned long long)m->k);
	path = pl_path_join(m->p->dir, stem);
	if (path == NULL)
		return pl_fail_nomem(err);
	st = shard_writer_open(&m->writer, path, &o, err);
	free(path);
	return st;
}

enum pl_status pack_make_shard(struct pack *p, uint64_t k, struct pack_shard *out, struct pl_err *err)
{
	struct making *m = calloc(1, sizeof(*m));
	struct shard_written written = { 0 };
	struct pl_slot *slots = NULL;
	size_t n = 0;
	enum pl_status st;

	if (m == NULL)
		return pl_fail_nomem(err);
	m->p = p;
	m->out = out;
	m->k = k;
	pl_stage_output_init(&m->rendered);
	if ((st = pl_plan_slots(&p->plan, k, p->in.selects, &slots, &n, err)) != PL_OK)
		goto done;
	if ((st = open_writer(m, err)) != PL_OK)
		goto done;
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		st = advance(m, false, err);
		if (st == PL_OK)
			st = add_slot(m, &slots[i], err);
		if (st == PL_OK)
			st = tool_poll(p->tool, err);
	}
	if (st == PL_OK)
		st = advance(m, true, err);
	if (st != PL_OK)
		goto done;
	st = shard_writer_commit(m->writer, &written, err);
	m->writer = NULL;
	out->bytes = written.file_bytes;
	memcpy(out->hash, written.hash, sizeof(out->hash));
done:
	drain(m);
	shard_writer_abort(m->writer);
	pl_stage_output_release(&m->rendered);
	free(slots);
	free(m);
	return st;
}
