/* SPDX-License-Identifier: Apache-2.0 */
/* One output shard: fetch, decode, resize, encode, interleave, compress. Samples
 * are written in slot order while the pixels of the next ones are under way in
 * the codec pool. */
#include "libpipe/base/hash.h"
#include "libpipe/mix/stage.h"
#include "pack.h"
#include "tool_ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pending {
	struct pl_fetched sample;
	const struct pl_slot *slot;
	struct pl_stage_image *images;     /* doc.nimages entries */
	uint8_t **owned;                   /* transformed bytes, tiles behind them; NULL where the input's are kept */
	struct pl_stage_tile **tiles;      /* of each image; NULL where there are none */
	enum pl_reason failed;             /* why the first lost image was lost; KEEP = none was */
};

struct making {
	struct pack *p;
	struct pack_shard *out;
	struct shard_writer *writer;
	uint64_t k, written_slots;         /* shard number; slots finished so far */
	struct tool_ring ring;
	struct pending samples[TOOL_RING_DEPTH];
	struct pl_stage_output rendered;
	struct pl_sequences *sequences;    /* NULL: each document is a sample */
};

static struct pending *sample_of(struct making *m, uint64_t sample)
{
	return &m->samples[sample % TOOL_RING_DEPTH];
}

static void drop(void *ctx, uint64_t sample)
{
	struct pending *s = sample_of(ctx, sample);

	for (size_t i = 0; i < s->sample.doc.nimages && s->owned != NULL; i++)
		free(s->owned[i]);
	for (size_t i = 0; i < s->sample.doc.nimages && s->tiles != NULL; i++)
		free(s->tiles[i]);
	free(s->owned);
	free(s->tiles);
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

/* What the JSON says of a picture in a model's eyes. */
static void describe(const struct pl_resize *z, const struct pl_pool_result *r, struct pl_stage_image *im)
{
	bool swap = r->info.orientation >= 5;
	struct pl_tiling t;

	im->original_w = swap ? r->info.height : r->info.width;
	im->original_h = swap ? r->info.width : r->info.height;
	im->tokens = pl_image_tokens(z, im->original_w, im->original_h);
	if (pl_policy_tiles(z->policy) && pl_resize_grid(z, im->original_w, im->original_h, &t)) {
		im->columns = t.columns;
		im->rows = t.rows;
		im->tile_w = t.tile_w;
		im->tile_h = t.tile_h;
	}
}

/* Keep the bytes of a result, tiles behind the picture. */
static enum pl_status own(struct pending *s, size_t i, const struct pl_pool_result *r, struct pl_err *err)
{
	struct pl_stage_image *im = &s->images[i];
	size_t n = (size_t)r->columns * r->rows, all = r->len;

	for (size_t k = 0; k < n; k++)
		all += r->tile_len[k];
	s->owned[i] = malloc(all > 0 ? all : 1);
	if (n > 0)
		s->tiles[i] = calloc(n, sizeof(*s->tiles[i]));
	if (s->owned[i] == NULL || (n > 0 && s->tiles[i] == NULL))
		return pl_fail_nomem(err);
	memcpy(s->owned[i], r->data, all);
	im->data = s->owned[i];
	im->len = r->len;
	im->ntiles = n;
	im->tiles = s->tiles[i];
	for (size_t k = 0, at = r->len; k < n; at += r->tile_len[k++])
		s->tiles[i][k] = (struct pl_stage_tile){ s->owned[i] + at, r->tile_len[k] };
	return PL_OK;
}

/* Take a finished image into its sample. */
static enum pl_status take(void *ctx, uint64_t sample, size_t i, const struct pl_pool_result *r, struct pl_err *err)
{
	struct making *m = ctx;
	struct pending *s = sample_of(m, sample);
	struct pl_stage_image *im = &s->images[i];

	if (r->reason != PL_REASON_KEEP) {
		lose_image(m, s, r->reason);
		return PL_OK;
	}
	im->kept = true;
	im->format = r->format;
	im->width = r->width;
	im->height = r->height;
	describe(&m->p->recipe.image, r, im);
	if (!r->passthrough)
		return own(s, i, r, err);
	im->data = s->sample.doc.images[i].data;
	im->len = s->sample.doc.images[i].len;
	return PL_OK;
}

static enum pl_status write_sequence(void *ctx, const char *key, const struct shard_member *members, size_t n, struct pl_err *err)
{
	return shard_writer_add(((struct making *)ctx)->writer, key, members, n, err);
}

/* Is the rendered document one that packing leaves out? */
static bool too_long(const struct making *m, uint64_t tokens)
{
	const struct pl_sequence_rule *rule = &m->p->recipe.output.pack;

	return rule->tokens > 0 && rule->long_ == PL_LONG_DROP && tokens > rule->tokens;
}

/* Write the rendered document, or hold it for its sequence. */
static enum pl_status write_document(struct making *m, const char *key, uint64_t tokens, struct pl_err *err)
{
	m->out->images += m->rendered.images;
	m->out->tokens += tokens;
	if (m->sequences != NULL)
		return pl_sequences_add(m->sequences, m->rendered.members, m->rendered.nmembers, tokens, err);
	m->out->samples++;
	return shard_writer_add(m->writer, key, m->rendered.members, m->rendered.nmembers, err);
}

/* Write a sample, all of whose images are there. */
static enum pl_status finish(void *ctx, uint64_t sample, struct pl_err *err)
{
	struct making *m = ctx;
	struct pending *s = sample_of(m, sample);
	struct pl_account *a = &m->out->sources[s->slot->source];
	uint32_t source = m->p->in.source_of[s->slot->source];
	const struct pl_corpus *c = m->p->in.corpus_list[source];
	enum pl_reason why = PL_REASON_KEEP;
	struct pl_stage_input in = { 0 };
	uint64_t alive = 0, tokens;
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
	in.tokens = m->p->tokens;
	in.missing_image = (enum pl_missing)m->p->recipe.sources[source].missing_image;
	in.missing_text = (enum pl_missing)m->p->recipe.sources[source].missing_text;
	in.draw = pl_draw64(m->p->plan.seed, pl_hash64(s->sample.key, strlen(s->sample.key)), s->slot->pass);
	st = pl_stage_render(&m->p->recipe, &in, &m->rendered, &why, err);
	if (st != PL_OK) {
		drop(m, sample);
		return st;
	}
	for (size_t i = 0; i < s->sample.doc.nimages; i++)
		alive += s->images[i].kept;
	tokens = m->rendered.text_tokens + m->rendered.image_tokens;
	if (why == PL_REASON_KEEP && too_long(m, tokens))
		s->failed = why = PL_REASON_TOO_LONG;
	if (why == PL_REASON_KEEP) {
		st = write_document(m, key, tokens, err);
		m->out->demoted[s->slot->source] += m->rendered.demoted;
		a->samples_out++;
		a->images_out += m->rendered.images;
		a->images_dropped[PL_REASON_FILTERED] += alive - m->rendered.images;
	} else {
		why = s->failed != PL_REASON_KEEP ? s->failed : why;
		a->samples_dropped[why]++;
		a->images_dropped[why] += alive;
	}
	m->written_slots++;
	drop(m, sample);
	return st;
}

static enum pl_status submit_image(struct making *m, uint64_t sample, size_t i, struct pl_err *err)
{
	const struct pl_doc_image *im = &sample_of(m, sample)->sample.doc.images[i];
	struct pl_pool_job job = { .op = PL_POOL_TRANSFORM, .data = im->data, .len = im->len, .resize = m->p->recipe.image };

	return tool_ring_submit(&m->ring, sample, i, &job, err);
}

static enum pl_status add_slot(struct making *m, const struct pl_slot *slot, struct pl_err *err)
{
	struct pl_account *a = &m->out->sources[slot->source];
	struct pending *s;
	uint64_t sample;
	enum pl_status st = tool_ring_add(&m->ring, &sample, err);

	if (st != PL_OK)
		return st;
	s = sample_of(m, sample);
	pl_fetched_init(&s->sample);
	s->slot = slot;
	a->samples_in++;
	st = pl_fetch_sample(m->p->fetch, m->p->in.source_of[slot->source], slot->shard, slot->row, &s->sample, err);
	if (st != PL_OK)
		return st;
	s->images = calloc(s->sample.doc.nimages + 1, sizeof(*s->images));
	s->owned = calloc(s->sample.doc.nimages + 1, sizeof(*s->owned));
	s->tiles = calloc(s->sample.doc.nimages + 1, sizeof(*s->tiles));
	if (s->images == NULL || s->owned == NULL || s->tiles == NULL)
		return pl_fail_nomem(err);
	for (size_t i = 0; i < s->sample.doc.nimages && st == PL_OK; i++) {
		if (s->sample.image_verdict[i] != PL_REASON_KEEP)
			continue;
		a->images_in++;
		if (s->sample.doc.images[i].data == NULL)
			lose_image(m, s, PL_REASON_MISSING_IMAGE);
		else
			st = submit_image(m, sample, i, err);
	}
	a->bytes_in += s->sample.bytes.len;
	pl_job_count(m->p->tool->job, 0, 1, s->sample.bytes.len);
	return st;
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
	m->ring = (struct tool_ring){ .tool = p->tool, .ctx = m, .take = take, .finish = finish, .drop = drop };
	pl_stage_output_init(&m->rendered);
	if ((st = pl_plan_slots(&p->plan, k, p->in.selects, &slots, &n, err)) != PL_OK)
		goto done;
	if ((st = open_writer(m, err)) != PL_OK)
		goto done;
	if (p->recipe.output.pack.tokens > 0 &&
	    (st = pl_sequences_new(&m->sequences, &p->recipe.output.pack, k, write_sequence, m, err)) != PL_OK)
		goto done;
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		st = add_slot(m, &slots[i], err);
		if (st == PL_OK)
			st = tool_poll(p->tool, err);
	}
	if (st == PL_OK)
		st = tool_ring_finish(&m->ring, err);
	if (st == PL_OK && m->sequences != NULL) {
		st = pl_sequences_finish(m->sequences, &out->packed, err);
		out->samples = out->packed.sequences;
	}
	if (st != PL_OK)
		goto done;
	st = shard_writer_commit(m->writer, &written, err);
	m->writer = NULL;
	out->bytes = written.file_bytes;
	memcpy(out->hash, written.hash, sizeof(out->hash));
done:
	tool_ring_release(&m->ring, st);
	shard_writer_abort(m->writer);
	pl_sequences_free(m->sequences);
	pl_stage_output_release(&m->rendered);
	free(slots);
	free(m);
	return st;
}
